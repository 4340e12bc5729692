"""`minires launch` starts mpiexec, starts it again after failures, and passes signals on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from minires.cli import minires
from minires.distributed.launch import command_of, find_mpiexec, launch
from minires.errors import DistributedError

# Stands for mpiexec: notes how it was called, and ends with the next of the codes that a file lists.
FAKE = """#!{python}
import os, pathlib, sys
folder = pathlib.Path({folder!r})
with open(folder / "calls", "a") as file:
    print(os.environ["MINIRES_RESTARTS"], *sys.argv[1:], file=file)
codes = (folder / "codes").read_text().split()
(folder / "codes").write_text(" ".join(codes[1:]))
sys.exit(int(codes[0]))
"""


@pytest.fixture
def fake(tmp_path):
    path = tmp_path / "mpiexec"
    path.write_text(FAKE.format(python=sys.executable, folder=str(tmp_path)))
    path.chmod(0o755)

    def started(codes, *arguments, **options):
        (tmp_path / "codes").write_text(codes)
        code = launch(arguments, mpiexec=str(path), **options)
        return code, (tmp_path / "calls").read_text().splitlines()

    return started


def test_a_program_is_started_in_so_many_ranks(fake, tmp_path):
    hosts = tmp_path / "hosts"
    code, calls = fake("0", "python", "x.py", "--lr", "1", ranks=4, hostfile=hosts)
    assert (code, calls) == (0, [f"0 -n 4 --hostfile {hosts} python x.py --lr 1"])


@pytest.mark.parametrize(
    ("codes", "restarts", "expected", "started"),
    [
        ("9 0", 2, 0, 2),
        ("9 9 9", 2, 9, 3),
        ("9", 0, 9, 1),
        ("2 0", 2, 2, 1),
        ("130 0", 2, 130, 1),
        ("143 0", 1, 143, 1),
    ],
)
def test_failures_are_followed_by_restarts_and_mistakes_are_not(
    fake, monkeypatch, codes, restarts, expected, started, capfd
):
    monkeypatch.setattr("minires.distributed.launch.PAUSE", 0.0)
    code, calls = fake(codes, "python", "x.py", ranks=2, restarts=restarts)
    assert (code, len(calls)) == (expected, started)
    assert [line.split()[0] for line in calls] == [str(number) for number in range(started)]
    assert capfd.readouterr().err.count("it starts again") == started - 1


def test_train_is_resumed_where_there_is_a_checkpoint(tmp_path):
    arguments = ("train", "--data", "digits", "--out", str(tmp_path))
    first = [sys.executable, "-m", "minires", *arguments, "--distributed"]
    assert command_of(arguments, 0) == first
    assert command_of(arguments, 1) == first  # it failed before anything was saved
    (tmp_path / "last.safetensors").touch()
    assert command_of(arguments, 0) == first
    assert command_of(arguments, 1) == [*first, "--resume"]
    assert command_of(("train", f"--out={tmp_path}", "--resume"), 1).count("--resume") == 1


def test_without_mpiexec_it_says_what_to_install(monkeypatch, tmp_path):
    with pytest.raises(DistributedError, match="nowhere/mpiexec"):
        find_mpiexec("nowhere/mpiexec")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DistributedError, match=r"minires\[mpi\]"):
        find_mpiexec()


def test_the_command_needs_ranks_and_something_to_run():
    runner = CliRunner()
    assert runner.invoke(minires, ["launch", "-n", "2"]).exit_code == 2
    assert runner.invoke(minires, ["launch", "python", "x.py"]).exit_code == 2
    assert runner.invoke(minires, ["launch", "-n", "0", "python"]).exit_code == 2


def test_a_signal_is_passed_on(tmp_path):
    """The stand-in for mpiexec waits, and ends with the signal's number when it comes."""
    path = tmp_path / "mpiexec"
    path.write_text(
        f"#!{sys.executable}\nimport signal, sys, time\nsignal.signal(15, lambda *_: sys.exit(7))\n"
        "print('ready', flush=True)\ntime.sleep(60)\n"
    )
    path.chmod(0o755)
    command = [sys.executable, "-m", "minires", "launch", "-n", "2", "--restarts", "3", "--mpiexec", str(path), "true"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143
    process.stdout.close()
