"""A run's folder: nothing is overwritten, nothing half-written, and only the same run goes on in it."""

from __future__ import annotations

import pytest

from minires import nn, optim, training
from minires.errors import MiniResError, NonFiniteError, WeightsError
from tests.training.tiny import TinyNet, bits, fitted, loaders, make


@pytest.mark.parametrize("file", ["last.safetensors", "best.safetensors", "log.jsonl", "curves.png"])
def test_a_folder_with_a_run_is_refused(tmp_path, file):
    (tmp_path / file).write_text("precious")
    with pytest.raises(MiniResError, match=f"already holds a run \\({file}\\), and nothing is overwritten"):
        make(tmp_path).fit()
    assert [path.name for path in tmp_path.iterdir()] == [file]
    assert (tmp_path / file).read_text() == "precious"


def test_other_files_do_not_matter(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    make(tmp_path, epochs=1, schedule=None).fit()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_resume_where_there_is_nothing(tmp_path):
    with pytest.raises(MiniResError, match=r"there is no run to resume in .*nowhere \(last\.safetensors is missing\)"):
        make(tmp_path / "nowhere").fit(resume=True)
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(MiniResError, match="resume needs the folder"):
        make().fit(resume=True)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MiniResError, match="cannot make the folder"):
        make(tmp_path / "file" / "run").fit()


def test_files_of_killed_writers_are_swept_up(tmp_path):
    make(tmp_path, epochs=1, schedule=None).fit()
    for name in (".last.safetensors.abc123.part", ".log.jsonl.xyz.part"):
        (tmp_path / name).write_text("half")
    (tmp_path / "mine.part").write_text("not ours")
    make(tmp_path, epochs=1, schedule=None).fit(resume=True)
    assert [path.name for path in tmp_path.glob("*.part")] == ["mine.part"]
    assert not list(tmp_path.glob(".*.part"))


def fails(*_):
    raise MiniResError("the first step fails")


@pytest.mark.parametrize("made_before", [False, True])
def test_a_run_that_fails_before_it_saved_a_step_can_be_started_again(tmp_path, made_before):
    out = tmp_path / "deep" / "run"
    if made_before:
        out.mkdir(parents=True)
        (out / "notes.txt").write_text("mine")
    trainer = make(out)
    trainer.model.register_forward_hook(fails)
    with pytest.raises(MiniResError, match="the first step fails"):
        trainer.fit()
    left = sorted(path.name for path in tmp_path.rglob("*"))
    assert left == (["deep", "notes.txt", "run"] if made_before else [])
    assert len(make(out, epochs=1, schedule=None).fit()) == 1


def test_nan_in_the_first_step_names_no_checkpoint(tmp_path):
    trainer = make(tmp_path / "run")
    trainer.model.register_forward_hook(lambda module, inputs, output: output * float("nan"))
    with pytest.raises(NonFiniteError) as stopped:
        trainer.fit()
    assert "checkpoint" not in str(stopped.value)
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_that_fails_keeps_what_it_had(tmp_path):
    make(tmp_path, epochs=1).fit()
    before = (tmp_path / "last.safetensors").read_bytes()
    trainer = make(tmp_path)
    trainer.model.register_forward_hook(fails)
    with pytest.raises(MiniResError, match="the first step fails"):
        trainer.fit(resume=True)
    assert (tmp_path / "last.safetensors").read_bytes() == before


def test_a_run_that_is_refused_removes_nothing(tmp_path):
    make(tmp_path, epochs=1).fit()
    before = (tmp_path / "last.safetensors").read_bytes()
    with pytest.raises(MiniResError, match="already holds a run"):
        make(tmp_path).fit()
    assert (tmp_path / "last.safetensors").read_bytes() == before


class OtherNet(TinyNet):
    pass


class WiderNet(TinyNet):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(16, 11)


def with_optimizer(make_optimizer, model=TinyNet):
    def options():
        built = model()
        return {"model": built, "optimizer": make_optimizer(built.parameters())}

    return options


