"""The client of the triggerer: the same interpretations, one connection, and it never acts."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from airflow_provider_daocloud.api import errors
from airflow_provider_daocloud.api.async_client import AsyncDaoCloudClient
from airflow_provider_daocloud.api.client import DaoCloudClient
from airflow_provider_daocloud.api.endpoint import Endpoint
from airflow_provider_daocloud.api.errors import CallError, InputError
from airflow_provider_daocloud.api.openapi.apps import get_app
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.response import RateLimit, Response, interpret
from tests.support import servers
from tests.support.fakes import assert_no_token
from tests.support.samples import APP, APP_ID, CALLS, NOW, POSTS, READS, TOKEN
from tests.support.servers import Certificate, Server, http
from tests.unit.api.test_client_sockets import RUBBISH, authorization, endpoint, unused_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from requests_mock import Mocker

URL = "https://openapi.daocloud.io/v1"
GET = get_app(APP_ID)
GOOD = http(200, APP)


def ask(
    to: Endpoint,
    api_request: Request[Any] = GET,
    handler: Callable[[httpx.Request], httpx.Response] | None = None,
) -> Any:
    """Send one call, and return what came of it: the object or the error."""

    async def send() -> Any:
        transport = httpx.MockTransport(handler) if handler else None
        client = AsyncDaoCloudClient(to, clock=lambda: NOW, transport=transport)
        try:
            return await client.send(api_request)
        except (CallError, InputError) as error:
            assert_no_token(error)
            return error
        finally:
            await client.close()

    return asyncio.run(send())


@pytest.mark.parametrize("name", READS)
def test_reads(name: str) -> None:
    """Every call that reads is sent as the page says, and gives what it promises."""
    api_request, sample = READS[name]
    with Server(servers.answering(http(200, sample))) as server:
        made = ask(endpoint(server), api_request)
    assert made == interpret(api_request, Response(200, {}, json.dumps(sample).encode()), now=NOW)
    (request,) = server.requests
    head = request.lower()
    assert request.startswith(f"GET /v1{api_request.path} HTTP/1.1\r\n".encode())
    assert authorization(request) == f"token {TOKEN}".encode()
    assert b"accept: application/json\r\n" in head
    assert b"user-agent: airflow-provider-daocloud/" in head


@pytest.mark.parametrize("name", POSTS)
def test_actions_are_refused(name: str) -> None:
    """An action is not sent from an event loop: POSTs come from workers."""
    with Server(servers.answering(GOOD)) as server:
        with pytest.raises(ValueError, match="from workers only"):
            ask(endpoint(server), POSTS[name][0])
        assert server.connections == 0


ANSWERS = [
    *((status, {}, b"") for status in (200, 204, 302, 400, 401, 403, 404, 408, 429, 500, 503)),
    (200, {"X-RateLimit-Remaining": "7"}, json.dumps(APP).encode()),
    (200, {}, b"<html>"),
    (200, {}, b"[]"),
    (200, {}, f"token {TOKEN}".encode()),
    (302, {"Location": f"https://elsewhere.example/{TOKEN}"}, b""),
    (302, {"Location": "http://["}, b""),
    (401, {}, json.dumps({"message": f"bad {TOKEN}", "error_id": "x"}).encode()),
    (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW) + 60)}, b""),
    (429, {"Retry-After": "9"}, b"slow down"),
    (503, {"Retry-After": "Tue, 14 Nov 2023 22:14:20 GMT"}, b"<html>"),
]


@pytest.mark.parametrize(("status", "headers", "body"), ANSWERS)
def test_both_clients_judge_alike(
    status: int, headers: dict[str, str], body: bytes, requests_mock: Mocker
) -> None:
    """The same answer means the same in a worker and in the triggerer."""
    requests_mock.get(f"{URL}/apps/{APP_ID}", status_code=status, headers=headers, content=body)
    to = Endpoint(URL, TOKEN)
    there = ask(
        to, GET, lambda _: httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))
    )
    with DaoCloudClient(to, retry_timeout=0.0, clock=lambda: NOW) as client:
        try:
            here: Any = client.send(GET)
        except CallError as error:
            here = error
    assert type(there) is type(here)
    if isinstance(here, CallError):
        assert str(there) == str(here)
        assert vars(there) == vars(here)
    else:
        assert there == here


def all_subclasses(kind: type[Exception]) -> list[type[Exception]]:
    """Return a class and everything below it."""
    return [kind, *(made for sub in kind.__subclasses__() for made in all_subclasses(sub))]


# httpx's own: Airflow derives classes of its own, if it is loaded by then.
HTTPX_ERRORS = [kind for kind in all_subclasses(httpx.HTTPError) if kind.__module__ == "httpx"]


def raised(kind: type[Exception]) -> Exception:
    """Return an exception of a class, whatever its constructor takes."""
    if kind is httpx.HTTPStatusError:
        request = httpx.Request("GET", URL)
        return httpx.HTTPStatusError(
            f"token {TOKEN}", request=request, response=httpx.Response(500, request=request)
        )
    return kind(f"token {TOKEN}")


def test_all_exceptions_of_httpx_are_known() -> None:
    """The test below sees the library's classes, not a handful of them."""
    assert len(HTTPX_ERRORS) >= 20


