"""Writes docs/studies/NAME.md from a study's results.json, so that no number is typed."""

from __future__ import annotations

from typing import Any

from minires.studies.form import Claim, Study, Table
from minires.studies.progress import duration
from minires.studies.report import MARKS, VERDICTS, figures_of, numbers_text, results_of, table_of


def page(study: Study, document: dict[str, Any]) -> str:
    """The page: question, method, figures, table, claims, and what a teacher may ask."""
    results, machine = results_of(document), document["machine"]
    lines = [f"# {study.title}", "", study.question, "", "## Method", ""]
    lines += [f"* {_plain(line)}" for line in study.method]
    lines += ["", "## Results", ""]
    lines += [
        f"These results are those of the preset `{document['preset']}`: {duration(document['seconds'])} of computing "
        f"on {machine['processor']}, {machine['cores']} cores. `minires study {study.name}"
        f"{'' if document['preset'] == 'quick' else ' --preset ' + document['preset']}` repeats them.",
        "",
    ]
    for figure in figures_of(study, results):
        lines += [f"![{figure.name}](figures/{study.name}-{figure.name}.svg)", "", _plain(figure.caption), ""]
    if (table := table_of(study, results)) is not None:
        lines += [*_table(table), ""]
    lines += ["## Claims", ""]
    for claim, judged in zip(study.claims, document["claims"], strict=True):
        lines += [*_claim(claim, judged), ""]
    lines += ["## What a teacher may ask", ""]
    for asked, answer in study.teacher:
        lines += [f"**{asked}** {answer}", ""]
    return "\n".join(lines).rstrip() + "\n"


def overview(found: list[tuple[Study, dict[str, Any]]], others: list[Study]) -> str:
    """docs/studies/README.md: all claims in one table; `others` are the studies without results so far."""
    lines = [
        "# The studies: what the papers claim, and what is measured here",
        "",
        "Each study trains and measures the networks of a paper and gives a verdict on its claims. `minires study`",
        "lists them, `minires study NAME` runs one in minutes, and `--preset full` in hours on CIFAR-10. The table",
        "shows the committed results; the pages show the figures, the numbers and the criteria.",
        "",
        "| study | preset | computing | claim | source | holds |",
        "|---|---|---|---|---|---|",
    ]
    for study, document in found:
        for number, judged in enumerate(document["claims"]):
            head = (f"[{study.name}]({study.name}.md)", document["preset"], duration(document["seconds"]))
            cells = head if number == 0 else ("", "", "")
            verdict = f"{MARKS[judged['holds']]} {VERDICTS[judged['holds']]}"
            lines.append(f"| {' | '.join([*cells, judged['text'], judged['source'], verdict])} |")
    if others:
        lines += ["", f"Without committed results so far: {', '.join(study.name for study in others)}."]
    return "\n".join(lines) + "\n"


def _claim(claim: Claim, judged: dict[str, Any]) -> list[str]:
    verdict = judged["holds"]
    lines = [
        f"**{MARKS[verdict]} {VERDICTS[verdict]}: {judged['text']}**",
        "",
        f"* Source: {judged['source']}",
        f"* Paper: {judged['paper'] or 'no number given'}",
        f"* Ours: {numbers_text(judged['ours'])}",
        f"* Criterion: `{judged['criterion']}`",
    ]
    return [*lines, f"* What might be the reason: {claim.otherwise}"] if verdict is False else lines


def _table(table: Table) -> list[str]:
    head = [f"| {' | '.join(table.headings)} |", "|" + "---|" * len(table.headings)]
    return [table.caption, "", *head, *(f"| {' | '.join(row)} |" for row in table.rows)]


def _plain(text: str) -> str:
    """Without the page's markup."""
    for tag, mark in (("<em>", "*"), ("</em>", "*"), ("<b>", "**"), ("</b>", "**")):
        text = text.replace(tag, mark)
    return text
