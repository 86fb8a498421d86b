"""The DaoCloud Open API v1 as pure functions: build each request, interpret each answer.

A `Call` is one request, with the way to read its answer. Clients send it and hand the `Answer` to
`interpret`, which returns the promised object or raises one of `errors`: nothing else. There is
no I/O here and no clock.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlsplit

from airflow_provider_daocloud.api.errors import (
    AuthenticationError,
    CallError,
    InputError,
    NotFoundError,
    OutcomeUnknownError,
    ProtocolError,
    RateLimitedError,
    RefusedError,
    ServerFaultError,
)
from airflow_provider_daocloud.api.models import Action, App, Build, BuildFlow, ShapeError, Stack
from airflow_provider_daocloud.arguments import APP_ACTIONS, whole_as_text

T = TypeVar("T")
Item = TypeVar("Item")

# The limit is by the hour, so a reset further away than this is a broken clock or header.
LONGEST_RESET = 3660.0


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request to DaoCloud, and how to read its answer."""

    name: str
    method: str
    path: str
    parse: Callable[[Any], T] = field(repr=False, compare=False)
    body: Mapping[str, str] | None = None
    # What else a 404 can mean, in words.
    missing: str = field(default="", repr=False, compare=False)

    @property
    def acts(self) -> bool:
        """Whether the call changes something, so that sending it twice would do it twice."""
        return self.method != "GET"

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, as any client can give it. Header names in any letter case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return a header's value, or None."""
        for key, value in self.headers.items():
            if key.lower() == name:
                return value
        return None


@dataclass(frozen=True)
class RateLimit:
    """What an answer says of the hourly limit of its token.

    ``resets_in`` is in seconds from the moment of the answer, by the server's own clock.
    """

    limit: int | None
    remaining: int | None
    resets_in: float | None


# Later revisions of the API brought these calls, and an installation can be of an earlier one.
_NO_BUILDS = (
    " Or this installation is older than the calls for builds: there, DaoCloudBuildFlowSensor with "
    "not_package_id waits for a new build."
)

# --- the calls ----------------------------------------------------------------------------------


def list_build_flows() -> Call[tuple[BuildFlow, ...]]:
    """``GET /v1/build-flows``: all build flows that the token can see."""
    return Call("list_build_flows", "GET", "/build-flows", _list("build_flows", BuildFlow.parse))


def get_build_flow(build_flow_id: str) -> Call[BuildFlow]:
    """``GET /v1/build-flows/{id}``: one build flow."""
    path = f"/build-flows/{segment('build_flow_id', build_flow_id)}"
    return Call("get_build_flow", "GET", path, _object(BuildFlow.parse))


def list_apps() -> Call[tuple[App, ...]]:
    """``GET /v1/apps``: all apps that the token can see, without their ``config``."""
    # The answer's key is singular. The plural is taken too: a later revision may well mend it.
    return Call("list_apps", "GET", "/apps", _list("app", App.parse, or_key="apps"))


def get_app(app_id: str) -> Call[App]:
    """``GET /v1/apps/{id}``: one app, with its ``config``."""
    return Call("get_app", "GET", f"/apps/{segment('app_id', app_id)}", _object(App.parse))


def act_on_app(app_id: str, action: str) -> Call[str]:
    """``POST /v1/apps/{id}/actions/start``, ``stop`` or ``restart``: returns the action id."""
    path = f"/apps/{segment('app_id', app_id)}/actions/{_known_action(action)}"
    return Call(f"{action}_app", "POST", path, _action_id)


def redeploy_app(app_id: str, release_name: str) -> Call[str]:
    """``POST /v1/apps/{id}/actions/redeploy``: returns the action id."""
    path = f"/apps/{segment('app_id', app_id)}/actions/redeploy"
    body = {"release_name": checked("release_name", release_name)}
    return Call("redeploy_app", "POST", path, _action_id, body)


def get_action(app_id: str, action_id: str) -> Call[Action]:
    """``GET /v1/apps/{id}/actions/{action_id}``: one action."""
    path = f"/apps/{segment('app_id', app_id)}/actions/{segment('action_id', action_id)}"
    return Call("get_action", "GET", path, _object(Action.parse))


