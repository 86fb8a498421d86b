"""Triggers that share a poller: what each has to itself, and what is left when all are done."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped, unused-ignore]
import pytest

from airflow_provider_daocloud.api.async_client import AsyncDaoCloudClient
from airflow_provider_daocloud.api.response import interpret
from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook
from airflow_provider_daocloud.sandbox import ActionPlan, BuildPlan, Sandbox
from airflow_provider_daocloud.triggers import wait_session
from airflow_provider_daocloud.triggers.daocloud import (
    DaoCloudActionTrigger,
    DaoCloudAppTrigger,
    DaoCloudBuildFlowTrigger,
    DaoCloudBuildTrigger,
    DaoCloudStackActionTrigger,
)
from airflow_provider_daocloud.triggers.poller_registry import PollerRegistry, poller_registry
from tests.support.modes import AIRFLOW, WHO, Lines, log_of, rotate, trigger_of
from tests.support.xcoms import task_instance

pytestmark = pytest.mark.timeout(60)


def action(sandbox: Sandbox, plan: ActionPlan | None = None, **more: Any) -> Any:
    """Return a trigger that waits for a new action on a new app."""
    app = sandbox.world.add_app("web")
    sandbox.world.plan(plan or ActionPlan(polls=2))
    started_at = sandbox.world.operate(app.id, "restart")
    more = {"poll_interval": 0.05, "timeout": 30.0} | more
    return DaoCloudActionTrigger(app_id=app.id, action_id=started_at.id, **more)


def flow(sandbox: Sandbox, plan: BuildPlan | None = None, **more: Any) -> Any:
    """Return a trigger that waits for a new build of a new flow."""
    made = sandbox.world.add_build_flow("web", status="Failure")
    sandbox.world.start_build(made.id, plan or BuildPlan(polls=2))
    more = {"poll_interval": 0.05, "timeout": 30.0} | more
    return DaoCloudBuildFlowTrigger(build_flow_id=made.id, **more)


def app(sandbox: Sandbox, plan: ActionPlan | None = None, **more: Any) -> Any:
    """Return a trigger that waits for a new app, which is being started."""
    made = sandbox.world.add_app("web", state="STOPPED")
    sandbox.world.plan(plan or ActionPlan(seconds=0.2))
    sandbox.world.operate(made.id, "start")
    more = {"poll_interval": 0.05, "timeout": 30.0} | more
    return DaoCloudAppTrigger(app_id=made.id, fail_states=["STOPPED"], **more)


def build(sandbox: Sandbox, plan: BuildPlan | None = None, **more: Any) -> Any:
    """Return a trigger that waits for one build of a new flow."""
    made = sandbox.world.add_build_flow("web", status="Failure")
    started_at = sandbox.world.start_build(made.id, plan or BuildPlan(polls=2))
    more = {"poll_interval": 0.05, "timeout": 30.0} | more
    return DaoCloudBuildTrigger(build_flow_id=made.id, build_id=str(started_at.id), **more)


def stack(sandbox: Sandbox, plan: ActionPlan | None = None, **more: Any) -> Any:
    """Return a trigger that waits for a new action on a new stack."""
    made = sandbox.world.add_stack("front")
    sandbox.world.plan(plan or ActionPlan(polls=2))
    started_at = sandbox.world.operate_stack(made.id, "restart")
    more = {"poll_interval": 0.05, "timeout": 30.0} | more
    return DaoCloudStackActionTrigger(stack_id=made.id, action_id=started_at.id, **more)


# What makes each of them go on for ever, fail, and succeed after some time.
PLANS: dict[Any, tuple[Any, Any, Any]] = {
    action: (
        ActionPlan(by_hand=True),
        ActionPlan(state="FAILED", polls=1),
        ActionPlan(polls=12),
    ),
    app: (
        ActionPlan(by_hand=True),
        ActionPlan(state="FAILED", seconds=0.1),
        ActionPlan(seconds=0.6),
    ),
    flow: (BuildPlan(by_hand=True), BuildPlan(outcome="Error"), BuildPlan(polls=12)),
}
PLANS |= {stack: PLANS[action], build: PLANS[flow]}
MAKERS = list(PLANS)


async def outcome(trigger: Any) -> dict[str, Any]:
    """Run a trigger and return the payload of its one event."""
    events = [event.payload async for event in trigger.run()]
    assert len(events) == 1
    return events[0]


def outcomes(*triggers: Any) -> list[str]:
    """Run triggers in one event loop; return how each ended."""

    async def all_of_them() -> list[dict[str, Any]]:
        return await asyncio.gather(*(outcome(trigger) for trigger in triggers))

    return [ended["status"] for ended in asyncio.run(all_of_them())]


async def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def open_connections(sandbox: Sandbox) -> int:
    """Return how many connections this process has to the sandbox."""
    process = psutil.Process()
    found = getattr(process, "net_connections", None) or process.connections
    return sum(
        c.status == psutil.CONN_ESTABLISHED and bool(c.raddr) and c.raddr.port == sandbox.port
        for c in found("tcp")
    )


# --- one poller for all ---------------------------------------------------------------------------


def test_waits_of_two_connections_with_the_same_account_share_a_poller(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_ANOTHER_NAME", sandbox.connection_json({"read_timeout": 0.5}))
    triggers = [
        flow(sandbox, daocloud_conn_id=conn_id)
        for conn_id in ("daocloud_default", "another_name", "daocloud_default")
    ]

    async def pollers() -> tuple[int, int]:
        tasks = [asyncio.create_task(outcome(trigger)) for trigger in triggers]
        found = poller_registry()
        await until(lambda: sum(map(len, found._pollers.values())) == 3)
        count = len(found._pollers)
        ended = await asyncio.gather(*tasks)
        assert {event["status"] for event in ended} == {"succeeded"}
        return count, len(found._pollers)

    assert asyncio.run(pollers()) == (1, 0)
    # One list serves them all: far fewer requests than one for each wait and observation.
    assert sandbox.counts["get_build_flow"] == 0
    assert 1 <= sandbox.counts["list_build_flows"] <= 5


def test_waits_of_all_kinds_share_a_poller(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One token, one poller, at most two connections, whatever is waited for."""
    # On a busy machine any answer can be slow, and a slow one has a connection of its own.
    monkeypatch.setattr("airflow_provider_daocloud.core.polling.queue.SLOW_AFTER", 60.0)
    triggers = [make(sandbox, PLANS[make][2]) for make in MAKERS for _ in range(3)]

    async def pollers() -> int:
        tasks = [asyncio.create_task(outcome(trigger)) for trigger in triggers]
        found = poller_registry()
        await until(lambda: sum(map(len, found._pollers.values())) == len(triggers))
        count = len(found._pollers)
        ended = await asyncio.gather(*tasks)
        assert [event["status"] for event in ended] == ["succeeded"] * len(triggers)
        return count

    assert asyncio.run(pollers()) == 1
    assert sandbox.connections <= 2
    # What has a list is read in it; what has none is asked for.
    assert (sandbox.counts["get_build_flow"], sandbox.counts["get_app"]) == (0, 3)
    for api_request in ("get_action", "get_build", "get_stack_action"):
        assert sandbox.counts[api_request] >= 3


