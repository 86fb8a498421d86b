"""A wait ends in the same way in every mode: same result, XComs, class of error and message.

Each scenario says once how it ends; each mode has to end so. Where Airflow makes a difference
unavoidable, `DIFFERENCES` says which, and what happens instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
import requests

from airflow_provider_daocloud.operators.base import DaoCloudBaseOperator
from airflow_provider_daocloud.operators.daocloud import (
    DaoCloudAppActionOperator,
    DaoCloudRedeployOperator,
    DaoCloudRollbackOperator,
    DaoCloudStackActionOperator,
    DaoCloudTriggerBuildOperator,
)
from airflow_provider_daocloud.sandbox import ActionPlan, BuildPlan, Sandbox
from airflow_provider_daocloud.sensors.daocloud import (
    DaoCloudActionSensor,
    DaoCloudAppSensor,
    DaoCloudBuildFlowSensor,
    DaoCloudBuildSensor,
    DaoCloudStackActionSensor,
)
from tests.support.modes import (
    ENDS_FROM_TRIGGER,
    HAS_STORE,
    OPERATOR_MODES,
    SENSOR_MODES,
    Ending,
    Lines,
    Modes,
    Run,
    log_of,
)
from tests.support.results import check_result


@dataclass
class Expected:
    """A task, and how it ends in every mode.

    :param task: the class of the operator.
    :param arguments: its arguments.
    :param kind: the class of the error, or *success*.
    :param message: the error's text. Ids stand for themselves; times are left out.
    :param result: parts of the result.
    """

    task: type
    arguments: dict[str, Any]
    kind: str = "success"
    message: str = ""
    result: dict[str, Any] = field(default_factory=dict)


# Where a mode without a store can only wait for the time-out, let it be soon; but
# not so soon that the other modes run into it on a busy machine.
NO_STORE: dict[str, Any] = {} if HAS_STORE else {"timeout": 6.0}

Scenario = Callable[[Sandbox], Expected]

EMPTY = "app_id: is empty. Give the value, or a template that renders to one."
ACTION_RESULT = {
    "action_name": "restart_app",
    "state": "SUCCESS",
    "start_date": "a date",
    "end_date": "a date",
    "time_cost_seconds": "a number",
    "error_message": None,
}


def action_of(sandbox: Sandbox, plan: ActionPlan) -> dict[str, str]:
    """Start an action on a new app, and return what a sensor needs to know of it."""
    app = sandbox.world.add_app("web")
    sandbox.world.plan(plan)
    return {"app_id": app.id, "action_id": sandbox.world.operate(app.id, "restart").id}


def path(ids: dict[str, str]) -> str:
    return f"/apps/{ids['app_id']}/actions/{ids['action_id']}"


def said(sandbox: Sandbox, path: str) -> str:
    """Return what the server says to a call that it refuses, as errors quote it."""
    headers = {"Authorization": f"token {sandbox.token}"}
    response = requests.get(f"{sandbox.url}/v1{path}", headers=headers, timeout=5).json()
    return f" DaoCloud says: {response['message']} (error_id {response['error_id']}; GET {path})"


NOT_FOUND = "there is no such resource for this token (HTTP 404)."
WRONG_TOKEN = "the access token is wrong or expired, or is not allowed this call (HTTP 401)."
OFFLINE = "the server failed (HTTP 503). DaoCloud says: the service is temporarily offline "


def sentence(thing: str, thing_id: str, rest: str, *, name: str = "", part: str = "") -> str:
    """Return what an error says: a title for people, what happened, and the whole ids.

    :param part: an action or a build of the thing, with its id.
    """
    title = f"{thing} {name or cut(thing_id)}"
    whole = f"{thing} {thing_id}"
    if part:
        noun, part_id = part.split(" ", 1)
        title, whole = f"{noun} {cut(part_id)} of {title}", f"{part} of {whole}"
    return f"{title[0].upper()}{title[1:]} {rest} ({whole})."


def cut(found_id: str) -> str:
    return found_id if len(found_id) <= 12 else f"{found_id[:8]}…"


def of_action(ids: Mapping[str, str], rest: str) -> str:
    thing = "stack" if "stack_id" in ids else "app"
    return sentence(thing, ids[f"{thing}_id"], rest, part=f"action {ids['action_id']}")


def new_build(flow_id: str, rest: str) -> str:
    return f"A new build of build flow web {rest} (build flow {flow_id})."


def of_build(build: Any, status: str) -> str:
    facts = f"branch {build.ref}, commit {build.sha[:12]}, author {build.author}"
    rest = f"failed: it is {status} ({facts})"
    return sentence("build flow", build.build_flow_id, rest, part=f"build {build.id}")


def up(wanted: str, seen: str, seconds: str = "2.5") -> str:
    return f"did not become {wanted} within {seconds} s; {seen}"


def sensor(ids: Mapping[str, object], **expected: Any) -> Expected:
    return Expected(DaoCloudActionSensor, dict(ids), **expected)


# --- an action, watched by a sensor ---------------------------------------------------------------


def action_succeeds(sandbox: Sandbox) -> Expected:
    ids = action_of(sandbox, ActionPlan(polls=3))
    return sensor(ids, result=ids | ACTION_RESULT)


def action_has_succeeded(sandbox: Sandbox) -> Expected:
    ids = action_of(sandbox, ActionPlan(seconds=0))
    return sensor(ids, result=ids | ACTION_RESULT)


def action_fails(sandbox: Sandbox) -> Expected:
    ids = action_of(sandbox, ActionPlan(polls=2, state="FAILED", message="out of memory"))
    return sensor(
        ids,
        kind="DaoCloudActionFailedError",
        message=of_action(ids, "failed: out of memory"),
    )


def action_fails_without_a_word(sandbox: Sandbox) -> Expected:
    ids = action_of(sandbox, ActionPlan(seconds=0, state="FAILED"))
    return sensor(
        ids,
        kind="DaoCloudActionFailedError",
        message=of_action(ids, "failed: DaoCloud gives no reason"),
    )


def action_fails_and_tells_the_token(sandbox: Sandbox) -> Expected:
    said = f"docker login -p {sandbox.token} failed"
    ids = action_of(sandbox, ActionPlan(polls=2, state="FAILED", message=said))
    return sensor(
        ids,
        kind="DaoCloudActionFailedError",
        message=of_action(ids, "failed: docker login -p *** failed"),
    )


def action_is_in_a_state_of_the_token(sandbox: Sandbox) -> Expected:
    ids = action_of(sandbox, ActionPlan(by_hand=True))
    sandbox.set_options(state_words={"IN_PROCESS": sandbox.token})
    return sensor(
        ids | {"timeout": 2.5},
        kind="AirflowSensorTimeout",
        message=of_action(ids, up("SUCCESS", "this provider does not know its state (***)")),
    )


def action_can_be_read_late(sandbox: Sandbox) -> Expected:
    sandbox.set_options(action_lag=0.2)
    ids = action_of(sandbox, ActionPlan(polls=1))
    return sensor(ids, result=ids | ACTION_RESULT)


def action_is_unknown(sandbox: Sandbox) -> Expected:
    app = sandbox.world.add_app("web")
    return sensor(
        {"app_id": app.id, "action_id": "nothing"},
        kind="AirflowFailException",
        message=NOT_FOUND + said(sandbox, f"/apps/{app.id}/actions/nothing"),
    )


def app_is_unknown(sandbox: Sandbox) -> Expected:
    return sensor(
        {"app_id": "nobody", "action_id": "nothing"},
        kind="AirflowFailException",
        message=f"{NOT_FOUND} For a name, use app_name."
        + said(sandbox, "/apps/nobody/actions/nothing"),
    )


def token_is_wrong(sandbox: Sandbox) -> Expected:
    ids = action_of(sandbox, ActionPlan(by_hand=True))
    sandbox.world.revoke("main")
    return sensor(
        ids,
        kind="AirflowFailException",
        message=WRONG_TOKEN + said(sandbox, path(ids)),
    )


def time_is_up(sandbox: Sandbox) -> Expected:
    ids = action_of(sandbox, ActionPlan(by_hand=True))
    return sensor(
        ids | {"timeout": 2.5},
        kind="AirflowSensorTimeout",
        message=of_action(ids, up("SUCCESS", "it is IN_PROCESS")),
    )


def execution_timeout_is_shorter(sandbox: Sandbox) -> Expected:
    ids = action_of(sandbox, ActionPlan(by_hand=True))
    return sensor(
        ids | {"execution_timeout": timedelta(seconds=0.8), "timeout": 1.6},
        kind="AirflowTaskTimeout",
        message=of_action(ids, up("SUCCESS", "it is IN_PROCESS", "N")),
    )


def outage_is_too_long(sandbox: Sandbox) -> Expected:
    ids = action_of(sandbox, ActionPlan(by_hand=True))
    sandbox.fault("status", call="get_action", status=503, times=None, skip=1)
    return sensor(
        ids | {"max_outage": 0.2} | NO_STORE,
        kind="OutageError",
        message=f"Action {cut(ids['action_id'])} of app {cut(ids['app_id'])} could not be read for "
        f"N s (max_outage 0.2 s). Last error: {OFFLINE}(error_id server_error; GET {path(ids)}) "
        f"(action {ids['action_id']} of app {ids['app_id']})",
    )


def no_outage_is_allowed(sandbox: Sandbox) -> Expected:
    ids = action_of(sandbox, ActionPlan(by_hand=True))
    sandbox.fault("status", call="get_action", status=503, skip=1)
    return sensor(
        ids | {"max_outage": 0},
        kind="OutageError",
        message=f"Action {cut(ids['action_id'])} of app {cut(ids['app_id'])} could not be read for "
        f"N s (max_outage 0 s). Last error: {OFFLINE}(error_id server_error; GET {path(ids)}) "
        f"(action {ids['action_id']} of app {ids['app_id']})",
    )


def app_id_is_empty(sandbox: Sandbox) -> Expected:
    return sensor(
        {"app_id": "", "action_id": "x"},
        kind="AirflowFailException",
        message=EMPTY,
    )


def action_id_is_not_rendered(sandbox: Sandbox) -> Expected:
    return sensor(
        {"app_id": "x", "action_id": "{{ params.action }}"},
        kind="AirflowFailException",
        message="action_id: '{{ params.action }}' is a template that was not rendered. "
        "Is the field a template field?",
    )


def action_id_is_none(sandbox: Sandbox) -> Expected:
    return sensor(
        {"app_id": "x", "action_id": "None"},
        kind="AirflowFailException",
        message="action_id: a template rendered to None. "
        "Does the task that it pulls from return a value?",
    )


def connection_is_unknown(sandbox: Sandbox) -> Expected:
    return sensor(
        {"app_id": "x", "action_id": "x", "daocloud_conn_id": "nowhere"},
        kind="AirflowFailException",
        message="The conn_id `nowhere` isn't defined",
    )


ACTION_SENSOR: list[Scenario] = [
    action_succeeds,
    action_has_succeeded,
    action_fails,
    action_fails_without_a_word,
    action_fails_and_tells_the_token,
    action_is_in_a_state_of_the_token,
    action_can_be_read_late,
    action_is_unknown,
    app_is_unknown,
    token_is_wrong,
    time_is_up,
    execution_timeout_is_shorter,
    outage_is_too_long,
    no_outage_is_allowed,
    app_id_is_empty,
    action_id_is_not_rendered,
    action_id_is_none,
    connection_is_unknown,
]


# --- a build flow ---------------------------------------------------------------------------------

FLOW_RESULT = {
    "name": "web",
    "status": "Success",
    "created_at": "a date",
    "package_id": "a new package",
    "repo": "acme/web",
    "src_language": "Go",
    "src_provider": "github",
    "src_origin_url": "https://github.com/acme/web",
}


def flow_sensor(flow: Any, expected: dict[str, Any], **arguments: Any) -> Expected:
    return Expected(DaoCloudBuildFlowSensor, {"build_flow_id": flow.id} | arguments, **expected)


def web_flow(sandbox: Sandbox, status: str = "Success") -> Any:
    return sandbox.world.add_build_flow(
        "web",
        status=status,
        package_id="old",
        repo="acme/web",
        src_language="Go",
        src_provider="github",
        src_origin_url="https://github.com/acme/web",
    )


def build_succeeds(sandbox: Sandbox) -> Expected:
    flow = web_flow(sandbox)
    sandbox.world.start_build(flow.id, BuildPlan(polls=3))
    return flow_sensor(flow, {"result": FLOW_RESULT | {"id": flow.id}})


def build_has_succeeded(sandbox: Sandbox) -> Expected:
    flow = web_flow(sandbox)
    return flow_sensor(flow, {"result": FLOW_RESULT | {"id": flow.id, "package_id": "old"}})


def build_ends_as(status: str) -> Scenario:
    def scenario(sandbox: Sandbox) -> Expected:
        flow = web_flow(sandbox)
        sandbox.world.start_build(flow.id, BuildPlan(polls=2, outcome=status))
        return flow_sensor(
            flow,
            {
                "kind": "DaoCloudBuildFailedError",
                "message": sentence(
                    "build flow", flow.id, f"failed: its build is {status}", name="web"
                ),
            },
        )

    scenario.__name__ = f"build_ends_as_{status.lower()}"
    return scenario


def build_is_killed(sandbox: Sandbox) -> Expected:
    """A word of the real service that no page has."""
    flow = web_flow(sandbox)
    sandbox.set_options(state_words={"Failure": "Killed"})
    sandbox.world.start_build(flow.id, BuildPlan(polls=2, outcome="Failure"))
    message = sentence("build flow", flow.id, "failed: its build is Killed", name="web")
    return flow_sensor(flow, {"kind": "DaoCloudBuildFailedError", "message": message})


def this_build_is_killed(sandbox: Sandbox) -> Expected:
    sandbox.set_options(state_words={"Failure": "Killed"})
    build, ids = build_of(sandbox, BuildPlan(polls=2, outcome="Failure"))
    message = of_build(build, "Killed")
    return build_sensor(ids, kind="DaoCloudBuildFailedError", message=message)


def build_failure_is_waited_for(sandbox: Sandbox) -> Expected:
    flow = web_flow(sandbox)
    sandbox.world.start_build(flow.id, BuildPlan(polls=2, outcome="Failure"))
    result = FLOW_RESULT | {"id": flow.id, "status": "Failure", "package_id": "old"}
    return flow_sensor(flow, {"result": result}, target_statuses=["failure", "Error"])


def flow_is_unknown(sandbox: Sandbox) -> Expected:
    return Expected(
        DaoCloudBuildFlowSensor,
        {"build_flow_id": "nothing"},
        kind="AirflowFailException",
        message=f"{NOT_FOUND} For a name, use build_flow_name."
        + said(sandbox, "/build-flows/nothing"),
    )


def build_flow_id_is_none(sandbox: Sandbox) -> Expected:
    return Expected(
        DaoCloudBuildFlowSensor,
        {"build_flow_id": "None"},
        kind="AirflowFailException",
        message="build_flow_id: a template rendered to None. "
        "Does the task that it pulls from return a value?",
    )


def package_id_is_not_rendered(sandbox: Sandbox) -> Expected:
    flow = web_flow(sandbox)
    return flow_sensor(
        flow,
        {
            "kind": "AirflowFailException",
            "message": "previous_package_id: '{{ x }}' is a template that was not rendered. "
            "Is the field a template field?",
        },
        previous_package_id="{{ x }}",
    )


def build_takes_too_long(sandbox: Sandbox) -> Expected:
    flow = web_flow(sandbox)
    sandbox.world.start_build(flow.id, BuildPlan(by_hand=True))
    return flow_sensor(
        flow,
        {
            "kind": "AirflowSensorTimeout",
            "message": sentence("build flow", flow.id, up("Success", "it is Pending"), name="web"),
        },
        timeout=2.5,
    )


def new_build_after_old_success(sandbox: Sandbox) -> Expected:
    flow = web_flow(sandbox)
    later(sandbox, flow, BuildPlan(polls=4))
    result = FLOW_RESULT | {"id": flow.id}
    return flow_sensor(flow, {"result": result}, previous_package_id="old")


def new_build_after_old_failure(sandbox: Sandbox) -> Expected:
    flow = web_flow(sandbox, status="Failure")
    later(sandbox, flow, BuildPlan(polls=4))
    result = FLOW_RESULT | {"id": flow.id}
    return flow_sensor(flow, {"result": result}, previous_package_id="old")


def new_build_of_a_flow_that_had_none(sandbox: Sandbox) -> Expected:
    flow = web_flow(sandbox)
    result = FLOW_RESULT | {"id": flow.id, "package_id": "old"}
    return flow_sensor(flow, {"result": result}, previous_package_id="None")


def new_build_fails_after_old_success(sandbox: Sandbox) -> Expected:
    flow = web_flow(sandbox)
    later(sandbox, flow, BuildPlan(polls=4, outcome="Error"))
    return flow_sensor(
        flow,
        {
            "kind": "DaoCloudBuildFailedError",
            "message": new_build(flow.id, "failed: its build is Error"),
        },
        previous_package_id="old",
        **NO_STORE,
    )


def new_build_fails_after_old_failure(sandbox: Sandbox) -> Expected:
    flow = web_flow(sandbox, status="Failure")
    later(sandbox, flow, BuildPlan(polls=4, outcome="Failure"))
    return flow_sensor(
        flow,
        {
            "kind": "DaoCloudBuildFailedError",
            "message": new_build(flow.id, "failed: its build is Failure"),
        },
        previous_package_id="old",
        **NO_STORE,
    )


def new_build_fails_between_two_looks(sandbox: Sandbox) -> Expected:
    """Only the first observation saw it run, and another process may have made that one."""
    flow = web_flow(sandbox, status="Failure")
    sandbox.world.start_build(flow.id, BuildPlan(polls=1, outcome="Failure"))
    return flow_sensor(
        flow,
        {
            "kind": "DaoCloudBuildFailedError",
            "message": new_build(flow.id, "failed: its build is Failure"),
        },
        previous_package_id="old",
        **NO_STORE,
    )


def new_build_never_comes(sandbox: Sandbox) -> Expected:
    flow = web_flow(sandbox, status="Failure")
    return flow_sensor(
        flow,
        {
            "kind": "AirflowSensorTimeout",
            "message": new_build(
                flow.id, up("Success", "the latest is still package old (Failure)")
            ),
        },
        previous_package_id="old",
        timeout=2.5,
    )


def later(sandbox: Sandbox, flow: Any, plan: BuildPlan) -> None:
    """Start a build once the flow was observed twice."""
    observations = 0

    def served(api_request: Any) -> None:
        nonlocal observations
        observations += api_request.params.get("build_flow_id") == flow.id
        if observations == 2:
            sandbox.service.on_served = None
            sandbox.world.start_build(flow.id, plan)

    sandbox.service.on_served = served


FLOW_SENSOR: list[Scenario] = [
    build_succeeds,
    build_has_succeeded,
    *(build_ends_as(status) for status in ("Failure", "Error", "Cancelled", "Timeout")),
    build_is_killed,
    build_failure_is_waited_for,
    flow_is_unknown,
    build_flow_id_is_none,
    package_id_is_not_rendered,
    build_takes_too_long,
    new_build_after_old_success,
    new_build_after_old_failure,
    new_build_of_a_flow_that_had_none,
    new_build_fails_after_old_success,
    new_build_fails_after_old_failure,
    new_build_fails_between_two_looks,
    new_build_never_comes,
]


# --- an app ---------------------------------------------------------------------------------------

APP_RESULT = {
    "name": "web",
    "state": "RUNNING",
    "release_name": "v1.0.0",
    "image": "daocloud.io/sandbox/web",
    "package_id": "a new package",
    "created_at": "a date",
    "last_operated_at": "a date",
}


def app_sensor(app: Any, expected: dict[str, Any], **arguments: Any) -> Expected:
    return Expected(DaoCloudAppSensor, {"app_id": app.id} | arguments, **expected)


def app_comes_up(sandbox: Sandbox) -> Expected:
    app = sandbox.world.add_app("web", state="STOPPED")
    sandbox.world.plan(ActionPlan(seconds=0.3))
    sandbox.world.operate(app.id, "start")
    return app_sensor(app, {"result": APP_RESULT | {"id": app.id}})


def app_is_up(sandbox: Sandbox) -> Expected:
    app = sandbox.world.add_app("web")
    return app_sensor(app, {"result": APP_RESULT | {"id": app.id}})


def app_is_spelled_otherwise(sandbox: Sandbox) -> Expected:
    """A state in lower case, as the real service shows it, is the same state."""
    app = sandbox.world.add_app("web", state="SLEEPING")
    sandbox.set_options(state_case="lower")
    result = APP_RESULT | {"id": app.id, "state": "SLEEPING"}
    return app_sensor(app, {"result": result}, target_states=["stopped", "sleeping"])


def app_is_called_as_the_token(sandbox: Sandbox) -> Expected:
    app = sandbox.world.add_app(sandbox.token)
    image = "daocloud.io/sandbox/***"
    return app_sensor(app, {"result": APP_RESULT | {"id": app.id, "name": "***", "image": image}})


def app_runs_the_new_release(sandbox: Sandbox) -> Expected:
    app = sandbox.world.add_app("web")
    sandbox.world.plan(ActionPlan(seconds=0.3))
    sandbox.world.operate(app.id, "redeploy", "v2")
    result = APP_RESULT | {"id": app.id, "release_name": "v2"}
    return app_sensor(app, {"result": result}, release_name="v2")


def app_stays_down(sandbox: Sandbox) -> Expected:
    app = sandbox.world.add_app("web", state="NOT_RUNNING")
    message = sentence("app", app.id, up("RUNNING", "it is NOT_RUNNING"), name="web")
    return app_sensor(app, {"kind": "AirflowSensorTimeout", "message": message}, timeout=2.5)


def app_keeps_its_release(sandbox: Sandbox) -> Expected:
    app = sandbox.world.add_app("web")
    rest = up("RUNNING with release v2", "it is RUNNING with release v1.0.0")
    message = sentence("app", app.id, rest, name="web")
    return app_sensor(
        app, {"kind": "AirflowSensorTimeout", "message": message}, timeout=2.5, release_name="v2"
    )


def app_to_watch_is_unknown(sandbox: Sandbox) -> Expected:
    return Expected(
        DaoCloudAppSensor,
        {"app_id": "nobody"},
        kind="AirflowFailException",
        message=f"{NOT_FOUND} For a name, use app_name." + said(sandbox, "/apps/nobody"),
    )


def release_is_none(sandbox: Sandbox) -> Expected:
    return Expected(
        DaoCloudAppSensor,
        {"app_id": "x", "release_name": "None"},
        kind="AirflowFailException",
        message="release_name: a template rendered to None. "
        "Does the task that it pulls from return a value?",
    )


APP_SENSOR: list[Scenario] = [
    app_comes_up,
    app_is_up,
    app_is_spelled_otherwise,
    app_is_called_as_the_token,
    app_runs_the_new_release,
    app_stays_down,
    app_keeps_its_release,
    app_to_watch_is_unknown,
    release_is_none,
]


# --- one build ------------------------------------------------------------------------------------


def build_of(sandbox: Sandbox, plan: BuildPlan) -> tuple[Any, dict[str, str]]:
    """Start a build of a new flow; return it, and what a sensor needs to know of it."""
    build = sandbox.world.start_build(web_flow(sandbox, status="Failure").id, plan)
    return build, {"build_flow_id": build.build_flow_id, "build_id": str(build.id)}


def build_sensor(ids: Mapping[str, object], **expected: Any) -> Expected:
    return Expected(DaoCloudBuildSensor, dict(ids), **expected)


def build_result(build: Any, ids: dict[str, str]) -> dict[str, Any]:
    return ids | {
        "status": "Success",
        "tag": build.tag,
        "ref": build.ref,
        "sha": build.sha,
        "author": build.author,
        "ref_is_tag": False,
        "ref_is_branch": True,
        "created_at": "a date",
    }


def this_build_succeeds(sandbox: Sandbox) -> Expected:
    build, ids = build_of(sandbox, BuildPlan(polls=3))
    return build_sensor(ids, result=build_result(build, ids))


def this_build_has_succeeded(sandbox: Sandbox) -> Expected:
    build, ids = build_of(sandbox, BuildPlan(by_hand=True))
    sandbox.world.finish_build(build.build_flow_id)
    return build_sensor(ids, result=build_result(build, ids))


def this_build_is_named_by_its_number(sandbox: Sandbox) -> Expected:
    build, ids = build_of(sandbox, BuildPlan(polls=2))
    return build_sensor(ids | {"build_id": build.id}, result=build_result(build, ids))


def this_build_succeeds_and_the_next_one_fails(sandbox: Sandbox) -> Expected:
    """The flow says Failure all the time, and then again: that was other builds."""
    build, ids = build_of(sandbox, BuildPlan(polls=3))
    sandbox.world.start_build(build.build_flow_id, BuildPlan(by_hand=True))
    sandbox.world.finish_build(build.build_flow_id, "Failure")
    return build_sensor(ids, result=build_result(build, ids))


def this_build_ends_as(status: str) -> Scenario:
    def scenario(sandbox: Sandbox) -> Expected:
        build, ids = build_of(sandbox, BuildPlan(polls=2, outcome=status))
        return build_sensor(
            ids,
            kind="DaoCloudBuildFailedError",
            message=of_build(build, status),
        )

    scenario.__name__ = f"this_build_ends_as_{status.lower()}"
    return scenario


def this_build_can_be_read_late(sandbox: Sandbox) -> Expected:
    sandbox.set_options(action_lag=0.1)
    build, ids = build_of(sandbox, BuildPlan(polls=1))
    return build_sensor(ids, result=build_result(build, ids))


def no_such_build(sandbox: Sandbox, path: str) -> str:
    return (
        f"{NOT_FOUND} Or this installation is older than the calls for builds: there, "
        "DaoCloudBuildFlowSensor with previous_package_id "
        f"waits for a new build.{said(sandbox, path)}"
    )


def this_build_is_unknown(sandbox: Sandbox) -> Expected:
    flow = web_flow(sandbox)
    return build_sensor(
        {"build_flow_id": flow.id, "build_id": "99"},
        kind="AirflowFailException",
        message=no_such_build(sandbox, f"/build-flows/{flow.id}/builds/99"),
    )


def no_build_can_be_read(sandbox: Sandbox) -> Expected:
    """An older installation: the build runs, and there is no call for it."""
    sandbox.set_options(later_calls=False)
    build, ids = build_of(sandbox, BuildPlan(polls=2))
    return build_sensor(
        ids,
        kind="AirflowFailException",
        message=no_such_build(sandbox, f"/build-flows/{build.build_flow_id}/builds/{build.id}"),
    )


def this_build_takes_too_long(sandbox: Sandbox) -> Expected:
    build, ids = build_of(sandbox, BuildPlan(by_hand=True))
    return build_sensor(
        ids | {"timeout": 2.5},
        kind="AirflowSensorTimeout",
        message=sentence(
            "build flow",
            build.build_flow_id,
            up("Success", "it is Pending"),
            part=f"build {build.id}",
        ),
    )


def build_id_is_none(sandbox: Sandbox) -> Expected:
    return build_sensor(
        {"build_flow_id": "x", "build_id": "None"},
        kind="AirflowFailException",
        message="build_id: a template rendered to None. "
        "Does the task that it pulls from return a value?",
    )


BUILD_SENSOR: list[Scenario] = [
    this_build_succeeds,
    this_build_has_succeeded,
    this_build_is_killed,
    this_build_is_named_by_its_number,
    this_build_succeeds_and_the_next_one_fails,
    *(this_build_ends_as(status) for status in ("Failure", "Cancelled")),
    this_build_can_be_read_late,
    this_build_is_unknown,
    no_build_can_be_read,
    this_build_takes_too_long,
    build_id_is_none,
]


# --- an action on a stack -------------------------------------------------------------------------


def stack_action_of(sandbox: Sandbox, plan: ActionPlan) -> dict[str, str]:
    """Start an action on a new stack, and return what a sensor needs to know of it."""
    stack = sandbox.world.add_stack("front")
    sandbox.world.plan(plan)
    action = sandbox.world.operate_stack(stack.id, "restart")
    return {"stack_id": stack.id, "action_id": action.id}


def stack_sensor(ids: Mapping[str, object], **expected: Any) -> Expected:
    return Expected(DaoCloudStackActionSensor, dict(ids), **expected)


STACK_RESULT = ACTION_RESULT | {"action_name": "restart_stack"}


def stack_action_succeeds(sandbox: Sandbox) -> Expected:
    ids = stack_action_of(sandbox, ActionPlan(polls=3))
    return stack_sensor(ids, result=ids | STACK_RESULT)


def stack_action_fails(sandbox: Sandbox) -> Expected:
    ids = stack_action_of(sandbox, ActionPlan(polls=2, state="FAILED", message="out of memory"))
    return stack_sensor(
        ids,
        kind="DaoCloudActionFailedError",
        message=of_action(ids, "failed: out of memory"),
    )


def stack_action_can_be_read_late(sandbox: Sandbox) -> Expected:
    sandbox.set_options(action_lag=0.1)
    ids = stack_action_of(sandbox, ActionPlan(polls=1))
    return stack_sensor(ids, result=ids | STACK_RESULT)


def stack_action_is_unknown(sandbox: Sandbox) -> Expected:
    stack = sandbox.world.add_stack("front")
    path = f"/stacks/{stack.id}/actions/nothing"
    return stack_sensor(
        {"stack_id": stack.id, "action_id": "nothing"},
        kind="AirflowFailException",
        message=NOT_FOUND + said(sandbox, path),
    )


def stack_action_takes_too_long(sandbox: Sandbox) -> Expected:
    ids = stack_action_of(sandbox, ActionPlan(by_hand=True))
    return stack_sensor(
        ids | {"timeout": 2.5},
        kind="AirflowSensorTimeout",
        message=of_action(ids, up("SUCCESS", "it is in_process")),
    )


def stack_id_is_empty(sandbox: Sandbox) -> Expected:
    return stack_sensor(
        {"stack_id": "", "action_id": "x"},
        kind="AirflowFailException",
        message=EMPTY.replace("app_id", "stack_id"),
    )


STACK_SENSOR: list[Scenario] = [
    stack_action_succeeds,
    stack_action_fails,
    stack_action_can_be_read_late,
    stack_action_is_unknown,
    stack_action_takes_too_long,
    stack_id_is_empty,
]

SENSOR: list[Scenario] = [
    *ACTION_SENSOR,
    *FLOW_SENSOR,
    *APP_SENSOR,
    *BUILD_SENSOR,
    *STACK_SENSOR,
]


# --- an operator that acts and waits --------------------------------------------------------------


@dataclass(frozen=True)
class Thing:
    """What operators act on.

    :param id_name: the argument with its id.
    :param path: of the call that shows it.
    :param noun: what it is.
    :param name: its name.
    :param part: what is waited for.
    :param ongoing: what it shows until it has ended.
    :param observe: the call that shows that.
    """

    id_name: str
    path: str
    noun: str
    name: str
    part: str
    ongoing: str
    observe: str

    def sentence(self, thing_id: str, rest: str) -> str:
        """Return what an error of an operator says."""
        part = f"{self.part} the action"
        return sentence(self.noun, thing_id, rest, name=self.name, part=part)

    @property
    def wanted(self) -> str:
        """What is waited for."""
        return "Success" if self.part == "build" else "SUCCESS"


APP = Thing("app_id", "/apps/{}", "app", "web", "action", "IN_PROCESS", "get_action")
STACK = Thing(
    "stack_id", "/stacks/{}", "stack", "front", "action", "in_process", "get_stack_action"
)
BUILD_FLOW = Thing(
    "build_flow_id", "/build-flows/{}", "build flow", "web", "build", "Pending", "get_build"
)


@dataclass(frozen=True)
class Actor:
    """An operator, and what is its own in what every operator does.

    :param task: its class.
    :param thing: what it acts on.
    :param arguments: those that make it this one.
    :param result: what it returns, apart from the thing's id.
    """

    task: type
    thing: Thing
    arguments: dict[str, Any]
    result: dict[str, Any]

    def add(self, sandbox: Sandbox) -> str:
        """Add what it acts on, and return its id."""
        if self.thing is STACK:
            return sandbox.world.add_stack("front").id
        if self.thing is BUILD_FLOW:
            return str(web_flow(sandbox).id)
        return sandbox.world.add_app("web").id

    def plan(self, sandbox: Sandbox, *, fails: bool = False, **how: Any) -> None:
        """Decide how the next action goes, or the next build."""
        if self.thing is BUILD_FLOW:
            if how.pop("seconds", None) is not None:  # a build is pending before it starts
                how |= {"seconds": 0.0, "pending_seconds": 0.0}
            outcome = "Failure" if fails else "Success"
            sandbox.world.plan_build(BuildPlan(outcome, **how))
        elif fails:
            sandbox.world.plan(ActionPlan("FAILED", "out of memory", **how))
        else:
            sandbox.world.plan(ActionPlan(**how))

    def ends(self, thing_id: str, more: dict[str, Any] | None = None, **expected: Any) -> Expected:
        """Say how the task ends that acts on a thing.

        :param more: arguments.
        """
        arguments = {self.thing.id_name: thing_id} | self.arguments | (more or {})
        return Expected(self.task, arguments, **expected)


REDEPLOYED = ACTION_RESULT | {
    "action_id": "the action",
    "action_name": "redeploy_app",
    "app_name": "web",
    "release_name": "v2",
    "previous_release_name": "v1.0.0",  # what the sandbox's apps run
}
REDEPLOY = {"release_name": "v2"}
BACK = {"redeploy_task_id": "redeploy"}
ACTORS: dict[str, Actor] = {
    "app_action": Actor(
        DaoCloudAppActionOperator,
        APP,
        {"action": "restart"},
        ACTION_RESULT | {"action_id": "the action", "app_name": "web"},
    ),
    "redeploy": Actor(DaoCloudRedeployOperator, APP, REDEPLOY, REDEPLOYED),
    "verified_redeploy": Actor(
        DaoCloudRedeployOperator, APP, REDEPLOY | {"verify": True}, REDEPLOYED
    ),
    "redeploy_with_rollback": Actor(
        DaoCloudRedeployOperator, APP, REDEPLOY | {"rollback_on_failure": True}, REDEPLOYED
    ),
    "rollback": Actor(DaoCloudRollbackOperator, APP, BACK, REDEPLOYED),
    "verified_rollback": Actor(DaoCloudRollbackOperator, APP, BACK | {"verify": True}, REDEPLOYED),
    "rollback_with_rollback": Actor(
        DaoCloudRollbackOperator, APP, BACK | {"rollback_on_failure": True}, REDEPLOYED
    ),
    "stack_action": Actor(
        DaoCloudStackActionOperator,
        STACK,
        {"action": "restart"},
        STACK_RESULT | {"action_id": "the action", "stack_name": "front"},
    ),
    "build": Actor(
        DaoCloudTriggerBuildOperator,
        BUILD_FLOW,
        {"branch": "release/1"},
        {
            "build_id": "the action",
            "build_flow_name": "web",
            "status": "Success",
            "tag": "the tag",
            "ref": "release/1",
            "sha": "the commit",
            "author": "sandbox",
            "ref_is_tag": False,
            "ref_is_branch": True,
            "created_at": "a date",
        },
    ),
}


def succeeds(sandbox: Sandbox, actor: Actor) -> Expected:
    thing_id = actor.add(sandbox)
    actor.plan(sandbox, polls=3)
    return actor.ends(thing_id, result=actor.result | {actor.thing.id_name: thing_id})


def is_done_at_once(sandbox: Sandbox, actor: Actor) -> Expected:
    thing_id = actor.add(sandbox)
    actor.plan(sandbox, seconds=0.0)
    return actor.ends(thing_id, result=actor.result | {actor.thing.id_name: thing_id})


def can_be_read_late(sandbox: Sandbox, actor: Actor) -> Expected:
    sandbox.set_options(action_lag=0.1)
    return succeeds(sandbox, actor)


OUT_OF_MEMORY = "failed: out of memory"


def fails(sandbox: Sandbox, actor: Actor) -> Expected:
    thing_id = actor.add(sandbox)
    actor.plan(sandbox, fails=True, polls=2)
    if actor.thing is BUILD_FLOW:
        facts = "branch release/the action, commit the short commit, author sandbox"
        message = actor.thing.sentence(thing_id, f"failed: it is Failure ({facts})")
        return actor.ends(thing_id, kind="DaoCloudBuildFailedError", message=message)
    failure = actor.thing.sentence(thing_id, OUT_OF_MEMORY)
    if "rollback_on_failure" not in actor.arguments:
        return actor.ends(thing_id, kind="DaoCloudActionFailedError", message=failure)
    actor.plan(sandbox, polls=2)
    return actor.ends(
        thing_id,
        kind="DaoCloudRolledBackError",
        message=f"Release v2 failed: {failure} Rolled back: v1.0.0 runs again (action the action).",
    )


def fails_and_tells_the_token(sandbox: Sandbox, actor: Actor) -> Expected:
    thing_id = actor.add(sandbox)
    said = f"docker login -p {sandbox.token} failed"
    sandbox.world.plan(ActionPlan(polls=2, state="FAILED", message=said))
    rest = "failed: docker login -p *** failed"
    failure = actor.thing.sentence(thing_id, rest)
    if "rollback_on_failure" not in actor.arguments:
        return actor.ends(thing_id, kind="DaoCloudActionFailedError", message=failure)
    actor.plan(sandbox, polls=2)
    return actor.ends(
        thing_id,
        kind="DaoCloudRolledBackError",
        message=f"Release v2 failed: {failure} Rolled back: v1.0.0 runs again (action the action).",
    )


def takes_too_long(sandbox: Sandbox, actor: Actor) -> Expected:
    thing_id = actor.add(sandbox)
    actor.plan(sandbox, by_hand=True)
    rest = up(actor.thing.wanted, f"it is {actor.thing.ongoing}")
    return actor.ends(
        thing_id,
        {"timeout": 2.5},
        kind="DaoCloudWaitTimeoutError",
        message=actor.thing.sentence(thing_id, rest),
    )


def outlasts_execution_timeout(sandbox: Sandbox, actor: Actor) -> Expected:
    thing_id = actor.add(sandbox)
    actor.plan(sandbox, by_hand=True)
    rest = up(actor.thing.wanted, f"it is {actor.thing.ongoing}", "N")
    return actor.ends(
        thing_id,
        # Its last tenth is Airflow's, which must not come first on a busy machine.
        {"execution_timeout": timedelta(seconds=1.5)},
        kind="AirflowTaskTimeout",
        message=actor.thing.sentence(thing_id, rest),
    )


def is_lost_sight_of(sandbox: Sandbox, actor: Actor) -> Expected:
    thing_id = actor.add(sandbox)
    actor.plan(sandbox, by_hand=True)
    sandbox.fault("status", call=actor.thing.observe, status=503, times=None, skip=1)
    part = "builds" if actor.thing is BUILD_FLOW else "actions"
    return actor.ends(
        thing_id,
        {"max_outage": 0.2},
        kind="OutageError",
        message=f"{actor.thing.part.capitalize()} the action of {actor.thing.noun} "
        f"{actor.thing.name} could not be read for N s (max_outage 0.2 s). Last error: {OFFLINE}"
        f"(error_id server_error; GET {actor.thing.path.format(thing_id)}/{part}/the action) "
        f"({actor.thing.part} the action of {actor.thing.noun} {thing_id})",
    )


def is_of_nothing(sandbox: Sandbox, actor: Actor) -> Expected:
    path = actor.thing.path.format("nobody")
    return actor.ends(
        "nobody",
        kind="AirflowFailException",
        message=f"{NOT_FOUND} For a name, use {actor.thing.id_name.removesuffix('_id')}_name."
        + said(sandbox, path),
    )


def has_a_wrong_token(sandbox: Sandbox, actor: Actor) -> Expected:
    thing_id = actor.add(sandbox)
    sandbox.world.revoke("main")
    path = actor.thing.path.format(thing_id)
    return actor.ends(
        thing_id,
        kind="AirflowFailException",
        message=WRONG_TOKEN + said(sandbox, path),
    )


def has_an_empty_id(_sandbox: Sandbox, actor: Actor) -> Expected:
    return actor.ends(
        "", kind="AirflowFailException", message=EMPTY.replace("app_id", actor.thing.id_name)
    )


def release_is_not_verified(sandbox: Sandbox, actor: Actor) -> Expected:
    app_id = actor.add(sandbox)
    actor.plan(sandbox, polls=2, leaves="NOT_RUNNING")
    return actor.ends(
        app_id, {"verify_timeout": 2.5}, kind="DaoCloudAppStateError", message=not_verified(app_id)
    )


def not_verified(app_id: str) -> str:
    rest = up("RUNNING with release v2", "it is NOT_RUNNING with release v2")
    return f"The action succeeded, but app web {rest} (app {app_id})."


def release_is_not_verified_and_rolled_back(sandbox: Sandbox, actor: Actor) -> Expected:
    app_id = actor.add(sandbox)
    actor.plan(sandbox, polls=2, leaves="NOT_RUNNING")
    actor.plan(sandbox, polls=2)
    return actor.ends(
        app_id,
        {"verify": True, "verify_timeout": 2.5},
        kind="DaoCloudRolledBackError",
        message=f"Release v2 failed: {not_verified(app_id)} "
        "Rolled back: v1.0.0 runs again (action the action).",
    )


def rolling_back_fails(sandbox: Sandbox, actor: Actor) -> Expected:
    app_id = actor.add(sandbox)
    for _ in range(2):
        actor.plan(sandbox, fails=True, polls=2)
    failure = actor.thing.sentence(app_id, OUT_OF_MEMORY)
    return actor.ends(
        app_id,
        kind="DaoCloudRolledBackError",
        message=f"Release v2 failed: {failure} Rolling back to v1.0.0 failed too: {failure}",
    )


def rolling_back_takes_too_long(sandbox: Sandbox, actor: Actor) -> Expected:
    app_id = actor.add(sandbox)
    actor.plan(sandbox, fails=True, seconds=0.0)
    actor.plan(sandbox, by_hand=True)
    late = actor.thing.sentence(app_id, up("SUCCESS", "it is IN_PROCESS"))
    return actor.ends(
        app_id,
        {"timeout": 2.5},
        kind="DaoCloudWaitTimeoutError",
        message=f"Release v2 failed: {actor.thing.sentence(app_id, OUT_OF_MEMORY)} "
        f"While rolling back: {late}",
    )


def rolling_back_is_refused(sandbox: Sandbox, actor: Actor) -> Expected:
    app_id = actor.add(sandbox)
    actor.plan(sandbox, fails=True, polls=2)
    sandbox.fault("status", call="redeploy_app", status=400, times=None, skip=1)
    return actor.ends(
        app_id,
        kind="AirflowFailException",
        message=f"Release v2 failed: {actor.thing.sentence(app_id, OUT_OF_MEMORY)} "
        "While rolling back: DaoCloud refuses the call (HTTP 400). DaoCloud says: the service is "
        f"temporarily offline (error_id server_error; POST /apps/{app_id}/actions/redeploy)",
    )


def goes_to_none(sandbox: Sandbox, actor: Actor) -> Expected:
    return actor.ends(
        actor.add(sandbox),
        {"release_name": "None"},
        kind="AirflowFailException",
        message="release_name: a template rendered to None. "
        "Does the task that it pulls from return a value?",
    )


def joins_a_build(sandbox: Sandbox, actor: Actor) -> Expected:
    flow = web_flow(sandbox)
    sandbox.world.start_build(flow.id, BuildPlan(polls=4))
    nothing = dict.fromkeys(actor.result)
    return actor.ends(
        flow.id,
        {"reuse_running_build": True},
        result=nothing
        | {
            "build_flow_id": flow.id,
            "build_flow_name": "web",
            "status": "Success",
            "package_id": "a new package",
            "existing_run": True,
        },
    )


def cannot_be_asked_for(sandbox: Sandbox, actor: Actor) -> Expected:
    """An older installation."""
    flow = web_flow(sandbox)
    sandbox.set_options(later_calls=False)
    return actor.ends(
        flow.id,
        kind="AirflowFailException",
        message=f"{NOT_FOUND} The build flow itself was found, so this installation is older than "
        "the call that starts a build. Start the build by a push, and wait for it with a "
        "DaoCloudBuildFlowSensor and its previous_package_id. DaoCloud says: there is nothing here "
        f"(error_id not_found; POST /build-flows/{flow.id}/builds)",
    )


def of(name: str, case: Callable[[Sandbox, Actor], Expected]) -> Scenario:
    """Return the scenario that one case is for one operator."""

    def scenario(sandbox: Sandbox) -> Expected:
        return case(sandbox, ACTORS[name])

    scenario.__name__ = f"{name}_{case.__name__}"
    return scenario


ALL_DO = [
    succeeds,
    is_done_at_once,
    can_be_read_late,
    fails,
    takes_too_long,
    is_lost_sight_of,
    is_of_nothing,
    has_a_wrong_token,
    has_an_empty_id,
]

# What only some do.
SOME_DO: list[tuple[Callable[[Sandbox, Actor], Expected], tuple[str, ...]]] = [
    (fails_and_tells_the_token, ("app_action", "redeploy_with_rollback", "stack_action")),
    (goes_to_none, ("redeploy",)),
    (outlasts_execution_timeout, ("app_action", "build")),
    (release_is_not_verified, ("verified_redeploy", "verified_rollback")),
    *(
        (case, ("redeploy_with_rollback", "rollback_with_rollback"))
        for case in (
            release_is_not_verified_and_rolled_back,
            rolling_back_fails,
            rolling_back_takes_too_long,
            rolling_back_is_refused,
        )
    ),
    (joins_a_build, ("build",)),
    (cannot_be_asked_for, ("build",)),
]

OPERATOR: list[Scenario] = [
    *(of(name, case) for name in ACTORS for case in ALL_DO),
    *(of(name, case) for case, names in SOME_DO for name in names),
]


# --- the suite ------------------------------------------------------------------------------------

# What a mode cannot do, and does instead: by scenario and mode.
DIFFERENCES: dict[tuple[str, str], tuple[str, str]] = {
    # Airflow applies it to each process of its own, not to the sum of them: with the pokes of a
    # rescheduled sensor it has nothing to do, and only `timeout` ends the wait.
    ("execution_timeout_is_shorter", "reschedule"): ("AirflowSensorTimeout", "IN_PROCESS"),
}
if not HAS_STORE:
    # Each poke is a process that remembers nothing of the ones before it.
    DIFFERENCES |= {
        ("outage_is_too_long", "reschedule"): ("AirflowSensorTimeout", "HTTP 503"),
        **{
            (f"new_build_fails_{when}", "reschedule"): (
                "AirflowSensorTimeout",
                "the latest is still package",
            )
            for when in ("after_old_success", "after_old_failure", "between_two_looks")
        },
    }


@dataclass
class Resolved:
    """How a task was to end, and how it ended.

    :param names: what differs from run to run, and what it is.
    :param token: what is in no text of it.
    """

    expected: Expected
    ending: Ending
    names: dict[str, str]
    token: str


@pytest.fixture(scope="module")
def sensor_modes() -> Iterator[Modes]:
    with Modes(SENSOR_MODES) as modes:
        yield modes


@pytest.fixture(scope="module")
def operator_modes() -> Iterator[Modes]:
    with Modes(OPERATOR_MODES) as modes:
        yield modes


def run(modes: Modes, mode: str, scenario: Scenario, **changes: Any) -> Resolved:
    """Run a scenario in all modes, unless that is done; return how it ended in one of them."""
    interval = "poke_interval" if modes.modes is SENSOR_MODES else "poll_interval"

    def job(sandbox: Sandbox, how: dict[str, Any]) -> Resolved:
        expected = scenario(sandbox)
        arguments = {interval: 0.05, "timeout": 10.0} | how | changes | expected.arguments

        def make() -> Any:
            task = expected.task(task_id="task", **arguments)
            logs.append(log_of(task))
            return task

        logs: list[Lines] = []
        run = Run(make)
        # What a rollback finds the release by.
        run.ti.others["redeploy", "previous_release_name"] = "v2"
        ending = run.to_the_end()
        ending.told += [line for log in logs for _, line in log.lines]
        names = dict.fromkeys(sandbox.world.actions, "the action")
        if expected.task is DaoCloudTriggerBuildOperator:
            for flow in sandbox.world.build_flows.values():
                for build in flow.builds.values():
                    names |= {build.tag: "the tag", build.sha: "the commit"}
                    names[str(build.id)] = "the action"
        return Resolved(expected, ending, names, sandbox.token)

    # Airflow's own time-out works in the main thread alone.
    together = "execution_timeout" not in scenario.__name__
    key = (scenario, *changes)
    return modes.run(key, job, together=together)[mode].result()


def check(done: Resolved, different: tuple[str, str] | None = None) -> None:
    """Check that a task ended as it should, or as the known difference says."""
    expected, ending, names = done.expected, done.ending, done.names
    message = "" if ending.error is None else str(ending.error)
    assert done.token not in "\n".join([repr(ending.error), repr(ending.xcoms), *ending.told])
    message = re.sub(r"could not be read for [0-9.]+ s", "could not be read for N s", message)
    if "execution_timeout" in expected.arguments:
        message = re.sub(r"within [0-9.]+ s", "within N s", message)
    is_write = issubclass(expected.task, DaoCloudBaseOperator)
    if is_write:
        for value, name in names.items():
            message = re.sub(rf"\b{re.escape(value)}\b", name, message)
            if len(value) > 12:
                message = message.replace(f"{value[:8]}…", name)
                message = message.replace(value[:12], "the short commit")
    if different is not None:
        kind, words = different
        assert (ending.kind, words in message) == (kind, True), message
        return
    assert (ending.kind, message) == (expected.kind, expected.message)
    xcoms: dict[str, Any] = {}
    if expected.kind == "success":
        xcoms["return_value"] = expected.result
        check_result(expected.task, ending.xcoms["return_value"])
    if is_write and names and "reuse_running_build" not in expected.arguments:
        xcoms[expected.task.id_key] = "the action"  # type: ignore[attr-defined]
        if issubclass(expected.task, DaoCloudRedeployOperator):
            xcoms["previous_release_name"] = "v1.0.0"  # what the sandbox's apps run
    # Links have tests of their own: a trigger that starts a task pushes them, not a worker.
    pushed = {key: value for key, value in ending.xcoms.items() if not key.endswith("_link")}
    assert named(pushed, names) == named(xcoms, names)


def named(xcoms: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Return XComs with what differs from run to run replaced by what it is."""

    def name(key: str, value: Any) -> Any:
        if isinstance(value, str) and value in names:
            return names[value]
        if key.endswith(("_date", "_at")) and isinstance(value, str):
            return "a date"
        if key == "package_id" and value != "old":
            return "a new package"
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return "a number" if number else value

    return {
        key: {k: name(k, v) for k, v in value.items()}
        if isinstance(value, dict)
        else name(key, value)
        for key, value in xcoms.items()
    }


