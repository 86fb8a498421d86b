"""How a response is interpreted: pure, and the same for both clients.

A `Request` carries the way to read its response. Clients send it and hand the `Response` to
`interpret`, which returns the promised object or raises one of `errors`: nothing else. There is
no I/O here and no clock.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

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
from airflow_provider_daocloud.api.generation import X_RATE_LIMIT
from airflow_provider_daocloud.api.parsing import ShapeError
from airflow_provider_daocloud.api.request import Request, T

Item = TypeVar("Item")

# The limit is by the hour, so a reset further away than this is a broken clock or header.
LONGEST_RESET = 3660.0


@dataclass(frozen=True)
class Response:
    """An HTTP response, as any client can give it. Header names in any letter case."""

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


def interpret(request: Request[T], response: Response, *, now: float, secret: str = "") -> T:
    """Return what the call promises, or raise why it did not come.

    :param request: what was asked.
    :param response: what came back.
    :param now: seconds since the epoch by our clock, to say when to ask again.
    :param secret: the token; redacted in the object, and of whatever an error quotes.
    :raises CallError: the most specific one for the status or the body.
    """
    if 200 <= response.status < 300:
        try:
            found = request.parse(_json(response.body, secret))
            if request.keep is not None:
                found = request.keep(found, request.parse(_json(response.body)))
            return found
        except ShapeError as e:
            came = f"(HTTP {response.status}): {_excerpt(response.body, secret)}"
            problem = f"{e} in the answer {came}"
            if _begins_with_a_tag(response.body):
                problem = (
                    f"a web page came instead of JSON {came}. If it stays so, no API answers "
                    "there: check the connection's host (the base URL) and prefix."
                )
            if request.is_write:
                problem = f"{problem.rstrip('.')}; the action may have been taken."
            raise ProtocolError(str(request), problem, status=response.status) from None
    raise _failure(request, response, now, secret)


def unaccepted(request: Request[Any], problem: str, status: int | None = None) -> CallError:
    """Return the error for an answer that came, and that cannot be taken.

    :param request: what was asked.
    :param problem: why it cannot.
    :param status: the answer's status.
    """
    if request.is_write:
        problem = f"{problem} The action may have been taken."
        return OutcomeUnknownError(str(request), problem, status=status)
    return ProtocolError(str(request), problem, status=status)


def redact(text: str, secret: str) -> str:
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


def rate_limit(
    response: Response, *, now: float, headers: tuple[str, str, str] = X_RATE_LIMIT
) -> RateLimit:
    """Read the rate limit from the headers of a response, each field None where unreadable.

    :param response: any answer of DaoCloud.
    :param now: seconds since the epoch by our clock, used only if the answer has no ``Date``.
    :param headers: the names of the headers, in small letters: limit, remaining, reset.
    """
    reset = _finite(response.header(headers[2]))
    resets_in = None
    if reset is not None:
        resets_in = min(max(reset - _server_time(response, now), 0.0), LONGEST_RESET)
    return RateLimit(
        limit=_count(response.header(headers[0])),
        remaining=_count(response.header(headers[1])),
        resets_in=resets_in,
    )


def server_time(response: Response) -> float | None:
    """Return the server's clock, in seconds since the epoch, if the answer has a ``Date``.

    :param response: any answer of DaoCloud.
    """
    return _moment(response.header("date"))


def _failure(request: Request[Any], response: Response, now: float, secret: str) -> CallError:
    status = response.status
    kind: type[CallError]
    retry_at: float | None = None
    if status == 429 or (
        status == 403
        and rate_limit(response, now=now, headers=request.api.limit_headers).remaining == 0
    ):
        kind, problem = RateLimitedError, f"the limit of calls is spent (HTTP {status})."
        retry_at = _retry_at(request, response, now)
    elif status >= 500 or status in (408, 425):
        # 408 and 425 come from proxies, and say as little as a 5xx of what has happened behind.
        retry_at = _retry_at(request, response, now)
        if request.is_write:
            kind = OutcomeUnknownError
            problem = f"the server failed (HTTP {status}); the action may have been taken."
        else:
            kind, problem = ServerFaultError, f"the server failed (HTTP {status})."
    elif status >= 300 and (status == 407 or _is_web_page(response)):
        kind, problem = _not_from_daocloud(request, response, secret)
    elif status == 401:
        kind = AuthenticationError
        problem = "the access token is wrong or expired, or is not allowed this call (HTTP 401)."
    elif status == 404:
        kind = NotFoundError
        problem = "there is no such resource for this token (HTTP 404)." + request.not_found_hint
    elif 300 <= status < 400:
        kind = RefusedError
        problem = (
            f"the server redirects to {_origin(response, secret)} (HTTP {status}); the "
            "token is not sent there. Give the connection the host that answers itself."
        )
    elif status < 300:
        kind, problem = ProtocolError, f"unexpected answer (HTTP {status})."
    else:
        kind, problem = RefusedError, f"DaoCloud refuses the call (HTTP {status})."
    error_id, message = _error_body(response.body, secret, request.api.error_fields)
    if kind is NotFoundError and error_id is None and request.api.unknown_call:
        problem = f"{request.api.unknown_call} (HTTP {status})."
    return kind(
        str(request), problem, status=status, error_id=error_id, message=message, retry_at=retry_at
    )


def _not_from_daocloud(
    request: Request[Any], response: Response, secret: str
) -> tuple[type[CallError], str]:
    """Return what it means that something between answered: a proxy, a firewall, a login page.

    DaoCloud's own words are JSON. Whoever else answers cannot say what happened to an action.
    """
    status = response.status
    problem = "a web page came instead of an answer of DaoCloud"
    if status == 407:
        problem = "a proxy asks for a user name and a password"
    elif 300 <= status < 400:
        problem += f", and redirects to {_origin(response, secret)}"
    problem += f" (HTTP {status})"
    if request.is_write:
        return OutcomeUnknownError, f"{problem}; the action may have been taken."
    return ProtocolError, (
        f"{problem}. If it stays so, check the connection's host, prefix and proxies."
        + (request.not_found_hint if status == 404 else "")
    )


def _is_web_page(response: Response) -> bool:
    if _begins_with_a_tag(response.body):
        return True
    if "text/html" not in (response.header("content-type") or "").lower():
        return False
    try:
        # Frameworks that are given JSON as a string may well call it HTML.
        return not isinstance(_json(response.body), Mapping)
    except ShapeError:
        return True


def _begins_with_a_tag(body: bytes) -> bool:
    return body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def _retry_at(request: Request[Any], response: Response, now: float) -> float | None:
    """When to ask again, by our clock: Retry-After, or else the limit's reset if it is spent."""
    after = response.header("retry-after")
    seconds = _finite(after)
    if seconds is None and (moment := _moment(after)) is not None:
        seconds = moment - _server_time(response, now)
    if seconds is None:
        known = rate_limit(response, now=now, headers=request.api.limit_headers)
        # Every answer says when the hour ends: that matters only when the hour's calls are spent,
        # which a 429 alone says as well.
        if known.remaining == 0 or (known.remaining is None and response.status == 429):
            seconds = known.resets_in
    return None if seconds is None else now + min(max(seconds, 0.0), LONGEST_RESET)


