"""Writes measured tables into docs/benchmarks.md, between the marks that stand there for each."""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def fill(section: str, text: str) -> None:
    """Replace a section of the page.

    :param section: its name, as the marks have it.
    :param text: Markdown.
    :raises ValueError: the page has no such section.
    """
    begin, end = f"<!-- begin {section} -->", f"<!-- end {section} -->"
    page = PAGE.read_text(encoding="utf-8")
    before, found, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise ValueError(f"{PAGE} has no {begin} ... {end}")
    PAGE.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")
