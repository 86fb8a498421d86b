"""Actions, of which a list says whom to ask."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.core.polling.batched import BATCH_WINDOW
from airflow_provider_daocloud.core.polling.earliest import Paces
from airflow_provider_daocloud.core.polling.poller import Group, Poller
from airflow_provider_daocloud.core.polling.queue import Job, Priority
from airflow_provider_daocloud.core.polling.subscription import Subscription
from airflow_provider_daocloud.core.waiting.backoff import Backoff

# From how many waits on the list is asked for hints.
HINTS_FROM = 4

# How many actions are asked at the full pace all the same, to notice when hints stay away.
PROBES = 3

# How often an action is asked without a hint, while hints are relied on.
HINTED = Backoff(max_interval=300.0, initial_interval=30.0, growth=0.5)

# The part of the budget that these lists may take: the rest is for the waits' own requests.
HINTS_SHARE = 0.25

# The part of the budget that probes may take together.
PROBES_SHARE = 0.1

# How many ends with a hint, less those without, are remembered at most. Below 0: no reliance.
MOST_TRUST = 3

# How many of the last actions' durations are kept, and which of them (as a part, from the shortest)
# an action is taken to need, when more observations are due than the budget allows.
DURATIONS = 50

LIKELY_DURATION = 0.9

# While hints are doubted, an action is asked at the full pace from this part of the shortest of
# these durations on: others of its kind have ended by then.
SOONEST_SHARE = 0.9

# If it needs longer, how much later it is observed next, as a part of that.
LATER_SHARE = 0.05


@dataclass(frozen=True)
class Hinted:
    """For what has no list, but acts on something that has: that list says whom to ask.

    Each wait is asked for. From a few waits on, the list of what they act on *hints*: what changed
    there gets its waits asked at once, the others are asked seldom. A hint only speeds things up:
    nothing promises that the list changes when a wait ends. A few *probes* are always asked at the
    full pace, and if ends come without hints, hints are not relied on any more. A list that does
    not even show what is in progress is *doubted* until it has hinted at an end: as soon as a probe
    has ended, what is likely to end then, too, is asked at the full pace.

    :param list_request: returns the request of the list; its items stay as they were sent.
    :param key_of_item: returns what an item is of.
    :param key_of_wait: returns what a wait's action is on.
    :param is_busy: whether an item shows that something is in progress.
    :param duration_of: returns how many seconds an action took, if its result says so.
    """

    list_request: Callable[[], Request[tuple[Mapping[str, Any], ...]]]
    key_of_item: Callable[[Mapping[str, Any]], Hashable]
    key_of_wait: Callable[[Any], Hashable]
    is_busy: Callable[[Mapping[str, Any]], bool]
    duration_of: Callable[[Mapping[str, Any]], float | None]

    def group(self, poller: Poller) -> Group:
        """Return the group of these waits, empty."""
        return _HintedGroup(poller, self)


class _HintedGroup:
    def __init__(self, poller: Poller, strategy: Hinted) -> None:
        self._poller = poller
        self._strategy = strategy
        self._by_key: dict[Hashable, dict[Subscription, None]] = {}
        self._probes: dict[Subscription, None] = {}
        self._others: dict[Subscription, None] = {}
        self._paces = Paces()
        self._hints = _Hints(poller, strategy, self)
        self._durations: deque[float] = deque(maxlen=DURATIONS)

    def __len__(self) -> int:
        return len(self._probes) + len(self._others)

    def add(self, subscription: Subscription) -> None:
        self._by_key.setdefault(self.key_of(subscription), {})[subscription] = None
        (self._probes if len(self._probes) < PROBES else self._others)[subscription] = None
        self._paces.place(subscription)
        now = self._poller.clock()
        due = now
        if len(self) >= HINTS_FROM:
            if len(self) == HINTS_FROM or not self._hints.on:
                self._hints.start(now)
            if self._hints.shows_busy(self.key_of(subscription)):
                due = now + self._pause(subscription, now)
            elif not self._hints.seen:
                due = now + BATCH_WINDOW  # the list comes first, and may make this poll needless
        self._at(subscription, due)

    def remove(self, subscription: Subscription) -> None:
        self._probes.pop(subscription, None)
        self._others.pop(subscription, None)
        self._paces.discard(subscription)
        key = self.key_of(subscription)
        del self._by_key[key][subscription]
        if not self._by_key[key]:
            del self._by_key[key]
        while self._others and len(self._probes) < PROBES:
            probe = next(iter(self._others))
            del self._others[probe]
            self._probes[probe] = None
            self._sooner(probe)
        if self._hints.on and len(self) < HINTS_FROM:
            self._hints.stop()
            for probe in self._probes:
                self._sooner(probe)

    def observed(self, subscription: Subscription) -> None:
        self._paces.place(subscription)
        if subscription.outcome is not None:
            self._hints.ended(subscription)
            seconds = self._strategy.duration_of(subscription.outcome.result or {})
            if seconds is not None:
                self._durations.append(seconds)
                if len(self._durations) == 1 and self._hints.doubted:
                    self.reschedule()
        elif subscription.open:
            self._hints.in_progress(subscription)
            now = self._poller.clock()
            self._at(subscription, now + self._pause(subscription, now))

    def key_of(self, subscription: Subscription) -> Hashable:
        return self._strategy.key_of_wait(subscription.tracker.wait)

    def waiting_for(self, key: Hashable) -> list[Subscription]:
        return [w for w in self._by_key.get(key, ()) if w.outcome is None]

    def fastest_pause(self, now: float) -> float:
        """Return the shortest pause that any of the waits asks for."""
        return min(self._paces.pauses(now), default=1.0)

    def hint(self, subscription: Subscription) -> None:
        """Observe a wait at once: its action has probably ended."""
        now = self._poller.clock()
        subscription.hinted_at = now
        if not subscription.observing:  # else `observed` comes back to it
            self._poller.queue.at(subscription, now, Priority.HINT)

    def spare_first_observations(self) -> None:
        """Put off the first observation of what the first list shows to be busy."""
        now = self._poller.clock()
        for subscription in self._others:
            if subscription.tracker.last is None and self._hints.shows_busy(
                self.key_of(subscription)
            ):
                self._at(subscription, now + self._pause(subscription, now))

    def reschedule(self) -> None:
        """Plan all observations anew: hints are relied on from now on, or no longer."""
        now = self._poller.clock()
        for subscription in self._others:
            self._at(subscription, now + self._pause(subscription, now))

    def _sooner(self, subscription: Subscription) -> None:
        """Plan the next observation by what holds now, if what is planned is later."""
        now = self._poller.clock()
        due = now + self._pause(subscription, now)
        if due < subscription.due:
            self._at(subscription, due)

    def _pause(self, subscription: Subscription, now: float) -> float:
        if subscription in self._probes and self._hints.on:
            return self._poller.spare(subscription.pause(now), PROBES_SHARE / PROBES, longest=60.0)
        if subscription.tracker.last_error:
            return subscription.pause(now)
        if not self._hints.relied_on:
            return subscription.pause(now)
        if (
            subscription.hinted_at is not None
            and now - subscription.hinted_at < HINTED.initial_interval
        ):
            # Something changed and the action was still in progress: its end is likely to be near.
            return subscription.backoff.pause(now - subscription.hinted_at)
        elapsed = now - subscription.tracker.started_at
        pause = HINTED.pause(elapsed)
        if self._hints.doubted and self._durations:
            soonest = min(self._durations) * SOONEST_SHARE
            pause = min(pause, max(subscription.pause(now), soonest - elapsed))
        return pause

    def _likely_seconds(self, subscription: Subscription) -> float | None:
        """Return the seconds that an action takes, if the budget is too small to observe it."""
        if self._hints.relied_on or subscription in self._probes or not self._durations:
            return None
        if len(self) / subscription.backoff.max_interval <= self._poller.budget.pace:
            return None
        ordered = sorted(self._durations)
        return ordered[int(LIKELY_DURATION * (len(ordered) - 1))]

    def _at(self, subscription: Subscription, due: float) -> None:
        now = self._poller.clock()
        if (
            subscription.hinted_at is not None
            and subscription.hinted_at >= subscription.observed_at
        ):
            # A hint that no observation has followed yet: nothing may put it off.
            return self._poller.queue.at(subscription, now, Priority.HINT)
        at_most = Priority.PROBE if subscription in self._probes else Priority.TURN
        likely = self._likely_seconds(subscription)
        if likely is not None and due < subscription.tracker.started_at + 1.5 * likely:
            # Just then, and if it is not over, a little later.
            due = max(due + likely * LATER_SHARE, subscription.tracker.started_at + likely)
            at_most = Priority.HINT
        due, priority = subscription.next_due(now, due - now)
        return self._poller.queue.at(subscription, due, min(priority, at_most))


class _Hints(Job):
    """The list, asked for hints that an action has ended."""

    def __init__(self, poller: Poller, strategy: Hinted, group: _HintedGroup) -> None:
        self._poller = poller
        self._strategy = strategy
        self._group = group
        self._items: Sequence[Mapping[str, Any]] = ()
        self._entries: dict[Hashable, Mapping[str, Any]] = {}
        self._trust = 0
        # Whether an action was in progress, and the list did not show it.
        self._silent = False
        # Where an action ended without a hint, and for how many lists the hint is awaited.
        self._awaited: dict[Hashable, int] = {}
        self.on = False
        self.seen = False

    @property
    def relied_on(self) -> bool:
        """Whether ends are expected to show in the list."""
        return self.on and self._trust >= 0

    @property
    def doubted(self) -> bool:
        """Whether no end has shown in the list yet, and it does not show what is in progress."""
        return self.on and self._silent and self._trust <= 0

    def start(self, now: float) -> None:
        self.on = True
        self._poller.queue.at(self, now, Priority.LIST)

    def stop(self) -> None:
        self.on = self.seen = False
        self._poller.queue.drop(self)
        self._items, self._entries = (), {}
        self._awaited.clear()

    def shows_busy(self, key: Hashable) -> bool:
        """Whether the list shows that something is in progress there."""
        entry = self._entries.get(key)
        return entry is not None and self._strategy.is_busy(entry)

    def in_progress(self, subscription: Subscription) -> None:
        """Take in that an action was seen to be in progress."""
        if self.seen and not self.shows_busy(self._group.key_of(subscription)):
            self._silent = True

    def ended(self, subscription: Subscription) -> None:
        """Take in that an action was seen to have ended."""
        if not self.on:
            return
        if subscription.hinted_at is not None:
            self._learn(+1)
        else:
            self._awaited.setdefault(self._group.key_of(subscription), 3)

    async def observe(self) -> None:
        # A hint that stays away, also by a fault of our own: the actions are asked anyway.
        with contextlib.suppress(Exception):
            items = await self._poller.ask(self._strategy.list_request())
            self._compare(items)
        if self.on:
            now = self._poller.clock()
            pause = self._poller.spare(self._group.fastest_pause(now), HINTS_SHARE)
            if not self.relied_on:
                pause = max(pause, HINTED.initial_interval)
            self._poller.queue.at(self, now + pause, Priority.LIST)

    def _compare(self, items: Sequence[Mapping[str, Any]]) -> None:
        first, self.seen = not self.seen, True
        awaited, before = self._awaited, self._entries
        # The client returns the same object for the same bytes.
        if items is not self._items:
            self._items = items
            self._entries = {self._strategy.key_of_item(item): item for item in items}
        changed = () if first or self._entries is before else self._entries.items()
        for key, item in changed:
            if item == before.get(key):
                continue
            if awaited.pop(key, None) is not None:
                self._learn(+1)
            if not self.shows_busy(key):
                for subscription in self._group.waiting_for(key):
                    self._group.hint(subscription)
        for key in list(awaited):
            awaited[key] -= 1
            if awaited[key] <= 0:
                del awaited[key]
                self._learn(-1)
        if first:
            self._group.spare_first_observations()

    def _learn(self, step: int) -> None:
        before = self.relied_on
        self._trust = max(-MOST_TRUST, min(MOST_TRUST, self._trust + step))
        if self.relied_on != before:
            self._group.reschedule()
