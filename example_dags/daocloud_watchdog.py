"""Every ten minutes, start each app that is stopped or asleep."""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_daocloud.api.openapi.apps import AppState
from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook
from airflow_provider_daocloud.operators.daocloud import DaoCloudAppActionOperator

with DAG(
    "daocloud_watchdog",
    description="Start the apps that are stopped or asleep",
    schedule="*/10 * * * *",
    start_date=datetime(2026, 1, 1),  # noqa: DTZ001 - Airflow gives it the DAG's zone
    catchup=False,
    # A slow start must not be started a second time by the next run.
    max_active_runs=1,
    tags=["daocloud"],
) as dag:

    @task
    def find_idle_apps() -> list[str]:
        """Return the ids of the apps that are stopped or asleep."""
        idle = (AppState.STOPPED, AppState.SLEEPING)
        return [app.id for app in DaoCloudHook().list_apps() if app.state in idle]

    # With no such app there is nothing to map over, and the task is skipped.
    DaoCloudAppActionOperator.partial(task_id="start", action="start").expand(
        app_id=find_idle_apps()
    )
