"""What a wait keeps between two observations, whoever makes them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_daocloud.api.errors import (
    CallError,
    NotFoundError,
    OutageError,
    RateLimitedError,
    WaitTimeoutError,
)
from airflow_provider_daocloud.api.validation import DEFAULT_MAX_OUTAGE, INITIAL_INTERVAL
from airflow_provider_daocloud.core.waiting.backoff import Backoff
from airflow_provider_daocloud.core.waiting.refusals import REFUSAL_GRACE, has_become_permanent
from airflow_provider_daocloud.core.waiting.wait import Observation, Wait, WaitState

# Seconds in which a 404 for what was just posted is taken for a read replica that lags behind.
NOT_FOUND_GRACE = 10.0


@dataclass
class Tracker:
    """What a wait keeps between two observations, whoever makes them.

    :param wait: what is waited for.
    :param started_at: when the wait began, in seconds since the epoch.
    :param max_outage: seconds for which DaoCloud may be unreadable; 0 gives up at the first fault.
    :param wait_state: what an earlier process of the same wait remembered; JSON-safe, updated.
        With ``{"read": True}`` something was read with this token before the wait began.
    """

    wait: Wait
    started_at: float
    max_outage: float = DEFAULT_MAX_OUTAGE
    wait_state: WaitState = field(default_factory=dict)
    last: Observation | None = None
    last_error: CallError | None = None

    def saw(self, seen: Any) -> Observation:
        """Judge what an observation showed.

        :raises WaitError: the wait's own failure, with DaoCloud's words.
        """
        observation = replace(self.wait.judge(seen, self.wait_state), seen=seen)
        self.wait_state |= {"read": True, "seen": True}
        self.wait_state.pop("outage_since", None)
        self.wait_state.pop("refused", None)
        self.last, self.last_error = observation, None
        if observation.verdict == "failed":
            raise self.wait.failure(f"{self.wait}: {observation.problem}", observation.result)
        return observation

    def missed(self, error: CallError, now: float) -> None:
        """Take an observation that failed: return if the wait is still pending.

        :param error: why it failed.
        :param now: seconds since the epoch.
        :raises CallError: the error itself, when no retry helps.
        :raises OutageError: DaoCloud has been unreadable for longer than allowed.
        """
        self.last_error = error
        if isinstance(error, NotFoundError):
            # Once seen, it is known to exist; before that, a replica may lag behind the POST.
            fresh = now - self.started_at <= NOT_FOUND_GRACE
            if self.wait.lags and not self.wait_state.get("seen") and fresh:
                return
        if has_become_permanent(error, self.wait_state, now, self.max_outage):
            raise error
        if isinstance(error, RateLimitedError):
            # The service is well and says when to come back: that is no outage, and ends one.
            self.wait_state.pop("outage_since", None)
            return
        since = self.wait_state.setdefault("outage_since", now)
        if now - since >= self.max_outage:
            raise OutageError(
                f"{self.wait}: outage: DaoCloud has been unreadable for "
                f"{now - since:.0f} s (max_outage {self.max_outage:.0f} s). Last error: {error}",
                self.last.result if self.last else None,
            )

    def timed_out(self, timeout: float) -> WaitTimeoutError:
        """Return the error for a wait whose time is up, with what was seen last."""
        state = f"is {self.last.state}" if self.last else "was never seen"
        text = f"{self.wait}: time is up after {round(timeout, 1):.10g} s, and it {state}."
        if self.last and self.last.note:
            text += f" Note: {self.last.note}."
        if self.last_error:
            text += f" Last error: {self.last_error}"
        return WaitTimeoutError(text, self.last.result if self.last else None)

    def pause(self, now: float, backoff: Backoff) -> float:
        """Return the seconds until the next observation: the backoff, or longer if the server says.

        :param now: seconds since the epoch.
        :param backoff: how far the observations are apart.
        """
        pause = backoff.pause(now - self.started_at)
        if self.last_error is not None and self.last_error.retry_at is not None:
            jitter = random.random()  # noqa: S311 - jitter is no secret
            pause = max(pause, self.last_error.retry_at - now + 0.5 + jitter)
        if "outage_since" in self.wait_state:
            # However long the server asks for: observe once more when `max_outage` is over.
            remaining = self.wait_state["outage_since"] + self.max_outage - now
            if "refused" in self.wait_state:
                remaining = min(remaining, self.wait_state["refused"][1] + REFUSAL_GRACE - now)
            pause = min(pause, max(remaining, INITIAL_INTERVAL))
        return pause
