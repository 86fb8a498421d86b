"""Deferred waits under a real scheduler and a real triggerer, which is killed on the way."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.error import HTTPError

import pytest

from airflow_provider_daocloud.sandbox import ActionPlan, Options, Sandbox
from airflow_provider_daocloud.triggers.deferral import airflow_version
from scripts.airflow_processes import Airflow

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(900),
    pytest.mark.skipif(airflow_version() < (3, 3), reason="its processes are those of Airflow 3.3"),
]

# How many waits there are, and how many of them a worker ends: that costs twice as much.
WAITS, ENDED_BY_A_WORKER = 200, 20
# An action takes about as long as Airflow needs to take note of a dead triggerer.
ACTION_SECONDS = 15.0
RETRY_TIMEOUT = 600.0

DAGS = """
from airflow.sdk import DAG
from airflow_provider_daocloud.operators.daocloud import DaoCloudAppActionOperator
from airflow_provider_daocloud.sensors.daocloud import DaoCloudActionSensor

APPS = {apps}
IDS = {{
    "app_id": "{{{{ dag_run.conf['app_id'] }}}}",
    "action_id": "{{{{ dag_run.conf['action_id'] }}}}",
}}

with DAG("one_wait", schedule=None):
    DaoCloudActionSensor(
        task_id="without_a_worker", deferrable=True, start_from_trigger=True, end_from_trigger=True,
        **IDS,
    )
    DaoCloudActionSensor(task_id="with_a_worker", deferrable=True, **IDS)

with DAG("pulling", schedule=None):
    post = DaoCloudAppActionOperator(
        task_id="post", action="restart", wait_for_completion=False, app_id=IDS["app_id"]
    )
    start = {{"deferrable": True, "start_from_trigger": True, "app_id": IDS["app_id"]}}
    post >> DaoCloudActionSensor(
        task_id="by_template", action_id="{{{{ ti.xcom_pull(task_ids='post') }}}}", **start
    )
    DaoCloudActionSensor(task_id="by_output", action_id=post.output, **start)

with DAG("many_waits", schedule=None, max_active_tasks=64, default_args={{"deferrable": True}}):
    DaoCloudAppActionOperator.partial(
        task_id="ended_from_the_trigger", action="restart", end_from_trigger=True
    ).expand(app_id=APPS[{by_worker}:])
    DaoCloudAppActionOperator.partial(
        task_id="ended_by_a_worker", action="restart"
    ).expand(app_id=APPS[:{by_worker}])
