// The keyboard, and what keeps a list still. Every action also works by link or form without this file.
"use strict";

const find = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const words = document.body.dataset;
let underWay = 0; // requests that have not been answered yet

function tell(text, isBad, link) {
  const note = document.createElement("p");
  note.className = isBad ? "notice notice-bad" : "notice";
  note.textContent = text;
  if (link) {
    const anchor = Object.assign(document.createElement("a"), { href: link.href, textContent: link.text, target: "_blank" });
    note.append(" ", anchor);
  }
  find("#messages").replaceChildren(note);
}

// ---- Rows. The cursor is the row whose link has the focus; the open row is the flag in the panes.
const rows = () => all("#rows > li");
const openRow = () => find("#rows > li.is-open");
const cursor = () => document.activeElement?.closest("#rows > li");
const linkOf = (row) => find("a.open", row);

function move(step) {
  const list = rows();
  const from = list.indexOf(cursor() || openRow());
  const to = list[from < 0 ? 0 : from + step];
  if (to) { linkOf(to).focus(); to.scrollIntoView({ block: "nearest" }); }
}

function markOpen(flag) {
  for (const row of rows()) {
    const isIt = row.dataset.flag === flag;
    row.classList.toggle("is-open", isIt);
    if (isIt) {
      linkOf(row).setAttribute("aria-current", "true");
      row.classList.remove("is-changed");
      bringIntoView(row);
    }
    else linkOf(row).removeAttribute("aria-current");
  }
  const list = rows(), place = list.findIndex((row) => row.dataset.flag === flag), next = place < 0 ? null : list[place + 1];
  for (const have of all("#act [data-then]")) {
    have.hidden = !next;
    have.value = next ? next.dataset.flag : "";
  }
  const open = find("[data-open]");
  if (open) open.value = flag;
}

// The queue follows the open flag, and nothing else on the page moves.
function bringIntoView(row) {
  const pane = find("#queue");
  if (getComputedStyle(pane).overflowY === "visible") return;
  const inner = pane.scrollHeight > pane.clientHeight ? pane : find("#rows");
  const box = row.getBoundingClientRect(), frame = inner.getBoundingClientRect();
  if (box.bottom > frame.bottom) inner.scrollTop += box.bottom - frame.bottom + box.height;
  else if (box.top < frame.top) inner.scrollTop -= frame.top - box.top + box.height;
}

// A key never acts on another flag than the one that is seen.
function isSeen() {
  const at = cursor();
  if (!at || at === openRow()) return true;
  tell(words.openFirst);
  return false;
}

// ---- Deeds: the forms of the right pane
function openDeed(key) {
  const summary = find(`#act summary[data-key="${key}"]`);
  if (!summary) return false;
  const deed = summary.parentElement;
  openMenuOf(deed);
  for (const other of all("#act details.deed[open]")) if (other !== deed) other.open = false;
  deed.open = true;
  const first = find("form input:not([type=hidden]), form select, form textarea", deed);
  (first || summary).focus();
  deed.scrollIntoView({ block: "nearest" });
  return true;
}

const DIGITS = "1234567890-";
function choose(digit) {
  const deed = find("#act details.deed[open]");
  if (!deed) return false;
  const groups = all("[data-digits]", deed);
  const group = groups.find((each) => each.contains(document.activeElement)) || groups[0];
  const input = group && all("input", group)[DIGITS.indexOf(digit)];
  if (!input) return false;
  input.checked = true;
  const after = groups[groups.indexOf(group) + 1];
  const next = after ? find("input:checked", after) || find("input", after) : find("textarea, .button-main", deed);
  (after ? next : find(".button-main", deed)).focus();
  return true;
}

function numberChoices() {
  for (const group of all("[data-digits]")) all("kbd", group).forEach((hint, place) => { hint.textContent = DIGITS[place] || ""; });
}

// Inside a form, the key of a note leads to the note of that form.
function noteOfOpenDeed() {
  const note = find("#act details.deed[open] textarea");
  note?.focus();
  return Boolean(note);
}

function submitOpen(andNext) {
  const form = document.activeElement?.closest("form.deed-form") || find("#act details.deed[open] form");
  if (!form) return false;
  ((andNext && find("button[data-then]:not([hidden])", form)) || find(".button-main", form)).click();
  return true;
}

// ---- Keys
const isTyping = (target) =>
  target.isContentEditable || target.matches("textarea, select, input:not([type=checkbox], [type=radio], [type=hidden], [type=submit])");

