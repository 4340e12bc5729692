"""The picture is held against what was computed: its SVG is parsed, and compared with a record kept while computing.

Readability is measured on the SVG alone: no two boxes overlap, no edge runs across a box that is not its own, and each
begins and ends at the box it says it does.
"""

from __future__ import annotations

import gc
import re
import sys
import time
import weakref
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minires as mr
from minires import functional as F
from minires.errors import GraphError, MiniResError
from minires.inspection.drawing import Drawing
from minires.inspection.drawing.figure import LARGE, MAX_TEXT_LENGTH, text_width

SVG = "{http://www.w3.org/2000/svg}"
RNG = np.random.default_rng(0)


def leaf(*shape: int) -> mr.Tensor:
    return mr.tensor(RNG.normal(size=shape).astype(np.float32), requires_grad=True)


class Mix(mr.Function):
    """Adds any number of inputs, so that a test can build any graph."""

    saved_inputs = ()

    def __init__(self, parts: tuple[str, ...] = ()) -> None:
        self.parts = parts  # type: ignore[misc]

    def forward(self, *arrays: Any) -> Any:
        return sum(arrays[1:], arrays[0])

    def backward(self, gradient: mr.Tensor) -> Any:
        return gradient if len(self.inputs) == 1 else (gradient,) * len(self.inputs)


# -- reading an SVG ----------------------------------------------------------------------------------------------------


