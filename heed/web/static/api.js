// What the page asks of the server. Two things can go wrong, and they are told apart: the server
// could not be asked (try again), or it was asked and said no (say so).

const meta = (name, page = document) => page.querySelector(`meta[name="${name}"]`)?.content ?? "";
const PATIENCE = 15_000;

/** Project (a random id, so of one store alone) and member: what this browser keeps is kept under it. */
export const member = meta("member");
let csrf = meta("csrf");
let ahead = 0; // how far the server's clock is ahead of ours, in milliseconds

/** The time on the server's clock, which leases go by. */
export const now = () => Date.now() + ahead;

/** The server could not be asked, or asked to be left alone for a while: worth another try. */
export class Unreachable extends Error {
  constructor(message, wait = 0) {
    super(message);
    this.wait = wait;
  }
}

/** The server understood and refused. */
export class Refused extends Error {
  constructor(status, { error = "", message }) {
    super(message ?? `The server said no (${status}).`);
    this.error = error;
    this.signedOut = status === 401 || status === 403;
  }
}

async function send(method, path, body, keepalive) {
  const headers = { Accept: "application/json", "X-CSRF-Token": csrf };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const signal = keepalive ? undefined : AbortSignal.timeout(PATIENCE);
  try {
    const response = await fetch(path, {
      method,
      headers,
      keepalive,
      signal,
      redirect: "error",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const date = Date.parse(response.headers.get("Date"));
    if (date) ahead = date - Date.now();
    return [response, await response.json().catch(() => null)];
  } catch (error) {
    throw new Unreachable(String(error));
  }
}

/** A server that was started anew may want a new token: the page that carries it is asked again. */
async function renewed() {
  const response = await fetch("/label").catch(() => null);
  if (!response?.ok) return false;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  if (meta("member", page) !== member || meta("csrf", page) === csrf) return false;
  csrf = meta("csrf", page);
  return true;
}

async function ask(method, path, body, { keepalive = false } = {}) {
  let [response, answer] = await send(method, path, body, keepalive);
  if (response.status === 403 && answer?.error === "csrf" && (await renewed())) {
    [response, answer] = await send(method, path, body, keepalive);
  }
  if (response.ok && answer !== null) return answer;
  if (response.ok || response.status >= 500 || [408, 425, 429].includes(response.status)) {
    throw new Unreachable(
      String(response.status),
      Number(response.headers.get("Retry-After")) || 0,
    );
  }
  throw new Refused(response.status, answer ?? {});
}

/** The next task that is not among the leases in `beside`, and the progress. */
export const next = (beside) =>
  ask(
    "GET",
    `/api/next${beside.length ? `?beside=${beside.map(encodeURIComponent).join(",")}` : ""}`,
  );
export const answer = (body) => ask("POST", "/api/answers", body);
export const undo = () => ask("POST", "/api/undo", {});
export const draft = (lease, text, options) =>
  ask("PUT", `/api/drafts/${encodeURIComponent(lease)}`, { text }, options);

/** The guidelines as HTML, and their version. */
export async function guidelines() {
  const response = await fetch("/guidelines");
  if (!response.ok) throw new Unreachable(`guidelines: ${response.status}`);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const part = page.getElementById("guideline");
  return { html: part?.innerHTML ?? "", version: part?.dataset.version ?? "" };
}
