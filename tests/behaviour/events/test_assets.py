"""Assets of apps and build flows: one thing has one URI, and nothing else gets one."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any
from urllib.parse import urlsplit

import pytest
from airflow.providers.common.compat.sdk import Asset

from airflow_provider_daocloud import assets
from airflow_provider_daocloud.operators.daocloud import DaoCloudRedeployOperator
from airflow_provider_daocloud.operators.enterprise import DaoCloudWorkloadDeployOperator
from airflow_provider_daocloud.provider_info import get_provider_info
from airflow_provider_daocloud.sandbox import ActionPlan, BuildPlan, Sandbox
from airflow_provider_daocloud.sandbox.enterprise.server import EnterpriseSandbox
from airflow_provider_daocloud.sensors.daocloud import DaoCloudBuildFlowSensor
from tests.support.modes import AIRFLOW, OPERATOR_MODES, SENSOR_MODES, Run

ID = "b4b8d4f0-0bd7-4f9c-a8a6-4e1a1a3cbb2d"
INSTALLED = any(
    point.value.startswith("airflow_provider_daocloud.")
    for point in entry_points(group="apache_airflow_provider")
)


def normal(uri: str) -> str:
    return assets.sanitize_uri(urlsplit(uri)).geturl()


@pytest.mark.parametrize(
    ("uri", "form"),
    [
        (f"daocloud://h/apps/{ID}", f"daocloud://h/apps/{ID}"),
        (f"DaoCloud://OpenAPI.daocloud.io/apps/{ID}/", f"daocloud://openapi.daocloud.io/apps/{ID}"),
        (f"daocloud://h:8443/build-flows/{ID}", f"daocloud://h:8443/build-flows/{ID}"),
        ("daocloud://[::1]:80/apps/a", "daocloud://[::1]:80/apps/a"),
        ("daocloud://h/apps/a%2Bb", "daocloud://h/apps/a%2Bb"),
        ("daocloud://h/apps/a+b", "daocloud://h/apps/a%2Bb"),
        *(
            (f"daocloud://H/{path}", f"daocloud://h/{path}")
            for path in (
                "clusters/a/namespaces/b/deployments/c",
                "clusters/a/namespaces/b/statefulsets/c",
                "clusters/a/namespaces/b/daemonsets/c",
                "workspaces/1/pipelines/build-web",
            )
        ),
    ],
)
def test_uris_have_one_form(uri: str, form: str) -> None:
    assert normal(uri) == form
    assert normal(form) == form


@pytest.mark.parametrize(
    "uri",
    [
        "daocloud:///apps/a",
        "daocloud://h",
        "daocloud://h/apps",
        "daocloud://h/apps/",
        "daocloud://h/apps/a/b",
        "daocloud://h/apps/a%2Fb",
        "daocloud://h/apps/..",
        "daocloud://h/Apps/a",
        "daocloud://h/builds/a",
        "daocloud://h/apps/a?x=1",
        "daocloud://h/apps/a#x",
        "daocloud://h:port/apps/a",
        "daocloud://h/apps/%20",
        "daocloud://h/clusters/a/namespaces/b/pods/c",
        "daocloud://h/clusters/a/namespaces/b/deployments",
        "daocloud://h/clusters//namespaces/b/deployments/c",
        "daocloud://h/workspaces/1/pipelines/a/runs",
    ],
)
def test_other_uris_are_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="asset URI"):
        normal(uri)


@pytest.mark.parametrize("user", ["secret@", "user:secret@", ":secret@"])
def test_a_secret_in_a_uri_is_refused_and_not_repeated(user: str) -> None:
    with pytest.raises(ValueError, match="user or a password") as caught:
        normal(f"daocloud://{user}h/apps/a")
    assert "secret" not in str(caught.value)


def test_assets_of_apps_and_build_flows() -> None:
    app = assets.app_asset(ID)
    flow = assets.build_flow_asset(ID, host="DaoCloud.corp:8443", extra={"team": "web"})

    assert app.uri == f"daocloud://openapi.daocloud.io/apps/{ID}"
    assert flow.uri == f"daocloud://daocloud.corp:8443/build-flows/{ID}"
    assert flow.extra == {"team": "web"}
    assert app == assets.app_asset(ID)


def test_assets_of_workloads_and_pipelines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host is that of the connection, if the environment defines it."""
    workload = assets.workload_asset("staging", "shop", "web", host="dce.example")
    assert workload.uri == "daocloud://dce.example/clusters/staging/namespaces/shop/deployments/web"
    fields = {"conn_type": "daocloud_enterprise", "host": "dce.corp:8443", "password": "t0ken"}
    monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_ENTERPRISE_DEFAULT", json.dumps(fields))
    database = assets.workload_asset("staging", "shop", "db", workload_kind="statefulset")
    assert database.uri.endswith("/dce.corp:8443/clusters/staging/namespaces/shop/statefulsets/db")
    pipeline = assets.pipeline_asset(1, "build-web", extra={"team": "web"})
    assert pipeline.uri == "daocloud://dce.corp:8443/workspaces/1/pipelines/build-web"
    assert pipeline.extra == {"team": "web"}


