"""One poller for all waits of a triggerer with the same DaoCloud account.

However many waits there are, their looks go through one queue in front of two connections (and of a
few more while answers are slow), at the pace that the token's hourly limit allows:

- build flows and apps: one call of the list serves every wait (a lone one asks for its own thing).
  A flow of which the list leaves something out, and every app, is asked for itself before its waits
  end: its own call is the one that they go by in every other mode;
- actions have no list, so each is asked for. With many, the list of apps *hints*: an app whose
  entry changed gets its actions asked at once, the others are asked seldom. A hint only speeds
  things up. Nothing promises that an entry changes when an action ends: a few *scouts* are always
  asked at the full pace, and if ends come without hints, hints are not relied on any more;
- builds, and actions on stacks: each is asked for.

The poller knows nothing of Airflow and logs nothing: each wait does that in its own context.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from airflow_provider_daocloud.api import protocol
from airflow_provider_daocloud.api.async_client import AsyncDaoCloudClient
from airflow_provider_daocloud.api.budget import Budget
from airflow_provider_daocloud.api.errors import (
    CallError,
    DaoCloudError,
    RateLimitedError,
)
from airflow_provider_daocloud.api.models import APP_TRANSITIONAL, App, AppState, BuildFlow
from airflow_provider_daocloud.arguments import FIRST_INTERVAL
from airflow_provider_daocloud.triggers.look_queue import Job, LookQueue, Priority
from airflow_provider_daocloud.waits import (
    ActionWait,
    AppWait,
    BuildFlowWait,
    Cadence,
    Look,
    Outcome,
    Tracker,
    is_fatal,
)

T = TypeVar("T")

# A second call may be under way, so that one that stalls does not hold up all the others.
LANES = 2
# How many looks whose answer is slow may be under way beside those.
SLOW_LANES = 14
# From how many actions on the list of apps is asked for hints.
HINTS_FROM = 4
# How many actions are asked at the full pace all the same, to notice when hints stay away.
SCOUTS = 3
# How often an action is asked without a hint, while hints are relied on.
HINTED = Cadence(longest=300.0, first=30.0, share=0.5)
# The part of the budget that lists of apps may take: the rest is for the actions themselves.
HINTS_SHARE = 0.25
# The part of the budget that scouts may take together.
SCOUTS_SHARE = 0.1
# How many ends with a hint, less those without, are remembered at most. Below 0: no reliance.
MOST_TRUST = 3
# How many of the last actions' durations are kept, and which of them (as a part, from the shortest)
# an action is taken to need, when there are more looks due than the budget allows.
DURATIONS = 50
LIKELY_DURATION = 0.9
# If it needs longer, how much later the next look is made, as a part of that.
LATER_SHARE = 0.05
# Waits that begin within this time share their first look at a list, in seconds.
GATHER = 0.1


class Metrics(Protocol):
    """Where the poller tells what it does."""

    def gauge(self, name: str, value: float) -> None:
        """Tell a value."""

    def count(self, name: str) -> None:
        """Add one to a counter."""


class Waiter(Job):
    """One wait that the poller serves.

    :param tracker: the wait and what it has seen.
    :param cadence: how far its looks are apart.
    :param timeout: seconds from the tracker's start until the time is up; a last look is taken
        then.
    """

    def __init__(self, tracker: Tracker, cadence: Cadence, timeout: float) -> None:
        self.tracker = tracker
        self.cadence = cadence
        self.timeout = timeout
        self._deadline = tracker.started + timeout
        self.outcome: Outcome | None = None
        self.unauthorized: CallError | None = None
        self.news = asyncio.Event()
        self.hinted_at: float | None = None
        self.looking = False
        self.looked_at = float("-inf")
        self.poller: Poller | None = None

    @property
    def deadline(self) -> float:
        """When the time is up."""
        return self._deadline

    @property
    def app_id(self) -> str | None:
        """The app, if this waits for an action."""
        wait = self.tracker.wait
        return wait.app_id if isinstance(wait, ActionWait) else None

    @property
    def open(self) -> bool:
        """Whether it goes on, with the token that the poller has."""
        return self.outcome is None and self.unauthorized is None

    def take(self, seen: Any, now: float) -> None:
        """Judge what a look showed."""
        before = self.tracker.last
        had_error = self.tracker.last_error is not None
        try:
            look = self.tracker.saw(seen)
        except DaoCloudError as e:
            return self.end(Outcome.of_error(e))
        if look.verdict == "succeeded":
            return self.end(Outcome("succeeded", look.result))
        if before is None or before.state != look.state or had_error:
            self.news.set()
        return self.check_time(now)

    def would_end(self, seen: Any) -> Look | None:
        """Return how the wait would end with what a look showed, if it would. It is not taken."""
        look = self.tracker.wait.judge(seen, dict(self.tracker.memory))
        return None if look.verdict == "ongoing" else look

    def miss(self, error: DaoCloudError, now: float) -> None:
        """Take a look that failed."""
        if not isinstance(error, CallError):
            # Nothing was sent: the CA bundle or a proxy of the connection cannot be used.
            return self.end(Outcome.of_error(error))
        if error.status == 401:
            # Not judged yet: the token may have been rotated. Whoever waits looks that up.
            self.unauthorized = error
            self.news.set()
            return None
        return self._judge(error, now)

    def is_unauthorized(self, now: float) -> None:
        """Judge the 401: the token has not been rotated. It goes on, if this can still pass."""
        error, self.unauthorized = self.unauthorized, None
        if error is not None:
            self._judge(error, now)
        if self.open and self.poller is not None:
            self.poller.looked(self)

    def _judge(self, error: CallError, now: float) -> None:
        had_error = self.tracker.last_error is not None
        try:
            self.tracker.missed(error, now)
        except DaoCloudError as e:
            return self.end(Outcome.of_error(e))
        if not had_error:
            self.news.set()
        return self.check_time(now)

    def check_time(self, now: float) -> None:
        """End the wait if its time is up."""
        if now >= self.deadline and self.outcome is None:
            self.end(Outcome.of_error(self.tracker.timed_out(self.timeout)))

    def end(self, outcome: Outcome) -> None:
        """End the wait."""
        self.outcome = outcome
        self.news.set()

    def next_due(self, now: float, pause: float) -> tuple[float, Priority]:
        """Return when to look next, and with what priority: at the deadline at the latest."""
        if now + pause >= self.deadline:
            return max(self.deadline, now), Priority.LAST
        return now + pause, Priority.TURN

    async def look(self) -> None:
        """Ask for this wait's own thing."""
        poller = self.poller
        if poller is None:  # it has left since this look was planned
            return
        self.looking, self.looked_at = True, poller.clock()
        try:
            await poller.show(self.tracker.wait.call(), lambda: [self] if self.open else [])
        finally:
            self.looking = False
        poller.looked(self)


