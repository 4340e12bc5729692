"""ncnn on the processor, one image at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ncnn
import numpy as np

from benchmarks import inputs
from benchmarks.peers import layers, ncnn_model
from benchmarks.peers.contender import Contender, inferring
from benchmarks.suites import Job

# Switched off: arithmetic and storage in fewer bits than float32, and the GPU. All else is ncnn's default.
OFF = (
    "use_fp16_packed",
    "use_fp16_storage",
    "use_fp16_arithmetic",
    "use_bf16_packed",
    "use_bf16_storage",
    "use_int8_inference",
    "use_int8_packed",
    "use_int8_storage",
    "use_int8_arithmetic",
    "use_vulkan_compute",
)


def contender(job: Job) -> Contender:
    """ncnn with the shared weights, loaded from files in the job's folder."""
    shared = inputs.read(Path(job.folder))
    net = load(layers.resnet18(shared.state), Path(job.folder), job.threads)
    image = ncnn.Mat(shared.images[0]).clone()

    def infer() -> Any:
        extractor = net.create_extractor()
        extractor.input("x", image)
        status, logits = extractor.extract("fc")
        if status:
            raise RuntimeError(f"ncnn: extract returned {status}")
        return np.array(logits)[None]

    return inferring(f"ncnn {ncnn.__version__}", infer)


def load(description: list[layers.Layer], folder: Path, threads: int) -> Any:
    """The network, ready to run."""
    graph, weights = folder / "resnet18.param", folder / "resnet18.bin"
    graph.write_text(ncnn_model.graph(description))
    weights.write_bytes(ncnn_model.weights(description))
    net = ncnn.Net()
    net.opt.num_threads = threads
    for option in OFF:
        if hasattr(net.opt, option):  # not every version of ncnn has each
            setattr(net.opt, option, False)
    if net.load_param(str(graph)) or net.load_model(str(weights)):
        raise RuntimeError("ncnn cannot load the network")
    return net
