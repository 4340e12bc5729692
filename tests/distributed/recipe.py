"""A run of `training.run.train` in one process or several, with settings that are given as JSON.

python -m tests.distributed.recipe OUT SETTINGS [DTYPE] [resume]

The digits are a few, and everything is computed in DTYPE, float64 by default, in which rounding hides nothing.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from minires import data, distributed, models, nn
from minires.training import TrainSettings, run

BASE = {"model": "resnet8", "data": "digits", "epochs": 2, "batch_size": 31, "lr": 0.01, "seed": 3}


def main(out: str, settings: str, dtype: str = "float64", resume: str = "") -> None:
    comm = distributed.init(num_threads=1)
    digits = data.digits
    few = {train: digits(train).subset(range(0, len(digits(train)), 12)) for train in (True, False)}
    data.catalogue.PUBLISHED["digits"] = lambda root, train, download: few[train]

    def build(name: str, **options: Any) -> nn.Module:
        return models.build(name, **options).to(dtype)

    chosen = TrainSettings(**{**BASE, **json.loads(settings)})
    run.train(chosen, build, out=out, workers=0, progress=False, resume=bool(resume), comm=comm)


if __name__ == "__main__":
    main(*sys.argv[1:])
