"""Actions on apps and stacks: what the Open API says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.api.model import Model
from airflow_provider_daocloud.api.openapi.generation import OPEN_API
from airflow_provider_daocloud.api.parsing import (
    ShapeError,
    State,
    read_date,
    read_number,
    read_required,
    read_text,
    shown_word,
    to_iso,
    writable,
)
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.response import object_of
from airflow_provider_daocloud.api.validation import name_hint, path_segment


def get_action(app_id: str, action_id: str) -> Request[Action]:
    """``GET /v1/apps/{id}/actions/{action_id}``: one action."""
    path = f"/apps/{path_segment('app_id', app_id)}/actions/{path_segment('action_id', action_id)}"
    hint = name_hint("app_id", app_id)
    return Request(
        "get_action", "GET", path, object_of(Action.parse), not_found_hint=hint, api=OPEN_API
    )


def get_stack_action(stack_id: str, action_id: str) -> Request[Action]:
    """``GET /v1/stacks/{id}/actions/{action_id}``: one action on a stack."""
    stack = path_segment("stack_id", stack_id)
    path = f"/stacks/{stack}/actions/{path_segment('action_id', action_id)}"
    hint = name_hint("stack_id", stack_id)
    return Request(
        "get_stack_action", "GET", path, object_of(Action.parse), not_found_hint=hint, api=OPEN_API
    )


def read_action_id(data: Any) -> str:
    """Return the id of an accepted action.

    :raises ShapeError: there is none that a later request could ask for.
    """
    if isinstance(data, Mapping):
        action_id = data.get("action_id")
        if isinstance(action_id, int) and not isinstance(action_id, bool):
            action_id = str(action_id)
        if isinstance(action_id, str):
            try:
                path_segment("action_id", action_id)
            except InputError:
                pass
            else:
                return action_id
    raise ShapeError("no usable 'action_id'")


class ActionState(State):
    """State of an action."""

    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    IN_PROCESS = "IN_PROCESS"
    UNKNOWN = "UNKNOWN"


ACTION_TERMINAL = frozenset({ActionState.SUCCESS, ActionState.FAILED})


@dataclass(frozen=True, slots=True)
class Action(Model):
    """An action on an app or a stack that was accepted: a start, stop, restart or redeploy."""

    id: str
    state: ActionState
    state_text: str
    app_id: str | None = None
    stack_id: str | None = None
    action_name: str | None = None
    start_date: datetime | None = None
    end_date: datetime | None = None
    error_message: str | None = None
    time_cost_seconds: float | None = None

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Action:
        """Build an action from the API's object. Raises ShapeError if it has no id or state."""
        state_text = read_required(data, "state")
        return cls(
            id=read_required(data, "id"),
            state=ActionState.parse(state_text),
            state_text=state_text,
            app_id=read_text(data, "app_id"),
            stack_id=read_text(data, "stack_id"),
            action_name=read_text(data, "action_name"),
            start_date=read_date(data, "start_date"),
            end_date=read_date(data, "end_date"),
            error_message=_error_message(data.get("error_info")),
            time_cost_seconds=read_number(data.get("time_cost_seconds")),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the action as JSON-safe data; its own id is ``action_id``."""
        return {
            "action_id": self.id,
            "action_name": self.action_name,
            "state": shown_word(self.state, self.state_text),
            **({"app_id": self.app_id} if self.app_id else {}),
            **({"stack_id": self.stack_id} if self.stack_id else {}),
            "start_date": to_iso(self.start_date),
            "end_date": to_iso(self.end_date),
            "time_cost_seconds": self.time_cost_seconds,
            "error_message": self.error_message,
        }


def _error_message(info: object) -> str | None:
    if isinstance(info, Mapping):
        info = info.get("message")
    return writable(info) if isinstance(info, str) and info else None
