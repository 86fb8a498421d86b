"""One invocation, one action: whatever breaks in a try, and whatever earlier tries left."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_daocloud.api.errors import (
    AppBusyError,
    JournalError,
    OutcomeUnknownError,
    ProtocolError,
)
from airflow_provider_daocloud.api.response import Response
from airflow_provider_daocloud.core.submission.journal import KEY
from airflow_provider_daocloud.core.waiting.refusals import REFUSAL_GRACE
from airflow_provider_daocloud.operators.daocloud import DaoCloudRedeployOperator
from airflow_provider_daocloud.sandbox.objects import ActionPlan
from airflow_provider_daocloud.sandbox.options import Options
from tests.support.results import check_result
from tests.support.simulation import BuildSimulation, Ending, Redeploy, Simulation

# What is asked, by name: the action, and for a redeploy the release (the app runs v1).
ASKED = {
    "start": ("start", ""),
    "stop": ("stop", ""),
    "restart": ("restart", ""),
    "redeploy": ("redeploy", "v2"),
    "redeploy current": ("redeploy", "v1"),
}
# After these nothing that the app shows tells whether it was done.
LEAVE_NO_TRACE = ("restart", "redeploy current")
ON_AMBIGUOUS = ("reconcile", "adopt", "resend", "fail")


def simulation(record: str, **more: Any) -> Simulation:
    return Simulation(*ASKED[record], **more)


def assert_finished(ending: Ending, sim: Simulation) -> None:
    """It returned an action of ours, and DaoCloud says that it succeeded."""
    assert ending.kind == "success", ending.error
    ours = {posted.action.id: posted.action.state for posted in sim.posted}
    assert ours[ending.result["action_id"]] == "SUCCESS"
    assert ending.result["state"] == "SUCCESS"


def assert_adopted(ending: Ending, sim: Simulation) -> None:
    """It returned what the app shows, and the evidence stands in the result and in the log."""
    assert ending.kind == "success", ending.error
    assert ending.result["adopted"] is True
    assert ending.result["action_id"] is None
    evidence = ending.result["evidence"]
    assert evidence["before"]["release_name"] == "v1"
    assert evidence["now"]["release_name"] == sim.world.view(sim.app).release_name
    shown = [line for line in sim.lines if "arrived, as" in line or "already shows its" in line]
    assert len(shown) == 1
    assert str(evidence["now"]["release_name"]) in shown[0]


def assert_unknown(ending: Ending) -> None:
    """It says that nobody knows, what was seen, and what to do."""
    assert isinstance(ending.error, OutcomeUnknownError), ending
    text = str(ending.error)
    assert "Cannot tell whether DaoCloud accepted" in text
    assert "Before: " in text
    assert "clear the task to act again, or mark it as success" in text


# --- a POST without a good answer, in one try ----------------------------------------------------

BEFORE: dict[str, Callable[[Simulation], object]] = {
    "rejected": lambda sim: sim.fault("drop", call="POST"),
    "reset": lambda sim: sim.fault("reset", call="POST"),
    "502": lambda sim: sim.fault("status", call="POST", status=502),
    "502 in HTML": lambda sim: sim.fault("status", call="POST", status=502, html=True),
    # Whoever answers so has not passed it on; but nobody can tell who answered.
    "403 in HTML": lambda sim: sim.fault("status", call="POST", status=403, html=True),
    "409 in HTML": lambda sim: sim.fault("status", call="POST", status=409, html=True),
    "302 in HTML": lambda sim: sim.fault("status", call="POST", status=302, html=True),
    "407": lambda sim: sim.fault("status", call="POST", status=407),
}
AFTER: dict[str, Callable[[Simulation], object]] = {
    "rejected": lambda sim: sim.fault("drop", call="POST", effect="after"),
    "reset": lambda sim: sim.fault("reset", call="POST", effect="after"),
    "cut": lambda sim: sim.fault("cut", call="POST"),
    "502": lambda sim: sim.fault("status", call="POST", status=502, effect="after"),
    "404 in HTML": lambda sim: sim.fault(
        "status", call="POST", status=404, html=True, effect="after"
    ),
    "HTML": lambda sim: sim.fault("html", call="POST"),
    "half of it": lambda sim: sim.fault("truncated", call="POST"),
    "nothing in it": lambda sim: sim.fault("empty", call="POST"),
    "no id in it": lambda sim: sim.fault("no_action_id", call="POST"),
    "later": lambda sim: sim.client.late.append(20.0),
}


@pytest.mark.parametrize("on_ambiguous", ON_AMBIGUOUS)
@pytest.mark.parametrize("record", ASKED)
@pytest.mark.parametrize("fault", BEFORE)
def test_a_fault_before_the_effect(record: str, fault: str, on_ambiguous: str) -> None:
    """The app does not change, so the POST never arrived, and is sent: unless asked to stop."""
    sim = simulation(record, on_ambiguous=on_ambiguous)
    BEFORE[fault](sim)
    ending = sim.to_the_end()
    if on_ambiguous == "fail":
        assert_unknown(ending)
        assert sim.effects == 0
    else:
        assert_finished(ending, sim)
        assert sim.effects == 1


@pytest.mark.parametrize("on_ambiguous", ON_AMBIGUOUS)
@pytest.mark.parametrize("record", ASKED)
@pytest.mark.parametrize("fault", AFTER)
def test_a_fault_after_the_effect(record: str, fault: str, on_ambiguous: str) -> None:
    """One action; and success where the app shows it, or where the user says that it is ours."""
    sim = simulation(record, on_ambiguous=on_ambiguous)
    AFTER[fault](sim)
    ending = sim.to_the_end()
    sim.clock.sleep(30)
    if on_ambiguous == "resend":
        assert sim.effects == 2
        assert_finished(ending, sim)
        return
    assert sim.effects == 1
    if on_ambiguous == "adopt" or (on_ambiguous == "reconcile" and record not in LEAVE_NO_TRACE):
        assert_adopted(ending, sim)
    else:
        assert_unknown(ending)


# Whatever takes a POST with a 2xx that has no action id: DaoCloud, or what stands before it.
ANSWERED: dict[str, Callable[[Any], object]] = {
    "a web page": lambda sim: sim.fault("html", call="POST", effect="before"),
    "half of it": lambda sim: sim.fault("truncated", call="POST", effect="before"),
    "nothing in it": lambda sim: sim.fault("empty", call="POST", effect="before"),
    "a list": lambda sim: sim.fault("list", call="POST", effect="before"),
    "no id in it": lambda sim: sim.fault("no_action_id", call="POST", effect="before"),
    "201": lambda sim: sim.client.answers.append(Response(201, {}, b'{"taken": true}')),
    "204": lambda sim: sim.client.answers.append(Response(204, {}, b"")),
    "broken gzip": lambda sim: sim.client.answers.append(
        ProtocolError("POST /", "cannot be decoded")
    ),
    "half of its bytes": lambda sim: sim.client.answers.append(
        OutcomeUnknownError("POST /", "no whole answer came", status=200)
    ),
}


@pytest.mark.parametrize("on_ambiguous", ON_AMBIGUOUS)
@pytest.mark.parametrize("record", ASKED)
@pytest.mark.parametrize("response", ANSWERED)
def test_an_answer_without_an_id_is_never_followed_by_a_second_post(
    record: str, response: str, on_ambiguous: str
) -> None:
    """It was taken by somebody: that the app does not change proves nothing, in any try."""
    sim = simulation(record, on_ambiguous=on_ambiguous)
    ANSWERED[response](sim)
    ending = sim.to_the_end()
    if on_ambiguous == "resend":
        assert_finished(ending, sim)
        assert len(sim.client.posts) == 2
        return
    assert_unknown(ending)
    assert len(sim.client.posts) == 1
    # Nor do the next tries forget it, however they end.
    sim.to_the_end(crash="before get_app")
    assert_unknown(sim.to_the_end())
    assert len(sim.client.posts) == 1
    sim.clear()
    assert_finished(sim.to_the_end(), sim)


@pytest.mark.parametrize("record", ["start", "stop", "redeploy"])
@pytest.mark.parametrize("response", ANSWERED)
def test_an_answer_without_an_id_is_reconciled_by_what_shows_later(
    response: str, record: str
) -> None:
    """The proxy answered, and passed it on 40 s later: after the window of the first try."""
    sim = simulation(record)
    ANSWERED[response](sim)
    assert_unknown(sim.to_the_end())
    sim.clock.later(40.0, sim.client.posts[0])
    sim.clock.sleep(60.0)
    assert_adopted(sim.to_the_end(), sim)
    assert (len(sim.client.posts), sim.effects) == (1, 1)


def test_a_process_that_dies_while_it_watches_remembers_the_answer() -> None:
    sim = simulation("restart")
    ANSWERED["a web page"](sim)
    passed = sim.run().passed
    watching = max(n for n, name in enumerate(passed, 1) if name == "before get_app")
    sim = simulation("restart")
    ANSWERED["a web page"](sim)
    assert sim.run(crash=watching).kind == "Crash"
    assert_unknown(sim.to_the_end())
    assert len(sim.client.posts) == 1


@pytest.mark.parametrize("record", ASKED)
def test_an_answer_lost_on_every_post_is_one_action(record: str) -> None:
    sim = simulation(record)
    sim.fault("drop", call="POST", effect="after", times=None, seconds=60.0)
    ending = sim.to_the_end()
    assert sim.effects == 1
    assert_unknown(ending) if record in LEAVE_NO_TRACE else assert_adopted(ending, sim)


@pytest.mark.parametrize("record", ASKED)
def test_a_post_that_cannot_arrive_for_a_minute_is_sent_until_it_does(record: str) -> None:
    sim = simulation(record)
    sim.fault("drop", call="POST", times=None, seconds=60.0)
    assert_finished(sim.to_the_end(), sim)
    assert sim.effects == 1
    assert sim.service.counts[sim.request] > 1


@pytest.mark.parametrize("kind", ["too_many", "spent"])
def test_a_definite_refusal_is_waited_out(kind: str) -> None:
    """429, and the 403 of a spent hour: nothing was done, so it is sent again."""
    sim = simulation("restart")
    sim.fault(kind, call="POST", retry_after=20)
    assert_finished(sim.to_the_end(), sim)
    assert sim.effects == 1
    assert sim.service.counts[sim.request] == 2


@pytest.mark.parametrize("record", ASKED)
def test_a_refused_connection_is_tried_again(record: str) -> None:
    """Nothing was sent: that is not ambiguous, and takes no settle window."""
    sim = simulation(record, settle_time=10_000.0)
    sim.client.refused = 3
    assert_finished(sim.to_the_end(), sim)
    assert sim.effects == 1


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_refusal_is_no_riddle(status: int) -> None:
    """DaoCloud said no: the task fails for good, and a new invocation posts."""
    sim = simulation("redeploy")
    sim.fault("status", call="POST", status=status)
    ending = sim.to_the_end()
    assert isinstance(ending.error, AirflowFailException)
    assert sim.effects == 0
    assert sim.store is not None
    assert sim.store.entry["phase"] == "rejected"
    assert_finished(sim.to_the_end(), sim)


@pytest.mark.parametrize("kind", ["html", "truncated", "empty", "list"])
def test_rubbish_on_the_read_before_the_post_does_not_end_the_try(kind: str) -> None:
    sim = Simulation()
    sim.fault(kind, call="get_app", times=3)
    ending = sim.run()
    assert (ending.kind, sim.effects) == ("success", 1)


def test_an_app_that_cannot_be_read_leaves_it_unknown() -> None:
    """And the next try finds out."""
    sim = simulation("redeploy", max_outage=60.0)
    sim.fault("drop", call="POST", effect="after")
    sim.fault("status", call="get_app", skip=1, times=None, seconds=300.0)
    ending = sim.to_the_end()
    assert_unknown(ending)
    assert "cannot be read" in str(ending.error)
    sim.clock.sleep(300)
    assert_adopted(sim.to_the_end(), sim)
    assert sim.effects == 1


@pytest.mark.parametrize("status", [302, 401, 403, 404, 407, 409, 410, 421, 423, 451, 499])
@pytest.mark.parametrize("skip", [1, 3])
def test_an_odd_refusal_while_reconciling_is_survived(status: int, skip: int) -> None:
    """The app was read with this token before the POST."""
    sim = simulation("redeploy")
    sim.fault("drop", call="POST", effect="after")
    sim.fault("status", call="get_app", status=status, skip=skip)
    sim.fault("status", call="get_app", status=status, html=True, skip=skip + 1)
    assert_adopted(sim.to_the_end(), sim)
    assert sim.effects == 1


@pytest.mark.parametrize(("status", "seconds"), [(401, 100), (403, 100), (404, 100), (409, 1000)])
def test_a_refusal_that_stays_leaves_it_unknown(status: int, seconds: float) -> None:
    sim = simulation("redeploy", max_outage=600.0)
    sim.fault("drop", call="POST", effect="after")
    sim.fault("status", call="get_app", status=status, skip=1, times=None)
    began = sim.clock.time()
    ending = sim.to_the_end()
    assert_unknown(ending)
    assert f"HTTP {status}" in str(ending.error)
    assert REFUSAL_GRACE <= sim.clock.time() - began <= seconds
    assert sim.effects == 1


@pytest.mark.parametrize("status", [302, 401, 403, 404, 409])
def test_a_refusal_before_anything_was_read_is_permanent_at_once(status: int) -> None:
    sim = simulation("redeploy")
    sim.fault("status", call="get_app", status=status)
    began = sim.clock.time()
    ending = sim.to_the_end()
    assert isinstance(ending.error, AirflowFailException)
    assert sim.clock.time() - began < 5
    assert sim.effects == 0


def test_an_action_id_that_was_wanted_is_not_replaced_by_evidence() -> None:
    sim = simulation("redeploy", wait_for_completion=False)
    sim.fault("drop", call="POST", effect="after")
    ending = sim.to_the_end()
    assert_unknown(ending)
    assert "cannot be found out" in str(ending.error)
    assert sim.effects == 1


def test_without_waiting_the_task_returns_the_action_id_in_every_try() -> None:
    sim = simulation("redeploy", wait_for_completion=False)
    ending = sim.to_the_end(crash="return")
    assert ending.kind == "Crash"
    ending = sim.to_the_end()
    assert ending.result == sim.posted[0].action.id
    assert sim.xcoms["action_id"] == ending.result
    assert sim.effects == 1


@pytest.mark.parametrize("record", ["restart", "redeploy current"])
def test_an_action_that_failed_unseen_is_not_adopted_by_verify(record: str) -> None:
    sim = simulation(record)
    sim.world.plan(ActionPlan("FAILED", "no such image"))
    sim.fault("drop", call="POST", effect="after")
    assert_unknown(sim.to_the_end())


@pytest.mark.parametrize("on_ambiguous", ["reconcile", "adopt"])
@pytest.mark.parametrize("record", ["start", "stop", "redeploy"])
def test_an_action_that_failed_unseen_is_no_success(record: str, on_ambiguous: str) -> None:
    """The date has moved, and the app is not as the action would have left it."""
    sim = simulation(record, on_ambiguous=on_ambiguous)
    sim.world.plan(ActionPlan("FAILED", "no such image"))
    sim.fault("drop", call="POST", effect="after")
    assert_unknown(sim.to_the_end())
    assert sim.effects == 1


@pytest.mark.parametrize("on_ambiguous", ["reconcile", "adopt"])
def test_a_release_that_crashed_is_no_success(on_ambiguous: str) -> None:
    """The app shows the release that was asked, but it does not run."""
    sim = simulation("redeploy", on_ambiguous=on_ambiguous)
    sim.fault("drop", call="POST", effect="after")
    sim.clock.later(10.0, lambda: sim.world.crash_app(sim.app.id))
    assert_unknown(sim.to_the_end())


def test_an_action_longer_than_the_window_is_waited_for() -> None:
    """As long as the app shows that one runs."""
    sim = simulation("redeploy", options=Options(action_seconds=200.0), settle_time=10.0)
    sim.fault("drop", call="POST", effect="after")
    assert_adopted(sim.to_the_end(), sim)
    assert sim.effects == 1


def test_an_action_longer_than_the_timeout_is_unknown() -> None:
    sim = simulation("redeploy", options=Options(action_seconds=2000.0), timeout=100.0)
    sim.fault("drop", call="POST", effect="after")
    assert_unknown(sim.to_the_end())
    sim.clock.sleep(2000)
    assert_adopted(sim.to_the_end(), sim)


def test_a_date_that_could_be_cut_proves_nothing() -> None:
    """Operated on a moment ago, and the field shows whole minutes: it need not move."""
    sim = simulation("restart", options=Options(last_operated_at_granularity=60.0))
    sim.another("restart")
    sim.clock.sleep(10)
    sim.fault("drop", call="POST", effect="after")
    sim.world.set_options(transitional_states=False)
    assert_unknown(sim.to_the_end())
    assert sim.effects == 1


@pytest.mark.parametrize("on_ambiguous", ["reconcile", "adopt"])
@pytest.mark.parametrize("record", ["start", "stop", "redeploy"])
def test_evidence_suffices_though_the_date_never_moves(record: str, on_ambiguous: str) -> None:
    """The app is as asked, and was not before."""
    sim = simulation(record, options=Options(last_operated_at="never"), on_ambiguous=on_ambiguous)
    sim.fault("drop", call="POST", effect="after")
    assert_adopted(sim.to_the_end(), sim)


@pytest.mark.parametrize("record", LEAVE_NO_TRACE)
def test_adopt_goes_by_the_date_alone(record: str) -> None:
    """A state that comes and goes tells nothing of how it ended, and it can be a crash."""
    sim = simulation(record, options=Options(last_operated_at="never"), on_ambiguous="adopt")
    sim.fault("drop", call="POST", effect="after")
    assert_unknown(sim.to_the_end())


def test_a_service_that_no_post_reaches_is_given_up_in_time() -> None:
    sim = simulation("redeploy", timeout=300.0)
    sim.fault("drop", call="POST", times=None)
    ending = sim.to_the_end()
    assert_unknown(ending)
    assert " Now: " in str(ending.error)
    assert sim.effects == 0


def test_a_change_that_was_seen_is_not_forgotten() -> None:
    """The date never moves, but the app was seen at work: that it is at rest proves nothing."""
    options = Options(last_operated_at="never", action_seconds=20.0)
    sim = simulation("restart", options=options)
    sim.fault("drop", call="POST", effect="after")
    for _ in range(3):
        assert_unknown(sim.to_the_end())
    assert sim.effects == 1


def test_a_change_that_was_seen_is_not_forgotten_with_the_process() -> None:
    options = Options(last_operated_at="never", action_seconds=20.0)
    sim = simulation("restart", options=options)
    sim.fault("drop", call="POST", effect="after")
    dies = [n for n, name in enumerate(sim.run().passed, 1) if name == "before get_app"][4]
    sim = simulation("restart", options=options)
    sim.fault("drop", call="POST", effect="after")
    assert sim.run(crash=dies).kind == "Crash"
    sim.clock.sleep(60)
    assert_unknown(sim.to_the_end())
    assert sim.effects == 1


def test_a_post_that_arrives_after_all_is_noticed_before_the_next_one() -> None:
    """It was taken never to have arrived, but then the app changes: nothing more is sent."""
    sim = simulation("redeploy", settle_time=10.0)
    sim.client.late.append(10.5)
    sim.fault("delay", call="get_app", skip=7, delay=1.0)
    assert_adopted(sim.to_the_end(), sim)
    assert sim.effects == 1
    assert any("never arrived" in line for line in sim.lines)
    assert any("counted as never arrived" in line for line in sim.lines)


def test_a_refusal_after_a_doubtful_post_can_be_for_our_own_action() -> None:
    """The date moves late, and no state tells; but the server refuses a second action."""
    options = Options(
        busy="refuse",
        transitional_states=False,
        last_operated_at="ended",
        action_seconds=50.0,
    )
    sim = simulation("redeploy", options=options)
    sim.fault("drop", call="POST", effect="after")
    assert_adopted(sim.to_the_end(), sim)
    assert sim.effects == 1


def test_a_refusal_after_a_doubtful_post_is_not_waited_out() -> None:
    """Nothing else shows the action that runs: what is refused now would be a second one."""
    options = Options(
        busy="refuse", transitional_states=False, last_operated_at="never", action_seconds=100.0
    )
    sim = simulation("restart", options=options)
    sim.fault("drop", call="POST", effect="after")
    for _ in range(3):
        assert_unknown(sim.to_the_end())
    assert sim.effects == 1


def test_doubts_outlast_the_process() -> None:
    """The process dies before it posts again, and then the first POST arrives."""
    sim = simulation("redeploy", settle_time=10.0)
    sim.client.late.append(1000.0)
    passed = sim.run().passed
    again = max(n for n, name in enumerate(passed, 1) if name == "after intended")
    sim = simulation("redeploy", settle_time=10.0)
    sim.client.late.append(30.0)
    assert sim.run(crash=again).kind == "Crash"
    sim.clock.sleep(60)
    assert_adopted(sim.to_the_end(), sim)
    assert sim.effects == 1


# --- somebody else -------------------------------------------------------------------------------


def test_somebody_elses_action_is_not_taken_for_ours() -> None:
    """Ours never arrived, theirs did: nobody can tell, so nothing is sent."""
    sim = simulation("redeploy")
    sim.fault("drop", call="POST")
    sim.clock.later(1.0, lambda: sim.another("redeploy", "v3"))
    ending = sim.to_the_end()
    assert_unknown(ending)
    assert "release v3" in str(ending.error)
    assert sim.effects == 0


def test_adopt_takes_somebody_elses_action() -> None:
    """That is what it says: whoever chooses it knows that nobody else touches the app."""
    sim = simulation("restart", on_ambiguous="adopt")
    sim.fault("drop", call="POST")
    sim.clock.later(1.0, lambda: sim.another("restart"))
    assert_adopted(sim.to_the_end(), sim)
    assert sim.effects == 0


# --- a process that dies -------------------------------------------------------------------------

# The point, and what becomes of it: *posted* by the next try, *reconnected*, or to be reconciled.
POINTS = {
    "before get_app": "posted",
    "before intended": "posted",
    "after intended": "posted",
    "before POST": "posted",
    "after POST": "riddle",
    "before accepted": "riddle",
    "after accepted": "reconnected",
    "before get_action": "reconnected",
    "before finished": "reconnected",
    "after finished": "stored",
    "return": "stored",
}


@pytest.mark.parametrize("deferrable", [False, True], ids=["blocking", "deferrable"])
@pytest.mark.parametrize("record", ASKED)
@pytest.mark.parametrize("point", POINTS)
def test_a_process_that_dies(point: str, record: str, deferrable: bool) -> None:
    """Wherever it dies, the tries after it make it one action, and say what is known."""
    sim = simulation(record, deferrable=deferrable)
    name = point.replace("POST", sim.request)
    ending = sim.run(crash=name)
    if ending.deferral is not None:
        ending = sim.resume(ending, crash=name)
    if point == "before get_action" and deferrable:
        assert ending.kind == "success"  # the triggerer observes, and no process of the task
        return
    assert ending.kind == "Crash"
    ending = sim.to_the_end()
    assert sim.effects == 1
    if POINTS[point] == "riddle":
        assert_unknown(ending) if record in LEAVE_NO_TRACE else assert_adopted(ending, sim)
    else:
        assert_finished(ending, sim)
        assert sim.service.counts[sim.request] == 1


@pytest.mark.parametrize("record", LEAVE_NO_TRACE)
@pytest.mark.parametrize("point", ["after POST", "before accepted"])
def test_a_process_that_dies_with_adopt(point: str, record: str) -> None:
    sim = simulation(record, on_ambiguous="adopt")
    sim.run(crash=point.replace("POST", sim.request))
    assert_adopted(sim.to_the_end(), sim)
    assert sim.effects == 1


@pytest.mark.parametrize("state", ["SUCCESS", "FAILED"])
def test_a_retry_does_not_defer_for_what_has_ended(state: str) -> None:
    """Airflow takes a deferral that ends at once for a killed process, now and then."""
    sim = simulation("redeploy", deferrable=True)
    sim.plan(state)
    ending = sim.run()
    sim.resume(ending, crash="before finished")
    ending = sim.run()
    assert ending.kind == ("success" if state == "SUCCESS" else "DaoCloudActionFailedError")
    assert sim.effects == 1
    if state == "FAILED":
        assert_finished(sim.to_the_end(), sim)
        assert sim.effects == 2


@pytest.mark.parametrize("fault", ["drop", "status"])
def test_a_retry_that_cannot_observe_at_once_defers(fault: str) -> None:
    sim = simulation("redeploy", deferrable=True)
    sim.run(crash="after accepted")
    sim.clock.sleep(60)
    sim.fault(fault, call="get_action")
    assert sim.run().kind == "deferred"


def test_an_event_of_another_action_is_not_taken() -> None:
    """A trigger of the try before a clear can wake the try after it (SQLite reuses its id)."""
    sim = simulation("redeploy", deferrable=True)
    event = sim.event_of(sim.run())
    sim.clear()
    again = sim.run()
    assert again.kind == "deferred"
    assert sim.effects == 2
    ending = sim.deliver(event)
    assert ending.kind == "deferred"
    ending = sim.resume(ending)
    assert_finished(ending, sim)
    assert ending.result["action_id"] == sim.posted[1].action.id


def test_what_was_adopted_is_stored() -> None:
    """The process dies once more, before Airflow has the result: it is not found out again."""
    sim = simulation("redeploy")
    sim.run(crash="after redeploy_app")
    assert sim.run(crash="after finished").kind == "Crash"
    sim.world.change_app(sim.app.id, release_name="v9")
    ending = sim.to_the_end()
    assert ending.result["adopted"] is True
    check_result(DaoCloudRedeployOperator, ending.result)
    assert sim.effects == 1


def test_a_try_reconnects_to_the_action_of_one_that_gave_up_waiting() -> None:
    sim = simulation("redeploy", options=Options(action_seconds=900.0))
    assert sim.to_the_end().kind == "DaoCloudWaitTimeoutError"
    assert_finished(sim.to_the_end(), sim)
    assert sim.effects == 1


@pytest.mark.parametrize("deferrable", [False, True], ids=["blocking", "deferrable"])
def test_a_failed_action_is_tried_again(deferrable: bool) -> None:
    """That is what a user sets retries for."""
    sim = simulation("redeploy", deferrable=deferrable)
    sim.world.plan(ActionPlan("FAILED", "no such image"))
    ending = sim.to_the_end()
    assert ending.kind == "DaoCloudActionFailedError"
    assert "no such image" in str(ending.error)
    assert_finished(sim.to_the_end(), sim)
    assert sim.effects == 2


def test_a_failed_action_may_be_followed_by_another_release() -> None:
    """It is over, and whoever mended the release between the tries wants the new one."""
    sim = simulation("redeploy")
    sim.world.plan(ActionPlan("FAILED", "no such image"))
    sim.to_the_end()
    assert_finished(sim.to_the_end(release_name="v3"), sim)
    assert sim.world.view(sim.app).release_name == "v3"


@pytest.mark.parametrize("crash", ["after redeploy_app", "after accepted", "after finished"])
def test_what_is_asked_may_not_change_between_tries(crash: str) -> None:
    sim = simulation("redeploy")
    sim.run(crash=crash)
    ending = sim.to_the_end(release_name="v3")
    assert isinstance(ending.error, AirflowFailException)
    assert " to v2, this one for " in str(ending.error)
    assert " to v3. Nothing was sent." in str(ending.error)
    assert sim.effects == 1


# --- the journal ---------------------------------------------------------------------------------


def stored(sim: Simulation) -> Any:
    assert sim.store is not None
    return sim.store.entry


def test_a_journal_that_cannot_be_read_posts_nothing() -> None:
    sim = simulation("redeploy")
    assert sim.store is not None
    sim.store.fail = [("get", "lose")]
    assert isinstance(sim.to_the_end().error, JournalError)
    assert sim.service.counts == {}
    assert_finished(sim.to_the_end(), sim)


@pytest.mark.parametrize("fault", ["lose", "keep"])
def test_an_intent_that_cannot_be_written_posts_nothing(fault: str) -> None:
    """Even if it was written, and only the answer was lost."""
    sim = simulation("redeploy")
    assert sim.store is not None
    sim.store.fail = [("intended", fault)]
    assert isinstance(sim.to_the_end().error, JournalError)
    assert sim.service.counts[sim.request] == 0
    assert_finished(sim.to_the_end(), sim)
    assert sim.effects == 1


def test_an_action_id_that_cannot_be_written_is_found_out_by_the_next_try() -> None:
    sim = simulation("redeploy")
    assert sim.store is not None
    sim.store.fail = [("accepted", "lose")] * 2
    assert sim.run(crash="before get_action").kind == "Crash"
    assert stored(sim)["phase"] == "intended"
    assert_adopted(sim.to_the_end(), sim)
    assert sim.effects == 1


def test_a_try_succeeds_though_the_journal_is_away_after_the_post() -> None:
    sim = simulation("redeploy")
    assert sim.store is not None
    sim.store.fail = [("accepted", "lose")] * 2 + [("finished", "lose")] * 2
    assert_finished(sim.to_the_end(), sim)


@pytest.mark.parametrize("entry", [{"version": 2}, {"version": 1}, "damaged", []], ids=str)
def test_an_entry_that_cannot_be_read_posts_nothing(entry: object) -> None:
    sim = simulation("redeploy")
    assert sim.store is not None
    sim.store.entries[KEY] = json.dumps(entry)
    ending = sim.to_the_end()
    assert isinstance(ending.error, AirflowFailException)
    assert "Check the resource in DaoCloud" in str(ending.error)
    assert sim.service.counts == {}
    assert stored(sim) == entry


def test_an_action_is_asked_only_while_the_task_is_wanted() -> None:
    """Airflow 3 lets a task that it kills run on for some seconds."""
    sim = simulation("redeploy")
    sim.another("restart")
    task = sim.operator()
    sim.clock.later(1.0, task.on_kill)
    ending = sim.process_of(task)
    assert "asked the task to end" in str(ending.error)
    assert sim.effects == 0


# --- clears --------------------------------------------------------------------------------------


@pytest.mark.parametrize("deferrable", [False, True], ids=["blocking", "deferrable"])
def test_a_clear_after_success_acts_again(deferrable: bool) -> None:
    sim = simulation("redeploy", deferrable=deferrable)
    assert_finished(sim.to_the_end(), sim)
    sim.clear()
    ending = sim.to_the_end()
    assert_finished(ending, sim)
    assert sim.effects == 2
    assert ending.result["action_id"] == sim.posted[1].action.id


def test_a_clear_joins_an_action_that_runs() -> None:
    sim = simulation("redeploy")
    sim.run(crash="before get_action")
    sim.clear()
    ending = sim.to_the_end()
    assert_finished(ending, sim)
    assert sim.effects == 1
    assert sim.xcoms["action_id"] == ending.result["action_id"]


def test_a_clear_joins_what_was_deferred() -> None:
    sim = simulation("redeploy", deferrable=True)
    assert sim.run().kind == "deferred"
    sim.clear()
    assert_finished(sim.to_the_end(), sim)
    assert sim.effects == 1


def test_a_clear_does_not_take_the_former_result() -> None:
    """The action ended between the clear and the next try."""
    sim = simulation("redeploy")
    sim.run(crash="before get_action")
    sim.clear()
    sim.clock.sleep(60)
    assert_finished(sim.to_the_end(), sim)
    assert sim.effects == 2


@pytest.mark.parametrize("crash", ["after redeploy_app", "after accepted"])
def test_a_clear_may_ask_for_something_else(crash: str) -> None:
    sim = simulation("redeploy")
    sim.run(crash=crash)
    sim.clear()
    ending = sim.to_the_end(release_name="v3")
    assert_finished(ending, sim)
    assert [posted.action.release_name for posted in sim.posted] == ["v2", "v3"]


def test_a_reconnected_action_belongs_to_the_new_invocation() -> None:
    """A retry after the clear continues with it, though it has ended meanwhile."""
    sim = simulation("redeploy")
    sim.run(crash="before get_action")
    sim.clear()
    assert sim.run(crash="before finished").kind == "Crash"
    sim.clock.sleep(60)
    assert_finished(sim.to_the_end(), sim)
    assert sim.effects == 1


def test_a_clear_of_something_else_is_no_new_invocation() -> None:
    """A try that failed for a while said so; then another task of the DAG run was cleared."""
    sim = simulation("redeploy", options=Options(action_seconds=900.0))
    assert sim.to_the_end().kind == "DaoCloudWaitTimeoutError"
    sim.clears += 1
    sim.clock.sleep(900)
    assert_finished(sim.to_the_end(), sim)
    assert sim.effects == 1


def test_a_clear_of_something_else_during_a_deferral_is_no_new_invocation() -> None:
    """A deferred task that is cleared itself has its ``max_tries`` moved."""
    sim = simulation("redeploy", deferrable=True)
    ending = sim.run()
    sim.clears += 1
    assert sim.resume(ending, crash="before finished").kind == "Crash"
    assert_finished(sim.to_the_end(), sim)
    assert sim.effects == 1


def test_that_a_task_was_deferred_says_nothing_once_it_has_ended() -> None:
    """It is cleared just before its success is recorded (and ``max_tries`` stays)."""
    sim = simulation("redeploy", deferrable=True)
    assert sim.resume(sim.run(), crash="after finished").kind == "Crash"
    sim.clear(moves=False)
    ending = sim.to_the_end()
    assert isinstance(ending.error, OutcomeUnknownError)
    assert "Nobody can tell which" in str(ending.error)


def test_a_vanished_process_and_a_clear_of_something_else_is_no_second_action() -> None:
    """A killed process, and a clear of another task: as if this task was cleared while it ran."""
    sim = simulation("redeploy")
    sim.run(crash="before get_action")
    sim.clears += 1
    sim.clock.sleep(60)
    for _ in range(2):
        ending = sim.to_the_end()
        assert isinstance(ending.error, OutcomeUnknownError)
        assert "Nobody can tell which" in str(ending.error)
        assert sim.posted[0].action.id in str(ending.error)
    assert sim.effects == 1
    sim.clear()
    assert_finished(sim.to_the_end(), sim)
    assert sim.effects == 2


def test_a_vanished_process_and_a_clear_joins_an_action_that_runs() -> None:
    """That is right for a retry and for a new invocation."""
    sim = simulation("redeploy")
    sim.run(crash="before get_action")
    sim.clears += 1
    assert_finished(sim.to_the_end(), sim)
    assert sim.effects == 1


def test_a_failed_action_is_followed_by_another_for_a_retry_and_for_a_clear() -> None:
    sim = simulation("redeploy")
    sim.world.plan(ActionPlan("FAILED"))
    assert sim.run(crash="after finished").kind == "Crash"
    sim.clears += 1
    assert_finished(sim.to_the_end(), sim)
    assert sim.effects == 2


def test_why_an_earlier_try_left_says_nothing_of_a_later_one() -> None:
    """Try 1 gave up with words, try 2 was cleared while it ran (and ``max_tries`` stayed)."""
    sim = simulation("redeploy", max_outage=10.0)
    sim.fault("drop", call="POST", effect="after")
    sim.fault("status", call="get_app", skip=1, times=None, seconds=120.0)
    assert_unknown(sim.to_the_end())
    assert stored(sim)["exit_reason"] == "OutcomeUnknownError"
    sim.clock.sleep(120)
    assert sim.run(crash="after get_app").kind == "Crash"
    sim.clear(moves=False)
    sim.clock.sleep(60)
    ending = sim.to_the_end()
    assert isinstance(ending.error, OutcomeUnknownError)
    assert "Nobody can tell which" in str(ending.error)


def test_an_exit_reason_is_not_written_to_the_entry_of_another_invocation() -> None:
    sim = simulation("redeploy")
    sim.run(crash="before get_action")
    sim.clear(moves=False)
    sim.fault("status", call="get_action", times=None, seconds=1000.0)
    ending = sim.to_the_end()
    assert ending.kind == "OutageError"
    assert stored(sim)["exit_reason"] is None


def test_an_action_that_cannot_be_found_any_more_is_not_reconnected() -> None:
    sim = simulation("redeploy")
    sim.run(crash="before get_action")
    sim.clear()
    del sim.world.actions[sim.posted[0].action.id]
    ending = sim.to_the_end()
    assert ending.result["action_id"] == sim.posted[1].action.id


# --- a busy app ----------------------------------------------------------------------------------

BUSY = ("refuse", "queue", "both")


def busy(if_busy: str, world: str, **more: Any) -> Simulation:
    """Return a simulation in which somebody else's action runs for 30 s."""
    sim = simulation("redeploy", if_busy=if_busy, options=Options(busy=world, **more))  # type: ignore[arg-type]
    sim.world.plan(ActionPlan(seconds=30.0))
    sim.another("restart")
    return sim


