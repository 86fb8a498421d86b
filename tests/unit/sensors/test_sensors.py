"""What the sensors take, refuse and fall back to. How they wait is in ``tests/waiting``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    Asset,
    BaseOperator,
    TaskDeferred,
)

from airflow_provider_daocloud.api.errors import InputError, OutageError
from airflow_provider_daocloud.core.waiting.backoff import Backoff
from airflow_provider_daocloud.resources.openapi.app import AppWait
from airflow_provider_daocloud.resources.openapi.build_flow import BuildFlowWait
from airflow_provider_daocloud.sandbox import ActionPlan, Sandbox
from airflow_provider_daocloud.sensors import base as sensors
from airflow_provider_daocloud.sensors.daocloud import (
    DaoCloudActionSensor,
    DaoCloudAppSensor,
    DaoCloudBuildFlowSensor,
    DaoCloudBuildSensor,
    DaoCloudStackActionSensor,
)
from airflow_provider_daocloud.triggers.deferral import TimeLimit
from tests.support.ids import named
from tests.support.modes import (
    AIRFLOW,
    ENDS_FROM_TRIGGER,
    SENSOR_MODES,
    FakeStore,
    Run,
    log_of,
)

IDS = {"app_id": "an-app", "action_id": "an-action"}


def action_sensor(**arguments: Any) -> DaoCloudActionSensor:
    return DaoCloudActionSensor(**({"task_id": "task"} | IDS | arguments))


def flow_sensor(**arguments: Any) -> DaoCloudBuildFlowSensor:
    return DaoCloudBuildFlowSensor(**({"task_id": "task", "build_flow_id": "f"} | arguments))


def app_sensor(**arguments: Any) -> DaoCloudAppSensor:
    return DaoCloudAppSensor(**({"task_id": "task", "app_id": "a"} | arguments))


def build_sensor(**arguments: Any) -> DaoCloudBuildSensor:
    ids = {"build_flow_id": "f", "build_id": "1"}
    return DaoCloudBuildSensor(**({"task_id": "task"} | ids | arguments))


def stack_sensor(**arguments: Any) -> DaoCloudStackActionSensor:
    ids = {"stack_id": "s", "action_id": "an-action"}
    return DaoCloudStackActionSensor(**({"task_id": "task"} | ids | arguments))


MAKERS: list[Callable[..., Any]] = [
    action_sensor,
    app_sensor,
    build_sensor,
    flow_sensor,
    stack_sensor,
]


def dag(**arguments: Any) -> DAG:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    return DAG("dag", start_date=start, schedule=None, **arguments)


def running_action(sandbox: Sandbox) -> dict[str, str]:
    app = sandbox.world.add_app("web")
    sandbox.world.plan(ActionPlan(by_hand=True))
    return {"app_id": app.id, "action_id": sandbox.world.operate(app.id, "restart").id}


def deferred(task: Any) -> TaskDeferred:
    """Run a task until it defers; return how."""
    with pytest.raises(TaskDeferred) as caught:
        Run(lambda: task).execute()
    return caught.value


# --- what they take -------------------------------------------------------------------------------


def test_ids_and_connection_are_rendered() -> None:
    context: Any = {"params": {"app": "a", "action": "b", "flow": "c", "package": "d", "conn": "e"}}
    with dag():
        action = action_sensor(
            app_id="{{ params.app }}",
            action_id="{{ params.action }}",
            daocloud_conn_id="{{ params.conn }}",
        )
        flow = flow_sensor(
            task_id="flow",
            build_flow_id="{{ params.flow }}",
            previous_package_id="{{ params.package }}",
            daocloud_conn_id="{{ params.conn }}",
        )
    action.render_template_fields(context)
    flow.render_template_fields(context)
    assert (action.app_id, action.action_id, action.daocloud_conn_id) == ("a", "b", "e")
    assert (flow.build_flow_id, flow.previous_package_id, flow.daocloud_conn_id) == ("c", "d", "e")


@pytest.mark.parametrize("make", MAKERS)
def test_everything_that_names_something_is_rendered(make: Callable[..., Any]) -> None:
    """Whatever a sensor is of, its ids (and release and package) may be templates."""
    plain = make()
    name_of_it = f"{plain.resource}_name"  # in place of the id; see test_names_of_sensors.py
    fields = [name for name in plain.template_fields if name != name_of_it]
    assert len([name for name in fields if isinstance(getattr(plain, name), str)]) > 1
    assert name_of_it in plain.template_fields
    with dag():
        task = make(**{name: f"{{{{ params.{name} }}}}" for name in fields})
    context: Any = {"params": {name: f"the {name}" for name in fields}}
    task.render_template_fields(context)
    for name in fields:
        assert getattr(task, name) == f"the {name}"
    own = {"build_flow_id", "build_id", "app_id", "action_id", "stack_id"}
    assert own & set(vars(plain)) <= set(plain.template_fields)


def test_mapping_over_apps() -> None:
    with dag():
        mapped = DaoCloudAppSensor.partial(task_id="mapped", release_name="v2").expand(
            app_id=["a", "b"]
        )
    task = mapped.unmap({"app_id": "b"})
    assert isinstance(task, DaoCloudAppSensor)
    assert task.wait() == AppWait("b", release_name="v2")


def test_mapping_over_actions() -> None:
    with dag():
        mapped = DaoCloudActionSensor.partial(
            task_id="mapped", poke_interval=3, deferrable=True, max_outage=timedelta(minutes=1)
        ).expand_kwargs([{"app_id": "a", "action_id": "1"}, {"app_id": "b", "action_id": "2"}])
    task = mapped.unmap({"app_id": "b", "action_id": "2"})
    assert isinstance(task, DaoCloudActionSensor)
    assert (task.app_id, task.action_id) == ("b", "2")
    assert (task.poke_interval, task.deferrable, task.max_outage) == (3, True, 60)


def test_mapping_over_build_flows() -> None:
    with dag():
        mapped = DaoCloudBuildFlowSensor.partial(task_id="mapped", previous_package_id="p").expand(
            build_flow_id=["a", "b"]
        )
    task = mapped.unmap({"build_flow_id": "b"})
    assert isinstance(task, DaoCloudBuildFlowSensor)
    assert task.wait() == BuildFlowWait("b", previous_package_id="p")


def test_default_args_of_the_dag_count() -> None:
    defaults = {
        "daocloud_conn_id": "ours",
        "poke_interval": 7,
        "timeout": 70,
        "max_outage": 0,
        "deferrable": True,
        "soft_fail": True,
    }
    with dag(default_args=defaults):
        task = action_sensor()
    assert {name: getattr(task, name) for name in defaults} == defaults


def test_arguments_can_come_from_other_tasks() -> None:
    with dag():
        upstream = BaseOperator(task_id="upstream")
        output: Any = upstream.output
        action = action_sensor(action_id=output)
        flow = flow_sensor(task_id="flow", previous_package_id=output["package_id"])
    assert action.upstream_task_ids == {"upstream"}
    assert flow.upstream_task_ids == {"upstream"}


def test_times_can_be_timedeltas() -> None:
    task = action_sensor(
        timeout=timedelta(hours=2), poke_interval=timedelta(seconds=5), max_outage=timedelta(0)
    )
    assert (task.timeout, task.poke_interval, task.max_outage) == (7200, 5, 0)


def test_intervals_fit_the_mode() -> None:
    """In reschedule mode each poke starts a process, so the default is longer there."""
    assert action_sensor().poke_interval == 10
    assert action_sensor(mode="reschedule").poke_interval == 60
    assert action_sensor(mode="reschedule", timeout=20).poke_interval == 20


def test_deferrable_comes_from_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    assert action_sensor().deferrable is False
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "True")
    assert action_sensor().deferrable is True
    assert action_sensor(deferrable=False).deferrable is False


# --- what they refuse -----------------------------------------------------------------------------

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("poke_interval", {"poke_interval": 0}),
        ("poke_interval", {"poke_interval": -1}),
        ("poke_interval", {"poke_interval": NAN}),
        ("poke_interval", {"poke_interval": timedelta(seconds=-1)}),
        ("poke_interval", {"poke_interval": "10"}),
        ("timeout", {"timeout": 0}),
        ("timeout", {"timeout": -5}),
        ("timeout", {"timeout": NAN}),
        ("timeout", {"timeout": INF}),
        ("timeout", {"timeout": 5, "poke_interval": 10}),
        ("timeout", {"timeout": timedelta(seconds=5), "poke_interval": timedelta(seconds=10)}),
        ("max_outage", {"max_outage": -1}),
        ("max_outage", {"max_outage": NAN}),
        ("max_outage", {"max_outage": None}),
        ("start_from_trigger", {"start_from_trigger": True}),
        ("start_from_trigger", {"start_from_trigger": True, "deferrable": False}),
    ],
    ids=named,
)
@pytest.mark.parametrize("make", MAKERS)
def test_a_bad_argument_is_an_error_of_the_dag_file(
    make: Callable[..., Any], field: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match=f"^{field}: ") as caught:
        make(**arguments)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "statuses", [[], "Succeeded", ["Success", "x"], ["UNKNOWN"], [""]], ids=named
)
def test_statuses_that_no_build_has(statuses: Any) -> None:
    with pytest.raises(InputError, match=r"^target_statuses: "):
        flow_sensor(target_statuses=statuses)


@pytest.mark.parametrize("states", [[], "UP", ["RUNNING", "x"], ["UNKNOWN"], [""]], ids=named)
def test_states_that_no_app_has(states: Any) -> None:
    with pytest.raises(InputError, match=r"^target_states: "):
        app_sensor(target_states=states)


@pytest.mark.parametrize("mode", SENSOR_MODES)
@pytest.mark.parametrize(
    ("make", "field", "bad"),
    [
        (action_sensor, "app_id", ""),
        (action_sensor, "action_id", "None"),
        (action_sensor, "action_id", None),
        (action_sensor, "action_id", "{{ ti.xcom_pull('x') }}"),
        (action_sensor, "app_id", "../../build-flows"),
        (flow_sensor, "build_flow_id", "  "),
        (flow_sensor, "build_flow_id", ["a"]),
        (flow_sensor, "previous_package_id", "{{ x }}"),
        (app_sensor, "app_id", "None"),
        (app_sensor, "release_name", "None"),
        (app_sensor, "release_name", ""),
        (build_sensor, "build_flow_id", "a/b"),
        (build_sensor, "build_id", "None"),
        (build_sensor, "build_id", None),
        (build_sensor, "build_id", True),
        (stack_sensor, "stack_id", ""),
        (stack_sensor, "action_id", "None"),
    ],
    ids=named,
)
def test_a_bad_id_fails_without_a_retry_and_nothing_is_sent(
    sandbox: Sandbox, mode: str, make: Callable[..., Any], field: str, bad: Any
) -> None:
    ending = Run(lambda: make(**{field: bad}, **SENSOR_MODES[mode])).to_the_end()
    assert ending.kind == "AirflowFailException"
    assert str(ending.error).startswith(f"{field}: ")
    assert not sandbox.counts
    assert not sandbox.connections


@pytest.mark.parametrize("mode", SENSOR_MODES)
def test_a_release_that_renders_to_nothing_is_not_any_release(sandbox: Sandbox, mode: str) -> None:
    """With native rendering a template can become None, and must not count as left out."""

    def make() -> Any:
        task = app_sensor(release_name="{{ params.release }}", **SENSOR_MODES[mode])
        task.release_name = None
        if task.start_from_trigger:
            start: Any = task.start_trigger_args
            start.trigger_kwargs["release_name"] = None
        return task

    ending = Run(make).to_the_end()
    assert ending.kind == "AirflowFailException"
    assert str(ending.error) == "release_name: must be a string, not NoneType."
    assert not sandbox.counts


def native(make: Callable[..., Any], **arguments: Any) -> Callable[[], Any]:
    """Return what makes a sensor, and renders it as Airflow does where a DAG renders natively."""

    def made() -> Any:
        with dag(render_template_as_native_obj=True):
            task = make(**arguments)
        task.render_template_fields({})
        return task

    return made


@pytest.mark.parametrize("mode", SENSOR_MODES)
@pytest.mark.parametrize("given", ["20240101", "'20240101'"])
def test_native_rendering_keeps_a_release(sandbox: Sandbox, mode: str, given: str) -> None:
    sandbox.world.add_app("web", app_id="17", release_name="20240101")
    flow = sandbox.world.add_build_flow("web", build_flow_id="18", package_id="1")
    how = {"poke_interval": 0.05, "timeout": 5.0} | SENSOR_MODES[mode]
    rendered = native(app_sensor, app_id="17", release_name=given, **how)
    ending = Run(rendered).to_the_end()
    assert ending.kind == "success", ending.error
    assert ending.result["release_name"] == "20240101"
    flow.status = "Success"
    rendered = native(
        flow_sensor, build_flow_id="18", previous_package_id="1", **how | {"timeout": 0.3}
    )
    assert Run(rendered).to_the_end().kind == "AirflowSensorTimeout"


@pytest.mark.parametrize("mode", SENSOR_MODES)
@pytest.mark.parametrize(
    ("make", "field"),
    [
        (app_sensor, "app_id"),
        (app_sensor, "release_name"),
        (flow_sensor, "previous_package_id"),
        (action_sensor, "action_id"),
        (build_sensor, "build_id"),
    ],
    ids=named,
)
def test_what_native_rendering_spoils_is_refused_and_says_why(
    sandbox: Sandbox, mode: str, make: Callable[..., Any], field: str
) -> None:
    ending = Run(native(make, **{field: "1.10"}, **SENSOR_MODES[mode])).to_the_end()
    assert ending.kind == "AirflowFailException"
    assert str(ending.error).startswith(f"{field}: must be a string, not float: 1.1. Native ")
    assert not sandbox.counts


# --- events ---------------------------------------------------------------------------------------

# In Airflow's words: that its own time-out of a deferred task is over.
TIMEOUT = "Trigger timeout" if AIRFLOW >= (3, 0) else "Trigger/execution timeout"
FOREIGN: list[Any] = [
    None,
    "success",
    "error",
    [],
    {},
    {"status": "success"},
    {"status": "won", "result": {}},
    {"status": ["succeeded"], "result": {}},
    {"status": "succeeded"},
    {"status": "succeeded", "result": "x"},
]


@pytest.mark.parametrize("event", FOREIGN, ids=repr)
def test_a_foreign_event_is_never_a_success(sandbox: Sandbox, event: Any) -> None:
    run = Run(lambda: action_sensor(deferrable=True))
    with pytest.raises(AirflowFailException, match=r"^event: the trigger's event"):
        run.make().resume_execution("execute_complete", {"event": event}, run.context)
    # With soft_fail it is a skip, as every error that no retry can fix.
    with pytest.raises(AirflowSkipException, match=r"^event: the trigger's event"):
        action_sensor(soft_fail=True).resume_execution(
            "execute_complete", {"event": event}, run.context
        )
    assert not sandbox.counts


@pytest.mark.parametrize(
    ("error", "flags", "kind"),
    [
        ("Trigger failure", {}, "TaskDeferralError"),
        ("Trigger failure", {"soft_fail": True}, "TaskDeferralError"),
        ("Trigger failure", {"never_fail": True}, "AirflowSkipException"),
        (TIMEOUT, {"soft_fail": True}, "AirflowSkipException"),
        (TIMEOUT, {"never_fail": True}, "AirflowSkipException"),
    ],
)
def test_soft_fail_does_not_hide_that_the_trigger_crashed(
    error: str, flags: dict[str, bool], kind: str
) -> None:
    """Nobody knows how the action goes; only never_fail skips then. A time-out is a failure."""
    task = action_sensor(deferrable=True, **flags)
    with pytest.raises(AirflowException) as caught:
        task.resume_execution(
            "__fail__", {"error": error, "traceback": ["it crashed"]}, Run(action_sensor).context
        )
    assert type(caught.value).__name__ == kind


def test_no_event_at_all() -> None:
    run = Run(action_sensor)
    with pytest.raises(AirflowFailException, match=r"^event: "):
        run.make().resume_execution("execute_complete", None, run.context)


def test_an_end_that_is_only_claimed_is_checked(sandbox: Sandbox) -> None:
    """``dag.test()`` says *success* for a task that the trigger ended, and hands over no result."""
    ids = running_action(sandbox)

    def resume() -> Any:
        task = action_sensor(deferrable=True, end_from_trigger=True, **ids)
        return task.execute_complete(Run(lambda: task).context, event="success")

    with pytest.raises(OutageError, match="IN_PROCESS"):
        resume()
    sandbox.world.finish_action(ids["action_id"])
    assert resume()["state"] == "SUCCESS"


# --- starting and ending from the trigger ---------------------------------------------------------


def starting(**arguments: Any) -> DaoCloudActionSensor:
    return action_sensor(deferrable=True, start_from_trigger=True, **arguments)


@pytest.mark.skipif(not ENDS_FROM_TRIGGER, reason="Airflow before 3.3 cannot")
def test_what_the_trigger_starts_with_is_the_same_at_every_parse() -> None:
    """Anything that differed would make a new version of the DAG each time."""
    with dag():
        first = starting(execution_timeout=timedelta(minutes=3)).start_trigger_args
    time.sleep(0.01)
    with dag():
        second = starting(execution_timeout=timedelta(minutes=3)).start_trigger_args
    assert first is not None
    assert first == second
    assert json.loads(json.dumps(first.trigger_kwargs)) == first.trigger_kwargs


def test_it_is_set_on_the_instance_alone() -> None:
    """A mapped task would start with the arguments of the class."""
    starting()
    for cls in (type(make()) for make in MAKERS):
        assert not cls.start_from_trigger
        assert cls.start_trigger_args is None


REASONS = {
    "an argument comes from another task": lambda: starting(
        action_id=BaseOperator(task_id="upstream").output
    ),
    "a template asks for what Airflow's triggerer cannot look up": lambda: starting(
        action_id="{{ ti.xcom_pull(task_ids='post') }}"
    ),
    "its templates are rendered natively, which Airflow's triggerer does not do": lambda: starting(
        dag=dag(render_template_as_native_obj=True)
    ),
    "its on_execute_callback would not run": lambda: starting(on_execute_callback=print),
    "its pre_execute would not run": lambda: starting(pre_execute=print),
}


@pytest.mark.parametrize("reason", REASONS)
def test_where_it_cannot_start_in_the_trigger_a_worker_starts_it_and_says_why(
    sandbox: Sandbox, reason: str
) -> None:
    with dag():
        task = REASONS[reason]()
    assert task.start_from_trigger is False
    log = log_of(task)
    for name, value in running_action(sandbox).items():
        setattr(task, name, value)
    deferred(task)
    why = reason if ENDS_FROM_TRIGGER else "Airflow before 3.3"
    assert any("A worker starts this task" in line and why in line for _, line in log.lines)


def test_a_mapped_task_starts_in_a_worker_and_says_why(sandbox: Sandbox) -> None:
    ids = running_action(sandbox)
    with dag():
        mapped = DaoCloudActionSensor.partial(
            task_id="mapped", deferrable=True, start_from_trigger=True
        ).expand_kwargs([ids])
    if AIRFLOW >= (3, 0):
        assert mapped.start_trigger_args is None
    task = mapped.unmap(ids)
    log = log_of(task)
    deferred(task)
    why = "mapped" if ENDS_FROM_TRIGGER else "Airflow before 3.3"
    assert any("A worker starts this task" in line and why in line for _, line in log.lines)


@pytest.mark.skipif(not ENDS_FROM_TRIGGER, reason="Airflow before 3.3 cannot")
@pytest.mark.parametrize(
    ("template", "starts"),
    [
        ("{{ dag_run.conf['action'] }}", True),
        ("{{ params.action }}-{{ ds }}", True),
        ("{{ var.value.action }}", True),
        ("{{ task_instance_key_str }}", True),
        ("{{ task_instance.xcom_pull('post') }}", False),
        ("{{ ti.xcom_pull('post', key='action_id') }}", False),
        ("{{ prev_data_interval_start_success }}", False),
        ("{{ inlet_events[a][0].extra.action }}", False),
        ("{{ task_state_store.get('x') }}", False),
    ],
)
def test_what_a_trigger_can_render(template: str, starts: bool) -> None:
    """Airflow's triggerer waits for ever where it cannot answer what rendering asks."""
    assert starting(action_id=template).start_from_trigger is starts


