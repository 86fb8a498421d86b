"""Deploy a tag to staging, test it there, then deploy it to production.

A deployment that fails goes back to what ran before; if production fails, so does staging.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_daocloud.operators.enterprise import (
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
        "tag": Param("1.1", type="string", description="What is deployed."),
        "workload": Param("web", type="string"),
    },
    default_args={"retries": 2, "deferrable": True, "timeout": 1800.0},
    tags=["daocloud"],
) as dag:
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

    smoke_test(deploy_to_staging.output) >> deploy_to_production >> undo_staging
