"""What an operator has asked of DaoCloud, kept across the tries of its task.

DaoCloud has no idempotency key and no list of actions: what was asked has to be remembered on our
side, before it is asked. An `Entry` goes through these phases::

    intended   about to be posted; nobody knows yet whether it arrived
    accepted   DaoCloud took it, and gave it an id
    settled    it has ended, and how is known
    dropped    it surely never acted

The entry is one JSON object in Airflow's task state store (3.3+), under `KEY`. That store survives
retries, and it also survives a clear: which *wish* an entry belongs to is part of it. A retry is
the same wish, a clear is a new one.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import timedelta
from typing import Any, Literal, Protocol

from airflow_provider_daocloud.api.errors import JournalError, UnreadableEntryError
from airflow_provider_daocloud.api.models import parse_date
from airflow_provider_daocloud.api.protocol import Call

KEY = "daocloud_action"
VERSION = 1
# For how long an entry is kept: longer than any retry is put off.
RETENTION = timedelta(days=90)

Phase = Literal["intended", "accepted", "settled", "dropped"]
PHASES = ("intended", "accepted", "settled", "dropped")


class Store(Protocol):
    """Where an entry is kept: Airflow's task state store has these methods."""

    def get(self, key: str) -> Any:
        """Return the value of a key, or None."""

    def set(self, key: str, value: Any) -> None:
        """Set the value of a key."""


@dataclass(frozen=True)
class Wish:
    """One task instance between two clears.

    :param max_tries: how far Airflow lets the try number go; a clear moves it.
    :param try_number: the try.
    :param clears: how often something in the DAG run was cleared.
    """

    max_tries: int = 0
    try_number: int = 1
    clears: int = 0


@dataclass(frozen=True)
class Before:
    """What the server showed of a thing: before a POST, to compare with what it shows after.

    :param state: the state of an app, or the status of a build flow.
    :param release_name: the release of an app.
    :param last_operated_at: of an app or a stack.
    :param seen_at: when that was, in seconds since the epoch by the server's own clock.
    :param package_id: the image of a build flow's last successful build.
    """

    state: str | None = None
    release_name: str | None = None
    last_operated_at: str | None = None
    seen_at: float | None = field(default=None, compare=False)
    package_id: str | None = None

    @property
    def would_move(self) -> bool:
        """Whether an action after this look would surely show in ``last_operated_at``.

        How fine that field is, nothing documents: ``10:05:00`` can be cut to the minute. If it was
        operated on so lately that a second action could leave the same date, equal dates prove
        nothing.
        """
        operated = parse_date(self.last_operated_at)
        if operated is None or self.seen_at is None:
            return False
        # Whatever part of a day it is cut to, that part divides both.
        coarsest = math.gcd(int(operated.timestamp()), 86400)
        return self.seen_at - operated.timestamp() >= coarsest


@dataclass(frozen=True)
class Asked:
    """What was asked: the call, of which app, build flow or stack, and with what."""

    call: str
    target_id: str
    body: dict[str, str] | None = None

    @classmethod
    def of(cls, call: Call[Any], target_id: str) -> Asked:
        """Take it from the call that posts it."""
        return cls(call.name, target_id, dict(call.body) if call.body else None)


@dataclass(frozen=True)
class Course:
    """How far a wish is that can take more than one action.

    :param attempt: which attempt the action is, from 1.
    :param previous: the release that the app ran before the first of them.
    :param failure: why the release failed, once it is being rolled back.
    """

    attempt: int = 1
    previous: str | None = None
    failure: str | None = None

    @classmethod
    def of_json(cls, data: Any) -> Course:
        """Read a stored course.

        :raises KeyError: a field is missing.
        :raises TypeError: it is damaged.
        """
        course = cls(**_known(cls, data))
        texts = (course.previous, course.failure)
        if not isinstance(course.attempt, int) or not all(isinstance(t, str | None) for t in texts):
            raise TypeError("damaged")
        return course


