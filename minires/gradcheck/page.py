"""A report as one self-contained HTML page."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minires.gradcheck.report import Report


def report_as_html(report: Report) -> str:
    """The page, as text."""
    return f"<!doctype html><meta charset=utf-8><title>{escape(report.title)}</title><pre>{escape(str(report))}</pre>"
