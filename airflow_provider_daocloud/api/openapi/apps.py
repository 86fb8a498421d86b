"""Apps: what the Open API says of them, and the requests on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.api.model import Model
from airflow_provider_daocloud.api.openapi.actions import read_action_id
from airflow_provider_daocloud.api.openapi.generation import OPEN_API
from airflow_provider_daocloud.api.parsing import (
    State,
    read_date,
    read_flag,
    read_number,
    read_required,
    read_text,
    read_texts,
    shown_word,
    to_iso,
)
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.response import items_of, list_of, object_of
from airflow_provider_daocloud.api.validation import APP_ACTIONS, checked, name_hint, path_segment


def list_apps() -> Request[tuple[App, ...]]:
    """``GET /v1/apps``: all apps that the token can see, without their ``config``."""
    # The response's key is singular. The plural is taken too: a later revision may fix it.
    return Request(
        "list_apps", "GET", "/apps", list_of("app", App.parse, or_key="apps"), api=OPEN_API
    )


def list_apps_unparsed() -> Request[tuple[Mapping[str, Any], ...]]:
    """``GET /v1/apps``: all apps, as they were sent."""
    read = items_of("app", or_key="apps")
    return Request("list_apps", "GET", "/apps", read, repeats=True, api=OPEN_API)


def get_app(app_id: str) -> Request[App]:
    """``GET /v1/apps/{id}``: one app, with its ``config``."""
    return Request(
        "get_app",
        "GET",
        f"/apps/{path_segment('app_id', app_id)}",
        object_of(App.parse),
        not_found_hint=name_hint("app_id", app_id),
        api=OPEN_API,
    )


def act_on_app(app_id: str, action: str) -> Request[str]:
    """``POST /v1/apps/{id}/actions/start``, ``stop`` or ``restart``: returns the action id."""
    path = f"/apps/{path_segment('app_id', app_id)}/actions/{_known_action(action)}"
    return Request(f"{action}_app", "POST", path, read_action_id, api=OPEN_API)


def redeploy_app(app_id: str, release_name: str) -> Request[str]:
    """``POST /v1/apps/{id}/actions/redeploy``: returns the action id."""
    path = f"/apps/{path_segment('app_id', app_id)}/actions/redeploy"
    body = {"release_name": checked("release_name", release_name)}
    return Request("redeploy_app", "POST", path, read_action_id, body, api=OPEN_API)


def _known_action(action: str) -> str:
    if action not in APP_ACTIONS:
        raise InputError("action", f"must be one of {', '.join(APP_ACTIONS)}, not {action!r}.")
    return action


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


APP_TRANSITIONAL = frozenset(
    {AppState.RESTAGING, AppState.STARTING, AppState.STOPPING, AppState.PENDING}
)


@dataclass(frozen=True, slots=True)
class Package(Model):
    """The image that an app runs."""

    id: str | None = None
    image: str | None = None


@dataclass(frozen=True, slots=True)
class AppRuntime(Model):
    """The cluster that an app runs on."""

    name: str | None = None
    display_name: str | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class AppConfig(Model):
    """How an app is run. The list of apps does not carry it.

    ``expose_ports`` are the ports that the app listens on. Later revisions also show on which ports
    of its host these are reached: ``host_ports``.
    """

    instances: int | None = None
    expose_ports: tuple[int, ...] = ()
    host_ports: tuple[int, ...] = ()
    command: str | None = None


@dataclass(frozen=True, slots=True)
class App(Model):
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
            id=read_required(data, "id"),
            name=read_text(data, "name"),
            state=AppState.parse(data.get("state")),
            state_text=read_text(data, "state") or "",
            release_name=read_text(data, "release_name"),
            package=Package(**read_texts(data.get("package"), "id", "image")),
            app_runtime=AppRuntime(
                **read_texts(data.get("app_runtime"), "name", "display_name", "id"),
            ),
            enable_auto_redeploy=read_flag(data.get("enable_auto_redeploy")),
            created_at=read_date(data, "created_at"),
            last_operated_at=read_date(data, "last_operated_at"),
            config=_config(config) if isinstance(config, Mapping) else None,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the app as JSON-safe data, with the API's own field names."""
        return {
            "id": self.id,
            "name": self.name,
            "state": shown_word(self.state, self.state_text),
            "release_name": self.release_name,
            "image": self.package.image,
            "package_id": self.package.id,
            "created_at": to_iso(self.created_at),
            "last_operated_at": to_iso(self.last_operated_at),
        }


def _config(data: Mapping[str, Any]) -> AppConfig:
    listed = data.get("expose_ports")
    # A later revision lists objects, with the ports of the app and of its host.
    both = [port for port in listed if port] if isinstance(listed, list) else []
    inside = [p.get("container_port") if isinstance(p, Mapping) else p for p in both]
    outside = [p.get("host_port") for p in both if isinstance(p, Mapping)]
    instances = read_number(data.get("instances"))
    return AppConfig(
        instances=None if instances is None else int(instances),
        expose_ports=_ports(inside) or _ports([data.get("expose_port")]),
        host_ports=_ports(outside),
        command=read_text(data, "command"),
    )


def _ports(sent: list[Any]) -> tuple[int, ...]:
    numbers = (read_number(port) for port in sent)
    return tuple(int(port) for port in numbers if port is not None)
