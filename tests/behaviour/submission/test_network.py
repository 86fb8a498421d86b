"""Faults of the network in one try, over a real socket, with the hook's own client.

What the run gave stands in ``docs/no-duplicate-actions.md``: written by ``WRITE_DOCS=1``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_daocloud.api.errors import OutcomeUnknownError
from airflow_provider_daocloud.core.submission.plan import Progress
from airflow_provider_daocloud.core.submission.submission import Submission
from airflow_provider_daocloud.exceptions import DaoCloudRolledBackError
from airflow_provider_daocloud.operators.base import DaoCloudBaseOperator
from airflow_provider_daocloud.operators.daocloud import (
    DaoCloudAppActionOperator,
    DaoCloudRedeployOperator,
    DaoCloudTriggerBuildOperator,
)
from airflow_provider_daocloud.operators.execution import Execution
from airflow_provider_daocloud.sandbox import ActionPlan, Options, Sandbox
from tests.support.pages import hold_page
from tests.support.xcoms import task_instance

ASKED = {
    "start": ("start", ""),
    "stop": ("stop", ""),
    "redeploy to another release": ("redeploy", "v2"),
    "restart": ("restart", ""),
    "redeploy of the current release": ("redeploy", "v1"),
    "build of a branch": ("build", ""),
    "rollback of a release that does not run": ("rollback", "v2"),
    "rollback of a release that never came on": ("rollback", "v2"),
}
LEAVE_NO_TRACE = ("restart", "redeploy of the current release")
# Pushes start builds too; and where a release never came on, its rollback is to the current one.
NO_PROOF = (*LEAVE_NO_TRACE, "build of a branch", "rollback of a release that never came on")
# What the release does that is rolled back.
PLANS = {
    "rollback of a release that does not run": ActionPlan(leaves="NOT_RUNNING"),
    "rollback of a release that never came on": ActionPlan(state="FAILED"),
}
COLUMNS = [(record, "reconcile") for record in ASKED] + [
    (record, "adopt") for record in LEAVE_NO_TRACE
]

QUICK = Options(action_seconds=0.2, pending_seconds=0.1, build_seconds=0.2)
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
    "a web page in a 200, of a proxy that sends nothing on": {"kind": "html", "effect": "before"},
    "a web page in a 200, after the effect": {"kind": "html"},
    "half of the JSON in a 200, after the effect": {"kind": "truncated"},
    "no POST arrives for a minute": {"kind": "drop", "times": None, "seconds": MINUTE},
}


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(fill=None, options=QUICK) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_DEFAULT", sandbox.connection_json())
        yield sandbox


class Store(dict[str, Any]):
    """A task state store."""

    def set(self, key: str, value: Any, **_more: Any) -> None:
        self[key] = value


def run(sandbox: Sandbox, fault: str, record: str, on_ambiguous: Any) -> str:
    """Run one try against an app or a build flow of its own, and say in words how it ended."""
    own_id = f"{fault} {record} {on_ambiguous}".replace(" ", "_")
    task = task_of(sandbox, record, own_id, settle_time=SETTLE, on_ambiguous=on_ambiguous)

    def strike() -> None:
        sandbox.fault(**FAULTS[fault], call="POST", **{f"{task.resource}_id": own_id})

    def strike_the_rollback() -> None:
        # A release takes its time to fail, and its date is then old enough to move. Here it fails
        # at once, so let it have been posted a day ago.
        app = sandbox.world.app(own_id)
        with sandbox.world.up_to_date():
            app.last_operated_at -= 86400
            app.view = None
        strike()

    if record in PLANS:
        sandbox.world.plan(replace(PLANS[record], app_id=own_id))
        at_the_rollback(task, strike_the_rollback)
    else:
        strike()
    context = {
        "ti": task_instance(lambda _key, _value: None, try_number=1, max_tries=0),
        "task_state_store": Store(),
        "dag_run": SimpleNamespace(clear_number=0),
    }
    told = ""
    try:
        # Past Airflow's guard, which wants a task runner around it.
        result = DaoCloudBaseOperator.execute.__wrapped__(task, context)  # type: ignore[attr-defined]
    except OutcomeUnknownError as e:
        told, ending = str(e), "outcome unknown"
    except DaoCloudRolledBackError as e:
        told, ending = str(e), "both stories told"
    else:
        ending = "success by what the app shows" if result[task.id_key] is None else "success"
    finally:
        task.hook.close()
    assert record not in PLANS or told.startswith("Release v2 failed: ")
    return f"{effects(sandbox, record, own_id)}, {ending}"


def task_of(sandbox: Sandbox, record: str, own_id: str, **given: Any) -> DaoCloudBaseOperator:
    """Return the operator, and add what it acts on to the sandbox."""
    action, release_name = ASKED[record]
    given |= {"task_id": "act", "deferrable": False}
    if action == "build":
        sandbox.world.add_build_flow("web", build_flow_id=own_id)
        return DaoCloudTriggerBuildOperator(build_flow_id=own_id, **given)
    at_rest = "STOPPED" if action == "start" else "RUNNING"
    sandbox.world.add_app("web", app_id=own_id, state=at_rest, release_name="v1")
    given |= {"app_id": own_id}
    if action == "rollback":
        given |= {"rollback_on_failure": True, "verify": True, "verify_timeout": 1.0}
        given |= {"poll_interval": 0.2}
    if action in ("redeploy", "rollback"):
        return DaoCloudRedeployOperator(release_name=release_name, **given)
    return DaoCloudAppActionOperator(action=action, **given)  # type: ignore[arg-type]


def at_the_rollback(task: DaoCloudBaseOperator, begin: Callable[[], None]) -> None:
    """Let a fault begin when the release has failed, so that it meets the rollback's POST."""

    class Watched(Execution):
        def submission(self, progress: Progress) -> Submission:
            if progress.goal == "rollback":
                begin()
            return super().submission(progress)

    task.execution = lambda context: Watched(task, context)  # type: ignore[method-assign]


