"""The operator that acts on stacks: start, stop and restart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.arguments import APP_ACTIONS, AppAction, id_or_name, one_of
from airflow_provider_daocloud.lazy import lazy
from airflow_provider_daocloud.links import StackLink
from airflow_provider_daocloud.operators.base import DaoCloudActOperator

if TYPE_CHECKING:
    from airflow_provider_daocloud import targets, waits
    from airflow_provider_daocloud.api import protocol
    from airflow_provider_daocloud.journal import Course
else:
    protocol = lazy("airflow_provider_daocloud.api.protocol")
    targets = lazy("airflow_provider_daocloud.targets")
    waits = lazy("airflow_provider_daocloud.waits")


class DaoCloudStackActionOperator(DaoCloudActOperator):
    """Start, stop or restart a stack, and wait until DaoCloud says that it succeeded.

    ``POST /v1/stacks/{stack_id}/actions/start``, ``stop`` or ``restart``, calls of later revisions
    of the API. See `DaoCloudActOperator` for the other parameters. A stack shows neither a state
    nor that something runs on it: a lost answer ends as *outcome unknown* as soon as somebody has
    operated on it since, and there is no ``adopt``.

    :param stack_id: the stack's id (templated).
    :param stack_name: its name instead (templated): ``GET /v1/stacks``, when the task runs.
    :param action: ``start``, ``stop`` or ``restart``.
    :return: the finished action, with ``stack_id`` in the place of ``app_id``.
    """

    template_fields: Sequence[str] = (
        *DaoCloudActOperator.template_fields,
        "stack_id",
        "stack_name",
    )
    operator_extra_links = (StackLink(),)
    what = "stack"

    def __init__(
        self,
        *,
        action: AppAction,
        stack_id: str | None = None,
        stack_name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.stack_id, self.stack_name = id_or_name("stack", stack_id, stack_name)
        self.action = one_of("action", action, APP_ACTIONS)
        if self.on_ambiguous == "adopt":
            raise InputError(
                "on_ambiguous", "cannot be 'adopt': a stack shows no state that could be adopted."
            )

    def call(self, course: Course) -> protocol.Call[str]:  # noqa: ARG002 - it is always the same
        """Return the call that posts the action."""
        return protocol.act_on_stack(self.stack_id, self.action)

    def target(self) -> targets.StackTarget:
        """Return what is acted on."""
        return targets.StackTarget(self.stack_id)

    def wait_for(self, action_id: str) -> waits.Wait:
        """Return the wait for an action by its id."""
        return waits.StackActionWait(self.stack_id, action_id)
