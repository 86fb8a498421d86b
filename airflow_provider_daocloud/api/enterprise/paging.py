"""Lists that come in pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import urlencode

from airflow_provider_daocloud.api.enterprise.generation import ENTERPRISE
from airflow_provider_daocloud.api.parsing import read_number
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.response import list_of

T = TypeVar("T")

# How many items a page has. The products take that many; their own default is ten.
PAGE_SIZE = 200
# After so many pages a list is not asked on: a server that ignores ``page`` would never end it.
MOST_PAGES = 500


class Pages(tuple[T, ...]):
    """The items of all pages so far, and whether there are more."""

    more: bool = False


def paged(
    name: str,
    path: str,
    parse: Callable[[Mapping[str, Any]], T],
    *,
    query: Mapping[str, str] | None = None,
    repeats: bool = False,
) -> Request[tuple[T, ...]]:
    """Return the request for a list, which goes on to its last page.

    :param name: the request's name.
    :param path: its path.
    :param parse: reads one item.
    :param query: what else the query has.
    :param repeats: see `Request`.
    """
    request = _page(name, path, parse, dict(query or {}), 1, ())
    return replace(request, repeats=repeats)


def _page(
    name: str,
    path: str,
    parse: Callable[[Mapping[str, Any]], T],
    query: Mapping[str, str],
    number: int,
    before: tuple[T, ...],
) -> Request[tuple[T, ...]]:
    read = list_of("items", parse)

    def parse_page(data: Any) -> tuple[T, ...]:
        items = read(data)
        pages = Pages((*before, *items))
        pagination = data.get("pagination")
        total = read_number(pagination.get("total")) if isinstance(pagination, Mapping) else None
        known = len(items) < PAGE_SIZE if total is None else len(pages) >= total
        pages.more = bool(items) and not known and number < MOST_PAGES
        return pages

    def following(pages: Any) -> Request[tuple[T, ...]] | None:
        return _page(name, path, parse, query, number + 1, pages) if pages.more else None

    parameters = urlencode({**query, "page": number, "pageSize": PAGE_SIZE})
    return Request(
        name, "GET", f"{path}?{parameters}", parse_page, following=following, api=ENTERPRISE
    )
