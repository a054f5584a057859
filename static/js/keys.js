// Shortcuts. Single letters do nothing while typing and can be switched off in the profile (WCAG 2.1.4).
// An element says its own letter: data-key="c". Everything here also has a button or a link.
(() => {
  const GO = { t: "/", l: "/leads/", i: "/imports/", a: "/agents/" };
  const GO_WAIT_MS = 900;
  let went = -Infinity;

  const letters = () => document.body.dataset.shortcuts !== "off";
  const typing = (target) => /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) && !["checkbox", "radio"].includes(target.type);
  const visible = (element) => element.offsetParent !== null;
  const layer = () => document.querySelector("dialog[open], #palette:not([hidden])");

  function press(element) {
    if (element.matches("input, textarea")) {
      element.focus();
      element.select?.();
    } else {
      element.click();
    }
  }

  function cancel() {
    const menu = document.querySelector("details[data-menu][open]");
    if (menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
      return true;
    }
    const link = document.activeElement?.closest("form")?.querySelector("[data-cancel]");
    link?.click();
    return Boolean(link);
  }

  document.addEventListener("keydown", (event) => {
    if ((event.metaKey || event.ctrlKey) && event.key === "Enter") {
      const inside = document.activeElement?.closest("form")?.querySelector("[data-send]");
      const button = inside || [...document.querySelectorAll("[data-send]")].find(visible);
      if (button && !layer()) {
        event.preventDefault();
        button.click();
      }
      return;
    }
    if (event.key === "Escape" && !layer() && cancel()) {
      event.preventDefault();
      return;
    }
    if (layer() || typing(event.target) || event.metaKey || event.ctrlKey || event.altKey || !letters()) return;
    const key = event.key.toLowerCase();
    if (performance.now() - went < GO_WAIT_MS && GO[key]) {
      location.assign(GO[key]);
      return;
    }
    if (key === "g") {
      went = performance.now();
      return;
    }
    const element = key === "z"
      ? document.querySelector("[data-undo]")
      : [...document.querySelectorAll(`[data-key="${CSS.escape(key)}"]`)].find(visible);
    if (element) {
      event.preventDefault();
      press(element);
    } else if (event.key === "?") {
      document.getElementById("shortcuts")?.showModal();
    }
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-shortcuts-open]")) document.getElementById("shortcuts")?.showModal();
    document.querySelectorAll("details[data-menu][open]").forEach((menu) => {
      if (!menu.contains(event.target)) menu.open = false;
    });
  });
})();
