"""Do gates let depth train? (Srivastava et al. 2015, arXiv 1505.00387 and 1507.06228, Fig. 1)

    plain      y = relu(W x + b)
    highway    y = relu(W x + b)·T + x·(1 − T),  T = σ(W_T x + b_T)

Fully connected networks of 2 to 100 layers learn to read digits. A plain layer has 71 units and a highway layer 50, so
that both have about 5,000 parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minires import models
from minires.core.modes import no_grad
from minires.core.tensor import Tensor
from minires.models.highway import HighwayLayer
from minires.nn import Module
from minires.studies import highway_findings as findings
from minires.studies.form import Settings, Study, Task
from minires.studies.highway_findings import DIVERGED, WIDTHS, bias_config
from minires.studies.recipe import Recipe
from minires.studies.work import Trained, Work


@dataclass(frozen=True, kw_only=True)
class HighwaySettings(Settings):
    """What is varied.

    Attributes:
        depths: Layers, the first of which is plain; a classifier follows.
        shallow: The depths among them for which gates should make no difference.
        gate_bias: b_T at the start.
        biases: Other values of b_T, tried at `bias_depth`.
        bias_depth: The depth at which they are tried.
        recipe: How the networks are trained, but for the learning rate.
        plain_lr, highway_lr: Learning rates; each kind has the one of 0.005, 0.02, 0.05 and 0.1 that suits it best.
            (The paper searched for the settings of each network, too.)
    """

    depths: tuple[int, ...]
    shallow: tuple[int, ...]
    gate_bias: float
    biases: tuple[float, ...]
    bias_depth: int
    recipe: Recipe
    plain_lr: float
    highway_lr: float


PRESETS = {
    "quick": HighwaySettings(
        depths=(3, 10, 20, 50),
        shallow=(3,),
        gate_bias=-3.0,
        biases=(2.0, 0.0, -1.0),
        bias_depth=50,
        recipe=Recipe(epochs=8, batch_size=64, weight_decay=0.0),
        plain_lr=0.02,
        highway_lr=0.1,
    ),
    "full": HighwaySettings(
        seeds=3,
        depths=(2, 3, 5, 10, 20, 50, 100),
        shallow=(2, 3, 5),
        gate_bias=-3.0,
        biases=(2.0, 0.0, -1.0, -2.0, -4.0, -6.0),
        bias_depth=50,
        recipe=Recipe("mnist", epochs=10, batch_size=128, weight_decay=0.0),
        plain_lr=0.02,
        highway_lr=0.1,
    ),
}


def network(layer: str, depth: int, settings: HighwaySettings, gate_bias: float | None = None) -> Module:
    """The dense network of a kind and depth."""
    options: dict[str, Any] = {"layer": layer, "width": WIDTHS[layer]}
    if layer == "highway":
        options["gate_bias"] = settings.gate_bias if gate_bias is None else gate_bias
    channels, image = settings.recipe.channels, settings.recipe.size
    return models.DenseHighway(depth, in_channels=channels, image=image, **options)


def tasks(settings: HighwaySettings) -> list[Task]:
    """Each kind at each depth, and the other biases at one depth."""
    found = []
    for seed in range(settings.seeds):
        for depth in settings.depths:
            cost = settings.recipe.cost(1 + depth / 4)
            found += [Task(f"{layer}{depth}", seed, cost=cost * (2.5 if layer == "highway" else 1)) for layer in WIDTHS]
        found += [
            Task(bias_config(bias), seed, cost=2.5 * settings.recipe.cost(1 + settings.bias_depth / 4))
            for bias in settings.biases
        ]
    return found


def run(settings: HighwaySettings, task: Task, work: Work) -> dict[str, Any]:
    """Train one network; of a highway also measure how far its gates are open."""
    kind = task.config.rstrip("0123456789+-.")
    recipe = replace(settings.recipe, lr=settings.plain_lr if kind == "plain" else settings.highway_lr)
    if kind == "bias":
        bias = float(task.config.removeprefix("bias"))
        trained = work.train(lambda: network("highway", settings.bias_depth, settings, bias), recipe, task.seed)
    else:
        depth = int(task.config.removeprefix(kind))
        trained = work.train(lambda: network(kind, depth, settings), recipe, task.seed)
    values = trained.values | {"train_loss": capped(trained.values["train_loss"])}
    if kind == "plain" or values["train_loss"] == DIVERGED:
        return values  # what has diverged has no gates to speak of: they are NaN
    return values | gates(trained, settings, work)


def capped(loss: float) -> float:
    """The loss, at most 99: where training has diverged it is infinite or NaN."""
    return loss if loss < DIVERGED else DIVERGED


def gates(trained: Trained, settings: HighwaySettings, work: Work) -> dict[str, Any]:
    """Of each layer: T's mean over test images and units, and the standard deviation over images, mean over units."""
    images, _ = settings.recipe.images(train=False, root=work.data_dir).batch(256)
    seen: list[np.ndarray] = []

    def note(layer: HighwayLayer, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(np.array(layer.gates(inputs[0])[0].numpy(), np.float64))

    hooks = [each.register_forward_hook(note) for each in trained.model.modules() if isinstance(each, HighwayLayer)]
    with no_grad():
        trained.model(Tensor(images))
    for hook in hooks:
        hook.remove()
    return {
        "gates": [float(each.mean()) for each in seen],
        "gate_deviations": [float(each.std(axis=0).mean()) for each in seen],
    }


STUDY = Study(
    name="highway",
    title="Do gates let depth train?",
    question="Do highway gates let networks of many layers train, and where do they open?",
    method=(
        "Fully connected networks: one plain layer, then plain or highway layers, then a classifier.",
        "A plain layer has 71 units, a highway layer 50 and a gate for each, so that both have about 5,000 "
        "parameters. C is 1 − T.",
        "Weights start as He et al. propose, the biases of the gates as b_T.",
        "All train with SGD, at the learning rate that suits their kind; what counts is the training loss, since the "
        "question is whether depth trains.",
        "After training, T is read off every highway layer for 256 test images.",
        "At one depth b_T is varied.",
    ),
    presets=PRESETS,
    tasks=tasks,
    run=run,
    figures=findings.figures,
    claims=findings.CLAIMS,
    teacher=findings.TEACHER,
    table=findings.table,
)
