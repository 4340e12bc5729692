"""A trained network meets images as it met them in training, and calls their classes by the right names."""

from __future__ import annotations

import copy
import dataclasses
import io
import pickle
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

import minires as mr
from minires import MiniResError, data, inference, models, training, weights
from minires.data.transforms import CenterCrop, Normalize, Resize
from minires.errors import DataError, WeightsError
from minires.inference import classifier, reading
from minires.inference.classifier import Prediction
from minires.training import TrainSettings
from minires.training.run import train
from tests.weights.crafting import dictionary, tensor, written, zip_bytes

CLASSES = ("dark", "light", "striped")


def picture(kind, rng, size=(36, 40)):
    """An RGB image of noise around a brightness, or with stripes."""
    level = {"dark": 50, "light": 200}.get(kind, 120)
    pixels = rng.normal(level, 20, (*size, 3))
    if kind == "striped":
        pixels[::4] += 100
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ten images of each of three classes, not divided into training and validation."""
    root, rng = tmp_path_factory.mktemp("images") / "kinds", np.random.default_rng(0)
    for kind in CLASSES:
        (root / kind).mkdir(parents=True)
        for number in range(10):
            picture(kind, rng).save(root / kind / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def checkpoint(folder, tmp_path_factory):
    """A network that learned those classes at 32×32 pixels."""
    out = tmp_path_factory.mktemp("run") / "out"
    settings = TrainSettings("resnet8", str(folder), epochs=2, batch_size=8, image_size=32, lr=0.05)
    train(settings, models.build, out=out, progress=False)
    return out / "last.safetensors"


def save(tmp_path, name="resnet8", **options):
    """The weights of an untrained network, as a bare file."""
    mr.manual_seed(0)
    path = tmp_path / f"{name}.npz"
    model = models.build(name, **options)
    weights.save(path, model.state_dict())
    return path, model.eval()


def images_of(folder, *kinds):
    return [folder / kind / f"{number}.png" for kind in kinds for number in range(10)]


# -- what a checkpoint knows ------------------------------------------------------------------------------------------


def test_a_checkpoint_names_network_classes_and_preprocessing(checkpoint, folder):
    network = classifier.load(None, checkpoint)
    assert (network.name, network.names, network.in_channels) == ("resnet8", CLASSES, 3)
    assert network.preprocessing.size == 32
    assert network.trained_on == str(folder)
    assert not network.model.training


def test_predictions_prepare_images_as_training_did(checkpoint, folder):
    network = classifier.load("resnet8", checkpoint)
    paths = images_of(folder, *CLASSES)  # more than a batch
    predictions = network.predict(paths)
    preprocessing = training.Preprocessing.from_dict(training.checkpoint_metadata(checkpoint)["recipe"])
    crop, normalize = CenterCrop(32), Normalize(preprocessing.mean, preprocessing.std)
    images = [normalize(crop(Resize(preprocessing.resize)(data.open_image(path)))) for path in paths]
    with mr.no_grad():
        expected = network.model(mr.tensor(np.stack(images))).numpy()
    np.testing.assert_allclose(np.stack([each.logits for each in predictions]), expected, rtol=1e-4, atol=1e-5)
    assert [each.image for each in predictions] == [str(path) for path in paths]


def test_a_run_is_evaluated_on_what_it_did_not_train_on(checkpoint, folder):
    network = classifier.load(None, checkpoint)
    held_out = network.test_set(str(folder))
    assert sorted(held_out.paths) == sorted(data.load_for_training(folder)[1].paths)
    assert len(held_out) == 6
    history = training.load_checkpoint(checkpoint).history
    assert network.evaluate(held_out).top1 == pytest.approx(history[-1].validation_accuracy)


def test_another_copy_of_the_folder_is_used_whole(checkpoint, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    assert len(classifier.load(None, checkpoint).test_set(str(tmp_path / "copy"))) == 30


def test_sub_folders_are_found_among_the_classes(checkpoint, folder, tmp_path):
    for kind in ("striped", "light"):
        shutil.copytree(folder / kind, tmp_path / kind)
    found = classifier.load(None, checkpoint).test_set(str(tmp_path))
    assert found.classes == CLASSES
    assert found.labels.tolist() == [1] * 10 + [2] * 10
    assert [path.parent.name for path in found.paths] == ["light"] * 10 + ["striped"] * 10


def test_classes_that_the_network_does_not_know(checkpoint, folder, tmp_path):
    network = classifier.load(None, checkpoint)
    for kind, name in zip(CLASSES, ("ant", "bee", "cow"), strict=True):
        shutil.copytree(folder / kind, tmp_path / name)
    with pytest.raises(MiniResError, match=r"\(ant, bee, cow\) are not those of the network \(dark, light, striped\)"):
        network.test_set(str(tmp_path))


def test_a_wrong_name_is_refused(checkpoint):
    with pytest.raises(WeightsError, match="is a checkpoint of resnet8, not of plain8: use --model resnet8"):
        classifier.load("plain8", checkpoint)


def test_another_normalisation_overrules_the_checkpoint(checkpoint, folder):
    paths = images_of(folder, "dark")[:2]
    usual = classifier.load(None, checkpoint).predict(paths)
    same = classifier.load(None, checkpoint, normalize="imagenet").predict(paths)
    other = classifier.load(None, checkpoint, normalize="none").predict(paths)
    np.testing.assert_array_equal(usual[0].logits, same[0].logits)
    assert np.abs(usual[0].logits - other[0].logits).max() > 0.01


def test_an_unknown_normalisation(checkpoint):
    with pytest.raises(DataError, match="no normalisation is called 'x'"):
        classifier.load(None, checkpoint, normalize="x")


# -- bare weights -----------------------------------------------------------------------------------------------------


def test_small_networks_are_taken_for_cifar10s(tmp_path, folder):
    path, model = save(tmp_path)
    network = classifier.load("resnet8", path)
    assert network.names == data.cifar.CLASSES
    assert not network.names_are_known
    image = Normalize.preset("cifar10")(CenterCrop(32)(Resize(32)(data.open_image(folder / "dark" / "0.png"))))
    with mr.no_grad():
        expected = model(mr.tensor(image[None])).numpy()[0]
    np.testing.assert_allclose(network.predict([folder / "dark" / "0.png"])[0].logits, expected, rtol=1e-4, atol=1e-5)


def test_large_networks_are_taken_for_imagenets(tmp_path, folder):
    path, model = save(tmp_path, "resnet18")
    network = classifier.load("resnet18", path)
    assert network.names == data.imagenet_classes()
    image = Normalize.preset("imagenet")(CenterCrop(224)(Resize(256)(data.open_image(folder / "dark" / "0.png"))))
    with mr.no_grad():
        expected = model(mr.tensor(image[None])).numpy()[0]
    np.testing.assert_allclose(network.predict([folder / "dark" / "0.png"])[0].logits, expected, rtol=1e-3, atol=1e-4)


def test_imagenets_folders_may_be_called_by_wordnet_id_or_name(tmp_path, folder):
    path, _ = save(tmp_path, num_classes=1000)
    network = classifier.load("resnet8", path)
    ids, names = tmp_path / "ids", tmp_path / "names"
    shutil.copytree(folder / "dark", ids / "n02111889")
    shutil.copytree(folder / "dark", ids / "n01440764")
    shutil.copytree(folder / "dark", names / "Samoyed")
    assert set(network.test_set(str(ids)).labels) == {258, 0}
    assert set(network.test_set(str(names)).labels) == {258}
    with pytest.raises(MiniResError, match="tench, goldfish"):
        network.test_set(str(folder))


def test_unnamed_outputs_go_by_the_order_of_the_folders(tmp_path, folder):
    path, _ = save(tmp_path, num_classes=3)
    network = classifier.load("resnet8", path)
    assert network.names == ("0", "1", "2")
    assert network.test_set(str(folder)).classes == CLASSES
    assert network.evaluate(network.test_set(str(folder))).n == 30


def test_published_sets_have_the_size_they_have(tmp_path):
    path, model = save(tmp_path, in_channels=1)
    network = classifier.load("resnet8", path)
    evaluation = network.evaluate(network.test_set("digits"), batch_size=100)
    loader = data.Loader(data.digits(train=False), 359, transform=Normalize.preset("digits"))
    assert evaluation.predictions.tolist() == training.evaluate(model, loader).predictions.tolist()


def test_a_grey_network_sees_photographs_in_grey(tmp_path, folder):
    path, model = save(tmp_path, in_channels=1)
    network = classifier.load("resnet8", path)
    grey = Image.open(folder / "light" / "3.png").convert("L")
    pixels = CenterCrop(32)(np.asarray(grey.resize((35, 32), Image.Resampling.BILINEAR))[:, :, None])
    with mr.no_grad():
        expected = model(mr.tensor(pixels[None].transpose(0, 3, 1, 2) / np.float32(255))).numpy()[0]
    found = network.predict([folder / "light" / "3.png"])[0].logits
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_colours_that_do_not_fit(tmp_path):
    path, _ = save(tmp_path)
    with pytest.raises(MiniResError, match=r"the images of 'digits' have 1 channel.*reads 3"):
        classifier.load("resnet8", path).test_set("digits")


def test_a_classifier_called_linear(tmp_path):
    _, model = save(tmp_path, num_classes=7)
    renamed = {name.replace("fc.", "linear."): tensor for name, tensor in model.state_dict().items()}
    weights.save(tmp_path / "renamed.npz", renamed)
    network = classifier.load("resnet8", tmp_path / "renamed.npz")
    np.testing.assert_array_equal(network.model.fc.weight.numpy(), model.fc.weight.numpy())
    assert len(network.names) == 7


def test_bare_weights_need_a_name(tmp_path):
    path, _ = save(tmp_path)
    with pytest.raises(WeightsError, match="name it with --model"):
        classifier.load(None, path)


def test_weights_without_a_classifier_are_not_loaded(tmp_path):
    _, model = save(tmp_path)
    weights.save(tmp_path / "w.npz", {"layer1.0.conv1.weight": model.layer1[0].conv1.weight})
    with pytest.raises(WeightsError, match=r"w\.npz as resnet8: .*missing"):
        classifier.load("resnet8", tmp_path / "w.npz")


# -- files that are not what they say ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2**26, 1), (2**55, 0), (2**20, 64), (0, 64), (64,)])
@pytest.mark.parametrize("entry", ["fc.weight", "conv1.weight"])
def test_no_file_can_ask_for_a_gigantic_network(tmp_path, monkeypatch, shape, entry):
    built, build = [], models.build
    monkeypatch.setattr(models, "build", lambda name, **options: built.append(options) or build(name, **options))
    shape = shape if entry == "fc.weight" or len(shape) < 2 else (16, shape[0], 3, shape[1])
    one = tensor(size=shape, stride=(0,) * len(shape))
    bias = tensor(size=shape[:1], stride=(0,)) if shape[0] <= 2**26 else tensor()
    path = written(tmp_path, zip_bytes(dictionary({entry: one, "fc.bias": bias})))
    with pytest.raises(WeightsError):
        classifier.load("resnet8", path)
    assert built in ([], [{}])


def altered(checkpoint, tmp_path, **changes):
    """The checkpoint with other metadata."""
    saved = training.load_checkpoint(checkpoint)
    saved.metadata = {**saved.metadata, **changes}
    saved.save(tmp_path / "altered.safetensors")
    return tmp_path / "altered.safetensors"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"classes": ["a"]}, "names 1 classes, but its weights are for 3"),
        ({"classes": 5}, "damaged"),
        ({"recipe": {}}, "damaged"),
        ({"model": "resnet21"}, "is of 'resnet21', which is none of our networks"),
        ({"model": "x" * 9999}, r"is of 'x{60}'\.\.\., which is none of our networks"),
        ({"model": "resnet" + "8" * 9999}, "none of our networks"),
        ({"model": "resnet60000002"}, "but holds only .* arrays"),
    ],
)
def test_metadata_that_does_not_fit(checkpoint, tmp_path, changes, complaint):
    path = altered(checkpoint, tmp_path, **changes)
    with pytest.raises(WeightsError, match=complaint) as refused:
        classifier.load(None, path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("place", ["~nobody-of-this-name/x", "a\0b", "~\ud800", "x" * 9999])
def test_a_checkpoint_of_a_place_that_cannot_be(checkpoint, folder, tmp_path, place):
    network = classifier.load(None, altered(checkpoint, tmp_path, settings={"data": place}))
    assert len(network.test_set(str(folder))) == 30


# -- predictions ------------------------------------------------------------------------------------------------------


def test_top_is_in_order_and_ties_go_to_the_first():
    prediction = Prediction("x", np.array([1.0, 3.0, 3.0, -1e4], np.float32), ("a", "b", "c", "d"))
    top = prediction.top(9)
    assert [guess.name for guess in top] == ["b", "c", "a", "d"]
    assert [guess.index for guess in top] == [1, 2, 0, 3]
    assert sum(guess.probability for guess in top) == pytest.approx(1)
    assert top[0].probability == pytest.approx(1 / (2 + np.exp(-2)))
    assert prediction.top(2) == top[:2]


def test_a_damaged_image_is_named(checkpoint, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"bad\.png cannot be read as an image"):
        classifier.load(None, checkpoint).predict([tmp_path / "bad.png"])


def logits_of(predictions):
    return np.stack([each.logits for each in predictions])


def test_every_kind_of_image_gets_the_same_answer(checkpoint, folder):
    network, path = classifier.load(None, checkpoint), folder / "dark" / "0.png"
    whole, pixels = path.read_bytes(), data.open_image(path)
    expected = network.predict([path])[0]
    sources = [str(path), path, whole, bytearray(whole), io.BytesIO(whole), Image.open(path), pixels]
    for source in sources:
        [found] = network.predict(source)
        np.testing.assert_array_equal(found.logits, expected.logits)
        assert found.names == CLASSES
    sources[4].seek(0)
    together = network.predict(each for each in sources)  # a generator of all kinds
    np.testing.assert_allclose(logits_of(together), np.stack([expected.logits] * 7), rtol=1e-4, atol=1e-5)
    assert [each.image for each in together[:3]] == [
        str(path),
        str(path),
        f"image 2 (an image of {len(whole):,} bytes)",
    ]
    np.testing.assert_allclose(logits_of(network.predict(pixels[None])), expected.logits[None], rtol=1e-4, atol=1e-5)
    assert network.predict([]) == []
    assert network.predict(iter(())) == []
    assert network.predict(np.zeros((0, 5, 5, 3), np.uint8)) == []


def test_an_upload_that_is_no_image_is_named_by_its_number(checkpoint, folder):
    network, path = classifier.load(None, checkpoint), folder / "dark" / "0.png"
    whole = path.read_bytes()
    with pytest.raises(DataError, match=r"^image 1 \(an image of 99 bytes\) cannot be read as an image \("):
        network.predict([whole, whole[:99]])
    with pytest.raises(DataError, match=r"^an image of 3 bytes cannot be read .*no format"):
        network.predict(b"GIF")
    with pytest.raises(DataError, match=r"^image 0 \(an object of type NoneType\) is no image"):
        network.predict([None])
    with pytest.raises(DataError, match=r"^an object of type int is no image"):
        network.predict(5)
    with pytest.raises(DataError, match=r"^image 1 \(an object of type int\) is no image"):
        network.predict((path, 5))


def test_a_narrow_image_is_refused_before_it_is_enlarged(checkpoint):
    with pytest.raises(
        DataError, match=r"an array uint8 \(1, 60000000, 3\): an image of 60000000x1 pixels would be res"
    ):
        classifier.load(None, checkpoint).predict(np.broadcast_to(np.uint8(0), (1, 60_000_000, 3)))


def test_photographs_are_turned_upright_and_the_prediction_says_so(checkpoint, folder):
    network, path = classifier.load(None, checkpoint), folder / "striped" / "0.png"
    upright, file, exif = Image.open(path), io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # stored turned: rotate it clockwise to view it
    upright.transpose(Image.Transpose.ROTATE_90).save(file, "PNG", exif=exif)
    [expected], [found] = network.predict(path), network.predict(file.getvalue())
    np.testing.assert_array_equal(found.logits, expected.logits)
    assert (expected.orientation, found.orientation) == (1, 6)


def test_a_classifier_compiles_once_and_anew_when_its_weights_change(tmp_path, folder, monkeypatch):
    path, _ = save(tmp_path)
    network, compiled = classifier.load("resnet8", path), []
    compile_it = inference.compile
    monkeypatch.setattr(inference, "compile", lambda *each: compiled.append(each) or compile_it(*each))
    image = folder / "dark" / "0.png"
    with ThreadPoolExecutor(8) as pool:
        answers = [found.logits for [found] in pool.map(network.predict, [image] * 16)]
    assert len(compiled) == 1
    for each in answers:
        np.testing.assert_array_equal(each, answers[0])
    network.model.fc.bias.assign_(network.model.fc.bias.data + 1)
    np.testing.assert_allclose(network.predict(image)[0].logits, answers[0] + 1, rtol=1e-4, atol=1e-5)
    assert len(compiled) == 2
    for duplicate in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        np.testing.assert_array_equal(duplicate.predict(image)[0].logits, network.predict(image)[0].logits)


def test_names_that_do_not_fit_the_outputs(tmp_path, folder):
    path, _ = save(tmp_path)
    network = dataclasses.replace(classifier.load("resnet8", path), names=("a", "b"))
    with pytest.raises(MiniResError, match=r"resnet8 has outputs \(10,\), but there are 2 class names"):
        network.predict(folder / "dark" / "0.png")


def test_no_more_calls_work_at_once_than_there_are_turns(tmp_path, monkeypatch):
    """Each image at work takes memory: a service with many clients has as many at once as there are cores."""
    network = classifier.load("resnet8", save(tmp_path)[0])
    at_work, most, lock = 0, 0, threading.Lock()
    prepared = reading._prepared

    def slow(*arguments):
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        time.sleep(0.02)
        with lock:
            at_work -= 1
        return prepared(*arguments)

    monkeypatch.setattr(reading, "_prepared", slow)
    monkeypatch.setattr(reading, "_in_turn", threading.BoundedSemaphore(2))
    image = np.zeros((32, 32, 3), np.uint8)
    threads = [threading.Thread(target=network.predict, args=(image,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 2


@pytest.mark.parametrize("count", [1, 17, 40])
def test_uncompiled_gives_the_same_to_rounding(tmp_path, count):
    """Three batches: the second is read while the first is computed, and each image keeps its place."""
    network = classifier.load("resnet8", save(tmp_path)[0])
    images = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)
    compiled, plain = (network.predict(images, compiled=each) for each in (True, False))
    assert [each.image for each in plain] == [each.image for each in compiled]
    logits = [np.stack([each.logits for each in found]) for found in (compiled, plain)]
    np.testing.assert_allclose(logits[1], logits[0], rtol=0, atol=1e-5 * np.abs(logits[0]).max())
    alone = [network.predict(image)[0].logits for image in images[-2:]]
    np.testing.assert_allclose(logits[0][-2:], alone, rtol=0, atol=1e-5 * np.abs(logits[0]).max())


def test_an_unreadable_image_among_many_is_named_and_ends_the_reading(tmp_path):
    network = classifier.load("resnet8", save(tmp_path)[0])
    images = [np.zeros((32, 32, 3), np.uint8)] * 20 + [b"no image"] + [np.zeros((32, 32, 3), np.uint8)] * 20
    before = threading.active_count()
    with pytest.raises(DataError, match="image 20 "):
        network.predict(images)
    assert threading.active_count() == before


def test_a_generator_of_images_may_itself_classify(tmp_path, monkeypatch):
    """It is read outside of a turn: with one turn it would wait for itself."""
    monkeypatch.setattr(reading, "_in_turn", threading.BoundedSemaphore(1))
    network = classifier.load("resnet8", save(tmp_path)[0])
    image = np.zeros((32, 32, 3), np.uint8)

    def images():
        for _ in range(40):
            network.predict(image)
            yield image

    assert len(network.predict(images())) == 40


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".npz"])
def test_mapped_weights_give_the_same_and_are_not_written_into(tmp_path, suffix):
    path, model = save(tmp_path)
    path = tmp_path / f"w{suffix}"
    weights.save(path, model.state_dict())
    content = path.read_bytes()
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    mapped, copied = (classifier.load("resnet8", path, mapped=each) for each in (True, False))
    expected = copied.predict(image)[0].logits
    np.testing.assert_array_equal(mapped.predict(image)[0].logits, expected)
    np.testing.assert_array_equal(
        mapped.predict(image, compiled=False)[0].logits, copied.predict(image, compiled=False)[0].logits
    )
    compiled = mapped._compiled[1]
    mapped.model.conv1.weight.assign_(0)  # gets an array of its own
    assert path.read_bytes() == content
    assert float(np.abs(compiled._model.conv1.weight.numpy()).max()) > 0
    assert float(np.abs(mapped.predict(image)[0].logits - expected).max()) > 1e-3


def test_mapped_weights_of_another_dtype_are_copied(tmp_path):
    path, model = save(tmp_path)
    half = {name: array.numpy().astype(np.float16) for name, array in model.state_dict().items() if array.ndim}
    weights.save(path, half)
    network = classifier.load("resnet8", path, mapped=True)
    assert network.model.conv1.weight.dtype == np.float32
    assert network.predict(np.zeros((32, 32, 3), np.uint8))


def test_loading_draws_no_random_numbers(tmp_path):
    path, _ = save(tmp_path)
    mr.manual_seed(3)
    expected = mr.rand(3).numpy()
    mr.manual_seed(3)
    classifier.load("resnet8", path)
    np.testing.assert_array_equal(mr.rand(3).numpy(), expected)


def test_flags_are_true_or_false(tmp_path):
    path = save(tmp_path)[0]
    with pytest.raises((TypeError, ValueError), match="mapped"):
        classifier.load("resnet8", path, mapped="no")
    with pytest.raises((TypeError, ValueError), match="compiled"):
        classifier.load("resnet8", path).predict(np.zeros((32, 32, 3), np.uint8), compiled="no")


def test_there_are_as_many_turns_as_cores_also_in_a_forked_child(monkeypatch):
    for cores, turns in ((6, 6), (1, 1), (None, 1)):
        monkeypatch.setattr(reading.os, "cpu_count", lambda cores=cores: cores)
        monkeypatch.setattr(reading, "_in_turn", None)
        reading._renew_turns()
        assert [reading._in_turn.acquire(blocking=False) for _ in range(turns + 1)] == [True] * turns + [False]
