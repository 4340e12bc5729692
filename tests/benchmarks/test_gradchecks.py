"""The comparison of gradient checkers: its cases are what they say, MiniRes gets all right, the table agrees."""

from __future__ import annotations

import functools
import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.gradchecks import Case, __main__
from benchmarks.gradchecks.cases import BROKEN as MISTAKES
from benchmarks.gradchecks.cases import HONEST as RIGHT
from benchmarks.gradchecks.checkers import CHECKERS, CRASHED, gradients, run

ROOT = Path(__file__).resolve().parents[2]
STEP = 1e-30
# Where forward itself is not differentiable though the function it rounds is.
UNROUNDED = {"float32-inside": np.sin}
# How far the gradients are off, max |wrong − right| / max |right|, where that is little; else a twentieth or more.
SLIGHTLY = {
    "variance-over-n-minus-one": 1 / 4095,
    "degrees-rounded": 1.9e-4,
    "speed-of-light-rounded": 8.2e-6,
    "batch-norm-eps-forgotten": 4e-5,
    "small-absolute-dropped": 5e-7,
    "real-square-dropped": 1.33e-6,
    "narrow-root-dropped": 0.05 / 1.05,
}
# Mistakes in one output that others hide, and that output.
HIDDEN = {
    "small-output-without-cosine": 1,
    "small-output-without-gradient": 1,
    "regulariser-without-three": 1,
    "least-output-flipped": 0,
}
# Mistakes that another forward pass brings out.
STALE = {"cache-of-the-class", "shared-scratch-buffer"}
# Mistakes that a gradient of ones does not show.
BLIND_TO_ONES = {
    "batch-norm-variance-constant",
    "batch-norm-unbiased",
    "batch-norm-eps-forgotten",
    "batch-norm-zeros",
    "softmax-plain-mean",
    "padding-cropped-off-centre",
    "gradient-clipped",
    "gradient-squared",
    "buffer-not-cleared",
    "gradient-halved-later",
    *STALE,
    *HIDDEN,
}


def cotangent(case: Case, scale: float = 2.0) -> np.ndarray:
    """A gradient of the output: normal numbers, of which some exceed 1."""
    return scale * np.random.default_rng(7).standard_normal(np.shape(case.whole(*case.inputs)))


