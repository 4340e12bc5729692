"""The comparison's arithmetic, words, command line and workers, and the networks built for its peers.

How fast anything is is not tested here. Contenders run as they do in the benchmark, each in a process of its own.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import minires as mr
from benchmarks import compare, inputs, machine, networks, report, roofline, scaling, summary
from benchmarks.agreement import check_agreement
from benchmarks.peers import layers, ncnn_model
from benchmarks.suites import CONTENDERS, OURS, SUITES, Job, Target
from benchmarks.worker import Worker, environment, peak_memory, sustained
from minires import models
from minires.inspection import machine as inspection

needs_posix = pytest.mark.skipif(
    not hasattr(signal, "SIGSTOP"), reason="compare.py stops processes and asks for their memory, as POSIX does"
)
SECONDS = {
    OURS: [1.0, 2.0, 4.0],
    "torch-nchw": [2.0, 3.0, 6.0],
    "torch-channels-last": [3.0, 4.0, 4.0],
    "ncnn": [1.5] * 3,
}


def job(folder: Path, contender: str, suite: str = "resnet18-infer", batch: int = 1, size: int = 32) -> Job:
    return Job(contender, suite, batch, size, threads=1, folder=str(folder), rounds=2, seconds=0.0)


# -- arithmetic -------------------------------------------------------------------------------------------------------


def test_ratios_are_taken_in_each_round_and_the_fastest_comes_first():
    found = summary.summarise(SECONDS, batch=6)
    speeds = found["images_per_second"]
    assert list(speeds) == ["ncnn", OURS, "torch-nchw", "torch-channels-last"]
    assert speeds[OURS] == {"median": 3.0, "best": 6.0}
    assert found["ratios"]["torch-nchw"] == {"median": 1.5, "lowest": 1.5, "highest": 2.0}  # 2/1, 3/2, 6/4
    assert found["ratios"]["ncnn"] == {"median": 0.75, "lowest": 0.375, "highest": 1.5}
    assert (found["fastest_peer"], found["pytorch"], found["rounds"]) == ("ncnn", "torch-nchw", 3)


def test_without_peers_there_are_no_ratios():
    found = summary.summarise({OURS: [1.0, 2.0]}, batch=6)
    assert (found["ratios"], found["fastest_peer"], found["pytorch"]) == ({}, None, None)
    (verdict,) = summary.verdicts(found, {}, [Target("fastest peer", 1.3, 1.6)])
    assert verdict["pass"] is None
    assert report.verdict_line(verdict) == "  speed / fastest peer: not measured; at least 1.3 (aim 1.6)"


def test_verdicts_hold_each_target_against_its_peer():
    found = summary.summarise(SECONDS, batch=6)
    memory = {OURS: {"peak": 90.0, "imported": 30.0}, "torch-channels-last": {"peak": 100.0, "imported": 80.0}}
    targets = [
        Target("fastest peer", 1.0, 1.3),
        Target("PyTorch", 1.5, 2.2),
        Target("torch-channels-last", 2.1, 2.2),
        Target("torch-channels-last", 0.9, 0.7, memory=True),
        Target("torch-nchw", 0.9, 0.7, memory=True),
    ]
    found = summary.verdicts(found, memory, targets)
    assert [verdict["ratio"] for verdict in found] == [0.75, 1.5, 2.0, 0.9, None]
    assert [verdict["pass"] for verdict in found] == [False, True, False, True, None]
    assert [report.verdict_line(verdict).strip() for verdict in found] == [
        "speed / fastest peer (ncnn): 0.750; at least 1.0: FAIL (aim 1.3)",
        "speed / PyTorch (torch-nchw): 1.500; at least 1.5: pass (aim 2.2)",
        "speed / torch-channels-last: 2.000; at least 2.1: FAIL (aim 2.2)",
        "peak memory / torch-channels-last: 0.900; at most 0.9: pass (aim 0.7)",
        "peak memory / torch-nchw: not measured; at most 0.9 (aim 0.7)",
    ]


def test_the_targets_are_those_that_were_asked_for():
    lines = {
        (name, batch, target.against, target.memory): (target.line, target.aim)
        for name, suite in SUITES.items()
        for batch, targets in suite.targets.items()
        for target in targets
    }
    assert lines == {
        ("resnet18-infer", 32, "fastest peer", False): (2.0, 2.3),
        ("resnet18-infer", 1, "fastest peer", False): (1.6, 1.8),
        ("resnet18-train", 32, "PyTorch", False): (2.3, 2.6),
        ("resnet18-train", 32, "torch-channels-last", True): (0.63, 0.63),
        ("cifar-train", 128, "PyTorch", False): (2.5, 3.2),
        ("resnet56-train", 128, "PyTorch", False): (2.4, 3.0),
        ("cifar-infer", 256, "fastest peer", False): (1.8, 2.2),
        ("resnet50-infer", 16, "fastest peer", False): (1.3, 1.5),
        ("resnet50-infer", 1, "fastest peer", False): (1.2, 1.4),
        ("resnet50-train", 16, "PyTorch", False): (1.7, 2.0),
        ("mobilenetv2-infer", 8, "onnxruntime", False): (0.8, 1.0),
        ("resnext50-infer", 8, "onnxruntime", False): (0.8, 1.0),
        ("depthwise-train", 8, "PyTorch", False): (1.0, 1.3),
        ("depthwise-train", 32, "PyTorch", False): (1.0, 1.3),
        ("reference-infer", 8, "PyTorch", False): (0.35, 0.35),
    }


def test_the_table_has_our_row_where_it_belongs():
    run = {**summary.summarise(SECONDS, batch=6), "versions": ["A 1", "B 2"], "left_out": ["openvino"]}
    text = report.run({**run, "memory_mib": {}, "verdicts": []})
    assert "batch 6: A 1; B 2" in text
    rows = [line.split() for line in text.splitlines() if line.startswith("  ")]
    assert rows[0] == ["ncnn", "4.00", "4.00", "0.750", "(0.375", "…", "1.500)"]
    assert rows[1] == [OURS, "3.00", "6.00"]
    assert "left out: openvino" in text


def test_memory_is_shown_least_first_and_without_what_the_import_took():
    text = report.memory_table({"torch-nchw": {"peak": 500.4, "imported": 200}, OURS: {"peak": 300, "imported": 50}})
    assert [line.split() for line in text.splitlines()[1:]] == [[OURS, "300", "250"], ["torch-nchw", "500", "300"]]


def test_contenders_must_agree():
    check_agreement({OURS: [[1.0, -2.0]], "ncnn": [[1.001, -2.0]]})
    for wrong in (1.01, float("nan")):
        with pytest.raises(SystemExit, match=r"MiniRes and ncnn disagree: their losses differ by .* of the largest"):
            check_agreement({OURS: [[1.0, -2.0]], "ncnn": [[wrong, -2.0]]}, "losses")


# -- the command line -------------------------------------------------------------------------------------------------


def test_a_suite_brings_its_own_numbers():
    options = compare.parse(["--suite", "resnet18-infer"])
    assert (options.batches, options.size, options.peers) == ((32, 1), 224, SUITES["resnet18-infer"].peers)
    assert options.rounds >= 7
    assert (options.threads, compare.parse(["--suite", "cifar-train", "--threads", "4,1,2"]).threads) == ((), (1, 2, 4))
    options = compare.parse(["--suite", "cifar-train", "--batch", "8", "--peers", "torch", "--size=16", "--json"])
    assert (options.batches, options.size, options.json) == ((8,), 16, True)
    assert options.peers == ("torch-nchw", "torch-channels-last")
    assert compare.parse(["--suite", "resnet18-infer", "--peers", "ncnn,openvino"]).peers == ("openvino", "ncnn")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--suite", "resnet19"],
        ["--rounds", "6"],
        ["--batch", "0"],
        ["--size", "-1"],
        ["--threads", "many"],
        ["--threads", "1,,2"],
        ["--threads", "0,2"],
        ["--threads", "1,2", "--roofline"],
        ["--seconds", "nan"],
        ["--peers", "caffe"],
        ["--peers", ""],
        ["--peers", "ncnn", "--batch", "32"],
        ["--layout", "x"],
        ["--roofline", "--suite", "mobilenetv2-infer"],
        ["--roofline", "--suite", "depthwise-train"],
    ],
)
def test_a_mistake_is_answered_with_one_line(arguments, capsys):
    suite = [] if arguments[0] == "--suite" else ["--suite", "resnet18-infer"]
    with pytest.raises(SystemExit) as caught:
        compare.parse([*suite, *arguments])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert arguments[0] in line


def test_a_suite_must_be_named(capsys):
    with pytest.raises(SystemExit, match="2"):
        compare.parse([])
    assert "--suite" in capsys.readouterr().err


def test_a_peer_that_is_not_installed_is_left_out_with_a_line(monkeypatch, capsys):
    monkeypatch.setitem(CONTENDERS, "openvino", ("open_vino", ("a_library_that_nobody_has",)))
    monkeypatch.setitem(CONTENDERS, "ncnn", ("ncnn_net", ("numpy",)))
    assert compare.installed(["openvino", "ncnn"]) == ("ncnn",)
    (line,) = capsys.readouterr().err.splitlines()
    expected = 'openvino is left out; a_library_that_nobody_has is not installed: pip install "minires[bench]"'
    assert line == expected


# -- workers ----------------------------------------------------------------------------------------------------------

ECHO = """
import sys, time
sys.path.insert(0, sys.argv[1])
from benchmarks.worker import private_stdout, serve
answers = private_stdout()
print("chatter")
serve({"hello": 1}, lambda line: line.upper() if line != "die" else sys.exit("dead"), answers)
"""


@pytest.fixture
def echo():
    root = str(Path(compare.__file__).resolve().parent.parent)
    worker = Worker("echo", [sys.executable, "-c", ECHO, root], threads=1)
    yield worker
    worker.end()


def test_a_worker_greets_and_answers_whatever_else_it_prints(capfd, echo):
    assert echo.greeting == {"hello": 1}
    assert echo.ask("word") == "WORD"
    assert "chatter" in capfd.readouterr().err


def test_a_worker_that_ends_early_ends_the_run(echo):
    with pytest.raises(SystemExit, match="echo ended early; its message is above"):
        echo.ask("die")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads the state of a process from /proc")
def test_a_suspended_worker_does_nothing_until_it_is_woken_and_can_be_ended(echo):
    def state() -> str:
        return Path(f"/proc/{echo.process.pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]

    def becomes(wanted: str) -> bool:
        deadline = time.monotonic() + 10
        while state() != wanted and time.monotonic() < deadline:
            time.sleep(0.01)
        return state() == wanted

    echo.suspend()
    assert becomes("T")
    assert compare.awake(echo, "word") == "WORD"
    assert becomes("T")
    echo.end()
    assert echo.process.returncode == -signal.SIGKILL


def test_rounds_begin_with_another_contender_each_time(monkeypatch):
    class Silent:
        def __init__(self, name: str) -> None:
            self.name = name

        def resume(self) -> None:
            log.append(f"+{self.name}")

        def suspend(self) -> None:
            log.append(f"-{self.name}")

        def ask(self, question: str) -> float:
            log.append(self.name)
            return float(len(log))

    log: list[str] = []
    monkeypatch.setattr(compare, "PAUSE", 0)
    found = compare.take_turns([Silent("a"), Silent("b")], 2)
    assert "".join(log) == "+aa-a+bb-b+bb-b+aa-a"
    assert found == {"a": [2.0, 11.0], "b": [5.0, 8.0]}


def test_a_measurement_is_the_mean_of_calls_after_one_that_is_not_counted():
    calls = []
    assert sustained(lambda: calls.append(time.sleep(0.2 if not calls else 0.01)), 0.05) < 0.1
    assert 2 < len(calls) <= 6
    calls.clear()
    sustained(lambda: calls.append(0), 0)
    assert len(calls) == 2


def test_the_environment_of_workers(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    monkeypatch.setenv("OPENBLAS_L2_SIZE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    found = environment(3)
    assert {found[f"{library}_NUM_THREADS"] for library in ("OMP", "OPENBLAS", "MKL")} == {"3"}
    assert not {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"} & set(found)
    assert found["PATH"] == os.environ["PATH"]


@needs_posix
def test_peak_memory_sees_an_array():
    before = peak_memory()
    array = np.ones(int((before + 64) * (1 << 20)) // 8)  # larger than all there was
    assert peak_memory() >= array.nbytes / (1 << 20)


def test_the_machine_is_described(monkeypatch):
    found = machine.describe()
    assert inspection.processor() in found["machine"]
    assert found["cores"] == inspection.cores() >= 1
    about = {"suite": "cifar-train", "size": 32, "threads": 2, "machine": "M", "load": found["load"], "date": "D"}
    title, line = report.heading(about).splitlines()
    assert title == "CIFAR ResNet-20, a training step, 32×32, float32, 2 threads each"
    assert line == f"M; load before: {about['load']}; D"
    monkeypatch.delattr(os, "getloadavg", raising=False)
    assert "load before: unknown" in report.heading({**about, "load": machine.describe()["load"]})


@needs_posix
def test_a_program_runs_from_the_command_line_to_the_report(monkeypatch, capsys):
    monkeypatch.setattr(compare, "PAUSE", 0)
    arguments = ["--suite", "cifar-train", "--batch=4", "--size=16", "--rounds=7", "--seconds=0", "--peers=torch"]
    monkeypatch.setattr(compare, "installed", lambda peers: ())
    compare.main([*arguments, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["suite"], found["threads"]) == ("cifar-train", inspection.cores())
    assert [run["batch"] for run in found["runs"]] == [4]


def test_the_parent_of_workers_imports_no_numpy():
    """On Linux its peak memory would count as theirs."""
    program = "import sys; sys.path.insert(0, sys.argv[1]); import benchmarks.compare; print('numpy' in sys.modules)"
    root = str(Path(compare.__file__).resolve().parent.parent)
    done = subprocess.run([sys.executable, "-c", program, root], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# -- contenders, each in its process, on tiny images ----------------------------------------------------------------


@needs_posix
def test_a_training_suite_with_nobody_but_us(tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "PAUSE", 0)
    (found,) = compare.compare(job(tmp_path, OURS, "cifar-train", batch=4, size=16), [])
    assert found["images_per_second"][OURS]["median"] > 0
    assert found["memory_mib"][OURS]["peak"] >= found["memory_mib"][OURS]["imported"] > 10
    assert found["left_out"] == ["torch-nchw", "torch-channels-last"]
    assert found["verdicts"] == []  # the targets are for other images
    assert "MiniRes" in report.run(found)


@needs_posix
def test_several_numbers_of_threads_take_turns_and_give_a_table(tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "PAUSE", 0)
    one, two = compare.compare(job(tmp_path, OURS, "cifar-train", batch=2, size=16), [], counts=(1, 2))
    assert (one["threads"], two["threads"]) == (1, 2)
    assert "scaling" not in one
    first, second = two["scaling"][OURS]
    assert (first["threads"], second["threads"]) == (1, 2)
    assert first["speedup"] == {"median": 1.0, "lowest": 1.0, "highest": 1.0}
    assert second["images_per_second"] == two["images_per_second"][OURS]["median"]
    assert "speed-up" in report.run(two)


def test_the_speed_up_of_more_threads():
    serial, parallel = 0.25, 0.75  # of Amdahl's law: the sequential part is found again
    seconds = {n: [k * (serial + parallel / n) for k in (1.0, 3.0, 2.0)] for n in (2, 1, 4)}
    one, two, four = scaling.scale(seconds, batch=8)
    assert (one["threads"], two["threads"], four["threads"]) == (1, 2, 4)
    assert (one["images_per_second"], one["efficiency"], one["sequential"]) == (4.0, 1.0, None)
    assert two["speedup"]["median"] == pytest.approx(1 / 0.625)
    assert four["efficiency"] == pytest.approx(1 / 0.4375 / 4)
    assert [two["sequential"], four["sequential"]] == pytest.approx([0.25, 0.25])
    rows = scaling.table({OURS: [one, two, four]}, 8).splitlines()
    assert rows[-1].split()[:5] == ["4", "9.14", "2.29", "57%", "25.0%"]


@needs_posix
def test_pytorch_makes_the_same_training_steps(torch, tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "PAUSE", 0)
    (found,) = compare.compare(job(tmp_path, OURS, "cifar-train", batch=4, size=16), ["torch-channels-last"])
    assert found["ratios"]["torch-channels-last"]["median"] > 0
    assert any("PyTorch" in version for version in found["versions"])


@needs_posix
@pytest.mark.slow  # 10 s: three processes, two of them with PyTorch or ResNet-18 in them
def test_resnet18_makes_the_same_training_steps(torch, tmp_path):
    found = {}
    for name in ("inputs", OURS, "torch-nchw"):
        found[name] = compare.once(job(tmp_path, name, "resnet18-train", batch=4, size=96))
    check_agreement({name: found[name]["result"] for name in (OURS, "torch-nchw")}, "losses")


def expected_logits(folder: Path, batch: int, size: int) -> list[list[float]]:
    """MiniRes's, in this process, of the shared weights and images; writes them too."""
    inputs.write(folder, "resnet18", batch, size, trained_norms=True)
    shared, model = inputs.read(folder), models.resnet18().eval()
    model.load_state_dict(shared.state)
    with mr.no_grad():
        return model(mr.tensor(shared.images)).tolist()


