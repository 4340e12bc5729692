"""onnx.save: what a file computes is what the model computes, for ONNX Runtime and when MiniRes reads it again."""

import numpy as np
import pytest

import minires as mr
from minires import MiniResError, models, nn
from minires import functional as F
from tests.onnx.networks import (
    Everything,
    Highway,
    Square,
    Students,
    by_onnxruntime,
    images,
    off,
    trained,
    with_statistics,
)

onnx = pytest.importorskip("onnx")
from minires.onnx import load, save  # noqa: E402

NETWORKS = {
    "resnet20": lambda: trained("resnet20"),
    "resnet20, B": lambda: trained("resnet20", shortcut="B"),
    "plain20": lambda: trained("plain20"),
    "highway": lambda: Highway().eval(),
    "student's": lambda: Students().eval(),
    "everything": lambda: with_statistics(Everything()),
}
SQUARE = {Square: lambda op, x: x * x}


@pytest.fixture(params=[17, 18])
def opset(request):
    return request.param


@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_runtime_agrees_for_any_number_of_images(name, opset, tmp_path):
    model, path = NETWORKS[name](), tmp_path / "net.onnx"
    save(path, model, images(2, 3, 8, 8), opset=opset, compositions=SQUARE)
    for count in (1, 2, 5):
        x = images(count, 3, 8, 8, seed=count)
        (found,) = by_onnxruntime(path, x)
        assert off(found, model(mr.Tensor(x)).detach().numpy()) < 1e-5


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "everything"])
def test_read_again_outputs_and_gradients_have_the_same_bits(name, tmp_path):
    model, path = NETWORKS[name](), tmp_path / "net.onnx"
    save(path, model, images(2, 3, 8, 8), compositions=SQUARE)
    again, x = load(path), images(3, 3, 8, 8, seed=1)
    assert again.state_dict().keys() == model.state_dict().keys()
    _gradients_have_the_same_bits(model, again, x)


def _gradients_have_the_same_bits(model, again, x):
    """Outputs, and the gradients of a random cotangent, are equal bit by bit."""
    outputs = [net(mr.Tensor(x)) for net in (model, again)]
    assert np.array_equal(outputs[0].detach().numpy(), outputs[1].detach().numpy())
    cotangent = images(*outputs[0].shape, seed=2)
    for y in outputs:
        y.backward(mr.Tensor(cotangent))
    theirs = dict(again.named_parameters())
    for key, parameter in model.named_parameters():
        assert np.array_equal(parameter.grad.numpy(), theirs[key].grad.numpy()), key


@pytest.mark.slow  # 12 s: networks of 25 million weights are written, checked and read
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "plain18", "resnext50_32x4d"])
def test_the_large_networks(name, tmp_path):
    model, path = trained(name), tmp_path / "net.onnx"
    save(path, model, images(1, 3, 64, 64))
    again, x = load(path), images(2, 3, 64, 64, seed=1)
    with mr.no_grad():
        expected = model(mr.Tensor(x)).numpy()
        assert np.array_equal(again(mr.Tensor(x)).numpy(), expected)
    if name == "resnet50":
        _gradients_have_the_same_bits(model, again, x)
    assert off(by_onnxruntime(path, x)[0], expected) < 1e-5


def test_what_is_in_the_file(tmp_path, opset):
    model, path = trained("resnet8"), tmp_path / "net.onnx"
    save(
        path,
        model,
        images(1, 3, 16, 16),
        opset=opset,
        input_names=["image"],
        output_names=["logits"],
        metadata={"a": "b"},
    )
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    initialisers = {each.name: onnx.numpy_helper.to_array(each) for each in proto.graph.initializer}
    for name, tensor in model.state_dict().items():
        assert name.endswith("num_batches_tracked") or np.array_equal(initialisers[name], tensor.numpy()), name
    (given,), (returned,) = proto.graph.input, proto.graph.output
    assert (given.name, returned.name) == ("image", "logits")
    shapes = [[n.dim_param or n.dim_value for n in each.type.tensor_type.shape.dim] for each in (given, returned)]
    assert shapes == [["batch", 3, 16, 16], ["batch", 10]]
    assert proto.opset_import[0].version == opset
    assert "MiniRes" in proto.doc_string
    assert mr.__version__ in proto.doc_string
    known = {each.name for each in proto.graph.value_info}
    assert known >= {name for node in proto.graph.node for name in node.output} - {"logits"}, "shapes are inferred"
    assert load(path).metadata == {"a": "b"}


