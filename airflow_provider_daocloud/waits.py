"""What each wait observes, and when it has succeeded, failed or goes on: pure, and one for all.

A *wait* is a small value that says which call shows the thing and how to judge what is seen.
Blocking in a worker (`block`), a sensor's poke, and the trigger in the triggerer are ways to run
the same judgement; a `Tracker` holds what they have in common between two looks. How a wait ended
is an `Outcome`, JSON-safe, so that it means the same wherever the wait ran.

Three endings without success are never mixed up: *failed* (DaoCloud says so), *unknown* (DaoCloud
could not be read for too long) and *timeout* (it still goes on).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Protocol, TypeVar

from airflow_provider_daocloud.api import protocol
from airflow_provider_daocloud.api.errors import (
    ActionFailedError,
    AppStateError,
    AuthenticationError,
    BuildFailedError,
    CallError,
    CouldNotFindOutError,
    DaoCloudError,
    InputError,
    NotFoundError,
    RateLimitedError,
    RefusedError,
    ServerFaultError,
    WaitError,
    WaitTimeoutError,
)
from airflow_provider_daocloud.api.models import (
    BUILD_ACTIVE,
    BUILD_FAILED,
    Action,
    ActionState,
    App,
    AppState,
    Build,
    BuildFlow,
    BuildStatus,
    State,
)
from airflow_provider_daocloud.arguments import (
    DEFAULT_MAX_OUTAGE,
    FIRST_INTERVAL,
    INTERVAL_SHARE,
)

# Seconds in which a 404 for what was just posted is taken for a read replica that lags behind.
NOT_FOUND_GRACE = 10.0
# Seconds in a row for which a 401, 403 or 404 may answer what could be read before. A gateway that
# restarts or a firewall's false alarm passes in this time; a revoked token or a deleted app stays.
REFUSAL_GRACE = 60.0
# The refusals by which DaoCloud tells that the token, the right or the thing is gone.
GONE = (401, 403, 404)
# For how long the final poll, at the deadline, is awaited, in seconds.
FINAL_POLL = 15.0

Memory = dict[str, Any]
S = TypeVar("S", bound=State)
T = TypeVar("T")


@dataclass(frozen=True)
class Look:
    """What one look showed.

    :param verdict: whether the wait goes on, has succeeded or has failed.
    :param state: the state that was seen, in DaoCloud's words.
    :param result: the thing as JSON-safe data.
    :param problem: why it failed, in words.
    :param note: something that a person should know, though the wait goes on.
    :param seen: the object that the call returned.
    """

    verdict: Literal["ongoing", "succeeded", "failed"]
    state: str
    result: dict[str, Any]
    problem: str = ""
    note: str = ""
    seen: Any = field(default=None, repr=False, compare=False)


class Wait(Protocol):
    """What to observe, and how to judge what is seen."""

    kind: ClassVar[str]
    failure: ClassVar[type[WaitError]]
    # Whether it was just posted, so that a read replica may lag behind and answer 404 at first.
    lags: ClassVar[bool]

    def call(self) -> protocol.Call[Any]:
        """Return the call that shows the thing."""

    def judge(self, seen: Any, memory: Memory) -> Look:
        """Judge what the call returned. ``memory`` is JSON-safe and lasts as long as the wait."""


@dataclass(frozen=True)
class ActionWait:
    """Wait until an action has succeeded.

    :param app_id: the app.
    :param action_id: the action, as its POST returned it.
    """

    app_id: str
    action_id: str

    kind: ClassVar[str] = "action"
    failure: ClassVar[type[WaitError]] = ActionFailedError
    lags: ClassVar[bool] = True

    def call(self) -> protocol.Call[Action]:
        """``GET /v1/apps/{app_id}/actions/{action_id}``."""
        return protocol.get_action(self.app_id, self.action_id)

    def judge(self, seen: Action, memory: Memory) -> Look:  # noqa: ARG002 - nothing to remember
        """SUCCESS succeeds, FAILED fails with DaoCloud's message, everything else goes on."""
        return _judge_action(seen, {"action_id": self.action_id, "app_id": self.app_id})

    def __str__(self) -> str:
        return f"action {self.action_id} of app {self.app_id}"


