"""Certificates and proxies of the environment: one rule, and both clients go by it."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_daocloud.api import environment
from airflow_provider_daocloud.api.async_client import AsyncDaoCloudClient
from airflow_provider_daocloud.api.errors import DaoCloudError, InputError, UnreachableError
from airflow_provider_daocloud.api.openapi.apps import act_on_app, get_app
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook
from airflow_provider_daocloud.triggers.daocloud import DaoCloudActionTrigger
from airflow_provider_daocloud.triggers.poller_registry import PollerRegistry
from tests.support import servers
from tests.support.modes import first_event
from tests.support.samples import ACCEPTED, APP, APP_ID
from tests.support.servers import Certificate, Server, http

GET = get_app(APP_ID)
POST = act_on_app(APP_ID, "restart")
GOOD = http(200, APP | ACCEPTED)
SETTINGS = {"connect_timeout": 3, "read_timeout": 3, "allow_http": True}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate that nobody trusts yet."""
    return Certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what sets the connection."""

    def connect(host: str, **extra: Any) -> None:
        connection: dict[str, Any] = {"conn_type": "daocloud", "password": "a-token", "host": host}
        connection |= {"extra": SETTINGS | extra}
        monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_DEFAULT", json.dumps(connection))

    return connect


def in_a_worker(api_request: Request[Any] = GET) -> Any:
    """Send a call as a worker does; return what came, or the error."""
    hook = DaoCloudHook()
    try:
        return hook.observe(api_request)
    except DaoCloudError as e:
        return e
    finally:
        hook.close()


def in_the_triggerer() -> Any:
    """Send a call as the triggerer does; return what came, or the error."""

    async def send() -> Any:
        try:
            client = AsyncDaoCloudClient(await PollerRegistry().endpoint("daocloud_default"))
            try:
                return await client.send(GET)
            finally:
                await client.close()
        except DaoCloudError as e:
            return e

    return asyncio.run(send())


CLIENTS = pytest.mark.parametrize("ask", [in_a_worker, in_the_triggerer])


# --- certificates ---------------------------------------------------------------------------------


def hashed(folder: Path, certificate: Certificate) -> Path:
    """Return a folder of certificates as OpenSSL wants it."""
    name = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", str(certificate.certfile)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    shutil.copy(certificate.certfile, folder / f"{name}.0")
    return folder


@CLIENTS
@pytest.mark.parametrize("name", environment.CA_VARIABLES)
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_each_variable_of_certificates(
    ask: Callable[[], Any],
    name: str,
    kind: str,
    certificate: Certificate,
    connect: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of them alone is enough, for workers and the triggerer alike."""
    bundle = certificate.certfile if kind == "file" else hashed(tmp_path, certificate)
    monkeypatch.setenv(name, str(bundle))
    with Server(servers.answering(GOOD), tls=certificate.context) as server:
        connect(server.url)
        assert getattr(ask(), "id", None) == APP_ID


