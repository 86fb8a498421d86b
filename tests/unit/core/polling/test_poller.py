"""The shared poller, on a simulated clock and against the sandbox's contract in this process."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_daocloud.api.budget import Budget
from airflow_provider_daocloud.api.errors import RateLimitedError, ServerFaultError
from airflow_provider_daocloud.api.openapi.apps import App, AppState
from airflow_provider_daocloud.api.openapi.builds import BuildStatus
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.core.polling.poller import Poller
from airflow_provider_daocloud.core.polling.subscription import Subscription
from airflow_provider_daocloud.core.waiting.backoff import Backoff
from airflow_provider_daocloud.core.waiting.tracker import Tracker
from airflow_provider_daocloud.core.waiting.wait import Outcome
from airflow_provider_daocloud.resources.openapi.app import ActionWait, AppWait
from airflow_provider_daocloud.resources.openapi.build_flow import BuildFlowWait, BuildWait
from airflow_provider_daocloud.resources.openapi.stack import StackActionWait
from airflow_provider_daocloud.resources.registry import strategy_of
from airflow_provider_daocloud.sandbox.objects import BuildPlan
from airflow_provider_daocloud.sandbox.options import Options
from airflow_provider_daocloud.sandbox.world import World
from tests.support.simulated_hour import TOKEN, WorldClient, simulate


class Scene:
    """A world, a poller and the waits that are added to it."""

    def __init__(self, **options: Any) -> None:
        self.clock = asyncio.get_running_loop().time
        self.world = World(clock=self.clock, seed=1, options=Options(**options))
        self.world.add_account(TOKEN)
        self.calls: Counter[str] = Counter()
        client: Any = WorldClient(self.world, "poller", self.calls)
        self.client = client
        self.poller = Poller(self.client, strategy_of=strategy_of, clock=self.clock)

    def subscription(self, wait: Any, seconds: float) -> Subscription:
        tracker = Tracker(wait, started_at=self.clock(), max_outage=600)
        return Subscription(tracker, Backoff(10.0), seconds)

    async def wait(self, wait: Any, seconds: float = 3600.0) -> Outcome:
        subscription = self.subscription(wait, seconds)
        self.poller.add(subscription)
        try:
            while subscription.outcome is None:
                await subscription.news.wait()
                subscription.news.clear()
        finally:
            await self.poller.remove(subscription)
        return subscription.outcome


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


def building_unseen(scene: Scene, count: int) -> list[Any]:
    """Return the same, where the list leaves a field out, as later revisions of the API do."""
    send = scene.client.send

    async def leaves_out(api_request: Request[Any]) -> Any:
        response = await send(api_request)
        if api_request.name != "list_build_flows":
            return response
        return tuple({k: v for k, v in item.items() if k != "src_origin_url"} for item in response)

    scene.client.send = leaves_out
    return building(scene, count)


LISTED: dict[str, tuple[Prepare, str, str]] = {
    "build flows": (building, "poller: list_build_flows", "poller: get_build_flow"),
    "build flows in part": (building_unseen, "poller: list_build_flows", "poller: get_build_flow"),
    "apps": (redeploying, "poller: list_apps", "poller: get_app"),
}
# Those that are asked for themselves before their waits end.
record = pytest.mark.parametrize("kind", list(LISTED)[1:])


@pytest.mark.parametrize("kind", LISTED)
def test_a_lone_thing_is_asked_for_by_itself_and_many_by_their_list(kind: str) -> None:
    """One costs a call of its own; from two on, one call of the list serves all, however many."""
    prepare, lists, alone = LISTED[kind]

    async def main() -> None:
        observations = []
        for count in (1, 2, 50):
            scene = Scene(pending_seconds=5, build_seconds=25, action_seconds=30)
            waits = [scene.wait(wait) for wait in prepare(scene, count)]
            outcomes = await asyncio.gather(*waits)
            assert {o.status for o in outcomes} == {"succeeded"}
            if kind != "apps":
                assert all((o.result or {})["src_origin_url"] for o in outcomes)
            if count == 1:
                assert set(scene.calls) == {alone}
                continue
            # Where the list is not enough, what it shows to have ended is asked for itself, once.
            assert scene.calls[alone] == (0 if kind == "build flows" else count)
            assert scene.calls[lists] <= 20
            observations.append(scene.calls[lists])
        assert max(observations) - min(observations) <= 3

    simulate(main())


@record
def test_waits_for_one_thing_share_its_own_call_too(kind: str) -> None:
    """When the list shows the end, one request for the resource serves all that wait for it."""
    prepare, lists, alone = LISTED[kind]

    async def main() -> None:
        scene = Scene(pending_seconds=5, build_seconds=25, action_seconds=30)
        first, second = prepare(scene, 2)
        waits = [scene.wait(wait) for wait in [first] * 20 + [second] * 20]
        assert {o.status for o in await asyncio.gather(*waits)} == {"succeeded"}
        assert scene.calls[lists]
        assert scene.calls[alone] == 2

    simulate(main())


@record
def test_the_list_alone_ends_no_wait(kind: str) -> None:
    """A list that runs ahead is not trusted: the resource's own request is what counts."""
    prepare, lists, alone = LISTED[kind]

    async def main() -> None:
        scene = Scene(pending_seconds=5, build_seconds=95, action_seconds=100)
        waits = prepare(scene, 3)
        send, began, ahead = scene.client.send, scene.clock(), Counter[str]()

        async def runs_ahead(api_request: Request[Any]) -> Any:
            response = await send(api_request)
            if api_request.name not in lists:
                return response
            ahead[api_request.name] += 1
            ended = {"status": "Success", "state": "RUNNING", "release_name": "v2"}
            return tuple({**item, **ended} for item in response)

        scene.client.send = runs_ahead
        outcomes = await asyncio.gather(*(scene.wait(wait) for wait in waits))
        assert {o.status for o in outcomes} == {"succeeded"}
        assert scene.clock() - began >= 100
        # As long as they disagree, each list costs a request for each resource, and no more.
        assert scene.calls[alone] <= 3 * sum(ahead.values()) + 3

    simulate(main())


