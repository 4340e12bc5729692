"""A compiled model answers as the model does, whatever the model, the shape, the thread and the provider."""

from __future__ import annotations

import functools
import os
import re
import signal
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minires as mr
from minires import functional as F
from minires import inference, models, nn
from minires.backend import cpu
from minires.errors import DtypeError, MiniResError, ShapeError

needs_kernels = pytest.mark.skipif(cpu.library is None, reason="the C kernels were not built")


def lived_in(model: nn.Module, seed: int = 0) -> nn.Module:
    """Batch norm with statistics and parameters as after training: a fresh one is the identity, and hides mistakes."""
    rng = np.random.default_rng(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            shape = module.weight.shape
            module.running_mean.assign_(rng.normal(0, 0.5, shape))
            module.running_var.assign_(rng.uniform(0.3, 3, shape))
            module.weight.assign_(rng.uniform(0.5, 1.5, shape))
            module.bias.assign_(rng.normal(0, 0.2, shape))
    return model.eval()


def images(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def assert_answers_alike(compiled, model, x: np.ndarray, tolerance: float = 1e-5) -> None:
    with mr.no_grad():
        expected = model(mr.tensor(x)).numpy()
    ours = compiled(x)
    assert ours.shape == expected.shape
    assert ours.dtype == expected.dtype
    np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance * np.abs(expected).max())


NETWORKS = {
    "resnet18": (lambda: models.resnet18(num_classes=7), (2, 3, 64, 64)),
    "resnet50": (lambda: models.resnet50(num_classes=7), (1, 3, 64, 64)),
    "resnet20, A": (lambda: models.resnet20(num_classes=10), (3, 3, 32, 32)),
    "resnet20, B": (lambda: models.resnet20(num_classes=10, shortcut="B"), (2, 3, 32, 32)),
    "resnet20, C": (lambda: models.resnet20(num_classes=10, shortcut="C"), (2, 3, 32, 32)),
    "plain20": (lambda: models.plain20(num_classes=10), (2, 3, 32, 32)),
    "odd sizes": (lambda: models.resnet18(num_classes=3, in_channels=1), (1, 1, 37, 51)),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "resnet50")) for name in NETWORKS]
)
@pytest.mark.parametrize("provider", ["reference", *(["cpu"] if cpu.library else [])])
def test_networks(name, provider):
    make, shape = NETWORKS[name]
    model = lived_in(make())
    with mr.use_backend(provider):
        assert_answers_alike(inference.compile(model, images(*shape)), model, images(*shape, seed=2))


def test_other_shapes_are_planned_when_they_come():
    model = lived_in(models.resnet20(num_classes=10))
    compiled = inference.compile(model, images(2, 3, 32, 32))
    for shape in ((1, 3, 32, 32), (5, 3, 32, 32), (2, 3, 40, 24), (2, 3, 32, 32)):
        assert_answers_alike(compiled, model, images(*shape))
        assert str(shape[0]) in compiled.describe(shape)
    with pytest.raises(ShapeError, match=r"no plan for inputs of shape \(9, 3, 32, 32\); there is one for"):
        compiled.describe((9, 3, 32, 32))


def test_the_plans_that_are_remembered_are_few():
    compiled = inference.compile(F.relu, images(1, 2, 3, 3))
    for n in range(1, 2 * inference.MAX_PLANS):
        np.testing.assert_array_equal(compiled(images(n, 2, 3, 3)), np.maximum(images(n, 2, 3, 3), 0))
    assert len(compiled._plans) == inference.MAX_PLANS


def test_weights_are_packed_once_for_all_shapes():
    compiled = inference.compile(lived_in(models.plain20()), images(2, 3, 32, 32))
    before = len(compiled._weights._folded)
    compiled(images(3, 3, 32, 32))
    assert len(compiled._weights._folded) == before == 20


def test_it_is_called_like_the_model():
    model = lived_in(models.resnet20(num_classes=10))
    x = images(2, 3, 32, 32)
    compiled = inference.compile(model, mr.tensor(x))
    answer = compiled(mr.tensor(x))
    assert isinstance(answer, mr.Tensor)
    assert not answer.requires_grad
    np.testing.assert_array_equal(answer.numpy(), compiled(x))


