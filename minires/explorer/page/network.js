// The network view: an image, its classes, and every block with its features, its share of the gradient, and a switch.

import { sharesBar } from "./bars.js";
import { h, show } from "./dom.js";
import { charts } from "./network_charts.js";
import { recorded, served } from "./network_data.js";
import { featureMaps, photograph } from "./network_pictures.js";
import { shown } from "./numbers.js";

const OVERLAYS = ["none", "gradient", "cam"];

export function networkView(page, set) {
  const element = h("div", { class: "network" });
  const source = page.network === "served" ? served() : page.network ? recorded() : null;
  const view = {
    source,
    network: null,
    answer: null,
    paths: null,
    asked: "",
    overlay: "none",
    error: "",
    element,
    set,
  };
  return { element, update: (context) => update(view, context) };
}

const offOf = (state) => state.off.split(".").filter(Boolean).map(Number);

// Asks for what the state needs and is not there yet, and shows what is.
async function update(view, context) {
  view.context = context;
  try {
    view.network ??= await view.source.network();
    const { state } = view.context;
    const image = view.network.images.find(({ id }) => id === state.image) ?? view.network.images[0];
    const key = JSON.stringify([image?.id, state.off, state.target]);
    draw(view);
    if (image && view.asked !== key) await ask(view, image, key, state);
  } catch (error) {
    Object.assign(view, { error: error.message, asked: "" }); // so the next click asks again
    view.element.classList.remove("waiting");
    draw(view);
  }
}

// An answer that comes when something else has been asked for is dropped.
async function ask(view, image, key, state) {
  view.asked = key;
  view.element.classList.add("waiting");
  view.element.removeAttribute("data-settled");
  const answer = await view.source.explore(image.id, offOf(state), state.target);
  if (view.asked !== key) return;
  Object.assign(view, { answer, image, error: "" });
  view.element.classList.remove("waiting");
  draw(view);
  const pathsOf = `${image.id}/${answer.target}`; // of the whole network, so a switch does not change them
  const paths = view.pathsOf === pathsOf ? view.paths : await view.source.paths(image.id, answer.target);
  if (view.asked !== key) return;
  Object.assign(view, { paths, pathsOf });
  draw(view);
  view.element.setAttribute("data-settled", "");
}

function draw(view) {
  const { t } = view.context;
  const words = t.network;
  show(
    view.element,
    view.error ? h("p", { class: "notice", role: "alert" }, words.failed(view.error)) : null,
    view.network ? chooser(view, words) : h("p", {}, words.loading),
    view.answer && view.image ? [top(view, words), blocks(view, words), charts(view, words)] : null,
  );
}

// -- the image --------------------------------------------------------------------------------------------------------

function chooser(view, words) {
  const { network, set } = view;
  const pick = ({ id, name, picture }) =>
    h(
      "button",
      {
        type: "button",
        class: "sample",
        id: `image-${id}`,
        "aria-pressed": view.image?.id === id,
        title: name,
        onclick: () => set({ image: id, target: "" }),
      },
      h("img", { src: picture, alt: name }),
    );
  const file = h("input", {
    type: "file",
    accept: "image/*",
    id: "upload",
    onchange: () => file.files[0] && upload(view, file.files[0]),
  });
  return h(
    "section",
    { class: "chooser" },
    h("p", {}, words.intro(network.model, network.blocks.length)),
    h(
      "div",
      { class: "samples" },
      network.images.map(pick),
      view.source.canUpload ? h("label", { class: "upload" }, words.upload, file) : null,
    ),
    network.images.length ? null : h("p", { class: "note" }, words.noImage),
    view.source.canUpload ? null : h("p", { class: "note" }, words.recorded),
  );
}

async function upload(view, file) {
  try {
    const added = await view.source.upload(file);
    if (!view.network.images.some(({ id }) => id === added.id)) view.network.images.push(added);
    view.error = "";
    view.set({ image: added.id, target: "" });
  } catch (error) {
    view.error = error.message;
    draw(view);
  }
}

