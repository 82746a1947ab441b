// Choosing rows of a table: Shift chooses a range, and the box in the head all of them.

for (const form of document.querySelectorAll("[data-selection]")) {
  const boxes = () => [...form.querySelectorAll('tbody input[type="checkbox"]')];
  const head = form.querySelector("thead th");
  const all = document.createElement("input");
  all.type = "checkbox";
  all.setAttribute("aria-label", head.textContent.trim());
  head.append(all);
  all.addEventListener("change", () => boxes().forEach((box) => { box.checked = all.checked; }));
  let last = null;
  form.addEventListener("click", (event) => {
    const box = event.target.closest?.('tbody input[type="checkbox"]');
    if (!box) return;
    const rows = boxes();
    if (event.shiftKey && last && rows.includes(last)) {
      const [from, to] = [rows.indexOf(last), rows.indexOf(box)].sort((a, b) => a - b);
      rows.slice(from, to + 1).forEach((each) => { each.checked = box.checked; });
    }
    last = box;
    all.checked = rows.every((each) => each.checked);
    all.indeterminate = !all.checked && rows.some((each) => each.checked);
  });
}
