// Zooms the timeline: by its buttons, and by + and - while nothing is being typed and no form is open. Without a script 90 days are shown.
(() => {
  "use strict";
  const ZOOMS = ["30", "90", "all"];
  const KEY = "payeewatch-zoom";

  function zoom(card, to) {
    for (const drawing of card.querySelectorAll("[data-drawing]")) drawing.hidden = drawing.dataset.drawing !== to;
    for (const button of card.querySelectorAll("[data-zoom]")) button.setAttribute("aria-pressed", button.dataset.zoom === to);
    sessionStorage.setItem(KEY, to);
  }

  function restore() {
    const to = sessionStorage.getItem(KEY);
    if (ZOOMS.includes(to)) for (const card of document.querySelectorAll("[data-timeline]")) zoom(card, to);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-zoom]");
    if (button) zoom(button.closest("[data-timeline]"), button.dataset.zoom);
  });

  document.addEventListener("keydown", (event) => {
    const card = document.querySelector("[data-timeline]");
    const isBusy = event.target.closest("input, textarea, select, [contenteditable]") || document.querySelector("#act details[open], dialog[open]");
    if (!card || isBusy || event.ctrlKey || event.metaKey || event.altKey || !"+-=".includes(event.key)) return;
    const pressed = card.querySelector("[data-zoom][aria-pressed=true]");
    const at = ZOOMS.indexOf(pressed ? pressed.dataset.zoom : "90") + (event.key === "-" ? 1 : -1);
    if (ZOOMS[at]) zoom(card, ZOOMS[at]);
    event.preventDefault();
  });

  document.addEventListener("htmx:afterSettle", restore);
  restore();
})();
