// The charts of the network view: the gradient's norm and ‖F(x)‖/‖x‖ by block, and the lengths of the paths.

import { chart } from "./chart.js";
import { h } from "./dom.js";
import { shown } from "./numbers.js";

export function charts(view, words) {
  const { answer, paths } = view;
  const every = Math.max(1, Math.ceil(answer.blocks.length / 9));
  const xTicks = [...Array(answer.blocks.length + 1).keys()].filter((k) => k % every === 0);
  const gradient = [[0, answer.at_input], ...answer.blocks.map((block, k) => [k + 1, block.gradient])];
  const ratios = answer.blocks.flatMap((block, k) => (block.ratio === null ? [] : [[k + 1, block.ratio]]));
  const one = (title, body, note) => h("figure", {}, h("figcaption", {}, title), body, h("p", { class: "note" }, note));
  return h(
    "section",
    { class: "charts" },
    one(
      words.gradient,
      chart({ series: [{ className: "residual", points: gradient }], xLabel: words.block, yLabel: "‖g‖", xTicks }),
      words.gradientNote,
    ),
    one(
      words.ratio,
      chart({ series: [{ className: "residual", points: ratios }], xLabel: words.block, yLabel: "‖F(x)‖/‖x‖", xTicks }),
      words.ratioNote,
    ),
    paths ? pathChart(paths, words, one) : null,
  );
}

function pathChart({ counts, gradient }, words, one) {
  const all = counts.reduce((a, b) => a + b, 0);
  const series = [{ className: "plain", points: counts.map((count, length) => [length, count / all]) }];
  if (gradient) {
    const total = gradient.reduce((a, b) => a + b, 0) || 1;
    series.push({ className: "residual", points: gradient.map((norm, length) => [length, norm / total]) });
  }
  const every = Math.max(1, Math.ceil(counts.length / 10));
  const xTicks = [...counts.keys()].filter((k) => k % every === 0);
  return one(
    words.paths,
    [
      h(
        "p",
        { class: "legend" },
        h("span", { class: "plain" }, words.pathCount),
        gradient ? h("span", { class: "residual" }, words.pathGradient) : null,
      ),
      chart({ series, xLabel: words.pathLength, yLabel: words.share, xTicks }),
    ],
    words.pathsNote(shown(all)),
  );
}
