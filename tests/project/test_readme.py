"""The code and the messages of README and docs are what the package does."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_daocloud.api.openapi.apps import App, get_app
from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook
from airflow_provider_daocloud.operators.daocloud import (
    DaoCloudAppActionOperator,
    DaoCloudRedeployOperator,
    DaoCloudRollbackOperator,
    DaoCloudStackActionOperator,
    DaoCloudTriggerBuildOperator,
)
from airflow_provider_daocloud.resources.names import find
from airflow_provider_daocloud.sensors.daocloud import (
    DaoCloudActionSensor,
    DaoCloudAppSensor,
    DaoCloudBuildFlowSensor,
    DaoCloudBuildSensor,
    DaoCloudStackActionSensor,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_daocloud.sandbox import Sandbox, Served
    from airflow_provider_daocloud.sandbox.enterprise.server import EnterpriseSandbox

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CHINESE = (ROOT / "README.zh-CN.md").read_text()
DOCS = ROOT / "docs"


def page(name: str) -> str:
    """Return a page of the docs."""
    return (DOCS / f"{name}.md").read_text()


def block(name: str, text: str = README) -> str:
    """Return a block of code, by the comment in front of it."""
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```", text, re.S)
    assert found, f"there is no block called {name}"
    return found[1]


def connect(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
    value = json.dumps({"conn_type": "daocloud", **fields})
    monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_DEFAULT", value)


@pytest.fixture
def pipeline(airflow_home: Path) -> dict[str, Any]:
    """Return the names of the README's pipeline, as a file in the DAGs folder."""
    file = airflow_home / "dags" / "release.py"
    file.write_text(block("pipeline"))
    names: dict[str, Any] = {"__name__": "release", "__file__": str(file)}
    exec(compile(file.read_text(), file, "exec"), names)
    assert names["redeploy"].deferrable
    for one in names["dag"].tasks:  # as in real life, but quicker
        one.retry_delay = timedelta(0)
        if hasattr(one, "poke_interval"):
            one.poke_interval = 0.1
    return names


def test_the_pipeline_releases_after_a_new_build(
    pipeline: dict[str, Any], daocloud_sandbox: Sandbox
) -> None:
    """It is safe to run as it stands: the Success that is there already does not count."""
    daocloud_sandbox.set_options(speed=20)
    flow = daocloud_sandbox.world.build_flow("web")
    assert flow.status == "Success"
    before, reads = flow.package_id, 0

    def build_when_it_has_been_read(served: Served) -> None:
        nonlocal reads
        reads += served.call in ("list_build_flows", "get_build_flow")
        if reads == 4:  # by the first task, for the flow's id, and twice by the wait
            daocloud_sandbox.service.on_served = None
            assert daocloud_sandbox.effects == {}
            daocloud_sandbox.world.start_build("web")

    daocloud_sandbox.service.on_served = build_when_it_has_been_read

    assert pipeline["dag"].test().state == "success"
    assert daocloud_sandbox.world.build_flow("web").package_id != before
    assert daocloud_sandbox.effects == {"redeploy_app": 1}
    assert daocloud_sandbox.world.app("web").release_name == "v1.0.0"


def test_the_pipeline_ends_at_a_wrong_name_before_it_waits(
    pipeline: dict[str, Any], daocloud_sandbox: Sandbox
) -> None:
    assert pipeline["dag"].test(run_conf={"app": "wbe"}).state == "failed"
    assert daocloud_sandbox.counts == {"list_apps": 1}


def test_the_file_of_connections_can_be_imported(airflow_home: Path, tmp_path: Path) -> None:
    """With the token put in, and nothing else changed."""
    file = tmp_path / "connections.json"
    text = block("connections.json", page("guides/connect"))
    assert text.count("<access token>") == 1
    file.write_text(text.replace("daocloud_default", "readme").replace("<access token>", "t0ken"))
    airflow = [sys.executable, "-m", "airflow", "connections"]
    subprocess.run([*airflow, "import", str(file)], check=True, timeout=100)
    got = subprocess.run(
        [*airflow, "get", "readme", "--output", "json"],
        check=True,
        capture_output=True,
        text=True,
        timeout=100,
    )
    (row,) = json.loads(got.stdout[got.stdout.index("[") :])
    assert (row["conn_type"], row["password"]) == ("daocloud", "t0ken")


def test_the_chinese_readme_has_the_same_links_and_a_pipeline() -> None:
    links = r"\]\((https://airflow-provider-daocloud[^)]+)\)"
    assert re.findall(links, README) == re.findall(links, CHINESE)
    (pipeline,) = re.findall(r"```python\n(.*?)```", CHINESE, re.S)
    names: dict[str, Any] = {}
    exec(pipeline, names)
    assert names["redeploy"].upstream_task_ids == {"wait_for_build"}


