"""Writes the table in docs/skip-connection.md anew, from the committed results of the study gradient-flow.

    python scripts/make_skip_connection.py

No number is typed: the block between the two marks is made of docs/studies/results/gradient-flow.json. A test compares.
"""

from __future__ import annotations

import json
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE, RESULTS = DOCS / "skip-connection.md", DOCS / "studies" / "results" / "gradient-flow.json"
BEGIN, END = "<!-- made by scripts/make_skip_connection.py -->\n", "<!-- end -->\n"
NETWORKS = {
    "plain-none-he": "plain, no normalisation",
    "residual-none-he": "residual, no normalisation",
    "plain-batch-he": "plain, batch norm",
    "residual-batch-he": "residual, batch norm",
}


def block() -> str:
    """The table and the sentences below it."""
    results = json.loads(RESULTS.read_text("utf-8"))
    gradients = {
        each["config"]: {int(depth): values["gradients"] for depth, values in each["values"].items()}
        for each in results["measurements"]
        if each["config"] in NETWORKS
    }
    shallow, deep = min(results["settings"]["depths"]), max(results["settings"]["depths"])
    lines = [
        f"| before the first step | first convolution, {shallow} layers | last convolution, {shallow} layers "
        f"| first convolution, {deep} layers | last convolution, {deep} layers |",
        "|---|---|---|---|---|",
    ]
    for config, name in NETWORKS.items():
        ends = [gradients[config][depth][end] for depth in (shallow, deep) for end in (0, -1)]
        lines.append(f"| {name} | " + " | ".join(f"{norm:.2g}" for norm in ends) + " |")
    plain, residual = (
        gradients[config][deep][0] / gradients[config][deep][-1] for config in ("plain-batch-he", "residual-batch-he")
    )
    lines += [
        "",
        f"At {deep} layers with batch norm, the first convolution has {plain:.1e} times the gradient of the last",
        f"in the plain network, and {residual:.0f} times in the residual one.",
    ]
    return "\n".join(lines) + "\n"


def page() -> str:
    """The whole page with the block made anew."""
    text = PAGE.read_text("utf-8")
    before, rest = text.split(BEGIN)
    return before + BEGIN + block() + END + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
