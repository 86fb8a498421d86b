"""What was found by trying to break it: each of these ended wrongly once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_daocloud.api.enterprise.pipelines import (
    Pipeline,
    PipelineRef,
    PipelineRun,
    start_run,
    starts_runs,
)
from airflow_provider_daocloud.api.enterprise.workloads import (
    Workload,
    WorkloadRef,
    patch_workload,
)
from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.core.submission.evidence import Snapshot
from airflow_provider_daocloud.hooks.enterprise import DaoCloudEnterpriseHook
from airflow_provider_daocloud.operators.enterprise import (
    DaoCloudPipelineInputOperator,
    DaoCloudRunPipelineOperator,
    DaoCloudWorkloadActionOperator,
    DaoCloudWorkloadDeployOperator,
    DaoCloudWorkloadScaleOperator,
)
from airflow_provider_daocloud.resources.enterprise.pipeline import (
    PipelineEvidence,
    PipelineRunWait,
    request_run,
)
from airflow_provider_daocloud.resources.enterprise.workload import WorkloadWait
from airflow_provider_daocloud.sandbox.enterprise.pipelines import Parameter, Stage
from airflow_provider_daocloud.sandbox.enterprise.server import EnterpriseSandbox
from airflow_provider_daocloud.sensors.enterprise import DaoCloudWorkloadSensor
from tests.behaviour.enterprise.conftest import run
from tests.behaviour.enterprise.test_pipelines import add, pipeline, starts, until
from tests.behaviour.enterprise.test_workloads import NEW, deadline, images_of, reset, writes
from tests.support.modes import HAS_STORE, Run

needs_store = pytest.mark.skipif(not HAS_STORE, reason="Airflow before 3.3 keeps no task state")


# --- what is sent back -------------------------------------------------------------------------


@pytest.mark.parametrize("inside", ["{}", "daocloud://:{}@dce.example", '{{"password": "{}"}}'])
def test_an_environment_that_holds_the_access_key_is_sent_back_as_it_was(
    dce: EnterpriseSandbox, inside: str
) -> None:
    """Airflow itself may run there, with its connection in a variable."""
    value = inside.format(dce.token)
    web = dce.world.workloads.find("Deployment", "staging", "shop", "web")
    containers = [dict(one) for one in web.spec["template"]["spec"]["containers"]]
    containers[1]["env"] = [{"name": "AIRFLOW_CONN", "value": value}]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    dce.world.workloads.patch(web, patch)

    task = run(DaoCloudWorkloadDeployOperator, workload_name="web", image=NEW)
    ending = task.to_the_end()

    assert ending.error is None
    assert images_of(dce)["web"] == NEW
    web = dce.world.workloads.find("Deployment", "staging", "shop", "web")
    (proxy,) = (one for one in web.spec["template"]["spec"]["containers"] if one["name"] == "proxy")
    assert proxy["env"] == [{"name": "AIRFLOW_CONN", "value": value}]
    assert dce.token not in json.dumps([ending.result, ending.xcoms])
    hook = DaoCloudEnterpriseHook()
    seen = hook.get_workload(hook.workload_ref("web", cluster="staging", namespace="shop"))
    assert dce.token not in f"{seen!r} {seen.as_dict()} {seen.object}"


# --- what a person is asked ----------------------------------------------------------------------


def paused(dce: EnterpriseSandbox, *questions: str) -> str:
    """Return the number of a run that asks the first of some questions."""
    stages = [Stage(f"stage {n}", input=text) for n, text in enumerate(questions)]
    add(dce, "asks", *stages, Stage("end"))
    hook = DaoCloudEnterpriseHook()
    ref = hook.pipeline_ref("asks")
    number = hook.start_run(ref, {}).run_id
    until(lambda: bool(hook.list_inputs(ref, number)))
    return number


def answer(number: str, **arguments: Any) -> Run:
    given = {"task_id": "task", "pipeline_name": "asks", "run_id": number} | arguments
    task = Run(lambda: _plain(DaoCloudPipelineInputOperator(**given)))
    task.ti.max_tries = 2
    return task


def _plain(task: Any) -> Any:
    task.start_from_trigger = False
    return task


def asked(number: str) -> list[str | None]:
    hook = DaoCloudEnterpriseHook()
    return [one.message for one in hook.list_inputs(hook.pipeline_ref("asks"), number)]


@needs_store
def test_a_retry_does_not_answer_the_next_question(dce: EnterpriseSandbox) -> None:
    """The first try has answered, and its worker died."""
    number = paused(dce, "Deploy to staging?", "Deploy to PRODUCTION?")
    task = answer(number)
    assert task.to_the_end().error is None
    until(lambda: asked(number) == ["Deploy to PRODUCTION?"])
    assert reset(task).to_the_end().error is None
    assert asked(number) == ["Deploy to PRODUCTION?"]
    assert dce.effects["process_input"] == 1


def test_a_question_that_is_named_is_the_only_one_that_is_answered(dce: EnterpriseSandbox) -> None:
    number = paused(dce, "Deploy to staging?", "Deploy to PRODUCTION?")
    ending = answer(number, message="Deploy to PRODUCTION?").to_the_end()
    assert ending.kind == "AirflowFailException"
    assert "asks 'Deploy to staging?' now" in str(ending.error)
    assert answer(number, message="Deploy to staging?").to_the_end().error is None
    until(lambda: asked(number) == ["Deploy to PRODUCTION?"])
    assert dce.effects["process_input"] == 1


def test_without_a_store_a_retry_answers_only_what_is_named(dce: EnterpriseSandbox) -> None:
    number = paused(dce, "Release?")
    task = answer(number)
    task.context.pop("task_state_store", None)
    task.ti.try_number = 2
    ending = task.to_the_end()
    assert ending.kind == "AirflowFailException"
    assert "message: is needed for a retry" in str(ending.error)
    assert dce.effects["process_input"] == 0


def test_a_lost_answer_to_a_run_that_was_cancelled_is_no_success(dce: EnterpriseSandbox) -> None:
    number = paused(dce, "Release?")
    cancelled = False

    def cancel(served: Any) -> None:
        nonlocal cancelled
        if served.call == "process_input" and not cancelled:
            cancelled = True
            release = pipeline(dce, "asks")
            dce.world.pipelines.cancel(release.runs[0])

    dce.fault("drop", call="process_input")
    dce.service.on_served = cancel
    ending = answer(number).to_the_end()
    dce.service.on_served = None
    assert ending.error is not None
    assert dce.effects["process_input"] == 0


def test_approve_is_no_text() -> None:
    with pytest.raises(InputError, match=r"^approve: must be True or False"):
        answer("1", approve="false").make()


def test_a_run_without_a_number_is_not_started_again() -> None:
    """It waits in the queue, and shows the marker: nobody can wait for it, nor deny it."""
    ref = PipelineRef("1", "build")
    evidence = PipelineEvidence(ref)
    declared = Pipeline.parse({"name": "build", "parameters": [{"name": "AIRFLOW_RUN"}]})
    request = request_run(ref, {}, operation="ours", pipeline=declared)
    assert request.record()["body"]["marker"] == "AIRFLOW_RUN"
    before = Snapshot(evidence.snapshot(((), ())))
    listed = {"items": [{"runId": "0", "parameters": [{"name": "AIRFLOW_RUN", "value": "ours"}]}]}
    seen = evidence.request().parse(listed)
    verdict = evidence.verdict(
        request.record(),
        before,
        Snapshot(evidence.snapshot(seen)),
        change_seen=False,
        trust_any=False,
    )
    assert verdict == "unknown"
    assert evidence.receipt_shown(request.record(), seen) is None


@pytest.mark.parametrize(
    ("parameters", "verdict"),
    [
        (None, "unknown"),
        ([], "absent"),
        ([{"name": "AIRFLOW_RUN", "value": "theirs"}], "absent"),
        ([{"name": "AIRFLOW_RUN", "value": "ours"}], "present"),
    ],
)
def test_a_run_that_shows_no_parameters_may_be_ours(parameters: Any, verdict: str) -> None:
    """Older versions show none: then nobody can deny it."""
    ref = PipelineRef("1", "build")
    evidence = PipelineEvidence(ref)
    declared = Pipeline.parse({"name": "build", "parameters": [{"name": "AIRFLOW_RUN"}]})
    request = request_run(ref, {}, operation="ours", pipeline=declared)
    before = Snapshot(evidence.snapshot(((), ())))
    seen = evidence.request().parse({"items": [{"runId": "1", "parameters": parameters}]})
    now = Snapshot(evidence.snapshot(seen))
    record = request.record()
    assert evidence.verdict(record, before, now, change_seen=True, trust_any=False) == verdict


def test_what_is_sent_is_not_shown() -> None:
    """A patch has environments in it, and a run's parameters may be passwords."""
    ref = WorkloadRef("staging", "shop", "deployment", "web")
    patch = patch_workload(ref, {"spec": {"env": "hush-hush"}})
    started = start_run(PipelineRef("1", "build"), {"KEY": "hush-hush"})
    assert "hush" in str((patch.body, started.body))
    assert "hush" not in f"{patch!r} {patch} {started!r} {started}"
    shown = [{"name": "KEY", "value": "hush-hush"}]
    assert "hush" not in repr(PipelineRun.parse({"runId": "1", "parameters": shown}))