class Picture:
    """What stands in an SVG: boxes with their texts and bounds (left, top, right, bottom), edges with their paths."""

    def __init__(self, svg: str) -> None:
        root = ElementTree.fromstring(svg)
        self.width, self.height = float(root.get("width", "")), float(root.get("height", ""))
        self.boxes, self.edges, self.texts = [], [], []
        for group in root.iter(f"{SVG}g"):
            if "data-vertex" in group.attrib:
                self.boxes.append(self.box(group))
            else:
                self.edges.append(self.edge(group))
        for text in root.findall(f"{SVG}text"):
            self.texts.append((text.text, float(text.get("x", "")), float(text.get("y", ""))))
        self.dots = [
            (float(c.get("cx")), float(c.get("cy"))) for c in root.iter(f"{SVG}circle") if c.get("class") == "fork"
        ]

    @staticmethod
    def box(group: ElementTree.Element) -> SimpleNamespace:
        rect = group.find(f"{SVG}rect")
        left, top, width, height = (float(rect.get(key)) for key in ("x", "y", "width", "height"))
        return SimpleNamespace(
            vertex=int(group.get("data-vertex", "")),
            part=int(group.get("data-part", "")),
            style=group.get("class"),
            title=group.findtext(f"{SVG}title"),
            texts=[text.text for text in group.findall(f"{SVG}text")],
            bounds=(left, top, left + width, top + height),
        )

    @staticmethod
    def edge(group: ElementTree.Element) -> SimpleNamespace:
        ends = [group.get(f"data-{end}") for end in ("from", "to", "part")]
        points = np.array([0.0, 0.0])[None]
        for command, numbers in re.findall(r"([MLC])([^MLC]*)", group.find(f"{SVG}path").get("d")):
            control = np.array([float(n) for n in re.findall(r"-?[\d.]+", numbers)]).reshape(-1, 2)
            if command == "M":
                points = control
                continue
            t = np.linspace(0, 1, 60)[:, None]
            if command == "L":
                more = points[-1] * (1 - t) + control[0] * t
            else:
                a, b, c, d = points[-1], *control
                more = (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d
            points = np.concatenate([points, more])
        head = group.find(f"{SVG}polygon").get("points").split()
        tip = tuple(float(n) for n in head[0].split(","))
        is_edge = ends[0] is not None
        ends = [int(end) for end in ends] if is_edge else [None] * 3
        return SimpleNamespace(is_edge=is_edge, source=ends[0], target=ends[1], part=ends[2], points=points, tip=tip)

    def main_box(self, vertex: int, part: int) -> SimpleNamespace:
        (box,) = [b for b in self.boxes if (b.vertex, b.part) == (vertex, part) and b.style != "group"]
        return box

    def labels(self) -> dict[int, str]:
        """Vertex -> its texts, parts one after the other."""
        labels: dict[int, str] = {}
        for box in self.boxes:
            labels[box.vertex] = " ".join([labels.get(box.vertex, ""), *box.texts]).strip()
        return labels

    def edge_labels(self) -> Counter[tuple[str, str]]:
        labels = self.labels()
        return Counter((labels[e.source], labels[e.target]) for e in self.edges if e.is_edge)


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def assert_readable(drawing: Drawing) -> Picture:
    """Boxes, edges and texts do not get in each other's way, and edges end where they say."""
    picture = Picture(drawing.svg)
    boxes = picture.boxes
    for number, a in enumerate(boxes):
        assert min(a.bounds) > 0
        assert a.bounds[2] < picture.width
        assert a.bounds[3] < picture.height
        for b in boxes[:number]:
            framed = a.vertex == b.vertex and "group" in (a.style, b.style)
            assert framed or not overlap(a.bounds, b.bounds), (a, b)
    last_part = {vertex: max(b.part for b in boxes if b.vertex == vertex) for vertex in {b.vertex for b in boxes}}
    for edge in picture.edges:
        if not edge.is_edge:
            continue
        source, target = picture.main_box(edge.source, last_part[edge.source]), picture.main_box(edge.target, edge.part)
        assert on_border(source.bounds, tuple(edge.points[0]))
        assert on_border(target.bounds, edge.tip)
        for box in boxes:
            own_frame = box.style == "group" and box.vertex in (edge.source, edge.target)
            if box not in (source, target) and not own_frame:
                inside = [inside_box(box.bounds, point) for point in edge.points]
                assert not any(inside), (edge.source, edge.target, box)
        inner = np.array([inside_box(target.bounds, point) for point in edge.points])
        assert not inner.any(), "an edge ends at its box, not in it"
    runs = [level_run(edge) for edge in picture.edges if edge.is_edge]
    for number, (y, left, right) in enumerate(runs):
        assert not any(abs(y - other) < 1 and a < right and left < b for other, a, b in runs[:number])
    for text, x, y in picture.texts:
        bounds = (x, y - 8, x + 0.5 * 11 * len(text), y)
        assert not any(overlap(bounds, box.bounds) for box in boxes), text
    return picture


def level_run(edge: SimpleNamespace) -> tuple[float, float, float]:
    """(y, from x, to x) of the last, level piece of an edge that enters a box at its side; of another, a point."""
    x = edge.points[np.abs(edge.points[:, 1] - edge.tip[1]) < 0.5, 0]
    return edge.tip[1], x.min(initial=edge.tip[0]), x.max(initial=edge.tip[0])


def inside_box(bounds: tuple[float, ...], point: Any) -> bool:
    return bool(bounds[0] + 0.2 < point[0] < bounds[2] - 0.2 and bounds[1] + 0.2 < point[1] < bounds[3] - 0.2)


def on_border(bounds: tuple[float, ...], point: tuple[float, float]) -> bool:
    x, y = point
    left, top, right, bottom = bounds
    across, along = left - 0.2 <= x <= right + 0.2, top - 0.2 <= y <= bottom + 0.2
    on_side = min(abs(x - left), abs(x - right)) < 0.2 or min(abs(y - top), abs(y - bottom)) < 0.2
    return across and along and on_side


# -- residual blocks ---------------------------------------------------------------------------------------------------


def block_parameters(channels: int = 4, prefix: str = "") -> dict[str, mr.Tensor]:
    shapes = {"conv1.weight": (channels, channels, 3, 3), "bn1.weight": (channels,), "bn1.bias": (channels,)}
    shapes |= {key.replace("1", "2"): shape for key, shape in shapes.items()}
    return {prefix + key: leaf(*shape) for key, shape in shapes.items()}


def block(x: mr.Tensor, p: dict[str, mr.Tensor], fused: bool = False, training: bool = True) -> mr.Tensor:
    """relu(bn(conv(relu(bn(conv(x))))) + x), of separate ops, or with sum and ReLUs fused into the batch norms."""
    channels = x.shape[1]
    mean, var = mr.zeros((channels,)), mr.ones((channels,))

    def norm(h: mr.Tensor, which: str, **fuse: Any) -> mr.Tensor:
        return F.batch_norm(h, mean, var, p[f"{which}.weight"], p[f"{which}.bias"], training, **fuse)

    if fused:
        h = norm(F.conv2d(x, p["conv1.weight"], padding=1), "bn1", relu=True)
        return norm(F.conv2d(h, p["conv2.weight"], padding=1), "bn2", residual=x, relu=True)
    h = F.relu(norm(F.conv2d(x, p["conv1.weight"], padding=1), "bn1"))
    return F.relu(norm(F.conv2d(h, p["conv2.weight"], padding=1), "bn2") + x)


def test_residual_block_shows_the_add_and_the_skip():
    x, p = leaf(2, 4, 5, 5), block_parameters()
    picture = assert_readable(mr.draw_graph(block(x, p), names={"x": x, **p}))
    s = "(2, 4, 5, 5)"
    spine = [f"x {s}", f"Conv2d {s}", f"BatchNormTraining {s}", f"ReLU {s}", f"Conv2d {s}", f"BatchNormTraining {s}"]
    spine += [f"Add {s}", f"ReLU {s}", f"output {s}"]
    expected = Counter(pairwise(spine))
    expected[f"x {s}", f"Add {s}"] += 1
    for n in "12":
        expected[f"conv{n}.weight (4, 4, 3, 3)", f"Conv2d {s}"] += 1
        expected[f"bn{n}.weight (4,)", f"BatchNormTraining {s}"] += 1
        expected[f"bn{n}.bias (4,)", f"BatchNormTraining {s}"] += 1
    assert picture.edge_labels() == expected
    assert Counter(picture.labels().values()) == Counter(
        [
            *spine,
            *(f"conv{n}.weight (4, 4, 3, 3)" for n in "12"),
            *(f"bn{n}.{v} (4,)" for n in "12" for v in ("weight", "bias")),
        ]
    )
    assert [box.texts[0] for box in picture.boxes if box.style == "join"] == ["Add"]
    # The skip leaves the main path, goes around the block, and its lane says what it carries.
    (skip,) = [
        e for e in picture.edges if e.is_edge and picture.labels()[e.source][0] == "x" and e.points[-1][0] > e.tip[0]
    ]
    right_of_block = max(box.bounds[2] for box in picture.boxes)
    assert skip.points[:, 0].max() > right_of_block + 10
    assert s in [text for text, _, _ in picture.texts]


def test_main_path_is_straight_and_everything_flows_down():
    y = block(block(leaf(2, 4, 5, 5), block_parameters()), block_parameters())
    picture = Picture(mr.draw_graph(y).svg)
    centres = {round((b.bounds[0] + b.bounds[2]) / 2, 0) for b in picture.boxes if b.style in ("op", "join", "output")}
    assert len(centres) == 1
    for edge in picture.edges:
        assert (np.diff(edge.points[:, 1]) >= -1e-9).all()


def test_a_dot_stands_where_a_value_forks_and_only_there():
    x, p = leaf(2, 4, 5, 5), block_parameters()
    drawing = mr.draw_graph(block(x, p))
    picture = Picture(drawing.svg)
    ((dot_x, dot_y),) = picture.dots
    (box,) = [b for b in picture.boxes if len(b.texts) == 1 and b.texts[0] == "(2, 4, 5, 5)"]  # x, which has no name
    assert box.bounds[0] < dot_x < box.bounds[2]
    assert 0 < dot_y - box.bounds[3] < 20
    assert drawing.graph.forks == 1
    straight = mr.draw_graph(F.relu(x))
    assert Picture(straight.svg).dots == []
    assert "add up" in "".join(text for text, _, _ in picture.texts)
    assert "add up" not in straight.svg


@pytest.mark.parametrize("training", [True, False])
def test_fused_batch_norm_is_drawn_as_its_parts(training):
    x, p = leaf(2, 4, 5, 5), block_parameters()
    drawing = mr.draw_graph(block(x, p, fused=True, training=training), names={"x": x, **p})
    picture = assert_readable(drawing)
    name = "BatchNormTraining" if training else "BatchNormEval"
    labels = picture.labels()
    (fused,) = [v for v, text in labels.items() if text == f"BatchNorm {name} Add ReLU (2, 4, 5, 5)"]
    (relu_only,) = [v for v, text in labels.items() if text == f"BatchNorm {name} ReLU (2, 4, 5, 5)"]
    arriving = {labels[e.source].split()[0]: e.part for e in picture.edges if e.target == fused}
    assert arriving == {"Conv2d": 0, "bn2.weight": 0, "bn2.bias": 0, "x": 1}
    assert {e.part for e in picture.edges if e.target == relu_only} == {0}
    assert picture.main_box(fused, 1).texts == ["Add"]
    assert picture.main_box(fused, 1).style == "join"
    for vertex, parts in ((fused, 3), (relu_only, 2)):
        (frame,) = [b for b in picture.boxes if b.vertex == vertex and b.style == "group"]
        inside = [b for b in picture.boxes if b is not frame and overlap(b.bounds, frame.bounds)]
        assert [(b.vertex, b.part) for b in inside] == [(vertex, part) for part in range(parts)]
        tops = [b.bounds[1] for b in inside]
        assert tops == sorted(tops)


def test_a_single_part_is_no_group():
    x, w, b = leaf(2, 4, 5, 5), leaf(4), leaf(4)
    picture = Picture(mr.draw_graph(F.batch_norm(x, None, None, w, b, True)).svg)
    assert "group" not in [box.style for box in picture.boxes]


def test_projection_shortcut():
    x, p = leaf(2, 4, 5, 5), block_parameters()
    w = leaf(4, 4, 1, 1)
    h = F.relu(x)
    y = F.conv2d(F.relu(F.conv2d(h, p["conv1.weight"], padding=1)), p["conv2.weight"], padding=1) + F.conv2d(h, w)
    picture = assert_readable(mr.draw_graph(y, names={"h": h, "w": w}))
    assert picture.edge_labels()["ReLU h (2, 4, 5, 5)", "Conv2d (2, 4, 5, 5)"] == 2
    assert len(picture.dots) == 1


def test_shared_weight_is_one_leaf_that_forks():
    x, w = leaf(1, 4, 5, 5), leaf(4, 4, 3, 3)
    h = x
    for _ in range(4):
        h = F.relu(F.conv2d(h, w, padding=1))
    picture = assert_readable(mr.draw_graph(h, names={"w": w, "x": x}))
    assert list(picture.labels().values()).count("w (4, 4, 3, 3)") == 1
    assert picture.edge_labels()["w (4, 4, 3, 3)", "Conv2d (1, 4, 5, 5)"] == 4
    assert len(picture.dots) == 3  # branch after branch


def test_the_same_value_twice_in_one_op():
    x = leaf(3)
    for y in (x + x, x * x, F.cat([x, x, x])):
        drawing = mr.draw_graph(y)
        edges = [e for e in assert_readable(drawing).edges if e.is_edge]
        assert len(edges) == len(y.node.inputs) + 1
        assert len({e.tip for e in edges}) == len(edges)


def test_constants_are_left_out_and_the_picture_says_so():
    x, image = leaf(2, 3), mr.tensor(np.ones((2, 3), np.float32))
    drawing = mr.draw_graph((x * 2.0 + image).exp())
    assert [v.name for v in drawing.graph.vertices] == ["", "Multiply", "Add", "Exp", "output"]
    assert "Constants are left out" in drawing.svg


def test_an_op_on_constants_alone_but_for_its_parameter():
    image, w, b = mr.tensor(np.ones((1, 2, 5, 5), np.float32)), leaf(3, 2, 3, 3), leaf(3)
    picture = assert_readable(mr.draw_graph(F.conv2d(image, w, b).relu(), names={"w": w, "b": b}))
    assert picture.edge_labels()["w (3, 2, 3, 3)", "Conv2d (1, 3, 3, 3)"] == 1
    assert_readable(mr.draw_graph(F.batch_norm(image, None, None, None, None, True, residual=leaf(1, 2, 5, 5))))


def test_graph_of_a_gradient():
    x = leaf(3)
    (gx,) = mr.grad((x.exp() * x).sum(), x, create_graph=True)
    picture = assert_readable(mr.draw_graph(gx))
    assert "Exp (3,)" in picture.labels().values()


def test_vertices_and_edges_are_plain_and_in_order():
    x, w = leaf(2, 3), leaf(3, 4)
    graph = mr.draw_graph((x @ w).sum(), names={"x": x, "w": w}).graph
    assert [(v.kind, v.name, v.shape) for v in graph.vertices[-3:]] == [
        ("op", "MatMul", (2, 4)),
        ("op", "Sum", ()),
        ("output", "output", ()),
    ]
    assert {(v.kind, v.name, v.shape) for v in graph.vertices[:2]} == {("leaf", "x", (2, 3)), ("leaf", "w", (3, 4))}
    assert all(edge.source < edge.target for edge in graph.edges)
    assert [(graph.vertices[e.source].name, e.input) for e in graph.incoming[2]] == [("x", 0), ("w", 1)]


# -- any graph ---------------------------------------------------------------------------------------------------------


@st.composite
def recorded_graphs(draw: st.DrawFn) -> tuple[mr.Tensor, dict[str, mr.Tensor], Counter[tuple[str, str]]]:
    """A random graph: its output, a name for each tensor, and the edges behind the output by name."""
    leaves = draw(st.integers(1, 4))
    named = {f"leaf{n}": leaf(2) for n in range(leaves)}
    reads: dict[str, list[str]] = {}
    for number in range(draw(st.integers(1, 14))):
        known = list(named)
        inputs = draw(st.lists(st.sampled_from(known[-6:]), min_size=1, max_size=5))
        parts = draw(st.sampled_from([(), ("Scale", "ReLU"), ("Scale", "Add", "ReLU"), ("Scale", "Add")]))
        name = f"result{number}"
        named[name] = Mix(parts)(*(named[key] for key in inputs))
        reads[name] = inputs
    last = f"result{len(reads) - 1}"
    edges: Counter[tuple[str, str]] = Counter({(last, "output"): 1})
    behind, stack = {last}, [last]
    while stack:
        name = stack.pop()
        for key in reads.get(name, []):
            edges[key, name] += 1
            if key not in behind:
                behind.add(key)
                stack.append(key)
    return named[last], named, edges


@pytest.mark.parametrize("examples", [15, pytest.param(60, marks=pytest.mark.slow)])  # 4 s
def test_any_graph_is_drawn_whole_and_readable(examples):
    settings(max_examples=examples)(given(recorded_graphs())(assert_drawn_whole_and_readable))()


def assert_drawn_whole_and_readable(graph):
    y, named, expected = graph
    drawing = mr.draw_graph(y, names={key: tensor for key, tensor in named.items() if tensor is not y})
    picture = assert_readable(drawing)
    last = next(key for key, tensor in named.items() if tensor is y)
    names = {
        v: next(iter(re.findall(r"(?:leaf|result)\d+|output", text)), last) for v, text in picture.labels().items()
    }
    drawn = Counter((names[e.source], names[e.target]) for e in picture.edges if e.is_edge)
    assert drawn == expected
    assert dot_graph(drawing.dot)[1] == Counter((e.source, e.target) for e in drawing.graph.edges)


def test_inputs_of_a_fused_op_enter_its_first_part_but_the_residual_its_add():
    a, b = leaf(2), leaf(2)
    exps = [t.exp() for t in (a, b, a)]

    def parts_of(parts: tuple[str, ...], *inputs: mr.Tensor) -> list[int]:
        graph = mr.draw_graph(Mix(parts)(*inputs)).graph
        return [e.part for e in graph.edges if graph.vertices[e.target].name == "Mix"]

    assert parts_of(("Scale", "Add", "ReLU"), *exps) == [0, 0, 1]
    assert parts_of(("Scale", "ReLU", "Add"), *exps[:2]) == [0, 2]
    assert parts_of(("Scale", "ReLU"), *exps) == [0, 0, 0]
    assert parts_of(("Add", "ReLU"), *exps) == [0, 0, 0]
    assert parts_of(("Scale", "Add"), exps[0]) == [0]


def crossing_edges(picture: Picture) -> int:
    """How many pairs of edges with nothing in common cross, by the signs of the areas that their pieces span."""

    def side(p: Any, q: Any, r: Any) -> Any:
        (px, py), (qx, qy), (rx, ry) = (np.moveaxis(v, -1, 0) for v in (p, q, r))
        return np.sign((qx - px) * (ry - py) - (qy - py) * (rx - px))

    count, edges = 0, [edge for edge in picture.edges if edge.is_edge]
    for number, a in enumerate(edges):
        for b in edges[:number]:
            if {a.source, a.target} & {b.source, b.target}:
                continue
            p, q = a.points[:-1, None], a.points[1:, None]
            r, s = b.points[None, :-1], b.points[None, 1:]
            count += bool(((side(p, q, r) * side(p, q, s) < 0) & (side(r, s, p) * side(r, s, q) < 0)).any())
    return count


def test_edges_that_need_not_cross_do_not():
    a, b = leaf(2), leaf(2)
    one, two = Mix()(a), Mix()(b)
    joined = Mix()(two, Mix()(one))
    picture = assert_readable(mr.draw_graph(Mix()(two, joined)))
    assert crossing_edges(picture) == 0
    h = Mix()(a, b)
    assert crossing_edges(assert_readable(mr.draw_graph(Mix()(h, Mix()(b, h))))) == 0


def test_edges_that_enter_neighbours_from_the_side_keep_apart():
    u, v = leaf(2), leaf(2)
    left, right = Mix()(u.tanh(), v.exp()), Mix()(v.tanh(), u.exp())  # the two exps cross over between them
    assert_readable(mr.draw_graph(Mix()(left, right)))


def test_crossings_are_seen():
    inputs = [leaf(2).exp() for _ in range(3)]
    every_pair = [Mix()(*(inputs[i] for i in range(3))).exp() for _ in range(3)]  # K₃,₃ cannot be drawn without
    assert crossing_edges(Picture(mr.draw_graph(Mix()(*every_pair)).svg)) > 0


def test_of_two_branches_the_longer_is_straight():
    x = leaf(2).exp()
    long, short = x.tanh().sigmoid().exp(), x.relu()
    picture = assert_readable(mr.draw_graph(short + long))
    centre = {box.texts[0]: (box.bounds[0] + box.bounds[2]) / 2 for box in picture.boxes}
    assert centre["Tanh"] == centre["Sigmoid"] == centre["Add"] == pytest.approx(centre["output"], abs=0.1)
    assert centre["ReLU"] > centre["Tanh"]


def test_a_recurrence_is_straight_though_each_state_has_a_loss():
    h, w = leaf(1, 3), leaf(3, 3)
    loss = 0.0
    for _ in range(8):
        h = (h @ w).tanh()
        loss = loss + h.sum()
    picture = assert_readable(mr.draw_graph(loss))
    centres = {box.bounds[0] + box.bounds[2] for box in picture.boxes if box.texts[0] in ("MatMul", "Tanh")}
    assert len(centres) == 1


def test_what_depends_on_nothing_above_stands_where_it_is_used():
    h = leaf(2)
    for _ in range(6):
        h = h.exp()
    scale = leaf(2)
    picture = assert_readable(mr.draw_graph(h * scale.tanh(), names={"scale": scale}))
    top = {box.texts[0]: box.bounds[1] for box in picture.boxes}
    exps = sorted(box.bounds[1] for box in picture.boxes if box.texts[0] == "Exp")
    assert (top["scale"], top["Tanh"]) == (exps[-2], exps[-1])


def test_a_join_stands_amid_what_it_joins():
    picture = assert_readable(mr.draw_graph(F.cat([leaf(2).exp(), leaf(2).tanh(), leaf(2).relu(), leaf(2).sigmoid()])))
    centre = {box.texts[0]: (box.bounds[0] + box.bounds[2]) / 2 for box in picture.boxes}
    joined = [centre[name] for name in ("Exp", "Tanh", "ReLU", "Sigmoid")]
    assert centre["Concatenate"] == pytest.approx(np.mean(joined), abs=10)


def test_the_same_graph_gives_the_same_picture():
    def picture() -> str:
        x, p = mr.tensor(np.ones((2, 4, 5, 5), np.float32), requires_grad=True), block_parameters()
        return mr.draw_graph(block(block(x, p), p, fused=True)).svg

    assert picture() == picture()


def test_a_network_is_drawn_in_no_time():
    x = leaf(1, 4, 5, 5)
    for _ in range(16):
        x = block(x, block_parameters())
    start = time.perf_counter()
    drawing = mr.draw_graph(x)
    assert len(drawing.svg) > 10_000
    assert time.perf_counter() - start < 1
    assert drawing.graph.forks == 16
    picture = Picture(drawing.svg)
    assert picture.width < 600  # sixteen blocks below each other, not side by side


def test_a_chain_deeper_than_the_recursion_limit():
    x = y = leaf(2)
    length = 2 * sys.getrecursionlimit()
    for _ in range(length):
        y = y + 1.0
    drawing = mr.draw_graph(y)
    assert len(drawing.graph.vertices) == length + 2
    assert drawing.svg.count('data-to="') == length + 1
    assert x.shape == (2,)


def test_too_large_a_graph_is_refused(monkeypatch, tmp_path):
    y = leaf(2)
    for _ in range(100):
        y = y + 1.0
    monkeypatch.setattr("minires.inspection.drawing.graph.MAX_VERTICES", 100)
    with pytest.raises(GraphError, match=r"101 vertices .* too large to draw .at most 100.; draw a part"):
        mr.draw_graph(y)


def test_too_many_passing_edges_are_refused():
    states = [leaf(1)]
    for _ in range(250):
        states.append(states[-1].exp())
    with pytest.raises(GraphError, match="passing edges is too large to draw"):
        mr.draw_graph(F.stack(states))


# -- names -------------------------------------------------------------------------------------------------------------

AWKWARD = ["<b>&amp;\"'</b>", "back\\slash\\n", "ünïcodé → σ", "$\\frac{$ and 100%", "a;b{c}[d]", "--> <!-- ]]>"]


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_names_arrive_as_they_are(name, tmp_path):
    x, w = leaf(2), leaf(2)
    drawing = mr.draw_graph((x + w).exp() + x, names={name: x, f"w{name}": w})
    labels = assert_readable(drawing).labels()
    assert f"{name} (2,)" in labels.values()
    assert f"w{name} (2,)" in labels.values()
    assert f"{name}\n(2,)" in dot_graph(drawing.dot)[0].values()
    drawing.save(tmp_path / "graph.png")


def test_control_characters_and_lone_surrogates_are_replaced():
    x = leaf(2)
    drawing = mr.draw_graph(x + 1.0, names={"a\x00b\ud800c\nd": x})
    assert "a�b�c�d (2,)" in Picture(drawing.svg).labels().values()
    drawing.dot.encode()


def test_long_names_are_shortened_and_whole_in_the_tooltip():
    x, name = leaf(2), "encoder." + "very_" * 20 + "long.weight"
    picture = Picture(mr.draw_graph(x.exp(), names={name: x}).svg)
    box = picture.boxes[0]
    assert len(box.texts[0]) <= MAX_TEXT_LENGTH
    assert box.texts[0].startswith("encoder.")
    assert "…" in box.texts[0]
    assert box.texts[0].endswith("long.weight")
    assert name in box.title


def test_names_from_a_module_a_dict_and_for_results():
    x, w = leaf(2, 3), leaf(3, 4)
    module = SimpleNamespace(named_parameters=lambda: iter([("fc.weight", w)]))
    h = x @ w
    assert "fc.weight (3, 4)" in Picture(mr.draw_graph(h.exp(), names=module).svg).labels().values()
    labels = Picture(mr.draw_graph(h.exp(), names={"x": x, "h": h, "unused": leaf(1)}).svg).labels().values()
    assert {"x (2, 3)", "MatMul h (2, 4)", "(3, 4)"} <= set(labels)
    tied = mr.draw_graph(h.exp(), names={"encoder": w, "decoder": w})
    assert "encoder = decoder (3, 4)" in Picture(tied.svg).labels().values()


def test_the_output_has_its_name():
    x = leaf(2, 3)
    loss = x.sum()
    labels = list(Picture(mr.draw_graph(loss, names={"loss": loss}).svg).labels().values())
    assert labels[-2:] == ["Sum scalar", "loss scalar"]


def test_wrong_names_are_refused():
    y = leaf(2).exp()
    with pytest.raises(TypeError, match=r"names\['x'\] is a ndarray, not a Tensor"):
        mr.draw_graph(y, names={"x": np.ones(2)})
    with pytest.raises(TypeError, match="dict of name -> Tensor, or a module; got list"):
        mr.draw_graph(y, names=["x"])


@given(st.text(st.characters(codec="latin-1", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=30))
def test_text_fits_its_box_in_matplotlibs_face(text):
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=0.92 * LARGE), ismath=False)
    assert width <= text_width(text, LARGE) + 10  # a box leaves at least that much beside it


