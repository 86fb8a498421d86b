"""A private Airflow home for the tests.

Every session gets an empty home of its own, set up before Airflow is imported. The metadata
database is made when a test first asks for it, and its empty, migrated form is kept in the
environment for the next session: migrating takes many times as long as copying.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import pytest

from airflow_provider_daocloud.sandbox.pytest_plugin import daocloud_sandbox

__all__ = ["airflow_home", "daocloud_sandbox"]

_HOME = Path(tempfile.mkdtemp(prefix="airflow-home-"))
# The version in the name: an environment may be brought to another Airflow.
_MIGRATED = Path(sys.prefix, f"airflow-{version('apache-airflow')}-migrated.db")

# Nothing of the machine's own Airflow reaches a test.
for _name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
    del os.environ[_name]
os.environ |= {
    "AIRFLOW_HOME": str(_HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(_HOME / "dags"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}
(_HOME / "dags").mkdir()


@pytest.fixture(scope="session")
def airflow_home() -> Path:
    """Return the session's AIRFLOW_HOME, with a migrated database and an empty ``dags`` folder."""
    database = _HOME / "airflow.db"
    if not _MIGRATED.exists():
        subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=300,
        )
        # By a rename, so that a session beside this one never sees half of it.
        partial = _MIGRATED.with_suffix(f".{os.getpid()}")
        shutil.copyfile(database, partial)
        partial.rename(_MIGRATED)
    shutil.copyfile(_MIGRATED, database)
    return _HOME


def pytest_unconfigure() -> None:
    """Remove the home."""
    shutil.rmtree(_HOME, ignore_errors=True)
