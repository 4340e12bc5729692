"""Small changes to a source file, each of which ought to make some test fail.

A mutant replaces one operator, constant, comparison, condition or returned value. Annotations, docstrings, error
messages, code for type checkers, and what only asserts (`assert`, `zip(strict=True)`) are left alone. So are the 1 in
`reshape(-1, …)`, since NumPy infers that axis from any negative number, and `astype(…, copy=False)`, since a copy has
the same numbers and only takes time; and what follows `from minires.backend import cuda`, which needs a GPU.
"""

from __future__ import annotations

import ast
import copy
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

OPERATORS: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
NEEDS_A_GPU = "from minires.backend import cuda"  # inside a function: what follows it in its block


@dataclass(frozen=True)
class Mutant:
    """One change: in `path`, relative to the repository, `before` at a line becomes `after`."""

    path: str
    line: int
    original: str
    changed: str

    def diff(self) -> str:
        """The changed lines, as `diff` marks them."""
        pair = self.original.splitlines(), self.changed.splitlines()
        return "\n".join(
            line for line in difflib.unified_diff(*pair, n=0, lineterm="") if line[:2] not in ("--", "++", "@@")
        )


def mutants_of(root: Path, path: str) -> Iterator[Mutant]:
    """All mutants of a file, in the order of the code."""
    source = (root / path).read_text("utf-8")
    tree = ast.parse(source)
    for node in _code(tree):
        for replacement in _replacements(node):
            target = node.test if isinstance(node, ast.If | ast.IfExp | ast.While) else node
            changed = _replaced(source, target, replacement)
            yield Mutant(path, target.lineno, source, changed)


def _code(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of the tree that are code: what runs, and is not a message."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params", "exc"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.ImportFrom) and ast.unparse(child) == NEEDS_A_GPU:
                break
            if not isinstance(child, ast.AST) or isinstance(child, ast.JoinedStr | ast.Assert):
                continue
            if isinstance(child, ast.keyword) and child.arg in ("strict", "stacklevel"):
                continue
            if isinstance(child, ast.keyword) and child.arg == "copy" and _is_call_of(node, "astype"):
                continue
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):  # a docstring
                continue
            if _is_call_of(node, "reshape") and isinstance(child, ast.UnaryOp):
                yield child  # without the 1 of -1
                continue
            yield from _code(child)


def _is_call_of(node: ast.AST, method: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == method


def _replacements(node: ast.AST) -> Iterator[str]:
    """The source of what may stand in place of a node; of the condition, for a statement that has one."""
    if isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in OPERATORS:
        if not _is_text(node):
            yield _with(node, op=OPERATORS[type(node.op)]())
    elif isinstance(node, ast.Compare):
        yield _with(node, ops=[OPERATORS[type(node.ops[0])](), *node.ops[1:]])
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield f"({ast.unparse(node.operand)})"
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield repr(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield repr(node.value + 1)
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        yield f"(not ({ast.unparse(node.test)}))"
    elif isinstance(node, ast.Return) and node.value is not None and ast.unparse(node.value) != "None":
        yield "return None"


def _is_text(node: ast.AST) -> bool:
    """Whether text is put together here, or types are: `str | None`."""
    return any(
        isinstance(each, ast.JoinedStr)
        or (isinstance(each, ast.Constant) and (each.value is None or isinstance(each.value, str)))
        for each in ast.walk(node)
    )


def _with(node: ast.expr, **fields: object) -> str:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return f"({ast.unparse(changed)})"


def _replaced(source: str, node: ast.expr | ast.stmt, replacement: str) -> str:
    """`source` with the node's text replaced. Columns count bytes."""
    lines = source.encode().splitlines(keepends=True)
    assert node.end_lineno is not None
    first, last = lines[node.lineno - 1][: node.col_offset], lines[node.end_lineno - 1][node.end_col_offset :]
    return b"".join([*lines[: node.lineno - 1], first, replacement.encode(), last, *lines[node.end_lineno :]]).decode()
