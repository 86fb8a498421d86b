"""The shared poller, on a simulated clock and against the sandbox's contract in this process."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_daocloud.api.errors import ServerFaultError
from airflow_provider_daocloud.api.models import AppState, BuildStatus
from airflow_provider_daocloud.api.protocol import Call
from airflow_provider_daocloud.sandbox.options import Options
from airflow_provider_daocloud.sandbox.world import World
from airflow_provider_daocloud.triggers.poller import Poller, Waiter
from airflow_provider_daocloud.waits import (
    ActionWait,
    AppWait,
    BuildFlowWait,
    Cadence,
    Outcome,
    Tracker,
)
from benchmarks.simulated_hour import TOKEN, WorldClient, simulate


class Scene:
    """A world, a poller and the waits that are added to it."""

    def __init__(self, **options: Any) -> None:
        self.clock = asyncio.get_running_loop().time
        self.world = World(clock=self.clock, seed=1, options=Options(**options))
        self.world.add_account(TOKEN)
        self.calls: Counter[str] = Counter()
        client: Any = WorldClient(self.world, "poller", self.calls)
        self.client = client
        self.poller = Poller(self.client, clock=self.clock)

    def waiter(self, wait: Any, seconds: float) -> Waiter:
        tracker = Tracker(wait, started=self.clock(), max_outage=600)
        return Waiter(tracker, Cadence(10.0), seconds)

    async def wait(self, wait: Any, seconds: float = 3600.0) -> Outcome:
        waiter = self.waiter(wait, seconds)
        self.poller.add(waiter)
        try:
            while waiter.outcome is None:
                await waiter.news.wait()
                waiter.news.clear()
        finally:
            await self.poller.remove(waiter)
        return waiter.outcome


def success(*flows: Any) -> list[BuildFlowWait]:
    return [BuildFlowWait(flow.id, (BuildStatus.SUCCESS,)) for flow in flows]


Prepare = Callable[[Scene, int], list[Any]]


def building(scene: Scene, count: int) -> list[Any]:
    """Return the waits for builds that have just begun."""
    flows = [scene.world.add_build_flow(f"f{n}", status="Failure") for n in range(count)]
    for flow in flows:
        scene.world.start_build(flow.id)
    return [*success(*flows)]


def redeploying(scene: Scene, count: int) -> list[Any]:
    """Return the waits for the new releases of apps that are being redeployed."""
    apps = [scene.world.add_app(f"a{n}", release_name="v1") for n in range(count)]
    for app in apps:
        scene.world.operate(app.id, "redeploy", "v2")
    return [AppWait(app.id, release_name="v2") for app in apps]


LISTED: dict[str, tuple[Prepare, str, str]] = {
    "build flows": (building, "poller: list_build_flows", "poller: get_build_flow"),
    "apps": (redeploying, "poller: list_apps", "poller: get_app"),
}
listed = pytest.mark.parametrize("kind", LISTED)


@listed
def test_a_lone_thing_is_asked_for_by_itself_and_many_by_their_list(kind: str) -> None:
    """One costs a call of its own; from two on, one call of the list serves all, however many."""
    prepare, lists, alone = LISTED[kind]

    async def main() -> None:
        looks = []
        for count in (1, 2, 50):
            scene = Scene(pending_seconds=5, build_seconds=25, action_seconds=30)
            waits = [scene.wait(wait) for wait in prepare(scene, count)]
            assert {o.kind for o in await asyncio.gather(*waits)} == {"succeeded"}
            assert set(scene.calls) == ({alone} if count == 1 else {lists, alone})
            if count > 1:
                # What the list shows to have ended is asked for itself, once.
                assert scene.calls[alone] == count
                looks.append(scene.calls[lists])
            assert sum(scene.calls.values()) - count <= 20
        assert max(looks) - min(looks) <= 3

    simulate(main())


@listed
def test_waits_for_one_thing_share_its_own_call_too(kind: str) -> None:
    """When the list shows the end, one call for the thing serves all that wait for it."""
    prepare, lists, alone = LISTED[kind]

    async def main() -> None:
        scene = Scene(pending_seconds=5, build_seconds=25, action_seconds=30)
        first, second = prepare(scene, 2)
        waits = [scene.wait(wait) for wait in [first] * 20 + [second] * 20]
        assert {o.kind for o in await asyncio.gather(*waits)} == {"succeeded"}
        assert scene.calls[lists]
        assert scene.calls[alone] == 2

    simulate(main())


@listed
def test_the_list_alone_ends_no_wait(kind: str) -> None:
    """A list that runs ahead is not taken at its word: the thing's own call is what counts."""
    prepare, lists, alone = LISTED[kind]

    async def main() -> None:
        scene = Scene(pending_seconds=5, build_seconds=95, action_seconds=100)
        waits = prepare(scene, 3)
        send, began, ahead = scene.client.send, scene.clock(), Counter[str]()

        async def runs_ahead(call: Call[Any]) -> Any:
            answer = await send(call)
            if call.name not in lists:
                return answer
            ahead[call.name] += 1
            ended = {"status": "Success", "state": "RUNNING", "release_name": "v2"}
            return tuple({**item, **ended} for item in answer)

        scene.client.send = runs_ahead
        outcomes = await asyncio.gather(*(scene.wait(wait) for wait in waits))
        assert {o.kind for o in outcomes} == {"succeeded"}
        assert scene.clock() - began >= 100
        # As long as they disagree, each look at the list costs a look at each thing, and no more.
        assert scene.calls[alone] <= 3 * sum(ahead.values()) + 3

    simulate(main())


