"""What a task does next, for every progress, event and policy that there can be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import product

import pytest

from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.core.submission.plan import (
    GOALS,
    STEPS,
    Await,
    Event,
    ExistingRun,
    Failed,
    Inconclusive,
    Policy,
    Progress,
    Raise,
    Resolved,
    Return,
    Started,
    Submit,
    Submitted,
    Succeeded,
    advance,
    trigger_may_end,
)

ERROR = RuntimeError("it broke.")
RESULT = {"action_id": "a1", "state": "SUCCESS"}
EVENTS: tuple[Event, ...] = (
    Started(),
    Submitted("a1"),
    Submitted("a1", reconnected=True),
    ExistingRun({"state": "Started"}),
    Resolved(RESULT),
    Resolved({"skipped": True, "action_id": None}),
    Succeeded(RESULT),
    Failed(ERROR),
    Inconclusive(ERROR),
)


def all_progress() -> Iterator[Progress]:
    for step, goal, attempt, previous, (receipt, result) in product(
        STEPS, GOALS, (1, 2, 3), (None, "v1", "v2"), ((None, None), ("a1", RESULT))
    ):
        reason = "Release v2 failed: it broke." if goal == "rollback" else None
        yield Progress(step, goal, attempt, previous, reason, receipt, result)


def all_policies() -> Iterator[Policy]:
    for wait, verify, attempts, rollback, release in product(
        (True, False), (True, False), (1, 2, 3), (True, False), (None, "v2")
    ):
        yield Policy(wait, verify, attempts, rollback, release)


TABLE = [
    (progress, event, policy, *advance(progress, event, policy))
    for progress, event, policy in product(all_progress(), EVENTS, all_policies())
]


def test_the_table_is_whole() -> None:
    """Every step, goal and event meets every policy, and each command comes up."""
    assert len(TABLE) == 180 * 9 * 48
    assert {type(command) for *_, command in TABLE} == {Submit, Await, Return, Raise}


def test_a_rollback_never_goes_forward_again() -> None:
    for progress, _, _, then, _ in TABLE:
        assert progress.goal == "forward" or then.goal == "rollback"


def test_a_rollback_is_not_tried_again() -> None:
    """A rollback that failed is over, and Airflow does not retry it."""
    rows = [row for row in TABLE if row[0].goal == "rollback" and isinstance(row[1], Failed)]
    for progress, _, _, then, command in rows:
        assert isinstance(command, Raise)
        if progress.step in ("wait", "join", "verify"):
            assert then.step == "over"
            assert command.error is None  # what Airflow does not retry
            assert "failed too: it broke." in command.story


def test_success_is_returned_for_the_forward_goal_alone() -> None:
    """But the id of what was submitted, if that is all that was wanted."""
    for progress, event, policy, _, command in TABLE:
        if isinstance(command, Return) and progress.goal == "rollback":
            assert isinstance(event, Submitted)
            assert not policy.wait


def test_what_is_over_submits_nothing() -> None:
    for progress, _, _, then, command in TABLE:
        if progress.step == "over":
            assert then == progress
            assert not isinstance(command, Submit | Await)


def test_over_ends_again_as_it_ended() -> None:
    """A process that dies before Airflow knows the end is followed by one that says the same."""
    for progress, event, policy, then, command in TABLE:
        if then.step == "over" and progress.step != "over":
            assert advance(then, Started(), policy) == (then, command), event


def test_a_submission_is_never_made_for_an_outage() -> None:
    """Nobody can tell what came of it: the progress stays, and the error is raised as it is."""
    for progress, event, _, then, command in TABLE:
        if isinstance(event, Inconclusive):
            assert then == progress
            assert isinstance(command, Raise)
            assert command.error is ERROR
            assert bool(command.story) == (progress.goal == "rollback")


def test_attempts_are_counted() -> None:
    """One more after each failure, up to the most; then from the first again for the next try."""
    for progress, event, policy, then, command in TABLE:
        if (
            isinstance(event, Failed)
            and progress.goal == "forward"
            and progress.step in ("wait", "join", "verify")
        ):
            if progress.attempt < policy.max_attempts:
                assert isinstance(command, Submit)
                assert then == replace(
                    progress,
                    step="submit",
                    attempt=progress.attempt + 1,
                    failures=progress.failures + 1,
                    receipt=None,
                    result=None,
                )
            else:
                assert then.attempt == 1
                rolls = policy.rollback and progress.previous_release not in (None, policy.release)
                assert (then.goal == "rollback") == rolls
                assert isinstance(command, Submit if rolls else Raise)


def test_a_rollback_has_somewhere_to_go() -> None:
    """Never to what it comes from, and never to nothing."""
    for progress, _, policy, then, _ in TABLE:
        if progress.goal == "forward" and then.goal == "rollback":
            assert policy.rollback
            assert then.previous_release not in (None, policy.release)


def test_what_is_verified_was_waited_for() -> None:
    for progress, _, policy, then, command in TABLE:
        if isinstance(command, Await) and command.target == "state":
            assert progress.step == "wait"
            assert policy.verify
            assert then.result == RESULT
            assert then.receipt == progress.receipt


def test_a_foreign_event_ends_nothing() -> None:
    """An event that cannot follow is no success, and nothing is submitted for it."""
    can_follow = {
        "submit": (Started, Submitted, ExistingRun, Resolved, Inconclusive),
        "wait": (Started, Succeeded, Failed, Inconclusive),
        "join": (Started, Succeeded, Failed, Inconclusive),
        "verify": (Started, Succeeded, Failed, Inconclusive),
        "over": (Started, Inconclusive),
    }
    for progress, event, _, then, command in TABLE:
        if not isinstance(event, can_follow[progress.step]):
            assert then == progress
            assert isinstance(command, Raise)
            assert isinstance(command.error, InputError)
            assert "cannot follow" in str(command.error)


def test_the_trigger_ends_what_a_worker_would_only_return() -> None:
    for progress, policy in product(all_progress(), all_policies()):
        may = trigger_may_end(progress, policy)
        assert may == (progress.step == "wait" and progress.goal == "forward" and not policy.verify)


def test_progress_survives_json() -> None:
    for progress in all_progress():
        assert Progress.of_json(json.loads(json.dumps(asdict(progress)))) == progress


@pytest.mark.parametrize(
    "damage",
    [
        {"step": "dance"},
        {"goal": None},
        {"attempt": "1"},
        {"attempt": True},
        {"previous_release": 1},
        {"failure_reason": []},
        {"receipt": 7},
        {"result": "SUCCESS"},
    ],
)
def test_damaged_progress_is_refused(damage: dict[str, object]) -> None:
    with pytest.raises(TypeError):
        Progress.of_json(asdict(Progress()) | damage)


@pytest.mark.parametrize("data", [{}, None, [], "x"])
def test_what_is_no_progress_is_refused(data: object) -> None:
    with pytest.raises(TypeError):
        Progress.of_json(data)
