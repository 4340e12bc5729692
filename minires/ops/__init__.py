"""Differentiable operations, one file for each family, forward next to backward.

To add one: subclass `minires.Function` in the file of its family, write `forward` on arrays and `backward` on Tensors,
add a function that checks shapes and applies it, and name that function in `minires/functional.py`. A family
that few programs need is imported late: it stands in `_LATE` there.
"""

from minires.ops import cast, conv, elementwise, inplace, linear, loss, norm, pool, reduction, shape

__all__ = ["cast", "conv", "elementwise", "inplace", "linear", "loss", "norm", "pool", "reduction", "shape"]
