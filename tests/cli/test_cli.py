"""The command line: what each command prints and writes, and one line with exit code 2 for whatever is wrong."""

from __future__ import annotations

import json
import os
import re
import runpy
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minires as mr
from minires import MiniResError, cli, lab, models, weights
from minires.cli import main, shared

COMMANDS = ("demo", "train", "evaluate", "predict", "summary")  # those that compute with a network, on some device
OTHERS = ("launch", "gradcheck", "export", "convert", "info", "bench", "lab", "study", "explore", "docs")


def start(*arguments, **options):
    """`python -m minires` as a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(Path(mr.__file__).parents[1]), **options.pop("env", {})}
    command = [sys.executable, "-m", "minires", *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", env=environment, **options
    )


@pytest.fixture
def fails(capsys):
    """Run a command that must end with exit code 2, nothing on stdout and one line on stderr; returns the line."""

    def run(*arguments):
        assert main([str(argument) for argument in arguments]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("minires: ")
        assert captured.err.endswith("\n")
        assert captured.err.count("\n") == 1
        assert len(captured.err) < cli.MAX_ERROR_LENGTH + 100
        return captured.err

    return run


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A short training run."""
    folder = tmp_path_factory.mktemp("run") / "digits"
    options = ["--epochs", "2", "--batch-size", "64", "--lr", "0.05", "--schedule", "onecycle", "--no-augment"]
    assert main(["train", "--model", "resnet8", "--data", "digits", "--out", str(folder), *options]) == 0
    return folder


