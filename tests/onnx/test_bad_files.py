"""Files that are damaged, hostile or of another kind: one line each, and nothing large is allocated."""

import tracemalloc
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import minires as mr
from minires.cli import main
from minires.errors import DataError, MiniResError
from tests.onnx.networks import images, trained

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from minires.onnx import load, save  # noqa: E402


def small(**changes):
    """A small valid file as a ModelProto; changes: of the arguments of make_graph or make_model."""
    w = images(2, 3)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("Relu", ["a"], ["y"])]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])]
    made = helper.make_graph(
        changes.get("nodes", nodes),
        "g",
        inputs,
        changes.get("outputs", outputs),
        changes.get("initialisers", [numpy_helper.from_array(w, "w")]),
    )
    opset = [helper.make_opsetid("", changes.get("opset", 17))]
    return helper.make_model(made, opset_imports=opset, ir_version=8)


def claiming(dims, data=b"", **fields):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, raw_data=data)
    for key, value in fields.items():
        setattr(tensor, key, value)
    return tensor


def external(**entries):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2, 3], data_location=TensorProto.EXTERNAL)
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def node(*arguments, **attributes):
    return [helper.make_node(*arguments, **attributes)]


def constant_of(*shape):
    shape_of = [numpy_helper.from_array(np.array(shape), "shape"), numpy_helper.from_array(images(2, 3), "w")]
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["big"]),
        helper.make_node("ReduceSum", ["big"], ["s"], keepdims=0),
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Add", ["m", "s"], ["y"]),
    ]
    return {"nodes": nodes, "initialisers": shape_of}


BAD = {
    "a tensor that claims more": ({"initialisers": [claiming([2**20, 2**20], b"0" * 24)]}, "needs .* bytes|valid"),
    "a tensor that claims less": ({"initialisers": [claiming([2, 3], b"0" * 28)]}, "needs 24 bytes"),
    "a negative length": ({"initialisers": [claiming([-2, -3], b"0" * 24)]}, "not valid ONNX"),
    "an overflow of lengths": ({"initialisers": [claiming([2**62, 2**62, 4], b"0" * 24)]}, "not valid ONNX"),
    "an unknown dtype": ({"initialisers": [claiming([2, 3], b"0" * 24, data_type=99)]}, "of dtype 99|valid"),
    "a cycle": (
        {"nodes": [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])]},
        "not valid ONNX",
    ),
    "a value that is made twice": (
        {"nodes": node("Relu", ["x"], ["y"]) + node("Relu", ["x"], ["y"])},
        "not valid ONNX",
    ),
    "a value that nobody makes": ({"nodes": node("Relu", ["nothing"], ["y"])}, "not valid ONNX"),
    "shapes that contradict each other": ({"initialisers": [numpy_helper.from_array(images(5, 3), "w")]}, "not valid"),
    "an opset of the future": ({"opset": 4000}, "update it"),
    "an opset of the past": ({"opset": 3}, "opset 6 and later"),
    "a huge constant": (constant_of(2**20, 2**20), "refused"),
    "constants that are large together": (constant_of(2**28 + 1), "refused"),
    "a negative constant": (constant_of(-1), "not valid ONNX"),
    "an endless range": (
        {
            "nodes": [*node("Range", ["l", "h", "d"], ["r"]), *node("ReduceSum", ["r"], ["s"], keepdims=0),
                      *node("MatMul", ["x", "w"], ["m"]), *node("Add", ["m", "s"], ["y"])],
            "initialisers": [
                numpy_helper.from_array(images(2, 3), "w"),
                *(numpy_helper.from_array(np.float32(v), n) for n, v in (("l", 0), ("h", 1e30), ("d", 1))),
            ],
        },
        "refused|valid",
    ),
    "no nodes": ({"nodes": []}, "not valid ONNX"),
    "an If": ({"nodes": node("If", ["x"], ["y"])}, "does not know If"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_refused_in_one_line(kind):
    changes, message = BAD[kind]
    content = small(**changes).SerializeToString()
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=message) as error:
            load(content)
        assert tracemalloc.get_traced_memory()[1] < 50 * 2**20
    finally:
        tracemalloc.stop()
    assert "\n" not in str(error.value)


