"""The deeper plain net contains the shallower one: does SGD find it? (He et al. 2015, arXiv 1512.03385, §1)

A deeper network "by construction" is a trained shallower one with layers that hand on their input. Such a layer exists:
a 3×3 convolution that is 1 at its centre, from each channel to itself, batch norm that changes nothing, and a ReLU
whose input is never negative because a ReLU comes before it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from minires import nn
from minires.core.random import manual_seed
from minires.nn import Module
from minires.studies import drawing
from minires.studies.form import Claim, Figure, Settings, Study, Table, Task
from minires.studies.networks import CIFAR, depth_of, network
from minires.studies.recipe import Recipe
from minires.studies.results import Results
from minires.studies.work import Work

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


@dataclass(frozen=True, kw_only=True)
class ConstructionSettings(Settings):
    """What is varied.

    Attributes:
        shallow, deep: The plain networks.
        recipe: How both are trained from random weights.
        further: How the constructed network is trained on.
    """

    shallow: str
    deep: str
    recipe: Recipe
    further: Recipe


PRESETS = {
    "quick": ConstructionSettings(
        shallow="plain20", deep="plain56", recipe=Recipe(epochs=6), further=Recipe(epochs=4, lr=0.01)
    ),
    "full": ConstructionSettings(
        shallow="plain20",
        deep="plain56",
        recipe=replace(CIFAR, epochs=30),
        further=replace(CIFAR, epochs=15, lr=0.02),
    ),
}


def tasks(settings: ConstructionSettings) -> list[Task]:
    """Both from random weights; then the deep network made of the shallow one, and trained on."""
    found = []
    for seed in range(settings.seeds):
        shallow = Task("shallow", seed, cost=settings.recipe.cost(depth_of(settings.shallow)))
        found += [shallow, Task("deep", seed, cost=settings.recipe.cost(depth_of(settings.deep)))]
        found.append(Task("constructed", seed, "start", (shallow.name,), cost=0.1 * shallow.cost))
        cost = settings.further.cost(depth_of(settings.deep))
        found.append(Task("constructed", seed, "train", (shallow.name,), cost=cost))
    return found


def run(settings: ConstructionSettings, task: Task, work: Work) -> dict[str, Any]:
    """Train from random weights, or construct and measure, or construct and train on."""
    if task.config in ("shallow", "deep"):
        name = settings.shallow if task.config == "shallow" else settings.deep
        return work.train(lambda: network(name, settings.recipe), settings.recipe, task.seed).values

    def constructed() -> Module:
        shallow = work.load(network(settings.shallow, settings.recipe), task.after[0])
        return extended(shallow, network(settings.deep, settings.recipe))

    if task.step == "start":
        manual_seed(task.seed)
        return work.errors(constructed().eval(), settings.recipe)
    return work.train(constructed, settings.further, task.seed).values


def extended(shallow: Any, deep: Any) -> Module:
    """`deep` with the blocks of `shallow` at the beginning of each stage, and blocks behind them that hand on x."""
    deep.load_state_dict({**deep.state_dict(), **shallow.state_dict()})
    for stage in deep.stages:
        count = len(getattr(shallow, stage))
        for block in list(getattr(deep, stage))[count:]:
            for conv, norm in ((block.conv1, block.bn1), (block.conv2, block.bn2)):
                hand_on(conv, norm)
    return deep


def hand_on(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Let conv and norm, in eval mode, be the identity: the norm divides by √(variance + ε), so its weight is that."""
    weight = np.zeros(conv.weight.shape, conv.weight.dtype)
    for channel in range(weight.shape[0]):
        weight[channel, channel, 1, 1] = 1
    conv.weight.assign_(weight)
    norm.weight.assign_(np.full(norm.weight.shape, np.sqrt(1 + norm.eps), np.float32))
    nn.init.zeros_(norm.bias)
    norm.running_mean.assign_(np.zeros(norm.running_mean.shape, np.float32))
    norm.running_var.assign_(np.ones(norm.running_var.shape, np.float32))


def errors(results: Results, key: str) -> dict[str, float]:
    """An error of all four."""
    found = {config: results.mean(config, key) for config in ("shallow", "deep")}
    start, end = results.mean("constructed", key, "start"), results.mean("constructed", key)
    return found | {"constructed": start, "trained_on": end}


