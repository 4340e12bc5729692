"""The loader: what it yields, that threads change nothing, and that it leaves no thread behind."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minires as mr
from minires import data
from minires.data.transforms import Compose, Normalize, RandomCrop, RandomHorizontalFlip, TenCrop
from minires.errors import DataError

AUGMENT = Compose([RandomCrop(6, padding=2), RandomHorizontalFlip(), Normalize.preset("cifar10")])


def dataset(count: int = 23, channels: int = 3) -> data.ArrayDataset:
    """Images of noise; sample i has label i, so a batch tells which samples it holds."""
    images = np.random.default_rng(0).integers(0, 256, (count, 6, 6, channels), dtype=np.uint8)
    return data.ArrayDataset(images, np.arange(count), [str(i) for i in range(count)], "noise")


def loader_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("minires-loader")]


def assert_same(first, second):
    first, second = list(first), list(second)
    assert len(first) == len(second) > 0
    for (x, labels), (y, others) in zip(first, second, strict=True):
        np.testing.assert_array_equal(x, y)
        np.testing.assert_array_equal(labels, others)


@pytest.mark.parametrize("channels", [1, 3])
def test_batches_hold_the_samples_in_order(channels):
    source = dataset(channels=channels)
    loader = data.Loader(source, 10)
    batches = list(loader.epoch(0))
    assert [len(labels) for _, labels in batches] == [10, 10, 3]
    assert len(loader) == 3
    for images, labels in batches:
        assert images.dtype == np.float32
        assert images.shape == (len(labels), channels, 6, 6)
        assert images.flags.c_contiguous
        assert labels.dtype == np.int64
        np.testing.assert_array_equal(images, source.images[labels].transpose(0, 3, 1, 2) / np.float32(255))
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in batches]), np.arange(23))


@given(count=st.integers(1, 40), batch_size=st.integers(1, 45), drop_last=st.booleans(), workers=st.integers(0, 3))
def test_an_epoch_holds_every_sample_once(count, batch_size, drop_last, workers):
    if drop_last and count < batch_size:
        return
    loader = data.Loader(dataset(count), batch_size, shuffle=True, drop_last=drop_last, workers=workers)
    batches = [labels for _, labels in loader.epoch(2)]
    assert len(batches) == len(loader)
    seen = np.concatenate(batches).tolist()
    assert len(set(seen)) == len(seen)
    assert len(seen) == (count - count % batch_size if drop_last else count)


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("prefetch", [1, 3])
def test_the_number_of_workers_changes_nothing(workers, prefetch):
    def epoch(**settings):
        return data.Loader(dataset(), 4, transform=AUGMENT, shuffle=True, seed=7, **settings).epoch(3)

    assert_same(epoch(workers=0), epoch(workers=workers, prefetch=prefetch))


def test_the_draws_depend_on_seed_epoch_and_sample():
    def batches(seed=0, epoch=0, shuffle=False):
        return next(data.Loader(dataset(), 23, transform=AUGMENT, shuffle=shuffle, seed=seed).epoch(epoch))

    images, _ = batches()
    for other, _ in (batches(seed=1), batches(epoch=1)):
        assert not np.array_equal(images, other)
    orders = [batches(seed, epoch, shuffle=True)[1].tobytes() for seed in range(3) for epoch in range(3)]
    assert len(set(orders)) == 9
    shuffled, labels = batches(shuffle=True)
    np.testing.assert_array_equal(shuffled, images[labels])  # a sample's draws do not depend on where it comes


def test_order_and_samples_draw_from_different_streams():
    """A plain SeedSequence([seed, epoch]) equals [seed, epoch, 0]: sample 0 would repeat the numbers of the shuffle."""
    drawn = []

    def transform(image, rng):
        drawn.append(rng.bit_generator.state["state"]["state"])
        return image

    loader = data.Loader(dataset(), 23, transform=transform, workers=0)
    list(loader.epoch(0))
    list(loader.epoch(1))
    order = [loader._generator(0, epoch).bit_generator.state["state"]["state"] for epoch in range(2)]
    assert len(set(drawn + order)) == 2 * 23 + 2


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_can_be_taken_up_in_the_middle(workers):
    loader = data.Loader(dataset(), 4, transform=AUGMENT, shuffle=True, workers=workers)
    whole = list(loader.epoch(5))
    for start in range(len(loader)):
        assert_same(loader.epoch(5, start), whole[start:])
    assert list(loader.epoch(5, len(loader))) == []


def test_what_is_skipped_is_not_prepared():
    prepared = []
    loader = data.Loader(dataset(), 4, transform=lambda image, rng: prepared.append(1) or image, workers=0)
    list(loader.epoch(0, start=4))
    assert len(prepared) == 23 - 16


def test_going_through_the_loader_counts_epochs():
    loader = data.Loader(dataset(), 4, transform=AUGMENT, shuffle=True)
    assert_same(loader, loader.epoch(0))
    assert_same(loader, loader.epoch(1))


def test_a_generator_only_where_something_draws():
    def plain(image, rng):
        assert rng is None
        return image

    plain.random = False
    assert len(list(data.Loader(dataset(), 4, transform=plain))) == 6


def test_ten_crops_make_a_batch_of_stacks():
    transform = Compose([TenCrop(4), Normalize.preset("cifar10")])
    images, _ = next(data.Loader(dataset(), 5, transform=transform).epoch(0))
    assert images.shape == (5, 10, 3, 4, 4)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_names_the_sample_and_keeps_its_cause(workers):
    class Broken(data.ArrayDataset):
        def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
            if index == 13:
                raise KeyError("lost")
            return super().__getitem__(index)

    source = dataset()
    loader = data.Loader(Broken(source.images, source.labels, source.classes, "holes"), 4, workers=workers)
    batches = loader.epoch(0)
    for _ in range(3):
        next(batches)
    with pytest.raises(DataError, match=r"sample 13 of 'holes' cannot be prepared: KeyError\('lost'\)") as caught:
        next(batches)
    assert isinstance(caught.value.__cause__, KeyError)
    assert not loader_threads()


def test_images_of_different_sizes_are_refused_with_both():
    def transform(image, rng):
        return image[: 5 if image[0, 0, 0] == dataset().images[2][0, 0, 0] else 6]

    with pytest.raises(DataError, match=r"sample 2 .* shape \(3, 5, 6\) .*sample 0 .* has \(3, 6, 6\).*Resize"):
        list(data.Loader(dataset(), 4, transform=transform, workers=0))


def test_leaving_early_stops_the_threads_between_two_samples():
    """All batches but the first take two seconds each, and three of them are in the making when the consumer leaves."""
    images = np.zeros((1000, 1, 1, 1), dtype=np.uint8)
    images[100:] = 1
    source = data.ArrayDataset(images, np.zeros(1000, dtype=int), ["only"])
    loader = data.Loader(source, 100, transform=lambda image, rng: time.sleep(0.02 * image.max()) or image, workers=3)
    batches = loader.epoch(0)
    next(batches)
    assert len(loader_threads()) == 3
    began = time.perf_counter()
    batches.close()
    assert time.perf_counter() - began < 1
    assert not loader_threads()


def test_a_forgotten_or_finished_epoch_leaves_no_thread():
    loader = data.Loader(dataset(), 4)
    for _ in loader.epoch(0):
        break
    assert not loader_threads()
    with pytest.raises(RuntimeError, match="mine"):
        consume_and_fail(loader)
    assert not loader_threads()
    list(loader.epoch(0))
    assert not loader_threads()


def consume_and_fail(loader):
    for _ in loader.epoch(0):
        raise RuntimeError("mine")


def test_no_more_batches_are_made_ahead_than_asked_for():
    prepared = []
    loader = data.Loader(
        dataset(200), 1, transform=lambda image, rng: prepared.append(1) or image, workers=2, prefetch=3
    )
    batches = loader.epoch(0)
    next(batches)
    deadline = time.monotonic() + 10
    while len(prepared) < 1 + 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)  # time enough for one too many
    assert len(prepared) == 1 + 3  # the one handed out, and three ahead
    batches.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch size must be 1 or more, not 0"),
        ({"batch_size": -2}, "batch size must be 1 or more, not -2"),
        ({"batch_size": 24, "drop_last": True}, "drop_last leaves no batch: 23 samples, batch size 24"),
        ({"batch_size": 6.5}, r"batch_size = 6\.5 must be a whole number"),
        ({"batch_size": "4"}, "batch_size = '4' must be a whole number"),
        ({"batch_size": 4, "workers": 1.0}, r"workers = 1\.0 must be a whole number"),
        ({"batch_size": 4, "seed": -1}, "seed=-1"),
        ({"batch_size": 4, "workers": -1}, "workers=-1"),
        ({"batch_size": 4, "prefetch": 0}, "prefetch=0"),
    ],
)
def test_settings_that_are_none(settings, message):
    with pytest.raises(DataError, match=message):
        data.Loader(dataset(), **settings)


def test_an_empty_data_set_is_refused():
    with pytest.raises(DataError, match="'noise' is empty"):
        data.Loader(dataset(0), 4)


@pytest.mark.parametrize(("epoch", "start"), [(-1, 0), (0, -1), (0, 7)])
def test_epochs_and_batches_that_are_none_are_refused_at_once(epoch, start):
    loader = data.Loader(dataset(), 4)
    with pytest.raises(DataError, match=f"no batch {start} of epoch {epoch}: an epoch has 6 batches"):
        loader.epoch(epoch, start)


def test_readable_repr():
    text = repr(data.Loader(dataset(), 4, transform=Normalize.preset("none"), shuffle=True))
    assert text == (
        "Loader(ArrayDataset('noise': 23 images 6x6x3, 23 classes), batch_size=4, transform=Normalize(mean=(0.0,), "
        "std=(1.0,)), shuffle=True, drop_last=False, seed=0, workers=2, prefetch=4)"
    )


# -- data sets of anything --------------------------------------------------------------------------------------------


class Pairs:
    """A data set without a name, of whatever samples it is given."""

    def __init__(self, samples):
        self.samples = samples

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index]


@pytest.mark.parametrize("workers", [0, 2])
def test_targets_of_a_regression_arrive_as_they_are(workers):
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    vectors = np.random.default_rng(1).normal(size=(5, 2))
    for targets in (np.float32([0.7, 1.7, -0.2, 3.5, 0.1]), vectors):
        [(inputs, found)] = data.Loader(Pairs(list(zip(x, targets, strict=True))), 5, workers=workers)
        np.testing.assert_array_equal(inputs, x)
        np.testing.assert_array_equal(found, targets)
        assert found.dtype == targets.dtype


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.float64, np.float16, bool])
def test_inputs_that_are_no_images_keep_their_dtype(dtype):
    x = np.random.default_rng(0).integers(0, 2, (4, 6)).astype(dtype)
    [(inputs, _)] = data.Loader(Pairs([(row, 0) for row in x]), 4, workers=0)
    assert inputs.dtype == dtype
    np.testing.assert_array_equal(inputs, x)


def test_only_the_input_is_taken_for_an_image():
    image, mask = np.full((4, 4, 3), 255, np.uint8), np.full((4, 4, 1), 2, np.uint8)
    [(inputs, masks)] = data.Loader(Pairs([(image, mask)]), 1, workers=0)
    assert (inputs.dtype, inputs.shape, inputs.max()) == (np.float32, (1, 3, 4, 4), 1.0)
    assert (masks.dtype, masks.shape, masks.max()) == (np.uint8, (1, 4, 4, 1), 2)


def test_samples_without_targets_and_dicts():
    [batch] = data.Loader([np.ones(2), np.zeros(2)], 2, transform=lambda x, rng: x + 1, workers=0)
    np.testing.assert_array_equal(batch, [[2, 2], [1, 1]])
    samples = [{"a": np.ones(2), "b": 1}, {"a": np.zeros(2), "b": 2}]
    [batch] = data.Loader(samples, 2, transform=lambda sample, rng: {**sample, "b": 0.5}, workers=0)
    np.testing.assert_array_equal(batch["a"], [[1, 1], [0, 0]])
    np.testing.assert_array_equal(batch["b"], np.float32([0.5, 0.5]))


def test_a_collate_function_makes_the_batch():
    def padded(samples):
        longest = max(len(values) for values, _ in samples)
        rows = [np.pad(values, (0, longest - len(values))) for values, _ in samples]
        return np.stack(rows), np.array([label for _, label in samples])

    samples = [(np.ones(2), 0), (np.ones(3), 1)]
    with pytest.raises(DataError, match=r"sample 1 of 'Pairs' has shape \(3,\) and the first .* \(2,\)"):
        list(data.Loader(Pairs(samples), 2, workers=0))
    [(inputs, labels)] = data.Loader(Pairs(samples), 2, collate=padded)
    np.testing.assert_array_equal(inputs, [[1, 1, 0], [1, 1, 1]])
    np.testing.assert_array_equal(labels, [0, 1])


class Endless(Pairs):
    def __len__(self):
        return None


@pytest.mark.parametrize(
    ("dataset", "settings", "message"),
    [
        ((x for x in range(3)), {}, "a generator lacks __len__"),
        ({1, 2}, {}, "a set lacks __getitem__"),
        ((np.ones((4, 2)), np.ones(4)), {}, r"a tuple of arrays is no data set: data\.TensorDataset"),
        (Endless([]), {}, "Endless.__len__ must return the number of samples"),
        ([0], {"workers": True}, "workers = True must be a whole number"),
        ([0], {"shuffle": 1}, "shuffle = 1 must be True or False"),
        ([0], {"shuffle": "False"}, "shuffle = 'False' must be True or False"),
        ([0], {"drop_last": None}, "drop_last = None must be True or False"),
        ([0], {"transform": [Normalize(0.5, 0.5)]}, r"use transforms\.Compose"),
        (
            [0],
            {"transform": RandomHorizontalFlip},
            r"RandomHorizontalFlip is a class: write RandomHorizontalFlip\(\.\.\.\)",
        ),
        ([0], {"transform": 3}, "a transform is a function"),
        ([0], {"collate": [1]}, "collate must be a function"),
    ],
)
def test_what_is_no_data_set_or_no_setting(dataset, settings, message):
    with pytest.raises(DataError, match=message):
        data.Loader(dataset, 1, **settings)


@pytest.mark.parametrize(
    ("transforms", "message"),
    [
        ([Normalize], "is a class"),
        ([lambda x, rng: x, 1], "not 1"),
        ([None], "transform 0 is None: leave it out"),
        (Normalize(0, 1), "takes a list"),
    ],
)
def test_a_composition_checks_its_parts(transforms, message):
    with pytest.raises(DataError, match=message):
        Compose(transforms)


def test_a_transform_that_forgets_to_return():
    with pytest.raises(DataError, match=r"sample 0 of 'noise' cannot be prepared: the transform .* has returned None"):
        list(data.Loader(dataset(), 4, transform=lambda image, rng: None, workers=0))


class Drawing:
    """A data set that draws from MiniRes's default generator, as its transform does."""

    def __len__(self):
        return 20

    def __getitem__(self, index):
        return mr.rand(3).numpy(), index


