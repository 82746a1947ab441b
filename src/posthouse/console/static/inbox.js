// Inbox and message: keys, choosing, what is new without moving a row, and the filter of header fields.

import { base } from "./base.js";

const list = document.querySelector("[data-mails]");
const article = document.querySelector("article.message");
const rows = () => [...(list?.querySelectorAll(".mail") ?? [])];
const boxes = () => rows().map((row) => row.querySelector('input[type="checkbox"]')).filter(Boolean);

// Choosing: Shift chooses a range, and one box chooses all of the page.

const all = document.querySelector("[data-all]");
let lastBox = null;
list?.addEventListener("click", (event) => {
  const box = event.target.closest?.('.mail input[type="checkbox"]');
  if (!box) return;
  const known = boxes();
  if (event.shiftKey && lastBox && known.includes(lastBox)) {
    const [from, to] = [known.indexOf(lastBox), known.indexOf(box)].sort((a, b) => a - b);
    known.slice(from, to + 1).forEach((each) => { each.checked = box.checked; });
  }
  lastBox = box;
  if (all) all.checked = known.every((each) => each.checked);
});
all?.addEventListener("change", () => boxes().forEach((box) => { box.checked = all.checked; }));

// What is new: a button says how many, and no row moves until it is pressed.

const fresh = document.querySelector("[data-fresh]");
async function look() {
  if (!fresh || document.hidden) return;
  const query = new URLSearchParams(location.search);
  query.set("after", fresh.dataset.last);
  query.delete("before");
  query.set("limit", "100");
  try {
    const response = await fetch(`${base}/inbox.json?${query}`, { headers: { accept: "application/json" } });
    if (!response.ok) return;
    const found = (await response.json()).messages.length;
    const button = fresh.querySelector("button");
    fresh.hidden = found === 0;
    button.textContent = button.dataset.text.replace("{n}", found === 100 ? "100+" : String(found));
    document.title = document.title.replace(/^(\(\d+\+?\) )?/, found ? `(${found === 100 ? "100+" : found}) ` : "");
  } catch { /* the sign of the page says that the daemon does not answer */ }
}
fresh?.querySelector("button").addEventListener("click", () => location.reload());
if (fresh) {
  let due = 0;
  document.addEventListener("posthouse:change", () => { due ||= setTimeout(() => { due = 0; look(); }, 500); });
  setInterval(look, 5000);
}

// The filter of header fields.

const filter = document.querySelector("[data-filter]");
if (filter) {
  filter.hidden = false;
  filter.querySelector("input").addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase();
    for (const row of document.querySelectorAll(".headers tbody tr")) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
}

// Keys.  Nothing while one types or holds a modifier; a click into the frame of a message gives the focus back.

let at = Math.max(-1, rows().findIndex((row) => row.classList.contains("mail-open")));
function go(step) {
  const known = rows();
  if (!known.length) return;
  at = Math.min(known.length - 1, Math.max(0, at + step));
  const link = known[at].querySelector("a");
  link.focus();
  link.scrollIntoView({ block: "nearest" });
}
list?.addEventListener("focusin", (event) => { at = rows().indexOf(event.target.closest(".mail")); });

// The list is shown again with the focus on the message that was open, or on the one behind those that were deleted.

const PLACE = "posthouse_row";
const next = () => {
  const known = rows();
  const last = known.findLastIndex((row) => row.querySelector('input[type="checkbox"]')?.checked);
  return (known[last + 1] ?? known.findLast((row) => !row.querySelector("input").checked))?.dataset.number ?? "";
};
document.addEventListener("submit", (event) => {
  if (event.submitter?.value !== "delete") return;
  const behind = article ? /\d+/.exec(document.querySelector("[data-older]")?.pathname.split("/").pop() ?? "")?.[0] : next();
  sessionStorage.setItem(PLACE, behind ?? "");
});
if (article) sessionStorage.setItem(PLACE, article.dataset.number);
else {
  const row = rows().find((each) => each.dataset.number === sessionStorage.getItem(PLACE));
  sessionStorage.removeItem(PLACE);
  if (document.activeElement === document.body) row?.querySelector("a").focus();
}
const follow = (selector) => document.querySelector(selector)?.click();
const remove = () => {
  if (article) { document.querySelector('[data-delete] button[value="delete"]')?.click(); return; }
  if (!boxes().some((box) => box.checked) && at >= 0) boxes()[at].checked = true;
  if (boxes().some((box) => box.checked)) list.querySelector('button[value="delete"]')?.click();
};
const acts = {
  j: () => go(1), k: () => go(-1),
  o: () => rows()[at]?.querySelector("a").click(),
  u: () => follow(article ? "[data-back]" : ""),
  x: () => { const box = boxes()[at]; if (box) box.checked = !box.checked; },
  "#": remove, Delete: remove,
  U: () => follow("[data-unread]"),
  r: () => follow("[data-reply]"), f: () => follow("[data-forward]"),
  "[": () => follow("[data-newer]"), "]": () => follow("[data-older]"),
};
document.addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]")) return;
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat && event.key === "Delete") return;
  if (event.target.closest?.("input:not([type=checkbox]), textarea, select, [contenteditable]")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === "Escape" && article) { follow("[data-back]"); return; }
  if (event.key.length === 1 && localStorage.getItem("posthouse_keys") === "off") return;
  if (article && /^[1-9]$/.test(event.key)) { document.querySelectorAll("[data-tab]")[Number(event.key) - 1]?.click(); return; }
  const act = acts[event.key];
  if (act) { event.preventDefault(); act(); }
});
window.addEventListener("blur", () => setTimeout(() => {
  if (document.activeElement?.tagName === "IFRAME") setTimeout(() => document.activeElement?.tagName === "IFRAME" && window.focus(), 0);
}, 0));
document.querySelector(".mail-open")?.scrollIntoView({ block: "nearest" });