def by(function: Callable[..., Any]) -> str:
    return function.__name__


@pytest.mark.parametrize("mode", SENSOR_MODES)
@pytest.mark.parametrize("scenario", SENSOR, ids=by)
def test_a_sensor_ends_the_same_in_every_mode(
    sensor_modes: Modes, scenario: Scenario, mode: str
) -> None:
    check(run(sensor_modes, mode, scenario), DIFFERENCES.get((scenario.__name__, mode)))


@pytest.mark.parametrize("mode", OPERATOR_MODES)
@pytest.mark.parametrize("scenario", OPERATOR, ids=by)
def test_an_operator_ends_the_same_in_every_mode(
    operator_modes: Modes, scenario: Scenario, mode: str
) -> None:
    check(run(operator_modes, mode, scenario))


# One of each kind of end. An outage is no failure, so soft_fail does not hide it.
SOFT = [
    action_fails,
    action_is_unknown,
    token_is_wrong,
    time_is_up,
    execution_timeout_is_shorter,
    outage_is_too_long,
    app_id_is_empty,
    build_ends_as("Cancelled"),
    build_has_succeeded,
    app_keeps_its_release,
    this_build_ends_as("Error"),
]


@pytest.mark.parametrize("mode", SENSOR_MODES)
@pytest.mark.parametrize("flag", ["soft_fail", "never_fail"])
@pytest.mark.parametrize("scenario", SOFT, ids=by)
def test_soft_fail_and_never_fail_skip_with_the_same_words_in_every_mode(
    sensor_modes: Modes, scenario: Scenario, flag: str, mode: str
) -> None:
    done = run(sensor_modes, mode, scenario, **{flag: True})
    different = DIFFERENCES.get((scenario.__name__, mode))
    expected = done.expected
    if expected.kind != "success" and not (expected.kind == "OutageError" and flag == "soft_fail"):
        expected = replace(expected, kind="AirflowSkipException")
    if different is not None:
        different = ("AirflowSkipException", different[1])
    check(replace(done, expected=expected), different)


@pytest.mark.parametrize("mode", SENSOR_MODES)
def test_who_ends_the_task(sensor_modes: Modes, mode: str) -> None:
    """A success that comes while the triggerer waits costs as many workers as the mode says."""
    ending = run(sensor_modes, mode, action_succeeds).ending
    workers = {
        "poke": 1,
        "deferred": 2,
        "ended from the trigger": 1 if ENDS_FROM_TRIGGER else 2,
        "started from the trigger": 1 if ENDS_FROM_TRIGGER else 2,
    }
    if mode == "reschedule":
        assert ending.workers > 1
    else:
        assert ending.workers == workers[mode]
