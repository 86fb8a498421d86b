"""The watcher's trigger: what fires, what is kept, and what it survives."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from airflow import __version__ as airflow_version

from airflow_provider_daocloud.api.openapi.builds import BuildFlow
from tests.support.modes import rotate

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox import Sandbox

LINE = tuple(int(number) for number in airflow_version.split(".")[:2])
needs_watchers = pytest.mark.skipif(LINE < (3, 0), reason="Airflow 2 has no asset watchers")
needs_streams = pytest.mark.skipif(LINE < (3, 3), reason="streams are shared from 3.3 on")

FLOW = "1f1c8f39-5a0f-4c15-b6ff-b26a2b3b7b1b"
EXAMPLE = Path(__file__).parents[3] / "example_dags" / "daocloud_on_new_build.py"
# Far more than anything here takes.
RETRY_TIMEOUT = 60.0


STREAMS = "airflow_provider_daocloud.triggers.event_stream"


def streams() -> ModuleType:
    """Return what all watchers share, which Airflow 2 cannot import either."""
    return importlib.import_module(STREAMS)


@pytest.fixture
def events() -> ModuleType:
    """Return the module under test, which Airflow 2 cannot import."""
    return importlib.import_module("airflow_provider_daocloud.triggers.events")


def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("daocloud_on_new_build", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(LINE >= (3, 0), reason="of Airflow 2")
def test_airflow_2_says_what_is_missing() -> None:
    with pytest.raises(ImportError, match=r"needs Airflow 3\.0 or later"):
        importlib.import_module("airflow_provider_daocloud.triggers.events")
    assert not hasattr(example(), "dag")


@needs_watchers
def test_the_example_watches_and_deploys(events: ModuleType) -> None:
    module = example()
    (watcher,) = module.builds.watchers
    assert isinstance(watcher.trigger, events.DaoCloudNewBuildTrigger)
    assert module.dag.task_ids == ["new_package", "redeploy", "remember"]
    assert module.dag.get_task("redeploy").upstream_task_ids == {"new_package"}
    assert module.dag.get_task("remember").upstream_task_ids == {"new_package", "redeploy"}
    assert module.dag.max_active_runs == 1


@needs_watchers
@pytest.mark.parametrize(
    "arguments",
    [
        {"build_flow_id": "a/b"},
        {"build_flow_id": ""},
        {"build_flow_id": FLOW, "poll_interval": 0},
        {"build_flow_id": FLOW, "poll_interval": "soon"},
    ],
)
def test_unusable_arguments_are_refused(events: ModuleType, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"build_flow_id|poll_interval"):
        events.DaoCloudNewBuildTrigger(**arguments)


@needs_watchers
def test_what_is_stored_makes_an_equal_trigger(events: ModuleType) -> None:
    trigger = events.DaoCloudNewBuildTrigger(FLOW, "other", poll_interval=5)
    path, arguments = trigger.serialize()
    module, _, name = path.rpartition(".")
    again = getattr(importlib.import_module(module), name)(**json.loads(json.dumps(arguments)))
    assert again.serialize() == trigger.serialize()
    assert again.shared_stream_key() == trigger.shared_stream_key()
    later = getattr(importlib.import_module(module), name)(**arguments, of_a_later_version=1)
    assert later.serialize() == trigger.serialize()


# --- what fires ---------------------------------------------------------------------------------


class Store:
    """The state store of one asset."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self.read_error: Exception | None = None
        self.write_error: Exception | None = None

    async def aget(self, key: str) -> Any:
        if self.read_error:
            raise self.read_error
        return self.kept.get(key)

    async def aset(self, key: str, value: Any) -> None:
        if self.write_error:
            raise self.write_error
        self.kept[key] = json.loads(json.dumps(value))

    @property
    def package(self) -> object:
        (value,) = self.kept.values()
        return value["package_id"]


def watcher(events: ModuleType, store: object = None) -> Any:
    trigger = events.DaoCloudNewBuildTrigger(FLOW)
    trigger.asset_state_store = store
    return trigger


