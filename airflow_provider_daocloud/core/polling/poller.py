"""One poller for all waits of a triggerer with the same account.

However many waits there are, their observations go through one queue in front of at most two
connections, at the pace that the token's hourly limit allows. How the waits of one kind are
observed is a strategy: individually, batched (one list request for all) or hinted (a list says whom
to ask).

The poller knows nothing of Airflow and logs nothing: each wait does that in its own context.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Protocol, TypeVar

from airflow_provider_daocloud.api.async_client import AsyncDaoCloudClient
from airflow_provider_daocloud.api.budget import Budget
from airflow_provider_daocloud.api.errors import CallError, DaoCloudError, RateLimitedError
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.core.polling.queue import PollQueue
from airflow_provider_daocloud.core.polling.subscription import Subscription
from airflow_provider_daocloud.core.waiting.wait import Outcome, Wait, is_permanent

T = TypeVar("T")

# A second request may be under way, so that one that stalls does not hold up all the others.
MAX_CONCURRENT = 2

# How many slow requests may be under way beside those.
SLOW_CONCURRENT = 14


class Metrics(Protocol):
    """Where the poller reports what it does."""

    def gauge(self, name: str, value: float) -> None:
        """Set a value."""

    def count(self, name: str) -> None:
        """Add one to a counter."""


class Group(Protocol):
    """The waits that a strategy serves, and when they are observed."""

    def add(self, subscription: Subscription) -> None:
        """Serve a wait."""

    def remove(self, subscription: Subscription) -> None:
        """Forget a wait; what the queue has of it is dropped by the poller."""

    def observed(self, subscription: Subscription) -> None:
        """Take in that a wait was observed by a request of its own."""


class Strategy(Hashable, Protocol):
    """How the waits of one kind are polled."""

    def group(self, poller: Poller) -> Group:
        """Return the group of these waits, empty.

        :param poller: sends their requests.
        """


class Poller:
    """Observes DaoCloud for all waits that were added, as long as there are any.

    :param client: sends the requests.
    :param strategy_of: returns how a wait is polled.
    :param clock: seconds since the epoch. For tests.
    :param metrics: takes the numbers of waits and requests.
    """

    def __init__(
        self,
        client: AsyncDaoCloudClient,
        *,
        strategy_of: Callable[[Wait], Strategy],
        clock: Callable[[], float] = time.time,
        metrics: Metrics | None = None,
    ) -> None:
        self.client = client
        self.clock = clock
        self.metrics = metrics
        self.budget = Budget(clock)
        self.queue = PollQueue(self.budget, clock, MAX_CONCURRENT, SLOW_CONCURRENT)
        self._strategy_of = strategy_of
        self._groups: dict[Strategy, Group] = {}
        self.calls: Counter[str] = Counter()
        self._outage = False
        self._subscriptions: set[Subscription] = set()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._subscriptions)

    def add(self, subscription: Subscription) -> None:
        """Serve a wait, until `remove`."""
        subscription.poller = self
        subscription.unauthorized = None
        self._subscriptions.add(subscription)
        self._group(subscription).add(subscription)
        self.queue.mind(subscription.deadline)
        if self._task is None:
            # With an empty context: it would inherit the first wait's, and log into its log.
            self._task = asyncio.get_running_loop().create_task(
                self.queue.run(), context=contextvars.Context()
            )
            self._task.add_done_callback(self._ended)

    async def remove(self, subscription: Subscription) -> None:
        """Forget a wait. With the last one the poller ends, and its connections are closed."""
        if subscription in self._subscriptions:
            subscription.poller = None
            self._subscriptions.discard(subscription)
            self.queue.drop(subscription)
            self._group(subscription).remove(subscription)
        if not self._subscriptions and self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait([task])
            if not self._subscriptions:  # none has come meanwhile
                await self.client.close()
            if self.metrics:
                self.metrics.gauge("subscriptions", len(self))

    async def ask(self, request: Request[T]) -> T:
        """Send a request, and learn from its response how fast to ask."""
        self.budget.spend()
        self.calls[request.name] += 1
        self._report()
        try:
            response = await self.client.send(request)
        except RateLimitedError as e:
            self.budget.refused(None if e.retry_at is None else e.retry_at - self.clock())
            raise
        except CallError as e:
            if not is_permanent(e) and not self._outage:
                self._outage = True
                if self.metrics:
                    self.metrics.count("outages")
            raise
        self._outage = False
        self.budget.learn(self.client.rate_limit)
        return response

    async def show(
        self, request: Request[Any], subscriptions: Callable[[], Iterable[Subscription]]
    ) -> None:
        """Read one resource, and show it to the waits for it.

        :param request: reads it.
        :param subscriptions: returns the waits, when the response is there.
        """
        try:
            seen = await self.ask(request)
        except DaoCloudError as e:
            for subscription in subscriptions():
                subscription.miss(e, self.clock())
        except Exception as e:
            self.broke(e, subscriptions())
        else:
            for subscription in subscriptions():
                subscription.take(seen, self.clock())

    def broke(self, error: Exception, subscriptions: Iterable[Subscription]) -> None:
        """End waits by a fault of our own: these alone, and not the poller with all the others."""
        for subscription in subscriptions:
            text = f"{subscription.tracker.wait}: an observation broke: {error!r}"
            subscription.end(Outcome("unreachable", None, text))

    def spare(self, pause: float, share: float = 1.0, longest: float = 15.0) -> float:
        """Return how long to pause until the next poll, so that such polls stay in their share.

        :param pause: the seconds that the waits ask for.
        :param share: the part of the budget that these polls may take.
        :param longest: the seconds that polls are put off to at most.
        """
        pace = self.budget.pace * share
        return max(pause, min(1.0 / pace, longest) if pace > 0 else longest)

    def _report(self) -> None:
        if self.metrics:
            self.metrics.count("polls")
            self.metrics.gauge("subscriptions", len(self))
            if self.budget.remaining is not None:
                self.metrics.gauge("budget_left", self.budget.remaining)

    def observed(self, subscription: Subscription) -> None:
        """Take in that a wait was observed, and plan its next observation."""
        if subscription in self._subscriptions:
            self._group(subscription).observed(subscription)

    def _group(self, subscription: Subscription) -> Group:
        strategy = self._strategy_of(subscription.tracker.wait)
        if strategy not in self._groups:
            self._groups[strategy] = strategy.group(self)
        return self._groups[strategy]

    def _ended(self, task: asyncio.Task[None]) -> None:
        # Only a bug ends the queue by itself. It must not leave the waits hanging.
        error = None if task.cancelled() else task.exception()
        for subscription in list(self._subscriptions) if error else ():
            subscription.end(
                Outcome("unreachable", None, f"the poller ended by a fault of its own: {error!r}")
            )