@dataclass(frozen=True)
class Entry:
    """What is kept of one action.

    :param wish: the try that asked for it.
    :param asked: what was asked.
    :param before: the thing before it was asked.
    :param phase: how far it is.
    :param action_id: its id at DaoCloud, once known.
    :param result: how it ended, as the task returns it; only if it succeeded.
    :param left: why the last try gave up waiting, if it could still say so. It shows that the next
        try is a retry, and not the run of a task that was cleared while it ran.
    :param changed: whether the thing was seen to change since it was asked, or the POST was
        answered without an id. Then it proves nothing any more that it is as it was before.
    :param course: how far the wish is, if it can take more than one action.
    """

    wish: Wish
    asked: Asked
    before: Before
    phase: Phase
    action_id: str | None = None
    result: dict[str, Any] | None = None
    left: str | None = None
    changed: bool = False
    course: Course = Course()

    def is_of(self, wish: Wish) -> bool | None:
        """Whether a try belongs to the same wish as the entry, so that it is a retry.

        A clear moves ``max_tries`` wherever a retry leaves it. For a task that is running when it
        is cleared this can stay out; then only the count of clears of the DAG run has moved. If a
        try has said why it left, it was something else that was cleared.

        :return: None if it cannot be told: the process of the last try vanished, and something in
            the DAG run was cleared.
        """
        if wish.max_tries != self.wish.max_tries:
            return False
        if wish.clears == self.wish.clears or self.left is not None:
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
            entry = cls(
                wish=Wish(**_known(Wish, data["wish"])),
                asked=Asked(**_known(Asked, data["asked"])),
                before=Before(**_known(Before, data["before"])),
                phase=data["phase"],
                action_id=data["action_id"],
                result=data["result"],
                left=data["left"],
                changed=data["changed"],
                course=Course.of_json(data["course"]),
            )
        except (KeyError, TypeError):
            raise UnreadableEntryError("its entry is damaged.") from None
        if not entry._is_whole():
            raise UnreadableEntryError("its entry is damaged.")
        return entry

    def _is_whole(self) -> bool:
        """Whether every field is of the kind that was written."""
        wish, asked, before = self.wish, self.asked, self.before
        texts = [asked.call, asked.target_id]
        if self.phase == "accepted":
            texts.append(self.action_id or "")
        shown = (before.state, before.release_name, before.last_operated_at, before.package_id)
        return (
            self.phase in PHASES
            and isinstance(asked.body, dict | None)
            and all(isinstance(n, int) for n in (wish.max_tries, wish.try_number, wish.clears))
            and all(isinstance(text, str) and text for text in texts)
            and all(isinstance(text, str | None) for text in (*shown, self.action_id, self.left))
            and all(isinstance(text, str) for text in (asked.body or {}).values())
            and isinstance(before.seen_at, float | int | None)
            and isinstance(self.result, dict | None)
            and isinstance(self.changed, bool)
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
                    f"the journal of this task cannot be read ({type(e).__name__}: {e}); an "
                    "earlier try may have acted, so nothing was sent."
                ) from e
            self.entry = None if data is None else Entry.of_json(data)
        return self.entry

    def intend(self, entry: Entry) -> None:
        """Write what is about to be posted.

        :raises JournalError: it cannot be written; then it must not be posted.
        """
        if self.store is not None:
            try:
                self.store.set(KEY, entry.as_json())
            except Exception as e:
                raise JournalError(
                    f"the journal of this task cannot be written ({type(e).__name__}: {e}); "
                    "nothing was sent."
                ) from e
        self.entry = entry

    def forget(self) -> None:
        """Let the stored entry be as it is: what this try does from now on is not of it."""
        self.entry = None

    def note(self, **changes: Any) -> None:
        """Write what became of it. If that fails, this try goes on, and the next is more careful.

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


def _known(kind: type[Wish | Asked | Before | Course], data: dict[str, Any]) -> dict[str, Any]:
    return {known.name: data[known.name] for known in fields(kind)}
