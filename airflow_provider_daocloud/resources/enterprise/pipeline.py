"""Pipelines and their runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from operator import attrgetter
from typing import Any, ClassVar, Literal

from airflow_provider_daocloud.api.enterprise.global_management import list_workspaces
from airflow_provider_daocloud.api.enterprise.pipelines import (
    RUN_PATH,
    Pipeline,
    PipelineRef,
    PipelineRun,
    RunState,
    SeenRuns,
    get_run,
    list_http_apis,
    list_runs_and_queued,
    list_runs_unparsed,
    start_run,
    starts_runs,
)
from airflow_provider_daocloud.api.errors import (
    InputError,
    NotFoundError,
    PipelineRunFailedError,
    RefusedError,
    WaitError,
)
from airflow_provider_daocloud.api.parsing import read_text
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.validation import checked
from airflow_provider_daocloud.core.polling.batched import Batched
from airflow_provider_daocloud.core.polling.poller import Strategy
from airflow_provider_daocloud.core.submission.evidence import Snapshot, Verdict
from airflow_provider_daocloud.core.waiting.wait import Observation, WaitState
from airflow_provider_daocloud.resources.enterprise.evidence import MarkedEvidence
from airflow_provider_daocloud.resources.registry import Resource, register

# The parameter by which a run is known again, where its pipeline declares it.
MARKER = "AIRFLOW_RUN"

_BAD = {
    RunState.FAILED: "failed",
    RunState.ERROR: "ended in an error",
    RunState.NOT_BUILT: "was not built",
    RunState.CANCELED: "was cancelled",
    RunState.SKIPPED: "was skipped",
    RunState.UNSTABLE: "is UNSTABLE: it finished, and its tests complained",
}
_NOTES = {
    RunState.PAUSED: "it waits for a person to approve a step",
    RunState.UNKNOWN: "DaoCloud cannot tell what became of it",
}


@dataclass(frozen=True, slots=True)
class PipelineRunWait:
    """Wait until a run of a pipeline has succeeded.

    :param workspace_id: the number of the workspace.
    :param pipeline_name: the pipeline.
    :param run_id: the number of the run.
    :param accept_unstable: whether UNSTABLE counts as a success.
    :param target_state: SUCCESS, or PAUSED: a person is asked.
    """

    workspace_id: str
    pipeline_name: str
    run_id: str
    accept_unstable: bool = False
    target_state: Literal["SUCCESS", "PAUSED"] = "SUCCESS"

    kind: ClassVar[str] = "pipeline_run"
    failure: ClassVar[type[WaitError]] = PipelineRunFailedError
    lags: ClassVar[bool] = True

    @classmethod
    def of(
        cls,
        workspace_id: str,
        pipeline_name: str,
        run_id: object,
        accept_unstable: bool = False,
        target_state: Literal["SUCCESS", "PAUSED"] = "SUCCESS",
    ) -> PipelineRunWait:
        """Return the wait for what a user asked for.

        :raises InputError: an argument is unusable.
        """
        run = checked("run_id", run_id)
        return cls(workspace_id, pipeline_name, run, accept_unstable, target_state)

    @property
    def ref(self) -> PipelineRef:
        """Which pipeline."""
        return PipelineRef(self.workspace_id, self.pipeline_name)

    def request(self) -> Request[PipelineRun]:
        """``GET …/pipelines/{name}/runs/{runId}``."""
        return get_run(self.ref, self.run_id)

    def judge(self, seen: PipelineRun, wait_state: WaitState) -> Observation:  # noqa: ARG002
        """SUCCESS succeeds; what ends otherwise fails; everything else is pending."""
        result = seen.as_dict() | {
            "workspace_id": self.workspace_id,
            "pipeline_name": self.pipeline_name,
        }
        state = seen.state_text or "of no state"
        good = {RunState(self.target_state)}
        if self.accept_unstable and self.target_state == "SUCCESS":
            good.add(RunState.UNSTABLE)
        if seen.state in good:
            return Observation("succeeded", state, result, self.pipeline_name)
        if seen.state in _BAD or seen.state is RunState.SUCCESS:
            problem = _BAD.get(seen.state, "ended, and was never paused")
            return Observation("failed", state, result, self.pipeline_name, problem)
        note = _NOTES.get(seen.state, "")
        return Observation("pending", state, result, self.pipeline_name, note=note)

    @property
    def wanted(self) -> str:
        """The state that is waited for, in words."""
        unstable = self.accept_unstable and self.target_state == "SUCCESS"
        return f"{self.target_state} or UNSTABLE" if unstable else self.target_state

    def title(self, name: str | None) -> str:  # noqa: ARG002 - its name is what identifies it
        """Return what is waited for, as a person calls it."""
        return f"run {self.run_id} of pipeline {self.pipeline_name}"

    def __str__(self) -> str:
        return f"run {self.run_id} of pipeline {self.ref}"


@dataclass(frozen=True)
class RunRequest(Request[PipelineRun]):
    """The start of a run. What is kept of it has no value that may be secret.

    :param ref: the pipeline.
    :param parameters: the values.
    :param run_path: where a run is started.
    """

    ref: PipelineRef = field(kw_only=True)
    parameters: Mapping[str, str] = field(kw_only=True, repr=False)
    run_path: str = field(kw_only=True, default=RUN_PATH)

    def completed_by(self, seen: Any) -> Request[PipelineRun]:  # noqa: ARG002 - of no matter
        """Return the request with the values."""
        return start_run(self.ref, self.parameters, self.run_path)


def request_run(
    ref: PipelineRef,
    parameters: Mapping[str, str],
    *,
    operation: str,
    pipeline: Pipeline | None = None,
    marker: str = MARKER,
    run_path: str = RUN_PATH,
) -> RunRequest:
    """Return the request that starts a run, with its parameters checked.

    :param ref: the pipeline.
    :param parameters: the values by name.
    :param operation: what identifies this run, where the pipeline declares the ``marker``.
    :param pipeline: the pipeline as it is; None as long as it has not been read.
    :param marker: the parameter that takes the operation.
    :param run_path: where a run is started.
    :raises InputError: the pipeline cannot be run so.
    """
    values = dict(parameters)
    marked = False
    secret: set[str] = set()
    if marker in values:
        raise InputError(
            "parameters",
            f"{marker} is set by the task, to know its run again. Rename yours, or give another "
            "marker_parameter.",
        )
    if pipeline is not None:
        check_parameters(pipeline, values)
        declared = {one.name: one for one in pipeline.parameters}
        marked = marker in declared
        secret = {name for name, one in declared.items() if one.type == "PASSWORD"}
        # Before 0.132 the service fills in no defaults: they are all sent.
        defaults = {
            name: one.choices[0] if one.choices else one.default for name, one in declared.items()
        }
        values = defaults | values
        if marked:
            values[marker] = operation
    kept = {name: "***" if name in secret else value for name, value in values.items()}
    request = start_run(ref, values, run_path)
    return RunRequest(
        request.name,
        request.method,
        request.path,
        request.parse,
        {"parameters": kept, "operation": operation, "marker": marker if marked else None},
        request.not_found_hint,
        api=request.api,
        ref=ref,
        parameters=values,
        run_path=run_path,
    )


def find_run_path(send: Callable[[Request[Any]], Any]) -> str:
    """Return where a run is started: what the installation lists, or the path of the guide.

    :param send: sends a request.
    :raises CallError: the installation could not be asked.
    """
    try:
        listed = send(list_http_apis())
    except (NotFoundError, RefusedError):  # it has no such list, or none for this user
        return RUN_PATH
    for one in listed:
        path = f"/{one.url.lstrip('/')}"
        if one.method == "POST" and starts_runs(path):
            return path
    return RUN_PATH


def check_parameters(pipeline: Pipeline, values: Mapping[str, str]) -> None:
    """Check the values for a run against what the pipeline declares.

    :param pipeline: the pipeline.
    :param values: the values by name.
    :raises InputError: it is disabled or of several branches, or takes no such value.
    """
    if pipeline.disabled:
        raise InputError("pipeline_name", f"pipeline {pipeline.name} is disabled: enable it first.")
    if pipeline.is_multi_branch:
        raise InputError(
            "pipeline_name",
            f"pipeline {pipeline.name} has several branches, and how a run of one is started is "
            "documented nowhere: start it by a push.",
        )
    declared = {one.name: one for one in pipeline.parameters}
    unknown = [name for name in values if name not in declared]
    if unknown:
        there = ", ".join(declared) or "none"
        raise InputError(
            "parameters",
            f"pipeline {pipeline.name} declares no {', '.join(map(repr, unknown))}, and would drop "
            f"it. It declares: {there}.",
        )
    for name, value in values.items():
        one = declared[name]
        allowed = ("true", "false") if one.type == "BOOLEAN" else one.choices
        if allowed and value not in allowed:
            raise InputError(
                "parameters", f"{name} must be one of {', '.join(allowed)}, not {value!r}."
            )


@dataclass(frozen=True, slots=True)
class PipelineEvidence(MarkedEvidence):
    """What a pipeline shows of a start: its runs, and the marker in the parameters of each.

    :param ref: the pipeline.
    :param marker: that parameter. The values of the others may be secret, and are not kept.
    """

    ref: PipelineRef
    marker: str = MARKER

    def __str__(self) -> str:
        return f"pipeline {self.ref}"

    def request(self) -> Request[SeenRuns]:
        """``GET …/pipelines/{name}/runs``: the newest."""
        return list_runs_and_queued(self.ref)

    def name_of(self, seen: SeenRuns) -> str:  # noqa: ARG002 - it is known
        """Return its name."""
        return self.ref.name

    def snapshot(self, seen: SeenRuns) -> dict[str, Any]:
        """Return the number of the newest run, and the markers that it and those before it have."""
        runs, queued = seen
        numbers = [int(run.run_id) for run in runs if run.run_id.isdigit()]
        return {
            "last_run_id": max(numbers, default=0),
            "markers": {run.run_id: self._marker(run.parameters) for run in runs[:20]},
            "queued": [self._marker(parameters) for parameters in queued],
        }

    def _marker(self, parameters: Mapping[str, str] | None) -> str | None:
        """Return the marker of a run, empty if it has none; None if its parameters do not show."""
        return None if parameters is None else parameters.get(self.marker, "")

    def verdict(
        self,
        record: Mapping[str, Any],
        before: Snapshot,
        now: Snapshot,
        *,
        change_seen: bool,
        trust_any: bool,  # noqa: ARG002 - a run of somebody else cannot be told from ours
    ) -> Verdict:
        """Judge by the marker; without one, only that there was no run at all proves anything."""
        last = before.shown["last_run_id"]
        same = now.shown["last_run_id"] == last
        if record["body"]["marker"] is None:
            return "absent" if same and not change_seen else "unknown"
        ours, markers = record["body"]["operation"], now.shown["markers"]
        if ours in markers.values():
            return "present"
        if ours in now.shown["queued"]:  # it arrived, and has no number yet by which to wait
            return "unknown"
        if change_seen and same:  # it was answered, and its run is in no list yet
            return "unknown"
        new = [marker for run, marker in markers.items() if int(run) > last]
        return "unknown" if None in new else "absent"

    def release(self, snapshot: Snapshot) -> None:
        """Return None: a pipeline has no release."""

    def receipt_shown(self, record: Mapping[str, Any], seen: SeenRuns) -> str | None:
        """Return the number of the run that has the marker."""
        body = record["body"]
        if body["marker"] is None:
            return None
        runs, _ = seen
        for run in runs:
            if (run.parameters or {}).get(body["marker"]) == body["operation"]:
                return run.run_id
        return None

    def receipt(self, accepted: PipelineRun) -> str:
        """Return the number of the run."""
        return accepted.run_id

    def result(self, record: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Return the fields of a run that nobody knows."""
        empty = dict.fromkeys(PipelineRun("").as_dict())
        return empty | {"workspace_id": self.ref.workspace_id, "pipeline_name": self.ref.name}

    def title(self, name: str | None) -> str:  # noqa: ARG002 - its name is what identifies it
        """Return the pipeline as a person calls it."""
        return f"pipeline {self.ref.name}"

    def describe(self, record: Mapping[str, Any], name: str | None) -> str:  # noqa: ARG002
        """Return the start in words."""
        return f"run of {self.title(name)}"

    def describe_snapshot(self, snapshot: Snapshot) -> str:
        """Return the number of the newest run in words."""
        last = snapshot.shown["last_run_id"]
        return f"its newest run is {last}" if last else "it has no run"


# --- polling: one list for all runs of a pipeline -------------------------------------------------


def _run_of_item(item: Mapping[str, Any]) -> str:
    return read_text(item, "runId") or ""


@cache
def _batched(ref: PipelineRef) -> Strategy:
    request = partial(list_runs_unparsed, ref)
    return Batched(request, PipelineRun.parse, _run_of_item, attrgetter("run_id"), ends_waits=False)


def _strategy(wait: PipelineRunWait) -> Strategy:
    return _batched(wait.ref)


PIPELINE = register(
    Resource(
        kind="workspace",
        list_request=list_workspaces,
        distinguishing=("id",),
        dashboard_path="/amamba/workspaces/{workspace}/pipelines/{pipeline}",
        polling={PipelineRunWait.kind: _strategy},
        name_field="workspace",
    )
)
