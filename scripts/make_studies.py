"""Write docs/studies: a page for each study with committed results, their figures, and the table of all claims.

    minires study paths --out study-paths
    python scripts/make_studies.py study-paths      # commits those results too: docs/studies/results/paths.json
    python scripts/make_studies.py                  # writes all pages anew

No number is typed: the pages are made of docs/studies/results/NAME.json. A test compares them.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from minires import studies
from minires.studies import drawing, page
from minires.studies.form import Study
from minires.studies.report import figures_of, results_of

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "studies"


def main(folders: list[str]) -> None:
    """Take over the results in `folders`, then write everything anew."""
    for name in ("results", "figures"):
        (FOLDER / name).mkdir(parents=True, exist_ok=True)
    for folder in folders:
        file = Path(folder) / "results.json"
        study = json.loads(file.read_text("utf-8"))["study"]
        shutil.copyfile(file, FOLDER / "results" / f"{study}.json")
    for file, text in pages().items():
        file.write_text(text, "utf-8")
    for study, document in committed():
        with tempfile.TemporaryDirectory() as temporary:
            for figure in figures_of(study, results_of(document)):
                drawing.save(figure, Path(temporary))
                drawn = Path(temporary) / f"{figure.name}.svg"
                shutil.copyfile(drawn, FOLDER / "figures" / f"{study.name}-{figure.name}.svg")


def committed() -> list[tuple[Study, dict[str, Any]]]:
    """The studies that have committed results, with these."""
    files = ((name, FOLDER / "results" / f"{name}.json") for name in studies.NAMES)
    return [(studies.get(name), json.loads(file.read_text("utf-8"))) for name, file in files if file.is_file()]


def pages() -> dict[Path, str]:
    """{file: text} of all pages."""
    found = committed()
    names = {study.name for study, _ in found}
    others = [studies.get(name) for name in studies.NAMES if name not in names]
    texts = {FOLDER / f"{study.name}.md": page.page(study, document) for study, document in found}
    return {**texts, FOLDER / "README.md": page.overview(found, others)}


if __name__ == "__main__":
    main(sys.argv[1:])
