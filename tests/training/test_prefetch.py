"""Batches that go to the GPU ahead of their step: on streams that do everything as late as they may."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import minires as mr
from minires import backend, nn
from minires.errors import DataError, OutOfMemoryError
from minires.training import evaluate
from minires.training.prefetch import on_device_of
from tests.backend import standin_memory
from tests.backend.standin_memory import LateStream
from tests.training import tiny


@pytest.fixture
def cupy(standin):
    """The stand-in, with streams whose copies are done when somebody waits for them."""
    standin_memory.late(standin)
    return standin


@pytest.fixture
def model(cupy):
    """Something on the GPU."""
    return nn.Linear(2, 2).to("cuda")


def batches(count=7, size=4):
    """Of different numbers; the last is smaller. The loader writes into one array again and again."""
    images = np.empty((size, 1, 2, 2), np.float32)
    for number in range(count):
        n = size - (number == count - 1)
        images[:n] = np.arange(n * 4).reshape(n, 1, 2, 2) + 100 * number
        yield images[:n], np.arange(n) + number
        images[...] = -1


def copies(found):
    """What the batches hold at the moment when a step would read them."""
    return [(backend.to_device(images, "cpu"), labels) for images, labels in found]


def assert_same(found, expected):
    assert len(found) == len(expected)
    for (images, labels), (wanted, wanted_labels) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(images, wanted)
        np.testing.assert_array_equal(labels, wanted_labels)
        assert (images.dtype, labels.dtype) == (wanted.dtype, wanted_labels.dtype)


def expected_of(given):
    return [(images.copy(), labels) for images, labels in given]


# -- what comes out ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_the_same_batches_in_the_same_order(model, count):
    found = []
    for images, labels in on_device_of(model, batches(count)):
        assert backend.device_of(images) == "cuda:0"
        assert isinstance(labels, np.ndarray)  # where they are looked at without waiting for the GPU
        found += copies([(images, labels)])
    assert_same(found, expected_of(batches(count)))


def test_batches_that_are_kept_keep_their_numbers(model):
    assert_same(copies(list(on_device_of(model, batches()))), expected_of(batches()))


def test_on_the_cpu_nothing_is_done():
    given = list(batches(2))
    found = list(on_device_of(nn.Linear(2, 2), given))
    assert all(one is two for one, two in zip(found, given, strict=True))


def test_batches_of_any_shape_dtype_and_layout(model):
    rng = np.random.default_rng(0)
    shapes = [(2, 3, 4, 4), (5, 3, 9, 7), (1, 1, 1, 1), (2, 3, 4, 4), (3, 2, 600, 2)]
    given = [(rng.normal(size=shape), np.arange(len(shape))) for shape in shapes]
    given += [(rng.normal(size=(2, 4, 4, 3)).astype(np.float32).transpose(0, 3, 1, 2), np.arange(2))]
    given += [(rng.normal(size=(4, 3, 4, 4)).astype(np.float16)[::2, :, ::-1], np.arange(2))]
    assert_same(copies(on_device_of(model, given)), given)


def test_images_that_are_on_the_gpu_already_stay(cupy, model):
    there = cupy.asarray(np.ones((1, 1, 2, 2), np.float32))
    ((images, _),) = on_device_of(model, [(there, np.arange(1))])
    assert images is there


# -- when it happens --------------------------------------------------------------------------------------------------


def test_the_next_batch_is_on_its_way_while_a_step_computes(model):
    taken = []

    def given():
        for number, batch in enumerate(batches(4)):
            taken.append(number)
            yield batch

    found = on_device_of(model, given())
    next(found)
    assert taken == [0, 1]
    next(found)
    assert taken == [0, 1, 2]
    found.close()


def test_who_does_not_wait_reads_what_was_there(cupy, model, monkeypatch):
    """Or the tests above would prove nothing: the streams really are late."""
    monkeypatch.setattr(LateStream, "wait_event", lambda self, event: None)
    found = on_device_of(model, batches(1))
    images, _ = next(found)
    assert np.isnan(images.get()).all()


def test_a_host_that_runs_ahead_of_the_gpu_spoils_no_copy(model, monkeypatch):
    """The steps' stream is busy for long: nothing on it is done before the last batch was handed out."""
    monkeypatch.setattr(LateStream, "add", lambda self, work: self.waiting.append(work))
    found = list(on_device_of(model, batches()))
    LateStream.current.synchronize()
    assert_same(copies(found), expected_of(batches()))


