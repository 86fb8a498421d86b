"""Triggers of DaoCloud Enterprise 5: stored in databases, as those of `triggers.daocloud` are."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_daocloud.links import PipelineLink, WorkloadLink
from airflow_provider_daocloud.triggers.daocloud import DaoCloudTrigger

if TYPE_CHECKING:
    from airflow_provider_daocloud.api.endpoint import Endpoint
    from airflow_provider_daocloud.resources.enterprise.pipeline import PipelineRunWait
    from airflow_provider_daocloud.resources.enterprise.workload import WorkloadWait


class DaoCloudEnterpriseTrigger(DaoCloudTrigger):
    """Base of the triggers of DaoCloud Enterprise.

    :param daocloud_conn_id: the Connection of type ``daocloud_enterprise``.
    """

    def __init__(
        self, *, daocloud_conn_id: str = "daocloud_enterprise_default", **kwargs: Any
    ) -> None:
        super().__init__(daocloud_conn_id=daocloud_conn_id, **kwargs)

    @staticmethod
    def read_connection(connection: Any) -> Endpoint:
        """Return where a Connection of the trigger's type leads.

        :param connection: the Connection.
        :raises InputError: a field of it is missing or unusable.
        """
        from airflow_provider_daocloud.hooks.enterprise_connection import enterprise_endpoint_of

        return enterprise_endpoint_of(connection)


class DaoCloudWorkloadTrigger(DaoCloudEnterpriseTrigger):
    """Waits until a workload is rolled out: ``GET …/{kind}s/{name}/json``.

    One list of a namespace, shared by all waits, says which workloads to read.

    :param cluster: the workload's cluster.
    :param namespace: its namespace.
    :param workload_kind: its kind.
    :param workload_name: its name.
    :param target: what it is to be: ``rolled_out``, ``started`` or ``stopped``.
    :param images: the images that it is to have, by container.
    :param replicas: how many pods it is to have.
    :param generation: what a change of it made its generation; 0 if nothing was changed.
    """

    wait_kind = "workload"
    link = WorkloadLink()

    def __init__(
        self,
        *,
        cluster: str,
        namespace: str,
        workload_kind: str,
        workload_name: str,
        target: str = "rolled_out",
        images: Mapping[str, str] | None = None,
        replicas: int | None = None,
        generation: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.cluster = cluster
        self.namespace = namespace
        self.workload_kind = workload_kind
        self.workload_name = workload_name
        self.target = target
        self.images = images
        self.replicas = replicas
        self.generation = generation

    @property
    def resource_id(self) -> str:
        """Cluster, namespace, kind and name."""
        return f"{self.cluster}/{self.namespace}/{self.workload_kind}/{self.workload_name}"

    def wait(self) -> WorkloadWait:
        """Return what to wait for."""
        from airflow_provider_daocloud.resources.enterprise.workload import WorkloadWait

        return WorkloadWait.of(**self.wait_arguments())

    def wait_arguments(self) -> dict[str, Any]:
        """Return the arguments of what to wait for."""
        return {
            "cluster": self.cluster,
            "namespace": self.namespace,
            "workload_kind": self.workload_kind,
            "workload_name": self.workload_name,
            "target": self.target,
            "images": None if self.images is None else dict(self.images),
            "replicas": self.replicas,
            "generation": self.generation,
        }


class DaoCloudPipelineRunTrigger(DaoCloudEnterpriseTrigger):
    """Waits until a run of a pipeline has succeeded: ``GET …/pipelines/{name}/runs``.

    One list of a pipeline's runs is shared by all waits for them.

    :param workspace_id: the number of the workspace.
    :param pipeline_name: the pipeline.
    :param run_id: the number of the run.
    :param accept_unstable: whether UNSTABLE counts as a success.
    :param target_state: SUCCESS or PAUSED.
    :param cancel_on_kill: whether to cancel the run when the task is killed (3.3+).
    """

    wait_kind = "pipeline_run"
    link = PipelineLink()

    def __init__(
        self,
        *,
        workspace_id: str,
        pipeline_name: str,
        run_id: str,
        accept_unstable: bool = False,
        target_state: str = "SUCCESS",
        cancel_on_kill: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workspace_id = workspace_id
        self.pipeline_name = pipeline_name
        self.run_id = run_id
        self.accept_unstable = accept_unstable
        self.target_state = target_state
        self.cancel_on_kill = cancel_on_kill

    @property
    def resource_id(self) -> str:
        """The number of the workspace, and the pipeline."""
        return f"{self.workspace_id}/{self.pipeline_name}"

    def wait(self) -> PipelineRunWait:
        """Return what to wait for."""
        from airflow_provider_daocloud.resources.enterprise.pipeline import PipelineRunWait

        return PipelineRunWait.of(**self.wait_arguments())

    def wait_arguments(self) -> dict[str, Any]:
        """Return the arguments of what to wait for."""
        return {
            "workspace_id": self.workspace_id,
            "pipeline_name": self.pipeline_name,
            "run_id": self.run_id,
            "accept_unstable": self.accept_unstable,
            "target_state": self.target_state,
        }

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments, as they are stored."""
        path, stored = super().serialize()
        return path, stored | {"cancel_on_kill": self.cancel_on_kill}

    async def on_kill(self) -> None:
        """Cancel the run, if that is asked for (3.3+)."""
        if not self.cancel_on_kill:
            return await super().on_kill()
        from airflow_provider_daocloud.api.client import DaoCloudClient
        from airflow_provider_daocloud.api.enterprise.pipelines import cancel_run
        from airflow_provider_daocloud.triggers.poller_registry import poller_registry

        wait = self.wait()
        endpoint = await poller_registry().endpoint(
            self.daocloud_conn_id, read=self.read_connection
        )
        with DaoCloudClient(endpoint) as client:
            await asyncio.to_thread(client.send, cancel_run(wait.ref, wait.run_id))
        self.log.warning(
            "Cancelled %s: the task was killed (%s).", wait.title(self.resource_name), wait
        )
        return None