def with_functions(*bodies):
    """A file whose one node calls the last of its own functions F0, F1, …; a body is a list of names of operators."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    made = []
    for number, body in enumerate(bodies):
        values = ["a", *(f"v{k}" for k in range(len(body) - 1)), "b"]
        nodes = [
            helper.make_node(op, [values[k]], [values[k + 1]], domain="own" if op.startswith("F") else "")
            for k, op in enumerate(body)
        ]
        made.append(helper.make_function("own", f"F{number}", ["a"], ["b"], nodes, opsets))
    call = helper.make_node(f"F{len(bodies) - 1}", ["x"], ["y"], domain="own")
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "y")]
    graph = helper.make_graph([call], "g", values[:1], values[1:])
    return helper.make_model(graph, opset_imports=opsets, functions=made, ir_version=8)


def test_functions_of_the_file_are_written_out():
    net = load(with_functions(["Neg"], ["F0", "Relu"], ["F1", "F0"]))
    assert net(mr.tensor(np.array([1, -2], np.float32))).tolist() == [0, -2]


@pytest.mark.parametrize(
    ("bodies", "says"),
    [
        ([["Relu"], *([f"F{k}"] * 2 for k in range(40))], "more than 1,000,000 nodes: refused"),
        ([["Relu"], *([f"F{k}"] for k in range(3000))], "call each other too deeply: refused"),
        ([["F0"]], "functions cannot be written out"),
        ([["F1"], ["F0"]], "functions cannot be written out"),
    ],
    ids=["doubling", "deep", "itself", "each other"],
)
def test_hostile_functions_are_refused(bodies, says):
    with pytest.raises(DataError, match=says) as error:
        load(with_functions(*bodies).SerializeToString())
    assert "\n" not in str(error.value)


OUTSIDE = {
    "above the folder": "../secret.bin",
    "an absolute path": "/etc/hostname",
    "a link that leads out": "link.bin",
    "a folder": "folder",
    "nothing": "",
    "a name that no file can have": "a\0b",
    "not there": "w.bin",
}


@pytest.mark.parametrize("kind", OUTSIDE)
def test_external_data_stay_in_the_folder_of_the_model(kind, tmp_path):
    home = tmp_path / "model"
    home.mkdir()
    (home / "folder").mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(24))
    (home / "link.bin").symlink_to(tmp_path / "secret.bin")
    path = home / "net.onnx"
    path.write_bytes(small(initialisers=[external(location=OUTSIDE[kind])]).SerializeToString())
    with pytest.raises(DataError, match=r"outside of the model's folder|which is not there"):
        load(path)


@pytest.mark.parametrize(
    "facts", [{"length": 2**50}, {"offset": 8}, {"offset": -8}, {"length": 8}, {"offset": "x"}], ids=str
)
def test_external_data_are_as_long_as_they_claim(facts, tmp_path):
    (tmp_path / "w.bin").write_bytes(bytes(24))
    (tmp_path / "net.onnx").write_bytes(small(initialisers=[external(location="w.bin", **facts)]).SerializeToString())
    with pytest.raises(DataError, match=r"and w.bin holds 24|must be numbers"):
        load(tmp_path / "net.onnx")


def test_external_data_are_read(tmp_path):
    w = images(2, 3)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "w.bin").write_bytes(bytes(8) + w.tobytes())
    proto = small(initialisers=[external(location="sub/w.bin", offset=8, length=24)])
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    assert np.array_equal(load(tmp_path / "net.onnx").w.numpy(), w)
    with pytest.raises(DataError, match="give the path of the model"):
        load(proto)


NO_FILES = {"a folder": "", "nothing there": "nope.onnx", "an empty file": "empty.onnx", "text": "text.onnx"}


@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_file_of_onnx(kind, tmp_path, capsys):
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "text.onnx").write_text("<html>Not found</html>")
    with pytest.raises(DataError, match="cannot load"):
        load(tmp_path / NO_FILES[kind])
    if NO_FILES[kind]:
        assert main(["summary", str(tmp_path / NO_FILES[kind])]) == 2
        assert capsys.readouterr().err.count("\n") == 1


@cache
def valid():
    """The bytes of a file with every kind of thing in it."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        save(path, trained("resnet8"), images(1, 3, 8, 8))
        return path.read_bytes()


def tried(content):
    """Load a file and run it; the only errors are MiniRes's own, in one line."""
    try:
        net = load(content)
        net(mr.Tensor(images(1, 3, 8, 8)))
    except MiniResError as error:
        assert "\n" not in str(error)  # noqa: PT017


MUTATED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@MUTATED
@given(st.integers(0, 2**31))
def test_a_file_that_is_cut_off(seed):
    content = valid()
    tried(content[: np.random.default_rng(seed).integers(0, len(content))])


@MUTATED
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_bytes_that_are_others(changes):
    content = bytearray(valid())
    for place, value in changes:
        content[int(place * (len(content) - 1))] = value
    tried(bytes(content))


@MUTATED
@given(st.data())
def test_parts_that_are_others(data):
    """Changes that leave a valid protocol buffer: of names, attributes, shapes and nodes."""
    proto = onnx.ModelProto()
    proto.ParseFromString(valid())
    for _ in range(data.draw(st.integers(1, 3))):
        mutate(proto.graph, data.draw)
    tried(proto.SerializeToString())


def mutate(graph, draw):
    index = st.integers(0, len(graph.node) - 1)
    one, other = graph.node[draw(index)], graph.node[draw(index)]
    number = draw(st.sampled_from([-1, 0, 1, 2, 3, 7, 2**31, 2**62, -(2**62)]))
    kind = draw(st.sampled_from(["op", "input", "output", "attribute", "drop", "dims", "data", "domain", "graph"]))
    if kind == "op":
        one.op_type = other.op_type
    elif kind == "input" and one.input and other.output:
        one.input[draw(st.integers(0, len(one.input) - 1))] = other.output[0]
    elif kind == "output" and one.output and other.output:
        one.output[0] = other.output[0]
    elif kind == "attribute" and one.attribute:
        attribute = one.attribute[draw(st.integers(0, len(one.attribute) - 1))]
        if attribute.ints:
            attribute.ints[0] = number
        else:
            attribute.i = number
    elif kind == "drop" and one.input:
        del one.input[-1]
    elif kind in ("dims", "data"):
        tensor = graph.initializer[draw(st.integers(0, len(graph.initializer) - 1))]
        if kind == "dims" and tensor.dims:
            tensor.dims[0] = number
        elif tensor.raw_data:
            tensor.raw_data = bytes(len(tensor.raw_data)) if number == 1 else b"\xff" * len(tensor.raw_data)
    elif kind == "domain":
        one.domain = "com.example"
    else:
        del graph.node[draw(index)]
