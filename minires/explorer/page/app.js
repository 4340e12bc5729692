// The page: one state, one function that shows it. Every change sets the state, the address, and shows it anew.

import { pixelsOf } from "./block.js";
import { timelineControls, switches } from "./controls.js";
import { diagram } from "./diagram.js";
import { h, show } from "./dom.js";
import { inspector } from "./inspector.js";
import { computed } from "./model.js";
import { networkView } from "./network.js";
import { defaults, read, write } from "./state.js";
import { tabs } from "./tabs.js";
import { onPainting } from "./tensor.js";
import { languageOf, LANGUAGES, shortName } from "./texts.js";

const PACE = 1400; // milliseconds a step, while it plays
const BLACK = 9;
const page = JSON.parse(document.getElementById("minires").textContent);

let { state, unknown } = opened();
let playing = null;

const controls = timelineControls({ go, play });
const options = switches(set, reset);
const side = tabs(set);
const network = networkView(page, set);
const picture = h("div", { class: "picture" });
const detail = h("main", { class: "detail" });
const notice = h("p", { class: "notice", role: "status" });
const block = h(
  "div",
  { class: "block" },
  controls.element,
  options.element,
  picture,
  h("div", { class: "below" }, detail, side.element),
);
const heading = h("h1", {});
const views = h("nav", { class: "views" });
const language = h("select", { id: "set-lang", onchange: () => set({ lang: language.value }) });
const theme = h("select", { id: "set-theme", onchange: () => set({ theme: theme.value }) });
language.append(...Object.entries(LANGUAGES).map(([value, { name }]) => h("option", { value, lang: value }, name)));
theme.append(...["auto", "light", "dark"].map((value) => h("option", { value })));

document.body.append(
  h("header", {}, heading, views, h("div", { class: "choices" }, language, theme)),
  notice,
  block,
  network.element,
);

// The state of the address; of a network with fewer steps than it asks for, the last one.
function opened() {
  const found = read(location.hash);
  found.state.step = Math.min(found.state.step, computed(found.state).steps.length);
  return found;
}

function set(change) {
  const computesAnew = ["input", "channels", "digit"].some((name) => name in change);
  if (computesAnew && state.cell.startsWith("value:x@")) change = { cell: "", ...change };
  state = { ...state, ...change };
  if (change.input === "paint" && !state.pixels) state.pixels = pixelsOf({ ...state, input: "digit" });
  state.step = Math.min(state.step, computed(state).steps.length);
  history.replaceState(null, "", write(state));
  unknown = [];
  render();
}

function reset() {
  stop();
  set({ ...defaults(), lang: state.lang, theme: state.theme, view: state.view, tab: state.tab });
}

// Goes to another step, given the one now and how many there are; a step shows its own most telling cell.
function go(where) {
  const all = computed(state).steps.length;
  set({ step: Math.max(0, Math.min(all, where(state.step, all))), cell: "" });
}

function stop() {
  clearInterval(playing);
  playing = null;
}

function play() {
  if (playing) stop();
  else {
    const all = computed(state).steps.length;
    if (state.step === all) go(() => 0);
    playing = setInterval(() => {
      if (state.step >= all) stop();
      else go((step) => step + 1);
      render();
    }, PACE);
  }
  render();
}

// Sets one pixel to a digit; the pointer paints black.
function paint(flat, digit) {
  const pixels = [...pixelsOf(state)];
  const value = String(digit ?? BLACK);
  if (pixels[flat] === value && state.input === "paint") return;
  pixels[flat] = value;
  set({ input: "paint", pixels: pixels.join(""), cell: `value:x@${flat}` });
}

function render() {
  const t = LANGUAGES[languageOf(state)];
  renderFrame(t);
  block.hidden = state.view !== "block";
  network.element.hidden = state.view !== "network";
  if (state.view === "network") {
    network.update({ state, t });
    return;
  }
  const model = computed(state);
  controls.update(state, t, model.steps, playing !== null);
  options.update(state, t);
  const words = { ...t, short: shortName };
  const choose = (step) => go(() => step);
  show(picture, diagram({ ...model, count: state.step, words, choose, shortcut: state.shortcut }));
  keepInSight(picture.querySelector(".now"));
  const context = { state, model, t, set, paint, sources: page.sources };
  inspector(detail, context);
  side.update(context);
}

function renderFrame(t) {
  const lang = languageOf(state);
  document.documentElement.lang = lang === "zh" ? "zh-Hans" : "en";
  document.documentElement.dataset.theme = state.theme;
  document.title = t.title;
  heading.textContent = t.heading;
  language.value = lang;
  language.setAttribute("aria-label", t.language);
  theme.value = state.theme;
  theme.setAttribute("aria-label", t.colours);
  [...theme.options].forEach((option) => (option.textContent = t.theme[option.value]));
  const tab = (view) =>
    h(
      "button",
      { type: "button", id: `view-${view}`, "aria-pressed": state.view === view, onclick: () => set({ view }) },
      t.views[view],
    );
  show(views, tab("block"), page.network ? tab("network") : null);
  notice.textContent = unknown.length ? t.unknown(unknown.join(", ")) : "";
  notice.hidden = !unknown.length;
}

// Scrolls the picture, not the page, so that the op of the step is visible on a narrow screen.
function keepInSight(node) {
  if (!node) return;
  const [frame, box] = [picture.getBoundingClientRect(), node.getBoundingClientRect()];
  if (box.left < frame.left || box.right > frame.right) picture.scrollLeft += box.left - frame.left - frame.width / 3;
}

document.addEventListener("keydown", (event) => {
  if (state.view !== "block" || event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.target.closest("input, select, textarea, summary")) return;
  const actions = {
    ArrowRight: () => go((step) => step + 1),
    ArrowLeft: () => go((step) => step - 1),
    Home: () => go(() => 0),
    End: () => go((step, all) => all),
  };
  if (event.key === " " && !event.target.closest("button, [role=button]")) actions[" "] = play;
  if (!actions[event.key]) return;
  actions[event.key]();
  event.preventDefault();
});

onPainting((flat) => paint(flat, null));

addEventListener("hashchange", () => {
  ({ state, unknown } = opened());
  render();
});

render();
