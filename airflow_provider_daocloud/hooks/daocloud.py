"""`DaoCloudHook`: an Airflow Connection turned into calls of the DaoCloud Open API."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sized
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_daocloud import provider_info
from airflow_provider_daocloud.api.errors import (
    AuthenticationError,
    CallError,
    DaoCloudError,
    InputError,
    NotFoundError,
    ProtocolError,
    RateLimitedError,
    RefusedError,
)
from airflow_provider_daocloud.arguments import DEFAULT_MAX_OUTAGE, check_seconds
from airflow_provider_daocloud.compat import AirflowException, BaseHook
from airflow_provider_daocloud.lazy import lazy

if TYPE_CHECKING:
    from airflow_provider_daocloud import names, waits
    from airflow_provider_daocloud.api import protocol
    from airflow_provider_daocloud.api.client import DaoCloudClient
    from airflow_provider_daocloud.api.models import Action, App, Build, BuildFlow, Stack
    from airflow_provider_daocloud.api.protocol import Call
else:
    names = lazy("airflow_provider_daocloud.names")
    waits = lazy("airflow_provider_daocloud.waits")
    protocol = lazy("airflow_provider_daocloud.api.protocol")

T = TypeVar("T")


class DaoCloudHook(BaseHook):
    """Talks to DaoCloud with the access token of an Airflow Connection.

    Every method stands for one call of the Open API. Reading is retried on faults that pass; an
    action is sent again only if it surely never arrived or was definitely refused.

    All methods raise an error of ``airflow_provider_daocloud.api.errors``, and never show the
    token. In a task, ``airflow_provider_daocloud.exceptions.airflow_errors`` makes those that no
    retry can mend an ``AirflowFailException``.

    :param daocloud_conn_id: the id of a Connection of type ``daocloud``.
    """

    conn_name_attr = "daocloud_conn_id"
    default_conn_name = "daocloud_default"
    conn_type = provider_info.CONNECTION_TYPE
    hook_name = "DaoCloud"

    def __init__(self, daocloud_conn_id: str = default_conn_name, **kwargs: Any) -> None:
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
        for name, (kind, label, text) in provider_info.EXTRA_FIELDS.items():
            if kind == "boolean":
                widgets[name] = BooleanField(label, description=text)
            else:
                # Numbers are text here too: an IntegerField would refuse 2.5 and an empty box.
                widgets[name] = StringField(label, description=text, widget=BS3TextFieldWidget())
        return widgets

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return labels and placeholders, for Airflow before 3.2."""
        return provider_info.UI_FIELD_BEHAVIOUR

    def get_conn(self) -> DaoCloudClient:
        """Return the client for the connection; made once, and nothing is sent.

        :raises InputError: a field of the connection is missing or unusable.
        """
        if self._client is None:
            from airflow_provider_daocloud.api.client import DaoCloudClient
            from airflow_provider_daocloud.hooks.connection import endpoint_of

            self._client = DaoCloudClient(endpoint_of(self.get_connection(self.daocloud_conn_id)))
        return self._client

    def send(
        self, call: Call[T], *, patience: float | None = None, within: float | None = None
    ) -> T:
        """Send any call that ``airflow_provider_daocloud.api.protocol`` builds.

        A call that reads and is refused with a 401 is sent again if the Connection has changed
        since it was looked up: its token was rotated.

        :param call: the call.
        :param patience: seconds for which it may be retried; the client's own (60) if not given.
        :param within: seconds in which an answer must be whole, if that is less than the
            connection's ``connect_timeout`` and ``read_timeout`` together.
        """
        try:
            answer = self.get_conn().send(call, patience=patience, within=within)
        except CallError as e:
            # A 401 in whoever's words: a gateway that checks tokens may answer with a page.
            if e.status != 401 or call.acts or not self._renewed():
                raise
            answer = self.get_conn().send(call, patience=patience, within=within)
        self.has_read = self.has_read or not call.acts
        return answer

    def _renewed(self) -> bool:
        """Look the connection up once more; return whether it has changed, and is taken."""
        old, self._client = self.get_conn(), None
        try:
            changed = self.get_conn().endpoint != old.endpoint
        except Exception:  # no such connection any more, a bad field, an outage of Airflow's own
            changed = False
        if changed:
            self.get_conn().patience = old.patience
            old.close()
        else:
            self._client = old
        return changed

    def close(self) -> None:
        """Close the connections to DaoCloud. The hook stays usable."""
        if self._client is not None:
            self._client.close()

    def test_connection(self) -> tuple[bool, str]:
        """Say whether the connection works, in words that help: ``GET /v1/apps`` and build flows.

        :return: whether it works, and what was seen or what to mend.
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
            # A person is waiting at the button; and where no API answers, a wrong base URL is far
            # likelier than a proxy's page that passes.
            apps = client.send(protocol.list_apps(), patience=5, final=ProtocolError)
            flows = client.send(protocol.list_build_flows(), patience=5, final=ProtocolError)
        except CallError as e:
            return False, f"{_what_to_mend(e, where)} {e}"
        except InputError as e:  # the CA bundle cannot be used
            return False, str(e)
        finally:
            self.close()
        seen = f"{_count(apps, 'app')} and {_count(flows, 'build flow')}"
        left = client.rate_limit.remaining if client.rate_limit else None
        calls = "" if left is None else f" Calls left in this hour: {left}."
        return True, f"Connected to {where}. The access token sees {seen}.{calls}"

    def list_build_flows(self) -> tuple[BuildFlow, ...]:
        """``GET /v1/build-flows``: return all build flows that the token can see."""
        return self.send(protocol.list_build_flows())

    def get_build_flow(self, build_flow_id: str) -> BuildFlow:
        """``GET /v1/build-flows/{id}``: return one build flow.

        :param build_flow_id: the build flow's id (a uuid), not its name.
        """
        return self.send(protocol.get_build_flow(build_flow_id))

    def find_build_flow(self, build_flow_name: str) -> BuildFlow:
        """``GET /v1/build-flows``: return the one build flow that has a name.

        :param build_flow_name: the build flow's name, exactly.
        :raises NameMatchError: no build flow has it, or several have; the text says what there is.
        """
        build_flow_name = protocol.checked_name("build_flow_name", build_flow_name)
        return names.find("build_flow", self.list_build_flows(), build_flow_name)

    def start_build(self, build_flow_id: str, branch: str) -> Build:
        """``POST /v1/build-flows/{id}/builds``: start a build of a branch, and return it.

        :param build_flow_id: the build flow's id.
        :param branch: what to build.
        :raises NotFoundError: there is no such build flow, or the installation is older than this
            call.
        :raises OutcomeUnknownError: the build may or may not have been started.
        """
        return self.send(protocol.start_build(build_flow_id, branch))

    def get_build(self, build_flow_id: str, build_id: str | int) -> Build:
        """``GET /v1/build-flows/{id}/builds/{build_id}``: return one build.

        :param build_flow_id: the build flow's id.
        :param build_id: the build's id, as its POST returned it.
        """
        return self.send(protocol.get_build(build_flow_id, build_id))

    def list_apps(self) -> tuple[App, ...]:
        """``GET /v1/apps``: return all apps that the token can see, without their ``config``."""
        return self.send(protocol.list_apps())

    def get_app(self, app_id: str) -> App:
        """``GET /v1/apps/{id}``: return one app, with its ``config``.

        :param app_id: the app's id (a uuid), not its name.
        """
        return self.send(protocol.get_app(app_id))

    def find_app(self, app_name: str) -> App:
        """``GET /v1/apps``: return the one app that has a name, without its ``config``.

        :param app_name: the app's name, exactly.
        :raises NameMatchError: no app has it, or several have; the text says what there is.
        """
        app_name = protocol.checked_name("app_name", app_name)
        return names.find("app", self.list_apps(), app_name)

    def find_apps(self, app_names: Iterable[str]) -> tuple[App, ...]:
        """``GET /v1/apps``, once: return the apps that have some names, in the order of these.

        :param app_names: the names, exactly, each of them once. With none, nothing is sent.
        :raises NameMatchError: no app has one of them, or several have; the text names all such.
        """
        if isinstance(app_names, str):
            raise InputError("app_names", "must be a list of names, not one name.")
        wanted = [protocol.checked_name("app_names", name) for name in app_names]
        twice = sorted({name for name in wanted if wanted.count(name) > 1})
        if twice:
            raise InputError("app_names", f"has these more than once: {', '.join(twice)}.")
        found = names.find_all("app", self.list_apps(), wanted, "app_names") if wanted else ()
        twice = sorted({app.name or "" for app in found if found.count(app) > 1})
        if twice:  # in two Unicode forms
            raise InputError("app_names", f"has these more than once: {', '.join(twice)}.")
        return found

    def start_app(self, app_id: str) -> str:
        """``POST /v1/apps/{id}/actions/start``: return the action id.

        :param app_id: the app's id.
        :raises OutcomeUnknownError: the action may or may not have been taken.
        """
        return self.send(protocol.act_on_app(app_id, "start"))

    def stop_app(self, app_id: str) -> str:
        """``POST /v1/apps/{id}/actions/stop``: return the action id.

        :param app_id: the app's id.
        :raises OutcomeUnknownError: the action may or may not have been taken.
        """
        return self.send(protocol.act_on_app(app_id, "stop"))

    def restart_app(self, app_id: str) -> str:
        """``POST /v1/apps/{id}/actions/restart``: return the action id.

        :param app_id: the app's id.
        :raises OutcomeUnknownError: the action may or may not have been taken.
        """
        return self.send(protocol.act_on_app(app_id, "restart"))

    def redeploy_app(self, app_id: str, release_name: str) -> str:
        """``POST /v1/apps/{id}/actions/redeploy``: return the action id.

        :param app_id: the app's id.
        :param release_name: the release (image tag) to deploy; the current one is allowed.
        :raises OutcomeUnknownError: the action may or may not have been taken.
        """
        return self.send(protocol.redeploy_app(app_id, release_name))

    def get_action(self, app_id: str, action_id: str) -> Action:
        """``GET /v1/apps/{id}/actions/{action_id}``: return one action.

        :param app_id: the app's id.
        :param action_id: the action's id, as its POST returned it.
        """
        return self.send(protocol.get_action(app_id, action_id))

    def list_stacks(self) -> tuple[Stack, ...]:
        """``GET /v1/stacks``: return all stacks that the token can see."""
        return self.send(protocol.list_stacks())

    def get_stack(self, stack_id: str) -> Stack:
        """``GET /v1/stacks/{id}``: return one stack.

        :param stack_id: the stack's id, not its name.
        """
        return self.send(protocol.get_stack(stack_id))

    def find_stack(self, stack_name: str) -> Stack:
        """``GET /v1/stacks``: return the one stack that has a name.

        :param stack_name: the stack's name, exactly.
        :raises NameMatchError: no stack has it, or several have; the text says what there is.
        """
        stack_name = protocol.checked_name("stack_name", stack_name)
        return names.find("stack", self.list_stacks(), stack_name)

    def start_stack(self, stack_id: str) -> str:
        """``POST /v1/stacks/{id}/actions/start``: return the action id.

        :param stack_id: the stack's id.
        :raises OutcomeUnknownError: the action may or may not have been taken.
        """
        return self.send(protocol.act_on_stack(stack_id, "start"))

    def stop_stack(self, stack_id: str) -> str:
        """``POST /v1/stacks/{id}/actions/stop``: return the action id.

        :param stack_id: the stack's id.
        :raises OutcomeUnknownError: the action may or may not have been taken.
        """
        return self.send(protocol.act_on_stack(stack_id, "stop"))

    def restart_stack(self, stack_id: str) -> str:
        """``POST /v1/stacks/{id}/actions/restart``: return the action id.

        :param stack_id: the stack's id.
        :raises OutcomeUnknownError: the action may or may not have been taken.
        """
        return self.send(protocol.act_on_stack(stack_id, "restart"))

    def get_stack_action(self, stack_id: str, action_id: str) -> Action:
        """``GET /v1/stacks/{id}/actions/{action_id}``: return one action on a stack.

        :param stack_id: the stack's id.
        :param action_id: the action's id, as its POST returned it.
        """
        return self.send(protocol.get_stack_action(stack_id, action_id))

    def wait_for_action(
        self,
        app_id: str,
        action_id: str,
        *,
        timeout: float = 3600.0,
        poll_interval: float = 10.0,
        max_outage: float = DEFAULT_MAX_OUTAGE,
    ) -> Action:
        """Wait in this thread until an action has succeeded, and return it.

        :param app_id: the app's id.
        :param action_id: the action's id.
        :param timeout: seconds until the wait gives up; a last look is taken then.
        :param poll_interval: the longest time between two looks, in seconds; the first come sooner.
        :param max_outage: seconds for which DaoCloud may be unreadable.
        :raises ActionFailedError: DaoCloud says FAILED; the error has its message.
        :raises CouldNotFindOutError: DaoCloud was unreadable for longer than ``max_outage``.
        :raises WaitTimeoutError: the time is up and the action still runs.
        """
        action: Action = waits.block(
            waits.ActionWait(app_id, action_id),
            self.look,
            timeout=check_seconds("timeout", timeout),
            poll_interval=check_seconds("poll_interval", poll_interval),
            max_outage=check_seconds("max_outage", max_outage, zero=True),
            log=self.log.info,
        ).seen
        return action

    def look(self, call: Call[T], *, within: float | None = None) -> T:
        """Send a call once, with no retry: for a wait, which looks again anyway.

        :param call: the call.
        :param within: seconds in which the answer must be whole, as for `send`.
        """
        return self.send(call, patience=0.0, within=within)


def _count(things: Sized, name: str) -> str:
    return f"{len(things)} {name}" + ("" if len(things) == 1 else "s")


def _what_to_mend(error: CallError, where: str) -> str:
    """Say who is refused or does not answer, and what a person can do about it."""
    match error:
        case AuthenticationError():
            return (
                f"{where} refuses the access token. Is it current, whole and of this installation?"
            )
        case RateLimitedError():
            wait = "later"
            if error.retry_at is not None:
                wait = f"in {max(1, round((error.retry_at - time.time()) / 60))} min"
            return f"{where} takes the access token, but its calls are spent: try again {wait}."
        case RefusedError() if error.status == 403:
            return f"{where} refuses the account of the access token. Is it allowed to list apps?"
        case NotFoundError() | ProtocolError() | RefusedError():
            return f"No DaoCloud API answers at {where}. Are base URL and path prefix right?"
    return f"{where} cannot be used now. Is the base URL right, and reachable from Airflow?"
