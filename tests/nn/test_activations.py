"""Activation layers and dropout of channels: each is torch's of the same name, and prints itself as that does."""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires import nn
from minires.errors import ShapeError

LAYERS = {
    "CELU": lambda m: m.CELU(2.0),
    "CELU, in place": lambda m: m.CELU(2.0, inplace=True),
    "ELU": lambda m: m.ELU(),
    "ELU, alpha": lambda m: m.ELU(0.5, True),
    "GELU": lambda m: m.GELU(),
    "GELU, tanh": lambda m: m.GELU("tanh"),
    "GLU": lambda m: m.GLU(1),
    "Hardshrink": lambda m: m.Hardshrink(0.7),
    "Hardswish": lambda m: m.Hardswish(),
    "Hardtanh": lambda m: m.Hardtanh(),
    "Hardtanh, bounds": lambda m: m.Hardtanh(-2, 0.5, True),
    "LogSigmoid": lambda m: m.LogSigmoid(),
    "Mish": lambda m: m.Mish(),
    "PReLU": lambda m: m.PReLU(),
    "PReLU, channels": lambda m: m.PReLU(4, 0.1),
    "ReLU6": lambda m: m.ReLU6(),
    "SELU": lambda m: m.SELU(),
    "SiLU": lambda m: m.SiLU(inplace=True),
    "Softmax2d": lambda m: m.Softmax2d(),
    "Softmin": lambda m: m.Softmin(2),
    "Softplus": lambda m: m.Softplus(),
    "Softplus, settings": lambda m: m.Softplus(2.0, 1.5),
    "Softshrink": lambda m: m.Softshrink(),
    "Softsign": lambda m: m.Softsign(),
    "Tanhshrink": lambda m: m.Tanhshrink(),
    "Threshold": lambda m: m.Threshold(0.1, 20),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layer_equals_torch(torch, name):
    ours, theirs = LAYERS[name](nn).to(np.float64), LAYERS[name](torch.nn).double()
    for key, tensor in ours.state_dict().items():
        np.testing.assert_array_equal(tensor.astype(np.float32), theirs.state_dict()[key].float().numpy())
    rng = np.random.default_rng(0)
    array = rng.normal(size=(2, 4, 3, 4)) * 3
    x, x_t = mr.tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
    y, y_t = ours(x * 1.0), theirs(x_t * 1.0)
    cotangent = rng.normal(size=y.shape)
    y.backward(mr.tensor(cotangent))
    y_t.backward(torch.tensor(cotangent))
    np.testing.assert_allclose(y.numpy(), y_t.detach().numpy(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(x.grad.numpy(), x_t.grad.numpy(), rtol=1e-7, atol=1e-12)
    for parameter, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(parameter.grad.numpy(), other.grad.numpy(), rtol=1e-12)


# PyTorch's own lines; Hardswish keeps `inplace` from its readers there.
REPRS = {
    "CELU(alpha=2.0, inplace=True)": lambda: nn.CELU(2.0, True),
    "ELU(alpha=1.0)": lambda: nn.ELU(),
    "GELU(approximate='none')": lambda: nn.GELU(),
    "GLU(dim=-1)": lambda: nn.GLU(),
    "Hardshrink(0.5)": lambda: nn.Hardshrink(),
    "Hardsigmoid()": lambda: nn.Hardsigmoid(),
    "Hardtanh(min_val=-2, max_val=2, inplace=True)": lambda: nn.Hardtanh(-2, 2, True),
    "LogSigmoid()": lambda: nn.LogSigmoid(),
    "Mish()": lambda: nn.Mish(),
    "PReLU(num_parameters=3)": lambda: nn.PReLU(3),
    "ReLU6(inplace=True)": lambda: nn.ReLU6(True),
    "SiLU(inplace=True)": lambda: nn.SiLU(inplace=True),
    "Softmin(dim=1)": lambda: nn.Softmin(1),
    "Softplus(beta=1.0, threshold=20.0)": lambda: nn.Softplus(),
    "Softshrink(0.5)": lambda: nn.Softshrink(),
    "Threshold(threshold=0.1, value=20)": lambda: nn.Threshold(0.1, 20),
}


@pytest.mark.parametrize("line", REPRS)
def test_the_repr_is_torchs(line):
    assert repr(REPRS[line]()) == line


@pytest.mark.parametrize("make", [nn.ReLU6, nn.Hardsigmoid, nn.Hardswish, nn.SELU, nn.SiLU, nn.Mish, nn.ELU, nn.CELU])
def test_inplace_is_in_place(make):
    x = mr.tensor([-2.0, 0.5, 7.0])
    expected = make()(x).tolist()
    assert x.tolist() == [-2.0, 0.5, 7.0]
    layer = make(inplace=True)
    assert layer(x) is x
    assert x.tolist() == expected


REFUSED = {
    "PReLU: num_parameters=0": (lambda: nn.PReLU(0), ShapeError),
    "Hardtanh: min_val=1 must be less": (lambda: nn.Hardtanh(1, 1), ValueError),
    "GELU: approximate='erf'": (lambda: nn.GELU("erf"), ValueError),
    "ELU: alpha='1' must be a number": (lambda: nn.ELU("1"), TypeError),
    "SiLU: inplace=1 must be True or False": (lambda: nn.SiLU(1), TypeError),
    "Softmax2d: needs": (lambda: nn.Softmax2d()(mr.ones(2, 3)), ShapeError),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refused(message):
    make, error = REFUSED[message]
    with pytest.raises(error, match=message):
        make()


SHAPES = {nn.Dropout1d: (50, 8, 5), nn.Dropout2d: (50, 8, 5, 4), nn.Dropout3d: (50, 8, 3, 2, 2)}


@pytest.mark.parametrize("layer", SHAPES)
def test_dropout_of_channels_drops_whole_channels(layer):
    mr.manual_seed(0)
    x = mr.ones(*SHAPES[layer])
    y = layer(0.25)(x)
    channels = y.numpy().reshape(400, -1)
    assert (channels == channels[:, :1]).all()
    assert set(np.unique(channels)) == {np.float32(0), np.float32(1 / 0.75)}
    assert 0.18 < (channels[:, 0] == 0).mean() < 0.32
    assert layer(0.25).eval()(x) is x
    assert layer(0.25)(mr.ones(*SHAPES[layer][1:])).shape == SHAPES[layer][1:]  # one sample
    assert layer(0.25, inplace=True)(x) is x
    assert x.numpy().min() == 0
    assert repr(layer(0.25)) == f"{layer.__name__}(p=0.25, inplace=False)"


def test_alpha_dropout_keeps_mean_and_variance():
    mr.manual_seed(0)
    x = mr.randn(100_000)
    y = nn.AlphaDropout(0.3)(x).numpy()
    assert abs(y.mean()) < 0.02
    assert abs(y.std() - 1) < 0.02
    assert len(np.unique(y)) < 0.75 * y.size  # what was dropped is one number
    assert nn.AlphaDropout(0.3).eval()(x) is x
