"""What the operators take, refuse and fall back to. How they wait is in ``tests/waiting``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowFailException,
    Asset,
    BaseOperator,
    TaskDeferred,
)

from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.core.submission.plan import Progress
from airflow_provider_daocloud.operators.daocloud import (
    DaoCloudAppActionOperator,
    DaoCloudRedeployOperator,
    DaoCloudStackActionOperator,
    DaoCloudTriggerBuildOperator,
)
from airflow_provider_daocloud.sandbox import ActionPlan, Sandbox
from tests.support.ids import named
from tests.support.modes import ENDS_FROM_TRIGGER, OPERATOR_MODES, Run, log_of


def submission(**arguments: Any) -> DaoCloudAppActionOperator:
    arguments = {"task_id": "task", "app_id": "an-app", "action": "restart"} | arguments
    return DaoCloudAppActionOperator(**arguments)


def redeploy(**arguments: Any) -> DaoCloudRedeployOperator:
    arguments = {"task_id": "task", "app_id": "an-app", "release_name": "v1"} | arguments
    return DaoCloudRedeployOperator(**arguments)


def build(**arguments: Any) -> DaoCloudTriggerBuildOperator:
    return DaoCloudTriggerBuildOperator(
        **{"task_id": "task", "build_flow_id": "a-flow"} | arguments
    )


def stack(**arguments: Any) -> DaoCloudStackActionOperator:
    return DaoCloudStackActionOperator(
        **{"task_id": "task", "stack_id": "a-stack", "action": "restart"} | arguments
    )


def dag(**arguments: Any) -> DAG:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    return DAG("dag", start_date=start, schedule=None, **arguments)


def app(sandbox: Sandbox, plan: ActionPlan | None = None) -> str:
    """Create an app, and plan what the next action on it does."""
    made = sandbox.world.add_app("web")
    sandbox.world.plan(plan or ActionPlan(seconds=0))
    return made.id


# --- what they take -------------------------------------------------------------------------------


def test_ids_release_and_connection_are_rendered() -> None:
    context: Any = {"params": {"app": "a", "release": "v2", "conn": "c"}}
    with dag():
        task = redeploy(
            app_id="{{ params.app }}",
            release_name="{{ params.release }}",
            daocloud_conn_id="{{ params.conn }}",
        )
        other = submission(task_id="other", app_id="{{ params.app }}")
    task.render_template_fields(context)
    other.render_template_fields(context)
    assert (task.app_id, task.release_name, task.daocloud_conn_id) == ("a", "v2", "c")
    assert other.app_id == "a"


NATIVE = "Native rendering (render_template_as_native_obj)"


def native(make: Callable[..., Any], **arguments: Any) -> Callable[[], Any]:
    """Return what makes a task, and renders it as Airflow does where a DAG renders natively."""
    context: Any = {"params": {"release": "1.10", "number": "20240101"}}

    def made() -> Any:
        with dag(render_template_as_native_obj=True):
            task = make(**arguments)
        task.render_template_fields(context)
        return task

    return made


@pytest.mark.parametrize("mode", OPERATOR_MODES)
@pytest.mark.parametrize(
    ("given", "release"),
    [
        ("20240101", "20240101"),
        ("{{ params.number }}", "20240101"),
        (20240101, "20240101"),
        ("v1.10", "v1.10"),
        ("'1.10'", "1.10"),
        ("'{{ params.release }}'", "1.10"),
    ],
)
def test_native_rendering_keeps_a_release(
    sandbox: Sandbox, mode: str, given: Any, release: str
) -> None:
    app_id = app(sandbox)
    rendered = native(redeploy, app_id=app_id, release_name=given, **OPERATOR_MODES[mode])
    ending = Run(rendered).to_the_end()
    assert ending.kind == "success", ending.error
    assert sandbox.world.app(app_id).release_name == release
    assert rendered().release_name == release


@pytest.mark.parametrize("mode", OPERATOR_MODES)
@pytest.mark.parametrize(
    ("make", "field", "given"),
    [
        (redeploy, "release_name", "1.10"),
        (redeploy, "release_name", "{{ params.release }}"),
        (redeploy, "release_name", "1e5"),
        (redeploy, "release_name", "True"),
        (redeploy, "release_name", "1,2"),
        (submission, "app_id", "1.10"),
        (build, "build_flow_id", "1.10"),
        (build, "branch", "1.10"),
        (stack, "stack_id", "True"),
    ],
    ids=named,
)
def test_what_native_rendering_spoils_is_refused_and_says_why(
    sandbox: Sandbox, mode: str, make: Callable[..., Any], field: str, given: Any
) -> None:
    ending = Run(native(make, **{field: given}, **OPERATOR_MODES[mode])).to_the_end()
    assert ending.kind == "AirflowFailException"
    assert str(ending.error).startswith(f"{field}: must be a string, not ")
    assert NATIVE in str(ending.error)
    assert "'{{ … }}'" in str(ending.error)
    assert not sandbox.counts


def test_native_rendering_keeps_numbers_as_ids_and_names(sandbox: Sandbox) -> None:
    sandbox.world.add_app("20240101", app_id="17")
    for given in ({"app_id": "17"}, {"app_name": "20240101", "app_id": None}):
        ending = Run(native(submission, **given)).to_the_end()
        assert ending.kind == "success", ending.error
        assert ending.result["app_id"] == "17"
    assert sandbox.effects == {"restart_app": 2}


def test_mapping_over_apps() -> None:
    with dag():
        mapped = DaoCloudRedeployOperator.partial(
            task_id="mapped", release_name="v2", poll_interval=timedelta(seconds=3), timeout=60
        ).expand(app_id=["a", "b"])
    task = mapped.unmap({"app_id": "b"})
    assert isinstance(task, DaoCloudRedeployOperator)
    assert (task.app_id, task.release_name) == ("b", "v2")
    assert (task.poll_interval, task.timeout) == (3, 60)


def test_mapping_over_actions() -> None:
    with dag():
        mapped = DaoCloudAppActionOperator.partial(task_id="mapped", app_id="a").expand(
            action=["stop", "start"]
        )
    task = mapped.unmap({"action": "start"})
    assert isinstance(task, DaoCloudAppActionOperator)
    assert task.request(Progress()).path == "/apps/a/actions/start"


def test_default_args_of_the_dag_count() -> None:
    defaults = {
        "daocloud_conn_id": "ours",
        "poll_interval": 7,
        "timeout": 70,
        "max_outage": 0,
        "deferrable": True,
        "wait_for_completion": False,
    }
    with dag(default_args=defaults):
        task = redeploy()
    assert {name: getattr(task, name) for name in defaults} == defaults


def test_arguments_can_come_from_other_tasks() -> None:
    with dag():
        output: Any = BaseOperator(task_id="upstream").output
        task = redeploy(app_id=output, release_name=output["tag"])
    assert task.upstream_task_ids == {"upstream"}


def test_times_can_be_timedeltas() -> None:
    task = redeploy(
        timeout=timedelta(hours=2), poll_interval=timedelta(seconds=5), max_outage=timedelta(0)
    )
    assert (task.timeout, task.poll_interval, task.max_outage) == (7200, 5, 0)


def test_deferrable_comes_from_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    assert redeploy().deferrable is False
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "True")
    assert redeploy().deferrable is True
    assert redeploy(deferrable=False).deferrable is False


# --- what they refuse -----------------------------------------------------------------------------

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("poll_interval", {"poll_interval": 0}),
        ("poll_interval", {"poll_interval": -1}),
        ("poll_interval", {"poll_interval": NAN}),
        ("poll_interval", {"poll_interval": timedelta(seconds=-1)}),
        ("poll_interval", {"poll_interval": None}),
        ("timeout", {"timeout": 0}),
        ("timeout", {"timeout": -5}),
        ("timeout", {"timeout": NAN}),
        ("timeout", {"timeout": INF}),
        ("timeout", {"timeout": "60"}),
        ("timeout", {"timeout": 5, "poll_interval": 10}),
        ("max_outage", {"max_outage": -1}),
        ("max_outage", {"max_outage": NAN}),
    ],
    ids=named,
)
@pytest.mark.parametrize("make", [submission, redeploy])
def test_a_bad_argument_is_an_error_of_the_dag_file(
    make: Callable[..., Any], field: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match=f"^{field}: ") as caught:
        make(**arguments)
    assert caught.value.field == field


@pytest.mark.parametrize("action", ["redeploy", "START", "", None, "delete"])
def test_an_action_that_is_none(action: Any) -> None:
    with pytest.raises(InputError, match=r"^action: must be one of start, stop, restart"):
        submission(action=action)


@pytest.mark.parametrize("mode", OPERATOR_MODES)
@pytest.mark.parametrize(
    ("make", "field", "bad"),
    [
        (submission, "app_id", ""),
        (submission, "app_id", "None"),
        (submission, "app_id", "../build-flows"),
        (submission, "app_id", "{{ params.app }}"),
        (redeploy, "app_id", 5.5),
        (redeploy, "release_name", ""),
        (redeploy, "release_name", "{{ params.release }}"),
        (redeploy, "release_name", "None"),
        (redeploy, "release_name", None),
        (redeploy, "release_name", "v 1"),
    ],
    ids=named,
)
def test_a_bad_id_fails_without_a_retry_and_nothing_is_sent(
    sandbox: Sandbox, mode: str, make: Callable[..., Any], field: str, bad: Any
) -> None:
    ending = Run(lambda: make(**{field: bad}, **OPERATOR_MODES[mode])).to_the_end()
    assert ending.kind == "AirflowFailException"
    assert str(ending.error).startswith(f"{field}: ")
    assert ending.xcoms == {}
    assert not sandbox.counts
    assert not sandbox.connections


@pytest.mark.parametrize(
    "event",
    [
        None,
        "success",
        [],
        {},
        {"status": "success"},
        {"status": "won", "result": {}},
        {"status": "succeeded"},
        {"status": "succeeded", "result": []},
    ],
    ids=repr,
)
def test_a_foreign_event_is_never_a_success(sandbox: Sandbox, event: Any) -> None:
    run = Run(lambda: redeploy(deferrable=True))
    with pytest.raises(AirflowFailException, match=r"^event: the trigger's event"):
        run.make().resume_execution("execute_complete", {"event": event}, run.context)
    assert not sandbox.counts


# --- what they do ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", OPERATOR_MODES)
@pytest.mark.parametrize("action", ["start", "stop", "restart"])
def test_each_action_is_posted_once(sandbox: Sandbox, action: str, mode: str) -> None:
    app_id = app(sandbox)
    how = OPERATOR_MODES[mode]
    ending = Run(lambda: submission(app_id=app_id, action=action, **how)).to_the_end()
    assert ending.kind == "success"
    assert ending.result["action_name"] == f"{action}_app"
    assert sandbox.effects == {f"{action}_app": 1}


@pytest.mark.parametrize("mode", OPERATOR_MODES)
def test_a_redeploy_of_the_current_release_is_posted(sandbox: Sandbox, mode: str) -> None:
    app_id = app(sandbox)
    release = sandbox.world.app(app_id).release_name
    how = OPERATOR_MODES[mode]
    ending = Run(lambda: redeploy(app_id=app_id, release_name=release, **how)).to_the_end()
    assert ending.kind == "success"
    assert sandbox.effects == {"redeploy_app": 1}


@pytest.mark.parametrize("mode", OPERATOR_MODES)
def test_without_waiting_the_action_id_is_the_result(sandbox: Sandbox, mode: str) -> None:
    app_id = app(sandbox, ActionPlan(by_hand=True))
    how = OPERATOR_MODES[mode] | {"wait_for_completion": False}
    ending = Run(lambda: submission(app_id=app_id, **how)).to_the_end()
    (action_id,) = sandbox.world.actions
    assert (ending.result, ending.xcoms["action_id"]) == (action_id, action_id)
    assert ending.workers == 1
    assert sandbox.counts["get_action"] == 0


def test_the_action_id_is_pushed_before_the_wait(sandbox: Sandbox) -> None:
    """A person who opens the running task finds it, and so does whatever comes after a crash."""
    app_id = app(sandbox, ActionPlan(by_hand=True))
    run = Run(lambda: submission(app_id=app_id, poll_interval=0.05))
    pushed: list[Any] = []

    def served(api_request: Any) -> None:
        if api_request.call == "get_action" and not pushed:
            pushed.append(dict(run.ending.xcoms))
            sandbox.world.finish_action(api_request.params["action_id"])

    sandbox.service.on_served = served
    assert run.to_the_end().kind == "success"
    sandbox.service.on_served = None
    (action_id,) = sandbox.world.actions
    assert pushed[0]["action_id"] == action_id


def test_being_killed_says_what_goes_on(sandbox: Sandbox) -> None:
    """DaoCloud cannot cancel an action; the log must not suggest that it did."""
    app_id = app(sandbox, ActionPlan(by_hand=True))
    idle = submission(app_id=app_id)
    log = log_of(idle)
    idle.on_kill()
    assert not log.lines  # nothing is in progress
    task = submission(app_id=app_id, poll_interval=0.05)
    log = log_of(task)
    run = Run(lambda: task)
    thread = threading.Thread(target=run.to_the_end)
    thread.start()
    sandbox.service.wait_for(lambda: sandbox.counts["get_action"] > 0)
    (action_id,) = sandbox.world.actions
    before = len(log.lines)
    task.on_kill()
    told = [line for _, line in log.lines[before:] if "cannot be cancelled" in line]
    assert len(told) == 1
    assert action_id in told[0]
    sandbox.world.finish_action(action_id)
    thread.join(10)
    assert run.ending.kind == "success"
    before = len(log.lines)
    task.on_kill()
    assert len(log.lines) == before


@pytest.mark.parametrize("mode", OPERATOR_MODES)
def test_the_log_tells_the_action_and_never_the_token(sandbox: Sandbox, mode: str) -> None:
    app_id = app(sandbox, ActionPlan(polls=2))
    logs = []

    def make() -> Any:
        task = submission(app_id=app_id, poll_interval=0.05, **OPERATOR_MODES[mode])
        logs.append(log_of(task))
        return task

    assert Run(make).to_the_end().kind == "success"
    text = "\n".join(line for log in logs for _, line in log.lines)
    assert next(iter(sandbox.world.actions)) in text
    assert app_id in text
    assert sandbox.token not in text


DROPPED: dict[str, dict[str, Any]] = {
    "its on_success_callback would not run": {"on_success_callback": print},
    "its outlet events would not be emitted": {"outlets": [Asset("x://y")]},
    "its post_execute would not run": {"post_execute": print},
    "its outputs would not be pushed one by one": {"multiple_outputs": True},
}


@pytest.mark.parametrize("reason", DROPPED)
def test_where_something_would_be_dropped_a_worker_ends_it_and_says_why(
    sandbox: Sandbox, reason: str
) -> None:
    app_id = app(sandbox, ActionPlan(by_hand=True))
    task = submission(app_id=app_id, deferrable=True, end_from_trigger=True, **DROPPED[reason])
    log = log_of(task)
    with pytest.raises(TaskDeferred) as caught:
        Run(lambda: task).execute()
    assert caught.value.trigger.end_task is False
    why = reason if ENDS_FROM_TRIGGER else "Airflow before 3.3"
    assert any("A worker will end this task" in line and why in line for _, line in log.lines)


@pytest.mark.skipif(not ENDS_FROM_TRIGGER, reason="Airflow before 3.3 cannot")
@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("mapped over", "another task is mapped over its result"),
        ("returned", "its result is the DAG's"),
        ("read", None),
    ],
)
def test_a_worker_ends_what_the_whole_dag_wants_of_a_worker(
    sandbox: Sandbox, what: str, reason: str | None
) -> None:
    """Airflow makes the tasks of a mapped one from what a worker notes of the result it pushes."""
    with DAG("dag", schedule=None) as dag:
        task = submission(
            app_id=app(sandbox, ActionPlan(by_hand=True)), deferrable=True, end_from_trigger=True
        )
        if what == "mapped over":
            DaoCloudAppActionOperator.partial(task_id="b", action="stop").expand(app_id=task.output)
        elif what == "returned":
            dag.add_result(task.output)
        else:
            after = DaoCloudAppActionOperator(task_id="b", action="stop", app_id="{{ x }}")
            after.set_upstream(task)
    log = log_of(task)
    with pytest.raises(TaskDeferred) as caught:
        Run(lambda: task).execute()
    assert caught.value.trigger.end_task is (reason is None)
    assert reason is None or any(reason in line for _, line in log.lines)


def test_a_deferred_operator_leaves_no_secret_behind(sandbox: Sandbox) -> None:
    app_id = app(sandbox, ActionPlan(by_hand=True))
    task = submission(app_id=app_id, deferrable=True)
    with pytest.raises(TaskDeferred) as caught:
        Run(lambda: task).execute()
    deferral = caught.value
    assert sandbox.token not in repr((deferral.trigger.serialize(), deferral, task))
