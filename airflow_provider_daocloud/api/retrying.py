"""What is retried, when, and for how long: pure, and the same for both clients.

A GET is repeated on every transient fault, an unusable response included. A POST is repeated only
if it provably had no effect: its request never left (`UnreachableError`), or DaoCloud definitely
refused it (`RateLimitedError`). A POST of unknown outcome is never repeated here.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_provider_daocloud.api.errors import (
    CallError,
    ProtocolError,
    RateLimitedError,
    ServerFaultError,
    UnreachableError,
)

if TYPE_CHECKING:
    from tenacity import RetryCallState

FIRST_DELAY = 0.5

LONGEST_DELAY = 30.0

# How long one call may be retried, in seconds, waiting for the limit's reset included.
DEFAULT_RETRY_TIMEOUT = 60.0


def is_transient(error: BaseException, *, is_write: bool) -> bool:
    """Return whether the same request may succeed later, and provably had no effect now.

    :param error: how the call ended.
    :param is_write: whether the call changes something.
    """
    if isinstance(error, ProtocolError):
        # A proxy's page in a 200 passes. The one for a POST can hide that it was taken.
        return not is_write
    # A POST whose outcome is unknown has an error class of its own, which is not here.
    return isinstance(error, (RateLimitedError, UnreachableError, ServerFaultError))


def delay(
    attempt: int,
    error: BaseException,
    *,
    now: float,
    jitter: Callable[[], float] = random.random,
) -> float:
    """Return the seconds to wait before the next attempt.

    :param attempt: how many attempts there were (1 after the first).
    :param error: how the last one ended; if the server said when to come back, it is not sooner.
    :param now: seconds since the epoch by our clock.
    :param jitter: a random number in [0, 1), so that many clients do not come back as one.
    """
    grown = min(FIRST_DELAY * 2.0 ** min(attempt - 1, 16), LONGEST_DELAY) * (0.5 + 0.5 * jitter())
    if isinstance(error, CallError) and error.retry_at is not None:
        # Grown all the same: a server that says "at once" and fails again must not be stormed.
        return max(error.retry_at - now + 0.1 + jitter(), grown)
    return grown


def tenacity_options(
    *,
    is_write: bool,
    retry_timeout: float,
    clock: Callable[[], float],
    jitter: Callable[[], float] = random.random,
    final: type[CallError] | None = None,
) -> dict[str, Any]:
    """Return the arguments for tenacity's ``Retrying`` and ``AsyncRetrying``.

    :param is_write: whether the call changes something.
    :param retry_timeout: seconds that the call may take in all; a wait that would end later is not
        begun, and the last error is raised at once.
    :param clock: seconds since the epoch.
    :param jitter: a random number in [0, 1), so that many clients do not come back as one.
    :param final: an error that is not retried, though it is transient.
    """
    from tenacity import retry_if_exception  # heavy: for those who send, not for those who parse

    began = clock()

    def retry(error: BaseException) -> bool:
        return is_transient(error, is_write=is_write) and not (final and isinstance(error, final))

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        return delay(state.attempt_number, error or Exception(), now=clock(), jitter=jitter)

    def stop(state: RetryCallState) -> bool:
        return clock() - began + state.upcoming_sleep > retry_timeout

    return {
        "retry": retry_if_exception(retry),
        "wait": wait,
        "stop": stop,
        "reraise": True,
    }
