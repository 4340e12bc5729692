"""The GPU's benchmark without a GPU: command line, arithmetic, tables, and that all contenders are the same network.

MiniRes's side runs on the stand-in for CuPy, PyTorch's on the processor, both at tiny sizes. How fast anything is is
not tested here.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest

import minires as mr
from benchmarks import gpu, inputs
from benchmarks.on_gpu import ours, report, roofline, rounds, timing, versions
from benchmarks.on_gpu.workloads import (
    BFLOAT16,
    COMPILED,
    EAGER,
    FLOAT32,
    GRAPH,
    TARGETS,
    TF32,
    WORKLOADS,
    Contender,
    Task,
    Workload,
)
from minires import cuda

TINY = Workload("resnet18-one", "Tiny", "resnet8", False, 2, 8)
TINY_TRAIN = Workload("resnet18-train", "Tiny, training", "resnet8", True, 2, 8)


class Clock:
    """Events of a GPU that needs 2 ms for each task, and on which nothing else happens."""

    def __init__(self) -> None:
        self.now, self.waits = 0.0, 0

    def task(self) -> None:
        self.now += 2.0

    def events(self) -> timing.Events:
        def make() -> SimpleNamespace:
            event = SimpleNamespace(at=math.nan)
            event.record = lambda: setattr(event, "at", self.now)
            return event

        return timing.Events(make, lambda a, b: b.at - a.at, self.wait)

    def wait(self) -> None:
        self.waits += 1


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shared(tmp_path):
    """Weights and images of a tiny workload."""

    def make(workload: Workload) -> inputs.Inputs:
        inputs.write(tmp_path, workload.model, workload.batch, workload.size, trained_norms=not workload.train)
        return inputs.read(tmp_path)

    return make


# -- the command line -------------------------------------------------------------------------------------------------


def test_everything_unless_told_otherwise():
    options = gpu.parse([])
    assert options.only == [*(workload.name for workload in WORKLOADS), "kernels"]
    assert (options.quick, options.json, options.markdown) == (False, False, False)
    options = gpu.parse(["--only", "kernels", "--only", "cifar-train", "--quick", "--json"])
    assert (options.only, options.quick, options.json) == (["kernels", "cifar-train"], True, True)


@pytest.mark.parametrize("arguments", [["--only", "resnet19"], ["--json", "--markdown"], ["--fast"], ["--only"]])
def test_a_mistake_is_answered_with_one_line(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        gpu.parse(arguments)
    captured = capsys.readouterr()
    assert (caught.value.code, captured.out, captured.err.count("\n")) == (2, "", 1)


def test_without_a_gpu_a_line_says_why(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cupy", None)
    cuda.device._probe.cache_clear()
    try:
        assert gpu.main([]) == 2
    finally:
        cuda.device._probe.cache_clear()
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert captured.err.startswith("benchmarks/gpu.py: there is no GPU to use: CuPy is not installed")


def test_the_works_and_targets_are_those_that_were_asked_for():
    assert {(workload.model, workload.train, workload.batch, workload.size) for workload in WORKLOADS} == {
        ("resnet18", True, 256, 224),
        ("resnet18", False, 256, 224),
        ("resnet18", False, 1, 224),
        ("resnet50", True, 256, 224),
        ("resnet50", False, 256, 224),
        ("resnet50", False, 1, 224),
        ("resnet20", True, 128, 32),
    }
    assert len({workload.name for workload in WORKLOADS}) == len(WORKLOADS)
    lines = {(target.workload, target.mode, target.precision): (target.least, target.aim) for target in TARGETS}
    assert lines == {
        ("resnet18-train", EAGER, TF32): (0.5, 1.0),
        ("resnet18-train", EAGER, FLOAT32): (0.7, 1.1),
        **{("resnet18-one", GRAPH, precision): (2.0, 4.0) for precision in (FLOAT32, TF32)},
        **{("cifar-train", GRAPH, precision): (2.0, 4.0) for precision in (FLOAT32, TF32)},
    }
    assert {target.workload for target in TARGETS} <= {workload.name for workload in WORKLOADS}


# -- time -------------------------------------------------------------------------------------------------------------


def test_short_tasks_are_done_several_times_between_two_events(clock):
    calls = 0

    def task() -> None:
        nonlocal calls
        calls += 1
        clock.task()

    assert timing.measure(task, clock.events(), timing.Effort(1, samples=4, warm_up=0.0)) == 2.0
    assert calls == 2 + 4 * 3  # 2 to warm up; 5 ms at least between events: 3 tasks of 2 ms
    assert clock.waits == 2  # for what warmed up, and at the end: not between samples


def test_the_median_counts(clock):
    durations = iter([9.0, 9.0, 6.0, 6.0, 60.0])

    def task() -> None:
        clock.now += next(durations)

    assert timing.measure(task, clock.events(), timing.Effort(1, samples=3, warm_up=0.0)) == 6.0


def test_a_task_runs_until_the_gpu_is_warm(clock, monkeypatch):
    seconds = iter(np.arange(0.0, 10.0, 0.25))
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(seconds))
    assert timing.warm_up(clock.task, clock.events(), 1.0) == 2.0
    assert clock.now == 2.0 * 5


# -- rounds -----------------------------------------------------------------------------------------------------------


def contender(
    clock: Clock, library: str, mode: str, precision: str, milliseconds: Iterator[float], result
) -> Contender:
    """Wakes up with the next time of its own."""

    def prepare() -> Task:
        duration = next(milliseconds)

        def run() -> None:
            clock.now += duration

        return Task(run, result)

    return Contender(library, mode, precision, prepare)


EFFORT = timing.Effort(rounds=3, samples=1, warm_up=0.0)


def compared(clock: Clock, *others: Contender) -> dict:
    torch = contender(clock, "torch", EAGER, FLOAT32, iter([20.0, 30.0, 60.0]), [[1.0, -2.0]])
    ours = contender(clock, "MiniRes", EAGER, FLOAT32, iter([10.0, 20.0, 20.0]), [[1.0, -2.0002]])
    events = {"torch": clock.events(), "MiniRes": clock.events()}
    return rounds.compare(WORKLOADS[0], [torch, ours, *others], events, EFFORT, lambda: None)


def test_ratios_are_taken_in_each_round_and_targets_are_judged(clock):
    found = compared(clock)
    torch, mine = found["rows"]
    assert found["reference"] == torch["contender"] == "torch eager, float32"
    assert torch["milliseconds"] == {"median": 30.0, "lowest": 20.0, "highest": 60.0}
    assert mine["images_per_second"] == 256 / 0.020
    assert mine["ratio"] == {"median": 2.0, "lowest": 1.5, "highest": 3.0}
    assert (torch["ratio"], torch["difference"]) == (None, 0.0)
    assert mine["difference"] == pytest.approx(1e-4)
    by_precision = {target["precision"]: target for target in found["targets"]}
    assert by_precision[FLOAT32] | {"ratio": 2.0, "pass": True} == by_precision[FLOAT32]
    assert (by_precision[TF32]["ratio"], by_precision[TF32]["pass"]) == (None, None)


@pytest.mark.parametrize(
    ("result", "said"), [([[1.0, -2.1]], "by 5.0e-02 of the largest"), ([[math.nan, 1.0]], "by inf of the largest")]
)
def test_what_computes_something_else_is_not_compared(clock, result, said):
    wrong = contender(clock, "MiniRes", GRAPH, FLOAT32, iter([1.0] * 3), result)
    row = compared(clock, wrong)["rows"][-1]
    assert row["ratio"] is None
    assert said in row["error"]
    json.loads(json.dumps(row, allow_nan=False))


def test_who_fails_is_out_and_the_others_go_on(clock):
    def full() -> Task:
        raise MemoryError("Out of memory\n allocating 5 bytes")

    found = compared(clock, Contender("MiniRes", GRAPH, TF32, full))
    assert found["rows"][-1]["error"] == "MemoryError: Out of memory allocating 5 bytes"
    assert found["rows"][-1]["milliseconds"] is None
    assert found["rows"][1]["ratio"]["median"] == 2.0


def test_precisions_have_rivals_of_their_own_and_bfloat16_has_none(clock):
    same = [[1.0, -2.0]]
    found = compared(
        clock,
        contender(clock, "torch", EAGER, TF32, iter([5.0] * 3), same),
        contender(clock, "torch", COMPILED, BFLOAT16, iter([1.0] * 3), [[1.05, -2.0]]),
        contender(clock, "MiniRes", EAGER, TF32, iter([10.0] * 3), same),
    )
    ratios = {row["contender"]: row["ratio"] and row["ratio"]["median"] for row in found["rows"]}
    assert ratios["MiniRes eager, TF32"] == 0.5
    assert ratios["torch compiled, bfloat16"] is None
    assert not any(row["error"] for row in found["rows"])


def test_each_round_begins_with_another(clock):
    order = []

    def member(name: str) -> Contender:
        def prepare() -> Task:
            order.append(name)
            return Task(clock.task, [[1.0]])

        return Contender(name, EAGER, FLOAT32, prepare)

    rounds.compare(WORKLOADS[0], [member("a"), member("b")], dict.fromkeys("ab", clock.events()), EFFORT, lambda: None)
    assert order == list("abbaab")


# -- networks ---------------------------------------------------------------------------------------------------------


def test_torch_trains_the_network_that_we_train(torch, shared):
    """All of PyTorch's rows, on the processor, where TF32 is float32; and our eager one."""
    theirs = importlib.import_module("benchmarks.on_gpu.pytorch")
    workload = Workload("", "", "resnet20", True, 4, 16)
    given = shared(workload)
    rows = theirs.contenders(workload, given, "cpu", compiler=lambda model: model)
    assert [(row.mode, row.precision) for row in rows] == [(EAGER, FLOAT32), (EAGER, TF32), (COMPILED, BFLOAT16)]
    expected = ours.prepare(workload, given, EAGER, FLOAT32, "cpu").result
    assert len(set(expected[0])) == 3
    for row in rows:
        task = row.prepare()
        flags = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        assert flags == (row.precision == TF32,) * 2
        assert rounds.difference(task.result, expected) < (1e-2 if row.precision == BFLOAT16 else 1e-5)
        task.run()
    again = rows[0].prepare().result  # in the next round from the same weights
    assert rounds.difference(again, expected) < 1e-5