@needs_posix
@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "ncnn"])
@pytest.mark.parametrize(("batch", "size"), [(2, 64), (1, 47)])
def test_the_networks_built_for_the_peers_compute_what_minires_does(name, batch, size, tmp_path):
    for module in CONTENDERS[name][1]:
        if importlib.util.find_spec(module) is None:  # importing it here would start its threads in this process
            pytest.skip(f"{module} is not installed")
    if not compare.able(name, batch):
        batch = 1
    expected = expected_logits(tmp_path, batch, size)
    check_agreement({OURS: expected, name: compare.once(job(tmp_path, name, batch=batch, size=size))["result"]})


@needs_posix
def test_pytorch_infers_what_minires_does(torch, tmp_path):
    expected = expected_logits(tmp_path, 2, 64)
    check_agreement({OURS: expected, "torch": compare.once(job(tmp_path, "torch-nchw", batch=2, size=64))["result"]})


@needs_posix
def test_the_inference_plan_infers_what_the_network_does(tmp_path):
    expected = expected_logits(tmp_path, 2, 64)
    check_agreement({"network": expected, "plan": compare.once(job(tmp_path, OURS, batch=2, size=64))["result"]})


# -- the networks of the peers ----------------------------------------------------------------------------------------


def test_batch_norms_are_as_trained_in_inference_and_new_in_training(tmp_path):
    inputs.write(tmp_path, "resnet20", 2, 8, trained_norms=True)
    trained = inputs.read(tmp_path)
    assert trained.images.shape == (2, 3, 8, 8)
    assert trained.labels.tolist() == [0, 1]
    for name in ("weight", "bias", "running_mean", "running_var"):
        assert np.ptp(trained.state[f"bn1.{name}"]) > 0.1
    inputs.write(tmp_path, "resnet20", 2, 8, trained_norms=False)
    new = inputs.read(tmp_path)
    assert np.ptp(new.state["bn1.running_mean"]) == 0
    assert np.array_equal(new.state["conv1.weight"], trained.state["conv1.weight"])


