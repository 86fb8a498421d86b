"""What each wait observes, and when it is pending, succeeded or failed: pure, and one for all.

A *wait* is a small value that says which request reads the resource and how to judge what is seen.
Blocking in a worker (`block`), a sensor's poke, and the trigger in the triggerer are ways to run
the same judgement; a `Tracker` holds what they have in common between two observations. How a wait
ended is an `Outcome`, JSON-safe, so that it means the same wherever the wait ran.

Three endings without success are never mixed up: *failed* (DaoCloud says so), *unreachable*
(DaoCloud could not be read for too long) and *timeout* (it is still pending).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from airflow_provider_daocloud.api.errors import (
    AuthenticationError,
    DaoCloudError,
    InputError,
    NotFoundError,
    OutageError,
    RefusedError,
    WaitError,
    WaitTimeoutError,
)
from airflow_provider_daocloud.api.request import Request

# For how long the final poll, at the deadline, is awaited, in seconds.
FINAL_POLL = 15.0

WaitState = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Observation:
    """What one observation showed.

    :param verdict: whether the wait is pending, has succeeded or has failed.
    :param state: the state that was seen, in DaoCloud's words.
    :param result: the resource as JSON-safe data.
    :param name: the resource's name, if it was seen.
    :param problem: how it failed, as the rest of a sentence that begins with the wait's title.
    :param note: what a person should know of the state, though the wait is pending.
    :param seen: the object that the request returned.
    """

    verdict: Literal["pending", "succeeded", "failed"]
    state: str
    result: dict[str, Any]
    name: str | None = None
    problem: str = ""
    note: str = ""
    seen: Any = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        """Return what was seen, as the rest of a sentence."""
        return f"{self.note} ({self.state})" if self.note else f"it is {self.state}"


class Wait(Protocol):
    """What to observe, and how to judge what is seen."""

    kind: ClassVar[str]
    failure: ClassVar[type[WaitError]]
    # Whether it was just posted, so that a read replica may lag behind and answer 404 at first.
    lags: ClassVar[bool]

    @property
    def wanted(self) -> str:
        """The state that is waited for, in words."""

    def title(self, name: str | None) -> str:
        """Return what is waited for, as a person calls it; ``str`` of the wait has the whole ids.

        :param name: the resource's name, if it is known.
        """

    def request(self) -> Request[Any]:
        """Return the request that reads the resource."""

    def judge(self, seen: Any, wait_state: WaitState) -> Observation:
        """Judge what the request returned.

        :param seen: what it returned.
        :param wait_state: what this wait remembers; JSON-safe, updated.
        """


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a wait ended: JSON-safe, so that it can be a trigger's event.

    :param status: *succeeded*, *failed*, *timeout*, *unreachable* (an outage longer than allowed)
        or *permanent* (no retry helps).
    :param result: the resource as it was last seen.
    :param message: what happened, in a sentence.
    :param timeout_setting: which of the task's settings set the time that is up.
    """

    status: Literal["succeeded", "failed", "unreachable", "timeout", "permanent"]
    result: dict[str, Any] | None = None
    message: str = ""
    timeout_setting: str = "timeout"

    STATUSES: ClassVar[tuple[str, ...]] = (
        "succeeded",
        "failed",
        "unreachable",
        "timeout",
        "permanent",
    )

    @classmethod
    def of_observation(cls, observation: Observation) -> Outcome:
        """Return the outcome of a wait whose only observation this was."""
        if observation.verdict == "succeeded":
            return cls("succeeded", observation.result, f"It is {observation.state}.")
        message = f"it was taken to have succeeded, but is {observation.state}"
        return cls("unreachable", observation.result, message)

    @classmethod
    def of_error(cls, error: DaoCloudError) -> Outcome:
        """Return the outcome that an error stands for."""
        observed = error.observed if isinstance(error, WaitError) else None
        if isinstance(error, WaitTimeoutError):
            return cls("timeout", observed, str(error))
        if isinstance(error, OutageError):
            return cls("unreachable", observed, str(error))
        if isinstance(error, WaitError):
            return cls("failed", observed, str(error))
        return cls("permanent" if is_permanent(error) else "unreachable", observed, str(error))

    def as_event(self) -> dict[str, Any]:
        """Return the payload of a trigger's event."""
        return {
            "status": self.status,
            "result": self.result,
            "message": self.message,
            "timeout_setting": self.timeout_setting,
        }

    @classmethod
    def of_event(cls, event: object) -> Outcome:
        """Read a trigger's event.

        :raises InputError: it is missing, foreign, or of a kind that this version does not know:
            never taken for success.
        """
        if not isinstance(event, Mapping):
            raise InputError("event", f"the trigger's event is missing or foreign: {event!r:.200}")
        status, result, message = (event.get(key) for key in ("status", "result", "message"))
        if status not in cls.STATUSES:
            raise InputError(
                "event", f"the trigger's event is of an unknown status: {status!r:.200}"
            )
        if not isinstance(result, dict) and (result is not None or status == "succeeded"):
            raise InputError("event", f"the trigger's event has no usable result: {result!r:.200}")
        return cls(
            status, result, str(message or ""), str(event.get("timeout_setting") or "timeout")
        )


def is_permanent(error: DaoCloudError) -> bool:
    """Whether no retry helps: a bad argument, a wrong token, an unknown resource, a refusal."""
    return isinstance(error, (InputError, AuthenticationError, NotFoundError, RefusedError))
