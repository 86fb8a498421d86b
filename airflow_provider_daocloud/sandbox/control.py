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
import json
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.routing import Route

from airflow_provider_daocloud.sandbox.actions import AppBusyError
from airflow_provider_daocloud.sandbox.contract import LONGEST_BODY
from airflow_provider_daocloud.sandbox.faults import Fault
from airflow_provider_daocloud.sandbox.objects import ActionPlan, BuildPlan
from airflow_provider_daocloud.sandbox.page import page
from airflow_provider_daocloud.sandbox.parts import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from airflow_provider_daocloud.sandbox.service import Service
    from airflow_provider_daocloud.sandbox.world import World

CONTROL = "/_sandbox"

_Json = dict[str, Any] | list[Any]


class _Controls:
    """What each endpoint does. Its parameters are what the path, the query and the body give."""

    def __init__(self, service: Service) -> None:
        self._service = service

    @property
    def _world(self) -> World:
        return self._service.world  # a reset replaces it

    def index(self) -> _Json:
        """List these endpoints."""
        return {
            f"{method} {CONTROL}{path}": (getattr(self, name).__doc__ or "").partition("\n")[0]
            for method, path, name in _ENDPOINTS
        }

    def state(self) -> _Json:
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

    def counts(self) -> _Json:
        """Count calls by name, in all and by account; effects by name; connections."""
        service = self._service
        with service.changed:
            return {
                "calls": dict(service.counts),
                "effects": dict(service.effects),
                "accounts": {name: dict(n) for name, n in service.counts_by_account.items()},
                "connections": service.connections,
            }

    def log(self, since: str = "0") -> _Json:
        """Show the calls served; ``?since=N`` leaves out the first N."""
        service = self._service
        with service.changed:
            return [dataclasses.asdict(served) for served in list(service.log)[int(str(since)) :]]

    def reset(self) -> _Json:
        """Begin again: a fresh world, no faults, counts at zero."""
        self._service.reset()
        return {}

    def add_app(self, name: str, **app: Any) -> _Json:
        """Create an app: ``name``, and whatever else an app has."""
        world = self._world
        with world.timeline.up_to_date():
            return dataclasses.asdict(world.view(world.add_app(name, **app)))

    def change_app(self, app_id: str, **changes: Any) -> _Json:
        """Change an app's ``state`` or ``release_name`` behind everybody's back."""
        world = self._world
        with world.timeline.up_to_date():
            return dataclasses.asdict(world.view(world.change_app(app_id, **changes)))

    def remove_app(self, app_id: str) -> _Json:
        """Remove an app."""
        self._world.remove_app(app_id)
        return {}

    def crash_app(self, app_id: str) -> _Json:
        """Crash an app."""
        return self.change_app(app_id, state="NOT_RUNNING")

    def operate(self, app_id: str, action: str, release_name: str | None = None) -> _Json:
        """Operate on an app as somebody else: ``action``, and ``release_name`` for a redeploy."""
        world = self._world
        return dataclasses.asdict(world.operate(app_id, action, release_name))

    def plan(self, **plan: Any) -> _Json:
        """Plan the next actions: ``state``, ``message``, ``seconds``, ``polls``, ``app_id``..."""
        self._world.plan(ActionPlan(**plan))
        return {}

    def add_stack(self, name: str, **stack: Any) -> _Json:
        """Create a stack: ``name``, and whatever else a stack has."""
        return dataclasses.asdict(self._world.add_stack(name, **stack))

    def operate_stack(self, stack_id: str, action: str) -> _Json:
        """Operate on a stack as somebody else: ``action``."""
        return dataclasses.asdict(self._world.operate_stack(stack_id, action))

    def plan_build(self, **plan: Any) -> _Json:
        """Plan the next builds that clients start: ``outcome``, ``polls``, ``build_flow_id``..."""
        self._world.plan_build(BuildPlan(**plan))
        return {}

    def finish_action(self, action_id: str, **end: Any) -> _Json:
        """End an action now: ``state``, ``message``."""
        return dataclasses.asdict(self._world.finish_action(action_id, **end))

    def add_build_flow(self, name: str, **flow: Any) -> _Json:
        """Create a build flow: ``name``, and whatever else a flow has."""
        return dataclasses.asdict(self._world.add_build_flow(name, **flow))

    def start_build(self, build_flow_id: str, after: float = 0.0, **plan: Any) -> _Json:
        """Start a build, now or ``after`` seconds: ``outcome``, ``seconds``, ``by_hand``..."""
        world, planned = self._world, BuildPlan(**plan)
        if after:
            world.build_flows.start_later(build_flow_id, after, planned)
            return {}
        return dataclasses.asdict(world.start_build(build_flow_id, planned))

    def finish_build(self, build_flow_id: str, **end: Any) -> _Json:
        """End a flow's latest build now: ``status``; ``build_id`` for another one."""
        return dataclasses.asdict(self._world.finish_build(build_flow_id, **end))

    def list_faults(self) -> _Json:
        """List the faults that are on."""
        return self._service.faults.listed()

    def add_fault(self, **fault: Any) -> _Json:
        """Switch a fault on: ``kind``, ``call``, ``times``, ``effect``..."""
        return {"fault_id": self._service.add_fault(Fault(**fault))}

    def clear_faults(self) -> _Json:
        """Switch all faults off, and let go what is held."""
        self._service.clear_faults()
        return {}

    def remove_fault(self, fault_id: str) -> _Json:
        """Switch a fault off."""
        self._service.remove_fault(int(fault_id))
        return {}

    def held(self) -> list[Any]:
        """List the calls that are held."""
        service = self._service
        with service.changed:
            return [
                {"held_id": held.id, "call": held.call, "effect": held.effect, **held.params}
                for held in service.held.values()
            ]

    def release(self, held_id: int | None = None, drop: bool = False) -> _Json:
        """Let go what is held, all or one ``held_id``; with ``drop`` its connection ends."""
        return {"released": self._service.release(held_id, drop=drop)}

    def advance(self, seconds: float) -> _Json:
        """Move the world's clock ahead by ``seconds``."""
        world = self._world
        world.advance(seconds)
        return {"now": world.now()}

    def options(self) -> _Json:
        """Show the options."""
        return dataclasses.asdict(self._world.options)

    def set_options(self, **changes: Any) -> _Json:
        """Change options."""
        return dataclasses.asdict(self._world.set_options(**changes))

    def add_account(self, name: str, token: str, read_only: bool = False) -> _Json:
        """Let another ``token`` in, under a ``name``."""
        self._world.add_account(token, name, read_only=read_only)
        return {}

    def revoke(self, account: str) -> _Json:
        """Make an account's token invalid."""
        self._world.revoke(account)
        return {}


