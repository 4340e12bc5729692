// A tensor as grids of coloured cells with numbers, one grid a channel. The pointer or the arrow keys choose a cell.

import { largest } from "./arrays.js";
import { h } from "./dom.js";
import { brief, colourOf, isStrong, shown } from "./numbers.js";

// The rows and columns in which an array is laid out: [[label, height, width, first flat index], …].
function gridsOf(array) {
  const { shape } = array;
  if (shape.length === 3)
    return [...Array(shape[0]).keys()].map((c) => [`${c}`, shape[1], shape[2], c * shape[1] * shape[2]]);
  if (shape.length === 4) {
    const area = shape[2] * shape[3];
    return [...Array(shape[0] * shape[1]).keys()].map((k) => [
      `${Math.floor(k / shape[1])}←${k % shape[1]}`,
      shape[2],
      shape[3],
      k * area,
    ]);
  }
  return shape.length === 2 ? [["", shape[0], shape[1], 0]] : [["", 1, shape[0], 0]];
}

// handlers: {hover(flat or null), choose(flat), paint(flat, digit) or null, current: the index that keys start from}.
export function tensorView({ id, array, title, note, role }, handlers) {
  const scale = largest(array);
  const cells = [];
  const grids = gridsOf(array).map(([label, height, width, first]) => {
    const grid = h("div", { class: "grid", style: `--columns:${width}` });
    for (let k = 0; k < height * width; k++) {
      const flat = first + k;
      const value = array.data[flat];
      const cell = h(
        "span",
        {
          class: isStrong(value, scale) ? "cell strong" : "cell",
          "data-flat": flat,
          style: `background:${colourOf(value, scale)}`,
          title: shown(value, 5),
        },
        brief(value),
      );
      cells[flat] = cell;
      grid.append(cell);
    }
    return h("figure", { class: "channel" }, grid, label === "" ? null : h("figcaption", {}, label));
  });
  const box = h("div", { class: "grids" }, grids);
  const element = h(
    "section",
    {
      class: `tensor ${role}`,
      id: `t-${id.replaceAll(/[:.]/g, "-")}`,
      tabindex: 0,
      "aria-label": title,
      "data-id": id,
    },
    h("h3", {}, title),
    note ? h("p", { class: "shape" }, note) : null,
    box,
  );
  listen(element, box, array, handlers);
  return { id, element, cells, array };
}

function listen(element, box, array, handlers) {
  const flatOf = (event) => {
    const cell = event.target.closest?.("[data-flat]");
    return cell ? Number(cell.dataset.flat) : null;
  };
  box.addEventListener("pointerover", (event) => handlers.hover(flatOf(event)));
  box.addEventListener("pointerleave", () => handlers.hover(null));
  box.addEventListener("click", (event) => flatOf(event) !== null && !handlers.paint && handlers.choose(flatOf(event)));
  if (handlers.paint) box.classList.add("paintable");
  element.addEventListener("keydown", (event) => {
    const width = array.shape.at(-1);
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -width, ArrowDown: width }[event.key];
    if (handlers.paint && /^[0-9]$/.test(event.key)) handlers.paint(handlers.current, Number(event.key));
    else if (by === undefined) return;
    else handlers.choose(Math.min(array.size - 1, Math.max(0, handlers.current + by)));
    event.preventDefault();
    event.stopPropagation();
  });
}

// Calls paint(flat) for each paintable cell that is pressed or dragged over. It listens to the whole document, because
// every stroke draws the cells anew, under the pointer.
export function onPainting(paint) {
  let isDown = false;
  const stroke = (event) => {
    const cell = document.elementFromPoint(event.clientX, event.clientY)?.closest(".paintable [data-flat]");
    if (isDown && cell) paint(Number(cell.dataset.flat));
  };
  document.addEventListener("pointerdown", (event) => {
    isDown = event.target.closest?.(".paintable [data-flat]") !== null && event.button === 0;
    if (isDown) event.preventDefault();
    stroke(event);
  });
  document.addEventListener("pointermove", stroke);
  for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, () => (isDown = false));
}

// Marks the cells that a formula is made of.
export function mark(views, cell, formula) {
  const split = cell.lastIndexOf("@");
  const [id, flat] = [cell.slice(0, split), Number(cell.slice(split + 1))];
  for (const view of views) {
    const sources = new Set(formula?.sources[view.id] ?? []);
    const winners = new Set(formula?.winner?.[view.id] ?? []);
    view.cells.forEach((element, k) => {
      element.classList.toggle("chosen", view.id === id && k === flat);
      element.classList.toggle("source", sources.has(k) && !(view.id === id && k === flat));
      element.classList.toggle("winner", winners.has(k));
    });
  }
}
