"""What the sensors share: all of a sensor but what it waits for."""

from __future__ import annotations

import inspect
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow_provider_daocloud.api.errors import (
    CallError,
    DaoCloudError,
    InputError,
    NotFoundError,
    WaitError,
    WaitTimeoutError,
)
from airflow_provider_daocloud.api.validation import (
    DEFAULT_MAX_OUTAGE,
    INITIAL_INTERVAL,
    NOT_GIVEN,
    TextFields,
    check_seconds,
)
from airflow_provider_daocloud.assets import describe_events
from airflow_provider_daocloud.compat import (
    AirflowException,
    AirflowNotFoundException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
)
from airflow_provider_daocloud.exceptions import (
    FailsWhenUnmapped,
    explained,
    outcome_error,
    outcome_of,
    was_mapped,
)
from airflow_provider_daocloud.hooks.base import DaoCloudBaseHook
from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook
from airflow_provider_daocloud.links import push_links
from airflow_provider_daocloud.references import Reference
from airflow_provider_daocloud.triggers.daocloud import DaoCloudTrigger
from airflow_provider_daocloud.triggers.deferral import (
    TimeLimit,
    airflow_version,
    default_deferrable,
    ends_from_trigger,
    growing,
    outcome_of_event,
    why_not_end_from_trigger,
    why_not_start_from_trigger,
)

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_daocloud.arguments import AirflowSensorArguments
    from airflow_provider_daocloud.compat import Context
    from airflow_provider_daocloud.core.waiting.progress_log import ProgressLog
    from airflow_provider_daocloud.core.waiting.tracker import Tracker
    from airflow_provider_daocloud.core.waiting.wait import Observation, Outcome, Wait

# What a sensor in reschedule mode remembers between its pokes, in the task state store (3.3+).
STATE_KEY = "daocloud_wait"


