"""Sends requests with the library of that name: for workers, and for users of the hook."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from airflow_provider_daocloud.api.body import Body, BodyError
from airflow_provider_daocloud.api.endpoint import Endpoint
from airflow_provider_daocloud.api.errors import (
    CallError,
    OutcomeUnknownError,
    UnreachableError,
)
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.response import (
    RateLimit,
    Response,
    interpret,
    rate_limit,
    redact,
    server_time,
    unaccepted,
)
from airflow_provider_daocloud.api.retrying import DEFAULT_RETRY_TIMEOUT, tenacity_options

if TYPE_CHECKING:
    import ssl

    import requests

T = TypeVar("T")


class DaoCloudClient:
    """One pooled session with one DaoCloud account.

    :param endpoint: where to send, and with which token.
    :param retry_timeout: seconds for which one request may be retried (see `retrying`).
    :param clock: seconds since the epoch. For tests.
    :param sleep: sleeps for some seconds. For tests.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        retry_timeout: float = DEFAULT_RETRY_TIMEOUT,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.endpoint = endpoint
        self.retry_timeout = retry_timeout
        self.rate_limit: RateLimit | None = None
        self.server_time: float | None = None
        self._clock = clock
        self._sleep = sleep
        self._session: requests.Session | None = None

    def send(
        self,
        request: Request[T],
        *,
        retry_timeout: float | None = None,
        final: type[CallError] | None = None,
        within: float | None = None,
    ) -> T:
        """Send a request, retry what may be retried, and return what the request promises.

        :param request: the request.
        :param retry_timeout: seconds for which it may be retried, if not the client's own.
        :param within: seconds in which each response must be whole, if the endpoint's own
            ``total_timeout`` is longer.
        :param final: an error that is not retried, though it is transient.
        :raises CallError: the last one, when it is not transient, or the retry timeout is over.
        """
        from tenacity import Retrying

        options = tenacity_options(
            is_write=request.is_write,
            retry_timeout=self.retry_timeout if retry_timeout is None else retry_timeout,
            clock=self._clock,
            final=final,
        )
        retrying = Retrying(sleep=self._sleep, **options)
        response: T = retrying(self._send_once, request, within)
        more = request.following(response)
        if more is None:
            return response
        return self.send(more, retry_timeout=retry_timeout, final=final, within=within)

    def close(self) -> None:
        """Close the pooled connections. The client stays usable."""
        if self._session is not None:
            self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<DaoCloudClient {self.endpoint.base_url}>"

    def _send_once(self, request: Request[T], within: float | None) -> T:
        import urllib3

        session = self._session
        if session is None:
            session = self._session = self._new_session()
        if request.is_write:
            # On a kept-alive connection that the server has just closed, a POST is reset before it
            # arrives, and its outcome is unknown. A new connection avoids that harmless case.
            session.close()
        total = self.endpoint.total_timeout
        deadline = _Deadline(total if within is None else min(total, within))
        try:
            with deadline:
                response = self._exchange(session, request, deadline)
                deadline.check()
        except BodyError as e:
            raise unaccepted(request, str(e), deadline.status) from None
        # A RequestException is an OSError. The others are what requests lets through at times.
        except (OSError, ValueError, urllib3.exceptions.HTTPError) as e:
            raise self._error(request, e, deadline) from None
        now = self._clock()
        self.rate_limit = rate_limit(response, now=now, headers=request.api.limit_headers)
        self.server_time = server_time(response)
        return interpret(request, response, now=now, secret=self.endpoint.token)

    def _exchange(
        self, session: requests.Session, request: Request[Any], deadline: _Deadline
    ) -> Response:
        headers = self.endpoint.headers(request.api)
        form: bytes | None = None
        if request.form:
            form, headers["Content-Type"] = encode_form(request.body)
        with session.request(
            request.method,
            self.endpoint.url(request.path),
            json=None if request.form else request.body,
            data=form,
            headers=headers,
            timeout=(
                min(self.endpoint.connect_timeout, deadline.seconds),
                min(self.endpoint.read_timeout, deadline.seconds),
            ),
            allow_redirects=False,
            stream=True,
        ) as response:
            status, answered = response.status_code, response.headers
            deadline.status = status
            try:
                body = Body(answered.get("Content-Encoding"))
                for part in response.raw.stream(2**16, decode_content=False):
                    body.add(part)
                return Response(status, answered, body.whole())
            except BodyError:
                if status < 300:
                    raise
                return Response(status, answered, b"")  # what it says is in its status

    def _new_session(self) -> requests.Session:
        import requests

        class Session(requests.Session):
            def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002
                # Even a redirect that is not followed is parsed, and some are no URL at all.
                return None

        endpoint = self.endpoint
        session = Session()
        session.mount(endpoint.base_url, _adapter(endpoint.ssl_context()))
        # All that the environment says is in the endpoint; a .netrc entry would even replace the
        # token.
        session.trust_env = False
        session.verify = endpoint.verify is not False
        if endpoint.proxy:
            session.proxies = {"http": endpoint.proxy, "https": endpoint.proxy}
        return session

    def _error(self, request: Request[Any], error: Exception, deadline: _Deadline) -> CallError:
        chain = list(_chain(error))
        root = chain[-1]
        # Whatever a connection says that we have cut ourselves.
        root = deadline.error() if deadline.passed else root
        reason = redact(f"{type(root).__name__}: {root}", self.endpoint.token)
        if _never_arrived(chain):
            problem = f"cannot connect to {self.endpoint.base_url} ({reason})."
            return UnreachableError(str(request), problem)
        if request.is_write:
            # The status alone came: by a 2xx, somebody has taken it.
            return OutcomeUnknownError(
                str(request),
                f"no answer came ({reason}); the action may have been taken.",
                status=deadline.status,
            )
        return UnreachableError(str(request), f"no answer came ({reason}).")