class Poller:
    """Looks at DaoCloud for all waits that were added, as long as there are any.

    :param client: sends the calls.
    :param clock: seconds since the epoch. For tests.
    :param metrics: is told how many waits and calls there are.
    """

    def __init__(
        self,
        client: AsyncDaoCloudClient,
        *,
        clock: Callable[[], float] = time.time,
        metrics: Metrics | None = None,
    ) -> None:
        self.client = client
        self.clock = clock
        self.metrics = metrics
        self.budget = Budget(clock)
        self.queue = LookQueue(self.budget, clock, LANES, SLOW_LANES)
        self._singles = _Singles(self)
        self._groups: dict[str, _Group] = {
            BuildFlowWait.kind: _Listed(
                self,
                protocol.list_build_flows(),
                BuildFlow.parse,
                lambda wait: wait.build_flow_id,
                ends_waits=True,
            ),
            # Nothing promises that the list follows an app at once, and a state of before an action
            # must not be taken for one of after it.
            AppWait.kind: _Listed(
                self, protocol.list_apps(), App.parse, lambda wait: wait.app_id, ends_waits=False
            ),
            ActionWait.kind: _Actions(self),
        }
        self.calls: Counter[str] = Counter()
        self._outage = False
        self._waiters: set[Waiter] = set()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._waiters)

    def add(self, waiter: Waiter) -> None:
        """Serve a wait, until `remove`."""
        waiter.poller = self
        waiter.unauthorized = None
        self._waiters.add(waiter)
        self._watch(waiter).add(waiter)
        self.queue.mind(waiter.deadline)
        if self._task is None:
            # With an empty context: it would inherit the first wait's, and log into its log.
            self._task = asyncio.get_running_loop().create_task(
                self.queue.run(), context=contextvars.Context()
            )
            self._task.add_done_callback(self._ended)

    async def remove(self, waiter: Waiter) -> None:
        """Forget a wait. With the last one the poller ends, and its connections are closed."""
        if waiter in self._waiters:
            waiter.poller = None
            self._waiters.discard(waiter)
            self.queue.drop(waiter)
            self._watch(waiter).remove(waiter)
        if not self._waiters and self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait([task])
            if not self._waiters:  # none has come meanwhile
                await self.client.close()
            if self.metrics:
                self.metrics.gauge("waiters", len(self))

    async def ask(self, call: protocol.Call[T]) -> T:
        """Send a call, and learn from it how fast to ask."""
        self.budget.spend()
        self.calls[call.name] += 1
        self._tell()
        try:
            answer = await self.client.send(call)
        except RateLimitedError as e:
            self.budget.refused(None if e.retry_at is None else e.retry_at - self.clock())
            raise
        except CallError as e:
            if not is_fatal(e) and not self._outage:
                self._outage = True
                if self.metrics:
                    self.metrics.count("outages")
            raise
        self._outage = False
        self.budget.learn(self.client.rate_limit)
        return answer

    async def show(self, call: protocol.Call[Any], waiters: Callable[[], Iterable[Waiter]]) -> None:
        """Ask for one thing, and show it to the waits for it.

        :param call: the call.
        :param waiters: returns them, when the answer is there.
        """
        try:
            seen = await self.ask(call)
        except DaoCloudError as e:
            for waiter in waiters():
                waiter.miss(e, self.clock())
        except Exception as e:
            # A fault of our own must end these waits alone, and not the poller with all the others.
            for waiter in waiters():
                text = f"{waiter.tracker.wait}: a look broke: {e!r}"
                waiter.end(Outcome("unknown", None, text))
        else:
            for waiter in waiters():
                waiter.take(seen, self.clock())

    def spare(self, pause: float, share: float = 1.0, longest: float = 15.0) -> float:
        """Return how long to pause until the next look, so that such looks stay in their share.

        :param pause: the seconds that the waits ask for.
        :param share: the part of the budget that these looks may take.
        :param longest: the seconds that looks are put off to at most.
        """
        pace = self.budget.pace * share
        return max(pause, min(1.0 / pace, longest) if pace > 0 else longest)

    def _tell(self) -> None:
        if self.metrics:
            self.metrics.count("polls")
            self.metrics.gauge("waiters", len(self))
            if self.budget.remaining is not None:
                self.metrics.gauge("budget_left", self.budget.remaining)

    def looked(self, waiter: Waiter) -> None:
        """Take in that a wait's look was made, and plan its next one."""
        if waiter in self._waiters:
            self._watch(waiter).looked(waiter)

    def _watch(self, waiter: Waiter) -> _Group:
        return self._groups.get(waiter.tracker.wait.kind, self._singles)

    def _ended(self, task: asyncio.Task[None]) -> None:
        # Only a bug ends the queue by itself. It must not leave the waits hanging.
        error = None if task.cancelled() else task.exception()
        for waiter in list(self._waiters) if error else ():
            waiter.end(
                Outcome("unknown", None, f"the poller ended by a fault of its own: {error!r}")
            )


