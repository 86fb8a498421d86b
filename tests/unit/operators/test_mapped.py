"""Mapped operators and sensors: a value that comes from another task is as good, or bad, as any."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, BaseOperator

from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.operators.daocloud import (
    DaoCloudAppActionOperator,
    DaoCloudRedeployOperator,
    DaoCloudRollbackOperator,
    DaoCloudStackActionOperator,
    DaoCloudTriggerBuildOperator,
)
from airflow_provider_daocloud.sandbox import BuildPlan, Sandbox
from airflow_provider_daocloud.sensors.daocloud import (
    DaoCloudActionSensor,
    DaoCloudAppSensor,
    DaoCloudBuildFlowSensor,
    DaoCloudBuildSensor,
    DaoCloudStackActionSensor,
)
from tests.support.modes import SENSOR_MODES, Run

APP = {"app_id": "a"}
# What each operator and sensor needs at least.
KINDS: dict[type, dict[str, Any]] = {
    DaoCloudAppActionOperator: APP | {"action": "restart"},
    DaoCloudRedeployOperator: APP | {"release_name": "v2"},
    DaoCloudRollbackOperator: APP | {"redeploy_task_id": "up"},
    DaoCloudTriggerBuildOperator: {"build_flow_id": "f"},
    DaoCloudStackActionOperator: {"stack_id": "s", "action": "restart"},
    DaoCloudActionSensor: APP | {"action_id": "b"},
    DaoCloudStackActionSensor: {"stack_id": "s", "action_id": "b"},
    DaoCloudAppSensor: APP,
    DaoCloudBuildFlowSensor: {"build_flow_id": "f"},
    DaoCloudBuildSensor: {"build_flow_id": "f", "build_id": "b"},
}
# An unusable value of each plain argument: what it is is checked when the operator is made.
BAD: dict[str, object] = {
    "poll_interval": -1,
    "poke_interval": "often",
    "timeout": 0,
    "max_outage": float("nan"),
    "on_ambiguous": "guess",
    "settle_time": None,
    "if_busy": "push",
    "verify_timeout": True,
    "max_attempts": 0,
    "action": "launch",
    "redeploy_task_id": None,
    "target_states": ["HAPPY"],
    "target_statuses": [],
    "reuse_running_build": True,
    "start_from_trigger": True,
    "rollback_on_failure": True,
    "app_id": None,
    "stack_name": "both",
    "build_flow_id": None,
}
NEEDS = {
    "reuse_running_build": {"wait_for_completion": False},
    "rollback_on_failure": {"wait_for_completion": False},
    "start_from_trigger": {"deferrable": False},
}


def bad_arguments() -> Iterator[Any]:
    for kind, good in KINDS.items():
        for field, bad in BAD.items():
            takes: set[str] = set()
            for base in kind.mro():
                if issubclass(base, BaseOperator) and base.__module__.startswith("airflow_prov"):
                    takes |= set(inspect.signature(base.__init__).parameters)
            if field in takes:
                yield pytest.param(kind, good, field, bad, id=f"{kind.__name__}.{field}")


def mapped(kind: Any, given: dict[str, Any], **over: Any) -> Any:
    """Return the operator that Airflow makes of a mapped one for one set of values."""
    given = {name: value for name, value in given.items() if name not in over}
    with DAG("dag", schedule=None):
        task = kind.partial(task_id="task", **given).expand(
            **{name: [value] for name, value in over.items()}
        )
    return task.unmap(over)


@pytest.mark.parametrize(("kind", "good", "field", "bad"), bad_arguments())
def test_a_bad_argument_of_a_mapped_task_fails_it_for_good(
    kind: Any, good: dict[str, Any], field: str, bad: object
) -> None:
    """In the DAG file it is an error of the file; where only a worker sees it, no retry helps."""
    good = good | NEEDS.get(field, {})
    with pytest.raises(InputError) as plain:
        kind(task_id="task", **(good | {field: bad}))
    with pytest.raises(AirflowFailException) as caught:
        mapped(kind, good, **{field: bad})
    assert str(caught.value) == str(plain.value)


def test_a_subclass_fails_for_good_too() -> None:
    class Mine(DaoCloudAppActionOperator):
        def __init__(self, *, day: int, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            if day > 31:
                raise InputError("day", "there is no such day.")

    with pytest.raises(InputError, match=r"^day: "):
        Mine(task_id="task", day=32, **KINDS[DaoCloudAppActionOperator])
    with pytest.raises(AirflowFailException, match=r"^day: "):
        mapped(Mine, KINDS[DaoCloudAppActionOperator], day=32)
    assert next(iter(inspect.signature(Mine).parameters)) == "day"


# --- a None of another task -----------------------------------------------------------------------


def run(kind: Any, mode: str, how: str, given: dict[str, Any], field: str) -> Any:
    """Run a sensor one of whose arguments is None in the end, however that came to be."""
    given = given | SENSOR_MODES[mode] | {"poke_interval": 0.05, "timeout": 20.0}

    def make() -> Any:
        if how == "mapped":
            return mapped(kind, given, **{field: None})
        task = kind(task_id="task", **given, **{field: "{{ ti.x }}"})
        if not task.start_from_trigger:
            setattr(task, field, None)  # as a native template renders it, and an XComArg
        return task

    return Run(make).to_the_end()


@pytest.mark.parametrize("mode", SENSOR_MODES)
@pytest.mark.parametrize("how", ["mapped", "rendered"])
def test_a_release_that_is_none_is_not_any_release(sandbox: Sandbox, how: str, mode: str) -> None:
    app = sandbox.world.add_app("web")
    ending = run(DaoCloudAppSensor, mode, how, {"app_id": app.id}, "release_name")
    assert ending.kind == "AirflowFailException", ending
    assert str(ending.error).startswith("release_name: ")
    assert not sandbox.counts


@pytest.mark.parametrize("mode", SENSOR_MODES)
@pytest.mark.parametrize("how", ["mapped", "rendered"])
def test_a_package_that_is_none_is_before_any_build(sandbox: Sandbox, how: str, mode: str) -> None:
    """The flow had no package, so that yesterday's failure is not that of the new build."""
    flow = sandbox.world.add_build_flow("web", status="Failure")
    seen: list[object] = []

    def served(_served: object) -> None:
        if not seen:
            sandbox.world.start_build(flow.id, BuildPlan(seconds=0.3, pending_seconds=0.2))
        seen.append(None)

    sandbox.service.on_served = served
    ending = run(
        DaoCloudBuildFlowSensor, mode, how, {"build_flow_id": flow.id}, "previous_package_id"
    )
    assert ending.kind == "success", ending
    assert ending.result["status"] == "Success"


@pytest.mark.parametrize(
    ("kind", "field", "given"),
    [
        (DaoCloudAppSensor, "release_name", "with_release"),
        (DaoCloudBuildFlowSensor, "previous_package_id", "new_build"),
    ],
)
def test_a_none_in_the_dag_file_is_left_out(kind: Any, field: str, given: str) -> None:
    """As a function does that makes such tasks and has None as a default of its own."""
    good, over = {"timeout": 60}, KINDS[kind]
    for task in (
        kind(task_id="task", **good, **over),
        kind(task_id="task", **good, **over, **{field: None}),
        mapped(kind, good, **over),
        mapped(kind, good | {field: None}, **over),
    ):
        assert task.wait_arguments()[given] is False
    assert mapped(kind, good | {field: "x"}, **over).wait_arguments()[given] is True
    assert mapped(kind, good | over, **{field: "x"}).wait_arguments()[given] is True