@dataclass(frozen=True)
class StackActionWait:
    """Wait until an action on a stack has succeeded.

    :param stack_id: the stack.
    :param action_id: the action, as its POST returned it.
    """

    stack_id: str
    action_id: str

    kind: ClassVar[str] = "stack_action"
    failure: ClassVar[type[WaitError]] = ActionFailedError
    lags: ClassVar[bool] = True

    def call(self) -> protocol.Call[Action]:
        """``GET /v1/stacks/{stack_id}/actions/{action_id}``."""
        return protocol.get_stack_action(self.stack_id, self.action_id)

    def judge(self, seen: Action, memory: Memory) -> Look:  # noqa: ARG002 - nothing to remember
        """As the actions on apps: SUCCESS succeeds, FAILED fails, everything else goes on."""
        return _judge_action(seen, {"action_id": self.action_id, "stack_id": self.stack_id})

    def __str__(self) -> str:
        return f"action {self.action_id} of stack {self.stack_id}"


def _judge_action(seen: Action, asked: dict[str, Any]) -> Look:
    result = seen.as_dict() | asked
    if seen.state is ActionState.SUCCESS:
        return Look("succeeded", seen.state_text, result)
    if seen.state is ActionState.FAILED:
        said = f"DaoCloud says: {seen.error_message}" if seen.error_message else "no message."
        return Look("failed", seen.state_text, result, problem=f"FAILED; {said}")
    return Look("ongoing", seen.state_text, result, note=_unknown(seen.state, seen.state_text))


@dataclass(frozen=True)
class AppWait:
    """Wait until an app shows a state and, if one is given, a release.

    :param app_id: the app.
    :param target_states: the states to wait for.
    :param release_name: the release that the app is to run; None for any.
    :param fail_states: states that end the wait as failed, unless they are what is waited for.
    """

    app_id: str
    target_states: tuple[AppState, ...] = (AppState.RUNNING,)
    release_name: str | None = None
    fail_states: tuple[AppState, ...] = ()

    kind: ClassVar[str] = "app"
    failure: ClassVar[type[WaitError]] = AppStateError
    lags: ClassVar[bool] = False

    @classmethod
    def of(
        cls,
        app_id: str,
        target_states: str | Iterable[str] = ("RUNNING",),
        release_name: str | None = None,
        fail_states: Iterable[str] = (),
        with_release: bool | None = None,
    ) -> AppWait:
        """Return the wait for what a user asked for.

        :param with_release: whether to wait for a release; if not given, whether there is a
            ``release_name``. A template that renders to nothing then is an error, and not any
            release.
        :raises InputError: an argument is unusable.
        """
        if release_name is not None or with_release:
            release_name = protocol.checked("release_name", release_name)
        failing = parse_states(fail_states, "fail_states") if fail_states else ()
        return cls(app_id, parse_states(target_states), release_name, failing)

    def call(self) -> protocol.Call[App]:
        """``GET /v1/apps/{app_id}``."""
        return protocol.get_app(self.app_id)

    def judge(self, seen: App, memory: Memory) -> Look:  # noqa: ARG002 - nothing to remember
        """Judge the app's state, and the release that it runs if one is waited for."""
        state, wanted = seen.state_text or "of no state", " or ".join(self.target_states)
        reached = seen.state in self.target_states
        if self.release_name is not None:
            state += f", release {seen.release_name}"
            wanted += f" with release {self.release_name}"
            reached = reached and seen.release_name == self.release_name
        result = seen.as_dict()
        if reached:
            return Look("succeeded", state, result)
        if seen.state in self.fail_states:
            return Look("failed", state, result, problem=f"it is {state}, and not {wanted}.")
        return Look("ongoing", state, result, note=_unknown(seen.state, seen.state_text))

    def __str__(self) -> str:
        return f"app {self.app_id}"


