"""A private Airflow home, quickly: for the demo and for the tests.

Migrating an empty metadata database takes many times as long as copying it, so its empty, migrated
form is kept in the environment.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path


def settings(home: Path, dags_folder: Path) -> dict[str, str]:
    """Return the environment variables of an Airflow that lives in a folder.

    :param home: its AIRFLOW_HOME.
    :param dags_folder: where its DAGs are.
    """
    return {
        "AIRFLOW_HOME": str(home),
        # Its processes must share one, and before 3.3 `dag.test()` needs one too.
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(32),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


def environment(home: Path, dags_folder: Path, **more: str) -> dict[str, str]:
    """Return a whole environment for such an Airflow, with nothing of the machine's own Airflow.

    :param more: further variables.
    """
    outside = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    # Airflow starts parts of itself by name.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return outside | settings(home, dags_folder) | {"PATH": path} | more


def migrate(env: dict[str, str]) -> None:
    """Make Airflow's tables in the metadata database of an environment.

    :raises subprocess.CalledProcessError: the migration failed; its output has been printed.
    """
    migration = subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"],
        check=False,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    if migration.returncode:
        print(migration.stdout, file=sys.stderr)
        migration.check_returncode()


def make_database(home: Path) -> None:
    """Put a migrated metadata database into a home.

    :raises subprocess.CalledProcessError: the migration failed; its output has been printed.
    """
    home.mkdir(parents=True, exist_ok=True)
    database = home / "airflow.db"
    # The version in the name: an environment may be brought to another Airflow.
    kept = Path(sys.prefix, f"airflow-{version('apache-airflow')}-migrated.db")
    with kept.with_suffix(".lock").open("w") as lock:
        # Whoever needs one at this moment, too, waits for it instead of making another.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            migrate(environment(home, home / "dags"))
            # By a rename, so that a half of it is never taken for the whole.
            partial = kept.with_suffix(f".{os.getpid()}")
            shutil.copyfile(database, partial)
            partial.rename(kept)
    shutil.copyfile(kept, database)