@pytest.mark.parametrize(
    "kind", [*HTTPX_ERRORS, httpx.InvalidURL, OSError, TimeoutError, ValueError, UnicodeError]
)
def test_no_exception_escapes(kind: type[Exception]) -> None:
    """Whatever httpx raises becomes UnreachableError."""

    def handler(_: httpx.Request) -> httpx.Response:
        raise raised(kind)

    error = ask(Endpoint(URL, TOKEN), GET, handler)
    assert type(error) is errors.UnreachableError
    assert kind.__name__ in str(error)


def test_cancelling_is_no_fault() -> None:
    """A cancelled request is cancelled: it does not become an error of DaoCloud."""

    async def cancel() -> None:
        with Server(servers.silent) as server:
            client = AsyncDaoCloudClient(endpoint(server))
            task = asyncio.create_task(client.send(GET))
            while not server.requests:  # noqa: ASYNC110 - a thread reads them
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await client.close()

    asyncio.run(cancel())


@pytest.mark.parametrize("kind", RUBBISH)
def test_rubbish_for_an_answer(kind: str) -> None:
    """What is hardly HTTP is one of our errors."""
    with Server(servers.answering_once(RUBBISH[kind])) as server:
        error = ask(endpoint(server))
    assert isinstance(
        error, (errors.ProtocolError, errors.UnreachableError, errors.ServerFaultError)
    )


@pytest.mark.parametrize(
    "serve",
    [
        servers.resetting_at_once,
        servers.resetting_after_the_request,
        servers.closing_after_the_request,
        servers.silent,
        servers.deaf,
    ],
)
def test_no_answer(serve: servers.Serve) -> None:
    """Resets, silence and closed connections are UnreachableError, within the time-outs."""
    with Server(serve) as server:
        error = ask(endpoint(server, read_timeout=0.2))
    assert type(error) is errors.UnreachableError
    assert server.connections == 1


@pytest.mark.parametrize("serve", [servers.resetting_at_once, servers.without_tls, servers.deaf])
def test_no_tls_handshake(serve: servers.Serve) -> None:
    """A TLS handshake that fails is UnreachableError, and the token was not sent."""
    with Server(serve) as server:
        url = server.url.replace("http://", "https://")
        error = ask(Endpoint(url, TOKEN, connect_timeout=0.3, read_timeout=0.3))
    assert type(error) is errors.UnreachableError
    assert server.requests == []


def test_nobody_listens() -> None:
    """A refused connection is UnreachableError."""
    error = ask(Endpoint(f"http://127.0.0.1:{unused_port()}/v1", TOKEN))
    assert type(error) is errors.UnreachableError


def test_token_does_not_follow_a_redirect() -> None:
    """The host that a redirect names never hears of us."""
    with (
        Server(servers.answering(GOOD)) as elsewhere,
        Server(servers.answering(http(302, Location=elsewhere.url))) as server,
    ):
        error = ask(endpoint(server))
    assert type(error) is errors.RefusedError
    assert (len(server.requests), elsewhere.connections) == (1, 0)


# --- connections ---------------------------------------------------------------------------------


