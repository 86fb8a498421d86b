"""An Airflow Connection read as an `Endpoint`: every field checked, every error names its field."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar
from urllib.parse import SplitResult, urlsplit

from airflow_provider_daocloud.api import environment as environments
from airflow_provider_daocloud.api.endpoint import DEFAULT_DASHBOARD_URL, Endpoint
from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.api.validation import check_seconds
from airflow_provider_daocloud.provider_info import OPEN_API, ConnectionForm

E = TypeVar("E", bound=Endpoint)

# Longer than anybody waits, and short enough for every socket.
LONGEST_TIMEOUT = 86400.0


class ConnectionLike(Protocol):
    """The parts of an Airflow Connection that are read, on every Airflow line.

    They are what a secrets backend gave, and Airflow does not check their types.
    """

    conn_id: Any
    host: Any
    port: Any
    schema: Any
    password: Any
    extra: Any


def endpoint_of(
    connection: ConnectionLike,
    extras: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Endpoint:
    """Return where the connection leads, and how.

    :param connection: an Airflow Connection of type ``daocloud``.
    :param extras: its extras, if they were read already (a triggerer must read them its own way).
    :param environment: the variables that say more of certificates and proxies.
    :raises InputError: a field is missing or unusable; the error names it, never the token.
    """
    return read_with(_endpoint, connection, extras, environment)


def read_with(
    read: Callable[[ConnectionLike, Mapping[str, Any], Mapping[str, str]], E],
    connection: ConnectionLike,
    extras: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> E:
    """Return what a connection is read as; every error names the connection and the field.

    :param read: reads it, given its extras and the environment.
    :param connection: the connection.
    :param extras: its extras, if they were read already.
    :param environment: the variables that say more of certificates and proxies.
    :raises InputError: a field is missing or unusable.
    """
    where = f"connection {connection.conn_id!r}"
    try:
        return read(
            connection, _extras(connection.extra) if extras is None else extras, environment
        )
    except InputError as e:
        kind = "variable" if e.field.lower().endswith(_VARIABLES) else "field"
        raise InputError(f"{where}, {kind} {e.field!r}", e.problem) from None
    except Exception as e:
        # Whatever a backend can give that was not thought of: asking again does not help. The
        # text of the error may have a secret in it.
        problem = f"cannot be used: reading its fields ended in {type(e).__name__}."
        raise InputError(where, problem) from None


_VARIABLES = ("_proxy", *(name.lower() for name in environments.CA_VARIABLES))


def _endpoint(
    connection: ConnectionLike, extras: Mapping[str, Any], environment: Mapping[str, str]
) -> Endpoint:
    given = given_extras(OPEN_API, extras)
    token = text_of("password", connection.password)
    if not token:
        raise InputError("password", "is empty: it must be the DaoCloud access token.")
    return Endpoint(
        token=token,
        dashboard_url=dashboard_url(given.get("dashboard_url", DEFAULT_DASHBOARD_URL)),
        **transport(OPEN_API, connection, given, environment),
    )


def given_extras(form: ConnectionForm, extras: Mapping[str, Any]) -> dict[str, Any]:
    """Return the extras that are given.

    :param form: which extras there are.
    :param extras: as they are stored.
    :raises InputError: there is one that nobody knows.
    """
    if not all(isinstance(name, str) for name in extras):
        raise InputError("extra", "has a name that is not text.")
    # The Test button of Airflow 2 gives each name twice, once with this prefix.
    prefix = f"extra__{form.conn_type}__"
    extras = {name.removeprefix(prefix): value for name, value in extras.items()} | {
        name: value for name, value in extras.items() if not name.startswith(prefix)
    }
    unknown = sorted(set(extras) - set(form.fields))
    if unknown:
        raise InputError(
            f"extra.{unknown[0]}", f"is not known. The known extras are: {', '.join(form.fields)}."
        )
    # The form stores null or "" for a field that was left empty.
    return {name: value for name, value in extras.items() if value not in (None, "")}


def transport(
    form: ConnectionForm,
    connection: ConnectionLike,
    given: Mapping[str, Any],
    environment: Mapping[str, str],
) -> dict[str, Any]:
    """Return the arguments of an `Endpoint` that say where it is, and how it is reached.

    :param form: the defaults of the connection's type.
    :param connection: the connection.
    :param given: its extras.
    :param environment: the variables that say more of certificates and proxies.
    :raises InputError: a field is missing or unusable.
    """
    flags = {name: _flag(name, given.get(name)) for name in ("skip_tls_verify", "allow_http")}
    base_url = _base_url(form, connection, given.get("prefix"), allow_http=flags["allow_http"])
    if "proxies" in given:
        own = _proxies(given["proxies"]).get(urlsplit(base_url).scheme)
        proxy = (own, "extra.proxies") if own else None
    else:
        proxy = environments.proxy(base_url, environment)
    verify: tuple[bool | str, str] = (not flags["skip_tls_verify"], "extra.skip_tls_verify")
    if "ca_bundle" in given:
        if flags["skip_tls_verify"]:
            raise InputError("extra.ca_bundle", "is given, and skip_tls_verify is on: choose one.")
        verify = (given_string("ca_bundle", given["ca_bundle"]), "extra.ca_bundle")
    elif verify[0] and any(url.startswith("https:") for url in (base_url, (proxy or ("",))[0])):
        verify = environments.ca_bundle(environment) or verify
    return {
        "base_url": base_url,
        "verify": verify[0],
        "verify_field": verify[1],
        "connect_timeout": _seconds("connect_timeout", given.get("connect_timeout", 10.0)),
        "read_timeout": _seconds("read_timeout", given.get("read_timeout", 30.0)),
        "proxy": proxy[0] if proxy else None,
        "proxy_field": proxy[1] if proxy else "",
    }


def _base_url(
    form: ConnectionForm, connection: ConnectionLike, prefix: object, *, allow_http: bool
) -> str:
    host = text_of("host", connection.host) or form.default_host
    if not host:
        raise InputError("host", "is empty: give the base URL, such as https://dce.example.")
    schema = text_of("schema", connection.schema)
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
    if parts.query or parts.fragment or not environments.is_host(parts.hostname or ""):
        raise InputError("host", "must be a host name or a base URL, without ? and #.")
    name = str(parts.hostname)
    port = _port(connection.port)
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
        path += _path("extra.prefix", given_string("prefix", prefix))
    elif not path:
        path = form.default_prefix
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


def _is_loopback(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() in ("localhost", "localhost.")


def text_of(field: str, value: object) -> str:
    """Return the text of one of Airflow's own fields; a missing one is empty.

    :param field: the field's name.
    :param value: its value.
    :raises InputError: it is no text.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(field, f"must be text, not {type(value).__name__}.")
    return value.strip()


