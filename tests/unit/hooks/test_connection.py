"""A Connection read as an endpoint: every way to write one, and what each bad field says."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import BaseHook, Connection

from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.hooks.connection import endpoint_of
from airflow_provider_daocloud.provider_info import OPEN_API

TOKEN = "tok-5f0c2b77d1e94a"
DEFAULT = "https://openapi.daocloud.io/v1"


def connection(extra: Any = None, **fields: Any) -> Any:
    """Return an Airflow Connection with a token."""
    if extra is not None and not isinstance(extra, str):
        extra = json.dumps(extra)
    given = {"conn_id": "dc", "conn_type": "daocloud", "password": TOKEN, "extra": extra}
    return Connection(**given | fields)


def url(extra: Any = None, **fields: Any) -> str:
    """Return the base URL that a connection leads to."""
    return endpoint_of(connection(extra, **fields)).base_url


def problem(extra: Any = None, **fields: Any) -> str:
    """Return what a bad connection says."""
    with pytest.raises(InputError) as caught:
        endpoint_of(connection(extra, **fields))
    assert TOKEN not in str(caught.value)
    return str(caught.value)


# --- the three ways to write one -----------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        f"daocloud://:{TOKEN}@https%3A%2F%2Fdc.example%3A8443%2Fopen/?prefix=%2Fv2"
        "&skip_tls_verify=true&connect_timeout=2.5&read_timeout=60",
        f"daocloud://:{TOKEN}@dc.example:8443/https?prefix=%2Fopen%2Fv2"
        "&skip_tls_verify=True&connect_timeout=2.5&read_timeout=60",
        f"daocloud://:{TOKEN}@dc.example:8443/?__extra__="
        "%7B%22prefix%22%3A+%22open%2Fv2%22%2C+%22skip_tls_verify%22%3A+true%2C"
        "+%22connect_timeout%22%3A+2.5%2C+%22read_timeout%22%3A+60%7D",
        json.dumps(
            {
                "conn_type": "daocloud",
                "password": TOKEN,
                "host": "https://dc.example/open",
                "port": 8443,
                "extra": {
                    "prefix": "/v2/",
                    "skip_tls_verify": True,
                    "connect_timeout": 2.5,
                    "read_timeout": 60,
                },
            }
        ),
        json.dumps(
            {
                "conn_type": "daocloud",
                "password": TOKEN,
                "host": "dc.example:8443",
                "port": "8443",
                "extra": json.dumps(
                    {
                        "prefix": "open/v2",
                        "skip_tls_verify": "1",
                        "connect_timeout": "2.5",
                        "read_timeout": "60",
                        "allow_http": "",
                        "ca_bundle": None,
                        "proxies": "",
                    }
                ),
            }
        ),
    ],
)
def test_environment_variable(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same connection as a URI and as JSON, in a variable of the environment."""
    monkeypatch.setenv("AIRFLOW_CONN_DC", written)
    endpoint = endpoint_of(BaseHook.get_connection("dc"))
    assert endpoint.base_url == "https://dc.example:8443/open/v2"
    assert endpoint.token == TOKEN
    assert endpoint.verify is False
    assert (endpoint.connect_timeout, endpoint.read_timeout) == (2.5, 60)
    assert endpoint.proxy is None


