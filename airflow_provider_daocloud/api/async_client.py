"""Sends calls with httpx: for the triggerer's event loop. It only ever reads."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_daocloud.api.endpoint import Endpoint
from airflow_provider_daocloud.api.errors import ProtocolError, UnreachableError
from airflow_provider_daocloud.api.protocol import Answer, Call, RateLimit, interpret, rate_limit

if TYPE_CHECKING:
    import ssl

    import httpx

T = TypeVar("T")


class AsyncDaoCloudClient:
    """One keep-alive connection with one DaoCloud account, for one event loop.

    It does not retry: whoever waits in a loop looks again anyway, and paces all its looks together.

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

    async def send(self, call: Call[T]) -> T:
        """Send a call once and return what it promises.

        :param call: what `protocol` built; only calls that read.
        :raises CallError: the most specific one.
        """
        import httpx

        if call.acts:
            raise ValueError(f"{call.name} acts; actions are sent from workers only")
        if self._http is None:
            self._http = await self._connect()
        try:
            response = await self._http.request(call.method, self.endpoint.url(call.path))
        except httpx.DecodingError as e:
            raise ProtocolError(str(call), f"the answer cannot be decoded ({e}).") from None
        except (httpx.HTTPError, httpx.InvalidURL) as e:
            reason = f"{type(e).__name__}: {e}".replace(self.endpoint.token, "***")
            raise UnreachableError(str(call), f"no answer came ({reason}).") from None
        answer = Answer(response.status_code, response.headers, response.content)
        now = self._clock()
        self.rate_limit = rate_limit(answer, now=now)
        return interpret(call, answer, now=now, secret=self.endpoint.token)

    async def close(self) -> None:
        """Close the connection. The client stays usable."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    def __repr__(self) -> str:
        return f"<AsyncDaoCloudClient {self.endpoint.base_url}>"

    async def _connect(self) -> httpx.AsyncClient:
        import asyncio

        import httpx

        endpoint = self.endpoint

        def build() -> httpx.AsyncClient:
            return httpx.AsyncClient(
                headers=endpoint.headers,
                timeout=httpx.Timeout(
                    endpoint.read_timeout, connect=endpoint.connect_timeout, pool=None
                ),
                limits=httpx.Limits(
                    max_connections=self._connections, max_keepalive_connections=self._connections
                ),
                verify=_ssl_context(endpoint.verify),
                mounts={
                    f"{scheme}://": httpx.AsyncHTTPTransport(
                        proxy=proxy, verify=_ssl_context(endpoint.verify)
                    )
                    for scheme, proxy in (endpoint.proxies or {}).items()
                },
                follow_redirects=False,
                transport=self._transport,
            )

        # Loading the CA certificates takes tens of milliseconds, in which the loop would stand.
        return await asyncio.to_thread(build)


def _ssl_context(verify: bool | str) -> ssl.SSLContext | bool:
    import ssl
    from pathlib import Path

    if isinstance(verify, str):
        folder = Path(verify).is_dir()
        return ssl.create_default_context(
            cafile=None if folder else verify, capath=verify if folder else None
        )
    return verify
