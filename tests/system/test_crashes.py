"""A task's process is killed at each point of its life, by real Airflow 3.3: one action remains.

Every row of the table is a task with an app of its own; all of them run in one Airflow. What the
run gave is in ``docs/no-duplicate-actions.md``: ``WRITE_DOCS=1`` writes it, and this test holds it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from airflow_provider_daocloud.sandbox import ActionPlan, BuildPlan, Sandbox, Served, World
from scripts.airflow_processes import Airflow
from tests.support.pages import hold_page

pytestmark = [pytest.mark.system, pytest.mark.timeout(1800)]

# All rows take some minutes; a machine may be slow, but a test ends.
RETRY_TIMEOUT = 1500.0
# One step of one task.
STEP_PATIENCE = 240.0

ASKED = {
    "start": ("start", ""),
    "stop": ("stop", ""),
    "redeploy to another release": ("redeploy", "v2"),
    "restart": ("restart", ""),
    "redeploy of the current release": ("redeploy", "v1"),
    "build of a branch": ("build", ""),
    # Of a release that succeeds, and then does not run.
    "rollback": ("rollback", "v2"),
}
LEAVE_NO_TRACE = ("restart", "redeploy of the current release")
NO_PROOF = (*LEAVE_NO_TRACE, "build of a branch")
# Where the process dies, and the write of the journal next to that point.
POINTS = {
    "before the intent is written": "before intended",
    "between the intent and the POST": "after intended",
    "after DaoCloud took the POST, before its answer": "held",
    "between the answer and the journal": "before accepted",
    "while it waits": "waiting",
    "between the end of the action and the journal": "before finished",
    "between the journal and the return": "after finished",
}
RIDDLES = ("held", "before accepted")


@dataclass(frozen=True)
class Row:
    """One task, one app, one death."""

    point: str
    record: str
    deferrable: bool
    on_ambiguous: str = "reconcile"

    @property
    def task_id(self) -> str:
        mode = "deferrable" if self.deferrable else "blocking"
        words = f"{self.point}-{self.record}-{mode}-{self.on_ambiguous}"
        return words.replace(" ", "_")

    @property
    def expected(self) -> str:
        """What the issue of this row has to be."""
        if self.record == "rollback":
            return "1 release, 1 rollback, both stories told"
        if self.point not in RIDDLES:
            return "1 action, success"
        if self.on_ambiguous == "adopt" or self.record not in NO_PROOF:
            return "1 action, success by what the app shows"
        return "1 action, outcome unknown"


POINTS_BY_WRITE = {write: words for words, write in POINTS.items()}
ROWS = [
    Row(point, record, deferrable)
    for point in POINTS_BY_WRITE
    for record in ASKED
    for deferrable in (False, True)
] + [
    Row(point, record, deferrable, "adopt")
    for point in RIDDLES
    for record in LEAVE_NO_TRACE
    for deferrable in (False, True)
]


def fill(world: World) -> None:
    """Give each row its app, in the state from which its action leads away."""
    day = world.now() - 86400.0
    for row in ROWS:
        if row.record == "build of a branch":
            world.add_build_flow(row.task_id, build_flow_id=row.task_id)
            if row.point == "waiting":
                world.plan_build(BuildPlan(by_hand=True, build_flow_id=row.task_id))
            continue
        state = "STOPPED" if row.record == "start" else "RUNNING"
        world.add_app(
            row.task_id, app_id=row.task_id, state=state, release_name="v1", last_operated_at=day
        )
        if row.record == "rollback":
            world.plan(ActionPlan(leaves="NOT_RUNNING", app_id=row.task_id))
        if row.point == "waiting":
            world.plan(ActionPlan(by_hand=True, app_id=row.task_id))
    for n in range(3):
        world.add_app(f"mapped-{n}", app_id=f"mapped-{n}", last_operated_at=day)


@pytest.fixture(scope="module")
def seen() -> Counter[tuple[str, str]]:
    """Return what was served, counted by app and call, and by action and call."""
    return Counter()


@pytest.fixture(scope="module")
def sandbox(seen: Counter[tuple[str, str]]) -> Iterator[Sandbox]:
    def count(served: Served) -> None:
        for field in ("app_id", "action_id", "build_flow_id"):
            seen[served.params.get(field, ""), served.call] += 1

    with Sandbox(fill=fill, rate_limit=10**6, on_served=count) as sandbox:
        for row in ROWS:
            if row.point == "held" and row.record == "build of a branch":
                sandbox.fault("hold", call="POST", effect="after", build_flow_id=row.task_id)
            elif row.point == "held":
                skip = 1 if row.record == "rollback" else 0
                sandbox.fault("hold", call="POST", effect="after", app_id=row.task_id, skip=skip)
        yield sandbox


@pytest.fixture(scope="module")
def crashes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder where tasks say who they are, and find where to die."""
    folder = tmp_path_factory.mktemp("crashes")
    rows = [
        {
            "task_id": row.task_id,
            "app_id": row.task_id,
            "action": ASKED[row.record][0],
            "release_name": ASKED[row.record][1],
            "point": row.point,
            "deferrable": row.deferrable,
            "on_ambiguous": row.on_ambiguous,
        }
        for row in ROWS
    ]
    (folder / "rows.json").write_text(json.dumps(rows))
    return folder


