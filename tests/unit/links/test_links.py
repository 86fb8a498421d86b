"""The links of tasks into the dashboard: where they lead, and that they are there when needed."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import BaseOperatorLink, Connection, XCom

from airflow_provider_daocloud import links, provider_info
from airflow_provider_daocloud.api.endpoint import Endpoint
from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.core.waiting.wait import Outcome
from airflow_provider_daocloud.hooks.connection import endpoint_of
from airflow_provider_daocloud.operators.daocloud import (
    DaoCloudAppActionOperator,
    DaoCloudRedeployOperator,
)
from airflow_provider_daocloud.sandbox import ActionPlan, Sandbox, Served
from airflow_provider_daocloud.sensors.daocloud import (
    DaoCloudActionSensor,
    DaoCloudAppSensor,
    DaoCloudBuildFlowSensor,
    DaoCloudBuildSensor,
    DaoCloudStackActionSensor,
)
from airflow_provider_daocloud.triggers.daocloud import (
    DaoCloudActionTrigger,
    DaoCloudAppTrigger,
    DaoCloudBuildFlowTrigger,
    DaoCloudBuildTrigger,
    DaoCloudStackActionTrigger,
)
from tests.support.modes import AIRFLOW, OPERATOR_MODES, RATE_LIMIT, SENSOR_MODES, Run
from tests.support.xcoms import task_instance

BASE = "https://dashboard.corp.example/daocloud"
DAGS = Path(__file__).with_name("dags")
# Where no worker comes before the trigger, the trigger pushes the link: tested by itself, below.
WORKER_FIRST = {
    mode: how
    for mode, how in SENSOR_MODES.items()
    if AIRFLOW < (3, 3) or not how.get("start_from_trigger")
}


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a sandbox with one app and one flow; its connection has a dashboard of its own."""
    with Sandbox(rate_limit=RATE_LIMIT) as sandbox:
        connection = sandbox.connection_json(extra={"dashboard_url": f"{BASE}/"})
        monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_DEFAULT", connection)
        yield sandbox


# --- where they lead ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "resource_id", "path"),
    [
        (links.AppLink(), "a1b2-c3", "/apps/a1b2-c3"),
        (links.BuildFlowLink(), "f1", "/build-flows/f1"),
        (links.StackLink(), "s1", "/stacks/s1"),
        (links.AppLink(), "a/../b?c#d e", "/apps/a%2F..%2Fb%3Fc%23d%20e"),
    ],
)
def test_url(link: links.DashboardLink, resource_id: str, path: str) -> None:
    """An id is one segment of the path, whatever is in it; the token is in no link."""
    public = Endpoint("https://openapi.daocloud.io/v1", "the-token")
    assert link.url(public, resource_id) == f"https://dashboard.daocloud.io{path}"
    corp = Endpoint("https://dc.example/v1", "the-token", dashboard_url=BASE)
    assert link.url(corp, resource_id) == BASE + path


def test_every_operator_and_sensor_has_its_link() -> None:
    """The link is that of the id which the task has."""
    for task, link in (
        (DaoCloudAppActionOperator, links.AppLink),
        (DaoCloudRedeployOperator, links.AppLink),
        (DaoCloudActionSensor, links.AppLink),
        (DaoCloudAppSensor, links.AppLink),
        (DaoCloudBuildFlowSensor, links.BuildFlowLink),
        (DaoCloudBuildSensor, links.BuildFlowLink),
        (DaoCloudStackActionSensor, links.StackLink),
        (DaoCloudActionTrigger, links.AppLink),
        (DaoCloudAppTrigger, links.AppLink),
        (DaoCloudBuildFlowTrigger, links.BuildFlowLink),
        (DaoCloudBuildTrigger, links.BuildFlowLink),
        (DaoCloudStackActionTrigger, links.StackLink),
    ):
        found = [task.link] if hasattr(task, "link") else list(task.operator_extra_links)
        assert [type(one) for one in found] == [link]


