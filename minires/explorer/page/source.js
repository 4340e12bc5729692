// The lines of MiniRes that a step runs. Python reads them from the source and puts them into the page.

import { h } from "./dom.js";

// The key under which Python stores the code of a step.
export function sourceKey(step, state) {
  const kind = step.kind === "pool" ? state.pool : step.kind;
  return `${step.phase}.${kind}`;
}

export function sourceView(sources, step, state, t) {
  const found = sources[sourceKey(step, state)] ?? [];
  return found.map(({ file, line, code }) =>
    h(
      "details",
      { class: "source", open: code.split("\n").length <= 6 },
      h("summary", {}, t.source(file, line)),
      h("pre", {}, h("code", {}, code)),
    ),
  );
}
