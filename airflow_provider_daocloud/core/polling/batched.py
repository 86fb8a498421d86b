"""One list request for all waits on what it lists."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_daocloud.api.errors import DaoCloudError
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.validation import INITIAL_INTERVAL
from airflow_provider_daocloud.core.polling.poller import Group, Poller
from airflow_provider_daocloud.core.polling.queue import Job, Priority
from airflow_provider_daocloud.core.polling.subscription import Subscription

# Waits that begin within this time share their first list, in seconds.
BATCH_WINDOW = 0.1


@dataclass(frozen=True)
class Batched:
    """For what has a list: one request serves all waits, and a lone resource is asked for itself.

    :param list_request: returns the request of the list; its items stay as they were sent.
    :param parse: makes of an item what the resource's own request would return.
    :param key_of_item: returns which resource an item is of.
    :param key_of_wait: returns which resource a wait is for.
    :param ends_waits: whether a wait may end by what the list shows, if that leaves nothing out.
        If not, a resource is asked for itself before one of its waits ends.
    """

    list_request: Callable[[], Request[tuple[Mapping[str, Any], ...]]]
    parse: Callable[[Mapping[str, Any]], Any]
    key_of_item: Callable[[Mapping[str, Any]], Hashable]
    key_of_wait: Callable[[Any], Hashable]
    ends_waits: bool

    def group(self, poller: Poller) -> Group:
        """Return the group of these waits, empty."""
        return _BatchedGroup(poller, self)


class _BatchedGroup(Job):
    def __init__(self, poller: Poller, strategy: Batched) -> None:
        self._poller = poller
        self._strategy = strategy
        self._resources: dict[Hashable, _Resource] = {}
        self._observed_at = float("-inf")
        self._due = float("inf")

    def add(self, subscription: Subscription) -> None:
        key = self._strategy.key_of_wait(subscription.tracker.wait)
        if key not in self._resources:
            self._resources[key] = _Resource(
                self._poller, subscription.tracker.wait.request(), self.schedule
            )
        resource = self._resources[key]
        resource.subscriptions[subscription] = None
        resource.item = None  # whatever was known of it, this wait has not seen it
        # A wait that begins just after a list was read takes the next one: many that begin one
        # after another would else request a list each.
        soon = self._poller.clock() + BATCH_WINDOW
        self._at(
            max(soon, self._observed_at + min(INITIAL_INTERVAL, subscription.backoff.max_interval))
        )

    def remove(self, subscription: Subscription) -> None:
        key = self._strategy.key_of_wait(subscription.tracker.wait)
        resource = self._resources[key]
        del resource.subscriptions[subscription]
        if not resource.subscriptions:
            self._poller.queue.drop(resource)
            del self._resources[key]
        if not self._resources:
            self._poller.queue.drop(self)
            self._due = float("inf")

    @property
    def deadline(self) -> float:
        """When the first of its waits has to be ended."""
        return min(
            (resource.deadline for resource in self._left_to_the_list()), default=float("inf")
        )

    def observed(self, subscription: Subscription) -> None:  # noqa: ARG002 - the list serves all
        """Plan the next list: a wait for one of its resources is still pending."""
        self.schedule()

    async def observe(self) -> None:
        self._observed_at, self._due = self._poller.clock(), float("inf")
        resources = [resource for resource in self._resources.values() if resource.open()]
        if len(resources) == 1:
            if not resources[0].observed_alone:
                await resources[0].observe()
        elif resources:
            try:
                items = await self._poller.ask(self._strategy.list_request())
            except DaoCloudError as e:
                self._miss(e)
            else:
                self._take(items)
            self.schedule()

    def _miss(self, error: DaoCloudError) -> None:
        now = self._poller.clock()
        for resource in self._left_to_the_list():
            resource.item = None
            for subscription in resource.open():
                subscription.miss(error, now)

    def _take(self, items: Iterable[Mapping[str, Any]]) -> None:
        now = self._poller.clock()
        by_key = {self._strategy.key_of_item(item): item for item in items}
        for key, resource in self._resources.items():
            if resource.observed_alone:
                continue
            item = by_key.get(key)
            same = item is not None and item == resource.item
            # Only what changed is parsed: this is done for all resources in every list.
            seen = None if item is None or same else self._strategy.parse(item)
            if item is None or self._is_for_itself(resource, seen, now):
                # Its own request says whether it is unknown, or only not listed; and how it is.
                resource.ask(now)
                continue
            resource.item = item
            for subscription in resource.open():
                if same:
                    subscription.check_time(now)
                else:
                    subscription.take(seen, now)

    def _is_for_itself(self, resource: _Resource, seen: Any, now: float) -> bool:
        """Whether a wait is about to end, and the list is not enough for it.

        :param resource: the resource.
        :param seen: what the list shows, if that is new.
        :param now: when, by the poller's clock.
        """
        if seen is not None:
            ends = [end for waiting in resource.open() if (end := waiting.would_end(seen))]
            if any(not self._strategy.ends_waits or None in end.result.values() for end in ends):
                return True
        # The final poll, unless it takes requests that others need.
        is_up = any(now >= subscription.deadline for subscription in resource.open())
        return (
            is_up and not self._strategy.ends_waits and self._poller.budget.wait(timely=True) <= 0
        )

    def schedule(self) -> None:
        """Plan the next list."""
        now = self._poller.clock()
        for resource in self._left_to_the_list():
            for subscription in resource.open():
                self._at(*subscription.next_due(now, self._poller.spare(subscription.pause(now))))

    def _at(self, due: float, priority: Priority = Priority.LIST) -> None:
        if due < self._due:
            self._due = due
            self._poller.queue.at(self, due, min(priority, Priority.LIST))

    def _left_to_the_list(self) -> list[_Resource]:
        """Return what is left to the list: not what is about to be asked for itself."""
        return [resource for resource in self._resources.values() if not resource.observed_alone]


class _Resource(Job):
    """One resource of a list, and all waits for it.

    :param poller: sends the request.
    :param request: the one that reads this resource alone.
    :param then: called when it was asked for itself.
    """

    def __init__(self, poller: Poller, request: Request[Any], then: Callable[[], None]) -> None:
        self._poller = poller
        self._request = request
        self._then = then
        self.subscriptions: dict[Subscription, None] = {}
        # What the list showed of it last, if that was taken.
        self.item: Mapping[str, Any] | None = None
        # Whether it is being asked for itself, or about to be.
        self.observed_alone = False

    @property
    def deadline(self) -> float:
        """When the first of its waits has to be ended."""
        return min((subscription.deadline for subscription in self.open()), default=float("inf"))

    def open(self) -> list[Subscription]:
        return [subscription for subscription in self.subscriptions if subscription.open]

    def ask(self, now: float) -> None:
        """Ask for it soon: in time for its waits, whatever the budget says if it must be."""
        self.observed_alone = True
        late = now + self._poller.budget.wait(timely=True) >= self.deadline
        self._poller.queue.at(self, now, Priority.FINAL_POLL if late else Priority.HINT)

    async def observe(self) -> None:
        self.observed_alone, self.item = True, None
        try:
            await self._poller.show(self._request, self.open)
        finally:
            self.observed_alone = False
        self._then()
