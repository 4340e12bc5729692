"""In which order do batch norm, ReLU and the sum stand best? (He et al. 2016, arXiv 1603.05027, Table 2 and Fig. 4)

    original            conv BN ReLU conv BN       sum ReLU
    BN after the sum    conv BN ReLU conv          sum BN ReLU
    ReLU before the sum conv BN ReLU conv BN ReLU  sum
    ReLU-only           ReLU conv BN ReLU conv BN  sum
    full                BN ReLU conv BN ReLU conv  sum

The networks have the same layers and as many parameters. Only from the last two does an unbroken sum run from the first
block to the last.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from minires import data, models
from minires import functional as F
from minires.core.random import manual_seed
from minires.core.tensor import Tensor
from minires.nn import Module
from minires.studies import preactivation_findings as findings
from minires.studies.form import Settings, Study, Task
from minires.studies.preactivation_findings import LABELS, STEPS
from minires.studies.recipe import Recipe
from minires.studies.work import Work


@dataclass(frozen=True, kw_only=True)
class PreactivationSettings(Settings):
    """What is varied.

    Attributes:
        depths: Layers of the networks that are trained, 6n + 2.
        recipe: How they are trained.
        deep: Layers of the very deep network of bottlenecks, 9n + 2.
        deep_steps: Its steps.
        deep_batch: Images a step.
        deep_lr: Its learning rate, which is constant.
    """

    depths: tuple[int, ...]
    recipe: Recipe
    deep: int
    deep_steps: int
    deep_batch: int
    deep_lr: float


PRESETS = {
    "quick": PreactivationSettings(
        depths=(20, 56),
        recipe=Recipe(epochs=5, batch_size=64, lr=0.05),
        deep=1001,
        deep_steps=30,
        deep_batch=16,
        deep_lr=0.01,
    ),
    "full": PreactivationSettings(
        seeds=3,
        depths=(20, 56, 110),
        recipe=Recipe("cifar10", epochs=15, batch_size=128, lr=0.2, weight_decay=5e-4, augment=True),
        deep=1001,
        deep_steps=300,
        deep_batch=32,
        deep_lr=0.01,
    ),
}


def tasks(settings: PreactivationSettings) -> list[Task]:
    """Each order at each depth, and the first steps of the very deep network in the first order and the last."""
    found = []
    for seed in range(settings.seeds):
        found += [
            Task(f"{order}-{depth}", seed, cost=settings.recipe.cost(depth))
            for depth in settings.depths
            for order in LABELS
        ]
    cost = settings.deep_steps * settings.deep_batch * settings.deep * (settings.recipe.size**2 + 64) / 1e6
    return found + [Task(f"{order}-{settings.deep}", step=STEPS, cost=cost) for order in ("original", "full")]


def run(settings: PreactivationSettings, task: Task, work: Work) -> dict[str, Any]:
    """Train one network, or do its first steps."""
    order, depth = task.config.split("-")
    if task.step == STEPS:
        return first_steps(order, settings, work)

    def build() -> Module:
        return models.cifar_resnet(int(depth), in_channels=settings.recipe.channels, order=order)

    return work.train(build, settings.recipe, task.seed).values


def first_steps(order: str, settings: PreactivationSettings, work: Work) -> dict[str, Any]:
    """The training loss at each of the first steps of the very deep network, each on other images."""
    manual_seed(0)
    model = models.cifar_resnet(settings.deep, in_channels=settings.recipe.channels, order=order, block="bottleneck")
    optimizer = replace(settings.recipe, lr=settings.deep_lr).make_optimizer(model)
    images = settings.recipe.images(train=True, root=work.data_dir)
    loader = data.Loader(
        images.dataset, settings.deep_batch, transform=images.transform, shuffle=True, drop_last=True, workers=0
    )
    losses: list[float] = []
    epoch = 0
    while len(losses) < settings.deep_steps:
        for x, labels in loader.epoch(epoch):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(Tensor(x)), Tensor(labels))
            loss.backward()
            optimizer.step()
            losses.append(float(loss.item()))
            work.report(len(losses) / settings.deep_steps)
            if len(losses) == settings.deep_steps:
                break
        epoch += 1
    return {"losses": losses, "parameters": sum(each.numel() for each in model.parameters())}


STUDY = Study(
    name="preactivation",
    title="Which order of batch norm, ReLU and sum?",
    question="In which order do batch norm, ReLU and the sum stand best?",
    method=(
        "The same layers stand in five orders. The networks have as many parameters, but for a batch norm that moves.",
        "In the pre-activation orders the first block gets what the stem has activated, where the size changes both "
        "ways get the activated input, and behind the last sum stand a batch norm and a ReLU.",
        "All train alike: the same images in the same order, the same schedule.",
        "A network of 1,001 layers, of bottlenecks, does its first steps in the original order and in full "
        "pre-activation, at a constant learning rate.",
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
