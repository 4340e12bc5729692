"""What does a pixel of the last map see? Theoretical and effective receptive fields (Luo et al. 2016)

theoretical    r ← r + (k − 1)·j,  j ← j·stride        by layer, from r = j = 1: two 3×3 convolutions see 5 × 5
effective      |∂y/∂x| of the centre pixel y, averaged over images and channels
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from minires.core.autograd import grad
from minires.core.random import manual_seed
from minires.core.tensor import Tensor
from minires.studies import drawing
from minires.studies.form import Claim, Figure, Settings, Study, Table, Task
from minires.studies.networks import CIFAR, depth_of, kind_of, network, title_of
from minires.studies.recipe import Recipe
from minires.studies.results import NotMeasuredError, Results
from minires.studies.work import Work

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


@dataclass(frozen=True, kw_only=True)
class FieldSettings(Settings):
    """What is varied and measured.

    Attributes:
        depths: Layers; each with and without shortcuts.
        recipe: How they are trained.
        size: Height and width of the noise images on which the fields are measured.
        images: How many.
    """

    depths: tuple[int, ...]
    recipe: Recipe
    size: int
    images: int


PRESETS = {
    "quick": FieldSettings(depths=(8, 20, 56), recipe=Recipe(epochs=4), size=64, images=4),
    "full": FieldSettings(depths=(8, 20, 56, 110), recipe=replace(CIFAR, epochs=15), size=128, images=16),
}
KINDS = ("resnet", "plain")


def tasks(settings: FieldSettings) -> list[Task]:
    """Each network before training, and after."""
    found = []
    for seed in range(settings.seeds):
        for depth in settings.depths:
            for kind in KINDS:
                name, work = f"{kind}{depth}", settings.images * settings.size**2 * depth / 4e5
                trained = Task(name, seed, cost=settings.recipe.cost(depth))
                found += [Task(name, seed, "start", cost=work), trained]
                found.append(Task(name, seed, "trained", (trained.name,), work))
    return found


def run(settings: FieldSettings, task: Task, work: Work) -> dict[str, Any]:
    """Train a network, or measure its field."""
    if task.step == "train":
        return work.train(lambda: network(task.config, settings.recipe), settings.recipe, task.seed).values
    manual_seed(task.seed)
    model = network(task.config, settings.recipe)
    if task.step == "trained":
        work.load(model, task.after[0])
    field = effective_field(model, settings)
    width = spread_of(field)
    return {"theoretical": theoretical_field(model), "width": width, "profile": profile(field), "map": small(field)}


def theoretical_field(model: Any) -> int:
    """The side of the square of pixels that a pixel of the last map depends on, by the formula.

    Of the two ways through a block the longer one counts: that through F.
    """
    field = jump = 1
    for conv in [
        model.conv1,
        *(conv for stage in model.stages for b in getattr(model, stage) for conv in (b.conv1, b.conv2)),
    ]:
        field += (conv.kernel_size[0] - 1) * jump
        jump *= conv.stride[0]
    return field


def effective_field(model: Any, settings: FieldSettings) -> npt.NDArray[np.float64]:
    """|∂y/∂x| (size, size), the root mean square over images, channels and signs of random c; its sum is 1.

    y is c · the centre pixel of the last map, c random, for images of noise; batch norm uses their statistics.
    """
    model.train()
    rng = np.random.default_rng(0)
    shape = (settings.images, settings.recipe.channels, settings.size, settings.size)
    x = Tensor(rng.normal(size=shape).astype(np.float32)).requires_grad_()
    y = list(model.features(x).values())[-1]
    centre = y[:, :, y.shape[2] // 2, y.shape[3] // 2]
    c = Tensor(rng.normal(size=centre.shape).astype(np.float32))
    gradient = grad((centre * c).sum(), x)[0]
    assert gradient is not None
    field = np.sqrt(np.mean(np.square(gradient.numpy(), dtype=np.float64), axis=(0, 1)))
    return field / field.sum()


def spread_of(field: npt.NDArray[np.float64]) -> float:
    """Twice the standard deviation of the field around its centre of mass, in pixels, along one axis."""
    where = np.arange(field.shape[0])
    variance = []
    for axis in (0, 1):
        weights = field.sum(axis=1 - axis)
        mean = float((weights * where).sum())
        variance.append(float((weights * (where - mean) ** 2).sum()))
    return 2 * float(np.sqrt(np.mean(variance)))


def profile(field: npt.NDArray[np.float64]) -> list[float]:
    """The field along a row through its centre of mass, relative to its largest value."""
    row = field.sum(axis=0)
    return [float(each) for each in row / row.max()]


def small(field: npt.NDArray[np.float64], size: int = 32) -> list[list[float]]:
    """The field relative to its largest value, averaged to at most `size` pixels a side."""
    step = max(field.shape[0] // size, 1)
    side = field.shape[0] // step
    averaged = field[: side * step, : side * step].reshape(side, step, side, step).mean(axis=(1, 3))
    return [[float(f"{each:.3g}") for each in row] for row in averaged / averaged.max()]


def _widths(results: Results, step: str) -> dict[str, float]:
    return {name: results.mean(name, "width", step) for name in results.configs(step)}


def _exponent(results: Results, kind: str) -> float:
    """The p of width ∝ (theoretical field)ᵖ before training."""
    names = [name for name in results.configs("start") if kind_of(name) == kind]
    layers = [depth_of(name) for name in names]
    widths = [results.mean(name, "width", "start") for name in names]
    return float(np.polyfit(np.log(layers), np.log(widths), 1)[0])


def _gaussian(results: Results) -> dict[str, float]:
    """How well a Gaussian describes the profile: R² of the deepest plain network whose whole field is in the image."""
    size = results.settings["size"]
    plain = [name for name in results.configs("start") if kind_of(name) == "plain"]
    inside = [name for name in plain if results.mean(name, "theoretical", "start") <= size]
    if not inside:
        raise NotMeasuredError("every field is larger than the images")
    name = max(inside, key=depth_of)
    row = np.array(results.series(name, "profile", "start"))
    where = np.arange(len(row))
    mean = (row * where).sum() / row.sum()
    variance = (row * (where - mean) ** 2).sum() / row.sum()
    curve = np.exp(-((where - mean) ** 2) / (2 * variance))
    curve *= (row * curve).sum() / (curve**2).sum()
    return {"layers": depth_of(name), "r2": float(1 - np.square(row - curve).sum() / np.square(row - row.mean()).sum())}


CLAIMS = (
    Claim(
        id="formula",
        text="Two 3×3 convolutions see 5×5 pixels and three see 7×7; the formula gives all depths.",
        source="the formula r ← r + (k − 1)·j",
        criterion="resnet8 == 25",
        ours=lambda results: {"resnet8": results.mean("resnet8", "theoretical", "start")},
        paper="3 → 5 → 7; ResNet-8 by hand: 1 + 2·(1 + 1 + 1 + 1 + 2 + 2 + 4) = 25",
        otherwise="A kernel or a stride is not what the formula takes it for.",
        certain=True,
    ),
    Claim(
        id="gaussian",
        text="The effective field is about Gaussian.",
        source="Luo et al. 2016",
        criterion="r2 > 0.9",
        ours=_gaussian,
        paper="Gaussian in the limit of many layers",
        otherwise="Strides leave a raster in the gradient, and a few layers are far from the limit of many.",
    ),
    Claim(
        id="smaller",
        text="The effective field is much smaller than the theoretical one.",
        source="Luo et al. 2016",
        criterion="effective < 0.5 * theoretical",
        ours=lambda results: {
            "effective": results.mean(_deepest(results), "width", "start"),
            "theoretical": results.mean(_deepest(results), "theoretical", "start"),
        },
        paper="a fraction that shrinks like 1/√depth",
        otherwise="The image may be smaller than either.",
        certain=True,
    ),
    Claim(
        id="root",
        text="Its width grows about as the root of the depth.",
        source="Luo et al. 2016",
        criterion="0.2 < plain < 0.8",
        ours=lambda results: {kind: _exponent(results, kind) for kind in KINDS},
        paper="√depth: an exponent of 0.5",
        otherwise="Strides and few depths bend the line; the image's border cuts the largest fields.",
    ),
    Claim(
        id="shortcuts-narrow",
        text="With shortcuts the field is smaller than without.",
        source="Luo et al. 2016",
        criterion="resnet < plain",
        ours=lambda results: {
            "resnet": results.mean(_deepest(results), "width", "start"),
            "plain": results.mean(_deepest(results).replace("resnet", "plain"), "width", "start"),
        },
        paper="“skip connections make the effective receptive field smaller”",
        otherwise="Paths through the shortcuts do not widen the field; but before training a plain network's gradient "
        "may be concentrated too.",
    ),
    Claim(
        id="training-widens",
        text="Training makes the field wider.",
        source="Luo et al. 2016",
        criterion="trained > start",
        ours=lambda results: {step: results.mean(_deepest(results), "width", step) for step in ("start", "trained")},
        paper="the field grows during training (CIFAR-10 and CamVid)",
        otherwise="On digits of 8 pixels a wide field is of no use: what matters is near.",
    ),
)


def _deepest(results: Results) -> str:
    return max((name for name in results.configs("start") if kind_of(name) == "resnet"), key=depth_of)


def figures(results: Results) -> list[Figure]:
    """Maps of the fields, and widths by depth."""
    deepest = _deepest(results)
    return [
        Figure(
            "fields",
            f"The effective field of the centre pixel of the last map of {title_of(deepest)} and of its plain twin, "
            "before and after training. Brighter pixels matter more; the scale is that of the root, so that the tail "
            "is seen.",
            lambda canvas: _maps(canvas, results),
            (11.0, 3.2),
        ),
        Figure(
            "widths",
            "Left: the width of the field (twice its standard deviation) by depth. Right: a cut through the fields "
            "before training, the sum over rows, relative to its largest value.",
            lambda canvas: _widths_figure(canvas, results),
        ),
    ]


STEPS = (("start", "before training"), ("trained", "after training"))


def _maps(canvas: Canvas, results: Results) -> None:
    deepest = _deepest(results)
    panels = canvas.subplots(1, 4, sharey=True)
    half = results.settings["size"] / 2
    cases = [(name, *step) for name in (deepest, deepest.replace("resnet", "plain")) for step in STEPS]
    for axes, (name, step, label) in zip(panels, cases, strict=True):
        field = np.sqrt(np.array(results.seeds(name, step)[0]["map"]))
        axes.imshow(field, cmap="cividis", extent=(-half, half, half, -half), vmin=0, vmax=1)
        axes.set(title=f"{title_of(name)},\n{label}", xlabel="pixels")
    panels[0].set_ylabel("pixels from the centre")


def _widths_figure(canvas: Canvas, results: Results) -> None:
    widths, cuts = canvas.subplots(1, 2)
    number = 0
    for kind in KINDS:
        names = [name for name in results.configs("start") if kind_of(name) == kind]
        for step, label in STEPS:
            if all(name in results.configs(step) for name in names):
                values = [results.mean(name, "width", step) for name in names]
                widths.plot([depth_of(n) for n in names], values, label=f"{kind}, {label}", **drawing.series(number))
            number += 1
    for number, name in enumerate(results.configs("start")):
        row = results.series(name, "profile", "start")
        where = np.arange(len(row)) - len(row) / 2
        cuts.plot(where, row, label=title_of(name), **drawing.series(number, marker=False))
    widths.set(xlabel="layers", ylabel="width of the field (pixels)")
    cuts.set(xlabel="pixels from the centre", ylabel="relative gradient")
    for axes in (widths, cuts):
        drawing.grid(axes)
        axes.legend(fontsize=8.5)


def table(results: Results) -> Table:
    """Theoretical and effective fields."""
    rows = []
    for name in results.configs("start"):
        widths = [results.text(name, "width", step, 1) for step, _ in STEPS if name in results.configs(step)]
        rows.append((title_of(name), f"{results.mean(name, 'theoretical', 'start'):.0f}", *widths))
    headings = ("network", "theoretical (pixels)", "effective before training", "after training")
    return Table(headings, tuple(rows), "Effective: twice the standard deviation of |∂y/∂x| around its centre.")


STUDY = Study(
    name="receptive-field",
    title="What does a pixel of the last map see?",
    question="How much of the image does a pixel of the last map depend on, by formula and by gradient?",
    method=(
        "The theoretical field follows from kernels and strides: each layer adds (k − 1) times the product of the "
        "strides before it.",
        "The effective field is the gradient of the centre pixel of the last map with respect to the image: its root "
        "mean square over images of noise and random directions of the channels.",
        "Its width is twice its standard deviation, in pixels.",
        "It is measured before and after training, with and without shortcuts, on images larger than those of the "
        "training, so that the border matters less.",
    ),
    presets=PRESETS,
    tasks=tasks,
    run=run,
    figures=figures,
    claims=CLAIMS,
    teacher=(
        (
            "Why a Gaussian?",
            "Each 3×3 convolution with random weights spreads the gradient by one pixel at random. Many such steps "
            "add up to a Gaussian, as the steps of a random walk do, and its width grows as the root of their number.",
        ),
        (
            "Why is the field smaller with shortcuts?",
            "Each convolution on a path widens the field, and a path that takes shortcuts passes fewer of them.",
        ),
    ),
    table=table,
)
