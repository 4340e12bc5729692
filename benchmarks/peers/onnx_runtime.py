"""ONNX Runtime on the processor."""

from __future__ import annotations

from pathlib import Path

import onnxruntime

from benchmarks import inputs
from benchmarks.peers import layers, onnx_model
from benchmarks.peers.contender import Contender, inferring
from benchmarks.suites import SUITES, Job


def contender(job: Job) -> Contender:
    """ONNX Runtime with the shared weights and all graph optimisations, which are on by default."""
    shared = inputs.read(Path(job.folder))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job.threads
    model = onnx_model.build(
        layers.network(SUITES[job.suite].model, shared.state), shared.images.shape
    ).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    version = f"ONNX Runtime {onnxruntime.__version__}"
    return inferring(version, lambda: session.run(None, {"x": shared.images})[0])
