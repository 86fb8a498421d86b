"""The client of workers: what it retries, for how long, and what it says."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import requests
import urllib3

from airflow_provider_daocloud.api import errors
from airflow_provider_daocloud.api.client import DaoCloudClient
from airflow_provider_daocloud.api.endpoint import Endpoint
from airflow_provider_daocloud.api.errors import CallError, InputError
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.response import RateLimit, Response, interpret
from tests.support.fakes import FakeTime, assert_no_token
from tests.support.samples import APP, CALLS, NOW, POSTS, READS, TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from requests_mock import Mocker

URL = "https://openapi.daocloud.io/v1"
LIMIT = {
    "X-RateLimit-Remaining": "0",
    "X-RateLimit-Reset": str(int(NOW) + 90),
    "Date": "Tue, 14 Nov 2023 22:13:20 GMT",
}
# Faults as requests-mock takes them: each is transient.
PASSING: dict[str, dict[str, Any]] = {
    "refused": {"exc": requests.ConnectionError("refused")},
    "connect timeout": {"exc": requests.ConnectTimeout("slow")},
    "read timeout": {"exc": requests.ReadTimeout("slow")},
    "cut short": {"exc": requests.exceptions.ChunkedEncodingError("cut")},
    "TLS": {"exc": requests.exceptions.SSLError("handshake")},
    **{str(status): {"status_code": status} for status in (408, 425, 500, 502, 503, 504)},
    "429": {"status_code": 429, "headers": {"Retry-After": "2"}},
    "403 of the limit": {"status_code": 403, "headers": LIMIT | {"X-RateLimit-Reset": "1"}},
}
# Answers that are not what the API promises.
RUBBISH: dict[str, dict[str, Any]] = {
    "HTML in a 200": {"text": "<html>"},
    "an empty 200": {"text": ""},
    "half of the JSON": {"text": '{"id": "'},
    "a list in the place of an object": {"json": []},
    "what cannot be decoded": {"content": b"no gzip", "headers": {"Content-Encoding": "gzip"}},
}
# Those after which a POST provably had no effect.
NEVER_ACTED = ("connect timeout", "429", "403 of the limit")


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def client(time: FakeTime) -> Iterator[DaoCloudClient]:
    with DaoCloudClient(Endpoint(URL, TOKEN), clock=time.clock, sleep=time.sleep) as made:
        yield made


def url_of(api_request: Request[Any]) -> str:
    """Return where a call goes."""
    return URL + api_request.path


def promised(api_request: Request[Any], sample: dict[str, Any]) -> Any:
    """Return what a call promises of a good answer."""
    response = Response(200, {}, json.dumps(sample).encode())
    return interpret(api_request, response, now=NOW)


# --- retries --------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [*PASSING, *RUBBISH])
@pytest.mark.parametrize("name", READS)
def test_reads_are_repeated(
    name: str, fault: str, client: DaoCloudClient, time: FakeTime, requests_mock: Mocker
) -> None:
    """A GET is repeated on every fault that can pass, and gives what it promises in the end."""
    api_request, sample = READS[name]
    response = (PASSING | RUBBISH)[fault]
    requests_mock.get(url_of(api_request), [response, response, {"json": sample}])
    assert client.send(api_request) == promised(api_request, sample)
    assert requests_mock.call_count == 3
    assert len(time.slept) == 2


def test_a_caller_can_have_an_error_at_once(
    client: DaoCloudClient, time: FakeTime, requests_mock: Mocker
) -> None:
    """What is final for it is not repeated; what else can pass is, before it too."""
    api_request, sample = READS["list_apps"]
    page, good = {"text": "<html>"}, {"json": sample}
    requests_mock.get(url_of(api_request), [{"status_code": 503}, page, good])
    with pytest.raises(errors.ProtocolError):
        client.send(api_request, final=errors.ProtocolError)
    assert requests_mock.call_count == 2
    assert len(time.slept) == 1


@pytest.mark.parametrize("fault", NEVER_ACTED)
@pytest.mark.parametrize("name", POSTS)
def test_posts_that_never_acted_are_repeated(
    name: str, fault: str, client: DaoCloudClient, requests_mock: Mocker
) -> None:
    """A POST that provably never arrived, or was definitely refused, is sent again."""
    api_request, sample = POSTS[name]
    requests_mock.post(url_of(api_request), [PASSING[fault], PASSING[fault], {"json": sample}])
    assert client.send(api_request) == promised(api_request, sample)
    assert requests_mock.call_count == 3


@pytest.mark.parametrize("fault", [fault for fault in PASSING if fault not in NEVER_ACTED])
@pytest.mark.parametrize("name", POSTS)
def test_posts_that_may_have_acted_are_not_repeated(
    name: str, fault: str, client: DaoCloudClient, time: FakeTime, requests_mock: Mocker
) -> None:
    """A POST that may have arrived is sent once: its outcome is unknown."""
    api_request, sample = POSTS[name]
    requests_mock.post(url_of(api_request), [PASSING[fault], {"json": sample}])
    with pytest.raises(errors.OutcomeUnknownError, match="may have been taken"):
        client.send(api_request, retry_timeout=1e9)
    assert requests_mock.call_count == 1
    assert time.slept == []


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "response",
    [
        *({"status_code": status} for status in (302, 400, 401, 403, 404, 405, 409)),
        {"status_code": 403, "headers": {"X-RateLimit-Remaining": "12"}},
    ],
    ids=str,
)
def test_what_cannot_pass_is_not_repeated(
    name: str, response: dict[str, Any], client: DaoCloudClient, requests_mock: Mocker
) -> None:
    """A refusal, a wrong token and an unknown thing end a call at once."""
    api_request, sample = CALLS[name]
    requests_mock.register_uri(
        api_request.method, url_of(api_request), [response, {"json": sample}]
    )
    with pytest.raises(CallError):
        client.send(api_request, retry_timeout=1e9)
    assert requests_mock.call_count == 1


@pytest.mark.parametrize("rubbish", RUBBISH)
@pytest.mark.parametrize("name", POSTS)
def test_a_post_that_is_answered_with_rubbish_is_not_repeated(
    name: str, rubbish: str, client: DaoCloudClient, time: FakeTime, requests_mock: Mocker
) -> None:
    """Whatever the retry timeout: it may well have been taken."""
    api_request, sample = POSTS[name]
    requests_mock.post(url_of(api_request), [RUBBISH[rubbish], {"json": sample}])
    undecodable = rubbish == "what cannot be decoded"
    kind = errors.OutcomeUnknownError if undecodable else errors.ProtocolError
    with pytest.raises(kind) as caught:
        client.send(api_request, retry_timeout=1e9)
    assert caught.value.status == 200
    assert requests_mock.call_count == 1
    assert time.slept == []


def test_patience_ends_the_retries(
    client: DaoCloudClient, time: FakeTime, requests_mock: Mocker
) -> None:
    """Retries go on for about a minute and no longer; the last error is what comes out."""
    api_request, _ = CALLS["get_app"]
    requests_mock.get(url_of(api_request), status_code=503, json={"message": "temporarily offline"})
    with pytest.raises(errors.ServerFaultError, match="temporarily offline"):
        client.send(api_request)
    assert 20 < sum(time.slept) <= 60
    assert requests_mock.call_count == len(time.slept) + 1 < 20


@pytest.mark.parametrize("name", CALLS)
def test_a_reset_beyond_the_patience_is_not_waited_for(
    name: str, client: DaoCloudClient, time: FakeTime, requests_mock: Mocker
) -> None:
    """A limit that resets after the retry timeout is reported at once, with its time."""
    api_request, _ = CALLS[name]
    requests_mock.register_uri(
        api_request.method, url_of(api_request), status_code=403, headers=LIMIT
    )
    with pytest.raises(errors.RateLimitedError) as caught:
        client.send(api_request, retry_timeout=60.0)
    assert caught.value.retry_at == NOW + 90
    assert (requests_mock.call_count, time.slept) == (1, [])


@pytest.mark.parametrize("name", CALLS)
def test_a_reset_within_the_patience_is_waited_for(
    name: str, client: DaoCloudClient, time: FakeTime, requests_mock: Mocker
) -> None:
    """A limit that resets in time is waited out, and not asked before."""
    api_request, sample = CALLS[name]
    answers: list[dict[str, Any]] = [{"status_code": 403, "headers": LIMIT}, {"json": sample}]
    requests_mock.register_uri(api_request.method, url_of(api_request), answers)
    client.send(api_request, retry_timeout=120.0)
    assert requests_mock.call_count == 2
    assert sum(time.slept) > 90


def test_the_reset_is_the_servers_time(
    client: DaoCloudClient, time: FakeTime, requests_mock: Mocker
) -> None:
    """A server whose clock is five hours ahead is waited for as long as its own clock says."""
    api_request, sample = CALLS["get_app"]
    ahead = {
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(int(NOW) + 5 * 3600 + 30),
        "Date": "Wed, 15 Nov 2023 03:13:20 GMT",
    }
    requests_mock.get(
        url_of(api_request), [{"status_code": 403, "headers": ahead}, {"json": sample}]
    )
    client.send(api_request)
    assert 30 < sum(time.slept) < 32


def test_a_retry_timeout_of_zero_asks_once(
    client: DaoCloudClient, time: FakeTime, requests_mock: Mocker
) -> None:
    """Without a retry timeout a request is sent once: a wait observes again anyway."""
    api_request, _ = CALLS["get_app"]
    requests_mock.get(url_of(api_request), status_code=503)
    with pytest.raises(errors.ServerFaultError):
        client.send(api_request, retry_timeout=0.0)
    assert (requests_mock.call_count, time.slept) == (1, [])


def test_retry_timeout_of_the_client(time: FakeTime, requests_mock: Mocker) -> None:
    """The client's own retry timeout holds where a request has none."""
    api_request, _ = CALLS["get_app"]
    requests_mock.get(url_of(api_request), status_code=503)
    with (
        DaoCloudClient(Endpoint(URL, TOKEN), retry_timeout=0.0, sleep=time.sleep) as client,
        pytest.raises(errors.ServerFaultError),
    ):
        client.send(api_request)
    assert requests_mock.call_count == 1


