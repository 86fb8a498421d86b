"""The client of workers against real sockets: what arrives, and on which connection."""

from __future__ import annotations

import socket
import warnings
from typing import TYPE_CHECKING, Any

import pytest
import urllib3

from airflow_provider_daocloud.api import errors
from airflow_provider_daocloud.api.client import DaoCloudClient
from airflow_provider_daocloud.api.endpoint import Endpoint
from airflow_provider_daocloud.api.errors import CallError
from airflow_provider_daocloud.api.openapi.apps import get_app, redeploy_app
from airflow_provider_daocloud.api.request import Request
from tests.support import servers
from tests.support.fakes import FakeTime, assert_no_token
from tests.support.samples import ACCEPTED, APP, APP_ID, CALLS, TOKEN
from tests.support.servers import Certificate, Server, http

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GET = get_app(APP_ID)
POST = redeploy_app(APP_ID, "v1.0.0")
GOOD = http(200, APP | ACCEPTED)
HOUR = 3600.0

# Answers that are broken as HTTP, or nearly.
RUBBISH = {
    "no HTTP": b"\x00\x01hello\r\n\r\n",
    "nothing": b"",
    "bad status": b"HTTP/1.1 abc\r\n\r\n",
    "status 199": b"HTTP/1.1 199 X\r\n\r\n",
    "status 999": http(999),
    "150 headers": b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 150 + b"\r\n{}",
    "a long header": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n{}",
    "no colon": b"HTTP/1.1 200 OK\r\nFoo\r\nContent-Length: 2\r\n\r\n{}",
    "no gzip": http(200, b"{}", Content_Encoding="gzip"),
    "a bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}",
    "a cut chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{}",
    "cut short": GOOD[:-1],
    "cut in the headers": GOOD[:25],
    "a bad length": b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}",
    "bad headers": http(200, b"{}", X_RateLimit_Reset="\xff", Date="\xff", Set_Cookie="=;\xff"),
    "a bad charset": http(200, b"{}", Content_Type="text/html; charset=nonsense"),
    "the token": http(200, f"token {TOKEN}".encode(), X_Echo=TOKEN, Set_Cookie=TOKEN),
}


def endpoint(server: Server, **changes: Any) -> Endpoint:
    """Return where a server is, with time-outs that a test can wait for."""
    settings: dict[str, Any] = {"connect_timeout": 5.0, "read_timeout": 5.0} | changes
    return Endpoint(server.url, TOKEN, **settings)


