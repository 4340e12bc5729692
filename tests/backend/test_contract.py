"""The contract is stated once, as code. Its table in kernels/README.md and the providers agree with it."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from minires import backend
from minires.backend import CONTRACT, contract, dispatch
from minires.backend.provider import LateProvider, Provider
from minires.backend.reference.provider import REFERENCE as reference

README = Path(__file__).parents[2] / "kernels" / "README.md"


def rows():
    """(kernel, its arguments, its providers) of each row of the table."""
    for line in README.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and cells[0].startswith("`"):
            yield cells[0].strip("`"), re.findall(r"`(\w+)`", cells[1]), cells[4].split(", ")


def test_the_list_of_names_is_the_contract():
    assert contract.__all__ == list(CONTRACT)
    assert set(CONTRACT) <= set(backend.__all__)


@pytest.mark.parametrize("name", contract.__all__)
def test_reference_keeps_the_contract(name):
    promised = inspect.signature(CONTRACT[name]).parameters
    kept = inspect.signature(getattr(reference, name)).parameters
    assert list(kept) == list(promised)
    assert CONTRACT[name].__doc__


def test_the_table_names_the_same_kernels():
    assert sorted(name for name, _, _ in rows()) == sorted(CONTRACT)


def test_the_tables_arguments_are_those_of_the_signature():
    for name, arguments, _ in rows():
        assert arguments == list(inspect.signature(CONTRACT[name]).parameters), name


def test_the_providers_have_what_the_table_says():
    for provider in dispatch.PROVIDERS:
        said = {name for name, _, providers in rows() if provider.name in providers}
        assert said == {name for name in CONTRACT if hasattr(provider, name)}, provider.name


def test_a_providers_kernels_are_the_public_functions_that_its_modules_define():
    module = ModuleType("kernels")
    exec("from math import exp\nfrom pathlib import Path\ndef relu(x): return x\ndef _mask(x): return x", vars(module))
    provider = Provider("some", lambda array: True, [module], lambda kernel: lambda x: (kernel(x), "decorated"))
    assert provider.relu(1) == (1, "decorated")
    assert set(vars(provider)) == {"relu", "name", "supports"}


def test_of_two_kernels_of_one_name_the_one_of_the_later_module_counts():
    first, second = ModuleType("first"), ModuleType("second")
    exec("def relu(x): return 1", vars(first))
    exec("def relu(x): return 2", vars(second))
    assert Provider("some", lambda array: True, [first, second]).relu(0) == 2


def test_a_late_provider_imports_its_kernels_when_one_is_asked_for():
    module = ModuleType("kernels")
    exec("def relu(x): return x + 1", vars(module))
    calls = []

    def load() -> Provider:
        calls.append("load")
        return Provider("loaded", lambda array: False, [module])

    provider = LateProvider("late", lambda array: True, load)
    assert provider.supports(0)
    assert not calls
    assert provider.relu(1) == 2
    assert not hasattr(provider, "exp")
    assert (provider.name, provider.supports(0), calls) == ("late", True, ["load"])


def test_importing_minires_imports_no_cuda_kernel():
    code = (
        "import sys, minires as mr; mr.randn(2, 2).exp() @ mr.ones(2, 2); "
        "assert not {name for name in sys.modules if name.startswith('minires.backend.cuda.conv')}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
