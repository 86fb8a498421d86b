"""How actions and builds move, and each undocumented assumption made false. On a still clock."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_daocloud.sandbox import ActionPlan, BuildPlan, Options, World
from tests.contract.conftest import InProcess


def app(world: InProcess, name: str = "web") -> dict[str, Any]:
    return json.loads(world.call("GET", f"/v1/apps/{world.world.app(name).id}").body)


def entry(world: InProcess, name: str = "web") -> dict[str, Any]:
    apps = json.loads(world.call("GET", "/v1/apps").body)["app"]
    return next(app for app in apps if app["name"] == name)


def flow(world: InProcess) -> dict[str, Any]:
    return json.loads(world.call("GET", "/v1/build-flows").body)["build_flows"][0]


def post(world: InProcess, action: str, release_name: str | None = None, name: str = "web") -> str:
    body = json.dumps({"release_name": release_name}).encode() if release_name else b""
    answer = world.call("POST", f"/v1/apps/{world.world.app(name).id}/actions/{action}", body)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)["action_id"]


def action(world: InProcess, action_id: str, name: str = "web") -> dict[str, Any] | None:
    answer = world.call("GET", f"/v1/apps/{world.world.app(name).id}/actions/{action_id}")
    return json.loads(answer.body) if answer.status == 200 else None


def state(world: InProcess, action_id: str) -> str:
    seen = action(world, action_id)
    assert seen is not None
    return seen["state"]


def post_to_stack(world: InProcess, action: str) -> str:
    answer = world.call("POST", f"/v1/stacks/{world.world.stack('shop').id}/actions/{action}")
    assert answer.status == 200, answer.body
    return json.loads(answer.body)["action_id"]


def stack(world: InProcess) -> dict[str, Any]:
    return json.loads(world.call("GET", "/v1/stacks").body)["stacks"][0]


def stack_action(world: InProcess, action_id: str) -> dict[str, Any] | None:
    path = f"/v1/stacks/{world.world.stack('shop').id}/actions/{action_id}"
    answer = world.call("GET", path)
    return json.loads(answer.body) if answer.status == 200 else None


def stack_state(world: InProcess, action_id: str) -> str:
    seen = stack_action(world, action_id)
    assert seen is not None
    return seen["state"]


def order(world: InProcess, branch: str = "master") -> dict[str, Any]:
    path = f"/v1/build-flows/{world.world.build_flow('flow').id}/builds"
    answer = world.call("POST", path, json.dumps({"branch": branch}).encode())
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def build(world: InProcess, build_id: int) -> dict[str, Any] | None:
    path = f"/v1/build-flows/{world.world.build_flow('flow').id}/builds/{build_id}"
    answer = world.call("GET", path)
    return json.loads(answer.body) if answer.status == 200 else None


def build_status(world: InProcess, build_id: int) -> str:
    seen = build(world, build_id)
    assert seen is not None
    return seen["status"]


# Actions


@pytest.mark.parametrize(
    ("before", "verb", "passing", "after"),
    [
        ("STOPPED", "start", "STARTING", "RUNNING"),
        ("SLEEPING", "start", "STARTING", "RUNNING"),
        ("RUNNING", "stop", "STOPPING", "STOPPED"),
        ("NOT_RUNNING", "restart", "STARTING", "RUNNING"),
        ("RUNNING", "redeploy", "RESTAGING", "RUNNING"),
    ],
)
def test_states_of_an_app_during_an_action(
    before: str, verb: str, passing: str, after: str
) -> None:
    """An app passes through a transitional state and arrives at the action's own."""
    it = InProcess(action_seconds=10)
    it.world.change_app("web", state=before)
    started = post(it, verb, "v2" if verb == "redeploy" else None)
    assert app(it)["state"] == passing
    it.clock.now += 9
    assert (app(it)["state"], state(it, started)) == (passing, "IN_PROCESS")
    it.clock.now += 1
    assert (app(it)["state"], state(it, started)) == (after, "SUCCESS")


