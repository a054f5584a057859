// Small forms open in a dialog; without JavaScript the same link opens them as a page.
// Also: text areas that grow with their text, and focus that lands where a form appeared.
(() => {
  const sheet = document.getElementById("sheet");
  const body = document.getElementById("sheet-body");
  let opener = null;

  async function open(address, from) {
    opener = from;
    await htmx.ajax("GET", address, { target: "#sheet-body", swap: "innerHTML" });
    sheet.showModal();
    (body.querySelector("[data-focus]") || body).focus();
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-dialog]");
    if (!link || !sheet || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const from = link.closest("details[data-menu]")?.querySelector("summary") || link;
    link.closest("details[data-menu]")?.removeAttribute("open");
    open(link.href, from);
  });
  document.body.addEventListener("sheet-open", (event) => open(event.detail.address, event.detail.from));
  sheet?.addEventListener("click", (event) => { if (event.target === sheet) sheet.close(); });
  sheet?.addEventListener("close", () => {
    body.replaceChildren();
    opener?.focus?.();
  });
  document.body.addEventListener("sheet-close", () => sheet?.close());

  const fit = (area) => {
    area.rows = Math.max(Number(area.dataset.least || area.rows), 1);
    while (area.scrollHeight > area.clientHeight + 2 && area.rows < 40) area.rows += 1;
  };
  const ready = (root) => {
    root.querySelectorAll?.("textarea[data-grow]").forEach((area) => {
      area.dataset.least = area.rows;
      fit(area);
    });
    const focus = root.matches?.("[data-focus]") ? root : root.querySelector?.("[data-focus]");
    if (focus && !focus.closest("dialog")) {
      focus.focus();
      if (focus.matches("input[name=value]") && !["datetime-local", "date"].includes(focus.type)) focus.select();
    }
  };
  document.addEventListener("input", (event) => { if (event.target.matches("textarea[data-grow]")) fit(event.target); });
  document.addEventListener("htmx:afterSettle", (event) => ready(event.target));
  ready(document);

  // The focus goes back to the value whose form was closed.
  let edited = "";
  document.addEventListener("htmx:beforeRequest", (event) => {
    const place = event.target.closest?.("dd[id]");
    if (place) edited = place.id;
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    if (edited && event.target.id === edited && !event.target.querySelector("form")) {
      event.target.querySelector("a")?.focus({ preventScroll: true });
      edited = "";
    }
  });
})();
