"""Each fault as a client sees it over a socket, and whether the call had its effect."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from airflow_provider_daocloud.sandbox import ActionPlan, Fault, Options, Sandbox
from airflow_provider_daocloud.sandbox.contract import Request
from airflow_provider_daocloud.sandbox.service import ConnectionBrokenError, StillHeldError
from tests.contract.conftest import TOKEN, Client, InProcess

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["http", "https"])
def client(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Client]:
    """The faults break TLS connections as they break plain ones."""
    tls = {}
    if request.param == "https":
        certfile, keyfile = request.getfixturevalue("certificate")
        tls = {"certfile": certfile, "keyfile": keyfile}
    options = Options(action_seconds=3600)
    with Sandbox(seed=1, options=options, **tls) as sandbox, Client(sandbox) as client:
        if tls:
            client.verify = str(tls["certfile"])
        yield client


def effects(client: Client) -> int:
    """How many redeploys there were, as the world and the count agree."""
    count = len(client.sandbox.world.actions)
    assert client.sandbox.effects["redeploy_app"] == count
    return count


# No answer at all


@pytest.mark.parametrize("effect", ["before", "after"])
@pytest.mark.parametrize("kind", ["drop", "reset", "cut"])
def test_broken_connection(client: Client, kind: str, effect: str) -> None:
    """A connection broken before the effect left none; after it, exactly one. Then all is well."""
    client.sandbox.fault(kind, call="redeploy_app", effect=effect)
    with pytest.raises(requests.ConnectionError if kind != "cut" else requests.RequestException):
        client.redeploy("web", "v2")
    assert effects(client) == (1 if effect == "after" else 0)
    assert client.redeploy("web", "v2").status_code == 200
    assert client.sandbox.counts["redeploy_app"] == 2


def test_drop_and_reset_differ() -> None:
    """A drop is an orderly close without an answer, a reset is a reset."""
    # Not over TLS: OpenSSL shows its caller both as the end of the stream.
    with Sandbox() as sandbox, Client(sandbox) as client:
        for kind, seen in (("drop", "RemoteDisconnected"), ("reset", "ConnectionResetError")):
            sandbox.fault(kind)
            with pytest.raises(requests.ConnectionError, match=seen):
                client.ask("GET", "/v1/apps")


def test_cut_comes_half_way_through_the_answer(client: Client) -> None:
    """A cut client has the status and a part of the body, which is shorter than promised."""
    client.sandbox.fault("cut")
    with client.ask("GET", "/v1/apps", stream=True) as answer:
        assert answer.status_code == 200
        promised = int(answer.headers["Content-Length"])
        got: list[bytes] = []
        with pytest.raises(requests.RequestException):
            got.extend(answer.iter_content(64))
    assert 0 < len(b"".join(got)) < promised


# Late answers


@pytest.mark.parametrize("effect", ["before", "after"])
def test_stalled_answer(client: Client, effect: str) -> None:
    """A client that gives up on a stalled answer cannot tell: the effect comes all the same."""
    client.sandbox.fault("delay", delay=1.0, effect=effect)
    with pytest.raises(requests.ReadTimeout):
        client.ask(
            "POST",
            f"/v1/apps/{client.sandbox.world.app('web').id}/actions/stop",
            timeout=(10, 0.2),
        )
    client.sandbox.service.wait_for(lambda: client.sandbox.effects["stop_app"] == 1)


def test_delayed_answer_is_the_right_one(client: Client) -> None:
    """A delay makes an answer late and changes nothing else."""
    client.sandbox.fault("delay", delay=0.3)
    began = time.monotonic()
    assert client.redeploy("web", "v2").status_code == 200
    assert time.monotonic() - began >= 0.3
    assert effects(client) == 1


@pytest.mark.parametrize("effect", ["before", "after"])
@pytest.mark.parametrize("drop", [False, True])
def test_held_answer(client: Client, effect: str, drop: bool) -> None:
    """A held call is seen to be held, on its side of the effect, and ends as it is released."""
    client.sandbox.fault("hold", call="redeploy_app", effect=effect)
    ends: list[Any] = []

    def ask() -> None:
        try:
            ends.append(client.redeploy("web", "v2").status_code)
        except requests.ConnectionError:
            ends.append("broken")

    asking = threading.Thread(target=ask)
    asking.start()
    (held,) = client.sandbox.wait_held()
    assert (held.call, held.effect) == ("redeploy_app", effect)
    assert held.params == {"app_id": client.sandbox.world.app("web").id}
    assert len(client.sandbox.world.actions) == (1 if effect == "after" else 0)
    assert client.sandbox.release(drop=drop) == 1
    asking.join(10)
    assert ends == ["broken" if drop else 200]
    assert effects(client) == (0 if drop and effect == "before" else 1)
    assert client.sandbox.service.held == {}


def test_others_are_served_while_one_is_held(client: Client) -> None:
    """A held answer holds nobody else up, and stopping drops it."""
    client.sandbox.fault("hold", call="list_apps")
    failed = threading.Event()

    def ask() -> None:
        with Client(client.sandbox) as other:
            other.verify = client.verify
            try:
                other.ask("GET", "/v1/apps")
            except requests.ConnectionError:
                failed.set()

    asking = threading.Thread(target=ask)
    asking.start()
    client.sandbox.wait_held()
    assert client.ask("GET", "/v1/build-flows").status_code == 200
    client.sandbox.stop()
    asking.join(10)
    assert failed.is_set()


def test_waiting_for_a_held_call_ends() -> None:
    """Waiting for a call that does not come ends with an error."""
    with Sandbox() as sandbox, pytest.raises(TimeoutError):
        sandbox.wait_held(timeout=0.05)


# Wrong answers


@pytest.mark.parametrize("effect", ["before", "after"])
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_server_fault(client: Client, status: int, effect: str) -> None:
    """A 5xx can come instead of the effect, or instead of the answer."""
    client.sandbox.fault("status", status=status, effect=effect)
    answer = client.redeploy("web", "v2")
    assert answer.status_code == status
    assert answer.json().keys() == {"error_id", "message"}
    assert effects(client) == (1 if effect == "after" else 0)


def test_server_fault_in_html_with_retry_after(client: Client) -> None:
    """A 5xx can be a proxy's page, and can say when to come back."""
    client.sandbox.fault("status", status=502, html=True, retry_after=7)
    answer = client.ask("GET", "/v1/apps")
    assert answer.status_code == 502
    assert answer.headers["Content-Type"] == "text/html"
    assert answer.headers["Retry-After"] == "7"
    assert "<html>" in answer.text