def test_redeploy_changes_release_and_package_at_its_end() -> None:
    """The new release, and the package of that release, show when the redeploy has succeeded."""
    it = InProcess(action_seconds=10)
    before = app(it)
    post(it, "redeploy", "v2")
    during = app(it)
    assert (during["release_name"], during["package"]) == ("v1", before["package"])
    it.clock.now += 10
    after = app(it)
    assert after["release_name"] == "v2"
    assert after["package"]["image"] == before["package"]["image"]
    assert after["package"]["id"] != before["package"]["id"]
    # Back to the first release is back to its package.
    post(it, "redeploy", "v1")
    it.clock.now += 10
    assert app(it)["package"] == before["package"]


def test_dates_are_when_it_happened_and_not_when_it_was_observed() -> None:
    """An action that ended an hour before the first poll has its own end date."""
    it = InProcess(action_seconds=10)
    started = post(it, "stop")
    it.clock.now += 3600
    seen = action(it, started)
    assert seen is not None
    assert seen["time_cost_seconds"] == 10


def test_failed_action_leaves_the_app_as_it_was() -> None:
    """A failed redeploy or stop changes nothing; after a failed restart the app is down."""
    it = InProcess(action_seconds=10)
    for verb, after in (("redeploy", "RUNNING"), ("stop", "RUNNING"), ("restart", "NOT_RUNNING")):
        it.world.plan(ActionPlan(state="FAILED", message="no such image"))
        started = post(it, verb, "v2" if verb == "redeploy" else None)
        it.clock.now += 10
        seen = action(it, started)
        assert seen is not None
        assert (seen["state"], seen["error_info"]["message"]) == ("FAILED", "no such image")
        assert (app(it)["state"], app(it)["release_name"]) == (after, "v1")


def test_speed_divides_durations() -> None:
    """At speed 10 an action of 100 seconds takes 10."""
    it = InProcess(action_seconds=100, speed=10)
    started = post(it, "stop")
    it.clock.now += 9.9
    assert state(it, started) == "IN_PROCESS"
    it.clock.now += 0.2
    assert state(it, started) == "SUCCESS"


def test_actions_by_hand() -> None:
    """Without a duration an action ends by hand, once."""
    it = InProcess(action_seconds=None)
    started = post(it, "stop")
    it.clock.now += 10**6
    assert state(it, started) == "IN_PROCESS"
    it.world.finish_action(started)
    assert (state(it, started), app(it)["state"]) == ("SUCCESS", "STOPPED")
    with pytest.raises(ValueError, match="ended already"):
        it.world.finish_action(started, "FAILED")
    assert it.world.timeline.next_due() is None


def test_actions_by_polls() -> None:
    """With polls for a clock, an action is IN_PROCESS so many times and then ended."""
    it = InProcess(action_polls=2)
    started = post(it, "stop")
    it.clock.now += 10**6
    assert [state(it, started) for _ in range(4)] == [
        "IN_PROCESS",
        "IN_PROCESS",
        "SUCCESS",
        "SUCCESS",
    ]


def test_plans_are_used_in_order_for_what_they_match() -> None:
    """A plan is for its app and action only, for so many times, the first that matches."""
    it = InProcess(action_seconds=10)
    it.world.add_app("other")
    it.world.plan(ActionPlan(state="FAILED", message="planned", app_id="other", action="stop"))
    it.world.plan(ActionPlan(seconds=1, app_id="other", times=None))
    posted = [("web", post(it, "stop"))]
    for _ in range(3):
        posted.append(("other", post(it, "stop", name="other")))
        it.clock.now += 10
    seen = [action(it, action_id, name) for name, action_id in posted]
    assert [
        a and (a["state"], a["error_info"]["message"], a["time_cost_seconds"]) for a in seen
    ] == [
        ("SUCCESS", None, 10),
        ("FAILED", "planned", 10),
        ("SUCCESS", None, 1),
        ("SUCCESS", None, 1),
    ]


def test_action_spread_is_within_its_bounds() -> None:
    """Durations at random stay between the duration and the spread added to it, and differ."""
    it = InProcess(action_seconds=10, action_spread=5)
    for number in range(20):
        it.world.add_app(f"app-{number}")
    lengths = [it.world.operate(f"app-{number}", "stop").seconds for number in range(20)]
    assert all(length is not None and 10 <= length <= 15 for length in lengths)
    assert len(set(lengths)) == 20


