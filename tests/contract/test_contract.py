"""Each call of the page answers as the page's samples do."""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from airflow_provider_daocloud.sandbox import Sandbox
from tests.contract.conftest import Client

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00")

# What the page's samples hold: names and kinds of the fields, and nothing else.
BUILD_FLOW = {
    "id": UUID,
    "name": str,
    "repo": str,
    "src_language": str,
    "src_provider": str,
    "status": re.compile("Pending|Started|Success|Failure|Error|Cancelled|Timeout"),
    "src_origin_url": str,
    "package_id": UUID,
    "created_at": DATE,
}
APP_IN_LIST = {
    "package": {"id": UUID, "image": str},
    "state": re.compile("[A-Z_]+"),
    "created_at": DATE,
    "last_operated_at": DATE,
    "release_name": str,
    "app_runtime": {"name": str, "display_name": str},
    "id": UUID,
    "name": str,
    "enable_auto_redeploy": bool,
}
APP = {**APP_IN_LIST, "config": {"instances": int, "expose_port": int, "command": (str, None)}}
STARTED = {"action_id": UUID}
RUNNING_ACTION = {
    "end_date": None,
    "action_name": re.compile("(start|stop|restart|redeploy)_app"),
    "state": re.compile("IN_PROCESS"),
    "app_id": UUID,
    "start_date": DATE,
    "error_info": {"message": None},
    "id": UUID,
    "time_cost_seconds": None,
}
ENDED_ACTION = {
    **RUNNING_ACTION,
    "end_date": DATE,
    "state": re.compile("SUCCESS|FAILED"),
    "time_cost_seconds": int,
}


# Later revisions of the page.
BUILD = {
    "id": int,
    "status": re.compile("Pending|Started|Success|Failure|Error|Cancelled|Timeout"),
    "created_at": DATE,
    "author": str,
    "sha": re.compile("[0-9a-f]{40}"),
    "tag": str,
    "ref": str,
    "ref_is_tag": re.compile("true|false"),
    "ref_is_branch": re.compile("true|false"),
}
STACK = {
    "id": UUID,
    "name": str,
    "created_at": DATE,
    "last_operated_at": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"),
    "stacks": list,
}
RUNNING_STACK_ACTION = {
    **{name: shape for name, shape in RUNNING_ACTION.items() if name != "app_id"},
    "action_name": re.compile("(start|stop|restart)_stack"),
    "state": re.compile("in_process"),
    "stack_id": UUID,
}


def check(value: Any, shape: Any, at: str = "answer") -> None:
    """Hold a value against a shape, field by field."""
    if isinstance(shape, dict):
        assert isinstance(value, dict), at
        assert value.keys() == shape.keys(), at
        for name, inner in shape.items():
            check(value[name], inner, f"{at}.{name}")
    elif isinstance(shape, re.Pattern):
        assert isinstance(value, str), at
        assert shape.fullmatch(value), f"{at}: {value!r}"
    elif isinstance(shape, tuple):
        assert value is None or type(value) in shape, at
    elif shape is None:
        assert value is None, at
    else:
        assert type(value) is shape, at


def test_list_build_flows(client: Client) -> None:
    """The list of build flows is an object with the key ``build_flows``."""
    answer = client.ask("GET", "/v1/build-flows")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json().keys() == {"build_flows"}
    assert len(answer.json()["build_flows"]) == 3
    for flow in answer.json()["build_flows"]:
        check(flow, BUILD_FLOW)


def test_get_build_flow(client: Client, sandbox: Sandbox) -> None:
    """A build flow alone is the same object as in the list."""
    (first, *_) = client.ask("GET", "/v1/build-flows").json()["build_flows"]
    assert client.ask("GET", f"/v1/build-flows/{first['id']}").json() == first


def test_build_flows_of_later_revisions(client: Client, sandbox: Sandbox) -> None:
    """Later revisions dropped ``src_language``, and from the list ``src_origin_url`` too."""
    (before, *_) = client.ask("GET", "/v1/build-flows").json()["build_flows"]
    sandbox.set_options(build_flow_fields="later")
    (listed, *_) = client.ask("GET", "/v1/build-flows").json()["build_flows"]
    alone = client.ask("GET", f"/v1/build-flows/{before['id']}").json()
    assert before.keys() - alone.keys() == {"src_language"}
    assert alone.keys() - listed.keys() == {"src_origin_url"}
    assert before == {"src_language": before["src_language"]} | alone
    assert alone == {"src_origin_url": alone["src_origin_url"]} | listed


