"""The shortcuts that the study of gating compares, what it claims, and how its results are drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from minires.studies import drawing
from minires.studies.form import Claim, Figure, Table
from minires.studies.results import NotMeasuredError, Results
from minires.studies.uncertainty import spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

IDENTITY, TWO_CONVS, WIDE = "identity", "two-convs", "identity-wide"
# {configuration: (label, options of models.cifar_resnet, He's error in % on 110 layers)}; None: it did not converge.
SHORTCUTS: Mapping[str, tuple[str, dict[str, Any], float | None]] = {
    IDENTITY: ("identity", {}, 6.61),
    "half": ("½·F(x) + ½·x", {"residual_scale": 0.5, "shortcut_scale": 0.5}, 12.35),
    "half-shortcut": ("F(x) + ½·x", {"shortcut_scale": 0.5}, None),
    "exclusive-0": ("exclusive gate, b = 0", {"gate": "exclusive", "gate_bias": 0}, None),
    "exclusive-6": ("exclusive gate, b = −6", {"gate": "exclusive", "gate_bias": -6}, 8.70),
    "shortcut-only-0": ("shortcut-only gate, b = 0", {"gate": "shortcut_only", "gate_bias": 0}, 12.86),
    "shortcut-only-6": ("shortcut-only gate, b = −6", {"gate": "shortcut_only", "gate_bias": -6}, 6.91),
    "conv1x1": ("1×1 convolution", {"shortcut": "conv1x1"}, 12.22),
    "dropout": ("dropout ½", {"shortcut_dropout": 0.5}, None),
}
# Srivastava's gate at 7/8 of the width, and identity with about as many parameters: 16 · √(2 · (7/8)²) ≈ 20.
DISPUTED: Mapping[str, tuple[str, dict[str, Any]]] = {
    TWO_CONVS: ("gate of two convolutions, width 14", {"gate": "exclusive", "gate_form": "two_convs", "width": 14}),
    WIDE: ("identity, width 20", {"width": 20}),
}
LABELS = {name: str(each[0]) for name, each in (*SHORTCUTS.items(), *DISPUTED.items())}


# -- what the claims ask ----------------------------------------------------------------------------------------------


def errors(*configs: str) -> Callable[[Results], dict[str, float]]:
    """The mean test errors in percent of some configurations, and how much they may differ by chance."""

    def of(results: Results) -> dict[str, float]:
        found = {name.replace("-", "_"): results.mean(name, "test_error") for name in configs}
        return found | {"spread": spread(results, configs)}

    return of


def _best_other(results: Results) -> dict[str, float]:
    others = {name: results.mean(name, "test_error") for name in SHORTCUTS if name != IDENTITY}
    best = min(others, key=lambda name: others[name])
    chance = spread(results, (IDENTITY, best))
    return {"identity": results.mean(IDENTITY, "test_error"), "best_other": others[best], "spread": chance}


def _disputed(results: Results) -> dict[str, float]:
    found = errors(IDENTITY, TWO_CONVS, WIDE)(results)
    found["parameters"] = results.mean(TWO_CONVS, "parameters")
    found["parameters_wide"] = results.mean(WIDE, "parameters")
    return found | {"minutes": _minutes(results, TWO_CONVS), "minutes_wide": _minutes(results, WIDE)}


def _minutes(results: Results, config: str) -> float:
    seconds = [each["seconds"] for each in results.measurements if each["config"] == config]
    if not seconds:
        raise NotMeasuredError(f"{config} was not measured")
    return sum(seconds) / len(seconds) / 60


CHANCE = (
    "Small networks on easy images differ by less than the choice of the seed. The effect is one of depth: 110 layers "
)
TABLE_1 = "He et al. 2016, Table 1, ResNet-110 on CIFAR-10"
CLAIMS = (
    Claim(
        id="identity-best",
        text="No other shortcut has a lower test error than identity.",
        source=TABLE_1,
        criterion="identity <= best_other + spread",
        ours=_best_other,
        paper="identity 6.61 %, the best other 6.91 %",
        otherwise=f"{CHANCE}in the paper, fewer here.",
    ),
    Claim(
        id="scaling",
        text="Scaling the shortcut by ½ is worse, with F(x) scaled too and even more without.",
        source=TABLE_1,
        criterion="half > identity + spread and half_shortcut > identity + spread",
        ours=errors(IDENTITY, "half", "half-shortcut"),
        paper="6.61 %; ½ and ½ 12.35 %; with F(x) unscaled it did not converge",
        otherwise=f"A signal through n blocks is multiplied by 2⁻ⁿ. {CHANCE}have 54 blocks; and batch norm scales what "
        "is left up again.",
    ),
    Claim(
        id="exclusive",
        text="Exclusive gating is worse than identity; with b = −6 it is better than with b = 0.",
        source=TABLE_1,
        criterion="exclusive_6 > identity and exclusive_0 > exclusive_6",
        ours=errors(IDENTITY, "exclusive-0", "exclusive-6"),
        paper="6.61 %; b = −6 8.70 %, b = 0 to −5 did not converge",
        otherwise="With b = −6 a gate lets σ(−6) = 0.25 % of F(x) pass at the start: in few epochs it may not open. "
        "With b = 0 a shortcut halves its signal, which 15 blocks stand and 54 do not.",
    ),
    Claim(
        id="shortcut-only",
        text="Shortcut-only gating is near identity with b = −6, and much worse with b = 0.",
        source=TABLE_1,
        criterion="shortcut_only_6 <= identity + spread and shortcut_only_0 > shortcut_only_6 + spread",
        ours=errors(IDENTITY, "shortcut-only-0", "shortcut-only-6"),
        paper="6.61 %; b = −6 6.91 %, b = 0 12.86 %",
        otherwise=f"{CHANCE}in the paper, fewer here.",
    ),
    Claim(
        id="conv1x1",
        text="A 1×1 convolution on every shortcut, which could learn the identity, is worse than the identity.",
        source=TABLE_1,
        criterion="conv1x1 > identity + spread",
        ours=errors(IDENTITY, "conv1x1"),
        paper="6.61 % and 12.22 %",
        otherwise="In networks of few blocks projections help a little (option C of He et al. 2015 is the best there); "
        "stacked on 54 blocks they hurt.",
    ),
    Claim(
        id="dropout",
        text="Dropout on the shortcut is worse than identity.",
        source=TABLE_1,
        criterion="dropout > identity + spread",
        ours=errors(IDENTITY, "dropout"),
        paper="6.61 %; with dropout ½ it did not converge",
        otherwise="Dropout also regularises. In few blocks half of a signal still arrives.",
    ),
    Claim(
        id="two-convs",
        text="A highway gate of two convolutions with batch norm is as good as identity with as many parameters.",
        source="Srivastava, January 2025, against He et al. 2016: Highway-110 and ResNet-110, 200 epochs",
        criterion="two_convs <= identity_wide + spread",
        ours=_disputed,
        paper="93.96 % right with 2.65 M parameters; ResNet-110 93.75 % with 1.73 M; no network of equal size is given",
        otherwise="At equal parameters the gate's share of them is missing in F. The gate starts almost closed, "
        "and this budget is short.",
    ),
)


# -- figures and table ------------------------------------------------------------------------------------------------


def measured(results: Results) -> list[str]:
    """The configurations that were trained."""
    return [config for config in (*SHORTCUTS, *DISPUTED) if config in results.configs()]


def figures(results: Results) -> list[Figure]:
    """Errors as points, and the training curves."""
    return [
        Figure(
            "errors",
            "Test error of each shortcut after training, mean and standard deviation over the seeds. The dashed line "
            "is identity. Hollow diamonds are the paper's figures for 110 layers on CIFAR-10; a cross at the right "
            "edge says that it did not converge there.",
            lambda canvas: _draw_errors(canvas, results),
            (9.2, 4.6),
        ),
        Figure(
            "curves",
            "Training loss by epoch. Left: constant shortcuts. Right: gates.",
            lambda canvas: _draw_curves(canvas, results),
        ),
    ]


def _draw_errors(canvas: Canvas, results: Results) -> None:
    ours, theirs = canvas.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    names = measured(results)[::-1]
    rows = np.arange(len(names))
    means = [results.mean(name, "test_error") for name in names]
    bars = [results.deviation(name, "test_error") for name in names]
    ours.errorbar(means, rows, xerr=bars, fmt="o", color=drawing.COLORS[0], capsize=3)
    if IDENTITY in names:
        ours.axvline(results.mean(IDENTITY, "test_error"), color=drawing.INK, linestyle="--", linewidth=0.9)
    ours.set(title="here", xlabel="test error, %", yticks=rows, yticklabels=[LABELS[name] for name in names])
    for row, name in zip(rows, names, strict=True):
        if name in SHORTCUTS:
            paper = SHORTCUTS[name][2]
            style: dict[str, Any] = {"marker": "x"} if paper is None else {"marker": "D", "markerfacecolor": "none"}
            theirs.plot(15 if paper is None else paper, row, linestyle="", color=drawing.COLORS[1], **style)
    theirs.set(title="He et al. 2016, 110 layers", xlabel="test error, %", xlim=(5, 16))
    theirs.set_xticks([6, 8, 10, 12, 15], ["6", "8", "10", "12", "fails"])
    for axes in (ours, theirs):
        drawing.grid(axes)


def _draw_curves(canvas: Canvas, results: Results) -> None:
    panels = canvas.subplots(1, 2, sharey=True)
    groups = (
        (IDENTITY, "half", "half-shortcut", "conv1x1", "dropout"),
        (IDENTITY, "exclusive-0", "exclusive-6", "shortcut-only-0", "shortcut-only-6", TWO_CONVS),
    )
    for axes, names in zip(panels, groups, strict=True):
        for number, name in enumerate(names):
            if name in results.configs():
                losses = [each["train_loss"] for each in results.seeds(name)[0]["epochs"]]
                style = drawing.series(number, marker=len(losses) <= 20)
                axes.semilogy(range(1, len(losses) + 1), losses, label=LABELS[name], **style)
        axes.set_xlabel("epoch")
        drawing.grid(axes)
        drawing.whole_numbers(axes)
        axes.legend()
    panels[0].set_ylabel("training loss")


def table(results: Results) -> Table:
    """A row for each shortcut."""
    rows: list[tuple[str, ...]] = []
    for name in measured(results):
        he = SHORTCUTS[name][2] if name in SHORTCUTS else None
        paper = "" if name not in SHORTCUTS else "did not converge" if he is None else f"{he:.2f}"
        rows.append(
            (
                LABELS[name],
                f"{results.mean(name, 'parameters'):,.0f}",
                f"{_minutes(results, name):.1f}",
                results.text(name, "train_error"),
                results.text(name, "test_error"),
                paper,
            )
        )
    headings = ("shortcut", "parameters", "minutes", "training error, %", "test error, %", "He 2016, 110 layers, %")
    return Table(headings, tuple(rows), f"ResNet-{results.settings['depth']}; errors are those after the last epoch.")


TEACHER = (
    (
        "A 1×1 convolution can represent the identity. Why is it worse?",
        "What a network can represent and what gradient descent finds are different things: that is the point of "
        "the paper. Through n blocks the signal is multiplied by n matrices, and so is the gradient.",
    ),
    (
        "Why does b = −6 help?",
        "σ(−6) is 0.0025, so 1 − g is nearly 1 and the shortcut is nearly the identity at the start. In an "
        "exclusive gate that also silences F, which is why shortcut-only gating comes closer to identity.",
    ),
    (
        "What does Srivastava's note show, and what not?",
        "That a gate need not hurt, if it is strong enough and starts closed. It compares 2.65 M parameters with "
        "1.73 M; the row of identity with width 20 asks what the parameters alone would have given.",
    ),
)
