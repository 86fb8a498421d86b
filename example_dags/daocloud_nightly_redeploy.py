"""Every night, redeploy an app to the release that it already runs.

For apps on a runtime that stops them after a day, or that leak what a fresh start gives back.
"""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook
from airflow_provider_daocloud.operators.daocloud import DaoCloudRedeployOperator

with DAG(
    "daocloud_nightly_redeploy",
    description="Redeploy the current release",
    schedule="0 3 * * *",
    start_date=datetime(2026, 1, 1),  # noqa: DTZ001 - Airflow gives it the DAG's zone
    catchup=False,
    params={"app": Param("web", type="string", description="Name of the app")},
    tags=["daocloud"],
) as dag:

    @task
    def current(params: dict[str, str]) -> dict[str, str | None]:
        """Return the app's id and the release that it runs."""
        app = DaoCloudHook().find_app(params["app"])
        return {"app_id": app.id, "release_name": app.release_name}

    found = current()

    DaoCloudRedeployOperator(
        task_id="redeploy",
        app_id=found["app_id"],
        release_name=found["release_name"],
    )
