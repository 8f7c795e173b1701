// The verdict on two answers: one of eight grades, a tie, both bad, or cannot tell.

import { letter, mark } from "./view.js";

const WORDS = ["significantly", "clearly", "slightly", "negligibly"];
const OTHERS = { tie: "A tie", both_bad: "Both bad", cannot_tell: "Cannot tell" };
const radios = [...document.querySelectorAll("#pair input")];

const read = (value) => (value in OTHERS ? value : Number(value));

/** What is chosen: a grade 1..8, a word, or null. */
export function verdict() {
  const chosen = radios.find((radio) => radio.checked);
  return chosen ? read(chosen.value) : null;
}

/** The place of the preferred answer, or null. */
export function preferred() {
  const chosen = verdict();
  return typeof chosen === "number" ? Number(chosen > 4) : null;
}

export function words(chosen = verdict()) {
  if (typeof chosen !== "number") return OTHERS[chosen] ?? "";
  return `${letter(Number(chosen > 4))} ${WORDS[chosen <= 4 ? chosen - 1 : 8 - chosen]} better`;
}

export function choose(value) {
  for (const radio of radios) radio.checked = read(radio.value) === value;
  draw();
}

/** Show on the answers what is chosen. */
export function draw() {
  const chosen = verdict();
  const place = preferred();
  const steps = typeof chosen === "number" ? (chosen <= 4 ? 5 - chosen : chosen - 4) : 0;
  const marks = [{}, {}];
  if (place !== null) marks[place] = { words: `${WORDS[4 - steps]} better`, strength: steps };
  else if (chosen !== null) marks.fill({ words: OTHERS[chosen].toLowerCase() });
  mark(marks);
}

export const state = verdict;

/** Back to what a draft or an earlier answer said. */
export const restore = (saved) => choose(saved ?? null);

/** Keys of this verdict; `act(value)` hears what was pressed. */
export function keys(act) {
  const letters = { t: "tie", x: "both_bad", s: "cannot_tell" };
  const grades = Object.fromEntries(Array.from({ length: 8 }, (_, i) => [String(i + 1), i + 1]));
  return Object.fromEntries(
    Object.entries({ ...grades, ...letters }).map(([key, value]) => [key, () => act(value)]),
  );
}
