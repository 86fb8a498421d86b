"""The shared poller, on a simulated clock and against the sandbox's contract in this process."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from airflow_provider_daocloud.api.errors import ServerFaultError
from airflow_provider_daocloud.api.models import BuildStatus
from airflow_provider_daocloud.api.protocol import Call
from airflow_provider_daocloud.sandbox.options import Options
from airflow_provider_daocloud.sandbox.world import World
from airflow_provider_daocloud.triggers.poller import Poller, Waiter
from airflow_provider_daocloud.waits import ActionWait, BuildFlowWait, Cadence, Outcome, Tracker
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


def test_a_lone_flow_is_asked_for_by_itself_and_many_by_their_list() -> None:
    """One build flow costs a call of its own; from two on, one call of the list serves all."""

    async def main() -> None:
        for count, call in ((1, "poller: get_build_flow"), (50, "poller: list_build_flows")):
            scene = Scene(pending_seconds=5, build_seconds=25)
            flows = [scene.world.add_build_flow(f"f{n}") for n in range(count)]
            for flow in flows:
                scene.world.start_build(flow.id)
            waits = [scene.wait(wait) for wait in success(*flows)]
            assert {o.kind for o in await asyncio.gather(*waits)} == {"succeeded"}
            assert set(scene.calls) == {call}
            assert scene.calls[call] <= 20

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


def test_what_hints_had_spared_is_asked_when_there_are_no_hints_any_more() -> None:
    """A wait whose next look was put off to its deadline does not sleep until then."""

    async def main() -> None:
        scene = Scene(action_seconds=10)
        apps = [scene.world.add_app(f"a{n}") for n in range(4)]
        waits = [ActionWait(a.id, scene.world.operate(a.id, "restart").id) for a in apps]
        began = scene.clock()
        tasks = [asyncio.create_task(scene.wait(wait, seconds=25)) for wait in waits]
        await asyncio.sleep(5)
        tasks[0].cancel()
        assert (await tasks[3]).kind == "succeeded"
        assert scene.clock() - began < 15
        await asyncio.wait(tasks)

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