def test_a_copy_begins_after_what_may_still_read_its_memory(cupy, model, monkeypatch):
    """An array of CuPy's gets memory that the steps' stream has given up, but may not have finished with."""
    said = []
    make, record, wait = cupy.empty, LateStream.record, LateStream.wait_event
    monkeypatch.setattr(cupy, "empty", lambda *a: said.append("memory") or make(*a), raising=False)

    def recorded(self, event=None):
        event = record(self, event)
        said.append("mark" if self is LateStream.current else "copied")
        event.of_steps = self is LateStream.current
        return event

    def waited(self, event):
        said.append("copy waits" if event.of_steps and self is not LateStream.current else "step waits")
        wait(self, event)

    monkeypatch.setattr(LateStream, "record", recorded)
    monkeypatch.setattr(LateStream, "wait_event", waited)
    list(on_device_of(model, batches(2)))
    assert said == ["memory", "mark", "copy waits", "copied"] * 2 + ["step waits"] * 2


# -- when something goes wrong ----------------------------------------------------------------------------------------


def stopping(error, after):
    yield from batches(after + 1)
    raise error


def test_what_is_wrong_with_a_batch_is_said_in_its_turn(model):
    """As without prefetching: every batch before it is trained on."""
    found = on_device_of(model, stopping(DataError("sample 9"), after=2))
    seen = copies(next(found) for _ in range(3))
    with pytest.raises(DataError, match="sample 9"):
        next(found)
    assert_same(seen, expected_of(batches(3)))


def test_ctrl_c_is_not_put_off(model):
    found = on_device_of(model, stopping(KeyboardInterrupt(), after=0))
    with pytest.raises(KeyboardInterrupt):
        next(found)


def test_leaving_early_waits_for_the_copy_and_lets_go_of_the_loader(cupy, model, monkeypatch):
    made = []
    monkeypatch.setattr(cupy.cuda, "Stream", lambda **options: made.append(LateStream(**options)) or made[-1])
    given = batches()
    loader = weakref.ref(given)
    found = on_device_of(model, given)
    del given
    next(found)
    assert made[0].waiting
    found.close()
    assert not made[0].waiting
    del found
    gc.collect()
    assert loader() is None


def test_memory_that_is_full(cupy, model, monkeypatch):
    def refuse(*_):
        raise cupy.cuda.memory.OutOfMemoryError(64, 0)

    monkeypatch.setattr(cupy, "empty", refuse, raising=False)
    with pytest.raises(OutOfMemoryError, match=r"copying a batch: the GPU's memory is full: .* 64 bytes"):
        list(on_device_of(model, batches(2)))


def test_without_pinned_memory_it_goes_on(cupy, model, monkeypatch):
    class CUDARuntimeError(RuntimeError):
        __module__ = "cupy_backends.cuda.api.runtime"

    def refuse(text):
        def alloc(_):
            raise CUDARuntimeError(text)

        return alloc

    monkeypatch.setattr(cupy.cuda, "alloc_pinned_memory", refuse("cudaErrorMemoryAllocation: out of memory"))
    assert_same(copies(on_device_of(model, batches())), expected_of(batches()))
    monkeypatch.setattr(cupy.cuda, "alloc_pinned_memory", refuse("cudaErrorUnknown: unknown error"))
    with pytest.raises(CUDARuntimeError):
        list(on_device_of(model, batches()))


# -- a whole run ------------------------------------------------------------------------------------------------------


def run(device, workers):
    """Losses, statistics and weights of two epochs, and the evaluation of what came out."""
    mr.manual_seed(0)
    loaders = tiny.loaders(images=70, workers=workers)
    trainer = tiny.make(model=tiny.TinyNet().to(device), loaders=loaders, epochs=2, schedule=None)
    history = trainer.fit()
    found = evaluate(trainer.model, loaders[1])
    numbers = [(record.train_loss, record.train_accuracy, record.validation_loss) for record in history]
    arrays = {name: tensor.numpy().tobytes() for name, tensor in trainer.model.state_dict().items()}
    return numbers, arrays, found.loss, found.predictions.tolist()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_on_late_streams_is_the_run_on_the_cpu_bit_for_bit(cupy, workers):
    with mr.use_backend("reference"):
        assert run("cuda", workers) == run("cpu", workers)


def test_on_a_gpu(gpu):
    """The same with CuPy's own streams, memory and pool, and enough batches that memory is used again."""
    rng = np.random.default_rng(0)
    given = [(rng.standard_normal((64, 3, 64, 64), np.float32), np.arange(64)) for _ in range(20)]
    model, found = nn.Linear(2, 2).to("cuda"), []
    for images, labels in on_device_of(model, given):
        scratch = images
        for _ in range(20):  # the GPU is busy with this batch while the next one comes
            scratch = scratch * np.float32(0.5) + images
        del scratch
        found.append((images + np.float32(0), labels))
    assert_same(copies(found), given)