@pytest.fixture(scope="module")
def airflow(
    tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox, crashes: Path
) -> Iterator[Airflow]:
    home = tmp_path_factory.mktemp("airflow")
    dags = home / "dags"
    dags.mkdir()
    shutil.copy(Path(__file__).with_name("crash_dags.py"), dags)
    quick: dict[str, Any] = {
        "AIRFLOW__CORE__PARALLELISM": "8",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
        # Where the API server is slow to answer, a worker would give up before it starts its task,
        # which costs a try.
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
    }
    connection = sandbox.connection_json(extra={"read_timeout": 600})
    with Airflow(
        home,
        dags,
        AIRFLOW_CONN_DAOCLOUD_DEFAULT=connection,
        CRASHES=str(crashes),
        **quick,
    ) as airflow:
        for dag_id in ("crashes", "clears_blocking", "clears_deferrable"):
            airflow.wait_until_up(dag_id)
            airflow.ask("PATCH", f"/dags/{dag_id}", {"is_paused": False})
        yield airflow


class Run:
    """One DAG run."""

    def __init__(self, airflow: Airflow, crashes: Path, dag_id: str, **conf: str) -> None:
        self.airflow = airflow
        self.crashes = crashes
        body = {"logical_date": None, "conf": conf}
        self.run_id = self.ask("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"]
        self.dag_id = dag_id
        self.path = f"/dags/{dag_id}/dagRuns/{self.run_id}"

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Ask Airflow's API; again, if SQLite was locked by so many processes."""
        for _ in range(5):
            try:
                return self.airflow.ask(method, path, body)
            except HTTPError as e:
                if e.code != 500:
                    raise
                time.sleep(1)
        return self.airflow.ask(method, path, body)

    def until(self, seen: Callable[[], Any], what: str) -> Any:
        """Wait until something is true, and return it."""
        end = time.monotonic() + STEP_PATIENCE
        while not (found := seen()):
            self.airflow.check()
            assert time.monotonic() < end, f"{what}: {self.tasks()}"
            time.sleep(0.25)
        return found

    def tasks(self) -> dict[str, dict[str, Any]]:
        """Return the task instances, by name; mapped ones with their index."""
        found: list[dict[str, Any]] = []
        while True:  # a page has a hundred at most
            path = f"{self.path}/taskInstances?limit=100&offset={len(found)}"
            page = self.ask("GET", path)
            found += page["task_instances"]
            if not page["task_instances"] or len(found) >= page["total_entries"]:
                break
        return {
            t["task_id"] if t["map_index"] < 0 else f"{t['task_id']}[{t['map_index']}]": t
            for t in found
        }

    def task(self, task_id: str = "act") -> dict[str, Any]:
        """Return one task instance."""
        found: dict[str, Any] = self.ask("GET", f"{self.path}/taskInstances/{task_id}")
        return found

    def wait_for(self, *states: str, try_number: int = 1) -> dict[str, Any]:
        """Wait until the task ``act`` is in a state, in this try or a later one."""

        def seen() -> dict[str, Any] | None:
            task = self.task()
            return task if task["state"] in states and task["try_number"] >= try_number else None

        found: dict[str, Any] = self.until(seen, f"{states}, try {try_number}")
        return found

    def wait_for_run(self, state: str) -> None:
        """Wait until the DAG run is in a state.

        A task that is cleared while the scheduler ends its DAG run is forgotten by Airflow.
        """
        self.until(lambda: self.ask("GET", self.path)["state"] == state, f"a run {state}")

    def returned(self, task_id: str = "act") -> Any:
        """Return what the task returned."""
        path = f"{self.path}/taskInstances/{task_id}/xcomEntries/return_value"
        value = self.ask("GET", path)["value"]
        return json.loads(value) if isinstance(value, str) else value

    def log(self, task_id: str = "act") -> str:
        """Return all that the task has logged, in all of its tries."""
        folder = self.airflow.home / "logs" / f"dag_id={self.dag_id}" / f"run_id={self.run_id}"
        return "\n".join(f.read_text() for f in sorted((folder / f"task_id={task_id}").rglob("*")))

    def pid(self, task_id: str = "act") -> int:
        """Return the process of the task's present (or last) try."""
        return int((self.crashes / f"{self.run_id}.{task_id}.-1.pid").read_text())

    def kill(self, task_id: str = "act") -> None:
        """Kill the task's process, and wait until it is gone."""
        pid = self.pid(task_id)
        os.kill(pid, signal.SIGKILL)
        self.until(lambda: not alive(pid), f"the end of {pid}")

    def clear(self, task_id: str = "act") -> None:
        """Clear a task, as the button in the UI does."""
        body = {
            "dry_run": False,
            "dag_run_id": self.run_id,
            "task_ids": [task_id],
            "only_failed": False,
            "reset_dag_runs": True,
        }
        self.ask("POST", f"/dags/{self.dag_id}/clearTaskInstances", body)

    def mark_failed(self) -> None:
        """Mark the task as failed, as the button in the UI does."""
        self.ask("PATCH", f"{self.path}/taskInstances/act", {"new_state": "failed"})

    @property
    def clears(self) -> int:
        """How often something in the DAG run was cleared; no API tells."""
        database = self.airflow.home / "airflow.db"
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as db:
            sql = "SELECT clear_number FROM dag_run WHERE dag_id = ? AND run_id = ?"
            return int(db.execute(sql, (self.dag_id, self.run_id)).fetchone()[0])

    @property
    def journal(self) -> dict[str, Any]:
        """What the journal of the task ``act`` holds."""
        path = f"{self.path}/taskInstances/act/state-store/daocloud_action"
        value = self.ask("GET", path)["value"]
        found: dict[str, Any] = json.loads(value) if isinstance(value, str) else value
        return found


