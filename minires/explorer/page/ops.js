// The operations of the block: the classes of minires/ops, for one image, with the same names and formulas.
//
// An op keeps what its backward needs. `forward` takes arrays and returns one; `backward` takes the gradient of that
// and returns one gradient for each input. Images are (C, H, W): there is one image, so the axis N is left out.

import { map, sum, zeros } from "./arrays.js";

// y[o,p,q] = Σ_{c,i,j} x[c, p + i − P, q + j − P] · w[o,c,i,j], with stride 1 and x = 0 outside.
export class Conv2d {
  constructor(padding) {
    this.padding = padding;
  }

  forward(x, w) {
    this.inputs = [x, w];
    const [outputs] = w.shape;
    const [, height, width] = x.shape;
    const y = zeros([outputs, height, width]);
    this.eachProduct((place, pixel, weight) => {
      y.data[place] += x.data[pixel] * w.data[weight];
    });
    return y;
  }

  backward(gy) {
    return [this.gradInput(gy), this.gradWeight(gy)];
  }

  // gx[c,h,v] = Σ gy[o,p,q] · w[o,c,i,j] over all windows that read the pixel: where they overlap, gradients add up.
  gradInput(gy) {
    const [x, w] = this.inputs;
    const gx = zeros(x.shape);
    this.eachProduct((place, pixel, weight) => {
      gx.data[pixel] += gy.data[place] * w.data[weight];
    });
    return gx;
  }

  // gw[o,c,i,j] = Σ_{p,q} gy[o,p,q] · x[c, p + i − P, q + j − P]
  gradWeight(gy) {
    const [x, w] = this.inputs;
    const gw = zeros(w.shape);
    this.eachProduct((place, pixel, weight) => {
      gw.data[weight] += gy.data[place] * x.data[pixel];
    });
    return gw;
  }

  // Calls visit(flat index in y, in x, in w) for every product of the sum above. The kernel position is the outer loop,
  // as in im2col.
  eachProduct(visit) {
    const [x, w] = this.inputs;
    const [channels, height, width] = x.shape;
    const [outputs, , kernel] = w.shape;
    for (let i = 0; i < kernel; i++)
      for (let j = 0; j < kernel; j++)
        for (let o = 0; o < outputs; o++)
          for (let c = 0; c < channels; c++)
            for (let p = 0; p < height; p++) {
              const h = p + i - this.padding;
              if (h < 0 || h >= height) continue;
              for (let q = 0; q < width; q++) {
                const v = q + j - this.padding;
                if (v < 0 || v >= width) continue;
                visit(
                  (o * height + p) * width + q,
                  (c * height + h) * width + v,
                  ((o * channels + c) * kernel + i) * kernel + j,
                );
              }
            }
  }
}

// For each channel, with m pixels:  μ = Σx/m,  σ² = Σ(x − μ)²/m,  x̂ = (x − μ)/√(σ² + ε),  y = w·x̂ + b.
export class BatchNormTraining {
  constructor(eps = 1e-5) {
    this.eps = eps;
  }

  forward(x, weight, bias) {
    this.inputs = [x, weight, bias];
    const channels = x.shape[0];
    const m = x.size / channels;
    this.mean = zeros([channels]);
    this.variance = zeros([channels]);
    this.xHat = zeros(x.shape);
    for (let c = 0; c < channels; c++) {
      const of = x.data.subarray(c * m, (c + 1) * m);
      const mean = of.reduce((total, value) => total + value, 0) / m;
      const variance = of.reduce((total, value) => total + (value - mean) ** 2, 0) / m;
      [this.mean.data[c], this.variance.data[c]] = [mean, variance];
      for (let k = 0; k < m; k++) this.xHat.data[c * m + k] = (of[k] - mean) * this.inverse(c);
    }
    const y = zeros(x.shape);
    for (let k = 0; k < x.size; k++) {
      const c = Math.floor(k / m);
      y.data[k] = weight.data[c] * this.xHat.data[k] + bias.data[c];
    }
    return y;
  }

  // 1/√(σ² + ε) of a channel
  inverse(c) {
    return 1 / Math.sqrt(this.variance.data[c] + this.eps);
  }

  // gx = w/√(σ² + ε) · (g − mean g − x̂ · mean(g·x̂));  the two means are what flows back through μ and σ².
  backward(gy) {
    const [x, weight, bias] = this.inputs;
    const m = x.size / x.shape[0];
    const [gx, gw, gb] = [zeros(x.shape), zeros(weight.shape), zeros(bias.shape)];
    for (let k = 0; k < x.size; k++) {
      const c = Math.floor(k / m);
      gw.data[c] += gy.data[k] * this.xHat.data[k];
      gb.data[c] += gy.data[k];
    }
    for (let k = 0; k < x.size; k++) {
      const c = Math.floor(k / m);
      const centred = gy.data[k] - gb.data[c] / m - this.throughVariance(k, gw.data[c] / m);
      gx.data[k] = weight.data[c] * this.inverse(c) * centred;
    }
    return [gx, gw, gb];
  }

