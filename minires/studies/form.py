"""The form that all studies have: tasks that vary something, `run` that measures one of them, figures, and claims.

A study reads like the section of a paper. `tasks` lists the networks and what varies, `run` trains or measures one of
them and returns numbers, `figures` draws them, and each `Claim` says what a source states and by which criterion the
numbers here bear it out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from minires.errors import MiniResError
from minires.studies.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

    from minires.studies.work import Work

Numbers = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the settings of every study have in common; each study adds its own, without defaults: presets name them.

    Attributes:
        seeds: How many times each configuration is run, with seeds 0, 1, … for the weights and the order of images.
    """

    seeds: int = 1

    def __post_init__(self) -> None:
        """Raise MiniResError for values that cannot be used."""
        if self.seeds < 1:
            raise MiniResError(f"a study needs at least one seed, not {self.seeds}")


@dataclass(frozen=True)
class Task:
    """A training or a measurement: what is done in one go, and whose result is stored by itself.

    Attributes:
        config: What varies, such as "resnet56": `--only resnet56` runs its tasks alone.
        seed: The seed.
        step: What is done, such as "train" or "delete"; it tells the tasks of a configuration apart.
        after: The names of the tasks whose results or weights this one reads.
        cost: How much work it is, in any unit that all tasks of the study share; for the time left.
    """

    config: str
    seed: int = 0
    step: str = "train"
    after: tuple[str, ...] = ()
    cost: float = 1.0

    @property
    def name(self) -> str:
        """The name of its files: "resnet56-train-0"."""
        return f"{self.config}-{self.step}-{self.seed}"


@dataclass(frozen=True)
class Claim:
    """What a source states, and how the measurements decide about it.

    Attributes:
        id: A short name that does not change.
        text: The statement, one sentence.
        source: The paper, with its table or figure.
        criterion: A Python expression of the names that `ours` gives; it is true if the claim holds. The report shows
            it as it is evaluated.
        ours: The measured numbers of that expression.
        paper: The paper's own numbers, in words; None if it gives none.
        otherwise: What might be the reason if the claim does not hold.
        certain: Whether it must hold at the size of the quick preset too, so that a test asserts it.
    """

    id: str
    text: str
    source: str
    criterion: str
    ours: Callable[[Results], Numbers]
    paper: str | None = None
    otherwise: str = ""
    certain: bool = False


@dataclass(frozen=True)
class Figure:
    """A figure of the report.

    Attributes:
        name: The name of its files, without the suffix.
        caption: What one sees, in whole sentences; it may contain HTML's <em> and <b>.
        draw: Draws into an empty canvas of matplotlib.
        size: Width and height in inches.
    """

    name: str
    caption: str
    draw: Callable[[Canvas], None]
    size: tuple[float, float] = (9.2, 3.8)


@dataclass(frozen=True)
class Study:
    """One question, and everything that answers it.

    Attributes:
        name: Its name on the command line.
        title: The title of its report.
        question: The question, one sentence.
        method: How it is answered, a sentence a line.
        presets: {"quick": settings, "full": settings}.
        tasks: Lists the tasks for some settings; a task comes after those that it needs.
        run: Does one task and returns its numbers as JSON can hold them.
        figures: The figures of whatever has been measured.
        claims: The claims, in the order of the report.
        teacher: Questions that a teacher may ask, and an answer in a sentence or two.
        table: The table of the report, {heading: numbers of a row}; None for none.
    """

    name: str
    title: str
    question: str
    method: tuple[str, ...]
    presets: Mapping[str, Any]
    tasks: Callable[[Any], list[Task]]
    run: Callable[[Any, Task, Work], dict[str, Any]]
    figures: Callable[[Results], Sequence[Figure]]
    claims: tuple[Claim, ...]
    teacher: tuple[tuple[str, str], ...]
    table: Callable[[Results], Table] | None = None

    def __reduce__(self) -> Any:
        """Pickled as its name: another process imports the study."""
        from minires.studies.registry import get

        return get, (self.name,)

    def settings(self, preset: str) -> Any:
        """The settings of a preset. Raises MiniResError for an unknown one."""
        if preset not in self.presets:
            raise MiniResError(f"study {self.name} has no preset {preset!r}; it has {', '.join(self.presets)}")
        return self.presets[preset]


@dataclass(frozen=True)
class Table:
    """A table of the report.

    Attributes:
        headings: The headings, with units.
        rows: The cells; the first of each row is its name.
        caption: What the numbers are.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...] = field(default=())
    caption: str = ""