def truth(case: Case, g: np.ndarray) -> list[np.ndarray]:
    """∂(Σ g·f)/∂x for every input by the complex step, Im f(x + ih)/h.

    On the branches of the convention, with what is stopped held constant, and of the surrogate where there is one.
    """
    function = case.surrogate or UNROUNDED.get(case.name, case.whole)
    if case.branches is not None:
        function = functools.partial(case.on_branches, case.branches(*case.inputs))
    if case.stops:
        held = case.extras(*case.inputs)

        def function(*inputs, case=case, held=held):
            return case.forward(*inputs, *held)

    arrays = [x.astype(complex) for x in case.inputs]
    found = [np.full(x.shape, np.nan) for x in case.inputs]  # of a large array some numbers only
    for x, gradient in zip(arrays, found, strict=True):
        for index in itertools.islice(np.ndindex(x.shape), 0, None, 1 + x.size // 500):
            x[index] += 1j * STEP
            gradient[index] = (g * np.imag(function(*arrays))).sum() / STEP
            x[index] = x[index].real
    return found


def distance(found, expected) -> float:
    """max |found − expected| / max |expected|, for the worst input."""
    return max(
        np.nanmax(np.abs(f - e)) / max(np.nanmax(np.abs(e)), 1e-300) for f, e in zip(found, expected, strict=True)
    )


BROKEN = pytest.mark.parametrize("name", MISTAKES)
HONEST = pytest.mark.parametrize("name", RIGHT)


# -- the cases --------------------------------------------------------------------------------------------------------


def test_eighty_mistakes_and_fifty_honest_cases():
    assert (len(MISTAKES), len(RIGHT)) == (80, 50)
    cases = [build() for build in (*MISTAKES.values(), *RIGHT.values())]
    assert len({case.name for case in cases}) == len({case.note for case in cases}) == 130
    assert all(len(case.note) > 10 for case in cases)
    assert all(x.dtype in (np.float64, np.float32) for case in cases for x in case.inputs)


@pytest.mark.parametrize("build", [*MISTAKES.values(), *RIGHT.values()], ids=lambda build: build().name)
def test_branches_give_what_forward_gives(build):
    case = build()
    assert (case.branches is None) == (case.on_branches is None)
    if case.branches is not None:
        y = case.whole(*case.inputs)
        np.testing.assert_allclose(case.on_branches(case.branches(*case.inputs), *case.inputs), y, rtol=1e-12)


@HONEST
def test_an_honest_backward_is_right(name):
    """Element by element, relative to itself, so that a tiny one beside a huge one counts."""
    case = RIGHT[name]()
    assert case.right is None
    g = cotangent(case)
    # The first two round their input inside, so that 8 to 10 digits are left; g − Σ g y of a sure row rounds to 0.
    rtol = 1e-6 if name in {"batch-norm-far-from-zero", "cancelling-sum"} else 1e-10
    rtol = 1e-5 if case.inputs[0].dtype == np.float32 else rtol
    atol = 1e-15 if name == "softmax-saturated" else 0
    for found, expected in zip(gradients(case, g, case.arguments(*case.inputs)), truth(case, g), strict=True):
        known = ~np.isnan(expected)
        np.testing.assert_allclose(found[known], expected[known], rtol=rtol, atol=atol)


@BROKEN
def test_the_right_backward_of_a_mistake_is_right(name):
    case = MISTAKES[name]()
    g = cotangent(case)
    expected = truth(case, g)
    tolerance = 1e-6 if case.inputs[0].dtype == np.float32 else 1e-10
    assert distance(case.right(g, *case.arguments(*case.inputs)), expected) < tolerance


@BROKEN
def test_a_mistake_is_one(name):
    """The third call counts, after a forward pass elsewhere: some mistakes have a memory."""
    case = MISTAKES[name]()
    g = cotangent(case)
    arguments = case.arguments(*case.inputs)
    case.forward(*arguments)
    gradients(case, g, arguments)
    gradients(case, g, arguments)
    if name in STALE:
        case.forward(*[0.5 - x for x in arguments])
    if name in HIDDEN:
        g[np.arange(len(g)) != HIDDEN[name]] = 0
    off = distance(gradients(case, g, arguments), case.right(g, *arguments))
    if name in SLIGHTLY:
        assert off == pytest.approx(SLIGHTLY[name], rel=0.2)
    else:
        assert off > 0.05


@BROKEN
def test_what_a_sum_does_not_show(name):
    case = MISTAKES[name]()
    ones = np.ones_like(case.whole(*case.inputs))
    arguments = case.arguments(*case.inputs)
    found, expected = gradients(case, ones, arguments), case.right(ones, *arguments)
    same = all(np.allclose(f, e, rtol=1e-9, atol=1e-12) for f, e in zip(found, expected, strict=True))
    assert same == (name in BLIND_TO_ONES)


def test_the_mistakes_with_a_memory():
    case = MISTAKES["buffer-not-cleared"]()
    g = cotangent(case)
    (expected,) = case.right(g, *case.inputs)
    np.testing.assert_array_equal(gradients(case, g, case.inputs)[0], expected)
    np.testing.assert_allclose(gradients(case, g, case.inputs)[0], 2 * expected)
    np.testing.assert_array_equal(gradients(MISTAKES[case.name](), g, case.inputs)[0], expected)  # built afresh


# -- MiniRes ----------------------------------------------------------------------------------------------------------


@BROKEN
def test_minires_catches(name):
    outcome = run(CHECKERS["minires"], MISTAKES[name]())
    assert outcome.alarm, outcome.said
    assert not outcome.said.startswith(CRASHED), outcome.said


@HONEST
def test_minires_does_not_accuse(name):
    outcome = run(CHECKERS["minires"], RIGHT[name]())
    assert not outcome.alarm, outcome.said


@pytest.mark.slow  # 10 s: the eighty cases once more
@BROKEN
def test_minires_does_not_accuse_the_right_backward_either(name):
    """The other half of each mistake: an alarm that is always on would catch forty, too."""
    case = MISTAKES[name]()
    corrected = replace(case, backward=case.right, right=None)
    outcome = run(CHECKERS["minires"], corrected)
    assert not outcome.alarm, outcome.said


def test_the_committed_table_says_the_same():
    """Every case with its note as it is now, in its set, and MiniRes' verdict that the tests above hold it to."""
    lines = __main__.split(ROOT / "docs" / "gradcheck.md")[1].splitlines()
    table = [[cell.strip(" *") for cell in line.strip("| ").split(" | ")] for line in lines if line.startswith("| ")]
    (first, second) = (i for i, cells in enumerate(table) if "MiniRes" in cells)
    for kind, rows in (("broken", table[first:second]), ("honest", table[second:])):
        header, total, *cases = rows
        place = header.index("MiniRes")
        expected = [[name, build().note, __main__.GOOD[kind]] for name, build in __main__.SETS[kind].items()]
        assert [[*cells[:2], cells[place]] for cells in cases] == [
            [name, note.replace("|", "\\|"), word] for name, note, word in expected
        ]
        assert total[place] == {"broken": "80 of 80 caught", "honest": "0 of 50 accused"}[kind]


# -- the peers' adapters, on what nobody can mistake ------------------------------------------------------------------


def plain_and_wrong(checker: str) -> tuple[bool, bool]:
    """Whether it raises an alarm at a smooth honest case of two inputs, and at a flipped sign."""
    wrong = MISTAKES["subtract-sign-flipped"]()
    right = Case(wrong.inputs, wrong.forward, wrong.right, name="subtract")
    return run(CHECKERS[checker], right).alarm, run(CHECKERS[checker], wrong).alarm


def test_the_central_difference():
    assert plain_and_wrong("difference") == (False, True)
    assert not run(CHECKERS["difference"], MISTAKES["batch-norm-zeros"]()).alarm
    outcome = run(CHECKERS["difference"], MISTAKES["square-without-two"]())
    assert outcome.said.startswith("relative error 5.0e-01 at input 0[0, 0]: analytic 0.12573, numeric 0.25146")


def test_the_torch_adapter(torch):
    assert plain_and_wrong("torch") == (False, True)
    assert "Jacobian mismatch" in run(CHECKERS["torch"], MISTAKES["square-without-two"]()).said


def test_the_autograd_adapter():
    pytest.importorskip("autograd")
    state = np.random.get_state  # of the global generator, where autograd takes its random numbers from
    before = state()[1].copy()
    assert plain_and_wrong("autograd") == (False, True)
    assert "Derivative (VJP) check" in run(CHECKERS["autograd"], MISTAKES["square-without-two"]()).said
    np.testing.assert_array_equal(state()[1], before)


def test_a_crash_is_an_alarm_and_told_apart():
    def forward(x):
        raise ZeroDivisionError("by zero")

    outcome = run(CHECKERS["difference"], Case((np.ones(2),), forward, lambda g, x: (g,)))
    assert outcome.alarm
    assert outcome.said == CRASHED + "ZeroDivisionError: by zero"


def test_a_missing_gradient_is_zeros():
    case = Case((np.ones(2), np.ones(3)), lambda a, b: a, lambda g, a, b: (g, None))
    found = gradients(case, np.ones(2), case.inputs)
    assert [each.tolist() for each in found] == [[1, 1], [0, 0, 0]]


# -- the program ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "jax"], "--only"),
        (["--only", "minires", "--write", "x.md"], "--write needs all columns"),
        (["--frob"], "--frob"),
    ],
)
def test_a_users_mistake_is_one_line(arguments, words, capsys):
    with pytest.raises(SystemExit) as caught:
        __main__.parse(arguments)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_a_missing_package_is_named_with_its_cure(monkeypatch, capsys):
    monkeypatch.setattr(__main__.importlib.util, "find_spec", lambda name: None if name == "torch" else object())
    with pytest.raises(SystemExit) as caught:
        __main__.parse([])
    assert caught.value.code == 2
    assert "torch not installed: pip install torch autograd" in capsys.readouterr().err
    assert __main__.parse(["--only", "minires"]).checkers == ["minires"]


