"""One sandbox for a module, with a fresh world for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_daocloud import waits
from airflow_provider_daocloud.sandbox import Sandbox
from tests.waiting.modes import RATE_LIMIT


@pytest.fixture(scope="module")
def running_sandbox() -> Iterator[Sandbox]:
    with Sandbox(fill=None, rate_limit=RATE_LIMIT) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Return a sandbox with an empty world; ``daocloud_default`` is a connection to it."""
    running_sandbox.reset()
    connection = running_sandbox.connection_json(extra={"read_timeout": 0.5})
    monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_DEFAULT", connection)
    return running_sandbox


@pytest.fixture(autouse=True)
def _short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scale down what is no parameter: for how long a refusal may be one that passes."""
    monkeypatch.setattr(waits, "NOT_FOUND_GRACE", 1.0)
    monkeypatch.setattr(waits, "REFUSAL_GRACE", 1.0)
    monkeypatch.setattr(waits, "FIRST_INTERVAL", 0.1)
