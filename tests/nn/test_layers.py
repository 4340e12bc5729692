"""Layers: each computes what its function does, with the parameters and buffers of torch's, and prints itself."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import minires as mr
from minires import nn
from minires.errors import ShapeError

FAMILIES = ("convolution", "pooling", "normalization", "padding", "resampling", "layers")  # the files

# A layer of ours, PyTorch's by the same call, and the shape of its input.
TWINS = {
    "Linear": (lambda m: m.Linear(5, 3), (4, 5)),
    "Linear, no bias, more axes": (lambda m: m.Linear(5, 3, bias=False), (2, 4, 5)),
    "Conv2d": (lambda m: m.Conv2d(3, 4, 3), (2, 3, 7, 6)),
    "Conv2d, all settings": (lambda m: m.Conv2d(4, 6, (3, 2), (2, 1), (2, 1), (1, 2), 2, False), (2, 4, 9, 8)),
    "Conv2d, same": (lambda m: m.Conv2d(2, 3, 3, padding="same", dilation=2), (1, 2, 7, 6)),
    "Conv2d, valid": (lambda m: m.Conv2d(2, 3, 3, padding="valid"), (1, 2, 7, 6)),
    "BatchNorm2d": (lambda m: m.BatchNorm2d(3, eps=1e-3, momentum=0.3), (4, 3, 5, 6)),
    "Conv2d, one image": (lambda m: m.Conv2d(3, 4, 3), (3, 7, 6)),
    "Conv2d, reflecting": (lambda m: m.Conv2d(2, 3, (3, 2), 2, (2, 1), padding_mode="reflect"), (2, 2, 7, 6)),
    "Conv2d, replicating": (lambda m: m.Conv2d(2, 3, 2, padding="same", padding_mode="replicate"), (2, 2, 5, 6)),
    "Conv1d": (lambda m: m.Conv1d(4, 6, 3, 2, 1, 2, 2, False), (2, 4, 9)),
    "Conv1d, circular": (lambda m: m.Conv1d(2, 3, 4, padding="same", padding_mode="circular"), (2, 2, 9)),
    "ConvTranspose2d": (lambda m: m.ConvTranspose2d(4, 6, 3, 2, 1, 1, 2, False, 2), (2, 4, 4, 3)),
    "ConvTranspose1d": (lambda m: m.ConvTranspose1d(2, 3, 4, stride=2), (2, 4)),
    "BatchNorm2d, not affine": (lambda m: m.BatchNorm2d(3, affine=False), (4, 3, 5, 6)),
    "BatchNorm2d, no statistics": (lambda m: m.BatchNorm2d(3, track_running_stats=False), (4, 3, 5, 6)),
    "BatchNorm1d, neither": (lambda m: m.BatchNorm1d(3, 0.1, None, False, False), (4, 3)),
    "BatchNorm1d, no bias": (lambda m: m.BatchNorm1d(3, bias=False), (4, 3, 2)),
    "BatchNorm3d": (lambda m: m.BatchNorm3d(2), (2, 2, 3, 2, 3)),
    "InstanceNorm2d": (lambda m: m.InstanceNorm2d(3), (2, 3, 4, 5)),
    "InstanceNorm2d, one image": (lambda m: m.InstanceNorm2d(3, affine=True), (3, 4, 5)),
    "InstanceNorm1d, tracking": (lambda m: m.InstanceNorm1d(3, 1e-3, 0.3, True, True), (4, 3, 5)),
    "InstanceNorm3d": (lambda m: m.InstanceNorm3d(2), (2, 2, 2, 2, 3)),
    "GroupNorm": (lambda m: m.GroupNorm(2, 4, 1e-3), (3, 4, 5, 2)),
    "GroupNorm, not affine": (lambda m: m.GroupNorm(2, 4, affine=False), (3, 4)),
    "LayerNorm, not affine": (lambda m: m.LayerNorm(4, elementwise_affine=False), (2, 3, 4)),
    "LayerNorm, no bias": (lambda m: m.LayerNorm(4, bias=False), (2, 3, 4)),
    "RMSNorm": (lambda m: m.RMSNorm(4), (2, 3, 4)),
    "RMSNorm, not affine": (lambda m: m.RMSNorm((3, 4), 0.1, False), (2, 3, 4)),
    "LocalResponseNorm": (lambda m: m.LocalResponseNorm(3, 0.1), (2, 5, 3, 4)),
    "LayerNorm": (lambda m: m.LayerNorm((3, 4), eps=1e-4), (2, 3, 4)),
    "LayerNorm, one axis": (lambda m: m.LayerNorm(4), (2, 3, 4)),
    "ReLU": (lambda m: m.ReLU(), (3, 4)),
    "MaxPool2d": (lambda m: m.MaxPool2d(2), (2, 3, 7, 6)),
    "MaxPool2d, all settings": (lambda m: m.MaxPool2d(3, 2, 1, 1, ceil_mode=True), (2, 3, 7, 6)),
    "AvgPool2d": (lambda m: m.AvgPool2d((2, 3)), (2, 3, 7, 6)),
    "AvgPool2d, all settings": (lambda m: m.AvgPool2d(3, 2, 1, True, False), (2, 3, 7, 6)),
    "AdaptiveAvgPool2d": (lambda m: m.AdaptiveAvgPool2d((2, 3)), (2, 3, 7, 6)),
    "MaxPool1d": (lambda m: m.MaxPool1d(3, 2, 1, ceil_mode=True), (2, 3, 8)),
    "AvgPool1d": (lambda m: m.AvgPool1d(3, 2, 1, True, False), (3, 8)),
    "AvgPool2d, divisor": (lambda m: m.AvgPool2d(3, 2, divisor_override=4), (2, 3, 7, 6)),
    "LPPool2d": (lambda m: m.LPPool2d(2, (2, 3)), (2, 3, 7, 6)),
    "LPPool1d": (lambda m: m.LPPool1d(1, 3, 2), (2, 3, 7)),
    "AdaptiveAvgPool1d": (lambda m: m.AdaptiveAvgPool1d(3), (2, 3, 7)),
    "AdaptiveAvgPool2d, one side": (lambda m: m.AdaptiveAvgPool2d((None, 4)), (3, 7, 6)),
    "AdaptiveMaxPool1d": (lambda m: m.AdaptiveMaxPool1d(3), (2, 3, 7)),
    "AdaptiveMaxPool2d": (lambda m: m.AdaptiveMaxPool2d((3, None)), (2, 3, 7, 6)),
    "ZeroPad1d": (lambda m: m.ZeroPad1d((1, 2)), (2, 3, 4)),
    "ZeroPad2d": (lambda m: m.ZeroPad2d((1, 2, 0, -1)), (2, 3, 4, 5)),
    "ConstantPad1d": (lambda m: m.ConstantPad1d(2, 1.5), (3, 4)),
    "ConstantPad2d": (lambda m: m.ConstantPad2d(2, -1.5), (2, 3, 4, 5)),
    "ReflectionPad1d": (lambda m: m.ReflectionPad1d(2), (2, 3, 4)),
    "ReflectionPad2d": (lambda m: m.ReflectionPad2d((1, 2, 0, 1)), (3, 4, 5)),
    "ReplicationPad1d": (lambda m: m.ReplicationPad1d((3, 1)), (2, 3, 2)),
    "ReplicationPad2d": (lambda m: m.ReplicationPad2d(2), (2, 3, 4, 5)),
    "CircularPad1d": (lambda m: m.CircularPad1d((3, 1)), (2, 3, 4)),
    "CircularPad2d": (lambda m: m.CircularPad2d((1, 2, 0, 1)), (2, 3, 4, 5)),
    "ConstantPad3d": (lambda m: m.ConstantPad3d(1, 2.5), (2, 2, 2, 3)),
    "ZeroPad3d": (lambda m: m.ZeroPad3d((1, 0, 2, 1, 0, -1)), (1, 2, 2, 2, 3)),
    "ReflectionPad3d": (lambda m: m.ReflectionPad3d(1), (2, 2, 2, 3)),
    "ReplicationPad3d": (lambda m: m.ReplicationPad3d((1, 0, 2, 1, 0, 1)), (1, 2, 2, 2, 3)),
    "CircularPad3d": (lambda m: m.CircularPad3d(1), (1, 2, 2, 2, 3)),
    "Upsample": (lambda m: m.Upsample(scale_factor=2), (2, 3, 4, 5)),
    "Upsample, bilinear": (lambda m: m.Upsample((5, 3), mode="bilinear", align_corners=True), (2, 3, 4, 5)),
    "UpsamplingNearest2d": (lambda m: m.UpsamplingNearest2d(scale_factor=(2, 1)), (2, 3, 4, 5)),
    "UpsamplingBilinear2d": (lambda m: m.UpsamplingBilinear2d(7), (2, 3, 4, 5)),
    "PixelShuffle": (lambda m: m.PixelShuffle(2), (2, 8, 3, 2)),
    "PixelUnshuffle": (lambda m: m.PixelUnshuffle(3), (2, 2, 3, 6)),
    "ChannelShuffle": (lambda m: m.ChannelShuffle(3), (2, 6, 3)),
    "Unfold": (lambda m: m.Unfold((2, 3), 1, 1, 2), (2, 3, 4, 5)),
    "Fold": (lambda m: m.Fold((4, 5), 2, padding=1, stride=(2, 1)), (2, 8, 18)),
    "Flatten": (lambda m: m.Flatten(), (2, 3, 4, 5)),
    "Flatten, some axes": (lambda m: m.Flatten(1, 2), (2, 3, 4, 5)),
    "Dropout, eval": (lambda m: m.Dropout(0.5).eval(), (3, 4)),
    "Identity": (lambda m: m.Identity(), (3, 4)),
}


@pytest.mark.parametrize("name", TWINS)
def test_layer_equals_torch(torch, name):
    """Output, gradients of input and parameters, and buffers; twice, so that running statistics move on."""
    make, shape = TWINS[name]
    ours, theirs = make(nn).to(np.float64), make(torch.nn).double()
    rng = np.random.default_rng(0)
    state = {
        key: np.array(tensor) if tensor.dtype.kind == "i" else rng.normal(size=tensor.shape) ** 2 + 0.5
        for key, tensor in ours.state_dict().items()
    }
    ours.load_state_dict(state)
    theirs.load_state_dict({key: torch.tensor(array) for key, array in state.items()})
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for training in (True, True, False):
        if "eval" not in name:
            ours.train(training)
            theirs.train(training)
        array = rng.normal(size=shape)
        x, x_t = mr.tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
        y, y_t = ours(x), theirs(x_t)
        cotangent = rng.normal(size=y.shape)
        y.backward(mr.tensor(cotangent))
        y_t.backward(torch.tensor(cotangent))
        np.testing.assert_allclose(y.numpy(), y_t.detach().numpy(), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(x.grad.numpy(), x_t.grad.numpy(), rtol=1e-9, atol=1e-11)
        for (key, p), (key_t, p_t) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
            assert key == key_t
            np.testing.assert_allclose(p.grad.numpy(), p_t.grad.numpy(), rtol=1e-9, atol=1e-11)
        for (key, b), (key_t, b_t) in zip(ours.named_buffers(), theirs.named_buffers(), strict=True):
            assert key == key_t
            np.testing.assert_allclose(b.numpy(), b_t.numpy(), rtol=1e-12)


def test_batch_norm_tracks_by_the_formula():
    """running ← (1 − momentum)·running + momentum·batch, with the unbiased variance; eval leaves them alone."""
    norm = nn.BatchNorm2d(2, momentum=0.25)
    x = np.random.default_rng(0).normal(2, 3, (4, 2, 3, 5)).astype(np.float32)
    norm(mr.tensor(x))
    values = x.transpose(1, 0, 2, 3).reshape(2, -1)
    np.testing.assert_allclose(norm.running_mean.numpy(), 0.25 * values.mean(1), rtol=1e-5)
    np.testing.assert_allclose(norm.running_var.numpy(), 0.75 + 0.25 * values.var(1, ddof=1), rtol=1e-5)
    assert norm.num_batches_tracked.item() == 1
    before = {name: buffer.numpy().tobytes() for name, buffer in norm.named_buffers()}
    y = norm.eval()(mr.tensor(x))
    assert {name: buffer.numpy().tobytes() for name, buffer in norm.named_buffers()} == before
    mean, var = (norm.state_dict()[f"running_{name}"].numpy().reshape(1, 2, 1, 1) for name in ("mean", "var"))
    np.testing.assert_allclose(y.numpy(), (x - mean) / np.sqrt(var + 1e-5), rtol=1e-4, atol=1e-5)


def test_batch_norm_with_residual_and_relu_is_the_three_in_a_row():
    norm = nn.BatchNorm2d(3).eval()
    rng = np.random.default_rng(0)
    x, residual = (mr.tensor(rng.normal(size=(2, 3, 4, 4)).astype(np.float32)) for _ in range(2))
    expected = np.maximum(norm(x).numpy() + residual.numpy(), 0)
    np.testing.assert_allclose(norm(x, residual=residual, relu=True).numpy(), expected, atol=1e-6)


def test_dropout_zeroes_and_scales_in_training_alone():
    mr.manual_seed(0)
    layer = nn.Dropout(0.25)
    x = mr.tensor(np.ones((100, 100), np.float32), requires_grad=True)
    y = layer(x)
    assert set(np.unique(y.numpy())) == {np.float32(0), np.float32(1 / 0.75)}
    assert (y.numpy() == 0).mean() == pytest.approx(0.25, abs=0.02)
    y.sum().backward()
    assert np.array_equal(x.grad.numpy(), y.numpy())  # the same mask on the way back
    assert layer.eval()(x) is x
    mr.manual_seed(0)
    assert np.array_equal(layer.train()(x).numpy(), y.numpy())


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (nn.Linear(2, 3), "Linear(in_features=2, out_features=3, bias=True)"),
        (nn.Linear(2, 3, bias=False), "Linear(in_features=2, out_features=3, bias=False)"),
        (nn.Conv2d(4, 6, 3), "Conv2d(4, 6, kernel_size=(3, 3), stride=(1, 1))"),
        (
            nn.Conv2d(4, 6, (3, 1), 2, 1, 2, 2, False),
            "Conv2d(4, 6, kernel_size=(3, 1), stride=(2, 2), padding=(1, 1), dilation=(2, 2), groups=2, bias=False)",
        ),
        (
            nn.BatchNorm2d(5),
            "BatchNorm2d(5, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)",
        ),
        (nn.LayerNorm(5), "LayerNorm((5,), eps=1e-05, elementwise_affine=True, bias=True)"),
        (nn.MaxPool2d(3, 2, 1), "MaxPool2d(kernel_size=3, stride=2, padding=1, dilation=1, ceil_mode=False)"),
        (nn.AvgPool2d(2), "AvgPool2d(kernel_size=2, stride=2, padding=0)"),
        (nn.AdaptiveAvgPool2d(1), "AdaptiveAvgPool2d(output_size=1)"),
        (nn.Flatten(), "Flatten(start_dim=1, end_dim=-1)"),
        (nn.Dropout(0.1), "Dropout(p=0.1, inplace=False)"),
        (nn.ReLU(), "ReLU()"),
    ],
)
def test_repr_says_what_it_was_made_with(layer, text):
    assert repr(layer) == text


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "groups=2 must divide in_channels=3 and out_channels=4"),
        (lambda: nn.Conv2d(4, 3, 3, groups=2), "groups=2 must divide in_channels=4 and out_channels=3"),
        (lambda: nn.Conv2d(4, 4, 3, groups=0), "Conv2d: groups=0 must be at least 1"),
        (lambda: nn.Conv2d(0, 4, 3), "Conv2d: in_channels=0 must be at least 1"),
        (lambda: nn.Conv2d(1, -4, 3), "Conv2d: out_channels=-4 must be at least 1"),
        (lambda: nn.Conv2d(1, 1, (3, 0)), "Conv2d: kernel_size=0 must be at least 1"),
        (lambda: nn.Linear(0, 4), "Linear: in_features=0 must be at least 1"),
        (lambda: nn.Linear(4, 0), "Linear: out_features=0 must be at least 1"),
        (lambda: nn.Conv2d(1, 1, (3, 3, 3)), r"kernel_size must be an integer or a pair of integers, got \(3, 3, 3\)"),
        (lambda: nn.Conv2d(1, 1, 3.0), r"Conv2d: kernel_size must be an integer or a pair of integers, got 3\.0"),
        (lambda: nn.Conv2d(1, 1, 3, stride=0), "Conv2d: stride=0 must be at least 1"),
        (lambda: nn.Conv2d(1, 1, 3, dilation=(1, 0)), "Conv2d: dilation=0 must be at least 1"),
        (lambda: nn.Conv2d(1, 1, 3, padding=-1), "Conv2d: padding=-1 must be at least 0"),
        (lambda: nn.Conv2d(1, 1, 3, padding="sme"), "padding='sme' is not known: use numbers, 'same' or 'valid'"),
        (lambda: nn.Conv2d(1, 1, 3, stride=2, padding="same"), r"padding='same' needs stride 1, got \(2, 2\)"),
        (lambda: nn.Conv1d(1, 1, (3, 3)), r"Conv1d: kernel_size must be an integer or a tuple of one, got \(3, 3\)"),
        (
            lambda: nn.ConvTranspose2d(1, 1, 3, padding="same"),
            "ConvTranspose2d: padding='same' is not known: use numbers",
        ),
        (
            lambda: nn.ConvTranspose2d(1, 1, 3, 2)(mr.zeros(1, 1, 2, 2), (4, 7)),
            r"output_size \(4, 7\) must lie between",
        ),
        (lambda: nn.AdaptiveAvgPool2d((None, 0)), "AdaptiveAvgPool2d: output_size=0 must be at least 1"),
        (lambda: nn.GroupNorm(3, 4), "GroupNorm: num_groups=3 must divide num_channels=4"),
        (lambda: nn.InstanceNorm2d(3, affine=True)(mr.zeros(2, 4, 2, 2)), "must have 3 channels"),
        (lambda: nn.ZeroPad2d((1, 2)), r"ZeroPad2d: padding must be an integer or 4 integers, got \(1, 2\)"),
        (lambda: nn.Unfold(0), "Unfold: kernel_size=0 must be at least 1"),
        (lambda: nn.Unfold(2, padding=-1), "Unfold: padding=-1 must be at least 0"),
        (lambda: nn.Conv2d("1", 1, 3), "Conv2d: in_channels='1' must be an integer"),
        (lambda: nn.Linear("10", 2), "Linear: in_features='10' must be an integer"),
        (lambda: nn.Linear(10, 2.0), r"Linear: out_features=2\.0 must be an integer"),
        (lambda: nn.LayerNorm("10"), "LayerNorm: normalized_shape='1' must be an integer"),
        (lambda: nn.LayerNorm((3, 0)), "LayerNorm: normalized_shape=0 must be at least 1"),
        (lambda: nn.MaxPool2d(0), "MaxPool2d: kernel_size=0 must be at least 1"),
        (lambda: nn.MaxPool2d(2, stride=1.5), r"MaxPool2d: stride must be .*got 1\.5"),
        (lambda: nn.AvgPool2d((2, 2, 2)), "AvgPool2d: kernel_size must be"),
        (lambda: nn.AdaptiveAvgPool2d(0), "AdaptiveAvgPool2d: output_size=0 must be at least 1"),
        (lambda: nn.BatchNorm2d(0), "BatchNorm2d: num_features=0 must be at least 1"),
        (lambda: nn.BatchNorm2d(2)(mr.zeros(1, 2, 1, 1)), r"1 value\(s\) per channel"),
        (lambda: nn.BatchNorm2d(2)(mr.zeros(2, 3, 1, 1)), "running_mean"),
        (lambda: nn.Linear(2, 3)(mr.zeros(4, 5)), r"\(4, 5\).*\(3, 2\)"),
        (lambda: nn.Conv2d(2, 3, 3)(mr.zeros(1, 4, 5, 5)), r"\(1, 4, 5, 5\).*\(3, 2, 3, 3\)"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ShapeError, match=message):
        make()


@pytest.mark.parametrize("p", [1.5, -0.1, float("nan"), "0.5"])
def test_dropout_wants_a_probability(p):
    with pytest.raises(ValueError, match=rf"p = {p!r} must be a probability"):
        nn.Dropout(p)


def test_sizes_may_be_numpy_integers():
    three, two = np.int64(3), np.int32(2)
    layer = nn.Conv2d(two, two, three, stride=(two, two), padding=np.int64(1))
    assert layer(mr.zeros(1, 2, 6, 6)).shape == (1, 2, 3, 3)
    assert nn.LayerNorm(three)(nn.Linear(two, three)(mr.zeros(4, 2))).shape == (4, 3)


@pytest.mark.parametrize("assigned", [False, True])
def test_batch_norm_without_momentum_averages_over_all_batches(assigned):
    """As torch: the running statistics are the plain means of the batches' means and unbiased variances."""
    layer = nn.BatchNorm2d(2) if assigned else nn.BatchNorm2d(2, momentum=None)
    layer.momentum = None
    batches = np.random.default_rng(0).normal(size=(5, 3, 2, 4, 4)).astype(np.float32)
    for batch in batches:
        layer(mr.tensor(batch))
    samples = batches.astype(np.float64).transpose(0, 2, 1, 3, 4).reshape(5, 2, -1)
    np.testing.assert_allclose(layer.running_mean.numpy(), samples.mean(2).mean(0), atol=1e-6)
    np.testing.assert_allclose(layer.running_var.numpy(), samples.var(2, ddof=1).mean(0), rtol=1e-5)
    assert layer.num_batches_tracked.item() == 5
    layer.eval()(mr.tensor(batches[0]))
    assert layer.num_batches_tracked.item() == 5


