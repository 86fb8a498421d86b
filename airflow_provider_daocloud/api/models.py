"""What the DaoCloud Open API returns: frozen dataclasses, parsed at the edge.

Only what identifies a thing is required. Everything that describes it may be missing or null
(later revisions of the API dropped fields), and unknown extra fields are ignored.

States are compared without regard to case. A word that is on no list becomes ``UNKNOWN``: it is
not terminal, never a success, and the word itself stays readable in ``state_text``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

# Spellings that the service was seen to use for one and the same state.
SAME_WORD = {"CANCELED": "CANCELLED"}
# How revisions of the API write true and false.
FLAGS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


class State(StrEnum):
    """Base of the state enums: takes any letter case, and turns an unlisted word into UNKNOWN."""

    @classmethod
    def parse(cls, word: object) -> Self:
        """Return the member for ``word`` (any letter case, ``-`` or space for ``_``)."""
        text = _fold(word) if isinstance(word, str) else ""
        text = SAME_WORD.get(text, text)
        for member in cls:
            if _fold(member.value) == text:
                return member
        return cls("UNKNOWN")


class ActionState(State):
    """State of an action."""

    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    IN_PROCESS = "IN_PROCESS"
    UNKNOWN = "UNKNOWN"


class BuildStatus(State):
    """Status of a build, and of a build flow (which shows that of its latest build)."""

    PENDING = "Pending"
    STARTED = "Started"
    SUCCESS = "Success"
    FAILURE = "Failure"
    ERROR = "Error"
    CANCELLED = "Cancelled"
    TIMEOUT = "Timeout"
    # On no page; seen on the real service.
    KILLED = "Killed"
    UNKNOWN = "UNKNOWN"


class AppState(State):
    """State of an app. Only RUNNING is documented; the others were seen on the real service."""

    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    NOT_RUNNING = "NOT_RUNNING"
    SLEEPING = "SLEEPING"
    RESTAGING = "RESTAGING"
    STARTING = "STARTING"
    STOPPING = "STOPPING"
    PENDING = "PENDING"
    UNKNOWN = "UNKNOWN"


ACTION_TERMINAL = frozenset({ActionState.SUCCESS, ActionState.FAILED})
BUILD_ACTIVE = frozenset({BuildStatus.PENDING, BuildStatus.STARTED})
BUILD_FAILED = frozenset(
    {
        BuildStatus.FAILURE,
        BuildStatus.ERROR,
        BuildStatus.CANCELLED,
        BuildStatus.TIMEOUT,
        BuildStatus.KILLED,
    }
)
BUILD_TERMINAL = BUILD_FAILED | {BuildStatus.SUCCESS}
APP_TRANSITIONAL = frozenset(
    {AppState.RESTAGING, AppState.STARTING, AppState.STOPPING, AppState.PENDING}
)


@dataclass(frozen=True)
class Package:
    """The image that an app runs."""

    id: str | None = None
    image: str | None = None


@dataclass(frozen=True)
class AppRuntime:
    """The cluster that an app runs on."""

    name: str | None = None
    display_name: str | None = None
    id: str | None = None


@dataclass(frozen=True)
class AppConfig:
    """How an app is run. The list of apps does not carry it.

    ``expose_ports`` are the ports that the app listens on. Later revisions also tell on which ports
    of its host these are reached: ``host_ports``.
    """

    instances: int | None = None
    expose_ports: tuple[int, ...] = ()
    host_ports: tuple[int, ...] = ()
    command: str | None = None


@dataclass(frozen=True)
class App:
    """An app: something that DaoCloud runs."""

    id: str
    name: str | None = None
    state: AppState = AppState.UNKNOWN
    state_text: str = ""
    release_name: str | None = None
    package: Package = Package()
    app_runtime: AppRuntime = AppRuntime()
    enable_auto_redeploy: bool | None = None
    created_at: datetime | None = None
    last_operated_at: datetime | None = None
    config: AppConfig | None = None

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> App:
        """Build an app from one object of the API. Raises ShapeError if it has no id."""
        config = data.get("config")
        return cls(
            id=_required(data, "id"),
            name=_text(data, "name"),
            state=AppState.parse(data.get("state")),
            state_text=_text(data, "state") or "",
            release_name=_text(data, "release_name"),
            package=Package(**_texts(data.get("package"), "id", "image")),
            app_runtime=AppRuntime(
                **_texts(data.get("app_runtime"), "name", "display_name", "id"),
            ),
            enable_auto_redeploy=_flag(data.get("enable_auto_redeploy")),
            created_at=_date(data, "created_at"),
            last_operated_at=_date(data, "last_operated_at"),
            config=_config(config) if isinstance(config, Mapping) else None,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the app as JSON-safe data, with the API's own field names."""
        return {
            "id": self.id,
            "name": self.name,
            "state": _shown(self.state, self.state_text),
            "release_name": self.release_name,
            "image": self.package.image,
            "package_id": self.package.id,
            "created_at": _iso(self.created_at),
            "last_operated_at": _iso(self.last_operated_at),
        }


