"""``make demo``: a whole release against the sandbox, in real Airflow; ``make demo-ui``: its UI.

``make demo-enterprise`` is the same for DaoCloud Enterprise.

Everything happens in ``.demo/``, which is removed at the end, and kept if something went wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.airflow_home import environment, make_database
from scripts.airflow_processes import Airflow, AirflowError
from scripts.processes import running

ROOT = Path(__file__).parents[1]
DEMO = ROOT / ".demo"
RETRY_TIMEOUT = 300.0
WELCOME = """
Airflow:   {airflow}/dags/{dag}
DaoCloud:  {sandbox}/_sandbox
(No login: both listen to this machine alone.)

1. Open Airflow's address, press Trigger, and Trigger again in the form. The run waits for a build.
2. Open DaoCloud's address in another tab, and press "Start a build" beside web. In about twenty
   seconds the build succeeds, the app is redeployed, and the run ends in success.

Then try:
   daocloud_build_and_release   starts its build itself: just trigger it
   daocloud_on_new_build        switch it on, and press "Start a build": nothing else to do
   Admin, Connections           daocloud: the form of the connection, with a Test button

Ctrl-C ends both."""


class DemoError(Exception):
    """The demo did not show what it promises."""


class Sandbox:
    """A sandbox, as a process of its own, and its control endpoints."""

    def __init__(self, url: str, token: str, log: Path, conn_type: str) -> None:
        self.url = url
        self.log = log
        self._token = token
        self._conn_type = conn_type

    @property
    def connection(self) -> dict[str, str]:
        """The environment variable of its default connection."""
        value = {"conn_type": self._conn_type, "host": self.url, "password": self._token}
        return {f"AIRFLOW_CONN_{self._conn_type.upper()}_DEFAULT": json.dumps(value)}

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """GET a path, or POST to it if there is a body; return the JSON of the answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data)
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    def served(self) -> list[str]:
        """Return the log's lines about calls."""
        lines = self.log.read_text().splitlines()
        return [line for line in lines if re.match(r"(GET|POST|PATCH) ", line)]


@dataclass(frozen=True)
class Release:
    """A release that can be shown: its DAG, where it runs, and what it must do there.

    :param module: the sandbox.
    :param effects: what the sandbox must have done in the end, and how often.
    :param running: returns one line about what runs.
    :param task_done: called with each task that has succeeded; returns what happens then.
    :param summary: what it has shown.
    """

    dag_id: str
    module: str
    conn_type: str
    conf: dict[str, str]
    effects: dict[str, int]
    running: Callable[[Sandbox], str]
    summary: str
    task_done: Callable[[Sandbox, str], str | None] | None = None

    @property
    def version(self) -> str:
        """What runs in the end."""
        [version] = self.conf.values()
        return version


def _app(daocloud: Sandbox) -> str:
    [app] = [app for app in daocloud.ask("/_sandbox/state")["apps"] if app["name"] == "web"]
    return f"{app['name']} is {app['state']}, release {app['release_name']}"


def _start_build(daocloud: Sandbox, task: str) -> str | None:
    # Only now: the run waits for a build that is newer than what the first task found.
    if task != "find":
        return None
    build = daocloud.ask("/_sandbox/build-flows/web/builds", {})
    return f"somebody pushes: build {build['id']} of the flow web begins"


def _workload(daocloud: Sandbox) -> str:
    [web] = [
        one
        for one in daocloud.ask("/_sandbox/state")["workloads"]
        if (one["cluster"], one["name"]) == ("production", "web")
    ]
    pods = Counter(web["pods"].values())
    running = ", ".join(f"{count} {phase}" for phase, count in pods.items())
    return f"{web['cluster']}/{web['namespace']}/{web['name']}: {web['images']['web']}, {running}"


OPEN_API = Release(
    dag_id="daocloud_release_pipeline",
    module="airflow_provider_daocloud.sandbox",
    conn_type="daocloud",
    conf={"release_name": "v1.1.0"},
    effects={"redeploy_app": 1},
    running=_app,
    task_done=_start_build,
    summary="One redeploy, once the new build had succeeded. `make demo-ui` shows it in a browser.",
)
ENTERPRISE = Release(
    dag_id="daocloud_enterprise_build_and_deploy",
    module="airflow_provider_daocloud.sandbox.enterprise",
    conn_type="daocloud_enterprise",
    conf={"tag": "1.1"},
    effects={"start_run": 1, "patch_deployment": 1},
    running=_workload,
    summary="One run of the pipeline, then one patch of the deployment, and its whole rollout.",
)


@contextmanager
def sandbox(shown: Release, *arguments: str) -> Iterator[Sandbox]:
    """Run a sandbox on a free port for as long as the block lasts."""
    token = secrets.token_urlsafe(24)
    log = DEMO / "sandbox.log"
    command = [shown.module, "--port", "0", *arguments]
    with running(command, log, os.environ | {"DAOCLOUD_SANDBOX_TOKEN": token}) as process:
        end = time.monotonic() + 30
        while not (found := re.search(r"listens on (http://\S+?)\.\s", log.read_text())):
            if process.poll() is not None or time.monotonic() > end:
                raise DemoError(f"The sandbox did not start:\n{log.read_text()}")
            time.sleep(0.05)
        yield Sandbox(found[1], token, log, shown.conn_type)


