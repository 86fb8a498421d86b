"""The hook: each method on a mock and against the sandbox, and what the Test button says."""

from __future__ import annotations

import json
import logging
from time import time as now
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_daocloud.api import errors
from airflow_provider_daocloud.api.client import DaoCloudClient
from airflow_provider_daocloud.api.openapi.actions import Action, ActionState
from airflow_provider_daocloud.api.openapi.apps import App, AppState, list_apps
from airflow_provider_daocloud.api.openapi.builds import Build, BuildFlow, BuildStatus
from airflow_provider_daocloud.api.openapi.stacks import Stack
from airflow_provider_daocloud.hooks.connection import endpoint_of
from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook
from airflow_provider_daocloud.sandbox import ActionPlan, BuildPlan, Sandbox
from tests.support.fakes import FakeTime, assert_no_token
from tests.support.samples import (
    ACCEPTED,
    ACTION,
    ACTION_ID,
    APP,
    APP_ID,
    APPS,
    BUILD,
    BUILD_ID,
    FLOW,
    FLOW_ID,
    FLOWS,
    LISTED_APP,
    STACK,
    STACK_ACTION,
    STACK_ID,
    STACKS,
    TOKEN,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests_mock import Mocker

URL = "https://openapi.daocloud.io/v1"

# Every method that stands for one call: how to call it, what is sent, and what comes of the answer.
METHODS: dict[str, tuple[tuple[Any, ...], str, str, dict[str, Any], Any]] = {
    "list_build_flows": ((), "GET", "/build-flows", FLOWS, (BuildFlow.parse(FLOW),)),
    "get_build_flow": ((FLOW_ID,), "GET", f"/build-flows/{FLOW_ID}", FLOW, BuildFlow.parse(FLOW)),
    "list_apps": ((), "GET", "/apps", APPS, (App.parse(LISTED_APP),)),
    "get_app": ((APP_ID,), "GET", f"/apps/{APP_ID}", APP, App.parse(APP)),
    **{
        f"{action}_app": (
            (APP_ID,),
            "POST",
            f"/apps/{APP_ID}/actions/{action}",
            ACCEPTED,
            ACCEPTED["action_id"],
        )
        for action in ("start", "stop", "restart")
    },
    "redeploy_app": (
        (APP_ID, "v2"),
        "POST",
        f"/apps/{APP_ID}/actions/redeploy",
        ACCEPTED,
        ACCEPTED["action_id"],
    ),
    "get_action": (
        (APP_ID, ACTION_ID),
        "GET",
        f"/apps/{APP_ID}/actions/{ACTION_ID}",
        ACTION,
        Action.parse(ACTION),
    ),
    "start_build": (
        (FLOW_ID, "develop"),
        "POST",
        f"/build-flows/{FLOW_ID}/builds",
        BUILD,
        Build.parse(BUILD),
    ),
    "get_build": (
        (FLOW_ID, BUILD_ID),
        "GET",
        f"/build-flows/{FLOW_ID}/builds/{BUILD_ID}",
        BUILD,
        Build.parse(BUILD),
    ),
    "list_stacks": ((), "GET", "/stacks", STACKS, (Stack.parse(STACK),)),
    "get_stack": ((STACK_ID,), "GET", f"/stacks/{STACK_ID}", STACK, Stack.parse(STACK)),
    **{
        f"{action}_stack": (
            (STACK_ID,),
            "POST",
            f"/stacks/{STACK_ID}/actions/{action}",
            ACCEPTED,
            ACCEPTED["action_id"],
        )
        for action in ("start", "stop", "restart")
    },
    "get_stack_action": (
        (STACK_ID, ACTION_ID),
        "GET",
        f"/stacks/{STACK_ID}/actions/{ACTION_ID}",
        STACK_ACTION,
        Action.parse(STACK_ACTION),
    ),
}
BODIES = {"redeploy_app": {"release_name": "v2"}, "start_build": {"branch": "develop"}}
BAD_IDS: list[Any] = [
    *("../x", "", " ", "a/b", "{{ x }}", "None", "a\nb", "\x00"),
    *(None, 5.5),
]


@pytest.fixture(autouse=True)
def default_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to the public service, which only a mock stands in for."""
    monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_DEFAULT", f"daocloud://:{TOKEN}@")


@pytest.fixture
def hook() -> DaoCloudHook:
    return DaoCloudHook()


# --- the methods ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_method(name: str, hook: DaoCloudHook, requests_mock: Mocker) -> None:
    """Each method sends its one call with the connection's token, and returns what it promises."""
    arguments, method, path, response, made = METHODS[name]
    requests_mock.register_uri(method, URL + path, json=response)
    assert getattr(hook, name)(*arguments) == made
    (sent,) = requests_mock.request_history
    assert (sent.method, sent.url) == (method, URL + path)
    assert sent.headers["Authorization"] == f"token {TOKEN}"
    assert (sent.json() if sent.body else None) == BODIES.get(name)


@pytest.mark.parametrize("bad", BAD_IDS, ids=repr)
@pytest.mark.parametrize(
    ("parameter", "ask"),
    [
        ("build_flow_id", lambda hook, bad: hook.get_build_flow(bad)),
        ("app_id", lambda hook, bad: hook.get_app(bad)),
        ("app_id", lambda hook, bad: hook.start_app(bad)),
        ("app_id", lambda hook, bad: hook.stop_app(bad)),
        ("app_id", lambda hook, bad: hook.restart_app(bad)),
        ("app_id", lambda hook, bad: hook.redeploy_app(bad, "v1")),
        ("app_id", lambda hook, bad: hook.get_action(bad, ACTION_ID)),
        ("action_id", lambda hook, bad: hook.get_action(APP_ID, bad)),
        ("app_id", lambda hook, bad: hook.wait_for_action(bad, ACTION_ID)),
        ("action_id", lambda hook, bad: hook.wait_for_action(APP_ID, bad)),
        ("build_flow_id", lambda hook, bad: hook.start_build(bad, "master")),
        ("build_flow_id", lambda hook, bad: hook.get_build(bad, BUILD_ID)),
        ("build_id", lambda hook, bad: hook.get_build(FLOW_ID, bad)),
        ("stack_id", lambda hook, bad: hook.get_stack(bad)),
        ("stack_id", lambda hook, bad: hook.start_stack(bad)),
        ("stack_id", lambda hook, bad: hook.stop_stack(bad)),
        ("stack_id", lambda hook, bad: hook.restart_stack(bad)),
        ("stack_id", lambda hook, bad: hook.get_stack_action(bad, ACTION_ID)),
        ("action_id", lambda hook, bad: hook.get_stack_action(STACK_ID, bad)),
    ],
)
def test_bad_ids_are_not_sent(
    parameter: str,
    ask: Callable[[DaoCloudHook, Any], object],
    bad: Any,
    hook: DaoCloudHook,
    requests_mock: Mocker,
) -> None:
    """A bad id is an error that names the parameter, and nothing is sent."""
    with pytest.raises(errors.InputError, match=rf"^{parameter}: "):
        ask(hook, bad)
    assert requests_mock.call_count == 0


@pytest.mark.parametrize("bad", [bad for bad in BAD_IDS if bad not in ("../x", "a/b")], ids=repr)
def test_bad_release_names_are_not_sent(
    bad: Any, hook: DaoCloudHook, requests_mock: Mocker
) -> None:
    """A release or a branch name that names nothing is refused likewise."""
    with pytest.raises(errors.InputError, match=r"^release_name: "):
        hook.redeploy_app(APP_ID, bad)
    with pytest.raises(errors.InputError, match=r"^branch: "):
        hook.start_build(FLOW_ID, bad)
    assert requests_mock.call_count == 0


def test_errors_are_the_packages_own(hook: DaoCloudHook, requests_mock: Mocker) -> None:
    """Methods raise the errors of the API, with DaoCloud's words and without the token."""
    requests_mock.get(
        f"{URL}/apps/{APP_ID}",
        status_code=404,
        json={"error_id": "app_not_found", "message": f"no app for {TOKEN}"},
    )
    with pytest.raises(errors.NotFoundError, match="no app for") as caught:
        hook.get_app(APP_ID)
    assert caught.value.error_id == "app_not_found"
    assert_no_token(caught.value)


def test_other_connection(monkeypatch: pytest.MonkeyPatch, requests_mock: Mocker) -> None:
    """A hook talks to the place and with the token of the connection that it was given."""
    other = {"conn_type": "daocloud", "host": "dc.example/open/v1", "password": "other-token"}
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps(other))
    requests_mock.get("https://dc.example/open/v1/apps", json={"app": None})
    assert DaoCloudHook("other").list_apps() == ()
    assert DaoCloudHook(daocloud_conn_id="other").list_apps() == ()
    for sent in requests_mock.request_history:
        assert sent.headers["Authorization"] == "token other-token"


