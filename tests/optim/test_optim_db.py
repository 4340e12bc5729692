"""PyTorch's own samples for its optimisers (optim_db): those that exist here do the same, step for step, in float64.

Left out are only variants that choose one of torch's implementations (foreach, fused, capturable, differentiable),
which are refused here, and sparse gradients, which no Tensor has.
"""

from __future__ import annotations

import functools
import inspect
import json
import warnings
from typing import Any, NamedTuple

import numpy as np
import pytest

import minires as mr
from minires import optim

STEPS, RESUMED = 8, 4
SHAPES = ((3, 4), (5,), (2, 3, 2), ())
MATRICES = ((3, 4), (5, 2), (4, 4), (1, 6))
# (optimiser, description): why the sample fails here. A test below asks that it does.
EXCEPTIONS: dict[tuple[str, str], str] = {}


class Sample(NamedTuple):
    """A sample of optim_db."""

    name: str
    description: str
    options: dict[str, Any]


@functools.cache
def optim_db() -> list[Any]:
    """The entries of torch whose name exists here."""
    pytest.importorskip("torch")
    pytest.importorskip("expecttest", reason="torch's internal test modules import it")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_optimizers import optim_db as entries
    return [entry for entry in entries if hasattr(optim, entry.optim_cls.__name__)]


def samples() -> list[Sample]:
    return [
        Sample(entry.optim_cls.__name__, sample.desc, sample.kwargs)
        for entry in optim_db()
        for sample in entry.optim_inputs_func(device="cpu")
    ]


@pytest.fixture(autouse=True)
def torch_in_float64(torch, monkeypatch):
    """Without torch's roundings the two must agree: NAdam's to torch's default dtype, Muon's to bfloat16."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda tensor: tensor.clone())
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def shapes_of(name: str) -> tuple[tuple[int, ...], ...]:
    return MATRICES if name == "Muon" else SHAPES


def gradients(name: str) -> list[list[np.ndarray | None]]:
    """For each step one for each parameter; one parameter in turn has none."""
    rngs = np.random.default_rng(3).spawn(STEPS)
    shapes = shapes_of(name)
    return [
        [None if step and step % len(shapes) == i else rng.normal(size=shape) for i, shape in enumerate(shapes)]
        for step, rng in enumerate(rngs)
    ]


def options_of(sample: Sample, package: Any) -> dict[str, Any]:
    """The sample's arguments, with tensors of `package`."""
    torch = pytest.importorskip("torch")
    return {
        key: package.tensor(value.numpy()) if isinstance(value, torch.Tensor) else value
        for key, value in sample.options.items()
    }


def groups_of(leaves: list[Any], several: bool) -> list[Any]:
    return [{"params": leaves[:2]}, {"params": leaves[2:], "lr": 0.02}] if several else leaves


def trajectory(sample: Sample, package: Any, several: bool, resume: bool = False) -> list[np.ndarray]:
    """All parameters after each step, with the optimiser of `package` (torch or minires)."""
    start = [np.random.default_rng(4).normal(size=shape) for shape in shapes_of(sample.name)]
    leaves = [package.tensor(array, dtype=getattr(package, "float64", np.float64)) for array in start]
    leaves = [leaf.requires_grad_(True) for leaf in leaves]
    make = getattr(package.optim, sample.name)
    optimizer = make(groups_of(leaves, several), **options_of(sample, package))
    rows = []
    for step, arrays in enumerate(gradients(sample.name)):
        if resume and step == RESUMED:
            saved = optimizer.state_dict()
            saved["param_groups"] = json.loads(json.dumps(saved["param_groups"]))
            optimizer = make(groups_of(leaves, several), **options_of(sample, package))
            optimizer.load_state_dict(saved)
        for leaf, array in zip(leaves, arrays, strict=True):
            leaf.grad = None if array is None else package.tensor(array)
        optimizer.step()
        rows.append(np.concatenate([np.array(leaf.detach().numpy()).ravel() for leaf in leaves]))
    return rows


def compare(sample: Sample, torch: Any) -> None:
    for several in (False, True):
        ours, theirs = (trajectory(sample, package, several) for package in (mr, torch))
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-11)


