"""Random schedules of faults, crashes, clears and other clients, for DaoCloud Enterprise.

What is special here: each invocation has one effect *and* the task succeeds, unless somebody else
undoes it. Only a pipeline without a marker may end as *outcome unknown*.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections import Counter
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from airflow_provider_daocloud.sandbox.enterprise import EnterpriseOptions
from tests.support.enterprise_simulation import ACTS, NEW, OTHER, EnterpriseSimulation
from tests.support.simulation import Ending, Posted

SCHEDULES = int(os.environ.get("SCHEDULES", "0"))
SETTLE = 30.0
NO_ANSWER: list[dict[str, Any]] = [
    {"kind": "drop"},
    {"kind": "reset"},
    {"kind": "status", "status": 502},
    {"kind": "drop", "effect": "after"},
    {"kind": "reset", "effect": "after"},
    {"kind": "status", "status": 502, "effect": "after"},
    {"kind": "html", "effect": "after"},
    {"kind": "truncated", "effect": "after"},
]
REFUSALS: list[dict[str, Any]] = [
    {"kind": "too_many", "retry_after": 5},
    {"kind": "status", "status": 503},
]
UNREADABLE: list[dict[str, Any]] = [
    {"kind": "drop"},
    {"kind": "status", "status": 503},
    {"kind": "html"},
    {"kind": "empty"},
]
WRITES = ["get", "intended", "accepted", "finished", "any"]


def _trouble(what: str, *details: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(st.just(what), *(st.sampled_from(values) for values in details))


TROUBLE = st.one_of(
    _trouble("send", NO_ANSWER, [1, 1, 2, None]),
    _trouble("send", REFUSALS, [1, 2]),
    _trouble("late", [0.05, 0.5, 0.95]),
    _trouble("crash", list(range(1, 21))),
    _trouble("read", UNREADABLE, [1, 5], [0, 1, 4]),
    _trouble("store", WRITES, ["lose", "keep"]),
)
# How a try may end. Anything else is a bug.
ENDINGS = {
    "success",
    "deferred",
    "Crash",
    "JournalError",
    "OutageError",
    "OutcomeUnknownError",
    "ProtocolError",
    "RateLimitedError",
    "ServerFaultError",
    "UnreachableError",
}


class Lives(RuleBasedStateMachine):
    """One task instance and all that can befall it."""

    acts: ClassVar[tuple[str, ...]] = ("deploy", "restart", "scale", "stop")
    options: ClassVar[dict[str, Any]] = {}
    # Whether nobody may be able to tell what became of a request.
    doubtful: ClassVar[bool] = False
    counts: ClassVar[Counter[str]] = Counter()
    sim: EnterpriseSimulation

    @initialize(data=st.data(), deferrable=st.booleans())
    def begin(self, data: st.DataObject, deferrable: bool) -> None:
        act = data.draw(st.sampled_from(self.acts))
        self.sim = EnterpriseSimulation(
            act,
            options=EnterpriseOptions(**self.options),
            deferrable=deferrable,
            settle_time=SETTLE,
            max_outage=120.0,
            # A try too many would end it in the middle of things: success is what is looked for.
            retries=20,
        )
        self.sim.on_posted = self._posted
        self.ending: Ending | None = None
        self.wrong: list[str] = []
        self.counts["schedules"] += 1

    @property
    def deferred(self) -> bool:
        return self.ending is not None and self.ending.kind == "deferred"

    @property
    def over(self) -> bool:
        """Whether Airflow lets the task be, until somebody clears it."""
        if self.ending is None or self.deferred:
            return False
        tried_out = self.sim.try_number > self.sim.max_tries
        return tried_out or self.ending.kind in ("success", "OutcomeUnknownError")

    @precondition(lambda self: not self.over and not self.deferred)
    @rule(troubles=st.lists(TROUBLE, min_size=1, max_size=3))
    def try_it(self, troubles: list[tuple[Any, ...]]) -> None:
        """Run the next try, with whatever befalls it."""
        crash = self._beset(troubles)
        self._ended(self.sim.run(crash=crash))

    @precondition(lambda self: self.deferred)
    @rule(troubles=st.lists(TROUBLE, max_size=2))
    def resume(self, troubles: list[tuple[Any, ...]]) -> None:
        """Wait in the triggerer, and go on with the try in a new process."""
        assert self.ending is not None
        crash = self._beset(troubles)
        self._ended(self.sim.resume(self.ending, crash=crash))

    @precondition(lambda self: self.ending is not None and not self.deferred)
    @rule()
    def clear(self) -> None:
        """Clear the task: a new invocation."""
        self.sim.clear()
        self.ending = None

    @rule(seconds=st.sampled_from([1.0, 15.0, 100.0, 100_000.0]))
    def time_passes(self, seconds: float) -> None:
        self.sim.clock.sleep(seconds)

    @rule(what=st.sampled_from(["scale", "deploy", "push"]))
    def somebody_acts(self, what: str) -> None:
        """Another client changes what our act does not touch, or starts a run."""
        sim = self.sim
        if what == "push":
            for pipeline in (sim.marked, sim.plain):
                sim.dce.pipelines.start(pipeline, {"TAG": "theirs"}, started_by="somebody")
        elif what == "scale" and sim.act in ("deploy", "restart"):
            sim.dce.workloads.scale(sim.web, 2)
        elif what == "deploy" and sim.act in ("scale", "restart", "stop"):
            template = {"spec": {"containers": [{"name": "web", "image": OTHER}]}}
            sim.dce.workloads.patch(sim.web, {"spec": {"template": template}})

    def _beset(self, troubles: list[tuple[Any, ...]]) -> int | None:
        sim = self.sim
        crash: int | None = None
        self._calm()
        for what, *details in troubles:
            if what == "send":
                fault, times = details
                sim.fault(**fault, call=sim.request, times=times, seconds=60.0)
            elif what == "read":
                fault, times, skip = details
                sim.fault(**fault, call="GET", times=times, skip=skip, seconds=60.0)
            elif what == "late":
                sim.client.late.append(details[0] * SETTLE * 0.45)
            elif what == "store":
                assert sim.store is not None
                sim.store.fail.append((details[0], details[1]))
            else:
                (crash,) = details
        return crash

    def _calm(self) -> None:
        sim = self.sim
        assert sim.store is not None
        sim.service.faults.clear()
        sim.store.fail, sim.client.late, sim.client.refused = [], [], 0

    def teardown(self) -> None:
        """Let the task come to its end with nothing in the way: it succeeds."""
        if not hasattr(self, "sim"):
            return
        self._calm()
        while not self.over:
            if self.deferred:
                assert self.ending is not None
                self._ended(self.sim.resume(self.ending))
            else:
                self._ended(self.sim.run())
        assert self.ending is not None
        self.counts[f"ended: {self.ending.kind}"] += 1
        assert self.ending.kind == "success" or self.doubtful, self.ending.error
        self.one_invocation_has_one_effect()

    @invariant()
    def one_invocation_has_one_effect(self) -> None:
        """And no success without it."""
        assert not getattr(self, "wrong", []), self.wrong

    def _posted(self, posted: Posted) -> None:
        note(f"    effect: {posted}")
        self.counts["actions"] += 1
        ours = [one for one in self.sim.posted if one.invocation == posted.invocation]
        if len(ours) > 1:
            self.wrong.append(f"two effects of invocation {posted.invocation}: {ours}")

    def _ended(self, ending: Ending) -> None:
        sim = self.sim
        note(f"    try {sim.try_number} of {sim.invocation}: {ending.kind} {ending.error}")
        self.ending = ending
        self.counts[f"try: {ending.kind}"] += 1
        if ending.kind not in ENDINGS:
            self.wrong.append(f"ended in {ending.error!r}")
        if ending.kind == "OutcomeUnknownError" and not self.doubtful:
            self.wrong.append(f"unknown: {ending.error!r}")
        if ending.kind == "success":
            self._check(ending.result)

    def _check(self, result: dict[str, Any]) -> None:
        """Hold what the task says against what DaoCloud knows."""
        sim = self.sim
        shown = sim.web.object["spec"]
        if sim.act == "deploy":
            good = sim.images["web"] == NEW and len(sim.images) == 2
        elif sim.act == "scale":
            good = shown["replicas"] == 4
        elif sim.act == "stop":
            good = shown["replicas"] == 0
        elif sim.act == "restart":
            good = any(one.invocation == sim.invocation for one in sim.posted)
        else:
            pipeline = sim.marked if sim.act == "run" else sim.plain
            (run,) = (one for one in pipeline.runs if str(one.number) == result["run_id"])
            good = run.state == "SUCCESS" and run.started_by != "somebody"
        if not good:
            self.wrong.append(f"{result} is not what DaoCloud shows")


def kind(**members: Any) -> type[Lives]:
    return type("Lives", (Lives,), members)


KINDS = {
    "workloads": kind(),
    "workloads, merge patches": kind(options={"patch_type": "merge"}),
    "workloads whose version is not checked": kind(options={"patch_conflicts": False}),
    "workloads, times in milliseconds": kind(options={"workload_times": "ms"}),
    "pipelines with a marker": kind(acts=("run",)),
    "pipelines with a marker, runs are shown 8 s later": kind(
        acts=("run",), options={"run_lag": 8.0}
    ),
    "pipelines with a marker, the answer is empty": kind(
        acts=("run",), options={"start_answer": "empty"}
    ),
    "pipelines without one": kind(acts=("run, unmarked",), doubtful=True),
}
QUICK = {"workloads": 40, "pipelines with a marker": 20}


@pytest.mark.parametrize("what", KINDS)
def test_one_invocation_is_one_effect_and_success(what: str, record_property: Any) -> None:
    """Whatever befalls it."""
    machine = KINDS[what]
    machine.counts = Counter()
    with contextlib.redirect_stdout(io.StringIO()):  # what the tasks log
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=SCHEDULES or QUICK.get(what, 8),
                stateful_step_count=10,
                deadline=None,
                derandomize=not SCHEDULES,
                phases=[Phase.reuse, Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            ),
        )
    print(f"\n{what}: {dict(sorted(machine.counts.items()))}")
    record_property("soak", (what, dict(machine.counts)))
    assert machine.counts["actions"] > 0
    assert set(machine.acts) <= set(ACTS)
