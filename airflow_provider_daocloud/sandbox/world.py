"""The sandbox's state, composed of its parts: time, accounts, apps, stacks, builds and actions.

Nothing here knows HTTP, and the clock is injected.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_provider_daocloud.sandbox.accounts import Accounts
from airflow_provider_daocloud.sandbox.actions import Actions, AppBusyError
from airflow_provider_daocloud.sandbox.apps import Apps
from airflow_provider_daocloud.sandbox.builds import BuildFlows
from airflow_provider_daocloud.sandbox.objects import ACTIONS, STACK_ACTIONS, one_of, text
from airflow_provider_daocloud.sandbox.options import Options
from airflow_provider_daocloud.sandbox.parts import Shared
from airflow_provider_daocloud.sandbox.stacks import Stacks
from airflow_provider_daocloud.sandbox.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_daocloud.sandbox.objects import Action, Build

__all__ = ["AppBusyError", "World"]


class World:
    """Everything that the sandbox's service knows.

    :param clock: gives the time in Unix seconds.
    :param seed: makes ids the same in every run; ``None`` for new ones.
    :param options: how the world behaves where the contract leaves it open.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        seed: int | None = None,
        options: Options | None = None,
    ) -> None:
        self.timeline = Timeline(clock)
        self._shared = Shared(self.timeline, options or Options(), seed)
        self.accounts = Accounts(self._shared)
        self.apps = Apps(self._shared)
        self.stacks = Stacks(self._shared)
        self.build_flows = BuildFlows(self._shared)
        self.actions = Actions(self._shared, self.apps, self.stacks)
        # What tests call most often, reachable without naming its part.
        self.now, self.advance = self.timeline.now, self.timeline.advance
        self.up_to_date = self.timeline.up_to_date
        self.add_account, self.revoke = self.accounts.add, self.accounts.revoke
        self.account_for = self.accounts.valid
        self.app, self.add_app, self.view = self.apps.find, self.apps.add, self.apps.view
        self.change_app, self.crash_app = self.apps.change, self.apps.crash
        self.stack, self.add_stack = self.stacks.find, self.stacks.add
        self.build_flow, self.add_build_flow = self.build_flows.find, self.build_flows.add
        self.start_build, self.finish_build = self.build_flows.start, self.build_flows.finish
        self.plan_build = self.build_flows.plan
        self.plan, self.finish_action = self.actions.plan, self.actions.finish

    @property
    def options(self) -> Options:
        """How the world behaves where the contract leaves it open."""
        return self._shared.options

    def set_options(self, **changes: Any) -> Options:
        """Change how the world behaves from now on.

        :raises ValueError: an unknown option, or a value that it does not take.
        """
        with self.timeline.up_to_date():
            before = self.options
            self._shared.options = before.changed(**changes)
            self.apps.options_changed(before)
            return self.options

    def remove_app(self, id_or_name: str) -> None:
        """Remove an app with its actions."""
        with self.timeline.up_to_date():
            app = self.apps.find(id_or_name)
            del self.apps[app.id]
            self.actions.forget(app)

    def operate(
        self, app_id: str, action: str, release_name: str | None = None, *, by: str = "somebody"
    ) -> Action:
        """Accept an action on an app, as a client's POST or another person would.

        :param app_id: the app's id (or name).
        :param action: ``start``, ``stop``, ``restart`` or ``redeploy``.
        :param release_name: the release of a redeploy.
        :param by: who asks, for the count.
        :raises NotFoundError: there is no such app.
        :raises AppBusyError: another action runs on it, and ``busy`` is ``refuse``.
        :raises ValueError: no such action, or a redeploy without a release.
        """
        one_of("action", action, ACTIONS)
        if (action == "redeploy") != (release_name is not None):
            raise ValueError("a redeploy, and nothing else, takes a release_name")
        if release_name is not None:
            text("release_name", release_name)
        with self.timeline.up_to_date():
            return self.actions.accept(self.apps.find(app_id), action, release_name, by=by)

    def operate_stack(self, stack_id: str, action: str, *, by: str = "somebody") -> Action:
        """Accept an action on a stack, likewise.

        :param stack_id: the stack's id (or name).
        :param action: ``start``, ``stop`` or ``restart``.
        :param by: who asks, for the count.
        :raises NotFoundError: there is no such stack.
        :raises AppBusyError: another action runs on it, and ``busy`` is ``refuse``.
        :raises ValueError: no such action.
        """
        one_of("action", action, STACK_ACTIONS)
        with self.timeline.up_to_date():
            return self.actions.accept(self.stacks.find(stack_id), action, None, by=by)

    def order_build(self, build_flow_id: str, branch: str) -> Build:
        """Start a build as a client's POST does; the next plan for one says what it does.

        :raises NotFoundError: there is no such flow.
        """
        return self.build_flows.order(build_flow_id, branch)
