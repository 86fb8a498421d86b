"""Build a branch, wait for that build, release its image, and go back if it does not run.

The build's own tag is what is released, so no other build can get in between. The redeploy is
verified: the app has to run, and to run that tag. If it does not, the previous release is
redeployed, and the task fails with an error that describes both.

Trigger it with ``{"branch": "release/1.2"}``. It needs an installation whose API starts builds.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_daocloud.operators.daocloud import (
    DaoCloudRedeployOperator,
    DaoCloudTriggerBuildOperator,
)

with DAG(
    "daocloud_build_and_release",
    description="Build a branch, release that build, roll back if it does not run",
    schedule=None,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1), "deferrable": True},
    params={
        "build_flow": Param("web", type="string", description="Name of the build flow"),
        "app": Param("web", type="string", description="Name of the app"),
        "branch": Param("master", type="string", description="What to build"),
    },
    tags=["daocloud"],
) as dag:
    build = DaoCloudTriggerBuildOperator(
        task_id="build",
        build_flow_name="{{ params.build_flow }}",
        branch="{{ params.branch }}",
        timeout=timedelta(hours=1),
    )
    release = DaoCloudRedeployOperator(
        task_id="release",
        app_name="{{ params.app }}",
        release_name="{{ ti.xcom_pull(task_ids='build')['tag'] }}",
        verify=True,
        verify_timeout=timedelta(minutes=5),
        rollback_on_failure=True,
    )

    build >> release
