"""Which poller serves a connection: resolved once for all waits, and noticed when it is edited.

All of this lives as long as its event loop. A triggerer has one loop; ``dag.test()`` makes a new
one for each trigger, and objects of one loop must not be used in another.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from airflow_provider_daocloud.api.async_client import AsyncDaoCloudClient
from airflow_provider_daocloud.api.endpoint import Endpoint
from airflow_provider_daocloud.compat import get_async_connection
from airflow_provider_daocloud.core.polling.poller import MAX_CONCURRENT, SLOW_CONCURRENT, Poller
from airflow_provider_daocloud.hooks.connection import endpoint_of
from airflow_provider_daocloud.resources.registry import strategy_of
from airflow_provider_daocloud.triggers import metrics

# How old a resolved connection may be, in seconds: an edit is noticed within this time.
FRESH = 300.0


class PollerRegistry:
    """The pollers and resolved connections of one event loop.

    :param clock: seconds; only differences matter.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pollers: dict[Endpoint, Poller] = {}
        self._resolved: dict[
            tuple[str, Callable[[Any], Endpoint]], tuple[float, asyncio.Task[Endpoint]]
        ] = {}

    async def endpoint(
        self,
        conn_id: str,
        *,
        read: Callable[[Any], Endpoint] = endpoint_of,
        max_age: float = FRESH,
    ) -> Endpoint:
        """Return where a connection leads, as it was at most ``max_age`` seconds ago.

        :param conn_id: the id of the connection.
        :param read: reads a connection of its type.
        :param max_age: seconds.
        :raises InputError: a field of the connection is unusable.
        :raises AirflowNotFoundException: there is no such connection.
        """
        now = self._clock()
        at, task = self._resolved.get((conn_id, read), (float("-inf"), None))
        if task is None or now - at > max_age or (task.done() and _failed(task)):
            # One look-up for all waits that ask at the same time, outlasting any of them.
            task = asyncio.get_running_loop().create_task(
                _resolve(conn_id, read), context=contextvars.copy_context()
            )
            self._resolved[conn_id, read] = (now, task)
        return task.result() if task.done() else await asyncio.shield(task)

    def poller(self, endpoint: Endpoint) -> Poller:
        """Return the poller that serves all waits at an endpoint."""
        poller = self._pollers.get(endpoint)
        if not poller:  # one that serves nobody is about to close its connections
            client = AsyncDaoCloudClient(endpoint, connections=MAX_CONCURRENT + SLOW_CONCURRENT)
            poller = self._pollers[endpoint] = Poller(
                client, strategy_of=strategy_of, metrics=metrics
            )
        return poller

    def forget_idle(self) -> None:
        """Let go of pollers that serve nobody, and with the last of them of what was resolved."""
        for endpoint in [e for e, poller in self._pollers.items() if not len(poller)]:
            del self._pollers[endpoint]
        if not self._pollers:
            self._resolved.clear()


_REGISTRIES: WeakKeyDictionary[asyncio.AbstractEventLoop, PollerRegistry] = WeakKeyDictionary()


def poller_registry() -> PollerRegistry:
    """Return the poller registry of the running event loop."""
    loop = asyncio.get_running_loop()
    found = _REGISTRIES.get(loop)
    if found is None:
        found = _REGISTRIES[loop] = PollerRegistry()
    return found


async def _resolve(conn_id: str, read: Callable[[Any], Endpoint]) -> Endpoint:
    return read(await get_async_connection(conn_id))


def _failed(task: asyncio.Task[Endpoint]) -> bool:
    return task.cancelled() or task.exception() is not None
