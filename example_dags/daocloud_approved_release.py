"""Deploy to a test app, ask a person, and deploy the same release to production.

The question stands in Airflow's UI under *Required Actions*, with what the test app ran before and
runs now. A rejection skips production; a question that nobody answers within a day fails.

Trigger it with ``{"release_name": "v1.2.0"}``. It needs Airflow 3.1: older ones cannot ask.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.exceptions import AirflowOptionalProviderFeatureException
from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_daocloud.operators.daocloud import DaoCloudRedeployOperator

try:
    from airflow.providers.standard.operators.hitl import ApprovalOperator
except (ImportError, AirflowOptionalProviderFeatureException):
    pass  # Airflow before 3.1: there is no DAG in this file
else:
    with DAG(
        "daocloud_approved_release",
        description="Deploy to a test app, ask a person, deploy to production",
        schedule=None,
        max_active_runs=1,
        params={
            "test_app": Param("preview", type="string", description="Name of the app to try it on"),
            "app": Param("web", type="string", description="Name of the app in production"),
            "release_name": Param("latest", type="string", description="Release (image tag)"),
        },
        tags=["daocloud"],
    ) as dag:
        stage = DaoCloudRedeployOperator(
            task_id="stage",
            app_name="{{ params.test_app }}",
            release_name="{{ params.release_name }}",
            verify=True,
            retries=2,
            deferrable=True,
        )
        approve = ApprovalOperator(
            task_id="approve",
            subject="Release {{ params.release_name }} to {{ params.app }}?",
            body=(
                "{% set it = ti.xcom_pull(task_ids='stage') %}"
                "{{ it['app_name'] }} ran {{ it['previous_release_name'] }}, "
                "and runs {{ it['release_name'] }} since {{ it['end_date'] }}."
            ),
            response_timeout=timedelta(days=1),
        )
        release = DaoCloudRedeployOperator(
            task_id="release",
            app_name="{{ params.app }}",
            release_name="{{ params.release_name }}",
            verify=True,
            rollback_on_failure=True,
            retries=2,
            deferrable=True,
        )

        stage >> approve >> release