def test_list_apps(client: Client) -> None:
    """The list of apps is an object with the key ``app``, in the singular."""
    answer = client.ask("GET", "/v1/apps")
    assert answer.status_code == 200
    assert answer.json().keys() == {"app"}
    for app in answer.json()["app"]:
        check(app, APP_IN_LIST)
    assert [app["name"] for app in answer.json()["app"]] == ["web", "api", "worker", "preview"]


def test_get_app(client: Client) -> None:
    """An app alone is what the list shows of it, and its config."""
    for entry in client.ask("GET", "/v1/apps").json()["app"]:
        app = client.ask("GET", f"/v1/apps/{entry['id']}").json()
        check(app, APP)
        del app["config"]
        assert app == entry


@pytest.mark.parametrize("action", ["start", "stop", "restart"])
def test_post_without_a_body(client: Client, sandbox: Sandbox, action: str) -> None:
    """Start, stop and restart take no body and answer with an action id."""
    answer = client.post("web", action)
    assert answer.status_code == 200
    check(answer.json(), STARTED)
    assert sandbox.effects == {f"{action}_app": 1}


def test_action_from_start_to_end(client: Client, sandbox: Sandbox) -> None:
    """An action is IN_PROCESS with null dates, and then SUCCESS with its end and its cost."""
    action_id = client.redeploy("web", "v2").json()["action_id"]
    running = client.action("web", action_id).json()
    check(running, RUNNING_ACTION)
    assert running["id"] == action_id
    assert running["action_name"] == "redeploy_app"
    sandbox.world.advance(3600)
    ended = client.action("web", action_id).json()
    check(ended, ENDED_ACTION)
    assert (ended["state"], ended["time_cost_seconds"]) == ("SUCCESS", 3600)
    assert client.app("web")["release_name"] == "v2"


def test_failed_action_says_why(client: Client, sandbox: Sandbox) -> None:
    """A FAILED action carries its message in ``error_info``, and the release is the old one."""
    action_id = client.redeploy("web", "v2").json()["action_id"]
    sandbox.world.finish_action(action_id, "FAILED", "image not found")
    action = client.action("web", action_id).json()
    assert (action["state"], action["error_info"]) == ("FAILED", {"message": "image not found"})
    assert client.app("web")["release_name"] == "v1.0.0"


# Later revisions of the page: builds and stacks


def builds_of(sandbox: Sandbox, name: str = "web") -> str:
    return f"/v1/build-flows/{sandbox.world.build_flow(name).id}/builds"


def shop(sandbox: Sandbox) -> str:
    return f"/v1/stacks/{sandbox.world.stack('shop').id}"


def test_build_from_start_to_end(client: Client, sandbox: Sandbox) -> None:
    """A POST answers with the build that it started, which is then read by its number."""
    path = builds_of(sandbox)
    answer = client.ask("POST", path, json={"branch": "feature/x"})
    assert answer.status_code == 200
    started = answer.json()
    check(started, BUILD)
    assert (started["status"], started["ref"]) == ("Pending", "feature/x")
    assert (started["ref_is_tag"], started["ref_is_branch"]) == ("false", "true")
    assert client.ask("GET", f"{path}/{started['id']}").json() == started
    sandbox.world.advance(3600)
    ended = client.ask("GET", f"{path}/{started['id']}").json()
    assert ended == {**started, "status": "Success"}
    assert sandbox.effects == {"start_build": 1}
    assert sandbox.log[0].action_id == str(started["id"])


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"branch": null}', b'{"branch": " "}'])
def test_malformed_build(client: Client, sandbox: Sandbox, body: bytes) -> None:
    """A build whose body names no branch is a 400, and nothing is built."""
    header = {"Content-Type": "application/json"}
    answer = client.ask("POST", builds_of(sandbox), data=body, headers=header)
    assert answer.status_code == 400
    assert client.ask("POST", builds_of(sandbox), data={"branch": "x"}).status_code == 406
    assert sandbox.effects == {}
    assert sandbox.world.build_flow("web").builds == {}


