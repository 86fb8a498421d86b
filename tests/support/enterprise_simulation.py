"""A task instance and a DaoCloud Enterprise in one process, on a clock that is moved by hand."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

from airflow_provider_daocloud.api.client import encode_form
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.response import Response
from airflow_provider_daocloud.hooks.enterprise import DaoCloudEnterpriseHook
from airflow_provider_daocloud.hooks.enterprise_connection import EnterpriseEndpoint
from airflow_provider_daocloud.operators.enterprise import (
    DaoCloudRunPipelineOperator,
    DaoCloudWorkloadActionOperator,
    DaoCloudWorkloadDeployOperator,
    DaoCloudWorkloadScaleOperator,
)
from airflow_provider_daocloud.sandbox.contract import Request as SandboxRequest
from airflow_provider_daocloud.sandbox.enterprise import EnterpriseOptions, EnterpriseWorld
from airflow_provider_daocloud.sandbox.enterprise.pipelines import Parameter, Stage
from airflow_provider_daocloud.sandbox.enterprise.server import EnterpriseService
from tests.support.simulation import (
    TOKEN,
    Client,
    Clock,
    Points,
    Posted,
    Simulation,
    Store,
    _Simulated,
)

OLD, NEW, OTHER = (f"hub/shop/web:{tag}" for tag in ("1.0", "2.0", "3.0"))


class Deploy(_Simulated, DaoCloudWorkloadDeployOperator):
    pass


class Act(_Simulated, DaoCloudWorkloadActionOperator):
    pass


class Scale(_Simulated, DaoCloudWorkloadScaleOperator):
    pass


class RunPipeline(_Simulated, DaoCloudRunPipelineOperator):
    pass


# Each act: the operator, its arguments, and the call that does it.
ACTS: dict[str, tuple[type[_Simulated], dict[str, Any], str]] = {
    "deploy": (Deploy, {"image": NEW}, "patch_deployment"),
    "restart": (Act, {"action": "restart"}, "patch_deployment"),
    "scale": (Scale, {"replicas": 4}, "patch_deployment"),
    "stop": (Act, {"action": "stop"}, "stop_deployment"),
    "run": (RunPipeline, {"pipeline_name": "marked"}, "start_run"),
    "run, unmarked": (RunPipeline, {"pipeline_name": "plain"}, "start_run"),
}


class EnterpriseClient(Client):
    """The client of the package, with the sandbox's contract in the place of a network."""

    def __init__(self, simulation: EnterpriseSimulation) -> None:
        super().__init__(simulation)
        self.endpoint = EnterpriseEndpoint(
            "http://sandbox", TOKEN, workspace="1", cluster="staging", namespace="shop"
        )

    def arriving(self, request: Request[Any]) -> SandboxRequest:
        """Return a request as it comes off the wire."""
        url = urlsplit(request.path)
        headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
        body = b""
        if request.form:
            body, headers["content-type"] = encode_form(request.body)
        elif request.body is not None:
            body = json.dumps(request.body).encode()
        return SandboxRequest(request.method, url.path, headers, body, url.query)


class EnterpriseHook(DaoCloudEnterpriseHook):
    """A hook whose client is given."""

    def __init__(self, client: EnterpriseClient) -> None:
        super().__init__()
        self.client = client

    def get_conn(self) -> EnterpriseClient:
        """Return the client."""
        return self.client


class EnterpriseSimulation(Simulation):
    """One workload and two pipelines, one task instance that acts on one, and Airflow around it.

    :param act: one of `ACTS`.
    :param options: of the sandbox's world.
    :param arguments: of the operator.
    """

    def __init__(
        self,
        act: str = "deploy",
        *,
        options: EnterpriseOptions | None = None,
        retries: int = 2,
        **arguments: Any,
    ) -> None:
        self.act = act
        self.arguments = {"timeout": 600.0, "deferrable": False} | arguments
        self.clock = Clock()
        self.points = Points()
        self.lines: list[str] = []
        self.posted: list[Posted] = []
        self.on_posted = lambda _posted: None
        self.xcoms: dict[str, Any] = {}
        world = partial(
            EnterpriseWorld, clock=self.clock.time, seed=0, options=options or EnterpriseOptions()
        )
        self.service = EnterpriseService(world, prefix="")  # type: ignore[assignment]
        self.dce: EnterpriseWorld = self.service.world  # type: ignore[assignment]
        self._fill()
        self.store = Store(self.points)
        self.client = EnterpriseClient(self)
        self.retries = self.max_tries = retries
        self.try_number = self.clears = self.invocation = 0
        self.invoked_at = self.clock.time()

    def _fill(self) -> None:
        world = self.dce
        world.users.add("main", TOKEN)
        world.users.add("somebody", "another-token")
        shop = world.places.add_workspace("shop")
        world.places.add_cluster("staging", nodes=3)
        world.places.add_namespace("staging", "shop", workspace_id=shop.id)
        images = {"web": OLD, "proxy": "hub/proxy:1"}
        self.web = world.workloads.add("staging", "shop", "web", images, replicas=3)
        stages = [Stage("build", seconds=5.0)]
        marked = [Parameter("TAG", "latest"), Parameter("AIRFLOW_RUN")]
        self.marked = world.pipelines.add(shop.id, "marked", stages, marked)
        self.plain = world.pipelines.add(shop.id, "plain", stages, marked[:1])

    @property
    def request(self) -> str:
        """The name of the call that acts."""
        return ACTS[self.act][2]

    @property
    def images(self) -> dict[str, str]:
        """What the workload is to run."""
        containers = self.web.object["spec"]["template"]["spec"]["containers"]
        return {one["name"]: one["image"] for one in containers}

    def serve(self, request: SandboxRequest, invocation: int, late: float = 0.0) -> Response:
        """Let a request of an invocation arrive, and note what it did."""
        before = self.service.effects.total()
        try:
            made = self.service.call(request, pause=self.clock.sleep)
        finally:
            if self.service.effects.total() > before:
                self.posted.append(Posted(invocation, request.path, 0.0, late))
                self.on_posted(self.posted[-1])
        return Response(made.status, made.headers, made.body)

    def operator(self, **arguments: Any) -> _Simulated:
        """Return a fresh copy of the operator, as each process has one."""
        operator, given, _ = ACTS[self.act]
        which = {} if self.act.startswith("run") else {"workload_name": "web"}
        common = {"task_id": "act", "retries": self.retries}
        task: _Simulated = cast("Any", operator)(
            **common | which | given | self.arguments | arguments
        )
        task.simulation = self
        task.__dict__["hook"] = EnterpriseHook(self.client)  # type: ignore[arg-type]
        return task
