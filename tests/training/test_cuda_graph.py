"""A step that is captured and replayed trains to the same bits as one that is not."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import minires as mr
from minires import cuda, data, manual_seed, models, nn, optim, training
from minires import functional as F
from minires.backend.cuda import graph as cuda_graph
from minires.backend.cuda.provider import CUDA as cuda_provider
from minires.data.transforms import Normalize
from minires.errors import DeviceError, MiniResError, NonFiniteError, ShapeError
from minires.training.cuda_graph import WARM_UP, CapturedStep
from tests.training.tiny import bits

EPOCHS, BATCH, IMAGES = 3, 4, 14  # three full batches an epoch, and one of two
STEPS = 4


class Block(nn.Module):
    """What a step of a residual network consists of, as small as it can be."""

    def __init__(self) -> None:
        self.conv, self.bn = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.shortcut, self.fc = nn.Conv2d(1, 4, 1), nn.Linear(4, 10)

    def forward(self, x):
        x = self.bn(self.conv(x), residual=self.shortcut(x), relu=True)
        return self.fc(F.flatten(F.adaptive_avg_pool2d(F.max_pool2d(x, 2), 1), 1))


def loader(images: int = IMAGES, batch_size: int = BATCH) -> data.Loader:
    digits = data.digits().subset(range(images))
    return data.Loader(digits, batch_size, transform=Normalize.preset("digits"), shuffle=True, seed=3, workers=0)


def make(model=None, out=None, optimizer=None, schedule=None, **options: Any) -> training.Trainer:
    """A run, the same for the same arguments."""
    manual_seed(0)
    model = (Block() if model is None else model()).to(options.pop("device", "cuda"))
    optimizer = optim.SGD(model.parameters(), 0.1, 0.9, weight_decay=1e-3) if optimizer is None else optimizer(model)
    schedule = optim.OneCycle(optimizer, EPOCHS * STEPS) if schedule is None else schedule(optimizer)
    options = {"epochs": EPOCHS, "progress": False, "graph": True, **options}
    return training.Trainer(model, optimizer, options.pop("loader", loader()), out=out, schedule=schedule, **options)


def results(trainer: training.Trainer) -> Any:
    """All that a run leaves: weights, statistics, velocities, figures."""
    velocities = [None if "velocity" not in s else s["velocity"].get().tobytes() for s in trainer.optimizer.state]
    history = [replace(record, seconds=0.0, images_per_second=0.0) for record in trainer.history]
    return bits(trainer.model), velocities, history


@pytest.fixture
def replays(device, monkeypatch):
    """How many there have been."""
    count = []
    replay = cuda_graph.Graph.replay
    monkeypatch.setattr(cuda_graph.Graph, "replay", lambda self: (count.append(1), replay(self))[1])
    return count


@pytest.fixture(scope="module")
def usual(device):
    """The run without a graph."""
    trainer = make(graph=False)
    trainer.fit()
    return trainer


def test_the_same_bits_with_a_smaller_last_batch_and_a_rate_for_each_step(usual, replays):
    trainer = make()
    trainer.fit()
    assert results(trainer) == results(usual)
    assert len(replays) == EPOCHS * (STEPS - 1) - WARM_UP


def test_resnet8(device, replays):
    """Two groups with rates of their own, Nesterov, validation between the epochs."""

    def trained(graph):
        trainer = make(
            lambda: models.build("resnet8", num_classes=10, in_channels=1),
            optimizer=lambda model: optim.SGD(
                [{**group, "lr": lr} for group, lr in zip(optim.decay_groups(model, 1e-3), (0.05, 0.2), strict=True)],
                0.05, 0.9, nesterov=True,
            ),
            loader=loader(10), validation_loader=loader(5), epochs=2, graph=graph,
        )  # fmt: skip
        trainer.fit()
        return results(trainer)

    assert trained(True) == trained(False)
    assert len(replays) == 2


class InPlace(Block):
    """The same block with a ReLU, a sum and a scaling in place, and a buffer that it changes under no_grad."""

    def __init__(self) -> None:
        super().__init__()
        self.relu, self.steps = nn.ReLU(inplace=True), nn.Buffer(np.zeros(1, np.float32))

    def forward(self, x):
        y = super().forward(x)
        self.relu(y)
        y += 0.5
        y[:, :1].mul_(2.0)
        with mr.no_grad():
            self.steps += 1.0
        return y


def test_changes_in_place_are_captured(device, replays):
    """The buffer too, whose array every replay writes into."""
    trained = []
    for graph in (True, False):
        trainer = make(InPlace, graph=graph)
        trainer.fit()
        trained.append((results(trainer), trainer.model.steps.tolist()))
    assert trained[0] == trained[1]
    assert trained[0][1] == [float(EPOCHS * STEPS)]
    assert replays


VARIANTS = {
    "without momentum": {"optimizer": lambda model: optim.SGD(model.parameters(), 0.1)},
    "smoothed labels": {"label_smoothing": 0.1},
    "a frozen layer": {
        "optimizer": lambda model: optim.SGD(
            [p for p in (model.shortcut.requires_grad_(False), model)[1].parameters() if p.requires_grad], 0.1, 0.9
        )
    },
    "a schedule of epochs": {"schedule": lambda o: optim.MultiStep(o, [1, 2]), "schedule_per": "epoch"},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants(replays, variant):
    trainers = [make(**VARIANTS[variant], epochs=2, graph=graph) for graph in (True, False)]
    for trainer in trainers:
        trainer.fit()
    assert results(trainers[0]) == results(trainers[1])
    assert len(replays) == 2 * (STEPS - 1) - WARM_UP


def test_everything_stays_where_it_lies(device):
    trainer = make()
    model, places = trainer.model, []

    def note(*_):
        state = [tensor.data for tensor in (*model.parameters(), *model.buffers())]
        places.append([*state, *(each["velocity"] for each in trainer.optimizer.state if each)])

    model.register_forward_hook(note)
    trainer.fit()
    note()
    assert all(one is other for one, other in zip(places[2], places[-1], strict=True))


def test_a_replayed_step_waits_once(device, monkeypatch):
    if not device.is_simulated:
        pytest.skip("a GPU does not tell how often it was waited for")
    waits, replayed = [], []
    array = device.cupy.ndarray
    for name in ("get", "item", "__bool__", "__int__", "__float__"):
        method = getattr(array, name)
        monkeypatch.setattr(array, name, lambda self, method=method: (waits.append(1), method(self))[1])
    turn = cuda_graph.Graph.replay
    monkeypatch.setattr(cuda_graph.Graph, "replay", lambda self: (replayed.append(len(waits)), turn(self))[1])
    trainer = make(loader=loader(12))
    trainer._check_weights = lambda: None  # once an epoch, by its own waits
    trainer.fit()
    assert len(replayed) > 5
    assert set(np.diff(replayed)) == {1}


def captured_operations(device, monkeypatch) -> list[str]:
    """The names of what the stand-in captures of a step."""
    captures, end = [], device.cupy.cuda.Stream.end_capture
    monkeypatch.setattr(
        device.cupy.cuda.Stream, "end_capture", lambda stream: (captures.append(stream.capture), end(stream))[1]
    )
    make(epochs=1).fit()
    (capture,) = captures
    return capture.names


def test_running_statistics_are_captured_as_one_kernel_without_copies(device, monkeypatch):
    """And the batches are counted in place."""
    if not device.is_simulated:
        pytest.skip("a graph of CuPy's does not tell what is in it")
    names = captured_operations(device, monkeypatch)
    assert names.count("batch_norm_update_stats") == 1
    assert names.count("__iadd__") == 1
    assert names.count("__setitem__") == 3  # two figures, and the gradient of the mean loss for each image


def test_what_counts_the_right_answers_is_compiled_before_the_capture(device):
    """Also where the eager step does not count them: CuPy compiles argmax for each number of classes."""
    manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 7)).to("cuda")
    optimizer = optim.SGD(model.parameters(), 0.1)
    step = CapturedStep(model, optimizer, loader(batch_size=3), label_smoothing=0.0, clip_norm=None)
    images, labels = np.ones((3, 1, 8, 8), np.float32), np.array([0, 6, 3])

    def eager(images, labels):
        loss = F.cross_entropy(model(mr.tensor(images, device="cuda")), mr.tensor(labels, device="cuda"))
        loss.backward()
        optimizer.step()
        return float(loss.item()), -1

    assert [step(images, labels, eager)[1] >= 0 for _ in range(4)] == [False, False, True, True]


def test_versions_tell_of_replays(usual):
    """As of every change; the capture itself counts as one."""
    trainer = make()
    trainer.fit()
    for one, other in zip(trainer.model.parameters(), usual.model.parameters(), strict=True):
        assert one.version == other.version + 1


def changed(change, epoch: int) -> data.Loader:
    """The usual batches, in one epoch other ones."""
    other = loader()
    usual_epoch = other.epoch
    other.epoch = lambda number, start=0: (
        change(*batch) if number == epoch else batch for batch in usual_epoch(number, start)
    )
    return other


@pytest.mark.parametrize(
    "change",
    [
        lambda images, labels: (images, np.where(np.arange(len(labels)) == 1, -100, labels)),
        lambda images, labels: (images[:, :, 1:, 2:], labels),
    ],
    ids=["a label to be ignored", "smaller images"],
)
def test_batches_of_another_kind_are_not_replayed(replays, change):
    def trained(graph):
        trainer = make(loader=changed(change, 1), graph=graph)
        trainer.fit()
        return results(trainer)

    assert trained(True) == trained(False)
    assert len(replays) == 2 * (STEPS - 1) - WARM_UP


# -- resuming ----------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize(
    ("steps", "with_graph"),
    [(1, True), (5, False), *(pytest.param(steps, True, marks=pytest.mark.slow) for steps in (5, 8))],
)
def test_resuming_with_or_without_a_graph(usual, tmp_path, steps, with_graph):
    killed = make(out=tmp_path, checkpoint_steps=1)
    epoch_of = killed.train_loader.epoch

    def epoch(number, start=0):
        for position, batch in enumerate(epoch_of(number, start), start):
            if number * STEPS + position == steps:
                raise Killed
            yield batch

    killed.train_loader.epoch = epoch
    with pytest.raises(Killed):
        killed.fit()
    resumed = make(out=tmp_path, graph=with_graph)
    resumed.fit(resume=True)
    assert results(resumed) == results(usual)


# -- what happens to a run in between ----------------------------------------------------------------------------------


def replaced(trainer):
    trainer.model.fc.weight.data = trainer.model.fc.weight.data * 0.5


def held(trainer):
    trainer.held = F.linear(mr.tensor(np.ones((1, 4)), np.float32, True, "cuda"), trainer.model.fc.weight)


def other_momentum(trainer):
    trainer.optimizer.param_groups[0]["momentum"] = 0.5


def other_state(trainer):
    trainer.optimizer.load_state_dict(trainer.optimizer.state_dict())


@pytest.mark.parametrize("interfere", [replaced, held, other_momentum, other_state])
def test_what_the_graph_was_captured_with_changes(device, replays, interfere):
    def trained(graph):
        trainer = make(graph=graph, epochs=4, schedule=lambda o: optim.Constant(o))
        finish = trainer._finish_epoch

        def finish_and_interfere():
            finish()
            if trainer.epoch == 2:
                interfere(trainer)

        trainer._finish_epoch = finish_and_interfere
        trainer.fit()
        return results(trainer)

    assert trained(True) == trained(False)
    assert len(replays) == 4 * (STEPS - 1) - 2 * WARM_UP  # it was captured anew


def test_nothing_is_written_into_what_a_graph_of_somebody_needs(device):
    trainer = make()
    step, kept = trainer._train_step, []

    def remember(*batch):
        if trainer.epoch == 1 and trainer.step == 1:
            held(trainer)
            kept.extend((trainer.model.fc.weight.data, trainer.model.fc.weight.numpy().copy()))
        return step(*batch)

    trainer._train_step = remember
    trainer.fit()
    np.testing.assert_array_equal(kept[0].get(), kept[1])
    assert trainer.model.fc.weight.data is not kept[0]


# -- errors ------------------------------------------------------------------------------------------------------------


class Looking(Block):
    """Its forward looks at numbers."""

    def forward(self, x):
        scale = 2.0 if float(x.data.max()) > 1e9 else 1.0
        return super().forward(x) * scale


class Dropping(Block):
    def forward(self, x):
        return F.dropout(super().forward(x), 0.5, self.training)


class Late(Block):
    """A layer takes part from the third step on."""

    def __init__(self) -> None:
        super().__init__()
        self.late, self.steps = nn.Linear(10, 10), 0

    def forward(self, x):
        y = super().forward(x)
        self.steps += 1
        return self.late(y) if self.steps > WARM_UP else y


class Remembering(Block):
    """A second head that the loss does not use; its weights stay in its graph."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = []

    def forward(self, x):
        y = super().forward(x)
        self.seen = [F.linear(y, self.fc.weight.T)]
        return y


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Looking, r"waits for numbers from the GPU.*test_cuda_graph\.py:\d+: scale = 2\.0 if float"),
        (Dropping, r"random numbers of dropout.*test_cuda_graph\.py:\d+: return F\.dropout"),
        (Remembering, "a part of this one that the loss does not use"),
        (Late, "a parameter gets a gradient that got none in the steps before"),
    ],
)
def test_a_step_that_cannot_be_captured_leaves_everything_as_it_was(device, model, said):
    trainer, expected = make(model), make(model, graph=False)
    with pytest.raises(DeviceError, match=rf"(?s)the training step cannot be captured as a CUDA graph: .*{said}"):
        trainer.fit()
    batches = list(expected.train_loader.epoch(0))[:WARM_UP]
    expected.model.train()
    manual_seed(0)
    for images, labels in batches:
        expected._train_step(images, labels)
    if model is not Dropping:  # whose random numbers go on
        assert results(trainer)[:2] == results(expected)[:2]
    assert all(parameter.grad is None for parameter in trainer.model.parameters())
    assert not any(np.isnan(parameter.numpy()).any() for parameter in trainer.model.parameters())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"device": "cpu"}, "the model is on cpu"),
        ({"optimizer": lambda model: optim.Adam(model.parameters())}, "only SGD can be captured: Adam counts"),
        ({"clip_norm": 1.0}, "clip_norm waits"),
        ({"model": lambda: nn.Sequential(Block(), nn.Dropout(0.1))}, "random numbers of Dropout"),
        ({"model": lambda: models.cifar_resnet(8, survival=0.5)}, "stochastic depth"),
        ({"model": lambda: Block().to(dtype=np.float64)}, "only float32 can be captured, and the model is float64"),
    ],
)
def test_what_is_known_beforehand_is_said_before_the_first_step(device, options, said):
    with pytest.raises(MiniResError, match=rf"cannot be captured as a CUDA graph \(graph=True\): .*{said}"):
        make(**options)