def test_batch_norm_that_ceases_to_track_keeps_its_running_statistics(torch):
    """As in torch: they stay as they are, training uses the batch's, and eval mode those that were tracked before."""
    ours, theirs = nn.BatchNorm2d(2).to(np.float64), torch.nn.BatchNorm2d(2).double()
    for batch in np.random.default_rng(0).normal(1, 2, (3, 3, 2, 4, 4)):
        np.testing.assert_allclose(ours(mr.tensor(batch)).numpy(), theirs(torch.tensor(batch)).detach(), atol=1e-12)
        ours.track_running_stats = theirs.track_running_stats = False
    assert ours.num_batches_tracked.item() == theirs.num_batches_tracked.item() == 1
    np.testing.assert_allclose(ours.eval()(mr.tensor(batch)).numpy(), theirs.eval()(torch.tensor(batch)).detach())


@pytest.mark.parametrize("axes", [1, 2])
def test_unpooling_undoes_pooling_with_indices(torch, axes):
    """Also with one sample alone, and to a size that the default would not choose."""
    x = np.random.default_rng(0).normal(size=(3, 7, 9)[: axes + 1])
    results = []
    for m, tensor in ((nn, mr.tensor), (torch.nn, torch.tensor)):
        pool, unpool = (getattr(m, f"Max{name}{axes}d") for name in ("Pool", "Unpool"))
        y, indices = pool(3, 2, return_indices=True)(tensor(x))
        results.append(
            (y, indices, unpool(3, 2)(y, indices), unpool(3, 2)(y * 2, indices, output_size=x.shape[-axes:]))
        )
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_a_transposed_convolution_takes_the_size_of_its_output(torch):
    ours, theirs = nn.ConvTranspose2d(2, 3, 3, 2, 1), torch.nn.ConvTranspose2d(2, 3, 3, 2, 1)
    theirs.load_state_dict({name: torch.tensor(tensor.numpy()) for name, tensor in ours.state_dict().items()})
    x = np.random.default_rng(0).normal(size=(1, 2, 4, 5)).astype(np.float32)
    for size in (None, (7, 10), (1, 3, 8, 9)):
        y, expected = ours(mr.tensor(x), output_size=size), theirs(torch.tensor(x), output_size=size)
        np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), atol=1e-6)