def test_folding_a_batch_norm_changes_nothing(tmp_path):
    inputs.write(tmp_path, "resnet18", 1, 32, trained_norms=True)
    state, images, _ = inputs.read(tmp_path)
    model = models.resnet18().eval()
    model.load_state_dict(state)
    x = mr.tensor(images)
    weight, bias = layers.folded(state, "conv1", "bn1")
    with mr.no_grad():
        expected = model.bn1(model.conv1(x)).numpy()
        found = mr.functional.conv2d(x, mr.tensor(weight), mr.tensor(bias), 2, 3).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_the_networks_of_the_family_have_their_parameters():
    assert (
        sum(parameter.numel() for parameter in networks.build("mobilenet_v2").parameters()) == 3_504_872
    )  # torchvision's
    assert networks.build("resnext50_32x4d").layer1[0].conv2.groups == 32


@pytest.mark.parametrize("model", ["mobilenet_v2", "resnext50_32x4d", "resnet20", "resnet56", "resnet50"])
def test_torch_has_the_same_family(torch, tmp_path, model):
    from benchmarks.peers import pytorch

    inputs.write(tmp_path, model, 2, 64, trained_norms=True)
    shared, ours = inputs.read(tmp_path), networks.build(model).eval()
    ours.load_state_dict(shared.state)
    theirs = pytorch.network(model).eval()
    pytorch.torch_resnet.load_arrays(theirs, shared.state)
    with mr.no_grad(), torch.no_grad():
        found, expected = ours(mr.tensor(shared.images)).numpy(), theirs(torch.tensor(shared.images)).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("model", ["mobilenet_v2", "resnext50_32x4d", "resnet20", "resnet50"])
