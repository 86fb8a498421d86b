"""The one judgement: what is pending, succeeded or failed, and for how long to observe."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_daocloud.api import errors
from airflow_provider_daocloud.api.errors import CallError, InputError, WaitError
from airflow_provider_daocloud.api.openapi.actions import Action
from airflow_provider_daocloud.api.openapi.apps import App, AppState
from airflow_provider_daocloud.api.openapi.builds import Build, BuildFlow, BuildStatus
from airflow_provider_daocloud.api.openapi.generation import OPEN_API
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.validation import check_seconds
from airflow_provider_daocloud.core.waiting.backoff import Backoff
from airflow_provider_daocloud.core.waiting.blocking import block
from airflow_provider_daocloud.core.waiting.call import Call
from airflow_provider_daocloud.core.waiting.progress_log import ProgressLog
from airflow_provider_daocloud.core.waiting.refusals import REFUSAL_GRACE, refusal_grace
from airflow_provider_daocloud.core.waiting.tracker import NOT_FOUND_GRACE, Tracker
from airflow_provider_daocloud.core.waiting.wait import (
    FINAL_POLL,
    Observation,
    Outcome,
    Wait,
    WaitState,
    is_permanent,
)
from airflow_provider_daocloud.core.waiting.wording import in_words
from airflow_provider_daocloud.resources.openapi.app import ActionWait, AppWait
from airflow_provider_daocloud.resources.openapi.build_flow import (
    BuildFlowWait,
    BuildWait,
    parse_statuses,
)
from airflow_provider_daocloud.resources.openapi.stack import StackActionWait
from tests.support.fakes import FakeTime
from tests.support.samples import ACTION, ACTION_ID, APP, APP_ID, BUILD, FLOW, FLOW_ID, NOW

ACTION_WAIT = ActionWait(APP_ID, ACTION_ID)
TITLE = f"Action {ACTION_ID[:8]}… of app {APP_ID[:8]}…"
STACK_WAIT = StackActionWait("a-stack", ACTION_ID)
FLOW_WAIT = BuildFlowWait(FLOW_ID)
BUILD_WAIT = BuildWait(FLOW_ID, "17")
APP_WAIT = AppWait(APP_ID)
OLD, NEW = "package-old", "package-new"


def action(state: str, message: str | None = None) -> Action:
    """Return an action as the API shows it."""
    return Action.parse(ACTION | {"state": state, "error_info": {"message": message}})


def flow(status: str | None, package_id: str | None = OLD) -> BuildFlow:
    """Return a build flow as the API shows it."""
    return BuildFlow.parse(FLOW | {"status": status, "package_id": package_id})


def build(status: str | None) -> Build:
    """Return a build as the API shows it."""
    return Build.parse({"id": 17, "status": status, "tag": "master-1", "ref_is_tag": "false"})


def app(state: str | None, release_name: str | None = "v1") -> App:
    """Return an app as the API shows it."""
    return App.parse(APP | {"state": state, "release_name": release_name})


# --- actions -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        *((state, "succeeded") for state in ("SUCCESS", "success", "Success")),
        *((state, "failed") for state in ("FAILED", "failed", "Failed")),
        *((state, "pending") for state in ("IN_PROCESS", "in_process", "In Process")),
        *((state, "pending") for state in ("DONE", "SUCCEEDED", "FAILURE", "ERROR", "CANCELLED")),
    ],
)
@pytest.mark.parametrize("wait", [ACTION_WAIT, STACK_WAIT], ids=lambda wait: wait.kind)
def test_action(wait: ActionWait | StackActionWait, state: str, verdict: str) -> None:
    """SUCCESS and FAILED end the wait; every other word, known or not, is pending."""
    wait_state: WaitState = {}
    observe = wait.judge(action(state), wait_state)
    assert (observe.verdict, observe.state) == (verdict, state)
    assert observe.result["action_id"] == ACTION_ID
    assert wait_state == {}


@pytest.mark.parametrize("state", ["DONE", "SUCCEEDED", "hibernating"])
def test_unknown_state_of_an_action(state: str) -> None:
    """A word that nobody knows is never a success, and worth a note."""
    observe = ACTION_WAIT.judge(action(state), {})
    assert str(observe) == f"this provider does not know its state ({state})"
    assert ACTION_WAIT.judge(action("IN_PROCESS"), {}).note == ""


def test_failed_action_says_why() -> None:
    """DaoCloud's message is the reason; without one that is said."""
    assert ACTION_WAIT.judge(action("FAILED", "no such tag"), {}).problem == ("failed: no such tag")
    assert ACTION_WAIT.judge(action("FAILED"), {}).problem == "failed: DaoCloud gives no reason"


def test_result_names_what_was_asked_for() -> None:
    """The result names the action and app that were asked for, whatever the answer leaves out."""
    bare = Action.parse({"id": "other-spelling", "state": "SUCCESS"})
    result = ACTION_WAIT.judge(bare, {}).result
    assert (result["action_id"], result["app_id"]) == (ACTION_ID, APP_ID)
    assert "stack_id" not in result
    result = STACK_WAIT.judge(bare, {}).result
    assert (result["action_id"], result["stack_id"]) == (ACTION_ID, "a-stack")
    assert "app_id" not in result


# --- build flows: any build ----------------------------------------------------------------------

FAILURES = ["Failure", "Error", "Cancelled", "Timeout", "Killed"]


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        *((status, "succeeded") for status in ("Success", "success", "SUCCESS")),
        *((status, "failed") for status in (*FAILURES, "Canceled", "canceled", "FAILURE")),
        *((status, "pending") for status in ("Pending", "Started", "started")),
        *((status, "pending") for status in ("Succeeded", "Queued", "", None)),
    ],
)
def test_build_flow(status: str | None, verdict: str) -> None:
    """Without a package to differ from, the status that is seen decides at once."""
    observe = FLOW_WAIT.judge(flow(status), {})
    assert observe.verdict == verdict
    assert observe.result["id"] == FLOW_ID
    assert bool(observe.note) == (status in ("Succeeded", "Queued", "", None))