@dataclass(frozen=True)
class BuildFlowWait:
    """Wait until a build flow shows a status.

    A flow's status is that of its latest build, which can be yesterday's. With ``not_package_id``
    the wait is for a *new* build: Success counts only with another package, and any other status
    only once this wait has seen the flow building, or its status change since the first look.

    :param build_flow_id: the build flow.
    :param target_statuses: the statuses to wait for.
    :param not_package_id: the package that the flow had before the build that is waited for.
    """

    build_flow_id: str
    target_statuses: tuple[BuildStatus, ...] = (BuildStatus.SUCCESS,)
    not_package_id: str | None = None

    kind: ClassVar[str] = "build_flow"
    failure: ClassVar[type[WaitError]] = BuildFailedError
    lags: ClassVar[bool] = False

    @classmethod
    def of(
        cls,
        build_flow_id: str,
        target_statuses: str | Iterable[str] = ("Success",),
        not_package_id: str | None = None,
        new_build: bool | None = None,
    ) -> BuildFlowWait:
        """Return the wait for what a user asked for.

        :param new_build: whether to wait for a new build; if not given, whether there is a
            ``not_package_id``. With none (a template can render to None, "None" or ""), the flow
            had no package yet, and any is new.
        :raises InputError: an argument is unusable.
        """
        if not_package_id == "None" or (new_build and not_package_id is None):
            not_package_id = ""
        if not_package_id:
            not_package_id = protocol.checked("not_package_id", not_package_id)
        return cls(build_flow_id, parse_statuses(target_statuses), not_package_id)

    def call(self) -> protocol.Call[BuildFlow]:
        """``GET /v1/build-flows/{build_flow_id}``."""
        return protocol.get_build_flow(self.build_flow_id)

    def judge(self, seen: BuildFlow, memory: Memory) -> Look:
        """Judge the flow's status; see the class for what a new build means."""
        result = seen.as_dict()
        # The canonical word: another spelling of the same status is no change.
        now = [result["status"], seen.package_id or None]
        first = memory.setdefault("first", now)
        if seen.status in BUILD_ACTIVE or now != first:
            memory["moved"] = True
        fresh, note = True, _unknown(seen.status, seen.status_text)
        if self.not_package_id is not None:
            if seen.status is BuildStatus.SUCCESS:
                fresh = bool(seen.package_id) and seen.package_id != self.not_package_id
            else:
                fresh = bool(memory.get("moved"))
            if not fresh:
                note = f"this is still the build of before (package {seen.package_id})"
        if fresh and seen.status in self.target_statuses:
            return Look("succeeded", seen.status_text, result)
        if fresh and seen.status in BUILD_FAILED:
            return Look("failed", seen.status_text, result, problem=f"the build is {seen.status}.")
        return Look("ongoing", seen.status_text or "of no status", result, note=note)

    def __str__(self) -> str:
        new = "a new build of " if self.not_package_id is not None else ""
        return f"{new}build flow {self.build_flow_id}"


