"""A notifier that acts on an app: for the callbacks of tasks and DAGs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Generator, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_daocloud.api.errors import InputError, OutcomeUnknownError, ProtocolError
from airflow_provider_daocloud.api.validation import APP_ACTIONS, id_or_name, one_of
from airflow_provider_daocloud.compat import BaseNotifier
from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook

if TYPE_CHECKING:
    from airflow_provider_daocloud.api.client import DaoCloudClient
    from airflow_provider_daocloud.api.request import Request
    from airflow_provider_daocloud.compat import Context

# What identifies a call: Airflow calls back for a try once for each state, or again by mistake.
_CALLER = ("id", "dag_id", "task_id", "run_id", "map_index", "try_number", "start_date", "state")
_recent: deque[tuple[Any, ...]] = deque(maxlen=1000)


class DaoCloudNotifier(BaseNotifier):
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

    # BaseNotifier renders the fields in place. A notifier in default_args is shared by tasks, so
    # each call works on a copy: the templates must still be there for the next one.
    def __call__(self, *args: Any) -> None:
        """Render a copy, and post its action.

        :param args: the context, as Airflow passes it.
        """
        super(DaoCloudNotifier, copy(self)).__call__(*args)

    def __await__(self) -> Generator[Any, None, None]:
        """Do the same without blocking the event loop."""
        return super(DaoCloudNotifier, copy(self)).__await__()

    def notify(self, context: Context) -> None:
        """Post the action, and log its id. The fields are taken as they are.

        :param context: the context of the callback.

        :raises InputError: a field is unusable after rendering. Nothing was sent.
        :raises CallError: DaoCloud cannot be reached, or refuses it.
        :raises OutcomeUnknownError: nobody can tell whether it was taken; it is not sent again.
        """
        self._post(DaoCloudHook(self.daocloud_conn_id).get_conn(), context)

    async def async_notify(self, context: Context) -> None:
        """Do the same without blocking the event loop.

        :param context: the context of the callback.
        """
        from airflow_provider_daocloud.api.client import DaoCloudClient
        from airflow_provider_daocloud.compat import get_async_connection
        from airflow_provider_daocloud.hooks.connection import endpoint_of

        connection = await get_async_connection(self.daocloud_conn_id)
        await asyncio.to_thread(self._post, DaoCloudClient(endpoint_of(connection)), context)

    def _post(self, client: DaoCloudClient, context: Context) -> None:
        from airflow_provider_daocloud.core.waiting.wording import short
        from airflow_provider_daocloud.resources.names import NameWait, find

        identity = self._identity(context)
        if identity in _recent:
            self.log.warning(
                "Airflow called back twice for the same try of %s. The %s is not sent again.",
                getattr(context.get("ti"), "task_id", None),
                self.action,
            )
            return
        with client:
            if self.app_name is None:
                app_id = self.app_id
            else:
                self._request("any")  # the other fields are checked before the list is asked for
                lookup = NameWait("app", self.app_name)
                app_id = find("app", client.send(lookup.request()), lookup.name).id
            try:
                action_id = client.send(self._request(app_id))
            except (OutcomeUnknownError, ProtocolError):
                _remember(identity)
                self.log.error(
                    "Nobody can tell whether DaoCloud has accepted the %s of app %s. It was not "
                    "sent again: check the app in DaoCloud.",
                    self.action,
                    self.app_name or short(app_id),
                )
                raise
        _remember(identity)
        self.log.info(
            "DaoCloud has accepted the %s of app %s, which is not waited for (action %s).",
            self.action,
            self.app_name or short(app_id),
            action_id,
        )

    def _identity(self, context: Context) -> tuple[Any, ...] | None:
        """Return what only duplicates of this call share; None if nothing identifies it."""
        ti = context.get("ti")
        if ti is None or "reason" in context:  # of a DAG: its task is any one of the run
            return None
        fields = (getattr(self, field) for field in DaoCloudNotifier.template_fields)
        return (self.action, *fields, *(getattr(ti, name, None) for name in _CALLER))

    def _request(self, app_id: str) -> Request[str]:
        from airflow_provider_daocloud.api.openapi.apps import act_on_app, redeploy_app

        if self.action == "redeploy":
            return redeploy_app(app_id, self.release_name or "")
        return act_on_app(app_id, self.action)


def _remember(identity: tuple[Any, ...] | None) -> None:
    if identity is not None:
        _recent.append(identity)
