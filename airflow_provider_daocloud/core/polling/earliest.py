"""Which of many waits comes first, at a cost that does not grow with their number."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator

from airflow_provider_daocloud.core.polling.subscription import Subscription
from airflow_provider_daocloud.core.waiting.backoff import Backoff


class Earliest:
    """The first of some waits by a number of each, as they come and go.

    :param key: returns that number; it must not change while the wait is in here.
    """

    def __init__(self, key: Callable[[Subscription], float]) -> None:
        self._key = key
        self._members: set[Subscription] = set()
        # What was discarded stays in here until it comes first.
        self._heap: list[tuple[float, int, Subscription]] = []
        self._order = itertools.count()

    def add(self, subscription: Subscription) -> None:
        """Take a wait in; nothing happens if it is in here."""
        if subscription in self._members:
            return
        self._members.add(subscription)
        heapq.heappush(self._heap, self._entry(subscription))
        if len(self._heap) > 2 * len(self._members) + 16:  # too many came and went
            self._heap = [self._entry(member) for member in self._members]
            heapq.heapify(self._heap)

    def discard(self, subscription: Subscription) -> None:
        """Leave a wait out; nothing happens if it is not in here."""
        self._members.discard(subscription)

    def first(self) -> Subscription | None:
        """Return the wait with the smallest number, if there is any."""
        while self._heap and self._heap[0][-1] not in self._members:
            heapq.heappop(self._heap)
        return self._heap[0][-1] if self._heap else None

    def _entry(self, subscription: Subscription) -> tuple[float, int, Subscription]:
        return self._key(subscription), next(self._order), subscription


def _age(subscription: Subscription) -> float:
    return -subscription.tracker.started_at


class Paces:
    """How soon some waits ask to be observed, as they come and go.

    Pauses grow with the time waited. So the youngest of those with the same backoff speaks for all
    of them; only those whose last observation failed are asked one by one.
    """

    def __init__(self) -> None:
        self._calm: dict[Backoff, Earliest] = {}
        self._failing: dict[Subscription, None] = {}

    def place(self, subscription: Subscription) -> None:
        """Take a wait in, or take in how its last observation went."""
        calm = self._calm.get(subscription.backoff)
        if calm is None:
            calm = self._calm[subscription.backoff] = Earliest(_age)
        if subscription.tracker.last_error is None:
            self._failing.pop(subscription, None)
            calm.add(subscription)
        else:
            calm.discard(subscription)
            self._failing[subscription] = None

    def discard(self, subscription: Subscription) -> None:
        """Leave a wait out; nothing happens if it is not in here."""
        self._failing.pop(subscription, None)
        calm = self._calm.get(subscription.backoff)
        if calm is not None:
            calm.discard(subscription)

    def pauses(self, now: float) -> Iterator[float]:
        """Yield pauses of which the shortest is the shortest that any of the waits asks for.

        :param now: seconds since the epoch.
        """
        for backoff, calm in list(self._calm.items()):
            youngest = calm.first()
            if youngest is None:
                del self._calm[backoff]
            else:
                yield youngest.pause(now)
        for subscription in self._failing:
            yield subscription.pause(now)
