// What a state computes: parameters (trained if asked), tape, steps. It is remembered, since most clicks change only
// the view.

import { endsOf, initialParameters, run, trained } from "./block.js";
import { norm } from "./arrays.js";
import { stepsOf } from "./timeline.js";

export const LEARNING_RATE = 0.05;
const COMPUTED_FROM = ["input", "digit", "pixels", "channels", "label", "seed", "shortcut", "norm", "pool", "depth"];
const KEY = [...COMPUTED_FROM, "scale", "train", "mistake"];
const REMEMBERED = 12;

function remembering(compute) {
  const known = new Map();
  return (state) => {
    const key = JSON.stringify(KEY.map((name) => state[name]));
    if (!known.has(key)) known.set(key, compute(state));
    if (known.size > REMEMBERED) known.delete(known.keys().next().value);
    return known.get(key);
  };
}

export const computed = remembering((state) => {
  const { parameters, losses } = state.train
    ? trained(state, state.train, LEARNING_RATE)
    : { parameters: initialParameters(state), losses: [] };
  const tape = run(state, parameters);
  return { parameters, losses: [...losses, tape.value("loss").data[0]], tape, steps: stepsOf(tape) };
});

// The norm of the gradient at the output of each block, and first at x: with shortcuts and without, all else equal.
export const normsByDepth = remembering((state) =>
  ["none", state.shortcut === "projection" ? "projection" : "identity"].map((shortcut) => {
    const setting = { ...state, shortcut };
    const tape = run(setting, initialParameters(setting));
    const names = ["x"];
    for (let number = 1; number <= state.depth; number++) names.push(endsOf(setting, number)[1]);
    return { shortcut, norms: names.map((name) => norm(tape.gradient(name))) };
  }),
);
