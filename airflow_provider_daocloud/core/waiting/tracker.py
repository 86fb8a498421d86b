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
from airflow_provider_daocloud.core.waiting.wording import capitalized, in_words

# Seconds in which a 404 for what was just posted is taken for a read replica that lags behind.
NOT_FOUND_GRACE = 10.0


@dataclass(slots=True)
class Tracker:
    """What a wait keeps between two observations, whoever makes them.

    :param wait: what is waited for.
    :param started_at: when the wait began, in seconds since the epoch.
    :param max_outage: seconds for which DaoCloud may be unreadable; 0 gives up at the first fault.
    :param wait_state: what an earlier process of the same wait remembered; JSON-safe, updated.
        With ``{"read": True}`` something was read with this token before the wait began.
    :param resource_name: the resource's name, if it is known before anything is seen.
    """

    wait: Wait
    started_at: float
    max_outage: float = DEFAULT_MAX_OUTAGE
    wait_state: WaitState = field(default_factory=dict)
    resource_name: str | None = None
    last: Observation | None = None
    last_error: CallError | None = None
    at_first_poll: bool = field(default=False, init=False)

    @property
    def title(self) -> str:
        """What is waited for, as a person calls it, to begin a sentence."""
        return capitalized(self.wait.title(self.name))

    @property
    def name(self) -> str | None:
        """The resource's name, if it is known."""
        return self.resource_name or (self.last.name if self.last else None)

    def saw(self, seen: Any) -> Observation:
        """Judge what an observation showed.

        :raises WaitError: the wait's own failure, with DaoCloud's words.
        """
        self.at_first_poll = not self.wait_state.get("seen") and self.last_error is None
        observation = replace(self.wait.judge(seen, self.wait_state), seen=seen)
        self.wait_state |= {"read": True, "seen": True}
        self.wait_state.pop("outage_since", None)
        self.wait_state.pop("refused", None)
        self.last, self.last_error = observation, None
        if observation.verdict == "failed":
            problem = observation.problem.rstrip(".")
            raise self.wait.failure(f"{self.title} {problem} ({self.wait}).", observation.result)
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
            ids = "" if str(self.wait) in str(error) else f" ({self.wait})"
            raise OutageError(
                f"{self.title} could not be read for {in_words(now - since)} "
                f"(max_outage {in_words(self.max_outage)}). Last error: {error}{ids}",
                self.last.result if self.last else None,
            )

    @property
    def gives_up_at(self) -> float | None:
        """When the wait ends as an outage if it stays so, in seconds since the epoch."""
        since = self.wait_state.get("outage_since")
        return None if since is None else float(since + self.max_outage)

    def success(self, now: float | None) -> str:
        """Return the sentence for a wait that has succeeded.

        :param now: seconds since the epoch; None where nobody knows when the wait began.
        """
        when = ""
        if self.at_first_poll and now is not None:
            when = " at the first poll"
        elif now is not None:
            when = f" after {in_words(now - self.started_at)}"
        state = self.last.state if self.last else ""
        return f"{self.title} {f'is {state}' if state else 'answered'}{when}."

    def timed_out(self, timeout: float) -> WaitTimeoutError:
        """Return the error for a wait whose time is up, with what was seen last."""
        seen = str(self.last) if self.last else "it was never seen"
        wanted = f"did not become {self.wait.wanted} within {in_words(timeout)}"
        text = f"{self.title} {wanted}; {seen} ({self.wait})."
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
