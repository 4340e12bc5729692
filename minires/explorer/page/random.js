// Random numbers that are the same in every browser: a setting's seed decides them.

import { NDArray, zeros } from "./arrays.js";

// Uniform numbers in [0, 1): "mulberry32", a counter that is multiplied and shifted.
export function uniform(seed) {
  let state = (seed * 2654435761) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

// An array from N(0, deviation²), by the transform of Box and Muller.
export function normal(draw, shape, deviation) {
  const y = zeros(shape);
  for (let i = 0; i < y.size; i++) {
    const radius = Math.sqrt(-2 * Math.log(1 - draw()));
    y.data[i] = deviation * radius * Math.cos(2 * Math.PI * draw());
  }
  return new NDArray(shape, y.data);
}
