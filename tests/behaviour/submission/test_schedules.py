"""Random schedules of faults, crashes, clears and other clients: one invocation, one action.

Each schedule is one life of a task instance. The quick tests run some; ``make soak`` runs a
thousand of each kind (``SCHEDULES=1000``), and the hooks in ``conftest.py`` make a table of them.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
from collections import Counter
from collections.abc import Callable
from functools import partial
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

from airflow_provider_daocloud.sandbox.objects import Action, ActionPlan, BuildPlan
from airflow_provider_daocloud.sandbox.options import Options
from airflow_provider_daocloud.sandbox.world import AppBusyError
from tests.support.simulation import BuildSimulation, Ending, Posted, Seen, Simulation

SCHEDULES = int(os.environ.get("SCHEDULES", "0"))
SETTLE = 30.0
VERIFY = 60.0
REACHED = {"start": "RUNNING", "stop": "STOPPED", "restart": "RUNNING", "redeploy": "RUNNING"}

# How a try may end. Anything else is a bug.
ENDINGS = {
    "success",
    "deferred",
    "Crash",
    "AirflowFailException",
    "AppBusyError",
    "OutageError",
    "DaoCloudActionFailedError",
    "DaoCloudAppStateError",
    "DaoCloudBuildFailedError",
    "DaoCloudRolledBackError",
    "DaoCloudWaitTimeoutError",
    "JournalError",
    "OutcomeUnknownError",
    "ProtocolError",
    "RateLimitedError",
    "ServerFaultError",
    "UnreachableError",
}

SOMEBODY = [
    ("start", None),
    ("stop", None),
    ("restart", None),
    ("redeploy", "v1"),
    ("redeploy", "v2"),
    ("redeploy", "v3"),
]
# What the service refuses, it has not done; an answer that is spoilt is that of a call that was.
NO_ANSWER = [
    {"kind": "drop"},
    {"kind": "reset"},
    {"kind": "status", "status": 502},
    {"kind": "drop", "effect": "after"},
    {"kind": "reset", "effect": "after"},
    {"kind": "status", "status": 502, "effect": "after"},
    {"kind": "html"},
    {"kind": "truncated"},
    {"kind": "no_action_id"},
]
REFUSALS = [
    {"kind": "status", "status": 400},
    {"kind": "too_many", "retry_after": 5},
    {"kind": "spent", "retry_after": 45},
]
UNREADABLE = [
    {"kind": "drop"},
    {"kind": "status", "status": 503},
    {"kind": "html"},
    {"kind": "empty"},
    {"kind": "list"},
    {"kind": "spent", "retry_after": 45},
]
WRITES = ["intended", "accepted", "finished", "rejected", "any"]


def _trouble(what: str, *details: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(st.just(what), *(st.sampled_from(values) for values in details))


# What can befall one try.
TROUBLE = st.one_of(
    _trouble("post", NO_ANSWER, [1, 1, 2, None], [1.0, 60.0]),
    _trouble("post", NO_ANSWER, [1], [60.0]),
    _trouble("late", [0.05, 0.5, 0.95]),
    _trouble("crash", list(range(1, 21))),
    _trouble("crash", ["before POST", "after POST", "after accepted", "before get_action"]),
    _trouble("somebody", [0.0, 1.0, 8.0, 29.5], SOMEBODY),
    _trouble("read", UNREADABLE, ["get_app", "get_action"], [1, 5, None], [0, 1, 4], [20.0, 400.0]),
    _trouble("store", ["get", *WRITES], ["lose", "keep"]),
    _trouble("post", REFUSALS, [1, 2], [60.0]),
    _trouble("refused", [1, 4]),
)


class Lives(RuleBasedStateMachine):
    """One task instance and all that can befall it."""

    # What the service does, where nothing documents it.
    options: ClassVar[dict[str, Any]] = {}
    # Whether it may hide an action from everybody who reads the date, for longer than SETTLE.
    hides: ClassVar[bool] = False
    # So many seconds after it was given up may a POST arrive; what delays the date comes on top.
    latest: ClassVar[float] = SETTLE * 0.45
    # Whether it is always a redeploy whose first attempt fails, and that is to be rolled back.
    fails: ClassVar[bool] = False
    # What the calls are called with which other things than apps are read.
    reads: ClassVar[dict[str, str]] = {}
    counts: ClassVar[Counter[str]] = Counter()

    @initialize(
        record=st.sampled_from(
            [("start", ""), ("stop", ""), ("restart", ""), ("redeploy", "v1"), ("redeploy", "v2")]
        ),
        on_ambiguous=st.sampled_from(["reconcile", "reconcile", "adopt", "fail"]),
        if_busy=st.sampled_from(["wait", "wait", "send", "fail"]),
        busy=st.sampled_from(["refuse", "queue", "both"]),
        seconds=st.sampled_from([1.0, 5.0, 40.0, 200.0]),
        deferrable=st.booleans(),
        operated=st.sampled_from([86400.0, 3.0]),
        failing=st.lists(st.sampled_from(["SUCCESS", "FAILED", "LIE"]), max_size=3),
        verify=st.booleans(),
        max_attempts=st.sampled_from([1, 1, 2]),
        rollback=st.booleans(),
    )
    def begin(
        self,
        record: tuple[str, str],
        on_ambiguous: str,
        if_busy: str,
        busy: Any,
        seconds: float,
        deferrable: bool,
        operated: float,
        failing: list[str],
        verify: bool,
        max_attempts: int,
        rollback: bool,
    ) -> None:
        if self.fails:
            record, rollback, failing = ("redeploy", "v2"), True, failing or ["LIE", "SUCCESS"]
            verify = verify or failing[0] == "LIE"
        more: dict[str, Any] = (
            {"rollback_on_failure": True} if rollback and record[0] == "redeploy" else {}
        )
        options = {"busy": busy, "action_seconds": seconds} | self.options
        self.sim = sim = Simulation(
            *record,
            options=Options(**options),
            on_ambiguous=on_ambiguous,
            if_busy=if_busy,
            deferrable=deferrable,
            settle_time=SETTLE,
            max_outage=120.0,
            verify=verify,
            verify_timeout=VERIFY,
            max_attempts=max_attempts,
            **more,
        )
        sim.app.last_operated_at = sim.clock.time() - operated
        sim.world.view(sim.app)
        sim.app.view = None
        for end in failing:
            if end == "LIE":
                sim.world.plan(ActionPlan(leaves="NOT_RUNNING"))
            else:
                sim.plan(end)
        self._live()

    def _live(self) -> None:
        sim = self.sim
        assert sim.store is not None
        sim.store.on_set = self._stored
        sim.on_posted = self._posted
        self.ending: Ending | None = None
        self.harmless = True
        self.valid: list[str] = []
        self.wrong: list[str] = []
        # Invocations of which a second action was posted because nothing showed the first one.
        self.hidden: set[int] = set()
        self.tries: Counter[int] = Counter()
        self.counts["schedules"] += 1

    # What happens

    @property
    def over(self) -> bool:
        """Whether Airflow lets the task be, until somebody clears it."""
        if self.ending is None or self.ending.kind in ("deferred", "Crash"):
            tried_out = self.ending is not None and self.sim.try_number > self.sim.max_tries
            return self.ending is not None and self.ending.kind == "Crash" and tried_out
        final = self.ending.kind in ("success", "AirflowFailException", "DaoCloudRolledBackError")
        return final or self.sim.try_number > self.sim.max_tries

    @property
    def deferred(self) -> bool:
        return self.ending is not None and self.ending.kind == "deferred"

    @precondition(lambda self: not self.over and not self.deferred)
    @rule(troubles=st.lists(TROUBLE, min_size=1, max_size=3))
    def try_it(self, troubles: list[tuple[Any, ...]]) -> None:
        """Run the next try, with whatever befalls it."""
        self.tries[self.sim.invocation] += 1
        crash = self._beset(troubles)
        self._ended(self.sim.run(crash=crash))

    @precondition(lambda self: self.deferred)
    @rule(troubles=st.lists(TROUBLE, max_size=2))
    def resume(self, troubles: list[tuple[Any, ...]]) -> None:
        """Wait in the triggerer, and go on with the try in a new process."""
        assert self.ending is not None
        crash = self._beset(troubles)
        self._ended(self.sim.resume(self.ending, crash=crash))

    def _beset(self, troubles: list[tuple[Any, ...]]) -> str | int | None:
        """Let things go wrong from now on; return where the process dies, if it does."""
        sim = self.sim
        self._harm(troubles)
        crash: str | int | None = None
        sim.service.faults.clear()
        assert sim.store is not None
        sim.store.fail, sim.client.late, sim.client.refused = [], [], 0
        for what, *details in troubles:
            if what == "post":
                fault, times, seconds = details
                sim.fault(**fault, call="POST", times=times, seconds=seconds)
            elif what == "read":
                fault, api_request, times, skip, seconds = details
                api_request = self.reads.get(api_request, api_request)
                sim.fault(**fault, call=api_request, times=times, skip=skip, seconds=seconds)
            elif what == "late":
                sim.client.late.append(details[0] * self.latest)
            elif what == "refused":
                sim.client.refused = details[0]
            elif what == "store":
                sim.store.fail.append((details[0], details[1]))
            elif what == "somebody":
                delay, submission = details
                sim.clock.later(delay, partial(self._somebody, *submission))
            else:
                (crash,) = details
                if isinstance(crash, str):
                    moment, api_request = crash.split()
                    name = self.reads.get(api_request, api_request)
                    crash = f"{moment} {sim.request if api_request == 'POST' else name}"
        return crash

    @precondition(lambda self: self.ending is not None)
    @rule()
    def clear(self) -> None:
        """Clear the task: a new invocation."""
        self.sim.clear()
        self.ending = None

    @precondition(lambda self: self._vanished())
    @rule()
    def clear_while_it_runs(self) -> None:
        """The process that has just ended was ended by a clear, and ``max_tries`` stays."""
        self.sim.max_tries = max(self.sim.max_tries, self.sim.try_number)
        self.sim.clear(moves=False)
        self.ending = None

    def _vanished(self) -> bool:
        """Whether the last process ended without a word.

        Between its last word and its end there are milliseconds in which a clear that does not move
        ``max_tries`` is taken for a retry.
        """
        if self.ending is None or self.ending.kind != "Crash":
            return False
        assert self.sim.store is not None
        return not self.sim.store.entries or self.sim.store.entry["exit_reason"] is None

    @rule(
        what=st.sampled_from(
            [
                ("wait", 1.0),
                ("wait", 15.0),
                ("wait", 100.0),
                ("wait", 100_000.0),
                ("clear something else",),
                ("the app crashes",),
                *(("somebody", submission) for submission in SOMEBODY),
            ]
        )
    )
    def meanwhile(self, what: tuple[Any, ...]) -> None:
        """Let something happen between two tries."""
        if what[0] == "wait":
            self.sim.clock.sleep(what[1])
            return
        self._harm(what)
        if what[0] == "somebody":
            self._somebody(*what[1])
        elif what[0] == "the app crashes":
            self.sim.world.crash_app(self.sim.app.id)
        else:
            self.sim.clears += 1

    def teardown(self) -> None:
        """Let the task come to its end with nothing in the way."""
        if not hasattr(self, "sim"):
            return
        sim = self.sim
        sim.service.faults.clear()
        assert sim.store is not None
        sim.store.fail, sim.client.late, sim.client.refused = [], [], 0
        while not self.over:
            assert self.ending is None or self.ending.kind != "never"
            if self.deferred:
                assert self.ending is not None
                self._ended(sim.resume(self.ending))
            else:
                self.tries[sim.invocation] += 1
                self._ended(sim.run())
        self.one_wish_is_one_action()
        assert self.ending is not None
        self.counts[f"ended: {self.ending.kind}"] += 1
        for text in ("it never arrived", "It arrived", "waiting for it", "stored"):
            self.counts[f"said: {text}"] += sum(text in line for line in sim.lines)

    # What must hold

    @invariant()
    def one_wish_is_one_action(self) -> None:
        """And no success that DaoCloud does not confirm."""
        assert not getattr(self, "wrong", []), self.wrong

    def _posted(self, posted: Posted) -> None:
        sim = self.sim
        note(f"    effect: {posted}")
        self.counts["actions"] += 1
        self.counts["rollbacks"] += self._rolls_back(posted)
        earlier = [
            p
            for p in sim.posted
            if p is not posted
            and p.invocation == posted.invocation
            and not self._may_be_followed(p)
        ]
        if earlier and posted.invocation not in self.hidden:
            # Nothing could be seen: the service showed no trace, or it was still on its way.
            hidden = posted.shown == earlier[-1].shown
            hidden = hidden or max(posted.late, earlier[-1].late) > SETTLE
            if self.hides and hidden:
                self.hidden.add(posted.invocation)
                self.counts["invocations with two actions"] += 1
            else:
                self.wrong.append(
                    f"two actions of invocation {posted.invocation}: {earlier[-1]}, {posted}"
                )
        if not self.hides:
            self._check_course(posted)

    def _may_be_followed(self, posted: Posted) -> bool:
        """Whether an action FAILED, or was observed long enough and not verified."""
        action = posted.action
        if action.state != "SUCCESS" or not self.sim.arguments["verify"]:
            return action.state == "FAILED"
        assert action.ended_at is not None
        late = self.sim.clock.time() >= action.ended_at + VERIFY
        return late and any(
            observe.app.state != "UNKNOWN" and not self._shows(action, observe)
            for observe in self.sim.client.observations
            if observe.when >= action.ended_at
        )

    def _shows(self, action: Action, observe: Seen) -> bool:
        """Whether the app is as the action is to leave it."""
        release = action.release_name in (None, observe.app.release_name)
        return release and observe.app.state == REACHED[action.action]

    def _rolls_back(self, posted: Posted) -> bool:
        return posted.action.release_name not in (None, self.sim.release_name)

    def _check_course(self, posted: Posted) -> None:
        """Compare a further action of an invocation with what was asked for."""
        sim, invocation = self.sim, posted.invocation
        ours = [p for p in sim.posted if p.invocation == invocation]
        rollbacks = [p for p in ours if self._rolls_back(p)]
        if rollbacks and posted is not rollbacks[0]:
            self.wrong.append(f"posted after the rollback of invocation {invocation}: {posted}")
        if posted in rollbacks:
            if not sim.arguments.get("rollback_on_failure"):
                self.wrong.append(f"rolled back, unasked: {posted}")
            if posted.action.release_name not in {
                observe.app.release_name for observe in sim.client.observations
            }:
                self.wrong.append(f"rolled back to what never ran: {posted}")
        elif len(ours) > sim.arguments["max_attempts"] * self.tries[invocation]:
            self.wrong.append(f"more attempts than {self.tries[invocation]} tries have: {ours}")

    def _stored(self, entry: dict[str, Any]) -> None:
        note(f"    journal: {entry}")
        if entry["phase"] == "finished" and entry["result"] is not None:
            self._check_result(
                entry["result"], (entry["request"]["body"] or {}).get("release_name")
            )

    def _ended(self, ending: Ending) -> None:
        note(
            f"    try {self.sim.try_number} of invocation {self.sim.invocation}: "
            f"{ending.kind} {ending.error}"
        )
        self.ending = ending
        self.counts[f"try: {ending.kind}"] += 1
        if ending.kind not in ENDINGS:
            self.wrong.append(f"ended in {ending.error!r}")
        if ending.kind == "success" and json.dumps(ending.result) not in self.valid:
            self._check_result(ending.result, self.sim.release_name)
        if ending.kind == "OutcomeUnknownError" and "Before: " not in str(ending.error):
            self.wrong.append(f"no evidence: {ending.error}")
        if ending.kind == "DaoCloudRolledBackError":
            self._check_rollback(str(ending.error))
        if self.harmless and ending.kind not in (
            "success",
            "deferred",
            "DaoCloudActionFailedError",
            "DaoCloudAppStateError",
            "DaoCloudBuildFailedError",
            "DaoCloudRolledBackError",
            "DaoCloudWaitTimeoutError",
            *(["OutageError"] if "state_words" in self.options else []),
        ):
            self.wrong.append(f"nothing went wrong, and it ended in {ending.error!r}")

    def _check_result(self, result: dict[str, Any], release_name: str | None) -> None:
        """Hold what the task says against what DaoCloud knows at this moment."""
        sim = self.sim
        self.valid.append(json.dumps(result))
        if result["action_id"] is not None:
            action = sim.world.actions[result["action_id"]]
            ours = [p for p in sim.posted if p.action is action]
            if action.state != "SUCCESS" or not ours:
                self.wrong.append(f"{result} is not confirmed: {action}")
            elif ours[0].invocation != sim.invocation and (action.ended_at or 0) < sim.invoked_at:
                self.wrong.append(f"{result} is the result of an earlier invocation: {action}")
            elif sim.arguments["verify"] and not self._verified(action):
                self.wrong.append(f"{result} was not verified: {action}")
            return
        shown = sim.app.rest_state == REACHED[sim.action]
        if sim.action == "redeploy":
            shown = shown and sim.app.release_name == release_name
        if not shown:
            self.wrong.append(f"{result} is not what DaoCloud shows: {sim.app}")

    def _verified(self, action: Action) -> bool:
        ended = action.ended_at or 0.0
        observations = (
            observe for observe in self.sim.client.observations if observe.when >= ended
        )
        return any(self._shows(action, observe) for observe in observations)

    def _check_rollback(self, story: str) -> None:
        """Compare what a rollback's error says with what DaoCloud knows."""
        self.counts["rolled back"] += "Rolled back: " in story
        told = re.search(r"Rolled back: (\S+) runs again \(action (\S+)\)", story)
        if told is None or told[2] == "None":
            return
        action = self.sim.world.actions[told[2]]
        ours = any(p.action is action for p in self.sim.posted)
        verified = not self.sim.arguments["verify"] or self._verified(action)
        if not ours or action.state != "SUCCESS" or action.release_name != told[1] or not verified:
            self.wrong.append(f"{story!r} is not confirmed: {action}")

    def _somebody(self, action: str, release_name: str | None) -> None:
        with contextlib.suppress(AppBusyError):
            self.sim.another(action, release_name)

    def _harm(self, harm: object) -> None:
        self.harmless = self.harmless and not harm


