"""A watcher in a whole Airflow: a new build deploys once, whatever dies on the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow import __version__ as airflow_version

from airflow_provider_daocloud.sandbox import BuildPlan, Sandbox
from scripts.airflow_processes import Airflow

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        tuple(int(n) for n in airflow_version.split(".")[:2]) < (3, 3),
        reason="what was seen is kept from Airflow 3.3 on",
    ),
]

EXAMPLE = Path(__file__).parents[2] / "example_dags" / "daocloud_on_new_build.py"
DAG_ID = "daocloud_on_new_build"
RETRY_TIMEOUT = 240.0
# The example polls every 15 s; a test need not wait so long.
INTERVAL = 2


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(speed=10) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> Iterator[Airflow]:
    """Yield an Airflow whose watcher has seen what is there already."""
    source = EXAMPLE.read_text()
    assert source.count("poll_interval=15") == 1
    folder = tmp_path_factory.mktemp("events")
    dags_folder = folder / "dags"
    dags_folder.mkdir()
    quicker = source.replace("poll_interval=15", f"poll_interval={INTERVAL}")
    (dags_folder / EXAMPLE.name).write_text(quicker)
    old = sandbox.world.build_flow("web").package_id
    with Airflow(
        folder / "home",
        dags_folder,
        AIRFLOW_CONN_DAOCLOUD_DEFAULT=sandbox.connection_json(),
        DAOCLOUD_APP_ID=sandbox.world.app("web").id,
        DAOCLOUD_BUILD_FLOW_ID=sandbox.world.build_flow("web").id,
        # A watcher begins and ends when its DAG file is parsed.
        AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL="5",
        # How soon a triggerer is taken for dead, and its triggers go to the next one.
        AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC="1",
        AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD="10",
    ) as airflow:
        airflow.wait_until_up(DAG_ID)
        airflow.ask("PATCH", f"/dags/{DAG_ID}", {"is_paused": False})
        wait_until(
            airflow,
            lambda: f"from package {old} on" in written(airflow, "triggerer"),
            "the watcher has begun",
        )
        observations(airflow, sandbox, 2)
        yield airflow


def wait_until(airflow: Airflow, true: Callable[[], Any], what: str) -> Any:
    """Wait until something is true, and return it."""
    end = time.monotonic() + RETRY_TIMEOUT
    while not (found := true()):
        airflow.check()
        if time.monotonic() > end:
            logs = "\n".join(
                f"--- {name}\n" + "\n".join(written(airflow, name).splitlines()[-40:])
                for name in ("triggerer", "scheduler")
            )
            raise AssertionError(f"{what}: not after {RETRY_TIMEOUT:.0f} s\n{logs}")
        time.sleep(0.5)
    return found


def written(airflow: Airflow, component: str) -> str:
    return (airflow.home / f"{component}.log").read_text(errors="replace")


def observations(airflow: Airflow, sandbox: Sandbox, more: int) -> None:
    """Wait for some further polls."""
    before = sandbox.counts["list_build_flows"]
    wait_until(
        airflow, lambda: sandbox.counts["list_build_flows"] >= before + more, f"{more} polls"
    )


def polled_within(sandbox: Sandbox, seconds: float) -> bool:
    """Say whether there is a poll within the next seconds."""
    before, end = sandbox.counts["list_build_flows"], time.monotonic() + seconds
    while time.monotonic() < end:
        if sandbox.counts["list_build_flows"] > before:
            return True
        time.sleep(0.1)
    return False


def runs(airflow: Airflow) -> list[dict[str, Any]]:
    return list(airflow.ask("GET", f"/dags/{DAG_ID}/dagRuns")["dag_runs"])


def events(airflow: Airflow) -> list[dict[str, Any]]:
    """Return what the events of new builds carry."""
    found = airflow.ask("GET", "/assets/events?limit=100")["asset_events"]
    return [event["extra"]["payload"] for event in found if "payload" in event["extra"]]


def ended(airflow: Airflow, count: int) -> list[dict[str, Any]]:
    """Wait until there are so many runs and all have ended."""

    def all_ended() -> list[dict[str, Any]]:
        found = runs(airflow)
        over = [run for run in found if run["state"] in ("success", "failed")]
        return found if len(found) >= count and len(over) == len(found) else []

    found: list[dict[str, Any]] = wait_until(airflow, all_ended, f"{count} runs have ended")
    return found


def test_a_new_build_deploys_once_and_yesterdays_does_not(
    airflow: Airflow, sandbox: Sandbox
) -> None:
    flow = sandbox.world.build_flow("web")
    assert flow.status == "Success"
    old = flow.package_id
    assert (runs(airflow), events(airflow)) == ([], [])

    sandbox.world.start_build("web")
    [run] = ended(airflow, 1)

    assert (run["state"], run["run_type"]) == ("success", "asset_triggered")
    assert sandbox.effects == {"redeploy_app": 1}
    [event] = events(airflow)
    new = sandbox.world.build_flow("web").package_id
    assert (event["previous_package_id"], event["package_id"]) == (old, new)
    assert event["build_flow"]["name"] == "web"
    # The app's asset has got its event from the redeploy, with what that returned.
    app = sandbox.world.app("web").id
    found = airflow.ask("GET", "/assets/events?limit=100")["asset_events"]
    [told] = [event for event in found if event["source_task_id"] == "redeploy"]
    assert told["uri"] == f"daocloud://127.0.0.1:{sandbox.port}/apps/{app}"
    assert told["extra"]["app_name"] == "web"
    assert told["extra"]["action_id"] in sandbox.world.actions
    assert told["extra"]["release_name"] == "latest"
    assert told["extra"]["previous_release_name"] == "v1.0.0"


def test_a_failed_build_deploys_nothing_and_the_next_good_one_does(
    airflow: Airflow, sandbox: Sandbox
) -> None:
    before, deployed = len(runs(airflow)), sandbox.effects["redeploy_app"]
    sandbox.world.start_build("web", BuildPlan(outcome="Failure"))
    wait_until(airflow, lambda: sandbox.world.build_flow("web").status == "Failure", "it failed")
    observations(airflow, sandbox, 2)
    assert (len(runs(airflow)), len(events(airflow))) == (before, before)

    sandbox.world.start_build("web")
    ended(airflow, before + 1)

    assert sandbox.effects == {"redeploy_app": deployed + 1}
    newest = sandbox.world.build_flow("web").package_id
    assert [e["package_id"] for e in events(airflow)].count(newest) == 1


def test_a_triggerer_killed_between_build_and_event_loses_nothing(
    airflow: Airflow, sandbox: Sandbox
) -> None:
    """It is killed while its poll for the new build is under way: it never learns of it."""
    before, deployed = len(runs(airflow)), sandbox.effects["redeploy_app"]
    observations(airflow, sandbox, 2)  # the watermark is kept by the poll after its event
    sandbox.fault("hold", call="list_build_flows", times=None)
    assert len(sandbox.wait_held(timeout=60)) == 1
    sandbox.world.start_build("web")
    wait_until(airflow, lambda: sandbox.world.build_flow("web").status == "Success", "it is built")
    new = sandbox.world.build_flow("web").package_id

    airflow.kill("triggerer")
    sandbox.clear_faults()
    assert new not in [event["package_id"] for event in events(airflow)]
    airflow.start("triggerer")
    ended(airflow, before + 1)
    observations(airflow, sandbox, 3)

    assert [event["package_id"] for event in events(airflow)].count(new) == 1
    assert len(runs(airflow)) == before + 1
    assert sandbox.effects == {"redeploy_app": deployed + 1}


def test_a_triggerer_killed_just_after_the_event_deploys_no_second_time(
    airflow: Airflow, sandbox: Sandbox
) -> None:
    """The event may come twice, since it is stored before what was seen is; not the redeploy."""
    before, deployed = len(runs(airflow)), sandbox.effects["redeploy_app"]
    told = written(airflow, "triggerer").count("Trigger fired event")
    sandbox.world.start_build("web")
    wait_until(
        airflow,
        lambda: written(airflow, "triggerer").count("Trigger fired event") > told,
        "an event",
    )

    airflow.kill("triggerer")
    airflow.start("triggerer")
    observations(airflow, sandbox, 3)
    ended(airflow, before + 1)
    observations(airflow, sandbox, 3)
    ended(airflow, before + 1)

    new = sandbox.world.build_flow("web").package_id
    times = [event["package_id"] for event in events(airflow)].count(new)
    print(f"The event came {times} time(s).")
    assert times in (1, 2)
    assert sandbox.effects == {"redeploy_app": deployed + 1}


def test_what_is_built_while_the_dag_is_paused_deploys_once_when_it_is_not(
    airflow: Airflow, sandbox: Sandbox
) -> None:
    before, deployed = len(runs(airflow)), sandbox.effects["redeploy_app"]
    airflow.ask("PATCH", f"/dags/{DAG_ID}", {"is_paused": True})
    # The watcher ends when the DAG is parsed again.
    wait_until(airflow, lambda: not polled_within(sandbox, 5 * INTERVAL), "nobody polls")
    for _ in range(2):
        sandbox.world.start_build("web")
        sandbox.world.finish_build("web")

    airflow.ask("PATCH", f"/dags/{DAG_ID}", {"is_paused": False})
    ended(airflow, before + 1)
    observations(airflow, sandbox, 3)

    assert len(runs(airflow)) == before + 1
    assert sandbox.effects == {"redeploy_app": deployed + 1}


def test_no_token_is_in_what_airflow_wrote(airflow: Airflow, sandbox: Sandbox) -> None:
    files = [file for file in airflow.home.rglob("*") if file.is_file()]
    assert any(file.name == "airflow.db" for file in files)
    assert [f for f in files if sandbox.token.encode() in f.read_bytes()] == []
