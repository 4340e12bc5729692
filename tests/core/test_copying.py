"""Copying, pickling and deleting: tensors, models, optimisers, hooks, compiled models and what graphs keep of them."""

from __future__ import annotations

import copy
import gc
import pickle
import threading

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import inference, nn, optim
from minires.core import readonly
from minires.core.readonly import ReadOnlyLock, is_locked
from minires.errors import GraphError, MiniResError


def leaf(*values: float) -> mr.Tensor:
    return mr.tensor(np.array(values), requires_grad=True)


def pickled(protocol):
    return lambda x: pickle.loads(pickle.dumps(x, protocol))


COPIES = [copy.deepcopy, copy.copy, pickled(2), pickled(4), pickled(5)]
deep = pytest.mark.parametrize(
    "copied", [copy.deepcopy, pickled(2), pickled(5)], ids=["deepcopy", "pickle2", "pickle5"]
)


class Keeper(nn.Module):
    """Keeps its last activation, as many models do for a look at it."""

    def __init__(self) -> None:
        self.fc = nn.Linear(2, 2)

    def forward(self, x):
        self.last = self.fc(x).exp()
        return self.last.sum()


# -- what a live graph keeps ------------------------------------------------------------------------------------------


def test_a_copy_of_a_model_does_not_unlock_another_graph():
    """The copied lock took back, as it died, what it had never locked; then a write passed, and backward was wrong."""
    model, x = Keeper(), mr.tensor([[1.0, 2.0]], requires_grad=True)
    y = model(x)
    array = model.last.data
    for make in (copy.deepcopy, pickled(2), pickled(5)):
        with pytest.raises(GraphError, match=r"only leaves can be copied.*result of Exp.*detach"):
            make(model)
    gc.collect()
    assert is_locked(array)
    with pytest.raises(ValueError, match="read-only"):
        array[...] = 100.0
    y.backward()
    expected = np.exp(model.fc(x).numpy()) @ model.fc.weight.numpy()
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_a_model_that_keeps_a_detached_activation_is_copied():
    model = Keeper()
    model(mr.ones(1, 2))
    model.last = model.last.detach()
    twin = copy.deepcopy(model)
    assert twin.last.tolist() == model.last.tolist()
    twin.last.zero_()
    assert model.last.numpy().all()


def test_what_a_node_keeps_cannot_be_copied():
    x = leaf(1.0, 2.0)
    y = x.exp()
    for make in COPIES:
        with pytest.raises(GraphError, match="only leaves can be copied"):
            make(y)
    for make in (copy.deepcopy, pickled(4)):
        with pytest.raises(GraphError, match="what a live graph keeps cannot be copied"):
            make(y.node)
    lock = ReadOnlyLock(x.data)
    for make in COPIES:
        with pytest.raises(GraphError, match="cannot be copied or pickled"):
            make(lock)
    del lock, y
    gc.collect()
    assert not is_locked(x.data)
    assert x.data.flags.writeable


def test_the_count_of_locks_is_right_with_many_threads():
    """Graphs that live and die, and leaves that are copied meanwhile, leave nothing locked."""
    x, failures = leaf(1.0, 2.0), []

    def work() -> None:
        try:
            for _ in range(100):
                y = (x * x).sum()
                twin = copy.deepcopy(x)
                assert twin.data.flags.writeable
                assert not is_locked(twin.data)
                x.detach()[:1].reshape(1, 1)
                del y
        except BaseException as error:
            failures.append(error)

    before = dict(readonly._locks)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert readonly._locks == before
    assert x.data.flags.writeable


# -- leaves -----------------------------------------------------------------------------------------------------------


@deep
def test_a_copied_parameter_is_whole_and_separate(copied):
    p = nn.Parameter(np.array([[1.0, 2.0]]), requires_grad=True)
    (p * p).sum().backward()
    p.T.sum()  # a parameter that knows of a view
    q = copied(p)
    assert type(q) is nn.Parameter
    assert (q.tolist(), q.grad.tolist(), q.requires_grad, q.is_leaf) == ([[1.0, 2.0]], [[2.0, 4.0]], True, True)
    with mr.no_grad():
        q -= 1
        q.grad.zero_()
    assert (p.tolist(), p.grad.tolist()) == ([[1.0, 2.0]], [[2.0, 4.0]])
    frozen = copied(nn.Parameter(np.ones(2), requires_grad=False))
    assert not frozen.requires_grad


@deep
def test_a_leaf_that_a_graph_needs_is_copied_writeable(copied):
    x = leaf(1.0, 2.0)
    y = x * x
    z = copied(x)
    assert z.data.flags.writeable
    with mr.no_grad():
        array = z.data
        z += 1
        assert z.data is array
    y.backward(np.ones(2))
    assert x.grad.tolist() == [2.0, 4.0]


