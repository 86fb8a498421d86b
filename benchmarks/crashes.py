"""The same deaths and faults for Databricks' durable run-now, Airflow's own way to resume a job.

Each try is a process of its own that calls the operator's ``execute``, with a task state store in a
file. It is killed with -9, or its network breaks; the next try is a new process with the same store
and nothing in the way. What is counted is what the service did. Databricks' service is a stub.

    python -m benchmarks.crashes
"""

# ruff: noqa: D102 - what the methods of the services do is said once, in `Service`

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

PAGE = Path(__file__).parents[1] / "docs" / "no-duplicate-actions.md"
RETRY_TIMEOUT = 120.0
TRIES = 3
SETTLE = 4.0

CONTESTANTS = {
    "redeploy": "this provider: redeploy to another release",
    "restart": "this provider: restart",
    "databricks": "Databricks run-now",
    "databricks-token": "Databricks run-now with an idempotency token",
}
# What befalls the first try: a fault of the service (and a kill while it is held), or a point at
# which the process kills itself.
ROWS: dict[str, dict[str, Any]] = {
    "killed before the POST arrives": {"fault": ("hold", "before"), "kill": "held"},
    "killed after the POST was taken, before its answer": {
        "fault": ("hold", "after"),
        "kill": "held",
    },
    "killed between the answer and the state store": {"kill": "storing"},
    "killed while it waits": {"kill": "waiting"},
    "killed between the end and the return": {"kill": "return"},
    "the connection is dropped before the effect": {"fault": ("drop", "before")},
    "the connection is dropped after the effect": {"fault": ("drop", "after")},
    "503 after the effect": {"fault": ("503", "after")},
    "the answer is lost on every POST of the first try": {"fault": ("drop", "after", "always")},
}


class Service(Protocol):
    """What is done to a service, and asked of it."""

    environment: dict[str, str]

    def fault(self, kind: str, effect: str, times: int | None) -> None:
        """Let the next POST (or each) be held, dropped, or answered by 503."""

    def repair(self) -> None:
        """Take all faults away."""

    def held(self) -> bool:
        """Whether a POST is held."""

    def drop_held(self) -> None:
        """End the connections of what is held."""

    def observations(self) -> int:
        """How often somebody asked how it goes."""

    def effects(self) -> int:
        """How many actions there were."""


class DaoCloud:
    """The sandbox of this package."""

    def __init__(self, sandbox: Any) -> None:
        self._sandbox = sandbox
        world = sandbox.world
        self.app = world.add_app("web", last_operated_at=world.now() - 86400.0)
        self.environment = {
            "AIRFLOW_CONN_DAOCLOUD_DEFAULT": sandbox.connection_json(),
            "APP_ID": self.app.id,
        }

    def fault(self, kind: str, effect: str, times: int | None) -> None:
        status = {"status": int(kind)} if kind.isdigit() else {}
        kind = "status" if status else kind
        self._sandbox.fault(kind, call="POST", effect=effect, times=times, **status)

    def repair(self) -> None:
        self._sandbox.clear_faults()

    def held(self) -> bool:
        return bool(self._sandbox.service.held)

    def drop_held(self) -> None:
        self._sandbox.release(drop=True)

    def observations(self) -> int:
        return int(self._sandbox.counts["get_action"])

    def effects(self) -> int:
        return sum(action.by == "main" for action in self._sandbox.world.actions.values())


class Databricks(ThreadingHTTPServer):
    """A stub of the two calls of Databricks' Jobs API that run-now needs."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        connection = {
            "conn_type": "databricks",
            "host": "127.0.0.1",
            "port": self.server_port,
            "schema": "http",
            "password": "made-up",
        }
        self.environment = {"AIRFLOW_CONN_DATABRICKS_DEFAULT": json.dumps(connection)}
        self.began: list[float] = []
        self.tokens: dict[str, int] = {}
        self.lock = threading.Lock()
        self.broken: tuple[str, str, int | None] | None = None
        self.holding = 0
        self.gate = threading.Event()
        self.record = 0

    def fault(self, kind: str, effect: str, times: int | None) -> None:
        self.broken = (kind, effect, times)

    def repair(self) -> None:
        self.broken = None

    def held(self) -> bool:
        return self.holding > 0

    def drop_held(self) -> None:
        self.gate.set()

    def observations(self) -> int:
        return self.record

    def effects(self) -> int:
        return len(self.began)

    def run_now(self, token: str | None) -> int:
        """Begin a run, unless its token was seen before: as the real service does."""
        with self.lock:
            if token is not None and token in self.tokens:
                return self.tokens[token]
            self.began.append(time.monotonic())
            if token is not None:
                self.tokens[token] = len(self.began)
            return len(self.began)

    def redact(self, effect: str) -> str | None:
        """Return the fault that a POST runs into here, and use it up."""
        with self.lock:
            if self.broken is None or self.broken[1] != effect:
                return None
            kind, _, times = self.broken
            if times is not None:
                self.broken = None
            return kind

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed has left: that is what is tried here."""


