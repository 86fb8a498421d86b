"""Operators that are given a name: the same as with the id, which is looked up when they run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unicodedata import normalize

import pytest
from airflow.providers.common.compat.sdk import DAG, TaskDeferred

from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.operators.daocloud import (
    DaoCloudAppActionOperator,
    DaoCloudRedeployOperator,
    DaoCloudRollbackOperator,
    DaoCloudStackActionOperator,
    DaoCloudTriggerBuildOperator,
)
from airflow_provider_daocloud.sandbox import ActionPlan, BuildPlan, Sandbox
from tests.support.ids import named
from tests.support.modes import HAS_STORE, OPERATOR_MODES, Ending, Run, log_of

Make = Callable[..., Any]
QUICK = {"task_id": "task", "poll_interval": 0.05, "timeout": 20}


def restart(**arguments: Any) -> Any:
    return DaoCloudAppActionOperator(**({"app_name": "web", "action": "restart"} | arguments))


def redeploy(**arguments: Any) -> Any:
    return DaoCloudRedeployOperator(**({"app_name": "web", "release_name": "v2"} | arguments))


def rollback(**arguments: Any) -> Any:
    return DaoCloudRollbackOperator(**({"app_name": "web", "redeploy_task_id": "up"} | arguments))


def build(**arguments: Any) -> Any:
    return DaoCloudTriggerBuildOperator(**({"build_flow_name": "web"} | arguments))


def restart_stack(**arguments: Any) -> Any:
    arguments = {"stack_name": "web", "action": "restart"} | arguments
    return DaoCloudStackActionOperator(**arguments)


# How each is made, what it acts on, the list that has its name, and what it does.
KINDS: dict[Make, tuple[str, str, str]] = {
    restart: ("app", "list_apps", "restart_app"),
    redeploy: ("app", "list_apps", "redeploy_app"),
    build: ("build_flow", "list_build_flows", "start_build"),
    restart_stack: ("stack", "list_stacks", "restart_stack"),
}


def fill(sandbox: Sandbox, *plans: ActionPlan) -> dict[str, str]:
    """Create one thing of each kind that is called *web*, and others; return the ids."""
    world = sandbox.world
    for name in ("api", "web"):
        made = (world.add_app(name), world.add_build_flow(name), world.add_stack(name))
    for plan in (*plans, ActionPlan(polls=2, times=None)):
        world.plan(plan)
    world.plan_build(BuildPlan(polls=2))
    return dict(zip(("app", "build_flow", "stack"), (thing.id for thing in made), strict=True))


def run(make: Make, mode: str, **arguments: Any) -> Ending:
    return Run(lambda: make(**(QUICK | OPERATOR_MODES[mode] | arguments))).to_the_end()


@pytest.mark.parametrize("mode", OPERATOR_MODES)
@pytest.mark.parametrize("make", KINDS)
def test_it_is_looked_up_once_and_acted_on_once(sandbox: Sandbox, make: Make, mode: str) -> None:
    sandbox.set_options(speed=50)
    what, listed, submission = KINDS[make]
    found = fill(sandbox)[what]
    ending = run(make, mode)
    assert ending.kind == "success", ending.error
    assert ending.result[f"{what}_id"] == found
    assert ending.xcoms[f"daocloud_{what}_link"].endswith(f"/{found}")
    assert sandbox.effects == {submission: 1}
    assert sandbox.counts[listed] == 1


@pytest.mark.parametrize("mode", OPERATOR_MODES)
@pytest.mark.parametrize("make", KINDS)
def test_a_name_in_another_unicode_form_is_found(sandbox: Sandbox, make: Make, mode: str) -> None:
    what, _, submission = KINDS[make]
    world, name = sandbox.world, normalize("NFC", "café")
    world.plan(ActionPlan(seconds=0))
    world.plan_build(BuildPlan(seconds=0))
    adders: dict[str, Callable[[str], Any]] = {
        "app": world.add_app,
        "build_flow": world.add_build_flow,
        "stack": world.add_stack,
    }
    found = adders[what](name).id
    ending = run(make, mode, **{f"{what}_name": normalize("NFD", name)})
    assert ending.kind == "success", ending.error
    assert ending.result[f"{what}_id"] == found
    assert sandbox.effects == {submission: 1}


@pytest.mark.parametrize("make", [*KINDS, rollback])
def test_parsing_asks_for_nothing(sandbox: Sandbox, make: Make) -> None:
    what = KINDS.get(make, ("app",))[0]
    with DAG("dag", schedule=None):
        task = make(**QUICK, **{f"{what}_name": "{{ params.name }}"})
    if make is not rollback:
        task.render_template_fields({"params": {"name": "web"}})
        assert (getattr(task, f"{what}_name"), getattr(task, f"{what}_id")) == ("web", None)
    assert not sandbox.connections


def test_mapping_over_names(sandbox: Sandbox) -> None:
    with DAG("dag", schedule=None):
        mapped = DaoCloudRedeployOperator.partial(task_id="mapped", release_name="v2").expand(
            app_name=["web", "api"]
        )
    task: Any = mapped.unmap({"app_name": "api"})
    assert (task.app_name, task.app_id) == ("api", None)
    assert not sandbox.connections


@pytest.mark.parametrize("make", [*KINDS, rollback])
def test_neither_or_both_is_an_error_of_the_dag_file(make: Make) -> None:
    what = KINDS.get(make, ("app",))[0]
    with pytest.raises(InputError, match=rf"^{what}_id: .*{what}_name: neither is given"):
        make(**QUICK, **{f"{what}_name": None})
    with pytest.raises(InputError, match=rf"^{what}_id: .*{what}_name: both are given"):
        make(**QUICK, **{f"{what}_id": "a"})


@pytest.mark.parametrize("mode", OPERATOR_MODES)
@pytest.mark.parametrize(
    ("make", "field", "bad"),
    [
        (restart, "app_name", ""),
        (restart, "app_name", "{{ params.app }}"),
        (redeploy, "app_name", "None"),
        (redeploy, "release_name", "{{ params.release }}"),
        (build, "build_flow_name", " "),
        (build, "branch", ""),
        (restart_stack, "stack_name", 5.5),
    ],
    ids=named,
)
def test_bad_input_fails_without_a_retry_and_nothing_is_sent(
    sandbox: Sandbox, mode: str, make: Make, field: str, bad: Any
) -> None:
    ending = run(make, mode, **{field: bad})
    assert ending.kind == "AirflowFailException"
    assert str(ending.error).startswith(f"{field}: ")
    assert not sandbox.connections


@pytest.mark.parametrize("mode", OPERATOR_MODES)
@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("name", ["wbe", "api"])
def test_a_name_that_none_or_several_have_acts_on_nothing(
    sandbox: Sandbox, mode: str, make: Make, name: str
) -> None:
    what, listed, _ = KINDS[make]
    fill(sandbox)
    if name == "api":
        fill(sandbox)
    ending = run(make, mode, **{f"{what}_name": name})
    assert ending.kind == "AirflowFailException"
    assert str(ending.error).startswith(f"{what}_name: ")
    assert sandbox.counts == {listed: 1}


@pytest.mark.parametrize("mode", OPERATOR_MODES)
def test_a_fault_while_it_is_looked_up_is_survived(sandbox: Sandbox, mode: str) -> None:
    fill(sandbox)
    sandbox.fault("status", call="list_apps", status=503, times=2)
    ending = run(redeploy, mode)
    assert ending.kind == "success", ending.error
    assert sandbox.effects == {"redeploy_app": 1}


@pytest.mark.parametrize("mode", OPERATOR_MODES)
def test_a_list_that_cannot_be_read_for_too_long(sandbox: Sandbox, mode: str) -> None:
    sandbox.fault("status", call="list_apps", status=503, times=None)
    ending = run(redeploy, mode, max_outage=0.2)
    assert ending.kind == "OutageError"
    assert str(ending.error).startswith("App 'web' could not be read for")
    assert sandbox.effects == {}


@pytest.mark.parametrize("mode", OPERATOR_MODES)
def test_what_comes_after_the_wait_has_the_id_too(sandbox: Sandbox, mode: str) -> None:
    """A second attempt and a rollback are posted by the worker that resumes after the trigger."""
    found = fill(sandbox, ActionPlan("FAILED", "no", polls=1, times=2))["app"]
    ending = run(redeploy, mode, max_attempts=2, rollback_on_failure=True)
    assert ending.kind == "DaoCloudRolledBackError", ending.error
    assert {action.app_id for action in sandbox.world.actions.values()} == {found}
    assert sandbox.effects == {"redeploy_app": 3}
    assert sandbox.counts["list_apps"] == 1


@pytest.mark.parametrize("by", ["name", "id"])
def test_the_trigger_carries_the_id_that_was_looked_up(sandbox: Sandbox, by: str) -> None:
    found = fill(sandbox)["app"]
    given = {} if by == "name" else {"app_id": found, "app_name": None}
    task = redeploy(**QUICK, deferrable=True, **given)
    log = log_of(task)
    with pytest.raises(TaskDeferred) as caught:
        Run(lambda: task).execute()
    _, kwargs = caught.value.trigger.serialize()
    assert kwargs["app_id"] == found
    assert kwargs["checkpoint"]["found_id"] == (found if by == "name" else None)
    told = [line for _, line in log.lines if line == f"App 'web' was found ({found})."]
    assert len(told) == (1 if by == "name" else 0)


@pytest.mark.skipif(not HAS_STORE, reason="Airflow before 3.3 keeps no task state")
def test_a_retry_whose_name_means_another_app_acts_on_neither(sandbox: Sandbox) -> None:
    """One invocation is one action: the app that the first try acted on was renamed since."""
    found = fill(sandbox)["app"]
    runs = Run(lambda: redeploy(**QUICK, max_outage=0))
    runs.ti.max_tries = 1
    sandbox.fault("status", call="get_action", status=503)
    assert runs.to_the_end().kind == "OutageError"
    sandbox.world.apps[found].name = "old"
    sandbox.world.change_app(found)
    sandbox.world.add_app("web")
    runs.ending.error, runs.ti.try_number = None, 2
    ending = runs.to_the_end()
    assert ending.kind == "AirflowFailException"
    assert "it changed between tries" in str(ending.error)
    assert sandbox.effects == {"redeploy_app": 1}
