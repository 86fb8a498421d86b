"""One call outside of any wait, which outlasts what a wait does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from airflow_provider_daocloud.api.errors import OutageError, WaitError
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.core.waiting.wait import Observation, WaitState


@dataclass(frozen=True)
class Call:
    """Wait until a request is answered at all: over with the first answer.

    :param sent: the request.
    """

    sent: Request[Any]

    kind: ClassVar[str] = "call"
    failure: ClassVar[type[WaitError]] = OutageError
    lags: ClassVar[bool] = False

    @property
    def wanted(self) -> str:
        """What is waited for: an answer."""
        return "reachable"

    def title(self, name: str | None) -> str:  # noqa: ARG002 - the request says what is called
        """Return who is to answer.

        :param name: not used.
        """
        return "DaoCloud"

    def request(self) -> Request[Any]:
        """Return the request."""
        return self.sent

    def judge(self, seen: Any, wait_state: WaitState) -> Observation:  # noqa: ARG002
        """Succeed, with nothing to tell."""
        return Observation("succeeded", "", {})

    def __str__(self) -> str:
        return str(self.sent)
