"""How far the observations of a wait are apart."""

from __future__ import annotations

import random
from dataclasses import dataclass

from airflow_provider_daocloud.api.validation import INITIAL_INTERVAL, INTERVAL_GROWTH


@dataclass(frozen=True, slots=True)
class Backoff:
    """How far the observations of a wait are apart: short at first, growing with the time waited.

    :param max_interval: the longest pause, in seconds.
    :param initial_interval: the first pause, in seconds.
    :param growth: a pause is at most this part of the time waited so far, so that an end is seen
        late by that part at most.
    """

    max_interval: float
    initial_interval: float = INITIAL_INTERVAL
    growth: float = INTERVAL_GROWTH

    def pause(self, elapsed: float) -> float:
        """Return the seconds until the next observation, with jitter so that waits do not march.

        :param elapsed: seconds waited so far.
        """
        grown = min(max(self.initial_interval, elapsed * self.growth), self.max_interval)
        return grown * random.uniform(0.9, 1.0)  # noqa: S311 - jitter is no secret