def test_a_fixed_number_of_images(tmp_path):
    model, path = trained("resnet8"), tmp_path / "net.onnx"
    save(path, model, images(4, 3, 8, 8), dynamic_batch=False)
    assert load(path).inputs[0].shape == (4, 3, 8, 8)
    assert (
        off(
            by_onnxruntime(path, images(4, 3, 8, 8, seed=1))[0],
            model(mr.Tensor(images(4, 3, 8, 8, seed=1))).detach().numpy(),
        )
        < 1e-5
    )


def test_several_inputs_and_outputs(tmp_path):
    class Two(nn.Module):
        def __init__(self):
            self.fc = nn.Linear(4, 3)

        def forward(self, x, y):
            return self.fc(x) + y, x, x.sum(1)

    model, path, x, y = Two().eval(), tmp_path / "net.onnx", images(2, 4), images(2, 3)
    save(path, model, (x, y))
    found = by_onnxruntime(path, images(5, 4), images(5, 3))
    expected = model(mr.Tensor(images(5, 4)), mr.Tensor(images(5, 3)))
    assert all(off(a, b.detach().numpy()) < 1e-5 for a, b in zip(found, expected, strict=True))
    assert len(load(path)(mr.Tensor(x), mr.Tensor(y))) == 3


def lines_of(error):
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_operation_without_operator_is_named_with_its_line(tmp_path):
    with pytest.raises(MiniResError, match=r"Square has no ONNX operator.*compositions") as error:
        save(tmp_path / "net.onnx", Students().eval(), images(1, 3, 8, 8))
    assert "networks.py" in lines_of(error)
    assert not list(tmp_path.iterdir())


class Branch(nn.Module):
    def __init__(self, forward):
        self.fc, self.f = nn.Linear(4, 3), forward

    def forward(self, x):
        return self.f(self.fc(x))


REFUSED = {
    "a branch": (lambda y: -y if y.sum() > 0 else y, "test_export.py.*depends on the numbers of its input"),
    "a comparison": (lambda y: F.where(y > 0, y, 0.0), "test_export.py.*depends on the numbers of its input"),
    "NumPy": (lambda y: mr.Tensor(y.numpy() * 2), "test_export.py.*depends on the numbers of its input"),
    "dropout": (lambda y: F.dropout(y), "dropout is active"),
    "its batch": (lambda y: y * y.shape[0], "depends on the number of images"),
    "its batch, growing": (lambda y: y[: 1 + y.shape[0] // 2], "depends on the number of images"),
    "a dict": (lambda y: {"y": y}, "returns a dict"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_no_file_can_follow_is_refused(kind, tmp_path):
    function, message = REFUSED[kind]
    with pytest.raises(MiniResError, match=message) as error:
        save(tmp_path / "net.onnx", Branch(function).eval(), images(2, 4))
    lines_of(error)
    assert not list(tmp_path.iterdir())


def test_arguments_that_cannot_be_honoured(tmp_path):
    model, x, path = models.build("resnet8").eval(), images(1, 3, 8, 8), tmp_path / "net.onnx"
    with pytest.raises(MiniResError, match="17 or 18, not 12"):
        save(path, model, x, opset=12)
    with pytest.raises(MiniResError, match=r"call model\.eval"):
        save(path, models.build("resnet8"), x)
    with pytest.raises(MiniResError, match="1 inputs, and 2 names"):
        save(path, model, x, input_names=["a", "b"])
    with pytest.raises(TypeError, match=r"save\(path, model, example\)"):
        save(path, x, model)
    with pytest.raises(MiniResError, match="must not be empty"):
        save(path, model, images(0, 3, 8, 8))
    with pytest.raises(MiniResError, match="cannot write"):
        save(tmp_path / "nowhere" / "net.onnx", model, x)


def test_the_model_is_as_it_was(tmp_path):
    model = trained("resnet8")
    before = {key: value.numpy().copy() for key, value in model.state_dict().items()}
    save(tmp_path / "net.onnx", model, images(1, 3, 8, 8))
    assert all(np.array_equal(before[key], value.numpy()) for key, value in model.state_dict().items())
    assert not model.training
