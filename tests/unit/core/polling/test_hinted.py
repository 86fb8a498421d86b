"""What a list that hints makes of the waits' plans: decisions alone, with no loop and no socket."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from airflow_provider_daocloud.api.errors import ServerFaultError
from airflow_provider_daocloud.core.polling.batched import BATCH_WINDOW
from airflow_provider_daocloud.core.polling.hinted import (
    DURATIONS,
    HINTED,
    HINTS_FROM,
    PROBES,
    Hinted,
)
from airflow_provider_daocloud.core.polling.queue import Priority
from airflow_provider_daocloud.core.polling.subscription import Subscription
from airflow_provider_daocloud.core.waiting.backoff import Backoff
from airflow_provider_daocloud.core.waiting.tracker import Tracker
from airflow_provider_daocloud.core.waiting.wait import Observation, Outcome

LONGEST = 10.0
MANY = 2 * HINTS_FROM


@dataclass(frozen=True)
class ToyWait:
    """A wait for something on a key."""

    key: int

    kind: ClassVar[str] = "toy"
    failure: ClassVar[Any] = RuntimeError
    lags: ClassVar[bool] = False

    @property
    def wanted(self) -> str:
        """Nothing: it never ends."""
        return "over"

    def title(self, name: str | None) -> str:
        """Return its key."""
        return f"toy {self.key}"

    def request(self) -> Any:
        """Return nothing: it is never sent."""

    def judge(self, seen: Any, wait_state: Any) -> Observation:
        """Still pending."""
        return Observation("pending", str(seen), {})


@dataclass
class Queue:
    """What is planned: of each job the last."""

    planned: dict[Any, tuple[float, Priority]] = field(default_factory=dict)

    def at(self, job: Any, due: float, priority: Priority) -> None:
        """Plan a job."""
        job.due = due
        self.planned[job] = (due, priority)

    def drop(self, job: Any) -> None:
        """Forget a job."""
        self.planned.pop(job, None)


@dataclass
class Budget:
    """A pace."""

    pace: float = 100.0


class Scene:
    """A group of waits, what it has planned, and the list that it is shown."""

    def __init__(self, count: int = MANY, *, busy: bool = True, pace: float = 100.0) -> None:
        self.now = 1000.0
        self.queue = Queue()
        self.budget = Budget(pace)
        self.shares: list[tuple[float, float]] = []
        self.items: list[Mapping[str, Any]] | Exception = [
            {"key": n, "busy": busy, "version": 1} for n in range(count)
        ]
        self.group: Any = Hinted(
            lambda: None,  # type: ignore[arg-type, return-value]
            lambda item: item["key"],
            lambda wait: wait.key,
            lambda item: bool(item["busy"]),
            lambda result: result.get("seconds"),
        ).group(self)  # type: ignore[arg-type]
        self.waits = [self.add(n) for n in range(count)]

    def clock(self) -> float:
        """Return the time."""
        return self.now

    async def ask(self, _request: Any) -> Any:
        """Return the list."""
        if isinstance(self.items, Exception):
            raise self.items
        return tuple(self.items)

    def spare(self, pause: float, share: float = 1.0, longest: float = 15.0) -> float:
        """Return the pause as it is."""
        self.shares.append((share, longest))
        return pause

    def add(self, key: int) -> Subscription:
        """Return another wait, which the group serves."""
        subscription = Subscription(Tracker(ToyWait(key), self.now), Backoff(LONGEST), 3600.0)
        self.group.add(subscription)
        return subscription

    def observed(self, subscription: Subscription) -> None:
        """Let a wait be observed, with nothing new."""
        subscription.observed_at = self.now
        subscription.take("as before", self.now)
        self.group.observed(subscription)

    def end(self, subscription: Subscription, **result: Any) -> None:
        """Let a wait be observed to have succeeded."""
        subscription.outcome = Outcome("succeeded", result)
        self.group.observed(subscription)

    @property
    def list(self) -> tuple[Any, tuple[float, Priority]]:
        """The job that asks for the list, and when."""
        (found,) = [
            (job, plan)
            for job, plan in self.queue.planned.items()
            if not isinstance(job, Subscription)
        ]
        return found

    def show(self, *changes: int, busy: bool = False) -> None:
        """Show a list in which some items are new."""
        assert not isinstance(self.items, Exception)
        self.items = [
            {"key": n, "busy": busy, "version": item["version"] + 1} if n in changes else item
            for n, item in enumerate(self.items)
        ]
        self.ask_for_the_list()

    def ask_for_the_list(self) -> None:
        """Run the job."""
        asyncio.run(self.list[0].observe())

    def plan(self, number: int) -> tuple[float, Priority]:
        """Return in how many seconds a wait is observed next, and with what priority."""
        due, priority = self.queue.planned[self.waits[number]]
        return due - self.now, priority

    def hinted(self) -> set[int]:
        """Return which waits are asked at once because of a hint."""
        return {n for n in range(len(self.waits)) if self.plan(n) == (0.0, Priority.HINT)}

    def all_observed(self) -> None:
        """Observe all once, after a minute."""
        self.now += 60.0
        for subscription in self.waits:
            if subscription.outcome is None:
                self.observed(subscription)


def test_few_waits_need_no_list() -> None:
    scene = Scene(HINTS_FROM - 1)
    assert all(isinstance(job, Subscription) for job in scene.queue.planned)
    scene.waits.append(scene.add(99))
    assert scene.list[1] == (scene.now, Priority.LIST)


def test_the_first_list_spares_what_it_shows_to_be_busy() -> None:
    scene = Scene()
    scene.ask_for_the_list()
    assert scene.hinted() == set()
    spared = [n for n in range(MANY) if scene.plan(n)[0] > 1.0]
    assert spared == list(range(PROBES, MANY))
    later = scene.add(5)
    assert later.due - scene.now > 1.0


def test_before_the_first_list_a_wait_gives_it_time_to_spare_it() -> None:
    scene = Scene(HINTS_FROM)
    assert scene.waits[-1].due == scene.now + BATCH_WINDOW
    scene.items = [{"key": n, "busy": False, "version": 1} for n in range(20)]
    scene.ask_for_the_list()
    assert scene.add(15).due == scene.now


def test_the_first_list_spares_nothing_that_is_idle_or_was_observed_already() -> None:
    scene = Scene(busy=False)
    due = dict(scene.queue.planned)
    scene.ask_for_the_list()
    assert {w: due[w] for w in scene.waits} == {w: scene.queue.planned[w] for w in scene.waits}
    seen = Scene()
    for subscription in seen.waits:
        subscription.take("as before", seen.now)
    due = dict(seen.queue.planned)
    seen.ask_for_the_list()
    assert {w: due[w] for w in seen.waits} == {w: seen.queue.planned[w] for w in seen.waits}


def test_what_changed_and_is_idle_has_its_waits_asked_at_once() -> None:
    scene = Scene()
    scene.ask_for_the_list()
    scene.all_observed()
    assert all(HINTED.initial_interval / 2 <= scene.plan(n)[0] <= 60 for n in range(PROBES, MANY))
    scene.show(4)
    assert scene.hinted() == {4}
    scene.show(5, busy=True)
    assert scene.hinted() == {4}


def test_a_hint_comes_before_whatever_is_planned_and_only_until_it_was_followed() -> None:
    scene = Scene()
    scene.ask_for_the_list()
    scene.all_observed()
    scene.now += 1.0
    scene.show(4)
    scene.group.reschedule()
    assert scene.hinted() == {4}
    scene.now += 0.5
    scene.observed(scene.waits[4])
    # It changed and is still pending: the end is near, so its own pace counts from the hint.
    pause, priority = scene.plan(4)
    assert 0.0 < pause < LONGEST
    assert priority is Priority.TURN
    scene.now += HINTED.initial_interval
    scene.observed(scene.waits[4])
    assert scene.plan(4)[0] > LONGEST


def test_what_is_being_observed_is_not_asked_twice() -> None:
    scene = Scene()
    scene.ask_for_the_list()
    scene.all_observed()
    scene.waits[4].observing = True
    planned = scene.plan(4)
    scene.show(4)
    assert scene.plan(4) == planned
    assert scene.waits[4].hinted_at == scene.now


def test_a_wait_that_is_over_gets_no_hint() -> None:
    scene = Scene()
    scene.ask_for_the_list()
    scene.all_observed()
    scene.end(scene.waits[4])
    planned = scene.plan(4)
    scene.show(4)
    assert scene.plan(4) == planned


def test_ends_without_hints_end_the_reliance_and_hints_bring_it_back() -> None:
    scene = Scene(12)
    scene.ask_for_the_list()
    scene.all_observed()
    assert scene.plan(9)[0] > LONGEST
    scene.end(scene.waits[3])
    for lists_left in (3, 2, 1):
        assert scene.plan(9)[0] > LONGEST, lists_left
        scene.show()
    # The hint stayed away for three lists: all are asked at their own pace again, the list seldom.
    assert scene.plan(9)[0] <= LONGEST
    assert scene.list[1][0] - scene.now >= HINTED.initial_interval
    scene.show(8)
    assert scene.hinted() == {8}
    scene.end(scene.waits[8])
    assert scene.plan(9)[0] > LONGEST


def test_a_list_that_shows_nothing_is_doubted_when_the_first_has_ended() -> None:
    """What began at the same time is likely to end then too: it does not wait for three lists."""
    scene = Scene(12, busy=False)
    scene.ask_for_the_list()
    scene.all_observed()
    assert scene.plan(9)[0] > LONGEST
    scene.now += 5.0
    scene.end(scene.waits[0], seconds=65.0)
    assert scene.plan(9)[0] <= LONGEST
    # What has just begun is left alone until then.
    late = scene.add(20)
    scene.observed(late)
    assert LONGEST < scene.queue.planned[late][0] - scene.now <= 30.0


def test_a_list_that_shows_what_is_in_progress_is_not_doubted() -> None:
    scene = Scene(12, busy=True)
    scene.ask_for_the_list()
    scene.all_observed()
    scene.now += 5.0
    scene.end(scene.waits[0], seconds=65.0)
    assert scene.plan(9)[0] > LONGEST


def test_a_hint_ends_the_doubt() -> None:
    scene = Scene(12, busy=False)
    scene.ask_for_the_list()
    scene.all_observed()
    scene.now += 5.0
    scene.show(3)
    scene.end(scene.waits[3], seconds=65.0)
    scene.observed(scene.waits[9])
    assert scene.plan(9)[0] > LONGEST


def test_a_hint_that_comes_a_little_later_counts() -> None:
    scene = Scene(12)
    scene.ask_for_the_list()
    scene.all_observed()
    scene.end(scene.waits[3])
    scene.show()
    scene.show(3)
    for _ in range(4):
        scene.show()
    assert scene.plan(9)[0] > LONGEST
    # It has even won some trust: one end without a hint is not enough any more.
    scene.end(scene.waits[4])
    for _ in range(4):
        scene.show()
    assert scene.plan(9)[0] > LONGEST


def test_an_end_without_reliance_on_hints_is_not_awaited_in_the_list() -> None:
    scene = Scene(HINTS_FROM - 1)
    scene.end(scene.waits[0])
    scene.waits.extend([scene.add(20), scene.add(21)])
    scene.items = [{"key": n, "busy": True, "version": 1} for n in range(30)]
    scene.all_observed()
    for _ in range(5):
        scene.ask_for_the_list()
    assert scene.group._hints.relied_on


def test_a_list_that_fails_changes_nothing_and_is_asked_again() -> None:
    scene = Scene()
    scene.ask_for_the_list()
    scene.all_observed()
    planned = {n: scene.plan(n) for n in range(MANY)}
    scene.items = ServerFaultError("GET /apps", "unwell", status=503)
    scene.ask_for_the_list()
    assert {n: scene.plan(n) for n in range(MANY)} == planned
    assert scene.list[1][0] > scene.now


@pytest.mark.parametrize("left", [HINTS_FROM - 1, 1])
def test_when_few_are_left_the_list_is_dropped_and_all_keep_their_own_pace(left: int) -> None:
    scene = Scene()
    scene.ask_for_the_list()
    scene.all_observed()
    for subscription in scene.waits[left:]:
        scene.group.remove(subscription)
        scene.queue.drop(subscription)
    assert set(scene.queue.planned) == set(scene.waits[:left])
    scene.observed(scene.waits[0])
    assert scene.plan(0)[0] <= LONGEST
    assert len(scene.group) == left


def test_a_probe_that_leaves_is_replaced_by_one_that_is_asked_soon() -> None:
    scene = Scene(12)
    scene.ask_for_the_list()
    scene.all_observed()
    assert scene.plan(PROBES)[0] > LONGEST
    scene.group.remove(scene.waits[0])
    assert scene.plan(PROBES)[0] <= LONGEST
    assert scene.plan(PROBES)[1] is Priority.PROBE
    assert scene.plan(PROBES + 1)[0] > LONGEST


def test_two_waits_for_one_key_are_hinted_both_and_leave_one_by_one() -> None:
    scene = Scene()
    scene.waits.append(scene.add(4))
    scene.ask_for_the_list()
    scene.all_observed()
    scene.show(4)
    assert scene.hinted() == {4, MANY}
    scene.all_observed()
    scene.group.remove(scene.waits[MANY])
    del scene.waits[MANY]
    scene.show(4)
    assert scene.hinted() == {4}


def test_where_the_budget_is_too_small_the_usual_duration_says_when_to_ask() -> None:
    """Nine of ten of the last actions took 100 s at most."""
    took = [1000.0] * 20  # of long ago: pushed out by the next ones
    took += [100.0 if n < DURATIONS * 0.92 else 900.0 for n in range(DURATIONS)]
    scene = Scene(len(took) + 40, pace=1.0)
    scene.ask_for_the_list()
    ended, scene.waits = scene.waits[: len(took)], scene.waits[len(took) :]
    for subscription, seconds in zip(ended, took, strict=True):
        scene.end(subscription, seconds=seconds)
        scene.group.remove(subscription)
    scene.end(scene.waits.pop(), seconds=None)  # where DaoCloud does not say
    for _ in range(3):
        scene.show()  # no hint has come: they are not relied on
    began = scene.now
    scene.observed(scene.waits[9])
    due, priority = scene.queue.planned[scene.waits[9]]
    assert (due, priority) == (began + 100.0, Priority.HINT)
    scene.now = began + 100.0
    scene.observed(scene.waits[9])
    assert 5.0 <= scene.plan(9)[0] <= LONGEST + 5.0
    scene.now = began + 160.0  # longer than is usual by far: at its own pace
    scene.observed(scene.waits[9])
    assert scene.plan(9)[1] is Priority.TURN
    scene.budget.pace = 100.0
    scene.now = began + 10.0
    scene.observed(scene.waits[9])
    assert scene.plan(9)[0] <= LONGEST