# --- retries without a journal -------------------------------------------------------------------


@pytest.mark.parametrize("durable", [True, False])
def test_a_retry_of_a_failed_run_runs_it_again(dce: EnterpriseSandbox, durable: bool) -> None:
    add(dce, "flaky", Stage("build", result="FAILURE"))
    task = run(DaoCloudRunPipelineOperator, pipeline_name="flaky", durable=durable)
    assert task.to_the_end().error is not None
    pipeline(dce, "flaky").stages[0].result = "SUCCESS"
    task.context["dag_run"].start_date = None
    assert reset(task).to_the_end().error is None
    assert starts(dce) == 2


@pytest.mark.parametrize("durable", [True, False])
def test_a_retry_of_a_failed_rollout_rolls_out_again(dce: EnterpriseSandbox, durable: bool) -> None:
    deadline(dce, 4)
    task = run(DaoCloudWorkloadDeployOperator, workload_name="web", tag="missing", durable=durable)
    task.context["dag_run"].start_date = None
    assert task.to_the_end().error is not None
    assert reset(task).to_the_end().error is not None
    assert writes(dce) == {"patch_deployment": 2}


@needs_store
def test_a_dag_run_with_the_ids_of_another_acts(dce: EnterpriseSandbox) -> None:
    """It was deleted and made again, or another Airflow has a DAG of the same name."""
    tasks = [
        run(DaoCloudWorkloadActionOperator, workload_name="web", action="restart") for _ in "ab"
    ]
    tasks[1].ti.run_id = tasks[0].ti.run_id
    for task in tasks:
        assert task.to_the_end().error is None
    assert writes(dce) == {"patch_deployment": 2}


