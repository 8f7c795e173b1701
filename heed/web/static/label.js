// The flow of comparing: ask, show, hear a verdict, hand it to the outbox, show the next at once.

import * as api from "./api.js";
import { Stopwatch, Stretch } from "./clock.js";
import { Drafts } from "./drafts.js";
import { announceGuidelines, openGuidelines, openHelp } from "./dialogs.js";
import * as keys from "./keys.js";
import * as notes from "./notes.js";
import { aside, forget, newKey, Outbox } from "./outbox.js";
import * as pair from "./pair.js";
import * as ranking from "./ranking.js";
import * as scrolling from "./scrolling.js";
import * as talk from "./talk.js";
import { opened, Tasks } from "./tasks.js";
import { mount } from "./view.js";

const UI = "heed-web/1";
const RESTORED_PAUSE = 400; // ms before a verdict that nobody has pressed yet may be submitted
const AGAIN = 30_000; // how often an empty queue is asked again
const $ = (id) => document.getElementById(id);
const OUT_OF_REACH = "The server cannot be reached. Your answers are kept here; trying again.";
const KINDS = { pair, ranking };

const outbox = new Outbox();
const tasks = new Tasks(outbox);
const drafts = new Drafts();
const stopwatch = new Stopwatch();
const stretch = new Stretch();

let turn = 0; // grows with every move; what comes back late from an earlier one is dropped
let shownAt = 0;
let touched = false; // has a verdict been given since the task was shown?
let undoing = false;

const kind = () => KINDS[tasks.current.task.kind];

/* Showing */

function show(view) {
  turn += 1;
  tasks.current = view;
  const { task } = view;
  const draft = drafts.of(task);
  $("end").hidden = $("waiting").hidden = true;
  $("task").hidden = $("verdict").hidden = false;
  $("pair").hidden = task.kind !== "pair";
  $("ranking").hidden = task.kind !== "ranking";
  document.body.dataset.kind = task.kind;
  mount(view);
  scrolling.tie(view.panes);
  if (task.kind === "ranking") ranking.begin(task.answers.length, changed);
  notes.begin(task.texts, keep);
  kind().restore(draft ? draft.verdict : task.earlier?.verdict);
  notes.restore(draft ?? task.earlier ?? {});
  touched = false;
  shownAt = performance.now();
  stopwatch.start(draft?.seconds ?? task.earlier?.seconds ?? 0);
  ready();
  $("task").focus({ preventScroll: true });
  talk.say(
    task.earlier
      ? `Back to your last answer: ${kind().words() || "no verdict"}.`
      : "Next comparison.",
  );
  announceGuidelines(task.guideline);
  tasks.prefetch();
}

/** The next task: at once if one waits, else when the server has one, else the end. */
async function advance() {
  turn += 1;
  const mine = turn;
  tasks.current = null;
  let view = tasks.take();
  for (let failures = 0; !view; view = tasks.take()) {
    wait(failures || outbox.stuck ? OUT_OF_REACH : "Fetching the next comparison.");
    try {
      const found = await tasks.more();
      if (mine !== turn) return;
      failures = 0;
      if (found || tasks.waiting) continue;
      if (outbox.size && !outbox.signedOut) {
        await outbox.flush();
        if (mine !== turn) return;
        continue;
      }
      end();
      return;
    } catch (error) {
      if (mine !== turn) return;
      if (error instanceof api.Refused) {
        wait(`${error.message} Your answers are kept in this browser.`);
        return;
      }
      if (!(error instanceof api.Unreachable)) throw error;
      failures += 1;
      await new Promise((resolve) => {
        setTimeout(resolve, Math.min(5_000, 300 * 2 ** failures));
      });
      if (mine !== turn) return;
    }
  }
  show(view);
}

function wait(words) {
  $("task").hidden = $("verdict").hidden = $("end").hidden = true;
  $("waiting").hidden = false;
  $("waiting").firstElementChild.textContent = words;
}

function end() {
  const mine = turn;
  $("task").hidden = $("verdict").hidden = $("waiting").hidden = true;
  $("end").hidden = false;
  $("end-words").textContent =
    `${talk.count()} Thank you. What others leave open comes back; ` +
    "this page looks for it by itself.";
  $("end").focus({ preventScroll: true });
  talk.say("That is everything for now.");
  lookAgain(mine);
}

/** While the end is on screen, ask now and then whether there is more after all. */
function lookAgain(mine) {
  setTimeout(async () => {
    if (mine !== turn) return;
    const found = document.visibilityState === "visible" && (await tasks.more().catch(() => false));
    if (mine !== turn) return;
    if (found) advance();
    else lookAgain(mine);
  }, AGAIN);
}

/* Saying */

const complete = () => tasks.current !== null && kind().verdict() !== null;

function ready() {
  $("submit").setAttribute("aria-disabled", String(!complete()));
}

/** Keep everything said so far as a draft. */
function keep() {
  if (!tasks.current) return;
  drafts.keep(
    tasks.current.task.lease,
    JSON.stringify({
      verdict: kind().state(),
      seconds: stopwatch.seconds,
      ...notes.state(),
    }),
  );
}

/** The verdict changed: show it, say it, keep it. */
function changed(words) {
  touched = true;
  ready();
  notes.follow(kind().preferred());
  const said = words ?? kind().words();
  talk.say(complete() && !words ? `${said}. Enter submits.` : said);
  keep();
}