def task_states(database: Path) -> tuple[str | None, dict[str, str]]:
    """Return the state of the DAG run, and the states of its tasks, in the order they began."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as connection:
        run = connection.execute("SELECT state FROM dag_run").fetchone()
        tasks = connection.execute(
            "SELECT task_id, state FROM task_instance WHERE state IS NOT NULL ORDER BY start_date"
        ).fetchall()
    return (run[0] if run else None), dict(tasks)


def release(shown: Release, daocloud: Sandbox, home: Path) -> None:
    """Run the pipeline to its end, and say what happens meanwhile."""
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {text}", flush=True)

    make_database(home)
    say("Airflow's private home is ready")
    command = ["airflow", "dags", "test", shown.dag_id, "--conf", json.dumps(shown.conf)]
    env = environment(home, ROOT / "example_dags", **daocloud.connection)
    with running(command, DEMO / "airflow.log", env) as airflow:
        said: dict[str, str] = {}
        while True:
            ended = airflow.poll() is not None
            run, states = task_states(home / "airflow.db")
            for task, state in states.items():
                if said.get(task) == state or state in ("scheduled", "queued"):
                    continue
                say(f"{task:<17} {state}")
                happens = shown.task_done if state == "success" else None
                if happens and (event := happens(daocloud, task)):
                    say(f"{'':17} {event}")
            said = states
            if ended:
                break
            if time.monotonic() - started > RETRY_TIMEOUT:
                raise DemoError(f"The pipeline did not end within {RETRY_TIMEOUT:.0f} s.")
            time.sleep(0.2)
    say(f"{shown.dag_id} ended: {run or 'it never began'}")
    if run != "success":
        raise DemoError("The pipeline did not succeed.")


def demo(shown: Release) -> None:
    """Show a release from the build to what runs in the end."""
    print("Starting a toy DaoCloud on this machine, and Airflow.\n")
    with sandbox(shown, "--speed", "2") as daocloud:
        before = shown.running(daocloud)
        release(shown, daocloud, DEMO / "home")
        after = shown.running(daocloud)
        effects = daocloud.ask("/_sandbox/counts")["effects"]
    print(f"\nBefore: {before}\nAfter:  {after}\n\nWhat DaoCloud was asked:")
    print(*(f"    {line}" for line in daocloud.served()), sep="\n")
    if effects != shown.effects or shown.version not in after:
        raise DemoError(f"Expected {shown.effects} and {shown.version}; DaoCloud did {effects}.")
    print(f"\n{shown.summary}")


def unscheduled(folder: Path) -> Path:
    """Copy the example DAGs, without their times of day: unpausing would begin last night's run.

    :param folder: where to.
    """
    folder.mkdir(parents=True)
    for source in (ROOT / "example_dags").glob("*.py"):
        text = re.sub(r'schedule="[^"]+"', "schedule=None", source.read_text())
        (folder / source.name).write_text(text)
    return folder


def demo_ui() -> None:
    """Run Airflow's web UI with the example DAGs until Ctrl-C."""
    print("Starting a toy DaoCloud on this machine, and Airflow ...", flush=True)
    with sandbox(OPEN_API) as daocloud:
        state = daocloud.ask("/_sandbox/state")
        app_id, flow_id = (
            next(found["id"] for found in state[kind] if found["name"] == "web")
            for kind in ("apps", "build_flows")
        )
        more = {
            **daocloud.connection,
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "DAOCLOUD_APP_ID": app_id,
            "DAOCLOUD_BUILD_FLOW_ID": flow_id,
        }
        with Airflow(DEMO / "home", unscheduled(DEMO / "dags"), port=8080, **more) as airflow:
            airflow.wait_until_up(OPEN_API.dag_id)
            print(
                WELCOME.format(airflow=airflow.url, sandbox=daocloud.url, dag=OPEN_API.dag_id),
                flush=True,
            )
            until_stopped(airflow)


def until_stopped(airflow: Airflow) -> None:
    """Wait for Ctrl-C, or for a process of Airflow's to end by itself."""
    while True:
        time.sleep(1)
        airflow.check()


def main(argv: list[str] | None = None) -> int:
    """Run the demo; return the exit status."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--ui", action="store_true", help="run Airflow's web UI until Ctrl-C")
    parser.add_argument("--enterprise", action="store_true", help="show DaoCloud Enterprise")
    arguments = parser.parse_args(argv)
    ui, shown = arguments.ui, ENTERPRISE if arguments.enterprise else OPEN_API
    # However it is ended, it ends what it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    shutil.rmtree(DEMO, ignore_errors=True)
    DEMO.mkdir()
    try:
        demo_ui() if ui else demo(shown)
    except KeyboardInterrupt:
        print("\nStopped.")
        shutil.rmtree(DEMO)
        return 0 if ui else 130
    except (
        DemoError,
        AirflowError,
        OSError,
        sqlite3.Error,
        subprocess.SubprocessError,
    ) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        log = DEMO / "airflow.log"
        if log.exists():
            print(f"The end of Airflow's log ({log}):", file=sys.stderr)
            print(*log.read_text().splitlines()[-25:], sep="\n", file=sys.stderr)
        return 1
    shutil.rmtree(DEMO)
    return 0


if __name__ == "__main__":
    sys.exit(main())
