"""Builds and actions on stacks: one invocation is one of them, as far as anything shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_daocloud.api.errors import InputError, OutcomeUnknownError
from airflow_provider_daocloud.operators.daocloud import (
    DaoCloudStackActionOperator,
    DaoCloudTriggerBuildOperator,
)
from airflow_provider_daocloud.sandbox.objects import ActionPlan, BuildPlan
from airflow_provider_daocloud.sandbox.options import Options
from tests.behaviour.submission.test_submission import ANSWERED
from tests.support.results import check_result
from tests.support.simulation import BuildSimulation, Simulation, StackSimulation

MODES = pytest.mark.parametrize("deferrable", [False, True], ids=["blocking", "deferrable"])
KINDS = pytest.mark.parametrize(
    "make", [BuildSimulation, StackSimulation], ids=["build", "stack action"]
)
BEFORE: dict[str, dict[str, Any]] = {
    "rejected": {"kind": "drop"},
    "502": {"kind": "status", "status": 502},
}
AFTER: dict[str, dict[str, Any]] = {
    "rejected": {"kind": "drop", "effect": "after"},
    "502": {"kind": "status", "status": 502, "effect": "after"},
    "HTML": {"kind": "html"},
}


@MODES
def test_a_build(deferrable: bool) -> None:
    sim = BuildSimulation(branch="release/1", deferrable=deferrable)
    ending = sim.to_the_end()
    assert ending.kind == "success", ending.error
    [build] = sim.builds
    assert ending.result == {
        "build_id": str(build.id),
        "build_flow_id": sim.flow.id,
        "build_flow_name": "web",
        "status": "Success",
        "tag": build.tag,
        "ref": "release/1",
        "sha": build.sha,
        "author": "sandbox",
        "ref_is_tag": False,
        "ref_is_branch": True,
        "created_at": ending.result["created_at"],
    }
    assert sim.xcoms["build_id"] == str(build.id)


@MODES
def test_a_stack(deferrable: bool) -> None:
    sim = StackSimulation(deferrable=deferrable)
    ending = sim.to_the_end()
    assert ending.kind == "success", ending.error
    assert ending.result["action_id"] == sim.actions[0].id
    assert ending.result["stack_id"] == sim.stack.id
    assert ending.result["state"] == "SUCCESS"


@MODES
@pytest.mark.parametrize("outcome", ["Failure", "Error", "Cancelled", "Timeout"])
def test_a_build_that_fails(outcome: str, deferrable: bool) -> None:
    sim = BuildSimulation(deferrable=deferrable)
    sim.world.plan_build(BuildPlan(outcome=outcome))
    ending = sim.to_the_end()
    assert ending.kind == "DaoCloudBuildFailedError"
    assert outcome in str(ending.error)
    assert sim.to_the_end().kind == "success"  # a retry builds again
    assert sim.effects == 2


def test_somebody_elses_build_is_not_the_one_that_is_waited_for() -> None:
    """The flow shows the latest build; the wait is for its own."""
    sim = BuildSimulation()
    sim.world.plan_build(BuildPlan(seconds=60.0))
    sim.clock.later(5, lambda: sim.world.start_build(sim.flow.id, BuildPlan(outcome="Failure")))
    ending = sim.to_the_end()
    assert ending.kind == "success", ending.error
    assert ending.result["build_id"] == str(sim.builds[0].id)


@KINDS
@pytest.mark.parametrize("fault", BEFORE)
def test_a_post_that_did_not_arrive_is_sent_again(
    make: Callable[..., Simulation], fault: str
) -> None:
    sim = make()
    sim.fault(**{"call": "POST"} | BEFORE[fault])
    assert sim.to_the_end().kind == "success"
    assert sim.effects == 1
    assert any("did not change in" in line for line in sim.lines)


@KINDS
@pytest.mark.parametrize("fault", AFTER)
def test_a_post_whose_answer_is_lost_is_not_sent_again(
    make: Callable[..., Simulation], fault: str
) -> None:
    sim = make()
    sim.fault(**{"call": "POST"} | AFTER[fault])
    ending = sim.to_the_end()
    assert isinstance(ending.error, OutcomeUnknownError)
    assert "Cannot tell whether DaoCloud accepted" in str(ending.error)
    assert sim.effects == 1
    assert sim.to_the_end().kind == "OutcomeUnknownError"
    assert sim.effects == 1


@KINDS
@pytest.mark.parametrize("response", ANSWERED)
def test_an_answer_without_an_id_is_never_followed_by_a_second_post(
    make: Callable[..., Simulation], response: str
) -> None:
    """Whoever took it: nothing that shows would prove that it did not arrive."""
    sim = make()
    ANSWERED[response](sim)
    for _ in range(3):
        ending = sim.to_the_end()
        assert isinstance(ending.error, OutcomeUnknownError)
        assert "Cannot tell whether DaoCloud accepted" in str(ending.error)
    assert len(sim.client.posts) == 1


POINTS = {
    "before observation": "posted",
    "before intended": "posted",
    "after intended": "posted",
    "before POST": "posted",
    "after POST": "riddle",
    "before accepted": "riddle",
    "after accepted": "reconnected",
    "before finished": "reconnected",
    "after finished": "stored",
    "return": "stored",
}


@MODES
@KINDS
@pytest.mark.parametrize("point", POINTS)
def test_a_process_that_dies(make: Callable[..., Simulation], point: str, deferrable: bool) -> None:
    sim = make(deferrable=deferrable)
    observation = "get_build_flow" if make is BuildSimulation else "get_stack"
    name = point.replace("POST", sim.request).replace("observation", observation)
    ending = sim.run(crash=name)
    if ending.deferral is not None:
        ending = sim.resume(ending, crash=name)
    assert ending.kind == "Crash"
    ending = sim.to_the_end()
    assert sim.effects == 1
    expected = "OutcomeUnknownError" if POINTS[point] == "riddle" else "success"
    assert ending.kind == expected, ending.error


def test_adopt_takes_a_build_that_was_made_since() -> None:
    sim = BuildSimulation(on_ambiguous="adopt")
    sim.fault("drop", call="POST", effect="after")
    ending = sim.to_the_end()
    assert ending.kind == "success", ending.error
    assert ending.result["adopted"] is True
    assert ending.result["build_id"] is None
    check_result(DaoCloudTriggerBuildOperator, ending.result)
    assert sim.effects == 1


def test_adopt_takes_no_build_that_failed() -> None:
    sim = BuildSimulation(on_ambiguous="adopt")
    sim.world.plan_build(BuildPlan(outcome="Failure"))
    sim.fault("drop", call="POST", effect="after")
    assert sim.to_the_end().kind == "OutcomeUnknownError"
    assert sim.effects == 1


def test_after_a_failure_an_unchanged_flow_proves_nothing() -> None:
    """A build that fails again leaves the same word: nobody can tell whether there was one."""
    sim = BuildSimulation()
    sim.flow.status = "Failure"
    sim.fault("drop", call="POST")
    assert sim.to_the_end().kind == "OutcomeUnknownError"
    assert sim.effects == 0


# --- reuse_running_build ------------------------------------------------------------------------


@MODES
def test_reuse_running_build_joins_a_build_that_runs(deferrable: bool) -> None:
    sim = BuildSimulation(reuse_running_build=True, deferrable=deferrable)
    sim.world.start_build(sim.flow.id)
    ending = sim.to_the_end()
    assert ending.kind == "success", ending.error
    assert ending.result["existing_run"] is True
    assert ending.result["build_id"] is None
    assert ending.result["package_id"] == sim.flow.package_id
    assert sim.effects == 0


@MODES
def test_an_existing_build_that_fails(deferrable: bool) -> None:
    sim = BuildSimulation(reuse_running_build=True, deferrable=deferrable)
    sim.world.start_build(sim.flow.id, BuildPlan(outcome="Failure"))
    ending = sim.to_the_end()
    assert ending.kind == "DaoCloudBuildFailedError"
    assert sim.effects == 0


@MODES
@pytest.mark.parametrize("outcome", ["Success", "Failure"])
def test_an_existing_build_leaves_the_journal_of_a_former_invocation(
    outcome: str, deferrable: bool
) -> None:
    sim = BuildSimulation(reuse_running_build=True, deferrable=deferrable)
    assert sim.to_the_end().kind == "success"
    assert sim.store is not None
    former = sim.store.entry
    sim.clear()
    sim.world.start_build("web", BuildPlan(outcome))
    sim.to_the_end()
    assert sim.store.entry == former
    assert sim.effects == 1


def test_reuse_running_build_starts_one_on_an_idle_flow() -> None:
    sim = BuildSimulation(reuse_running_build=True)
    assert sim.to_the_end().result["build_id"] == str(sim.builds[0].id)


def test_without_it_builds_run_side_by_side() -> None:
    sim = BuildSimulation()
    sim.world.start_build(sim.flow.id)
    assert sim.to_the_end().result["build_id"] == str(sim.builds[0].id)
    assert sim.effects == 1


# --- an older installation, bad input -------------------------------------------------------------


def test_an_older_installation_says_so_and_names_the_way() -> None:
    sim = BuildSimulation(options=Options(later_calls=False))
    ending = sim.to_the_end()
    assert ending.kind == "AirflowFailException"
    assert "older than the call that starts a build" in str(ending.error)
    assert "DaoCloudBuildFlowSensor" in str(ending.error)


def test_an_unknown_build_flow_is_not_an_old_installation() -> None:
    sim = BuildSimulation(build_flow_id="no-such-flow")
    ending = sim.to_the_end()
    assert ending.kind == "AirflowFailException"
    assert "older" not in str(ending.error)


def test_without_waiting_it_returns_the_id() -> None:
    sim = BuildSimulation(wait_for_completion=False)
    assert sim.to_the_end().result == str(sim.builds[0].id)


def test_bad_input() -> None:
    with pytest.raises(InputError, match="reuse_running_build: needs wait_for_completion=True"):
        DaoCloudTriggerBuildOperator(
            task_id="t", build_flow_id="f", reuse_running_build=True, wait_for_completion=False
        )
    with pytest.raises(InputError, match="on_ambiguous: cannot be 'adopt'"):
        DaoCloudStackActionOperator(task_id="t", stack_id="s", action="stop", on_ambiguous="adopt")
    with pytest.raises(InputError, match="action: must be one of start, stop, restart"):
        DaoCloudStackActionOperator(task_id="t", stack_id="s", action="redeploy")  # type: ignore[arg-type]


@pytest.mark.parametrize("branch", ["", "None", "a branch"])
def test_a_bad_branch_is_not_sent(branch: str) -> None:
    sim = BuildSimulation(branch=branch)
    ending = sim.to_the_end()
    assert ending.kind == "AirflowFailException"
    assert str(ending.error).startswith("branch: ")
    assert not sim.service.counts


@MODES
def test_a_stack_action_that_fails(deferrable: bool) -> None:
    sim = StackSimulation(deferrable=deferrable)
    sim.world.plan(ActionPlan("FAILED", "no room", stack_id=sim.stack.id))
    ending = sim.to_the_end()
    assert ending.kind == "DaoCloudActionFailedError"
    assert "no room" in str(ending.error)
