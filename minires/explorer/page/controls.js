// The timeline's buttons and the switches. They are made once and then only set, so that they keep the focus.

import { DIGITS } from "./digits.js";
import { h } from "./dom.js";

// {element, update(state, t, all)}: buttons that step, play and rewind, and a slider over all steps.
export function timelineControls({ go, play }) {
  const button = (name, text, action) => h("button", { type: "button", id: `go-${name}`, onclick: action }, text);
  const buttons = {
    first: button("first", "|◀", () => go(() => 0)),
    back: button("back", "◀", () => go((step) => step - 1)),
    play: button("play", "▶▶", play),
    next: button("next", "▶", () => go((step) => step + 1)),
    last: button("last", "▶|", () => go((step, all) => all)),
  };
  const slider = h("input", { type: "range", min: 0, id: "go-slider", oninput: () => go(() => Number(slider.value)) });
  const where = h("p", { class: "where", "aria-live": "polite" });
  const element = h("div", { class: "timeline" }, Object.values(buttons), slider, where);
  const update = (state, t, steps, playing) => {
    for (const [name, each] of Object.entries(buttons)) {
      const label = name === "play" && playing ? t.controls.pause : t.controls[name];
      each.setAttribute("aria-label", label);
      each.title = label;
    }
    buttons.next.textContent = `${t.controls.next} ▶`;
    buttons.back.textContent = `◀ ${t.controls.back}`;
    buttons.play.textContent = playing ? "❚❚" : "▶▶";
    buttons.first.disabled = buttons.back.disabled = state.step === 0;
    buttons.next.disabled = buttons.last.disabled = state.step === steps.length;
    slider.max = steps.length;
    slider.value = state.step;
    slider.setAttribute("aria-label", t.step(state.step, steps.length));
    const phase = steps[state.step - 1]?.phase ?? "none";
    where.className = `where ${phase}`;
    where.textContent = `${t.step(state.step, steps.length)} · ${t.phase[phase]}`;
  };
  return { element, update };
}

const CHOICES = {
  input: ["digit", "random", "paint"],
  digit: DIGITS.map((_, digit) => digit),
  channels: [1, 2, 3, 4],
  label: [0, 1, 2],
  shortcut: ["identity", "none", "projection"],
  norm: [true, false],
  pool: ["max", "avg"],
};
const RANGES = { depth: [1, 20, 1], scale: [0.1, 3, 0.1], seed: [1, 99, 1] };
const NARROW = 900; // pixels; a phone shows the switches when they are asked for
const WORDS = { input: "inputs", shortcut: "shortcuts", pool: "pools" };

// {element, update(state, t)}: everything that changes the network.
export function switches(set, reset) {
  const fields = {};
  for (const [name, values] of Object.entries(CHOICES)) {
    if (name === "norm") {
      const box = h("input", { type: "checkbox", id: "set-norm", onchange: () => set({ norm: box.checked }) });
      fields[name] = { control: box };
      continue;
    }
    const select = h("select", { id: `set-${name}`, onchange: () => set({ [name]: values[select.selectedIndex] }) });
    select.append(...values.map((value) => h("option", { value }, String(value))));
    fields[name] = { control: select };
  }
  for (const [name, [min, max, step]] of Object.entries(RANGES)) {
    const slider = h("input", {
      type: "range",
      id: `set-${name}`,
      min,
      max,
      step,
      oninput: () => set({ [name]: Number(slider.value) }),
    });
    fields[name] = { control: slider, output: h("output", { for: `set-${name}` }) };
  }
  const again = h("button", { type: "button", id: "reset", onclick: reset });
  for (const [name, field] of Object.entries(fields)) {
    field.text = h("span", {});
    field.element = h("label", { class: `field ${name}` }, field.text, field.control, field.output);
  }
  const summary = h("summary", {});
  const form = h(
    "form",
    { onsubmit: (event) => event.preventDefault() },
    Object.values(fields).map((field) => field.element),
    again,
  );
  const element = h("details", { class: "switches", open: innerWidth > NARROW }, summary, form);
  const update = (state, t) => {
    for (const [name, { control, text, output }] of Object.entries(fields)) {
      text.textContent = t[name];
      if (name === "norm") control.checked = state.norm;
      else if (name in RANGES) control.value = state[name];
      else {
        control.selectedIndex = CHOICES[name].indexOf(state[name]);
        if (WORDS[name])
          [...control.options].forEach((option, k) => (option.textContent = t[WORDS[name]][CHOICES[name][k]]));
      }
      if (output) output.textContent = state[name];
    }
    summary.textContent = t.switches;
    fields.digit.element.hidden = state.input !== "digit";
    again.textContent = t.reset;
  };
  return { element, update };
}
