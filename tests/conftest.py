"""A private Airflow home for the tests.

Every session gets an empty home of its own, set up before Airflow is imported. It gets a metadata
database when a test first asks for it.
"""

from __future__ import annotations

import functools
import gc
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_daocloud.sandbox.pytest_plugin import (
    daocloud_enterprise_sandbox,
    daocloud_sandbox,
)
from scripts import airflow_home as homes
from tests.support import first_words

__all__ = ["airflow_home", "daocloud_enterprise_sandbox", "daocloud_sandbox"]

_HOME = Path(tempfile.mkdtemp(prefix="airflow-home-"))
(_HOME / "dags").mkdir()

# Nothing of the machine's own Airflow reaches a test.
for _name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
    del os.environ[_name]
os.environ |= homes.settings(_HOME, _HOME / "dags")


# Airflow's own objects outlive every test: to visit them at each collection takes a tenth of the
# time.
gc.freeze()
gc.set_threshold(50_000, 20, 20)

_AMBIENT = (
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
)


@pytest.fixture(autouse=True)
def nothing_ambient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep this machine's proxies and certificates out of the tests."""
    for name in _AMBIENT:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def what_happened_comes_first() -> Iterator[None]:
    """Fail the test that made a log line or an error whose visible part is an id."""
    first_words.unreadable.clear()
    yield
    assert first_words.unreadable == []


@pytest.fixture(scope="session")
def airflow_home() -> Path:
    """Return the session's AIRFLOW_HOME, with a migrated database and an empty ``dags`` folder."""
    homes.make_database(_HOME)
    if version("apache-airflow").startswith(("3.0.", "3.1.", "3.2.")):
        _let_dag_test_wait_for_its_api()
    return _HOME


def _let_dag_test_wait_for_its_api() -> None:
    """Before 3.3, ``dag.test()`` asks its in-process API although that may not be up yet."""
    from airflow.sdk.execution_time import supervisor

    make = supervisor.in_process_api_server

    @functools.cache
    def make_and_wait() -> Any:
        api = make()
        assert api.transport is not None
        end = time.monotonic() + 60
        while not hasattr(api.app.state, "svcs_registry"):
            assert time.monotonic() < end, "Airflow's in-process API did not come up"
            time.sleep(0.01)
        return api

    supervisor.in_process_api_server = make_and_wait


def pytest_unconfigure() -> None:
    """Remove the home."""
    shutil.rmtree(_HOME, ignore_errors=True)
