"""The operators of the Open API: their arguments, and what each asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_daocloud.api.errors import BuildFailedError, InputError
from airflow_provider_daocloud.api.validation import (
    APP_ACTIONS,
    DEFAULT_VERIFY_TIMEOUT,
    IF_BUSY,
    AppAction,
    IfBusy,
    check_count,
    check_seconds,
    one_of,
)
from airflow_provider_daocloud.links import AppLink, BuildFlowLink, StackLink
from airflow_provider_daocloud.operators.base import DaoCloudBaseOperator
from airflow_provider_daocloud.references import AppReference, BuildFlowReference, StackReference
from airflow_provider_daocloud.triggers.daocloud import (
    DaoCloudActionTrigger,
    DaoCloudAppTrigger,
    DaoCloudBuildFlowTrigger,
    DaoCloudBuildTrigger,
    DaoCloudStackActionTrigger,
)

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_daocloud.api.openapi.builds import Build
    from airflow_provider_daocloud.api.request import Request
    from airflow_provider_daocloud.arguments import (
        AppOperatorArguments,
        OperatorArguments,
        RedeployArguments,
    )
    from airflow_provider_daocloud.compat import Context
    from airflow_provider_daocloud.core.submission.plan import Policy, Progress
    from airflow_provider_daocloud.core.waiting.wait import Wait, WaitState
    from airflow_provider_daocloud.resources.openapi.app import AppEvidence
    from airflow_provider_daocloud.resources.openapi.build_flow import BuildFlowEvidence
    from airflow_provider_daocloud.resources.openapi.stack import StackEvidence

__all__ = [
    "DaoCloudAppActionOperator",
    "DaoCloudAppOperator",
    "DaoCloudBaseOperator",
    "DaoCloudRedeployOperator",
    "DaoCloudRollbackOperator",
    "DaoCloudStackActionOperator",
    "DaoCloudTriggerBuildOperator",
]


class DaoCloudAppOperator(AppReference, DaoCloudBaseOperator):
    """Base of the operators that act on an app. See `DaoCloudBaseOperator` for all else.

    :param app_id: the app's id (templated).
    :param app_name: its name instead (templated): ``GET /v1/apps``, when the task runs.
    :param if_busy: what to do if another action is in progress on the app. ``wait`` until it has
        ended, ``send`` all the same, or ``fail``.
    :param verify: whether to wait, after the action has succeeded, until the app shows what it was
        to lead to: its state, and after a redeploy the release. An action's SUCCESS was seen not to
        be the whole truth. An app that cannot be read, or whose state is an unknown word, has not
        failed: that ends as an outage, and nothing is submitted again.
    :param verify_timeout: seconds (or a timedelta) to wait for that.
    :param max_attempts: how many times to act in all, if the action fails or is not verified.
    :raises DaoCloudAppStateError: the action succeeded, and the app did not come to show it.
    :raises AppBusyError: another action is in progress on the app.
    """

    template_fields: Sequence[str] = (*DaoCloudBaseOperator.template_fields, "app_id", "app_name")
    operator_extra_links = (AppLink(),)
    trigger_classes = (DaoCloudActionTrigger, DaoCloudAppTrigger)

    def __init__(
        self,
        *,
        app_id: str | None = None,
        app_name: str | None = None,
        if_busy: IfBusy = "wait",
        verify: bool = False,
        verify_timeout: float | timedelta = DEFAULT_VERIFY_TIMEOUT,
        max_attempts: int = 1,
        **kwargs: Unpack[OperatorArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.refer_to(app_id, app_name)
        self.if_busy = one_of("if_busy", if_busy, IF_BUSY)
        self.verify = verify
        self.verify_timeout = check_seconds("verify_timeout", verify_timeout)
        self.max_attempts = check_count("max_attempts", max_attempts)
        self._needs_waiting(verify=verify, max_attempts=max_attempts > 1)

    def _needs_waiting(self, **wanted: bool) -> None:
        for name, is_wanted in wanted.items():
            if is_wanted and not self.wait_for_completion:
                raise InputError(name, "needs wait_for_completion=True: it comes after the wait.")

    def policy(self) -> Policy:
        """Return what of the arguments decides what happens next."""
        return replace(super().policy(), verify=self.verify, max_attempts=self.max_attempts)

    def evidence(self) -> AppEvidence:
        """Return the app."""
        from airflow_provider_daocloud.resources.openapi.app import AppEvidence

        return AppEvidence(self.app_id)

    def wait_for(self, receipt: str, progress: Progress) -> Wait:  # noqa: ARG002 - it is always the same
        """Return the wait for an action.

        :param receipt: its id.
        :param progress: not used.
        """
        from airflow_provider_daocloud.resources.openapi.app import ActionWait

        return ActionWait(self.app_id, receipt)


class DaoCloudAppActionOperator(DaoCloudAppOperator):
    """Start, stop or restart an app, and wait until DaoCloud says that it succeeded.

    ``POST /v1/apps/{app_id}/actions/start``, ``stop`` or ``restart``. See `DaoCloudAppOperator` and
    `DaoCloudBaseOperator` for the other parameters, and for what is returned and raised.

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
        **kwargs: Unpack[AppOperatorArguments],
    ) -> None:
        super().__init__(app_id=app_id, app_name=app_name, **kwargs)
        self.action = one_of("action", action, APP_ACTIONS)

    def request(self, progress: Progress) -> Request[str]:  # noqa: ARG002 - it is always the same
        """Return the request for the action."""
        from airflow_provider_daocloud.api.openapi.apps import act_on_app

        return act_on_app(self.app_id, self.action)

    def desired_state(self, progress: Progress) -> Wait:  # noqa: ARG002 - it is always the same
        """Return the wait for the state that the action leads to."""
        from airflow_provider_daocloud.resources.openapi.app import STATE_AFTER, AppWait

        return AppWait(self.app_id, (STATE_AFTER[self.action],))


