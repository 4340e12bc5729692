"""The measurements of a study, as its claims and figures read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from minires.errors import MiniResError


class NotMeasuredError(MiniResError):
    """What a claim or a figure asks for is not among the measurements: the run was a part of the study (`--only`)."""


class Results:
    """The measurements: one dict for each task, with "config", "seed", "step" and "values".

    Attributes:
        settings: The settings of the run, as JSON holds them.
        measurements: The dicts, in the order of the tasks.
    """

    def __init__(self, settings: Mapping[str, Any], measurements: Sequence[Mapping[str, Any]]) -> None:
        self.settings, self.measurements = settings, measurements

    def configs(self, step: str = "train") -> list[str]:
        """The configurations for which `step` was done, in the order of the tasks."""
        return list(dict.fromkeys(each["config"] for each in self.measurements if each["step"] == step))

    def seeds(self, config: str, step: str = "train") -> list[dict[str, Any]]:
        """The values of one configuration, a dict for each seed. Raises NotMeasuredError if there are none."""
        found = [each["values"] for each in self.measurements if each["config"] == config and each["step"] == step]
        if not found:
            raise NotMeasuredError(f"{config} ({step}) was not measured")
        return found

    def values(self, config: str, key: str, step: str = "train") -> list[float]:
        """The numbers called `key` of one configuration, one for each seed."""
        found = [each.get(key) for each in self.seeds(config, step)]
        if any(value is None for value in found):
            raise NotMeasuredError(f"{key} of {config} ({step}) was not measured")
        return [float(value) for value in found if value is not None]

    def mean(self, config: str, key: str, step: str = "train") -> float:
        """Their mean over the seeds."""
        return fmean(self.values(config, key, step))

    def deviation(self, config: str, key: str, step: str = "train") -> float:
        """Their standard deviation over the seeds, 0 for one seed."""
        found = self.values(config, key, step)
        return stdev(found) if len(found) > 1 else 0.0

    def text(self, config: str, key: str, step: str = "train", digits: int = 2) -> str:
        """Mean and deviation as text: "6.61 ± 0.16"."""
        mean = f"{self.mean(config, key, step):.{digits}f}"
        several = len(self.values(config, key, step)) > 1
        return f"{mean} ± {self.deviation(config, key, step):.{digits}f}" if several else mean

    def series(self, config: str, key: str, step: str = "train") -> list[float]:
        """The mean over the seeds of lists of numbers, position by position."""
        lists = [each[key] for each in self.seeds(config, step)]
        shortest = min(map(len, lists))
        return [fmean(row[i] for row in lists) for i in range(shortest)]


def spread(results: Results, configs: Iterable[str], key: str, step: str = "train") -> float:
    """The largest standard deviation over the seeds among some configurations."""
    return max(results.deviation(config, key, step) for config in configs)
