"""Deploy every new build: DaoCloud builds a new image, and the app gets it (Airflow 3.0+).

Nothing runs while nothing is built: a watcher in the triggerer polls the build flow, and starts
the DAG when a build has succeeded. Put your own ids below. Builds that end in quick succession
deploy once, the newest. An event can come twice (Airflow delivers it at least once), so the DAG
remembers in a Variable which package it has deployed.
"""

from __future__ import annotations

import os
from typing import Any

from airflow import __version__ as airflow_version
from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowSkipException,
    Param,
    Variable,
    task,
)

from airflow_provider_daocloud.assets import app_asset, build_flow_asset
from airflow_provider_daocloud.operators.daocloud import DaoCloudRedeployOperator

# As `airflow daocloud apps` and `airflow daocloud build-flows` list them.
APP_ID = os.environ.get("DAOCLOUD_APP_ID", "b4b8d4f0-0bd7-4f9c-a8a6-4e1a1a3cbb2d")
BUILD_FLOW_ID = os.environ.get("DAOCLOUD_BUILD_FLOW_ID", "1f1c8f39-5a0f-4c15-b6ff-b26a2b3b7b1b")
DEPLOYED = f"daocloud_deployed_package_{APP_ID}"

if airflow_version >= "3":  # Airflow 2 has no watchers, and no DAG in this file
    from airflow.sdk import AssetWatcher

    from airflow_provider_daocloud.triggers.events import DaoCloudNewBuildTrigger

    builds = build_flow_asset(
        BUILD_FLOW_ID,
        name="daocloud_web_builds",
        watchers=[
            AssetWatcher(
                name="new_build", trigger=DaoCloudNewBuildTrigger(BUILD_FLOW_ID, poll_interval=15)
            )
        ],
    )

    with DAG(
        "daocloud_on_new_build",
        description="Redeploy the app whenever its build flow has built something new",
        schedule=[builds],
        # One after another: the second of two equal events then finds what the first has deployed.
        max_active_runs=1,
        params={
            "release_name": Param("latest", type="string", description="Release that a build makes")
        },
        tags=["daocloud"],
    ) as dag:

        @task
        def new_package(triggering_asset_events: Any = None) -> str:
            """Return the package of the newest build that the run was started for."""
            events = [event for group in triggering_asset_events.values() for event in group]
            events = [event for event in events if "payload" in event.extra]
            if not events:
                raise AirflowSkipException("The run was not started by a build.")
            newest = max(events, key=lambda event: event.timestamp)
            package_id: str = newest.extra["payload"]["package_id"]
            if package_id == Variable.get(DEPLOYED, default=None):
                raise AirflowSkipException(f"Package {package_id} is deployed already.")
            return package_id

        @task
        def remember(package_id: str) -> None:
            """Remember what is deployed."""
            Variable.set(DEPLOYED, package_id)

        package_id = new_package()
        redeploy = DaoCloudRedeployOperator(
            task_id="redeploy",
            app_id=APP_ID,
            release_name="{{ params.release_name }}",
            deferrable=True,
            retries=2,
            outlets=[app_asset(APP_ID, name="daocloud_web")],  # other DAGs can be scheduled on it
        )
        package_id >> redeploy >> remember(package_id)
