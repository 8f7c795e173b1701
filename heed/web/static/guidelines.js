// The page of the guidelines: remembers the version that was read; Enter goes on.

import { member } from "./api.js";

const version = document.getElementById("guideline").dataset.version;
const start = document.getElementById("start");
try {
  if (version) localStorage.setItem(`heed:guideline:${member}`, version);
} catch {
  /* asked again, then */
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.repeat || event.target.closest?.("a, button, input")) return;
  event.preventDefault();
  start.click();
});
