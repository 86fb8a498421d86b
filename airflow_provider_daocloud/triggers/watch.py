"""A trigger's side of a wait: which poller serves it, what its log says, and when it is over."""

from __future__ import annotations

import asyncio
import time

from airflow_provider_daocloud import waits
from airflow_provider_daocloud.api.endpoint import Endpoint
from airflow_provider_daocloud.api.errors import DaoCloudError, UnreachableError
from airflow_provider_daocloud.compat import AirflowNotFoundException
from airflow_provider_daocloud.triggers.accounts import FRESH, Accounts
from airflow_provider_daocloud.triggers.poller import Poller, Waiter

LAST_LOOK = waits.FINAL_POLL


class Watch:
    """One trigger's side of a wait.

    :param waiter: the wait, as a poller serves it.
    :param conn_id: the connection.
    :param accounts: the pollers of this event loop.
    :param log: tells of the wait.
    """

    def __init__(
        self, waiter: Waiter, conn_id: str, accounts: Accounts, log: waits.WaitLog
    ) -> None:
        self._waiter = waiter
        self._conn_id = conn_id
        self._accounts = accounts
        self._log = log
        self._endpoint: Endpoint | None = None
        self._poller: Poller | None = None

    async def until_over(self) -> waits.Outcome:
        """Return how the wait ended."""
        waiter = self._waiter
        await self._join(max_age=FRESH)
        check_at = self._check_at()
        while waiter.outcome is None:
            await self._news(min(check_at, self._log.due(waiter.tracker)))
            waiter.news.clear()
            now = time.time()
            if waiter.unauthorized is not None:
                await self._renew()
            elif now >= check_at:
                await self._join(max_age=FRESH / 2)
                check_at = self._check_at()
            if waiter.outcome is None and now >= waiter.deadline + LAST_LOOK:
                waiter.end(waits.Outcome.of_error(waiter.tracker.timed_out(waiter.timeout)))
            self._log.look(waiter.tracker, now)
        return waiter.outcome

    async def leave(self) -> None:
        """Let the poller go."""
        if self._poller is not None:
            poller, self._poller = self._poller, None
            await poller.remove(self._waiter)
            self._accounts.forget_idle()

    async def _news(self, until: float) -> None:
        until = min(until, self._waiter.deadline + LAST_LOOK)
        try:
            async with asyncio.timeout(max(until - time.time(), 0.01)):
                await self._waiter.news.wait()
        except TimeoutError:
            pass

    def _check_at(self) -> float:
        """Return when to look the connection up again: it may have been edited."""
        now = time.time()
        if self._poller is None:  # it could not be looked up yet
            return now + self._waiter.tracker.pause(now, self._waiter.cadence)
        return now + FRESH

    async def _join(self, max_age: float) -> None:
        """Be served by the poller of the connection, as the connection is now."""
        try:
            endpoint = await self._accounts.endpoint(self._conn_id, max_age=max_age)
        except Exception as e:
            if self._endpoint is not None:
                return  # whatever an edit or an outage broke: go on with what worked
            if isinstance(e, (DaoCloudError, AirflowNotFoundException)):
                self._waiter.end(waits.Outcome("fatal", None, str(e)))
                return
            # An outage of Airflow's own, or of its secrets backend. Its text may hold a secret.
            problem = f"cannot be looked up ({type(e).__name__})."
            error = UnreachableError(f"connection {self._conn_id!r}", problem)
            self._waiter.miss(error, time.time())
            return
        if endpoint == self._endpoint and self._poller is not None:
            return
        await self.leave()
        self._endpoint = endpoint
        self._poller = self._accounts.poller(endpoint)
        self._poller.add(self._waiter)

    async def _renew(self) -> None:
        """Resolve the connection once more after a 401; with the same token, judge the 401."""
        used = self._endpoint
        await self._join(max_age=1.0)
        if self._endpoint == used:
            self._waiter.is_unauthorized(time.time())
