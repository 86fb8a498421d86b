"""Real servers on loopback, for what no mock can show: connections, resets, handshakes."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import json
import socket
import ssl
import struct
import threading
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Serve = Callable[["Server", socket.socket], None]


class Server:
    """Accepts connections for as long as the ``with`` block lasts, and serves each in a thread.

    :param serve: what to do with a connection. It may end in an OSError: clients go away.
    :param tls: a server's context, for HTTPS.
    """

    def __init__(self, serve: Serve, *, tls: ssl.SSLContext | None = None) -> None:
        self._serve = serve
        self._tls = tls
        self._threads: list[threading.Thread] = []
        self.over = threading.Event()
        self.connections = 0
        self.requests: list[bytes] = []
        self.errors: list[Exception] = []

    @property
    def url(self) -> str:
        """The base URL."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        # Closing alone would leave `accept` waiting.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in (self._accepting, *self._threads):
            thread.join(10)
            assert not thread.is_alive(), "a connection was not ended"
        assert self.errors == []

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._handle, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _handle(self, connection: socket.socket) -> None:
        with connection:
            try:
                if self._tls is not None:
                    connection = self._tls.wrap_socket(connection, server_side=True)
                with connection:
                    self._serve(self, connection)
            except OSError:
                pass
            except Exception as error:
                self.errors.append(error)

    def read(self, connection: socket.socket) -> bytes:
        """Read one request and keep it; empty when the client has gone."""
        # Short, so that a connection which the client keeps alive ends with the server.
        connection.settimeout(0.05)
        data = b""
        while not self._whole(data):
            try:
                part = connection.recv(65536)
            except TimeoutError:
                if self.over.is_set():
                    return b""
                continue
            if not part:
                return b""
            data += part
        connection.settimeout(None)
        self.requests.append(data)
        return data

    @staticmethod
    def _whole(data: bytes) -> bool:
        head, end, body = data.partition(b"\r\n\r\n")
        for line in head.lower().splitlines():
            if line.startswith(b"content-length:"):
                return len(body) >= int(line.partition(b":")[2])
        return bool(end)


def reset(connection: socket.socket) -> None:
    """Close a connection with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def http(status: int, body: bytes | dict[str, Any] = b"", **headers: str) -> bytes:
    """Return the bytes of an answer."""
    content = json.dumps(body).encode() if isinstance(body, dict) else body
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + content


def answering(raw: bytes) -> Serve:
    """Give every request the same answer, and keep the connection alive."""

    def serve(server: Server, connection: socket.socket) -> None:
        while server.read(connection):
            connection.sendall(raw)

    return serve


def answering_once(raw: bytes) -> Serve:
    """Answer the first request of each connection, and close."""

    def serve(server: Server, connection: socket.socket) -> None:
        if server.read(connection):
            connection.sendall(raw)

    return serve


def resetting_the_second(raw: bytes) -> Serve:
    """Answer the first request of each connection; reset when a second one has arrived."""

    def serve(server: Server, connection: socket.socket) -> None:
        if server.read(connection):
            connection.sendall(raw)
        if server.read(connection):
            reset(connection)

    return serve


def resetting_after_the_request(server: Server, connection: socket.socket) -> None:
    """Read the request, then reset."""
    if server.read(connection):
        reset(connection)


def closing_after_the_request(server: Server, connection: socket.socket) -> None:
    """Read the request, then close without an answer."""
    server.read(connection)


def silent(server: Server, connection: socket.socket) -> None:
    """Read the request and never answer."""
    server.read(connection)
    server.over.wait(30)


def dripping(raw: bytes, begin: int = 0, seconds: float = 60.0) -> Serve:
    """Answer the first request of each connection one byte at a time, never 0.2 s apart.

    :param begin: how much of the answer comes at once.
    :param seconds: for how long it repeats the last byte, which is white space.
    """

    def serve(server: Server, connection: socket.socket) -> None:
        if not server.read(connection):
            return
        connection.sendall(raw[:begin])
        rest = raw[begin:]
        for n in range(int(seconds / 0.1)):
            connection.sendall(rest[n : n + 1] or b" ")
            if server.over.wait(0.1):
                return

    return serve


def deaf(server: Server, connection: socket.socket) -> None:
    """Take the connection and do nothing at all."""
    server.over.wait(30)


def resetting_at_once(server: Server, connection: socket.socket) -> None:
    """Reset as soon as the first bytes are there: of a TLS client, its hello."""
    connection.recv(1)
    reset(connection)


def without_tls(server: Server, connection: socket.socket) -> None:
    """Say what a plain HTTP server says to a TLS hello."""
    connection.recv(65536)
    connection.sendall(http(400, b"The plain HTTP request was sent to HTTPS port"))


class Certificate:
    """A self-signed certificate for 127.0.0.1, and a server's context that shows it.

    :param folder: where its file ``certfile`` is written.
    """

    def __init__(self, folder: Path) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test's own CA")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
                critical=False,
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.certfile = folder / "ca.pem"
        self.certfile.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        keyfile = folder / "key.pem"
        keyfile.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certfile, keyfile)
