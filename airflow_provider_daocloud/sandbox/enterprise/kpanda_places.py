"""The calls of container management that tell where things are: clusters and namespaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_daocloud.sandbox.enterprise.wire import (
    Call,
    CallRow,
    Made,
    paged,
    stamp,
)

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.enterprise.places import Cluster, Namespace


def _cluster_json(call: Call, cluster: Cluster) -> dict[str, Any]:
    nodes = {"totalNum": len(cluster.nodes), "readyNum": len(cluster.nodes)}
    return {
        "metadata": {
            "name": cluster.name,
            "namespace": "",
            "uid": cluster.uid,
            "resourceVersion": "1",
            "creationTimestamp": stamp(cluster.created_at, call.options.workload_times),
            "labels": {},
            "annotations": {},
        },
        "spec": {"provider": "GENERIC", "aliasName": cluster.alias},
        "status": {
            "kubernetesVersion": cluster.version,
            "phase": cluster.phase,
            "nodeSummary": nodes,
            "conditions": [],
        },
    }


def _list_clusters(call: Call) -> Made:
    name, fuzzy = call.one("name"), call.one("fuzzyName")
    clusters = [
        _cluster_json(call, cluster)
        for cluster in call.world.places.clusters.values()
        if name in ("", cluster.name) and fuzzy in cluster.name
    ]
    return Made(paged(call, clusters), f"{len(clusters)} clusters")


def _get_cluster(call: Call) -> Made:
    return Made(_cluster_json(call, call.world.places.cluster(call.params["cluster"])))


def _namespace_json(call: Call, namespace: Namespace) -> dict[str, Any]:
    places = call.world.places
    workspace = places.workspaces.get(namespace.workspace_id or 0)
    return {
        "metadata": {
            "name": namespace.name,
            "namespace": "",
            "uid": namespace.uid,
            "resourceVersion": "1",
            "creationTimestamp": stamp(namespace.created_at, call.options.workload_times),
            "labels": namespace.labels,
            "annotations": {},
            "cluster": namespace.cluster,
            "workspaceAlias": workspace.alias if workspace else "",
        },
        "spec": {"Finalizers": ["kubernetes"]},
        "status": {"phase": "Active", "conditions": []},
    }


def _namespaces(call: Call, clusters: list[str]) -> Made:
    name, fuzzy, alias = call.one("name"), call.one("fuzzyName"), call.one("workspaceAlias")
    workspace_id = call.number("workspaceId", 0)
    items = [
        made
        for namespace in call.world.places.namespaces.values()
        if (not clusters or namespace.cluster in clusters)
        and workspace_id in (0, namespace.workspace_id)
        and name in ("", namespace.name)
        and fuzzy in namespace.name
        and (made := _namespace_json(call, namespace))
        and alias in ("", made["metadata"]["workspaceAlias"])
    ]
    return Made(paged(call, items), f"{len(items)} namespaces")


def _list_namespaces(call: Call) -> Made:
    return _namespaces(call, call.query.get("cluster", []))


def _list_cluster_namespaces(call: Call) -> Made:
    return _namespaces(call, [call.world.places.cluster(call.params["cluster"]).name])


def _list_workspaces(call: Call) -> Made:
    workspaces = call.world.places.workspaces.values()
    return Made({"workspaces": [{"id": one.id, "alias": one.alias} for one in workspaces]})


_K = "apis/kpanda.io/v1alpha1"
CALLS: tuple[CallRow, ...] = (
    ("list_clusters", "GET", f"{_K}/clusters", _list_clusters),
    ("get_cluster", "GET", f"{_K}/clusters/{{cluster}}", _get_cluster),
    (
        "list_cluster_namespaces",
        "GET",
        f"{_K}/clusters/{{cluster}}/namespaces",
        _list_cluster_namespaces,
    ),
    ("list_namespaces", "GET", f"{_K}/asl/namespaces", _list_namespaces),
    ("list_kpanda_workspaces", "GET", f"{_K}/workspaces", _list_workspaces),
)
