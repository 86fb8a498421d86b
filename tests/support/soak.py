"""The tables that a soak makes of its random schedules."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tests.support.pages import hold_page

Counts = Mapping[str, int]
COLUMNS: dict[str, Callable[[Counts], int]] = {
    "schedules": lambda counts: counts["schedules"],
    "processes": lambda counts: sum(n for key, n in counts.items() if key.startswith("try: ")),
    "actions": lambda counts: counts["actions"],
    "of them rollbacks": lambda counts: counts.get("rollbacks", 0),
    "ended as *outcome unknown*": lambda counts: counts.get("ended: OutcomeUnknownError", 0),
    "invocations with two actions": lambda counts: counts.get("invocations with two actions", 0),
}


def summarise(
    terminalreporter: Any, page_mark: str, kinds: Iterable[str], columns: Iterable[str]
) -> None:
    """Print the table of a soak; with ``WRITE_DOCS=1``, write it into the page.

    :param terminalreporter: pytest's; its passed tests have the counts.
    :param page_mark: what marks the table there.
    :param kinds: the rows.
    :param columns: the columns.
    """
    passed = terminalreporter.stats.get("passed", [])
    found = dict(value for test in passed for name, value in test.user_properties if name == "soak")
    kinds, columns = list(kinds), list(columns)
    names = [name for name in kinds if name in found]
    if not names:
        return
    rows = [[COLUMNS[column](found[name]) for column in columns] for name in names]
    lines = [
        f"| the service | {' | '.join(columns)} |",
        f"| --- |{' ---: |' * len(columns)}",
        *(_line(name, row) for name, row in zip(names, rows, strict=True)),
        _line(f"all {len(rows)}", [sum(column) for column in zip(*rows, strict=True)]),
    ]
    terminalreporter.write_line("\n".join(lines))
    if os.environ.get("WRITE_DOCS") and names == kinds:
        hold_page(page_mark, "\n".join(lines))


def _line(name: str, figures: list[int]) -> str:
    return f"| {name} | " + " | ".join(f"{n:,}" for n in figures) + " |"
