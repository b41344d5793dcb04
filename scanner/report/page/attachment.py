"""What is put into the report beside the scan itself: a study of the same model, as a section of its own."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """A section of the report.

    Attributes:
        title: what the list of sections calls it.
        body: HTML whose every text was escaped by a guarded page's environment.
        style: what it needs beside the report's own style.
    """

    title: str
    body: Markup
    style: str = ""
