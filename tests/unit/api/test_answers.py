"""What answers become: the promised object, or an error that says what came instead."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_daocloud.api import response
from airflow_provider_daocloud.api.errors import (
    AuthenticationError,
    CallError,
    NotFoundError,
    OutcomeUnknownError,
    ProtocolError,
    RateLimitedError,
    RefusedError,
    ServerFaultError,
)
from airflow_provider_daocloud.api.openapi.actions import Action
from airflow_provider_daocloud.api.openapi.apps import App, list_apps_unparsed
from airflow_provider_daocloud.api.openapi.builds import (
    Build,
    BuildFlow,
    list_build_flows_unparsed,
)
from airflow_provider_daocloud.api.openapi.stacks import Stack
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.response import (
    LONGEST_RESET,
    Response,
    interpret,
    rate_limit,
    server_time,
)
from tests.support.samples import (
    ACCEPTED,
    ACTION,
    APP,
    APPS,
    BUILD,
    CALLS,
    FLOW,
    LISTED_APP,
    NOW,
    POSTS,
    STACK,
    STACK_ACTION,
    TOKEN,
    interpreted,
)

HTML = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
PROMISED: dict[str, Any] = {
    "list_build_flows": (BuildFlow.parse(FLOW),),
    "get_build_flow": BuildFlow.parse(FLOW),
    "list_apps": (App.parse(LISTED_APP),),
    "get_app": App.parse(APP),
    "get_action": Action.parse(ACTION),
    "get_build": Build.parse(BUILD),
    "list_stacks": (Stack.parse(STACK),),
    "get_stack": Stack.parse(STACK),
    "get_stack_action": Action.parse(STACK_ACTION),
    **dict.fromkeys(POSTS, ACCEPTED["action_id"]),
    "start_build": Build.parse(BUILD),
}
UNPARSED: dict[str, Callable[[], Request[Any]]] = {
    "list_apps": list_apps_unparsed,
    "list_build_flows": list_build_flows_unparsed,
}


@pytest.mark.parametrize("name", CALLS)
def test_answer_of_the_page(name: str) -> None:
    """The page's own sample of each call is read, from any 2xx and with a byte order mark too."""
    api_request, sample = CALLS[name]
    body = json.dumps(sample).encode()
    for status in (200, 201, 202):
        assert interpreted(api_request, body, status=status) == PROMISED[name]
    assert interpreted(api_request, b"\xef\xbb\xbf" + body) == PROMISED[name]


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("list_apps", b'{"app": null}'),
        ("list_apps", b'{"app": []}'),
        ("list_apps", b'{"apps": []}'),
        ("list_build_flows", b'{"build_flows": null}'),
        ("list_build_flows", b'{"build_flows": []}'),
        ("list_stacks", b'{"stacks": null}'),
        ("list_stacks", b'{"stacks": []}'),
    ],
)
def test_no_items(name: str, body: bytes) -> None:
    """An account without apps, flows or stacks has an empty list, even if the server says null."""
    assert interpreted(CALLS[name][0], body) == ()


def test_both_keys_of_the_app_list() -> None:
    """The list's key is singular on the page; the plural is understood as well."""
    api_request, _ = CALLS["list_apps"]
    for body in (APPS, {"apps": APPS["app"]}, APPS | {"apps": []}):
        assert interpreted(api_request, json.dumps(body).encode()) == PROMISED["list_apps"]


def test_numeric_action_id() -> None:
    """An action id that comes as a number is the number's digits."""
    assert interpreted(CALLS["start_app"][0], b'{"action_id": 17}') == "17"