function choose(value) {
  if (touched && pair.verdict() === value) {
    submit();
    return;
  }
  pair.choose(value);
  changed();
}

function submit() {
  if (!tasks.current) return;
  if (!complete()) {
    talk.say(
      tasks.current.task.kind === "pair" ? "Choose a grade first." : "Rank the answers first.",
    );
    nudge();
    return;
  }
  // The second half of a double press:
  if (!touched && performance.now() - shownAt < RESTORED_PAUSE) return;
  const { lease } = tasks.current.task;
  const body = {
    lease,
    key: newKey(),
    verdict: kind().verdict(),
    seconds: stopwatch.seconds,
    ...notes.written(),
    ui: UI,
  };
  drafts.forget(lease);
  outbox.add(body);
  advance();
  const words = stretch.answered();
  if (words) talk.notice("break", words);
}

function nudge() {
  const bar = $("verdict");
  bar.classList.remove("nudge");
  void bar.offsetWidth; // so that the animation starts again
  bar.classList.add("nudge");
}

async function undo() {
  if (undoing) return;
  if (outbox.stuck) {
    talk.notice("undo", "The last answer is not saved yet. It can be changed as soon as it is.");
    return;
  }
  undoing = true;
  try {
    await outbox.flush();
    const { task } = await api.undo();
    if (!task || task.lease === tasks.current?.task.lease) {
      talk.say("There is nothing to undo.");
      nudge();
      return;
    }
    await drafts.flush();
    drafts.forget(task.lease);
    const view = opened(task);
    tasks.interrupt(view);
    show(view);
  } catch (error) {
    talk.notice(
      "undo",
      error instanceof api.Refused ? error.message : "The server cannot be reached just now.",
      "warn",
    );
  } finally {
    undoing = false;
  }
}

/** Say that an answer was refused, with what would be lost of it, until its author has read that. */
function tellAside(entry) {
  const { key, rewrite, comment } = entry.body;
  const texts = [rewrite, comment].filter(Boolean).map((text) => ` You wrote: \u201c${text}\u201d`);
  talk.notice(
    `aside-${key}`,
    `An answer of yours was not saved. ${entry.why} ` +
      `It is kept aside in this browser until you dismiss this.${texts.join("")}`,
    "bad",
    () => forget(entry),
  );
}

/* Wiring */

function link() {
  const on = scrolling.toggle();
  document.querySelector('[data-do="link"]').setAttribute("aria-pressed", String(on));
  talk.say(on ? "Answers scroll together." : "Each answer scrolls on its own.");
}

const acts = {
  undo,
  link,
  help: openHelp,
  guidelines: openGuidelines,
  rewrite: () => {
    if (tasks.current) {
      notes.openRewrite(kind().preferred());
      keep();
    }
  },
  comment: () => {
    if (tasks.current) {
      notes.openRemarks();
      keep();
    }
  },
  tie: () => ranking.tieNext(),
  again: () => advance(),
};

const verdictKeys = { pair: pair.keys(choose), ranking: ranking.keys(submit) };
const ofVerdict = (key) => () =>
  tasks.current ? verdictKeys[tasks.current.task.kind][key]?.() : false;
const scrolls = Object.fromEntries(
  Object.entries(keys.SCROLLING).map(([key, part]) => [
    key,
    (event) => {
      if (!tasks.current || event.target.closest?.("input, [data-answer], summary")) return false;
      if (
        event.target.matches?.("#conversation") &&
        event.target.scrollHeight > event.target.clientHeight
      )
        return false;
      scrolling.move(tasks.current.panes, event.shiftKey ? -part : part);
      return true;
    },
  ]),
);

keys.listen(
  {
    ...Object.fromEntries([..."123456789txs=", "Backspace"].map((key) => [key, ofVerdict(key)])),
    ...scrolls,
    z: undo,
    r: acts.rewrite,
    c: acts.comment,
    g: acts.guidelines,
    l: link,
    "?": acts.help,
    e: () => {
      $("earlier").open = !$("earlier").open;
    },
    Enter: () => (tasks.current ? submit() : false),
    Escape: () => notes.leave(),
  },
  {
    Escape: () => notes.leave(),
    Enter: (field) => (field.id === "comment" ? notes.leave() : false),
    "Ctrl Enter": () => submit(),
  },
);

document.addEventListener("click", (event) => {
  const name = event.target.closest?.("[data-do]")?.dataset.do;
  if (name) acts[name]();
});
$("pair").addEventListener("change", () => {
  pair.draw();
  changed();
});
$("verdict").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
for (const type of ["keydown", "pointerdown", "wheel"])
  addEventListener(type, () => tasks.renew(), { passive: true });
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

outbox.addEventListener("change", () => talk.saved(outbox));
outbox.addEventListener("saved", ({ detail }) => {
  talk.progress(detail.progress);
  talk.dismiss("unsaved");
  tasks.prefetch();
});
outbox.addEventListener("refused", ({ detail: { error, entry } }) => {
  if (error.signedOut)
    talk.notice(
      "unsaved",
      `${error.message} Answers that are not saved yet are kept in this browser.`,
      "bad",
    );
  else tellAside(entry);
});

document
  .querySelector('[data-do="link"]')
  .setAttribute("aria-pressed", String(scrolling.together()));
talk.saved(outbox);
for (const entry of aside()) tellAside(entry);
if (outbox.size)
  await Promise.race([
    outbox.flush(),
    new Promise((resolve) => {
      setTimeout(resolve, 3_000);
    }),
  ]);
advance();
