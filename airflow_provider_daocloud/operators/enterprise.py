"""The operators of DaoCloud Enterprise 5: their arguments, and what each asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

from airflow_provider_daocloud.api.errors import (
    InputError,
    OutcomeUnknownError,
    PipelineRunFailedError,
    WorkloadFailedError,
)
from airflow_provider_daocloud.api.validation import (
    TextFields,
    WorkloadAction,
    WorkloadKind,
    check_count,
    one_of,
)
from airflow_provider_daocloud.compat import BaseOperator
from airflow_provider_daocloud.exceptions import FailsWhenUnmapped, airflow_errors
from airflow_provider_daocloud.links import PipelineLink, WorkloadLink
from airflow_provider_daocloud.operators.base import DaoCloudBaseOperator
from airflow_provider_daocloud.references import PipelineReference, WorkloadReference
from airflow_provider_daocloud.triggers.enterprise import (
    DaoCloudPipelineRunTrigger,
    DaoCloudWorkloadTrigger,
)

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_daocloud.api.enterprise.pipelines import Pipeline, PipelineRef, RunNode
    from airflow_provider_daocloud.api.enterprise.workloads import WorkloadRef
    from airflow_provider_daocloud.api.request import Request
    from airflow_provider_daocloud.arguments import (
        EnterpriseOperatorArguments,
        TaskArguments,
        WorkloadOperatorArguments,
    )
    from airflow_provider_daocloud.compat import Context
    from airflow_provider_daocloud.core.submission.plan import Policy, Progress
    from airflow_provider_daocloud.core.waiting.wait import Wait
    from airflow_provider_daocloud.resources.enterprise.pipeline import PipelineEvidence
    from airflow_provider_daocloud.resources.enterprise.workload import WorkloadEvidence

__all__ = [
    "DaoCloudPipelineInputOperator",
    "DaoCloudRunPipelineOperator",
    "DaoCloudWorkloadActionOperator",
    "DaoCloudWorkloadDeployOperator",
    "DaoCloudWorkloadOperator",
    "DaoCloudWorkloadRollbackOperator",
    "DaoCloudWorkloadScaleOperator",
]

DEFAULT_CONN_ID = "daocloud_enterprise_default"
# What identifies an invocation, in Airflow's task state store (3.3+).
IDENTITY = "daocloud_identity"
# What a `DaoCloudPipelineInputOperator` keeps in Airflow's task state store (3.3+).
ANSWERED = "daocloud_input"
# The XCom for the images that ran before.
PREVIOUS_IMAGES = "previous_images"


class Marked:
    """Mixed into operators whose submissions carry what identifies them.

    It is the same for all tries of one invocation of the task, and another one after a clear and
    after a failure: so a submission shows, after whatever broke, whether it was made.
    """

    durable: bool
    _invocation: str | None = None
    _keeps_journal = True
    # How many submissions of earlier tries have failed, where no journal counts them.
    _failed_before = 0

    def prepare(self, context: Context) -> None:
        """Take what identifies the invocation of the task."""
        ti: Any = context["ti"]
        store: Any = context.get("task_state_store") if self.durable else None
        self._keeps_journal = store is not None
        if store is not None:
            self._invocation = self._kept_identity(store, ti.max_tries)
            return
        # A clear moves the limit of tries to where no retry leaves it.
        parts = (ti.dag_id, ti.run_id, ti.task_id, ti.map_index, ti.max_tries)
        self._invocation = "/".join(map(str, parts))

    def _kept_identity(self, store: Any, max_tries: object) -> str:
        """Return what identifies the invocation, made at random when it begins.

        A DAG run that was deleted and made again, and that of another Airflow, have the same ids.

        :raises JournalError: it cannot be kept.
        """
        from airflow_provider_daocloud.api.errors import JournalError

        try:
            kept = store.get(IDENTITY)
            if not isinstance(kept, Mapping) or kept.get("max_tries") != max_tries:
                kept = {"max_tries": max_tries, "id": uuid4().hex}
                store.set(IDENTITY, kept)
        except Exception as e:
            raise JournalError(
                f"What identifies this invocation cannot be kept ({type(e).__name__}: {e}). "
                "Nothing was sent."
            ) from e
        return str(kept["id"])

    def operation(self, progress: Progress) -> str:
        """Return what identifies a submission.

        :param progress: how far the invocation is.
        """
        failures = progress.failures + self._failed_before
        text = f"{self._invocation}/{progress.goal}/{failures}"
        return sha256(text.encode()).hexdigest()[:20]


class DaoCloudWorkloadOperator(Marked, WorkloadReference, DaoCloudBaseOperator):
    """Base of the operators that act on a workload. See `DaoCloudBaseOperator` for all else.

    A change carries an annotation of ours with what identifies it, so that a lost answer, a killed
    worker and a retry never make a second one. A workload may be rolling out meanwhile: the newest
    change wins, as everywhere in Kubernetes.

    :param workload_name: the workload's name (templated).
    :param workload_kind: ``deployment``, ``statefulset`` or ``daemonset``.
    :param cluster: its cluster (templated). Default: the connection's.
    :param namespace: its namespace (templated). Default: the connection's.
    :param max_attempts: how many times to act in all, if the rollout fails; from the second time
        on, its pods are made anew.
    :param daocloud_conn_id: the Connection of type ``daocloud_enterprise`` (templated).
    :return: the workload as JSON-safe data: a `WorkloadResult`. Its generation is pushed as XCom
        ``generation`` too.
    :raises DaoCloudWorkloadFailedError: the rollout has failed, or another client has changed the
        workload since. The text has the events, and the end of the log of a failing pod.
    """

    template_fields: Sequence[str] = (
        *DaoCloudBaseOperator.template_fields,
        "workload_name",
        "cluster",
        "namespace",
    )
    operator_extra_links = (WorkloadLink(),)
    trigger_classes = (DaoCloudWorkloadTrigger,)
    id_key = "generation"
    failure = WorkloadFailedError

    def __init__(
        self,
        *,
        workload_name: str,
        workload_kind: WorkloadKind = "deployment",
        cluster: str | None = None,
        namespace: str | None = None,
        max_attempts: int = 1,
        daocloud_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Unpack[EnterpriseOperatorArguments],
    ) -> None:
        super().__init__(daocloud_conn_id=daocloud_conn_id, **kwargs)
        self.refer_to(workload_name, workload_kind, cluster, namespace)
        self.max_attempts = check_count("max_attempts", max_attempts)
        if max_attempts > 1 and not self.wait_for_completion:
            raise InputError("max_attempts", "needs wait_for_completion=True: it comes after it.")
        if self.on_ambiguous == "adopt":
            raise InputError("on_ambiguous", "cannot be 'adopt': a change shows for certain.")

    @property
    def workload(self) -> WorkloadRef:
        """Which workload it is."""
        from airflow_provider_daocloud.api.enterprise.workloads import WorkloadRef

        return WorkloadRef(self.cluster, self.namespace, self.workload_kind, self.workload_name)

    def policy(self) -> Policy:
        """Return what of the arguments decides what happens next."""
        return replace(super().policy(), max_attempts=self.max_attempts)

    def read_first(self, send: Callable[[Request[Any]], Any]) -> None:
        """Without a journal, count what of earlier tries has failed: a retry acts anew then.

        :param send: sends a request.
        """
        if self._keeps_journal:
            return
        from airflow_provider_daocloud.api.enterprise.changes import operations
        from airflow_provider_daocloud.api.enterprise.workloads import get_workload
        from airflow_provider_daocloud.core.submission.plan import Progress

        seen = send(get_workload(self.workload))
        done = {operation for operation, _ in operations(seen)}
        wait = self.wait_for(str(seen.generation), Progress())
        if wait.judge(seen, {}).verdict == "failed":
            while self.operation(Progress()) in done:
                self._failed_before += 1

    def evidence(self) -> WorkloadEvidence:
        """Return the workload."""
        from airflow_provider_daocloud.resources.enterprise.workload import WorkloadEvidence

        return WorkloadEvidence(self.workload)

    def result_fields(self, progress: Progress) -> dict[str, Any]:  # noqa: ARG002 - nothing beside it
        """Return nothing: the workload has all of it."""
        return {}

    def change(self, name: str, progress: Progress, **change: Any) -> Request[Any]:
        """Return the request for a change.

        :param name: what it is called.
        :param progress: how far the invocation is.
        :param change: see `change_workload`.
        """
        from airflow_provider_daocloud.api.enterprise.changes import change_workload

        operation = self.operation(progress)
        # What has failed is not done by the same change again: the pods are made anew.
        change = {"restart": progress.failures + self._failed_before > 0} | change
        return change_workload(name, self.workload, operation, **change)

    def wait_of(self, receipt: str, **wanted: Any) -> Wait:
        """Return the wait for the workload to be rolled out.

        :param receipt: the generation.
        :param wanted: see `WorkloadWait`.
        """
        from airflow_provider_daocloud.resources.enterprise.workload import WorkloadWait

        ref = self.workload
        place = (ref.cluster, ref.namespace, ref.kind, ref.name)
        return WorkloadWait(*place, generation=int(receipt), **wanted)


class DaoCloudWorkloadDeployOperator(DaoCloudWorkloadOperator):
    """Give containers of a workload other images, and wait until that is rolled out.

    ``PATCH …/{kind}s/{name}``. Rolled out is judged as ``kubectl rollout status`` judges it. What
    runs already is not rolled out again; to get new pods all the same, restart the workload. See
    `DaoCloudWorkloadOperator` for the other parameters, and for what is returned and raised. The
    images that ran before are pushed as XCom ``previous_images``.

    :param image: the image (templated), for the workload's only container, or that of its own
        name.
    :param images: instead, the image by the container's name (templated).
    :param tag: instead, only another tag of the image that the container has (templated).
    :param container: the container that ``image`` or ``tag`` is for (templated).
    :param rollback_on_failure: after the last failed attempt, go back to the images that ran
        before, and wait for it. The task still fails; its error describes the failure and the
        rollback.
    :raises DaoCloudRolledBackError: the rollout failed, and what ran before was deployed again, or
        could not be. Airflow does not retry it.
    """

    template_fields: Sequence[str] = (
        *DaoCloudWorkloadOperator.template_fields,
        "image",
        "images",
        "tag",
        "container",
    )
    previous_release_key: ClassVar[str] = PREVIOUS_IMAGES

    def __init__(
        self,
        *,
        image: str | None = None,
        images: Mapping[str, str] | None = None,
        tag: str | None = None,
        container: str | None = None,
        rollback_on_failure: bool = False,
        **kwargs: Unpack[WorkloadOperatorArguments],
    ) -> None:
        super().__init__(**kwargs)
        given = [one for one in (image, images, tag) if one is not None]
        if len(given) != 1:
            raise InputError("image", "give one of image, images and tag.")
        if images is not None and container is not None:
            raise InputError("container", "goes with image or tag; images names its containers.")
        if rollback_on_failure and not self.wait_for_completion:
            raise InputError("rollback_on_failure", "needs wait_for_completion=True.")
        self.image = image
        self.images = images
        self.tag = tag
        self.container = container
        self.rollback_on_failure = rollback_on_failure

    def wanted_images(self) -> dict[str, str]:
        """Return the images that are asked for, by container.

        :raises InputError: one of them is unusable.
        """
        from airflow_provider_daocloud.api.enterprise.changes import wanted_images

        return wanted_images(self.image, self.images, self.tag, self.container)

    def policy(self) -> Policy:
        """Return what of the arguments decides what happens next."""
        from airflow_provider_daocloud.api.enterprise.changes import join_images

        rollback = self.rollback_on_failure
        return replace(
            super().policy(), rollback=rollback, release=join_images(self.wanted_images())
        )

    def evidence(self) -> WorkloadEvidence:
        """Return the workload, with what is asked for."""
        return replace(super().evidence(), images=self.wanted_images(), operation=self._first)

    def prepare(self, context: Context) -> None:
        """Take what identifies the invocation of the task."""
        from airflow_provider_daocloud.core.submission.plan import Progress

        super().prepare(context)
        self._first = self.operation(Progress())

    def request(self, progress: Progress) -> Request[Any]:
        """Return the request for the images that the goal is."""
        return self.change("deploy", progress, images=self._goal(progress))

    def wait_for(self, receipt: str, progress: Progress) -> Wait:
        """Return the wait for the rollout.

        :param receipt: the generation.
        :param progress: how far the invocation is.
        """
        return self.wait_of(receipt, images=self._goal(progress))

    def result_fields(self, progress: Progress) -> dict[str, Any]:
        """Return the images that ran before.

        :param progress: how far the invocation is.
        """
        return {PREVIOUS_IMAGES: progress.previous_release}

    def _goal(self, progress: Progress) -> dict[str, str]:
        from airflow_provider_daocloud.api.enterprise.changes import split_images

        if progress.goal == "forward":
            return self.wanted_images()
        return split_images(progress.previous_release or "")


class DaoCloudWorkloadRollbackOperator(DaoCloudWorkloadDeployOperator):
    """Give a workload the images that it had before another task deployed.

    ``PATCH …/{kind}s/{name}``, with the images that the other task pushed as XCom
    ``previous_images``. See `DaoCloudWorkloadDeployOperator`. The images are named, not the
    revision: Kubernetes gives a revision that it goes back to another number.

    :param deploy_task_id: the task whose deployment is undone. A mapped task undoes what the task
        with the same map index did.
    :raises AirflowFailException: that task has not pushed what ran before it.
    """

    template_fields: Sequence[str] = DaoCloudWorkloadOperator.template_fields

    def __init__(self, *, deploy_task_id: str, **kwargs: Unpack[WorkloadOperatorArguments]) -> None:
        if not isinstance(deploy_task_id, str) or not deploy_task_id.strip():
            raise InputError("deploy_task_id", "must be the id of the task that deployed.")
        super().__init__(images={}, **kwargs)
        self.deploy_task_id = deploy_task_id

    def prepare(self, context: Context) -> None:
        """Take the images that ran before.

        :raises InputError: the other task has pushed none.
        """
        from airflow_provider_daocloud.api.enterprise.changes import split_images

        super().prepare(context)
        ti: Any = context["ti"]
        before = ti.xcom_pull(
            task_ids=self.deploy_task_id, key=PREVIOUS_IMAGES, map_indexes=ti.map_index
        )
        if not before:
            raise InputError(
                "deploy_task_id",
                f"task {self.deploy_task_id!r} has pushed no {PREVIOUS_IMAGES}: it has deployed "
                "nothing, or has another id (a task group puts its own before it). Nothing was "
                "sent.",
            )
        self.log.info("Before task %s, these images ran: %s.", self.deploy_task_id, before)
        self.images = split_images(before)


class DaoCloudWorkloadScaleOperator(DaoCloudWorkloadOperator):
    """Let a workload have some number of pods, and wait until it has them.

    ``PATCH …/{kind}s/{name}``. See `DaoCloudWorkloadOperator` for the other parameters, and for
    what is returned and raised.

    :param replicas: how many pods (templated).
    """

    template_fields: Sequence[str] = (*DaoCloudWorkloadOperator.template_fields, "replicas")

    def __init__(self, *, replicas: int | str, **kwargs: Unpack[WorkloadOperatorArguments]) -> None:
        super().__init__(**kwargs)
        _has_replicas(self.workload_kind)
        self.replicas = replicas

    def request(self, progress: Progress) -> Request[Any]:
        """Return the request for the number of pods."""
        return self.change("scale", progress, replicas=self._number())

    def wait_for(self, receipt: str, progress: Progress) -> Wait:  # noqa: ARG002 - it is always the same
        """Return the wait for the pods.

        :param receipt: the generation.
        :param progress: not used.
        """
        return self.wait_of(receipt, replicas=self._number())

    def _number(self) -> int:
        from airflow_provider_daocloud.api.validation import whole_number

        return whole_number("replicas", self.replicas)


class DaoCloudWorkloadActionOperator(DaoCloudWorkloadOperator):
    """Start, stop or restart a workload, and wait until that is done.

    ``POST …/{kind}s/{name}:start`` or ``:stop``; a restart is a patch, which makes its pods anew
    one by one. A workload that runs already is not started, and only waited for. DaoCloud starts
    what was stopped there: for what was scaled to nothing, use `DaoCloudWorkloadScaleOperator`. See
    `DaoCloudWorkloadOperator` for the other parameters, and for what is returned and raised.

    :param action: ``start``, ``stop`` or ``restart``.
    """

    def __init__(
        self, *, action: WorkloadAction, **kwargs: Unpack[WorkloadOperatorArguments]
    ) -> None:
        super().__init__(**kwargs)
        self.action = one_of("action", action, ("start", "stop", "restart"))
        if action != "restart":
            _has_replicas(self.workload_kind)

    def request(self, progress: Progress) -> Request[Any]:
        """Return the request for the action."""
        from airflow_provider_daocloud.api.enterprise.workloads import act_on_workload

        if self.action == "restart":
            return self.change("restart", progress, restart=True)
        return act_on_workload(self.workload, self.action)

    def wait_for(self, receipt: str, progress: Progress) -> Wait:  # noqa: ARG002 - it is always the same
        """Return the wait for what the action leads to.

        :param receipt: the generation.
        :param progress: not used.
        """
        targets = {"start": "started", "stop": "stopped", "restart": "rolled_out"}
        return self.wait_of(receipt, target=targets[self.action])


def _has_replicas(kind: WorkloadKind) -> None:
    if kind == "daemonset":
        raise InputError(
            "workload_kind", "a daemonset has a pod on each node: it has no number of its own."
        )


class DaoCloudRunPipelineOperator(Marked, PipelineReference, DaoCloudBaseOperator):
    """Run a pipeline, and wait until that run has succeeded.

    ``POST /api/pipeline.amamba.io/…/pipelines/runs/{pipeline}``: this call is in no published
    document. The installation is asked where it has it (``GET …/httpapis``); the connection's extra
    ``pipeline_run_path`` overrides that. See `DaoCloudBaseOperator` for the other parameters.

    A run is known again for certain by a parameter that its pipeline declares for that, a text
    called ``AIRFLOW_RUN``: it gets a value of its own in each run. Without it, an answer that got
    lost ends as *outcome unknown* if anything has run since.

    :param pipeline_name: the pipeline (templated).
    :param workspace: its workspace: alias or number (templated). Default: the connection's.
    :param parameters: the values by name (templated); checked against what the pipeline declares
        before anything is sent. The others get their defaults.
    :param marker_parameter: the parameter by which a run is known again.
    :param accept_unstable: whether UNSTABLE counts as a success.
    :param cancel_on_kill: whether to cancel the run when the task is killed.
    :param daocloud_conn_id: the Connection of type ``daocloud_enterprise`` (templated).
    :return: the run as JSON-safe data: a `PipelineRunResult`. Its number is pushed as XCom
        ``run_id`` too, as soon as there is one.
    :raises DaoCloudPipelineRunFailedError: the run has failed. The text has the stage that failed,
        and the end of its log.
    """

    template_fields: Sequence[str] = (
        *DaoCloudBaseOperator.template_fields,
        "pipeline_name",
        "workspace",
        "parameters",
    )
    operator_extra_links = (PipelineLink(),)
    trigger_classes = (DaoCloudPipelineRunTrigger,)
    id_key = "run_id"
    failure = PipelineRunFailedError
    _pipeline: Pipeline | None = None
    _run_path: str | None = None

    def __init__(
        self,
        *,
        pipeline_name: str,
        workspace: str | int | None = None,
        parameters: Mapping[str, str] | None = None,
        marker_parameter: str = "AIRFLOW_RUN",
        accept_unstable: bool = False,
        cancel_on_kill: bool = True,
        daocloud_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Unpack[EnterpriseOperatorArguments],
    ) -> None:
        super().__init__(daocloud_conn_id=daocloud_conn_id, **kwargs)
        self.refer_to(pipeline_name, workspace)
        self.parameters = parameters
        self.marker_parameter = marker_parameter
        self.accept_unstable = accept_unstable
        self.cancel_on_kill = cancel_on_kill
        if self.on_ambiguous == "adopt":
            raise InputError(
                "on_ambiguous",
                "cannot be 'adopt': let the pipeline declare the marker_parameter instead.",
            )

    @property
    def pipeline(self) -> PipelineRef:
        """Which pipeline it is."""
        from airflow_provider_daocloud.api.enterprise.pipelines import PipelineRef

        return PipelineRef(self.ref[0], self.pipeline_name)

    def read_first(self, send: Callable[[Request[Any]], Any]) -> None:
        """Read what the pipeline declares, and where runs are started.

        :param send: sends a request.
        """
        from airflow_provider_daocloud.api.enterprise.pipelines import get_pipeline, list_runs
        from airflow_provider_daocloud.resources.enterprise.pipeline import find_run_path

        # Whatever was read before with this connection: there is no such pipeline, if it says so.
        self.hook.has_read = False
        self._pipeline = send(get_pipeline(self.pipeline))
        if not self._keeps_journal:
            from airflow_provider_daocloud.core.submission.plan import Progress

            runs = send(list_runs(self.pipeline))
            failed = {
                (run.parameters or {}).get(self.marker_parameter)
                for run in runs
                if run.state.has_ended and run.state not in self._good_states()
            }
            while self.operation(Progress()) in failed:
                self._failed_before += 1
        self._run_path = self.hook.endpoint.pipeline_run_path or find_run_path(send)
        if self.marker_parameter not in [one.name for one in self._pipeline.parameters]:
            self.log.warning(
                "Pipeline %s declares no parameter %s: if an answer gets lost, nobody can tell "
                "whether the run was started. Declare it, as a text.",
                self.pipeline_name,
                self.marker_parameter,
            )

    def _good_states(self) -> tuple[str, ...]:
        return ("SUCCESS", "UNSTABLE") if self.accept_unstable else ("SUCCESS",)

    def request(self, progress: Progress) -> Request[Any]:
        """Return the request that starts the run."""
        from airflow_provider_daocloud.api.enterprise.pipelines import RUN_PATH
        from airflow_provider_daocloud.resources.enterprise.pipeline import request_run

        return request_run(
            self.pipeline,
            _texts(self.parameters),
            operation=self.operation(progress),
            pipeline=self._pipeline,
            marker=self.marker_parameter,
            run_path=self._run_path or RUN_PATH,
        )

    def evidence(self) -> PipelineEvidence:
        """Return the pipeline."""
        from airflow_provider_daocloud.resources.enterprise.pipeline import PipelineEvidence

        return PipelineEvidence(self.pipeline, self.marker_parameter)

    def wait_for(self, receipt: str, progress: Progress) -> Wait:  # noqa: ARG002 - it is always the same
        """Return the wait for the run.

        :param receipt: its number.
        :param progress: not used.
        """
        from airflow_provider_daocloud.resources.enterprise.pipeline import PipelineRunWait

        ref = self.pipeline
        return PipelineRunWait(ref.workspace_id, ref.name, receipt, self.accept_unstable)

    def trigger_arguments(self) -> dict[str, Any]:
        """Return whether the triggerer is to cancel the run, too."""
        return {"cancel_on_kill": self.cancel_on_kill}

    def result_fields(self, progress: Progress) -> dict[str, Any]:  # noqa: ARG002 - nothing beside it
        """Return nothing: the run has all of it."""
        return {}

    def on_kill(self) -> None:
        """Cancel the run, if that is asked for."""
        from airflow_provider_daocloud.resources.enterprise.pipeline import PipelineRunWait

        waiting = self.waiting_for
        if not self.cancel_on_kill or waiting is None:
            return super().on_kill()
        self.killed = True
        wait = waiting[1]
        if isinstance(wait, PipelineRunWait):
            # A hook of its own: this comes in the middle of whatever the task's own is doing.
            hook = type(self.hook)(self.daocloud_conn_id)
            hook.cancel_run(wait.ref, wait.run_id)
            self.log.warning("Cancelled %s: the task was killed (%s).", *waiting)
        return None


class DaoCloudPipelineInputOperator(FailsWhenUnmapped, TextFields, PipelineReference, BaseOperator):
    """Answer what a paused run of a pipeline asks: let it go on, or end it.

    ``POST …/runs/{runId}/nodes/{nodeId}/steps/{stepId}:process`` or ``:abort``. The run must be
    PAUSED: wait for that with a `DaoCloudPipelineRunSensor` and ``target_state="PAUSED"``.

    :param pipeline_name: the pipeline (templated).
    :param run_id: the number of the run (templated).
    :param approve: whether the run goes on.
    :param message: what is asked (templated), as the run shows it. Needed if the pipeline asks
        several things: another question is not answered then, whatever else happens.
    :param workspace: its workspace: alias or number (templated). Default: the connection's.
    :param daocloud_conn_id: the Connection of type ``daocloud_enterprise`` (templated).
    :raises AirflowFailException: the run asks nothing of the kind now, or several things; or an
        earlier try may have answered, and nobody can tell what (before 3.3, without ``message``).
    """

    template_fields: Sequence[str] = (
        *("daocloud_conn_id", "pipeline_name", "run_id", "workspace", "message"),
    )
    operator_extra_links = (PipelineLink(),)
    ui_color: str = DaoCloudBaseOperator.ui_color

    def __init__(
        self,
        *,
        pipeline_name: str,
        run_id: str | int,
        approve: bool = True,
        message: str | None = None,
        workspace: str | int | None = None,
        daocloud_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Unpack[TaskArguments],
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(approve, bool):
            raise InputError("approve", f"must be True or False, not {approve!r}.")
        self.refer_to(pipeline_name, workspace)
        self.run_id = run_id
        self.approve = approve
        self.message = message
        self.daocloud_conn_id = daocloud_conn_id

    def execute(self, context: Context) -> None:
        """Answer, once."""
        from airflow_provider_daocloud.links import push_links

        with airflow_errors():
            hook = self.hook
            self.take_defaults(hook.endpoint)
            self.take_id(hook.workspace_id(self.workspace))
            push_links(self, context["ti"], hook.endpoint)
            ref = hook.pipeline_ref(self.pipeline_name, self.ref[0])
            question, answered_before = self._question(context, ref)
            if question is None and self._was_ended(ref):
                raise InputError(
                    "run_id",
                    f"run {self.run_id} of pipeline {ref.name} was ended: whether an earlier try "
                    "has answered before that, nobody can tell.",
                )
            if question is None:
                text = "Answered by an earlier try: run %s of %s (input %s)."
                self.log.info(text, self.run_id, ref, answered_before)
                return
            try:
                hook.answer_input(ref, self.run_id, question, approve=self.approve)
            except OutcomeUnknownError:
                # What was asked is asked no more, once it is answered; or once the run was ended.
                if question in hook.list_inputs(ref, self.run_id) or self._was_ended(ref):
                    raise
            word = "Approved" if self.approve else "Refused"
            self.log.info("%s: %s (run %s of %s).", word, question.message, self.run_id, ref)

    def _question(self, context: Context, ref: PipelineRef) -> tuple[RunNode | None, str]:
        """Return what is to be answered; None if an earlier try has answered it.

        What is answered is kept before it is answered: a retry answers nothing else.

        :raises InputError: nobody can tell what to answer.
        """
        store: Any = context.get("task_state_store")
        kept = store.get(ANSWERED) if store is not None else None
        ti: Any = context["ti"]
        waiting = self.hook.list_inputs(ref, self.run_id)
        if kept is not None and kept["run"] == str(self.run_id) and kept["tries"] == ti.max_tries:
            again = [one for one in waiting if one.input_id == kept["input_id"]]
            return (again[0] if again else None), kept["input_id"]
        if store is None and self.message is None and ti.try_number > 1:
            raise InputError(
                "message",
                "is needed for a retry: an earlier try may have answered, and this Airflow keeps "
                "no task state to know what.",
            )
        question = self.hook.choose_input(waiting, self.run_id, ref, self.message)
        if store is not None:
            entry = {"run": str(self.run_id), "tries": ti.max_tries, "input_id": question.input_id}
            store.set(ANSWERED, entry)
        return question, ""

    def _was_ended(self, ref: PipelineRef) -> bool:
        state = self.hook.get_run(ref, self.run_id).state
        return self.approve and state.has_ended and state not in ("SUCCESS", "UNSTABLE")


def _texts(parameters: object) -> dict[str, str]:
    """Return the values of parameters as text.

    :raises InputError: they are no mapping of names to values.
    """
    if parameters is None:
        return {}
    if not isinstance(parameters, Mapping):
        raise InputError(
            # Not the value itself: it may be secret.
            "parameters",
            f"must be a mapping of names to values, not a {type(parameters).__name__}. (With a "
            "template for all of them, the DAG needs render_template_as_native_obj=True.)",
        )
    made = {}
    for name, value in parameters.items():
        if isinstance(value, bool):
            value = str(value).lower()
        if not isinstance(name, str) or not isinstance(value, str | int | float):
            raise InputError(
                "parameters", f"{name!r} must be text or a number, not a {type(value).__name__}."
            )
        made[name] = str(value)
    return made
