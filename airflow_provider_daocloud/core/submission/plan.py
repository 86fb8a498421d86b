"""What a task does next: one pure function, without I/O, clock or Airflow.

An operator is a loop around `advance`: it executes the command, and feeds back the event that came
of it. The rules are in the function; how far an invocation is, is its `Progress`, which the journal
and the trigger's checkpoint keep as JSON::

    Started ──► Submit ──► Submitted ──► Await(action) ──► Succeeded ──► Await(state) ──► Return
                   ▲    └► ExistingRun ► Await(existing) ─────┘              │
                   │    └► Resolved ────────────────────────────► Return    │
                   └── another attempt, or the rollback ◄── Failed ◄─────────┘

An invocation has two goals, one after the other: *forward* to what the task was asked for, and, if
that failed and the policy says so, *rollback* to the release that ran before. A rollback never goes
forward again and is not repeated, and a task that rolled back fails all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from airflow_provider_daocloud.api.errors import InputError

Step = Literal["submit", "wait", "join", "verify", "over"]
Goal = Literal["forward", "rollback"]
STEPS: tuple[Step, ...] = get_args(Step)
GOALS: tuple[Goal, ...] = get_args(Goal)


@dataclass(frozen=True)
class Progress:
    """How far an invocation is. JSON-safe.

    :param step: what it does: *submit* the request, *wait* for what came of it, *join* an existing
        run, *verify* the state that it led to; or it is *over*.
    :param goal: where it is heading.
    :param attempt: which attempt at the goal this is, from 1.
    :param previous_release: the release that ran before the first attempt, if the resource has one.
    :param failure_reason: why going forward failed, once it is being rolled back.
    :param receipt: what the service gave for the submission that is waited for or verified.
    :param result: what came of that submission, while its state is being verified.
    :param resource_name: what people call the resource, if it is known.
    :param failures: how many submissions have failed so far, in all tries.
    """

    step: Step = "submit"
    goal: Goal = "forward"
    attempt: int = 1
    previous_release: str | None = None
    failure_reason: str | None = None
    receipt: str | None = None
    result: dict[str, Any] | None = None
    resource_name: str | None = None
    failures: int = 0

    @classmethod
    def of_json(cls, data: Any) -> Progress:
        """Read stored progress; unknown extra fields are ignored.

        :param data: what `dataclasses.asdict` made of it.
        :raises TypeError: it is damaged, or misses a field.
        """
        try:
            progress = cls(**{field.name: data[field.name] for field in fields(cls)})
        except (KeyError, IndexError):
            raise TypeError("a field is missing") from None
        texts = (
            *(progress.previous_release, progress.failure_reason),
            *(progress.receipt, progress.resource_name),
        )
        if (
            progress.step not in STEPS
            or progress.goal not in GOALS
            or type(progress.attempt) is not int
            or type(progress.failures) is not int
            or not all(isinstance(text, str | None) for text in texts)
            or not isinstance(progress.result, dict | None)
        ):
            raise TypeError("a field is of another type")
        return progress


@dataclass(frozen=True)
class Policy:
    """The operator's arguments, rendered, as far as they decide what happens next.

    :param wait: whether to wait for what was submitted.
    :param verify: whether to wait for the state that it is to lead to.
    :param max_attempts: how often to submit in all before the goal counts as missed.
    :param rollback: whether to go back to the previous release then.
    :param release: the release that is asked for, if the resource has releases.
    """

    wait: bool = True
    verify: bool = False
    max_attempts: int = 1
    rollback: bool = False
    release: str | None = None


# --- events: what has just happened ---------------------------------------------------------------


@dataclass(frozen=True)
class Started:
    """An execution begins; its progress is what an earlier one of the same invocation left."""


@dataclass(frozen=True)
class Submitted:
    """The service has accepted the request.

    :param receipt: what it gave for it: an id, a revision.
    :param reconnected: whether an earlier execution had submitted it.
    """

    receipt: str
    reconnected: bool = False


@dataclass(frozen=True)
class ExistingRun:
    """Nothing was submitted: an existing run is waited for instead.

    :param snapshot: what the resource showed.
    """

    snapshot: Mapping[str, Any]


@dataclass(frozen=True)
class Resolved:
    """It is over without an id to wait for: adopted by evidence, stored earlier, or skipped."""

    result: dict[str, Any]


@dataclass(frozen=True)
class Succeeded:
    """What was awaited has come.

    :param result: it, as JSON-safe data.
    """

    result: dict[str, Any]


@dataclass(frozen=True)
class Failed:
    """What was awaited has failed, or will not come.

    :param error: why.
    """

    error: BaseException


@dataclass(frozen=True)
class Inconclusive:
    """Nobody can tell yet what came of it: an outage, a time-out, a refusal, a fault of ours.

    :param error: why.
    """

    error: BaseException


Event = Started | Submitted | ExistingRun | Resolved | Succeeded | Failed | Inconclusive

# --- commands: what to do next --------------------------------------------------------------------


@dataclass(frozen=True)
class Submit:
    """Submit the request for the goal, unless an earlier execution did."""


@dataclass(frozen=True)
class Await:
    """Wait.

    :param target: the *action* that was submitted, the *existing run*, or the *state* that the
        action is to lead to.
    :param reconnected: whether an earlier execution had submitted it, so that it may have ended.
    :param snapshot: what the resource showed of the existing run.
    """

    target: Literal["action", "existing run", "state"]
    reconnected: bool = False
    snapshot: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Return:
    """The task has succeeded.

    :param value: what it returns.
    """

    value: Any


@dataclass(frozen=True)
class Raise:
    """The task fails.

    :param error: with what; None if the story is all there is, and a retry would submit again what
        has failed.
    :param story: what came before the error: a release that failed, and its rollback.
    """

    error: BaseException | None = None
    story: str = ""


Command = Submit | Await | Return | Raise


# --- the plan -------------------------------------------------------------------------------------


def advance(progress: Progress, event: Event, policy: Policy) -> tuple[Progress, Command]:
    """Return how far the invocation is now, and what to do next.

    :param progress: how far it was.
    :param event: what has just happened.
    :param policy: the operator's arguments.
    """
    match progress.step, event:
        case "over", Started():
            return progress, _end(progress)
        case _, Started():
            return replace(progress, step="submit", receipt=None, result=None), Submit()
        case _, Inconclusive(error):
            # The progress stays: the next execution continues from here.
            return progress, Raise(error, _while_rolling_back(progress))
        case "submit", Submitted(receipt) if not policy.wait:
            return progress, Return(receipt)
        case "submit", Submitted(receipt, reconnected):
            waiting = replace(progress, step="wait", receipt=receipt)
            return waiting, Await("action", reconnected)
        case "submit", ExistingRun(snapshot):
            return replace(progress, step="join"), Await("existing run", snapshot=snapshot)
        case "wait", Succeeded(result) if policy.verify:
            return replace(progress, step="verify", result=result), Await("state")
        case "verify", Succeeded():
            return _finish(progress, progress.result or {})
        case ("submit", Resolved(result)) | ("wait" | "join", Succeeded(result)):
            return _finish(progress, result)
        case "wait" | "join" | "verify", Failed(error):
            return _after_failure(progress, error, policy)
    # A stale or foreign event is never taken for an ending, and nothing is submitted for it.
    place = f"{type(event).__name__} in {progress.step}"
    return progress, Raise(InputError("event", f"cannot follow here ({place})."))


def trigger_may_end(progress: Progress, policy: Policy) -> bool:
    """Return whether a success of what is awaited is all: then the trigger may end the task.

    What an existing run shows is not yet what the task returns, so that is left to a worker.

    :param progress: how far the invocation is.
    :param policy: the operator's arguments.
    """
    command = advance(progress, Succeeded({}), policy)[1]
    return progress.step == "wait" and isinstance(command, Return)


def _after_failure(
    progress: Progress, error: BaseException, policy: Policy
) -> tuple[Progress, Command]:
    why = str(error).rstrip(".")
    progress = replace(progress, failures=progress.failures + 1)
    previous = progress.previous_release
    if progress.goal == "rollback":
        story = f"{progress.failure_reason} Rolling back to {previous} failed too: {why}."
        ended = replace(progress, step="over", failure_reason=story, result=None)
        return ended, _end(ended)
    # From the first attempt on again, if Airflow tries again.
    anew = replace(progress, step="submit", attempt=1, receipt=None, result=None)
    if progress.attempt < policy.max_attempts:
        again = replace(anew, attempt=progress.attempt + 1)
        return again, Submit()
    if policy.rollback and previous not in (None, policy.release):
        release = (policy.release or "").lstrip(":@")  # a tag or a digest may stand for all of it
        story = f"Release {release} failed: {why}."
        return replace(anew, goal="rollback", failure_reason=story), Submit()
    return anew, Raise(error)


def _finish(progress: Progress, result: dict[str, Any]) -> tuple[Progress, Command]:
    ended = replace(progress, step="over", result=result)
    if progress.goal == "rollback":
        story = f"{progress.failure_reason} {_how_it_went_back(progress, result)}"
        ended = replace(ended, failure_reason=story)
    return ended, _end(ended)


def _end(ended: Progress) -> Command:
    if ended.goal == "rollback":
        return Raise(story=ended.failure_reason or "")
    return Return(ended.result)


def _how_it_went_back(progress: Progress, result: dict[str, Any]) -> str:
    previous = progress.previous_release
    if result.get("skipped"):
        return f"No rollback needed: {previous} is still running."
    action_id = result.get("action_id")
    evidence = "as its state shows" if action_id is None else f"action {action_id}"
    return f"Rolled back: {previous} runs again ({evidence})."


def _while_rolling_back(progress: Progress) -> str:
    if progress.goal == "forward":
        return ""
    return f"{progress.failure_reason} While rolling back:"
