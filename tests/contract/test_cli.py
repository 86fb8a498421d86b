"""``python -m airflow_provider_daocloud.sandbox`` as a process of its own."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from airflow_provider_daocloud.sandbox import Options, Sandbox
from airflow_provider_daocloud.sandbox.__main__ import (
    _arguments,
    _options,
    _print_welcome,
    _sandbox,
    main,
)

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
def running(*arguments: str, token: str | None = SECRET, **variables: str) -> Iterator[Running]:
    environment = {k: v for k, v in os.environ.items() if k != "DAOCLOUD_SANDBOX_TOKEN"}
    if token is not None:
        environment["DAOCLOUD_SANDBOX_TOKEN"] = token
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", *arguments],
        env=environment | variables,
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
    it.read_until("/_sandbox'?$")
    return url


def connection(it: Running) -> dict[str, Any]:
    (line,) = [line for line in it.lines if line.startswith("export ")]
    name, _, value = shlex.split(line)[1].partition("=")
    assert name == "AIRFLOW_CONN_DAOCLOUD_DEFAULT"
    return json.loads(value)


def test_the_plain_connection() -> None:
    """Without arguments the connection is as short as can be."""
    with running() as it:
        url = ready(it)
        assert connection(it) == {"conn_type": "daocloud", "host": url, "password": SECRET}


WAYS_TO_LISTEN = {
    "plain": [],
    "prefix": ["--prefix", "/open/v1"],
    "prefix in other words": ["--prefix", "v2/"],
    "no prefix": ["--prefix", "/"],
    "all addresses": ["--host", "0.0.0.0"],
    "all IPv6 addresses": ["--host", "::"],
    "IPv6": ["--host", "::1"],
    "a name": ["--host", "localhost"],
    "TLS": ["--tls-cert", "{cert}", "--tls-key", "{key}"],
    "all of it": ["--tls-cert", "{both}", "--host", "::", "--prefix", "/open/v1"],
    "the later service": ["--revision", "2018"],
}


@pytest.mark.parametrize("way", WAYS_TO_LISTEN)
def test_what_it_prints_works(
    way: str,
    certificate: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """However it listens, the connection works in the hook, and the curl lines in a shell."""
    from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook

    cert, key = certificate
    both = tmp_path / "both.pem"
    both.write_text(cert.read_text() + key.read_text())
    arguments = [a.format(cert=cert, key=key, both=both) for a in WAYS_TO_LISTEN[way]]
    monkeypatch.setenv("DAOCLOUD_SANDBOX_TOKEN", "it's-a-t*ken")
    with _sandbox(_arguments(["--port", "0", "--quiet", *arguments])) as sandbox:
        _print_welcome(sandbox)
        lines = capsys.readouterr().out.splitlines()
        (export,) = [line for line in lines if line.startswith("export ")]
        name, _, value = shlex.split(export)[1].partition("=")
        monkeypatch.setenv(name, value)
        apps = DaoCloudHook().list_apps()
        assert [app.name for app in apps] == ["web", "api", "worker", "preview"]
        assert DaoCloudHook().redeploy_app(apps[1].id, "v9")
        curls = [line for line in lines if line.startswith("curl")]
        inside = lines[-1].partition(": ")[2]
        assert len(curls) == 2
        if shutil.which("curl") is None:
            pytest.skip("there is no curl here")
        answers = [
            json.loads(
                subprocess.run(
                    ["/bin/sh", "-c", line],
                    env={"PATH": os.environ["PATH"], "no_proxy": "*"},
                    capture_output=True,
                    check=True,
                    timeout=30,
                ).stdout
            )
            for line in (*curls, inside)
        ]
        assert [next(iter(answer)) for answer in answers] == ["app", "action_id", "GET /_sandbox"]


def test_connection_to_another_machine() -> None:
    """Plain HTTP to an address of the network is allowed in what it prints: it is asked for."""
    connection = json.loads(Sandbox(8321, host="192.0.2.7").connection_json())
    assert connection["host"] == "http://192.0.2.7:8321"
    assert connection["extra"] == {"allow_http": True}


def test_what_a_client_sends_forges_no_line() -> None:
    """Newlines, escapes and what turns text around are shown, not obeyed; Chinese is Chinese."""
    with running() as it:
        url = ready(it)
        headers = {"Authorization": f"token {SECRET}"}
        it.lines.clear()
        for name in ("a%0D%0APOST%20%2Fforged%20200", "%1B%5B2J", "%E2%80%AEv", "%E5%BA%94"):
            requests.get(f"{url}/v1/apps/{name}", headers=headers, timeout=30)
        (web, *_) = requests.get(f"{url}/v1/apps", headers=headers, timeout=30).json()["app"]
        body = {"release_name": "v1\nPOST /forged 200\x1b[2J"}
        path = f"/v1/apps/{web['id']}/actions/redeploy"
        requests.post(url + path, json=body, headers=headers, timeout=30)
        it.read_until("redeploy web")
        assert [line.split()[2] for line in it.lines] == [*["404"] * 4, "200", "200"]
        assert all(line.isprintable() for line in it.lines)
        assert it.lines[0].endswith("no app a\\r\\nPOST /forged 200")
        assert it.lines[3].endswith("no app 应")


def test_a_terminal_that_knows_no_chinese() -> None:
    """What it cannot show is escaped, and the call is served."""
    with running(PYTHONIOENCODING="ascii") as it:
        url = ready(it)
        headers = {"Authorization": f"token {SECRET}"}
        answer = requests.get(f"{url}/v1/apps/应用", headers=headers, timeout=30)
        assert (answer.status_code, answer.json()["message"]) == (404, "no app 应用")
        it.read_until(r"no app \\u5e94\\u7528$")
        assert it.stop() == 0


@pytest.mark.parametrize("lines", [1, 3])
def test_nobody_reads_what_it_prints(lines: int) -> None:
    """After ``| head`` has left it serves on, and ends as well as ever."""
    with running() as it:
        assert it.process.stdout is not None
        url = it.read_until(r"listens on (http\S+?)\. ").group(1)
        for _ in range(lines - 1):
            it.process.stdout.readline()
        it.process.stdout.close()
        for _ in range(5):
            assert requests.get(url + "/v1/apps", timeout=30).status_code == 401
        assert it.stop() == 0


def test_a_full_disk() -> None:
    """A log that cannot be written costs the log and nothing else."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Path("/dev/full").open("w") as full:
        process = subprocess.Popen([*COMMAND, "--port", str(port)], stdout=full, stderr=full)
    try:
        ends_by = time.monotonic() + 60
        while True:
            try:
                answer = requests.get(f"http://127.0.0.1:{port}/v1/apps", timeout=30)
                break
            except requests.ConnectionError:
                assert process.poll() is None
                assert time.monotonic() < ends_by
                time.sleep(0.05)
        assert answer.status_code == 401
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait(30)