@pytest.mark.parametrize("world", BUSY)
def test_wait_waits_for_the_other_action(world: str) -> None:
    sim = busy("wait", world)
    assert_finished(sim.to_the_end(), sim)
    (theirs, ours) = sim.world.actions.values()
    assert theirs.ended_at is not None
    assert ours.accepted_at >= theirs.ended_at
    assert sim.service.counts[sim.request] == 1


def test_wait_gives_up_in_time() -> None:
    sim = busy("wait", "queue")
    ending = sim.to_the_end(timeout=11.0, poll_interval=5.0)
    assert isinstance(ending.error, AppBusyError)
    assert sim.service.counts[sim.request] == 0
    sim.clock.sleep(30)
    assert_finished(sim.to_the_end(), sim)


@pytest.mark.parametrize("world", BUSY)
def test_send_sends_all_the_same(world: str) -> None:
    sim = busy("send", world)
    ending = sim.to_the_end()
    assert sim.service.counts[sim.request] == 1
    if world == "refuse":
        assert isinstance(ending.error, AppBusyError)
        assert sim.effects == 0
    else:
        assert_finished(ending, sim)


@pytest.mark.parametrize("world", BUSY)
def test_fail_fails(world: str) -> None:
    sim = busy("fail", world)
    ending = sim.to_the_end()
    assert isinstance(ending.error, AppBusyError)
    assert "(STARTING, " in str(ending.error)
    assert sim.service.counts[sim.request] == 0
    sim.clock.sleep(30)
    assert_finished(sim.to_the_end(), sim)


