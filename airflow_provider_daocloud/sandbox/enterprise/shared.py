"""What the parts of a world of DaoCloud Enterprise share."""

from __future__ import annotations

import random
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.enterprise.options import EnterpriseOptions
    from airflow_provider_daocloud.sandbox.timeline import Timeline


class Shared:
    """The clock, the options and the source of ids of one world.

    :param timeline: its clock and its schedule.
    :param options: how it behaves where the documents leave it open.
    :param seed: makes ids the same in every run; ``None`` for new ones.
    """

    def __init__(self, timeline: Timeline, options: EnterpriseOptions, seed: int | None) -> None:
        self.timeline = timeline
        self.options = options
        self.random = random.Random(seed)

    def uid(self) -> str:
        """Return an id, the same one in every run of a seeded world."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def word(self, length: int) -> str:
        """Return letters and digits as Kubernetes hangs them on a name."""
        return "".join(self.random.choices("bcdfghjklmnpqrstvwxz2456789", k=length))

    def after(self, seconds: float, when: float) -> float:
        """Return the moment so many seconds after ``when``, at the world's speed."""
        return when + seconds / self.options.speed


def rfc3339(moment: float) -> str:
    """Return a moment as Kubernetes writes it."""
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