@record
def test_faults_of_a_things_own_call_are_survived(kind: str) -> None:
    """The list shows the end, and the resource itself cannot be read at first."""
    prepare, _, alone = LISTED[kind]

    async def main() -> None:
        scene = Scene(pending_seconds=5, build_seconds=25, action_seconds=30)
        waits = prepare(scene, 3)
        send, faults = scene.client.send, Counter[str]()

        async def fails_at_first(api_request: Request[Any]) -> Any:
            if api_request.name in alone and faults[api_request.path] < 2:
                faults[api_request.path] += 1
                raise ServerFaultError(str(api_request), "down.", status=503)
            return await send(api_request)

        scene.client.send = fails_at_first
        outcomes = await asyncio.gather(*(scene.wait(wait) for wait in waits))
        assert {o.status for o in outcomes} == {"succeeded"}
        assert set(faults.values()) == {2}

    simulate(main())


@record
def test_what_ends_just_before_the_deadline_is_asked_for_itself_then(kind: str) -> None:
    """The list shows the end at the final poll, and a request for the resource follows it."""
    prepare, lists, alone = LISTED[kind]

    async def main() -> None:
        scene = Scene(pending_seconds=0, build_seconds=99, action_seconds=99)
        waits = [scene.wait(wait, seconds=99.5) for wait in prepare(scene, 2)]
        assert {o.status for o in await asyncio.gather(*waits)} == {"succeeded"}
        assert scene.calls[alone] == 2
        assert scene.calls[lists] <= 30

    simulate(main())


def test_a_list_that_never_changes_costs_time_and_no_result() -> None:
    """At the deadline each app is read by itself: a final poll does not use a stale list."""

    async def main() -> None:
        scene = Scene(app_list="frozen", action_seconds=30)
        apps = [scene.world.add_app(f"a{n}", release_name="v1") for n in range(20)]
        for app in apps:
            scene.world.operate(app.id, "redeploy", "v2")
        waits = [scene.wait(AppWait(app.id, release_name="v2"), seconds=300) for app in apps]
        assert {o.status for o in await asyncio.gather(*waits)} == {"succeeded"}
        assert scene.calls["poller: get_app"] == 20

    simulate(main())


def test_builds_and_actions_on_stacks_are_asked_for_at_the_pace_of_the_limit() -> None:
    """They have no list: each is asked for, all are seen to end, and no call is refused."""

    async def main() -> None:
        scene = Scene(pending_seconds=60, build_seconds=240, action_seconds=300)
        waits: list[Any] = []
        for n in range(200):
            flow, stack = scene.world.add_build_flow(f"f{n}"), scene.world.add_stack(f"s{n}")
            waits.append(BuildWait(flow.id, scene.world.start_build(flow.id).id))
            action = scene.world.operate_stack(stack.id, "restart")
            waits.append(StackActionWait(stack.id, action.id))
        began = scene.clock()
        outcomes = await asyncio.gather(*(scene.wait(wait) for wait in waits))
        assert {o.status for o in outcomes} == {"succeeded"}
        assert set(scene.calls) == {"poller: get_build", "poller: get_stack_action"}
        # 400 waits at 10 s would ask for 40 calls a second; the limit is 1.39 of them.
        assert sum(scene.calls.values()) <= 2000
        assert scene.clock() - began <= 900

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
        kinds = [outcome.status for outcome in await asyncio.gather(*waits)]
        assert kinds == ["succeeded", "succeeded", "failed", "timeout"]

    simulate(main())


