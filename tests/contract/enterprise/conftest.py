"""A running DaoCloud Enterprise, and a client that holds each answer against the documents."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests

from airflow_provider_daocloud.sandbox.contract import Request
from airflow_provider_daocloud.sandbox.enterprise import EnterpriseOptions, EnterpriseWorld
from airflow_provider_daocloud.sandbox.enterprise.server import EnterpriseSandbox, EnterpriseService
from tests.contract.conftest import Clock
from tests.support import vendor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_daocloud.sandbox.contract import Response

TOKEN = "an.access.key"


class Answer:
    """An answer of the service, in-process."""

    def __init__(self, made: Response) -> None:
        self.status, self.headers, self.body = made.status, made.headers, made.body
        self.acted, self.id = made.acted, made.action_id

    def json(self) -> Any:
        return json.loads(self.body)


class InProcess:
    """A world behind its contract without a socket, and its clock."""

    def __init__(
        self, fill: Callable[[EnterpriseWorld], None] | None = None, **options: Any
    ) -> None:
        self.clock = Clock(1_790_000_000.0)

        def make_world() -> EnterpriseWorld:
            world = EnterpriseWorld(clock=self.clock, seed=1, options=EnterpriseOptions(**options))
            world.users.add("main", TOKEN)
            (fill or small)(world)
            return world

        self.service = EnterpriseService(make_world, prefix="")

    @property
    def world(self) -> EnterpriseWorld:
        return self.service.world

    def ask(
        self,
        method: str,
        target: str,
        body: object = None,
        *,
        token: str | None = TOKEN,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Ask, and hold a JSON answer against the vendor's documents, if they are there."""
        url = urlsplit(target)
        sent = {"authorization": f"Bearer {token}"} if token else {}
        raw = body if isinstance(body, bytes) else json.dumps(body).encode() if body else b""
        request = Request(method, url.path, sent | (headers or {}), raw, url.query)
        made = self.service.call(request)
        if vendor.FOLDER.is_dir() and made.headers["Content-Type"] == "application/json":
            vendor.check_answer(method, url.path, made.status, made.body)
        return Answer(made)

    def get(self, target: str, **options: Any) -> Any:
        """Read, and return the JSON."""
        answer = self.ask("GET", target, **options)
        assert answer.status == 200, answer.body
        return answer.json()

    def wait(self, seconds: float) -> None:
        self.world.advance(seconds)


def small(world: EnterpriseWorld) -> None:
    """One workspace, one cluster, one namespace."""
    world.places.add_workspace("shop")
    world.places.add_cluster("staging", nodes=3)
    world.places.add_namespace("staging", "shop", workspace_id=1)


@pytest.fixture
def it() -> InProcess:
    return InProcess()


class Client(requests.Session):
    """Asks a sandbox over its socket."""

    def __init__(self, sandbox: EnterpriseSandbox) -> None:
        super().__init__()
        self.sandbox = sandbox
        self.trust_env = False
        self.headers["Authorization"] = f"Bearer {sandbox.token}"

    def ask(self, method: str, path: str, **arguments: Any) -> requests.Response:
        return self.request(method, self.sandbox.url + path, **{"timeout": 10, **arguments})

    def control(self, method: str, path: str, body: object = None) -> requests.Response:
        url = f"{self.sandbox.url}/_sandbox{path}"
        return requests.request(method, url, json=body, timeout=10)


@pytest.fixture
def sandbox() -> Iterator[EnterpriseSandbox]:
    with EnterpriseSandbox(seed=1) as sandbox:
        yield sandbox


@pytest.fixture
def client(sandbox: EnterpriseSandbox) -> Iterator[Client]:
    with Client(sandbox) as client:
        yield client
