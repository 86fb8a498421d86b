"""Workloads, replica sets, pods and events as container management shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_daocloud.sandbox.enterprise.shared import rfc3339
from airflow_provider_daocloud.sandbox.enterprise.wire import stamp

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.enterprise.events import Event
    from airflow_provider_daocloud.sandbox.enterprise.pods import Container, Pod
    from airflow_provider_daocloud.sandbox.enterprise.wire import Call
    from airflow_provider_daocloud.sandbox.enterprise.workload import Revision, Workload

Json = dict[str, Any]

_CONTAINER_PHASES = {"waiting": "Waiting", "running": "Running", "terminated": "Terminated"}
REVISION = "deployment.kubernetes.io/revision"


def workspace_alias(call: Call, cluster: str, namespace: str) -> str:
    """Return the alias of the workspace that a namespace is bound to."""
    places = call.world.places
    workspace = places.workspaces.get(places.namespace(cluster, namespace).workspace_id or 0)
    return workspace.alias if workspace else ""


def workload_json(call: Call, workload: Workload, lag: float) -> Json:
    """Return the typed form of a workload, as it was ``lag`` seconds ago."""
    value = workload.as_of(call.world.now() - lag)
    metadata, spec, status = value["metadata"], value["spec"], value["status"]
    place = workload.place
    shown: Json = {
        "metadata": {
            "name": workload.name,
            "namespace": place.namespace,
            "uid": workload.uid,
            "resourceVersion": metadata["resourceVersion"],
            "creationTimestamp": stamp(workload.created_at, call.options.workload_times),
            "deletionTimestamp": "0",
            "labels": metadata["labels"],
            "annotations": metadata["annotations"],
            "ownerReferences": [],
            "cluster": place.cluster,
            "workspaceAlias": workspace_alias(call, place.cluster, place.namespace),
        },
        "revision": str(workload.current.number if workload.current else 0),
    }
    state = state_of(call, workload.kind, spec, status)
    conditions = [_condition(one) for one in status.get("conditions", ())]
    template = template_json(spec["template"])
    if workload.kind == "Deployment":
        shown["spec"] = {
            "template": template,
            "strategy": _strategy(spec["strategy"]),
            "paused": bool(spec.get("paused")),
        }
        shown["status"] = {
            "availableReplicas": status.get("availableReplicas", 0),
            "readyReplicas": status.get("readyReplicas", 0),
            "replicas": status.get("replicas", 0),
            "state": state,
            "conditions": conditions,
        }
    elif workload.kind == "StatefulSet":
        shown["spec"] = {
            "replicas": spec["replicas"],
            "podManagementPolicy": spec["podManagementPolicy"],
            "revisionHistoryLimit": spec["revisionHistoryLimit"],
            "selector": _selector(spec["selector"]),
            "serviceName": spec["serviceName"],
            "template": template,
            "updateStrategy": {"type": spec["updateStrategy"].get("type", "RollingUpdate")},
        }
        shown["status"] = {
            "replicas": status.get("replicas", 0),
            "readyReplicas": status.get("readyReplicas", 0),
            "state": state,
            "conditions": conditions,
        }
    else:
        shown["spec"] = {"template": template, "updateStrategy": _strategy(spec["updateStrategy"])}
        shown["status"] = {
            "desiredNumberScheduled": status.get("desiredNumberScheduled", 0),
            "numberAvailable": status.get("numberAvailable", 0),
            "state": state,
            "conditions": conditions,
        }
    return shown


def state_of(call: Call, kind: str, spec: Json, status: Json) -> str:
    """Return a workload's state in the words of this product."""
    if kind == "DaemonSet":
        desired = replicas = status.get("desiredNumberScheduled", 0)
        ready = status.get("numberReady", 0)
    else:
        desired, replicas = spec["replicas"], status.get("replicas", 0)
        ready = status.get("readyReplicas", 0)
    if call.options.workload_state == "api":
        if spec.get("paused"):
            return "Waiting"
        if ready == 0:
            return "Stopped"
        return "Running" if ready >= desired else "Not_Ready"
    if desired == 0 and replicas == 0:
        return "Stopped"
    if ready == replicas == desired:
        return "Running"
    late = any(one["reason"] == "ProgressDeadlineExceeded" for one in status.get("conditions", ()))
    return "Not_Ready" if late else "Waiting"


def _condition(one: Json) -> Json:
    names = ("lastTransitionTime", "lastUpdateTime", "message", "reason", "status", "type")
    return {name: one.get(name, "") for name in names}