@pytest.mark.parametrize(
    "written",
    [
        f"daocloud://:{TOKEN}@",
        f"daocloud://:{TOKEN}@/",
        f"daocloud://:{TOKEN}@openapi.daocloud.io",
        json.dumps({"conn_type": "daocloud", "password": TOKEN}),
        json.dumps({"conn_type": "daocloud", "password": f" {TOKEN}\n", "host": " ", "port": 0}),
    ],
)
def test_token_alone(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token is all that the public service needs; blanks around it are of no account."""
    monkeypatch.setenv("AIRFLOW_CONN_DC", written)
    endpoint = endpoint_of(BaseHook.get_connection("dc"))
    assert (endpoint.base_url, endpoint.token) == (DEFAULT, TOKEN)
    assert (endpoint.verify, endpoint.proxy) == (True, None)
    assert (endpoint.connect_timeout, endpoint.read_timeout) == (10.0, 30.0)


def test_token_with_any_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token with the characters of base64 survives a URI, if it is percent-encoded there."""
    monkeypatch.setenv("AIRFLOW_CONN_DC", "daocloud://:a%2Fb%2Bc%3D%40%3A@")
    assert endpoint_of(BaseHook.get_connection("dc")).token == "a/b+c=@:"


# --- where it leads ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "base_url"),
    [
        ({}, DEFAULT),
        ({"host": ""}, DEFAULT),
        ({"host": "dc.example"}, "https://dc.example/v1"),
        ({"host": "DC.Example"}, "https://dc.example/v1"),
        ({"host": " dc.example/ "}, "https://dc.example/v1"),
        ({"host": "https://dc.example"}, "https://dc.example/v1"),
        ({"host": "HTTPS://dc.example/"}, "https://dc.example/v1"),
        ({"host": "dc.example:8443"}, "https://dc.example:8443/v1"),
        ({"host": "https://dc.example:8443"}, "https://dc.example:8443/v1"),
        ({"host": "dc.example", "port": 8443}, "https://dc.example:8443/v1"),
        ({"host": "dc.example:8443", "port": 8443}, "https://dc.example:8443/v1"),
        ({"host": "https://dc.example", "port": 8443}, "https://dc.example:8443/v1"),
        ({"host": "dc.example", "port": 0}, "https://dc.example/v1"),
        ({"host": "dc.example:0"}, "https://dc.example/v1"),
        ({"port": 8443}, "https://openapi.daocloud.io:8443/v1"),
        ({"host": "https://dc.example/open/v1"}, "https://dc.example/open/v1"),
        ({"host": "dc.example/open/v1/"}, "https://dc.example/open/v1"),
        ({"host": "dc.example:8443/open"}, "https://dc.example:8443/open"),
        ({"host": "dc.example", "extra": {"prefix": "/open/v1"}}, "https://dc.example/open/v1"),
        ({"host": "dc.example", "extra": {"prefix": "open/v1/"}}, "https://dc.example/open/v1"),
        ({"host": "dc.example/open", "extra": {"prefix": "v1"}}, "https://dc.example/open/v1"),
        ({"host": "dc.example", "extra": {"prefix": "/"}}, "https://dc.example"),
        ({"host": "dc.example", "extra": {"prefix": ""}}, "https://dc.example/v1"),
        ({"host": "dc.example", "extra": {"prefix": None}}, "https://dc.example/v1"),
        ({"host": "192.0.2.1"}, "https://192.0.2.1/v1"),
        ({"host": "2001:db8::1"}, "https://[2001:db8::1]/v1"),
        ({"host": "[2001:db8::1]"}, "https://[2001:db8::1]/v1"),
        ({"host": "[2001:db8::1]:8443"}, "https://[2001:db8::1]:8443/v1"),
        ({"host": "https://[2001:db8::1]:8443/open"}, "https://[2001:db8::1]:8443/open"),
        ({"host": "2001:db8::1", "port": 8443}, "https://[2001:db8::1]:8443/v1"),
        ({"host": "dc.example", "schema": "https"}, "https://dc.example/v1"),
        ({"host": "127.0.0.1", "port": 80, "schema": "http"}, "http://127.0.0.1:80/v1"),
        ({"host": "数道.example"}, "https://数道.example/v1"),
    ],
)
def test_base_url(fields: dict[str, Any], base_url: str) -> None:
    """A host bare, with scheme, port or path; a port and a prefix of their own; IPv6."""
    assert url(**fields) == base_url


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1.2.3", "localhost", "LOCALHOST", "localhost.", "[::1]"]
)
def test_plain_http_to_loopback(host: str) -> None:
    """Plain HTTP to this machine is allowed: the token does not leave it."""
    assert url(host=f"http://{host}:5000") == f"http://{host.lower()}:5000/v1"


@pytest.mark.parametrize(
    "host",
    [
        *("dc.example", "192.0.2.1", "10.0.0.1", "0.0.0.0", "[2001:db8::1]", "127.0.0.1.example"),
        *("localhost.example", "127.0.0.1@dc.example", "2130706433"),
    ],
)
def test_plain_http_elsewhere(host: str) -> None:
    """Plain HTTP to any other host is refused, and allowed only by name."""
    said = problem(host=f"http://{host}:5000")
    assert "field 'host'" in said
    if "@" not in host:
        assert "'allow_http'" in said
        assert "https://" in said
        for yes in (True, "true", "1", 1):
            allowed = url({"allow_http": yes}, host=f"http://{host}:5000")
            assert allowed == f"http://{host}:5000/v1"
        assert "'allow_http'" in problem({"allow_http": False}, host=f"http://{host}")
        assert "'allow_http'" in problem({"allow_http": "no"}, host=host, schema="http")


