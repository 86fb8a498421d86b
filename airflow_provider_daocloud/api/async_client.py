"""Sends requests with httpx: for the triggerer's event loop. It only ever reads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from airflow_provider_daocloud.api.body import Body, BodyError
from airflow_provider_daocloud.api.endpoint import Endpoint
from airflow_provider_daocloud.api.errors import UnreachableError
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.response import (
    RateLimit,
    Response,
    interpret,
    rate_limit,
    redact,
    unaccepted,
)

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

# How long a connection may be idle, in seconds. httpx's own 5 would mean a new TLS connection for
# each observation of a lone wait. A server that closes it sooner is noticed before the next use.
KEEP_ALIVE = 120.0


class AsyncDaoCloudClient:
    """One keep-alive connection with one DaoCloud account, for one event loop.

    It does not retry: whoever waits in a loop observes again anyway, at a pace of its own.

    :param endpoint: where to send, and with which token.
    :param connections: how many connections there may be at most.
    :param clock: seconds since the epoch. For tests.
    :param transport: for tests that need no socket.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        connections: int = 1,
        clock: Callable[[], float] = time.time,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.rate_limit: RateLimit | None = None
        self._connections = connections
        self._clock = clock
        self._transport = transport
        self._http: httpx.AsyncClient | None = None
        # The last answer to each request that repeats: its bytes, and what they were parsed to.
        self._last: dict[Request[Any], tuple[bytes, Any]] = {}

    async def send(self, request: Request[T]) -> T:
        """Send a request once and return what it promises.

        :param request: the request; only one that reads.
        :raises CallError: the most specific one.
        :raises InputError: the CA bundle of the endpoint cannot be used.
        """
        import httpx

        if request.is_write:
            raise ValueError(f"{request.name} is a write; writes are sent from workers only")
        http = self._http or await self._connect()
        seconds = self.endpoint.total_timeout
        try:
            async with asyncio.timeout(seconds) as deadline:
                response = await self._exchange(http, request)
        except BodyError as e:
            raise unaccepted(request, str(e)) from None
        # The last two are what httpx lets through at times.
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as e:
            error: Exception = e
            if deadline.expired():
                error = TimeoutError(f"the answer was not whole within {seconds:.3g} s")
            reason = redact(f"{type(error).__name__}: {error}", self.endpoint.token)
            raise UnreachableError(str(request), f"no answer came ({reason}).") from None
        now = self._clock()
        self.rate_limit = rate_limit(response, now=now, headers=request.api.limit_headers)
        body, result = self._last.get(request, (None, None))
        if not request.repeats or response.status != 200 or response.body != body:
            result = interpret(request, response, now=now, secret=self.endpoint.token)
        if request.repeats:
            self._last[request] = response.body, result
        more = request.following(cast("T", result))
        return cast("T", result) if more is None else await self.send(more)

    async def close(self) -> None:
        """Close the connection. The client stays usable."""
        self._last.clear()
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    def __repr__(self) -> str:
        return f"<AsyncDaoCloudClient {self.endpoint.base_url}>"

    async def _exchange(self, http: httpx.AsyncClient, request: Request[Any]) -> Response:
        url, headers = self.endpoint.url(request.path), self.endpoint.headers(request.api)
        async with http.stream(request.method, url, headers=headers) as response:
            status = response.status_code
            try:
                body = Body(response.headers.get("Content-Encoding"))
                async for part in response.aiter_raw():
                    body.add(part)
                return Response(status, response.headers, body.whole())
            except BodyError:
                if status < 300:
                    raise
                return Response(status, response.headers, b"")  # what it says is in its status

    async def _connect(self) -> httpx.AsyncClient:
        import httpx

        endpoint = self.endpoint

        def build() -> httpx.AsyncClient:
            proxy = None
            if endpoint.proxy:
                # httpx refuses a context for a proxy that is not asked by TLS.
                tls = context if endpoint.proxy.startswith("https:") else None
                proxy = httpx.Proxy(endpoint.proxy, ssl_context=tls)
            return httpx.AsyncClient(
                timeout=httpx.Timeout(
                    endpoint.read_timeout, connect=endpoint.connect_timeout, pool=None
                ),
                limits=httpx.Limits(
                    max_connections=self._connections,
                    max_keepalive_connections=self._connections,
                    keepalive_expiry=KEEP_ALIVE,
                ),
                verify=context,
                proxy=proxy,
                trust_env=False,  # all that the environment says is in the endpoint
                follow_redirects=False,
                transport=self._transport,
            )

        # Loading the CA certificates takes tens of milliseconds, in which the loop would stand.
        context = await asyncio.to_thread(endpoint.ssl_context)
        made = build()
        if self._http is None:
            self._http = made
        else:  # another call was quicker
            await made.aclose()
        return self._http
