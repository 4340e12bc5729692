// What is on the screen, as one flat object that the address of the page carries: "#step=5&shortcut=none".

import { MISTAKES } from "./mistakes.js";

const oneOf =
  (...values) =>
  (text) =>
    values.includes(text) ? text : undefined;
const integer = (low, high) => (text) =>
  /^\d+$/.test(text) && Number(text) >= low && Number(text) <= high ? Number(text) : undefined;
const decimal = (low, high) => (text) =>
  text !== "" && Number(text) >= low && Number(text) <= high ? Number(text) : undefined;
const flag = (text) => (text === "1" ? true : text === "0" ? false : undefined);
const matching = (pattern) => (text) => (pattern.test(text) ? text : undefined);

// name: [default, what reads it from the address]. A setting at its default is left out of the address.
const FIELDS = {
  lang: ["", oneOf("en", "zh")],
  theme: ["auto", oneOf("auto", "light", "dark")],
  view: ["block", oneOf("block", "network")],
  step: [0, integer(0, 100)],
  input: ["digit", oneOf("random", "digit", "paint")],
  digit: [7, integer(0, 9)],
  pixels: ["", matching(/^[0-9]{0,144}$/)],
  channels: [2, integer(1, 4)],
  label: [0, integer(0, 2)],
  seed: [1, integer(1, 9999)],
  shortcut: ["identity", oneOf("identity", "none", "projection")],
  norm: [true, flag],
  pool: ["max", oneOf("max", "avg")],
  depth: [1, integer(1, 20)],
  scale: [1, decimal(0.1, 3)],
  train: [0, integer(0, 60)],
  mistake: ["", oneOf("", ...Object.keys(MISTAKES))],
  tab: ["explain", oneOf("explain", "check", "depth", "train", "break")],
  epsilon: [-5, decimal(-13, -1)],
  cell: ["", matching(/^(|[a-z]+:[a-z0-9.:]+@\d{1,3})$/)],
  image: ["", matching(/^[0-9a-z]{0,40}$/)],
  target: ["", matching(/^\d{0,4}$/)],
  off: ["", matching(/^[0-9.]{0,200}$/)],
};

export function defaults() {
  return Object.fromEntries(Object.entries(FIELDS).map(([name, [value]]) => [name, value]));
}

// The state that an address describes, and the settings in it that mean nothing here.
export function read(hash) {
  const state = defaults();
  const unknown = [];
  for (const [name, text] of new URLSearchParams(hash.replace(/^#/, ""))) {
    const value = FIELDS[name]?.[1](text);
    if (value === undefined) unknown.push(`${name}=${text}`.slice(0, 40));
    else state[name] = value;
  }
  return { state, unknown };
}

export function write(state) {
  const text = new URLSearchParams();
  for (const [name, [value]] of Object.entries(FIELDS))
    if (state[name] !== value) text.set(name, typeof state[name] === "boolean" ? Number(state[name]) : state[name]);
  return `#${text}`;
}
