// Choosing leads in the list: boxes, X for the row, Shift for all rows up to it, Esc for none. The choice
// outlives the list's own refreshes. Without JavaScript the boxes are a plain form.
(() => {
  const picked = new Set(); // ids, on this page of the list
  let last = ""; // where a range begins
  let pointed = null; // the row under the pointer

  const form = () => document.getElementById("picks");
  const boxes = () => [...document.querySelectorAll("#picks td .check")];
  const all = () => document.getElementById("pick-all");

  function show() {
    const page = document.getElementById("pick-page");
    const words = document.getElementById("picked");
    if (!form()) return;
    const found = boxes();
    page.closest("label").hidden = false;
    page.checked = found.length > 0 && found.every((box) => box.checked);
    page.indeterminate = !page.checked && picked.size > 0;
    if (all()?.checked) words.textContent = words.dataset.all;
    else words.textContent = picked.size === 1 ? words.dataset.one : words.dataset.many.replace("%n", picked.size);
  }

  function set(box, isOn) {
    box.checked = isOn;
    if (isOn) picked.add(box.value);
    else picked.delete(box.value);
    if (!isOn && all()) all().checked = false;
  }

  // From the box where the last choice was made up to this one, all like this one.
  function reach(box, isOn) {
    const found = boxes();
    const from = found.findIndex((one) => one.value === last);
    const to = found.indexOf(box);
    const [low, high] = from < 0 ? [to, to] : [Math.min(from, to), Math.max(from, to)];
    found.slice(low, high + 1).forEach((one) => set(one, isOn));
  }

  function choose(box, isOn, isRange) {
    if (isRange) reach(box, isOn);
    else set(box, isOn);
    last = box.value;
    show();
  }

  function clear() {
    boxes().forEach((box) => set(box, false));
    picked.clear();
    last = "";
    show();
  }

  function rowOfNow() {
    const focused = document.activeElement?.closest?.("#picks tbody tr");
    return focused || (pointed?.isConnected ? pointed : null);
  }

  function step(by) {
    const links = [...document.querySelectorAll("#picks .rowlink")];
    const row = rowOfNow();
    const at = row ? links.indexOf(row.querySelector(".rowlink")) + by : Math.min(by, 0);
    links[Math.max(0, Math.min(links.length - 1, at))]?.focus();
  }

  document.addEventListener("pointerover", (event) => { pointed = event.target.closest?.("#picks tbody tr") || null; });
  document.addEventListener("click", (event) => {
    if (event.target.matches("#picks td .check")) {
      choose(event.target, event.target.checked, event.shiftKey);
    } else if (event.target.id === "pick-page") {
      boxes().forEach((one) => set(one, event.target.checked));
      show();
    } else if (event.target.id === "pick-all") {
      if (event.target.checked) boxes().forEach((one) => set(one, true));
      show();
    } else if (event.target.closest("#pick-none")) {
      event.preventDefault();
      clear();
    }
  });
  document.addEventListener("submit", (event) => {
    if (event.target.id !== "picks" || !event.submitter) return;
    event.preventDefault();
    const query = new URLSearchParams(new FormData(event.target, event.submitter));
    if (all()?.checked) query.delete("lead");
    const detail = { address: `${event.target.action}?${query}`, from: event.submitter };
    document.body.dispatchEvent(new CustomEvent("sheet-open", { detail }));
  });
  document.addEventListener("keydown", (event) => {
    if (!form() || event.metaKey || event.ctrlKey || event.altKey || event.defaultPrevented) return;
    if (document.querySelector("dialog[open], #palette:not([hidden])")) return;
    if (event.key === "Escape") {
      if (picked.size) clear();
      return;
    }
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) && event.target.type !== "checkbox";
    if (typing || document.body.dataset.shortcuts === "off") return;
    const key = event.key.toLowerCase();
    const box = key === "x" && rowOfNow()?.querySelector(".check");
    if (box) choose(box, event.shiftKey || !box.checked, event.shiftKey);
    else if (key === "j") step(1);
    else if (key === "k") step(-1);
    else return;
    event.preventDefault();
  });
  // A refreshed list brings new boxes: those that were chosen are chosen again, those that left are forgotten.
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.target.id === "sheet-body" && event.target.querySelector("#bulk-body")) clear(); // it is under way
    const found = boxes();
    if (!found.length && !picked.size) return;
    const here = new Set(found.map((box) => box.value));
    picked.forEach((id) => { if (!here.has(id)) picked.delete(id); });
    found.forEach((box) => { box.checked = picked.has(box.value); });
    show();
  });
  boxes().forEach((box) => { if (box.checked) picked.add(box.value); }); // kept by the browser's history
  show();
})();
