"""What bounds an answer, over real sockets: its time and its size, in both clients."""

from __future__ import annotations

import gzip
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_daocloud.api import body, errors
from airflow_provider_daocloud.api.client import DaoCloudClient
from airflow_provider_daocloud.api.endpoint import Endpoint
from airflow_provider_daocloud.api.openapi.apps import get_app, redeploy_app
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.response import Response, interpret
from tests.support import servers
from tests.support.samples import ACCEPTED, APP, APP_ID, TOKEN
from tests.support.servers import Certificate, Server, http
from tests.unit.api.test_async_client import ask
from tests.unit.api.test_client_sockets import endpoint, impatient

if TYPE_CHECKING:
    import socket

GET = get_app(APP_ID)
POST = redeploy_app(APP_ID, "v1.0.0")
GOOD = http(200, APP | ACCEPTED)
HEAD = GOOD.index(b"\r\n\r\n") + 4
ENDLESS = b"HTTP/1.1 200 OK\r\n\r\n{}"
# For how long the servers drip, in seconds: whoever waits for the end is seen to.
DRIPS = 30.0

DRIPS_OF = {
    "headers": servers.dripping(b"HTTP/1.1 200 OK\r\nX-Long: ", 0, DRIPS),
    "the body": servers.dripping(GOOD, HEAD, DRIPS),
    "a body without length": servers.dripping(ENDLESS, len(ENDLESS), DRIPS),
    "chunks": servers.dripping(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 1000, 50, DRIPS
    ),
}


def dripped(to: Endpoint, api_request: Request[Any], client: str) -> Any:
    """Return the error for an answer that drips, which comes long before the last drip."""
    began = time.monotonic()
    error = impatient(to, api_request) if client == "requests" else ask(to, api_request)
    assert time.monotonic() - began < DRIPS / 2
    assert "not whole within 0.8 s" in str(error)
    return error


WHO = [("requests", GET), ("requests", POST), ("httpx", GET)]
parametrize_who = pytest.mark.parametrize(
    ("client", "api_request"), WHO, ids=["requests GET", "requests POST", "httpx GET"]
)


def expected(api_request: Request[Any]) -> type[errors.CallError]:
    """Return the error for a request that the server has."""
    return errors.OutcomeUnknownError if api_request.is_write else errors.UnreachableError


@parametrize_who
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("what", DRIPS_OF)
def test_an_answer_that_drips_is_cut(
    what: str, tls: bool, client: str, api_request: Request[Any], certificate: Certificate
) -> None:
    """No byte is ever late, and the whole answer is: both time-outs together bound it."""
    with Server(DRIPS_OF[what], tls=certificate.context if tls else None) as server:
        verify = str(certificate.certfile) if tls else True
        to = endpoint(server, connect_timeout=0.4, read_timeout=0.4, verify=verify)
        error = dripped(to, api_request, client)
    assert type(error) is expected(api_request)
    assert len(server.requests) == 1


@parametrize_who
def test_a_proxy_that_drips_the_answer(client: str, api_request: Request[Any]) -> None:
    """A proxy that hands an answer on one byte at a time."""
    with Server(DRIPS_OF["headers"]) as proxy:
        to = Endpoint(
            "http://dc.invalid/v1", TOKEN, connect_timeout=0.4, read_timeout=0.4, **via(proxy)
        )
        error = dripped(to, api_request, client)
    assert type(error) is expected(api_request)


@parametrize_who
def test_a_proxy_that_drips_the_tunnel(client: str, api_request: Request[Any]) -> None:
    """The tunnel never stands: DaoCloud has not heard of the request, whatever it was."""
    with Server(DRIPS_OF["headers"]) as proxy:
        to = Endpoint(
            "https://dc.invalid/v1", TOKEN, connect_timeout=0.4, read_timeout=0.4, **via(proxy)
        )
        error = dripped(to, api_request, client)
    assert type(error) is errors.UnreachableError


def via(proxy: Server) -> dict[str, Any]:
    """Return the endpoint's argument for a proxy."""
    return {"proxy": f"http://127.0.0.1:{proxy.port}"}


def test_a_kept_connection_that_begins_to_drip() -> None:
    """The deadline holds for each request, and not for the first of a connection alone."""

    def serve(server: Server, connection: socket.socket) -> None:
        for _ in range(3):
            server.read(connection)
            connection.sendall(GOOD)
        DRIPS_OF["headers"](server, connection)

    with Server(serve) as server:
        to = endpoint(server, connect_timeout=0.4, read_timeout=0.4)
        with DaoCloudClient(to, retry_timeout=0.0) as client:
            for _ in range(3):
                assert client.send(GET).id == APP_ID
            began = time.monotonic()
            with pytest.raises(errors.UnreachableError, match="not whole within"):
                client.send(GET)
            assert time.monotonic() - began < DRIPS / 2
    assert server.connections == 1


def test_less_time_for_one_call() -> None:
    """A wait that is nearly over gives its poll less time than the connection does."""
    with (
        Server(DRIPS_OF["the body"]) as server,
        DaoCloudClient(endpoint(server, connect_timeout=9.0, read_timeout=50.0)) as client,
        pytest.raises(errors.UnreachableError, match=r"not whole within 0\.8 s"),
    ):
        client.send(GET, retry_timeout=0.0, within=0.8)