def test_build_of_another_flow_is_not_found(client: Client, sandbox: Sandbox) -> None:
    """A build is read at its own flow only, and a flow's name is no id."""
    build = client.ask("POST", builds_of(sandbox), json={"branch": "master"}).json()["id"]
    assert client.ask("GET", f"{builds_of(sandbox, 'api')}/{build}").status_code == 404
    assert client.ask("GET", f"{builds_of(sandbox)}/{build + 1}").status_code == 404
    by_name = "/v1/build-flows/web/builds"
    assert client.ask("POST", by_name, json={"branch": "master"}).status_code == 404
    assert sandbox.effects == {"start_build": 1}


def test_stacks(client: Client, sandbox: Sandbox) -> None:
    """The list of stacks has the key ``stacks``; a stack alone is the same object."""
    listed = client.ask("GET", "/v1/stacks").json()
    assert listed.keys() == {"stacks"}
    (stack,) = listed["stacks"]
    check(stack, STACK)
    check(stack["stacks"], list)
    for member in stack["stacks"]:
        check(member, {"stack_id": UUID})
    assert client.ask("GET", f"/v1/stacks/{stack['id']}").json() == stack


@pytest.mark.parametrize("action", ["start", "stop", "restart"])
def test_stack_action_from_start_to_end(client: Client, sandbox: Sandbox, action: str) -> None:
    """A stack's action is one with the stack's id, whose state is in lower case."""
    answer = client.ask("POST", f"{shop(sandbox)}/actions/{action}")
    check(answer.json(), STARTED)
    path = f"{shop(sandbox)}/actions/{answer.json()['action_id']}"
    running = client.ask("GET", path).json()
    check(running, RUNNING_STACK_ACTION)
    assert running["action_name"] == f"{action}_stack"
    sandbox.world.advance(3600)
    ended = client.ask("GET", path).json()
    assert (ended["state"], ended["time_cost_seconds"]) == ("success", 3600)
    assert sandbox.effects == {f"{action}_stack": 1}


def test_actions_of_apps_and_stacks_are_apart(client: Client, sandbox: Sandbox) -> None:
    """An app's action is not a stack's, nor the other way round."""
    of_app = client.post("web", "stop").json()["action_id"]
    of_stack = client.ask("POST", f"{shop(sandbox)}/actions/stop").json()["action_id"]
    assert client.action("web", of_stack).status_code == 404
    assert client.ask("GET", f"{shop(sandbox)}/actions/{of_app}").status_code == 404


def test_older_installation(client: Client, sandbox: Sandbox) -> None:
    """Without the later calls each of them is a 404 with no effect; the page's own still work."""
    sandbox.set_options(later_calls=False)
    asked = [
        ("POST", builds_of(sandbox)),
        ("GET", f"{builds_of(sandbox)}/1"),
        ("GET", "/v1/stacks"),
        ("GET", shop(sandbox)),
        *(("POST", f"{shop(sandbox)}/actions/{action}") for action in ("start", "stop", "restart")),
        ("GET", f"{shop(sandbox)}/actions/1"),
    ]
    for method, path in asked:
        answer = client.ask(method, path, json={"branch": "master"} if method == "POST" else None)
        assert (answer.status_code, answer.json()["error_id"]) == (404, "not_found"), path
    assert sandbox.effects == {}
    assert client.ask("GET", "/v1/apps").status_code == 200
    assert client.ask("GET", builds_of(sandbox).removesuffix("/builds")).status_code == 200


def test_another_prefix() -> None:
    """On-premises installations serve the same calls under ``/open/v1``."""
    with Sandbox(prefix="/open/v1") as elsewhere, Client(elsewhere) as client:
        assert client.ask("GET", "/open/v1/apps").status_code == 200
        assert client.ask("GET", "/v1/apps").status_code == 404


# Authentication


@pytest.mark.parametrize("form", ["token {}", "{}", "Token {}"])
def test_token_is_taken(client: Client, sandbox: Sandbox, form: str) -> None:
    """The token is taken after the word ``token``, and bare, as the service was seen to do."""
    client.headers["Authorization"] = form.format(sandbox.token)
    assert client.ask("GET", "/v1/apps").status_code == 200


@pytest.mark.parametrize("value", [None, "", "token", "token wrong", "wrong", "Bearer {}"])
def test_wrong_token(client: Client, sandbox: Sandbox, value: str | None) -> None:
    """No token, a wrong one, or another scheme: 401, and nothing is done."""
    del client.headers["Authorization"]
    if value is not None:
        client.headers["Authorization"] = value.format(sandbox.token)
    answer = client.redeploy("web", "v2")
    assert answer.status_code == 401
    check(answer.json(), {"error_id": str, "message": str})
    assert sandbox.effects == {}


