"""A DaoCloud Enterprise to act on, and the tasks that do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_daocloud.sandbox.enterprise import EnterpriseOptions, EnterpriseWorld
from airflow_provider_daocloud.sandbox.enterprise.pipelines import Parameter, Stage
from airflow_provider_daocloud.sandbox.enterprise.server import EnterpriseSandbox
from tests.support.modes import Run
from tests.support.soak import summarise

WEB, PROXY = "hub/shop/web:1.0", "hub/proxy:2.3"
QUICK: dict[str, Any] = {
    "poll_interval": 0.1,
    "timeout": 20.0,
    "settle_time": 0.3,
    "max_outage": 5.0,
}


def fill(world: EnterpriseWorld) -> None:
    """One workspace, one cluster, one namespace; workloads of each kind, and a pipeline."""
    shop = world.places.add_workspace("shop")
    world.places.add_cluster("staging", nodes=3)
    world.places.add_namespace("staging", "shop", workspace_id=shop.id)
    add = world.workloads.add
    add("staging", "shop", "web", {"web": WEB, "proxy": PROXY}, replicas=3)
    add("staging", "shop", "db", "hub/shop/db:1.0", kind="StatefulSet", replicas=2)
    add("staging", "shop", "agent", "hub/agent:1.0", kind="DaemonSet")
    stages = [Stage("checkout"), Stage("build", log=["compiling"])]
    parameters = [Parameter("TAG", "latest"), Parameter("AIRFLOW_RUN")]
    world.pipelines.add(shop.id, "build-web", stages, parameters)


@pytest.fixture
def dce(monkeypatch: pytest.MonkeyPatch) -> Iterator[EnterpriseSandbox]:
    """A running DaoCloud Enterprise, twenty times as fast, and the connection to it."""
    options = EnterpriseOptions(speed=20.0)
    with EnterpriseSandbox(seed=1, options=options, fill=fill) as sandbox:
        connection = sandbox.connection_json(extra={"read_timeout": 2})
        monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_ENTERPRISE_DEFAULT", connection)
        yield sandbox


def run(operator: Callable[..., Any], **arguments: Any) -> Run:
    """Return a task instance of an operator, not begun yet."""
    return Run(lambda: operator(task_id="task", **QUICK | arguments))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table of a soak; with ``WRITE_DOCS=1``, write it into the page."""
    from tests.behaviour.enterprise.test_schedules import KINDS, SCHEDULES

    if SCHEDULES:
        columns = ("schedules", "processes", "actions", "ended as *outcome unknown*")
        summarise(terminalreporter, "soak of enterprise", KINDS, columns)
