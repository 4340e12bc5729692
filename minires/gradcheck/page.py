"""A report as one self-contained HTML page without scripts.

The text and the style of the page are in `page.html`, with a $name for each result. The page is well-formed XML too, so
that a test can parse it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from minires.gradcheck import curve, heatmap
from minires.gradcheck.markup import badge, location, shape_of, short, text
from minires.gradcheck.result import ArrayResult, Element, Suspect, Verdict

if TYPE_CHECKING:
    from minires.gradcheck.report import Report

SHOWN_ELEMENTS = 8
OPEN_ARRAYS = 6  # arrays that did not pass; further ones are folded
PASSED_ARRAYS = 6  # arrays that passed, of which the details are shown, folded
LISTED_ARRAYS = 40  # in a longer list those that passed are folded, and a table that is longer still scrolls
MOST_FIGURES = 1_000_000  # characters of figures in one page
LEFT_OUT = '<p class="soft">Its pictures are left out, to keep this page small.</p>'


def report_as_html(report: Report) -> str:
    """The page, as text."""
    template = Template(files("minires.gradcheck").joinpath("page.html").read_text("utf-8"))
    return template.substitute(
        title=text(report.title),
        verdict=badge(report.verdict),
        outcome=text(_outcome(report)),
        counts=text(_counts(report)),
        notes="".join(f'<p class="note">{text(note)}</p>' for note in report.notes),
        suspects=_suspects(report.suspects),
        arrays=_list(report.arrays),
        sections=_sections(report.arrays),
        settings=_settings(report),
        stops=heatmap.gradient_stops(),
        verdicts="".join(f"<dt>{badge(each)}</dt><dd>{each.meaning}</dd>" for each in Verdict),
    )


def _outcome(report: Report) -> str:
    if not report.deterministic:
        return "Nothing can be said: f gave two answers for one input."
    said = {
        Verdict.PASS: "The gradient is right in everything that was checked.",
        Verdict.KINK: "The gradient is right. Where there is no derivative, it takes a value that is allowed.",
        Verdict.ROUNDING: "Nothing is wrong, but some numbers could only be measured roughly.",
        Verdict.VACUOUS: "This check does not pass: for part of the gradient it would notice no mistake.",
        Verdict.WRONG: "This check does not pass: the gradient is wrong.",
    }[report.verdict]
    if not report and report.verdict not in (Verdict.VACUOUS, Verdict.WRONG):
        return "This check does not pass: no number of the gradient did."
    return said


def _counts(report: Report) -> str:
    """A sentence such as "12 gradients checked: 3 WRONG, 9 PASS."."""
    verdicts = [array.verdict for array in report.arrays]
    if not verdicts:
        return "No gradient was checked."
    counted = ", ".join(f"{verdicts.count(each)} {each}" for each in reversed(Verdict) if each in verdicts)
    return f"{len(verdicts)} {'gradient' if len(verdicts) == 1 else 'gradients'} checked: {counted}."


def _settings(report: Report) -> str:
    return "".join(
        f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>"
        for name, value in report.settings.items()
        if value is not None
    )


# -- suspects --------------------------------------------------------------------------------------------------------


def _suspects(suspects: Sequence[Suspect]) -> str:
    if not suspects:
        return ""
    return (
        f"<h2>Suspects</h2><p>Wrong when checked alone, with the numbers it had:</p>{''.join(map(_suspect, suspects))}"
    )


def _suspect(suspect: Suspect) -> str:
    facts = [
        ("in the module", suspect.module),
        ("applied at", suspect.line),
        ("its backward", suspect.defined),
    ]
    rows = "".join(f"<dt>{name}</dt><dd><code>{text(value)}</code></dd>" for name, value in facts if value)
    if suspect.guess:
        rows += f'<dt>looks like</dt><dd class="guess">{text(suspect.guess)}</dd>'
    return (
        f'<section class="suspect"><h3>{badge(suspect.element.verdict)} <code>{text(suspect.op)}</code></h3><dl>{rows}'
        f"</dl>{_elements([suspect.element])}</section>"
    )


# -- the list of all arrays ------------------------------------------------------------------------------------------


def _list(arrays: Sequence[ArrayResult]) -> str:
    """A table of all arrays; if there are many, those that passed are in a folded table of their own."""
    shown = {number for number, _ in _explained(arrays)}
    rows = [(array, _row(array, f"#array-{k}" if k in shown else "")) for k, array in enumerate(arrays)]
    if len(rows) <= LISTED_ARRAYS:
        return _table_of_arrays([row for _, row in rows])
    bad = [row for array, row in rows if array.verdict is not Verdict.PASS]
    good = [row for array, row in rows if array.verdict is Verdict.PASS]
    opened = "" if bad else ' open="open"'
    folded = f"<details{opened}><summary>{len(good)} that passed</summary>{_table_of_arrays(good)}</details>"
    return _table_of_arrays(bad) + (folded if good else "")


def _table_of_arrays(rows: Sequence[str]) -> str:
    if not rows:
        return ""
    heads = [("verdict", ""), ("gradient of", ""), ("shape", ""), ("checked", "")]
    heads += [("largest relative difference", "number"), ("what to know", "")]
    head = "".join(f'<th scope="col"{_class(kind)}>{name}</th>' for name, kind in heads)
    height = "scroll long" if len(rows) > LISTED_ARRAYS else "scroll"
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<div class="{height}" tabindex="0">{table}</div>'


def _row(array: ArrayResult, link: str) -> str:
    name = f"<code>{text(array.name)}</code>"
    name = f'<a href="{link}">{name}</a>' if link else name
    know = [text(array.note)] if array.note else []
    know += [f'<span class="guess">looks like: {text(array.guess)}</span>'] if array.guess else []
    return (
        f'<tr><td>{badge(array.verdict)}</td><th scope="row">{name}</th><td class="fixed">{shape_of(array.shape)}</td>'
        f'<td class="fixed">{_looked_at(array)}</td><td class="number">{_largest(array)}</td>'
        f'<td class="prose">{"; ".join(know)}</td></tr>'
    )


def _looked_at(array: ArrayResult) -> str:
    numbers = len({each.index for each in array.elements if each.index is not None})
    projections = sum(each.index is None for each in array.elements)
    total = math.prod(array.shape)
    parts = []
    if numbers:
        parts.append(f"all {total} numbers" if numbers >= total else f"{numbers} of {total} numbers")
    if projections:
        parts.append(f"{projections} {'direction' if projections == 1 else 'directions'}")
    counts = [f"{array.count(v)} {v}" for v in reversed(Verdict) if array.count(v) and v is not Verdict.PASS]
    return "<br/>".join([" and ".join(parts) or "nothing", *([", ".join(counts)] if counts else [])])


def _largest(array: ArrayResult) -> str:
    """The largest |analytic − numeric| / max(|analytic|, |numeric|) of numbers that are larger than their error."""
    if not all(math.isfinite(each.difference) for each in array.elements):
        return "not finite"
    sizes = [(each, max(abs(each.analytic), abs(each.numeric))) for each in array.elements]
    ratios = [abs(each.difference) / size for each, size in sizes if size > each.error]
    return short(max(ratios)) if ratios else "–"


# -- one array -------------------------------------------------------------------------------------------------------


def _explained(arrays: Sequence[ArrayResult]) -> list[tuple[int, ArrayResult]]:
    """(number, array) of those whose details are shown: all that did not pass, the worst first, then a few that did."""
    bad = [(k, array) for k, array in enumerate(arrays) if array.verdict is not Verdict.PASS]
    good = [(k, array) for k, array in enumerate(arrays) if array.verdict is Verdict.PASS and array.elements]
    return sorted(bad, key=lambda each: -each[1].verdict.rank) + good[:PASSED_ARRAYS]


def _sections(arrays: Sequence[ArrayResult]) -> str:
    explained = _explained(arrays)
    sections = []
    for position, ((number, array), figures) in enumerate(zip(explained, _figures(explained), strict=True)):
        is_open = array.verdict is not Verdict.PASS and position < OPEN_ARRAYS
        sections.append(_section(number, array, figures, is_open))
    if not sections:
        return ""
    first, others = sections[:LISTED_ARRAYS], sections[LISTED_ARRAYS:]
    more = f"<details><summary>… and {len(others)} more</summary>{''.join(others)}</details>" if others else ""
    return f"<h2>In detail</h2>{''.join(first)}{more}"


def _figures(explained: Sequence[tuple[int, ArrayResult]]) -> Iterator[str]:
    """The figures of each array, until they are too many for one page."""
    remaining = MOST_FIGURES
    for number, array in explained:
        if array.curve is None and not heatmap.is_drawn(array):
            yield ""
            continue
        key = f"array-{number}"
        drawn = curve.figure(array, f"{key}-curve") + heatmap.figure(array, f"{key}-map") if remaining > 0 else ""
        remaining -= len(drawn)
        yield drawn if remaining > 0 else LEFT_OUT


def _section(number: int, array: ArrayResult, figures: str, is_open: bool) -> str:
    said = [f"<p>{text(array.note)}.</p>"] if array.note else []
    said += [f'<p>Looks like: <span class="guess">{text(array.guess)}</span>.</p>'] if array.guess else []
    elements = sorted(array.elements, key=_badness, reverse=True)[:SHOWN_ELEMENTS]
    more = len(array.elements) - len(elements)
    rest = f'<p class="soft">… and {more} more, none of them worse.</p>' if more else ""
    opened = ' open="open"' if is_open else ""
    return (
        f'<details class="array" id="array-{number}"{opened}><summary>{badge(array.verdict)} '
        f'<code>{text(array.name)}</code> <span class="soft">{shape_of(array.shape)}</span></summary>'
        f"{''.join(said)}{_elements(elements)}{rest}{figures}</details>"
    )


def _badness(element: Element) -> tuple[int, float]:
    size = abs(element.difference)
    return element.verdict.rank, size if math.isfinite(size) else math.inf


def _elements(elements: Sequence[Element]) -> str:
    """A table of numbers."""
    if not elements:
        return ""
    slopes = any(each.left is not None and each.right is not None for each in elements)
    heads = [("at", ""), ("analytic", "number"), ("numeric ± error", "number"), ("difference", "number")]
    heads += [("slope left", "number"), ("slope right", "number")] if slopes else []
    methods = {each.method for each in elements}
    by_method, reasons = len(methods) > 1, any(each.reason for each in elements)
    heads += [("method", "")] if by_method else []
    heads += [("why", "")] if reasons else []
    head = "".join(f'<th scope="col"{_class(kind)}>{name}</th>' for name, kind in [("verdict", ""), *heads])
    body = "".join(f"<tr>{_cells(each, slopes, by_method, reasons)}</tr>" for each in elements)
    table = f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    return table if by_method else f'{table}<p class="soft">Method: {text(*methods)}.</p>'


def _cells(element: Element, slopes: bool, by_method: bool, reasons: bool) -> str:
    numbers = [
        f"{element.analytic:.10g}",
        f"{element.numeric:.10g} ± {short(element.error, 1)}",
        short(element.difference),
    ]
    if slopes:
        numbers += ["" if slope is None else f"{slope:.6g}" for slope in (element.left, element.right)]
    cells = f'<td>{badge(element.verdict)}</td><td class="fixed">{location(element.index)}</td>'
    cells += "".join(f'<td class="number">{each}</td>' for each in numbers)
    if by_method:
        cells += f'<td class="method">{text(element.method)}</td>'
    if reasons:
        cells += f'<td class="prose">{text(element.reason)}</td>'
    return cells


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
