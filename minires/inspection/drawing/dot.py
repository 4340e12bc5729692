"""The graph as Graphviz text: `dot -Tpdf graph.dot -o graph.pdf` draws it."""

from __future__ import annotations

from minires.inspection.drawing.figure import printable
from minires.inspection.drawing.gradients import norm_text
from minires.inspection.drawing.graph import Graph, Vertex

SHAPES = {"leaf": "ellipse", "op": "box", "output": "ellipse"}


def dot(graph: Graph) -> str:
    """The graph in the DOT language: nodes for leaves, parts of ops and the output; a fused op is a cluster."""
    lines = ["digraph minires {", "  rankdir=TB;", '  node [fontname="Helvetica"];']
    for number, vertex in enumerate(graph.vertices):
        lines += _vertex(number, vertex)
    for edge in graph.edges:
        source = graph.vertices[edge.source]
        norm = "" if edge.gradient is None else f" [label={_quoted(norm_text(edge.gradient))}]"
        lines.append(f"  {_id(edge.source, max(len(source.parts) - 1, 0))} -> {_id(edge.target, edge.part)}{norm};")
    return "\n".join([*lines, "}", ""])


def _vertex(number: int, vertex: Vertex) -> list[str]:
    shape = str(vertex.shape)
    if len(vertex.parts) < 2:
        name = vertex.name or ("output" if vertex.kind == "output" else "")
        label = _quoted(name, f"{vertex.label} {shape}".strip())
        return [f"  {_id(number)} [shape={SHAPES[vertex.kind]}, label={label}];"]
    lines = [f"  subgraph cluster_{number} {{", f"    label={_quoted(vertex.name)}; style=dashed;"]
    for part, name in enumerate(vertex.parts):
        note = f"{vertex.label} {shape}".strip() if part == len(vertex.parts) - 1 else ""
        lines.append(f"    {_id(number, part)} [shape=box, label={_quoted(name, note)}];")
    chain = " -> ".join(_id(number, part) for part in range(len(vertex.parts)))
    return [*lines, f"    {chain};", "  }"]


def _id(number: int, part: int = 0) -> str:
    return f"v{number}_{part}" if part else f"v{number}"


def _quoted(*lines: str) -> str:
    """Lines as a quoted label. Graphviz interprets backslashes and HTML entities, even between quotes."""
    escaped = (
        printable(line).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;") for line in lines if line
    )
    return '"' + "\\n".join(escaped) + '"'
