"""What long lists cost the poller: run it with `make bench-lists`.

The real poller and the real client, in front of a transport that answers at once: measured is our
own work for a look, and not the network's.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import time
from dataclasses import dataclass
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]
from airflow_provider_daocloud.api.async_client import AsyncDaoCloudClient
from airflow_provider_daocloud.api.endpoint import Endpoint
from airflow_provider_daocloud.core.polling.poller import Poller
from airflow_provider_daocloud.core.polling.subscription import Subscription
from airflow_provider_daocloud.core.waiting.backoff import Backoff
from airflow_provider_daocloud.core.waiting.tracker import Tracker
from airflow_provider_daocloud.resources.openapi.app import AppWait
from airflow_provider_daocloud.resources.openapi.build_flow import BuildFlowWait
from airflow_provider_daocloud.resources.registry import strategy_of

from benchmarks import machine, page

INTERVAL = 0.2  # seconds between two looks
FIRST, LOOKS = 4, 15


@dataclass(frozen=True)
class Case:
    """A list, and how many wait for something of it.

    :param filler: how many bytes each item has beside its usual fields.
    """

    what: str
    items: int
    waits: int
    filler: int = 0


CASES = (
    Case("build flows", 1_000, 1_000),
    Case("build flows", 10_000, 10),
    Case("build flows", 10_000, 10_000),
    Case("apps", 1_000, 10, filler=5_000),
)


class Answers(httpx.AsyncBaseTransport):
    """Answers with one list, in which one item changes from look to look, or none does."""

    def __init__(self, case: Case, *, changes: bool) -> None:
        self.cpu_at: list[float] = []
        key, field, word = (
            ("build_flows", "status", "Started")
            if case.what == "build flows"
            else ("app", "state", "RESTAGING")
        )
        items: list[dict[str, Any]] = [
            {
                "id": f"f{number}",
                "name": f"name-{number}",
                field: word,
                "release_name": "v1",
                "repo": f"team/repository-{number}",
                "src_origin_url": f"https://git.example/team/repository-{number}.git",
                "created_at": "2027-01-15T08:00:00Z",
                "config": "x" * case.filler,
            }
            for number in range(case.items)
        ]
        bodies = [json.dumps({key: items}).encode()]
        if changes:
            items[0]["name"] = "another"
            bodies.append(json.dumps({key: items}).encode())
        self.size = len(bodies[0])
        self._bodies = itertools.cycle(bodies)

    async def handle_async_request(self, _request: httpx.Request) -> httpx.Response:
        """Answer, and note the CPU time that was used so far."""
        self.cpu_at.append(time.process_time())
        return httpx.Response(200, stream=httpx.ByteStream(next(self._bodies)))


@dataclass
class Figures:
    """What was measured: CPU and the longest step in seconds, sizes in bytes."""

    cpu: float
    longest: float
    size: int
    memory: int


async def measure(case: Case, *, changes: bool, beats: bool) -> Figures:
    """Let a poller look some times.

    :param changes: whether each list shows a change.
    :param beats: whether to watch the loop, which costs CPU itself.
    """
    before = psutil.Process().memory_info().rss
    answers = Answers(case, changes=changes)
    client = AsyncDaoCloudClient(Endpoint("https://lists/v1", "made-up"), transport=answers)
    poller = Poller(client, strategy_of=strategy_of)
    backoff = Backoff(INTERVAL, initial_interval=INTERVAL)
    subscriptions = []
    for number in range(case.waits):
        wait: Any = BuildFlowWait(f"f{number}")
        if case.what == "apps":
            wait = AppWait(f"f{number}", release_name="v2")
        subscriptions.append(Subscription(Tracker(wait, time.time()), backoff, 3600.0))
        poller.add(subscriptions[-1])
    steps = [0.0]
    beating = asyncio.create_task(beat(steps)) if beats else None
    async with asyncio.timeout(120):
        await looked(answers, FIRST)  # they show everything to everybody
        steps[:] = [0.0]
        await looked(answers, FIRST + LOOKS)
    if beating:
        beating.cancel()
    memory = psutil.Process().memory_info().rss - before
    each = sorted(b - a for a, b in itertools.pairwise(answers.cpu_at[FIRST:]))
    for subscription in subscriptions:
        await poller.remove(subscription)
    return Figures(each[len(each) // 2], max(steps), answers.size, memory)


async def looked(answers: Answers, times: int) -> None:
    """Wait until there were so many looks."""
    while len(answers.cpu_at) < times:  # noqa: ASYNC110 - to wake up seldom costs nothing
        await asyncio.sleep(INTERVAL / 2)


async def beat(steps: list[float]) -> None:
    """Note how late the loop wakes up, every 5 ms."""
    while True:
        began = time.monotonic()
        await asyncio.sleep(0.005)
        steps.append(time.monotonic() - began - 0.005)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", action="store_true", help="also write docs/benchmarks.md")
    args = parser.parse_args()
    lines = [
        "| list | waits | answer MB | look without news, CPU ms | look with a change, CPU ms "
        "| longest step of the loop then, ms | memory MB |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for case in CASES:
        quiet = asyncio.run(measure(case, changes=False, beats=False))
        moving = asyncio.run(measure(case, changes=True, beats=False))
        watched = asyncio.run(measure(case, changes=True, beats=True))
        lines.append(
            f"| {case.items:,} {case.what} | {case.waits:,} | {quiet.size / 1e6:.1f} "
            f"| {quiet.cpu * 1e3:.1f} | {moving.cpu * 1e3:.1f} | {watched.longest * 1e3:.0f} "
            f"| {quiet.memory / 1e6:.0f} |"
        )
        print(lines[-1], flush=True)
    shown = "\n".join(lines) + f"\n\n{machine.described()}"
    if args.docs:
        page.fill("lists", shown)


if __name__ == "__main__":
    main()
