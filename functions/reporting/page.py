"""The report as one HTML file that needs nothing else: no script, no font, no picture, and a policy that allows none.

The template escapes all that it shows; the one thing that it does not is the style sheet, which is ours.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from functions.reporting.report import Report
from shared.http import VERSION

_FOLDER = Path(__file__).parent


def report_page(report: Report) -> str:
    """The whole document."""
    style = _style()
    return _template().render(
        report=report,
        version=VERSION,
        policy=_policy(),
        style=Markup(style),  # noqa: S704 - our own file, which holds no data
    )


def answer_policy() -> str:
    """The policy of the answer; within the file, which is opened from a disk later, no frame can be forbidden."""
    return f"{_policy()}; frame-ancestors 'none'"


@cache
def _style() -> str:
    return (_FOLDER / "report.css").read_text(encoding="utf-8")


@cache
def _policy() -> str:
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html")
