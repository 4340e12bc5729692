"""The reference provider and the ops on arrays that are not NumPy's: they use the array's own namespace."""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires import backend
from minires import functional as F
from minires.core.readonly import is_locked
from minires.errors import DeviceError
from tests.backend.calls import CALLS
from tests.backend.calls import call as called
from tests.ops.cases import CASES
from tests.ops.derivatives import ours
from tests.ops.problems import Draw


def on_device(cupy, argument):
    if isinstance(argument, np.ndarray):
        return cupy.asarray(argument)
    if type(argument) in (list, tuple):  # a Window stays what it is
        return type(argument)(on_device(cupy, each) for each in argument)
    return argument


def on_host(cupy, result):
    if isinstance(result, tuple):
        return tuple(on_host(cupy, each) for each in result)
    assert isinstance(result, (cupy.ndarray, bool))
    return result.get() if isinstance(result, cupy.ndarray) else result


def test_numpy_cannot_touch_the_stand_in(cupy):
    """NumPy refuses the stand-in's arrays; otherwise the tests below would prove nothing."""
    x, host = cupy.asarray(np.ones(3)), np.ones(3)
    for touch in (
        lambda: np.exp(x),
        lambda: np.sum(x),
        lambda: np.asarray(x),
        lambda: host + x,
        lambda: x + host,
        lambda: np.concatenate([x, x]),
        lambda: host.__iadd__(x),
        lambda: cupy.exp(host),
        lambda: x[host.astype(int)],
    ):
        with pytest.raises(TypeError):
            touch()
    with pytest.raises((TypeError, ValueError)):
        host[...] = x
    assert (np.float32(2) * x).get().tolist() == [2.0] * 3


@pytest.mark.parametrize("kernel", CALLS)
def test_every_kernel_computes_where_its_arrays_are(cupy, kernel):
    for arguments in CALLS[kernel]:
        expected = called(getattr(backend, kernel), arguments)
        on_host_everywhere = 2 if kernel == "resample" else 0  # its table, the last two arguments
        moved = len(arguments) - on_host_everywhere
        given = [*on_device(cupy, list(arguments[:moved])), *arguments[moved:]]
        result = on_host(cupy, called(getattr(backend, kernel), given))
        for a, e in zip(
            result if isinstance(result, tuple) else [result],
            expected if isinstance(expected, tuple) else [expected],
            strict=True,
        ):
            np.testing.assert_array_equal(a, e)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_op_and_its_derivatives_stay_on_the_device(cupy, case):
    problem = case.draw(Draw.from_seed(1, 2))
    expected = ours(case, problem, 2)
    result = ours(case, problem, 2, device="cuda")
    assert result.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(result[name], array)


def network(device):
    """The losses, gradients and statistics of two training steps of conv, batch norm, residual, pool and linear."""
    rng = np.random.default_rng(0)

    def tensor(array, requires_grad=False):
        return mr.tensor(array, np.float32 if array.dtype.kind == "f" else None, requires_grad, device)

    x, labels = tensor(rng.normal(size=(4, 2, 8, 8))), tensor(rng.integers(0, 3, 4))
    shapes = [(2, 2, 3, 3), (2,), (2,), (3, 2)]
    parameters = w, scale, shift, classifier = [tensor(rng.normal(size=shape), True) for shape in shapes]
    mean, var, seen = tensor(np.zeros(2)), tensor(np.ones(2)), []
    for _ in range(2):
        h = F.conv2d(x, w, padding="same")
        h = F.batch_norm(h, mean, var, scale, shift, training=True, residual=x, relu=True)
        h = F.dropout(F.max_pool2d(h, 3, 2, 1), 0.1, generator=np.random.default_rng(1))
        h = F.adaptive_avg_pool2d(F.avg_pool2d(h, 2, 1), 1).flatten(1)
        loss = F.cross_entropy(F.linear(h, classifier), labels, label_smoothing=0.1)
        loss.backward()
        seen += [loss, *(parameter.grad for parameter in parameters)]
        for parameter in parameters:
            parameter.assign_(parameter.data - 0.1 * parameter.grad.data)
            parameter.grad = None
    with mr.no_grad():
        seen += [F.batch_norm(x, mean, var).softmax(1), mean, var, *parameters]
    assert {tensor.device for tensor in seen} == {"cpu" if device is None else "cuda:0"}
    return [tensor.numpy() for tensor in seen]


def test_a_training_step_on_the_device(cupy):
    with mr.use_backend("reference"):
        for on_device, on_cpu in zip(network("cuda"), network(None), strict=True):
            np.testing.assert_array_equal(on_device, on_cpu)


def test_a_training_step_by_the_kernels(cupy):
    """A training step with the CUDA kernels, on the simulator."""
    with mr.use_backend("reference"):
        expected = network(None)
    for on_device, on_cpu in zip(network("cuda"), expected, strict=True):
        np.testing.assert_allclose(on_device, on_cpu, rtol=1e-4, atol=1e-6)


