"""A running sandbox, and a client that is as plain as a client can be."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from airflow_provider_daocloud.sandbox import Options, Sandbox, World
from airflow_provider_daocloud.sandbox.contract import Request
from airflow_provider_daocloud.sandbox.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_daocloud.sandbox.contract import Response

TOKEN = "a-toy-token"


class Client(requests.Session):
    """Asks a sandbox over its socket, as the page says."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__()
        self.sandbox = sandbox
        self.trust_env = False  # a machine's proxy or CA bundle has no say on loopback
        self.headers["Authorization"] = f"token {sandbox.token}"

    def ask(self, method: str, path: str, **arguments: Any) -> requests.Response:
        return self.request(method, self.sandbox.url + path, **{"timeout": 10, **arguments})

    def app(self, name: str) -> dict[str, Any]:
        return self.ask("GET", f"/v1/apps/{self.sandbox.world.app(name).id}").json()

    def action(self, name: str, action_id: str) -> requests.Response:
        return self.ask("GET", f"/v1/apps/{self.sandbox.world.app(name).id}/actions/{action_id}")

    def post(self, name: str, action: str, body: object = None) -> requests.Response:  # type: ignore[override]
        path = f"/v1/apps/{self.sandbox.world.app(name).id}/actions/{action}"
        return self.ask("POST", path, json=body)

    def redeploy(self, name: str, release_name: str) -> requests.Response:
        return self.post(name, "redeploy", {"release_name": release_name})

    def control(self, method: str, path: str, body: object = None) -> requests.Response:
        # Without the token: the controls must not need it.
        url = f"{self.sandbox.url}/_sandbox{path}"
        return requests.request(method, url, json=body, timeout=10)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A sandbox in which nothing moves unless the test says so: a real clock, long durations."""
    with Sandbox(seed=1, options=Options(action_seconds=3600)) as sandbox:
        yield sandbox


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[Client]:
    with Client(sandbox) as client:
        yield client


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: float = 1_450_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class InProcess:
    """A world behind its contract without a socket, and its clock."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()

        def make_world() -> World:
            world = World(clock=self.clock, seed=1, options=Options(**options))
            world.add_account(TOKEN)
            world.add_app("web", release_name="v1")
            world.add_build_flow("flow")
            world.add_stack("shop")
            return world

        self.service = Service(make_world)

    @property
    def world(self) -> World:
        return self.service.world

    def call(self, method: str, path: str, body: bytes = b"") -> Response:
        headers = {"authorization": f"token {TOKEN}", "content-type": "application/json"}
        return self.service.call(Request(method, path, headers, body))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for loopback, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certfile, keyfile = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(keyfile), "-out", str(certfile)),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return certfile, keyfile