class _Group(Protocol):
    """The waits of one kind, and when they are looked at."""

    def add(self, waiter: Waiter) -> None: ...

    def remove(self, waiter: Waiter) -> None: ...

    def looked(self, waiter: Waiter) -> None:
        """Take in that a wait's own look was made."""


class _Singles:
    """All waits for what has neither a list nor hints: each is asked for."""

    def __init__(self, poller: Poller) -> None:
        self._poller = poller

    def add(self, waiter: Waiter) -> None:
        self._poller.queue.at(waiter, self._poller.clock())

    def remove(self, waiter: Waiter) -> None:
        """Its look is dropped by the poller."""

    def looked(self, waiter: Waiter) -> None:
        if waiter.open:
            now = self._poller.clock()
            self._poller.queue.at(waiter, *waiter.next_due(now, _pause(waiter, now)))


class _Listed(Job):
    """All waits for things that have a list: one call of it for all, or one of a lone thing.

    :param poller: asks.
    :param lists: the call of the list.
    :param parse: makes a thing of the list's item.
    :param id_of: returns the id of what a wait is for.
    :param ends_waits: whether a wait may end by what the list shows, if that leaves nothing out.
    """

    def __init__(
        self,
        poller: Poller,
        lists: protocol.Call[tuple[Any, ...]],
        parse: Callable[[Mapping[str, Any]], Any],
        id_of: Callable[[Any], str],
        *,
        ends_waits: bool,
    ) -> None:
        self._poller = poller
        self._list = protocol.unparsed(lists)
        self._parse = parse
        self._id_of = id_of
        self._ends_waits = ends_waits
        self._things: dict[str, _Thing] = {}
        self._looked_at = float("-inf")
        self._due = float("inf")

    def add(self, waiter: Waiter) -> None:
        thing_id = self._id_of(waiter.tracker.wait)
        if thing_id not in self._things:
            self._things[thing_id] = _Thing(self._poller, waiter.tracker.wait.call(), self.schedule)
        thing = self._things[thing_id]
        thing.waiters[waiter] = None
        thing.item = None  # whatever was known of it, this wait has not seen it
        # A wait that begins just after a look takes the next one: many that begin one after
        # another would else make a call of the list each.
        soon = self._poller.clock() + GATHER
        self._at(max(soon, self._looked_at + min(FIRST_INTERVAL, waiter.cadence.longest)))

    def remove(self, waiter: Waiter) -> None:
        thing_id = self._id_of(waiter.tracker.wait)
        thing = self._things[thing_id]
        del thing.waiters[waiter]
        if not thing.waiters:
            self._poller.queue.drop(thing)
            del self._things[thing_id]
        if not self._things:
            self._poller.queue.drop(self)
            self._due = float("inf")

    @property
    def deadline(self) -> float:
        """When the first of its waits has to be ended."""
        return min((thing.deadline for thing in self._unasked()), default=float("inf"))

    def looked(self, waiter: Waiter) -> None:  # noqa: ARG002 - the list serves all
        """Plan the next look at the list: a wait for one of its things goes on."""
        self.schedule()

    async def look(self) -> None:
        self._looked_at, self._due = self._poller.clock(), float("inf")
        things = [thing for thing in self._things.values() if thing.open()]
        if len(things) == 1:
            if not things[0].asked:
                await things[0].look()
        elif things:
            try:
                items = await self._poller.ask(self._list)
            except DaoCloudError as e:
                self._miss(e)
            else:
                self._take(items)
            self.schedule()

    def _miss(self, error: DaoCloudError) -> None:
        now = self._poller.clock()
        for thing in self._unasked():
            thing.item = None
            for waiter in thing.open():
                waiter.miss(error, now)

    def _take(self, items: Iterable[Mapping[str, Any]]) -> None:
        now = self._poller.clock()
        by_id = {str(item.get("id")): item for item in items}
        for thing_id, thing in self._things.items():
            if thing.asked:
                continue
            item = by_id.get(thing_id)
            same = item is not None and item == thing.item
            # Only what changed is parsed: this is done for all things at every look.
            seen = None if item is None or same else self._parse(item)
            if item is None or self._is_for_itself(thing, seen, now):
                # Its own call says whether it is unknown, or only not in the list; and how it is.
                thing.ask(now)
                continue
            thing.item = item
            for waiter in thing.open():
                if same:
                    waiter.check_time(now)
                else:
                    waiter.take(seen, now)

    def _is_for_itself(self, thing: _Thing, seen: Any, now: float) -> bool:
        """Whether a wait is about to end, and the list is not enough for it.

        :param seen: what the list shows, if that is new.
        """
        if seen is not None:
            looks = [look for waiter in thing.open() if (look := waiter.would_end(seen))]
            if any(not self._ends_waits or None in look.result.values() for look in looks):
                return True
        # The last look at a deadline, unless it takes what others need.
        is_up = any(now >= waiter.deadline for waiter in thing.open())
        return is_up and not self._ends_waits and self._poller.budget.wait(timely=True) <= 0

    def schedule(self) -> None:
        """Plan the next look at the list."""
        now = self._poller.clock()
        for thing in self._unasked():
            for waiter in thing.open():
                self._at(*waiter.next_due(now, self._poller.spare(_pause(waiter, now))))

    def _at(self, due: float, priority: Priority = Priority.LIST) -> None:
        if due < self._due:
            self._due = due
            self._poller.queue.at(self, due, min(priority, Priority.LIST))

    def _unasked(self) -> list[_Thing]:
        """Return what is left to the list: not what is about to be asked for itself."""
        return [thing for thing in self._things.values() if not thing.asked]


