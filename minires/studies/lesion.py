"""Delete or reorder blocks of a trained network: who notices? (Veit et al. 2016, arXiv 1605.06431)

delete      y = relu(s(x))     of a residual block: its F is left out, the shortcut stays
            y = x              of a plain block, which is all there is; one that changes the shape cannot go
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minires.core.random import manual_seed
from minires.nn import Module
from minires.studies import lesion_findings as findings
from minires.studies.form import Settings, Study, Task
from minires.studies.networks import CIFAR, blocks_of, network
from minires.studies.recipe import Recipe
from minires.studies.work import Work
from minires.training import evaluate


@dataclass(frozen=True, kw_only=True)
class LesionSettings(Settings):
    """What is varied and measured.

    Attributes:
        residual, plain: The networks that are trained and damaged.
        recipe: How they are trained.
        deletions: How many blocks are deleted at a time.
        swaps: How many pairs of blocks (of equal shape) change places.
        draws: Random choices for each number.
        survival: A residual network is trained with stochastic depth too, so that only short paths learn: the
            probability that its last block computes F.
    """

    residual: str
    plain: str
    recipe: Recipe
    deletions: tuple[int, ...]
    swaps: tuple[int, ...]
    draws: int
    survival: float = 0.5


PRESETS = {
    "quick": LesionSettings(
        residual="resnet56",
        plain="plain20",
        recipe=Recipe(epochs=6),
        deletions=(1, 2, 4, 6, 8, 12),
        swaps=(1, 2, 4, 8),
        draws=4,
    ),
    "full": LesionSettings(
        residual="resnet56",
        plain="plain20",
        recipe=replace(CIFAR, epochs=30),
        deletions=(1, 2, 3, 4, 6, 8, 10, 12, 16, 20),
        swaps=(1, 2, 4, 8, 12, 16),
        draws=10,
    ),
}
SHORT = "short-paths"  # the configuration that is trained with stochastic depth


def tasks(settings: LesionSettings) -> list[Task]:
    """Three trainings, and the damage to two of them."""
    found = []
    for seed in range(settings.seeds):
        for config in (settings.residual, settings.plain, SHORT):
            found.append(Task(config, seed, cost=settings.recipe.cost(40)))
        for config in (settings.residual, settings.plain):
            found.append(Task(config, seed, "lesion", (f"{config}-train-{seed}",), settings.recipe.cost(20)))
    return found


def run(settings: LesionSettings, task: Task, work: Work) -> dict[str, Any]:
    """Train a network, or damage a trained one in all ways."""
    if task.step == "train":
        short = task.config == SHORT
        name, options = (settings.residual, {"survival": settings.survival}) if short else (task.config, {})
        return work.train(lambda: network(name, settings.recipe, **options), settings.recipe, task.seed).values
    manual_seed(task.seed)
    model = work.load(network(task.config, settings.recipe), task.after[0])
    return damages(model, settings, work)


def damages(model: Module, settings: LesionSettings, work: Work) -> dict[str, Any]:
    """Test errors in percent: "whole", by deleted block, by number of deletions, by Kendall's distance."""
    loader = settings.recipe.images(False, work.data_dir).loader(settings.recipe.evaluation_batch)
    blocks, rng = blocks_of(model), np.random.default_rng(0)
    removable = [i for i, (_, block) in enumerate(blocks) if can_be_removed(block)]
    total = len(blocks) + settings.draws * (len(settings.deletions) + len(settings.swaps))
    done = 0

    def error() -> float:
        nonlocal done
        done += 1
        work.report(min(done / total, 1.0))
        return 100 - evaluate(model, loader).top1

    found: dict[str, Any] = {"whole": error(), "single": [], "deletions": [], "reorderings": []}
    for i, (name, block) in enumerate(blocks):
        if i in removable:
            with deleted([block]):
                changes = block.downsample is not None
                found["single"].append({"block": name, "changes_shape": changes, "error": error()})
    same_shape = [i for i in removable if blocks[i][1].downsample is None]
    for count in settings.deletions:
        if count <= len(same_shape):
            draws = [rng.choice(same_shape, count, replace=False) for _ in range(settings.draws)]
            errors = []
            for chosen in draws:
                with deleted([blocks[i][1] for i in chosen]):
                    errors.append(error())
            found["deletions"].append({"count": count, "errors": errors})
    for swaps in settings.swaps:
        for _ in range(settings.draws):
            order = shuffled(blocks, swaps, rng)
            with reordered(blocks, order):
                found["reorderings"].append({"distance": kendall(order), "error": error()})
    return found


def can_be_removed(block: Any) -> bool:
    """Whether the shapes fit without the block's F: always with a shortcut, else only if the block keeps the shape."""
    conv = block.conv1
    return not block.plain or (conv.in_channels == conv.out_channels and tuple(conv.stride) == (1, 1))


@contextmanager
def deleted(blocks: Sequence[Any]) -> Iterator[None]:
    """Within it, the blocks are left out: a residual one is its shortcut and the ReLU, a plain one hands on x."""

    def without(block: Any) -> Any:
        return (lambda x: x) if block.plain else (lambda x: block.relu(block.shortcut(x)))

    for block in blocks:
        object.__setattr__(block, "forward", without(block))
    try:
        yield
    finally:
        for block in blocks:
            object.__delattr__(block, "forward")


def shuffled(blocks: Sequence[tuple[str, Any]], swaps: int, rng: np.random.Generator) -> list[int]:
    """An order of the blocks after `swaps` exchanges of two blocks of a stage; blocks that change the shape stay."""
    order = list(range(len(blocks)))
    stages = [name.split(".")[0] for name, _ in blocks]
    movable = [i for i, (_, block) in enumerate(blocks) if block.downsample is None and can_be_removed(block)]
    for _ in range(swaps):
        first = int(rng.choice(movable))
        others = [i for i in movable if stages[i] == stages[first] and i != first]
        second = int(rng.choice(others))
        order[first], order[second] = order[second], order[first]
    return order


@contextmanager
def reordered(blocks: Sequence[tuple[str, Any]], order: Sequence[int]) -> Iterator[None]:
    """Within it, the i-th block does what block order[i] does."""
    original = [block.forward for _, block in blocks]
    moved = [i for i, other in enumerate(order) if i != other]
    for i in moved:
        object.__setattr__(blocks[i][1], "forward", original[order[i]])
    try:
        yield
    finally:
        for i in moved:
            object.__delattr__(blocks[i][1], "forward")


def kendall(order: Sequence[int]) -> int:
    """Kendall's τ distance of an order from the original one: how many pairs stand the other way round."""
    return sum(order[i] > order[j] for i in range(len(order)) for j in range(i + 1, len(order)))


STUDY = Study(
    name="lesion",
    title="Delete or reorder blocks of a trained network: who notices?",
    question="What does a trained network lose with one of its blocks?",
    method=(
        "A residual and a plain network are trained, and then damaged without training them again.",
        "Deleting a residual block leaves out its F; the shortcut and the ReLU stay. Deleting a plain block hands on "
        "its input; plain blocks that change the shape cannot be deleted.",
        "Each block is deleted by itself, then several at random.",
        "Blocks of a stage change places; the distance is Kendall's τ, the number of pairs in the wrong order.",
        "Another residual network learns with stochastic depth: in each step about a quarter of its blocks are their "
        "shortcuts, so that long paths hardly learn.",
    ),
    presets=PRESETS,
    tasks=tasks,
    run=run,
    figures=findings.figures,
    claims=findings.CLAIMS,
    teacher=findings.TEACHER,
    table=findings.table,
)
