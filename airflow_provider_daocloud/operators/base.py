"""What all operators have in common: post an action once, wait for it, and go on from there."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, TypeVar

from airflow_provider_daocloud.api.errors import (
    ActionFailedError,
    AppStateError,
    CallError,
    DaoCloudError,
    InputError,
    WaitError,
)
from airflow_provider_daocloud.arguments import (
    DEFAULT_MAX_OUTAGE,
    DEFAULT_SETTLE,
    ON_AMBIGUOUS,
    IfBusy,
    OnAmbiguous,
    TextFields,
    check_seconds,
    one_of,
)
from airflow_provider_daocloud.compat import AirflowTaskTimeout, BaseOperator, timeout
from airflow_provider_daocloud.deferral import (
    TimeLimit,
    default_deferrable,
    ends_from_trigger,
    outcome_of_event,
)
from airflow_provider_daocloud.exceptions import FailsWhenUnmapped, airflow_errors, outcome_error
from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook
from airflow_provider_daocloud.lazy import lazy
from airflow_provider_daocloud.links import push_links
from airflow_provider_daocloud.triggers.daocloud import trigger_of

if TYPE_CHECKING:
    from airflow_provider_daocloud import acting, names, waits
    from airflow_provider_daocloud import journal as journals
    from airflow_provider_daocloud.acting import Act
    from airflow_provider_daocloud.api import policy, protocol
    from airflow_provider_daocloud.compat import Context
    from airflow_provider_daocloud.journal import Before, Course, Entry, Journal, Wish
    from airflow_provider_daocloud.targets import Target
else:
    acting = lazy("airflow_provider_daocloud.acting")
    journals = lazy("airflow_provider_daocloud.journal")
    names = lazy("airflow_provider_daocloud.names")
    policy = lazy("airflow_provider_daocloud.api.policy")
    protocol = lazy("airflow_provider_daocloud.api.protocol")
    waits = lazy("airflow_provider_daocloud.waits")

T = TypeVar("T")


# What a try waits for: its action, what somebody else's action leads to, or that the thing shows
# what its action was to lead to.
Stage = Literal["action", "joined", "verify"]


class DaoCloudActOperator(FailsWhenUnmapped, TextFields, BaseOperator):
    """Base of the operators: post an action, then wait until it succeeded.

    :param wait_for_completion: whether to wait. If not, the task returns the action id, for a
        sensor.
    :param poll_interval: the longest time between two looks, in seconds (or a timedelta); the
        first looks come sooner.
    :param timeout: seconds (or a timedelta) to wait for the action; a last look is taken then.
        Airflow's ``execution_timeout`` bounds all that one try does, the time in the triggerer
        included.
    :param max_outage: seconds (or a timedelta) for which DaoCloud may be unreadable before the
        task ends as *could not find out*; 0 ends it at the first fault.
    :param deferrable: whether to wait in the triggerer, which costs next to nothing. Default:
        ``[operators] default_deferrable``.
    :param end_from_trigger: whether the triggerer may end the task when the action has succeeded,
        so that no worker is needed for it. Where Airflow would drop something (a success callback,
        outlet events), a worker ends the task all the same, and its log says so.
    :param durable: whether to keep a journal of the action in Airflow's task state store (3.3+), so
        that a retry goes on with the action of the try before it. Without it, and before 3.3, care
        is taken within one try alone.
    :param on_ambiguous: what to do about a POST that may or may not have arrived. ``verify``: watch
        the thing, and go by what it shows; *outcome unknown* where that does not suffice.
        ``adopt``: take any operation on it since then for ours (if nobody else touches it).
        ``resend``: post again (if two are harmless). ``fail``: *outcome unknown* at once.
    :param settle: seconds (or a timedelta) for which ``verify`` and ``adopt`` watch it before they
        take a POST never to have arrived.
    :param daocloud_conn_id: the Connection of type ``daocloud`` (templated).
    :return: the finished action as JSON-safe data: ``action_id``, ``action_name``, ``state``,
        ``app_id``, ``start_date``, ``end_date``, ``time_cost_seconds``, ``error_message``. The
        action id is pushed as XCom ``action_id`` too, as soon as there is one.
    :raises DaoCloudActionFailedError: DaoCloud says FAILED; the error has its message.
    :raises DaoCloudWaitTimeoutError: the time is up and the action still runs.
    :raises CouldNotFindOutError: DaoCloud was unreadable for longer than ``max_outage``.
    :raises OutcomeUnknownError: nobody can tell whether the action was taken; the text has the
        evidence, and what a person should look at.
    :raises AirflowFailException: no retry can mend it: a bad argument, a wrong token, no such app.
    """

    template_fields: Sequence[str] = ("daocloud_conn_id",)
    ui_color: str = "#d8ecff"
    # What the id of the action is called, as XCom and in the result.
    id_key: ClassVar[str] = "action_id"
    failure: ClassVar[type[WaitError]] = ActionFailedError
    # What it acts on, as its arguments call it: ``app`` for ``app_id`` and ``app_name``.
    what: ClassVar[str]

    def __init__(
        self,
        *,
        wait_for_completion: bool = True,
        poll_interval: float | timedelta = 10.0,
        timeout: float | timedelta = 3600.0,
        max_outage: float | timedelta = DEFAULT_MAX_OUTAGE,
        deferrable: bool | None = None,
        end_from_trigger: bool = False,
        durable: bool = True,
        on_ambiguous: OnAmbiguous = "verify",
        settle: float | timedelta = DEFAULT_SETTLE,
        daocloud_conn_id: str = DaoCloudHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.wait_for_completion = wait_for_completion
        self.poll_interval = check_seconds("poll_interval", poll_interval)
        self.timeout = check_seconds("timeout", timeout)
        self.max_outage = check_seconds("max_outage", max_outage, zero=True)
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.end_from_trigger = end_from_trigger
        self.durable = durable
        self.on_ambiguous = one_of("on_ambiguous", on_ambiguous, ON_AMBIGUOUS)
        self.settle = check_seconds("settle", settle, zero=True)
        self.daocloud_conn_id = daocloud_conn_id
        self.if_busy: IfBusy | Literal["join"] = "wait"
        self.skip_if_current = False
        self._waited_for: waits.Wait | None = None
        self._killed = False
        if self.timeout < self.poll_interval:
            raise InputError("timeout", "is shorter than poll_interval: the wait would never look.")

    @abstractmethod
    def call(self, course: Course) -> protocol.Call[Any]:
        """Return the call that posts the action; raises InputError for what cannot be sent.

        :param course: how far the wish is.
        """

    @abstractmethod
    def target(self) -> Target:
        """Return what is acted on."""

    @abstractmethod
    def wait_for(self, action_id: str) -> waits.Wait:
        """Return the wait for an action by its id."""

    @cached_property
    def hook(self) -> DaoCloudHook:
        """The hook of the connection."""
        return DaoCloudHook(self.daocloud_conn_id)

    # --- a try ----------------------------------------------------------------------------------

    def execute(self, context: Context) -> Any:
        """Post the action unless an earlier try did, and wait for it unless told not to."""
        started = time.time()
        journal = self._journal(context)
        if self.durable and journal.store is None:
            self.log.info(
                "This Airflow keeps no task state (3.3 does): a retry can go by what DaoCloud "
                "shows alone, and not know an action that an earlier try posted."
            )
        wish = _wish(context)
        with airflow_errors(), self._leaving(journal, wish):
            self.take(context)
            needless = self.needless(context)
            if needless is not None:
                return needless
            self._find()
            self.call(journals.Course())  # a bad argument ends here, before anything is sent
            push_links(self, context["ti"], self.hook.get_conn().endpoint)
            doing = Try(context, journal, journals.Course(), started)
            entry = journal.read()
            if entry is not None and entry.is_of(doing.wish) is not False:
                self.resumed(doing, entry)
            return self.pursue(doing)

    def execute_complete(self, context: Context, event: Any = None) -> Any:
        """Go on after the wait: return the result, act again, or raise why there is none."""
        journal = self._journal(context)
        with airflow_errors(), self._leaving(journal, _wish(context)):
            journal.read()
            carried = _carried(event)
            if carried.stage == "joined":
                journal.forget()
            self.take(context)
            self._find(carried.found)
            doing = Try(context, journal, carried.course, carried.started or time.time())
            outcome = outcome_of_event(
                event,
                lambda: self.wait_for(_pushed_id(self, context)),
                self.hook.send,
                may_end=self.end_from_trigger,
            )
            # The trigger has just read it with this connection, or it would not know.
            self.hook.has_read = self.hook.has_read or outcome.kind in ("succeeded", "failed")
            entry = journal.entry
            ours = entry.action_id if entry else None
            theirs = (carried.result or outcome.result or {}).get(self.id_key)
            if entry is not None and None not in (ours, theirs) and ours != theirs:
                # After a clear, the trigger of the former try can still fire; where Airflow's
                # database uses ids again (SQLite), its event wakes this try.
                self.log.warning("An event of action %s: still waiting for %s.", theirs, ours)
                carried = Carried("action", entry.course)
                self._defer(doing, self.wait_for(str(ours)), carried)
            return self._after(doing, carried, outcome)

    def _find(self, found: str | None = None) -> None:
        """Set the id, if a name was given: what a trigger carried, or what one list call shows."""
        if found is not None:
            setattr(self, f"{self.what}_id", found)
        names.resolve(
            self,
            self.what,
            lambda: self.call(journals.Course()),
            timeout=self.timeout,
            max_outage=self.max_outage,
        )

    def pursue(self, doing: Try) -> Any:
        """Post what the course asks for, or join it, and wait."""
        with self._rest_of_time(doing):
            return self._pursue(doing)

    def _pursue(self, doing: Try) -> Any:
        act = self._act(doing.context, doing.journal, doing.course)
        begun = self.begin(doing, act)
        if isinstance(begun, acting.Joined):
            return self.joined(doing, begun.before)
        entry = doing.journal.entry
        if entry is not None and entry.asked == act.asked:
            doing.course = entry.course
        self.began(doing)
        if isinstance(begun, acting.Done):
            return self.finished(doing, begun.result)
        action_id, ti = begun.action_id, doing.context["ti"]
        self.log.info("%s: its id is %s.", act.call, action_id)
        ti.xcom_push(key=self.id_key, value=action_id)
        if not self.wait_for_completion:
            return action_id
        wait, carried = self.wait_for(action_id), Carried("action", doing.course)
        if self.deferrable and begun.joined and (outcome := self._ended(wait)) is not None:
            return self._after(doing, carried, outcome)
        return self.wait(doing, wait, carried)

    def wait(self, doing: Try, wait: waits.Wait, carried: Carried) -> Any:
        """Wait, in this process or in the triggerer, and go on after it."""
        if self.deferrable:
            # What an action leads to mostly shows when it has ended: no deferral for that.
            if carried.stage == "verify" and (outcome := self._ended(wait)) is not None:
                return self._after(doing, carried, outcome)
            # From here on the next try is a retry, whatever else is cleared in the DAG run.
            doing.journal.note(left="deferred")
            self._defer(doing, wait, carried)
        return self._after(doing, carried, self._block(doing, wait, carried))

    def _after(self, doing: Try, carried: Carried, outcome: waits.Outcome) -> Any:
        """Go on after a wait."""
        if carried.stage == "verify" and outcome.kind == "timeout" and outcome.limit == "timeout":
            outcome = self.unverified(doing, outcome)
        if outcome.kind == "succeeded":
            if carried.stage == "verify":
                return self.finished(doing, carried.result or {})
            return self.succeeded(doing, outcome.result or {})
        if outcome.kind != "failed":
            raise self.unsettled(doing, outcome)
        failure = AppStateError if carried.stage == "verify" else self.failure
        return self.failed(doing, outcome_error(outcome, failure))

    # --- what an operator may do differently ----------------------------------------------------

    def take(self, context: Context) -> None:
        """Take what the context alone has; in every process of the task."""

    def needless(
        self,
        context: Context,  # noqa: ARG002 - see the operators
    ) -> dict[str, Any] | None:
        """Return what the task returns, if nothing is to be done at all."""
        return None

    def resumed(self, doing: Try, entry: Entry) -> None:
        """Take up the course of an earlier try."""
        doing.course = entry.course

    def begin(
        self,
        doing: Try,  # noqa: ARG002 - see the operators
        act: Act,
    ) -> acting.Running | acting.Joined | acting.Done:
        """Post the action, or find that it was posted."""
        return act.begin()

    def began(self, doing: Try) -> None:
        """Take note that the action was accepted, in whichever try."""

    def joined(self, doing: Try, before: Before) -> Any:
        """Wait for what runs already, and was not posted by us."""
        raise NotImplementedError

    def succeeded(self, doing: Try, result: dict[str, Any]) -> Any:
        """Go on after the action has succeeded; return what the task returns."""
        return self.finished(doing, result)

    def unverified(
        self,
        doing: Try,  # noqa: ARG002 - see the operators
        outcome: waits.Outcome,
    ) -> waits.Outcome:
        """Say what it means that the time to verify the action is up."""
        return outcome

    def finished(self, doing: Try, result: dict[str, Any]) -> Any:
        """Return what the task returns, when nothing more is to be done."""
        entry = doing.journal.entry
        if entry is not None and entry.is_of(doing.wish) and entry.phase == "accepted":
            doing.journal.note(phase="settled", result=result, left=None)
        return result

    def unsettled(
        self,
        doing: Try,  # noqa: ARG002 - see the operators
        outcome: waits.Outcome,
    ) -> BaseException:
        """Return what the task fails with when nobody knows yet how it ends."""
        return outcome_error(outcome, self.failure)

    def failed(self, doing: Try, error: BaseException) -> Any:
        """Raise what the task fails with, or act again."""
        doing.journal.note(phase="settled", result=None, left=None)
        raise error

    # --- how it acts and waits ------------------------------------------------------------------

    def _act(self, context: Context, journal: Journal, course: Course) -> Act:
        """Return the wish for this action."""
        return acting.Act(
            call=self.call(course),
            target=self.target(),
            wait_for=self.wait_for,
            journal=journal,
            wish=_wish(context),
            send=self.send,
            log=self.log.info,
            on_ambiguous=self.on_ambiguous,
            if_busy=self.if_busy,
            settle=self.settle,
            timeout=self.timeout,
            needs_id=not self.wait_for_completion,
            skip_if_current=self.skip_if_current,
            course=course,
            run_seconds=None if journal.store is not None else _retry_of_run(self, context),
            server_time=lambda: self.hook.get_conn().server_time,
            stopped=lambda: self._killed,
        )

    def send(self, call: protocol.Call[T]) -> T:
        """Send a call, retrying what may be retried for as long as an outage may last."""
        patience = max(self.max_outage, policy.DEFAULT_PATIENCE)
        if call.acts:
            return self.hook.send(call, patience=patience)
        return waits.read(
            call,
            lambda left: self.hook.send(call, patience=left),
            patience=patience,
            read_before=self.hook.has_read,
        )

    def _memory(self, carried: Carried) -> waits.Memory:
        """Return what a wait begins with: what was seen of it before, and whether of anything."""
        return (carried.memory or {}) | {"read": self.hook.has_read}

    def _journal(self, context: Context) -> Journal:
        store: Any = context.get("task_state_store") if self.durable else None
        return journals.Journal(
            None if store is None else journals.TaskState(store), self.log.warning
        )

    @contextmanager
    def _leaving(self, journal: Journal, wish: Wish) -> Iterator[None]:
        """Keep in the journal how a try ended that did not succeed."""
        try:
            yield
        except (Exception, AirflowTaskTimeout) as e:
            # An entry that this try did not make its own says nothing of this try.
            if journal.entry is not None and journal.entry.wish == wish:
                journal.note(left=type(e).__name__)
            raise

    def _limit(self, doing: Try, carried: Carried) -> TimeLimit:
        spent = time.time() - doing.started
        seconds = self.timeout if carried.timeout is None else carried.timeout
        return TimeLimit.of(seconds, self.execution_timeout, spent)

    def _rest_of_time(self, doing: Try) -> AbstractContextManager[Any]:
        """Bound what is begun now by what is left of ``execution_timeout``.

        Airflow 3 gives the whole of it anew to each process, and so to each deferral.
        """
        if self.execution_timeout is None:
            return nullcontext()
        whole = self.execution_timeout.total_seconds()
        left = whole - (time.time() - doing.started)
        if left <= 0:
            failure = f"{doing.course.failure} " if doing.course.failure else ""
            raise AirflowTaskTimeout(
                f"{failure}The execution_timeout of {whole:.10g} s is over, the time in the "
                "triggerer included. Nothing more was posted."
            )
        return timeout(left)  # type: ignore[no-untyped-call, no-any-return, unused-ignore]

    def _block(self, doing: Try, wait: waits.Wait, carried: Carried) -> waits.Outcome:
        self._waited_for = wait
        limit = self._limit(doing, carried)
        try:
            look = waits.block(
                wait,
                self.hook.look,
                timeout=limit.seconds,
                poll_interval=self.poll_interval,
                max_outage=self.max_outage,
                memory=self._memory(carried),
                log=self.log.info,
            )
        except DaoCloudError as e:
            return replace(waits.Outcome.of_error(e), limit=limit.name)
        finally:
            self._waited_for = None
        return waits.Outcome("succeeded", look.result)

    def _ended(self, wait: waits.Wait) -> waits.Outcome | None:
        """Look once at an action of an earlier try; return how it has ended, if it has.

        A deferral that ends at once is more than a waste: Airflow may take it for a killed process,
        and that costs a try.
        """
        try:
            look = waits.Tracker(wait, time.time()).saw(self.hook.look(wait.call()))
        except CallError:
            return None
        except WaitError as e:
            return waits.Outcome.of_error(e)
        return waits.Outcome("succeeded", look.result) if look.verdict == "succeeded" else None

    def _defer(self, doing: Try, wait: waits.Wait, carried: Carried) -> NoReturn:
        limit = self._limit(doing, carried)
        carried = replace(carried, started=doing.started)
        if getattr(self, f"{self.what}_name") is not None:
            carried = replace(carried, found=getattr(self, f"{self.what}_id"))
        kind, what = trigger_of(wait)
        trigger = kind(
            **what,
            daocloud_conn_id=self.daocloud_conn_id,
            started=time.time(),
            timeout=limit.seconds,
            limit=limit.name,
            poll_interval=self.poll_interval,
            max_outage=self.max_outage,
            memory=self._memory(carried),
            end_task=self.ends_with(carried) and ends_from_trigger(self),
            push_result=self.do_xcom_push,
            carry=carried.as_json(),
        )
        self.hook.close()
        self.defer(trigger=trigger, method_name="execute_complete", timeout=limit.backstop)
        raise AssertionError("defer raises")

    def ends_with(self, carried: Carried) -> bool:
        """Whether nothing more is to be done once this wait has succeeded."""
        return carried.stage == "action"

    def on_kill(self) -> None:
        """Say what goes on without us: DaoCloud has no call that cancels an action."""
        # Airflow 3 calls this while `execute` runs, which then runs on for some seconds.
        self._killed = True
        if self._waited_for is not None:
            self.log.warning(
                "No longer waiting for %s: it goes on at DaoCloud, and cannot be cancelled.",
                self._waited_for,
            )


@dataclass
class Try:
    """What a try has at hand.

    :param context: Airflow's.
    :param journal: what earlier tries left, and what this one does.
    :param course: how far the wish is.
    :param started: when it began, in whichever process, in seconds since the epoch.
    """

    context: Context
    journal: Journal
    course: Course
    started: float

    @property
    def wish(self) -> Wish:
        """Which wish the try belongs to."""
        return _wish(self.context)


@dataclass(frozen=True)
class Carried:
    """What a trigger carries to the worker that goes on after it, where no journal is kept.

    :param stage: what is waited for.
    :param course: how far the wish is.
    :param result: the action, if it has ended and is being verified.
    :param timeout: seconds for this wait, if they are others than the task's ``timeout``.
    :param memory: what was seen of it before.
    :param found: the id, if a name was given: it is looked up once for a try.
    :param started: when the try began, in seconds since the epoch.
    """

    stage: Stage
    course: Course
    result: dict[str, Any] | None = None
    timeout: float | None = None
    memory: dict[str, Any] | None = None
    found: str | None = None
    started: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return what the worker needs that goes on after it."""
        return {
            "stage": self.stage,
            "course": asdict(self.course),
            "result": self.result,
            "found": self.found,
            "started": self.started,
        }


