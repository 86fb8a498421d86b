"""Malformed and hostile calls: each gets its 4xx, none has an effect, and the sandbox lives on."""

from __future__ import annotations

import dataclasses
import http.client
import inspect
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
import requests

from airflow_provider_daocloud.sandbox import (
    ActionPlan,
    BuildPlan,
    Fault,
    Options,
    Sandbox,
    SandboxError,
)
from airflow_provider_daocloud.sandbox.actions import Actions
from airflow_provider_daocloud.sandbox.apps import Apps
from airflow_provider_daocloud.sandbox.builds import BuildFlows
from airflow_provider_daocloud.sandbox.control import _ENDPOINTS
from airflow_provider_daocloud.sandbox.stacks import Stacks
from tests.contract.conftest import Client
from tests.contract.test_cli import SECRET, ready, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEEP = b"[" * 2000 + b"]" * 2000
HALF_A_PAIR = b'{"release_name": "\\ud800"}'
HUGE = b'{"release_name": "' + b"v" * (2 << 20) + b'"}'

# What is sent, `{web}` being an app and `{token}` the token, and the status of the answer.
# None: the client leaves in the middle, and there is none.
HOSTILE: dict[str, tuple[bytes, int | None]] = {}


def hostile(
    name: str,
    line: str,
    body: bytes = b"",
    *headers: str,
    status: int | None = 400,
    token: bool = True,
) -> None:
    head = [f"{line} HTTP/1.1", "Host: x", *headers]
    if token:
        head.append("Authorization: token {token}")
    if not any(header.startswith(("Content-Length", "Transfer")) for header in headers):
        head.append(f"Content-Length: {len(body)}")
    HOSTILE[name] = ("\r\n".join([*head, "", ""]).encode() + body, status)


