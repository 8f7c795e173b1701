// Answers on their way to the server. Each is written down in this browser first, under a key that
// the server knows it by, and crossed out only when the server has said that it has it: closing the
// page, losing the network or sending twice neither loses an answer nor doubles it. An answer that
// the server refuses is set aside here, until its author has read that and dismisses it.

import * as api from "./api.js";

const PREFIX = `heed:unsaved:${api.member}:`;
const ASIDE = `heed:aside:${api.member}:`;
const FIRST_WAIT = 400;
const LONGEST_WAIT = 8_000;

/** A key of 128 random bits (randomUUID is missing where a page is not served securely). */
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");
}

function writtenDown(prefix = PREFIX) {
  const found = [];
  try {
    for (const name of Object.keys(localStorage)) {
      if (name.startsWith(prefix)) found.push(JSON.parse(localStorage.getItem(name)));
    }
  } catch {
    /* without storage the answers still wait in memory */
  }
  return found.sort((a, b) => a.at - b.at);
}

function writeDown(entry, prefix = PREFIX) {
  try {
    localStorage.setItem(prefix + entry.body.key, JSON.stringify(entry));
  } catch {
    /* as above */
  }
}

function crossOut(entry, prefix = PREFIX) {
  try {
    localStorage.removeItem(prefix + entry.body.key);
  } catch {
    /* as above */
  }
}

/** The answers that were refused, on this page or an earlier one: {body, at, why}. */
export const aside = () => writtenDown(ASIDE);
export const forget = (entry) => crossOut(entry, ASIDE);

export class Outbox extends EventTarget {
  #entries = writtenDown();
  #sending = null;
  #wake = null;
  #failures = 0;
  #signedOut = false;

  constructor() {
    super();
    addEventListener("online", () => this.#wake?.());
    document.addEventListener("visibilitychange", () => this.#wake?.());
    addEventListener("beforeunload", (event) => {
      if (this.#failures && this.size) event.preventDefault();
    });
  }

  get size() {
    return this.#entries.length;
  }
  get signedOut() {
    return this.#signedOut;
  }
  get leases() {
    return this.#entries.map((entry) => entry.body.lease);
  }
  /** Is the server out of reach, or are we signed out? */
  get stuck() {
    return this.size > 0 && (this.#failures > 0 || this.#signedOut);
  }

  /** Write an answer down and send it; returns at once. */
  add(body) {
    const entry = { body, at: Date.now() };
    this.#entries.push(entry);
    writeDown(entry);
    this.#tell("change");
    this.flush();
  }

  /** Send what is left, in turn. Resolves when nothing is left, or we are signed out. */
  flush() {
    this.#sending ??= this.#send().finally(() => {
      this.#sending = null;
    });
    return this.#sending;
  }

  async #send() {
    while (this.#entries.length && !this.#signedOut) {
      const entry = this.#entries[0];
      try {
        const reply = await api.answer(entry.body);
        this.#done(entry);
        this.#tell("saved", { ...reply, lease: entry.body.lease });
      } catch (error) {
        if (error instanceof api.Unreachable) await this.#pause(error.wait);
        else this.#refused(entry, error);
      }
    }
  }

  #done(entry) {
    this.#failures = 0;
    this.#entries.shift();
    crossOut(entry);
    this.#tell("change");
  }

  #refused(entry, error) {
    if (error.signedOut)
      this.#signedOut = true; // kept: the same person may sign in again
    else {
      entry.why = error.message;
      writeDown(entry, ASIDE);
      this.#done(entry);
    }
    this.#tell("refused", { error, entry });
    this.#tell("change");
  }

  async #pause(seconds) {
    const wait = Math.max(seconds * 1000, Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.#failures));
    this.#failures += 1;
    this.#tell("change");
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, wait);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = null;
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
