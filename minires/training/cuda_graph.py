"""The training step of a GPU, captured as a CUDA graph and replayed for every batch of the same shape.

    steps 1 and 2 run eagerly, on the graph's own stream and memory    kernels are compiled, SGD makes its velocities
    step 3 is captured:    forward, loss, backward, SGD                nothing is computed yet
    from step 3 on:        copy the batch in, write the learning rates, replay, read the loss and the correct answers

The graph writes into the arrays of the weights, running statistics and velocities themselves, so everything that reads
them (checkpoints, validation, a smaller last batch that runs eagerly) sees them change. A replayed step gives the same
bits as an eager one. No Python code runs at a replay: hooks and prints in the model's forward do nothing, and `.grad`
stays empty.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minires.backend import Array, cuda, to_device
from minires.backend.cuda.graph import Graph, Workspace
from minires.backend.cuda.graph_learning_rate import Rates
from minires.backend.cuda.precision import tf32_allowed
from minires.core import modes
from minires.core.readonly import is_locked
from minires.core.tensor import Tensor
from minires.data import Loader
from minires.errors import DeviceError, OutOfMemoryError
from minires.nn import Dropout, Module, Parameter
from minires.optim import SGD, Optimizer
from minires.training.device_io import as_input, as_target, device_of, labels_are_classes, mean_loss

WARM_UP = 2  # eager steps before the capture: the first makes velocities, the second uses them and their memory

StepResult = tuple[float, int | None]  # mean loss; correct answers, None with a loss of the user's own
Step = Callable[[Any, Any], StepResult]  # of (images, labels) of a batch


def _check_can_be_captured(model: Module, optimizer: Optimizer, clip_norm: float | None) -> None:
    """Raise DeviceError, saying what to do, if the step cannot be captured."""
    device, dtypes = device_of(model), {str(parameter.dtype) for parameter in model.parameters()}
    complaints = {
        f"it needs a GPU, and the model is on {device}: model.to('cuda') (--device cuda)": device == "cpu",
        f"only float32 can be captured, and the model is {', '.join(sorted(dtypes))}": dtypes != {"float32"},
        f"only SGD can be captured: {type(optimizer).__name__} counts its steps in host memory": not isinstance(
            optimizer, SGD
        ),
        "clip_norm waits for the gradients' norm at every step": clip_norm is not None,
        "the random numbers of Dropout come from host memory": any(
            isinstance(module, Dropout) and module.p > 0 for module in model.modules()
        ),
        "stochastic depth computes other blocks in each step": any(
            getattr(module, "is_dropped_at_random", False) for module in model.modules()
        ),
    }
    found = [complaint for complaint, holds in complaints.items() if holds]
    if found:
        raise DeviceError(f"the training step cannot be captured as a CUDA graph (graph=True): {'; '.join(found)}")


class _Captured(NamedTuple):
    """A step as a graph, with the arrays it uses and the settings it depends on.

    Attributes:
        x, target: the arrays from which each replay reads its batch.
        metrics: the array (2,) float64 into which it writes the mean loss and the number of correct answers.
        classes: the number of the network's outputs.
        rates: the learning rates on the GPU.
        groups: the optimiser's groups to which these belong, in order.
        tensors: every parameter and buffer, its array, and whether the graph writes into it.
        velocities: the arrays of SGD's velocities.
        settings: everything else that is built into the graph.
    """

    graph: Graph
    x: Array
    target: Array
    metrics: Array
    classes: int
    rates: Rates
    groups: list[dict[str, Any]]
    tensors: list[tuple[Tensor, Array, bool]]
    velocities: list[Array | None]
    settings: Any


class CapturedStep:
    """The step of a trainer: eager for the first full batches, then captured and replayed.

    Raises DeviceError if it is known beforehand that the step cannot be captured.

    Attributes:
        capture_error: why all further steps run eagerly: the GPU's memory is too full for a graph, or the inputs are
            not one array. Otherwise empty.
    """

    def __init__(
        self, model: Module, optimizer: Optimizer, loader: Loader, label_smoothing: float, clip_norm: float | None
    ) -> None:
        _check_can_be_captured(model, optimizer, clip_norm)
        self._model, self._optimizer, self._label_smoothing = model, optimizer, label_smoothing
        self._full_batch = min(loader.batch_size, len(loader.dataset))  # only batches of this size are replayed
        self.capture_error = ""
        self._reset()

    def _reset(self) -> None:
        """Start with the warm-up again, because the captured graph is out of date."""
        self._captured: _Captured | None = None
        self._warmed_up = 0
        self._workspace: Workspace | None = None  # each graph gets a new one: two graphs cannot share a memory pool

    def __call__(self, images: Any, labels: Any, step: Step) -> StepResult:
        """Train on images (B, C, H, W), labels (B,); returns the mean loss and the number of correct answers.

        `step` is the eager step, which serves batches of another size and the warm-up. A replay returns a loss that is
        not finite like any other, after it has changed the weights. Raises DeviceError, leaving everything unchanged,
        if the step cannot be captured.
        """
        if not hasattr(images, "dtype"):
            self.capture_error = f"the inputs are a {type(images).__name__}, and only one array can be captured"
            return step(images, labels)
        is_full = len(labels) == self._full_batch
        if self.capture_error or not is_full or not isinstance(labels, np.ndarray) or labels.min() < 0:
            return step(images, labels)  # ignored labels (negative) lead to another loss kernel
        if self._captured is not None and not self._is_current(self._captured):
            self._reset()
        if self._captured is None and self._warmed_up < WARM_UP:
            return self._warm_up(images, labels, step)
        x, target = as_input(images, self._model).data, as_target(labels, self._model).data
        if self._captured is None:
            try:
                self._captured = self._capture(x, target, labels)
            except OutOfMemoryError as error:
                self.capture_error = str(error)
        if self._captured is None:
            del x, target
            self._reset()
            cuda.empty_cache()  # returns the memory that the capture took
            return step(images, labels)
        if (x.shape, target.dtype) != (self._captured.x.shape, self._captured.target.dtype):
            return step(images, labels)
        labels_are_classes(labels, self._captured.classes)
        return self._replay(self._captured, x, target)

    # -- capture -------------------------------------------------------------------------------------------------------

    def _warm_up(self, images: Any, labels: Any, step: Step) -> StepResult:
        """An eager step on the stream and in the memory pool of the future graph."""
        if self._workspace is None:
            self._workspace = Workspace(device_of(self._model))
        hook = self._model.register_forward_hook(self._keep_logits_shape)
        try:
            with self._workspace.entered():
                result = step(images, labels)
                self._optimizer.zero_grad()  # frees the gradients' memory for the next step
        finally:
            hook.remove()
        self._warmed_up += 1
        return result

    def _keep_logits_shape(self, model: Module, inputs: Any, logits: Tensor) -> None:
        """A forward hook that keeps the shape of the model's output."""
        self._logits_shape = logits.shape

    def _capture(self, x: Array, target: Array, labels: Any) -> _Captured:
        """Capture the step for batches of the shape of x (B, C, H, W) and target (B,)."""
        workspace = self._workspace
        assert workspace is not None
        with workspace.entered(), cuda.explaining_out_of_memory("capturing the training step as a CUDA graph"):
            x, target = x.copy(), target.copy()
            rates = Rates(2 * len(self._optimizer.param_groups))  # SGD calls twice for a group that lacks velocities
            metrics, zeros = workspace.cupy.zeros(2, "float64"), workspace.cupy.zeros(self._logits_shape, x.dtype)
            _store_metrics(metrics, zeros[0, 0], zeros, target)  # compiles CuPy's kernels; argmax's is for one shape
        before = [(tensor, tensor.data) for tensor in self._tensors()]
        states, settings, written = [dict(state) for state in self._optimizer.state], self._settings(), set[int]()
        self._optimizer.zero_grad()
        try:
            with rates.in_use(), modes.watching_writes(lambda tensor: written.add(id(tensor))):
                graph, classes = workspace.capture(lambda: self._step(x, target, labels, metrics), "the training step")
            groups = [group for group in self._optimizer.param_groups if _has_gradients(group)]
            self._check(before, states, rates.taken == [float(group["lr"]) for group in groups])
        except BaseException:
            for tensor, array in before:  # restores arrays that the failed capture replaced and never computed
                if tensor.data is not array:
                    tensor.data = array
            self._optimizer.state = states
            raise
        finally:
            self._optimizer.zero_grad()
        tensors = [(tensor, array, id(tensor) in written) for tensor, array in before]
        return _Captured(graph, x, target, metrics, classes, rates, groups, tensors, self._velocities(), settings)

    def _tensors(self) -> list[Tensor]:
        """Every Tensor that the step may read or change, without repetition."""
        trained = [parameter for group in self._optimizer.param_groups for parameter in group["params"]]
        everything = (*self._model.parameters(), *self._model.buffers(), *trained)
        return list({id(tensor): tensor for tensor in everything}.values())

    def _step(self, x: Array, target: Array, labels: Any, metrics: Array) -> int:
        """The captured part of a step: all but what waits for its results. Returns the number of classes."""
        logits = self._model(Tensor(x))
        loss = mean_loss(logits, labels, Tensor(target), self._label_smoothing)
        loss.backward()
        self._optimizer.step()
        _store_metrics(metrics, loss.data, logits.data, target)
        return int(logits.shape[1])

    def _check(self, before: list[tuple[Tensor, Array]], states: list[dict[str, Any]], rates_taken: bool) -> None:
        """Raise DeviceError unless the graph writes into the existing arrays and reads its learning rates."""
        why = ""
        if any(tensor.data is not array for tensor, array in before):
            why = "a graph that is still alive (of an earlier forward pass, or of a part of this one that the loss "
            why += "does not use) needs weights that the step changes: drop its output"
        elif not _same([state.get("velocity") for state in states], self._velocities()):
            why = "a parameter gets a gradient that got none in the steps before"
        elif not rates_taken:
            why = "the CUDA kernels do not serve these parameters, so each learning rate would be that of the capture"
        if why:
            raise DeviceError(f"the training step cannot be captured as a CUDA graph: {why}")

    # -- replay --------------------------------------------------------------------------------------------------------

    def _replay(self, captured: _Captured, x: Array, target: Array) -> tuple[float, int]:
        with captured.graph.turn():
            captured.x[...] = x
            captured.target[...] = target
            captured.rates.write([float(group["lr"]) for group in captured.groups])
            captured.graph.replay()
            loss, correct = to_device(captured.metrics, "cpu")  # the only synchronisation of the step
        for tensor, _, is_written in captured.tensors:
            tensor.version += is_written
        return float(loss), int(correct)

    def _is_current(self, captured: _Captured) -> bool:
        """Whether a replay still equals an eager step: the arrays and all built-in settings are unchanged."""
        in_place = all(
            tensor.data is array and not (is_written and is_locked(array))
            for tensor, array, is_written in captured.tensors
        )
        return in_place and _same(captured.velocities, self._velocities()) and captured.settings == self._settings()

    def _velocities(self) -> list[Array | None]:
        return [state.get("velocity") for state in self._optimizer.state]

    def _settings(self) -> Any:
        """Everything, except the learning rates, that decides what a step computes."""
        groups = [
            {key: value for key, value in group.items() if key not in ("lr", "params")}
            for group in self._optimizer.param_groups
        ]
        modules = list(self._model.modules())
        values = (value for module in modules for value in vars(module).values())
        trained = [value.requires_grad for value in values if isinstance(value, Parameter)]
        return groups, trained, [module.training for module in modules], tf32_allowed()


def _store_metrics(metrics: Array, loss: Array, logits: Array, target: Array) -> None:
    """Write the mean loss and the number of correct answers into metrics (2,) float64: one copy brings both back."""
    metrics[0] = loss
    metrics[1] = (logits.argmax(axis=1) == target).sum()


def _same(some: list[Array | None], others: list[Array | None]) -> bool:
    return all(one is other for one, other in zip(some, others, strict=True))


def _has_gradients(group: dict[str, Any]) -> bool:
    return any(parameter.grad is not None for parameter in group["params"])