def observe(
    events: ModuleType, number: int, status: str, package: str | None, stored: int | None = None
) -> Any:
    """Return an observation of the flow; by default all earlier events are stored."""
    flow = BuildFlow.parse({"id": FLOW, "status": status, "package_id": package})
    other = BuildFlow.parse({"id": "other", "status": "Success", "package_id": f"x{number}"})
    at = number - 1 if stored is None else stored
    return streams().Observation(number, {flow.id: flow, other.id: other}, at)


async def fired(trigger: Any, observations: Iterable[Any]) -> list[tuple[object, object]]:
    async def stream() -> AsyncIterator[Any]:
        for one in observations:
            yield one

    return [
        (event.payload["previous_package_id"], event.payload["package_id"])
        async for event in trigger.filter_shared_stream(stream())
    ]


@needs_watchers
@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        # What was there before does not fire, in whatever state.
        (["Success p1", "Success p1"], []),
        (["Failure p1", "Failure p1"], []),
        (["Success p1", "Pending p1", "Started p1", "Failure p1"], []),
        # A new build does, once.
        (["Success p1", "Pending p1", "Started p1", "Success p2", "Success p2"], ["p1 p2"]),
        (["Started p1", "success p2"], ["p1 p2"]),
        # The first build ever.
        (["Pending -", "Started -", "Success p1"], ["- p1"]),
        # Builds between two observations: the newest.
        (["Success p1", "Success p3", "Success p4"], ["p1 p3", "p3 p4"]),
        # A success that is seen only when the next build runs.
        (["Success p1", "Started p2", "Success p3"], ["p1 p2", "p2 p3"]),
        (["Success p1", "Pending p2", "Failure p2"], ["p1 p2"]),
        # A new package together with a failure says two things: not deployed, until a success.
        (["Success p1", "Failure p2", "Started p2", "Failure p2"], []),
        (["Success p1", "Failure p2", "Started p2", "Success p3"], ["p1 p3"]),
        (["Success p1", "Failure p2", "Success p2"], ["p1 p2"]),
        # Words and gaps that mean nothing.
        (["Success p1", "Sleeping p2", "Success p2"], ["p1 p2"]),
        (["Success p1", "Success -", "Success p1"], []),
    ],
)
@pytest.mark.parametrize("stored", [True, False])
def test_what_fires(events: ModuleType, seen: list[str], expected: list[str], stored: bool) -> None:
    """With a state store and without one, in the same way."""
    observations = []
    for number, one in enumerate(seen):
        status, package = one.split()
        observations.append(observe(events, number, status, None if package == "-" else package))

    found = asyncio.run(fired(watcher(events, Store() if stored else None), observations))

    assert [f"{old or '-'} {new or '-'}" for old, new in found] == expected


@needs_watchers
def test_a_restart_fires_what_came_meanwhile(events: ModuleType) -> None:
    store = Store()
    assert asyncio.run(fired(watcher(events, store), [observe(events, 0, "Success", "p1")])) == []
    assert asyncio.run(fired(watcher(events, store), [observe(events, 0, "Success", "p2")])) == [
        ("p1", "p2")
    ]


@needs_watchers
def test_what_was_seen_is_kept_after_the_event_is_stored_and_not_before(
    events: ModuleType,
) -> None:
    """A triggerer that dies before Airflow has stored the event fires it again."""
    store = Store()

    async def scenario() -> list[object]:
        kept: list[object] = []

        async def observations() -> AsyncIterator[Any]:
            yield observe(events, 0, "Success", "p1")
            yield observe(events, 1, "Success", "p2")
            for number, stored in ((2, 0), (3, 0), (4, 1), (5, 4)):
                yield observe(events, number, "Success", "p2", stored)
                kept.append(store.package)

        assert (
            len([e async for e in watcher(events, store).filter_shared_stream(observations())]) == 1
        )
        return kept

    assert asyncio.run(scenario()) == ["p1", "p1", "p2", "p2"]


