"""A model compiled for the GPU, its steps fused and its plan captured as a graph, answers as the model does."""

from __future__ import annotations

import gc
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import minires as mr
from minires import cuda, inference, models, nn
from minires import functional as F
from minires.backend.cuda import convolution
from minires.backend.cuda import graph as cuda_graph
from minires.backend.shapes import Window
from minires.errors import MiniResError, OutOfMemoryError
from minires.inference.cuda_steps import FusedConvolution
from minires.inference.packed_weights import FoldedWeights
from tests.inference.test_compile import images, lived_in

CAPTURED = "captured as a CUDA graph"


class Small(nn.Module):
    """Every kind of step: stem, pooling, residual block, two linear layers with a ReLU between."""

    def __init__(self) -> None:
        self.stem, self.bn1 = nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv, self.bn2 = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.hidden, self.fc = nn.Linear(4, 6), nn.Linear(6, 5, bias=False)

    def forward(self, x):
        x = F.max_pool2d(self.bn1(self.stem(x), relu=True), 3, 2, 1)
        x = self.bn2(self.conv(x), residual=x, relu=True)
        return self.fc(F.relu(self.hidden(F.flatten(F.adaptive_avg_pool2d(x, 1), 1))))


def on_gpu(array: np.ndarray) -> mr.Tensor:
    return mr.tensor(array, device="cuda")


def answers(model, x: np.ndarray) -> np.ndarray:
    with mr.no_grad():
        return model(on_gpu(x)).numpy()


