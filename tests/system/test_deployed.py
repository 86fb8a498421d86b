"""A fleet under Airflow as it is deployed; a worker and a triggerer are killed half-way."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_daocloud.sandbox import ActionPlan, Options, Sandbox
from scripts import deployed
from scripts.airflow_processes import Airflow

pytest.importorskip("celery", reason="make test-deployed has Celery")
pytest.importorskip("psycopg2", reason="make test-deployed has PostgreSQL")

pytestmark = [pytest.mark.system, pytest.mark.timeout(1800)]

FLEET = Path(__file__).parents[2] / "example_dags" / "daocloud_fleet.py"
DAG_ID = "daocloud_fleet"
RELEASE = "v2.0.0"
APPS = 300
# As many POSTs as the two workers make at once: half-way, each of their tasks waits for an answer.
HELD = 2 * deployed.CONCURRENCY
ACTION_SECONDS = 30.0
# These take longer, so that both triggerers have many waits at that moment.
LONG = range(APPS // 2 - 40, APPS // 2 - 10)
# A run takes some minutes; a machine may be slow, but a test ends.
RETRY_TIMEOUT = 1200.0


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(fill=None, options=Options(action_seconds=ACTION_SECONDS)) as sandbox:
        yesterday = sandbox.world.now() - 86400.0
        for n in range(APPS):
            name = f"app-{n}"
            app = sandbox.world.add_app(name, release_name="v1.0.0", last_operated_at=yesterday)
            if n in LONG:
                sandbox.world.plan(ActionPlan(app_id=app.id, seconds=4 * ACTION_SECONDS))
        sandbox.fault("hold", call="redeploy_app", effect="after", skip=APPS // 2, times=HELD)
        yield sandbox


@pytest.fixture
def airflow(tmp_path: Path, sandbox: Sandbox) -> Iterator[Airflow]:
    dags_folder = tmp_path / "dags"
    dags_folder.mkdir()
    shutil.copy(FLEET, dags_folder)
    home = tmp_path / "home"
    more: dict[str, Any] = {
        # Nobody gives up on what is held.
        "AIRFLOW_CONN_DAOCLOUD_DEFAULT": sandbox.connection_json(extra={"read_timeout": 600}),
        # The dead are noticed by their silence: here within seconds, by default within minutes.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
        # What the dead worker had fetched and not begun is given out again after this.
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "10",
    }
    with deployed.postgres() as database, deployed.redis() as broker:
        more |= deployed.settings(database, broker)
        with Airflow(home, dags_folder, components=deployed.components(home), **more) as airflow:
            airflow.wait_until_up(DAG_ID, RETRY_TIMEOUT)
            yield airflow


def until(airflow: Airflow, true: Callable[[], object]) -> None:
    """Wait until something is true."""
    end = time.monotonic() + RETRY_TIMEOUT
    while not true():
        airflow.check()
        assert time.monotonic() < end
        time.sleep(1.0)


def ended(airflow: Airflow, path: str) -> bool:
    return airflow.ask("GET", path)["state"] in ("success", "failed")


def task_instances(airflow: Airflow, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        page = airflow.ask("GET", f"{path}/taskInstances?limit=100&offset={len(found)}")
        found += page["task_instances"]
        if len(found) >= page["total_entries"]:
            return found


def result(airflow: Airflow, path: str, map_index: int) -> dict[str, Any]:
    xcom = f"{path}/taskInstances/redeploy/xcomEntries/return_value?map_index={map_index}"
    value = airflow.ask("GET", xcom)["value"]
    return value if isinstance(value, dict) else json.loads(value)


def taken_over(home: Path) -> int:
    """Count the waits that have been in both triggerers: each leaves a log of its own."""
    logs = home.glob("logs/dag_id=*/run_id=*/task_id=redeploy/map_index=*/*.trigger.*.log")
    return sum(count > 1 for count in Counter(log.parent for log in logs).values())


def test_each_app_of_a_fleet_is_redeployed_once_although_a_worker_and_a_triggerer_die(
    airflow: Airflow, sandbox: Sandbox
) -> None:
    """Half-way DaoCloud has taken eight POSTs that it has not answered; then both are killed."""
    began = time.monotonic()
    airflow.ask("PATCH", f"/dags/{DAG_ID}", {"is_paused": False})
    conf = {"apps": [f"app-{n}" for n in range(APPS)], "release_name": RELEASE}
    run = airflow.ask("POST", f"/dags/{DAG_ID}/dagRuns", {"logical_date": None, "conf": conf})
    path = f"/dags/{DAG_ID}/dagRuns/{run['dag_run_id']}"

    until(airflow, lambda: len(sandbox.service.held) == HELD)
    before = taken_over(airflow.home)
    airflow.kill(deployed.WORKERS[0])
    airflow.kill(deployed.TRIGGERERS[0])
    killed = time.monotonic()
    sandbox.release()
    states = Counter(ti["state"] for ti in task_instances(airflow, path))
    print(
        f"\nKilled after {killed - began:.0f} s, {sandbox.effects['redeploy_app']} redeploys, "
        f"with {dict(states)}."
    )
    until(airflow, lambda: ended(airflow, path))

    tasks = [ti for ti in task_instances(airflow, path) if ti["task_id"] == "redeploy"]
    again = [ti for ti in tasks if ti["try_number"] > 1]
    results = [result(airflow, path, ti["map_index"]) for ti in again]
    adopted = sum(bool(result.get("adopted")) for result in results)
    moved = taken_over(airflow.home) - before
    print(
        f"Ended after {time.monotonic() - began:.0f} s. {moved} waits went to the other triggerer, "
        f"{len(again)} tasks had a second try, {adopted} of them went by what the app shows. "
        f"DaoCloud was asked {sandbox.counts.total()} times: {dict(sandbox.counts)}."
    )
    assert airflow.ask("GET", path)["state"] == "success"
    assert Counter(ti["state"] for ti in tasks) == {"success": APPS}
    assert sandbox.effects == {"redeploy_app": APPS}
    redeployed = Counter(action.app_id for action in sandbox.world.actions.values())
    assert set(redeployed) == set(sandbox.world.apps)
    assert set(redeployed.values()) == {1}
    assert {app.release_name for app in sandbox.world.apps.values()} == {RELEASE}
    # Both deaths were felt.
    assert adopted == deployed.CONCURRENCY
    assert moved
    written = [file for file in airflow.home.rglob("*") if file.is_file()]
    assert any("task_id=redeploy" in str(file) for file in written)
    assert [file for file in written if sandbox.token.encode() in file.read_bytes()] == []
