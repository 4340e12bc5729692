"""A study whose tasks say which process ran them, on the ranks of mpiexec.

python -m tests.distributed.farm OUT [--resume]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from minires import distributed, studies
from minires.studies import runner
from minires.studies.farm import farming
from minires.studies.form import Claim, Settings, Study, Task


def tasks(settings: Settings) -> list[Task]:
    found = []
    for seed in range(4):
        found += [Task("a", seed), Task("b", seed, "read", (f"a-train-{seed}",))]
    return found


def run(settings: Settings, task: Task, work: Any) -> dict[str, Any]:
    if os.environ.get("FARM_FAILS") == task.name:
        raise RuntimeError("the barn is on fire")
    if task.config == "a":
        return {"x": 1.0 + task.seed, "process": os.getpid()}
    return {"x": 10 * work.result(task.after[0])["x"], "process": os.getpid()}


def figures(results: Any) -> list[Any]:
    return []


def ours(results: Any) -> dict[str, float]:
    return {name: results.mean(name, "x", step) for name, step in (("a", "train"), ("b", "read"))}


STUDY = Study(
    name="farmed",
    title="Farmed",
    question="Does it grow?",
    method=("By dealing.",),
    presets={"quick": Settings(), "full": Settings(seeds=3)},
    tasks=tasks,
    run=run,
    figures=figures,
    claims=(Claim("larger", "b is larger than a.", "nowhere", "b > a", ours, otherwise="No."),),
    teacher=(),
)


def main(out: str, *options: str) -> None:
    studies.NAMES["farmed"] = "farmed"  # a study is sent by its name
    sys.modules["minires.studies.farmed"] = sys.modules[__name__]
    comm = distributed.init(num_threads=1)
    with farming(comm) as executor:
        if executor is not None:
            outcome = runner.run(
                STUDY, out=Path(out), resume="--resume" in options, jobs=comm.size - 1, executor=executor
            )
            processes = {each["values"]["process"] for each in outcome.document["measurements"]}
            sys.stdout.write(f"{len(processes)} processes, {outcome.claims[0]['holds']}\n")


if __name__ == "__main__":
    from tests.distributed import farm  # under its own name, so that the workers find what they are sent

    farm.main(*sys.argv[1:])