def test_the_layers_of_the_family_in_onnx(tmp_path, model):
    onnx_model = pytest.importorskip("benchmarks.peers.onnx_model", reason="onnx is not installed")
    onnxruntime = pytest.importorskip("onnxruntime")
    inputs.write(tmp_path, model, 2, 64, trained_norms=True)
    shared, ours = inputs.read(tmp_path), networks.build(model).eval()
    ours.load_state_dict(shared.state)
    built = onnx_model.build(layers.network(model, shared.state), shared.images.shape)
    session = onnxruntime.InferenceSession(built.SerializeToString(), providers=["CPUExecutionProvider"])
    with mr.no_grad():
        found = ours(mr.tensor(shared.images)).numpy()
    (expected,) = session.run(None, {"x": shared.images})
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_the_depthwise_convolutions_of_both_contenders(torch, monkeypatch):
    from benchmarks.peers import depthwise, ours, pytorch

    monkeypatch.setattr(depthwise, "SHAPES", ((8, 9, 1), (3, 8, 2)))
    found = depthwise.summary([ours.depthwise_step(layer) for layer in depthwise.layers(2)])
    steps = [pytorch.depthwise_step(layer, torch.channels_last) for layer in depthwise.layers(2)]
    check_agreement({"MiniRes": found, "PyTorch": depthwise.summary(steps)})
    assert np.shape(found) == (2, 3)


