// Time: how long a task was in view, and when a break would do good.

/** Seconds that the page was really in view. */
export class Stopwatch {
  #seen = 0;
  #since = null;

  constructor() {
    document.addEventListener("visibilitychange", () => this.#turn());
  }

  start(seconds = 0) {
    this.#seen = seconds * 1000;
    this.#since = document.visibilityState === "visible" ? performance.now() : null;
  }

  get seconds() {
    const running = this.#since === null ? 0 : performance.now() - this.#since;
    return Math.round((this.#seen + running) / 10) / 100;
  }

  #turn() {
    if (document.visibilityState === "visible") this.#since ??= performance.now();
    else if (this.#since !== null) {
      this.#seen += performance.now() - this.#since;
      this.#since = null;
    }
  }
}

const MINUTE = 60_000;
const WORK = 25 * MINUTE;
const PAUSE = 5 * MINUTE;
const ITEMS = 60;

/** Counts continuous work; a gap of five minutes is a break. */
export class Stretch {
  #began = performance.now();
  #last = performance.now();
  #items = 0;

  /** One more answer. Returns a suggestion when it is time for one, else an empty text. */
  answered() {
    const now = performance.now();
    if (now - this.#last > PAUSE) this.#reset(now);
    this.#last = now;
    this.#items += 1;
    const [minutes, items] = [Math.round((now - this.#began) / MINUTE), this.#items];
    if (now - this.#began < WORK && items < ITEMS) return "";
    this.#reset(now);
    return (
      `${items} comparisons in ${minutes} min without a break. ` +
      "A short one keeps your judgement fresh; nothing is lost."
    );
  }

  #reset(now) {
    this.#began = now;
    this.#items = 0;
  }
}
