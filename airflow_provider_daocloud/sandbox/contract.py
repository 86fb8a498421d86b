"""The DaoCloud Open API as pure functions: a request and a world in, an answer out.

This is the sandbox's own reading of the page; it shares no code with the client that it tests.
A call is one row of ``CALLS`` and one function.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from airflow_provider_daocloud.sandbox.actions import AppBusyError
from airflow_provider_daocloud.sandbox.options import encodable
from airflow_provider_daocloud.sandbox.parts import NotFoundError

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.objects import (
        Account,
        Action,
        App,
        AppView,
        Build,
        BuildFlow,
        Stack,
    )
    from airflow_provider_daocloud.sandbox.world import World

# Far more than any call needs, in bytes.
LONGEST_BODY = 1 << 20


@dataclass(frozen=True)
class Request:
    """A request as it came off the wire.

    :param method: ``GET`` or ``POST``.
    :param path: the path, still percent-encoded, without the query.
    :param headers: by name in lower case. The values of one that came twice, with ``, `` between.
    :param body: the raw body. One longer than ``LONGEST_BODY`` may be cut anywhere after that.
    :param query: what stands behind the ``?``, still percent-encoded.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # they hold the token
    body: bytes = b""
    query: str = ""


@dataclass(frozen=True)
class Response:
    """An answer, and what the sandbox noted about it.

    :param acted: whether the call had an effect.
    :param note: a few words for the log.
    :param action_id: the action (or the build) that a POST started.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    acted: bool = False
    note: str = ""
    action_id: str | None = None


@dataclass(frozen=True)
class Route:
    """Which call a request is, if any.

    :param call: the call's name, ``unknown`` or ``wrong_method``.
    :param params: the ids in its path.
    :param methods: for a ``wrong_method``, those that the path takes.
    """

    call: str
    params: Mapping[str, str]
    methods: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Call:
    """What a handler gets."""

    world: World
    params: Mapping[str, str]
    request: Request
    account: Account

    @property
    def app(self) -> App:
        return self.world.apps.by_id(self.params["app_id"])

    @property
    def stack(self) -> Stack:
        return self.world.stacks.by_id(self.params["stack_id"])


class _RefusalError(Exception):
    """The call gets an error for an answer."""

    def __init__(self, status: int, error_id: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.error_id, self.message = status, error_id, message
        self.headers = headers


_Made = tuple[bytes, str, str | None]  # the body, a note, the id of an action or build started
_Handler = Callable[[_Call], _Made]


def _encode(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _date(moment: float) -> str:
    return _date_of(int(moment))


@lru_cache(maxsize=8192)
def _date_of(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()


# Build flows


def _build_flow_json(world: World, flow: BuildFlow, *, listed: bool = False) -> dict[str, Any]:
    made = {
        "id": flow.id,
        "name": flow.name,
        "repo": flow.repo,
        "src_language": flow.src_language,
        "src_provider": flow.src_provider,
        "status": world.options.spell(flow.status),
        "src_origin_url": flow.src_origin_url,
        "package_id": flow.package_id,
        "created_at": _date(flow.created_at),
    }
    if world.options.build_flow_fields == "later" or world.options.revision == 2018:
        del made["src_language"]
        if listed:
            del made["src_origin_url"]
    return made


def _list_build_flows(call: _Call) -> _Made:
    flows = call.world.build_flows.read()
    entries = [_build_flow_json(call.world, flow, listed=True) for flow in flows]
    return _encode({"build_flows": entries}), f"{len(flows)} build flows", None


def _get_build_flow(call: _Call) -> _Made:
    (flow,) = call.world.build_flows.read(call.params["build_flow_id"])
    return _encode(_build_flow_json(call.world, flow)), f"{flow.name} {flow.status}", None


def _build_json(world: World, build: Build) -> dict[str, Any]:
    made = {
        "id": build.id,
        "status": world.options.spell(build.status),
        "created_at": _date(build.created_at),
        "author": build.author,
        "sha": build.sha,
        "tag": build.tag,
    }
    if world.options.revision == 2018:
        return {**made, "branch": build.ref}
    # Strings, as the page has them.
    return {**made, "ref": build.ref, "ref_is_tag": "false", "ref_is_branch": "true"}


def _start_build(call: _Call) -> _Made:
    branch = _in_body(call, "branch")
    build = call.world.order_build(call.params["build_flow_id"], branch)
    note = f"build {build.id} of {branch} accepted"
    return _encode(_build_json(call.world, build)), note, str(build.id)


def _get_build(call: _Call) -> _Made:
    build = call.world.build_flows.read_build(call.params["build_flow_id"], call.params["build_id"])
    return _encode(_build_json(call.world, build)), f"build {build.id} {build.status}", None


# Apps


def _app_json(view: AppView, revision: int) -> dict[str, Any]:
    runtime = {"name": view.runtime_name, "display_name": view.runtime_display_name}
    if revision == 2018:
        runtime = {"id": view.runtime_id, **runtime}
    return {
        "package": {"id": view.package_id, "image": view.image},
        "state": view.state,
        "created_at": _date(view.created_at),
        "last_operated_at": _date(view.last_operated_at),
        "release_name": view.release_name,
        "app_runtime": runtime,
        "id": view.id,
        "name": view.name,
        "enable_auto_redeploy": view.enable_auto_redeploy,
    }


@lru_cache(maxsize=8192)
def _list_entry(view: AppView, revision: int) -> bytes:
    # A list of a thousand apps is polled again and again, and few of them have changed.
    return _encode(_app_json(view, revision))


def _list_apps(call: _Call) -> _Made:
    world = call.world
    entries = [
        _list_entry(world.apps.listed_view(app), world.options.revision)
        for app in world.apps.values()
    ]
    return b'{"app": [' + b", ".join(entries) + b"]}", f"{len(entries)} apps", None


def _get_app(call: _Call) -> _Made:
    view, revision = call.world.view(call.app), call.world.options.revision
    config: dict[str, Any] = {
        "instances": view.instances,
        "expose_port": view.expose_port,
        "command": view.command,
    }
    if revision == 2018:
        config["expose_ports"] = [
            {
                "publish_type": "http",
                "protocol": "tcp",
                "external": "external",
                "container_port": view.expose_port,
            }
        ]
    note = f"{view.name} {view.state} {view.release_name}"
    return _encode({**_app_json(view, revision), "config": config}), note, None


# Stacks


def _stack_json(world: World, stack: Stack) -> dict[str, Any]:
    fine = world.options.last_operated_at_granularity
    return {
        "id": stack.id,
        "name": stack.name,
        "created_at": _date(stack.created_at),
        # The page's sample has no UTC offset here.
        "last_operated_at": _date(stack.last_operated_at // fine * fine).partition("+")[0],
        "stacks": [{"stack_id": stack_id} for stack_id in stack.stack_ids],
    }


def _list_stacks(call: _Call) -> _Made:
    stacks = [_stack_json(call.world, stack) for stack in call.world.stacks.values()]
    return _encode({"stacks": stacks}), f"{len(stacks)} stacks", None


def _get_stack(call: _Call) -> _Made:
    stack = call.stack
    return _encode(_stack_json(call.world, stack)), stack.name, None


# Actions


def _operate(action: str) -> _Handler:
    def handler(call: _Call) -> _Made:
        app = call.app
        release_name = _in_body(call, "release_name") if action == "redeploy" else None
        started = call.world.operate(app.id, action, release_name, by=call.account.name)
        note = f"{action} {app.name}" + (f" to {release_name}" if release_name else "")
        note += f": action {started.id} accepted"
        return _encode({"action_id": started.id}), note, started.id

    return handler


def _operate_stack(action: str) -> _Handler:
    def handler(call: _Call) -> _Made:
        stack = call.stack
        started = call.world.operate_stack(stack.id, action, by=call.account.name)
        note = f"{action} {stack.name}: action {started.id} accepted"
        return _encode({"action_id": started.id}), note, started.id

    return handler


def _in_body(call: _Call, name: str) -> str:
    """Return the one field that the body of a POST has."""
    options, raw = call.world.options, call.request.body
    content_type = call.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    labelled = content_type == "application/json"
    if options.accept_form and content_type == "application/x-www-form-urlencoded":
        return _text_of(parse_qs(raw.decode(errors="replace")).get(name, [None])[0], name)
    if options.strict_content_type and not labelled:
        raise _RefusalError(406, "not_acceptable", "Content-Type must be application/json")
    try:
        body = json.loads(raw) if raw.strip() else {}
    except (ValueError, RecursionError):
        # What claims to be JSON is malformed; anything else is "not JSON", as the page calls it.
        status, error_id = (400, "bad_request") if labelled else (406, "not_acceptable")
        raise _RefusalError(status, error_id, "the body is not JSON") from None
    return _text_of(body.get(name) if isinstance(body, dict) else None, name)


def _text_of(value: object, name: str) -> str:
    if not isinstance(value, str) or not value.strip() or not encodable(value):
        raise _RefusalError(400, "bad_request", f"{name} is missing or not a string")
    return value


def _get_action(call: _Call) -> _Made:
    action = call.world.actions.read(call.app, call.params["action_id"])
    body = {
        "action_name": f"{action.action}_app",
        "state": call.world.options.spell(action.state, page_case=call.world.options.usual_case),
        "app_id": action.app_id,
        **_action_json(action),
    }
    return _encode(body), f"{action.action} {action.state}", None


def _get_stack_action(call: _Call) -> _Made:
    action = call.world.actions.read(call.stack, call.params["action_id"])
    body = {
        "action_name": f"{action.action}_stack",
        # The page's sample of this call, unlike the other, is in lower case.
        "state": call.world.options.spell(action.state, page_case="lower"),
        "stack_id": action.stack_id,
        **_action_json(action),
    }
    return _encode(body), f"{action.action} {action.state}", None


def _action_json(action: Action) -> dict[str, Any]:
    start = action.accepted_at if action.begun_at is None else action.begun_at
    end = action.ended_at
    return {
        "end_date": None if end is None else _date(end),
        "start_date": _date(start),
        "error_info": {"message": action.message},
        "id": action.id,
        "time_cost_seconds": None if end is None else int(end) - int(start),
    }


# The page's own calls, and those of its later revisions.
_FIRST_CALLS: tuple[tuple[str, str, str, _Handler], ...] = (
    ("list_build_flows", "GET", "build-flows", _list_build_flows),
    ("get_build_flow", "GET", "build-flows/{build_flow_id}", _get_build_flow),
    ("list_apps", "GET", "apps", _list_apps),
    ("get_app", "GET", "apps/{app_id}", _get_app),
    ("start_app", "POST", "apps/{app_id}/actions/start", _operate("start")),
    ("stop_app", "POST", "apps/{app_id}/actions/stop", _operate("stop")),
    ("restart_app", "POST", "apps/{app_id}/actions/restart", _operate("restart")),
    ("redeploy_app", "POST", "apps/{app_id}/actions/redeploy", _operate("redeploy")),
    ("get_action", "GET", "apps/{app_id}/actions/{action_id}", _get_action),
)
_LATER_CALLS: tuple[tuple[str, str, str, _Handler], ...] = (
    ("start_build", "POST", "build-flows/{build_flow_id}/builds", _start_build),
    ("get_build", "GET", "build-flows/{build_flow_id}/builds/{build_id}", _get_build),
    ("list_stacks", "GET", "stacks", _list_stacks),
    ("get_stack", "GET", "stacks/{stack_id}", _get_stack),
    ("start_stack", "POST", "stacks/{stack_id}/actions/start", _operate_stack("start")),
    ("stop_stack", "POST", "stacks/{stack_id}/actions/stop", _operate_stack("stop")),
    ("restart_stack", "POST", "stacks/{stack_id}/actions/restart", _operate_stack("restart")),
    ("get_stack_action", "GET", "stacks/{stack_id}/actions/{action_id}", _get_stack_action),
)
CALLS = (*_FIRST_CALLS, *_LATER_CALLS)
CALL_NAMES = tuple(name for name, *_ in CALLS)

_LATER_NAMES = {name for name, *_ in _LATER_CALLS}
_HANDLERS = {name: handler for name, _, _, handler in CALLS}
_PATTERNS = [(name, method, pattern.split("/")) for name, method, pattern, _ in CALLS]
_UNKNOWN = Route("unknown", {})


def route(prefix: str, method: str, path: str) -> Route:
    """Return which call a method and a path (still percent-encoded) are.

    A path that is known with other methods only is the call ``wrong_method``.
    """
    if not path.startswith(prefix + "/"):
        return _UNKNOWN
    parts = [unquote(part) for part in path[len(prefix) + 1 :].split("/")]
    wanted = "GET" if method == "HEAD" else method
    allowed: list[str] = []
    for name, takes, pattern in _PATTERNS:
        if len(parts) != len(pattern):
            continue
        params = {}
        for part, known in zip(parts, pattern, strict=True):
            if known.startswith("{") and part:
                params[known[1:-1]] = part
            elif part != known:
                break
        else:
            if takes == wanted:
                return Route(name, params)
            allowed += [takes, "HEAD"] if takes == "GET" else [takes]
    return Route("wrong_method", {}, tuple(allowed)) if allowed else _UNKNOWN


def _account(world: World, request: Request) -> Account | None:
    value = request.headers.get("authorization", "").strip()
    word, _, token = value.partition(" ")
    # The page says `token <access token>`; the service was seen to take the bare token too.
    return world.accounts.valid(token.strip() if word.lower() == "token" and token else value)


def rate_headers(world: World, account: Account) -> dict[str, str]:
    """Return the headers that show what is left of an account's hour."""
    remaining = world.accounts.remaining(account)
    return {
        "X-RateLimit-Limit": str(world.options.rate_limit),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(int(account.window_end)),
    }