def test_wide_characters_get_their_room():
    x, name = leaf(2), "特徴マップの入力"
    (box,) = [b for b in Picture(mr.draw_graph(x.exp(), names={name: x}).svg).boxes if b.style == "leaf"]
    assert box.bounds[2] - box.bounds[0] > len(name) * LARGE


# -- what cannot be drawn ----------------------------------------------------------------------------------------------


def test_freed_graph():
    x = leaf(2)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(
        GraphError, match=r"made by Sum\) was freed .* draw it before calling backward, pass retain_graph"
    ):
        mr.draw_graph(y)


def test_a_graph_that_is_freed_in_part():
    x = leaf(2)
    h = x.exp()
    y = h.sum()
    (h * 2.0).sum().backward()
    with pytest.raises(GraphError, match="was freed by a backward pass"):
        mr.draw_graph(y)


def test_a_kept_graph_can_be_drawn_after_backward():
    y = leaf(2).exp().sum()
    before = mr.draw_graph(y).svg
    y.backward(retain_graph=True)
    assert mr.draw_graph(y).svg == before


def test_no_graph():
    with pytest.raises(GraphError, match=r"shape \(2,\) is a leaf"):
        mr.draw_graph(leaf(2))
    with pytest.raises(GraphError, match="no graph: nothing it was computed from requires gradients"):
        mr.draw_graph(mr.tensor([1.0, 2.0]).exp())
    with mr.no_grad():
        y = leaf(2).exp()
    with pytest.raises(GraphError, match="no_grad"):
        mr.draw_graph(y)
    with pytest.raises(GraphError, match=r"needs the Tensor whose graph to draw.*got ndarray"):
        mr.draw_graph(np.ones(3))


