// Help and guidelines, one key away.

import * as api from "./api.js";
import * as keys from "./keys.js";
import { nodes } from "./markup.js";
import { notice } from "./talk.js";

const $ = (id) => document.getElementById(id);
const SEEN = `heed:guideline:${api.member}`;
let guideline = null; // {html, version} as last fetched
let told = null;

function seen(version) {
  try {
    if (version !== undefined) localStorage.setItem(SEEN, version);
    return localStorage.getItem(SEEN);
  } catch {
    return told;
  }
}

export function openHelp() {
  $("single-keys").checked = keys.enabled();
  $("help").showModal();
}

export async function openGuidelines() {
  if ($("guidelines").open) return;
  try {
    guideline ??= await api.guidelines();
  } catch {
    notice("guidelines", "The guidelines cannot be fetched just now.", "warn");
    return;
  }
  $("guidelines-body").replaceChildren(nodes(guideline.html));
  $("guidelines").showModal();
  $("guidelines-body").focus();
  if (guideline.version) seen(guideline.version);
}

/** A newcomer is shown the guidelines; others are told of a version they have not read. */
export function announceGuidelines(version) {
  const known = seen();
  if (!version || String(version) === known || told === version) return;
  told = version;
  if (guideline?.version !== String(version)) guideline = null;
  if (known === null) openGuidelines();
  else notice("guidelines", "The guidelines have changed. Press G to read them.");
}

for (const dialog of [$("help"), $("guidelines")]) {
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
  });
  dialog.addEventListener("close", () => $("task").focus({ preventScroll: true }));
}
$("guidelines").addEventListener("keydown", (event) => {
  if (
    event.key.toLowerCase() === "g" ||
    (event.key === "Enter" && !event.target.closest("button, a"))
  ) {
    event.preventDefault();
    $("guidelines").close();
  }
});
$("help").addEventListener("keydown", (event) => {
  if (event.key === "?") $("help").close();
});
$("single-keys").addEventListener("change", (event) => keys.enabled(event.target.checked));
