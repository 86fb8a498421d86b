"""From a name to an id: one exact match.

A letter with an accent can be written in two ways that look the same (Unicode's forms NFC and NFD),
and a name typed on one system reaches DaoCloud from another: where nothing has a name in the very
form that was given, what has it in another form is found.

DaoCloud's requests take ids, and people know names, which DaoCloud does not promise to be unique.
One request lists all that the token can see, so one finds a whole fleet. To look up a name is a
wait as the others are (`NameWait`): it outlasts the same faults, within the same ``max_outage``.

``kind`` is the stem of the arguments: ``app`` for ``app_id`` and ``app_name``, ``build_flow``,
``stack``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, ClassVar, Protocol, TypeVar
from unicodedata import normalize

from airflow_provider_daocloud.api.errors import NameMatchError, OutageError, WaitError
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.validation import checked_name
from airflow_provider_daocloud.core.waiting.blocking import block
from airflow_provider_daocloud.core.waiting.wait import Observation, WaitState
from airflow_provider_daocloud.core.waiting.wording import capitalized
from airflow_provider_daocloud.resources.registry import resource

# How many names, or ids, an error lists at most.
LISTED = 10

# The longest pause between two reads of a list, in seconds.
LONGEST_PAUSE = 10.0


class Named(Protocol):
    """What can be looked up: an app, a build flow, a stack."""

    @property
    def id(self) -> str:
        """The id."""

    @property
    def name(self) -> str | None:
        """The name, if DaoCloud gives it."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-safe data."""


T = TypeVar("T", bound=Named)


def name_field(kind: str) -> str:
    """Return the argument that takes a name.

    :param kind: the resource's kind.
    """
    return resource(kind).name_field or f"{kind}_name"


def find(kind: str, listed: Iterable[T], name: str) -> T:
    """Return the one resource that has a name.

    :param kind: the resources' kind.
    :param listed: all resources of that kind.
    :param name: the name, exactly.
    :raises NameMatchError: none has it, or several have.
    """
    return find_all(kind, listed, (name,), field=name_field(kind))[0]


def find_all(kind: str, listed: Iterable[T], wanted: Iterable[str], field: str) -> tuple[T, ...]:
    """Return the resources that have some names, in the order of the names.

    :param kind: the resources' kind.
    :param listed: all resources of that kind.
    :param wanted: the names, exactly.
    :param field: the argument's name, for the error.
    :raises NameMatchError: a name fits none, or several. The error lists all such names.
    """
    by_name: defaultdict[str, list[T]] = defaultdict(list)
    by_letters: defaultdict[str, list[T]] = defaultdict(list)
    for found in listed:
        if found.name:
            by_name[found.name].append(found)
            by_letters[normalize("NFC", found.name)].append(found)
    wanted = list(wanted)
    fits = {
        name: by_name.get(name) or by_letters.get(normalize("NFC", name), []) for name in wanted
    }
    noun = kind.replace("_", " ")
    problems = []
    missing = [name for name in wanted if not fits[name]]
    if missing:
        problems += [
            f"no {noun} is called {_some(map(repr, missing))}. {_names_listed(by_name, missing)}"
        ]
    several = {name: same for name, same in fits.items() if len(same) > 1}
    problems += [
        f"{len(same)} {noun}s are called {name!r}: {_some(_described(kind, one) for one in same)}. "
        f"Give the {kind}_id of one."
        for name, same in list(several.items())[:LISTED]
    ]
    if problems:
        raise NameMatchError(field, " ".join(problems))
    return tuple(fits[name][0] for name in wanted)


def _described(kind: str, found: Named) -> str:
    row = found.as_dict()
    return f"{found.id} ({', '.join(str(row[field]) for field in resource(kind).distinguishing)})"


def _names_listed(there: Iterable[str], missing: list[str]) -> str:
    """List all names if they are few, and else those that are most like the missing ones."""
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
    """Look up a name: over as soon as the list of all such resources can be read.

    :param resource_kind: the resource's kind.
    :param name: its name.
    """

    resource_kind: str
    name: str

    kind: ClassVar[str] = "name"
    failure: ClassVar[type[WaitError]] = OutageError
    lags: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse what is no name, before anything is sent."""
        name = checked_name(name_field(self.resource_kind), self.name)
        object.__setattr__(self, "name", name)

    def request(self) -> Request[Any]:
        """``GET /v1/apps``, ``GET /v1/build-flows`` or ``GET /v1/stacks``."""
        return resource(self.resource_kind).list_request()

    def judge(self, seen: tuple[Any, ...], wait_state: WaitState) -> Observation:  # noqa: ARG002
        """Find it in the list.

        :raises NameMatchError: none has the name, or several have.
        """
        return Observation("succeeded", "", find(self.resource_kind, seen, self.name).as_dict())

    @property
    def wanted(self) -> str:
        """What is waited for: that the list can be read."""
        return "found"

    def title(self, name: str | None) -> str:  # noqa: ARG002 - it has one
        """Return what is looked up.

        :param name: not used.
        """
        return str(self)

    def __str__(self) -> str:
        return f"{self.resource_kind.replace('_', ' ')} {self.name!r}"


def lookup_of(task: Any, request: Callable[[], object]) -> NameWait | None:
    """Return the look-up that has to come before a task can do its work, or None.

    :param task: the operator or sensor, with its fields rendered.
    :param request: builds what the task will send, so that a bad argument ends here.
    :raises InputError: an argument is unusable. Nothing was sent.
    """
    found_id, name = task.ref
    if name is None or found_id is not None:
        return None
    lookup = NameWait(task.resource, name)
    task.take_id("any")  # for the other arguments, which are checked with it
    try:
        request()
    finally:
        task.take_id(None)
    return lookup


def take(task: Any, lookup: NameWait, found_id: str) -> None:
    """Set a task's id, as its name was looked up.

    :param task: the operator or sensor.
    :param lookup: what was looked up.
    :param found_id: the id.
    """
    task.take_id(found_id)
    task.log.info("%s was found (%s).", capitalized(str(lookup)), found_id)


def resolve(task: Any, request: Callable[[], object], *, timeout: float, max_outage: float) -> None:
    """Set a task's id if it was given a name: one request lists all, and is retried on faults.

    :param task: the operator or sensor, with its fields rendered.
    :param request: builds what the task will send, so that a bad argument ends here.
    :param timeout: seconds in which the list must be read.
    :param max_outage: seconds for which DaoCloud may be unreadable.
    :raises InputError: it is no name, or fits none or several.
    :raises WaitError: the list could not be read in time.
    :raises CallError: the call is refused.
    """
    lookup = lookup_of(task, request)
    if lookup is not None:
        observation = block(
            lookup,
            task.hook.observe,
            timeout=timeout,
            poll_interval=LONGEST_PAUSE,
            max_outage=max_outage,
            wait_state={"read": task.hook.has_read},
            log=task.log.info,
        )
        take(task, lookup, observation.result["id"])
