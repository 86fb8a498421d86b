"""The table of ``docs/simulated-hour.md``: hours of waiting under DaoCloud's limit of calls.

python -m benchmarks.simulated_hour [--docs]
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

from tests.support.simulated_hour import Hour, simulate

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
    if arguments.docs:
        page = Path(__file__).parent.parent / "docs" / "simulated-hour.md"
        before = page.read_text().split("<!-- table -->")[0]
        page.write_text(before + "<!-- table -->\n\n" + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
