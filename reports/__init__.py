"""Tables, statistics, figures and the HTML page."""

from __future__ import annotations

from .page.report_page import build

__all__ = ["build"]
