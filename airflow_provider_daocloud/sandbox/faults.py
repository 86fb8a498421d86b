"""Faults that can be switched on: what goes wrong, with which calls, and how often."""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_daocloud.sandbox.contract import Response
from airflow_provider_daocloud.sandbox.options import check_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Kind = Literal[
    "delay",
    "hold",
    "drop",
    "reset",
    "cut",
    "status",
    "too_many",
    "spent",
    "html",
    "truncated",
    "empty",
    "list",
    "no_action_id",
]
Effect = Literal["before", "after"]
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

# When a fault happens if nothing else is said: a call that gets no answer, or an error for one,
# has done nothing; an answer that is merely spoilt is that of a call which did its work.
_DEFAULT_EFFECT: dict[str, Effect] = {
    "cut": "after",
    "html": "after",
    "truncated": "after",
    "empty": "after",
    "list": "after",
    "no_action_id": "after",
}
_HTML = (
    b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head>"
    b"<body><h1>Bad Gateway</h1></body></html>"
)


@dataclass
class Fault:
    """One way to go wrong.

    The kinds:

    - ``delay``: the answer takes ``delay`` seconds longer;
    - ``hold``: the answer waits until it is released;
    - ``drop``: the connection is closed without an answer;
    - ``reset``: the connection is reset (RST) without an answer;
    - ``cut``: the connection is reset half-way through the answer;
    - ``status``: an error answer with ``status`` (a 3xx leads to another host), as JSON, or as HTML
      with ``html=True``;
    - ``too_many``: 429 with ``Retry-After: retry_after``;
    - ``spent``: the 403 of a spent hour, which resets ``retry_after`` seconds from now;
    - ``html``: a proxy's HTML page with status 200;
    - ``truncated``: 200 with half of the JSON (and a matching Content-Length);
    - ``empty``: 200 with no body;
    - ``list``: 200 with a list where an object is promised;
    - ``no_action_id``: 200 with an object that has no ``action_id`` (nor a build's ``id``).

    :param kind: what goes wrong.
    :param call: the call's name (``redeploy_app``), a method (``POST``) for all of its calls, or
        ``any``.
    :param app_id: with this app only.
    :param action_id: with this action only.
    :param stack_id: with this stack only.
    :param build_flow_id: with this build flow only.
    :param build_id: with this build only.
    :param params: with these other names in the path only: ``{"name": "web"}``.
    :param account: with this account's calls only.
    :param times: for the next so many matching calls; ``None`` until it is removed.
    :param skip: let so many matching calls pass first.
    :param seconds: for so long from now (the world's clock), at most.
    :param effect: happen ``before`` the call has an effect, so that it has none, or ``after`` it.
        A ``delay`` or ``hold`` before the effect only postpones it.
    :param delay: seconds to wait, for a ``delay``; any other kind waits this long first.
    :param status: the status of a ``status``.
    :param html: whether its body is HTML.
    :param message: its message, if it is not HTML.
    :param retry_after: see ``too_many`` and ``spent``, in seconds. In a ``status`` it adds a
        ``Retry-After`` header.
    """

    kind: Kind
    call: str = "any"
    app_id: str | None = None
    action_id: str | None = None
    stack_id: str | None = None
    build_flow_id: str | None = None
    build_id: str | None = None
    params: dict[str, str] = field(default_factory=dict)
    account: str | None = None
    times: int | None = 1
    skip: int = 0
    seconds: float | None = None
    effect: Effect | None = None
    delay: float = 0.0
    status: int = 503
    html: bool = False
    message: str = "the service is temporarily offline"
    retry_after: int | None = None
    id: int = field(default=0, init=False)
    met: int = field(default=0, init=False)
    until: float = field(default=math.inf, init=False, repr=False)

    def __post_init__(self) -> None:
        check_fields(self, leave_out=("until",))
        if self.times == 0:
            raise ValueError("times is one or more")
        if not 300 <= self.status <= 599:
            raise ValueError("status is 300 to 599")
        if self.effect is None:
            self.effect = _DEFAULT_EFFECT.get(self.kind, "before")

    def matches(self, call: str, method: str, params: Mapping[str, str], account: str) -> bool:
        """Say whether a call is one that this fault is meant for."""
        return (
            self.call in ("any", call, method)
            and self.account in (None, account)
            and all(
                wanted in (None, params.get(name))
                for name, wanted in (
                    ("app_id", self.app_id),
                    ("action_id", self.action_id),
                    ("stack_id", self.stack_id),
                    ("build_flow_id", self.build_flow_id),
                    ("build_id", self.build_id),
                    *self.params.items(),
                )
            )
        )

    def spoil(
        self, made: Response, now: float, error_body: Callable[[str, str], bytes]
    ) -> Response:
        """Return what the client gets instead of an answer.

        :param made: the answer.
        :param now: the time in Unix seconds.
        :param error_body: writes the body of an error, from its id and its message.
        """
        headers, status, body = dict(made.headers), 200, made.body
        if self.kind == "status":
            status = self.status
            body = error_body("server_error", self.message)
            if self.html:
                headers["Content-Type"], body = "text/html", _HTML
            if status < 400:
                headers["Location"] = "https://elsewhere.example/login"
            if status == 304:  # HTTP allows it no body
                body = b""
        elif self.kind == "too_many":
            status = 429
            body = error_body("too_many_requests", "too many requests")
        elif self.kind == "spent":
            status = 403
            body = error_body("rate_limit_exceeded", "the hourly limit of calls is exceeded")
            headers["X-RateLimit-Remaining"] = "0"
            if self.retry_after is not None:
                headers["X-RateLimit-Reset"] = str(math.ceil(now + self.retry_after))
        elif self.kind == "html":
            headers["Content-Type"], body = "text/html", _HTML
        elif self.kind == "truncated":
            body = made.body[: len(made.body) // 2]
        elif self.kind == "empty":
            body = b""
        elif self.kind == "list":
            body = b"[]"
        elif self.kind == "no_action_id":
            body = b"{}"
        if self.retry_after is not None and self.kind in ("status", "too_many"):
            headers["Retry-After"] = str(self.retry_after)
        return Response(status, headers, body, made.acted, made.note, made.action_id)


class Faults:
    """The faults that are on, the oldest first. A call runs into the first that matches it.

    :param call_names: the calls that there are.
    """

    def __init__(self, call_names: tuple[str, ...]) -> None:
        self._call_names = (*call_names, "any", *_METHODS, "unknown", "wrong_method")
        self._rules: dict[int, Fault] = {}
        self._ids = itertools.count(1)

    def add(self, fault: Fault, now: float) -> int:
        """Switch a fault on; return the number that removes it.

        :raises ValueError: there is no such call.
        """
        if fault.call not in self._call_names:
            raise ValueError(f"no such call: {fault.call!r}")
        fault.id = next(self._ids)
        if fault.seconds is not None:
            fault.until = now + fault.seconds
        self._rules[fault.id] = fault
        return fault.id

    def remove(self, fault_id: int) -> None:
        """Switch a fault off. One that is used up is off already."""
        self._rules.pop(fault_id, None)

    def clear(self) -> None:
        """Switch all faults off."""
        self._rules.clear()

    def listed(self) -> list[dict[str, Any]]:
        """Return the faults that are on, as plain data."""
        return [
            {name: value for name, value in dataclasses.asdict(rule).items() if name != "until"}
            for rule in self._rules.values()
        ]

    def take(
        self, call: str, method: str, params: Mapping[str, str], account: str, now: float
    ) -> Fault | None:
        """Return the fault that a call runs into, and use it up by one."""
        for rule in list(self._rules.values()):
            if now >= rule.until:
                del self._rules[rule.id]
            elif rule.matches(call, method, params, account):
                if rule.skip:
                    rule.skip -= 1
                    continue
                rule.met += 1
                if rule.times is not None and rule.met >= rule.times:
                    del self._rules[rule.id]
                return rule
        return None