REDEPLOY = "POST /v1/apps/{web}/actions/redeploy"
JSON = "Content-Type: application/json"
hostile("JSON nested deep", REDEPLOY, DEEP, JSON)
hostile("half a surrogate pair", REDEPLOY, HALF_A_PAIR, JSON)
hostile("a number of 5,000 digits", REDEPLOY, b'{"release_name": ' + b"1" * 5000 + b"}", JSON)
hostile("a body of two megabytes", REDEPLOY, HUGE, JSON, status=413)
hostile("bytes that are no text", REDEPLOY, b"\xff\xfe\x00\xd8", JSON)
hostile("a body shorter than it says", REDEPLOY, b"{", JSON, "Content-Length: 100", status=None)
hostile("chunks that are none", REDEPLOY, b"zz\r\n", JSON, "Transfer-Encoding: chunked")
hostile("two lengths", REDEPLOY, b"{}", "Content-Length: 2", "Content-Length: 1")
hostile("a line and an escape in a path", "GET /v1/apps/a%0AGET%20%2Fforged%1b%5b2J", status=404)
hostile("Chinese in a path", "GET /v1/apps/%E5%BA%94%E7%94%A8", status=404)
hostile("bytes in a path that are no text", "GET /v1/apps/%FF%00%ED%A0%80", status=404)
hostile("a method that is none", "BREW /v1/apps", status=405)
hostile("two tokens", "GET /v1/apps", b"", "Authorization: token other", status=401)
hostile(
    "a websocket",
    "GET /v1/apps",
    b"",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
hostile("half a control", "POST /_sandbox/reset", b"{", "Content-Length: 100", status=None)
hostile("a control nested deep", "POST /_sandbox/apps", b'{"name": ' + DEEP + b"}")
hostile("a control's field that cannot be written", "POST /_sandbox/apps", b'{"\\ud800": 1}')
hostile("a control of two megabytes", "POST /_sandbox/apps", HUGE, status=413)
hostile("a name that cannot be written", "POST /_sandbox/apps", b'{"name": "\\ud800"}')
hostile("a date after the last", "POST /_sandbox/apps", b'{"name": "x", "created_at": 1e300}')
for jump in (b"1e300", b"1" + b"0" * 400, b"NaN", b"Infinity", b"-1", b"1e12", b"[]"):
    line = "POST /_sandbox/clock/advance"
    hostile(f"the clock by {jump[:8].decode()}", line, b'{"seconds": ' + jump + b"}")
HOSTILE["no HTTP"] = (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 400)


def ask_raw(url: str, sent: bytes, *, leave: bool = False) -> int | None:
    """Send bytes over a connection of their own; return the status, ``None`` without an answer."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(sent)
        if leave:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while b"\r\n\r\n" not in answer and (piece := connection.recv(65536)):
            answer += piece
    return int(answer.split(b" ", 2)[1]) if answer else None


def filled(sent: bytes, web: str, token: str) -> bytes:
    return sent.replace(b"{web}", web.encode()).replace(b"{token}", token.encode())


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_call(client: Client, sandbox: Sandbox, name: str) -> None:
    """It is answered with a refusal, changes nothing, and is no fault of the sandbox."""
    sent, status = HOSTILE[name]
    before = client.control("GET", "/state").json()["apps"]
    sent = filled(sent, sandbox.world.app("web").id, sandbox.token)
    assert ask_raw(sandbox.url, sent, leave=status is None) == status
    assert sandbox.errors == []
    assert sandbox.effects == {}
    assert client.control("GET", "/state").json()["apps"] == before
    assert client.ask("GET", "/v1/apps").status_code == 200


def test_twenty_hostile_calls_and_the_twenty_first() -> None:
    """A process that got all of them in a row still serves, and has written no traceback."""
    assert len(HOSTILE) > 20
    with running("--quiet", "--action-seconds", "none") as it:
        url = ready(it)
        headers = {"Authorization": f"token {SECRET}"}
        web = requests.get(f"{url}/v1/apps", headers=headers, timeout=30).json()["app"][0]["id"]
        for sent, status in HOSTILE.values():
            assert ask_raw(url, filled(sent, web, SECRET), leave=status is None) == status
        path = f"{url}/v1/apps/{web}/actions/redeploy"
        answer = requests.post(path, json={"release_name": "v2"}, headers=headers, timeout=30)
        assert (answer.status_code, list(answer.json())) == (200, ["action_id"])
        assert it.stop() == 0
        assert it.process.stdout is not None
        assert "Traceback" not in it.process.stdout.read()


# What a control may be given, as JSON.
ODD = (
    *("null", "true", "-1", "0", "1e-320", "1e300", "1" + "0" * 400, "NaN", "Infinity"),
    *('""', '" "', '"\\ud800"', '"\\n\\u001b[2J"', '"\\u0000"', '"RUNNING"', '"x"'),
    *("[]", "{}", '{"\\ud800": "x"}', '{"x": "\\ud800"}', '["\\ud800"]', "[" * 500 + "]" * 500),
)
# Which function's arguments a control passes on, beside its own.
PASSES_ON: dict[str, Callable[..., Any]] = {
    "add_app": Apps.add,
    "change_app": Apps.change,
    "plan": ActionPlan,
    "add_stack": Stacks.add,
    "plan_build": BuildPlan,
    "finish_action": Actions.finish,
    "add_build_flow": BuildFlows.add,
    "start_build": BuildPlan,
    "finish_build": BuildFlows.finish,
    "add_fault": Fault,
    "set_options": Options,
}
# What makes the rest of a body right, so that the odd value alone is at fault.
REST: dict[str, dict[str, Any]] = {
    "add_app": {"name": "x"},
    "operate": {"action": "stop"},
    "add_stack": {"name": "x"},
    "operate_stack": {"action": "stop"},
    "add_build_flow": {"name": "x"},
    "add_fault": {"kind": "delay", "call": "stop_stack"},
    "add_account": {"name": "x", "token": "x"},
}


def odd_bodies(name: str) -> Iterator[str]:
    from airflow_provider_daocloud.sandbox.control import _Controls

    takes = {*inspect.signature(getattr(_Controls, name)).parameters}
    if name in PASSES_ON:
        takes |= {*inspect.signature(PASSES_ON[name]).parameters}
    yield from (*ODD, "{", '"')
    for field in sorted(takes - {"self"}):
        rest = {k: v for k, v in REST.get(name, {}).items() if k != field}
        for odd in ODD:
            yield json.dumps(rest)[:-1] + (", " if rest else "") + f'"{field}": {odd}}}'


@pytest.mark.parametrize(("method", "path", "name"), _ENDPOINTS)
def test_odd_values_of_a_control(sandbox: Sandbox, method: str, path: str, name: str) -> None:
    """Whatever a control is given, no answer is a 500, and what it leaves can be shown and served.

    Odd values that it takes are left in the world on purpose: they must not poison other calls.
    """
    ids = {
        "app_id": "web",
        "stack_id": "shop",
        "build_flow_id": "web",
        "action_id": sandbox.world.operate("api", "stop").id,
        "fault_id": "1",
        "account": "nobody",
    }
    reading = ["/v1/apps", "/v1/build-flows", "/v1/stacks"]
    reading += [f"/v1/apps/{app_id}" for app_id in sandbox.world.apps]
    connection = http.client.HTTPConnection(sandbox.host, sandbox.port, timeout=30)

    def ask(method: str, path: str, body: str | None = None) -> int:
        headers = {"Authorization": f"token {sandbox.token}"}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status

    for body in odd_bodies(name):
        status = ask(method, "/_sandbox" + path.format_map(ids), body)
        assert status < 500, body
        if status == 200 and name in ("set_options", "change_app", "advance"):
            # The next body's value would cover this one's.
            assert max(ask("GET", read) for read in reading) < 500, body
            assert ask("POST", "/_sandbox/reset") == 200
    for read in (*reading, "/_sandbox/state", "/_sandbox/log", "/_sandbox/counts"):
        assert ask("GET", read) < 500, read
    connection.close()
    assert sandbox.errors == []


def test_all_fields_are_tried() -> None:
    """The bodies above name every field of what a control passes on."""
    assert {field.name for field in dataclasses.fields(Options)} <= {
        next(iter(json.loads(body))) for body in odd_bodies("set_options") if ": 0}" in body
    }


def broken(*_: object) -> None:
    raise RuntimeError("a bug")


def test_a_bug_costs_one_call() -> None:
    """A call that breaks gets a 500, the next one is served, and each block's end raises it."""
    sandbox = Sandbox(on_served=broken)
    for _ in range(2):
        with pytest.raises(SandboxError, match="a bug"), sandbox, Client(sandbox) as client:
            answers = [client.ask("GET", "/v1/apps") for _ in range(2)]
        assert [answer.status_code for answer in answers] == [500, 500]
        assert answers[0].json()["error_id"] == "server_error"


def test_whoever_asks_learns_of_a_bug_instead() -> None:
    """With ``on_error`` a bug is reported and not raised: the process lives on."""
    told: list[Exception] = []
    with Sandbox(on_served=broken, on_error=told.append) as sandbox, Client(sandbox) as client:
        assert client.ask("GET", "/v1/apps").status_code == 500
        sandbox.check()
    assert [str(error) for error in told] == ["a bug"]


def test_a_bug_in_a_control_costs_one_call(
    client: Client, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Likewise of a control."""
    monkeypatch.setattr(sandbox.service, "reset", broken)
    answer = client.control("POST", "/reset")
    assert (answer.status_code, [str(error) for error in sandbox.errors]) == (500, ["a bug"])
    assert client.control("GET", "/state").status_code == 200
    sandbox.errors.clear()


@pytest.mark.parametrize("header", ["X-RateLimit-Remaining", "Date", "Content-Type", "Allow"])
def test_headers_have_the_case_of_the_page(sandbox: Sandbox, header: str) -> None:
    """Scripts look for them with ``grep``, which sees the bytes that came."""
    with socket.create_connection((sandbox.host, sandbox.port), timeout=30) as connection:
        connection.sendall(b"PUT /v1/apps HTTP/1.1\r\nHost: x\r\nConnection: close\r\n")
        connection.sendall(f"Authorization: token {sandbox.token}\r\n\r\n".encode())
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert f"\r\n{header}: ".encode() in answer


@pytest.mark.parametrize("times", [2, 3])
def test_two_authorizations_are_none(sandbox: Sandbox, times: int) -> None:
    """Of two tokens neither wins, not even of the same one twice."""
    header = f"Authorization: token {sandbox.token}\r\n" * times
    sent = f"GET /v1/apps HTTP/1.1\r\nHost: x\r\n{header}\r\n".encode()
    assert ask_raw(sandbox.url, sent) == 401


def test_two_accepts_are_both(sandbox: Sandbox) -> None:
    """A header that may come twice counts in full: the first line takes JSON here."""
    accept = "Accept: application/json\r\nAccept: text/html\r\n"
    head = f"GET /v1/apps HTTP/1.1\r\nHost: x\r\nAuthorization: token {sandbox.token}\r\n"
    assert ask_raw(sandbox.url, f"{head}{accept}\r\n".encode()) == 200