def test_rate_limit_of_the_last_answer(client: DaoCloudClient, requests_mock: Mocker) -> None:
    """The client knows what the last answer said of the limit, an error's too."""
    api_request, sample = CALLS["get_app"]
    before = client.rate_limit
    assert before is None
    headers = {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "4999"}
    requests_mock.get(url_of(api_request), json=sample, headers=headers)
    client.send(api_request)
    assert client.rate_limit == RateLimit(5000, 4999, None)
    requests_mock.get(
        url_of(api_request), status_code=404, headers={"X-RateLimit-Remaining": "4998"}
    )
    with pytest.raises(errors.NotFoundError):
        client.send(api_request)
    assert client.rate_limit == RateLimit(None, 4998, None)


def test_clock_of_the_server(client: DaoCloudClient, requests_mock: Mocker) -> None:
    """The client knows what the server's clock said in the last answer."""
    api_request, sample = CALLS["get_app"]
    before = client.server_time
    assert before is None
    requests_mock.get(url_of(api_request), json=sample, headers={"Date": LIMIT["Date"]})
    client.send(api_request)
    assert client.server_time == NOW


# --- every exception that requests can raise -----------------------------------------------------


def all_subclasses(kind: type[Exception]) -> list[type[Exception]]:
    """Return a class and everything below it."""
    return [kind, *(made for sub in kind.__subclasses__() for made in all_subclasses(sub))]