def _server_time(response: Response, now: float) -> float:
    # Reset is the server's clock; its Date header translates it, whatever our clock says.
    moment = server_time(response)
    return now if moment is None else moment


def _moment(date: str | None) -> float | None:
    """Return an HTTP date in seconds since the epoch, or None for what is none."""
    try:
        moment = parsedate_to_datetime(date or "")
    except (ValueError, TypeError, OverflowError):
        return None
    # Without a zone, `timestamp` would take it for this machine's local time.
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _error_body(body: bytes, secret: str, fields: tuple[str, str]) -> tuple[str | None, str | None]:
    """Return DaoCloud's error_id and message, or for another body its first bytes as message."""
    try:
        data = _json(body)
    except ShapeError:
        return None, _excerpt(body, secret) if body.strip() else None
    if not isinstance(data, Mapping):
        return None, _excerpt(body, secret)
    error_id, message = (_redacted(data.get(key), secret) for key in fields)
    return error_id, message


def _redacted(value: object, secret: str) -> str | None:
    if value is None or value == "":
        return None
    text = value if isinstance(value, str) else json.dumps(value)
    return redact(text.encode(errors="replace").decode(), secret)[:500]


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
        return redact(data, secret)
    if isinstance(data, list):
        return [_without(secret, item) for item in data]
    if isinstance(data, dict):
        return {redact(key, secret): _without(secret, value) for key, value in data.items()}
    if isinstance(data, (int, float)) and not isinstance(data, bool):
        return data if secret not in str(data) else redact(str(data), secret)
    return data


def _excerpt(body: bytes, secret: str, length: int = 200) -> str:
    # Redacted before it is cut, or half a token could be left at the end. In UTF-16 and UTF-32
    # there are zeros between its characters.
    text = redact(body.replace(b"\0", b"").decode(errors="replace"), secret)
    text = " ".join(text[: length + 1].split())
    return repr(text[:length]) + ("…" if len(text) > length else "")


def _origin(response: Response, secret: str) -> str:
    # A location can carry anything in its path and query; where it leads is enough.
    try:
        parts = urlsplit(redact(response.header("location") or "", secret))
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


def object_of(parse: Callable[[Mapping[str, Any]], T]) -> Callable[[Any], T]:
    """Return what reads one object.

    :param parse: reads its fields.
    """

    def read(data: Any) -> T:
        if not isinstance(data, Mapping):
            raise ShapeError(f"a {type(data).__name__} instead of an object")
        return parse(data)

    return read


def items_of(key: str, or_key: str | None = None) -> Callable[[Any], tuple[Mapping[str, Any], ...]]:
    """Return what reads a list of objects, and leaves them as they are.

    :param key: the key of the list.
    :param or_key: another key under which the list may come.
    """

    def read(data: Any) -> tuple[Mapping[str, Any], ...]:
        if not isinstance(data, Mapping):
            raise ShapeError(f"a {type(data).__name__} instead of an object")
        found = key if key in data or or_key is None else or_key
        items = data.get(found, ...)
        if items is None:  # some servers write an empty list as null
            return ()
        if not isinstance(items, list):
            raise ShapeError(f"no list {key!r}")
        for kind in set(map(type, items)) - {dict}:
            raise ShapeError(f"a {kind.__name__} instead of an object")
        return tuple(items)

    return read


def list_of(
    key: str, parse: Callable[[Mapping[str, Any]], Item], or_key: str | None = None
) -> Callable[[Any], tuple[Item, ...]]:
    """Return what reads a list of objects.

    :param key: the key of the list.
    :param parse: reads the fields of one object.
    :param or_key: another key under which the list may come.
    """
    read = items_of(key, or_key)
    return lambda data: tuple(parse(item) for item in read(data))
