"""`minires info`, on machines that are described by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from minires.cli import main
from minires.inspection import machine

KERNELS = machine.Kernels(isa="avx2", available=("baseline", "avx2"), compiler="gcc 13", cache_limit=3 << 20)
GPU = machine.Gpu(name="H200", capability="9.0", memory=139 << 30, driver="13.0", cupy="13.6", cuda="12.9")


MACHINE = machine.Machine(
    python="3.11",
    numpy="2.4",
    system="Linux",
    processor="x86",
    cores=2,
    backends=("cpu", "reference"),
    backend="cpu",
    kernels=KERNELS,
    threads=4,
    blas={"openblas": 3},
    omp_num_threads=None,
    gpus=(),
    no_gpu="no CuPy",
)


@pytest.fixture
def said(monkeypatch, capsys):
    def run(found: Any, kernels: float | None = 120.4, *options: str) -> Any:
        speed = machine.Speed(kernels=kernels, numpy=80.6, copy=11.5)
        monkeypatch.setattr(machine, "describe", lambda: found)
        monkeypatch.setattr(machine, "measure", lambda: speed)
        assert main(["info", *options]) == 0
        return capsys.readouterr().out

    return run


def lines(text: str) -> dict[str, str]:
    return {line[:10].strip(): line[11:] for line in text.splitlines()}


def test_each_line(said):
    found = lines(said(MACHINE))
    assert found["machine"] == "x86, 2 cores for this process, Linux"
    assert found["backends"] == "cpu, reference; float32 arrays go to cpu"
    assert found["C kernels"] == "avx2 (here also: baseline, avx2), by gcc 13"
    assert found["threads"] == "4 for the kernels; 3 for openblas"
    assert found["GPU"] == "none: no CuPy"
    assert found["cache"] == "at most 3 MiB of freed arrays are kept"
    assert found["product"] == "120 GFLOP/s by the kernels, 81 GFLOP/s by NumPy (1024³, float32)"
    assert found["copy"] == "12 GB/s, read and written"


def test_what_is_not_there_and_what_is_set(said):
    found = lines(said(replace(MACHINE, kernels=None, omp_num_threads="3", gpus=(GPU, GPU)), None))
    assert found["threads"].endswith("; OMP_NUM_THREADS=3")
    assert found["C kernels"] == machine.NOT_BUILT
    assert "cache" not in found
    assert found["product"] == "81 GFLOP/s by NumPy (1024³, float32)"
    one = "H200, compute capability 9.0, 139 GiB; driver for CUDA 13.0, CuPy 13.6 for CUDA 12.9"
    assert found["GPU"] == f"{one}; {one}"


def test_as_json(said):
    found = json.loads(said(MACHINE, 120.4, "--json"))
    assert (found["cores"], found["omp_num_threads"]) == (2, None)
    assert found["gflops"] == {"kernels": 120.4, "numpy": 80.6, "copy": 11.5}
