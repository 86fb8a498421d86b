"""Container management (kpanda): deployments, stateful sets, daemon sets, their pods and events."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from airflow_provider_daocloud.api.enterprise.generation import ENTERPRISE
from airflow_provider_daocloud.api.enterprise.paging import paged
from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.api.model import Model
from airflow_provider_daocloud.api.parsing import (
    ShapeError,
    parse_date,
    read_number,
    read_required,
    read_text,
    to_iso,
)
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.response import object_of
from airflow_provider_daocloud.api.validation import WorkloadKind, checked

ROOT = "/apis/kpanda.io/v1alpha1"

# What Kubernetes calls them.
KIND_WORDS = {"deployment": "Deployment", "statefulset": "StatefulSet", "daemonset": "DaemonSet"}

# What a label of Kubernetes' DNS names can be: nothing else may become part of a path.
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class WorkloadRef:
    """What identifies a workload.

    :param cluster: the cluster's name.
    :param namespace: the namespace.
    :param kind: ``deployment``, ``statefulset`` or ``daemonset``.
    :param name: the workload's name.
    """

    cluster: str
    namespace: str
    kind: WorkloadKind
    name: str

    @property
    def path(self) -> str:
        """The path of the workload below that of the product.

        :raises InputError: a part of it is no name of Kubernetes.
        """
        cluster = kubernetes_name("cluster", self.cluster)
        namespace = kubernetes_name("namespace", self.namespace)
        name = kubernetes_name("workload_name", self.name)
        return f"/clusters/{cluster}/namespaces/{namespace}/{self.kind}s/{name}"

    @property
    def place(self) -> str:
        """The path of the namespace that it is in."""
        return self.path.rpartition(f"/{self.kind}s/")[0]

    def __str__(self) -> str:
        return f"{self.cluster}/{self.namespace}/{self.name}"


def kubernetes_name(field_name: str, value: object) -> str:
    """Return a value that is a name of Kubernetes.

    :param field_name: the argument's name, for the error.
    :param value: what was given, after rendering.
    :raises InputError: it is none.
    """
    if value is None:
        raise InputError(
            field_name,
            "is not given, neither to the task nor as a default in the connection's extras.",
        )
    text = checked(field_name, value)
    if len(text) > 253 or ".." in text or not _NAME.fullmatch(text):
        raise InputError(
            field_name, f"{text!r} is no name of Kubernetes: small letters, digits, '-' and '.'."
        )
    return text


@dataclass(frozen=True, slots=True)
class Container(Model):
    """A container of a workload's template."""

    name: str
    image: str


@dataclass(frozen=True, slots=True)
class Workload(Model):
    """A workload, as Kubernetes has it: what is asked of it, and what its controller made of that.

    ``object`` is the whole of it. The others are read from there. ``original`` is the same with
    what may not be shown, to be sent back.
    """

    kind: WorkloadKind
    name: str
    namespace: str | None
    generation: int
    resource_version: str | None
    replicas: int | None
    containers: tuple[Container, ...]
    annotations: Mapping[str, str]
    object: Mapping[str, Any] = field(repr=False)
    original: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, kind: WorkloadKind, data: Mapping[str, Any]) -> Workload:
        """Build a workload from an object of Kubernetes.

        :param kind: what it is.
        :param data: the object.
        :raises ShapeError: it is no such object, or has no status.
        """
        metadata, spec = (_part(data, key) for key in ("metadata", "spec"))
        _part(data, "status")
        template = _part(_part(spec, "template"), "spec")
        listed = template.get("containers")
        if not isinstance(listed, list) or not all(isinstance(one, Mapping) for one in listed):
            raise ShapeError("no list 'containers'")
        generation = read_number(metadata.get("generation"))
        if generation is None:
            raise ShapeError("'metadata.generation' is missing")
        replicas = read_number(spec.get("replicas"))
        return cls(
            kind=kind,
            name=read_required(metadata, "name"),
            namespace=read_text(metadata, "namespace"),
            generation=int(generation),
            resource_version=read_text(metadata, "resourceVersion"),
            replicas=None if replicas is None else int(replicas),
            containers=tuple(
                Container(read_required(one, "name"), read_text(one, "image") or "")
                for one in listed
            ),
            annotations=_texts(metadata.get("annotations")),
            object=data,
        )

    @property
    def images(self) -> dict[str, str]:
        """The image of each container."""
        return {one.name: one.image for one in self.containers}

    def number(self, *path: str) -> int:
        """Return a whole number of the object; one that is missing is 0, as in Kubernetes.

        :param path: the keys that lead to it.
        """
        value: Any = self.object
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        number = read_number(value)
        return 0 if number is None else int(number)

    def as_dict(self) -> dict[str, Any]:
        """Return the workload as JSON-safe data."""
        return {
            "name": self.name,
            "namespace": self.namespace,
            "kind": self.kind,
            "generation": self.generation,
            "replicas": self.replicas,
            "images": self.images,
        }