def test_revoked_and_rotated_token(client: Client, sandbox: Sandbox) -> None:
    """A revoked token gets 401, the one that replaces it is let in, and each is counted."""
    sandbox.world.add_account("the-next-token", "next")
    sandbox.world.revoke("main")
    assert client.ask("GET", "/v1/apps").status_code == 401
    client.headers["Authorization"] = "token the-next-token"
    assert client.ask("GET", "/v1/apps").status_code == 200
    assert sandbox.counts_by_account == {"anonymous": {"list_apps": 1}, "next": {"list_apps": 1}}


def test_read_only_token(client: Client, sandbox: Sandbox) -> None:
    """What a token does not allow is a 401 too, as the page's errors say."""
    sandbox.world.add_account("looks-only", "reader", read_only=True)
    client.headers["Authorization"] = "token looks-only"
    assert client.ask("GET", "/v1/apps").status_code == 200
    assert client.post("web", "stop").status_code == 401
    assert client.ask("POST", f"{shop(sandbox)}/actions/stop").status_code == 401
    build = client.ask("POST", builds_of(sandbox), json={"branch": "master"})
    assert build.status_code == 401
    assert sandbox.effects == {}


# Errors


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/",
        "/v1/apps/",
        "/v1/nothing",
        "/apps",
        "/v1/apps/nobody",
        "/v1/apps/web",  # a name is no id
        "/v1/build-flows/nobody",
        "/v1/apps/nobody/actions/none",
        "/v1/apps/a%2Fb",
        "/v1/stacks/nobody",
        "/v1/stacks/shop",
        "/v1/stacks/nobody/actions/none",
        "/v1/build-flows/nobody/builds/1",
    ],
)
def test_not_found(client: Client, path: str) -> None:
    """What does not exist is a 404 with the service's kind of body."""
    answer = client.ask("GET", path)
    assert answer.status_code == 404
    check(answer.json(), {"error_id": str, "message": str})


def test_action_of_another_app_is_not_found(client: Client) -> None:
    """An action is read at its own app only."""
    action_id = client.post("web", "stop").json()["action_id"]
    assert client.action("web", action_id).status_code == 200
    assert client.action("api", action_id).status_code == 404


def test_post_to_an_unknown_app(client: Client, sandbox: Sandbox) -> None:
    """An action on an app that does not exist is a 404."""
    assert client.ask("POST", "/v1/apps/nobody/actions/start").status_code == 404
    assert sandbox.effects == {}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/apps"),
        ("DELETE", "/v1/apps/x"),
        ("PUT", "/v1/build-flows"),
        # `start` is also a possible action id, so that a GET of it is a known path:
        ("PUT", "/v1/apps/x/actions/start"),
        ("GET", "/v1/build-flows/x/builds"),
        ("POST", "/v1/stacks"),
        ("POST", "/v1/stacks/x/actions/redeploy"),
    ],
)
def test_wrong_method(client: Client, method: str, path: str) -> None:
    """A known path with another method is a 405."""
    answer = client.ask(method, path)
    assert answer.status_code == 405
    check(answer.json(), {"error_id": str, "message": str})


