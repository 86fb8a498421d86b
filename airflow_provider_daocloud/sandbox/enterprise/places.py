"""Where things are: workspaces, clusters and namespaces."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_daocloud.sandbox.objects import text
from airflow_provider_daocloud.sandbox.parts import NotFoundError

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.enterprise.shared import Shared


@dataclass
class Workspace:
    """A workspace; the console shows its alias."""

    id: int
    alias: str


@dataclass
class Cluster:
    """A cluster.

    :param nodes: the names of its nodes; a daemon set has a pod on each.
    :param pod_capacity: how many pods fit; ``None`` for any number.
    """

    name: str
    uid: str
    created_at: float
    nodes: list[str]
    alias: str = ""
    pod_capacity: int | None = None
    phase: str = "Running"
    version: str = "v1.30.5"


@dataclass
class Namespace:
    """A namespace of a cluster.

    :param workspace_id: the workspace that it is bound to; ``None`` if to none.
    :param pod_quota: how many pods its quota allows; ``None`` for any number.
    """

    name: str
    cluster: str
    uid: str
    created_at: float
    workspace_id: int | None = None
    pod_quota: int | None = None
    labels: dict[str, str] = field(default_factory=dict)


class Places:
    """The workspaces by id, the clusters by name, the namespaces by cluster and name.

    :param shared: what the parts of the world share.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self.workspaces: dict[int, Workspace] = {}
        self.clusters: dict[str, Cluster] = {}
        self.namespaces: dict[tuple[str, str], Namespace] = {}

    def add_workspace(self, alias: str, *, workspace_id: int | None = None) -> Workspace:
        """Add a workspace.

        :raises ValueError: the id is taken.
        """
        text("alias", alias)
        with self._shared.timeline.lock:
            number = max(self.workspaces, default=0) + 1 if workspace_id is None else workspace_id
            if number in self.workspaces:
                raise ValueError(f"workspace {number} exists already")
            self.workspaces[number] = Workspace(number, alias)
            return self.workspaces[number]

    def add_cluster(
        self, name: str, *, nodes: int = 3, pod_capacity: int | None = None, alias: str = ""
    ) -> Cluster:
        """Add a cluster.

        :raises ValueError: the name is taken.
        """
        text("name", name)
        with self._shared.timeline.lock:
            if name in self.clusters:
                raise ValueError(f"cluster {name} exists already")
            names = [f"{name}-node-{number}" for number in range(1, nodes + 1)]
            now = self._shared.timeline.now()
            cluster = Cluster(name, self._shared.uid(), now, names, alias, pod_capacity)
            self.clusters[name] = cluster
            return cluster

    def add_namespace(
        self,
        cluster: str,
        name: str,
        *,
        workspace_id: int | None = None,
        pod_quota: int | None = None,
    ) -> Namespace:
        """Add a namespace.

        :raises NotFoundError: no such cluster or workspace.
        :raises ValueError: the name is taken.
        """
        text("name", name)
        with self._shared.timeline.lock:
            self.cluster(cluster)
            if workspace_id is not None:
                self.workspace(workspace_id)
            if (cluster, name) in self.namespaces:
                raise ValueError(f"namespace {name} of {cluster} exists already")
            now = self._shared.timeline.now()
            namespace = Namespace(name, cluster, self._shared.uid(), now, workspace_id, pod_quota)
            self.namespaces[cluster, name] = namespace
            return namespace

    def workspace(self, workspace_id: int) -> Workspace:
        """Return one workspace.

        :raises NotFoundError: there is none.
        """
        if workspace_id not in self.workspaces:
            raise NotFoundError(f"workspace {workspace_id} not found")
        return self.workspaces[workspace_id]

    def cluster(self, name: str) -> Cluster:
        """Return one cluster.

        :raises NotFoundError: there is none.
        """
        if name not in self.clusters:
            raise NotFoundError(f'clusters.cluster.kpanda.io "{name}" not found')
        return self.clusters[name]

    def namespace(self, cluster: str, name: str) -> Namespace:
        """Return one namespace.

        :raises NotFoundError: there is none.
        """
        self.cluster(cluster)
        if (cluster, name) not in self.namespaces:
            raise NotFoundError(f'namespaces "{name}" not found')
        return self.namespaces[cluster, name]

    def bound_to(self, workspace_id: int, cluster: str | None = None) -> list[Namespace]:
        """Return the namespaces of a workspace, of one cluster or of all."""
        return [
            namespace
            for namespace in self.namespaces.values()
            if namespace.workspace_id == workspace_id and cluster in (None, namespace.cluster)
        ]