def test_several_outputs():
    model = lived_in(models.resnet18())
    x = images(1, 3, 64, 64)
    features = inference.compile(model.features, x)(x)
    with mr.no_grad():
        expected = model.features(mr.tensor(x))
    assert list(features) == ["layer1", "layer2", "layer3", "layer4"]
    for name, array in features.items():
        np.testing.assert_allclose(array, expected[name].numpy(), atol=1e-4)
    both = inference.compile(lambda x: (x * 2.0, F.relu(x)), x)(x)
    assert isinstance(both, tuple)
    np.testing.assert_array_equal(both[0], x * 2)


def test_results_are_the_callers_own():
    """The next call must not write into what the last one returned."""
    compiled = inference.compile(lived_in(models.resnet20()), images(2, 3, 32, 32))
    first = compiled(images(2, 3, 32, 32, seed=3))
    kept = first.copy()
    compiled(images(2, 3, 32, 32, seed=4))
    np.testing.assert_array_equal(first, kept)
    x = images(1, 4, 5, 5)
    same = inference.compile(lambda x: x.reshape(1, 100), x)(x)
    assert not np.shares_memory(same, x)


def test_a_snapshot():
    model = lived_in(models.resnet20())
    x = images(2, 3, 32, 32)
    compiled = inference.compile(model, x)
    before = compiled(x)
    for parameter in model.parameters():
        parameter.assign_(0)
    np.testing.assert_array_equal(compiled(x), before)
    np.testing.assert_allclose(compiled(x[:1]), before[:1], atol=1e-5)  # planned after the change