# Assumption: when `last_operated_at` moves, and how fine it is


@pytest.mark.parametrize(
    ("moment", "moved_at"),
    [("accepted", 0), ("started", 5), ("ended", 15), ("never", None)],
)
def test_when_last_operated_at_moves(moment: str, moved_at: int | None) -> None:
    """The field moves at the acceptance, the start or the end of an action, or not at all."""
    it = InProcess(last_operated_at=moment, begin_after=5, action_seconds=10)
    before = app(it)["last_operated_at"]
    began = it.clock.now
    post(it, "stop")
    seen = []
    for second in range(20):
        it.clock.now = began + second
        seen.append(app(it)["last_operated_at"] != before)
    assert seen.index(True) == moved_at if moved_at is not None else not any(seen)


def test_last_operated_at_can_be_late() -> None:
    """With a delay the field moves later, to the moment that it should have shown before."""
    it = InProcess(last_operated_at_delay=60)
    prompt = InProcess()
    before = app(it)["last_operated_at"]
    for world in (it, prompt):
        post(world, "stop")
    it.clock.now += 59
    assert app(it)["last_operated_at"] == before
    it.clock.now += 1
    assert app(it)["last_operated_at"] == app(prompt)["last_operated_at"]


def test_last_operated_at_can_be_coarse() -> None:
    """Cut to minutes, two actions within a minute have the same date."""
    it = InProcess(last_operated_at_granularity=60, action_seconds=1)
    it.clock.now = it.clock.now // 60 * 60
    post(it, "stop")
    first = app(it)["last_operated_at"]
    assert first.endswith(":00+00:00")
    it.clock.now += 30
    post(it, "start")
    assert app(it)["last_operated_at"] == first
    it.clock.now += 30
    post(it, "stop")
    assert app(it)["last_operated_at"] != first


# Assumption: an app's list entry changes when its action ends


def test_list_is_live_by_default() -> None:
    """The entry is the app, at every moment."""
    it = InProcess(action_seconds=10)
    post(it, "stop")
    assert entry(it)["state"] == app(it)["state"] == "STOPPING"
    it.clock.now += 10
    assert entry(it)["state"] == app(it)["state"] == "STOPPED"


def test_list_can_lag() -> None:
    """With a lag of 30 s the entry is the app of 30 seconds ago, state by state."""
    it = InProcess(action_seconds=10, app_list_lag=30)
    post(it, "stop")
    states = []
    for _ in range(6):
        states.append((app(it)["state"], entry(it)["state"]))
        it.clock.now += 10
    assert states == [
        ("STOPPING", "RUNNING"),
        ("STOPPED", "RUNNING"),
        ("STOPPED", "RUNNING"),
        ("STOPPED", "STOPPING"),
        ("STOPPED", "STOPPED"),
        ("STOPPED", "STOPPED"),
    ]


def test_list_can_be_frozen_and_thawed() -> None:
    """A frozen list never shows an action; back to live it shows the app as it is."""
    it = InProcess(action_seconds=10)
    it.world.set_options(app_list="frozen")
    before = entry(it)
    post(it, "redeploy", "v2")
    it.clock.now += 10
    assert entry(it) == before
    it.world.set_options(app_list="live")
    assert entry(it)["release_name"] == "v2"


def test_app_can_hide_its_transition() -> None:
    """Without transitional states an app looks at rest until its action has ended."""
    it = InProcess(action_seconds=10, transitional_states=False)
    post(it, "stop")
    assert app(it)["state"] == "RUNNING"
    it.clock.now += 10
    assert app(it)["state"] == "STOPPED"


# Assumption: what happens to an action on a busy app


def test_busy_app_can_refuse() -> None:
    """Refused: a client error, no effect, and the app takes the next action when it is free."""
    it = InProcess(busy="refuse", action_seconds=10)
    post(it, "stop")
    path = f"/v1/apps/{it.world.app('web').id}/actions/start"
    refused = it.call("POST", path)
    assert refused.status == 409
    assert json.loads(refused.body).keys() == {"error_id", "message"}
    assert len(it.world.actions) == 1
    it.clock.now += 10
    assert it.call("POST", path).status == 200