class _Thing(Job):
    """One thing of a list, and all waits for it.

    :param poller: asks.
    :param call: its own call.
    :param then: called when it was asked for itself.
    """

    def __init__(self, poller: Poller, call: protocol.Call[Any], then: Callable[[], None]) -> None:
        self._poller = poller
        self._call = call
        self._then = then
        self.waiters: dict[Waiter, None] = {}
        # What the list showed of it last, if that was taken.
        self.item: Mapping[str, Any] | None = None
        # Whether it is being asked for itself, or about to be.
        self.asked = False

    @property
    def deadline(self) -> float:
        """When the first of its waits has to be ended."""
        return min((waiter.deadline for waiter in self.open()), default=float("inf"))

    def open(self) -> list[Waiter]:
        return [waiter for waiter in self.waiters if waiter.open]

    def ask(self, now: float) -> None:
        """Ask for it soon: in time for its waits, whatever the budget says if it must be."""
        self.asked = True
        late = now + self._poller.budget.wait(timely=True) >= self.deadline
        self._poller.queue.at(self, now, Priority.LAST if late else Priority.HINT)

    async def look(self) -> None:
        self.asked, self.item = True, None
        try:
            await self._poller.show(self._call, self.open)
        finally:
            self.asked = False
        self._then()


class _Actions:
    """All waits for actions: a call for each, and with many, hints from the list of apps."""

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        self._by_app: dict[str, dict[Waiter, None]] = {}
        self._scouts: dict[Waiter, None] = {}
        self._others: dict[Waiter, None] = {}
        self._hints = _Hints(poller, self)
        self._durations: deque[float] = deque(maxlen=DURATIONS)

    def __len__(self) -> int:
        return len(self._scouts) + len(self._others)

    def add(self, waiter: Waiter) -> None:
        self._by_app.setdefault(waiter.app_id or "", {})[waiter] = None
        (self._scouts if len(self._scouts) < SCOUTS else self._others)[waiter] = None
        now = self._poller.clock()
        due = now
        if len(self) >= HINTS_FROM:
            if len(self) == HINTS_FROM or not self._hints.on:
                self._hints.start(now)
            if self._hints.shows_running(waiter.app_id):
                due = now + self._pause(waiter, now)
            elif not self._hints.seen:
                due = now + GATHER  # the list comes first, and may make this look needless
        self._at(waiter, due)

    def remove(self, waiter: Waiter) -> None:
        self._scouts.pop(waiter, None)
        self._others.pop(waiter, None)
        of_app = self._by_app[waiter.app_id or ""]
        del of_app[waiter]
        if not of_app:
            del self._by_app[waiter.app_id or ""]
        while self._others and len(self._scouts) < SCOUTS:
            scout = next(iter(self._others))
            del self._others[scout]
            self._scouts[scout] = None
            self._sooner(scout)
        if self._hints.on and len(self) < HINTS_FROM:
            self._hints.stop()
            for scout in self._scouts:
                self._sooner(scout)

    def looked(self, waiter: Waiter) -> None:
        if waiter.outcome is not None:
            self._hints.ended(waiter)
            seconds = (waiter.outcome.result or {}).get("time_cost_seconds")
            if isinstance(seconds, (int, float)):
                self._durations.append(seconds)
        elif waiter.open:
            now = self._poller.clock()
            self._at(waiter, now + self._pause(waiter, now))

    def of_app(self, app_id: str) -> list[Waiter]:
        return [w for w in self._by_app.get(app_id, ()) if w.outcome is None]

    def fastest_pause(self, now: float) -> float:
        """Return the seconds until the most impatient wait wants to know."""
        return min(
            (_pause(waiter, now) for group in (self._scouts, self._others) for waiter in group),
            default=1.0,
        )

    def hint(self, waiter: Waiter) -> None:
        """Look at once: the wait's action is likely to have ended."""
        now = self._poller.clock()
        waiter.hinted_at = now
        if not waiter.looking:  # else `looked` comes back to it
            self._poller.queue.at(waiter, now, Priority.HINT)

    def spare_first_looks(self) -> None:
        """Put off the first look at what the first list shows to be running."""
        now = self._poller.clock()
        for waiter in self._others:
            if waiter.tracker.last is None and self._hints.shows_running(waiter.app_id):
                self._at(waiter, now + self._pause(waiter, now))

    def reschedule(self) -> None:
        """Plan all looks anew, since hints are relied on from now on, or not any more."""
        now = self._poller.clock()
        for waiter in self._others:
            self._at(waiter, now + self._pause(waiter, now))

    def _sooner(self, waiter: Waiter) -> None:
        """Plan the next look by what holds now, if what is planned is later."""
        now = self._poller.clock()
        due = now + self._pause(waiter, now)
        if due < waiter.due:
            self._at(waiter, due)

    def _pause(self, waiter: Waiter, now: float) -> float:
        if waiter in self._scouts and self._hints.on:
            return self._poller.spare(_pause(waiter, now), SCOUTS_SHARE / SCOUTS, longest=60.0)
        if waiter.tracker.last_error:
            return _pause(waiter, now)
        if not self._hints.relied_on:
            return _pause(waiter, now)
        if waiter.hinted_at is not None and now - waiter.hinted_at < HINTED.first:
            # The app changed and the action still ran: the end is likely to be near.
            return waiter.cadence.pause(now - waiter.hinted_at)
        return HINTED.pause(now - waiter.tracker.started)

    def _likely_seconds(self, waiter: Waiter) -> float | None:
        """Return what an action takes, if there are too few looks to find it out by looking."""
        if self._hints.relied_on or waiter in self._scouts or not self._durations:
            return None
        if len(self) / waiter.cadence.longest <= self._poller.budget.pace:
            return None
        ordered = sorted(self._durations)
        return ordered[int(LIKELY_DURATION * (len(ordered) - 1))]

    def _at(self, waiter: Waiter, due: float) -> None:
        now = self._poller.clock()
        if waiter.hinted_at is not None and waiter.hinted_at >= waiter.looked_at:
            # A hint that no look has followed yet: nothing may put it off.
            return self._poller.queue.at(waiter, now, Priority.HINT)
        at_most = Priority.SCOUT if waiter in self._scouts else Priority.TURN
        likely = self._likely_seconds(waiter)
        if likely is not None and due < waiter.tracker.started + 1.5 * likely:
            # Just then, and if it is not over, a little later.
            due = max(due + likely * LATER_SHARE, waiter.tracker.started + likely)
            at_most = Priority.HINT
        due, priority = waiter.next_due(now, due - now)
        return self._poller.queue.at(waiter, due, min(priority, at_most))


