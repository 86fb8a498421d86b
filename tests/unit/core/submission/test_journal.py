"""The journal: what is kept of an action, and which invocation it belongs to."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_daocloud.api.errors import InputError, JournalError, UnreadableEntryError
from airflow_provider_daocloud.api.openapi.apps import act_on_app, redeploy_app
from airflow_provider_daocloud.core.submission.evidence import Snapshot
from airflow_provider_daocloud.core.submission.journal import (
    KEY,
    VERSION,
    Entry,
    Invocation,
    Journal,
    TaskState,
)
from airflow_provider_daocloud.core.submission.plan import Progress

ENTRY = Entry(
    invocation=Invocation(max_tries=2, try_number=1, clears=0),
    request=redeploy_app("the-app", "v2").record(),
    snapshot=Snapshot({"state": "RUNNING", "release_name": "v1"}, 1_800_000_007.0),
    phase="accepted",
    receipt="the-action",
)
STORED = ENTRY.as_json()


class Store:
    """A store in memory.

    :param failing: how many of the next calls fail.
    """

    def __init__(self, data: Any = None, failing: int = 0) -> None:
        self.data = data
        self.failing = failing

    def get(self, key: str) -> Any:
        assert key == KEY
        self._fail()
        return copy.deepcopy(self.data)

    def set(self, key: str, value: Any) -> None:
        assert key == KEY
        self._fail()
        self.data = json.loads(json.dumps(value))

    def _fail(self) -> None:
        if self.failing:
            self.failing -= 1
            raise ConnectionError("the API server is away")


def journal(store: Store | None, warnings: list[str] | None = None) -> Journal:
    warnings = [] if warnings is None else warnings
    return Journal(store, lambda text, *args: warnings.append(text % args))


# --- entries ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entry",
    [
        ENTRY,
        replace(ENTRY, phase="intended", receipt=None, snapshot=Snapshot({})),
        replace(ENTRY, phase="finished", result={"state": "SUCCESS", "evidence": {"n": [1]}}),
        replace(ENTRY, phase="finished", result=None),
        replace(
            ENTRY, phase="rejected", receipt=None, exit_reason="JournalError", change_seen=True
        ),
        replace(ENTRY, request=act_on_app("the-app", "stop").record()),
        replace(ENTRY, progress=Progress("over", "rollback", 2, "v1", "Release v2 failed.")),
        replace(ENTRY, snapshot=Snapshot({"package_id": "a", "nested": {"deep": [1]}})),
    ],
)
def test_entry_survives_the_store(entry: Entry) -> None:
    stored = json.loads(json.dumps(entry.as_json()))
    assert Entry.of_json(stored) == entry
    assert Entry.of_json(stored).snapshot.server_time == entry.snapshot.server_time


def test_extra_fields_are_ignored() -> None:
    """A later version may add to what it writes, as long as it keeps the version."""
    more = copy.deepcopy(STORED)
    for part in (more, more["invocation"], more["snapshot"], more["progress"]):
        part["added_later"] = {"by": "somebody"}
    assert Entry.of_json(more) == ENTRY


@pytest.mark.parametrize("version", [0, 2, "1", None, 1.5, [1]])
def test_another_version_is_an_error(version: object) -> None:
    with pytest.raises(UnreadableEntryError, match="is of version"):
        Entry.of_json(STORED | {"version": version})


@pytest.mark.parametrize("data", ["", "text", 1, [], [STORED], {}, {"version": VERSION}])
def test_what_is_no_entry_is_an_error(data: object) -> None:
    with pytest.raises(UnreadableEntryError):
        Entry.of_json(data)


MISSING = object()
WRONG: dict[str, tuple[object, ...]] = {
    "object": (MISSING, None, 7, "text", []),
    "number": (MISSING, None, "7", 2.5, []),
    "text": (MISSING, None, 7, [], {}),
    "text or nothing": (MISSING, 7, [], {}),
    "number or nothing": (MISSING, "7", [], {}),
    "object or nothing": (MISSING, 7, "text", []),
    "flag": (MISSING, None, "yes", []),
    "value": (None, 7, [], {}),
    "phase": (MISSING, None, 7, [], "posted", ""),
}
FIELDS = {
    "invocation": "object",
    "invocation.max_tries": "number",
    "invocation.try_number": "number",
    "invocation.clears": "number",
    "request": "object",
    "snapshot": "object",
    "snapshot.shown": "object",
    "snapshot.server_time": "number or nothing",
    "phase": "phase",
    "receipt": "text",  # in the phase of this entry
    "result": "object or nothing",
    "exit_reason": "text or nothing",
    "change_seen": "flag",
    "progress": "object",
    "progress.step": "phase",
    "progress.goal": "phase",
    "progress.attempt": "number",
    "progress.previous_release": "text or nothing",
    "progress.failure_reason": "text or nothing",
    "progress.receipt": "text or nothing",
    "progress.result": "object or nothing",
    "progress.resource_name": "text or nothing",
    "progress.failures": "number",
}


def names(data: dict[str, Any], prefix: str = "") -> set[str]:
    """Return the paths of all that is stored, but for what only a resource can read."""
    found = set()
    for name, value in data.items():
        found.add(prefix + name)
        if isinstance(value, dict) and prefix + name not in ("request", "snapshot.shown"):
            found |= names(value, f"{prefix}{name}.")
    return found


def test_every_field_is_tried() -> None:
    assert FIELDS.keys() | {"version"} == names(STORED)


@pytest.mark.parametrize(
    ("path", "value"),
    [(path, value) for path, kind in FIELDS.items() for value in WRONG[kind]],
    ids=lambda value: "missing" if value is MISSING else repr(value),
)
def test_damage_in_any_field_is_an_error(path: str, value: object) -> None:
    """What is not as it was written passes for nothing: that could cost a second action."""
    data = copy.deepcopy(STORED)
    inner: Any = data
    *parts, name = path.split(".")
    for part in parts:
        inner = inner[part]
    if value is MISSING:
        del inner[name]
    else:
        inner[name] = value
    with pytest.raises(UnreadableEntryError, match="damaged"):
        Entry.of_json(data)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*FIELDS, "x"]), inner),
    )
)
def test_no_data_raises_anything_else(data: Any) -> None:
    """Whatever is in the store, it is an entry or a clear error."""
    for stored in (data, {"version": VERSION, "phase": data, "invocation": data, "snapshot": data}):
        with pytest.raises(UnreadableEntryError):
            Entry.of_json(stored)


def test_an_unreadable_entry_says_what_to_do() -> None:
    with pytest.raises(UnreadableEntryError) as caught:
        Entry.of_json(STORED | {"version": 9})
    assert f"delete the key {KEY!r}" in str(caught.value)
    assert "nothing is sent" in str(caught.value)
    copied = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(copied, InputError)
    assert str(copied) == str(caught.value)


# --- invocations --------------------------------------------------------------------------------


def test_a_retry_is_the_same_invocation() -> None:
    """Nothing but the try number has moved."""
    assert ENTRY.is_of(Invocation(max_tries=2, try_number=2, clears=0)) is True


@pytest.mark.parametrize("exit_reason", [None, "deferred", "WaitTimeoutError"])
@pytest.mark.parametrize("clears", [0, 1, 5])
def test_a_clear_is_a_new_invocation(exit_reason: str | None, clears: int) -> None:
    """Airflow moves ``max_tries`` at a clear, and never at a retry."""
    assert replace(ENTRY, exit_reason=exit_reason).is_of(Invocation(3, 2, clears)) is False


def test_a_clear_of_something_else_leaves_the_invocation_of_a_try_with_an_exit_reason() -> None:
    """The count of clears is of the whole DAG run."""
    exit_reason = replace(ENTRY, exit_reason="OutageError")
    assert exit_reason.is_of(Invocation(2, 2, clears=1)) is True


def test_nobody_can_tell_what_a_clear_after_a_try_that_vanished_was() -> None:
    """Either this task was cleared while it ran, or it is the retry of a killed process."""
    assert ENTRY.is_of(Invocation(2, 2, clears=1)) is None


# --- the journal --------------------------------------------------------------------------------


def test_an_empty_store_has_no_entry() -> None:
    assert journal(Store()).read() is None


def test_what_one_try_intends_the_next_one_reads() -> None:
    store = Store()
    journal(store).intend(ENTRY)
    assert journal(store).read() == ENTRY


def test_notes_change_the_entry() -> None:
    store = Store(STORED)
    first = journal(store)
    first.read()
    first.note(phase="finished", result={"state": "SUCCESS"})
    expected = replace(ENTRY, phase="finished", result={"state": "SUCCESS"})
    assert first.entry == expected
    assert journal(store).read() == expected


def test_a_note_on_nothing_is_nothing() -> None:
    store = Store()
    journal(store).note(phase="finished")
    assert store.data is None


def test_without_a_store_it_remembers_for_one_try() -> None:
    alone = journal(None)
    assert alone.read() is None
    alone.intend(ENTRY)
    alone.note(phase="finished")
    assert alone.read() == replace(ENTRY, phase="finished")
    assert journal(None).read() is None


def test_a_store_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(JournalError, match=r"cannot be read \(ConnectionError: .* was sent"):
        journal(Store(STORED, failing=1)).read()


def test_an_intent_that_cannot_be_written_is_an_error() -> None:
    store = Store(failing=1)
    with pytest.raises(JournalError, match="cannot be written"):
        journal(store).intend(ENTRY)
    assert store.data is None


def test_a_note_is_written_at_the_second_attempt() -> None:
    warnings: list[str] = []
    store = Store(STORED)
    first = journal(store, warnings)
    first.read()
    store.failing = 1
    first.note(exit_reason="JournalError")
    assert store.data["exit_reason"] == "JournalError"
    assert warnings == []


def test_a_note_that_cannot_be_written_is_a_warning() -> None:
    """The try continues with what it knows; the next one finds the entry as it was before."""
    warnings: list[str] = []
    store = Store(STORED)
    first = journal(store, warnings)
    first.read()
    store.failing = 2
    first.note(phase="finished", result={})
    assert store.data == STORED
    assert first.entry is not None
    assert first.entry.phase == "finished"
    assert warnings == ["The journal could not be written: ConnectionError: the API server is away"]


def test_the_task_state_store_is_asked_to_keep_it_for_long() -> None:
    """Its own default is 30 days, or whatever the installation says."""
    kept: dict[str, tuple[Any, timedelta]] = {}

    class Accessor:
        def get(self, key: str) -> Any:
            return kept[key][0] if key in kept else None

        def set(self, key: str, value: Any, *, retention: timedelta) -> None:
            kept[key] = (value, retention)

    first = Journal(TaskState(Accessor()), print)
    first.intend(ENTRY)
    assert kept[KEY] == (STORED, timedelta(days=90))
    assert first.read() == ENTRY


def test_when_it_was_seen_is_no_difference() -> None:
    """Two snapshots of an app that nobody touched are the same."""
    assert replace(ENTRY.snapshot, server_time=1.0) == ENTRY.snapshot


# --- what is requested --------------------------------------------------------------------------


def test_a_record_tells_one_request_from_another() -> None:
    redeploy = redeploy_app("the-app", "v2").record()
    assert redeploy == redeploy_app("the-app", "v2").record()
    assert redeploy != redeploy_app("the-app", "v3").record()
    assert redeploy != redeploy_app("another-app", "v2").record()
    assert act_on_app("the-app", "stop").record() != act_on_app("the-app", "start").record()
    assert json.loads(json.dumps(redeploy)) == redeploy
