"""What the study of highways claims, and how its results are drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minires.studies import drawing
from minires.studies.form import Claim, Figure, Table
from minires.studies.results import Results
from minires.studies.uncertainty import spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

DIVERGED = 99.0  # the loss that stands for a training that diverged
WIDTHS = {"plain": 71, "highway": 50}


def bias_config(bias: float) -> str:
    """The configuration of one value of b_T: "bias-2", "bias+0"."""
    return f"bias{bias:+g}"


# -- what the claims ask ----------------------------------------------------------------------------------------------


def _by_depth(results: Results, layer: str, key: str) -> dict[int, float]:
    """{depth: mean} of a kind of layer."""
    depths = [depth for depth in results.settings["depths"] if f"{layer}{depth}" in results.configs()]
    return {depth: results.mean(f"{layer}{depth}", key) for depth in depths}


def _deep(layer: str) -> Any:
    """The training losses of a kind at 10 layers and at the largest depth."""

    def of(results: Results) -> dict[str, float]:
        deepest = max(results.settings["depths"])
        return {
            "layers_10": results.mean(f"{layer}10", "train_loss"),
            "deepest": results.mean(f"{layer}{deepest}", "train_loss"),
        }

    return of


def _shallow(results: Results) -> dict[str, float]:
    gains = {
        depth: results.mean(f"plain{depth}", "test_error") - results.mean(f"highway{depth}", "test_error")
        for depth in results.settings["shallow"]
    }
    configs = [f"{layer}{depth}" for layer in ("plain", "highway") for depth in results.settings["shallow"]]
    return {
        "largest_gain": max(gains.values()),
        "spread": spread(results, configs),
    }


def _biases(results: Results) -> dict[str, float]:
    depth, usual = results.settings["bias_depth"], results.settings["gate_bias"]
    highest = bias_config(max(results.settings["biases"]))
    return {
        "usual": results.mean(f"highway{depth}", "train_loss"),
        "highest": results.mean(highest, "train_loss"),
        "b_usual": usual,
        "b_highest": max(results.settings["biases"]),
    }


def _openness(results: Results) -> dict[str, float]:
    depth = max(results.settings["depths"])
    means = np.array(results.series(f"highway{depth}", "gates"))
    deviations = np.array(results.series(f"highway{depth}", "gate_deviations"))
    half = len(means) // 2
    return {
        "mean_open": float(means.mean()),
        "deviation_first_half": float(deviations[:half].mean()),
        "deviation_second_half": float(deviations[half:].mean()),
    }


SECTION = "Srivastava et al. 2015 (1505.00387), Fig. 1"
CLAIMS = (
    Claim(
        id="plain-worse",
        text="Plain networks train worse the deeper they are.",
        source=SECTION,
        criterion="deepest > 10 * layers_10",
        ours=_deep("plain"),
        paper="curves only: the training loss of 100 plain layers stays orders of magnitude above that of 10",
        otherwise="With He's initial values plain ReLU networks of some dozens of layers still learn easy images.",
    ),
    Claim(
        id="highway-trains",
        text="Highway networks train as well when they are deep: the loss of the deepest stays near that of 10 layers.",
        source=SECTION,
        criterion="deepest < 10 * layers_10 or deepest < 0.05",
        ours=_deep("highway"),
        paper="curves only; 10 layers reach 99.54 % on MNIST's test images",
        otherwise="Few epochs: a deep highway starts as the identity, and its gates have to open first.",
    ),
    Claim(
        id="deepest",
        text="At the largest depth a highway network has a lower training loss than a plain one.",
        source=SECTION,
        criterion="highway < plain",
        ours=lambda results: {
            layer: results.mean(f"{layer}{max(results.settings['depths'])}", "train_loss") for layer in WIDTHS
        },
        otherwise="Both may have reached a loss of nearly 0.",
        certain=True,
    ),
    Claim(
        id="shallow",
        text="Where depth is no difficulty, gates bring nothing.",
        source="follows from the paper's argument; not measured there",
        criterion="largest_gain <= 2 * spread",
        ours=_shallow,
        otherwise="A highway layer has fewer units for the same parameters, and other inputs to its ReLUs.",
        certain=True,
    ),
    Claim(
        id="gate-bias",
        text="With a high b_T the gates start open, and a deep network stalls or diverges as a plain one does.",
        source="Srivastava et al. 2015 (1505.00387), §2.3: b_T is to be negative, −1 to −4",
        criterion="highest > 3 * usual",
        ours=_biases,
        paper="no numbers",
        otherwise="Even a gate of 0.9 leaves a tenth of the input, more than a plain layer does.",
    ),
    Claim(
        id="selective",
        text="Most of a deep highway carries: its gates stay mostly closed.",
        source="Srivastava et al. 2015 (1507.06228), §4 and Fig. 2",
        criterion="mean_open < 0.5",
        ours=_openness,
        paper="figures only, of 50 layers on MNIST: most gates are closed on average",
        otherwise="Gates open where they are trained for long.",
        certain=True,
    ),
)


# -- figures and table ------------------------------------------------------------------------------------------------


def figures(results: Results) -> list[Figure]:
    """Loss by depth and by bias, and the gates of each layer."""
    return [
        Figure(
            "depth",
            "Left: training loss after the last epoch, by depth; every point is the mean over the seeds. Right: the "
            "training loss of highways of one depth by the b_T with which their gates start. A loss of 99 "
            "stands for a training that diverged.",
            lambda canvas: _draw_depth(canvas, results),
        ),
        Figure(
            "gates",
            "How far the gates of a trained highway are open, layer by layer: the mean of T over test images and units "
            "(line), and how much it varies from image to image (squares, standard deviation). At the start it is the "
            "same in all layers: σ(b_T), the faint line.",
            lambda canvas: _draw_gates(canvas, results),
        ),
    ]


def _draw_depth(canvas: Canvas, results: Results) -> None:
    by_depth, by_bias = canvas.subplots(1, 2, sharey=True)
    for number, layer in enumerate(WIDTHS):
        found = _by_depth(results, layer, "train_loss")
        if found:
            losses = [max(loss, 1e-6) for loss in found.values()]
            by_depth.loglog(list(found), losses, label=layer, **drawing.series(number))
    depths = results.settings["depths"]
    by_depth.set_xticks(depths, [str(depth) for depth in depths])
    by_depth.minorticks_off()
    by_depth.set(xlabel="layers", ylabel="training loss")
    by_depth.legend()
    depth, usual = results.settings["bias_depth"], results.settings["gate_bias"]
    names = {bias: bias_config(bias) for bias in results.settings["biases"]} | {usual: f"highway{depth}"}
    known = {bias: name for bias, name in sorted(names.items()) if name in results.configs()}
    losses = [max(results.mean(name, "train_loss"), 1e-6) for name in known.values()]
    by_bias.plot(list(known), losses, label=f"{depth} layers", **drawing.series(2))
    by_bias.set(xlabel="b_T at the start")
    by_bias.legend()
    for axes in (by_depth, by_bias):
        drawing.grid(axes)


def _draw_gates(canvas: Canvas, results: Results) -> None:
    names = {depth: f"highway{depth}" for depth in results.settings["depths"] if depth >= 10}
    depths = [
        depth
        for depth, name in names.items()
        if name in results.configs() and all(None not in each.get("gates", [None]) for each in results.seeds(name))
    ]
    panels = canvas.subplots(1, max(len(depths), 1), sharey=True, squeeze=False)[0]
    start = 1 / (1 + np.exp(-results.settings["gate_bias"]))
    for axes, depth in zip(panels, depths, strict=False):
        means = results.series(f"highway{depth}", "gates")
        layers = np.arange(2, len(means) + 2)
        axes.axhline(start, color=drawing.INK, linewidth=0.8, alpha=0.4)
        axes.plot(layers, means, label="mean of T", **drawing.series(0, marker=False))
        style = drawing.series(1) | {"linestyle": "", "markersize": 3}
        axes.plot(layers, results.series(f"highway{depth}", "gate_deviations"), label="from image to image", **style)
        axes.set(title=f"{depth} layers", xlabel="layer")
        drawing.grid(axes)
        drawing.whole_numbers(axes)
    panels[0].set_ylabel("gate T")
    if depths:
        panels[0].legend()


def table(results: Results) -> Table:
    """A row for each network."""
    rows = []
    for config in results.configs():
        has_gates = all(None not in each.get("gates", [None]) for each in results.seeds(config))
        rows.append(
            (
                _label(config, results),
                f"{results.mean(config, 'parameters'):,.0f}",
                f"{results.mean(config, 'train_loss'):.2g}",
                results.text(config, "test_error"),
                f"{np.mean(results.series(config, 'gates')):.3f}" if has_gates else "",
            )
        )
    headings = ("network", "parameters", "training loss", "test error, %", "gates open, mean")
    return Table(headings, tuple(rows), "After the last epoch. A loss of 99 stands for a training that diverged.")


def _label(config: str, results: Results) -> str:
    if config.startswith("bias"):
        return f"highway, {results.settings['bias_depth']} layers, b_T = {config.removeprefix('bias')}"
    kind = config.rstrip("0123456789")
    return f"{kind}, {config.removeprefix(kind)} layers"


TEACHER = (
    (
        "What is a residual network, seen from here?",
        "A highway with T = C = 1: nothing is gated, so nothing needs to open first. The models' tests hold the "
        "two to the same bits.",
    ),
    (
        "Why must b_T be negative?",
        "A layer multiplies the gradient on the direct way by C = 1 − T. With T = ½ that is 2⁻ⁿ after n layers.",
    ),
    (
        "Why compare losses and not accuracies?",
        "Test accuracy mixes two questions, whether a network can be trained and whether it generalises. The "
        "paper's claim is about the first.",
    ),
)