def test_not_json(client: Client) -> None:
    """Who does not take JSON gets a 406."""
    accept = {"Accept": "text/html"}
    assert client.ask("GET", "/v1/apps", headers=accept).status_code == 406
    accept = {"Accept": "text/html, application/json;q=0.5"}
    assert client.ask("GET", "/v1/apps", headers=accept).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"v2"',
        b"{}",
        b'{"release_name": null}',
        b'{"release_name": ""}',
        b'{"release_name": 2}',
        b'{"release_name": ["v2"]}',
        b"\xff\xfe",
    ],
)
def test_malformed_redeploy(client: Client, sandbox: Sandbox, body: bytes) -> None:
    """A redeploy whose body names no release is a 400, and nothing is done."""
    path = f"/v1/apps/{sandbox.world.app('web').id}/actions/redeploy"
    answer = client.ask("POST", path, data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    check(answer.json(), {"error_id": str, "message": str})
    assert sandbox.effects == {}


def test_redeploy_as_a_form(client: Client, sandbox: Sandbox) -> None:
    """A form, as the page's Python sample sends, is a 406 unless this world takes forms."""
    path = f"/v1/apps/{sandbox.world.app('web').id}/actions/redeploy"
    assert client.ask("POST", path, data={"release_name": "v2"}).status_code == 406
    sandbox.set_options(accept_form=True)
    assert client.ask("POST", path, data={"release_name": "v2"}).status_code == 200
    assert sandbox.effects == {"redeploy_app": 1}


JSON_LABELS = [
    None,
    "",
    "application/x-www-form-urlencoded",  # what curl -d and urllib say of their own accord
    "text/plain",
    "application/json; charset=utf-8",
    "Application/JSON",
]


@pytest.mark.parametrize("label", JSON_LABELS)
@pytest.mark.parametrize("strict", [False, True])
def test_json_under_another_label(
    client: Client, sandbox: Sandbox, label: str | None, strict: bool
) -> None:
    """JSON is taken whatever Content-Type says; the strict world wants it said, with a 406."""
    sandbox.set_options(strict_content_type=strict)
    path = f"/v1/apps/{sandbox.world.app('web').id}/actions/redeploy"
    headers = {} if label is None else {"Content-Type": label}
    answer = client.ask("POST", path, data=b'{"release_name": "v2"}', headers=headers)
    said = (label or "").partition(";")[0].lower() == "application/json"
    assert answer.status_code == (200 if said or not strict else 406)
    assert sandbox.effects == ({"redeploy_app": 1} if answer.ok else {})


@pytest.mark.parametrize(("label", "status"), [(None, 406), ("application/json", 400)])
def test_what_is_not_json(client: Client, sandbox: Sandbox, label: str | None, status: int) -> None:
    """Malformed JSON is a malformed request; what never claimed to be JSON is not JSON."""
    path = f"/v1/apps/{sandbox.world.app('web').id}/actions/redeploy"
    headers = {} if label is None else {"Content-Type": label}
    answer = client.ask("POST", path, data=b"release_name=v2", headers=headers)
    assert answer.status_code == status
    assert sandbox.effects == {}


# How HTTP is spoken


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/v1/apps", "GET, HEAD"),
        ("/v1/stacks/x/actions/restart", "POST, GET, HEAD"),
        ("/v1/build-flows/x/builds", "POST"),
    ],
)
def test_a_wrong_method_gets_the_right_ones(client: Client, path: str, allow: str) -> None:
    """A 405 has the header ``Allow``, as HTTP wants it."""
    for method in ("PUT", "OPTIONS"):
        answer = client.ask(method, path)
        assert (answer.status_code, answer.headers.get("Allow")) == (405, allow)


def test_head(client: Client, sandbox: Sandbox) -> None:
    """HEAD is answered as GET is, without the body; a token that only reads may ask so."""
    sandbox.world.add_account("looks-only", "reader", read_only=True)
    client.headers["Authorization"] = "token looks-only"
    whole = client.ask("GET", "/v1/apps")
    bare = client.ask("HEAD", "/v1/apps")
    assert (bare.status_code, bare.content) == (200, b"")
    assert bare.headers["Content-Length"] == str(len(whole.content))
    assert bare.headers["X-RateLimit-Remaining"] == "4998"
    assert client.ask("HEAD", "/v1/apps/nobody").status_code == 404
    assert client.ask("HEAD", "/v1/build-flows/x/builds").status_code == 405
    assert [(line.method, line.call) for line in sandbox.log][:2] == [
        ("GET", "list_apps"),
        ("HEAD", "list_apps"),
    ]


# The later service


def later_world(client: Client, sandbox: Sandbox) -> dict[str, dict[str, Any]]:
    """Return one of each object as the later service shows it."""
    sandbox.set_options(revision=2018)
    web = sandbox.world.app("web").id
    action = client.redeploy("web", "v2").json()["action_id"]
    build = client.ask("POST", builds_of(sandbox), json={"branch": "master"}).json()
    return {
        "app in list": client.ask("GET", "/v1/apps").json()["app"][0],
        "app": client.ask("GET", f"/v1/apps/{web}").json(),
        "action": client.action("web", action).json(),
        "build flow": client.ask("GET", "/v1/build-flows").json()["build_flows"][0],
        "build": client.ask("GET", f"{builds_of(sandbox)}/{build['id']}").json(),
    }


