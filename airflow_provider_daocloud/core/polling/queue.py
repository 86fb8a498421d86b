"""The poll queue in front of the connections: what is due, in what order, at what pace."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from airflow_provider_daocloud.api.budget import Budget

# After how many seconds an observation without a response yet counts as slow.
SLOW_AFTER = 2.0


class Priority(IntEnum):
    """Which of the observations that are due goes first."""

    FINAL_POLL = 0  # at a deadline; it may use the budget's reserve
    HINT = 1  # it has probably ended
    LIST = 2  # one request for many
    PROBE = 3  # it shows whether hints stay away
    TURN = 4  # whose turn it is


class Job:
    """Something that observes when it is due. Each `observe` schedules the next one itself."""

    version = 0
    due = float("-inf")
    # Whether its last observation was slow.
    slow = False

    @property
    def deadline(self) -> float:
        """When it must observe, whatever the budget says, by the queue's clock."""
        return float("inf")

    async def observe(self) -> None:
        """Observe."""
        raise NotImplementedError


_Ready = tuple[Priority, float, int, int, Job]


@dataclass(eq=False)
class _Flight:
    """An observation that is under way, and whether it is slow."""

    job: Job
    slow: bool


class PollQueue:
    """Runs jobs when they are due, few at a time, at the budget's pace.

    A slow response must not hold up what others wait for: its observation leaves its slot to the
    next one, up to a number of them; and what was slow begins only where it holds up nobody.

    A thousand tasks that wait inside an HTTP client's pool cost three times the CPU of this queue
    in front of it.

    :param budget: the pace.
    :param clock: seconds; only differences matter.
    :param max_concurrent: how many observations may be under way at once.
    :param slow_concurrent: how many slow ones beside them.
    """

    def __init__(
        self, budget: Budget, clock: Callable[[], float], max_concurrent: int, slow_concurrent: int
    ) -> None:
        self._budget = budget
        self._clock = clock
        self._max_concurrent = max_concurrent
        self._slow_concurrent = slow_concurrent
        self._flights: set[_Flight] = set()
        self._wake = asyncio.Event()
        self._order = itertools.count()
        # An entry is stale, and passed over, when its job has been scheduled anew since.
        self._later: list[tuple[float, int, int, Priority, Job]] = []
        self._ready: dict[bool, list[_Ready]] = {False: [], True: []}
        # When a job that is ready, and kept back by the budget, comes to its deadline.
        self._urgent_at = float("inf")

    def at(self, job: Job, due: float, priority: Priority = Priority.TURN) -> None:
        """Schedule a job's next observation; replaces whatever was scheduled for it.

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
        async with asyncio.TaskGroup() as observations:
            while True:
                self._wake.clear()
                pause = self._ripen()
                ready = self._first_ready()
                if ready:
                    priority, *_, job = ready[0]
                    wait = self._budget.wait(
                        urgent=priority is Priority.FINAL_POLL, timely=priority <= Priority.LIST
                    )
                    if wait <= 0:
                        heapq.heappop(ready)
                        flight = _Flight(job, slow=job.slow)
                        self._flights.add(flight)
                        observations.create_task(self._observe(flight))
                        continue
                    pause = min(pause, wait)
                await self._sleep(pause)

    async def _observe(self, flight: _Flight) -> None:
        is_slow = asyncio.get_running_loop().call_later(SLOW_AFTER, self._is_slow, flight)
        flight.job.slow = False
        try:
            await flight.job.observe()
        finally:
            is_slow.cancel()
            self._flights.discard(flight)
            self._wake.set()

    def _is_slow(self, flight: _Flight) -> None:
        flight.slow = flight.job.slow = True
        self._wake.set()

    def _first_ready(self) -> list[_Ready] | None:
        """Return the queue whose first job is the next to begin, if there is a slot for it."""
        slow = sum(flight.slow for flight in self._flights)
        in_slots = len(self._flights) - min(slow, self._slow_concurrent)
        free = {False: in_slots < self._max_concurrent, True: slow < self._slow_concurrent}
        queues = [queue for is_slow, queue in self._ready.items() if queue and free[is_slow]]
        return min(queues, key=lambda queue: queue[0][:3], default=None)

    def _ripen(self) -> float:
        """Move what is due to the ready jobs; return the seconds until something else is due."""
        now = self._clock()
        while self._later:
            due, order, version, priority, job = self._later[0]
            if version == job.version:
                if due > now:
                    break
                heapq.heappush(self._ready[job.slow], (priority, due, order, version, job))
                self._urgent_at = min(self._urgent_at, job.deadline)
            heapq.heappop(self._later)
        if now >= self._urgent_at:
            self._hurry(now)
        for ready in self._ready.values():
            while ready and ready[0][-2] != ready[0][-1].version:
                heapq.heappop(ready)
        due = self._later[0][0] if self._later else now + 3600.0
        return min(due, self._urgent_at) - now

    def _hurry(self, now: float) -> None:
        """Let the jobs that have waited until their deadlines go first."""
        self._urgent_at = float("inf")
        for ready in self._ready.values():
            waiting = [entry for entry in ready if entry[-2] == entry[-1].version]
            ready[:] = [
                (Priority.FINAL_POLL if entry[-1].deadline <= now else entry[0], *entry[1:])
                for entry in waiting
            ]
            heapq.heapify(ready)
            deadlines = (job.deadline for *_, job in waiting)
            later = min((at for at in deadlines if at > now), default=float("inf"))
            self._urgent_at = min(self._urgent_at, later)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(seconds, 0.001)):
                await self._wake.wait()
        except TimeoutError:
            pass
