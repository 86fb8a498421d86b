"""Which observations of a wait are worth a log line."""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_daocloud.core.waiting.tracker import Tracker
from airflow_provider_daocloud.core.waiting.wording import in_words


class ProgressLog:
    """Logs a wait in few lines: every change, and else ever more seldom as the wait grows.

    Airflow's UI shows the first eighty characters or so: what is waited for, and what is seen.

    :param log: a function that logs one line, such as ``self.log.info``.
    :param timeout: seconds that the wait may take; None where nobody knows when it began.
    """

    def __init__(self, log: Callable[..., None], timeout: float | None = None) -> None:
        self._log = log
        self._timeout = timeout
        self._logged = ""
        self._next = 10.0

    def due(self, tracker: Tracker) -> float:
        """Return when to log the wait again, though nothing changed."""
        return tracker.started_at + self._next

    def add(self, tracker: Tracker, now: float, pause: float | None = None) -> None:
        """Log the last observation, if it shows something new or it is time to.

        :param tracker: the wait.
        :param now: seconds since the epoch.
        :param pause: seconds until the next poll, if there is one.
        """
        observation, error = tracker.last, tracker.last_error
        elapsed = now - tracker.started_at
        if error is not None:
            # Its text can have a detail, such as an id of its own, that is new every time.
            news = f"{type(error).__name__} {error.status}"
            saying = f"cannot be read: {str(error).rstrip('.')}"
            if tracker.gives_up_at is not None:
                saying += f"; retrying for {in_words(max(tracker.gives_up_at - now, 0.0))}"
        elif observation is not None:
            news, saying = observation.state + observation.note, str(observation)
        else:
            # Not observed yet: nothing to log, and nothing to come back for soon.
            self._next = max(self._next, elapsed + 10)
            return
        if news == self._logged and (elapsed < self._next or not news):
            return
        # The whole ids stand in the first line, at its end.
        ids = "" if self._logged else f" ({tracker.wait})"
        self._logged = news
        self._next = max(elapsed * 1.5, elapsed + 10)
        if error is None and observation is not None and observation.verdict == "succeeded":
            success = tracker.success(None if self._timeout is None else now)
            self._log("%s%s.", success.rstrip("."), ids)
            return
        if self._timeout is not None:
            saying += f"; {in_words(elapsed)} of {in_words(self._timeout)}"
        next_poll = "" if pause is None else f"; next poll in {in_words(pause)}"
        title = tracker.wait.title(tracker.name)
        self._log("Waiting for %s: %s%s%s.", title, saying, next_poll, ids)
