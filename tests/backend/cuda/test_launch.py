"""launch.py rejects wrong arguments that CuPy would pass on silently, and reads signatures from the sources."""

from __future__ import annotations

import re

import numpy as np
import pytest

from minires.backend.cuda import layout, sources
from minires.backend.cuda.launch import first_error, is_dense, launch
from minires.backend.cuda.provider import CUDA as cuda
from minires.backend.cuda.sources import Parameter


def add(device, x=None, y=None, size=4):
    """Launch `add` of elementwise.cu on arrays of four ones, except for the given arguments."""
    ones = device.upload(np.ones(4, np.float32))
    z = device.upload(np.zeros(4, np.float32))
    launch("elementwise", "add", (1,), 256, ones if x is None else x, ones if y is None else y, z, size)
    return device.download(z)


def test_arguments_that_fit(device):
    assert add(device).tolist() == [2.0] * 4
    assert add(device, size=np.int64(3)).tolist() == [2.0] * 3 + [0.0]


def test_arguments_that_do_not_fit(device):
    wide = device.upload(np.ones((4, 4), np.float32))
    for error, message, arguments in (
        (TypeError, "add: argument x is float64, the kernel reads float", {"x": device.upload(np.ones(4))}),
        (ValueError, "add: argument y has gaps: shape (4,), strides (16,)", {"y": wide[:, 0]}),
        (ValueError, "add: argument x is not aligned to 16 bytes", {"x": device.upload(np.ones(8, np.float32))[1:5]}),
        (ValueError, f"= {1 << 63} does not fit long long", {"size": 1 << 63}),
    ):
        with pytest.raises(error) as caught:
            add(device, **arguments)
        assert message in str(caught.value)
    with pytest.raises(TypeError, match="add: 1 arguments for 4 parameters"):
        launch("elementwise", "add", (1,), 256, wide)
    with pytest.raises(KeyError, match="no_such_kernel"):
        launch("elementwise", "no_such_kernel", (1,), 256)


def test_views_and_misaligned_arrays_are_copied_by_the_provider(device):
    whole = np.arange(42, dtype=np.float32)
    for view in (whole[1:41], whole[::2], whole[::-1], whole[1:41].reshape(5, 8).T, whole[2:42].reshape(1, 5, 4, 2)):
        np.testing.assert_array_equal(device.run(cuda.relu, -view), np.maximum(-view, 0))
        there = layout.dense(device.upload(view))
        assert there.flags.c_contiguous
        assert layout.is_aligned(there)


@pytest.mark.parametrize(
    ("array", "dense"),
    [
        (np.ones((2, 3)), True),
        (np.ones((2, 3)).T, True),
        (np.ones((2, 3, 4)).transpose(1, 2, 0), True),
        (np.ones((2, 1, 4))[:, ::1], True),
        (np.ones((4, 4))[:, :2], False),
        (np.broadcast_to(np.ones(3), (2, 3)), False),
        (np.ones(4)[::-1], False),
        (np.ones(8)[::2], False),
    ],
)
def test_gaps(array, dense):
    assert is_dense(array) == dense


def test_signatures():
    code = """
    // extern "C" __global__ void commented_out(int n) {}
    extern "C" __global__ void __launch_bounds__(128, 2) k(
        const float* __restrict__ x, unsigned char* y,  // a comment, with a comma
        const long long *labels, Geometry g, long long n, float lr) {}
    """
    assert sources.signatures_in(code) == {
        "k": (
            Parameter("x", "float", True),
            Parameter("y", "unsigned char", True),
            Parameter("labels", "long long", True),
            Parameter("g", "Geometry", False),
            Parameter("n", "long long", False),
            Parameter("lr", "float", False),
        )
    }
    with pytest.raises(ValueError, match="not of the form"):
        sources.signatures_in('extern "C" __global__ void k(float x[4]) {}')


def test_every_source_is_one_text_and_its_kernels_are_known():
    for name in sources.names():
        assert "#include" not in sources.text(name)
        assert sources.signatures(name)


def test_the_compiler_is_given_ascii(device):
    """Whatever the comments are written in: CuPy writes the text in the locale's encoding."""
    assert all(sources.text(name).isascii() for name in sources.names())
    for path in sources.folder().iterdir():
        code = re.sub(r"//[^\n]*|/\*.*?\*/", "", path.read_text("utf-8"), flags=re.DOTALL)
        assert code.isascii(), f"{path.name}: code, not a comment"
    code = 'extern "C" __global__ void k(float* y) { *y = 1; }  // σ²'
    if device.is_simulated:
        with pytest.raises(UnicodeEncodeError):
            device.cupy.RawModule(code=code).compile()
    assert sources.in_ascii(code) == 'extern "C" __global__ void k(float* y) { *y = 1; }  // __'


def test_structs_are_laid_out_as_in_c_and_packed_whole():
    geometry = sources.struct("conv", "Geometry")
    assert geometry.itemsize % 4 == 0
    assert geometry["area"].names == ("divisor", "multiplier", "shift")
    with pytest.raises(ValueError, match=r"'across'.*do not match"):
        sources.pack("conv", "Geometry", images=1)
    with pytest.raises(ValueError, match="no struct Nothing"):
        sources.struct("conv", "Nothing")


def test_a_log_is_cut_to_its_first_error():
    first = 'k.cu(3): error: identifier "x" is undefined\n  x = 1;\n'
    log = "k.cu(1): warning: unused\n" + first + "k.cu(4): error\n" * 900
    assert first_error(log) == 'k.cu(3): error: identifier "x" is undefined x = 1;'
    assert first_error("") == "the compiler says nothing"


def test_the_provider_takes_names_as_the_contract_does(device):
    x = device.upload(np.float32([[1.0, 2.0], [3.0, 4.0]]))
    assert device.download(cuda.sum(x, axes=(0,), keepdims=False)).tolist() == [4.0, 6.0]
