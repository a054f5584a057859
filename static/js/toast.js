// Toasts leave after 8 s, wait while the pointer or the focus is on them, and only the newest stays.
(() => {
  const LIFE_MS = 8000;

  function start(toast) {
    let left = LIFE_MS, since = 0, timer = 0;
    const bar = toast.querySelector("i");
    const run = () => {
      since = performance.now();
      timer = setTimeout(() => toast.remove(), left);
      bar?.getAnimations().forEach((animation) => animation.play());
    };
    const hold = () => {
      clearTimeout(timer);
      left -= performance.now() - since;
      bar?.getAnimations().forEach((animation) => animation.pause());
    };
    toast.addEventListener("pointerenter", hold);
    toast.addEventListener("pointerleave", run);
    toast.addEventListener("focusin", hold);
    toast.addEventListener("focusout", run);
    toast.querySelector("[data-toast-close]")?.addEventListener("click", () => toast.remove());
    run();
  }

  function adopt() {
    const toasts = [...document.querySelectorAll("#toasts [data-toast]")];
    toasts.slice(0, -1).forEach((old) => old.remove());
    const newest = toasts.at(-1);
    if (newest && !newest.dataset.running) {
      newest.dataset.running = "yes";
      start(newest);
    }
  }

  adopt();
  document.addEventListener("htmx:oobAfterSwap", adopt);
  document.addEventListener("htmx:afterSettle", adopt);
  // A request that failed on its way must not look like success.
  const lost = (event) => {
    if (event.detail?.requestConfig?.verb === "get") return;
    const template = document.getElementById("toast-failed");
    document.getElementById("toasts").replaceChildren(template.content.cloneNode(true));
    adopt();
  };
  document.addEventListener("htmx:sendError", lost);
  document.addEventListener("htmx:responseError", lost);
})();
