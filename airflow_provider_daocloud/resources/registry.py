"""Which resources there are, and what is special about each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.core.polling.poller import Strategy
from airflow_provider_daocloud.core.polling.strategies import Individual
from airflow_provider_daocloud.core.waiting.wait import Wait


@dataclass(frozen=True)
class Resource:
    """A kind of resource.

    :param kind: the stem of its arguments: ``app`` for ``app_id`` and ``app_name``.
    :param list_request: returns the request that lists all, to look up names.
    :param distinguishing: the fields in which two of the same name differ.
    :param dashboard_path: where a person sees one, with ``{id}`` in it.
    :param polling: how each kind of wait for it is polled; where that differs from wait to wait,
        what returns it for one.
    :param name_field: the argument that takes a name; by default ``kind`` with ``_name``.
    """

    kind: str
    list_request: Callable[[], Request[tuple[Any, ...]]]
    distinguishing: tuple[str, ...]
    dashboard_path: str
    polling: Mapping[str, Strategy | Callable[[Any], Strategy]]
    name_field: str = ""


_RESOURCES: dict[str, Resource] = {}
_INDIVIDUAL = Individual()


def register(resource: Resource) -> Resource:
    """Make a resource known, and return it.

    :param resource: the resource.
    """
    _RESOURCES[resource.kind] = resource
    return resource


def resource(kind: str) -> Resource:
    """Return the resource of a kind.

    :param kind: its kind.
    :raises KeyError: no such resource is registered.
    """
    return _RESOURCES[kind]


def strategy_of(wait: Wait) -> Strategy:
    """Return how a wait is polled: individually, if its resource says nothing else.

    :param wait: the wait.
    """
    for known in _RESOURCES.values():
        found = known.polling.get(wait.kind)
        if found is not None:
            return found(wait) if callable(found) else found
    return _INDIVIDUAL
