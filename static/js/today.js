// Today: J and K walk the list, X selects, the preview follows. On a small screen rows are plain links.
(() => {
  const WIDE = matchMedia("(min-width: 821px)");
  const rows = () => [...document.querySelectorAll("#today-list .lead")];
  const ticked = new Set();
  let chosen = document.querySelector("#today-list .lead.on")?.dataset.lead || "";

  function mark() {
    rows().forEach((row) => {
      const isOn = row.dataset.lead === chosen;
      row.classList.toggle("on", isOn);
      row.querySelector(".hit").toggleAttribute("aria-current", isOn);
      const box = row.querySelector(".check");
      box.checked = ticked.has(row.dataset.lead);
    });
    document.getElementById("today-list")?.classList.toggle("picking", ticked.size > 0);
    const bar = document.getElementById("bulk");
    if (bar) {
      bar.hidden = ticked.size === 0;
      bar.querySelector("[data-count]").textContent = bar.dataset.words.replace("%n", ticked.size);
    }
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
    choose(all[Math.max(0, Math.min(all.length - 1, at + by))]);
  }

  document.addEventListener("click", (event) => {
    const row = event.target.closest("#today-list .lead");
    if (!row || event.target.closest(".pick") || !WIDE.matches) return;
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    choose(row);
  });
  document.addEventListener("change", (event) => {
    const row = event.target.closest("#today-list .lead");
    if (!row) return;
    if (event.target.checked) ticked.add(row.dataset.lead);
    else ticked.delete(row.dataset.lead);
    mark();
  });
  document.addEventListener("keydown", (event) => {
    if (event.metaKey || event.ctrlKey || event.altKey || document.body.dataset.shortcuts === "off") return;
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) && event.target.type !== "checkbox") return;
    if (document.querySelector("dialog[open], #palette:not([hidden])")) return;
    const key = event.key.toLowerCase();
    if (key === "j") step(1);
    else if (key === "k") step(-1);
    else if (key === "x") rows().find((row) => row.dataset.lead === chosen)?.querySelector(".check").click();
    else return;
    event.preventDefault();
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-bulk-clear]")) return;
    ticked.clear();
    mark();
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.target.id === "today-list" || event.target.classList?.contains("lead") || event.detail.target?.id === "today-list") mark();
  });
  document.addEventListener("htmx:afterSettle", mark);
  // The first lead of an empty page is chosen by itself.
  document.addEventListener("htmx:afterSettle", () => {
    if (!chosen && WIDE.matches && rows().length) choose(rows()[0], false);
  });
})();
