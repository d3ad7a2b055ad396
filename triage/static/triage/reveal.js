// A revealed value goes when its page is left, hidden, or after a minute.
"use strict";
(() => {
  const forget = () => document.querySelectorAll("[data-fades]").forEach((value) => value.remove());
  addEventListener("pagehide", forget);
  document.addEventListener("visibilitychange", () => document.hidden && forget());
  let timer = 0;
  const started = () => {
    clearTimeout(timer);
    if (document.querySelector("[data-fades]")) timer = setTimeout(forget, 60_000);
  };
  started();
  document.addEventListener("htmx:afterSettle", started);
})();