// -- the classes ------------------------------------------------------------------------------------------------------

function top(view, words) {
  const { answer, set } = view;
  const before = Object.fromEntries(answer.whole.map(({ index, probability }) => [index, probability]));
  const row = ({ index, name, probability }) =>
    h(
      "button",
      {
        type: "button",
        class: "guess",
        id: `class-${index}`,
        "aria-pressed": index === answer.target,
        disabled: !view.source.canUpload,
        onclick: () => set({ target: String(index) }),
      },
      h("span", { class: "name" }, name),
      h(
        "span",
        { class: "track" },
        h("span", { class: "bar", style: `width:${100 * probability}%` }),
        index in before ? h("span", { class: "before", style: `left:${100 * before[index]}%` }) : null,
      ),
      h("span", { class: "percent" }, `${shown(100 * probability)} %`),
    );
  const overlay = { gradient: answer.input_gradient, cam: answer.cam }[view.overlay];
  const choose = (name) => {
    view.overlay = name;
    draw(view);
  };
  return h(
    "section",
    { class: "top" },
    h("div", {}, [
      photograph({ picture: view.image.picture, overlay, smooth: view.overlay === "cam", label: view.image.name }),
      h(
        "div",
        { class: "overlays" },
        OVERLAYS.map((name) =>
          h(
            "button",
            {
              type: "button",
              id: `overlay-${name}`,
              "aria-pressed": view.overlay === name,
              onclick: () => choose(name),
            },
            words.overlays[name],
          ),
        ),
      ),
      h("p", { class: "note" }, words.overlayNotes[view.overlay](answer.target_name)),
    ]),
    h("div", {}, [
      h("h2", {}, words.top),
      answer.top.map(row),
      h("p", { class: "note" }, words.explained(answer.target_name, shown(100 * answer.probability))),
      h(
        "p",
        { class: "note" },
        offOf(view.context.state).length
          ? words.withOff(
              offOf(view.context.state)
                .map((k) => view.network.blocks[k])
                .join(", "),
            )
          : words.whole,
      ),
    ]),
  );
}

// -- the blocks -------------------------------------------------------------------------------------------------------

function blocks(view, words) {
  const { answer, network, set } = view;
  const off = offOf(view.context.state);
  const toggle = (k) => {
    const others = off.filter((each) => each !== k);
    const now = off.includes(k) ? others : view.source.canUpload ? [...others, k].sort((a, b) => a - b) : [k];
    set({ off: now.join(".") });
  };
  const card = (block, k) =>
    h(
      "article",
      { class: `card${block.off ? " off" : ""}` },
      h(
        "div",
        { class: "title" },
        h("h3", {}, block.name),
        h(
          "button",
          {
            type: "button",
            role: "switch",
            id: `block-${k}`,
            "aria-checked": !off.includes(k),
            disabled: !network.can_be_off[k],
            "aria-label": words.toggle(block.name),
            onclick: () => toggle(k),
          },
          off.includes(k) ? words.off : words.on,
        ),
      ),
      featureMaps(block.maps, words.maps(block.name)),
      h(
        "p",
        { class: "note" },
        `‖g‖ = ${shown(block.gradient)}`,
        h("br"),
        block.ratio === null ? "F(x) = 0" : `‖F(x)‖/‖x‖ = ${shown(block.ratio)}`,
      ),
      sharesBar(
        [
          { label: words.identity, size: block.identity, className: "identity" },
          { label: "F", size: block.residual, className: "f" },
        ],
        words.shares,
      ),
    );
  return h(
    "section",
    { class: "blocks" },
    h("h2", {}, words.blocks),
    h("p", { class: "note" }, words.blocksNote),
    off.length ? h("button", { type: "button", id: "all-on", onclick: () => set({ off: "" }) }, words.allOn) : null,
    h("div", { class: "cards" }, answer.blocks.map(card)),
  );
}