@pytest.mark.parametrize("if_busy", ["wait", "fail", "send"])
def test_an_app_that_does_not_show_busy_and_refuses(if_busy: str) -> None:
    """Then the refusal (409) is what tells."""
    sim = busy(if_busy, "refuse", transitional_states=False)
    ending = sim.to_the_end()
    if if_busy == "wait":
        assert_finished(ending, sim)
        assert sim.effects == 1
    else:
        assert isinstance(ending.error, AppBusyError)
        assert "another action runs" in str(ending.error)
        assert stored(sim)["phase"] == "rejected"


def test_waiting_for_a_busy_app_costs_few_calls() -> None:
    """The hour's calls are shared: whoever waits long asks seldom."""
    sim = busy("wait", "refuse", transitional_states=False)
    sim.world.plan(ActionPlan(seconds=3600.0))
    sim.clock.sleep(31)
    sim.another("restart")
    sim.to_the_end(timeout=3600.0)
    assert sum(sim.service.counts.values()) < 400


# --- skip_if_current -----------------------------------------------------------------------------


def test_an_app_that_runs_the_release_is_left_alone() -> None:
    sim = simulation("redeploy current", skip_if_current=True)
    ending = sim.to_the_end()
    assert ending.result["skipped"] is True
    assert ending.result["action_id"] is None
    assert sim.service.counts[sim.request] == 0


