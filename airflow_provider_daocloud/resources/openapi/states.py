"""States as people write them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.api.parsing import State

S = TypeVar("S", bound=State)


def parse_words(field: str, words: str | Iterable[str], kind: type[S]) -> tuple[S, ...]:
    """Return states from their words, in any letter case.

    :param field: the argument's name, for the error.
    :param words: one word, or several.
    :param kind: the enum of the states.
    :raises InputError: there is none, or one is not such a state.
    """
    names = [words] if isinstance(words, str) else list(words)
    known = [state for state in kind if state != "UNKNOWN"]
    found = tuple(kind.parse(name) for name in names)
    wrong = [name for name, state in zip(names, found, strict=True) if state not in known]
    if wrong or not found:
        raise InputError(field, f"must be of {', '.join(known)}, not {wrong or 'empty'}.")
    return found


def unknown_state_note(state: State) -> str:
    """Return a note for a state that is not known, and else an empty one.

    :param state: the state.
    """
    return "this provider does not know its state" if state == "UNKNOWN" else ""
