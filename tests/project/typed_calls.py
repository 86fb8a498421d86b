"""Right and wrong calls: `make check` holds that mypy accepts the former and refuses the latter.

Nothing runs this. An error that is not marked fails the check, and so does a mark without an error.
"""

from __future__ import annotations

from datetime import timedelta

from airflow_provider_daocloud.operators.daocloud import (
    DaoCloudAppActionOperator,
    DaoCloudRedeployOperator,
    DaoCloudRollbackOperator,
    DaoCloudStackActionOperator,
    DaoCloudTriggerBuildOperator,
)
from airflow_provider_daocloud.operators.enterprise import (
    DaoCloudPipelineInputOperator,
    DaoCloudRunPipelineOperator,
    DaoCloudWorkloadActionOperator,
    DaoCloudWorkloadDeployOperator,
    DaoCloudWorkloadRollbackOperator,
    DaoCloudWorkloadScaleOperator,
)
from airflow_provider_daocloud.sensors.daocloud import DaoCloudActionSensor, DaoCloudBuildFlowSensor
from airflow_provider_daocloud.sensors.enterprise import (
    DaoCloudPipelineRunSensor,
    DaoCloudWorkloadSensor,
)


def right_calls() -> None:
    """Call with arguments of the class, of its bases and of Airflow."""
    DaoCloudRedeployOperator(
        task_id="redeploy",
        app_name="web",
        release_name="v1",
        verify=True,
        timeout=timedelta(hours=1),
        deferrable=True,
        rollback_on_failure=True,
        retries=2,
        execution_timeout=timedelta(hours=2),
    )
    DaoCloudAppActionOperator(
        task_id="stop", action="stop", app_id="3f2a", if_busy="fail", pool="p"
    )
    DaoCloudRollbackOperator(
        task_id="undo", redeploy_task_id="redeploy", app_name="web", skip_if_current=True
    )
    DaoCloudTriggerBuildOperator(task_id="build", build_flow_name="web", on_ambiguous="fail")
    DaoCloudStackActionOperator(task_id="stack", action="restart", stack_name="shop", durable=False)
    DaoCloudBuildFlowSensor(
        task_id="wait", build_flow_name="web", mode="reschedule", soft_fail=True, max_outage=60
    )
    DaoCloudWorkloadDeployOperator(
        task_id="deploy",
        workload_name="web",
        images={"web": "hub/web:2"},
        workload_kind="statefulset",
        rollback_on_failure=True,
        max_attempts=2,
        timeout=timedelta(hours=1),
        retries=2,
    )
    DaoCloudWorkloadRollbackOperator(task_id="u", workload_name="web", deploy_task_id="deploy")
    DaoCloudWorkloadScaleOperator(task_id="s", workload_name="web", replicas="{{ params.pods }}")
    DaoCloudWorkloadActionOperator(task_id="r", workload_name="web", action="restart", pool="p")
    DaoCloudRunPipelineOperator(
        task_id="run", pipeline_name="build", workspace=1, parameters={"TAG": "1"}
    )
    DaoCloudPipelineInputOperator(task_id="yes", pipeline_name="build", run_id="7", approve=True)
    DaoCloudWorkloadSensor(task_id="w", workload_name="web", replicas=3, mode="reschedule")
    DaoCloudPipelineRunSensor(task_id="p", pipeline_name="b", run_id="1", target_state="PAUSED")


def wrong_calls() -> None:
    """Misspell an argument, leave one out, give a word that is none, or a value of another type."""
    DaoCloudRedeployOperator(task_id="t", app_id="a", release_name="v1", verfy=True)  # type: ignore[call-arg]
    DaoCloudRedeployOperator(task_id="t", app_id="a", release_name="v1", timeout="1h")  # type: ignore[arg-type]
    DaoCloudRedeployOperator(task_id="t", app_id="a")  # type: ignore[call-arg]
    DaoCloudRedeployOperator(app_id="a", release_name="v1")  # type: ignore[call-arg]
    DaoCloudAppActionOperator(task_id="t", app_id="a", action="launch")  # type: ignore[arg-type]
    DaoCloudAppActionOperator(task_id="t", app_id="a", action="stop", on_ambiguous="guess")  # type: ignore[arg-type]
    DaoCloudStackActionOperator(task_id="t", stack_id="s", action="stop", verify=True)  # type: ignore[call-arg]
    DaoCloudActionSensor(task_id="t", app_id="a", action_id="b", max_outages=5)  # type: ignore[call-arg]
    DaoCloudBuildFlowSensor(task_id="t", build_flow_id="a", poke_interval="10")  # type: ignore[arg-type]
    DaoCloudWorkloadDeployOperator(task_id="t", workload_name="a", tags="1")  # type: ignore[call-arg]
    DaoCloudWorkloadDeployOperator(task_id="t", workload_name="a", workload_kind="pod")  # type: ignore[arg-type]
    DaoCloudWorkloadScaleOperator(task_id="t", workload_name="a")  # type: ignore[call-arg]
    DaoCloudWorkloadActionOperator(task_id="t", workload_name="a", action="redeploy")  # type: ignore[arg-type]
    DaoCloudRunPipelineOperator(task_id="t", pipeline_name="a", parameters=["TAG"])  # type: ignore[arg-type]
    DaoCloudPipelineRunSensor(task_id="t", pipeline_name="a", run_id="1", target_state="DONE")  # type: ignore[arg-type]