def raised(kind: type[Exception]) -> Exception:
    """Return an exception of a class, whatever its constructor takes."""
    text = f"boom, token {TOKEN}"
    arguments: list[tuple[Any, ...]] = [
        (text,),
        (text, "document", 0),
        (None, text),
        (None, "/", text),
        (text, text, None),
    ]
    odd: dict[str, tuple[Any, ...]] = {
        "IncompleteRead": (1, 2),
        "InvalidChunkLength": (SimpleNamespace(tell=lambda: 1, length_remaining=2), b"zz"),
    }
    for given in [odd[kind.__name__]] if kind.__name__ in odd else arguments:
        try:
            return kind(*given)
        except TypeError:
            continue
    raise AssertionError(f"how is a {kind} made?")


def own(kind: type[Exception], package: str) -> list[type[Exception]]:
    """Return the classes of a library; requests-mock adds one of its own."""
    return [made for made in all_subclasses(kind) if made.__module__.startswith(package + ".")]


REQUESTS_ERRORS = own(requests.RequestException, "requests")
URLLIB3_ERRORS = own(urllib3.exceptions.HTTPError, "urllib3")
BEFORE_THE_REQUEST: tuple[type[Exception], ...] = (
    requests.ConnectTimeout,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidHeader,
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
)


def test_all_exceptions_of_requests_are_known() -> None:
    """The tests below see the classes of the libraries, not a handful of them."""
    assert len(REQUESTS_ERRORS) >= 20
    assert len(URLLIB3_ERRORS) >= 20


