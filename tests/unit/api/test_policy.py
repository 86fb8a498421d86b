"""What is retried, and when."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_daocloud.api import errors
from airflow_provider_daocloud.api.errors import CallError, DaoCloudError
from airflow_provider_daocloud.api.retrying import (
    LONGEST_DELAY,
    delay,
    is_transient,
    tenacity_options,
)

CAN_PASS = {errors.RateLimitedError, errors.UnreachableError, errors.ServerFaultError}


@pytest.mark.parametrize("kind", CallError.__subclasses__())
def test_what_can_pass(kind: type[CallError]) -> None:
    """A spent limit, an unreachable server and a fault of it pass by themselves.

    OutcomeUnknownError is not among them, which is what keeps a POST from being repeated. Rubbish
    in an answer passes too, but it can be the answer of a POST that was taken.
    """
    error = kind("GET /x", "failed.")
    assert is_transient(error, is_write=True) == (kind in CAN_PASS)
    assert is_transient(error, is_write=False) == (kind in CAN_PASS | {errors.ProtocolError})


@pytest.mark.parametrize(
    "error",
    [
        errors.InputError("app_id", "is empty."),
        errors.ActionFailedError("failed"),
        DaoCloudError(),
        ValueError(),
        KeyboardInterrupt(),
    ],
)
def test_what_is_no_fault_of_a_call_does_not_pass(error: BaseException) -> None:
    """Anything else is not retried."""
    assert not is_transient(error, is_write=False)


def delays(error: BaseException, jitter: float, max_attempts: int = 20) -> list[float]:
    """Return the delays after each of some attempts."""
    return [
        delay(attempt, error, now=1000.0, jitter=lambda: jitter)
        for attempt in range(1, max_attempts)
    ]


def test_delays_grow() -> None:
    """The delay doubles from half a second to half a minute, and no further."""
    shortest, longest = delays(Exception(), 0.0), delays(Exception(), 1.0)
    assert longest[:4] == [0.5, 1.0, 2.0, 4.0]
    assert longest == sorted(longest)
    assert max(longest) == LONGEST_DELAY
    assert shortest == [delay / 2 for delay in longest]
    assert delay(10**6, Exception(), now=0.0, jitter=lambda: 1.0) == LONGEST_DELAY


def test_jitter_spreads() -> None:
    """Two clients with the same fault do not come back at the same moment."""
    made = {delay(5, Exception(), now=0.0) for _ in range(50)}
    assert len(made) > 40
    assert all(4.0 <= delay <= 8.0 for delay in made)


@pytest.mark.parametrize("jitter", [0.0, 0.99])
def test_delay_that_the_server_asked_for(jitter: float) -> None:
    """A server's word is kept: never earlier, and a little later, each client at its own moment."""
    error = errors.RateLimitedError("GET /x", "spent.", retry_at=1090.0)
    seconds = delay(1, error, now=1000.0, jitter=lambda: jitter)
    assert 90.0 < seconds < 92.0


@pytest.mark.parametrize("retry_at", [1000.0, 10.0])
def test_retry_after_zero_does_not_make_a_storm(retry_at: float) -> None:
    """A server that says *at once* and fails again is asked ever more seldom all the same."""
    error = errors.ServerFaultError("GET /x", "failed.", retry_at=retry_at)
    made = delays(error, 0.0)
    assert made[-1] >= LONGEST_DELAY / 2
    assert made == sorted(made)


def test_patience_decides_before_the_wait() -> None:
    """A wait that would end after the retry timeout is not begun."""
    from tenacity import RetryCallState, Retrying

    now = 0.0
    options = tenacity_options(
        is_write=False, retry_timeout=10.0, clock=lambda: now, jitter=lambda: 0.0
    )
    retrying = Retrying(**options)

    def stops(upcoming: float) -> Any:
        state = RetryCallState(retrying, None, (), {})
        state.upcoming_sleep = upcoming
        return options["stop"](state)

    assert not stops(10.0)
    assert stops(10.1)
    now = 5.0
    assert not stops(5.0)
    assert stops(5.1)
