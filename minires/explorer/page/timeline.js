// The steps of the timeline: forward op by op, then backward op by op, and at last x, where the two gradients meet.
//
// A step is {phase, kind, node, nodes}: `node` is the op whose numbers are shown, `nodes` all ops that run in it (the
// blocks after the first one run in one step). `kind` chooses the text and the formula.

const KINDS = {
  conv1: "conv",
  conv2: "conv",
  bn1: "norm",
  bn2: "norm",
  relu1: "relu",
  relu2: "relu",
  sum: "sum",
  "downsample.0": "projection",
  "downsample.1": "norm",
  pool: "pool",
  fc: "linear",
  loss: "loss",
};

export function kindOf(name) {
  return KINDS[name.replace(/^b\d+\./, "")] ?? "input";
}

export function stepsOf(tape) {
  const forward = [{ kind: "input", node: "x", nodes: [] }];
  for (const { name } of tape.nodes) {
    const number = Number(name.match(/^b(\d+)\./)?.[1] ?? 0);
    const last = forward.at(-1);
    if (number <= 1) forward.push({ kind: kindOf(name), node: name, nodes: [name] });
    else if (last.kind === "blocks") {
      last.node = name;
      last.nodes.push(name);
    } else forward.push({ kind: "blocks", node: name, nodes: [name] });
  }
  const backward = [...forward]
    .reverse()
    .map((step) => ({ ...step, kind: step.kind === "input" ? "join" : step.kind }));
  return [
    ...forward.map((step) => ({ ...step, phase: "forward" })),
    ...backward.map((step) => ({ ...step, phase: "backward" })),
  ];
}

// What has been computed after `count` steps: the names of arrays and of gradients that exist by then, and the nodes
// whose backward has run.
export function reached(tape, steps, count) {
  const values = new Set(["x"]);
  const gradients = new Set();
  const fired = new Set();
  for (const step of steps.slice(0, count)) {
    if (step.phase === "forward") step.nodes.forEach((name) => values.add(name));
    else
      for (const name of step.nodes) {
        gradients.add(name);
        fired.add(name);
        for (const input of tape.node(name).inputs) gradients.add(input);
      }
  }
  return { values, gradients, fired };
}

// The parts of a tensor's gradient that had been sent when only `fired` had run, added up by the tape's rule.
export function gradientSoFar(tape, name, fired) {
  const parts = (tape.arrivals.get(name) ?? []).filter(({ from }) => from === null || fired.has(from));
  return parts.map(({ gradient }) => gradient).reduce((a, b) => (a ? tape.operations.accumulate(a, b) : b), null);
}
