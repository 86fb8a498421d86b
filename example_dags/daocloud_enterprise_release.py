"""Build an image with a pipeline, and deploy it: first to staging, then to production.

Each deployment goes back to what ran before if it fails. The pipeline declares a text parameter
``AIRFLOW_RUN``, so that no retry runs it twice.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_daocloud.operators.enterprise import (
    DaoCloudRunPipelineOperator,
    DaoCloudWorkloadDeployOperator,
    DaoCloudWorkloadRollbackOperator,
)

with DAG(
    dag_id="daocloud_enterprise_release",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={
        "tag": Param("1.1", type="string", description="What is built, and deployed."),
        "workload": Param("web", type="string"),
    },
    default_args={"retries": 2, "deferrable": True, "timeout": 1800.0},
    tags=["daocloud"],
) as dag:
    build = DaoCloudRunPipelineOperator(
        task_id="build",
        pipeline_name="build-web",
        workspace="shop",
        parameters={"TAG": "{{ params.tag }}"},
    )

    deploy_to_staging = DaoCloudWorkloadDeployOperator(
        task_id="deploy_to_staging",
        workload_name="{{ params.workload }}",
        cluster="staging",
        namespace="shop",
        tag="{{ params.tag }}",
        rollback_on_failure=True,
    )

    @task
    def smoke_test(deployed: Any) -> str:
        """Stands for a request to the new release: it must answer, or production stays as it is."""
        return f"{deployed['workload_name']} answers with {deployed['images']}"

    deploy_to_production = DaoCloudWorkloadDeployOperator(
        task_id="deploy_to_production",
        workload_name="{{ params.workload }}",
        cluster="production",
        namespace="shop",
        tag="{{ params.tag }}",
        rollback_on_failure=True,
    )

    # If production fails, staging goes back, too: both run the same.
    undo_staging = DaoCloudWorkloadRollbackOperator(
        task_id="undo_staging",
        workload_name="{{ params.workload }}",
        cluster="staging",
        namespace="shop",
        deploy_task_id="deploy_to_staging",
        trigger_rule="one_failed",
    )

    tested = smoke_test(deploy_to_staging.output)
    build >> deploy_to_staging
    tested >> deploy_to_production >> undo_staging
