"""The claims, figures and table of the study of lesions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minires.studies import drawing
from minires.studies.form import Claim, Figure, Table
from minires.studies.networks import title_of
from minires.studies.results import NotMeasuredError, Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


def lesion(results: Results, kind: str) -> dict[str, Any]:
    """The damages of the "residual" or "plain" network with the first seed."""
    return results.seeds(results.settings[kind], "lesion")[0]


def rises(results: Results) -> dict[str, float]:
    """By how many points the test error rises with one block less: the median and the largest, where shapes stay."""
    found = {}
    for kind in ("residual", "plain"):
        damage = lesion(results, kind)
        single = [each["error"] - damage["whole"] for each in damage["single"] if not each["changes_shape"]]
        found[f"{kind}_median"], found[f"{kind}_largest"] = float(np.median(single)), float(max(single))
    return found


def _downsampling(results: Results) -> dict[str, float]:
    damage = lesion(results, "residual")
    kinds: dict[bool, list[float]] = {True: [], False: []}
    for each in damage["single"]:
        kinds[each["changes_shape"]].append(each["error"] - damage["whole"])
    return {"changing": float(np.median(kinds[True])), "others": float(np.median(kinds[False]))}


def _smooth(results: Results) -> dict[str, float]:
    means = [np.mean(each["errors"]) for each in lesion(results, "residual")["deletions"]]
    if len(means) < 2:
        raise NotMeasuredError("deletions of several blocks were not measured")
    chance = 90.0
    whole = lesion(results, "residual")["whole"]
    steps = np.diff([whole, *means])
    return {"largest_step": float(max(steps)), "whole_rise": float(means[-1] - whole), "chance": chance}


def _order(results: Results) -> dict[str, float]:
    found = lesion(results, "residual")["reorderings"]
    distances, errors = ([each[key] for each in found] for key in ("distance", "error"))
    return {"correlation": float(np.corrcoef(ranks(distances), ranks(errors))[0, 1])}


def ranks(values: list[float]) -> np.ndarray:
    """Ranks from 0, the mean rank for equal values."""
    array = np.asarray(values, dtype=np.float64)
    return np.array([np.sum(array < each) + (np.sum(array == each) - 1) / 2 for each in array])


CLAIMS = (
    Claim(
        id="residual-robust",
        text="Without one of its blocks a residual network is nearly as good as before.",
        source="Veit et al. 2016, §4.3, Fig. 3",
        criterion="residual_median < 2",
        ours=rises,
        paper="deleting any module but the downsampling ones leaves the error nearly unchanged",
        otherwise="A short training, or a network with few blocks, gives each block more to do.",
        certain=True,
    ),
    Claim(
        id="plain-ruined",
        text="Without one of its blocks a plain network is ruined.",
        source="Veit et al. 2016, §4.3, Fig. 3 (VGG)",
        criterion="plain_median > 20 and plain_median > 5 * residual_median",
        ours=rises,
        paper="deleting any layer of VGG brings the error to that of guessing",
        otherwise="Here a block of two layers goes, in a network whose stages have blocks of equal shape.",
        certain=True,
    ),
    Claim(
        id="downsampling",
        text="The blocks that change the shape matter more than the others.",
        source="Veit et al. 2016, Fig. 3",
        criterion="changing > others",
        ours=_downsampling,
        paper="the downsampling modules alone stand out",
        otherwise="With option A the shortcut of such a block still hands on half of the channels' information.",
    ),
    Claim(
        id="smooth",
        text="The error grows smoothly with the number of deleted blocks.",
        source="Veit et al. 2016, §4.4, Fig. 4 (a)",
        criterion="whole_rise > 0 and largest_step < 0.7 * chance",
        ours=_smooth,
        paper="smoothly over 1 to 20 deletions",
        otherwise="With few random choices for each number the curve is noisy.",
    ),
    Claim(
        id="reordering",
        text="The error grows with how far the order of the blocks is from the original one.",
        source="Veit et al. 2016, §4.4, Fig. 4 (b)",
        criterion="correlation > 0.3",
        ours=_order,
        paper="smoothly with Kendall's τ",
        otherwise="Rank correlation of single choices: a few swaps of strong blocks may cost more than many of weak "
        "ones.",
    ),
    Claim(
        id="short-paths",
        text="Training only short paths costs little.",
        source="Veit et al. 2016, §4.5; Huang et al. 2016",
        criterion="short < usual + 2",
        ours=lambda results: {
            "short": results.mean("short-paths", "test_error"),
            "usual": results.mean(results.settings["residual"], "test_error"),
        },
        paper="5.96 % with 23 of 54 modules a step, 6.10 % with all; stochastic depth 5.25 %, constant depth 6.41 %",
        otherwise="Stochastic depth slows learning down at first: it needs more epochs than these.",
    ),
)


def figures(results: Results) -> list[Figure]:
    """One deletion; several; other orders."""
    return [
        Figure(
            "single",
            "The test error after one block was deleted, block by block from the image on. The horizontal lines are "
            "the errors of the whole networks. Filled marks: blocks that change the shape.",
            lambda canvas: _single(canvas, results),
        ),
        Figure(
            "several",
            "The residual network. Left: several blocks deleted at random; each mark is one choice, the line their "
            "mean. Right: blocks exchanged; each mark is one order.",
            lambda canvas: _several(canvas, results),
        ),
    ]


def _single(canvas: Canvas, results: Results) -> None:
    axes = canvas.subplots()
    for number, kind in enumerate(("residual", "plain")):
        damage, style = lesion(results, kind), drawing.series(number)
        single = damage["single"]
        where = np.linspace(0, 1, len(single))
        axes.plot(
            where, [each["error"] for each in single], label=title_of(results.settings[kind]), **style, mfc="none"
        )
        changing = [i for i, each in enumerate(single) if each["changes_shape"]]
        axes.plot(where[changing], [single[i]["error"] for i in changing], style["marker"], color=style["color"], ms=8)
        axes.axhline(damage["whole"], color=style["color"], linestyle=style["linestyle"], linewidth=0.8)
    axes.set(xlabel="position of the deleted block, from the image (0) to the classifier (1)", ylabel="test error (%)")
    drawing.grid(axes)
    axes.legend()


def _several(canvas: Canvas, results: Results) -> None:
    damage = lesion(results, "residual")
    deletions, orders = canvas.subplots(1, 2, sharey=True)
    counts = [each["count"] for each in damage["deletions"]]
    style = drawing.series(0)
    for each in damage["deletions"]:
        deletions.plot([each["count"]] * len(each["errors"]), each["errors"], "o", color=style["color"], mfc="none")
    deletions.plot(counts, [np.mean(each["errors"]) for each in damage["deletions"]], color=style["color"])
    distances = [each["distance"] for each in damage["reorderings"]]
    orders.plot(distances, [each["error"] for each in damage["reorderings"]], "s", color=drawing.COLORS[1], mfc="none")
    deletions.set(xlabel="deleted blocks", ylabel="test error (%)")
    orders.set(xlabel="Kendall's τ distance of the order (pairs)")
    for axes in (deletions, orders):
        axes.axhline(damage["whole"], color=drawing.INK, linewidth=0.8, linestyle=":")
        drawing.grid(axes)
        drawing.whole_numbers(axes)


def table(results: Results) -> Table:
    """The networks before and after one deletion."""
    rows = []
    for kind in ("residual", "plain"):
        damage = lesion(results, kind)
        single = [each["error"] for each in damage["single"]]
        numbers = (damage["whole"], float(np.median(single)), max(single))
        rows.append((title_of(results.settings[kind]), *(f"{value:.2f}" for value in numbers)))
    headings = ("network", "test error (%)", "one block less: median", "one block less: worst")
    return Table(headings, tuple(rows), "Every block that can be deleted, by itself.")


TEACHER = (
    (
        "Why does a residual network survive what a plain one does not?",
        "Deleting a block removes the half of all paths that pass its F. The other half is intact, and the short ones, "
        "which carry most of the gradient, hardly pass the block at all. In a plain network there is one path.",
    ),
    (
        "Then why not delete blocks for good?",
        "One can: pruning layers and stochastic depth rest on it. But all blocks together still do better than few.",
    ),
)
