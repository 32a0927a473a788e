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
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, index) => {
      head.querySelector("button").addEventListener("click", () => {
        const down = head.ariaSort === "ascending";
        heads.forEach((other) => other.setAttribute("aria-sort", "none"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        sort(table, index, down);
      });
    });
  }

  function filter(id) {
    const table = byId(id);
    const words = document.querySelector(`[data-filter="${id}"]`).value.toLowerCase().split(/\s+/);
    const select = document.querySelector(`select[data-dataset="${id}"]`);
    const rows = all("tbody tr:not(.apart)", table);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const fits = words.every((word) => text.includes(word));
      row.hidden = !fits || Boolean(select?.value && row.dataset.dataset !== select.value);
      shown += Number(!row.hidden);
    }
    document.querySelector(`[data-count="${id}"]`).textContent = `${shown} of ${rows.length} rows`;
  }

  for (const input of all("[data-filter]")) {
    input.addEventListener("input", () => filter(input.dataset.filter));
    filter(input.dataset.filter);
  }
  for (const select of all("select[data-dataset]")) {
    select.addEventListener("change", () => filter(select.dataset.dataset));
  }
  for (const box of all("[data-extra]")) {
    const show = () => byId(box.dataset.extra).classList.toggle("all", box.checked);
    box.addEventListener("change", show);
    show();
  }

  // Figures: the page's own colours, again when the scheme changes.
  function colours() {
    const style = getComputedStyle(document.documentElement);
    const grid = style.getPropertyValue("--grid").trim();
    const found = { "font.color": style.getPropertyValue("--text").trim() };
    for (const axis of ["xaxis", "yaxis"]) {
      found[`${axis}.gridcolor`] = grid;
      found[`${axis}.zerolinecolor`] = grid;
    }
    return found;
  }

  const plots = all("script.figure").map((script) => {
    const plot = byId(script.dataset.for);
    const { data, layout } = JSON.parse(script.textContent);
    const config = { responsive: true, displaylogo: false, displayModeBar: false };
    Plotly.newPlot(plot, data, layout, config).then(() => Plotly.relayout(plot, colours()));
    return plot;
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    plots.forEach((plot) => Plotly.relayout(plot, colours()));
  });
  for (const select of all("[data-choose]")) {
    select.addEventListener("change", () => {
      const plot = byId(`plot-${select.dataset.choose}`);
      const chosen = new Set(select.value.split(",").map(Number));
      Plotly.restyle(plot, { visible: plot.data.map((_, number) => chosen.has(number)) });
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
