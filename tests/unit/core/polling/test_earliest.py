"""The first of many, as by looking at each of them; and what one look costs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_daocloud.api.errors import ServerFaultError
from airflow_provider_daocloud.core.polling.earliest import Earliest, Paces
from airflow_provider_daocloud.core.polling.subscription import Subscription
from airflow_provider_daocloud.core.waiting.backoff import Backoff
from airflow_provider_daocloud.core.waiting.tracker import Tracker
from airflow_provider_daocloud.resources.openapi.build_flow import BuildFlowWait
from tests.support.calls import calls_per_look

WAIT = BuildFlowWait("a-flow")
BACKOFFS = (Backoff(10.0), Backoff(60.0), Backoff(10.0, initial_interval=2.0))
FAILED = ServerFaultError("GET /x", "the server failed.", status=503, retry_at=500.0)


def subscription(began: float, backoff: int = 0, timeout: float = 100.0) -> Subscription:
    return Subscription(Tracker(WAIT, float(began)), BACKOFFS[backoff], float(timeout))


STEPS = st.lists(
    st.tuples(st.sampled_from(["in", "out", "fails", "recovers"]), st.integers(0, 7)), max_size=60
)


@given(st.lists(st.integers(0, 9), min_size=8, max_size=8), STEPS)
def test_the_first_is_the_first(numbers: list[int], steps: list[tuple[str, int]]) -> None:
    waits = [subscription(0.0, timeout=number) for number in numbers]
    earliest = Earliest(lambda one: one.deadline)
    members: set[Subscription] = set()
    for step, which in steps:
        if step in ("in", "recovers"):
            earliest.add(waits[which])
            members.add(waits[which])
        else:
            earliest.discard(waits[which])
            members.discard(waits[which])
        first = earliest.first()
        expected = min((one.deadline for one in members), default=None)
        assert (None if first is None else first.deadline) == expected


@given(st.lists(st.integers(0, 90), min_size=8, max_size=8), STEPS)
def test_the_shortest_pause_is_the_shortest_of_all(
    began: list[int], steps: list[tuple[str, int]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("random.uniform", lambda _low, high: high)  # the jitter
        patch.setattr("random.random", lambda: 0.0)
        waits = [subscription(start, backoff=n % 3) for n, start in enumerate(began)]
        paces = Paces()
        members: set[Subscription] = set()
        for step, which in steps:
            one = waits[which]
            if step in ("fails", "recovers"):
                one.tracker.last_error = FAILED if step == "fails" else None
            if step == "in":
                members.add(one)
            if step == "out":
                members.discard(one)
                paces.discard(one)
            if one in members:
                paces.place(one)
            expected = min((one.pause(100.0) for one in members), default=None)
            assert min(paces.pauses(100.0), default=None) == expected


def test_what_comes_and_goes_leaves_nothing_behind() -> None:
    waits = [subscription(number) for number in range(20)]
    earliest = Earliest(lambda one: one.deadline)
    for _ in range(1000):
        for one in waits:
            earliest.add(one)
        for one in waits[1:]:
            earliest.discard(one)
    assert len(earliest._heap) <= 3 * len(waits) + 16


def calls(*counted: int, **more: Any) -> list[int]:
    return [asyncio.run(calls_per_look(count, **more)) for count in counted]


def test_a_look_that_shows_nothing_new_costs_the_same_for_ten_waits_and_a_thousand() -> None:
    few, many = calls(10, 1000)
    assert few == many
    assert many < 100


def test_a_look_costs_what_has_changed() -> None:
    nothing, one, two = (calls(200, changes=changes)[0] for changes in range(3))
    assert nothing < one < two
    assert two - one < 100


def test_a_list_of_many_others_costs_a_look_nothing() -> None:
    assert calls(10, flows=2000) == calls(10)
