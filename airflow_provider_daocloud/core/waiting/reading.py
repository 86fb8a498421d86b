"""One read outside of any wait, which survives what a wait does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from airflow_provider_daocloud.api.errors import CallError, ServerFaultError
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.core.waiting.backoff import Backoff
from airflow_provider_daocloud.core.waiting.refusals import has_become_permanent
from airflow_provider_daocloud.core.waiting.wait import WaitState, is_permanent

T = TypeVar("T")


def read(
    request: Request[T],
    send: Callable[[float], T],
    *,
    retry_timeout: float,
    read_before: bool,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Read once, outside of any wait, and survive the same refusals as a wait does.

    :param request: what is read.
    :param send: sends the request, and retries transient faults for the given seconds.
    :param retry_timeout: seconds for which it may be retried in all.
    :param read_before: whether anything was read with this token before.
    :param clock: seconds since the epoch.
    :param sleep: sleeps for some seconds.
    :raises CallError: the last one.
    """
    began = clock()
    wait_state: WaitState = {"read": read_before}
    backoff = Backoff(max_interval=10.0)
    while True:
        try:
            return send(max(began + retry_timeout - clock(), 0.0))
        except CallError as e:
            now = clock()
            if not is_permanent(e) or has_become_permanent(e, wait_state, now, retry_timeout):
                raise
            remaining = began + retry_timeout - now
            if remaining <= 0:
                seconds = f"{retry_timeout:.0f} s"
                problem = f"refused for {seconds}, though it could be read before: {e.problem}"
                raise ServerFaultError(
                    str(request), problem, status=e.status, error_id=e.error_id, message=e.message
                ) from e
        sleep(min(backoff.pause(now - began), remaining))
