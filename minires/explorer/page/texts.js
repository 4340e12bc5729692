// The texts of the page in the chosen language.

import { EN } from "./texts.en.js";
import { ZH } from "./texts.zh.js";

export const LANGUAGES = { en: EN, zh: ZH };

// The language of a state; without a choice, the browser's.
export function languageOf(state) {
  return state.lang || (navigator.language?.toLowerCase().startsWith("zh") ? "zh" : "en");
}

const SHORT = {
  relu1: "ReLU",
  relu2: "ReLU",
  sum: "+",
  fc: "linear",
  loss: "L",
  "downsample.0": "conv 1×1",
  "downsample.1": "bn",
};

// The name of an op under its picture.
export function shortName(name) {
  const part = name.replace(/^b1\./, "");
  if (/^b\d+\./.test(part)) return part.startsWith("b2.") ? "b2" : `b2–${part.match(/^b\d+/)[0]}`;
  return SHORT[part] ?? part;
}