@listed
def test_faults_of_a_things_own_call_are_survived(kind: str) -> None:
    """The list shows the end, and the thing itself cannot be read at first."""
    prepare, _, alone = LISTED[kind]

    async def main() -> None:
        scene = Scene(pending_seconds=5, build_seconds=25, action_seconds=30)
        waits = prepare(scene, 3)
        send, faults = scene.client.send, Counter[str]()

        async def fails_at_first(call: Call[Any]) -> Any:
            if call.name in alone and faults[call.path] < 2:
                faults[call.path] += 1
                raise ServerFaultError(str(call), "down.", status=503)
            return await send(call)

        scene.client.send = fails_at_first
        outcomes = await asyncio.gather(*(scene.wait(wait) for wait in waits))
        assert {o.kind for o in outcomes} == {"succeeded"}
        assert set(faults.values()) == {2}

    simulate(main())


def test_a_list_that_never_changes_costs_time_and_no_result() -> None:
    """At the deadline each app is asked for itself: a last look is not one at a stale list."""

    async def main() -> None:
        scene = Scene(app_list="frozen", action_seconds=30)
        apps = [scene.world.add_app(f"a{n}", release_name="v1") for n in range(20)]
        for app in apps:
            scene.world.operate(app.id, "redeploy", "v2")
        waits = [scene.wait(AppWait(app.id, release_name="v2"), seconds=300) for app in apps]
        assert {o.kind for o in await asyncio.gather(*waits)} == {"succeeded"}
        assert scene.calls["poller: get_app"] == 20

    simulate(main())


def test_waits_for_one_app_may_differ_in_what_they_wait_for() -> None:
    """One ends when the app stops, one when it runs again, one when it must not stop."""

    async def main() -> None:
        scene = Scene(action_seconds=60)
        app, other = (scene.world.add_app(name) for name in ("a", "b"))
        scene.world.operate(app.id, "stop")
        waits = [
            asyncio.create_task(scene.wait(wait, seconds=600))
            for wait in (
                AppWait(app.id, (AppState.STOPPED,)),
                AppWait(app.id, (AppState.RUNNING,), release_name="v2"),
                AppWait(app.id, (AppState.RUNNING,), fail_states=(AppState.STOPPED,)),
                AppWait(other.id, (AppState.SLEEPING,)),
            )
        ]
        await asyncio.sleep(120)
        assert [wait.done() for wait in waits] == [True, False, True, False]
        scene.world.operate(app.id, "redeploy", "v2")
        kinds = [outcome.kind for outcome in await asyncio.gather(*waits)]
        assert kinds == ["succeeded", "succeeded", "failed", "timeout"]

    simulate(main())