@pytest.mark.parametrize(("content", "words"), [(None, "cannot read"), ("# No markers\n", "needs these two lines")])
def test_a_file_that_cannot_take_the_table(content, words, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(__main__.importlib.util, "find_spec", lambda name: object())
    path = tmp_path / "page.md"
    if content:
        path.write_text(content)
    with pytest.raises(SystemExit) as caught:
        __main__.parse(["--write", str(path)])
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def test_writing_keeps_the_rest_of_the_page(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(f"before\n\n{__main__.BEGIN}\nold\n{__main__.END}\n\nafter\n")
    __main__.write(path, "| new |\n")
    assert path.read_text() == f"before\n\n{__main__.BEGIN}\n\n| new |\n\n{__main__.END}\n\nafter\n"
    __main__.write(path, "| new |\n")
    assert path.read_text().count("| new |") == 1


def test_the_table_in_each_form(monkeypatch, capsys):
    """One column of a few cases, through the whole program."""
    few = {
        "broken": {name: MISTAKES[name] for name in ("square-without-two", "batch-norm-zeros")},
        "honest": {name: RIGHT[name] for name in ("relu-at-zero", "median")},
    }
    monkeypatch.setattr(__main__, "SETS", few)
    assert __main__.main(["--only", "difference"]) == 0  # only MiniRes' column decides
    printed = capsys.readouterr().out
    assert "1 of 2 caught" in printed
    assert "1 of 2 accused" in printed
    __main__.main(["--only", "difference", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [row["verdicts"]["difference"] for row in found["sets"]["broken"]] == ["caught", "missed"]
    table = __main__.markdown(found)
    assert (
        "| batch-norm-zeros | Batch norm: the gradient of x is zeros, as that of sum(y) truly is | **missed** |"
        in table
    )
    assert "| median | " in table
    assert found["date"] in table
    assert f"numpy {np.__version__}" in table
    assert "s a check (median)" in table