def test_busy_app_can_queue() -> None:
    """Queued: the second begins when the first has ended."""
    it = InProcess(busy="queue", action_seconds=10)
    first, second = post(it, "stop"), post(it, "start")
    it.clock.now += 10
    assert (state(it, first), state(it, second)) == ("SUCCESS", "IN_PROCESS")
    assert app(it)["state"] == "STARTING"
    it.clock.now += 10
    assert (state(it, second), app(it)["state"]) == ("SUCCESS", "RUNNING")


def test_busy_app_can_run_both() -> None:
    """Both at once: they end together, and the one that ended last decides."""
    it = InProcess(busy="both", action_seconds=10)
    first, second = post(it, "redeploy", "v2"), post(it, "stop")
    it.clock.now += 10
    assert (state(it, first), state(it, second)) == ("SUCCESS", "SUCCESS")
    assert (app(it)["state"], app(it)["release_name"]) == ("STOPPED", "v2")


# Assumption: how soon an action can be read


def test_action_can_be_unreadable_at_first() -> None:
    """With a lag an action answers 404 at first; it runs all the same."""
    it = InProcess(action_lag=5, action_seconds=3)
    started = post(it, "stop")
    it.clock.now += 4
    assert action(it, started) is None
    it.clock.now += 1
    assert state(it, started) == "SUCCESS"


def test_action_can_begin_late() -> None:
    """An accepted action may wait before it begins; the app is at rest until then."""
    it = InProcess(begin_after=5, action_seconds=10)
    started = post(it, "stop")
    assert (state(it, started), app(it)["state"]) == ("IN_PROCESS", "RUNNING")
    it.clock.now += 5
    assert app(it)["state"] == "STOPPING"
    it.clock.now += 10
    seen = action(it, started)
    assert seen is not None
    assert seen["time_cost_seconds"] == 10


# Builds, and the assumption about `package_id`


def test_build_moves_with_time() -> None:
    """Pending, Started, its outcome; the flow shows it, and success gives a new package."""
    it = InProcess(pending_seconds=2, build_seconds=10)
    before = flow(it)["package_id"]
    it.world.start_build("flow")
    seen = []
    for _ in range(4):
        seen.append((flow(it)["status"], flow(it)["package_id"] == before))
        it.clock.now += 4
    assert seen == [("Pending", True), ("Started", True), ("Started", True), ("Success", False)]


@pytest.mark.parametrize("outcome", ["Failure", "Error", "Cancelled", "Timeout"])
def test_build_that_does_not_succeed(outcome: str) -> None:
    """A build can end in each of the page's states; the package stays."""
    it = InProcess()
    before = flow(it)["package_id"]
    it.world.start_build("flow", BuildPlan(outcome=outcome, pending_seconds=0, seconds=1))
    it.clock.now += 1
    assert (flow(it)["status"], flow(it)["package_id"]) == (outcome, before)


def test_flow_shows_its_latest_build() -> None:
    """An older build that ends later changes the package, but not the status."""
    it = InProcess()
    before = flow(it)["package_id"]
    older = it.world.start_build("flow", BuildPlan(by_hand=True))
    it.world.start_build("flow", BuildPlan(by_hand=True))
    it.world.finish_build("flow", "Failure")
    assert flow(it)["status"] == "Failure"
    it.world.finish_build("flow", "Success", older.id)
    assert flow(it)["status"] == "Failure"
    assert flow(it)["package_id"] != before


def test_build_later() -> None:
    """A build can begin by itself; until then the flow says what it said yesterday."""
    it = InProcess(pending_seconds=1, build_seconds=1)
    before = flow(it)["package_id"]
    it.world.build_flows.start_later("flow", 60)
    it.clock.now += 59
    assert (flow(it)["status"], flow(it)["package_id"]) == ("Success", before)
    it.clock.now += 1
    assert flow(it)["status"] == "Pending"
    it.clock.now += 2
    assert flow(it)["status"] == "Success"
    assert flow(it)["package_id"] != before


def test_build_by_polls() -> None:
    """With polls for a clock a build moves with each poll of its flow."""
    it = InProcess()
    it.world.start_build("flow", BuildPlan(outcome="Failure", polls=2))
    assert [flow(it)["status"] for _ in range(4)] == ["Pending", "Started", "Failure", "Failure"]


