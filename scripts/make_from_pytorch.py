"""Write the lists of names in docs/from-pytorch.md: which of PyTorch's public names are here, and which are left out.

    pip install ".[bench]"        # for PyTorch
    python scripts/make_from_pytorch.py

A test compares the page with what is there, so it is run after a name has been added.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import minires as mr
from minires import missing
from minires.core import absent

PAGE = Path(__file__).resolve().parent.parent / "docs" / "from-pytorch.md"
MARK = "<!-- What follows is written by scripts/make_from_pytorch.py. -->\n"
MODULES = (
    "torch",
    "torch.nn",
    "torch.nn.functional",
    "torch.nn.init",
    "torch.nn.utils",
    "torch.optim",
    "torch.optim.lr_scheduler",
    "torch.optim.swa_utils",
    "torch.autograd",
    "torch.utils.data",
    "torch.cuda",
)


def main() -> None:
    """Write the page anew."""
    text = PAGE.read_text("utf-8")
    PAGE.write_text(text[: text.index(MARK)] + MARK + generated(), "utf-8")


def generated() -> str:
    """The generated part of the page."""
    return "\n".join([*_left_out(), *_here()])


def _left_out() -> list[str]:
    lines = ["", "## What is left out on purpose", "", "| name | what to do instead |", "|---|---|"]
    for package, hints in missing.ABSENT.items():
        prefix = "torch.nn.functional" if package == "functional" else f"torch.{package}".rstrip(".")
        lines += _rows(prefix, hints)
    return lines + _rows("Tensor", absent.ABSENT)


def _rows(prefix: str, hints: dict[str, str]) -> list[str]:
    """One row for each hint, with all names that have it."""
    names: dict[str, list[str]] = {}
    for name, hint in sorted(hints.items(), key=lambda item: item[0].lower()):
        names.setdefault(hint, []).append(f"`{prefix}.{name}`")
    return [f"| {', '.join(some)} | {hint.replace('|', chr(92) + '|')} |" for hint, some in names.items()]


def _here() -> list[str]:
    lines = ["", "## PyTorch's names that are here", "", "Everything that is public in both, by module."]
    for name in MODULES:
        theirs = importlib.import_module(name)
        ours = importlib.import_module(name.replace("torch", "minires", 1))
        lines += _section(name, _public(theirs), getattr(ours, "__all__", None) or _public(ours))
    import torch

    lines += _section("torch.Tensor", _public(torch.Tensor), _public(mr.Tensor))
    return [*lines, ""]


def _section(name: str, theirs: Iterable[str], ours: Iterable[str]) -> list[str]:
    shared = sorted(set(theirs) & set(ours), key=lambda each: (each.lower(), each))
    return ["", f"### {name}", "", f"{len(shared)} names: " + ", ".join(f"`{each}`" for each in shared) + "."]


def _public(owner: Any) -> list[str]:
    """The names that can be used: those of torch that only raise an error do not count."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lazy = ["onnx"] if owner.__name__ == "torch" else []  # listed there once somebody has imported it
        names = [name for name in {*dir(owner), *lazy} if not name.startswith("_") and hasattr(owner, name)]
    if not owner.__name__.startswith("minires"):
        return names
    return [name for name in names if _is_ours(getattr(owner, name))]


def _is_ours(value: Any) -> bool:
    """Whether a module has not just imported it: `math`, Tensor."""
    return str(getattr(value, "__module__", "")).startswith("minires") and value is not mr.Tensor


if __name__ == "__main__":
    main()
