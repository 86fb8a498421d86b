"""What is taken of Airflow: on each line, the same that Airflow's own compat module gives."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from airflow.providers.common.compat import sdk

from airflow_provider_daocloud import compat
from airflow_provider_daocloud.sandbox import Sandbox


@pytest.mark.parametrize("name", sorted({*compat.__all__} - {"get_async_connection"}))
def test_each_name_is_airflows_own(name: str) -> None:
    assert getattr(compat, name) is getattr(sdk, name)
    assert name in vars(compat)  # found once


def test_a_name_that_is_none() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        compat.Nothing  # type: ignore[attr-defined]  # noqa: B018


def test_a_name_that_this_airflow_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(compat.PLACES, "Later", ("airflow.nowhere", "airflow"))
    with pytest.raises(ImportError, match=r"no Later in airflow\.nowhere, airflow"):
        compat.Later  # type: ignore[attr-defined]  # noqa: B018


def test_a_connection_is_looked_up_on_the_loop(daocloud_sandbox: Sandbox) -> None:
    found: Any = asyncio.run(compat.get_async_connection("daocloud_default"))
    assert found.password == daocloud_sandbox.token


def test_no_connection() -> None:
    with pytest.raises(compat.AirflowNotFoundException, match="none_of_that_id"):
        asyncio.run(compat.get_async_connection("none_of_that_id"))