def start_build(build_flow_id: str, branch: str) -> Call[Build]:
    """``POST /v1/build-flows/{id}/builds``: builds a branch, and returns the build."""
    path = f"/build-flows/{segment('build_flow_id', build_flow_id)}/builds"
    body = {"branch": checked("branch", branch)}
    return Call("start_build", "POST", path, _object(_usable_build), body, _NO_BUILDS)


def get_build(build_flow_id: str, build_id: str | int) -> Call[Build]:
    """``GET /v1/build-flows/{id}/builds/{build_id}``: one build."""
    flow = segment("build_flow_id", build_flow_id)
    build = segment("build_id", build_id)  # in the API's own answers a number
    path = f"/build-flows/{flow}/builds/{build}"
    return Call("get_build", "GET", path, _object(Build.parse), missing=_NO_BUILDS)


def list_stacks() -> Call[tuple[Stack, ...]]:
    """``GET /v1/stacks``: all stacks that the token can see."""
    return Call("list_stacks", "GET", "/stacks", _list("stacks", Stack.parse))


def get_stack(stack_id: str) -> Call[Stack]:
    """``GET /v1/stacks/{id}``: one stack."""
    path = f"/stacks/{segment('stack_id', stack_id)}"
    return Call("get_stack", "GET", path, _object(Stack.parse))


def act_on_stack(stack_id: str, action: str) -> Call[str]:
    """``POST /v1/stacks/{id}/actions/start``, ``stop`` or ``restart``: returns the action id."""
    path = f"/stacks/{segment('stack_id', stack_id)}/actions/{_known_action(action)}"
    return Call(f"{action}_stack", "POST", path, _action_id)


def get_stack_action(stack_id: str, action_id: str) -> Call[Action]:
    """``GET /v1/stacks/{id}/actions/{action_id}``: one action on a stack."""
    stack = segment("stack_id", stack_id)
    path = f"/stacks/{stack}/actions/{segment('action_id', action_id)}"
    return Call("get_stack_action", "GET", path, _object(Action.parse))


def unparsed(call: Call[tuple[Any, ...]]) -> Call[tuple[Mapping[str, Any], ...]]:
    """Return a list call whose items stay as the API sent them.

    For the shared poller: it asks the same list again and again, and parses only what changed.
    """
    raw: Callable[[Mapping[str, Any]], Mapping[str, Any]] = _as_sent
    if call.name == "list_apps":
        return Call(call.name, call.method, call.path, _list("app", raw, or_key="apps"))
    return Call(call.name, call.method, call.path, _list("build_flows", raw))


# --- arguments ----------------------------------------------------------------------------------


def checked(field: str, value: object) -> str:
    """Return ``value`` if it can name something at DaoCloud.

    :param field: the argument's name, for the error.
    :param value: what the user gave, after rendering.
    :raises InputError: it is no string, empty, an unrendered or empty template, or has white space.
    """
    text = checked_name(field, value)
    if re.search(r"\s", text):
        raise InputError(field, f"{text!r} has white space or control characters in it.")
    return text


def checked_name(field: str, value: object) -> str:
    """Return ``value`` if it can be what people call a thing: as `checked`, and with spaces.

    :param field: the argument's name, for the error.
    :param value: what the user gave, after rendering.
    :return: the name; a whole number as its text.
    :raises InputError: it is no string, empty, an unrendered or empty template, or has control
        characters.
    """
    value = whole_as_text(value)
    if value is None:
        raise InputError(field, "must be a string, not NoneType.")
    if not isinstance(value, str):
        raise InputError(
            field,
            f"must be a string, not {type(value).__name__}: {value!r:.100}. Native rendering "
            "(render_template_as_native_obj) makes such values of text that looks like Python, and "
            "1.10 becomes 1.1. Put quotes inside the text, as in \"'1.10'\" or \"'{{ … }}'\", or "
            "set render_template_as_native_obj=False.",
        )
    if not value.strip():
        raise InputError(field, "is empty. Give the value, or a template that renders to one.")
    if "{{" in value or "{%" in value:
        raise InputError(
            field, f"{value!r} is a template that was not rendered. Is the field a template field?"
        )
    if value == "None":
        raise InputError(
            field, "a template rendered to None. Does the task that it pulls from return a value?"
        )
    if re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", value):
        raise InputError(field, f"{value!r} has white space or control characters in it.")
    return value