def effects(sandbox: Sandbox, record: str, own_id: str) -> str:
    """Say in words what came of it at DaoCloud."""
    if record == "build of a branch":
        return counted(len(sandbox.world.build_flow(own_id).builds), "build")
    ours = [done for done in sandbox.world.actions.values() if done.app_id == own_id]
    if record not in PLANS:
        return counted(len(ours), "action")
    releases = [done.release_name for done in ours]
    deployed, rolled_back = releases.count("v2"), releases.count("v1")
    return f"{counted(deployed, 'release')}, {counted(rolled_back, 'rollback')}"


def counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def expected(fault: str, record: str, on_ambiguous: str) -> str:
    effect = "1 build" if record == "build of a branch" else "1 action"
    if record in PLANS:
        effect = "1 release, 1 rollback"
    answered = FAULTS[fault]["kind"] in ("html", "truncated")
    if answered and FAULTS[fault].get("effect") == "before":
        effect = effect.replace("1 action", "0 actions").replace("1 build", "0 builds")
        return effect.replace("1 rollback", "0 rollbacks") + ", outcome unknown"
    lost = answered or FAULTS[fault].get("effect") == "after"
    if lost and record in NO_PROOF and on_ambiguous != "adopt":
        return f"{effect}, outcome unknown"
    if record in PLANS:
        return f"{effect}, both stories told"
    return f"{effect}, success by what the app shows" if lost else f"{effect}, success"


def test_faults_of_the_network(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly one effect, and *outcome unknown* only where nothing shows that it was ours."""
    monkeypatch.setattr("airflow_provider_daocloud.core.submission.submission.OBSERVE_EVERY", 0.1)
    rows = [(fault, *column) for fault in FAULTS for column in COLUMNS]
    # Not all at once: a row that waits for a processor comes late to a minute of one second.
    with ThreadPoolExecutor(24) as pool:
        outcomes = list(pool.map(lambda row: run(sandbox, *row), rows))
    found = dict(zip(rows, outcomes, strict=True))
    assert found == {row: expected(*row) for row in rows}
    hold_page("network", table(found))


def table(found: dict[tuple[str, str, str], str]) -> str:
    """Return what was found as a table."""
    heads = [a if how == "reconcile" else f'{a}, `on_ambiguous="adopt"`' for a, how in COLUMNS]
    lines = ["| fault | " + " | ".join(heads) + " |", "| --- |" + " --- |" * len(COLUMNS)]
    for fault in FAULTS:
        cells = [found[fault, record, how] for record, how in COLUMNS]
        lines.append(f"| {fault} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
