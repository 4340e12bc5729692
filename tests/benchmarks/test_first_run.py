"""The first run on a GPU, without one: its steps on the stand-in for CuPy, and the processes that they run in.

Steps that crash, hang, fail, or find no PyTorch; what was found before is kept, and the report tells of all.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import SimpleNamespace

import pytest

import minires as mr
from benchmarks.on_gpu import roofline, timing
from benchmarks.on_gpu.first_run import __main__ as first_run
from benchmarks.on_gpu.first_run import (
    driver,
    facts,
    gpu_tests,
    kernels,
    memory,
    modules,
    plan,
    report,
    scale,
    supervise,
    workloads,
)
from benchmarks.on_gpu.first_run.plan import ROOT, Step
from benchmarks.on_gpu.first_run.record import Record
from benchmarks.on_gpu.first_run.step import STEPS, function_of
from minires import cuda
from tests.cudasim import build

posix = pytest.mark.skipif(os.name != "posix", reason="a group of processes is killed as POSIX has it")
TINY = scale.REHEARSAL


@pytest.fixture(autouse=True)
def exact():
    """TF32 is off again after a step that measures both."""
    yield
    mr.allow_tf32(False)


@pytest.fixture
def record(tmp_path):
    return Record(tmp_path, "step")


@pytest.fixture
def found(record):
    """The records of one kind."""
    return lambda kind: [each for each in supervise.read(record.path) if each["kind"] == kind]


# -- the plan ---------------------------------------------------------------------------------------------------------


def test_the_steps_and_their_limits(tmp_path, monkeypatch):
    monkeypatch.setattr(plan.shutil, "which", lambda _: "/opt/compute-sanitizer")
    planned = plan.steps(tmp_path, plan.MINUTES, rehearse=False)
    names = [step.name for step in planned]
    assert names == list(STEPS) == [
        *("versions", "memory", "compile", "tests", "kernels"),
        *("cifar-train", "resnet18-one", "resnet18-train", "sanitizer-racecheck", "sanitizer-memcheck"),
    ]  # fmt: skip
    assert all(callable(function_of(name)) for name in names)
    assert sum(step.seconds for step in planned) <= 60 * plan.MINUTES == 480
    assert [4 * step.seconds for step in plan.steps(tmp_path, 2.0, False)] == [step.seconds for step in planned]
    assert planned[0].command == (*plan.STEP, "versions", "--out", str(tmp_path), "--seconds", "20.0")
    sanitized = planned[-2].command
    assert sanitized[:3] == ("/opt/compute-sanitizer", "--tool", "racecheck")
    assert sanitized[5:8] == plan.STEP


def test_without_compute_sanitizer_its_steps_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(plan.shutil, "which", lambda _: None)
    monkeypatch.setattr(plan.Path, "exists", lambda _: False)
    planned = plan.steps(tmp_path, plan.MINUTES, rehearse=False)
    assert [step.command is None for step in planned] == [False] * 8 + [True] * 2
    result = supervise.run(planned[-1], tmp_path, 1.0)
    assert (result.state, result.records) == ("left out", [])
    assert "it comes with NVIDIA's CUDA toolkit" in result.reason


# -- processes --------------------------------------------------------------------------------------------------------

RECORDS = "import sys; from benchmarks.on_gpu.first_run.record import Record; from pathlib import Path\n"
RECORDS += "Record(Path(sys.argv[1]), 'step').add('memory', graph=1, taken=1 << 20, free=3 << 20)\n"


def step_of(program: str, out: Path, seconds: float = 60.0, name: str = "step") -> Step:
    return Step(name, "A step", (sys.executable, "-c", program, str(out)), seconds)


@pytest.mark.parametrize(
    ("program", "state", "reason"),
    [
        ("", "done", ""),
        ("print('at first'); sys.exit('nothing fits\\n')", "failed", "nothing fits"),
        ("1 / 0", "failed", "ZeroDivisionError: division by zero"),
        ("sys.exit(3)", "failed", '{"kind": "memory", "graph": 1'),
        pytest.param("import os; os.abort()", "failed", "ended by SIGABRT", marks=posix),
    ],
)
def test_how_a_process_may_end(tmp_path, program, state, reason):
    result = supervise.run(step_of(RECORDS + program, tmp_path), tmp_path, 60.0)
    assert (result.state, result.reason[: len(reason)]) == (state, reason)
    assert result.of("memory") == [{"kind": "memory", "graph": 1, "taken": 1 << 20, "free": 3 << 20}]


@posix
def test_a_process_that_hangs_is_killed_with_all_that_it_started_and_what_it_found_is_kept(tmp_path):
    hangs = "import subprocess, time\n"
    hangs += "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    hangs += "print(child.pid, flush=True); time.sleep(600)"
    begun = time.monotonic()
    result = supervise.run(step_of(RECORDS + hangs, tmp_path), tmp_path, 3.0)
    assert time.monotonic() - begun < 30
    assert (result.state, result.reason) == ("killed", "killed after 3 s, its limit")
    assert len(result.of("memory")) == 1
    child = int((tmp_path / "step.log").read_text().splitlines()[-1])
    for _ in range(100):
        if not is_running(child):
            break
        time.sleep(0.1)
    assert not is_running(child)


@posix
def test_a_run_that_is_stopped_kills_its_step_and_says_so_in_the_report(tmp_path):
    hangs = "import os, time\nprint(os.getpid(), flush=True); time.sleep(600)"
    before = signal.signal(signal.SIGTERM, first_run.stop)
    timer = threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    try:
        with pytest.raises(SystemExit, match=str(128 + signal.SIGTERM)):
            first_run.run_all([step_of(RECORDS + hangs, tmp_path, name="memory")], tmp_path, rehearse=True)
    finally:
        timer.cancel()
        signal.signal(signal.SIGTERM, before)
    assert not is_running(int((tmp_path / "memory.log").read_text().splitlines()[-1]))
    assert "killed: the run was stopped" in (tmp_path / "report.md").read_text("utf-8")


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_records_that_were_cut_short(tmp_path):
    path = tmp_path / "step.jsonl"
    assert supervise.read(path) == []
    path.write_text('{"kind": "a"}\n{"kind": "b", "n": 1}\n{"kind": "c", "tex')
    assert [record["kind"] for record in supervise.read(path)] == ["a", "b"]


def test_what_a_step_is_given(tmp_path, monkeypatch):
    monkeypatch.setattr(supervise, "find_spec", lambda name: None if name == "hypothesis" else object())
    monkeypatch.setenv("PYTHONPATH", "mine")
    given = supervise.environment(tmp_path)
    assert given["PYTHONPATH"].split(os.pathsep) == [
        str(ROOT),
        str(ROOT / "tests" / "substitutes" / "hypothesis"),
        "mine",
    ]
    assert given["CUPY_CACHE_DIR"].startswith(str(tmp_path))


# -- the steps --------------------------------------------------------------------------------------------------------


@pytest.fixture
def no_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)


@pytest.fixture
def gpu_with_clock(standin, no_torch, monkeypatch):
    """The stand-in, with events on a clock that ticks at each."""
    clock = SimpleNamespace(now=0.0)

    class Event(standin.cuda.Event):
        def record(self, stream=None):
            super().record(stream)
            clock.now += 2.0
            self.at = clock.now

    standin.cuda.Event, standin.cuda.get_elapsed_time = Event, lambda a, b: b.at - a.at
    monkeypatch.setattr(timing, "SHORTEST", 0.0)
    monkeypatch.setattr(roofline, "SIDE", roofline.SIDE)
    monkeypatch.setattr(roofline, "COPIED", roofline.COPIED)
    return standin


def test_versions(standin, no_torch, record, found):
    facts.versions_step(record, TINY, 60.0)
    (record,) = found("versions")
    assert record.keys() >= {"date", "GPU", "driver", "CuPy", "NumPy", "pytest", "commit", "free memory", "host"}
    assert record["note"].startswith("PyTorch is left out: ")
    assert "PyTorch" not in record


def test_graphs_that_give_their_memory_back(standin, record, found):
    memory.check(record, TINY, 60.0)
    assert [each["graph"] for each in found("memory")] == [1, 2, 3, 4]
    assert all(each["taken"] > 0 for each in found("memory"))
    assert found("verdict")[0]["good"] is True


def test_a_leak_is_found(standin, record, found, monkeypatch):
    monkeypatch.setattr(memory, "Workspace", leaking(memory.Workspace))
    with pytest.raises(SystemExit, match="a leak: "):
        memory.check(record, TINY, 60.0)
    assert found("verdict")[0]["good"] is False


def leaking(workspace):
    """Workspaces that nobody lets go of."""
    kept = []

    def make(device):
        kept.append(workspace(device))
        return kept[-1]

    return make


def test_a_module_is_compiled_and_its_kernels_told(standin):
    told = modules.compile_one("layout", {})
    assert (told["error"], told["kernels"][0]["name"]) == (None, "to_channels_last")
    assert told["kernels"][0].keys() == {"name", "registers", "local", "shared", "threads"}
    assert modules.compile_one("no_such_source", {})["error"].startswith("FileNotFoundError")


def test_all_modules_that_a_gpu_may_be_asked_for():
    new, old = list(modules.modules(90)), list(modules.modules(75))
    assert {source for source, _ in new} == {source for source, _ in old} >= {"conv", "matmul", "sgd", "layout"}
    assert any(constants.get("TF32") for _, constants in new)
    assert not any(constants.get("TF32") for _, constants in old)


def test_a_compiler_that_crashes_is_written_down(standin, record, found, monkeypatch):
    class Crashing(ThreadPoolExecutor):
        def __init__(self, processes, context, initializer, arguments):
            super().__init__(processes)

        def submit(self, *call):
            return super().submit(_raise, BrokenProcessPool("a process ended abruptly"))

    monkeypatch.setattr(modules, "ProcessPoolExecutor", Crashing)
    with pytest.raises(SystemExit, match="3 of 3 modules do not compile"):
        modules.compile_all(record, TINY, 60.0)
    assert [each["error"] for each in found("module")] == ["BrokenProcessPool: a process ended abruptly"] * 3


def _raise(error):
    raise error


def test_kernels_beside_the_roofline(gpu_with_clock, record, found, monkeypatch):
    broken = roofline.shares

    def shares(kernel, *rest):
        if kernel.name == "matmul":
            raise RuntimeError("it breaks")
        return broken(kernel, *rest)

    monkeypatch.setattr(roofline, "shares", shares)
    with mr.use_backend("reference"), pytest.raises(SystemExit, match="1 kernels fail"):
        kernels.measure_all(record, TINY, 60.0)
    (limits,) = found("limits")
    assert limits["limits"].keys() == {"bandwidth", "ours", "cublas"}
    errors = {row["name"]: row["error"] for row in found("row")}
    assert errors.pop("matmul") == "RuntimeError: it breaks"
    assert set(errors.values()) == {None}


def test_a_workload_without_torch(gpu_with_clock, record, found, monkeypatch):
    """MiniRes alone takes its turns; what cannot be captured by the reference's kernels has its error."""
    with mr.use_backend("reference"), pytest.raises(SystemExit, match="no result of MiniRes graph, float32, MiniRes g"):
        workloads.cifar_train(record, TINY, 60.0)
    assert found("note")[0]["text"].startswith("PyTorch is left out: ")
    names = ["MiniRes eager, float32", "MiniRes graph, float32", "MiniRes eager, TF32", "MiniRes graph, TF32"]
    assert [turn["contender"] for turn in found("turn")] == names
    assert all(turn["free"] == cuda.require().cuda.runtime.memGetInfo()[0] for turn in found("turn"))
    assert [turn["milliseconds"] is None for turn in found("turn")] == [False, True, False, True]
    (summary,) = found("summary")
    assert [row["contender"] for row in summary["rows"]] == names


