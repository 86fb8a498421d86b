"""One process that works on an invocation: the loop around the plan.

`advance` says what to do next; an `Execution` does it, in a worker, and feeds back what came of it.
It is not imported while a DAG file is parsed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from airflow_provider_daocloud.api.errors import CallError, DaoCloudError, InputError, WaitError
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.assets import describe_events
from airflow_provider_daocloud.compat import AirflowTaskTimeout, timeout
from airflow_provider_daocloud.core.submission.evidence import Snapshot
from airflow_provider_daocloud.core.submission.journal import Entry, Invocation, Journal, TaskState
from airflow_provider_daocloud.core.submission.plan import (
    Await,
    Command,
    Event,
    Failed,
    Inconclusive,
    Policy,
    Progress,
    Raise,
    Resolved,
    Return,
    Started,
    Submit,
    Submitted,
    Succeeded,
    advance,
    trigger_may_end,
)
from airflow_provider_daocloud.core.submission.submission import Submission
from airflow_provider_daocloud.core.waiting.blocking import block
from airflow_provider_daocloud.core.waiting.call import Call
from airflow_provider_daocloud.core.waiting.tracker import Tracker
from airflow_provider_daocloud.core.waiting.wait import Outcome, Wait, WaitState
from airflow_provider_daocloud.core.waiting.wording import short
from airflow_provider_daocloud.exceptions import (
    DaoCloudRolledBackError,
    airflow_errors,
    explained,
    outcome_error,
)
from airflow_provider_daocloud.links import push_links
from airflow_provider_daocloud.resources import names
from airflow_provider_daocloud.triggers.daocloud import trigger_of
from airflow_provider_daocloud.triggers.deferral import TimeLimit, ends_from_trigger

if TYPE_CHECKING:
    from airflow_provider_daocloud.compat import Context
    from airflow_provider_daocloud.operators.base import DaoCloudBaseOperator

T = TypeVar("T")

# The longest pause between two attempts at a call, in seconds.
LONGEST_PAUSE = 10.0


class Execution:
    """One process that works on an invocation of a task.

    :param task: the operator, with its fields rendered.
    :param context: Airflow's.
    :param clock: seconds since the epoch.
    :param monotonic: seconds; only differences matter.
    :param sleep: sleeps for some seconds.
    """

    def __init__(
        self,
        task: DaoCloudBaseOperator,
        context: Context,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.task = task
        self.context = context
        self.log = task.log
        self.clock = clock
        self.monotonic = monotonic
        self.sleep = sleep
        self.started_at = clock()
        store: Any = context.get("task_state_store") if task.durable else None
        self.journal = Journal(None if store is None else TaskState(store), self.log.warning)
        self.invocation = _invocation(context)

    def start(self) -> Any:
        """Continue from where an earlier execution ended, or begin."""
        if self.task.durable and self.journal.store is None:
            self.log.info(
                "This Airflow keeps no task state (3.3 does). A retry goes by what DaoCloud shows "
                "alone: it does not know an action that an earlier try submitted."
            )
        with airflow_errors(), self._noting_why_it_ends():
            self.task.prepare(self.context)
            nothing = self.task.nothing_to_do(self.context)
            if nothing is not None:
                return self._finished(nothing | self.task.result_fields(self._named(Progress())))
            self._find_id()
            self.task.read_first(self.send)
            self.task.request(Progress())  # a bad argument ends here, before anything is sent
            endpoint = self.task.hook.get_conn().endpoint
            push_links(self.task, self.context["ti"], endpoint)
            return self._run(self._named(self._progress(self.journal.read())), Started())

    def resume(self, event: object) -> Any:
        """Continue after a wait in the triggerer.

        :param event: what the trigger fired.
        """
        with airflow_errors(), self._noting_why_it_ends():
            entry = self.journal.read()
            checkpoint = Checkpoint.of_event(event)
            self.started_at = checkpoint.started_at or self.started_at
            progress = checkpoint.progress
            if progress.step == "join":
                self.journal.forget()
                entry = None
            self.task.prepare(self.context)
            self._find_id(checkpoint.found_id)
            outcome = Outcome.of_event(event)
            if outcome.status == "succeeded":
                # Airflow shows the log of the last wait alone.
                self.log.info("%s", outcome.message)
            # The trigger has just read it with this connection, or it would not know.
            read = outcome.status in ("succeeded", "failed")
            self.task.hook.has_read = self.task.hook.has_read or read
            receipts = (entry.receipt if entry else None, progress.receipt)
            if entry is not None and None not in receipts and receipts[0] != receipts[1]:
                # After a clear, the trigger of the former try can still fire; where Airflow's
                # database uses ids again (SQLite), its event wakes this try.
                self.log.warning(
                    "An event of action %s: still waiting for %s.", *map(short, reversed(receipts))
                )
                progress = replace(entry.progress, step="wait", receipt=entry.receipt)
                self._defer(progress, self._wait(progress, Await("action")))
            return self._run(progress, self._event(progress, outcome))

    @property
    def policy(self) -> Policy:
        """What of the operator's arguments decides what happens next."""
        return self.task.policy()

    def _progress(self, entry: Entry | None) -> Progress:
        """Return how far the invocation is, according to its journal."""
        ours = entry is not None and entry.is_of(self.invocation)
        if entry is None or ours is False:
            return Progress()
        # What is over is over for a retry alone: whether this is one, the submission finds out.
        return entry.progress if ours else replace(entry.progress, step="submit")

    # --- the loop -------------------------------------------------------------------------------

    def _run(self, progress: Progress, event: Event) -> Any:
        with ExitStack() as alarm:
            while True:
                progress, command = advance(progress, event, self.policy)
                self._keep(progress, event, command)
                match command:
                    case Return(dict(result)):
                        return self._finished(result)
                    case Return(receipt):
                        self._finished(
                            {self.task.id_key: receipt} | self.task.result_fields(progress)
                        )
                        return receipt
                    case Raise():
                        raise _error(command)
                # Armed until the very end: to disarm one would disarm Airflow's own, too.
                alarm.enter_context(self._rest_of_time(progress))
                match command:
                    case Submit():
                        progress, event = self._submit(progress)
                    case Await():
                        event = self._await(progress, command)

    def _finished(self, result: dict[str, Any]) -> dict[str, Any]:
        """Let the outlet events carry the result; return it."""
        describe_events(self.task, self.context, result)
        return result

    def _keep(self, progress: Progress, event: Event, command: Command) -> None:
        """Write what is known now: the one place where progress goes into the journal."""
        entry = self.journal.entry
        # For a success forward, the entry's result says it. A retry goes through the submission
        # again, and so notices when something else is asked for by now.
        kept = progress if progress.goal == "rollback" else replace(progress, step="submit")
        kept = replace(kept, receipt=None, result=None)
        match event, command:
            case Failed(error), _:
                self.journal.note(phase="finished", result=None, exit_reason=None, progress=kept)
                self._log_failure(error, progress, command)
            case Succeeded() | Resolved(), Return() | Raise():
                if entry and entry.is_of(self.invocation) and entry.phase == "accepted":
                    result = progress.result
                    self.journal.note(
                        phase="finished", result=result, exit_reason=None, progress=kept
                    )

    def _log_failure(self, error: BaseException, progress: Progress, command: Command) -> None:
        if isinstance(command, Submit) and progress.goal == "rollback":
            previous = progress.previous_release
            self.log.warning("%s Rolling back to %s.", progress.failure_reason, previous)
        elif isinstance(command, Submit):
            attempt = progress.attempt - 1
            self.log.warning(
                "Attempt %s of %s failed: %s", attempt, self.policy.max_attempts, error
            )
        elif self.policy.rollback and progress.goal == "forward":
            self.log.warning("Not rolled back: %s is what ran before.", progress.previous_release)

    # --- submitting -----------------------------------------------------------------------------

    def _submit(self, progress: Progress) -> tuple[Progress, Event]:
        event: Event
        submission = self.submission(progress)
        try:
            event = submission.submit()
        except DaoCloudError as e:
            return self._learnt(progress, submission), Inconclusive(e)
        progress = self._learnt(progress, submission)
        previous = progress.previous_release
        if isinstance(event, Resolved):
            event = Resolved(self.task.result_fields(progress) | event.result)
        ti = self.context["ti"]
        key = self.task.previous_release_key
        accepted = isinstance(event, Submitted | Resolved)
        if accepted and key is not None and previous is not None:
            ti.xcom_push(key=key, value=previous)
        if isinstance(event, Submitted):
            if not event.reconnected:
                self.log.info("%s", self._submitted(submission, previous, event.receipt))
            ti.xcom_push(key=self.task.id_key, value=event.receipt)
        return progress, event

    def _learnt(self, progress: Progress, submission: Submission) -> Progress:
        """Return the progress with what a submission has seen of the resource."""
        seen = submission.progress
        return replace(
            progress, previous_release=seen.previous_release, resource_name=seen.resource_name
        )

    def _named(self, progress: Progress) -> Progress:
        return replace(progress, resource_name=progress.resource_name or self.task.resource_name)

    def _submitted(self, submission: Submission, previous: str | None, receipt: str) -> str:
        shown = previous and self.task.previous_release_key
        before = f" (before: {previous})" if shown else ""
        ids = f"{submission.request}; {self.task.id_key.replace('_', ' ')} {receipt}"
        return f"Submitted {submission.described}{before} as {short(receipt)} ({ids})."

    def submission(self, progress: Progress) -> Submission:
        """Return the submission that the goal asks for.

        :param progress: how far the invocation is.
        """
        task = self.task
        return Submission(
            request=task.request(progress),
            evidence=task.evidence(),
            wait_for=lambda receipt: task.wait_for(receipt, progress),
            journal=self.journal,
            invocation=self.invocation,
            send=self.send,
            log=self.log.info,
            on_ambiguous=task.on_ambiguous,
            if_busy=task.if_busy,
            settle_time=task.settle_time,
            timeout=task.timeout,
            needs_id=not task.wait_for_completion,
            skip_if_current=task.skip_if_current,
            progress=progress,
            run_seconds=None if self.journal.store is not None else self._retry_of_run(),
            server_time=lambda: task.hook.get_conn().server_time,
            stopped=lambda: task.killed,
            clock=self.monotonic,
            sleep=self.sleep,
        )

    # --- waiting --------------------------------------------------------------------------------

    def _await(self, progress: Progress, command: Await) -> Event:  # noqa: RET503 - deferring raises
        wait = self._wait(progress, command)
        if not self.task.deferrable:
            return self._event(progress, self._block(progress, wait))
        # A deferral that ends at once is more than a waste: Airflow may take it for a killed
        # process, and that costs a try. What an action leads to mostly shows when it has ended.
        ended = None
        if command.target == "state" or command.reconnected:
            ended = self._ended(progress, wait)
        if ended is not None:
            return self._event(progress, ended)
        # From here on the next try is a retry, whatever else is cleared in the DAG run.
        self.journal.note(exit_reason="deferred")
        self._defer(progress, wait)

    def _wait(self, progress: Progress, command: Await) -> Wait:
        match command.target:
            case "action":
                return self.task.wait_for(progress.receipt or "", progress)
            case "existing run":
                return self.task.existing_run(command.snapshot or {})
            case "state":
                return self.task.desired_state(progress)

    def _block(self, progress: Progress, wait: Wait) -> Outcome:
        self.task.waiting_for = (wait.title(progress.resource_name), wait)
        limit = self._limit(progress)
        try:
            observation = block(
                wait,
                self.task.hook.observe,
                timeout=limit.seconds,
                poll_interval=self.task.poll_interval,
                max_outage=self.task.max_outage,
                wait_state=self._wait_state(progress),
                resource_name=progress.resource_name,
                log=self.log.info,
                clock=self.clock,
                sleep=self.sleep,
            )
        except DaoCloudError as e:
            return replace(Outcome.of_error(e), timeout_setting=limit.name)
        finally:
            self.task.waiting_for = None
        return Outcome("succeeded", observation.result)

    def _ended(self, progress: Progress, wait: Wait) -> Outcome | None:
        """Observe once; return how the wait has ended, if it has."""
        try:
            tracker = Tracker(wait, self.clock(), resource_name=progress.resource_name)
            observation = tracker.saw(self.task.hook.observe(wait.request()))
        except CallError:
            return None
        except WaitError as e:
            return Outcome.of_error(e)
        if observation.verdict != "succeeded":
            return None
        self.log.info("%s", tracker.success(self.clock()))
        return Outcome("succeeded", observation.result)

    def _defer(self, progress: Progress, wait: Wait) -> NoReturn:
        task = self.task
        limit = self._limit(progress)
        found_id, name = task.ref
        resolved_id = found_id if name is not None else None
        checkpoint = Checkpoint(progress, resolved_id, self.started_at)
        trigger_class, arguments = trigger_of(wait, task.trigger_classes)
        trigger = trigger_class(
            **arguments,
            daocloud_conn_id=task.daocloud_conn_id,
            started_at=self.clock(),
            timeout=limit.seconds,
            timeout_setting=limit.name,
            poll_interval=task.poll_interval,
            max_outage=task.max_outage,
            wait_state=self._wait_state(progress),
            end_task=trigger_may_end(progress, self.policy) and ends_from_trigger(task),
            push_result=task.do_xcom_push,
            resource_name=progress.resource_name,
            result_fields=task.result_fields(progress),
            checkpoint=asdict(checkpoint),
            **task.trigger_arguments(),
        )
        task.hook.close()
        task.defer(trigger=trigger, method_name="execute_complete", timeout=limit.backstop)
        raise AssertionError("defer raises")

    def _event(self, progress: Progress, outcome: Outcome) -> Event:
        """Return what the end of a wait means."""
        verifying = progress.step == "verify"
        up = outcome.status == "timeout" and outcome.timeout_setting == "timeout"
        if verifying and up:
            outcome = self._observe_once_more(progress, outcome)
        failure = self.task.desired_state(progress).failure if verifying else self.task.failure
        if progress.step == "wait" and outcome.status in ("failed", "timeout"):
            wait = self._wait(progress, Await("action"))
            outcome = explained(outcome, self.task.causes(wait))
        match outcome.status:
            case "succeeded":
                result = outcome.result or {}
                if progress.step == "join":
                    result = self.task.existing_result(result)
                return Succeeded(result | self.task.result_fields(progress))
            case "failed":
                return Failed(outcome_error(outcome, failure))
        return Inconclusive(outcome_error(outcome, self.task.failure))

    def _observe_once_more(self, progress: Progress, outcome: Outcome) -> Outcome:
        """Observe the state for as long as an outage may last: what cannot be read has not failed.

        :param progress: how far the invocation is.
        :param outcome: the time-out of the verification.
        """
        wait = self.task.desired_state(progress)
        try:
            seen = self.send(wait.request())
        except DaoCloudError as e:
            outage = Outcome.of_error(e)
            return replace(outage, message=f"The action succeeded, but then: {outage.message}")
        observation = wait.judge(seen, {})
        if observation.verdict == "succeeded":
            return Outcome("succeeded", observation.result)
        message = f"The action succeeded, but {outcome.message[:1].lower()}{outcome.message[1:]}"
        if observation.state not in message:
            message += f" Now it is {observation.state}."
        runs = self.task.evidence().release(Snapshot(self.task.evidence().snapshot(seen)))
        known = (self.policy.release, progress.previous_release)
        if observation.note:
            # Nor has something failed whose state is an unknown word.
            return Outcome("unreachable", observation.result, message)
        if self.policy.release is not None and runs not in known:
            message += (
                f" It runs release {runs}, which another client has deployed since. Nothing more "
                "was submitted."
            )
            return Outcome("permanent", observation.result, message)
        return Outcome("failed", observation.result, message)

    # --- time -----------------------------------------------------------------------------------

    def _limit(self, progress: Progress) -> TimeLimit:
        spent = self.clock() - self.started_at
        seconds = self.task.verify_timeout if progress.step == "verify" else self.task.timeout
        return TimeLimit.of(seconds, self.task.execution_timeout, spent)

    def _rest_of_time(self, progress: Progress) -> AbstractContextManager[Any]:
        """Bound what is begun now by what is left of ``execution_timeout``.

        Airflow 3 gives the whole of it anew to each process, and so to each deferral.
        """
        if self.task.execution_timeout is None:
            return nullcontext()
        whole = self.task.execution_timeout.total_seconds()
        left = whole - (self.clock() - self.started_at)
        if left <= 0:
            reason = f"{progress.failure_reason} " if progress.failure_reason else ""
            raise AirflowTaskTimeout(
                f"{reason}The execution_timeout of {whole:.10g} s is over, the time in the "
                "triggerer included. Nothing more was submitted."
            )
        return timeout(left)  # type: ignore[no-untyped-call, no-any-return, unused-ignore]

    # --- what it has at hand --------------------------------------------------------------------

    def send(self, request: Request[T]) -> T:
        """Send a request, and again what may be sent again, for as long as an outage may last.

        :param request: the request.
        :raises OutageError: nothing answered it for ``max_outage``; it had no effect.
        :raises CallError: it is refused, or nobody can tell what became of it.
        """
        answers: list[T] = []

        def send(request: Request[T], *, within: float) -> T:
            answers.append(self.task.hook.observe(request, within=within))
            return answers[-1]

        block(
            Call(request),
            send,
            timeout=self.task.timeout,
            poll_interval=LONGEST_PAUSE,
            max_outage=self.task.max_outage,
            wait_state={"read": self.task.hook.has_read},
            log=self.log.info,
            clock=self.clock,
            sleep=self.sleep,
        )
        return answers[-1]

    def _wait_state(self, progress: Progress) -> WaitState:
        """Return what a wait begins with: what was seen before, and whether of anything."""
        seen = self.task.existing_wait_state if progress.step == "join" else {}
        return {**seen, "read": self.task.hook.has_read}

    def _find_id(self, found_id: str | None = None) -> None:
        """Set the id, if a name was given: the checkpoint's, or what one list shows."""
        self.task.take_defaults(self.task.hook.get_conn().endpoint)
        if found_id is not None:
            self.task.take_id(found_id)
        names.resolve(
            self.task,
            lambda: self.task.request(Progress()),
            timeout=self.task.timeout,
            max_outage=self.task.max_outage,
        )

    @contextmanager
    def _noting_why_it_ends(self) -> Iterator[None]:
        """Keep in the journal how an execution ended that did not succeed."""
        try:
            yield
        except (Exception, AirflowTaskTimeout) as e:
            # An entry that this try did not make its own says nothing of this try.
            entry = self.journal.entry
            if entry is not None and entry.invocation == self.invocation:
                self.journal.note(exit_reason=type(e).__name__)
            raise

    def _retry_of_run(self) -> float | None:
        """Return how long ago the DAG run began, if this try is a retry; else None."""
        ti, run = self.context["ti"], self.context["dag_run"]
        # A clear leaves max_tries at the try number plus the retries: this is the first try since.
        first_try = int(ti.max_tries or 0) - int(self.task.retries or 0) + 1
        if int(ti.try_number) <= first_try or run.start_date is None:
            return None
        return self.clock() - float(run.start_date.timestamp())


