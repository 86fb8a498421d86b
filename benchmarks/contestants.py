"""Who is compared: for each, its Connection and its own deferrable trigger for one job.

Each is imported only in the process that runs it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.jobs import action_id, app_id, flow_id, pipeline, workload

CONN_ID = "bench"
INTERVAL = 1.0
TIMEOUT = 3600.0

Trigger = Any
Payload = Any


@dataclass(frozen=True)
class Contestant:
    """One way to wait.

    :param connection: the Airflow Connection's fields, for the server's port.
    :param trigger: makes the trigger that waits for a job.
    :param succeeded: whether what the trigger's event carries says that the job has succeeded.
    :param ours: whether it is this provider's.
    :param hints: whether DaoCloud's list of apps shows that an action runs.
    """

    connection: Callable[[int], dict[str, Any]]
    trigger: Callable[[int], Trigger]
    succeeded: Callable[[Payload], bool]
    ours: bool = False
    hints: bool = True


def _daocloud(port: int) -> dict[str, Any]:
    return {"conn_type": "daocloud", "host": f"https://127.0.0.1:{port}", "password": "made-up"}


def _build_flow(job: int) -> Trigger:
    from airflow_provider_daocloud.triggers.daocloud import DaoCloudBuildFlowTrigger

    return DaoCloudBuildFlowTrigger(
        build_flow_id=flow_id(job),
        daocloud_conn_id=CONN_ID,
        poll_interval=INTERVAL,
        timeout=TIMEOUT,
    )


def _action(job: int) -> Trigger:
    from airflow_provider_daocloud.triggers.daocloud import DaoCloudActionTrigger

    return DaoCloudActionTrigger(
        app_id=app_id(job),
        action_id=action_id(job),
        daocloud_conn_id=CONN_ID,
        poll_interval=INTERVAL,
        timeout=TIMEOUT,
    )


def _enterprise(port: int) -> dict[str, Any]:
    return _daocloud(port) | {"conn_type": "daocloud_enterprise"}


def _pipeline_run(job: int) -> Trigger:
    from airflow_provider_daocloud.triggers.enterprise import DaoCloudPipelineRunTrigger

    return DaoCloudPipelineRunTrigger(
        workspace_id="1",
        pipeline_name=pipeline(job),
        run_id=str(job + 1),
        daocloud_conn_id=CONN_ID,
        poll_interval=INTERVAL,
        timeout=TIMEOUT,
    )


def _rollout(job: int) -> Trigger:
    from airflow_provider_daocloud.triggers.enterprise import DaoCloudWorkloadTrigger

    return DaoCloudWorkloadTrigger(
        cluster="bench",
        namespace="bench",
        workload_kind="deployment",
        workload_name=workload(job),
        generation=2,
        daocloud_conn_id=CONN_ID,
        poll_interval=INTERVAL,
        timeout=TIMEOUT,
    )


def _dbt_cloud(job: int) -> Trigger:
    from airflow.providers.dbt.cloud.triggers.dbt import DbtCloudRunJobTrigger

    return DbtCloudRunJobTrigger(
        conn_id=CONN_ID,
        run_id=job,
        end_time=time.time() + TIMEOUT,
        poll_interval=INTERVAL,
        account_id=1,
    )


def _databricks(job: int) -> Trigger:
    from airflow.providers.databricks.triggers.databricks import DatabricksExecutionTrigger

    return DatabricksExecutionTrigger(
        run_id=job, databricks_conn_id=CONN_ID, polling_period_seconds=int(INTERVAL)
    )


def _airbyte(job: int) -> Trigger:
    from airflow.providers.airbyte.triggers.airbyte import AirbyteSyncTrigger

    return AirbyteSyncTrigger(
        job_id=job, conn_id=CONN_ID, end_time=time.time() + TIMEOUT, poll_interval=INTERVAL
    )


def _http_sensor(job: int) -> Trigger:
    from airflow.providers.http.triggers.http import HttpSensorTrigger

    return HttpSensorTrigger(
        endpoint=f"exists/{job}", http_conn_id=CONN_ID, method="GET", poke_interval=INTERVAL
    )


def _http_event(job: int) -> Trigger:
    from airflow.providers.http.triggers.http import HttpEventTrigger

    return HttpEventTrigger(
        response_check_path="benchmarks.response_check.done",
        endpoint=f"state/{job}",
        http_conn_id=CONN_ID,
        method="GET",
        poll_interval=INTERVAL,
    )


def _http(port: int) -> dict[str, Any]:
    return {"conn_type": "http", "host": "https://127.0.0.1", "port": port}


class Timer:
    """What no waiter can do without: a task that sleeps until its job has ended."""

    # When each job ends. Set before the clock starts.
    ends: dict[int, float]

    def __init__(self, job: int) -> None:
        self.job = job

    async def run(self) -> AsyncIterator[Payload]:
        """Sleep interval by interval, and ask nobody."""
        while time.time() < self.ends.get(self.job, 0.0):  # noqa: ASYNC110  # what peers do
            await asyncio.sleep(INTERVAL)
        yield {"status": "success"}


def _outcome_is_success(payload: Payload) -> bool:
    from airflow_provider_daocloud.core.waiting.wait import Outcome

    return Outcome.of_event(payload).status == "succeeded"


def _says_success(payload: Payload) -> bool:
    return bool(payload["status"] == "success")


NULL = "timers only"
CONTESTANTS = {
    NULL: Contestant(connection=_http, trigger=Timer, succeeded=_says_success),
    "DaoCloud build flows": Contestant(
        connection=_daocloud,
        trigger=_build_flow,
        succeeded=_outcome_is_success,
        ours=True,
    ),
    "DaoCloud actions": Contestant(
        connection=_daocloud,
        trigger=_action,
        succeeded=_outcome_is_success,
        ours=True,
    ),
    "DaoCloud actions, no hints": Contestant(
        connection=_daocloud,
        trigger=_action,
        succeeded=_outcome_is_success,
        ours=True,
        hints=False,
    ),
    "Enterprise pipeline runs": Contestant(
        connection=_enterprise,
        trigger=_pipeline_run,
        succeeded=_outcome_is_success,
        ours=True,
    ),
    "Enterprise rollouts": Contestant(
        connection=_enterprise,
        trigger=_rollout,
        succeeded=_outcome_is_success,
        ours=True,
    ),
    "dbt Cloud": Contestant(
        connection=lambda port: {
            "conn_type": "dbt_cloud",
            "host": f"127.0.0.1:{port}",
            "login": "1",
            "password": "made-up",
        },
        trigger=_dbt_cloud,
        succeeded=_says_success,
    ),
    "Databricks": Contestant(
        connection=lambda port: {
            "conn_type": "databricks",
            "host": "127.0.0.1",
            "port": port,
            "password": "made-up",
        },
        trigger=_databricks,
        succeeded=lambda payload: '"SUCCESS"' in payload["run_state"],
    ),
    "Airbyte": Contestant(
        connection=lambda port: {
            "conn_type": "airbyte",
            "host": f"https://127.0.0.1:{port}/api/public/v1",
            "login": "made-up",
            "password": "made-up",
        },
        trigger=_airbyte,
        succeeded=_says_success,
    ),
    "HTTP sensor": Contestant(
        connection=_http, trigger=_http_sensor, succeeded=lambda payload: payload is True
    ),
    "HTTP event": Contestant(connection=_http, trigger=_http_event, succeeded=_says_success),
}
PEERS = [name for name, c in CONTESTANTS.items() if not c.ours and name != NULL]
