"""A private Airflow home for the tests.

Every session gets an empty home of its own, set up before Airflow is imported. It gets a metadata
database when a test first asks for it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from airflow_provider_daocloud.sandbox.pytest_plugin import daocloud_sandbox
from scripts import airflow_home as homes

__all__ = ["airflow_home", "daocloud_sandbox"]

_HOME = Path(tempfile.mkdtemp(prefix="airflow-home-"))
(_HOME / "dags").mkdir()

# Nothing of the machine's own Airflow reaches a test.
for _name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
    del os.environ[_name]
os.environ |= homes.settings(_HOME, _HOME / "dags")


@pytest.fixture(scope="session")
def airflow_home() -> Path:
    """Return the session's AIRFLOW_HOME, with a migrated database and an empty ``dags`` folder."""
    homes.make_database(_HOME)
    return _HOME


def pytest_unconfigure() -> None:
    """Remove the home."""
    shutil.rmtree(_HOME, ignore_errors=True)
