"""The controller of deployments: replica sets, surge, unavailability, and a deadline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_daocloud.sandbox.enterprise.controller import (
    Condition,
    Controller,
    condition,
    counted,
)
from airflow_provider_daocloud.sandbox.enterprise.events import Target
from airflow_provider_daocloud.sandbox.enterprise.objects import part_of

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.enterprise.pods import Pod
    from airflow_provider_daocloud.sandbox.enterprise.workload import Revision, Workload


class DeploymentController(Controller):
    """Rolls deployments out, as the controller of Kubernetes does."""

    component = "deployment-controller"

    def _revision(self, workload: Workload, when: float) -> Revision:
        current = workload.current
        if workload.spec.get("paused") and current is not None:
            return current  # a new template waits until the deployment is resumed
        return super()._revision(workload, when)

    def _began(self, workload: Workload, when: float) -> None:
        super()._began(workload, when)
        self._check_deadline_later(workload, when)

    def _check_deadline_later(self, workload: Workload, when: float) -> None:
        deadline = self._shared.after(workload.spec["progressDeadlineSeconds"], when)
        self._shared.timeline.at(deadline, lambda moment: self._check_deadline(workload, moment))

    def _check_deadline(self, workload: Workload, when: float) -> None:
        if workload.rolling and when >= self._deadline(workload):
            self.reconcile(workload, when)

    def _deadline(self, workload: Workload) -> float:
        return self._shared.after(workload.spec["progressDeadlineSeconds"], workload.progress_at)

    def _act(self, workload: Workload, revision: Revision, when: float) -> None:
        desired, strategy = workload.spec["replicas"], workload.spec["strategy"]
        old = [one for one in workload.revisions if one is not revision]
        old.sort(key=lambda one: one.created_at)
        if workload.spec.get("paused") or strategy["type"] == "Recreate":
            if not workload.spec.get("paused"):
                for one in old:
                    self._scale(workload, one, 0, when)
            self._scale(workload, revision, desired, when)
        else:
            rolling = strategy["rollingUpdate"]
            surge = part_of(rolling["maxSurge"], desired, up=True)
            unavailable = part_of(rolling["maxUnavailable"], desired)
            if surge == 0 and unavailable == 0:
                unavailable = 1
            # Down first: what that frees is used at once, since nothing comes back here by itself.
            self._scale_down(workload, revision, old, desired - unavailable, when)
            self._scale_up(workload, revision, old, desired, surge, when)

    def _scale_up(
        self,
        workload: Workload,
        revision: Revision,
        old: list[Revision],
        desired: int,
        surge: int,
        when: float,
    ) -> None:
        if revision.replicas > desired:
            self._scale(workload, revision, desired, when)
        room = desired + surge - revision.replicas - sum(one.replicas for one in old)
        more = min(max(0, room), desired - revision.replicas)
        self._scale(workload, revision, revision.replicas + more, when)

    def _scale_down(
        self,
        workload: Workload,
        revision: Revision,
        old: list[Revision],
        least: int,
        when: float,
    ) -> None:
        total = revision.replicas + sum(one.replicas for one in old)
        missing = revision.replicas - len(_ready(workload.of(revision)))
        spare = total - least - missing
        # Those of the old ones that do not run go first: they serve nobody.
        for one in old:
            broken = one.replicas - len(_ready(workload.of(one)))
            fewer = max(0, min(spare, broken))
            self._scale(workload, one, one.replicas - fewer, when)
            spare -= fewer
        spare = len(_ready(workload.pods)) - least
        for one in old:
            fewer = max(0, min(spare, one.replicas))
            self._scale(workload, one, one.replicas - fewer, when)
            spare -= fewer

    def _scale(self, workload: Workload, revision: Revision, replicas: int, when: float) -> None:
        """Give a replica set so many replicas, and create or delete its pods."""
        if replicas != revision.replicas:
            word = "up" if replicas > revision.replicas else "down"
            message = f"Scaled {word} replica set {revision.name} to {replicas}"
            self._record(workload, workload.target, "ScalingReplicaSet", message, when)
            revision.replicas = replicas
        pods = workload.of(revision)
        pods.sort(key=lambda pod: (pod.ready, pod.node is not None))
        for pod in pods[: max(0, len(pods) - replicas)]:
            self._delete(workload, pod, when)
        for _ in range(replicas - len(pods)):
            name = f"{revision.name}-{self._shared.word(5)}"
            self._create(workload, revision, name, when)

    def _controller_of(self, workload: Workload, revision: Revision) -> tuple[str, str]:  # noqa: ARG002
        return ("ReplicaSet", revision.name)

    def _creator(self, workload: Workload, revision: Revision) -> Target:
        return Target("ReplicaSet", revision.name, revision.uid, workload.uid)

    def _status(self, workload: Workload, revision: Revision, when: float) -> dict[str, Any]:
        before, desired = workload.status, workload.spec["replicas"]
        updated, ready = len(workload.of(revision)), len(_ready(workload.pods))
        counts = counted(
            replicas=len(workload.pods),
            updatedReplicas=updated,
            readyReplicas=ready,
            availableReplicas=ready,
            unavailableReplicas=max(0, desired - ready),
        )
        progressed = (
            updated > before.get("updatedReplicas", 0)
            or ready > before.get("readyReplicas", 0)
            or len(workload.pods) - updated
            < before.get("replicas", 0) - before.get("updatedReplicas", 0)
        )
        resumed = not workload.spec.get("paused") and any(
            one["reason"] == "DeploymentPaused" for one in before.get("conditions", ())
        )
        if workload.rolling and (progressed or resumed):
            workload.progress_at = when
            self._check_deadline_later(workload, when)
        done = updated == desired == len(workload.pods) == ready
        conditions = [
            self._available(workload, ready, desired, when),
            self._progressing(workload, revision, when, done=done, progressed=progressed),
        ]
        if workload.failure:
            conditions.append(
                condition(before, "ReplicaFailure", "True", "FailedCreate", workload.failure, when)
            )
        return {
            "observedGeneration": workload.generation,
            **counts,
            "conditions": conditions,
        }

    def _available(self, workload: Workload, ready: int, desired: int, when: float) -> Condition:
        rolling = workload.spec["strategy"].get("rollingUpdate", {})
        least = desired - part_of(rolling.get("maxUnavailable", 0), desired)
        before = workload.status
        if ready >= least:
            message = "Deployment has minimum availability."
            return condition(before, "Available", "True", "MinimumReplicasAvailable", message, when)
        message = "Deployment does not have minimum availability."
        return condition(before, "Available", "False", "MinimumReplicasUnavailable", message, when)

    def _progressing(
        self,
        workload: Workload,
        revision: Revision,
        when: float,
        *,
        done: bool,
        progressed: bool,
    ) -> Condition:
        before, name = workload.status, revision.name

        def say(value: str, reason: str, message: str) -> Condition:
            return condition(before, "Progressing", value, reason, message, when)

        if workload.spec.get("paused"):
            workload.progress_at = when
            return say("Unknown", "DeploymentPaused", "Deployment is paused")
        if done:
            workload.rolling = False
        if not workload.rolling:
            return say(
                "True",
                "NewReplicaSetAvailable",
                f'ReplicaSet "{name}" has successfully progressed.',
            )
        if when >= self._deadline(workload):
            return say(
                "False",
                "ProgressDeadlineExceeded",
                f'ReplicaSet "{name}" has timed out progressing.',
            )
        if progressed or before:
            return say("True", "ReplicaSetUpdated", f'ReplicaSet "{name}" is progressing.')
        return say("True", "NewReplicaSetCreated", f'Created new replica set "{name}"')


def _ready(pods: list[Pod]) -> list[Pod]:
    return [pod for pod in pods if pod.ready]
