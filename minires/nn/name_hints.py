"""What to do, or to say, when the names of a checkpoint are those of a module, but for a prefix."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

_WRAPPERS = ("module.", "_orig_mod.")  # what weights.load removes, taking it for a wrapper's


def prefix_hint(missing: Sequence[str], unexpected: Sequence[str]) -> str:
    """The call that removes the prefix of the unexpected names, or loads them into the right part; "" if none does."""
    if prefix := _prefix(missing, unexpected):
        return f"; its names begin with {prefix!r}: load_state_dict(weights.strip_prefix(state_dict, {prefix!r}))"
    if prefix := _prefix(unexpected, missing):
        part = f"model.{prefix[:-1]}.load_state_dict(state_dict)"
        return f"; the module's names begin with {prefix!r}, the checkpoint's do not: {part}"
    return ""


def unstripped(given: dict[str, Any], own: Container[str]) -> dict[str, Any]:
    """`given` with the prefix that `weights.load` took for a wrapper's, where the module itself has such a child."""
    for prefix in _WRAPPERS:
        if given and all(name not in own and prefix + name in own for name in given):
            return {prefix + name: value for name, value in given.items()}
    return given


def _prefix(plain: Sequence[str], prefixed: Sequence[str]) -> str:
    """The prefix p, ending with a dot, for which most of `plain` have p + name in `prefixed`; "" if there is none."""
    there = set(prefixed)
    for name in plain[:3]:
        candidates = {longer.removesuffix(name) for longer in prefixed if longer.endswith(f".{name}")}
        for prefix in sorted(candidates):
            explained = sum(prefix + each in there for each in plain)
            if explained > 1 and explained > len(plain) / 2:
                return prefix
    return ""
