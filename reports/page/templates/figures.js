"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const config = { responsive: true, displaylogo: false, displayModeBar: false };

  // The page's own colours, again when the theme changes.
  function coloured(layout) {
    const style = getComputedStyle(document.querySelector(".probe"));
    const found = { ...layout, font: { ...layout.font, color: style.color } };
    for (const name of Object.keys(layout)) {
      if (/^[xy]axis\d*$/.test(name)) {
        const line = style.borderTopColor;
        found[name] = { ...layout[name], gridcolor: line, zerolinecolor: line };
      }
    }
    return found;
  }

  const figures = new Map();
  for (const script of all("script.figure")) {
    const plot = document.getElementById(script.dataset.for);
    const selects = all(`[data-choose="${script.dataset.key}"]`);
    figures.set(plot, { text: script, selects, variants: null, drawn: false });
    for (const select of selects) select.addEventListener("change", () => draw(plot));
  }

  function draw(plot, width) {
    const figure = figures.get(plot);
    figure.variants ??= JSON.parse(figure.text.textContent);
    figure.drawn = true;
    const chosen = figure.variants[figure.selects.map((select) => select.value).join(",")];
    plot.classList.toggle("nothing", !chosen);
    if (!chosen) {
      Plotly.purge(plot);
      plot.textContent = "Nothing was recorded for this selection.";
      return;
    }
    if (!plot.data) plot.textContent = "";
    plot.style.height = `${chosen.layout.height}px`;
    // A copy: Plotly writes into what it is given.
    const { data, layout } = structuredClone(chosen);
    Plotly.react(plot, data, coloured({ ...layout, width }), config);
  }

  // What is far below is drawn when it comes near, or the page would take seconds to open.
  const watch = new IntersectionObserver((seen) => {
    for (const { isIntersecting, target } of seen) {
      if (isIntersecting && !figures.get(target).drawn) {
        watch.unobserve(target);
        draw(target);
      }
    }
  }, { rootMargin: "600px" });
  for (const plot of figures.keys()) watch.observe(plot);

  // Paper is as wide as it is: two strips beside each other, anything else alone.
  addEventListener("beforeprint", () => {
    for (const plot of figures.keys()) draw(plot, plot.closest(".strips") ? 480 : 960);
  });
  addEventListener("afterprint", () => {
    for (const plot of figures.keys()) draw(plot);
  });
  addEventListener("themechange", () => {
    for (const [plot, figure] of figures) if (figure.drawn) draw(plot);
  });
})();
