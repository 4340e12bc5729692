// Six mistakes of `minires lab`, under the same names. Each replaces an op, or the rule by which gradients join.

import { add, zeros } from "./arrays.js";
import { Add, AvgPool2d, BatchNormTraining, Conv2d, CrossEntropy, Linear, MaxPool2d, ReLU } from "./ops.js";

export const RIGHT = {
  Conv2d,
  BatchNormTraining,
  ReLU,
  Add,
  MaxPool2d,
  AvgPool2d,
  Linear,
  CrossEntropy,
  // What a tensor's gradient becomes when another consumer sends its part: the sum of both.
  accumulate: add,
};

// `out += identity`: the sum is written into x, which the first convolution still needs for its weights' gradient.
class AddInPlace extends Add {
  forward(a, b) {
    this.inputs = [a, b];
    for (let k = 0; k < b.size; k++) b.data[k] += a.data[k];
    return b.copy();
  }
}

// σ² depends on every x too; here it is taken for a constant, so the last term is missing.
class ConstantVariance extends BatchNormTraining {
  throughVariance() {
    return 0;
  }
}

// A pixel that nine windows read keeps the gradient of the last kernel position alone.
class OverwritingConv2d extends Conv2d {
  gradInput(gy) {
    const [x, w] = this.inputs;
    const gx = zeros(x.shape);
    const writer = new Int32Array(x.size).fill(-1);
    const area = w.shape[2] * w.shape[3];
    this.eachProduct((place, pixel, weight) => {
      const position = weight % area;
      if (writer[pixel] !== position) [writer[pixel], gx.data[pixel]] = [position, 0];
      gx.data[pixel] += gy.data[place] * w.data[weight];
    });
    return gx;
  }
}

class AllTies extends MaxPool2d {
  wins(window, pixel) {
    return this.inputs[0].data[pixel] === this.y.data[window];
  }
}

class Undivided extends AvgPool2d {
  divisor() {
    return 1;
  }
}

export const MISTAKES = {
  "overwrite-instead-of-accumulate": { accumulate: (old, gradient) => gradient },
  "add-in-place": { Add: AddInPlace },
  "batch-variance-as-constant": { BatchNormTraining: ConstantVariance },
  "col2im-overwrites-overlaps": { Conv2d: OverwritingConv2d },
  "gradient-to-all-ties": { MaxPool2d: AllTies },
  "average-pool-forgets-to-divide": { AvgPool2d: Undivided },
};

export function operationsWith(mistake) {
  return { ...RIGHT, ...(MISTAKES[mistake] ?? {}) };
}
