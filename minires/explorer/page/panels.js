// Which tensors a step shows: what goes in, the parameters, and what comes out.
//
// A panel is {id, array, role, symbol}. Its id says what the array is: "value:NAME", "grad:NAME" for ∂L/∂NAME, or
// "sent:NODE:i" for what NODE has sent to its i-th input; so a cell has an address, "value:x@7".

import { gradientSoFar } from "./timeline.js";

export function arrayOf(tape, id, fired = null) {
  const [kind, name, i] = id.split(":");
  if (kind === "value") return tape.value(name);
  if (kind === "sent") return tape.node(name)?.sent[Number(i)];
  return fired ? gradientSoFar(tape, name, fired) : tape.gradient(name);
}

// The tensor whose derivative a cell of this panel is about.
export function tensorOf(tape, id) {
  const [kind, name, i] = id.split(":");
  return kind === "sent" ? tape.node(name)?.inputs[Number(i)] : name;
}

export function panelsOf(tape, step) {
  return step.phase === "forward" ? forwardPanels(tape, step) : backwardPanels(tape, step);
}

function panel(tape, id, role) {
  return { id, role, array: arrayOf(tape, id), tensor: tensorOf(tape, id), gradient: !id.startsWith("value:") };
}

function forwardPanels(tape, step) {
  const out = panel(tape, `value:${step.node}`, "out");
  if (step.kind === "input" || step.kind === "blocks") return [out];
  const { inputs } = tape.node(step.node);
  return [
    ...inputs.map((name) => panel(tape, `value:${name}`, name.includes("eight") ? "parameter" : role(name))),
    out,
  ];
}

function role(name) {
  return name.endsWith("bias") ? "parameter" : "in";
}

function backwardPanels(tape, step) {
  if (step.kind === "join") {
    const parts = tape.arrivals.get("x").map(({ from }) => `sent:${from}:${tape.node(from).inputs.indexOf("x")}`);
    return [...parts.map((id) => panel(tape, id, "in")), panel(tape, "grad:x", "out")];
  }
  const arriving = panel(tape, `grad:${step.node}`, "in");
  if (step.kind === "blocks") return [arriving, panel(tape, "grad:b1.relu2", "out")];
  const { inputs } = tape.node(step.node);
  // What backward reads beside the gradient: the input, or the parameter that multiplied it.
  const read = { pool: 0, relu: 0, loss: 0, conv: 1, projection: 1, linear: 1, norm: 1 }[step.kind];
  const needed = read === undefined ? [] : [panel(tape, `value:${inputs[read]}`, read ? "parameter" : "in")];
  return [arriving, ...needed, ...inputs.map((_, i) => panel(tape, `sent:${step.node}:${i}`, "out"))];
}

// The cell that is explained when none was chosen: in the middle of what comes out, where it says most.
export function usualCell(tape, step) {
  const { id, array } = panelsOf(tape, step).find((each) => each.role === "out");
  const [, height, width] = array.shape.length === 3 ? array.shape : [0, 0, 0];
  const middle = Math.floor(height / 2) * width + Math.floor(width / 2);
  const alive = [middle, ...array.data.keys()].find((k) => array.data[k] !== 0) ?? 0;
  return `${id}@${alive}`;
}