@pytest.mark.parametrize("end", ["Success", "Failure"])
def test_what_the_list_leaves_out_is_asked_for_once_at_the_end(end: str) -> None:
    """A flow has the same fields in the result, whichever call showed its end."""

    async def main() -> None:
        scene = Scene(pending_seconds=5, build_seconds=25, build_flow_fields="later")
        flows = [scene.world.add_build_flow(f"f{n}", status="Pending") for n in range(5)]
        for flow in flows:
            scene.world.start_build(flow.id, BuildPlan(outcome=end))
        outcomes = await asyncio.gather(*(scene.wait(wait) for wait in success(*flows)))
        for flow, outcome in zip(flows, outcomes, strict=True):
            assert outcome.result is not None
            assert outcome.result["status"] == end
            assert outcome.result["src_origin_url"] == flow.src_origin_url
        assert scene.calls["poller: get_build_flow"] == 5
        assert scene.calls["poller: list_build_flows"] <= 20

    simulate(main())


@pytest.mark.parametrize("seconds", [80, 99])
def test_what_the_list_leaves_out_is_asked_for_when_the_time_is_up(seconds: int) -> None:
    """A build that ends shortly before the deadline has its whole result, though that comes late.

    Meanwhile nobody storms.
    """

    async def main() -> None:
        scene = Scene(pending_seconds=0, build_seconds=seconds, build_flow_fields="later")
        first, second = (scene.world.add_build_flow(f"f{n}", status="Pending") for n in range(2))
        scene.world.start_build(first.id)
        scene.world.start_build(second.id, BuildPlan(by_hand=True))
        send = scene.client.send

        async def slow(api_request: Request[Any]) -> Any:
            if api_request.name == "get_build_flow":
                await asyncio.sleep(30)
            return await send(api_request)

        scene.client.send = slow
        of_first, of_second = success(first, second)
        other = asyncio.create_task(scene.wait(of_second))
        outcome = await scene.wait(of_first, seconds=99.5)
        assert outcome.result is not None
        assert outcome.result["src_origin_url"] == first.src_origin_url
        assert scene.calls["poller: get_build_flow"] == 1
        assert scene.calls["poller: list_build_flows"] <= 40
        other.cancel()
        await asyncio.wait([other])

    simulate(main())


def test_a_flow_that_has_not_ended_by_its_own_call_is_waited_for() -> None:
    """Where list and flow differ, the wait is pending until the flow's own request shows the end.

    A fault of its own call is no end either.
    """

    async def main() -> None:
        scene = Scene(pending_seconds=0, build_seconds=60, build_flow_fields="later")
        flows = [scene.world.add_build_flow(f"f{n}", status="Pending") for n in range(2)]
        for flow in flows:
            scene.world.start_build(flow.id)
        send, ends_at = scene.client.send, scene.clock() + 60
        fails = [flow.id for flow in flows]

        async def ahead(api_request: Request[Any]) -> Any:
            response = await send(api_request)
            if api_request.name == "list_build_flows":
                return tuple({**flow, "status": "Success"} for flow in response)
            if scene.clock() > ends_at and fails:
                fails.pop()
                raise ServerFaultError(str(api_request), "down.", status=503)
            return response

        scene.client.send = ahead
        outcomes = await asyncio.gather(*(scene.wait(wait) for wait in success(*flows)))
        assert [o.status for o in outcomes] == ["succeeded", "succeeded"]
        assert scene.clock() > ends_at
        # Each is asked again with each list that shows its end.
        record = scene.calls["poller: get_build_flow"]
        assert 2 < record <= 2 * scene.calls["poller: list_build_flows"] + 2

    simulate(main())


