// What may be said beside a verdict: a better answer in one's own words, tags, a comment.

import { notice } from "./talk.js";
import { letter } from "./view.js";

const $ = (id) => document.getElementById(id);
const rewrite = $("rewrite");
const comment = $("comment");
const tags = [...document.querySelectorAll('[name="tag"]')];

const LONGEST = Number(rewrite.maxLength);

let texts = []; // of the answers, "" for one that is too long to start from
let tooLong = [];
let seed = null; // the place of the answer that the rewrite began as
let changed = () => {};

function show() {
  const [rewriting, remarks] = [!$("rewriting").hidden, !$("remarks").hidden];
  $("notes").hidden = !rewriting && !remarks;
  document.querySelector('[data-do="rewrite"]').setAttribute("aria-expanded", String(rewriting));
  document.querySelector('[data-do="comment"]').setAttribute("aria-expanded", String(remarks));
}

const untouched = () => rewrite.value === (seed === null ? "" : texts[seed]);
/** As the server can store it. */
const sound = (text) => text.replaceAll("\0", "").toWellFormed().trim();

function sow(place) {
  seed = place;
  rewrite.value = place === null ? "" : texts[place];
  if (tooLong[place])
    notice("rewrite", `Answer ${letter(place)} is too long to start from: write your own.`, "warn");
  changed();
}

function seedButton(words, title, act) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.textContent = words;
  button.title = title;
  button.addEventListener("click", act);
  return button;
}

/** A new task with these raw texts; `heard` is called after every change. */
export function begin(raw, heard) {
  // As a textarea holds them; half of an answer that is too long for it would be no start.
  texts = raw.map((text) => text.replaceAll(/\r\n?/g, "\n"));
  tooLong = texts.map((text) => text.length > LONGEST);
  texts = texts.map((text, place) => (tooLong[place] ? "" : text));
  changed = heard;
  $("seeds").replaceChildren(
    ...texts.map((_, place) =>
      seedButton(`From ${letter(place)}`, `Start again from answer ${letter(place)}`, () => {
        sow(place);
        rewrite.focus();
      }),
    ),
    seedButton("Discard", "No rewrite after all", () => {
      close("rewriting");
      sow(null);
      $("task").focus();
    }),
  );
}

/** What was written, as it is sent: a rewrite that changes nothing is none. */
export function written() {
  return {
    rewrite: $("rewriting").hidden || untouched() ? "" : sound(rewrite.value),
    tags: tags.filter((box) => box.checked).map((box) => box.value),
    comment: sound(comment.value),
  };
}

export const state = () => ({
  ...written(),
  rewrite: rewrite.value,
  seed,
  rewriting: !$("rewriting").hidden,
  remarks: !$("remarks").hidden,
});

/** Back to what a draft or an earlier answer said; nothing for a fresh task. */
export function restore(saved = {}) {
  rewrite.value = saved.rewrite ?? "";
  seed = saved.seed ?? null;
  comment.value = saved.comment ?? "";
  for (const box of tags) box.checked = (saved.tags ?? []).includes(box.value);
  $("rewriting").hidden = !(saved.rewriting ?? Boolean(saved.rewrite));
  $("remarks").hidden = !(saved.remarks ?? (Boolean(saved.comment) || Boolean(saved.tags?.length)));
  show();
}

/** The preferred answer changed: an untouched rewrite follows it. */
export function follow(preferred) {
  if (!$("rewriting").hidden && untouched() && preferred !== null) sow(preferred);
}

export function openRewrite(preferred) {
  if ($("rewriting").hidden) {
    $("rewriting").hidden = false;
    if (!rewrite.value) sow(preferred ?? 0);
  }
  show();
  rewrite.focus();
  rewrite.setSelectionRange(rewrite.value.length, rewrite.value.length);
}

export function openRemarks() {
  $("remarks").hidden = false;
  show();
  comment.focus();
}

function close(part) {
  $(part).hidden = true;
  show();
}

/** From a field back to the keys; what was left empty or unchanged is folded away. */
export function leave() {
  if (!written().rewrite) close("rewriting");
  if (!comment.value.trim() && !tags.some((box) => box.checked)) close("remarks");
  $("task").focus({ preventScroll: true });
}

for (const field of [rewrite, comment, ...tags]) field.addEventListener("input", () => changed());