class Builds(Lives):
    """The same with a build of a branch. Pushes start builds too."""

    reads: ClassVar[dict[str, str]] = {"get_app": "get_build_flow", "get_action": "get_build"}
    sim: BuildSimulation

    @initialize(
        status=st.sampled_from(["Success", "Success", "Failure"]),
        on_ambiguous=st.sampled_from(["reconcile", "reconcile", "adopt", "fail"]),
        reuse_running_build=st.booleans(),
        seconds=st.sampled_from([1.0, 10.0, 100.0]),
        deferrable=st.booleans(),
        failing=st.lists(st.sampled_from(["Success", "Failure", "Cancelled"]), max_size=3),
    )
    def begin(
        self,
        status: str,
        on_ambiguous: str,
        reuse_running_build: bool,
        seconds: float,
        deferrable: bool,
        failing: list[str],
    ) -> None:
        self.sim = BuildSimulation(
            options=Options(pending_seconds=seconds / 2, build_seconds=seconds, **self.options),
            on_ambiguous=on_ambiguous,
            reuse_running_build=reuse_running_build,
            deferrable=deferrable,
            settle_time=SETTLE,
            max_outage=120.0,
        )
        self.sim.flow.status = status
        for outcome in failing:
            self.sim.world.plan_build(BuildPlan(outcome))
        self._live()

    def _may_be_followed(self, posted: Posted) -> bool:
        build = posted.action
        return build.ended_at is not None and build.status != "Success"

    def _rolls_back(self, posted: Posted) -> bool:
        return False

    def _check_course(self, posted: Posted) -> None:
        """A try starts one build."""
        ours = [p for p in self.sim.posted if p.invocation == posted.invocation]
        if len(ours) > self.tries[posted.invocation]:
            self.wrong.append(f"more builds than {self.tries[posted.invocation]} tries: {ours}")

    def _check_result(self, result: dict[str, Any], release_name: str | None) -> None:
        self.valid.append(json.dumps(result))
        sim = self.sim
        if result["build_id"] is None:
            if sim.flow.status != "Success" or not (
                result.get("existing_run") or result.get("adopted")
            ):
                self.wrong.append(f"{result} is not what DaoCloud shows: {sim.flow}")
            return
        (ours,) = (p for p in sim.posted if str(p.action.id) == result["build_id"])
        build = ours.action
        if build.status != "Success" or result["tag"] != build.tag:
            self.wrong.append(f"{result} is not confirmed: {build}")
        elif ours.invocation != sim.invocation and build.ended_at < sim.invoked_at:
            self.wrong.append(f"{result} is the result of an earlier invocation: {build}")

    def _somebody(self, action: str, release_name: str | None) -> None:
        """Push a commit, which builds."""
        outcome = "Failure" if action == "stop" else "Success"
        self.sim.world.start_build(self.sim.flow.id, BuildPlan(outcome, author="somebody"))