def test_a_memory_that_is_full_leaves_the_graph_alone_and_says_so(device, usual, replays, monkeypatch, capsys):
    """In one line; the run goes on as ever, to the same bits, and what the capture took is given back."""
    if not device.is_simulated:
        pytest.skip("a GPU's memory is not filled for a test")
    gc.collect()
    cuda.empty_cache()
    gpu, capture = device.cupy.gpu, cuda_graph.Workspace.capture
    free = gpu.free

    def in_full_memory(workspace, work, what):
        workspace.pool.free_all_blocks()  # what the warm-up left
        with monkeypatch.context() as full:
            full.setattr(gpu, "free", 0)
            return capture(workspace, work, what)

    monkeypatch.setattr(cuda_graph.Workspace, "capture", in_full_memory)
    trainer = make(progress=True)
    trainer.fit()
    assert results(trainer)[:2] == results(usual)[:2]
    assert replays == []
    said = [line for line in capsys.readouterr().out.splitlines() if "CUDA graph" in line]
    assert len(said) == 1
    assert said[0].startswith("no CUDA graph: ")
    assert "the GPU's memory is full: " in said[0]
    cuda.empty_cache()
    assert free - gpu.free == sum(state["velocity"].memory.mem.size for state in trainer.optimizer.state)


def test_a_step_whose_rate_would_stay_what_it_is(device, monkeypatch):
    monkeypatch.setattr(cuda_provider, "sgd_step", lambda *arguments: NotImplemented)
    with pytest.raises(DeviceError, match="each learning rate would be that of the capture"):
        make().fit()


