"""An Airflow Connection read as an `Endpoint`: every field checked, every error names its field."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import SplitResult, urlsplit

from airflow_provider_daocloud.api.endpoint import (
    DEFAULT_DASHBOARD_URL,
    DEFAULT_HOST,
    DEFAULT_PREFIX,
    Endpoint,
)
from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.arguments import check_seconds
from airflow_provider_daocloud.provider_info import CONNECTION_TYPE, EXTRA_FIELDS

FORM_PREFIX = f"extra__{CONNECTION_TYPE}__"


class ConnectionLike(Protocol):
    """The parts of an Airflow Connection that are read, on every Airflow line."""

    conn_id: str
    host: str | None
    port: int | None
    schema: str | None
    password: str | None
    extra: str | None


def endpoint_of(connection: ConnectionLike, extras: Mapping[str, Any] | None = None) -> Endpoint:
    """Return where the connection leads, and how.

    :param connection: an Airflow Connection of type ``daocloud``.
    :param extras: its extras, if they were read already (a triggerer must read them its own way).
    :raises InputError: a field is missing or unusable; the error names it, never the token.
    """
    try:
        return _endpoint(connection, _extras(connection) if extras is None else extras)
    except InputError as e:
        where = f"connection {connection.conn_id!r}, field {e.field!r}"
        raise InputError(where, e.problem) from None


def _endpoint(connection: ConnectionLike, extras: Mapping[str, Any]) -> Endpoint:
    # The Test button of Airflow 2 gives each name twice, once with this prefix.
    extras = {name.removeprefix(FORM_PREFIX): value for name, value in extras.items()} | {
        name: value for name, value in extras.items() if not name.startswith(FORM_PREFIX)
    }
    unknown = sorted(set(extras) - set(EXTRA_FIELDS))
    if unknown:
        raise InputError(
            f"extra.{unknown[0]}", f"is not known. The known extras are: {', '.join(EXTRA_FIELDS)}."
        )
    # The form stores null or "" for a field that was left empty.
    given = {name: value for name, value in extras.items() if value not in (None, "")}
    flags = {name: _flag(name, given.get(name)) for name in ("skip_tls_verify", "allow_http")}
    if not (connection.password or "").strip():
        raise InputError("password", "is empty: it must be the DaoCloud access token.")
    verify: bool | str = not flags["skip_tls_verify"]
    if "ca_bundle" in given:
        if flags["skip_tls_verify"]:
            raise InputError("extra.ca_bundle", "is given, and skip_tls_verify is on: choose one.")
        verify = _string("ca_bundle", given["ca_bundle"])
    return Endpoint(
        base_url=_base_url(connection, given.get("prefix"), allow_http=flags["allow_http"]),
        token=(connection.password or "").strip(),
        verify=verify,
        connect_timeout=_seconds("connect_timeout", given.get("connect_timeout", 10.0)),
        read_timeout=_seconds("read_timeout", given.get("read_timeout", 30.0)),
        proxies=_proxies(given["proxies"]) if "proxies" in given else None,
        dashboard_url=_dashboard_url(given.get("dashboard_url", DEFAULT_DASHBOARD_URL)),
    )


def _base_url(connection: ConnectionLike, prefix: object, *, allow_http: bool) -> str:
    host = (connection.host or "").strip() or DEFAULT_HOST
    schema = (connection.schema or "").strip()
    if "://" not in host:
        # "http://:token@host/https" is how Airflow's own HTTP connections name the scheme.
        scheme = schema or "https"
        if scheme.lower() not in ("https", "http"):
            raise InputError("schema", f"must be https, http or empty, not {scheme!r}.")
        if host.count(":") > 1 and not host.startswith("["):
            host = f"[{host}]"  # a bare IPv6 address, as a connection URI leaves it
        host = f"{scheme}://{host}"
    parts, host_port = _split(host)
    if parts.scheme not in ("https", "http"):
        raise InputError("host", f"must begin with https:// (or http://), not {parts.scheme}://.")
    if parts.username or parts.password:
        raise InputError("host", "has a user or password in it. The token goes into the password.")
    if parts.query or parts.fragment or not _is_name(parts.hostname or ""):
        raise InputError("host", "must be a host name or a base URL, without ? and #.")
    name = str(parts.hostname)
    port = connection.port or None  # the form of some Airflow lines sends 0 for an empty port
    if port and host_port and port != host_port:
        raise InputError("port", f"is {port}, but the host says {host_port}: give one of them.")
    port = port or host_port
    if port and not 0 < port <= 65535:
        raise InputError("port", f"must be from 1 to 65535, or empty, not {port}.")
    if parts.scheme == "http" and not (allow_http or _is_loopback(name)):
        raise InputError(
            "host",
            "plain http:// would send the token unencrypted. Use https://, or set the extra "
            "'allow_http' to true if the network in between is yours.",
        )
    name = f"[{name}]" if ":" in name else name
    path = _path("host", parts.path)
    if prefix is not None:
        path += _path("extra.prefix", _string("prefix", prefix))
    elif not path:
        path = DEFAULT_PREFIX
    return f"{parts.scheme}://{name}{f':{port}' if port else ''}{path}"


def _path(field: str, text: str) -> str:
    path = text.strip("/")
    plain = path.isascii() and path.isprintable() and not any(c in path for c in "?#\\ ")
    if not plain or ".." in path.split("/"):
        raise InputError(field, f"{text!r} is not a path such as /v1 or /open/v1.")
    return f"/{path}" if path else ""


def _split(url: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(url)
        return parts, parts.port
    except ValueError:  # its text quotes what may be a misplaced token
        raise InputError(
            "host", "is not a host name or a base URL such as https://dc.example:8443."
        ) from None


def _is_name(host: str) -> bool:
    if ":" in host:
        return True  # an IPv6 address, which `urlsplit` has checked
    try:
        return bool(re.fullmatch(r"[\w.-]+", host.encode("idna").decode(), re.ASCII))
    except UnicodeError:  # an empty label, or one that is too long
        return False


def _is_loopback(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() in ("localhost", "localhost.")


def _extras(connection: ConnectionLike) -> Mapping[str, Any]:
    # Not `extra_dejson`: it hides broken JSON behind a log line, and that would hide a CA bundle.
    if not (connection.extra or "").strip():
        return {}
    try:
        extras = json.loads(connection.extra or "{}")
    except ValueError:
        raise InputError("extra", "is not JSON.") from None
    if not isinstance(extras, dict):
        raise InputError("extra", "must be a JSON object.")
    return extras


def _flag(name: str, value: object) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    # Everything in a connection URI is a string.
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    known["y"] = True  # a ticked box, from the Test button of Airflow 2
    flag = known.get(str(value).strip().lower())
    if flag is None:
        raise InputError(f"extra.{name}", f"must be true or false, not {value!r}.")
    return flag


def _seconds(name: str, value: object) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise InputError(
                f"extra.{name}", f"must be a number of seconds, not {value!r}."
            ) from None
    return check_seconds(f"extra.{name}", value)


def _string(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InputError(f"extra.{name}", f"must be a string, not {type(value).__name__}.")
    return value.strip()


def _dashboard_url(value: object) -> str:
    url = _string("dashboard_url", value)
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("https", "http") and _is_name(parts.hostname or "")
        usable = usable and parts.port != 0 and not (parts.query or parts.fragment)
        # Everybody who sees a task sees its links: no secret belongs there.
        if usable and "@" not in parts.netloc:
            return f"{parts.scheme}://{parts.netloc}{_path('extra.dashboard_url', parts.path)}"
    except ValueError:
        pass
    raise InputError(
        "extra.dashboard_url",
        "must be a URL such as https://dashboard.example, without user, ? and #.",
    )


def _proxies(value: object) -> dict[str, str]:
    problem = 'must be a URL, or an object by scheme such as {"https": "http://proxy:3128"}.'
    if isinstance(value, str) and not value.lstrip().startswith("{"):
        value = {"http": value.strip(), "https": value.strip()}
    elif isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise InputError("extra.proxies", problem) from None
    if not isinstance(value, dict) or not all(
        scheme in ("http", "https") and isinstance(url, str) and _is_proxy(url)
        for scheme, url in value.items()
    ):
        raise InputError("extra.proxies", problem)
    return value


def _is_proxy(url: str) -> bool:
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https", "socks5", "socks5h")
        return known and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
