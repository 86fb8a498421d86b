"""A wait in this thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from airflow_provider_daocloud.api.errors import CallError
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.retrying import is_transient
from airflow_provider_daocloud.api.validation import DEFAULT_MAX_OUTAGE
from airflow_provider_daocloud.core.waiting.backoff import Backoff
from airflow_provider_daocloud.core.waiting.progress_log import ProgressLog
from airflow_provider_daocloud.core.waiting.tracker import Tracker
from airflow_provider_daocloud.core.waiting.wait import FINAL_POLL, Observation, Wait, WaitState


class Send(Protocol):
    """Sends a request once, and returns its object within some seconds, or raises CallError."""

    def __call__(self, request: Request[Any], *, within: float) -> Any:
        """Send it."""


def time_left(deadline: float, now: float) -> float:
    """Return the seconds in which a poll must end: it may outlast the deadline as the final one.

    :param deadline: when the time of the wait is up.
    :param now: by the same clock.
    """
    return max(deadline - now, 0.0) + FINAL_POLL


def block(
    wait: Wait,
    send: Send,
    *,
    timeout: float,
    poll_interval: float,
    max_outage: float = DEFAULT_MAX_OUTAGE,
    wait_state: WaitState | None = None,
    resource_name: str | None = None,
    log: Callable[..., None],
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Observation:
    """Wait in this thread until it has succeeded, and return the last observation.

    :param wait: what to wait for.
    :param send: sends a request once and returns its object, within the seconds that it is given.
    :param timeout: seconds until the wait gives up; a final poll is made then.
    :param poll_interval: the longest time between two observations, in seconds; the first come
        sooner.
    :param max_outage: seconds for which DaoCloud may be unreadable.
    :param wait_state: what was seen of it before.
    :param resource_name: the resource's name, if it is known.
    :param log: logs one line.
    :param clock: seconds since the epoch.
    :param sleep: sleeps for some seconds.
    :raises WaitError: it failed, could not be read for too long, or the time is up.
    :raises CallError: no retry helps: no such resource, a refusal, a wrong token.
    """
    tracker = Tracker(wait, clock(), max_outage, dict(wait_state or {}), resource_name)
    deadline = tracker.started_at + timeout
    backoff = Backoff(poll_interval)
    progress_log = ProgressLog(log, timeout)
    while True:
        request = wait.request()
        try:
            observation = tracker.saw(send(request, within=time_left(deadline, clock())))
        except CallError as e:
            if request.is_write and not is_transient(e, is_write=True):
                raise  # it may have been taken
            tracker.missed(e, clock())
        else:
            if observation.verdict == "succeeded":
                progress_log.add(tracker, clock())
                return observation
        now = clock()
        if now >= deadline:
            raise tracker.timed_out(timeout)
        pause = min(tracker.pause(now, backoff), deadline - now)
        progress_log.add(tracker, now, pause)
        sleep(pause)
