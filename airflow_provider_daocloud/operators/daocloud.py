"""Operators that act on apps: start, stop, restart, redeploy and roll back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_daocloud.api.errors import CallError, DaoCloudError, InputError
from airflow_provider_daocloud.arguments import (
    APP_ACTIONS,
    DEFAULT_VERIFY_TIMEOUT,
    IF_BUSY,
    AppAction,
    IfBusy,
    check_count,
    check_seconds,
    id_or_name,
    one_of,
)
from airflow_provider_daocloud.exceptions import DaoCloudRolledBackError
from airflow_provider_daocloud.lazy import lazy
from airflow_provider_daocloud.links import AppLink
from airflow_provider_daocloud.operators.base import Carried, DaoCloudActOperator, Try

if TYPE_CHECKING:
    from airflow_provider_daocloud import acting, targets, waits
    from airflow_provider_daocloud import journal as journals
    from airflow_provider_daocloud.acting import Act
    from airflow_provider_daocloud.api import protocol
    from airflow_provider_daocloud.compat import Context
    from airflow_provider_daocloud.journal import Course, Entry
else:
    journals = lazy("airflow_provider_daocloud.journal")
    protocol = lazy("airflow_provider_daocloud.api.protocol")
    targets = lazy("airflow_provider_daocloud.targets")
    waits = lazy("airflow_provider_daocloud.waits")

__all__ = [
    "DaoCloudActOperator",
    "DaoCloudAppActionOperator",
    "DaoCloudAppOperator",
    "DaoCloudRedeployOperator",
    "DaoCloudRollbackOperator",
]

# The XCom with the release that an app ran before it was redeployed.
PREVIOUS_RELEASE_KEY = "previous_release_name"


class DaoCloudAppOperator(DaoCloudActOperator):
    """Base of the operators that act on an app. See `DaoCloudActOperator` for all else.

    :param app_id: the app's id (templated).
    :param app_name: its name instead (templated): ``GET /v1/apps``, when the task runs.
    :param if_busy: what to do if another action runs on the app. ``wait`` until it has ended,
        ``send`` all the same, or ``fail``.
    :param verify: whether to wait, after the action has succeeded, until the app shows what it was
        to lead to: its state, and after a redeploy the release. An action's SUCCESS was seen not to
        be the whole truth. An app that cannot be read, or whose state is a word that nobody
        knows, has not failed: that ends as *could not find out*, and nothing is done again.
    :param verify_timeout: seconds (or a timedelta) to wait for that.
    :param attempts: how many times to act in all, if the action fails or is not verified.
    :raises DaoCloudAppStateError: the action succeeded, and the app did not come to show it.
    :raises AppBusyError: another action runs on the app.
    """

    template_fields: Sequence[str] = (*DaoCloudActOperator.template_fields, "app_id", "app_name")
    operator_extra_links = (AppLink(),)
    what = "app"

    def __init__(
        self,
        *,
        app_id: str | None = None,
        app_name: str | None = None,
        if_busy: IfBusy = "wait",
        verify: bool = False,
        verify_timeout: float | timedelta = DEFAULT_VERIFY_TIMEOUT,
        attempts: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.app_id, self.app_name = id_or_name("app", app_id, app_name)
        self.if_busy = one_of("if_busy", if_busy, IF_BUSY)
        self.verify = verify
        self.verify_timeout = check_seconds("verify_timeout", verify_timeout)
        self.attempts = check_count("attempts", attempts)
        self._needs_waiting(verify=verify, attempts=attempts > 1)

    def _needs_waiting(self, **asked: bool) -> None:
        for name, wanted in asked.items():
            if wanted and not self.wait_for_completion:
                raise InputError(name, "needs wait_for_completion=True: it comes after the wait.")

    def target(self) -> targets.AppTarget:
        """Return what is acted on."""
        return targets.AppTarget(self.app_id)

    def wait_for(self, action_id: str) -> waits.Wait:
        """Return the wait for an action by its id."""
        return waits.ActionWait(self.app_id, action_id)

    def succeeded(self, doing: Try, result: dict[str, Any]) -> Any:
        """Look whether the app shows it, if that is wanted."""
        if not self.verify:
            return self.finished(doing, result)
        carried = Carried("verify", doing.course, result, self.verify_timeout)
        return self.wait(doing, self._verification(doing), carried)

    def unverified(self, doing: Try, outcome: waits.Outcome) -> waits.Outcome:
        """Look once more, for as long as an outage may last: what cannot be read has not failed."""
        wait = self._verification(doing)
        try:
            look = wait.judge(self.send(wait.call()), {})
        except CallError as e:
            outcome = waits.Outcome.of_error(e)
            return replace(outcome, message=f"The action succeeded, but then: {outcome.message}")
        if look.verdict == "succeeded":
            return waits.Outcome("succeeded", look.result)
        # Nor has an app failed whose state is a word that nobody knows.
        kind: Literal["unknown", "failed"] = "unknown" if look.note else "failed"
        message = f"The action succeeded, but {outcome.message}"
        if look.state not in message:
            message += f" Now it is {look.state}."
        return replace(outcome, kind=kind, result=look.result, message=message)

    def _verification(self, doing: Try) -> waits.AppWait:
        call = self.call(doing.course)
        release = (call.body or {}).get("release_name")
        return waits.AppWait(self.app_id, (targets.REACHED[call.name],), release)

    def ends_with(self, carried: Carried) -> bool:
        """Whether nothing more is to be done once this wait has succeeded."""
        return super().ends_with(carried) and not self.verify

    def failed(self, doing: Try, error: BaseException) -> Any:
        """Act again, if attempts are left."""
        if doing.course.attempt >= self.attempts:
            doing.course = replace(doing.course, attempt=1)
            doing.journal.note(course=doing.course)
            return super().failed(doing, error)
        self.log.warning("Attempt %s of %s: %s", doing.course.attempt, self.attempts, error)
        doing.course = replace(doing.course, attempt=doing.course.attempt + 1)
        doing.journal.note(phase="settled", result=None, left=None, course=doing.course)
        return self.pursue(doing)


class DaoCloudAppActionOperator(DaoCloudAppOperator):
    """Start, stop or restart an app, and wait until DaoCloud says that it succeeded.

    ``POST /v1/apps/{app_id}/actions/start``, ``stop`` or ``restart``. See `DaoCloudAppOperator` and
    `DaoCloudActOperator` for the other parameters, and for what is returned and raised.

    :param app_id: the app's id (templated).
    :param app_name: its name instead (templated): ``GET /v1/apps``, when the task runs.
    :param action: ``start``, ``stop`` or ``restart``.
    """

    def __init__(
        self,
        *,
        action: AppAction,
        app_id: str | None = None,
        app_name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(app_id=app_id, app_name=app_name, **kwargs)
        self.action = one_of("action", action, APP_ACTIONS)

    def call(self, course: Course) -> protocol.Call[str]:  # noqa: ARG002 - it is always the same
        """Return the call that posts the action."""
        return protocol.act_on_app(self.app_id, self.action)


class DaoCloudRedeployOperator(DaoCloudAppOperator):
    """Redeploy an app to a release, and wait until DaoCloud says that it succeeded.

    ``POST /v1/apps/{app_id}/actions/redeploy``. Redeploying the current release is normal. See
    `DaoCloudAppOperator` and `DaoCloudActOperator` for the other parameters, and for what is
    returned and raised. The release that ran before is pushed as XCom ``previous_release_name``.

    :param app_id: the app's id (templated).
    :param app_name: its name instead (templated): ``GET /v1/apps``, when the task runs.
    :param release_name: the release (image tag) to deploy (templated).
    :param skip_if_current: leave an app alone that runs this release already; the result then has
        ``"skipped": True`` and no action id.
    :param rollback_on_failure: when the action fails, or is not verified, redeploy the release that
        ran before, wait for it, and fail the task with both stories told. If ``verify`` sees that
        somebody else has deployed another release since, that one is left alone.
    :raises DaoCloudRolledBackError: the release failed, and what ran before was deployed again, or
        could not be. Airflow does not retry it.
    """

    template_fields: Sequence[str] = (*DaoCloudAppOperator.template_fields, "release_name")

    def __init__(
        self,
        *,
        release_name: str,
        app_id: str | None = None,
        app_name: str | None = None,
        skip_if_current: bool = False,
        rollback_on_failure: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(app_id=app_id, app_name=app_name, **kwargs)
        self.release_name = release_name
        self.skip_if_current = skip_if_current
        self.rollback_on_failure = rollback_on_failure
        self._needs_waiting(rollback_on_failure=rollback_on_failure)

    def call(self, course: Course) -> protocol.Call[str]:
        """Return the call that posts the action: to the release before, if it is rolled back."""
        release = self.release_name if course.failure is None else course.previous
        return protocol.redeploy_app(self.app_id, release or "")

    def resumed(self, doing: Try, entry: Entry) -> None:
        """Take up the course of an earlier try; a rollback that has failed is not tried again."""
        super().resumed(doing, entry)
        course = entry.course
        rolling = (entry.asked.body or {}).get("release_name") == course.previous
        failed = rolling and entry.phase == "settled" and entry.result is None
        if course.failure and failed and entry.is_of(doing.wish):
            raise DaoCloudRolledBackError(course.failure)

    def begin(self, doing: Try, act: Act) -> acting.Running | acting.Joined | acting.Done:
        """Post the action; tell of the release that failed, if its rollback cannot be posted."""
        try:
            return super().begin(doing, act)
        except DaoCloudError as e:
            if doing.course.failure is not None:
                e.args = (_while_rolling_back(doing.course.failure, e),)
            raise

    def began(self, doing: Try) -> None:
        """Push the release that ran before."""
        if doing.course.previous is not None:
            doing.context["ti"].xcom_push(key=PREVIOUS_RELEASE_KEY, value=doing.course.previous)

    def unverified(self, doing: Try, outcome: waits.Outcome) -> waits.Outcome:
        """Look once more; what somebody else has deployed since is left alone."""
        outcome = super().unverified(doing, outcome)
        shown = (outcome.result or {}).get("release_name")
        asked = (self.call(doing.course).body or {})["release_name"]
        if outcome.kind != "failed" or shown in (asked, doing.course.previous, self.release_name):
            return outcome
        message = (
            f"{outcome.message} It runs release {shown}, which somebody else has deployed since: "
            "left alone."
        )
        return replace(outcome, kind="fatal", message=message)

    def failed(self, doing: Try, error: BaseException) -> Any:
        """Roll back, if that is wanted and no attempt is left."""
        course = doing.course
        if course.failure is not None:
            why = str(error).rstrip(".")
            story = f"{course.failure} Rolling back to {course.previous} failed too: {why}."
            course = replace(course, failure=story)
            doing.journal.note(phase="settled", result=None, left=None, course=course)
            raise DaoCloudRolledBackError(story)
        if not self.rollback_on_failure or course.attempt < self.attempts:
            return super().failed(doing, error)
        if course.previous in (None, self.release_name):
            self.log.warning("Not rolled back: %s is what ran before.", course.previous)
            return super().failed(doing, error)
        story = f"Release {self.release_name} failed: {str(error).rstrip('.')}."
        self.log.warning("%s Rolling back to %s.", story, course.previous)
        doing.course = replace(course, attempt=1, failure=story)
        doing.journal.note(phase="settled", result=None, left=None, course=doing.course)
        return self.pursue(doing)

    def finished(self, doing: Try, result: dict[str, Any]) -> Any:
        """Return the result; after a rollback, fail with both stories."""
        super().finished(doing, result)
        if doing.course.failure is None:
            return result
        previous = doing.course.previous
        action_id = result.get("action_id")
        evidence = "as the app shows" if action_id is None else f"action {action_id}"
        how = f"Rolled back: {previous} runs again ({evidence})."
        if result.get("skipped"):
            how = f"Not rolled back: {previous} never ceased to run, and was left alone."
        raise DaoCloudRolledBackError(f"{doing.course.failure} {how}")

    def ends_with(self, carried: Carried) -> bool:
        """Whether nothing more is to be done: a rollback that succeeds still fails the task."""
        return super().ends_with(carried) and carried.course.failure is None

    def unsettled(self, doing: Try, outcome: waits.Outcome) -> BaseException:
        """Tell of the release that failed, if it is being rolled back."""
        if doing.course.failure is not None:
            message = _while_rolling_back(doing.course.failure, outcome.message)
            outcome = replace(outcome, message=message)
        return super().unsettled(doing, outcome)


def _while_rolling_back(failure: str, what: object) -> str:
    return f"{failure} While rolling back: {what}"


class DaoCloudRollbackOperator(DaoCloudRedeployOperator):
    """Redeploy an app to the release that it ran before another task redeployed it.

    ``POST /v1/apps/{app_id}/actions/redeploy``, with the release that the other task pushed as XCom
    ``previous_release_name``. See `DaoCloudRedeployOperator`. A redeploy that was skipped, by
    Airflow or by its own ``skip_if_current``, has nothing to undo: the result then has
    ``"skipped": True`` and no action id, and nothing is sent.

    :param app_id: the app's id (templated).
    :param app_name: its name instead (templated): ``GET /v1/apps``, when the task runs.
    :param redeploy_task_id: the task whose redeploy is undone. A mapped task undoes what the task
        with the same map index did.
    :raises AirflowFailException: that task has not told what ran before it. Before Airflow 3.3, and
        with ``durable=False``, a retry that recognises its own redeploy does not know it.
    """

    # Not the release: it comes from an XCom as it is. Rendered natively, 1.10 would be a number.
    template_fields: Sequence[str] = DaoCloudAppOperator.template_fields

    def __init__(
        self,
        *,
        redeploy_task_id: str,
        app_id: str | None = None,
        app_name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(redeploy_task_id, str) or not redeploy_task_id.strip():
            raise InputError("redeploy_task_id", "must be the id of the task that redeployed.")
        self.redeploy_task_id = redeploy_task_id
        super().__init__(app_id=app_id, app_name=app_name, release_name="", **kwargs)

    def take(self, context: Context) -> None:
        """Take the release that ran before."""
        self.release_name = self._pulled(context, PREVIOUS_RELEASE_KEY) or ""

    def needless(self, context: Context) -> dict[str, Any] | None:
        """Return a result if there is nothing to undo.

        :raises InputError: the other task may have redeployed, and what ran before is unknown.
        """
        if self.release_name:
            self.log.info(
                "Before task %s, release %s ran.", self.redeploy_task_id, self.release_name
            )
            return None
        told = self._pulled(context, "return_value")
        skipped = isinstance(told, Mapping) and told.get("skipped") is True
        if skipped or _state_of(context, self.redeploy_task_id) == "skipped":
            self.log.info("Task %s was skipped: nothing to undo.", self.redeploy_task_id)
            asked = journals.Asked("redeploy_app", self.app_id)
            return self.target().result(asked) | {"skipped": True}
        raise InputError(
            "redeploy_task_id",
            f"task {self.redeploy_task_id!r} has pushed no {PREVIOUS_RELEASE_KEY}, so there is no "
            "release to roll back to. Either it redeployed nothing (or has another id: a task "
            "group puts its own before it), and nothing is to be undone; or it was a retry that "
            "recognised the redeploy of an earlier try. Such a retry knows what ran before only "
            "from Airflow 3.3 on, and with durable=True. Look at the app in DaoCloud: deploy the "
            "release that it should run with a DaoCloudRedeployOperator, and mark this task as "
            "success.",
        )

    def _pulled(self, context: Context, key: str) -> Any:
        ti = context["ti"]
        return ti.xcom_pull(task_ids=self.redeploy_task_id, key=key, map_indexes=ti.map_index)


def _state_of(context: Context, task_id: str) -> object:
    """Return the state of another task of the DAG run, with the same map index if it is mapped."""
    ti: Any = context["ti"]
    ask = getattr(ti, "get_task_states", None)
    if ask is None:  # Airflow 2
        dag_run: Any = context["dag_run"]
        return getattr(dag_run.get_task_instance(task_id, map_index=ti.map_index), "state", None)
    runs = ask(dag_id=ti.dag_id, task_ids=[task_id], run_ids=[ti.run_id], map_index=ti.map_index)
    return next(iter(runs.get(ti.run_id, {}).values()), None)