def _port(value: object) -> int | None:
    if isinstance(value, str):
        digits = value.strip()
        value = int(digits) if re.fullmatch("[0-9]{1,9}", digits) else digits or None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise InputError("port", f"must be from 1 to 65535, or empty, not {value!r:.40}.")
    return value or None  # the form of some Airflow lines sends 0 for an empty port


def _extras(extra: object) -> Mapping[str, Any]:
    # Not `extra_dejson`: it hides broken JSON behind a log line, and that would hide a CA bundle.
    if isinstance(extra, str):
        try:
            extra = json.loads(extra) if extra.strip() else None
        except (ValueError, RecursionError):
            raise InputError("extra", "is not JSON.") from None
    if extra is None:
        return {}
    if not isinstance(extra, Mapping):
        raise InputError("extra", f"must be a JSON object, not {type(extra).__name__}.")
    return extra


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
    seconds = check_seconds(f"extra.{name}", value)
    if seconds > LONGEST_TIMEOUT:
        raise InputError(f"extra.{name}", f"must be at most {LONGEST_TIMEOUT:.0f} seconds.")
    return float(seconds)


def given_string(name: str, value: object) -> str:
    """Return the text of an extra.

    :param name: the extra's name.
    :param value: its value.
    :raises InputError: it is no text.
    """
    if not isinstance(value, str):
        raise InputError(f"extra.{name}", f"must be a string, not {type(value).__name__}.")
    return value.strip()


def dashboard_url(value: object) -> str:
    """Return where people see the installation.

    :param value: the extra ``dashboard_url``.
    :raises InputError: it is no URL, or has a secret in it.
    """
    url = given_string("dashboard_url", value)
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("https", "http") and environments.is_host(parts.hostname or "")
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
        except (ValueError, RecursionError):
            raise InputError("extra.proxies", problem) from None
    if not isinstance(value, Mapping) or not all(
        scheme in ("http", "https") and isinstance(url, str) for scheme, url in value.items()
    ):
        raise InputError("extra.proxies", problem)
    for url in value.values():
        environments.check_proxy("extra.proxies", url)
    return dict(value)
