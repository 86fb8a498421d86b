"""What the controllers of the three kinds of workloads have in common."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from airflow_provider_daocloud.sandbox.enterprise.objects import template_hash
from airflow_provider_daocloud.sandbox.enterprise.pods import Pod, QuotaError
from airflow_provider_daocloud.sandbox.enterprise.shared import rfc3339
from airflow_provider_daocloud.sandbox.enterprise.workload import Revision, Workload

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.enterprise.events import Events, Target
    from airflow_provider_daocloud.sandbox.enterprise.pods import Pods
    from airflow_provider_daocloud.sandbox.enterprise.shared import Shared

Condition = dict[str, Any]


class Versions:
    """Counts resource versions, one sequence for a world."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1001)

    def next(self) -> str:
        """Return the next resource version."""
        return str(next(self._numbers))


class Controller(ABC):
    """Brings the pods of workloads to what their objects ask for.

    :param shared: what the parts of the world share.
    :param pods: where pods are created and deleted.
    :param events: where it is recorded.
    :param versions: the world's resource versions.
    """

    component: str

    def __init__(self, shared: Shared, pods: Pods, events: Events, versions: Versions) -> None:
        self._shared = shared
        self._pods = pods
        self._events = events
        self._versions = versions
        self._at_once = False

    def roll_out_at_once(self, workload: Workload, when: float) -> None:
        """Make all pods of a workload, ready at once, as if it had been there for long."""
        self._at_once = True
        try:
            self.reconcile(workload, when)
            for _ in range(len(workload.pods) + 1):
                self.reconcile(workload, when)
        finally:
            self._at_once = False

    def reconcile(self, workload: Workload, when: float) -> None:
        """Compare, act, and show what came of it. Safe to call at any time."""
        if workload.removed:
            return
        workload.failure = ""
        revision = self._revision(workload, when)
        try:
            self._act(workload, revision, when)
        except QuotaError as error:
            workload.failure = str(error)
            self._refused(workload, revision, when)
        self._show(workload, self._status(workload, revision, when), when)

    @abstractmethod
    def _act(self, workload: Workload, revision: Revision, when: float) -> None:
        """Create and delete pods."""

    @abstractmethod
    def _status(self, workload: Workload, revision: Revision, when: float) -> dict[str, Any]:
        """Return its new status."""

    def _revision(self, workload: Workload, when: float) -> Revision:
        """Return the revision that the pods are to have; make it, if the template is new."""
        digest = template_hash(workload.spec["template"])
        found = workload.with_hash(digest)
        number = max((one.number for one in workload.revisions), default=0) + 1
        if found is None:
            found = Revision(
                f"{workload.name}-{digest}",
                digest,
                number,
                workload.spec["template"],
                when,
                self._shared.uid(),
            )
            workload.revisions.append(found)
        elif digest != workload.current_hash and self._shared.options.rollback_renumbers:
            found.number = number
        if digest != workload.current_hash:
            workload.current_hash = digest
            self._began(workload, when)
        self._forget(workload, found)
        return found

    def _began(self, workload: Workload, when: float) -> None:
        """Note that a rollout has begun."""
        workload.rolling, workload.progress_at = True, when

    def _forget(self, workload: Workload, current: Revision) -> None:
        """Forget the oldest revisions, beyond the limit of its history."""
        used = {pod.revision for pod in workload.pods}
        old = sorted(
            (
                one
                for one in workload.revisions
                if one is not current and one.hash not in used and one.replicas == 0
            ),
            key=lambda one: one.number,
        )
        limit = workload.spec["revisionHistoryLimit"]
        for one in old[: max(0, len(old) - limit)]:
            workload.revisions.remove(one)

    def _create(
        self, workload: Workload, revision: Revision, name: str, when: float, **where: Any
    ) -> Pod:
        pod = self._pods.create(
            name,
            workload.place,
            workload.uid,
            self._controller_of(workload, revision),
            revision.hash,
            revision.template,
            when,
            lambda moment: self.reconcile(workload, moment),
            at_once=self._at_once,
            **where,
        )
        workload.pods.append(pod)
        target = self._creator(workload, revision)
        self._record(workload, target, "SuccessfulCreate", f"Created pod: {name}", when)
        return pod

    def _delete(self, workload: Workload, pod: Pod, when: float) -> None:
        workload.pods.remove(pod)
        self._pods.delete(pod, when)
        revision = workload.with_hash(pod.revision)
        target = self._creator(workload, revision) if revision else workload.target
        self._record(workload, target, "SuccessfulDelete", f"Deleted pod: {pod.name}", when)

    def _controller_of(self, workload: Workload, revision: Revision) -> tuple[str, str]:  # noqa: ARG002
        return (workload.kind, workload.name)

    def _creator(self, workload: Workload, revision: Revision) -> Target:  # noqa: ARG002
        return workload.target

    def _refused(self, workload: Workload, revision: Revision, when: float) -> None:
        target = self._creator(workload, revision)
        message = f"Error creating: {workload.failure}"
        self._record(workload, target, "FailedCreate", message, when, warning=True)
        later = self._shared.after(self._shared.options.retry_seconds, when)
        self._shared.timeline.at(later, lambda moment: self._retry(workload, moment))

    def _retry(self, workload: Workload, when: float) -> None:
        if workload.failure:
            self.reconcile(workload, when)

    def _record(
        self,
        workload: Workload,
        target: Target,
        reason: str,
        message: str,
        when: float,
        *,
        warning: bool = False,
    ) -> None:
        self._events.record(
            workload.place,
            target,
            reason,
            message,
            when,
            warning=warning,
            component=self.component,
        )

    def _show(self, workload: Workload, status: dict[str, Any], when: float) -> None:
        if status == workload.status:
            return
        metadata = workload.object["metadata"] | {"resourceVersion": self._versions.next()}
        current = workload.current
        if workload.kind == "Deployment" and current is not None:
            annotations = {"deployment.kubernetes.io/revision": str(current.number)}
            metadata["annotations"] = metadata["annotations"] | annotations
        workload.show({**workload.object, "metadata": metadata, "status": status}, when)


def condition(
    status: dict[str, Any], kind: str, value: str, reason: str, message: str, when: float
) -> Condition:
    """Return a condition; one that says the same as before keeps its dates."""
    now = rfc3339(when)
    made = {"type": kind, "status": value, "reason": reason, "message": message}
    for old in status.get("conditions", ()):
        if old["type"] == kind:
            same = {name: old.get(name) for name in made} == made
            updated = old["lastUpdateTime"] if same else now
            moved = old["lastTransitionTime"] if old["status"] == value else now
            return {**made, "lastUpdateTime": updated, "lastTransitionTime": moved}
    return {**made, "lastUpdateTime": now, "lastTransitionTime": now}


def counted(**counts: int) -> dict[str, int]:
    """Return counts as Kubernetes shows them: zeros are left out."""
    return {name: count for name, count in counts.items() if count}
