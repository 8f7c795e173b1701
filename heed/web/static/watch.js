// Renews the parts of a run's page while it trains. What the server sends is its own HTML, in which
// every text of the run is escaped; a part is touched only where it changed, so that a reader's
// selection and place stay.

const PAUSE = 2_000;
const PATIENCE = 15_000;
const trouble = document.querySelector("#trouble");
const shown = new Map();

async function look() {
  const response = await fetch(`/api/frame${location.search}`, {
    headers: { Accept: "application/json" },
    signal: AbortSignal.timeout(PATIENCE),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.message);
  for (const part of document.querySelectorAll("[data-part]")) {
    const html = answer[part.dataset.part];
    if (shown.get(part.dataset.part) === html) continue;
    if (shown.has(part.dataset.part) || part.innerHTML !== html) part.innerHTML = html;
    shown.set(part.dataset.part, html);
  }
}

async function follow() {
  if (!document.hidden) {
    try {
      await look();
      trouble.hidden = true;
    } catch (error) {
      const away = error instanceof TypeError || error.name === "TimeoutError";
      trouble.textContent = away ? "The server does not answer. Trying again …" : error.message;
      trouble.hidden = false;
    }
  }
  setTimeout(follow, PAUSE);
}

follow();
