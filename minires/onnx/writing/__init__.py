"""What each of MiniRes's operations is in ONNX, one family a file. Importing this package fills `graph.EMITTERS`."""

from minires.onnx.writing import compositions, elementwise, layers, shapes

__all__ = ["compositions", "elementwise", "layers", "shapes"]
