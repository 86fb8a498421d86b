"""The calls of container management on workloads, their revisions, pods, logs and events."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from airflow_provider_daocloud.sandbox.enterprise import kpanda_views as views
from airflow_provider_daocloud.sandbox.enterprise.events import Place
from airflow_provider_daocloud.sandbox.enterprise.objects import BY_PLURAL, InvalidObjectError
from airflow_provider_daocloud.sandbox.enterprise.patches import PatchError
from airflow_provider_daocloud.sandbox.enterprise.shared import rfc3339
from airflow_provider_daocloud.sandbox.enterprise.wire import (
    ABORTED,
    ALREADY_EXISTS,
    FAILED_PRECONDITION,
    Call,
    CallRow,
    Handler,
    Made,
    RefusalError,
    invalid,
    paged,
    whole,
)
from airflow_provider_daocloud.sandbox.enterprise.workload import Workload
from airflow_provider_daocloud.sandbox.enterprise.workloads import ConflictError, RefusedError
from airflow_provider_daocloud.sandbox.enterprise.yaml_text import to_yaml
from airflow_provider_daocloud.sandbox.parts import NotFoundError

_STATES = ("WORKLOAD_STATE_UNSPECIFIED", "Running", "Deleting", "Not_Ready", "Stopped", "Waiting")
_ANSWERS = {"Deployment": "deployment", "StatefulSet": "statefulSet", "DaemonSet": "daemonSet"}


def _place(call: Call) -> Place:
    """Return the place in the path.

    :raises NotFoundError: no such cluster or namespace.
    """
    namespace = call.world.places.namespace(call.params["cluster"], call.params["namespace"])
    return Place(namespace.cluster, namespace.name)


def _find(call: Call, kind: str) -> Workload:
    place = _place(call)
    return call.world.workloads.find(kind, place.cluster, place.namespace, call.params["name"])


# Lists


def _selected(call: Call, metadata: dict[str, Any]) -> bool:
    """Say whether an entry is one that the query asks for, by its name and labels."""
    name = metadata["name"]
    fields = {"metadata.name": name, "metadata.namespace": metadata["namespace"]}
    return (
        call.one("name") in ("", name)
        and call.one("fuzzyName") in name
        and _matches(call.one("labelSelector"), metadata["labels"])
        and _matches(call.one("fieldSelector"), fields)
    )


def _matches(selector: str, having: dict[str, str]) -> bool:
    for part in filter(None, selector.split(",")):
        name, _, value = part.replace("==", "=").partition("=")
        if having.get(name.strip()) != value.strip():
            return False
    return True


def _sorted(call: Call, items: list[Any]) -> list[Any]:
    def created_at(one: Any) -> tuple[int, str]:
        return int(one["metadata"]["creationTimestamp"]), one["metadata"]["name"]

    reverse = call.word("sortDir", ("asc", "desc"), "asc") == "desc"
    by_name = call.one("sortBy") == "field_name"
    return sorted(
        items, key=(lambda one: one["metadata"]["name"]) if by_name else created_at, reverse=reverse
    )


def _listed(call: Call, workloads: list[Workload]) -> Made:
    phase = call.word("phase", _STATES, _STATES[0])
    lag = call.options.list_lag
    items = [
        shown
        for shown in (views.workload_json(call, one, lag) for one in workloads)
        if _selected(call, shown["metadata"]) and phase in (_STATES[0], shown["status"]["state"])
    ]
    return Made(paged(call, _sorted(call, items)), f"{len(items)} of {len(workloads)}")


def _list(kind: str) -> Handler:
    def handler(call: Call) -> Made:
        place = _place(call)
        return _listed(call, call.world.workloads.of(kind, place.cluster, place.namespace))

    return handler


def _list_cluster_deployments(call: Call) -> Made:
    cluster = call.world.places.cluster(call.params["cluster"]).name
    return _listed(call, call.world.workloads.of("Deployment", cluster))


def _list_all_deployments(call: Call) -> Made:
    clusters, namespace = call.query.get("cluster", []), call.one("namespace")
    return _listed(
        call,
        [
            one
            for one in call.world.workloads.of("Deployment", namespace=namespace)
            if not clusters or one.place.cluster in clusters
        ],
    )


# One workload


def _get(kind: str) -> Handler:
    def handler(call: Call) -> Made:
        shown = views.workload_json(call, _find(call, kind), call.options.read_lag)
        return Made(shown, f"{shown['metadata']['name']} {shown['status']['state']}")

    return handler


def _text(call: Call, value: dict[str, Any]) -> dict[str, str]:
    if not call.options.object_status:
        value = {name: one for name, one in value.items() if name != "status"}
    yaml = call.options.object_text == "yaml"
    return {"data": to_yaml(value) if yaml else json.dumps(value, ensure_ascii=False)}


def _get_object(call: Call) -> Made:
    call.flag("stable")
    plural, name = call.params["kind"], call.params["name"]
    place, workloads = _place(call), call.world.workloads
    if plural == "pods":
        return Made(_text(call, views.pod_object(workloads.pods.find(place, name))))
    if plural == "replicasets":
        for workload in workloads.of("Deployment", place.cluster, place.namespace):
            for revision in workload.revisions:
                if revision.name == name:
                    return Made(_text(call, views.revision_object(workload, revision)))
        raise NotFoundError(f'replicasets.apps "{name}" not found')
    workload = _find(call, _kind(call))
    value = workload.as_of(call.world.now() - call.options.read_lag)
    return Made(_text(call, value), f"{name} generation {value['metadata']['generation']}")


def _kind(call: Call) -> str:
    plural = call.params["kind"]
    if plural not in BY_PLURAL:
        raise NotFoundError(f"the server could not find the requested resource: {plural}")
    return BY_PLURAL[plural]


def _data(call: Call) -> Any:
    """Return the object or the patch that stands as text in the body.

    :raises RefusalError: there is none, or it is no JSON.
    """
    text = call.field("data", str, "")
    if not text:
        raise invalid("data: required value")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise invalid("data: cannot be read as JSON") from None


def _refusing(operate: Callable[[], bool]) -> bool:
    """Do something to a workload.

    :raises RefusalError: it cannot be done.
    """
    try:
        return operate()
    except (PatchError, InvalidObjectError) as error:
        raise invalid(str(error)) from None
    except ConflictError as error:
        raise RefusalError(ABORTED, str(error)) from None
    except RefusedError as error:
        raise RefusalError(FAILED_PRECONDITION, str(error)) from None


def _acted(workload: Workload, value: Any, verb: str, *, changed: bool) -> Made:
    generation = str(workload.generation)
    note = f"{verb} {workload.name}: generation {generation}"
    return Made(value, note if changed else f"{note}, no change", acted=changed, id=generation)


def _patch(kind: str) -> Handler:
    def handler(call: Call) -> Made:
        workload, patch = _find(call, kind), _data(call)
        changed = _refusing(lambda: call.world.workloads.patch(workload, patch))
        return _acted(workload, _text(call, workload.object), "patch", changed=changed)

    return handler


def _replace_object(call: Call) -> Made:
    workload, value = _find(call, _kind(call)), _data(call)
    changed = _refusing(lambda: call.world.workloads.replace(workload, value))
    return _acted(workload, _text(call, workload.object), "replace", changed=changed)


def _create_object(call: Call) -> Made:
    place, value = _place(call), _data(call)
    try:
        workload = call.world.workloads.create(
            _kind(call), place.cluster, place.namespace, copy.deepcopy(value)
        )
    except InvalidObjectError as error:
        raise invalid(str(error)) from None
    except ConflictError as error:
        raise RefusalError(ALREADY_EXISTS, str(error)) from None
    return _acted(workload, _text(call, workload.object), "create", changed=True)


def _operate(verb: str, kind: str) -> Handler:
    def handler(call: Call) -> Made:
        workload, workloads = _find(call, kind), call.world.workloads
        match verb:
            case "rollback":
                number = whole(str(call.body.get("revision", "0")), "revision")
                changed = _refusing(lambda: workloads.roll_back(workload, number))
            case "pause" | "resume":
                paused = verb == "pause"
                changed = _refusing(lambda: workloads.pause(workload, paused=paused))
            case _:
                operate: Callable[[Workload], bool] = getattr(workloads, verb)
                changed = _refusing(lambda: operate(workload))
        shown = {_ANSWERS[kind]: views.workload_json(call, workload, 0.0)}
        return _acted(workload, shown, verb, changed=changed)

    return handler


# What belongs to it


def _list_replica_sets(call: Call) -> Made:
    place, name = _place(call), call.one("kindName")
    items = [
        shown
        for workload in call.world.workloads.of("Deployment", place.cluster, place.namespace)
        if name in ("", workload.name)
        for shown in (views.revision_json(call, workload, one) for one in workload.revisions)
        if _selected(call, shown["metadata"])
    ]
    return Made(paged(call, _sorted(call, items)), f"{len(items)} replica sets")


def _get_replica_set(call: Call) -> Made:
    place, name = _place(call), call.params["name"]
    for workload in call.world.workloads.of("Deployment", place.cluster, place.namespace):
        for revision in workload.revisions:
            if revision.name == name:
                return Made(views.revision_json(call, workload, revision))
    raise NotFoundError(f'replicasets.apps "{name}" not found')


def _list_controller_revisions(call: Call) -> Made:
    place, name = _place(call), call.one("kindName")
    kind = call.one("kind", "KIND_UNSPECIFIED")
    items = [
        views.controller_revision_json(call, workload, revision)
        for one in ("StatefulSet", "DaemonSet")
        if kind in ("KIND_UNSPECIFIED", one)
        for workload in call.world.workloads.of(one, place.cluster, place.namespace)
        if name in ("", workload.name)
        for revision in workload.revisions
    ]
    return Made(paged(call, _sorted(call, items)), f"{len(items)} revisions")


def _list_pods(call: Call) -> Made:
    place, kind, name = _place(call), call.one("kind", "KIND_UNSPECIFIED"), call.one("kindName")
    phase = call.one("phase", "PHASE_UNSPECIFIED")
    pods = call.world.workloads.pods.of(place)
    if kind in BY_PLURAL.values():
        owners = {
            one.uid
            for one in call.world.workloads.of(kind, place.cluster, place.namespace)
            if name in ("", one.name)
        }
        pods = [pod for pod in pods if pod.owner in owners]
    elif kind == "ReplicaSet":
        pods = [pod for pod in pods if pod.controller == (kind, name)]
    elif kind != "KIND_UNSPECIFIED":
        pods = []
    items = [
        shown
        for shown in (views.pod_json(call, pod) for pod in pods)
        if _selected(call, shown["metadata"])
        and phase in ("PHASE_UNSPECIFIED", shown["status"]["phase"])
    ]
    return Made(paged(call, _sorted(call, items)), f"{len(items)} pods")


def _get_pod(call: Call) -> Made:
    return Made(views.pod_json(call, call.world.workloads.pods.find(_place(call), _name(call))))


def _name(call: Call) -> str:
    return call.params["name"]


def _list_containers(call: Call) -> Made:
    pod = call.world.workloads.pods.find(_place(call), _name(call))
    return Made(paged(call, views.containers_json(call, pod)))


def _pod_log(call: Call) -> Made:
    pod = call.world.workloads.pods.find(_place(call), _name(call))
    container, word = call.one("container"), call.one("logSearch")
    lines = [
        {"log": line.text, "timeStamp": rfc3339(line.at), "labels": {"container": line.container}}
        for line in pod.log
        if container in ("", line.container) and word in line.text
    ]
    page = paged(call, lines, default=100)
    return Made({"total": len(lines), "data": page["items"]}, f"{len(lines)} lines of {pod.name}")


def _list_events(call: Call) -> Made:
    place, kind, name = _place(call), call.one("kind", "KIND_UNSPECIFIED"), call.one("kindName")
    types = call.query.get("type", [])
    owner = None
    if call.options.events_of == "owns" and kind in BY_PLURAL.values():
        owner = call.world.workloads.find(kind, place.cluster, place.namespace, name).uid
    items = [
        views.event_json(call, event, place.namespace)
        for event in call.world.workloads.events.of(place)
        if (not types or event.type in types)
        and (
            event.target.owner == owner
            if owner
            else kind in ("KIND_UNSPECIFIED", event.target.kind) and name in ("", event.target.name)
        )
    ]
    if call.word("sortDir", ("asc", "desc"), "asc") == "desc":
        items.reverse()
    return Made(paged(call, items), f"{len(items)} events")


_K = "apis/kpanda.io/v1alpha1"
_N = f"{_K}/clusters/{{cluster}}/namespaces/{{namespace}}"


def _calls_of(plural: str, word: str, verbs: tuple[str, ...]) -> tuple[CallRow, ...]:
    kind, one = BY_PLURAL[plural], f"{_N}/{plural}/{{name}}"
    return (
        (f"list_{word}s", "GET", f"{_N}/{plural}", _list(kind)),
        (f"get_{word}", "GET", one, _get(kind)),
        (f"patch_{word}", "PATCH", one, _patch(kind)),
        *((f"{verb}_{word}", "POST", f"{one}:{verb}", _operate(verb, kind)) for verb in verbs),
    )


_ALL_VERBS = ("start", "stop", "restart", "rollback", "pause", "resume")
CALLS: tuple[CallRow, ...] = (
    *_calls_of("deployments", "deployment", _ALL_VERBS),
    *_calls_of("statefulsets", "stateful_set", _ALL_VERBS[:4]),
    *_calls_of("daemonsets", "daemon_set", ("restart", "rollback")),
    (
        "list_cluster_deployments",
        "GET",
        f"{_K}/clusters/{{cluster}}/deployments",
        _list_cluster_deployments,
    ),
    ("list_all_deployments", "GET", f"{_K}/asl/deployments", _list_all_deployments),
    ("list_replica_sets", "GET", f"{_N}/replicasets", _list_replica_sets),
    ("get_replica_set", "GET", f"{_N}/replicasets/{{name}}", _get_replica_set),
    (
        "list_controller_revisions",
        "GET",
        f"{_N}/controllerrevisions",
        _list_controller_revisions,
    ),
    ("list_pods", "GET", f"{_N}/pods", _list_pods),
    ("get_pod", "GET", f"{_N}/pods/{{name}}", _get_pod),
    ("list_containers", "GET", f"{_N}/pods/{{name}}/containers", _list_containers),
    ("get_pod_log", "GET", f"{_N}/pods/{{name}}/log", _pod_log),
    ("list_events", "GET", f"{_N}/events", _list_events),
    ("get_object", "GET", f"{_N}/{{kind}}/{{name}}/json", _get_object),
    ("replace_object", "PUT", f"{_N}/{{kind}}/{{name}}/json", _replace_object),
    ("create_object", "POST", f"{_N}/{{kind}}/json", _create_object),
)
