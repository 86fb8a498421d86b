"""A clock that tests move, and what no error may show."""

from __future__ import annotations

import pickle
import traceback

from tests.support.samples import NOW, TOKEN


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = NOW
        self.slept: list[float] = []

    def clock(self) -> float:
        """Return the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Move on."""
        self.slept.append(seconds)
        self.now += seconds


def assert_no_token(error: BaseException) -> None:
    """Search for the token in everything that an exception shows or has."""
    assert TOKEN not in "".join(traceback.format_exception(error))
    assert TOKEN.encode() not in pickle.dumps(error)
    assert TOKEN not in repr(error)
    assert TOKEN not in repr(vars(error))