  throughVariance(k, meanOfProduct) {
    return this.xHat.data[k] * meanOfProduct;
  }
}

// y = max(x, 0);  y′ = 1 where x > 0, else 0, also at the kink.
export class ReLU {
  forward(x) {
    this.inputs = [x];
    this.y = map((value) => Math.max(value, 0), x);
    return this.y;
  }

  backward(gy) {
    return [map((g, y) => (y > 0 ? g : 0), gy, this.y)];
  }
}

// y = a + b;  ∂y/∂a = ∂y/∂b = 1: both get the gradient unchanged. In F(x) + x this is the residual connection.
export class Add {
  forward(a, b) {
    this.inputs = [a, b];
    return map((p, q) => p + q, a, b);
  }

  backward(gy) {
    return [gy.copy(), gy.copy()];
  }
}

// Windows of k×k pixels side by side. Calls visit(flat index of the window, flat index of one of its pixels, i·k + j).
function eachPixel(shape, k, visit) {
  const [channels, height, width] = shape;
  const [rows, columns] = [Math.floor(height / k), Math.floor(width / k)];
  for (let c = 0; c < channels; c++)
    for (let p = 0; p < rows; p++)
      for (let q = 0; q < columns; q++)
        for (let i = 0; i < k; i++)
          for (let j = 0; j < k; j++)
            visit((c * rows + p) * columns + q, (c * height + p * k + i) * width + q * k + j, i * k + j);
}

class Pool2d {
  constructor(kernel) {
    this.kernel = kernel;
  }

  outputOf(x) {
    this.inputs = [x];
    const [channels, height, width] = x.shape;
    return zeros([channels, Math.floor(height / this.kernel), Math.floor(width / this.kernel)]);
  }

  each(visit) {
    eachPixel(this.inputs[0].shape, this.kernel, visit);
  }
}

// Each window hands on its largest element; the gradient returns to that element alone. Ties go to the first.
export class MaxPool2d extends Pool2d {
  forward(x) {
    const y = this.outputOf(x);
    y.data.fill(-Infinity);
    this.argmax = zeros(y.shape);
    this.each((window, pixel, position) => {
      if (x.data[pixel] > y.data[window]) [y.data[window], this.argmax.data[window]] = [x.data[pixel], position];
    });
    this.y = y;
    return y;
  }

  backward(gy) {
    const gx = zeros(this.inputs[0].shape);
    this.each((window, pixel, position) => {
      if (this.wins(window, pixel, position)) gx.data[pixel] += gy.data[window];
    });
    return [gx];
  }

  wins(window, pixel, position) {
    return position === this.argmax.data[window];
  }
}

// y = 1/D · Σ over the window of D pixels; each of them gets gy/D back.
export class AvgPool2d extends Pool2d {
  forward(x) {
    const y = this.outputOf(x);
    this.each((window, pixel) => {
      y.data[window] += x.data[pixel] / this.kernel ** 2;
    });
    return y;
  }

  backward(gy) {
    const gx = zeros(this.inputs[0].shape);
    this.each((window, pixel) => {
      gx.data[pixel] += gy.data[window] / this.divisor();
    });
    return [gx];
  }

  divisor() {
    return this.kernel ** 2;
  }
}

// y = W x + b, where x is taken as one row of numbers:  gx = Wᵀ g,  gW = g xᵀ,  gb = g.
export class Linear {
  forward(x, weight, bias) {
    this.inputs = [x, weight, bias];
    const y = bias.copy();
    for (let k = 0; k < y.size; k++)
      for (let n = 0; n < x.size; n++) y.data[k] += weight.data[k * x.size + n] * x.data[n];
    return y;
  }

  backward(gy) {
    const [x, weight] = this.inputs;
    const [gx, gw] = [zeros(x.shape), zeros(weight.shape)];
    for (let k = 0; k < gy.size; k++)
      for (let n = 0; n < x.size; n++) {
        gx.data[n] += gy.data[k] * weight.data[k * x.size + n];
        gw.data[k * x.size + n] = gy.data[k] * x.data[n];
      }
    return [gx, gw, gy.copy()];
  }
}

// loss = ln Σ_c exp(x[c]) − x[label];  gx = g · (softmax(x) − one-hot(label)).
export class CrossEntropy {
  constructor(label) {
    this.label = label;
  }

  forward(x) {
    this.inputs = [x];
    const top = Math.max(...x.data);
    const exponentials = map((value) => Math.exp(value - top), x);
    const total = sum(exponentials);
    this.softmax = map((value) => value / total, exponentials);
    const loss = zeros([1]);
    loss.data[0] = Math.log(total) + top - x.data[this.label];
    return loss;
  }

  backward(gy) {
    const gx = map((p) => gy.data[0] * p, this.softmax);
    gx.data[this.label] -= gy.data[0];
    return [gx];
  }
}
