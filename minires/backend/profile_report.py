"""What `minires.profile` returns: the calls of kernels, counted, as a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class ProfileRow:
    """All calls of one kernel that one provider computed.

    Attributes:
        kernel: its name in the contract (`minires/backend/contract.py`).
        provider: "reference", "cpu" or "cuda".
        calls: how many there were.
        seconds: how long they took in all.
        bytes: the size of the arrays that went in and came out, in all.
    """

    kernel: str
    provider: str
    calls: int = 0
    seconds: float = 0.0
    bytes: int = 0


@dataclass
class FallThrough:
    """All calls of one kernel that one provider declined, so that the next one computed them.

    Attributes:
        kernel: its name in the contract.
        provider: who declined.
        calls: how many there were.
        example: the arguments of the first of them.
    """

    kernel: str
    provider: str
    example: str
    calls: int = 0


@dataclass
class Profile:
    """What `minires.profile` returns. Printing it shows a table, the kernel that took the most time first."""

    _rows: dict[tuple[str, str], ProfileRow] = field(default_factory=dict)
    _declined: dict[tuple[str, str], FallThrough] = field(default_factory=dict)

    def add_call(self, kernel: str, provider: str, seconds: float, size: int) -> None:
        """Count one call that `provider` computed."""
        row = self._rows.setdefault((kernel, provider), ProfileRow(kernel, provider))
        row.calls, row.seconds, row.bytes = row.calls + 1, row.seconds + seconds, row.bytes + size

    def add_declined(self, kernel: str, provider: str, example: Callable[[], str]) -> None:
        """Count one call that `provider` declined; of the first, `example()` describes the arguments."""
        key = kernel, provider
        if key not in self._declined:
            self._declined[key] = FallThrough(*key, example())
        self._declined[key].calls += 1

    @property
    def rows(self) -> list[ProfileRow]:
        """One row for each kernel and provider, sorted by time."""
        return sorted(self._rows.values(), key=lambda row: -row.seconds)

    @property
    def fell_through(self) -> list[FallThrough]:
        """The kernels that a provider declined, sorted by calls."""
        return sorted(self._declined.values(), key=lambda row: -row.calls)

    def __str__(self) -> str:
        rows = self.rows
        total = ProfileRow("total", "", *(sum(column) for column in zip(*map(_numbers, rows), strict=True)))
        lines = [f"{'kernel':<20} {'provider':<9} {'calls':>7} {'ms':>10} {'share':>6} {'MB':>10}"]
        for row in [*rows, total]:
            share = row.seconds / total.seconds if total.seconds else 0.0
            lines.append(
                f"{row.kernel:<20} {row.provider:<9} {row.calls:>7} {row.seconds * 1e3:>10.3f} {share:>6.1%} "
                f"{row.bytes / 1e6:>10.2f}"
            )
        lines += [
            f"{each.kernel}: {each.calls} calls fell through, declined by {each.provider}; the first: {each.example}"
            for each in self.fell_through
        ]
        return "\n".join(lines)


def _numbers(row: ProfileRow) -> tuple[int, float, int]:
    return row.calls, row.seconds, row.bytes