# --- bad fields ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "field", "remedy"),
    [
        ({"password": None}, "password", "access token"),
        ({"password": ""}, "password", "access token"),
        ({"password": " \n"}, "password", "access token"),
        ({"password": f"{TOKEN} x"}, "password", "spaces"),
        ({"password": f"token {TOKEN}"}, "password", "spaces"),
        ({"password": f"{TOKEN}\nx"}, "password", "spaces"),
        ({"password": f"{TOKEN}é"}, "password", "characters"),
        ({"host": "ftp://dc.example"}, "host", "https://"),
        ({"host": "dc.example", "schema": "ftp"}, "schema", "https"),
        ({"host": f"https://{TOKEN}@dc.example"}, "host", "password"),
        ({"host": f"https://me:{TOKEN}@dc.example"}, "host", "password"),
        ({"host": f"https://dc.example:{TOKEN}"}, "host", "base URL"),
        ({"host": f"https://me:{TOKEN}\u2100@dc.example"}, "host", "base URL"),
        ({"host": f"https://dc.example/?token={TOKEN}"}, "host", "without ?"),
        ({"host": "https://dc.example/#x"}, "host", "without ?"),
        ({"host": "https://"}, "host", "host name"),
        ({"host": "https:///v1"}, "host", "host name"),
        ({"host": "https://[::1"}, "host", "base URL"),
        ({"host": "dc.example:port"}, "host", "base URL"),
        ({"host": "dc.example:99999"}, "host", "base URL"),
        ({"host": "dc.example:1:2"}, "host", "base URL"),
        ({"host": "dc..example"}, "host", "host name"),
        ({"host": ".example"}, "host", "host name"),
        ({"host": "a" * 64 + ".example"}, "host", "host name"),
        ({"host": "dc example"}, "host", "host name"),
        ({"host": "dc.exam%70le"}, "host", "host name"),
        ({"host": "dc.example;x"}, "host", "host name"),
        ({"host": "dc.example\\x"}, "host", "host name"),
        ({"host": "dc.example/a b"}, "host", "/v1"),
        ({"host": "dc.example/a/../b"}, "host", "/v1"),
        ({"host": "dc.example", "port": 99999}, "port", "65535"),
        ({"host": "dc.example", "port": -1}, "port", "65535"),
        ({"host": "dc.example:8443", "port": 443}, "port", "give one of them"),
        ({"extra": "{nope"}, "extra", "JSON"),
        ({"extra": "[1]"}, "extra", "JSON object"),
        ({"extra": '"x"'}, "extra", "JSON object"),
        ({"extra": {"verify": False}}, "extra.verify", "skip_tls_verify"),
        ({"extra": {"extra__daocloud__nope": "/v1"}}, "extra.nope", "prefix"),
        ({"extra": {"extra__http__prefix": "/v1"}}, "extra.extra__http__prefix", "prefix"),
        ({"extra": {"prefix": "/v1?x"}}, "extra.prefix", "/open/v1"),
        ({"extra": {"prefix": "../v1"}}, "extra.prefix", "/open/v1"),
        ({"extra": {"prefix": "/v1#"}}, "extra.prefix", "/open/v1"),
        ({"extra": {"prefix": "/v 1"}}, "extra.prefix", "/open/v1"),
        ({"extra": {"prefix": "/v\n1"}}, "extra.prefix", "/open/v1"),
        ({"extra": {"prefix": "/版本"}}, "extra.prefix", "/open/v1"),
        ({"extra": {"prefix": 1}}, "extra.prefix", "string"),
        ({"extra": {"ca_bundle": True}}, "extra.ca_bundle", "string"),
        (
            {"extra": {"ca_bundle": "/ca.pem", "skip_tls_verify": True}},
            "extra.ca_bundle",
            "choose one",
        ),
        ({"extra": {"skip_tls_verify": "maybe"}}, "extra.skip_tls_verify", "true or false"),
        ({"extra": {"skip_tls_verify": 2}}, "extra.skip_tls_verify", "true or false"),
        ({"extra": {"allow_http": []}}, "extra.allow_http", "true or false"),
        ({"extra": {"connect_timeout": 0}}, "extra.connect_timeout", "more than 0"),
        ({"extra": {"connect_timeout": -1}}, "extra.connect_timeout", "more than 0"),
        ({"extra": {"connect_timeout": "soon"}}, "extra.connect_timeout", "number of seconds"),
        ({"extra": {"read_timeout": True}}, "extra.read_timeout", "number of seconds"),
        ({"extra": {"read_timeout": "nan"}}, "extra.read_timeout", "more than 0"),
        ({"extra": {"read_timeout": "inf"}}, "extra.read_timeout", "more than 0"),
        ({"extra": {"read_timeout": [1]}}, "extra.read_timeout", "number of seconds"),
        ({"extra": {"proxies": "proxy:3128"}}, "extra.proxies", "http://proxy:3128"),
        ({"extra": {"proxies": "{nope"}}, "extra.proxies", "http://proxy:3128"),
        ({"extra": {"proxies": ["http://p"]}}, "extra.proxies", "http://proxy:3128"),
        ({"extra": {"proxies": 1}}, "extra.proxies", "http://proxy:3128"),
        ({"extra": {"proxies": {"ftp": "http://p"}}}, "extra.proxies", "http://proxy:3128"),
        ({"extra": {"proxies": {"https": None}}}, "extra.proxies", "http://proxy:3128"),
        ({"extra": {"proxies": "ftp://p"}}, "extra.proxies", "http://proxy:3128"),
        ({"extra": {"proxies": "http://"}}, "extra.proxies", "http://proxy:3128"),
        ({"extra": {"proxies": "http://u:hunter2@p:x"}}, "extra.proxies", "http://proxy:3128"),
        ({"extra": {"proxies": "http://u:hunter2@p:99999"}}, "extra.proxies", "http://proxy:3128"),
        ({"extra": {"proxies": "http://u:hunter2@[p"}}, "extra.proxies", "http://proxy:3128"),
        ({"extra": {"proxies": "http://u:hun/ter2@p"}}, "extra.proxies", "http://proxy:3128"),
        ({"extra": {"proxies": "http://u:hunter2@a..b"}}, "extra.proxies", "http://proxy:3128"),
        ({"extra": {"proxies": "socks5://u:hunter2@p"}}, "extra.proxies", "PySocks and socksio"),
        ({"extra": {"read_timeout": 1e300}}, "extra.read_timeout", "at most 86400"),
    ],
)
def test_bad_field(fields: dict[str, Any], field: str, remedy: str) -> None:
    """Each bad field is named, with the connection and the remedy; no secret is quoted."""
    said = problem(**fields)
    assert said.startswith(f"connection 'dc', field '{field}': ")
    assert remedy in said
    assert "hunter2" not in said


