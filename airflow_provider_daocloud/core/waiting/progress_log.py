"""Which observations of a wait are worth a log line."""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_daocloud.core.waiting.tracker import Tracker


class ProgressLog:
    """Tells of a wait in few lines: every change, and else ever more seldom as the wait grows.

    :param log: a function that logs one line, such as ``self.log.info``.
    """

    def __init__(self, log: Callable[..., None]) -> None:
        self._log = log
        self._told = ""
        self._next = 10.0

    def due(self, tracker: Tracker) -> float:
        """Return when it is time to tell of the wait again, though nothing changed."""
        return tracker.started_at + self._next

    def observe(self, tracker: Tracker, now: float, pause: float | None = None) -> None:
        """Tell of the last look, if there is something new or it is time to.

        :param tracker: the wait.
        :param now: seconds since the epoch.
        :param pause: seconds until the next look, if there is one.
        """
        if tracker.last_error is not None:
            error = tracker.last_error
            saying = f"cannot be read ({error})"
            # Its text can have a detail, such as an id of its own, that is new at every look.
            news = f"{type(error).__name__} {error.status}"
        elif tracker.last is not None:
            note = f" ({tracker.last.note})" if tracker.last.note else ""
            news = saying = f"is {tracker.last.state}{note}"
        else:
            # Not looked at yet: nothing to tell, and nothing to come back for soon.
            self._next = max(self._next, now - tracker.started_at + 10)
            return
        elapsed = now - tracker.started_at
        if news == self._told and elapsed < self._next:
            return
        self._told = news
        self._next = max(elapsed * 1.5, elapsed + 10)
        next_look = "" if pause is None else f"; next look in {pause:.0f} s"
        self._log("%s %s after %.0f s%s", tracker.wait, saying, elapsed, next_look)