def test_an_old_airflow_starts_it_in_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "airflow_provider_daocloud.triggers.deferral.airflow_version", lambda: (3, 2)
    )
    task = starting(end_from_trigger=True)
    assert task.start_from_trigger is False


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
    arguments = running_action(sandbox) | DROPPED[reason]
    task = action_sensor(deferrable=True, end_from_trigger=True, **arguments)
    log = log_of(task)
    assert deferred(task).trigger.end_task is False
    why = reason if ENDS_FROM_TRIGGER else "Airflow before 3.3"
    assert any("A worker will end this task" in line and why in line for _, line in log.lines)


@pytest.mark.skipif(not ENDS_FROM_TRIGGER, reason="Airflow before 3.3 cannot")
@pytest.mark.parametrize("push", [True, False])
def test_what_the_trigger_pushes_is_what_a_worker_would(sandbox: Sandbox, push: bool) -> None:
    ids = running_action(sandbox)
    sandbox.world.finish_action(ids["action_id"])
    arguments = ids | {"end_from_trigger": True, "do_xcom_push": push}
    ending = Run(lambda: starting(**arguments)).to_the_end()
    assert (ending.kind, ending.workers) == ("success", 0)
    assert list(ending.xcoms) == (["return_value"] if push else [])


# --- intervals ------------------------------------------------------------------------------------


