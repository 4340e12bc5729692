"""The claims, figures and table of the study of gradient flow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minires.studies import drawing
from minires.studies.form import Claim, Figure, Table
from minires.studies.results import NotMeasuredError, Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


def depths(results: Results) -> list[int]:
    """The depths, from shallow to deep."""
    return sorted(results.settings["depths"])


def of(results: Results, config: str, depth: int, key: str) -> np.ndarray:
    """A measured list (or number) of one configuration and depth, averaged over the seeds."""
    found = [values[str(depth)].get(key) for values in results.seeds(config, "start")]
    if any(each is None for each in found):
        raise NotMeasuredError(f"{key} of {config} was not measured")
    return np.mean(np.array(found, dtype=np.float64), axis=0)


def exponent(results: Results, config: str, key: str) -> float:
    """The p of a least-squares line: the last block's value is about (number of blocks)ᵖ."""
    blocks = [(depth - 2) // 2 for depth in depths(results)]
    values = [of(results, config, depth, key)[-1] for depth in depths(results)]
    return float(np.polyfit(np.log(blocks), np.log(values), 1)[0])


def factor(results: Results, config: str) -> float:
    """By how much the last block's output grows with each block that is added, between the two deepest networks."""
    *_, shallow, deep = depths(results)
    ratio = of(results, config, deep, "activations")[-1] / of(results, config, shallow, "activations")[-1]
    return float(ratio ** (2 / (deep - shallow)))


def ends(results: Results, config: str, depth: int) -> dict[str, float]:
    """The gradient's norm at the first and at the last convolution."""
    gradients = of(results, config, depth, "gradients")
    return {"first": float(gradients[0]), "last": float(gradients[-1])}


def _vanishing(results: Results) -> dict[str, float]:
    deepest = depths(results)[-1]
    activations = of(results, "plain-none-he", deepest, "activations")
    return {"first_block": float(activations[0]), "last_block": float(activations[-1])}


def _correlations(results: Results, kind: str) -> dict[str, float]:
    shallow, deep = depths(results)[0], depths(results)[-1]
    config = f"{kind}-batch-he"
    return {
        "shallow": float(of(results, config, shallow, "correlation")),
        "deep": float(of(results, config, deep, "correlation")),
    }


def _responses(results: Results) -> dict[str, float]:
    shallow, deep = (sorted(results.settings["trained_depths"]) * 2)[:2]
    named = {"resnet_shallow": f"residual{shallow}", "resnet_deep": f"residual{deep}", "plain_deep": f"plain{deep}"}
    return {name: float(np.mean(results.series(config, "responses"))) for name, config in named.items()}


CLAIMS = (
    Claim(
        id="plain-vanishes",
        text="Without normalisation the signal of a deep plain network vanishes or explodes.",
        source="Balduzzi et al. 2017; Zhang et al. 2019 (Fixup)",
        criterion="last_block < 1e-6 * first_block or last_block > 1e6 * first_block",
        ours=_vanishing,
        otherwise="An initialisation whose factor is near 1 needs more layers before the power of it shows.",
        certain=True,
    ),
    Claim(
        id="residual-explodes",
        text="Without normalisation a residual network's signal grows exponentially with depth, by a factor a block.",
        source="De & Smith 2020; Zhang et al. 2019 (Fixup)",
        criterion="factor > 1.1",
        ours=lambda results: {"factor": factor(results, "residual-none-he")},
        paper="the variance doubles with each block, a factor of √2 without the ReLU after the sum",
        otherwise="With a smaller initialisation F adds little, and the growth shows later.",
        certain=True,
    ),
    Claim(
        id="batch-norm-root",
        text="With batch norm a residual network's signal grows only as the root of the number of blocks.",
        source="De & Smith 2020",
        criterion="0.3 < exponent < 0.7",
        ours=lambda results: {"exponent": exponent(results, "residual-batch-he", "activations")},
        paper="an exponent of 1/2 for the standard deviation",
        otherwise="The ReLU after the sum and the zeros of option A change the variances that add.",
        certain=True,
    ),
    Claim(
        id="batch-norm-scales-down",
        text="Batch norm makes the branch smaller than the shortcut, by about the root of the depth.",
        source="De & Smith 2020",
        criterion="-0.7 < exponent < -0.3",
        ours=lambda results: {"exponent": exponent(results, "residual-batch-he", "branch")},
        paper="an exponent of −1/2",
        otherwise="The last block alone is measured, at one position of each depth.",
        certain=True,
    ),
    Claim(
        id="skipinit-identity",
        text="Fixup and SkipInit start every block as its shortcut, so the signal does not depend on depth.",
        source="Zhang et al. 2019; De & Smith 2020",
        criterion="abs(fixup) < 0.1 and abs(skipinit) < 0.1",
        ours=lambda results: {
            init: exponent(results, f"residual-none-{init}", "activations") for init in ("fixup", "skipinit")
        },
        paper="an exponent of 0",
        otherwise="A block's last convolution or scalar did not start as 0.",
        certain=True,
    ),
    Claim(
        id="identity-share",
        text="The deeper a residual network with batch norm, the more of the gradient comes through the shortcuts.",
        source="De & Smith 2020; He et al. 2016, §2",
        criterion="deep > shallow",
        ours=lambda results: {
            name: float(np.mean(of(results, "residual-batch-he", depth, "identity")))
            for name, depth in (("shallow", depths(results)[0]), ("deep", depths(results)[-1]))
        },
        otherwise="In the first blocks F is as strong as the shortcut at any depth.",
        certain=True,
    ),
    Claim(
        id="healthy-plain",
        text="With batch norm the gradients of a plain network have healthy norms.",
        source="He et al. 2015, §4.1",
        criterion="0.1 < first / last < 10",
        ours=lambda results: ends(results, "plain-batch-he", min(depths(results), key=lambda depth: abs(depth - 56))),
        paper="“healthy norms”, no number",
        otherwise="Batch norm keeps the forward signal in range. On the way back each plain layer multiplies the "
        "gradient by a little more than 1, and the powers of that are not healthy at 56 layers before the first "
        "step. The paper looked at networks in training.",
    ),
    Claim(
        id="shattered-plain",
        text="In plain networks the gradients of neighbouring inputs lose all correlation with depth.",
        source="Balduzzi et al. 2017",
        criterion="deep < 0.5 * shallow",
        ours=lambda results: _correlations(results, "plain"),
        paper="falls like 2^−L with L layers",
        otherwise="Near 0 already at the shallow end, the correlation cannot fall further; the step of the line "
        "between two images decides where that is.",
    ),
    Claim(
        id="shattered-residual",
        text="In residual networks the gradients of neighbouring inputs stay more alike than in plain ones.",
        source="Balduzzi et al. 2017",
        criterion="residual > plain",
        ours=lambda results: {kind: _correlations(results, kind)["deep"] for kind in ("residual", "plain")},
        paper="falls like 1/√L",
        otherwise="With batch norm in every branch the sum grows too, and the points of the line share a batch.",
    ),
    Claim(
        id="sparsity-halves",
        text="Each layer with a ReLU halves the share of units that are active.",
        source="an article for beginners",
        criterion="last < 2 * first * 0.5 ** (blocks - 1)",
        ours=lambda results: {
            "first": float(of(results, "plain-none-he", depths(results)[0], "active")[0]),
            "last": float(of(results, "plain-none-he", depths(results)[0], "active")[-1]),
            "blocks": float((depths(results)[0] - 2) // 2),
        },
        paper="a half, a quarter, an eighth …",
        otherwise="Each layer mixes its inputs with weights of both signs. About half of the sums are positive again, "
        "whatever share of the inputs was 0.",
    ),
    Claim(
        id="responses",
        text="Layers of residual networks respond less than plain ones, and less the deeper the network is.",
        source="He et al. 2015, Fig. 7",
        criterion="resnet_deep < plain_deep and resnet_deep < resnet_shallow",
        ours=_responses,
        otherwise="A few epochs move batch norm's weights too little from the 1 at which they start.",
    ),
)

NORMS = ("none", "batch", "layer", "group")


def figures(results: Results) -> list[Figure]:
    """Signal and gradient by depth; the gradient by layer; the shares; correlation and responses."""
    deepest = depths(results)[-1]
    return [
        Figure(
            "signal",
            "The root mean square of the last block's output before training, by depth, He initialisation. Without "
            "normalisation (solid) it vanishes in plain networks and explodes in residual ones; with a normalisation "
            "it is constant in plain networks and grows as the root of the depth in residual ones.",
            lambda canvas: _signal(canvas, results),
        ),
        Figure(
            "gradient",
            f"The norm of the gradient of each 3×3 convolution's weights, {deepest} layers, He initialisation, from "
            "the image (left) to the classifier. Backward runs from right to left.",
            lambda canvas: _gradient(canvas, results, deepest),
        ),
        Figure(
            "initialisation",
            "The same for residual networks without normalisation, by initialisation. Left: the output of the last "
            "block by depth. Right: the share of the gradient that comes through the shortcut, block by block, at "
            f"{deepest} layers; the rest comes through F. Negative means that F works against the shortcut.",
            lambda canvas: _initialisation(canvas, results, deepest),
        ),
        Figure(
            "shattered",
            "Left: the correlation of the gradients of neighbouring inputs by depth, with batch norm. Right: the "
            "standard deviation of each layer's response in trained networks.",
            lambda canvas: _shattered(canvas, results),
        ),
    ]


KINDS = (("plain", "plain"), ("residual", "residual"))


def _signal(canvas: Canvas, results: Results) -> None:
    panels = canvas.subplots(1, 2, sharey=True)
    for axes, (kind, title) in zip(panels, KINDS, strict=True):
        for number, norm in enumerate(NORMS):
            values = [of(results, f"{kind}-{norm}-he", depth, "activations")[-1] for depth in depths(results)]
            axes.loglog(depths(results), values, label=_norm(norm), **drawing.series(number))
        axes.set(title=title, xlabel="layers")
        axes.set_xticks(depths(results), [str(depth) for depth in depths(results)])
        axes.minorticks_off()
        drawing.grid(axes)
    panels[0].set_ylabel("RMS of the last block's output")
    panels[1].legend()


def _gradient(canvas: Canvas, results: Results, depth: int) -> None:
    panels = canvas.subplots(1, 2, sharey=True)
    for axes, (kind, title) in zip(panels, KINDS, strict=True):
        for number, norm in enumerate(NORMS):
            values = np.maximum(of(results, f"{kind}-{norm}-he", depth, "gradients"), 1e-38)
            axes.semilogy(np.linspace(1, depth - 1, len(values)), values, label=_norm(norm), **drawing.series(number))
        axes.set(title=title, xlabel="convolution, from the image to the classifier")
        drawing.grid(axes)
    panels[0].set_ylabel("‖∂L/∂W‖ before training")
    panels[1].legend()


def _initialisation(canvas: Canvas, results: Results, depth: int) -> None:
    signal, shares = canvas.subplots(1, 2)
    for number, init in enumerate(("he", "lecun", "xavier", "orthogonal", "fixup", "skipinit")):
        config = f"residual-none-{init}"
        values = [of(results, config, each, "activations")[-1] for each in depths(results)]
        signal.loglog(depths(results), values, label=init, **drawing.series(number))
        if init in ("he", "skipinit"):
            identity = of(results, config, depth, "identity")
            where = np.linspace(1, (depth - 2) // 2, len(identity))
            shares.plot(where, identity, label=f"none, {init}", **drawing.series(number))
    identity = of(results, "residual-batch-he", depth, "identity")
    where = np.linspace(1, (depth - 2) // 2, len(identity))
    shares.plot(where, identity, label="batch, he", **drawing.series(6))
    signal.set(xlabel="layers", ylabel="RMS of the last block's output", title="without normalisation")
    signal.set_xticks(depths(results), [str(each) for each in depths(results)])
    signal.minorticks_off()
    shares.set(xlabel="block, from the image", ylabel="share through the shortcut", title="the gradient's two ways")
    for axes in (signal, shares):
        drawing.grid(axes)
        axes.legend()


def _shattered(canvas: Canvas, results: Results) -> None:
    correlation, responses = canvas.subplots(1, 2)
    for number, (kind, title) in enumerate(KINDS):
        values = [float(of(results, f"{kind}-batch-he", depth, "correlation")) for depth in depths(results)]
        correlation.semilogx(depths(results), values, label=title, **drawing.series(number))
        for deeper, depth in enumerate(results.settings["trained_depths"]):
            found = results.series(f"{kind}{depth}", "responses")
            style = drawing.series(number + 2 * deeper, marker=False)
            responses.plot(np.linspace(0, 1, len(found)), found, label=f"{title}, {depth} layers", **style)
    correlation.set(xlabel="layers", ylabel="correlation of neighbours' gradients")
    correlation.set_xticks(depths(results), [str(depth) for depth in depths(results)])
    correlation.minorticks_off()
    responses.set(xlabel="layer / all layers", ylabel="standard deviation of the response")
    for axes in (correlation, responses):
        drawing.grid(axes)
        axes.legend()


def _norm(norm: str) -> str:
    return "no normalisation" if norm == "none" else f"{norm} norm"


def table(results: Results) -> Table:
    """Signal and gradient of each normalisation and initialisation at the deepest network."""
    depth, rows = depths(results)[-1], []
    for config in results.configs("start"):
        kind, norm, init = config.split("-")
        last = of(results, config, depth, "activations")[-1]
        ends_ = ends(results, config, depth)
        rows.append((f"{kind}, {_norm(norm)}, {init}", *(f"{value:.2g}" for value in (last, *ends_.values()))))
    headings = ("network", "RMS of the last block", "‖∂L/∂W‖ first convolution", "last convolution")
    return Table(headings, tuple(rows), f"{depth} layers, before the first step.")


TEACHER = (
    (
        "Why does a plain network vanish although He initialisation is made to prevent that?",
        "It keeps the variance in the limit of wide layers, on average, without padding. The networks here have 16 to "
        "64 channels and zeros at their borders, so each layer's factor is a little below 1, and 200 follow each "
        "other.",
    ),
    (
        "If batch norm keeps the signal in range, why do plain networks still fail?",
        "It does so on the way forward only. On the way back a plain layer multiplies the gradient by more than 1, and "
        "the first layers get gradients that are larger by orders of magnitude than those of the last.",
    ),
    (
        "Why is a branch that starts small good for depth?",
        "Then each block is nearly its shortcut, the network behaves as a shallow one, and the gradient reaches every "
        "block with about the same norm. Batch norm does this as a side effect; Fixup and SkipInit do it on purpose.",
    ),
)