def test_a_loss_that_is_not_finite(replays):
    trainer = make()
    finish = trainer._finish_epoch

    def finish_and_break():
        finish()
        trainer.model.fc.bias.assign_(np.float32(np.inf))

    trainer._finish_epoch = finish_and_break
    with pytest.raises(
        NonFiniteError, match="epoch 2 of 3, step 1 of 4: the loss is nan; a step captured as a CUDA graph cannot"
    ):
        trainer.fit()
    assert len(replays) == STEPS - WARM_UP


@pytest.mark.parametrize("epoch", [0, 1])
def test_labels_out_of_range(device, epoch):
    """In a step as ever, and in a replayed one, which does not look at them itself."""
    with pytest.raises(ShapeError, match="label 12 is out of range: the network has classes 0 … 9"):
        make(loader=changed(lambda images, labels: (images, labels * 0 + 12), epoch)).fit()


def test_the_command_line(replays, monkeypatch, tmp_path, capsys):
    from minires.cli import main  # here: the other tests run without click too, as on a GPU's machine that has little

    few = {train: data.digits(train).subset(range(12)) for train in (True, False)}
    monkeypatch.setitem(data.catalogue.PUBLISHED, "digits", lambda root, train, download: few[train])
    options = "train --model resnet8 --data digits --epochs 1 --batch-size 4 --workers 0 --device cuda --graph --out"
    assert main([*options.split(), str(tmp_path / "run")]) == 0
    assert "best: epoch 1" in capsys.readouterr().out
    assert len(replays) == 3 - WARM_UP
    checkpoint = training.load_checkpoint(tmp_path / "run" / "last.safetensors")
    assert all(np.isfinite(array).all() for array in checkpoint.model.values())
    assert main([*options.split(), str(tmp_path / "adam"), "--optimizer", "adam"]) == 2
    said = capsys.readouterr().err
    assert "only SGD can be captured" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "adam").exists()