def test_a_family_is_its_suites_one_after_the_other(monkeypatch):
    seen = []
    monkeypatch.setattr(compare, "run_suite", seen.append)
    compare.main(["--suite", "family-infer", "--rounds", "8"])
    assert [(options.suite, options.rounds, options.batches) for options in seen] == [
        ("mobilenetv2-infer", 8, (8,)),
        ("resnext50-infer", 8, (8,)),
    ]


def test_ncnns_text_says_what_it_counts_and_gives_each_blob_one_reader(tmp_path):
    inputs.write(tmp_path, "resnet18", 1, 32, trained_norms=True)
    state = inputs.read(tmp_path).state
    description = layers.resnet18(state)
    magic, counts, *lines = ncnn_model.graph(description).splitlines()
    consumed, produced = [], []
    for line in lines:
        _, _, inputs_, outputs, *rest = line.split()
        consumed += rest[: int(inputs_)]
        produced += rest[int(inputs_) : int(inputs_) + int(outputs)]
    assert (magic, counts) == ("7767517", f"{len(lines)} {len(produced)}")
    assert len(set(produced)) == len(produced)
    assert sorted([*consumed, "fc"]) == sorted(produced)
    kinds = [line.split()[0] for line in lines]
    assert {kind: kinds.count(kind) for kind in ("Convolution", "BinaryOp", "ReLU", "Split")} == {
        "Convolution": 20,
        "BinaryOp": 8,
        "ReLU": 8,  # behind the sums; the other nine are in their convolutions
        "Split": 8,
    }
    parameters = sum(array.size for name, array in state.items() if name.endswith(("conv1.weight", "conv2.weight")))
    projections = sum(array.size for name, array in state.items() if "downsample.0.weight" in name)
    biases = sum(layer.bias.size for layer in description if layer.kind == "conv")
    assert len(ncnn_model.weights(description)) == 4 * (parameters + projections + biases + 512_000 + 1_000 + 21)


