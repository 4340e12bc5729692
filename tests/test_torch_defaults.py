"""The defaults of functions, methods, modules and optimisers are torch's."""

from __future__ import annotations

import ast
import inspect
import re

import pytest

from minires import Tensor, functional, int64, nn, optim

# Where None, or another spelling, means what torch's default means: tests of the functions hold it so.
SAME_MEANING = {
    ("randint", "dtype"): (int64, None),
    ("nan_to_num", "nan"): (None, 0.0),
    ("kthvalue", "dim"): (-1, None),
    ("topk", "dim"): (-1, None),
    ("std", "correction"): (None, 1),
    ("var", "correction"): (None, 1),
    ("std_mean", "correction"): (None, 1),
    ("var_mean", "correction"): (None, 1),
    ("cdist", "compute_mode"): (None, "use_mm_for_euclid_dist_if_necessary"),
}
FAMILIES = {
    "functional": (lambda torch: [torch.nn.functional, torch], functional, 350),
    "Tensor": (lambda torch: [torch.Tensor], Tensor, 120),
    "nn": (lambda torch: [torch.nn], nn, 250),
    "optim": (lambda torch: [torch.optim], optim, 90),
    "optim.lr_scheduler": (lambda torch: [torch.optim.lr_scheduler], optim.lr_scheduler, 50),
    "nn.init": (lambda torch: [torch.nn.init], nn.init, 25),
}


def defaults(function, name):
    """{argument: default}; of a function in C from the first line of its docstring."""
    try:
        parameters = inspect.signature(function).parameters.values()
        return {each.name: each.default for each in parameters if each.default is not each.empty}
    except (ValueError, TypeError):
        found = {}
        if head := re.search(re.escape(name) + r"\((.*?)\) *->", function.__doc__ or "", re.DOTALL):
            for argument, text in re.findall(r"(\w+)=([^,)]+)", head.group(1)):
                try:
                    found[argument] = ast.literal_eval(text.strip())
                except (ValueError, SyntaxError):
                    continue  # a name, as of a dtype
        return found


@pytest.mark.parametrize("family", FAMILIES)
def test_defaults_are_torchs(family, torch):
    theirs_of, ours, at_least = FAMILIES[family]
    compared, different = 0, []
    for name in getattr(ours, "__all__", dir(ours)):
        pair = [
            getattr(ours, name, None),
            next((getattr(each, name) for each in theirs_of(torch) if hasattr(each, name)), None),
        ]
        if name.startswith("__") or not all(map(callable, pair)):
            continue
        mine, torchs = (defaults(each.__init__ if inspect.isclass(each) else each, name) for each in pair)
        for argument in mine.keys() & torchs.keys():
            compared += 1
            both = mine[argument], torchs[argument]
            if both[0] != both[1] and both != SAME_MEANING.get((name, argument)):
                different.append((name, argument, *both))
    assert not different
    assert compared >= at_least
