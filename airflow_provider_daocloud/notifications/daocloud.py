"""A notifier that acts on an app: for the callbacks of tasks and DAGs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.api.validation import APP_ACTIONS, id_or_name, one_of
from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook
from airflow_provider_daocloud.notifications.base import DaoCloudBaseNotifier

if TYPE_CHECKING:
    from airflow_provider_daocloud.api.client import DaoCloudClient
    from airflow_provider_daocloud.api.request import Request


class DaoCloudNotifier(DaoCloudBaseNotifier):
    """Start, stop, restart or redeploy an app when something has happened in Airflow.

    ``POST /v1/apps/{app_id}/actions/…``, once; what becomes of the action is not waited for. The
    log has the action id, or why there is none. One notifier can serve many tasks: each call
    renders the fields anew.

    Airflow can call back twice for one failure: for a task whose worker died, its scheduler may ask
    twice. Unlike the operators, the notifier keeps no journal. Within one process, it recognises a
    second call for the same try and state of a task, and sends nothing. In two processes, and for
    callbacks of DAGs and deadlines, it acts twice. Where an action must not come twice, use an
    operator in a task with ``trigger_rule="one_failed"``.

    ::

        smoke_test = BashOperator(
            task_id="smoke_test",
            bash_command="…",
            on_failure_callback=DaoCloudNotifier(action="restart", app_name="web"),
        )

    It can be awaited too, as Airflow's deadline alerts do (3.1+).

    :param action: ``start``, ``stop``, ``restart`` or ``redeploy``.
    :param app_id: the app's id (templated).
    :param app_name: its name instead (templated), which ``GET /v1/apps`` finds.
    :param release_name: the release (image tag) to redeploy (templated).
    :param daocloud_conn_id: the Connection of type ``daocloud`` (templated).
    """

    hook_class = DaoCloudHook
    template_fields: Sequence[str] = ("app_id", "app_name", "release_name", "daocloud_conn_id")

    def __init__(
        self,
        *,
        action: Literal["start", "stop", "restart", "redeploy"],
        app_id: str | None = None,
        app_name: str | None = None,
        release_name: str | None = None,
        daocloud_conn_id: str = DaoCloudHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.action = one_of("action", action, (*APP_ACTIONS, "redeploy"))
        self.app_id, self.app_name = id_or_name("app", app_id, app_name)
        if (release_name is None) == (action == "redeploy"):
            problem = "is needed" if release_name is None else "makes no sense"
            raise InputError("release_name", f"{problem} with the action {action!r}.")
        self.release_name = release_name
        self.daocloud_conn_id = daocloud_conn_id

    def prepare(self, client: DaoCloudClient) -> tuple[str, Request[str]]:
        """Return the app in words, and the request; ``GET /v1/apps`` finds a name."""
        from airflow_provider_daocloud.core.waiting.wording import short
        from airflow_provider_daocloud.resources.names import NameWait, find

        if self.app_name is None:
            return f"app {short(self.app_id)}", self._request(self.app_id)
        self._request("any")  # the other fields are checked before the list is asked for
        lookup = NameWait("app", self.app_name)
        app_id = find("app", client.send(lookup.request()), lookup.name).id
        return f"app {self.app_name}", self._request(app_id)

    def receipt(self, answer: str) -> str:
        """Return the action's id."""
        return f"action {answer}"

    def _request(self, app_id: str) -> Request[str]:
        from airflow_provider_daocloud.api.openapi.apps import act_on_app, redeploy_app

        if self.action == "redeploy":
            return redeploy_app(app_id, self.release_name or "")
        return act_on_app(app_id, self.action)
