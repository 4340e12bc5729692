"""Formulas as MathML, which browsers typeset themselves: no script, no fonts to fetch, and so the site works offline.

Docutils, which Sphinx is built on, translates LaTeX. What it cannot translate is a warning, which `make docs` turns
into an error.
"""

from __future__ import annotations

from docutils import nodes
from docutils.utils.math import latex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)


def translated(tex: str, block: bool) -> str:
    """The MathML of a formula in LaTeX; several lines are aligned at `&`. Raises MathError for what is not known."""
    if block and r"\\" in tex and r"\begin" not in tex:
        tex = rf"\begin{{aligned}}{tex}\end{{aligned}}"
    return latex2mathml.tex2mathml(tex, as_block=block)


def mathml(node: nodes.Element, block: bool) -> str:
    """The MathML of a formula, or a warning."""
    tex = node.astext()
    try:
        return translated(tex, block)
    except latex2mathml.MathError as error:
        logger.warning("cannot typeset %r: %s", tex, error, location=node)
        return f"<code>{tex}</code>"


def visit_inline(self: HTML5Translator, node: nodes.Element) -> None:
    """Writes a formula within a line."""
    self.body.append(mathml(node, block=False))
    raise nodes.SkipNode


def visit_block(self: HTML5Translator, node: nodes.Element) -> None:
    """Writes a formula on lines of its own, which may be scrolled where the window is narrow."""
    self.body.append(f'<div class="math">{mathml(node, block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", inline_renderers=(visit_inline, None), block_renderers=(visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