def _strategy(strategy: Json) -> Json:
    rolling = strategy.get("rollingUpdate", {})
    shown = {name: str(rolling.get(name, "")) for name in ("maxSurge", "maxUnavailable")}
    return {"type": strategy.get("type", "RollingUpdate"), "rollingUpdate": shown}


def _selector(selector: Json) -> Json:
    return {"matchLabels": selector["matchLabels"], "matchExpressions": []}


def template_json(template: Json) -> Json:
    """Return the typed form of a pod's template."""
    metadata = template.get("metadata") or {}
    return {
        "metadata": {
            "name": "",
            "labels": metadata.get("labels") or {},
            "annotations": metadata.get("annotations") or {},
        },
        "spec": pod_spec_json(template["spec"]),
    }


def pod_spec_json(spec: Json, node: str = "") -> Json:
    """Return the typed form of a pod's spec."""
    containers = [_container_json(one) for one in spec["containers"]]
    return {"containers": containers, "restartPolicy": "Always", "nodeName": node}


def _container_json(container: Json) -> Json:
    shown: Json = {"name": container["name"], "image": container["image"]}
    for name in ("command", "args"):
        words = container.get(name)
        shown[name] = [str(word) for word in words] if isinstance(words, list) else []
    env = container.get("env")
    shown["env"] = [
        {"name": str(one.get("name", "")), "value": str(one.get("value", ""))}
        for one in (env if isinstance(env, list) else [])
        if isinstance(one, dict)
    ]
    return shown


def revision_json(call: Call, workload: Workload, revision: Revision) -> Json:
    """Return the typed form of a replica set."""
    pods = workload.of(revision)
    ready = sum(pod.ready for pod in pods)
    place = workload.place
    return {
        "metadata": {
            "name": revision.name,
            "namespace": place.namespace,
            "uid": revision.uid,
            "resourceVersion": workload.object["metadata"]["resourceVersion"],
            "creationTimestamp": stamp(revision.created_at, call.options.workload_times),
            "labels": (revision.template.get("metadata") or {}).get("labels") or {},
            "annotations": {REVISION: str(revision.number)},
            "ownerReferences": [_owner(workload)],
            "cluster": place.cluster,
            "workspaceAlias": workspace_alias(call, place.cluster, place.namespace),
        },
        "spec": {
            "replicas": revision.replicas,
            "revision": str(revision.number),
            "selector": _selector(workload.spec["selector"]),
            "template": template_json(revision.template),
        },
        "status": {
            "replicas": len(pods),
            "fullyLabeledReplicas": len(pods),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "observedGeneration": "1",
            "conditions": [],
        },
    }


def controller_revision_json(call: Call, workload: Workload, revision: Revision) -> Json:
    """Return the typed form of a controller revision."""
    replica_set = revision_json(call, workload, revision)
    return {
        "metadata": replica_set["metadata"] | {"annotations": {}},
        "data": {"spec": {"template": replica_set["spec"]["template"]}},
        "revision": str(revision.number),
    }


def _owner(workload: Workload) -> Json:
    return {
        "uid": workload.uid,
        "controller": True,
        "name": workload.name,
        "kind": workload.kind,
        "apiVersion": "apps/v1",
        "blockOwnerDeletion": True,
    }


def pod_json(call: Call, pod: Pod) -> Json:
    """Return the typed form of a pod."""
    kind, owner = pod.controller
    restarts = sum(one.restarts for one in pod.containers)
    ready = sum(one.ready for one in pod.containers)
    waiting = [one.reason for one in pod.containers if one.state == "waiting" and one.reason]
    in_order = pod.phase == "Running" and not waiting
    unit = call.options.workload_times
    return {
        "metadata": {
            "name": pod.name,
            "namespace": pod.place.namespace,
            "uid": pod.uid,
            "resourceVersion": "1",
            "creationTimestamp": stamp(pod.created_at, unit),
            "labels": _labels(pod),
            "annotations": (pod.template.get("metadata") or {}).get("annotations") or {},
            "ownerReferences": [
                {"kind": kind, "name": owner, "apiVersion": "apps/v1", "controller": True}
            ],
            "cluster": pod.place.cluster,
            "workspaceAlias": workspace_alias(call, pod.place.cluster, pod.place.namespace),
        },
        "spec": pod_spec_json(pod.template["spec"], pod.node or ""),
        "status": {
            "phase": pod.phase,
            "startTime": stamp(pod.created_at, unit),
            "restartCount": restarts,
            "ownedBy": {"kind": kind.upper(), "name": owner},
            "conditions": [_condition(one) for one in pod_conditions(pod)],
            "containerTotalCount": len(pod.containers),
            "containerReadyCount": ready,
            "containerStatuses": [_container_status(call, one) for one in pod.containers],
            "podStatus": waiting[0] if waiting and pod.node else pod.phase,
            "podFilterStatus": "FILTER_POD_STATUS_RUNNING"
            if in_order
            else "FILTER_POD_STATUS_WAITING",
        },
    }