@pytest.mark.parametrize("target", list(BuildStatus)[:-1])
@pytest.mark.parametrize("seen", list(BuildStatus)[:-1])
def test_asked_for_statuses(target: BuildStatus, seen: BuildStatus) -> None:
    """The status asked for is success, be it Failure; every other failure still fails."""
    observe = BuildFlowWait(FLOW_ID, (target,)).judge(flow(str(seen)), {})
    if seen is target:
        assert observe.verdict == "succeeded"
    elif str(seen) in FAILURES:
        assert (observe.verdict, observe.problem) == ("failed", f"failed: its build is {seen}")
    else:
        assert observe.verdict == "pending"


def test_several_statuses() -> None:
    """Several statuses may be asked for: any of them will do."""
    wait = BuildFlowWait.of(FLOW_ID, ["Success", "failure"])
    assert wait.judge(flow("Failure"), {}).verdict == "succeeded"
    assert wait.judge(flow("Success"), {}).verdict == "succeeded"
    assert wait.judge(flow("Error"), {}).verdict == "failed"


@pytest.mark.parametrize("words", [[], (), "", "Succes", ["Success", "x"], [None], [5], "UNKNOWN"])
def test_statuses_that_are_none(words: Any) -> None:
    """A word that is no status is refused, and the error tells those that are."""
    with pytest.raises(InputError, match=r"^target_statuses: must be of Pending, Started, "):
        parse_statuses(words)


def test_statuses_in_any_case() -> None:
    """Statuses are taken in any letter case and in both spellings, alone or several."""
    assert parse_statuses("success") == (BuildStatus.SUCCESS,)
    assert parse_statuses(iter(["FAILURE", "Canceled"])) == (
        BuildStatus.FAILURE,
        BuildStatus.CANCELLED,
    )


# --- build flows: a new build --------------------------------------------------------------------

# What is seen at each observation, and the verdict of the last one; the others are pending.
NEW_BUILD: dict[str, tuple[list[tuple[str | None, str | None]], str]] = {
    "yesterday's success": ([("Success", OLD)] * 3, "pending"),
    "success without a package": ([("Success", None)], "pending"),
    "success with an empty package": ([("Success", "")], "pending"),
    "built already": ([("Success", NEW)], "succeeded"),
    "built while we watched": (
        [("Success", OLD), ("Pending", OLD), ("Started", OLD), ("Success", NEW)],
        "succeeded",
    ),
    "built between two observations": ([("Success", OLD), ("Success", NEW)], "succeeded"),
    "built after yesterday's failure": ([("Failure", OLD), ("Success", NEW)], "succeeded"),
    "a success that keeps the package": (
        [("Success", OLD), ("Started", OLD), ("Success", OLD)],
        "pending",
    ),
    **{
        f"yesterday's {status}": ([(status, OLD)] * 3, "pending")
        for status in (*FAILURES, "Canceled")
    },
    **{
        f"{status} while we watched": (
            [("Success", OLD), ("Started", OLD), (status, OLD)],
            "failed",
        )
        for status in (*FAILURES, "Canceled")
    },
    "a failure that we saw pending": ([("Pending", OLD), ("Failure", OLD)], "failed"),
    "failed between two observations": ([("Success", OLD), ("Failure", OLD)], "failed"),
    "failed in another way": ([("Failure", OLD), ("Error", OLD)], "failed"),
    "failed again after a start": (
        [("Failure", OLD), ("Started", OLD), ("Failure", OLD)],
        "failed",
    ),
    "the same in another letter case": ([("Failure", OLD), ("FAILURE", OLD)], "pending"),
    "the same in another spelling": ([("Cancelled", OLD), ("canceled", OLD)], "pending"),
    "no package, written in two ways": ([("Failure", None), ("Failure", "")], "pending"),
    "an unknown word": ([("Success", OLD), ("Queued", OLD)], "pending"),
    "a failure after an unknown word": ([("Queued", OLD), ("Failure", OLD)], "failed"),
    "no status at all": ([(None, OLD)], "pending"),
}


@pytest.mark.parametrize("story", NEW_BUILD)
def test_new_build(story: str) -> None:
    """Yesterday's result passes for nothing: a new package, or a change that the wait saw."""
    seen, verdict = NEW_BUILD[story]
    wait = BuildFlowWait.of(FLOW_ID, previous_package_id=OLD)
    wait_state: WaitState = {}
    verdicts = []
    for status, package_id in seen:
        verdicts.append(wait.judge(flow(status, package_id), wait_state).verdict)
        wait_state = json.loads(json.dumps(wait_state))  # as it is between two processes
    assert verdicts == ["pending"] * (len(seen) - 1) + [verdict]


def test_new_build_of_a_flow_that_had_none() -> None:
    """Where there was no package before, any package is a new one."""
    for none in ("", "None", None):
        wait = BuildFlowWait.of(FLOW_ID, previous_package_id=none, new_build=True)
        assert wait.judge(flow("Success", None), {}).verdict == "pending"
        assert wait.judge(flow("Success", NEW), {}).verdict == "succeeded"
        assert wait.judge(flow("Failure", None), {}).verdict == "pending"


def test_asked_for_failure_of_a_new_build() -> None:
    """A status other than Success that is asked for counts only once the wait saw a change."""
    wait = BuildFlowWait.of(FLOW_ID, "Failure", OLD)
    wait_state: WaitState = {}
    assert wait.judge(flow("Failure"), wait_state).verdict == "pending"
    assert wait.judge(flow("Started"), wait_state).verdict == "pending"
    assert wait.judge(flow("Failure"), wait_state).verdict == "succeeded"


def test_old_build_is_noted() -> None:
    """A wait that sees only the old build says so, with its package."""
    observe = BuildFlowWait.of(FLOW_ID, previous_package_id=OLD).judge(flow("Success"), {})
    assert observe.note == f"the latest is still package {OLD}"