def test_rubbish_among_the_items_of_a_list_harms_nobody() -> None:
    """An entry whose id is no id does not stop the waits for the others."""

    async def main() -> None:
        scene = Scene(pending_seconds=1, build_seconds=5)
        flows = [scene.world.add_build_flow(f"f{n}") for n in range(2)]
        for flow in flows:
            scene.world.start_build(flow.id)
        send = scene.client.send

        async def rubbish(api_request: Request[Any]) -> Any:
            response = await send(api_request)
            return (
                ({"id": ["a", "list"]}, {}, *response)
                if api_request.name == "list_build_flows"
                else response
            )

        scene.client.send = rubbish
        outcomes = await asyncio.gather(*(scene.wait(wait) for wait in success(*flows)))
        assert [o.status for o in outcomes] == ["succeeded", "succeeded"]

    simulate(main())


def test_an_observation_that_breaks_ends_only_its_own_wait() -> None:
    """A fault of our own in one observation leaves the other waits to succeed."""

    async def main() -> None:
        scene = Scene(action_seconds=5)
        apps = [scene.world.add_app(f"a{n}") for n in range(2)]
        actions = [scene.world.operate(app.id, "restart") for app in apps]
        broken, whole = (
            ActionWait(app.id, action.id) for app, action in zip(apps, actions, strict=True)
        )
        send = scene.client.send

        async def breaks(api_request: Request[Any]) -> Any:
            if api_request.path == broken.request().path:
                raise RuntimeError("a bug")
            return await send(api_request)

        scene.client.send = breaks
        first, second = await asyncio.gather(scene.wait(broken), scene.wait(whole))
        assert (first.status, second.status) == ("unreachable", "succeeded")
        assert "a bug" in first.message

    simulate(main())


def test_a_list_that_breaks_ends_the_waits_for_what_it_lists_and_no_others() -> None:
    async def main() -> None:
        scene = Scene(action_seconds=5)
        waits = building(scene, 2)
        other = acting(scene, 1)[0]
        send = scene.client.send

        async def breaks(api_request: Request[Any]) -> Any:
            if api_request.name == "list_build_flows":
                raise RuntimeError("a bug")
            return await send(api_request)

        scene.client.send = breaks
        *broken, whole = await asyncio.gather(*(scene.wait(wait) for wait in [*waits, other]))
        assert [outcome.status for outcome in broken] == ["unreachable", "unreachable"]
        assert all("a bug" in outcome.message for outcome in broken)
        assert whole.status == "succeeded"

    simulate(main())


def test_an_item_that_breaks_ends_only_its_own_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        scene = Scene()
        first, second, third = building(scene, 3)
        judge = BuildFlowWait.judge

        def breaks(self: BuildFlowWait, seen: Any, wait_state: Any) -> Any:
            if self.build_flow_id == second.build_flow_id:
                raise RuntimeError("a bug")
            return judge(self, seen, wait_state)

        monkeypatch.setattr(BuildFlowWait, "judge", breaks)
        outcomes = await asyncio.gather(*(scene.wait(wait) for wait in (first, second, third)))
        statuses = [outcome.status for outcome in outcomes]
        assert statuses == ["succeeded", "unreachable", "succeeded"]
        assert "a bug" in outcomes[1].message

    simulate(main())


def test_hints_that_break_only_stay_away() -> None:
    async def main() -> None:
        scene = Scene(action_seconds=5)
        waits = acting(scene, 6)
        send = scene.client.send

        async def breaks(api_request: Request[Any]) -> Any:
            if api_request.name == "list_apps":
                raise RuntimeError("a bug")
            return await send(api_request)

        scene.client.send = breaks
        outcomes = await asyncio.gather(*(scene.wait(wait) for wait in waits))
        assert {outcome.status for outcome in outcomes} == {"succeeded"}

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
        assert [o.status for o in outcomes[1:] if isinstance(o, Outcome)] == ["succeeded"] * 4
        assert len(scene.poller) == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    simulate(main())


def test_what_hints_had_spared_is_asked_when_there_are_no_hints_any_more() -> None:
    """A wait whose next poll was put off to its deadline does not sleep until then."""

    async def main() -> None:
        scene = Scene(action_seconds=10)
        apps = [scene.world.add_app(f"a{n}") for n in range(4)]
        waits = [ActionWait(a.id, scene.world.operate(a.id, "restart").id) for a in apps]
        began = scene.clock()
        tasks = [asyncio.create_task(scene.wait(wait, seconds=25)) for wait in waits]
        await asyncio.sleep(5)
        tasks[0].cancel()
        assert (await tasks[3]).status == "succeeded"
        assert scene.clock() - began < 15
        await asyncio.wait(tasks)

    simulate(main())


