"""The norms on the arrows of a drawn graph, against gradients that `mr.grad` and NumPy give; and PDF."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minires as mr
from minires import functional as F
from minires.errors import GraphError, MiniResError, ShapeError
from minires.inspection.drawing import Drawing
from minires.inspection.drawing.gradients import norm_text


def normal(*shape: int, seed: int = 0, requires_grad: bool = True) -> mr.Tensor:
    numbers = np.random.default_rng((seed, *shape)).standard_normal(shape)
    return mr.tensor(numbers, requires_grad=requires_grad)


def norms(drawing: Drawing) -> dict[tuple[str, str, int], float | None]:
    """{(name of the source, name of the target, number of the input): norm}, for graphs whose names are unique."""
    names = [vertex.label or vertex.name for vertex in drawing.graph.vertices]
    found = {(names[e.source], names[e.target], e.input): e.gradient for e in drawing.graph.edges}
    assert len(found) == len(drawing.graph.edges)
    return found


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 99))
def test_a_residual_block_has_what_the_chain_rule_says_on_each_arrow(rows: int, width: int, seed: int) -> None:
    x, w, g = (normal(*s, seed=seed) for s in ((rows, width), (width, width), (rows, width)))
    f = F.tanh(x @ w)
    y = f + x
    found = norms(mr.draw_graph(y, names={"x": x, "w": w, "f": f}, gradients=g))
    through_f = g.numpy() * (1 - f.numpy() ** 2)
    length = np.linalg.norm
    assert found == {
        ("Add", "output", 0): pytest.approx(length(g.numpy())),
        ("f", "Add", 0): pytest.approx(length(g.numpy())),
        ("x", "Add", 1): pytest.approx(length(g.numpy())),
        ("MatMul", "f", 0): pytest.approx(length(through_f)),
        ("x", "MatMul", 0): pytest.approx(length(through_f @ w.numpy().T)),
        ("w", "MatMul", 1): pytest.approx(length(x.numpy().T @ through_f)),
    }


def test_where_gradients_join_the_sum_goes_on() -> None:
    x = normal(3)
    h = x.exp()
    loss = (h * h).sum()
    found = norms(mr.draw_graph(loss, names={"x": x}, gradients=True))
    h = h.numpy()
    assert found["Exp", "Multiply", 0] == found["Exp", "Multiply", 1] == pytest.approx(np.linalg.norm(h))
    assert found["x", "Exp", 0] == pytest.approx(np.linalg.norm(2 * h * h))
    assert found["Sum", "output", 0] == 1


def test_it_leaves_no_trace() -> None:
    x, seen = normal(3), []
    h = x.exp()
    h.register_hook(seen.append)
    loss = (h * x).sum()
    mr.draw_graph(loss, gradients=True)
    assert x.grad is None
    assert seen == []
    loss.backward()  # the graph was kept
    assert x.grad.numpy() == pytest.approx(np.exp(x.numpy()) * (1 + x.numpy()))


def test_a_pass_to_one_target_before_it_hides_nothing() -> None:
    x, w = normal(2, 3), normal(3, 2)
    loss = (x @ w).sum()
    mr.grad(loss, x, retain_graph=True)
    assert None not in norms(mr.draw_graph(loss, names={"x": x, "w": w}, gradients=True)).values()


def test_an_arrow_without_a_gradient_has_no_number() -> None:
    class Gate(mr.Function):
        def forward(self, x, gate):
            return x * (gate > 0)

        def backward(self, g):
            return g, None

    x, gate = normal(3), normal(3, seed=1)
    drawing = mr.draw_graph(Gate()(x, gate).sum(), names={"x": x, "gate": gate}, gradients=True)
    assert norms(drawing)["gate", "Gate", 1] is None
    labels = re.findall(r">([^<]+)</text>", drawing.svg)
    assert Counter(norm_text(e.gradient) for e in drawing.graph.edges if e.gradient is not None) <= Counter(labels)
    assert drawing.dot.count("[label=") == 3  # three arrows of four


def test_without_gradients_there_are_none() -> None:
    drawing = mr.draw_graph(normal(3).exp().sum())
    assert {edge.gradient for edge in drawing.graph.edges} == {None}
    assert "norm of the gradient" not in drawing.svg
    assert "norm of the gradient" in mr.draw_graph(normal(3).exp().sum(), gradients=True).svg


def test_what_is_not_a_single_number_needs_a_gradient() -> None:
    y = normal(2, 3).exp()
    with pytest.raises(GraphError, match=r"shape \(2, 3\) pass the gradient to start from: gradients=g"):
        mr.draw_graph(y, gradients=True)
    with pytest.raises((ShapeError, GraphError), match=r"\(3,\)"):
        mr.draw_graph(y, gradients=normal(3, requires_grad=False))


@pytest.mark.parametrize(
    ("norm", "text"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (0.03124, "0.0312"),
        (12.54, "12.5"),
        (3.14e-19, "3.14e−19"),
        (2e5, "2e5"),
        (1.3e13, "1.3e13"),
    ],
)
def test_norms_have_three_digits(norm: float, text: str) -> None:
    assert norm_text(norm) == text


def test_pdf_has_the_page_and_the_words_of_the_svg(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    x = normal(3)
    drawing = mr.draw_graph(x.exp().sum(), names={"x": x}, gradients=True)
    drawing.save(tmp_path / "graph.PDF")
    content = (tmp_path / "graph.PDF").read_bytes()
    assert content.startswith(b"%PDF-")
    box = [float(n) for n in re.search(rb"/MediaBox \[([^\]]+)\]", content)[1].split()]
    width, height = (float(re.search(rf'{side}="([\d.]+)"', drawing.svg)[1]) for side in ("width", "height"))
    assert box == [0, 0, pytest.approx(width, abs=0.1), pytest.approx(height, abs=0.1)]
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL)
    page = b"".join(zlib.decompress(each) for each in streams if each.startswith(b"x"))
    assert page.count(b"BT\n") == drawing.svg.count("<text")  # a text object for each text: no outlines of letters
    assert b"CreationDate" not in content
    drawing.save(tmp_path / "again.pdf")
    assert (tmp_path / "again.pdf").read_bytes() == content


def test_too_tall_for_a_pdf(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    y = normal(2)
    for _ in range(200):
        y = y + 1.0
    with pytest.raises(MiniResError, match=r"too large for a PDF: save it as \.svg"):
        mr.draw_graph(y).save(tmp_path / "graph.pdf")
    assert list(tmp_path.iterdir()) == []
