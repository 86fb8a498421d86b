"""The controls of a world of DaoCloud Enterprise, under ``/_sandbox``."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from airflow_provider_daocloud.sandbox.controls import COMMON_ENDPOINTS, Controls, Json
from airflow_provider_daocloud.sandbox.enterprise.images import ImagePlan
from airflow_provider_daocloud.sandbox.enterprise.pipelines import Parameter, Stage
from airflow_provider_daocloud.sandbox.enterprise.world import EnterpriseWorld

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.enterprise.pipelines import Pipeline
    from airflow_provider_daocloud.sandbox.enterprise.workload import Workload


class EnterpriseControls(Controls[EnterpriseWorld]):
    """The controls of users, places, workloads and pipelines."""

    endpoints = (
        *COMMON_ENDPOINTS,
        ("POST", "/users", "add_user"),
        ("POST", "/users/{user}/revoke", "revoke"),
        ("POST", "/workspaces", "add_workspace"),
        ("POST", "/clusters", "add_cluster"),
        ("PATCH", "/clusters/{cluster}", "change_cluster"),
        ("POST", "/clusters/{cluster}/namespaces", "add_namespace"),
        ("PATCH", "/clusters/{cluster}/namespaces/{namespace}", "change_namespace"),
        ("DELETE", "/products/{product}", "remove_product"),
        ("POST", "/workloads", "add_workload"),
        ("POST", "/images", "plan_image"),
        ("POST", "/pipelines", "add_pipeline"),
        ("DELETE", "/clusters/{cluster}/namespaces/{namespace}/pods/{pod}", "delete_pod"),
    )

    def state(self) -> Json:
        """Show users, places, products, what is held, and the options."""
        world = self._world
        with world.timeline.up_to_date():
            places = world.places
            return {
                "now": world.now(),
                "options": dataclasses.asdict(world.options),
                "products": dict(world.products),
                "users": [dataclasses.asdict(user) for user in world.users.by_name.values()],
                "workspaces": [dataclasses.asdict(one) for one in places.workspaces.values()],
                "clusters": [dataclasses.asdict(one) for one in places.clusters.values()],
                "namespaces": [dataclasses.asdict(one) for one in places.namespaces.values()],
                "workloads": [self._workload(one) for one in world.workloads.all()],
                "pipelines": [self._pipeline(one) for one in world.pipelines.all()],
                "faults": self._service.faults.listed(),
                "held": self.held(),
            }

    def add_user(self, name: str, token: str | None = None, read_only: bool = False) -> Json:
        """Add a user, or another key of one: ``name``, ``token``, ``read_only``."""
        key = self._world.users.add(name, token, read_only=read_only)
        return {"id": key.id, "token": key.token}

    def revoke(self, user: str) -> Json:
        """Make all access keys of a user invalid."""
        self._world.users.revoke(user)
        return {}

    def add_workspace(self, alias: str, workspace_id: int | None = None) -> Json:
        """Add a workspace: ``alias``, ``workspace_id``."""
        return dataclasses.asdict(
            self._world.places.add_workspace(alias, workspace_id=workspace_id)
        )

    def add_cluster(self, name: str, **cluster: Any) -> Json:
        """Add a cluster: ``name``, ``nodes``, ``pod_capacity``, ``alias``."""
        return dataclasses.asdict(self._world.places.add_cluster(name, **cluster))

    def change_cluster(self, cluster: str, pod_capacity: int | None = None) -> Json:
        """Change the ``pod_capacity`` of a cluster."""
        found = self._world.places.cluster(cluster)
        found.pod_capacity = pod_capacity
        return dataclasses.asdict(found)

    def add_namespace(self, cluster: str, name: str, **namespace: Any) -> Json:
        """Add a namespace: ``name``, ``workspace_id``, ``pod_quota``."""
        return dataclasses.asdict(self._world.places.add_namespace(cluster, name, **namespace))

    def change_namespace(self, cluster: str, namespace: str, pod_quota: int | None = None) -> Json:
        """Change the ``pod_quota`` of a namespace."""
        found = self._world.places.namespace(cluster, namespace)
        found.pod_quota = pod_quota
        return dataclasses.asdict(found)

    def remove_product(self, product: str) -> Json:
        """Take a product out of the installation: its calls answer 404."""
        self._world.remove_product(product)
        return {}

    @staticmethod
    def _workload(workload: Workload) -> Json:
        place = {"cluster": workload.place.cluster, "namespace": workload.place.namespace}
        containers = workload.object["spec"]["template"]["spec"]["containers"]
        return {
            "kind": workload.kind,
            "name": workload.name,
            **place,
            "images": {container["name"]: container["image"] for container in containers},
            "pods": {pod.name: pod.phase for pod in workload.pods},
        }

    def add_workload(
        self, cluster: str, namespace: str, name: str, image: Any, **workload: Any
    ) -> Json:
        """Add a running workload: place, ``name``, ``image``, ``kind``, ``replicas``, spec."""
        made = self._world.workloads.add(cluster, namespace, name, image, **workload)
        return {"uid": made.uid}

    def plan_image(self, image: str, **plan: Any) -> Json:
        """Decide what containers of an ``image`` do: ``outcome``, ``log``, ``seconds``."""
        made = ImagePlan(image, **plan)
        self._world.workloads.images.plan(made)
        return dataclasses.asdict(made)

    def delete_pod(self, cluster: str, namespace: str, pod: str) -> Json:
        """Delete a pod; its controller makes another."""
        self._world.workloads.delete_pod(cluster, namespace, pod)
        return {}

    @staticmethod
    def _pipeline(pipeline: Pipeline) -> Json:
        runs = {run.number: run.state for run in pipeline.runs}
        return {"workspace_id": pipeline.workspace_id, "name": pipeline.name, "runs": runs}

    def add_pipeline(
        self,
        workspace_id: int,
        name: str,
        stages: list[Json] | None = None,
        parameters: list[Json] | None = None,
        **pipeline: Any,
    ) -> Json:
        """Add a pipeline: ``workspace_id``, ``name``, ``stages``, ``parameters``..."""
        made = self._world.pipelines.add(
            workspace_id,
            name,
            [Stage(**one) for one in stages or ()],  # type: ignore[arg-type]
            [Parameter(**one) for one in parameters or ()],  # type: ignore[arg-type]
            **pipeline,
        )
        return self._pipeline(made)
