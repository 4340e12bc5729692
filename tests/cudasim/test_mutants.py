"""If any barrier of a kernel is missing, a test fails."""

from __future__ import annotations

import pytest

from minires.backend.cuda import sources
from tests.cudasim import build, mutate
from tests.cudasim.cases import CASES

if build.unavailable():
    pytest.skip(build.unavailable(), allow_module_level=True)


@pytest.mark.parametrize("source", CASES)
def test_the_checks_pass_with_all_barriers(source):
    assert mutate.check(sources.folder(), [source]) == ""


@pytest.mark.slow  # compiles each source once for every barrier in it: a minute in all on two cores
@pytest.mark.parametrize("barrier", mutate.barriers(), ids=str)
def test_a_missing_barrier_shows(barrier):
    noticed = mutate.notice(barrier)
    assert bool(noticed) != (barrier in mutate.HARMLESS), noticed or "no check fails without it"


def test_every_barrier_is_reached_by_a_check(tmp_path):
    assert len(mutate.barriers()) > 5
    for k, barrier in enumerate(mutate.barriers()):
        assert mutate.without(barrier, tmp_path / str(k)), f"no checks in cases.py for {barrier}"
    assert set(mutate.HARMLESS) <= set(mutate.barriers())


def test_barriers_in_comments_are_none():
    text = "a; // __syncthreads();\n__syncthreads(); /* __syncwarp();\n */ __syncwarp(mask);"
    assert [found[0] for found in mutate._places(text)] == ["__syncthreads();", "__syncwarp(mask);"]


@pytest.mark.slow  # compiles layout.cu twice
def test_a_barrier_that_does_nothing_is_told_from_one_that_does(tmp_path):
    folder = tmp_path / "sources"
    mutate.without(mutate.Barrier("layout.cu", 0), folder)
    text = (sources.folder() / "layout.cu").read_text("utf-8")
    (folder / "layout.cu").write_text(text.replace("__syncthreads();", "__syncthreads(); __syncthreads();"), "utf-8")
    with mutate._sources_in(folder):
        assert [mutate.notice(mutate.Barrier("layout.cu", k)) for k in (0, 1)] == ["", ""]