@dataclass(frozen=True)
class BuildWait:
    """Wait until one build has succeeded, whatever the builds before and after it do.

    :param build_flow_id: the build flow.
    :param build_id: the build, as its POST returned it.
    """

    build_flow_id: str
    build_id: str | int

    kind: ClassVar[str] = "build"
    failure: ClassVar[type[WaitError]] = BuildFailedError
    lags: ClassVar[bool] = True

    def call(self) -> protocol.Call[Build]:
        """``GET /v1/build-flows/{build_flow_id}/builds/{build_id}``."""
        return protocol.get_build(self.build_flow_id, self.build_id)

    def judge(self, seen: Build, memory: Memory) -> Look:  # noqa: ARG002 - nothing to remember
        """Success succeeds; `BUILD_FAILED` fails; everything else goes on."""
        result = seen.as_dict() | {"build_flow_id": self.build_flow_id}
        if seen.status is BuildStatus.SUCCESS:
            return Look("succeeded", seen.status_text, result)
        if seen.status in BUILD_FAILED:
            return Look("failed", seen.status_text, result, problem=f"the build is {seen.status}.")
        note = _unknown(seen.status, seen.status_text)
        return Look("ongoing", seen.status_text or "of no status", result, note=note)

    def __str__(self) -> str:
        return f"build {self.build_id} of build flow {self.build_flow_id}"


def parse_statuses(words: str | Iterable[str]) -> tuple[BuildStatus, ...]:
    """Return build statuses from their words, in any letter case.

    :raises InputError: there is none, or one is not a build status.
    """
    return _parsed("target_statuses", words, BuildStatus)


def parse_states(words: str | Iterable[str], field: str = "target_states") -> tuple[AppState, ...]:
    """Return states of apps from their words, in any letter case.

    :param field: the argument's name, for the error.
    :raises InputError: there is none, or one is not a state of an app.
    """
    return _parsed(field, words, AppState)


def _parsed(field: str, words: str | Iterable[str], kind: type[S]) -> tuple[S, ...]:
    names = [words] if isinstance(words, str) else list(words)
    known = [state for state in kind if state != "UNKNOWN"]
    found = tuple(kind.parse(name) for name in names)
    wrong = [name for name, state in zip(names, found, strict=True) if state not in known]
    if wrong or not found:
        raise InputError(field, f"must be of {', '.join(known)}, not {wrong or 'empty'}.")
    return found


@dataclass(frozen=True)
class Outcome:
    """How a wait ended: JSON-safe, so that it can be a trigger's event.

    :param kind: *succeeded*, *failed*, *unknown*, *timeout*, or *fatal* (no retry can mend it).
    :param result: the thing as it was last seen.
    :param message: what happened, unless it succeeded.
    :param limit: which of the task's settings set the time that is up.
    """

    kind: Literal["succeeded", "failed", "unknown", "timeout", "fatal"]
    result: dict[str, Any] | None = None
    message: str = ""
    limit: str = "timeout"

    KINDS: ClassVar[tuple[str, ...]] = ("succeeded", "failed", "unknown", "timeout", "fatal")

    @classmethod
    def of_look(cls, look: Look) -> Outcome:
        """Return the outcome of a wait whose only look this was."""
        if look.verdict == "succeeded":
            return cls("succeeded", look.result)
        return cls("unknown", look.result, f"it was taken to have succeeded, but is {look.state}")

    @classmethod
    def of_error(cls, error: DaoCloudError) -> Outcome:
        """Return the outcome that an error stands for."""
        observed = error.observed if isinstance(error, WaitError) else None
        if isinstance(error, WaitTimeoutError):
            return cls("timeout", observed, str(error))
        if isinstance(error, CouldNotFindOutError):
            return cls("unknown", observed, str(error))
        if isinstance(error, WaitError):
            return cls("failed", observed, str(error))
        return cls("fatal" if is_fatal(error) else "unknown", observed, str(error))

    def as_event(self) -> dict[str, Any]:
        """Return the payload of a trigger's event."""
        return {
            "outcome": self.kind,
            "result": self.result,
            "message": self.message,
            "limit": self.limit,
        }

    @classmethod
    def of_event(cls, event: object) -> Outcome:
        """Read a trigger's event.

        :raises InputError: it is missing, foreign, or of a kind that this version does not know:
            never taken for success.
        """
        if not isinstance(event, Mapping):
            raise InputError("event", f"the trigger's event is missing or foreign: {event!r:.200}")
        kind, result, message = (event.get(key) for key in ("outcome", "result", "message"))
        if kind not in cls.KINDS:
            raise InputError("event", f"the trigger's event is of an unknown kind: {kind!r:.200}")
        if not isinstance(result, dict) and (result is not None or kind == "succeeded"):
            raise InputError("event", f"the trigger's event has no usable result: {result!r:.200}")
        return cls(kind, result, str(message or ""), str(event.get("limit") or "timeout"))


