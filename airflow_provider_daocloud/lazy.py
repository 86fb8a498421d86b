"""Modules that are imported when they are first used.

Every process that parses a DAG file pays for what its operators import. What only a running task
needs is imported by it, and so is loaded through here::

    if TYPE_CHECKING:
        from airflow_provider_daocloud import waits
    else:
        waits = lazy("airflow_provider_daocloud.waits")
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any


class _Lazy(ModuleType):
    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name__), name)


def lazy(name: str) -> ModuleType:
    """Return a stand-in for a module, which imports it at the first use.

    :param name: the module's full name.
    """
    return _Lazy(name)
