"""Run a pipeline of DaoCloud Enterprise, deploy the image that it built, and wait until it runs.

The pipeline declares a text parameter ``AIRFLOW_RUN``, so that no retry runs it twice. If the new
image does not come up, the workload goes back to the one that ran before.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_daocloud.operators.enterprise import (
    DaoCloudRunPipelineOperator,
    DaoCloudWorkloadDeployOperator,
)

with DAG(
    dag_id="daocloud_enterprise_build_and_deploy",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={"tag": Param("1.1", type="string", description="What is built, and deployed.")},
    default_args={"retries": 2, "deferrable": True, "timeout": 1800.0},
    tags=["daocloud"],
) as dag:
    build = DaoCloudRunPipelineOperator(
        task_id="build",
        pipeline_name="build-web",
        workspace="shop",
        parameters={"TAG": "{{ params.tag }}"},
    )

    deploy = DaoCloudWorkloadDeployOperator(
        task_id="deploy",
        workload_name="web",
        cluster="production",
        namespace="shop",
        tag="{{ params.tag }}",
        rollback_on_failure=True,
    )

    build >> deploy