def test_get_conn(hook: DaoCloudHook, requests_mock: Mocker) -> None:
    """The client is made once, for the connection, and nothing is sent for it."""
    client = hook.get_conn()
    assert isinstance(client, DaoCloudClient)
    assert client is hook.get_conn()
    assert client.endpoint == endpoint_of(DaoCloudHook.get_connection("daocloud_default"))
    hook.close()
    assert hook.get_conn() is client
    assert requests_mock.call_count == 0


def test_a_hook_does_nothing_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """To make a hook looks up nothing: a DAG file may do it while it is parsed."""
    monkeypatch.delenv("AIRFLOW_CONN_DAOCLOUD_DEFAULT")
    hook = DaoCloudHook("no_such_connection")
    hook.close()
    with pytest.raises(AirflowException, match="no_such_connection"):
        hook.get_conn()


def test_bad_connection(monkeypatch: pytest.MonkeyPatch, requests_mock: Mocker) -> None:
    """A bad field is named when the hook is used, and nothing is sent."""
    monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_DEFAULT", f"daocloud://:{TOKEN}@h/?timeout=5")
    with pytest.raises(
        errors.InputError, match=r"connection 'daocloud_default', field 'extra\.timeout'"
    ):
        DaoCloudHook().list_apps()
    assert requests_mock.call_count == 0


