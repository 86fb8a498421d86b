"""A watcher of a pipeline fires once for each run that has succeeded since.

What all watchers share (outages, refused tokens, the state store) is in test_new_build.py.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_daocloud.api.enterprise.pipelines import PipelineRun
from tests.behaviour.events.test_new_build import (
    Store,
    needs_watchers,
    next_of,
    streams,
    until,
)

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.enterprise.server import EnterpriseSandbox

pytestmark = needs_watchers


@pytest.fixture
def events() -> ModuleType:
    return importlib.import_module("airflow_provider_daocloud.triggers.enterprise_events")


def observation(number: int, states: str, stored: int | None = None) -> Any:
    """Return an observation of runs, written as ``3 SUCCESS, 2 RUNNING``."""
    runs = [one.split() for one in states.split(", ") if one]
    parsed = tuple(PipelineRun.parse({"runId": run, "state": state}) for run, state in runs)
    at = number - 1 if stored is None else stored
    return streams().Observation(number, ("1", parsed), at)


async def fired(trigger: Any, observations: Iterable[Any]) -> list[str]:
    async def stream() -> AsyncIterator[Any]:
        for one in observations:
            yield one

    return [event.payload["run_id"] async for event in trigger.filter_shared_stream(stream())]


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        # What had ended before does not fire; what was going on does, when it succeeds.
        (["2 SUCCESS, 1 SUCCESS", "2 SUCCESS, 1 SUCCESS"], []),
        (["2 RUNNING, 1 SUCCESS", "2 SUCCESS, 1 SUCCESS", "2 SUCCESS"], ["2"]),
        (["", "1 RUNNING", "1 SUCCESS", "1 SUCCESS"], ["1"]),
        # Several between two observations, the oldest first.
        (["1 SUCCESS", "4 SUCCESS, 3 FAILED, 2 SUCCESS, 1 SUCCESS"], ["2", "4"]),
        # One that overtakes another, and the other.
        (["2 RUNNING, 1 RUNNING", "2 SUCCESS, 1 RUNNING", "2 SUCCESS, 1 SUCCESS"], ["2", "1"]),
        (["1 PAUSED", "3 SUCCESS, 2 FAILED, 1 PAUSED", "3 SUCCESS, 1 SUCCESS"], ["3", "1"]),
        # What did not succeed does not fire.
        (["", "1 FAILED, 2 CANCELED, 3 UNSTABLE, 4 UNKNOWN, 5 QUEUE"], []),
        # A run that vanishes, and a list that is empty for a moment.
        (["3 RUNNING, 2 SUCCESS", "4 SUCCESS", "4 SUCCESS"], ["4"]),
        (["3 SUCCESS", "", "3 SUCCESS", "4 SUCCESS"], ["4"]),
    ],
)
def test_what_fires(events: ModuleType, seen: list[str], expected: list[str]) -> None:
    trigger = events.DaoCloudNewRunTrigger("build", 1)
    observations = [observation(number, one) for number, one in enumerate(seen)]
    assert asyncio.run(fired(trigger, observations)) == expected


def test_unstable_is_what_the_user_says(events: ModuleType) -> None:
    trigger = events.DaoCloudNewRunTrigger("build", 1, accept_unstable=True)
    observations = [observation(0, ""), observation(1, "1 UNSTABLE, 2 FAILED")]
    assert asyncio.run(fired(trigger, observations)) == ["1"]


def test_another_triggerer_continues_where_the_first_ended(events: ModuleType) -> None:
    """A run that succeeded in between fires, once its store has been read; none fires twice."""
    store = Store()

    def watch(*seen: str) -> list[str]:
        trigger = events.DaoCloudNewRunTrigger("build", "shop")
        trigger.asset_state_store = store
        observations = [observation(number, one) for number, one in enumerate(seen)]
        return asyncio.run(fired(trigger, observations))

    assert watch("2 RUNNING, 1 SUCCESS", "2 RUNNING, 3 SUCCESS", "2 RUNNING, 3 SUCCESS") == ["3"]
    assert store.kept == {"daocloud_run_shop_build": {"after": 1, "ended": [3]}}
    assert watch("4 SUCCESS, 3 SUCCESS, 2 SUCCESS") == ["2", "4"]
    # That was not stored yet: a killed triggerer fires it again rather than never.
    assert watch("4 SUCCESS, 3 SUCCESS, 2 SUCCESS", "4 SUCCESS", "4 SUCCESS") == ["2", "4"]
    assert watch("4 SUCCESS", "4 SUCCESS") == []


@pytest.mark.parametrize("workspace", ["shop", 1, None])
def test_a_run_of_the_sandbox(
    events: ModuleType, daocloud_enterprise_sandbox: EnterpriseSandbox, workspace: Any
) -> None:
    """By alias, by number, and by the connection's default."""
    sandbox = daocloud_enterprise_sandbox
    sandbox.set_options(speed=100.0)
    connection = sandbox.connection_json(extra={"workspace": "shop"})
    pipeline = next(one for one in sandbox.world.pipelines.all() if one.name == "build-web")

    async def scenario() -> Any:
        trigger = events.DaoCloudNewRunTrigger("build-web", workspace, poll_interval=0.02)
        async with aclosing(trigger.run()) as stream:
            event = asyncio.ensure_future(next_of(stream))
            await until(lambda: sandbox.counts["list_runs"] >= 3)
            assert not event.done()
            sandbox.world.pipelines.start(pipeline, {"TAG": "a secret"})
            return (await event).payload

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_DAOCLOUD_ENTERPRISE_DEFAULT", connection)
        payload = asyncio.run(scenario())
    assert (payload["workspace_id"], payload["pipeline_name"]) == ("1", "build-web")
    assert (payload["run_id"], payload["run"]["state"]) == ("1", "SUCCESS")
    assert "a secret" not in json.dumps(payload)
    assert sandbox.counts["list_workspaces"] == (0 if workspace == 1 else 1)