def alive(pid: int) -> bool:
    """Say whether a process lives; one that has ended and was not yet waited for does not."""
    with suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] != "Z"
    return False


def actions(sandbox: Sandbox, app_id: str) -> list[Any]:
    """Return the actions that ours have started on an app."""
    return [a for a in sandbox.world.actions.values() if a.app_id == app_id and a.by == "main"]


# --- the crash table -----------------------------------------------------------------------------


def test_crash_table(
    airflow: Airflow, sandbox: Sandbox, crashes: Path, seen: Counter[tuple[str, str]]
) -> None:
    """Exactly one action after each death, and success wherever DaoCloud shows that it was ours."""
    run = Run(airflow, crashes, "crashes")
    waiting = [row for row in ROWS if row.point == "waiting"]
    to_kill = {row.task_id for row in waiting if not row.deferrable}
    to_finish: dict[str, int] = {}  # apps, and how many polls of their action there were before
    deferred = {row.task_id for row in waiting if row.deferrable}
    triggerer_killed = False

    def observations(task_id: str) -> int:
        if task_id in sandbox.world.build_flows:
            return seen[task_id, "get_build"]
        found = waited_for(task_id)
        return seen[found[0].id, "get_action"] if found else 0

    def waited_for(task_id: str) -> list[Any]:
        found = actions(sandbox, task_id)
        return found[1:] if "-rollback-" in task_id else found

    end = time.monotonic() + RETRY_TIMEOUT
    while (state := run.ask("GET", run.path)["state"]) not in ("success", "failed"):
        airflow.check()
        assert time.monotonic() < end, run.tasks()
        for held in list(sandbox.service.held.values()):
            run.kill(held.params.get("app_id") or held.params["build_flow_id"])
            sandbox.service.release(held.id, drop=True)
        for app_id in [a for a in to_kill if observations(a)]:
            run.kill(app_id)
            to_kill.remove(app_id)
            to_finish[app_id] = observations(app_id)
        if not triggerer_killed and all(observations(app_id) for app_id in deferred):
            airflow.kill("triggerer")
            to_finish |= {app_id: observations(app_id) for app_id in deferred}
            airflow.start("triggerer")
            triggerer_killed = True
        for app_id in [a for a, n in to_finish.items() if observations(a) > n]:
            # Somebody waits for it again.
            del to_finish[app_id]
            if app_id in sandbox.world.build_flows:
                sandbox.world.finish_build(app_id)
            else:
                (action,) = waited_for(app_id)
                sandbox.world.finish_action(action.id)
        time.sleep(0.5)

    assert state == "failed"  # some outcomes are unknown
    tasks = run.tasks()
    outcomes = {row: outcome(run, tasks, sandbox, row.task_id) for row in ROWS}
    wrong = {row.task_id: o for row, o in outcomes.items() if o != row.expected}
    assert wrong == {}
    died = {
        row.task_id for row in ROWS if (crashes / f"{run.run_id}.{row.task_id}.-1.died").exists()
    }
    assert died == {row.task_id for row in ROWS if row.point not in ("held", "waiting")}
    for n in range(3):
        assert tasks[f"mapped[{n}]"]["state"] == "success"
        assert tasks[f"mapped[{n}]"]["try_number"] == 2
        assert len(actions(sandbox, f"mapped-{n}")) == 1
    hold_page("crashes", table(outcomes))


