"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const byId = (id) => document.getElementById(id);

  // Tables: sort within each body, so that controls stay apart.
  function compare(a, b, numeric) {
    return numeric ? Number(a) - Number(b) : a.localeCompare(b, undefined, { numeric: true });
  }

  function sort(table, index, down) {
    const numeric = table.tHead.rows[0].cells[index].classList.contains("number");
    for (const body of table.tBodies) {
      const rows = all("tr:not(.apart)", body);
      const key = (row) => row.cells[index].dataset.sort;
      rows.sort((a, b) => {
        // What is missing comes last, whichever way.
        if (!key(a) || !key(b)) return Number(!key(a)) - Number(!key(b));
        return (down ? -1 : 1) * compare(key(a), key(b), numeric);
      });
      body.append(...rows);
    }
  }

  for (const table of all("table.sortable")) {
    table.tHead.addEventListener("click", (event) => {
      const head = event.target.closest("th");
      if (!head || !event.target.closest("button")) return;
      const down = head.ariaSort === "ascending";
      for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      sort(table, head.cellIndex, down);
    });
  }

  // A row is shown if it has all words and the chosen value in each chosen column.
  function filter(id) {
    const table = byId(id);
    const field = document.querySelector(`[data-filter="${id}"]`);
    const words = (field?.value ?? "").toLowerCase().split(/\s+/);
    const heads = [...table.tHead.rows[0].cells];
    const wanted = all(`[data-keep="${id}"]`)
      .filter((select) => select.value)
      .map((select) => [heads.findIndex((h) => h.dataset.name === select.dataset.column), select.value])
      .filter(([index]) => index >= 0);
    const rows = all("tbody tr:not(.apart)", table);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const fits = words.every((word) => text.includes(word));
      row.hidden = !fits || wanted.some(([index, value]) => row.cells[index].dataset.sort !== value);
      shown += Number(!row.hidden);
    }
    for (const count of all(`[data-count="${id}"]`)) count.textContent = `${shown} of ${rows.length} rows`;
  }

  for (const field of all("[data-filter], [data-keep]")) {
    const id = field.dataset.filter ?? field.dataset.keep;
    field.addEventListener("input", () => filter(id));
    filter(id);
  }
  for (const box of all("[data-extra]")) {
    const show = () => byId(box.dataset.extra).classList.toggle("all", box.checked);
    box.addEventListener("change", show);
    show();
  }

  // Tables with a choice: the rows of the other choices wait as data.
  function cell(column, [text = "", key = "", tip, link]) {
    const made = document.createElement(column.text === "method" ? "th" : "td");
    if (column.text === "method") made.scope = "row";
    if (column.number) made.classList.add("number");
    if (column.text === "note") made.classList.add("note");
    made.dataset.sort = key;
    if (tip) made.title = tip;
    if (link) {
      const anchor = document.createElement("a");
      Object.assign(anchor, { href: link, textContent: text });
      made.append(anchor);
    } else made.textContent = text;
    return made;
  }

  function fill(table, chosen) {
    [...table.tHead.rows[0].cells].forEach((head, index) => {
      head.querySelector("button").textContent = chosen.columns[index].text;
      head.setAttribute("aria-sort", "none");
    });
    const bodies = {
      rows: table.querySelector("tbody:not(.controls)"),
      controls: table.querySelector("tbody.controls"),
    };
    for (const [part, body] of Object.entries(bodies)) {
      if (!body) continue;
      for (const row of all("tr:not(.apart)", body)) row.remove();
      for (const cells of chosen[part]) {
        const row = body.insertRow();
        row.append(...cells.map((one, index) => cell(chosen.columns[index], one)));
      }
    }
  }

  for (const script of all("script.choices")) {
    const id = script.dataset.for;
    const selects = all(`[data-pick="${id}"]`);
    const said = byId(`${id}-nothing`);
    let choices = null;
    const show = () => {
      choices ??= JSON.parse(script.textContent);
      const chosen = choices[selects.map((select) => select.value).join(",")];
      said.hidden = Boolean(chosen);
      byId(id).hidden = !chosen;
      if (chosen) fill(byId(id), chosen);
      filter(id);
    };
    for (const select of selects) select.addEventListener("change", show);
    // A browser that goes back keeps what was chosen.
    if (selects.some((select) => select.value !== "0")) show();
  }

  // Theme: that of the system until the reader chooses one.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const changed = () => dispatchEvent(new Event("themechange"));
  dark.addEventListener("change", changed);
  for (const button of all("[data-theme-button]")) {
    button.addEventListener("click", () => {
      const root = document.documentElement;
      const now = root.dataset.theme ?? (dark.matches ? "dark" : "light");
      root.dataset.theme = now === "dark" ? "light" : "dark";
      changed();
    });
  }

  // The clipboard is not open to every page that is read from a file: then select the text.
  for (const button of all("[data-copy]")) {
    button.addEventListener("click", async () => {
      const source = byId(button.dataset.copy);
      try {
        await navigator.clipboard.writeText(source.textContent);
        button.textContent = "copied";
      } catch {
        getSelection().selectAllChildren(source);
        button.textContent = "selected";
      }
    });
  }
})();