class _Deadline:
    """Cuts the connection of one request, wherever the request is, when its time is up.

    The time-out of a socket is for each read alone, and a server that sends a byte now and then
    never meets it. Nothing below checks a clock in between, so a thread does. (Only the system's
    resolver cannot be cut: what it takes longer is known afterwards.)

    :param seconds: from now on.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.passed = False
        # That of the answer, when its head was there.
        self.status: int | None = None
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._before = _DEADLINE.set(self)
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        _DEADLINE.reset(self._before)
        self._watch(None)

    def guard(self, connection: socket.socket) -> None:
        """Cut this connection, and none that was named before.

        :param connection: a socket, or what TLS makes of it.
        """
        # A copy: the original moves when TLS begins, and may be closed and its number used again.
        self._watch(socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM))

    def check(self) -> None:
        """Raise TimeoutError if the time is up: a cut can look like the end of a response."""
        if self.passed:
            raise self.error()

    def error(self) -> TimeoutError:
        """Return the error for a time that is up."""
        return TimeoutError(f"the answer was not whole within {self.seconds:.3g} s")

    def _watch(self, copy: socket.socket | None) -> None:
        with self._lock:
            old, self._socket = self._socket, copy
            if old is not None:
                old.close()
        if self.passed:
            self._cut()

    def _cut(self) -> None:
        with self._lock:
            self.passed = True
            if self._socket is not None:
                with contextlib.suppress(OSError):  # it has ended by itself
                    self._socket.shutdown(socket.SHUT_RDWR)


_DEADLINE: ContextVar[_Deadline] = ContextVar("daocloud_deadline")


def encode_form(fields: Mapping[str, str]) -> tuple[bytes, str]:
    """Return a form as a body, and its content type; one without fields is a form, too.

    :param fields: the values by name.
    """
    from urllib3 import encode_multipart_formdata

    return encode_multipart_formdata(dict(fields))


def _adapter(tls: ssl.SSLContext) -> requests.adapters.HTTPAdapter:
    """Return what sends a session's requests, on connections that know of deadlines.

    :param tls: what verifies certificates, of a proxy too.
    """
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
            super().init_poolmanager(*arguments, **named, ssl_context=tls)

        def proxy_manager_for(self, proxy: str, **named: Any) -> Any:
            named |= {"ssl_context": tls}
            if proxy.startswith("https:"):
                named |= {"proxy_ssl_context": tls}
            return super().proxy_manager_for(proxy, **named)

        def cert_verify(self, *arguments: Any, **named: Any) -> None:
            """Leave the certificates to the context; requests would add its own bundle."""

        def get_connection_with_tls_context(self, *arguments: Any, **named: Any) -> Any:
            pool: Any = super().get_connection_with_tls_context(*arguments, **named)
            pool.ConnectionCls = _watched(pool.ConnectionCls)
            return pool

    return Adapter()


@cache
def _watched(kind: Any) -> Any:
    """Return a class of urllib3's connections that register their sockets with the deadline."""
    if hasattr(kind, "knows_deadline"):
        return kind

    class Watched(kind):  # type: ignore[misc]
        knows_deadline = True

        def _new_conn(self) -> Any:
            connection = super()._new_conn()
            _DEADLINE.get().guard(connection)
            return connection

        def request(self, *arguments: Any, **named: Any) -> None:
            if self.sock is not None:  # kept alive
                _DEADLINE.get().guard(self.sock)
            super().request(*arguments, **named)

    return Watched


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and what it wraps, outermost first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        # Not its context: that may be an exception which the caller is just handling, and has
        # nothing to do with this request.
        wrapped = [getattr(error, "reason", None), *error.args, error.__cause__]
        errors = (e for e in wrapped if isinstance(e, BaseException))
        error = next((e for e in errors if id(e) not in seen), None)


def _never_arrived(chain: list[BaseException]) -> bool:
    """Whether the failure came before the first byte of the request was sent.

    The types alone do not show it: a reset can come in the TLS handshake (nothing sent) or after
    the request. The traceback does: whatever was raised inside ``connect`` of the HTTP connection,
    or while a proxy tunnel was made, came before the request.
    """
    import requests
    import urllib3.exceptions

    before = (
        requests.ConnectTimeout,
        requests.exceptions.MissingSchema,
        requests.exceptions.InvalidSchema,
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidHeader,
        urllib3.exceptions.NewConnectionError,
        urllib3.exceptions.ConnectTimeoutError,
    )
    if any(isinstance(e, before) for e in chain):
        return True
    for error in chain:
        at = error.__traceback__
        while at is not None:
            if at.tb_frame.f_code.co_name in ("connect", "_prepare_proxy"):
                return True
            at = at.tb_next
    return False
