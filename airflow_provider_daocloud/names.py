"""From a name to an id: an exact match, and one alone.

A letter with an accent can be written in two ways that look the same (Unicode's forms NFC and NFD),
and a name typed on one system reaches DaoCloud from another: where nothing has a name in the very
form that was given, what has it in another form is found.

DaoCloud's calls take ids, and people know names, which DaoCloud does not promise to be unique. One
call lists all that the token can see, so that one call finds a whole fleet. Looking a name up is a
wait as the others are (`NameWait`): it outlasts the same faults, within the same ``max_outage``.

``what`` is the stem of the arguments: ``app`` for ``app_id`` and ``app_name``, ``build_flow``,
``stack``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, ClassVar, Protocol, TypeVar
from unicodedata import normalize

from airflow_provider_daocloud import waits
from airflow_provider_daocloud.api import protocol
from airflow_provider_daocloud.api.errors import (
    CouldNotFindOutError,
    NameMatchError,
    WaitError,
)

# How many names, or ids, an error lists at most.
LISTED = 10
# The longest pause between two tries to read a list, in seconds.
LONGEST_PAUSE = 10.0


class Named(Protocol):
    """What can be looked up: an app, a build flow, a stack."""

    @property
    def id(self) -> str:
        """The id."""

    @property
    def name(self) -> str | None:
        """The name, if DaoCloud tells it."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-safe data."""


T = TypeVar("T", bound=Named)


@dataclass(frozen=True)
class Kind:
    """A kind of thing that has a name.

    :param list: builds the call that lists them all.
    :param telling: the fields that tell two of the same name apart.
    """

    list: Callable[[], protocol.Call[tuple[Any, ...]]]
    telling: tuple[str, ...]


KINDS = {
    "app": Kind(protocol.list_apps, ("state", "release_name")),
    "build_flow": Kind(protocol.list_build_flows, ("status", "repo")),
    "stack": Kind(protocol.list_stacks, ("created_at",)),
}


def find(what: str, things: Iterable[T], name: str) -> T:
    """Return the one thing that has a name.

    :param what: what kind of thing it is.
    :param things: all that there are.
    :param name: the name, exactly.
    :raises NameMatchError: none has it, or several have.
    """
    return find_all(what, things, (name,), field=f"{what}_name")[0]


def find_all(what: str, things: Iterable[T], wanted: Iterable[str], field: str) -> tuple[T, ...]:
    """Return the things that have some names, in the order of the names.

    :param what: what kind of things they are.
    :param things: all that there are.
    :param wanted: the names, exactly.
    :param field: the argument's name, for the error.
    :raises NameMatchError: a name fits none, or several. All such names are told at once.
    """
    by_name: defaultdict[str, list[T]] = defaultdict(list)
    by_letters: defaultdict[str, list[T]] = defaultdict(list)
    for thing in things:
        if thing.name:
            by_name[thing.name].append(thing)
            by_letters[normalize("NFC", thing.name)].append(thing)
    wanted = list(wanted)
    fits = {
        name: by_name.get(name) or by_letters.get(normalize("NFC", name), []) for name in wanted
    }
    noun = what.replace("_", " ")
    problems = []
    missing = [name for name in wanted if not fits[name]]
    if missing:
        problems += [
            f"no {noun} is called {_some(map(repr, missing))}. {_what_there_is(by_name, missing)}"
        ]
    several = {name: same for name, same in fits.items() if len(same) > 1}
    problems += [
        f"{len(same)} {noun}s are called {name!r}: {_some(_told(what, thing) for thing in same)}. "
        f"Give the {what}_id of one."
        for name, same in list(several.items())[:LISTED]
    ]
    if problems:
        raise NameMatchError(field, " ".join(problems))
    return tuple(fits[name][0] for name in wanted)


def _told(what: str, thing: Named) -> str:
    row = thing.as_dict()
    return f"{thing.id} ({', '.join(str(row[field]) for field in KINDS[what].telling)})"


