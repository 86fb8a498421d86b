"""Verifying, another attempt, and rollback: more than one action, crashes included."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from airflow_provider_daocloud.api.errors import InputError, OutcomeUnknownError
from airflow_provider_daocloud.core.submission.plan import Progress
from airflow_provider_daocloud.exceptions import (
    DaoCloudActionFailedError,
    DaoCloudAppStateError,
    DaoCloudRolledBackError,
)
from airflow_provider_daocloud.operators.daocloud import (
    DaoCloudAppActionOperator,
    DaoCloudRedeployOperator,
)
from airflow_provider_daocloud.operators.execution import Checkpoint
from airflow_provider_daocloud.sandbox.objects import ActionPlan
from airflow_provider_daocloud.sandbox.options import Options
from tests.support.simulation import Ending, Simulation

MODES = pytest.mark.parametrize("deferrable", [False, True], ids=["blocking", "deferrable"])


def released(sim: Simulation) -> list[str]:
    """Return the releases that were posted, in order."""
    return [str(posted.action.release_name) for posted in sim.posted]


def lie(sim: Simulation, times: int = 1) -> None:
    """Let the next actions succeed, and leave an app that does not run."""
    sim.world.plan(ActionPlan(leaves="NOT_RUNNING", times=times))


# --- verify -------------------------------------------------------------------------------------


@MODES
@pytest.mark.parametrize("action", ["start", "stop", "restart", "redeploy"])
def test_verified(action: str, deferrable: bool) -> None:
    """The result is the action's, as without it."""
    sim = Simulation(action, verify=True, deferrable=deferrable)
    ending = sim.to_the_end()
    assert ending.kind == "success", ending.error
    assert ending.result["action_id"] == sim.posted[0].action.id
    assert sim.store is not None
    assert sim.store.entry["phase"] == "finished"
    assert sim.store.entry["result"] == ending.result


@MODES
def test_a_success_that_the_app_does_not_show_is_none(deferrable: bool) -> None:
    sim = Simulation(verify=True, verify_timeout=60, deferrable=deferrable)
    lie(sim)
    ending = sim.to_the_end()
    assert type(ending.error) is DaoCloudAppStateError
    assert "The action succeeded, but" in str(ending.error)
    assert "NOT_RUNNING" in str(ending.error)
    assert sim.effects == 1


@MODES
def test_verifying_waits_for_an_app_that_takes_its_time(deferrable: bool) -> None:
    sim = Simulation(verify=True, verify_timeout=60, deferrable=deferrable)
    lie(sim)
    sim.on_posted = lambda _posted: sim.clock.later(
        30, lambda: sim.world.change_app(sim.app.id, state="RUNNING")
    )
    assert sim.to_the_end().kind == "success"
    assert sim.clock.time() > sim.invoked_at + 30


@MODES
def test_without_verify_success_is_success(deferrable: bool) -> None:
    sim = Simulation(deferrable=deferrable)
    lie(sim)
    assert sim.to_the_end().kind == "success"


@MODES
def test_a_process_that_dies_while_it_verifies_is_no_second_action(deferrable: bool) -> None:
    sim = Simulation(verify=True, verify_timeout=60, deferrable=deferrable)
    if deferrable:
        lie(sim)
        sim.on_posted = lambda _posted: sim.clock.later(
            30, lambda: sim.world.change_app(sim.app.id, state="RUNNING")
        )
        ending = sim.resume(sim.run())
        assert ending.kind == "deferred"  # it verifies, and its trigger is lost
    else:
        first = sim.run(crash="after get_action")
        assert first.kind == "Crash"
    assert sim.to_the_end().kind == "success"
    assert sim.effects == 1


def test_an_event_of_another_verification_is_not_taken() -> None:
    """A former try's trigger can wake this one: what it verified was another action."""
    sim = Simulation(verify=True, deferrable=True)
    waiting = sim.run()
    progress = Progress("verify", receipt="another", result={"action_id": "another"})
    checkpoint = asdict(Checkpoint(progress))
    event = {"status": "succeeded", "result": {"id": sim.app.id}, "checkpoint": checkpoint}
    again = sim.deliver(event)
    assert again.deferral is not None
    assert again.deferral.trigger.action_id == sim.posted[0].action.id
    assert waiting.deferral is not None
    ending = sim.resume(again)
    assert ending.result["action_id"] == sim.posted[0].action.id


def verification_that_fails(sim: Simulation) -> dict[str, Any]:
    """Return the event of a verification's trigger: the app did not come to run."""
    sim.world.plan(ActionPlan(leaves="NOT_RUNNING", times=1))
    return sim.event_of(sim.resume(sim.run()))


