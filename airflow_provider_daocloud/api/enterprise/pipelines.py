"""The workbench (amamba): pipelines and their runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode

from airflow_provider_daocloud.api.enterprise.generation import ENTERPRISE
from airflow_provider_daocloud.api.enterprise.paging import PAGE_SIZE, paged
from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.api.model import Model
from airflow_provider_daocloud.api.parsing import (
    ShapeError,
    State,
    parse_date,
    read_flag,
    read_number,
    read_required,
    read_text,
    shown_word,
    to_iso,
)
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.response import items_of, list_of, object_of
from airflow_provider_daocloud.api.validation import checked, path_segment

ROOT = "/apis/pipeline.amamba.io/v1alpha1"
# Where a run is started, by the vendor's guide: no published document of the API has this call.
RUN_PATH = "/api/pipeline.amamba.io/v1alpha1/workspaces/{workspace}/pipelines/runs/{pipeline}"


@dataclass(frozen=True, slots=True)
class PipelineRef:
    """What identifies a pipeline.

    :param workspace_id: the number of its workspace.
    :param name: its name.
    """

    workspace_id: str
    name: str

    @property
    def path(self) -> str:
        """The path of the pipeline.

        :raises InputError: a part of it cannot be part of a path.
        """
        name = path_segment("pipeline_name", self.name)
        return f"{ROOT}/workspaces/{_workspace(self.workspace_id)}/pipelines/{name}"

    def run_path(self, run_id: object) -> str:
        """Return the path of a run.

        :param run_id: its number.
        :raises InputError: it is none.
        """
        text = checked("run_id", run_id)
        if not text.isdigit():
            raise InputError("run_id", f"must be the number of a run, not {text!r}.")
        return f"{self.path}/runs/{text}"

    def __str__(self) -> str:
        return f"{self.workspace_id}/{self.name}"


def _workspace(workspace_id: object) -> str:
    text = checked("workspace", workspace_id)
    if text != "any" and not text.isdigit():
        raise InputError("workspace", f"{text!r} is not the number of a workspace.")
    return text


class RunState(State):
    """State of a run."""

    QUEUE = "QUEUE"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    SUCCESS = "SUCCESS"
    UNSTABLE = "UNSTABLE"
    FAILED = "FAILED"
    ERROR = "ERROR"
    NOT_BUILT = "NOT_BUILT"
    CANCELED = "CANCELED"
    SKIPPED = "SKIPPED"
    UNKNOWN = "UNKNOWN"

    @property
    def has_ended(self) -> bool:
        """Whether it stays so."""
        return self not in (RunState.QUEUE, RunState.RUNNING, RunState.PAUSED, RunState.UNKNOWN)


@dataclass(frozen=True, slots=True)
class PipelineParameter(Model):
    """A parameter that a pipeline declares."""

    name: str
    type: str = "STRING"
    default: str = ""

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> PipelineParameter:
        """Build a parameter from one object of the API."""
        kind = (read_text(data, "type") or "STRING").removeprefix("PARAMETER_TYPE_")
        return cls(read_required(data, "name"), kind, read_text(data, "defaultValue") or "")

    @property
    def choices(self) -> tuple[str, ...]:
        """The values to choose from: the lines of what stands as the default."""
        return tuple(self.default.splitlines()) if self.type == "CHOICE" else ()


@dataclass(frozen=True, slots=True)
class Pipeline(Model):
    """A pipeline of a workspace."""

    name: str
    parameters: tuple[PipelineParameter, ...] = ()
    disabled: bool | None = None
    is_multi_branch: bool = False
    total_runs: int | None = None

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Pipeline:
        """Build a pipeline from one object of the API."""
        total = read_number(data.get("totalRunTimes"))
        listed = data.get("parameters")
        return cls(
            name=read_required(data, "name"),
            parameters=tuple(
                PipelineParameter.parse(one)
                for one in (listed if isinstance(listed, list) else ())
                if isinstance(one, Mapping)
            ),
            disabled=read_flag(data.get("disabled")),
            is_multi_branch="MULTI_BRANCH" in (read_text(data, "type") or ""),
            total_runs=None if total is None else int(total),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the pipeline as JSON-safe data."""
        return {
            "name": self.name,
            "parameters": [one.name for one in self.parameters],
            "disabled": self.disabled,
            "total_runs": self.total_runs,
        }


