"""The training step of a GPU captured as a CUDA graph, and replayed for every batch of the same shape.

    two steps as ever, on the graph's own stream and memory    kernels are compiled, SGD makes its velocities
    the third is captured:  forward, loss, backward, SGD       nothing is computed
    it and all later ones:  copy the batch in, write the learning rates, replay, read loss and right answers

The graph writes into the very arrays of weights, running statistics and velocities, so whatever reads them
(checkpoints, validation, a smaller last batch that runs as ever) sees them change, and a replayed step gives the bits
that the step itself would have given. Python is not asked at a replay: hooks and prints in the model's forward are
silent then, and `.grad` stays empty.
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
from minires.nn import Dropout, Module
from minires.optim import SGD, Optimizer
from minires.training.placing import all_count, as_input, as_target, device_of, mean_loss

WARM_UP = 2  # steps before the capture: the first makes velocities, the second uses them and their memory

Step = Callable[[Any, Any], tuple[float, int]]  # a batch's images and labels -> its mean loss, how many were right


def _check_can_be_captured(model: Module, optimizer: Optimizer, clip_norm: float | None) -> None:
    """Raise DeviceError, saying what to do, for a step of which it is known beforehand that no graph can hold it."""
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
    }
    found = [complaint for complaint, holds in complaints.items() if holds]
    if found:
        raise DeviceError(f"the training step cannot be captured as a CUDA graph (graph=True): {'; '.join(found)}")


class _Captured(NamedTuple):
    """A step as a graph, and what it was captured with.

    Attributes:
        x, target: where each replay reads its batch.
        figures: where it leaves the mean loss and the number of right answers, float64.
        classes: that the network tells apart.
        rates: where it reads the learning rates.
        groups: the optimiser's groups that these are of, in order.
        places: where every parameter and buffer lay, and whether it writes there.
        velocities: where those lay.
        settings: all else that is built into it.
    """

    graph: Graph
    x: Array
    target: Array
    figures: Array
    classes: int
    rates: Rates
    groups: list[dict[str, Any]]
    places: list[tuple[Tensor, Array, bool]]
    velocities: list[Array | None]
    settings: Any


class CapturedStep:
    """The step of a trainer. The first batches of full size are steps as ever; then it is captured and replayed.

    Raises DeviceError for a step of which it is known beforehand that no graph can hold it.

    Attributes:
        capture_error: why all further steps run without a graph: the GPU's memory is too full for one. Else empty.
    """

    def __init__(
        self, model: Module, optimizer: Optimizer, loader: Loader, label_smoothing: float, clip_norm: float | None
    ) -> None:
        _check_can_be_captured(model, optimizer, clip_norm)
        self._model, self._optimizer, self._label_smoothing = model, optimizer, label_smoothing
        self._full = min(loader.batch_size, len(loader.dataset))  # images of a batch that is worth it
        self.capture_error = ""
        self._forget()

    def _forget(self) -> None:
        """Begin anew: what was captured no longer fits."""
        self._captured: _Captured | None = None
        self._warmed_up = 0
        self._workspace: Workspace | None = None  # the pool of a graph is given to no other graph

    def __call__(self, images: Any, labels: Any, step: Step) -> tuple[float, int]:
        """Change the weights by one batch; returns its mean loss, and how many images were right beforehand.

        `step` does it as ever, where the batch is of another size, or too early. At a replay, a loss that is not finite
        is returned as it is, when the weights have changed already. Raises DeviceError, and changes nothing, where the
        step cannot be captured.
        """
        if self.capture_error or len(labels) != self._full or not isinstance(labels, np.ndarray) or labels.min() < 0:
            return step(images, labels)  # of labels to be ignored, another loss is computed
        if self._captured is not None and not self._is_current(self._captured):
            self._forget()
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
            self._forget()
            cuda.empty_cache()  # of what the capture took
            return step(images, labels)
        if (x.shape, target.dtype) != (self._captured.x.shape, self._captured.target.dtype):
            return step(images, labels)
        all_count(labels, self._captured.classes)
        return self._replay(self._captured, x, target)

    # -- how a graph comes to be ---------------------------------------------------------------------------------------

    def _warm_up(self, images: Any, labels: Any, step: Step) -> tuple[float, int]:
        """A step as ever, where the graph will be captured."""
        if self._workspace is None:
            self._workspace = Workspace(device_of(self._model))
        hook = self._model.register_forward_hook(self._see_logits)
        try:
            with self._workspace.entered():
                result = step(images, labels)
                self._optimizer.zero_grad()  # so that the next step finds their memory free
        finally:
            hook.remove()
        self._warmed_up += 1
        return result

    def _see_logits(self, model: Module, inputs: Any, logits: Tensor) -> None:
        """A forward hook: keep the shape of what the model returns."""
        self._logits_shape = logits.shape

    def _capture(self, x: Array, target: Array, labels: Any) -> _Captured:
        """The step as a graph; x and target: a batch of the shape that it is for."""
        workspace = self._workspace
        assert workspace is not None
        with workspace.entered(), cuda.explaining_out_of_memory("capturing the training step as a CUDA graph"):
            x, target = x.copy(), target.copy()
            rates = Rates(2 * len(self._optimizer.param_groups))  # SGD calls twice for a group that lacks velocities
            figures, zeros = workspace.cupy.zeros(2, "float64"), workspace.cupy.zeros(self._logits_shape, x.dtype)
            _note(figures, zeros[0, 0], zeros, target)  # compiles CuPy's kernels; argmax's is for one shape
        before = [(tensor, tensor.data) for tensor in self._tensors()]
        states, settings, written = [dict(state) for state in self._optimizer.state], self._settings(), set[int]()
        self._optimizer.zero_grad()
        try:
            with rates.in_use(), modes.watching_writes(lambda tensor: written.add(id(tensor))):
                graph, classes = workspace.capture(lambda: self._work(x, target, labels, figures), "the training step")
            groups = [group for group in self._optimizer.param_groups if _has_gradients(group)]
            self._check(before, states, rates.taken == [float(group["lr"]) for group in groups])
        except BaseException:
            for tensor, array in before:  # what may stand there now was never computed
                if tensor.data is not array:
                    tensor.data = array
            self._optimizer.state = states
            raise
        finally:
            self._optimizer.zero_grad()
        places = [(tensor, array, id(tensor) in written) for tensor, array in before]
        return _Captured(graph, x, target, figures, classes, rates, groups, places, self._velocities(), settings)

    def _tensors(self) -> list[Tensor]:
        """All that the step may read or change, each once."""
        trained = [parameter for group in self._optimizer.param_groups for parameter in group["params"]]
        whole = (*self._model.parameters(), *self._model.buffers(), *trained)
        return list({id(tensor): tensor for tensor in whole}.values())

    def _work(self, x: Array, target: Array, labels: Any, figures: Array) -> int:
        """What is captured: a step, but for what waits for its results. Returns how many classes there are."""
        logits = self._model(Tensor(x))
        loss = mean_loss(logits, labels, Tensor(target), self._label_smoothing)
        loss.backward()
        self._optimizer.step()
        _note(figures, loss.data, logits.data, target)
        return int(logits.shape[1])

    def _check(self, before: list[tuple[Tensor, Array]], states: list[dict[str, Any]], rates_taken: bool) -> None:
        """Raise DeviceError unless the graph writes into the arrays that are there, and reads its rates."""
        why = ""
        if any(tensor.data is not array for tensor, array in before):
            why = "a forward pass that is still remembered, or a part of this one that the loss does not use, needs "
            why += "weights that the step changes: let go of its output"
        elif not _same([state.get("velocity") for state in states], self._velocities()):
            why = "a parameter gets a gradient that got none in the steps before"
        elif not rates_taken:
            why = "the CUDA kernels do not serve these parameters, so each learning rate would be that of the capture"
        if why:
            raise DeviceError(f"the training step cannot be captured as a CUDA graph: {why}")

    # -- how it is used ------------------------------------------------------------------------------------------------

    def _replay(self, captured: _Captured, x: Array, target: Array) -> tuple[float, int]:
        with captured.graph.turn():
            captured.x[...] = x
            captured.target[...] = target
            captured.rates.write([float(group["lr"]) for group in captured.groups])
            captured.graph.replay()
            loss, correct = to_device(captured.figures, "cpu")  # the one wait of the step
        for tensor, _, is_written in captured.places:
            tensor.version += is_written
        return float(loss), int(correct)

    def _is_current(self, captured: _Captured) -> bool:
        """Whether the graph still does what the step would: the arrays, and all that is built into it, are the same."""
        in_place = all(
            tensor.data is array and not (is_written and is_locked(array))
            for tensor, array, is_written in captured.places
        )
        return in_place and _same(captured.velocities, self._velocities()) and captured.settings == self._settings()

    def _velocities(self) -> list[Array | None]:
        return [state.get("velocity") for state in self._optimizer.state]

    def _settings(self) -> Any:
        """All but the learning rates that decides what a step computes."""
        groups = [
            {key: value for key, value in group.items() if key not in ("lr", "params")}
            for group in self._optimizer.param_groups
        ]
        trained = [parameter.requires_grad for parameter in self._model.parameters()]
        return groups, trained, [module.training for module in self._model.modules()], tf32_allowed()


def _note(figures: Array, loss: Array, logits: Array, target: Array) -> None:
    """The mean loss and the number of right answers, as float64: two numbers that one copy brings to the host."""
    figures[0] = loss
    figures[1] = (logits.argmax(axis=1) == target).sum()


def _same(some: list[Array | None], others: list[Array | None]) -> bool:
    return all(one is other for one, other in zip(some, others, strict=True))


def _has_gradients(group: dict[str, Any]) -> bool:
    return any(parameter.grad is not None for parameter in group["params"])