def test_the_event_of_a_deployment_carries_its_result(
    daocloud_enterprise_sandbox: EnterpriseSandbox,
) -> None:
    daocloud_enterprise_sandbox.set_options(speed=50.0)
    asset = assets.workload_asset("staging", "shop", "web")
    result, told = told_by(
        lambda: DaoCloudWorkloadDeployOperator(
            task_id="task",
            workload_name="web",
            cluster="staging",
            namespace="shop",
            tag="2.0",
            poll_interval=0.05,
            timeout=20.0,
            outlets=[asset],
        ),
        asset,
    )
    assert told == {key: value for key, value in result.items() if value is not None}
    assert told["images"]["web"].endswith(":2.0")


def test_an_asset_may_have_a_name() -> None:
    """Airflow 2 knows no names, and takes none."""
    asset = assets.app_asset(ID, name="web")
    assert getattr(asset, "name", "web") == "web"


@pytest.mark.parametrize(
    "arguments",
    [
        {"app_id": "a/b"},
        {"app_id": ""},
        {"app_id": "a", "host": "https://h/v1"},
        {"app_id": "a", "host": "secret@h"},
        {"app_id": "a", "host": ""},
        {"app_id": "a", "build_flow_id": "b"},
        {},
        {"cluster": "a", "namespace": "b"},
        {"workspace_id": 1},
        # No environment variable says where that is.
        {"workspace_id": 1, "pipeline_name": "a"},
        {"workspace_id": "", "pipeline_name": "a", "host": "h"},
        {
            "cluster": "a",
            "namespace": "b",
            "workload_name": "c",
            "host": "h",
            "workload_kind": "pod",
        },
    ],
)
def test_unusable_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"app_id|host|asset URI|cluster|workspace_id|workload_"):
        assets.create_asset(**arguments)


def test_an_app_can_be_an_outlet() -> None:
    outlet = assets.app_asset(ID)
    task = DaoCloudRedeployOperator(task_id="t", app_id=ID, release_name="v1", outlets=[outlet])
    assert task.outlets == [outlet]


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(fill=None) as running:
        monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_DEFAULT", running.connection_json())
        yield running


def accessors() -> Any:
    """Return what Airflow puts into a task's context as ``outlet_events``."""
    place = "airflow.sdk.execution_time.context" if AIRFLOW >= (3, 0) else "airflow.utils.context"
    return importlib.import_module(place).OutletEventAccessors()


def told_by(make: Any, asset: Any) -> tuple[Any, dict[str, Any]]:
    """Run a task, and return how it ended and what its event of an asset carries."""
    run = Run(make)
    run.context["outlet_events"] = events = accessors()
    ending = run.to_the_end()
    assert ending.kind == "success", ending.error
    return ending.result, dict(events[asset].extra)


@pytest.mark.parametrize("mode", OPERATOR_MODES)
@pytest.mark.parametrize("by", ["app_id", "app_name"])
def test_the_event_of_a_redeploy_carries_its_result(sandbox: Sandbox, by: str, mode: str) -> None:
    app = sandbox.world.add_app("web")
    sandbox.world.plan(ActionPlan(polls=2))
    asset = assets.app_asset(app.id)
    other = assets.app_asset("another")
    made = accessors()

    def make() -> Any:
        return DaoCloudRedeployOperator(
            task_id="task",
            **{by: getattr(app, by.removeprefix("app_"))},
            release_name="v2",
            poll_interval=0.05,
            outlets=[asset, other, Asset("x://y/apps/" + app.id)],
            **OPERATOR_MODES[mode],
        )

    run = Run(make)
    run.context["outlet_events"] = made
    ending = run.to_the_end()
    assert ending.kind == "success", ending.error
    told = dict(made[asset].extra)
    assert told == {key: value for key, value in ending.result.items() if value is not None}
    assert (told["release_name"], told["previous_release_name"]) == ("v2", "v1.0.0")
    assert told["action_id"] in sandbox.world.actions
    assert not made[other].extra


