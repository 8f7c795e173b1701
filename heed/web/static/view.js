// A task as nodes: the conversation and the answers. Built while the task waits its turn, mounted
// when it is asked.

import * as markup from "./markup.js";

const $ = (id) => document.getElementById(id);
const WHO = { system: "Instructions", user: "User", assistant: "Assistant" };

/** The letter that stands for an answer. */
export const letter = (place) => String.fromCharCode(65 + place);

function turn(message, prominent) {
  const node = $("turn").content.firstElementChild.cloneNode(true);
  node.classList.add(message.role);
  node.classList.toggle("prominent", prominent);
  node.querySelector("h3").textContent = WHO[message.role] ?? message.role;
  node.querySelector(".text").append(markup.nodes(message.html));
  return node;
}

function answer(html, place, ranked) {
  const node = $("answer").content.firstElementChild.cloneNode(true);
  node.dataset.place = place;
  node.querySelector("h3").textContent = `Answer ${letter(place)}`;
  const pick = node.querySelector(".pick");
  pick.hidden = !ranked;
  pick.dataset.pick = place;
  pick.setAttribute("aria-label", `Rank answer ${letter(place)} next`);
  pick.append(key(place + 1), "Rank next");
  const pane = node.querySelector(".text");
  pane.setAttribute("aria-label", `Answer ${letter(place)}`);
  pane.append(markup.nodes(html));
  return node;
}

function key(name) {
  const node = document.createElement("kbd");
  node.textContent = name;
  return node;
}

/** The nodes of a task: {task, earlier, asked, answers, panes}. */
export function build(task) {
  const last = task.messages.findLastIndex((message) => message.role === "user");
  const asked = last < 0 ? task.messages.length - 1 : last;
  const answers = task.answers.map((html, place) => answer(html, place, task.kind === "ranking"));
  return {
    task,
    earlier: task.messages.slice(0, asked).map((message) => turn(message, false)),
    asked: task.messages.slice(asked).map((message, place) => turn(message, place === 0)),
    answers,
    panes: answers.map((node) => node.querySelector(".text")),
  };
}

/** Put a built task on the page. */
export function mount({ earlier, asked, answers, panes }) {
  const fold = $("earlier");
  fold.hidden = earlier.length === 0;
  fold.open = false;
  fold.querySelector("summary").textContent =
    earlier.length === 1 ? "1 earlier turn" : `${earlier.length} earlier turns`;
  fold.querySelector(".turns").replaceChildren(...earlier);
  $("asked").replaceChildren(...asked);
  $("answers").replaceChildren(...answers);
  $("answers").dataset.count = answers.length;
  $("conversation").scrollTop = 0;
  for (const pane of panes) pane.scrollTop = 0;
  document.scrollingElement.scrollTop = 0;
}

/** Mark answers with words such as "clearly better" or "2nd"; `strength` 0..4 draws the border. */
export function mark(marks) {
  [...$("answers").children].forEach((node, place) => {
    const { words = "", strength = 0 } = marks[place] ?? {};
    node.dataset.strength = strength;
    node.querySelector(".pick").lastChild.textContent = strength ? "Take out" : "Rank next";
    node.querySelector(".verdict-word").textContent = words;
  });
}