def test_what_a_transform_draws_from_the_default_generator_is_the_same_for_any_number_of_workers():
    def transform(values, rng):
        return np.concatenate([values, mr.rand(2).numpy(), rng.random(1)])

    def drawn(workers, epoch=0, seed=0):
        mr.manual_seed(workers)
        loader = data.Loader(Drawing(), 4, transform=transform, workers=workers, seed=seed)
        return np.concatenate([values for values, _ in loader.epoch(epoch)])

    first = drawn(0)
    assert len(np.unique(first)) == first.size
    for workers in (0, 2, 3):
        np.testing.assert_array_equal(drawn(workers), first)
    assert not (drawn(0, epoch=1) == first).any()
    assert not (drawn(0, seed=1) == first).any()


def test_a_loader_leaves_the_default_generator_as_it_was():
    mr.manual_seed(5)
    expected = [mr.rand(1).item() for _ in range(2)]
    mr.manual_seed(5)
    found = [mr.rand(1).item()]
    list(data.Loader(Drawing(), 4, workers=0))
    assert [*found, mr.rand(1).item()] == expected


def test_the_order_depends_on_the_seed_of_the_loader_alone():
    orders = []
    for seed in (1, 2):
        mr.manual_seed(seed)
        orders.append(data.Loader(dataset(), 4, shuffle=True).order(0))
    np.testing.assert_array_equal(*orders)
