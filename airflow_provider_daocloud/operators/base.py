"""What all operators have in common: their arguments, and the way into the machinery."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_provider_daocloud.api.errors import ActionFailedError, InputError, WaitError
from airflow_provider_daocloud.api.validation import (
    DEFAULT_MAX_OUTAGE,
    DEFAULT_SETTLE_TIME,
    DEFAULT_VERIFY_TIMEOUT,
    ON_AMBIGUOUS,
    IfBusy,
    OnAmbiguous,
    TextFields,
    check_seconds,
    one_of,
)
from airflow_provider_daocloud.compat import BaseOperator
from airflow_provider_daocloud.exceptions import FailsWhenUnmapped
from airflow_provider_daocloud.hooks.base import DaoCloudBaseHook
from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook
from airflow_provider_daocloud.references import Reference
from airflow_provider_daocloud.triggers.deferral import default_deferrable

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_daocloud.api.request import Request
    from airflow_provider_daocloud.arguments import TaskArguments
    from airflow_provider_daocloud.compat import Context
    from airflow_provider_daocloud.core.submission.evidence import Evidence
    from airflow_provider_daocloud.core.submission.plan import Policy, Progress
    from airflow_provider_daocloud.core.waiting.wait import Wait, WaitState
    from airflow_provider_daocloud.operators.execution import Execution
    from airflow_provider_daocloud.triggers.daocloud import DaoCloudTrigger


class DaoCloudBaseOperator(FailsWhenUnmapped, TextFields, Reference, BaseOperator):
    """Base of the operators: submit an action, then wait until it succeeded.

    :param wait_for_completion: whether to wait. If not, the task returns the action id, for a
        sensor.
    :param poll_interval: the longest time between two observations, in seconds (or a timedelta);
        the first come sooner.
    :param timeout: seconds (or a timedelta) to wait for the action; a final poll is made then.
        Airflow's ``execution_timeout`` bounds all that one try does, the time in the triggerer
        included.
    :param max_outage: seconds (or a timedelta) for which DaoCloud may be unreadable before the
        task ends as an outage; 0 ends it at the first fault.
    :param deferrable: whether to wait in the triggerer, which costs next to nothing. Default:
        ``[operators] default_deferrable``.
    :param end_from_trigger: whether the triggerer may end the task when the action has succeeded,
        so that no worker is needed for it. Where Airflow would drop something (a success callback,
        outlet events), a worker ends the task all the same, and its log says so.
    :param durable: whether to keep a journal of the action in Airflow's task state store (3.3+), so
        that a retry continues with the action of the try before it. Without it, and before 3.3,
        actions are tracked within one try alone.
    :param on_ambiguous: what to do about a request that may or may not have arrived.
        ``reconcile``: observe the resource, and go by what it shows; *outcome unknown* where that
        does not suffice. ``adopt``: take any operation on it since then for ours (if nobody else
        touches it). ``resend``: send again (if two are harmless). ``fail``: *outcome unknown* at
        once.
    :param settle_time: seconds (or a timedelta) for which ``reconcile`` and ``adopt`` observe the
        resource before an unanswered request counts as never arrived.
    :param daocloud_conn_id: the Connection of type ``daocloud`` (templated).
    :return: the finished action as JSON-safe data, with the names of what it acted on: see
        `airflow_provider_daocloud.results`. The action id is pushed as XCom ``action_id`` too, as
        soon as there is one.
    :raises DaoCloudActionFailedError: DaoCloud says FAILED; the error has its message.
    :raises DaoCloudWaitTimeoutError: the time is up and the action is still in progress.
    :raises OutageError: DaoCloud was unreadable for longer than ``max_outage``.
    :raises OutcomeUnknownError: nobody can tell whether the action was taken; the text has the
        evidence, and what a person should check.
    :raises AirflowFailException: no retry helps: a bad argument, a wrong token, no such app.
    """

    template_fields: Sequence[str] = ("daocloud_conn_id",)
    ui_color: str = "#d8ecff"
    # What the receipt of the action is called, as XCom and in the result.
    id_key: ClassVar[str] = "action_id"
    # What runs its waits in the triggerer: one for each kind of wait.
    trigger_classes: ClassVar[tuple[type[DaoCloudTrigger], ...]]
    # The XCom for the release that ran before, if the action deploys one.
    previous_release_key: ClassVar[str | None] = None
    failure: ClassVar[type[WaitError]] = ActionFailedError
    # What a wait for an existing run begins with.
    existing_wait_state: ClassVar[WaitState] = {}

    def __init__(
        self,
        *,
        wait_for_completion: bool = True,
        poll_interval: float | timedelta = 10.0,
        timeout: float | timedelta = 3600.0,
        max_outage: float | timedelta = DEFAULT_MAX_OUTAGE,
        deferrable: bool | None = None,
        end_from_trigger: bool = False,
        durable: bool = True,
        on_ambiguous: OnAmbiguous = "reconcile",
        settle_time: float | timedelta = DEFAULT_SETTLE_TIME,
        daocloud_conn_id: str = DaoCloudHook.default_conn_name,
        **kwargs: Unpack[TaskArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.wait_for_completion = wait_for_completion
        self.poll_interval = check_seconds("poll_interval", poll_interval)
        self.timeout = check_seconds("timeout", timeout)
        self.max_outage = check_seconds("max_outage", max_outage, zero=True)
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.end_from_trigger = end_from_trigger
        self.durable = durable
        self.on_ambiguous = one_of("on_ambiguous", on_ambiguous, ON_AMBIGUOUS)
        self.settle_time = check_seconds("settle_time", settle_time, zero=True)
        self.daocloud_conn_id = daocloud_conn_id
        self.if_busy: IfBusy | Literal["join"] = "wait"
        self.skip_if_current = False
        self.verify_timeout = DEFAULT_VERIFY_TIMEOUT
        # Set while the task runs: what it waits for, and whether Airflow has asked it to end.
        self.waiting_for: tuple[str, Wait] | None = None
        self.killed = False
        if self.timeout < self.poll_interval:
            raise InputError("timeout", "must not be shorter than poll_interval.")

    @abstractmethod
    def request(self, progress: Progress) -> Request[Any]:
        """Return the request to submit; raises InputError for what cannot be sent.

        :param progress: how far the invocation is.
        """

    @abstractmethod
    def evidence(self) -> Evidence:
        """Return the resource that is acted on."""

    @abstractmethod
    def wait_for(self, receipt: str, progress: Progress) -> Wait:
        """Return the wait for what was accepted.

        :param receipt: what the service gave for it.
        :param progress: how far the invocation is.
        """

    def policy(self) -> Policy:
        """Return what of the arguments decides what happens next."""
        from airflow_provider_daocloud.core.submission.plan import Policy

        return Policy(wait=self.wait_for_completion)

    def prepare(self, context: Context) -> None:
        """Take what only the context has; in every process of the task.

        :param context: Airflow's.
        """

    def read_first(self, send: Callable[[Request[Any]], Any]) -> None:
        """Read what the request depends on, when it is known what is acted on.

        :param send: sends a request.
        :raises InputError: an argument is unusable.
        """

    def trigger_arguments(self) -> dict[str, Any]:
        """Return what the trigger gets beside what all get."""
        return {}

    def nothing_to_do(self, context: Context) -> dict[str, Any] | None:  # noqa: ARG002
        """Return what the task returns, if nothing is to be submitted at all.

        :param context: Airflow's.
        """
        return None

    def desired_state(self, progress: Progress) -> Wait:
        """Return the wait for what the action is to lead to, where that is verified.

        :param progress: how far the invocation is.
        """
        raise NotImplementedError

    def existing_run(self, snapshot: Mapping[str, Any]) -> Wait:
        """Return the wait for an existing run.

        :param snapshot: what the resource showed of it.
        """
        raise NotImplementedError

    def existing_result(self, seen: dict[str, Any]) -> dict[str, Any]:
        """Return what the task returns of an existing run.

        :param seen: how the wait for it ended.
        """
        return seen

    def result_fields(self, progress: Progress) -> dict[str, Any]:
        """Return what the result has beside what the service returns: names, and releases.

        :param progress: how far the invocation is.
        """
        return {f"{self.resource}_name": progress.resource_name}

    @cached_property
    def hook(self) -> DaoCloudBaseHook:
        """The hook of the connection."""
        return DaoCloudHook(self.daocloud_conn_id)

    def execution(self, context: Context) -> Execution:
        """Return what works on this invocation in this process."""
        from airflow_provider_daocloud.operators.execution import Execution

        return Execution(self, context)

    def execute(self, context: Context) -> Any:
        """Submit the action unless an earlier try did, and wait for it if that is asked for."""
        return self.execution(context).start()

    def execute_complete(self, context: Context, event: Any = None) -> Any:
        """Continue after the wait: return the result, submit again, or raise why there is none."""
        return self.execution(context).resume(event)

    def on_kill(self) -> None:
        """Say what continues without us: DaoCloud has no call that cancels an action."""
        # Airflow 3 calls this while `execute` runs, which then runs on for some seconds.
        self.killed = True
        if self.waiting_for is not None:
            self.log.warning(
                "No longer waiting for %s: it continues at DaoCloud, and cannot be cancelled (%s).",
                *self.waiting_for,
            )
