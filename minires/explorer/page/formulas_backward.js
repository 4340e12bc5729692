// The formulas of gradients, one cell at a time, with the actual numbers; formulas.js says what a formula is.

import { indexOf } from "./arrays.js";
import { factor, shown } from "./numbers.js";
import { kindOf } from "./timeline.js";

const at = (index) => `[${index.join(",")}]`;
const MOST_TERMS = 40;

export function backwardFormula(tape, step, id, flat) {
  const [what, name, which] = id.split(":");
  if (what === "grad") return arrived(tape, name, flat);
  const node = tape.node(name);
  const i = Number(which);
  const index = indexOf(node.sent[i].shape, flat);
  const facts = {
    tape,
    node,
    i,
    flat,
    index,
    value: node.sent[i].data[flat],
    gy: tape.gradient(name),
    from: `grad:${name}`,
  };
  return BACKWARD[kindOf(name)](facts);
}

// A gradient that has arrived: the sum of what the consumers have sent.
function arrived(tape, name, flat) {
  const parts = tape.arrivals.get(name);
  const value = tape.gradient(name).data[flat];
  const index = indexOf(tape.gradient(name).shape, flat);
  const numbers = parts.map(({ gradient }) => factor(gradient.data[flat])).join(" + ");
  const sources = {};
  for (const { from } of parts) if (from) sources[`sent:${from}:${tape.node(from).inputs.indexOf(name)}`] = [flat];
  return {
    head: `∂L/∂${name.replace(/^b1\./, "")}${at(index)}`,
    lines: [`= ${numbers} = ${shown(value, 5)}`],
    sources,
  };
}

const BACKWARD = {
  conv: convolution,
  projection: convolution,
  norm: batchNorm,
  relu: rectifier,
  sum: addition,
  pool: pooling,
  linear,
  loss: crossEntropy,
};

// gx collects over the windows that read the pixel, gw over the places where the weight was used.
function convolution({ node, i, flat, index, value, gy, from }) {
  const [x, w] = node.op.inputs;
  const [terms, sources] = [[], { [from]: [], [`value:${node.inputs[1 - i]}`]: [] }];
  node.op.eachProduct((place, pixel, weight) => {
    if ((i ? weight : pixel) !== flat) return;
    const other = i ? x.data[pixel] : w.data[weight];
    terms.push(`${shown(gy.data[place], 2)}·${factor(other, 2)}`);
    sources[from].push(place);
    sources[`value:${node.inputs[1 - i]}`].push(i ? pixel : weight);
  });
  return {
    head: i ? `gw${at(index)} = Σ gy[o,p,q] · x[c,p+i−P,q+j−P]` : `gx${at(index)} = Σ gy[o,p,q] · w[o,c,i,j]`,
    lines: [`= ${listed(terms)} = ${shown(value, 5)}`],
    sources,
  };
}

function listed(terms) {
  const more = terms.length - MOST_TERMS;
  return terms.slice(0, MOST_TERMS).join(" + ") + (more > 0 ? ` + … (${more})` : "");
}

function batchNorm({ node, i, flat, index, value, gy, from }) {
  const { op } = node;
  const [x, weight] = op.inputs;
  const m = x.size / x.shape[0];
  const [c] = index;
  const channel = [...Array(m).keys()].map((k) => c * m + k);
  if (i === 2) return { head: `gb[${c}] = Σ g = ${shown(value, 5)}`, lines: [], sources: { [from]: channel } };
  if (i === 1) return { head: `gw[${c}] = Σ g·x̂ = ${shown(value, 5)}`, lines: [], sources: { [from]: channel } };
  const mean = channel.reduce((total, k) => total + gy.data[k], 0) / m;
  const [scale, g, xHat] = [weight.data[c] * op.inverse(c), gy.data[flat], op.xHat.data[flat]];
  const product = channel.reduce((total, k) => total + gy.data[k] * op.xHat.data[k], 0) / m;
  return {
    head: "gx = w/√(σ² + ε) · (g − mean g − x̂ · mean(g·x̂))",
    lines: [
      `mean g = ${shown(mean, 5)},   mean(g·x̂) = ${shown(product, 5)},   w/√(σ² + ε) = ${shown(scale, 5)}`,
      `= ${shown(scale)}·(${shown(g)} − ${factor(mean)} − ${factor(xHat)}·${factor(product)}) = ${shown(value, 5)}`,
    ],
    sources: { [from]: channel, [`value:${node.inputs[1]}`]: [c] },
  };
}

function rectifier({ node, flat, index, value, gy, from }) {
  const x = node.op.inputs[0].data[flat];
  return {
    head: `gx${at(index)} = g${at(index)}, x > 0;   0, x ≤ 0`,
    lines: [`x = ${shown(x)},   g = ${shown(gy.data[flat])}   →   gx = ${shown(value, 5)}`],
    sources: { [from]: [flat], [`value:${node.inputs[0]}`]: [flat] },
  };
}

function addition({ i, flat, index, value, gy, from }) {
  return {
    head: `∂L/∂${i ? "shortcut" : "F"}${at(index)} = g${at(index)} · 1`,
    lines: [`= ${shown(gy.data[flat], 5)} · 1 = ${shown(value, 5)}`],
    sources: { [from]: [flat] },
  };
}

function pooling({ node, flat, index, value, gy, from }) {
  let [window, position] = [-1, -1];
  node.op.each((place, pixel, k) => {
    if (pixel === flat) [window, position] = [place, k];
  });
  const g = gy.data[window];
  const winner = node.op.argmax?.data[window];
  const lines =
    winner === undefined
      ? [`= ${shown(g, 5)}/${node.op.kernel ** 2} = ${shown(value, 5)}`]
      : [`argmax = ${winner}, i·2 + j = ${position}   →   gx = ${shown(value, 5)}`];
  return {
    head: winner === undefined ? `gx${at(index)} = g/4` : `gx${at(index)} = g, i·2 + j = argmax;   0`,
    lines,
    sources: { [from]: [window] },
  };
}

function linear({ node, i, flat, index, value, gy, from }) {
  const [x, weight] = node.op.inputs;
  if (i === 2) return { head: `gb[${flat}] = g[${flat}] = ${shown(value, 5)}`, lines: [], sources: { [from]: [flat] } };
  if (i === 1) {
    const [k, n] = [Math.floor(flat / x.size), flat % x.size];
    return {
      head: `gW[${k}, ${n}] = g[${k}] · x[${n}]`,
      lines: [`= ${shown(gy.data[k])}·${factor(x.data[n])} = ${shown(value, 5)}`],
      sources: { [from]: [k] },
    };
  }
  const terms = [...gy.data].map((g, k) => `${shown(g)}·${factor(weight.data[k * x.size + flat])}`);
  return {
    head: `gx${at(index)} = Σ g[k] · W[k, ${flat}]`,
    lines: [`= ${terms.join(" + ")} = ${shown(value, 5)}`],
    sources: {
      [from]: [...gy.data.keys()],
      [`value:${node.inputs[1]}`]: [...gy.data.keys()].map((k) => k * x.size + flat),
    },
  };
}

function crossEntropy({ node, flat, value, gy }) {
  const { label, softmax } = node.op;
  const hot = Number(flat === label);
  return {
    head: `gx[${flat}] = g · (softmax[${flat}] − ${hot})`,
    lines: [`= ${shown(gy.data[0])}·(${shown(softmax.data[flat])} − ${hot}) = ${shown(value, 5)}`],
    sources: { [`value:${node.inputs[0]}`]: [flat] },
  };
}
