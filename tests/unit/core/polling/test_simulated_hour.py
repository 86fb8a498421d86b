"""Waiting under the limit of calls, in an hour whose clock is simulated."""

from __future__ import annotations

import statistics

import pytest

from tests.support.simulated_hour import Hour, simulate


def refused(hour: Hour) -> int:
    return sum(
        n for api_request, n in hour.calls.items() if api_request.endswith("refused by the limit")
    )


@pytest.mark.parametrize(
    ("silent", "median", "longest"),
    [
        pytest.param(False, 10, 120, id="a list of apps that hints"),
        pytest.param(True, 300, 300, id="a list of apps that never changes"),
    ],
)
def test_all_waits_succeed_and_the_limit_refuses_none(
    silent: bool, median: float, longest: float
) -> None:
    """A thousand actions on one token are seen to end soon after they did; no call is refused."""
    hour = simulate(Hour(silent=silent).run())
    assert hour.outcomes == {"succeeded": 1000}
    assert refused(hour) == 0
    assert statistics.median(hour.delays) <= median
    assert max(hour.delays) <= longest


def test_a_second_consumer_keeps_its_half() -> None:
    """Another user of the token, who makes half of its calls, is never refused either."""
    hour = simulate(Hour(actions=400, others=2500).run())
    assert hour.outcomes == {"succeeded": 400}
    assert refused(hour) == 0
    assert statistics.median(hour.delays) <= 10