def segment(field: str, value: object) -> str:
    r"""Return an id percent-encoded, to be one segment of a path and never more than one.

    :param field: the argument's name, for the error.
    :param value: the id.
    :raises InputError: as `checked`, and for whatever would lead elsewhere: ``/``, ``\``, ``..``.
    """
    text = checked(field, value)
    if text in (".", "..") or "/" in text or "\\" in text:
        raise InputError(field, f"{text!r} is not an id: give the id alone, not a path.")
    return quote(text, safe="")


def _known_action(action: str) -> str:
    if action not in APP_ACTIONS:
        raise InputError("action", f"must be one of {', '.join(APP_ACTIONS)}, not {action!r}.")
    return action


# --- the answers --------------------------------------------------------------------------------


def interpret(call: Call[T], answer: Answer, *, now: float, secret: str = "") -> T:
    """Return what the call promises, or raise why it did not come.

    :param call: what was asked.
    :param answer: what came back.
    :param now: seconds since the epoch by our clock, to say when to ask again.
    :param secret: the token; struck out of the object, and of whatever an error quotes.
    :raises CallError: the most specific one for the status or the body.
    """
    if 200 <= answer.status < 300:
        try:
            return call.parse(_json(answer.body, secret))
        except ShapeError as e:
            came = f"(HTTP {answer.status}): {_excerpt(answer.body, secret)}"
            problem = f"{e} in the answer {came}"
            if _begins_with_a_tag(answer.body):
                problem = (
                    f"a web page came instead of JSON {came}. If it stays so, no API answers "
                    "there: check the connection's host (the base URL) and prefix."
                )
            if call.acts:
                problem = f"{problem.rstrip('.')}; the action may have been taken."
            raise ProtocolError(str(call), problem, status=answer.status) from None
    raise _failure(call, answer, now, secret)


def untaken(call: Call[Any], problem: str, status: int | None = None) -> CallError:
    """Return the error for an answer that came, and that cannot be taken.

    :param call: what was asked.
    :param problem: why it cannot.
    :param status: the answer's status.
    """
    if call.acts:
        problem = f"{problem} The action may have been taken."
        return OutcomeUnknownError(str(call), problem, status=status)
    return ProtocolError(str(call), problem, status=status)


def strike(text: str, secret: str) -> str:
    """Return ``text`` with every occurrence of ``secret`` replaced, however it was escaped.

    :param text: something that came from elsewhere and is to be shown.
    :param secret: the token.
    """
    return _spellings(secret).sub("***", text) if secret else text


@lru_cache(maxsize=32)
def _spellings(secret: str) -> re.Pattern[str]:
    """Match a secret, each character as it is, or as JSON, Python or a URL escapes it."""
    # JSON can be quoted in JSON: the backslashes double each time. They are bounded, or a long run
    # of them would take time by its square.
    return re.compile(
        "".join(
            rf"(?:\\{{0,8}}(?:{re.escape(char)}|u00(?i:{ord(char):02x}))|%(?i:{ord(char):02x}))"
            for char in secret
        )
    )


def rate_limit(answer: Answer, *, now: float) -> RateLimit:
    """Read the ``X-RateLimit-*`` headers of an answer, each None where absent or unreadable.

    :param answer: any answer of DaoCloud.
    :param now: seconds since the epoch by our clock, used only if the answer has no ``Date``.
    """
    reset = _finite(answer.header("x-ratelimit-reset"))
    resets_in = None
    if reset is not None:
        resets_in = min(max(reset - _server_time(answer, now), 0.0), LONGEST_RESET)
    return RateLimit(
        limit=_count(answer.header("x-ratelimit-limit")),
        remaining=_count(answer.header("x-ratelimit-remaining")),
        resets_in=resets_in,
    )


def server_time(answer: Answer) -> float | None:
    """Return the server's clock, in seconds since the epoch, if the answer has a ``Date``.

    :param answer: any answer of DaoCloud.
    """
    return _moment(answer.header("date"))


