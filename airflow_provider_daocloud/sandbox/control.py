"""The sandbox's own endpoints, under ``/_sandbox``: inspect it, seed it, break it.

They need no token, and take and give JSON. ``GET /_sandbox`` lists them all; a browser gets a page
with the apps and build flows instead, and a button that starts a build. An app, a build flow
or a stack can be named by its id or by its name. With ``S=http://127.0.0.1:8321/_sandbox``::

    curl $S/counts                                   # calls received, and calls that had an effect
    curl -X POST $S/build-flows/web/builds -d '{"outcome": "Failure", "seconds": 20}'
    curl -X POST $S/plans -d '{"state": "FAILED", "message": "no such image"}'
    curl -X POST $S/build-plans -d '{"outcome": "Failure"}'    # of the next build by a client
    curl -X POST $S/faults -d '{"kind": "drop", "call": "redeploy_app", "effect": "after"}'
    curl -X POST $S/faults -d '{"kind": "status", "status": 502, "times": 10}'
    curl -X PATCH $S/options -d '{"busy": "refuse", "last_operated_at": "ended"}'
    curl -X POST $S/apps/web/crash
    curl -X POST $S/clock/advance -d '{"seconds": 3600}'
    curl -X POST $S/reset

A call can be held, listed, and let go::

    curl -X POST $S/faults -d '{"kind": "hold", "call": "redeploy_app", "effect": "after"}'
    curl $S/held
    curl -X POST $S/release
"""

from __future__ import annotations

import dataclasses
from typing import Any

from airflow_provider_daocloud.sandbox.controls import (
    COMMON_ENDPOINTS,
    CONTROL,
    Controls,
    Json,
)
from airflow_provider_daocloud.sandbox.objects import ActionPlan, BuildPlan
from airflow_provider_daocloud.sandbox.page import page
from airflow_provider_daocloud.sandbox.world import World


class _Controls(Controls[World]):
    """The controls of apps, build flows, builds, stacks and actions."""

    def page(self) -> str:
        return page(CONTROL, self.state())

    def state(self) -> dict[str, Any]:
        """Show apps, build flows, builds, stacks, actions, what is held, and the options."""
        world = self._world
        with world.timeline.up_to_date():
            return {
                "now": world.now(),
                "options": dataclasses.asdict(world.options),
                "accounts": [
                    {
                        "name": account.name,
                        "revoked": account.revoked,
                        "read_only": account.read_only,
                        "remaining": world.accounts.remaining(account),
                    }
                    for account in world.accounts.values()
                ],
                "apps": [dataclasses.asdict(world.view(app)) for app in world.apps.values()],
                "actions": [dataclasses.asdict(action) for action in world.actions.values()],
                "build_flows": [dataclasses.asdict(flow) for flow in world.build_flows.values()],
                "stacks": [dataclasses.asdict(stack) for stack in world.stacks.values()],
                "faults": self._service.faults.listed(),
                "held": self.held(),
            }

    def add_app(self, name: str, **app: Any) -> Json:
        """Create an app: ``name``, and whatever else an app has."""
        world = self._world
        with world.timeline.up_to_date():
            return dataclasses.asdict(world.view(world.add_app(name, **app)))

    def change_app(self, app_id: str, **changes: Any) -> Json:
        """Change an app's ``state`` or ``release_name`` behind everybody's back."""
        world = self._world
        with world.timeline.up_to_date():
            return dataclasses.asdict(world.view(world.change_app(app_id, **changes)))

    def remove_app(self, app_id: str) -> Json:
        """Remove an app."""
        self._world.remove_app(app_id)
        return {}

    def crash_app(self, app_id: str) -> Json:
        """Crash an app."""
        return self.change_app(app_id, state="NOT_RUNNING")

    def operate(self, app_id: str, action: str, release_name: str | None = None) -> Json:
        """Operate on an app as somebody else: ``action``, and ``release_name`` for a redeploy."""
        world = self._world
        return dataclasses.asdict(world.operate(app_id, action, release_name))

    def plan(self, **plan: Any) -> Json:
        """Plan the next actions: ``state``, ``message``, ``seconds``, ``polls``, ``app_id``..."""
        self._world.plan(ActionPlan(**plan))
        return {}

    def add_stack(self, name: str, **stack: Any) -> Json:
        """Create a stack: ``name``, and whatever else a stack has."""
        return dataclasses.asdict(self._world.add_stack(name, **stack))

    def operate_stack(self, stack_id: str, action: str) -> Json:
        """Operate on a stack as somebody else: ``action``."""
        return dataclasses.asdict(self._world.operate_stack(stack_id, action))

    def plan_build(self, **plan: Any) -> Json:
        """Plan the next builds that clients start: ``outcome``, ``polls``, ``build_flow_id``..."""
        self._world.plan_build(BuildPlan(**plan))
        return {}

    def finish_action(self, action_id: str, **end: Any) -> Json:
        """End an action now: ``state``, ``message``."""
        return dataclasses.asdict(self._world.finish_action(action_id, **end))

    def add_build_flow(self, name: str, **flow: Any) -> Json:
        """Create a build flow: ``name``, and whatever else a flow has."""
        return dataclasses.asdict(self._world.add_build_flow(name, **flow))

    def start_build(self, build_flow_id: str, after: float = 0.0, **plan: Any) -> Json:
        """Start a build, now or ``after`` seconds: ``outcome``, ``seconds``, ``by_hand``..."""
        world, planned = self._world, BuildPlan(**plan)
        if after:
            world.build_flows.start_later(build_flow_id, after, planned)
            return {}
        return dataclasses.asdict(world.start_build(build_flow_id, planned))

    def finish_build(self, build_flow_id: str, **end: Any) -> Json:
        """End a flow's latest build now: ``status``; ``build_id`` for another one."""
        return dataclasses.asdict(self._world.finish_build(build_flow_id, **end))

    def add_account(self, name: str, token: str, read_only: bool = False) -> Json:
        """Let another ``token`` in, under a ``name``."""
        self._world.add_account(token, name, read_only=read_only)
        return {}

    def revoke(self, account: str) -> Json:
        """Make an account's token invalid."""
        self._world.revoke(account)
        return {}


_ENDPOINTS = (
    *COMMON_ENDPOINTS,
    ("POST", "/apps", "add_app"),
    ("PATCH", "/apps/{app_id}", "change_app"),
    ("DELETE", "/apps/{app_id}", "remove_app"),
    ("POST", "/apps/{app_id}/crash", "crash_app"),
    ("POST", "/apps/{app_id}/actions", "operate"),
    ("POST", "/plans", "plan"),
    ("POST", "/actions/{action_id}/finish", "finish_action"),
    ("POST", "/stacks", "add_stack"),
    ("POST", "/stacks/{stack_id}/actions", "operate_stack"),
    ("POST", "/build-flows", "add_build_flow"),
    ("POST", "/build-flows/{build_flow_id}/builds", "start_build"),
    ("POST", "/build-flows/{build_flow_id}/finish", "finish_build"),
    ("POST", "/build-plans", "plan_build"),
    ("POST", "/accounts", "add_account"),
    ("POST", "/accounts/{account}/revoke", "revoke"),
)
_Controls.endpoints = _ENDPOINTS
