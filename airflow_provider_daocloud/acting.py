"""How an action is asked of DaoCloud once, and only once, whatever breaks on the way.

`Act.begin` looks at what earlier tries left in the journal and decides: join the action that runs,
return what is settled already, find out what became of a POST that nobody saw answered, or post.
What it acts on is a `Target`, which knows what a look at it proves.
What it decides, and on what evidence, is one line of the log and stands in the result.

Where the evidence does not suffice there is at most one action, and an honest word:
`OutcomeUnknownError` with what a person should look at. It is never resolved by posting again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, TypeVar

from airflow_provider_daocloud.api.errors import (
    AppBusyError,
    CallError,
    DaoCloudError,
    InputError,
    NotFoundError,
    OutcomeUnknownError,
    ProtocolError,
    RefusedError,
)
from airflow_provider_daocloud.api.models import parse_date
from airflow_provider_daocloud.api.protocol import Call
from airflow_provider_daocloud.arguments import DEFAULT_SETTLE, IfBusy, OnAmbiguous
from airflow_provider_daocloud.journal import Asked, Before, Course, Entry, Journal, Wish
from airflow_provider_daocloud.targets import Target
from airflow_provider_daocloud.waits import Cadence, Wait

T = TypeVar("T")


# While it is found out, the looks at the thing are this many seconds apart.
LOOK_EVERY = 2.0
# What is waited for longer than that is asked for ever more seldom.
CADENCE = Cadence(longest=30.0, first=LOOK_EVERY)
# The status taken for: another action runs on it. Nothing documents one.
CONFLICT = 409


@dataclass(frozen=True)
class Running:
    """The action was accepted: wait for it by its id (that of the build, if one was started)."""

    action_id: str
    joined: bool = False


@dataclass(frozen=True)
class Joined:
    """Nothing was posted, because somebody else's runs already: wait until that has ended."""

    before: Before


@dataclass(frozen=True)
class Done:
    """It is over, and this is what the task returns."""

    result: dict[str, Any]


