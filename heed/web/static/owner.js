// What the owner's pages need of a browser: what is wider than the window shows that it goes on, a
// ruling is either a ranking or a verdict without one, the link of an invitation can be copied.

document.querySelector(".menu [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

for (const table of document.querySelectorAll(".wide")) {
  const show = () =>
    table.classList.toggle(
      "goes-on",
      table.scrollWidth - table.clientWidth - table.scrollLeft > 1,
    );
  table.addEventListener("scroll", show, { passive: true });
  new ResizeObserver(show).observe(table);
}

for (const form of document.querySelectorAll(".dispute form")) {
  const ranks = [...form.querySelectorAll("select[name=rank]")];
  const ranked = form.querySelector("input[value=ranking]");
  form.addEventListener("change", (event) => {
    if (ranks.includes(event.target)) ranked.checked = true;
    // A verdict without a ranking needs no ranks.
    const chosen = form.querySelector("input[name=verdict]:checked");
    for (const rank of ranks) rank.required = !chosen || chosen === ranked;
  });
}

// The link has the address this browser knows the server by.

const link = document.getElementById("link");
const copy = document.getElementById("copy");

if (link) {
  const { pathname } = new URL(link.value);
  link.value = location.origin + pathname;
  link.addEventListener("focus", () => link.select());
  copy.addEventListener("click", async () => {
    link.select();
    try {
      await navigator.clipboard.writeText(link.value);
      copy.textContent = "Copied";
    } catch {
      copy.textContent = "Press Ctrl+C";
    }
  });
}
