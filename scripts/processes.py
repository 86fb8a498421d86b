"""Processes that are ended together with all that they started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

Process = subprocess.Popen[bytes]

# So long may an orderly end take.
_STOP_SECONDS = 20.0


def start(module: list[str], log: Path, env: dict[str, str]) -> Process:
    """Start ``python -m``, with its output at the end of a file.

    :param module: the module and its arguments.
    """
    return start_command([sys.executable, "-m", *module], log, env)


def start_command(
    command: list[str], log: Path, env: dict[str, str], user: int | None = None
) -> Process:
    """Start a command, with its output at the end of a file.

    :param user: the id of the user that it runs as, if that is not the one that we run as.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            user=user,
            extra_groups=None if user is None else [],
            # A group of its own: Ctrl-C reaches us alone, and we end what we started, in order.
            start_new_session=True,
        )


def stop(*processes: Process) -> None:
    """End processes, and then what is left of their groups."""
    for process in processes:
        process.terminate()
    end = time.monotonic() + _STOP_SECONDS
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, end - time.monotonic()))
    for process in processes:
        kill(process)


def kill(process: Process) -> None:
    """End a process and all that it started at once, as if the power had gone."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    # A task of Airflow has a group of its own, in the session of what started it.
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(ProcessLookupError):
            if os.getsid(int(entry.name)) == process.pid:
                os.kill(int(entry.name), signal.SIGKILL)
    process.wait()


@contextmanager
def running(module: list[str], log: Path, env: dict[str, str]) -> Iterator[Process]:
    """Run ``python -m`` for as long as the block lasts; see `start`."""
    process = start(module, log, env)
    try:
        yield process
    finally:
        stop(process)


def free_port(wanted: int = 0) -> int:
    """Return a free port of the loopback: the wanted one, if it is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
