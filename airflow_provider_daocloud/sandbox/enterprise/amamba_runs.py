"""The calls of the workbench on runs of pipelines."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_daocloud.sandbox.enterprise.amamba_pipelines import (
    DOCUMENTED,
    PIPELINES,
    pipeline_of,
    since,
)
from airflow_provider_daocloud.sandbox.enterprise.forms import read_form
from airflow_provider_daocloud.sandbox.enterprise.pipelines import PipelineError
from airflow_provider_daocloud.sandbox.enterprise.wire import (
    FAILED_PRECONDITION,
    NOT_FOUND,
    UNIMPLEMENTED,
    Call,
    CallRow,
    Handler,
    Made,
    RefusalError,
    invalid,
    paged,
    stamp,
    whole,
)
from airflow_provider_daocloud.sandbox.parts import NotFoundError

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.enterprise.pipelines import Pipeline, Run, StageRun

_SORTED_BY = {
    "CREATED_AT": lambda run: run.created_at,
    "PIPELINE_RUN_ID": lambda run: run.number,
    "START_AT": lambda run: run.started_at or 0.0,
}
_BLUE_OCEAN = "BLUE_OCEAN_RESULT_"


def _visible(call: Call) -> list[Run]:
    now = call.world.now()
    runs = call.world.pipelines.kept(pipeline_of(call))
    return [run for run in runs if run.created_at + call.options.run_lag <= now]


def _find(call: Call) -> Run:
    number = whole(call.params["run"], "runId")
    for run in _visible(call):
        if run.number == number:
            return run
    raise NotFoundError(f"run {number} of pipeline {call.params['name']} not found")


def _state(call: Call, run: Run) -> str:
    state = run.state_at(call.world.now() - call.options.run_state_lag)
    if state == "PAUSED" and call.options.amamba_minor < 121:
        return "RUNNING"
    # The word was unknown before. Which one stood for it is written nowhere.
    return "FAILED" if state == "UNSTABLE" and call.options.amamba_minor < 131 else state


def _parameters_json(run: Run) -> list[Any]:
    declared = {one.name: one for one in run.pipeline.parameters}
    shown = []
    for name, value in run.parameters.items():
        one = declared.get(name)
        kind = f"PARAMETER_TYPE_{one.type if one else 'STRING'}"
        default = one.default if one else ""
        shown.append({"name": name, "value": value, "defaultValue": default, "type": kind})
    return shown


def _run_json(call: Call, run: Run) -> Any:
    options, unit = call.options, call.options.pipeline_times
    until = call.world.now() if run.ended_at is None else run.ended_at
    spent = 0.0 if run.started_at is None else until - run.started_at
    shown: dict[str, Any] = {
        "workspaceId": str(run.pipeline.workspace_id),
        "name": run.pipeline.name,
        "runId": str(run.number),
        "state": _state(call, run),
        "createdAt": stamp(run.created_at, unit),
        "updatedAt": stamp(run.history[-1][0], unit),
        "duration": stamp(spent, "ms"),
        "triggerType": run.trigger,
        "branchInfo": {"branch": run.branch, "commitId": "", "commitMsg": ""},
    }
    if options.amamba_minor >= 118:
        shown["startAt"] = stamp(run.started_at, unit)
    if options.amamba_minor >= 128:
        shown |= {"startedBy": run.started_by, "description": ""}
        shown["parameters"] = _parameters_json(run)
    return shown


# Start


def _start(place: str) -> Handler:
    def handler(call: Call) -> Made:
        if call.options.start_call != place:
            if place == "runs":  # its GET lists them
                raise RefusalError(UNIMPLEMENTED, "Method Not Allowed")
            raise RefusalError(NOT_FOUND, "Not Found")
        pipeline, form = pipeline_of(call), read_form(call)
        branch = ""
        if pipeline.branches:
            if call.options.multi_branch_start == "refuse":
                raise RefusalError(FAILED_PRECONDITION, "a multi-branch pipeline")
            branch = form.pop("branch", pipeline.branches[0])
            if branch not in pipeline.branches:
                raise NotFoundError(f"branch {branch} not found")
        return _started(call, pipeline, _checked(call, pipeline, form), branch)

    return handler


def _checked(call: Call, pipeline: Pipeline, form: dict[str, str]) -> dict[str, str]:
    """Return the parameters of a run, as the pipeline declares them.

    :raises RefusalError: one is not declared, or has a value that it cannot have.
    """
    options, made = call.options, {}
    declared = {one.name: one for one in pipeline.parameters}
    for name, value in form.items():
        if name not in declared:
            if options.undeclared_parameters == "refuse":
                raise invalid(f"parameter {name} is not declared")
            if options.undeclared_parameters == "drop":
                continue
        made[name] = value
    for one in pipeline.parameters:
        # Defaults of those that are left out are filled in since then.
        value = made.setdefault(one.name, one.value if options.amamba_minor >= 132 else "")
        if options.amamba_minor >= 128 and one.name in form:
            choices = one.default.split("\n") if one.type == "CHOICE" else ["true", "false"]
            if one.type in ("CHOICE", "BOOLEAN") and value not in choices:
                raise invalid(f"parameter {one.name}: {value!r} is not valid")
    return made


def _started(call: Call, pipeline: Pipeline, parameters: dict[str, str], branch: str = "") -> Made:
    options = call.options
    try:
        run, new = call.world.pipelines.start(
            pipeline,
            parameters,
            started_by=call.user.name if options.started_by == "user" else "",
            trigger=options.start_shown_as,
            branch=branch,
        )
    except PipelineError as error:
        raise RefusalError(FAILED_PRECONDITION, str(error)) from None
    shown = {} if options.start_answer == "empty" else _run_json(call, run)
    if options.start_answer == "zero":
        shown["runId"] = "0"
    note = f"run {run.number} of {pipeline.name}"
    return Made(shown, note if new else f"{note}, which waits", acted=new, id=str(run.number))


def _replay(call: Call) -> Made:
    run = _find(call)
    return _started(call, run.pipeline, dict(run.parameters), run.branch)


# Read


def _list(call: Call) -> Made:
    runs = _visible(call)
    if number := call.one("searchRunId"):
        runs = [run for run in runs if str(run.number) == number]
    if call.options.amamba_minor >= 131:
        runs = [run for run in runs if _selected(call, run)]
    by = call.word("sortBy", ("SORT_BY_UNSPECIFIED", *_SORTED_BY), "SORT_BY_UNSPECIFIED")
    key = _SORTED_BY.get(by, _SORTED_BY["PIPELINE_RUN_ID"])
    descends = call.word("sortDir", ("DESC", "ASC"), "DESC") == "DESC"
    runs = sorted(runs, key=key, reverse=descends)
    shown = paged(call, [_run_json(call, run) for run in runs])
    return Made(shown | {"displayConfig": {"parameters": []}}, f"{len(runs)} runs")


def _selected(call: Call, run: Run) -> bool:
    state = call.one("state", "STATUS_UNSPECIFIED")
    trigger = call.one("triggerType", "TYPE_UNSPECIFIED")
    begun = run.created_at if run.started_at is None else run.started_at
    since_moment, until_moment = _moment(call, "startTimeFrom"), _moment(call, "startTimeTo")
    return (
        state in ("STATUS_UNSPECIFIED", _state(call, run))
        and trigger in ("TYPE_UNSPECIFIED", run.trigger)
        and call.one("startedBy") in ("", run.started_by)
        and (since_moment is None or begun >= since_moment)
        and (until_moment is None or begun <= until_moment)
    )


def _moment(call: Call, name: str) -> float | None:
    text = call.one(name)
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise invalid(f"{name}: not a time: {text!r}") from None


def _get(call: Call) -> Made:
    shown = _run_json(call, _find(call))
    return Made(shown, f"run {shown['runId']} {shown['state']}")


def _get_parameters(call: Call) -> Made:
    since(call, 123)
    return Made({"items": _parameters_json(_find(call))})


def _text(call: Call, text: str) -> Made:
    data, start = text.encode(), max(0, call.number("start", 0))
    part = data[start:]
    shown = {"log": part.decode(errors="replace"), "size": len(data), "delivered": len(part)}
    return Made(shown, f"{len(part)} bytes")


def _log(call: Call) -> Made:
    return _text(call, _find(call).log)


def _span(call: Call, stage: StageRun) -> Any:
    until = call.world.now() if stage.ended_at is None else stage.ended_at
    spent = 0.0 if stage.started_at is None else until - stage.started_at
    return {
        "result": _BLUE_OCEAN + stage.result,
        "startTime": stamp(stage.started_at, call.options.pipeline_times),
        "durationInMillis": stamp(spent, "ms"),
    }


def _nodes(call: Call) -> Made:
    run = _find(call)
    shown = []
    for number, stage in enumerate(run.stages, 1):
        more = number < len(run.stages)
        edges = [{"id": str(number + 1), "type": "STAGE"}] if more else []
        shown.append(
            {
                "id": str(number),
                "displayName": stage.plan.name,
                "type": "BLUE_OCEAN_NODE_STAGE",
                "firstParent": str(number - 1) if number > 1 else "",
                "edges": edges,
                "restartable": False,
                **_span(call, stage),
            }
        )
    return Made({"nodes": shown})


def _stage(call: Call) -> tuple[Run, int]:
    run, number = _find(call), whole(call.params["node"], "nodeId")
    if not 1 <= number <= len(run.stages):
        raise NotFoundError(f"node {number} not found")
    # Each stage has one step, whose id is the node's with a 1 behind it.
    if call.params.get("step", f"{number}1") != f"{number}1":
        raise NotFoundError(f"step {call.params['step']} not found")
    return run, number - 1


def _steps(call: Call) -> Made:
    run, index = _stage(call)
    stage = run.stages[index]
    if stage.started_at is None:
        return Made({"steps": []})
    step = {
        "id": f"{index + 1}1",
        "displayName": "sh" if stage.plan.input is None else "input",
        "displayDescription": "",
        "type": "BLUE_OCEAN_STEP",
        **_span(call, stage),
    }
    if stage.result == "PAUSED":
        step["input"] = {
            "id": f"input-{index + 1}",
            "message": stage.plan.input,
            "ok": "Proceed",
            "submitter": "",
        }
    return Made({"steps": [step]})


def _step_log(call: Call) -> Made:
    run, index = _stage(call)
    stage = run.stages[index]
    lines = stage.plan.log if stage.started_at is not None else []
    return _text(call, "".join(f"{line}\n" for line in lines))


# Change


def _cancel(call: Call) -> Made:
    run = _find(call)
    acted = call.world.pipelines.cancel(run)
    number = str(run.number)
    return Made(_run_json(call, run), f"cancel run {number}", acted=acted, id=number)


def _answer(verb: str) -> Handler:
    def handler(call: Call) -> Made:
        run, index = _stage(call)
        if call.field("inputId", str, "") != f"input-{index + 1}":
            raise invalid("inputId: no such input")
        try:
            call.world.pipelines.answer(run, index, proceed=verb == "process")
        except PipelineError as error:
            raise RefusalError(FAILED_PRECONDITION, str(error)) from None
        note = f"{verb} an input of run {run.number}"
        return Made({"response": ""}, note, acted=True, id=str(run.number))

    return handler


_RUNS = f"{PIPELINES}/{{name}}/runs"
_RUN = f"{_RUNS}/{{run}}"
_STEP = f"{_RUN}/nodes/{{node}}/steps/{{step}}"

CALLS: tuple[CallRow, ...] = (
    ("start_run", "POST", DOCUMENTED, _start("documented")),
    ("create_run", "POST", _RUNS, _start("runs")),
    ("list_runs", "GET", _RUNS, _list),
    ("get_run", "GET", _RUN, _get),
    ("get_run_parameters", "GET", f"{_RUN}/parameters", _get_parameters),
    ("get_run_log", "GET", f"{_RUN}/log", _log),
    ("cancel_run", "POST", f"{_RUN}:cancel", _cancel),
    ("replay_run", "POST", f"{_RUN}:replay", _replay),
    ("list_nodes", "GET", f"{_RUN}/nodes", _nodes),
    ("list_steps", "GET", f"{_RUN}/nodes/{{node}}/steps", _steps),
    ("get_step_log", "GET", f"{_STEP}/log", _step_log),
    ("process_input", "POST", f"{_STEP}:process", _answer("process")),
    ("abort_input", "POST", f"{_STEP}:abort", _answer("abort")),
)
