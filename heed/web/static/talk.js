// What the page says: to screen readers, beside the progress, and in notices that stay until read.

const $ = (id) => document.getElementById(id);
let spoken = "";
let most = 0;

/** Say something to a screen reader; the same words twice are heard twice. */
export function say(text) {
  spoken = spoken === text ? `${text}\u00a0` : text;
  $("live").textContent = spoken;
}

/** A notice above the task, until dismissed (`closed` hears that); a notice of the same kind takes
 * its place. */
export function notice(kind, text, tone = "", closed = () => {}) {
  dismiss(kind);
  const box = document.createElement("div");
  box.className = `notice ${tone}`;
  box.dataset.kind = kind;
  box.setAttribute("role", tone === "bad" ? "alert" : "status");
  const words = document.createElement("p");
  words.textContent = text;
  const close = document.createElement("button");
  close.type = "button";
  close.className = "quiet";
  close.textContent = "Dismiss";
  close.addEventListener("click", () => {
    box.remove();
    closed();
  });
  box.append(words, close);
  $("notices").append(box);
}

export function dismiss(kind) {
  document.querySelector(`#notices [data-kind="${kind}"]`)?.remove();
}

/** How far along we are, as the server counts; it says what is left only where that tells nothing of
 * a task's kind. */
export function progress({ mine, left }) {
  if (mine < most) return; // came late
  most = mine;
  $("progress").hidden = false;
  $("counts").textContent = left === undefined ? `${mine} done` : `${mine} done, ${left} left`;
  $("bar").hidden = left === undefined;
  if (left === undefined) return;
  $("bar").max = Math.max(1, mine + left);
  $("bar").value = mine;
}

/** How many are done, as a sentence. */
export const count = () =>
  most === 1 ? "You have made one comparison." : `You have made ${most} comparisons.`;

/** Whether the answers so far are safe. */
export function saved(outbox) {
  const place = $("saved");
  if (outbox.stuck && !place.classList.contains("stuck"))
    say("The last answer is not saved yet. Trying again.");
  place.classList.toggle("stuck", outbox.stuck);
  place.textContent = outbox.stuck
    ? `${outbox.size} not saved yet, trying again`
    : outbox.size
      ? "Saving"
      : place.textContent && "Saved";
}
