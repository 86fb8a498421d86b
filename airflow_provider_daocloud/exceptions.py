"""What the operators and sensors raise: the package's errors, in the classes that Airflow knows.

- What no retry can fix (a wrong token, an unknown app or Connection, a bad argument) is an
  ``AirflowFailException``: Airflow does not retry it.
- What DaoCloud says has failed, and a time-out, are also an ``AirflowException``.
- An outage stays what it is: neither a failure of the resource nor a time-out, and ``soft_fail``
  must not turn it into a skip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any

from airflow_provider_daocloud.api.errors import (
    ActionFailedError,
    AppStateError,
    BuildFailedError,
    DaoCloudError,
    InputError,
    OutageError,
    PipelineRunFailedError,
    WaitError,
    WaitTimeoutError,
    WorkloadFailedError,
)
from airflow_provider_daocloud.compat import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    AirflowTaskTimeout,
)

if TYPE_CHECKING:
    from airflow_provider_daocloud.core.waiting.wait import Outcome


class DaoCloudActionFailedError(ActionFailedError, AirflowException):
    """DaoCloud says that the action FAILED; the text has DaoCloud's message."""


class DaoCloudBuildFailedError(BuildFailedError, AirflowException):
    """DaoCloud says that the build ended in Failure, Error, Cancelled, Timeout or Killed."""


class DaoCloudAppStateError(AppStateError, AirflowException):
    """The app is in a state that it was not to be in; the text has both."""


class DaoCloudWorkloadFailedError(WorkloadFailedError, AirflowException):
    """The rollout of a workload has failed; the text says why, with the events and the log."""


class DaoCloudPipelineRunFailedError(PipelineRunFailedError, AirflowException):
    """The run of a pipeline has failed; the text has the stage and the end of its log."""


class DaoCloudWaitTimeoutError(WaitTimeoutError, AirflowException):
    """The time is up, and it is still pending."""


class DaoCloudRolledBackError(AirflowFailException):
    """A release failed, and what ran before was deployed again, or could not be. The text says it.

    Airflow does not retry it: a retry would deploy the release that failed.
    """


_AIRFLOW_CLASS: dict[type[WaitError], type[WaitError]] = {
    ActionFailedError: DaoCloudActionFailedError,
    BuildFailedError: DaoCloudBuildFailedError,
    AppStateError: DaoCloudAppStateError,
    WorkloadFailedError: DaoCloudWorkloadFailedError,
    PipelineRunFailedError: DaoCloudPipelineRunFailedError,
    WaitTimeoutError: DaoCloudWaitTimeoutError,
}


def airflow_error(error: DaoCloudError) -> Exception:
    """Return the exception that a task should end with.

    :param error: an error of ``api.errors``.
    """
    from airflow_provider_daocloud.core.waiting.wait import is_permanent

    if is_permanent(error):
        return AirflowFailException(str(error))
    if isinstance(error, WaitError) and type(error) in _AIRFLOW_CLASS:
        return _AIRFLOW_CLASS[type(error)](str(error), error.observed)
    return error


def outcome_error(outcome: Outcome, failure: type[WaitError]) -> BaseException:
    """Return the exception for a wait that ended without success, wherever it ran.

    :param outcome: how it ended.
    :param failure: the wait's own class of failure.
    """
    if outcome.status == "permanent":
        return AirflowFailException(outcome.message)
    if outcome.status == "timeout" and outcome.timeout_setting == "execution_timeout":
        return AirflowTaskTimeout(outcome.message)
    kind: type[WaitError] = {
        "failed": failure,
        "timeout": WaitTimeoutError,
        "unreachable": OutageError,
    }[outcome.status]
    return airflow_error(kind(outcome.message, outcome.result))


def explained(outcome: Outcome, causes: list[str]) -> Outcome:
    """Return an outcome whose message has the causes, the first of them first.

    :param outcome: how a wait ended.
    :param causes: why, as far as it could be found out.
    """
    if not causes:
        return outcome
    first, *others = causes
    more = "".join(f"\n  {other}" for other in others)
    return replace(outcome, message=f"{first.rstrip('.')}. {outcome.message}{more}")


def outcome_of(error: Exception) -> Outcome:
    """Return the outcome that an error stands for.

    :param error: one of ``api.errors``, or that there is no such Connection.
    """
    from airflow_provider_daocloud.core.waiting.wait import Outcome

    if isinstance(error, DaoCloudError):
        return Outcome.of_error(error)
    return Outcome("permanent", None, str(error))


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Turn the package's errors into those of Airflow, as operators do; for your own tasks, too.

    ::

        @task
        def find(app_name: str) -> str:
            with airflow_errors():  # Airflow does not retry a wrong name
                return DaoCloudHook().find_app(app_name).id

    :raises AirflowFailException: no retry can fix it: a bad argument, a name that fits none or
        several, a wrong token, no such Connection.
    """
    try:
        yield
    except DaoCloudError as e:
        mapped = airflow_error(e)
        if mapped is e:
            raise
        raise mapped from None  # it says the same
    except AirflowNotFoundException as e:
        raise AirflowFailException(str(e)) from None


def was_mapped(task: Any) -> bool:
    """Return whether an operator is one of those that Airflow makes of a mapped one.

    :param task: the operator; in its own ``__init__`` too.
    """
    return bool(getattr(task, "_BaseOperator__from_mapped", False))


class FailsWhenUnmapped:
    """Base of all operators: a bad argument that only shows in a mapped task fails it for good.

    Anywhere else it is an error of the DAG file. Airflow makes the operator of a mapped task in a
    worker, and would retry what is raised there.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__init__ = _failing_when_unmapped(cls.__init__)  # type: ignore[method-assign]


def _failing_when_unmapped(init: Callable[..., None]) -> Callable[..., None]:
    @wraps(init)
    def failing_when_unmapped(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            init(self, *args, **kwargs)
        except InputError as e:
            if was_mapped(self):
                raise AirflowFailException(str(e)) from None
            raise

    return failing_when_unmapped