def outcome(run: Run, tasks: dict[str, dict[str, Any]], sandbox: Sandbox, task_id: str) -> str:
    """Say in words how a row ended."""
    found = actions(sandbox, task_id)
    if "-rollback-" in task_id:
        return rollback(run, tasks[task_id]["state"], found, task_id)
    if task_id in sandbox.world.build_flows:
        found = list(sandbox.world.build_flows[task_id].builds.values())
    count = len(found)
    words = f"{count} action" + ("" if count == 1 else "s")
    if tasks[task_id]["state"] != "success":
        unknown = tasks[task_id]["try_number"] == 3 and "Cannot tell whether" in run.log(task_id)
        return f"{words}, {'outcome unknown' if unknown else 'failed'}"
    result = run.returned(task_id)
    if "build_id" in result:
        (build,) = found
        assert (result["build_id"], result["status"]) == (str(build.id), "Success")
        return f"{words}, success"
    if result["action_id"] is not None:
        (action,) = found
        assert (result["action_id"], result["state"]) == (action.id, action.state)
        return f"{words}, success"
    assert result["adopted"] is True
    return f"{words}, success by what the app shows"


def rollback(run: Run, state: str, found: list[Any], task_id: str) -> str:
    """Say in words how a row ended whose release was rolled back."""
    releases = [action.release_name for action in found]
    words = f"{releases.count('v2')} release, {releases.count('v1')} rollback"
    log = run.log(task_id)
    told = "Release v2 failed: The action succeeded, but" in log and "v1 runs again" in log
    return f"{words}, {'both stories told' if state == 'failed' and told else state}"