@pytest.mark.parametrize("state", ["STOPPED", "NOT_RUNNING", "SLEEPING"])
def test_an_app_that_has_the_release_and_does_not_run_is_not_left_alone(state: str) -> None:
    sim = simulation("redeploy current", skip_if_current=True, state=state)
    assert_finished(sim.to_the_end(), sim)
    assert "skipped" not in sim.to_the_end().result


def test_another_release_is_deployed() -> None:
    sim = simulation("redeploy", skip_if_current=True)
    assert_finished(sim.to_the_end(), sim)
    assert sim.effects == 1


# --- Airflow without a task state store ----------------------------------------------------------


@pytest.mark.parametrize("record", ["start", "stop", "redeploy"])
@pytest.mark.parametrize("crash", ["after POST", "before get_action", "return"])
def test_without_a_store_a_retry_goes_by_what_the_app_shows(record: str, crash: str) -> None:
    sim = simulation(record, store=False)
    sim.clock.sleep(5)
    assert sim.run(crash=crash.replace("POST", sim.request)).kind == "Crash"
    sim.clock.sleep(60)
    ending = sim.to_the_end()
    assert ending.kind == "success"
    assert ending.result["adopted"] is True
    assert sim.effects == 1


def test_without_a_store_a_retry_of_what_was_not_done_posts() -> None:
    sim = simulation("redeploy", store=False)
    sim.run(crash="before redeploy_app")
    assert_finished(sim.to_the_end(), sim)
    assert sim.effects == 1