@pytest.mark.parametrize("package_id", ["{{ x }}", "a b", " "])
def test_package_that_is_none(package_id: str) -> None:
    """A package id that is a template or has white space is refused by name."""
    with pytest.raises(InputError, match=r"^previous_package_id: "):
        BuildFlowWait.of(FLOW_ID, previous_package_id=package_id)


# --- one build -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        *((status, "succeeded") for status in ("Success", "success", "SUCCESS")),
        *((status, "failed") for status in (*FAILURES, "Canceled", "canceled", "FAILURE")),
        *((status, "pending") for status in ("Pending", "Started", "Succeeded", "", None)),
    ],
)
def test_build(status: str | None, verdict: str) -> None:
    """Its own status decides, with no regard to what was before it."""
    observe = BUILD_WAIT.judge(build(status), {})
    assert observe.verdict == verdict
    assert (observe.result["build_id"], observe.result["build_flow_id"]) == ("17", FLOW_ID)
    assert bool(observe.note) == (status in ("Succeeded", "", None))


def test_failed_build_says_how() -> None:
    """The error tells which build it was and how it ended."""
    with pytest.raises(errors.BuildFailedError) as caught:
        tracker(BUILD_WAIT).saw(Build.parse(BUILD | {"status": "canceled"}))
    assert str(caught.value) == (
        "Build 17 of build flow 90d58d34… failed: it is Cancelled (branch master, "
        f"commit {BUILD['sha'][:12]}, author daocloud) (build 17 of build flow {FLOW_ID})."
    )
    assert (caught.value.observed or {})["tag"] == BUILD["tag"]


def test_a_build_may_be_named_by_its_number() -> None:
    """The API's ids of builds are numbers; as text they name the same build."""
    assert BuildWait(FLOW_ID, 17).request() == BUILD_WAIT.request()
    with pytest.raises(InputError, match=r"^build_id: must be a string, not bool"):
        BuildWait(FLOW_ID, True).request()


# --- apps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", list(AppState)[:-1])
@pytest.mark.parametrize("seen", [*list(AppState)[:-1], "hibernating", "", None])
def test_app(target: AppState, seen: str | None) -> None:
    """The state that is asked for ends the wait, and nothing else does."""
    observe = AppWait(APP_ID, (target,)).judge(app(seen), {})
    assert observe.verdict == ("succeeded" if seen == target else "pending")
    assert observe.result == app(seen).as_dict()
    assert bool(observe.note) == (seen in ("hibernating", "", None))


@pytest.mark.parametrize(
    ("state", "release", "verdict"),
    [
        ("running", "v2", "succeeded"),
        ("RUNNING", "v1", "pending"),
        ("RUNNING", "V2", "pending"),
        ("RUNNING", None, "pending"),
        ("RESTAGING", "v2", "pending"),
        ("RESTAGING", "v1", "pending"),
    ],
)
def test_app_with_a_release(state: str, release: str | None, verdict: str) -> None:
    """State and release are shown at once: neither alone suffices."""
    observe = AppWait.of(APP_ID, release_name="v2").judge(app(state, release), {})
    assert (observe.verdict, observe.state) == (verdict, f"{state} with release {release}")


@pytest.mark.parametrize(
    ("state", "release", "verdict"),
    [
        ("RUNNING", "v2", "succeeded"),
        ("RUNNING", "v1", "pending"),
        ("NOT_RUNNING", "v2", "failed"),
        ("not_running", "v1", "failed"),
        ("STOPPED", "v2", "succeeded"),
        ("STOPPED", "v1", "failed"),
        ("RESTAGING", "v1", "pending"),
        ("hibernating", "v2", "pending"),
    ],
)
def test_app_that_must_not_come_to_rest_elsewhere(state: str, release: str, verdict: str) -> None:
    """States that fail do so, unless it is all that is waited for."""
    wait = AppWait.of(APP_ID, ["RUNNING", "stopped"], "v2", ["NOT_RUNNING", "STOPPED"])
    assert wait.judge(app(state, release), {}).verdict == verdict


def test_app_that_rests_elsewhere_says_where() -> None:
    """The error tells what the app shows, and what it was to show."""
    wait = AppWait.of(APP_ID, release_name="v2", fail_states=["NOT_RUNNING"])
    with pytest.raises(errors.AppStateError) as caught:
        tracker(wait).saw(app("NOT_RUNNING"))
    assert str(caught.value) == (
        "App open-api is NOT_RUNNING with release v1, and not RUNNING with release v2 "
        f"(app {APP_ID})."
    )
    assert (caught.value.observed or {})["state"] == "NOT_RUNNING"
    wait = AppWait.of(APP_ID, ["RUNNING", "SLEEPING"], fail_states=["STOPPED"])
    assert wait.judge(app("stopped"), {}).problem == "is stopped, and not RUNNING or SLEEPING"


@pytest.mark.parametrize("words", [[], (), "", "UP", ["RUNNING", "x"], [None], [5], "UNKNOWN"])
def test_states_that_are_none(words: Any) -> None:
    """A word that is no state of an app is refused, and the error tells those that are."""
    with pytest.raises(InputError, match=r"^target_states: must be of RUNNING, STOPPED, "):
        AppWait.of(APP_ID, words)
    if words:
        with pytest.raises(InputError, match=r"^fail_states: must be of RUNNING, STOPPED, "):
            AppWait.of(APP_ID, fail_states=words if isinstance(words, list) else [words])


@pytest.mark.parametrize("release", ["", " ", "None", "{{ x }}", "a b", 5.5])
def test_release_that_is_none(release: Any) -> None:
    """A release that rendered to nothing is an error: it must not become any release."""
    with pytest.raises(InputError, match=r"^release_name: "):
        AppWait.of(APP_ID, release_name=release)
    with pytest.raises(InputError, match=r"^release_name: "):
        AppWait.of(APP_ID, release_name=None, with_release=True)
    assert AppWait.of(APP_ID, release_name=None, with_release=False).release_name is None


