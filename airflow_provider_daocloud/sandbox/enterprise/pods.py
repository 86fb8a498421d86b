"""Pods: created, scheduled on a node, their images pulled, their containers run, until deleted.

What a scheduler and a kubelet do, over the world's timeline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_daocloud.sandbox.enterprise.events import Place, Target
from airflow_provider_daocloud.sandbox.parts import NotFoundError

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.enterprise.events import Events
    from airflow_provider_daocloud.sandbox.enterprise.images import ImagePlan, Images
    from airflow_provider_daocloud.sandbox.enterprise.places import Places
    from airflow_provider_daocloud.sandbox.enterprise.shared import Shared

_LONGEST_BACKOFF = 300.0
_LOG_KEPT = 1000


class QuotaError(Exception):
    """The namespace's quota allows no further pod."""


@dataclass
class Container:
    """One container of a pod.

    :param reason: why it waits, or ended; empty while it runs.
    """

    name: str
    image: str
    state: str = "waiting"
    reason: str = "ContainerCreating"
    message: str = ""
    ready: bool = False
    restarts: int = 0
    started_at: float | None = None
    ended_at: float | None = None


@dataclass(frozen=True)
class LogLine:
    """A line that a container wrote."""

    at: float
    container: str
    text: str


@dataclass(eq=False)
class Pod:
    """A pod.

    :param owner: the uid of the workload that it belongs to.
    :param controller: kind and name of what made it: a replica set, a stateful set, a daemon set.
    :param revision: the revision of the template that it was made from.
    :param wanted_node: the node that it must be on.
    :param changed: called with the moment when its readiness has changed.
    """

    name: str
    uid: str
    place: Place
    owner: str
    controller: tuple[str, str]
    revision: str
    template: dict[str, Any]
    created_at: float
    changed: Callable[[float], object] = field(repr=False)
    wanted_node: str | None = None
    node: str | None = None
    containers: list[Container] = field(default_factory=list)
    log: list[LogLine] = field(default_factory=list)
    gone: bool = False

    @property
    def ready(self) -> bool:
        """Whether all its containers are."""
        return bool(self.containers) and all(one.ready for one in self.containers)

    @property
    def phase(self) -> str:
        """``Pending`` until all its containers have been started, then ``Running``."""
        started = all(one.started_at is not None for one in self.containers)
        return "Running" if self.node and started else "Pending"

    @property
    def target(self) -> Target:
        """What its events are about."""
        return Target("Pod", self.name, self.uid, self.owner)


