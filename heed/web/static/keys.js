// Single keys. They never fire while someone types in a field, holds Ctrl, Alt or Meta, keeps a key
// pressed, or has a dialog open; they can be switched off (WCAG 2.1.4).

const STORED = "heed:single-keys";
const TYPED =
  "textarea, select, [contenteditable], " +
  "input:not([type=radio], [type=checkbox], [type=button], [type=submit])";
const OPERATED = "a[href], button, summary";

const typing = (target) => target instanceof Element && target.closest(TYPED) !== null;

/** A button reached by keyboard answers Enter and Space itself; one just clicked does not. */
function operated(event) {
  const target = event.target instanceof Element ? event.target.closest(OPERATED) : null;
  return target !== null && target.matches(":focus-visible");
}

/** The key in the words of the actions: "1", "t", "Enter"; by place on other layouts. */
export function named(event) {
  const { key, code } = event;
  if (key.length > 1) return key;
  const digit = /^Digit(\d)$/.exec(code)?.[1];
  // On some layouts the row of digits gives other signs.
  if (digit && !/^[a-z?]$/i.test(key)) return digit;
  if (/^[\x21-\x7e]$/.test(key)) return key.toLowerCase();
  return /^Key([A-Z])$/.exec(code)?.[1].toLowerCase() ?? key;
}

export function enabled(wish) {
  try {
    if (wish !== undefined) localStorage.setItem(STORED, wish ? "on" : "off");
    return localStorage.getItem(STORED) !== "off";
  } catch {
    return true;
  }
}

/** Call `actions[key]()` for keys pressed anywhere; one that returns false leaves the key alone. */
export function listen(actions, fields) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]"))
      return;
    const command = event.ctrlKey || event.metaKey;
    if (typing(event.target)) {
      const act = fields[(command ? "Ctrl " : "") + event.key];
      if (act && act(event.target) !== false) event.preventDefault();
      return;
    }
    if (command || event.altKey) return;
    const key = named(event);
    const scrolls = key in SCROLLING;
    if (!enabled() && /^[a-z0-9?]$/.test(key)) return;
    if (["Enter", " "].includes(key) && operated(event)) return;
    if (event.repeat && !scrolls) {
      if (key === "Enter") event.preventDefault();
      return;
    }
    if (key in actions && actions[key](event) !== false) event.preventDefault();
  });
}

/** Keys that scroll, and by what part of a page. */
export const SCROLLING = {
  ArrowDown: 0.12,
  ArrowUp: -0.12,
  PageDown: 0.85,
  PageUp: -0.85,
  " ": 0.85,
};