MALFORMED: dict[str, bytes] = {
    "HTML": HTML,
    "nothing": b"",
    "white space": b" \r\n\t",
    "text": b"OK",
    "a number": b"5",
    "null": b"null",
    "true": b"true",
    "a string": b'"x"',
    "an empty list": b"[]",
    "a list of objects": json.dumps([FLOW, APP, ACTION, ACCEPTED]).encode(),
    "an empty object": b"{}",
    "an error body in a 200": b'{"error_id": "not_found", "message": "no such thing"}',
    "an object of nulls": b'{"id": null, "state": null, "action_id": null, "app": 1}',
    "broken UTF-8": b'{"id": "\xff\xfe"}',
    "half a UTF-16": '{"id": "a"}'.encode("utf-16")[:-1],
    "two objects": b'{"id": "a", "state": "SUCCESS"} {"id": "b", "state": "SUCCESS"}',
    "a deep list": b"[" * 100_000,
    "a deep object": b'{"a":' * 100_000,
    "endless digits": b'{"id": ' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("kind", MALFORMED)
@pytest.mark.parametrize("name", CALLS)
def test_malformed_answers(name: str, kind: str) -> None:
    """A 200 without the promised thing is a protocol error: status, call and the first bytes."""
    api_request, _ = CALLS[name]
    body = MALFORMED[kind]
    with pytest.raises(ProtocolError) as caught:
        interpreted(api_request, body)
    error = caught.value
    assert (error.status, error.request) == (200, str(api_request))
    assert str(error).endswith(f" ({api_request.method} {api_request.path})")
    assert "HTTP 200" in str(error)
    first = body.replace(b"\0", b"")[:20].decode(errors="replace").split()
    assert all(word in str(error) for word in first)
    assert len(str(error)) < 1000


@pytest.mark.parametrize("name", CALLS)
def test_truncated_answers(name: str) -> None:
    """The page's sample, cut off anywhere, is a protocol error."""
    api_request, sample = CALLS[name]
    body = json.dumps(sample).encode()
    for length in range(len(body)):
        with pytest.raises(ProtocolError):
            interpreted(api_request, body[:length])


@pytest.mark.parametrize("name", ["list_apps", "list_build_flows", "list_stacks"])
@pytest.mark.parametrize("items", [{}, "x", 5, True, [None], ["x"], [[]], [{}], [{"id": ""}]])
def test_lists_of_the_wrong_thing(name: str, items: Any) -> None:
    """A list call whose list is none, or holds what has no id, is a protocol error."""
    api_request, sample = CALLS[name]
    (key,) = sample
    with pytest.raises(ProtocolError, match="HTTP 200"):
        interpreted(api_request, json.dumps({key: items}).encode())


UNUSABLE: list[object] = [None, "", " ", [], {}, True, "../x", "a/b", "None", "a b", "{{ x }}"]


@pytest.mark.parametrize("name", sorted(POSTS.keys() - {"start_build"}))
@pytest.mark.parametrize("action_id", [*UNUSABLE, 1.5])
def test_unusable_action_id(name: str, action_id: Any) -> None:
    """An action id that no later call could ask for is a protocol error, not a result."""
    with pytest.raises(ProtocolError, match="no usable 'action_id'"):
        interpreted(POSTS[name][0], json.dumps({"action_id": action_id}).encode())


@pytest.mark.parametrize("build_id", UNUSABLE)
def test_unusable_build_id(build_id: Any) -> None:
    """So is a build's."""
    with pytest.raises(ProtocolError, match=r"no usable 'id'|'id' is missing"):
        interpreted(POSTS["start_build"][0], json.dumps(BUILD | {"id": build_id}).encode())


def test_first_bytes_only() -> None:
    """Of a long answer, a short part on one line is quoted."""
    page = b"<html>\r\n\r\n" + b"x " * 100_000
    with pytest.raises(ProtocolError) as caught:
        interpreted(CALLS["get_app"][0], page)
    assert "'<html> x x" in str(caught.value)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "body", [HTML, b"\xef\xbb\xbf\r\n <!DOCTYPE html><title>Log in</title>"], ids=["bare", "BOM"]
)
@pytest.mark.parametrize("name", CALLS)
def test_a_web_page_says_what_to_check(name: str, body: bytes) -> None:
    """A login page or a proxy answers where the API should: the error says what to check."""
    with pytest.raises(ProtocolError) as caught:
        interpreted(CALLS[name][0], body)
    assert "a web page came instead of JSON (HTTP 200): '" in str(caught.value)
    assert "check the connection's host (the base URL) and prefix" in str(caught.value)
    assert caught.value.status == 200