@pytest.mark.parametrize(
    ("moves", "after_success", "after_failure"),
    [("success", True, False), ("never", False, False), ("every_build", True, True)],
)
def test_when_package_id_moves(moves: str, after_success: bool, after_failure: bool) -> None:
    """``package_id`` can change with each success, with every build, or never."""
    it = InProcess(package_id_moves=moves)
    for status, changes in (("Success", after_success), ("Failure", after_failure)):
        before = flow(it)["package_id"]
        it.world.start_build("flow", BuildPlan(by_hand=True))
        it.world.finish_build("flow", status)
        assert (flow(it)["package_id"] != before) is changes


# Builds that a client starts


def test_ordered_build_moves_with_time() -> None:
    """A build that a POST started is Pending, Started, ended; its flow shows the same."""
    it = InProcess(pending_seconds=2, build_seconds=10)
    build_id = order(it, "develop")["id"]
    seen = []
    for _ in range(4):
        seen.append(build_status(it, build_id))
        assert flow(it)["status"] == seen[-1]
        it.clock.now += 4
    assert seen == ["Pending", "Started", "Started", "Success"]


def test_build_plans_are_used_in_order_for_what_they_match() -> None:
    """A plan is for its flow only, for so many builds that clients start, with their own branch."""
    it = InProcess(build_seconds=1, pending_seconds=0)
    it.world.add_build_flow("other")
    it.world.plan_build(BuildPlan(outcome="Error", build_flow_id="other"))
    it.world.plan_build(BuildPlan(outcome="Failure", tag="planned", times=2))
    it.world.start_build("flow")  # by somebody else: no plan is used up
    made = [order(it, "develop")["id"] for _ in range(3)]
    it.clock.now += 1
    seen = [build(it, build_id) for build_id in made]
    assert [b and (b["status"], b["tag"], b["ref"]) for b in seen[:2]] == [
        ("Failure", "planned", "develop"),
        ("Failure", "planned", "develop"),
    ]
    assert build_status(it, made[2]) == "Success"
    assert len(it.world.build_flows.plans) == 1


def test_a_refused_build_uses_up_no_plan() -> None:
    """A plan waits for a build that is started."""
    it = InProcess()
    it.world.plan_build(BuildPlan())
    answer = it.call("POST", "/v1/build-flows/nobody/builds", b'{"branch": "master"}')
    assert answer.status == 404
    assert len(it.world.build_flows.plans) == 1


def test_builds_of_a_flow_run_beside_each_other() -> None:
    """Two builds both run to their own ends; the flow shows the latest."""
    it = InProcess()
    it.world.plan_build(BuildPlan(by_hand=True, times=None))
    older, newer = order(it)["id"], order(it)["id"]
    it.world.finish_build("flow", "Failure", older)
    assert (build_status(it, older), build_status(it, newer)) == ("Failure", "Pending")
    assert flow(it)["status"] == "Pending"
    it.world.finish_build("flow", "Success", newer)
    assert (build_status(it, older), build_status(it, newer)) == ("Failure", "Success")
    assert flow(it)["status"] == "Success"


def test_ordered_build_by_polls() -> None:
    """With polls for a clock a build moves with each poll of it, and of no other build."""
    it = InProcess()
    it.world.plan_build(BuildPlan(outcome="Failure", polls=2, times=2))
    one, other = order(it)["id"], order(it)["id"]
    assert [build_status(it, one) for _ in range(4)] == ["Pending", "Started", *["Failure"] * 2]
    assert build_status(it, other) == "Pending"


def test_build_can_be_unreadable_at_first() -> None:
    """With a lag a build answers 404 at first; its flow shows it all the same."""
    it = InProcess(action_lag=5)
    build_id = order(it)["id"]
    it.clock.now += 4
    assert build(it, build_id) is None
    assert flow(it)["status"] == "Started"
    it.clock.now += 1
    assert build_status(it, build_id) == "Started"


# Stacks: the actions of apps, without a state to show


