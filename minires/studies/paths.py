"""A net of n blocks is 2ⁿ paths: which of them carry the gradient? (Veit et al. 2016, arXiv 1605.06431)

    G(t) ← J_sᵀ G(t) + t · J_Fᵀ G(t)        backward through a block; the coefficient of tᵏ came through k blocks

Veit et al. drew paths at random. The polynomial gives all 2ⁿ at once, exactly (`inspection.path_gradients`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import TYPE_CHECKING, Any

import numpy as np

from minires import functional as F
from minires import models
from minires.core.autograd import grad
from minires.core.random import manual_seed
from minires.core.tensor import Tensor
from minires.inspection.paths import path_gradients, path_norms
from minires.nn import Module
from minires.studies import drawing
from minires.studies.form import Claim, Figure, Settings, Study, Table, Task
from minires.studies.recipe import Recipe
from minires.studies.results import Results
from minires.studies.work import Work

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

EXACT = "exact"  # the configuration whose polynomial is compared with the ordinary gradient


@dataclass(frozen=True, kw_only=True)
class PathSettings(Settings):
    """What is varied and measured.

    Attributes:
        depths: Layers of the networks, 6n + 2; there are (depth − 2)/2 blocks.
        recipe: How they are trained.
        images: Images whose common gradient is taken apart.
        samples: Single paths drawn for each length.
        exact_depth: Layers of the network whose polynomial is compared with the ordinary gradient, in float64.
    """

    depths: tuple[int, ...]
    recipe: Recipe
    images: int
    samples: int
    exact_depth: int = 20


PRESETS = {
    "quick": PathSettings(depths=(20, 56), recipe=Recipe(epochs=8), images=32, samples=4),
    "full": PathSettings(
        depths=(20, 56, 110),
        recipe=Recipe("cifar10", epochs=15, batch_size=128, lr=0.2, weight_decay=5e-4, augment=True),
        images=64,
        samples=10,
    ),
}


def network(depth: int, recipe: Recipe) -> Module:
    """The residual network of a depth, with option A: no shortcut has parameters."""
    return models.cifar_resnet(depth, in_channels=recipe.channels)


def tasks(settings: PathSettings) -> list[Task]:
    """Each depth is trained, and taken apart before and after; one network is compared with the ordinary gradient."""
    found = [Task(EXACT, step="sum", cost=0.5)]
    for seed in range(settings.seeds):
        for depth in settings.depths:
            blocks, config = (depth - 2) // 2, f"resnet{depth}"
            work = blocks**2 * (1 + settings.samples) * settings.images * settings.recipe.size**2 / 4e6
            trained = Task(config, seed, cost=settings.recipe.cost(depth))
            found.append(Task(config, seed, "start", cost=work))
            found += [trained, Task(config, seed, "trained", (trained.name,), work)]
    return found


def run(settings: PathSettings, task: Task, work: Work) -> dict[str, Any]:
    """Train a network, or take its gradient apart."""
    if task.step == "sum":
        return sum_error(settings, work)
    depth = int(task.config.removeprefix("resnet"))
    if task.step == "train":
        return work.train(lambda: network(depth, settings.recipe), settings.recipe, task.seed).values
    manual_seed(task.seed)
    model = network(depth, settings.recipe)
    if task.step == "trained":
        work.load(model, task.after[0])
    return by_length(model, settings, task.seed, work)


def by_length(model: Module, settings: PathSettings, seed: int, work: Work) -> dict[str, Any]:
    """For each path length k: ‖G_k‖, ⟨G_k, g⟩/‖g‖² (they sum to 1), and the norms of single paths.

    The network is in training mode: batch norm uses the statistics of the batch, as in the backward passes that train.
    """
    images, labels = settings.recipe.images(train=True, root=work.data_dir).batch(settings.images, seed)
    model.train()

    def loss(logits: Tensor) -> Tensor:
        return F.cross_entropy(logits, Tensor(labels))

    polynomial = path_gradients(model, Tensor(images), loss)
    work.report(0.4)
    whole = np.sum(polynomial, axis=0, dtype=np.float64)
    square = float(np.vdot(whole, whole)) or 1.0
    norms = path_norms(model, Tensor(images), loss, samples=settings.samples, rng=np.random.default_rng(seed))
    return {
        "blocks": len(polynomial) - 1,
        "norms": [float(np.linalg.norm(each)) for each in polynomial],
        "shares": [float(np.vdot(each.astype(np.float64), whole)) / square for each in polynomial],
        "single": [float(np.mean(each)) for each in norms],
        "gradient": square**0.5,
    }


def sum_error(settings: PathSettings, work: Work) -> dict[str, Any]:
    """The largest difference between the polynomial at t = 1 and the ordinary gradient, relative to the latter."""
    manual_seed(0)
    model: Any = network(settings.exact_depth, settings.recipe).to(dtype=np.float64)
    images, labels = settings.recipe.images(train=True, root=work.data_dir).batch(4)
    x, target = Tensor(images.astype(np.float64)), Tensor(labels)
    polynomial = path_gradients(model, x, lambda logits: F.cross_entropy(logits, target))
    h = model.maxpool(model.relu(model.bn1(model.conv1(x)))).detach().requires_grad_()
    y = h
    for stage in model.stages:
        y = getattr(model, stage)(y)
    loss = F.cross_entropy(model.fc(F.flatten(model.avgpool(y), 1)), target)
    ordinary = grad(loss, h)[0].numpy()  # type: ignore[union-attr]
    return {"error": float(np.abs(sum(polynomial) - ordinary).max() / np.abs(ordinary).max())}


# -- what the claims ask ----------------------------------------------------------------------------------------------


def deepest(results: Results) -> str:
    """The deepest network that was trained and taken apart."""
    configs = results.configs("trained")
    return max(configs, key=lambda config: int(config.removeprefix("resnet")), default=f"resnet{0}")


def share_of_lengths(blocks: int, first: int, last: int) -> float:
    """The share of the 2ⁿ paths that pass `first` to `last` of the n blocks."""
    return sum(comb(blocks, k) for k in range(first, last + 1)) / 2**blocks


def mean_length(shares: list[float]) -> float:
    """Σ k · shareₖ: the mean number of blocks that the gradient came through."""
    return float(sum(k * share for k, share in enumerate(shares)))


def falls_by(results: Results, config: str, step: str) -> dict[str, float]:
    """The factor from one length to the next of a least-squares line through log(norm of a path), and its R²."""
    norms = np.array(results.series(config, "single", step))
    lengths = np.flatnonzero(norms > 0)
    logs = np.log(norms[lengths])
    slope, intercept = np.polyfit(lengths, logs, 1)
    rest = logs - (slope * lengths + intercept)
    return {"factor": float(np.exp(slope)), "r2": float(1 - rest.var() / logs.var())}


def shares_of_short(results: Results) -> dict[str, float]:
    """Where the gradient of the deepest trained network comes from."""
    config = deepest(results)
    shares = np.array(results.series(config, "shares", "trained"))
    blocks = len(shares) - 1
    return {
        "blocks": blocks,
        "mean_length": mean_length(list(shares)),
        "mean_length_at_the_start": mean_length(results.series(config, "shares", "start")),
        "share_of_shorter_half": float(shares[: (blocks + 1) // 2].sum()),
    }


CLAIMS = (
    Claim(
        id="sum",
        text="The contributions of all paths add up to the ordinary gradient.",
        source="the polynomial of this study, at t = 1",
        criterion="error <= 1e-12",
        ours=lambda results: {"error": results.mean(EXACT, "error", "sum")},
        paper=None,
        otherwise="The network is taken apart wrongly, or a block looks at its input in another way.",
        certain=True,
    ),
    Claim(
        id="binomial",
        text="The lengths of the 2ⁿ paths are binomial: of a net of 54 blocks, 95 % pass 19 to 35.",
        source="Veit et al. 2016, §4.1",
        criterion="share >= 0.95",
        ours=lambda results: {"share": share_of_lengths(54, 19, 35)},
        paper="more than 95 % of the paths",
        otherwise="The lengths are counted here and not measured, so the count would be wrong.",
        certain=True,
    ),
    Claim(
        id="magnitude",
        text="In a trained net, the gradient through a single path falls exponentially with the path's length.",
        source="Veit et al. 2016, §4.2, Fig. 6",
        criterion="factor < 1 and r2 > 0.9",
        ours=lambda results: falls_by(results, deepest(results), "trained"),
        paper="a straight line on a logarithmic scale",
        otherwise="A short training on small images leaves the branches stronger than 200 epochs on CIFAR-10 do, and a "
        "pre-activation block, as in the paper, has no ReLU after the sum.",
    ),
    Claim(
        id="short-paths",
        text="In a trained net, nearly all of the gradient comes through paths shorter than half of the blocks.",
        source="Veit et al. 2016, §4.2",
        criterion="share_of_shorter_half > 0.9",
        ours=shares_of_short,
        paper="paths of 5 to 17 of 54 modules carry nearly all of it, and are 0.45 % of all paths",
        otherwise="The networks here have batch norm at the end of F and a ReLU after the sum (He 2015); the paper's "
        "are pre-activation networks, whose shortcut is never cut off. Their training was also much longer, and the "
        "paper multiplies the mean norm of a path by the number of paths, which neglects that paths cancel.",
    ),
    Claim(
        id="training-shortens",
        text="Training moves the gradient to shorter paths.",
        source="Veit et al. 2016, §4.2, by implication",
        criterion="mean_length < mean_length_at_the_start",
        ours=shares_of_short,
        otherwise="At the start F and the shortcut have similar gradients; a few epochs need not change that.",
    ),
)


# -- figures ----------------------------------------------------------------------------------------------------------


def figures(results: Results) -> list[Figure]:
    """Number of paths, norm of one path, and what each length contributes; at the start and after training."""
    return [
        Figure(
            "lengths",
            f"{_name(deepest(results))}, by the number of blocks that a path passes. Left: how many paths there are. "
            "Middle: the gradient's norm through a single path, the mean of a few drawn at random. Right: what all "
            "paths of a length contribute to the gradient, exactly; the bars of one series sum to 1, and a negative "
            "bar works against the others.",
            lambda canvas: _draw_lengths(canvas, results),
            (11.0, 3.8),
        ),
        Figure(
            "depths",
            "The norm of the polynomial's coefficients, by depth: ‖Gₖ‖ of all paths through k blocks, divided by the "
            "norm of the whole gradient. Where a coefficient is larger than 1, paths of different lengths cancel.",
            lambda canvas: _draw_depths(canvas, results),
        ),
    ]


STEPS = (("start", "before training"), ("trained", "after training"))


def _draw_lengths(canvas: Canvas, results: Results) -> None:
    config = deepest(results)
    counts, norms, shares = canvas.subplots(1, 3)
    blocks = len(results.series(config, "shares", "trained")) - 1
    lengths = np.arange(blocks + 1)
    counts.bar(lengths, [comb(blocks, k) / 2**blocks for k in lengths], color=drawing.COLORS[6])
    counts.set(
        title=f"all {2**blocks:,} paths" if blocks < 30 else f"all 2^{blocks} paths", ylabel="share of the paths"
    )
    for number, (step, label) in enumerate(STEPS):
        style = drawing.series(number)
        norms.semilogy(lengths, results.series(config, "single", step), label=label, **style)
        width, left = 0.42, (number - 0.5) * 0.42
        hatch = "" if number else "///"
        values = results.series(config, "shares", step)
        shares.bar(
            lengths + left,
            values,
            width,
            label=label,
            color=style["color"],
            hatch=hatch,
            edgecolor="white",
            linewidth=0,
        )
    norms.set(title="one path", ylabel="‖gradient through one path‖")
    shares.set(title="all paths of a length", ylabel="share of the gradient")
    shares.axhline(0, color=drawing.INK, linewidth=0.8)
    for axes in (counts, norms, shares):
        axes.set_xlabel("blocks passed")
        drawing.grid(axes)
        drawing.whole_numbers(axes)
    norms.legend()
    shares.legend()


def _draw_depths(canvas: Canvas, results: Results) -> None:
    panels = canvas.subplots(1, 2, sharey=True)
    for axes, (step, label) in zip(panels, STEPS, strict=True):
        for number, config in enumerate(results.configs("trained")):
            norms = np.array(results.series(config, "norms", step)) / results.mean(config, "gradient", step)
            axes.semilogy(np.linspace(0, 1, len(norms)), norms, label=_name(config), **drawing.series(number))
        axes.set(title=label, xlabel="blocks passed / all blocks")
        drawing.grid(axes)
    panels[0].set_ylabel("‖Gₖ‖ / ‖gradient‖")
    panels[1].legend()


def _name(config: str) -> str:
    return config.replace("resnet", "ResNet-")


def table(results: Results) -> Table:
    """A row for each depth and moment."""
    rows = []
    for config in results.configs("trained"):
        for step, label in STEPS:
            shares = results.series(config, "shares", step)
            half = sum(shares[: len(shares) // 2])
            rows.append(
                (
                    f"{_name(config)}, {label}",
                    str(len(shares) - 1),
                    f"{mean_length(shares):.2f}",
                    f"{100 * half:.1f} %",
                    f"{falls_by(results, config, step)['factor']:.3f}",
                )
            )
    headings = ("network", "blocks", "mean length of the gradient", "through the shorter half", "one more block: ×")
    return Table(headings, tuple(rows), "Lengths are weighted with what they contribute to the gradient.")


STUDY = Study(
    name="paths",
    title="A residual net is 2ⁿ paths: which of them carry the gradient?",
    question="Of the 2ⁿ paths through n blocks, which carry the gradient?",
    method=(
        "Each block gives the gradient two ways back: through its shortcut and through F. A path takes one of them.",
        "Backward, the gradient is kept as a polynomial in t. Its coefficient of tᵏ is what came through exactly k "
        "blocks: G(t) ← J_sᵀ G(t) + t · J_Fᵀ G(t).",
        "n blocks need n(n + 1)/2 backward passes of a block instead of 2ⁿ of the network, and nothing is sampled.",
        "At t = 1 the polynomial is the ordinary gradient, which tests it.",
        "The gradient is that of a batch's loss with respect to the input of the first block, in training mode.",
        "For comparison with Veit et al., single paths of each length are drawn at random too.",
        "Each network is taken apart before the first step and after training.",
    ),
    presets=PRESETS,
    tasks=tasks,
    run=run,
    figures=figures,
    claims=CLAIMS,
    teacher=(
        (
            "Are there really 2ⁿ paths in one network?",
            "There are in its derivative. With the masks of the ReLUs and the statistics of batch norm held fixed, the "
            "network is a product of sums, (s₁ + F₁)(s₂ + F₂)…, and multiplying it out gives 2ⁿ terms.",
        ),
        (
            "Why is the number of paths not the same as their weight?",
            "Most paths have a length near n/2, since there are most ways to choose n/2 of n blocks. If each block "
            "that a path passes shortens its gradient, the many long ones may weigh less than the few short ones.",
        ),
        (
            "Why can a bar be negative?",
            "The gradients of two groups of paths are vectors, and they may point in opposite directions. What they "
            "have in common with the whole gradient sums to 1, but each part may be larger than 1 or negative.",
        ),
    ),
    table=table,
)