def account_of(world: World, request: Request) -> Account:
    """Return whose request it is: the token's account, or the anonymous one."""
    return _account(world, request) or world.accounts.anonymous


def respond(
    world: World,
    status: int,
    body: bytes,
    *,
    content_type: str = "application/json",
    account: Account | None = None,
) -> Response:
    """Return an answer with the headers that every answer has, without acting on anything."""
    headers = {"Date": formatdate(world.now(), usegmt=True), "Content-Type": content_type}
    if account is not None:
        headers |= rate_headers(world, account)
    return Response(status, headers, body)


def plain(world: World, account: Account) -> Response:
    """Return an empty JSON object with the headers of every answer, without any effect."""
    return respond(world, 200, b"{}", account=account)


def error_body(error_id: str, message: str) -> bytes:
    """Return the body of an error as the service was seen to write it."""
    return _encode({"error_id": error_id, "message": message})


def handle(world: World, request: Request, prefix: str = "/v1") -> Response:
    """Answer one request: token, hourly limit, path, method, body, effect, in this order."""
    with world.timeline.up_to_date():
        account = account_of(world, request)
        status, note, action_id = 200, "", None
        headers: dict[str, str] = {}
        try:
            body, note, action_id = _handle(world, request, prefix, account)
        except _RefusalError as refusal:
            status, note, headers = refusal.status, refusal.message, refusal.headers
            body = error_body(refusal.error_id, refusal.message)
        headers = respond(world, status, body, account=account).headers | headers
        return Response(
            status, headers, body, acted=action_id is not None, note=note, action_id=action_id
        )


