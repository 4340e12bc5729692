"""The hardware and the versions behind a measurement: without them a figure says nothing a year later."""

from __future__ import annotations

import datetime
import importlib
import platform
import shutil
import subprocess
from typing import Any

import minires as mr
from minires.inspection.machine import describe


def versions(torch: Any) -> dict[str, str]:
    """{name: version} of GPU, driver, CUDA, CuPy, PyTorch with its CUDA and cuDNN, Python, processor; the date."""
    machine = describe()
    gpu = machine.gpus[0]
    found = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "GPU": f"{gpu.name}, compute capability {gpu.capability}, {gpu.memory / 2**30:.0f} GiB",
        "driver": f"{driver()}for CUDA {gpu.driver}",
        "MiniRes": mr.__version__,
        "CuPy": f"{gpu.cupy} for CUDA {gpu.cuda}",
    }
    if torch is not None:
        found["PyTorch"] = f"{torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    return {**found, "Python": platform.python_version(), "host": f"{machine.processor}, {machine.cores} cores"}


def pytorch() -> tuple[Any, list[str]]:
    """(torch, []), or (None, [why its rows are left out])."""
    try:
        torch = importlib.import_module("torch")
    except Exception as error:  # a broken installation raises OSError or RuntimeError while its libraries load
        return None, [f'PyTorch is left out: {error} (pip install "minires[bench]")']
    if not torch.cuda.is_available():
        return None, [f"PyTorch is left out: {torch.__version__}, as it is installed here, sees no GPU"]
    return torch, []


def driver() -> str:
    """The version of NVIDIA's driver and a space, from nvidia-smi; "" where nvidia-smi does not tell it."""
    if shutil.which("nvidia-smi") is None:
        return ""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"{done.stdout.split()[0]} " if done.returncode == 0 and done.stdout.split() else ""
