"""What is sent: method, path, body, and ids that cannot lead astray."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import httpx
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_daocloud.api.client import DaoCloudClient
from airflow_provider_daocloud.api.endpoint import Endpoint
from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.api.openapi.actions import get_action, get_stack_action
from airflow_provider_daocloud.api.openapi.apps import act_on_app, get_app, redeploy_app
from airflow_provider_daocloud.api.openapi.builds import get_build, get_build_flow, start_build
from airflow_provider_daocloud.api.openapi.stacks import act_on_stack, get_stack
from airflow_provider_daocloud.api.request import Request
from tests.support.samples import ACTION_ID, APP_ID, BUILD_ID, CALLS, FLOW_ID, STACK_ID, TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests_mock import Mocker

REQUESTS = {
    "list_build_flows": ("GET", "/build-flows", None),
    "get_build_flow": ("GET", f"/build-flows/{FLOW_ID}", None),
    "list_apps": ("GET", "/apps", None),
    "get_app": ("GET", f"/apps/{APP_ID}", None),
    "start_app": ("POST", f"/apps/{APP_ID}/actions/start", None),
    "stop_app": ("POST", f"/apps/{APP_ID}/actions/stop", None),
    "restart_app": ("POST", f"/apps/{APP_ID}/actions/restart", None),
    "redeploy_app": ("POST", f"/apps/{APP_ID}/actions/redeploy", {"release_name": "v1.0.0"}),
    "get_action": ("GET", f"/apps/{APP_ID}/actions/{ACTION_ID}", None),
    "start_build": ("POST", f"/build-flows/{FLOW_ID}/builds", {"branch": "master"}),
    "get_build": ("GET", f"/build-flows/{FLOW_ID}/builds/{BUILD_ID}", None),
    "list_stacks": ("GET", "/stacks", None),
    "get_stack": ("GET", f"/stacks/{STACK_ID}", None),
    "start_stack": ("POST", f"/stacks/{STACK_ID}/actions/start", None),
    "stop_stack": ("POST", f"/stacks/{STACK_ID}/actions/stop", None),
    "restart_stack": ("POST", f"/stacks/{STACK_ID}/actions/restart", None),
    "get_stack_action": ("GET", f"/stacks/{STACK_ID}/actions/{ACTION_ID}", None),
}

# Each parameter that a user gives, and a call made with it.
PARAMETERS: list[tuple[str, Callable[[Any], Request[Any]]]] = [
    ("build_flow_id", get_build_flow),
    ("app_id", get_app),
    ("app_id", lambda value: act_on_app(value, "start")),
    ("app_id", lambda value: act_on_app(value, "stop")),
    ("app_id", lambda value: act_on_app(value, "restart")),
    ("app_id", lambda value: redeploy_app(value, "v1")),
    ("release_name", lambda value: redeploy_app(APP_ID, value)),
    ("app_id", lambda value: get_action(value, ACTION_ID)),
    ("action_id", lambda value: get_action(APP_ID, value)),
    ("build_flow_id", lambda value: start_build(value, "master")),
    ("branch", lambda value: start_build(FLOW_ID, value)),
    ("build_flow_id", lambda value: get_build(value, BUILD_ID)),
    ("build_id", lambda value: get_build(FLOW_ID, value)),
    ("stack_id", get_stack),
    ("stack_id", lambda value: act_on_stack(value, "stop")),
    ("stack_id", lambda value: get_stack_action(value, ACTION_ID)),
    ("action_id", lambda value: get_stack_action(STACK_ID, value)),
]
IN_THE_BODY = ("release_name", "branch")
NO_NAME: list[object] = [
    *("", " ", "\t\n", "None", "{{ x }}", "{{ ti.xcom_pull('build') }}", "{% if x %}a{% endif %}"),
    *("a b", "a\n", "\x00", "a\x1b[31m", "a\x7fb", "a\x85b", "a\x9fb", "a\u2028b", "\ud800"),
    *(None, True, 1.5, b"abc", [], ["a"], {}, ...),
]
PATHS = ["../x", "..", ".", "a/b", "/", "/apps", "a\\b", "..\\x", "https://elsewhere/"]


def test_every_call_of_the_page_is_here() -> None:
    """The table below covers every call there is."""
    assert REQUESTS.keys() == CALLS.keys()


@pytest.mark.parametrize("name", REQUESTS)
def test_request(name: str) -> None:
    """Each call has the page's method and path, and a body only where the page shows one."""
    api_request, _ = CALLS[name]
    assert (api_request.method, api_request.path, api_request.body) == REQUESTS[name]
    assert str(api_request) == f"{api_request.method} {api_request.path}"
    assert api_request.is_write == (api_request.method == "POST")