def test_one_connection_for_all_calls() -> None:
    """Twenty calls at once and twenty after them share one connection."""

    async def many() -> None:
        client = AsyncDaoCloudClient(endpoint(server))
        first = await asyncio.gather(*(client.send(GET) for _ in range(20)))
        for _ in range(20):
            assert await client.send(GET) == first[0]
        await client.close()

    with Server(servers.answering(GOOD)) as server:
        asyncio.run(many())
    assert (server.connections, len(server.requests)) == (1, 40)


def test_connections_are_as_many_as_asked_for() -> None:
    """No more connections are opened than the client may have."""

    async def many() -> None:
        client = AsyncDaoCloudClient(endpoint(server), connections=3)
        await asyncio.gather(*(client.send(GET) for _ in range(30)))
        await client.close()

    with Server(servers.answering(GOOD)) as server:
        asyncio.run(many())
    assert 1 <= server.connections <= 3


def test_a_closed_client_stays_usable() -> None:
    """After a close the next call connects again."""

    async def twice() -> None:
        client = AsyncDaoCloudClient(endpoint(server))
        await client.send(GET)
        await client.close()
        await client.close()
        await client.send(GET)
        await client.close()

    with Server(servers.answering(GOOD)) as server:
        asyncio.run(twice())
    assert server.connections == 2


def test_rate_limit_of_the_last_answer() -> None:
    """The client knows what the last answer said of the limit."""

    async def send() -> RateLimit | None:
        client = AsyncDaoCloudClient(Endpoint(URL, TOKEN), transport=httpx.MockTransport(handler))
        assert client.rate_limit is None
        await client.send(GET)
        await client.close()
        return client.rate_limit

    def handler(_: httpx.Request) -> httpx.Response:
        body = httpx.ByteStream(json.dumps(APP).encode())
        return httpx.Response(200, stream=body, headers={"X-RateLimit-Remaining": "41"})

    assert asyncio.run(send()) == RateLimit(None, 41, None)


# --- certificates, proxies, environment -----------------------------------------------------------


def test_certificates(certificate: Certificate, tmp_path: Path) -> None:
    """A private CA needs its bundle, as a file or a folder, or verification switched off."""
    with Server(servers.answering(GOOD), tls=certificate.context) as server:
        untrusted = ask(endpoint(server))
        assert type(untrusted) is errors.UnreachableError
        assert "certificate verify failed" in str(untrusted).lower()
        assert server.requests == []
        assert ask(endpoint(server, verify=str(certificate.certfile))).id == APP_ID
        assert ask(endpoint(server, verify=False)).id == APP_ID
        empty = ask(endpoint(server, verify=str(tmp_path)))
        assert type(empty) is errors.UnreachableError


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_ca_bundle_that_is_none(content: bytes | None, tmp_path: Path) -> None:
    """A CA bundle that is missing or holds no certificate is named."""
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_bytes(content)
    error = ask(Endpoint("https://127.0.0.1:9/v1", TOKEN, verify=str(bundle)))
    assert isinstance(error, InputError)
    assert "ca.pem" in str(error)


def test_environment_does_not_replace_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection's proxy is asked, and not the environment's."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{unused_port()}")
    with Server(servers.answering(GOOD)) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        assert ask(Endpoint("http://daocloud.invalid/v1", TOKEN, proxy=url)).id == APP_ID
    (request,) = proxy.requests
    assert request.startswith(f"GET http://daocloud.invalid/v1/apps/{APP_ID} ".encode())


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxy_that_does_not_work(scheme: str) -> None:
    """A proxy that cannot be reached is one of our errors, without its password."""
    proxy = f"http://user:hunter2@127.0.0.1:{unused_port()}"
    error = ask(Endpoint(f"{scheme}://daocloud.invalid/v1", TOKEN, proxy=proxy))
    assert type(error) is errors.UnreachableError
    assert "hunter2" not in repr(error)


def test_netrc_does_not_replace_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A .netrc entry for the host is left alone: the token is what is sent."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with Server(servers.answering(GOOD)) as server:
        ask(endpoint(server))
    assert authorization(server.requests[0]) == f"token {TOKEN}".encode()


def test_calls_are_all_covered() -> None:
    """Every call is either read here or refused here."""
    assert READS.keys() | POSTS.keys() == CALLS.keys()
