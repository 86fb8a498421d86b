"""How the sandbox's DaoCloud Enterprise behaves where its documents leave it open.

Each undocumented assumption is an option here, so that a test can make it false.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_type_hints

from airflow_provider_daocloud.sandbox.options import check_fields

Unit = Literal["s", "ms"]


@dataclass(frozen=True)
class EnterpriseOptions:
    """The settings of a world of DaoCloud Enterprise. All times are in seconds.

    :param speed: divides all durations below and those of pipelines, and the progress deadlines of
        deployments; 10 is ten times as fast. Lags and windows stay as they are.
    :param gateway_errors: a missing, wrong or expired token is refused in plain ``text``, as the
        gateway in front of the products does, or in ``json``, as the products do.
    :param rate_limit: calls that a token has in one window; ``None``: no limit.
    :param rate_window: length of that window.
    :param start_call: where a pipeline is started: at the ``documented`` path below ``/api``, by a
        POST to its ``runs``, or nowhere (``absent``).
    :param start_body: what that call takes: a ``multipart`` form alone, or ``any`` of multipart,
        URL-encoded form and JSON object.
    :param httpapis: the list of hand-written calls names the ``start`` call, is ``empty``, or does
        not exist (``absent``).
    :param start_answer: a start answers with the ``run``, with the run but ``zero`` for its id, or
        with an ``empty`` object.
    :param undeclared_parameters: parameters that the pipeline does not declare are dropped
        (``drop``), refused (``refuse``), or kept (``keep``).
    :param start_shown_as: the trigger of a run that was started by a call.
    :param started_by: a run shows the ``user`` whose token started it, or ``nobody``.
    :param run_lag: how long after its start a run is in no list and answers 404.
    :param run_state_lag: runs show the state that they had so long ago.
    :param merge_queued: a start equal to a run that still waits is that run.
    :param cancel_seconds: how long a cancelled run goes on until it has stopped.
    :param agents: how many runs go at once, in the whole installation.
    :param stage_seconds: how long a stage of a run takes that has no length of its own.
    :param input_holds_agent: whether a paused run keeps its agent.
    :param multi_branch_start: a start of a multi-branch pipeline is refused (``refuse``), or takes
        the form field ``branch`` (``branch``).
    :param amamba_minor: the minor version of the workbench's API, 112 to 132: fields, filters and
        calls that came later are missing.
    :param pipeline_times: the unit of times in pipelines and runs.
    :param patch_type: a patch is a ``strategic`` merge patch, a JSON ``merge`` patch, or a
        ``json`` patch.
    :param patch_conflicts: whether an old ``resourceVersion`` in a patch or a replacement is a
        conflict.
    :param object_text: whole objects are sent as ``json`` or as ``yaml``.
    :param object_status: whether they have their status.
    :param read_lag: reads of one workload show it as it was so long ago.
    :param list_lag: likewise lists of workloads.
    :param rollback_renumbers: whether a revision that is rolled back to gets a new number.
    :param workload_times: the unit of ``creationTimestamp`` and of the times of events.
    :param workload_state: a workload's state is read as the ``docs`` say (``Running`` is all
        replicas), or as the ``api`` says (``Stopped`` is no ready pod, ``Waiting`` is paused).
    :param events_of: events are listed of the ``object`` that is named, or of all that it ``owns``.
    :param observe_seconds: how long the controller takes to notice a change.
    :param pod_seconds: how long a pod takes until it is ready.
    :param retry_seconds: how long until an image is pulled again, or a crashed container started
        again, at first; twice as long each time, up to five minutes.
    :param stuck_stateful_sets: whether a broken pod of an ordered stateful set stays until somebody
        deletes it, as in Kubernetes, even if the template is mended.
    """

    speed: float = 1.0
    gateway_errors: Literal["text", "json"] = "text"
    rate_limit: int | None = None
    rate_window: float = 60.0
    start_call: Literal["documented", "runs", "absent"] = "documented"
    start_body: Literal["multipart", "any"] = "multipart"
    httpapis: Literal["start", "empty", "absent"] = "start"
    start_answer: Literal["run", "zero", "empty"] = "run"
    undeclared_parameters: Literal["drop", "refuse", "keep"] = "drop"
    start_shown_as: Literal["MANUAL", "WEBHOOK", "TYPE_UNSPECIFIED"] = "MANUAL"
    started_by: Literal["user", "nobody"] = "user"
    run_lag: float = 0.0
    run_state_lag: float = 0.0
    merge_queued: bool = True
    cancel_seconds: float = 1.0
    agents: int = 2
    stage_seconds: float = 3.0
    input_holds_agent: bool = True
    multi_branch_start: Literal["refuse", "branch"] = "refuse"
    amamba_minor: int = 132
    pipeline_times: Unit = "ms"
    patch_type: Literal["strategic", "merge", "json"] = "strategic"
    patch_conflicts: bool = True
    object_text: Literal["json", "yaml"] = "json"
    object_status: bool = True
    read_lag: float = 0.0
    list_lag: float = 0.0
    rollback_renumbers: bool = True
    workload_times: Unit = "s"
    workload_state: Literal["docs", "api"] = "docs"
    events_of: Literal["object", "owns"] = "object"
    observe_seconds: float = 0.2
    pod_seconds: float = 2.0
    retry_seconds: float = 10.0
    stuck_stateful_sets: bool = True

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("speed", "rate_window", "retry_seconds"):
            if getattr(self, name) == 0:
                raise ValueError(f"option {name} is more than zero")
        if self.agents == 0:
            raise ValueError("option agents is one or more")
        if not 112 <= self.amamba_minor <= 132:
            raise ValueError("option amamba_minor is 112 to 132")

    def changed(self, **changes: Any) -> EnterpriseOptions:
        """Return these options with some of them changed.

        :raises ValueError: an unknown option, or a value that it does not take.
        """
        if unknown := changes.keys() - get_type_hints(EnterpriseOptions).keys():
            raise ValueError(f"no such option: {', '.join(sorted(unknown))}")
        return dataclasses.replace(self, **changes)
