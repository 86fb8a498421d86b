"""The house stands as it was built: imports go downward only, and importing costs little."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "airflow_provider_daocloud"
ROOT = Path(__file__).parents[1]

# From the ground up. What stands on a floor imports from its own floor and from those below.
FLOORS = [
    {"provider_info", "lazy", "compat"},
    {"api", "arguments"},
    {"waits", "names", "journal"},
    {"targets"},
    {"acting", "exceptions", "deferral", "links", "assets"},
    {"hooks"},
    {"triggers"},
    {"operators", "sensors", "notifications"},
    {"cli", "__main__"},
]
KNOW_NO_AIRFLOW = {
    "provider_info",
    "lazy",
    "api",
    "arguments",
    "waits",
    "names",
    "journal",
    "targets",
    "acting",
    "sandbox",
}
HEAVY = ("aiohttp", "httpx", "requests", "tenacity")


def modules() -> dict[str, Path]:
    """Return every module of the package, by its name."""
    found = {}
    for file in sorted((ROOT / PACKAGE).rglob("*.py")):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = file
    return found


MODULES = modules()


def part(module: str) -> str:
    """Return the part of the package that a module belongs to; empty for the package itself."""
    return module.removeprefix(PACKAGE).lstrip(".").split(".")[0]


def imports(module: str) -> Iterator[str]:
    """Yield the modules that a module imports anywhere, for typing alone too."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            source = node.module or ""
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                yield inner if inner in MODULES else source


def floor(module: str) -> int:
    """Return the floor that a module stands on."""
    for number, parts in enumerate(FLOORS):
        if part(module) in parts:
            return number
    raise AssertionError(f"which floor does {module} stand on? Put it into FLOORS.")


PRODUCTION = [name for name in MODULES if part(name) not in ("", "sandbox")]
SANDBOX = [name for name in MODULES if part(name) == "sandbox"]


def test_every_module_has_its_floor() -> None:
    """No module stands outside the house; a new one is put on a floor here."""
    known = set().union(*FLOORS)
    assert {part(name) for name in PRODUCTION} <= known
    assert len(PRODUCTION) > 15
    assert len(SANDBOX) > 5


@pytest.mark.parametrize("module", PRODUCTION)
def test_imports_go_downward(module: str) -> None:
    """A module imports from its own floor and from those below it, never upward."""
    upward = [
        name
        for name in imports(module)
        if name.startswith(f"{PACKAGE}.")
        and part(name) != "sandbox"
        and floor(name) > floor(module)
    ]
    assert upward == []


@pytest.mark.parametrize("module", PRODUCTION)
def test_production_does_not_know_the_sandbox(module: str) -> None:
    """The sandbox is for trying and testing: no other code leans on it."""
    assert [name for name in imports(module) if part(name) == "sandbox"] == []


@pytest.mark.parametrize("module", SANDBOX)
def test_sandbox_does_not_know_production(module: str) -> None:
    """The sandbox is a reading of the contract of its own: it takes nothing from the client's."""
    own = f"{PACKAGE}.sandbox"
    foreign = [
        name
        for name in imports(module)
        if name.startswith(PACKAGE) and name != PACKAGE and not name.startswith(own)
    ]
    assert foreign == []


@pytest.mark.parametrize("module", [name for name in MODULES if part(name) in KNOW_NO_AIRFLOW])
def test_what_knows_no_airflow(module: str) -> None:
    """The API, the waits, acting once and the sandbox can be used and tested without Airflow."""
    assert [name for name in imports(module) if name.split(".")[0] == "airflow"] == []


@pytest.mark.parametrize("module", PRODUCTION)
def test_no_other_provider_is_needed(module: str) -> None:
    """Official constraints pin them, on older lines to versions that lack what later ones have."""
    assert [name for name in imports(module) if name.startswith("airflow.providers")] == []


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


def test_the_api_is_light() -> None:
    """All of the API and the waits load no HTTP library, no tenacity and nothing of Airflow."""
    light = [name for name in PRODUCTION if part(name) in KNOW_NO_AIRFLOW]
    loaded = newly_loaded("", "\n".join(f"import {name}" for name in light))
    assert f"{PACKAGE}.api.client" in loaded
    assert heavy(loaded) == []
    assert [name for name in loaded if name.split(".")[0] == "airflow"] == []


def test_the_measure_measures() -> None:
    """The two tests above would see it if a library were loaded."""
    assert "requests" in heavy(newly_loaded("", "import requests"))
    assert heavy(newly_loaded("import requests", "import requests")) == []
