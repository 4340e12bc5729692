"""An imported network is a Module like any other: trained, differentiated, compiled, checked, drawn, copied."""

import copy
import pickle

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import gradcheck, inference, models, nn, optim
from minires.errors import DataError, DtypeError, ShapeError
from tests.onnx.networks import Highway, images, off, trained

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from minires.onnx import load, save  # noqa: E402


@pytest.fixture
def resnet8(tmp_path):
    """(our network, the same from a file)."""
    model = trained("resnet8")
    save(tmp_path / "resnet8.onnx", model, images(1, 3, 16, 16))
    return model, load(tmp_path / "resnet8.onnx")


def graph(nodes, inputs, outputs, initialisers=(), opset=17):
    """The bytes of a file with these nodes."""
    made = helper.make_graph(
        nodes, "g", inputs, outputs, [numpy_helper.from_array(a, n) for n, a in dict(initialisers).items()]
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8).SerializeToString()


def floats(name, *shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def test_training_equals_that_of_our_own(resnet8):
    ours, theirs = resnet8
    x, labels = images(8, 3, 16, 16), mr.tensor(np.arange(8) % 10)
    for net in (ours.train(), theirs.train()):
        optimizer = optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
        for _ in range(10):
            optimizer.zero_grad()
            F.cross_entropy(net(mr.Tensor(x)), labels).backward()
            optimizer.step()
    state = theirs.state_dict()
    for name, tensor in ours.state_dict().items():
        assert off(state[name].numpy() + 1, tensor.numpy() + 1) < 1e-6, name


def test_compiled_it_is_the_plan_of_our_own(resnet8):
    ours, theirs = resnet8
    x = images(2, 3, 16, 16)
    plans = [inference.compile(net, x).describe() for net in resnet8]
    assert plans[0].count("conv") == plans[1].count("conv")
    assert "batch norm" not in plans[1]
    assert "+ residual, ReLU" in plans[1]
    fast = inference.compile(theirs, x)
    for count in (2, 5):
        x = images(count, 3, 16, 16, seed=count)
        assert off(fast(x), ours(mr.Tensor(x)).detach().numpy()) < 1e-5


def test_layers_are_modules_of_our_own(resnet8):
    ours, theirs = resnet8
    kinds = nn.Conv2d, nn.Linear
    counts = [[sum(type(each) is kind for each in net.modules()) for kind in kinds] for net in (ours, theirs)]
    assert counts[0] == counts[1]
    assert all(counts[0])


def test_its_gradients_are_checked(tmp_path):
    save(tmp_path / "net.onnx", Highway().eval(), images(1, 3, 4, 4))
    net = load(tmp_path / "net.onnx").to(dtype=np.float64)
    assert gradcheck.gradcheck(net, mr.Tensor(images(2, 3, 4, 4).astype(np.float64)), fast_mode=True)


def test_it_is_drawn_copied_and_pickled(resnet8):
    theirs, x = resnet8[1], mr.Tensor(images(1, 3, 16, 16))
    expected = theirs(x).detach().numpy()
    svg = mr.draw_graph(theirs(x), names=theirs).svg
    assert "layer1.0.conv1.weight" in svg
    for copied in (copy.deepcopy(theirs), pickle.loads(pickle.dumps(theirs))):
        assert np.array_equal(copied(x).detach().numpy(), expected)
    assert "resnet8.onnx, opset 17" in repr(theirs)


def test_its_state_is_that_of_our_network(resnet8):
    ours, theirs = resnet8
    other = models.build("resnet8").eval()
    theirs.load_state_dict(other.state_dict())
    x = mr.Tensor(images(2, 3, 16, 16))
    assert np.array_equal(theirs(x).detach().numpy(), other(x).detach().numpy())
    ours.load_state_dict(theirs.state_dict())


def test_sizes_that_a_file_fixes_are_checked(tmp_path):
    model, path = trained("resnet8"), tmp_path / "net.onnx"
    save(path, model, images(2, 3, 16, 16), dynamic_batch=False)
    with pytest.raises(ShapeError, match="dynamic=True"):
        load(path)(mr.Tensor(images(3, 3, 16, 16)))
    with pytest.raises(DtypeError, match="must be float32, got int64"):
        load(path)(mr.tensor(np.zeros((2, 3, 16, 16), np.int64)))
    with pytest.raises(ShapeError, match="1 inputs, got 2"):
        load(path)(mr.Tensor(images(2, 3, 16, 16)), mr.Tensor(images(1)))


def test_a_size_that_the_file_leaves_open_may_vary(tmp_path):
    content = graph(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("Shape", ["c"], ["s"]),
            helper.make_node("Slice", ["s", "zero", "two"], ["nc"]),
            helper.make_node("Concat", ["nc", "rest"], ["to"], axis=0),
            helper.make_node("Reshape", ["c", "to"], ["r"]),
            helper.make_node("ReduceMean", ["r"], ["y"], axes=[2], keepdims=0),
        ],
        [floats("x", "n", 3, "h", "w_")],
        [floats("y", "n", 4)],
        {"w": images(4, 3, 3, 3), "zero": np.array([0]), "two": np.array([2]), "rest": np.array([-1])},
    )
    net = load(content)
    fast = inference.compile(net, images(1, 3, 8, 8))
    for shape in ((2, 3, 8, 8), (1, 3, 5, 9)):
        x = images(*shape)
        expected = F.conv2d(mr.Tensor(x), mr.Tensor(images(4, 3, 3, 3)), padding=1).mean((2, 3)).numpy()
        assert off(net(mr.Tensor(x)).detach().numpy(), expected) < 1e-6
        assert off(fast(x), expected) < 1e-6
    assert [name for name, _ in net.named_parameters()] == ["w"] or len(list(net.parameters())) == 1


