"""The controls of every world: counts, log, faults, held calls, clock and options.

Each endpoint is one method of a class of controls and one row of its ``endpoints``.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any, ClassVar, Generic

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.routing import Route

from airflow_provider_daocloud.sandbox.actions import AppBusyError
from airflow_provider_daocloud.sandbox.contract import LONGEST_BODY
from airflow_provider_daocloud.sandbox.faults import Fault
from airflow_provider_daocloud.sandbox.parts import NotFoundError
from airflow_provider_daocloud.sandbox.service import BaseService, WorldT

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

CONTROL = "/_sandbox"

Json = dict[str, Any] | list[Any]


class Controls(Generic[WorldT]):
    """What each endpoint does. Its parameters are what the path, the query and the body give.

    :param service: the service that is controlled.
    """

    # Method, path, and the name of the control.
    endpoints: ClassVar[tuple[tuple[str, str, str], ...]]

    def __init__(self, service: BaseService[WorldT]) -> None:
        self._service = service

    @property
    def _world(self) -> WorldT:
        return self._service.world  # a reset replaces it

    def page(self) -> str | None:
        """Return what a browser gets instead of the index, if there is such a page."""
        return None

    def state(self) -> Json:
        """Show the world."""
        raise NotImplementedError

    def index(self) -> Json:
        """List these endpoints."""
        return {
            f"{method} {CONTROL}{path}": (getattr(self, name).__doc__ or "").partition("\n")[0]
            for method, path, name in self.endpoints
        }

    def counts(self) -> Json:
        """Count calls by name, in all and by account; effects by name; connections."""
        service = self._service
        with service.changed:
            return {
                "calls": dict(service.counts),
                "effects": dict(service.effects),
                "accounts": {name: dict(n) for name, n in service.counts_by_account.items()},
                "connections": service.connections,
            }

    def log(self, since: str = "0") -> Json:
        """Show the calls served; ``?since=N`` leaves out the first N."""
        service = self._service
        with service.changed:
            return [dataclasses.asdict(served) for served in list(service.log)[int(str(since)) :]]

    def reset(self) -> Json:
        """Begin again: a fresh world, no faults, counts at zero."""
        self._service.reset()
        return {}

    def list_faults(self) -> Json:
        """List the faults that are on."""
        return self._service.faults.listed()

    def add_fault(self, **fault: Any) -> Json:
        """Switch a fault on: ``kind``, ``call``, ``times``, ``effect``..."""
        return {"fault_id": self._service.add_fault(Fault(**fault))}

    def clear_faults(self) -> Json:
        """Switch all faults off, and let go what is held."""
        self._service.clear_faults()
        return {}

    def remove_fault(self, fault_id: str) -> Json:
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

    def release(self, held_id: int | None = None, drop: bool = False) -> Json:
        """Let go what is held, all or one ``held_id``; with ``drop`` its connection ends."""
        return {"released": self._service.release(held_id, drop=drop)}

    def advance(self, seconds: float) -> Json:
        """Move the world's clock ahead by ``seconds``."""
        timeline = self._world.timeline
        timeline.advance(seconds)
        return {"now": timeline.now()}

    def options(self) -> Json:
        """Show the options."""
        return dataclasses.asdict(self._world.options)

    def set_options(self, **changes: Any) -> Json:
        """Change options."""
        return dataclasses.asdict(self._world.set_options(**changes))


COMMON_ENDPOINTS = (
    ("GET", "", "index"),
    ("GET", "/state", "state"),
    ("GET", "/counts", "counts"),
    ("GET", "/log", "log"),
    ("POST", "/reset", "reset"),
    ("GET", "/faults", "list_faults"),
    ("POST", "/faults", "add_fault"),
    ("DELETE", "/faults", "clear_faults"),
    ("DELETE", "/faults/{fault_id}", "remove_fault"),
    ("GET", "/held", "held"),
    ("POST", "/release", "release"),
    ("POST", "/clock/advance", "advance"),
    ("GET", "/options", "options"),
    ("PATCH", "/options", "set_options"),
)


def _endpoint(
    control: Callable[..., Json], on_error: Callable[[Exception], None]
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


def control_app(controls: Controls[Any], on_error: Callable[[Exception], None]) -> Starlette:
    """Return the ASGI application of the control endpoints of one service.

    :param controls: the controls.
    :param on_error: called with each exception that broke the answering of a call.
    """
    endpoints = {
        (method, path): _endpoint(getattr(controls, name), on_error)
        for method, path, name in controls.endpoints
    }
    index = endpoints["GET", ""]

    async def page_or_index(request: Request) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            html = await run_in_threadpool(controls.page)
            if html is not None:
                return HTMLResponse(html)
        return await index(request)  # type: ignore[no-any-return]

    endpoints["GET", ""] = page_or_index
    routes = [
        Route(CONTROL + path, endpoint, methods=[method])
        for (method, path), endpoint in endpoints.items()
    ]
    return Starlette(routes=routes)
