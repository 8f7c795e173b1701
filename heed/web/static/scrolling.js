// Answers scroll together, in proportion: the middle of one beside the middle of the other.

const STORED = "heed:scroll-together";
let linked = true;
try {
  linked = localStorage.getItem(STORED) !== "off";
} catch {
  /* then it starts together */
}

const room = (pane) => pane.scrollHeight - pane.clientHeight;

export const together = () => linked;

export function toggle() {
  linked = !linked;
  try {
    localStorage.setItem(STORED, linked ? "on" : "off");
  } catch {
    /* only for this page, then */
  }
  return linked;
}

/** Tie the panes to each other. */
export function tie(panes) {
  const expected = new Map(); // where we put a pane ourselves: its event is an echo, not a wish
  const follow = (moved) => {
    const echo = expected.get(moved);
    expected.delete(moved);
    if (!linked || (echo !== undefined && Math.abs(echo - moved.scrollTop) < 2) || room(moved) <= 0)
      return;
    const part = moved.scrollTop / room(moved);
    for (const pane of panes) {
      if (pane === moved || room(pane) <= 0) continue;
      const before = pane.scrollTop;
      pane.scrollTop = part * room(pane);
      if (pane.scrollTop !== before) expected.set(pane, pane.scrollTop);
    }
  };
  for (const pane of panes) pane.addEventListener("scroll", () => follow(pane), { passive: true });
}

/** Scroll by a part of a page: the answers where they scroll on their own, else the whole page. */
export function move(panes, part) {
  const tall = panes.filter((pane) => room(pane) > 1);
  if (!tall.length) {
    const page = document.scrollingElement;
    page.scrollTop += part * page.clientHeight;
    return;
  }
  const longest = tall.reduce((a, b) => (room(b) > room(a) ? b : a));
  for (const pane of linked ? [longest] : tall) pane.scrollTop += part * pane.clientHeight;
}
