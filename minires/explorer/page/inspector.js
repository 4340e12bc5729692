// The step on the screen in detail: its tensors as large grids, and the formula of one cell with its numbers.

import { h, show } from "./dom.js";
import { formulaOf } from "./formulas.js";
import { shown } from "./numbers.js";
import { panelsOf, usualCell } from "./panels.js";
import { mark, tensorView } from "./tensor.js";
import { shortName } from "./texts.js";
import { balance } from "./bars.js";

export function inspector(place, { state, model, t, set, paint }) {
  const step = model.steps[state.step - 1];
  if (!step) {
    show(place, h("p", { class: "start" }, t.start));
    return;
  }
  const { tape } = model;
  const panels = panelsOf(tape, step);
  const chosen = isShown(panels, state.cell) ? state.cell : usualCell(tape, step);
  const formula = h("div", { class: "formula", "aria-live": "polite" });
  const views = [];
  const explain = (cell) => {
    const found = formulaOf(tape, step, cell);
    mark(views, cell, found);
    show(formula, formulaView(found, t));
  };
  for (const panel of panels) {
    const canPaint = step.kind === "input" && step.phase === "forward";
    const handlers = {
      hover: (flat) => explain(flat === null ? chosen : `${panel.id}@${flat}`),
      choose: (flat) => set({ cell: `${panel.id}@${flat}` }),
      current: chosen.startsWith(`${panel.id}@`) ? Number(chosen.slice(panel.id.length + 1)) : 0,
      paint: canPaint && state.input === "paint" ? paint : null,
    };
    views.push(tensorView({ ...panel, title: titleOf(panel, t), note: noteOf(panel, t) }, handlers));
  }
  show(
    place,
    balance(tape, step, t),
    h(
      "div",
      { class: "tensors" },
      views.map(({ element }) => element),
    ),
    step.kind === "input" && step.phase === "forward" && state.input === "paint"
      ? h("p", { class: "note" }, t.paint)
      : null,
    formula,
  );
  explain(chosen);
}

// Whether a cell's address names a cell that this step shows.
function isShown(panels, cell) {
  const split = cell.lastIndexOf("@");
  const panel = panels.find(({ id }) => id === cell.slice(0, split));
  return panel !== undefined && Number(cell.slice(split + 1)) < panel.array.size;
}

function titleOf({ id, tensor }, t) {
  const [kind, name] = id.split(":");
  const shown = tensor.replace(/^b1\./, "");
  if (kind === "value") return shown;
  return kind === "sent" ? t.sentTo(shown, shortName(name)) : t.gradientOf(shown);
}

function noteOf({ array, role }, t) {
  return `${array.shape.join("×")}${role === "parameter" ? `, ${t.parameter}` : ""}`;
}

function formulaView({ head, lines, products, column }, t) {
  return [
    h("p", { class: "head" }, head),
    products
      ? h(
          "div",
          { class: "products" },
          products.map((each) => productView(each, t)),
        )
      : null,
    lines.map((line) => h("p", { class: "line" }, line)),
    column ? columnView(products, column, t) : null,
  ];
}

// Window and kernel of one channel, laid over each other: each cell is one product.
function productView({ channel, side, pairs }, t) {
  return h(
    "figure",
    {},
    h("figcaption", {}, `${t.channel(channel)}: ${t.window}`),
    h(
      "div",
      { class: "product", style: `--columns:${side}` },
      pairs.map(({ x, w, padding }) =>
        h("span", { class: padding ? "padding" : "" }, `${shown(x, 2)}`, h("b", {}, "×"), `${shown(w, 2)}`),
      ),
    ),
  );
}

// The same numbers as im2col writes them: one column of the matrix, beside the kernel's row.
function columnView(products, { number, of }, t) {
  const pairs = products.flatMap((each) => each.pairs);
  return h(
    "details",
    { class: "column" },
    h("summary", {}, t.column(number, of, pairs.length)),
    h("table", {}, [
      h(
        "tr",
        {},
        h("th", { scope: "row" }, "w"),
        pairs.map(({ w }) => h("td", {}, shown(w, 2))),
      ),
      h(
        "tr",
        {},
        h("th", { scope: "row" }, "x"),
        pairs.map(({ x, padding }) => h("td", { class: padding ? "padding" : "" }, shown(x, 2))),
      ),
    ]),
  );
}

// The cell that the check is about: the chosen one, or the usual one of the step; x without a step.
export function cellOf(state, model) {
  const step = model.steps[state.step - 1];
  if (!step) return "value:x@0";
  return isShown(panelsOf(model.tape, step), state.cell) ? state.cell : usualCell(model.tape, step);
}
