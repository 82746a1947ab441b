// What every page does beyond HTML: relative times, copy buttons, keys, and live renewal by server-sent events.

const root = document.documentElement;
export const base = root.dataset.base ?? "";
export const language = root.dataset.language ?? "en";

/** Replace the parts of the page that have data-live-part with those of a fresh copy of the page. */
export async function renew() {
  const parts = document.querySelectorAll("[data-live-part]");
  if (!parts.length) return;
  const response = await fetch(location.href, { headers: { accept: "text/html" } });
  if (!response.ok) throw new Error(String(response.status));
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const part of parts) {
    const next = fresh.querySelector(`[data-live-part="${CSS.escape(part.dataset.livePart)}"]`);
    if (next && next.innerHTML !== part.innerHTML && !part.contains(document.activeElement)) part.replaceChildren(...next.childNodes);
  }
  relative();
}

// Words of our own: Intl.RelativeTimeFormat takes 10 ms when a page first uses it, and that is before the first paint.
const units = language === "zh" ? [[" 天", 86400], [" 小时", 3600], [" 分钟", 60], [" 秒", 1]] : [[" d", 86400], [" h", 3600], [" min", 60], [" s", 1]];
const ago = language === "zh" ? ["", "前", "", "后"] : ["", " ago", "in ", ""];

/** Write moments of the last week relative to now; the title keeps the whole. */
export function relative(now = Date.now()) {
  for (const each of document.querySelectorAll("time[data-relative]")) {
    const seconds = (Date.parse(each.dateTime) - now) / 1000;
    if (!Number.isFinite(seconds) || Math.abs(seconds) > 7 * 86400) continue;
    const [unit, size] = units.find(([, least]) => Math.abs(seconds) >= least) ?? units[3];
    const [before, behind] = seconds > 0 ? ago.slice(2) : ago;
    const words = `${before}${Math.trunc(Math.abs(seconds) / size)}${unit}${behind}`;
    if (each.textContent !== words) each.textContent = words;
  }
}

export function toast(text) {
  let place = document.querySelector(".toasts");
  if (!place) {
    place = document.createElement("div");
    place.className = "toasts";
    place.setAttribute("role", "status");
    document.body.append(place);
  }
  const line = document.createElement("div");
  line.className = "toast";
  line.textContent = text;
  place.append(line);
  setTimeout(() => line.remove(), 4000);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  event.preventDefault();
  navigator.clipboard?.writeText(button.dataset.copy).then(() => toast(button.dataset.copied ?? "✓"));
});

relative();
setInterval(relative, 30_000);

// Live updates.  A browser keeps few connections to one server, so one tab of all listens and tells the others; where
// no stream comes through (a proxy may keep it back), each page asks every 5 s.

const sign = document.querySelector("[data-live]");
let polling = 0;
let renewing = false;
let again = false;
let pause = 250;

function state(name, text) {
  if (!sign) return;
  sign.hidden = false;
  sign.dataset.state = name;
  if (sign.textContent !== text) sign.textContent = text;
}

async function changed(topics) {
  document.dispatchEvent(new CustomEvent("posthouse:change", { detail: { topics } }));
  const wanted = [...document.querySelectorAll("[data-live-part]:not([data-renew])")];
  if (!wanted.some((part) => topics.includes(part.dataset.liveTopic ?? "spool"))) return;
  if (renewing || document.hidden) { again = true; return; }
  renewing = true;
  const began = performance.now();
  try {
    await renew();
    if (sign?.dataset.state === "stale") state(polling ? "poll" : "live", polling ? sign.dataset.pollText : sign.dataset.liveText);
  } catch {
    state("stale", sign?.dataset.staleText ?? "");
  }
  // A page that takes long to make is asked for less often.
  pause = Math.min(5000, Math.max(250, 4 * (performance.now() - began)));
  setTimeout(() => {
    renewing = false;
    if (again) { again = false; changed(["spool", ...topics]); }
  }, pause);
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && again && !renewing) { again = false; changed(["spool"]); }
});

const channel = "BroadcastChannel" in window ? new BroadcastChannel("posthouse-events" + base) : null;
channel?.addEventListener("message", ({ data }) => heard(data));

function heard(data) {
  clearInterval(polling);
  polling = 0;
  if (sign?.dataset.state !== "stale") state("live", sign?.dataset.liveText ?? "");
  if (data.topics) changed(data.topics);
}

function poll() {
  if (polling) return;
  state("poll", sign?.dataset.pollText ?? "");
  polling = setInterval(() => changed(["spool"]), 5000);
}

function listen() {
  return new Promise((ended) => {
    const source = new EventSource(`${base}/events?topics=*`);
    const tell = (data) => { heard(data); channel?.postMessage(data); };
    const patience = setTimeout(poll, 5000);
    source.addEventListener("hello", () => { clearTimeout(patience); tell({}); });
    source.addEventListener("change", (event) => tell(JSON.parse(event.data)));
    source.addEventListener("error", () => {
      poll();
      if (source.readyState === EventSource.CLOSED) { clearTimeout(patience); setTimeout(ended, 10_000); }
    });
    window.addEventListener("pagehide", () => { source.close(); ended(); }, { once: true });
  });
}

async function lead() {
  for (;;) {
    if (navigator.locks) await navigator.locks.request("posthouse-events" + base, listen);
    else await listen();
  }
}

function live() {
  if ("EventSource" in window) {
    if (channel) { setTimeout(() => { if (sign?.dataset.state === "") poll(); }, 20_000); }
    lead();
  } else {
    poll();
  }
}

// The page is painted first; one that is not shown is not painted, and begins at once.
if (document.hidden) live();
else requestAnimationFrame(() => setTimeout(live));