@dataclass(frozen=True)
class Checkpoint:
    """What a trigger carries, so that the worker that resumes knows where it is. JSON-safe.

    :param progress: how far the invocation is.
    :param found_id: the id, if a name was given: it is looked up once for a try.
    :param started_at: when the try began, in seconds since the epoch.
    """

    progress: Progress = Progress(step="wait")  # noqa: RUF009 - it is frozen
    found_id: str | None = None
    started_at: float | None = None

    @classmethod
    def of_event(cls, event: object) -> Checkpoint:
        """Read what a trigger's event carries; where Airflow lost it, it is the first wait's.

        :raises InputError: it is foreign.
        """
        data = event.get("checkpoint") if isinstance(event, Mapping) else None
        if data is None:
            return cls()
        try:
            progress = Progress.of_json(data["progress"])
            checkpoint = cls(progress, data["found_id"], data["started_at"])
        except (KeyError, TypeError):
            checkpoint = None
        if (
            checkpoint is None
            or not isinstance(checkpoint.found_id, str | None)
            or not isinstance(checkpoint.started_at, int | float | None)
        ):
            raise InputError("event", f"the trigger's checkpoint is foreign: {data!r:.200}")
        return checkpoint


def _invocation(context: Context) -> Invocation:
    ti, run = context["ti"], context["dag_run"]
    return Invocation(
        max_tries=int(ti.max_tries or 0),
        try_number=int(ti.try_number),
        clears=int(getattr(run, "clear_number", 0) or 0),
    )


def _error(command: Raise) -> BaseException:
    if command.error is None:
        return DaoCloudRolledBackError(command.story)
    if command.story:
        command.error.args = (f"{command.story} {command.error}",)
    return command.error
