"""``execution_timeout`` bounds a try as a whole: each deferral leaves what the ones before it left.

Every test has a bound that a slow machine cannot break: what an action takes is taken off.
"""

from __future__ import annotations

import re
import time
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_daocloud.core.submission.plan import Progress
from airflow_provider_daocloud.operators.daocloud import (
    DaoCloudAppActionOperator,
    DaoCloudRedeployOperator,
)
from airflow_provider_daocloud.sandbox import ActionPlan, Sandbox
from tests.support.modes import OPERATOR_MODES, Ending, Run

# How long an action takes that ends, and a task may, in seconds.
ACTION, WHOLE = 1.5, 2.5


def run(task: type, mode: str, **arguments: Any) -> Ending:
    arguments = {
        "task_id": "task",
        "poll_interval": 0.05,
        "execution_timeout": timedelta(seconds=WHOLE),
        **OPERATOR_MODES[mode],
        **arguments,
    }
    return Run(lambda: task(**arguments)).to_the_end()


def waited(ending: Ending) -> float:
    """Return for how long the task says that its last wait took, in seconds."""
    assert ending.kind == "AirflowTaskTimeout", ending.error
    if "PID" in str(ending.error):  # Airflow's own, which comes last: on a busy machine
        return 0.0
    found = re.search(r" within ([0-9.]+) s", str(ending.error))
    assert found is not None, ending.error
    return float(found[1])


@pytest.mark.parametrize("mode", OPERATOR_MODES)
def test_of_all_attempts(sandbox: Sandbox, mode: str) -> None:
    app = sandbox.world.add_app("web")
    sandbox.world.plan(ActionPlan("FAILED", "no", seconds=1.0, times=None))
    whole = timedelta(seconds=3)
    ending = run(
        DaoCloudAppActionOperator,
        mode,
        app_id=app.id,
        action="restart",
        max_attempts=9,
        execution_timeout=whole,
    )
    assert ending.kind == "AirflowTaskTimeout", ending.error
    assert 1 <= sandbox.effects["restart_app"] <= 3


@pytest.mark.parametrize("mode", OPERATOR_MODES)
def test_of_the_action_and_its_verification(sandbox: Sandbox, mode: str) -> None:
    app = sandbox.world.add_app("web")
    sandbox.world.plan(ActionPlan(seconds=ACTION, leaves="NOT_RUNNING"))
    ending = run(DaoCloudAppActionOperator, mode, app_id=app.id, action="restart", verify=True)
    assert waited(ending) <= WHOLE - ACTION


@pytest.mark.parametrize("mode", OPERATOR_MODES)
def test_of_the_release_and_its_rollback(sandbox: Sandbox, mode: str) -> None:
    app = sandbox.world.add_app("web")
    sandbox.world.plan(ActionPlan("FAILED", "no such image", seconds=ACTION))
    sandbox.world.plan(ActionPlan(by_hand=True))
    ending = run(
        DaoCloudRedeployOperator,
        mode,
        app_id=app.id,
        release_name="v2",
        rollback_on_failure=True,
    )
    assert waited(ending) <= WHOLE - ACTION
    assert sandbox.effects["redeploy_app"] == 2


@pytest.mark.parametrize("over", [True, False])
@pytest.mark.parametrize("kind", ["succeeded", "failed"])
def test_a_worker_that_comes_late(sandbox: Sandbox, kind: str, over: bool) -> None:
    """What has succeeded has succeeded; but nothing is posted when the time is over."""
    app = sandbox.world.add_app("web")
    whole = timedelta(minutes=5)

    def make() -> Any:
        return DaoCloudRedeployOperator(
            task_id="task",
            app_id=app.id,
            release_name="v2",
            rollback_on_failure=True,
            deferrable=True,
            execution_timeout=whole,
            durable=False,
        )

    run = Run(make)
    began = time.time() - whole.total_seconds() * (1.5 if over else 0.5)
    event = {
        "status": kind,
        "result": {"action_id": "a"},
        "message": "it FAILED",
        "checkpoint": {
            "progress": asdict(Progress(step="wait", previous_release="v1", receipt="a")),
            "found_id": None,
            "started_at": began,
        },
    }
    try:
        result = make().execute_complete(run.context, event)
    except BaseException as e:
        result = e
    ended = {
        ("succeeded", True): "dict",
        ("succeeded", False): "dict",
        ("failed", True): "AirflowTaskTimeout",
        ("failed", False): "TaskDeferred",
    }
    assert type(result).__name__ == ended[kind, over]
    posted = (kind, over) == ("failed", False)
    assert sandbox.effects == ({"redeploy_app": 1} if posted else {})
    if type(result).__name__ == "AirflowTaskTimeout":
        assert "Release v2 failed: it FAILED." in str(result)
        assert "execution_timeout of 300 s is over" in str(result)
