"""The table of ``docs/simulated-hour.md``: hours of waiting under DaoCloud's limit of calls.

python -m benchmarks.simulated_hour [--docs]
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

from tests.support.simulated_hour import FixedInterval, Hour, simulate

HOURS: dict[str, dict[str, Any]] = {
    "1,000 actions": {},
    "1,000 actions, silent list": {"silent": True},
    "1,000 actions, three to an app": {"per_app": 3},
    "1,000 actions, three to an app, silent list": {"per_app": 3, "silent": True},
    "400 actions, half of the limit used by others": {"actions": 400, "others": 2500},
    "400 actions, others, silent list": {"actions": 400, "others": 2500, "silent": True},
    "400 actions, others, three to an app": {"actions": 400, "others": 2500, "per_app": 3},
    "400 actions, others, three to an app, silent list": {
        "actions": 400,
        "others": 2500,
        "per_app": 3,
        "silent": True,
    },
}

HEADER = """| hour | succeeded | refused by the limit | delay p50 (s) | p95 | max \
| action calls | list calls | all calls |
|---|---|---|---|---|---|---|---|---|"""


# Delay against calls: 300 actions of a minute, started evenly over five, with no limit in the way.
MINUTE: dict[str, Any] = {"actions": 300, "seconds": 60.0, "over": 300.0, "limit": 10**9}
INTERVALS = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
CURVES: dict[str, tuple[type[Hour], dict[str, Any]]] = {
    "this provider, the list hints": (Hour, {}),
    "this provider, silent list": (Hour, {"silent": True}),
    "a fixed interval": (FixedInterval, {}),
}
CURVE_HEADER = """| who | poll interval (s) | calls for each action | delay p50 (s) | p99 (s) |
|---|---:|---:|---:|---:|"""


def point(name: str, interval: float, hour: Hour) -> str:
    """Return a point of a curve as a row of its table."""
    calls = sum(n for request, n in hour.calls.items() if request.startswith("poller: "))
    return (
        f"| {name} | {interval:.0f} | {calls / hour.actions:.2f} "
        f"| {statistics.median(hour.delays):.1f} "
        f"| {statistics.quantiles(hour.delays, n=100)[98]:.1f} |"
    )


def row(name: str, hour: Hour) -> str:
    """Return an hour as a row of the table."""
    refused = sum(
        n for request, n in hour.calls.items() if request.endswith("refused by the limit")
    )
    quantiles = statistics.quantiles(hour.delays, n=100)
    polls = {
        name.removeprefix("poller: "): n
        for name, n in hour.calls.items()
        if name.startswith("poller: ")
    }
    return (
        f"| {name} | {hour.outcomes['succeeded']}/{hour.actions} | {refused} "
        f"| {statistics.median(hour.delays):.1f} | {quantiles[94]:.1f} "
        f"| {max(hour.delays):.1f} "
        f"| {polls.get('get_action', 0)} | {polls.get('list_apps', 0)} "
        f"| {sum(hour.calls.values()) - refused} |"
    )


def main() -> None:
    """Print the table; with ``--docs`` write it into the documentation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--docs", action="store_true", help="write docs/simulated-hour.md")
    arguments = parser.parse_args()
    rows = [HEADER]
    print(HEADER, flush=True)
    for name, settings in HOURS.items():
        rows.append(row(name, simulate(Hour(**settings).run())))
        print(rows[-1], flush=True)
    points = [CURVE_HEADER]
    print(CURVE_HEADER, flush=True)
    for name, (kind, settings) in CURVES.items():
        for interval in INTERVALS:
            hour = kind(**MINUTE | settings, poll_interval=interval)
            points.append(point(name, interval, simulate(hour.run())))
            print(points[-1], flush=True)
    if arguments.docs:
        page = Path(__file__).parent.parent / "docs" / "simulated-hour.md"
        text = page.read_text()
        for mark, table in (("table", rows), ("curve", points)):
            begin, end = f"<!-- begin {mark} -->", f"<!-- end {mark} -->"
            before, after = text.split(begin)[0], text.split(end)[1]
            text = f"{before}{begin}\n\n" + "\n".join(table) + f"\n\n{end}{after}"
        page.write_text(text)


if __name__ == "__main__":
    main()
