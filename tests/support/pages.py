"""Tables of ``docs/no-duplicate-actions.md`` that are made by tests.

With ``WRITE_DOCS=1`` a test writes its table; without, it holds that the page has what it gives.
"""

from __future__ import annotations

import os
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "no-duplicate-actions.md"


def hold_page(section: str, text: str) -> None:
    """Write a section of the page, or compare it.

    :param section: its name, as the marks in the page have it.
    :param text: Markdown.
    """
    begin, end = f"<!-- begin {section} -->", f"<!-- end {section} -->"
    page = PAGE.read_text(encoding="utf-8")
    assert page.count(begin) == page.count(end) == 1, f"{PAGE} has no place for {section}"
    before, _, rest = page.partition(begin)
    inside, _, after = rest.partition(end)
    if os.environ.get("WRITE_DOCS"):
        PAGE.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")
    else:
        assert inside.strip() == text.strip()