# -- the roofline -----------------------------------------------------------------------------------------------------


def test_the_stages_add_up_to_the_network():
    network, x, whole = models.resnet18().train(), mr.zeros(1, 3, 224, 224), []
    for module in roofline.stages(network).values():
        work, x = roofline.count(module, x, batch=32)
        whole.append(work)
    assert list(roofline.stages(network)) == ["stem", "maxpool", "layer1", "layer2", "layer3", "layer4", "head"]
    assert sum(work.operations for work in whole) == pytest.approx(32 * 2 * 1.814e9, rel=1e-3)
    assert whole[0].operations == 32 * 2 * 64 * 112**2 * 3 * 49
    assert whole[0].bytes == 4 * (32 * (3 * 224**2 + 64 * 112**2) + 64 * 3 * 49)
    assert whole[1] == (0, 4 * 32 * 64 * (112**2 + 56**2))
    assert x.shape == (1, 1000)
    assert network.layer1.training


def test_the_bound_is_the_larger_of_both_times_and_may_be_passed():
    work = roofline.Work(operations=6e9, bytes=2e9)
    assert work.seconds(peak=3e9, bandwidth=2e9) == 2.0
    assert work.seconds(peak=3e10, bandwidth=2e9) == 1.0
    assert roofline.row(work, 0.5, 3e9, 2e9)["share"] == 4.0


