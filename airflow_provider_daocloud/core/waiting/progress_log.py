"""Which observations of a wait are worth a log line."""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_daocloud.core.waiting.tracker import Tracker


class ProgressLog:
    """Logs a wait in few lines: every change, and else ever more seldom as the wait grows.

    :param log: a function that logs one line, such as ``self.log.info``.
    """

    def __init__(self, log: Callable[..., None]) -> None:
        self._log = log
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
        if tracker.last_error is not None:
            error = tracker.last_error
            saying = f"cannot be read ({error})"
            # Its text can have a detail, such as an id of its own, that is new every time.
            news = f"{type(error).__name__} {error.status}"
        elif tracker.last is not None:
            note = f" ({tracker.last.note})" if tracker.last.note else ""
            news = saying = f"is {tracker.last.state}{note}"
        else:
            # Not observed yet: nothing to log, and nothing to come back for soon.
            self._next = max(self._next, now - tracker.started_at + 10)
            return
        elapsed = now - tracker.started_at
        if news == self._logged and elapsed < self._next:
            return
        self._logged = news
        self._next = max(elapsed * 1.5, elapsed + 10)
        next_poll = "" if pause is None else f"; next poll in {pause:.0f} s"
        self._log("%s %s after %.0f s%s", tracker.wait, saying, elapsed, next_poll)