function press(selector) {
  const button = find(selector);
  if (!button || button.disabled) return false;
  button.click();
  return true;
}

const KEYS = {
  j: () => move(1),
  k: () => move(-1),
  n: () => press('[data-key="n"]'),
  x: () => { const row = cursor() || openRow(); if (row) find("input[type=checkbox]", row)?.click(); },
  t: () => press('#together [data-key="t"]'),
  u: () => press('[data-key="u"]'),
  "/": () => {
    const sheet = find("#narrow");
    if (!sheet) return false;
    sheet.open = true;
    find("input[type=text], input[type=number]", sheet)?.focus();
  },
  "?": () => { find("#keys")?.showModal(); find("#keys-heading")?.focus(); },
};

function back() {
  const deed = find("#act details.deed[open]");
  if (deed) { deed.open = false; find("summary", deed).focus(); return; }
  const row = openRow() || rows()[0];
  if (row) linkOf(row).focus();
}

document.addEventListener("keydown", (event) => {
  if (find("dialog[open]")) return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    if (!event.repeat && !underWay && submitOpen(true)) event.preventDefault();
    return;
  }
  if (event.key === "Escape") {
    if (find("details.user[open], details.views[open]")) { for (const each of all("details.user[open], details.views[open]")) { each.open = false; find("summary", each).focus(); } return; }
    back();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  const isMove = event.key === "j" || event.key === "k";
  if ((event.repeat && !isMove) || underWay) { if (KEYS[event.key] || underWay) return; }
  if (KEYS[event.key]) {
    if (KEYS[event.key]() !== false) event.preventDefault();
    return;
  }
  if (event.key.length !== 1 || !find("#act")) return;
  if (event.key === "m" && noteOfOpenDeed()) { event.preventDefault(); return; }
  if (DIGITS.includes(event.key)) { if (choose(event.key)) event.preventDefault(); return; }
  const wanted = find(`#act [data-key="${CSS.escape(event.key)}"]`);
  if (!wanted || !isSeen()) return;
  event.preventDefault();
  if (wanted.matches("summary")) openDeed(event.key); else wanted.click();
});

// ---- Requests: one at a time; what was sent and not answered can be sent again
function busy(isBusy) {
  document.body.classList.toggle("is-busy", isBusy);
  find("#work")?.setAttribute("aria-busy", String(isBusy));
}
document.addEventListener("submit", (event) => {
  if (underWay && event.target.method !== "dialog") { event.preventDefault(); event.stopImmediatePropagation(); return; }
  if (!event.target.hasAttribute("hx-post") && event.target.method === "post") { underWay += 1; busy(true); }
}, true);
addEventListener("pageshow", () => { underWay = 0; busy(false); });

document.addEventListener("htmx:beforeRequest", (event) => {
  if (underWay) { event.preventDefault(); return; }
  underWay += 1;
  busy(true);
  find("#messages").replaceChildren();
});
document.addEventListener("htmx:afterRequest", () => { underWay = Math.max(0, underWay - 1); busy(underWay > 0); });
document.addEventListener("htmx:beforeSwap", (event) => {
  if (!/\/sign-in|\/second-factor/.test(event.detail.xhr.responseURL || "")) return;
  event.detail.shouldSwap = false;
  tellSignedOut();
});
for (const lost of ["htmx:sendError", "htmx:timeout"]) document.addEventListener(lost, () => tell(words.offline, true));

// Signing in again in another tab changes the token of forms: ask for the new one, and send once more.
document.addEventListener("htmx:responseError", async (event) => {
  const { xhr, requestConfig } = event.detail;
  const form = requestConfig.elt;
  if (xhr.status !== 403 || !form.matches("form") || form.dataset.again) { tell(words.failed, true); return; }
  const token = await newToken();
  if (token === SIGNED_OUT) { tellSignedOut(); return; }
  if (!token) { tell(words.failed, true); return; }
  form.dataset.again = "yes";
  underWay = 0;
  form.requestSubmit(requestConfig.triggeringEvent?.submitter);
});
const SIGNED_OUT = "signed out";
async function newToken() {
  try {
    const answer = await fetch(words.token, { headers: { Accept: "application/json" } });
    if (answer.redirected) return SIGNED_OUT;
    if (!answer.ok) return "";
    const { token, user } = await answer.json();
    if (user !== words.user) return "";
    document.body.setAttribute("hx-headers", JSON.stringify({ "X-CSRFToken": token }));
    for (const input of all("input[name=csrfmiddlewaretoken]")) input.value = token;
    return token;
  } catch { return ""; }
}
function tellSignedOut() { tell(words.signedOut, true, { href: "/sign-in", text: words.signIn }); }
document.addEventListener("htmx:afterSettle", (event) => {
  const parts = ["work", "act"];
  if (!parts.includes(event.detail.target?.id) && !parts.includes(event.detail.elt?.id)) return;
  settle();
  const refused = find("#act details[data-refused]"); // the one that it replaces was open, so the browser closed it
  if (refused) { openMenuOf(refused); refused.open = true; }
  const wrong = find("#act details.deed[open] [aria-invalid=true]");
  const where = wrong || find("#refused") || find("#headline");
  where?.focus({ preventScroll: false });
});
document.addEventListener("htmx:historyRestore", settle);

