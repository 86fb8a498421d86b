"""The table that a soak makes of its random schedules."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from tests.support.pages import hold_page

COLUMNS: dict[str, Callable[[dict[str, int]], int]] = {
    "schedules": lambda counts: counts["schedules"],
    "processes": lambda counts: sum(n for key, n in counts.items() if key.startswith("try: ")),
    "actions": lambda counts: counts["actions"],
    "of them rollbacks": lambda counts: counts["rollbacks"],
    "ended as *outcome unknown*": lambda counts: counts.get("ended: OutcomeUnknownError", 0),
    "invocations with two actions": lambda counts: counts.get("invocations with two actions", 0),
}


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table of a soak; with ``WRITE_DOCS=1``, write it into the page."""
    from tests.behaviour.submission.test_schedules import HIDDEN, KINDS, SCHEDULES

    if not SCHEDULES:
        return
    passed = terminalreporter.stats.get("passed", [])
    found = dict(value for test in passed for name, value in test.user_properties if name == "soak")
    names = [name for name in (*KINDS, *HIDDEN) if name in found]
    rows = [[column(found[name]) for column in COLUMNS.values()] for name in names]
    lines = [
        f"| the service | {' | '.join(COLUMNS)} |",
        f"| --- |{' ---: |' * len(COLUMNS)}",
        *(_line(name, row) for name, row in zip(names, rows, strict=True)),
        _line(f"all {len(rows)}", [sum(column) for column in zip(*rows, strict=True)]),
    ]
    terminalreporter.write_line("\n".join(lines))
    if os.environ.get("WRITE_DOCS") and len(names) == len(KINDS) + len(HIDDEN):
        hold_page("soak", "\n".join(lines))


def _line(name: str, figures: list[int]) -> str:
    return f"| {name} | " + " | ".join(f"{n:,}" for n in figures) + " |"
