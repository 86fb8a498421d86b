"""What the operators and sensors return: the schemas of the XCom ``return_value``.

A result is a plain ``dict`` of JSON-safe data, the same whoever ends the task. These types are for
those who read it: a downstream task can say ``def tell(release: RedeployResult)``, and its editor
knows the keys. Dates are ISO 8601 in UTC, durations are seconds.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict


class ActionResult(TypedDict):
    """A finished action: ``GET /v1/apps/{app_id}/actions/{action_id}``, and the same for a stack.

    All but ``action_name`` can be None: nobody knows the id of an action that was recognised by
    its effect, and there is none if nothing was sent.
    """

    action_id: str | None
    action_name: str | None
    state: str | None
    start_date: str | None
    end_date: str | None
    time_cost_seconds: float | None
    error_message: str | None


class OperatorResult(TypedDict, total=False):
    """How it came about, if not simply by what the task sent; else these keys are missing.

    ``skipped``: nothing was sent, for there was nothing to do. ``adopted``: a response was lost,
    and what the resource showed proves the effect: ``evidence``.
    """

    skipped: Literal[True]
    adopted: Literal[True]
    evidence: dict[str, Any]


class AppActionSensorResult(ActionResult):
    """What `DaoCloudActionSensor` returns."""

    app_id: str


class StackActionSensorResult(ActionResult):
    """What `DaoCloudStackActionSensor` returns."""

    stack_id: str


class AppActionResult(AppActionSensorResult, OperatorResult):
    """What `DaoCloudAppActionOperator` returns. The name is None where nothing has told it."""

    app_name: str | None


class RedeployResult(AppActionResult):
    """What `DaoCloudRedeployOperator` and `DaoCloudRollbackOperator` return.

    ``release_name`` is the release that the app was brought to, ``previous_release_name`` the one
    that it ran before. Both are None in a rollback that had nothing to undo.
    """

    release_name: str | None
    previous_release_name: str | None


class StackActionResult(StackActionSensorResult, OperatorResult):
    """What `DaoCloudStackActionOperator` returns."""

    stack_name: str | None


class BuildSensorResult(TypedDict):
    """What `DaoCloudBuildSensor` returns: ``GET /v1/build-flows/{build_flow_id}/builds/{id}``.

    ``tag`` is the image tag that the build made.
    """

    build_id: str | None
    build_flow_id: str
    status: str | None
    tag: str | None
    ref: str | None
    sha: str | None
    author: str | None
    ref_is_tag: bool | None
    ref_is_branch: bool | None
    created_at: str | None


class ExistingBuildResult(TypedDict, total=False):
    """With ``reuse_running_build``, another client's build: without an id, with its package."""

    existing_run: Literal[True]
    package_id: str | None


class BuildResult(BuildSensorResult, OperatorResult, ExistingBuildResult):
    """What `DaoCloudTriggerBuildOperator` returns."""

    build_flow_name: str | None


class BuildFlowResult(TypedDict):
    """What `DaoCloudBuildFlowSensor` returns: ``GET /v1/build-flows/{build_flow_id}``."""

    id: str
    name: str | None
    status: str | None
    package_id: str | None
    repo: str | None
    src_language: str | None
    src_provider: str | None
    src_origin_url: str | None
    created_at: str | None


class AppResult(TypedDict):
    """What `DaoCloudAppSensor` returns: ``GET /v1/apps/{app_id}``."""

    id: str
    name: str | None
    state: str | None
    release_name: str | None
    image: str | None
    package_id: str | None
    created_at: str | None
    last_operated_at: str | None


class WorkloadResult(TypedDict):
    """What `DaoCloudWorkloadSensor` returns: the workload, as Kubernetes has it.

    ``images`` is the image of each container. Of a change that shows and was not waited for,
    ``generation``, ``replicas`` and ``images`` are None.
    """

    cluster: str
    namespace: str
    workload_kind: str
    workload_name: str
    generation: int | None
    replicas: int | None
    images: dict[str, str] | None


class WorkloadOperatorResult(WorkloadResult, OperatorResult):
    """What the operators on workloads return."""


class WorkloadDeployResult(WorkloadOperatorResult):
    """What `DaoCloudWorkloadDeployOperator` and `DaoCloudWorkloadRollbackOperator` return.

    ``previous_images`` are those that ran before, as text: ``web=registry/web:1.0``.
    """

    previous_images: str | None


class PipelineRunResult(TypedDict):
    """What `DaoCloudPipelineRunSensor` returns: ``GET …/pipelines/{name}/runs/{runId}``."""

    run_id: str | None
    workspace_id: str
    pipeline_name: str
    state: str | None
    started_by: str | None
    branch: str | None
    commit: str | None
    created_at: str | None
    started_at: str | None
    duration_seconds: float | None


class RunPipelineResult(PipelineRunResult, OperatorResult):
    """What `DaoCloudRunPipelineOperator` returns."""