def test_too_many_requests(client: Client) -> None:
    """429 carries its Retry-After, and has no effect."""
    client.sandbox.fault("too_many", retry_after=3)
    answer = client.redeploy("web", "v2")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "3")
    assert effects(client) == 0


def test_spent_hour(client: Client) -> None:
    """The 403 of a spent hour looks like the real one: nothing remaining, and a reset to come."""
    client.sandbox.fault("spent", retry_after=30)
    answer = client.redeploy("web", "v2")
    assert (answer.status_code, answer.headers["X-RateLimit-Remaining"]) == (403, "0")
    until_reset = int(answer.headers["X-RateLimit-Reset"]) - client.sandbox.world.now()
    assert 0 < until_reset <= 31
    assert effects(client) == 0
    assert client.ask("GET", "/v1/apps").headers["X-RateLimit-Remaining"] != "0"


def test_html_in_a_200(client: Client) -> None:
    """A proxy's page with status 200; the call had its effect."""
    client.sandbox.fault("html")
    answer = client.redeploy("web", "v2")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html")
    assert "<html>" in answer.text
    assert effects(client) == 1


def test_truncated_json(client: Client) -> None:
    """Half of the JSON in an answer that is whole as HTTP goes."""
    whole = client.ask("GET", "/v1/apps").content
    client.sandbox.fault("truncated")
    answer = client.ask("GET", "/v1/apps")
    assert answer.status_code == 200
    assert answer.content == whole[: len(whole) // 2]


@pytest.mark.parametrize(
    ("kind", "body"), [("empty", b""), ("list", b"[]"), ("no_action_id", b"{}")]
)
def test_wrong_shape(client: Client, kind: str, body: bytes) -> None:
    """A 200 with nothing in it, with a list, or with no action id; the call had its effect."""
    client.sandbox.fault(kind)
    answer = client.redeploy("web", "v2")
    assert (answer.status_code, answer.content) == (200, body)
    assert effects(client) == 1


# The calls of later revisions


@pytest.mark.parametrize("effect", ["before", "after"])
@pytest.mark.parametrize("kind", ["drop", "reset", "cut", "status", "html", "no_action_id"])
def test_build_with_a_spoilt_answer(client: Client, kind: str, effect: str) -> None:
    """A build whose answer is lost or spoilt was started exactly if the fault came after it."""
    flow = client.sandbox.world.build_flow("web")
    path = f"/v1/build-flows/{flow.id}/builds"
    client.sandbox.fault(kind, call="start_build", effect=effect)
    try:
        answer = client.ask("POST", path, json={"branch": "master"})
    except requests.RequestException:
        assert kind in ("drop", "reset", "cut")
    else:
        assert answer.status_code == (503 if kind == "status" else 200)
        assert b'"id"' not in answer.content
    count = 1 if effect == "after" else 0
    assert len(flow.builds) == count
    assert client.sandbox.effects["start_build"] == count
    assert client.ask("POST", path, json={"branch": "master"}).json()["id"] == count + 1


@pytest.mark.parametrize("effect", ["before", "after"])
def test_stack_action_with_a_lost_answer(client: Client, effect: str) -> None:
    """A stack is operated on as an app is: not, or exactly once."""
    path = f"/v1/stacks/{client.sandbox.world.stack('shop').id}/actions/restart"
    client.sandbox.fault("drop", call="restart_stack", effect=effect)
    with pytest.raises(requests.ConnectionError):
        client.ask("POST", path)
    count = 1 if effect == "after" else 0
    assert len(client.sandbox.world.actions) == count
    assert client.sandbox.effects["restart_stack"] == count


# Which calls, and how often


def ok(it: InProcess, method: str = "GET", path: str = "/v1/apps") -> bool:
    return it.call(method, path).status == 200


def test_fault_strikes_so_many_times() -> None:
    """By default once, else as often as said, or until it is removed."""
    it = InProcess()
    it.service.add_fault(Fault("status"))
    assert [ok(it) for _ in range(3)] == [False, True, True]
    it.service.add_fault(Fault("status", times=2, skip=1))
    assert [ok(it) for _ in range(4)] == [True, False, False, True]
    fault_id = it.service.add_fault(Fault("status", times=None))
    assert not any(ok(it) for _ in range(10))
    it.service.faults.remove(fault_id)
    assert ok(it)


def test_fault_for_a_while() -> None:
    """A fault can last for a time of the world's clock."""
    it = InProcess()
    it.service.add_fault(Fault("status", times=None, seconds=60))
    it.clock.now += 59
    assert not ok(it)
    it.clock.now += 1
    assert ok(it)
    assert it.service.faults.listed() == []


def test_fault_strikes_what_it_names() -> None:
    """A fault can be for one call, one method, one account, or one thing of any kind."""
    it = InProcess()
    web, other = it.world.app("web").id, it.world.add_app("other").id
    flow = it.world.build_flow("flow").id
    shop, build = it.world.stack("shop").id, it.world.start_build("flow").id
    paths = ["/v1/apps", f"/v1/apps/{web}", f"/v1/apps/{other}", f"/v1/build-flows/{flow}"]
    paths += [f"/v1/build-flows/{flow}/builds/{build}", f"/v1/stacks/{shop}"]
    for rule, struck in (
        ({"call": "list_apps"}, [0]),
        ({"call": "GET"}, [0, 1, 2, 3, 4, 5]),
        ({"call": "POST"}, []),
        ({"app_id": other}, [2]),
        ({"call": "get_app", "app_id": web}, [1]),
        ({"build_flow_id": flow}, [3, 4]),
        ({"build_id": str(build)}, [4]),
        ({"stack_id": shop}, [5]),
        ({"account": "main"}, [0, 1, 2, 3, 4, 5]),
        ({"account": "another"}, []),
    ):
        it.service.add_fault(Fault("status", times=None, **rule))  # type: ignore[arg-type]
        assert [n for n, path in enumerate(paths) if not ok(it, path=path)] == struck, rule
        it.service.faults.clear()


def test_first_fault_wins() -> None:
    """Of two faults that match, the older one strikes, and the other one waits its turn."""
    it = InProcess()
    it.service.add_fault(Fault("status", status=500))
    it.service.add_fault(Fault("status", status=503))
    assert [it.call("GET", "/v1/apps").status for _ in range(3)] == [500, 503, 200]


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ({"kind": "explode"}, "kind"),
        ({"kind": "drop", "call": "delete_app"}, "call"),
        ({"kind": "drop", "times": 0}, "times"),
        ({"kind": "drop", "times": -1}, "times"),
        ({"kind": "status", "status": 200}, "status"),
        ({"kind": "drop", "effect": "during"}, "effect"),
        ({"kind": "delay", "delay": float("nan")}, "delay"),
        ({"kind": "drop", "skip": 1.5}, "skip"),
    ],
)
def test_bad_fault(bad: dict[str, Any], named: str) -> None:
    """A fault that makes no sense is refused when it is switched on, naming the field."""
    with pytest.raises(ValueError, match=named):
        InProcess().service.add_fault(Fault(**bad))