def _failure(call: Call[Any], answer: Answer, now: float, secret: str) -> CallError:
    status = answer.status
    kind: type[CallError]
    retry_at: float | None = None
    if status == 429 or (status == 403 and rate_limit(answer, now=now).remaining == 0):
        kind, problem = RateLimitedError, f"the limit of calls is spent (HTTP {status})."
        retry_at = _retry_at(answer, now)
    elif status >= 500 or status in (408, 425):
        # 408 and 425 come from proxies, and say as little as a 5xx of what has happened behind.
        retry_at = _retry_at(answer, now)
        if call.acts:
            kind = OutcomeUnknownError
            problem = f"the server failed (HTTP {status}); the action may have been taken."
        else:
            kind, problem = ServerFaultError, f"the server failed (HTTP {status})."
    elif status >= 300 and (status == 407 or _is_web_page(answer)):
        kind, problem = _not_from_daocloud(call, answer, secret)
    elif status == 401:
        kind = AuthenticationError
        problem = "the access token is wrong or expired, or is not allowed this call (HTTP 401)."
    elif status == 404:
        kind = NotFoundError
        problem = "there is no such thing for this token (HTTP 404)." + call.missing
    elif 300 <= status < 400:
        kind = RefusedError
        problem = (
            f"the server redirects to {_origin(answer, secret)} (HTTP {status}); the "
            "token is not sent there. Give the connection the host that answers itself."
        )
    elif status < 300:
        kind, problem = ProtocolError, f"unexpected answer (HTTP {status})."
    else:
        kind, problem = RefusedError, f"DaoCloud refuses the call (HTTP {status})."
    error_id, message = _error_body(answer.body, secret)
    return kind(
        str(call), problem, status=status, error_id=error_id, message=message, retry_at=retry_at
    )


def _not_from_daocloud(call: Call[Any], answer: Answer, secret: str) -> tuple[type[CallError], str]:
    """Return what it means that something between answered: a proxy, a firewall, a login page.

    DaoCloud's own words are JSON. Whoever else answers cannot say what happened to an action.
    """
    status = answer.status
    problem = "a web page came instead of an answer of DaoCloud"
    if status == 407:
        problem = "a proxy asks for a user name and a password"
    elif 300 <= status < 400:
        problem += f", and redirects to {_origin(answer, secret)}"
    problem += f" (HTTP {status})"
    if call.acts:
        return OutcomeUnknownError, f"{problem}; the action may have been taken."
    return ProtocolError, (
        f"{problem}. If it stays so, check the connection's host, prefix and proxies."
        + (call.missing if status == 404 else "")
    )


def _is_web_page(answer: Answer) -> bool:
    if _begins_with_a_tag(answer.body):
        return True
    if "text/html" not in (answer.header("content-type") or "").lower():
        return False
    try:
        # Frameworks that are given JSON as a string may well call it HTML.
        return not isinstance(_json(answer.body), Mapping)
    except ShapeError:
        return True


def _begins_with_a_tag(body: bytes) -> bool:
    return body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def _retry_at(answer: Answer, now: float) -> float | None:
    """When to ask again, by our clock: Retry-After, or else the limit's reset if it is spent."""
    after = answer.header("retry-after")
    seconds = _finite(after)
    if seconds is None and (moment := _moment(after)) is not None:
        seconds = moment - _server_time(answer, now)
    if seconds is None:
        known = rate_limit(answer, now=now)
        # Every answer says when the hour ends: that matters only when the hour's calls are spent,
        # which a 429 alone says as well.
        if known.remaining == 0 or (known.remaining is None and answer.status == 429):
            seconds = known.resets_in
    return None if seconds is None else now + min(max(seconds, 0.0), LONGEST_RESET)


def _server_time(answer: Answer, now: float) -> float:
    # Reset is the server's clock; its Date header translates it, whatever our clock says.
    moment = server_time(answer)
    return now if moment is None else moment


def _moment(date: str | None) -> float | None:
    """Return an HTTP date in seconds since the epoch, or None for what is none."""
    try:
        moment = parsedate_to_datetime(date or "")
    except (ValueError, TypeError, OverflowError):
        return None
    # Without a zone, `timestamp` would take it for this machine's local time.
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _error_body(body: bytes, secret: str) -> tuple[str | None, str | None]:
    """Return DaoCloud's error_id and message, or for another body its first bytes as message."""
    try:
        data = _json(body)
    except ShapeError:
        return None, _excerpt(body, secret) if body.strip() else None
    if not isinstance(data, Mapping):
        return None, _excerpt(body, secret)
    error_id, message = (_struck(data.get(key), secret) for key in ("error_id", "message"))
    return error_id, message


