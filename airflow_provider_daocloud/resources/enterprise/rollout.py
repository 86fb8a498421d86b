"""How far a rollout is: as ``kubectl rollout status`` judges it, from the whole object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from airflow_provider_daocloud.api.enterprise.workloads import Workload


@dataclass(frozen=True, slots=True)
class RolloutStatus:
    """How far a rollout is.

    :param verdict: whether it is done, goes on, or has failed.
    :param state: that in words, as the rest of a sentence that begins with *it is*.
    :param problem: why it failed.
    :param note: what a person should know while it goes on.
    """

    verdict: Literal["succeeded", "pending", "failed"]
    state: str
    problem: str = ""
    note: str = ""


def is_noticed(seen: Workload) -> bool:
    """Return whether the controller of a workload has seen its latest change.

    :param seen: the workload.
    """
    return seen.number("status", "observedGeneration") >= seen.generation


def rollout_status(seen: Workload) -> RolloutStatus:
    """Return how far the rollout of a workload is.

    :param seen: the workload.
    """
    if not is_noticed(seen):
        return RolloutStatus("pending", "not noticed by its controller yet")
    judge = {
        "deployment": _deployment,
        "statefulset": _stateful_set,
        "daemonset": _daemon_set,
    }[seen.kind]
    return judge(seen)


def _deployment(seen: Workload) -> RolloutStatus:
    conditions = _conditions(seen)
    wanted = 1 if seen.replicas is None else seen.replicas
    updated = seen.number("status", "updatedReplicas")
    available = seen.number("status", "availableReplicas")
    old = seen.number("status", "replicas") - updated
    progressing = conditions.get("Progressing", {})
    failure = conditions.get("ReplicaFailure", {})
    why = str(failure.get("message") or "") if failure.get("status") == "True" else ""
    if seen.object["spec"].get("paused"):
        why = "its rollout is paused"
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        problem = (
            f"made no progress in its deadline: {updated} of {wanted} new pods were made, "
            f"{available} pods are available, old ones included"
        )
        return RolloutStatus("failed", "past its deadline", problem + (f"; {why}" if why else ""))
    if updated < wanted:
        return RolloutStatus("pending", f"rolling out, {updated} of {wanted} new pods", note=why)
    if old > 0:
        state = f"rolling out, {old} old pods are still there"
        return RolloutStatus("pending", state, note=why)
    if available < updated:
        state = f"rolling out, {available} of {wanted} new pods are available"
        return RolloutStatus("pending", state, note=why)
    return RolloutStatus("succeeded", _rolled_out(wanted))


def _stateful_set(seen: Workload) -> RolloutStatus:
    wanted = 1 if seen.replicas is None else seen.replicas
    ready = seen.number("status", "readyReplicas")
    updated = seen.number("status", "updatedReplicas")
    partition = seen.number("spec", "updateStrategy", "rollingUpdate", "partition")
    status = seen.object["status"]
    note = _by_hand(seen)
    # Where pods are replaced by hand, the controller never makes the new revision the current one.
    revision_is_new = updated >= wanted if note else _revision_is_new(status)
    if ready < wanted:
        return RolloutStatus("pending", f"rolling out, {ready} of {wanted} pods ready", note=note)
    if partition > 0:
        due = max(wanted - partition, 0)
        if updated < due:
            state = f"rolling out, {updated} of {due} new pods"
            return RolloutStatus("pending", state, note=note)
        return RolloutStatus("succeeded", f"rolled out up to its partition ({partition})")
    if not revision_is_new:
        state = f"rolling out, {updated} of {wanted} new pods"
        return RolloutStatus("pending", state, note=note)
    return RolloutStatus("succeeded", _rolled_out(wanted))


def _revision_is_new(status: Mapping[str, Any]) -> bool:
    return bool(status.get("updateRevision") == status.get("currentRevision"))


def _daemon_set(seen: Workload) -> RolloutStatus:
    wanted = seen.number("status", "desiredNumberScheduled")
    updated = seen.number("status", "updatedNumberScheduled")
    available = seen.number("status", "numberAvailable")
    note = _by_hand(seen)
    if updated < wanted:
        return RolloutStatus("pending", f"rolling out, {updated} of {wanted} new pods", note=note)
    if available < wanted:
        state = f"rolling out, {available} of {wanted} pods are available"
        return RolloutStatus("pending", state, note=note)
    return RolloutStatus("succeeded", _rolled_out(wanted))


def _rolled_out(pods: int) -> str:
    return f"rolled out, {pods} {'pod' if pods == 1 else 'pods'}"


def _by_hand(seen: Workload) -> str:
    strategy = seen.object["spec"].get("updateStrategy")
    if isinstance(strategy, Mapping) and strategy.get("type") == "OnDelete":
        return "its pods are replaced only when somebody deletes them (OnDelete)"
    return ""


def _conditions(seen: Workload) -> dict[str, Mapping[str, Any]]:
    listed = seen.object["status"].get("conditions")
    found = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    return {str(one.get("type")): one for one in found}