@pytest.mark.parametrize("body", [b"", b"OK", b'{"app": ["<html>', b'{"error": "<html>"}'])
def test_what_is_no_web_page_is_not_called_one(body: bytes) -> None:
    """What was cut short, or is nothing, says nothing of the base URL."""
    with pytest.raises(ProtocolError) as caught:
        interpreted(CALLS["list_apps"][0], body)
    assert "web page" not in str(caught.value)


# --- whatever may come ---------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS = sorted(
    {"error_id", "message", "app", "apps", "build_flows", "action_id", "expose_ports", "config"}
    | BUILD.keys()
    | STACK.keys()
    | STACK_ACTION.keys()
    | FLOW.keys()
    | APP.keys()
    | ACTION.keys()
    | APP["config"].keys()
    | APP["package"].keys()
)
likely_objects = st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=8)
bodies = (
    st.binary(max_size=200)
    | st.one_of(json_values, likely_objects, st.lists(likely_objects, max_size=3)).map(
        lambda value: json.dumps(value).encode()
    )
    | likely_objects.map(
        lambda item: json.dumps({"app": [item], "build_flows": [item], "stacks": [item]}).encode()
    )
)
header_values = (
    st.text(max_size=20)
    | st.integers().map(str)
    | st.floats().map(str)
    | st.datetimes().map(lambda moment: f"{moment:%a, %d %b %Y %H:%M:%S} GMT")
    | st.sampled_from(["-0000", "Mon, 14 Dec 2015 10:16:23 -0000", "Mon, 01 Jan 0001 00:00:00 GMT"])
    | st.sampled_from(["99 Foo 99999999999 99:99:99 +9999", "1 Jan 1 1:1:1 -9999", "0", "nan", ""])
)
headers = st.dictionaries(
    st.sampled_from(
        [
            *("X-RateLimit-Limit", "x-ratelimit-remaining", "X-RATELIMIT-RESET"),
            *("Retry-After", "Date", "Location", "Content-Type"),
        ]
    ),
    header_values | st.sampled_from(["http://[", "//x", "https://h:99999/", "http://\xff/", "0"]),
)
statuses = st.sampled_from([200, 200, 200, 201, 204, 302, 400, 401, 403, 404, 408, 429, 500, 503])


def check_whatever(api_request: Request[Any], response: Response) -> None:
    """An object of the promised kind, or one of our errors: nothing else, and no token in it."""
    limit = rate_limit(response, now=NOW)
    assert limit.resets_in is None or 0 <= limit.resets_in <= LONGEST_RESET
    made: Any
    try:
        made = interpret(api_request, response, now=NOW, secret=TOKEN)
    except CallError as error:
        made = error
    if isinstance(made, CallError):
        assert made.request == str(api_request)
        assert made.status == response.status
        assert made.retry_at is None or NOW <= made.retry_at <= NOW + LONGEST_RESET
        assert TOKEN not in repr(made)
        assert f"{made}".encode()
    else:
        assert 200 <= response.status < 300
        promised = PROMISED[api_request.name]
        assert type(made) is type(promised)
        for item in made if isinstance(made, tuple) else (made,):
            shown = item if isinstance(item, str) else json.dumps(item.as_dict(), allow_nan=False)
            assert shown.encode()


@pytest.mark.parametrize("name", CALLS)
@settings(max_examples=100)
@given(body=bodies, status=statuses | st.integers(-1, 1000), headers=headers, echo=st.booleans())
@example(body=b"", status=200, headers={}, echo=False)
@example(body=b'{"message": ' + b"[" * 900 + b"]" * 900 + b"}", status=500, headers={}, echo=False)
def test_whatever_comes(
    name: str, body: bytes, status: int, headers: dict[str, str], echo: bool
) -> None:
    """Arbitrary bytes, JSON, statuses and headers give an object or a DaoCloudError."""
    if echo:
        body = body[:20] + TOKEN.encode() + body[20:]
        headers = headers | {"Location": f"https://x/{TOKEN}"}
    check_whatever(CALLS[name][0], Response(status, headers, body))