_ENDPOINTS = (
    ("GET", "", "index"),
    ("GET", "/state", "state"),
    ("GET", "/counts", "counts"),
    ("GET", "/log", "log"),
    ("POST", "/reset", "reset"),
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
    ("GET", "/faults", "list_faults"),
    ("POST", "/faults", "add_fault"),
    ("DELETE", "/faults", "clear_faults"),
    ("DELETE", "/faults/{fault_id}", "remove_fault"),
    ("GET", "/held", "held"),
    ("POST", "/release", "release"),
    ("POST", "/clock/advance", "advance"),
    ("GET", "/options", "options"),
    ("PATCH", "/options", "set_options"),
    ("POST", "/accounts", "add_account"),
    ("POST", "/accounts/{account}/revoke", "revoke"),
)


def _endpoint(
    control: Callable[..., _Json], on_error: Callable[[Exception], None]
) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        try:
            raw = await request.body()
            if len(raw) > LONGEST_BODY:
                return _error(413, f"the body is longer than {LONGEST_BODY} bytes")
            body = json.loads(raw) if raw else {}
            if not isinstance(body, dict):
                raise ValueError("the body is a JSON object")
            arguments = {**dict(request.query_params), **body}
            if clash := arguments.keys() & request.path_params.keys():
                raise ValueError(f"{', '.join(clash)} stands in the path")
            # In a thread: a control may have to wait for the world's lock.
            answer = await run_in_threadpool(control, **arguments, **request.path_params)
            # A form of the page was sent: show the page again.
            return RedirectResponse(CONTROL, 303) if _is_form(request) else JSONResponse(answer)
        except NotFoundError as error:
            return _error(404, str(error))
        except AppBusyError as error:
            return _error(409, str(error))
        except RecursionError:
            return _error(400, "the body is nested too deeply")
        except (ValueError, TypeError) as error:
            return _error(400, str(error))
        except Exception as error:
            # Not left to starlette, which would answer and raise it all the same.
            on_error(error)
            return _error(500, f"the sandbox has a bug: {type(error).__name__}")

    return endpoint


def _is_form(request: Request) -> bool:
    return request.method == "POST" and "text/html" in request.headers.get("accept", "")


def _error(status: int, text: str) -> JSONResponse:
    # What is wrong may be quoted, and what cannot be sent may be what is wrong.
    return JSONResponse({"error": text.encode(errors="backslashreplace").decode()}, status)


def control_app(service: Service, on_error: Callable[[Exception], None]) -> Starlette:
    """Return the ASGI application of the control endpoints of one service.

    :param service: the service.
    :param on_error: called with each exception that broke the answering of a call.
    """
    controls = _Controls(service)
    endpoints = {
        (method, path): _endpoint(getattr(controls, name), on_error)
        for method, path, name in _ENDPOINTS
    }
    index = endpoints["GET", ""]

    async def page_or_index(request: Request) -> Response:
        if "text/html" not in request.headers.get("accept", ""):
            return await index(request)  # type: ignore[no-any-return]
        state: Any = await run_in_threadpool(controls.state)
        return HTMLResponse(page(CONTROL, state))

    endpoints["GET", ""] = page_or_index
    routes = [
        Route(CONTROL + path, endpoint, methods=[method])
        for (method, path), endpoint in endpoints.items()
    ]
    return Starlette(routes=routes)
