"""What recipes of training and testing are worth: schedules, augmentation, weight decay, views in testing, ensembles.

view      softmax averaged over several versions of an image: flipped, ten crops, several sizes
ensemble  softmax averaged over several networks that differ in their seed alone
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from minires import functional as F
from minires.core.modes import no_grad
from minires.core.tensor import Tensor
from minires.nn import Module
from minires.studies import practice_findings as findings
from minires.studies.form import Settings, Study, Task
from minires.studies.networks import CIFAR, depth_of, network
from minires.studies.recipe import Recipe
from minires.studies.work import Work

Images = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class PracticeSettings(Settings):
    """What is varied.

    Attributes:
        network: The network.
        recipe: The usual recipe: one-cycle, no augmentation, weight decay.
        members: Networks of the ensemble: seeds of the usual recipe.
    """

    network: str
    recipe: Recipe
    members: int = 5


PRESETS = {
    "quick": PracticeSettings(network="resnet20", recipe=Recipe(epochs=5), seeds=2),
    "full": PracticeSettings(network="resnet20", recipe=replace(CIFAR, epochs=30, augment=False), seeds=3),
}
USUAL = "usual"


def variants(recipe: Recipe) -> dict[str, Recipe]:
    """{configuration: recipe}; each differs from the usual one in one thing."""
    return {
        USUAL: recipe,
        "step": replace(recipe, schedule="step", lr=recipe.lr / 2),
        "cosine": replace(recipe, schedule="cosine"),
        "constant": replace(recipe, schedule="constant", lr=recipe.lr / 2),
        "no-weight-decay": replace(recipe, weight_decay=0.0),
        "augmented": replace(recipe, augment=True),
    }


def tasks(settings: PracticeSettings) -> list[Task]:
    """A training for each variant and seed, of the usual one for each member; views and ensembles of these."""
    found, layers = [], depth_of(settings.network)
    for config, recipe in variants(settings.recipe).items():
        count = max(settings.seeds, settings.members) if config == USUAL else settings.seeds
        found += [Task(config, seed, cost=recipe.cost(layers)) for seed in range(count)]
    members = tuple(Task(USUAL, seed).name for seed in range(settings.members))
    found.append(Task(USUAL, 0, "views", members[:1], settings.recipe.cost(layers) / 2))
    found.append(Task(USUAL, 0, "ensemble", members, settings.recipe.cost(layers) / 2))
    return found


def run(settings: PracticeSettings, task: Task, work: Work) -> dict[str, Any]:
    """Train a network, or test networks in other ways."""
    recipe = variants(settings.recipe)[task.config]
    if task.step == "train":
        return work.train(lambda: network(settings.network, recipe), recipe, task.seed).values
    images = recipe.images(False, work.data_dir)
    batches = [(np.asarray(x), np.asarray(y)) for x, y in images.loader(recipe.evaluation_batch).epoch(0)]
    models = [work.load(network(settings.network, recipe), name) for name in task.after]
    if task.step == "views":
        return {name: error(models[:1], batches, views) for name, views in views_of(recipe.size).items()}
    return {"errors": [error(models[: count + 1], batches, (lambda x: x,)) for count in range(len(models))]}


View = Callable[[Images], Images]


def views_of(size: int) -> dict[str, tuple[View, ...]]:
    """{way of testing: the views of a batch (N, C, H, W)}."""
    crop = size - max(size // 8, 1)

    def cut(top: int, left: int, mirrored: bool) -> View:
        return lambda x: (
            flipped(x[:, :, top : top + crop, left : left + crop])
            if mirrored
            else (x[:, :, top : top + crop, left : left + crop])
        )

    edge, middle = size - crop, (size - crop) // 2
    corners = ((0, 0), (0, edge), (edge, 0), (edge, edge), (middle, middle))
    same: View = lambda x: x  # noqa: E731
    return {
        "one": (same,),
        "flip": (same, flipped),
        "ten_crop": tuple(cut(top, left, mirrored) for top, left in corners for mirrored in (False, True)),
        "multi_scale": tuple(scaled(factor) for factor in (0.75, 1.0, 1.25)),
    }


def flipped(x: Images) -> Images:
    """Mirrored left to right."""
    return np.ascontiguousarray(x[:, :, :, ::-1])


def scaled(factor: float) -> View:
    """Resized by a factor, bilinearly."""

    def resize(x: Images) -> Images:
        size = round(x.shape[2] * factor)
        return F.interpolate(Tensor(x), size=(size, size), mode="bilinear").numpy()

    return resize


def error(models: list[Module], batches: list[tuple[Images, Any]], views: tuple[View, ...]) -> float:
    """The test error in percent of the mean softmax over models and views."""
    wrong = total = 0
    with no_grad():
        for images, labels in batches:
            probabilities = sum(
                F.softmax(model(Tensor(np.ascontiguousarray(view(images)))), 1).numpy()
                for model in models
                for view in views
            )
            wrong += int((np.asarray(probabilities).argmax(axis=1) != labels).sum())
            total += len(labels)
    return 100 * wrong / total


STUDY = Study(
    name="practice",
    title="What are the recipes worth?",
    question="Schedules, augmentation, weight decay, test-time views, ensembles: what does each bring?",
    method=(
        "One network is trained by a usual recipe, and by recipes that differ from it in one thing each.",
        "Each recipe is run with several seeds; the effect is the difference of the mean test errors.",
        "Step and constant schedules run at half of the largest rate of the one-cycle schedule.",
        "A trained network is also tested on several views of each image: mirrored, ten crops, three sizes.",
        "Networks that differ in the seed alone form ensembles of one to five.",
    ),
    presets=PRESETS,
    tasks=tasks,
    run=run,
    figures=findings.figures,
    claims=findings.CLAIMS,
    teacher=findings.TEACHER,
    table=findings.table,
)