@pytest.mark.parametrize("name", CALLS)
@settings(max_examples=50)
@given(data=st.data())
def test_whatever_becomes_of_a_good_answer(name: str, data: st.DataObject) -> None:
    """The page's sample with fields replaced, removed, or bytes overwritten, likewise."""
    api_request, sample = CALLS[name]
    mutated = json.loads(json.dumps(sample))
    target = mutated
    (only, *others) = target
    if not others and isinstance(target[only], list) and data.draw(st.booleans()):
        target = target[only][0]
    for field in data.draw(st.lists(st.sampled_from(sorted(target)), max_size=4, unique=True)):
        if data.draw(st.booleans()):
            target[field] = data.draw(json_values)
        else:
            del target[field]
    body = bytearray(json.dumps(mutated).encode())
    for at in data.draw(st.lists(st.integers(0, len(body) - 1), max_size=3)):
        body[at] = data.draw(st.integers(0, 255))
    check_whatever(api_request, Response(200, {}, bytes(body)))


@pytest.mark.parametrize("depth", [*range(100, 1200, 7), 5_000, 50_000])
def test_deep_messages(depth: int) -> None:
    """An error body nested as deep as a parser just takes is still only an error."""
    body = b'{"message": ' + b"[" * depth + b"]" * depth + b"}"
    check_whatever(CALLS["get_app"][0], Response(500, {}, body))


# --- errors --------------------------------------------------------------------------------------


NOT_DAOCLOUDS = {
    "a page": (HTML, {}),
    "a page with a BOM": (b"\xef\xbb\xbf\r\n <!DOCTYPE html>", {}),
    "XML": (b'<?xml version="1.0"?><Error/>', {"Content-Type": "application/xml"}),
    "an empty page": (b"", {"Content-Type": "text/html; charset=utf-8"}),
    "text that is called a page": (b"Forbidden", {"content-type": "Text/HTML"}),
}


@pytest.mark.parametrize(
    "status", [300, 302, 304, 400, 401, 403, 404, 405, 409, 410, 421, 451, 499]
)
@pytest.mark.parametrize("name", NOT_DAOCLOUDS)
def test_a_web_page_is_not_the_word_of_daocloud(name: str, status: int) -> None:
    """Reading can be repeated; whether an action was taken, it does not say."""
    body, headers = NOT_DAOCLOUDS[name]
    for api_request, _ in CALLS.values():
        with pytest.raises(CallError) as caught:
            interpreted(api_request, body, status=status, headers=headers)
        assert type(caught.value) is (
            OutcomeUnknownError if api_request.is_write else ProtocolError
        )
        assert f"(HTTP {status})" in str(caught.value)
        assert "a web page came" in str(caught.value)


def test_a_page_that_leads_elsewhere_says_where() -> None:
    with pytest.raises(ProtocolError, match=r"redirects to https://login\.example "):
        interpreted(
            CALLS["get_app"][0], HTML, status=302, headers={"Location": "https://login.example/?x"}
        )


@pytest.mark.parametrize("body", [b"", b"no", b'{"message": "no"}'])
def test_a_407_is_the_word_of_a_proxy(body: bytes) -> None:
    for api_request, _ in CALLS.values():
        with pytest.raises(CallError, match=r"a proxy asks .* \(HTTP 407\)") as caught:
            interpreted(api_request, body, status=407)
        assert type(caught.value) is (
            OutcomeUnknownError if api_request.is_write else ProtocolError
        )


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (429, {}, RateLimitedError),
        (403, {"X-RateLimit-Remaining": "0"}, RateLimitedError),
    ],
)
def test_a_limit_is_a_definite_refusal_even_as_a_page(
    status: int, headers: dict[str, str], kind: type[CallError]
) -> None:
    """Whoever counts calls does not pass on the one that is too many."""
    for api_request, _ in CALLS.values():
        with pytest.raises(kind):
            interpreted(api_request, HTML, status=status, headers=headers)


