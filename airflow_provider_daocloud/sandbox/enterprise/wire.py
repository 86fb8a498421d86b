"""What all calls of DaoCloud Enterprise share: refusals, queries, bodies, pages and times."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.contract import Request
    from airflow_provider_daocloud.sandbox.enterprise.options import EnterpriseOptions, Unit
    from airflow_provider_daocloud.sandbox.enterprise.users import User
    from airflow_provider_daocloud.sandbox.enterprise.world import EnterpriseWorld

# Codes of google.rpc.Status by name, and the HTTP status that a gateway makes of each.
INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED = 3, 5, 6, 7
RESOURCE_EXHAUSTED, FAILED_PRECONDITION, ABORTED, UNIMPLEMENTED = 8, 9, 10, 12
INTERNAL, UNAVAILABLE, UNAUTHENTICATED = 13, 14, 16
HTTP_STATUS = {
    INVALID_ARGUMENT: 400,
    NOT_FOUND: 404,
    ALREADY_EXISTS: 409,
    PERMISSION_DENIED: 403,
    RESOURCE_EXHAUSTED: 429,
    FAILED_PRECONDITION: 400,
    ABORTED: 409,
    UNIMPLEMENTED: 501,
    INTERNAL: 500,
    UNAVAILABLE: 503,
    UNAUTHENTICATED: 401,
}


class RefusalError(Exception):
    """The call gets an error for an answer.

    :param code: a code of google.rpc.Status.
    :param message: its message.
    :param text: plain text to send instead of JSON.
    :param headers: more headers of the answer.
    :param status: the HTTP status, if it is not the code's own.
    """

    def __init__(
        self,
        code: int,
        message: str,
        *,
        text: str | None = None,
        headers: Mapping[str, str] | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.text = code, message, text
        self.headers = dict(headers or {})
        self.status = status or HTTP_STATUS[code]


def invalid(message: str) -> RefusalError:
    """Return the refusal of a request that makes no sense."""
    return RefusalError(INVALID_ARGUMENT, message)


@dataclass(frozen=True)
class Call:
    """What a handler gets."""

    world: EnterpriseWorld
    params: Mapping[str, str]
    request: Request
    user: User

    @property
    def options(self) -> EnterpriseOptions:
        """The world's options."""
        return self.world.options

    @cached_property
    def query(self) -> dict[str, list[str]]:
        """The query's values by name."""
        return parse_qs(self.request.query, keep_blank_values=True)

    def one(self, name: str, default: str = "") -> str:
        """Return the last value of a query parameter."""
        return self.query.get(name, [default])[-1]

    def number(self, name: str, default: int) -> int:
        """Return a query parameter that is a whole number.

        :raises RefusalError: it is none.
        """
        return whole(self.one(name, str(default)), name)

    def flag(self, name: str) -> bool:
        """Return a query parameter that is true or false."""
        value = self.one(name, "false")
        if value not in ("true", "false"):
            raise invalid(f"{name}: not a boolean: {value!r}")
        return value == "true"

    def word(self, name: str, words: Sequence[str], default: str) -> str:
        """Return a query parameter that is one of some words."""
        value = self.one(name, default)
        if value not in words:
            raise invalid(f"{name}: {value!r} is not valid")
        return value

    @cached_property
    def body(self) -> dict[str, Any]:
        """The JSON object that was sent; nothing at all is an empty one.

        :raises RefusalError: something else was sent.
        """
        try:
            value = json.loads(self.request.body) if self.request.body.strip() else {}
        except (ValueError, RecursionError):
            raise invalid("the body is not JSON") from None
        if not isinstance(value, dict):
            raise invalid("the body is not a JSON object")
        return value

    def field(self, name: str, kind: type, default: Any) -> Any:
        """Return a field of the body.

        :raises RefusalError: it is of another kind.
        """
        value = self.body.get(name, default)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise invalid(f"{name}: {value!r} is not a {kind.__name__}")
        return value


@dataclass(frozen=True)
class Made:
    """What a handler made.

    :param value: the answer.
    :param note: a few words for the log.
    :param acted: whether the call had an effect.
    :param id: the run or the generation that it made.
    """

    value: Any
    note: str = ""
    acted: bool = False
    id: str | None = field(default=None)


Handler = Callable[[Call], Made]
# The call's name, its method, its path below the prefix, its handler.
CallRow = tuple[str, str, str, Handler]


def whole(text: str, name: str) -> int:
    """Return a whole number from text.

    :raises RefusalError: it is none.
    """
    try:
        return int(text)
    except ValueError:
        raise invalid(f"{name}: not a number: {text!r}") from None


def paged(call: Call, items: Sequence[Any], *, default: int = 10, pages: bool = True) -> Any:
    """Return one page of a list, as the call's query asks.

    :param items: the whole list.
    :param default: the length of a page if none is named.
    :param pages: whether the pagination tells how many pages there are.
    """
    page, size = max(1, call.number("page", 1)), call.number("pageSize", default)
    if size == -1:
        size = max(1, len(items))
    if size < 1 or size > 1000:
        raise invalid(f"pageSize: {size} is not 1 to 1000")
    chosen = items[(page - 1) * size : page * size]
    pagination = {"total": len(items), "page": page, "pageSize": size}
    if pages:
        pagination["pages"] = -(-len(items) // size)
    return {"items": list(chosen), "pagination": pagination}


def stamp(moment: float | None, unit: Unit) -> str:
    """Return a moment as an int64 in JSON: text; ``"0"`` is never."""
    if moment is None:
        return "0"
    return str(int(moment * 1000) if unit == "ms" else int(moment))
