"""What users' databases keep is documented in one table, and the code stores just that."""

from __future__ import annotations

import re
from dataclasses import asdict, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_daocloud.api.openapi.apps import redeploy_app
from airflow_provider_daocloud.core.submission.evidence import Snapshot
from airflow_provider_daocloud.core.submission.journal import KEY, VERSION, Entry, Invocation
from airflow_provider_daocloud.core.submission.plan import Progress
from airflow_provider_daocloud.core.waiting.tracker import Tracker
from airflow_provider_daocloud.core.waiting.wait import Outcome
from airflow_provider_daocloud.operators import daocloud as operators
from airflow_provider_daocloud.operators import enterprise as enterprise_operators
from airflow_provider_daocloud.operators.execution import Checkpoint
from airflow_provider_daocloud.sensors import daocloud as sensors
from airflow_provider_daocloud.sensors import enterprise as enterprise_sensors
from airflow_provider_daocloud.sensors.base import STATE_KEY
from airflow_provider_daocloud.sensors.daocloud import DaoCloudAppSensor
from airflow_provider_daocloud.triggers import daocloud as triggers
from airflow_provider_daocloud.triggers import enterprise
from tests.support.results import SCHEMAS

DOCS = Path(__file__).parents[2] / "docs"


def documented(page: str, mark: str) -> dict[str, set[str]]:
    """Return the rows of a page's table.

    :param mark: what stands in the comments before and after it.
    """
    text = (DOCS / page).read_text()
    (table,) = re.findall(rf"<!-- {mark} -->\n(.*?)<!-- /{mark} -->", text, re.S)
    rows = [line.strip("|").split("|") for line in table.splitlines()[2:]]
    return {what.strip(): set(re.findall(r"`(\w+)`", keys)) for what, keys in rows}


ROWS = documented("architecture.md", "stored")
ENTRY = Entry(
    Invocation(), redeploy_app("3f2a", "v1").record(), Snapshot({"state": "RUNNING"}), "intended"
).as_json()
TRIGGERS: list[tuple[type[triggers.DaoCloudTrigger], dict[str, Any]]] = [
    (triggers.DaoCloudActionTrigger, {"app_id": "a", "action_id": "b"}),
    (triggers.DaoCloudAppTrigger, {"app_id": "a"}),
    (triggers.DaoCloudBuildFlowTrigger, {"build_flow_id": "a"}),
    (triggers.DaoCloudBuildTrigger, {"build_flow_id": "a", "build_id": "1"}),
    (triggers.DaoCloudStackActionTrigger, {"stack_id": "a", "action_id": "b"}),
    (
        enterprise.DaoCloudWorkloadTrigger,
        {"cluster": "a", "namespace": "b", "workload_kind": "deployment", "workload_name": "c"},
    ),
    (
        enterprise.DaoCloudPipelineRunTrigger,
        {"workspace_id": "1", "pipeline_name": "a", "run_id": "2"},
    ),
]


def test_the_journal() -> None:
    """The entry, and what is inside it."""
    assert set(ENTRY) == ROWS[f"journal entry `{KEY}`"]
    for part in ("invocation", "request", "snapshot", "progress"):
        assert set(ENTRY[part]) == ROWS[f"its `{part}`"]


def test_the_sensors_entry() -> None:
    """What a sensor in reschedule mode keeps, here with a name that was looked up."""
    sensor = DaoCloudAppSensor(task_id="sensor", app_name="web", mode="reschedule")
    sensor.take_id("3f2a")
    stored: dict[str, Any] = {}
    context: Any = {
        "task_state_store": SimpleNamespace(set=stored.__setitem__),
        "ti": SimpleNamespace(try_number=1),
    }
    sensor._remember(context, Tracker(sensor.wait(), 0.0))
    assert set(stored[STATE_KEY]) == ROWS[f"a sensor's entry `{STATE_KEY}`"]


@pytest.mark.parametrize(("kind", "arguments"), TRIGGERS)
def test_the_triggers(kind: type[triggers.DaoCloudTrigger], arguments: dict[str, Any]) -> None:
    """Each trigger stores what all do, and what it waits for."""
    path, stored = kind(**arguments).serialize()
    module = "daocloud" if kind.__name__ in vars(triggers) else "enterprise"
    assert path == f"airflow_provider_daocloud.triggers.{module}.{kind.__name__}"
    assert set(stored) == ROWS["every trigger's arguments"] | ROWS[f"`{kind.__name__}`"]


def test_every_trigger_is_documented() -> None:
    known = {kind for kind, _ in TRIGGERS}
    found = {
        thing
        for thing in (*vars(triggers).values(), *vars(enterprise).values())
        if isinstance(thing, type)
        and issubclass(thing, triggers.DaoCloudTrigger)
        and thing not in (triggers.DaoCloudTrigger, enterprise.DaoCloudEnterpriseTrigger)
    }
    assert found == known


def test_the_event() -> None:
    """The outcome, and the checkpoint that comes back with it."""
    checkpoint = asdict(Checkpoint(Progress()))
    event = Outcome("succeeded", {}).as_event() | {"checkpoint": checkpoint}
    assert set(event) == ROWS["a trigger's event"]
    assert set(checkpoint) == ROWS["its `checkpoint`"]
    assert {field.name for field in fields(Progress)} == ROWS["its `progress`"]


def test_the_version_of_the_journal() -> None:
    """Another one makes every entry that users have unreadable: not by accident."""
    assert VERSION == 1


def test_the_results() -> None:
    """The page names each operator and sensor, and every key of what it returns."""
    told = {
        name: keys
        for names, keys in documented("results.md", "results").items()
        for name in re.findall(r"`(\w+)`", names)
    }
    assert told == {
        task.__name__: schema.__required_keys__ | schema.__optional_keys__
        for task, schema in SCHEMAS.items()
    }


def test_every_operator_and_sensor_has_a_schema() -> None:
    public = [
        found
        for module in (operators, enterprise_operators, sensors, enterprise_sensors)
        for found in vars(module).values()
        if isinstance(found, type) and found.__module__ == module.__name__
    ]
    abstract = {
        operators.DaoCloudAppOperator,
        enterprise_operators.Marked,
        enterprise_operators.DaoCloudWorkloadOperator,
    }
    without_result = {enterprise_operators.DaoCloudPipelineInputOperator}
    assert set(public) - abstract - without_result == set(SCHEMAS)
