"""The package as the tests see it: its modules and the classes that they define."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import airflow_provider_daocloud
from airflow_provider_daocloud.triggers.deferral import airflow_version

PACKAGE = airflow_provider_daocloud.__name__
# What an older Airflow cannot import, and says so.
_WATCHERS = ("events", "event_stream", "enterprise_events")
UNUSABLE = (
    {f"{PACKAGE}.triggers.{name}" for name in _WATCHERS} if airflow_version() < (3, 0) else set()
)


def classes() -> Iterator[type]:
    """Yield every class that a module of the package defines.

    The sandbox is a program of its own, and ``__main__`` runs when it is imported.
    """
    for info in pkgutil.walk_packages(airflow_provider_daocloud.__path__, f"{PACKAGE}."):
        if f"{info.name}.".startswith(f"{PACKAGE}.sandbox.") or info.name.endswith("__main__"):
            continue
        if info.name in UNUSABLE:
            continue
        for made in vars(importlib.import_module(info.name)).values():
            if inspect.isclass(made) and made.__module__ == info.name:
                yield made