def test_the_later_service(client: Client, sandbox: Sandbox) -> None:
    """Revision 2018 has its own fields, and lower case for states of apps and actions alone."""
    shown = later_world(client, sandbox)
    runtime = {"id": UUID, "name": str, "display_name": str}
    check(
        shown["app in list"],
        {**APP_IN_LIST, "state": re.compile("restaging"), "app_runtime": runtime},
    )
    port = {
        "publish_type": re.compile("http"),
        "protocol": re.compile("tcp"),
        "external": re.compile("external"),
        "container_port": int,
    }
    config = shown["app"].pop("config")
    assert shown["app"] == shown["app in list"]
    assert config["expose_port"] == config["expose_ports"][0]["container_port"] == 8080
    check(config["expose_ports"][0], port)
    check(shown["action"], {**RUNNING_ACTION, "state": re.compile("in_process")})
    assert shown["build flow"]["status"] == "Pending"
    assert not {"src_language", "src_origin_url"} & shown["build flow"].keys()
    without = ("ref", "ref_is_tag", "ref_is_branch")
    check(
        shown["build"],
        {**{name: shape for name, shape in BUILD.items() if name not in without}, "branch": str},
    )
    sandbox.world.advance(3600)
    (action_id,) = sandbox.world.actions
    assert client.action("web", action_id).json()["state"] == "success"
    assert client.app("web")["state"] == "running"
    assert client.app("worker")["state"] == "stopped"
    assert client.ask("GET", f"{builds_of(sandbox)}/1").json()["status"] == "Success"


def test_the_revision_can_be_given_other_letters(client: Client, sandbox: Sandbox) -> None:
    """A letter case that is asked for wins over that of the revision."""
    sandbox.set_options(state_case="title")
    shown = later_world(client, sandbox)
    assert (shown["app"]["state"], shown["action"]["state"]) == ("Restaging", "In_Process")


# The hourly limit


def test_rate_limit_headers(client: Client, sandbox: Sandbox) -> None:
    """Every answer, an error too, tells what is left and when the hour ends."""
    first = client.ask("GET", "/v1/apps").headers
    second = client.ask("GET", "/v1/apps/nobody").headers
    assert first["X-RateLimit-Limit"] == second["X-RateLimit-Limit"] == "5000"
    assert first["X-RateLimit-Remaining"] == "4999"
    assert second["X-RateLimit-Remaining"] == "4998"
    assert first["X-RateLimit-Reset"] == second["X-RateLimit-Reset"]
    del client.headers["Authorization"]
    assert "X-RateLimit-Remaining" in client.ask("GET", "/v1/apps").headers


def test_spent_hour_and_reset(client: Client, sandbox: Sandbox) -> None:
    """Past the limit: 403 without effect until the reset, and then the whole limit again."""
    sandbox.set_options(rate_limit=2)
    answers = [client.ask("GET", "/v1/apps") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 403]
    check(answers[2].json(), {"error_id": str, "message": str})
    assert answers[2].headers["X-RateLimit-Remaining"] == "0"
    assert client.redeploy("web", "v2").status_code == 403
    assert sandbox.effects == {}

    until_reset = int(answers[2].headers["X-RateLimit-Reset"]) - sandbox.world.now()
    sandbox.world.advance(until_reset - 10)
    assert client.ask("GET", "/v1/apps").status_code == 403
    sandbox.world.advance(10)
    again = client.ask("GET", "/v1/apps")
    assert (again.status_code, again.headers["X-RateLimit-Remaining"]) == (200, "1")


def test_each_token_has_its_own_hour(client: Client, sandbox: Sandbox) -> None:
    """What one token has spent, another one has still."""
    sandbox.set_options(rate_limit=1)
    sandbox.world.add_account("another-token", "another")
    assert client.ask("GET", "/v1/apps").status_code == 200
    assert client.ask("GET", "/v1/apps").status_code == 403
    client.headers["Authorization"] = "token another-token"
    assert client.ask("GET", "/v1/apps").status_code == 200


def test_date_is_the_worlds_clock(client: Client, sandbox: Sandbox) -> None:
    """The Date header is of the same clock as the reset: one hour apart in a new hour."""
    sandbox.world.advance(86400)
    headers = client.ask("GET", "/v1/apps").headers
    date = parsedate_to_datetime(headers["Date"]).timestamp()
    assert date > time.time() + 80000
    assert 3600 <= int(headers["X-RateLimit-Reset"]) - date <= 3601
