// Today: J and K walk the list, the preview follows. On a small screen rows are plain links.
(() => {
  const WIDE = matchMedia("(min-width: 821px)");
  const rows = () => [...document.querySelectorAll("#today-list [data-lead]")]; // what is no lead has no preview
  let chosen = document.querySelector("#today-list .lead.on")?.dataset.lead || "";
  let place = 0; // of the chosen row, also after it left the list

  function mark() {
    rows().forEach((row, at) => {
      const isOn = row.dataset.lead === chosen;
      if (isOn) place = at;
      row.classList.toggle("on", isOn);
      row.querySelector(".hit").toggleAttribute("aria-current", isOn);
    });
  }

  function choose(row, focus = true) {
    const hit = row.querySelector(".hit");
    if (focus) hit.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
    if (row.dataset.lead === chosen) return;
    chosen = row.dataset.lead;
    mark();
    htmx.ajax("GET", hit.dataset.peek, { target: "#peek", swap: "innerHTML" });
  }

  function step(by) {
    const all = rows();
    if (!all.length) return;
    const at = all.findIndex((row) => row.dataset.lead === chosen);
    const next = at >= 0 ? at + by : place + Math.min(by, 0); // what followed a row that left stands in its place
    choose(all[Math.max(0, Math.min(all.length - 1, next))]);
  }

  document.addEventListener("click", (event) => {
    const row = event.target.closest("#today-list [data-lead]");
    if (!row || !WIDE.matches) return;
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    choose(row);
  });
  document.addEventListener("keydown", (event) => {
    if (event.metaKey || event.ctrlKey || event.altKey || document.body.dataset.shortcuts === "off") return;
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    if (document.querySelector("dialog[open], #palette:not([hidden])")) return;
    const key = event.key.toLowerCase();
    if (key === "j") step(1);
    else if (key === "k") step(-1);
    else return;
    event.preventDefault();
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.target.id === "today-list" || event.target.classList?.contains("lead") || event.detail.target?.id === "today-list") mark();
  });
  document.addEventListener("htmx:afterSettle", mark);
  mark();
  // The first lead of an empty page is chosen by itself.
  document.addEventListener("htmx:afterSettle", () => {
    if (!chosen && WIDE.matches && rows().length) choose(rows()[0], false);
  });
})();
