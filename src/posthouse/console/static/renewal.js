// Renewal of a page's parts by asking for the page again, every data-renew seconds while the page can be seen.

const part = () => document.querySelector("[data-renew]");
let waiting = false;

async function again() {
  const seconds = Number(part()?.dataset.renew ?? 0);
  if (!seconds || waiting || document.hidden) return;
  waiting = true;
  try {
    const response = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!response.ok) return;
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    const next = fresh.querySelector("[data-live-part]");
    const now = part();
    if (!next || !now || now.contains(document.activeElement)) return;
    const below = window.innerHeight + window.scrollY >= document.body.scrollHeight - 40;
    if (next.innerHTML !== now.innerHTML) now.replaceWith(next);
    if (below && now.dataset.livePart === "dialogue") window.scrollTo(0, document.body.scrollHeight);
  } catch {
    // The daemon is away; the next try may reach it.
  } finally {
    waiting = false;
  }
}

let last = Date.now();
const timer = setInterval(() => {
  const seconds = Number(part()?.dataset.renew ?? 0);
  if (!seconds) clearInterval(timer);
  else if (Date.now() - last >= seconds * 1000) {
    last = Date.now();
    again();
  }
}, 250);
