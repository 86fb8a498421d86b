"""The queue of looks in front of the connections: what is due, in what order, at what pace."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from enum import IntEnum

from airflow_provider_daocloud.api.budget import Budget


class Priority(IntEnum):
    """Which of the looks that are due goes first."""

    LAST = 0  # the final poll at a deadline; it is made whatever remains of the budget
    HINT = 1  # it has probably ended
    LIST = 2  # one look for many
    SCOUT = 3  # it may teach something about the others
    TURN = 4  # whose turn it is


class Job:
    """Something that looks when it is due. Each `look` schedules the next one itself."""

    version = 0
    due = float("-inf")

    @property
    def deadline(self) -> float:
        """When it has to look whatever the budget says, by the queue's clock."""
        return float("inf")

    async def look(self) -> None:
        """Make the look."""
        raise NotImplementedError


_Ready = tuple[Priority, float, int, int, Job]


class LookQueue:
    """Runs jobs when they are due, few at a time, at the budget's pace.

    A thousand tasks that wait inside an HTTP client's pool cost three times the CPU of this queue
    in front of it.

    :param budget: the pace.
    :param clock: seconds; only differences matter.
    :param lanes: how many looks may be under way at once.
    """

    def __init__(self, budget: Budget, clock: Callable[[], float], lanes: int) -> None:
        self._budget = budget
        self._clock = clock
        self._lanes = lanes
        self._flying = 0
        self._wake = asyncio.Event()
        self._order = itertools.count()
        # An entry is stale, and passed over, when its job has been scheduled anew since.
        self._later: list[tuple[float, int, int, Priority, Job]] = []
        self._ready: list[_Ready] = []
        # When a job that is ready, and kept back by the budget, comes to its deadline.
        self._urgent_at = float("inf")

    def at(self, job: Job, due: float, priority: Priority = Priority.TURN) -> None:
        """Schedule a job's next look; replaces whatever was scheduled for it.

        :param job: the job.
        :param due: when, by the clock.
        :param priority: its place among the jobs that are due.
        """
        job.version += 1
        job.due = due
        heapq.heappush(self._later, (due, next(self._order), job.version, priority, job))
        self._wake.set()

    def mind(self, deadline: float) -> None:
        """Take in that a job which is scheduled already has got a deadline.

        :param deadline: when, by the clock.
        """
        self._urgent_at = min(self._urgent_at, deadline)
        self._wake.set()

    def drop(self, job: Job) -> None:
        """Forget what was scheduled for a job."""
        job.version += 1

    async def run(self) -> None:
        """Run the jobs until cancelled. An error that a job lets through ends the queue."""
        async with asyncio.TaskGroup() as looks:
            while True:
                self._wake.clear()
                pause = self._ripen()
                if self._ready and self._flying < self._lanes:
                    priority, *_, job = self._ready[0]
                    wait = self._budget.wait(
                        urgent=priority is Priority.LAST, timely=priority <= Priority.LIST
                    )
                    if wait <= 0:
                        heapq.heappop(self._ready)
                        self._flying += 1
                        looks.create_task(self._look(job))
                        continue
                    pause = min(pause, wait)
                await self._sleep(pause)

    async def _look(self, job: Job) -> None:
        try:
            await job.look()
        finally:
            self._flying -= 1
            self._wake.set()

    def _ripen(self) -> float:
        """Move what is due to the ready jobs; return the seconds until something else is due."""
        now = self._clock()
        while self._later:
            due, order, version, priority, job = self._later[0]
            if version == job.version:
                if due > now:
                    break
                heapq.heappush(self._ready, (priority, due, order, version, job))
                self._urgent_at = min(self._urgent_at, job.deadline)
            heapq.heappop(self._later)
        if now >= self._urgent_at:
            self._hurry(now)
        while self._ready and self._ready[0][-2] != self._ready[0][-1].version:
            heapq.heappop(self._ready)
        due = self._later[0][0] if self._later else now + 3600.0
        return min(due, self._urgent_at) - now

    def _hurry(self, now: float) -> None:
        """Let the jobs that have waited until their deadlines go first."""
        waiting = [entry for entry in self._ready if entry[-2] == entry[-1].version]
        self._ready = [
            (Priority.LAST if entry[-1].deadline <= now else entry[0], *entry[1:])
            for entry in waiting
        ]
        heapq.heapify(self._ready)
        deadlines = (job.deadline for *_, job in waiting)
        self._urgent_at = min((at for at in deadlines if at > now), default=float("inf"))

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(seconds, 0.001)):
                await self._wake.wait()
        except TimeoutError:
            pass