def test_a_drawing_keeps_no_graph_alive():
    gc.collect()
    gc.disable()
    try:
        x = leaf(2)
        y = x.exp()
        node = weakref.ref(y.node)
        drawing = mr.draw_graph(y, names={"x": x, "y": y})
        del y
        assert node() is None
        assert drawing.svg
    finally:
        gc.enable()


# -- files -------------------------------------------------------------------------------------------------------------


def test_repr_and_notebook():
    x, p = leaf(2, 4, 5, 5), block_parameters()
    drawing = mr.draw_graph(block(x, p))
    width, height = drawing.size
    assert repr(drawing).startswith(f"<Drawing of 7 ops, 7 leaves and 1 forks, {width} × {height} pixels; ")
    assert drawing._repr_svg_() == drawing.svg
    assert "<style" not in drawing.svg  # nothing that could change the rest of a notebook's page
    assert " id=" not in drawing.svg
    assert not re.findall(r'(?:href|src)=|url\(|http://(?!www\.w3\.org/2000/svg")', drawing.svg)


def test_save_svg_and_dot(tmp_path):
    x = leaf(2)
    drawing = mr.draw_graph(x.exp(), names={"σ": x})
    drawing.save(tmp_path / "graph.svg")
    assert ElementTree.parse(tmp_path / "graph.svg").getroot().tag == f"{SVG}svg"
    assert Picture((tmp_path / "graph.svg").read_text("utf-8")).labels() == Picture(drawing.svg).labels()
    drawing.save(str(tmp_path / "graph.DOT"))
    assert (tmp_path / "graph.DOT").read_text("utf-8") == drawing.dot


