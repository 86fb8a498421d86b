"""The same release to many apps: one mapped task for each, fifty at a time.

Each app's redeploy is waited for in the triggerer, which ends the task too (Airflow 3.3+): a worker
is needed for no longer than it takes to post. A task whose worker dies is tried again, and waits
for the redeploy that the first try has made.

Trigger it with ``{"apps": ["web", "api"], "release_name": "v1.2.0"}``.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_daocloud.exceptions import airflow_errors
from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook
from airflow_provider_daocloud.operators.daocloud import DaoCloudRedeployOperator

with DAG(
    "daocloud_fleet",
    description="Redeploy many apps to the same release",
    schedule=None,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30)},
    params={
        "apps": Param(["web", "api"], type="array", items={"type": "string"}),
        "release_name": Param("latest", type="string", description="Release (image tag) to deploy"),
    },
    tags=["daocloud"],
) as dag:

    @task
    def find_apps(params: dict[str, list[str]]) -> list[str]:
        """Return the ids of the apps with these names: one call for all of them."""
        with airflow_errors():  # no retry can fix a wrong name
            return [app.id for app in DaoCloudHook().find_apps(params["apps"])]

    DaoCloudRedeployOperator.partial(
        task_id="redeploy",
        release_name="{{ params.release_name }}",
        deferrable=True,
        end_from_trigger=True,
        # Before Airflow 3.2 this does not count what waits in the triggerer.
        max_active_tis_per_dagrun=50,
    ).expand(app_id=find_apps())
