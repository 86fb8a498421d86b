"""``python -m airflow_provider_daocloud.sandbox`` as a process of its own."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from airflow_provider_daocloud.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = [sys.executable, "-m", "airflow_provider_daocloud.sandbox"]
SECRET = "a-token-from-elsewhere"


class Running:
    """A sandbox's process and what it has printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []

    def read_until(self, pattern: str) -> re.Match[str]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"it ended without printing {pattern!r}: {self.lines}")

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        self.process.send_signal(signal_number)
        return self.process.wait(30)


@contextmanager
def running(*arguments: str, token: str | None = SECRET) -> Iterator[Running]:
    environment = {k: v for k, v in os.environ.items() if k != "DAOCLOUD_SANDBOX_TOKEN"}
    if token is not None:
        environment["DAOCLOUD_SANDBOX_TOKEN"] = token
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield Running(process)
    finally:
        process.kill()
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()


def ready(it: Running) -> str:
    """Wait until it listens; return its address."""
    url = it.read_until(r"listens on (http\S+?)\. ").group(1)
    it.read_until("/_sandbox$")
    return url


def connection(it: Running) -> dict[str, str]:
    (line,) = [line for line in it.lines if line.startswith("export ")]
    name, _, value = shlex.split(line)[1].partition("=")
    assert name == "AIRFLOW_CONN_DAOCLOUD_DEFAULT"
    return json.loads(value)


def test_what_it_prints_works() -> None:
    """The connection line parses in a shell, and both curl lines do what they say."""
    with running() as it:
        url = ready(it)
        assert connection(it) == {"conn_type": "daocloud", "host": url, "password": SECRET}
        curls = [shlex.split(line) for line in it.lines if line.startswith("curl")]
        answers = [
            json.loads(
                subprocess.run(
                    [*curl, "--silent", "--noproxy", "*"],
                    capture_output=True,
                    check=True,
                    timeout=30,
                ).stdout
            )
            for curl in curls
        ]
        assert [list(answer) for answer in answers] == [["app"], ["action_id"]]


def test_one_line_for_each_call() -> None:
    """Each call is one line with method, path and status; the token is in none of them."""
    with running() as it:
        url = ready(it)
        headers = {"Authorization": f"token {SECRET}"}
        apps = requests.get(url + "/v1/apps", headers=headers, timeout=30).json()["app"]
        path = f"/v1/apps/{apps[0]['id']}"
        body = {"release_name": "v9"}
        requests.post(url + path + "/actions/redeploy", json=body, headers=headers, timeout=30)
        requests.get(url + "/v1/apps", timeout=30)
        it.lines.clear()
        it.read_until(" 401 ")
        first, second, third = it.lines
        assert first.startswith("GET  /v1/apps 200")
        assert second.startswith(f"POST {path}/actions/redeploy 200")
        assert "web to v9" in second
        assert third.startswith("GET  /v1/apps 401")
        assert SECRET not in "".join(it.lines)


def test_quiet() -> None:
    """With --quiet there is no line for a call."""
    with running("--quiet") as it:
        url = ready(it)
        requests.get(url + "/v1/apps", timeout=30)
        assert it.stop() == 0
        assert it.process.stdout is not None
        assert it.process.stdout.read() == ""


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(signal_number: int) -> None:
    """SIGTERM and Ctrl-C end it with status 0 and without a traceback."""
    with running() as it:
        ready(it)
        assert it.stop(signal_number) == 0
        assert it.process.stdout is not None
        assert it.process.stdout.read() == ""


def test_token_is_not_on_the_command_line(tmp_path: Path) -> None:
    """The token comes from a file or the environment, or is made up; never from an argument."""
    file = tmp_path / "token"
    file.write_text("from-a-file\n")
    with running("--token-file", str(file)) as it:
        ready(it)
        assert connection(it)["password"] == "from-a-file"
        assert "from-a-file" not in Path(f"/proc/{it.process.pid}/cmdline").read_text()
    made_up = set()
    for _ in range(2):
        with running(token=None) as it:
            ready(it)
            made_up.add(connection(it)["password"])
    assert len(made_up) == 2
    with running("--token", "x") as it:
        assert it.process.wait(30) == 2


def test_busy_port() -> None:
    """A port that is taken ends it with one clear line and status 1."""
    with Sandbox() as sandbox, running("--port", str(sandbox.port)) as it:
        found = it.read_until("cannot listen on")
        assert str(sandbox.port) in found.string
        assert it.process.wait(30) == 1
        assert len(it.lines) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--speed", "0"], "speed"),
        (["--rate-limit", "-1"], "rate_limit"),
        (["--token-file", "/nonexistent/token"], "/nonexistent/token"),
        (["--build-after", "-1"], "after"),
    ],
)
def test_bad_argument(arguments: list[str], says: str) -> None:
    """An argument that makes no sense ends it with one line that names it."""
    with running(*arguments) as it:
        it.read_until(says)
        assert it.process.wait(30) == 1
        assert len(it.lines) == 1


def test_arguments_reach_the_world(certificate: tuple[Path, Path]) -> None:
    """Seed, speed, limit, prefix, TLS and a build to come are taken."""
    certfile, keyfile = certificate
    arguments = ["--seed", "7", "--speed", "3", "--rate-limit", "9", "--prefix", "/open/v1"]
    arguments += ["--tls-cert", str(certfile), "--tls-key", str(keyfile), "--build-after", "0"]
    flows = []
    for _ in range(2):
        with running(*arguments) as it, requests.Session() as session:
            session.trust_env = False
            session.verify = str(certfile)
            session.headers["Authorization"] = f"token {SECRET}"
            url = ready(it)
            assert url.startswith("https://")
            answer = session.get(url + "/open/v1/build-flows", timeout=30)
            assert answer.headers["X-RateLimit-Limit"] == "9"
            flows.append({f["name"]: f["id"] for f in answer.json()["build_flows"]})
            assert answer.json()["build_flows"][0]["status"] == "Pending"
            options = session.get(url + "/_sandbox/options", timeout=30).json()
            assert options["speed"] == 3
    assert flows[0] == flows[1]