@pytest.mark.parametrize("error", [TypeError(TOKEN), OSError(TOKEN), KeyError(TOKEN)])
def test_look_up_that_fails(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a secrets backend raises, the Test button has words for it, without its text."""

    def get_connection(_hook: DaoCloudHook, conn_id: str) -> None:
        raise error

    monkeypatch.setattr(DaoCloudHook, "get_connection", get_connection)
    works, words = DaoCloudHook().test_connection()
    name = type(error).__name__
    assert (works, words) == (
        False,
        f"Connection 'daocloud_default' cannot be looked up ({name}).",
    )


def test_any_call_can_be_sent(hook: DaoCloudHook, requests_mock: Mocker) -> None:
    """A request that was built by hand is sent as well, with a retry timeout of its own."""
    requests_mock.get(f"{URL}/apps", status_code=503)
    with pytest.raises(errors.ServerFaultError):
        hook.send(list_apps(), retry_timeout=0)
    with pytest.raises(errors.ServerFaultError):
        hook.observe(list_apps())
    assert requests_mock.call_count == 2


def test_no_log_line_has_the_token(
    hook: DaoCloudHook, requests_mock: Mocker, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even at the level of debugging, where urllib3 is talkative, is the token logged."""
    caplog.set_level(logging.DEBUG)
    requests_mock.get(f"{URL}/apps", json=APPS)
    requests_mock.get(f"{URL}/apps/{APP_ID}", status_code=401, text=TOKEN)
    hook.list_apps()
    with pytest.raises(errors.AuthenticationError):
        hook.get_app(APP_ID)
    assert TOKEN not in caplog.text


# --- the Test button -----------------------------------------------------------------------------


def test_connection_works(hook: DaoCloudHook, requests_mock: Mocker) -> None:
    """A good connection says what the token sees, and how many calls are left."""
    headers = {"X-RateLimit-Remaining": "4998"}
    requests_mock.get(f"{URL}/apps", json=APPS, headers=headers)
    requests_mock.get(f"{URL}/build-flows", json={"build_flows": [FLOW, FLOW]}, headers=headers)
    assert hook.test_connection() == (
        True,
        f"Connected to {URL}. The access token sees 1 app and 2 build flows. "
        "Calls left in this hour: 4998.",
    )


def test_connection_works_without_a_limit(hook: DaoCloudHook, requests_mock: Mocker) -> None:
    """An installation that tells of no limit works as well."""
    requests_mock.get(f"{URL}/apps", json={"app": []})
    requests_mock.get(f"{URL}/build-flows", json={"build_flows": []})
    said = f"Connected to {URL}. The access token sees 0 apps and 0 build flows."
    assert hook.test_connection() == (True, said)


@pytest.mark.parametrize(
    ("response", "said"),
    [
        ({"status_code": 401}, f"{URL} refuses the access token. Is it current, whole"),
        ({"status_code": 401, "json": {"message": f"bad {TOKEN}"}}, "bad ***"),
        ({"status_code": 403}, f"{URL} refuses the account of the access token."),
        ({"status_code": 403}, "DaoCloud refuses the call (HTTP 403)"),
        ({"status_code": 404, "text": "<h1>nginx</h1>"}, f"No DaoCloud API answers at {URL}. Are"),
        ({"status_code": 503, "headers": {"Retry-After": "600"}}, f"{URL} cannot be used now."),
        ({"status_code": 302, "headers": {"Location": "https://login.example/"}}, "login.example"),
        ({"text": "<html>Welcome</html>"}, f"No DaoCloud API answers at {URL}. Are base URL and"),
        ({"text": "<html>Welcome</html>"}, "a web page came instead of JSON (HTTP 200): '<html>We"),
        ({"json": {"apps": 5}}, "no list 'app'"),
        (
            {"status_code": 429, "headers": {"Retry-After": "600"}},
            "try again in 10 min.",
        ),
        *(({"text": "x" * n + TOKEN + "<p>"}, "no JSON") for n in (0, 60, 100, 150, 190)),
        *(({"status_code": 401, "text": "x" * n + TOKEN}, "wrong or ex") for n in (90, 190, 290)),
    ],
)
def test_connection_does_not_work(
    response: dict[str, Any],
    said: str,
    hook: DaoCloudHook,
    requests_mock: Mocker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A bad connection says what is wrong, soon and without the token: Airflow masks nothing."""
    time = FakeTime()
    time.now = now()  # what says "try again in 10 min" asks the machine's clock
    endpoint = hook.get_conn().endpoint
    client = DaoCloudClient(endpoint, clock=time.clock, sleep=time.sleep)
    monkeypatch.setattr(hook, "get_conn", lambda: client)
    requests_mock.get(f"{URL}/apps", **response)
    works, message = hook.test_connection()
    assert not works
    assert said in message
    assert TOKEN[:8] not in message  # nor a part of it, where an answer was cut short
    # The server's own faults would be tried again, but for its Retry-After here.
    assert (requests_mock.call_count, time.slept) == (1, [])


def test_connection_to_nobody(hook: DaoCloudHook, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that does not answer is tried for seconds, not for a minute: a person is waiting."""
    written = f"daocloud://:{TOKEN}@127.0.0.1:9/http"
    monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_DEFAULT", written)
    time = FakeTime()
    endpoint = hook.get_conn().endpoint
    client = DaoCloudClient(endpoint, clock=time.clock, sleep=time.sleep)
    monkeypatch.setattr(hook, "get_conn", lambda: client)
    works, message = hook.test_connection()
    assert not works
    assert "cannot connect to http://127.0.0.1:9/v1" in message
    assert TOKEN not in message
    assert 0 < sum(time.slept) <= 5


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (f"daocloud://:{TOKEN}@h/?port=5", "field 'extra.port'"),
        ("daocloud://h", "field 'password'"),
        (None, "daocloud_default"),
    ],
)
def test_connection_that_cannot_be_used(
    written: str | None, said: str, hook: DaoCloudHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad field and a missing connection are answers too, not exceptions."""
    if written is None:
        monkeypatch.delenv("AIRFLOW_CONN_DAOCLOUD_DEFAULT")
    else:
        monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_DEFAULT", written)
    works, message = hook.test_connection()
    assert not works
    assert said in message
    assert TOKEN not in message


# --- waiting -------------------------------------------------------------------------------------


def test_wait_for_a_finished_action(
    hook: DaoCloudHook, requests_mock: Mocker, caplog: pytest.LogCaptureFixture
) -> None:
    """An action that has succeeded is returned at the first poll, as the typed object."""
    caplog.set_level(logging.INFO)
    requests_mock.get(f"{URL}/apps/{APP_ID}/actions/{ACTION_ID}", json=ACTION)
    assert hook.wait_for_action(APP_ID, ACTION_ID) == Action.parse(ACTION)
    assert requests_mock.call_count == 1


def test_wait_for_a_failed_action(hook: DaoCloudHook, requests_mock: Mocker) -> None:
    """An action that FAILED raises with DaoCloud's own message."""
    failed = ACTION | {"state": "FAILED", "error_info": {"message": "no such image"}}
    requests_mock.get(f"{URL}/apps/{APP_ID}/actions/{ACTION_ID}", json=failed)
    with pytest.raises(errors.ActionFailedError, match="no such image") as caught:
        hook.wait_for_action(APP_ID, ACTION_ID)
    assert caught.value.observed == Action.parse(failed).as_dict()


def test_wait_that_cannot_find_out(hook: DaoCloudHook, requests_mock: Mocker) -> None:
    """With no outage allowed, the first fault ends the wait, as an outage."""
    requests_mock.get(f"{URL}/apps/{APP_ID}/actions/{ACTION_ID}", status_code=503)
    with pytest.raises(errors.OutageError, match=ACTION_ID):
        hook.wait_for_action(APP_ID, ACTION_ID, max_outage=0)
    assert requests_mock.call_count == 1


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        *(("timeout", value) for value in (0, -1, float("nan"), float("inf"), "5", None, True)),
        *(("poll_interval", value) for value in (0, -1, float("nan"), "5", None)),
        *(("max_outage", value) for value in (-1, float("nan"), "5", None)),
    ],
)
def test_wait_with_bad_durations(
    parameter: str, value: Any, hook: DaoCloudHook, requests_mock: Mocker
) -> None:
    """A duration that is none is refused by name, before anything is sent."""
    with pytest.raises(errors.InputError, match=rf"^{parameter}: must be "):
        hook.wait_for_action(APP_ID, ACTION_ID, **{parameter: value})
    assert requests_mock.call_count == 0


