// Bars of shares, and the sums that a step conserves.

import { norm, sum } from "./arrays.js";
import { h } from "./dom.js";
import { shown } from "./numbers.js";

// Two shares of a whole, for instance the identity's and F's part of a gradient. The parts are lengths, so they are
// shown as shares of ‖a‖ + ‖b‖: the sum's own length is smaller where they point in different directions.
export function sharesBar(parts, label) {
  const total = parts.reduce((all, { size }) => all + size, 0);
  const share = (size) => (total ? Math.round((100 * size) / total) : 0);
  return h(
    "div",
    {
      class: "shares",
      role: "img",
      "aria-label": `${label}: ${parts.map((each) => `${each.label} ${share(each.size)}%`).join(", ")}`,
    },
    parts
      .filter(({ size }) => size > 0)
      .map(({ label: name, size, className }) =>
        h("span", { class: `share ${className}`, style: `flex-grow:${size / total}` }, `${share(size)}% ${name}`),
      ),
  );
}

// What happens to the gradient in this step, in numbers: where it splits, where it meets, what stays the same.
export function balance(tape, step, words) {
  if (step.phase !== "backward") return null;
  if (step.kind === "join") return join(tape, words);
  const node = step.nodes.length === 1 ? tape.node(step.node) : null;
  if (step.kind === "sum")
    return table(words, [
      [words.arrives, tape.gradient(step.node)],
      [words.toF, node.sent[0]],
      [words.toShortcut, node.sent[1]],
    ]);
  if (step.kind !== "pool") return null;
  const [before, after] = [sum(tape.gradient("pool")), sum(node.sent[0])];
  const conserved = Math.abs(before - after) <= 1e-9 * Math.max(1, Math.abs(before));
  return h(
    "div",
    { class: "balance" },
    h("p", { class: "sum" }, `Σ gy = ${shown(before, 5)}   ${conserved ? "=" : "≠"}   Σ gx = ${shown(after, 5)}`),
    h("p", { class: conserved ? "good" : "bad" }, conserved ? words.conserved : words.notConserved),
  );
}

function table(words, rows) {
  const lengths = rows.map(([, array]) => norm(array));
  const same = lengths.every((each) => Math.abs(each - lengths[0]) <= 1e-12 * Math.max(1, lengths[0]));
  return h(
    "div",
    { class: "balance" },
    rows.map(([label], k) =>
      h(
        "p",
        { class: "sum" },
        h("span", {}, label),
        h("meter", { min: 0, max: Math.max(...lengths) || 1, value: lengths[k] }),
        `‖g‖ = ${shown(lengths[k], 5)}`,
      ),
    ),
    same ? h("p", { class: "good" }, words.undiminished) : null,
  );
}

function join(tape, words) {
  const parts = tape.arrivals.get("x").map(({ from, gradient }) => {
    const isF = from === "b1.conv1";
    return {
      label: isF ? words.throughF : words.throughShortcut,
      size: norm(gradient),
      className: isF ? "f" : "identity",
    };
  });
  const whole = norm(tape.gradient("x"));
  return h(
    "div",
    { class: "balance" },
    parts.map(({ label, size }) => h("p", { class: "sum" }, h("span", {}, label), `‖g‖ = ${shown(size, 5)}`)),
    h("p", { class: "sum" }, h("span", {}, words.together), `‖∂L/∂x‖ = ${shown(whole, 5)}`),
    sharesBar(parts, words.shares),
    parts.length > 1 ? h("p", { class: "note" }, words.parts) : null,
  );
}
