"""The whole of `minires train`, but for the command line."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from minires import data, models, training, weights
from minires.errors import DataError, MiniResError
from minires.training import Preprocessing, TrainSettings, run

SMALL = TrainSettings("resnet8", "digits", epochs=1, batch_size=64, lr=0.05, seed=3)


@pytest.fixture(scope="module", autouse=True)
def _few_digits():
    """A sixth of the digits will do."""
    whole = data.digits
    few = {train: whole(train).subset(range(0, len(whole(train)), 6)) for train in (True, False)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(data.catalogue.PUBLISHED, "digits", lambda root, train, download: few[train])
        yield


def train(settings, out, **options):
    return run.train(settings, models.build, out=out, **{"progress": False, "workers": 0, **options})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "run"
    train(replace(SMALL, epochs=2), out)
    return out


def test_the_checkpoint_says_all_that_is_needed_to_use_the_network(trained):
    facts = training.checkpoint_metadata(trained / "best.safetensors")
    assert (facts["model"], facts["in_channels"], facts["classes"]) == ("resnet8", 1, list("0123456789"))
    preprocessing = Preprocessing.from_dict(facts["recipe"])
    model = models.build(facts["model"], num_classes=len(facts["classes"]), in_channels=facts["in_channels"])
    model.load_state_dict(weights.load(trained / "best.safetensors"))
    held_out = data.Loader(data.load("digits", train=False), 64, transform=preprocessing.evaluation(), workers=0)
    history = training.load_checkpoint(trained / "last.safetensors").history
    assert training.evaluate(model, held_out).top1 == max(record.validation_accuracy for record in history)
    assert TrainSettings.from_dict(facts["settings"]) == run.stored_settings(trained) == replace(SMALL, epochs=2)


def test_the_same_seed_gives_the_same_weights_whatever_the_workers(tmp_path):
    def weights_of(name, settings, **options):
        train(settings, tmp_path / name, **options)
        return {k: v.tobytes() for k, v in weights.load(tmp_path / name / "last.safetensors").items()}

    first = weights_of("first", SMALL)
    assert weights_of("again", SMALL, workers=2) == first
    assert weights_of("other", replace(SMALL, seed=4)) != first


def test_resume_needs_the_same_settings(trained):
    settings = replace(SMALL, epochs=2)
    assert len(train(settings, trained, resume=True)) == 2
    with pytest.raises(MiniResError, match=r"lr: 0\.05 in the checkpoint, 0\.1 now; seed: 3 in the checkpoint, 5 now"):
        train(replace(settings, lr=0.1, seed=5), trained, resume=True)
    with pytest.raises(MiniResError, match="already holds a run"):
        train(settings, trained)


@pytest.mark.parametrize(
    "schedule",
    [{"schedule": "constant"}, {"schedule": "multistep", "milestones": (1,)}, {"schedule": "plateau"}],
    ids=lambda schedule: schedule["schedule"],
)
def test_a_longer_run_goes_on_where_the_schedule_does_not_depend_on_its_length(tmp_path, schedule):
    """To the same weights as a run that was as long from the start."""
    short = replace(SMALL, **schedule)
    whole = train(replace(short, epochs=2), tmp_path / "whole")
    train(short, tmp_path / "run")
    history = train(replace(short, epochs=2), tmp_path / "run", resume=True)
    assert [record.learning_rate for record in history] == [record.learning_rate for record in whole]
    found, expected = (weights.load(tmp_path / name / "last.safetensors") for name in ("run", "whole"))
    assert {k: v.tobytes() for k, v in found.items()} == {k: v.tobytes() for k, v in expected.items()}
    assert run.stored_settings(tmp_path / "run").epochs == 2
    with pytest.raises(MiniResError, match="epochs: 2 in the checkpoint, 1 now"):
        train(short, tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("schedule", "why"),
    [
        ("cosine", "its cosine schedule falls to 0 at the end of its 1 epochs"),
        ("onecycle", "its onecycle schedule falls to almost 0"),
        ("multistep", "its multistep schedule has its milestones at half and three quarters of its 1 epochs"),
    ],
)
def test_a_longer_run_is_refused_where_its_schedule_would_have_been_another(tmp_path, schedule, why):
    settings = replace(SMALL, schedule=schedule)
    train(settings, tmp_path / "run")
    before = (tmp_path / "run" / "last.safetensors").read_bytes()
    with pytest.raises(MiniResError, match=f"cannot go on to epoch 3: {why}") as refused:
        train(replace(settings, epochs=3), tmp_path / "run", resume=True)
    assert "--weights" in str(refused.value)
    assert (tmp_path / "run" / "last.safetensors").read_bytes() == before


def test_resuming_nothing_says_so_before_anything_is_loaded(tmp_path):
    with pytest.raises(MiniResError, match="there is no run to resume"):
        train(replace(SMALL, data="/nowhere"), tmp_path / "none", resume=True)
    with pytest.raises(MiniResError, match="there is no run to resume"):
        run.stored_settings(tmp_path)


def test_a_run_of_another_program_has_no_settings(tmp_path):
    from tests.training.tiny import make

    make(tmp_path, epochs=1).fit()
    with pytest.raises(MiniResError, match="was not written by `minires train`"):
        run.stored_settings(tmp_path)


def test_unknown_data_leaves_no_folder(tmp_path):
    with pytest.raises(DataError, match="no data set or folder called"):
        train(replace(SMALL, data="nothing"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def picture_folder(root, size=40, each=6):
    """Two classes: dark and bright noise."""
    rng = np.random.default_rng(0)
    for name, low in (("dark", 0), ("light", 128)):
        (root / name).mkdir(parents=True)
        for number in range(each):
            pixels = rng.integers(low, low + 128, (size, size + number, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def test_a_folder_of_images(tmp_path):
    folder = picture_folder(tmp_path / "pictures")
    settings = TrainSettings("resnet8", str(folder), epochs=1, batch_size=4, image_size=32)
    (record,) = train(settings, tmp_path / "run")
    assert record.validation_accuracy is not None
    facts = training.checkpoint_metadata(tmp_path / "run" / "last.safetensors")
    assert (facts["classes"], facts["in_channels"], facts["recipe"]["size"]) == (["dark", "light"], 3, 32)


def test_fine_tuning(tmp_path):
    """From a network of two classes of pictures to three: the body comes along, frozen; the classifier is new."""
    first = TrainSettings("resnet8", str(picture_folder(tmp_path / "a")), epochs=1, batch_size=4, image_size=16)
    first = replace(first, normalize="cifar10")
    train(first, tmp_path / "one")
    source = tmp_path / "one" / "last.safetensors"
    folder = picture_folder(tmp_path / "b")
    picture_folder(tmp_path / "c")
    (tmp_path / "c" / "dark").rename(folder / "third")
    settings = replace(first, data=str(folder), normalize=None, weights=str(source), freeze=True)
    train(settings, tmp_path / "two")
    before, after = weights.load(source), weights.load(tmp_path / "two" / "last.safetensors")
    assert after["fc.weight"].shape == (3, 64)
    assert all(np.array_equal(before[name], after[name]) for name in before if not name.startswith("fc."))
    facts = training.checkpoint_metadata(tmp_path / "two" / "last.safetensors")
    assert facts["recipe"]["mean"] == training.checkpoint_metadata(source)["recipe"]["mean"]
    source.unlink()  # a resumed run has its weights, and needs the file no more
    assert len(train(settings, tmp_path / "two", resume=True)) == 1
    unfrozen = replace(settings, weights=str(tmp_path / "two" / "last.safetensors"), freeze=False)
    train(unfrozen, tmp_path / "three")
    moved = weights.load(tmp_path / "three" / "last.safetensors")
    assert not np.array_equal(moved["conv1.weight"], after["conv1.weight"])


def test_a_last_batch_of_one_image_is_dropped():
    dataset = data.digits()
    for images, dropped in ((65, True), (64, False), (66, False), (1, False)):
        part = dataset.subset(range(images))
        loader, validation = run.make_loaders(SMALL, training.preprocessing.PREPROCESSINGS["digits"], part, part)
        assert loader.drop_last == dropped
        assert not validation.drop_last


@pytest.mark.slow  # a quarter of a minute of training
def test_the_digits_are_learned(tmp_path, monkeypatch):
    monkeypatch.setitem(data.catalogue.PUBLISHED, "digits", lambda root, train, download: data.digits(train))
    settings = replace(SMALL, epochs=10, schedule="onecycle", lr=0.1)
    history = train(settings, tmp_path / "run")
    assert history[-1].validation_accuracy > 97


def test_augmentation_is_the_usual_one_unless_the_settings_say_otherwise():
    usual = training.preprocessing.PREPROCESSINGS["cifar10"]
    settings = replace(SMALL, data="cifar10")
    assert run.make_augmentation(settings, usual) == data.Augmentation("random", translate=4)
    assert run.make_augmentation(replace(settings, augment=False), usual) == data.Augmentation()
    other = replace(settings, flip="alternating", translate=0, padding="reflect", cutout=8)
    assert run.make_augmentation(other, usual) == data.Augmentation("alternating", 0, "reflect", 8)
    digits = training.preprocessing.PREPROCESSINGS["digits"]
    assert run.make_augmentation(SMALL, digits) == data.Augmentation()


def test_photographs_are_not_augmented_batch_by_batch(tmp_path):
    for part in ("train", "val"):
        for label in "ab":
            (tmp_path / part / label).mkdir(parents=True)
            for number in range(2):
                Image.new("RGB", (40, 30), number * 80).save(tmp_path / part / label / f"{number}.png")
    settings = replace(SMALL, data=str(tmp_path), image_size=16)
    with pytest.raises(MiniResError, match="flip, translate, padding and cutout are for images in memory"):
        train(replace(settings, flip="alternating"), tmp_path / "run")
    with pytest.raises(MiniResError, match="whiten needs images in memory"):
        train(replace(settings, whiten=True), tmp_path / "run")


def test_another_augmentation_is_another_run(tmp_path):
    train(replace(SMALL, translate=1), tmp_path / "run")
    with pytest.raises(MiniResError, match="translate: 1 in the checkpoint, 2 now"):
        train(replace(SMALL, translate=2), tmp_path / "run", resume=True)


def test_a_whitened_first_layer_stays_as_it_was_set(tmp_path):
    train(replace(SMALL, whiten=True), tmp_path / "run")
    first = weights.load(tmp_path / "run" / "last.safetensors")["conv1.weight"]
    np.testing.assert_array_equal(first[8:], -first[:8])
    train(replace(SMALL, whiten=True, epochs=1), tmp_path / "run", resume=True)
