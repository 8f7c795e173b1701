// Dragging letters with a mouse, a pen or a finger (HTML's own drag and drop knows no fingers).

const FAR = 6; // pixels before a press becomes a drag

/** The drop target nearest to a point, or null when none is near. */
function nearest(tray, x, y) {
  let best = null;
  let least = 48;
  for (const target of tray.querySelectorAll("[data-drop]")) {
    const box = target.getBoundingClientRect();
    const across = Math.max(box.left - x, 0, x - box.right);
    const down = Math.max(box.top - y, 0, y - box.bottom);
    const distance = Math.hypot(across, down);
    if (distance < least) [best, least] = [target, distance];
  }
  return best;
}

/** Chips (`[data-answer]`) in `tray` can be tapped, and dragged to elements with `data-drop`. */
export function draggable(tray, { tap, drop }) {
  let held = null;

  const move = (event) => {
    if (!held || event.pointerId !== held.pointer) return;
    const [x, y] = [event.clientX - held.x, event.clientY - held.y];
    if (!held.dragging && Math.hypot(x, y) < FAR) return;
    held.dragging = true;
    tray.classList.add("dragging");
    held.chip.classList.add("held");
    held.chip.style.translate = `${x}px ${y}px`;
    const over = nearest(tray, event.clientX, event.clientY);
    if (over === held.over) return;
    held.over?.classList.remove("over");
    over?.classList.add("over");
    held.over = over;
  };

  const end = (event) => {
    if (!held || event.pointerId !== held.pointer) return;
    const { chip, dragging, over } = held;
    held = null;
    tray.classList.remove("dragging");
    over?.classList.remove("over");
    chip.classList.remove("held");
    chip.style.translate = "";
    if (!dragging) return;
    chip.addEventListener(
      "click",
      (click) => {
        click.stopImmediatePropagation();
      },
      { once: true, capture: true },
    );
    if (event.type === "pointerup" && over) drop(Number(chip.dataset.answer), over.dataset.drop);
  };

  tray.addEventListener("pointerdown", (event) => {
    const chip = event.target.closest?.("[data-answer]");
    if (!chip || event.button !== 0 || held) return;
    chip.setPointerCapture(event.pointerId);
    held = {
      chip,
      pointer: event.pointerId,
      x: event.clientX,
      y: event.clientY,
      dragging: false,
      over: null,
    };
  });
  tray.addEventListener("pointermove", move);
  tray.addEventListener("pointerup", end);
  tray.addEventListener("pointercancel", end);
  tray.addEventListener("click", (event) => {
    const chip = event.target.closest?.("[data-answer]");
    if (chip) tap(Number(chip.dataset.answer));
  });
}
