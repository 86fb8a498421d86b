"""How an action of the Open API is judged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from airflow_provider_daocloud.api.openapi.actions import Action, ActionState
from airflow_provider_daocloud.api.parsing import parse_date
from airflow_provider_daocloud.core.submission.evidence import Snapshot
from airflow_provider_daocloud.core.waiting.wait import Observation
from airflow_provider_daocloud.resources.openapi.states import unknown_state_note


def judge_action(seen: Action, ids: dict[str, Any]) -> Observation:
    """Judge what was seen of an action.

    :param seen: the action.
    :param ids: its ids, as they are asked for; they go into the result.
    """
    result = seen.as_dict() | ids
    if seen.state is ActionState.SUCCESS:
        return Observation("succeeded", seen.state_text, result)
    if seen.state is ActionState.FAILED:
        problem = f"failed: {seen.error_message or 'DaoCloud gives no reason'}"
        return Observation("failed", seen.state_text, result, problem=problem)
    note = unknown_state_note(seen.state)
    return Observation("pending", seen.state_text, result, note=note)


def no_action(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a finished action whose id nobody knows.

    :param record: the request that asked for it.
    """
    fields = ("state", "start_date", "end_date", "time_cost_seconds", "error_message")
    return {"action_id": None, "action_name": record["name"], **dict.fromkeys(fields)}


def duration(result: Mapping[str, Any]) -> float | None:
    """Return how many seconds a finished action took, if known.

    :param result: the action as JSON-safe data.
    """
    seconds = result.get("time_cost_seconds")
    return seconds if isinstance(seconds, int | float) else None


def operated_at(snapshot: Snapshot) -> float | None:
    """Return a snapshot's ``last_operated_at`` in seconds since the epoch.

    :param snapshot: what an app or a stack showed.
    """
    moment = parse_date(snapshot.shown["last_operated_at"])
    return None if moment is None else moment.timestamp()


def on_date(snapshot: Snapshot) -> str:
    """Return a snapshot's ``last_operated_at`` in words.

    :param snapshot: what an app or a stack showed.
    """
    date = snapshot.shown["last_operated_at"]
    return f", last operated on {date}" if date else ""


def operation_would_show(before: Snapshot) -> bool:
    """Return whether an operation after this snapshot must show in ``last_operated_at``.

    How fine that field is, nothing documents: ``10:05:00`` can be cut to the minute. If it was
    operated on so lately that a second operation could leave the same date, equal dates prove
    nothing.

    :param before: what an app or a stack showed.
    """
    operated = operated_at(before)
    if operated is None or before.server_time is None:
        return False
    # Whatever part of a day it is cut to, that part divides both.
    coarsest = math.gcd(int(operated), 86400)
    return before.server_time - operated >= coarsest


def was_operated(before: Snapshot, now: Snapshot) -> bool:
    """Return whether somebody operated on an app or a stack in between.

    :param before: what it showed first.
    :param now: what it showed then.
    """
    dates = (before.shown["last_operated_at"], now.shown["last_operated_at"])
    return None not in dates and dates[0] != dates[1]