def _carried(event: object) -> Carried:
    """Read what a trigger carried; one of an earlier version carried nothing."""
    carry = event.get("carry") if isinstance(event, Mapping) else None
    if carry is None:
        return Carried("action", journals.Course())
    try:
        course = journals.Course.of_json(carry["course"])
        stage, result, found = carry["stage"], carry["result"], carry.get("found")
        started = carry.get("started")
    except (KeyError, TypeError, AttributeError):
        stage, course, result, found, started = None, journals.Course(), None, None, None
    known = stage in ("action", "joined", "verify") and isinstance(found, str | None)
    known = known and isinstance(started, int | float | None)
    if not known or not isinstance(result, dict | None):
        raise InputError("event", f"the trigger carried something foreign: {carry!r:.200}")
    return Carried(stage, course, result, found=found, started=started)


def _pushed_id(task: DaoCloudActOperator, context: Context) -> str:
    ti, key = context["ti"], task.id_key
    found: Any = ti.xcom_pull(task_ids=task.task_id, key=key, map_indexes=ti.map_index)
    return protocol.checked(key, found)


def _wish(context: Context) -> Wish:
    ti, run = context["ti"], context["dag_run"]
    return journals.Wish(
        max_tries=int(ti.max_tries or 0),
        try_number=int(ti.try_number),
        clears=int(getattr(run, "clear_number", 0) or 0),
    )


def _retry_of_run(task: DaoCloudActOperator, context: Context) -> float | None:
    """Return how long ago the DAG run began, if this try is a retry; else None."""
    ti, run = context["ti"], context["dag_run"]
    # A clear leaves max_tries at the try number plus the retries, so this is the first try since.
    first_try = int(ti.max_tries or 0) - int(task.retries or 0) + 1
    if int(ti.try_number) <= first_try or run.start_date is None:
        return None
    return time.time() - float(run.start_date.timestamp())
