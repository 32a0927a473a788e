"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const bytes = (text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  const wide = (text) => new Uint16Array(bytes(text).buffer);
  const STEPS = 65535;
  const EDGE = 0.03;
  const select = document.querySelector("[data-colour]");
  const panels = new Map();

  function load(canvas) {
    const raw = JSON.parse(canvas.nextElementSibling.textContent);
    const by = Object.entries(raw.by).map(([name, one]) => [name, { ...one, codes: bytes(one.codes) }]);
    const panel = { x: wide(raw.x), y: wide(raw.y), by: new Map(by) };
    // In one fixed mixed order, or the type drawn last would hide the others.
    const order = [...panel.x.keys()];
    let state = 1;
    for (let i = order.length - 1; i > 0; i -= 1) {
      state = (state * 48271) % 2147483647;
      const j = state % (i + 1);
      [order[i], order[j]] = [order[j], order[i]];
    }
    panel.order = order;
    return panel;
  }

  const place = (value, size) => (EDGE + (value / STEPS) * (1 - 2 * EDGE)) * size;

  function draw(canvas) {
    const panel = panels.get(canvas) ?? load(canvas);
    panels.set(canvas, panel);
    const size = Math.round(canvas.clientWidth * Math.min(devicePixelRatio, 2)) || 338;
    canvas.width = size;
    canvas.height = size;
    const context = canvas.getContext("2d");
    const chosen = panel.by.get(select.value);
    canvas.parentElement.querySelector(".lacks").hidden = Boolean(chosen);
    if (!chosen) return;
    const radius = Math.max(0.8, Math.min(3.2, 70 / Math.sqrt(panel.x.length))) * (size / 338);
    context.globalAlpha = 0.85;
    for (const i of panel.order) {
      context.fillStyle = chosen.colours[chosen.codes[i]];
      context.beginPath();
      context.arc(place(panel.x[i], size), place(panel.y[i], size), radius, 0, 2 * Math.PI);
      context.fill();
    }
  }

  // Hover: the nearest cell within 8 pixels.
  function point(event) {
    const canvas = event.currentTarget;
    const panel = panels.get(canvas);
    const size = canvas.clientWidth;
    let best = -1;
    let least = 64;
    for (let i = 0; panel && i < panel.x.length; i += 1) {
      const dx = place(panel.x[i], size) - event.offsetX;
      const dy = place(panel.y[i], size) - event.offsetY;
      if (dx * dx + dy * dy < least) {
        least = dx * dx + dy * dy;
        best = i;
      }
    }
    if (best < 0) {
      window.hideTip();
      return;
    }
    const lines = [...panel.by].map(([name, one]) => `${name}: ${one.names[one.codes[best]]}`);
    window.showTip(lines.join("\n"), event.clientX, event.clientY);
  }

  function legends() {
    for (const legend of all("[data-legend]")) legend.hidden = legend.dataset.legend !== select.value;
  }

  const watch = new IntersectionObserver((seen) => {
    for (const { isIntersecting, target } of seen) {
      if (isIntersecting && !panels.has(target)) draw(target);
    }
  }, { rootMargin: "600px" });
  const canvases = all("canvas.cells");
  for (const canvas of canvases) {
    watch.observe(canvas);
    canvas.addEventListener("pointermove", point);
    canvas.addEventListener("pointerleave", window.hideTip);
  }
  select?.addEventListener("change", () => {
    for (const canvas of panels.keys()) draw(canvas);
    legends();
  });
  if (select) legends();
  addEventListener("beforeprint", () => canvases.forEach(draw));
})();
