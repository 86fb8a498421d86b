"""A Connection of type ``daocloud_enterprise`` read as an endpoint, with its defaults."""

from __future__ import annotations

import base64
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from airflow_provider_daocloud.api.endpoint import Endpoint
from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.api.validation import whole_as_text
from airflow_provider_daocloud.hooks.connection import (
    ConnectionLike,
    dashboard_url,
    given_extras,
    given_string,
    read_with,
    text_of,
    transport,
)
from airflow_provider_daocloud.provider_info import ENTERPRISE
from airflow_provider_daocloud.resources.registry import resource

# An access key that expires within this time is told, in seconds: keys are made for days.
EXPIRES_SOON = 86400.0


@dataclass(frozen=True)
class EnterpriseEndpoint(Endpoint):
    """One installation of DaoCloud Enterprise, one user of it, and the defaults of its tasks.

    :param workspace: the default workspace: its alias or its number.
    :param cluster: the default cluster.
    :param namespace: the default namespace.
    :param pipeline_run_path: where a run is started, if the connection says so.
    :param workload_link: the path of a workload in the console.
    :param pipeline_link: the path of a pipeline in the console.
    :param expires_at: when the access key expires, in seconds since the epoch, if it says so.
    """

    # Of no matter for talking to it: two that differ in these alone are the same place.
    workspace: str | None = field(default=None, compare=False)
    cluster: str | None = field(default=None, compare=False)
    namespace: str | None = field(default=None, compare=False)
    pipeline_run_path: str | None = field(default=None, compare=False)
    workload_link: str = field(default="", compare=False)
    pipeline_link: str = field(default="", compare=False)
    expires_at: float | None = field(default=None, compare=False)


def enterprise_endpoint_of(
    connection: ConnectionLike,
    extras: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] = os.environ,
    clock: Callable[[], float] = time.time,
) -> EnterpriseEndpoint:
    """Return where the connection leads, and how.

    :param connection: an Airflow Connection of type ``daocloud_enterprise``.
    :param extras: its extras, if they were read already.
    :param environment: the variables that say more of certificates and proxies.
    :param clock: seconds since the epoch.
    :raises InputError: a field is missing or unusable, or the access key has expired; the error
        names the field, never the key.
    """

    def read(
        connection: ConnectionLike, extras: Mapping[str, Any], environment: Mapping[str, str]
    ) -> EnterpriseEndpoint:
        given = given_extras(ENTERPRISE, extras)
        token = re.sub(r"(?i)^bearer(\s+|$)", "", text_of("password", connection.password)).strip()
        if not token:
            raise InputError("password", "is empty: it must be the access key.")
        expires_at = expiry_of(token)
        if expires_at is not None and expires_at <= clock():
            raise InputError(
                "password",
                f"the access key expired on {in_date(expires_at)}: make a new one in the Personal "
                "Center, under Access Keys.",
            )
        where = transport(ENTERPRISE, connection, given, environment)
        console = given.get("dashboard_url", _origin(where["base_url"]))
        return EnterpriseEndpoint(
            token=token,
            dashboard_url=dashboard_url(console),
            workspace=_default(given, "workspace"),
            cluster=_default(given, "cluster"),
            namespace=_default(given, "namespace"),
            pipeline_run_path=_template(given, "pipeline_run_path", ("workspace", "pipeline")),
            workload_link=_template(
                given, "workload_link", ("cluster", "namespace", "kind", "name")
            )
            or resource("workload").dashboard_path,
            pipeline_link=_template(given, "pipeline_link", ("workspace", "pipeline"))
            or resource("workspace").dashboard_path,
            expires_at=expires_at,
            **where,
        )

    return read_with(read, connection, extras, environment)


def expiry_of(token: str) -> float | None:
    """Return when an access key expires, in seconds since the epoch, if it says so.

    It is read and not verified: only who has made it can do that.

    :param token: the access key, a JSON Web Token.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        text = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        expires_at = json.loads(text)["exp"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if isinstance(expires_at, bool) or not isinstance(expires_at, int | float):
        return None
    return float(expires_at) if 0 < expires_at < 1e11 else None


def in_date(moment: float) -> str:
    """Return a moment in words.

    :param moment: seconds since the epoch.
    """
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _origin(base_url: str) -> str:
    scheme, _, rest = base_url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def _default(given: Mapping[str, Any], name: str) -> str | None:
    if name not in given:
        return None
    return given_string(name, whole_as_text(given[name])) or None


def _template(given: Mapping[str, Any], name: str, known: tuple[str, ...]) -> str | None:
    """Return the path that an extra gives, with names in braces.

    :raises InputError: it is no path, or has other names in braces.
    """
    if name not in given:
        return None
    path = given_string(name, given[name])
    unknown = set(re.findall(r"\{(.*?)\}", path)) - set(known)
    if not path.startswith("/") or path.startswith("//") or any(c in path for c in "?#\\ @"):
        raise InputError(f"extra.{name}", "must be a path that begins with one slash.")
    if unknown or re.sub(r"\{\w+\}", "", path).count("{"):
        names = ", ".join(f"{{{one}}}" for one in known)
        raise InputError(f"extra.{name}", f"may have {names} in braces, and no others.")
    if f"{{{known[-1]}}}" not in path:
        raise InputError(f"extra.{name}", f"must have {{{known[-1]}}} in it.")
    return path