def test_without_a_store_the_first_try_posts_whatever_the_app_shows() -> None:
    """Somebody deployed the same release a moment ago: that was not this task."""
    sim = simulation("redeploy", store=False)
    sim.clock.sleep(5)
    sim.another("redeploy", "v2")
    sim.clock.sleep(60)
    assert_finished(sim.to_the_end(), sim)
    assert sim.effects == 1


def test_without_a_store_what_is_older_than_the_run_is_not_taken() -> None:
    sim = simulation("redeploy current", store=False)
    sim.run(crash="before redeploy_app")
    assert_finished(sim.to_the_end(), sim)


def test_without_a_store_a_restart_acts_again() -> None:
    """Nothing shows that it was done: the docs say so."""
    sim = simulation("restart", store=False)
    sim.run(crash="before get_action")
    sim.clock.sleep(60)
    assert_finished(sim.to_the_end(), sim)
    assert sim.effects == 2


@pytest.mark.parametrize(
    "more", [{"wait_for_completion": False}, {"on_ambiguous": "resend"}], ids=str
)
def test_without_a_store_nothing_is_taken_as_done_where_that_is_no_answer(
    more: dict[str, Any],
) -> None:
    """An id is wanted, or a second action was said to be harmless."""
    sim = simulation("redeploy", store=False, **more)
    sim.run(crash="after redeploy_app")
    sim.clock.sleep(60)
    assert sim.to_the_end().kind == "success"
    assert sim.effects == 2