def exit_of_a_fork(work) -> int:
    """The exit status of a forked child that does `work`; it must not hang."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if (found := os.waitpid(child, os.WNOHANG))[0]:
            return os.waitstatus_to_exitcode(found[1])
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError("the child hangs")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_while_another_thread_plans():
    planning, go_on = threading.Event(), threading.Event()

    def model(x):
        if x.shape[0] == 3:
            planning.set()
            assert go_on.wait(30)
        return F.relu(x)

    compiled = inference.compile(model, images(1, 2, 3, 3))
    other = threading.Thread(target=lambda: compiled(images(3, 2, 3, 3)))
    other.start()
    try:
        assert planning.wait(30)
        assert exit_of_a_fork(lambda: (compiled(images(1, 2, 3, 3)), compiled(images(2, 2, 3, 3)))) == 0
    finally:
        go_on.set()
        other.join()


def test_threads_do_not_disturb_each_other():
    model = lived_in(models.resnet20())
    batches = [images(2, 3, 32, 32, seed=seed) for seed in range(8)]
    compiled = inference.compile(model, batches[0])
    expected = [compiled(x) for x in batches]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for ours, theirs in zip(pool.map(compiled, batches), expected, strict=True):
                np.testing.assert_array_equal(ours, theirs)


@needs_kernels
def test_a_call_takes_its_buffers_from_the_kept_memory_and_gives_them_back():
    compiled = inference.compile(lived_in(models.resnet18(num_classes=1000)), images(4, 3, 64, 64))
    x = images(4, 3, 64, 64)
    for _ in range(3):  # the second thread of the kernels may first join in the second call
        compiled(x)
    before = cpu.cache_state()
    buffers = 4 * sum(next(iter(compiled._plans.values()))._sizes)
    tracemalloc.start()
    result = compiled(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < buffers + result.nbytes + 20_000  # Python's own objects
    after = cpu.cache_state()
    assert after.in_use == before.in_use
    assert after.kept <= before.kept + 2**20


@needs_kernels
def test_what_is_fused():
    model = lived_in(models.resnet18())
    description = inference.compile(model, images(1, 3, 64, 64)).describe()
    lines = [line for line in description.splitlines() if "conv" in line]
    assert len(lines) == 21  # 20 convolutions and the classifier; batch norm, sums and ReLUs are in them
    assert sum("residual" in line for line in lines) == 8
    for word in ("batch norm", "Add", "Divide", "MatMul", "BatchNormEval"):
        assert word not in description
    # The stem's output at 64×64, 64·32·32 numbers, is 0.25 MiB, and all buffers are less than three of it.
    found = re.search(r"^3 buffers, (\d\.\d) MiB during each call$", description, re.MULTILINE)
    assert found
    assert 0.1 <= float(found[1]) <= 0.8


def test_two_batch_norms_behind_one_convolution_do_not_mix():
    class Shared(nn.Module):
        def __init__(self):
            self.conv = nn.Conv2d(3, 8, 3, padding=1)
            self.bn1, self.bn2 = nn.BatchNorm2d(8), nn.BatchNorm2d(8)

        def forward(self, x):
            return F.relu(self.bn1(self.conv(x))) - self.bn2(self.conv(x))

    model = lived_in(Shared())
    compiled = inference.compile(model, images(2, 3, 9, 9))
    assert_answers_alike(compiled, model, images(3, 3, 9, 9))


def test_what_several_read_is_not_fused_away():
    conv = nn.Conv2d(4, 4, 3, padding=1)
    bn = lived_in(nn.BatchNorm2d(4))

    def both(x):
        y = conv(x)
        return F.relu(bn(y)) + y + x

    assert_answers_alike(inference.compile(both, images(2, 4, 8, 8)), both, images(2, 4, 8, 8, seed=5))


@pytest.mark.parametrize("groups", [2, 4])
def test_groups_and_other_dtypes(groups):
    block = lived_in(nn.Sequential(nn.Conv2d(4, 8, 3, groups=groups), nn.BatchNorm2d(8), nn.ReLU()))
    assert_answers_alike(inference.compile(block, images(2, 4, 9, 9)), block, images(2, 4, 9, 9))
    block.to(dtype=np.float64)
    x = images(2, 4, 9, 9).astype(np.float64)
    assert_answers_alike(inference.compile(block, x), block, x, 1e-12)


class InvertedResidual(nn.Module):
    """A block of MobileNetV2, with a convolution in groups besides."""

    def __init__(self, groups: int) -> None:
        self.expand = nn.Sequential(nn.Conv2d(4, 24, 1, bias=False), nn.BatchNorm2d(24))
        self.depthwise = nn.Sequential(nn.Conv2d(24, 24, 3, padding=1, groups=24, bias=False), nn.BatchNorm2d(24))
        self.grouped = nn.Sequential(nn.Conv2d(24, 16, 3, padding=1, groups=groups), nn.BatchNorm2d(16))
        self.project = nn.Sequential(nn.Conv2d(16, 4, 1, bias=False), nn.BatchNorm2d(4))

    def forward(self, x):
        y = F.clamp(self.depthwise(F.clamp(self.expand(x), 0, 6)), 0, 6)
        return x + self.project(F.relu(self.grouped(y)))


@needs_kernels
@pytest.mark.parametrize("provider", ["reference", "cpu"])
def test_blocks_with_groups_are_fused(provider):
    model = lived_in(InvertedResidual(8))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.assign_(8 * module.weight.data)  # so that ReLU6 meets its limit
    with mr.use_backend(provider):
        compiled = inference.compile(model, images(2, 4, 9, 8))
        assert_answers_alike(compiled, model, images(2, 4, 9, 8, seed=2))
    if provider == "cpu":
        names = [line.split("  ")[0] for line in compiled.describe().splitlines()[:-1]]
        assert names == [
            "to channels-last",
            "conv 1×1 + bias, ReLU6 (direct)",
            "conv 3×3 + bias, ReLU6 (depthwise)",
            "conv 3×3 + bias, ReLU (direct, 8 groups)",
            "conv 1×1 + bias + residual (direct)",
        ]


@needs_kernels
def test_one_weight_of_two_convolutions_with_other_groups():
    w = mr.tensor(images(4, 1, 1, 1))

    def model(x):
        return F.conv2d(x, w, groups=4) + F.conv2d(x[:, :1], w) + F.conv2d(x[:, :2], w, groups=2)

    compiled = inference.compile(model, images(2, 4, 5, 5))
    assert_answers_alike(compiled, model, images(2, 4, 5, 5, seed=2))


@pytest.mark.parametrize("low", [0, 0.5])
def test_only_a_clip_from_zero_is_a_relu(low):
    model = nn.Sequential(nn.Conv2d(3, 5, 3))
    compiled = inference.compile(lambda x: F.clamp(model(x), low, 0.6), images(1, 3, 7, 7))
    assert_answers_alike(compiled, lambda x: F.clamp(model(x), low, 0.6), images(1, 3, 7, 7, seed=3))
    with_nan = images(1, 3, 7, 7)
    with_nan[0, 0, 0, 0] = np.nan
    assert np.isnan(compiled(with_nan)).sum() == 5


def test_linear_layers():
    net = nn.Sequential(nn.Linear(30, 50), nn.ReLU(), nn.Linear(50, 7, bias=False), nn.ReLU()).eval()
    x = images(9, 30)
    assert_answers_alike(inference.compile(net, x), net, x)


@pytest.mark.parametrize(
    "model",
    [lambda x: F.relu(x.sum()), lambda x: x.sum() + (x * x).sum(), lambda x: (F.relu(x.mean()), x.sum())[0]],
    ids=["ReLU", "a sum of sums", "ReLU of a mean"],
)
def test_a_single_number(model):
    assert_answers_alike(inference.compile(model, images(2, 3, 4, 4)), model, images(2, 3, 4, 4, seed=3) + 1)


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4, 4), (5,)])
@pytest.mark.parametrize("model", [F.relu, lambda x: F.relu(x + x), lambda x: x + x], ids=["ReLU", "add, ReLU", "add"])
def test_misaligned_inputs(model, shape):
    memory = np.zeros(4 * int(np.prod(shape)) + 1, np.uint8)
    x = memory[1:].view(np.float32).reshape(shape)
    x[...] = images(*shape)
    assert not x.flags.aligned
    assert_answers_alike(inference.compile(model, images(*shape, seed=5)), model, x)


def test_an_empty_batch():
    model = lived_in(models.resnet20())
    compiled = inference.compile(model, images(2, 3, 32, 32))
    assert compiled(images(0, 3, 32, 32)).shape == (0, 10)


# -- networks drawn at random: buffers must live as long as their last reader, views included ------------------------

CONVOLUTIONS = [lived_in(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)), seed) for seed in range(3)]
NORM = lived_in(nn.BatchNorm2d(4), 7)
OPERATIONS = {
    "conv": lambda a, b: CONVOLUTIONS[0](a),
    "conv, relu": lambda a, b: F.relu(CONVOLUTIONS[1](a)),
    "conv + residual": lambda a, b: F.relu(CONVOLUTIONS[2](a) + b),
    "norm": lambda a, b: NORM(a),
    "norm + residual": lambda a, b: NORM(a, residual=b, relu=True),
    "relu": lambda a, b: F.relu(a),
    "add": lambda a, b: a + b,
    "add to itself": lambda a, b: a + a,
    "add, relu": lambda a, b: F.relu(a + b),
    "multiply": lambda a, b: a * b,
    "max pool": lambda a, b: F.max_pool2d(a, 3, 1, 1),
    "average pool": lambda a, b: F.avg_pool2d(a, 3, 1, 1),
    "there and back": lambda a, b: a.reshape(a.shape[0], -1).reshape(*a.shape),
    "flip": lambda a, b: F.flip(a, (3,)),
    "turn": lambda a, b: a.permute(0, 1, 3, 2),
    "cut and pad": lambda a, b: F.pad(a[:, 1:, :, 1:], (1, 0, 0, 0, 0, 1)),
    "mean": lambda a, b: b - a.mean((2, 3), keepdim=True),
}


@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(OPERATIONS)), st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=12
    ),
    st.lists(st.integers(0, 99), max_size=2),
)
def test_any_network(program, more_outputs):
    def network(x):
        values = [x]
        for name, a, b in program:
            value = OPERATIONS[name](values[a % len(values)], values[b % len(values)])
            values.append(value / (1.0 + 0.1 * len(values)))
        return tuple(values[-1 - number % (len(values) - 1)] for number in [0, *more_outputs])

    x = images(2, 4, 6, 6)
    compiled = inference.compile(network, images(2, 4, 6, 6, seed=9))
    with mr.no_grad():
        expected = network(mr.tensor(x))
    for _ in range(2):
        for ours, theirs in zip(compiled(x), expected, strict=True):
            largest = np.abs(theirs.numpy()).max()
            np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=1e-4 * largest)


# -- what cannot be compiled -----------------------------------------------------------------------------------------


def test_a_model_in_training_mode_is_refused():
    with pytest.raises(MiniResError, match=r"the model \(ResNet\) is in training mode; call model\.eval\(\)"):
        inference.compile(models.resnet20(), images(2, 3, 32, 32))


def test_the_part_that_is_in_training_mode_is_named():
    model = models.resnet20().eval()
    model.fc = nn.Sequential(nn.Linear(64, 10), nn.Dropout(0.5))  # after eval(), as in fine-tuning
    with pytest.raises(MiniResError, match=r"'fc' \(Sequential\) is in training mode; call model\.eval\(\) first"):
        inference.compile(model, images(2, 3, 32, 32))
    model.train()
    for part in model.children():
        part.eval()
    with pytest.raises(MiniResError, match=r"the model itself \(ResNet\), though not its parts, is in training mode"):
        inference.compile(model, images(2, 3, 32, 32))


@pytest.mark.parametrize(
    "sees_numbers",
    [
        lambda x: F.where(mr.tensor(x.data > 0), x, x * 0.5),
        lambda x: x if float(x.data.sum()) > 0 else -x,
        lambda x: mr.tensor(x.data * 2) + x,
    ],
    ids=["a mask from the input", "a branch", "NumPy in between"],
)
def test_what_a_plan_cannot_see_is_refused(sees_numbers):
    x = images(1, 2, 4, 4)
    with pytest.raises(MiniResError, match="the plan's output is not the model's"):
        inference.compile(sees_numbers, x if x.sum() > 0 else -x)


@pytest.mark.parametrize("threshold", [0, 0.5])
def test_an_example_without_numbers_does_not_hide_a_branch(threshold):
    def branches(x):
        return F.relu(x) if float(x.data.sum()) >= -threshold else x * 2.0

    with pytest.raises(MiniResError, match="the plan's output is not the model's for other numbers"):
        inference.compile(branches, np.zeros((1, 1, 2, 2), np.float32))


def test_a_refusal_says_by_how_much_and_names_both_causes(monkeypatch):
    monkeypatch.setattr(inference, "TOLERANCE", 1e-12)  # now the order of a sum makes a difference
    model = lived_in(nn.Sequential(nn.Conv2d(16, 16, 3), nn.BatchNorm2d(16)))
    by_how_much = (
        r"an output \(2, 16, 4, 4\) is off by \S+e-\S+, its largest number is \S+, and 1e-12 of that is allowed"
    )
    with pytest.raises(
        MiniResError,
        match=rf"{by_how_much}\. Either .*forward depends on.*; or the plan rounds differently",
    ):
        inference.compile(model, images(2, 16, 6, 6))


@pytest.mark.parametrize(
    "rarely",
    [
        lambda x: x * 2.0 if x.max().item() > 100 else x * 3.0,
        lambda x: x * 2.0 if x.max() > 100 else x * 3.0,
        lambda x: x * 2.0 if float(x.detach().sum()) > 1e6 else x * 3.0,
        lambda x: x * int(x.mean() * 1e-6 + 2.0),
        lambda x: x * float(np.asarray(x).max() > 100),
        lambda x: x * (1.0 + (x.numpy() > 100).any()),
        lambda x: x * (1.0 + (x.sum().tolist() > 1e6)),
        lambda x: F.where(x > 100, x, x * 0.5),
        lambda x: x * (x * 0.001).astype(np.int64).astype(np.float32) + x,
        lambda x: x * float(len(x[x > 100]) > 0) + x,
    ],
)
def test_a_branch_that_is_rarely_taken_is_refused(rarely):
    """Neither the example nor the probe takes it: the plan would equal the model on both, and be wrong elsewhere."""
    with pytest.raises(MiniResError, match=r"test_compile\.py:\d+: lambda x: .*depends on the numbers of its input"):
        inference.compile(rarely, images(1, 2, 4, 4))


def test_shapes_constants_and_other_dtypes_may_decide():
    """What does not depend on the numbers of the input may be read."""
    weight = mr.tensor([[2.0, 0.0], [0.0, 3.0]])

    def decides(x):
        y = x * float(x.shape[0]) if x.shape[1] > 1 and weight.max().item() > 1 else -x
        return (F.matmul(y, weight) if bool((weight > 1).data.any()) else y).astype(np.float64)

    x = images(2, 2, 3, 2)
    np.testing.assert_allclose(inference.compile(decides, x)(x), 2.0 * x * [2.0, 3.0], rtol=1e-6)


class Normed(nn.Module):
    def __init__(self):
        self.conv, self.bn, self.drop = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)

    def forward(self, x):
        return self.bn(self.conv(x))

    def dropped(self, x):
        return self.drop(self.conv(x))


@pytest.mark.parametrize(
    "of", [lambda net: net.forward, lambda net: lambda x: net(x), lambda net: functools.partial(Normed.forward, net)]
)
def test_a_function_that_calls_a_model_in_training_mode_is_refused(of):
    net, x = Normed(), images(2, 3, 6, 6)
    with pytest.raises(MiniResError, match=r"return self\.bn.*: batch norm is in training mode.*call eval\(\)"):
        inference.compile(of(net), x)
    assert not net.bn.running_mean.numpy().any()
    assert net.bn.num_batches_tracked.item() == 0
    net.eval()
    np.testing.assert_allclose(inference.compile(of(net), x)(x), net(mr.tensor(x)).numpy(), rtol=0, atol=1e-4)


def test_a_function_with_active_dropout_is_refused():
    with pytest.raises(MiniResError, match=r"return self\.drop.*: dropout is active.*call eval\(\)"):
        inference.compile(Normed().dropped, images(2, 3, 6, 6))


@pytest.mark.parametrize("of", [lambda net: net, lambda net: lambda x: net(x)], ids=["a module", "a function"])
def test_forward_hooks_of_what_is_compiled_are_warned_of(of):
    net, seen, x = Normed().eval(), [], images(2, 3, 6, 6)
    handle = net.conv.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with pytest.warns(UserWarning, match="forward hooks of Conv2d run only while the model is compiled") as warned:
        compiled = inference.compile(of(net), x)
    assert [warning.filename for warning in warned] == [__file__]
    seen.clear()
    compiled(x)
    assert seen == []
    handle.remove()
    inference.compile(of(net), x)  # without a warning


def test_an_answer_without_the_input_is_refused():
    with pytest.raises(MiniResError, match="does not depend on its input"):
        inference.compile(lambda x: mr.zeros(2), images(1, 2, 4, 4))
    with pytest.raises(MiniResError, match="returns a float"):
        inference.compile(lambda x: float(x.data.sum()), images(1, 2, 4, 4))


@pytest.mark.parametrize("example", [np.zeros((1, 2, 3, 3), int), [[1.0]], np.zeros((0, 2, 3, 3), np.float32)])
def test_a_bad_example_is_refused(example):
    with pytest.raises(DtypeError, match="the example must be"):
        inference.compile(F.relu, example)


def test_a_bad_input_is_refused():
    compiled = inference.compile(F.relu, images(1, 2, 3, 3))
    with pytest.raises(DtypeError, match="needs a Tensor or an array, got a list"):
        compiled([1.0])
    model = lived_in(models.resnet20())
    compiled = inference.compile(model, images(1, 3, 32, 32))
    with pytest.raises(ShapeError, match="channels"):
        compiled(images(1, 4, 32, 32))
