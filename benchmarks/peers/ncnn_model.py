"""ncnn's form of a list of layers: a text with the graph (.param) and a file with the weights (.bin).

    7767517                         the format's version
    layers blobs
    type name inputs outputs input… output… key=value…      a line for each layer; keys are numbers

A blob has one consumer. Where two layers read the same, a Split gives it two names (no data is moved).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from benchmarks.peers.layers import Layer

MAGIC = 7767517
FLOAT32 = np.zeros(1, "<u4").tobytes()  # precedes weights that are stored as float32, not as float16 or int8


def graph(layers: Sequence[Layer]) -> str:
    """The .param text. A ReLU that is the only reader of a convolution is fused into it, as ncnn's own tools do."""
    merged = {layer.inputs[0] for layer in layers if layer.kind == "relu"} & {
        layer.name for layer in layers if layer.kind == "conv"
    }
    renamed = {layer.name: layer.inputs[0] for layer in layers if layer.kind == "relu" and layer.inputs[0] in merged}
    kept = [(layer, [renamed.get(x, x) for x in layer.inputs]) for layer in layers if layer.name not in renamed]
    uses = Counter(x for _, inputs in kept for x in inputs)
    lines, taken = ["Input x 0 1 x", *split("x", uses["x"])], Counter[str]()
    for layer, inputs in kept:
        names = []
        for x in inputs:
            names.append(f"{x}_{taken[x]}" if uses[x] > 1 else x)
            taken[x] += 1
        kind, settings = as_ncnn(layer, relu=layer.name in merged)
        lines.append(f"{kind} {layer.name} {len(names)} 1 {' '.join(names)} {layer.name} {settings}".rstrip())
        lines += split(layer.name, uses[layer.name])
    blobs = sum(int(line.split()[3]) for line in lines)  # each output is one
    return "\n".join([str(MAGIC), f"{len(lines)} {blobs}", *lines, ""])


def split(blob: str, consumers: int) -> list[str]:
    """The Split line of a blob with several consumers; no line for one consumer."""
    copies = " ".join(f"{blob}_{number}" for number in range(consumers))
    return [f"Split split.{blob} 1 {consumers} {blob} {copies}"] if consumers > 1 else []


def as_ncnn(layer: Layer, relu: bool) -> tuple[str, str]:
    """(type, settings) of a layer in ncnn's terms."""
    if layer.kind == "conv":
        assert layer.weight is not None
        outputs, _, kernel, _ = layer.weight.shape
        shape = f"0={outputs} 1={kernel} 3={layer.stride} 4={layer.padding} 5=1 6={layer.weight.size}"
        return "Convolution", f"{shape} 9={int(relu)}"  # 5: has a bias; 6: how many weights; 9: 1 is ReLU
    if layer.kind == "linear":
        assert layer.weight is not None
        return "InnerProduct", f"0={layer.weight.shape[0]} 1=1 2={layer.weight.size}"  # 1: has a bias
    if layer.kind == "max_pool":
        return "Pooling", f"0=0 1=3 2={layer.stride} 3={layer.padding} 5=1"  # 0: 0 is maximum; 5: 1 rounds down
    if layer.kind == "mean":
        return "Pooling", "0=1 4=1"  # average, of all
    return {"add": ("BinaryOp", "0=0"), "relu": ("ReLU", "")}[layer.kind]


def weights(layers: Sequence[Layer]) -> bytes:
    """The .bin file: weights and bias of each layer that has them, in the order of the graph."""
    parts = []
    for layer in layers:
        if layer.weight is not None and layer.bias is not None:
            parts += [FLOAT32, layer.weight.astype("<f4").tobytes(), layer.bias.astype("<f4").tobytes()]
    return b"".join(parts)
