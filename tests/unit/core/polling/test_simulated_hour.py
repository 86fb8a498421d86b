"""Waiting under the limit of calls, in an hour whose clock is simulated."""

from __future__ import annotations

import statistics

import pytest

from tests.support.simulated_hour import Hour, simulate


def refused(hour: Hour) -> int:
    return sum(
        n for api_request, n in hour.calls.items() if api_request.endswith("refused by the limit")
    )


@pytest.mark.parametrize("silent", [False, True])
def test_all_waits_succeed_and_the_limit_refuses_none(silent: bool) -> None:
    """A thousand actions on one token are seen to end, and no call is refused."""
    hour = simulate(Hour(silent=silent).run())
    assert hour.outcomes == {"succeeded": 1000}
    assert refused(hour) == 0


def test_hints_show_the_end_of_an_action_within_ten_seconds() -> None:
    """With a list of apps that hints, the median delay of a thousand waits is below 10 s."""
    hour = simulate(Hour().run())
    assert statistics.median(hour.delays) <= 10
    assert max(hour.delays) <= 120


def test_without_hints_nobody_starves() -> None:
    """Where the list of apps never changes, the last wait ends soon after its action as well."""
    hour = simulate(Hour(silent=True).run())
    assert max(hour.delays) <= 300


def test_a_second_consumer_keeps_its_half() -> None:
    """Another user of the token, who makes half of its calls, is never refused either."""
    hour = simulate(Hour(actions=400, others=2500).run())
    assert hour.outcomes == {"succeeded": 400}
    assert refused(hour) == 0
    assert statistics.median(hour.delays) <= 10
