"""What does a shortcut do to the loss surface? Filter-normalised slices (Li et al. 2018, arXiv 1712.09913)

    f(a, b) = L(θ + a·d + b·e)        d, e random; each filter of a direction has the norm of the filter of θ

Without the normalisation a network with larger weights, which batch norm makes no difference to, would look flatter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from minires import functional as F
from minires.core.modes import no_grad
from minires.core.random import manual_seed
from minires.core.tensor import Tensor
from minires.nn import Module
from minires.studies.form import Claim, Figure, Settings, Study, Table, Task
from minires.studies.networks import CIFAR, depth_of, network, title_of
from minires.studies.recipe import Recipe
from minires.studies.results import Results
from minires.studies.work import Work

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


@dataclass(frozen=True, kw_only=True)
class LandscapeSettings(Settings):
    """What is varied and measured.

    Attributes:
        networks: The networks.
        recipe: How they are trained.
        points: Points along each direction; odd, so that the trained network is one of them.
        reach: The slice goes from −reach to reach.
        images: The loss is that of this fixed subset of the training images.
    """

    networks: tuple[str, ...]
    recipe: Recipe
    points: int
    reach: float
    images: int


NETWORKS = ("resnet20", "plain20", "resnet56", "plain56")
PRESETS = {
    "quick": LandscapeSettings(networks=NETWORKS, recipe=Recipe(epochs=6), points=11, reach=1.0, images=64),
    "full": LandscapeSettings(networks=NETWORKS, recipe=replace(CIFAR, epochs=30), points=25, reach=1.0, images=512),
}


def tasks(settings: LandscapeSettings) -> list[Task]:
    """Each network is trained, and its loss measured on the grid."""
    found = []
    for seed in range(settings.seeds):
        for name in settings.networks:
            trained = Task(name, seed, cost=settings.recipe.cost(depth_of(name)))
            work = settings.points**2 * settings.images * depth_of(name) * (settings.recipe.size**2 + 64) / 4e6
            found += [trained, Task(name, seed, "slice", (trained.name,), work)]
    return found


def run(settings: LandscapeSettings, task: Task, work: Work) -> dict[str, Any]:
    """Train a network, or measure its slice."""
    if task.step == "train":
        return work.train(lambda: network(task.config, settings.recipe), settings.recipe, task.seed).values
    manual_seed(task.seed)
    model = work.load(network(task.config, settings.recipe), task.after[0])
    images, labels = settings.recipe.images(True, work.data_dir).batch(settings.images)
    surface = loss_slice(model, settings, Tensor(images), Tensor(labels), work)
    return {"surface": surface.tolist(), "roughness": roughness(surface), "nonconvex": nonconvex(surface)}


def loss_slice(
    model: Module, settings: LandscapeSettings, images: Tensor, labels: Tensor, work: Work
) -> npt.NDArray[np.float64]:
    """The loss (points, points) in eval mode; batch norm keeps the running statistics of the trained network."""
    start = {name: parameter.numpy().copy() for name, parameter in model.named_parameters()}
    directions = [filter_normalised(start, np.random.default_rng(seed)) for seed in (1, 2)]
    steps = np.linspace(-settings.reach, settings.reach, settings.points)
    surface = np.zeros((settings.points, settings.points))
    with no_grad():
        for i, a in enumerate(steps):
            for j, b in enumerate(steps):
                for name, parameter in model.named_parameters():
                    moved = start[name] + a * directions[0][name] + b * directions[1][name]
                    parameter.assign_(moved.astype(parameter.dtype))
                surface[i, j] = float(F.cross_entropy(model(images), labels).item())
            work.report((i + 1) / settings.points)
    return surface


def filter_normalised(
    weights: dict[str, npt.NDArray[np.float32]], rng: np.random.Generator
) -> dict[str, npt.NDArray[np.float64]]:
    """A random direction whose filters have the norms of the weights' filters; 0 for biases and batch norm (§4)."""
    direction = {}
    for name, weight in weights.items():
        if weight.ndim < 2:
            direction[name] = np.zeros(weight.shape)
            continue
        drawn = rng.normal(size=weight.shape)
        axes = tuple(range(1, weight.ndim))
        norms = np.sqrt(np.sum(np.square(drawn), axis=axes, keepdims=True))
        direction[name] = drawn / norms * np.sqrt(np.sum(np.square(weight), axis=axes, keepdims=True))
    return direction