def _handle(world: World, request: Request, prefix: str, account: Account) -> _Made:
    if "websocket" in request.headers.get("upgrade", "").lower():
        raise _RefusalError(400, "bad_request", "this API has no websockets")
    if account is world.accounts.anonymous:
        raise _RefusalError(401, "unauthorized", "the access token is missing, wrong or expired")
    if not world.accounts.spend(account):
        raise _RefusalError(403, "rate_limit_exceeded", "the hourly limit of calls is exceeded")
    found = route(prefix, request.method, request.path)
    if found.call == "wrong_method":
        raise _RefusalError(
            405,
            "method_not_allowed",
            f"{request.method} is not allowed here",
            Allow=", ".join(found.methods),
        )
    too_late = found.call in _LATER_NAMES and not world.options.later_calls
    if found.call == "unknown" or too_late:
        raise _RefusalError(404, "not_found", "there is nothing here")
    if not _takes_json(request):
        raise _RefusalError(406, "not_acceptable", "this API speaks JSON only")
    if account.read_only and request.method not in ("GET", "HEAD"):
        raise _RefusalError(401, "unauthorized", "the call is beyond what the access token allows")
    if len(request.body) > LONGEST_BODY:
        raise _RefusalError(413, "too_large", f"the body is longer than {LONGEST_BODY} bytes")
    try:
        return _HANDLERS[found.call](_Call(world, found.params, request, account))
    except NotFoundError as error:
        raise _RefusalError(404, "not_found", str(error)) from None
    except AppBusyError as error:
        raise _RefusalError(world.options.busy_status, "app_busy", str(error)) from None


def _takes_json(request: Request) -> bool:
    ranges = request.headers.get("accept", "*/*").split(",")
    media_types = {item.partition(";")[0].strip().lower() for item in ranges}
    return bool(media_types & {"", "*/*", "application/*", "application/json"})
