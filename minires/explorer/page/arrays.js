// Arrays of float64 with a shape, in row-major order: all that the block needs of NumPy.

export class NDArray {
  constructor(shape, data) {
    this.shape = shape;
    this.data = data;
  }

  get size() {
    return this.data.length;
  }

  copy() {
    return new NDArray(this.shape, this.data.slice());
  }
}

export function zeros(shape) {
  return new NDArray(shape, new Float64Array(shape.reduce((a, b) => a * b, 1)));
}

export function full(shape, value) {
  const array = zeros(shape);
  array.data.fill(value);
  return array;
}

// f of every element, or of every pair of elements of two arrays with one shape.
export function map(f, a, b) {
  const y = zeros(a.shape);
  for (let i = 0; i < y.size; i++) y.data[i] = b ? f(a.data[i], b.data[i]) : f(a.data[i]);
  return y;
}

export function add(a, b) {
  return map((p, q) => p + q, a, b);
}

export function sum(a) {
  let total = 0;
  for (const value of a.data) total += value;
  return total;
}

// The length of an array as a vector, √Σ a².
export function norm(a) {
  return Math.hypot(...a.data);
}

export function largest(a) {
  let found = 0;
  for (const value of a.data) found = Math.max(found, Math.abs(value));
  return found;
}

// [c, h, w] of the element at a flat index of an array (C, H, W); shorter for arrays of fewer axes.
export function indexOf(shape, flat) {
  const index = [];
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    index.unshift(flat % shape[axis]);
    flat = Math.floor(flat / shape[axis]);
  }
  return index;
}

export function flatOf(shape, index) {
  return index.reduce((flat, i, axis) => flat * shape[axis] + i, 0);
}
