// Check it: ∂L/∂cell by finite differences, (L(+ε) − L(−ε))/2ε, beside what backward says.

import { run } from "./block.js";

const CHECKED_CELLS = 24; // of each array in the check of the whole block
const STEP = 1e-6;
const TOLERANCE = 1e-4;
export const EXPONENTS = Array.from({ length: 25 }, (_, k) => -1 - k / 2); // 0.1 … 1e−13

// L with one element of one array moved, and which way every kink went.
function moved(state, parameters, name, index, by) {
  const tape = run(state, parameters, { perturbed: { name, index, by }, backward: false });
  return { loss: tape.value("loss").data[0], branches: branchesOf(tape) };
}

// Which side of its kink every ReLU is on, and which pixel wins each window, as one string.
function branchesOf(tape) {
  return tape.nodes
    .map(({ op }) =>
      op.argmax ? op.argmax.data.join("") : op.y ? [...op.y.data].map((y) => (y > 0 ? 1 : 0)).join("") : "",
    )
    .join(" ");
}

// {numeric, analytic, error, kink} of one element; `error` is relative to the larger of the two.
export function differenceOf(state, { parameters, tape }, name, index, epsilon) {
  const [up, down] = [epsilon, -epsilon].map((by) => moved(state, parameters, name, index, by));
  const numeric = (up.loss - down.loss) / (2 * epsilon);
  const analytic = tape.gradient(name).data[index];
  const size = Math.max(Math.abs(numeric), Math.abs(analytic));
  const error = size ? Math.abs(numeric - analytic) / size : 0;
  return { numeric, analytic, error, distance: Math.abs(numeric - analytic), kink: up.branches !== down.branches };
}

// The error for every step size. It is V-shaped: for large ε the curve of L is seen, for small ε rounding.
export function vCurve(state, model, name, index) {
  return EXPONENTS.map((exponent) => ({ exponent, ...differenceOf(state, model, name, index, 10 ** exponent) }));
}

// The check of whole arrays, x and every parameter of the first block: {name, checked, kinks, worst, passed} for each.
export function checkArrays(state, model) {
  const names = ["x", ...Object.keys(model.parameters).filter((name) => /^b1\.|^fc\./.test(name))];
  return names.map((name) => {
    const size = model.tape.value(name).size;
    const scale = Math.max(1e-9, ...[...model.tape.gradient(name).data].map(Math.abs));
    const every = Math.max(1, Math.ceil(size / CHECKED_CELLS));
    let [checked, kinks, worst] = [0, 0, 0];
    for (let index = 0; index < size; index += every) {
      const found = differenceOf(state, model, name, index, STEP);
      if (found.kink) kinks += 1;
      else [checked, worst] = [checked + 1, Math.max(worst, found.distance / Math.max(scale, Math.abs(found.numeric)))];
    }
    return { name, checked, kinks, worst, passed: worst <= TOLERANCE };
  });
}
