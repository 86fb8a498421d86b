"""What an operator has asked of the service, kept across the tries of its task.

The service has no idempotency key and no list of requests: what is asked has to be remembered on
our side, before it is asked. An `Entry` goes through these phases::

    intended   about to be sent; nobody knows yet whether it arrived
    accepted   the service took it, and gave a receipt
    finished   it has ended, and how is known
    rejected   the service refused it: it never had an effect

The entry is one JSON object in Airflow's task state store (3.3+), under `KEY`. That store survives
retries, and it survives a clear too: which *invocation* an entry belongs to is part of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import timedelta
from typing import Any, Literal, Protocol, get_args

from airflow_provider_daocloud.api.errors import JournalError, UnreadableEntryError
from airflow_provider_daocloud.core.submission.evidence import Snapshot
from airflow_provider_daocloud.core.submission.plan import Progress

KEY = "daocloud_action"
VERSION = 1
# For how long an entry is kept: longer than any retry is put off.
RETENTION = timedelta(days=90)

Phase = Literal["intended", "accepted", "finished", "rejected"]


class Store(Protocol):
    """Where an entry is kept: Airflow's task state store has these methods."""

    def get(self, key: str) -> Any:
        """Return the value of a key, or None."""

    def set(self, key: str, value: Any) -> None:
        """Set the value of a key."""


@dataclass(frozen=True)
class Invocation:
    """One run of a task between two clears: all its retries belong to it.

    :param max_tries: Airflow's limit of the try number; a clear moves it.
    :param try_number: the number of this try.
    :param clears: how often something in the DAG run was cleared.
    """

    max_tries: int = 0
    try_number: int = 1
    clears: int = 0


@dataclass(frozen=True)
class Entry:
    """What is kept of one request.

    :param invocation: the one that asked for it.
    :param request: the request, as `Request.record` gives it.
    :param snapshot: the resource before it was sent.
    :param phase: how far it is.
    :param receipt: what the service gave for it, once it was accepted: an id, or a revision.
    :param result: how it ended, as the task returns it; only if it succeeded.
    :param exit_reason: why the last execution ended, if it could say so. It shows that the next one
        is a retry, and not the run of a task that was cleared while it ran.
    :param change_seen: whether the resource was seen to change since the request was sent, or the
        request was answered without a receipt. Then an unchanged resource proves nothing.
    :param progress: how far the invocation is.
    """

    invocation: Invocation
    request: dict[str, Any]
    snapshot: Snapshot
    phase: Phase
    receipt: str | None = None
    result: dict[str, Any] | None = None
    exit_reason: str | None = None
    change_seen: bool = False
    progress: Progress = Progress()  # noqa: RUF009 - it is frozen

    def is_of(self, invocation: Invocation) -> bool | None:
        """Return whether a try belongs to the entry's invocation, so that it is a retry.

        A clear moves ``max_tries`` to where no retry leaves it. For a task that is running when it
        is cleared this can stay out; then only the count of clears of the DAG run has moved. If the
        last execution said why it ended, it was something else that was cleared.

        :return: None if nobody can tell: the process of the last execution vanished, and something
            in the DAG run was cleared.
        """
        if invocation.max_tries != self.invocation.max_tries:
            return False
        if invocation.clears == self.invocation.clears or self.exit_reason is not None:
            return True
        return None

    def as_json(self) -> dict[str, Any]:
        """Return the entry as it is stored."""
        return {"version": VERSION, **asdict(self)}

    @classmethod
    def of_json(cls, data: Any) -> Entry:
        """Read a stored entry; unknown extra fields are ignored.

        :raises UnreadableEntryError: it is of another version, or damaged.
        """
        if not isinstance(data, dict) or data.get("version") != VERSION:
            version = data.get("version") if isinstance(data, dict) else None
            raise UnreadableEntryError(f"its entry is of version {version!r}, not {VERSION}.")
        try:
            known = {known.name: data[known.name] for known in fields(cls)}
            known["invocation"] = _of_json(Invocation, known["invocation"])
            known["snapshot"] = _of_json(Snapshot, known["snapshot"])
            known["progress"] = Progress.of_json(known["progress"])
            entry = cls(**known)
        except (KeyError, TypeError):
            raise UnreadableEntryError("its entry is damaged.") from None
        if not entry._is_whole():
            raise UnreadableEntryError("its entry is damaged.")
        return entry

    def _is_whole(self) -> bool:
        """Return whether every field is of the kind that was written."""
        numbers = (self.invocation.max_tries, self.invocation.try_number, self.invocation.clears)
        return (
            self.phase in get_args(Phase)
            and all(isinstance(number, int) for number in numbers)
            and isinstance(self.request, dict)
            and bool(self.request)
            and isinstance(self.snapshot.shown, dict)
            and isinstance(self.snapshot.server_time, float | int | None)
            and isinstance(self.receipt, str | None)
            and (self.phase != "accepted" or bool(self.receipt))
            and isinstance(self.exit_reason, str | None)
            and isinstance(self.result, dict | None)
            and isinstance(self.change_seen, bool)
        )


class TaskState:
    """Airflow's task state store, with a retention of its own instead of the installation's.

    :param store: ``context["task_state_store"]``.
    """

    def __init__(self, store: Any) -> None:
        self._store = store

    def get(self, key: str) -> Any:
        """Return the value of a key, or None."""
        return self._store.get(key)

    def set(self, key: str, value: Any) -> None:
        """Set the value of a key."""
        self._store.set(key, value, retention=RETENTION)


@dataclass
class Journal:
    """Reads and writes the one entry of a task.

    :param store: where it is kept across tries; None keeps it in memory, for this try alone.
    :param warn: logs a warning.
    """

    store: Store | None
    warn: Callable[..., None]
    entry: Entry | None = field(default=None)

    def read(self) -> Entry | None:
        """Return what earlier tries left, or None.

        :raises JournalError: it cannot be read.
        :raises UnreadableEntryError: it is damaged, or of another version.
        """
        if self.store is not None:
            try:
                data = self.store.get(KEY)
            except Exception as e:
                raise JournalError(
                    f"The journal of this task cannot be read ({type(e).__name__}: {e}). An "
                    "earlier try may have acted, so nothing was sent."
                ) from e
            self.entry = None if data is None else Entry.of_json(data)
        return self.entry

    def intend(self, entry: Entry) -> None:
        """Write what is about to be sent.

        :raises JournalError: it cannot be written; then it must not be sent.
        """
        if self.store is not None:
            try:
                self.store.set(KEY, entry.as_json())
            except Exception as e:
                raise JournalError(
                    f"The journal of this task cannot be written ({type(e).__name__}: {e}). "
                    "Nothing was sent."
                ) from e
        self.entry = entry

    def forget(self) -> None:
        """Leave the stored entry as it is: it says nothing of what this try does from now on."""
        self.entry = None

    def note(self, **changes: Any) -> None:
        """Write what became of it. If that fails, this try continues; the next is more careful.

        :param changes: fields of `Entry`.
        """
        if self.entry is None:
            return
        self.entry = replace(self.entry, **changes)
        if self.store is None:
            return
        for last in (False, True):
            try:
                self.store.set(KEY, self.entry.as_json())
            except Exception as e:
                if last:
                    with contextlib.suppress(Exception):
                        self.warn("The journal could not be written: %s: %s", type(e).__name__, e)
            else:
                return


def _of_json(kind: type[Any], data: dict[str, Any]) -> Any:
    return kind(**{known.name: data[known.name] for known in fields(kind)})