# --- when a wait is over -------------------------------------------------------------------------


def shown(**status: Any) -> Workload:
    found = {
        "metadata": {"name": "web", "generation": 3},
        "spec": {"replicas": 0, "template": {"spec": {"containers": []}}},
        "status": {"observedGeneration": 3} | status,
    }
    return Workload.parse("deployment", found)


def test_a_stop_is_done_however_the_rollout_before_it_went() -> None:
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    wait = WorkloadWait("staging", "shop", "deployment", "web", target="stopped")
    assert wait.judge(shown(conditions=[late]), {}).verdict == "succeeded"
    assert wait.judge(shown(conditions=[late], replicas=1), {}).verdict == "pending"
    assert wait.judge(shown(observedGeneration=2), {}).verdict == "pending"


def test_a_paused_deployment_can_be_scaled_and_stopped(dce: EnterpriseSandbox) -> None:
    web = dce.world.workloads.find("Deployment", "staging", "shop", "web")
    dce.world.workloads.patch(web, {"spec": {"paused": True}})
    scaled = run(DaoCloudWorkloadScaleOperator, workload_name="web", replicas=1).to_the_end()
    assert scaled.error is None
    stopped = run(DaoCloudWorkloadActionOperator, workload_name="web", action="stop").to_the_end()
    assert stopped.error is None


def test_a_scale_down_waits_until_the_pods_are_gone() -> None:
    wait = WorkloadWait("staging", "shop", "deployment", "web", replicas=0)
    assert wait.judge(shown(replicas=2), {}).verdict == "pending"
    assert wait.judge(shown(replicas=0), {}).verdict == "succeeded"


