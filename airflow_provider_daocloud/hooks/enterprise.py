"""`DaoCloudEnterpriseHook`: an Airflow Connection turned into calls of DaoCloud Enterprise 5."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from airflow_provider_daocloud import provider_info
from airflow_provider_daocloud.api.errors import (
    AuthenticationError,
    CallError,
    NotFoundError,
    ProtocolError,
    RefusedError,
)
from airflow_provider_daocloud.hooks.base import DaoCloudBaseHook

if TYPE_CHECKING:
    from airflow_provider_daocloud.api.client import DaoCloudClient
    from airflow_provider_daocloud.api.enterprise.global_management import (
        Product,
        User,
        Workspace,
    )
    from airflow_provider_daocloud.api.enterprise.pipelines import (
        Pipeline,
        PipelineRef,
        PipelineRun,
        RunNode,
    )
    from airflow_provider_daocloud.api.enterprise.workloads import (
        Pod,
        Workload,
        WorkloadEvent,
        WorkloadRef,
    )
    from airflow_provider_daocloud.api.validation import WorkloadKind
    from airflow_provider_daocloud.hooks.connection import ConnectionLike
    from airflow_provider_daocloud.hooks.enterprise_connection import EnterpriseEndpoint


class DaoCloudEnterpriseHook(DaoCloudBaseHook):
    """Talks to DaoCloud Enterprise 5 with the access key of an Airflow Connection.

    Reads are retried on transient errors. What changes something is retried only when it provably
    never reached DaoCloud, or was refused. Where a method takes no cluster, namespace or workspace,
    the connection's default is taken.

    All methods raise an error of ``airflow_provider_daocloud.api.errors``, and never show the key.

    :param daocloud_conn_id: the id of a Connection of type ``daocloud_enterprise``.
    """

    default_conn_name = "daocloud_enterprise_default"
    form = provider_info.ENTERPRISE
    conn_type = form.conn_type
    hook_name = form.hook_name

    def __init__(self, daocloud_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(daocloud_conn_id, **kwargs)

    @staticmethod
    def read_connection(connection: ConnectionLike) -> EnterpriseEndpoint:
        """Return where a Connection of type ``daocloud_enterprise`` leads."""
        from airflow_provider_daocloud.hooks.enterprise_connection import enterprise_endpoint_of

        return enterprise_endpoint_of(connection)

    @property
    def endpoint(self) -> EnterpriseEndpoint:
        """Where the connection leads, and its defaults.

        :raises InputError: a field of the connection is missing or unusable.
        """
        return cast("EnterpriseEndpoint", self.get_conn().endpoint)

    def get_conn(self) -> DaoCloudClient:
        """Return the client for the connection; made once. An access key that expires soon is told.

        :raises InputError: a field of the connection is missing or unusable.
        """
        from airflow_provider_daocloud.hooks.enterprise_connection import EXPIRES_SOON, in_date

        is_new = self._client is None
        client = super().get_conn()
        expires_at = cast("EnterpriseEndpoint", client.endpoint).expires_at
        if is_new and expires_at is not None and expires_at - time.time() < EXPIRES_SOON:
            self.log.warning(
                "The access key of connection %s expires on %s: make a new one in time.",
                self.daocloud_conn_id,
                in_date(expires_at),
            )
        return client

    def check(self, client: DaoCloudClient) -> str:
        """Ask who the user is, and what is installed; return that.

        :param client: sends the requests.
        """
        from airflow_provider_daocloud.api.enterprise.global_management import (
            get_current_user,
            list_products,
        )
        from airflow_provider_daocloud.hooks.enterprise_connection import in_date

        user = client.send(get_current_user(), retry_timeout=5, final=ProtocolError)
        try:
            products = client.send(list_products(), retry_timeout=5, final=ProtocolError)
            installed = ", ".join(f"{one.name} {one.version or ''}".strip() for one in products)
        except (NotFoundError, RefusedError):
            installed = ""
        expires_at = self.endpoint.expires_at
        until = f", valid until {in_date(expires_at)}" if expires_at is not None else ""
        text = f"The access key is {user.username or user.uid or 'somebody'}'s{until}."
        return f"{text} Installed: {installed}." if installed else text

    def remedy(self, error: CallError, where: str) -> str:
        """Say who is refused or does not answer, and what a person can do about it.

        :param error: how the test ended.
        :param where: the base URL.
        """
        # A gateway refuses a bad key in plain text, and with a 403 too.
        if isinstance(error, AuthenticationError) or (
            isinstance(error, RefusedError) and error.status == 403 and error.error_id is None
        ):
            return f"{where} refuses the access key. Is it current, whole and of this installation?"
        return super().remedy(error, where)

    # --- global management ------------------------------------------------------------------------

    def get_current_user(self) -> User:
        """``GET /apis/ghippo.io/v1alpha1/current-user``: return whose access key it is."""
        from airflow_provider_daocloud.api.enterprise.global_management import get_current_user

        return self.send(get_current_user())

    def list_products(self) -> tuple[Product, ...]:
        """``GET /apis/ghippo.io/v1alpha1/about/versions``: return what is installed."""
        from airflow_provider_daocloud.api.enterprise.global_management import list_products

        return self.send(list_products())

    def list_workspaces(self) -> tuple[Workspace, ...]:
        """``GET /apis/ghippo.io/v1alpha1/workspaces``: return all workspaces of the user."""
        from airflow_provider_daocloud.api.enterprise.global_management import list_workspaces

        return self.send(list_workspaces())

    def workspace_id(self, workspace: str | None = None) -> str:
        """Return the number of a workspace: ``GET …/workspaces``, if its alias is given.

        :param workspace: its alias or its number.
        :raises NameMatchError: no workspace has the alias, or several have.
        """
        from airflow_provider_daocloud.api.validation import checked_name
        from airflow_provider_daocloud.resources.names import find

        given = checked_name("workspace", workspace or self.endpoint.workspace)
        if given.isdigit():
            return given
        return find("workspace", self.list_workspaces(), given).id

    # --- workloads --------------------------------------------------------------------------------

    def workload_ref(
        self,
        name: str,
        *,
        kind: WorkloadKind = "deployment",
        cluster: str | None = None,
        namespace: str | None = None,
    ) -> WorkloadRef:
        """Return what identifies a workload. Nothing is sent.

        :param name: its name.
        :param kind: ``deployment``, ``statefulset`` or ``daemonset``.
        :param cluster: its cluster.
        :param namespace: its namespace.
        """
        from airflow_provider_daocloud.api.enterprise.workloads import WorkloadRef

        place = (cluster or self.endpoint.cluster, namespace or self.endpoint.namespace)
        ref = WorkloadRef(place[0] or "", place[1] or "", kind, name)
        _ = ref.path  # checks it
        return ref

    def get_workload(self, ref: WorkloadRef) -> Workload:
        """``GET …/{kind}s/{name}/json``: return a workload, as Kubernetes has it.

        :param ref: which one.
        """
        from airflow_provider_daocloud.api.enterprise.workloads import get_workload

        return self.send(get_workload(ref))

    def list_workloads(
        self,
        kind: WorkloadKind = "deployment",
        *,
        cluster: str | None = None,
        namespace: str | None = None,
    ) -> tuple[Mapping[str, Any], ...]:
        """``GET …/{kind}s``: return the workloads of a namespace, as they were sent.

        :param kind: what is listed.
        :param cluster: the cluster.
        :param namespace: the namespace.
        """
        from airflow_provider_daocloud.api.enterprise.workloads import list_workloads

        ref = self.workload_ref("any", kind=kind, cluster=cluster, namespace=namespace)
        return self.send(list_workloads(ref.cluster, ref.namespace, kind))

    def deploy_workload(self, ref: WorkloadRef, images: Mapping[str, str]) -> Workload:
        """``PATCH …/{kind}s/{name}``: give containers other images; return the workload then.

        :param ref: which workload.
        :param images: the image by the container's name.
        :raises OutcomeUnknownError: it may or may not have been changed.
        """
        return self._change("deploy", ref, images=images)

    def scale_workload(self, ref: WorkloadRef, replicas: int) -> Workload:
        """``PATCH …/{kind}s/{name}``: let it have some number of pods; return the workload then.

        :param ref: which workload.
        :param replicas: how many pods.
        :raises OutcomeUnknownError: it may or may not have been changed.
        """
        return self._change("scale", ref, replicas=replicas)

    def restart_workload(self, ref: WorkloadRef) -> Workload:
        """``PATCH …/{kind}s/{name}``: replace its pods one by one; return the workload then.

        :param ref: which workload.
        :raises OutcomeUnknownError: it may or may not have been restarted.
        """
        return self._change("restart", ref, restart=True)

    def _change(self, name: str, ref: WorkloadRef, **change: Any) -> Workload:
        from airflow_provider_daocloud.api.enterprise.changes import change_workload

        request = change_workload(name, ref, uuid4().hex, **change)
        return self.send(request.completed_by(self.get_workload(ref)))

    def start_workload(self, ref: WorkloadRef) -> None:
        """``POST …/{kind}s/{name}:start``: give a stopped workload the pods that it had.

        :param ref: which workload.
        """
        from airflow_provider_daocloud.api.enterprise.workloads import act_on_workload

        self.send(act_on_workload(ref, "start"))

    def stop_workload(self, ref: WorkloadRef) -> None:
        """``POST …/{kind}s/{name}:stop``: take its pods away; DaoCloud remembers how many it had.

        :param ref: which workload.
        """
        from airflow_provider_daocloud.api.enterprise.workloads import act_on_workload

        self.send(act_on_workload(ref, "stop"))

    def list_pods(self, ref: WorkloadRef) -> tuple[Pod, ...]:
        """``GET …/pods``: return the pods of a workload.

        :param ref: which workload.
        """
        from airflow_provider_daocloud.api.enterprise.workloads import list_pods

        return self.send(list_pods(ref))

    def list_events(self, ref: WorkloadRef) -> tuple[WorkloadEvent, ...]:
        """``GET …/events``: return what went wrong with a workload.

        :param ref: which workload.
        """
        from airflow_provider_daocloud.api.enterprise.workloads import KIND_WORDS, list_events

        return self.send(list_events(ref, KIND_WORDS[ref.kind], ref.name))

    # --- pipelines --------------------------------------------------------------------------------

    def pipeline_ref(self, name: str, workspace: str | None = None) -> PipelineRef:
        """Return what identifies a pipeline: ``GET …/workspaces``, if the workspace has an alias.

        :param name: its name.
        :param workspace: its workspace: alias or number.
        """
        from airflow_provider_daocloud.api.enterprise.pipelines import PipelineRef

        return PipelineRef(self.workspace_id(workspace), name)

    def list_pipelines(self, workspace: str | None = None) -> tuple[Pipeline, ...]:
        """``GET …/workspaces/{workspace}/pipelines``: return the pipelines of a workspace.

        :param workspace: its alias or its number.
        """
        from airflow_provider_daocloud.api.enterprise.pipelines import list_pipelines

        return self.send(list_pipelines(self.workspace_id(workspace)))

    def get_pipeline(self, ref: PipelineRef) -> Pipeline:
        """``GET …/pipelines/{name}``: return a pipeline, and the parameters that it declares.

        :param ref: which one.
        """
        from airflow_provider_daocloud.api.enterprise.pipelines import get_pipeline

        return self.send(get_pipeline(ref))

    def declare_parameter(self, ref: PipelineRef, name: str, description: str = "") -> None:
        """``POST …/pipelines/{name}/parameters``: let a pipeline have one more parameter.

        :param ref: which pipeline.
        :param name: the parameter's name.
        :param description: what it is for.
        """
        from airflow_provider_daocloud.api.enterprise.pipelines import declare_parameter

        self.send(declare_parameter(ref, name, description))

    def list_runs(self, ref: PipelineRef) -> tuple[PipelineRun, ...]:
        """``GET …/pipelines/{name}/runs``: return the newest runs of a pipeline.

        :param ref: which pipeline.
        """
        from airflow_provider_daocloud.api.enterprise.pipelines import list_runs

        return self.send(list_runs(ref))

    def get_run(self, ref: PipelineRef, run_id: str | int) -> PipelineRun:
        """``GET …/runs/{runId}``: return a run.

        :param ref: which pipeline.
        :param run_id: the number of the run.
        """
        from airflow_provider_daocloud.api.enterprise.pipelines import get_run

        return self.send(get_run(ref, run_id))

    def start_run(self, ref: PipelineRef, parameters: Mapping[str, str]) -> PipelineRun:
        """``POST /api/…/pipelines/runs/{pipeline}``: start a run, and return it.

        :param ref: which pipeline.
        :param parameters: their values; checked against what the pipeline declares.
        :raises OutcomeUnknownError: it may or may not have been started.
        """
        from airflow_provider_daocloud.resources.enterprise.pipeline import request_run

        request = request_run(
            ref,
            parameters,
            operation=uuid4().hex,
            pipeline=self.get_pipeline(ref),
            run_path=self.find_run_path(),
        )
        return self.send(request.completed_by(None))

    def find_run_path(self) -> str:
        """Return where a run is started: ``GET …/httpapis``, unless the connection says it.

        :raises CallError: the installation could not be asked.
        """
        from airflow_provider_daocloud.resources.enterprise.pipeline import find_run_path

        return self.endpoint.pipeline_run_path or find_run_path(self.send)

    def cancel_run(self, ref: PipelineRef, run_id: str | int) -> None:
        """``POST …/runs/{runId}:cancel``: stop a run. It takes a moment.

        :param ref: which pipeline.
        :param run_id: the number of the run.
        """
        from airflow_provider_daocloud.api.enterprise.pipelines import cancel_run

        self.send(cancel_run(ref, run_id))

    def get_run_log(self, ref: PipelineRef, run_id: str | int) -> str:
        """``GET …/runs/{runId}/log``: return the log of a run.

        :param ref: which pipeline.
        :param run_id: the number of the run.
        """
        from airflow_provider_daocloud.api.enterprise.pipelines import get_run_log

        return self.send(get_run_log(ref, run_id))

    def list_inputs(self, ref: PipelineRef, run_id: str | int) -> tuple[RunNode, ...]:
        """Return the steps of a run that wait for a person: their text, and who may answer.

        :param ref: which pipeline.
        :param run_id: the number of the run.
        """
        return tuple(step for _, step in self._waiting_steps(ref, run_id))

    def choose_input(
        self,
        waiting: Sequence[RunNode],
        run_id: str | int,
        ref: PipelineRef,
        message: str | None = None,
    ) -> RunNode:
        """Return which question of a run is meant. Nothing is sent.

        :param waiting: what it asks: `list_inputs`.
        :param run_id: the number of the run.
        :param ref: which pipeline.
        :param message: what is asked, if that is known.
        :raises InputError: it asks nothing of the kind now, or several things.
        """
        from airflow_provider_daocloud.api.errors import InputError

        found = [one for one in waiting if message in (None, one.message)]
        if len(found) == 1:
            return found[0]
        there = ", ".join(repr(one.message) for one in waiting) or "nothing"
        if found:
            raise InputError("message", f"run {run_id} of pipeline {ref.name} asks {there}: which?")
        field = "run_id" if message is None else "message"
        raise InputError(field, f"run {run_id} of pipeline {ref.name} asks {there} now.")

    def answer_input(
        self,
        ref: PipelineRef,
        run_id: str | int,
        question: RunNode | None = None,
        *,
        approve: bool,
        message: str | None = None,
    ) -> None:
        """``POST …/steps/{stepId}:process`` or ``:abort``: answer what a paused run asks.

        :param ref: which pipeline.
        :param run_id: the number of the run.
        :param question: what is answered: one of `list_inputs`. Default: the one that is asked.
        :param approve: whether the run goes on.
        :param message: what is asked, if the run may ask several things.
        :raises InputError: the run asks nothing of the kind now, or several things.
        """
        from airflow_provider_daocloud.api.enterprise.pipelines import answer_input
        from airflow_provider_daocloud.api.errors import InputError

        steps = self._waiting_steps(ref, run_id)
        if question is None:
            waiting = [step for _, step in steps]
            question = self.choose_input(waiting, run_id, ref, message)
        for node_id, step in steps:
            if step.input_id == question.input_id:
                request = answer_input(
                    ref, run_id, node_id, step.id, step.input_id or "", approve=approve
                )
                return self.send(request)
        raise InputError("run_id", f"run {run_id} of pipeline {ref.name} asks it no more.")

    def _waiting_steps(self, ref: PipelineRef, run_id: str | int) -> list[tuple[str, RunNode]]:
        from airflow_provider_daocloud.api.enterprise.pipelines import list_nodes, list_steps

        return [
            (node.id, step)
            for node in self.send(list_nodes(ref, run_id))
            if node.result == "PAUSED"
            for step in self.send(list_steps(ref, run_id, node.id))
            if step.input_id
        ]