def test_json_that_is_called_a_page_is_the_word_of_daocloud() -> None:
    body, headers = b'{"error_id": "x", "message": "no"}', {"Content-Type": "text/html"}
    for api_request, _ in CALLS.values():
        with pytest.raises(NotFoundError):
            interpreted(api_request, body, status=404, headers=headers)


@pytest.mark.parametrize(
    ("status", "headers", "for_get", "for_post"),
    [
        (401, {}, AuthenticationError, AuthenticationError),
        (404, {}, NotFoundError, NotFoundError),
        (400, {}, RefusedError, RefusedError),
        (403, {}, RefusedError, RefusedError),
        (403, {"X-RateLimit-Remaining": "1"}, RefusedError, RefusedError),
        (403, {"X-RateLimit-Remaining": "rubbish"}, RefusedError, RefusedError),
        (403, {"X-RateLimit-Remaining": "0"}, RateLimitedError, RateLimitedError),
        (403, {"x-ratelimit-remaining": "0"}, RateLimitedError, RateLimitedError),
        (429, {}, RateLimitedError, RateLimitedError),
        (405, {}, RefusedError, RefusedError),
        (406, {}, RefusedError, RefusedError),
        (409, {}, RefusedError, RefusedError),
        (408, {}, ServerFaultError, OutcomeUnknownError),
        (425, {}, ServerFaultError, OutcomeUnknownError),
        (500, {}, ServerFaultError, OutcomeUnknownError),
        (502, {}, ServerFaultError, OutcomeUnknownError),
        (503, {"X-RateLimit-Remaining": "0"}, ServerFaultError, OutcomeUnknownError),
        (504, {}, ServerFaultError, OutcomeUnknownError),
        (599, {}, ServerFaultError, OutcomeUnknownError),
        (301, {"Location": "https://x.example/"}, RefusedError, RefusedError),
        (304, {}, RefusedError, RefusedError),
        (307, {}, RefusedError, RefusedError),
        (199, {}, ProtocolError, ProtocolError),
        (204, {}, ProtocolError, ProtocolError),
    ],
)
def test_error_of_a_status(
    status: int, headers: dict[str, str], for_get: type[CallError], for_post: type[CallError]
) -> None:
    """Each status has its error; a fault after a POST leaves open whether the action was taken."""
    for name, (api_request, _) in CALLS.items():
        with pytest.raises(CallError) as caught:
            interpreted(api_request, status=status, headers=headers)
        assert type(caught.value) is (for_post if api_request.is_write else for_get), name
        assert caught.value.status == status
        assert f"HTTP {status}" in str(caught.value)
        assert caught.value.request == str(api_request)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_error_body_of_daocloud(status: int) -> None:
    """The error has DaoCloud's error_id and message, apart and in the text."""
    body = b'{"error_id": "app_not_found", "message": "no such app"}'
    with pytest.raises(CallError) as caught:
        interpreted(CALLS["get_app"][0], body, status=status)
    assert (caught.value.error_id, caught.value.message) == ("app_not_found", "no such app")
    assert "no such app" in str(caught.value)
    assert "app_not_found" in str(caught.value)


@pytest.mark.parametrize(
    ("body", "error_id", "message"),
    [
        (b"", None, None),
        (b" \n", None, None),
        (b"{}", None, None),
        (b'{"error_id": null, "message": ""}', None, None),
        (b'{"error_id": 7, "message": {"a": [1]}}', "7", '{"a": [1]}'),
        (b"<html>\n <b>Bad Gateway</b></html>", None, "'<html> <b>Bad Gateway</b></html>'"),
        (b'["x"]', None, """'["x"]'"""),
        (b'{"message": "\\ud800"}', None, "?"),
    ],
)
def test_other_error_bodies(body: bytes, error_id: str | None, message: str | None) -> None:
    """An error body can be anything; its first bytes stand in for a message."""
    with pytest.raises(ServerFaultError) as caught:
        interpreted(CALLS["get_app"][0], body, status=502)
    assert (caught.value.error_id, caught.value.message) == (error_id, message)