@pytest.mark.parametrize("ended", ["succeeded", "timeout"])
@pytest.mark.parametrize("more", [{}, {"max_attempts": 2}, {"rollback_on_failure": True}], ids=str)
def test_the_event_of_a_verification_before_a_clear_is_not_taken(
    more: dict[str, Any], ended: str
) -> None:
    """The old trigger can still fire: it says nothing of the action of the new invocation."""
    sim = Simulation(verify=True, verify_timeout=60, deferrable=True, **more)
    stale = verification_that_fails(sim)
    assert stale["status"] == "timeout"
    if ended == "succeeded":
        stale |= {"status": "succeeded", "result": {"id": sim.app.id}, "message": ""}
    sim.clear()
    assert sim.run().deferral is not None
    again = sim.deliver(stale)
    assert again.deferral is not None
    assert again.deferral.trigger.action_id == sim.posted[1].action.id
    ending = sim.resume(again)
    assert ending.kind == "success", ending.error
    assert ending.result["action_id"] == sim.posted[1].action.id
    assert released(sim) == ["v2", "v2"]


def test_the_event_of_the_attempt_before_is_not_taken() -> None:
    """Delivered once more, it must not count against the next attempt."""
    sim = Simulation(verify=True, verify_timeout=60, deferrable=True, max_attempts=2)
    failed = verification_that_fails(sim)
    assert sim.deliver(failed).deferral is not None
    assert released(sim) == ["v2", "v2"]
    again = sim.deliver(failed)
    assert again.deferral is not None
    assert sim.resume(again).kind == "success"
    assert released(sim) == ["v2", "v2"]


def test_an_action_that_a_cleared_task_reconnects_to_begins_anew() -> None:
    """A rollback to v1 is in progress, and the task is cleared to deploy just that release."""
    for crash in (None, "after accepted"):
        sim = Simulation(rollback_on_failure=True, deferrable=True)
        sim.plan("FAILED")
        assert sim.resume(sim.run()).deferral is not None
        assert released(sim) == ["v2", "v1"]
        sim.clear()
        sim.release_name = "v1"
        if crash is not None:
            assert sim.run(crash="before get_action", deferrable=False).kind == "Crash"
        ending = sim.to_the_end()
        assert ending.kind == "success", ending.error
        assert released(sim) == ["v2", "v1"]


def test_what_the_app_shows_already_is_verified_without_a_deferral() -> None:
    """Airflow may take a deferral that ends at once for a killed process: that costs a try."""
    sim = Simulation(verify=True, deferrable=True)
    ending = sim.resume(sim.run())
    assert ending.kind == "success", ending.error
    assert sim.effects == 1


def test_a_rollback_that_shows_already_is_over_without_a_deferral() -> None:
    sim = Simulation(rollback_on_failure=True, verify=True, deferrable=True)
    sim.plan("FAILED")
    rolling_back = sim.resume(sim.run())
    assert rolling_back.kind == "deferred"
    assert sim.resume(rolling_back).kind == "DaoCloudRolledBackError"
    assert released(sim) == ["v2", "v1"]


def unreadable_after_the_post(seconds: float, deferrable: bool) -> Simulation:
    """Return a release to be verified, whose app cannot be read for so long."""
    sim = Simulation(
        rollback_on_failure=True, verify=True, verify_timeout=60, deferrable=deferrable
    )
    sim.on_posted = lambda _posted: sim.fault(
        "status", status=503, call="get_app", times=None, seconds=seconds
    )
    return sim


@MODES
def test_an_app_that_cannot_be_read_has_not_failed(deferrable: bool) -> None:
    """The release may be fine: it is observed for as long as an outage may last."""
    sim = unreadable_after_the_post(200, deferrable)
    ending = sim.to_the_end()
    assert ending.kind == "success", ending.error
    assert released(sim) == ["v2"]


@MODES
def test_an_app_that_stays_unreadable_is_not_rolled_back(deferrable: bool) -> None:
    sim = unreadable_after_the_post(2000, deferrable)
    ending = sim.to_the_end()
    assert ending.kind == "OutageError"
    assert "The action succeeded" in str(ending.error)
    sim.service.faults.clear()
    assert sim.to_the_end().kind == "success"
    assert released(sim) == ["v2"]


@MODES
def test_a_state_that_nobody_knows_is_not_rolled_back(deferrable: bool) -> None:
    options = Options(state_words={"RUNNING": "live"})
    sim = Simulation(
        options=options,
        rollback_on_failure=True,
        verify=True,
        verify_timeout=60,
        deferrable=deferrable,
    )
    ending = sim.to_the_end()
    assert ending.kind == "OutageError"
    assert "this provider does not know its state (live with release v2)" in str(ending.error)
    assert released(sim) == ["v2"]


