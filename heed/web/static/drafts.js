// Drafts: what is begun but not submitted. Put to the server a moment after the last change; a copy
// stays in this tab until the server has it, so that even a reload at once keeps every word.

import * as api from "./api.js";

const QUIET = 500;
const name = (lease) => `heed:draft:${api.member}:${lease}`;

export class Drafts {
  #lease = null;
  #text = "";
  #timer = 0;

  constructor() {
    addEventListener("pagehide", () => this.flush({ keepalive: true }));
  }

  /** Keep `text` as the draft of `lease`. */
  keep(lease, text) {
    if (this.#lease !== null && this.#lease !== lease) this.flush();
    this.#lease = lease;
    this.#text = text;
    try {
      sessionStorage.setItem(name(lease), text);
    } catch {
      /* the server's copy will do */
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.flush(), QUIET);
  }

  /** What was begun of a task: this tab's copy, or else the server's. */
  of(task) {
    let text = null;
    try {
      text = sessionStorage.getItem(name(task.lease));
    } catch {
      /* as above */
    }
    try {
      return JSON.parse(text ?? (task.draft || "null"));
    } catch {
      return null;
    }
  }

  /** The task was answered: its draft is over. */
  forget(lease) {
    if (this.#lease === lease) {
      clearTimeout(this.#timer);
      this.#lease = null;
    }
    try {
      sessionStorage.removeItem(name(lease));
    } catch {
      /* as above */
    }
  }

  /** Put what waits to the server now. */
  async flush(options) {
    clearTimeout(this.#timer);
    if (this.#lease === null) return;
    const [lease, text] = [this.#lease, this.#text];
    this.#lease = null;
    try {
      await api.draft(lease, text, options);
      if (sessionStorage.getItem(name(lease)) === text) sessionStorage.removeItem(name(lease));
    } catch {
      /* this tab's copy stays; the answer itself never depends on it */
    }
  }
}
