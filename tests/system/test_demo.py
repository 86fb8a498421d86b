"""``make demo`` shows what it promises, or says why not; ``make demo-ui`` ends without a trace."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from scripts import demo

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let the demo work in a folder of the test's own, and take its signal handlers back."""
    monkeypatch.setattr(demo, "DEMO", tmp_path / "demo")
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield tmp_path / "demo"
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_demo_releases_once_and_removes_what_it_made(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.main([]) == 0

    out = capsys.readouterr().out
    assert "Before: web is RUNNING, release v1.0.0" in out
    assert "After:  web is RUNNING, release v1.1.0" in out
    calls = [line.split()[0] for line in out.splitlines() if line.startswith("    ")]
    assert calls.count("POST") == 1
    posted = calls.index("POST")
    assert posted > 3
    assert len(calls) > posted + 1
    assert not folder.exists()


def test_demo_of_enterprise_runs_and_deploys_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.main(["--enterprise"]) == 0

    out = capsys.readouterr().out
    assert "Before: production/shop/web: registry.example/shop/web:1.0, 3 Running" in out
    assert "After:  production/shop/web: registry.example/shop/web:1.1, 3 Running" in out
    calls = [line.split()[0] for line in out.splitlines() if line.startswith("    ")]
    assert [call for call in calls if call != "GET"] == ["POST", "PATCH"]
    assert not folder.exists()


def test_demo_whose_build_fails_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = demo.Sandbox.ask

    def fail_builds(self: demo.Sandbox, path: str, body: dict[str, Any] | None = None) -> Any:
        return ask(self, path, {"outcome": "Failure"} if path.endswith("/builds") else body)

    monkeypatch.setattr(demo.Sandbox, "ask", fail_builds)

    assert demo.main([]) == 1

    printed = capsys.readouterr()
    assert "wait_for_build    failed" in printed.out
    assert "The demo failed: The pipeline did not succeed." in printed.err
    assert (folder / "airflow.log").exists()


def test_demo_whose_airflow_does_not_run_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "OPEN_API", replace(demo.OPEN_API, dag_id="no_such_dag"))

    assert demo.main([]) == 1

    printed = capsys.readouterr()
    assert "it never began" in printed.out
    assert "no_such_dag" in printed.err


def processes() -> Iterator[tuple[int, int, int]]:
    """Yield each living process: its id, its parent's and its session's."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            pid, rest = stat.parent.name, stat.read_text().rpartition(")")[2].split()
            state, parent, _, session = rest[:4]
            if state != "Z":
                yield int(pid), int(parent), int(session)


def first_run(url: str, daocloud: str) -> str:
    """Do as the screen says, and return how the first run ended."""
    browser = requests.Session()
    browser.headers["Accept"] = "text/html"
    token = browser.get(f"{url}/auth/token", timeout=30).json()["access_token"]
    api, signed_in = (
        f"{url}/api/v2/dags/{demo.OPEN_API.dag_id}",
        {"Authorization": f"Bearer {token}"},
    )
    # What the form of Airflow 3 does: switch the DAG on, and trigger it.
    browser.patch(api, json={"is_paused": False}, headers=signed_in, timeout=30)
    run = {"logical_date": None}
    answer = browser.post(f"{api}/dagRuns", json=run, headers=signed_in, timeout=30)
    answer.raise_for_status()
    pressed, end = False, time.monotonic() + 240
    while time.monotonic() < end:
        runs = browser.get(f"{api}/dagRuns", headers=signed_in, timeout=30).json()["dag_runs"]
        assert len(runs) == 1, "the person's own run is the only one"
        if runs[0]["state"] in ("success", "failed"):
            return str(runs[0]["state"])
        tasks = f"{api}/dagRuns/{runs[0]['dag_run_id']}/taskInstances"
        rows = browser.get(tasks, headers=signed_in, timeout=30).json()["task_instances"]
        states = {row["task_id"]: row["state"] for row in rows}
        if states.get("find") == "success" and not pressed:
            page = browser.get(daocloud, timeout=10).text
            web = page[page.index("<td>web</td>", page.index("Build flow")) :]
            (button, *_) = re.findall(r'action="([^"]+)"><button>Start a build', web)
            site = daocloud.partition("/_sandbox")[0]
            pressed = browser.post(f"{site}{button}", timeout=10).ok
        time.sleep(1)
    return "still running"


def approved_release(url: str) -> tuple[str, str, dict[str, Any]]:
    """Release with an approval; return what was asked, how it ended, and what it returned."""
    token = requests.get(f"{url}/auth/token", timeout=30).json()["access_token"]
    api = requests.Session()
    api.headers["Authorization"] = f"Bearer {token}"
    dag = f"{url}/api/v2/dags/daocloud_approved_release"
    api.patch(dag, json={"is_paused": False}, timeout=30).raise_for_status()
    conf = {"logical_date": None, "conf": {"release_name": "v2.0.0"}}
    made = api.post(f"{dag}/dagRuns", json=conf, timeout=30).json()
    run = f"{dag}/dagRuns/{made['dag_run_id']}"
    question = f"{run}/taskInstances/approve/-1/hitlDetails"
    asked, end = "", time.monotonic() + 240
    while time.monotonic() < end:
        state = api.get(run, timeout=30).json()["state"]
        if state in ("success", "failed"):
            xcom = f"{run}/taskInstances/release/xcomEntries/return_value"
            return asked, state, api.get(xcom, timeout=30).json()["value"]
        answer = api.get(question, timeout=30)
        if answer.ok and not asked:
            asked = f"{answer.json()['subject']} {answer.json()['body']}"
            yes = {"chosen_options": ["Approve"]}
            api.patch(question, json=yes, timeout=30).raise_for_status()
        time.sleep(1)
    return asked, "still running", {}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_demo_ui_serves_airflow_and_ends_all_it_started_on_ctrl_c(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "scripts.demo", "--ui"],
            cwd=demo.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        end = time.monotonic() + 300
        while "Ctrl-C" not in output.read_text():
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < end, output.read_text()
            time.sleep(0.5)
        [url] = re.findall(r"Airflow: +(\S+)", output.read_text())
        with urllib.request.urlopen(url, timeout=30) as page:
            assert page.status == 200
        [daocloud] = re.findall(r"DaoCloud: +(\S+)", output.read_text())
        airflow = url.partition("/dags")[0]
        assert first_run(airflow, daocloud) == "success"
        asked, state, release = approved_release(airflow)
        assert asked.startswith("Release v2.0.0 to web? preview ran ")
        assert "and runs v2.0.0 since 20" in asked
        assert state == "success"
        assert (release["app_name"], release["release_name"]) == ("web", "v2.0.0")
        # The sandbox, and Airflow's four; each leads a session of its own.
        sessions = {pid for pid, parent, _ in processes() if parent == process.pid}
        assert len(sessions) == 5

        process.send_signal(signal.SIGINT)

        assert process.wait(120) == 0
        assert [pid for pid, _, session in processes() if session in sessions] == []
    finally:
        process.terminate()
        process.wait(120)
