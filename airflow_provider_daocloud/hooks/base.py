"""What all hooks share: a Connection that becomes a client, and a token that may be rotated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from airflow_provider_daocloud.api.errors import (
    CallError,
    DaoCloudError,
    InputError,
    NotFoundError,
    ProtocolError,
    RefusedError,
)
from airflow_provider_daocloud.compat import AirflowException, BaseHook

if TYPE_CHECKING:
    from airflow_provider_daocloud.api.client import DaoCloudClient
    from airflow_provider_daocloud.api.endpoint import Endpoint
    from airflow_provider_daocloud.api.request import Request
    from airflow_provider_daocloud.hooks.connection import ConnectionLike
    from airflow_provider_daocloud.provider_info import ConnectionForm

T = TypeVar("T")


class DaoCloudBaseHook(BaseHook):
    """Base of the hooks: sends requests with the token of an Airflow Connection.

    :param daocloud_conn_id: the id of the Connection.
    """

    conn_name_attr = "daocloud_conn_id"
    default_conn_name = "daocloud_default"
    # The form of its connections.
    form: ClassVar[ConnectionForm]

    @staticmethod
    def read_connection(connection: ConnectionLike) -> Endpoint:
        """Return where a Connection of the hook's type leads.

        :param connection: the Connection.
        :raises InputError: a field of it is missing or unusable.
        """
        raise NotImplementedError

    def __init__(self, daocloud_conn_id: str = "daocloud_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.daocloud_conn_id = daocloud_conn_id
        self._client: DaoCloudClient | None = None
        # Whether anything was read: what is refused after that may be so for a moment only.
        self.has_read = False

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form's own fields, for Airflow before 3.2 (later lines read provider info)."""
        # Both come with Airflow 2 alone; later lines read provider info, and never call this.
        from flask_appbuilder.fieldwidgets import (  # type: ignore[import-not-found, unused-ignore]
            BS3TextFieldWidget,
        )
        from wtforms import BooleanField, StringField  # type: ignore[import-untyped]

        widgets: dict[str, Any] = {}
        for name, (kind, label, text) in cls.form.fields.items():
            if kind == "boolean":
                widgets[name] = BooleanField(label, description=text)
            else:
                # Numbers are text here too: an IntegerField would refuse 2.5 and an empty box.
                widgets[name] = StringField(label, description=text, widget=BS3TextFieldWidget())
        return widgets

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return labels and placeholders, for Airflow before 3.2."""
        return cls.form.ui_field_behaviour

    def test_connection(self) -> tuple[bool, str]:
        """Say whether the connection works, in words that help.

        :return: whether it works, and what was seen or how to fix it.
        """
        try:
            client = self.get_conn()
        except (DaoCloudError, AirflowException) as e:  # a bad field; no such connection
            return False, str(e)
        except Exception as e:  # Airflow's own or a secrets backend's; its text may have a secret
            conn_id = self.daocloud_conn_id
            return False, f"Connection {conn_id!r} cannot be looked up ({type(e).__name__})."
        where = client.endpoint.base_url
        try:
            return True, f"Connected to {where}. {self.check(client)}"
        except CallError as e:
            return False, f"{self.remedy(e, where)} {e}"
        except InputError as e:  # the CA bundle cannot be used
            return False, str(e)
        finally:
            self.close()

    def check(self, client: DaoCloudClient) -> str:
        """Ask what shows that the connection works; return what was seen, in a sentence.

        :param client: sends the requests.
        :raises CallError: it does not work.
        """
        raise NotImplementedError

    def remedy(self, error: CallError, where: str) -> str:
        """Say who is refused or does not answer, and what a person can do about it.

        :param error: how the test ended.
        :param where: the base URL.
        """
        if isinstance(error, (NotFoundError, ProtocolError, RefusedError)):
            return f"No DaoCloud API answers at {where}. Are base URL and path prefix right?"
        return f"{where} cannot be used now. Is the base URL right, and reachable from Airflow?"

    def get_conn(self) -> DaoCloudClient:
        """Return the client for the connection; made once, and nothing is sent.

        :raises InputError: a field of the connection is missing or unusable.
        """
        if self._client is None:
            from airflow_provider_daocloud.api.client import DaoCloudClient

            self._client = DaoCloudClient(
                self.read_connection(self.get_connection(self.daocloud_conn_id))
            )
        return self._client

    def send(
        self,
        request: Request[T],
        *,
        retry_timeout: float | None = None,
        within: float | None = None,
    ) -> T:
        """Send any request that ``airflow_provider_daocloud.api`` builds.

        A read that is refused with a 401 is sent again if the Connection has changed since it was
        looked up: its token was rotated.

        :param request: the request.
        :param retry_timeout: seconds for which it may be retried; if not given, the client's (60).
        :param within: seconds in which a response must be whole, if that is less than the
            connection's ``connect_timeout`` and ``read_timeout`` together.
        """
        try:
            response = self.get_conn().send(request, retry_timeout=retry_timeout, within=within)
        except CallError as e:
            # A 401 in whoever's words: a gateway that checks tokens may answer with a page.
            if e.status != 401 or request.is_write or not self._renewed():
                raise
            response = self.get_conn().send(request, retry_timeout=retry_timeout, within=within)
        self.has_read = self.has_read or not request.is_write
        return response

    def _renewed(self) -> bool:
        """Look up the connection once more; return whether it has changed, and is used now."""
        old, self._client = self.get_conn(), None
        try:
            changed = self.get_conn().endpoint != old.endpoint
        except Exception:  # no such connection any more, a bad field, an outage of Airflow's own
            changed = False
        if changed:
            self.get_conn().retry_timeout = old.retry_timeout
            old.close()
        else:
            self._client = old
        return changed

    def close(self) -> None:
        """Close the connections to DaoCloud. The hook stays usable."""
        if self._client is not None:
            self._client.close()

    def observe(self, request: Request[T], *, within: float | None = None) -> T:
        """Send a request once, with no retry: for a wait, which observes again anyway.

        :param request: the request.
        :param within: seconds in which the response must be whole, as for `send`.
        """
        return self.send(request, retry_timeout=0.0, within=within)