def test_exponential_backoff_doubles_the_pauses_when_deferred(sandbox: Sandbox) -> None:
    task = action_sensor(
        deferrable=True,
        exponential_backoff=True,
        poke_interval=2,
        max_wait=timedelta(seconds=60),
        **running_action(sandbox),
    )
    trigger = deferred(task).trigger
    assert (trigger.initial_interval, trigger.poll_interval) == (2, 60)
    backoff = Backoff(trigger.poll_interval, trigger.initial_interval, trigger.interval_growth)
    elapsed, pauses = 0.0, []
    while elapsed < 300:
        pauses.append(backoff.pause(elapsed))
        elapsed += pauses[-1]
    # 2, 2, 4, 8, 16, 32, 60, 60 ..., less up to a tenth of jitter
    assert all(b <= 60 for b in pauses)
    assert all(1.7 <= b / a <= 2.3 for a, b in pairwise(pauses[1:5]))
    assert min(pauses[-2:]) >= 54


def test_exponential_backoff_without_max_wait_has_an_end() -> None:
    """Of a day: JSON has no infinity."""
    task = action_sensor(exponential_backoff=True, deferrable=True, start_from_trigger=False)
    arguments = task._trigger_arguments(TimeLimit(5), end_task=False)
    assert arguments["poll_interval"] == 86400


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_exponential_backoff_and_max_wait_hold_in_a_worker(mode: str) -> None:
    task = action_sensor(
        mode=mode, exponential_backoff=True, poke_interval=4, max_wait=30, timeout=10_000
    )
    pauses = [
        task._get_next_poke_interval(0, lambda n=n: 4.0 * 2**n, n)  # type: ignore[misc]
        for n in range(1, 8)
    ]
    assert pauses == sorted(pauses)
    assert pauses[0] < 30
    assert pauses[-1] == 30


