// The tab "Check it": the finite difference of the chosen cell, with a slider for ε and the V-curve; and of all arrays.

import { indexOf } from "./arrays.js";
import { chart, powerOfTen } from "./chart.js";
import { checkArrays, differenceOf, vCurve } from "./check.js";
import { h, show } from "./dom.js";
import { cellOf } from "./inspector.js";
import { shown } from "./numbers.js";
import { tensorOf } from "./panels.js";

export function checkTab({ state, model, t, set }) {
  const words = t.check;
  const cell = cellOf(state, model);
  const split = cell.lastIndexOf("@");
  const name = tensorOf(model.tape, cell.slice(0, split));
  const index = Number(cell.slice(split + 1));
  const found = differenceOf(state, model, name, index, 10 ** state.epsilon);
  const curve = vCurve(state, model, name, index);
  const slider = h("input", {
    type: "range",
    id: "set-epsilon",
    min: -13,
    max: -1,
    step: 0.5,
    value: state.epsilon,
    oninput: () => set({ epsilon: Number(slider.value) }),
  });
  const all = h("div", { class: "all" });
  const row = (label, value, id) => h("tr", {}, h("th", { scope: "row" }, label), h("td", { id }, value));
  return [
    h("p", {}, words.intro),
    h("p", { class: "head" }, words.cell(`${name}[${indexOf(model.tape.value(name).shape, index).join(",")}]`)),
    h("label", { class: "field" }, h("span", {}, words.epsilon), slider, h("output", {}, powerOfTen(state.epsilon))),
    h("table", { class: "numbers" }, [
      row(words.numeric, shown(found.numeric, 10), "numeric"),
      row(words.analytic, shown(found.analytic, 10), "analytic"),
      row(words.error, shown(found.error, 3), "error"),
    ]),
    found.kink ? h("p", { class: "kink" }, words.kink) : null,
    chart({
      series: [{ className: "residual", points: curve.map(({ exponent, error }) => [exponent, error || 1e-17]) }],
      log: true,
      xLabel: words.xLabel,
      yLabel: words.yLabel,
      marker: state.epsilon,
      xTicks: [-13, -10, -7, -4, -1],
      shownX: powerOfTen,
    }),
    h("p", { class: "note" }, words.curve),
    h(
      "button",
      { type: "button", id: "check-all", onclick: () => show(all, table(checkArrays(state, model), words)) },
      words.all,
    ),
    all,
  ];
}

function table(rows, words) {
  return h(
    "table",
    { class: "verdicts" },
    rows.map(({ name, passed, checked, kinks, worst }) =>
      h("tr", {}, [
        h("th", { scope: "row" }, name),
        h("td", { class: passed ? "good" : "bad" }, passed ? words.passed : words.failed),
        h("td", {}, words.row({ checked, kinks, worst: shown(worst, 3) })),
      ]),
    ),
  );
}