def is_fatal(error: DaoCloudError) -> bool:
    """Whether no retry can mend it: a bad argument, a wrong token, an unknown thing, a refusal."""
    return isinstance(error, (InputError, AuthenticationError, NotFoundError, RefusedError))


def refusal_grace(error: CallError, *, read: bool, max_outage: float) -> float | None:
    """Return for how many seconds in a row an error may come before it is permanent.

    This is the one rule for everything that reads, in every mode:

    =================================  ======================  =====================================
    error                              nothing was read yet    something was read with this token
    =================================  ======================  =====================================
    a fault, a web page, a 407         an outage               an outage
    401, 403, 404                      permanent at once       permanent after `REFUSAL_GRACE`
    any other refusal (3xx, 4xx)       permanent at once       an outage
    =================================  ======================  =====================================

    :param error: how an attempt to read ended.
    :param read: whether anything was read with this token in this wait, in whichever process.
    :param max_outage: seconds for which DaoCloud may be unreadable.
    :return: None for an outage: it never becomes permanent, and ``max_outage`` bounds it.
    """
    if not is_fatal(error):
        return None
    if not read:
        return 0.0
    return min(REFUSAL_GRACE, max_outage) if error.status in GONE else None


def is_permanent(error: CallError, memory: Memory, now: float, max_outage: float) -> bool:
    """Whether an error is final by `refusal_grace`, given the errors before it.

    :param error: how an attempt to read ended.
    :param memory: whether something was read, and since when which refusal comes; kept up to date.
    :param now: seconds since the epoch.
    :param max_outage: seconds for which DaoCloud may be unreadable.
    """
    grace = refusal_grace(error, read=bool(memory.get("read")), max_outage=max_outage)
    refused = memory.pop("refused", None)
    if grace is None:
        return False
    # Another answer in between, be it another refusal, shows that this one does not stay.
    same = refused is not None and refused[0] == error.status
    memory["refused"] = refused = refused if same else [error.status, now]
    return bool(now - refused[1] >= grace)


