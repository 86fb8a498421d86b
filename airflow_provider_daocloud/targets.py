"""What can be acted on, and what a look at it proves of an action whose answer was lost.

DaoCloud keeps no list of what it was asked. What is left of an action is what the thing itself
shows, and each kind of thing shows something else: an app its state, its release and when it was
last operated on, a stack only the last of these, a build flow the status of its latest build and
the package of its latest success.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from airflow_provider_daocloud.api import protocol
from airflow_provider_daocloud.api.models import (
    APP_TRANSITIONAL,
    BUILD_ACTIVE,
    App,
    AppState,
    BuildFlow,
    BuildStatus,
    Stack,
)
from airflow_provider_daocloud.journal import Asked, Before

# The state in which an action leaves an app.
REACHED = {
    "start_app": AppState.RUNNING,
    "stop_app": AppState.STOPPED,
    "restart_app": AppState.RUNNING,
    "redeploy_app": AppState.RUNNING,
}


class Target(Protocol):
    """An app, a stack or a build flow."""

    @property
    def id(self) -> str:
        """Its id."""

    def call(self) -> protocol.Call[Any]:
        """Return the call that shows it."""

    def before(self, seen: Any, seen_at: float | None) -> Before:
        """Return what is kept of a look, to compare later looks with.

        :param seen: what the call returned.
        :param seen_at: when, in seconds since the epoch by the server's clock.
        """

    def busy(self, seen: Any) -> bool:
        """Whether something runs on it now."""

    def shows(self, asked: Asked, seen: Any, before: Before) -> bool:
        """Whether it is as the action would leave it."""

    def telling(self, asked: Asked, before: Before) -> bool:
        """Whether that would prove the action: not if it was so before, or anybody does that."""

    def leaves_a_trace(self, before: Before) -> bool:
        """Whether an action would surely show, so that *unchanged* proves that there was none."""

    def operated(self, before: Before, now: Before) -> bool:
        """Whether somebody acted on it in between."""

    def result(self, asked: Asked) -> dict[str, Any]:
        """Return a result without an action: the same fields, as far as they are known."""


@dataclass(frozen=True)
class AppTarget:
    """An app: ``GET /v1/apps/{app_id}``."""

    id: str

    def __str__(self) -> str:
        return f"app {self.id}"

    def call(self) -> protocol.Call[App]:
        """Return the call that shows it."""
        return protocol.get_app(self.id)

    def before(self, seen: App, seen_at: float | None) -> Before:
        """Return what is kept of a look."""
        return Before(seen.state_text, seen.release_name, _date(seen), seen_at)

    def busy(self, seen: App) -> bool:
        """Whether it is in a state that passes."""
        return seen.state in APP_TRANSITIONAL

    def shows(self, asked: Asked, seen: App, before: Before) -> bool:  # noqa: ARG002 - see Target
        """Whether it has the asked release, and the state that the action leads to."""
        if asked.call == "redeploy_app" and seen.release_name != _release(asked):
            return False
        return seen.state is REACHED[asked.call]

    def telling(self, asked: Asked, before: Before) -> bool:
        """Whether it had another release or state before."""
        if asked.call == "redeploy_app":
            return before.release_name not in (None, _release(asked))
        if asked.call == "restart_app":
            return False
        return AppState.parse(before.state) not in (AppState.UNKNOWN, REACHED[asked.call])

    def leaves_a_trace(self, before: Before) -> bool:
        """Whether the date of an action would differ from the last one."""
        return before.would_move

    def operated(self, before: Before, now: Before) -> bool:
        """Whether the date differs."""
        dates = (before.last_operated_at, now.last_operated_at)
        return None not in dates and dates[0] != dates[1]

    def result(self, asked: Asked) -> dict[str, Any]:
        """Return the fields of a finished action."""
        return _no_action(asked) | {"app_id": self.id}


@dataclass(frozen=True)
class StackTarget:
    """A stack: ``GET /v1/stacks/{stack_id}``. It shows no state, so nothing it shows is a proof."""

    id: str

    def __str__(self) -> str:
        return f"stack {self.id}"

    def call(self) -> protocol.Call[Stack]:
        """Return the call that shows it."""
        return protocol.get_stack(self.id)

    def before(self, seen: Stack, seen_at: float | None) -> Before:
        """Return what is kept of a look."""
        return Before(last_operated_at=_date(seen), seen_at=seen_at)

    def busy(self, seen: Stack) -> bool:  # noqa: ARG002 - see Target
        """Nobody can tell: a stack shows no state."""
        return False

    def shows(self, asked: Asked, seen: Stack, before: Before) -> bool:  # noqa: ARG002 - see Target
        """Nobody can tell: not even whether an action on it has ended."""
        return False

    def telling(self, asked: Asked, before: Before) -> bool:  # noqa: ARG002 - see Target
        """Nothing would prove it."""
        return False

    def leaves_a_trace(self, before: Before) -> bool:
        """Whether the date of an action would differ from the last one."""
        return before.would_move

    def operated(self, before: Before, now: Before) -> bool:
        """Whether the date differs."""
        return AppTarget.operated(self, before, now)  # type: ignore[arg-type]

    def result(self, asked: Asked) -> dict[str, Any]:
        """Return the fields of a finished action."""
        return _no_action(asked) | {"stack_id": self.id}


@dataclass(frozen=True)
class BuildFlowTarget:
    """A build flow: ``GET /v1/build-flows/{build_flow_id}``.

    Its status is that of its latest build, whoever started it: pushes start builds all the time, so
    that a new build proves nothing by itself.
    """

    id: str

    def __str__(self) -> str:
        return f"build flow {self.id}"

    def call(self) -> protocol.Call[BuildFlow]:
        """Return the call that shows it."""
        return protocol.get_build_flow(self.id)

    def before(self, seen: BuildFlow, seen_at: float | None) -> Before:
        """Return what is kept of a look."""
        return Before(seen.status_text, seen_at=seen_at, package_id=seen.package_id)

    def busy(self, seen: BuildFlow) -> bool:
        """Whether a build waits or runs."""
        return seen.status in BUILD_ACTIVE

    def shows(self, asked: Asked, seen: BuildFlow, before: Before) -> bool:  # noqa: ARG002 - see Target
        """Whether a build has succeeded since."""
        return seen.status is BuildStatus.SUCCESS and self.operated(before, self.before(seen, None))

    def telling(self, asked: Asked, before: Before) -> bool:  # noqa: ARG002 - see Target
        """It proves no build of ours: a push would show the same."""
        return False

    def leaves_a_trace(self, before: Before) -> bool:
        """Whether a build that has ended would show: by its status, or by a new package.

        After a failure, a build that fails with the same word leaves everything as it was.
        """
        return BuildStatus.parse(before.state) is BuildStatus.SUCCESS and bool(before.package_id)

    def operated(self, before: Before, now: Before) -> bool:
        """Whether there is another package."""
        return bool(now.package_id) and before.package_id != now.package_id

    def result(self, asked: Asked) -> dict[str, Any]:
        """Return the fields of a finished build."""
        fields = ("build_id", "status", "tag", "ref", "sha", "author")
        flags = ("ref_is_tag", "ref_is_branch", "created_at")
        return dict.fromkeys((*fields, *flags)) | {
            "build_flow_id": self.id,
            "ref": (asked.body or {}).get("branch"),
        }


def _release(asked: Asked) -> str | None:
    return (asked.body or {}).get("release_name")


def _date(seen: App | Stack) -> str | None:
    return seen.last_operated_at.isoformat() if seen.last_operated_at else None


def _no_action(asked: Asked) -> dict[str, Any]:
    fields = ("state", "start_date", "end_date", "time_cost_seconds", "error_message")
    return {"action_id": None, "action_name": asked.call, **dict.fromkeys(fields)}