CLAIMS = (
    Claim(
        id="exists",
        text="A deeper plain network with the shallower one's error exists: it can be constructed.",
        source="He et al. 2015, §1",
        criterion="abs(constructed - shallow) < 0.1",
        ours=lambda results: errors(results, "train_error"),
        paper="“a solution by construction”; the error must not be higher",
        otherwise="Rounding in float32 moves a few images that lie between two classes.",
        certain=True,
    ),
    Claim(
        id="not-found",
        text="Trained from random weights, the deeper network does not find a solution as good.",
        source="He et al. 2015, §1 and §4.2",
        criterion="deep > constructed",
        ours=lambda results: errors(results, "train_error"),
        paper="plain-56 above plain-20 throughout (curves only)",
        otherwise="The shallow network may be far from converged itself.",
        certain=True,
    ),
    Claim(
        id="kept",
        text="Training on from the construction keeps its error.",
        source="this study",
        criterion="trained_on <= constructed + 2",
        ours=lambda results: errors(results, "train_error"),
        otherwise="The construction holds in eval mode. In training batch norm uses the batch's statistics, which the "
        "inserted layers do not expect: they normalise what they should hand on, and the first steps destroy it.",
    ),
)


def figures(results: Results) -> list[Figure]:
    """Errors of the four, and the curve of training on."""
    return [
        Figure(
            "construction",
            "Left: training error of the shallow network, the deep one from random weights, the deep one constructed "
            "of the shallow one, and the same after training on. Right: the loss of the two deep networks by epoch.",
            lambda canvas: _draw(canvas, results),
        )
    ]


def _draw(canvas: Canvas, results: Results) -> None:
    bars, curves = canvas.subplots(1, 2)
    found = errors(results, "train_error")
    hatches = ("", "//", "..", "xx")
    for number, error in enumerate(found.values()):
        color = drawing.COLORS[number]
        bars.bar(number, error, color=color, alpha=0.6, hatch=hatches[number], edgecolor=color)
        bars.annotate(f"{error:.1f}", (number, error), ha="center", va="bottom")
    bars.set_xticks(range(len(found)), [name.replace("_", "\n") for name in found])
    bars.set(ylabel="training error (%)")
    for number, (config, label) in enumerate(
        (("deep", "from random weights"), ("constructed", "from the construction"))
    ):
        records = results.seeds(config)[0]["epochs"]
        where = range(1, len(records) + 1)
        curves.plot(where, [record["train_loss"] for record in records], label=label, **drawing.series(number + 1))
    curves.set(xlabel="epoch", ylabel="training loss", yscale="log")
    curves.legend()
    drawing.grid(curves)
    drawing.whole_numbers(curves)


def table(results: Results) -> Table:
    """Training and test errors."""
    training, test = errors(results, "train_error"), errors(results, "test_error")
    rows = tuple((name.replace("_", " "), f"{training[name]:.2f}", f"{test[name]:.2f}") for name in training)
    return Table(("network", "training error (%)", "test error (%)"), rows, "In eval mode, mean over the seeds.")


STUDY = Study(
    name="construction",
    title="The deeper plain net contains the shallower one: does SGD find it?",
    question="Can a deeper plain network do what a shallower one does, and does training find it?",
    method=(
        "A shallow and a deep plain network are trained from random weights.",
        "The deep one is also constructed: the trained blocks of the shallow one, and behind them blocks that hand on "
        "their input exactly.",
        "A block hands on its input if its convolutions are 1 at the centre, from each channel to itself, and its "
        "batch norms change nothing; its ReLUs do not matter, since their inputs are not negative.",
        "The constructed network is measured, and then trained on with a small learning rate.",
    ),
    presets=PRESETS,
    tasks=tasks,
    run=run,
    figures=figures,
    claims=CLAIMS,
    teacher=(
        (
            "What does the argument show?",
            "That the degradation of deep plain networks is not a lack of capacity. A good solution exists; what "
            "fails is the search for it.",
        ),
        (
            "And what does a shortcut change about it?",
            "For a residual block, handing on its input means F = 0, which weight decay and small weights are near to "
            "anyway. For a plain block it means a very particular set of weights.",
        ),
    ),
    table=table,
)
