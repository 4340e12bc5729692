"""The studies and their verdicts as text for the terminal."""

from __future__ import annotations

import json
from pathlib import Path

from minires import studies
from minires.errors import MiniResError
from minires.studies.form import Study
from minires.studies.progress import duration
from minires.studies.report import MARKS, VERDICTS, numbers_text
from minires.studies.store import Store


def list_studies() -> str:
    """A line for each study: its name and its question."""
    width = max(map(len, studies.NAMES))
    lines = [f"{name:<{width}}  {studies.get(name).question}" for name in studies.NAMES]
    return "\n".join([*lines, "", "minires study NAME runs one in minutes; docs/studies has what was found"])


def claims_text(study: Study, folder: Path) -> str:
    """The claims of the run in `folder`: verdict, paper and ours. Raises MiniResError if there is no finished run."""
    file = Store(folder).results
    if not file.is_file():
        raise MiniResError(
            f"{folder} has no results of study {study.name}: run it first, or name its folder with --out"
        )
    document = json.loads(file.read_text("utf-8"))
    if document.get("study") != study.name:
        raise MiniResError(f"{folder} holds the study {document.get('study')}, not {study.name}")
    lines = [f"{study.title} (preset {document['preset']}, {duration(document['seconds'])} of computing)", ""]
    for judged in document["claims"]:
        verdict = f"{MARKS[judged['holds']]} {VERDICTS[judged['holds']]}"
        lines += [f"{verdict}: {judged['text']}", f"    source     {judged['source']}"]
        lines += [f"    paper      {judged['paper'] or 'no number given'}"]
        lines += [f"    ours       {numbers_text(judged['ours'])}", f"    criterion  {judged['criterion']}", ""]
    return "\n".join(lines).rstrip()