def test_torch_takes_part_eager_alone(torch, tmp_path, monkeypatch):
    workload = workloads.WORKLOADS[-1]._replace(batch=2, size=8)
    assert [each.name for each in workloads.contenders(workload, torch)] == [
        *("torch eager, float32", "torch eager, TF32"),
        *("MiniRes eager, float32", "MiniRes graph, float32", "MiniRes eager, TF32", "MiniRes graph, TF32"),
    ]


def test_the_driver_of_the_sanitizer(standin, record, found, monkeypatch):
    if build.unavailable():
        pytest.skip(build.unavailable())
    monkeypatch.setattr(driver, "CASES", {"matmul": driver.CASES["matmul"]})
    driver.drive(record, TINY._replace(modules=4), 60.0)
    calls = {"matmul": 2, "elementwise": 2, "pooling": 5, "sgd": 1}
    assert found("source") == [
        {"kind": "source", "source": source, "calls": number, "error": None} for source, number in calls.items()
    ]
    monkeypatch.setattr(driver, "WITHOUT_BARRIER", {})
    monkeypatch.setattr(driver, "CASES", {"wrong": [lambda cupy: 1 / 0], "right": []})
    with pytest.raises(SystemExit, match="1 of the sources"):
        driver.drive(record, TINY, 60.0)
    assert [each["error"] for each in found("source")[4:]] == ["ZeroDivisionError: division by zero", None]


