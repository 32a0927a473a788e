"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const byId = (id) => document.getElementById(id);

  // Tips: the text of what the pointer is over, or of the button with the focus.
  const tip = byId("tip");
  let timer;
  const hide = () => { tip.hidden = true; };
  function show(text, x, y) {
    tip.textContent = text;
    tip.hidden = false;
    const most = document.documentElement.clientWidth - tip.offsetWidth - 8;
    tip.style.left = `${Math.max(4, Math.min(x + 12, most))}px`;
    const below = y + 18;
    tip.style.top = `${below + tip.offsetHeight > innerHeight ? y - tip.offsetHeight - 10 : below}px`;
  }
  const tipped = (event) => event.target.closest?.("[data-tip]");
  for (const kind of ["pointerover", "click"]) {
    document.addEventListener(kind, (event) => {
      clearTimeout(timer);
      const found = tipped(event);
      if (found) show(found.dataset.tip, event.clientX, event.clientY);
      else if (event.target !== tip && !event.target.closest?.("canvas")) hide();
    });
  }
  document.addEventListener("focusin", (event) => {
    const found = tipped(event);
    const box = found?.getBoundingClientRect();
    if (found?.matches(":focus-visible")) show(found.dataset.tip, box.left, box.bottom);
  });
  document.addEventListener("focusout", hide);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  document.addEventListener("scroll", hide, { capture: true, passive: true });
  window.showTip = show;
  window.hideTip = hide;

  // Tables: sorted as one block, controls apart; sorted by rank the blocks come back.
  const columns = (table) => [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  for (const table of all("table.sortable")) {
    const bodies = [...table.tBodies];
    const places = bodies.map((body) => all("tr", body));
    const blocks = bodies.filter((body) => !body.classList.contains("controls"));
    table.tHead.addEventListener("click", (event) => {
      const head = event.target.closest("th");
      if (!head || !event.target.closest("button")) return;
      const first = head.hasAttribute("data-descending") ? "descending" : "ascending";
      const down = head.ariaSort ? head.ariaSort === "ascending" : first === "descending";
      for (const other of columns(table)) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const grouped = head.dataset.name === "rank" && !down;
      for (const row of all(".apart", table)) row.hidden = !grouped && !row.closest(".controls");
      if (grouped) {
        bodies.forEach((body, number) => body.append(...places[number]));
        return;
      }
      const rows = blocks.flatMap((body) => all("tr:not(.apart)", body));
      if (blocks.length) sort(rows, head, down, blocks[0]);
      for (const body of all(".controls", table)) sort(all("tr:not(.apart)", body), head, down, body);
    });
  }

  function sort(rows, head, down, body) {
    const numeric = head.classList.contains("number");
    const key = (row) => row.cells[head.cellIndex].dataset.sort;
    rows.sort((a, b) => {
      // What is missing comes last, whichever way.
      if (!key(a) || !key(b)) return Number(!key(a)) - Number(!key(b));
      const order = numeric ? key(a) - key(b) : key(a).localeCompare(key(b), undefined, { numeric: true });
      return down ? -order : order;
    });
    body.append(...rows);
  }

  // A row is shown if it has all words.
  const tables = (id) => (byId(id).matches("table") ? [byId(id)] : all("table.sortable", byId(id)));
  function filter(field) {
    const words = field.value.toLowerCase().split(/\s+/);
    let [shown, total] = [0, 0];
    for (const table of tables(field.dataset.filter)) {
      for (const row of all("tbody tr:not(.apart)", table)) {
        row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
        if (!table.closest("[hidden]")) [shown, total] = [shown + Number(!row.hidden), total + 1];
      }
    }
    for (const count of all(`[data-count="${field.dataset.filter}"]`)) {
      count.textContent = shown < total ? `${shown} of ${total} rows` : "";
    }
  }
  for (const field of all("[data-filter]")) field.addEventListener("input", () => filter(field));
  for (const box of all("[data-toggle]")) {
    const set = () => {
      for (const table of tables(box.dataset.in)) table.classList.toggle(box.dataset.toggle, box.checked);
    };
    box.addEventListener("change", set);
    set();
  }

  // Choices: of all versions of a part one is shown.
  const option = (key) => all(`[data-choose="${key}"]`).map((select) => select.value).join(",");
  function choose(key) {
    const wanted = option(key);
    let found = false;
    for (const part of all(`[data-key="${key}"]`)) {
      part.hidden = part.dataset.option !== wanted;
      found ||= !part.hidden;
    }
    if (key === "confusion") found = fillMatrix(wanted);
    for (const text of all(`[data-nothing="${key}"]`)) text.hidden = found;
    for (const field of all(`[data-filter="${key}"]`)) filter(field);
    placeLabels();
  }
  for (const select of all("[data-choose]")) {
    select.addEventListener("change", () => choose(select.dataset.choose));
    // A browser that goes back keeps what was chosen.
    if (select.value !== "0") choose(select.dataset.choose);
  }

  // Types by clusters.
  function fillMatrix(wanted) {
    const chosen = JSON.parse(document.querySelector("script.confusion").textContent)[wanted];
    const table = byId("confusion");
    table.replaceChildren();
    if (!chosen) return false;
    const heading = (row, text, scope) => {
      const cell = document.createElement("th");
      Object.assign(cell, { scope, textContent: text });
      row.append(cell);
    };
    const head = table.createTHead().insertRow();
    head.insertCell().textContent = "cluster";
    for (const name of chosen.clusters) heading(head, name, "col");
    const body = table.createTBody();
    chosen.types.forEach((type, i) => {
      const row = body.insertRow();
      const size = chosen.counts[i].reduce((sum, n) => sum + n, 0);
      heading(row, `${type} (${size.toLocaleString("en")})`, "row");
      chosen.counts[i].forEach((n, j) => {
        const cell = row.insertCell();
        const share = Math.round((100 * n) / size);
        cell.textContent = share || (n ? "·" : "");
        cell.style.setProperty("--share", `${share}%`);
        cell.dataset.tip = `${type}, cluster ${chosen.clusters[j]}: ${n} cells, ${share} %`;
      });
    });
    return true;
  }
  if (byId("confusion")) fillMatrix(option("confusion"));

  // Names beside marks: the side of six that covers least; a name that still covers others is hidden.
  const SIDES = [[1, 0], [0, -1], [0, 1], [-1, 0], [1, -1], [1, 1]];
  const overlap = (a, b) => Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0]))
    * Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
  function placeLabels() {
    for (const svg of all(".plot svg")) {
      const texts = all("text", svg);
      const width = svg.clientWidth;
      if (!texts.length || !width) continue;
      const at = (text, name, size) => (parseFloat(text.getAttribute(name)) / 100) * size;
      const points = texts.map((text) => [at(text, "x", width), at(text, "y", svg.clientHeight)]);
      const taken = points.map(([x, y]) => [x - 6, y - 6, x + 6, y + 6]);
      texts.forEach((text, i) => {
        const [x, y] = points[i];
        const wide = text.getComputedTextLength();
        let best = [Infinity];
        for (const [dx, dy] of SIDES) {
          const left = x + dx * (wide / 2 + 9) - wide / 2;
          const top = y + dy * 14 - 7;
          const box = [left, top, left + wide, top + 14];
          const outside = left < -2 || left + wide > width + 2 ? 1e4 : 0;
          const cost = outside + taken.reduce((sum, other) => sum + overlap(box, other), 0);
          if (cost < best[0]) best = [cost, box];
        }
        const free = best[0] < 0.15 * wide * 14;
        text.style.visibility = free ? "" : "hidden";
        text.setAttribute("dx", best[1][0] - x);
        text.setAttribute("dy", best[1][1] + 11 - y);
        if (free) taken.push(best[1]);
      });
    }
  }
  placeLabels();
  addEventListener("resize", placeLabels);

  // The section in view is marked in the list of sections.
  const links = new Map(all("nav a").map((link) => [link.hash.slice(1), link]));
  const watch = new IntersectionObserver((seen) => {
    for (const { isIntersecting, target } of seen) {
      if (!isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  for (const section of all("main > section[id]")) watch.observe(section);

  // Theme: that of the system until the reader chooses one.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  for (const button of all("[data-theme-button]")) {
    button.addEventListener("click", () => {
      const root = document.documentElement;
      const now = root.dataset.theme ?? (dark.matches ? "dark" : "light");
      root.dataset.theme = now === "dark" ? "light" : "dark";
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
