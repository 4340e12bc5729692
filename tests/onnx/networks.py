"""Small networks for the tests of ONNX files, and ONNX Runtime, which says what a file computes."""

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import models, nn


def images(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def trained(name, **options):
    """A network with statistics as after training; without them its features would be as good as constant."""
    mr.manual_seed(0)
    return with_statistics(models.build(name, **options))


def with_statistics(model):
    rng = np.random.default_rng(1)
    for key, buffer in model.named_buffers():
        if buffer.ndim:
            numbers = rng.uniform(0.5, 2, buffer.shape) if "var" in key else rng.normal(0, 0.1, buffer.shape)
            buffer.assign_(numbers.astype(np.float32))
    return model.eval()


def by_onnxruntime(path, *inputs):
    runtime = pytest.importorskip("onnxruntime")
    source = path if isinstance(path, bytes) else str(path)
    session = runtime.InferenceSession(source, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return session.run(None, dict(zip(names, inputs, strict=True)))


def off(ours, theirs):
    """The largest difference, relative to the largest number."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs).max() / np.abs(theirs).max()


class Highway(nn.Module):
    """A gate decides how much of each channel passes unchanged (Srivastava et al. 2015)."""

    def __init__(self):
        self.stem, self.gate = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.body, self.fc = nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8, 5)
        self.scale = nn.Parameter(np.full(1, 0.7, np.float32))

    def forward(self, x):
        x = F.relu(self.stem(x))
        t = F.sigmoid(self.gate(x))
        x = t * F.tanh(self.body(x)) * self.scale + (1 - t) * x
        return self.fc(x.mean((2, 3)))


class Square(mr.Function):
    """A student's own operation, which ONNX cannot know."""

    def forward(self, x):
        return x * x

    def backward(self, g):
        return g * 2 * self.inputs[0]


class Students(nn.Module):
    """A small net with an operation of its own, a shared layer, slices, joins and two kinds of pooling."""

    def __init__(self):
        self.conv, self.norm = nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.GroupNorm(2, 6)
        self.shared, self.fc = nn.Conv2d(6, 6, 1), nn.Linear(12, 4)

    def forward(self, x):
        x = F.max_pool2d(F.leaky_relu(self.norm(self.conv(x)), 0.1), 2)
        x = self.shared(F.elu(self.shared(x)))
        x = F.cat([F.avg_pool2d(x, 2), Square()(x[:, :, ::2, 1::2])], 1)
        return F.log_softmax(self.fc(x.mean((2, 3))), 1)


class Everything(nn.Module):
    """One of every kind of layer and operation that can be written."""

    def __init__(self):
        self.conv, self.group, self.each = nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.InstanceNorm2d(8)
        self.prelu, self.up = nn.PReLU(8), nn.ConvTranspose2d(8, 4, 3, 2, 1, 1)
        self.bn, self.layer = nn.BatchNorm2d(8), nn.LayerNorm(6)
        self.fc, self.head = nn.Linear(4 * 10 * 10, 6), nn.Linear(6, 6, bias=False)

    def forward(self, x):
        x = self.prelu(self.group(self.conv(x)))
        x = F.gelu(self.each(x)) + F.gelu(x, approximate="tanh") + self.bn(x)
        x = F.silu(x) + F.hardswish(x) + F.leaky_relu(x, 0.1) + F.elu(x) + F.softplus(x) + F.mish(x) + F.relu6(x)
        x = x + F.selu(x) + F.celu(x, 2.0) + F.softsign(x) + F.hardsigmoid(x) + F.logsigmoid(x) + F.erf(x)
        x = (
            x
            + F.maximum(x, 0.3 * x)
            - F.minimum(x, 0.5)
            + F.clamp(x, min=-1.0)
            + F.sqrt(F.abs(x) + 1)
            + x.var(1, keepdim=True)
        )
        x = F.pad(self.up(F.avg_pool2d(x, 2)), (1, 1, 1, 1))
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        x = F.interpolate(F.max_pool2d(x, 2), scale_factor=2) / 3
        x = self.layer(self.fc(F.max_pool2d(x, 2, ceil_mode=True).flatten(1)))
        x = F.softmax(self.head(x.unsqueeze(1)).squeeze(1), -1)
        a, b = x.chunk(2, 1)
        parts = [a * b, F.log_softmax(b, -1), x[:, -1:], x[:, [0, 2]], x.flip(1), x.amax(1, keepdim=True), x.cumsum(1)]
        return F.cat([*parts, F.einsum("ij,ij->i", a, b).unsqueeze(1), b.exp().log1p().pow(1.5)], 1)