@pytest.mark.parametrize(
    ("location", "where"),
    [
        ("https://login.example/x?token=y", "https://login.example"),
        ("http://u:p@login.example:81/", "http://login.example"),
        ("//login.example/x", "https://login.example"),
        ("/v2/apps", "another path"),
        ("", "another path"),
        ("http://[", "somewhere unreadable"),
    ],
)
def test_redirects_are_refused(location: str, where: str) -> None:
    """A redirect is refused and says where it leads, without what its URL may carry."""
    with pytest.raises(RefusedError) as caught:
        interpreted(CALLS["get_app"][0], status=302, headers={"Location": location})
    assert f"redirects to {where} (HTTP 302)" in str(caught.value)


# --- when to ask again ---------------------------------------------------------------------------

DATE = "Tue, 14 Nov 2023 22:13:20 GMT"  # that is NOW
SERVER_NOW = int(datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC).timestamp())


def retry_at(status: int, headers: dict[str, str], *, skew: float = 0.0) -> float | None:
    """Return the seconds until an error says to ask again, our clock being ``skew`` ahead."""
    with pytest.raises(CallError) as caught:
        interpreted(CALLS["get_app"][0], status=status, headers=headers, now=NOW + skew)
    at = caught.value.retry_at
    return None if at is None else at - (NOW + skew)


@pytest.mark.parametrize("skew", [0.0, 3 * 3600.0, -3 * 3600.0])
@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"Retry-After": "7"}, 7),
        (429, {"retry-after": " 7.5 "}, 7.5),
        (429, {"Retry-After": "0"}, 0),
        (429, {"Retry-After": "-5"}, 0),
        (429, {"Retry-After": "Tue, 14 Nov 2023 22:15:20 GMT"}, 120),
        (429, {"Retry-After": "Tue, 14 Nov 2023 22:15:20 -0000"}, 120),
        (429, {"Retry-After": "Tue, 14 Nov 2023 22:15:20"}, 120),
        (429, {"Retry-After": "Tue, 14 Nov 2023 23:15:20 +0100"}, 120),
        (429, {"Retry-After": "Tue, 14 Nov 2023 22:00:00 GMT"}, 0),
        (429, {"Retry-After": "soon"}, None),
        (429, {"Retry-After": "nan"}, None),
        (429, {"Retry-After": "inf"}, None),
        (429, {"Retry-After": "1e99"}, 3660),
        (429, {}, None),
        (429, {"X-RateLimit-Reset": str(SERVER_NOW + 90)}, 90),
        (429, {"X-RateLimit-Reset": str(SERVER_NOW + 90), "X-RateLimit-Remaining": "0"}, 90),
        (429, {"X-RateLimit-Reset": str(SERVER_NOW + 90), "X-RateLimit-Remaining": "9"}, None),
        (429, {"X-RateLimit-Reset": str(SERVER_NOW + 90), "Retry-After": "5"}, 5),
        (429, {"X-RateLimit-Reset": str(SERVER_NOW + 90), "Retry-After": "soon"}, 90),
        (403, {"X-RateLimit-Reset": str(SERVER_NOW + 90), "X-RateLimit-Remaining": "0"}, 90),
        (403, {"X-RateLimit-Reset": str(SERVER_NOW - 90), "X-RateLimit-Remaining": "0"}, 0),
        (403, {"X-RateLimit-Reset": "rubbish", "X-RateLimit-Remaining": "0"}, None),
        (403, {"X-RateLimit-Reset": "9" * 20, "X-RateLimit-Remaining": "0"}, 3660),
        (503, {"Retry-After": "11"}, 11),
        (503, {}, None),
        (503, {"X-RateLimit-Reset": str(SERVER_NOW + 90), "X-RateLimit-Remaining": "4000"}, None),
        (503, {"X-RateLimit-Reset": str(SERVER_NOW + 90), "X-RateLimit-Remaining": "0"}, 90),
        (503, {"X-RateLimit-Reset": str(SERVER_NOW + 90)}, None),
        (401, {"Retry-After": "7"}, None),
        (404, {"Retry-After": "7"}, None),
    ],
)
def test_when_to_ask_again(
    status: int, headers: dict[str, str], seconds: float | None, skew: float
) -> None:
    """Retry-After, or else the spent limit's reset, however wrong our own clock is."""
    assert retry_at(status, headers | {"Date": DATE}, skew=skew) == seconds


