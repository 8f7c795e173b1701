// The tasks whose leases this page holds: the one on screen, and those that wait for it.
//
// The next task is fetched while this one is on screen, so that nobody waits for the network. The
// leases that we hold are named to the server (`beside`), which then gives another one.

import * as api from "./api.js";
import * as talk from "./talk.js";
import { build } from "./view.js";

const MOST = 16; // leases that one request may name
const AFTER_FAILURE = 10_000;

/** A task's nodes, when its lease ends, and when half of it is over. */
export function opened(task) {
  const expires = Date.parse(task.expires);
  return { ...build(task), expires, half: (api.now() + expires) / 2 };
}

export class Tasks {
  current = null; // the view on screen
  #ahead = []; // the views that wait
  #fetching = null;
  #outbox;

  constructor(outbox) {
    this.#outbox = outbox;
  }

  get waiting() {
    return this.#ahead.length > 0;
  }

  /** Fetch one more. True if there was one; throws api.Unreachable or api.Refused. */
  more() {
    this.#fetching ??= this.#fetch().finally(() => {
      this.#fetching = null;
    });
    return this.#fetching;
  }

  async #fetch() {
    const { task, progress } = await api.next(this.#beside(true));
    talk.progress(progress);
    if (!task || this.#holds(task.lease)) return false;
    this.#ahead.push(opened(task));
    return true;
  }

  /** Fetch one ahead; if that fails it is asked for again when it is needed. */
  prefetch() {
    if (!this.waiting) this.more().catch(() => {});
  }

  /** The next that waits, or null; what waited for too long is asked for anew. */
  take() {
    this.#ahead = this.#ahead.filter((view) => view.expires > api.now());
    return this.#ahead.shift() ?? null;
  }

  /** Show `view` now, and what was on screen after it. */
  interrupt(view) {
    this.#ahead = this.#ahead.filter((other) => other.task.lease !== view.task.lease);
    if (this.current) this.#ahead.unshift(this.current);
  }

  /** After half of its time, the lease of someone who is still at work is renewed. */
  async renew() {
    const view = this.current;
    if (!view || api.now() < view.half) return;
    view.half = Infinity;
    try {
      const { task } = await api.next(this.#beside(false));
      if (task?.lease === view.task.lease) view.half = opened(task).half;
      else if (task && !this.#holds(task.lease)) this.#ahead.push(opened(task));
    } catch {
      view.half = api.now() + AFTER_FAILURE;
    }
  }

  #beside(withCurrent) {
    const views = withCurrent && this.current ? [...this.#ahead, this.current] : this.#ahead;
    return [...this.#outbox.leases, ...views.map((view) => view.task.lease)].slice(-MOST);
  }

  #holds(lease) {
    const views = this.current ? [...this.#ahead, this.current] : this.#ahead;
    return views.some((view) => view.task.lease === lease) || this.#outbox.leases.includes(lease);
  }
}
