"""The GPU of the CUDA provider's tests, or the simulator in its place; and no curves but where they are the subject."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from minires.files import atomic_write
from minires.training import EpochRecord, run_folder
from tests.backend.cuda.conftest import device

__all__ = ["device"]


@pytest.fixture(autouse=True)
def curves_are_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Matplotlib needs a second for curves.png, five times as long as the small runs of these tests.

    tests/cli draws them at the end of a run, and the tests of draw_curves call it themselves.
    """

    def write(path: Path, history: Sequence[EpochRecord]) -> None:
        with atomic_write(path) as file:
            file.write(b"in place of the curves")

    monkeypatch.setattr(run_folder, "draw_curves", write)