# -- the tests that need a GPU ----------------------------------------------------------------------------------------

FILES = {
    "mixed": "import pytest, warnings\npytestmark = pytest.mark.gpu\n"
    "def test_good(): warnings.warn('new here')\ndef test_bad(): assert 1 == 2\n"
    "@pytest.mark.parametrize('x', ['of two words'])\ndef test_more(x): pass\n",
    "crashes": "import os, pytest\npytestmark = pytest.mark.gpu\ndef test_good(): pass\ndef test_last(): os.abort()\n",
    "hangs": "import time, pytest\npytestmark = pytest.mark.gpu\ndef test_good(): pass\n"
    "def test_last(): time.sleep(600)\n",
    "lacks": "import pytest\npytestmark = pytest.mark.gpu\ndef test_good(): pass\n"
    "def test_more(): import a_package_that_nobody_has\n",
    "none": "def test_on_the_processor(): pass\n",
    "needs": "import a_package_that_nobody_has\n",
    "broken": "import minires.no_such_module\n",
}


@pytest.fixture
def tested(tmp_path, monkeypatch):
    """What comes of a file of tests, given so many seconds."""
    monkeypatch.setattr(gpu_tests, "ROOT", tmp_path)
    settings = tmp_path / "pytest.ini"
    settings.write_text(gpu_tests.SETTINGS)

    def run(name: str, seconds: float = 120.0):
        (tmp_path / f"test_{name}.py").write_text(FILES[name])
        return gpu_tests.run_file(f"test_{name}.py", tmp_path, settings, [], time.monotonic() + seconds)

    return run


