"""Where does the gradient go? Activations and gradients by layer, for depth × initialisation × normalisation.

    plain     x ← relu(F(x))        every layer multiplies the signal by a factor, n layers by its n-th power
    residual  x ← relu(F(x) + x)    variances add; with batch norm that of F is 1, that of x about n after n blocks

Everything is measured on a batch, before the first step; only the responses of layers (He et al. 2015, Fig. 7) are
those of trained networks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from minires import functional as F
from minires import models, nn
from minires.core.autograd import grad
from minires.core.modes import no_grad
from minires.core.random import manual_seed
from minires.core.tensor import Tensor
from minires.inspection.paths import gradient_shares
from minires.studies import gradient_flow_findings as findings
from minires.studies.form import Settings, Study, Task
from minires.studies.recipe import Recipe
from minires.studies.work import Work

POSITIONS = 24  # at most so many blocks or layers of a network are stored, evenly spaced
KINDS: dict[str, str | None] = {"residual": "A", "plain": None}
NORMS = ("none", "batch", "layer", "group")
INITS = ("he", "lecun", "xavier", "orthogonal")
BRANCH_INITS = ("fixup", "skipinit")  # for residual networks without normalisation
TAKEN_APART = (("none", "he"), ("none", "skipinit"), ("batch", "he"))  # whose gradient is divided block by block


@dataclass(frozen=True, kw_only=True)
class FlowSettings(Settings):
    """What is varied and measured.

    Attributes:
        depths: Layers of the networks at the start, 6n + 2.
        images: Images in the batch.
        trained_depths: Layers of the networks that are trained, for the responses of their layers.
        recipe: How they are trained, and the data.
        line: Points on the line between two images, for the correlation of the gradients of neighbours.
    """

    depths: tuple[int, ...]
    images: int
    trained_depths: tuple[int, ...]
    recipe: Recipe
    line: int = 48


PRESETS = {
    "quick": FlowSettings(depths=(20, 56, 110, 200), images=16, trained_depths=(20, 56), recipe=Recipe(epochs=4)),
    "full": FlowSettings(
        seeds=3,
        depths=(20, 32, 56, 110, 152, 200),
        images=64,
        trained_depths=(20, 56, 110),
        recipe=Recipe("cifar10", epochs=15, batch_size=128, lr=0.2, weight_decay=5e-4, augment=True),
        line=128,
    ),
}


def tasks(settings: FlowSettings) -> list[Task]:
    """A task for each kind, normalisation and initialisation, at all depths; a training for each kind and depth."""
    found = []
    work = sum(settings.depths) * settings.images * settings.recipe.size**2 / 1e5
    slow = {"none": 1.0, "batch": 1.0, "layer": 2.0, "group": 2.0}
    for seed in range(settings.seeds):
        for kind in KINDS:
            combinations = [(norm, init) for norm in NORMS for init in INITS]
            if kind == "residual":
                combinations += [("none", init) for init in BRANCH_INITS]
            for norm, init in combinations:
                found.append(Task(f"{kind}-{norm}-{init}", seed, "start", cost=work * slow[norm]))
            for depth in settings.trained_depths:
                found.append(Task(f"{kind}{depth}", seed, cost=settings.recipe.cost(depth)))
    return found


def run(settings: FlowSettings, task: Task, work: Work) -> dict[str, Any]:
    """Measure networks of all depths before the first step; or train one, and measure the responses of its layers."""
    if task.step == "train":
        kind = task.config.rstrip("0123456789")
        depth = int(task.config[len(kind) :])
        trained = work.train(lambda: network(kind, depth, settings.recipe), settings.recipe, task.seed)
        images, _ = settings.recipe.images(True, work.data_dir).batch(settings.images * 4, task.seed)
        return trained.values | {"responses": responses(trained.model, Tensor(images))}
    kind, norm, init = task.config.split("-")
    found: dict[str, Any] = {}
    for number, depth in enumerate(settings.depths):
        manual_seed(task.seed)
        model = network(kind, depth, settings.recipe, norm=norm, init=init)
        images, labels = settings.recipe.images(True, work.data_dir).batch(settings.images, task.seed)
        found[str(depth)] = at_the_start(model, Tensor(images), Tensor(labels))
        if kind == "residual" and (norm, init) in TAKEN_APART:
            shares = gradient_shares(model, Tensor(images), partial(F.cross_entropy, target=Tensor(labels)))
            found[str(depth)]["identity"] = thinned([share.identity_share for share in shares])
        if (norm, init) == ("batch", "he"):
            found[str(depth)]["correlation"] = correlation(model, settings, images)
        work.report((number + 1) / len(settings.depths))
    return found


def network(kind: str, depth: int, recipe: Recipe, **options: Any) -> nn.Module:
    """The network of a kind and depth; options are `norm` and `init`."""
    return models.cifar_resnet(depth, in_channels=recipe.channels, shortcut=KINDS[kind], **options)


# -- before the first step --------------------------------------------------------------------------------------------


def at_the_start(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Any]:
    """Signal and gradient by layer, in training mode.

    "activations": the root mean square of each block's output. "branch": that of F(x) divided by that of x, for
    residual blocks. "gradients": ‖∂L/∂W‖ of each 3×3 convolution. "active": the share of each block's outputs that are
    not 0.
    """
    found: dict[str, Any] = {"activations": [], "branch": [], "active": []}
    hooks = [block.register_forward_hook(_record_block(found)) for _, block in blocks_of(model)]
    F.cross_entropy(model(images), labels).backward()
    for hook in hooks:
        hook.remove()
    found["gradients"] = [
        float(np.linalg.norm(parameter.grad.numpy()))
        for parameter in model.parameters()
        if parameter.ndim == 4 and parameter.shape[2] == 3 and parameter.grad is not None
    ]
    return {name: thinned(values) for name, values in found.items()}


def blocks_of(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """(name, block) of all blocks, plain ones too."""
    return ((name, module) for name, module in model.named_modules() if hasattr(module, "residual"))


def _record_block(found: dict[str, list[float]]) -> Any:
    def record(block: Any, inputs: tuple[Tensor, ...], y: Tensor) -> None:
        found["activations"].append(rms(y))
        found["active"].append(float((y.numpy() > 0).mean()))
        if not block.plain:
            with no_grad():  # batch statistics again: the running ones do not matter here
                found["branch"].append(rms(block.residual(inputs[0])) / max(rms(inputs[0]), 1e-30))

    return record


def rms(x: Tensor) -> float:
    """The root mean square of all numbers of a Tensor."""
    return float(np.sqrt(np.mean(np.square(x.numpy(), dtype=np.float64))))


def correlation(model: nn.Module, settings: FlowSettings, images: npt.NDArray[np.float32]) -> float:
    """The mean correlation of ∂(c · logits)/∂x at neighbouring points x of a line between two images; c is random.

    Balduzzi et al. 2017: in a shattered network the gradients of neighbours have nothing in common. The points are one
    batch; the mean gradient of the line is subtracted, as they do.
    """
    steps = np.linspace(0, 1, settings.line, dtype=np.float32)[:, None, None, None]
    x = Tensor((1 - steps) * images[0] + steps * images[1]).requires_grad_()
    logits = model(x)
    c = np.random.default_rng(0).normal(size=(1, logits.shape[1])).astype(np.float32)
    gradients = grad((logits * Tensor(c)).sum(), x)[0]
    assert gradients is not None
    g = gradients.numpy().astype(np.float64).reshape(settings.line, -1)
    g -= g.mean(axis=0)
    norms = np.linalg.norm(g, axis=1)
    products = np.sum(g[1:] * g[:-1], axis=1)
    return float(np.mean(products / np.maximum(norms[1:] * norms[:-1], 1e-300)))


def thinned(values: list[float]) -> list[float]:
    """At most POSITIONS of the values, evenly spaced, the first and the last among them."""
    if len(values) <= POSITIONS:
        return values
    return [values[i] for i in np.linspace(0, len(values) - 1, POSITIONS).round().astype(int)]


# -- after training ---------------------------------------------------------------------------------------------------


def responses(model: nn.Module, images: Tensor) -> list[float]:
    """The standard deviation of each 3×3 layer's response: the output of its batch norm, before ReLU and sum.

    He et al. 2015, Fig. 7. The network is in training mode, where it uses the statistics of the batch; what batch norm
    puts out is read off its weight and bias, since before these each channel has variance 1 and mean 0.
    """
    found = []
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            weight, bias = module.weight.numpy(), module.bias.numpy()
            # The variance over all channels: the mean of the channels' variances, and the variance of their means.
            found.append(float(np.sqrt(np.mean(weight.astype(np.float64) ** 2) + np.var(bias.astype(np.float64)))))
    return found


STUDY = Study(
    name="gradient-flow",
    title="Where does the gradient go?",
    question="Which networks hand the signal forwards, and the gradient backwards, through many layers?",
    method=(
        "Plain and residual networks of several depths are built with each normalisation and initialisation. Both "
        "kinds have the same layers; the residual ones add x.",
        "One batch passes forwards and backwards before the first step. Batch norm uses the batch's own statistics.",
        "At each block: the root mean square of its output, and of F(x) relative to x.",
        "At each 3×3 convolution: the norm of the gradient of its weights.",
        "At each residual block, the gradient of its input is divided into what came through the shortcut and what "
        "came through F; their shares are 1 together.",
        "Between two images lies a line of inputs. The correlation of the gradients of neighbours on it says whether "
        "the gradient is a landscape or noise.",
        "Trained networks show how much their layers respond: the standard deviation of what each batch norm puts out.",
    ),
    presets=PRESETS,
    tasks=tasks,
    run=run,
    figures=findings.figures,
    claims=findings.CLAIMS,
    teacher=findings.TEACHER,
    table=findings.table,
)