def read(
    call: protocol.Call[T],
    send: Callable[[float], T],
    *,
    patience: float,
    read_before: bool,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Read once, outside of any wait, and survive the same refusals as a wait does.

    :param call: what is read.
    :param send: sends the call, and retries faults that pass for the given seconds.
    :param patience: seconds for which it may be tried in all.
    :param read_before: whether anything was read with this token before.
    :raises CallError: the last one.
    """
    began = clock()
    memory: Memory = {"read": read_before}
    cadence = Cadence(longest=10.0)
    while True:
        try:
            return send(max(began + patience - clock(), 0.0))
        except CallError as e:
            now = clock()
            if not is_fatal(e) or is_permanent(e, memory, now, patience):
                raise
            left = began + patience - now
            if left <= 0:
                problem = (
                    f"refused for {patience:.0f} s, though it could be read before: {e.problem}"
                )
                raise ServerFaultError(
                    str(call), problem, status=e.status, error_id=e.error_id, message=e.message
                ) from e
        sleep(min(cadence.pause(now - began), left))


@dataclass(frozen=True)
class Cadence:
    """How far the looks of a wait are apart: quick at first, then growing with the time waited.

    :param longest: the longest pause, in seconds.
    :param first: the first pause, in seconds.
    :param share: a pause is at most this part of the time waited so far, so that an end is seen
        late by that part at most.
    """

    longest: float
    first: float = FIRST_INTERVAL
    share: float = INTERVAL_SHARE

    def pause(self, elapsed: float) -> float:
        """Return the seconds until the next look, with some jitter so that waits do not march.

        :param elapsed: seconds waited so far.
        """
        grown = min(max(self.first, elapsed * self.share), self.longest)
        return grown * random.uniform(0.9, 1.0)  # noqa: S311 - jitter is no secret


@dataclass
class Tracker:
    """What a wait needs to keep between two looks, whoever does the looking.

    :param wait: what is waited for.
    :param started: when the wait began, in seconds since the epoch.
    :param max_outage: seconds for which DaoCloud may be unreadable; 0 gives up at the first fault.
    :param memory: what an earlier process of the same wait remembered; JSON-safe, kept up to date.
        With ``{"read": True}`` something was read with this token before the wait began.
    """

    wait: Wait
    started: float
    max_outage: float = DEFAULT_MAX_OUTAGE
    memory: Memory = field(default_factory=dict)
    last: Look | None = None
    last_error: CallError | None = None

    def saw(self, seen: Any) -> Look:
        """Judge what a look showed.

        :raises WaitError: the wait's own failure, with DaoCloud's words.
        """
        look = replace(self.wait.judge(seen, self.memory), seen=seen)
        self.memory |= {"read": True, "seen": True}
        self.memory.pop("outage_since", None)
        self.memory.pop("refused", None)
        self.last, self.last_error = look, None
        if look.verdict == "failed":
            raise self.wait.failure(f"{self.wait}: {look.problem}", look.result)
        return look

    def missed(self, error: CallError, now: float) -> None:
        """Take a look that failed: return if the wait goes on all the same.

        :param error: why the look failed.
        :param now: seconds since the epoch.
        :raises CallError: the error itself, when looking again cannot help.
        :raises CouldNotFindOutError: DaoCloud has been unreadable for longer than allowed.
        """
        self.last_error = error
        if isinstance(error, NotFoundError):
            # Once seen, a thing is known to exist; before that, a replica may lag behind the POST.
            fresh = now - self.started <= NOT_FOUND_GRACE
            if self.wait.lags and not self.memory.get("seen") and fresh:
                return
        if is_permanent(error, self.memory, now, self.max_outage):
            raise error
        if isinstance(error, RateLimitedError):
            # The service is well and says when to come back: that is no outage, and ends one.
            self.memory.pop("outage_since", None)
            return
        since = self.memory.setdefault("outage_since", now)
        if now - since >= self.max_outage:
            raise CouldNotFindOutError(
                f"{self.wait}: could not find out how it went: DaoCloud has been unreadable for "
                f"{now - since:.0f} s (max_outage {self.max_outage:.0f} s). Last error: {error}",
                self.last.result if self.last else None,
            )

    def timed_out(self, timeout: float) -> WaitTimeoutError:
        """Return the error for a wait whose time is up, with what was seen last."""
        state = f"is {self.last.state}" if self.last else "was never seen"
        text = f"{self.wait}: time is up after {round(timeout, 1):.10g} s, and it {state}."
        if self.last and self.last.note:
            text += f" Note: {self.last.note}."
        if self.last_error:
            text += f" Last error: {self.last_error}"
        return WaitTimeoutError(text, self.last.result if self.last else None)

    def pause(self, now: float, cadence: Cadence) -> float:
        """Return the seconds until the next look: the cadence, and not before the server said.

        :param now: seconds since the epoch.
        :param cadence: how far the looks are apart.
        """
        pause = cadence.pause(now - self.started)
        if self.last_error is not None and self.last_error.retry_at is not None:
            jitter = random.random()  # noqa: S311 - jitter is no secret
            pause = max(pause, self.last_error.retry_at - now + 0.5 + jitter)
        if "outage_since" in self.memory:
            # However long the server asks for: a last look when the outage's budget is spent.
            left = self.memory["outage_since"] + self.max_outage - now
            if "refused" in self.memory:
                left = min(left, self.memory["refused"][1] + REFUSAL_GRACE - now)
            pause = min(pause, max(left, FIRST_INTERVAL))
        return pause


class WaitLog:
    """Tells of a wait in few lines: every change, and else ever more seldom as the wait grows.

    :param log: a function that logs one line, such as ``self.log.info``.
    """

    def __init__(self, log: Callable[..., None]) -> None:
        self._log = log
        self._told = ""
        self._next = 10.0

    def due(self, tracker: Tracker) -> float:
        """Return when it is time to tell of the wait again, though nothing changed."""
        return tracker.started + self._next

    def look(self, tracker: Tracker, now: float, pause: float | None = None) -> None:
        """Tell of the last look, if there is something new or it is time to.

        :param tracker: the wait.
        :param now: seconds since the epoch.
        :param pause: seconds until the next look, if there is one.
        """
        if tracker.last_error is not None:
            error = tracker.last_error
            saying = f"cannot be read ({error})"
            # Its text can have a detail, such as an id of its own, that is new at every look.
            news = f"{type(error).__name__} {error.status}"
        elif tracker.last is not None:
            note = f" ({tracker.last.note})" if tracker.last.note else ""
            news = saying = f"is {tracker.last.state}{note}"
        else:
            # Not looked at yet: nothing to tell, and nothing to come back for soon.
            self._next = max(self._next, now - tracker.started + 10)
            return
        elapsed = now - tracker.started
        if news == self._told and elapsed < self._next:
            return
        self._told = news
        self._next = max(elapsed * 1.5, elapsed + 10)
        next_look = "" if pause is None else f"; next look in {pause:.0f} s"
        self._log("%s %s after %.0f s%s", tracker.wait, saying, elapsed, next_look)


class Send(Protocol):
    """Sends a call once, and returns its object within some seconds, or raises CallError."""

    def __call__(self, call: protocol.Call[Any], *, within: float) -> Any:
        """Send it."""


def time_left(deadline: float, now: float) -> float:
    """Return the seconds in which a poll must end: it may outlast the deadline as the final one.

    :param deadline: when the time of the wait is up.
    :param now: by the same clock.
    """
    return max(deadline - now, 0.0) + FINAL_POLL


def block(
    wait: Wait,
    send: Send,
    *,
    timeout: float,
    poll_interval: float,
    max_outage: float = DEFAULT_MAX_OUTAGE,
    memory: Memory | None = None,
    log: Callable[..., None],
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Look:
    """Wait in this thread until it has succeeded, and return the last look.

    :param wait: what to wait for.
    :param send: sends a call once and returns its object, within the seconds that it is given.
    :param timeout: seconds until the wait gives up; a last look is taken then.
    :param poll_interval: the longest time between two looks, in seconds; the first come sooner.
    :param max_outage: seconds for which DaoCloud may be unreadable.
    :param memory: what was seen of it before.
    :param log: logs one line.
    :raises WaitError: it failed, could not be read for too long, or the time is up.
    :raises CallError: looking again cannot help: no such thing, a refusal, a wrong token.
    """
    tracker = Tracker(wait, clock(), max_outage, dict(memory or {}))
    deadline = tracker.started + timeout
    cadence = Cadence(poll_interval)
    wait_log = WaitLog(log)
    while True:
        try:
            look = tracker.saw(send(wait.call(), within=time_left(deadline, clock())))
        except CallError as e:
            tracker.missed(e, clock())
        else:
            if look.verdict == "succeeded":
                wait_log.look(tracker, clock())
                return look
        now = clock()
        if now >= deadline:
            raise tracker.timed_out(timeout)
        pause = min(tracker.pause(now, cadence), deadline - now)
        wait_log.look(tracker, now, pause)
        sleep(pause)


def _unknown(state: State, text: str) -> str:
    return f"{text!r} is a state that this provider does not know" if state == "UNKNOWN" else ""