@pytest.mark.parametrize("model", ["resnet18", "resnet50"])
def test_torch_infers_with_the_network_that_we_infer_with(torch, shared, model):
    theirs = importlib.import_module("benchmarks.on_gpu.pytorch")
    workload = Workload("", "", model, False, 1, 32)
    given = shared(workload)
    row, *_ = theirs.contenders(workload, given, "cpu", compiler=lambda model: model)
    task, expected = row.prepare(), ours.prepare(workload, given, EAGER, FLOAT32, "cpu").result
    assert (np.shape(task.result), row.name) == ((1, 1000), "torch eager, float32")
    assert rounds.difference(task.result, expected) < 1e-5


def test_bfloat16_is_bfloat16(torch, shared):
    theirs = importlib.import_module("benchmarks.on_gpu.pytorch")
    given = shared(TINY._replace(model="resnet20"))
    exact, _, rounded = theirs.contenders(TINY._replace(model="resnet20"), given, "cpu", compiler=lambda model: model)
    assert 1e-4 < rounds.difference(rounded.prepare().result, exact.prepare().result) < 0.1


def test_our_rows_set_the_precision_and_capture_what_is_asked(standin, shared, monkeypatch):
    """The graph itself is captured by kernels that only a GPU, or the simulator, has: here it is asked for."""
    rows = ours.contenders(TINY, shared(TINY))
    assert [(row.precision, row.mode) for row in rows] == [
        (FLOAT32, EAGER),
        (FLOAT32, GRAPH),
        (TF32, EAGER),
        (TF32, GRAPH),
    ]
    compiled = []

    def compile(model, example):
        compiled.append(model)
        return lambda x: ours.call(model, x)

    monkeypatch.setattr(mr.inference, "compile", compile)
    with mr.use_backend("reference"):
        tasks = []
        for row in rows:
            tasks.append(row.prepare())
            assert mr.backend.cuda.precision.tf32_allowed() is (row.precision == TF32)
            assert tasks[-1].run().device == "cuda:0"
    assert len(compiled) == 2
    assert not any(module.training for module in compiled[0].modules())
    assert all(task.result == tasks[0].result for task in tasks)
    mr.allow_tf32(False)


