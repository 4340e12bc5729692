"""Writes report.html: one page that needs no other file, for a projector, a dark room or a printer.

The text's frame and the styles are in `report.html`, with a $name for all that the study gives. The page shows each
claim beside the paper's number, its criterion and the verdict. Of a claim that does not hold it says what might be the
reason.
"""

from __future__ import annotations

import sys
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from minires.studies import drawing
from minires.studies.form import Claim, Figure, Study, Table
from minires.studies.progress import duration
from minires.studies.results import NotMeasuredError, Results
from minires.studies.store import Store

VERDICTS = {True: "holds", False: "does not hold", None: "not measured"}
MARKS = {True: "✓", False: "✗", None: "·"}


def write(study: Study, document: dict[str, Any], store: Store) -> None:
    """Draw the figures and write the page of a results.json."""
    from minires.files import atomic_write

    drawn = [(figure, drawing.save(figure, store.figures)) for figure in figures_of(study, results_of(document))]
    with atomic_write(store.report, "w") as file:
        file.write(render(study, document, drawn))


def results_of(document: dict[str, Any]) -> Results:
    """The measurements of a results.json."""
    return Results(document["settings"], document["measurements"])


def figures_of(study: Study, results: Results) -> list[Figure]:
    """The figures; none where what they show was not measured."""
    try:
        return list(study.figures(results))
    except NotMeasuredError:
        return []


def table_of(study: Study, results: Results) -> Table | None:
    """The table; None where there is none or something was not measured."""
    try:
        return None if study.table is None else study.table(results)
    except NotMeasuredError:
        return None


def render(study: Study, document: dict[str, Any], drawn: list[tuple[Figure, str]]) -> str:
    """The page as HTML."""
    version: str = sys.modules["minires"].__version__  # the public face is above this package

    verdicts = [claim["holds"] for claim in document["claims"]]
    template = Template(files("minires.studies").joinpath("report.html").read_text("utf-8"))
    machine = document["machine"]
    return template.substitute(
        title=escape(study.title),
        question=escape(study.question),
        preset=escape(document["preset"]),
        holding=verdicts.count(True),
        failing=verdicts.count(False),
        open=verdicts.count(None),
        method="".join(f"<li>{line}</li>" for line in study.method),
        claims="".join(map(_claim, study.claims, document["claims"])),
        figures="".join(_figure(number, *each) for number, each in enumerate(drawn, start=1)),
        table=_table(table_of(study, results_of(document))),
        teacher="".join(f"<dt>{escape(asked)}</dt><dd>{escape(answer)}</dd>" for asked, answer in study.teacher),
        settings="".join(_setting(name, value) for name, value in document["settings"].items()),
        time=duration(document["seconds"]),
        machine=escape(f"{machine['processor']}, {machine['cores']} cores, {machine['system']}"),
        software=escape(f"MiniRes {version}, Python {machine['python']}, NumPy {machine['numpy']}"),
    )


def numbers_text(numbers: dict[str, float | None] | None) -> str:
    """{"plain": 8.25} as "plain = 8.25"."""
    if numbers is None:
        return "not measured"
    return ", ".join(f"{name} = {number_text(value)}" for name, value in numbers.items())


def number_text(value: Any) -> str:
    """A number with four digits that count: 0.0001234, 12.35, 1,438, 1.2e-16."""
    if value is None:
        return "not finite"
    if isinstance(value, (bool, str)):
        return str(value)
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e7):
        return f"{int(value):,}"
    text = f"{value:.4g}"
    return text.replace("e-0", "e-").replace("e+0", "e+").replace("-", "−")


def _claim(claim: Claim, judged: dict[str, Any]) -> str:
    verdict = judged["holds"]
    kind = {True: "yes", False: "no", None: "open"}[verdict]
    reason = f'<p class="reason"><b>Why might that be?</b> {escape(claim.otherwise)}</p>' if verdict is False else ""
    paper = escape(judged["paper"]) if judged["paper"] else "no number given"
    return (
        f'<article class="claim {kind}"><p class="verdict">{MARKS[verdict]} {VERDICTS[verdict]}</p>'
        f"<h3>{escape(judged['text'])}</h3><dl>"
        f"<dt>Source</dt><dd>{escape(judged['source'])}</dd><dt>Paper</dt><dd>{paper}</dd>"
        f"<dt>Ours</dt><dd>{escape(numbers_text(judged['ours']))}</dd>"
        f"<dt>Criterion</dt><dd><code>{escape(judged['criterion'])}</code></dd></dl>{reason}</article>"
    )


def _figure(number: int, figure: Figure, svg: str) -> str:
    return f"<figure>{svg}<figcaption><b>Figure {number}.</b> {figure.caption}</figcaption></figure>"


def _table(table: Table | None) -> str:
    if table is None:
        return ""
    head = "".join(f"<th>{escape(each)}</th>" for each in table.headings)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    return (
        f'<div class="scroll"><table><caption>{escape(table.caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _setting(name: str, value: Any) -> str:
    if isinstance(value, dict):
        return "".join(_setting(f"{name}.{key}", each) for key, each in value.items())
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"<tr><td><code>{escape(name)}</code></td><td>{escape(text)}</td></tr>"
