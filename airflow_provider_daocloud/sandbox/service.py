"""The contract with its faults, counts and log; still without a socket.

:meth:`Service.serve` is a generator of steps. The server takes them over a real connection with
real pauses; :meth:`Service.call` takes them at once, for tests on an injected clock.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from airflow_provider_daocloud.sandbox import contract
from airflow_provider_daocloud.sandbox.contract import Request, Response, Route
from airflow_provider_daocloud.sandbox.faults import Fault, Faults
from airflow_provider_daocloud.sandbox.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from airflow_provider_daocloud.sandbox.timeline import Timeline

LOG_LENGTH = 100_000


@dataclass(frozen=True)
class Wait:
    """Step: let ``seconds`` pass."""

    seconds: float


@dataclass
class Held:
    """Step: wait until :meth:`release`. It is also how a test sees a call that is held.

    :param effect: whether it is held before or after the call's effect.
    """

    id: int
    call: str
    params: dict[str, str]
    effect: str
    released: bool = False
    drop: bool = False
    _listeners: list[Callable[[], object]] = field(default_factory=list, repr=False)

    def release(self, *, drop: bool = False) -> None:
        """Let the call continue, or ``drop`` its connection (before the effect: with none)."""
        self.released, self.drop = True, drop
        for listener in self._listeners:
            listener()

    def when_released(self, listener: Callable[[], object]) -> None:
        """Call ``listener`` upon release, from whichever thread releases."""
        self._listeners.append(listener)
        if self.released:
            listener()


@dataclass(frozen=True)
class Break:
    """Last step: break the connection.

    :param reset: by a reset rather than an orderly close.
    :param halfway: send half of this answer first.
    """

    reset: bool = False
    halfway: Response | None = None


Step = Wait | Held | Break | Response


@dataclass(frozen=True)
class Served:
    """One line of the log.

    :param at: when, in Unix seconds of the world's clock.
    :param call: the call's name, ``unknown`` or ``wrong_method``.
    :param status: of the answer; ``None`` if there was none.
    :param acted: whether it had an effect.
    :param fault: the kind of the fault that it ran into.
    :param action_id: the action (or the build) that it started.
    """

    at: float
    method: str
    path: str
    call: str
    params: dict[str, str]
    account: str
    status: int | None
    acted: bool
    fault: str | None
    action_id: str | None
    note: str


class ConnectionBrokenError(Exception):
    """In-process, what a client would see as a broken connection."""


class StillHeldError(Exception):
    """In-process, nobody is there to release an answer that is held."""


class Named(Protocol):
    """Whose call it is: the name under which it is counted."""

    @property
    def name(self) -> str:
        """The account's name; counts and logs never show a token."""


class AnyWorld(Protocol):
    """What a service needs of the world behind it."""

    @property
    def timeline(self) -> Timeline:
        """The world's clock and its schedule."""

    @property
    def options(self) -> Any:
        """How the world behaves where its contract leaves it open: a dataclass."""

    def set_options(self, **changes: Any) -> Any:
        """Change how the world behaves from now on."""


WorldT = TypeVar("WorldT", bound=AnyWorld)


class Contract(Protocol):
    """How one API answers. A module with these names is one; see :mod:`.contract`."""

    CALL_NAMES: tuple[str, ...]

    def route(self, prefix: str, method: str, path: str) -> Route:
        """Return which call a method and a path (still percent-encoded) are."""

    def account_of(self, world: Any, request: Request) -> Named:
        """Return whose request it is."""

    def handle(self, world: Any, request: Request, prefix: str) -> Response:
        """Answer one request."""

    def plain(self, world: Any, account: Any) -> Response:
        """Return an empty JSON object with the headers of every answer, without any effect."""

    def error_body(self, error_id: str, message: str) -> bytes:
        """Return the body of an error."""