def unused_port() -> int:
    """Return a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def impatient(to: Endpoint, api_request: Request[Any]) -> CallError:
    """Send a call once and return its error."""
    with DaoCloudClient(to, retry_timeout=0.0) as client, pytest.raises(CallError) as caught:
        client.send(api_request)
    assert_no_token(caught.value)
    return caught.value


# --- POSTs that never arrived --------------------------------------------------------------------


def test_refused_connection() -> None:
    """A port that nobody listens on: nothing arrived, so the POST may be sent again."""
    error = impatient(Endpoint(f"http://127.0.0.1:{unused_port()}/v1", TOKEN), POST)
    assert type(error) is errors.UnreachableError
    assert "refused" in str(error)


def test_unknown_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that cannot be resolved: nothing arrived."""

    def unresolved(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    error = impatient(Endpoint("https://daocloud.invalid/v1", TOKEN), POST)
    assert type(error) is errors.UnreachableError
    assert "Name or service not known" in str(error)


@pytest.mark.parametrize("name", ["a" * 64 + ".invalid", "a..b", "exa mple", "[::1"])
def test_host_that_is_no_name(name: str) -> None:
    """A host that no request can go to: nothing arrived."""
    assert type(impatient(Endpoint(f"http://{name}/v1", TOKEN), POST)) is errors.UnreachableError


@pytest.mark.parametrize("api_request", [GET, POST], ids=str)
@pytest.mark.parametrize("serve", [servers.resetting_at_once, servers.without_tls, servers.deaf])
def test_no_tls_handshake(api_request: Request[Any], serve: servers.Serve) -> None:
    """A reset within the handshake, a server without TLS, one that is deaf: nothing arrived."""
    with Server(serve) as server:
        url = server.url.replace("http://", "https://")
        to = Endpoint(url, TOKEN, connect_timeout=0.3, read_timeout=0.3)
        error = impatient(to, api_request)
    assert type(error) is errors.UnreachableError
    assert server.requests == []


@pytest.mark.parametrize("api_request", [GET, POST], ids=str)
def test_untrusted_certificate(api_request: Request[Any], certificate: Certificate) -> None:
    """A certificate that nobody vouches for is refused before the token is sent."""
    with Server(servers.answering(GOOD), tls=certificate.context) as server:
        error = impatient(endpoint(server), api_request)
    assert type(error) is errors.UnreachableError
    assert "certificate verify failed" in str(error)
    assert server.requests == []


def test_post_after_a_broken_handshake_is_sent_once(certificate: Certificate) -> None:
    """Two handshakes fail, the third succeeds: the POST is repeated, and one POST arrives."""

    def serve(server: Server, connection: socket.socket) -> None:
        if server.connections <= 2:
            servers.resetting_at_once(server, connection)
        else:
            with certificate.context.wrap_socket(connection, server_side=True) as secure:
                servers.answering(GOOD)(server, secure)

    time = FakeTime()
    with Server(serve) as server:
        url = server.url.replace("http://", "https://")
        to = Endpoint(url, TOKEN, verify=str(certificate.certfile))
        with DaoCloudClient(to, clock=time.clock, sleep=time.sleep) as client:
            assert client.send(POST) == ACCEPTED["action_id"]
    assert server.connections == 3
    assert len(server.requests) == 1
    assert len(time.slept) == 2


# --- POSTs that may have arrived -----------------------------------------------------------------


@pytest.mark.parametrize(
    "serve",
    [
        servers.resetting_after_the_request,
        servers.closing_after_the_request,
        servers.silent,
        servers.answering_once(GOOD[:-1]),
        servers.answering(http(502, b"<html>Bad Gateway</html>")),
        servers.answering(http(503, {"message": "offline"}, Retry_After="0")),
        servers.answering(http(504)),
        servers.answering(http(408)),
    ],
)
def test_post_that_may_have_arrived_is_sent_once(serve: servers.Serve) -> None:
    """A request that the server has read is never repeated, whatever the retry timeout."""
    time = FakeTime()
    with (
        Server(serve) as server,
        DaoCloudClient(
            endpoint(server, read_timeout=0.2),
            retry_timeout=HOUR,
            clock=time.clock,
            sleep=time.sleep,
        ) as client,
    ):
        with pytest.raises(errors.OutcomeUnknownError, match="may have been taken") as caught:
            client.send(POST)
        assert_no_token(caught.value)
    assert len(server.requests) == server.connections == 1
    assert time.slept == []


def test_post_that_is_reset_unread() -> None:
    """Over plain HTTP, a reset before the server has read all leaves it open what arrived."""
    with Server(servers.resetting_at_once) as server:
        assert type(impatient(endpoint(server), POST)) is errors.OutcomeUnknownError
    assert server.connections == 1


def test_post_while_another_error_is_handled() -> None:
    """An error that the caller is just handling says nothing about this POST.

    Python links every new exception to the one that is being handled. A refused connection there
    must not pass for a refused connection here.
    """
    with Server(servers.resetting_after_the_request) as server:
        try:
            with DaoCloudClient(
                Endpoint(f"http://127.0.0.1:{unused_port()}/v1", TOKEN), retry_timeout=0
            ) as client:
                client.send(GET)
        except errors.UnreachableError:
            error = impatient(endpoint(server), POST)
        try:
            socket.create_connection(("127.0.0.1", unused_port()))
        except OSError:
            other = impatient(endpoint(server), POST)
    for each in (error, other):
        assert type(each) is errors.OutcomeUnknownError
        assert "refused" not in str(each)
    assert len(server.requests) == 2


@pytest.mark.parametrize("kind", RUBBISH)
def test_rubbish_for_an_answer(kind: str) -> None:
    """What is hardly HTTP is one of our errors; after a POST none that says *never arrived*."""
    with Server(servers.answering_once(RUBBISH[kind])) as server:
        read, acted = impatient(endpoint(server), GET), impatient(endpoint(server), POST)
    assert isinstance(
        read, (errors.ProtocolError, errors.UnreachableError, errors.ServerFaultError)
    )
    assert isinstance(acted, (errors.ProtocolError, errors.OutcomeUnknownError))
    assert len(server.requests) == 2


# --- connections ---------------------------------------------------------------------------------


def test_reads_share_a_connection_and_posts_do_not() -> None:
    """GETs keep one connection alive; each POST gets a new one."""
    with Server(servers.answering(GOOD)) as server, DaoCloudClient(endpoint(server)) as client:
        for _ in range(5):
            client.send(GET)
        assert server.connections == 1
        client.send(POST)
        assert server.connections == 2
        client.send(POST)
        assert server.connections == 3
        client.send(GET)
        assert server.connections == 3
    assert len(server.requests) == 8


def test_post_after_a_connection_went_stale() -> None:
    """A server that resets the second request of every connection never meets a POST there."""
    with (
        Server(servers.resetting_the_second(GOOD)) as server,
        DaoCloudClient(endpoint(server), retry_timeout=0.0) as client,
    ):
        client.send(GET)
        assert client.send(POST) == ACCEPTED["action_id"]
        with pytest.raises(errors.UnreachableError):
            client.send(GET)  # the proof that the server does what this test is about
    assert [request.split()[0] for request in server.requests] == [b"GET", b"POST", b"GET"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("api_request", [GET, POST], ids=str)
def test_token_does_not_follow_a_redirect(api_request: Request[Any], status: int) -> None:
    """A redirect is refused; the host that it names never hears of us."""
    with Server(servers.answering(GOOD)) as elsewhere:
        response = http(status, Location=f"{elsewhere.url}{api_request.path}")
        with Server(servers.answering(response)) as server:
            error = impatient(endpoint(server), api_request)
            # To another path of the same host it does not go either.
            same = http(status, Location="/v2/apps")
    assert type(error) is errors.RefusedError
    assert "http://127.0.0.1" in str(error)
    assert (len(server.requests), elsewhere.connections) == (1, 0)
    with Server(servers.answering(same)) as server:
        assert type(impatient(endpoint(server), api_request)) is errors.RefusedError
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "location", ["http://[", "http://\xff\xfe/", "http://" + "a" * 70 + "/", "", "\\\\x", "//"]
)
@pytest.mark.parametrize("api_request", [GET, POST], ids=str)
def test_redirect_to_nowhere(api_request: Request[Any], location: str) -> None:
    """A Location that is no URL is a refusal like any other redirect."""
    with Server(servers.answering(http(302, Location=location))) as server:
        assert type(impatient(endpoint(server), api_request)) is errors.RefusedError


# --- what the environment must not change --------------------------------------------------------


def authorization(request: bytes) -> bytes:
    """Return the Authorization header of a request."""
    (line,) = [line for line in request.splitlines() if line.lower().startswith(b"authorization:")]
    return line.partition(b":")[2].strip()


def test_netrc_does_not_replace_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A .netrc entry for the host is left alone: the token is what is sent."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with Server(servers.answering(GOOD)) as server, DaoCloudClient(endpoint(server)) as client:
        client.send(GET)
        client.send(POST)
    assert {authorization(request) for request in server.requests} == {f"token {TOKEN}".encode()}


def other_bundle(folder: Path) -> str:
    """Return a CA bundle that vouches for nothing here."""
    return str(Certificate(folder).certfile)


def test_environment_does_not_verify_what_the_connection_does_not(
    certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """REQUESTS_CA_BUNDLE does not override skip_tls_verify."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", other_bundle(tmp_path))
    with (
        Server(servers.answering(GOOD), tls=certificate.context) as server,
        DaoCloudClient(endpoint(server, verify=False), retry_timeout=0.0) as client,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
        assert client.send(GET).id == APP_ID


def test_environment_does_not_replace_the_ca_bundle(
    certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection's own CA bundle verifies, whatever the environment says."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", other_bundle(tmp_path))
    with Server(servers.answering(GOOD), tls=certificate.context) as server:
        right = endpoint(server, verify=str(certificate.certfile))
        with DaoCloudClient(right, retry_timeout=0.0) as client:
            assert client.send(GET).id == APP_ID
        assert client.send(POST) == ACCEPTED["action_id"]
        client.close()
        error = impatient(endpoint(server, verify=other_bundle(tmp_path)), GET)
    assert "certificate verify failed" in str(error)


def test_environment_does_not_replace_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection's proxy is asked, and not the environment's."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{unused_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{unused_port()}")
    with Server(servers.answering(GOOD)) as proxy:
        to = Endpoint("http://daocloud.invalid/v1", TOKEN, proxy=f"http://127.0.0.1:{proxy.port}")
        with DaoCloudClient(to, retry_timeout=0.0) as client:
            assert client.send(GET).id == APP_ID
    (request,) = proxy.requests
    assert request.startswith(f"GET http://daocloud.invalid/v1/apps/{APP_ID} ".encode())


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("api_request", [GET, POST], ids=str)
def test_proxy_that_does_not_work(api_request: Request[Any], scheme: str) -> None:
    """A request that gets no further than its proxy never arrived; its password is not shown."""
    proxy = f"http://user:hunter2@127.0.0.1:{unused_port()}"
    error = impatient(Endpoint(f"{scheme}://daocloud.invalid/v1", TOKEN, proxy=proxy), api_request)
    assert type(error) is errors.UnreachableError
    assert "hunter2" not in repr(error)


def test_tunnel_that_is_refused() -> None:
    """A proxy that refuses the tunnel: nothing arrived."""
    with Server(servers.answering_once(http(407))) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        error = impatient(Endpoint("https://daocloud.invalid/v1", TOKEN, proxy=url), POST)
    assert type(error) is errors.UnreachableError
    assert "407" in str(error)
    assert TOKEN.encode() not in b"".join(proxy.requests)


# --- retries for real ----------------------------------------------------------------------------


def flaky(faults: list[Callable[[Server, socket.socket], None]]) -> servers.Serve:
    """Break some connections, one after the other, then answer."""
    left = iter(faults)

    def serve(server: Server, connection: socket.socket) -> None:
        next(left, servers.answering(GOOD))(server, connection)

    return serve


def test_reads_survive_a_bad_network() -> None:
    """A GET outlasts resets, silence, half a response and a 503 until it has its response."""
    time = FakeTime()
    serve = flaky(
        [
            servers.resetting_at_once,
            servers.resetting_after_the_request,
            servers.closing_after_the_request,
            servers.silent,
            servers.answering_once(GOOD[:-1]),
            servers.answering_once(http(503)),
        ]
    )
    with (
        Server(serve) as server,
        DaoCloudClient(
            endpoint(server, read_timeout=0.2), clock=time.clock, sleep=time.sleep
        ) as client,
    ):
        assert client.send(GET).id == APP_ID
    assert server.connections == 7
    assert sum(time.slept) <= 60


def test_every_call_over_a_socket() -> None:
    """Every call of the page works over a real connection."""
    for api_request, sample in CALLS.values():
        with (
            Server(servers.answering(http(200, sample))) as server,
            DaoCloudClient(endpoint(server)) as client,
        ):
            assert client.send(api_request)
        (request,) = server.requests
        assert request.startswith(
            f"{api_request.method} /v1{api_request.path} HTTP/1.1\r\n".encode()
        )
        assert authorization(request) == f"token {TOKEN}".encode()