def test_waits_of_two_accounts_do_not_share(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.world.add_account("another-token", "another")
    connection = json.loads(sandbox.connection_json()) | {"password": "another-token"}
    monkeypatch.setenv("AIRFLOW_CONN_ANOTHER", json.dumps(connection))
    ended = outcomes(flow(sandbox), flow(sandbox, daocloud_conn_id="another"))
    assert ended == ["succeeded", "succeeded"]
    assert all(sandbox.counts_by_account[name]["get_build_flow"] for name in ("main", "another"))


def test_the_last_wait_leaves_no_task_and_no_connection_behind(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_daocloud.core.polling.queue.SLOW_AFTER", 60.0)
    triggers = [flow(sandbox, BuildPlan(by_hand=True)) for _ in range(5)]
    triggers += [action(sandbox, ActionPlan(by_hand=True)) for _ in range(5)]

    async def leave() -> None:
        tasks = [asyncio.create_task(outcome(trigger)) for trigger in triggers]
        await until(lambda: sandbox.counts["list_build_flows"] and sandbox.counts["get_action"])
        assert open_connections(sandbox) in (1, 2)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert not poller_registry()._pollers
        assert not poller_registry()._resolved
        await until(lambda: open_connections(sandbox) == 0)

    asyncio.run(leave())
    # With one keep-alive connection, or two while a second call is under way.
    assert sandbox.connections <= 2


@pytest.mark.parametrize("make", MAKERS)
def test_a_wait_that_is_cancelled_fails_or_times_out_does_not_disturb_others(
    sandbox: Sandbox, make: Callable[..., Any]
) -> None:
    by_hand, fails, succeeds = PLANS[make]

    async def run() -> list[str]:
        cancelled = [asyncio.create_task(outcome(make(sandbox, by_hand))) for _ in range(2)]
        others = [
            make(sandbox, fails),
            make(sandbox, by_hand, timeout=0.3),
            make(sandbox, succeeds),
        ]
        running = [asyncio.create_task(outcome(trigger)) for trigger in others]
        await until(lambda: sum(sandbox.counts.values()) > 2)
        for task in cancelled:
            task.cancel()
        return [event["status"] for event in await asyncio.gather(*running)]

    sandbox.set_options(pending_seconds=0, build_seconds=0.1)
    assert asyncio.run(run()) == ["failed", "timeout", "succeeded"]


def test_a_wait_that_comes_while_the_last_one_leaves_is_served(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing the connections takes a moment, in which the next wait can begin."""
    closing = asyncio.Event()
    close = httpx.AsyncClient.aclose

    async def slowly(self: httpx.AsyncClient) -> None:
        await close(self)
        closing.set()
        await asyncio.sleep(0.2)

    monkeypatch.setattr(httpx.AsyncClient, "aclose", slowly)

    async def run() -> tuple[Any, Any]:
        first = asyncio.create_task(outcome(action(sandbox)))
        await closing.wait()
        # No fault is allowed: it must not even see one.
        second = await outcome(action(sandbox, ActionPlan(polls=6), max_outage=0))
        return await first, second

    ended = asyncio.run(run())
    assert [event["status"] for event in ended] == ["succeeded", "succeeded"]


def test_a_trigger_that_is_started_again_goes_on_with_the_same_wait(sandbox: Sandbox) -> None:
    """As after the death of a triggerer: the same arguments, in another process."""
    trigger = action(sandbox, ActionPlan(by_hand=True), started_at=time.time(), timeout=0.5)
    path, kwargs = trigger.serialize()

    async def killed() -> None:
        task = asyncio.create_task(outcome(trigger))
        await until(lambda: sandbox.counts["get_action"])
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(killed())
    again = trigger_of(path, json.loads(json.dumps(kwargs)))
    (ended,) = outcomes(again)
    assert ended == "timeout"
    # Its time runs from its own start, not from that of the second process.
    assert again.serialize() == (path, kwargs)


# --- what the list may contain --------------------------------------------------------------------


@pytest.mark.parametrize(
    "items",
    [
        [{}],
        [{"id": None, "status": "Success"}],
        [{"id": ["x"]}],
        [{"id": {}}],
        [{"id": 7, "status": []}],
    ],
    ids=str,
)
def test_an_odd_entry_of_another_flow_disturbs_nobody(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, items: list[Any]
) -> None:
    with_odd_entries(monkeypatch, "build_flows", items)
    assert outcomes(flow(sandbox), flow(sandbox)) == ["succeeded", "succeeded"]


@pytest.mark.parametrize(
    "items", [[{}], [{"id": ["x"]}], [{"id": {}, "state": []}], [{"id": "x", "state": {}}]], ids=str
)
def test_an_odd_entry_of_another_app_disturbs_nobody(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, items: list[Any]
) -> None:
    with_odd_entries(monkeypatch, "app", items)
    ended = outcomes(*(action(sandbox, ActionPlan(seconds=0.3)) for _ in range(6)))
    assert ended == ["succeeded"] * 6
    assert sandbox.counts["list_apps"]


def with_odd_entries(monkeypatch: pytest.MonkeyPatch, key: str, items: list[Any]) -> None:
    """Put odd entries before those that a list has."""

    def odd(api_request: Any, response: Any, **more: Any) -> Any:
        data = json.loads(response.body)
        if key in data:
            data[key] = items + data[key]
            response = type(response)(response.status, response.headers, json.dumps(data).encode())
        return interpret(api_request, response, **more)

    monkeypatch.setattr(f"{AsyncDaoCloudClient.__module__}.interpret", odd)


def test_a_flow_that_the_list_lacks_is_asked_for_by_itself(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    triggers = [flow(sandbox), flow(sandbox), flow(sandbox)]
    lacking = triggers[0].build_flow_id

    def without_it(api_request: Any, response: Any, **more: Any) -> Any:
        data = json.loads(response.body)
        if "build_flows" in data:
            data["build_flows"] = [f for f in data["build_flows"] if f["id"] != lacking]
            response = type(response)(response.status, response.headers, json.dumps(data).encode())
        return interpret(api_request, response, **more)

    monkeypatch.setattr(f"{AsyncDaoCloudClient.__module__}.interpret", without_it)
    assert outcomes(*triggers) == ["succeeded"] * 3


def test_an_app_that_the_list_lacks_is_asked_for_by_itself(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its time is up when it is up, though no list shows it."""
    triggers = [app(sandbox), app(sandbox, PLANS[app][0], timeout=0.5), app(sandbox)]
    lacking = {trigger.app_id for trigger in triggers[:2]}

    def without_them(api_request: Any, response: Any, **more: Any) -> Any:
        data = json.loads(response.body)
        if "app" in data:
            data["app"] = [a for a in data["app"] if a["id"] not in lacking]
            response = type(response)(response.status, response.headers, json.dumps(data).encode())
        return interpret(api_request, response, **more)

    monkeypatch.setattr(f"{AsyncDaoCloudClient.__module__}.interpret", without_them)
    assert outcomes(*triggers) == ["succeeded", "timeout", "succeeded"]


def test_an_unknown_flow_among_others_fails_alone(sandbox: Sandbox) -> None:
    unknown = DaoCloudBuildFlowTrigger(build_flow_id="nothing", poll_interval=0.05)
    assert outcomes(flow(sandbox), unknown, flow(sandbox)) == [
        "succeeded",
        "permanent",
        "succeeded",
    ]


# --- connections ----------------------------------------------------------------------------------


async def after_a_look(sandbox: Sandbox, triggers: list[Any], step: Callable[[], None]) -> Any:
    """Run triggers; when they observe, and some time has passed, do something."""
    tasks = [asyncio.create_task(outcome(trigger)) for trigger in triggers]
    await until(lambda: sum(sandbox.counts.values()))
    # A connection that was resolved within the last second is taken to be current.
    await asyncio.sleep(1.1)
    step()
    return await asyncio.gather(*tasks)


@pytest.mark.parametrize("make", MAKERS)
def test_after_a_401_the_connection_is_resolved_once_more(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, make: Callable[..., Any]
) -> None:
    """A token that was rotated, in the service and in the Connection, stops no wait."""
    resolved = count_look_ups(monkeypatch)
    triggers = [make(sandbox, PLANS[make][0]) for _ in range(3)]

    def step() -> None:
        rotate(sandbox, monkeypatch, "a-new-token")
        for started_at in list(sandbox.world.actions):
            sandbox.world.finish_action(started_at)
        for made in list(sandbox.world.build_flows):
            sandbox.world.finish_build(made)

    ended = asyncio.run(after_a_look(sandbox, triggers, step))
    assert [event["status"] for event in ended] == ["succeeded"] * 3
    # Once for all waits at first, and once more for all of them.
    assert resolved == ["daocloud_default"] * 2


@pytest.mark.parametrize("make", MAKERS)
def test_after_a_401_with_the_same_token_it_is_permanent_when_it_stays(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, make: Callable[..., Any]
) -> None:
    triggers = [make(sandbox, PLANS[make][0]) for _ in range(3)]

    def step() -> None:
        rotate(sandbox, monkeypatch, sandbox.token)

    ended = asyncio.run(after_a_look(sandbox, triggers, step))
    assert [event["status"] for event in ended] == ["permanent"] * 3
    assert all("HTTP 401" in event["message"] for event in ended)


def count_look_ups(monkeypatch: pytest.MonkeyPatch, *failing: Exception) -> list[str]:
    """Return a list of the connections that are looked up; the first look-ups fail so."""
    from airflow_provider_daocloud import compat

    look_up = compat.get_async_connection
    resolved: list[str] = []
    failures = list(failing)

    async def counted(conn_id: str) -> Any:
        resolved.append(conn_id)
        if failures:
            raise failures.pop(0)
        return await look_up(conn_id)

    monkeypatch.setattr(f"{PollerRegistry.__module__}.get_async_connection", counted)
    return resolved


def test_a_connection_that_cannot_be_looked_up_for_a_while_is_an_outage(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secrets backend, or Airflow's API server, has its outages too."""
    resolved = count_look_ups(monkeypatch, OSError("secret-in-here"), OSError("again"))
    assert outcomes(action(sandbox)) == ["succeeded"]
    assert len(resolved) == 3


@pytest.mark.skipif(AIRFLOW < (3, 3), reason="no trigger before it can push")
def test_a_link_that_cannot_be_pushed_is_no_reason_to_fail(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    count_look_ups(monkeypatch, OSError("once"))
    pushed: list[str] = []

    def push(key: str, _value: str) -> None:
        pushed.append(key)
        raise OSError("Airflow's API server is away")

    first, second = action(sandbox), action(sandbox)
    for trigger in (first, second):
        trigger._task_instance = task_instance(push, task=object())
    # The first cannot look up its connection, the second cannot push.
    assert outcomes(first) + outcomes(second) == ["succeeded", "succeeded"]
    assert len(pushed) == 1


def test_a_connection_that_cannot_be_looked_up_for_too_long(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    count_look_ups(monkeypatch, *(OSError("secret-in-here") for _ in range(100)))
    trigger = action(sandbox, max_outage=0.2)
    ended = asyncio.run(outcome(trigger))
    assert ended["status"] == "unreachable"
    assert trigger.action_id in ended["message"]
    assert "OSError" in ended["message"]
    assert "secret-in-here" not in ended["message"]
    assert not sandbox.counts


def test_a_look_up_that_fails_later_does_not_end_a_wait_that_works(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is looked up again every few minutes, in case it was edited."""
    monkeypatch.setattr(wait_session, "FRESH", 0.1)
    trigger = action(sandbox, ActionPlan(polls=10))

    async def run() -> Any:
        task = asyncio.create_task(outcome(trigger))
        await until(lambda: sandbox.counts["get_action"])
        resolved = count_look_ups(monkeypatch, *(OSError() for _ in range(100)))
        ended = await task
        assert resolved
        return ended["status"]

    assert asyncio.run(run()) == "succeeded"


def test_an_edited_connection_is_noticed(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr(wait_session, "FRESH", 0.2)
    trigger = action(sandbox, ActionPlan(by_hand=True))

    async def run() -> Any:
        task = asyncio.create_task(outcome(trigger))
        await until(lambda: sandbox.counts["get_action"])
        sandbox.world.add_account("a-new-token", "new")
        connection = json.loads(sandbox.connection_json()) | {"password": "a-new-token"}
        monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_DEFAULT", json.dumps(connection))
        await until(lambda: sandbox.counts_by_account.get("new"))
        sandbox.world.finish_action(trigger.action_id)
        return (await task)["status"]

    assert asyncio.run(run()) == "succeeded"


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    "extra",
    [{"ca_bundle": "/nowhere.pem"}, {"proxies": "socks9://x:1"}, {"unreachable": 1}],
    ids=["ca_bundle", "proxies", "unreachable"],
)
def test_a_connection_that_cannot_be_used_ends_its_waits(
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[..., Any],
    extra: dict[str, Any],
) -> None:
    """No retry can fix it, and the message names the field."""
    monkeypatch.setenv("AIRFLOW_CONN_BROKEN", sandbox.connection_json(extra))
    triggers = [make(sandbox, daocloud_conn_id="broken") for _ in range(3)]

    async def run() -> list[Any]:
        return await asyncio.gather(*(outcome(trigger) for trigger in triggers))

    for ended in asyncio.run(run()):
        assert (ended["status"], next(iter(extra)) in ended["message"]) == ("permanent", True)
        assert sandbox.token not in ended["message"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"port": "None"}, "field 'port'"),
        ({"host": 1}, "field 'host'"),
        ({"extra": ["x"]}, "field 'extra'"),
        ({"extra": object}, "field 'extra'"),
    ],
)
def test_a_connection_of_a_backend_that_checks_no_types(
    monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, fields: dict[str, Any], field: str
) -> None:
    """An unusable field is no outage: it ends the wait at once, and says which it is."""
    empty = dict.fromkeys(("host", "schema", "login", "port", "extra"))
    made = SimpleNamespace(**empty | {"conn_id": "dc", "password": sandbox.token} | fields)

    async def look_up(_conn_id: str) -> Any:
        return made

    monkeypatch.setattr(f"{PollerRegistry.__module__}.get_async_connection", look_up)
    monkeypatch.setattr(DaoCloudHook, "get_connection", lambda _hook, _conn_id: made)
    ended = asyncio.run(outcome(action(sandbox, max_outage=3.0)))
    works, words = DaoCloudHook().test_connection()
    assert (ended["status"], works) == ("permanent", False)
    assert ended["message"].startswith(f"connection 'dc', {field}: ")
    assert words == ended["message"]


def test_no_such_connection(sandbox: Sandbox) -> None:
    trigger = action(sandbox, daocloud_conn_id="nowhere")
    ended = asyncio.run(outcome(trigger))
    assert (ended["status"], "nowhere" in ended["message"]) == ("permanent", True)


# --- logs -----------------------------------------------------------------------------------------


@pytest.fixture
def http_log() -> Iterator[Lines]:
    """Return what the HTTP library logs, with whose context it was logged in."""
    lines = Lines()
    handler = logging.Handler()
    handler.emit = lambda record: lines.info(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("httpx")
    level, disabled = logger.level, logger.disabled
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.disabled = False
    yield lines
    logger.removeHandler(handler)
    logger.setLevel(level)
    logger.disabled = disabled


def test_each_wait_logs_in_its_own_context_and_the_poller_in_none(
    sandbox: Sandbox, http_log: Lines
) -> None:
    """A triggerer sends a line to the log of the task in whose context it is written."""
    triggers = [action(sandbox, ActionPlan(seconds=0.3)) for _ in range(4)]
    triggers += [flow(sandbox) for _ in range(3)]
    logs: dict[str, Lines] = {}

    def in_its_context(number: int, trigger: Any) -> Awaitable[Any]:
        async def run() -> Any:
            WHO.set(f"wait {number}")
            logs[f"wait {number}"] = log_of(trigger)
            return await outcome(trigger)

        return asyncio.create_task(run())

    async def all_of_them() -> None:
        await asyncio.gather(*(in_its_context(n, t) for n, t in enumerate(triggers)))

    asyncio.run(all_of_them())
    for (who, log), trigger in zip(logs.items(), triggers, strict=True):
        thing = getattr(trigger, "action_id", None) or trigger.build_flow_id
        assert log.lines
        assert {whose for whose, _ in log.lines} == {who}
        assert thing in log.lines[0][1]
        others = {getattr(other, "action_id", other.resource_id) for other in triggers} - {thing}
        assert not any(other in line for other in others for _, line in log.lines)
    assert http_log.lines
    assert {whose for whose, _ in http_log.lines} == {"nobody"}


def test_a_trigger_that_is_killed_says_what_goes_on(sandbox: Sandbox) -> None:
    trigger = action(sandbox)
    log = log_of(trigger)
    asyncio.run(trigger.on_kill())
    ((_, line),) = log.lines
    assert trigger.action_id in line
    assert "continues at DaoCloud" in line


# --- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", MAKERS)
def test_arguments_survive_storage_and_have_no_secret(
    sandbox: Sandbox, make: Callable[..., Any]
) -> None:
    trigger = make(sandbox)
    path, kwargs = trigger.serialize()
    again = trigger_of(path, json.loads(json.dumps(kwargs)))
    assert again.serialize() == (path, kwargs)
    assert sandbox.token not in repr((path, kwargs, trigger))


@pytest.mark.parametrize("make", MAKERS)
def test_arguments_of_a_later_version_are_ignored_and_missing_ones_have_defaults(
    sandbox: Sandbox, make: Callable[..., Any]
) -> None:
    """Worker and triggerer are of different versions during an upgrade."""
    path, kwargs = make(sandbox).serialize()
    needed = {"app_id", "action_id", "build_flow_id", "build_id", "stack_id"}
    kwargs = {name: value for name, value in kwargs.items() if name in needed}
    kwargs |= {"poll_interval": 0.05}
    assert outcomes(trigger_of(path, kwargs | {"an_argument_of_tomorrow": {"x": 1}})) == [
        "succeeded"
    ]


CARRIED = {"step": "verify", "tried": [1, {"x": None}], "name": "雪"}


@pytest.mark.parametrize("how", ["succeeded", "failed", "timeout", "permanent"])
def test_what_is_carried_comes_back_with_the_event(sandbox: Sandbox, how: str) -> None:
    """However the wait ends, and through storage as JSON."""
    by_hand, fails, succeeds = PLANS[app]
    plan = {"succeeded": succeeds, "failed": fails}.get(how, by_hand)
    arguments: dict[str, dict[str, Any]] = {
        "timeout": {"timeout": 0.2},
        "permanent": {"target_states": ["x"]},
    }
    more = arguments.get(how, {})
    path, kwargs = app(sandbox, plan, checkpoint=CARRIED, **more).serialize()
    ended = asyncio.run(outcome(trigger_of(path, json.loads(json.dumps(kwargs)))))
    assert (ended["status"], json.loads(json.dumps(ended))["checkpoint"]) == (how, CARRIED)


def test_an_event_carries_nothing_that_was_not_given(sandbox: Sandbox) -> None:
    assert "checkpoint" not in asyncio.run(outcome(action(sandbox)))
    assert asyncio.run(outcome(action(sandbox, checkpoint={})))["checkpoint"] == {}


# --- what a trigger hands over when it ends the task ----------------------------------------------

ends = pytest.mark.skipif(AIRFLOW < (3, 3), reason="no trigger before it may end a task")


def event_of(trigger: Any, ti: Any) -> Any:
    """Run a trigger that is given a task instance, as the triggerer does; return its event."""
    trigger._task_instance = ti

    async def run() -> Any:
        return [event async for event in trigger.run()]

    (event,) = asyncio.run(run())
    return event


@ends
def test_what_is_carried_is_no_xcom_of_a_task_that_the_trigger_ends(sandbox: Sandbox) -> None:
    pushed: dict[str, Any] = {}
    ti = task_instance(pushed.__setitem__)
    event = event_of(app(sandbox, checkpoint=CARRIED, end_task=True), ti)
    # Airflow stores what is in the event as text, and past a custom XCom backend.
    assert (type(event).__name__, event.xcoms) == ("TaskSuccessEvent", None)
    assert set(pushed) == {"return_value"}
    assert "checkpoint" not in pushed["return_value"]


@ends
def test_a_result_that_cannot_be_stored_is_left_to_a_worker(sandbox: Sandbox) -> None:
    def away(_key: str, _value: Any) -> None:
        raise OSError("no such bucket")

    trigger = app(sandbox, checkpoint=CARRIED, end_task=True)
    log = log_of(trigger)
    event = event_of(trigger, task_instance(away))
    assert (event.payload["status"], event.payload["checkpoint"]) == ("succeeded", CARRIED)
    assert [line for _, line in log.lines if "OSError: no such bucket" in line]


@ends
def test_a_slow_xcom_backend_holds_up_no_other_wait(sandbox: Sandbox) -> None:
    """It stores in another network, and the loop belongs to all triggers."""
    over = threading.Event()

    def slowly(_key: str, _value: Any) -> None:
        assert over.wait(20)

    slow, other = action(sandbox, end_task=True), flow(sandbox)
    slow._task_instance = task_instance(slowly)

    async def run() -> None:
        stored = asyncio.create_task(anext(slow.run()))
        assert (await outcome(other))["status"] == "succeeded"
        assert not stored.done()
        over.set()
        assert type(await stored).__name__ == "TaskSuccessEvent"

    asyncio.run(run())


@ends
@pytest.mark.parametrize("mapped", [True, False])
def test_a_started_task_that_others_are_mapped_over_is_ended_by_a_worker(
    sandbox: Sandbox, mapped: bool
) -> None:
    """Only the trigger can know: when the sensor was made, the tasks after it were not."""
    pushed: dict[str, Any] = {}
    ti = task_instance(pushed.__setitem__)
    ti.task = SimpleNamespace(
        get_dag=object, iter_mapped_dependants=lambda: iter(["a task"] if mapped else [])
    )
    event = event_of(action(sandbox, end_task=True), ti)
    assert type(event).__name__ == ("TriggerEvent" if mapped else "TaskSuccessEvent")
    assert ("return_value" in pushed) is not mapped


@pytest.mark.skipif(AIRFLOW < (3, 3), reason="its dag.test() alone may get such an event")
def test_dag_test_gets_an_event_with_the_result_in_it(sandbox: Sandbox) -> None:
    """There, the trigger gets no task instance, and an end by the trigger is unknown."""
    event = event_of(action(sandbox, end_task=True), None)
    assert event.payload["status"] == "succeeded"
    assert event.payload["result"]["state"] == "SUCCESS"


@pytest.mark.parametrize("bad", ["", "{{ x }}", "None", "a/b", None, 5.5], ids=repr)
@pytest.mark.parametrize("name", ["app_id", "action_id"])
def test_a_bad_id_ends_the_wait_before_anything_is_sent(
    sandbox: Sandbox, name: str, bad: object
) -> None:
    ids: dict[str, Any] = {"app_id": "a", "action_id": "b"} | {name: bad}
    ended = asyncio.run(outcome(DaoCloudActionTrigger(**ids)))
    assert ended["status"] == "permanent"
    assert ended["message"].startswith(f"{name}: ")
    assert not sandbox.counts
