"""One contestant's waits in a process of their own, in one event loop, as in a triggerer.

Started by `waiting.py`, which talks with it in lines of JSON over its standard input and output.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import resource
import sys
import time
from typing import Any, TextIO

import psutil  # type: ignore[import-untyped]

from benchmarks.contestants import CONTESTANTS, Contestant, Timer
from benchmarks.jobs import WARM_UP

TICK = 0.05
# How often the memory is read, in ticks.
MEMORY_EVERY = 5


class Pulse:
    """Wakes up every 50 ms, and notes how late that is and how much memory is used."""

    def __init__(self) -> None:
        self.lateness: list[float] = []
        self.memory = 0
        self._process = psutil.Process()

    async def beat(self) -> None:
        """Go on until cancelled."""
        due = time.monotonic() + TICK
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            now = time.monotonic()
            # All beats that a standing loop has missed count, each with its own lateness.
            while due <= now:
                self.lateness.append(now - due)
                due += TICK
                if len(self.lateness) % MEMORY_EVERY == 0:
                    self.observe()

    def observe(self) -> None:
        """Note how much memory is used, if it is the most so far."""
        self.memory = max(self.memory, self._process.memory_info().rss)


async def wait(contestant: Contestant, job: int) -> float:
    """Run the contestant's trigger for one job, as the triggerer does.

    :return: when its event came, in seconds since the epoch.
    :raises RuntimeError: the event did not tell of a success.
    """
    trigger = contestant.trigger(job)
    async with contextlib.aclosing(trigger.run()) as events:
        async for event in events:
            seen_at = time.time()
            payload = getattr(event, "payload", event)
            if not contestant.succeeded(payload):
                raise RuntimeError(f"no success: {payload!r:.300}")
            return seen_at
    raise RuntimeError("no event came")


async def run(contestant: Contestant, ask: TextIO, say: TextIO) -> dict[str, Any]:
    """Warm up, wait for all jobs, and return the figures.

    :param contestant: who waits.
    :param ask: tells when each job ends.
    :param say: is told when the contestant is warm.
    """
    Timer.ends = {}
    await wait(contestant, WARM_UP)
    await asyncio.sleep(0.5)
    gc.collect()
    pulse = Pulse()
    pulse.observe()
    memory = pulse.memory
    print(json.dumps({"warm": True}), file=say, flush=True)
    ends: list[float] = json.loads(ask.readline())["ends"]
    Timer.ends = dict(enumerate(ends, start=1))

    began, before = time.monotonic(), _cpu()
    beating = asyncio.create_task(pulse.beat())
    waits = [asyncio.create_task(wait(contestant, job)) for job in Timer.ends]
    seen = await asyncio.gather(*waits, return_exceptions=True)
    seconds, cpu = time.monotonic() - began, _cpu() - before
    beating.cancel()
    pulse.observe()

    delays = [s - end for s, end in zip(seen, ends, strict=True) if isinstance(s, float)]
    return {
        "seconds": seconds,
        "cpu": cpu,
        "memory": pulse.memory - memory,
        "lateness": sorted(pulse.lateness),
        "delays": sorted(delays),
        "succeeded": len(delays),
        "errors": sorted({repr(s) for s in seen if not isinstance(s, float)})[:3],
    }


def main() -> None:
    """Run the contestant that the command line names."""
    # Whatever a contestant prints goes to standard error; this talk has a channel of its own.
    say = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    contestant = CONTESTANTS[sys.argv[1]]
    print(json.dumps(asyncio.run(run(contestant, sys.stdin, say))), file=say, flush=True)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
