"""`DaoCloudHook`: an Airflow Connection turned into calls of the DaoCloud Open API."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sized
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_daocloud import provider_info
from airflow_provider_daocloud.api.errors import (
    AuthenticationError,
    CallError,
    InputError,
    ProtocolError,
    RateLimitedError,
    RefusedError,
)
from airflow_provider_daocloud.api.validation import DEFAULT_MAX_OUTAGE, check_seconds, checked_name
from airflow_provider_daocloud.hooks.base import DaoCloudBaseHook

if TYPE_CHECKING:
    from airflow_provider_daocloud.api.client import DaoCloudClient
    from airflow_provider_daocloud.api.endpoint import Endpoint
    from airflow_provider_daocloud.api.openapi.actions import Action
    from airflow_provider_daocloud.api.openapi.apps import App
    from airflow_provider_daocloud.api.openapi.builds import Build, BuildFlow
    from airflow_provider_daocloud.api.openapi.stacks import Stack
    from airflow_provider_daocloud.hooks.connection import ConnectionLike

T = TypeVar("T")


class DaoCloudHook(DaoCloudBaseHook):
    """Talks to DaoCloud with the access token of an Airflow Connection.

    Every method stands for one request of the Open API. Reads are retried on transient errors.
    Actions are retried only when the request provably never reached DaoCloud, or was refused.

    All methods raise an error of ``airflow_provider_daocloud.api.errors``, and never show the
    token. In a task, ``airflow_provider_daocloud.exceptions.airflow_errors`` makes those that no
    retry can fix an ``AirflowFailException``.

    :param daocloud_conn_id: the id of a Connection of type ``daocloud``.
    """

    default_conn_name = "daocloud_default"
    form = provider_info.OPEN_API
    conn_type = form.conn_type
    hook_name = form.hook_name

    @staticmethod
    def read_connection(connection: ConnectionLike) -> Endpoint:
        """Return where a Connection of type ``daocloud`` leads."""
        from airflow_provider_daocloud.hooks.connection import endpoint_of

        return endpoint_of(connection)

    def check(self, client: DaoCloudClient) -> str:
        """Ask ``GET /v1/apps`` and build flows; return what the access token sees.

        :param client: sends them.
        """
        from airflow_provider_daocloud.api.openapi.apps import list_apps
        from airflow_provider_daocloud.api.openapi.builds import list_build_flows

        # A person is waiting at the button; and where no API answers, a wrong base URL is far
        # likelier than a proxy's page that passes.
        apps = client.send(list_apps(), retry_timeout=5, final=ProtocolError)
        flows = client.send(list_build_flows(), retry_timeout=5, final=ProtocolError)
        seen = f"{_count(apps, 'app')} and {_count(flows, 'build flow')}"
        remaining = client.rate_limit.remaining if client.rate_limit else None
        calls = "" if remaining is None else f" Calls left in this hour: {remaining}."
        return f"The access token sees {seen}.{calls}"

    def remedy(self, error: CallError, where: str) -> str:
        """Say who is refused or does not answer, and what a person can do about it.

        :param error: how the test ended.
        :param where: the base URL.
        """
        match error:
            case AuthenticationError():
                return (
                    f"{where} refuses the access token. Is it current, whole and of this "
                    "installation?"
                )
            case RateLimitedError():
                wait = "later"
                if error.retry_at is not None:
                    wait = f"in {max(1, round((error.retry_at - time.time()) / 60))} min"
                return f"{where} takes the access token, but its calls are spent: try again {wait}."
            case RefusedError() if error.status == 403:
                return (
                    f"{where} refuses the account of the access token. Is it allowed to list apps?"
                )
        return super().remedy(error, where)

    def list_build_flows(self) -> tuple[BuildFlow, ...]:
        """``GET /v1/build-flows``: return all build flows that the token can see."""
        from airflow_provider_daocloud.api.openapi.builds import list_build_flows

        return self.send(list_build_flows())

    def get_build_flow(self, build_flow_id: str) -> BuildFlow:
        """``GET /v1/build-flows/{id}``: return one build flow.

        :param build_flow_id: the build flow's id (a uuid), not its name.
        """
        from airflow_provider_daocloud.api.openapi.builds import get_build_flow

        return self.send(get_build_flow(build_flow_id))

    def find_build_flow(self, build_flow_name: str) -> BuildFlow:
        """``GET /v1/build-flows``: return the one build flow that has a name.

        :param build_flow_name: the build flow's name, exactly.
        :raises NameMatchError: no build flow has it, or several have; the text lists the names.
        """
        from airflow_provider_daocloud.resources.names import find

        build_flow_name = checked_name("build_flow_name", build_flow_name)
        return find("build_flow", self.list_build_flows(), build_flow_name)

    def start_build(self, build_flow_id: str, branch: str) -> Build:
        """``POST /v1/build-flows/{id}/builds``: start a build of a branch, and return it.

        :param build_flow_id: the build flow's id.
        :param branch: what to build.
        :raises NotFoundError: there is no such build flow, or the installation is older than this
            call.
        :raises OutcomeUnknownError: the build may or may not have been started.
        """
        from airflow_provider_daocloud.api.openapi.builds import start_build

        return self.send(start_build(build_flow_id, branch))

    def get_build(self, build_flow_id: str, build_id: str | int) -> Build:
        """``GET /v1/build-flows/{id}/builds/{build_id}``: return one build.

        :param build_flow_id: the build flow's id.
        :param build_id: the build's id, as its POST returned it.
        """
        from airflow_provider_daocloud.api.openapi.builds import get_build

        return self.send(get_build(build_flow_id, build_id))

    def list_apps(self) -> tuple[App, ...]:
        """``GET /v1/apps``: return all apps that the token can see, without their ``config``."""
        from airflow_provider_daocloud.api.openapi.apps import list_apps

        return self.send(list_apps())

    def get_app(self, app_id: str) -> App:
        """``GET /v1/apps/{id}``: return one app, with its ``config``.

        :param app_id: the app's id (a uuid), not its name.
        """
        from airflow_provider_daocloud.api.openapi.apps import get_app

        return self.send(get_app(app_id))

    def find_app(self, app_name: str) -> App:
        """``GET /v1/apps``: return the one app that has a name, without its ``config``.

        :param app_name: the app's name, exactly.
        :raises NameMatchError: no app has it, or several have; the text lists the names.
        """
        from airflow_provider_daocloud.resources.names import find

        app_name = checked_name("app_name", app_name)
        return find("app", self.list_apps(), app_name)

    def find_apps(self, app_names: Iterable[str]) -> tuple[App, ...]:
        """``GET /v1/apps``, once: return the apps that have some names, in the order of these.

        :param app_names: the names, exactly, each of them once. With none, nothing is sent.
        :raises NameMatchError: no app has one of them, or several have; the text names all such.
        """
        from airflow_provider_daocloud.resources.names import find_all

        if isinstance(app_names, str):
            raise InputError("app_names", "must be a list of names, not one name.")
        wanted = [checked_name("app_names", name) for name in app_names]
        twice = sorted({name for name in wanted if wanted.count(name) > 1})
        if twice:
            raise InputError("app_names", f"has these more than once: {', '.join(twice)}.")
        found = find_all("app", self.list_apps(), wanted, "app_names") if wanted else ()
        twice = sorted({app.name or "" for app in found if found.count(app) > 1})
        if twice:  # in two Unicode forms
            raise InputError("app_names", f"has these more than once: {', '.join(twice)}.")
        return found

    def start_app(self, app_id: str) -> str:
        """``POST /v1/apps/{id}/actions/start``: return the action id.

        :param app_id: the app's id.
        :raises OutcomeUnknownError: the action may or may not have been taken.
        """
        from airflow_provider_daocloud.api.openapi.apps import act_on_app

        return self.send(act_on_app(app_id, "start"))

    def stop_app(self, app_id: str) -> str:
        """``POST /v1/apps/{id}/actions/stop``: return the action id.

        :param app_id: the app's id.
        :raises OutcomeUnknownError: the action may or may not have been taken.
        """
        from airflow_provider_daocloud.api.openapi.apps import act_on_app

        return self.send(act_on_app(app_id, "stop"))

    def restart_app(self, app_id: str) -> str:
        """``POST /v1/apps/{id}/actions/restart``: return the action id.

        :param app_id: the app's id.
        :raises OutcomeUnknownError: the action may or may not have been taken.
        """
        from airflow_provider_daocloud.api.openapi.apps import act_on_app

        return self.send(act_on_app(app_id, "restart"))

    def redeploy_app(self, app_id: str, release_name: str) -> str:
        """``POST /v1/apps/{id}/actions/redeploy``: return the action id.

        :param app_id: the app's id.
        :param release_name: the release (image tag) to deploy; the current one is allowed.
        :raises OutcomeUnknownError: the action may or may not have been taken.
        """
        from airflow_provider_daocloud.api.openapi.apps import redeploy_app

        return self.send(redeploy_app(app_id, release_name))

    def get_action(self, app_id: str, action_id: str) -> Action:
        """``GET /v1/apps/{id}/actions/{action_id}``: return one action.

        :param app_id: the app's id.
        :param action_id: the action's id, as its POST returned it.
        """
        from airflow_provider_daocloud.api.openapi.actions import get_action

        return self.send(get_action(app_id, action_id))

    def list_stacks(self) -> tuple[Stack, ...]:
        """``GET /v1/stacks``: return all stacks that the token can see."""
        from airflow_provider_daocloud.api.openapi.stacks import list_stacks

        return self.send(list_stacks())

    def get_stack(self, stack_id: str) -> Stack:
        """``GET /v1/stacks/{id}``: return one stack.

        :param stack_id: the stack's id, not its name.
        """
        from airflow_provider_daocloud.api.openapi.stacks import get_stack

        return self.send(get_stack(stack_id))

    def find_stack(self, stack_name: str) -> Stack:
        """``GET /v1/stacks``: return the one stack that has a name.

        :param stack_name: the stack's name, exactly.
        :raises NameMatchError: no stack has it, or several have; the text lists the names.
        """
        from airflow_provider_daocloud.resources.names import find

        stack_name = checked_name("stack_name", stack_name)
        return find("stack", self.list_stacks(), stack_name)

    def start_stack(self, stack_id: str) -> str:
        """``POST /v1/stacks/{id}/actions/start``: return the action id.

        :param stack_id: the stack's id.
        :raises OutcomeUnknownError: the action may or may not have been taken.
        """
        from airflow_provider_daocloud.api.openapi.stacks import act_on_stack

        return self.send(act_on_stack(stack_id, "start"))

    def stop_stack(self, stack_id: str) -> str:
        """``POST /v1/stacks/{id}/actions/stop``: return the action id.

        :param stack_id: the stack's id.
        :raises OutcomeUnknownError: the action may or may not have been taken.
        """
        from airflow_provider_daocloud.api.openapi.stacks import act_on_stack

        return self.send(act_on_stack(stack_id, "stop"))

    def restart_stack(self, stack_id: str) -> str:
        """``POST /v1/stacks/{id}/actions/restart``: return the action id.

        :param stack_id: the stack's id.
        :raises OutcomeUnknownError: the action may or may not have been taken.
        """
        from airflow_provider_daocloud.api.openapi.stacks import act_on_stack

        return self.send(act_on_stack(stack_id, "restart"))

    def get_stack_action(self, stack_id: str, action_id: str) -> Action:
        """``GET /v1/stacks/{id}/actions/{action_id}``: return one action on a stack.

        :param stack_id: the stack's id.
        :param action_id: the action's id, as its POST returned it.
        """
        from airflow_provider_daocloud.api.openapi.actions import get_stack_action

        return self.send(get_stack_action(stack_id, action_id))

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
        :param timeout: seconds until the wait gives up; a final poll is made then.
        :param poll_interval: seconds between two observations at most; the first come sooner.
        :param max_outage: seconds for which DaoCloud may be unreadable.
        :raises ActionFailedError: DaoCloud says FAILED; the error has its message.
        :raises OutageError: DaoCloud was unreadable for longer than ``max_outage``.
        :raises WaitTimeoutError: the time is up and the action is still in progress.
        """
        from airflow_provider_daocloud.core.waiting.blocking import block
        from airflow_provider_daocloud.resources.openapi.app import ActionWait

        action: Action = block(
            ActionWait(app_id, action_id),
            self.observe,
            timeout=check_seconds("timeout", timeout),
            poll_interval=check_seconds("poll_interval", poll_interval),
            max_outage=check_seconds("max_outage", max_outage, zero=True),
            log=self.log.info,
        ).seen
        return action


def _count(found: Sized, name: str) -> str:
    return f"{len(found)} {name}" + ("" if len(found) == 1 else "s")