@MODES
@pytest.mark.parametrize("more", [{}, {"max_attempts": 2}, {"rollback_on_failure": True}], ids=str)
def test_what_somebody_else_has_deployed_since_is_left_alone(
    more: dict[str, Any], deferrable: bool
) -> None:
    sim = Simulation(verify=True, verify_timeout=60, deferrable=deferrable, **more)
    lie(sim)
    sim.on_posted = lambda _posted: sim.clock.later(30, lambda: sim.another("redeploy", "v3"))
    ending = sim.to_the_end()
    assert ending.kind == "AirflowFailException"  # no retry, which would deploy over it
    assert "runs release v3, which another client has deployed since" in str(ending.error)
    assert released(sim) == ["v2"]
    assert sim.world.view(sim.app).release_name == "v3"


# --- attempts -----------------------------------------------------------------------------------


@MODES
@pytest.mark.parametrize("how", ["FAILED", "not verified"])
@pytest.mark.parametrize("action", ["restart", "redeploy"])
def test_an_attempt_that_fails_is_followed_by_another(
    action: str, how: str, deferrable: bool
) -> None:
    sim = Simulation(action, verify=True, verify_timeout=20, max_attempts=2, deferrable=deferrable)
    sim.plan("FAILED") if how == "FAILED" else lie(sim)
    ending = sim.to_the_end()
    assert ending.kind == "success", ending.error
    assert sim.effects == 2
    assert ending.result["action_id"] == sim.posted[1].action.id


@MODES
def test_attempts_end(deferrable: bool) -> None:
    sim = Simulation(max_attempts=3, deferrable=deferrable)
    for _ in range(3):
        sim.plan("FAILED")
    ending = sim.to_the_end()
    assert type(ending.error) is DaoCloudActionFailedError
    assert sim.effects == 3


@pytest.mark.parametrize("crash", ["before finished", "after finished", "before restart_app"])
def test_a_process_that_dies_between_two_attempts(crash: str) -> None:
    """The next try makes the second attempt, and no third one."""
    sim = Simulation("restart", max_attempts=2)
    sim.plan("FAILED")
    # The first POST passes the point too: die at the second one.
    if crash == "before restart_app":
        first = sim.run(crash="after finished")
        assert first.kind == "Crash"
        sim.run(crash=crash)
    else:
        assert sim.run(crash=crash).kind == "Crash"
    ending = sim.to_the_end()
    assert ending.kind == "success", ending.error
    assert sim.effects == 2


def test_a_retry_of_the_task_has_all_its_attempts() -> None:
    sim = Simulation(max_attempts=2)
    for _ in range(3):
        sim.plan("FAILED")
    assert sim.to_the_end().kind == "DaoCloudActionFailedError"
    assert sim.to_the_end().kind == "success"
    assert sim.effects == 4


# --- rolling back -------------------------------------------------------------------------------


def assert_rolled_back(ending: Ending, sim: Simulation) -> None:
    assert type(ending.error) is DaoCloudRolledBackError, ending
    text = str(ending.error)
    assert "Release v2 failed: " in text
    assert "Rolled back: v1 runs again" in text
    assert sim.world.view(sim.app).release_name == "v1"
    assert sim.world.view(sim.app).state == "RUNNING"
    assert released(sim) == ["v2", "v1"]


@MODES
@pytest.mark.parametrize("how", ["FAILED", "not verified"])
def test_a_release_that_fails_is_rolled_back(how: str, deferrable: bool) -> None:
    sim = Simulation(
        rollback_on_failure=True, verify=True, verify_timeout=20, deferrable=deferrable
    )
    sim.plan("FAILED") if how == "FAILED" else lie(sim)
    ending = sim.to_the_end()
    assert_rolled_back(ending, sim)
    assert ("no such image" if how == "FAILED" else "NOT_RUNNING") in str(ending.error)
    assert sim.xcoms["previous_release_name"] == "v1"


@MODES
def test_it_rolls_back_after_the_last_attempt(deferrable: bool) -> None:
    sim = Simulation(rollback_on_failure=True, max_attempts=2, deferrable=deferrable)
    sim.plan("FAILED")
    sim.plan("FAILED")
    ending = sim.to_the_end()
    assert type(ending.error) is DaoCloudRolledBackError
    assert released(sim) == ["v2", "v2", "v1"]