def test_it_is_stored_and_made_again(events: ModuleType) -> None:
    trigger = events.DaoCloudNewRunTrigger("build", 1, True, "other", 5)
    path, arguments = trigger.serialize()
    module, _, name = path.rpartition(".")
    again = getattr(importlib.import_module(module), name)(
        **json.loads(json.dumps(arguments)), of_a_later_version=1
    )
    assert again.serialize() == (path, arguments)
    assert again.workspace == "1"


def test_watchers_of_one_pipeline_share_its_list(events: ModuleType) -> None:
    def key(*arguments: Any, **more: Any) -> object:
        return events.DaoCloudNewRunTrigger(*arguments, **more).shared_stream_key()

    assert key("build", "shop") == key("build", "shop", accept_unstable=True)
    assert key("build", "shop") != key("other", "shop")
    assert key("build", "shop") != key("build", "other")
    assert key("build", "shop") != key("build", "shop", poll_interval=5)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"pipeline_name": ""}, "pipeline_name"),
        ({"pipeline_name": None}, "pipeline_name"),
        ({"pipeline_name": "a", "workspace": " "}, "workspace"),
        ({"pipeline_name": "a", "poll_interval": 0}, "poll_interval"),
    ],
)
def test_bad_arguments(events: ModuleType, arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        events.DaoCloudNewRunTrigger(**arguments)


def test_the_guide_deploys_when_a_pipeline_has_succeeded() -> None:
    """Its example can be parsed as it stands."""
    guide = Path(__file__).parents[3].joinpath("docs/guides/enterprise.md").read_text()
    found = re.search(r"<!-- enterprise events -->\n```python\n(.*?)```", guide, re.DOTALL)
    assert found
    names: dict[str, Any] = {}
    exec(found[1], names)
    assert names["runs"].watchers[0].trigger.pipeline_name == "build-web"
    assert names["runs"].uri == "daocloud://dce.example/workspaces/1/pipelines/build-web"
