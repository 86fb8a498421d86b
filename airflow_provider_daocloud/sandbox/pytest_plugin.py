"""A pytest fixture for testing DAGs against a DaoCloud of their own.

Import it in a ``conftest.py``::

    from airflow_provider_daocloud.sandbox.pytest_plugin import daocloud_sandbox

`daocloud_enterprise_sandbox` is the same for DaoCloud Enterprise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_provider_daocloud.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_daocloud.sandbox.enterprise.server import EnterpriseSandbox

__all__ = ["daocloud_enterprise_sandbox", "daocloud_sandbox"]


@pytest.fixture
def daocloud_sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Yield a running sandbox with a fresh world; ``daocloud_default`` is a connection to it."""
    with Sandbox() as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_DEFAULT", sandbox.connection_json())
        yield sandbox


@pytest.fixture
def daocloud_enterprise_sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[EnterpriseSandbox]:
    """Yield a running sandbox; ``daocloud_enterprise_default`` is a connection to it."""
    from airflow_provider_daocloud.sandbox.enterprise.server import EnterpriseSandbox

    with EnterpriseSandbox() as sandbox:
        connection = sandbox.connection_json()
        monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_ENTERPRISE_DEFAULT", connection)
        yield sandbox