def test_layers_are_made_where_and_in_the_dtype_that_torchs_arguments_say():
    for layer in (
        nn.Linear(2, 3, dtype=np.float64),
        nn.Conv1d(2, 3, 3, dtype=np.float64, device="cpu"),
        nn.ConvTranspose2d(2, 3, 3, dtype=np.float64),
        nn.BatchNorm2d(3, dtype=np.float64),
        nn.GroupNorm(1, 3, dtype=np.float64),
        nn.LayerNorm(3, dtype=np.float64),
        nn.RMSNorm(3, dtype=np.float64),
    ):
        assert {tensor.dtype for tensor in layer.state_dict().values()} - {np.dtype(np.int64)} == {np.dtype(np.float64)}


@pytest.mark.parametrize("name", TWINS)
def test_a_layer_prints_itself_as_torchs(torch, name):
    make = TWINS[name][0]
    assert repr(make(nn)) == repr(make(torch.nn))


def test_layers_have_the_arguments_of_torch_in_their_order(torch):
    """Of the layers with sizes and options; where torch takes any arguments, there is none here."""
    different = []
    for name in nn.__all__:
        ours, theirs = getattr(nn, name), getattr(torch.nn, name, None)
        if "minires.nn" not in getattr(ours, "__module__", "") or ours.__module__.rsplit(".")[-1] not in FAMILIES:
            continue
        parameters = [inspect.signature(each).parameters.values() for each in (ours, theirs)]
        settings = [[(p.name, p.default) for p in each if p.name not in ("args", "kwargs")] for each in parameters]
        different += [name] if settings[0] != settings[1] else []
    assert different == []


