"""The release pipeline in a whole Airflow: API server, scheduler, DAG processor, triggerer."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_daocloud.sandbox import Sandbox
from scripts.airflow_processes import Airflow

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

EXAMPLES = Path(__file__).parents[2] / "example_dags"
PIPELINE = "daocloud_release_pipeline"
# One run takes half a minute; a machine may be slow, but a test ends.
RETRY_TIMEOUT = 300.0


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(speed=2) as sandbox:
        yield sandbox


@pytest.fixture
def airflow(tmp_path: Path, sandbox: Sandbox) -> Iterator[Airflow]:
    # Without its schedule: in the hours after the time of a run, unpausing would begin that run.
    source = (EXAMPLES / f"{PIPELINE}.py").read_text()
    unscheduled, replaced = re.subn(r'schedule="[^"]+"', "schedule=None", source)
    assert replaced == 1
    dags_folder = tmp_path / "dags"
    dags_folder.mkdir()
    (dags_folder / f"{PIPELINE}.py").write_text(unscheduled)
    connection = sandbox.connection_json()
    home = tmp_path / "home"
    with Airflow(home, dags_folder, AIRFLOW_CONN_DAOCLOUD_DEFAULT=connection) as airflow:
        airflow.wait_until_up(PIPELINE)
        yield airflow


def wait_for(airflow: Airflow, path: str, state: str) -> dict[str, Any]:
    """Wait until what the API shows under a path is in a state, and return it."""
    end = time.monotonic() + RETRY_TIMEOUT
    while True:
        airflow.check()
        seen: dict[str, Any] = airflow.ask("GET", path)
        if seen["state"] == state:
            return seen
        assert seen["state"] not in ("failed", "upstream_failed", "skipped", "success"), seen
        assert time.monotonic() < end, seen
        time.sleep(0.5)


def test_release_pipeline_succeeds_with_one_redeploy_and_leaks_no_token(
    airflow: Airflow, sandbox: Sandbox
) -> None:
    """Build, redeploy, wait: by the scheduler; the token is nowhere in what Airflow wrote."""
    airflow.ask("PATCH", f"/dags/{PIPELINE}", {"is_paused": False})
    run = airflow.ask(
        "POST",
        f"/dags/{PIPELINE}/dagRuns",
        {"logical_date": None, "conf": {"release_name": "v2.0.0"}},
    )
    path = f"/dags/{PIPELINE}/dagRuns/{run['dag_run_id']}"

    wait_for(airflow, f"{path}/taskInstances/find", "success")
    sandbox.world.start_build("web")
    wait_for(airflow, path, "success")

    assert sandbox.effects == {"redeploy_app": 1}
    assert sandbox.world.app("web").release_name == "v2.0.0"
    entry = airflow.ask("GET", f"{path}/taskInstances/wait_for_release/xcomEntries/return_value")
    result = entry["value"] if isinstance(entry["value"], dict) else json.loads(entry["value"])
    assert (result["action_name"], result["state"]) == ("redeploy_app", "SUCCESS")
    written = [file for file in airflow.home.rglob("*") if file.is_file()]
    assert any(file.name == "airflow.db" for file in written)
    assert any("wait_for_release" in str(file) for file in written)
    assert [file for file in written if sandbox.token.encode() in file.read_bytes()] == []
