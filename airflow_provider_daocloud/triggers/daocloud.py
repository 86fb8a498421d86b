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
from airflow_provider_daocloud.arguments import (
    DEFAULT_MAX_OUTAGE,
    FIRST_INTERVAL,
    INTERVAL_SHARE,
)
from airflow_provider_daocloud.deferral import TimeLimit, why_a_worker_pushes
from airflow_provider_daocloud.lazy import lazy
from airflow_provider_daocloud.links import (
    AppLink,
    BuildFlowLink,
    DashboardLink,
    StackLink,
    push_link,
)

if TYPE_CHECKING:
    from airflow_provider_daocloud import waits
    from airflow_provider_daocloud.triggers import accounts, poller
    from airflow_provider_daocloud.triggers import watch as watches
else:
    waits = lazy("airflow_provider_daocloud.waits")
    accounts = lazy("airflow_provider_daocloud.triggers.accounts")
    poller = lazy("airflow_provider_daocloud.triggers.poller")
    watches = lazy("airflow_provider_daocloud.triggers.watch")

DEFAULT_TIMEOUT = 3600.0
DEFAULT_POLL_INTERVAL = 10.0
# For how many seconds a trigger tries to store an XCom, which may mean a file in another network.
PUSH_SECONDS = 60.0


class DaoCloudTrigger(BaseTrigger):
    """Base of the triggers: waits, and fires one event that says how it ended.

    :param daocloud_conn_id: the Connection of type ``daocloud``.
    :param started: when the wait began, in seconds since the epoch; now, if not given.
    :param timeout: seconds from ``started`` until the time is up; a last look is taken then.
    :param poll_interval: the longest time between two looks, in seconds; the first come sooner.
    :param first_interval: seconds between the first two looks.
    :param interval_share: the part of the time waited so far that a pause is at most.
    :param max_outage: seconds for which DaoCloud may be unreadable.
    :param memory: what was seen of the wait before it was deferred.
    :param limit: which of the task's settings ``timeout`` is: ``timeout`` or ``execution_timeout``.
    :param end_task: whether to end the task here when the wait has succeeded. Where the result
        cannot be stored from here, a worker ends it all the same.
    :param push_result: whether to push the result as the task's return value then.
    :param carry: JSON-safe data that the event hands back unchanged: with it, whoever deferred
        finds its place again in a course of several steps.
    """

    link: ClassVar[DashboardLink]

    def __init__(
        self,
        *,
        daocloud_conn_id: str = "daocloud_default",
        started: float | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        poll_interval: float = DEFAULT_POLL_INTERVAL,
        first_interval: float = FIRST_INTERVAL,
        interval_share: float = INTERVAL_SHARE,
        max_outage: float = DEFAULT_MAX_OUTAGE,
        memory: dict[str, Any] | None = None,
        limit: str = "timeout",
        end_task: bool = False,
        push_result: bool = True,
        carry: dict[str, Any] | None = None,
        **_unknown: Any,  # arguments of a later version
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.daocloud_conn_id = daocloud_conn_id
        self.started = started
        self.timeout = timeout
        self.poll_interval = poll_interval
        self.first_interval = first_interval
        self.interval_share = interval_share
        self.max_outage = max_outage
        self.memory = memory
        self.limit = limit
        self.end_task = end_task
        self.push_result = push_result
        self.carry = carry
        # Set by the triggerer: when Airflow itself would time the task out.
        self.timeout_after: datetime | None = None

    @abstractmethod
    def wait(self) -> waits.Wait:
        """Return what to wait for."""

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
                "started": self.started,
                "timeout": self.timeout,
                "poll_interval": self.poll_interval,
                "first_interval": self.first_interval,
                "interval_share": self.interval_share,
                "max_outage": self.max_outage,
                "memory": self.memory,
                "limit": self.limit,
                "end_task": self.end_task,
                "push_result": self.push_result,
                "carry": self.carry,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and fire one event: the `Outcome` as JSON-safe data. Safe to start again.

        A success can end the task at once. Every other end goes through a worker, where retries
        and callbacks are as they are everywhere.
        """
        try:
            wait = self.wait()
            wait.call()  # a bad id ends here, before anything is sent
        except DaoCloudError as e:
            outcome = waits.Outcome.of_error(e)
        else:
            outcome = await self._watch(wait)
        if outcome.kind == "succeeded" and self.end_task and await self._push(outcome.result):
            from airflow.triggers.base import TaskSuccessEvent

            yield TaskSuccessEvent()
        else:
            event = replace(outcome, limit=self.limit).as_event()
            if self.carry is not None:
                event["carry"] = self.carry
            yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Say what goes on without us (3.3+): DaoCloud has no call that cancels an action."""
        self.log.warning("No longer waiting for %s: it goes on at DaoCloud.", self.wait())

    async def _watch(self, wait: waits.Wait) -> waits.Outcome:
        started = self._started()
        tracker = waits.Tracker(wait, started, self.max_outage, dict(self.memory or {}))
        cadence = waits.Cadence(self.poll_interval, self.first_interval, self.interval_share)
        waiter = poller.Waiter(tracker, cadence, self.timeout)
        log = waits.WaitLog(self.log.info)
        watch = watches.Watch(waiter, self.daocloud_conn_id, accounts.accounts(), log)
        try:
            await self._push_link()
            return await watch.until_over()
        finally:
            await watch.leave()

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
                    value=result,
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
        # Airflow gives a trigger its task in this case alone (3.3+).
        if getattr(self, "task", None) is None:
            return
        ti: Any = self.task_instance
        try:
            endpoint = await accounts.accounts().endpoint(self.daocloud_conn_id)
        except Exception:
            return  # the wait will say so, or outlast it
        try:
            async with asyncio.timeout(PUSH_SECONDS):
                url = self.link.url(endpoint, self)
                await asyncio.to_thread(push_link, ti, self.link.xcom_key, url)
        except Exception as e:  # a link is not worth a wait
            self.log.warning("The link of the task cannot be stored: %s", e)

    def _started(self) -> float:
        if self.started is not None:
            return self.started
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

    link = AppLink()

    def __init__(self, *, app_id: str, action_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.app_id = app_id
        self.action_id = action_id

    def wait(self) -> waits.ActionWait:
        """Return what to wait for."""
        return waits.ActionWait(self.app_id, self.action_id)

    def wait_arguments(self) -> dict[str, Any]:
        """Return the arguments of what to wait for."""
        return {"app_id": self.app_id, "action_id": self.action_id}


class DaoCloudStackActionTrigger(DaoCloudTrigger):
    """Waits until an action on a stack has succeeded.

    It asks ``GET /v1/stacks/{stack_id}/actions/{action_id}``.

    :param stack_id: the stack.
    :param action_id: the action.
    """

    link = StackLink()

    def __init__(self, *, stack_id: str, action_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stack_id = stack_id
        self.action_id = action_id

    def wait(self) -> waits.StackActionWait:
        """Return what to wait for."""
        return waits.StackActionWait(self.stack_id, self.action_id)

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

    def wait(self) -> waits.AppWait:
        """Return what to wait for."""
        return waits.AppWait.of(**self.wait_arguments())

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
    :param not_package_id: the package before the new build that is waited for.
    :param new_build: whether to wait for a new build; if not given, whether there is a
        ``not_package_id``.
    """

    link = BuildFlowLink()

    def __init__(
        self,
        *,
        build_flow_id: str,
        target_statuses: Iterable[str] = ("Success",),
        not_package_id: str | None = None,
        new_build: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.build_flow_id = build_flow_id
        self.target_statuses = list(target_statuses)
        self.not_package_id = not_package_id
        self.new_build = new_build

    def wait(self) -> waits.BuildFlowWait:
        """Return what to wait for."""
        return waits.BuildFlowWait.of(**self.wait_arguments())

    def wait_arguments(self) -> dict[str, Any]:
        """Return the arguments of what to wait for."""
        return {
            "build_flow_id": self.build_flow_id,
            "target_statuses": self.target_statuses,
            "not_package_id": self.not_package_id,
            "new_build": self.new_build,
        }


class DaoCloudBuildTrigger(DaoCloudTrigger):
    """Waits until one build has succeeded: ``GET /v1/build-flows/{build_flow_id}/builds/{id}``.

    :param build_flow_id: the build flow.
    :param build_id: the build.
    """

    link = BuildFlowLink()

    def __init__(self, *, build_flow_id: str, build_id: str | int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.build_flow_id = build_flow_id
        self.build_id = build_id

    def wait(self) -> waits.BuildWait:
        """Return what to wait for."""
        return waits.BuildWait(self.build_flow_id, self.build_id)

    def wait_arguments(self) -> dict[str, Any]:
        """Return the arguments of what to wait for."""
        return {"build_flow_id": self.build_flow_id, "build_id": self.build_id}


def trigger_of(wait: waits.Wait) -> tuple[type[DaoCloudTrigger], dict[str, Any]]:
    """Return the trigger that waits for the same, and the arguments that say what that is.

    :param wait: what to wait for.
    """
    kinds: dict[str, type[DaoCloudTrigger]] = {
        "action": DaoCloudActionTrigger,
        "app": DaoCloudAppTrigger,
        "build": DaoCloudBuildTrigger,
        "build_flow": DaoCloudBuildFlowTrigger,
        "stack_action": DaoCloudStackActionTrigger,
    }
    fields = asdict(wait).items()  # type: ignore[call-overload]
    # JSON has no tuples, and Airflow no enums of ours.
    arguments = {
        name: [str(item) for item in value] if isinstance(value, tuple) else value
        for name, value in fields
    }
    return kinds[wait.kind], arguments
