"""The calls of the workbench on pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_daocloud.sandbox.enterprise.amamba_places import workspace_id
from airflow_provider_daocloud.sandbox.enterprise.pipelines import Parameter
from airflow_provider_daocloud.sandbox.enterprise.wire import (
    NOT_FOUND,
    Call,
    CallRow,
    Made,
    RefusalError,
    invalid,
    paged,
    stamp,
)

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.enterprise.pipelines import Pipeline

ROOT = "apis/pipeline.amamba.io/v1alpha1"
PIPELINES = f"{ROOT}/workspaces/{{workspace}}/pipelines"
DOCUMENTED = "api/pipeline.amamba.io/v1alpha1/workspaces/{workspace}/pipelines/runs/{name}"
_TYPE = "PARAMETER_TYPE_"


def since(call: Call, minor: int) -> None:
    """Refuse a call that came with a later version than the world's.

    :raises RefusalError: it did.
    """
    if call.options.amamba_minor < minor:
        raise RefusalError(NOT_FOUND, "Not Found")


def pipeline_of(call: Call) -> Pipeline:
    """Return the pipeline of the path.

    :raises NotFoundError: there is none.
    """
    return call.world.pipelines.find(workspace_id(call), call.params["name"])


def _parameter_json(one: Parameter) -> Any:
    return {
        "name": one.name,
        "defaultValue": one.default,
        "type": _TYPE + one.type,
        "description": one.description,
        "redact": one.type == "PASSWORD",
    }


def _pipeline_json(call: Call, pipeline: Pipeline) -> Any:
    runs, unit, minor = pipeline.runs, call.options.pipeline_times, call.options.amamba_minor
    shown: dict[str, Any] = {
        "workspaceId": str(pipeline.workspace_id),
        "name": pipeline.name,
        "description": "",
        "parameters": [_parameter_json(one) for one in pipeline.parameters],
        "lastPipelineRunState": runs[-1].state if runs else "STATUS_UNSPECIFIED",
        "totalRunTimes": str(pipeline.started),
        "lastRunTime": stamp(runs[-1].created_at if runs else None, unit),
        "createdAt": stamp(pipeline.created_at, unit),
        "buildConfig": {
            "disableConcurrence": pipeline.disable_concurrence,
            "discarderProperty": {
                "daysToRetainValue": pipeline.keep_days,
                "numToRetainValue": pipeline.keep_runs,
            },
        },
        "type": "PIPELINE_TYPE_MULTI_BRANCH" if pipeline.branches else "PIPELINE_TYPE_CUSTOM",
    }
    if minor >= 113:
        shown["manualWebhookTrigger"] = {"webhookTrigger": False, "webhookUrl": ""}
    if minor >= 130:
        shown["disabled"] = pipeline.disabled
    return shown


def _list(call: Call) -> Made:
    word = call.one("searchName")
    items = [
        _pipeline_json(call, one)
        for one in call.world.pipelines.of(workspace_id(call))
        if word in one.name
    ]
    return Made(paged(call, items), f"{len(items)} pipelines")


def _get(call: Call) -> Made:
    return Made(_pipeline_json(call, pipeline_of(call)))


def _parameters(call: Call) -> Made:
    return Made({"parameters": [_parameter_json(one) for one in pipeline_of(call).parameters]})


def _declare(call: Call) -> Made:
    since(call, 130)
    pipeline, operations = pipeline_of(call), call.field("operations", list, [])
    made = {one.name: one for one in pipeline.parameters}
    for operation in operations:
        said = operation.get("parameter") if isinstance(operation, dict) else None
        if not isinstance(said, dict) or not said.get("name"):
            raise invalid("parameter.name: required value")
        name = str(said["name"])
        match operation.get("operation"):
            case "PARAMETER_OPERATION_ADD" if name not in made:
                made[name] = _declared(said)
            case "PARAMETER_OPERATION_UPDATE" if name in made:
                made[name] = _declared(said)
            case "PARAMETER_OPERATION_DELETE" if name in made:
                del made[name]
            case word:
                raise invalid(f"operation: {word!r} cannot be done on {name}")
    pipeline.parameters = list(made.values())
    shown = {"parameters": [_parameter_json(one) for one in pipeline.parameters]}
    return Made(shown, f"declare {len(operations)} of {pipeline.name}", acted=bool(operations))


def _declared(said: dict[str, Any]) -> Parameter:
    texts = [said.get(name, "") for name in ("name", "defaultValue", "type", "description")]
    if not all(isinstance(text, str) for text in texts):
        raise invalid("parameter: not text")
    name, default, word, description = texts
    return Parameter(name, default, word.removeprefix(_TYPE) or "STRING", description)


def _toggle(call: Call) -> Made:
    since(call, 130)
    pipeline, disable = pipeline_of(call), call.field("disable", bool, False)
    changed, pipeline.disabled = pipeline.disabled != disable, disable
    return Made({}, f"toggle {pipeline.name}", acted=changed)


def _branches(call: Call) -> Made:
    pipeline = pipeline_of(call)
    branches = [{"branchName": name, "disabled": False} for name in pipeline.branches]
    shown = {"workspaceId": str(pipeline.workspace_id), "name": pipeline.name}
    return Made({**shown, "branches": branches})


def _http_apis(call: Call) -> Made:
    options = call.options
    if options.httpapis == "absent":
        raise RefusalError(NOT_FOUND, "Not Found")
    if options.httpapis == "empty" or options.start_call == "absent":
        return Made({"items": []})
    path = DOCUMENTED if options.start_call == "documented" else f"{PIPELINES}/{{name}}/runs"
    url = "/" + path.replace("{workspace}", "{workspaceId}")
    item = {"name": "CreatePipelineRun", "method": "HTTP_METHOD_POST", "url": url}
    return Made({"items": [item | {"desc": "start a run"}]})


CALLS: tuple[CallRow, ...] = (
    ("list_http_apis", "GET", f"{ROOT}/httpapis", _http_apis),
    ("list_pipelines", "GET", PIPELINES, _list),
    ("get_pipeline", "GET", f"{PIPELINES}/{{name}}", _get),
    ("toggle_pipeline", "POST", f"{PIPELINES}/{{name}}:toggle", _toggle),
    ("get_pipeline_parameters", "GET", f"{PIPELINES}/{{name}}/parameters", _parameters),
    ("declare_parameters", "POST", f"{PIPELINES}/{{name}}/parameters", _declare),
    ("list_branches", "GET", f"{PIPELINES}/{{name}}/branches", _branches),
)
