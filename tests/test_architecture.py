"""No module imports from a layer above its own, or in a circle, or what its package must not know."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "minires"
PAGE = ROOT / "docs" / "architecture.md"

# Every package (or module directly under minires/) and its layer. A package imports from the layers below and from
# itself; up to layer 2 the packages of a layer are one subject in several files and may meet, though never in a circle.
# Whoever adds a package gives it a layer here and in docs/architecture.md, which a test below compares.
LAYERS = {
    10: {"__main__"},
    9: {"cli"},
    8: {"demo", "lab", "studies", "explorer"},
    7: {"inference", "inspection", "onnx", "autograd", "utils"},
    6: {"training", "gradcheck"},
    5: {"distributed"},
    4: {"models", "data", "optim"},
    3: {"nn", "weights"},
    2: {"ops", "functional"},
    1: {"core"},
    0: {"backend"},
    -1: {"errors", "extras", "files", "missing", "terminal", "transfer"},
}
LAYER = {package: layer for layer, packages in LAYERS.items() for package in packages}
LAST_SHARED_LAYER = 2
HIGHEST = 9  # from here on nothing stands above, and a package may use MiniRes as any program does
# What a package must not know, though it lies below.
FORBIDDEN = {
    "cli": {"ops", "backend"},
    "training": {"models"},
    "models": {"backend"},
    "inspection": {"models"},
    "nn": {"backend"},
    "functional": {"backend"},
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def package_of(module: str) -> str:
    """`minires.ops.pool` lives in `ops`; minires itself, the public face, in ``."""
    return module.split(".")[1] if "." in module else ""


def imports(module: str, path: Path) -> Iterator[tuple[str, int, bool]]:
    """(imported module of MiniRes, line, whether only type checkers see it), at module level and inside functions."""
    tree = ast.parse(path.read_text("utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            targets = [f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base for alias in node.names]
        else:
            continue
        for target in targets:
            if target.split(".")[0] == "minires":
                yield target, node.lineno, id(node) in for_types


def complaint(importer: str, imported: str) -> str:
    """Why package `importer` may not import from package `imported`; empty where it may."""
    if importer in ("", imported):  # the public face shows every layer
        return ""
    if imported == "":
        return "" if LAYER[importer] >= HIGHEST else "imports the public face, which stands on every layer"
    if imported in FORBIDDEN.get(importer, ()):
        return f"must not know {imported}"
    if LAYER[imported] > LAYER[importer]:
        return f"on layer {LAYER[importer]} imports {imported} from layer {LAYER[imported]}"
    if LAYER[imported] == LAYER[importer] > LAST_SHARED_LAYER:
        return f"imports {imported} from the same layer"
    return ""


def test_every_package_has_a_layer():
    packages = {package_of(module) for module in MODULES} - {""}
    assert packages <= LAYER.keys(), "give the new package a layer, in LAYERS above"


RESERVED: set[str] = set()  # packages that have a layer and do not exist yet


def documented_layers() -> dict[str, int]:
    """{package: layer} as the table of docs/architecture.md says."""
    rows = re.findall(r"^\| (−?\d+) \| ([^|]+) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    return {
        name.rstrip("/"): int(layer.replace("−", "-"))
        for layer, cell in rows
        for name in re.findall(r"`([^`]+)`", cell)
    }


def test_the_documented_table_is_this_list():
    existing = {package: layer for package, layer in LAYER.items() if package != "__main__"}
    assert documented_layers() == {p: layer for p, layer in existing.items() if p not in RESERVED}
    assert {package_of(module) for module in MODULES} - {"", "__main__"} == existing.keys() - RESERVED


def test_the_ten_files_have_the_lines_that_the_page_counts():
    counts = re.findall(r"^\| `(minires/[\w/]+\.py)` \| (\d+) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert len(counts) == 10
    actual = {path: len((ROOT / path).read_text("utf-8").splitlines()) for path, _ in counts}
    assert {path: int(lines) for path, lines in counts} == actual, "the line counts in docs/architecture.md are old"


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_from_lower_layers_only(module):
    found = [
        f"{MODULES[module].relative_to(ROOT)}:{line}: {package_of(module)} {why}"
        for target, line, _ in imports(module, MODULES[module])
        if (why := complaint(package_of(module), package_of(target)))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("package", ["ops", "nn", "optim", "models"])
def test_ops_and_what_stands_on_them_know_no_device(package):
    """Which device an array is on is the backend's business: no `minires.backend.cuda`, `cpu` or `reference` here."""
    providers = tuple(f"minires.backend.{name}" for name in ("cuda", "cpu", "reference"))
    found = {
        f"{module} imports {target}"
        for module, path in MODULES.items()
        if package_of(module) == package
        for target, _, _ in imports(module, path)
        if target.startswith(providers)
    }
    assert not found


def test_no_module_imports_in_a_circle():
    """Imports inside functions count: a circle that is broken by a late import is a circle. Annotations do not."""
    graph = {
        module: {target for target, _, for_types in imports(module, path) if not for_types and target != module}
        for module, path in MODULES.items()
        if module != "minires"
    }
    TopologicalSorter(graph).prepare()  # raises CycleError, with the circle


def numpy_uses(path: Path) -> list[str]:
    """Where a file's forward and backward methods name NumPy."""
    return [
        f"{path.name}:{node.lineno}: {method.name}"
        for method in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(method, ast.FunctionDef) and method.name in {"forward", "backward", "backward_fused"}
        for statement in method.body
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and node.id in {"np", "numpy"}
    ]


def test_ops_compute_through_the_backend():
    """Which arrays an op works on is the backend's business; a dtype or a constant may come from NumPy beforehand."""
    assert [use for module, path in MODULES.items() if package_of(module) == "ops" for use in numpy_uses(path)] == []


def test_numpy_in_a_forward_is_seen(tmp_path):
    path = tmp_path / "op.py"
    path.write_text("def __init__(self):\n  np.dtype(int)\ndef forward(self, x: np.ndarray):\n  return np.exp(x)")
    assert numpy_uses(path) == ["op.py:4: forward"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from minires.nn import Module", ["nn"]),
        ("import minires.nn.layers", ["nn"]),
        ("from minires import functional as F", ["functional"]),
        ("import minires as mr", [""]),
        ("from minires import Tensor", [""]),
        ("from .. import nn", ["nn"]),
        ("def f():\n    from ..nn import Module", ["nn"]),
        ("import numpy", []),
    ],
)
def test_the_walk_sees_every_form_of_import(tmp_path, monkeypatch, source, expected):
    path = tmp_path / "late.py"
    path.write_text(source)
    monkeypatch.setattr(sys.modules[__name__], "MODULES", {"minires.nn": path, "minires.functional": path})
    assert [package_of(target) for target, _, _ in imports("minires.ops.late", path)] == expected


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("nn", "ops", True),
        ("functional", "ops", True),
        ("ops", "ops", True),
        ("", "cli", True),
        ("cli", "", True),
        ("ops", "nn", False),
        ("data", "models", False),
        ("nn", "backend", False),
        ("models", "", False),
        ("training", "models", False),
    ],
)
def test_the_layers_refuse_what_they_should(importer, imported, allowed):
    assert (not complaint(importer, imported)) == allowed