def test_stack_action_moves_with_time() -> None:
    """A stack's action ends after its time, and the stack says when it was operated on."""
    it = InProcess(action_seconds=10)
    before = stack(it)
    started = post_to_stack(it, "stop")
    assert stack_state(it, started) == "in_process"
    it.clock.now += 10
    assert stack_state(it, started) == "success"
    after = stack(it)
    assert after["last_operated_at"] > before["last_operated_at"]
    assert after == {**before, "last_operated_at": after["last_operated_at"]}


def test_stack_action_by_hand_and_by_polls() -> None:
    """A stack's action can be ended by hand, or by polls of it."""
    it = InProcess(action_seconds=None)
    started = post_to_stack(it, "stop")
    it.world.finish_action(started, "FAILED", "no such image")
    seen = stack_action(it, started)
    assert seen is not None
    assert (seen["state"], seen["error_info"]) == ("failed", {"message": "no such image"})
    it.world.set_options(action_polls=1)
    started = post_to_stack(it, "start")
    assert [stack_state(it, started) for _ in range(2)] == ["in_process", "success"]


def test_plans_tell_apps_from_stacks() -> None:
    """A plan for an app is not used up by a stack, nor the other way round."""
    it = InProcess(action_seconds=10)
    it.world.plan(ActionPlan(seconds=1, app_id="web"))
    it.world.plan(ActionPlan(state="FAILED", seconds=2, stack_id="shop"))
    it.world.plan(ActionPlan(seconds=3))
    of_stack, of_app, next_of_app = post_to_stack(it, "stop"), post(it, "stop"), post(it, "start")
    lengths = [it.world.actions[action_id].seconds for action_id in (of_stack, of_app, next_of_app)]
    assert lengths == [2, 1, 3]
    it.clock.now += 2
    assert (stack_state(it, of_stack), state(it, of_app)) == ("failed", "SUCCESS")


@pytest.mark.parametrize(
    ("busy", "ended"),
    [("queue", ("success", "in_process")), ("both", ("success", "success"))],
)
def test_busy_stack(busy: str, ended: tuple[str, str]) -> None:
    """A second action on a stack waits for the first one, or runs beside it."""
    it = InProcess(busy=busy, action_seconds=10)
    first, second = post_to_stack(it, "stop"), post_to_stack(it, "start")
    it.clock.now += 10
    assert (stack_state(it, first), stack_state(it, second)) == ended
    it.clock.now += 10
    assert stack_state(it, second) == "success"


def test_busy_stack_can_refuse() -> None:
    """Or it is refused, while an app is not touched by that."""
    it = InProcess(busy="refuse", action_seconds=10)
    post_to_stack(it, "stop")
    path = f"/v1/stacks/{it.world.stack('shop').id}/actions/start"
    assert it.call("POST", path).status == 409
    assert len(it.world.actions) == 1
    post(it, "stop")
    it.clock.now += 10
    assert it.call("POST", path).status == 200


def test_stack_action_can_be_unreadable_at_first() -> None:
    """The lag of actions is that of a stack's too."""
    it = InProcess(action_lag=5, action_seconds=3)
    started = post_to_stack(it, "stop")
    assert stack_action(it, started) is None
    it.clock.now += 5
    assert stack_state(it, started) == "success"


@pytest.mark.parametrize(
    ("moment", "moved_at"),
    [("accepted", 0), ("started", 5), ("ended", 15), ("never", None)],
)
def test_when_last_operated_at_of_a_stack_moves(moment: str, moved_at: int | None) -> None:
    """It moves when an app's would."""
    it = InProcess(last_operated_at=moment, begin_after=5, action_seconds=10)
    before = stack(it)["last_operated_at"]
    began = it.clock.now
    post_to_stack(it, "stop")
    seen = []
    for second in range(20):
        it.clock.now = began + second
        seen.append(stack(it)["last_operated_at"] != before)
    assert seen.index(True) == moved_at if moved_at is not None else not any(seen)


# How states are written


