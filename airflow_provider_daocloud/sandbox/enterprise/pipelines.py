"""Pipelines and their runs: queued, run stage by stage, paused, cancelled, forgotten."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_daocloud.sandbox.options import check_fields
from airflow_provider_daocloud.sandbox.parts import NotFoundError

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.enterprise.places import Places
    from airflow_provider_daocloud.sandbox.enterprise.shared import Shared

Result = Literal["SUCCESS", "FAILURE", "UNSTABLE"]
RUN_STATES = {"SUCCESS": "SUCCESS", "FAILURE": "FAILED", "UNSTABLE": "UNSTABLE"}
ENDED = frozenset({"SUCCESS", "FAILED", "UNSTABLE", "CANCELED"})
_DAY = 86400.0
# So many former states can be shown to reads that lag.
_STATES_KEPT = 100


class PipelineError(Exception):
    """The pipeline or the run cannot do this now."""


@dataclass
class Parameter:
    """A parameter that a pipeline declares.

    :param default: of a ``CHOICE``, the choices, one a line, the first of them the default.
    :param type: a word such as ``STRING``, ``BOOLEAN`` or ``CHOICE``.
    """

    name: str
    default: str = ""
    type: str = "STRING"
    description: str = ""

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def value(self) -> str:
        """The value that it has if a start names none."""
        return self.default.partition("\n")[0] if self.type == "CHOICE" else self.default


@dataclass
class Stage:
    """A stage of a pipeline.

    :param seconds: how long it takes, instead of the world's ``stage_seconds``.
    :param log: the lines that it writes when it begins.
    :param input: a question on which it waits for a person, before it goes on.
    """

    name: str
    result: Result = "SUCCESS"
    seconds: float | None = None
    log: list[str] = field(default_factory=list)
    input: str | None = None

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(eq=False)
class StageRun:
    """A stage in a run. Its result is a word of Blue Ocean."""

    plan: Stage
    result: str = "NOT_BUILT"
    started_at: float | None = None
    ended_at: float | None = None


@dataclass(eq=False)
class Run:
    """A run of a pipeline."""

    pipeline: Pipeline
    number: int
    parameters: dict[str, str]
    trigger: str
    started_by: str
    created_at: float
    stages: list[StageRun]
    branch: str = ""
    state: str = "QUEUE"
    started_at: float | None = None
    ended_at: float | None = None
    cancelling: bool = False
    log: str = ""
    history: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=_STATES_KEPT))

    def become(self, state: str, when: float) -> None:
        """Change its state."""
        self.state = state
        self.history.append((when, state))

    def state_at(self, moment: float) -> str:
        """Return the state that it had at a moment, or as far back as is known."""
        shown = self.history[0][1]
        for when, state in self.history:
            if when <= moment:
                shown = state
        return shown


@dataclass(eq=False)
class Pipeline:
    """A pipeline of a workspace.

    :param keep_days: how many days runs are kept, and ``keep_runs``: how many of them.
    :param branches: makes it a multi-branch pipeline.
    """

    workspace_id: int
    name: str
    created_at: float
    parameters: list[Parameter]
    stages: list[Stage]
    keep_days: int = 7
    keep_runs: int = 10
    disable_concurrence: bool = False
    branches: list[str] = field(default_factory=list)
    disabled: bool = False
    runs: list[Run] = field(default_factory=list)
    started: int = 0


class Pipelines:
    """The pipelines by workspace and name, and the one queue of their runs.

    :param shared: what the parts of the world share.
    :param places: the workspaces.
    """

    def __init__(self, shared: Shared, places: Places) -> None:
        self._shared = shared
        self._places = places
        self._pipelines: dict[tuple[int, str], Pipeline] = {}

    def all(self) -> list[Pipeline]:
        """Return all pipelines."""
        return list(self._pipelines.values())

    def of(self, workspace_id: int) -> list[Pipeline]:
        """Return the pipelines of a workspace."""
        return [one for one in self._pipelines.values() if one.workspace_id == workspace_id]

    def find(self, workspace_id: int, name: str) -> Pipeline:
        """Return one pipeline.

        :raises NotFoundError: there is none.
        """
        found = self._pipelines.get((workspace_id, name))
        if found is None:
            raise NotFoundError(f"pipeline {name} not found")
        return found

    def add(
        self,
        workspace_id: int,
        name: str,
        stages: list[Stage] | None = None,
        parameters: list[Parameter] | None = None,
        **more: Any,
    ) -> Pipeline:
        """Add a pipeline, or replace one.

        :param stages: its stages; by default one that succeeds.
        :raises NotFoundError: there is no such workspace.
        """
        self._places.workspace(workspace_id)
        with self._shared.timeline.up_to_date():
            made = Pipeline(
                workspace_id,
                name,
                self._shared.timeline.now(),
                parameters or [],
                stages or [Stage("build")],
                **more,
            )
            self._pipelines[workspace_id, name] = made
            return made

    def kept(self, pipeline: Pipeline) -> list[Run]:
        """Return the runs of a pipeline that have not been forgotten yet, the oldest first."""
        now = self._shared.timeline.now()
        ended = [run for run in pipeline.runs if run.ended_at is not None]
        spare = len(pipeline.runs) - pipeline.keep_runs
        forgotten = {id(run) for run in ended[: max(0, spare)]}
        forgotten |= {
            id(run) for run in ended if now - (run.ended_at or 0) > pipeline.keep_days * _DAY
        }
        pipeline.runs = [run for run in pipeline.runs if id(run) not in forgotten]
        return pipeline.runs

    def start(
        self,
        pipeline: Pipeline,
        parameters: dict[str, str],
        *,
        started_by: str = "",
        trigger: str = "MANUAL",
        branch: str = "",
    ) -> tuple[Run, bool]:
        """Start a run; say whether it is a new one, or an equal one that still waits.

        :raises PipelineError: the pipeline is disabled.
        """
        if pipeline.disabled:
            raise PipelineError(f"pipeline {pipeline.name} is disabled")
        now = self._shared.timeline.now()
        if self._shared.options.merge_queued:
            for run in pipeline.runs:
                same = (run.parameters, run.branch) == (parameters, branch)
                if run.state == "QUEUE" and same and not run.cancelling:
                    return run, False
        pipeline.started += 1
        stages = [StageRun(stage) for stage in pipeline.stages]
        run = Run(
            pipeline, pipeline.started, parameters, trigger, started_by, now, stages, branch=branch
        )
        run.become("QUEUE", now)
        pipeline.runs.append(run)
        self._dispatch(now)
        return run, True

    def _dispatch(self, when: float) -> None:
        """Give agents to those runs that wait, the oldest first."""
        runs = [run for one in self._pipelines.values() for run in one.runs]
        busy = {"RUNNING", "PAUSED"} if self._shared.options.input_holds_agent else {"RUNNING"}
        free = self._shared.options.agents - sum(run.state in busy for run in runs)
        for run in sorted(runs, key=lambda run: run.created_at):
            if run.state != "QUEUE":
                continue
            if free <= 0:
                return
            others = (one.state in ("RUNNING", "PAUSED") for one in run.pipeline.runs)
            if run.pipeline.disable_concurrence and any(others):
                continue
            free -= 1
            run.started_at = when
            run.become("RUNNING", when)
            self._begin(run, 0, when)

    def _begin(self, run: Run, index: int, when: float) -> None:
        if index == len(run.stages):
            unstable = any(stage.result == "UNSTABLE" for stage in run.stages)
            self._end(run, "UNSTABLE" if unstable else "SUCCESS", when)
            return
        stage = run.stages[index]
        stage.started_at = when
        run.log += f"[Pipeline] {{ ({stage.plan.name})\n"
        run.log += "".join(f"{line}\n" for line in stage.plan.log)
        if stage.plan.input is None:
            self._work(run, index, when)
        else:
            run.log += f"{stage.plan.input}\nProceed or Abort\n"
            stage.result = "PAUSED"
            run.become("PAUSED", when)
            self._dispatch(when)

    def _work(self, run: Run, index: int, when: float) -> None:
        stage = run.stages[index]
        stage.result = "RUNNING"
        seconds = stage.plan.seconds
        seconds = self._shared.options.stage_seconds if seconds is None else seconds

        def done(moment: float) -> None:
            if run.state in ENDED:
                return
            stage.result, stage.ended_at = stage.plan.result, moment
            if stage.result == "FAILURE":
                self._end(run, RUN_STATES[stage.result], moment)
            else:
                self._begin(run, index + 1, moment)

        self._shared.timeline.at(self._shared.after(seconds, when), done)

    def _end(self, run: Run, state: str, when: float) -> None:
        run.ended_at = when
        run.log += f"Finished: {state}\n"
        run.become(state, when)
        self._dispatch(when)

    def cancel(self, run: Run) -> bool:
        """Cancel a run, which ends a little later; say whether there was anything to cancel."""
        if run.state in ENDED or run.cancelling:
            return False
        run.cancelling = True
        now = self._shared.timeline.now()
        later = self._shared.after(self._shared.options.cancel_seconds, now)
        self._shared.timeline.at(later, lambda moment: self._abort(run, moment))
        return True

    def _abort(self, run: Run, when: float) -> None:
        if run.state in ENDED:
            return
        for stage in run.stages:
            if stage.result in ("RUNNING", "PAUSED"):
                stage.result, stage.ended_at = "ABORTED", when
        self._end(run, "CANCELED", when)

    def answer(self, run: Run, index: int, *, proceed: bool) -> None:
        """Answer the question of a stage.

        :raises PipelineError: it does not ask.
        """
        if run.stages[index].result != "PAUSED":
            raise PipelineError("the step does not wait for an input")
        now = self._shared.timeline.now()
        if not proceed:
            self._abort(run, now)
            return
        run.become("RUNNING", now)
        self._work(run, index, now)
