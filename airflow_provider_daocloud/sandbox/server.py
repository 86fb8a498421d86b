"""The service on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import re
import secrets
import socket
import ssl
import struct
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar, Generic

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from airflow_provider_daocloud.sandbox import seeded
from airflow_provider_daocloud.sandbox.contract import LONGEST_BODY, Request, Response
from airflow_provider_daocloud.sandbox.control import _Controls
from airflow_provider_daocloud.sandbox.controls import CONTROL, Controls, control_app
from airflow_provider_daocloud.sandbox.faults import Fault
from airflow_provider_daocloud.sandbox.options import Options, fits
from airflow_provider_daocloud.sandbox.service import (
    BaseService,
    Break,
    Held,
    Served,
    Service,
    WorldT,
)
from airflow_provider_daocloud.sandbox.world import World

if TYPE_CHECKING:
    from collections import Counter, deque
    from collections.abc import Awaitable, Callable, Iterator, MutableMapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from airflow_provider_daocloud.sandbox.service import Step

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

# For how long the server's thread may take to start or to stop.
_STOP_SECONDS = 10.0


class SandboxError(Exception):
    """The sandbox could not start, or something in it broke."""


class BaseSandbox(Generic[WorldT]):
    """A service on a socket of this machine, for as long as the ``with`` block lasts.

    :param service: the service.
    :param controls: its controls.
    :param token: the access token of its connection.
    :param port: the port; 0 for one that is free.
    :param host: the address to listen on; ``0.0.0.0`` or ``::`` for all of this machine's.
    :param certfile: a certificate, and ``keyfile`` its key (PEM): serve HTTPS.
    :param keyfile: see ``certfile``; it can be left out if ``certfile`` has the key in it.
    :param keep_alive: seconds after which an idle connection is closed.
    :param on_error: called with each exception that broke the answering of a call (a bug here): the
        call got a 500, and the server continues. By default :meth:`check` and :meth:`stop` raise
        it.
    :raises ValueError: an argument that makes no sense; the text names it.
    """

    # The type of the connection to it, and the path in front of its calls that needs no naming.
    _conn_type: ClassVar[str]
    _usual_prefix: ClassVar[str]

    def __init__(
        self,
        service: BaseService[WorldT],
        controls: Controls[WorldT],
        token: str,
        *,
        port: int,
        host: str,
        certfile: str | Path | None,
        keyfile: str | Path | None,
        keep_alive: float,
        on_error: Callable[[Exception], None] | None,
    ) -> None:
        if not 0 <= port <= 65535:
            raise ValueError(f"port is 0 to 65535, not {port}")
        if keyfile and not certfile:
            raise ValueError("a TLS key needs its certificate: alone it would be plain HTTP")
        if not fits(keep_alive, float):
            raise ValueError(f"keep_alive is a number of seconds, not {keep_alive!r}")
        self.service = service
        self.controls = controls
        self.host = host
        self.port = port
        self.token = token
        self.errors: list[Exception] = []
        self.on_error = on_error or self.errors.append
        self._tls = (certfile, keyfile) if certfile else None
        self._keep_alive = keep_alive
        self._running: _Running | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url} {'running' if self._running else 'stopped'}>"

    # What a user of it needs

    @property
    def url(self) -> str:
        """The base URL, without the prefix, as this machine reaches it."""
        host = _reached_by(self.host)
        host = f"[{host}]" if ":" in host else host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    def connection_json(self, extra: dict[str, Any] | None = None) -> str:
        """Return a connection as JSON, for a variable ``AIRFLOW_CONN_…``; it contains the token.

        :param extra: more extras than those which this sandbox needs to be reached.
        """
        needed: dict[str, Any] = {}
        if self.service.prefix != self._usual_prefix:
            needed["prefix"] = self.service.prefix or "/"
        if self._tls:
            # Whoever signed it, and for whichever name: the connection works.
            needed["skip_tls_verify"] = True
        elif not _is_loopback(_reached_by(self.host)):
            needed["allow_http"] = True
        connection: dict[str, Any] = {
            "conn_type": self._conn_type,
            "host": self.url,
            "password": self.token,
        }
        if extras := needed | (extra or {}):
            connection["extra"] = extras
        return json.dumps(connection)

    @property
    def world(self) -> WorldT:
        """The state behind the service. A reset replaces it."""
        return self.service.world

    @property
    def counts(self) -> Counter[str]:
        """How often each call was asked for, by its name."""
        return self.service.counts

    @property
    def connections(self) -> int:
        """How many connections there have been."""
        return self.service.connections

    @property
    def effects(self) -> Counter[str]:
        """How often each call had its effect."""
        return self.service.effects

    @property
    def counts_by_account(self) -> dict[str, Counter[str]]:
        """The counts of each token, under its account's name."""
        return self.service.counts_by_account

    @property
    def log(self) -> deque[Served]:
        """The calls served, the oldest first."""
        return self.service.log

    def fault(self, kind: Any, **rule: Any) -> int:
        """Switch a fault on; see :class:`~.faults.Fault`. Return the number that removes it."""
        return self.service.add_fault(Fault(kind, **rule))

    def remove_fault(self, fault_id: int) -> None:
        """Switch a fault off."""
        self.service.remove_fault(fault_id)

    def clear_faults(self) -> None:
        """Switch all faults off and let go what is held."""
        self.service.clear_faults()

    def set_options(self, **changes: Any) -> None:
        """Change how the world behaves from now on; see :class:`~.options.Options`."""
        self.world.set_options(**changes)

    def wait_held(self, count: int = 1, timeout: float = 10.0) -> list[Held]:
        """Wait until so many calls are held, and return them.

        :raises TimeoutError: there were fewer within ``timeout`` real seconds.
        """
        self.service.wait_for(lambda: len(self.service.held) >= count, timeout)
        return list(self.service.held.values())

    def release(self, *, drop: bool = False) -> int:
        """Let go all that is held (or ``drop`` it); return how many calls that was."""
        return self.service.release(drop=drop)

    def reset(self) -> None:
        """Begin again with a fresh world."""
        self.service.reset()

    # Running

    def start(self) -> Self:
        """Listen and serve, in a thread. Once it has run, the port stays the same.

        :raises SandboxError: the port is taken, or the server did not come up.
        """
        if self._running is not None:
            raise SandboxError("the sandbox runs already")
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        # Bound here, so that a busy port is the caller's error and not the thread's.
        # TCP by name: otherwise asyncio leaves Nagle's algorithm on, and each answer takes 40 ms.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self.host, self.port))
            listener.listen(2048)
        except OSError as error:
            listener.close()
            raise SandboxError(
                f"cannot listen on {self.host}:{self.port}: {error.strerror}"
            ) from error
        self.port = listener.getsockname()[1]
        try:
            running = _Running(self, listener)
        except (OSError, ssl.SSLError) as error:
            listener.close()
            files = " and ".join(str(file) for file in self._tls or () if file)
            raise SandboxError(f"cannot serve TLS with {files}: {error}") from error
        running.start()
        self._running = running
        return self

    def stop(self) -> None:
        """Break all connections, stop serving, and wait until the thread has ended.

        :raises SandboxError: the server crashed, or answering a call raised (which is a bug here).
        """
        running, self._running = self._running, None
        if running is not None:
            self.service.release(drop=True)
            running.stop()
        self.check()

    def check(self) -> None:
        """Raise what broke in the server's thread, if anything did.

        :raises SandboxError: see :meth:`stop`.
        """
        if self._running is not None and self._running.crash is not None:
            self.errors.append(self._running.crash)
        if self.errors:
            first = self.errors[0]
            self.errors.clear()
            raise SandboxError(f"the sandbox broke: {first!r}") from first

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        except SandboxError:
            # The block's own error is what its author wants to see.
            if error is None:
                raise


