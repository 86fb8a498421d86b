"""How many calls into this package one look of the poller makes: time that no machine distorts."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import httpx

import airflow_provider_daocloud
from airflow_provider_daocloud.api.async_client import AsyncDaoCloudClient
from airflow_provider_daocloud.api.endpoint import Endpoint
from airflow_provider_daocloud.core.polling.poller import Poller
from airflow_provider_daocloud.core.polling.subscription import Subscription
from airflow_provider_daocloud.core.waiting.backoff import Backoff
from airflow_provider_daocloud.core.waiting.tracker import Tracker
from airflow_provider_daocloud.resources.openapi.build_flow import BuildFlowWait
from airflow_provider_daocloud.resources.registry import strategy_of

PACKAGE = str(Path(airflow_provider_daocloud.__file__).parent)
INTERVAL = 0.02  # seconds between two looks


def flow(number: int, **fields: Any) -> dict[str, Any]:
    """Return a build flow as the API sends it."""
    return {
        "id": f"f1000000-0000-4000-8000-{number:012d}",
        "name": f"flow-{number}",
        "status": "Started",
        "repo": f"team/flow-{number}",
        "package_id": None,
        "src_language": "python",
        "src_provider": "github",
        "src_origin_url": f"https://git.example/team/flow-{number}.git",
        "created_at": "2027-01-15T08:00:00Z",
    } | fields


class Counting(httpx.AsyncBaseTransport):
    """Answers with lists of build flows, and notes how many calls were made at each request.

    :param flows: what the lists show.
    :param changes: how many of the flows change from one list to the next.
    """

    def __init__(self, flows: int, changes: int = 0) -> None:
        self.at_each_look: list[int] = []
        self._flows = [flow(number) for number in range(flows)]
        self._changes = changes
        self._calls = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer."""
        self.at_each_look.append(self._calls)
        for item in self._flows[: self._changes]:
            item["status"] = "Pending" if item["status"] == "Started" else "Started"
        body = json.dumps({"build_flows": self._flows}).encode()
        return httpx.Response(200, stream=httpx.ByteStream(body))

    def profile(self, frame: FrameType, event: str, _arg: object) -> None:
        """Count a call, if it is into the package."""
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            self._calls += 1


async def calls_per_look(
    waits: int, *, flows: int | None = None, changes: int = 0, looks: int = 9
) -> int:
    """Return the calls that a look makes, when all waits have begun: the median of some.

    :param waits: how many wait for a build flow each.
    :param flows: how many are in the list; as many as waits, if not given.
    :param changes: how many of them change from one list to the next.
    :param looks: how many looks are counted.
    """
    transport = Counting(flows or waits, changes)
    client = AsyncDaoCloudClient(Endpoint("https://calls/v1", "made-up"), transport=transport)
    poller = Poller(client, strategy_of=strategy_of)
    backoff = Backoff(INTERVAL, initial_interval=INTERVAL)
    subscriptions = [
        Subscription(
            Tracker(BuildFlowWait(flow(number)["id"]), started_at=poller.clock()), backoff, 3600.0
        )
        for number in range(waits)
    ]
    for subscription in subscriptions:
        poller.add(subscription)
    sys.setprofile(transport.profile)
    try:
        # The first two show everything to everybody.
        async with asyncio.timeout(60):
            while len(transport.at_each_look) < looks + 3:  # noqa: ASYNC110 - nothing to wait for
                await asyncio.sleep(INTERVAL)
    finally:
        sys.setprofile(None)
        for subscription in subscriptions:
            await poller.remove(subscription)
    at = transport.at_each_look[2:]
    each = sorted(after - before for before, after in itertools.pairwise(at))
    return each[len(each) // 2]


if __name__ == "__main__":
    for count in (10, 100, 1000, 5000):
        print(
            f"{count:5} waits: {asyncio.run(calls_per_look(count)):7,} calls a look that shows no "
            f"change, {asyncio.run(calls_per_look(count, changes=1)):7,} that shows one"
        )