def test_unstable_is_not_paused() -> None:
    wait = PipelineRunWait("1", "build", "1", accept_unstable=True, target_state="PAUSED")
    unstable = PipelineRun.parse({"runId": "1", "state": "UNSTABLE"})
    assert wait.judge(unstable, {}).verdict == "failed"


# --- input ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "starts_one"),
    [
        ("/api/x/workspaces/{workspace}/pipelines/runs/{pipeline}", True),
        ("/apis/x/workspaces/{workspaceId}/pipelines/{name}/runs", True),
        ("/apis/x/workspaces/{workspace_id}/pipelines/runs/{pipeline_name}", True),
        ("/apis/x/workspaces/{workspace}/pipelines/{name}/runs/{runId}:cancel", False),
        ("/apis/x/workspaces/{workspace}/pipelines/{name}/runs:replay", False),
        ("/apis/x/workspaces/{workspace}/pipelines/{name}/approve", False),
        ("/apis/x/{other}/pipelines/{name}/runs", False),
        ("/apis/x/workspaces/1/pipelines/web/runs", False),
    ],
)
def test_the_call_that_starts_a_run_is_known_by_its_path(path: str, starts_one: bool) -> None:
    assert starts_runs(path) is starts_one


@pytest.mark.parametrize("secret", [{"KEY": ["hush-hush"]}, "{'KEY': 'hush-hush'}"])
def test_a_value_that_is_none_is_not_quoted(dce: EnterpriseSandbox, secret: Any) -> None:
    add(dce, "secret", parameters=[Parameter("KEY", type="PASSWORD"), Parameter("AIRFLOW_RUN")])
    ending = run(DaoCloudRunPipelineOperator, pipeline_name="secret", parameters=secret)
    error = str(ending.to_the_end().error)
    assert "parameters: " in error
    assert "hush" not in error


def test_images_of_no_container(dce: EnterpriseSandbox) -> None:
    ending = run(DaoCloudWorkloadDeployOperator, workload_name="web", images={}).to_the_end()
    assert ending.kind == "AirflowFailException"
    assert "names no container" in str(ending.error)
    assert writes(dce) == {}


@pytest.mark.parametrize("arguments", [{"target": "stopped"}, {"replicas": 3}])
def test_a_daemon_set_has_no_number_of_its_own(arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"^workload_kind: "):
        DaoCloudWorkloadSensor(
            task_id="task", workload_name="agent", workload_kind="daemonset", **arguments
        )


# --- what a new user met -------------------------------------------------------------------------


@pytest.mark.parametrize("asked_as", [{"tag": "missing"}, {"image": "hub/shop/web:missing"}])
def test_nothing_is_rolled_back_to_what_has_just_failed(
    dce: EnterpriseSandbox, asked_as: dict[str, str]
) -> None:
    deadline(dce, 4)
    assert run(DaoCloudWorkloadDeployOperator, workload_name="web", **asked_as).to_the_end().error
    again = run(
        DaoCloudWorkloadDeployOperator, workload_name="web", rollback_on_failure=True, **asked_as
    ).to_the_end()
    assert again.kind == "DaoCloudWorkloadFailedError"
    assert "rolled back" not in str(again.error).lower()
    assert images_of(dce)["web"] == "hub/shop/web:missing"


def test_a_misspelt_pipeline_fails_at_once(dce: EnterpriseSandbox) -> None:
    """It is no outage, although the workspace could be read before."""
    task = run(DaoCloudRunPipelineOperator, pipeline_name="biuld-web", workspace="shop")
    ending = task.to_the_end()
    assert ending.kind == "AirflowFailException"
    assert "biuld-web" in str(ending.error)
    assert dce.counts["get_pipeline"] == 1


def test_the_marker_is_not_for_the_user(dce: EnterpriseSandbox) -> None:
    ending = run(
        DaoCloudRunPipelineOperator, pipeline_name="build-web", parameters={"AIRFLOW_RUN": "x"}
    ).to_the_end()
    assert ending.kind == "AirflowFailException"
    assert "AIRFLOW_RUN is set by the task" in str(ending.error)
    assert starts(dce) == 0
