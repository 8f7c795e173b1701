// The arena: ask, compare, vote, see the names, go on. Names reach this page with the answer to the
// vote and not before.

import { listen } from "./keys.js";
import { nodes } from "./markup.js";

const $ = (id) => document.getElementById(id);
const csrf = document.querySelector('meta[name="csrf"]').content;
const SIDES = ["Left", "Right"];
const WORDS = {
  left: "You preferred the left answer",
  right: "You preferred the right answer",
  tie: "You called it a tie",
  both_bad: "You found both bad",
};
const HEARD = { left: 0, tie: 0, right: 1 };

let round = null; // { id, prompt, answers, vote }
let busy = false;

class Problem extends Error {}

async function post(path, body, seconds) {
  let response;
  try {
    response = await fetch(path, {
      method: "POST",
      credentials: "same-origin",
      headers: {
        Accept: "application/json",
        "Content-Type": "application/json",
        "X-CSRF-Token": csrf,
      },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(1000 * seconds),
    });
  } catch {
    throw new Problem("The server cannot be reached. Try again.");
  }
  const answer = await response.json().catch(() => null);
  if (response.ok && answer) return answer;
  throw new Problem(answer?.message ?? `The server said no (${response.status}).`);
}

function complain(error) {
  if (!(error instanceof Problem)) throw error;
  $("problem").textContent = error.message;
  $("problem").hidden = false;
}

/** Run one thing at a time; `work` says what is being waited for. */
async function alone(work) {
  if (busy) return;
  busy = true;
  $("problem").hidden = true;
  $("arena").setAttribute("aria-busy", "true");
  try {
    await work();
  } catch (error) {
    complain(error);
  } finally {
    busy = false;
    $("arena").removeAttribute("aria-busy");
  }
}

function turn(role, content) {
  const box = document.createElement("div");
  box.className = `turn ${role}`;
  const who = document.createElement("h2");
  who.textContent = role === "user" ? "You" : "Answer";
  const text = document.createElement("div");
  text.className = "text";
  text.append(content);
  box.append(who, text);
  $("talk").append(box);
}

function show(answers) {
  $("answers").replaceChildren(
    ...answers.map((html, side) => {
      const card = $("answer").content.cloneNode(true).firstElementChild;
      card.querySelector("h2").textContent = SIDES[side];
      card.querySelector(".text").append(nodes(html));
      return card;
    }),
  );
  $("answers").hidden = false;
  $("votes").hidden = false;
  $("ask").hidden = true;
  for (const button of $("votes").children) {
    button.disabled = false;
    button.removeAttribute("aria-pressed");
  }
}

function wait() {
  const start = Date.now();
  const tell = () => {
    $("live").textContent =
      `Both models are writing (${Math.round((Date.now() - start) / 1000)} s).`;
  };
  // The seconds are for the eye: only the first sentence is worth hearing.
  $("live").textContent = "Both models are writing.";
  const timer = setInterval(() => {
    $("live").setAttribute("aria-live", "off");
    tell();
  }, 1000);
  return () => {
    clearInterval(timer);
    $("live").setAttribute("aria-live", "polite");
    $("live").textContent = "";
  };
}

const ask = () =>
  alone(async () => {
    const prompt = $("prompt").value;
    if (!prompt.trim()) return;
    const done = wait();
    $("send").disabled = true;
    $("prompt").readOnly = true;
    try {
      const answer = await post(
        "/api/arena",
        { prompt, after: round?.id ?? "" },
        Number($("arena").dataset.seconds) + 15,
      );
      if (round) {
        turn("assistant", nodes(round.answers[HEARD[round.vote]]));
      }
      turn("user", prompt);
      round = { id: answer.id, answers: answer.answers, vote: null };
      $("prompt").value = "";
      show(answer.answers);
      $("answers").focus();
    } finally {
      done();
      $("send").disabled = false;
      $("prompt").readOnly = false;
    }
    $("live").textContent = "Two answers are here. Which one is better?";
  });

const vote = (verdict) =>
  alone(async () => {
    if (!round || round.vote) return;
    const answer = await post(`/api/arena/${round.id}/vote`, { verdict }, 15);
    round.vote = answer.verdict;
    const cards = [...$("answers").children];
    cards.forEach((card, side) => {
      const name = card.querySelector(".name");
      name.textContent = answer.models[side];
      name.hidden = false;
      card.classList.toggle("won", SIDES[side].toLowerCase() === answer.verdict);
    });
    for (const button of $("votes").children) {
      button.disabled = true;
      button.setAttribute("aria-pressed", String(button.dataset.vote === answer.verdict));
    }
    $("live").textContent =
      `${WORDS[answer.verdict]}. Left was ${answer.models[0]}, right was ${answer.models[1]}. Your vote is saved.`;
    const on = answer.verdict in HEARD;
    $("ask").hidden = false;
    $("anew").hidden = !on;
    $("ask-label").textContent = !on
      ? "A new prompt"
      : answer.verdict === "tie"
        ? "Go on from the left answer"
        : "Go on from the answer you preferred";
    if (!on) round = null;
    $("prompt").focus({ preventScroll: true });
    $("ask").scrollIntoView({ block: "nearest" });
  });

function anew() {
  if (busy) return;
  round = null;
  $("talk").replaceChildren();
  $("answers").hidden = true;
  $("votes").hidden = true;
  $("anew").hidden = true;
  $("ask-label").textContent = "Your prompt";
  $("live").textContent = "";
  $("prompt").focus();
}

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  if (round === null) $("talk").replaceChildren();
  ask();
});
$("prompt").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("ask").requestSubmit();
});
$("votes").addEventListener("click", (event) => {
  const choice = event.target.closest("[data-vote]")?.dataset.vote;
  if (choice) vote(choice);
});
$("anew").addEventListener("click", anew);
const choices = { 1: "left", 2: "right", t: "tie", x: "both_bad" };
const open = () => round !== null && round.vote === null;
listen(
  Object.fromEntries(
    Object.entries(choices).map(([key, choice]) => [key, () => open() && (vote(choice), true)]),
  ),
  {
    Escape: (field) => {
      field.blur();
    },
  },
);
$("prompt").focus();