@dataclass(frozen=True, slots=True)
class Pod(Model):
    """A pod, and what its containers wait for, if they do not run."""

    name: str
    phase: str | None = None
    is_ready: bool = False
    # Container, reason, message.
    waiting: tuple[tuple[str, str, str], ...] = ()
    restarts: int = 0

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Pod:
        """Build a pod from one object of the API."""
        metadata, status = _part(data, "metadata"), _part(data, "status")
        waiting = []
        ready = []
        for one in _list(status, "containerStatuses"):
            states = one.get("state")
            state = states.get("waiting") if isinstance(states, Mapping) else None
            ready.append(one.get("ready") is True)
            if isinstance(state, Mapping) and state.get("reason"):
                texts = (read_text(one, "name"), *(read_text(state, k) for k in _WHY))
                name, reason, message = (text or "" for text in texts)
                waiting.append((name, reason, message))
        return cls(
            name=read_required(metadata, "name"),
            phase=read_text(status, "phase"),
            is_ready=bool(ready) and all(ready),
            waiting=tuple(waiting),
            restarts=int(read_number(status.get("restartCount")) or 0),
        )


@dataclass(frozen=True, slots=True)
class WorkloadEvent(Model):
    """An event of Kubernetes."""

    reason: str | None = None
    message: str | None = None
    type: str | None = None
    last_seen_at: datetime | None = None

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> WorkloadEvent:
        """Build an event from one object of the API."""
        return cls(
            read_text(data, "reason"),
            read_text(data, "message"),
            read_text(data, "type"),
            parse_date(data.get("lastTimestamp")),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the event as JSON-safe data."""
        return {
            "reason": self.reason,
            "message": self.message,
            "type": self.type,
            "last_seen_at": to_iso(self.last_seen_at),
        }


_WHY = ("reason", "message")


def _part(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key)
    if not isinstance(value, Mapping):
        raise ShapeError(f"no object {key!r}")
    return value


def _list(data: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = data.get(key)
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {}
    return {str(name): str(text) for name, text in value.items()}


def _object(kind: WorkloadKind) -> Any:
    def read(data: Mapping[str, Any]) -> Workload:
        text = read_required(data, "data")
        return Workload.parse(kind, _document(text))

    return object_of(read)


def _document(text: str) -> Mapping[str, Any]:
    """Return the object that stands in a text: JSON, or YAML as the documents call it.

    :raises ShapeError: it is neither.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        import yaml  # type: ignore[import-untyped, unused-ignore]  # Airflow brings it; not needed as long as JSON comes

        try:
            document = yaml.safe_load(text)
        except (yaml.YAMLError, RecursionError, ValueError):
            raise ShapeError("neither JSON nor YAML in 'data'") from None
    if not isinstance(document, Mapping):
        raise ShapeError("no object in 'data'")
    return document


def get_workload(ref: WorkloadRef) -> Request[Workload]:
    """``GET …/clusters/{cluster}/namespaces/{namespace}/{kind}s/{name}/json``: all of a workload.

    :param ref: which one.
    """
    path = f"{ROOT}{ref.path}/json"
    return Request(
        f"get_{ref.kind}", "GET", path, _object(ref.kind), keep=_with_original, api=ENTERPRISE
    )


def _with_original(shown: Workload, original: Workload) -> Workload:
    return replace(shown, original=original.object)


def list_workloads(
    cluster: str, namespace: str, kind: WorkloadKind
) -> Request[tuple[Mapping[str, Any], ...]]:
    """``GET …/clusters/{cluster}/namespaces/{namespace}/{kind}s``: as they were sent.

    :param cluster: the cluster's name.
    :param namespace: the namespace.
    :param kind: what is listed.
    """
    place = f"/clusters/{kubernetes_name('cluster', cluster)}"
    place += f"/namespaces/{kubernetes_name('namespace', namespace)}"
    return paged(f"list_{kind}s", f"{ROOT}{place}/{kind}s", _as_sent, repeats=True)


def _as_sent(item: Mapping[str, Any]) -> Mapping[str, Any]:
    return item


def patch_workload(ref: WorkloadRef, patch: Mapping[str, Any]) -> Request[Workload]:
    """``PATCH …/{kind}s/{name}``: returns the workload as it is after the patch.

    :param ref: which one.
    :param patch: what to change. A list in it replaces the whole list, so it must be whole.
    """
    body = {"data": json.dumps(patch)}
    path = f"{ROOT}{ref.path}"
    return Request(f"patch_{ref.kind}", "PATCH", path, _object(ref.kind), body, api=ENTERPRISE)


def act_on_workload(ref: WorkloadRef, action: str) -> Request[str]:
    """``POST …/{kind}s/{name}:start`` or ``:stop``: returns the version of the object.

    :param ref: which one.
    :param action: ``start`` or ``stop``.
    """
    path = f"{ROOT}{ref.path}:{action}"
    return Request(f"{action}_{ref.kind}", "POST", path, _version, api=ENTERPRISE)


def _version(data: Any) -> str:
    # What the answer calls the workload depends on its kind.
    for one in data.values() if isinstance(data, Mapping) else ():
        metadata = one.get("metadata") if isinstance(one, Mapping) else None
        if isinstance(metadata, Mapping) and read_text(metadata, "resourceVersion"):
            return read_required(metadata, "resourceVersion")
    return "unknown"


def list_pods(ref: WorkloadRef) -> Request[tuple[Pod, ...]]:
    """``GET …/pods?kind=…&kindName=…``: the pods of a workload.

    :param ref: which one.
    """
    query = {"kind": KIND_WORDS[ref.kind], "kindName": ref.name}
    return paged("list_pods", f"{ROOT}{ref.place}/pods", Pod.parse, query=query)


def list_events(ref: WorkloadRef, kind: str, name: str) -> Request[tuple[WorkloadEvent, ...]]:
    """``GET …/events?kind=…&kindName=…&type=Warning``: what went wrong with an object.

    :param ref: the workload, for its namespace.
    :param kind: the object's kind, as Kubernetes calls it.
    :param name: its name.
    """
    query = {"kind": kind, "kindName": name, "type": "Warning"}
    return paged("list_events", f"{ROOT}{ref.place}/events", WorkloadEvent.parse, query=query)


def get_pod_log(ref: WorkloadRef, pod: str, container: str = "") -> Request[tuple[str, ...]]:
    """``GET …/pods/{pod}/log``: the lines of a pod's log.

    :param ref: the workload, for its namespace.
    :param pod: the pod's name.
    :param container: of which container; empty for all.
    """
    query = urlencode({"container": container, "page": 1, "pageSize": 500})
    path = f"{ROOT}{ref.place}/pods/{kubernetes_name('pod', pod)}/log?{query}"
    return Request("get_pod_log", "GET", path, object_of(_lines), api=ENTERPRISE)


def _lines(data: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(read_text(one, "log") or "" for one in _list(data, "data"))