@pytest.mark.parametrize("name", REQUESTS)
def test_request_on_the_wire(name: str, requests_mock: Mocker) -> None:
    """The library sends exactly that: the token in its header, JSON where there is a body."""
    api_request, sample = CALLS[name]
    method, path, body = REQUESTS[name]
    url = f"https://openapi.daocloud.io/v1{path}"
    requests_mock.register_uri(method, url, json=sample)
    with DaoCloudClient(Endpoint("https://openapi.daocloud.io/v1", TOKEN)) as client:
        client.send(api_request)
    (sent,) = requests_mock.request_history
    assert (sent.method, sent.url) == (method, url)
    assert sent.headers["Authorization"] == f"token {TOKEN}"
    if body is None:
        assert sent.body is None
        assert "Content-Type" not in sent.headers
    else:
        assert sent.headers["Content-Type"] == "application/json"
        assert json.loads(sent.body) == body


@pytest.mark.parametrize("value", NO_NAME, ids=ascii)
@pytest.mark.parametrize(("field", "build"), PARAMETERS)
def test_what_names_nothing(field: str, build: Any, value: object) -> None:
    """A value that can name nothing is refused before there is a request; the error says which."""
    with pytest.raises(InputError, match=rf"^{field}: ") as caught:
        build(value)
    assert caught.value.field == field


@pytest.mark.parametrize("value", ["{{x}}", "{%x%}", "v{{ds}}"])
def test_templates_that_were_not_rendered(value: str) -> None:
    """A template that arrives as it was written is not taken for an id."""
    for field, build in PARAMETERS:
        with pytest.raises(InputError, match=rf"^{field}: .* a template that was not rendered"):
            build(value)


@pytest.mark.parametrize("value", PATHS)
@pytest.mark.parametrize(
    ("field", "build"), [pair for pair in PARAMETERS if pair[0] not in IN_THE_BODY]
)
def test_ids_are_no_paths(field: str, build: Any, value: str) -> None:
    """An id that would lead to another path is refused."""
    with pytest.raises(InputError, match=rf"^{field}: .*not a path"):
        build(value)


def test_release_names_may_have_slashes() -> None:
    """A release or branch name travels in the body, so one with a slash is fine."""
    api_request: Request[Any] = redeploy_app(APP_ID, "feature/x-1.0_β")
    assert api_request.body == {"release_name": "feature/x-1.0_β"}
    api_request = start_build(FLOW_ID, "feature/x-1.0_β")
    assert api_request.body == {"branch": "feature/x-1.0_β"}


@pytest.mark.parametrize("action", ["redeploy", "delete", "", "START", None, "../start"])
def test_actions_are_three(action: Any) -> None:
    """Only start, stop and restart are actions without a body."""
    for submission in (act_on_app, act_on_stack):
        with pytest.raises(InputError, match=r"^action: must be one of start, stop, restart"):
            submission(APP_ID, action)


@pytest.mark.parametrize(
    ("given_id", "sent"),
    [
        ("a?b", "a%3Fb"),
        ("a#b", "a%23b"),
        ("a%2Fb", "a%252Fb"),
        ("%2e%2e", "%252e%252e"),
        ("a&b=c;d", "a%26b%3Dc%3Bd"),
        ("a:b@c", "a%3Ab%40c"),
        ("应用", "%E5%BA%94%E7%94%A8"),
        ("...", "..."),
    ],
)
def test_ids_are_percent_encoded(given_id: str, sent: str) -> None:
    """What would mean something in a URL is encoded."""
    assert get_app(given_id).path == f"/apps/{sent}"


@given(st.text())
def test_any_id_is_one_segment_or_refused(text: str) -> None:
    """Whatever the id, both HTTP libraries send it as one segment that decodes to the id."""
    try:
        api_request = get_app(text)
    except InputError:
        return
    url = f"https://daocloud.example/v1{api_request.path}"
    for sent in (requests.Request("GET", url).prepare().url, str(httpx.URL(url))):
        assert sent is not None
        parts = urlsplit(sent)
        assert (parts.netloc, parts.query, parts.fragment) == ("daocloud.example", "", "")
        assert [unquote(path_segment) for path_segment in parts.path.split("/")] == [
            "",
            "v1",
            "apps",
            text,
        ]
