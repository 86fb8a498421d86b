"""Stacks: what the Open API says of them, and the requests on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_daocloud.api.model import Model
from airflow_provider_daocloud.api.openapi.actions import read_action_id
from airflow_provider_daocloud.api.openapi.apps import _known_action
from airflow_provider_daocloud.api.openapi.generation import OPEN_API
from airflow_provider_daocloud.api.parsing import read_date, read_required, read_text, to_iso
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.response import list_of, object_of
from airflow_provider_daocloud.api.validation import name_hint, path_segment


def list_stacks() -> Request[tuple[Stack, ...]]:
    """``GET /v1/stacks``: all stacks that the token can see."""
    return Request("list_stacks", "GET", "/stacks", list_of("stacks", Stack.parse), api=OPEN_API)


def get_stack(stack_id: str) -> Request[Stack]:
    """``GET /v1/stacks/{id}``: one stack."""
    path = f"/stacks/{path_segment('stack_id', stack_id)}"
    hint = name_hint("stack_id", stack_id)
    return Request(
        "get_stack", "GET", path, object_of(Stack.parse), not_found_hint=hint, api=OPEN_API
    )


def act_on_stack(stack_id: str, action: str) -> Request[str]:
    """``POST /v1/stacks/{id}/actions/start``, ``stop`` or ``restart``: returns the action id."""
    path = f"/stacks/{path_segment('stack_id', stack_id)}/actions/{_known_action(action)}"
    return Request(f"{action}_stack", "POST", path, read_action_id, api=OPEN_API)


@dataclass(frozen=True, slots=True)
class Stack(Model):
    """A stack: apps that are started and stopped together (a later revision has them)."""

    id: str
    name: str | None = None
    created_at: datetime | None = None
    last_operated_at: datetime | None = None
    stack_ids: tuple[str, ...] = ()

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Stack:
        """Build it from one object of the API. Raises ShapeError if it has no id."""
        inner = data.get("stacks")
        members = inner if isinstance(inner, list) else []
        ids = (read_text(member, "stack_id") for member in members if isinstance(member, Mapping))
        return cls(
            id=read_required(data, "id"),
            name=read_text(data, "name"),
            created_at=read_date(data, "created_at"),
            last_operated_at=read_date(data, "last_operated_at"),
            stack_ids=tuple(stack_id for stack_id in ids if stack_id),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the stack as JSON-safe data."""
        return {
            "id": self.id,
            "name": self.name,
            "created_at": to_iso(self.created_at),
            "last_operated_at": to_iso(self.last_operated_at),
            "stack_ids": list(self.stack_ids),
        }
