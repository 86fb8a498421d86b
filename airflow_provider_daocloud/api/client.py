"""Sends calls with requests: what workers and users of the hook have."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from airflow_provider_daocloud.api import policy
from airflow_provider_daocloud.api.endpoint import Endpoint
from airflow_provider_daocloud.api.errors import (
    CallError,
    OutcomeUnknownError,
    ProtocolError,
    UnreachableError,
)
from airflow_provider_daocloud.api.protocol import (
    Answer,
    Call,
    RateLimit,
    interpret,
    rate_limit,
    server_time,
    strike,
)

if TYPE_CHECKING:
    import requests

T = TypeVar("T")


class DaoCloudClient:
    """One pooled session with one DaoCloud account.

    :param endpoint: where to send, and with which token.
    :param patience: seconds for which one call may be retried (see `policy`).
    :param clock: seconds since the epoch. For tests.
    :param sleep: sleeps for some seconds. For tests.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        patience: float = policy.DEFAULT_PATIENCE,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.endpoint = endpoint
        self.patience = patience
        self.rate_limit: RateLimit | None = None
        self.server_time: float | None = None
        self._clock = clock
        self._sleep = sleep
        self._session: requests.Session | None = None

    def send(
        self,
        call: Call[T],
        *,
        patience: float | None = None,
        final: type[CallError] | None = None,
    ) -> T:
        """Send a call, retry what may be retried, and return what the call promises.

        :param call: what `protocol` built.
        :param patience: seconds for which this call may be retried, if not the client's own.
        :param final: an error that is not to be waited out, though it can pass.
        :raises CallError: the last one, when it cannot pass or patience has run out.
        """
        from tenacity import Retrying

        options = policy.tenacity_options(
            acts=call.acts,
            patience=self.patience if patience is None else patience,
            clock=self._clock,
            final=final,
        )
        retrying = Retrying(sleep=self._sleep, **options)
        answer: T = retrying(self._send_once, call)
        return answer

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

    def _send_once(self, call: Call[T]) -> T:
        import urllib3

        session = self._session
        if session is None:
            session = self._session = self._new_session()
        if call.acts:
            # On a kept-alive connection that the server has just closed, a POST is reset before
            # it arrives and nobody can tell. A new connection keeps that harmless case away.
            session.close()
        try:
            response = session.request(
                call.method,
                self.endpoint.url(call.path),
                json=dict(call.body) if call.body is not None else None,
                timeout=(self.endpoint.connect_timeout, self.endpoint.read_timeout),
                allow_redirects=False,
                # Given with each request: the environment (REQUESTS_CA_BUNDLE, HTTPS_PROXY) would
                # override the session's.
                verify=self.endpoint.verify,
                proxies=dict(self.endpoint.proxies or {}),
            )
        # A RequestException is an OSError. The others are what requests lets through at times.
        except (OSError, ValueError, urllib3.exceptions.HTTPError) as e:
            raise self._error(call, e) from None
        answer = Answer(response.status_code, response.headers, response.content)
        now = self._clock()
        self.rate_limit = rate_limit(answer, now=now)
        self.server_time = server_time(answer)
        return interpret(call, answer, now=now, secret=self.endpoint.token)

    def _new_session(self) -> requests.Session:
        import requests

        class Session(requests.Session):
            def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002
                # Even a redirect that is not followed is parsed, and some are no URL at all.
                return None

        self.endpoint.ssl_context()  # requests reports an unusable CA bundle badly, and late
        session = Session()
        session.headers.update(self.endpoint.headers)
        # Without an auth of its own, requests would put a .netrc entry in the token's place.
        session.auth = _keep_headers
        return session

    def _error(self, call: Call[Any], error: Exception) -> CallError:
        import requests

        chain = list(_chain(error))
        root = chain[-1]
        reason = strike(f"{type(root).__name__}: {root}", self.endpoint.token)
        if isinstance(error, requests.exceptions.ContentDecodingError):
            return ProtocolError(str(call), f"the answer cannot be decoded ({reason}).")
        if _never_arrived(chain):
            problem = f"cannot connect to {self.endpoint.base_url} ({reason})."
            return UnreachableError(str(call), problem)
        if call.acts:
            return OutcomeUnknownError(
                str(call), f"no answer came ({reason}); the action may have been taken."
            )
        return UnreachableError(str(call), f"no answer came ({reason}).")


def _keep_headers(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


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

    The types alone do not tell: a reset can come in the TLS handshake (nothing sent) or after the
    request. The traceback does: whatever was raised inside ``connect`` of the HTTP connection, or
    while a proxy tunnel was made, came before the request.
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