// ---- What was written waits in this tab, for its user, until it is sent or signed out of
const draftKey = (form) => `draft ${words.user} ${form.getAttribute("action").split("?")[0]}`;
const writable = (form) => all("input:not([type=hidden], [name=confirm]), textarea, select", form); // a tick is made anew
document.addEventListener("input", (event) => {
  const form = event.target.closest("form.deed-form");
  if (!form) return;
  const values = writable(form).map((each) => (each.matches("[type=checkbox], [type=radio]") ? each.checked : each.value));
  sessionStorage.setItem(draftKey(form), JSON.stringify(values));
});
function restoreDrafts() {
  for (const form of all("#act form.deed-form")) {
    const draft = sessionStorage.getItem(draftKey(form));
    const deed = form.closest("details.deed");
    if (!draft || deed.open) continue;
    const values = JSON.parse(draft), fields = writable(form);
    if (values.length !== fields.length) continue;
    fields.forEach((each, place) => {
      if (each.matches("[type=checkbox], [type=radio]")) each.checked = values[place]; else each.value = values[place];
    });
    if (fields.some((each) => each.matches("textarea") && each.value)) {
      openMenuOf(deed);
      deed.open = true;
    }
  }
}
function openMenuOf(deed) {
  const menu = deed.closest("details.more");
  if (menu) menu.open = true;
}
document.addEventListener("htmx:afterRequest", (event) => {
  const form = event.detail.requestConfig?.elt; // it may have left the page by now
  if (event.detail.successful && form?.matches("form.deed-form") && /\/do\//.test(event.detail.xhr.responseURL)) sessionStorage.removeItem(draftKey(form));
});
document.addEventListener("submit", (event) => {
  if (event.target.matches("[data-forget]")) forgetDrafts(() => true);
});
function forgetDrafts(which) {
  for (const key of Object.keys(sessionStorage)) if (key.startsWith("draft ") && which(key)) sessionStorage.removeItem(key);
}
if (words.user) forgetDrafts((key) => !key.startsWith(`draft ${words.user} `));

// ---- The list stands still: news is offered, changed rows are marked
async function lookForNews() {
  const list = find("#rows");
  if (!list || document.hidden) return;
  let now;
  try {
    const answer = await fetch(list.dataset.changes, { headers: { Accept: "application/json" } });
    if (!answer.ok || answer.redirected) return;
    now = (await answer.json()).versions;
  } catch { return; }
  const shown = new Set();
  for (const row of rows()) {
    shown.add(row.dataset.flag);
    row.classList.toggle("is-changed", row !== openRow() && now[row.dataset.flag] !== Number(row.dataset.version));
  }
  const many = Object.keys(now).filter((flag) => !shown.has(flag)).length;
  const news = find("#news");
  news.hidden = !many;
  find("a", news).textContent = many === 1 ? news.dataset.one : news.dataset.more.replace("%s", many);
}
setInterval(lookForNews, 30_000);
document.addEventListener("visibilitychange", lookForNews);

// ---- The moment in which a step can be undone
setInterval(() => {
  const left = find("#toast [data-seconds]");
  if (!left) return;
  const seconds = Number(left.dataset.seconds) - 1;
  left.dataset.seconds = seconds;
  left.textContent = seconds;
  if (seconds <= 0) {
    if (find("#toast").contains(document.activeElement)) find("#headline")?.focus();
    find("#toast").replaceChildren();
  }
}, 1000);

function settle() {
  numberChoices();
  restoreDrafts();
  const work = find("#work");
  if (work?.dataset.flag) markOpen(work.dataset.flag);
}
document.addEventListener("click", (event) => {
  for (const sheet of all("details.user[open], details.views[open]")) if (!sheet.contains(event.target)) sheet.open = false;
});
settle();
