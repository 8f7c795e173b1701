// Dark or light: the system's wish, unless a person has said otherwise here. A classic script in
// the head, so that a page never flashes in the wrong colours.

(() => {
  const root = document.documentElement;
  const order = { light: "dark", dark: "light" };
  const wish = () => {
    try {
      return localStorage.getItem("heed:theme");
    } catch {
      return null;
    }
  };
  const system = matchMedia("(prefers-color-scheme: dark)");
  const shown = () => root.dataset.theme ?? (system.matches ? "dark" : "light");

  if (wish() in order) root.dataset.theme = wish();

  document.addEventListener("click", (event) => {
    if (!event.target.closest?.("[data-theme-toggle]")) return;
    const next = order[shown()];
    const follows = (next === "dark") === system.matches;
    if (follows) delete root.dataset.theme;
    else root.dataset.theme = next;
    try {
      if (follows) localStorage.removeItem("heed:theme");
      else localStorage.setItem("heed:theme", next);
    } catch {
      /* private windows may refuse: the page still changes */
    }
  });
})();
