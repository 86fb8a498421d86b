"""How the package's errors end a task."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSkipException,
)

from airflow_provider_daocloud import exceptions
from airflow_provider_daocloud.api import errors
from airflow_provider_daocloud.api.errors import DaoCloudError, InputError, WaitError
from airflow_provider_daocloud.core.waiting.wait import Outcome
from tests.support.package import classes

PERMANENT: list[DaoCloudError] = [
    InputError("app_id", "is empty."),
    errors.NameMatchError("app_name", "no app is called 'wbe'."),
    errors.UnreadableEntryError("its entry is damaged."),
    errors.AuthenticationError("GET /x", "wrong token."),
    errors.NotFoundError("GET /x", "no such thing."),
    errors.RefusedError("GET /x", "refused."),
]
RETRIED: list[DaoCloudError] = [
    errors.RateLimitedError("GET /x", "spent."),
    errors.ServerFaultError("GET /x", "failed."),
    errors.ProtocolError("GET /x", "no JSON."),
    errors.UnreachableError("GET /x", "no answer came."),
    errors.OutcomeUnknownError("POST /x", "no answer came."),
    errors.AppBusyError("another action runs on app x."),
    errors.JournalError("the journal cannot be written."),
]
WAITS: dict[type[WaitError], type[WaitError]] = {
    errors.ActionFailedError: exceptions.DaoCloudActionFailedError,
    errors.BuildFailedError: exceptions.DaoCloudBuildFailedError,
    errors.AppStateError: exceptions.DaoCloudAppStateError,
    errors.WorkloadFailedError: exceptions.DaoCloudWorkloadFailedError,
    errors.PipelineRunFailedError: exceptions.DaoCloudPipelineRunFailedError,
    errors.WaitTimeoutError: exceptions.DaoCloudWaitTimeoutError,
}
RESULT = {"state": "FAILED"}


# An answer that has not the promised shape: `response` makes a ProtocolError of it.
INSIDE = {
    "airflow_provider_daocloud.api.body.BodyError",
    "airflow_provider_daocloud.api.parsing.ShapeError",
}


def test_every_error_is_in_the_one_tree() -> None:
    """The tree is drawn in ``errors``; ``exceptions`` has what Airflow's users see of it.

    What begins with an underscore does not get out of its module.
    """
    found = [
        made
        for made in classes()
        if issubclass(made, BaseException) and not made.__name__.startswith("_")
    ]
    assert WaitError in found
    homes = (errors.__name__, exceptions.__name__)
    assert {
        f"{made.__module__}.{made.__name__}" for made in found if made.__module__ not in homes
    } == INSIDE
    for made in found:
        assert made.__module__ != errors.__name__ or issubclass(made, DaoCloudError)


def test_the_tables_are_whole() -> None:
    """Every error that something ends with stands in one of the tables here."""
    tree = [kind for kind in vars(errors).values() if inspect.isclass(kind)]
    bases = {base for kind in tree for base in kind.__bases__}
    named = {type(error) for error in (*PERMANENT, *RETRIED)} | {*WAITS, errors.OutageError}
    assert named - {InputError} == {
        kind for kind in tree if issubclass(kind, DaoCloudError) and kind not in bases
    }


def test_the_docs_list_what_a_task_ends_with() -> None:
    """Its table has each exception, and says rightly whether Airflow retries it."""
    text = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text()
    table = text.split("## How a task ends")[1].split("##")[0]
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| `")]
    retried = {f"`{type(error).__name__}`": "yes" for error in RETRIED}
    retried |= {f"`{kind.__name__}`": "yes" for kind in WAITS.values()}
    retried |= {"`OutageError`": "yes", "`DaoCloudRolledBackError`": "no"}
    for name, response in retried.items():
        (row,) = (row for row in rows if name in row[0])
        assert row[2].strip().startswith(response), row
    (no_retry,) = (row for row in rows if "`AirflowFailException`" in row[0])
    for error in PERMANENT:
        assert f"`{type(error).__name__}`" in no_retry[1]


@pytest.mark.parametrize("error", PERMANENT, ids=lambda error: type(error).__name__)
def test_what_no_retry_can_mend(error: DaoCloudError) -> None:
    """A bad argument, a wrong token, an unknown thing and a refusal are not retried by Airflow."""
    made = exceptions.airflow_error(error)
    assert type(made) is AirflowFailException
    assert str(made) == str(error)
    with pytest.raises(AirflowFailException) as caught, exceptions.airflow_errors():
        raise error
    assert caught.value.__cause__ is None  # it says the same
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("error", RETRIED, ids=lambda error: type(error).__name__)
def test_what_a_retry_may_mend(error: DaoCloudError) -> None:
    """Every other error of a call stays what it is, and is left to the task's own retries."""
    assert exceptions.airflow_error(error) is error
    with pytest.raises(type(error)) as caught, exceptions.airflow_errors():
        raise error
    assert caught.value is error
    assert not isinstance(error, (AirflowFailException, AirflowSkipException))


@pytest.mark.parametrize("kind", WAITS)
def test_waits_that_ended(kind: type[WaitError]) -> None:
    """A failure and a time-out are Airflow's exceptions too, and carry what was seen."""
    made: Any = exceptions.airflow_error(kind("it ended", RESULT))
    assert type(made) is WAITS[kind]
    assert isinstance(made, AirflowException)
    assert isinstance(made, kind)
    assert not issubclass(type(made), AirflowFailException)
    assert (str(made), made.observed) == ("it ended", RESULT)
    back = pickle.loads(pickle.dumps(made))
    assert (type(back), str(back), back.observed) == (type(made), "it ended", RESULT)


def test_an_outage_stays_what_it_is() -> None:
    """`OutageError` is no AirflowException, which soft_fail could turn into a skip."""
    made = exceptions.airflow_error(errors.OutageError("unreadable", RESULT))
    assert type(made) is errors.OutageError
    assert not isinstance(made, AirflowException)


def test_missing_connection() -> None:
    """A Connection that does not exist is not mended by a retry either."""
    with (
        pytest.raises(AirflowFailException, match="no such connection"),
        exceptions.airflow_errors(),
    ):
        raise AirflowNotFoundException("no such connection")
    assert exceptions.outcome_of(AirflowNotFoundException("none")) == Outcome(
        "permanent", None, "none"
    )


def test_bugs_are_not_dressed_up() -> None:
    """What is no error of DaoCloud passes through."""
    with pytest.raises(ZeroDivisionError), exceptions.airflow_errors():
        raise ZeroDivisionError


@pytest.mark.parametrize("error", [*PERMANENT, *(kind("x", RESULT) for kind in WAITS)], ids=repr)
def test_outcome_and_error_agree(error: DaoCloudError) -> None:
    """An error that travelled as an event ends the task as it would have ended it directly."""
    outcome = exceptions.outcome_of(error)
    failure = type(error) if isinstance(error, WaitError) else errors.ActionFailedError
    there = exceptions.outcome_error(Outcome.of_event(outcome.as_event()), failure)
    here = exceptions.airflow_error(error)
    assert type(there) is type(here)
    assert str(there) == str(here)
    assert vars(there) == vars(here)


@pytest.mark.parametrize("error", RETRIED, ids=lambda error: type(error).__name__)
def test_outcome_of_a_fault(error: DaoCloudError) -> None:
    """A fault that ends a wait is an outage, wherever it ran."""
    made = exceptions.outcome_error(Outcome.of_error(error), errors.ActionFailedError)
    assert type(made) is errors.OutageError
    assert str(made) == str(error)