class _Handler(BaseHTTPRequestHandler):
    server: Databricks

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._redacted("before"):
            return
        run = self.server.run_now(body.get("idempotency_token"))
        if not self._redacted("after"):
            self._answer(200, {"run_id": run})

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        record = json.loads(self.rfile.read(length) or b"{}")
        query = self.path.partition("run_id=")[2].partition("&")[0]
        run = int(query or record["run_id"])
        self.server.record += 1
        over = time.monotonic() - self.server.began[run - 1] > 3.0
        state = {
            "life_cycle_state": "TERMINATED" if over else "RUNNING",
            "result_state": "SUCCESS" if over else "",
            "state_message": "",
        }
        self._answer(200, {"run_id": run, "state": state, "run_page_url": "http://x/"})

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the base
        """Say nothing."""

    def _redacted(self, effect: str) -> bool:
        kind = self.server.redact(effect)
        if kind is None:
            return False
        if kind == "503":
            self._answer(503, {"error_code": "TEMPORARILY_UNAVAILABLE"})
            return True
        if kind == "hold":
            self.server.holding += 1
            self.server.gate.wait(RETRY_TIMEOUT)
            self.server.holding -= 1
        self.close_connection = True
        self.connection.close()
        return True

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def service(contestant: str) -> Iterator[Service]:
    """Run the service of a contestant."""
    if contestant.startswith("databricks"):
        with Databricks() as databricks:
            thread = threading.Thread(target=databricks.serve_forever, daemon=True)
            thread.start()
            yield databricks
            databricks.drop_held()
            databricks.shutdown()
        return
    from airflow_provider_daocloud.sandbox import Options, Sandbox

    with Sandbox(fill=None, options=Options(action_seconds=3.0)) as sandbox:
        yield DaoCloud(sandbox)


# --- one try, in a process of its own ------------------------------------------------------------


class FileStore:
    """A task state store that outlasts its process, which can die before it keeps an id."""

    def __init__(self, file: Path, dies: bool) -> None:
        self._file = file
        self._dies = dies

    def get(self, key: str, default: Any = None) -> Any:
        return self._all().get(key, default)

    def set(self, key: str, value: Any, **_more: Any) -> None:
        has_id = value.get("receipt") if isinstance(value, dict) else value
        if self._dies and has_id:
            os.kill(os.getpid(), signal.SIGKILL)
        self._file.write_text(json.dumps(self._all() | {key: value}))

    def _all(self) -> dict[str, Any]:
        return dict(json.loads(self._file.read_text())) if self._file.exists() else {}


def operator(contestant: str) -> Any:
    """Return the operator of a contestant; all with the same time for two retries."""
    if contestant.startswith("databricks"):
        from airflow.providers.databricks.operators.databricks import DatabricksRunNowOperator

        token = {"idempotency_token": "one-invocation"} if contestant.endswith("token") else {}
        return DatabricksRunNowOperator(
            task_id="act",
            job_id=1,
            polling_period_seconds=1,
            json=token,
            deferrable=False,
            durable=True,
        )
    from airflow_provider_daocloud.operators import daocloud

    given: dict[str, Any] = {
        "task_id": "act",
        "app_id": os.environ["APP_ID"],
        "settle_time": SETTLE,
        "poll_interval": 1.0,
        "deferrable": False,
    }
    if contestant == "restart":
        return daocloud.DaoCloudAppActionOperator(action="restart", **given)
    return daocloud.DaoCloudRedeployOperator(release_name="v2", **given)


