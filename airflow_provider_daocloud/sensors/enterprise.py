"""Sensors of DaoCloud Enterprise 5: for workloads and for runs of pipelines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_daocloud.api.errors import (
    InputError,
    PipelineRunFailedError,
    WorkloadFailedError,
)
from airflow_provider_daocloud.api.validation import WorkloadKind, one_of
from airflow_provider_daocloud.links import PipelineLink, WorkloadLink
from airflow_provider_daocloud.references import PipelineReference, WorkloadReference
from airflow_provider_daocloud.sensors.base import DaoCloudBaseSensor
from airflow_provider_daocloud.triggers.enterprise import (
    DaoCloudPipelineRunTrigger,
    DaoCloudWorkloadTrigger,
)

if TYPE_CHECKING:
    from typing import Literal, Unpack

    from airflow_provider_daocloud.arguments import EnterpriseSensorArguments

__all__ = ["DaoCloudPipelineRunSensor", "DaoCloudWorkloadSensor"]

DEFAULT_CONN_ID = "daocloud_enterprise_default"


class DaoCloudWorkloadSensor(WorkloadReference, DaoCloudBaseSensor):
    """Wait until a workload is rolled out, or stopped: ``GET …/{kind}s/{name}/json``.

    Rolled out is judged as ``kubectl rollout status`` judges it. See `DaoCloudBaseSensor` for the
    other parameters.

    :param workload_name: the workload's name (templated).
    :param workload_kind: ``deployment``, ``statefulset`` or ``daemonset``.
    :param cluster: its cluster (templated). Default: the connection's.
    :param namespace: its namespace (templated). Default: the connection's.
    :param target: ``rolled_out``, ``started`` (rolled out, with pods at all) or ``stopped``.
    :param image: the image that it is to have (templated): in its only container, or that of its
        own name.
    :param images: instead, the image by the container's name (templated).
    :param replicas: how many pods it is to have (templated).
    :param daocloud_conn_id: the Connection of type ``daocloud_enterprise`` (templated).
    :return: the workload as JSON-safe data: a `WorkloadResult`.
    :raises DaoCloudWorkloadFailedError: the rollout has failed. The text has the events, and the
        end of the log of a failing pod.
    """

    template_fields: Sequence[str] = (
        *DaoCloudBaseSensor.template_fields,
        "workload_name",
        "cluster",
        "namespace",
        "image",
        "images",
        "replicas",
    )
    operator_extra_links = (WorkloadLink(),)
    trigger_class = DaoCloudWorkloadTrigger
    failure = WorkloadFailedError

    def __init__(
        self,
        *,
        workload_name: str,
        workload_kind: WorkloadKind = "deployment",
        cluster: str | None = None,
        namespace: str | None = None,
        target: Literal["rolled_out", "started", "stopped"] = "rolled_out",
        image: str | None = None,
        images: Mapping[str, str] | None = None,
        replicas: int | str | None = None,
        daocloud_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Unpack[EnterpriseSensorArguments],
    ) -> None:
        super().__init__(daocloud_conn_id=daocloud_conn_id, **kwargs)
        self.refer_to(workload_name, workload_kind, cluster, namespace)
        self.target = one_of("target", target, ("rolled_out", "started", "stopped"))
        if workload_kind == "daemonset" and (target != "rolled_out" or replicas is not None):
            raise InputError(
                "workload_kind", "a daemonset has a pod on each node: it has no number of its own."
            )
        if image is not None and images is not None:
            raise InputError("image", "give it, or images: one of the two.")
        self.image = image
        self.images = images
        self.replicas = replicas
        self._may_start_from_trigger()

    def wait_arguments(self) -> dict[str, Any]:
        """Return what the trigger needs to know of the workload."""
        images = self.images if self.image is None else {"": self.image}
        return {
            "cluster": self.cluster,
            "namespace": self.namespace,
            "workload_kind": self.workload_kind,
            "workload_name": self.workload_name,
            "target": self.target,
            "images": images,
            "replicas": self.replicas,
        }


class DaoCloudPipelineRunSensor(PipelineReference, DaoCloudBaseSensor):
    """Wait until a run of a pipeline has succeeded: ``GET …/pipelines/{name}/runs/{runId}``.

    See `DaoCloudBaseSensor` for the other parameters.

    :param pipeline_name: the pipeline (templated).
    :param run_id: the number of the run, as the operator that started it returned it (templated).
    :param workspace: its workspace: alias or number (templated). Default: the connection's.
    :param accept_unstable: whether UNSTABLE counts as a success.
    :param target_state: ``SUCCESS``, or ``PAUSED``: a person is asked to approve a step.
    :param daocloud_conn_id: the Connection of type ``daocloud_enterprise`` (templated).
    :return: the run as JSON-safe data: a `PipelineRunResult`.
    :raises DaoCloudPipelineRunFailedError: the run has failed. The text has the stage that failed,
        and the end of its log.
    """

    template_fields: Sequence[str] = (
        *DaoCloudBaseSensor.template_fields,
        "pipeline_name",
        "run_id",
        "workspace",
    )
    operator_extra_links = (PipelineLink(),)
    trigger_class = DaoCloudPipelineRunTrigger
    failure = PipelineRunFailedError

    def __init__(
        self,
        *,
        pipeline_name: str,
        run_id: str | int,
        workspace: str | int | None = None,
        accept_unstable: bool = False,
        target_state: Literal["SUCCESS", "PAUSED"] = "SUCCESS",
        daocloud_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Unpack[EnterpriseSensorArguments],
    ) -> None:
        super().__init__(daocloud_conn_id=daocloud_conn_id, **kwargs)
        self.refer_to(pipeline_name, workspace)
        self.run_id = run_id
        self.accept_unstable = accept_unstable
        self.target_state = one_of("target_state", target_state, ("SUCCESS", "PAUSED"))
        self._may_start_from_trigger()

    def wait_arguments(self) -> dict[str, Any]:
        """Return what the trigger needs to know of the run."""
        return {
            "workspace_id": self.ref[0],
            "pipeline_name": self.pipeline_name,
            "run_id": self.run_id,
            "accept_unstable": self.accept_unstable,
            "target_state": self.target_state,
        }