# In-process, for tests on an injected clock


def test_faults_in_process() -> None:
    """Without a socket a broken connection is an exception, a delay moves the clock."""
    it = InProcess(action_seconds=10)
    path = f"/v1/apps/{it.world.app('web').id}/actions/stop"
    for effect, count in (("before", 0), ("after", 1)):
        it.service.add_fault(Fault("drop", effect=effect))  # type: ignore[arg-type]
        with pytest.raises(ConnectionBrokenError):
            it.call("POST", path)
        assert len(it.world.actions) == count
    assert {action.state for action in it.world.actions.values()} == {"IN_PROCESS"}
    it.service.add_fault(Fault("delay", delay=10, effect="before"))
    assert it.call("GET", "/v1/apps").status == 200
    assert {action.state for action in it.world.actions.values()} == {"SUCCESS"}
    it.service.add_fault(Fault("hold", effect="after"))
    with pytest.raises(StillHeldError):
        it.call("POST", path)
    assert it.service.effects["stop_app"] == 2


def test_a_call_from_before_a_reset_is_not_counted_after_it() -> None:
    """A call that was delayed across a reset acts on the old world and counts there alone."""
    it = InProcess()
    web = it.world.app("web").id
    before = it.world
    it.service.add_fault(Fault("delay", delay=5, effect="before"))
    headers = {"authorization": f"token {TOKEN}"}
    steps = it.service.serve(Request("POST", f"/v1/apps/{web}/actions/stop", headers))
    next(steps)
    it.service.reset()
    list(steps)
    assert len(before.actions) == 1
    assert it.world.actions == {}
    assert (dict(it.service.effects), list(it.service.log)) == ({}, [])


def test_log_tells_what_happened() -> None:
    """Each call is one line: its name, ids, status, effect, fault, and never the token."""
    it = InProcess()
    web = it.world.app("web").id
    it.world.plan(ActionPlan(by_hand=True))
    it.service.add_fault(Fault("status", status=502, call="POST", effect="after"))
    it.call("POST", f"/v1/apps/{web}/actions/redeploy", b'{"release_name": "v2"}')
    it.call("GET", "/v1/nothing")
    first, second = it.service.log
    assert (first.call, first.status, first.acted, first.fault) == (
        "redeploy_app",
        502,
        True,
        "status",
    )
    assert first.params == {"app_id": web}
    assert first.action_id in it.world.actions
    assert (second.call, second.status, second.acted, second.fault) == ("unknown", 404, False, None)
    assert TOKEN not in repr(it.service.log)
    assert TOKEN not in repr(Request("GET", "/v1/apps", {"authorization": TOKEN}))
