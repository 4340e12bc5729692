"""Ranks that MPI joins compute what one process computes."""

from __future__ import annotations

import numpy as np
import pytest

STEPS = 20


def steps(run, folder, ranks, network="resnet20", dtype="float64", count=STEPS, *options):
    """Everything that a run of some steps computed: losses, all gradients, and the state at its end."""
    out = folder / f"{network}-{dtype}-{ranks}-{'-'.join(options)}-{len(list(folder.iterdir()))}.npz"
    run(ranks, "-m", "tests.distributed.steps", out, network, dtype, count, 13, *options)
    with np.load(out) as found:
        return dict(found)


def worst(one, other):
    """The largest difference of two runs, relative to the largest number of each array."""
    assert one.keys() == other.keys()
    pairs = [(one[name], other[name]) for name in one if one[name].size]
    return max(float(np.abs(a - b).max()) / max(float(np.abs(a).max()), 1e-300) for a, b in pairs)


def test_two_ranks_compute_what_one_process_does(run, tmp_path):
    one, two = (steps(run, tmp_path, ranks, "resnet8", "float64", 4) for ranks in (1, 2))
    assert worst(one, two) < 1e-10


@pytest.mark.slow  # five runs of 20 steps
def test_resnet20_in_float64_on_two_three_and_four_ranks(run, tmp_path):
    one = steps(run, tmp_path, 1)
    for ranks in (2, 3, 4):
        assert worst(one, steps(run, tmp_path, ranks)) < 1e-10, ranks


@pytest.mark.slow  # ResNet-14 with bottlenecks, two runs of 20 steps
def test_a_bottleneck_network_in_float64_on_three_ranks(run, tmp_path):
    assert worst(*(steps(run, tmp_path, ranks, "bottleneck") for ranks in (1, 3))) < 1e-10


@pytest.mark.slow  # two runs of one step, two of 20
def test_float32_agrees_within_rounding_and_repeats_to_the_bit(run, tmp_path):
    """What is continuous is compared: rounding may turn a ReLU's input from −ε to ε, and its gradient from 0 to g."""
    one, three = (steps(run, tmp_path, ranks, "resnet20", "float32", 1) for ranks in (1, 3))
    continuous = [name for name in one if name == "losses" or "running" in name or name.startswith("gradient/1/fc")]
    assert worst({name: one[name] for name in continuous}, {name: three[name] for name in continuous}) < 1e-4
    two, again = (steps(run, tmp_path, 3, "resnet20", "float32") for _ in range(2))
    assert all((two[name] == again[name]).all() for name in two)


@pytest.mark.slow  # two runs of 20 steps
def test_bfloat16_gradients_learn_alike(run, tmp_path):
    exact, rounded = (steps(run, tmp_path, 2, "resnet20", "float32", STEPS, "sync", each) for each in ("", "bfloat16"))
    first = [name for name in exact if name.startswith("gradient/1/")]
    error = worst({name: exact[name] for name in first}, {name: rounded[name] for name in first})
    assert 1e-4 < error < 2e-2  # it was rounded, and no more
    assert abs(exact["losses"][:5] - rounded["losses"][:5]).max() < 0.1


def test_trained_by_the_command_line_and_resumed_by_another_number_of_ranks(run, tmp_path):
    command = ("-m", "minires", "train", "--model", "resnet8", "--data", "digits", "--batch-size", "300")
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    options = ("--workers", "0", "--schedule", "constant", "--lr", "0.02")
    run(1, *command, *options, "--epochs", "2", "--out", whole)
    first = run(2, *command, *options, "--epochs", "1", "--out", parted, "--distributed")
    assert "2 ranks; rank " in first.stdout
    assert first.stdout.count("best: epoch") == 1  # rank 0 alone writes
    run(3, *command, *options, "--epochs", "2", "--out", parted, "--distributed", "--resume")
    from minires.training import load_checkpoint

    one, other = (load_checkpoint(folder / "last.safetensors") for folder in (whole, parted))
    assert one.compatibility == other.compatibility
    assert one.history[-1].validation_loss == pytest.approx(other.history[-1].validation_loss, rel=0.05)
    assert [record.epoch for record in other.history] == [1, 2]


def test_several_processes_without_the_option_are_refused(run, tmp_path):
    done = run(2, "-m", "minires", "train", "--model", "resnet8", "--data", "digits", "--out", tmp_path, check=False)
    assert done.returncode == 2
    assert "give --distributed" in done.stderr


def test_the_option_without_several_processes_is_refused(run, tmp_path):
    command = ("-m", "minires", "train", "--model", "resnet8", "--data", "digits", "--out", tmp_path)
    done = run(1, *command, "--distributed", check=False)
    assert (done.returncode, "mpiexec -n 4" in done.stderr) == (2, True)
    done = run(1, *command, "--batch-norm", "local", check=False)
    assert (done.returncode, "--batch-norm would change nothing" in done.stderr) == (2, True)


@pytest.mark.slow  # three processes and then two
def test_the_example_says_the_same_with_a_trainer_and_by_hand(run):
    trainer = run(3, "examples/distributed.py", "--epochs", "1")
    by_hand = run(2, "examples/distributed.py", "--epochs", "1", "--by-hand")
    assert "3 ranks: " in trainer.stdout
    assert "2 ranks: " in by_hand.stdout
    right = [int(each.stdout.split(" ranks: ")[1].split(" of ")[0]) for each in (trainer, by_hand)]
    assert abs(right[0] - right[1]) <= 5