def test_airflow_knows_the_classes() -> None:
    """Airflow 2 restores a link only if its class is in the provider info."""
    names = provider_info.get_provider_info()["extra-links"]
    for link in (links.AppLink, links.BuildFlowLink, links.StackLink):
        assert f"{link.__module__}.{link.__qualname__}" in names


def test_a_subclass_may_have_links_of_its_own() -> None:
    """Links that are not ours are left alone."""

    class Other(BaseOperatorLink):
        name = "Other"

        def get_link(self, operator: Any, *, ti_key: Any) -> str:
            return "https://other.example"

    task = SimpleNamespace(operator_extra_links=(Other(), links.AppLink()), link_id="a")
    pushed: dict[str, str] = {}
    ti = task_instance(lambda key, value: pushed.update({key: value}))
    links.push_links(task, ti, Endpoint("https://x/v1", "t", dashboard_url=BASE))
    assert pushed == {"daocloud_app_link": f"{BASE}/apps/a"}


def endpoint_with(dashboard_url: object) -> Endpoint:
    extra = json.dumps({"dashboard_url": dashboard_url})
    connection: Any = Connection(conn_id="dc", conn_type="daocloud", password="t", extra=extra)
    return endpoint_of(connection)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", "https://dashboard.daocloud.io"),
        (None, "https://dashboard.daocloud.io"),
        (" https://dashboard.corp.example/ ", "https://dashboard.corp.example"),
        ("http://dc.example:8080/a/b", "http://dc.example:8080/a/b"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
    ],
)
def test_dashboard_url(written: object, meant: str) -> None:
    """The connection says where the dashboard is. It makes no other place of the installation."""
    endpoint = endpoint_with(written)
    assert endpoint.dashboard_url == meant
    assert endpoint == endpoint_with(None)


@pytest.mark.parametrize(
    "written",
    [
        *("dashboard.corp.example", "javascript:alert(1)", "ftp://d.example", "https://", "https:"),
        *("https://u:hunter2@d.example", "https://hunter2@d.example", "https://d.example:0"),
        *("https://d.example/?token=hunter2", "https://d.example/#hunter2", "https://[d"),
        *("https://d.example/a b", "https://d.example/a/../b", "https://d e/", 5, True, ["x"]),
    ],
)
def test_bad_dashboard_url(written: object) -> None:
    """What is no plain base URL is refused like any other bad field, and not quoted."""
    with pytest.raises(InputError, match=r"^connection 'dc', field 'extra\.dashboard_url': ") as e:
        endpoint_with(written)
    assert "hunter2" not in str(e.value)


# --- that they are there --------------------------------------------------------------------------

Make = Callable[..., Any]


def redeploy(sandbox: Sandbox, plan: ActionPlan) -> tuple[Make, dict[str, str]]:
    app = sandbox.world.app("web")
    sandbox.world.plan(plan)

    def make(**arguments: Any) -> Any:
        return DaoCloudRedeployOperator(
            task_id="task", app_id=app.id, release_name="v2", poll_interval=0.05, **arguments
        )

    return make, {"daocloud_app_link": f"{BASE}/apps/{app.id}"}


def action(sandbox: Sandbox, plan: ActionPlan) -> tuple[Make, dict[str, str]]:
    app = sandbox.world.app("web")
    sandbox.world.plan(plan)
    action_id = sandbox.world.operate(app.id, "restart").id

    def make(**arguments: Any) -> Any:
        return DaoCloudActionSensor(
            task_id="task", app_id=app.id, action_id=action_id, poke_interval=0.05, **arguments
        )

    return make, {"daocloud_app_link": f"{BASE}/apps/{app.id}"}


def flow(sandbox: Sandbox, plan: ActionPlan) -> tuple[Make, dict[str, str]]:
    found = sandbox.world.build_flow("web")

    def make(**arguments: Any) -> Any:
        return DaoCloudBuildFlowSensor(
            task_id="task", build_flow_id=found.id, poke_interval=0.05, **arguments
        )

    return make, {"daocloud_build_flow_link": f"{BASE}/build-flows/{found.id}"}


def links_in(xcoms: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in xcoms.items() if key.endswith("_link")}


