"""Every way to run a wait, each as Airflow does it, but without Airflow's processes.

A worker's process is a fresh copy of the operator; what passes between processes passes as JSON; a
trigger runs in an event loop of its own, from its stored class path and arguments.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self, TypeVar
from unittest import mock

from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import TaskDeferred, timeout

from airflow_provider_daocloud.sandbox import Sandbox
from airflow_provider_daocloud.triggers.deferral import airflow_version
from tests.support import first_words
from tests.support.xcoms import run_id

if TYPE_CHECKING:
    import pytest

T = TypeVar("T")

AIRFLOW = airflow_version()
HAS_STORE = AIRFLOW >= (3, 3)
ENDS_FROM_TRIGGER = AIRFLOW >= (3, 3)

# Calls in an hour, for tests in which seconds are hundredths of seconds.
RATE_LIMIT = 1_000_000

Make = Callable[..., Any]

SENSOR_MODES: dict[str, dict[str, Any]] = {
    "poke": {"deferrable": False},
    "reschedule": {"deferrable": False, "mode": "reschedule"},
    "deferred": {"deferrable": True},
    "ended from the trigger": {"deferrable": True, "end_from_trigger": True},
    "started from the trigger": {"deferrable": True, "start_from_trigger": True},
}
OPERATOR_MODES: dict[str, dict[str, Any]] = {
    "blocking": {"deferrable": False},
    "deferred": {"deferrable": True},
    "ended from the trigger": {"deferrable": True, "end_from_trigger": True},
}


# Whose context a line was logged in, where a test tells them apart.
WHO: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")
# When the task of this context was first rescheduled.
FIRST_RESCHEDULE: contextvars.ContextVar[datetime | None] = contextvars.ContextVar(
    "first_reschedule", default=None
)


@dataclass
class Ending:
    """How a task ended, as Airflow and the tasks after it see it.

    :param xcoms: everything that was pushed, the return value included.
    :param error: what was raised.
    :param workers: how many worker processes it took.
    :param told: what its triggers were started with, fired and logged.
    """

    xcoms: dict[str, Any] = field(default_factory=dict)
    error: BaseException | None = None
    workers: int = 0
    told: list[str] = field(default_factory=list)

    @property
    def result(self) -> Any:
        """The return value."""
        return self.xcoms.get("return_value")

    @property
    def kind(self) -> str:
        """The class of what was raised, or *success*."""
        return "success" if self.error is None else type(self.error).__name__


class Lines:
    """A log that keeps its lines, each with whose context it was written in."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def info(self, text: str, *arguments: Any) -> None:
        line = text % arguments
        first_words.note(line)
        self.lines.append((WHO.get(), line))

    warning = error = info


def log_of(task: Any, lines: Lines | None = None) -> Lines:
    """Give an operator or a trigger a log that keeps its lines."""
    lines = Lines() if lines is None else lines
    # By Airflow's line, one or the other is where it keeps its logger.
    task._log = task._cached_logger = lines
    return lines


