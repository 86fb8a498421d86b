"""The simplest way to poll: each wait has requests of its own."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_daocloud.core.polling.poller import Group, Poller
from airflow_provider_daocloud.core.polling.subscription import Subscription


@dataclass(frozen=True)
class Individual:
    """For what has neither a list nor hints: each wait is observed in its turn."""

    def group(self, poller: Poller) -> Group:
        """Return the group of these waits, empty."""
        return _IndividualGroup(poller)


class _IndividualGroup:
    def __init__(self, poller: Poller) -> None:
        self._poller = poller

    def add(self, subscription: Subscription) -> None:
        self._poller.queue.at(subscription, self._poller.clock())

    def remove(self, subscription: Subscription) -> None:
        """Its observation is dropped by the poller."""

    def observed(self, subscription: Subscription) -> None:
        if subscription.open:
            now = self._poller.clock()
            due, priority = subscription.next_due(now, subscription.pause(now))
            self._poller.queue.at(subscription, due, priority)
