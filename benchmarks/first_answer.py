"""The first answer, from the start of a process to the classes of one photograph: `minires predict` and ONNX Runtime.

    python benchmarks/first_answer.py --weights resnet18-f37072fd.pth --image dog.jpg
    python benchmarks/first_answer.py --rounds 15                  with weights and a photograph of its own making

ONNX Runtime's side is the program that one would write with it: ten lines, a file of the network, its default settings.
Both print the five likeliest classes, which must be the same. They take turns; ratios are taken within each round. The
peak of resident memory is the operating system's, to which a process begins with that of its parent: so this program
imports nothing large, and a process of its own prepares the files. Linux only (`os.wait4` reports the peak in KiB).
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

SCRIPT = """
import sys
import numpy as np, onnxruntime
from PIL import Image
session = onnxruntime.InferenceSession(sys.argv[1])
image = Image.open(sys.argv[2]).convert("RGB")
width, height = image.size
scale = 256 / min(width, height)
image = image.resize((int(width * scale), int(height * scale)), Image.Resampling.BILINEAR)
left, top = (round((length - 224) / 2) for length in image.size)
x = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32) / 255
x = ((x - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).transpose(2, 0, 1)[None].astype(np.float32)
logits = session.run(None, {"x": x})[0][0]
print(*np.argsort(-logits)[:5])
"""


def made_up_photograph(folder: Path) -> Path:
    """A JPEG file of 2592 × 1944 pixels, as a telephone takes it: smooth noise."""
    import numpy as np
    import PIL.Image

    small = np.random.default_rng(0).integers(0, 256, (61, 81, 3)).astype(np.uint8)
    PIL.Image.fromarray(small).resize((2592, 1944), PIL.Image.Resampling.BICUBIC).save(folder / "photograph.jpg")
    return folder / "photograph.jpg"


def made_up_weights(folder: Path) -> Path:
    """ResNet-18 with random weights, in PyTorch's format."""
    import minires as mr
    from minires import models, weights

    mr.manual_seed(0)
    weights.save(folder / "resnet18.pth", models.resnet18().state_dict())
    return folder / "resnet18.pth"


def prepare(weights: Path | None, image: Path | None, folder: Path) -> None:
    """Write what is not given, ONNX Runtime's network and its program."""
    from benchmarks.peers import layers, onnx_model
    from minires import weights as files

    weights = weights or made_up_weights(folder)
    if image is None:
        made_up_photograph(folder)
    model = onnx_model.build(layers.resnet18(files.load(weights)), (1, 3, 224, 224))
    (folder / "resnet18.onnx").write_bytes(model.SerializeToString())
    (folder / "script.py").write_text(SCRIPT, "utf-8")


def commands(weights: Path, image: Path, folder: Path) -> dict[str, list[str]]:
    """{contender: its command}."""
    ours = [sys.executable, "-m", "minires", "predict", "--model", "resnet18", "--json", "--weights", str(weights)]
    return {
        "MiniRes": [*ours, str(image)],
        "ONNX Runtime": [sys.executable, str(folder / "script.py"), str(folder / "resnet18.onnx"), str(image)],
    }


def run(command: list[str]) -> tuple[float, float, str]:
    """(seconds from start to exit, the peak of resident memory in MiB, what it printed)."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return seconds, usage.ru_maxrss / 1024, said


def classes(said: str) -> list[int]:
    """The five likeliest classes in a contender's output."""
    if said.lstrip().startswith("["):
        return [guess["index"] for guess in json.loads(said)[0]["classes"]]
    return [int(index) for index in said.split()]


def main(arguments: list[str] | None = None) -> int:
    """Measure, print a table; 1 if the two disagree."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--weights", type=Path, help="a weight file of ResNet-18 (default: random weights)")
    parser.add_argument("--image", type=Path, help="a photograph (default: smooth noise)")
    parser.add_argument("--rounds", type=int, default=9, help="rounds, at least 7 (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.rounds < 7:
        parser.error(f"--rounds {options.rounds}: a median of fewer than 7 rounds says little")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as another:
            another.submit(prepare, options.weights, options.image, folder).result()
        weights = (options.weights or folder / "resnet18.pth").resolve()
        image = (options.image or folder / "photograph.jpg").resolve()
        contenders = commands(weights, image, folder)
        found = {contender: [run(command)] for contender, command in contenders.items()}  # untimed: fills caches
        answers = {contender: classes(runs[0][2]) for contender, runs in found.items()}
        for _ in range(options.rounds):
            for contender, command in contenders.items():
                found[contender].append(run(command))
    seconds = {contender: [each[0] for each in runs[1:]] for contender, runs in found.items()}
    print(f"{datetime.date.today()}, {options.rounds} rounds, load {os.getloadavg()[0]:.1f}\n")
    print("| from start to exit | seconds, median | lowest to highest | peak memory, MiB |")
    print("|---|---|---|---|")
    for contender, runs in found.items():
        times, memory = seconds[contender], statistics.median(each[1] for each in runs[1:])
        spread = f"{min(times):.2f} to {max(times):.2f}"
        print(f"| {contender} | {statistics.median(times):.2f} | {spread} | {memory:.0f} |")
    ratios = [ours / theirs for ours, theirs in zip(seconds["MiniRes"], seconds["ONNX Runtime"], strict=True)]
    print(f"\nMiniRes / ONNX Runtime: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    if answers["MiniRes"] != answers["ONNX Runtime"]:
        print(f"WRONG: the classes differ: {answers}")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
