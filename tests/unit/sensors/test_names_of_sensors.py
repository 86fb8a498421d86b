"""Sensors that are given a name: in every mode the same, and looked up when they run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unicodedata import normalize

import pytest
from airflow.providers.common.compat.sdk import DAG, TaskDeferred

from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.sandbox import ActionPlan, Sandbox
from airflow_provider_daocloud.sensors.daocloud import (
    STATE_KEY,
    DaoCloudActionSensor,
    DaoCloudBuildFlowSensor,
)
from tests.support.ids import named
from tests.support.modes import ENDS_FROM_TRIGGER, HAS_STORE, SENSOR_MODES, Ending, Run, log_of

QUICK = {"poke_interval": 0.05, "timeout": 20}


def action_sensor(**arguments: Any) -> DaoCloudActionSensor:
    return DaoCloudActionSensor(
        **({"task_id": "task", "app_name": "web", "action_id": "a"} | QUICK | arguments)
    )


def flow_sensor(**arguments: Any) -> DaoCloudBuildFlowSensor:
    return DaoCloudBuildFlowSensor(
        **({"task_id": "task", "build_flow_name": "web"} | QUICK | arguments)
    )


Make = Callable[..., Any]
KINDS: dict[Make, str] = {action_sensor: "app", flow_sensor: "build_flow"}


def action(sandbox: Sandbox, **plan: Any) -> dict[str, str]:
    """Create two apps, and an action on the one called *web*; return what a sensor is given."""
    sandbox.world.add_app("worker")
    app = sandbox.world.add_app("web")
    sandbox.world.plan(ActionPlan(**plan))
    return {"action_id": sandbox.world.operate(app.id, "restart").id}


def run(make: Make, mode: str, **arguments: Any) -> Ending:
    return Run(lambda: make(**arguments, **SENSOR_MODES[mode])).to_the_end()


# --- that they wait -------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", SENSOR_MODES)
def test_an_app_is_found_once_and_its_action_waited_for(sandbox: Sandbox, mode: str) -> None:
    given = action(sandbox, polls=3)
    app_id = sandbox.world.app("web").id
    ending = run(action_sensor, mode, **given)
    assert ending.kind == "success", ending.error
    assert ending.result["app_id"] == app_id
    assert ending.xcoms["daocloud_app_link"].endswith(f"/apps/{app_id}")
    if mode != "reschedule" or HAS_STORE:  # else each poke is a process that remembers nothing
        shared = mode not in ("poke", "reschedule")  # a poller may list the apps, too
        assert sandbox.counts["list_apps"] == 1 or shared
    assert sandbox.counts["get_action"] >= 3


@pytest.mark.parametrize("mode", SENSOR_MODES)
def test_a_name_in_another_unicode_form_is_found(sandbox: Sandbox, mode: str) -> None:
    app = sandbox.world.add_app(normalize("NFC", "café"))
    given = {"action_id": sandbox.world.operate(app.id, "restart").id}
    sandbox.world.finish_action(given["action_id"])
    ending = run(action_sensor, mode, **given, app_name=normalize("NFD", "café"))
    assert ending.kind == "success", ending.error
    assert ending.result["app_id"] == app.id


@pytest.mark.parametrize("mode", SENSOR_MODES)
def test_a_build_flow_is_found_and_its_new_build_waited_for(sandbox: Sandbox, mode: str) -> None:
    sandbox.world.add_build_flow("api")
    flow = sandbox.world.add_build_flow("web")
    ending = run(flow_sensor, mode, previous_package_id="another")
    assert ending.kind == "success", ending.error
    assert ending.result["id"] == flow.id
    assert ending.xcoms["daocloud_build_flow_link"].endswith(f"/build-flows/{flow.id}")


def test_the_log_says_once_what_the_name_stands_for(sandbox: Sandbox) -> None:
    task = action_sensor(**action(sandbox, polls=2))
    log = log_of(task)
    Run(lambda: task).execute()
    said = [line for _, line in log.lines if line == f"App 'web' was found ({task.app_id})."]
    assert len(said) == 1
    assert sandbox.token not in str(log.lines)


# --- when it is looked up -------------------------------------------------------------------------


@pytest.mark.parametrize("make", KINDS)
def test_parsing_and_rendering_ask_for_nothing(sandbox: Sandbox, make: Make) -> None:
    what = KINDS[make]
    with DAG("dag", schedule=None):
        task = make(**{f"{what}_name": "{{ params.name }}"})
        mapped = type(task).partial(task_id="mapped", **QUICK)
        if make is action_sensor:
            mapped = mapped.expand_kwargs([{"app_name": "web", "action_id": "a"}])
        else:
            mapped = mapped.expand(build_flow_name=["web", "api"])
    context: Any = {"params": {"name": "web"}}
    task.render_template_fields(context)
    assert (getattr(task, f"{what}_name"), getattr(task, f"{what}_id")) == ("web", None)
    arguments = {f"{what}_name": "api"} | ({"action_id": "b"} if what == "app" else {})
    one = mapped.unmap(arguments)
    assert (getattr(one, f"{what}_name"), getattr(one, f"{what}_id")) == ("api", None)
    assert not sandbox.connections


@pytest.mark.parametrize("mode", ["deferred", "started from the trigger"])
def test_a_worker_finds_it_and_the_trigger_has_the_id(sandbox: Sandbox, mode: str) -> None:
    task = action_sensor(**action(sandbox, by_hand=True), **SENSOR_MODES[mode])
    assert not task.start_from_trigger
    log = log_of(task)
    with pytest.raises(TaskDeferred) as caught:
        Run(lambda: task).execute()
    _, kwargs = caught.value.trigger.serialize()
    assert kwargs["app_id"] == sandbox.world.app("web").id
    assert "app_name" not in kwargs
    if mode != "deferred":
        why = (
            "looks up the id that app_name stands for"
            if ENDS_FROM_TRIGGER
            else "Airflow before 3.3"
        )
        assert any("A worker starts this task" in line and why in line for _, line in log.lines)


def test_what_dag_test_claims_to_have_ended_is_checked(sandbox: Sandbox) -> None:
    """Its worker is another process, which does not know the id yet."""
    task = action_sensor(deferrable=True, end_from_trigger=True, **action(sandbox, seconds=0))
    result = task.execute_complete(Run(lambda: task).context, event="success")
    assert result["app_id"] == sandbox.world.app("web").id


@pytest.mark.skipif(not HAS_STORE, reason="Airflow before 3.3 keeps no task state")
def test_reschedule_mode_remembers_it_for_this_name_and_try(sandbox: Sandbox) -> None:
    given = action(sandbox, by_hand=True)
    runs = Run(lambda: None)

    def observe(name: str = "web", try_number: int = 1) -> None:
        task = action_sensor(app_name=name, mode="reschedule", **given)
        runs.ti.try_number = try_number
        if name == "web":
            assert not task.poke(runs.context)
        else:
            task.poke(runs.context)
        assert runs.context["task_state_store"].get(STATE_KEY)["found_id"] == [name, task.app_id]
        task.hook.close()

    observe()
    observe()
    assert sandbox.counts["list_apps"] == 1
    observe(try_number=2)  # the store outlasts tries, and a name can mean another app by then
    assert sandbox.counts["list_apps"] == 2
    twin = sandbox.world.app("worker")
    given["action_id"] = sandbox.world.operate(twin.id, "restart").id
    observe("worker", try_number=2)  # a template can render to another name
    assert sandbox.counts["list_apps"] == 3


# --- what they refuse -----------------------------------------------------------------------------


@pytest.mark.parametrize("make", KINDS)
def test_neither_or_both_is_an_error_of_the_dag_file(make: Make) -> None:
    what = KINDS[make]
    with pytest.raises(InputError, match=rf"^{what}_id: .*{what}_name: neither is given"):
        make(**{f"{what}_name": None})
    with pytest.raises(InputError, match=rf"^{what}_id: .*{what}_name: both are given"):
        make(**{f"{what}_id": "a"})


@pytest.mark.parametrize("mode", SENSOR_MODES)
@pytest.mark.parametrize(
    ("make", "field", "bad"),
    [
        (action_sensor, "app_name", ""),
        (action_sensor, "app_name", "None"),
        (action_sensor, "app_name", "{{ x }}"),
        (action_sensor, "app_name", ["web"]),
        (action_sensor, "action_id", ""),
        (flow_sensor, "build_flow_name", " "),
        (flow_sensor, "previous_package_id", "{{ x }}"),
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


@pytest.mark.parametrize("mode", SENSOR_MODES)
@pytest.mark.parametrize("apps", [["wbe", "api"], ["web", "web"]], ids=named)
def test_a_name_that_none_or_several_have_fails_without_a_retry(
    sandbox: Sandbox, mode: str, apps: list[str]
) -> None:
    for name in apps:
        sandbox.world.add_app(name)
    ending = run(action_sensor, mode)
    assert ending.kind == "AirflowFailException"
    text = str(ending.error)
    assert text.startswith("app_name: ")
    assert all(
        app.id in text if "web" in apps else app.name in text for app in sandbox.world.apps.values()
    )
    assert sandbox.counts == {"list_apps": 1}


# --- faults ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", SENSOR_MODES)
@pytest.mark.parametrize(
    "fault", [{"kind": "status", "status": 503}, {"kind": "html"}, {"kind": "spent"}], ids=named
)
def test_a_fault_while_it_is_looked_up_is_survived(
    sandbox: Sandbox, mode: str, fault: dict[str, Any]
) -> None:
    given = action(sandbox, seconds=0)
    more = {"retry_after": 1} if fault["kind"] == "spent" else {"times": 2}
    sandbox.fault(**fault, call="list_apps", **more)
    ending = run(action_sensor, mode, **given)
    assert ending.kind == "success", ending.error


@pytest.mark.parametrize("mode", SENSOR_MODES)
def test_a_list_that_cannot_be_read_for_too_long(sandbox: Sandbox, mode: str) -> None:
    sandbox.fault("status", call="list_apps", status=503, times=None)
    if mode == "reschedule" and not HAS_STORE:
        # Nothing can be remembered between two pokes: it is pending until the time is up.
        ending = run(action_sensor, mode, timeout=0.3)
        assert ending.kind == "AirflowSensorTimeout"
        assert str(ending.error).startswith("App 'web' did not become found within 0.3 s")
    else:
        ending = run(action_sensor, mode, max_outage=0.2)
        assert ending.kind == "OutageError"
        assert str(ending.error).startswith("App 'web' could not be read for")
    assert sandbox.counts.keys() == {"list_apps"}


@pytest.mark.parametrize("mode", SENSOR_MODES)
def test_the_time_is_up_before_it_is_found(sandbox: Sandbox, mode: str) -> None:
    sandbox.fault("status", call="list_apps", status=503, times=None)
    ending = run(action_sensor, mode, timeout=0.3)
    assert ending.kind == "AirflowSensorTimeout"
    assert "App 'web' did not become found within 0.3 s" in str(ending.error)