def test_the_fleet_of_the_guide_is_a_dag(daocloud_sandbox: Sandbox) -> None:
    """It can be parsed as it stands, which asks DaoCloud for nothing; one call finds the apps."""
    names: dict[str, Any] = {}
    exec(block("fleet", page("guides/names")), names)
    assert not daocloud_sandbox.connections
    fleet = ["web", "api", "worker"]
    found = names["find"].function(fleet)
    assert found == [daocloud_sandbox.world.app(name).id for name in fleet]
    assert daocloud_sandbox.counts == {"list_apps": 1}
    with pytest.raises(AirflowFailException, match="no app is called 'wbe'"):
        names["find"].function(["wbe"])


def test_the_test_of_the_guide_passes(daocloud_sandbox: Sandbox) -> None:
    """The guide's test of a release passes with the fixture that it imports."""
    names: dict[str, Any] = {}
    exec(block("sandbox", page("guides/sandbox")), names)
    names["test_my_release"](daocloud_sandbox)


def test_the_test_of_a_deployment_passes(daocloud_enterprise_sandbox: EnterpriseSandbox) -> None:
    names: dict[str, Any] = {}
    exec(block("sandbox enterprise", page("guides/sandbox")), names)
    names["test_my_deployment"](daocloud_enterprise_sandbox)


BAD_INPUT: dict[str, Callable[[], object]] = {
    "poll_interval=-1": lambda: DaoCloudRedeployOperator(
        task_id="t", app_id="a", release_name="v1", poll_interval=-1
    ),
    "timeout=5, poll_interval=10": lambda: DaoCloudRedeployOperator(
        task_id="t", app_id="a", release_name="v1", timeout=5, poll_interval=10
    ),
    'action="launch"': lambda: DaoCloudAppActionOperator(
        task_id="t",
        app_id="a",
        action="launch",  # type: ignore[arg-type]
    ),
    "max_attempts=0": lambda: DaoCloudAppActionOperator(
        task_id="t", app_id="a", action="stop", max_attempts=0
    ),
    'target_statuses=["Done"]': lambda: DaoCloudBuildFlowSensor(
        task_id="t", build_flow_id="a", target_statuses=["Done"]
    ),
    'target_states=["UP"]': lambda: DaoCloudAppSensor(
        task_id="t", app_id="a", target_states=["UP"]
    ),
    'an id that renders to `""`': lambda: get_app(""),
    "an id that renders to `None`": lambda: get_app("None"),
    'app_id="../x"': lambda: get_app("../x"),
    "neither `app_id` nor `app_name`": lambda: DaoCloudActionSensor(task_id="t", action_id="a"),
    "a name that no app has": lambda: find("app", [App("a", "web"), App("b", "api")], "wbe"),
    "a name that several have": lambda: find(
        "app",
        [
            App.parse({"id": "3f2a", "name": "web", "state": "RUNNING", "release_name": "v1.0.0"}),
            App.parse({"id": "77ab", "name": "web", "state": "STOPPED", "release_name": "v0.9.0"}),
        ],
        "web",
    ),
}


def promised(row: str) -> str:
    for line in page("troubleshooting").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) == 2 and cells[0].strip("`") == row.strip("`"):
            return cells[1].strip("`")
    raise AssertionError(f"the page has no row {row!r}")


@pytest.mark.parametrize("row", BAD_INPUT)
def test_bad_input_says_what_the_page_promises(row: str) -> None:
    """Each row of the page's table of bad input is the error's text."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below
        BAD_INPUT[row]()
    assert str(caught.value) == promised(row)


@pytest.mark.parametrize(
    ("row", "fields"),
    [
        ("a connection without a token", {}),
        ('host="http://daocloud.corp"', {"password": "t", "host": "http://daocloud.corp"}),
        ("extra `verify`", {"password": "t", "extra": {"verify": False}}),
    ],
)
def test_a_bad_connection_says_what_the_page_promises(
    row: str, fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each bad connection of the page's table has its text."""
    connect(monkeypatch, **fields)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below
        DaoCloudHook().get_conn()
    assert str(caught.value) == promised(row)


def test_every_parameter_of_an_operator_is_in_the_reference() -> None:
    """No parameter of our own is left out of the tables."""
    own: set[str] = set()
    for task in (
        DaoCloudRedeployOperator,
        DaoCloudAppActionOperator,
        DaoCloudRollbackOperator,
        DaoCloudStackActionOperator,
        DaoCloudTriggerBuildOperator,
        DaoCloudActionSensor,
        DaoCloudAppSensor,
        DaoCloudBuildFlowSensor,
        DaoCloudBuildSensor,
        DaoCloudStackActionSensor,
    ):
        for base in task.__mro__:
            if base.__module__.startswith("airflow_provider_daocloud"):
                own |= set(inspect.signature(base).parameters) - {"kwargs"}
    pages = page("reference/operators") + page("reference/sensors")
    words = set(re.findall(r"\w+", pages))
    assert own - words == set()