@pytest.mark.parametrize(
    "kind", [*REQUESTS_ERRORS, *URLLIB3_ERRORS, OSError, TimeoutError, ValueError, UnicodeError]
)
def test_no_exception_escapes(
    kind: type[Exception], client: DaoCloudClient, requests_mock: Mocker
) -> None:
    """Whatever requests or what it stands on raises becomes a CallError, without the token.

    After a POST it is OutcomeUnknownError, unless the request provably never left.
    """
    requests_mock.register_uri("GET", url_of(CALLS["get_app"][0]), exc=raised(kind))
    requests_mock.register_uri("POST", url_of(CALLS["start_app"][0]), exc=raised(kind))
    with pytest.raises(CallError) as read:
        client.send(CALLS["get_app"][0], retry_timeout=0)
    with pytest.raises(CallError) as acted:
        client.send(CALLS["start_app"][0], retry_timeout=0)
    assert type(read.value) is errors.UnreachableError
    assert type(acted.value) is (
        errors.UnreachableError
        if issubclass(kind, BEFORE_THE_REQUEST)
        else errors.OutcomeUnknownError
    )
    for caught in (read, acted):
        assert_no_token(caught.value)


def test_mistakes_of_ours_are_not_hidden(client: DaoCloudClient, requests_mock: Mocker) -> None:
    """An exception that no HTTP library would raise is a bug, and stays one."""
    api_request, _ = CALLS["get_app"]
    requests_mock.get(url_of(api_request), exc=ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        client.send(api_request)


# --- the token -----------------------------------------------------------------------------------


ECHOES: dict[str, Callable[[], dict[str, Any]]] = {
    "an error's message": lambda: {"status_code": 401, "json": {"message": f"bad {TOKEN}"}},
    "an error's id": lambda: {"status_code": 500, "json": {"error_id": f"{TOKEN}-1"}},
    "a page": lambda: {"status_code": 502, "text": f"<p>Authorization: token {TOKEN}</p>"},
    "a 200": lambda: {"status_code": 200, "text": f"token {TOKEN}"},
    "a header": lambda: {"status_code": 302, "headers": {"Location": f"https://{TOKEN}.example/"}},
    "a reason": lambda: {"status_code": 403, "reason": f"token {TOKEN}"},
    "an exception": lambda: {"exc": requests.ConnectionError(f"token {TOKEN}")},
    "a time-out": lambda: {"exc": requests.ReadTimeout(f"token {TOKEN}")},
}


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("name", ["get_app", "redeploy_app"])
def test_errors_do_not_show_the_token(
    name: str, echo: str, client: DaoCloudClient, requests_mock: Mocker
) -> None:
    """However an answer echoes the token, no error shows or pickles it."""
    api_request, _ = CALLS[name]
    requests_mock.register_uri(api_request.method, url_of(api_request), **ECHOES[echo]())
    with pytest.raises(CallError) as caught:
        client.send(api_request, retry_timeout=0)
    assert_no_token(caught.value)


def test_the_token_travels_in_its_header_alone(
    client: DaoCloudClient, requests_mock: Mocker
) -> None:
    """The token is in no URL and in no body."""
    for api_request, sample in CALLS.values():
        requests_mock.register_uri(api_request.method, url_of(api_request), json=sample)
        client.send(api_request)
    for sent in requests_mock.request_history:
        assert TOKEN not in sent.url
        assert TOKEN not in (sent.text or "")
        named = [name for name, value in sent.headers.items() if TOKEN in str(value)]
        assert named == ["Authorization"]


# --- the session ---------------------------------------------------------------------------------


def test_one_session_for_all_calls(client: DaoCloudClient, requests_mock: Mocker) -> None:
    """Calls share one session, also after a close: the client stays usable."""
    api_request, sample = CALLS["get_app"]
    requests_mock.get(url_of(api_request), json=sample)
    client.send(api_request)
    session = client._session
    client.close()
    assert client.send(api_request).id == APP["id"]
    assert client._session is session


def test_time_outs_are_passed_on(requests_mock: Mocker) -> None:
    """Both time-outs of the endpoint reach requests, and certificates are verified."""
    api_request, sample = CALLS["get_app"]
    requests_mock.get(url_of(api_request), json=sample)
    endpoint = Endpoint(URL, TOKEN, connect_timeout=3.5, read_timeout=7.5)
    with DaoCloudClient(endpoint) as client:
        client.send(api_request)
    sent: Any = requests_mock.last_request
    assert (sent.timeout, sent.verify) == ((3.5, 7.5), True)


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_ca_bundle_that_is_none(content: bytes | None, tmp_path: Any) -> None:
    """A CA bundle that is missing or holds no certificate is named, before anything is sent."""
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_bytes(content)
    for name in ("get_app", "start_app"):
        with (
            DaoCloudClient(Endpoint("https://127.0.0.1:9/v1", TOKEN, verify=str(bundle))) as client,
            pytest.raises(InputError, match=r"ca_bundle.*ca\.pem"),
        ):
            client.send(CALLS[name][0])
