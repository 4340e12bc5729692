// The network view; a stand-in until the data of a real network is there.

import { h } from "./dom.js";

export function networkView() {
  return { element: h("div", {}), update() {} };
}
