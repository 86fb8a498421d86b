"""An hour of waiting for actions under DaoCloud's limit of calls, on a clock that is simulated.

The poller, its budget and its hints are the real ones, and so is the contract (the sandbox's, in
this process). Only time is made up: nothing sleeps, so that an hour takes seconds. Every call
counts against an enforced limit of 5,000 an hour: the observations, the POSTs, the read before each
POST, and those of a second consumer of the same token.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import selectors
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_daocloud.api.endpoint import Endpoint
from airflow_provider_daocloud.api.errors import RateLimitedError
from airflow_provider_daocloud.api.openapi.actions import ActionState, get_action
from airflow_provider_daocloud.api.openapi.apps import act_on_app, get_app
from airflow_provider_daocloud.api.openapi.builds import list_build_flows
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.response import RateLimit, Response, interpret, rate_limit
from airflow_provider_daocloud.core.polling.poller import Poller
from airflow_provider_daocloud.core.polling.subscription import Subscription
from airflow_provider_daocloud.core.waiting.backoff import Backoff
from airflow_provider_daocloud.core.waiting.tracker import Tracker
from airflow_provider_daocloud.resources.openapi.app import ActionWait
from airflow_provider_daocloud.resources.registry import strategy_of
from airflow_provider_daocloud.sandbox.contract import Request as Received
from airflow_provider_daocloud.sandbox.contract import handle
from airflow_provider_daocloud.sandbox.options import Options
from airflow_provider_daocloud.sandbox.world import World

TOKEN = "simulated-token"
BEGIN = 1_800_000_000.0  # some moment, at the beginning of an hour of the limit
LATENCY = 0.08  # seconds for one call


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to what is due next."""

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
        self.rate_limit: RateLimit | None = None
        self._world = world
        self._who = who
        self._requests = calls

    async def send(self, request: Request[Any]) -> Any:
        """Send a call once, and return what it promises."""
        await asyncio.sleep(LATENCY / 2)
        headers = {"authorization": f"token {TOKEN}", "content-type": "application/json"}
        body = b"" if request.body is None else json.dumps(dict(request.body)).encode()
        made = handle(self._world, Received(request.method, f"/v1{request.path}", headers, body))
        self._requests[f"{self._who}: {request.name}"] += 1
        await asyncio.sleep(LATENCY / 2)
        now = asyncio.get_running_loop().time()
        response = Response(made.status, made.headers, made.body)
        self.rate_limit = rate_limit(response, now=now)
        try:
            return interpret(request, response, now=now)
        except RateLimitedError:
            self._requests[f"{self._who}: refused by the limit"] += 1
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
    :param limit: how many calls an hour the token has.
    """

    actions: int = 1000
    per_app: int = 1
    seconds: float = 600.0
    over: float = 1200.0
    others: int = 0
    silent: bool = False
    poll_interval: float = 10.0
    limit: int = 5000
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
            rate_limit=self.limit,
            app_list="frozen" if self.silent else "live",
        )
        self.world = World(clock=clock, seed=1, options=options)
        self.world.add_account(TOKEN)
        apps = [self.world.add_app(f"app-{n}") for n in range(self.actions // self.per_app + 1)]
        client: Any = WorldClient(self.world, "poller", self.calls)
        self.poller = Poller(client, strategy_of=strategy_of, clock=clock)
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
        await worker.send(get_app(app_id))
        action_id = await worker.send(act_on_app(app_id, "restart"))
        clock = asyncio.get_running_loop().time
        self.outcomes[await self.wait(app_id, action_id)] += 1
        ended = self.world.actions[action_id].ended_at
        self.delays.append(clock() - (ended or clock()))

    async def wait(self, app_id: str, action_id: str) -> str:
        """Wait for an action as a trigger does; return how that ended."""
        clock = asyncio.get_running_loop().time
        tracker = Tracker(ActionWait(app_id, action_id), started_at=clock())
        subscription = Subscription(tracker, Backoff(self.poll_interval), timeout=3 * 3600.0)
        self.poller.add(subscription)
        while subscription.outcome is None:
            await subscription.news.wait()
            subscription.news.clear()
        await self.poller.remove(subscription)
        return subscription.outcome.status

    async def _other(self) -> None:
        client = WorldClient(self.world, "second consumer", self.calls)
        while self.others:
            await asyncio.sleep(3600.0 / self.others)
            with contextlib.suppress(RateLimitedError):
                await client.send(list_build_flows())


class FixedInterval(Hour):
    """The same with waits that know nothing of each other: each asks at a fixed interval."""

    async def wait(self, app_id: str, action_id: str) -> str:
        """Ask until the action has ended."""
        client = WorldClient(self.world, "poller", self.calls)
        seen: Any = None
        while seen is None or seen.state != ActionState.SUCCESS:
            await asyncio.sleep(self.poll_interval)
            seen = await client.send(get_action(app_id, action_id))
        return "succeeded"
