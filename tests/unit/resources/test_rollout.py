"""How far a rollout is: what ``kubectl rollout status`` would say of the same object."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_daocloud.api.enterprise.workloads import Workload
from airflow_provider_daocloud.api.validation import WorkloadKind
from airflow_provider_daocloud.resources.enterprise.rollout import RolloutStatus, rollout_status


def judged(kind: WorkloadKind, spec: Any, status: Any, generation: int = 2) -> RolloutStatus:
    """Judge a workload of which this much is known."""
    found = {
        "metadata": {"name": "web", "namespace": "shop", "generation": generation},
        "spec": {"template": {"spec": {"containers": []}}} | spec,
        "status": {"observedGeneration": 2} | status,
    }
    return rollout_status(Workload.parse(kind, found))


DONE = {"replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}
LATE = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
NO_ROOM = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}
RUNNING = {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}


@pytest.mark.parametrize(
    ("spec", "status", "verdict", "words"),
    [
        ({"replicas": 3}, DONE, "succeeded", "3 pods"),
        ({}, {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}, "succeeded", "1 pod"),
        ({"replicas": 0}, {}, "succeeded", "0 pods"),
        # What a controller does not show is 0.
        ({"replicas": 3}, {}, "pending", "0 of 3 new pods"),
        ({"replicas": 3}, DONE | {"observedGeneration": 1}, "pending", "not noticed"),
        ({"replicas": 3}, DONE | {"updatedReplicas": 2}, "pending", "2 of 3 new pods"),
        ({"replicas": 3}, DONE | {"replicas": 4}, "pending", "1 old pods"),
        ({"replicas": 3}, DONE | {"availableReplicas": 2}, "pending", "2 of 3 new pods are"),
        ({"replicas": 3}, DONE | {"conditions": [RUNNING]}, "succeeded", "3 pods"),
        ({"replicas": 3}, DONE | {"conditions": [LATE]}, "failed", "past its deadline"),
        # A deadline that an earlier generation missed says nothing of this one.
        ({}, {"conditions": [LATE], "observedGeneration": 1}, "pending", "not noticed"),
        ({"replicas": 3}, {"conditions": [NO_ROOM]}, "pending", "0 of 3 new pods"),
        ({"replicas": 3, "paused": True}, {"updatedReplicas": 1}, "pending", "1 of 3 new pods"),
        ({"replicas": 3, "paused": True}, DONE, "succeeded", "3 pods"),
        ({"replicas": 3}, DONE | {"conditions": None}, "succeeded", "3 pods"),
        ({"replicas": 3}, DONE | {"conditions": ["?"]}, "succeeded", "3 pods"),
    ],
)
def test_deployment(spec: Any, status: Any, verdict: str, words: str) -> None:
    found = judged("deployment", spec, status)
    assert (found.verdict, words in found.state) == (verdict, True), found


def test_what_stops_a_deployment_is_told() -> None:
    """While it goes on as a note, and with its deadline as the reason."""
    assert judged("deployment", {}, {"conditions": [NO_ROOM]}).note == "exceeded quota"
    late = judged("deployment", {"replicas": 3}, {"conditions": [LATE, NO_ROOM]})
    assert late.problem.endswith("0 pods are available, old ones included; exceeded quota")


SET = {"readyReplicas": 3, "updatedReplicas": 3, "updateRevision": "b", "currentRevision": "b"}


@pytest.mark.parametrize(
    ("spec", "status", "verdict", "words"),
    [
        ({"replicas": 3}, SET, "succeeded", "3 pods"),
        ({"replicas": 3}, SET | {"observedGeneration": 1}, "pending", "not noticed"),
        ({"replicas": 3}, SET | {"readyReplicas": 2}, "pending", "2 of 3 pods ready"),
        ({"replicas": 3}, SET | {"currentRevision": "a"}, "pending", "3 of 3 new pods"),
        ({"replicas": 0}, {}, "succeeded", "0 pods"),
    ],
)
def test_stateful_set(spec: Any, status: Any, verdict: str, words: str) -> None:
    found = judged("statefulset", spec, status)
    assert (found.verdict, words in found.state) == (verdict, True), found


@pytest.mark.parametrize(
    ("updated", "verdict"), [(0, "pending"), (1, "succeeded"), (3, "succeeded")]
)
def test_stateful_set_with_a_partition(updated: int, verdict: str) -> None:
    """Only the pods from the partition on are replaced; the revisions then differ for good."""
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    status = SET | {"updatedReplicas": updated, "currentRevision": "a"}
    spec = {"replicas": 3, "updateStrategy": strategy}
    assert judged("statefulset", spec, status).verdict == verdict


SCHEDULED = {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3}


@pytest.mark.parametrize(
    ("status", "verdict", "words"),
    [
        (SCHEDULED, "succeeded", "3 pods"),
        (SCHEDULED | {"observedGeneration": 1}, "pending", "not noticed"),
        (SCHEDULED | {"updatedNumberScheduled": 1}, "pending", "1 of 3 new pods"),
        (SCHEDULED | {"numberAvailable": 2}, "pending", "2 of 3 pods are"),
        ({"desiredNumberScheduled": 0}, "succeeded", "0 pods"),
    ],
)
def test_daemon_set(status: Any, verdict: str, words: str) -> None:
    found = judged("daemonset", {}, status)
    assert (found.verdict, words in found.state) == (verdict, True), found


def test_pods_that_somebody_has_deleted() -> None:
    """The controller makes the new revision never the current one: the pods count."""
    spec = {"replicas": 3, "updateStrategy": {"type": "OnDelete"}}
    assert judged("statefulset", spec, SET | {"currentRevision": "a"}).verdict == "succeeded"


def test_a_pause_is_told() -> None:
    assert judged("deployment", {"paused": True}, {}).note == "its rollout is paused"


@pytest.mark.parametrize("kind", ["statefulset", "daemonset"])
def test_pods_that_somebody_must_delete(kind: WorkloadKind) -> None:
    """Nothing happens until then, and that is told instead of a silent wait."""
    status = {"desiredNumberScheduled": 3, "updateRevision": "b", "currentRevision": "a"}
    spec = {"replicas": 3, "updateStrategy": {"type": "OnDelete"}}
    found = judged(kind, spec, status)
    assert found.verdict == "pending"
    assert "OnDelete" in found.note