@needs_watchers
def test_a_store_that_cannot_be_read_delays_and_loses_nothing(
    events: ModuleType, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    store = Store()
    asyncio.run(fired(watcher(events, store), [observe(events, 0, "Success", "p1")]))

    def observations() -> Iterator[Any]:
        store.read_error = RuntimeError("made-up-secret")
        yield observe(events, 0, "Success", "p2")
        yield observe(events, 1, "Success", "p2")
        store.read_error = None
        yield observe(events, 2, "Success", "p2")

    assert asyncio.run(fired(watcher(events, store), observations())) == [("p1", "p2")]
    printed = capfd.readouterr()
    told = [caplog.text, printed.out, printed.err]  # which of them depends on Airflow's line
    assert max(text.count("state cannot be read (RuntimeError)") for text in told) == 1
    assert "made-up-secret" not in "".join(told)


@needs_watchers
def test_a_store_that_cannot_be_written_is_written_later(events: ModuleType) -> None:
    store = Store()

    def observations() -> Iterator[Any]:
        yield observe(events, 0, "Success", "p1")
        yield observe(events, 1, "Success", "p2")
        store.write_error = RuntimeError()
        yield observe(events, 2, "Success", "p2")
        assert store.package == "p1"
        store.write_error = None
        yield observe(events, 3, "Success", "p2")
        yield observe(events, 4, "Success", "p2")

    assert asyncio.run(fired(watcher(events, store), observations())) == [("p1", "p2")]
    assert store.package == "p2"


@needs_watchers
def test_what_was_there_is_kept_later_if_it_cannot_be_kept_at_once(events: ModuleType) -> None:
    store = Store()

    def observations() -> Iterator[Any]:
        store.write_error = RuntimeError()
        yield observe(events, 0, "Success", "p1")
        store.write_error = None
        yield observe(events, 1, "Success", "p1")

    assert asyncio.run(fired(watcher(events, store), observations())) == []
    assert store.package == "p1"


@needs_watchers
def test_several_assets_with_an_equal_trigger_still_fire(events: ModuleType) -> None:
    """Airflow's store then does not know whose state is meant, and says so by a ValueError."""
    store = Store()
    store.read_error = ValueError("several")
    observations = [observe(events, 0, "Success", "p1"), observe(events, 1, "Success", "p2")]
    assert asyncio.run(fired(watcher(events, store), observations)) == [("p1", "p2")]


@needs_watchers
def test_a_flow_that_is_not_in_the_list_is_waited_for(events: ModuleType) -> None:
    nothing = [streams().Observation(number, {}, number - 1) for number in (1, 2)]
    observations = [
        observe(events, 0, "Success", "p1"),
        *nothing,
        observe(events, 3, "Success", "p2"),
    ]
    assert asyncio.run(fired(watcher(events), observations)) == [("p1", "p2")]


# --- looking ------------------------------------------------------------------------------------


@pytest.fixture
def quick(daocloud_sandbox: Sandbox) -> Sandbox:
    """Return a sandbox whose limit of calls does not slow a test down."""
    daocloud_sandbox.set_options(rate_limit=10_000_000)
    return daocloud_sandbox


async def next_of(stream: AsyncGenerator[Any]) -> Any:
    async with asyncio.timeout(RETRY_TIMEOUT):
        return await anext(stream)


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(RETRY_TIMEOUT):
        while not true():  # noqa: ASYNC110 - the sandbox is in another thread
            await asyncio.sleep(0.01)


@needs_watchers
def test_a_watcher_without_shared_streams_fires_for_a_new_build(
    events: ModuleType, quick: Sandbox
) -> None:
    """Before 3.3 Airflow calls ``run``."""
    flow = quick.world.build_flow("web")
    old = flow.package_id

    async def scenario() -> Any:
        trigger = events.DaoCloudNewBuildTrigger(flow.id, poll_interval=0.02)
        async with aclosing(trigger.run()) as stream:
            event = asyncio.ensure_future(next_of(stream))
            await until(lambda: quick.counts["list_build_flows"] >= 3)
            assert not event.done()
            quick.world.start_build("web")
            quick.world.finish_build("web")
            return (await event).payload

    payload = asyncio.run(scenario())
    new = quick.world.build_flow("web").package_id
    assert (payload["previous_package_id"], payload["package_id"]) == (old, new)
    assert payload["build_flow"]["status"] == "Success"
    assert payload["build_flow_id"] == flow.id
    assert json.loads(json.dumps(payload)) == payload
    assert set(quick.counts) == {"list_build_flows"}


@needs_watchers
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 503},
        {"kind": "drop"},
        {"kind": "html"},
        {"kind": "too_many", "retry_after": 0},
        *({"kind": "status", "status": status} for status in (302, 401, 403, 404, 409, 410, 499)),
        {"kind": "status", "status": 407, "html": True},
    ],
    ids=lambda fault: f"{fault['kind']} {fault.get('status', '')}",
)
def test_an_outage_is_logged_once_and_survived(
    events: ModuleType,
    quick: Sandbox,
    caplog: pytest.LogCaptureFixture,
    fault: dict[str, Any],
) -> None:
    async def scenario() -> None:
        stream = events.BuildFlowStream("daocloud_default", 0.02).open_stream()
        async with aclosing(stream):
            await next_of(stream)
            quick.fault(**fault, call="list_build_flows", times=3)
            await next_of(stream)

    with caplog.at_level(logging.INFO, logger=STREAMS):
        asyncio.run(scenario())

    told = [record for record in caplog.records if record.name == STREAMS]
    assert [record.levelname for record in told] == ["WARNING", "INFO"]
    assert quick.counts["list_build_flows"] == 5
    assert quick.token not in caplog.text