def roughness(surface: npt.NDArray[np.float64]) -> float:
    """How much a slice bends, whatever its height: Σ|second differences| / Σ|first differences| of log(loss).

    0 for a plane of log(loss), and up to 2 where every step turns back the one before.
    """
    logs = np.log(np.maximum(surface, 1e-8))
    first = sum(float(np.abs(np.diff(logs, axis=axis)).sum()) for axis in (0, 1))
    second = sum(float(np.abs(np.diff(logs, 2, axis=axis)).sum()) for axis in (0, 1))
    return second / first if first else 0.0


def nonconvex(surface: npt.NDArray[np.float64]) -> float:
    """The share of the steps along both axes at which the slice turns down although it moves away from the centre."""
    middle = surface.shape[0] // 2
    outward = []
    for array in (surface, surface.T):
        steps = np.diff(array, axis=0)
        outward += [steps[middle:].ravel(), -steps[:middle].ravel()]
    return float(np.mean(np.concatenate(outward) < 0))


def _numbers(results: Results, key: str) -> dict[str, float]:
    return {name: results.mean(name, key, "slice") for name in results.settings["networks"]}


def _minimum(results: Results) -> dict[str, float]:
    """The loss at the centre and the mean at the border."""
    found = {}
    for name in results.settings["networks"]:
        surface = np.array(results.seeds(name, "slice")[0]["surface"], dtype=np.float64)
        middle = surface.shape[0] // 2
        found[name] = float(surface[middle, middle])
    return found


CLAIMS = (
    Claim(
        id="deep-plain-rough",
        text="Without shortcuts the loss surface of a deep network is rougher than with them.",
        source="Li et al. 2018, Fig. 1 and 5",
        criterion="plain56 > resnet56",
        ours=lambda results: _numbers(results, "roughness"),
        paper="“chaotic” without shortcuts at 56 layers (a picture)",
        otherwise="Roughness is one number of one random slice. An independent run at 40 epochs did not see chaos at "
        "56 layers either; the paper trains for 300 epochs.",
    ),
    Claim(
        id="depth-roughens-plain",
        text="Depth makes the surface of plain networks rougher.",
        source="Li et al. 2018, Fig. 5",
        criterion="plain56 > plain20",
        ours=lambda results: _numbers(results, "roughness"),
        paper="from nearly convex at 20 layers to chaotic at 56",
        otherwise="A deep plain network that has hardly learnt sits on a plateau, which is flat and smooth.",
    ),
    Claim(
        id="shortcut-keeps-smooth",
        text="With shortcuts depth does not make it rougher.",
        source="Li et al. 2018, Fig. 5",
        criterion="resnet56 <= 1.25 * resnet20",
        ours=lambda results: _numbers(results, "roughness"),
        paper="surfaces alike at 20, 56 and 110 layers",
        otherwise="The same reach in units of filters moves a deeper network further.",
    ),
    Claim(
        id="minimum",
        text="The trained residual networks end in a minimum with a lower loss than the plain ones.",
        source="Li et al. 2018, Table 1",
        criterion="resnet56 < plain56",
        ours=_minimum,
        paper="test error with 56 layers: 5.89 with, 13.31 % without shortcuts",
        otherwise="The loss is that of a small fixed subset of the training images.",
        certain=True,
    ),
)


def figures(results: Results) -> list[Figure]:
    """Contours and surfaces of all networks."""
    note = "The trained network is in the middle. Colours and lines are the logarithm of the loss, the same for all."
    return [
        Figure(
            "contours",
            f"The loss on two random filter-normalised directions. {note}",
            lambda c: _contours(c, results),
            (11, 3.4),
        ),
        Figure("surfaces", f"The same as surfaces. {note}", lambda c: _surfaces(c, results), (11, 3.6)),
    ]


