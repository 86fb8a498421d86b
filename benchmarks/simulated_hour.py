"""An hour of waiting for actions under DaoCloud's limit of calls, on a clock that is simulated.

The poller, its budget and its hints are the real ones, and so is the contract (the sandbox's, in
this process). Only time is made up: nothing sleeps, so that an hour takes seconds. Every call
counts against an enforced limit of 5,000 an hour: the looks, the POSTs, the read before each POST,
and those of a second consumer of the same token.

    python -m benchmarks.simulated_hour [--docs]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import selectors
import statistics
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_daocloud.api import protocol
from airflow_provider_daocloud.api.endpoint import Endpoint
from airflow_provider_daocloud.api.errors import RateLimitedError
from airflow_provider_daocloud.api.protocol import Answer, Call
from airflow_provider_daocloud.sandbox.contract import Request, handle
from airflow_provider_daocloud.sandbox.options import Options
from airflow_provider_daocloud.sandbox.world import World
from airflow_provider_daocloud.triggers.poller import Poller, Waiter
from airflow_provider_daocloud.waits import ActionWait, Cadence, Tracker

TOKEN = "simulated-token"
BEGIN = 1_800_000_000.0  # some moment, at the beginning of an hour of the limit
LATENCY = 0.08  # seconds for one call


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next thing that is due."""

    def __init__(self) -> None:
        super().__init__(_Selector(self))
        self.now = BEGIN
        # So large a time has no nanoseconds: what is due now would be taken as due later.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """Return the simulated time."""
        return self.now


class _Selector(selectors.SelectSelector):
    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("nothing is due any more, and something still waits")
        self._loop.now += max(timeout, 0.0)
        return []


def simulate(main: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on a simulated clock that starts at `BEGIN`.

    :param main: the coroutine.
    """
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(main)


class WorldClient:
    """Sends calls to a world in this process: what `AsyncDaoCloudClient` is to a socket.

    :param world: the world.
    :param who: under which name its calls are counted.
    :param calls: where they are counted.
    """

    def __init__(self, world: World, who: str, calls: Counter[str]) -> None:
        self.endpoint = Endpoint("https://simulated/v1", TOKEN)
        self.rate_limit: protocol.RateLimit | None = None
        self._world = world
        self._who = who
        self._calls = calls

    async def send(self, call: Call[Any]) -> Any:
        """Send a call once, and return what it promises."""
        await asyncio.sleep(LATENCY / 2)
        headers = {"authorization": f"token {TOKEN}", "content-type": "application/json"}
        body = b"" if call.body is None else json.dumps(dict(call.body)).encode()
        made = handle(self._world, Request(call.method, f"/v1{call.path}", headers, body))
        self._calls[f"{self._who}: {call.name}"] += 1
        await asyncio.sleep(LATENCY / 2)
        now = asyncio.get_running_loop().time()
        answer = Answer(made.status, made.headers, made.body)
        self.rate_limit = protocol.rate_limit(answer, now=now)
        try:
            return protocol.interpret(call, answer, now=now)
        except RateLimitedError:
            self._calls[f"{self._who}: refused by the limit"] += 1
            raise

    async def close(self) -> None:
        """Nothing to close."""


@dataclass
class Hour:
    """One simulated hour.

    :param actions: how many there are.
    :param per_app: how many of them run on one app.
    :param seconds: how long each takes.
    :param over: over how many seconds they are started.
    :param others: how many calls an hour a second consumer makes with the same token.
    :param silent: whether the list of apps never changes, so that it hints at nothing.
    :param poll_interval: the waits' longest pause, in seconds.
    """

    actions: int = 1000
    per_app: int = 1
    seconds: float = 600.0
    over: float = 1200.0
    others: int = 0
    silent: bool = False
    poll_interval: float = 10.0
    calls: Counter[str] = field(default_factory=Counter)
    delays: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)

    async def run(self) -> Hour:
        """Live through it."""
        clock = asyncio.get_running_loop().time
        options = Options(
            action_seconds=self.seconds,
            action_spread=self.seconds / 20,
            busy="both",
            app_list="frozen" if self.silent else "live",
        )
        self.world = World(clock=clock, seed=1, options=options)
        self.world.add_account(TOKEN)
        apps = [self.world.add_app(f"app-{n}") for n in range(self.actions // self.per_app + 1)]
        client: Any = WorldClient(self.world, "poller", self.calls)
        self.poller = Poller(client, clock=clock)
        other = asyncio.create_task(self._other())
        async with asyncio.TaskGroup() as group:
            for n in range(self.actions):
                start = self.over * n / self.actions
                group.create_task(self._pipeline(start, apps[n // self.per_app].id))
        other.cancel()
        return self

    async def _pipeline(self, start: float, app_id: str) -> None:
        await asyncio.sleep(start)
        worker = WorldClient(self.world, "workers", self.calls)
        await worker.send(protocol.get_app(app_id))
        action_id = await worker.send(protocol.act_on_app(app_id, "restart"))
        clock = asyncio.get_running_loop().time
        tracker = Tracker(ActionWait(app_id, action_id), started=clock())
        waiter = Waiter(tracker, Cadence(self.poll_interval), timeout=3 * 3600.0)
        self.poller.add(waiter)
        while waiter.outcome is None:
            await waiter.news.wait()
            waiter.news.clear()
        await self.poller.remove(waiter)
        self.outcomes[waiter.outcome.kind] += 1
        ended = self.world.actions[action_id].ended_at
        self.delays.append(clock() - (ended or clock()))

    async def _other(self) -> None:
        client = WorldClient(self.world, "second consumer", self.calls)
        while self.others:
            await asyncio.sleep(3600.0 / self.others)
            with contextlib.suppress(RateLimitedError):
                await client.send(protocol.list_build_flows())

    def row(self, name: str) -> str:
        """Return the hour as a row of a table."""
        refused = sum(n for call, n in self.calls.items() if call.endswith("refused by the limit"))
        quantiles = statistics.quantiles(self.delays, n=100)
        polls = {
            name.removeprefix("poller: "): n
            for name, n in self.calls.items()
            if name.startswith("poller: ")
        }
        return (
            f"| {name} | {self.outcomes['succeeded']}/{self.actions} | {refused} "
            f"| {statistics.median(self.delays):.1f} | {quantiles[94]:.1f} "
            f"| {max(self.delays):.1f} "
            f"| {polls.get('get_action', 0)} | {polls.get('list_apps', 0)} "
            f"| {sum(self.calls.values()) - refused} |"
        )


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


def main() -> None:
    """Print the table; with ``--docs`` write it into the documentation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--docs", action="store_true", help="write docs/simulated-hour.md")
    arguments = parser.parse_args()
    rows = [HEADER]
    print(HEADER, flush=True)
    for name, settings in HOURS.items():
        rows.append(simulate(Hour(**settings).run()).row(name))
        print(rows[-1], flush=True)
    if arguments.docs:
        page = Path(__file__).parent.parent / "docs" / "simulated-hour.md"
        before = page.read_text().split("<!-- table -->")[0]
        page.write_text(before + "<!-- table -->\n\n" + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
