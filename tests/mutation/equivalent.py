"""Mutants that cannot change what anybody could observe: (file, diff) -> why."""

from __future__ import annotations

EQUIVALENT: dict[tuple[str, str], str] = {
    (
        "minires/backend/reference/blocking.py",
        "-        if pixels.shape[2:] == self.padded_size and pixels.strides[-1] == x.dtype.itemsize:\n"
        "+        if pixels.shape[2:] == self.padded_size and (pixels.strides[-1] != x.dtype.itemsize):",
    ): "whether pixels are copied into another order in memory: the numbers are the same, only the speed differs",
    (
        "minires/backend/reference/pooling.py",
        "-    inside = _pad(xp.ones((1, 1, *x.shape[2:]), bool), window, output_size, False)[0, 0]\n"
        "+    inside = _pad(xp.ones((2, 1, *x.shape[2:]), bool), window, output_size, False)[0, 0]",
    ): "of several equal images the first is taken",
    (
        "minires/backend/reference/pooling.py",
        "-    inside = _pad(xp.ones((1, 1, *x.shape[2:]), bool), window, output_size, False)[0, 0]\n"
        "+    inside = _pad(xp.ones((1, 2, *x.shape[2:]), bool), window, output_size, False)[0, 0]",
    ): "of several equal images the first is taken",
    (
        "minires/core/checks.py",
        "-    if len(inputs) > 1 and len({tensor.device for tensor in inputs}) > 1:\n"
        "+    if (len(inputs) >= 1) and len({tensor.device for tensor in inputs}) > 1:",
    ): "one input has one device",
    (
        "minires/ops/linear.py",
        "-    if not a.ndim or not b.ndim or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:\n"
        "+    if not a.ndim or not b.ndim or a.shape[-1] != b.shape[-2 if b.ndim > 2 else 0]:",
    ): "of a matrix the last axis but one is the first",
    (
        "minires/inspection/drawing/coordinates.py",
        "-    return pair[0] < other[0] and pair[1] < other[1]\n"
        "+    return pair[0] < other[0] and (pair[1] <= other[1])",
    ): "two pairs never have the same lower node: each node of a row is in one pair at most",
    (
        "minires/inspection/machine.py",
        "-    x, y = np.random.default_rng(0).normal(size=(2, size, size)).astype(np.float32)\n"
        "+    x, y = np.random.default_rng(1).normal(size=(2, size, size)).astype(np.float32)",
    ): "other numbers of the same kind, of which only a duration is returned",
    (
        "minires/lab/grading_checks.py",
        "-        if abs(ratios.flat[0] + 1) < 1e-6:\n+        if (abs(ratios.flat[0] + 1) <= 1e-06):",
    ): "near 1 a sum is a multiple of 2⁻⁵³, which 1e-6 is not: the two sides are never equal",
}
