"""Whole pictures, as somebody has looked at and approved of: every length, place and colour counts.

After a change of the layout: `python -m tests.inspection.test_pictures` writes them anew; look at each of them.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires.inspection.drawing import Drawing, render
from minires.inspection.drawing.compose import compose

FOLDER = Path(__file__).with_name("pictures")


def leaf(*shape: int) -> mr.Tensor:
    return mr.tensor(np.ones(shape, np.float32), requires_grad=True)


def residual_block() -> Drawing:
    """Two convolutions with fused batch norms and a projection: frames, side leaves, a skip, a fork."""
    x, p = leaf(2, 4, 5, 5), {"conv1": leaf(4, 4, 3, 3), "conv2": leaf(4, 4, 3, 3), "projection": leaf(4, 4, 1, 1)}
    p |= {f"bn{k}.{name}": leaf(4) for k in (1, 2) for name in ("weight", "bias")}

    def norm(h: mr.Tensor, which: str, **fuse: Any) -> mr.Tensor:
        return F.batch_norm(h, None, None, p[f"{which}.weight"], p[f"{which}.bias"], True, relu=True, **fuse)

    h = norm(F.conv2d(x, p["conv1"], padding=1), "bn1")
    shortcut = F.conv2d(x, p["projection"])
    y = norm(F.conv2d(h, p["conv2"], padding=1), "bn2", residual=shortcut)
    return mr.draw_graph(F.relu(y + x), names={"x": x, "h": h, **p})


def recurrence() -> Drawing:
    """Three steps of a network with a loss at each: long edges, a weight that forks, many joins."""
    h, w, loss = leaf(1, 3), leaf(3, 3), mr.tensor(0.0)
    for _ in range(3):
        h = (h @ w).tanh()
        loss = loss + (h * h).sum()
    return mr.draw_graph(loss, names={"state": h, "W": w})


def joins() -> Drawing:
    """Five inputs of one op, of which one is used twice; a scale from above; a wide character and a long name."""
    a, b, c = leaf(2), leaf(2), leaf(2)
    many = F.cat([a.exp(), b, c.tanh(), a, b.relu().sigmoid().exp()])
    return mr.draw_graph(many * many.sum() / (abs(c).sum() + 1.0), names={"漢字 mW": a, "a name " * 9: b, "i|l": c})


PICTURES: dict[str, Callable[[], Drawing]] = {
    "residual_block": residual_block,
    "recurrence": recurrence,
    "joins": joins,
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_the_one_that_was_approved(name):
    found = ElementTree.fromstring(PICTURES[name]().svg)
    approved = ElementTree.fromstring((FOLDER / f"{name}.svg").read_text("utf-8"))
    for ours, theirs in zip(found.iter(), approved.iter(), strict=True):
        assert (ours.tag, ours.attrib, ours.text) == (
            theirs.tag,
            theirs.attrib,
            (theirs.text or "").strip("\n") or None,
        )


@pytest.mark.parametrize("name", PICTURES)
def test_a_png_has_the_same_things_in_the_same_places(name, monkeypatch):
    pytest.importorskip("matplotlib")
    from matplotlib.colors import to_hex as colour
    from matplotlib.figure import Figure
    from matplotlib.patches import Circle, FancyBboxPatch, PathPatch, Polygon

    drawn: list[Any] = []
    monkeypatch.setattr(Figure, "savefig", lambda canvas, *_, **__: drawn.append(canvas))
    drawing = PICTURES[name]()
    render.png(compose(drawing.graph), io.BytesIO())
    (canvas,) = drawn
    (axes,) = canvas.axes
    svg = ElementTree.fromstring(drawing.svg)
    width, height = float(svg.get("width", "")), float(svg.get("height", ""))
    assert tuple(72 * canvas.get_size_inches()) == (pytest.approx(width, abs=0.1), pytest.approx(height, abs=0.1))
    assert canvas.dpi == 144
    assert (axes.get_xlim(), axes.get_ylim()) == (
        (0, pytest.approx(width, abs=0.1)),
        (pytest.approx(height, abs=0.1), 0),
    )
    assert axes.get_position().bounds == (0, 0, 1, 1)
    assert not axes.axison

    def of(kind: type) -> list[Any]:
        return [patch for patch in axes.patches if type(patch) is kind]

    def numbers(text: str) -> list[float]:
        return [float(n) for n in "".join(c if c in "-.0123456789" else " " for c in text).split()]

    rects = [each for each in svg.iter() if each.tag.endswith("rect")][1:]
    for box, rect in zip(of(FancyBboxPatch), rects, strict=True):
        place = box.get_x(), box.get_y(), box.get_width(), box.get_height()
        assert place == tuple(pytest.approx(float(rect.get(key, "")), abs=0.1) for key in ("x", "y", "width", "height"))
        assert box.get_boxstyle().rounding_size == float(rect.get("rx", ""))
        assert (colour(box.get_facecolor()), colour(box.get_edgecolor())) == (rect.get("fill"), rect.get("stroke"))
        assert box.get_linewidth() == float(rect.get("stroke-width", ""))
        assert (box.get_linestyle() == "--") is ("stroke-dasharray" in rect.attrib)
    paths = [each for each in svg.iter() if each.tag.endswith("path")]
    for line, path in zip(of(PathPatch), paths, strict=True):
        assert line.get_path().vertices.ravel() == pytest.approx(numbers(path.get("d", "")), abs=0.1)
        assert colour(line.get_edgecolor()) == path.get("stroke")
        assert line.get_linewidth() == float(path.get("stroke-width", ""))
        assert not line.get_fill()
    heads = [each for each in svg.iter() if each.tag.endswith("polygon")]
    for head, polygon in zip(of(Polygon), heads, strict=True):
        assert head.get_xy()[:3].ravel() == pytest.approx(numbers(polygon.get("points", "")), abs=0.1)
        assert colour(head.get_facecolor()) == polygon.get("fill")
    circles = [each for each in svg.iter() if each.tag.endswith("circle")]
    for dot, circle in zip(of(Circle), circles, strict=True):
        place = *dot.get_center(), dot.get_radius()
        assert place == tuple(pytest.approx(float(circle.get(key, "")), abs=0.1) for key in ("cx", "cy", "r"))
    texts = [each for each in svg.iter() if each.tag.endswith("text")]
    for text, element in zip(axes.texts, texts, strict=True):
        size = float(element.get("font-size", ""))
        assert text.get_text() == element.text
        assert text.get_position()[0] == pytest.approx(float(element.get("x", "")), abs=0.1)
        assert text.get_position()[1] == pytest.approx(float(element.get("y", "")) - 0.35 * size, abs=0.1)
        assert text.get_fontsize() == pytest.approx(0.92 * size)
        assert not text.get_parse_math()
    order = [max(each.get_zorder() for each in group) for group in (of(FancyBboxPatch), of(PathPatch), axes.texts)]
    assert order == sorted(set(order))  # boxes, then lines over them, then texts


def main() -> None:
    for name, make in PICTURES.items():
        tree = ElementTree.ElementTree(ElementTree.fromstring(make().svg))
        ElementTree.register_namespace("", "http://www.w3.org/2000/svg")
        ElementTree.indent(tree, "")
        tree.write(FOLDER / f"{name}.svg", "utf-8")


if __name__ == "__main__":
    main()