def test_every_option_has_its_flag() -> None:
    """What Python can set, a flag can; what no flag sets is as in Python."""
    others: dict[str, Any] = {
        "revision": 2018,
        "busy": "refuse",
        "busy_status": 423,
        "last_operated_at": "ended",
        "app_list": "frozen",
        "build_flow_fields": "later",
        "package_id_moves": "never",
        "state_case": "upper",
        "state_words": {"Cancelled": "Canceled", "SUCCESS": "done"},
    }
    arguments: list[str] = []
    for field in dataclasses.fields(Options):
        flag, default = field.name.replace("_", "-"), getattr(Options(), field.name)
        if isinstance(default, bool):
            others[field.name] = not default
            arguments.append(f"--no-{flag}" if default else f"--{flag}")
        elif isinstance(default, dict):
            for word, other in others[field.name].items():
                arguments += [f"--{flag}", f"{word}={other}"]
        else:
            value = others.setdefault(field.name, 7)
            arguments += [f"--{flag}", str(value)]
    assert _options(_arguments(arguments)) == Options(**others)
    assert _options(_arguments([])) == Options()
    assert _options(_arguments(["--action-seconds", "none"])).action_seconds is None


def test_empty() -> None:
    """It can begin with nothing in it."""
    with running("--empty") as it:
        url = ready(it)
        headers = {"Authorization": f"token {SECRET}"}
        assert requests.get(url + "/v1/apps", headers=headers, timeout=30).json() == {"app": []}


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
        (["--build-after", "1", "--empty"], "web"),
        (["--tls-key", "/nonexistent/key.pem"], "TLS key"),
        (["--tls-cert", "/nonexistent/cert.pem"], "/nonexistent/cert.pem"),
        (["--port", "99999"], "port is 0 to 65535, not 99999"),
        (["--port", "-1"], "port is 0 to 65535, not -1"),
        (["--host", "no such host"], "no such host"),
        (["--prefix", "/open v1"], "prefix"),
        (["--prefix", "/v1?"], "prefix"),
        (["--prefix", "/../v1"], "prefix"),
        (["--prefix", "/_sandbox"], "prefix"),
        (["--keep-alive", "nan"], "keep_alive"),
        (["--speed", "nan"], "speed"),
        (["--last-operated-at-granularity", "0"], "granularity"),
        (["--busy-status", "200"], "busy_status"),
    ],
)
def test_bad_argument(
    arguments: list[str],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An argument that makes no sense ends it with one line that names it."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert main(["--port", "0", *arguments]) == 1
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert says in said.err


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
