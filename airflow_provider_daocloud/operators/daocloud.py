"""Operators that act on apps: start, stop, restart and redeploy."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowTaskTimeout, BaseOperator

from airflow_provider_daocloud.api.errors import (
    ActionFailedError,
    CallError,
    InputError,
    WaitTimeoutError,
)
from airflow_provider_daocloud.arguments import (
    APP_ACTIONS,
    DEFAULT_MAX_OUTAGE,
    DEFAULT_SETTLE,
    IF_BUSY,
    ON_AMBIGUOUS,
    AppAction,
    IfBusy,
    OnAmbiguous,
    check_seconds,
    one_of,
)
from airflow_provider_daocloud.deferral import (
    TimeLimit,
    default_deferrable,
    ends_from_trigger,
    outcome_of_event,
)
from airflow_provider_daocloud.exceptions import airflow_errors, outcome_error
from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook
from airflow_provider_daocloud.lazy import lazy
from airflow_provider_daocloud.links import AppLink, push_links
from airflow_provider_daocloud.triggers.daocloud import DaoCloudActionTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_daocloud import acting, waits
    from airflow_provider_daocloud import journal as journals
    from airflow_provider_daocloud.acting import Act
    from airflow_provider_daocloud.api import policy, protocol
    from airflow_provider_daocloud.journal import Journal, Wish
else:
    acting = lazy("airflow_provider_daocloud.acting")
    journals = lazy("airflow_provider_daocloud.journal")
    policy = lazy("airflow_provider_daocloud.api.policy")
    protocol = lazy("airflow_provider_daocloud.api.protocol")
    waits = lazy("airflow_provider_daocloud.waits")

T = TypeVar("T")


class DaoCloudActOperator(BaseOperator):
    """Base of the operators that act on an app: post the action, then wait until it succeeded.

    :param app_id: the app's id (templated).
    :param wait_for_completion: whether to wait. If not, the task returns the action id, for a
        `DaoCloudActionSensor`.
    :param poll_interval: the longest time between two looks, in seconds (or a timedelta); the
        first looks come sooner.
    :param timeout: seconds (or a timedelta) to wait for the action; a last look is taken then.
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
        the app, and go by what it shows; *outcome unknown* where that does not suffice. ``adopt``:
        take any operation on the app since then for ours (if nobody else touches it). ``resend``:
        post again (if two are harmless). ``fail``: *outcome unknown* at once.
    :param if_busy: what to do if another action runs on the app. ``wait`` until it has ended,
        ``send`` all the same, or ``fail``.
    :param settle: seconds (or a timedelta) for which ``verify`` and ``adopt`` watch the app before
        they take a POST never to have arrived.
    :param daocloud_conn_id: the Connection of type ``daocloud`` (templated).
    :return: the finished action as JSON-safe data: ``action_id``, ``action_name``, ``state``,
        ``app_id``, ``start_date``, ``end_date``, ``time_cost_seconds``, ``error_message``. The
        action id is pushed as XCom ``action_id`` too, as soon as there is one.
    :raises DaoCloudActionFailedError: DaoCloud says FAILED; the error has its message.
    :raises DaoCloudWaitTimeoutError: the time is up and the action still runs.
    :raises CouldNotFindOutError: DaoCloud was unreadable for longer than ``max_outage``.
    :raises OutcomeUnknownError: nobody can tell whether the action was taken; the text has the
        evidence, and what a person should look at.
    :raises AppBusyError: another action runs on the app.
    :raises AirflowFailException: no retry can mend it: a bad argument, a wrong token, no such app.
    """

    template_fields: Sequence[str] = ("app_id", "daocloud_conn_id")
    ui_color: str = "#d8ecff"
    operator_extra_links = (AppLink(),)

    def __init__(
        self,
        *,
        app_id: str,
        wait_for_completion: bool = True,
        poll_interval: float | timedelta = 10.0,
        timeout: float | timedelta = 3600.0,
        max_outage: float | timedelta = DEFAULT_MAX_OUTAGE,
        deferrable: bool | None = None,
        end_from_trigger: bool = False,
        durable: bool = True,
        on_ambiguous: OnAmbiguous = "verify",
        if_busy: IfBusy = "wait",
        settle: float | timedelta = DEFAULT_SETTLE,
        daocloud_conn_id: str = DaoCloudHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.app_id = app_id
        self.wait_for_completion = wait_for_completion
        self.poll_interval = check_seconds("poll_interval", poll_interval)
        self.timeout = check_seconds("timeout", timeout)
        self.max_outage = check_seconds("max_outage", max_outage, zero=True)
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.end_from_trigger = end_from_trigger
        self.durable = durable
        self.on_ambiguous = one_of("on_ambiguous", on_ambiguous, ON_AMBIGUOUS)
        self.if_busy = one_of("if_busy", if_busy, IF_BUSY)
        self.settle = check_seconds("settle", settle, zero=True)
        self.skip_if_current = False
        self.daocloud_conn_id = daocloud_conn_id
        self._running_action: str | None = None
        self._killed = False
        if self.timeout < self.poll_interval:
            raise InputError("timeout", "is shorter than poll_interval: the wait would never look.")

    @abstractmethod
    def call(self) -> protocol.Call[str]:
        """Return the call that posts the action; raises InputError for what cannot be sent."""

    @cached_property
    def hook(self) -> DaoCloudHook:
        """The hook of the connection."""
        return DaoCloudHook(self.daocloud_conn_id)

    def execute(self, context: Context) -> dict[str, Any] | str | None:
        """Post the action unless an earlier try did, and wait for it unless told not to."""
        began = time.time()
        journal = self._journal(context)
        if self.durable and journal.store is None:
            self.log.info(
                "This Airflow keeps no task state (3.3 does): a retry can go by what the app shows "
                "alone, and not know an action that an earlier try posted."
            )
        with airflow_errors(), self._leaving(journal, _wish(context)):
            act = self._act(context, journal)
            push_links(self, context["ti"], self.hook.get_conn().endpoint)
            begun = act.begin()
            if isinstance(begun, acting.Done):
                return begun.result
            action_id = begun.action_id
            self.log.info("Action %s of app %s: %s", action_id, self.app_id, self.call())
            context["ti"].xcom_push(key="action_id", value=action_id)
            if not self.wait_for_completion:
                return action_id
            if not self.deferrable:
                return self._block(action_id, began, journal)
            if begun.joined and (result := self._ended(action_id)) is not None:
                journal.note(phase="settled", result=result)
                return result
            # From here on the next try is a retry, whatever else is cleared in the DAG run.
            journal.note(left="deferred")
        self._defer(action_id, began)
        return None  # never reached: defer raises

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Return the finished action, or raise why the wait ended without success."""
        journal = self._journal(context)
        with airflow_errors():
            journal.read()
            outcome = outcome_of_event(
                event,
                lambda: waits.ActionWait(self.app_id, _pushed_action_id(self, context)),
                self.hook.send,
                may_end=self.end_from_trigger,
            )
        ours = journal.entry.action_id if journal.entry else None
        theirs = (outcome.result or {}).get("action_id")
        if None not in (ours, theirs) and ours != theirs:
            # After a clear, the trigger of the former try can still fire; where Airflow's database
            # uses ids again (SQLite), its event wakes this try.
            self.log.warning("An event of action %s: still waiting for %s.", theirs, ours)
            self._defer(str(ours), time.time())
        if outcome.kind == "succeeded":
            journal.note(phase="settled", result=outcome.result, left=None)
            return outcome.result or {}
        if outcome.kind == "failed":
            journal.note(phase="settled", result=None)
        raise outcome_error(outcome, ActionFailedError)

    def _act(self, context: Context, journal: Journal) -> Act:
        """Return the wish for this action."""
        return acting.Act(
            call=self.call(),
            app_id=self.app_id,
            journal=journal,
            wish=_wish(context),
            send=partial(self.hook.send, patience=max(self.max_outage, policy.DEFAULT_PATIENCE)),
            log=self.log.info,
            on_ambiguous=self.on_ambiguous,
            if_busy=self.if_busy,
            settle=self.settle,
            timeout=self.timeout,
            needs_id=not self.wait_for_completion,
            skip_if_current=self.skip_if_current,
            run_seconds=None if journal.store is not None else _retry_of_run(self, context),
            server_time=lambda: self.hook.get_conn().server_time,
            stopped=lambda: self._killed,
        )

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
        except ActionFailedError:
            journal.note(phase="settled", result=None)
            raise
        except (Exception, AirflowTaskTimeout) as e:
            # An entry that this try did not make its own says nothing of this try.
            if journal.entry is not None and journal.entry.wish == wish:
                journal.note(left=type(e).__name__)
            raise

    def _block(self, action_id: str, began: float, journal: Journal) -> dict[str, Any]:
        self._running_action = action_id
        limit = TimeLimit.of(self.timeout, self.execution_timeout, time.time() - began)
        try:
            look = waits.block(
                waits.ActionWait(self.app_id, action_id),
                self.hook.look,
                timeout=limit.seconds,
                poll_interval=self.poll_interval,
                max_outage=self.max_outage,
                log=self.log.info,
            )
        except WaitTimeoutError as e:
            outcome = replace(waits.Outcome.of_error(e), limit=limit.name)
            raise outcome_error(outcome, ActionFailedError) from e
        self._running_action = None
        journal.note(phase="settled", result=look.result)
        return look.result

    def _ended(self, action_id: str) -> dict[str, Any] | None:
        """Look once at an action of an earlier try; return it if it has succeeded.

        A deferral that ends at once is more than a waste: Airflow may take it for a killed process,
        and that costs a try.
        """
        wait = waits.ActionWait(self.app_id, action_id)
        try:
            look = waits.Tracker(wait, time.time()).saw(self.hook.look(wait.call()))
        except CallError:
            return None
        return look.result if look.verdict == "succeeded" else None

    def _defer(self, action_id: str, began: float) -> None:
        now = time.time()
        limit = TimeLimit.of(self.timeout, self.execution_timeout, now - began)
        trigger = DaoCloudActionTrigger(
            app_id=self.app_id,
            action_id=action_id,
            daocloud_conn_id=self.daocloud_conn_id,
            started=now,
            timeout=limit.seconds,
            limit=limit.name,
            poll_interval=self.poll_interval,
            max_outage=self.max_outage,
            end_task=ends_from_trigger(self),
            push_result=self.do_xcom_push,
        )
        self.hook.close()
        self.defer(trigger=trigger, method_name="execute_complete", timeout=limit.backstop)

    def on_kill(self) -> None:
        """Say what goes on without us: DaoCloud has no call that cancels an action."""
        # Airflow 3 calls this while `execute` runs, which then runs on for some seconds.
        self._killed = True
        if self._running_action:
            self.log.warning(
                "Action %s of app %s goes on at DaoCloud: it cannot be cancelled.",
                self._running_action,
                self.app_id,
            )


