"""The workloads of a world: created, changed and operated as clients ask, shown as they are."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from airflow_provider_daocloud.sandbox.enterprise import patches
from airflow_provider_daocloud.sandbox.enterprise.controller import Controller, Versions
from airflow_provider_daocloud.sandbox.enterprise.daemon_sets import DaemonSetController
from airflow_provider_daocloud.sandbox.enterprise.deployments import DeploymentController
from airflow_provider_daocloud.sandbox.enterprise.events import Events, Place
from airflow_provider_daocloud.sandbox.enterprise.images import Images
from airflow_provider_daocloud.sandbox.enterprise.objects import (
    RESTARTED_AT,
    InvalidObjectError,
    build,
    check,
    completed,
)
from airflow_provider_daocloud.sandbox.enterprise.pods import Pods
from airflow_provider_daocloud.sandbox.enterprise.shared import rfc3339
from airflow_provider_daocloud.sandbox.enterprise.stateful_sets import StatefulSetController
from airflow_provider_daocloud.sandbox.enterprise.workload import Workload
from airflow_provider_daocloud.sandbox.parts import NotFoundError

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.enterprise.places import Places
    from airflow_provider_daocloud.sandbox.enterprise.shared import Shared

PLURALS = {"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets"}


class ConflictError(ValueError):
    """Somebody else was faster, or there is such an object already."""


class RefusedError(Exception):
    """The workload cannot do this now."""


class Workloads:
    """The workloads by place, kind and name; their pods, images and events.

    :param shared: what the parts of the world share.
    :param places: the clusters and namespaces.
    """

    def __init__(self, shared: Shared, places: Places) -> None:
        self._shared = shared
        self._places = places
        self._versions = Versions()
        self._workloads: dict[tuple[Place, str, str], Workload] = {}
        self.images = Images()
        self.events = Events()
        self.pods = Pods(shared, places, self.images, self.events)
        parts = (shared, self.pods, self.events, self._versions)
        self._controllers: dict[str, Controller] = {
            "Deployment": DeploymentController(*parts),
            "StatefulSet": StatefulSetController(*parts),
            "DaemonSet": DaemonSetController(*parts, places),
        }

    def all(self) -> list[Workload]:
        """Return all workloads."""
        return list(self._workloads.values())

    def of(self, kind: str, cluster: str = "", namespace: str = "") -> list[Workload]:
        """Return the workloads of a kind, of one place or of all."""
        return [
            one
            for one in self._workloads.values()
            if one.kind == kind
            and cluster in ("", one.place.cluster)
            and namespace in ("", one.place.namespace)
        ]

    def find(self, kind: str, cluster: str, namespace: str, name: str) -> Workload:
        """Return one workload.

        :raises NotFoundError: no such cluster, namespace or workload.
        """
        self._places.namespace(cluster, namespace)
        found = self._workloads.get((Place(cluster, namespace), kind, name))
        if found is None:
            raise NotFoundError(f'{PLURALS[kind]}.apps "{name}" not found')
        return found

    def by_uid(self, uid: str) -> Workload | None:
        """Return the workload with this uid."""
        return next((one for one in self._workloads.values() if one.uid == uid), None)

    # As its author, for a world's beginning and for the controls

    def add(
        self,
        cluster: str,
        namespace: str,
        name: str,
        image: str | dict[str, str],
        *,
        kind: str = "Deployment",
        replicas: int = 1,
        **spec: Any,
    ) -> Workload:
        """Create a workload that has been running for long.

        :param image: its image, or the image of each container by its name.
        :param kind: ``Deployment``, ``StatefulSet`` or ``DaemonSet``.
        :param spec: more of its spec.
        :raises NotFoundError: no such cluster or namespace.
        :raises InvalidObjectError: a field that makes no sense.
        :raises ConflictError: there is one already.
        """
        if kind not in PLURALS:
            raise InvalidObjectError(f"kind: {kind!r} is not one of {', '.join(PLURALS)}")
        containers = {name: image} if isinstance(image, str) else image
        value = build(kind, name, containers, replicas, **spec)
        with self._shared.timeline.up_to_date():
            return self.create(kind, cluster, namespace, value, at_once=True)

    def remove(self, workload: Workload) -> None:
        """Remove a workload with its pods."""
        with self._shared.timeline.up_to_date():
            workload.removed = True
            for pod in workload.pods:
                self.pods.delete(pod, self._shared.timeline.now())
            del self._workloads[workload.place, workload.kind, workload.name]

    def delete_pod(self, cluster: str, namespace: str, name: str) -> None:
        """Delete a pod; its controller makes another one.

        :raises NotFoundError: there is no such pod.
        """
        with self._shared.timeline.up_to_date():
            now = self._shared.timeline.now()
            pod = self.pods.find(Place(cluster, namespace), name)
            self.pods.delete(pod, now)
            workload = self.by_uid(pod.owner)
            if workload is not None:
                workload.pods.remove(pod)
                self._controllers[workload.kind].reconcile(workload, now)

    # As calls ask

    def create(
        self,
        kind: str,
        cluster: str,
        namespace: str,
        value: Any,
        *,
        at_once: bool = False,
    ) -> Workload:
        """Create a workload from an object.

        :raises NotFoundError: no such cluster or namespace.
        :raises InvalidObjectError: a field that makes no sense.
        :raises ConflictError: there is one of this name already.
        """
        self._places.namespace(cluster, namespace)
        check(kind, value)
        value = completed(kind, value)
        check(kind, value)
        place, name = Place(cluster, namespace), str(value["metadata"]["name"])
        if (place, kind, name) in self._workloads:
            raise ConflictError(f'{PLURALS[kind]}.apps "{name}" already exists')
        now, uid = self._shared.timeline.now(), self._shared.uid()
        metadata = {
            **value["metadata"],
            "namespace": namespace,
            "uid": uid,
            "generation": 1,
            "resourceVersion": self._versions.next(),
            "creationTimestamp": rfc3339(now),
        }
        value = {**copy.deepcopy(value), "metadata": metadata, "status": {}}
        workload = Workload(kind, place, name, uid, value, now)
        workload.show(value, now)
        self._workloads[place, kind, name] = workload
        if at_once:
            self._controllers[kind].roll_out_at_once(workload, now)
        else:
            self._observe_later(workload, now)
        return workload

    def patch(self, workload: Workload, patch: Any) -> bool:
        """Apply a patch of the world's type; say whether it changed anything.

        :raises PatchError: it cannot be applied.
        :raises InvalidObjectError: what it makes is no valid object.
        :raises ConflictError: it names an old resource version.
        """
        return self.replace(
            workload, patches.apply(self._shared.options.patch_type, workload.object, patch)
        )

    def replace(self, workload: Workload, value: Any) -> bool:
        """Replace an object, as far as clients may; say whether that changed anything.

        :raises InvalidObjectError: it is no valid object.
        :raises ConflictError: it has an old resource version.
        """
        check(workload.kind, value)
        value = completed(workload.kind, value)
        check(workload.kind, value)
        old = workload.object
        wanted, now = value["metadata"], self._shared.timeline.now()
        if wanted["name"] != workload.name:
            raise InvalidObjectError("metadata.name: field is immutable")
        if value["spec"]["selector"] != old["spec"]["selector"]:
            raise InvalidObjectError("spec.selector: field is immutable")
        version = wanted.get("resourceVersion") or old["metadata"]["resourceVersion"]
        if self._shared.options.patch_conflicts and version != old["metadata"]["resourceVersion"]:
            raise ConflictError(
                f'Operation cannot be fulfilled on {PLURALS[workload.kind]}.apps "{workload.name}"'
                ": the object has been modified; please apply your changes to the latest version"
            )
        # The rest of the metadata, and the status, are the cluster's own.
        metadata = dict(old["metadata"])
        metadata |= {name: wanted.get(name) or {} for name in ("labels", "annotations")}
        spec_changed = value["spec"] != old["spec"]
        if not spec_changed and metadata == old["metadata"]:
            return False
        metadata["resourceVersion"] = self._versions.next()
        if spec_changed:
            metadata["generation"] += 1
        made = {**old, "metadata": metadata, "spec": copy.deepcopy(value["spec"])}
        workload.show(made, now)
        if spec_changed:
            self._observe_later(workload, now)
        return True

    def _observe_later(self, workload: Workload, when: float) -> None:
        later = self._shared.after(self._shared.options.observe_seconds, when)
        controller = self._controllers[workload.kind]
        self._shared.timeline.at(later, lambda moment: controller.reconcile(workload, moment))

    def _change(self, workload: Workload, **spec: Any) -> bool:
        metadata = {
            name: value
            for name, value in workload.object["metadata"].items()
            if name != "resourceVersion"
        }
        changed = {**workload.object, "metadata": metadata, "spec": workload.spec | spec}
        return self.replace(workload, changed)

    def scale(self, workload: Workload, replicas: int) -> bool:
        """Give a workload so many replicas; say whether that changed anything."""
        return self._change(workload, replicas=replicas)

    def stop(self, workload: Workload) -> bool:
        """Scale a workload to nothing, and remember what it had."""
        if workload.spec["replicas"] == 0:
            return False
        workload.remembered = workload.spec["replicas"]
        return self.scale(workload, 0)

    def start(self, workload: Workload) -> bool:
        """Give a stopped workload the replicas that it had.

        :raises RefusedError: it was not stopped by a call.
        """
        if workload.remembered is None:
            raise RefusedError("can not start a workload which has no historical replicas")
        if workload.spec["replicas"] != 0:
            return False
        return self.scale(workload, workload.remembered)

    def restart(self, workload: Workload) -> bool:
        """Replace all pods, one after the other."""
        template = copy.deepcopy(workload.spec["template"])
        annotations = template.setdefault("metadata", {}).get("annotations") or {}
        now = rfc3339(self._shared.timeline.now())
        template["metadata"]["annotations"] = annotations | {RESTARTED_AT: now}
        return self._change(workload, template=template)

    def pause(self, workload: Workload, *, paused: bool) -> bool:
        """Stop rollouts of a deployment, or let them go on."""
        if bool(workload.spec.get("paused")) == paused:
            return False
        spec = {name: value for name, value in workload.spec.items() if name != "paused"}
        metadata = dict(workload.object["metadata"])
        if paused:
            spec["paused"] = True
        return self.replace(workload, {**workload.object, "metadata": metadata, "spec": spec})

    def roll_back(self, workload: Workload, number: int) -> bool:
        """Give a workload the template of a former revision.

        :param number: the revision's; 0 for the one before the newest.
        :raises RefusedError: there is no such revision.
        """
        current = workload.current
        former = [one.number for one in workload.revisions if one is not current]
        wanted = number or max(former, default=0)
        for one in workload.revisions:
            if one.number == wanted:
                return self._change(workload, template=copy.deepcopy(one.template))
        raise RefusedError(f"unable to find specified revision {number} in history")