def test_a_clear_says_that_it_submits_again() -> None:
    sim = simulation("redeploy")
    assert_finished(sim.to_the_end(), sim)
    assert not any("submitting again" in line for line in sim.lines)
    sim.clear()
    assert_finished(sim.to_the_end(), sim)
    assert any("Task was cleared: submitting again." in line for line in sim.lines)


def test_without_a_store_a_clear_acts_again() -> None:
    sim = simulation("redeploy", store=False)
    assert_finished(sim.to_the_end(), sim)
    sim.clear()
    assert_finished(sim.to_the_end(), sim)
    assert sim.effects == 2


@pytest.mark.parametrize("record", ASKED)
def test_without_a_store_the_care_in_one_try_is_the_same(record: str) -> None:
    sim = simulation(record, store=False)
    sim.fault("drop", call="POST", effect="after")
    ending = sim.to_the_end()
    assert sim.effects == 1
    assert_unknown(ending) if record in LEAVE_NO_TRACE else assert_adopted(ending, sim)


@pytest.mark.parametrize("deferrable", [False, True], ids=["blocking", "deferrable"])
def test_without_a_store_the_log_says_so_once(
    deferrable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sim = simulation("redeploy", store=False, deferrable=deferrable)
    log = mock.Mock()
    monkeypatch.setattr(Redeploy, "log", log)
    assert_finished(sim.to_the_end(), sim)
    said = [api_request.args[0] for api_request in log.info.call_args_list]
    assert sum("keeps no task state" in text for text in said) == 1


def test_durable_false_keeps_no_journal() -> None:
    sim = simulation("redeploy", durable=False)
    assert_finished(sim.to_the_end(), sim)
    assert sim.store is not None
    assert sim.store.entries == {}


# --- retries without a journal, entries of something else, and time -------------------------------


@pytest.mark.parametrize(("if_busy", "kind"), [("send", "success"), ("fail", "AppBusyError")])
def test_a_retry_of_a_restart_without_a_journal_minds_if_busy(if_busy: str, kind: str) -> None:
    """A restart leaves no trace, so there is nothing to wait for before it is sent again."""
    sim = Simulation("restart", store=False, if_busy=if_busy, timeout=60)
    sim.try_number = 1
    sim.world.change_app(sim.app.id, state="RESTAGING")
    began = sim.clock.time()
    assert sim.run().kind == kind
    assert sim.clock.time() - began < 30
    assert sim.effects == (kind == "success")


@pytest.mark.parametrize(
    ("clears", "kind"), [(0, "AirflowFailException"), (1, "OutcomeUnknownError")]
)
def test_the_entry_of_an_operator_on_something_else_is_told_from_its_own(
    clears: int, kind: str
) -> None:
    """The task of this id redeployed an app before; now it builds. Nothing is sent."""
    before = Simulation()
    assert before.run(crash="after redeploy_app").kind == "Crash"
    build = BuildSimulation()
    assert build.store is not None
    assert before.store is not None
    build.store.entries.update(before.store.entries)
    build.try_number, build.clears = 1, clears
    ending = build.run()
    assert ending.kind == kind, ending.error
    assert build.effects == 0


def test_a_journal_whose_snapshot_is_damaged_sends_nothing() -> None:
    sim = Simulation()
    assert sim.run(crash="after redeploy_app").kind == "Crash"
    assert sim.store is not None
    entry = sim.store.entry
    entry["snapshot"]["shown"] = {}
    sim.store.entries[KEY] = json.dumps(entry)
    ending = sim.run()
    assert ending.kind == "AirflowFailException"
    assert "its entry is damaged" in str(ending.error)
    assert sim.effects == 1


def test_the_final_observation_of_a_verification_ends_with_execution_timeout() -> None:
    """DaoCloud is down just then, and an outage may last longer than the task."""
    sim = Simulation(
        verify=True,
        verify_timeout=60,
        max_outage=600,
        execution_timeout=timedelta(seconds=100),
    )
    sim.world.plan(ActionPlan(leaves="NOT_RUNNING", times=1))
    armed: list[bool] = []
    sim.on_posted = lambda _posted: armed.append(True)
    send = sim.client.send

    def note(*args: Any, **kwargs: Any) -> Any:
        armed.append(signal.getitimer(signal.ITIMER_REAL)[0] > 0)
        return send(*args, **kwargs)

    sim.client.send = note  # type: ignore[method-assign]
    assert sim.run().kind == "DaoCloudAppStateError"
    assert len(armed) > 3
    assert all(armed)