def test_our_training_on_the_device_is_that_on_the_processor(standin, shared):
    given = shared(TINY_TRAIN)
    with mr.use_backend("reference"):
        on_device = ours.prepare(TINY_TRAIN, given, EAGER, FLOAT32, "cuda").result
        assert on_device == ours.prepare(TINY_TRAIN, given, EAGER, FLOAT32, "cpu").result
    assert len(on_device[0]) == 3
    assert len(set(on_device[0])) == 3


# -- kernels ----------------------------------------------------------------------------------------------------------

LIMITS = roofline.Limits(1e12, {FLOAT32: 1e13, TF32: 4e13}, {FLOAT32: 2e13})


def test_the_roof_is_the_higher_of_two_walls():
    assert LIMITS.rate(FLOAT32) == 2e13  # cuBLAS's
    assert LIMITS.rate(TF32) == 4e13  # ours: there is no other
    assert LIMITS.seconds(2e13, 1.0, FLOAT32) == 1.0
    assert LIMITS.seconds(1.0, 3e12, FLOAT32) == 3.0


def test_operations_bytes_and_counts_of_resnet18():
    found = {(kernel.name, kernel.shape): kernel for kernel in roofline.kernels("resnet18", 4, 64)}
    layer1 = found["conv2d", "64→64, 3×3 /1, to 16×16"]
    assert layer1.count == 4
    assert layer1.operations == 2 * 4 * 16 * 16 * 64 * 64 * 9
    assert layer1.moved == 4 * (2 * 4 * 64 * 16 * 16 + 64 * 64 * 9)
    assert found["conv2d_grad_weight", "3→64, 7×7 /2, to 32×32"].count == 1
    assert ("conv2d_grad_input", "3→64, 7×7 /2, to 32×32") not in found
    assert sum(kernel.count for (name, _), kernel in found.items() if name == "conv2d") == 20
    assert sum(kernel.count for (name, _), kernel in found.items() if name == "batch_norm_grad") == 20
    assert found["batch_norm_grad", "64 channels, 16×16"].moved == 4 * 4 * 4 * 64 * 16 * 16
    pooled = 4 * 64 * 16 * 16
    assert found["max_pool2d", "64 channels, 32×32"].moved == 4 * 4 * 64 * 32 * 32 + 4 * pooled + pooled
    assert found["matmul", "4×512 by 512×1000"].operations == 2 * 4 * 512 * 1000
    (sgd,) = (kernel for (name, _), kernel in found.items() if name == "sgd_step")
    assert sgd.moved == 20 * 11_689_512
    assert "11,689,512" in sgd.shape