def test_rubbish_among_the_items_of_a_list_harms_nobody() -> None:
    """An entry whose id is no id does not stop the waits for the others."""

    async def main() -> None:
        scene = Scene(pending_seconds=1, build_seconds=5)
        flows = [scene.world.add_build_flow(f"f{n}") for n in range(2)]
        for flow in flows:
            scene.world.start_build(flow.id)
        send = scene.client.send

        async def rubbish(call: Call[Any]) -> Any:
            answer = await send(call)
            return (
                ({"id": ["a", "list"]}, {}, *answer) if call.name == "list_build_flows" else answer
            )

        scene.client.send = rubbish
        outcomes = await asyncio.gather(*(scene.wait(wait) for wait in success(*flows)))
        assert [o.kind for o in outcomes] == ["succeeded", "succeeded"]

    simulate(main())


def test_a_look_that_breaks_ends_its_own_wait_alone() -> None:
    """A fault of our own in one look leaves the other waits to succeed."""

    async def main() -> None:
        scene = Scene(action_seconds=5)
        apps = [scene.world.add_app(f"a{n}") for n in range(2)]
        actions = [scene.world.operate(app.id, "restart") for app in apps]
        broken, whole = (
            ActionWait(app.id, action.id) for app, action in zip(apps, actions, strict=True)
        )
        send = scene.client.send

        async def breaks(call: Call[Any]) -> Any:
            if call.path == broken.call().path:
                raise RuntimeError("a bug")
            return await send(call)

        scene.client.send = breaks
        first, second = await asyncio.gather(scene.wait(broken), scene.wait(whole))
        assert (first.kind, second.kind) == ("unknown", "succeeded")
        assert "a bug" in first.message

    simulate(main())


def test_a_wait_that_is_cancelled_disturbs_no_other() -> None:
    """The others go on, and the poller is gone with the last of them."""

    async def main() -> None:
        scene = Scene(action_seconds=30)
        apps = [scene.world.add_app(f"a{n}") for n in range(5)]
        waits = [ActionWait(a.id, scene.world.operate(a.id, "restart").id) for a in apps]
        tasks = [asyncio.create_task(scene.wait(wait)) for wait in waits]
        await asyncio.sleep(5)
        tasks[0].cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(outcomes[0], asyncio.CancelledError)
        assert [o.kind for o in outcomes[1:] if isinstance(o, Outcome)] == ["succeeded"] * 4
        assert len(scene.poller) == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    simulate(main())


def test_the_last_look_is_taken_when_the_time_is_up() -> None:
    """An action that ends just before the deadline is seen, though no look was due by then."""

    async def main() -> None:
        scene = Scene(action_seconds=99)
        app = scene.world.add_app("a")
        wait = ActionWait(app.id, scene.world.operate(app.id, "restart").id)
        assert (await scene.wait(wait, seconds=99.5)).kind == "succeeded"
        wait = ActionWait(app.id, scene.world.operate(app.id, "restart").id)
        assert (await scene.wait(wait, seconds=50.0)).kind == "timeout"

    simulate(main())


def test_an_outage_ends_with_its_budget_however_long_the_server_asks_to_wait() -> None:
    """A 503 with a Retry-After of an hour does not make a wait of ten minutes' outage longer."""

    async def main() -> None:
        scene = Scene()
        app = scene.world.add_app("a")
        wait = ActionWait(app.id, scene.world.operate(app.id, "restart").id)

        async def down(call: Call[Any]) -> Any:
            raise ServerFaultError(str(call), "down.", status=503, retry_at=scene.clock() + 3600)

        scene.client.send = down
        began = scene.clock()
        assert (await scene.wait(wait, seconds=7200)).kind == "unknown"
        assert 590 <= scene.clock() - began <= 660

    simulate(main())
