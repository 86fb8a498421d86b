"""Stacks and the actions on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from airflow_provider_daocloud.api.errors import ActionFailedError, WaitError
from airflow_provider_daocloud.api.openapi.actions import Action, ActionState, get_stack_action
from airflow_provider_daocloud.api.openapi.stacks import Stack, get_stack, list_stacks
from airflow_provider_daocloud.api.parsing import to_iso
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.core.polling.strategies import Individual
from airflow_provider_daocloud.core.submission.evidence import Snapshot, Verdict
from airflow_provider_daocloud.core.waiting.wait import Observation, WaitState
from airflow_provider_daocloud.core.waiting.wording import short, titled
from airflow_provider_daocloud.resources.openapi.actions import (
    judge_action,
    no_action,
    on_date,
    operated_at,
    operation_would_show,
)
from airflow_provider_daocloud.resources.registry import Resource, register


@dataclass(frozen=True, slots=True)
class StackActionWait:
    """Wait until an action on a stack has succeeded.

    :param stack_id: the stack.
    :param action_id: the action, as its POST returned it.
    """

    stack_id: str
    action_id: str

    kind: ClassVar[str] = "stack_action"
    failure: ClassVar[type[WaitError]] = ActionFailedError
    lags: ClassVar[bool] = True

    def request(self) -> Request[Action]:
        """``GET /v1/stacks/{stack_id}/actions/{action_id}``."""
        return get_stack_action(self.stack_id, self.action_id)

    def judge(self, seen: Action, wait_state: WaitState) -> Observation:  # noqa: ARG002 - nothing to remember
        """As the actions on apps: SUCCESS succeeds, FAILED fails, everything else is pending."""
        return judge_action(seen, {"action_id": self.action_id, "stack_id": self.stack_id})

    @property
    def wanted(self) -> str:
        """The state that is waited for, in words."""
        return ActionState.SUCCESS

    def title(self, name: str | None) -> str:
        """Return what is waited for, as a person calls it.

        :param name: the stack's name, if it is known.
        """
        return f"action {short(self.action_id)} of {titled('stack', self.stack_id, name)}"

    def __str__(self) -> str:
        return f"action {self.action_id} of stack {self.stack_id}"


@dataclass(frozen=True, slots=True)
class StackEvidence:
    """What a stack shows of an action: when it was last operated on, and neither state nor release.

    :param stack_id: the stack.
    """

    stack_id: str

    def __str__(self) -> str:
        return f"stack {self.stack_id}"

    def request(self) -> Request[Stack]:
        """``GET /v1/stacks/{stack_id}``."""
        return get_stack(self.stack_id)

    def name_of(self, seen: Stack) -> str | None:
        """Return its name."""
        return seen.name

    def snapshot(self, seen: Stack) -> dict[str, Any]:
        """Return the date."""
        return {"last_operated_at": to_iso(seen.last_operated_at)}

    def is_busy(self, seen: Stack) -> bool:  # noqa: ARG002 - nobody can tell
        """Return False: a stack shows no state."""
        return False

    def can_match(self, record: Mapping[str, Any]) -> bool:  # noqa: ARG002 - nobody can tell
        """Return False. A stack does not even show whether an action on it has ended."""
        return False

    def matches(self, record: Mapping[str, Any], seen: Stack) -> bool:  # noqa: ARG002 - nobody can tell
        """Return False: see `can_match`."""
        return False

    def verdict(
        self,
        record: Mapping[str, Any],  # noqa: ARG002 - every action shows the same
        before: Snapshot,
        now: Snapshot,  # noqa: ARG002 - nothing of it proves an action
        *,
        change_seen: bool,
        trust_any: bool,  # noqa: ARG002 - there is nothing to adopt
    ) -> Verdict:
        """Judge by the date, which can show that there was no action, and never which."""
        return "absent" if not change_seen and operation_would_show(before) else "unknown"

    def operated_at(self, snapshot: Snapshot) -> float | None:
        """Return the stack's ``last_operated_at``."""
        return operated_at(snapshot)

    def release(self, snapshot: Snapshot) -> None:
        """Return None: a stack has no release."""

    def receipt_shown(self, record: Mapping[str, Any], seen: Stack) -> None:
        """Return None: an action leaves no id there."""

    def receipt(self, accepted: str) -> str:
        """Return the action id."""
        return accepted

    def result(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a finished action."""
        return no_action(record) | {"stack_id": self.stack_id}

    def title(self, name: str | None) -> str:
        """Return the stack as a person calls it."""
        return titled("stack", self.stack_id, name)

    def describe(self, record: Mapping[str, Any], name: str | None) -> str:
        """Return the action in words."""
        return f"{str(record['name']).removesuffix('_stack')} of {self.title(name)}"

    def describe_snapshot(self, snapshot: Snapshot) -> str:
        """Return the date in words."""
        return f"no state{on_date(snapshot)}"


STACK = register(
    Resource(
        kind="stack",
        list_request=list_stacks,
        distinguishing=("created_at",),
        dashboard_path="/stacks/{id}",
        polling={StackActionWait.kind: Individual()},
    )
)
