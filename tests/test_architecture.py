"""The house stands: no module imports from a floor above it, or in a circle, or what its room must not know."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "minires"

# Every room (a module or package directly under minires/) and its floor. A room imports from the floors below and from
# itself; up to floor 2 the rooms of a floor are one subject in several files and may meet, though never in a circle.
# Whoever adds a room gives it a floor here and in docs/architecture.md.
FLOORS = {
    8: {"__main__"},
    7: {"cli"},
    6: {"bench", "classifier", "demo", "experiments", "lab"},
    5: {"training", "inference", "gradcheck", "machine", "summary"},
    4: {"models", "data", "weights"},
    3: {"nn", "optim"},
    2: {"ops", "functional", "draw"},
    1: {"autograd", "creation", "function", "guard", "modes", "random", "tensor"},
    0: {"backend", "cuda", "threads"},
    -1: {"errors", "files"},
}
FLOOR = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
LAST_SHARED_FLOOR = 2
HIGHEST = 7  # from here on nothing stands above, and a room may use MiniRes as any program does
# What a room must not know, though it lies below.
FORBIDDEN = {
    "cli": {"ops", "backend"},
    "training": {"models"},
    "models": {"backend", "cuda"},
    "nn": {"backend", "cuda"},
    "ops": {"cuda"},
    "functional": {"cuda"},
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def room(module: str) -> str:
    """`minires.ops.pool` lives in `ops`; the package itself, the public face, in ``."""
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
    """Why room `importer` may not import from room `imported`; empty where it may."""
    if importer in ("", imported):  # the public face shows every floor
        return ""
    if imported == "":
        return "" if FLOOR[importer] >= HIGHEST else "imports the public face, which stands on every floor"
    if imported in FORBIDDEN.get(importer, ()):
        return f"must not know {imported}"
    if FLOOR[imported] > FLOOR[importer]:
        return f"on floor {FLOOR[importer]} imports {imported} from floor {FLOOR[imported]}"
    if FLOOR[imported] == FLOOR[importer] > LAST_SHARED_FLOOR:
        return f"imports {imported} from the same floor"
    return ""


def test_every_room_has_a_floor():
    rooms = {room(module) for module in MODULES} - {""}
    assert rooms <= FLOOR.keys(), "give the new room a floor, in FLOORS above"


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_from_lower_floors_only(module):
    found = [
        f"{MODULES[module].relative_to(ROOT)}:{line}: {room(module)} {why}"
        for target, line, _ in imports(module, MODULES[module])
        if (why := complaint(room(module), room(target)))
    ]
    assert not found, "\n".join(found)


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
        if isinstance(method, ast.FunctionDef) and method.name in {"forward", "backward", "backward_arrays"}
        for statement in method.body
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and node.id in {"np", "numpy"}
    ]


def test_ops_compute_through_the_backend():
    """Which arrays an op works on is the backend's business; a dtype or a constant may come from NumPy beforehand."""
    assert [use for module, path in MODULES.items() if room(module) == "ops" for use in numpy_uses(path)] == []


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
    assert [room(target) for target, _, _ in imports("minires.ops.late", path)] == expected


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("nn", "ops", True),
        ("autograd", "tensor", True),
        ("ops", "ops", True),
        ("", "cli", True),
        ("cli", "", True),
        ("ops", "nn", False),
        ("data", "weights", False),
        ("nn", "backend", False),
        ("models", "", False),
        ("training", "models", False),
    ],
)
def test_the_floors_refuse_what_they_should(importer, imported, allowed):
    assert (not complaint(importer, imported)) == allowed