class Sandbox(BaseSandbox[World]):
    """A DaoCloud on this machine, for as long as the ``with`` block lasts.

    :param port: the port; 0 for one that is free.
    :param host: the address to listen on; ``0.0.0.0`` or ``::`` for all of this machine's.
    :param speed: how many times faster than real time actions and builds go.
    :param rate_limit: calls that a token has in an hour.
    :param token: the access token; made up if missing.
    :param seed: makes the ids the same in every run.
    :param clock: gives the world's time in Unix seconds.
    :param options: the world's other settings; ``speed`` and ``rate_limit``, if given, win.
    :param fill: fills a new world; by default with a few apps and build flows.
    :param prefix: the path in front of the calls. On-premises installations have ``/open/v1``.
    :param certfile: a certificate, and ``keyfile`` its key (PEM): serve HTTPS.
    :param keyfile: see ``certfile``; it can be left out if ``certfile`` has the key in it.
    :param keep_alive: seconds after which an idle connection is closed.
    :param on_served: called with each call when it is answered, in the server's thread.
    :param on_error: called with each exception that broke the answering of a call (a bug here): the
        call got a 500, and the server continues. By default :meth:`check` and :meth:`stop` raise
        it.
    :raises ValueError: an argument that makes no sense; the text names it.
    """

    _conn_type = "daocloud"
    _usual_prefix = "/v1"

    def __init__(
        self,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        speed: float | None = None,
        rate_limit: int | None = None,
        token: str | None = None,
        seed: int | None = None,
        clock: Callable[[], float] = time.time,
        options: Options | None = None,
        fill: Callable[[World], None] | None = seeded.fill,
        prefix: str = "/v1",
        certfile: str | Path | None = None,
        keyfile: str | Path | None = None,
        keep_alive: float = 60.0,
        on_served: Callable[[Served], None] | None = None,
        on_error: Callable[[Exception], None] | None = None,
    ) -> None:
        given = {"speed": speed, "rate_limit": rate_limit}
        changes = {name: value for name, value in given.items() if value is not None}
        settings = (options or Options()).changed(**changes)
        token = secrets.token_urlsafe(24) if token is None else token

        def make_world() -> World:
            world = World(clock=clock, seed=seed, options=settings)
            world.add_account(token)
            if fill is not None:
                fill(world)
            return world

        service = Service(make_world, prefix=checked_prefix(prefix), on_served=on_served)
        super().__init__(
            service,
            _Controls(service),
            token,
            port=port,
            host=host,
            certfile=certfile,
            keyfile=keyfile,
            keep_alive=keep_alive,
            on_error=on_error,
        )


