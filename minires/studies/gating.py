"""Is identity the best shortcut? (He et al. 2016, arXiv 1603.05027, Table 1; Srivastava, January 2025, disputes it.)

    y = relu(F(x) + x)                      identity
    y = relu(a·F(x) + b·x)                  constant scaling
    y = relu(g·F(x) + (1 − g)·x)            exclusive gating, g = σ(W x + b) with a 1×1 convolution W
    y = relu(F(x) + (1 − g)·x)              shortcut-only gating
    y = relu(F(x) + W x)                    1×1 convolution
    y = relu(F(x) + dropout(x))             dropout

Srivastava's gate is exclusive and has two 3×3 convolutions with batch norm. Beside it stands an identity network with
about as many parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minires import models
from minires.nn import Module
from minires.studies import gating_findings as findings
from minires.studies.form import Settings, Study, Task
from minires.studies.gating_findings import DISPUTED, SHORTCUTS, TWO_CONVS
from minires.studies.recipe import Recipe
from minires.studies.work import Work


@dataclass(frozen=True, kw_only=True)
class GatingSettings(Settings):
    """What is varied.

    Attributes:
        depth: Layers of the networks, 6n + 2.
        recipe: How they are trained.
    """

    depth: int
    recipe: Recipe


PRESETS = {
    "quick": GatingSettings(depth=20, recipe=Recipe(epochs=6, batch_size=64, lr=0.05)),
    "full": GatingSettings(
        seeds=3,
        depth=32,
        recipe=Recipe("cifar10", epochs=15, batch_size=128, lr=0.2, weight_decay=5e-4, augment=True),
    ),
}


def network(config: str, settings: GatingSettings) -> Module:
    """The network with one kind of shortcut; option A where the size changes."""
    options = SHORTCUTS[config][1] if config in SHORTCUTS else DISPUTED[config][1]
    return models.cifar_resnet(settings.depth, in_channels=settings.recipe.channels, **options)


def tasks(settings: GatingSettings) -> list[Task]:
    """Each network is trained with each seed."""
    dearer = {TWO_CONVS: 3.0, "exclusive-0": 1.6, "exclusive-6": 1.6, "shortcut-only-0": 1.6, "shortcut-only-6": 1.6}
    return [
        Task(config, seed, cost=settings.recipe.cost(settings.depth) * dearer.get(config, 1.0))
        for seed in range(settings.seeds)
        for config in (*SHORTCUTS, *DISPUTED)
    ]


def run(settings: GatingSettings, task: Task, work: Work) -> dict[str, Any]:
    """Train one network."""
    return work.train(lambda: network(task.config, settings), settings.recipe, task.seed).values


STUDY = Study(
    name="gating",
    title="Is identity the best shortcut?",
    question="Is identity the best shortcut, or can a gate do better?",
    method=(
        "Networks of one depth differ in nothing but what is done to the shortcut, and to F(x), before they are added.",
        "Gates are σ(W x + b): with a 1×1 convolution W as He et al. have them, b = 0 or −6 at the start.",
        "Srivastava's gate has two 3×3 convolutions, each with batch norm; the last one's bias starts as −6.",
        "That gate costs as much as F. So its network has 7/8 of the width, as in his note, and is compared with an "
        "identity network of width 20, which has about as many parameters.",
        "All train alike: the same images in the same order, the same schedule.",
        "Where a criterion says spread, it is the larger of the standard deviation over the seeds and the standard "
        "error of counting mistakes among the test images.",
    ),
    presets=PRESETS,
    tasks=tasks,
    run=run,
    figures=findings.figures,
    claims=findings.CLAIMS,
    teacher=findings.TEACHER,
    table=findings.table,
)
