"""Operators that act on apps: start, stop, restart and redeploy."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_daocloud import waits
from airflow_provider_daocloud.api import protocol
from airflow_provider_daocloud.api.errors import InputError, WaitTimeoutError
from airflow_provider_daocloud.deferral import TimeLimit, default_deferrable
from airflow_provider_daocloud.exceptions import airflow_errors, outcome_error
from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook
from airflow_provider_daocloud.triggers.daocloud import DaoCloudActionTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


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
    :param daocloud_conn_id: the Connection of type ``daocloud`` (templated).
    :return: the finished action as JSON-safe data: ``action_id``, ``action_name``, ``state``,
        ``app_id``, ``start_date``, ``end_date``, ``time_cost_seconds``, ``error_message``. The
        action id is pushed as XCom ``action_id`` too, as soon as there is one.
    :raises DaoCloudActionFailedError: DaoCloud says FAILED; the error has its message.
    :raises DaoCloudWaitTimeoutError: the time is up and the action still runs.
    :raises CouldNotFindOutError: DaoCloud was unreadable for longer than ``max_outage``.
    :raises OutcomeUnknownError: nobody can tell whether the action was taken.
    :raises AirflowFailException: no retry can mend it: a bad argument, a wrong token, no such app.
    """

    template_fields: Sequence[str] = ("app_id", "daocloud_conn_id")
    ui_color: str = "#d8ecff"

    def __init__(
        self,
        *,
        app_id: str,
        wait_for_completion: bool = True,
        poll_interval: float | timedelta = 10.0,
        timeout: float | timedelta = 3600.0,
        max_outage: float | timedelta = waits.DEFAULT_MAX_OUTAGE,
        deferrable: bool | None = None,
        daocloud_conn_id: str = DaoCloudHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.app_id = app_id
        self.wait_for_completion = wait_for_completion
        self.poll_interval = waits.check_seconds("poll_interval", poll_interval)
        self.timeout = waits.check_seconds("timeout", timeout)
        self.max_outage = waits.check_seconds("max_outage", max_outage, zero=True)
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.daocloud_conn_id = daocloud_conn_id
        self._running_action: str | None = None
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
        """Post the action, and wait for it unless told not to."""
        began = time.time()
        with airflow_errors():
            call = self.call()
            action_id = self.hook.send(call)
            self.log.info("DaoCloud accepted %s as action %s", call, action_id)
            context["ti"].xcom_push(key="action_id", value=action_id)
            if not self.wait_for_completion:
                return action_id
            if not self.deferrable:
                return self._block(action_id, began)
        self._defer(action_id, began)
        return None  # never reached: defer raises

    def execute_complete(
        self,
        context: Context,  # noqa: ARG002 - Airflow passes it
        event: Any = None,
    ) -> dict[str, Any]:
        """Return the finished action, or raise why the wait ended without success."""
        with airflow_errors():
            outcome = waits.Outcome.of_event(event)
        if outcome.kind != "succeeded":
            raise outcome_error(outcome, waits.ActionWait.failure)
        return outcome.result or {}

    def _block(self, action_id: str, began: float) -> dict[str, Any]:
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
            raise outcome_error(outcome, waits.ActionWait.failure) from e
        self._running_action = None
        return look.result

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
        )
        self.hook.close()
        self.defer(trigger=trigger, method_name="execute_complete", timeout=limit.backstop)

    def on_kill(self) -> None:
        """Say what goes on without us: DaoCloud has no call that cancels an action."""
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

    def __init__(
        self, *, app_id: str, action: Literal["start", "stop", "restart"], **kwargs: Any
    ) -> None:
        super().__init__(app_id=app_id, **kwargs)
        if action not in protocol.APP_ACTIONS:
            raise InputError(
                "action", f"must be one of {', '.join(protocol.APP_ACTIONS)}, not {action!r}."
            )
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
    """

    template_fields: Sequence[str] = (*DaoCloudActOperator.template_fields, "release_name")

    def __init__(self, *, app_id: str, release_name: str, **kwargs: Any) -> None:
        super().__init__(app_id=app_id, **kwargs)
        self.release_name = release_name

    def call(self) -> protocol.Call[str]:
        """Return the call that posts the action."""
        return protocol.redeploy_app(self.app_id, self.release_name)