@needs_watchers
def test_a_wrong_token_is_logged_once_retried_seldom_and_fixed_by_an_edit(
    events: ModuleType,
    quick: Sandbox,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good = quick.connection_json()
    wrong = json.dumps(json.loads(good) | {"password": "wrong-token"})
    monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_DEFAULT", wrong)
    monkeypatch.setattr(streams(), "SLOW", 0.3)
    sleeps: list[float] = []
    sleep = asyncio.sleep

    async def remember(seconds: float) -> None:
        sleeps.append(seconds)
        await sleep(seconds)
        if len(sleeps) == 8:
            monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_DEFAULT", good)

    monkeypatch.setattr(asyncio, "sleep", remember)

    async def scenario() -> None:
        stream = events.BuildFlowStream("daocloud_default", 0.02).open_stream()
        async with aclosing(stream):
            await next_of(stream)

    with caplog.at_level(logging.INFO, logger=STREAMS):
        asyncio.run(scenario())

    told = [record for record in caplog.records if record.name == STREAMS]
    assert [record.levelname for record in told] == ["ERROR", "INFO"]
    assert "401" in told[0].getMessage()
    assert sleeps[0] < sleeps[1] < sleeps[2] < sleeps[7]
    assert "wrong-token" not in caplog.text


@needs_watchers
@pytest.mark.parametrize(("status", "html"), [(401, False), (403, False), (404, False)])
def test_a_refusal_that_stays_is_logged_as_one_that_somebody_must_fix(
    events: ModuleType,
    quick: Sandbox,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    html: bool,
) -> None:
    """At first it is an outage as any other: a moment ago the list could be read."""
    monkeypatch.setattr("airflow_provider_daocloud.core.waiting.refusals.REFUSAL_GRACE", 0.3)
    monkeypatch.setattr(streams(), "SLOW", 0.05)

    async def scenario() -> None:
        stream = events.BuildFlowStream("daocloud_default", 0.02).open_stream()
        async with aclosing(stream):
            await next_of(stream)
            going = quick.fault(
                "status", status=status, html=html, call="list_build_flows", times=None
            )
            again = asyncio.ensure_future(next_of(stream))
            await until(lambda: "ERROR" in {record.levelname for record in caplog.records})
            quick.remove_fault(going)
            await again

    with caplog.at_level(logging.INFO, logger=STREAMS):
        asyncio.run(scenario())

    told = [record for record in caplog.records if record.name == STREAMS]
    assert [record.levelname for record in told] == ["WARNING", "ERROR", "INFO"]


@needs_watchers
def test_a_token_that_is_rotated_is_taken_up_at_once(
    events: ModuleType,
    quick: Sandbox,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        stream = events.BuildFlowStream("daocloud_default", 0.02).open_stream()
        async with aclosing(stream):
            await next_of(stream)
            await asyncio.sleep(1.1)  # a connection resolved within a second is taken as current
            rotate(quick, monkeypatch, "a-new-token")
            await next_of(stream)

    with caplog.at_level(logging.INFO, logger=STREAMS):
        asyncio.run(scenario())

    told = [record for record in caplog.records if record.name == STREAMS]
    assert [record.levelname for record in told] == ["WARNING", "INFO"]


@needs_watchers
def test_a_connection_that_does_not_exist_is_logged_and_not_the_end(
    events: ModuleType,
    quick: Sandbox,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    airflow_home: Path,
) -> None:
    monkeypatch.setattr(streams(), "SLOW", 0.1)

    async def scenario() -> None:
        stream = events.BuildFlowStream("comes_later", 0.02).open_stream()
        async with aclosing(stream):
            first = asyncio.ensure_future(next_of(stream))
            await until(lambda: STREAMS in {record.name for record in caplog.records})
            monkeypatch.setenv("AIRFLOW_CONN_COMES_LATER", quick.connection_json())
            await first

    with caplog.at_level(logging.INFO, logger=STREAMS):
        asyncio.run(scenario())


@needs_streams
def test_equal_connections_share_one_list_and_an_event_is_stored_before_the_watermark(
    events: ModuleType, quick: Sandbox
) -> None:
    """Through Airflow's own manager of shared streams, as the triggerer uses it."""
    from airflow.triggers.shared_stream import SharedStreamManager

    manager = SharedStreamManager()
    flows = [quick.world.build_flow(name) for name in ("web", "api", "worker")]
    old = {flow.id: flow.package_id for flow in flows}
    stores = {flow.id: Store() for flow in flows}
    got: list[tuple[str, int | None]] = []

    async def run(number: int, flow_id: str) -> None:
        trigger = events.DaoCloudNewBuildTrigger(flow_id, poll_interval=0.05)
        trigger.asset_state_store = stores[flow_id]
        key = trigger.shared_stream_key()
        stream = manager.subscribe(trigger_id=number, trigger=trigger, key=key)
        try:
            async for event in trigger.filter_shared_stream(stream):
                seq = manager.bind_pending_event(trigger_id=number, key=key)
                got.append((event.payload["package_id"], seq))
        finally:
            await manager.unsubscribe(number, key)

    async def more_looks() -> None:
        seen = quick.counts["list_build_flows"]
        await until(lambda: quick.counts["list_build_flows"] >= seen + 3)

    async def scenario() -> None:
        tasks = [asyncio.ensure_future(run(n, flow.id)) for n, flow in enumerate(flows)]
        await until(lambda: all(store.kept for store in stores.values()))
        assert quick.connections == 1
        quick.world.start_build("web")
        quick.world.finish_build("web")
        await until(lambda: got)
        await more_looks()
        web = flows[0].id
        assert stores[web].package == old[web]  # Airflow has not stored the event yet

        manager.confirm_persisted([seq for _, seq in got if seq is not None])
        new = quick.world.build_flow("web").package_id
        await until(lambda: stores[web].package == new)
        assert [package for package, _ in got] == [new]
        assert set(quick.counts) == {"list_build_flows"}
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        assert not manager._groups

    asyncio.run(scenario())


@needs_watchers
def test_the_guide_deploys_on_every_new_build(events: ModuleType) -> None:
    """Its example can be parsed as it stands, once it has ids."""
    guide = Path(__file__).parents[3].joinpath("docs/guides/new-builds.md").read_text()
    found = re.search(r"<!-- events -->\n```python\n(.*?)```", guide, re.DOTALL)
    assert found
    names: dict[str, Any] = {}
    exec(found[1].replace("<build flow id>", FLOW).replace("<app id>", "app"), names)
    assert names["builds"].watchers[0].trigger.build_flow_id == FLOW
    assert names["builds"].uri == f"daocloud://openapi.daocloud.io/build-flows/{FLOW}"
