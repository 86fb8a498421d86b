"""What a resource shows of a request whose response was lost.

No service here keeps a list of what it was asked. What is left of a request is what the resource
itself shows, and each kind of resource shows something else: those in `resources` say what, each
with an `Evidence` of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from airflow_provider_daocloud.api.request import Request

# Of one request: it never arrived, it had its effect, or nobody can tell.
Verdict = Literal["absent", "present", "unknown"]


@dataclass(frozen=True)
class Snapshot:
    """What a resource showed at one moment, to compare with what it shows later. JSON-safe.

    :param shown: what it showed; only its own `Evidence` knows what that means.
    :param server_time: when, in seconds since the epoch by the server's own clock.
    """

    shown: Mapping[str, Any]
    server_time: float | None = field(default=None, compare=False)


class Evidence(Protocol):
    """One resource that can be acted on, and what it shows of that."""

    def request(self) -> Request[Any]:
        """Return the request that reads the resource."""

    def name_of(self, seen: Any) -> str | None:
        """Return what people call the resource, if it shows that.

        :param seen: what `request` returned.
        """

    def snapshot(self, seen: Any) -> dict[str, Any]:
        """Return what is to be kept of an observation, as JSON-safe data.

        :param seen: what `request` returned.
        """

    def is_busy(self, seen: Any) -> bool:
        """Return whether something is in progress on the resource.

        :param seen: what `request` returned.
        """

    def can_match(self, record: Mapping[str, Any]) -> bool:
        """Return whether the resource can show at all that it is as a request would leave it.

        :param record: the request, as `Request.record` gives it.
        """

    def matches(self, record: Mapping[str, Any], seen: Any) -> bool:
        """Return whether the resource is as a request would leave it, as far as that proves it.

        :param record: the request, as `Request.record` gives it.
        :param seen: what `request` returned.
        """

    def verdict(
        self,
        record: Mapping[str, Any],
        before: Snapshot,
        now: Snapshot,
        *,
        change_seen: bool,
        trust_any: bool,
    ) -> Verdict:
        """Return what became of a request.

        :param record: the request.
        :param before: the resource before it was sent.
        :param now: the resource now, when nothing is in progress on it.
        :param change_seen: whether the resource was seen to differ from ``before`` in between.
        :param trust_any: whether any operation on the resource since then may be taken for it.
        """

    def operated_at(self, snapshot: Snapshot) -> float | None:
        """Return when the resource was last operated on, in seconds since the epoch, if known.

        :param snapshot: what it showed.
        """

    def release(self, snapshot: Snapshot) -> str | None:
        """Return the release that the resource ran, if it has releases.

        :param snapshot: what it showed.
        """

    def receipt_shown(self, record: Mapping[str, Any], seen: Any) -> str | None:
        """Return the receipt of a request, if the resource itself shows that it was accepted.

        Then the request is not sent again, whoever sent it, and can be waited for.

        :param record: the request, as `Request.record` gives it.
        :param seen: what `request` returned.
        """

    def receipt(self, accepted: Any) -> str:
        """Return by what an accepted request can be waited for: an id, or a revision.

        :param accepted: what the request returned.
        """

    def result(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a task returns of a request that has no id: the same fields, where known.

        :param record: the request.
        """

    def title(self, name: str | None) -> str:
        """Return the resource as a person calls it; ``str`` of the evidence has the whole id.

        :param name: its name, if it is known.
        """

    def describe(self, record: Mapping[str, Any], name: str | None) -> str:
        """Return a request in words: ``redeploy of app web to v1``.

        :param record: the request.
        :param name: the resource's name, if it is known.
        """

    def describe_snapshot(self, snapshot: Snapshot) -> str:
        """Return what the resource showed in words: ``RUNNING, release v1``.

        :param snapshot: what it showed.
        """