"""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(fill=None, options=Options(action_seconds=ACTION_SECONDS)) as sandbox:
        for number in range(WAITS):
            sandbox.world.add_app(f"app-{number}")
        yield sandbox


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> Iterator[Airflow]:
    folder = tmp_path_factory.mktemp("triggerer")
    dags_folder = folder / "dags"
    dags_folder.mkdir()
    apps = [app.id for app in sandbox.world.apps.values()]
    dags = DAGS.format(apps=apps, by_worker=ENDED_BY_A_WORKER)
    (dags_folder / "waits.py").write_text(dags)
    settings: dict[str, Any] = {
        "AIRFLOW_CONN_DAOCLOUD_DEFAULT": sandbox.connection_json(),
        # A dead triggerer is noticed by its silence; the default is half a minute.
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "8",
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    }
    with Airflow(folder / "home", dags_folder, **settings) as airflow:
        airflow.wait_until_up("many_waits")
        yield airflow


def run(airflow: Airflow, dag_id: str, conf: dict[str, Any] | None = None) -> str:
    """Start a DAG run; return its path in the API."""
    airflow.ask("PATCH", f"/dags/{dag_id}", {"is_paused": False})
    body = {"logical_date": None, "conf": conf or {}}
    started = airflow.ask("POST", f"/dags/{dag_id}/dagRuns", body)
    return f"/dags/{dag_id}/dagRuns/{started['dag_run_id']}"


def until(airflow: Airflow, true: Callable[[], object]) -> None:
    """Wait until something is true."""
    end = time.monotonic() + RETRY_TIMEOUT
    while not true():
        airflow.check()
        assert time.monotonic() < end
        time.sleep(2.0)


def succeeded(airflow: Airflow, path: str) -> bool:
    state = airflow.ask("GET", path)["state"]
    assert state != "failed", task_instances(airflow, path)
    return bool(state == "success")


def task_instances(airflow: Airflow, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        page = airflow.ask("GET", f"{path}/taskInstances?limit=100&offset={len(found)}")
        found += page["task_instances"]
        if len(found) >= page["total_entries"]:
            return found


def result(airflow: Airflow, path: str, task_id: str, map_index: int = -1) -> dict[str, Any]:
    entry = airflow.ask(
        "GET",
        f"{path}/taskInstances/{task_id}/xcomEntries/return_value?map_index={map_index}",
    )
    value = entry["value"]
    assert isinstance(value, dict)  # also if the trigger has ended the task
    return value


def log_of(airflow: Airflow, path: str, task_id: str) -> str:
    """Return the log of a task, as the UI shows it; empty if there is none yet."""
    try:
        return json.dumps(airflow.ask("GET", f"{path}/taskInstances/{task_id}/logs/1"))
    except HTTPError:
        return ""


def until_watched(airflow: Airflow, path: str, told: str, *task_ids: str) -> None:
    """Wait until the logs of tasks show something, and their workers are long gone.

    Airflow's LocalExecutor notes five seconds late that a process has ended. A task that is resumed
    at that very moment is failed (3.3.2), whatever it waited for.
    """
    until(airflow, lambda: all(told in log_of(airflow, path, task_id) for task_id in task_ids))
    time.sleep(8.0)


def results(airflow: Airflow, path: str) -> Iterator[dict[str, Any]]:
    """Yield what each task of a run returned; all have succeeded."""
    for ti in task_instances(airflow, path):
        told = result(airflow, path, ti["task_id"], ti["map_index"])
        assert told["state"] == "SUCCESS"
        yield told


def test_a_task_is_started_and_ended_by_the_trigger_without_a_worker(
    airflow: Airflow, sandbox: Sandbox
) -> None:
    """No process of its own: beside it, the same wait that a worker starts and ends."""
    app = sandbox.world.add_app("one")
    sandbox.world.plan(ActionPlan(app_id=app.id, by_hand=True))
    action = sandbox.world.operate(app.id, "restart")
    # The task's log says what the trigger does.
    told = f"(action {action.id} of app {app.id})"

    path = run(airflow, "one_wait", {"app_id": app.id, "action_id": action.id})
    until_watched(airflow, path, told, "with_a_worker", "without_a_worker")
    sandbox.world.finish_action(action.id)
    until(airflow, lambda: succeeded(airflow, path))

    tasks = {ti["task_id"]: ti for ti in task_instances(airflow, path)}
    assert {ti["state"] for ti in tasks.values()} == {"success"}
    # Each process of a task leaves its id and its host's name.
    assert tasks["with_a_worker"]["pid"]
    assert tasks["with_a_worker"]["hostname"]
    assert not tasks["without_a_worker"]["pid"]
    assert not tasks["without_a_worker"]["hostname"]
    assert result(airflow, path, "without_a_worker") == result(airflow, path, "with_a_worker")
    assert result(airflow, path, "without_a_worker")["action_id"] == action.id


def test_what_the_trigger_cannot_render_is_left_to_a_worker(
    airflow: Airflow, sandbox: Sandbox
) -> None:
    """Started from the trigger, these would wait for the id of their action for ever."""
    app = sandbox.world.add_app("another")
    sandbox.world.plan(ActionPlan(app_id=app.id, by_hand=True))

    path = run(airflow, "pulling", {"app_id": app.id})
    until_watched(airflow, path, f"of app {app.id})", "by_template", "by_output")
    (action_id,) = (a.id for a in sandbox.world.actions.values() if a.app_id == app.id)
    sandbox.world.finish_action(action_id)
    until(airflow, lambda: succeeded(airflow, path))

    assert all(ti["pid"] for ti in task_instances(airflow, path))
    for task_id in ("by_template", "by_output"):
        assert result(airflow, path, task_id)["action_id"] == action_id


def test_nothing_is_lost_or_posted_twice_when_the_triggerer_dies(
    airflow: Airflow, sandbox: Sandbox
) -> None:
    """Half of the actions are posted and many waits are under way; then it is killed (-9)."""
    began = time.monotonic()
    posted = sandbox.effects["restart_app"]
    path = run(airflow, "many_waits")
    until(airflow, lambda: sandbox.effects["restart_app"] - posted >= WAITS / 2)
    states = Counter(ti["state"] for ti in task_instances(airflow, path))
    airflow.kill("triggerer")
    print(f"killed after {time.monotonic() - began:.0f} s, with {dict(states)}")
    assert states["deferred"]

    observations = sandbox.counts["get_action"]
    time.sleep(ACTION_SECONDS / 2)
    assert sandbox.counts["get_action"] == observations  # only the triggerer observes
    airflow.start("triggerer")
    until(airflow, lambda: succeeded(airflow, path))
    print(f"ended after {time.monotonic() - began:.0f} s, {dict(sandbox.counts)}")

    tasks = task_instances(airflow, path)
    assert Counter(ti["task_id"] for ti in tasks) == {
        "ended_from_the_trigger": WAITS - ENDED_BY_A_WORKER,
        "ended_by_a_worker": ENDED_BY_A_WORKER,
    }
    assert {ti["state"] for ti in tasks} == {"success"}
    assert {ti["try_number"] for ti in tasks} == {1}
    # One action for each app, and each task tells its own.
    assert sandbox.effects["restart_app"] - posted == WAITS
    actions = sandbox.world.actions
    assert len({actions[told["action_id"]].app_id for told in results(airflow, path)}) == WAITS
