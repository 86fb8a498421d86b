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
from airflow_provider_daocloud.operators.execution import Checkpoint
from airflow_provider_daocloud.sensors.base import STATE_KEY
from airflow_provider_daocloud.sensors.daocloud import DaoCloudAppSensor
from airflow_provider_daocloud.triggers import daocloud as triggers

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"


def documented() -> dict[str, set[str]]:
    """Return the rows of the page's table."""
    (table,) = re.findall(r"<!-- stored -->\n(.*?)<!-- /stored -->", PAGE.read_text(), re.S)
    rows = [line.strip("|").split("|") for line in table.splitlines()[2:]]
    return {what.strip(): set(re.findall(r"`(\w+)`", keys)) for what, keys in rows}


ROWS = documented()
ENTRY = Entry(
    Invocation(), redeploy_app("3f2a", "v1").record(), Snapshot({"state": "RUNNING"}), "intended"
).as_json()
TRIGGERS: list[tuple[type[triggers.DaoCloudTrigger], dict[str, Any]]] = [
    (triggers.DaoCloudActionTrigger, {"app_id": "a", "action_id": "b"}),
    (triggers.DaoCloudAppTrigger, {"app_id": "a"}),
    (triggers.DaoCloudBuildFlowTrigger, {"build_flow_id": "a"}),
    (triggers.DaoCloudBuildTrigger, {"build_flow_id": "a", "build_id": "1"}),
    (triggers.DaoCloudStackActionTrigger, {"stack_id": "a", "action_id": "b"}),
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
    assert path == f"airflow_provider_daocloud.triggers.daocloud.{kind.__name__}"
    assert set(stored) == ROWS["every trigger's arguments"] | ROWS[f"`{kind.__name__}`"]


def test_every_trigger_is_documented() -> None:
    known = {kind for kind, _ in TRIGGERS}
    found = {
        thing
        for thing in vars(triggers).values()
        if isinstance(thing, type)
        and issubclass(thing, triggers.DaoCloudTrigger)
        and thing is not triggers.DaoCloudTrigger
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
