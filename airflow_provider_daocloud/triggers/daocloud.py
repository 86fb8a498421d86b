"""Triggers: the waits, run in the triggerer by the shared poller.

Class paths and arguments are stored in users' databases, and a triggerer can be of another version
than the worker that deferred: arguments of a later version are ignored, missing ones have defaults.
No argument is a secret, and all are JSON-safe.
"""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Iterable
from dataclasses import asdict, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_daocloud.api.errors import DaoCloudError
from airflow_provider_daocloud.api.validation import (
    DEFAULT_MAX_OUTAGE,
    INITIAL_INTERVAL,
    INTERVAL_GROWTH,
)
from airflow_provider_daocloud.links import (
    AppLink,
    BuildFlowLink,
    DashboardLink,
    StackLink,
    push_link,
)
from airflow_provider_daocloud.triggers.deferral import TimeLimit, why_a_worker_pushes

if TYPE_CHECKING:
    from airflow_provider_daocloud.api.endpoint import Endpoint
    from airflow_provider_daocloud.core.waiting.wait import Outcome, Wait
    from airflow_provider_daocloud.resources.openapi.app import ActionWait, AppWait
    from airflow_provider_daocloud.resources.openapi.build_flow import BuildFlowWait, BuildWait
    from airflow_provider_daocloud.resources.openapi.stack import StackActionWait

DEFAULT_TIMEOUT = 3600.0
DEFAULT_POLL_INTERVAL = 10.0
# Seconds in which a trigger must store an XCom, which may mean a file in another network.
PUSH_SECONDS = 60.0


