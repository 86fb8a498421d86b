"""One request to an API, and how to read its response: pure, and sent by either client."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from airflow_provider_daocloud.api.generation import ApiGeneration

T = TypeVar("T")


def nothing_follows(_: Any) -> None:
    """Return None: the answer is whole."""


@dataclass(frozen=True)
class Request(Generic[T]):
    """One request to DaoCloud, and how to read its response."""

    name: str
    method: str
    path: str
    parse: Callable[[Any], T] = field(repr=False, compare=False)
    # Not shown: it may hold parameters and environments that are secret.
    body: Any = field(default=None, repr=False)
    # What else a 404 can mean, in words.
    not_found_hint: str = field(default="", repr=False, compare=False)
    # Whether it is sent again and again: the same bytes are then the same object, not parsed again.
    repeats: bool = field(default=False, kw_only=True, repr=False, compare=False)
    # Whether the body, a mapping of text, is sent as a form (multipart) instead of JSON.
    form: bool = field(default=False, kw_only=True, repr=False, compare=False)
    # Adds to a result, of which the token was taken out, what is sent back to the service later:
    # that must be as it came.
    keep: Callable[[T, T], T] | None = field(default=None, kw_only=True, repr=False, compare=False)
    # What is left to ask for, if the result is one page of several; its own result has all of them.
    following: Callable[[Any], Request[T] | None] = field(
        default=nothing_follows, kw_only=True, repr=False, compare=False
    )
    # The API that it is a request of.
    api: ApiGeneration = field(kw_only=True, repr=False, compare=False)

    @property
    def is_write(self) -> bool:
        """Whether the request changes something, so that sending it twice would do it twice."""
        return self.method != "GET"

    def record(self) -> dict[str, Any]:
        """Return what identifies the request, as JSON-safe data: two equal records ask the same."""
        return {"name": self.name, "path": self.path, "body": self.body}

    def completed_by(self, seen: Any) -> Request[T]:  # noqa: ARG002 - most are complete
        """Return the request as it is sent: what it says may depend on the resource.

        :param seen: the resource as it is, before the request.
        :raises InputError: it cannot be asked of this resource.
        """
        return self

    def __str__(self) -> str:
        return f"{self.method} {self.path}"