def test_nothing_is_left_behind() -> None:
    """Neither threads nor connections pile up, whatever came of the requests."""
    with Server(servers.answering(GOOD)) as server, DaoCloudClient(endpoint(server)) as client:
        client.send(GET)
        before = threading.active_count()
        for _ in range(50):
            client.send(GET)
        assert server.connections == 1
        # A thread that is asked to end takes a moment to.
        deadline = time.monotonic() + 30
        while threading.active_count() > before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert threading.active_count() <= before


# --- size -----------------------------------------------------------------------------------------

MIB = b" " * 2**20


def endless(server: Server, connection: socket.socket) -> None:
    """Send white space until the client has enough of it, but not for ever."""
    if server.read(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(200):
            connection.sendall(MIB)


BOMB = gzip.compress(MIB * 200)
TOO_LARGE = {
    "endless": endless,
    "a bomb": servers.answering_once(http(200, BOMB, Content_Encoding="gzip")),
}


@parametrize_who
@pytest.mark.parametrize("what", TOO_LARGE)
def test_an_answer_that_is_too_large(what: str, client: str, api_request: Request[Any]) -> None:
    """What no answer of DaoCloud is as large as is not taken into memory."""
    with Server(TOO_LARGE[what]) as server:
        to = endpoint(server)
        error = impatient(to, api_request) if client == "requests" else ask(to, api_request)
    assert type(error) is (
        errors.OutcomeUnknownError if api_request.is_write else errors.ProtocolError
    )
    assert "the answer is too large: more than 16 MiB" in str(error)


@parametrize_who
@pytest.mark.parametrize(
    ("status", "kind"), [(503, errors.ServerFaultError), (401, errors.AuthenticationError)]
)
def test_the_status_of_what_is_too_large(
    status: int, kind: type[errors.CallError], client: str, api_request: Request[Any]
) -> None:
    """An error says what it says by its status, however large its page is."""
    if api_request.is_write and status == 503:
        kind = errors.OutcomeUnknownError
    with Server(servers.answering_once(http(status, BOMB, Content_Encoding="gzip"))) as server:
        to = endpoint(server)
        error = impatient(to, api_request) if client == "requests" else ask(to, api_request)
    assert (type(error), error.status) == (kind, status)


@parametrize_who
@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP", "identity", ""])
def test_codings(coding: str, client: str, api_request: Request[Any]) -> None:
    """What was asked for is decoded."""
    plain = GOOD[HEAD:]
    sent = gzip.compress(plain) if "gzip" in coding.lower() else plain
    with Server(servers.answering_once(http(200, sent, Content_Encoding=coding))) as server:
        to = endpoint(server)
        if client == "httpx":
            seen = ask(to, api_request)
        else:
            with DaoCloudClient(to) as worker:
                seen = worker.send(api_request)
    assert seen == (
        ACCEPTED["action_id"]
        if api_request.is_write
        else interpret(api_request, Response(200, {}, plain), now=0.0)
    )
    assert b"accept-encoding: gzip\r\n" in server.requests[0].lower()


@parametrize_who
@pytest.mark.parametrize(
    ("coding", "sent"),
    [("gzip", gzip.compress(b"{}" * 99)[:-9]), ("gzip", b"{}"), ("br", b"{}"), ("gzip, gzip", b"")],
    ids=["cut", "no gzip", "br", "twice"],
)
def test_what_cannot_be_decoded(
    coding: str, sent: bytes, client: str, api_request: Request[Any]
) -> None:
    """An answer in a coding that nobody asked for, or a broken one."""
    with Server(servers.answering_once(http(200, sent, Content_Encoding=coding))) as server:
        to = endpoint(server)
        error = impatient(to, api_request) if client == "requests" else ask(to, api_request)
    assert type(error) is (
        errors.OutcomeUnknownError if api_request.is_write else errors.ProtocolError
    )
    assert "the answer cannot be decoded" in str(error)


@pytest.mark.parametrize("status", [200, 202, 502])
def test_a_post_whose_answer_breaks_off_keeps_its_status(status: int) -> None:
    """By a 2xx somebody has taken it, whatever became of the rest of the answer."""
    whole = http(status, {"action_id": "a1"})
    with Server(servers.answering_once(whole[:-5])) as server:
        error = impatient(endpoint(server), redeploy_app(APP_ID, "v1"))
    assert type(error) is errors.OutcomeUnknownError
    assert error.status == status


def test_exactly_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit itself is taken, and one byte more is not, packed or plain."""
    monkeypatch.setattr(body, "LARGEST_ANSWER", 1000)
    for coding, pack in (("gzip", gzip.compress), (None, bytes)):
        taken = body.Body(coding)
        taken.add(pack(b"x" * 1000))
        assert taken.whole() == b"x" * 1000
        with pytest.raises(body.BodyError, match="too large"):
            body.Body(coding).add(pack(b"x" * 1001))