def kind(options: dict[str, Any], base: type[Lives] = Lives, **more: Any) -> type[Lives]:
    return type(base.__name__, (base,), {"options": options} | more)


# The service as the contract leaves it open, in one respect at a time.
ASSUMPTIONS: dict[str, dict[str, Any]] = {
    "as the sandbox has it": {},
    "the date moves when the action begins": {"last_operated_at": "started", "begin_after": 15.0},
    "the date moves when the action ends": {"last_operated_at": "ended"},
    "the date moves 15 s later": {"last_operated_at_delay": 15.0},
    "the date is cut to minutes": {"last_operated_at_granularity": 60.0},
    "the list of apps is frozen": {"app_list": "frozen"},
    "a second action is refused": {"busy": "refuse"},
    "a second action is queued": {"busy": "queue"},
    "a second action runs beside": {"busy": "both"},
    "an action cannot be read for 8 s": {"action_lag": 8.0},
    "no transitional states": {"transitional_states": False},
    "states in small letters": {"state_case": "lower"},
    "states in other words": {"state_words": {"RUNNING": "live", "RESTAGING": "deploying"}},
}
# Where an action can be hidden for longer than the settle window, two actions are possible.
HIDING: dict[str, dict[str, Any]] = {
    "the date never moves": {"last_operated_at": "never"},
    "the date moves 100 s later": {"last_operated_at_delay": 100.0},
    "the date moves at the end, and nothing else shows": {
        "last_operated_at": "ended",
        "transitional_states": False,
        "action_seconds": 200.0,
    },
}