def test_the_final_poll_is_made_when_the_time_is_up() -> None:
    """An action that ends just before the deadline is seen, though no poll was due by then."""

    async def main() -> None:
        scene = Scene(action_seconds=99)
        app = scene.world.add_app("a")
        wait = ActionWait(app.id, scene.world.operate(app.id, "restart").id)
        assert (await scene.wait(wait, seconds=99.5)).status == "succeeded"
        wait = ActionWait(app.id, scene.world.operate(app.id, "restart").id)
        assert (await scene.wait(wait, seconds=50.0)).status == "timeout"

    simulate(main())


def test_an_outage_ends_with_its_budget_however_long_the_server_asks_to_wait() -> None:
    """A 503 with a Retry-After of an hour does not make a wait of ten minutes' outage longer."""

    async def main() -> None:
        scene = Scene()
        app = scene.world.add_app("a")
        wait = ActionWait(app.id, scene.world.operate(app.id, "restart").id)

        async def down(api_request: Request[Any]) -> Any:
            raise ServerFaultError(
                str(api_request), "down.", status=503, retry_at=scene.clock() + 3600
            )

        scene.client.send = down
        began = scene.clock()
        assert (await scene.wait(wait, seconds=7200)).status == "unreachable"
        assert 590 <= scene.clock() - began <= 660

    simulate(main())


# --- refused by a limit --------------------------------------------------------------------------


def acting(scene: Scene, count: int) -> list[Any]:
    """Return the waits for actions that have just begun, each on an app of its own."""
    apps = [scene.world.add_app(f"a{n}") for n in range(count)]
    return [ActionWait(app.id, scene.world.operate(app.id, "restart").id) for app in apps]


def building_each(scene: Scene, count: int) -> list[Any]:
    """Return the waits for builds that have just begun, by their own ids."""
    flows = [scene.world.add_build_flow(f"f{n}") for n in range(count)]
    return [BuildWait(flow.id, scene.world.start_build(flow.id).id) for flow in flows]


ALL_KINDS = [acting, building, building_unseen, redeploying, building_each]
each_kind = pytest.mark.parametrize("prepare", ALL_KINDS, ids=lambda prepare: prepare.__name__)
SECONDS = {"pending_seconds": 0, "build_seconds": 3, "action_seconds": 3}


def refuse(
    scene: Scene, retry_after: float | None, times: float, after: float = 0.0, status: int = 429
) -> list[float]:
    """Let calls be refused from some seconds after now on; return when that was."""
    send, refused, began = scene.client.send, list[float](), scene.clock()

    async def limited(api_request: Request[Any]) -> Any:
        if len(refused) < times and scene.clock() >= began + after:
            refused.append(scene.clock())
            retry_at = None if retry_after is None else scene.clock() + retry_after
            raise RateLimitedError(str(api_request), "too many.", status=status, retry_at=retry_at)
        return await send(api_request)

    scene.client.send = limited
    return refused


@each_kind
@pytest.mark.parametrize("count", [1, 5])
def test_one_429_without_retry_after_pauses_as_a_503_does(prepare: Prepare, count: int) -> None:
    """Thousands of calls are left, so that it says nothing of the hour."""

    async def main() -> None:
        scene = Scene(**SECONDS)
        waits, began = prepare(scene, count), scene.clock()
        refused = refuse(scene, retry_after=None, times=1, after=1)
        outcomes = await asyncio.gather(*(scene.wait(wait, seconds=20) for wait in waits))
        assert [o.status for o in outcomes] == ["succeeded"] * count
        assert len(refused) == 1
        assert scene.clock() - began < 15

    simulate(main())


@each_kind
@pytest.mark.parametrize("count", [1, 5])
def test_the_final_poll_is_made_whatever_the_budget_says(prepare: Prepare, count: int) -> None:
    """The first requests are refused for an hour. At the deadline each wait sees its end."""

    async def main() -> None:
        scene = Scene(**SECONDS)
        waits, began = prepare(scene, count), scene.clock()
        refuse(scene, retry_after=3600, times=1, after=1)
        # One after another: a wait that comes later can have a deadline that is sooner.
        tasks = [
            asyncio.create_task(scene.wait(wait, seconds=40 - n)) for n, wait in enumerate(waits)
        ]
        outcomes = await asyncio.gather(*tasks)
        assert [o.status for o in outcomes] == ["succeeded"] * count
        assert scene.clock() - began < 45

    simulate(main())


