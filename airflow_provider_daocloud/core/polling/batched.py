"""One list request for all waits on what it lists."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from airflow_provider_daocloud.api.errors import DaoCloudError
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.validation import INITIAL_INTERVAL
from airflow_provider_daocloud.core.polling.earliest import Earliest, Paces
from airflow_provider_daocloud.core.polling.poller import Group, Poller
from airflow_provider_daocloud.core.polling.queue import Job, Priority
from airflow_provider_daocloud.core.polling.subscription import Subscription

# Waits that begin within this time share their first list, in seconds.
BATCH_WINDOW = 0.1

# How many resources are visited before the event loop gets its turn.
AT_A_TIME = 50


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
    """The waits, the list that serves them, and what it showed last.

    A list that shows what it showed before costs nothing for each wait: visited are those alone to
    which it is new, and whose time is up.
    """

    def __init__(self, poller: Poller, strategy: Batched) -> None:
        self._poller = poller
        self._strategy = strategy
        self._resources: dict[Hashable, _Resource] = {}
        # What the list showed last, in its order and by key.
        self._items: Sequence[Mapping[str, Any]] = ()
        self._by_key: dict[Hashable, Mapping[str, Any]] = {}
        # The resources whose waits have not seen that.
        self._unseen: dict[_Resource, None] = {}
        # Of the waits that are left to the list: not of what is asked for itself.
        self._paces = Paces()
        self._deadlines = Earliest(attrgetter("deadline"))
        self._observed_at = float("-inf")
        self._due = float("inf")

    def add(self, subscription: Subscription) -> None:
        key = self._key_of(subscription)
        if key not in self._resources:
            request = subscription.tracker.wait.request()
            self._resources[key] = _Resource(key, self._poller, request, self._moved)
        resource = self._resources[key]
        resource.subscriptions[subscription] = None
        self._unseen[resource] = None  # whatever was shown of it, this wait has not seen it
        self._place(resource, subscription)
        # A wait that begins just after a list was read takes the next one: many that begin one
        # after another would else request a list each.
        soon = self._poller.clock() + BATCH_WINDOW
        self._at(
            max(soon, self._observed_at + min(INITIAL_INTERVAL, subscription.backoff.max_interval))
        )

    def remove(self, subscription: Subscription) -> None:
        resource = self._resources[self._key_of(subscription)]
        del resource.subscriptions[subscription]
        self._place(resource, subscription)
        if not resource.subscriptions:
            self._poller.queue.drop(resource)
            del self._resources[resource.key]
            self._unseen.pop(resource, None)
        if not self._resources:
            self._poller.queue.drop(self)
            self._due = float("inf")
            self._items, self._by_key = (), {}

    @property
    def deadline(self) -> float:
        """When the first of its waits has to be ended."""
        first = self._deadlines.first()
        return float("inf") if first is None else first.deadline

    def observed(self, subscription: Subscription) -> None:
        """Plan the next list: a wait for one of its resources is still pending."""
        self._place(self._resources[self._key_of(subscription)], subscription)
        self.schedule()

    async def observe(self) -> None:
        self._observed_at, self._due = self._poller.clock(), float("inf")
        open_ones = (resource for resource in self._resources.values() if resource.open())
        match list(itertools.islice(open_ones, 2)):
            case [resource]:
                if not resource.observed_alone:
                    await resource.observe()
            case [_, _]:
                try:
                    items = await self._poller.ask(self._strategy.list_request())
                except DaoCloudError as e:
                    await self._miss(e)
                except Exception as e:
                    self._poller.broke(e, self._left_to_the_list())
                else:
                    await self._take(items)
                self.schedule()

    async def _miss(self, error: DaoCloudError) -> None:
        now = self._poller.clock()
        async for resource in self._in_turns(self._resources.values()):
            self._unseen[resource] = None
            for subscription in resource.open():
                subscription.miss(error, now)
                self._place(resource, subscription)

    async def _take(self, items: Sequence[Mapping[str, Any]]) -> None:
        now = self._poller.clock()
        changed = [self._resources[key] for key in self._changes(items) if key in self._resources]
        async for resource in self._in_turns(dict.fromkeys([*changed, *self._unseen])):
            try:
                self._show(resource, now)
            except Exception as e:
                self._poller.broke(e, resource.open())
        while (first := self._deadlines.first()) is not None and now >= first.deadline:
            self._time_is_up(self._resources[self._key_of(first)], now)

    async def _in_turns(self, resources: Iterable[_Resource]) -> AsyncIterator[_Resource]:
        """Yield what is left to the list; in between, let what else is in the loop go on."""
        for number, resource in enumerate(list(resources), start=1):
            if not resource.observed_alone and resource.subscriptions:
                yield resource
            if number % AT_A_TIME == 0:
                await asyncio.sleep(0)

    def _changes(self, items: Sequence[Mapping[str, Any]]) -> Iterable[Hashable]:
        """Take in a list; return the keys of what it shows otherwise than the last one.

        The client returns the same object for the same bytes, and most lists keep their order.
        """
        before, self._items = self._items, items
        if items is before:
            return ()
        key_of = self._strategy.key_of_item
        if len(items) == len(before) == len(self._by_key):
            pairs = [(old, new) for old, new in zip(before, items, strict=True) if old != new]
            changed = {key_of(new): new for _, new in pairs}
            if all(key_of(old) in changed for old, _ in pairs):
                self._by_key |= changed
                return changed
        old, self._by_key = self._by_key, {key_of(item): item for item in items}
        return [key for key in self._resources if self._by_key.get(key) != old.get(key)]

    def _show(self, resource: _Resource, now: float) -> None:
        """Let the waits for a resource see what the list shows of it."""
        item = self._by_key.get(resource.key)
        seen = None if item is None else self._strategy.parse(item)
        if item is None or self._is_for_itself(resource, seen, now):
            # Its own request says whether it is unknown, or only not listed; and how it is.
            resource.ask(now)
            return
        self._unseen.pop(resource, None)
        for subscription in resource.open():
            subscription.take(seen, now)
            self._place(resource, subscription)

    def _time_is_up(self, resource: _Resource, now: float) -> None:
        """End the waits for a resource whose time is up, by a final poll of its own if need be."""
        if self._is_for_itself(resource, None, now):
            resource.ask(now)
            return
        for subscription in resource.open():
            subscription.check_time(now)
            self._place(resource, subscription)

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
        is_up = now >= resource.deadline
        return (
            is_up and not self._strategy.ends_waits and self._poller.budget.wait(timely=True) <= 0
        )

    def schedule(self) -> None:
        """Plan the next list."""
        now = self._poller.clock()
        for pause in self._paces.pauses(now):
            self._at(now + self._poller.spare(pause))
        if self.deadline < self._due:
            self._at(max(self.deadline, now), Priority.FINAL_POLL)

    def _at(self, due: float, priority: Priority = Priority.LIST) -> None:
        if due < self._due:
            self._due = due
            self._poller.queue.at(self, due, priority)

    def _left_to_the_list(self) -> list[Subscription]:
        """Return the waits that are pending, but for what is about to be asked for itself."""
        resources = (r for r in self._resources.values() if not r.observed_alone)
        return [subscription for resource in resources for subscription in resource.open()]

    def _key_of(self, subscription: Subscription) -> Hashable:
        return self._strategy.key_of_wait(subscription.tracker.wait)

    def _moved(self, resource: _Resource) -> None:
        """Take in that a resource is left to the list again, or is not."""
        if resource.subscriptions:
            self._unseen[resource] = None
        for subscription in resource.subscriptions:
            self._place(resource, subscription)
        if not resource.observed_alone:
            self.schedule()

    def _place(self, resource: _Resource, subscription: Subscription) -> None:
        """Take in whether a wait is left to the list, and how its last observation went."""
        alone = resource.observed_alone
        if subscription.open and not alone and subscription in resource.subscriptions:
            self._paces.place(subscription)
            self._deadlines.add(subscription)
        else:
            self._paces.discard(subscription)
            self._deadlines.discard(subscription)


class _Resource(Job):
    """One resource of a list, and all waits for it.

    :param key: which one it is.
    :param poller: sends the request.
    :param request: the one that reads this resource alone.
    :param moved: called when it is to be asked for itself, and when it was.
    """

    def __init__(
        self,
        key: Hashable,
        poller: Poller,
        request: Request[Any],
        moved: Callable[[_Resource], None],
    ) -> None:
        self.key = key
        self._poller = poller
        self._request = request
        self._moved = moved
        self.subscriptions: dict[Subscription, None] = {}
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
        late = now + self._poller.budget.wait(timely=True) >= self.deadline
        self._move(alone=True)
        self._poller.queue.at(self, now, Priority.FINAL_POLL if late else Priority.HINT)

    async def observe(self) -> None:
        self._move(alone=True)
        try:
            await self._poller.show(self._request, self.open)
        finally:
            self._move(alone=False)

    def _move(self, *, alone: bool) -> None:
        self.observed_alone = alone
        self._moved(self)