def test_save_png_shows_the_same_layout(tmp_path):
    from PIL import Image

    x, p = leaf(2, 4, 5, 5), block_parameters()
    drawing = mr.draw_graph(block(x, p, fused=True), names={"x": x, **p})
    drawing.save(tmp_path / "graph.png")
    picture = Picture(drawing.svg)
    with Image.open(tmp_path / "graph.png") as image:
        assert image.format == "PNG"
        assert image.size == pytest.approx((2 * picture.width, 2 * picture.height), abs=1)
        pixels = np.asarray(image.convert("RGB")).astype(int)

    def colour(x: float, y: float) -> tuple[int, ...]:
        return tuple(pixels[round(2 * y), round(2 * x)])

    fills = {"op": "e8f0fa", "join": "fdebd8", "leaf": "eaf5e9", "output": "f1eef8", "group": "f7f8fa"}
    for box in picture.boxes:
        left, top, right, bottom = box.bounds
        near_the_edge = (left + 4, (top + bottom) / 2) if box.style == "group" else ((left + right) / 2, top + 2)
        if box.style != "group" and any(
            abs(e.tip[0] - near_the_edge[0]) < 5 and e.tip[1] == top for e in picture.edges
        ):
            near_the_edge = (left + 12, top + 4) if box.style in ("op", "join") else near_the_edge
        assert colour(*near_the_edge) == tuple(bytes.fromhex(fills[box.style])), box
    assert colour(*picture.dots[0]) == (0xC8, 0x50, 0x0A)
    (skip,) = [e for e in picture.edges if e.is_edge and e.part == 1]
    assert colour(*skip.points[len(skip.points) // 2]) == (0xC8, 0x50, 0x0A)
    assert colour(2, 2) == (255, 255, 255)


def test_unknown_endings_are_refused_before_anything_is_written(tmp_path):
    drawing = mr.draw_graph(leaf(2).exp())
    for name in ("graph.gif", "graph"):
        with pytest.raises(MiniResError, match=r"must end in \.svg, \.png, \.pdf or \.dot"):
            drawing.save(tmp_path / name)
    with pytest.raises(MiniResError, match="cannot write"):
        drawing.save(tmp_path / "missing" / "graph.svg")
    assert list(tmp_path.iterdir()) == []


def test_too_tall_for_a_png(tmp_path):
    y = leaf(2)
    for _ in range(900):
        y = y + 1.0
    drawing = mr.draw_graph(y)
    with pytest.raises(MiniResError, match=r"too large for a PNG image: save it as \.svg"):
        drawing.save(tmp_path / "graph.png")
    assert list(tmp_path.iterdir()) == []


def test_importing_and_drawing_need_no_matplotlib(tmp_path):
    import subprocess

    program = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import minires as mr\n"
        "d = mr.draw_graph(mr.ones((2,), requires_grad=True).exp()); d.svg, d.dot\n"
        "assert 'minires.inspection.drawing' in sys.modules"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root, timeout=60)


# -- Graphviz text -----------------------------------------------------------------------------------------------------


def dot_graph(text: str) -> tuple[dict[str, str], Counter[tuple[int, int]]]:
    """Labels by node and edges by vertex, from Graphviz text; fails where it is not well-formed."""
    string = r'"(?:[^"\\]|\\.)*"'
    attributes = rf"\[(?:\w+=(?:{string}|\w+)(?:, )?)*\]"
    statement = re.compile(
        rf"(?P<node>\w+) (?P<attributes>{attributes});|(?P<chain>\w+(?: -> \w+)+);|(?:\w+=(?:{string}|\w+);? ?)+"
    )
    assert text.startswith("digraph minires {\n")
    assert text.endswith("\n}\n")
    labels, edges, clusters, depth = {}, Counter(), 0, 0
    for line in map(str.strip, text.splitlines()[1:-1]):
        if re.fullmatch(r"subgraph cluster_\d+ \{", line):
            depth, clusters = depth + 1, clusters + 1
        elif line == "}":
            depth -= 1
        else:
            match = statement.fullmatch(line)
            assert match, line
            if match["node"] not in (None, "node"):
                label = re.search(rf"label=({string})", match["attributes"])[1][1:-1]
                label = re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], label).replace("&amp;", "&")
                labels[match["node"]] = label
            elif match["chain"] and not depth:
                ends = match["chain"].split(" -> ")
                assert all(end in labels for end in ends)
                edges[tuple(int(re.match(r"v(\d+)", end)[1]) for end in ends)] += 1
    assert depth == 0
    return labels, edges


def test_dot_has_clusters_of_parts_and_the_residual_at_its_add():
    x, p = leaf(2, 4, 5, 5), block_parameters()
    drawing = mr.draw_graph(block(x, p, fused=True), names={"x": x, **p})
    labels, edges = dot_graph(drawing.dot)
    assert edges == Counter((e.source, e.target) for e in drawing.graph.edges)
    by_label = {label: node for node, label in labels.items()}
    assert re.search(rf"{by_label['x' + chr(10) + '(2, 4, 5, 5)']} -> {by_label['Add']};", drawing.dot)
    fused = by_label["Add"].removesuffix("_1")
    assert f"{fused} -> {fused}_1 -> {fused}_2;" in drawing.dot
    assert f"{fused}_2 -> " in drawing.dot.replace(f"{fused} -> {fused}_1 -> {fused}_2;", "")
    assert 'label="BatchNormTraining"; style=dashed;' in drawing.dot