@CLIENTS
def test_the_first_variable_of_certificates_counts(
    ask: Callable[[], Any],
    certificate: Certificate,
    connect: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are not added up; an empty one is none; and the connection's own goes before all."""
    other = str(Certificate(tmp_path).certfile)
    first, second, *rest = environment.CA_VARIABLES
    for name in rest:
        monkeypatch.setenv(name, other)
    with Server(servers.answering(GOOD), tls=certificate.context) as server:
        connect(server.url)
        assert "certificate verify failed" in str(ask()).lower()
        monkeypatch.setenv(second, str(certificate.certfile))
        monkeypatch.setenv(first, "")
        assert getattr(ask(), "id", None) == APP_ID
        monkeypatch.setenv(first, "/nowhere.pem")
        connect(server.url, ca_bundle=str(certificate.certfile))
        assert getattr(ask(), "id", None) == APP_ID
        connect(server.url, skip_tls_verify=True)
        assert getattr(ask(), "id", None) == APP_ID


@pytest.mark.parametrize("name", environment.CA_VARIABLES)
def test_certificates_that_are_not_there(
    name: str, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No connection was opened: nothing may have been taken, and the variable is named."""
    monkeypatch.setenv(name, "/nowhere.pem")
    with Server(servers.answering(GOOD)) as server:
        connect(server.url.replace("http:", "https:"))
        errors = [in_a_worker(GET), in_a_worker(POST), in_the_triggerer()]
        works, words = DaoCloudHook().test_connection()
    assert {type(error) for error in errors} == {InputError}
    assert {error.field for error in errors} == {name}
    assert (works, name in words) == (False, True)
    assert server.connections == 0


def test_no_certificates_are_needed_without_tls(
    connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over plain HTTP a variable for certificates is of no matter."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    with Server(servers.answering(GOOD)) as server:
        connect(server.url)
        assert (in_a_worker().id, in_the_triggerer().id) == (APP_ID, APP_ID)


# --- proxies --------------------------------------------------------------------------------------


@CLIENTS
@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_each_variable_of_proxies(
    ask: Callable[[], Any],
    name: str,
    scheme: str,
    connect: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both clients ask the proxy, whichever way it is written."""
    connect("http://dc.invalid")
    with Server(servers.answering(GOOD)) as proxy:
        monkeypatch.setenv(name, f"{scheme}127.0.0.1:{proxy.port}")
        assert ask().id == APP_ID
    assert proxy.requests[0].startswith(b"GET http://dc.invalid/v1/")


@CLIENTS
@pytest.mark.parametrize("no_proxy", ["127.0.0.1", "127.0.0.0/8", "[::1],127.0.0.1", "fd00::/8,*"])
def test_past_the_proxy(
    ask: Callable[[], Any],
    no_proxy: str,
    connect: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """NO_PROXY leads past the environment's proxy, and never past the connection's own."""
    monkeypatch.setenv("NO_PROXY", no_proxy)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with Server(servers.answering(GOOD)) as server:
        connect(server.url)
        assert ask().id == APP_ID
        with Server(servers.answering(GOOD)) as proxy:
            connect(server.url, proxies=f"http://127.0.0.1:{proxy.port}")
            assert ask().id == APP_ID
        assert (len(server.requests), len(proxy.requests)) == (1, 1)


@pytest.mark.parametrize(
    ("variables", "base_url", "meant"),
    [
        ({}, "https://dc.example", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://dc.example", "HTTPS_PROXY"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://dc.example", None),
        ({"HTTPS_PROXY": "http://p:1", "https_proxy": "http://q:1"}, "https://x", "https_proxy"),
        ({"HTTPS_PROXY": "http://p:1", "https_proxy": ""}, "https://x", None),
        ({"HTTPS_PROXY": "http://p:1", "all_proxy": "http://q:1"}, "https://x", "HTTPS_PROXY"),
        ({"HTTPS_PROXY": "", "ALL_PROXY": "http://q:1"}, "https://x", "ALL_PROXY"),
    ],
)
def test_which_proxy(variables: dict[str, str], base_url: str, meant: str | None) -> None:
    """The scheme's own first, then ALL_PROXY; small letters before capitals."""
    found = environment.proxy(base_url, variables)
    assert found == (None if meant is None else (variables[meant], meant))


EXEMPT = {
    "https://dc.example": [
        *("dc.example", ".dc.example", "example", ".example", "DC.Example.", "*.example", "dc.*"),
        *("*", "a, dc.example", "a dc.example", "dc.example:443", "a,,example,"),
    ],
    "https://dc.example:8443": ["dc.example", "dc.example:8443"],
    "http://dc.example": ["dc.example:80"],
    "https://10.1.2.3": [
        *("10.1.2.3", "10.0.0.0/8", "10.1.2.3/8", "10.1.2.3/32", "10.1.2.3:443", "10.*"),
    ],
    "https://[::1]": ["::1", "[::1]", "[::1]:443", "::/64", "0:0::1"],
    "https://[fd00::7]:8443": ["fd00::/8", "[fd00::7]:8443", "fd00:0:0::7"],
}
NOT_EXEMPT = {
    "https://dc.example": [
        "",
        "c.example",
        "notdc.example",
        "dc.example:80",
        "x.dc.example",
        "ple",
    ],
    "https://notdc.example": ["dc.example", ".dc.example"],
    "https://10.1.2.3": ["10.1.2.4", "11.0.0.0/8", "10.1.2.3:80", "fd00::/8", "2.3"],
    "https://[::1]": ["::2", "[::1]:80", "fd00::/8", "127.0.0.0/8"],
}


@pytest.mark.parametrize(
    ("base_url", "no_proxy", "exempt"),
    [
        (base_url, no_proxy, exempt)
        for exempt, table in ((True, EXEMPT), (False, NOT_EXEMPT))
        for base_url, entries in table.items()
        for no_proxy in entries
    ],
)
@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_no_proxy(base_url: str, no_proxy: str, exempt: bool, name: str) -> None:
    """Names and what is below them, addresses, networks, ports, and the star."""
    found = environment.proxy(f"{base_url}/v1", {"ALL_PROXY": "http://p:1", name: no_proxy})
    assert (found is None) is exempt


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("HTTPS_PROXY", url) for url in ("ftp://u:hunter2@p", "http://u:hunter2@p:x", "http://")),
        *(("https_proxy", url) for url in ("http://u:hunter2@a..b", "http://u:hunter2@p:1 x")),
        *(("ALL_PROXY", url) for url in ("socks5://u:hunter2@p", "socks5h://p", "socks4://p")),
        *(("NO_PROXY", entry) for entry in ("10.0.0.0/99", "[::1", "[fd00::/8", "a,b/c")),
    ],
)
def test_unusable_variables(
    name: str, value: str, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable is named, its secrets are not, and a wait ends for good, in both clients."""
    if name == "NO_PROXY":
        monkeypatch.setenv("ALL_PROXY", "http://p:1")
    monkeypatch.setenv(name, value)
    connect("https://dc.invalid")
    path = f"{DaoCloudActionTrigger.__module__}.{DaoCloudActionTrigger.__qualname__}"
    event = asyncio.run(first_event(path, {"app_id": APP_ID, "action_id": "a"}))
    works, words = DaoCloudHook().test_connection()
    assert (event.payload["status"], works) == ("permanent", False)
    for said in (str(in_a_worker()), str(in_a_worker(POST)), event.payload["message"], words):
        assert said.startswith(f"connection 'daocloud_default', variable '{name}': ")
        assert "hunter2" not in said


def test_socks_with_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A SOCKS proxy is taken where both clients can use it, and else the package is named."""
    real = importlib.util.find_spec
    there = {"socks"}
    monkeypatch.setattr(
        environment, "find_spec", lambda name: real("json") if name in there else None
    )
    variables = {"ALL_PROXY": "socks5://p:1080"}
    with pytest.raises(InputError, match="needs socksio"):
        environment.proxy("https://dc.example", variables)
    there.add("socksio")
    assert environment.proxy("https://dc.example", variables) == ("socks5://p:1080", "ALL_PROXY")


@CLIENTS
def test_a_proxy_that_is_asked_by_tls(
    ask: Callable[[], Any],
    certificate: Certificate,
    connect: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its certificate is verified as DaoCloud's is."""
    connect("http://dc.invalid")
    with Server(servers.answering(GOOD), tls=certificate.context) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"https://127.0.0.1:{proxy.port}")
        assert isinstance(ask(), UnreachableError)
        assert proxy.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.certfile))
        assert ask().id == APP_ID
