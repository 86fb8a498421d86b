"""Faults of the network in one try, over a real socket, with the hook's own client.

What the run gave stands in ``docs/exactly-once.md``: written by ``WRITE_DOCS=1``.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_daocloud import acting
from airflow_provider_daocloud.api.errors import OutcomeUnknownError
from airflow_provider_daocloud.operators.daocloud import (
    DaoCloudActOperator,
    DaoCloudAppActionOperator,
    DaoCloudRedeployOperator,
)
from airflow_provider_daocloud.sandbox import Options, Sandbox
from tests.acting.pages import hold_page

ASKED = {
    "start": ("start", ""),
    "stop": ("stop", ""),
    "redeploy to another release": ("redeploy", "v2"),
    "restart": ("restart", ""),
    "redeploy of the current release": ("redeploy", "v1"),
}
LEAVE_NO_TRACE = ("restart", "redeploy of the current release")
COLUMNS = [(asked, "verify") for asked in ASKED] + [(asked, "adopt") for asked in LEAVE_NO_TRACE]

SETTLE = 1.0
# A minute, where the settle window is 30 s.
MINUTE = SETTLE * 2
FAULTS: dict[str, dict[str, Any]] = {
    "the connection is dropped before the effect": {"kind": "drop"},
    "the connection is dropped after the effect": {"kind": "drop", "effect": "after"},
    "502 after the effect": {"kind": "status", "status": 502, "html": True, "effect": "after"},
    "the answer is lost on every POST for a minute": {
        "kind": "drop",
        "effect": "after",
        "times": None,
        "seconds": MINUTE,
    },
    "no POST arrives for a minute": {"kind": "drop", "times": None, "seconds": MINUTE},
}


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(fill=None, options=Options(action_seconds=0.2)) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_DEFAULT", sandbox.connection_json())
        yield sandbox


class Store(dict[str, Any]):
    """A task state store."""

    def set(self, key: str, value: Any, **_more: Any) -> None:
        self[key] = value


def run(sandbox: Sandbox, fault: str, asked: str, on_ambiguous: Any) -> str:
    """Run one try against an app of its own, and say in words how it ended."""
    action, release_name = ASKED[asked]
    app_id = f"{fault} {asked} {on_ambiguous}".replace(" ", "_")
    at_rest = "STOPPED" if action == "start" else "RUNNING"
    sandbox.world.add_app("web", app_id=app_id, state=at_rest, release_name="v1")
    sandbox.fault(**FAULTS[fault], call="POST", app_id=app_id)
    given: dict[str, Any] = {
        "task_id": "act",
        "app_id": app_id,
        "settle": SETTLE,
        "on_ambiguous": on_ambiguous,
        "deferrable": False,
    }
    task: DaoCloudActOperator
    if action == "redeploy":
        task = DaoCloudRedeployOperator(release_name=release_name, **given)
    else:
        task = DaoCloudAppActionOperator(action=action, **given)  # type: ignore[arg-type]
    context = {
        "ti": SimpleNamespace(try_number=1, max_tries=0, xcom_push=lambda **_more: None),
        "task_state_store": Store(),
        "dag_run": SimpleNamespace(clear_number=0),
    }
    try:
        # Past Airflow's guard, which wants a task runner around it.
        result = DaoCloudActOperator.execute.__wrapped__(task, context)  # type: ignore[attr-defined]
    except OutcomeUnknownError:
        ending = "outcome unknown"
    else:
        ending = "success by what the app shows" if result["action_id"] is None else "success"
    finally:
        task.hook.close()
    ours = [done for done in sandbox.world.actions.values() if done.app_id == app_id]
    return f"{len(ours)} action{'' if len(ours) == 1 else 's'}, {ending}"


def expected(fault: str, asked: str, on_ambiguous: str) -> str:
    if FAULTS[fault].get("effect") != "after":
        return "1 action, success"
    if asked in LEAVE_NO_TRACE and on_ambiguous != "adopt":
        return "1 action, outcome unknown"
    return "1 action, success by what the app shows"


def test_faults_of_the_network(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly one action, and success wherever DaoCloud shows that it was ours."""
    monkeypatch.setattr(acting, "LOOK_EVERY", 0.1)
    rows = [(fault, *column) for fault in FAULTS for column in COLUMNS]
    with ThreadPoolExecutor(len(rows)) as pool:
        outcomes = list(pool.map(lambda row: run(sandbox, *row), rows))
    found = dict(zip(rows, outcomes, strict=True))
    assert found == {row: expected(*row) for row in rows}
    hold_page("network", table(found))


def table(found: dict[tuple[str, str, str], str]) -> str:
    """Return what was found as a table."""
    heads = [a if how == "verify" else f'{a}, `on_ambiguous="adopt"`' for a, how in COLUMNS]
    lines = ["| fault | " + " | ".join(heads) + " |", "| --- |" + " --- |" * len(COLUMNS)]
    for fault in FAULTS:
        cells = [found[fault, asked, how] for asked, how in COLUMNS]
        lines.append(f"| {fault} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
