"""What the package takes of Airflow, wherever the installed Airflow has it (2.11 to 3.3).

Airflow's own ``common.compat`` provider does the same in its later versions. Those cannot be had
beside the official constraints of the older Airflow lines, so the few names needed stand here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import (
        Asset,
        BaseHook,
        BaseNotifier,
        BaseOperator,
        BaseOperatorLink,
        BaseSensorOperator,
        Connection,
        Context,
        PokeReturnValue,
        XComArg,
    )
    from airflow.sdk.configuration import conf
    from airflow.sdk.exceptions import (
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
        AirflowSensorTimeout,
        AirflowSkipException,
        AirflowTaskTimeout,
    )
    from airflow.sdk.execution_time.timeout import timeout
    from airflow.sdk.execution_time.xcom import XCom
    from airflow.sdk.observability.stats import Stats

__all__ = [
    "AirflowException",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "AirflowTaskTimeout",
    "Asset",
    "BaseHook",
    "BaseNotifier",
    "BaseOperator",
    "BaseOperatorLink",
    "BaseSensorOperator",
    "Connection",
    "Context",
    "PokeReturnValue",
    "Stats",
    "XCom",
    "XComArg",
    "conf",
    "get_async_connection",
    "timeout",
]

_EXCEPTIONS = ("airflow.sdk.exceptions", "airflow.exceptions")
# Where each name may be, the latest place first; with the name there, if it is another.
PLACES: dict[str, tuple[str, ...]] = {
    "AirflowException": _EXCEPTIONS,
    "AirflowFailException": _EXCEPTIONS,
    "AirflowNotFoundException": _EXCEPTIONS,
    "AirflowSensorTimeout": _EXCEPTIONS,
    "AirflowSkipException": _EXCEPTIONS,
    "AirflowTaskTimeout": _EXCEPTIONS,
    "Asset": ("airflow.sdk", "airflow.datasets:Dataset"),
    "BaseHook": ("airflow.sdk", "airflow.hooks.base"),
    "BaseNotifier": ("airflow.sdk", "airflow.notifications.basenotifier"),
    "BaseOperator": ("airflow.sdk", "airflow.models.baseoperator"),
    "BaseOperatorLink": ("airflow.sdk", "airflow.models.baseoperatorlink"),
    "BaseSensorOperator": ("airflow.sdk", "airflow.sensors.base"),
    "Connection": ("airflow.sdk", "airflow.models.connection"),
    "Context": ("airflow.sdk", "airflow.utils.context"),
    "PokeReturnValue": ("airflow.sdk", "airflow.sensors.base"),
    "Stats": ("airflow.sdk.observability.stats", "airflow.observability.stats", "airflow.stats"),
    "XCom": ("airflow.sdk.execution_time.xcom", "airflow.models.xcom"),
    "XComArg": ("airflow.sdk", "airflow.models.xcom_arg"),
    "conf": ("airflow.sdk.configuration", "airflow.configuration"),
    "timeout": ("airflow.sdk.execution_time.timeout", "airflow.utils.timeout"),
}


if not TYPE_CHECKING:
    # Imported when first asked for: parsing a DAG file must not pay for all of them.
    def __getattr__(name: str) -> Any:
        for place in PLACES.get(name, ()):
            module, _, other = place.partition(":")
            try:
                found = globals()[name] = getattr(import_module(module), other or name)
            except (ImportError, AttributeError):
                continue
            return found
        if name in PLACES:
            places = ", ".join(PLACES[name])
            raise ImportError(f"this Airflow has no {name} in {places}: it must be 2.11 to 3.3.")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


async def get_async_connection(conn_id: str) -> Connection:
    """Look up a Connection without blocking the event loop.

    :param conn_id: its id.
    :raises AirflowNotFoundException: there is none.
    """
    from airflow_provider_daocloud import compat

    # Before Airflow 3.3.2, which brought this method, the asynchronous look-up could dead-lock with
    # another call in flight; Airflow 2 has none.
    if hasattr(compat.Connection, "aextra_dejson"):
        return await compat.BaseHook.aget_connection(conn_id=conn_id)

    # Not asyncio.to_thread: Airflow's own code in the thread looks for the loop that waits for it.
    from asgiref.sync import sync_to_async

    return await sync_to_async(compat.BaseHook.get_connection)(conn_id=conn_id)