def test_a_shallow_copy_shares_the_memory():
    x = leaf(1.0, 2.0)
    y = copy.copy(x)
    with mr.no_grad():
        y[0].zero_()
    assert x.tolist() == y.tolist() == [0.0, 2.0]
    assert y.requires_grad
    y.register_hook(lambda g: g * 0)
    (x * 1.0).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_what_shares_a_memory_shares_it_in_the_deep_copy():
    x = mr.tensor(np.arange(6.0).reshape(2, 3))
    model = {"all": x, "row": x[1], "detached": x.detach(), "again": x}
    twin = copy.deepcopy(model)
    assert twin["again"] is twin["all"]
    twin["row"] += 100
    expected = [[0.0, 1.0, 2.0], [103.0, 104.0, 105.0]]
    assert twin["all"].tolist() == twin["detached"].tolist() == expected
    graph = twin["all"] * leaf(1.0, 1.0, 1.0)  # which needs the present numbers: all three move
    twin["detached"][0] = -1.0
    assert twin["all"].tolist() == [[-1.0] * 3, expected[1]]
    assert twin["row"].tolist() == expected[1]
    assert x.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    del graph


@deep
def test_shared_parameters_stay_shared(copied):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    twin = copied(model)
    assert twin[1].weight is twin[0].weight is not model[0].weight


@deep
def test_subclasses_keep_their_attributes(copied):
    labelled = Labelled(np.ones(2))
    labelled.label, labelled.scale = "a", 3
    twin = copied(labelled)
    assert (type(twin), twin.label, twin.scale, twin.tolist()) == (Labelled, "a", 3, [1.0, 1.0])


class Labelled(mr.Tensor):
    __slots__ = ("__dict__", "scale")


# -- optimisers and hooks ---------------------------------------------------------------------------------------------


@deep
@pytest.mark.parametrize(
    "make",
    [lambda p: optim.SGD(p, lr=0.1, momentum=0.9), lambda p: optim.AdamW(p, lr=0.1)],
    ids=["SGD", "AdamW"],
)
def test_a_copied_optimiser_trains_the_copied_model(copied, make):
    model = nn.Linear(2, 1)
    optimizer, x = make(model.parameters()), mr.ones(4, 2)

    def step(model, optimizer):
        optimizer.zero_grad()
        F.mse_loss(model(x), mr.zeros(4, 1)).backward()
        optimizer.step()

    step(model, optimizer)
    twin, twins_optimizer = copied((model, optimizer))
    assert twins_optimizer.param_groups[0]["params"][0] is twin.weight
    before = model.weight.tolist()
    step(twin, twins_optimizer)
    assert model.weight.tolist() == before
    step(model, optimizer)
    assert model.weight.tolist() == twin.weight.tolist() != before


@deep
def test_hooks_and_their_handles_are_copied_together(copied):
    model = nn.Linear(1, 1)
    model.handle = model.register_forward_hook(negated)
    model.weight.register_hook(doubled)
    x, twin = mr.ones(1, 1), copied(model)
    assert twin(x).item() == model(x).item()
    twin(x).backward()
    assert twin.weight.grad.item() == -2.0
    twin.handle.remove()
    assert twin(x).item() == -model(x).item()
    model.handle.remove()
    assert twin(x).item() == model(x).item()


def negated(module, inputs, output):
    return -output


def doubled(gradient):
    return gradient * 2


# -- compiled models --------------------------------------------------------------------------------------------------


def test_a_compiled_model_is_its_own_copy_and_is_not_pickled():
    model, x = nn.Sequential(nn.Linear(2, 2), nn.ReLU()).eval(), mr.ones(1, 2)
    fast = inference.compile(model, x)
    assert copy.deepcopy(fast) is copy.copy(fast) is fast
    holder = copy.deepcopy({"model": model, "fast": fast})
    with mr.no_grad():
        model[0].weight.zero_()
    assert holder["fast"](x).tolist() == holder["model"](x).tolist()
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(MiniResError, match=r"cannot be pickled.*compile it there"):
            pickle.dumps(fast, protocol)


def test_compiling_a_model_that_keeps_an_activation():
    """The copy that `compile` makes says what to do; nothing of the model's graph is unlocked."""
    model = Keeper().eval()
    y = model(mr.ones(1, 2))
    with pytest.raises(GraphError, match="set the attribute to None"):
        inference.compile(model, mr.ones(1, 2))
    assert is_locked(model.last.data)
    model.last = None
    del y
    fast = inference.compile(model, mr.ones(1, 2))
    assert fast(mr.ones(1, 2)).item() == pytest.approx(model(mr.ones(1, 2)).item())


def test_torch_agrees(torch):
    """Which copies are refused, and that memory stays shared within a deep copy."""
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="Only Tensors created explicitly by the user"):
        copy.deepcopy(x * 2)
    base = torch.zeros(2)
    twin, view = copy.deepcopy((base, base[:1]))
    view += 1
    assert twin.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_large_tensor_from_a_pickle_is_writeable_after_a_graph_too(protocol):
    x = pickle.loads(pickle.dumps(mr.ones(500, requires_grad=True), protocol))
    y = x * x
    assert not x.data.flags.writeable
    del y  # what would be raised here, in ReadOnlyLock.__del__, pytest reports as a failure
    assert x.data.flags.writeable
    x.data[0] = 3.0