class BaseService(Generic[WorldT]):
    """A world behind its contract.

    :param make_world: makes the world, at first and at each reset.
    :param prefix: the path under which the calls are.
    :param on_served: called with each call when it is answered.
    """

    contract: Contract

    def __init__(
        self,
        make_world: Callable[[], WorldT],
        *,
        prefix: str = "/v1",
        on_served: Callable[[Served], None] | None = None,
    ) -> None:
        self.prefix = prefix
        self.on_served = on_served
        self.changed = threading.Condition(threading.RLock())
        self._make_world = make_world
        self._start()

    def _start(self) -> None:
        self.world = self._make_world()
        self.faults = Faults(self.contract.CALL_NAMES)
        self.counts: Counter[str] = Counter()
        self.counts_by_account: dict[str, Counter[str]] = {}
        self.effects: Counter[str] = Counter()
        self.log: deque[Served] = deque(maxlen=LOG_LENGTH)
        self.connections = 0
        self.held: dict[int, Held] = {}
        self._held_ids = count(1)

    def reset(self) -> None:
        """Begin again: a fresh world, no faults, counts at zero. What is held is dropped."""
        with self.changed:
            self.release(drop=True)
            self._start()
            self.changed.notify_all()

    def add_fault(self, fault: Fault) -> int:
        """Switch a fault on; return its number."""
        with self.changed:
            return self.faults.add(fault, self.world.timeline.now())

    def remove_fault(self, fault_id: int) -> None:
        """Switch a fault off."""
        with self.changed:
            self.faults.remove(fault_id)

    def clear_faults(self) -> None:
        """Switch all faults off and let go what is held."""
        with self.changed:
            self.faults.clear()
            self.release()

    def release(self, held_id: int | None = None, *, drop: bool = False) -> int:
        """Let held answers go, all or one; return how many there were.

        :param held_id: the one to let go; all if not given.
        :param drop: end their connections instead. A call held before its effect then has none.
        """
        with self.changed:
            chosen = [h for h in self.held.values() if held_id in (None, h.id)]
            for held in chosen:
                del self.held[held.id]
                held.release(drop=drop)
            return len(chosen)

    def serve(self, request: Request) -> Iterator[Step]:
        """Serve one request, step by step. The last step is an answer or a break."""
        with self.changed:
            # Kept to the end: a reset meanwhile must not find this call in its fresh counts.
            world, effects, log = self.world, self.effects, self.log
            found = self.contract.route(self.prefix, request.method, request.path)
            account = self.contract.account_of(world, request)
            params = dict(found.params)
            self.counts[found.call] += 1
            self.counts_by_account.setdefault(account.name, Counter())[found.call] += 1
            now = world.timeline.now()
            fault = self.faults.take(found.call, request.method, params, account.name, now)
            self.changed.notify_all()

        def logged(last: Response | Break, made: Response | None) -> Response | Break:
            # Written before the answer goes out: who has the answer finds it in the log.
            with self.changed:
                served = Served(
                    at=world.timeline.now(),
                    method=request.method,
                    path=request.path,
                    call=found.call,
                    params=params,
                    account=account.name,
                    status=last.status if isinstance(last, Response) else None,
                    acted=made is not None and made.acted,
                    fault=fault.kind if fault else None,
                    action_id=made.action_id if made else None,
                    note=made.note if made else "no effect",
                )
                log.append(served)
                self.changed.notify_all()
            if self.on_served is not None:
                self.on_served(served)
            return last

        if fault is not None and fault.effect == "before":
            last = yield from self._run_into(fault, found, world, account, None)
            if last is not None:
                yield logged(last, None)
                return
        made = self.contract.handle(world, request, self.prefix)
        if made.acted:
            with self.changed:
                effects[found.call] += 1
                self.changed.notify_all()
        if fault is not None and fault.effect == "after":
            last = yield from self._run_into(fault, found, world, account, made)
            if last is not None:
                yield logged(last, made)
                return
        yield logged(made, made)

    def _run_into(
        self,
        fault: Fault,
        found: Route,
        world: WorldT,
        account: Named,
        made: Response | None,
    ) -> Generator[Step, None, Response | Break | None]:
        """Do what a fault does; return what the call ends with, or ``None`` if it continues."""
        if fault.delay:
            yield Wait(fault.delay)
        if fault.kind == "delay":
            return None
        if fault.kind == "hold":
            held = self._hold(found, "before" if made is None else "after")
            yield held
            with self.changed:
                self.held.pop(held.id, None)  # the server stopped, and nobody has released it
            return Break() if held.drop else None
        if fault.kind in ("drop", "reset"):
            return Break(reset=fault.kind == "reset")
        if made is None:
            with world.timeline.up_to_date():
                made = self.contract.plain(world, account)
        if fault.kind == "cut":
            return Break(reset=True, halfway=made)
        return fault.spoil(made, world.timeline.now(), self.contract.error_body)

    def _hold(self, found: Route, effect: str) -> Held:
        with self.changed:
            held = Held(next(self._held_ids), found.call, dict(found.params), effect)
            self.held[held.id] = held
            self.changed.notify_all()
            return held

    def call(self, request: Request, *, pause: Callable[[float], None] | None = None) -> Response:
        """Serve one request in-process.

        :param request: what is asked.
        :param pause: what to do to let seconds pass; by default the world's clock is moved ahead.
        :return: the answer.
        :raises ConnectionBrokenError: the connection would have been broken.
        :raises StillHeldError: the call is held, where nobody can release it.
        """
        for step in self.serve(request):
            if isinstance(step, Response):
                return step
            if isinstance(step, Wait):
                (pause or self.world.timeline.advance)(step.seconds)
            elif isinstance(step, Held):
                del self.held[step.id]
                raise StillHeldError(f"{step.call} is held {step.effect} its effect")
            else:
                raise ConnectionBrokenError("reset" if step.reset else "closed without an answer")
        raise AssertionError("a call ends in an answer or a break")

    def wait_for(self, seen: Callable[[], bool], timeout: float = 10.0) -> None:
        """Wait until ``seen()`` is true.

        :param seen: called again whenever a call is served or held.
        :param timeout: in real seconds.
        :raises TimeoutError: it did not become true.
        """
        with self.changed:
            if not self.changed.wait_for(seen, timeout):
                raise TimeoutError(f"not seen within {timeout} s")


class Service(BaseService[World]):
    """The service of the Open API."""

    contract: Contract = contract