@pytest.mark.parametrize(
    ("task", "how"),
    [
        *(
            pytest.param(redeploy, how, id=f"redeploy, {mode}")
            for mode, how in OPERATOR_MODES.items()
        ),
        *(
            pytest.param(task, how, id=f"{task.__name__}, {mode}")
            for task in (action, flow)
            for mode, how in WORKER_FIRST.items()
        ),
    ],
)
def test_the_link_is_there_before_daocloud_is_asked_anything(
    task: Any, how: dict[str, Any], sandbox: Sandbox
) -> None:
    """In every mode the link comes first: it is there for all of the time that the task takes."""
    make, expected = task(sandbox, ActionPlan(polls=2))
    run = Run(lambda: make(timeout=10.0, **how))
    seen: list[dict[str, Any]] = []

    def served(served: Served) -> None:
        seen.append(links_in(run.ending.xcoms))

    sandbox.service.on_served = served
    ending = run.to_the_end()
    assert ending.error is None
    assert seen
    assert all(links == expected for links in seen)
    assert links_in(ending.xcoms) == expected
    assert sandbox.token not in json.dumps(links_in(ending.xcoms))


@pytest.mark.parametrize("mode", OPERATOR_MODES)
def test_the_link_of_a_task_that_failed(mode: str, sandbox: Sandbox) -> None:
    """A task that failed is the one whose link is wanted most."""
    plan = ActionPlan(state="FAILED", message="no such image", polls=1)
    make, expected = redeploy(sandbox, plan)
    ending = Run(lambda: make(timeout=10.0, **OPERATOR_MODES[mode])).to_the_end()
    assert ending.kind == "DaoCloudActionFailedError"
    assert links_in(ending.xcoms) == expected


def test_a_link_costs_no_call(sandbox: Sandbox) -> None:
    """DaoCloud is asked for nothing but what the wait needs."""
    make, _ = flow(sandbox, ActionPlan())
    Run(lambda: make(deferrable=False)).to_the_end()
    assert sandbox.counts == {"get_build_flow": 1}


def test_a_task_without_a_usable_id_has_no_link(sandbox: Sandbox) -> None:
    """A link to nothing helps nobody."""
    ending = Run(
        lambda: DaoCloudActionSensor(task_id="task", app_id="", action_id="a", deferrable=False)
    ).to_the_end()
    assert ending.kind == "AirflowFailException"
    assert links_in(ending.xcoms) == {}


# --- started from the trigger ---------------------------------------------------------------------


