"""Workloads as Kubernetes objects: made, completed with defaults, and checked."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

BY_PLURAL = {"deployments": "Deployment", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet"}
_ROLLING = {"type": "RollingUpdate"}
_MOST_REPLICAS = 10_000
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"


class InvalidObjectError(ValueError):
    """An object that Kubernetes would not take; the text names the field."""


def build(
    kind: str, name: str, containers: dict[str, str], replicas: int = 1, **spec: Any
) -> dict[str, Any]:
    """Return an object as somebody would write it.

    :param containers: the image of each container by its name.
    :param spec: more of its spec.
    """
    labels = {"app": name}
    made: dict[str, Any] = {
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                "containers": [
                    {"name": container, "image": image} for container, image in containers.items()
                ]
            },
        },
    }
    if kind != "DaemonSet":
        made["replicas"] = replicas
    return {"metadata": {"name": name, "labels": labels}, "spec": made | spec}


def completed(kind: str, value: dict[str, Any]) -> dict[str, Any]:
    """Return an object with the defaults that Kubernetes fills in."""
    spec = dict(value["spec"])
    spec.setdefault("revisionHistoryLimit", 10)
    if kind == "Deployment":
        spec.setdefault("replicas", 1)
        spec.setdefault("progressDeadlineSeconds", 600)
        strategy = dict(spec.get("strategy") or _ROLLING)
        if strategy.get("type", "RollingUpdate") == "RollingUpdate":
            rolling = {"maxSurge": "25%", "maxUnavailable": "25%"}
            strategy = {
                "type": "RollingUpdate",
                "rollingUpdate": rolling | (strategy.get("rollingUpdate") or {}),
            }
        spec["strategy"] = strategy
    elif kind == "StatefulSet":
        spec.setdefault("replicas", 1)
        spec.setdefault("serviceName", value["metadata"]["name"])
        spec.setdefault("podManagementPolicy", "OrderedReady")
        spec["updateStrategy"] = _update_strategy(spec, {"partition": 0})
    else:
        spec["updateStrategy"] = _update_strategy(spec, {"maxSurge": 0, "maxUnavailable": 1})
    metadata = {"labels": {}, "annotations": {}, **value["metadata"]}
    return {**value, "apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec}


def _update_strategy(spec: dict[str, Any], rolling: dict[str, Any]) -> dict[str, Any]:
    given = dict(spec.get("updateStrategy") or _ROLLING)
    if given.get("type", "RollingUpdate") != "RollingUpdate":
        return given
    return {
        "type": "RollingUpdate",
        "rollingUpdate": rolling | (given.get("rollingUpdate") or {}),
    }


def check(kind: str, value: Any) -> None:
    """Check an object as far as the controllers rely on it.

    :raises InvalidObjectError: a field is missing or of the wrong kind; it is named.
    """
    metadata = _dict(value, "metadata")
    _require(isinstance(metadata.get("name"), str) and bool(metadata["name"]), "metadata.name")
    for name in ("labels", "annotations"):
        _texts(metadata.get(name), f"metadata.{name}")
    spec = _dict(value, "spec")
    selector = _dict(spec, "selector", "spec.")
    labels = _dict(selector, "matchLabels", "spec.selector.")
    _require(bool(labels), "spec.selector.matchLabels")
    _texts(labels, "spec.selector.matchLabels")
    _check_template(_dict(spec, "template", "spec."), labels)
    for name, low in (("replicas", 0), ("revisionHistoryLimit", 0), ("progressDeadlineSeconds", 1)):
        if name in spec:
            number = spec[name]
            fits = isinstance(number, int) and not isinstance(number, bool)
            _require(fits and low <= number <= _MOST_REPLICAS, f"spec.{name}")
    _require(isinstance(spec.get("paused", False), bool), "spec.paused")
    if kind == "Deployment":
        _check_strategy(spec.get("strategy"), "strategy", ("RollingUpdate", "Recreate"))
    else:
        _check_strategy(spec.get("updateStrategy"), "updateStrategy", ("RollingUpdate", "OnDelete"))


def _check_strategy(strategy: Any, name: str, types: tuple[str, ...]) -> None:
    if strategy is None:
        return
    _require(isinstance(strategy, dict), f"spec.{name}")
    _require(strategy.get("type", types[0]) in types, f"spec.{name}.type")
    rolling = strategy.get("rollingUpdate") or {}
    # A merge that changes the type alone leaves it there: Kubernetes refuses that, too.
    only_rolling = strategy.get("type", "RollingUpdate") == "RollingUpdate" or not rolling
    _require(only_rolling, f"spec.{name}.rollingUpdate")
    _require(isinstance(rolling, dict), f"spec.{name}.rollingUpdate")
    for field in ("maxSurge", "maxUnavailable", "partition"):
        try:
            _require(part_of(rolling.get(field, 0), 100) >= 0, f"spec.{name}.rollingUpdate.{field}")
        except (TypeError, ValueError):
            raise InvalidObjectError(f"spec.{name}.rollingUpdate.{field}: invalid value") from None


def _check_template(template: dict[str, Any], selected: dict[str, str]) -> None:
    metadata = template.get("metadata") or {}
    _require(isinstance(metadata, dict), "spec.template.metadata")
    for name in ("labels", "annotations"):
        _texts(metadata.get(name), f"spec.template.metadata.{name}")
    labels = metadata.get("labels") or {}
    _require(selected.items() <= labels.items(), "spec.template.metadata.labels")
    containers = _dict(template, "spec", "spec.template.").get("containers")
    if not isinstance(containers, list) or not containers:
        raise InvalidObjectError("spec.template.spec.containers: required value")
    names = []
    for container in containers:
        for name in ("name", "image"):
            text = container.get(name) if isinstance(container, dict) else None
            _require(isinstance(text, str) and bool(text), f"spec.template.spec.containers.{name}")
        names.append(container["name"])
    _require(len(set(names)) == len(names), "spec.template.spec.containers.name")


def _dict(value: Any, name: str, path: str = "") -> dict[str, Any]:
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, dict):
        raise InvalidObjectError(f"{path}{name}: required value")
    return found


def _texts(value: Any, name: str) -> None:
    fits = value is None or (
        isinstance(value, dict) and all(isinstance(one, str) for one in value.values())
    )
    _require(fits, name)


def _require(fits: bool, name: str) -> None:
    if not fits:
        raise InvalidObjectError(f"{name}: invalid value")


def part_of(value: Any, whole: int, *, up: bool = False) -> int:
    """Return a number, or a percentage of a whole, rounded down or ``up``."""
    if isinstance(value, str) and value.endswith("%"):
        part = int(value[:-1]) * whole / 100
        return math.ceil(part) if up else math.floor(part)
    return int(value)


def template_hash(template: dict[str, Any]) -> str:
    """Return what tells one template from another, as it stands in the names of replica sets."""
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()
    return "".join("bcdfghjklmnpqrst"[int(digit, 16)] for digit in digest[:10])
