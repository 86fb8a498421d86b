"""A whole Airflow 3 on this machine: API server, scheduler, DAG processor and triggerer.

They are started one by one, because ``airflow standalone`` leaves its children behind when it is
asked to end, and lets its log servers listen to the network.
"""

from __future__ import annotations

import json
import secrets
import time
import urllib.request
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from scripts.airflow_home import environment, make_database, migrate
from scripts.processes import Process, free_port, kill, start, stop

COMPONENTS = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}


class AirflowError(Exception):
    """Airflow did not start, or one of its processes ended."""


class Airflow:
    """A running Airflow, for as long as the ``with`` block lasts. Whoever reaches it is an admin.

    :param home: its AIRFLOW_HOME, which is made; ``*.log`` in it are the processes' outputs.
    :param dags_folder: where its DAGs are.
    :param port: the API server's port, if it is free.
    :param components: the arguments of each process, by the name that is given to it here.
    :param more: further environment variables.
    """

    def __init__(
        self,
        home: Path,
        dags_folder: Path,
        *,
        port: int = 0,
        components: Mapping[str, list[str]] = COMPONENTS,
        **more: str,
    ) -> None:
        self.home = home
        self.components = components
        self.port = free_port(port)
        self.url = f"http://127.0.0.1:{self.port}"
        self.processes: dict[str, Process] = {}
        settings = {
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(32),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__FERNET_KEY": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        }
        self.environment = environment(home, dags_folder, **(settings | more))

    def start(self, component: str) -> None:
        """Start one of the components, again or for the first time."""
        log = self.home / f"{component}.log"
        command = ["airflow", *self.components[component]]
        self.processes[component] = start(command, log, self.environment)

    def kill(self, component: str) -> None:
        """End one of the components, and all that it started, with SIGKILL."""
        kill(self.processes.pop(component))

    def check(self) -> None:
        """Raise if a component has ended by itself.

        :raises AirflowError: with the end of its output.
        """
        for component, process in self.processes.items():
            if process.poll() is not None:
                log = (self.home / f"{component}.log").read_text(errors="replace")
                end = "\n".join(log.splitlines()[-25:])
                raise AirflowError(f"Airflow's {component} ended by itself:\n{end}")

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send a request to the REST API; return the JSON of the answer.

        :param path: what comes after ``/api/v2``.
        """
        with self._open("GET", "/auth/token") as response:
            token = json.load(response)["access_token"]
        with self._open(method, f"/api/v2{path}", body, token) as response:
            return json.load(response)

    def _open(
        self, method: str, path: str, body: dict[str, Any] | None = None, token: str = ""
    ) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        return urllib.request.urlopen(request, timeout=30)

    def wait_until_up(self, dag_id: str, seconds: float = 300.0) -> None:
        """Wait until the API server answers and a DAG has been parsed.

        :raises AirflowError: it took longer, or a process ended.
        """
        end = time.monotonic() + seconds
        while True:
            self.check()
            try:
                self.ask("GET", f"/dags/{dag_id}")
                return
            except OSError as error:
                if time.monotonic() > end:
                    raise AirflowError(f"Airflow was not up after {seconds} s: {error}") from error
                time.sleep(0.5)

    def __enter__(self) -> Self:
        if "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" in self.environment:
            self.home.mkdir(parents=True, exist_ok=True)
            migrate(self.environment)
        else:
            make_database(self.home)
        try:
            for component in self.components:
                self.start(component)
        except BaseException:
            stop(*self.processes.values())
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        stop(*self.processes.values())
