// The theme changes at once; the server keeps it for the next page.
(() => {
  const form = document.querySelector("[data-theme-form]");
  if (!form) return;
  const root = document.documentElement;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    const theme = isDark ? "light" : "dark";
    root.dataset.theme = theme;
    htmx.ajax("POST", form.action, { values: { theme }, swap: "none", source: form });
  });
})();