def test_the_roofline_of_a_training_step(tmp_path, monkeypatch):
    inputs.write(tmp_path, "resnet20", 2, 8, trained_norms=False)
    monkeypatch.setattr(machine, "speed", lambda threads: (2e11, 3e10))
    monkeypatch.setattr(mr, "set_num_threads", lambda threads: None)
    found = roofline.measure(job(tmp_path, "roofline", "cifar-train", batch=2, size=8))
    rows = found["stages"]
    assert rows["layer1 both"]["operations"] == 3 * rows["layer1 forward"]["operations"]
    assert rows["stem both"]["operations"] == 2 * rows["stem forward"]["operations"]
    assert rows["whole"]["operations"] == sum(r["operations"] for name, r in rows.items() if name.endswith("both"))
    assert all(row["seconds"] > 0 for row in rows.values())
    text = report.roofline(found)
    assert "matrix product 200 GFLOP/s, copy 30.0 GB/s" in text
    assert text.splitlines()[-1].split()[0] == "whole"


def test_the_roofline_of_inference(tmp_path, monkeypatch):
    inputs.write(tmp_path, "resnet18", 2, 32, trained_norms=True)
    monkeypatch.setattr(machine, "speed", lambda threads: (2e11, 3e10))
    monkeypatch.setattr(mr, "set_num_threads", lambda threads: None)
    rows = roofline.measure(replace(job(tmp_path, "roofline", batch=2), rounds=1))["stages"]
    assert list(rows) == ["stem", "maxpool", "layer1", "layer2", "layer3", "layer4", "head", "whole"]
    assert all(row["seconds"] > 0 for row in rows.values())


def test_the_suite_of_the_first_answer_has_a_program_of_its_own(monkeypatch):
    given = []
    monkeypatch.setattr(compare.first_answer, "main", lambda arguments: given.append(arguments) or 1)
    with pytest.raises(SystemExit) as end:
        compare.main(["--suite", "first-answer", "--rounds", "7"])
    assert given == [["--rounds", "7"]]
    assert end.value.code == 1