def test_waits_tell_what_they_wait_for() -> None:
    """A wait reads as what it is, in logs and errors, and knows its call."""
    assert str(ACTION_WAIT) == f"action {ACTION_ID} of app {APP_ID}"
    assert str(FLOW_WAIT) == f"build flow {FLOW_ID}"
    assert str(BuildFlowWait(FLOW_ID, previous_package_id=OLD)) == f"build flow {FLOW_ID}"
    assert str(STACK_WAIT) == f"action {ACTION_ID} of stack a-stack"
    assert str(BUILD_WAIT) == f"build 17 of build flow {FLOW_ID}"
    assert str(APP_WAIT) == f"app {APP_ID}"
    assert str(APP_WAIT.request()) == f"GET /apps/{APP_ID}"
    assert str(STACK_WAIT.request()) == f"GET /stacks/a-stack/actions/{ACTION_ID}"
    assert str(BUILD_WAIT.request()) == f"GET /build-flows/{FLOW_ID}/builds/17"
    assert str(ACTION_WAIT.request()) == f"GET /apps/{APP_ID}/actions/{ACTION_ID}"
    assert str(FLOW_WAIT.request()) == f"GET /build-flows/{FLOW_ID}"
    with pytest.raises(InputError, match="app_id"):
        ActionWait("", ACTION_ID).request()


# --- the tracker ---------------------------------------------------------------------------------

FAULTS: list[CallError] = [
    errors.ServerFaultError("GET /x", "the server failed (HTTP 503).", status=503),
    errors.UnreachableError("GET /x", "no answer came."),
    errors.ProtocolError("GET /x", "no JSON.", status=200),
]
FATAL: list[CallError] = [
    errors.AuthenticationError("GET /x", "wrong token.", status=401),
    errors.RefusedError("GET /x", "refused.", status=403),
]
NOT_FOUND = errors.NotFoundError("GET /x", "no such thing.", status=404)
LIMITED = errors.RateLimitedError("GET /x", "spent.", status=403, retry_at=NOW + 1800)


def tracker(wait: Wait = ACTION_WAIT, **settings: Any) -> Tracker:
    """Return the tracker of a wait that begins now."""
    return Tracker(wait, started_at=NOW, **settings)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_outage_budget(fault: CallError) -> None:
    """Faults are survived until they have lasted for max_outage, counted from the first one."""
    tracked = tracker(max_outage=600.0)
    tracked.saw(action("IN_PROCESS"))
    for elapsed in (1000, 1300, 1599):
        tracked.missed(fault, NOW + elapsed)
    with pytest.raises(errors.OutageError) as caught:
        tracked.missed(fault, NOW + 1600)
    said = str(caught.value)
    assert said.startswith(f"{TITLE} could not be read for 10 min (max_outage 10 min).")
    assert str(fault) in said
    assert (caught.value.observed or {})["state"] == "IN_PROCESS"


def test_a_good_observation_ends_an_outage() -> None:
    """Between two outages a single observation suffices."""
    tracked = tracker(max_outage=600.0)
    for start in range(0, 6000, 600):
        tracked.missed(FAULTS[0], NOW + start)
        tracked.missed(FAULTS[0], NOW + start + 599)
        tracked.saw(action("IN_PROCESS"))
        assert tracked.last_error is None
    assert "outage_since" not in tracked.wait_state


def test_no_outage_allowed() -> None:
    """With max_outage=0 the first fault ends the wait."""
    with pytest.raises(errors.OutageError) as caught:
        tracker(max_outage=0.0).missed(FAULTS[0], NOW)
    assert caught.value.observed is None


def test_outage_goes_on_in_the_next_process() -> None:
    """The start of an outage is kept in the memory, which survives the process as JSON."""
    first = tracker(max_outage=600.0)
    first.missed(FAULTS[0], NOW)
    second = tracker(max_outage=600.0, wait_state=json.loads(json.dumps(first.wait_state)))
    second.missed(FAULTS[0], NOW + 599)
    with pytest.raises(errors.OutageError):
        second.missed(FAULTS[0], NOW + 600)


def test_a_spent_limit_is_no_outage() -> None:
    """A spent hour is waited for however long it takes, even with no outage allowed."""
    tracked = tracker(max_outage=0.0)
    for elapsed in range(0, 7200, 600):
        tracked.missed(LIMITED, NOW + elapsed)


def test_a_spent_limit_ends_an_outage() -> None:
    """Who says that the limit is spent has answered: the time until its reset is no outage."""
    tracked = tracker(max_outage=600.0)
    tracked.missed(FAULTS[0], NOW)
    tracked.missed(LIMITED, NOW + 10)
    tracked.missed(FAULTS[0], NOW + 1900)
    tracked.missed(FAULTS[0], NOW + 2499)
    with pytest.raises(errors.OutageError):
        tracked.missed(FAULTS[0], NOW + 2500)


@pytest.mark.parametrize("error", FATAL, ids=lambda error: type(error).__name__)
def test_what_no_retry_can_fix(error: CallError) -> None:
    """A wrong token and a refusal end the wait at once, as what they are."""
    with pytest.raises(type(error)) as caught:
        tracker().missed(error, NOW)
    assert caught.value is error


@pytest.mark.parametrize("wait", [ACTION_WAIT, STACK_WAIT, BUILD_WAIT], ids=lambda wait: wait.kind)
def test_404_right_after_the_post(wait: Wait) -> None:
    """What was just posted, and nobody has seen yet, may be missing for some seconds."""
    tracked = tracker(wait)
    tracked.missed(NOT_FOUND, NOW)
    tracked.missed(NOT_FOUND, NOW + NOT_FOUND_GRACE)
    with pytest.raises(errors.NotFoundError):
        tracked.missed(NOT_FOUND, NOW + NOT_FOUND_GRACE + 0.1)


PAGE = errors.ProtocolError("GET /x", "a web page came.", status=404)
CONFLICT = errors.RefusedError("GET /x", "refused.", status=409)
GONE = [FATAL[0], FATAL[1], NOT_FOUND]
GRACE = REFUSAL_GRACE


