"""DaoCloud Enterprise 5 as pure functions: a request and a world in, an answer out.

This is the sandbox's own reading of the documents; it shares no code with the client that it
tests. A call is one row of a product's ``CALLS`` and one function.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import unquote

from airflow_provider_daocloud.sandbox.contract import LONGEST_BODY, Request, Response, Route
from airflow_provider_daocloud.sandbox.enterprise import (
    amamba_pipelines,
    amamba_places,
    amamba_runs,
    amamba_workloads,
    ghippo,
    kpanda_places,
    kpanda_workloads,
)
from airflow_provider_daocloud.sandbox.enterprise.users import ANONYMOUS, AccessKey, User
from airflow_provider_daocloud.sandbox.enterprise.wire import (
    HTTP_STATUS,
    INTERNAL,
    INVALID_ARGUMENT,
    NOT_FOUND,
    PERMISSION_DENIED,
    RESOURCE_EXHAUSTED,
    UNAUTHENTICATED,
    UNAVAILABLE,
    UNIMPLEMENTED,
    Call,
    CallRow,
    Made,
    RefusalError,
)
from airflow_provider_daocloud.sandbox.parts import NotFoundError

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.enterprise.world import EnterpriseWorld

_JSON = "application/json"

CALLS: tuple[CallRow, ...] = (
    *ghippo.CALLS,
    *kpanda_places.CALLS,
    *kpanda_workloads.CALLS,
    *amamba_places.CALLS,
    *amamba_workloads.CALLS,
    *amamba_pipelines.CALLS,
    *amamba_runs.CALLS,
)
CALL_NAMES = tuple(name for name, *_ in CALLS)
_HANDLERS = {name: handler for name, _, _, handler in CALLS}
# The calls by the number of their path's parts: there are many.
_PATTERNS: dict[int, list[tuple[str, str, list[str]]]] = {}
for _name, _method, _pattern, _ in CALLS:
    _parts = _pattern.split("/")
    _PATTERNS.setdefault(len(_parts), []).append((_name, _method, _parts))
_UNKNOWN = Route("unknown", {})
_PRODUCT = re.compile(r"(?:apis|api|unsafe)/(?:\w+\.)?(ghippo|kpanda|amamba)\.io/")


def route(prefix: str, method: str, path: str) -> Route:
    """Return which call a method and a path (still percent-encoded) are.

    A path that is known with other methods only is the call ``wrong_method``.
    """
    if not path.startswith(prefix + "/"):
        return _UNKNOWN
    parts = [unquote(part) for part in path[len(prefix) + 1 :].split("/")]
    wanted = "GET" if method == "HEAD" else method
    allowed: list[str] = []
    for name, takes, pattern in _PATTERNS.get(len(parts), ()):
        params = _match(pattern, parts)
        if params is not None:
            if takes == wanted:
                return Route(name, params)
            allowed.append(takes)
    return Route("wrong_method", {}, tuple(allowed)) if allowed else _UNKNOWN


def _match(pattern: list[str], parts: list[str]) -> Mapping[str, str] | None:
    params = {}
    for known, part in zip(pattern, parts, strict=True):
        if not known.startswith("{"):
            if part != known:
                return None
            continue
        name, _, verb = known.partition("}")
        value = part.removesuffix(verb)
        # A verb stands behind the last part's name, with a colon: `web:restart`.
        if not value or (verb and value == part) or (not verb and ":" in part):
            return None
        params[name[1:]] = value
    return params


def _key(world: EnterpriseWorld, request: Request) -> AccessKey | None:
    word, _, token = request.headers.get("authorization", "").strip().partition(" ")
    return world.users.keys.get(token.strip()) if word.lower() == "bearer" else None


def account_of(world: EnterpriseWorld, request: Request) -> User:
    """Return whose request it is: the key's user, or the anonymous one."""
    key = _key(world, request)
    return key.user if key and not key.revoked else ANONYMOUS


def plain(world: EnterpriseWorld, account: User) -> Response:  # noqa: ARG001 - see `Contract`
    """Return an empty JSON object with the headers of every answer, without any effect."""
    return _respond(world, 200, b"{}")


