// Reads settings (a JSON list) on standard input and writes every array that the page computes for each of them.
//
// A setting may have `training: [steps, lr]`, `jitter: true` (batch norm and biases away from 1 and 0).

import { readFileSync } from "node:fs";
import { initialParameters, inputOf, run, trained } from "../../minires/explorer/page/block.js";
import { normal, uniform } from "../../minires/explorer/page/random.js";
import { stepsOf } from "../../minires/explorer/page/timeline.js";

const plain = (array) => ({ shape: array.shape, data: [...array.data] });
const all = (arrays) => Object.fromEntries([...arrays].map(([name, array]) => [name, plain(array)]));

function trace(setting) {
  let parameters = setting.training ? trained(setting, ...setting.training).parameters : initialParameters(setting);
  if (setting.jitter) {
    const draw = uniform(setting.seed + 1);
    for (const [name, array] of Object.entries(parameters))
      if (array.shape.length === 1) parameters[name] = normal(draw, array.shape, 1);
  }
  const tape = run(setting, parameters);
  return {
    setting,
    parameters: all(Object.entries(parameters)),
    input: plain(inputOf(setting)),
    steps: stepsOf(tape).map(({ phase, kind, node }) => [phase, kind, node]),
    values: all(tape.values),
    gradients: all(tape.gradients),
    sent: Object.fromEntries(tape.nodes.map((node) => [node.name, node.sent.map(plain)])),
    inputs: Object.fromEntries(tape.nodes.map((node) => [node.name, node.inputs])),
  };
}

const settings = JSON.parse(readFileSync(0, "utf-8"));
process.stdout.write(JSON.stringify(settings.map(trace)));