def test_states_in_other_spellings() -> None:
    """States come in any letter case and in other words, everywhere they are shown."""
    it = InProcess(action_seconds=10, state_case="lower")
    it.world.set_options(state_words={"Cancelled": "Canceled", "STOPPED": "asleep for good"})
    started = post(it, "stop")
    assert (state(it, started), app(it)["state"]) == ("in_process", "stopping")
    it.clock.now += 10
    assert (state(it, started), app(it)["state"]) == ("success", "asleep for good")
    assert entry(it)["state"] == "asleep for good"
    it.world.start_build("flow", BuildPlan(by_hand=True))
    it.world.finish_build("flow", "Cancelled")
    assert flow(it)["status"] == "canceled"
    it.world.set_options(state_case="page")
    assert flow(it)["status"] == "Canceled"


# Others, and determinism


def test_somebody_else_operates() -> None:
    """An action by somebody else is like any other, and differs in who asked."""
    it = InProcess(action_seconds=10)
    theirs = it.world.operate("web", "redeploy", "v9", by="a person")
    ours = post(it, "redeploy", "v2")
    it.clock.now += 10
    assert app(it)["release_name"] == "v9"
    it.clock.now += 10
    assert app(it)["release_name"] == "v2"
    assert it.service.effects == {"redeploy_app": 1}
    assert {a.id: a.by for a in it.world.actions.values()} == {theirs.id: "a person", ours: "main"}


def test_crash() -> None:
    """A crashed app is NOT_RUNNING, and nothing else about it has changed."""
    it = InProcess()
    before = app(it)
    it.world.crash_app("web")
    assert app(it) == {**before, "state": "NOT_RUNNING"}


def test_seed_makes_runs_equal() -> None:
    """Two worlds with the same seed and clock give the same answers to the same calls."""

    def run() -> list[bytes]:
        it = InProcess(action_seconds=10, action_spread=5)
        it.world.start_build("flow")
        web = it.world.app("web").id
        answers = [it.call("POST", f"/v1/apps/{web}/actions/stop").body]
        it.clock.now += 12
        return [*answers, it.call("GET", "/v1/apps").body, it.call("GET", "/v1/build-flows").body]

    assert run() == run()


def test_without_a_seed_ids_are_new() -> None:
    """Two worlds without a seed have no id in common."""
    assert World().add_stack("shop").id != World().add_stack("shop").id


# Bad settings


@pytest.mark.parametrize(
    "bad",
    [
        {"speed": 0},
        {"speed": -1},
        {"speed": float("nan")},
        {"speed": float("inf")},
        {"speed": "fast"},
        {"speed": True},
        {"rate_limit": 1.5},
        {"rate_window": 0},
        {"busy": "sometimes"},
        {"busy_status": 200},
        {"last_operated_at": "later"},
        {"state_words": {"SUCCESS": 1}},
        {"transitional_states": "yes"},
    ],
)
def test_bad_option(bad: dict[str, Any]) -> None:
    """A setting that makes no sense is refused by name."""
    with pytest.raises(ValueError, match=next(iter(bad))):
        Options(**bad)


def test_unknown_option() -> None:
    """A misspelt setting is refused by name, and nothing has changed."""
    it = InProcess()
    with pytest.raises(ValueError, match="sped"):
        it.world.set_options(sped=2, rate_limit=1)
    assert it.world.options.rate_limit == 5000


@pytest.mark.parametrize(
    "bad",
    [{"state": "DONE"}, {"action": "delete"}, {"times": 0}, {"seconds": -1}, {"polls": 0.5}],
)
def test_bad_plan(bad: dict[str, Any]) -> None:
    """A plan that makes no sense is refused by the field's name."""
    with pytest.raises(ValueError, match=next(iter(bad))):
        ActionPlan(**bad)


@pytest.mark.parametrize(
    "bad", [{"outcome": "Pending"}, {"times": 0}, {"seconds": -1}, {"branch": 5}]
)
def test_bad_build_plan(bad: dict[str, Any]) -> None:
    """So is a build's."""
    with pytest.raises(ValueError, match=next(iter(bad))):
        BuildPlan(**bad)


@pytest.mark.parametrize("bad", [{"stack_ids": "one"}, {"stack_ids": [1]}, {"created_at": "now"}])
def test_bad_stack(bad: dict[str, Any]) -> None:
    """So is a stack."""
    with pytest.raises(ValueError, match=next(iter(bad))):
        World().add_stack("shop", **bad)