def _respond(
    world: EnterpriseWorld,
    status: int,
    body: bytes,
    headers: Mapping[str, str] | None = None,
    made: Made | None = None,
    note: str = "",
) -> Response:
    usual = {"Date": formatdate(world.now(), usegmt=True), "Content-Type": _JSON}
    acted = made is not None and made.acted
    return Response(
        status,
        usual | dict(headers or {}),
        body,
        acted=acted,
        note=made.note if made else note,
        action_id=made.id if made else None,
    )


# The codes of the errors that faults and the server make up.
_CODES = {
    "server_error": UNAVAILABLE,
    "too_many_requests": RESOURCE_EXHAUSTED,
    "rate_limit_exceeded": RESOURCE_EXHAUSTED,
}


def error_body(error_id: str, message: str) -> bytes:
    """Return the body of an error: a google.rpc.Status."""
    return _status_body(_CODES.get(error_id, INTERNAL), message)


def _status_body(code: int, message: str) -> bytes:
    return json.dumps({"code": code, "message": message, "details": []}).encode()


def handle(world: EnterpriseWorld, request: Request, prefix: str = "") -> Response:
    """Answer one request: token, limit, path, method, permission, body, effect, in this order."""
    with world.timeline.up_to_date():
        try:
            made = _handle(world, request, prefix)
        except RefusalError as refusal:
            body, headers = _status_body(refusal.code, refusal.message), refusal.headers
            if refusal.text is not None:
                body = refusal.text.encode()
                headers = {"Content-Type": "text/plain", **headers}
            return _respond(world, refusal.status, body, headers, note=refusal.message)
        return _respond(world, 200, json.dumps(made.value, ensure_ascii=False).encode(), made=made)


def _handle(world: EnterpriseWorld, request: Request, prefix: str) -> Made:
    found = route(prefix, request.method, request.path)
    key = _admitted(world, request)
    user = key.user
    wait = world.users.spend(key)
    if wait is not None:
        retry = {"Retry-After": str(math.ceil(wait))}
        raise RefusalError(RESOURCE_EXHAUSTED, "too many requests", headers=retry)
    _check_installed(world, request, prefix)
    if found.call == "wrong_method":
        # A gateway makes this of a method that a path does not have.
        raise RefusalError(UNIMPLEMENTED, "Method Not Allowed")
    if found.call == "unknown":
        raise RefusalError(NOT_FOUND, "Not Found")
    if user.read_only and request.method not in ("GET", "HEAD"):
        message = f"[RBAC] {found.call} is forbidden for user({user.name})"
        raise RefusalError(PERMISSION_DENIED, message)
    if len(request.body) > LONGEST_BODY:
        raise RefusalError(INVALID_ARGUMENT, "request entity too large", status=413)
    try:
        return _HANDLERS[found.call](Call(world, found.params, request, user))
    except NotFoundError as error:
        raise RefusalError(NOT_FOUND, str(error)) from None


def _admitted(world: EnterpriseWorld, request: Request) -> AccessKey:
    """Return the access key of a request.

    :raises RefusalError: the gateway does not let it in.
    """
    key = _key(world, request)
    if key is not None and not key.revoked:
        if key.expires_at is None or world.now() < key.expires_at:
            return key
        code, words = UNAUTHENTICATED, "Jwt is expired"
    elif request.headers.get("authorization"):
        code, words = UNAUTHENTICATED, "Jwt verification fails"
    else:
        code, words = PERMISSION_DENIED, "RBAC: access denied"
    if world.options.gateway_errors == "json":
        raise RefusalError(UNAUTHENTICATED, words)
    raise RefusalError(code, words, text=words, status=HTTP_STATUS[code])


def _check_installed(world: EnterpriseWorld, request: Request, prefix: str) -> None:
    product = _PRODUCT.match(unquote(request.path)[len(prefix) + 1 :])
    if product and product[1] not in world.products:
        # No product, no route: the gateway's own 404, without a body.
        text = "" if world.options.gateway_errors == "text" else None
        raise RefusalError(NOT_FOUND, "Not Found", text=text)
