"""Tasks of every kind that has a link, for the test beside this folder."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_daocloud.operators.daocloud import (
    DaoCloudAppActionOperator,
    DaoCloudRedeployOperator,
)
from airflow_provider_daocloud.sensors.daocloud import (
    DaoCloudActionSensor,
    DaoCloudBuildFlowSensor,
)

with DAG(
    "links_of_tasks",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    params={"app": "", "other": "", "flow": ""},
) as dag:

    @task
    def ids(params: Any = None) -> list[str]:
        """Return the apps to map over."""
        return [params["app"], params["other"]]

    blocking = DaoCloudAppActionOperator(
        task_id="blocking", app_id="{{ params.app }}", action="restart", deferrable=False
    )
    deferred = DaoCloudAppActionOperator(
        task_id="deferred", app_id="{{ params.app }}", action="restart", deferrable=True
    )
    fails = DaoCloudActionSensor(
        task_id="fails", app_id="{{ params.app }}", action_id="none", deferrable=False
    )
    poke = DaoCloudBuildFlowSensor(
        task_id="poke", build_flow_id="{{ params.flow }}", deferrable=False
    )
    deferred_flow = DaoCloudBuildFlowSensor(
        task_id="deferred_flow", build_flow_id="{{ params.flow }}", deferrable=True
    )
    mapped = DaoCloudRedeployOperator.partial(task_id="mapped", release_name="v2").expand(
        app_id=ids()
    )
    blocking >> deferred >> mapped
