// A line chart as SVG: several series over one axis, with a linear or a logarithmic scale.

import { svg } from "./dom.js";
import { shown } from "./numbers.js";

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [420, 240, 54, 14, 26, 34];

// series: [{label, points: [[x, y], …], className}]; marks: [{x, label}]. On a logarithmic scale zeros are left out.
export function chart({ series, log = false, xLabel, yLabel, marker = null, xTicks = null, shownX = String }) {
  const usable = series.map((each) => ({
    ...each,
    points: each.points.filter(([, y]) => Number.isFinite(y) && (!log || y > 0)),
  }));
  const all = usable.flatMap(({ points }) => points);
  const picture = svg("svg", {
    class: "chart",
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    role: "img",
    "aria-label": `${yLabel}, ${xLabel}`,
  });
  if (!all.length) return picture;
  const height = (y) => (log ? Math.log10(y) : y);
  const xs = series.flatMap(({ points }) => points.map(([x]) => x));
  const [x0, x1] = spread(Math.min(...xs), Math.max(...xs));
  const ys = all.map(([, y]) => height(y));
  const [y0, y1] = log
    ? spread(Math.floor(Math.min(...ys)), Math.ceil(Math.max(...ys)))
    : spread(Math.min(0, ...ys), Math.max(...ys));
  const px = (x) => LEFT + ((WIDTH - LEFT - RIGHT) * (x - x0)) / (x1 - x0);
  const py = (y) => HEIGHT - BOTTOM - ((HEIGHT - TOP - BOTTOM) * (height(y) - y0)) / (y1 - y0);
  for (const tick of ticksOf(y0, y1, log ? 1 : 0)) {
    const y = HEIGHT - BOTTOM - ((HEIGHT - TOP - BOTTOM) * (tick - y0)) / (y1 - y0);
    picture.append(svg("line", { class: "rule", x1: LEFT, x2: WIDTH - RIGHT, y1: y, y2: y }));
    picture.append(svg("text", { class: "tick end", x: LEFT - 6, y: y + 4 }, log ? powerOfTen(tick) : shown(tick)));
  }
  for (const tick of (xTicks ?? ticksOf(x0, x1)).filter((each) => each >= x0 && each <= x1))
    picture.append(svg("text", { class: "tick middle", x: px(tick), y: HEIGHT - BOTTOM + 16 }, shownX(tick)));
  if (marker !== null)
    picture.append(svg("line", { class: "marker", x1: px(marker), x2: px(marker), y1: TOP, y2: HEIGHT - BOTTOM }));
  for (const { points, className } of usable) {
    const path = points.map(([x, y], k) => `${k ? "L" : "M"}${px(x).toFixed(1)} ${py(y).toFixed(1)}`).join("");
    picture.append(svg("path", { class: `line ${className}`, d: path }));
    for (const [x, y] of points)
      picture.append(svg("circle", { class: `dot ${className}`, cx: px(x), cy: py(y), r: 2.6 }));
  }
  picture.append(svg("text", { class: "axis middle", x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 3 }, xLabel));
  picture.append(svg("text", { class: "axis", x: 2, y: 10 }, yLabel));
  return picture;
}

function spread(low, high) {
  return low === high ? [low - 0.5, high + 0.5] : [low, high];
}

function ticksOf(low, high, least = 0) {
  const rough = Math.max((high - low) / 5, least);
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * unit).find((each) => each >= rough) ?? rough;
  const ticks = [];
  for (let tick = Math.ceil(low / step - 1e-9) * step; tick <= high + 1e-9; tick += step)
    ticks.push(Number(tick.toFixed(9)));
  return ticks;
}

const SUPERSCRIPTS = {
  "-": "⁻",
  ".": "·",
  0: "⁰",
  1: "¹",
  2: "²",
  3: "³",
  4: "⁴",
  5: "⁵",
  6: "⁶",
  7: "⁷",
  8: "⁸",
  9: "⁹",
};

export function powerOfTen(exponent) {
  return `10${[...String(exponent)].map((c) => SUPERSCRIPTS[c]).join("")}`;
}
