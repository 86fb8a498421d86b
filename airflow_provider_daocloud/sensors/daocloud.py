"""Sensors that wait: for an action to succeed, for a build flow to show a status."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
)

from airflow_provider_daocloud import waits
from airflow_provider_daocloud.api import protocol
from airflow_provider_daocloud.api.errors import CallError, DaoCloudError, InputError, NotFoundError
from airflow_provider_daocloud.exceptions import outcome_error
from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

# What a sensor in reschedule mode remembers between its looks, in the task state store (3.3+).
STATE_KEY = "daocloud_wait"


class DaoCloudSensor(BaseSensorOperator):
    """Base of the sensors. All fields of Airflow's own sensors work as they are known.

    A fault of DaoCloud or of the network does not end the wait: it ends as *could not find out*
    only when DaoCloud was unreadable for ``max_outage``. A thing that failed, a time-out and an
    error that no retry can mend become a skip with ``soft_fail`` or ``never_fail``; *could not find
    out* becomes one with ``never_fail`` alone.

    :param max_outage: seconds (or a timedelta) for which DaoCloud may be unreadable; 0 ends the
        wait at the first fault.
    :param daocloud_conn_id: the Connection of type ``daocloud`` (templated).
    :param poke_interval: seconds (or a timedelta) between two looks. Default: 10, and 60 in
        ``reschedule`` mode, where each look starts a process.
    :raises AirflowSensorTimeout: the time is up; a last look was taken then.
    :raises CouldNotFindOutError: DaoCloud was unreadable for longer than ``max_outage``.
    :raises AirflowFailException: no retry can mend it: a bad argument, a wrong token, no such
        thing.
    """

    template_fields: Sequence[str] = ("daocloud_conn_id",)
    ui_color: str = "#d8f5e6"

    def __init__(
        self,
        *,
        max_outage: float | timedelta = waits.DEFAULT_MAX_OUTAGE,
        daocloud_conn_id: str = DaoCloudHook.default_conn_name,
        poke_interval: float | timedelta | None = None,
        timeout: float | timedelta | None = None,
        mode: str = "poke",
        **kwargs: Any,
    ) -> None:
        if timeout is not None:
            timeout = waits.check_seconds("timeout", timeout)
        if poke_interval is None:
            poke_interval = 60.0 if mode == "reschedule" else 10.0
            poke_interval = min(poke_interval, timeout or poke_interval)
        interval = waits.check_seconds("poke_interval", poke_interval)
        super().__init__(poke_interval=interval, timeout=timeout, mode=mode, **kwargs)
        if self.timeout < interval:
            raise InputError("timeout", "is shorter than poke_interval: the wait would never look.")
        self.max_outage = waits.check_seconds("max_outage", max_outage, zero=True)
        self.daocloud_conn_id = daocloud_conn_id
        self._tracker: waits.Tracker | None = None

    @abstractmethod
    def wait(self) -> waits.Wait:
        """Return what to wait for; raises InputError for what cannot be sent."""

    @cached_property
    def hook(self) -> DaoCloudHook:
        """The hook of the connection."""
        return DaoCloudHook(self.daocloud_conn_id)

    def execute(self, context: Context) -> Any:
        """Wait as Airflow's sensors do, except that never_fail covers a time-out in every mode."""
        try:
            return super().execute(context)
        except AirflowSensorTimeout as e:
            if self.never_fail:
                raise AirflowSkipException(str(e)) from e
            raise

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once. Returns the thing as JSON-safe data when it has succeeded."""
        try:
            tracker = self._tracker = self._tracker or self._remembered(context)
            look = self._look(tracker)
        except DaoCloudError as e:
            self._end(waits.Outcome.of_error(e))
        self._remember(context, tracker)
        self._wait_log.look(tracker, time.time())
        if look is not None and look.verdict == "succeeded":
            return PokeReturnValue(is_done=True, xcom_value=look.result)
        return PokeReturnValue(is_done=False)

    def _look(self, tracker: waits.Tracker) -> waits.Look | None:
        while True:
            try:
                return tracker.saw(self.hook.look(tracker.wait.call()))
            except CallError as e:
                tracker.missed(e, time.time())
                if not (isinstance(e, NotFoundError) and self.reschedule):
                    return None
            # Each look of a rescheduled sensor is a new process, which cannot know that the action
            # was just posted: it takes the time here in which a replica may lag behind the POST.
            time.sleep(waits.FIRST_INTERVAL)

    def _end(self, outcome: waits.Outcome) -> None:
        error = outcome_error(outcome, self.wait().failure)
        if self.never_fail or (self.soft_fail and outcome.kind != "unknown"):
            raise AirflowSkipException(str(error)) from error
        raise error

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
        # The last look comes when the time is up, not up to an interval later.
        return float(max(0.0, min(interval, self.timeout - run_duration() + 0.01)))

    @cached_property
    def _wait_log(self) -> waits.WaitLog:
        return waits.WaitLog(self.log.info)

    def _remembered(self, context: Context) -> waits.Tracker:
        tracker = waits.Tracker(self.wait(), started=time.time(), max_outage=self.max_outage)
        tracker.wait.call()  # a bad id ends here, before anything is sent
        store = context.get("task_state_store") if self.reschedule else None
        entry = store.get(STATE_KEY) if store is not None else None
        if isinstance(entry, dict) and entry.get("try_number") == context["ti"].try_number:
            tracker.started = entry["started"]
            tracker.memory = entry["memory"]
        return tracker

    def _remember(self, context: Context, tracker: waits.Tracker) -> None:
        # The store outlives tries and clears, so the entry says which try it is of.
        store = context.get("task_state_store") if self.reschedule else None
        if store is not None:
            entry = {
                "try_number": context["ti"].try_number,
                "started": tracker.started,
                "memory": tracker.memory,
            }
            store.set(STATE_KEY, entry)


class DaoCloudActionSensor(DaoCloudSensor):
    """Wait until an action has succeeded: ``GET /v1/apps/{app_id}/actions/{action_id}``.

    :param app_id: the app's id (templated).
    :param action_id: the action's id, as the operator that posted it returned it (templated).
    :return: the finished action as JSON-safe data, as the operators return it.
    :raises DaoCloudActionFailed: DaoCloud says FAILED; the error has its message.
    """

    template_fields: Sequence[str] = (*DaoCloudSensor.template_fields, "app_id", "action_id")

    def __init__(self, *, app_id: str, action_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.app_id = app_id
        self.action_id = action_id

    def wait(self) -> waits.ActionWait:
        """Return what to wait for."""
        return waits.ActionWait(self.app_id, self.action_id)


class DaoCloudBuildFlowSensor(DaoCloudSensor):
    """Wait until a build flow shows a status: ``GET /v1/build-flows/{build_flow_id}``.

    A flow's status is that of its latest build, so Success can be yesterday's. To wait for a *new*
    build, give the package that the flow had before it as ``not_package_id``.

    :param build_flow_id: the build flow's id (templated).
    :param target_statuses: the status to wait for, or several. Default: ``Success``.
    :param not_package_id: the package that the flow had before the build that is waited for
        (templated). If it renders to nothing, the flow had none, and any package is new.
    :return: the build flow as JSON-safe data, with the API's field names.
    :raises DaoCloudBuildFailed: the build ended in Failure, Error, Cancelled or Timeout.
    """

    template_fields: Sequence[str] = (
        *DaoCloudSensor.template_fields,
        "build_flow_id",
        "not_package_id",
    )

    def __init__(
        self,
        *,
        build_flow_id: str,
        target_statuses: str | Iterable[str] = ("Success",),
        not_package_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.build_flow_id = build_flow_id
        self.target_statuses = [str(status) for status in waits.parse_statuses(target_statuses)]
        self.not_package_id = not_package_id
        # Remembered before rendering: a template that renders to nothing still asks for a new build.
        self._new_build = not_package_id is not None

    def wait(self) -> waits.BuildFlowWait:
        """Return what to wait for."""
        package_id = self.not_package_id
        if self._new_build:
            none = package_id is None or package_id in ("", "None")
            package_id = "" if none else protocol.checked("not_package_id", package_id)
        statuses = waits.parse_statuses(self.target_statuses)
        return waits.BuildFlowWait(self.build_flow_id, statuses, package_id)