def read_before(**settings: Any) -> Tracker:
    """Return the tracker of a wait that an earlier process began, and that has read something."""
    first = tracker(**settings)
    first.saw(action("IN_PROCESS"))
    return tracker(**settings, wait_state=json.loads(json.dumps(first.wait_state)))


@pytest.mark.parametrize("error", GONE, ids=lambda error: str(error.status))
def test_what_was_read_and_is_gone_is_permanent_when_it_stays(error: CallError) -> None:
    """Also in the next process; another answer in between, good or bad, begins it anew."""
    tracked = read_before()
    tracked.missed(error, NOW)
    tracked.missed(error, NOW + GRACE - 1)
    tracked.missed(FAULTS[0], NOW + GRACE)
    tracked.missed(error, NOW + GRACE + 1)
    tracked.saw(action("IN_PROCESS"))
    tracked.missed(CONFLICT, NOW + GRACE + 2)
    tracked.missed(error, NOW + GRACE + 3)
    next_one = tracker(wait_state=json.loads(json.dumps(tracked.wait_state)))
    next_one.missed(error, NOW + 2 * GRACE + 2)
    with pytest.raises(type(error)) as caught:
        next_one.missed(error, NOW + 2 * GRACE + 3)
    assert caught.value is error


@pytest.mark.parametrize("status", [300, 302, 304, 400, 405, 409, 410, 421, 423, 451, 499])
def test_any_other_refusal_of_what_was_read_is_an_outage(status: int) -> None:
    error = errors.RefusedError("GET /x", "refused.", status=status)
    tracked = read_before(max_outage=600.0)
    tracked.missed(error, NOW)
    tracked.missed(error, NOW + 599)
    with pytest.raises(errors.OutageError, match="could not be read for 10 min"):
        tracked.missed(error, NOW + 600)


@pytest.mark.parametrize("tracked", [tracker, read_before])
def test_a_web_page_is_an_outage_whether_anything_was_read_or_not(tracked: Any) -> None:
    it = tracked(max_outage=600.0)
    it.missed(PAGE, NOW)
    it.missed(PAGE, NOW + 599)
    with pytest.raises(errors.OutageError):
        it.missed(PAGE, NOW + 600)


@pytest.mark.parametrize(("max_outage", "grace"), [(0.0, 0.0), (7.0, 7.0), (600.0, GRACE)])
def test_the_rule_for_refusals(max_outage: float, grace: float) -> None:
    """What was not read before is permanent at once; the grace is never longer than an outage."""

    def rule(error: CallError, *, read: bool) -> float | None:
        return refusal_grace(error, read=read, max_outage=max_outage)

    for error in (*FAULTS, LIMITED, PAGE):
        assert rule(error, read=False) is rule(error, read=True) is None
    for error in GONE:
        assert (rule(error, read=False), rule(error, read=True)) == (0.0, grace)
    assert (rule(CONFLICT, read=False), rule(CONFLICT, read=True)) == (0.0, None)


def test_the_pause_is_not_longer_than_a_refusal_may_stay() -> None:
    tracked = read_before(max_outage=600.0)
    tracked.missed(NOT_FOUND, NOW + 3000)
    assert tracked.pause(NOW + 3000, Backoff(max_interval=300.0)) <= GRACE


def call_with(answers: list[CallError | str], *, read: bool, method: str = "GET") -> Any:
    """Make one call, outside of a wait, on a simulated clock."""
    time, told = FakeTime(), []
    answered: list[str] = []

    def send(request: Request[Any], *, within: float) -> Any:
        response = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(response, CallError):
            raise response
        answered.append(response)

    began = time.now
    try:
        block(
            Call(Request("x", method, "/x", str, api=OPEN_API)),
            send,
            timeout=3600.0,
            poll_interval=10.0,
            max_outage=600.0,
            wait_state={"read": read},
            log=lambda text, *values: told.append(text % values),
            clock=lambda: time.now,
            sleep=time.sleep,
        )
    except errors.DaoCloudError as e:
        return e, time.now - began, told
    return answered, time.now - began, told


def test_a_good_answer_in_between_shows_that_a_refusal_does_not_stay() -> None:
    tracked = read_before()
    tracked.missed(NOT_FOUND, NOW)
    tracked.saw(action("IN_PROCESS"))
    tracked.missed(NOT_FOUND, NOW + GRACE + 1)


def test_a_call_outside_of_a_wait_goes_by_the_same_rule() -> None:
    for error in (*GONE, CONFLICT):
        assert call_with([error, "seen"], read=True)[0] == ["seen"]
        assert call_with([error, "seen"], read=False)[:2] == (error, 0.0)
    for error in GONE:
        failed, seconds, _ = call_with([error], read=True)
        assert failed is error
        assert GRACE <= seconds <= GRACE + 11
    for error in (CONFLICT, *FAULTS, PAGE):
        failed, seconds, told = call_with([error], read=True)
        assert isinstance(failed, errors.OutageError)
        said = f"DaoCloud could not be read for {in_words(seconds)} (max_outage 10 min)."
        assert str(failed).startswith(said)
        assert 600 <= seconds <= 611
        assert told[0].startswith(f"Waiting for DaoCloud: cannot be read: {error}; retrying for 10")
    assert "Waiting for DaoCloud" in call_with([FAULTS[0], "seen"], read=False)[2][0]


def test_a_write_is_sent_again_only_if_it_never_arrived() -> None:
    never = errors.UnreachableError("POST /x", "cannot connect.")
    assert call_with([never, LIMITED, "taken"], read=True, method="POST")[0] == ["taken"]
    failed = call_with([never], read=True, method="POST")[0]
    assert isinstance(failed, errors.OutageError)
    for error in (
        errors.OutcomeUnknownError("POST /x", "no answer came."),
        errors.ProtocolError("POST /x", "no JSON."),
        *GONE,
        CONFLICT,
    ):
        assert call_with([error, "taken"], read=True, method="POST")[:2] == (error, 0.0)


