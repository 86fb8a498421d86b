"""The README's code and messages are what the package does."""

from __future__ import annotations

import inspect
import json
import re
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

    from airflow_provider_daocloud.sandbox import Sandbox

README = Path(__file__).parents[2].joinpath("README.md").read_text()
CHINESE = Path(__file__).parents[2].joinpath("README.zh-CN.md").read_text()


def block(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n```python\n(.*?)```", README, re.S)
    assert found, f"the README has no block called {name}"
    return found[1]


def connect(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
    value = json.dumps({"conn_type": "daocloud", **fields})
    monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_DEFAULT", value)


def test_the_pipeline_is_a_dag_of_two_tasks() -> None:
    """The README's pipeline can be parsed as it stands."""
    names: dict[str, Any] = {}
    exec(block("pipeline"), names)
    assert names["redeploy"].upstream_task_ids == {"wait_for_build"}
    assert names["build"].deferrable
    assert names["redeploy"].deferrable


def test_the_chinese_readme_has_the_same_things_and_a_pipeline() -> None:
    """It is shorter, and leaves out none of the classes; its pipeline can be parsed, too."""
    kinds = r"\bDaoCloud\w*(?:Hook|Operator|Sensor|Notifier|Trigger)\b"
    assert set(re.findall(kinds, README)) == set(re.findall(kinds, CHINESE))
    (pipeline,) = re.findall(r"```python\n(.*?)```", CHINESE, re.S)
    names: dict[str, Any] = {}
    exec(pipeline, names)
    assert names["redeploy"].upstream_task_ids == {"wait_for_build"}


def test_the_fleet_of_the_readme_is_a_dag(daocloud_sandbox: Sandbox) -> None:
    """It can be parsed as it stands, which asks DaoCloud for nothing; one call finds the apps."""
    names: dict[str, Any] = {}
    exec(block("fleet"), names)
    assert not daocloud_sandbox.connections
    fleet = ["web", "api", "worker"]
    found = names["find"].function(fleet)
    assert found == [daocloud_sandbox.world.app(name).id for name in fleet]
    assert daocloud_sandbox.counts == {"list_apps": 1}
    with pytest.raises(AirflowFailException, match="no app is called 'wbe'"):
        names["find"].function(["wbe"])


def test_the_test_of_the_readme_passes(daocloud_sandbox: Sandbox) -> None:
    """The README's test of a release passes with the fixture that it imports."""
    names: dict[str, Any] = {}
    exec(block("sandbox"), names)
    names["test_my_release"](daocloud_sandbox)


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
    for line in README.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) == 2 and cells[0].strip("`") == row.strip("`"):
            return cells[1].strip("`")
    raise AssertionError(f"the README has no row {row!r}")


@pytest.mark.parametrize("row", BAD_INPUT)
def test_bad_input_says_what_the_readme_promises(row: str) -> None:
    """Each row of the README's table of bad input is the error's text."""
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
def test_a_bad_connection_says_what_the_readme_promises(
    row: str, fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each bad connection of the README's table has its text."""
    connect(monkeypatch, **fields)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below
        DaoCloudHook().get_conn()
    assert str(caught.value) == promised(row)


def test_every_parameter_of_an_operator_is_in_the_readme() -> None:
    """No parameter of our own is left out of the README."""
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
    words = set(re.findall(r"\w+", README))
    assert own - words == set()