def of_a_backend(**fields: Any) -> Any:
    """Return a connection as a secrets backend makes it: no type is checked."""
    empty = dict.fromkeys(("host", "schema", "login", "port", "extra"))
    return SimpleNamespace(**empty | {"conn_id": "dc", "password": TOKEN} | fields)


@pytest.mark.parametrize(
    ("port", "meant"),
    [
        *(("8443", ":8443"), (" 8443 ", ":8443"), (8443.0, ":8443"), (8443, ":8443")),
        *(("", ""), (" ", ""), ("0", ""), (0, ""), (0.0, ""), (None, "")),
    ],
)
def test_ports_of_backends(port: Any, meant: str) -> None:
    """A port may be text, as some backends give it."""
    endpoint = endpoint_of(of_a_backend(host="dc.example", port=port))
    assert endpoint.base_url == f"https://dc.example{meant}/v1"


def test_extra_of_a_backend_that_is_an_object_already() -> None:
    """Extras need not be JSON in a string."""
    made = endpoint_of(of_a_backend(extra={"prefix": "/v2", "connect_timeout": "2"}))
    assert (made.base_url, made.connect_timeout) == ("https://openapi.daocloud.io/v2", 2.0)


NO_TEXT: tuple[Any, ...] = (1, b"x", ["x"], {})
BAD_VALUES: dict[str, tuple[Any, ...]] = {
    "port": ("None", "8443.5", "x", "-1", 84.5, True, [1], 1e300, "\u0663"),
    **dict.fromkeys(("host", "schema", "password"), NO_TEXT),
    "extra": (1, b"{}", ["x"], {1: "x"}, True, "[" * 100_000),
    **dict.fromkeys(("extra.prefix", "extra.ca_bundle", "extra.dashboard_url"), NO_TEXT),
    "extra.proxies": (1, b"x", ["x"], {1: 2}),
    "extra.read_timeout": (b"1", ["x"], {}, 10**400),
    "extra.allow_http": (b"1", ["x"], {}, 1.5),
}


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field, values in BAD_VALUES.items() for value in values],
    ids=lambda value: f"{value!r:.20}",
)
def test_values_of_backends_that_are_none(field: str, value: Any) -> None:
    """What a backend gives is never a TypeError: the field is named."""
    name, _, extra = field.partition(".")
    bad = of_a_backend(**{name: {extra: value} if extra else value})
    with pytest.raises(InputError, match=rf"^connection 'dc', field '{re.escape(field)}': "):
        endpoint_of(bad)


