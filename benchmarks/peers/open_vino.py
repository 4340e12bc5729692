"""OpenVINO on the processor, from the same ONNX model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openvino

from benchmarks import inputs
from benchmarks.peers import layers, onnx_model
from benchmarks.peers.contender import Contender, inferring
from benchmarks.suites import SUITES, Job


def contender(job: Job) -> Contender:
    """OpenVINO with the shared weights: one batch at a time (LATENCY), in float32.

    float32 is set because on some processors bfloat16 is the default.
    """
    shared = inputs.read(Path(job.folder))
    network = layers.network(SUITES[job.suite].model, shared.state)
    model = onnx_model.build(network, shared.images.shape).SerializeToString()
    core = openvino.Core()
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": job.threads,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = core.compile_model(core.read_model(model), "CPU", settings).create_infer_request()

    def infer() -> Any:
        return request.infer([shared.images], share_inputs=True, share_outputs=True)[0]

    return inferring(f"OpenVINO {openvino.__version__.partition('-')[0]}", infer)
