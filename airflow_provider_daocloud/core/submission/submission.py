"""How a request is submitted once, whatever breaks on the way.

`Submission.submit` reads what earlier executions left in the journal and decides: reconnect to
what was submitted, return what is finished already, reconcile a request that nobody saw answered,
or send. What it decides, and on what evidence, is one line of the log and stands in the result.

Where the evidence does not suffice, there is at most one effect, and `OutcomeUnknownError` says
what a person should check. It is never resolved by sending again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from airflow_provider_daocloud.api.errors import (
    AppBusyError,
    CallError,
    DaoCloudError,
    InputError,
    NotFoundError,
    OutcomeUnknownError,
    ProtocolError,
    RefusedError,
    UnreadableEntryError,
    WaitError,
)
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.validation import DEFAULT_SETTLE_TIME, IfBusy, OnAmbiguous
from airflow_provider_daocloud.core.submission.evidence import Evidence, Snapshot, Verdict
from airflow_provider_daocloud.core.submission.journal import Entry, Invocation, Journal
from airflow_provider_daocloud.core.submission.plan import (
    ExistingRun,
    Progress,
    Resolved,
    Submitted,
)
from airflow_provider_daocloud.core.waiting.backoff import Backoff
from airflow_provider_daocloud.core.waiting.wait import Wait
from airflow_provider_daocloud.core.waiting.wording import capitalized, in_words, short

# While a request is reconciled, the observations of the resource are this many seconds apart.
OBSERVE_EVERY = 2.0
# What is waited for longer than that is observed ever more seldom.
BACKOFF = Backoff(max_interval=30.0, initial_interval=OBSERVE_EVERY)
# The status taken for: something else is in progress on the resource. Nothing documents one.
CONFLICT = 409


@dataclass
class Submission:
    """One request of an invocation.

    :param request: the request.
    :param evidence: the resource that it acts on.
    :param wait_for: returns the wait for what was accepted, by its receipt.
    :param journal: what earlier executions left, and what this one does.
    :param invocation: this try.
    :param send: sends a request, retrying what may be retried.
    :param log: logs one line.
    :param on_ambiguous: what to do about a request that may or may not have arrived.
    :param if_busy: what to do if something else is in progress on the resource; ``join`` sends
        nothing then.
    :param settle_time: seconds for which the resource is observed before an unanswered request
        counts as never arrived.
    :param timeout: seconds for which the resource is waited for in all.
    :param needs_id: whether an effect without a receipt is of no use.
    :param skip_if_current: leave the resource alone if it is already as the request would leave it.
    :param progress: how far the invocation is.
    :param run_seconds: on Airflow without a journal, for a retry: how many seconds ago the DAG run
        began; else None.
    :param server_time: returns the server's clock as of its last response, in seconds since the
        epoch, or None. Server values are compared with server values, never with our clock.
    :param stopped: whether Airflow has asked the task to end: then nothing is sent any more.
    """

    request: Request[Any]
    evidence: Evidence
    wait_for: Callable[[str], Wait]
    journal: Journal
    invocation: Invocation
    send: Callable[[Request[Any]], Any]
    log: Callable[..., None]
    on_ambiguous: OnAmbiguous = "reconcile"
    if_busy: IfBusy | Literal["join"] = "wait"
    settle_time: float = DEFAULT_SETTLE_TIME
    timeout: float = 3600.0
    needs_id: bool = False
    skip_if_current: bool = False
    progress: Progress = field(default_factory=Progress)
    run_seconds: float | None = None
    server_time: Callable[[], float | None] = lambda: None
    stopped: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    record: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        """Note what is asked, and since when."""
        self.record = self.request.record()
        self._began = self.clock()
        # The resource when a request was found to have never arrived. If that arrives after all,
        # the resource will differ from this.
        self._doubted: Snapshot | None = None

    @property
    def described(self) -> str:
        """What is asked for, in words: ``redeploy of app web to v2``."""
        return self._describe(self.record)

    @property
    def _title(self) -> str:
        return self.evidence.title(self.progress.resource_name)

    def submit(self) -> Submitted | ExistingRun | Resolved:
        """Reconnect, recall, reconcile or send: whatever makes it one effect of one invocation.

        :raises OutcomeUnknownError: it may have been sent, and nobody can tell what became of it.
        :raises AppBusyError: something else is in progress on the resource.
        :raises JournalError: the journal cannot be used; nothing was sent.
        :raises CallError: the service refused it, or could not be reached; nothing was sent.
        """
        entry = self.journal.read()
        found: Submitted | Resolved | None = None
        unsure = entry is not None and entry.is_of(self.invocation) is None
        if entry is not None and unsure and entry.progress.goal == "rollback":
            # A retry rolls back, or has rolled back; after a clear the task goes forward: no step
            # is right for both.
            raise self._cannot_tell("what failed is not to be submitted again", entry)
        if entry is not None and entry.phase != "rejected":
            found = self._recover(entry)
        elif self.run_seconds is not None:
            found = self._recognize(self.run_seconds)
        return found or self._send()

    # --- what earlier executions left -----------------------------------------------------------

    def _recover(self, entry: Entry) -> Submitted | Resolved | None:
        same = entry.is_of(self.invocation)
        if same is False:
            found = self._reconnect_if_pending(entry)
            if found is None:
                self.log("Task was cleared: submitting again.")
            return found
        if entry.phase == "finished" and entry.result is None:
            if self.progress.goal == "forward":
                self.log("What was submitted before has failed: submitting again.")
            return None
        if same is None:
            return self._reconnect_or_give_up(entry)
        if entry.request != self.record:
            raise InputError(
                "request",
                "it changed between tries: the earlier try asked for "
                f"{self._in_words(self._describe, entry.request)}, this one for "
                f"{self.described}. Nothing was sent. Clear the task to act "
                "with the new arguments.",
            )
        self.journal.note(invocation=self.invocation, exit_reason=None)
        if entry.result is not None:
            self.log("An earlier try saw it succeed: returning what it stored.")
            return Resolved(entry.result)
        if entry.receipt is not None:
            self.log("An earlier try submitted action %s: waiting for it.", short(entry.receipt))
            return Submitted(entry.receipt, reconnected=True)
        self.log("An earlier try may have submitted it, and left no action id: reconciling.")
        return self._reconcile(entry.snapshot, "The earlier try ended before it knew the answer.")

    def _reconnect_if_pending(self, entry: Entry) -> Submitted | None:
        """Reconnect to what is still in progress: what is over is no result of a new invocation."""
        if entry.phase != "accepted" or entry.receipt is None or entry.request != self.record:
            return None
        wait = self.wait_for(entry.receipt)
        try:
            observation = wait.judge(self.send(wait.request()), {})
        except NotFoundError:
            return None
        if observation.verdict != "pending":
            return None
        self.log(
            "Task was cleared, and action %s is in progress: waiting for it.", short(entry.receipt)
        )
        previous = entry.progress.previous_release
        self.progress = replace(self.progress, previous_release=previous)
        self.journal.note(invocation=self.invocation, exit_reason=None, progress=self.progress)
        return Submitted(entry.receipt, reconnected=True)

    def _reconnect_or_give_up(self, entry: Entry) -> Submitted:
        """Do what is right for a retry and for a clear; they part when the action has ended."""
        found = self._reconnect_if_pending(entry)
        if found is None:
            submitted = f"action {entry.receipt}" if entry.receipt else "the request"
            raise self._cannot_tell(f"{submitted} was its own", entry)
        return found

    def _recognize(self, run_seconds: float) -> Resolved | None:
        """Resolve a retry without a journal, if the resource shows an effect of this DAG run."""
        provable = self.evidence.can_match(self.record)
        if not provable or self.needs_id or self.on_ambiguous == "resend":
            return None
        seen = self._observe_until_idle()
        snapshot = self._snapshot(seen)
        now, operated_at = self.server_time(), self.evidence.operated_at(snapshot)
        if now is None or operated_at is None or operated_at < now - run_seconds:
            return None
        if not self.evidence.matches(self.record, seen):
            return None
        evidence = {"now": dict(snapshot.shown), "operated": "since the DAG run began"}
        self.log(
            "This is a retry, and %s already shows its effect (%s). Nothing was submitted.",
            self._title,
            self.evidence.describe_snapshot(snapshot),
        )
        return Resolved(self._adopted(evidence))

    # --- sending --------------------------------------------------------------------------------

    def _send(self) -> Submitted | ExistingRun | Resolved:
        while True:
            found = self._send_once()
            if found is not None:
                return found

    def _send_once(self) -> Submitted | ExistingRun | Resolved | None:
        seen = self._idle()
        now = self._snapshot(seen)
        shown = self.evidence.receipt_shown(self.record, seen)
        if shown is not None:
            self.log("%s shows it already: nothing was sent.", capitalized(self._title))
            self._take_previous_release(now)
            self.journal.intend(
                Entry(self.invocation, self.record, now, "accepted", shown, progress=self.progress)
            )
            return Submitted(shown, reconnected=True)
        if self._doubted is not None and now != self._doubted:
            return self._reconcile(self._doubted, "It counted as never arrived")
        if self.if_busy == "join" and self.evidence.is_busy(seen):
            self.log(
                "Another client's run is in progress on %s (%s), so nothing was submitted. Waiting "
                "for that run instead.",
                self._title,
                self.evidence.describe_snapshot(now),
            )
            self.journal.forget()
            return ExistingRun(now.shown)
        if self.skip_if_current and self.evidence.matches(self.record, seen):
            title = capitalized(self._title)
            self.log("%s is as requested already: nothing was submitted.", title)
            return Resolved(self.evidence.result(self.record) | {"skipped": True})
        if self.stopped():
            raise DaoCloudError(
                f"Airflow asked the task to end: nothing was sent ({self.request})."
            )
        before = self._doubted or now
        self._take_previous_release(before)
        self.journal.intend(
            Entry(self.invocation, self.record, before, "intended", progress=self.progress)
        )
        try:
            accepted = self.send(self.request.completed_by(seen))
        except (OutcomeUnknownError, ProtocolError) as e:
            why = str(e)
            if isinstance(e, ProtocolError) or 200 <= (e.status or 0) < 300:
                # Somebody took it, and only the receipt was lost: nothing proves any more that it
                # did not arrive.
                self.journal.note(change_seen=True)
                why = f"{why.rstrip('.')}. It was answered, so it is not sent again"
            return self._reconcile(before, why)
        except (CallError, WaitError) as e:
            return self._refused(e)
        receipt = self.evidence.receipt(accepted)
        self.journal.note(phase="accepted", receipt=receipt)
        return Submitted(receipt)

    def _take_previous_release(self, before: Snapshot) -> None:
        if self.progress.previous_release is None:
            self.progress = replace(self.progress, previous_release=self.evidence.release(before))

    def _refused(self, error: CallError | WaitError) -> Submitted | Resolved | None:
        """Wait, if it was refused while something else is in progress; None: send again."""
        if self._doubted is None:
            self.journal.note(phase="rejected")
        if not isinstance(error, RefusedError) or error.status != CONFLICT:
            raise error
        if self.if_busy != "wait" or self._is_late():
            raise AppBusyError(f"Another action is in progress on {self._title}: {error}") from None
        self.log("It was refused while another action is in progress (%s): waiting.", error)
        if self._doubted is not None:
            # What is in progress there can be ours.
            self.journal.note(change_seen=True)
            return self._reconcile(self._doubted, str(error))
        self._pause()
        return None

    def _idle(self) -> Any:
        """Return the resource, when nothing is in progress on it, or as ``if_busy`` says."""
        seen = self._observe()
        if not self.evidence.is_busy(seen) or self.if_busy in ("send", "join"):
            return seen
        state = self.evidence.describe_snapshot(self._snapshot(seen))
        if self.if_busy == "fail":
            raise AppBusyError(
                f"Another action is in progress on {self._title} ({state}). Nothing was sent "
                f"({self.evidence})."
            )
        title = capitalized(self._title)
        self.log("%s is %s: waiting for the action on it to end.", title, state)
        return self._observe_until_idle()

    def _observe_until_idle(self) -> Any:
        while self.evidence.is_busy(seen := self._observe()):
            if self._is_late():
                state = self.evidence.describe_snapshot(self._snapshot(seen))
                title, seconds = capitalized(self._title), in_words(self.timeout)
                raise AppBusyError(f"{title} is still {state} after {seconds} ({self.evidence}).")
            self._pause()
        return seen

    # --- a request that may or may not have arrived ---------------------------------------------

    def _reconcile(self, before: Snapshot, why: str) -> Submitted | Resolved | None:
        """Find out what became of a request. None means that it is to be sent (again).

        :param before: the resource as it was before the request.
        :param why: why nobody knows.
        :raises OutcomeUnknownError: the evidence does not suffice.
        """
        why = why.rstrip(".")
        if self.on_ambiguous == "resend":
            self.log("Nobody knows whether it arrived: sending it again, as asked. %s.", why)
            if self._is_late():
                raise self._unknown(why, before, None)
            self._pause()
            return None
        if self.on_ambiguous == "fail":
            raise self._unknown(why, before, None)
        try:
            seen, change_seen = self._observe_for_settle_time(before)
        except (CallError, WaitError) as e:
            raise self._unknown(f"{why}. It cannot be read: {e}", before, None) from None
        now = self._snapshot(seen)
        verdict = self._verdict(before, now, change_seen=change_seen)
        if verdict == "absent":
            title, seconds = capitalized(self._title), in_words(self.settle_time)
            # What somebody else changed meanwhile is no trace of it.
            trace = "did not change" if now == before else "shows no trace of it"
            self.log("%s %s in %s: it never arrived. %s.", title, trace, seconds, why)
            if self._is_late():
                raise self._unknown(why, before, now)
            self._doubted = now
            return None
        receipt = self.evidence.receipt_shown(self.record, seen)
        if verdict == "unknown" or (self.needs_id and receipt is None):
            raise self._unknown(why, before, now)
        self.log(
            "The request arrived, as %s shows: before %s, now %s. %s.",
            self._title,
            self.evidence.describe_snapshot(before),
            self.evidence.describe_snapshot(now),
            why,
        )
        if receipt is not None:
            self.journal.note(phase="accepted", receipt=receipt)
            return Submitted(receipt, reconnected=True)
        result = self._adopted({"before": dict(before.shown), "now": dict(now.shown)})
        self.journal.note(phase="finished", result=result)
        return Resolved(result)

    def _verdict(self, before: Snapshot, now: Snapshot, *, change_seen: bool) -> Verdict:
        try:
            return self.evidence.verdict(
                self.record,
                before,
                now,
                change_seen=change_seen,
                trust_any=self.on_ambiguous == "adopt",
            )
        except KeyError:
            raise UnreadableEntryError("its entry is damaged.") from None

    def _observe_for_settle_time(self, before: Snapshot) -> tuple[Any, bool]:
        """Observe the resource for the settle time, and on until nothing is in progress on it.

        :return: the resource at last, and whether anything of it changed since the request. That is
            kept in the journal: the change can be gone later.
        """
        until = self.clock() + self.settle_time
        changed = self.journal.entry is not None and self.journal.entry.change_seen
        while True:
            seen = self._observe()
            now = self._snapshot(seen)
            if not changed and now != before:
                changed = True
                self.journal.note(change_seen=True)
            if self.evidence.receipt_shown(self.record, seen) is not None and (
                self._verdict(before, now, change_seen=changed) == "present"
            ):
                return seen, changed  # it shows, and need not be waited for
            busy = self.evidence.is_busy(seen)
            if self.clock() >= until and (not busy or self._is_late()):
                return seen, changed or busy
            if self.clock() >= until:
                self._pause()
            else:
                self.sleep(min(OBSERVE_EVERY, max(until - self.clock(), 0.01)))

    # --- results --------------------------------------------------------------------------------

    def _adopted(self, evidence: dict[str, Any]) -> dict[str, Any]:
        return self.evidence.result(self.record) | {"adopted": True, "evidence": evidence}

    def _unknown(self, why: str, before: Snapshot, now: Snapshot | None) -> OutcomeUnknownError:
        states = f"Before: {self._in_words(self.evidence.describe_snapshot, before)}."
        if now is not None:
            states += f" Now: {self.evidence.describe_snapshot(now)}."
        if self.needs_id:
            why = f"{why.rstrip('.')}. The id, which was wanted, cannot be found out."
        return OutcomeUnknownError(
            str(self.request),
            f"Cannot tell whether DaoCloud accepted the {self.described}: "
            f"{why.rstrip('.')}. {states} Check {self._title} in DaoCloud, then clear the task "
            "to act again, or mark it as success.",
        )

    def _cannot_tell(self, otherwise: str, entry: Entry) -> OutcomeUnknownError:
        return self._unknown(
            "The process of the last try vanished, and something in the DAG run was cleared since. "
            f"If it was this task, it is to act again; if not, {otherwise}. Nobody can tell "
            "which.",
            entry.snapshot,
            None,
        )

    def _in_words(self, describe: Callable[[Any], str], kept: Any) -> str:
        try:
            return describe(kept)
        except (KeyError, TypeError):  # the task had another operator when it was kept
            return f"something else than {self._title}"

    def _describe(self, record: dict[str, Any]) -> str:
        return self.evidence.describe(record, self.progress.resource_name)

    def _snapshot(self, seen: Any) -> Snapshot:
        return Snapshot(self.evidence.snapshot(seen), self.server_time())

    def _observe(self) -> Any:
        seen = self.send(self.evidence.request())
        name = self.evidence.name_of(seen) or self.progress.resource_name
        self.progress = replace(self.progress, resource_name=name)
        return seen

    def _pause(self) -> None:
        self.sleep(BACKOFF.pause(self.clock() - self._began))

    def _is_late(self) -> bool:
        return self.clock() >= self._began + self.timeout
