"""Checkpoint files: what goes in comes out, other programs can read the weights, damage is refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minires as mr
from minires import data, manual_seed, nn, optim, training, weights
from minires import functional as F
from minires.core import random
from minires.errors import WeightsError
from minires.training.checkpoint import METADATA
from minires.training.metrics import EpochRecord, Totals
from tests.training.tiny import TinyNet, bits, fitted


def checkpoint(**changes) -> training.Checkpoint:
    manual_seed(3)
    return replace(
        training.Checkpoint(
            model={"fc.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "steps": np.array(7)},
            optimizer={
                "state": [{"step": 4, "m": np.ones((2, 3), np.float32), "v": np.full((2, 3), 2.0)}, {}],
                "param_groups": [{"lr": 0.1, "betas": (0.9, 0.999)}],
            },
            schedule={"t": 3, "best": float("inf")},
            epoch=2,
            step=5,
            totals=Totals(1 / 3, 7, 11, 0.25, 0.1),
            random=random.get_state(),
            history=[EpochRecord(1, 0.1, 50.0, None, None, 0.1, 100.0, 2.0)],
            compatibility={"model": {"class": "Net"}},
            metadata={"classes": ["Samoyed", "Ωmega"], "mean": [0.1]},
        ),
        **changes,
    )


def test_what_goes_in_comes_out(tmp_path):
    saved = checkpoint()
    saved.save(tmp_path / "c.safetensors")
    loaded = training.load_checkpoint(tmp_path / "c.safetensors")
    for name in ("epoch", "step", "totals", "random", "history", "compatibility", "metadata", "schedule"):
        assert getattr(loaded, name) == getattr(saved, name), name
    assert list(loaded.model) == list(saved.model)
    for name, array in saved.model.items():
        assert (loaded.model[name].dtype, loaded.model[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(loaded.model[name], array)
    (first, second), groups = loaded.optimizer["state"], loaded.optimizer["param_groups"]
    assert (first["step"], second, groups) == (4, {}, [{"lr": 0.1, "betas": [0.9, 0.999]}])
    np.testing.assert_array_equal(first["m"], np.ones((2, 3), np.float32))
    assert first["v"].dtype == np.float64
    assert all(array.flags.writeable for array in (*loaded.model.values(), first["m"]))


@given(
    array=hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.int64, np.bool_]),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
        elements=None,
    ),
    transpose=st.booleans(),
)
def test_arrays_of_any_kind_and_layout(tmp_path_factory, array, transpose):
    path = tmp_path_factory.mktemp("any") / "c.safetensors"
    array = array.T if transpose else array
    checkpoint(model={"x": array}, optimizer={"state": [{"v": array}], "param_groups": []}).save(path)
    loaded = training.load_checkpoint(path)
    for found in (loaded.model["x"], loaded.optimizer["state"][0]["v"]):
        assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_random_numbers_go_on_where_they_were(tmp_path):
    checkpoint().save(tmp_path / "c.safetensors")
    manual_seed(3)
    expected = random.default_generator().random(5)
    manual_seed(77)
    random.set_state(training.load_checkpoint(tmp_path / "c.safetensors").random)
    np.testing.assert_array_equal(random.default_generator().random(5), expected)


def test_weights_load_finds_the_model_alone(tmp_path):
    trainer = fitted(tmp_path)
    other = TinyNet()
    other.load_state_dict(weights.load(tmp_path / "last.safetensors"))  # strictly: nothing missing, nothing more
    assert bits(other) == bits(trainer.model)


def test_other_programs_read_it(tmp_path):
    """The safetensors library is the oracle: of the names, and of what the file says in words."""
    import safetensors

    trainer = fitted(tmp_path)
    with safetensors.safe_open(tmp_path / "last.safetensors", framework="numpy") as file:
        names = set(file.keys())
        words = json.loads(file.metadata()[METADATA])
        np.testing.assert_array_equal(file.get_tensor("fc.weight"), trainer.model.fc.weight.numpy())
        velocity = file.get_tensor("minires.training/optimizer/0/velocity")
    np.testing.assert_array_equal(velocity, trainer.optimizer.state[0]["velocity"])
    state = {f"minires.training/optimizer/{number}/velocity" for number in range(7)}
    assert names == set(trainer.model.state_dict()) | state
    assert words["metadata"] == {"model": "tiny"}


def test_pytorch_reads_it(tmp_path, torch):
    from safetensors.torch import load_file

    trainer = fitted(tmp_path)
    arrays = load_file(tmp_path / "best.safetensors")
    expected = training.load_checkpoint(tmp_path / "best.safetensors").model
    assert torch.equal(arrays["conv.weight"], torch.from_numpy(expected["conv.weight"]))
    assert set(trainer.model.state_dict()) <= set(arrays)


def test_metadata_alone(tmp_path):
    checkpoint().save(tmp_path / "c.safetensors")
    assert training.checkpoint_metadata(tmp_path / "c.safetensors") == checkpoint().metadata
    weights.save(tmp_path / "w.safetensors", {"x": np.ones(2)})
    assert training.checkpoint_metadata(tmp_path / "w.safetensors") == {}
    weights.save(tmp_path / "w.npz", {"x": np.ones(2)})
    assert training.checkpoint_metadata(tmp_path / "w.npz") == {}


def test_no_checkpoint(tmp_path):
    with pytest.raises(WeightsError, match=r"cannot load .*nothing\.safetensors: there is no such file"):
        training.load_checkpoint(tmp_path / "nothing.safetensors")
    weights.save(tmp_path / "w.safetensors", {"x": np.ones(2)})
    with pytest.raises(WeightsError, match="a weight file, but no checkpoint of a MiniRes training run"):
        training.load_checkpoint(tmp_path / "w.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(WeightsError, match="no safetensors file, or a damaged one"):
        training.load_checkpoint(tmp_path / "text.safetensors")
    for read in (training.load_checkpoint, training.checkpoint_metadata):
        with pytest.raises(WeightsError, match=f"cannot load {re.escape(str(tmp_path))}"):
            read(tmp_path)
        with pytest.raises(WeightsError, match=f"cannot load {re.escape(str(tmp_path / 'absent'))}"):
            read(tmp_path / "absent")


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 100, -1, -8, -100])
def test_truncated(tmp_path, length):
    path = tmp_path / "c.safetensors"
    checkpoint().save(path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(WeightsError, match=r"cannot load .*c\.safetensors: "):
        training.load_checkpoint(path)
    if 0 <= length < 9:  # then it is no safetensors file at all
        assert training.checkpoint_metadata(path) == {}
    else:
        with pytest.raises(WeightsError, match=r"cannot load .*c\.safetensors: "):
            training.checkpoint_metadata(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda words: "[1, 2",
        lambda words: "[1, 2]",
        lambda words: json.dumps({**words, "version": 2}),
        lambda words: json.dumps({**words, "totals": {"wrong": 1}}),
        lambda words: json.dumps({**words, "history": [1]}),
        lambda words: json.dumps({**words, "epoch": "two"}),
        lambda words: json.dumps({**words, "metadata": None}),
        lambda words: json.dumps({**words, "optimizer": {"state": [], "param_groups": []}}),
        lambda words: json.dumps({key: value for key, value in words.items() if key != "random"}),
    ],
)
def test_damaged_words(tmp_path, damage):
    from safetensors.numpy import save_file

    path = tmp_path / "c.safetensors"
    checkpoint().save(path)
    import safetensors

    with safetensors.safe_open(path, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no dictionary)
        words = json.loads(file.metadata()[METADATA])
    save_file(arrays, path, {METADATA: damage(words)})
    with pytest.raises(WeightsError, match=r"cannot load .*c\.safetensors: (its description|it has version 2)"):
        training.load_checkpoint(path)


def test_damaged_metadata(tmp_path):
    from safetensors.numpy import save_file

    for words in ("[1, 2", "[]", "{}", '{"metadata": 1}'):
        save_file({"x": np.ones(2)}, tmp_path / "c.safetensors", {METADATA: words})
        with pytest.raises(WeightsError, match="its description of the training run is damaged"):
            training.checkpoint_metadata(tmp_path / "c.safetensors")


RECIPE = {"size": 8, "mean": [0.5], "std": [0.5], "resize": None, "padding": 0, "flip": False}


@pytest.mark.parametrize(
    "damage",
    [
        {"model": 5},
        {"in_channels": "3"},
        {"classes": 5},
        {"classes": [1] * 10},
        {"settings": 5},
        {"settings": {"data": 5}},
        {"recipe": {}},
        {"recipe": []},
        {"recipe": {**RECIPE, "colour": 1}},
        {"recipe": {**RECIPE, "mean": ["a"]}},
        {"recipe": {**RECIPE, "mean": [10**400]}},
        {"recipe": {**RECIPE, "size": 10**6}},
        {"recipe": {**RECIPE, "size": "8"}},
        {"recipe": {**RECIPE, "resize": 0}},
        {"recipe": {**RECIPE, "padding": -1}},
    ],
)
def test_metadata_of_the_wrong_type(tmp_path, damage):
    path = tmp_path / "c.safetensors"
    checkpoint(metadata={"recipe": RECIPE}).save(path)
    assert training.checkpoint_metadata(path) == {"recipe": RECIPE}
    checkpoint(metadata=damage).save(path)
    with pytest.raises(
        WeightsError, match=r"cannot load .*c\.safetensors: its description of the training run is damaged"
    ):
        training.checkpoint_metadata(path)


def test_words_that_are_nested_without_end(tmp_path):
    from safetensors.numpy import save_file

    save_file({"x": np.ones(2)}, tmp_path / "c.safetensors", {METADATA: "[" * 200_000})
    for read in (training.checkpoint_metadata, training.load_checkpoint):
        with pytest.raises(WeightsError, match="its description of the training run is damaged"):
            read(tmp_path / "c.safetensors")


def test_a_path_that_no_file_can_have():
    with pytest.raises(WeightsError, match="no file can have this name"):
        training.checkpoint_metadata("a\0.pth")


def test_an_optimisers_steps_go_on(tmp_path):
    """Loaded state is not tied to the checkpoint object: stepping with it leaves that as it was."""
    model = TinyNet()
    optimizer = optim.SGD(model.parameters(), 0.1, momentum=0.9)
    fitted(tmp_path)
    loaded = training.load_checkpoint(tmp_path / "last.safetensors")
    before = loaded.optimizer["state"][0]["velocity"].copy()
    optimizer.load_state_dict(loaded.optimizer)
    model.conv.weight.grad = model.conv.weight.detach()
    optimizer.step()
    np.testing.assert_array_equal(loaded.optimizer["state"][0]["velocity"], before)


def adversaries():
    """Two networks with batch norm, an optimiser for each, and a schedule for the first."""
    manual_seed(0)
    models = nn.ModuleDict({
        "generator": nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)),
        "discriminator": nn.Sequential(nn.Linear(2, 8), nn.LeakyReLU(0.2), nn.Dropout(0.2), nn.Linear(8, 1)),
    })  # fmt: skip
    optimizers = [
        optim.Adam(models["generator"].parameters(), 0.01, betas=(0.5, 0.999)),
        optim.SGD(models["discriminator"].parameters(), 0.05, momentum=0.9),
    ]
    return models, optimizers, optim.Cosine(optimizers[0], total=40)


def play(models, optimizers, schedule, epochs, save=lambda epoch: None):
    """Epochs of a least-squares GAN on points of a circle."""
    points = data.random_split([np.float32([np.cos(a), np.sin(a)]) for a in range(24)], [24])[0]
    loader, (for_g, for_d) = data.Loader(points, 6, shuffle=True, workers=0), optimizers
    generate, judge = models["generator"], models["discriminator"]
    for epoch in epochs:
        for batch in loader.epoch(epoch):
            fake = generate(mr.randn(6, 3))
            for_d.zero_grad()
            loss = F.mse_loss(judge(mr.tensor(batch)), mr.ones(6, 1)) + F.mse_loss(judge(fake.detach()), mr.zeros(6, 1))
            loss.backward()
            for_d.step()
            for_g.zero_grad()
            F.mse_loss(judge(fake), mr.ones(6, 1)).backward()
            for_g.step()
            schedule.step()
        save(epoch + 1)


def test_two_optimisers_are_resumed_bit_for_bit(tmp_path):
    whole, path = adversaries(), tmp_path / "gan.safetensors"
    play(*whole, range(6))

    first = adversaries()
    play(*first, range(2), lambda epoch: training.Checkpoint.of(*first, epoch=epoch, metadata={"z": 3}).save(path))
    models, optimizers, schedule = adversaries()
    manual_seed(99)
    saved = training.load_checkpoint(path)
    saved.load_into(models, optimizers, schedule)
    assert (saved.epoch, saved.metadata) == (2, {"z": 3})
    play(models, optimizers, schedule, range(saved.epoch, 6))
    assert bits(models) == bits(whole[0])
    assert set(weights.load(path)) == set(models.state_dict())


def test_a_checkpoint_for_another_number_of_optimisers_changes_nothing(tmp_path):
    models, optimizers, schedule = adversaries()
    training.Checkpoint.of(models, optimizers, schedule).save(tmp_path / "c.safetensors")
    saved = training.load_checkpoint(tmp_path / "c.safetensors")
    play(models, optimizers, schedule, range(1))
    before = bits(models)
    for wrong, message in (
        ((optimizers[:1], schedule), "has 2 optimisers, and 1 were given"),
        ((optimizers[0], schedule), "has 2 optimisers, and 1 were given"),
        ((optimizers, None), "has 1 schedules, and 0 were given"),
        ((optimizers, [schedule, optim.Constant(optimizers[1])]), "has 1 schedules, and 2 were given"),
    ):
        with pytest.raises(WeightsError, match=message):
            saved.load_into(models, *wrong)
    assert bits(models) == before
