"""The explorer as a page of the site: the static copy that `minires explore --export` writes, at explorer/."""

from __future__ import annotations

import os
from pathlib import Path

from sphinx.application import Sphinx


def write_explorer(app: Sphinx, error: Exception | None) -> None:
    """Writes it beside the pages once they are built."""
    if error is None and app.builder.format == "html" and os.environ.get("MINIRES_EXPLORER") != "0":
        from minires.explorer import program
        from minires.explorer.export import export

        export(Path(app.outdir) / "explorer", program.open_session(None, None, [], lambda text: None))


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("build-finished", write_explorer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
