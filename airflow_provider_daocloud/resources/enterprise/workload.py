"""Workloads: deployments, stateful sets and daemon sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, ClassVar, Literal

from airflow_provider_daocloud.api.enterprise.changes import (
    join_images,
    operations,
    release_text,
    resolved_images,
    wanted_images,
)
from airflow_provider_daocloud.api.enterprise.workloads import (
    Workload,
    WorkloadRef,
    get_workload,
    list_workloads,
)
from airflow_provider_daocloud.api.errors import WaitError, WorkloadFailedError
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.validation import WorkloadKind, one_of, whole_number
from airflow_provider_daocloud.core.polling.hinted import Hinted
from airflow_provider_daocloud.core.polling.poller import Strategy
from airflow_provider_daocloud.core.submission.evidence import Snapshot, Verdict
from airflow_provider_daocloud.core.waiting.wait import Observation, WaitState
from airflow_provider_daocloud.resources.enterprise.evidence import MarkedEvidence
from airflow_provider_daocloud.resources.enterprise.rollout import is_noticed, rollout_status
from airflow_provider_daocloud.resources.registry import Resource, register

# What a workload can be waited for to be: rolled out, rolled out with pods at all, without pods.
Target = Literal["rolled_out", "started", "stopped"]
TARGETS: tuple[Target, ...] = ("rolled_out", "started", "stopped")


@dataclass(frozen=True, slots=True)
class WorkloadWait:
    """Wait until a workload is rolled out, or stopped.

    :param cluster: the workload's cluster.
    :param namespace: its namespace.
    :param workload_kind: its kind.
    :param workload_name: its name.
    :param target: what it is to be.
    :param images: the images that it is to have, as `resolved_images` takes them.
    :param replicas: how many pods it is to have.
    :param generation: what a change of it made its generation; 0 if nothing was changed. What an
        older generation shows is not taken for its result.
    """

    cluster: str
    namespace: str
    workload_kind: WorkloadKind
    workload_name: str
    target: Target = "rolled_out"
    images: Mapping[str, str] | None = field(default=None, hash=False)
    replicas: int | None = None
    generation: int = 0

    kind: ClassVar[str] = "workload"
    failure: ClassVar[type[WaitError]] = WorkloadFailedError
    lags: ClassVar[bool] = False

    @classmethod
    def of(
        cls,
        cluster: str,
        namespace: str,
        workload_kind: WorkloadKind,
        workload_name: str,
        target: Target = "rolled_out",
        images: Mapping[str, str] | None = None,
        replicas: int | str | None = None,
        generation: int = 0,
    ) -> WorkloadWait:
        """Return the wait for what a user asked for.

        :raises InputError: an argument is unusable.
        """
        pods = None if replicas is None else whole_number("replicas", replicas)
        wanted = images if images is None else wanted_images(None, images, None, None)
        place = (cluster, namespace, workload_kind, workload_name)
        return cls(*place, one_of("target", target, TARGETS), wanted, pods, generation)

    @property
    def ref(self) -> WorkloadRef:
        """Which workload."""
        return WorkloadRef(self.cluster, self.namespace, self.workload_kind, self.workload_name)

    def request(self) -> Request[Workload]:
        """``GET …/clusters/{cluster}/namespaces/{namespace}/{kind}s/{name}/json``."""
        return get_workload(self.ref)

    def judge(self, seen: Workload, wait_state: WaitState) -> Observation:  # noqa: ARG002
        """Judge the whole object, as ``kubectl rollout status`` does."""
        result = self.ref_fields() | {
            "generation": seen.generation,
            "replicas": seen.replicas,
            "images": seen.images,
        }
        if seen.generation < self.generation:
            state = f"shown as of generation {seen.generation}, before the change"
            return Observation("pending", state, result, self.workload_name)
        differs = self._difference(seen)
        if differs and self.generation:
            problem = f"was changed by another client since: {differs}"
            return Observation("failed", differs, result, self.workload_name, problem)
        pods = seen.number("status", "replicas")
        if self.target == "stopped":
            # How its pods were doing until then is of no matter.
            if seen.replicas or pods or not is_noticed(seen):
                state = f"not stopped, {pods} pods are there"
                return Observation("pending", state, result, self.workload_name)
            return Observation("succeeded", "stopped", result, self.workload_name)
        status = rollout_status(seen)
        if status.verdict == "failed" and not differs:
            return Observation("failed", status.state, result, self.workload_name, status.problem)
        if self.target == "started" and seen.replicas == 0:
            verdict, state = "pending", "stopped"
        elif differs:
            verdict, state = "pending", differs
        elif self.replicas is not None and pods != self.replicas:
            verdict, state = "pending", f"scaling, {pods} of {self.replicas} pods are there"
        else:
            verdict, state = status.verdict, status.state
        made: Literal["pending", "succeeded"] = "succeeded" if verdict == "succeeded" else "pending"
        note = status.note if made == "pending" else ""
        return Observation(made, state, result, self.workload_name, note=note)

    def ref_fields(self) -> dict[str, Any]:
        """Return what identifies the workload, as results have it."""
        return {
            "cluster": self.cluster,
            "namespace": self.namespace,
            "workload_kind": self.workload_kind,
            "workload_name": self.workload_name,
        }

    def _difference(self, seen: Workload) -> str:
        """Return in what a workload differs from what it is to be, but for its pods."""
        for name, image in resolved_images(self.images or {}, seen).items():
            if seen.images[name] != image:
                return f"running {seen.images[name]} in container {name}, not {image}"
        if self.replicas is not None and seen.replicas != self.replicas:
            return f"asked to have {seen.replicas} pods, not {self.replicas}"
        return ""

    @property
    def wanted(self) -> str:
        """The state that is waited for, in words."""
        words = "stopped" if self.target == "stopped" else "rolled out"
        images = [f"{name}={image}" if name else image for name, image in self._wanted_images()]
        with_images = f" with {', '.join(images)}" if images else ""
        pods = f" with {self.replicas} pods" if self.replicas is not None else ""
        return words + with_images + pods

    def _wanted_images(self) -> list[tuple[str, str]]:
        return sorted((self.images or {}).items())

    def title(self, name: str | None) -> str:  # noqa: ARG002 - its name is what identifies it
        """Return what is waited for, as a person calls it."""
        return f"{self.workload_kind} {self.workload_name}"

    def __str__(self) -> str:
        return f"{self.workload_kind} {self.ref}"


@dataclass(frozen=True, slots=True)
class WorkloadEvidence(MarkedEvidence):
    """What a workload shows of a change: the operation, in an annotation; else its number of pods.

    :param ref: the workload.
    :param operation: the operation that is meant, for what ran before it.
    :param images: the images that it asks for, for what ran before it.
    """

    ref: WorkloadRef
    operation: str = ""
    images: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.ref.kind} {self.ref}"

    def request(self) -> Request[Workload]:
        """``GET …/clusters/{cluster}/namespaces/{namespace}/{kind}s/{name}/json``."""
        return get_workload(self.ref)

    def name_of(self, seen: Workload) -> str:
        """Return its name."""
        return seen.name

    def snapshot(self, seen: Workload) -> dict[str, Any]:
        """Return generation, number of pods, images, operations and what runs, or ran before."""
        done = operations(seen)
        before = next((text for one, text in done if one == self.operation), None)
        return {
            "generation": seen.generation,
            "replicas": seen.replicas,
            "images": join_images(seen.images),
            "operations": [one for one, _ in done],
            "release": before or release_text(self.images, seen) or None,
        }

    def verdict(
        self,
        record: Mapping[str, Any],
        before: Snapshot,
        now: Snapshot,
        *,
        change_seen: bool,  # noqa: ARG002 - the operation decides
        trust_any: bool,  # noqa: ARG002 - the operation decides
    ) -> Verdict:
        """Judge by the operation, or by the number of pods for a start and a stop."""
        operation = _operation(record)
        if operation is None:
            return "present" if _is_as_requested(record, now.shown["replicas"]) else "absent"
        if operation in now.shown["operations"]:
            return "present"
        # Ten others since would have pushed it out of the list.
        newest = before.shown["operations"][:1]
        still_there = not newest or newest[0] in now.shown["operations"]
        return "absent" if still_there else "unknown"

    def release(self, snapshot: Snapshot) -> str | None:
        """Return the images that ran before, of the containers that the change is about."""
        release: str | None = snapshot.shown["release"]
        return release

    def receipt_shown(self, record: Mapping[str, Any], seen: Workload) -> str | None:
        """Return the generation, if the workload shows the operation."""
        operation = _operation(record)
        if operation is None:
            shown = _is_as_requested(record, seen.replicas)
        else:
            shown = operation in [one for one, _ in operations(seen)]
        return str(seen.generation) if shown else None

    def receipt(self, accepted: Workload | str) -> str:
        """Return the generation that a change has made; 0 for a start or a stop."""
        return str(accepted.generation) if isinstance(accepted, Workload) else "0"

    def result(self, record: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Return what identifies the workload."""
        wait = WorkloadWait(self.ref.cluster, self.ref.namespace, self.ref.kind, self.ref.name)
        return wait.ref_fields() | {"generation": None, "replicas": None, "images": None}

    def title(self, name: str | None) -> str:  # noqa: ARG002 - its name is what identifies it
        """Return the workload as a person calls it."""
        return f"{self.ref.kind} {self.ref.name}"

    def describe(self, record: Mapping[str, Any], name: str | None) -> str:
        """Return the change in words."""
        body = record["body"] or {}
        verb = str(record["name"]).removesuffix(f"_{self.ref.kind}")
        to = ""
        if body.get("images"):
            images = body["images"].items()
            to = " to " + ", ".join(
                f"{one}={image}" if one else _in_words(image) for one, image in images
            )
        if body.get("replicas") is not None:
            to += f" to {body['replicas']} pods"
        return f"{verb} of {self.title(name)}{to}"

    def describe_snapshot(self, snapshot: Snapshot) -> str:
        """Return generation, pods and images in words."""
        shown = snapshot.shown
        return f"generation {shown['generation']}, {shown['replicas']} pods, {shown['images']}"


