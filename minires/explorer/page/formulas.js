// The formula of one cell with the actual numbers.
//
// A formula is {head, lines, sources, products}: `head` in symbols, `lines` with numbers, `sources` the cells that go
// into it ({panel id: [flat index, …]}), and for convolutions `products`, the window and the kernel channel by channel.

import { flatOf, indexOf } from "./arrays.js";
import { backwardFormula } from "./formulas_backward.js";
import { factor, shown } from "./numbers.js";
import { kindOf } from "./timeline.js";

const at = (index) => `[${index.join(",")}]`;

export function formulaOf(tape, step, cell) {
  const [id, flat] = [cell.slice(0, cell.lastIndexOf("@")), Number(cell.slice(cell.lastIndexOf("@") + 1))];
  const [what, name] = id.split(":");
  if (what !== "value") return backwardFormula(tape, step, id, flat);
  const node = tape.node(name);
  const value = tape.value(name).data[flat];
  const index = indexOf(tape.value(name).shape, flat);
  if (!node || node.name !== step.node)
    return { head: `${name.replace(/^b1\./, "")}${at(index)} = ${shown(value, 6)}`, lines: [], sources: {} };
  return FORWARD[kindOf(name)](tape, node, flat, index, value);
}

const FORWARD = {
  conv: convolution,
  projection: convolution,
  norm: batchNorm,
  relu: rectifier,
  sum: addition,
  pool: pooling,
  linear,
  loss: crossEntropy,
};

// The products of one output pixel, channel by channel: what im2col copies into column (p, q), and the kernel.
function convolution(tape, node, flat, [o, p, q], value) {
  const [x, w] = node.op.inputs;
  const [height, width] = x.shape.slice(1);
  const kernel = w.shape[2];
  const products = [];
  const sources = { [`value:${node.inputs[0]}`]: [], [`value:${node.inputs[1]}`]: [] };
  for (let c = 0; c < x.shape[0]; c++) {
    const pairs = [];
    for (let i = 0; i < kernel; i++)
      for (let j = 0; j < kernel; j++) {
        const [h, v] = [p + i - node.op.padding, q + j - node.op.padding];
        const inside = h >= 0 && h < height && v >= 0 && v < width;
        const [pixel, weight] = [flatOf(x.shape, [c, h, v]), flatOf(w.shape, [o, c, i, j])];
        pairs.push({ x: inside ? x.data[pixel] : 0, w: w.data[weight], padding: !inside });
        if (inside) sources[`value:${node.inputs[0]}`].push(pixel);
        sources[`value:${node.inputs[1]}`].push(weight);
      }
    products.push({ channel: c, side: kernel, pairs });
  }
  const sums = products.map(({ pairs }) => pairs.reduce((total, each) => total + each.x * each.w, 0));
  const P = node.op.padding;
  const shift = P ? `−${P}` : "";
  return {
    head: `y${at([o, p, q])} = Σ x[c, ${p}+i${shift}, ${q}+j${shift}] · w[${o}, c, i, j]`,
    lines: [`= ${sums.map((each) => factor(each)).join(" + ")} = ${shown(value, 5)}`],
    products,
    column: { number: p * width + q, of: height * width },
    sources,
  };
}

function batchNorm(tape, node, flat, [c, h, v], value) {
  const [x, weight, bias] = node.op.inputs;
  const [mean, variance] = [node.op.mean.data[c], node.op.variance.data[c]];
  const xHat = node.op.xHat.data[flat];
  const m = x.size / x.shape[0];
  const channel = [...Array(m).keys()].map((k) => c * m + k);
  return {
    head: `y = w·x̂ + b,   x̂ = (x − μ)/√(σ² + ε)   ${at([c, h, v])}`,
    lines: [
      `μ = Σx/${m} = ${shown(mean, 5)},   σ² = Σ(x − μ)²/${m} = ${shown(variance, 5)}`,
      `x̂ = (${shown(x.data[flat])} − ${factor(mean)})/√(${shown(variance)} + 1e−5) = ${shown(xHat, 5)}`,
      `y = ${shown(weight.data[c])}·${factor(xHat)} + ${factor(bias.data[c])} = ${shown(value, 5)}`,
    ],
    sources: {
      [`value:${node.inputs[0]}`]: channel,
      [`value:${node.inputs[1]}`]: [c],
      [`value:${node.inputs[2]}`]: [c],
    },
  };
}

function rectifier(tape, node, flat, index, value) {
  const x = node.op.inputs[0].data[flat];
  return {
    head: `y${at(index)} = max(x${at(index)}, 0)`,
    lines: [`= max(${shown(x)}, 0) = ${shown(value, 5)}`],
    sources: { [`value:${node.inputs[0]}`]: [flat] },
  };
}

function addition(tape, node, flat, index, value) {
  const [a, b] = node.inputs.map((name) => tape.value(name).data[flat]);
  return {
    head: `y${at(index)} = F(x)${at(index)} + ${node.inputs[1] === "x" ? "x" : "shortcut(x)"}${at(index)}`,
    lines: [`= ${shown(a)} + ${factor(b)} = ${shown(value, 5)}`],
    sources: Object.fromEntries(node.inputs.map((name) => [`value:${name}`, [flat]])),
  };
}

function pooling(tape, node, flat, index, value) {
  const pixels = [];
  node.op.each((window, pixel) => window === flat && pixels.push(pixel));
  const x = node.op.inputs[0].data;
  const numbers = pixels.map((pixel) => shown(x[pixel]));
  const isMax = node.op.argmax !== undefined;
  const lines = isMax
    ? [`= max(${numbers.join(", ")}) = ${shown(value, 5)}`, `argmax = ${node.op.argmax.data[flat]}`]
    : [`= (${pixels.map((pixel) => factor(x[pixel])).join(" + ")})/${pixels.length} = ${shown(value, 5)}`];
  return {
    head: `y${at(index)} = ${isMax ? "max" : "1/4 · Σ"} x[${index[0]}, ${2 * index[1]}+i, ${2 * index[2]}+j]`,
    lines,
    sources: { [`value:${node.inputs[0]}`]: pixels },
    winner: isMax ? { [`value:${node.inputs[0]}`]: [pixels[node.op.argmax.data[flat]]] } : {},
  };
}

function linear(tape, node, flat, index, value) {
  const [x, weight, bias] = node.op.inputs;
  const terms = [...x.data].map((one, n) => `${shown(weight.data[flat * x.size + n], 2)}·${factor(one, 2)}`);
  return {
    head: `y[${flat}] = Σ W[${flat}, n] · x[n] + b[${flat}]`,
    lines: [`= ${terms.join(" + ")} + ${factor(bias.data[flat], 2)}`, `= ${shown(value, 5)}`],
    sources: {
      [`value:${node.inputs[0]}`]: [...x.data.keys()],
      [`value:${node.inputs[1]}`]: [...x.data.keys()].map((n) => flat * x.size + n),
      [`value:${node.inputs[2]}`]: [flat],
    },
  };
}

function crossEntropy(tape, node, flat, index, value) {
  const logits = node.op.inputs[0].data;
  const { label } = node.op;
  return {
    head: `L = ln Σ eˣ − x[${label}]`,
    lines: [
      `= ln(${[...logits].map((x) => `e^${factor(x)}`).join(" + ")}) − ${factor(logits[label])} = ${shown(value, 5)}`,
      `softmax = (${[...node.op.softmax.data].map((p) => shown(p)).join(", ")})`,
    ],
    sources: { [`value:${node.inputs[0]}`]: [...logits.keys()] },
  };
}
