// The five tabs beside the step: Explain, Check it, Depth, Learn, Break it.

import { norm, sum } from "./arrays.js";
import { chart } from "./chart.js";
import { checkTab } from "./checktab.js";
import { checkArrays } from "./check.js";
import { h, show } from "./dom.js";
import { MISTAKES } from "./mistakes.js";
import { computed, normsByDepth } from "./model.js";
import { shown } from "./numbers.js";
import { sourceView } from "./source.js";

const NAMES = ["explain", "check", "depth", "train", "break"];
const CONTENTS = { explain: explainTab, check: checkTab, depth: depthTab, train: trainTab, break: breakTab };

// {element, update(context)}: the row of tabs, and the one that is open.
export function tabs(set) {
  const buttons = NAMES.map((name) =>
    h("button", {
      type: "button",
      role: "tab",
      id: `tab-${name}`,
      "aria-controls": "tab-panel",
      onclick: () => set({ tab: name }),
    }),
  );
  const bar = h("div", { class: "tabs", role: "tablist" }, buttons);
  const content = h("div", { class: "panel", role: "tabpanel", id: "tab-panel" });
  const update = (context) => {
    buttons.forEach((button, k) => {
      button.textContent = context.t.tabs[NAMES[k]];
      button.setAttribute("aria-selected", context.state.tab === NAMES[k]);
    });
    content.setAttribute("aria-labelledby", `tab-${context.state.tab}`);
    show(content, CONTENTS[context.state.tab](context));
  };
  return { element: h("aside", { class: "side" }, bar, content), update };
}

function explainTab({ state, model, t, sources }) {
  const step = model.steps[state.step - 1];
  if (!step) return [h("p", { class: "explanation" }, t.start), h("p", { class: "note" }, t.keys)];
  const kind = step.kind === "pool" ? state.pool : step.kind;
  return [
    state.mistake ? h("p", { class: "bad" }, t.mistakeOn) : null,
    h("p", { class: "explanation" }, t.explain[step.phase][kind](factsOf(state, model, step, t))),
    sourceView(sources, step, state, t),
    h("p", { class: "note" }, t.keys),
  ];
}

function factsOf(state, { tape }, step, t) {
  const output = tape.value(step.node);
  const probability = shown(tape.node("loss").op.softmax.data[state.label]);
  const numbers = { zeros: output.data.filter((value) => value === 0).length, size: output.size };
  const blocks = state.depth > 2 ? `b2 … b${state.depth}` : "b2";
  const lengths =
    step.kind === "blocks"
      ? { before: shown(norm(tape.gradient(step.node))), after: shown(norm(tape.gradient("b1.relu2"))) }
      : {};
  return {
    ...numbers,
    ...lengths,
    blocks,
    label: state.label,
    probability,
    norm: state.norm,
    shortcut: state.shortcut,
    t,
  };
}

function depthTab({ state, t }) {
  const words = t.depthTab;
  const lines = normsByDepth(state);
  const series = lines.map(({ shortcut, norms }) => ({
    className: shortcut === "none" ? "plain" : "residual",
    points: norms.map((length, block) => [block, length]),
  }));
  return [
    h("p", {}, words.intro),
    legend(lines.map(({ shortcut }) => [shortcut === "none" ? "plain" : "residual", words[shortcut]])),
    chart({ series, log: true, xLabel: words.xLabel, yLabel: words.yLabel, xTicks: ticks(state.depth) }),
    lines.map(({ shortcut, norms }) =>
      h(
        "p",
        { class: "note" },
        norms[0] === 0
          ? words.zero(words[shortcut])
          : words.ratio(words[shortcut], shown(norms[0]), shown(norms.at(-1))),
      ),
    ),
    conclusion(state, lines, words),
  ];
}

