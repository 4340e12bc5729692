"""The builds of the kernels agree, and a network trains without any. test_machine.py tests which build is used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minires.backend import cpu
from minires.backend.cpu import isa
from tests.backend.cpu import builds, cases, workload
from tests.backend.cpu.builds import every_build

needs_kernels = pytest.mark.skipif(cpu.library is None, reason="the C kernels are not built here")


def run_python(program: str, fails: bool = False, **environment: str) -> str:
    """The output of a new interpreter, or the last line of its errors."""
    environment = {**os.environ, **environment}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return (done.stderr.strip().splitlines()[-1] if fails else done.stdout).strip()


@needs_kernels
def test_each_build_is_its_own():
    """Each module contains the object files of its own instruction set; once they were mixed."""
    for name, module in isa.built().items():
        binary = Path(module.__file__).read_bytes()
        assert b"PyInit__" + name.encode() in binary
        assert not any(b"PyInit__" + other.encode() in binary for other in isa.ISAS if other != name)
        assert module.supported()[0] == "baseline"
        assert set(module.supported()) <= set(isa.ISAS)


def close(actual: np.ndarray, expected: np.ndarray) -> bool:
    """Compare with Winograd's bound, the largest of all: relative to the largest number."""
    return bool(abs(actual.astype(float) - expected).max() <= 1e-5 * max(abs(expected.astype(float)).max(), 1))


def pairs(actual, expected) -> list[tuple[int, tuple[np.ndarray, np.ndarray]]]:
    """(number, (ours, theirs)) of each array of two results."""
    both = (each if isinstance(each, tuple) else (each,) for each in (actual, expected))
    return list(enumerate(zip(*both, strict=True)))


@needs_kernels
def test_the_builds_agree():
    results = {}
    for name, module in isa.built().items():
        with cases.kernels_of(module):
            results[name] = {each: call() for each, call in workload.calls().items()}
    first = results.pop("baseline")
    for name, theirs in results.items():
        for each, result in theirs.items():
            for number, (a, b) in pairs(result, first[each]):
                assert close(a, b), f"{each}, result {number}: {name} differs from baseline"


@needs_kernels
@pytest.mark.parametrize("name", every_build())
def test_the_same_bits_in_another_process(name):
    """Results do not depend on time, addresses or earlier computations."""
    with cases.kernels_of(isa.built()[name]):
        expected = workload.digests()
    program = "from tests.backend.cpu import workload; print(workload.digests())"
    assert eval(run_python(program, MINIRES_ISA=name, OMP_NUM_THREADS="3")) == expected


# -- no kernels -------------------------------------------------------------------------------------------------------

WITHOUT = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("minires.backend.cpu._"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
import numpy as np
import minires as mr
from minires import functional as F, models, optim
from minires.backend import available_providers, cpu
"""


def test_without_kernels_the_reference_serves():
    program = (
        WITHOUT
        + """
assert available_providers() == ("reference",)
assert (cpu.ISA, cpu.library) == ("", None)
mr.manual_seed(0)
model = models.resnet20()
optimizer = optim.SGD(model.parameters(), 0.1, 0.9)
x = mr.tensor(np.random.default_rng(0).normal(size=(2, 3, 16, 16)).astype(np.float32))
losses = []
for _ in range(3):
    loss = F.cross_entropy(model(x), mr.tensor(np.array([1, 7])))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
assert losses[2] < losses[0], losses
model.eval()
plan = mr.inference.compile(model, x)
with mr.no_grad():
    expected = model(x).numpy()
found = plan(x)
found = found.numpy() if hasattr(found, "numpy") else found
assert abs(found - expected).max() <= 1e-4 * abs(expected).max()
"""
    )
    run_python(program, MINIRES_ISA="", MINIRES_BACKEND="")


def test_without_kernels_an_instruction_set_is_refused():
    said = run_python(WITHOUT, fails=True, MINIRES_ISA="avx2")
    assert "MINIRES_ISA=avx2" in said
    assert said.endswith("available: none; the C kernels were not built")


def test_without_kernels_the_provider_cannot_be_forced():
    assert "no backend 'cpu' here" in run_python(WITHOUT, fails=True, MINIRES_ISA="", MINIRES_BACKEND="cpu")


@needs_kernels
def test_what_does_not_load_is_left_out(monkeypatch):
    """Without a compiler for AVX2 the baseline is used; a baseline that does not load causes a warning."""
    real = isa.importlib.import_module

    def without(missing: str, error: type[ImportError] = ModuleNotFoundError):
        def load(name: str):
            if name.endswith(missing):
                raise error(name)
            return real(name)

        return load

    monkeypatch.setattr(isa.importlib, "import_module", without("_avx2"))
    assert "avx2" not in isa.built()
    assert "baseline" in isa.built()
    monkeypatch.setattr(isa.importlib, "import_module", without("_baseline", ImportError))
    with pytest.warns(UserWarning, match="C kernels for baseline do not load"):
        assert isa.built() == {}
    monkeypatch.setattr(isa.importlib, "import_module", without("_baseline"))
    assert isa.built() == {}
    monkeypatch.delenv("MINIRES_ISA", raising=False)
    assert isa.load() == ("", None)


def test_a_run_says_which_instruction_sets_it_tests_and_why_not_the_others(monkeypatch):
    present = builds.header()
    assert present.startswith(f"C kernels tested: {', '.join(isa.built())} (where a test names none: {cpu.ISA})")
    monkeypatch.setattr(isa, "built", lambda: {"baseline": SimpleNamespace(supported=lambda: ["baseline", "avx2"])})
    assert "; not avx2: not built (MINIRES_KERNELS=all builds it); not avx512: this processor " in builds.header()
    marks = {param.values[0]: [mark.kwargs["reason"] for mark in param.marks] for param in every_build()}
    assert marks["baseline"] == []
    assert marks["avx512"] == ["C kernels for avx512: this processor does not have it"]
