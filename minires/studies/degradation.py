"""Does depth hurt without shortcuts? (He et al. 2015, arXiv 1512.03385, Fig. 1 and 6; Li et al. 2018, Table 1)"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from minires.studies import drawing
from minires.studies.form import Claim, Figure, Settings, Study, Table, Task
from minires.studies.networks import CIFAR, depth_of, kind_of, network, title_of
from minires.studies.recipe import Recipe
from minires.studies.results import Results
from minires.studies.work import Work

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

KINDS = ("plain", "resnet")


@dataclass(frozen=True, kw_only=True)
class DegradationSettings(Settings):
    """What is varied.

    Attributes:
        depths: Layers, 6n + 2; each with and without shortcuts.
        recipe: How all of them are trained.
    """

    depths: tuple[int, ...]
    recipe: Recipe


PRESETS = {
    "quick": DegradationSettings(depths=(20, 56), recipe=Recipe(epochs=6)),
    "full": DegradationSettings(depths=(20, 32, 44, 56), recipe=replace(CIFAR, epochs=40), seeds=1),
}


def tasks(settings: DegradationSettings) -> list[Task]:
    """A training for each kind, depth and seed."""
    return [
        Task(f"{kind}{depth}", seed, cost=settings.recipe.cost(depth))
        for seed in range(settings.seeds)
        for depth in settings.depths
        for kind in KINDS
    ]


def run(settings: DegradationSettings, task: Task, work: Work) -> dict[str, Any]:
    """Train one network. Networks of equal depth and seed start with the same weights."""
    return work.train(lambda: network(task.config, settings.recipe), settings.recipe, task.seed).values


def errors(results: Results, key: str) -> dict[str, float]:
    """The errors of the shallowest and the deepest network of both kinds."""
    depths = sorted(results.settings["depths"])
    return {
        f"{kind}_{which}": results.mean(f"{kind}{depth}", key)
        for which, depth in (("shallow", depths[0]), ("deep", depths[-1]))
        for kind in KINDS
    }


def gaps(results: Results) -> dict[str, float]:
    """Test error minus training error."""
    training, test = errors(results, "train_error"), errors(results, "test_error")
    return {name: test[name] - training[name] for name in training}


CLAIMS = (
    Claim(
        id="plain-degrades",
        text="A deeper plain network has a higher training error than a shallower one.",
        source="He et al. 2015, Fig. 1 and 6 (left)",
        criterion="plain_deep > plain_shallow",
        ours=lambda results: errors(results, "train_error"),
        paper="plain-56 above plain-20 throughout (curves only)",
        otherwise="With as few images and epochs both may still be far from converged, or both may fit everything.",
        certain=True,
    ),
    Claim(
        id="residual-gains",
        text="A deeper residual network has no higher training error than a shallower one.",
        source="He et al. 2015, Fig. 6 (middle)",
        criterion="resnet_deep <= resnet_shallow + 0.5",
        ours=lambda results: errors(results, "train_error"),
        paper="ResNet-56 below ResNet-20; test errors 6.97 and 8.75 %",
        otherwise="In a short training a deeper network has not yet drawn level.",
    ),
    Claim(
        id="shortcut-decides",
        text="At the larger depth the network with shortcuts is clearly better on the test images.",
        source="Li et al. 2018, Table 1; an independent run at 40 epochs",
        criterion="plain_deep - resnet_deep > 3",
        ours=lambda results: errors(results, "test_error"),
        paper="56 layers, error 5.89 % with, 13.31 % without (300 epochs); accuracy 90.9 against 78.8 % at 40 epochs",
        otherwise="The depth, the data or the number of epochs may be too small for the difference to show.",
        certain=True,
    ),
    Claim(
        id="not-overfitting",
        text="The deep plain network is not worse because it overfits: its gap between test and training is not "
        "larger.",
        source="He et al. 2015, §4.1",
        criterion="plain_deep <= resnet_deep + 3",
        ours=gaps,
        paper="“unlikely to be caused by overfitting”: the training error is higher too",
        otherwise="Batch norm's running statistics may fit the test images worse where training is unstable.",
    ),
)


def figures(results: Results) -> list[Figure]:
    """The curves of training, and the errors at the end by depth."""
    return [
        Figure(
            "curves",
            "Loss on the training images (running mean of each epoch) and error on the test images, by epoch. Plain "
            "networks are drawn with dashes, darker and lighter colours are depths.",
            lambda canvas: _curves(canvas, results),
        ),
        Figure(
            "depth",
            "Errors after the last epoch by depth; bars show the spread over the seeds, where there are several.",
            lambda canvas: _depth(canvas, results),
        ),
    ]


def _curves(canvas: Canvas, results: Results) -> None:
    loss, error = canvas.subplots(1, 2)
    for number, config in enumerate(results.configs()):
        records = results.seeds(config)[0]["epochs"]
        style = drawing.series(number // 2) | {"linestyle": "-" if kind_of(config) == "resnet" else "--"}
        style["marker"] = "o" if kind_of(config) == "resnet" else "s"
        epochs = [i + 1 for i in range(len(records))]
        loss.plot(epochs, [record["train_loss"] for record in records], label=title_of(config), **style)
        error.plot(epochs, [100 - record["validation_accuracy"] for record in records], **style)
    loss.set(xlabel="epoch", ylabel="training loss", yscale="log")
    error.set(xlabel="epoch", ylabel="test error (%)")
    for axes in (loss, error):
        drawing.grid(axes)
        drawing.whole_numbers(axes)
    loss.legend()


def _depth(canvas: Canvas, results: Results) -> None:
    panels = canvas.subplots(1, 2, sharey=True)
    for axes, (key, title) in zip(panels, (("train_error", "training"), ("test_error", "test")), strict=True):
        for number, kind in enumerate(KINDS):
            configs = [config for config in results.configs() if kind_of(config) == kind]
            where = [depth_of(config) for config in configs]
            spreads = [results.deviation(config, key) for config in configs]
            style = drawing.series(1 - number)
            axes.errorbar(where, [results.mean(c, key) for c in configs], spreads, label=kind, capsize=3, **style)
        axes.set(xlabel="layers", title=f"{title} images")
        drawing.grid(axes)
    panels[0].set_ylabel("error (%)")
    panels[1].legend()


def table(results: Results) -> Table:
    """Errors of each network."""
    rows = []
    for config in results.configs():
        gap = results.mean(config, "test_error") - results.mean(config, "train_error")
        cells = (results.text(config, "train_error"), results.text(config, "test_error"), f"{gap:.2f}")
        rows.append((title_of(config), f"{results.mean(config, 'parameters'):,.0f}", *cells))
    headings = ("network", "parameters", "training error (%)", "test error (%)", "gap")
    return Table(headings, tuple(rows), "After the last epoch, in eval mode; training images without augmentation.")


STUDY = Study(
    name="degradation",
    title="Does depth hurt without shortcuts?",
    question="Do deeper networks learn worse, and does a shortcut change that?",
    method=(
        "Networks of several depths are trained with the same recipe, each with shortcuts (option A, no parameters) "
        "and without.",
        "Networks of equal depth and seed start with the same weights and see the same images in the same order.",
        "What counts is the error on the images that they learn from: a network that overfits is good at these.",
        "It is measured after training, in eval mode and without augmentation.",
    ),
    presets=PRESETS,
    tasks=tasks,
    run=run,
    figures=figures,
    claims=CLAIMS,
    teacher=(
        (
            "Why is that surprising?",
            "A deeper network can do all that a shallower one does: its additional layers need only hand on their "
            "input. That it does not find such weights is a failure of training, not of capacity.",
        ),
        (
            "Is it the vanishing gradient?",
            "Not in its usual form: batch norm keeps the signals in range. The study of gradient flow shows what "
            "happens instead before the first step.",
        ),
    ),
    table=table,
)
