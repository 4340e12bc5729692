"""Networks that torch.onnx.export has written give PyTorch's outputs, and its gradients."""

import io

import numpy as np
import pytest

import minires as mr
from minires import inference, models
from tests.onnx.networks import images, off

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
from minires.onnx import load  # noqa: E402
from tests.models import torch_resnet  # noqa: E402


def network(bottleneck, blocks, **options):
    torch.manual_seed(0)
    net = torch_resnet.ResNet(bottleneck, blocks, 10, **options).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return net


def exported(net, x, folded=True, opset=17, **dynamic):
    """The bytes of a file, with batch norm folded into the convolutions or as it is."""
    file = io.BytesIO()
    mode = torch.onnx.TrainingMode
    torch.onnx.export(
        net,
        (torch.from_numpy(x),),
        file,
        dynamo=False,
        input_names=["x"],
        opset_version=opset,
        dynamic_axes={"x": {0: "n", 2: "h", 3: "w"}},
        training=mode.EVAL if folded else mode.PRESERVE,
        do_constant_folding=folded,
    )
    return file.getvalue()


pytestmark = pytest.mark.filterwarnings("ignore")  # the exporter warns of itself, of tracing and of its age


@pytest.mark.parametrize("folded", [True, False], ids=["folded", "as it is"])
@pytest.mark.parametrize("opset", [9, 11, 13, 17])
def test_a_small_residual_network(folded, opset):
    net, x = network(False, (1, 1, 1), stem="cifar", shortcut="B"), images(2, 3, 16, 16)
    imported = load(exported(net, x, folded, opset))
    fast = inference.compile(imported, x)
    for shape in ((2, 3, 16, 16), (3, 3, 20, 12)):  # another batch, another size of the image
        x = images(*shape, seed=1)
        expected = net(torch.from_numpy(x)).detach().numpy()
        assert off(imported(mr.Tensor(x)).detach().numpy(), expected) < 1e-5
        assert off(fast(x), expected) < 1e-5


@pytest.mark.slow  # 15 s: networks of 11 and 25 million weights are written and read
@pytest.mark.parametrize(("bottleneck", "blocks"), [(False, (2, 2, 2, 2)), (True, (3, 4, 6, 3))], ids=["18", "50"])
def test_resnet(bottleneck, blocks):
    net, x = network(bottleneck, blocks), images(2, 3, 64, 64)
    expected = net(torch.from_numpy(x)).detach().numpy()
    imported = load(exported(net, x))
    assert off(imported(mr.Tensor(x)).detach().numpy(), expected) < 1e-5
    assert off(inference.compile(imported, x)(x), expected) < 1e-5


def test_names_and_gradients_are_pytorchs():
    net, x = network(False, (1, 1, 1), stem="cifar", shortcut="B"), images(2, 3, 16, 16)
    imported = load(exported(net, x, folded=False))
    theirs = dict(net.named_parameters())
    assert dict(imported.named_parameters()).keys() == theirs.keys()
    assert imported.state_dict().keys() == net.state_dict().keys()
    cotangent = images(2, 10, seed=3)
    net(torch.from_numpy(x)).backward(torch.from_numpy(cotangent))
    imported(mr.Tensor(x)).backward(mr.Tensor(cotangent))
    for name, parameter in imported.named_parameters():
        assert off(parameter.grad.numpy(), theirs[name].grad.numpy()) < 1e-4, name


@pytest.mark.slow  # 20 s: ten steps of ResNet-18, twice
def test_training_an_imported_resnet18_equals_training_our_own():
    from minires import functional as F
    from minires import optim

    net, x = network(False, (2, 2, 2, 2)), images(4, 3, 32, 32)
    imported = load(exported(net, x, folded=False)).train()
    ours = models.resnet18(num_classes=10)
    ours.load_state_dict({name: value.numpy() for name, value in net.state_dict().items()})
    labels = mr.tensor(np.arange(4))
    for model in (imported, ours.train()):
        optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        for _ in range(10):
            optimizer.zero_grad()
            F.cross_entropy(model(mr.Tensor(x)), labels).backward()
            optimizer.step()
    state = imported.state_dict()
    for name, tensor in ours.state_dict().items():
        assert np.abs(state[name].numpy() - tensor.numpy()).max() < 1e-6, name


class Mixed(torch.nn.Module):
    """What networks that are not residual contain."""

    def __init__(self):
        super().__init__()
        self.conv, self.up = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ConvTranspose2d(8, 4, 2, 2)
        self.group, self.layer = torch.nn.GroupNorm(2, 8), torch.nn.LayerNorm(16)
        self.prelu, self.fc = torch.nn.PReLU(8), torch.nn.Linear(4 * 8 * 8, 16)

    def forward(self, x):
        x = self.prelu(self.group(self.conv(x)))
        x = (
            torch.nn.functional.hardswish(x)
            + torch.nn.functional.gelu(x)
            + x.clamp(-1, 6)
            + torch.nn.functional.silu(x)
        )
        x = self.up(torch.nn.functional.avg_pool2d(x, 2, ceil_mode=True))
        x = torch.nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        x = torch.nn.functional.pad(torch.nn.functional.max_pool2d(x, 2), (1, 1, 1, 1), mode="reflect")[
            :, :, 1:-1, 1:-1
        ]
        a, b = self.layer(self.fc(x.flatten(1))).chunk(2, 1)
        return torch.softmax(torch.cat([a * b, a.exp(), b.pow(2)], 1), 1)


@pytest.mark.parametrize("opset", [11, 14, 17])
def test_many_operators(opset):
    torch.manual_seed(0)
    net, x = Mixed().eval(), images(2, 3, 8, 8)
    file = io.BytesIO()
    torch.onnx.export(net, (torch.from_numpy(x),), file, dynamo=False, opset_version=opset)
    assert off(load(file.getvalue())(mr.Tensor(x)).detach().numpy(), net(torch.from_numpy(x)).detach().numpy()) < 1e-5


@pytest.mark.slow  # 40 s: PyTorch's exporter of today takes long to trace
@pytest.mark.parametrize(("bottleneck", "blocks"), [(False, (2, 2, 2, 2)), (True, (3, 4, 6, 3))], ids=["18", "50"])
def test_resnet_by_the_exporter_of_today(bottleneck, blocks, tmp_path):
    """torch.onnx.export(dynamo=True): another opset, other names, weights as external data, lengths left open."""
    pytest.importorskip("onnxscript", reason="torch.onnx.export(dynamo=True) needs the onnxscript package")
    net, x = network(bottleneck, blocks), images(2, 3, 64, 64)
    lengths = {axis: torch.export.Dim(name) for axis, name in ((0, "n"), (2, "h"), (3, "w"))}
    shapes = None if bottleneck else (lengths,)
    program = torch.onnx.export(net, (torch.from_numpy(x),), dynamo=True, dynamic_shapes=shapes, verbose=False)
    program.save(str(tmp_path / "net.onnx"), external_data=True)
    assert (tmp_path / "net.onnx.data").exists()
    imported = load(tmp_path / "net.onnx")
    for shape in ((2, 3, 64, 64), *([] if bottleneck else [(3, 3, 96, 80)])):
        x = images(*shape, seed=1)
        expected = net(torch.from_numpy(x)).detach().numpy()
        assert off(imported(mr.Tensor(x)).detach().numpy(), expected) < 1e-5
        assert off(inference.compile(imported, x)(x), expected) < 1e-5