def test_reset_without_a_date() -> None:
    """Without a Date header, all that is left is to take the server's clock for ours."""
    headers = {"X-RateLimit-Reset": str(SERVER_NOW + 90), "X-RateLimit-Remaining": "0"}
    assert retry_at(403, headers) == 90
    assert retry_at(403, headers | {"Date": "yesterday"}) == 90


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/New_York"])
def test_dates_do_not_depend_on_our_zone(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Date that names no zone is UTC, wherever this machine stands."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        headers = {"Retry-After": "Tue, 14 Nov 2023 22:15:20 -0000"}
        assert retry_at(429, headers | {"Date": "Tue, 14 Nov 2023 22:13:20 GMT"}) == 120
        headers = {"X-RateLimit-Reset": str(SERVER_NOW + 90)}
        assert retry_at(429, headers | {"Date": "Tue, 14 Nov 2023 22:13:20 -0000"}) == 90
    finally:
        monkeypatch.undo()
        time.tzset()


def test_rate_limit_headers() -> None:
    """The headers are read from any answer, and what is absent or rubbish is None."""
    full = {
        "X-RateLimit-Limit": "5000",
        "X-RateLimit-Remaining": "4321",
        "X-RateLimit-Reset": str(SERVER_NOW + 60),
        "Date": DATE,
    }
    limit = rate_limit(Response(200, full, b""), now=NOW + 12345)
    assert (limit.limit, limit.remaining, limit.resets_in) == (5000, 4321, 60)
    none = rate_limit(Response(200, {}, b""), now=NOW)
    assert (none.limit, none.remaining, none.resets_in) == (None, None, None)
    rubbish = dict.fromkeys(full, "x")
    assert rate_limit(Response(200, rubbish, b""), now=NOW) == none


def test_server_time() -> None:
    """The server's clock is that of its Date header, and unknown without a good one."""
    assert server_time(Response(200, {"date": DATE}, b"")) == SERVER_NOW
    assert server_time(Response(200, {"Date": "today"}, b"")) is None
    assert server_time(Response(200, {}, b"")) is None


@pytest.mark.parametrize("name", UNPARSED)
def test_unparsed_lists(name: str) -> None:
    """The same request, whose items stay as they were sent; what is no list of objects is none."""
    api_request, sample = CALLS[name]
    raw = UNPARSED[api_request.name]()
    assert raw == api_request
    (items,) = sample.values()
    assert interpreted(raw, json.dumps(sample).encode()) == tuple(items)
    for body in (b"[]", b"{}", b'{"app": [1], "build_flows": [1]}'):
        with pytest.raises(ProtocolError):
            interpreted(raw, body)


# --- the token -----------------------------------------------------------------------------------

HARD_TOKEN = "a/b+c=\"d\\e'f<g>%2F"  # printable, and spelled differently by each kind of escaping


@pytest.mark.parametrize("token", [TOKEN, HARD_TOKEN])
@pytest.mark.parametrize("status", [200, 302, 401, 403, 404, 429, 500])
def test_token_is_struck_out(token: str, status: int) -> None:
    """A token that an answer echoes is struck out of the error, however the answer escapes it."""
    spelled = json.dumps(token)[1:-1]
    echoes = [
        f"<p>bad token {token}</p>",
        "x" * 190 + token,
        json.dumps({"message": f"token {token} is bad", "error_id": token}),
        json.dumps({"message": {"headers": [f"token {token}"]}}),
        json.dumps({"seen": token}),
        json.dumps({"seen": token}).replace("/", "\\/"),
        json.dumps([token]),
    ]
    headers = {"Location": f"https://{token}.example/{token}?{token}", "X-Echo": token}
    for api_request, _ in CALLS.values():
        for echo in echoes:
            response = Response(status, headers, echo.encode())
            with pytest.raises(CallError) as caught:
                interpret(api_request, response, now=NOW, secret=token)
            error = caught.value
            said = [str(error), error.message or "", error.error_id or "", error.problem]
            for text in [*said, repr(error), repr(error.__dict__)]:
                for form in (token, spelled, spelled.replace("/", "\\/")):
                    assert form.lower() not in text.lower(), echo


def escaped(text: str) -> str:
    """Spell a text in JSON as no sender has to, and as every parser takes it."""
    return "".join(rf"\u{ord(char):04X}" for char in text)


SPELLINGS: dict[str, Callable[[str], bytes]] = {
    "as it is": lambda token: json.dumps(token).encode(),
    "slashes escaped": lambda token: json.dumps(token).replace("/", r"\/").encode(),
    "all escaped": lambda token: f'"{escaped(token)}"'.encode(),
    "half escaped": lambda token: f'"{escaped(token[:3])}{json.dumps(token[3:])[1:]}'.encode(),
    "JSON in JSON": lambda token: json.dumps(json.dumps({"token": token})).encode(),
    "a URL": lambda token: json.dumps(f"https://x/?t={quote(token, safe='')}&u=1").encode(),
    "a URL in lower case": lambda token: json.dumps(
        re.sub("%..", lambda found: found[0].lower(), quote(token, safe=""))
    ).encode(),
    "a header": lambda token: json.dumps(f"Authorization: token {token}, and so on").encode(),
}
FORMS = (HARD_TOKEN, quote(HARD_TOKEN, safe=""), json.dumps(HARD_TOKEN)[1:-1], TOKEN)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("token", [TOKEN, HARD_TOKEN])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_no_object_has_the_token_in_it(token: str, spelling: str, encoding: str) -> None:
    """Whatever text of a good answer is the token, in whatever spelling: it is struck out."""
    for api_request, sample in CALLS.values():
        body = re.sub(r'(?<=: )"[^"]*"', '"<>"', json.dumps(sample)).encode()
        body = body.replace(b'"<>"', SPELLINGS[spelling](token)).decode().encode(encoding)
        try:
            made = interpret(api_request, Response(200, {}, body), now=NOW, secret=token)
        except ProtocolError as e:  # it is no usable id
            made = e
        assert "***" in repr(made)
        for form in FORMS:
            assert form.lower() not in repr(made).lower(), api_request.name
        if api_request.name in UNPARSED:
            raw = UNPARSED[api_request.name]()
            items = interpret(raw, Response(200, {}, body), now=NOW, secret=token)
            assert token not in json.dumps(items)


def test_the_token_in_keys_and_numbers() -> None:
    raw = list_apps_unparsed()
    body = b'{"app": [{"id": 12345678, "12345678": [1, true, null, 1.5]}]}'
    (item,) = interpret(raw, Response(200, {}, body), now=NOW, secret="12345678")
    assert item == {"id": "***", "***": [1, True, None, 1.5]}


@pytest.mark.parametrize("body", [json.dumps(APPS), json.dumps(APPS, ensure_ascii=False)])
def test_an_answer_without_the_token_is_not_gone_through(
    body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token is sought in the bytes: an answer as it mostly comes costs nothing more."""
    monkeypatch.setattr(response, "redact", None)
    assert interpreted(CALLS["list_apps"][0], body.encode()) == (App.parse(LISTED_APP),)


def test_a_short_token_strikes_nothing_out() -> None:
    response = Response(200, {}, json.dumps(APP).encode())
    assert interpret(CALLS["get_app"][0], response, now=NOW, secret="a") == App.parse(APP)


def test_backslashes_cost_no_time() -> None:
    response = Response(200, {}, b'{"message": "' + b"\\" * 200_000 + b'"}')
    began = time.process_time()
    with pytest.raises(ProtocolError):
        interpret(CALLS["get_app"][0], response, now=NOW, secret=HARD_TOKEN)
    assert time.process_time() - began < 30  # by the square of their number it takes hours
