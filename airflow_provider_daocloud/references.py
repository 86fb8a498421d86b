"""How operators and sensors say which resource they mean: by its id, or by its name."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.api.validation import (
    WORKLOAD_TYPES,
    WorkloadKind,
    id_or_name,
    one_of,
    whole_as_text,
)

if TYPE_CHECKING:
    from airflow_provider_daocloud.hooks.enterprise import DaoCloudEnterpriseHook


class Reference:
    """Base of what an operator or a sensor is mixed with: its resource, by id or by name."""

    # What kind of resource it is: the stem of its arguments.
    resource: ClassVar[str]

    @property
    def ref(self) -> tuple[Any, str | None]:
        """The id and the name. The id is None until the name is looked up."""
        raise NotImplementedError

    def take_id(self, found_id: str | None) -> None:
        """Set the id.

        :param found_id: the id, or None to forget it.
        """
        raise NotImplementedError

    @property
    def resource_name(self) -> str | None:
        """What people call the resource, if that is known before it is read."""
        return self.ref[1]

    @property
    def link_id(self) -> str:
        """What a link to the resource is made of."""
        return str(self.ref[0])

    @property
    def asset_path(self) -> str:
        """The path of the resource in the URI of its asset."""
        from airflow_provider_daocloud.resources.registry import resource

        return resource(self.resource).dashboard_path.format(id=self.ref[0])

    def take_defaults(self, endpoint: Any) -> None:
        """Take from the connection what the arguments leave out.

        :param endpoint: where the connection leads.
        """

    def why_a_worker_starts_it(self) -> str | None:
        """Return why the task cannot start in the triggerer, as far as its resource matters."""
        if self.ref[1] is not None:
            return f"a worker looks up the id that {self.resource}_name stands for"
        return None

    def causes(self, wait: Any) -> list[str]:  # noqa: ARG002 - the Open API tells no more
        """Return why what was waited for has failed, beyond what the wait has seen.

        :param wait: what was waited for.
        """
        return []


class AppReference(Reference):
    """An app, by ``app_id`` or ``app_name``."""

    resource = "app"
    app_id: Any
    app_name: str | None

    def refer_to(self, app_id: str | None, app_name: str | None) -> None:
        """Set the fields, of which one must be given."""
        self.app_id, self.app_name = id_or_name("app", app_id, app_name)

    @property
    def ref(self) -> tuple[Any, str | None]:
        """The id and the name."""
        return self.app_id, self.app_name

    def take_id(self, found_id: str | None) -> None:
        """Set the id."""
        self.app_id = found_id


class BuildFlowReference(Reference):
    """A build flow, by ``build_flow_id`` or ``build_flow_name``."""

    resource = "build_flow"
    build_flow_id: Any
    build_flow_name: str | None

    def refer_to(self, build_flow_id: str | None, build_flow_name: str | None) -> None:
        """Set the fields, of which one must be given."""
        self.build_flow_id, self.build_flow_name = id_or_name(
            "build_flow", build_flow_id, build_flow_name
        )

    @property
    def ref(self) -> tuple[Any, str | None]:
        """The id and the name."""
        return self.build_flow_id, self.build_flow_name

    def take_id(self, found_id: str | None) -> None:
        """Set the id."""
        self.build_flow_id = found_id


class StackReference(Reference):
    """A stack, by ``stack_id`` or ``stack_name``."""

    resource = "stack"
    stack_id: Any
    stack_name: str | None

    def refer_to(self, stack_id: str | None, stack_name: str | None) -> None:
        """Set the fields, of which one must be given."""
        self.stack_id, self.stack_name = id_or_name("stack", stack_id, stack_name)

    @property
    def ref(self) -> tuple[Any, str | None]:
        """The id and the name."""
        return self.stack_id, self.stack_name

    def take_id(self, found_id: str | None) -> None:
        """Set the id."""
        self.stack_id = found_id


class EnterpriseReference(Reference):
    """Something of DaoCloud Enterprise; its operators and sensors share its hook."""

    daocloud_conn_id: str

    @cached_property
    def hook(self) -> DaoCloudEnterpriseHook:
        """The hook of the connection."""
        from airflow_provider_daocloud.hooks.enterprise import DaoCloudEnterpriseHook

        return DaoCloudEnterpriseHook(self.daocloud_conn_id)

    def causes(self, wait: Any) -> list[str]:
        """Return why a rollout or a run has failed: events, and the end of a log."""
        from airflow_provider_daocloud.resources.enterprise.causes import causes

        return causes(wait, lambda request: self.hook.send(request, retry_timeout=5.0))


class WorkloadReference(EnterpriseReference):
    """A workload, by ``cluster``, ``namespace``, ``workload_kind`` and ``workload_name``."""

    resource = "workload"
    workload_name: Any
    workload_kind: WorkloadKind
    cluster: Any
    namespace: Any

    def refer_to(
        self,
        workload_name: str,
        workload_kind: WorkloadKind,
        cluster: str | None,
        namespace: str | None,
    ) -> None:
        """Set the fields."""
        self.workload_name = workload_name
        self.workload_kind = one_of("workload_kind", workload_kind, WORKLOAD_TYPES)
        self.cluster = cluster
        self.namespace = namespace

    @property
    def ref(self) -> tuple[Any, str | None]:
        """The name, which is what identifies it in its namespace."""
        return self.workload_name, None

    def take_id(self, found_id: str | None) -> None:
        """Do nothing: no name is looked up."""

    @property
    def resource_name(self) -> str | None:
        """The name."""
        return str(self.workload_name)

    @property
    def link_id(self) -> str:
        """Cluster, namespace, kind and name."""
        return f"{self.cluster}/{self.namespace}/{self.workload_kind}/{self.workload_name}"

    @property
    def asset_path(self) -> str:
        """The path of the workload in the URI of its asset."""
        place = f"/clusters/{self.cluster}/namespaces/{self.namespace}"
        return f"{place}/{self.workload_kind}s/{self.workload_name}"

    def take_defaults(self, endpoint: Any) -> None:
        """Take cluster and namespace from the connection."""
        self.cluster = endpoint.cluster if self.cluster is None else self.cluster
        self.namespace = endpoint.namespace if self.namespace is None else self.namespace

    def why_a_worker_starts_it(self) -> str | None:
        """Return whether the connection must be read for the place."""
        if self.cluster is None or self.namespace is None:
            return "a worker reads the connection's default cluster and namespace"
        return None


class PipelineReference(EnterpriseReference):
    """A pipeline, by ``workspace`` (its alias or its number) and ``pipeline_name``."""

    resource = "workspace"
    pipeline_name: Any
    workspace: Any
    # The number that an alias stands for.
    _workspace_id: str | None = None

    def refer_to(self, pipeline_name: str, workspace: str | int | None) -> None:
        """Set the fields."""
        self.pipeline_name = pipeline_name
        self.workspace = whole_as_text(workspace)

    @property
    def ref(self) -> tuple[Any, str | None]:
        """The number of the workspace, and its alias if that was given."""
        alias = None if str(self.workspace).isdigit() else self.workspace
        return (self.workspace if alias is None else self._workspace_id), alias

    def take_id(self, found_id: str | None) -> None:
        """Set the number of the workspace."""
        self._workspace_id = found_id

    @property
    def resource_name(self) -> str | None:
        """The name of the pipeline."""
        return str(self.pipeline_name)

    @property
    def link_id(self) -> str:
        """The number of the workspace, and the pipeline."""
        return f"{self.ref[0]}/{self.pipeline_name}"

    @property
    def asset_path(self) -> str:
        """The path of the pipeline in the URI of its asset."""
        return f"/workspaces/{self.ref[0]}/pipelines/{self.pipeline_name}"

    def take_defaults(self, endpoint: Any) -> None:
        """Take the workspace from the connection.

        :raises InputError: there is none.
        """
        self.workspace = endpoint.workspace if self.workspace is None else self.workspace
        if self.workspace is None:
            raise InputError(
                "workspace", "is neither given to the task nor a default of the connection."
            )

    def why_a_worker_starts_it(self) -> str | None:
        """Return whether the workspace must be looked up."""
        if self.workspace is None:
            return "a worker reads the connection's default workspace"
        if self.ref[1] is not None:
            return "a worker looks up the number that the workspace's alias stands for"
        return None