def _what_there_is(there: Iterable[str], missing: list[str]) -> str:
    """Tell all names if they are few, and else those that are most like the missing ones."""
    names = sorted(there)
    if not names:
        return "The access token sees none."
    if len(names) <= LISTED:
        return f"There are: {', '.join(map(repr, names))}."

    def likeness(name: str) -> float:
        # Some are enough: a fleet can be long, and so can the list.
        return max(
            SequenceMatcher(None, name.casefold(), other.casefold()).ratio()
            for other in missing[:LISTED]
        )

    return f"There are: {_some(map(repr, sorted(names, key=likeness, reverse=True)))}."


def _some(words: Iterable[str]) -> str:
    words = list(words)
    more = f", and {len(words) - LISTED} more" if len(words) > LISTED else ""
    return ", ".join(words[:LISTED]) + more


@dataclass(frozen=True)
class NameWait:
    """Look a name up: over as soon as the list of all such things can be read.

    :param what: what kind of thing it is.
    :param name: its name.
    """

    what: str
    name: str

    kind: ClassVar[str] = "name"
    failure: ClassVar[type[WaitError]] = CouldNotFindOutError
    lags: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse what is no name, before anything is sent."""
        name = protocol.checked_name(f"{self.what}_name", self.name)
        object.__setattr__(self, "name", name)

    def call(self) -> protocol.Call[Any]:
        """``GET /v1/apps``, ``GET /v1/build-flows`` or ``GET /v1/stacks``."""
        return KINDS[self.what].list()

    def judge(self, seen: tuple[Any, ...], memory: waits.Memory) -> waits.Look:  # noqa: ARG002
        """Find it in the list.

        :raises NameMatchError: none has the name, or several have.
        """
        return waits.Look("succeeded", "found", find(self.what, seen, self.name).as_dict())

    def __str__(self) -> str:
        return f"{self.what.replace('_', ' ')} {self.name!r}"


def lookup_of(task: Any, what: str, request: Callable[[], object]) -> NameWait | None:
    """Return the look-up that has to come before a task can do its work, or None.

    :param task: the operator or sensor, with its fields rendered.
    :param what: what kind of thing it may have the name of.
    :param request: builds what the task will send, so that a bad argument ends here.
    :raises InputError: an argument is unusable. Nothing was sent.
    """
    name = getattr(task, f"{what}_name", None)
    if name is None or getattr(task, f"{what}_id") is not None:
        return None
    lookup = NameWait(what, name)
    setattr(task, f"{what}_id", "any")  # for the other arguments, which are checked with it
    try:
        request()
    finally:
        setattr(task, f"{what}_id", None)
    return lookup


def take(task: Any, lookup: NameWait, found_id: str) -> None:
    """Set a task's id, as its name was looked up.

    :param task: the operator or sensor.
    :param lookup: what was looked up.
    :param found_id: the id.
    """
    setattr(task, f"{lookup.what}_id", found_id)
    text = str(lookup)
    task.log.info("%s is %s.", text[0].upper() + text[1:], found_id)


def resolve(
    task: Any, what: str, request: Callable[[], object], *, timeout: float, max_outage: float
) -> None:
    """Set a task's id if it was given a name: one call lists all, and is retried on faults.

    :param task: the operator or sensor, with its fields rendered.
    :param what: what kind of thing it may have the name of.
    :param request: builds what the task will send, so that a bad argument ends here.
    :param timeout: seconds for which the list may be tried for.
    :param max_outage: seconds for which DaoCloud may be unreadable.
    :raises InputError: it is no name, or fits none or several.
    :raises WaitError: the list could not be read in time.
    :raises CallError: the call is refused.
    """
    lookup = lookup_of(task, what, request)
    if lookup is not None:
        look = waits.block(
            lookup,
            task.hook.look,
            timeout=timeout,
            poll_interval=LONGEST_PAUSE,
            max_outage=max_outage,
            memory={"read": task.hook.has_read},
            log=lambda *_: None,  # what it found is told below, and a fault in the error
        )
        take(task, lookup, look.result["id"])
