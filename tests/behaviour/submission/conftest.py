"""The table that a soak makes of its random schedules."""

from __future__ import annotations

from typing import Any

from tests.support.soak import COLUMNS, summarise


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table of a soak; with ``WRITE_DOCS=1``, write it into the page."""
    from tests.behaviour.submission.test_schedules import HIDDEN, KINDS, SCHEDULES

    if SCHEDULES:
        summarise(terminalreporter, "soak", (*KINDS, *HIDDEN), COLUMNS)
