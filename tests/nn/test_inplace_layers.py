"""Layers with `inplace=True` change what they are given, as in torch."""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import gradcheck, nn, optim
from minires.inspection.summary import summarize


class PreActivation(nn.Module):
    """y = w ∗ relu(x) + x, where with `inplace` the shortcut is relu(x) too; w is the number 2."""

    def __init__(self, inplace: bool) -> None:
        self.relu = nn.ReLU(inplace)
        self.conv = nn.Conv2d(1, 1, 1, bias=False)
        self.conv.weight.assign_(2.0)

    def forward(self, x):
        return self.conv(self.relu(x)) + x


@pytest.mark.parametrize(
    ("inplace", "outputs", "gradients"),
    [(False, [-1.0, 9.0], [1.0, 30.0]), (True, [0.0, 9.0], [0.0, 30.0])],
)
def test_a_block_that_gives_one_tensor_to_its_branch_and_to_its_shortcut(inplace, outputs, gradients):
    """PyTorch's numbers. The input is a result, as everywhere inside a network."""
    x = mr.tensor(np.array([-1.0, 3.0], np.float32).reshape(2, 1, 1, 1), requires_grad=True)
    y = PreActivation(inplace)(x * 1.0)
    y.backward(np.array([1.0, 10.0], np.float32).reshape(2, 1, 1, 1))
    assert y.reshape(2).tolist() == outputs
    assert x.grad.reshape(2).tolist() == gradients
    with mr.no_grad():
        assert PreActivation(inplace)(x.clone()).reshape(2).tolist() == outputs


def test_torch_agrees_about_that_block(torch):
    class Theirs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.relu = torch.nn.ReLU(inplace=True)
            self.conv = torch.nn.Conv2d(1, 1, 1, bias=False)
            torch.nn.init.constant_(self.conv.weight, 2.0)

        def forward(self, x):
            return self.conv(self.relu(x)) + x

    x = torch.tensor([-1.0, 3.0]).reshape(2, 1, 1, 1).requires_grad_()
    y = Theirs()(x * 1.0)
    y.backward(torch.tensor([1.0, 10.0]).reshape(2, 1, 1, 1))
    assert (y.flatten().tolist(), x.grad.flatten().tolist()) == ([0.0, 9.0], [0.0, 30.0])


def test_a_relu_that_must_not_be_in_place_is_refused():
    """On a leaf that requires gradients, and over the output that exp has kept it is found (torch refuses both)."""
    with pytest.raises(mr.MiniResError, match="relu_: a leaf Tensor that requires gradients"):
        nn.ReLU(inplace=True)(mr.ones(2, requires_grad=True))
    h = mr.ones(2, requires_grad=True) * 2
    product = h * h
    nn.ReLU(inplace=True)(h)
    with pytest.raises(mr.MiniResError, match="Multiply: its input 0"):
        product.sum().backward()


def test_dropout_in_place():
    mr.manual_seed(0)
    expected = nn.Dropout(0.5)(mr.ones(100))
    mr.manual_seed(0)
    x, layer = mr.ones(100), nn.Dropout(0.5, inplace=True)
    assert layer(x) is x
    assert x.tolist() == expected.tolist()
    assert layer.eval()(x) is x
    assert x.tolist() == expected.tolist()
    h = mr.ones(3, requires_grad=True)
    y = F.dropout(h * 2, 1.0, inplace=True)
    y.sum().backward()
    assert (y.tolist(), h.grad.tolist()) == ([0.0] * 3, [0.0] * 3)


def test_the_repr_says_so():
    assert repr(nn.ReLU(inplace=True)) == "ReLU(inplace=True)"
    assert repr(nn.Dropout(0.5, inplace=True)) == "Dropout(p=0.5, inplace=True)"
    assert (repr(nn.ReLU()), repr(nn.Dropout())) == ("ReLU()", "Dropout(p=0.5, inplace=False)")


class Block(nn.Module):
    """torchvision's BasicBlock: every ReLU in place, and `out += identity`."""

    def __init__(self, inplace: bool) -> None:
        self.inplace = inplace
        self.conv1, self.bn1 = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.conv2, self.bn2 = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.relu = nn.ReLU(inplace)

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.inplace:
            out += identity
        else:
            out = out + identity
        return self.relu(out)


def test_torchvisions_block_trains_as_the_one_without_in_place():
    results = []
    for inplace in (False, True):
        mr.manual_seed(0)
        model = nn.Sequential(Block(inplace), Block(inplace))
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        x = mr.randn(4, 3, 5, 5)
        for _ in range(3):
            optimizer.zero_grad()
            loss = (model(x) * mr.randn(4, 3, 5, 5)).sum()
            loss.backward()
            optimizer.step()
        results.append([loss.item(), *(p.tolist() for p in (*model.parameters(), *model.buffers()))])
    assert results[0] == results[1]


def test_a_summary_of_a_model_that_begins_in_place():
    def shapes(inplace):
        model = nn.Sequential(nn.ReLU(inplace), nn.Conv2d(3, 2, 3), nn.ReLU(inplace))
        return [(row.output_shape, row.receptive_field) for row in summarize(model, (3, 5, 5)).rows]

    assert shapes(True) == shapes(False)


def test_gradient_checks_of_what_is_in_place_leave_the_model_alone():
    class Net(nn.Module):
        def __init__(self):
            self.relu, self.fc = nn.ReLU(inplace=True), nn.Linear(3, 3)
            self.calls, self.last = nn.Buffer(np.zeros(1)), nn.Buffer(np.zeros((2, 3)))

        def forward(self, x):
            h = self.fc(x)
            y = self.relu(h) * h + x
            y[:, 1:] *= h[:, :1]
            y.T[0] -= 1.0
            with mr.no_grad():
                self.calls += 1
                self.last[0].copy_(y[0])
            return y

    mr.manual_seed(0)
    net = Net().to(dtype=np.float64)
    before = {name: each.tolist() for name, each in net.state_dict().items()}
    x = mr.tensor(np.random.default_rng(0).normal(size=(2, 3)))
    report = gradcheck.gradcheck(net, [x])
    assert report, report
    assert {name: each.tolist() for name, each in net.state_dict().items()} == before
