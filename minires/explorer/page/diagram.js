// The picture of the whole network: every op with a thumbnail of its output, and, going back, of its gradient below.

import { largest, norm } from "./arrays.js";
import { svg } from "./dom.js";
import { colourOf, shown } from "./numbers.js";
import { gradientSoFar, reached } from "./timeline.js";

const STEP = 112; // from one op to the next
const THUMB = 58;
const EDGE = 9; // from a thumbnail to the frame of its op
const [TOP, VALUE, GRADIENT] = [42, 60, 138]; // frame, and the two thumbnails, below the shortcut
const UPPER = 178; // height of the row of a projection

// Where each op stands: {name: [x, row]}; row 1 is above, on the shortcut.
function placesOf(steps) {
  const places = new Map();
  let column = 0;
  for (const step of steps.filter((each) => each.phase === "forward")) {
    if (step.node.includes("downsample")) continue;
    places.set(step.node, [20 + STEP * column, 0]);
    column += 1;
  }
  const above = steps.filter((each) => each.phase === "forward" && each.node.includes("downsample"));
  above.forEach((step, k) => places.set(step.node, [20 + STEP * (2.6 + 1.2 * k), 1]));
  return places;
}

export function diagram({ tape, steps, count, words, choose, shortcut }) {
  const places = placesOf(steps);
  const now = steps[count - 1];
  const known = reached(tape, steps, count);
  const projected = [...places.values()].some(([, row]) => row);
  const lift = projected ? UPPER : 0;
  const width = 20 + STEP * [...places.values()].filter(([, row]) => !row).length;
  const height = lift + GRADIENT + THUMB + 44;
  const picture = svg("svg", {
    class: "diagram",
    viewBox: `0 0 ${width} ${height}`,
    style: `min-width:${Math.round(width * 0.7)}px`,
    role: "group",
    "aria-label": words.diagram,
  });
  picture.append(arrowHeads());
  const at = (name) => {
    const [x, row] = places.get(name);
    return [x, row ? lift - UPPER - 26 : lift];
  };
  wires({ picture, tape, places, at, known, now, shortcut, words });
  for (const [name] of places)
    picture.append(nodeOf({ name, at: at(name), tape, known, now, words, choose, steps, count }));
  return picture;
}

function arrowHeads() {
  const head = (id) =>
    svg(
      "marker",
      {
        id,
        viewBox: "0 0 8 8",
        refX: 7,
        refY: 4,
        markerWidth: 9,
        markerHeight: 9,
        markerUnits: "userSpaceOnUse",
        orient: "auto",
      },
      svg("path", { d: "M0 0 8 4 0 8z", class: id }),
    );
  return svg("defs", {}, head("head-forward"), head("head-backward"));
}

// One op: its name, the thumbnail of its output, and that of its gradient once it has arrived.
function nodeOf({ name, at: [x, y], tape, known, now, words, choose, steps, count }) {
  const backward = now?.phase === "backward";
  const isNow = now && (now.node === name || (now.kind === "blocks" && name === now.node));
  const group = svg("g", {
    class: `node${isNow ? ` now ${now.phase}` : ""}`,
    transform: `translate(${x} ${y})`,
    tabindex: 0,
    role: "button",
    id: `n-${name.replaceAll(".", "-")}`,
    "aria-label": words.node(name),
    "data-node": name,
  });
  const go = () => {
    const phase = backward ? "backward" : "forward";
    choose(steps.findIndex((step) => step.node === name && step.phase === phase) + 1);
  };
  group.addEventListener("click", go);
  group.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      go();
      event.preventDefault();
      event.stopPropagation();
    }
  });
  group.append(
    svg("rect", {
      class: "body",
      x: -EDGE,
      y: TOP - 6,
      width: THUMB + 2 * EDGE,
      height: GRADIENT + THUMB - TOP + 14,
      rx: 8,
    }),
  );
  group.append(svg("text", { x: THUMB / 2, y: TOP + 9, class: "name" }, words.short(name)));
  if (known.values.has(name)) group.append(thumbnail(tape.value(name), VALUE, "value"));
  else group.append(svg("rect", { class: "empty", y: VALUE, width: THUMB, height: THUMB, rx: 4 }));
  if (known.gradients.has(name)) {
    const gradient = gradientSoFar(tape, name, new Set([...known.fired]));
    if (gradient) {
      group.append(thumbnail(gradient, GRADIENT, "gradient"));
      group.append(svg("text", { x: THUMB / 2, y: GRADIENT - 6, class: "norm" }, `‖g‖ ${shown(norm(gradient))}`));
    }
  }
  return group;
}

// The channels of an array as small pictures, two a row. Numbers without pixels become bars of one row.
export function thumbnail(array, y, kind) {
  const scale = largest(array);
  const [channels, height, width] = array.shape.length === 3 ? array.shape : [1, array.size, 1];
  const across = channels > 1 ? 2 : 1;
  const side = THUMB / across;
  const down = channels === 2 ? y + side / 2 : y; // two channels make one row, in the middle
  const group = svg("g", { transform: `translate(0 ${down})`, class: kind });
  const gap = across > 1 ? 2 : 0;
  const pixel = [(side - gap) / width, (side - gap) / height];
  for (let flat = 0; flat < array.size; flat++) {
    const c = Math.floor(flat / (height * width));
    const [row, column] = [Math.floor(flat / width) % height, flat % width];
    group.append(
      svg("rect", {
        x: (c % across) * side + column * pixel[0],
        y: Math.floor(c / across) * side + row * pixel[1],
        width: pixel[0] + 0.1,
        height: pixel[1] + 0.1,
        style: `fill:${colourOf(array.data[flat], scale)}`,
      }),
    );
  }
  return group;
}

