"""Importing the package costs little. What may import what is held by ``.importlinter``."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = "airflow_provider_daocloud"
ROOT = Path(__file__).parents[2]
# What can be used and tested without Airflow.
KNOW_NO_AIRFLOW = ("api", "core", "provider_info", "resources")
HEAVY = ("aiohttp", "httpx", "requests", "tenacity")


def modules() -> dict[str, Path]:
    """Return every module of the package but the sandbox's, by its name."""
    found = {}
    for file in sorted((ROOT / PACKAGE).rglob("*.py")):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if part(name) not in ("", "sandbox"):
            found[name] = file
    return found


def part(module: str) -> str:
    """Return the part of the package that a module belongs to; empty for the package itself."""
    return module.removeprefix(PACKAGE).lstrip(".").split(".")[0]


PRODUCTION = modules()


@pytest.mark.parametrize("module", PRODUCTION)
def test_no_other_provider_is_needed(module: str) -> None:
    """Official constraints pin them, on older lines to versions that lack what later ones have.

    Import-linter cannot tell one part of Airflow from another.
    """
    imported = set()
    for node in ast.walk(ast.parse(PRODUCTION[module].read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported |= {f"{node.module}.{alias.name}" for alias in node.names}
    assert [name for name in imported if name.startswith("airflow.providers")] == []


def newly_loaded(before: str, then: str) -> list[str]:
    """Return what a fresh interpreter loads for the second piece of code, on top of the first."""
    code = (
        f"import json, sys\n{before}\nknown = set(sys.modules)\n{then}\n"
        "print('LOADED' + json.dumps(sorted(set(sys.modules) - known)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=100,
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("LOADED")]
    loaded: list[str] = json.loads(line.removeprefix("LOADED"))
    return loaded


def heavy(loaded: list[str]) -> list[str]:
    """Return the modules of the libraries that nobody should pay for while parsing."""
    return [name for name in loaded if name.split(".")[0] in HEAVY]


BASE_CLASSES = """
import airflow.triggers.base
import airflow.providers.common.compat.sdk as compat
# The module resolves its names lazily: importing it alone would import nothing.
for name in ("BaseHook", "BaseOperator", "BaseSensorOperator", "PokeReturnValue", "XComArg",
             "BaseNotifier", "conf", "AirflowException", "AirflowSkipException",
             "AirflowSensorTimeout"):
    getattr(compat, name)
"""
OURS = "\n".join(
    f"import {PACKAGE}.{name}.daocloud"
    for name in ("hooks", "triggers", "operators", "sensors", "notifications")
)


def test_parsing_a_dag_file_loads_no_http_library() -> None:
    """On top of Airflow's base classes, our modules load neither an HTTP library nor tenacity."""
    loaded = newly_loaded(BASE_CLASSES, OURS)
    assert f"{PACKAGE}.operators.daocloud" in loaded
    assert heavy(loaded) == []
    assert [name for name in loaded if name.startswith(f"{PACKAGE}.sandbox")] == []


def test_what_knows_no_airflow_is_light() -> None:
    """All of it loads no HTTP library, no tenacity and nothing of Airflow."""
    light = [name for name in PRODUCTION if part(name) in KNOW_NO_AIRFLOW]
    loaded = newly_loaded("", "\n".join(f"import {name}" for name in light))
    assert f"{PACKAGE}.api.client" in loaded
    assert f"{PACKAGE}.core.submission.plan" in loaded
    assert f"{PACKAGE}.resources.openapi.app" in loaded
    assert heavy(loaded) == []
    assert [name for name in loaded if name.split(".")[0] == "airflow"] == []


def test_the_measure_measures() -> None:
    """The two tests above would see it if a library were loaded."""
    assert "requests" in heavy(newly_loaded("", "import requests"))
    assert heavy(newly_loaded("import requests", "import requests")) == []
