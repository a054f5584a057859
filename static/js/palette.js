// Ctrl K: search leads or go somewhere. The server fills the list; here are the arrows and the focus.
(() => {
  const veil = document.getElementById("palette");
  if (!veil) return;
  const input = veil.querySelector("input");
  let opener = null;

  const options = () => [...veil.querySelectorAll("[role=option]")];
  const current = () => options().findIndex((option) => option.ariaSelected === "true");

  function choose(index) {
    const all = options();
    all.forEach((option, place) => { option.ariaSelected = String(place === index); });
    if (all[index]) {
      input.setAttribute("aria-activedescendant", all[index].id);
      all[index].scrollIntoView({ block: "nearest" });
    } else {
      input.removeAttribute("aria-activedescendant");
    }
  }

  function open() {
    if (!veil.hidden) return;
    opener = document.activeElement;
    veil.hidden = false;
    input.value = "";
    input.focus();
    htmx.trigger(input, "palette-open");
  }

  function close() {
    if (veil.hidden) return;
    veil.hidden = true;
    opener?.focus?.();
  }

  function go(option) {
    if (option?.dataset.url) location.assign(option.dataset.url);
  }

  veil.addEventListener("htmx:afterSettle", () => choose(0));
  veil.addEventListener("click", (event) => {
    const option = event.target.closest("[role=option]");
    if (option) go(option);
    else if (event.target === veil) close();
  });
  veil.addEventListener("keydown", (event) => {
    const count = options().length;
    if (event.key === "Escape") close();
    else if (event.key === "ArrowDown" && count) choose((current() + 1) % count);
    else if (event.key === "ArrowUp" && count) choose((current() + count - 1) % count);
    else if (event.key === "Enter") go(options()[current()]);
    else if (event.key !== "Tab") return;
    event.preventDefault();
    event.stopPropagation();
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-palette-open]")) return;
    event.preventDefault();
    open();
  });
  document.addEventListener("keydown", (event) => {
    if (!(event.metaKey || event.ctrlKey) || event.key.toLowerCase() !== "k") return;
    event.preventDefault();
    if (veil.hidden) open();
    else close();
  });
})();