# --- against the sandbox -------------------------------------------------------------------------


def test_every_method_against_the_sandbox(daocloud_sandbox: Sandbox) -> None:
    """A whole release by hand: read, stop, start, restart, redeploy, wait; each acts once."""
    hook = DaoCloudHook()
    flow = hook.list_build_flows()[0]
    assert hook.get_build_flow(flow.id) == flow
    app = next(app for app in hook.list_apps() if app.name == "web")
    single = hook.get_app(app.id)
    assert (single.name, single.release_name) == (app.name, app.release_name)
    assert single.config is not None
    assert app.config is None

    daocloud_sandbox.world.plan(ActionPlan(polls=1, times=None))
    for submission, state in (
        (hook.stop_app, AppState.STOPPED),
        (hook.start_app, AppState.RUNNING),
        (hook.restart_app, AppState.RUNNING),
    ):
        action_id = submission(app.id)
        action = hook.wait_for_action(app.id, action_id, poll_interval=0.05)
        assert (action.id, action.app_id, action.state) == (
            action_id,
            app.id,
            ActionState.SUCCESS,
        )
        assert hook.get_action(app.id, action_id) == action
        assert hook.get_app(app.id).state is state
    action_id = hook.redeploy_app(app.id, "v2.0.0")
    assert hook.wait_for_action(app.id, action_id, poll_interval=0.05).action_name == "redeploy_app"
    assert hook.get_app(app.id).release_name == "v2.0.0"
    hook.close()
    acted = {name: n for name, n in daocloud_sandbox.effects.items() if name.endswith("_app")}
    acted.pop("get_app", None)
    assert acted == dict.fromkeys(("stop_app", "start_app", "restart_app", "redeploy_app"), 1)