def test_shares_are_of_the_roof(clock):
    kernel = roofline.Kernel("conv2d", "s", 3, 2e10, 1.0, True, lambda: clock.task)
    exact, tf32 = roofline.shares(kernel, LIMITS, clock.events(), EFFORT)
    assert (exact["precision"], exact["milliseconds"], exact["bound"]) == (FLOAT32, 2.0, "operations")
    assert exact["share"] == pytest.approx(0.5)  # 1 ms at 2e13 a second
    assert tf32["share"] == pytest.approx(0.25)
    (only,) = roofline.shares(
        kernel._replace(multiplies=False, operations=0.0, moved=1e9), LIMITS, clock.events(), EFFORT
    )
    assert (only["precision"], only["bound"], only["share"]) == ("", "bytes", pytest.approx(0.5))
    assert not mr.backend.cuda.precision.tf32_allowed() or mr.allow_tf32(False) is None


def test_every_kernel_runs_as_the_table_calls_it():
    """On the processor, so that a call that does not fit its kernel shows."""
    for kernel in roofline.kernels("resnet18", 2, 32, "cpu"):
        result = kernel.prepare()()
        arrays = result if isinstance(result, tuple) else (result,)
        assert all(array is None or np.isfinite(array).all() for array in arrays), kernel.name


def test_noise_is_random_and_of_the_shape_that_was_asked_for():
    numbers = roofline.noise("cpu", 3, 1 << 20)
    assert numbers.shape == (3, 1 << 20)
    assert abs(float(numbers.std()) - 1) < 0.01
    image = roofline.noise("cpu", 2, 3, 4, 5)
    assert image.shape == (2, 3, 4, 5)
    assert image.transpose(0, 2, 3, 1).flags.c_contiguous


# -- the whole, and what it says --------------------------------------------------------------------------------------


@pytest.fixture
def tiny_run(standin, monkeypatch, clock):
    """The program on the stand-in, with two tiny workloads, small limits, and a clock that ticks at each event."""

    class Event:
        def record(self) -> None:
            clock.task()
            self.at = clock.now

    standin.cuda.Event, standin.cuda.get_elapsed_time = Event, lambda a, b: b.at - a.at
    monkeypatch.setattr(gpu, "WORKLOADS", (TINY, TINY_TRAIN))
    monkeypatch.setattr(gpu, "KERNELS_OF", ("resnet8", 1, 8))
    monkeypatch.setattr(gpu, "QUICK", timing.Effort(rounds=1, samples=1, warm_up=0.0))
    monkeypatch.setattr(roofline, "SIDE", 8)
    monkeypatch.setattr(roofline, "COPIED", 4096)
    monkeypatch.setattr(timing, "SHORTEST", 0.0)
    monkeypatch.setattr(mr.inference, "compile", lambda model, _: lambda x: ours.call(model, x))
    monkeypatch.setitem(sys.modules, "torch", None)
    with mr.use_backend("reference"):
        yield lambda *arguments: gpu.main(["--quick", *arguments])
    mr.allow_tf32(False)