@each_kind
def test_a_final_poll_that_is_refused_ends_as_a_time_out(prepare: Prepare) -> None:
    """The hour is spent, and its reset is far away: one call for each group of waits, in time."""

    async def main() -> None:
        scene = Scene(**SECONDS)
        waits, began = prepare(scene, 5), scene.clock()
        refused = refuse(scene, retry_after=3000, times=float("inf"), after=1, status=403)
        outcomes = await asyncio.gather(*(scene.wait(wait, seconds=20) for wait in waits))
        assert [o.status for o in outcomes] == ["timeout"] * 5
        assert all("too many" in o.message for o in outcomes)
        assert 20 <= scene.clock() - began < 22
        at_the_end = [at for at in refused if at >= began + 20]
        assert len(at_the_end) == (5 if prepare in (acting, building_each) else 1)
        assert len(refused) - len(at_the_end) <= 2  # one for each of the two that may be under way

    simulate(main())


def test_refusals_without_retry_after_are_asked_ever_more_seldom() -> None:
    """However many waits there are: a gateway's own limit is not stormed."""

    async def main() -> None:
        scene = Scene()
        waits = acting(scene, 50)
        refused = refuse(scene, retry_after=None, times=float("inf"), after=1)
        outcomes = await asyncio.gather(*(scene.wait(wait, seconds=600) for wait in waits))
        assert {o.status for o in outcomes} == {"timeout"}
        ended = max(refused)
        before_the_end = [at for at in refused if at < ended - 60]
        assert len(before_the_end) < 30

    simulate(main())


def test_a_list_that_does_not_change_ends_the_waits_whose_time_is_up() -> None:
    async def main() -> None:
        scene = Scene(pending_seconds=0, build_seconds=5000)
        waits = [scene.wait(wait, seconds=100) for wait in building(scene, 5)]
        began = scene.clock()
        assert {o.status for o in await asyncio.gather(*waits)} == {"timeout"}
        assert 100 <= scene.clock() - began < 102

    simulate(main())


def test_a_fault_of_the_queue_ends_all_waits_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """None is left hanging: a task that is woken by this tries again."""

    async def main() -> None:
        scene = Scene(pending_seconds=0, build_seconds=5000)
        tasks = [asyncio.create_task(scene.wait(wait)) for wait in building(scene, 3)]
        await asyncio.sleep(5)
        assert not any(task.done() for task in tasks)
        monkeypatch.setattr(Budget, "wait", broken)
        outcomes = await asyncio.wait_for(asyncio.gather(*tasks), 60)
        assert {outcome.status for outcome in outcomes} == {"unreachable"}
        assert all("no budget any more" in outcome.message for outcome in outcomes)

    def broken(*_args: Any, **_kwargs: Any) -> float:
        raise RuntimeError("no budget any more")

    simulate(main())


def test_only_what_is_new_about_a_wait_is_news() -> None:
    """A first fault, its end, and another state: whoever logs is woken for these alone."""

    def is_news(subscription: Subscription) -> bool:
        news = subscription.news.is_set()
        subscription.news.clear()
        return news

    async def main() -> None:
        scene = Scene()
        app = scene.world.add_app("a")
        subscription = scene.subscription(AppWait(app.id, release_name="v9"), 3600)
        error = ServerFaultError("GET /apps", "unwell", status=503)
        running, stopped = (App.parse({"id": app.id, "state": s}) for s in ("running", "stopped"))
        seen = []
        for what in (running, running, error, error, running, running, stopped):
            if isinstance(what, App):
                subscription.take(what, scene.clock())
            else:
                subscription.miss(what, scene.clock())
            seen.append(is_news(subscription))
        assert seen == [True, False, True, False, True, False, True]

    simulate(main())


def test_each_outage_is_counted_once() -> None:
    async def main() -> None:
        scene = Scene(pending_seconds=0, build_seconds=5000)
        counts: Counter[str] = Counter()

        class Metrics:
            def gauge(self, name: str, value: float) -> None: ...

            def count(self, name: str) -> None:
                counts[name] += 1

        scene.poller.metrics = Metrics()
        send = scene.client.send

        async def down_twice(request: Request[Any]) -> Any:
            if 100 <= scene.clock() - began < 200 or 300 <= scene.clock() - began < 400:
                raise ServerFaultError(str(request), "unwell", status=503)
            return await send(request)

        began = scene.clock()
        scene.client.send = down_twice
        waits = [scene.wait(wait, seconds=600) for wait in building(scene, 3)]
        await asyncio.gather(*waits)
        assert counts["outages"] == 2
        assert counts["polls"] > 20

    simulate(main())