class Pods:
    """The pods of all namespaces, by place and name.

    :param shared: what the parts of the world share.
    :param places: the clusters with their nodes, the namespaces with their quotas.
    :param images: what becomes of containers.
    :param events: where it is recorded.
    """

    def __init__(self, shared: Shared, places: Places, images: Images, events: Events) -> None:
        self._shared = shared
        self._places = places
        self._images = images
        self._events = events
        self._by_place: dict[Place, dict[str, Pod]] = {}
        self._unscheduled: list[Pod] = []

    def of(self, place: Place) -> list[Pod]:
        """Return the pods of a namespace, the oldest first."""
        return list(self._by_place.get(place, {}).values())

    def find(self, place: Place, name: str) -> Pod:
        """Return one pod.

        :raises NotFoundError: there is none.
        """
        pod = self._by_place.get(place, {}).get(name)
        if pod is None:
            raise NotFoundError(f'pods "{name}" not found')
        return pod

    def create(
        self,
        name: str,
        place: Place,
        owner: str,
        controller: tuple[str, str],
        revision: str,
        template: dict[str, Any],
        when: float,
        changed: Callable[[float], object],
        *,
        node: str | None = None,
        at_once: bool = False,
    ) -> Pod:
        """Create a pod.

        :param node: the node that it must be on; by default any that has room.
        :param at_once: it is ready at once.
        :raises QuotaError: the namespace allows no further one.
        """
        quota = self._places.namespace(place.cluster, place.namespace).pod_quota
        used = len(self._by_place.get(place, ()))
        if quota is not None and used >= quota:
            raise QuotaError(
                f'pods "{name}" is forbidden: exceeded quota: pods, requested: pods=1, '
                f"used: pods={used}, limited: pods={quota}"
            )
        pod = Pod(
            name,
            self._shared.uid(),
            place,
            owner,
            controller,
            revision,
            template,
            when,
            changed,
            wanted_node=node,
        )
        pod.containers = [
            Container(one["name"], one["image"]) for one in template["spec"]["containers"]
        ]
        self._by_place.setdefault(place, {})[name] = pod
        if not self._schedule(pod, when, at_once=at_once):
            self._unscheduled.append(pod)
        return pod

    def delete(self, pod: Pod, when: float) -> None:
        """Delete a pod; one that waits for its room gets it."""
        if pod.gone:
            return
        pod.gone = True
        self._by_place[pod.place].pop(pod.name, None)
        self._events.record(
            pod.place, pod.target, "Killing", f"Stopping container {pod.containers[0].name}", when
        )
        self.schedule_waiting(when)

    def schedule_waiting(self, when: float) -> None:
        """Give those pods that wait for room a node, if there is room now."""
        waiting, self._unscheduled = self._unscheduled, []
        for pod in waiting:
            if not pod.gone and not self._schedule(pod, when):
                self._unscheduled.append(pod)

    def _schedule(self, pod: Pod, when: float, *, at_once: bool = False) -> bool:
        cluster = self._places.cluster(pod.place.cluster)
        nodes, running = cluster.nodes, self._on_nodes(cluster.name)
        full = cluster.pod_capacity is not None and sum(running.values()) >= cluster.pod_capacity
        if full or not nodes:
            message = f"0/{len(nodes)} nodes are available: {len(nodes)} Too many pods."
            self._events.record(
                pod.place,
                pod.target,
                "FailedScheduling",
                message,
                when,
                warning=True,
                component="default-scheduler",
            )
            return False
        pod.node = pod.wanted_node or min(nodes, key=lambda name: running.get(name, 0))
        message = f"Successfully assigned {pod.place.namespace}/{pod.name} to {pod.node}"
        self._events.record(
            pod.place, pod.target, "Scheduled", message, when, component="default-scheduler"
        )
        for container in pod.containers:
            self._pull(pod, container, when, at_once=at_once)
        return True

    def _on_nodes(self, cluster: str) -> dict[str, int]:
        running: dict[str, int] = {}
        for place, pods in self._by_place.items():
            if place.cluster == cluster:
                for pod in pods.values():
                    if pod.node is not None:
                        running[pod.node] = running.get(pod.node, 0) + 1
        return running

    def _pull(
        self, pod: Pod, container: Container, when: float, *, tries: int = 0, at_once: bool = False
    ) -> None:
        plan = self._images.plan_for(container.image)
        if at_once:
            # Quietly: its controller is about to see it.
            self._run(pod, container, plan, when, quietly=True)
            return
        seconds = self._shared.options.pod_seconds if plan.seconds is None else plan.seconds
        later = self._shared.after(seconds / 2 if plan.outcome == "missing" else seconds, when)

        def pulled(moment: float) -> None:
            if pod.gone:
                return
            # Once more: somebody may have pushed the image meanwhile.
            plan = self._images.plan_for(container.image)
            if plan.outcome == "missing":
                self._missing(pod, container, moment, tries)
            else:
                self._run(pod, container, plan, moment)

        self._shared.timeline.at(later, pulled)

    def _missing(self, pod: Pod, container: Container, when: float, tries: int) -> None:
        image = container.image
        message = f'Failed to pull image "{image}": manifest for {image} not found'
        container.reason, container.message = ("ErrImagePull", message)
        self._events.record(pod.place, pod.target, "Failed", message, when, warning=True)

        def back_off(moment: float) -> None:
            if not pod.gone and container.reason == "ErrImagePull":
                container.reason = "ImagePullBackOff"
                container.message = f'Back-off pulling image "{image}"'
                self._events.record(pod.place, pod.target, "BackOff", container.message, moment)

        wait = self._backoff(tries)
        self._shared.timeline.at(self._shared.after(wait / 4, when), back_off)
        self._shared.timeline.at(
            self._shared.after(wait, when),
            lambda moment: (
                None if pod.gone else self._pull(pod, container, moment, tries=tries + 1)
            ),
        )

    def _run(
        self,
        pod: Pod,
        container: Container,
        plan: ImagePlan,
        when: float,
        *,
        quietly: bool = False,
    ) -> None:
        container.state, container.reason, container.message = "running", "", ""
        container.started_at, container.ended_at = when, None
        message = f"Started container {container.name}"
        self._events.record(pod.place, pod.target, "Started", message, when)
        pod.log += [LogLine(when, container.name, text) for text in plan.log]
        del pod.log[:-_LOG_KEPT]
        if plan.outcome == "crashes":
            self._crash(pod, container, when)
        elif plan.outcome == "unready":
            message = "Readiness probe failed: HTTP probe failed with statuscode: 503"
            self._events.record(pod.place, pod.target, "Unhealthy", message, when, warning=True)
        else:
            container.ready = True
            if pod.ready and not quietly:
                pod.changed(when)

    def _crash(self, pod: Pod, container: Container, when: float) -> None:
        container.state, container.ended_at = "waiting", when
        container.reason = "CrashLoopBackOff"
        wait = self._backoff(container.restarts)
        container.message = f"back-off {wait:g}s restarting failed container={container.name}"
        message = f"Back-off restarting failed container {container.name} in pod {pod.name}"
        self._events.record(pod.place, pod.target, "BackOff", message, when, warning=True)

        def again(moment: float) -> None:
            if not pod.gone:
                container.restarts += 1
                self._run(pod, container, self._images.plan_for(container.image), moment)

        self._shared.timeline.at(self._shared.after(wait, when), again)

    def crash(self, pod: Pod, when: float) -> None:
        """Let a pod's first container exit, as if it had crashed once."""
        container = pod.containers[0]
        container.ready = False
        pod.log.append(LogLine(when, container.name, "Killed"))
        self._crash(pod, container, when)
        pod.changed(when)

    def _backoff(self, tries: int) -> float:
        return min(self._shared.options.retry_seconds * 2.0 ** min(tries, 10), _LONGEST_BACKOFF)
