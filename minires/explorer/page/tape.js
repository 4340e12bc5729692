// A small autograd tape: it records each op with its inputs by name, and sends gradients back through the record.

import { full } from "./arrays.js";

export class Tape {
  // perturbed: {name, index, by} adds `by` to one element as soon as the array `name` exists, for finite differences.
  constructor(operations, perturbed = null) {
    this.operations = operations;
    this.perturbed = perturbed;
    this.values = new Map();
    this.nodes = []; // in the order in which they ran
    this.gradients = new Map();
    this.arrivals = new Map(); // name -> [{from, gradient}] in the order in which the parts arrived
  }

  // An input or a parameter.
  put(name, array) {
    this.values.set(name, this._moved(name, array.copy()));
    return name;
  }

  // Applies an op to arrays by their names, and gives its output a name.
  apply(name, op, ...inputs) {
    const y = op.forward(...inputs.map((each) => this.values.get(each)));
    this.values.set(name, this._moved(name, y));
    this.nodes.push({ name, op, inputs });
    return name;
  }

  // A copy is moved: the op keeps its own output, by which it is known on which side of a kink it was.
  _moved(name, array) {
    if (this.perturbed?.name !== name) return array;
    const moved = array.copy();
    moved.data[this.perturbed.index] += this.perturbed.by;
    return moved;
  }

  // Fills `gradients`. The nodes run in reverse, so each runs when all its consumers have sent their gradients.
  backward(root) {
    this._arrive(root, null, full(this.values.get(root).shape, 1));
    for (const node of [...this.nodes].reverse()) {
      const gradient = this.gradients.get(node.name);
      node.sent = node.op.backward(gradient);
      node.inputs.forEach((input, i) => this._arrive(input, node.name, node.sent[i]));
    }
  }

  _arrive(name, from, gradient) {
    const old = this.gradients.get(name);
    this.gradients.set(name, old ? this.operations.accumulate(old, gradient) : gradient);
    if (!this.arrivals.has(name)) this.arrivals.set(name, []);
    this.arrivals.get(name).push({ from, gradient });
  }

  node(name) {
    return this.nodes.find((node) => node.name === name);
  }

  value(name) {
    return this.values.get(name);
  }

  gradient(name) {
    return this.gradients.get(name);
  }
}