def test_initialisers_are_parameters_and_settings_are_not():
    content = graph(
        [
            helper.make_node("Clip", ["x", "low", "high"], ["a"]),
            helper.make_node("Mul", ["a", "alpha"], ["b"]),
            helper.make_node("Constant", [], ["two"], value_float=2.0),
            helper.make_node("Mul", ["two", "two"], ["four"]),
            helper.make_node("Div", ["b", "four"], ["y"]),
        ],
        [floats("x", "n", 3)],
        [floats("y", "n", 3)],
        {"low": np.float32(-1), "high": np.float32(1), "alpha": np.ones(3, np.float32)},
    )
    net = load(content)
    assert [name for name, _ in net.named_parameters()] == ["alpha"]
    assert len(net._steps) == 3  # what depends on constants alone was computed when the file was loaded
    x = mr.tensor([[-3.0, 0.5, 2.0]], requires_grad=True)
    net(x).sum().backward()
    assert x.grad.tolist() == [[0, 0.25, 0]]
    assert net.alpha.grad.tolist() == [-0.25, 0.125, 0.25]


@pytest.mark.parametrize("name", ["forward", "training", "a", "a.b", "", "to.weight", "__class__", "a..b", "x/y:0"])
def test_any_name_of_a_tensor_has_a_place(name):
    names = [name or "empty", "a", "a.b.c"]
    names = list(dict.fromkeys(names))
    nodes = [helper.make_node("Sum", ["x", *names], ["y"])]
    net = load(graph(nodes, [floats("x", 2)], [floats("y", 2)], {each: np.ones(2, np.float32) for each in names}))
    assert net(mr.tensor([1.0, 1.0])).tolist() == [1.0 + len(names)] * 2
    assert net.tensor_names.keys() == set(names)
    assert len(net.state_dict()) == len(names)


def test_unknown_operators_and_attributes_are_all_listed():
    nodes = [
        helper.make_node("NonMaxSuppression", ["x", "x"], ["a"]),
        helper.make_node("NonMaxSuppression", ["x", "x"], ["b"]),
        helper.make_node("Relu", ["x"], ["c"], slope=2.0),
        helper.make_node("Fancy", ["x"], ["d"], domain="com.example"),
        helper.make_node("MaxPool", ["x"], ["e"], kernel_shape=[2, 2, 2]),
        helper.make_node("Cast", ["x"], ["y"], to=TensorProto.BFLOAT16),
    ]
    with pytest.raises(DataError) as error:
        load(graph(nodes, [floats("x", 2)], [floats("y", 2)]))
    for part in (
        "NonMaxSuppression (2 nodes)",
        "attribute 'slope' of Relu (1 node)",
        "com.example.Fancy (1 node)",
        "MaxPool with a window of 3 axes",
        "Cast to dtype BFLOAT16",
    ):
        assert part in str(error.value)


def test_a_node_that_fails_is_named():
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="layer7")]
    net = load(graph(nodes, [floats("x", "n", "k")], [floats("y", "n", 2)], {"w": np.ones((3, 2), np.float32)}))
    with pytest.raises(ShapeError, match=r"MatMul 'layer7'.*do not fit"):
        net(mr.Tensor(images(2, 4)))


def test_highway_is_trained_after_import(tmp_path):
    save(tmp_path / "net.onnx", Highway().eval(), images(1, 3, 8, 8))
    net = load(tmp_path / "net.onnx").train()
    optimizer = optim.SGD(net.parameters(), lr=1.0)
    x, labels, losses = mr.Tensor(images(8, 3, 8, 8)), mr.tensor(np.arange(8) % 5), []
    for _ in range(30):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
