"""One ONNX file, by MiniRes and by ONNX Runtime: images a second, and the standard's reference evaluator beside them.

    python benchmarks/onnx_infer.py                                 ResNet-18 and ResNet-50 that PyTorch has exported
    python benchmarks/onnx_infer.py --file net.onnx --batches 1     any file with one input of images
    python benchmarks/onnx_infer.py --reference                     the reference evaluator, too: one image, once

Each contender is a process that reads the same file. They get the same images and number of threads, must agree on the
outputs, and take turns; who waits is stopped. A measurement is the mean of a second; ratios are taken within a round.
Needs: pip install "minires[bench]"
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.worker import sustained  # noqa: E402

CONTENDERS = ("MiniRes, compiled", "MiniRes", "ONNX Runtime")
REFERENCE = "reference evaluator"
TARGETS = {16: 1.5, 1: 1.1}  # images a second, MiniRes compiled / ONNX Runtime
TOLERANCE = 1e-4  # of the outputs, relative to the largest


def export(name: str, folder: Path) -> Path:
    """The network `name`, with the statistics of a trained one, as PyTorch exports it for any number of images."""
    import warnings

    import torch

    from tests.models import torch_resnet

    torch.manual_seed(0)
    bottleneck, blocks = {"resnet18": (False, (2, 2, 2, 2)), "resnet50": (True, (3, 4, 6, 3))}[name]
    net = torch_resnet.ResNet(bottleneck, blocks, 1000).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    path = folder / f"{name}.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (torch.randn(1, 3, 224, 224),),
            str(path),
            dynamo=False,
            input_names=["x"],
            dynamic_axes={"x": {0: "n"}},
            opset_version=17,
        )
    return path


def prepared(contender: str, path: str, batch: int, threads: int) -> tuple[str, Any]:
    """(the contender's name with its version, the task): a call of the task returns the outputs."""
    import numpy as np

    images = np.random.default_rng(0).standard_normal((batch, 3, 224, 224)).astype(np.float32)
    if contender == "ONNX Runtime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return f"ONNX Runtime {onnxruntime.__version__}", lambda: session.run(None, {name: images})[0]
    if contender == REFERENCE:
        import onnx
        from onnx.reference import ReferenceEvaluator

        evaluator = ReferenceEvaluator(path)
        name = evaluator.input_names[0]
        return f"reference evaluator of onnx {onnx.__version__}", lambda: evaluator.run(None, {name: images})[0]
    import minires as mr
    from minires import inference

    mr.set_num_threads(threads)
    net = mr.onnx.load(path)
    if contender == "MiniRes, compiled":
        fast = inference.compile(net, images)
        return f"MiniRes {mr.__version__}, compiled", lambda: fast(images)

    def run() -> Any:
        with mr.no_grad():
            return net(mr.Tensor(images)).numpy()

    return f"MiniRes {mr.__version__}", run


def work(contender: str, path: str, batch: int, threads: int, seconds: float) -> None:
    """Answer each line on standard input with the time of one call."""
    version, task = prepared(contender, path, batch, threads)
    print(json.dumps({"version": version, "outputs": task().tolist()}), flush=True)
    for _ in sys.stdin:
        print(json.dumps(sustained(task, seconds)), flush=True)


class Contender:
    """A process that computes with one library, and is stopped while another one is measured."""

    def __init__(self, name: str, path: Path, options: argparse.Namespace, batch: int) -> None:
        self.name = name
        command = [sys.executable, __file__, "--work", name, "--file", str(path), "--batches", str(batch)]
        command += ["--threads", str(options.threads), "--seconds", str(options.seconds)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        greeting = self._answer()
        self.version, self.outputs, self.seconds = greeting["version"], greeting["outputs"], list[float]()
        self.process.send_signal(signal.SIGSTOP)

    def measure(self) -> None:
        """Measure once more."""
        assert self.process.stdin is not None
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.seconds.append(self._answer())
        self.process.send_signal(signal.SIGSTOP)

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} has ended with {self.process.wait()}")
        return json.loads(line)


def off(ours: Any, theirs: Any) -> float:
    """The largest difference of two nested lists of outputs, relative to the largest number."""
    pairs = [(a, b) for mine, other in zip(ours, theirs, strict=True) for a, b in zip(mine, other, strict=True)]
    return max(abs(a - b) for a, b in pairs) / max(abs(b) for _, b in pairs)


def compare(title: str, path: Path, batch: int, options: argparse.Namespace) -> bool:
    """Measure one file with one batch size and print a table; whether all agree."""
    contenders = [Contender(name, path, options, batch) for name in CONTENDERS]
    try:
        for _ in range(options.rounds):
            for contender in contenders:
                contender.measure()
        reference = Contender(REFERENCE, path, options, batch) if options.reference and batch == 1 else None
        if reference is not None:
            reference.measure()
            contenders.append(reference)
    finally:
        for contender in contenders:
            contender.end()
    theirs = next(each for each in contenders if each.name == "ONNX Runtime")
    print(f"\n{title}, batch {batch}\n\n| | images/s, median | lowest to highest | outputs off by |\n|---|---|---|---|")
    for each in contenders:
        rates = sorted(batch / seconds for seconds in each.seconds)
        error = off(each.outputs, theirs.outputs)
        print(f"| {each.version} | {statistics.median(rates):.4g} | {rates[0]:.4g} to {rates[-1]:.4g} | {error:.1e} |")
    ratios = [b / a for a, b in zip(contenders[0].seconds, theirs.seconds, strict=True)]
    target = f"; the target is {TARGETS[batch]}" if batch in TARGETS else ""
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    print(f"\nMiniRes compiled / ONNX Runtime: {statistics.median(ratios):.2f} ({spread}){target}", flush=True)
    return all(off(each.outputs, theirs.outputs) < TOLERANCE for each in contenders)


def main(arguments: list[str] | None = None) -> int:
    """Measure; 1 if the contenders disagree."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--file", type=Path, help="an ONNX file (default: ResNet-18 and ResNet-50 by PyTorch)")
    parser.add_argument("--batches", default="16,1", help="numbers of images (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=9, help="rounds, at least 7 (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of each (default: the cores)")
    parser.add_argument("--seconds", type=float, default=1.0, help="shortest measurement (default: %(default)s)")
    parser.add_argument("--reference", action="store_true", help="run the reference evaluator on one image, too")
    parser.add_argument("--work", choices=[*CONTENDERS, REFERENCE], help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    batches = [int(each) for each in options.batches.split(",")]
    if options.work:
        work(options.work, str(options.file), batches[0], options.threads, options.seconds)
        return 0
    if options.rounds < 7:
        parser.error(f"--rounds {options.rounds}: a median of fewer than 7 rounds says little")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{datetime.date.today()}, {options.threads} threads, {options.rounds} rounds, load {load:.1f}")
    with tempfile.TemporaryDirectory() as name:
        names = ("resnet18", "resnet50")
        files = {each: export(each, Path(name)) for each in names} if options.file is None else {}
        files = files or {options.file.name: options.file}
        agree = [compare(title, path, batch, options) for title, path in files.items() for batch in batches]
    if not all(agree):
        print("WRONG: the outputs differ")
    return 0 if all(agree) else 1


if __name__ == "__main__":
    raise SystemExit(main())