// A sentence on what the chart shows, where it does show it.
function conclusion(state, [plain, residual], words) {
  const [without, withShortcut] = [plain, residual].map(({ norms }) => norms[0] / norms.at(-1));
  if (state.depth < 6) return h("p", {}, words.few);
  if (state.shortcut === "projection") return null;
  if (!state.norm && without > 0 && without < 0.5 && without < withShortcut / 2)
    return h("p", {}, words.vanishes(shown(without, 2), shown(withShortcut, 2)));
  if (!state.norm && without > 2) return h("p", {}, words.explodes(shown(without, 2), shown(withShortcut, 2)));
  if (state.norm && without > 2 && without > 1.5 * withShortcut)
    return h("p", {}, words.grows(shown(without, 2), shown(withShortcut, 2)));
  return null;
}

function ticks(depth) {
  const every = depth > 10 ? 5 : depth > 5 ? 2 : 1;
  return [...Array(depth + 1).keys()].filter((k) => k % every === 0);
}

export function legend(entries) {
  return h(
    "p",
    { class: "legend" },
    entries.map(([className, text]) => h("span", { class: className }, text)),
  );
}

function trainTab({ state, model, t, set }) {
  const words = t.train;
  const slider = h("input", {
    type: "range",
    id: "set-train",
    min: 0,
    max: 60,
    value: state.train,
    oninput: () => set({ train: Number(slider.value) }),
  });
  const probability = shown(model.tape.node("loss").op.softmax.data[state.label]);
  return [
    h("p", {}, words.intro),
    h("label", { class: "field" }, h("span", {}, words.steps), slider, h("output", {}, String(state.train))),
    h(
      "button",
      { type: "button", id: "train-one", disabled: state.train >= 60, onclick: () => set({ train: state.train + 1 }) },
      words.one,
    ),
    chart({
      series: [{ className: "residual", points: model.losses.map((loss, k) => [k, loss]) }],
      xLabel: words.xLabel,
      yLabel: words.yLabel,
      xTicks: ticks(Math.max(1, state.train)),
    }),
    h("p", { class: "note" }, words.now({ loss: shown(model.losses.at(-1), 4), steps: state.train, probability })),
  ];
}

function breakTab({ state, model, t, set }) {
  const words = t.breakTab;
  const option = (name, title) =>
    h(
      "label",
      { class: "mistake" },
      h("input", {
        type: "radio",
        name: "mistake",
        id: `mistake-${name || "none"}`,
        checked: state.mistake === name,
        onchange: () => set({ mistake: name }),
      }),
      h("span", {}, title),
    );
  return [
    h("p", {}, words.intro),
    h(
      "fieldset",
      {},
      option("", words.none),
      Object.keys(MISTAKES).map((name) => option(name, words.mistakes[name][0])),
    ),
    state.mistake ? symptoms(state, model, words, t) : null,
  ];
}

// What goes wrong, in numbers, and whether the check of the whole block notices.
function symptoms(state, model, words) {
  const right = computed({ ...state, mistake: "" });
  const lengths = [model, right].map(({ tape }) => shown(norm(tape.gradient("x")), 5));
  const pool = model.tape.node("pool");
  const sums = [model.tape.gradient("pool"), pool.sent[0]].map((array) => shown(sum(array), 5));
  const rows = checkArrays(state, model);
  const failed = rows.filter(({ passed }) => !passed).map(({ name }) => name);
  const none = rows.every(({ checked }) => !checked);
  return [
    h("p", {}, words.mistakes[state.mistake][1]),
    h("p", { class: "note" }, words.changed({ wrong: lengths[0], right: lengths[1] })),
    h("p", { class: "note" }, words.sums({ before: sums[0], after: sums[1] })),
    h(
      "p",
      { class: failed.length ? "bad" : "good", id: "verdict" },
      none ? words.none_checked : failed.length ? words.verdict.failed(failed.join(", ")) : words.verdict.passed,
    ),
    h("p", { class: "note" }, h("code", {}, words.lab(state.mistake))),
  ];
}
