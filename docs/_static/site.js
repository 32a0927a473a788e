// Names for screen readers that the theme leaves out or gets wrong.
document.addEventListener("DOMContentLoaded", () => {
  for (const summary of document.querySelectorAll("summary:not([aria-label])")) {
    if (summary.textContent.trim()) continue;
    const link = summary.closest("li")?.querySelector("a");
    summary.setAttribute("aria-label", `pages below ${link?.textContent.trim() ?? "this one"}`);
  }
  // The label "Search" lacks the keys that the button shows.
  for (const button of document.querySelectorAll(".search-button-field")) {
    button.removeAttribute("aria-label");
  }
});