@dataclass(frozen=True)
class BuildFlow:
    """A build flow: a source repository that DaoCloud builds images from."""

    id: str
    name: str | None = None
    status: BuildStatus = BuildStatus.UNKNOWN
    status_text: str = ""
    package_id: str | None = None
    repo: str | None = None
    src_language: str | None = None
    src_provider: str | None = None
    src_origin_url: str | None = None
    created_at: datetime | None = None

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> BuildFlow:
        """Build a build flow from one object of the API. Raises ShapeError if it has no id."""
        return cls(
            id=_required(data, "id"),
            status=BuildStatus.parse(data.get("status")),
            status_text=_text(data, "status") or "",
            created_at=_date(data, "created_at"),
            **_texts(
                data, "name", "package_id", "repo", "src_language", "src_provider", "src_origin_url"
            ),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the build flow as JSON-safe data, with the API's own field names."""
        return {
            "id": self.id,
            "name": self.name,
            "status": _shown(self.status, self.status_text),
            "package_id": self.package_id,
            "repo": self.repo,
            "src_language": self.src_language,
            "src_provider": self.src_provider,
            "src_origin_url": self.src_origin_url,
            "created_at": _iso(self.created_at),
        }


@dataclass(frozen=True)
class Build:
    """One build of a build flow (a later revision of the API has them)."""

    id: str
    status: BuildStatus = BuildStatus.UNKNOWN
    status_text: str = ""
    tag: str | None = None
    ref: str | None = None
    sha: str | None = None
    author: str | None = None
    ref_is_tag: bool | None = None
    ref_is_branch: bool | None = None
    created_at: datetime | None = None

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Build:
        """Build it from one object of the API. Raises ShapeError if it has no id."""
        return cls(
            id=_required(data, "id"),
            status=BuildStatus.parse(data.get("status")),
            status_text=_text(data, "status") or "",
            ref_is_tag=_flag(data.get("ref_is_tag")),
            ref_is_branch=_flag(data.get("ref_is_branch")),
            created_at=_date(data, "created_at"),
            # The call that starts a build says "branch", and some answers do, too.
            ref=_text(data, "ref") or _text(data, "branch"),
            **_texts(data, "tag", "sha", "author"),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the build as JSON-safe data; its own id is ``build_id``."""
        return {
            "build_id": self.id,
            "status": _shown(self.status, self.status_text),
            "tag": self.tag,
            "ref": self.ref,
            "sha": self.sha,
            "author": self.author,
            "ref_is_tag": self.ref_is_tag,
            "ref_is_branch": self.ref_is_branch,
            "created_at": _iso(self.created_at),
        }


@dataclass(frozen=True)
class Stack:
    """A stack: several things that are started and stopped together (a later revision has them)."""

    id: str
    name: str | None = None
    created_at: datetime | None = None
    last_operated_at: datetime | None = None
    stack_ids: tuple[str, ...] = ()

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Stack:
        """Build it from one object of the API. Raises ShapeError if it has no id."""
        inner = data.get("stacks")
        members = inner if isinstance(inner, list) else []
        ids = (_text(member, "stack_id") for member in members if isinstance(member, Mapping))
        return cls(
            id=_required(data, "id"),
            name=_text(data, "name"),
            created_at=_date(data, "created_at"),
            last_operated_at=_date(data, "last_operated_at"),
            stack_ids=tuple(stack_id for stack_id in ids if stack_id),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the stack as JSON-safe data."""
        return {
            "id": self.id,
            "name": self.name,
            "created_at": _iso(self.created_at),
            "last_operated_at": _iso(self.last_operated_at),
            "stack_ids": list(self.stack_ids),
        }


@dataclass(frozen=True)
class Action:
    """An action on an app or a stack that was accepted: a start, stop, restart or redeploy."""

    id: str
    state: ActionState
    state_text: str
    app_id: str | None = None
    stack_id: str | None = None
    action_name: str | None = None
    start_date: datetime | None = None
    end_date: datetime | None = None
    error_message: str | None = None
    time_cost_seconds: float | None = None

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Action:
        """Build an action from the API's object. Raises ShapeError if it has no id or state."""
        state_text = _required(data, "state")
        return cls(
            id=_required(data, "id"),
            state=ActionState.parse(state_text),
            state_text=state_text,
            app_id=_text(data, "app_id"),
            stack_id=_text(data, "stack_id"),
            action_name=_text(data, "action_name"),
            start_date=_date(data, "start_date"),
            end_date=_date(data, "end_date"),
            error_message=_error_message(data.get("error_info")),
            time_cost_seconds=_number(data.get("time_cost_seconds")),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the action as JSON-safe data; its own id is ``action_id``."""
        return {
            "action_id": self.id,
            "action_name": self.action_name,
            "state": _shown(self.state, self.state_text),
            "app_id": self.app_id,
            **({"stack_id": self.stack_id} if self.stack_id else {}),
            "start_date": _iso(self.start_date),
            "end_date": _iso(self.end_date),
            "time_cost_seconds": self.time_cost_seconds,
            "error_message": self.error_message,
        }


class ShapeError(ValueError):
    """The data is JSON, but not the object that was promised. `protocol` adds the call to it."""


def parse_date(value: object) -> datetime | None:
    """Return an aware datetime in UTC, or None for what is no date.

    :param value: a date in ISO form (without a zone it is UTC), or a Unix time in seconds,
        milliseconds or finer, as a number or as text.
    """
    try:
        seconds = _unix_time(value)
        if seconds is not None:
            return datetime.fromtimestamp(seconds, UTC)
        if not isinstance(value, str):
            return None
        moment = datetime.fromisoformat(value.strip())
        if moment.tzinfo is None:
            return moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _unix_time(value: object) -> float | None:
    """Return seconds since the epoch, if it is a number of nine digits or more.

    With eight it is a date in ISO's basic form; and before 1973 there was no DaoCloud.
    """
    if isinstance(value, str) and not re.fullmatch(r"\s*[0-9]{9,}(\.[0-9]*)?\s*", value):
        return None
    number = _number(value)
    if number is None or number < 1e8:
        return None
    while number >= 1e11:  # seconds have eleven digits until the year 5138
        number /= 1000
    return number


def _fold(word: str) -> str:
    return re.sub(r"[\s-]+", "_", word.strip()).upper()


def _shown(state: State, text: str) -> str | None:
    """Return the canonical word of a known state, and an unknown one as it was sent."""
    return (text or None) if state.value == "UNKNOWN" else str(state.value)


def _required(data: Mapping[str, Any], key: str) -> str:
    value = _text(data, key)
    if not value:
        raise ShapeError(f"{key!r} is missing")
    return value


def _text(data: Mapping[str, Any], key: str) -> str | None:
    value = data.get(key)
    if value is None or isinstance(value, (Mapping, list, bool)):
        return None
    return _writable(str(value))


def _writable(text: str) -> str:
    # JSON can spell half a surrogate pair, which no log file and no database takes.
    return text.encode(errors="replace").decode()


def _texts(data: object, *keys: str) -> dict[str, str | None]:
    if not isinstance(data, Mapping):
        return {}
    return {key: _text(data, key) for key in keys}


def _flag(value: object) -> bool | None:
    return FLAGS.get(str(value).strip().lower()) if isinstance(value, (bool, int, str)) else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    if number != number or number in (float("inf"), float("-inf")):  # not JSON-safe
        return None
    return int(number) if number.is_integer() else number


def _date(data: Mapping[str, Any], key: str) -> datetime | None:
    return parse_date(data.get(key))


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _error_message(info: object) -> str | None:
    if isinstance(info, Mapping):
        info = info.get("message")
    return _writable(info) if isinstance(info, str) and info else None


def _config(data: Mapping[str, Any]) -> AppConfig:
    listed = data.get("expose_ports")
    # A later revision lists objects, with the ports of the app and of its host.
    both = [port for port in listed if port] if isinstance(listed, list) else []
    inside = [p.get("container_port") if isinstance(p, Mapping) else p for p in both]
    outside = [p.get("host_port") for p in both if isinstance(p, Mapping)]
    instances = _number(data.get("instances"))
    return AppConfig(
        instances=None if instances is None else int(instances),
        expose_ports=_ports(inside) or _ports([data.get("expose_port")]),
        host_ports=_ports(outside),
        command=_text(data, "command"),
    )


def _ports(sent: list[Any]) -> tuple[int, ...]:
    numbers = (_number(port) for port in sent)
    return tuple(int(port) for port in numbers if port is not None)
