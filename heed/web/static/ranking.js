// The verdict on three or more answers: a ranking with ties, by keys, by pointer, or by arrow keys
// on a letter; or all bad, or cannot tell.

import * as ranks from "./ranks.js";
import { draggable } from "./drag.js";
import { letter, mark } from "./view.js";

const $ = (id) => document.getElementById(id);
const tray = $("tray");
const boxes = [...document.querySelectorAll("#ranking input")];
const SUFFIX = { 1: "st", 2: "nd", 3: "rd" };
const WHOLE = { both_bad: "All bad", cannot_tell: "Cannot tell" };

let count = 0;
let groups = [];
let tied = false;
let changed = () => {};

const ordinal = (rank) => `${rank}${SUFFIX[rank] ?? "th"}`;
const whole = () => boxes.find((box) => box.checked)?.value ?? null;

/** Ranks as shown, a word, or null while it is not complete. */
export const verdict = () => whole() ?? ranks.ranks(groups, count, tied);

/** The place of the best answer, or null. */
export const preferred = () => (whole() ? null : (groups[0]?.[0] ?? null));

export function words() {
  if (whole()) return WHOLE[whole()];
  const said = groups.map(
    (group, place) =>
      `${group.map(letter).join(" and ")} ${group.length > 1 ? "tied " : ""}${ordinal(place + 1)}`,
  );
  return said.join(", ");
}

export const state = () => whole() ?? groups;

/** Ranks as they were saved become groups again. */
function grouped(saved) {
  const order = [...new Set(saved)].sort((a, b) => a - b);
  return order.map((rank) => saved.flatMap((other, place) => (other === rank ? [place] : [])));
}

/** Back to what a draft (groups, a word) or an earlier answer (ranks, a word) said. */
export function restore(saved) {
  tied = false;
  for (const box of boxes) box.checked = box.value === saved;
  groups = !Array.isArray(saved) ? [] : Array.isArray(saved[0]) ? saved : grouped(saved);
  if (saved === "tie") groups = [Array.from({ length: count }, (_, place) => place)];
  draw();
}

/** A task of `many` answers; `heard` is called after every change. */
export function begin(many, heard) {
  count = many;
  changed = heard;
}

function change(next) {
  groups = next;
  tied = false;
  for (const box of boxes) box.checked = false;
  draw();
  changed();
}

function press(answer) {
  if (answer >= count) return;
  change(
    ranks.placed(groups, answer) >= 0
      ? ranks.remove(groups, answer)
      : ranks.pick(groups, answer, tied),
  );
}

export function tieNext() {
  tied = !tied && groups.length > 0 && !whole();
  draw();
  changed(tied ? "The next answer ties with the last" : "No tie");
}

/** All bad or cannot tell; pressed again, the ranking comes back. */
function toggleWhole(value) {
  for (const box of boxes) box.checked = box.value === value && !box.checked;
  draw();
  changed();
}

const takeBack = () => {
  if (groups.length) change(ranks.remove(groups, groups.at(-1).at(-1)));
};

/** Keys of this verdict; `submit()` answers a second press of all bad or cannot tell. */
export function keys(submit) {
  const letters = { x: "both_bad", s: "cannot_tell" };
  const numbers = Array.from({ length: 9 }, (_, place) => [String(place + 1), () => press(place)]);
  const wholes = Object.entries(letters).map(([key, value]) => [
    key,
    () => (whole() === value ? submit() : toggleWhole(value)),
  ]);
  return {
    ...Object.fromEntries([...numbers, ...wholes]),
    t: tieNext,
    "=": tieNext,
    Backspace: takeBack,
  };
}

function chip(answer, rank) {
  const node = document.createElement("button");
  node.type = "button";
  node.className = "chip";
  node.dataset.answer = answer;
  node.textContent = letter(answer);
  const others = rank ? groups[rank - 1].filter((other) => other !== answer).map(letter) : [];
  const place = rank
    ? `${ordinal(rank)}${others.length ? `, tied with ${others.join(" and ")}` : ""}`
    : "not ranked";
  node.setAttribute("aria-label", `Answer ${letter(answer)}, ${place}`);
  return node;
}

function slot(drop, className, ...children) {
  const node = document.createElement("div");
  node.className = className;
  node.dataset.drop = drop;
  node.append(...children);
  return node;
}

function label(text) {
  const node = document.createElement("span");
  node.className = "rank";
  node.setAttribute("aria-hidden", "true");
  node.textContent = text;
  return node;
}

/** Show the ranking in the tray and on the answers. */
export function draw() {
  const held = tray.contains(document.activeElement) ? document.activeElement.dataset.answer : null;
  const rest = ranks.unplaced(groups, count);
  const row = groups.flatMap((group, place) => [
    slot(`gap ${place}`, "gap"),
    slot(
      `tie ${group[0]}`,
      "group",
      label(ordinal(place + 1)),
      ...group.map((answer) => chip(answer, place + 1)),
    ),
  ]);
  row.push(
    slot(
      `gap ${groups.length}`,
      groups.length ? "gap" : "gap empty",
      ...(groups.length ? [] : [label("best first")]),
    ),
  );
  if (rest.length)
    row.push(slot("pool", "pool", label("to rank"), ...rest.map((answer) => chip(answer, 0))));
  tray.replaceChildren(...row);
  tray.classList.toggle("off", whole() !== null);
  if (held !== null) tray.querySelector(`[data-answer="${held}"]`)?.focus();
  $("tie-next").setAttribute("aria-pressed", String(tied));
  mark(
    Array.from({ length: count }, (_, answer) => {
      const at = ranks.placed(groups, answer);
      if (whole()) return { words: WHOLE[whole()].toLowerCase() };
      return at < 0 ? {} : { words: ordinal(at + 1), strength: at === 0 ? 3 : 1 };
    }),
  );
}

const DROPS = {
  gap: (answer, place) => ranks.insert(groups, answer, place),
  tie: (answer, other) => ranks.tie(groups, answer, other),
  pool: (answer) => ranks.remove(groups, answer),
};

draggable(tray, {
  tap: (answer) => press(answer),
  drop: (answer, target) => {
    const [kind, value] = target.split(" ");
    change(DROPS[kind](answer, Number(value)));
  },
});
tray.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const answer = event.target.dataset?.answer;
  if (!step || answer === undefined) return;
  event.preventDefault();
  change(ranks.shift(groups, Number(answer), step));
});
$("answers").addEventListener("click", (event) => {
  const pick = event.target.closest?.("[data-pick]");
  if (pick) press(Number(pick.dataset.pick));
});
for (const box of boxes) {
  box.addEventListener("change", () => {
    for (const other of boxes) if (other !== box) other.checked = false;
    draw();
    changed();
  });
}