def checked_prefix(prefix: str) -> str:
    """Return a prefix as paths begin with it: ``v1/`` is ``/v1``, and ``/`` is nothing."""
    parts = [part for part in prefix.split("/") if part]
    if not all(re.fullmatch(r"(?!\.+$)[\w.~-]+", part, re.ASCII) for part in parts):
        raise ValueError(f"prefix is a path such as /v1 or /open/v1, not {prefix!r}")
    made = "".join(f"/{part}" for part in parts)
    if made.startswith(CONTROL):
        raise ValueError(f"prefix is not {CONTROL}: the controls are there")
    return made


def _reached_by(host: str) -> str:
    """Return the name by which this machine reaches a server that listens on ``host``."""
    try:
        address = ipaddress.ip_address(host or "0.0.0.0")  # noqa: S104 - nothing is bound here
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class _Server(uvicorn.Server):
    """uvicorn's server, stopped by an event instead of a flag that is polled."""

    def __init__(self, config: uvicorn.Config, up: threading.Event) -> None:
        super().__init__(config)
        self._up = up
        self.loop: asyncio.AbstractEventLoop | None = None
        self.stopping = asyncio.Event()

    async def main_loop(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._up.set()
        await self.stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Break all connections at once; uvicorn's own way is to wait for clients to leave."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        if self.server_state.tasks:
            _, unfinished = await asyncio.wait(self.server_state.tasks, timeout=1.0)
            for task in unfinished:
                task.cancel()


class _Running:
    """One run of the server, in its thread."""

    def __init__(self, sandbox: BaseSandbox[Any], listener: socket.socket) -> None:
        self.crash: Exception | None = None
        self._listener = listener
        self._up = threading.Event()

        class Protocol(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                sandbox.service.connections += 1
                super().connection_made(transport)

            def _should_upgrade(self) -> bool:
                return False  # to the contract it is a call like any other

        config = uvicorn.Config(
            _application(sandbox, self),
            http=Protocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            date_header=False,
            server_header=False,
            timeout_keep_alive=sandbox._keep_alive,  # type: ignore[arg-type]
            ssl_certfile=sandbox._tls[0] if sandbox._tls else None,
            ssl_keyfile=sandbox._tls[1] if sandbox._tls else None,
        )
        config.load()
        self._server = _Server(config, self._up)
        self._thread = threading.Thread(target=self._run, name="daocloud-sandbox", daemon=True)

    @property
    def stopping(self) -> asyncio.Event:
        return self._server.stopping

    def _run(self) -> None:
        try:
            asyncio.run(self._server.serve(sockets=[self._listener]))
        except BaseException as error:
            self.crash = error if isinstance(error, Exception) else SandboxError(repr(error))
        finally:
            self._listener.close()
            self._up.set()

    def start(self) -> None:
        self._thread.start()
        came_up = self._up.wait(_STOP_SECONDS)
        if self.crash is None and not came_up:
            self.crash = SandboxError(f"not up within {_STOP_SECONDS} s")
        if self.crash is not None:
            raise SandboxError(f"the sandbox did not start: {self.crash!r}") from self.crash

    def stop(self) -> None:
        loop = self._server.loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: it has crashed
                loop.call_soon_threadsafe(self._server.stopping.set)
        self._thread.join(_STOP_SECONDS)
        if self._thread.is_alive():
            raise SandboxError("the sandbox's thread does not end")
        if self.crash is not None:
            raise SandboxError(f"the sandbox crashed: {self.crash!r}") from self.crash


def _application(sandbox: BaseSandbox[Any], running: _Running) -> Any:
    service = sandbox.service
    controls = control_app(sandbox.controls, sandbox.on_error)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            body = await _body(receive)
            if body is None:
                return
            if scope["path"].startswith(CONTROL):
                await controls(scope, _giving(body), send)
                return
            path = scope["raw_path"].decode("ascii")
            query = scope["query_string"].decode("latin-1")
            request = Request(scope["method"], path, _headers(scope), body, query)
            await _take(service.serve(request), running.stopping, receive, send)
        except Exception as error:
            # One call breaks, and the server continues: the next one may well be fine.
            sandbox.on_error(error)
            if send.__self__.response_started:  # type: ignore[attr-defined]
                raise  # to uvicorn, which closes the connection
            body = service.contract.error_body(
                "server_error", f"the sandbox has a bug: {type(error).__name__}"
            )
            await _send(send, Response(500, {"Content-Type": "application/json"}, body))

    return application


def _headers(scope: Scope) -> dict[str, str]:
    """Return the headers by name. One that came twice is both: no part of it wins unseen."""
    headers: dict[str, str] = {}
    for name, value in ((n.decode("latin-1"), v.decode("latin-1")) for n, v in scope["headers"]):
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


async def _body(receive: Receive) -> bytes | None:
    """Return the request's body, cut if too long; ``None`` if the client left before its end."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        if len(body) <= LONGEST_BODY:
            body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


def _giving(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _take(
    steps: Iterator[Step], stopping: asyncio.Event, receive: Receive, send: Send
) -> None:
    for step in steps:
        if isinstance(step, Response):
            await _send(send, step)
        elif isinstance(step, Break):
            await _break(step, receive, send)
        elif isinstance(step, Held):
            await _until_released(step, stopping)
        elif await _stopped_within(stopping, step.seconds):
            await _break(Break(), receive, send)
            return


async def _stopped_within(stopping: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return False
    return True


async def _until_released(held: Held, stopping: asyncio.Event) -> None:
    """Wait until a call is let go. If the server stops before that, drop it."""
    loop = asyncio.get_running_loop()
    released = asyncio.Event()

    def let_go() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(released.set)

    held.when_released(let_go)
    waits = [loop.create_task(event.wait()) for event in (released, stopping)]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    if not held.released:
        held.release(drop=True)


async def _send(send: Send, response: Response, *, body: bytes | None = None) -> None:
    # In the letter case of the page: scripts that look for a header with `grep` need it so.
    headers = [(name.encode(), value.encode("latin-1")) for name, value in response.headers.items()]
    headers.append((b"Content-Length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    halfway = body is not None
    await send(
        {
            "type": "http.response.body",
            "body": body if body is not None else response.body,
            "more_body": halfway,
        }
    )


async def _break(step: Break, receive: Receive, send: Send) -> None:
    # The server hands its own request cycle's bound method to the outermost application: the only
    # way from there to the connection.
    transport: asyncio.Transport = send.__self__.transport  # type: ignore[attr-defined]
    if step.halfway is not None:
        await _send(send, step.halfway, body=step.halfway.body[: len(step.halfway.body) // 2])
    if step.reset:
        connection = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):  # the client has left already
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    # Until the server has noticed; it would miss its answer otherwise.
    while (await receive())["type"] != "http.disconnect":
        pass