class FakeStore:
    """Airflow's task state store: JSON by key, outlasting the process."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.entries[key]) if key in self.entries else default

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        assert value is not None
        self.entries[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        self.entries.pop(key, None)


class FakeTaskInstance:
    """The parts of a task instance that operators use."""

    dag_id, task_id, map_index = "dag", "task", -1
    try_number, max_tries = 1, 0

    def __init__(self, ending: Ending) -> None:
        self._ending = ending
        self.run_id = run_id(self.xcom_push)
        self.first_reschedule: datetime | None = None
        # What other tasks have pushed, and in which state they are.
        self.others: dict[tuple[str, str], Any] = {}
        self.states: dict[str, str] = {}
        if AIRFLOW >= (3, 0):
            self.get_task_states = lambda task_ids, run_ids, **_more: {
                run_ids[0]: {task: self.states[task] for task in task_ids if task in self.states}
            }

    def xcom_push(self, key: str, value: Any) -> None:
        self._ending.xcoms[key] = json.loads(json.dumps(value))

    def xcom_pull(
        self, task_ids: str, key: str = "return_value", map_indexes: int | None = None
    ) -> Any:
        assert map_indexes == self.map_index
        own = self._ending.xcoms if task_ids == self.task_id else {}
        return own.get(key, self.others.get((task_ids, key)))

    def get_first_reschedule_date(self, context: Any) -> datetime | None:
        return self.first_reschedule


class Run:
    """One try of one task instance, run to its end.

    :param make: makes a fresh copy of the operator, as each worker process has one.
    """

    def __init__(self, make: Make) -> None:
        self.make = make
        self.ending = Ending()
        self.ti = FakeTaskInstance(self.ending)
        self.store = FakeStore() if HAS_STORE else None
        self.context: Any = {
            "ti": self.ti,
            "task_instance": self.ti,
            "task_state_store": self.store,
            "dag_run": SimpleNamespace(
                run_id="run",
                clear_number=0,
                get_task_instance=lambda task_id, map_index: SimpleNamespace(
                    state=self.ti.states.get(task_id)
                ),
            ),
        }

    def to_the_end(self) -> Ending:
        """Run it as the scheduler, workers and the triggerer would."""
        try:
            task = self.make()
            if task.start_from_trigger:
                args = task.start_trigger_args
                kwargs = json.loads(json.dumps(args.trigger_kwargs))
                self._defer(args.trigger_cls, kwargs, args.next_method, {}, args.timeout)
            else:
                self._work(self.execute)
        except Exception as e:
            self.ending.error = e
        except BaseException as e:
            if type(e).__name__ != "AirflowTaskTimeout":  # the only one that is Airflow's
                raise
            self.ending.error = e
        if self.ending.error is not None:
            first_words.note(str(self.ending.error))
        return self.ending

    def execute(self, task: Any | None = None) -> Any:
        """Call ``execute`` with what tells Airflow that this is no nested call."""
        task = self.make() if task is None else task
        if AIRFLOW >= (3, 0):
            from airflow.sdk.bases.operator import ExecutorSafeguard

            token = ExecutorSafeguard.tracker.set(task)
            try:
                return task.execute(self.context)
            finally:
                ExecutorSafeguard.tracker.reset(token)
        from airflow.models.base import _sentinel  # type: ignore[attr-defined, unused-ignore]

        return task.execute(self.context, **{f"{type(task).__name__}__sentinel": _sentinel})

    def _work(self, step: Callable[[Any], Any]) -> None:
        """Run one step of the task in a worker process of its own, and whatever follows it."""
        self.ending.workers += 1
        task = self.make()
        timeout_setting = task.execution_timeout
        try:
            with _timeout(timeout_setting), self._reschedules():
                result = step(task)
        except AirflowRescheduleException as e:
            self.ti.first_reschedule = self.ti.first_reschedule or datetime.now(UTC)
            time.sleep(max((e.reschedule_date - datetime.now(UTC)).total_seconds(), 0))
            self._work(step)
        except TaskDeferred as e:
            assert task.operator_extra_links is not None
            path, kwargs = e.trigger.serialize()
            kwargs = json.loads(json.dumps(kwargs))
            self._defer(path, kwargs, e.method_name, e.kwargs or {}, e.timeout)
        else:
            if result is not None and task.do_xcom_push:
                self.ti.xcom_push("return_value", result)

    def _defer(
        self,
        path: str,
        kwargs: dict[str, Any],
        next_method: str,
        next_kwargs: Mapping[str, Any],
        timeout_setting: timedelta | None,
    ) -> None:
        lines = Lines()
        event = asyncio.run(first_event(path, kwargs, timeout_setting, ti=self.ti, log=lines))
        payload = getattr(event, "xcoms", event.payload)
        self.ending.told += [repr(kwargs), repr(payload), *(line for _, line in lines.lines)]
        if type(event).__name__ == "TaskSuccessEvent":
            for key, value in (event.xcoms or {}).items():
                # Airflow stores these as text: the next task would not read what was returned.
                self.ti.xcom_push(key, json.dumps(value))
            return
        payload = json.loads(json.dumps(event.payload))
        arguments = {**next_kwargs, "event": payload}
        self._work(lambda task: task.resume_execution(next_method, arguments, self.context))

    @contextmanager
    def _reschedules(self) -> Iterator[None]:
        if AIRFLOW < (3, 0):
            # Airflow 2 reads from its database when the first process of the task began. Several
            # modes run at once, each in a thread: so each finds its own.
            sensors: Any = importlib.import_module("airflow.sensors.base")
            sensors._orig_start_date = lambda **_task: FIRST_RESCHEDULE.get()
        token = FIRST_RESCHEDULE.set(self.ti.first_reschedule)
        try:
            yield
        finally:
            FIRST_RESCHEDULE.reset(token)


def _timeout(timeout_setting: timedelta | None) -> Any:
    if timeout_setting is None:
        return nullcontext()
    return timeout(timeout_setting.total_seconds())  # type: ignore[no-untyped-call, unused-ignore]


class Modes:
    """Runs the same thing in several modes at once: most of a test's time is waiting.

    :param modes: the arguments of the operator that make each mode.
    """

    def __init__(self, modes: Mapping[str, dict[str, Any]]) -> None:
        self.modes = modes
        # Times are scaled down, so the hour's budget is scaled up.
        self.sandboxes = {mode: Sandbox(fill=None, rate_limit=RATE_LIMIT) for mode in modes}
        self._endings: dict[Any, dict[str, Future[Any]]] = {}

    def __enter__(self) -> Self:
        if AIRFLOW < (3, 0):
            # Airflow 2 imports its models when they are first used; in several threads at once
            # that can lock up.
            import airflow.models.dag

            airflow.models.import_all_models()  # type: ignore[no-untyped-call, unused-ignore]
        with ExitStack() as stack:
            for sandbox in self.sandboxes.values():
                stack.enter_context(sandbox)
                connection = sandbox.connection_json(extra={"read_timeout": 2})
                name = f"AIRFLOW_CONN_{conn_id_of(sandbox).upper()}"
                stack.enter_context(mock.patch.dict(os.environ, {name: connection}))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()

    def run(
        self, key: Any, job: Callable[[Sandbox, dict[str, Any]], T], *, together: bool = True
    ) -> dict[str, Future[T]]:
        """Run a job in each mode, once for each key.

        :param key: what the job is.
        :param job: gets a sandbox with an empty world, and the arguments of the operator.
        :param together: whether the modes run at the same time, each in a thread. (Airflow's own
            time-out works in the main thread alone.)
        """
        if key not in self._endings:

            def one(mode: str) -> T:
                sandbox = self.sandboxes[mode]
                sandbox.service.on_served = None
                sandbox.reset()
                conn_id = {"daocloud_conn_id": conn_id_of(sandbox)}
                return job(sandbox, conn_id | self.modes[mode])

            with ThreadPoolExecutor(len(self.modes)) if together else _Here() as threads:
                self._endings[key] = {mode: threads.submit(one, mode) for mode in self.modes}
        return self._endings[key]


class _Here:
    """Runs what is submitted at once, in this thread."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None: ...

    def submit(self, job: Callable[..., T], *arguments: Any) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(job(*arguments))
        except Exception as e:
            future.set_exception(e)
        return future


