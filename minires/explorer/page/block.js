// The network that the page steps through: blocks of two convolutions with a shortcut, pooling, linear, cross-entropy.
//
//     plain       y = relu(F(x))
//     residual    y = relu(F(x) + x)            the sum passes its gradient to both terms
//     projection  y = relu(F(x) + bn(conv1x1(x)))
//
// It is minires.models.resnet.BasicBlock with its parameter names; the blocks are called b1, b2, …

import { full, map, NDArray } from "./arrays.js";
import { DIGITS, pixelsOfDigit, SIDE } from "./digits.js";
import { operationsWith } from "./mistakes.js";
import { normal, uniform } from "./random.js";
import { Tape } from "./tape.js";

export const CLASSES = 3;
export const POOL = 2;

// The image x (C, 6, 6) of a setting: random numbers, a digit, or what was painted, from 0 to 1.
export function inputOf(setting) {
  const shape = [setting.channels, SIDE, SIDE];
  if (setting.input === "random") return normal(uniform(setting.seed + 7919), shape, 1);
  return new NDArray(
    shape,
    Float64Array.from(pixelsOf(setting), (pixel) => Number(pixel) / 9),
  );
}

export function pixelsOf(setting) {
  if (setting.input === "paint") return setting.pixels.padEnd(setting.channels * SIDE * SIDE, "0");
  return pixelsOfDigit(setting.digit % DIGITS.length, setting.channels);
}

// {name: array} of all parameters. Convolutions are drawn from N(0, scale² · 2/fan_out), as Kaiming He does for ReLU;
// batch norm starts with weight 1 and bias 0.
export function initialParameters(setting) {
  const { channels: c, scale, seed } = setting;
  const draw = uniform(seed);
  const parameters = {};
  const conv = (name, kernel) => {
    const deviation = scale * Math.sqrt(2 / (c * kernel * kernel));
    parameters[`${name}.weight`] = normal(draw, [c, c, kernel, kernel], deviation);
  };
  const norm = (name) => {
    if (!setting.norm) return;
    parameters[`${name}.weight`] = full([c], 1);
    parameters[`${name}.bias`] = full([c], 0);
  };
  const features = c * (SIDE / POOL) ** 2;
  parameters["fc.weight"] = normal(draw, [CLASSES, features], Math.sqrt(1 / features));
  parameters["fc.bias"] = full([CLASSES], 0);
  for (let number = 1; number <= setting.depth; number++) {
    // The same numbers are drawn with and without a projection, so that switching it changes nothing else.
    for (const [part, kernel] of [
      ["conv1", 3],
      ["conv2", 3],
      ["downsample.0", 1],
    ])
      conv(`b${number}.${part}`, kernel);
    for (const part of ["bn1", "bn2", "downsample.1"]) norm(`b${number}.${part}`);
    if (setting.shortcut !== "projection")
      for (const name of Object.keys(parameters)) if (name.startsWith(`b${number}.downsample`)) delete parameters[name];
  }
  return parameters;
}

// One block on the tape: the name of its input -> the name of its output.
function applyBlock(tape, setting, number, x) {
  const { Add, BatchNormTraining, Conv2d, ReLU } = tape.operations;
  const name = (part) => `b${number}.${part}`;
  const conv = (part, from, padding) => tape.apply(name(part), new Conv2d(padding), from, name(`${part}.weight`));
  const norm = (part, from) =>
    setting.norm
      ? tape.apply(name(part), new BatchNormTraining(), from, name(`${part}.weight`), name(`${part}.bias`))
      : from;
  let y = norm("bn1", conv("conv1", x, 1));
  y = tape.apply(name("relu1"), new ReLU(), y);
  y = norm("bn2", conv("conv2", y, 1));
  if (setting.shortcut === "identity") y = tape.apply(name("sum"), new Add(), y, x);
  if (setting.shortcut === "projection")
    y = tape.apply(name("sum"), new Add(), y, norm("downsample.1", conv("downsample.0", x, 0)));
  return tape.apply(name("relu2"), new ReLU(), y);
}

// Forward through the network, and backward if it is asked for. Returns the tape.
export function run(setting, parameters, { perturbed = null, backward = true, input = inputOf(setting) } = {}) {
  const tape = new Tape(operationsWith(setting.mistake), perturbed);
  const { AvgPool2d, CrossEntropy, Linear, MaxPool2d } = tape.operations;
  for (const [name, array] of Object.entries(parameters)) tape.put(name, array);
  let y = tape.put("x", input);
  for (let number = 1; number <= setting.depth; number++) y = applyBlock(tape, setting, number, y);
  y = tape.apply("pool", setting.pool === "max" ? new MaxPool2d(POOL) : new AvgPool2d(POOL), y);
  y = tape.apply("fc", new Linear(), y, "fc.weight", "fc.bias");
  tape.apply("loss", new CrossEntropy(setting.label), y);
  if (backward) tape.backward("loss");
  return tape;
}

// Gradient descent on the one example, w ← w − lr · ∂L/∂w: returns the parameters after `steps`, and the losses.
export function trained(setting, steps, lr) {
  let parameters = initialParameters(setting);
  const losses = [];
  for (let step = 0; step < steps; step++) {
    const tape = run(setting, parameters);
    losses.push(tape.value("loss").data[0]);
    const moved = {};
    for (const [name, w] of Object.entries(parameters))
      moved[name] = map((value, g) => value - lr * g, w, tape.gradient(name));
    parameters = moved;
  }
  return { parameters, losses };
}

// The names of a block's input and output.
export function endsOf(setting, number) {
  return [number === 1 ? "x" : `b${number - 1}.relu2`, `b${number}.relu2`];
}
