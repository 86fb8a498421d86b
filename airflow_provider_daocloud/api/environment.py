"""What the environment says of certificates and proxies, read by one rule for both clients.

``requests`` and ``httpx`` each read it in a way of their own. Here it is resolved once, and both
get the result. Pure: the variables are handed in.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from importlib.util import find_spec
from urllib.parse import urlsplit

from airflow_provider_daocloud.api.errors import InputError

# The first of these that is set and not empty is taken.
CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")

Environment = Mapping[str, str]


def ca_bundle(environment: Environment) -> tuple[str, str] | None:
    """Return the file or folder of CA certificates and the name of the variable that has it.

    :param environment: the variables.
    """
    for name in CA_VARIABLES:
        if environment.get(name):
            return environment[name], name
    return None


def proxy(base_url: str, environment: Environment) -> tuple[str, str] | None:
    """Return the proxy for a base URL and the name of the variable that has it.

    ``HTTPS_PROXY`` or ``HTTP_PROXY``, by the scheme of the base URL, and else ``ALL_PROXY``, unless
    ``NO_PROXY`` names the host. A name in small letters goes before the same one in capitals, also
    when it is empty.

    :param base_url: what is to be asked.
    :param environment: the variables.
    :raises InputError: a variable that matters here is unusable; it is named.
    """
    found = None
    for name in (f"{urlsplit(base_url).scheme}_proxy", "all_proxy"):
        found = found or _variable(name, environment)
    if found is None or _is_exempt(base_url, environment):
        return None
    url, name = found
    url = url if "://" in url else f"http://{url}"
    check_proxy(name, url)
    return url, name


def check_proxy(field: str, url: str) -> None:
    """Refuse a proxy that one of the clients could not use. Its URL is not shown: it may have a
    password.

    :param field: the field or variable that it comes from.
    :param url: the proxy.
    :raises InputError: it is no URL of a proxy, or a package that it needs is missing.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https", "socks5", "socks5h") and parts.port != 0
        usable = usable and is_host(parts.hostname or "") and url.isprintable() and " " not in url
    except ValueError:
        usable = False
    if not usable:
        raise InputError(field, "must be the URL of a proxy, such as http://proxy:3128.")
    if parts.scheme.startswith("socks"):
        needed = {"socks": "PySocks", "socksio": "socksio"}  # workers, triggerer
        missing = [package for module, package in needed.items() if find_spec(module) is None]
        if missing:
            raise InputError(
                field,
                f"names a SOCKS proxy, which needs {' and '.join(missing)}. Install it for workers "
                "and triggerers, or use an HTTP proxy.",
            )


def is_host(name: str) -> bool:
    """Return whether a request can go to a host of this name.

    :param name: a host name, or an IP address without brackets.
    """
    if ":" in name:
        try:
            return bool(ipaddress.IPv6Address(name))
        except ValueError:
            return False
    try:
        return bool(re.fullmatch(r"[\w.-]+", name.encode("idna").decode(), re.ASCII))
    except UnicodeError:  # an empty label, or one that is too long
        return False


def _variable(name: str, environment: Environment) -> tuple[str, str] | None:
    for variable in (name, name.upper()):
        if variable in environment:
            value = environment[variable].strip()
            return (value, variable) if value else None
    return None


def _is_exempt(base_url: str, environment: Environment) -> bool:
    """Whether NO_PROXY names the host: by name, address, network, or ``*``."""
    found = _variable("no_proxy", environment)
    if found is None:
        return False
    entries, variable = found
    parts = urlsplit(base_url)
    host = (parts.hostname or "").rstrip(".")
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    return any(
        _names(entry, host, port, variable) for entry in re.split(r"[,\s]+", entries) if entry
    )


def _names(entry: str, host: str, port: int, variable: str) -> bool:
    entry = entry.lower()
    if "/" in entry or entry.startswith("["):
        bracketed = re.fullmatch(r"\[(.+)\](?::(\d+))?", entry)
        text, its_port = bracketed.groups() if bracketed else (entry, None)
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise InputError(
                variable, f"{entry!r} is no network or address, such as 10.0.0.0/8 or [::1]."
            ) from None
        return _is_in(host, network) and its_port in (None, str(port))
    if entry.count(":") == 1:
        entry, _, its_port = entry.partition(":")
        if its_port != str(port):
            return False
    try:
        return _is_in(host, ipaddress.ip_network(entry))
    except ValueError:
        pass
    name = entry.strip(".")
    return fnmatchcase(host, name) or (host.endswith(f".{name}") and not _is_address(host))


def _is_address(host: str) -> bool:
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return False


def _is_in(host: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    return _is_address(host) and ipaddress.ip_address(host) in network