@pytest.mark.parametrize("wait", [FLOW_WAIT, APP_WAIT], ids=lambda wait: wait.kind)
def test_404_of_what_was_there_before(wait: Wait) -> None:
    """A build flow and an app were there before the wait: a 404 ends it at once."""
    with pytest.raises(errors.NotFoundError):
        tracker(wait).missed(NOT_FOUND, NOW)


def test_failure_is_raised_by_the_observation() -> None:
    """A failed action and a failed build each have their error, with what was seen."""
    with pytest.raises(errors.ActionFailedError, match="no such tag") as caught:
        tracker().saw(action("FAILED", "no such tag"))
    assert str(caught.value) == f"{TITLE} failed: no such tag ({ACTION_WAIT})."
    assert (caught.value.observed or {})["error_message"] == "no such tag"
    with pytest.raises(
        errors.BuildFailedError, match=r"failed: its build is Timeout \(build flow "
    ):
        tracker(FLOW_WAIT).saw(flow("timeout"))


def test_observation_has_the_object() -> None:
    """The observation has the typed object that the request returned."""
    seen = action("SUCCESS")
    observe = tracker().saw(seen)
    assert (observe.seen, observe.verdict) == (seen, "succeeded")


def test_time_is_up() -> None:
    """A time-out says what was waited for, how long, what was seen last, and why not more."""
    tracked = tracker()
    assert str(tracked.timed_out(90.0)) == (
        f"{TITLE} did not become SUCCESS within 90 s; it was never seen ({ACTION_WAIT})."
    )
    tracked.saw(action("Restoring"))
    tracked.missed(FAULTS[1], NOW)
    error = tracked.timed_out(2.5)
    assert str(error) == (
        f"{TITLE} did not become SUCCESS within 2.5 s; this provider does not know its state "
        f"(Restoring) ({ACTION_WAIT}). Last error: no answer came. (GET /x)"
    )
    assert (error.observed or {})["state"] == "Restoring"


# --- pauses --------------------------------------------------------------------------------------


def test_cadence_grows() -> None:
    """Quick at first, then a share of the time waited, never more than the longest; with jitter."""
    backoff = Backoff(max_interval=60.0)
    for elapsed, longest in ((0, 1), (4, 1), (10, 2), (100, 20), (300, 60), (36000, 60)):
        pauses = [backoff.pause(elapsed) for _ in range(50)]
        assert all(0.9 * longest <= pause <= longest for pause in pauses)
        assert len(set(pauses)) > 40


def test_cadence_keeps_a_short_interval() -> None:
    """An interval shorter than the first pause is kept from the start."""
    assert Backoff(max_interval=0.2).pause(0.0) <= 0.2


@pytest.mark.parametrize("retry_in", [30.0, 1800.0])
def test_pause_that_the_server_asked_for(retry_in: float) -> None:
    """After a 429 or a spent limit, the next poll comes after the time that was given."""
    tracked = tracker()
    tracked.missed(errors.RateLimitedError("GET /x", "spent.", retry_at=NOW + retry_in), NOW)
    pauses = [tracked.pause(NOW, Backoff(10.0)) for _ in range(50)]
    assert all(retry_in < pause < retry_in + 2 for pause in pauses)
    assert len(set(pauses)) > 40


@pytest.mark.parametrize("retry_in", [0.0, -100.0, 5.0])
def test_pause_is_not_shortened_by_the_server(retry_in: float) -> None:
    """A server that says *at once* is not asked more often than one that says nothing."""
    tracked = tracker(max_outage=7200.0)
    tracked.missed(errors.ServerFaultError("GET /x", "failed.", retry_at=NOW + retry_in), NOW)
    backoff = Backoff(60.0)
    assert all(tracked.pause(NOW + 600, backoff) >= 0.9 * 60 for _ in range(50))


# --- waiting in this thread ----------------------------------------------------------------------

Shown = Callable[[float], Any]


class Story:
    """A thing that DaoCloud shows as time goes by; an error is raised.

    :param shown: returns what is shown after so many seconds.
    """

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        self.time = FakeTime()
        self.observations: list[float] = []
        self.within: list[float] = []
        self.lines: list[str] = []

    def send(self, request: Any, *, within: float) -> Any:
        """Read the resource."""
        self.within.append(within)
        elapsed = self.time.now - NOW
        self.observations.append(elapsed)
        seen = self._shown(elapsed)
        if isinstance(seen, Exception):
            raise seen
        return seen

    def log(self, line: str, *arguments: object) -> None:
        """Keep a line."""
        self.lines.append(line % arguments)

    def wait(self, wait: Wait = ACTION_WAIT, **settings: Any) -> Observation:
        """Wait until it ends."""
        given = {"timeout": 3600.0, "poll_interval": 10.0} | settings
        return block(
            wait,
            self.send,
            log=self.log,
            clock=self.time.clock,
            sleep=self.time.sleep,
            **given,
        )


def steps(*seen: tuple[float, Any]) -> Shown:
    """Show each thing from its second on."""
    return lambda elapsed: [thing for since, thing in seen if since <= elapsed][-1]


RUNNING, DONE = action("IN_PROCESS"), action("SUCCESS")


def test_block_gives_each_poll_the_time_that_is_left() -> None:
    """However slowly an answer comes, a wait ends within its timeout plus the final poll."""
    story = Story(steps((0, RUNNING)))
    with pytest.raises(errors.WaitTimeoutError):
        story.wait(timeout=100.0)
    ends = [
        observe + within for observe, within in zip(story.observations, story.within, strict=True)
    ]
    assert ends == pytest.approx([100.0 + FINAL_POLL] * len(ends))


def test_block_returns_at_once() -> None:
    """What has succeeded already takes one poll, and no sleep."""
    story = Story(steps((0, DONE)))
    observe = story.wait()
    assert (observe.verdict, observe.seen) == ("succeeded", DONE)
    assert (story.observations, story.time.slept) == ([0], [])


