"""A release, every evening: wait for a new build, redeploy the app, wait until it runs.

The parameters are names as DaoCloud's console shows them; the first task looks
their ids up. Trigger it by hand to release something else: ``{"release_name": "v1.2.0"}``.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_daocloud.exceptions import airflow_errors
from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook
from airflow_provider_daocloud.operators.daocloud import DaoCloudRedeployOperator
from airflow_provider_daocloud.sensors.daocloud import (
    DaoCloudActionSensor,
    DaoCloudBuildFlowSensor,
)

with DAG(
    "daocloud_release_pipeline",
    description="Wait for a new build, redeploy the app, wait until it runs",
    schedule="0 20 * * 1-5",
    start_date=datetime(2026, 1, 1),  # noqa: DTZ001 - Airflow gives it the DAG's zone
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    params={
        "app": Param("web", type="string", description="Name of the app"),
        "build_flow": Param("web", type="string", description="Name of its build flow"),
        "release_name": Param("latest", type="string", description="Release (image tag) to deploy"),
        "package_id": Param(
            None,
            type=["null", "string"],
            description="Package that is out already. Default: the flow's when the run starts",
        ),
    },
    tags=["daocloud"],
) as dag:

    @task
    def find(params: dict[str, Any]) -> dict[str, str | None]:
        """Return the ids of the app and the build flow, and the package that is not new."""
        hook = DaoCloudHook()
        with airflow_errors():  # no retry can fix a wrong name
            app = hook.find_app(params["app"])
            flow = hook.find_build_flow(params["build_flow"])
        return {
            "app_id": app.id,
            "build_flow_id": flow.id,
            "package_id": params["package_id"] or flow.package_id,
        }

    found = find()

    wait_for_build = DaoCloudBuildFlowSensor(
        task_id="wait_for_build",
        build_flow_id=found["build_flow_id"],
        previous_package_id=found["package_id"],
        poke_interval=5,
        timeout=timedelta(hours=2),
        retries=0,  # after a failed build, a second try would wait for yet another build
    )
    redeploy = DaoCloudRedeployOperator(
        task_id="redeploy",
        app_id=found["app_id"],
        release_name="{{ params.release_name }}",
        wait_for_completion=False,
        retries=0,  # before Airflow 3.3 a second try would be a second redeploy
    )
    wait_for_release = DaoCloudActionSensor(
        task_id="wait_for_release",
        app_id=found["app_id"],
        action_id=redeploy.output,
        poke_interval=2,
        timeout=timedelta(hours=1),
    )

    wait_for_build >> redeploy >> wait_for_release