def test_json(tiny_run, capsys):
    assert tiny_run("--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["versions"].keys() >= {"date", "GPU", "driver", "MiniRes", "CuPy", "Python", "host"}
    assert found["versions"]["GPU"] == "Stand-in, compute capability 9.0, 80 GiB"
    assert "PyTorch" not in found["versions"]
    assert found["notes"][0].startswith("PyTorch is left out: ")
    assert (found["rounds"], found["samples"]) == (1, 1)
    infer, train = found["workloads"]
    assert (infer["batch"], infer["reference"]) == (2, "MiniRes eager, float32")
    assert [row["contender"] for row in infer["rows"]] == [
        "MiniRes eager, float32",
        "MiniRes graph, float32",
        "MiniRes eager, TF32",
        "MiniRes graph, TF32",
    ]
    for row in infer["rows"]:
        assert (row["error"], row["difference"], row["ratio"]) == (None, 0.0, None)
        assert row["milliseconds"]["median"] > 0
    assert [row["error"] is None for row in train["rows"]] == [True, False, True, False]
    assert "cannot be captured as a CUDA graph" in train["rows"][1]["error"]  # not by the reference's kernels
    names = {row["name"] for row in found["kernels"]["rows"]}
    assert names == {
        *("conv2d", "conv2d_grad_input", "conv2d_grad_weight", "matmul"),
        *("batch_norm_stats", "batch_norm", "batch_norm_grad", "sgd_step"),
    }
    assert all(row["error"] is None and row["share"] > 0 for row in found["kernels"]["rows"])
    assert found["kernels"]["limits"].keys() == {"bandwidth", "ours", "cublas"}


@pytest.mark.slow  # 4 s: runs the program twice; test_json runs it once
def test_tables_for_a_terminal_and_for_a_page(tiny_run, capsys):
    assert tiny_run() == 0
    printed = capsys.readouterr()
    assert "Tiny, batch 2, 8×8" in printed.out
    assert "MiniRes graph, float32" in printed.out
    assert "not measured" in printed.out
    assert "PyTorch is left out" in printed.out
    assert "Tiny, training, batch 2 …" in printed.err
    assert tiny_run("--markdown", "--only", "resnet18-one") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "**Tiny, batch 2, 8×8**" in lines
    (head,) = (number for number, line in enumerate(lines) if line.startswith("| contender | ms"))
    assert set(lines[head + 1]) <= set("| -:")
    assert lines[head + 2].startswith("| MiniRes eager, float32 | ")
    assert {line.count("|") for line in lines[head : head + 6]} == {6}
    assert not any("Kernels of a training step" in line for line in lines)


def test_a_kernel_that_fails_stands_in_the_table(tiny_run, capsys, monkeypatch):
    def broken(*_):
        raise RuntimeError("no such | thing")

    monkeypatch.setattr(roofline, "shares", broken)
    assert tiny_run("--markdown", "--only", "kernels") == 0
    out = capsys.readouterr().out
    assert "RuntimeError: no such / thing" in out


def test_a_torch_that_sees_no_gpu_is_left_out(monkeypatch):
    torch = SimpleNamespace(__version__="9.9", cuda=SimpleNamespace(is_available=lambda: False))
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert gpu.pytorch() == (None, ["PyTorch is left out: 9.9, as it is installed here, sees no GPU"])
    torch.cuda.is_available = lambda: True
    assert gpu.pytorch() == (torch, [])


def test_numbers_in_words():
    row = {"contender": "c", "error": None, "milliseconds": {"median": 2.0, "lowest": 1.234, "highest": 30.0}}
    row |= {"images_per_second": 12345.6, "difference": 2e-5, "ratio": None}
    assert report.contender_row(row) == ("c", "2 (1.23 … 30)", "12,346", "2e-05", "")
    assert report.contender_row({**row, "error": "why"}) == ("c", "why", "", "", "")
    kernel = {"name": "conv2d", "shape": "s", "count": 2, "precision": TF32, "error": None, "milliseconds": 2.0}
    kernel |= {"operations": 4e9, "moved": 2e9, "bound": "bytes", "share": 0.5}
    assert report.kernel_row(kernel) == ("conv2d", "s", "2", TF32, "2.000", "2.00", "1,000", "bytes", "50 %")


def test_the_version_of_the_driver(monkeypatch):
    monkeypatch.setattr(versions.shutil, "which", lambda _: None)
    assert versions.driver() == ""
    monkeypatch.setattr(versions.shutil, "which", lambda _: "nvidia-smi")
    for code, out, text in ((0, "580.1\n580.1\n", "580.1 "), (9, "failed", ""), (0, "", "")):
        done = SimpleNamespace(returncode=code, stdout=out)
        monkeypatch.setattr(versions.subprocess, "run", lambda *_, done=done, **__: done)
        assert versions.driver() == text
