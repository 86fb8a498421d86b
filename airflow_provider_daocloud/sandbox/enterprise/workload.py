"""One workload: its object as it was and is, its revisions and its pods."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_daocloud.sandbox.enterprise.events import Place, Target

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.enterprise.pods import Pod

# So many former states can be shown to reads that lag.
_KEPT = 500


@dataclass(eq=False)
class Revision:
    """A template that a workload has or had: a replica set, or a controller revision.

    :param name: of the replica set or the controller revision.
    :param number: the highest number is the newest.
    :param replicas: how many pods its replica set is to have; deployments only.
    """

    name: str
    hash: str
    number: int
    template: dict[str, Any]
    created_at: float
    uid: str
    replicas: int = 0


@dataclass(eq=False)
class Workload:
    """A deployment, a stateful set or a daemon set.

    Its object is never changed in place: each change makes a new one, so that former ones can be
    shown.

    :param current_hash: the hash of the template that its controller saw last.
    :param remembered: the replicas that it had before it was stopped by a call.
    :param progress_at: when its rollout last got on, in Unix seconds.
    :param rolling: whether a rollout is going on.
    :param failure: why pods could not be created.
    """

    kind: str
    place: Place
    name: str
    uid: str
    object: dict[str, Any]
    created_at: float
    revisions: list[Revision] = field(default_factory=list)
    pods: list[Pod] = field(default_factory=list)
    current_hash: str = ""
    remembered: int | None = None
    progress_at: float = 0.0
    rolling: bool = False
    failure: str = ""
    removed: bool = False
    history: deque[tuple[float, dict[str, Any]]] = field(
        default_factory=lambda: deque(maxlen=_KEPT), repr=False
    )

    @property
    def spec(self) -> dict[str, Any]:
        """What is asked of it."""
        spec: dict[str, Any] = self.object["spec"]
        return spec

    @property
    def status(self) -> dict[str, Any]:
        """What its controller has made of that."""
        status: dict[str, Any] = self.object.get("status", {})
        return status

    @property
    def generation(self) -> int:
        """Counts the changes of its spec."""
        return int(self.object["metadata"]["generation"])

    @property
    def target(self) -> Target:
        """What its events are about."""
        return Target(self.kind, self.name, self.uid, self.uid)

    @property
    def current(self) -> Revision | None:
        """The revision that its controller rolls out, or has rolled out."""
        return self.with_hash(self.current_hash)

    def with_hash(self, digest: str) -> Revision | None:
        """Return the revision of a template."""
        return next((one for one in self.revisions if one.hash == digest), None)

    def of(self, revision: Revision) -> list[Pod]:
        """Return its pods of a revision."""
        return [pod for pod in self.pods if pod.revision == revision.hash]

    def show(self, value: dict[str, Any], when: float) -> None:
        """Replace its object."""
        self.object = value
        self.history.append((when, value))

    def as_of(self, moment: float) -> dict[str, Any]:
        """Return its object as it was at a moment, or as far back as is known."""
        value = self.history[0][1]
        for when, shown in self.history:
            if when > moment:
                break
            value = shown
        return value