@pytest.mark.parametrize("ends", [2, 30, 300, 3000])
def test_block_sees_the_end_soon(ends: float) -> None:
    """An end is seen within a fifth of the time waited, or a second, or the interval."""
    story = Story(steps((0, RUNNING), (ends, DONE)))
    story.wait(poll_interval=60.0)
    assert ends <= story.observations[-1] <= ends + min(max(1.0, 0.2 * ends), 60.0)


def test_block_pauses_grow() -> None:
    """The pauses begin at a second and grow to the interval: an hour costs few calls."""
    story = Story(steps((0, RUNNING), (3600, DONE)))
    story.wait(poll_interval=60.0, timeout=7200.0)
    assert 0.9 <= story.time.slept[0] <= 1.0
    assert all(pause <= 60.0 for pause in story.time.slept)
    for pause, at in zip(story.time.slept, story.observations, strict=False):
        assert pause >= 0.9 * min(max(1.0, 0.2 * at), 60.0)
    assert len(story.observations) < 100


def test_block_polls_at_the_deadline() -> None:
    """The final poll comes when the time is up, neither before nor after."""
    story = Story(steps((0, RUNNING)))
    with pytest.raises(errors.WaitTimeoutError, match=r"within 100 s; it is IN_PROCESS"):
        story.wait(timeout=100.0)
    assert story.observations[-1] == pytest.approx(100.0)
    assert story.observations == sorted(set(story.observations))


def test_block_takes_what_the_final_poll_shows() -> None:
    """A success that comes in the last moment is a success, a failure a failure."""
    assert Story(steps((0, RUNNING), (100, DONE))).wait(timeout=100.0).verdict == "succeeded"
    with pytest.raises(errors.ActionFailedError):
        Story(steps((0, RUNNING), (100, action("FAILED")))).wait(timeout=100.0)


def test_block_polls_at_the_deadline_though_the_limit_is_spent() -> None:
    """A reset after the deadline is not waited for: the final poll is made at the deadline."""
    story = Story(lambda at: LIMITED if at < 100 else DONE)
    assert story.wait(timeout=100.0).verdict == "succeeded"
    assert story.observations == [0, pytest.approx(100.0)]


def test_block_waits_for_the_reset() -> None:
    """A spent limit is asked again after its reset, and not before."""
    story = Story(lambda at: LIMITED if at < 1800 else DONE)
    story.wait(max_outage=0.0)
    assert len(story.observations) == 2
    assert 1800 < story.observations[1] < 1802


def test_block_survives_an_outage() -> None:
    """Nine minutes of faults of all kinds, then the end: the wait succeeds."""
    kinds = itertools.cycle(FAULTS)
    story = Story(lambda at: RUNNING if at < 60 else next(kinds) if at < 600 else DONE)
    assert story.wait().verdict == "succeeded"


def test_block_gives_up_on_a_long_outage() -> None:
    """After max_outage of faults the wait ends as an outage, with the action's id."""
    story = Story(lambda at: RUNNING if at < 60 else FAULTS[0])
    with pytest.raises(errors.OutageError, match=ACTION_ID):
        story.wait(max_outage=300.0)
    first_fault = next(at for at in story.observations if at >= 60)
    assert first_fault + 300 <= story.observations[-1] <= first_fault + 310


def test_block_tolerates_a_late_replica() -> None:
    """An action that cannot be read in its first seconds is waited for; longer, it is unknown."""
    assert Story(lambda at: NOT_FOUND if at < 5 else DONE).wait().verdict == "succeeded"
    story = Story(lambda at: NOT_FOUND)
    with pytest.raises(errors.NotFoundError):
        story.wait()
    assert story.observations[-1] < 20


def test_block_does_not_send_a_bad_id() -> None:
    """A bad id ends the wait before anything is sent."""
    story = Story(steps((0, DONE)))
    with pytest.raises(InputError, match="action_id"):
        story.wait(ActionWait(APP_ID, "../x"))
    assert story.observations == []


def test_block_lets_bugs_through() -> None:
    """An exception that is no answer of DaoCloud is not taken for an outage."""
    with pytest.raises(ZeroDivisionError):
        Story(lambda at: ZeroDivisionError()).wait()


def test_block_remembers_what_it_saw() -> None:
    """A new build that fails while the wait watches fails it; the same status before did not."""
    story = Story(steps((0, flow("Failure")), (60, flow("Started")), (300, flow("Failure"))))
    with pytest.raises(errors.BuildFailedError):
        story.wait(BuildFlowWait.of(FLOW_ID, previous_package_id=OLD), poll_interval=30.0)
    assert story.observations[-1] >= 300


# --- log lines -----------------------------------------------------------------------------------


def test_few_lines() -> None:
    """A wait of three hours says little: fewer lines the longer it lasts."""
    story = Story(steps((0, RUNNING), (3 * 3600, DONE)))
    story.wait(timeout=4 * 3600.0)
    assert len(story.observations) > 1000
    assert 5 < len(story.lines) < 25
    assert story.lines[0].startswith(
        f"Waiting for a{TITLE[1:]}: it is IN_PROCESS; 0 s of 4 h; next poll in "
    )
    assert story.lines[-1].startswith(f"{TITLE} is SUCCESS after 3 h")
    assert "next poll" not in story.lines[-1]


def test_every_change_is_logged() -> None:
    """Each new state, note and fault is logged once, when it is first seen."""
    seen = [(0, RUNNING), (20, action("Restoring")), (40, FAULTS[0]), (60, FAULTS[1]), (80, DONE)]
    story = Story(steps(*seen))
    story.wait()
    told = "\n".join(story.lines)
    for words in ("is IN_PROCESS", "its state (Restoring)", "HTTP 503", "SUCCESS"):
        assert words in told
    assert len(story.lines) < 12


def test_an_outage_says_little() -> None:
    """Faults that differ only in their details, as an id of their own, are logged like one."""
    ids = itertools.count()

    def shown(at: float) -> Any:
        if at > 3000:
            return DONE
        return errors.ServerFaultError("GET /x", "failed.", status=503, error_id=f"e{next(ids)}")

    story = Story(shown)
    story.wait(max_outage=3600.0)
    assert len(story.observations) > 200
    assert len(story.lines) < 20


