"""What the study of pre-activation claims, and how its results are drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from minires.studies import drawing
from minires.studies.form import Claim, Figure, Table
from minires.studies.results import Results
from minires.studies.uncertainty import spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

LABELS = {
    "original": "original",
    "bn_after_add": "batch norm after the sum",
    "relu_before_add": "ReLU before the sum",
    "relu_only": "ReLU-only pre-activation",
    "full": "full pre-activation",
}
HE_110 = {"original": 6.61, "bn_after_add": 8.17, "relu_before_add": 7.84, "relu_only": 6.71, "full": 6.37}
STEPS = "first-steps"


# -- what the claims ask ----------------------------------------------------------------------------------------------


def errors(*orders: str) -> Callable[[Results], dict[str, float]]:
    """The mean test errors of some orders at the largest depth, and how much they may differ by chance."""

    def of(results: Results) -> dict[str, float]:
        configs = {order: f"{order}-{max(results.settings['depths'])}" for order in orders}
        found = {order: results.mean(config, "test_error") for order, config in configs.items()}
        return found | {"spread": spread(results, configs.values())}

    return of


def _first_and_last(results: Results) -> dict[str, float]:
    """The mean losses over the first and over the last fifth of the steps."""
    found = {}
    for order in ("original", "full"):
        losses = results.series(f"{order}-{results.settings['deep']}", "losses", STEPS)
        fifth = max(len(losses) // 5, 1)
        for name, part in (("start", losses[:fifth]), ("end", losses[-fifth:])):
            found[f"{order}_{name}"] = min(float(np.mean(part)), 99.0)
    return found


TABLE_2 = "He et al. 2016, Table 2, ResNet-110 on CIFAR-10"
FEW = "On easy images and at depths at which every order trains, the choice of the seed matters more than the order. "
CLAIMS = (
    Claim(
        id="full",
        text="Full pre-activation is at least as good as the original order.",
        source=TABLE_2,
        criterion="full <= original + spread",
        ours=errors("full", "original"),
        paper="6.37 % and 6.61 %; with 164 layers 5.46 and 5.93, with 1,001 layers 4.92 and 7.61",
        otherwise=f"{FEW}The advantage grows with depth.",
    ),
    Claim(
        id="bn-after-sum",
        text="Batch norm after the sum is clearly worse than the original order.",
        source=TABLE_2,
        criterion="bn_after_add > original + spread",
        ours=errors("bn_after_add", "original"),
        paper="8.17 % and 6.61 %",
        otherwise=f"{FEW}Batch norm changes what the shortcut carries, in each block anew.",
    ),
    Claim(
        id="relu-before-sum",
        text="A ReLU before the sum is worse than the original order, because it leaves F only non-negative values.",
        source=TABLE_2,
        criterion="relu_before_add > original + spread",
        ours=errors("relu_before_add", "original"),
        paper="7.84 % and 6.61 %",
        otherwise=FEW.strip(),
    ),
    Claim(
        id="relu-only",
        text="ReLU-only pre-activation is about as good as the original order.",
        source=TABLE_2,
        criterion="abs(relu_only - original) <= 1 + spread",
        ours=errors("relu_only", "original"),
        paper="6.71 % and 6.61 %",
        otherwise=FEW.strip(),
    ),
    Claim(
        id="very-deep",
        text="With 1,001 layers the loss of full pre-activation falls from the first steps on.",
        source="He et al. 2016, §3.2 and Fig. 1, ResNet-1001",
        criterion="full_end < 0.95 * full_start",
        ours=_first_and_last,
        paper="a curve: the training loss is reduced very quickly",
        otherwise="The learning rate does not suit the network, or the steps are too few.",
        certain=True,
    ),
    Claim(
        id="very-deep-original",
        text="The original order is slower there: after the first steps its loss is still above that of full "
        "pre-activation.",
        source="He et al. 2016, §3.2 and Fig. 1, ResNet-1001",
        criterion="original_end > full_end",
        ours=_first_and_last,
        paper="a curve: at the beginning the training error is reduced very slowly",
        otherwise="In the first steps on easy images the ReLUs behind the sums may not matter yet.",
        certain=True,
    ),
)


# -- figures and table ------------------------------------------------------------------------------------------------


def figures(results: Results) -> list[Figure]:
    """Errors by order and depth, and the first steps of the very deep network."""
    return [
        Figure(
            "errors",
            "Test error of each order, mean and standard deviation over the seeds, by depth. Hollow diamonds are the "
            "paper's medians for 110 layers on CIFAR-10.",
            lambda canvas: _draw_errors(canvas, results),
        ),
        Figure(
            "first-steps",
            f"Training loss of the first steps of a network of {results.settings['deep']:,} layers, on a logarithmic "
            "scale. Every step sees other images; the line is the mean of five steps. ln 10 = 2.3 is the loss of a "
            "guess.",
            lambda canvas: _draw_first_steps(canvas, results),
            (6.8, 3.6),
        ),
    ]


def _draw_errors(canvas: Canvas, results: Results) -> None:
    ours, theirs = canvas.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    rows = np.arange(len(LABELS))[::-1]
    depths = results.settings["depths"]
    for number, depth in enumerate(depths):
        known = [(row, o) for row, o in zip(rows, LABELS, strict=True) if f"{o}-{depth}" in results.configs()]
        if not known:
            continue
        means = [results.mean(f"{order}-{depth}", "test_error") for _, order in known]
        bars = [results.deviation(f"{order}-{depth}", "test_error") for _, order in known]
        places = [row + 0.22 * (len(depths) / 2 - 0.5 - number) for row, _ in known]
        style = drawing.series(number) | {"linestyle": ""}
        ours.errorbar(means, places, xerr=bars, capsize=3, label=f"{depth} layers", **style)
    ours.set(title="here", xlabel="test error, %", yticks=rows, yticklabels=list(LABELS.values()))
    if ours.get_legend_handles_labels()[0]:
        ours.legend()
    theirs.plot(list(HE_110.values()), rows, marker="D", markerfacecolor="none", linestyle="", color=drawing.COLORS[1])
    theirs.set(title="He et al. 2016, 110 layers", xlabel="test error, %")
    for axes in (ours, theirs):
        drawing.grid(axes)


def _draw_first_steps(canvas: Canvas, results: Results) -> None:
    axes = canvas.subplots()
    for number, config in enumerate(results.configs(STEPS)):
        losses = np.array(results.series(config, "losses", STEPS))
        order = config.split("-")[0]
        style = drawing.series(number, marker=False)
        axes.plot(np.arange(1, len(losses) + 1), losses, ".", color=style["color"], markersize=3, alpha=0.5)
        smooth = np.convolve(losses, np.ones(5) / 5, mode="valid")
        axes.plot(np.arange(3, len(smooth) + 3), smooth, label=LABELS[order], **style)
    axes.set(xlabel="step", ylabel="training loss", yscale="log")
    axes.legend()
    drawing.grid(axes)
    drawing.whole_numbers(axes)


def table(results: Results) -> Table:
    """A row for each order and depth."""
    rows = []
    for config in results.configs():
        order, depth = config.split("-")
        rows.append(
            (
                LABELS[order],
                depth,
                f"{results.mean(config, 'parameters'):,.0f}",
                results.text(config, "train_loss", digits=3),
                results.text(config, "train_error"),
                results.text(config, "test_error"),
                f"{HE_110[order]:.2f}",
            )
        )
    headings = (
        *("order", "layers", "parameters", "training loss", "training error, %", "test error, %"),
        "He 2016, 110 layers, %",
    )
    return Table(headings, tuple(rows), "After the last epoch.")


TEACHER = (
    (
        "Why should it matter where a ReLU stands?",
        "A ReLU behind the sum cuts the way of the shortcut in every block: what is negative does not pass, and "
        "neither does its gradient. With pre-activation the sum x₀ + F₁ + F₂ + … is never interrupted.",
    ),
    (
        "Why is batch norm behind the sum worse, if it only normalises?",
        "It scales the shortcut's signal too, in each block anew, so that no x is carried through unchanged.",
    ),
    (
        "What does a ReLU at the end of F do?",
        "F is then never negative, and the sum can only grow from block to block.",
    ),
)
