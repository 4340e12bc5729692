"""Says which extra to install where an optional library is missing."""

from __future__ import annotations

from importlib.util import find_spec

from minires.errors import MissingLibraryError

_EXTRAS = {
    "matplotlib": "train",
    "rich": "cli",
    "click": "cli",
    "mpi4py": "mpi",
    "onnx": "onnx",
    "waitress": "explore",
}  # library -> the smallest extra that brings it


def require(library: str, purpose: str) -> None:
    """Raise MissingLibraryError, which names the extra to install, if an optional library is missing."""
    if find_spec(library) is None:
        raise MissingLibraryError(
            f'{purpose} needs {library}, which is not installed: pip install "minires[{_EXTRAS[library]}]" '
            '(or "minires[all]")'
        )