def test_when_a_line_is_due() -> None:
    """The next line about an unchanged state is due ever later."""
    tracked, told = tracker(), []
    log = ProgressLog(lambda *line: told.append(line))
    tracked.saw(RUNNING)
    for elapsed in (0, 100, 1000):
        log.add(tracked, NOW + elapsed)
        due = log.due(tracked)
        assert due >= NOW + max(elapsed * 1.5, elapsed + 10)
        lines = len(told)
        log.add(tracked, due - 1)
        assert len(told) == lines
    log.add(tracked, due)
    assert len(told) == lines + 1


def test_an_unchanged_state_is_logged_at_once_after_ten_seconds_and_then_ever_more_seldom() -> None:
    tracked, seconds = tracker(), []
    tracked.saw(RUNNING)
    log = ProgressLog(lambda *_line: seconds.append(elapsed))
    for elapsed in range(500):
        log.add(tracked, NOW + elapsed)
    assert seconds == [0, 10, 20, 30, 45, 68, 102, 153, 230, 345]


def test_what_was_not_observed_yet_is_not_due_for_ten_seconds() -> None:
    tracked = tracker()
    log = ProgressLog(print)
    log.add(tracked, NOW + 30)
    assert log.due(tracked) == NOW + 40


def test_nothing_to_log() -> None:
    """Before the first observation there is nothing to log."""
    lines: list[Any] = []
    ProgressLog(lambda *line: lines.append(line)).add(tracker(), NOW)
    assert lines == []


# --- outcomes ------------------------------------------------------------------------------------

RESULT = {"action_id": ACTION_ID, "state": "SUCCESS"}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.ActionFailedError("failed", RESULT), "failed"),
        (errors.BuildFailedError("failed", RESULT), "failed"),
        (errors.AppStateError("failed", RESULT), "failed"),
        (errors.WaitTimeoutError("time is up", RESULT), "timeout"),
        (errors.OutageError("unreadable", RESULT), "unreachable"),
        (NOT_FOUND, "permanent"),
        (InputError("app_id", "is empty."), "permanent"),
        *((error, "permanent") for error in FATAL),
        *((error, "unreachable") for error in (*FAULTS, LIMITED)),
        (errors.OutcomeUnknownError("POST /x", "no answer came."), "unreachable"),
    ],
)
def test_outcome_of_an_error(error: errors.DaoCloudError, kind: str) -> None:
    """Failed, time is up, an outage and what no retry can fix are never mixed up."""
    outcome = Outcome.of_error(error)
    assert (outcome.status, outcome.message) == (kind, str(error))
    assert outcome.result == (RESULT if isinstance(error, WaitError) else None)
    assert is_permanent(error) == (kind == "permanent")


def test_outcome_of_an_observation() -> None:
    """An observation that shows success is one; any other is an outage, never success."""
    assert Outcome.of_observation(tracker().saw(DONE)) == Outcome(
        "succeeded", DONE.as_dict(), "It is SUCCESS."
    )
    ongoing = Outcome.of_observation(tracker().saw(RUNNING))
    assert (ongoing.status, ongoing.result) == ("unreachable", RUNNING.as_dict())
    assert "IN_PROCESS" in ongoing.message


@pytest.mark.parametrize("kind", Outcome.STATUSES)
def test_outcome_survives_an_event(kind: Any) -> None:
    """An outcome is the same after the trip through a trigger's event, which is JSON."""
    outcome = Outcome(kind, RESULT, "it ended")
    assert Outcome.of_event(json.loads(json.dumps(outcome.as_event()))) == outcome


@pytest.mark.parametrize(
    "event",
    [
        *(None, "success", 5, [], {}, {"status": "success"}, {"status": "success"}),
        *({"status": None}, {"status": "SUCCEEDED", "result": {}}, {"status": ["succeeded"]}),
        *({"status": "succeeded"}, {"status": "succeeded", "result": None}),
        *({"status": "succeeded", "result": "x"}, {"status": "failed", "result": [1]}),
        {"event": {"status": "succeeded", "result": {}}},
    ],
    ids=repr,
)
def test_foreign_events(event: Any) -> None:
    """An event that is missing, foreign or of an unknown kind is an error, never a success."""
    with pytest.raises(InputError, match=r"^event: "):
        Outcome.of_event(event)


def test_events_of_later_versions() -> None:
    """Fields that this version does not know are ignored."""
    event = Outcome("succeeded", RESULT).as_event() | {"new": 1}
    assert Outcome.of_event(event) == Outcome("succeeded", RESULT)


def test_error_in_an_event_is_short() -> None:
    """A foreign event is quoted only so far."""
    with pytest.raises(InputError) as caught:
        Outcome.of_event("x" * 10_000)
    assert len(str(caught.value)) < 400


# --- durations -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(5, 5), (0.5, 0.5), (timedelta(minutes=2), 120), (timedelta(milliseconds=10), 0.01)],
)
def test_durations(value: Any, seconds: float) -> None:
    """A duration is a number of seconds, or a timedelta."""
    assert check_seconds("timeout", value) == seconds


def bad_durations() -> Iterable[Any]:
    """Everything that is no duration."""
    yield from (-1, -0.1, float("nan"), float("inf"), -float("inf"), timedelta(seconds=-1))
    yield from (None, "5", True, False, [], {}, ...)


@pytest.mark.parametrize("value", bad_durations(), ids=repr)
@pytest.mark.parametrize("zero", [True, False])
def test_bad_durations(value: Any, zero: bool) -> None:
    """Negative, endless, no number: an error that names the argument."""
    with pytest.raises(InputError, match=r"^poll_interval: must be "):
        check_seconds("poll_interval", value, zero=zero)


@pytest.mark.parametrize("value", [0, 0.0, timedelta()])
def test_zero(value: Any) -> None:
    """Zero is a duration only where it means something."""
    assert check_seconds("max_outage", value, zero=True) == 0
    with pytest.raises(InputError, match=r"^timeout: must be more than 0"):
        check_seconds("timeout", value)
