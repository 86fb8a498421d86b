"""Defaults and checks of the plain arguments that hook, operators, sensors and triggers share.

They are needed while DAG files are parsed, so nothing heavy is imported here.
"""

from __future__ import annotations

import re
from typing import Any, Literal, TypeVar, cast
from urllib.parse import quote

from airflow_provider_daocloud.api.errors import InputError

T = TypeVar("T")


class _NotGiven:
    def __repr__(self) -> str:
        return "NOT_GIVEN"


# The default of an argument for which a None can be a value: what a mapped task is given.
NOT_GIVEN: Any = _NotGiven()

# Seconds for which DaoCloud may be unreadable before a wait gives up.
DEFAULT_MAX_OUTAGE = 600.0

# Seconds between the first observations; then the pause grows with the time waited.
INITIAL_INTERVAL = 1.0

# A pause is at most this part of the time waited so far, so that an end is seen that much late.
INTERVAL_GROWTH = 0.2

# Seconds for which an app is observed before an unanswered request counts as never arrived.
DEFAULT_SETTLE_TIME = 30.0

# For how long an app may take to show what a successful action has led to.
DEFAULT_VERIFY_TIMEOUT = 300.0

AppAction = Literal["start", "stop", "restart"]

APP_ACTIONS = ("start", "stop", "restart")

WorkloadAction = AppAction

WorkloadKind = Literal["deployment", "statefulset", "daemonset"]

WORKLOAD_TYPES: tuple[WorkloadKind, ...] = ("deployment", "statefulset", "daemonset")

OnAmbiguous = Literal["reconcile", "adopt", "resend", "fail"]

ON_AMBIGUOUS = ("reconcile", "adopt", "resend", "fail")

IfBusy = Literal["wait", "send", "fail"]

IF_BUSY = ("wait", "send", "fail")


def whole_as_text(value: object) -> object:
    """Return a whole number as its text, and anything else as it is.

    :param value: what rendering made of an argument. Native rendering reads ``20240101`` as a
        number, and a task before may have returned one.
    """
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class TextFields:
    """Mixed into operators and sensors: what is rendered to a whole number becomes its text."""

    def render_template(self, *args: Any, **kwargs: Any) -> Any:
        """Render one value, as Airflow does for each of the template fields."""
        return whole_as_text(super().render_template(*args, **kwargs))  # type: ignore[misc]


def one_of(name: str, value: T, known: tuple[str, ...]) -> T:
    """Return a word if it is a known one.

    :param name: the argument's name, for the error.
    :param value: the word.
    :param known: the words to choose from.
    :raises InputError: it is none of them.
    """
    if value not in known:
        raise InputError(name, f"must be one of {', '.join(known)}, not {value!r}.")
    return value


def id_or_name(kind: str, an_id: str | None, name: str | None) -> tuple[Any, str | None]:
    """Return what identifies a resource, its id or its name: exactly one of the two.

    :param kind: the resource's kind, the stem of its arguments: ``app`` for ``app_id``.
    :param an_id: the id, or None.
    :param name: the name, or None.
    :return: both. The id is None until the name is looked up, and a string whenever it is used.
    :raises InputError: both are given, or neither is.
    """
    if (an_id is None) == (name is None):
        given = "neither is" if an_id is None else "both are"
        raise InputError(f"{kind}_id", f"give either {kind}_id or {kind}_name: {given} given.")
    return an_id, name


def check_seconds(name: str, value: object, *, zero: bool = False) -> float:
    """Return a duration in seconds.

    :param name: the argument's name, for the error.
    :param value: seconds as a number, or a timedelta.
    :param zero: whether 0 is allowed.
    :raises InputError: it is no duration, negative, not finite, or 0 where that is not allowed.
    """
    seconds = value.total_seconds() if hasattr(value, "total_seconds") else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise InputError(name, f"must be a number of seconds, not {value!r}.")
    if not (0 <= seconds < float("inf")) or (seconds == 0 and not zero):
        least = "0 or more" if zero else "more than 0"
        raise InputError(name, f"must be {least} seconds, not {value!r}.")
    return cast("float", seconds)


def check_count(name: str, value: object) -> int:
    """Return a whole number of times, one or more.

    :param name: the argument's name, for the error.
    :param value: the number.
    :raises InputError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(name, f"must be a whole number, 1 or more, not {value!r}.")
    return value


def whole_number(name: str, value: object) -> int:
    """Return a whole number, 0 or more, also from its text.

    :param name: the argument's name, for the error.
    :param value: what was given, after rendering.
    :raises InputError: it is none.
    """
    if isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value.strip()):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(name, f"must be a whole number, 0 or more, not {value!r:.100}.")
    return value


def checked(field: str, value: object) -> str:
    """Return ``value`` if it can name something at DaoCloud.

    :param field: the argument's name, for the error.
    :param value: what the user gave, after rendering.
    :raises InputError: it is no string, empty, an unrendered or empty template, or has white space.
    """
    text = checked_name(field, value)
    if re.search(r"\s", text):
        raise InputError(field, f"{text!r} has white space or control characters in it.")
    return text


def checked_name(field: str, value: object) -> str:
    """Return ``value`` if it can be the name of a resource: as `checked`, and with spaces.

    :param field: the argument's name, for the error.
    :param value: what the user gave, after rendering.
    :return: the name; a whole number as its text.
    :raises InputError: it is no string, empty, an unrendered or empty template, or has control
        characters.
    """
    value = whole_as_text(value)
    if value is None:
        raise InputError(field, "must be a string, not NoneType.")
    if not isinstance(value, str):
        raise InputError(
            field,
            f"must be a string, not {type(value).__name__}: {value!r:.100}. Native rendering "
            "(render_template_as_native_obj) makes such values of text that looks like Python, and "
            "1.10 becomes 1.1. Put quotes inside the text, as in \"'1.10'\" or \"'{{ … }}'\", or "
            "set render_template_as_native_obj=False.",
        )
    if not value.strip():
        raise InputError(field, "is empty. Give the value, or a template that renders to one.")
    if "{{" in value or "{%" in value:
        raise InputError(
            field, f"{value!r} is a template that was not rendered. Is the field a template field?"
        )
    if value == "None":
        raise InputError(
            field, "a template rendered to None. Does the task that it pulls from return a value?"
        )
    if re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", value):
        raise InputError(field, f"{value!r} has white space or control characters in it.")
    return value


def path_segment(field: str, value: object) -> str:
    r"""Return an id percent-encoded, to be one segment of a path and never more than one.

    :param field: the argument's name, for the error.
    :param value: the id.
    :raises InputError: as `checked`, and for whatever would lead elsewhere: ``/``, ``\``, ``..``.
    """
    text = checked(field, value)
    if text in (".", "..") or "/" in text or "\\" in text:
        raise InputError(field, f"{text!r} is not an id: give the id alone, not a path.")
    return quote(text, safe="")


def name_hint(field: str, value: object) -> str:
    """Return what to say with a 404: a name where an id belongs is the likeliest mistake.

    :param field: the argument of the id, such as ``app_id``.
    :param value: what was given for it.
    """
    if re.fullmatch(r"[0-9a-fA-F-]{8,}|[0-9]+", str(value)):
        return ""
    return f" For a name, use {field.removesuffix('_id')}_name."