KINDS = {
    **{name: kind(options) for name, options in ASSUMPTIONS.items()},
    "a release that fails, to be rolled back": kind({}, fails=True),
    "builds of a branch": kind({}, Builds),
}
HIDDEN = {
    **{name: kind(options, hides=True) for name, options in HIDING.items()},
    "a POST arrives late": kind({}, hides=True, latest=SETTLE * 4),
}
# How many schedules the quick tests run of a kind.
QUICK = {"as the sandbox has it": 100, "a release that fails, to be rolled back": 20}


def live(machine: type[Lives], schedules: int) -> Counter[str]:
    """Run schedules, and return what was counted in them."""
    machine.counts = Counter()
    with contextlib.redirect_stdout(io.StringIO()):  # what the tasks log
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=schedules,
                stateful_step_count=10,
                deadline=None,
                # The same schedules at each quick run: what is new is found by the long ones.
                derandomize=not SCHEDULES,
                phases=[Phase.reuse, Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            ),
        )
    return machine.counts


@pytest.fixture
def row(record_property: Callable[..., None]) -> Callable[..., Any]:
    """Return a function that runs the schedules of a kind, a row of the table."""

    def run(name: str, machine: type[Lives]) -> Counter[str]:
        counts = live(machine, SCHEDULES or QUICK.get(name, 10))
        print(f"\n{name}: {dict(sorted(counts.items()))}")
        record_property("soak", (name, dict(counts)))
        assert counts["actions"] > 0
        return counts

    return run


@pytest.mark.parametrize("what", KINDS)
def test_one_invocation_is_one_action(what: str, row: Callable[..., Counter[str]]) -> None:
    """Whatever of the undocumented assumptions is false."""
    counts = row(what, KINDS[what])
    assert counts["rollbacks"] > 0 or "rolled back" not in what


@pytest.mark.skipif(not SCHEDULES, reason="the residual risk is counted in long runs: make soak")
@pytest.mark.parametrize("what", HIDDEN)
def test_two_actions_only_if_the_first_one_was_hidden(
    what: str, row: Callable[..., Counter[str]]
) -> None:
    """The residual risk: for the whole settle window the app showed no trace of the action."""
    row(what, HIDDEN[what])
