// Keys of every page: ? shows them, g and a letter go to a page, / searches, and Ctrl-K (Cmd-K) opens the palette.
// Nothing happens while one types, and single letters can be switched off (WCAG 2.1.4).

import { base } from "./base.js";

const SWITCH = "posthouse_keys";
const help = document.querySelector("#keys");
const palette = document.querySelector("#palette");
const pages = [...document.querySelectorAll(".side [data-nav]")];
const typing = (element) => element.closest?.("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");
const lettersOff = () => localStorage.getItem(SWITCH) === "off";

for (const each of document.querySelectorAll("[data-opens]")) {
  each.hidden = false;
  each.addEventListener("click", () => document.querySelector(each.dataset.opens)?.showModal());
}
for (const each of [help, palette]) {
  each?.addEventListener("click", (event) => { if (event.target === each) each.close(); });
}
const letters = help?.querySelector("[data-letters]");
if (letters) {
  letters.checked = !lettersOff();
  letters.addEventListener("change", () => localStorage.setItem(SWITCH, letters.checked ? "on" : "off"));
}

// The palette: pages, choices of language and appearance, and what can be done with the words that are typed.

const input = palette?.querySelector("input");
const list = palette?.querySelector("[role=listbox]");
let chosen = 0;

function entries(words) {
  const plain = words.trim().toLowerCase();
  const links = [...pages, ...document.querySelectorAll(".side .choice a")];
  const found = links
    .map((each) => ({ text: (each.querySelector("span") ?? each).textContent.trim(), href: each.href, key: each.dataset.key ?? "" }))
    .filter((each) => each.text.toLowerCase().includes(plain) || each.href.slice(location.origin.length).includes(plain));
  if (!plain) return found;
  const asked = encodeURIComponent(words.trim());
  const there = new Set(pages.map((each) => each.dataset.nav));
  if (/^[0-9a-z]{13}$/.test(plain)) found.unshift({ text: `${palette.dataset.history} ${plain}`, href: `${base}/history/${plain}` });
  if (there.has("/inbox")) found.push({ text: `${palette.dataset.inbox} ${words.trim()}`, href: `${base}/inbox?q=${asked}` });
  if (there.has("/queue")) found.push({ text: `${palette.dataset.queue} ${words.trim()}`, href: `${base}/queue?q=${asked}` });
  return found;
}

function choose(number) {
  const options = [...list.children];
  if (!options.length) { input.removeAttribute("aria-activedescendant"); return; }
  chosen = (number + options.length) % options.length;
  options.forEach((each, at) => each.setAttribute("aria-selected", String(at === chosen)));
  input.setAttribute("aria-activedescendant", options[chosen].id);
  options[chosen].scrollIntoView({ block: "nearest" });
}

function show() {
  list.replaceChildren(...entries(input.value).map((each, at) => {
    const option = document.createElement("li");
    option.id = `palette-${at}`;
    option.setAttribute("role", "option");
    option.dataset.href = each.href;
    option.textContent = each.text;
    if (each.key) {
      const key = document.createElement("kbd");
      key.textContent = `g ${each.key}`;
      option.append(key);
    }
    return option;
  }));
  palette.querySelector("[data-none]").hidden = list.children.length > 0;
  choose(0);
}

function open() {
  input.value = "";
  palette.showModal();
  show();
  input.focus();
}
input?.addEventListener("input", show);
input?.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) { event.preventDefault(); choose(chosen + step); }
  if (event.key === "Enter" && !event.isComposing) { event.preventDefault(); list.children[chosen]?.click(); }
});
list?.addEventListener("click", (event) => {
  const option = event.target.closest("[role=option]");
  if (option) location.href = option.dataset.href;
});

// The keys themselves.

let went = 0;
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "k" && palette) {
    event.preventDefault();
    if (palette.open) palette.close();
    else if (!document.querySelector("dialog[open]")) open();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (typing(event.target) || document.querySelector("dialog[open]") || lettersOff()) return;
  if (event.key === "?") { event.preventDefault(); help?.showModal(); return; }
  if (event.key === "g") { went = Date.now(); return; }
  if (Date.now() - went < 1500) {
    went = 0;
    const page = pages.find((each) => each.dataset.key === event.key);
    if (page) { event.preventDefault(); event.stopImmediatePropagation(); location.href = page.href; return; }
  }
  if (event.key === "/") {
    const search = document.querySelector("main [data-key='/'], main input[type=search]");
    if (search) { event.preventDefault(); search.focus(); search.select(); }
  }
});
