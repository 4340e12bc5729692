"""Every CUDA source passes the compile gate, and the gate rejects faulty kernels."""

from __future__ import annotations

import pytest

from minires.backend.cuda import sources
from tests.cudasim import gate, nvrtc
from tests.cudasim.gate import ARCHITECTURES, Variant, check

if nvrtc.unavailable():
    pytest.skip(nvrtc.unavailable(), allow_module_level=True)

IN_MAKE_TEST = 90
# Slow: three quarters of the compilation, two minutes on two cores without a cache.
OTHERS = [pytest.param(each, marks=pytest.mark.slow) for each in ARCHITECTURES if each != IN_MAKE_TEST]


@pytest.mark.parametrize("architecture", [IN_MAKE_TEST, *OTHERS])
@pytest.mark.parametrize("source", sources.names())
def test_every_kernel_compiles_without_spills(source, architecture):
    wanted = [pair for pair in gate.cases((architecture,)) if pair[0].source == source]
    assert wanted
    errors = [f"{result.variant}: {error}" for result in gate.run(wanted) for error in result.errors]
    assert not errors, "\n".join(errors)


def test_sources_and_variants_are_complete():
    """Each source has a variant for each architecture, and each product one with and one without TF32."""
    for architecture in ARCHITECTURES:
        named = {variant.source for variant, _ in gate.cases((architecture,))}
        assert named == set(sources.names())
    for source in {variant.source for variant in gate.variants() if "TF32" in dict(variant.constants)}:
        ways = {dict(variant.constants)["TF32"] for variant in gate.variants() if variant.source == source}
        assert ways == {0, 1}


# -- what must fail ----------------------------------------------------------------------------------------------------

SPILLING = """
extern "C" __global__ void __launch_bounds__(1024, 2) k(float* x, int n) {
    float held[64];
#pragma unroll
    for (int i = 0; i < 64; ++i) held[i] = x[i * 1024 + threadIdx.x];
    for (int round = 0; round < n; ++round)
#pragma unroll
        for (int i = 0; i < 64; ++i) held[i] = held[i] * held[(i + 1) % 64] + x[round];
#pragma unroll
    for (int i = 0; i < 64; ++i) x[i * 1024 + threadIdx.x] = held[i];
}
"""
WARNING = 'extern "C" __global__ void k(float* x) { int n; x[n] = 1; }'
HEADER = '#include <cmath>\nextern "C" __global__ void k(float* x) { *x = 1; }'
SHARED = 'extern "C" __global__ void k(float* x) { __shared__ float s[13000]; s[threadIdx.x] = *x; *x = s[7]; }'
MULTIPLY = """
extern "C" __global__ void k(float* d, const unsigned* a) {
#if TF32 != FLIPPED
    float d0 = 0, d1 = 0, d2 = 0, d3 = 0;
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d0), "+f"(d1), "+f"(d2), "+f"(d3)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(a[4]), "r"(a[5]));
    d[threadIdx.x] = d0 + d1 + d2 + d3;
#else
    d[threadIdx.x] = a[0];
#endif
}
"""


def errors(code, architecture=90, **constants):
    return check(code, Variant("planted", tuple(constants.items()), 0), architecture).errors


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        (SPILLING, "k spills"),
        (WARNING, "warning"),
        (HEADER, "cmath"),
        (SHARED, "52000 bytes smem"),
        ("int n;", "no kernel"),
    ],
    ids=["spills", "warns", "includes", "shared memory", "empty"],
)
def test_what_the_gate_refuses(code, complaint):
    assert any(complaint in error for error in errors(code)), errors(code)


def test_tensor_cores_are_told_from_their_absence():
    assert errors(MULTIPLY, TF32=1, FLIPPED=0) == errors(MULTIPLY, TF32=0, FLIPPED=0) == []
    assert "is to use tensor cores" in errors(MULTIPLY, TF32=1, FLIPPED=1)[0]
    assert "is to be exact" in errors(MULTIPLY, TF32=0, FLIPPED=1)[0]
    assert errors(MULTIPLY, 75, TF32=1, FLIPPED=0)  # not before sm_80


def test_the_report_of_the_compiler():
    result = check(SPILLING, Variant("planted", (), 0), 80)
    (kernel,) = result.kernels
    assert kernel.name == "k"
    assert kernel.registers == 32  # of 65,536 for 2048 threads
    assert kernel.spilled > 0


def test_the_command(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["gate", "--only", "elementwise", "--arch", "90"])
    with pytest.raises(SystemExit) as ended:
        gate.main()
    assert not ended.value.code
    assert "relu_mask" in capsys.readouterr().out
