"""How the fields of any API's JSON are read: what only describes may be missing or odd."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, Self, cast

# Spellings that the service was seen to use for one and the same state.
SAME_WORD = {"CANCELED": "CANCELLED"}

# How revisions of the API write true and false.
FLAGS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


class State(StrEnum):
    """Base of the state enums: takes any letter case, and turns an unlisted word into UNKNOWN."""

    @classmethod
    def parse(cls, word: object) -> Self:
        """Return the member for ``word`` (any letter case, ``-`` or space for ``_``)."""
        return cast("Self", _known(cls, word if isinstance(word, str) else ""))


@lru_cache(maxsize=256)
def _known(states: type[State], word: str) -> State:
    text = _same(word)
    return next((known for known in states if _same(known.value) == text), states("UNKNOWN"))


def _same(word: str) -> str:
    return SAME_WORD.get(_fold(word), _fold(word))


class ShapeError(ValueError):
    """The data is JSON, but not the object that was promised. `interpret` adds the request."""


def parse_date(value: object) -> datetime | None:
    """Return an aware datetime in UTC, or None for what is no date.

    :param value: a date in ISO form (without a zone it is UTC), or a Unix time in seconds,
        milliseconds or finer, as a number or as text.
    """
    try:
        seconds = _unix_time(value)
        if seconds is not None:
            return datetime.fromtimestamp(seconds, UTC)
        if not isinstance(value, str):
            return None
        moment = datetime.fromisoformat(value.strip())
        if moment.tzinfo is None:
            return moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _unix_time(value: object) -> float | None:
    """Return seconds since the epoch, if it is a number of nine digits or more.

    With eight it is a date in ISO's basic form; and before 1973 there was no DaoCloud.
    """
    if isinstance(value, str) and not re.fullmatch(r"\s*[0-9]{9,}(\.[0-9]*)?\s*", value):
        return None
    number = read_number(value)
    if number is None or number < 1e8:
        return None
    while number >= 1e11:  # seconds have eleven digits until the year 5138
        number /= 1000
    return number


def _fold(word: str) -> str:
    return re.sub(r"[\s-]+", "_", word.strip()).upper()


def shown_word(state: State, text: str) -> str | None:
    """Return the canonical word of a known state, and an unknown one as it was sent."""
    return (text or None) if state.value == "UNKNOWN" else str(state.value)


def read_required(data: Mapping[str, Any], key: str) -> str:
    """Return a text field that must be there.

    :raises ShapeError: it is missing or empty.
    """
    value = read_text(data, key)
    if not value:
        raise ShapeError(f"{key!r} is missing")
    return value


def read_text(data: Mapping[str, Any], key: str) -> str | None:
    """Return a field as text, or None if it is missing or no text."""
    value = data.get(key)
    if isinstance(value, str):
        return writable(value)
    if value is None or isinstance(value, (Mapping, list, bool)):
        return None
    return writable(str(value))


def writable(text: str) -> str:
    """Return a text that every log file and database takes."""
    # JSON can spell half a surrogate pair, which no log file and no database takes.
    return text if text.isascii() else text.encode(errors="replace").decode()


def read_texts(data: object, *keys: str) -> dict[str, str | None]:
    """Return some fields of an object as text; nothing if it is no object."""
    if not isinstance(data, Mapping):
        return {}
    return {key: read_text(data, key) for key in keys}


def read_flag(value: object) -> bool | None:
    """Return a flag in any of its spellings, or None."""
    return FLAGS.get(str(value).strip().lower()) if isinstance(value, (bool, int, str)) else None


def read_number(value: object) -> float | None:
    """Return a finite number, also from its text, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    if number != number or number in (float("inf"), float("-inf")):  # not JSON-safe
        return None
    return int(number) if number.is_integer() else number


def read_date(data: Mapping[str, Any], key: str) -> datetime | None:
    """Return a field as a date, or None."""
    return parse_date(data.get(key))


def to_iso(moment: datetime | None) -> str | None:
    """Return a date as ISO 8601, or None."""
    return moment.isoformat() if moment else None