def attempt(contestant: str, try_number: int, kill: str, folder: Path) -> None:
    """Run one try, and write how it ended."""
    from airflow.sdk.bases.operator import ExecutorSafeguard
    from tests.support.xcoms import task_instance

    task = operator(contestant)
    ti = task_instance(
        lambda _key, _value: None, try_number=try_number, max_tries=TRIES - 1, stats_tags={}
    )
    context = {
        "ti": ti,
        "task_state_store": FileStore(folder / "store.json", kill == "storing"),
        "dag_run": SimpleNamespace(clear_number=0, start_date=None),
    }
    ExecutorSafeguard.tracker.set(task)
    try:
        task.execute(context)
    except Exception as error:
        ended = type(error).__name__
    else:
        ended = "success"
    if kill == "return":
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / "ended").write_text(ended)


# --- the table -----------------------------------------------------------------------------------


def run(contestant: str, row: dict[str, Any]) -> str:
    """Run the tries of one invocation; say what the service did, and how the last try ended."""
    with service(contestant) as server, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "fault" in row:
            kind, effect, *always = row["fault"]
            server.fault(kind, effect, None if always else 1)
        kill = row.get("kill", "")
        for try_number in range(1, TRIES + 1):
            ended = _process(contestant, try_number, kill, folder, server)
            server.repair()
            kill = ""
            if ended == "success":
                break
        count = server.effects()
    ended = {"OutcomeUnknownError": "outcome unknown"}.get(ended, ended)
    return f"{count} action{'' if count == 1 else 's'}, {ended}"


def _process(contestant: str, try_number: int, kill: str, folder: Path, server: Service) -> str:
    """Run one try in a process; kill it where its own hand cannot."""
    command = ["--try", contestant, str(try_number), kill, str(folder)]
    (folder / "ended").unlink(missing_ok=True)
    home = {"AIRFLOW_HOME": str(folder), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    with (folder / "output").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.crashes", *command],
            env=os.environ | home | server.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    moment: dict[str, Callable[[], object]] = {"held": server.held, "waiting": server.observations}
    try:
        if kill in moment:
            end = time.monotonic() + RETRY_TIMEOUT
            while not moment[kill]():
                assert process.poll() is None, (folder / "output").read_text()
                assert time.monotonic() < end, f"{contestant} is never {kill}"
                time.sleep(0.02)
            process.kill()
            server.drop_held()
        process.wait(RETRY_TIMEOUT)
    finally:
        process.kill()
        process.wait()
    if kill:
        assert process.returncode == -signal.SIGKILL, (folder / "output").read_text()
        return "killed"
    return (folder / "ended").read_text()


def table(found: dict[tuple[str, str], str]) -> str:
    """Return what was found as Markdown."""
    lines = [
        "| first try | " + " | ".join(CONTESTANTS.values()) + " |",
        "| --- |" + " --- |" * len(CONTESTANTS),
    ]
    for words in ROWS:
        cells = " | ".join(found[words, contestant] for contestant in CONTESTANTS)
        lines.append(f"| {words} | {cells} |")
    return "\n".join(lines)


def fill(text: str) -> None:
    """Write the table into the page."""
    begin, end = "<!-- begin peers -->", "<!-- end peers -->"
    before, found, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise ValueError(f"{PAGE} has no {begin} ... {end}")
    PAGE.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")


def main() -> None:
    """Run all rows, and print the table."""
    parser = argparse.ArgumentParser(prog="crashes", description=__doc__.partition("\n")[0])
    parser.add_argument("--try", nargs=4, dest="attempt", help=argparse.SUPPRESS)
    parser.add_argument("--docs", action="store_true", help="write the table into the docs")
    arguments = parser.parse_args()
    if arguments.attempt:
        contestant, try_number, kill, folder = arguments.attempt
        attempt(contestant, int(try_number), kill, Path(folder))
        return
    rows = [(words, contestant) for words in ROWS for contestant in CONTESTANTS]
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda row: run(row[1], ROWS[row[0]]), rows))
    text = table(dict(zip(rows, outcomes, strict=True)))
    print(text)
    if arguments.docs:
        fill(text)


if __name__ == "__main__":
    main()
