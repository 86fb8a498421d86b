"""What comes of crashes and faults, for each act on DaoCloud Enterprise: the table in the docs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.enterprise_simulation import ACTS, EnterpriseSimulation
from tests.support.pages import hold_page

# Where the process of the first try is killed, by what it has just passed.
KILLED = {
    "killed before the intent is written": "before intended",
    "killed between the intent and the request": "before {request}",
    "killed after DaoCloud took it, before the journal": "after {request}",
    "killed while it waits": "after accepted",
    "killed between the end and the journal": "before finished",
    "killed between the journal and the return": "return",
}
FAULTS: dict[str, dict[str, Any]] = {
    "the connection is dropped before the effect": {"kind": "drop"},
    "the connection is dropped after the effect": {"kind": "drop", "effect": "after"},
    "502 after the effect": {"kind": "status", "status": 502, "effect": "after"},
    "a web page in a 200, after the effect": {"kind": "html", "effect": "after"},
    "half of the JSON in a 200, after the effect": {"kind": "truncated", "effect": "after"},
    "no request arrives for a minute": {"kind": "drop", "times": None, "seconds": 60.0},
    "the answer is lost on every request for a minute": {
        "kind": "drop",
        "effect": "after",
        "times": None,
        "seconds": 60.0,
    },
}
# What leaves an effect without anything that is kept of it.
LOST = ("killed after DaoCloud took it, before the journal", *list(FAULTS)[1:5], list(FAULTS)[6])


def outcome(row: str, act: str) -> str:
    """Let it happen in the first try, and say what came of the task."""
    sim = EnterpriseSimulation(act, settle_time=30.0)
    crash = None
    if row in KILLED:
        crash = KILLED[row].format(request=sim.request)
    else:
        fault = {"times": 1} | FAULTS[row]
        sim.fault(**fault, call=sim.request)
    ending = sim.to_the_end(crash)
    assert (ending.kind == "Crash") is (crash is not None), ending
    while ending.kind not in ("success", "OutcomeUnknownError"):
        assert sim.try_number <= sim.max_tries, ending.error
        ending = sim.to_the_end()
    words = {"success": "success", "OutcomeUnknownError": "outcome unknown"}[ending.kind]
    return f"{sim.effects} effect{'' if sim.effects == 1 else 's'}, {words}"


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("row", [*KILLED, *FAULTS])
def test_one_effect_and_success(row: str, act: str) -> None:
    """In each cell; only a run that carries no marker can be lost from sight."""
    doubtful = act == "run, unmarked" and row in LOST
    assert outcome(row, act) == f"1 effect, {'outcome unknown' if doubtful else 'success'}"


def test_the_table() -> None:
    heads = {"run": "run a pipeline", "run, unmarked": "run a pipeline without the marker"}
    names = [heads.get(act, act) for act in ACTS]
    lines = [f"| first try | {' | '.join(names)} |", "| --- |" + " --- |" * len(ACTS)]
    lines += [
        f"| {row} | {' | '.join(outcome(row, act) for act in ACTS)} |" for row in (*KILLED, *FAULTS)
    ]
    hold_page("enterprise", "\n".join(lines))


@pytest.mark.parametrize("act", ["restart", "scale", "run"])
def test_what_somebody_else_did_is_no_trace_of_ours(act: str) -> None:
    """The first try died before it sent anything; what changed since is not taken for it."""
    sim = EnterpriseSimulation(act, settle_time=30.0)
    assert sim.to_the_end(f"before {sim.request}").kind == "Crash"
    sim.dce.pipelines.start(sim.marked, {"TAG": "theirs"}, started_by="somebody")
    template = {"spec": {"containers": [{"name": "web", "image": "hub/shop/web:3.0"}]}}
    sim.dce.workloads.patch(sim.web, {"spec": {"template": template}})
    assert sim.to_the_end().kind == "success"
    assert sim.effects == 1
    assert any("shows no trace of it" in line for line in sim.lines)