@dataclass(frozen=True, slots=True)
class PipelineRun(Model):
    """A run of a pipeline. Its parameters are None where this version does not show them."""

    run_id: str
    state: RunState = RunState.UNKNOWN
    state_text: str = ""
    # Not shown: a value may be secret.
    parameters: Mapping[str, str] | None = field(default=None, repr=False)
    started_by: str | None = None
    branch: str | None = None
    commit: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    duration_seconds: float | None = None

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> PipelineRun:
        """Build a run from one object of the API. Raises ShapeError if it has no number yet."""
        run_id = read_required(data, "runId")
        if run_id == "0":
            raise ShapeError("'runId' is 0")
        branch = data.get("branchInfo")
        info: Mapping[str, Any] = branch if isinstance(branch, Mapping) else {}
        listed = data.get("parameters")
        milliseconds = read_number(data.get("duration"))
        return cls(
            run_id=run_id,
            state=RunState.parse(data.get("state")),
            state_text=read_text(data, "state") or "",
            parameters=_values(listed) if isinstance(listed, list) else None,
            started_by=read_text(data, "startedBy") or None,
            branch=read_text(info, "branch") or None,
            commit=read_text(info, "commitId") or None,
            created_at=parse_date(data.get("createdAt")),
            started_at=parse_date(data.get("startAt")),
            duration_seconds=None if milliseconds is None else milliseconds / 1000,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the run as JSON-safe data; without its parameters, which can be secret."""
        return {
            "run_id": self.run_id,
            "state": shown_word(self.state, self.state_text),
            "started_by": self.started_by,
            "branch": self.branch,
            "commit": self.commit,
            "created_at": to_iso(self.created_at),
            "started_at": to_iso(self.started_at),
            "duration_seconds": self.duration_seconds,
        }


@dataclass(frozen=True, slots=True)
class RunNode(Model):
    """A stage of a run, or a step of a stage. Its result is a word of Blue Ocean."""

    id: str
    name: str = ""
    result: str = ""
    # Of a step that waits for a person: the id of what is asked, its text, and who may answer.
    input_id: str | None = None
    message: str | None = None
    submitter: str | None = None

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> RunNode:
        """Build a stage or a step from one object of the API."""
        question = data.get("input")
        given: Mapping[str, Any] = question if isinstance(question, Mapping) else {}
        return cls(
            id=read_required(data, "id"),
            name=read_text(data, "displayName") or "",
            result=(read_text(data, "result") or "").removeprefix("BLUE_OCEAN_RESULT_"),
            input_id=read_text(given, "id"),
            message=read_text(given, "message"),
            submitter=read_text(given, "submitter"),
        )


@dataclass(frozen=True, slots=True)
class HttpApi(Model):
    """A call that the installation lists because its documents cannot show it."""

    name: str
    method: str
    url: str

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> HttpApi:
        """Build a call from one object of the API."""
        method = (read_text(data, "method") or "").removeprefix("HTTP_METHOD_")
        return cls(read_text(data, "name") or "", method, read_text(data, "url") or "")


def _values(listed: list[Any]) -> dict[str, str]:
    return {
        str(one["name"]): str(one.get("value") or "")
        for one in listed
        if isinstance(one, Mapping) and one.get("name")
    }


def list_pipelines(workspace_id: str) -> Request[tuple[Pipeline, ...]]:
    """``GET …/workspaces/{workspace}/pipelines``.

    :param workspace_id: the number of the workspace.
    """
    path = f"{ROOT}/workspaces/{_workspace(workspace_id)}/pipelines"
    return paged("list_pipelines", path, Pipeline.parse)


def get_pipeline(ref: PipelineRef) -> Request[Pipeline]:
    """``GET …/pipelines/{name}``: with the parameters that it declares.

    :param ref: which one.
    """
    return Request("get_pipeline", "GET", ref.path, object_of(Pipeline.parse), api=ENTERPRISE)


def list_http_apis() -> Request[tuple[HttpApi, ...]]:
    """``GET …/httpapis``: the calls that the installation lists beside its documents."""
    read = list_of("items", HttpApi.parse)
    return Request("list_http_apis", "GET", f"{ROOT}/httpapis", read, api=ENTERPRISE)


def declare_parameter(ref: PipelineRef, name: str, description: str = "") -> Request[None]:
    """``POST …/pipelines/{name}/parameters``: let a pipeline have one more parameter, of text.

    :param ref: which pipeline.
    :param name: the parameter's name.
    :param description: what it is for.
    """
    parameter = {"name": name, "type": "PARAMETER_TYPE_STRING", "description": description}
    body = {"operations": [{"operation": "PARAMETER_OPERATION_ADD", "parameter": parameter}]}
    path = f"{ref.path}/parameters"
    return Request("declare_parameter", "POST", path, _ignored, body, api=ENTERPRISE)


def list_runs(ref: PipelineRef) -> Request[tuple[PipelineRun, ...]]:
    """``GET …/pipelines/{name}/runs``: the newest, in one page.

    :param ref: which pipeline.
    """
    query = {"sortBy": "PIPELINE_RUN_ID", "sortDir": "DESC", "page": 1, "pageSize": PAGE_SIZE}
    path = f"{ref.path}/runs?{urlencode(query)}"
    return Request("list_runs", "GET", path, _numbered_runs, api=ENTERPRISE)


# The newest runs, and the parameters of those that have no number yet.
SeenRuns: TypeAlias = tuple[tuple[PipelineRun, ...], tuple[Mapping[str, str], ...]]


def list_runs_and_queued(ref: PipelineRef) -> Request[SeenRuns]:
    """``GET …/pipelines/{name}/runs``: the newest, and the parameters of unnumbered ones.

    :param ref: which pipeline.
    """

    def read(data: Any) -> SeenRuns:
        listed = [
            one["parameters"]
            for one in items_of("items")(data)
            if not _has_number(one) and isinstance(one.get("parameters"), list)
        ]
        return _numbered_runs(data), tuple(map(_values, listed))

    return Request("list_runs", "GET", list_runs(ref).path, read, api=ENTERPRISE)


def _has_number(item: Mapping[str, Any]) -> bool:
    return bool((read_text(item, "runId") or "0").strip("0"))


def _numbered_runs(data: Any) -> tuple[PipelineRun, ...]:
    # One that waits in the queue may have no number yet, and hides none of the others.
    items = items_of("items")(data)
    return tuple(PipelineRun.parse(one) for one in items if _has_number(one))


def list_runs_unparsed(ref: PipelineRef) -> Request[tuple[Mapping[str, Any], ...]]:
    """``GET …/pipelines/{name}/runs``: the newest, in one page, as they were sent.

    :param ref: which pipeline.
    """
    read = items_of("items")
    return Request("list_runs", "GET", list_runs(ref).path, read, repeats=True, api=ENTERPRISE)


def get_run(ref: PipelineRef, run_id: object) -> Request[PipelineRun]:
    """``GET …/pipelines/{name}/runs/{runId}``.

    :param ref: which pipeline.
    :param run_id: the number of the run.
    """
    return Request(
        "get_run",
        "GET",
        ref.run_path(run_id),
        object_of(PipelineRun.parse),
        not_found_hint=" Old runs vanish: by default after 7 days, or when there are ten newer.",
        api=ENTERPRISE,
    )


def start_run(
    ref: PipelineRef, parameters: Mapping[str, str], run_path: str = RUN_PATH
) -> Request[PipelineRun]:
    """``POST /api/…/workspaces/{workspace}/pipelines/runs/{pipeline}``, as a form.

    :param ref: which pipeline.
    :param parameters: their values.
    :param run_path: the path of this call, with ``{workspace}`` and ``{pipeline}`` in it.
    """
    path = filled_run_path(run_path, ref)
    return Request(
        "start_run",
        "POST",
        path,
        object_of(PipelineRun.parse),
        dict(parameters),
        form=True,
        not_found_hint=(
            " The call that starts a run is in no published document. This installation may have "
            "it elsewhere: ask its administrator, and set the connection's extra "
            "pipeline_run_path, with {workspace} and {pipeline} in it."
        ),
        api=ENTERPRISE,
    )


_WORKSPACE_NAMES = ("workspace", "workspaceId", "workspace_id")
_PIPELINE_NAMES = ("pipeline", "pipelineName", "pipeline_name", "name")


def starts_runs(path: str) -> bool:
    """Return whether a path, with names in braces, is that of the call that starts a run.

    :param path: what an installation lists.
    """
    one = rf"\{{(?:{'|'.join(_PIPELINE_NAMES)})\}}"
    names = set(re.findall(r"\{(.*?)\}", path))
    return names <= {*_WORKSPACE_NAMES, *_PIPELINE_NAMES} and bool(
        re.search(rf"/pipelines/(?:runs/{one}|{one}/runs)$", path)
    )


def filled_run_path(run_path: str, ref: PipelineRef) -> str:
    """Return the path at which a run of a pipeline is started.

    :param run_path: as a connection or the installation gives it.
    :param ref: which pipeline.
    """
    names = {
        "workspace": _workspace(ref.workspace_id),
        "pipeline": quote(checked("pipeline_name", ref.name), safe=""),
    }
    for which, spellings in (("workspace", _WORKSPACE_NAMES), ("pipeline", _PIPELINE_NAMES)):
        for spelling in spellings:
            run_path = run_path.replace(f"{{{spelling}}}", names[which])
    return run_path


def cancel_run(ref: PipelineRef, run_id: object) -> Request[None]:
    """``POST …/runs/{runId}:cancel``: it goes on for a moment until it has stopped.

    :param ref: which pipeline.
    :param run_id: the number of the run.
    """
    path = f"{ref.run_path(run_id)}:cancel"
    return Request("cancel_run", "POST", path, _ignored, {}, api=ENTERPRISE)


def get_run_log(ref: PipelineRef, run_id: object) -> Request[str]:
    """``GET …/runs/{runId}/log``: the log of a run.

    :param ref: which pipeline.
    :param run_id: the number of the run.
    """
    path = f"{ref.run_path(run_id)}/log?start=0"
    return Request("get_run_log", "GET", path, object_of(_log), api=ENTERPRISE)


def list_nodes(ref: PipelineRef, run_id: object) -> Request[tuple[RunNode, ...]]:
    """``GET …/runs/{runId}/nodes``: the stages of a run.

    :param ref: which pipeline.
    :param run_id: the number of the run.
    """
    path = f"{ref.run_path(run_id)}/nodes"
    return Request("list_nodes", "GET", path, list_of("nodes", RunNode.parse), api=ENTERPRISE)


def list_steps(ref: PipelineRef, run_id: object, node_id: str) -> Request[tuple[RunNode, ...]]:
    """``GET …/runs/{runId}/nodes/{nodeId}/steps``: the steps of a stage.

    :param ref: which pipeline.
    :param run_id: the number of the run.
    :param node_id: the stage's id.
    """
    path = f"{ref.run_path(run_id)}/nodes/{path_segment('node_id', node_id)}/steps"
    return Request("list_steps", "GET", path, list_of("steps", RunNode.parse), api=ENTERPRISE)


def get_step_log(ref: PipelineRef, run_id: object, node_id: str, step_id: str) -> Request[str]:
    """``GET …/steps/{stepId}/log``: the log of a step.

    :param ref: which pipeline.
    :param run_id: the number of the run.
    :param node_id: the stage's id.
    :param step_id: the step's id.
    """
    path = f"{_step(ref, run_id, node_id, step_id)}/log?start=0"
    return Request("get_step_log", "GET", path, object_of(_log), api=ENTERPRISE)


def answer_input(
    ref: PipelineRef, run_id: object, node_id: str, step_id: str, input_id: str, *, approve: bool
) -> Request[None]:
    """``POST …/steps/{stepId}:process`` or ``:abort``: let a paused run go on, or end it.

    :param ref: which pipeline.
    :param run_id: the number of the run.
    :param node_id: the id of the stage that waits.
    :param step_id: the id of its step.
    :param input_id: the id of what is asked.
    :param approve: whether it goes on.
    """
    verb = "process" if approve else "abort"
    path = f"{_step(ref, run_id, node_id, step_id)}:{verb}"
    body = {"inputId": input_id}
    return Request(f"{verb}_input", "POST", path, _ignored, body, api=ENTERPRISE)


def _step(ref: PipelineRef, run_id: object, node_id: str, step_id: str) -> str:
    node, step = path_segment("node_id", node_id), path_segment("step_id", step_id)
    return f"{ref.run_path(run_id)}/nodes/{node}/steps/{step}"


def _log(data: Mapping[str, Any]) -> str:
    return read_text(data, "log") or ""


def _ignored(data: Any) -> None:  # noqa: ARG001 - that it was answered is all that matters
    return None