def test_a_file_is_told_test_by_test_and_warnings_are_no_errors(tested):
    told = tested("mixed")
    assert (told["state"], told["passed"], told["failed"], told["skipped"]) == ("failed", 2, 1, 0)
    assert told["failures"] == [["test_mixed.py::test_bad", "assert 1 == 2"]]


@posix
def test_a_file_that_crashes_names_the_test(tested):
    told = tested("crashes")
    assert (told["passed"], told["failed"]) == (1, 0)
    assert told["state"].startswith("ended by SIGABRT, in test_crashes.py::test_last")


@pytest.mark.slow  # it waits for a limit that leaves the interpreter time to start
def test_a_file_that_hangs_is_killed_and_names_the_test(tested):
    told = tested("hangs", 15.0)
    assert told["passed"] == 1
    assert told["state"] == "killed after 15 s, in test_hangs.py::test_last"


@pytest.mark.slow  # four processes of pytest
def test_files_that_are_not_run(tested):
    assert tested("none") is None
    assert tested("needs")["state"] == "not run: No module named 'a_package_that_nobody_has'"
    assert tested("broken")["state"] == "failed"
    told = tested("lacks")
    assert (told["state"], told["passed"], told["failed"], told["skipped"]) == ("passed", 1, 0, 1)
    assert "a_package_that_nobody_has" in told["failures"][0][1]
    assert tested("mixed", -1.0)["state"] == "no time left"


def test_the_files_with_tests_for_a_gpu_are_found():
    found = gpu_tests.files()
    assert {"tests/backend/cuda/test_graph.py", "tests/training/test_prefetch.py"} <= set(found)
    assert {f"tests/backend/cuda/{path.name}" for path in (ROOT / "tests/backend/cuda").glob("test_*.py")} <= set(found)
    assert "tests/nn/test_module.py" not in found
    assert set(TINY.tests) <= set(found)


def test_the_substitute_for_hypothesis(tmp_path):
    """It draws so many examples, the same each time, beside the arguments that pytest gives."""
    (tmp_path / "test_it.py").write_text("""
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

SEEN = []

@st.composite
def pairs(draw, high):
    return draw(st.integers(0, high)), draw(st.just("x"))

@pytest.mark.parametrize("p", [1, 2])
@settings(max_examples=7)
@given(a=st.tuples(st.booleans(), pairs(3)), data=st.data())
def test_named(p, a, data):
    SEEN.append((p, a, data.draw(st.sampled_from("uvw"))))

@given(st.integers(0, 1), st.lists(st.integers(5, 6), min_size=1, max_size=2))
def test_last(tmp_path, n, numbers):
    assert n in (0, 1) and 1 <= len(numbers) <= 2 and set(numbers) <= {5, 6} and tmp_path.exists()

def test_seen():
    assert len(SEEN) == 14 and SEEN[0][1:] == SEEN[7][1:] and len({repr(each) for each in SEEN[:7]}) > 2
    settings.register_profile("ci", deadline=None); settings.load_profile("ci")
""")
    path = os.pathsep.join(str(ROOT / "tests" / "substitutes" / name) for name in supervise.SUBSTITUTES)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:hypothesispytest",
        "-p",
        "no:cacheprovider",
        "test_it.py",
    ]
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