def assert_close(ours: np.ndarray, expected: np.ndarray, tolerance: float = 1e-5) -> None:
    assert (ours.shape, ours.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.fixture
def model(device):
    mr.manual_seed(0)  # of some weights all hidden units are dead, and then every answer is zero
    return lived_in(Small()).to("cuda")


@pytest.fixture
def replays(device, monkeypatch):
    """How many there have been."""
    count = []
    replay = cuda_graph.Graph.replay
    monkeypatch.setattr(cuda_graph.Graph, "replay", lambda self: (count.append(1), replay(self))[1])
    return count


def test_it_answers_as_the_model_does(model, replays):
    compiled = inference.compile(model, on_gpu(images(2, 3, 12, 12)))
    before = len(replays)
    for seed in (1, 2, 3):
        x = images(2, 3, 12, 12, seed=seed)
        answer = compiled(on_gpu(x))
        assert answer.device == "cuda:0"
        assert_close(answer.numpy(), answers(model, x))
    assert len(replays) - before == 3
    for step in ("conv 3×3 + bias, ReLU (CUDA)", "conv 3×3 + bias + residual, ReLU (CUDA)", CAPTURED):
        assert step in compiled.describe()
    for step in ("linear + bias, ReLU (CUDA)", "linear (CUDA)"):
        assert step in compiled.describe()


def test_resnet8(device):
    model = lived_in(models.build("resnet8", num_classes=10, in_channels=3)).to("cuda")
    x = images(2, 3, 8, 8)
    assert_close(inference.compile(model, on_gpu(x))(on_gpu(x)).numpy(), answers(model, x))


def test_with_tf32_it_answers_as_exactly_as_tf32_is(model, request):
    request.addfinalizer(lambda: mr.allow_tf32(False))
    x = images(2, 3, 12, 12)
    exact = answers(model, x)
    mr.allow_tf32(True)
    compiled = inference.compile(model, on_gpu(x))
    assert CAPTURED in compiled.describe()
    assert_close(compiled(on_gpu(x)).numpy(), exact, 1e-2)


def test_a_call_makes_arrays_alone_that_are_its_own(model, device):
    compiled = inference.compile(model, on_gpu(images(2, 3, 12, 12)))
    x, y = images(2, 3, 12, 12, seed=1), images(2, 3, 12, 12, seed=2)
    first = compiled(on_gpu(x).data)
    kept = first.get()
    second = compiled(on_gpu(y).data)
    np.testing.assert_array_equal(first.get(), kept)
    assert not np.array_equal(second.get(), kept)
    assert isinstance(first, device.cupy.ndarray)


def test_every_shape_has_a_graph(model):
    compiled = inference.compile(model, on_gpu(images(2, 3, 12, 12)))
    for shape in ((1, 3, 12, 12), (3, 3, 9, 10), (2, 3, 12, 12)):
        assert_close(compiled(on_gpu(images(*shape))).numpy(), answers(model, images(*shape)))
        assert CAPTURED in compiled.describe(shape)


def test_weights_are_packed_once_for_all_shapes(model):
    compiled = inference.compile(model, on_gpu(images(2, 3, 12, 12)))

    def packed():
        steps = [step for plan in compiled._plans.values() for step in plan.plan.steps]
        return {id(step.packed) for step in steps if isinstance(step, FusedConvolution)}

    before = packed()
    compiled(on_gpu(images(1, 3, 12, 12)))
    assert packed() == before
    assert len(before) == 4


def test_it_is_a_snapshot(model):
    x = images(2, 3, 12, 12)
    compiled = inference.compile(model, on_gpu(x))
    function = inference.compile(lambda x: model(x), on_gpu(x))
    expected, smaller = answers(model, x), answers(model, x[:1])
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.assign_(tensor.numpy() * 0.5 + 0.1)
    assert not np.allclose(answers(model, x), expected, rtol=1e-2)
    for each in (compiled, function):
        assert_close(each(on_gpu(x)).numpy(), expected)
        assert_close(each(on_gpu(x[:1])).numpy(), smaller)


def test_several_outputs_and_the_input_as_one_of_them(device):
    compiled = inference.compile(
        lambda x: {"twice": x * 2.0, "positive": F.relu(x), "flat": x.flatten(1)}, on_gpu(images(2, 3))
    )
    x = images(2, 3, seed=5)
    found = compiled(on_gpu(x))
    np.testing.assert_array_equal(found["twice"].numpy(), 2 * x)
    np.testing.assert_array_equal(found["positive"].numpy(), np.maximum(x, 0))
    np.testing.assert_array_equal(found["flat"].numpy(), x)
    compiled(on_gpu(images(2, 3, seed=6)))
    np.testing.assert_array_equal(found["flat"].numpy(), x)


def test_threads_take_turns(model):
    compiled = inference.compile(model, on_gpu(images(1, 3, 12, 12)))
    inputs = [images(1, 3, 12, 12, seed=seed) for seed in range(12)]
    expected = [answers(model, x) for x in inputs]
    with ThreadPoolExecutor(4) as threads:
        for ours, theirs in zip(threads.map(lambda x: compiled(on_gpu(x)).numpy(), inputs), expected, strict=True):
            assert_close(ours, theirs)


class Unusual(nn.Module):
    """Its convolution is none of the CUDA kernels'."""

    def __init__(self, *geometry: int, **options: int) -> None:
        self.conv = nn.Conv2d(4, 4, *geometry, **options)

    def forward(self, x):
        return F.relu(self.conv(x))


@pytest.mark.parametrize("make", [lambda: Unusual(1, dilation=1 << 30)])
def test_what_no_graph_can_hold_runs_step_by_step_and_says_why(device, replays, make):
    model, x = make().to("cuda").eval(), images(2, 4, 6, 6)
    compiled = inference.compile(model, on_gpu(x))
    assert_close(compiled(on_gpu(x)).numpy(), answers(model, x))
    assert "the model cannot be captured as a CUDA graph: a product that the CUDA kernels" in compiled.describe()
    assert replays == []


def test_other_dtypes_and_providers_have_no_graph(model, replays):
    x = images(2, 3, 12, 12)
    with mr.use_backend("reference"):
        compiled = inference.compile(model, on_gpu(x))
        assert_close(compiled(on_gpu(x)).numpy(), answers(model, x))
    double = lived_in(Small()).to("cuda", np.float64)
    assert_close(inference.compile(double, on_gpu(x.astype(np.float64)))(on_gpu(x.astype(np.float64))).numpy(),
                 answers(double, x.astype(np.float64)))  # fmt: skip
    assert replays == []
    assert_close(compiled(on_gpu(x)).numpy(), answers(model, x))  # and now it has one
    assert replays


def test_a_model_that_decides_by_its_numbers_is_still_refused(device):
    with pytest.raises(MiniResError, match="depends on the numbers of its input"):
        inference.compile(lambda x: x * 2.0 if float(x.sum()) > 0 else x, on_gpu(np.ones((2, 3), np.float32)))


def test_a_full_memory_is_told_in_our_words(model, device, monkeypatch):
    if not device.is_simulated:
        pytest.skip("a GPU's memory is not filled for a test")
    fast = inference.compile(model, on_gpu(images(1, 3, 9, 9)))

    def full(*_):
        raise device.cupy.cuda.memory.OutOfMemoryError(4096, 1024)

    monkeypatch.setattr(convolution.layout, "empty_image", full)
    with pytest.raises(OutOfMemoryError, match=r"the GPU's memory is full: .*4,096 bytes"):
        fast(on_gpu(images(2, 3, 9, 9)))
    w = model.conv.weight.data
    step = FusedConvolution((0,), 1, FoldedWeights(w, None), w, False, math.inf, Window((3, 3), padding=(1, 1)), 1)
    with pytest.raises(OutOfMemoryError, match=r"conv 3×3.*\(CUDA\): the GPU's memory is full"):
        step.run([on_gpu(images(1, 4, 9, 9)).data], None)


def test_a_memory_too_full_for_a_graph_leaves_the_plan_and_says_so(model, device, replays, monkeypatch):
    if not device.is_simulated:
        pytest.skip("a GPU's memory is not filled for a test")
    gc.collect()
    cuda.empty_cache()
    gpu, capture = device.cupy.gpu, cuda_graph.Workspace.capture
    free = gpu.free

    def in_full_memory(workspace, work, what):
        workspace.pool.free_all_blocks()  # what the run before the capture left
        with monkeypatch.context() as full:
            full.setattr(gpu, "free", 0)
            return capture(workspace, work, what)

    monkeypatch.setattr(cuda_graph.Workspace, "capture", in_full_memory)
    x = images(2, 3, 12, 12)
    compiled = inference.compile(model, on_gpu(x))
    assert_close(compiled(on_gpu(x)).numpy(), answers(model, x))
    said = compiled.describe().splitlines()[-1]
    assert ": the GPU's memory is full: Out of memory allocating" in said
    assert replays == []
    assert gpu.free == free  # all that the capture took is given back


def test_the_memory_of_evicted_plans_is_given_back(model, device):
    if not device.is_simulated:
        pytest.skip("others take memory of a real GPU too")
    gc.collect()
    cuda.empty_cache()
    gpu = device.cupy.gpu
    free = gpu.free
    compiled = inference.compile(model, on_gpu(images(1, 3, 12, 12)))
    taken = []
    for n in range(2, 12):
        compiled(on_gpu(images(n % 3 + 1, 3, 12, 12 + n)))
        taken.append(free - gpu.free)
    assert len(compiled._plans) < len(taken)
    assert taken[-1] <= 2 * taken[5]
    del compiled
    gc.collect()
    cuda.empty_cache()
    assert (gpu.free, gpu.lost) == (free, [])