def test_without_a_wait_the_event_carries_the_action(sandbox: Sandbox) -> None:
    app = sandbox.world.add_app("web")
    asset = assets.app_asset(app.id)
    action_id, told = told_by(
        lambda: DaoCloudRedeployOperator(
            task_id="task",
            app_id=app.id,
            release_name="v2",
            wait_for_completion=False,
            outlets=[asset],
        ),
        asset,
    )
    assert told == {
        "action_id": action_id,
        "app_name": "web",
        "release_name": "v2",
        "previous_release_name": "v1.0.0",
    }


@pytest.mark.parametrize("mode", SENSOR_MODES)
def test_the_event_of_a_sensor_carries_its_result(sandbox: Sandbox, mode: str) -> None:
    flow = sandbox.world.add_build_flow("web")
    sandbox.world.start_build(flow.id, BuildPlan(polls=2))
    asset = assets.build_flow_asset(flow.id)
    result, told = told_by(
        lambda: DaoCloudBuildFlowSensor(
            task_id="task",
            build_flow_id=flow.id,
            poke_interval=0.05,
            timeout=20.0,
            outlets=[asset],
            **SENSOR_MODES[mode],
        ),
        asset,
    )
    assert told == {key: value for key, value in result.items() if value is not None}
    assert told["package_id"]


@pytest.mark.parametrize(
    ("connection", "host"),
    [
        ({"host": "https://DaoCloud.corp"}, "daocloud.corp"),
        ({"host": "daocloud.corp", "port": 8443}, "daocloud.corp:8443"),
        ({"host": "daocloud.corp", "port": 443}, "daocloud.corp"),
        ({"host": "http://127.0.0.1:8080/v1"}, "127.0.0.1:8080"),
        ({}, "openapi.daocloud.io"),
    ],
)
def test_the_host_is_that_of_the_connection(
    monkeypatch: pytest.MonkeyPatch, connection: dict[str, Any], host: str
) -> None:
    """If the environment defines it: a DAG file can know that without asking anybody."""
    given = json.dumps({"conn_type": "daocloud", "password": "t0ken"} | connection)
    monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_DEFAULT", given)
    monkeypatch.setenv("AIRFLOW_CONN_STAGING", json.dumps(json.loads(given) | {"host": "staging"}))
    assert assets.app_asset(ID).uri == f"daocloud://{host}/apps/{ID}"
    of_another = assets.build_flow_asset(ID, daocloud_conn_id="staging").uri
    assert of_another.startswith("daocloud://staging")
    assert assets.app_asset(ID, host="given").uri == f"daocloud://given/apps/{ID}"


def test_a_connection_that_cannot_be_used_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {"conn_type": "daocloud", "password": "t0ken", "host": "ftp://h"}
    monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_DEFAULT", json.dumps(broken))
    with pytest.raises(ValueError, match="connection 'daocloud_default', field 'host'") as caught:
        assets.app_asset(ID)
    assert "t0ken" not in str(caught.value)


def test_airflow_knows_the_scheme() -> None:
    """Old and new lines find the same handler and factory under their own key."""
    info = get_provider_info()
    assert info["asset-uris"] == info["dataset-uris"]
    (entry,) = info["asset-uris"]
    assert entry["schemes"] == ["daocloud"]
    for key, function in (("handler", assets.sanitize_uri), ("factory", assets.create_asset)):
        module, _, name = entry[key].rpartition(".")
        assert getattr(importlib.import_module(module), name) is function


@pytest.mark.skipif(not INSTALLED, reason="the package is not installed here")
def test_airflow_itself_puts_uris_in_their_form() -> None:
    assert Asset(uri="daocloud://H/apps/a/").uri == "daocloud://h/apps/a"
    if Asset.__name__ == "Dataset":
        with pytest.warns(UserWarning, match="asset URI"):
            Asset(uri="daocloud://h/nothing")
    else:
        with pytest.raises(ValueError, match="asset URI"):
            Asset(uri="daocloud://h/nothing")
