"""Back to what ran before another task's redeploy: by its XCom, or with a reason why not."""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_daocloud.operators.daocloud import (
    DaoCloudRedeployOperator,
    DaoCloudRollbackOperator,
)
from airflow_provider_daocloud.sandbox import ActionPlan, Sandbox
from tests.support.modes import OPERATOR_MODES, Ending, Run
from tests.support.results import check_result

NO_ACTION = dict.fromkeys(
    (
        *("action_id", "state", "start_date", "end_date", "time_cost_seconds", "error_message"),
        *("app_name", "release_name", "previous_release_name"),
    )
)


def run(
    app_id: str,
    mode: str,
    pushed: dict[str, Any],
    state: str = "success",
    *,
    native: bool = False,
) -> Ending:
    """Run a rollback after a redeploy that has pushed something, and is in some state."""
    start = datetime(2026, 1, 1, tzinfo=UTC)

    def make() -> Any:
        dag = DAG("dag", schedule=None, start_date=start, render_template_as_native_obj=native)
        with dag:
            task = DaoCloudRollbackOperator(
                task_id="task",
                app_id=app_id,
                redeploy_task_id="up",
                poll_interval=0.05,
                timeout=20.0,
                **OPERATOR_MODES[mode],
            )
        task.render_template_fields(the_run.context, dag.get_template_env())
        return task

    the_run = Run(make)
    the_run.ti.others = {("up", key): value for key, value in pushed.items()}
    the_run.ti.states = {"up": state}
    return the_run.to_the_end()


@pytest.mark.parametrize("mode", OPERATOR_MODES)
@pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
@pytest.mark.parametrize("release", ["1.10", "20240101", "true"])
def test_a_release_is_its_text_however_templates_are_rendered(
    sandbox: Sandbox, release: str, native: bool, mode: str
) -> None:
    """Not the number that it looks like."""
    app = sandbox.world.add_app("web")
    sandbox.world.plan(ActionPlan(seconds=0.1))
    pushed = {"previous_release_name": release}
    ending = run(app.id, mode, pushed, native=native)
    assert ending.kind == "success", ending
    assert sandbox.world.app("web").release_name == release


@pytest.mark.parametrize("mode", OPERATOR_MODES)
@pytest.mark.parametrize(
    ("pushed", "state"),
    [
        ({"return_value": {"skipped": True, "action_id": None}}, "success"),
        ({}, "skipped"),
    ],
    ids=["by itself", "by Airflow"],
)
def test_a_redeploy_that_was_skipped_has_nothing_to_undo(
    sandbox: Sandbox, pushed: dict[str, Any], state: str, mode: str
) -> None:
    app = sandbox.world.add_app("web")
    ending = run(app.id, mode, pushed, state)
    assert ending.kind == "success", ending
    skipped = {"app_id": app.id, "action_name": "redeploy_app", "skipped": True}
    assert ending.result == NO_ACTION | skipped
    check_result(DaoCloudRollbackOperator, ending.result)
    assert not sandbox.connections


@pytest.mark.parametrize("mode", OPERATOR_MODES)
@pytest.mark.parametrize(
    ("pushed", "state"),
    [
        ({"return_value": {"adopted": True, "action_id": None}}, "success"),
        ({}, "failed"),
        ({}, "upstream_failed"),
    ],
    ids=["recognised by a retry", "failed", "never ran"],
)
def test_where_nothing_tells_what_ran_before_words_do(
    sandbox: Sandbox, pushed: dict[str, Any], state: str, mode: str
) -> None:
    app = sandbox.world.add_app("web")
    ending = run(app.id, mode, pushed, state)
    assert ending.kind == "AirflowFailException", ending
    told = str(ending.error)
    assert told.startswith("redeploy_task_id: task 'up' has pushed no previous_release_name")
    assert "DaoCloudRedeployOperator" in told
    assert "template" not in told
    assert not sandbox.connections


DAG_FILE = """
from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import DAG, AirflowSkipException, task
from airflow_provider_daocloud.operators.daocloud import (
    DaoCloudRedeployOperator,
    DaoCloudRollbackOperator,
)

with DAG(
    "rollbacks",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    params={"app": "", "other": ""},
    render_template_as_native_obj=True,
) as dag:
    app, other = "{{ params.app }}", "{{ params.other }}"

    @task
    def skip():
        raise AirflowSkipException("not today")

    release = DaoCloudRedeployOperator(task_id="release", app_id=app, release_name="v2")
    back = DaoCloudRollbackOperator(task_id="back", app_id=app, redeploy_task_id="release")
    current = DaoCloudRedeployOperator(
        task_id="current", app_id=other, release_name="v1", skip_if_current=True
    )
    skipped = DaoCloudRedeployOperator(task_id="skipped", app_id=other, release_name="v2")
    back_from = [
        DaoCloudRollbackOperator(
            task_id=f"back_from_{up.task_id}",
            app_id=other,
            redeploy_task_id=up.task_id,
            trigger_rule="all_done",
        )
        for up in (current, skipped)
    ]
    release >> back
    skip() >> skipped >> back_from[1]
    current >> back_from[0]
"""


def test_in_real_airflow(airflow_home: Path, sandbox: Sandbox) -> None:
    """Airflow's own XComs and states, with native rendering."""
    sandbox.set_options(speed=50)
    file = airflow_home / "dags" / "rollbacks.py"
    file.write_text(DAG_FILE)
    spec = importlib.util.spec_from_file_location("rollbacks", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    app = sandbox.world.add_app("app", release_name="1.10")
    other = sandbox.world.add_app("other", release_name="v1")

    ended = module.dag.test(run_conf={"app": app.id, "other": other.id})

    states = {ti.task_id: str(ti.state) for ti in ended.get_task_instances()}
    assert states == {
        **dict.fromkeys(("release", "back", "current", "back_from_current"), "success"),
        **dict.fromkeys(("skip", "skipped"), "skipped"),
        "back_from_skipped": "success",
    }
    assert [posted.release_name for posted in sandbox.world.actions.values()] == ["v2", "1.10"]


def test_a_task_that_the_dag_does_not_have(sandbox: Sandbox) -> None:
    """The error speaks of the argument, and says which tasks there are."""
    app_id = sandbox.world.add_app("web").id
    with DAG("releases", schedule=None) as dag:
        DaoCloudRedeployOperator(task_id="redeploy", app_id=app_id, release_name="v2")
        make = DaoCloudRollbackOperator(task_id="b", app_id=app_id, redeploy_task_id="redepoly")
    run = Run(lambda: make)
    run.context["dag"] = dag
    ending = run.to_the_end()
    assert ending.kind == "AirflowFailException"
    said = str(ending.error)
    assert said.startswith(
        "redeploy_task_id: the DAG has no task 'redepoly', so there is no release"
    )
    assert said.endswith("There are: b, redeploy.")
    assert not sandbox.effects
