// Pictures of the network view: feature maps, and a map laid over the image.

import { h } from "./dom.js";

// {shape: [C, H, W], data: base64} -> [{height, width, bytes}, …]
function mapsOf({ shape: [channels, height, width], data }) {
  const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
  const area = height * width;
  return [...Array(channels).keys()].map((c) => ({ height, width, bytes: bytes.subarray(c * area, (c + 1) * area) }));
}

// The colour of a byte: from the paper's dark blue over red to light yellow, readable in grey as well.
function heat(byte) {
  const x = byte / 255;
  return [
    Math.round(255 * Math.min(1, 0.1 + 1.6 * x)),
    Math.round(255 * Math.max(0, 1.7 * x - 0.55)),
    Math.round(255 * (x < 0.5 ? 0.25 + 0.3 * x : Math.max(0, 1.4 * x - 0.95) + 0.1)),
  ];
}

// A map as a canvas of its own size; CSS makes it large. alpha(byte) is the opacity.
function canvasOf({ height, width, bytes }, alpha = () => 255) {
  const canvas = h("canvas", { width, height });
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  bytes.forEach((byte, k) => image.data.set([...heat(byte), alpha(byte)], 4 * k));
  context.putImageData(image, 0, 0);
  return canvas;
}

export function featureMaps(maps, label) {
  const all = mapsOf(maps);
  const across = all.length > 4 ? 4 : 2;
  return h(
    "div",
    { class: "maps", role: "img", "aria-label": label, style: `--columns:${across}` },
    all.map((map) => canvasOf(map)),
  );
}

// The image; over it the input gradient or Grad-CAM, the stronger the less transparent.
export function photograph({ picture, overlay, smooth, label }) {
  const over = overlay ? canvasOf(mapsOf(overlay)[0], (byte) => Math.min(235, byte * 1.2)) : null;
  if (over) over.className = smooth ? "over smooth" : "over";
  return h("div", { class: `photograph${overlay ? " dimmed" : ""}` }, h("img", { src: picture, alt: label }), over);
}
