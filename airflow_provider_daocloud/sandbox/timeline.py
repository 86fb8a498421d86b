"""The world's clock, and what is scheduled on it.

Nothing ticks: whoever reads the world first makes everything happen that was due by then, in its
order and with its own date.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import threading
from typing import TYPE_CHECKING

from airflow_provider_daocloud.sandbox.options import LAST_MOMENT, fits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Timeline:
    """The time of a world, its schedule, and the lock under which both move.

    :param clock: gives the time in Unix seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.lock = threading.RLock()
        self._clock = clock
        self._ahead = 0.0
        self._due: list[tuple[float, int, Callable[[float], object]]] = []
        self._order = itertools.count()

    def now(self) -> float:
        """Return the world's time in Unix seconds."""
        return self._clock() + self._ahead

    def advance(self, seconds: float) -> None:
        """Move the world's clock ahead; what was due by then happens."""
        if not fits(seconds, float):
            raise ValueError(f"a clock is moved ahead by zero or more seconds, not {seconds!r}")
        with self.up_to_date():
            if self.now() + seconds > LAST_MOMENT:
                raise ValueError(f"{seconds!r} seconds from now is beyond the last date there is")
            self._ahead += seconds
            self._catch_up()

    @contextlib.contextmanager
    def up_to_date(self) -> Iterator[None]:
        """Hold the world still, after everything due has happened."""
        with self.lock:
            self._catch_up()
            yield

    def _catch_up(self) -> None:
        now = self.now()
        while self._due and self._due[0][0] <= now:
            due, _, happen = heapq.heappop(self._due)
            happen(due)

    def at(self, when: float, happen: Callable[[float], object]) -> None:
        """Schedule something; it is called with ``when`` (Unix seconds), late as it may be."""
        heapq.heappush(self._due, (when, next(self._order), happen))

    def next_due(self) -> float | None:
        """Return when something happens next by itself, in Unix seconds, or else ``None``."""
        with self.up_to_date():
            return self._due[0][0] if self._due else None
