"""A notifier that acts on an app: for the callbacks of tasks and DAGs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import BaseNotifier

from airflow_provider_daocloud.api.errors import InputError, OutcomeUnknownError, ProtocolError
from airflow_provider_daocloud.arguments import APP_ACTIONS, id_or_name, one_of
from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook
from airflow_provider_daocloud.lazy import lazy

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_daocloud import names
    from airflow_provider_daocloud.api import protocol
    from airflow_provider_daocloud.api.client import DaoCloudClient
else:
    names = lazy("airflow_provider_daocloud.names")
    protocol = lazy("airflow_provider_daocloud.api.protocol")


class DaoCloudNotifier(BaseNotifier):
    """Start, stop, restart or redeploy an app when something has happened in Airflow.

    ``POST /v1/apps/{app_id}/actions/…``, once; what becomes of the action is not waited for. The
    log has the action id, or why there is none. Unlike the operators it keeps no journal: where
    Airflow calls back twice (a process that dies while it does), it acts twice.

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

    def notify(self, context: Context) -> None:  # noqa: ARG002 - Airflow passes it
        """Post the action, and log its id.

        :raises InputError: a field is unusable after rendering. Nothing was sent.
        :raises CallError: DaoCloud cannot be reached, or refuses it.
        :raises OutcomeUnknownError: nobody can tell whether it was taken; it is not sent again.
        """
        self._post(DaoCloudHook(self.daocloud_conn_id).get_conn())

    async def async_notify(self, context: Context) -> None:  # noqa: ARG002 - Airflow passes it
        """Do the same without blocking the event loop."""
        from airflow.providers.common.compat.connection import get_async_connection

        from airflow_provider_daocloud.api.client import DaoCloudClient
        from airflow_provider_daocloud.hooks.connection import endpoint_of

        connection = await get_async_connection(self.daocloud_conn_id)
        await asyncio.to_thread(self._post, DaoCloudClient(endpoint_of(connection)))

    def _post(self, client: DaoCloudClient) -> None:
        with client:
            if self.app_name is None:
                app_id = self.app_id
            else:
                self._call("any")  # the other fields are checked before the list is asked for
                lookup = names.NameWait("app", self.app_name)
                app_id = names.find("app", client.send(lookup.call()), lookup.name).id
            try:
                action_id = client.send(self._call(app_id))
            except (OutcomeUnknownError, ProtocolError):
                self.log.error(
                    "Nobody can tell whether DaoCloud has taken the %s of app %s. It was not sent "
                    "again: see in DaoCloud.",
                    self.action,
                    app_id,
                )
                raise
        self.log.info(
            "DaoCloud has accepted the %s of app %s: action %s, which is not waited for.",
            self.action,
            app_id,
            action_id,
        )

    def _call(self, app_id: str) -> protocol.Call[str]:
        if self.action == "redeploy":
            return protocol.redeploy_app(app_id, self.release_name or "")
        return protocol.act_on_app(app_id, self.action)