def test_every_sample_does_the_same_or_is_listed(torch):
    failed = {}
    for sample in samples():
        try:
            compare(sample, torch)
        except Exception as error:
            failed[sample.name, sample.description] = f"{type(error).__name__}: {error}"
    assert failed.keys() == EXCEPTIONS.keys(), failed
    assert len(EXCEPTIONS) < 0.05 * len(samples())


def test_the_samples_are_those_of_every_optimiser_here(torch):
    """All of torch's but these four; Lookahead is of no torch. An optimiser of torch that is added here is tested."""
    theirs = {name for name, kind in vars(torch.optim).items() if isinstance(kind, type)}
    assert theirs - set(dir(optim)) == {"ASGD", "Adafactor", "LBFGS", "SparseAdam"}
    assert len({sample.name for sample in samples()}) == len(optim_db()) == 11
    assert len(samples()) > 60


def test_every_sample_resumes_to_the_same_bits():
    for sample in samples():
        expected, found = (trajectory(sample, mr, True, resume) for resume in (False, True))
        assert np.array_equal(expected, found), sample


def test_every_bad_sample_is_refused(torch):
    """What torch refuses to construct, or warns of, is an error here too."""
    refused = 0
    for entry in optim_db():
        name = entry.optim_cls.__name__
        for error in entry.optim_error_inputs_func(device="cpu", dtype=torch.float64):
            bad = error.optimizer_error_input
            if error.error_on.name != "CONSTRUCTION_ERROR":
                continue
            params = [mr.ones(2, 2)] if bad.params is None else translated(bad.params, torch)
            with pytest.raises((TypeError, ValueError)):
                getattr(optim, name)(params, **translated(bad.kwargs, torch))
            refused += 1
    assert refused > 80


def translated(value: Any, torch: Any, known: dict[int, Any] | None = None) -> Any:
    """`value` with MiniRes's tensors in place of torch's, the same one for the same."""
    known = {} if known is None else known
    if isinstance(value, torch.Tensor):
        return known.setdefault(id(value), mr.tensor(value.detach().numpy()))
    if isinstance(value, dict):
        return {key: translated(each, torch, known) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(translated(each, torch, known) for each in value)
    return value


@pytest.mark.parametrize("option", ["foreach", "fused", "capturable", "differentiable"])
def test_a_choice_of_torchs_implementations_is_refused_unless_it_is_none(torch, option):
    found = 0
    for entry in optim_db():
        make = getattr(optim, entry.optim_cls.__name__)
        if option in inspect.signature(entry.optim_cls).parameters:
            found += 1
            make([mr.ones(2, 2)], **{option: False})
            with pytest.raises(ValueError, match=rf"{make.__name__}: {option} = True has no meaning here: "):
                make([mr.ones(2, 2)], **{option: True})
        else:
            with pytest.raises(TypeError, match="unexpected keyword"):
                make([mr.ones(2, 2)], **{option: False})
    assert found >= 4


def test_arguments_are_torchs_in_torchs_order(torch):
    """With two exceptions: SGD takes fewer by position, and Muon one more by name."""
    for entry in optim_db():
        name = entry.optim_cls.__name__
        ours = dict(inspect.signature(getattr(optim, name)).parameters)
        theirs = dict(inspect.signature(entry.optim_cls).parameters)
        if name == "Muon":
            ours.pop("flatten")
        if name == "SGD":
            ours.pop("positional")
            assert list(ours)[:3] == list(theirs)[:3]
            assert ours.keys() == theirs.keys()
        else:
            assert list(ours) == list(theirs)
            assert [each.kind for each in ours.values()] == [each.kind for each in theirs.values()]
        for key in theirs:
            assert ours[key].default == theirs[key].default, (name, key)


def test_muon_is_torchs_up_to_bfloat16(torch, monkeypatch):
    """With torch's rounding: its orthogonal matrix has eight bits, and every step adds one of about lr."""
    monkeypatch.undo()
    sample = Sample("Muon", "", {"lr": 0.1})
    ours, theirs = (np.array(trajectory(sample, package, False)) for package in (mr, torch))
    assert 1e-6 < abs(ours - theirs).max() < STEPS * 0.1 * 2**-5
