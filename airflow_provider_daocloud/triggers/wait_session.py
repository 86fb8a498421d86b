"""A trigger's side of a wait: which poller serves it, what its log says, and when it is over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from airflow_provider_daocloud.api.endpoint import Endpoint
from airflow_provider_daocloud.api.errors import DaoCloudError, UnreachableError
from airflow_provider_daocloud.compat import AirflowNotFoundException
from airflow_provider_daocloud.core.polling.poller import Poller
from airflow_provider_daocloud.core.polling.subscription import Subscription
from airflow_provider_daocloud.core.waiting.progress_log import ProgressLog
from airflow_provider_daocloud.core.waiting.wait import FINAL_POLL, Outcome
from airflow_provider_daocloud.triggers.poller_registry import FRESH, PollerRegistry


class WaitSession:
    """One trigger's side of a wait.

    :param subscription: the wait, as a poller serves it.
    :param conn_id: the connection.
    :param poller_registry: the pollers of this event loop.
    :param log: which observations are worth a log line.
    :param read_connection: reads a connection of its type.
    """

    def __init__(
        self,
        subscription: Subscription,
        conn_id: str,
        poller_registry: PollerRegistry,
        log: ProgressLog,
        read_connection: Callable[[Any], Endpoint],
    ) -> None:
        self._subscription = subscription
        self._conn_id = conn_id
        self._registry = poller_registry
        self._log = log
        self._read_connection = read_connection
        self._endpoint: Endpoint | None = None
        self._poller: Poller | None = None

    async def until_over(self) -> Outcome:
        """Return how the wait ended."""
        subscription = self._subscription
        await self._subscribe(max_age=FRESH)
        check_at = self._check_at()
        while subscription.outcome is None:
            await self._news(min(check_at, self._log.due(subscription.tracker)))
            subscription.news.clear()
            now = time.time()
            if subscription.unauthorized is not None:
                await self._renew()
            elif now >= check_at:
                await self._subscribe(max_age=FRESH / 2)
                check_at = self._check_at()
            if subscription.outcome is None and now >= subscription.deadline + FINAL_POLL:
                subscription.end(
                    Outcome.of_error(subscription.tracker.timed_out(subscription.timeout))
                )
            self._log.add(subscription.tracker, now)
        return subscription.outcome

    async def leave(self) -> None:
        """Let the poller go."""
        if self._poller is not None:
            poller, self._poller = self._poller, None
            await poller.remove(self._subscription)
            self._registry.forget_idle()

    async def _news(self, until: float) -> None:
        until = min(until, self._subscription.deadline + FINAL_POLL)
        try:
            async with asyncio.timeout(max(until - time.time(), 0.01)):
                await self._subscription.news.wait()
        except TimeoutError:
            pass

    def _check_at(self) -> float:
        """Return when to look the connection up again: it may have been edited."""
        now = time.time()
        if self._poller is None:  # it could not be looked up yet
            return now + self._subscription.tracker.pause(now, self._subscription.backoff)
        return now + FRESH

    async def _subscribe(self, max_age: float) -> None:
        """Be served by the poller of the connection, as the connection is now."""
        try:
            endpoint = await self._registry.endpoint(
                self._conn_id, read=self._read_connection, max_age=max_age
            )
        except Exception as e:
            if self._endpoint is not None:
                return  # whatever an edit or an outage broke: continue with what worked
            if isinstance(e, (DaoCloudError, AirflowNotFoundException)):
                self._subscription.end(Outcome("permanent", None, str(e)))
                return
            # An outage of Airflow's own, or of its secrets backend. Its text may hold a secret.
            problem = f"the connection cannot be looked up ({type(e).__name__})."
            error = UnreachableError(f"connection {self._conn_id!r}", problem)
            self._subscription.miss(error, time.time())
            return
        if endpoint == self._endpoint and self._poller is not None:
            return
        await self.leave()
        self._endpoint = endpoint
        self._poller = self._registry.poller(endpoint)
        self._poller.add(self._subscription)

    async def _renew(self) -> None:
        """Resolve the connection once more after a 401; with the same token, judge the 401."""
        used = self._endpoint
        await self._subscribe(max_age=1.0)
        if self._endpoint == used:
            self._subscription.is_unauthorized(time.time())
