"""What becomes of a container, by its image: it runs, or it does one of the usual other things."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from airflow_provider_daocloud.sandbox.options import check_fields

Outcome = Literal["runs", "missing", "crashes", "unready"]


@dataclass
class ImagePlan:
    """What containers of an image do.

    :param image: the image; ``*`` stands for anything.
    :param outcome: ``runs``; ``missing``: there is no such image to pull; ``crashes``: it starts,
        writes its log, and exits with 1, again and again; ``unready``: it runs, but its readiness
        probe never succeeds.
    :param log: the lines that it writes when it starts.
    :param seconds: how long it takes until it is ready, instead of the world's ``pod_seconds``.
    """

    image: str
    outcome: Outcome = "runs"
    log: list[str] = field(default_factory=list)
    seconds: float | None = None

    def __post_init__(self) -> None:
        check_fields(self)


_CRASH_LOG = ["starting", "FATAL: cannot read /etc/app/config.yaml: no such file"]
# Without a plan the tag decides, so that a shell can try each of them.
_BY_TAG = (
    ImagePlan("*:missing*", "missing"),
    ImagePlan("*:crash*", "crashes", _CRASH_LOG),
    ImagePlan("*:unready*", "unready", ["listening on :8080", "database is not reachable"]),
)
_ANY = ImagePlan("*", "runs", ["listening on :8080"])


class Images:
    """The plans for images; the latest that fits an image holds."""

    def __init__(self) -> None:
        self.plans: list[ImagePlan] = []

    def plan(self, plan: ImagePlan) -> None:
        """Decide what containers of an image do from now on, when they start next."""
        self.plans.insert(0, plan)

    def plan_for(self, image: str) -> ImagePlan:
        """Return what a container of this image does."""
        for plan in (*self.plans, *_BY_TAG):
            if fnmatchcase(image, plan.image):
                return plan
        return _ANY
