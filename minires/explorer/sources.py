"""The code of MiniRes that each step of the page runs, with its file and line, for the tab "Explain"."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

from minires.core.autograd import BackwardPass
from minires.ops.conv import Conv2d
from minires.ops.elementwise import Add, ReLU
from minires.ops.linear import MatMul, linear
from minires.ops.loss import CrossEntropy
from minires.ops.norm import BatchNormTraining
from minires.ops.pool import AvgPool2d, MaxPool2d, RouteToArgmax, SplitEqually

ROOT = Path(__file__).resolve().parent.parent.parent

# Step of the page -> what it runs, as page/source.js names steps.
CODE: dict[str, tuple[Callable[..., Any], ...]] = {
    "forward.conv": (Conv2d.forward,),
    "forward.projection": (Conv2d.forward,),
    "forward.norm": (BatchNormTraining.forward,),
    "forward.relu": (ReLU.forward,),
    "forward.sum": (Add.forward,),
    "forward.max": (MaxPool2d.forward,),
    "forward.avg": (AvgPool2d.forward,),
    "forward.linear": (linear,),
    "forward.loss": (CrossEntropy.forward,),
    "backward.conv": (Conv2d.backward,),
    "backward.projection": (Conv2d.backward,),
    "backward.norm": (BatchNormTraining.backward,),
    "backward.relu": (ReLU.backward,),
    "backward.sum": (Add.backward,),
    "backward.max": (MaxPool2d.backward, RouteToArgmax.forward),
    "backward.avg": (AvgPool2d.backward, SplitEqually.forward),
    "backward.linear": (MatMul.backward,),
    "backward.loss": (CrossEntropy.backward,),
    "backward.join": (BackwardPass.send,),
}


def sources() -> dict[str, list[dict[str, Any]]]:
    """{step: [{file, line, code}, …]}, where `code` is the source as it stands."""
    return {step: [_source(each) for each in functions] for step, functions in CODE.items()}


def _source(function: Callable[..., Any]) -> dict[str, Any]:
    lines, line = inspect.getsourcelines(function)
    file = Path(inspect.getfile(function)).resolve().relative_to(ROOT)
    return {"file": file.as_posix(), "line": line, "code": dedent("".join(lines)).rstrip()}
