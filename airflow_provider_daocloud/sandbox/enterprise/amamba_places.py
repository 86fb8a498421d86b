"""The calls of the workbench that tell where things are: workspaces and what is bound to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_daocloud.sandbox.enterprise.wire import (
    Call,
    CallRow,
    Made,
    paged,
    stamp,
    whole,
)

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.enterprise.places import Cluster, Namespace

_RUNNING = "CLUSTER_STATUS_RUNNING"
PERMISSIONS = ("amamba.pipeline.get", "amamba.application.get")
WRITE_PERMISSIONS = ("amamba.pipeline.run", "amamba.pipeline.update", "amamba.application.update")


def workspace_id(call: Call) -> int:
    """Return the id of the workspace in the path.

    :raises NotFoundError: there is no such workspace.
    """
    return call.world.places.workspace(whole(call.params["workspace"], "workspaceId")).id


def _list_workspaces(call: Call) -> Made:
    name = call.one("name")
    items = [
        {"workspaceId": one.id, "alias": one.alias}
        for one in call.world.places.workspaces.values()
        if name in one.alias
    ]
    return Made(paged(call, items), f"{len(items)} workspaces")


def _bound(call: Call) -> dict[str, list[Namespace]]:
    bound: dict[str, list[Namespace]] = {}
    for namespace in call.world.places.bound_to(workspace_id(call), call.one("cluster") or None):
        bound.setdefault(namespace.cluster, []).append(namespace)
    return bound


def _targets(call: Call) -> Made:
    items = [
        {
            "cluster": cluster,
            "namespaces": [namespace.name for namespace in namespaces],
            "status": _RUNNING,
            "aliasName": call.world.places.cluster(cluster).alias,
        }
        for cluster, namespaces in _bound(call).items()
    ]
    return Made({"items": items})


def _permissions(call: Call) -> Made:
    workspace_id(call)
    permissions = [*PERMISSIONS, *([] if call.user.read_only else WRITE_PERMISSIONS)]
    return Made({"permissions": permissions})


def _cluster_json(call: Call, cluster: Cluster) -> dict[str, Any]:
    return {
        "kubeSystemId": cluster.uid,
        "name": cluster.name,
        "aliasName": cluster.alias,
        "createdAt": stamp(cluster.created_at, call.options.pipeline_times),
        "labels": {},
        "status": _RUNNING,
    }


def _clusters(call: Call) -> Made:
    places = call.world.places
    items = [_cluster_json(call, places.cluster(cluster)) for cluster in _bound(call)]
    return Made(paged(call, items))


def _namespaces(call: Call) -> Made:
    name, number = call.one("name"), workspace_id(call)
    items = [
        {
            "name": namespace.name,
            "cluster": namespace.cluster,
            "workspaceId": str(number),
            "creationTimestamp": stamp(namespace.created_at, call.options.pipeline_times),
            "labels": namespace.labels,
        }
        for namespaces in _bound(call).values()
        for namespace in namespaces
        if name in namespace.name
    ]
    return Made(paged(call, items))


_A = "apis/amamba.io/v1alpha1"
_W = f"{_A}/workspaces/{{workspace}}"
_M = f"{_A}/management/workspaces"
CALLS: tuple[CallRow, ...] = (
    ("list_amamba_workspaces", "GET", _M, _list_workspaces),
    ("list_deploy_targets", "GET", f"{_M}/{{workspace}}/deploytargets", _targets),
    ("list_permissions", "GET", f"{_M}/{{workspace}}/permissions", _permissions),
    ("list_bound_clusters", "GET", f"{_W}/clusters", _clusters),
    ("list_bound_namespaces", "GET", f"{_W}/namespaces", _namespaces),
)