# -- the report -------------------------------------------------------------------------------------------------------


def result(name: str, *records: dict, state: str = "done", reason: str = "", command=("python",)) -> supervise.Result:
    return supervise.Result(Step(name, f"Title of {name}", command, 9.0), state, reason, 1.5, list(records))


def test_the_report_tells_of_every_step():
    module = {"kind": "module", "source": "conv", "constants": {"TF32": 1}, "seconds": 2.0, "error": None}
    kernel = {"name": "conv2d", "registers": 96, "local": 0, "shared": 24576, "threads": 128}
    row = {"name": "conv2d", "shape": "s", "count": 2, "precision": "TF32", "error": None, "milliseconds": 2.0}
    row |= {"operations": 4e9, "moved": 2e9, "bound": "bytes", "share": 0.5}
    file = {"kind": "file", "file": "tests/test_a.py", "state": "failed", "passed": 5, "failed": 1, "skipped": 0}
    turn = {"kind": "turn", "round": 1, "contender": "torch eager, TF32", "milliseconds": 3.25, "error": None}
    text = report.report(
        [
            result("versions", {"kind": "versions", "GPU": "H200"}),
            result("memory", {"kind": "memory", "graph": 1, "taken": 2 << 20, "free": 5 << 30}, {
                "kind": "verdict", "good": False, "text": "9.0 MiB lost with 3 graphs"}, state="failed", reason="a"),
            result("compile", {**module, "kernels": [kernel]},
                   {**module, "source": "sgd", "kernels": [], "error": "why"},
                   {"kind": "compiled", "modules": 2, "processes": 1, "seconds": 3.0}),
            result("tests", {**file, "seconds": 2.0, "failures": [["tests/test_a.py::test_b", "assert 0"]]}),
            result("kernels", {"kind": "limits", "model": "m", "batch": 1, "size": 8, "limits": {
                "bandwidth": 1e12, "ours": {"TF32": 1e13}, "cublas": {}}}, {"kind": "row", **row}),
            result("cifar-train", {"kind": "note", "text": "PyTorch is left out"}, {**turn, "free": 7 << 20},
                   state="killed", reason="killed after 3 s, its limit"),
            result("sanitizer-memcheck", state="left out", reason="there is no compute-sanitizer", command=None),
        ],
        rehearse=False,
    )  # fmt: skip
    for line in (
        "| Title of memory | 1.5 | failed: a |",
        "- GPU: H200",
        "A LEAK: 9.0 MiB lost with 3 graphs.",
        "| 1 | 2 MiB | 5,120 MiB |",
        "| conv TF32=1 | conv2d | 96 | 0 | 24576 |",
        "sgd TF32=1: why",
        "5 tests passed, 1 failed.",
        "- `tests/test_a.py::test_b`: assert 0",
        "| conv2d | s | 2 | TF32 | 2.000 | 2.00 | 1,000 | bytes | 50 % |",
        "killed: killed after 3 s, its limit",
        "| torch eager, TF32 | 1 | 3.25 | 7 MiB |",
        "Output: `cifar-train.log`.",
        "left out: there is no compute-sanitizer",
        "Nothing was run.",
    ):
        assert line in text.splitlines(), line
    assert "rehearsal" not in text
    assert "A rehearsal on the stand-in" in report.report([], rehearse=True)


# -- the whole --------------------------------------------------------------------------------------------------------


@pytest.fixture
def here(monkeypatch):
    """There is a GPU."""
    monkeypatch.setattr(first_run, "no_gpu", lambda: "")