def _labels(pod: Pod) -> Json:
    labels = (pod.template.get("metadata") or {}).get("labels") or {}
    return {**labels, "pod-template-hash": pod.revision}


def pod_conditions(pod: Pod) -> list[Json]:
    """Return the conditions of a pod, as Kubernetes has them."""
    when = rfc3339(pod.created_at)
    if pod.node is None:
        message = "0 nodes are available: too many pods."
        scheduled = {"status": "False", "reason": "Unschedulable", "message": message}
    else:
        scheduled = {"status": "True"}
    ready = {"status": "True"} if pod.ready else {"status": "False", "reason": "ContainersNotReady"}
    return [
        {"type": "PodScheduled", "lastTransitionTime": when, **scheduled},
        {"type": "Ready", "lastTransitionTime": when, **ready},
    ]


def _container_status(call: Call, container: Container) -> Json:
    unit = call.options.workload_times
    state: Json = {}
    if container.state == "running":
        state["running"] = {"startedAt": stamp(container.started_at, unit)}
    else:
        state["waiting"] = {"reason": container.reason, "message": container.message}
    return {
        "name": container.name,
        "state": state,
        "ready": container.ready,
        "restartCount": container.restarts,
        "image": container.image,
        "started": container.state == "running",
        "phase": _CONTAINER_PHASES[container.state],
    }


def containers_json(call: Call, pod: Pod) -> list[Json]:
    """Return the containers of a pod."""
    return [_container_status(call, one) for one in pod.containers]


def pod_object(pod: Pod) -> Json:
    """Return a pod as a Kubernetes object."""
    kind, owner = pod.controller
    statuses = []
    for one in pod.containers:
        state: Json = {"waiting": {"reason": one.reason, "message": one.message}}
        if one.state == "running" and one.started_at is not None:
            state = {"running": {"startedAt": rfc3339(one.started_at)}}
        statuses.append(
            {
                "name": one.name,
                "image": one.image,
                "ready": one.ready,
                "restartCount": one.restarts,
                "state": state,
            }
        )
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod.name,
            "namespace": pod.place.namespace,
            "uid": pod.uid,
            "creationTimestamp": rfc3339(pod.created_at),
            "labels": _labels(pod),
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": kind, "name": owner}],
        },
        "spec": {**pod.template["spec"], "nodeName": pod.node or ""},
        "status": {
            "phase": pod.phase,
            "conditions": pod_conditions(pod),
            "containerStatuses": statuses,
        },
    }


def revision_object(workload: Workload, revision: Revision) -> Json:
    """Return a replica set as a Kubernetes object."""
    pods = workload.of(revision)
    ready = sum(pod.ready for pod in pods)
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": revision.name,
            "namespace": workload.place.namespace,
            "uid": revision.uid,
            "creationTimestamp": rfc3339(revision.created_at),
            "annotations": {REVISION: str(revision.number)},
            "ownerReferences": [_owner(workload)],
        },
        "spec": {
            "replicas": revision.replicas,
            "selector": workload.spec["selector"],
            "template": revision.template,
        },
        "status": {"replicas": len(pods), "readyReplicas": ready, "availableReplicas": ready},
    }


def event_json(call: Call, event: Event, namespace: str) -> Json:
    """Return the typed form of an event."""
    unit = call.options.workload_times
    target = event.target
    version = "v1" if target.kind == "Pod" else "apps/v1"
    return {
        "involvedObject": {
            "kind": target.kind,
            "name": target.name,
            "namespace": namespace,
            "uid": target.uid,
            "apiVersion": version,
            "resourceVersion": "",
        },
        "reason": event.reason,
        "message": event.message,
        "source": {"component": event.component, "host": ""},
        "lastTimestamp": stamp(event.last_at, unit),
        "type": event.type,
        "firstTimestamp": stamp(event.first_at, unit),
    }