@pytest.mark.parametrize("layer", [nn.ReLU, nn.LeakyReLU, nn.Dropout])
def test_inplace_is_true_or_false(layer):
    with pytest.raises(TypeError, match="inplace='False' must be True or False"):
        layer(inplace="False")


@pytest.mark.parametrize("inplace", [False, True])
def test_relu_inplace_changes_its_input(inplace):
    x = mr.tensor([-1.0, 2.0])
    y = nn.ReLU(inplace=inplace)(x)
    assert y.tolist() == [0.0, 2.0]
    assert x.tolist() == ([0.0, 2.0] if inplace else [-1.0, 2.0])
    assert (y is x) == inplace


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Linear(784, 128, 10), "Linear: bias=10 must be True or False"),
        (lambda: nn.Conv2d(3, 4, 3, bias="same"), "Conv2d: bias='same' must be True or False"),
        (lambda: nn.MaxPool2d(2, ceil_mode="no"), "MaxPool2d: ceil_mode='no' must be True or False"),
        (lambda: nn.AvgPool2d(2, count_include_pad=2), "AvgPool2d: count_include_pad=2 must be True or False"),
        (lambda: nn.BatchNorm2d(3, eps=-1e-5), "BatchNorm2d: eps=-1e-05 must be a number, 0 or more"),
        (lambda: nn.BatchNorm2d(3, "1e-5"), "BatchNorm2d: eps='1e-5' must be a number"),
        (lambda: nn.LayerNorm(3, None), "LayerNorm: eps=None must be a number"),
        (lambda: nn.LeakyReLU("0.1"), "LeakyReLU: negative_slope='0.1' must be a number"),
        (lambda: nn.Softmax(None), "'NoneType' object cannot be interpreted as an integer"),
        (lambda: nn.init.normal_(nn.Linear(1, 1).weight, 0.0, -1.0), r"normal_: std -1\.0 must be 0 or more"),
    ],
)
def test_settings_of_the_wrong_kind(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_norm_layers_refuse_what_torch_refuses():
    for shape in ((4, 3), (4, 3, 5), (4, 3, 2, 2, 2)):
        with pytest.raises(ShapeError, match=r"BatchNorm2d: needs \(N, C, H, W\), got"):
            nn.BatchNorm2d(3)(mr.ones(shape))
    with pytest.raises(ShapeError, match="names no axis"):
        nn.LayerNorm([])


def test_batch_norm_of_rows_and_of_sequences():
    """As of images with one pixel in a row, whose statistics are over the same numbers."""
    for shape, image in (((4, 3), (4, 3, 1, 1)), ((4, 3, 5), (4, 3, 5, 1))):
        x = mr.randn(*shape)
        rows, pixels = nn.BatchNorm1d(3), nn.BatchNorm2d(3)
        np.testing.assert_allclose(
            rows(x).numpy(), pixels(x.reshape(image)).numpy().reshape(shape), rtol=1e-6, atol=1e-6
        )
        np.testing.assert_allclose(rows.running_var.numpy(), pixels.running_var.numpy(), rtol=1e-6)
    with pytest.raises(ShapeError, match=r"BatchNorm1d: needs \(N, C\) or \(N, C, L\), got \(1, 3, 2, 2\)"):
        nn.BatchNorm1d(3)(mr.ones(1, 3, 2, 2))


def test_a_buffer_of_a_tensor_holds_its_array():
    class Net(nn.Module):
        def __init__(self):
            self.ema = nn.Buffer(mr.zeros(3))

        def forward(self, x):
            return x - self.ema

    net = Net()
    assert type(net.ema.data) is np.ndarray
    net.load_state_dict({"ema": np.ones(3, np.float32)})
    assert net(mr.ones(2, 3)).tolist() == [[0, 0, 0]] * 2
    assert net.state_dict()["ema"].numpy().tolist() == [1, 1, 1]


DEFAULTS = {  # torch's
    "ReLU": {"inplace": False},
    "LeakyReLU": {"negative_slope": 0.01, "inplace": False},
    "MaxPool2d": {"stride": None, "padding": 0, "dilation": 1, "return_indices": False, "ceil_mode": False},
    "Flatten": {"start_dim": 1, "end_dim": -1},
    "Dropout": {"p": 0.5, "inplace": False},
}


@pytest.mark.parametrize("layer", DEFAULTS)
def test_defaults_are_those_of_torch(layer):
    parameters = inspect.signature(getattr(nn, layer)).parameters.values()
    assert {each.name: each.default for each in parameters if each.default is not each.empty} == DEFAULTS[layer]
