"""Pipelines are run, waited for, approved and cancelled, in every mode, and once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_daocloud.exceptions import DaoCloudPipelineRunFailedError
from airflow_provider_daocloud.hooks.enterprise import DaoCloudEnterpriseHook
from airflow_provider_daocloud.operators.enterprise import (
    DaoCloudPipelineInputOperator,
    DaoCloudRunPipelineOperator,
)
from airflow_provider_daocloud.sandbox.enterprise.pipelines import Parameter, Pipeline, Stage
from airflow_provider_daocloud.sandbox.enterprise.server import EnterpriseSandbox
from airflow_provider_daocloud.sensors.enterprise import DaoCloudPipelineRunSensor
from airflow_provider_daocloud.triggers.enterprise import DaoCloudPipelineRunTrigger
from tests.behaviour.enterprise.conftest import run
from tests.behaviour.enterprise.test_workloads import FAULTS, Killed, reset
from tests.support.modes import HAS_STORE, OPERATOR_MODES, SENSOR_MODES, Run

MARKED = [Parameter("TAG", "latest"), Parameter("AIRFLOW_RUN")]


def starts(dce: EnterpriseSandbox) -> int:
    """Return how many runs were started."""
    return dce.effects["start_run"] + dce.effects["create_run"]


def pipeline(dce: EnterpriseSandbox, name: str = "build-web") -> Pipeline:
    return dce.world.pipelines.find(1, name)


def add(
    dce: EnterpriseSandbox, name: str, *stages: Stage, parameters: list[Parameter] | None = None
) -> None:
    given = MARKED if parameters is None else parameters
    dce.world.pipelines.add(1, name, list(stages) or [Stage("build")], given)


def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    for _ in range(500):
        if is_so():
            return
        time.sleep(0.02)
    raise AssertionError("it never came to be so")


@pytest.mark.parametrize("mode", OPERATOR_MODES)
def test_run(dce: EnterpriseSandbox, mode: str) -> None:
    task = run(
        DaoCloudRunPipelineOperator,
        pipeline_name="build-web",
        parameters={"TAG": 2.5},
        **OPERATOR_MODES[mode],
    )
    ending = task.to_the_end()
    assert ending.error is None
    assert (ending.result["run_id"], ending.result["state"]) == ("1", "SUCCESS")
    assert (ending.result["workspace_id"], ending.result["pipeline_name"]) == ("1", "build-web")
    assert ending.xcoms["run_id"] == "1"
    assert ending.xcoms["daocloud_pipeline_link"].endswith("/workspaces/1/pipelines/build-web")
    assert starts(dce) == 1
    (made,) = pipeline(dce).runs
    assert made.parameters["TAG"] == "2.5"
    assert len(made.parameters["AIRFLOW_RUN"]) == 20


@pytest.mark.parametrize("workspace", ["shop", 1, "1", None])
def test_a_workspace_by_alias_or_number(dce: EnterpriseSandbox, workspace: Any) -> None:
    ending = run(
        DaoCloudRunPipelineOperator, pipeline_name="build-web", workspace=workspace
    ).to_the_end()
    assert ending.error is None
    assert ending.result["workspace_id"] == "1"


def test_an_unknown_workspace(dce: EnterpriseSandbox) -> None:
    ending = run(
        DaoCloudRunPipelineOperator, pipeline_name="build-web", workspace="shopp"
    ).to_the_end()
    assert ending.kind == "AirflowFailException"
    assert "workspace: no workspace is called 'shopp'. There are: 'shop'." in str(ending.error)
    assert starts(dce) == 0


@pytest.mark.parametrize("mode", SENSOR_MODES)
def test_a_sensor(dce: EnterpriseSandbox, mode: str) -> None:
    hook = DaoCloudEnterpriseHook()
    started = hook.start_run(hook.pipeline_ref("build-web"), {})
    task = Run(
        lambda: DaoCloudPipelineRunSensor(
            task_id="task",
            pipeline_name="build-web",
            workspace=1,
            run_id=started.run_id,
            poke_interval=0.1,
            timeout=20.0,
            **SENSOR_MODES[mode],
        )
    )
    ending = task.to_the_end()
    assert ending.error is None
    assert ending.result["state"] == "SUCCESS"


@pytest.mark.parametrize("mode", OPERATOR_MODES)
def test_a_run_that_fails_says_where(dce: EnterpriseSandbox, mode: str) -> None:
    broken = Stage("test", result="FAILURE", log=["AssertionError: 1 != 2"])
    add(dce, "broken", Stage("build"), broken)
    ending = run(
        DaoCloudRunPipelineOperator, pipeline_name="broken", **OPERATOR_MODES[mode]
    ).to_the_end()
    assert isinstance(ending.error, DaoCloudPipelineRunFailedError)
    assert "stage test ended in FAILURE" in str(ending.error)
    assert "AssertionError: 1 != 2" in str(ending.error)


@pytest.mark.parametrize("accept", [True, False])
def test_unstable_is_what_the_user_says(dce: EnterpriseSandbox, accept: bool) -> None:
    add(dce, "shaky", Stage("test", result="UNSTABLE"))
    ending = run(
        DaoCloudRunPipelineOperator, pipeline_name="shaky", accept_unstable=accept
    ).to_the_end()
    assert (ending.error is None) is accept


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"parameters": {"NOPE": "1"}}, "declares no 'NOPE'"),
        ({"parameters": {"TARGET": "mars"}}, "TARGET must be one of staging, production"),
        ({"parameters": {"DRY": "maybe"}}, "DRY must be one of true, false"),
        ({"parameters": ["TAG"]}, "must be a mapping"),
        ({"parameters": {"TAG": None}}, "must be text or a number"),
    ],
)
def test_parameters_are_checked_before_anything_is_sent(
    dce: EnterpriseSandbox, arguments: dict[str, Any], words: str
) -> None:
    choice = Parameter("TARGET", "staging\nproduction", "CHOICE")
    dry = Parameter("DRY", "false", "BOOLEAN")
    add(dce, "choosy", parameters=[*MARKED, choice, dry])
    ending = run(DaoCloudRunPipelineOperator, pipeline_name="choosy", **arguments).to_the_end()
    assert ending.kind == "AirflowFailException"
    assert words in str(ending.error)
    assert starts(dce) == 0


def test_a_secret_value_is_not_kept(dce: EnterpriseSandbox) -> None:
    """A parameter of the type PASSWORD goes to DaoCloud, and not into the journal."""
    add(dce, "secretive", parameters=[*MARKED, Parameter("KEY", "", "PASSWORD")])
    task = run(
        DaoCloudRunPipelineOperator, pipeline_name="secretive", parameters={"KEY": "hush-hush"}
    )
    ending = task.to_the_end()
    assert ending.error is None
    assert pipeline(dce, "secretive").runs[0].parameters["KEY"] == "hush-hush"
    if task.store is not None:
        assert "hush-hush" not in str(task.store.entries)
    assert "hush-hush" not in str(ending.xcoms)


@pytest.mark.parametrize(
    "options",
    [
        {"start_call": "runs"},
        {"httpapis": "empty"},
        {"httpapis": "absent"},
        {"start_answer": "zero"},
        {"start_answer": "empty"},
        {"run_lag": 0.4},
        {"pipeline_times": "s"},
        {"amamba_minor": 128},
    ],
)
def test_assumptions(dce: EnterpriseSandbox, options: dict[str, Any]) -> None:
    """Where the documents leave it open, both ways work: one run, and a success."""
    dce.set_options(**options)
    task = run(DaoCloudRunPipelineOperator, pipeline_name="build-web", settle_time=2.0)
    ending = task.to_the_end()
    assert ending.error is None
    assert ending.result["run_id"] == "1"
    assert starts(dce) == 1


def test_no_call_to_start_a_run(dce: EnterpriseSandbox) -> None:
    dce.set_options(start_call="absent")
    ending = run(DaoCloudRunPipelineOperator, pipeline_name="build-web").to_the_end()
    assert ending.kind == "AirflowFailException"
    assert "pipeline_run_path" in str(ending.error)


# --- once -------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_network(dce: EnterpriseSandbox, fault: str) -> None:
    """With the marker, one run and a success in every cell."""
    for rule in FAULTS[fault]:
        dce.fault(call="start_run", times=1, **rule)
    ending = run(DaoCloudRunPipelineOperator, pipeline_name="build-web").to_the_end()
    assert ending.error is None
    assert starts(dce) == 1


def test_a_lost_answer_without_a_marker(dce: EnterpriseSandbox) -> None:
    """Nobody can tell: at most one run, and the text says what would help."""
    add(dce, "plain", parameters=[Parameter("TAG", "latest")])
    dce.fault("drop", call="start_run", effect="after")
    ending = run(DaoCloudRunPipelineOperator, pipeline_name="plain").to_the_end()
    assert ending.kind == "OutcomeUnknownError"
    assert starts(dce) == 1


def test_a_request_that_never_arrived_without_a_marker(dce: EnterpriseSandbox) -> None:
    """No run at all since then: it never arrived, and is sent again."""
    add(dce, "plain", parameters=[Parameter("TAG", "latest")])
    dce.fault("drop", call="start_run")
    ending = run(DaoCloudRunPipelineOperator, pipeline_name="plain").to_the_end()
    assert ending.error is None
    assert starts(dce) == 1


@pytest.mark.parametrize("keeps_journal", [True, False])
def test_a_worker_that_is_killed_at_any_point(dce: EnterpriseSandbox, keeps_journal: bool) -> None:
    if keeps_journal and not HAS_STORE:
        pytest.skip("Airflow before 3.3 keeps no task state")
    points = 0
    for point in range(1, 12):
        dce.reset()
        task = run(DaoCloudRunPipelineOperator, pipeline_name="build-web", durable=keeps_journal)
        killed = Killed(after=point)
        first = task.to_the_end()
        killed.restore()
        if first.error is None:
            break
        points += 1
        task.context["dag_run"].start_date = None
        ending = reset(task).to_the_end()
        assert ending.error is None, point
        assert starts(dce) == 1, point
    assert points >= 5


# --- people, and the end of a task --------------------------------------------------------------


@pytest.mark.parametrize("approve", [True, False])
def test_approve_or_refuse(dce: EnterpriseSandbox, approve: bool) -> None:
    add(dce, "release", Stage("build"), Stage("approve", input="Release?"), Stage("release"))
    hook = DaoCloudEnterpriseHook()
    ref = hook.pipeline_ref("release")
    started = hook.start_run(ref, {}).run_id
    which: dict[str, Any] = {"task_id": "task", "pipeline_name": "release", "run_id": started}
    paused = Run(
        lambda: DaoCloudPipelineRunSensor(
            **which, target_state="PAUSED", poke_interval=0.05, timeout=20.0
        )
    ).to_the_end()
    assert paused.error is None
    answered = Run(lambda: DaoCloudPipelineInputOperator(**which, approve=approve))
    answered.make = _plain(answered.make)
    assert answered.to_the_end().error is None
    until(lambda: hook.get_run(ref, started).state_text in ("SUCCESS", "CANCELED", "FAILED"))
    assert (hook.get_run(ref, started).state_text == "SUCCESS") is approve
    again = Run(answered.make).to_the_end()
    assert again.kind == "AirflowFailException"
    assert "asks nothing now" in str(again.error)


def _plain(make: Callable[..., Any]) -> Callable[..., Any]:
    def made() -> Any:
        task = make()
        task.start_from_trigger = False
        return task

    return made


@pytest.mark.parametrize("cancel", [True, False])
def test_a_killed_task_cancels_its_run(dce: EnterpriseSandbox, cancel: bool) -> None:
    add(dce, "long", Stage("build", seconds=600.0))
    operator = DaoCloudRunPipelineOperator(
        task_id="task", pipeline_name="long", cancel_on_kill=cancel, poll_interval=0.1
    )
    task = Run(lambda: operator)
    thread = threading.Thread(target=task.to_the_end)
    thread.start()
    until(lambda: operator.waiting_for is not None)
    operator.on_kill()
    if cancel:
        thread.join(20)
        assert "was cancelled" in str(task.ending.error)
    assert dce.effects["cancel_run"] == cancel
    if not cancel:
        hook = DaoCloudEnterpriseHook()
        hook.cancel_run(hook.pipeline_ref("long"), 1)
        thread.join(20)


@pytest.mark.parametrize("cancel", [True, False])
def test_a_killed_trigger_cancels_its_run(dce: EnterpriseSandbox, cancel: bool) -> None:
    add(dce, "long", Stage("build", seconds=600.0))
    hook = DaoCloudEnterpriseHook()
    hook.start_run(hook.pipeline_ref("long"), {})
    trigger = DaoCloudPipelineRunTrigger(
        workspace_id="1", pipeline_name="long", run_id="1", cancel_on_kill=cancel
    )
    asyncio.run(trigger.on_kill())
    assert dce.effects["cancel_run"] == cancel


def test_one_list_serves_all_waits_on_a_pipeline(dce: EnterpriseSandbox) -> None:
    """Twenty runs of two pipelines: nobody reads each of them again and again."""
    hook = DaoCloudEnterpriseHook()
    dce.set_options(agents=50, merge_queued=False, stage_seconds=20.0)
    for name in ("one", "two"):
        add(dce, name)
    refs = [hook.pipeline_ref(name) for name in ("one", "two")]
    for ref in refs:
        for number in range(10):
            hook.start_run(ref, {"TAG": str(number)})
    before = sum(dce.counts.values())

    async def all_of_them() -> list[Any]:
        triggers = [
            DaoCloudPipelineRunTrigger(
                workspace_id=ref.workspace_id,
                pipeline_name=ref.name,
                run_id=str(number + 1),
                poll_interval=0.1,
                initial_interval=0.1,
                timeout=30.0,
            )
            for ref in refs
            for number in range(10)
        ]
        return await asyncio.gather(*(anext(aiter(one.run())) for one in triggers))

    events = asyncio.run(all_of_them())
    assert {event.payload["status"] for event in events} == {"succeeded"}
    lists = dce.counts["list_runs"]
    assert lists > 2
    # Each is read once for itself before it ends.
    assert sum(dce.counts.values()) - before <= lists + 20
