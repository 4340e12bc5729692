"""Completion: `dir` of each public module finds what its documentation names, also what is imported when it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import minires as mr
from minires import inspection, models

LAZY = ("data", "draw_graph", "gradcheck", "inference", "lab", "models", "nn", "optim", "training", "weights")


def test_dir_finds_all_that_is_public():
    assert set(mr.__all__) <= set(dir(mr))
    assert set(LAZY) <= set(dir(mr))
    assert {"draw_graph", "summarize", "machine", "timing"} <= set(dir(inspection))
    assert {"plain18", "resnet20"} <= set(dir(models))


@pytest.mark.parametrize(
    "package", ["nn", "optim", "data", "weights", "gradcheck", "inference", "training", "functional", "data.transforms"]
)
def test_every_public_name_exists_and_is_found(package):
    module = mr
    for name in package.split("."):
        module = getattr(module, name)
    assert set(module.__all__) <= set(dir(module))
    assert all(hasattr(module, name) for name in module.__all__)


def test_dir_imports_nothing():
    code = "import sys, minires as mr; assert 'nn' in dir(mr); assert 'minires.nn' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_dir_has_the_functions_that_are_imported_late():
    code = "import minires as mr; assert 'fold' not in vars(mr.functional); assert 'fold' in dir(mr.functional)"
    subprocess.run([sys.executable, "-c", code], check=True)
