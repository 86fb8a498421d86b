"""The controls under ``/_sandbox``, over the socket and without a token."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.contract.conftest import Client

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox import Sandbox


def test_index_lists_every_control_that_there_is(client: Client) -> None:
    """The index names each control with a line of help, and each one named exists."""
    index = client.control("GET", "").json()
    assert all(index.values())
    for endpoint in index:
        method, path = endpoint.split()
        path = path.removeprefix("/_sandbox").replace("{", "").replace("}", "")
        answer = client.control(method, path)
        assert answer.status_code != 405
        # The 404 is for an id that does not exist, not for the path.
        assert answer.status_code != 404 or "error" in answer.json()


def test_state_shows_all_but_the_token(client: Client, sandbox: Sandbox) -> None:
    """The state has apps, flows, actions and accounts in it, and no token."""
    client.redeploy("web", "v2")
    shop = client.sandbox.world.stack("shop").id
    answer = client.control("GET", "/state")
    state = answer.json()
    assert [app["name"] for app in state["apps"]] == ["web", "api", "worker", "preview"]
    assert [action["release_name"] for action in state["actions"]] == ["v2"]
    assert [(stack["id"], stack["name"]) for stack in state["stacks"]] == [(shop, "shop")]
    assert state["accounts"][0]["remaining"] == 4999
    assert sandbox.token not in answer.text


def test_counts_and_log(client: Client, sandbox: Sandbox) -> None:
    """Calls are counted by name and account, effects apart; controls are not counted."""
    client.redeploy("web", "v2")
    client.ask("POST", f"/v1/apps/{sandbox.world.app('web').id}/actions/redeploy", json={})
    client.ask("GET", "/v1/apps")
    counts = client.control("GET", "/counts").json()
    assert counts["calls"] == {"redeploy_app": 2, "list_apps": 1}
    assert counts["effects"] == {"redeploy_app": 1}
    assert counts["accounts"] == {"main": {"redeploy_app": 2, "list_apps": 1}}
    log = client.control("GET", "/log").json()
    assert [(line["call"], line["status"]) for line in log] == [
        ("redeploy_app", 200),
        ("redeploy_app", 400),
        ("list_apps", 200),
    ]
    assert client.control("GET", "/log?since=2").json() == log[2:]
    assert sandbox.token not in str(log)


def test_reset(client: Client) -> None:
    """A reset forgets actions and counts."""
    client.redeploy("web", "v2")
    client.control("POST", "/reset")
    assert client.control("GET", "/counts").json()["calls"] == {}
    assert client.control("GET", "/state").json()["actions"] == []


def test_apps(client: Client, sandbox: Sandbox) -> None:
    """Apps can be made, changed, crashed and removed, by id or name."""
    made = client.control("POST", "/apps", {"name": "new", "state": "STOPPED", "instances": 4})
    assert made.status_code == 200
    assert client.app("new")["state"] == "STOPPED"
    assert client.app("new")["config"]["instances"] == 4
    client.control("PATCH", "/apps/new", {"state": "RUNNING", "release_name": "v7"})
    assert (client.app("new")["state"], client.app("new")["release_name"]) == ("RUNNING", "v7")
    client.control("POST", f"/apps/{made.json()['id']}/crash")
    assert client.app("new")["state"] == "NOT_RUNNING"
    client.control("DELETE", "/apps/new")
    assert client.control("POST", "/apps/new/crash").status_code == 404


def test_actions(client: Client, sandbox: Sandbox) -> None:
    """Somebody else can act, an action can be ended by hand, and the next ones planned."""
    theirs = client.control("POST", "/apps/web/actions", {"action": "stop"}).json()["id"]
    assert client.app("web")["state"] == "STOPPING"
    client.control("POST", f"/actions/{theirs}/finish", {"state": "FAILED", "message": "no"})
    assert client.action("web", theirs).json()["error_info"] == {"message": "no"}

    client.control("POST", "/plans", {"state": "FAILED", "message": "as planned", "seconds": 5})
    ours = client.redeploy("web", "v2").json()["action_id"]
    client.control("POST", "/clock/advance", {"seconds": 5})
    assert client.action("web", ours).json()["error_info"] == {"message": "as planned"}


def test_builds(client: Client) -> None:
    """Flows can be made, builds started now or later, and ended by hand."""

    def status(name: str) -> str:
        flows = client.ask("GET", "/v1/build-flows").json()["build_flows"]
        return next(flow["status"] for flow in flows if flow["name"] == name)

    client.control("POST", "/build-flows", {"name": "new", "status": "Failure"})
    assert status("new") == "Failure"
    client.control("POST", "/build-flows/new/builds", {"by_hand": True})
    assert status("new") == "Pending"
    client.control("POST", "/build-flows/new/finish", {"status": "Timeout"})
    assert status("new") == "Timeout"
    client.control("POST", "/build-flows/new/builds", {"after": 60, "by_hand": True})
    assert status("new") == "Timeout"
    client.control("POST", "/clock/advance", {"seconds": 60})
    assert status("new") == "Pending"


def test_build_plans(client: Client, sandbox: Sandbox) -> None:
    """What the next build that a client starts does can be planned."""
    plan = {"outcome": "Failure", "build_flow_id": "web", "polls": 0}
    client.control("POST", "/build-plans", plan)
    path = f"/v1/build-flows/{sandbox.world.build_flow('web').id}/builds"
    build = client.ask("POST", path, json={"branch": "master"}).json()
    assert client.ask("GET", f"{path}/{build['id']}").json()["status"] == "Failure"


def test_stacks(client: Client, sandbox: Sandbox) -> None:
    """Stacks can be made, and somebody else can act on them."""
    made = client.control("POST", "/stacks", {"name": "new", "stack_ids": ["a", "b"]}).json()
    stack = client.ask("GET", f"/v1/stacks/{made['id']}").json()
    assert (stack["name"], stack["stacks"]) == ("new", [{"stack_id": "a"}, {"stack_id": "b"}])
    theirs = client.control("POST", "/stacks/new/actions", {"action": "stop"}).json()["id"]
    client.control("POST", f"/actions/{theirs}/finish", {"state": "FAILED", "message": "no"})
    action = client.ask("GET", f"/v1/stacks/{made['id']}/actions/{theirs}").json()
    assert action["error_info"] == {"message": "no"}
    assert sandbox.effects == {}


def test_faults(client: Client) -> None:
    """Faults can be added, listed, removed one by one and all at once."""
    rule = {"kind": "status", "times": None}
    first = client.control("POST", "/faults", rule).json()["fault_id"]
    client.control("POST", "/faults", {**rule, "status": 500, "call": "list_apps"})
    assert client.ask("GET", "/v1/apps").status_code == 503
    assert [fault["met"] for fault in client.control("GET", "/faults").json()] == [1, 0]
    client.control("DELETE", f"/faults/{first}")
    assert client.ask("GET", "/v1/apps").status_code == 500
    client.control("DELETE", "/faults")
    assert client.ask("GET", "/v1/apps").status_code == 200


def test_hold_and_release(client: Client, sandbox: Sandbox) -> None:
    """Held calls can be seen from another process, and let go one by one."""
    client.control("POST", "/faults", {"kind": "hold", "call": "POST", "times": None})
    statuses: dict[str, int] = {}

    def stop(name: str) -> None:
        with Client(sandbox) as asker:
            statuses[name] = asker.post(name, "stop").status_code

    asking = {}
    for count, name in enumerate(("web", "api"), 1):
        asking[name] = threading.Thread(target=stop, args=[name])
        asking[name].start()
        sandbox.wait_held(count)
    web, api = client.control("GET", "/held").json()
    assert (api["call"], api["effect"]) == ("stop_app", "before")
    assert api["app_id"] == sandbox.world.app("api").id
    answer = client.control("POST", "/release", {"held_id": api["held_id"]})
    assert answer.json() == {"released": 1}
    asking["api"].join(10)
    assert statuses == {"api": 200}
    assert client.control("GET", "/held").json() == [web]
    assert client.control("POST", "/release").json() == {"released": 1}
    asking["web"].join(10)
    assert statuses == {"api": 200, "web": 200}


def test_options(client: Client) -> None:
    """Options can be shown and changed."""
    changed = client.control("PATCH", "/options", {"speed": 4, "busy": "refuse"})
    assert changed.status_code == 200
    options = client.control("GET", "/options").json()
    assert (options["speed"], options["busy"]) == (4, "refuse")


def test_accounts(client: Client, sandbox: Sandbox) -> None:
    """A token can be rotated: another one let in, the first one revoked."""
    client.control("POST", "/accounts", {"name": "second", "token": "second-token"})
    client.control("POST", "/accounts/main/revoke")
    assert client.ask("GET", "/v1/apps").status_code == 401
    client.headers["Authorization"] = "token second-token"
    assert client.ask("GET", "/v1/apps").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/apps", {}, 400),
        ("POST", "/apps", {"name": "x", "state": "FLYING"}, 400),
        ("POST", "/apps", {"name": 5}, 400),
        ("POST", "/apps", {"name": "x", "created_at": "yesterday"}, 400),
        ("POST", "/apps", {"name": "x", "colour": "red"}, 400),
        ("POST", "/apps", [], 400),
        ("PATCH", "/apps/web", {"app_id": "api"}, 400),
        ("PATCH", "/apps/nobody", {"state": "RUNNING"}, 404),
        ("POST", "/apps/web/actions", {"action": "delete"}, 400),
        ("POST", "/apps/web/actions", {"action": "redeploy"}, 400),
        ("POST", "/apps/web/actions", {"action": "redeploy", "release_name": 5}, 400),
        ("POST", "/actions/none/finish", {}, 404),
        ("POST", "/plans", {"state": "MAYBE"}, 400),
        ("POST", "/build-flows/web/builds", {"outcome": "Great"}, 400),
        ("POST", "/build-flows/web/builds", {"after": "soon"}, 400),
        ("POST", "/build-flows/web/builds", {"after": -1}, 400),
        ("POST", "/build-flows/nobody/builds", {}, 404),
        ("POST", "/build-plans", {"outcome": "Great"}, 400),
        ("POST", "/build-plans", {"build_flow_id": "nobody"}, 404),
        ("POST", "/stacks", {}, 400),
        ("POST", "/stacks", {"name": "x", "stack_ids": "a"}, 400),
        ("POST", "/stacks/shop/actions", {"action": "redeploy"}, 400),
        ("POST", "/stacks/nobody/actions", {"action": "stop"}, 404),
        ("POST", "/plans", {"stack_id": "nobody"}, 404),
        ("POST", "/faults", {"kind": "explode"}, 400),
        ("POST", "/faults", {}, 400),
        ("POST", "/clock/advance", {"seconds": -1}, 400),
        ("POST", "/clock/advance", {"seconds": "5"}, 400),
        ("PATCH", "/options", {"speed": 0}, 400),
        ("PATCH", "/options", {"sped": 1}, 400),
        ("POST", "/accounts", {"name": "x", "token": ""}, 400),
        ("POST", "/accounts", {"name": "main", "token": "t"}, 400),
        ("POST", "/accounts/nobody/revoke", {}, 404),
        ("GET", "/nothing", None, 404),
    ],
)
def test_bad_control(client: Client, method: str, path: str, body: Any, status: int) -> None:
    """A control that makes no sense says why, changes nothing, and breaks nothing."""
    answer = client.control(method, path, body)
    assert answer.status_code == status
    assert client.ask("GET", "/v1/apps").status_code == 200
    assert len(client.ask("GET", "/v1/apps").json()["app"]) == 4


def test_body_that_is_not_json(client: Client, sandbox: Sandbox) -> None:
    """A control's body that is no JSON is a 400."""
    answer = requests.post(f"{sandbox.url}/_sandbox/reset", data=b"{", timeout=10)
    assert answer.status_code == 400