def test_builds_against_the_sandbox(daocloud_sandbox: Sandbox) -> None:
    """A build is started once, read until its end, and is the flow's latest."""
    hook = DaoCloudHook()
    flow = hook.list_build_flows()[0]
    daocloud_sandbox.world.plan_build(BuildPlan(polls=1, tag="v9"))
    build = hook.start_build(flow.id, "develop")
    assert (build.status, build.ref, build.ref_is_branch) == (BuildStatus.PENDING, "develop", True)
    assert hook.get_build_flow(flow.id).status is BuildStatus.PENDING
    ended = hook.get_build(flow.id, build.id)
    hook.close()
    assert (ended.id, ended.status, ended.tag) == (build.id, BuildStatus.SUCCESS, "v9")
    assert daocloud_sandbox.effects == {"start_build": 1}


def test_stacks_against_the_sandbox(daocloud_sandbox: Sandbox) -> None:
    """A stack is listed, read, stopped, started and restarted, each once."""
    hook = DaoCloudHook()
    (stack,) = hook.list_stacks()
    assert hook.get_stack(stack.id) == stack
    assert stack.stack_ids
    daocloud_sandbox.world.plan(ActionPlan(polls=0, times=None))
    for submission, name in (
        (hook.stop_stack, "stop_stack"),
        (hook.start_stack, "start_stack"),
        (hook.restart_stack, "restart_stack"),
    ):
        action = hook.get_stack_action(stack.id, submission(stack.id))
        assert (action.stack_id, action.action_name) == (stack.id, name)
        assert action.state is ActionState.SUCCESS
    hook.close()
    assert daocloud_sandbox.effects == {"stop_stack": 1, "start_stack": 1, "restart_stack": 1}