@MODES
@pytest.mark.parametrize("how", ["FAILED", "not verified"])
def test_a_rollback_that_fails_tells_both_stories(how: str, deferrable: bool) -> None:
    sim = Simulation(
        rollback_on_failure=True, verify=True, verify_timeout=20, deferrable=deferrable
    )
    sim.plan("FAILED")
    sim.plan("FAILED") if how == "FAILED" else lie(sim)
    ending = sim.to_the_end()
    assert type(ending.error) is DaoCloudRolledBackError
    text = str(ending.error)
    assert "Release v2 failed: " in text
    assert "Rolling back to v1 failed too: " in text
    assert released(sim) == ["v2", "v1"]


@MODES
def test_a_rollback_of_which_nobody_knows_tells_of_the_release_too(deferrable: bool) -> None:
    sim = Simulation(rollback_on_failure=True, deferrable=deferrable)
    sim.plan("FAILED")  # v2 never came on, so that a rollback leaves no trace
    sim.fault("drop", call="POST", effect="after", skip=1)
    for _ in range(2):
        ending = sim.to_the_end()
        assert ending.kind == "OutcomeUnknownError"
        assert str(ending.error).startswith("Release v2 failed: ")
        assert " While rolling back: Cannot tell whether DaoCloud accepted the" in str(ending.error)
    assert released(sim) == ["v2", "v1"]


@MODES
def test_a_rollback_that_only_the_app_shows_is_reported_as_that(deferrable: bool) -> None:
    sim = Simulation(
        rollback_on_failure=True, verify=True, verify_timeout=20, deferrable=deferrable
    )
    lie(sim)
    sim.fault("drop", call="POST", effect="after", skip=1)
    ending = sim.to_the_end()
    assert_rolled_back(ending, sim)
    assert str(ending.error).endswith("Rolled back: v1 runs again (as its state shows).")


def test_a_redeploy_of_the_current_release_has_nothing_to_roll_back_to() -> None:
    sim = Simulation(release_name="v1", rollback_on_failure=True)
    sim.plan("FAILED")
    assert sim.to_the_end().kind == "DaoCloudActionFailedError"
    assert sim.effects == 1


def test_an_action_that_still_runs_is_not_rolled_back() -> None:
    sim = Simulation(rollback_on_failure=True, timeout=60)
    sim.world.plan(ActionPlan(by_hand=True))
    assert sim.to_the_end().kind == "DaoCloudWaitTimeoutError"
    assert released(sim) == ["v2"]


def test_with_skip_if_current_what_still_runs_is_left_alone() -> None:
    sim = Simulation(rollback_on_failure=True, skip_if_current=True)
    sim.plan("FAILED")
    ending = sim.to_the_end()
    assert type(ending.error) is DaoCloudRolledBackError
    assert "No rollback needed: v1 is still running" in str(ending.error)
    assert released(sim) == ["v2"]


CRASHES = [
    "after get_action",
    "before finished",
    "after finished",
    "before get_app",
    "before intended",
    "after intended",
    "before redeploy_app",
    "after redeploy_app",
    "before accepted",
    "after accepted",
]


@MODES
@pytest.mark.parametrize("point", CRASHES)
def test_a_process_that_dies_in_the_middle_of_a_rollback(point: str, deferrable: bool) -> None:
    """Whatever the point, the release is deployed once and rolled back once."""
    sim = Simulation(rollback_on_failure=True, deferrable=deferrable)
    lie(sim)  # v2 is on, and does not run: what the rollback does can be seen
    sim.arguments |= {"verify": True, "verify_timeout": 20}
    ending = crash_in_the_rollback(sim, point)
    if not (deferrable and point == "after get_action"):  # there, the triggerer observes
        assert ending.kind == "Crash"
        ending = sim.to_the_end()
    assert type(ending.error) is DaoCloudRolledBackError
    assert "Release v2 failed: " in str(ending.error)
    assert released(sim) == ["v2", "v1"]


def crash_in_the_rollback(sim: Simulation, point: str) -> Ending:
    """Run until the process dies at a point, once the release has failed."""
    pass_point, in_a_process = type(sim.points).__call__, True

    def call(points: Any, name: str) -> None:
        rolling = stored_failure(sim) or point == "before finished"
        points.crash = lambda passed, _: in_a_process and passed == point and bool(rolling)
        pass_point(points, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(sim.points), "__call__", call)
        ending = sim.run()
        while ending.deferral is not None:
            in_a_process = False  # the triggerer is another one, and lives
            event = sim.event_of(ending)
            in_a_process = True
            ending = sim.deliver(event)
    return ending