def conn_id_of(sandbox: Sandbox) -> str:
    """Return the id of the connection to one of several sandboxes."""
    return f"sandbox_{sandbox.port}"


def rotate(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    """Make the token of the connection invalid, and put one into the connection.

    :param token: ``a-new-token``, which is valid, or another one.
    """
    sandbox.world.add_account("a-new-token", "new")
    connection = json.loads(os.environ["AIRFLOW_CONN_DAOCLOUD_DEFAULT"]) | {"password": token}
    monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_DEFAULT", json.dumps(connection))
    sandbox.world.revoke("main")


async def first_event(
    path: str,
    kwargs: dict[str, Any],
    timeout_setting: timedelta | None = None,
    *,
    ti: Any = None,
    alone: bool = True,
    log: Lines | None = None,
) -> Any:
    """Run a trigger from what is stored of it, as the triggerer does, and return its event.

    :param path: the trigger's class path.
    :param kwargs: its arguments.
    :param limit: Airflow's own time-out, which must not come before the trigger's.
    :param ti: the task instance, as the triggerer gives it to the trigger of a deferred task.
    :param alone: whether nothing else runs in the loop, so that nothing may be left in it.
    :param log: where it is to log.
    """
    trigger = trigger_of(path, kwargs)
    if log is not None:
        log_of(trigger, log)
    trigger._task_instance = ti  # its own setter wants a whole one of Airflow's
    if timeout_setting is not None:
        trigger.timeout_after = datetime.now(UTC) + timeout_setting
    seconds = timeout_setting.total_seconds() if timeout_setting else None
    async with asyncio.timeout(seconds):
        events = [event async for event in trigger.run()]
    assert len(events) == 1
    assert not alone or asyncio.all_tasks() == {asyncio.current_task()}
    return events[0]


def trigger_of(path: str, kwargs: dict[str, Any]) -> Any:
    """Return the trigger that is stored as class path and arguments."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)(**kwargs)