class _Hints(Job):
    """The list of apps, asked for hints that an action has ended."""

    def __init__(self, poller: Poller, actions: _Actions) -> None:
        self._poller = poller
        self._actions = actions
        self._entries: dict[str, Mapping[str, Any]] = {}
        self._trust = 0
        # Apps of which an action ended without a hint, and for how many lists the hint is awaited.
        self._awaited: dict[str, int] = {}
        self.on = False
        self.seen = False

    @property
    def relied_on(self) -> bool:
        """Whether ends are expected to show in the list."""
        return self.on and self._trust >= 0

    def start(self, now: float) -> None:
        self.on = True
        self._poller.queue.at(self, now, Priority.LIST)

    def stop(self) -> None:
        self.on = self.seen = False
        self._poller.queue.drop(self)
        self._entries.clear()
        self._awaited.clear()

    def shows_running(self, app_id: str | None) -> bool:
        """Whether the list shows that something still runs on the app."""
        entry = self._entries.get(app_id or "")
        return entry is not None and AppState.parse(entry.get("state")) in APP_TRANSITIONAL

    def ended(self, waiter: Waiter) -> None:
        """Take in that an action was seen to have ended."""
        if not self.on or waiter.app_id is None:
            return
        if waiter.hinted_at is not None:
            self._learn(+1)
        else:
            self._awaited.setdefault(waiter.app_id, 3)

    async def look(self) -> None:
        try:
            items = await self._poller.ask(protocol.unparsed(protocol.list_apps()))
        except DaoCloudError:
            pass  # a hint that stays away: the actions themselves are asked anyway
        else:
            self._compare(items)
        if self.on:
            now = self._poller.clock()
            pause = self._poller.spare(self._actions.fastest_pause(now), HINTS_SHARE)
            if not self.relied_on:
                pause = max(pause, HINTED.first)
            self._poller.queue.at(self, now + pause, Priority.LIST)

    def _compare(self, items: Iterable[Mapping[str, Any]]) -> None:
        first, self.seen = not self.seen, True
        awaited, changed = self._awaited, set()
        entries: dict[str, Mapping[str, Any]] = {}
        for item in items:
            app_id = str(item.get("id"))
            entries[app_id] = item
            if not first and item != self._entries.get(app_id):
                changed.add(app_id)
        self._entries = entries
        for app_id in changed:
            if awaited.pop(app_id, None) is not None:
                self._learn(+1)
            if not self.shows_running(app_id):
                for waiter in self._actions.of_app(app_id):
                    self._actions.hint(waiter)
        for app_id in list(awaited):
            awaited[app_id] -= 1
            if awaited[app_id] <= 0:
                del awaited[app_id]
                self._learn(-1)
        if first:
            self._actions.spare_first_looks()

    def _learn(self, step: int) -> None:
        before = self.relied_on
        self._trust = max(-MOST_TRUST, min(MOST_TRUST, self._trust + step))
        if self.relied_on != before:
            self._actions.reschedule()


def _pause(waiter: Waiter, now: float) -> float:
    return waiter.tracker.pause(now, waiter.cadence)
