"""Draws small mistakes, makes each in a copy of the repository, and reports those that the related tests do not notice.

    python -m tests.mutation --sample 60 --seed 1               exit code 1 if fewer than 93 % are noticed
    python -m tests.mutation --sample 20 --only minires/ops

The related tests are those of `related.py`, also those against PyTorch if it is installed, and of the slow ones those
that are marked `alone`: what they test, no quick test does. They run once for all mutants of a package, and then in
forked children (`in_process.py`). What no child notices is tried again, by changing the file. It takes some minutes for
each package, so it is no part of `make test` or `.ci/run`. A mutant that cannot change what anybody could observe is
entered in `equivalent.py`, with the reason, and not drawn.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from tests.mutation.equivalent import EQUIVALENT
from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.related import related_tests

ROOT = Path(__file__).resolve().parents[2]
REQUIRED = 0.93
# A mutant may make a loop endless, or a thread wait for ever. Processor time counts, since the machine may be busy.
CPU_SECONDS, WALL_SECONDS = 600, 3600
# Code that runs on a GPU, or in the simulator's minutes; mistakes that are there on purpose.
LEFT_OUT = (
    "minires/backend/cuda/",
    "minires/training/cuda_graph.py",
    "minires/inference/cuda_",
    "minires/lab/mistakes/",
)
OPTIONS = ["-q", "-p", "no:cacheprovider", "-m", "(alone or not slow) and not gpu"]
NOT_COPIED = shutil.ignore_patterns(
    ".*", "build", "dist", "*.egg-info", "__pycache__", "demo-out", "runs", "node_modules"
)


def all_mutants(only: str) -> list[Mutant]:
    """Every mutant of the package's files whose path begins with `only`, without the equivalent ones."""
    files = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "minires").rglob("*.py"))
    chosen = [path for path in files if path.startswith(only) and not path.startswith(LEFT_OUT)]
    mutants = [mutant for path in chosen for mutant in mutants_of(ROOT, path)]
    named = {path for path, _ in EQUIVALENT}
    return [each for each in mutants if each.path not in named or (each.path, each.diff()) not in EQUIVALENT]


class Copy:
    """A copy of the repository in which one file at a time is changed."""

    def __init__(self, folder: Path, trusted: bool) -> None:
        self.root = folder / "copy"
        shutil.copytree(ROOT, self.root, ignore=NOT_COPIED, symlinks=True)
        self.trusted = trusted  # whether the tests are known to pass on the unchanged code
        self.checked: set[tuple[str, ...]] = set()

    def notices(self, mutant: Mutant) -> bool:
        """Whether the related tests fail on the mutant, or no longer end. Raises if they fail on the unchanged code."""
        tests = tuple(related_tests(self.root, mutant.path))
        if not tests:
            return False
        if not self.trusted and tests not in self.checked:
            if not self._pass(tests):
                raise SystemExit(f"the related tests fail on the unchanged code: {' '.join(tests)}")
            self.checked.add(tests)
        file = self.root / mutant.path
        file.write_text(mutant.changed, "utf-8")
        try:
            return not self._pass(tests)
        finally:
            file.write_text(mutant.original, "utf-8")

    def noticed_in_process(self, mutants: list[Mutant]) -> list[bool]:
        """For each mutant, whether the related tests of the first one certainly notice it (`in_process.py`)."""
        given, result = self.root.parent / "mutants", self.root.parent / "noticed"
        given.write_bytes(pickle.dumps(mutants))
        result.write_text(json.dumps([False] * len(mutants)), "utf-8")
        tests = related_tests(self.root, mutants[0].path)
        if tests:
            self._run("tests.mutation.in_process", str(given), str(result), *OPTIONS, *tests, limit=None)
        found: list[bool] = json.loads(result.read_text("utf-8"))
        return found

    def _pass(self, tests: tuple[str, ...]) -> bool:
        try:
            return self._run("pytest", "-x", *OPTIONS, *tests, limit=_limit_processor_time) == 0
        except subprocess.TimeoutExpired:
            return False

    def _run(self, module: str, *arguments: str, limit: Callable[[], None] | None) -> int:
        """The exit status of a module of the copy."""
        environment = {**os.environ, "PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1", "CI": "1"}
        command = [sys.executable, "-m", module, *arguments]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
        timeout = WALL_SECONDS if limit else None
        done = subprocess.run(command, cwd=self.root, env=environment, timeout=timeout, preexec_fn=limit, **quiet)
        return done.returncode


def _limit_processor_time() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))


def main() -> int:
    """Run the sample, print a line for each mutant and the survivors at the end."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__.partition("\n")[0])
    parser.add_argument("--sample", type=int, default=60, help="how many mutants to draw")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    parser.add_argument("--only", default="minires/", help="the files to draw from: a path, or its beginning")
    parser.add_argument("--trust", action="store_true", help="do not run the related tests on the unchanged code first")
    options = parser.parse_args()
    mutants = all_mutants(options.only)
    drawn = random.Random(options.seed).sample(mutants, min(options.sample, len(mutants)))
    drawn.sort(key=lambda mutant: mutant.path)
    survivors, number = [], 0
    groups: dict[frozenset[str], list[Mutant]] = defaultdict(list)  # by their related tests
    for mutant in drawn:
        groups[frozenset(related_tests(ROOT, mutant.path))].append(mutant)
    with tempfile.TemporaryDirectory(prefix="minires-mutation-") as folder:
        copy = Copy(Path(folder), options.trust)
        for group in groups.values():
            for mutant, certainly in zip(group, copy.noticed_in_process(group), strict=True):
                noticed, number = certainly or copy.notices(mutant), number + 1
                survivors += [] if noticed else [mutant]
                said = "noticed " if noticed else "SURVIVED"
                print(f"{number:>4}/{len(drawn)}  {said}  {mutant.path}:{mutant.line}", flush=True)
                if not noticed:
                    print(mutant.diff(), flush=True)
    rate = 1 - len(survivors) / len(drawn)
    print(f"{len(drawn) - len(survivors)} of {len(drawn)} noticed ({rate:.1%}; of {len(mutants)}, seed {options.seed})")
    return 0 if rate >= REQUIRED else 1


if __name__ == "__main__":
    raise SystemExit(main())
