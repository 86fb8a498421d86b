"""The controller of stateful sets: numbered pods, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_daocloud.sandbox.enterprise.controller import Controller, counted

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.enterprise.pods import Pod
    from airflow_provider_daocloud.sandbox.enterprise.workload import Revision, Workload


class StatefulSetController(Controller):
    """Rolls stateful sets out, from the highest number down to their partition."""

    component = "statefulset-controller"

    def _act(self, workload: Workload, revision: Revision, when: float) -> None:
        desired = workload.spec["replicas"]
        numbered = {_number(pod): pod for pod in workload.pods}
        for number in sorted(numbered, reverse=True):
            if number >= desired:
                self._delete(workload, numbered.pop(number), when)
        ordered = workload.spec["podManagementPolicy"] == "OrderedReady"
        for number in range(desired):
            pod = numbered.get(number)
            if pod is None:
                template = self._of_number(workload, revision, number)
                pod = self._create(workload, template, f"{workload.name}-{number}", when)
                numbered[number] = pod
            stays = self._shared.options.stuck_stateful_sets or pod.revision == revision.hash
            if ordered and not pod.ready and stays:
                return
        self._update(workload, revision, numbered, when)

    def _of_number(self, workload: Workload, revision: Revision, number: int) -> Revision:
        """Return the revision of a new pod: below the partition it is the former one."""
        current = workload.with_hash(workload.status.get("currentRevision", "").rpartition("-")[2])
        return current if current and number < self._partition(workload) else revision

    def _partition(self, workload: Workload) -> int:
        rolling = workload.spec["updateStrategy"].get("rollingUpdate", {})
        return int(rolling.get("partition", 0))

    def _update(
        self, workload: Workload, revision: Revision, numbered: dict[int, Pod], when: float
    ) -> None:
        if workload.spec["updateStrategy"].get("type") == "OnDelete":
            return
        for number in sorted(numbered, reverse=True):
            if number < self._partition(workload):
                return
            pod = numbered[number]
            if pod.revision != revision.hash:
                self._delete(workload, pod, when)
                self._create(workload, revision, pod.name, when)
                return
            if not pod.ready:
                return

    def _status(self, workload: Workload, revision: Revision, when: float) -> dict[str, Any]:  # noqa: ARG002
        before = workload.status
        pods, updated = workload.pods, len(workload.of(revision))
        ready = sum(pod.ready for pod in pods)
        current = before.get("currentRevision", revision.name)
        rolls = workload.spec["updateStrategy"].get("type") != "OnDelete"
        if rolls and updated == ready == len(pods) and self._partition(workload) == 0:
            current = revision.name
        of_current = sum(pod.revision == current.rpartition("-")[2] for pod in pods)
        return {
            "observedGeneration": workload.generation,
            "replicas": len(pods),
            **counted(
                readyReplicas=ready,
                availableReplicas=ready,
                currentReplicas=of_current,
                updatedReplicas=updated,
            ),
            "currentRevision": current,
            "updateRevision": revision.name,
            "collisionCount": 0,
        }


def _number(pod: Pod) -> int:
    return int(pod.name.rpartition("-")[2])
