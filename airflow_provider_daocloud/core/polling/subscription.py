"""One wait, as a poller serves it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from airflow_provider_daocloud.api.errors import CallError, DaoCloudError
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.core.polling.queue import Job, Priority
from airflow_provider_daocloud.core.waiting.backoff import Backoff
from airflow_provider_daocloud.core.waiting.tracker import Tracker
from airflow_provider_daocloud.core.waiting.wait import Observation, Outcome


class Observer(Protocol):
    """What a subscription needs of the poller that serves it."""

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds since the epoch."""

    async def show(
        self, request: Request[Any], subscriptions: Callable[[], Iterable[Subscription]]
    ) -> None:
        """Send a request, and show its result to subscriptions."""

    def observed(self, subscription: Subscription) -> None:
        """Take in that a subscription was observed by a request of its own."""


class Subscription(Job):
    """One wait that the poller serves.

    :param tracker: the wait and what it has seen.
    :param backoff: how far its observations are apart.
    :param timeout: seconds from the tracker's start until the time is up; a final poll is made
        then.
    """

    def __init__(self, tracker: Tracker, backoff: Backoff, timeout: float) -> None:
        self.tracker = tracker
        self.backoff = backoff
        self.timeout = timeout
        self._deadline = tracker.started_at + timeout
        self.outcome: Outcome | None = None
        self.unauthorized: CallError | None = None
        self.news = asyncio.Event()
        self.hinted_at: float | None = None
        self.observing = False
        self.observed_at = float("-inf")
        self.poller: Observer | None = None

    @property
    def deadline(self) -> float:
        """When the time is up."""
        return self._deadline

    @property
    def open(self) -> bool:
        """Whether it is still pending, with the token that the poller has."""
        return self.outcome is None and self.unauthorized is None

    def take(self, seen: Any, now: float) -> None:
        """Judge what an observation showed."""
        before = self.tracker.last
        had_error = self.tracker.last_error is not None
        try:
            observation = self.tracker.saw(seen)
        except DaoCloudError as e:
            return self.end(Outcome.of_error(e))
        if observation.verdict == "succeeded":
            return self.end(Outcome("succeeded", observation.result, self.tracker.success(now)))
        if before is None or before.state != observation.state or had_error:
            self.news.set()
        return self.check_time(now)

    def would_end(self, seen: Any) -> Observation | None:
        """Return how the wait would end with what was seen, if it would. Nothing is kept."""
        observation = self.tracker.wait.judge(seen, dict(self.tracker.wait_state))
        return None if observation.verdict == "pending" else observation

    def miss(self, error: DaoCloudError, now: float) -> None:
        """Take an observation that failed."""
        if not isinstance(error, CallError):
            # Nothing was sent: the CA bundle or a proxy of the connection cannot be used.
            return self.end(Outcome.of_error(error))
        if error.status == 401:
            # Not judged yet: the token may have been rotated. The wait session looks that up.
            self.unauthorized = error
            self.news.set()
            return None
        return self._judge(error, now)

    def is_unauthorized(self, now: float) -> None:
        """Judge the 401: the token has not been rotated. The wait stays open if it may pass."""
        error, self.unauthorized = self.unauthorized, None
        if error is not None:
            self._judge(error, now)
        if self.open and self.poller is not None:
            self.poller.observed(self)

    def _judge(self, error: CallError, now: float) -> None:
        had_error = self.tracker.last_error is not None
        try:
            self.tracker.missed(error, now)
        except DaoCloudError as e:
            return self.end(Outcome.of_error(e))
        if not had_error:
            self.news.set()
        return self.check_time(now)

    def check_time(self, now: float) -> None:
        """End the wait if its time is up."""
        if now >= self.deadline and self.outcome is None:
            self.end(Outcome.of_error(self.tracker.timed_out(self.timeout)))

    def end(self, outcome: Outcome) -> None:
        """End the wait."""
        self.outcome = outcome
        self.news.set()

    def pause(self, now: float) -> float:
        """Return the seconds until the next observation, as the wait itself asks for it."""
        return self.tracker.pause(now, self.backoff)

    def next_due(self, now: float, pause: float) -> tuple[float, Priority]:
        """Return when to observe next, and with what priority: at the deadline at the latest."""
        if now + pause >= self.deadline:
            return max(self.deadline, now), Priority.FINAL_POLL
        return now + pause, Priority.TURN

    async def observe(self) -> None:
        """Read this wait's own resource."""
        poller = self.poller
        if poller is None:  # it has left since this was planned
            return
        self.observing, self.observed_at = True, poller.clock()
        try:
            await poller.show(self.tracker.wait.request(), lambda: [self] if self.open else [])
        finally:
            self.observing = False
        poller.observed(self)