def sgd(parameters, lr=0.05, momentum=0.9):
    return optim.SGD(parameters, lr, momentum=momentum, weight_decay=1e-4)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (with_optimizer(sgd, OtherNet), 'model class: "TinyNet" in the checkpoint, "OtherNet" now'),
        (with_optimizer(sgd, WiderNet), r'model fc\.weight: "\(10, 16\) float32" in .*, "\(11, 16\) float32" now'),
        (with_optimizer(lambda p: sgd(p, lr=0.01)), r"optimizer groups 0 lr: 0\.\d+ in the checkpoint, 0\.\d+ now"),
        (with_optimizer(lambda p: sgd(p, momentum=0.8)), r"momentum: 0\.9 in the checkpoint, 0\.8 now"),
        (with_optimizer(optim.Adam), 'optimizer class: "SGD" in the checkpoint, "Adam" now'),
        (with_optimizer(lambda p: sgd(list(p)[2:])), "parameters: 7 in the checkpoint, 5 now"),
        (lambda: {"loaders": loaders(seed=6)}, "training data seed: 5 in the checkpoint, 6 now"),
        (lambda: {"loaders": loaders(images=201)}, "training data images: 200 in the checkpoint, 201 now"),
        (lambda: {"loaders": loaders(batch_size=33)}, "training data batch size: 32 in the checkpoint, 33 now"),
        (lambda: {"schedule": None}, "schedule: .* in the checkpoint, nothing now"),
        (lambda: {"metadata": {"model": "tiny", "classes": ["a"]}}, r'classes: nothing in the checkpoint, \["a"\] now'),
        (lambda: {"label_smoothing": 0.1}, r"label_smoothing: 0\.0 in the checkpoint, 0\.1 now"),
        (lambda: {"clip_norm": 1.0}, r"clip_norm: nothing in the checkpoint, 1\.0 now"),
    ],
)
def test_another_run_is_refused_and_the_difference_named(tmp_path, options, complaint):
    make(tmp_path, epochs=1).fit()
    other = make(tmp_path, epochs=1, **options())
    before = bits(other.model)
    with pytest.raises(
        MiniResError, match=f"cannot be resumed, because it was started with other settings .*{complaint}"
    ):
        other.fit(resume=True)
    assert bits(other.model) == before


def test_schedules_differ_by_their_settings(tmp_path):
    def trainer(total, start=0.0):
        model = TinyNet()
        optimizer = sgd(model.parameters())
        schedule = optim.WarmUp(optim.Cosine(optimizer, total), 2, start=start)
        return make(tmp_path, epochs=1, model=model, optimizer=optimizer, schedule=schedule)

    trainer(10).fit()
    trainer(10).fit(resume=True)
    with pytest.raises(MiniResError, match="schedule after total: 10 in the checkpoint, 12 now"):
        trainer(12).fit(resume=True)
    with pytest.raises(MiniResError, match=r"start_factor: 0\.0 in the checkpoint, 0\.5 now"):
        trainer(10, start=0.5).fit(resume=True)


def test_many_differences_are_abridged(tmp_path):
    make(tmp_path, epochs=1).fit()
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    with pytest.raises(MiniResError, match=r"; and \d+ more\)") as refused:
        make(tmp_path, epochs=1, model=model).fit(resume=True)
    assert len(str(refused.value)) < 900


def test_a_damaged_checkpoint_is_refused(tmp_path):
    make(tmp_path, epochs=1).fit()
    last = tmp_path / "last.safetensors"
    last.write_bytes(last.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"last\.safetensors"):
        make(tmp_path, epochs=1).fit(resume=True)


def test_a_disk_that_is_full_leaves_the_last_checkpoint(tmp_path):
    """A limit on the size of files stands for it: the writes fail in the operating system, not in a mock."""
    resource = pytest.importorskip("resource")
    trainer = make(tmp_path, checkpoint_steps=3)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    steps = iter(range(1, 1000))

    def fill_the_disk(*_):
        if next(steps) == 5:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))

    trainer.model.register_forward_hook(fill_the_disk)
    try:
        with pytest.raises(MiniResError) as failed:
            trainer.fit()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(failed.value).startswith(f"cannot write {tmp_path / 'last.safetensors'}: ")
    assert training.load_checkpoint(tmp_path / "last.safetensors").step == 3
    assert [path.name for path in tmp_path.iterdir()] == ["last.safetensors"]
    assert bits(fitted(tmp_path, resume=True).model) == bits(fitted().model)


def test_the_facts_of_a_run_are_those_of_earlier_versions():
    """Settings that came later are among them only if they change something: a folder of before then goes on."""
    model = TinyNet()
    for kind, settings in ((optim.SGD, {"maximize": True}), (optim.Adam, {"amsgrad": True, "maximize": True})):
        before = {"dampening", "momentum", "nesterov"} if kind is optim.SGD else {"betas", "eps"}
        for options in ({}, settings):
            optimizer = kind(model.parameters(), lr=0.1, **options)
            facts = make(
                model=model, optimizer=optimizer, schedule=optim.ReduceOnPlateau(optimizer), schedule_per="epoch"
            )
            found = facts.compatibility["optimizer"]["groups"][0].keys()
            assert found == before | {"lr", "weight_decay", "parameters"} | options.keys()
            plateau = {"class", "mode", "gamma", "patience", "threshold", "best", "waited", "reductions"}
            assert facts.compatibility["schedule"].keys() == plateau | {"t", "starting", "last"}
