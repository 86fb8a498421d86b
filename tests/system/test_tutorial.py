"""The tutorial leads to a release, by copy and paste."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.modes import AIRFLOW

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(600),
    pytest.mark.skipif(AIRFLOW < (3, 0), reason="written for Airflow 3"),
]

DOCS = Path(__file__).parents[2] / "docs"
PORT = "8090"  # as the pages have it


def free_port() -> str:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return str(server.getsockname()[1])


def blocks(page: str) -> list[str]:
    """Return the page's blocks of code, in order, for this environment instead of a new one."""
    found = re.findall(r"```(?:bash|python)\n(.*?)```", (DOCS / page).read_text(), re.S)
    return [block.replace("source release-demo/bin/activate\n", "") for block in found]


@pytest.mark.parametrize("page", ["tutorial.md", "zh/tutorial.md"])
def test_the_tutorial_ends_in_a_release(page: str, tmp_path: Path) -> None:
    port = free_port()
    install, *rest = (block.replace(PORT, port) for block in blocks(page))
    assert "pip install 'airflow-provider-daocloud[sandbox]'" in install
    sandbox, connect, dag, run = rest
    file = tmp_path / "release-demo" / "airflow" / "dags" / "release.py"
    file.parent.mkdir(parents=True)
    file.write_text(dag)
    bin_first = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    more = {"PATH": bin_first, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    env = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")} | more
    server = subprocess.Popen(
        ["bash", "-c", f"exec {sandbox.strip()}"],
        env=env,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        printed = iter(server.stdout.readline, "")
        exported = next(line for line in printed if line.startswith("export AIRFLOW_CONN_"))
        done = subprocess.run(
            ["bash", "-euc", exported + connect + run],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
    finally:
        server.terminate()
        server.wait(30)
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-10:]
    (web,) = (line for line in last if re.search(r"\bweb\b", line) and "worker" not in line)
    assert "v1.1.0" in web
    assert "RUNNING" in web
