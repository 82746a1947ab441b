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

const formats = new Intl.RelativeTimeFormat(language === "zh" ? "zh-CN" : "en", { numeric: "auto", style: "short" });
const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

/** Write moments of the last week relative to now; the title keeps the whole. */
export function relative(now = Date.now()) {
  for (const each of document.querySelectorAll("time[data-relative]")) {
    const seconds = (Date.parse(each.dateTime) - now) / 1000;
    if (!Number.isFinite(seconds) || Math.abs(seconds) > 7 * 86400) continue;
    const [unit, size] = units.find(([, least]) => Math.abs(seconds) >= least) ?? units[3];
    each.textContent = formats.format(Math.trunc(seconds / size), unit);
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