class DaoCloudAppActionOperator(DaoCloudActOperator):
    """Start, stop or restart an app, and wait until DaoCloud says that it succeeded.

    ``POST /v1/apps/{app_id}/actions/start``, ``stop`` or ``restart``. See `DaoCloudActOperator`
    for what is returned and raised.

    :param app_id: the app's id (templated).
    :param action: ``start``, ``stop`` or ``restart``.
    """

    def __init__(self, *, app_id: str, action: AppAction, **kwargs: Any) -> None:
        super().__init__(app_id=app_id, **kwargs)
        if action not in APP_ACTIONS:
            raise InputError("action", f"must be one of {', '.join(APP_ACTIONS)}, not {action!r}.")
        self.action = action

    def call(self) -> protocol.Call[str]:
        """Return the call that posts the action."""
        return protocol.act_on_app(self.app_id, self.action)


class DaoCloudRedeployOperator(DaoCloudActOperator):
    """Redeploy an app to a release, and wait until DaoCloud says that it succeeded.

    ``POST /v1/apps/{app_id}/actions/redeploy``. Redeploying the current release is normal. See
    `DaoCloudActOperator` for what is returned and raised.

    :param app_id: the app's id (templated).
    :param release_name: the release (image tag) to deploy (templated).
    :param skip_if_current: leave an app alone that runs this release already; the result then has
        ``"skipped": True`` and no action id.
    """

    template_fields: Sequence[str] = (*DaoCloudActOperator.template_fields, "release_name")

    def __init__(
        self, *, app_id: str, release_name: str, skip_if_current: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(app_id=app_id, **kwargs)
        self.release_name = release_name
        self.skip_if_current = skip_if_current

    def call(self) -> protocol.Call[str]:
        """Return the call that posts the action."""
        return protocol.redeploy_app(self.app_id, self.release_name)


def _pushed_action_id(task: DaoCloudActOperator, context: Context) -> str:
    ti = context["ti"]
    found: Any = ti.xcom_pull(task_ids=task.task_id, key="action_id", map_indexes=ti.map_index)
    return protocol.checked("action_id", found)


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