def table(outcomes: dict[Row, str]) -> str:
    """Return the outcomes as a table; both modes in one cell where they are the same."""
    columns = [(record, "reconcile") for record in ASKED] + [(a, "adopt") for a in LEAVE_NO_TRACE]
    heads = [a if how == "reconcile" else f'{a}, `on_ambiguous="adopt"`' for a, how in columns]
    lines = [
        "| killed | " + " | ".join(heads) + " |",
        "| --- |" + " --- |" * len(columns),
    ]
    for words, point in POINTS.items():
        cells = []
        for record, how in columns:
            both = [
                outcomes.get(Row(point, record, deferrable, how), "")
                for deferrable in (False, True)
            ]
            same = both[0] == both[1]
            cells.append(both[0] if same else f"{both[0]}; deferrable: {both[1]}")
        lines.append(f"| {words} | " + " | ".join(cell or "(as without)" for cell in cells) + " |")
    return "\n".join(lines)


# --- clears --------------------------------------------------------------------------------------

MODES = ("blocking", "deferrable")


class Invocation(Run):
    """A DAG run whose task ``act`` redeploys an app of its own, in an action ended by hand."""

    def __init__(
        self,
        airflow: Airflow,
        crashes: Path,
        sandbox: Sandbox,
        seen: Counter[tuple[str, str]],
        mode: str,
    ) -> None:
        self.sandbox = sandbox
        self.seen = seen
        day = sandbox.world.now() - 86400.0
        self.app = sandbox.world.add_app("web", release_name="v1", last_operated_at=day)
        sandbox.world.plan(ActionPlan(by_hand=True, app_id=self.app.id, times=None))
        super().__init__(airflow, crashes, f"clears_{mode}", app_id=self.app.id)

    @property
    def actions(self) -> list[Any]:
        """The actions that came of it."""
        return actions(self.sandbox, self.app.id)

    @property
    def observations(self) -> int:
        """How often its actions were observed."""
        return self.seen[self.app.id, "get_action"]

    def until_watched(self) -> None:
        """Wait until its action is observed, from now on."""
        before = self.observations
        self.until(lambda: self.observations > before, "a poll")

    def finish(self) -> str:
        """Let its last action succeed; return the action's id."""
        action = self.actions[-1]
        self.sandbox.world.finish_action(action.id)
        return str(action.id)


@pytest.fixture
def begin(
    airflow: Airflow, crashes: Path, sandbox: Sandbox, seen: Counter[tuple[str, str]]
) -> Callable[[str], Invocation]:
    return lambda mode: Invocation(airflow, crashes, sandbox, seen, mode)


@pytest.mark.parametrize("mode", MODES)
def test_clear_after_success_acts_again(begin: Callable[[str], Invocation], mode: str) -> None:
    run = begin(mode)
    run.until_watched()
    run.finish()
    first = run.wait_for("success")
    run.wait_for_run("success")

    run.clear()
    run.until(lambda: len(run.actions) == 2, "a second action")
    run.until_watched()
    second = run.finish()

    task = run.wait_for("success", try_number=2)
    assert run.returned()["action_id"] == second
    assert len(run.actions) == 2
    assert (first["max_tries"], run.clears) == (2, 1)
    assert task["max_tries"] == first["try_number"] + 2


@pytest.mark.parametrize("mode", MODES)
def test_clear_while_it_runs_joins(begin: Callable[[str], Invocation], mode: str) -> None:
    run = begin(mode)
    run.until_watched()
    first = run.wait_for("running" if mode == "blocking" else "deferred")

    run.clear()
    run.until(lambda: "is in progress: waiting for it" in run.log(), "joining")
    run.until_watched()
    run.finish()

    task = run.wait_for("success", try_number=2)
    assert len(run.actions) == 1
    assert run.returned()["action_id"] == run.actions[0].id
    # What tells a clear of a running task: measured, and documented nowhere.
    assert (task["max_tries"], run.clears) == (first["try_number"] + 2, 1)