class XComs:
    """Airflow's XComs, as a trigger of 3.3 reaches them."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.pushed: dict[str, Any] = {}
        self.served_before: dict[str, int] | None = None
        self.error: Exception | None = None
        self._sandbox = sandbox

    def store(self, key: str, value: Any, **of: Any) -> None:
        assert of == {"dag_id": "dag", "task_id": "task", "run_id": "run", "map_index": 3}
        self.served_before = dict(self._sandbox.counts)
        if self.error is not None:
            raise self.error
        self.pushed[key] = value


@pytest.fixture
def xcoms(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> XComs:
    xcoms = XComs(sandbox)
    monkeypatch.setattr(XCom, "_set_xcom_in_db", xcoms.store, raising=False)
    return xcoms


def run_trigger(trigger: Any, *, started_at: bool = True) -> Outcome:
    ti = SimpleNamespace(dag_id="dag", task_id="task", run_id="run", map_index=3)
    if started_at:
        ti.task = object()  # a trigger that continues what a worker began gets none
    # As the triggerer sets it; its own setter wants a whole task of Airflow's.
    trigger._task_instance = ti

    async def first() -> Any:
        async with asyncio.timeout(10):
            return await anext(trigger.run())

    return Outcome.of_event(asyncio.run(first()).payload)


needs_start = pytest.mark.skipif(AIRFLOW < (3, 3), reason="Airflow before 3.3 does not start these")


@needs_start
def test_a_trigger_that_starts_a_task_pushes_its_link(sandbox: Sandbox, xcoms: XComs) -> None:
    """No worker came before it, so the trigger pushes the link, before it asks anything."""
    found = sandbox.world.build_flow("web")
    outcome = run_trigger(DaoCloudBuildFlowTrigger(build_flow_id=found.id))
    assert outcome.status == "succeeded"
    assert xcoms.pushed == {"daocloud_build_flow_link": f"{BASE}/build-flows/{found.id}"}
    assert xcoms.served_before == {}


@needs_start
def test_a_trigger_that_a_worker_deferred_pushes_nothing(sandbox: Sandbox, xcoms: XComs) -> None:
    """The worker has pushed the link: a thousand triggers need not do it again."""
    found = sandbox.world.build_flow("web")
    outcome = run_trigger(DaoCloudBuildFlowTrigger(build_flow_id=found.id), started_at=False)
    assert outcome.status == "succeeded"
    assert xcoms.pushed == {}


@needs_start
def test_a_link_is_not_worth_a_wait(sandbox: Sandbox, xcoms: XComs) -> None:
    """Where a link cannot be stored, the wait continues."""
    found = sandbox.world.build_flow("web")
    xcoms.error = RuntimeError("the API server is away")
    outcome = run_trigger(DaoCloudBuildFlowTrigger(build_flow_id=found.id))
    assert outcome.status == "succeeded"
    assert xcoms.served_before == {}
    assert xcoms.pushed == {}


@needs_start
def test_a_trigger_with_a_bad_connection(xcoms: XComs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait says what is wrong with the connection; the link adds nothing to that."""
    monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_DEFAULT", '{"conn_type": "daocloud"}')
    outcome = run_trigger(DaoCloudBuildFlowTrigger(build_flow_id="f"))
    assert outcome.status == "permanent"
    assert "field 'password'" in str(outcome.message)
    assert xcoms.pushed == {}


# --- in real Airflow ------------------------------------------------------------------------------


def restored(dag: Any) -> Any:
    """Return a DAG as the web server has it: written to the database and read from it."""
    from airflow.serialization import serialized_objects

    for name in ("DagSerialization", "SerializedDAG"):
        serialization: Any = getattr(serialized_objects, name, None)
        if hasattr(serialization, "to_dict"):
            return serialization.from_dict(json.loads(json.dumps(serialization.to_dict(dag))))
    raise AssertionError("this Airflow serializes DAGs in a way that is not known here")


def test_the_web_server_finds_the_links(airflow_home: Path, sandbox: Sandbox) -> None:
    """After a real run, Airflow's own look-up gives the links: of successes, failures, mapped."""
    sandbox.set_options(speed=50)
    file = airflow_home / "dags" / "links_of_tasks.py"
    file.write_text(DAGS.joinpath("links_of_tasks.py").read_text())
    spec = importlib.util.spec_from_file_location("links_of_tasks", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    app, other = sandbox.world.app("web"), sandbox.world.app("worker")
    found = sandbox.world.build_flow("web")
    for task in module.dag.tasks:
        task.retry_delay = timedelta(0)
    conf = {"app": app.id, "other": other.id, "flow": found.id}

    run = module.dag.test(run_conf=conf)

    dag = restored(module.dag)
    shown: dict[str, set[str]] = {}
    states: dict[str, str] = {}
    for ti in run.get_task_instances():
        if ti.task_id == "ids":
            continue
        task = dag.get_task(ti.task_id)
        assert len(task.extra_links) == 1
        shown.setdefault(ti.task_id, set()).add(task.get_extra_links(ti, task.extra_links[0]))
        states[ti.task_id] = str(ti.state)
    app_link, flow_link = f"{BASE}/apps/{app.id}", f"{BASE}/build-flows/{found.id}"
    assert shown == {
        "blocking": {app_link},
        "deferred": {app_link},
        "fails": {app_link},
        "poke": {flow_link},
        "deferred_flow": {flow_link},
        "mapped": {app_link, f"{BASE}/apps/{other.id}"},
    }
    assert states["fails"] == "failed"
    assert {state for task, state in states.items() if task != "fails"} == {"success"}