def _surface(results: Results, name: str) -> npt.NDArray[np.float64]:
    surface = [[np.nan if each is None else each for each in row] for row in results.seeds(name, "slice")[0]["surface"]]
    return np.log10(np.maximum(np.array(surface, dtype=np.float64), 1e-6))


def _limits(results: Results) -> tuple[float, float]:
    found = [_surface(results, name) for name in results.settings["networks"]]
    return float(min(np.nanmin(each) for each in found)), float(min(max(np.nanmax(each) for each in found), 3.0))


def _contours(canvas: Canvas, results: Results) -> None:
    networks, (low, high) = results.settings["networks"], _limits(results)
    panels = canvas.subplots(1, len(networks), sharey=True)
    steps = np.linspace(-results.settings["reach"], results.settings["reach"], results.settings["points"])
    levels = np.linspace(low, high, 15)
    for axes, name in zip(np.atleast_1d(panels), networks, strict=True):
        surface = np.clip(_surface(results, name), low, high)
        filled = axes.contourf(steps, steps, surface, levels, cmap="cividis")
        axes.contour(steps, steps, surface, levels, colors="black", linewidths=0.4)
        axes.plot(0, 0, "+", color="white", markersize=10)
        axes.set(title=title_of(name), xlabel="direction e", aspect="equal")
    np.atleast_1d(panels)[0].set_ylabel("direction d")
    canvas.colorbar(filled, ax=panels, label="log₁₀ loss", shrink=0.85, format="%.1f")


def _surfaces(canvas: Canvas, results: Results) -> None:
    networks, (low, high) = results.settings["networks"], _limits(results)
    steps = np.linspace(-results.settings["reach"], results.settings["reach"], results.settings["points"])
    x, y = np.meshgrid(steps, steps)
    for number, name in enumerate(networks):
        axes: Any = canvas.add_subplot(1, len(networks), number + 1, projection="3d")
        axes.plot_surface(x, y, np.clip(_surface(results, name), low, high), cmap="cividis", vmin=low, vmax=high)
        axes.set(title=title_of(name), zlim=(low, high), xlabel="e", ylabel="d")
        axes.tick_params(labelsize=7)
        for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
            axis.pane.set_visible(False)
        if number == len(networks) - 1:
            axes.set_zlabel("log₁₀ loss")


def table(results: Results) -> Table:
    """Roughness and errors."""
    rows = []
    for name in results.settings["networks"]:
        numbers = (results.mean(name, "roughness", "slice"), 100 * results.mean(name, "nonconvex", "slice"))
        rows.append((title_of(name), *(f"{each:.2f}" for each in numbers), results.text(name, "test_error")))
    headings = ("network", "roughness", "steps outward that go down (%)", "test error (%)")
    return Table(
        headings, tuple(rows), "Roughness: the sum of |second differences| of log(loss) over that of the first."
    )


STUDY = Study(
    name="landscape",
    title="What does a shortcut do to the loss surface?",
    question="Is the loss of a deep network smoother around the solution if it has shortcuts?",
    method=(
        "Networks of two depths are trained with and without shortcuts.",
        "Two random directions are drawn; each filter is scaled to the norm of the trained filter (filter "
        "normalisation). Biases and batch norm stay.",
        "The loss of a fixed subset of the training images is measured on a grid around the trained weights, in eval "
        "mode.",
        "Roughness is one number: how much log(loss) bends from step to step, relative to how much it changes.",
    ),
    presets=PRESETS,
    tasks=tasks,
    run=run,
    figures=figures,
    claims=CLAIMS,
    teacher=(
        (
            "Can two directions of several hundred thousand say anything?",
            "They show no valley that is not there, but they may miss one. What looks convex in a random slice may "
            "curve down in another direction.",
        ),
        (
            "Why filter normalisation?",
            "Batch norm makes a network blind to the scale of its weights. Without it, the same step is small for "
            "large weights and large for small ones, and sharpness would only measure the weights.",
        ),
    ),
    table=table,
)