def stored_failure(sim: Simulation) -> str | None:
    """Return the failure that the journal tells of."""
    if sim.store is None or not sim.store.entries:
        return None
    failure: str | None = sim.store.entry["progress"]["failure_reason"]
    return failure


@MODES
@pytest.mark.parametrize("moved", ["another task", "this task"])
@pytest.mark.parametrize("point", CRASHES[CRASHES.index("after finished") :])
def test_a_clear_after_a_crash_in_a_rollback_deploys_nothing(
    point: str, moved: str, deferrable: bool
) -> None:
    """A retry is to roll back, a new invocation to deploy; which of them it is, nobody can tell."""
    sim = Simulation(rollback_on_failure=True, deferrable=deferrable)
    lie(sim)
    sim.arguments |= {"verify": True, "verify_timeout": 20}
    assert crash_in_the_rollback(sim, point).kind == "Crash"
    assert stored_failure(sim)
    before = released(sim)
    if moved == "another task":
        sim.clears += 1
    else:
        sim.clear(moves=False)
    ending = sim.to_the_end()
    assert isinstance(ending.error, OutcomeUnknownError)
    assert "Release v2 failed: " in str(ending.error)
    assert "Nobody can tell which" in str(ending.error)
    assert released(sim) == before
    sim.clear()
    assert sim.to_the_end().kind == "success"
    assert released(sim) == [*before, "v2"]


def test_a_clear_after_a_crash_keeps_the_count_of_attempts() -> None:
    """What runs now is the release that failed: it is not taken for the one to go back to."""
    sim = Simulation(rollback_on_failure=True, max_attempts=2)
    lie(sim, times=2)
    sim.arguments |= {"verify": True, "verify_timeout": 20}
    assert sim.run(crash="after finished").kind == "Crash"
    sim.clears += 1
    assert type(sim.to_the_end().error) is DaoCloudRolledBackError
    assert released(sim) == ["v2", "v2", "v1"]


def test_a_rollback_that_is_over_is_reported_again_after_a_crash() -> None:
    """The worker dies after the rollback, before Airflow knows: nothing is deployed again."""
    sim = Simulation(rollback_on_failure=True)
    sim.plan("FAILED")
    ending = crash_in_the_rollback(sim, "after finished")
    assert ending.kind == "Crash"
    again = sim.to_the_end()
    assert type(again.error) is DaoCloudRolledBackError
    once_more = sim.to_the_end()
    assert str(once_more.error) == str(again.error)
    assert released(sim) == ["v2", "v1"]


def test_a_rollback_that_failed_is_reported_again_and_not_retried() -> None:
    sim = Simulation(rollback_on_failure=True)
    sim.plan("FAILED")
    sim.plan("FAILED")
    first = sim.to_the_end()
    again = sim.to_the_end()
    assert str(again.error) == str(first.error)
    assert released(sim) == ["v2", "v1"]


def test_a_clear_after_a_rollback_deploys_again() -> None:
    sim = Simulation(rollback_on_failure=True)
    sim.plan("FAILED")
    assert sim.to_the_end().kind == "DaoCloudRolledBackError"
    sim.clear()
    assert sim.to_the_end().kind == "success"
    assert released(sim) == ["v2", "v1", "v2"]


def test_without_a_store_it_rolls_back_too() -> None:
    """Before Airflow 3.3 the trigger carries what the worker after it needs."""
    sim = Simulation(rollback_on_failure=True, store=False, deferrable=True)
    sim.plan("FAILED")
    assert_rolled_back(sim.to_the_end(), sim)


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_attempts": 0}, "max_attempts: must be a whole number, 1 or more, not 0."),
        ({"max_attempts": 1.5}, "max_attempts: must be a whole number, 1 or more, not 1.5."),
        ({"verify_timeout": 0}, "verify_timeout: must be more than 0 seconds, not 0."),
        (
            {"wait_for_completion": False, "verify": True},
            "verify: needs wait_for_completion=True: it comes after the wait.",
        ),
        (
            {"wait_for_completion": False, "max_attempts": 2},
            "max_attempts: needs wait_for_completion=True: it comes after the wait.",
        ),
    ],
)
def test_bad_input(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        DaoCloudAppActionOperator(task_id="act", app_id="a", action="stop", **arguments)
    assert str(caught.value) == message


def test_a_rollback_without_waiting_is_refused() -> None:
    with pytest.raises(InputError, match="rollback_on_failure: needs wait_for_completion=True"):
        DaoCloudRedeployOperator(
            task_id="act",
            app_id="a",
            release_name="v2",
            wait_for_completion=False,
            rollback_on_failure=True,
        )