def test_an_older_installation_has_no_builds_and_stacks(daocloud_sandbox: Sandbox) -> None:
    """Where the later calls are missing, each of them says *not found*, and nothing is done."""
    daocloud_sandbox.set_options(later_calls=False)
    hook = DaoCloudHook()
    flow = hook.list_build_flows()[0]
    with pytest.raises(errors.NotFoundError):
        hook.start_build(flow.id, "master")
    with pytest.raises(errors.NotFoundError):
        hook.list_stacks()
    hook.close()
    assert daocloud_sandbox.effects == {}


def test_the_sandbox_says_why(daocloud_sandbox: Sandbox) -> None:
    """A failed action, an unknown app and a revoked token are different errors."""
    hook = DaoCloudHook()
    works, message = hook.test_connection()
    assert works, message
    app = hook.list_apps()[0]
    daocloud_sandbox.world.plan(ActionPlan(state="FAILED", message="image not found", polls=1))
    with pytest.raises(errors.ActionFailedError, match="image not found"):
        hook.wait_for_action(app.id, hook.redeploy_app(app.id, "v404"), poll_interval=0.05)
    with pytest.raises(errors.NotFoundError):
        hook.get_app("no-such-app")
    daocloud_sandbox.world.revoke("main")
    works, message = hook.test_connection()
    hook.close()
    assert not works
    assert "refuses the access token" in message
    assert daocloud_sandbox.token not in message


def test_a_slow_action_is_waited_for(daocloud_sandbox: Sandbox) -> None:
    """The wait is pending while the action is IN_PROCESS, over a fault as well."""
    hook = DaoCloudHook()
    app = hook.list_apps()[0]
    daocloud_sandbox.world.plan(ActionPlan(polls=2))
    action_id = hook.restart_app(app.id)
    daocloud_sandbox.fault("html", call="get_action", skip=0)
    action = hook.wait_for_action(app.id, action_id, poll_interval=0.05)
    hook.close()
    assert action.state is ActionState.SUCCESS
    assert daocloud_sandbox.counts["get_action"] == 3