@dataclass
class Act:
    """One wish for an action.

    :param call: the call that posts the action.
    :param target: what it acts on.
    :param wait_for: returns the wait for an action by its id.
    :param journal: what earlier tries left, and what this one does.
    :param wish: this try.
    :param send: sends a call, retrying what may be retried.
    :param log: logs one line.
    :param on_ambiguous: what to do about a POST that may or may not have arrived.
    :param if_busy: what to do if another action runs on it; ``join`` posts nothing then.
    :param settle: seconds for which it is watched before a POST is taken never to have arrived.
    :param timeout: seconds for which it is waited for in all.
    :param needs_id: whether an action without an id is of no use.
    :param skip_if_current: leave it alone if it is already as the action would leave it.
    :param course: how far a wish is that can take more than one action.
    :param run_seconds: on Airflow without a journal, for a retry: how many seconds ago the DAG run
        began; else None.
    :param server_time: returns the server's clock as of its last answer, in seconds since the
        epoch, or None. Server values are compared with server values, never with our clock.
    :param stopped: whether Airflow has told the task to end: then nothing is posted any more.
    """

    call: Call[Any]
    target: Target
    wait_for: Callable[[str], Wait]
    journal: Journal
    wish: Wish
    send: Callable[[Call[Any]], Any]
    log: Callable[..., None]
    on_ambiguous: OnAmbiguous = "verify"
    if_busy: IfBusy | Literal["join"] = "wait"
    settle: float = DEFAULT_SETTLE
    timeout: float = 3600.0
    needs_id: bool = False
    skip_if_current: bool = False
    course: Course = field(default_factory=Course)
    run_seconds: float | None = None
    server_time: Callable[[], float | None] = lambda: None
    stopped: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    asked: Asked = field(init=False)

    def __post_init__(self) -> None:
        """Note what is asked, and since when."""
        self.asked = Asked.of(self.call, self.target.id)
        self._began = self.clock()
        # The thing before a POST that was taken never to have arrived. If it did arrive, the thing
        # will differ from this after all.
        self._doubted: Before | None = None

    def begin(self) -> Running | Joined | Done:
        """Join, recall, find out or post: whatever makes it one action for one wish.

        :raises OutcomeUnknownError: it may have been posted, and nobody can tell what became of it.
        :raises AppBusyError: another action runs on it.
        :raises JournalError: the journal cannot be used; nothing was posted.
        :raises CallError: DaoCloud refused it, or could not be reached; nothing was posted.
        """
        entry = self.journal.read()
        if entry is not None and entry.course.failure and entry.is_of(self.wish) is None:
            # A retry rolls back, or did; a new wish deploys: no step is right for both.
            raise self._cannot_tell("the release that failed is not to be deployed again", entry)
        if entry is not None and entry.phase != "dropped":
            found = self._recall(entry)
            if found is not None:
                return found
        elif self.run_seconds is not None:
            found = self._recognize(self.run_seconds)
            if found is not None:
                return found
        return self._post()

    # --- what earlier tries left ----------------------------------------------------------------

    def _recall(self, entry: Entry) -> Running | Done | None:
        same = entry.is_of(self.wish)
        if same is False:
            found = self._join_if_running(entry)
            if found is None:
                self.log("The task was cleared: acting anew.")
            return found
        if entry.phase == "settled" and entry.result is None:
            self.log("What was posted before has failed: acting again.")
            return None
        if same is None:
            return self._join_or_give_up(entry)
        if entry.asked != self.asked:
            raise InputError(
                next(iter(self.asked.body or {"action": ""})),
                f"an earlier try of this task asked for {asdict(entry.asked)}, and this one asks "
                f"for {asdict(self.asked)}. Nothing was sent: one wish is one action. Clear the "
                "task to make it a new wish.",
            )
        self.journal.note(wish=self.wish, left=None)
        if entry.result is not None:
            self.log("An earlier try saw it succeed: returning what it stored.")
            return Done(entry.result)
        if entry.action_id is not None:
            self.log("An earlier try posted action %s: waiting for it.", entry.action_id)
            return Running(entry.action_id, joined=True)
        self.log("An earlier try may have posted it, and left no action id: finding out.")
        return self._settle(entry.before, "The earlier try ended before it knew the answer.")

    def _join_if_running(self, entry: Entry) -> Running | None:
        """Join an action that still runs: a finished one is no result of a new wish."""
        if entry.phase != "accepted" or entry.action_id is None or entry.asked != self.asked:
            return None
        wait = self.wait_for(entry.action_id)
        try:
            look = wait.judge(self.send(wait.call()), {})
        except NotFoundError:
            return None
        if look.verdict != "ongoing":
            return None
        self.log("The task was cleared, and action %s still runs: joining it.", entry.action_id)
        self.journal.note(wish=self.wish, left=None)
        return Running(entry.action_id, joined=True)

    def _join_or_give_up(self, entry: Entry) -> Running:
        """Do what is right for a retry and for a new wish; they part when the action has ended."""
        found = self._join_if_running(entry)
        if found is None:
            raise self._cannot_tell(f"action {entry.action_id} was its action", entry)
        return found

    def _recognize(self, run_seconds: float) -> Done | None:
        """A retry without a journal: what the thing itself shows of an earlier try."""
        if self.needs_id or self.call.name == "restart_app" or self.on_ambiguous == "resend":
            return None
        seen = self._rested()
        before = self._before(seen)
        now, operated = self.server_time(), parse_date(before.last_operated_at)
        if now is None or operated is None or operated.timestamp() < now - run_seconds:
            return None
        if not self.target.shows(self.asked, seen, before):
            return None
        evidence = {"now": asdict(before), "operated": "since the DAG run began"}
        self.log(
            "A retry, and %s already shows what is asked: %s. Taken as done.", self.target, evidence
        )
        return Done(self._adopted(evidence))

    # --- posting --------------------------------------------------------------------------------

    def _post(self) -> Running | Joined | Done:
        while True:
            found = self._post_once()
            if found is not None:
                return found

    def _post_once(self) -> Running | Joined | Done | None:
        seen = self._free()
        now = self._before(seen)
        if self._doubted is not None and now != self._doubted:
            return self._settle(self._doubted, "It was taken never to have arrived")
        if self.if_busy == "join" and self.target.busy(seen):
            self.log("Something runs on %s already (%s): joining it.", self.target, now.state)
            self.journal.forget()
            return Joined(now)
        if self.skip_if_current and self.target.shows(self.asked, seen, now):
            self.log("%s is as asked already: left alone.", self.target)
            return Done(self.target.result(self.asked) | {"skipped": True})
        if self.stopped():
            raise DaoCloudError(f"{self.call}: the task was told to end; nothing was sent.")
        before = self._doubted or now
        if self.course.previous is None:
            self.course = replace(self.course, previous=before.release_name)
        self.journal.intend(Entry(self.wish, self.asked, before, "intended", course=self.course))
        try:
            answer = self.send(self.call)
        except (OutcomeUnknownError, ProtocolError) as e:
            why = str(e)
            if isinstance(e, ProtocolError) or 200 <= (e.status or 0) < 300:
                # Somebody took it, and only the id was lost: it surely arrived somewhere, so that
                # nothing proves that it did not.
                self.journal.note(changed=True)
                why = f"{why.rstrip('.')}. It was answered, so it is not posted again"
            return self._settle(before, why)
        except CallError as e:
            return self._refused(e)
        # An action is accepted by its id, a build by the build itself.
        action_id = str(getattr(answer, "id", answer))
        self.journal.note(phase="accepted", action_id=action_id)
        return Running(action_id)

    def _refused(self, error: CallError) -> Done | None:
        """Wait, if it was refused while another action runs on it; None: post again."""
        if self._doubted is None:
            self.journal.note(phase="dropped")
        if not isinstance(error, RefusedError) or error.status != CONFLICT:
            raise error
        if self.if_busy != "wait" or self._late():
            raise AppBusyError(f"another action runs on {self.target}: {error}") from error
        self.log("DaoCloud refuses it while another action runs (%s): waiting.", error)
        if self._doubted is not None:
            # What runs there can be ours.
            self.journal.note(changed=True)
            return self._settle(self._doubted, str(error))
        self._pause()
        return None

    def _free(self) -> Any:
        """Return the thing, when no other action runs on it, or as ``if_busy`` says."""
        seen = self._look()
        if not self.target.busy(seen) or self.if_busy in ("send", "join"):
            return seen
        state = self._before(seen).state
        if self.if_busy == "fail":
            raise AppBusyError(f"{self.target} is {state}: another action runs on it.")
        self.log("%s is %s: waiting for the action on it to end.", self.target, state)
        return self._rested()

    def _rested(self) -> Any:
        while self.target.busy(seen := self._look()):
            if self._late():
                state = self._before(seen).state
                raise AppBusyError(f"{self.target} is still {state} after {self.timeout:g} s.")
            self._pause()
        return seen

    # --- a POST that may or may not have arrived -------------------------------------------------

    def _settle(self, before: Before, why: str) -> Done | None:
        """Find out what became of a POST. None means that it is to be posted (again).

        :param before: the thing as it was before the POST.
        :param why: why nobody knows.
        :raises OutcomeUnknownError: the evidence does not suffice.
        """
        why = why.rstrip(".")
        if self.on_ambiguous == "resend":
            self.log("%s. Nobody knows whether it arrived: posting it again, as asked.", why)
            if self._late():
                raise self._unknown(why, before, None)
            self._pause()
            return None
        if self.on_ambiguous == "fail":
            raise self._unknown(why, before, None)
        try:
            seen, changed = self._watch(before)
        except CallError as e:
            raise self._unknown(f"{why}. It cannot be read: {e}", before, None) from e
        now = self._before(seen)
        if not changed and self.target.leaves_a_trace(before):
            text = "%s. %s did not change in %g s: it never arrived."
            self.log(text, why, self.target, self.settle)
            if self._late():
                raise self._unknown(why, before, now)
            self._doubted = before
            return None
        evidence = {"before": asdict(before), "now": asdict(now)}
        telling = self.target.telling(self.asked, before) or (
            self.on_ambiguous == "adopt" and self.target.operated(before, now)
        )
        ours = telling and self.target.shows(self.asked, seen, before)
        if not ours or self.needs_id:
            raise self._unknown(why, before, now)
        self.log("%s. It arrived, as %s shows: %s", why, self.target, evidence)
        return Done(self._settled(self._adopted(evidence)))

    def _watch(self, before: Before) -> tuple[Any, bool]:
        """Watch the thing for the settle window, and on until no action runs on it.

        :return: the thing at last, and whether anything of it changed since the POST. That is kept
            in the journal: it can look again as it did before.
        """
        until = self.clock() + self.settle
        changed = self.journal.entry is not None and self.journal.entry.changed
        while True:
            seen = self._look()
            if not changed and self._before(seen) != before:
                changed = True
                self.journal.note(changed=True)
            busy = self.target.busy(seen)
            if self.clock() >= until and (not busy or self._late()):
                return seen, changed or busy
            if self.clock() >= until:
                self._pause()
            else:
                self.sleep(min(LOOK_EVERY, max(until - self.clock(), 0.01)))

    # --- results --------------------------------------------------------------------------------

    def _adopted(self, evidence: dict[str, Any]) -> dict[str, Any]:
        return self.target.result(self.asked) | {"adopted": True, "evidence": evidence}

    def _settled(self, result: dict[str, Any]) -> dict[str, Any]:
        self.journal.note(phase="settled", result=result)
        return result

    def _unknown(self, why: str, before: Before, now: Before | None) -> OutcomeUnknownError:
        seen = f"before it {asdict(before)}"
        if now is not None:
            seen += f", and now {asdict(now)}"
        if self.needs_id:
            why = f"{why.rstrip('.')}. The id, which was wanted, cannot be found out."
        problem = (
            f"outcome unknown: {why.rstrip('.')}. {self.target} showed {seen}. See in DaoCloud "
            "whether it was taken; then clear the task to act again, or mark it as success."
        )
        return OutcomeUnknownError(str(self.call), problem)

    def _cannot_tell(self, otherwise: str, entry: Entry) -> OutcomeUnknownError:
        return self._unknown(
            "The process of the last try vanished, and something in the DAG run was cleared since. "
            f"If it was this task, it is to act again; if not, {otherwise}. Which one cannot be "
            "told.",
            entry.before,
            None,
        )

    def _before(self, seen: Any) -> Before:
        return self.target.before(seen, self.server_time())

    def _look(self) -> Any:
        return self.send(self.target.call())

    def _pause(self) -> None:
        self.sleep(CADENCE.pause(self.clock() - self._began))

    def _late(self) -> bool:
        return self.clock() >= self._began + self.timeout