@posix
def test_a_step_that_fails_spoils_no_other_and_the_report_grows(here, tmp_path, monkeypatch, capsys):
    out, texts = tmp_path / "out", []
    planned = [
        step_of(RECORDS.replace("'step'", "'memory'") + "import os; os.abort()", out, name="memory"),
        step_of("import time; time.sleep(600)", out, 1.0, name="tests"),
        step_of("print('good')", out, name="versions"),
    ]
    write = Path.write_text
    monkeypatch.setattr(first_run, "steps", lambda *_: planned)
    monkeypatch.setattr(Path, "write_text", lambda path, text, *a: (texts.append(text), write(path, text, *a))[1])
    assert first_run.main(["--out", str(out)]) == 1
    assert [len(re.findall("^## ", text, re.MULTILINE)) for text in texts] == [1, 2, 3]
    text = (out / "report.md").read_text("utf-8")
    for said in ("failed: ended by SIGABRT", "killed: killed after 1 s", "| A step | ", "| 1 | 1 MiB | 3 MiB |"):
        assert said in text
    assert str(out / "report.md") in capsys.readouterr().out
    monkeypatch.setattr(first_run, "steps", lambda *_: planned[2:])
    assert first_run.main(["--out", str(out)]) == 0


NO_GPU = {
    "no CuPy": (
        "raise ModuleNotFoundError(\"No module named 'cupy'\", name='cupy')",
        "CuPy is not installed (pip insta",
    ),
    "a crash": ("import os; os.abort()", "CuPy ended with status -6"),
    "no answer": ("import time; time.sleep(600)", "CuPy did not answer for 3 s"),
}


@posix
@pytest.mark.parametrize("kind", NO_GPU)
def test_without_a_gpu_there_is_one_line_and_status_2(tmp_path, monkeypatch, capsys, kind):
    source, said = NO_GPU[kind]
    (tmp_path / "cupy.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(first_run, "PATIENCE", 3.0 if kind == "no answer" else 60.0)
    assert first_run.main(["--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert captured.err.startswith(f"first run: there is no GPU to use: {said}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [[], ["--out", "x", "--only", "tset"], ["--out", "x", "--minutes", "0"]])
def test_a_mistake_on_the_command_line(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        first_run.parse(arguments)
    assert caught.value.code == 2


def test_it_needs_nothing_but_numpy_cupy_and_pytest(tmp_path):
    """Every module of it is imported where all that MiniRes, its tests and benchmarks usually have is missing."""
    absent = ("rich", "click", "PIL", "matplotlib", "safetensors", "threadpoolctl", "hypothesis", "torch", "cupy")
    program = f"import sys; sys.modules.update(dict.fromkeys({absent!r}))\n"
    program += "import benchmarks.on_gpu.first_run.__main__\n"
    program += "from benchmarks.on_gpu.first_run.step import STEPS, function_of\n"
    program += "for name in STEPS: function_of(name)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# Slow: ten seconds and more on two cores, and those of `versions` are the imports of all that is installed.
REHEARSED = ["memory", *(pytest.param(name, marks=pytest.mark.slow) for name in ("versions", "compile"))]


@posix
@pytest.mark.parametrize("name", REHEARSED)
def test_a_step_is_rehearsed_in_its_process(tmp_path, name):
    if build.unavailable():
        pytest.skip(build.unavailable())
    assert first_run.main(["--out", str(tmp_path), "--rehearse", "--only", name]) == 0
    assert "| done |" in (tmp_path / "report.md").read_text("utf-8")


@posix
@pytest.mark.slow  # three minutes: all steps, small, on the simulator
def test_the_whole_is_rehearsed(tmp_path):
    if build.unavailable():
        pytest.skip(build.unavailable())
    command = [sys.executable, "-m", "benchmarks.on_gpu.first_run", "--out", str(tmp_path), "--rehearse"]
    # Limits are for a GPU: here they are as long as a busy machine needs.
    done = subprocess.run([*command, "--minutes", "60"], cwd=ROOT, capture_output=True, text=True, check=False)
    text = (tmp_path / "report.md").read_text("utf-8")
    assert done.returncode == 0, done.stdout + text
    assert text.count("| done |") == len(STEPS)
    assert re.search(r"^[1-9]\d+ tests passed, 0 failed\.$", text, re.MULTILINE)


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_make_runs_it_by_the_python_that_is_named():
    command = ["make", "--no-print-directory", "-n", "gpu-first-run", "PYTHON=any-python"]
    # `make test ARGS=…` hands its own variables on to every make below it.
    inherited = {"MAKEFLAGS", "MAKEOVERRIDES", "ARGS"}
    environment = {name: value for name, value in os.environ.items() if name not in inherited}
    run = functools.partial(subprocess.run, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    plain = run(command).stdout
    assert plain.strip() == '"any-python" -m benchmarks.on_gpu.first_run --out "gpu-first-run"'
    named = run([*command, "OUT=there"]).stdout
    assert named.strip().endswith('--out "there"')
