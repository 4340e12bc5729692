"""Options A, B and C for the shortcuts of He et al. 2015 (arXiv 1512.03385, §4.1, Table 3): error and cost.

A    zeros for the missing channels, no parameters
B    a 1×1 convolution where the shape changes
C    a 1×1 convolution in every block
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from minires.inspection.summary import summarize
from minires.studies import drawing
from minires.studies.form import Claim, Figure, Settings, Study, Table, Task
from minires.studies.networks import CIFAR, network
from minires.studies.recipe import Recipe
from minires.studies.results import Results, spread
from minires.studies.work import Work

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

OPTIONS = ("A", "B", "C")


@dataclass(frozen=True, kw_only=True)
class ShortcutSettings(Settings):
    """What is varied.

    Attributes:
        depth: Layers of the network.
        recipe: How all of them are trained.
    """

    depth: int
    recipe: Recipe


PRESETS = {
    "quick": ShortcutSettings(depth=20, recipe=Recipe(epochs=5), seeds=3),
    "full": ShortcutSettings(depth=20, recipe=replace(CIFAR, epochs=30), seeds=3),
}


def tasks(settings: ShortcutSettings) -> list[Task]:
    """A training for each option and seed, and the plain network beside them."""
    return [
        Task(config, seed, cost=settings.recipe.cost(settings.depth))
        for seed in range(settings.seeds)
        for config in (*OPTIONS, "plain")
    ]


def run(settings: ShortcutSettings, task: Task, work: Work) -> dict[str, Any]:
    """Train a network and count its parameters and multiply-adds."""
    recipe = settings.recipe
    name = f"{'plain' if task.config == 'plain' else 'resnet'}{settings.depth}"
    options = {} if task.config == "plain" else {"shortcut": task.config}
    trained = work.train(lambda: network(name, recipe, **options), recipe, task.seed)
    summary = summarize(trained.model, (recipe.channels, recipe.size, recipe.size))
    return trained.values | {"multiply_adds": summary.multiply_adds}


def costs(results: Results, key: str) -> dict[str, float]:
    """A number that does not depend on the seed, for each option."""
    return {config: results.mean(config, key) for config in (*OPTIONS, "plain")}


def differences(results: Results) -> dict[str, float]:
    """The largest difference between two options' mean errors, and the spread of one option over the seeds."""
    means = [results.mean(option, "test_error") for option in OPTIONS]
    return {"difference": max(means) - min(means), "spread": spread(results, OPTIONS, "test_error")}


CLAIMS = (
    Claim(
        id="free",
        text="Option A adds no parameters to the plain network.",
        source="He et al. 2015, §3.3",
        criterion="A == plain",
        ours=lambda results: costs(results, "parameters"),
        paper="269,722 parameters with option A and 2,752 more with B (ResNet-20, three colours)",
        otherwise="A parameter was counted that is not trained.",
        certain=True,
    ),
    Claim(
        id="cost",
        text="C costs more than B, and B more than A, in parameters and in multiply-adds.",
        source="He et al. 2015, §4.1",
        criterion="parameters_A < parameters_B < parameters_C and work_A < work_B < work_C",
        ours=lambda results: {
            f"{short}_{option}": results.mean(option, key)
            for short, key in (("parameters", "parameters"), ("work", "multiply_adds"))
            for option in OPTIONS
        },
        otherwise="The counts are exact, so a network is not what its name says.",
        certain=True,
    ),
    Claim(
        id="all-help",
        text="Each of the three options is better than the plain network.",
        source="He et al. 2015, Table 3",
        criterion="max(A, B, C) < plain",
        ours=lambda results: costs(results, "test_error"),
        paper="ImageNet top-1 error, 34 layers: plain 28.54, A 25.03, B 24.52, C 24.19 %",
        otherwise="At 20 layers a plain network still trains well, so little is left to gain.",
    ),
    Claim(
        id="small-differences",
        text="The differences among A, B and C are small: not essential for the degradation problem.",
        source="He et al. 2015, §4.1",
        criterion="difference <= 2 * spread + 0.5",
        ours=differences,
        paper="A 25.03, B 24.52, C 24.19 % on ImageNet, no spread given",
        otherwise="With short trainings a projection in every block (C) may slow learning down.",
    ),
)


def figures(results: Results) -> list[Figure]:
    """Errors with their spread, beside the cost."""
    return [
        Figure(
            "errors",
            "Left: the test error of each option; a mark is one seed, the bar their mean. Right: parameters and "
            "multiply-adds of one image, relative to option A.",
            lambda canvas: _errors(canvas, results),
        )
    ]


def _errors(canvas: Canvas, results: Results) -> None:
    errors, cost = canvas.subplots(1, 2)
    configs = [config for config in (*OPTIONS, "plain") if config in results.configs()]
    hatches = ("", "//", "..", "xx")
    for number, config in enumerate(configs):
        found = results.values(config, "test_error")
        color = drawing.COLORS[number]
        errors.bar(number, np.mean(found), color=color, alpha=0.45, hatch=hatches[number], edgecolor=color)
        errors.plot([number] * len(found), found, drawing.MARKERS[number], color=color)
    errors.set_xticks(range(len(configs)), configs)
    errors.set(xlabel="shortcut", ylabel="test error (%)")
    base = {key: results.mean("A", key) for key in ("parameters", "multiply_adds")}
    for offset, (key, label) in enumerate((("parameters", "parameters"), ("multiply_adds", "multiply-adds"))):
        values = [results.mean(config, key) / base[key] for config in configs]
        where = np.arange(len(configs)) + (offset - 0.5) * 0.38
        cost.bar(where, values, 0.36, label=label, color=drawing.COLORS[offset], hatch=("", "//")[offset], ec="white")
    cost.set_xticks(range(len(configs)), configs)
    cost.set(xlabel="shortcut", ylabel="relative to option A", ylim=(0.9, None))
    cost.legend()
    for axes in (errors, cost):
        axes.grid(axis="y")
        axes.set_axisbelow(True)


def table(results: Results) -> Table:
    """Errors and costs."""
    rows = [
        (
            config,
            f"{results.mean(config, 'parameters'):,.0f}",
            f"{results.mean(config, 'multiply_adds') / 1e6:.2f}",
            results.text(config, "train_error"),
            results.text(config, "test_error"),
        )
        for config in results.configs()
    ]
    headings = ("shortcut", "parameters", "multiply-adds (10⁶)", "training error (%)", "test error (%)")
    return Table(headings, tuple(rows), "Mean and standard deviation over the seeds.")


STUDY = Study(
    name="shortcuts",
    title="Zeros or projections: which shortcut?",
    question="Does it matter how a shortcut changes the shape?",
    method=(
        "The same residual network is trained with shortcuts of option A, B and C, and without any.",
        "A pads with zeros, B projects by a 1×1 convolution where the shape changes, C projects in every block.",
        "Each is trained with several seeds, because the differences are smaller than the spread.",
        "Parameters and multiply-adds are counted, not estimated.",
    ),
    presets=PRESETS,
    tasks=tasks,
    run=run,
    figures=figures,
    claims=CLAIMS,
    teacher=(
        (
            "Why does the paper prefer A on CIFAR-10 and B on ImageNet?",
            "A has no parameters, so the comparison with the plain network is fair. B is a little better at little "
            "cost. C projects where nothing needs to be projected, and in bottlenecks that would double the work.",
        ),
        (
            "Does a projection break the identity?",
            "Yes, at that block: what it hands on is no longer x. Options A and B do so in two blocks only; C in all.",
        ),
    ),
    table=table,
)
