// Speak SMTP: forms are sent without loading the page anew; arrow keys bring earlier lines back.

const said = [];
let at = 0;

function input() {
  return document.getElementById("speak-input");
}

function settle() {
  const lines = document.querySelector("[data-speak-lines]");
  if (lines) lines.scrollTop = lines.scrollHeight;
  input()?.focus({ preventScroll: true });
}

async function send(form, submitter) {
  const fields = new URLSearchParams(new FormData(form, submitter));
  const response = await fetch(form.action, { method: "POST", body: fields, headers: { accept: "text/html" } });
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  const next = fresh.querySelector("[data-speak]");
  if (!response.ok || !next) throw new Error(String(response.status));
  next.querySelector("[autofocus]")?.removeAttribute("autofocus");
  document.querySelector("[data-speak]").replaceChildren(...next.childNodes);
  history.replaceState(null, "", response.url);
  settle();
}

document.addEventListener("submit", (event) => {
  const form = event.target.closest?.("[data-speak-form]");
  if (!form) return;
  event.preventDefault();
  const line = form.querySelector("#speak-input");
  if (line?.value) said.push(line.value);
  at = said.length;
  send(form, event.submitter).catch(() => form.submit());
});

document.addEventListener("keydown", (event) => {
  const line = input();
  if (event.target !== line || event.isComposing) return;
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    line.form.requestSubmit();
  } else if ((event.key === "ArrowUp" || event.key === "ArrowDown") && !line.value.includes("\n")) {
    at = Math.min(said.length, Math.max(0, at + (event.key === "ArrowUp" ? -1 : 1)));
    line.value = said[at] ?? "";
    event.preventDefault();
  }
});

settle();
