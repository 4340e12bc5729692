"""The standard's own tests (onnx.backend.test): every one that consists of operators that MiniRes knows.

Those that are left out are listed with the reason, and must fail: a reason that no longer holds is found.
"""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest

import minires as mr

onnx = pytest.importorskip("onnx")

from minires.onnx import load  # noqa: E402
from minires.onnx.node import OPERATORS  # noqa: E402

# A pattern of test names -> why they are left out.
EXCLUDED = {
    r"_(bf16|bfloat16)|BFLOAT16|FLOAT8|FLOAT4|INT4|INT2|_e8m0": "a dtype that NumPy has not",
    r"^test_equal_string": "strings are no numbers",
    r"_3d_default$|pool_3d_dil|^test_convtranspose_3d$|(Conv|AvgPool|MaxPool)3d": "windows of three axes",
    r"^test_training_dropout_(default|default_mask|mask)$|^test_training_dropout$": "a file that draws random numbers",
    r"^test_identity_(sequence|opt)$": "sequences and optional values are no tensors",
    r"^test_mvn$": "the onnx package's own checker refuses this model (a Constant without a value)",
    r"^test_not_[234]d$": "opset 1; MiniRes reads 6 and later",
    r"^test_attention_4d_causal_fp16_expanded$": "float16: 2 of 192 numbers round otherwise",
}
KNOWN = {"node": 1107, "pytorch-converted": 69, "pytorch-operator": 35, "simple": 7}  # passed when this was written


def cases(kind):
    """(name, model, [(inputs, outputs)], rtol, atol) of the tests of a kind that MiniRes knows the operators of."""
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = load_model_tests(kind=kind)
    for test in found:
        folder = Path(test.model_dir) if test.model_dir else None
        model = onnx.load(folder / "model.onnx") if folder else test.model
        known = {node.op_type for node in model.graph.node} <= OPERATORS.keys()
        if known and not model.functions and all(node.domain in ("", "ai.onnx") for node in model.graph.node):
            yield test, model, stored(folder) if folder else test.data_sets


def stored(folder):
    return [
        tuple([onnx.load_tensor(file) for file in numbered(part, name)] for name in ("input", "output"))
        for part in sorted(folder.glob("test_data_set_*"))
    ]


def numbered(folder, name):
    return sorted(folder.glob(f"{name}_*.pb"), key=lambda file: int(file.stem.rpartition("_")[2]))


def as_array(value):
    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def run(test, model, data):
    """Raise unless MiniRes computes what the test expects."""
    net = load(model)
    for inputs, outputs in data:
        returned = net(*[mr.Tensor(np.array(as_array(each))) for each in inputs])
        found = returned if isinstance(returned, tuple) else (returned,)
        assert len(found) == len(outputs)
        for ours, theirs in zip(found, map(as_array, outputs), strict=True):
            assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
            np.testing.assert_allclose(ours.numpy(), theirs, rtol=test.rtol, atol=test.atol)


def outcome(test, model, data):
    """ "" if a test passes, else why not."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            run(test, model, data)
    except Exception as error:
        return f"{test.name}: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return ""


@pytest.mark.alone
@pytest.mark.slow  # 25 s: the package makes its 1,884 tests anew, and 1,300 of them run
@pytest.mark.parametrize("kind", KNOWN)
def test_every_test_of_a_known_operator_passes(kind):
    passed, failed, stale, used = 0, [], [], set()
    for test, model, data in cases(kind):
        reason = next((pattern for pattern in EXCLUDED if re.search(pattern, test.name)), None)
        why = outcome(test, model, data)
        used.add(reason)
        passed += not why
        if why and reason is None:
            failed.append(why)
        elif not why and reason is not None:
            stale.append(test.name)
    assert not failed, "\n".join(failed)
    assert not stale, "these pass, and need not be left out: " + ", ".join(stale)
    assert passed >= KNOWN[kind]
    if kind == "node":
        assert used >= EXCLUDED.keys(), f"no test has {EXCLUDED.keys() - used}"


ASKED_FOR = """
Conv ConvTranspose BatchNormalization Relu LeakyRelu PRelu Sigmoid HardSigmoid HardSwish Tanh Elu Gelu Clip
Erf Exp Log Sqrt Pow Abs Neg Reciprocal Add Sub Mul Div Max Min Mean Sum MatMul Gemm MaxPool AveragePool
GlobalAveragePool GlobalMaxPool LpNormalization InstanceNormalization LayerNormalization GroupNormalization
Softmax LogSoftmax ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum
ReduceLogSumExp ReduceSumSquare ArgMax TopK Concat Split Slice Gather Reshape Flatten Transpose Squeeze
Unsqueeze Expand Tile Pad Resize Upsample DepthToSpace SpaceToDepth Cast Shape Constant ConstantOfShape
Identity Dropout Where Equal Less Greater Not Range Einsum
"""


def test_the_promised_operators_are_there():
    assert set(ASKED_FOR.split()) <= OPERATORS.keys()


def test_every_attribute_that_an_operator_honours_is_one_of_the_standard():
    """An attribute with a misprinted name would be refused in every file."""
    names: dict[str, set[str]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "":
            names.setdefault(schema.name, set()).update(schema.attributes)
    for name, known in OPERATORS.items():
        assert known.attributes <= names[name], name


LIGHT = ("bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet")
LIGHT += ("squeezenet", "vgg19", "zfnet512")


@pytest.mark.slow  # 15 s: networks of a hundred layers, with weights that are made when they are loaded
@pytest.mark.parametrize("name", LIGHT)
@pytest.mark.filterwarnings("ignore:.*nothing reads")  # two of them have leftovers of training
def test_the_networks_that_come_with_the_standard(name):
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    if not (folder / f"light_{name}.onnx").exists():
        pytest.skip("this onnx package brings no light networks")
    net = load(folder / f"light_{name}.onnx")
    shape = net.inputs[0].shape
    x = np.arange(np.prod(shape)).reshape(shape) / np.prod(shape)
    with mr.no_grad():
        y = net(mr.Tensor(x.astype(np.float32)))
    expected = onnx.numpy_helper.to_array(onnx.load_tensor(folder / f"light_{name}_output_0.pb"))
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-3, atol=1e-7)
