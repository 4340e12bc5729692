"""ONNX both ways: `load` makes a Module of a file, `save` writes one for other programs.

    net = minires.onnx.load("resnet18.onnx")             # trained, differentiated, drawn, compiled like any Module
    minires.onnx.save("net.onnx", model, example)        # from the recorded operations of any model

The `onnx` package parses and checks the files; it comes with `pip install "minires[onnx]"`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minires.onnx.loading import load
    from minires.onnx.model import OnnxModel
    from minires.onnx.saving import save

__all__ = ["OnnxModel", "load", "save"]

_WHERE = {"load": "loading", "save": "saving", "OnnxModel": "model"}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _WHERE:
            from minires.missing import no_attribute

            raise no_attribute("onnx", name, __all__)
        return getattr(importlib.import_module(f"minires.onnx.{_WHERE[name]}"), name)
