"""The error tree: what it is, what it carries, and that it survives a trip between processes."""

from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import pytest

from airflow_provider_daocloud.api import errors
from airflow_provider_daocloud.api.errors import CallError, DaoCloudError, InputError, WaitError

CARRIED: dict[str, Any] = {
    "status": 403,
    "error_id": "limit",
    "message": "too many",
    "retry_at": 17.5,
}


def subclasses(kind: type[DaoCloudError]) -> list[type[Any]]:
    """Return a class's own subclasses, those of errors.py only, in their order there."""
    return [
        made for made in vars(errors).values() if isinstance(made, type) and kind in made.__bases__
    ]


def test_the_tree_is_drawn_as_it_is() -> None:
    """The tree in the module's docstring shows every class, under its base."""
    drawn: dict[str, str] = {}
    path = ["DaoCloudError"]
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"    ([│├└─ ]+)(\w+Error)\b", line)
        if found:
            depth = len(found[1]) // 4
            path[depth:] = [found[2]]
            drawn[found[2]] = path[depth - 1]
    real = {
        made.__name__: next(base.__name__ for base in made.__bases__)
        for kind in (DaoCloudError, InputError, CallError, WaitError)
        for made in subclasses(kind)
    }
    assert drawn == real
    assert len(drawn) > 10


@pytest.mark.parametrize("kind", [CallError, *subclasses(CallError)])
@pytest.mark.parametrize("trip", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_call_errors_survive_a_trip(kind: type[CallError], trip: Any) -> None:
    """Airflow carries exceptions between processes: nothing of them is lost on the way."""
    error = kind("GET /apps", "it failed.", **CARRIED)
    back = trip(error)
    assert type(back) is kind
    assert str(back) == str(error)
    assert vars(back) == vars(error)
    assert vars(error) == {"request": "GET /apps", "problem": "it failed.", **CARRIED}


def test_text_of_a_call_error() -> None:
    """The text has the problem, DaoCloud's own words as such, and the call at the end."""
    error = errors.RateLimitedError("GET /apps", "the limit is spent.", **CARRIED)
    assert str(error) == ("the limit is spent. DaoCloud says: too many (error_id limit; GET /apps)")
    assert str(errors.RefusedError("GET /apps", "refused.")) == "refused. (GET /apps)"


@pytest.mark.parametrize("kind", [WaitError, *subclasses(WaitError)])
def test_wait_errors_survive_a_trip(kind: type[WaitError]) -> None:
    """The same for the errors of a wait, with what was seen last."""
    back = pickle.loads(pickle.dumps(kind("it failed", {"state": "FAILED"})))
    assert (type(back), str(back), back.observed) == (kind, "it failed", {"state": "FAILED"})


@pytest.mark.parametrize(
    "error",
    [
        errors.UnreadableEntryError("its entry is damaged."),
        errors.NameMatchError("app_name", "no app is called 'wbe'."),
        errors.JournalError("the journal cannot be read."),
        errors.AppBusyError("another action runs on it."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_other_error_survives_a_trip(error: DaoCloudError) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back), vars(back)) == (type(error), str(error), vars(error))


def test_input_error() -> None:
    """A bad argument is a ValueError, names the argument, and survives a trip as well."""
    error = InputError("app_id", "is empty.")
    assert isinstance(error, ValueError)
    assert str(error) == "app_id: is empty."
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back), back.field, back.problem) == (
        InputError,
        "app_id: is empty.",
        "app_id",
        "is empty.",
    )