@pytest.fixture(scope="module")
def colour_weights(tmp_path_factory):
    """An untrained CIFAR network's weights, as a bare file."""
    path = tmp_path_factory.mktemp("weights") / "resnet8.safetensors"
    mr.manual_seed(0)
    weights.save(path, models.build("resnet8").state_dict())
    return path


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Three images of noise, of different sizes and modes."""
    folder, rng = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for name, shape in (("a.png", (40, 50, 3)), ("b.png", (32, 32)), ("c.jpg", (90, 33, 3))):
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(folder / name)
    return [folder / name for name in ("a.png", "b.png", "c.jpg")]


# -- help -------------------------------------------------------------------------------------------------------------


def test_help_lists_the_commands(capsys):
    assert main(["--help"]) == 0
    listing = capsys.readouterr().out.partition("Commands:")[2]
    assert tuple(re.findall(r"^  (\w+)  +\w", listing, re.MULTILINE)) == (*COMMANDS, *OTHERS)
    assert "..." not in listing  # no description is cut off


def test_no_arguments_show_the_help(capsys):
    assert main([]) == 0
    assert "Commands:" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_an_example_and_a_device(capsys, command):
    assert main([command, "--help"]) == 0
    said = capsys.readouterr().out
    assert f"Example:\n    minires {command} " in said
    assert "--device cpu|cuda" in said


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_name_options_that_exist(capsys, command):
    main([command, "--help"])
    said = capsys.readouterr().out
    options, example = said.split("Example:")
    used = re.findall(r"--[a-z-]+", example)
    assert used == [] or set(used) <= set(re.findall(r"--[a-z-]+", options))


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"minires {mr.__version__}\n"


def test_starting_is_quick_and_loads_nothing_that_is_not_needed():
    """Machines differ and are busy, so the time is compared with that of importing what the command line stands on."""
    # Coverage measures processes below it too, which takes a third longer: here the command alone is timed.
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COV_")}

    def seconds(code: str) -> tuple[float, str]:
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=plain)
        return time.perf_counter() - started, done.stderr

    code = (
        "import sys; from minires.cli import main; main(['--help']); "
        "sys.stderr.write(' '.join({'matplotlib', 'PIL', 'safetensors', 'cupy'} & set(sys.modules)))"
    )
    rounds = [(seconds(code), seconds("import numpy, click, rich.console")) for _ in range(4)]
    assert {command[1] for command, _ in rounds} == {""}
    # 1.4 to 1.8 times measured; the best of each, since something else may have run beside any of them.
    assert min(command for command, _ in rounds)[0] < 3 * min(libraries for _, libraries in rounds)[0]


# -- summary ----------------------------------------------------------------------------------------------------------


def test_summary(capsys):
    assert main(["summary", "resnet18", "--level", "1"]) == 0
    said = capsys.readouterr().out
    assert "11,689,512 parameters, 1.814 ×10⁹ multiply-adds" in said
    assert re.search(r"layer4 .* 512×7×7 .* 8,393,728 .* 411,041,792 .* 435×435", said)
    assert re.search(r"total .* 11,689,512 .* 1,814,073,344", said)


def test_summary_knows_the_image_of_the_small_networks(capsys):
    assert main(["summary", "resnet20"]) == 0
    said = capsys.readouterr().out
    assert "3×32×32" in said
    assert "269,722 parameters, 40.6 ×10⁶ multiply-adds" in said
    assert "…" not in said  # a table that is not on a terminal is as wide as it needs to be


def test_summary_of_another_image_and_classifier(capsys):
    assert main(["summary", "resnet20", "--input", "1x28x28", "--classes", "100", "--level", "0"]) == 0
    said = capsys.readouterr().out
    assert "1×28×28" in said
    assert f"{269_722 - 2 * 16 * 9 + 90 * 65:,} parameters" in said


# -- train, evaluate, predict -----------------------------------------------------------------------------------------


def test_train_leaves_a_run_and_says_where(run_folder, capsys):
    assert {path.name for path in run_folder.iterdir()} == {
        "best.safetensors", "last.safetensors", "log.jsonl", "curves.png"
    }  # fmt: skip
    assert main(["train", "--out", str(run_folder), "--resume"]) == 0
    assert re.search(r"best: epoch \d, [\d.]+ % right: .*best\.safetensors\n$", capsys.readouterr().out)


def test_train_resumes_with_its_settings_and_no_others(run_folder, capsys, fails):
    again = ["train", "--out", run_folder, "--resume", "--model", "resnet8", "--data", "digits", "--lr", "0.05"]
    assert main([str(each) for each in again]) == 0
    capsys.readouterr()
    assert "lr: 0.05 in the checkpoint, 0.1 now" in fails(*again[:-1], "0.1")


def test_a_run_that_cannot_take_its_first_step_leaves_nothing(tmp_path, capsys):
    options = ["--batch-size", "1", "--out", str(tmp_path / "new")]
    assert main(["train", "--model", "resnet50", "--data", "digits", *options]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_says_which_network_is_fine_tuned(run_folder, tmp_path, colour_weights, fails, monkeypatch):
    from minires.training import run

    seen = []

    def train(settings, build, **options):
        seen.append(settings.model)
        raise MiniResError("enough")

    monkeypatch.setattr(run, "train", train)
    again = ("train", "--data", "digits", "--out", tmp_path / "new", "--weights")
    assert "enough" in fails(*again, run_folder / "best.safetensors")
    assert "needs --model" in fails(*again, colour_weights)
    assert "enough" in fails(*again, run_folder / "best.safetensors", "--model", "plain8")
    assert seen == ["resnet8", "plain8"]


def test_nothing_that_a_file_says_reaches_the_terminal_as_a_command(run_folder, photographs, tmp_path, capsys):
    from minires import training

    evil = "\x1b[31mred\x9b1m\r\u202e"
    saved = training.load_checkpoint(run_folder / "best.safetensors")
    saved.metadata = {**saved.metadata, "classes": [f"{evil}{number}\ud800" for number in range(10)]}
    saved.save(tmp_path / "named.safetensors")
    (tmp_path / "images" / "other").mkdir(parents=True)
    Image.open(photographs[0]).save(tmp_path / "images" / "other" / "a.png")
    named = ["--weights", str(tmp_path / "named.safetensors")]
    assert main(["predict", *named, str(photographs[0])]) == 0
    assert main(["predict", "--json", *named, str(photographs[0])]) == 0
    assert main(["evaluate", *named, "--data", str(tmp_path / "images")]) == 2
    saved.model = {**saved.model, evil: saved.model["fc.bias"]}
    saved.save(tmp_path / "entries.safetensors")
    assert main(["predict", "--weights", str(tmp_path / "entries.safetensors"), str(photographs[0])]) == 2
    captured = capsys.readouterr()
    assert "?[31mred?1m" in captured.out
    assert "\\u001b[31mred\\u009b1m" in captured.out
    assert captured.err.count("?[31mred?1m") >= 2
    assert all(character.isprintable() or character == "\n" for character in captured.out + captured.err)


def test_json_is_read_back_as_it_was(capsys):
    value = {"name": "\x9b\u202e\ud800 é 😀 \U000e0001"}
    shared.print_json(value)
    assert json.loads(capsys.readouterr().out) == value


def test_train_does_not_overwrite_a_run(run_folder, fails):
    said = fails("train", "--model", "resnet8", "--data", "digits", "--out", run_folder)
    assert "already holds a run" in said
    assert "--resume" in said


def test_train_hands_every_option_on(monkeypatch, tmp_path):
    from minires.training import EpochRecord, run

    seen = {}

    def train(settings, build, **options):
        seen.update(settings=settings, build=build, **options)
        return [EpochRecord(1, 0.0, 0.0, 0.0, 50.0, 0.0, 0.0, 0.0)]

    monkeypatch.setattr(run, "train", train)
    options = (
        "--model plain20 --data cifar10 --data-dir D --epochs 3 --batch-size 5 --optimizer adamw --lr 0.25 "
        "--weight-decay 0.125 --schedule multistep --milestones 1,2 --warmup-epochs 0.5 "
        "--label-smoothing 0.1 --clip-norm 2 --patience 4 --no-augment --normalize imagenet --seed 7 "
        "--weights w.npz --freeze --workers 0 --checkpoint-seconds 9 --no-download --graph"
    )
    monkeypatch.chdir(tmp_path)
    Path("w.npz").touch()
    assert main(["train", "--out", str(tmp_path), *options.split()]) == 0
    settings = seen.pop("settings")
    assert settings.to_dict() == {
        "model": "plain20", "data": "cifar10", "epochs": 3, "batch_size": 5, "optimizer": "adamw", "lr": 0.25,
        "momentum": 0.9, "weight_decay": 0.125, "schedule": "multistep", "milestones": [1, 2], "warmup_epochs": 0.5,
        "label_smoothing": 0.1, "clip_norm": 2.0, "patience": 4, "augment": False, "image_size": None,
        "normalize": "imagenet", "seed": 7, "weights": "w.npz", "freeze": True,
    }  # fmt: skip
    assert seen == {
        "build": models.build, "out": tmp_path, "data_dir": Path("D"), "resume": False, "device": "cpu", "workers": 0,
        "download": False, "checkpoint_seconds": 9.0, "graph": True, "comm": None,
    }  # fmt: skip
    options = "--model plain20 --data digits --optimizer sgd --momentum 0.5"
    assert main(["train", "--out", str(tmp_path), *options.split()]) == 0
    assert seen["settings"].momentum == 0.5


def test_train_hands_the_later_options_on(monkeypatch, tmp_path):
    from minires.training import EpochRecord, run

    seen = []

    def train(settings, build, **options):
        seen.append(settings)
        return [EpochRecord(1, 0.0, 0.0, 0.0, 50.0, 0.0, 0.0, 0.0)]

    monkeypatch.setattr(run, "train", train)
    usual = ("train", "--model", "resnet8", "--data", "digits", "--out", str(tmp_path))
    options = (
        "--nesterov --no-decay-norms --schedule linear --ema 0.9 --flip alternating --translate 2 --padding reflect "
        "--cutout 4 --whiten --hold-out 10"
    )
    assert main([*usual, *options.split()]) == 0
    assert main([*usual, "--optimizer", "muon", "--sgd-lr", "0.3", "--momentum", "0.6"]) == 0
    first, second = (settings.to_dict() for settings in seen)
    later = {
        "nesterov": True, "decay_norms": False, "ema": 0.9, "flip": "alternating", "translate": 2, "padding": "reflect",
        "cutout": 4, "whiten": True, "hold_out": 10,
    }  # fmt: skip
    assert later.items() <= first.items()
    assert {"optimizer": "muon", "sgd_lr": 0.3, "momentum": 0.6}.items() <= second.items()


@pytest.mark.filterwarnings("default")
def test_milestones_that_are_never_reached_are_warned_of(monkeypatch, tmp_path, capsys):
    from minires.training import EpochRecord, run

    monkeypatch.setattr(run, "train", lambda *_, **__: [EpochRecord(1, 0.0, 0.0, 0.0, 50.0, 0.0, 0.0, 0.0)])
    options = "--model plain20 --data digits --epochs 60 --schedule multistep --milestones 30,60,80"
    assert main(["train", "--out", str(tmp_path), *options.split()]) == 0
    assert capsys.readouterr().err == "minires: warning: milestones [60, 80] are never reached in 60 epochs\n"


@pytest.mark.parametrize(
    ("variable", "says"), [("MINIRES_BACKEND", "no backend 'foo' here"), ("MINIRES_ISA", "MINIRES_ISA=foo: no such")]
)
def test_an_environment_that_asks_for_what_is_not_there_is_one_line(variable, says):
    process = start("summary", "resnet8", env={variable: "foo"})
    out, err = process.communicate()
    assert (process.returncode, out) == (2, "")
    assert err.startswith(f"minires: {says}")
    assert err.count("\n") == 1


def test_evaluate_a_checkpoint_that_knows_itself(run_folder, capsys, tmp_path):
    predictions = tmp_path / "predictions.npy"
    arguments = ["evaluate", "--weights", run_folder / "best.safetensors", "--data", "digits", "--json"]
    assert main([*map(str, arguments), "--predictions", str(predictions)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["model", "n", "correct", "top1", "top5", "loss", "images_per_second"]
    assert (found["model"], found["n"]) == ("resnet8", 359)
    assert found["top1"] == pytest.approx(100 * found["correct"] / 359)
    log = [json.loads(line) for line in (run_folder / "log.jsonl").read_text().splitlines()]
    assert found["top1"] == pytest.approx(max(line["validation_accuracy"] for line in log))
    answers = np.load(predictions)
    assert answers.dtype == np.int64
    assert (answers == mr.data.digits(train=False).labels).sum() == found["correct"]
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.npy"]


def test_evaluate_for_people(run_folder, capsys):
    arguments = ["--model", "resnet8", "--weights", str(run_folder / "last.safetensors"), "--data", "digits"]
    assert main(["evaluate", *arguments]) == 0
    assert re.fullmatch(r"resnet8 on digits: [\d.]+ % right \(\d+ of 359\), .*\n", capsys.readouterr().out)


def test_predict(colour_weights, photographs, capsys, tmp_path):
    logits = tmp_path / "logits.npy"
    arguments = ["predict", "--model", "resnet8", "--weights", colour_weights, *photographs, "--top", "3", "--json"]
    assert main([*map(str, arguments), "--logits", str(logits)]) == 0
    found = json.loads(capsys.readouterr().out)
    scores = np.load(logits)
    assert (scores.dtype, scores.shape) == (np.float32, (3, 10))
    assert [each["image"] for each in found] == [str(path) for path in photographs]
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    for each, row in zip(found, probabilities, strict=True):
        assert [list(guess) for guess in each["classes"]] == [["index", "name", "probability"]] * 3
        assert [guess["index"] for guess in each["classes"]] == np.argsort(-row)[:3].tolist()
        assert [guess["probability"] for guess in each["classes"]] == pytest.approx(np.sort(row)[::-1][:3], rel=1e-5)
        assert all(guess["name"] == mr.data.cifar.CLASSES[guess["index"]] for guess in each["classes"])


def test_predict_for_people(colour_weights, photographs, capsys):
    arguments = ["predict", "--model", "resnet8", "--weights", colour_weights, *photographs[:2], "--top", "99"]
    assert main([str(each) for each in arguments]) == 0
    said = capsys.readouterr().out
    assert said.count(str(photographs[0])) == 1
    assert said.count(str(photographs[1])) == 1
    assert said.count("airplane") == 2
    assert said.count(" % ") == 20


def test_predict_says_which_photographs_it_turned(colour_weights, photographs, tmp_path, capsys):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(photographs[0]) as photograph:
        photograph.save(tmp_path / "turned.png", exif=exif)
    arguments = ["predict", "--model", "resnet8", "--weights", colour_weights, photographs[0], tmp_path / "turned.png"]
    assert main([*map(str, arguments), "--json"]) == 0
    assert [each["orientation"] for each in json.loads(capsys.readouterr().out)] == [1, 6]
    assert main([*map(str, arguments)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("was turned upright") == 1
    assert "turned.png was turned upright, as its EXIF says (orientation 6)" in said


def test_main_module(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["minires", "--version"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("minires", run_name="__main__")
    assert end.value.code == 0
    assert capsys.readouterr().out == f"minires {mr.__version__}\n"


def test_python_m_minires():
    process = start("summary", "resnet8", "--level", "0")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "parameters" in out


# -- demo -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow  # 5 s: trains two networks; tests/demo holds the same function
def test_demo(tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path / "new"), "--depth", "8", "--epochs", "1"]) == 0
    said = capsys.readouterr().out
    assert str(tmp_path / "new" / "report.html") in said.splitlines()[-1]
    assert re.search(r"ResNet-8, with shortcuts: +[\d.]+ % of the held-out digits \(\d+ of 359\)", said)
    assert f"MiniRes {mr.__version__}" in (tmp_path / "new" / "report.html").read_text("utf-8")
    assert (tmp_path / "new" / "explorer.html").read_text("utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.slow  # 5 s: trains two networks; tests/demo holds the same function
def test_demo_fails_where_the_gradients_do(tmp_path):
    with lab.break_engine("overwrite-instead-of-accumulate"):
        assert main(["demo", "--out", str(tmp_path), "--depth", "8", "--epochs", "1"]) == 1
    assert "DIFFERS" in (tmp_path / "report.html").read_text("utf-8")


# -- what can go wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("frobnicate", "No such command 'frobnicate'"),
        ("--frobnicate", "--frobnicate"),
        ("summary", "MODEL"),
        ("summary resnet19", "no model 'resnet19': known are resnet18"),
        ("summary 18", "no model '18'"),
        ("summary resnet18 --input 3x224", "'3x224' is not CHANNELSxHEIGHTxWIDTH, as in 3x224x224"),
        ("summary resnet18 --input cat", "'cat' is not CHANNELSxHEIGHTxWIDTH"),
        ("summary resnet20 --input 0x32x32", "three positive numbers"),
        ("summary resnet20 --classes 0", "--classes"),
        ("summary resnet18 --device tpu", "'tpu' is not cpu, cuda or cuda:N"),
        ("predict --model resnet18 --weights none.pth x.jpg", "cannot load none.pth"),
        ("predict --model resnet18 --weights none.safetensors x.jpg", "cannot load none.safetensors"),
        ("predict --model resnet18 --weights none.pth", "IMAGE"),
        ("predict --model resnet18 x.jpg", "--weights"),
        ("predict --model resnet18 --weights none.pth --top 0 x.jpg", "--top"),
        ("predict --model resnet18 --weights none.pth --logits no/out.npy x.jpg", "folder that exists"),
        ("evaluate --weights none.pth --predictions . --data digits", "name a file"),
        ("evaluate --weights none.pth", "--data"),
        ("train --model resnet8 --data digits", "--out"),
        (
            "train --model resnet8 --data digits --out new --graph",
            "captures the step of a GPU as a CUDA graph: it needs --device cuda",
        ),
        ("train --data digits --out new", "needs --model and --data, or --recipe"),
        ("train --model resnet8 --out new", "needs --model and --data, or --recipe"),
        ("train --model resnet9 --data digits --out new", "no model 'resnet9'"),
        ("train --model resnet8 --data nowhere --out new", "no data set or folder called 'nowhere'"),
        ("train --model resnet8 --data cifar10 --data-dir . --no-download --out new", "cifar-10-binary.tar.gz"),
        ("train --model resnet8 --data digits --epochs 0 --out new", "minires: epochs must be 1 or more, not 0\n"),
        ("train --model resnet8 --data digits --checkpoint-seconds nan --out new", "nan is not 0 seconds or more"),
        ("train --model resnet8 --data digits --checkpoint-seconds -1 --out new", "-1.0 is not 0 seconds or more"),
        (
            "train --model resnet8 --data digits --padding reflect --out new",
            "--padding would change nothing: the images of digits are not shifted (--translate)",
        ),
        ("train --recipe resnet20-fast --weights digits --out new", "resnet20 has no weights 'digits' here"),
        (f"train --model resnet8 --data digits --milestones {'9' * 5000} --out new", "is not a list of epochs"),
        (f"summary resnet8 --input 3x{'9' * 5000}x9", "is not CHANNELSxHEIGHTxWIDTH"),
        ("evaluate --weights= --data digits", "name a weight file"),
        ("train --weights= --data digits --out new", "name a weight file"),
        ("train --model resnet8 --data digits --epochs some --out new", "--epochs"),
        ("train --model resnet8 --data digits --lr -1 --out new", "lr must be above 0"),
        ("train --model resnet8 --data digits --schedule steep --out new", "onecycle"),
        ("train --model resnet8 --data digits --schedule multistep --milestones 1;2 --out new", "30,60,80"),
        ("train --model resnet8 --data digits --lr inf --out new", "lr must be above 0 and finite, not inf"),
        (
            "train --model resnet8 --data digits --weight-decay inf --out new",
            "weight_decay must be 0 or more and fini",
        ),
        (
            "train --model resnet8 --data digits --optimizer adam --momentum 0.5 --out new",
            "--momentum would change nothing: it is the momentum of sgd and muon, and --optimizer is adam",
        ),
        (
            "train --model resnet8 --data digits --augment --out new",
            "--augment would change nothing: the images",
        ),
        (
            "train --model resnet8 --data digits --data-dir none --out new",
            "--data-dir would change nothing: the digits",
        ),
        ("train --model resnet8 --data . --data-dir none --out new", "--data-dir would change nothing: --data . is a"),
        ("evaluate --weights none.pth --data digits --data-dir none", "--data-dir would change nothing: the digits"),
        ("gradcheck --op relu --classes 5", "--classes would change nothing: it is for a network"),
        ("gradcheck --all-ops --batch 5 --input 1x2x3", "--input, --batch would change nothing: it is for a network"),
        (
            "gradcheck --op relu --provider cpu --dtype float64",
            "--dtype would change nothing: --provider checks float32 gradients",
        ),
        ("train --out new --resume", "no run to resume in new"),
        ("demo --depth 9", "6n + 2"),
        ("demo --epochs 0", "epochs of 1 or more"),
    ],
)
def test_bad_arguments(fails, monkeypatch, tmp_path, arguments, says):
    monkeypatch.chdir(tmp_path)
    assert says in fails(*arguments.split())
    assert list(tmp_path.iterdir()) == []  # nothing half-written, not even an empty folder


@pytest.mark.parametrize(
    "command", ["demo", "summary resnet8", "predict --weights w i", "evaluate --weights w --data d"]
)
def test_a_gpu_that_is_not_there(fails, monkeypatch, command):
    monkeypatch.setattr("minires.backend.cuda.device._probe", lambda: (None, "CuPy finds no GPU"))
    assert "device 'cuda' cannot be used: CuPy finds no GPU" in fails(*command.split(), "--device", "cuda")


def test_a_damaged_image(fails, colour_weights, photographs, tmp_path):
    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes(photographs[2].read_bytes()[:200])
    said = fails("predict", "--model", "resnet8", "--weights", colour_weights, photographs[0], damaged)
    assert "damaged.jpg cannot be read as an image" in said


def test_an_image_that_is_not_there(fails, colour_weights):
    said = fails("predict", "--model", "resnet8", "--weights", colour_weights, "nowhere.jpg")
    assert "nowhere.jpg: there is no such image" in said


def test_nothing_is_saved_of_a_prediction_that_failed(fails, colour_weights, photographs, tmp_path):
    out = tmp_path / "out.npy"
    fails("predict", "--model", "resnet8", "--weights", colour_weights, photographs[0], "no.jpg", "--logits", out)
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_network_in_one_line_that_is_not_endless(fails, colour_weights, photographs):
    said = fails("predict", "--model", "resnet18", "--weights", colour_weights, photographs[0])
    assert "resnet8.safetensors as resnet18: these weights do not fit" in said
    assert "…" in said
    assert said.endswith("another number of classes?\n")


def test_a_checkpoint_of_the_plain_twin_is_not_taken_for_the_residual_network(fails, run_folder):
    said = fails("evaluate", "--model", "plain8", "--weights", run_folder / "best.safetensors", "--data", "digits")
    assert "is a checkpoint of resnet8, not of plain8" in said


def test_weights_that_do_not_say_what_they_are_of(fails, colour_weights, photographs):
    assert "name it with --model" in fails("predict", "--weights", colour_weights, photographs[0])


def test_an_unknown_normalisation(fails, colour_weights, photographs):
    said = fails("predict", "--model", "resnet8", "--weights", colour_weights, "--normalize", "x", photographs[0])
    assert "no normalisation is called 'x'; known are imagenet" in said


def test_channels_that_do_not_fit(fails, colour_weights):
    said = fails("evaluate", "--model", "resnet8", "--weights", colour_weights, "--data", "digits")
    assert "the images of 'digits' have 1 channel(s), resnet8 with these weights reads 3" in said


def test_a_failed_command_says_more_when_asked(monkeypatch):
    monkeypatch.setenv("MINIRES_DEBUG", "1")
    with pytest.raises(MiniResError, match="needs --model and --data, or --recipe"):
        main(["train", "--out", "new"])


def test_an_error_of_our_own_is_not_hidden(monkeypatch):
    def broken(*arguments, **options):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(models, "build", broken)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        main(["summary", "resnet8"])


def test_too_little_memory(monkeypatch, fails):
    def greedy(*arguments, **options):
        raise MemoryError("Unable to allocate 9 TiB")

    monkeypatch.setattr(models, "build", greedy)
    assert "not enough memory (Unable to allocate 9 TiB)" in fails("summary", "resnet8")


@pytest.mark.slow  # 3 s: a process that trains
@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_and_sigterm_save_a_run_and_say_how_to_go_on(tmp_path, number, code):
    out = tmp_path / "run"
    arguments = ["train", "--model", "resnet8", "--data", "digits", "--epochs", "500", "--out", out]
    process = start(*arguments, env={"OMP_NUM_THREADS": "1"})
    for line in process.stdout:  # the table: its first epoch is over
        if re.match(r" *1/500 ", line):
            break
    process.send_signal(number)
    sent = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert time.monotonic() - sent < 5 or number == signal.SIGINT
    assert err.startswith("minires: stopped at epoch ")
    assert err.count("\n") == 1
    assert "--resume" in err
    assert (out / "last.safetensors").exists()


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
@pytest.mark.parametrize("command", [["summary", "resnet110"], ["train", "--help"]])
def test_a_reader_that_leaves_is_no_error(command):
    with start(*command) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


# -- published weights on real images ---------------------------------------------------------------------------------


def test_the_published_resnet18_knows_its_photographs(data_root, capsys):
    images = sorted((data_root / "images").glob("imagenet_*_*.jpg"))
    checkpoint = data_root / "weights" / "resnet18_imagenet.pth"
    arguments = ["predict", "--model", "resnet18", "--weights", checkpoint, "--json", data_root / "images" / "dog.jpg"]
    assert main([str(each) for each in (*arguments, *images)]) == 0
    dog, *found = json.loads(capsys.readouterr().out)
    best = dog["classes"][0]
    assert (best["index"], best["name"]) == (258, "Samoyed")
    assert best["probability"] == pytest.approx(0.954, abs=0.002)
    labels = [int(path.stem.rpartition("_")[2]) for path in images]
    answers = [[guess["index"] for guess in each["classes"]] for each in found]
    assert len(labels) == 20
    assert sum(label == first for label, (first, *_) in zip(labels, answers, strict=True)) == 18
    assert sum(label in five for label, five in zip(labels, answers, strict=True)) == 19


def test_the_published_resnet20_knows_its_pictures(data_root, capsys):
    images = sorted((data_root / "images").glob("cifar10_*_*.png"))
    checkpoint = data_root / "weights" / "resnet20-12fca82f.th"
    arguments = ["--weights", checkpoint, "--normalize", "imagenet", "--top", "1", "--json", *images]
    assert main(["predict", "--model", "resnet20", *map(str, arguments)]) == 0
    found = json.loads(capsys.readouterr().out)
    labels = [int(path.stem.rpartition("_")[2]) for path in images]
    assert sum(each["classes"][0]["index"] == label for each, label in zip(found, labels, strict=True)) >= 19


@pytest.mark.slow  # ten thousand images through the reference kernels: a minute or two
def test_the_published_resnet20_scores_what_pytorch_measures(data_root, capsys, tmp_path):
    predictions, checkpoint = tmp_path / "out.npy", data_root / "weights" / "resnet20-12fca82f.th"
    arguments = ["--weights", checkpoint, "--data", "cifar10", "--data-dir", data_root, "--predictions", predictions]
    assert main(["evaluate", "--model", "resnet20", "--normalize", "imagenet", "--json", *map(str, arguments)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["n"] == 10_000
    exact = np.ones(10_000, bool)
    exact[np.load(data_root / "cifar-10-batches-bin" / "test_not_exact.npy")] = False
    right = np.load(predictions) == mr.data.load("cifar10", data_root, train=False).labels
    assert right.sum() == found["correct"]
    assert exact.sum() == 9_980
    assert abs(int(right[exact].sum()) - 9_155) <= 2


# -- docs -------------------------------------------------------------------------------------------------------------


def test_the_documentation_is_listed_and_printed(capsys, fails):
    assert main(["docs"]) == 0
    listed = capsys.readouterr().out
    assert re.search(r"^gradcheck +Gradient checks", listed, re.MULTILINE)
    assert re.search(r"^lab/\w+ ", listed, re.MULTILINE)
    assert main(["docs", "pooling"]) == 0
    page = Path(mr.__file__).parents[1] / "docs" / "pooling.md"
    assert capsys.readouterr().out == page.read_text("utf-8") + "\n"
    assert "no page is called 'x'; there are architecture, " in fails("docs", "x")
    assert "python -m minires docs" in mr.__doc__


# -- standard output that is not UTF-8, full, or closed ----------------------------------------------------------------


def in_ascii(*arguments, **options):
    with start(*arguments, env={"PYTHONIOENCODING": "ascii", "FORCE_COLOR": "1"}, **options) as process:
        out, err = process.communicate(timeout=120)
    assert out.isascii()
    return process.returncode, out, err


def test_json_is_valid_in_ascii(tmp_path, run_folder):
    photo = tmp_path / "Café ×.png"
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(photo)
    code, out, err = in_ascii("predict", "--weights", run_folder / "best.safetensors", "--json", photo)
    assert (code, err) == (0, "")
    assert json.loads(out)[0]["image"] == str(photo)


@pytest.mark.slow  # 4 s: processes that train
def test_training_and_prediction_in_ascii(tmp_path, run_folder):
    photo = tmp_path / "Café ×.png"
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(photo)
    code, out, err = in_ascii("predict", "--weights", run_folder / "best.safetensors", photo)
    assert (code, err) == (0, "")
    assert "Cafe x.png" in out
    code, out, err = in_ascii(
        "train", "--model", "resnet8", "--data", "digits", "--epochs", "1", "--out", tmp_path / "é"
    )
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    assert "e/best.safetensors" in out.replace("\n", "")
    code, out, err = in_ascii("demo", "--depth", "8", "--epochs", "1", "--out", tmp_path / "demo")
    assert (code, err) == (0, "")
    assert "|dL/dW| before training" in out
    assert not re.search(r"\x1b\[\??\d*[A-HJKfhl]", out)  # colours, but no cursor movements


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full on this system")
def test_a_full_disk_under_standard_output_is_one_line():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "minires", "--help"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 2
    assert re.fullmatch(r"minires: .*No space left on device\n", done.stderr)  # of the command, or at the last flush


def test_a_warning_is_one_line_without_the_place_in_the_code(tmp_path, run_folder, capsys):
    arrays = dict(weights.load(run_folder / "best.safetensors"))
    np.savez(tmp_path / "w.npz", **arrays, note=np.array("text"))
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "x.png")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        main(["predict", "--model", "resnet8", "--weights", str(tmp_path / "w.npz"), str(tmp_path / "x.png")])
    said = capsys.readouterr().err.splitlines()[0]
    assert said.startswith(f"minires: warning: {tmp_path / 'w.npz'}: the weights were read; not read, ")
    assert said.endswith("'note' (dtype <U4)")


def test_the_command_without_its_libraries_names_the_extra(monkeypatch, capsys):
    from minires import __main__

    monkeypatch.setitem(sys.modules, "click", None)
    assert __main__.main() == 2
    expected = 'minires: the command line needs click, which is not installed: pip install "minires[cli]"'
    assert capsys.readouterr().err == f'{expected} (or "minires[all]")\n'


def test_a_run_without_matplotlib_says_so_before_it_trains(monkeypatch, fails, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    said = fails("train", "--model", "resnet8", "--data", "digits", "--out", tmp_path / "run")
    assert 'needs matplotlib, which is not installed: pip install "minires[train]"' in said
    assert not (tmp_path / "run").exists()
    assert 'pip install "minires[train]"' in fails("demo", "--out", tmp_path / "demo")


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_long_message_loses_its_middle_and_no_other_does(monkeypatch, capsys, more):
    monkeypatch.delenv("MINIRES_DEBUG", raising=False)
    message = "a" * (cli.MAX_ERROR_LENGTH - 100) + "z" * (100 + more)
    assert cli._fail(message, 3) == 3
    shown = capsys.readouterr().err
    if more <= 0:
        assert shown == f"minires: {message}\n"
    else:
        assert shown == f"minires: {'a' * 400} … {'a' * 99}{'z' * 101}\n"