def test_to_and_fro(cupy):
    x = mr.tensor(np.float32([1.0, 2.0]), requires_grad=True)
    y = x.to("cuda")
    assert (y.device, y.numpy().tolist(), repr(y)) == (
        "cuda:0",
        [1.0, 2.0],
        "tensor([1., 2.], device=cuda:0, op=ToDevice)",
    )
    assert isinstance(y.data, cupy.ndarray)
    assert y.to("cuda") is y.to("cuda:0") is y
    z = (y * y).to("cpu", np.float64)
    assert (z.device, z.dtype) == ("cpu", np.float64)
    z.sum().backward()
    assert (x.grad.device, x.grad.tolist()) == ("cpu", [2.0, 4.0])
    (first,) = mr.grad((x.to("cuda") ** 3).sum(), x, create_graph=True)
    assert mr.grad(first.sum(), x)[0].tolist() == [6.0, 12.0]


def test_indices_and_seeds_come_from_the_host(cupy):
    x = mr.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True, device="cuda")
    picked = F.cat(
        [x[:, np.array([2, 0])], x[:, [0, 1]], x[np.array([True, False])][:, mr.tensor([1, 2])].expand(2, 2)], 1
    )
    picked.backward(np.ones(picked.shape))
    assert x.grad.numpy().tolist() == [[2, 3, 3], [2, 1, 1]]
    assert x.device == x.grad.device == "cuda:0"


def test_devices_do_not_mix(cupy):
    here, there = mr.tensor(np.ones(2)), mr.tensor(np.ones(2), device="cuda")
    for call, op in (
        (lambda: here + there, "Add"),
        (lambda: there @ here, "MatMul"),
        (lambda: F.cat([here, there]), "Concatenate"),
    ):
        with pytest.raises(DeviceError, match=rf"{op}: inputs on different devices .*move them with \.to\(\)"):
            call()


def test_labels_masks_and_statistics_that_were_left_behind(cupy):
    """The most frequent mistake: the images are on the GPU, the labels are not."""
    there, index, mask = mr.tensor(np.ones((2, 3)), device="cuda"), mr.tensor([[0], [1]]), mr.tensor([[True] * 3] * 2)
    mean, var = mr.tensor(np.zeros(3)), mr.tensor(np.ones(3))
    for call, op in (
        (lambda: F.cross_entropy(there, mr.tensor([0, 1])), "cross_entropy"),
        (lambda: there.gather(1, index), "gather"),
        (lambda: there.scatter_add(1, index, there), "scatter_add"),
        (lambda: F.where(mask, there, there), "where"),
        (lambda: F.batch_norm(there, mean, var, training=True), "batch_norm"),
    ):
        with pytest.raises(DeviceError, match=rf"{op}: tensors on different devices .*move them with \.to\(\)"):
            call()


def test_a_gradient_on_another_device_names_the_op(cupy):
    class Stray(mr.Function):
        def forward(self, x):
            return x + 1

        def backward(self, g):
            return g.to("cpu")

    x = mr.tensor(np.ones(2), requires_grad=True, device="cuda")
    with pytest.raises(
        DeviceError, match="Stray: backward's gradient of input 0 is on cpu, but the tensor is on cuda:0"
    ):
        Stray()(x).backward(np.ones(2))


def test_the_engines_writers_keep_away_from_a_live_graph(cupy):
    """CuPy has no read-only flag, but assign_ knows which arrays a graph needs, and backward which have changed."""
    x = mr.tensor(np.ones(2), requires_grad=True, device="cuda")
    y = x * x
    kept = x.data
    assert is_locked(kept[1:])
    x.assign_(np.zeros(2))  # from the host
    assert kept.get().tolist() == [1.0, 1.0]
    assert x.tolist() == [0.0, 0.0]
    with pytest.raises(mr.MiniResError, match="Multiply: its input 0"):
        y.backward(np.ones(2))
    del y
    assert not is_locked(kept)


def test_changes_in_place_on_a_device(cupy):
    """Into the memory itself without a graph, and into a new one where a graph needs the numbers."""
    x = mr.tensor(np.arange(6.0).reshape(2, 3), device="cuda")
    array, row, detached = x.data, x[1], x.detach()
    x += 1
    row *= mr.tensor(np.array([1.0, 2.0, 3.0]), device="cuda")
    x[:, 0] = -1.0
    x[0, 1].zero_()
    detached.clamp_(max=17).sub_(mr.ones(3, dtype=np.float64).to("cuda"), alpha=2)
    assert x.data is array
    assert x.tolist() == detached.tolist() == [[-3.0, -2.0, 1.0], [-3.0, 8.0, 15.0]]
    w = mr.tensor(np.ones(3), requires_grad=True, device="cuda")
    product = w * x
    row.fill_(4.0)
    assert x.tolist() == [[-3.0, -2.0, 1.0], [4.0] * 3]
    with pytest.raises(mr.MiniResError, match="Multiply: its input 1"):
        product.sum().backward()
    h = w * 3
    h[1:].mul_(2)
    h[0] = w[2] * 5
    h.backward(np.array([1.0, 10.0, 100.0]))
    assert w.grad.tolist() == [0.0, 60.0, 605.0]
    with mr.no_grad():
        w -= 0.1 * w.grad
        w.normal_(1.0, 0.0).copy_(np.arange(3.0))
    assert w.tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(DeviceError, match="different devices"):
        x.add_(mr.ones(3))


def test_anomalies_are_found_there(cupy):
    with mr.detect_anomaly(), pytest.raises(mr.MiniResError, match="Log: the first NaN or infinity"):
        mr.tensor(np.zeros(2), device="cuda").log()


def test_a_device_that_is_not_there(cupy):
    with pytest.raises(DeviceError, match="no GPU 1: this machine has 1"):
        mr.tensor([1.0]).to("cuda:1")
