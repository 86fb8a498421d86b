"""The controller of daemon sets: one pod on each node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_daocloud.sandbox.enterprise.controller import Controller, Versions, counted
from airflow_provider_daocloud.sandbox.enterprise.objects import part_of

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.enterprise.events import Events
    from airflow_provider_daocloud.sandbox.enterprise.places import Places
    from airflow_provider_daocloud.sandbox.enterprise.pods import Pods
    from airflow_provider_daocloud.sandbox.enterprise.shared import Shared
    from airflow_provider_daocloud.sandbox.enterprise.workload import Revision, Workload


class DaemonSetController(Controller):
    """Rolls daemon sets out, a few nodes at a time.

    :param places: the clusters with their nodes.
    """

    component = "daemonset-controller"

    def __init__(
        self, shared: Shared, pods: Pods, events: Events, versions: Versions, places: Places
    ) -> None:
        super().__init__(shared, pods, events, versions)
        self._places = places

    def _act(self, workload: Workload, revision: Revision, when: float) -> None:
        nodes = self._places.cluster(workload.place.cluster).nodes
        self._fill(workload, revision, nodes, when)
        strategy = workload.spec["updateStrategy"]
        if strategy.get("type") == "OnDelete":
            return
        old = [pod for pod in workload.pods if pod.revision != revision.hash]
        old.sort(key=lambda pod: pod.ready)
        most = max(1, part_of(strategy["rollingUpdate"]["maxUnavailable"], len(nodes), up=True))
        unready = sum(not pod.ready for pod in workload.pods)
        for pod in old:
            if pod.ready:
                if unready >= most:
                    break
                unready += 1
            self._delete(workload, pod, when)
        self._fill(workload, revision, nodes, when)

    def _fill(self, workload: Workload, revision: Revision, nodes: list[str], when: float) -> None:
        having = {pod.wanted_node for pod in workload.pods}
        for node in [node for node in nodes if node not in having]:
            name = f"{workload.name}-{self._shared.word(5)}"
            self._create(workload, revision, name, when, node=node)

    def _status(self, workload: Workload, revision: Revision, when: float) -> dict[str, Any]:  # noqa: ARG002
        nodes = len(self._places.cluster(workload.place.cluster).nodes)
        ready = sum(pod.ready for pod in workload.pods)
        return {
            "observedGeneration": workload.generation,
            "currentNumberScheduled": len(workload.pods),
            "desiredNumberScheduled": nodes,
            "numberMisscheduled": 0,
            "numberReady": ready,
            **counted(
                updatedNumberScheduled=len(workload.of(revision)),
                numberAvailable=ready,
                numberUnavailable=nodes - ready,
            ),
        }