def test_the_final_poll_comes_when_the_time_is_up_not_an_interval_later() -> None:
    task = action_sensor(poke_interval=60, timeout=100)
    assert task._get_next_poke_interval(0, lambda: 10.0, 1) == 60
    assert 30 < task._get_next_poke_interval(0, lambda: 70.0, 1) < 31
    assert task._get_next_poke_interval(0, lambda: 100.5, 1) == 0


# --- logs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_the_lines_of_a_log_grow_fewer_as_the_wait_grows(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """An hour of polls every ten seconds: each poll is at most a line, and few are one."""
    clock = [time.time()]
    monkeypatch.setattr(sensors, "time", SimpleNamespace(time=lambda: clock[0], sleep=None))
    task = action_sensor(mode=mode, timeout=7200, **running_action(sandbox))
    log = log_of(task)
    context: Any = Run(lambda: task).context
    for _ in range(360):
        assert not task.poke(context)
        clock[0] += 10
    assert 5 <= len(log.lines) <= 30
    text = "\n".join(line for _, line in log.lines)
    assert "IN_PROCESS" in text
    assert task.action_id in text
    assert sandbox.token not in text
    task.hook.close()


# --- reschedule mode's memory ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "entry",
    [
        "rubbish",
        ["a", "list"],
        {"try_number": 2},
        {"try_number": 2, "started_at": "soon", "wait_state": {}},
        {"try_number": 2, "started_at": 1.0, "wait_state": None},
        {"try_number": 1, "started_at": 1.0, "wait_state": {"outage_since": 1.0}},
    ],
    ids=named,
)
def test_what_another_try_or_version_remembered_is_not_ours(sandbox: Sandbox, entry: Any) -> None:
    """The store outlasts tries and clears; an outage of yesterday is not one of today."""
    ids = running_action(sandbox)
    sandbox.fault("status", times=None)
    task = action_sensor(mode="reschedule", max_outage=60, **ids)
    run = Run(lambda: task)
    run.ti.try_number = 2
    store = FakeStore()
    store.set(sensors.STATE_KEY, entry)
    run.context["task_state_store"] = store
    assert not task.poke(run.context)
    kept = store.get(sensors.STATE_KEY)
    assert kept["try_number"] == 2
    assert time.time() - kept["wait_state"]["outage_since"] < 60
    task.hook.close()