// The arrows: values go right along the upper side, gradients left along the lower. A thicker arrow is a longer
// gradient.
function wires({ picture, tape, places, at, known, now, shortcut, words }) {
  const row = [...places].filter(([, [, above]]) => !above).map(([name]) => name);
  const wire = (d, shown, kind, active, thick = 2) =>
    picture.append(
      svg("path", {
        d,
        class: `wire ${kind}${shown ? "" : " waiting"}${active ? " flowing" : ""}`,
        "stroke-width": shown ? thick : 1.2,
        "marker-end": shown ? `url(#head-${kind})` : "",
      }),
    );
  const lengths = [...known.gradients].filter((name) => places.has(name)).map((name) => norm(tape.gradient(name)));
  const longest = Math.max(1e-300, ...lengths);
  const thickness = (gradient) => 1.5 + 6 * Math.sqrt(Math.min(1, norm(gradient) / longest));
  for (let k = 1; k < row.length; k++) {
    const [from, to] = [at(row[k - 1]), at(row[k])];
    const [x0, x1] = [from[0] + THUMB + EDGE + 1, to[0] - EDGE - 1];
    const here = now?.node === row[k];
    wire(
      `M${x0} ${from[1] + VALUE + THUMB / 2}H${x1}`,
      known.values.has(row[k]),
      "forward",
      here && now.phase === "forward",
    );
    const fired = known.fired.has(row[k]);
    if (now?.phase !== "backward") continue;
    const node = tape.node(row[k]);
    const collapsed = /^b(?!1\.)/.test(row[k]); // the blocks after the first run in one step
    const sent = collapsed ? tape.gradient(row[k - 1]) : node.sent[0];
    const y = from[1] + GRADIENT + THUMB / 2;
    wire(`M${x1} ${y}H${x0}`, fired, "backward", here, fired ? thickness(sent) : 1);
  }
  if (shortcut !== "none") shortcutWires({ wire, picture, tape, places, at, known, now, thickness, words });
}

// A way from (x0, y) along the height `level` to (x1, end), with round corners.
function detour(x0, y, level, x1, end) {
  const [toEnds, ahead] = [level > y ? -16 : 16, x1 > x0 ? 16 : -16];
  const there = `M${x0} ${y}V${level + toEnds}Q${x0} ${level} ${x0 + ahead} ${level}`;
  return `${there}H${x1 - ahead}Q${x1} ${level} ${x1} ${level + toEnds}V${end}`;
}

function shortcutWires({ wire, picture, tape, at, known, now, thickness, words, places }) {
  const [x0, y0] = at("x");
  const [x1] = at("b1.sum");
  const above = [...places].filter(([, [, up]]) => up).map(([name]) => name);
  const [from, to] = [x0 + THUMB / 2, x1 + THUMB / 2];
  const ran = known.values.has("b1.sum");
  const sumNow = now?.node === "b1.sum";
  const fired = known.fired.has("b1.sum");
  const sent = tape.node("b1.sum").sent?.[1];
  if (!above.length) {
    wire(detour(from, y0 + TOP - 6, y0 + 8, to, y0 + TOP - 7), ran, "forward", sumNow && now.phase === "forward");
    picture.append(svg("text", { x: (from + to) / 2, y: y0 + 23, class: "label" }, words.identity));
  } else {
    const row = at(above[0])[1] + VALUE + THUMB / 2;
    const [first, last] = [at(above[0])[0], at(above.at(-1))[0]];
    wire(
      `M${from} ${y0 + TOP - 6}V${row + 16}Q${from} ${row} ${from + 16} ${row}H${first - EDGE - 1}`,
      known.values.has(above[0]),
      "forward",
      now?.node === above[0],
    );
    if (above.length > 1)
      wire(
        `M${first + THUMB + EDGE} ${row}H${last - EDGE - 1}`,
        known.values.has(above[1]),
        "forward",
        now?.node === above[1],
      );
    wire(
      `M${last + THUMB + EDGE} ${row}H${to - 16}Q${to} ${row} ${to} ${row + 16}V${y0 + TOP - 7}`,
      ran,
      "forward",
      sumNow && now.phase === "forward",
    );
  }
  if (now?.phase !== "backward") return;
  const bottom = y0 + GRADIENT + THUMB + 9;
  const arrived = above.length ? known.fired.has(above[0]) : fired;
  const active = above.length ? now.node === above[0] : sumNow;
  const part = above.length ? tape.node(above[0]).sent[0] : sent;
  wire(detour(to, bottom, bottom + 24, from, bottom + 1), arrived, "backward", active, arrived ? thickness(part) : 1);
  if (arrived)
    picture.append(
      svg("text", { x: (from + to) / 2, y: bottom + 16, class: "label" }, `${words.around}: ‖g‖ ${shown(norm(part))}`),
    );
}
