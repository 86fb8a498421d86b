"""What a task hands over is the same whoever ends it: a worker or the triggerer, mapped or not.

Under a real scheduler and triggerer, with Airflow's own XCom backend and with one that keeps every
value in a file. The links of the tasks are checked on the way: they must not lead to such a file.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_daocloud.sandbox import ActionPlan, Sandbox
from airflow_provider_daocloud.triggers.deferral import airflow_version
from scripts.airflow_processes import Airflow
from tests.system.test_triggerer import run, succeeded, task_instances, until

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(600),
    pytest.mark.skipif(airflow_version() < (3, 3), reason="its processes are those of Airflow 3.3"),
]

DAG = """
from airflow.sdk import DAG, task
from airflow_provider_daocloud.sensors.daocloud import DaoCloudActionSensor

WAIT = {"deferrable": True, "poke_interval": 1, "app_id": "{{ dag_run.conf['app_id'] }}"}
ENDED = WAIT | {"end_from_trigger": True}
STARTED = ENDED | {"start_from_trigger": True}
ID = "{{ dag_run.conf['action_id'] }}"
TASKS = ("by_worker", "by_trigger", "without_worker")


@task
def same(*results, states):
    assert [type(result) for result in results] == [dict] * len(results), results
    assert all(result == results[0] for result in results), results
    assert states == ["SUCCESS"] * len(results)
    assert results[0]["state"] == "SUCCESS"


@task
def one(result, like):
    assert (type(result), result) == (dict, like)


@task
def field(pair, like):
    key, value = pair
    assert like[key] == value


with DAG("results", schedule=None):
    worker, trigger, without = (
        DaoCloudActionSensor(task_id=task_id, action_id=ID, **how).output
        for task_id, how in zip(TASKS, (WAIT, ENDED, STARTED))
    )
    states = ["{{ ti.xcom_pull('%s')['state'] }}" % task_id for task_id in TASKS]
    same(worker, trigger, without, states=states)
    mapped = DaoCloudActionSensor.partial(task_id="mapped", **ENDED).expand(action_id=[ID, ID])
    one.partial(like=worker).expand(result=mapped.output)
    for task_id, how in (("over_ended", ENDED), ("over_started", STARTED)):
        over = DaoCloudActionSensor(task_id=task_id, action_id=ID, **how)
        field.override(task_id=f"{task_id}_field").partial(like=worker).expand(pair=over.output)
"""
WAITING = ("by_worker", "by_trigger", "without_worker", "over_ended", "over_started")
# How many fields the result of an action has.
FIELDS = 8
BACKENDS: dict[str, dict[str, str]] = {
    "Airflow's own": {},
    "files": {
        "AIRFLOW__CORE__XCOM_BACKEND": (
            "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend"
        ),
        "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD": "0",
    },
}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(fill=None) as sandbox:
        yield sandbox


@pytest.fixture(params=BACKENDS)
def airflow(request: pytest.FixtureRequest, tmp_path: Path, sandbox: Sandbox) -> Iterator[Airflow]:
    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / "results.py").write_text(DAG)
    settings: dict[str, Any] = {
        "AIRFLOW_CONN_DAOCLOUD_DEFAULT": sandbox.connection_json(),
        "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH": f"file://{tmp_path}/xcoms",
        **BACKENDS[request.param],
    }
    with Airflow(tmp_path / "home", folder, **settings) as airflow:
        airflow.wait_until_up("results")
        yield airflow


def links(airflow: Airflow, path: str) -> dict[str, str]:
    return {
        task_id: airflow.ask("GET", f"{path}/taskInstances/{task_id}/links")["extra_links"][
            "App in DaoCloud"
        ]
        for task_id in WAITING
    }


def test_whoever_ends_a_task_hands_over_the_same(
    airflow: Airflow, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The tasks after it compare the objects, and are mapped over them."""
    app = sandbox.world.add_app("web")
    sandbox.world.plan(ActionPlan(app_id=app.id, by_hand=True))
    action = sandbox.world.operate(app.id, "restart")
    path = run(airflow, "results", {"app_id": app.id, "action_id": action.id})

    expected = dict.fromkeys(WAITING, f"https://dashboard.daocloud.io/apps/{app.id}")
    until(airflow, lambda: all(links(airflow, path).values()))
    assert links(airflow, path) == expected
    time.sleep(8.0)  # see until_watched
    sandbox.world.finish_action(action.id)
    until(airflow, lambda: succeeded(airflow, path))

    tasks = task_instances(airflow, path)
    assert {ti["state"] for ti in tasks} == {"success"}
    fields = [ti["task_id"] for ti in tasks if ti["task_id"].endswith("_field")]
    assert len(fields) == 2 * FIELDS
    assert links(airflow, path) == expected
    # No worker has ended what the trigger was to end, but for what tasks are mapped over.
    workers = {ti["task_id"]: bool(ti["pid"]) for ti in tasks}
    assert not workers["without_worker"]
    assert workers["over_started"]
    if "AIRFLOW__CORE__XCOM_BACKEND" in airflow.environment:
        assert any((tmp_path / "xcoms").rglob("*"))
