"""Everything that can go wrong with DaoCloud, in one tree.

::

    DaoCloudError
    ├── InputError               a bad argument; nothing was sent (also a ValueError)
    │   ├── NameMatchError       a name that fits none, or several; nothing was changed
    │   └── UnreadableEntryError the journal has an entry that this version cannot read
    ├── JournalError             the journal cannot be read or written; nothing was posted
    ├── AppBusyError             another action is in progress; nothing was posted
    ├── CallError                one call did not give what it should have
    │   ├── AuthenticationError  401: the token is wrong, expired or not allowed this
    │   ├── RefusedError         another 4xx: DaoCloud will not do this
    │   ├── NotFoundError        404: no such resource (or not this token's)
    │   ├── RateLimitedError     429, or the 403 of a spent hourly limit
    │   ├── ServerFaultError     5xx
    │   ├── ProtocolError        an answer that is not what the API promises
    │   ├── UnreachableError     no answer; a write's request provably never arrived
    │   └── OutcomeUnknownError  a POST that may or may not have arrived
    └── WaitError                a wait ended without success
        ├── ActionFailedError    DaoCloud says that the action FAILED
        ├── BuildFailedError     DaoCloud says that the build failed
        ├── AppStateError        the app is in a state that it was not to be in
        ├── WorkloadFailedError  the rollout of a workload has failed
        ├── PipelineRunFailedError  the run of a pipeline has failed
        ├── OutageError          DaoCloud could not be read for too long
        └── WaitTimeoutError     the time is up, and it is still pending

Errors carry DaoCloud's own ``error_id`` and ``message``, and never the token.
"""

from __future__ import annotations

from typing import Any


class DaoCloudError(Exception):
    """Base of all errors of this package."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions travel between Airflow's processes, whatever their __init__ takes.
        return _rebuild, (type(self), self.args, self.__dict__)


class InputError(DaoCloudError, ValueError):
    """An argument is unusable. Nothing was sent.

    :param field: the name of the argument.
    :param problem: what is wrong with it, and the remedy.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class NameMatchError(InputError):
    """A name fits none of what the token can see, or several. Only a list was asked for."""


class UnreadableEntryError(InputError):
    """The journal has an entry that this version cannot read. Nothing was posted.

    :param problem: what is wrong with the entry.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(
            "journal",
            f"{problem} An earlier try may have acted, so nothing is sent. Check the resource in "
            "DaoCloud; then delete the key 'daocloud_action' of this task in the task state store, "
            "and clear the task.",
        )


class JournalError(DaoCloudError):
    """The journal cannot be read or written. Nothing was posted."""


class AppBusyError(DaoCloudError):
    """Another action is in progress, and nothing was posted. A later try may find none."""


class CallError(DaoCloudError):
    """One call did not give what it should have.

    :param request: the call, as ``GET /v1/apps/<id>``: method and path, no host and no token.
    :param problem: what happened, in words.
    :param status: the HTTP status, or None if there was no answer.
    :param error_id: DaoCloud's ``error_id``, if it sent one.
    :param message: DaoCloud's ``message``, if it sent one.
    :param retry_at: when to ask again, in seconds since the epoch by our clock, if the answer said
        so (the limit's reset, or Retry-After).
    """

    def __init__(
        self,
        request: str,
        problem: str,
        *,
        status: int | None = None,
        error_id: str | None = None,
        message: str | None = None,
        retry_at: float | None = None,
    ) -> None:
        # What happened comes first: Airflow's UI shows the first eighty characters or so.
        text = problem
        if message:
            text += f" DaoCloud says: {message}"
        where = f"error_id {error_id}; {request}" if error_id else request
        super().__init__(f"{text} ({where})")
        self.request = request
        self.problem = problem
        self.status = status
        self.error_id = error_id
        self.message = message
        self.retry_at = retry_at


class AuthenticationError(CallError):
    """401: the access token is wrong or expired, or the call is beyond what it allows."""


class RefusedError(CallError):
    """DaoCloud refuses the call (a 4xx that is no other error here), and would do so again."""


class NotFoundError(CallError):
    """404: there is no such resource, or not for this token."""


class RateLimitedError(CallError):
    """The limit of calls is spent: 429, or a 403 with no calls remaining. Nothing was done.

    ``retry_at`` says when the limit resets, where the answer said so.
    """


class ServerFaultError(CallError):
    """5xx: DaoCloud, or a proxy before it, failed. For a POST see OutcomeUnknownError."""


class ProtocolError(CallError):
    """The answer is not what the API promises: HTML, truncated JSON, a missing field."""


class UnreachableError(CallError):
    """No answer. A POST gets this error only if its request provably never arrived."""


class OutcomeUnknownError(CallError):
    """A POST that may or may not have arrived: it must not be repeated blindly."""


class WaitError(DaoCloudError):
    """A wait ended without success.

    :param text: what was waited for and how it ended.
    :param observed: the last seen state of the resource, as JSON-safe data.
    """

    def __init__(self, text: str, observed: dict[str, Any] | None = None) -> None:
        super().__init__(text)
        self.observed = observed


class ActionFailedError(WaitError):
    """DaoCloud says that the action FAILED."""


class BuildFailedError(WaitError):
    """DaoCloud says that the build ended in Failure, Error, Cancelled, Timeout or Killed."""


class AppStateError(WaitError):
    """The app is in a state that it was not to be in."""


class WorkloadFailedError(WaitError):
    """The rollout of a workload has failed, or another client has changed the workload since."""


class PipelineRunFailedError(WaitError):
    """The run of a pipeline ended in FAILED, ERROR, CANCELED, NOT_BUILT, SKIPPED or UNSTABLE."""


class OutageError(WaitError):
    """DaoCloud could not be read for too long. The wait may have succeeded meanwhile."""


class WaitTimeoutError(WaitError):
    """The time is up, and it is still pending."""


def _rebuild(
    cls: type[DaoCloudError], args: tuple[Any, ...], state: dict[str, Any]
) -> DaoCloudError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error
