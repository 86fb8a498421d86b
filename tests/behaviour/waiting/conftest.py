"""One sandbox for a module, with a fresh world for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_daocloud.sandbox import Sandbox
from tests.support.modes import RATE_LIMIT


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


TRACKER = "airflow_provider_daocloud.core.waiting.tracker"


@pytest.fixture(autouse=True)
def _short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scale down what is no parameter: for how long a refusal may be one that passes."""
    monkeypatch.setattr(f"{TRACKER}.NOT_FOUND_GRACE", 1.0)
    monkeypatch.setattr("airflow_provider_daocloud.core.waiting.refusals.REFUSAL_GRACE", 1.0)
    monkeypatch.setattr(f"{TRACKER}.INITIAL_INTERVAL", 0.1)