def _struck(value: object, secret: str) -> str | None:
    if value is None or value == "":
        return None
    text = value if isinstance(value, str) else json.dumps(value)
    return strike(text.encode(errors="replace").decode(), secret)[:500]


def _json(body: bytes, secret: str = "") -> Any:
    if not body.strip():
        raise ShapeError("nothing")
    try:
        data = json.loads(body)
        return _without(secret, data) if _can_hold(body, secret) else data
    except (ValueError, RecursionError):  # ValueError: broken JSON, broken UTF-8, endless digits
        raise ShapeError("no JSON") from None


# A shorter token would be found in everything. Airflow's own log masks none as short, either.
_SHORTEST_SECRET = 5
# An escape that can stand for an ASCII character, as all characters of a token are.
_ASCII_ESCAPE = re.compile(rb"\\(?!u(?!00))")


def _can_hold(body: bytes, secret: str) -> bool:
    """Whether the token can be in a body. Nearly never: then nothing else is to be done."""
    return len(secret) >= _SHORTEST_SECRET and (
        secret.encode() in body
        or b"%" in body
        or b"\0" in body  # UTF-16 and UTF-32
        or _ASCII_ESCAPE.search(body) is not None
    )


def _without(secret: str, data: Any) -> Any:
    """Return JSON data without the token, in keys as in values."""
    if isinstance(data, str):
        return strike(data, secret)
    if isinstance(data, list):
        return [_without(secret, item) for item in data]
    if isinstance(data, dict):
        return {strike(key, secret): _without(secret, value) for key, value in data.items()}
    if isinstance(data, (int, float)) and not isinstance(data, bool):
        return data if secret not in str(data) else strike(str(data), secret)
    return data


def _excerpt(body: bytes, secret: str, length: int = 200) -> str:
    # Struck before it is cut, or half a token could be left at the end. In UTF-16 and UTF-32 there
    # are zeros between its characters.
    text = strike(body.replace(b"\0", b"").decode(errors="replace"), secret)
    text = " ".join(text[: length + 1].split())
    return repr(text[:length]) + ("…" if len(text) > length else "")


def _origin(answer: Answer, secret: str) -> str:
    # A location can carry anything in its path and query; where it leads is enough.
    try:
        parts = urlsplit(strike(answer.header("location") or "", secret))
        where = parts.hostname
    except ValueError:
        return "somewhere unreadable"
    return f"{parts.scheme or 'https'}://{where}" if where else "another path"


def _finite(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _count(text: str | None) -> int | None:
    number = _finite(text)
    return None if number is None else int(number)


def _object(parse: Callable[[Mapping[str, Any]], T]) -> Callable[[Any], T]:
    def read(data: Any) -> T:
        if not isinstance(data, Mapping):
            raise ShapeError(f"a {type(data).__name__} instead of an object")
        return parse(data)

    return read


def _as_sent(data: Mapping[str, Any]) -> Mapping[str, Any]:
    return data


def _list(
    key: str, parse: Callable[[Mapping[str, Any]], Item], or_key: str | None = None
) -> Callable[[Any], tuple[Item, ...]]:
    def read(data: Any) -> tuple[Item, ...]:
        if not isinstance(data, Mapping):
            raise ShapeError(f"a {type(data).__name__} instead of an object")
        found = key if key in data or or_key is None else or_key
        items = data.get(found, ...)
        if items is None:  # some servers write an empty list as null
            return ()
        if not isinstance(items, list):
            raise ShapeError(f"no list {key!r}")
        read_item = _object(parse)
        return tuple(read_item(item) for item in items)

    return read


def _action_id(data: Any) -> str:
    if isinstance(data, Mapping):
        action_id = data.get("action_id")
        if isinstance(action_id, int) and not isinstance(action_id, bool):
            action_id = str(action_id)
        if isinstance(action_id, str):
            try:
                segment("action_id", action_id)
            except InputError:
                pass
            else:
                return action_id
    raise ShapeError("no usable 'action_id'")


def _usable_build(data: Mapping[str, Any]) -> Build:
    build = Build.parse(data)
    try:
        segment("build_id", build.id)  # it is about to be asked for
    except InputError:
        raise ShapeError("no usable 'id'") from None
    return build
