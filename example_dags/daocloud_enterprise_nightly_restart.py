"""Restart some workloads each night, one after the other, and wait for each."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_daocloud.operators.enterprise import DaoCloudWorkloadActionOperator

with DAG(
    dag_id="daocloud_enterprise_nightly_restart",
    schedule="0 3 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "deferrable": True, "timeout": 1800.0},
    tags=["daocloud"],
) as dag:
    restart_db = DaoCloudWorkloadActionOperator(
        task_id="restart_db",
        workload_name="db",
        workload_kind="statefulset",
        cluster="staging",
        namespace="shop",
        action="restart",
    )
    restart_web = DaoCloudWorkloadActionOperator(
        task_id="restart_web",
        workload_name="web",
        cluster="staging",
        namespace="shop",
        action="restart",
    )
    restart_db >> restart_web
