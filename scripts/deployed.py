"""Airflow as it is deployed, in small: PostgreSQL, Redis, Celery workers, two triggerers.

PostgreSQL and Redis are the system's programs, run here with empty data on ports of their own; the
system's own servers are not touched. ``python -m scripts.deployed`` says whether they are there.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from scripts.airflow_processes import COMPONENTS
from scripts.processes import Process, free_port, kill, start_command, stop

REMEDY = (
    "PostgreSQL and Redis are needed (on Debian: apt-get install postgresql redis-server). Of "
    "PostgreSQL the folder with initdb and postgres may be named in POSTGRES_BIN."
)
# How many tasks a worker runs at once.
CONCURRENCY = 4
TRIGGERERS = ("triggerer-1", "triggerer-2")
WORKERS = ("worker-1", "worker-2")
_UP_SECONDS = 60.0


class DeploymentError(Exception):
    """A server is not there, or did not start."""


def components(home: Path) -> dict[str, list[str]]:
    """Return the arguments of each of Airflow's processes, by its name.

    :param home: the AIRFLOW_HOME.
    """
    one_each = ("api-server", "scheduler", "dag-processor")
    return {
        **{name: COMPONENTS[name] for name in one_each},
        **dict.fromkeys(TRIGGERERS, COMPONENTS["triggerer"]),
        # Two on one machine: they must not share a name, nor the file with their process id.
        **{
            name: [
                *("celery", "worker", "--skip-serve-logs", "--concurrency", str(CONCURRENCY)),
                *("--celery-hostname", f"{name}@%h", "--pid", str(home / f"{name}.pid")),
            ]
            for name in WORKERS
        },
    }


def settings(database: str, broker: str) -> dict[str, str]:
    """Return the environment variables that make an Airflow use them, with the CeleryExecutor."""
    return {
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__PARALLELISM": "32",
        "AIRFLOW__CELERY__BROKER_URL": broker,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
    }


def postgres_folder() -> Path:
    """Return the folder with PostgreSQL's programs.

    :raises DeploymentError: there is none; the text has the remedy.
    """
    # Debian keeps them out of the PATH, in a folder for each version.
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    newest_first = sorted(versions, key=lambda f: int(f.parent.name), reverse=True)
    named = os.environ.get("POSTGRES_BIN")
    on_path = shutil.which("initdb")
    beside = [Path(on_path).resolve().parent] if on_path else []
    for folder in [Path(named)] if named else [*newest_first, *beside]:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise DeploymentError(REMEDY)


def redis_program() -> str:
    """Return the path of ``redis-server``.

    :raises DeploymentError: there is none; the text has the remedy.
    """
    program = shutil.which("redis-server")
    if program is None:
        raise DeploymentError(REMEDY)
    return program


@contextmanager
def postgres() -> Iterator[str]:
    """Run an empty PostgreSQL for as long as the block lasts; yield a URL for SQLAlchemy."""
    programs = postgres_folder()
    user = _postgres_user()
    password = secrets.token_urlsafe(24)
    port = free_port()
    env = os.environ | {"LC_ALL": "C.UTF-8"}
    with _folder("postgres-", user) as folder:
        data, log = folder / "data", folder / "log"
        (folder / "password").write_text(password)
        (folder / "password").chmod(0o644)  # in a folder of that user alone
        making = [
            *(str(programs / "initdb"), "--pgdata", str(data), "--username", "airflow"),
            *("--pwfile", str(folder / "password"), "--auth", "scram-sha-256"),
            *("--encoding", "UTF8", "--no-sync"),
        ]
        if start_command(making, log, env, user).wait(_UP_SECONDS):
            raise DeploymentError(f"initdb failed:\n{log.read_text()}")
        serving = [str(programs / "postgres"), "-D", str(data), "-p", str(port)]
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "200",
            "fsync": "off",  # its data do not outlive it
        }
        for name, value in options.items():
            serving += ["-c", f"{name}={value}"]
        server = start_command(serving, log, env, user)
        try:
            _wait_until(lambda: "ready to accept connections" in log.read_text(), server, log)
            yield f"postgresql+psycopg2://airflow:{password}@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)  # fast: it does not wait for its clients
            with suppress(subprocess.TimeoutExpired):
                server.wait(20)
            kill(server)


@contextmanager
def redis() -> Iterator[str]:
    """Run an empty Redis for as long as the block lasts; yield its URL."""
    program = redis_program()
    password = secrets.token_urlsafe(24)
    port = free_port()
    with _folder("redis-") as folder:
        log = folder / "log"
        # A file, because everybody can read a command line.
        (folder / "redis.conf").write_text(
            f'bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir "{folder}"\nsave ""\n'
        )
        server = start_command([program, str(folder / "redis.conf")], log, dict(os.environ))
        try:
            _wait_until(lambda: _listens(port), server, log)
            yield f"redis://:{password}@127.0.0.1:{port}/0"
        finally:
            stop(server)


@contextmanager
def _folder(prefix: str, user: int | None = None) -> Iterator[Path]:
    """Make a folder of one user, by default of the one that we run as; remove it at the end."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        if user is not None:
            os.chown(folder, user, -1)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _postgres_user() -> int | None:
    """Return whom PostgreSQL runs as: it refuses root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name).pw_uid
    raise DeploymentError("PostgreSQL does not run as root, and there is no user postgres.")


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _wait_until(up: Callable[[], bool], server: Process, log: Path) -> None:
    end = time.monotonic() + _UP_SECONDS
    while not up():
        if server.poll() is not None or time.monotonic() > end:
            raise DeploymentError(f"{log.parent.name} did not start:\n{log.read_text()}")
        time.sleep(0.1)


def main() -> int:
    """Say whether the servers are there; return the exit status."""
    try:
        postgres_folder()
        redis_program()
    except DeploymentError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