class DaoCloudTrigger(BaseTrigger):
    """Base of the triggers: waits, and fires one event that says how it ended.

    :param daocloud_conn_id: the Connection of type ``daocloud``.
    :param started_at: when the wait began, in seconds since the epoch; now, if not given.
    :param timeout: seconds from ``started_at`` until the time is up; a final poll is made then.
    :param poll_interval: the longest time between two observations, in seconds; the first come
        sooner.
    :param initial_interval: seconds between the first two observations.
    :param interval_growth: the part of the time waited so far that a pause is at most.
    :param max_outage: seconds for which DaoCloud may be unreadable.
    :param wait_state: what was seen of the wait before it was deferred.
    :param timeout_setting: which of the task's settings ``timeout`` is: ``timeout`` or
        ``execution_timeout``.
    :param end_task: whether to end the task here when the wait has succeeded. Where the result
        cannot be stored from here, a worker ends it all the same.
    :param push_result: whether to push the result as the task's return value then.
    :param resource_name: the name of the resource, for the log.
    :param result_fields: what the result has beside what the service returns.
    :param checkpoint: JSON-safe data that the event returns unchanged, so that the worker that
        resumes knows where it is.
    """

    link: ClassVar[DashboardLink]
    # The kind of wait that it runs.
    wait_kind: ClassVar[str]

    def __init__(
        self,
        *,
        daocloud_conn_id: str = "daocloud_default",
        started_at: float | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        poll_interval: float = DEFAULT_POLL_INTERVAL,
        initial_interval: float = INITIAL_INTERVAL,
        interval_growth: float = INTERVAL_GROWTH,
        max_outage: float = DEFAULT_MAX_OUTAGE,
        wait_state: dict[str, Any] | None = None,
        timeout_setting: str = "timeout",
        end_task: bool = False,
        push_result: bool = True,
        resource_name: str | None = None,
        result_fields: dict[str, Any] | None = None,
        checkpoint: dict[str, Any] | None = None,
        **_unknown: Any,  # arguments of a later version
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.daocloud_conn_id = daocloud_conn_id
        self.started_at = started_at
        self.timeout = timeout
        self.poll_interval = poll_interval
        self.initial_interval = initial_interval
        self.interval_growth = interval_growth
        self.max_outage = max_outage
        self.wait_state = wait_state
        self.timeout_setting = timeout_setting
        self.end_task = end_task
        self.push_result = push_result
        self.resource_name = resource_name
        self.result_fields = result_fields
        self.checkpoint = checkpoint
        # Set by the triggerer: when Airflow itself would time the task out.
        self.timeout_after: datetime | None = None

    @staticmethod
    def read_connection(connection: Any) -> Endpoint:
        """Return where a Connection of the trigger's type leads.

        :param connection: the Connection.
        :raises InputError: a field of it is missing or unusable.
        """
        from airflow_provider_daocloud.hooks.connection import endpoint_of

        return endpoint_of(connection)

    @abstractmethod
    def wait(self) -> Wait:
        """Return what to wait for."""

    @property
    @abstractmethod
    def resource_id(self) -> str:
        """The id of the resource that is waited for."""

    @abstractmethod
    def wait_arguments(self) -> dict[str, Any]:
        """Return the arguments of what to wait for."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments, as they are stored."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            self.wait_arguments()
            | {
                "daocloud_conn_id": self.daocloud_conn_id,
                "started_at": self.started_at,
                "timeout": self.timeout,
                "poll_interval": self.poll_interval,
                "initial_interval": self.initial_interval,
                "interval_growth": self.interval_growth,
                "max_outage": self.max_outage,
                "wait_state": self.wait_state,
                "timeout_setting": self.timeout_setting,
                "end_task": self.end_task,
                "push_result": self.push_result,
                "resource_name": self.resource_name,
                "result_fields": self.result_fields,
                "checkpoint": self.checkpoint,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and fire one event: the `Outcome` as JSON-safe data. Safe to start again.

        A success can end the task at once. Every other end goes through a worker, where retries
        and callbacks are as they are everywhere.
        """
        from airflow_provider_daocloud.core.waiting.wait import Outcome

        try:
            wait = self.wait()
            wait.request()  # a bad id ends here, before anything is sent
        except DaoCloudError as e:
            outcome = Outcome.of_error(e)
        else:
            outcome = await self._wait_for(wait)
        if outcome.status == "succeeded" and self.end_task and await self._push(outcome.result):
            from airflow.triggers.base import TaskSuccessEvent

            yield TaskSuccessEvent()
        else:
            event = replace(outcome, timeout_setting=self.timeout_setting).as_event()
            if self.checkpoint is not None:
                event["checkpoint"] = self.checkpoint
            yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Say what continues without us (3.3+): DaoCloud has no call that cancels an action."""
        wait = self.wait()
        title = wait.title(self.resource_name)
        self.log.warning("No longer waiting for %s: it continues at DaoCloud (%s).", title, wait)

    async def _wait_for(self, wait: Wait) -> Outcome:
        from airflow_provider_daocloud.core.polling.subscription import Subscription
        from airflow_provider_daocloud.core.waiting.backoff import Backoff
        from airflow_provider_daocloud.core.waiting.progress_log import ProgressLog
        from airflow_provider_daocloud.core.waiting.tracker import Tracker
        from airflow_provider_daocloud.triggers.poller_registry import poller_registry
        from airflow_provider_daocloud.triggers.wait_session import WaitSession

        started_at = self._started()
        wait_state = dict(self.wait_state or {})
        tracker = Tracker(wait, started_at, self.max_outage, wait_state, self.resource_name)
        backoff = Backoff(self.poll_interval, self.initial_interval, self.interval_growth)
        subscription = Subscription(tracker, backoff, self.timeout)
        log = ProgressLog(self.log.info, self.timeout)
        session = WaitSession(
            subscription,
            self.daocloud_conn_id,
            poller_registry(),
            log,
            self.read_connection,
        )
        try:
            await self._push_link()
            return await session.until_over()
        finally:
            await session.leave()

    async def _push(self, result: dict[str, Any] | None) -> bool:
        """Push the result, exactly as a worker would; return whether the task may end here.

        Not in the event that ends the task: Airflow (3.3) stores what is in there past a custom
        XCom backend, and as JSON text, so that the next task would read a string.
        """
        ti: Any = self.task_instance
        if ti is None:  # ``dag.test()``
            return False
        task = getattr(ti, "task", None)  # there only if it was started from the trigger
        why_not = None if task is None else why_a_worker_pushes(task)
        if why_not is not None:
            self.log.info("A worker will end this task, not the trigger: %s.", why_not)
            return False
        if not self.push_result:
            return True
        from airflow_provider_daocloud.compat import XCom

        try:
            # In a thread, since a backend may take its time: the loop is all triggers'.
            async with asyncio.timeout(PUSH_SECONDS):
                await asyncio.to_thread(
                    XCom.set,
                    key="return_value",
                    value=(result or {}) | (self.result_fields or {}),
                    dag_id=ti.dag_id,
                    task_id=ti.task_id,
                    run_id=ti.run_id,
                    map_index=ti.map_index,
                )
        except Exception as e:
            self.log.warning(
                "The result cannot be stored from the triggerer (%s: %s): a worker will end this "
                "task.",
                type(e).__name__,
                e,
            )
            return False
        return True

    async def _push_link(self) -> None:
        """Push the task's link, if it was started from the trigger: no worker has done it."""
        from airflow_provider_daocloud.triggers.poller_registry import poller_registry

        # Airflow gives a trigger its task in this case alone (3.3+).
        if getattr(self, "task", None) is None:
            return
        ti: Any = self.task_instance
        try:
            endpoint = await poller_registry().endpoint(
                self.daocloud_conn_id, read=self.read_connection
            )
        except Exception:
            return  # the wait will say so, or outlast it
        try:
            async with asyncio.timeout(PUSH_SECONDS):
                url = self.link.url(endpoint, self.resource_id)
                await asyncio.to_thread(push_link, ti, self.link.xcom_key, url)
        except Exception as e:  # a link is not worth a wait
            self.log.warning("The link of the task cannot be stored: %s", e)

    def _started(self) -> float:
        if self.started_at is not None:
            return self.started_at
        if self.timeout_after is not None:
            # Started from the trigger: its arguments were fixed when the file was parsed. What
            # Airflow keeps of this run is its own time-out, and that survives a restart.
            backstop = TimeLimit(self.timeout).backstop.total_seconds()
            return self.timeout_after.timestamp() - backstop
        return time.time()


class DaoCloudActionTrigger(DaoCloudTrigger):
    """Waits until an action has succeeded: ``GET /v1/apps/{app_id}/actions/{action_id}``.

    :param app_id: the app.
    :param action_id: the action.
    """

    wait_kind = "action"
    link = AppLink()

    def __init__(self, *, app_id: str, action_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.app_id = app_id
        self.action_id = action_id

    @property
    def resource_id(self) -> str:
        """The id of the resource that is waited for."""
        return self.app_id

    def wait(self) -> ActionWait:
        """Return what to wait for."""
        from airflow_provider_daocloud.resources.openapi.app import ActionWait

        return ActionWait(self.app_id, self.action_id)

    def wait_arguments(self) -> dict[str, Any]:
        """Return the arguments of what to wait for."""
        return {"app_id": self.app_id, "action_id": self.action_id}


class DaoCloudStackActionTrigger(DaoCloudTrigger):
    """Waits until an action on a stack has succeeded.

    It asks ``GET /v1/stacks/{stack_id}/actions/{action_id}``.

    :param stack_id: the stack.
    :param action_id: the action.
    """

    wait_kind = "stack_action"
    link = StackLink()

    def __init__(self, *, stack_id: str, action_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stack_id = stack_id
        self.action_id = action_id

    @property
    def resource_id(self) -> str:
        """The id of the resource that is waited for."""
        return self.stack_id

    def wait(self) -> StackActionWait:
        """Return what to wait for."""
        from airflow_provider_daocloud.resources.openapi.stack import StackActionWait

        return StackActionWait(self.stack_id, self.action_id)

    def wait_arguments(self) -> dict[str, Any]:
        """Return the arguments of what to wait for."""
        return {"stack_id": self.stack_id, "action_id": self.action_id}


class DaoCloudAppTrigger(DaoCloudTrigger):
    """Waits until an app shows a state, and a release: ``GET /v1/apps``, shared by all waits.

    :param app_id: the app.
    :param target_states: the states to wait for.
    :param release_name: the release that the app is to run.
    :param fail_states: states that end the wait as failed.
    :param with_release: whether to wait for a release; if not given, whether there is a
        ``release_name``.
    """

    wait_kind = "app"
    link = AppLink()

    def __init__(
        self,
        *,
        app_id: str,
        target_states: Iterable[str] = ("RUNNING",),
        release_name: str | None = None,
        fail_states: Iterable[str] = (),
        with_release: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.app_id = app_id
        self.target_states = list(target_states)
        self.release_name = release_name
        self.fail_states = list(fail_states)
        self.with_release = with_release

    @property
    def resource_id(self) -> str:
        """The id of the resource that is waited for."""
        return self.app_id

    def wait(self) -> AppWait:
        """Return what to wait for."""
        from airflow_provider_daocloud.resources.openapi.app import AppWait

        return AppWait.of(**self.wait_arguments())

    def wait_arguments(self) -> dict[str, Any]:
        """Return the arguments of what to wait for."""
        return {
            "app_id": self.app_id,
            "target_states": self.target_states,
            "release_name": self.release_name,
            "fail_states": self.fail_states,
            "with_release": self.with_release,
        }


class DaoCloudBuildFlowTrigger(DaoCloudTrigger):
    """Waits until a build flow shows a status: ``GET /v1/build-flows``, shared by all waits.

    :param build_flow_id: the build flow.
    :param target_statuses: the statuses to wait for.
    :param previous_package_id: the package before the new build that is waited for.
    :param new_build: whether to wait for a new build; if not given, whether there is a
        ``previous_package_id``.
    """

    wait_kind = "build_flow"
    link = BuildFlowLink()

    def __init__(
        self,
        *,
        build_flow_id: str,
        target_statuses: Iterable[str] = ("Success",),
        previous_package_id: str | None = None,
        new_build: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.build_flow_id = build_flow_id
        self.target_statuses = list(target_statuses)
        self.previous_package_id = previous_package_id
        self.new_build = new_build

    @property
    def resource_id(self) -> str:
        """The id of the resource that is waited for."""
        return self.build_flow_id

    def wait(self) -> BuildFlowWait:
        """Return what to wait for."""
        from airflow_provider_daocloud.resources.openapi.build_flow import BuildFlowWait

        return BuildFlowWait.of(**self.wait_arguments())

    def wait_arguments(self) -> dict[str, Any]:
        """Return the arguments of what to wait for."""
        return {
            "build_flow_id": self.build_flow_id,
            "target_statuses": self.target_statuses,
            "previous_package_id": self.previous_package_id,
            "new_build": self.new_build,
        }


class DaoCloudBuildTrigger(DaoCloudTrigger):
    """Waits until one build has succeeded: ``GET /v1/build-flows/{build_flow_id}/builds/{id}``.

    :param build_flow_id: the build flow.
    :param build_id: the build.
    """

    wait_kind = "build"
    link = BuildFlowLink()

    def __init__(self, *, build_flow_id: str, build_id: str | int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.build_flow_id = build_flow_id
        self.build_id = build_id

    @property
    def resource_id(self) -> str:
        """The id of the resource that is waited for."""
        return self.build_flow_id

    def wait(self) -> BuildWait:
        """Return what to wait for."""
        from airflow_provider_daocloud.resources.openapi.build_flow import BuildWait

        return BuildWait(self.build_flow_id, self.build_id)

    def wait_arguments(self) -> dict[str, Any]:
        """Return the arguments of what to wait for."""
        return {"build_flow_id": self.build_flow_id, "build_id": self.build_id}


def trigger_of(
    wait: Wait, classes: Iterable[type[DaoCloudTrigger]]
) -> tuple[type[DaoCloudTrigger], dict[str, Any]]:
    """Return the trigger that waits for the same, and the arguments that say what that is.

    :param wait: what to wait for.
    :param classes: the triggers to choose from.
    """
    (found,) = (one for one in classes if one.wait_kind == wait.kind)
    fields = asdict(wait).items()  # type: ignore[call-overload]
    # JSON has no tuples, and Airflow no enums of ours.
    arguments = {
        name: [str(item) for item in value] if isinstance(value, tuple) else value
        for name, value in fields
    }
    return found, arguments