def test_whatever_else_a_backend_gives() -> None:
    """What nobody thought of is permanent too, and its words may hold a secret."""

    class Broken:
        conn_id = "dc"

        @property
        def extra(self) -> str:
            raise RuntimeError(f"the key of {TOKEN}")

    with pytest.raises(InputError, match=r"^connection 'dc': .* ended in RuntimeError") as caught:
        endpoint_of(Broken())  # type: ignore[arg-type]
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("name", OPEN_API.fields)
def test_known_extras_are_named(name: str) -> None:
    """An unknown extra is answered with all those that are known."""
    assert name in problem({"nope": 1})


# --- the other extras ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        *((True, True), ("true", True), ("True", True), (" YES ", True), ("1", True), (1, True)),
        *((False, False), ("false", False), ("no", False), ("0", False), (0, False)),
        *(("", False), (None, False)),
    ],
)
def test_booleans(written: Any, meant: bool) -> None:
    """Booleans may be words, as everything in a URI is."""
    assert endpoint_of(connection({"skip_tls_verify": written})).verify is not meant


def test_ca_bundle() -> None:
    """A CA bundle is what certificates are verified with."""
    assert endpoint_of(connection({"ca_bundle": " /etc/ca.pem "})).verify == "/etc/ca.pem"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("http://p:3128", "http://p:3128"),
        (" http://p:3128 ", "http://p:3128"),
        ('{"https": "http://p:3128"}', "http://p:3128"),
        ({"https": "http://u:hunter2@p:3128"}, "http://u:hunter2@p:3128"),
        ({"http": "http://p:3128"}, None),
        ({}, None),
        ("https://[2001:db8::1]:1", "https://[2001:db8::1]:1"),
    ],
)
def test_proxies(written: Any, meant: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """One URL, JSON in a string (what a form can hold), or an object; no proxy variable counts."""
    monkeypatch.setenv("HTTPS_PROXY", "http://another:1")
    monkeypatch.setenv("NO_PROXY", "*")
    endpoint = endpoint_of(connection({"proxies": written}))
    assert endpoint.proxy == meant
    assert "hunter2" not in repr(endpoint)


def test_extras_read_elsewhere() -> None:
    """A triggerer reads the extras in its own way, and hands them over."""
    made = endpoint_of(connection("{nope"), {"prefix": "/v2", "read_timeout": 5})
    assert (made.base_url, made.read_timeout) == ("https://openapi.daocloud.io/v2", 5)


def test_what_the_test_button_of_airflow_2_sends() -> None:
    """It gives each name twice, and *y* for a box that is ticked."""
    fields = {"prefix": "/v2", "skip_tls_verify": "y", "ca_bundle": ""}
    sent = fields | {f"extra__daocloud__{name}": value for name, value in fields.items()}
    for extras in (sent, dict(reversed(sent.items()))):
        endpoint = endpoint_of(connection(extras))
        assert (endpoint.base_url, endpoint.verify) == ("https://openapi.daocloud.io/v2", False)
    # Of two different values it is the one that Airflow stores.
    both = {"prefix": "/stored", "extra__daocloud__prefix": "/typed"}
    assert endpoint_of(connection(both)).base_url == "https://openapi.daocloud.io/stored"


def test_what_the_form_of_airflow_2_stores() -> None:
    """A form that was saved with nothing filled in gives the defaults."""
    empty = {
        name: False if kind == "boolean" else "" for name, (kind, *_) in OPEN_API.fields.items()
    }
    assert endpoint_of(connection(empty)) == endpoint_of(connection())
