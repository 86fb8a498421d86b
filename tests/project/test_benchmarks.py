"""The benchmarks run: what they measure is not asserted."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import lists, waiting

ROOT = Path(__file__).parents[2]


def result(who: str, waiters: int, cpu: float) -> dict[str, Any]:
    served = {"calls": {"list_build_flows": 20}, "connections": 1, "server_cpu": 0.1}
    seen = {
        "seconds": 20.0,
        "cpu": cpu,
        "memory": 1_000_000,
        "lateness": [0.001, 0.002],
        "delays": [0.1, 0.2],
        "succeeded": waiters,
        "errors": [],
    }
    return waiting.figures(who, waiters, seen, served) | {"others": 0.0}


def test_the_tables_of_waiting() -> None:
    results = [
        result("timers only", 10, 0.1),
        result("DaoCloud build flows", 10, 0.3),
        result("Databricks", 10, 1.1),
    ]
    assert "| 10 | DaoCloud build flows | 0.30 | 0.20 | 20 |" in waiting.table(results)
    assert "| 10 | DaoCloud build flows | Databricks (1.10 s) | 1/3.7 | 1/5.0 |" in waiting.ratios(
        results
    )


def test_long_lists() -> None:
    case = lists.Case("build flows", 20, 5)
    figures = asyncio.run(lists.measure(case, changes=True, beats=True))
    assert figures.size > 20 * 100


@pytest.mark.parametrize("module", ["waiting", "lists", "imports", "crashes", "simulated_hour"])
def test_each_says_what_it_takes(module: str) -> None:
    subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", "--help"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=60,
    )
