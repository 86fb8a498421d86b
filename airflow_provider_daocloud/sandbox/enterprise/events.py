"""The events of a world's objects, as Kubernetes records them: equal ones are one that counts."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

# The oldest of a namespace are forgotten.
_KEPT = 2000


@dataclass(frozen=True)
class Place:
    """A namespace of a cluster."""

    cluster: str
    namespace: str


@dataclass(frozen=True)
class Target:
    """The object that an event is about.

    :param owner: the uid of the workload that it belongs to.
    """

    kind: str
    name: str
    uid: str
    owner: str


@dataclass
class Event:
    """Something that happened to an object, once or several times."""

    target: Target
    reason: str
    message: str
    type: str
    component: str
    first_at: float
    last_at: float


class Events:
    """The events by namespace."""

    def __init__(self) -> None:
        self._by_place: dict[Place, deque[Event]] = {}

    def record(
        self,
        place: Place,
        target: Target,
        reason: str,
        message: str,
        when: float,
        *,
        warning: bool = False,
        component: str = "kubelet",
    ) -> None:
        """Record an event, or one more time one that is there already."""
        events = self._by_place.setdefault(place, deque(maxlen=_KEPT))
        for event in events:
            if (event.target, event.reason, event.message) == (target, reason, message):
                event.last_at = when
                return
        kind = "Warning" if warning else "Normal"
        events.append(Event(target, reason, message, kind, component, when, when))

    def of(self, place: Place) -> list[Event]:
        """Return the events of a namespace, the oldest first."""
        return list(self._by_place.get(place, ()))
