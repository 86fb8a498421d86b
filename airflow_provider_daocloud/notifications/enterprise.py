"""A notifier that acts on a workload of DaoCloud Enterprise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.api.validation import WorkloadKind, one_of
from airflow_provider_daocloud.hooks.enterprise import DaoCloudEnterpriseHook
from airflow_provider_daocloud.notifications.base import DaoCloudBaseNotifier

if TYPE_CHECKING:
    from typing import Literal

    from airflow_provider_daocloud.api.client import DaoCloudClient
    from airflow_provider_daocloud.api.enterprise.workloads import WorkloadRef
    from airflow_provider_daocloud.api.request import Request


class DaoCloudWorkloadNotifier(DaoCloudBaseNotifier):
    """Start, stop, restart or deploy a workload when something has happened in Airflow.

    ``PATCH …/{kind}s/{name}``, or ``POST …:start`` and ``:stop``, once; the rollout is not waited
    for. See `DaoCloudNotifier` for what happens if Airflow calls back twice.

    ::

        smoke_test = BashOperator(
            task_id="smoke_test",
            bash_command="…",
            on_failure_callback=DaoCloudWorkloadNotifier(action="restart", workload_name="web"),
        )

    :param action: ``start``, ``stop``, ``restart`` or ``deploy``.
    :param workload_name: the workload's name (templated).
    :param workload_kind: ``deployment``, ``statefulset`` or ``daemonset``.
    :param cluster: its cluster (templated). Default: the connection's.
    :param namespace: its namespace (templated). Default: the connection's.
    :param image: the image to deploy (templated), or
    :param tag: the tag to deploy of the image that runs (templated).
    :param container: the container that gets it (templated). Default: the only one, or the one that
        is called as the workload.
    :param daocloud_conn_id: the Connection of type ``daocloud_enterprise`` (templated).
    """

    hook_class = DaoCloudEnterpriseHook
    template_fields: Sequence[str] = (
        *("workload_name", "cluster", "namespace", "image", "tag", "container"),
        "daocloud_conn_id",
    )

    def __init__(
        self,
        *,
        action: Literal["start", "stop", "restart", "deploy"],
        workload_name: str,
        workload_kind: WorkloadKind = "deployment",
        cluster: str | None = None,
        namespace: str | None = None,
        image: str | None = None,
        tag: str | None = None,
        container: str | None = None,
        daocloud_conn_id: str = DaoCloudEnterpriseHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.action = one_of("action", action, ("start", "stop", "restart", "deploy"))
        self.workload_kind = one_of(
            "workload_kind", workload_kind, ("deployment", "statefulset", "daemonset")
        )
        if workload_kind == "daemonset" and action in ("start", "stop"):
            raise InputError("workload_kind", "a daemon set cannot be started or stopped.")
        if (image is None) + (tag is None) != (1 if action == "deploy" else 2):
            problem = "or a tag is needed" if action == "deploy" else "or a tag makes no sense"
            raise InputError("image", f"{problem} with the action {action!r}.")
        self.workload_name = workload_name
        self.cluster, self.namespace = cluster, namespace
        self.image, self.tag, self.container = image, tag, container
        self.daocloud_conn_id = daocloud_conn_id

    def prepare(self, client: DaoCloudClient) -> tuple[str, Request[Any]]:
        """Return the workload in words, and the request: a patch is made of the workload as it is.

        :param client: reads the workload.
        """
        from airflow_provider_daocloud.api.enterprise.changes import change_workload, wanted_images
        from airflow_provider_daocloud.api.enterprise.workloads import act_on_workload, get_workload

        ref = self._ref(client)
        title = f"{ref.kind} {ref.name}"
        if self.action in ("start", "stop"):
            return title, act_on_workload(ref, self.action)
        images = None
        if self.action == "deploy":
            images = wanted_images(self.image, None, self.tag, self.container)
        restart = self.action == "restart"
        change = change_workload(self.action, ref, uuid4().hex, images=images, restart=restart)
        return title, change.completed_by(client.send(get_workload(ref)))

    def receipt(self, answer: Any) -> str:
        """Return the generation that it made, or the version of the object."""
        generation = getattr(answer, "generation", None)
        return f"version {answer}" if generation is None else f"generation {generation}"

    def _ref(self, client: DaoCloudClient) -> WorkloadRef:
        from airflow_provider_daocloud.api.enterprise.workloads import WorkloadRef

        endpoint: Any = client.endpoint
        cluster, namespace = self.cluster or endpoint.cluster, self.namespace or endpoint.namespace
        ref = WorkloadRef(cluster or "", namespace or "", self.workload_kind, self.workload_name)
        _ = ref.path  # checks it
        return ref