class DaoCloudRedeployOperator(DaoCloudAppOperator):
    """Redeploy an app to a release, and wait until DaoCloud says that it succeeded.

    ``POST /v1/apps/{app_id}/actions/redeploy``. Redeploying the current release is normal. See
    `DaoCloudAppOperator` and `DaoCloudBaseOperator` for the other parameters, and for what is
    returned and raised. The release that ran before is pushed as XCom ``previous_release_name``.

    :param app_id: the app's id (templated).
    :param app_name: its name instead (templated): ``GET /v1/apps``, when the task runs.
    :param release_name: the release (image tag) to deploy (templated).
    :param skip_if_current: leave an app alone that runs this release already; the result then has
        ``"skipped": True`` and no action id.
    :param rollback_on_failure: after the last failed attempt, redeploy the release that ran before,
        and wait for it. The task still fails; its error describes the failure and the rollback. If
        ``verify`` sees that somebody else has deployed another release since, that one is left
        alone.
    :raises DaoCloudRolledBackError: the release failed, and what ran before was deployed again, or
        could not be. Airflow does not retry it.
    """

    template_fields: Sequence[str] = (*DaoCloudAppOperator.template_fields, "release_name")
    previous_release_key: ClassVar[str] = "previous_release_name"

    def __init__(
        self,
        *,
        release_name: str,
        app_id: str | None = None,
        app_name: str | None = None,
        skip_if_current: bool = False,
        rollback_on_failure: bool = False,
        **kwargs: Unpack[AppOperatorArguments],
    ) -> None:
        super().__init__(app_id=app_id, app_name=app_name, **kwargs)
        self.release_name = release_name
        self.skip_if_current = skip_if_current
        self.rollback_on_failure = rollback_on_failure
        self._needs_waiting(rollback_on_failure=rollback_on_failure)

    def policy(self) -> Policy:
        """Return what of the arguments decides what happens next."""
        rollback = self.rollback_on_failure
        return replace(super().policy(), rollback=rollback, release=self.release_name)

    def request(self, progress: Progress) -> Request[str]:
        """Return the request for the release that the goal is."""
        from airflow_provider_daocloud.api.openapi.apps import redeploy_app

        return redeploy_app(self.app_id, self._release(progress))

    def desired_state(self, progress: Progress) -> Wait:
        """Return the wait for the app to run that release."""
        from airflow_provider_daocloud.resources.openapi.app import STATE_AFTER, AppWait

        return AppWait(self.app_id, (STATE_AFTER["redeploy"],), self._release(progress))

    def result_fields(self, progress: Progress) -> dict[str, Any]:
        """Return the app's name, the release, and the one before it.

        :param progress: how far the invocation is.
        """
        return super().result_fields(progress) | {
            "release_name": self.release_name or None,
            "previous_release_name": progress.previous_release,
        }

    def _release(self, progress: Progress) -> str:
        return self.release_name if progress.goal == "forward" else progress.previous_release or ""


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
    :raises AirflowFailException: that task has not pushed what ran before it. Before Airflow 3.3,
        and with ``durable=False``, a retry that recognises its own redeploy does not know it.
    """

    # Not the release: it comes from an XCom as it is. Rendered natively, 1.10 would be a number.
    template_fields: Sequence[str] = DaoCloudAppOperator.template_fields

    def __init__(
        self,
        *,
        redeploy_task_id: str,
        app_id: str | None = None,
        app_name: str | None = None,
        **kwargs: Unpack[RedeployArguments],
    ) -> None:
        if not isinstance(redeploy_task_id, str) or not redeploy_task_id.strip():
            raise InputError("redeploy_task_id", "must be the id of the task that redeployed.")
        self.redeploy_task_id = redeploy_task_id
        super().__init__(app_id=app_id, app_name=app_name, release_name="", **kwargs)

    def prepare(self, context: Context) -> None:
        """Take the release that ran before.

        :raises InputError: the DAG has no task of that id.
        """
        dag = context.get("dag")
        if dag is not None and not dag.has_task(self.redeploy_task_id):
            raise InputError("redeploy_task_id", _no_such_task(self.redeploy_task_id, dag.task_ids))
        self.release_name = self._pulled(context, self.previous_release_key) or ""

    def nothing_to_do(self, context: Context) -> dict[str, Any] | None:
        """Return a result if there is nothing to undo.

        :raises InputError: the other task may have redeployed, and what ran before is unknown.
        """
        if self.release_name:
            self.log.info(
                "Before task %s, release %s ran.", self.redeploy_task_id, self.release_name
            )
            return None
        returned = self._pulled(context, "return_value")
        skipped = isinstance(returned, Mapping) and returned.get("skipped") is True
        if skipped or _state_of(context, self.redeploy_task_id) == "skipped":
            self.log.info("Task %s was skipped: nothing to undo.", self.redeploy_task_id)
            return self.evidence().result({"name": "redeploy_app"}) | {"skipped": True}
        raise InputError(
            "redeploy_task_id",
            f"task {self.redeploy_task_id!r} has pushed no {self.previous_release_key}, so there "
            "is no release to roll back to. Either it redeployed nothing (or has another id: a "
            "task group puts its own before it), and nothing is to be undone; or it was a retry "
            "that recognised the redeploy of an earlier try. Such a retry knows what ran before "
            "only from Airflow 3.3 on, and with durable=True. Check the app in DaoCloud: deploy "
            "the release that it should run with a DaoCloudRedeployOperator, and mark this task "
            "as success.",
        )

    def _pulled(self, context: Context, key: str) -> Any:
        ti = context["ti"]
        return ti.xcom_pull(task_ids=self.redeploy_task_id, key=key, map_indexes=ti.map_index)


def _no_such_task(task_id: str, there: Iterable[str]) -> str:
    likely = sorted(there, key=lambda known: (not known.endswith(f".{task_id}"), known))[:10]
    return (
        f"the DAG has no task {task_id!r}, so there is no release to roll back to. Nothing was "
        f"sent. A task group puts its own id before that of a task. There are: {', '.join(likely)}."
    )


class DaoCloudTriggerBuildOperator(BuildFlowReference, DaoCloudBaseOperator):
    """Start a build of a branch, and wait until that build has succeeded.

    ``POST /v1/build-flows/{build_flow_id}/builds``, a call of later revisions of the API. See
    `DaoCloudBaseOperator` for the other parameters. A lost response cannot be reconciled by
    evidence as an app's can, since pushes start builds too: if anything was built since, it ends as
    *outcome unknown*, and with ``on_ambiguous="adopt"`` that build is taken.

    :param build_flow_id: the build flow's id (templated).
    :param build_flow_name: its name instead (templated): ``GET /v1/build-flows``, when the task
        runs.
    :param branch: what to build (templated).
    :param reuse_running_build: if a build waits or runs already, start none, and wait for that one.
        The API shows neither its branch nor its id: the result has ``"existing_run": True``,
        no ``build_id``, and the ``package_id`` of the build flow.
    :return: the build as JSON-safe data: a `BuildResult`. The build's id is pushed as XCom
        ``build_id`` too, as soon as there is one.
    :raises DaoCloudBuildFailedError: the build ended in Failure, Error, Cancelled, Timeout or
        Killed.
    """

    template_fields: Sequence[str] = (
        *DaoCloudBaseOperator.template_fields,
        "build_flow_id",
        "build_flow_name",
        "branch",
    )
    operator_extra_links = (BuildFlowLink(),)
    trigger_classes = (DaoCloudBuildTrigger, DaoCloudBuildFlowTrigger)
    id_key = "build_id"
    failure = BuildFailedError
    # The build was seen to run, so that its failure is a new one.
    existing_wait_state: ClassVar[WaitState] = {"moved": True}

    def __init__(
        self,
        *,
        build_flow_id: str | None = None,
        build_flow_name: str | None = None,
        branch: str = "master",
        reuse_running_build: bool = False,
        **kwargs: Unpack[OperatorArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.refer_to(build_flow_id, build_flow_name)
        self.branch = branch
        self.reuse_running_build = reuse_running_build
        # Builds run side by side.
        self.if_busy = "join" if reuse_running_build else "send"
        if reuse_running_build and not self.wait_for_completion:
            raise InputError(
                "reuse_running_build",
                "needs wait_for_completion=True: a build that runs already has no id to return.",
            )

    def request(self, progress: Progress) -> Request[Build]:  # noqa: ARG002 - it is always the same
        """Return the request that starts the build."""
        from airflow_provider_daocloud.api.openapi.builds import start_build

        return replace(
            start_build(self.build_flow_id, self.branch),
            not_found_hint=(
                " The build flow itself was found, so this installation is older than the call "
                "that starts a build. Start the build by a push, and wait for it with a "
                "DaoCloudBuildFlowSensor and its previous_package_id."
            ),
        )

    def evidence(self) -> BuildFlowEvidence:
        """Return the build flow."""
        from airflow_provider_daocloud.resources.openapi.build_flow import BuildFlowEvidence

        return BuildFlowEvidence(self.build_flow_id)

    def wait_for(self, receipt: str, progress: Progress) -> Wait:  # noqa: ARG002 - it is always the same
        """Return the wait for a build.

        :param receipt: its id.
        :param progress: not used.
        """
        from airflow_provider_daocloud.resources.openapi.build_flow import BuildWait

        return BuildWait(self.build_flow_id, receipt)

    def existing_run(self, snapshot: Mapping[str, Any]) -> Wait:
        """Return the wait for the build that runs already, by its flow.

        :param snapshot: what the flow showed of it.
        """
        from airflow_provider_daocloud.resources.openapi.build_flow import BuildFlowWait

        package_id = snapshot["package_id"]
        return BuildFlowWait.of(self.build_flow_id, previous_package_id=package_id, new_build=True)

    def existing_result(self, seen: dict[str, Any]) -> dict[str, Any]:
        """Return what its flow shows of that build.

        :param seen: the flow as JSON-safe data.
        """
        return self.evidence().existing_result(seen)


class DaoCloudStackActionOperator(StackReference, DaoCloudBaseOperator):
    """Start, stop or restart a stack, and wait until DaoCloud says that it succeeded.

    ``POST /v1/stacks/{stack_id}/actions/start``, ``stop`` or ``restart``, calls of later revisions
    of the API. See `DaoCloudBaseOperator` for the other parameters. A stack shows neither a state
    nor that something is in progress on it: a lost response ends as *outcome unknown* as soon as
    somebody has operated on it since, and there is no ``adopt``.

    :param stack_id: the stack's id (templated).
    :param stack_name: its name instead (templated): ``GET /v1/stacks``, when the task runs.
    :param action: ``start``, ``stop`` or ``restart``.
    :return: the finished action as JSON-safe data: a `StackActionResult`.
    """

    template_fields: Sequence[str] = (
        *DaoCloudBaseOperator.template_fields,
        "stack_id",
        "stack_name",
    )
    operator_extra_links = (StackLink(),)
    trigger_classes = (DaoCloudStackActionTrigger,)

    def __init__(
        self,
        *,
        action: AppAction,
        stack_id: str | None = None,
        stack_name: str | None = None,
        **kwargs: Unpack[OperatorArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.refer_to(stack_id, stack_name)
        self.action = one_of("action", action, APP_ACTIONS)
        if self.on_ambiguous == "adopt":
            raise InputError(
                "on_ambiguous", "cannot be 'adopt': a stack shows no state that could be adopted."
            )

    def request(self, progress: Progress) -> Request[str]:  # noqa: ARG002 - it is always the same
        """Return the request for the action."""
        from airflow_provider_daocloud.api.openapi.stacks import act_on_stack

        return act_on_stack(self.stack_id, self.action)

    def evidence(self) -> StackEvidence:
        """Return the stack."""
        from airflow_provider_daocloud.resources.openapi.stack import StackEvidence

        return StackEvidence(self.stack_id)

    def wait_for(self, receipt: str, progress: Progress) -> Wait:  # noqa: ARG002 - it is always the same
        """Return the wait for an action.

        :param receipt: its id.
        :param progress: not used.
        """
        from airflow_provider_daocloud.resources.openapi.stack import StackActionWait

        return StackActionWait(self.stack_id, receipt)


def _state_of(context: Context, task_id: str) -> object:
    """Return the state of another task of the DAG run, with the same map index if it is mapped."""
    ti: Any = context["ti"]
    ask = getattr(ti, "get_task_states", None)
    if ask is None:  # Airflow 2
        dag_run: Any = context["dag_run"]
        return getattr(dag_run.get_task_instance(task_id, map_index=ti.map_index), "state", None)
    runs = ask(dag_id=ti.dag_id, task_ids=[task_id], run_ids=[ti.run_id], map_index=ti.map_index)
    return next(iter(runs.get(ti.run_id, {}).values()), None)
