"""Runs the demo from beginning to end."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT

from minires.backend.threads import num_threads
from minires.demo.check import check_blocks
from minires.demo.console import ConsoleReporter
from minires.demo.networks import DemoConfig, train
from minires.demo.report import EXPLORER, Findings, render
from minires.errors import MiniResError
from minires.extras import require
from minires.files import atomic_write
from minires.training.interrupt import TrainingInterrupted
from minires.training.run_folder import make_folders, remove_folders


@dataclass(frozen=True)
class DemoResult:
    """What `run` returns: the path of the page, and the measurements on it."""

    report: Path
    findings: Findings


def run(
    out: str | os.PathLike[str],
    config: DemoConfig | None = None,
    *,
    version: str,
    progress: bool = True,
    explorer: str | None = None,
) -> DemoResult:
    """Check gradients, train both networks, and write `out`/report.html.

    The page is written whole or not at all: if the demo fails, a folder that was made for it is removed again. No
    network connection is needed.

    Args:
        out: The folder; it is made if it does not exist.
        config: What to train; None for the defaults.
        version: MiniRes's version, as the page names it.
        progress: Whether to print progress and results.
        explorer: A page on which one steps through a residual block; it is written beside the report, which links to
            it. None for no such page.

    Raises:
        MiniResError: If `out` cannot be written to; before the work, where this can be seen.
        TrainingInterrupted: After Ctrl-C or SIGTERM, with a message that nothing was written.
    """
    require("matplotlib", "the demo's report")
    folder = Path(out)
    made = make_folders(folder)
    try:
        if not os.access(folder, os.W_OK):
            raise MiniResError(f"cannot write into {folder}: no permission; name another folder with --out")
        return _run(folder / "report.html", config or DemoConfig(), version, progress, explorer)
    except KeyboardInterrupt as stop:
        remove_folders(made)
        number = getattr(stop, "signal", SIGINT)
        raise TrainingInterrupted("the demo was stopped, and nothing was written", number) from None
    except Exception:
        remove_folders(made)
        raise


def _run(report: Path, config: DemoConfig, version: str, progress: bool, explorer: str | None) -> DemoResult:
    """The demo, in a folder that exists and can be written to."""
    started = time.perf_counter()
    console = ConsoleReporter(progress)
    console.say("[bold]1/4  The gradients of a residual block, against numeric derivatives[/]")
    checks = check_blocks(config.seed, config.device)
    console.checks(checks)
    console.say(f"[bold]2/4  ResNet-{config.depth} learns to read handwritten digits[/]")
    with num_threads(1):  # the matrices of 8×8 images are too small to be divided among threads
        residual = train("resnet", config, progress)
    console.say(f"[bold]3/4  plain-{config.depth} learns the same: no shortcuts, all else equal[/]")
    with num_threads(1):
        plain = train("plain", config, progress)
    console.say("[bold]4/4  Where the gradient goes[/]")
    console.norms(residual, plain)
    findings = Findings(config, checks, residual, plain, time.perf_counter() - started, version)
    page = render(findings, explorer is not None)
    if explorer is not None:
        with atomic_write(report.with_name(EXPLORER), "w") as file:
            file.write(explorer)
    with atomic_write(report, "w") as file:
        file.write(page)
    console.results(residual, plain, report, time.perf_counter() - started)
    return DemoResult(report, findings)
