"""A DaoCloud on this machine: a real HTTP server that behaves as the Open API's page says.

To try out the provider and to test DAGs; see :class:`Sandbox` and :mod:`.pytest_plugin`,
or run ``python -m airflow_provider_daocloud.sandbox``. Needs the ``[sandbox]`` extra.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.faults import Fault
    from airflow_provider_daocloud.sandbox.objects import ActionPlan, BuildPlan
    from airflow_provider_daocloud.sandbox.options import Options
    from airflow_provider_daocloud.sandbox.server import Sandbox, SandboxError
    from airflow_provider_daocloud.sandbox.service import Served
    from airflow_provider_daocloud.sandbox.world import World

__all__ = [
    "ActionPlan",
    "BuildPlan",
    "Fault",
    "Options",
    "Sandbox",
    "SandboxError",
    "Served",
    "World",
]

_PLACES = {
    "ActionPlan": "objects",
    "BuildPlan": "objects",
    "Fault": "faults",
    "Options": "options",
    "Sandbox": "server",
    "SandboxError": "server",
    "Served": "service",
    "World": "world",
}


def __getattr__(name: str) -> Any:
    # Lazily: most of this needs no server, and the server needs an extra.
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_PLACES[name]}")
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("starlette", "uvicorn", "h11"):
            raise
        raise ImportError(
            f"the sandbox needs {missing}: pip install 'airflow-provider-daocloud[sandbox]'"
        ) from error
    return getattr(module, name)
