"""The workbench's one call on a workload: its number of replicas."""

from __future__ import annotations

from airflow_provider_daocloud.sandbox.enterprise.amamba_places import workspace_id
from airflow_provider_daocloud.sandbox.enterprise.wire import Call, CallRow, Made, invalid
from airflow_provider_daocloud.sandbox.parts import NotFoundError

_BY_TYPE = {"WORKLOAD_TYPE_DEPLOYMENT": "Deployment", "WORKLOAD_TYPE_STATEFULSET": "StatefulSet"}
_MOST = 10_000


def _scale(call: Call) -> Made:
    workspace, name = workspace_id(call), call.params["name"]
    cluster, namespace = call.field("cluster", str, ""), call.field("namespace", str, "")
    kind, replicas = call.field("workloadType", str, ""), call.field("replicas", int, 0)
    if kind not in _BY_TYPE:
        raise invalid(f"workloadType: {kind!r} is not valid")
    if not 0 <= replicas <= _MOST:
        raise invalid(f"replicas: {replicas} is not 0 to {_MOST}")
    if call.world.places.namespace(cluster, namespace).workspace_id != workspace:
        raise NotFoundError(f"namespace {namespace} is not bound to workspace {workspace}")
    workload = call.world.workloads.find(_BY_TYPE[kind], cluster, namespace, name)
    changed = call.world.workloads.scale(workload, replicas)
    note = f"scale {name} to {replicas}: generation {workload.generation}"
    return Made({"replicas": replicas}, note, acted=changed, id=str(workload.generation))


CALLS: tuple[CallRow, ...] = (
    (
        "scale_workload",
        "PUT",
        "apis/application.amamba.io/v1alpha1/workspaces/{workspace}/workloads/{name}/replicas",
        _scale,
    ),
)