@pytest.mark.parametrize("mode", MODES)
def test_clear_while_it_runs_acts_again_if_the_action_ends_meanwhile(
    begin: Callable[[str], Invocation], sandbox: Sandbox, mode: str
) -> None:
    """Nobody can observe the action from the clear to its end."""
    run = begin(mode)
    run.until_watched()
    run.wait_for("running" if mode == "blocking" else "deferred")
    hold = sandbox.fault("hold", call="get_action", app_id=run.app.id, times=None)
    pid = run.pid()

    run.clear()
    run.finish()
    run.until(lambda: not alive(pid), "the end of the first try")
    sandbox.remove_fault(hold)
    sandbox.release(drop=True)
    run.until(lambda: len(run.actions) == 2, "a second action")
    run.until_watched()
    second = run.finish()

    run.wait_for("success", try_number=2)
    assert run.returned()["action_id"] == second
    assert len(run.actions) == 2


@pytest.mark.parametrize("mode", MODES)
def test_mark_failed_says_what_goes_on_and_a_clear_joins_it(
    begin: Callable[[str], Invocation], mode: str
) -> None:
    run = begin(mode)
    run.until_watched()
    run.wait_for("running" if mode == "blocking" else "deferred")

    run.mark_failed()
    run.until(lambda: "continues at DaoCloud" in run.log(), "a word")
    assert run.actions[0].id in run.log()
    assert run.actions[0].state == "IN_PROCESS"
    assert run.journal["phase"] == "accepted"
    run.wait_for_run("failed")
    run.clear()
    run.until(lambda: "is in progress: waiting for it" in run.log(), "joining")
    run.finish()

    run.wait_for("success", try_number=2)
    assert len(run.actions) == 1


def test_a_task_that_was_cleared_posts_no_more(
    begin: Callable[[str], Invocation], sandbox: Sandbox
) -> None:
    """It still lives for some seconds, but cannot write its intent any more."""
    sandbox.fault("hold", call="get_app")
    run = begin("blocking")
    sandbox.wait_held(timeout=STEP_PATIENCE)
    run.clear()
    sandbox.release()
    run.until(lambda: run.actions, "an action")
    run.until_watched()
    run.finish()

    run.wait_for("success", try_number=2)
    assert len(run.actions) == 1
    assert run.journal["invocation"]["try_number"] == 2


def test_a_killed_process_and_a_clear_of_another_task_join_what_runs(
    begin: Callable[[str], Invocation],
) -> None:
    run = begin("blocking")
    run.until_watched()
    killed_and_cleared(run)
    run.until(lambda: "is in progress: waiting for it" in run.log(), "joining")
    run.finish()
    run.wait_for("success", try_number=2)
    assert len(run.actions) == 1


def test_a_killed_process_and_a_clear_of_another_task_are_no_second_action(
    begin: Callable[[str], Invocation], sandbox: Sandbox
) -> None:
    """The action has ended, nobody can tell whose result it is, and nothing is sent."""
    run = begin("blocking")
    run.until_watched()
    hold = sandbox.fault("hold", call="get_action", app_id=run.app.id, times=None)
    killed_and_cleared(run)
    run.finish()
    sandbox.remove_fault(hold)
    sandbox.release(drop=True)

    task = run.wait_for("failed")
    assert "Nobody can tell which" in run.log()
    assert (task["max_tries"], run.clears) == (2, 1)
    assert len(run.actions) == 1


def killed_and_cleared(run: Invocation) -> None:
    """Kill the process of the task, and clear another task of its DAG run before the next try."""
    run.until(lambda: run.task("bystander")["state"] == "success", "the other task")
    run.clear("bystander")
    run.kill()
