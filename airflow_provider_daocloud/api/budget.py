"""How fast one process may ask, so that all users of a token stay inside its hourly limit: pure.

DaoCloud counts the calls of a token, whoever makes them, and says in each answer how many remain
until the reset. A `Budget` spreads what remains, less a reserve, evenly over the time that remains.
What others use shows as a faster fall of the remaining calls, and is left to them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from airflow_provider_daocloud.api.response import RateLimit

# The part of the limit that is left for what cannot wait: POSTs (made by other processes), and
# final polls at a deadline. It shrinks as the hour runs out, since less can still be needed.
RESERVE = 0.1
# How many calls may be made in a row at first, and after a quiet time, as a part of the limit.
FIRST_BURST = 0.02
BURST = 0.1
LEAST_BURST = 5.0
# Over how many seconds the others' calls are averaged, and for how many they should continue.
# Less, and the last minutes of the hour can be left empty; more, and a passing rush of others (many
# pipelines that start at once) would stop us for an hour.
OTHERS_MEMORY = 120.0
OTHERS_AHEAD = 900.0
HOUR = 3600.0
# After a refusal that does not say when to come back, the pause is this long, in seconds, and twice
# as long after each further one in a row.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0


@dataclass
class _Window:
    """What is known of the current hour, as of the last answer."""

    limit: float
    remaining: float
    resets_at: float
    at: float


class Budget:
    """The pace of all calls that one process makes with one token.

    :param clock: seconds; only differences matter.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._window: _Window | None = None
        self._tokens: float | None = None  # how many, the first answer says
        self._filled_at = clock()
        self._others_rate = 0.0
        self._blocked_until = 0.0
        self._refusals = 0

    @property
    def remaining(self) -> float | None:
        """How many calls remain in this hour, or None if no answer has said so yet."""
        return None if self._window is None else self._window.remaining

    @property
    def pace(self) -> float:
        """How many calls a second keep inside the limit; infinite as long as it is not known."""
        now = self._clock()
        if self._window is None or now >= self._window.resets_at:
            return float("inf")
        return self._rate(self._window, now)

    def wait(self, *, urgent: bool = False, timely: bool = False) -> float:
        """Return for how many seconds the next call has to wait.

        :param urgent: whether the call is made whatever remains: the final poll at a deadline. It
            costs one call, and there may be no other chance to see that the wait has succeeded.
        :param timely: whether the call has to be made anyway, so that making it later saves
            nothing (the observation of what has probably ended), or serves many. It need not keep
            the even pace, as long as half of what that would have left by now remains.
        """
        now = self._clock()
        if urgent:
            return 0.0
        if now < self._blocked_until:
            return self._blocked_until - now
        window = self._window
        if window is None or now >= window.resets_at:
            return 0.0
        rate = self._rate(window, now)
        even = window.limit * (window.resets_at - now) / HOUR
        if timely and rate > 0 and window.remaining > even / 2:
            return 0.0
        if rate <= 0:
            return window.resets_at - now
        missing = max(0.0, (1.0 - self._filled(rate, window, now)) / rate)
        return min(missing, window.resets_at - now)

    def spend(self) -> None:
        """Count a call that is being sent."""
        if self._tokens is not None:
            self._tokens = max(self._tokens - 1.0, -LEAST_BURST)
        if self._window is not None:
            self._window.remaining -= 1

    def learn(self, seen: RateLimit | None) -> None:
        """Take in an answer, and what it said of the limit, if it has the headers."""
        self._refusals = 0
        if seen is None or seen.remaining is None or seen.resets_in is None:
            return
        now = self._clock()
        window = self._window
        resets_at = now + seen.resets_in
        # The reset comes in whole seconds, and is translated through a Date of whole seconds.
        if window is not None and abs(resets_at - window.resets_at) < 5 and now < window.resets_at:
            # What is gone beyond our own calls, others have used.
            others = max(0.0, window.remaining - seen.remaining)
            elapsed = max(now - window.at, 1e-6)
            weight = min(1.0, elapsed / OTHERS_MEMORY)
            self._others_rate += weight * (others / elapsed - self._others_rate)
            resets_at = window.resets_at
        limit = float(seen.limit or max(seen.remaining, 1))
        self._window = _Window(limit, float(seen.remaining), resets_at, now)
        if seen.remaining <= 0:
            self._blocked_until = resets_at

    def refused(self, retry_at_in: float | None) -> None:
        """Take in that a call was refused because too many were made.

        :param retry_at_in: seconds until it is worth asking again, if the answer said so. If not,
            the hour need not be spent: a gateway may have its own limit, of a second or so.
        """
        self._refusals += 1
        grown = min(FIRST_PAUSE * 2.0 ** min(self._refusals - 1, 16), LONGEST_PAUSE)
        wait = grown if retry_at_in is None else retry_at_in
        self._blocked_until = max(self._blocked_until, self._clock() + wait)

    def _rate(self, window: _Window, now: float) -> float:
        """Return how many calls a second are ours, until the reset."""
        left = max(window.resets_at - now, 1e-3)
        reserve = RESERVE * window.limit * min(1.0, left / HOUR)
        usable = window.remaining - reserve
        if usable < 1:
            return 0.0
        ours = usable - self._others_rate * min(left, OTHERS_AHEAD)
        # Something is always left for us: others who eat everything must not stop us altogether.
        return max(ours, 0.1 * usable) / left

    def _filled(self, rate: float, window: _Window, now: float) -> float:
        if self._tokens is None:
            self._tokens = max(LEAST_BURST, FIRST_BURST * window.limit)
        burst = max(LEAST_BURST, BURST * window.limit)
        self._tokens = min(burst, self._tokens + rate * (now - self._filled_at))
        self._filled_at = now
        return self._tokens
