"""Links of tasks that wait in a real triggerer, the one that no worker has started among them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_daocloud.sandbox import Sandbox
from scripts.airflow_processes import Airflow
from tests.support.modes import AIRFLOW

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(600),
    pytest.mark.skipif(AIRFLOW < (3, 3), reason="Airflow before 3.3 starts no task from a trigger"),
]
DAG = """
from datetime import datetime

from airflow.sdk import DAG

from airflow_provider_daocloud.sensors.daocloud import DaoCloudBuildFlowSensor

with DAG("links", schedule=None, start_date=datetime(2026, 1, 1), params={"flow": ""}):
    same = {
        "build_flow_id": "{{ params.flow }}",
        "previous_package_id": "none",
        "target_statuses": "Success",
        "deferrable": True,
        "poke_interval": 1,
    }
    DaoCloudBuildFlowSensor(task_id="deferred", **same)
    DaoCloudBuildFlowSensor(task_id="started", start_from_trigger=True, **same)
    DaoCloudBuildFlowSensor(
        task_id="without_worker", start_from_trigger=True, end_from_trigger=True, **same
    )
"""
TASKS = ("deferred", "started", "without_worker")
RETRY_TIMEOUT = 180.0


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def airflow(tmp_path: Path, sandbox: Sandbox) -> Iterator[Airflow]:
    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / "links.py").write_text(DAG)
    connection = sandbox.connection_json()
    home = tmp_path / "home"
    with Airflow(home, folder, AIRFLOW_CONN_DAOCLOUD_DEFAULT=connection) as airflow:
        airflow.wait_until_up("links")
        yield airflow


def wait_for(airflow: Airflow, run: str, state: str) -> None:
    end = time.monotonic() + RETRY_TIMEOUT
    while True:
        airflow.check()
        tasks = airflow.ask("GET", f"{run}/taskInstances")["task_instances"]
        states = {task["task_id"]: task["state"] for task in tasks}
        if set(states.values()) == {state}:
            return
        assert "failed" not in states.values(), states
        assert time.monotonic() < end, states
        time.sleep(0.5)


def links(airflow: Airflow, run: str) -> dict[str, dict[str, str]]:
    return {
        task: airflow.ask("GET", f"{run}/taskInstances/{task}/links")["extra_links"]
        for task in TASKS
    }


def test_links_are_there_while_deferred_and_after(airflow: Airflow, sandbox: Sandbox) -> None:
    """Deferred by a worker, started from the trigger, and with no worker at all."""
    flow = sandbox.world.build_flow("worker")
    assert flow.status == "Failure"  # an older build's: all of them wait for another one
    airflow.ask("PATCH", "/dags/links", {"is_paused": False})
    posted = airflow.ask(
        "POST", "/dags/links/dagRuns", {"logical_date": None, "conf": {"flow": flow.id}}
    )
    run = f"/dags/links/dagRuns/{posted['dag_run_id']}"
    wait_for(airflow, run, "deferred")
    url = f"https://dashboard.daocloud.io/build-flows/{flow.id}"
    expected = {task: {"Build flow in DaoCloud": url} for task in TASKS}
    end = time.monotonic() + 30  # the triggerer takes up a trigger within seconds
    while links(airflow, run) != expected and time.monotonic() < end:
        time.sleep(0.5)
    assert links(airflow, run) == expected
    sandbox.world.start_build("worker")
    wait_for(airflow, run, "success")
    assert links(airflow, run) == expected
