"""What operators and sensors share about waiting in the triggerer.

A task can wait there in three ways: *deferred* (a worker starts it and ends it), *ended from the
trigger* (no worker for the end) and *started from the trigger* (no worker at all). Airflow silently
drops some things on the cheaper ways; a task that has such a thing takes the dearer way by itself.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from airflow import __version__

from airflow_provider_daocloud.compat import XComArg, conf
from airflow_provider_daocloud.exceptions import was_mapped

if TYPE_CHECKING:
    from airflow_provider_daocloud.api.request import Request
    from airflow_provider_daocloud.core.waiting.wait import Outcome, Wait

# Airflow's own time-out of a deferred task skips our code, and so the final poll and its message.
# It is set this much later than ours, in seconds, for a triggerer that does not respond.
BACKSTOP = 90.0

# What a template has in it whose rendering may ask Airflow for more than its triggerer answers. It
# would wait for the answer for ever (3.3.2).
_ASKS = re.compile(r"\b(ti|task_instance)\.|xcom_pull|prev_\w+_success|inlet_events|state_store")


def default_deferrable() -> bool:
    """Return Airflow's ``[operators] default_deferrable``."""
    return bool(conf.getboolean("operators", "default_deferrable", fallback=False))


@cache
def airflow_version() -> tuple[int, int]:
    """Return Airflow's major and minor version."""
    major, minor = __version__.split(".")[:2]
    return int(major), int(minor)


@dataclass(frozen=True)
class TimeLimit:
    """How long a deferred wait may take, and by which of the task's settings.

    :param seconds: from the moment the wait begins.
    :param name: the setting.
    """

    seconds: float
    name: Literal["timeout", "execution_timeout"] = "timeout"

    @classmethod
    def of(
        cls, timeout: float, execution_timeout: timedelta | None, spent: float = 0.0
    ) -> TimeLimit:
        """Return the nearer of the wait's own time-out and the task's ``execution_timeout``.

        Airflow 3.3 does not apply ``execution_timeout`` to a deferred task, and 2.11 does it
        without a final poll: so it is kept here, a little before Airflow would.

        :param timeout: seconds.
        :param execution_timeout: the task's own.
        :param spent: seconds that the task has run before it waits.
        """
        if execution_timeout is not None:
            remaining = execution_timeout.total_seconds() - spent
            remaining = max(remaining - 5.0, remaining * 0.9, 0.0)
            if remaining < timeout:
                return cls(remaining, "execution_timeout")
        return cls(timeout)

    @property
    def backstop(self) -> timedelta:
        """The time-out to give to Airflow."""
        # Far beyond any date that a database takes, a time-out is as good as none.
        return timedelta(seconds=min(self.seconds + BACKSTOP, 10 * 365 * 86400.0))


def why_not_end_from_trigger(task: Any) -> str | None:
    """Return what Airflow would drop if the trigger ended the task, or None.

    :param task: the operator.
    """
    if airflow_version() < (3, 3):
        return "Airflow before 3.3 does not end tasks from the trigger reliably"
    lost = {
        "on_success_callback": "its on_success_callback would not run",
        "outlets": "its outlet events would not be emitted",
        "_post_execute_hook": "its post_execute would not run",
        "multiple_outputs": "its outputs would not be pushed one by one",
    }
    return next((why for field, why in lost.items() if getattr(task, field, None)), None)


def why_a_worker_pushes(task: Any) -> str | None:
    """Return what the whole DAG wants of the task's result that only a worker does, or None.

    :param task: the operator, as a worker or the triggerer has it; its DAG is complete.
    """
    if getattr(task, "returns_dag_result", False):
        return "its result is the DAG's"
    # Of a mapped task, Airflow counts the instances, and not what each of them returned.
    if not was_mapped(task) and task.get_dag() is not None and any(task.iter_mapped_dependants()):
        return "another task is mapped over its result"
    return None


def why_not_start_from_trigger(task: Any, values: Iterable[object]) -> str | None:
    """Return why the task cannot start in the trigger, or None.

    :param task: the operator.
    :param values: the arguments that the trigger would get.
    """
    if airflow_version() < (3, 3):
        return "Airflow before 3.3 cannot render the trigger's arguments"
    why_a_worker: str | None = task.why_a_worker_starts_it()
    if why_a_worker is not None:
        return why_a_worker
    native = task.render_template_as_native_obj
    if native is None:
        dag = task.get_dag()
        native = dag is not None and dag.render_template_as_native_obj
    if native:
        return "its templates are rendered natively, which Airflow's triggerer does not do"
    values = list(values)
    if any(isinstance(value, XComArg) for value in values):
        return "an argument comes from another task, and Airflow does not resolve that there"
    if any(isinstance(value, str) and _ASKS.search(value) for value in values):
        return "a template asks for what Airflow's triggerer cannot look up"
    lost = {
        "on_execute_callback": "its on_execute_callback would not run",
        "_pre_execute_hook": "its pre_execute would not run",
    }
    return next((why for field, why in lost.items() if getattr(task, field, None)), None)


def outcome_of_event(
    event: object,
    wait: Callable[[], Wait],
    send: Callable[[Request[Any]], Any],
    *,
    may_end: bool,
) -> Outcome:
    """Return how a deferred wait ended.

    :param event: what the trigger fired.
    :param wait: returns what was waited for.
    :param send: sends a request.
    :param may_end: whether the trigger was allowed to end the task by itself.
    :raises DaoCloudError: the event is missing or foreign, or the resource cannot be read.
    """
    from airflow_provider_daocloud.core.waiting.tracker import Tracker
    from airflow_provider_daocloud.core.waiting.wait import Outcome

    if event == "success" and may_end:
        # ``dag.test()`` cannot end a task from the trigger, and passes the event's name. The
        # result is not in it, and the name alone proves no success: observe once more.
        waited = wait()
        return Outcome.of_observation(Tracker(waited, time.time()).saw(send(waited.request())))
    return Outcome.of_event(event)


def ends_from_trigger(task: Any) -> bool:
    """Return whether the trigger may end the task, and log why not where it was asked to.

    :param task: the operator, with its ``end_from_trigger``.
    """
    if not task.end_from_trigger:
        return False
    why_not = why_not_end_from_trigger(task) or why_a_worker_pushes(task)
    if why_not is not None:
        task.log.info("A worker will end this task, not the trigger: %s.", why_not)
    return why_not is None


def growing(poke_interval: float, max_wait: timedelta | None) -> dict[str, float]:
    """Return the trigger's intervals for a sensor's ``exponential_backoff``: doubling each time.

    :param poke_interval: the first pause, in seconds.
    :param max_wait: the longest.
    """
    longest = max_wait.total_seconds() if max_wait else math.inf
    # The pauses so far add up to the time waited: a pause of that length doubles the last one.
    return {
        "poll_interval": min(longest, 86400.0),
        "initial_interval": poke_interval,
        "interval_growth": 1.0,
    }
