"""What all notifiers share: one call of DaoCloud for one callback of Airflow."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import deque
from collections.abc import Generator
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_daocloud.api.errors import OutcomeUnknownError, ProtocolError
from airflow_provider_daocloud.compat import BaseNotifier

if TYPE_CHECKING:
    from airflow_provider_daocloud.api.client import DaoCloudClient
    from airflow_provider_daocloud.api.request import Request
    from airflow_provider_daocloud.compat import Context
    from airflow_provider_daocloud.hooks.base import DaoCloudBaseHook

# What identifies a call: Airflow calls back for a try once for each state, or again by mistake.
_CALLER = ("id", "dag_id", "task_id", "run_id", "map_index", "try_number", "start_date", "state")
_recent: deque[tuple[Any, ...]] = deque(maxlen=1000)


class DaoCloudBaseNotifier(BaseNotifier):
    """Base of the notifiers: submits an action once, and does not wait for what becomes of it.

    :param daocloud_conn_id: the Connection (templated).
    """

    hook_class: ClassVar[type[DaoCloudBaseHook]]
    action: str
    daocloud_conn_id: str

    @abstractmethod
    def prepare(self, client: DaoCloudClient) -> tuple[str, Request[Any]]:
        """Return what is acted on, in words, and the request.

        :param client: reads what must be known for it.
        :raises InputError: a field is unusable after rendering.
        """

    @abstractmethod
    def receipt(self, answer: Any) -> str:
        """Return what an answer says of the action, in words.

        :param answer: what the request returned.
        """

    # BaseNotifier renders the fields in place. A notifier in default_args is shared by tasks, so
    # each call works on a copy: the templates must still be there for the next one.
    def __call__(self, *args: Any) -> None:
        """Render a copy, and post its action.

        :param args: the context, as Airflow passes it.
        """
        super(DaoCloudBaseNotifier, copy(self)).__call__(*args)

    def __await__(self) -> Generator[Any, None, None]:
        """Do the same without blocking the event loop."""
        return super(DaoCloudBaseNotifier, copy(self)).__await__()

    def notify(self, context: Context) -> None:
        """Post the action, and log its id. The fields are taken as they are.

        :param context: the context of the callback.

        :raises InputError: a field is unusable after rendering. Nothing was sent.
        :raises CallError: DaoCloud cannot be reached, or refuses it.
        :raises OutcomeUnknownError: nobody can tell whether it was taken; it is not sent again.
        """
        self._post(self.hook_class(self.daocloud_conn_id).get_conn(), context)

    async def async_notify(self, context: Context) -> None:
        """Do the same without blocking the event loop.

        :param context: the context of the callback.
        """
        from airflow_provider_daocloud.api.client import DaoCloudClient
        from airflow_provider_daocloud.compat import get_async_connection

        connection = await get_async_connection(self.daocloud_conn_id)
        client = DaoCloudClient(self.hook_class.read_connection(connection))
        await asyncio.to_thread(self._post, client, context)

    def _post(self, client: DaoCloudClient, context: Context) -> None:
        identity = self._identity(context)
        if identity in _recent:
            self.log.warning(
                "Airflow called back twice for the same try of %s. The %s is not sent again.",
                getattr(context.get("ti"), "task_id", None),
                self.action,
            )
            return
        with client:
            title, request = self.prepare(client)
            try:
                answer = client.send(request)
            except (OutcomeUnknownError, ProtocolError):
                _remember(identity)
                self.log.error(
                    "Nobody can tell whether DaoCloud has accepted the %s of %s. It was not "
                    "sent again: check it in DaoCloud.",
                    self.action,
                    title,
                )
                raise
        _remember(identity)
        self.log.info(
            "DaoCloud has accepted the %s of %s, which is not waited for (%s).",
            self.action,
            title,
            self.receipt(answer),
        )

    def _identity(self, context: Context) -> tuple[Any, ...] | None:
        """Return what only duplicates of this call share; None if nothing identifies it."""
        ti = context.get("ti")
        if ti is None or "reason" in context:  # of a DAG: its task is any one of the run
            return None
        fields = (getattr(self, field) for field in type(self).template_fields)
        return (type(self), self.action, *fields, *(getattr(ti, name, None) for name in _CALLER))


def _remember(identity: tuple[Any, ...] | None) -> None:
    if identity is not None:
        _recent.append(identity)