def _in_words(image: str) -> str:
    """Return an image, or a tag or a digest alone, as a person writes it."""
    return image.lstrip(":@") if image[:1] in ":@" else image


def _operation(record: Mapping[str, Any]) -> str | None:
    operation: str | None = (record["body"] or {}).get("operation")
    return operation


def _is_as_requested(record: Mapping[str, Any], replicas: int | None) -> bool:
    stops = str(record["name"]).startswith("stop_")
    return replicas == 0 if stops else bool(replicas)


# --- polling: one list of a namespace hints, and each workload is read by itself ------------------


def _name_of_item(item: Mapping[str, Any]) -> str:
    metadata = item.get("metadata")
    return str(metadata.get("name")) if isinstance(metadata, Mapping) else ""


def _name_of_wait(wait: WorkloadWait) -> str:
    return wait.workload_name


def _is_busy(item: Mapping[str, Any]) -> bool:
    status = item.get("status")
    return isinstance(status, Mapping) and status.get("state") in ("Waiting", "Not_Ready")


def _no_duration(result: Mapping[str, Any]) -> None:  # noqa: ARG001 - it does not say
    return None


@cache
def _hinted(cluster: str, namespace: str, kind: WorkloadKind) -> Strategy:
    request = partial(list_workloads, cluster, namespace, kind)
    return Hinted(request, _name_of_item, _name_of_wait, _is_busy, _no_duration)


def _strategy(wait: WorkloadWait) -> Strategy:
    return _hinted(wait.cluster, wait.namespace, wait.workload_kind)


def _no_list() -> Request[tuple[Any, ...]]:
    raise NotImplementedError("workloads are known by their names")


WORKLOAD = register(
    Resource(
        kind="workload",
        list_request=_no_list,
        distinguishing=(),
        dashboard_path="/kpanda/clusters/{cluster}/namespaces/{namespace}/{kind}s/{name}",
        polling={WorkloadWait.kind: _strategy},
    )
)
