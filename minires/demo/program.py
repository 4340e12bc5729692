"""The demo from beginning to end."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from minires.backend.threads import num_threads
from minires.demo.check import check_blocks
from minires.demo.networks import Lesson, train
from minires.demo.report import Findings, render
from minires.demo.show import Narrator
from minires.errors import MiniResError
from minires.files import atomic_write
from minires.training.run_folder import make_folders, remove_folders


@dataclass(frozen=True)
class DemoResult:
    """What `run` returns: the page, and what it says."""

    report: Path
    findings: Findings


def run(
    out: str | os.PathLike[str], lesson: Lesson | None = None, *, version: str, progress: bool = True
) -> DemoResult:
    """Check gradients, train both networks, and write `out`/report.html, whole or not at all; needs no network.

    Raises MiniResError where `out` cannot be written to: before the work, if that can be seen then; and
    KeyboardInterrupt, saying so, for Ctrl-C. Then a folder that was made for the report is removed again.
    """
    folder = Path(out)
    made = make_folders(folder)
    try:
        if not os.access(folder, os.W_OK):
            raise MiniResError(f"cannot write into {folder}: no permission; name another folder with --out")
        return _run(folder / "report.html", lesson or Lesson(), version, progress)
    except KeyboardInterrupt:
        remove_folders(made)
        raise KeyboardInterrupt("the demo was stopped, and nothing was written") from None
    except Exception:
        remove_folders(made)
        raise


def _run(report: Path, lesson: Lesson, version: str, progress: bool) -> DemoResult:
    """The demo, in a folder that exists and can be written to."""
    started = time.perf_counter()
    narrator = Narrator(progress)
    narrator.say("[bold]1/4  The gradients of a residual block, against finite differences[/]")
    checks = check_blocks(lesson.seed, lesson.device)
    narrator.checks(checks)
    narrator.say(f"[bold]2/4  ResNet-{lesson.depth} learns to read handwritten digits[/]")
    with num_threads(1):  # the matrices of 8×8 images are too small to be worth dividing
        residual = train("resnet", lesson, progress)
    narrator.say(f"[bold]3/4  plain-{lesson.depth} learns the same: no shortcuts, all else equal[/]")
    with num_threads(1):
        plain = train("plain", lesson, progress)
    narrator.say("[bold]4/4  Where the gradient goes[/]")
    narrator.norms(residual, plain)
    findings = Findings(lesson, checks, residual, plain, time.perf_counter() - started, version)
    page = render(findings)
    with atomic_write(report, "w") as file:
        file.write(page)
    narrator.results(residual, plain, report, time.perf_counter() - started)
    return DemoResult(report, findings)