class DaoCloudBaseSensor(FailsWhenUnmapped, TextFields, Reference, BaseSensorOperator):
    """Base of the sensors. All fields of Airflow's own sensors work as usual.

    A fault of DaoCloud or of the network does not end the wait: it ends as an outage only when
    DaoCloud was unreadable for ``max_outage``. A failure, a time-out and an error that no retry can
    fix become a skip with ``soft_fail`` or ``never_fail``; an outage becomes one with
    ``never_fail`` alone.

    :param max_outage: seconds (or a timedelta) for which DaoCloud may be unreadable; 0 ends the
        wait at the first fault.
    :param daocloud_conn_id: the Connection of type ``daocloud`` (templated).
    :param poke_interval: seconds (or a timedelta) between two pokes. Default: 10, and 60 in
        ``reschedule`` mode, where each poke starts a process. When deferred it is the longest time
        between two observations, and the first come sooner; with ``exponential_backoff`` the
        shortest.
    :param deferrable: whether to wait in the triggerer, which costs next to nothing. Default:
        ``[operators] default_deferrable``.
    :param end_from_trigger: whether the triggerer may end the task when the wait has succeeded, so
        that no worker is needed for it. Where Airflow would drop something (a success callback,
        outlet events), a worker ends the task all the same, and its log says so.
    :param start_from_trigger: whether the triggerer may start the task, so that no worker is
        needed at all. Where that cannot work (an argument from another task, a mapped task, Airflow
        before 3.3), a worker starts it all the same, and its log says so.
    :raises AirflowSensorTimeout: the time is up; a final poll was made then.
    :raises OutageError: DaoCloud was unreadable for longer than ``max_outage``.
    :raises AirflowFailException: no retry can fix it: a bad argument, a wrong token, no such
        resource.
    """

    template_fields: Sequence[str] = ("daocloud_conn_id",)
    ui_color: str = "#d8f5e6"
    trigger_class: ClassVar[type[DaoCloudTrigger]]
    failure: ClassVar[type[WaitError]]
    # Arguments that can be left out, and in which a None of another task is a value all the same.
    optional: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        *,
        max_outage: float | timedelta = DEFAULT_MAX_OUTAGE,
        daocloud_conn_id: str = DaoCloudHook.default_conn_name,
        poke_interval: float | timedelta | None = None,
        timeout: float | timedelta | None = None,
        mode: str = "poke",
        deferrable: bool | None = None,
        end_from_trigger: bool = False,
        start_from_trigger: bool = False,
        **kwargs: Unpack[AirflowSensorArguments],
    ) -> None:
        given: dict[str, float] = {}
        if timeout is not None:  # only then: Airflow 2 does not take None for its default
            timeout = given["timeout"] = check_seconds("timeout", timeout)
        if poke_interval is None:
            poke_interval = 60.0 if mode == "reschedule" else 10.0
            poke_interval = min(poke_interval, timeout or poke_interval)
        interval = check_seconds("poke_interval", poke_interval)
        super().__init__(poke_interval=interval, mode=mode, **given, **kwargs)
        if self.timeout < interval:
            raise InputError("timeout", "must not be shorter than poke_interval.")
        self.max_outage = check_seconds("max_outage", max_outage, zero=True)
        self.daocloud_conn_id = daocloud_conn_id
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.end_from_trigger = end_from_trigger
        if start_from_trigger and not self.deferrable:
            raise InputError("start_from_trigger", "needs deferrable=True.")
        self._start_wanted = start_from_trigger
        self._why_a_worker = "it is mapped, or run by dag.test()"
        self._tracker: Tracker | None = None
        self._limit = TimeLimit(self.timeout)

    @classmethod
    def partial(cls, **arguments: Any) -> Any:  # type: ignore[override, unused-ignore]
        """Return what is the same for all tasks of a mapped one, as for every operator.

        A None that stands here is that of the DAG file: left out. See `given`.
        """
        left_out = [name for name in cls.optional if arguments.get(name) is None]
        return super().partial(
            **{name: value for name, value in arguments.items() if name not in left_out}
        )

    def given(self, value: Any) -> tuple[Any, bool]:
        """Return an argument, and whether it is given: in ``__init__``, before it is rendered.

        A template is given, whatever it renders to. So is what a mapped task gets, also None.

        :param value: one of the `optional` arguments.
        """
        if value is NOT_GIVEN:
            return None, False
        return value, value is not None or was_mapped(self)

    @abstractmethod
    def wait_arguments(self) -> dict[str, Any]:
        """Return what the trigger needs to know of what to wait for."""

    def wait(self) -> Wait:
        """Return what to wait for: what the trigger would. Raises InputError for a bad argument."""
        return self.trigger_class(**self.wait_arguments()).wait()

    @cached_property
    def hook(self) -> DaoCloudBaseHook:
        """The hook of the connection."""
        return DaoCloudHook(self.daocloud_conn_id)

    def execute(self, context: Context) -> Any:
        """Wait as Airflow's sensors do, and end as in every other mode."""
        from airflow_provider_daocloud.core.waiting.wait import Outcome

        if self.deferrable:
            return self._done(context, self._defer(context))
        if not self.reschedule:  # there, Airflow applies execution_timeout to each poke alone
            self._limit = TimeLimit.of(self.timeout, self.execution_timeout)
            self.timeout = self._limit.seconds
        try:
            # Unwrapped: Airflow 2 takes a nested execute for one outside of any task, warns, and
            # with allow_nested_operators=False refuses it.
            result = inspect.unwrap(BaseSensorOperator.execute)(self, context)
            return self._done(context, result)
        except (AirflowSensorTimeout, AirflowSkipException) as e:
            ours = e.__cause__ is not None or e.__suppress_context__
            if not ours and self._tracker is not None:  # Airflow's own: the time is up
                outcome = Outcome.of_error(self._tracker.timed_out(self.timeout))
                self._end(replace(outcome, timeout_setting=self._limit.name))
            raise

    def resume_execution(
        self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context
    ) -> Any:
        """Resume, and end as in every mode, where Airflow's sensors would end in another way.

        A trigger that crashed is an outage: no failure that ``soft_fail`` lets pass.
        """
        never_came_back = next_method == "__fail__"
        crashed = never_came_back and "timeout" not in str((next_kwargs or {}).get("error"))
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except AirflowSkipException as e:
            cause = e.__cause__
            if isinstance(cause, AirflowSkipException) or (
                crashed and cause is not None and not self.never_fail
            ):
                raise cause from cause.__cause__
            raise
        except AirflowException as e:
            # Airflow 2 knows soft_fail alone here, and 3.0 not even that for a time-out.
            lets_pass = self.never_fail or (self.soft_fail and not crashed)
            if never_came_back and lets_pass:
                raise AirflowSkipException(str(e)) from e
            raise

    def execute_complete(
        self,
        context: Context,
        event: Any = None,
    ) -> Any:
        """Return the resource, or raise why the wait ended without success: as in every mode."""
        try:
            outcome = outcome_of_event(
                event, self._found, self.hook.send, may_end=self.end_from_trigger
            )
        except (DaoCloudError, AirflowNotFoundException) as e:
            outcome = outcome_of(e)
        if outcome.status != "succeeded":
            self._end(outcome)
        if outcome.message:
            self.log.info("%s", outcome.message)  # Airflow shows the log of the last wait alone
        return self._done(context, outcome.result)

    def _done(self, context: Context, result: Any) -> Any:
        """Let the outlet events carry the result; return it."""
        describe_events(self, context, result)
        return result

    def _found(self) -> Wait:
        """Return what to wait for, when the list was read that its name is looked up in."""
        from airflow_provider_daocloud.resources.names import resolve

        self.take_defaults(self.hook.get_conn().endpoint)
        resolve(
            self,
            lambda: self.wait().request(),
            timeout=self.timeout,
            max_outage=self.max_outage,
        )
        return self.wait()

    def _defer(self, context: Context) -> Any:  # noqa: RET503 - defer raises
        from airflow_provider_daocloud.core.waiting.tracker import Tracker

        began = time.time()
        if self._start_wanted:
            self.log.info("A worker starts this task, not the trigger: %s.", self._why_a_worker)
        end_task = ends_from_trigger(self)
        try:
            wait = self._found()
            wait_state = {"read": self.hook.has_read}
            tracker = Tracker(wait, began, self.max_outage, wait_state, self.resource_name)
            self._push_links(context)
            try:
                observation = tracker.saw(self._ask(tracker))
            except CallError as e:
                tracker.missed(e, time.time())
            else:
                if observation.verdict == "succeeded":
                    self.log.info("%s", tracker.success(time.time()))
                    return observation.result
            self._progress_log.add(tracker, time.time())
        except (DaoCloudError, AirflowNotFoundException) as e:
            self._end(outcome_of(e))
        finally:
            self.hook.close()
        limit = TimeLimit.of(self.timeout, self.execution_timeout, time.time() - began)
        arguments = self._trigger_arguments(limit, end_task)
        arguments |= {
            "started_at": began,
            "wait_state": tracker.wait_state,
            "resource_name": tracker.name,
        }
        self.defer(
            trigger=self.trigger_class(**arguments),
            method_name="execute_complete",
            timeout=limit.backstop,
        )

    def _trigger_arguments(self, limit: TimeLimit, end_task: bool) -> dict[str, Any]:
        if self.exponential_backoff:
            intervals = growing(self.poke_interval, self.max_wait)
        else:
            intervals = {"poll_interval": self.poke_interval}
        return {
            **self.wait_arguments(),
            **intervals,
            "daocloud_conn_id": self.daocloud_conn_id,
            "timeout": limit.seconds,
            "timeout_setting": limit.name,
            "max_outage": self.max_outage,
            "end_task": end_task,
            "push_result": self.do_xcom_push,
        }

    def _may_start_from_trigger(self) -> None:
        """Let the triggerer start this task, if it can; called at the end of ``__init__``.

        Set on the instance: a mapped task would start with a class attribute's arguments.
        """
        if not self._start_wanted:
            return
        values = [getattr(self, name) for name in self.template_fields]
        why_not = why_not_start_from_trigger(self, values)
        if why_not is not None:
            self._why_a_worker = why_not
            return
        from airflow.triggers.base import StartTriggerArgs

        limit = TimeLimit.of(self.timeout, self.execution_timeout)
        end_task = self.end_from_trigger and why_not_end_from_trigger(self) is None
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls=f"{self.trigger_class.__module__}.{self.trigger_class.__qualname__}",
            trigger_kwargs=self._trigger_arguments(limit, end_task),
            next_method="execute_complete",
            timeout=limit.backstop,
        )
        self.start_from_trigger = True

    def poke(self, context: Context) -> PokeReturnValue:
        """Observe once. Returns the resource as JSON-safe data when the wait has succeeded."""
        from airflow_provider_daocloud.resources.names import NameWait, take

        try:
            tracker = self._tracker = self._tracker or self._begin(context)
            observation = self._observe(context, tracker)
            if observation is not None and isinstance(tracker.wait, NameWait):
                take(self, tracker.wait, observation.result["id"])
                self._push_links(context)
                wait_state = {"read": True}
                tracker = replace(tracker, wait=self.wait(), wait_state=wait_state, last=None)
                self._tracker = tracker
                observation = self._observe(context, tracker)
        except (DaoCloudError, AirflowNotFoundException) as e:
            self._end(outcome_of(e))
        self._remember(context, tracker)
        self._progress_log.add(tracker, time.time())
        if observation is not None and observation.verdict == "succeeded":
            return PokeReturnValue(is_done=True, xcom_value=observation.result)
        return PokeReturnValue(is_done=False)

    def _observe(self, context: Context, tracker: Tracker) -> Observation | None:
        # Each poke of a rescheduled sensor is a new process. Without a store it cannot leave
        # anything to the next one.
        from airflow_provider_daocloud.core.waiting.refusals import GONE
        from airflow_provider_daocloud.core.waiting.wait import is_permanent

        alone = self.reschedule and self._store(context) is None
        while True:
            try:
                return tracker.saw(self._ask(tracker))
            except CallError as e:
                if alone and is_permanent(e) and not tracker.wait_state.get("read"):
                    before = self._rescheduled_before(context)
                    tracker.wait_state |= {"read": before, "seen": before}
                tracker.missed(e, time.time())
                # The action was just posted, so that a replica may lag behind the POST.
                lags = isinstance(e, NotFoundError) and not tracker.wait_state.get("seen")
                # This process has to find out whether the refusal stays.
                stays = alone and is_permanent(e) and e.status in GONE
                if not self.reschedule or not (lags or stays):
                    return None
            time.sleep(INITIAL_INTERVAL)

    def _rescheduled_before(self, context: Context) -> bool:
        """Whether an earlier process of this sensor has observed: a refusal would have ended it."""
        ti: Any = context["ti"]
        if airflow_version() >= (3, 0):
            return ti.get_first_reschedule_date(context) is not None
        # As Airflow 2's own sensors look up when they began.
        from airflow.sensors.base import (  # type: ignore[import-not-found, unused-ignore]
            _orig_start_date,
        )

        began: object = _orig_start_date(
            dag_id=ti.dag_id,
            task_id=ti.task_id,
            run_id=ti.run_id,
            map_index=ti.map_index,
            try_number=(ti.max_tries or 0) - (self.retries or 0) + 1,
        )
        return began is not None

    def _store(self, context: Context) -> Any:
        """Return where a rescheduled sensor keeps its memory: the task state store (3.3+)."""
        return context.get("task_state_store") if self.reschedule else None

    def _ask(self, tracker: Tracker) -> Any:
        from airflow_provider_daocloud.core.waiting.blocking import time_left

        within = time_left(tracker.started_at + self.timeout, time.time())
        return self.hook.observe(tracker.wait.request(), within=within)

    def _explained(self, outcome: Outcome) -> Outcome:
        if outcome.status not in ("failed", "timeout"):
            return outcome
        try:
            return explained(outcome, self.causes(self.wait()))
        except InputError:  # the time was up before the resource was found
            return outcome

    def _end(self, outcome: Outcome) -> NoReturn:
        error = outcome_error(self._explained(outcome), self.failure)
        if isinstance(error, WaitTimeoutError):
            error = AirflowSensorTimeout(str(error))
        if self.never_fail or (self.soft_fail and outcome.status != "unreachable"):
            raise AirflowSkipException(str(error)) from error
        raise error from None

    def _get_next_poke_interval(
        self,
        started_at: datetime | float,
        run_duration: Callable[[], float],
        poke_count: int,
    ) -> float:
        interval = super()._get_next_poke_interval(started_at, run_duration, poke_count)
        error = self._tracker.last_error if self._tracker else None
        if error is not None and error.retry_at is not None:
            interval = max(interval, error.retry_at - time.time() + 1.0)
        # The final poll comes when the time is up, not up to an interval later.
        return float(max(0.0, min(interval, self.timeout - run_duration() + 0.01)))

    @cached_property
    def _progress_log(self) -> ProgressLog:
        from airflow_provider_daocloud.core.waiting.progress_log import ProgressLog

        return ProgressLog(self.log.info, None if self.reschedule else self.timeout)

    def _push_links(self, context: Context) -> None:
        push_links(self, context["ti"], self.hook.get_conn().endpoint)

    def _begin(self, context: Context) -> Tracker:
        from airflow_provider_daocloud.core.waiting.tracker import Tracker
        from airflow_provider_daocloud.resources.names import NameWait, lookup_of

        self.take_defaults(self.hook.get_conn().endpoint)
        lookup = lookup_of(self, lambda: self.wait().request())
        wait = lookup or self.wait()
        wait.request()  # a bad id ends here, before anything is sent
        tracker = Tracker(wait, time.time(), self.max_outage, resource_name=self.resource_name)
        store = self._store(context)
        match store.get(STATE_KEY) if store is not None else None:
            case {
                "try_number": int(try_number),
                "started_at": int() | float() as started_at,
                "wait_state": dict() as wait_state,
                **more,
            } if try_number == context["ti"].try_number:
                tracker.started_at, tracker.wait_state = started_at, wait_state
                match more.get("found_id"):
                    case [str(name), str(found_id)] if lookup is not None and name == lookup.name:
                        self.take_id(found_id)
                        tracker.wait = self.wait()
        if not isinstance(tracker.wait, NameWait):
            # Airflow deletes a task's XComs when it starts it, also for the next poke.
            self._push_links(context)
        return tracker

    def _remember(self, context: Context, tracker: Tracker) -> None:
        # The store outlives tries and clears, so the entry says which try it is of.
        store = self._store(context)
        if store is not None:
            entry = {
                "try_number": context["ti"].try_number,
                "started_at": tracker.started_at,
                "wait_state": tracker.wait_state,
            }
            found_id, name = self.ref
            if name is not None and found_id is not None:
                entry["found_id"] = [name, found_id]
            store.set(STATE_KEY, entry)
