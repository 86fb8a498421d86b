"""States as people write them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.api.parsing import State

S = TypeVar("S", bound=State)


def parse_words(field: str, words: str | Iterable[str], kind: type[S]) -> tuple[S, ...]:
    names = [words] if isinstance(words, str) else list(words)
    known = [state for state in kind if state != "UNKNOWN"]
    found = tuple(kind.parse(name) for name in names)
    wrong = [name for name, state in zip(names, found, strict=True) if state not in known]
    if wrong or not found:
        raise InputError(field, f"must be of {', '.join(known)}, not {wrong or 'empty'}.")
    return found


def unknown_state_note(state: State, text: str) -> str:
    return f"{text!r} is a state that this provider does not know" if state == "UNKNOWN" else ""
