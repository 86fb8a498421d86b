"""The built wheel, installed in a clean environment: it has all it needs, and nothing else.

The source archive's tests are then run against that wheel: all must be found, and some must pass.

Run by ``make test-wheel``. Everything happens in a folder of its own, far from the checkout, so
that only what is in the wheel can answer.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
import zipfile
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGE = "airflow_provider_daocloud"
CONSTRAINTS = ROOT / "constraints" / "airflow-3.3.txt"


def check_content(wheel: Path) -> None:
    """The package's files, all of them, and the metadata."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        [metadata] = [name for name in names if name.endswith(".dist-info/METADATA")]
        fields = Parser().parsestr(archive.read(metadata).decode())
    info = metadata.removesuffix("METADATA")
    of_package = {name for name in names if not name.startswith(info)}
    files = (path for path in (ROOT / PACKAGE).rglob("*") if path.is_file())
    sources = {str(path.relative_to(ROOT)) for path in files if path.suffix != ".pyc"}
    assert of_package == sources, of_package ^ sources
    assert f"{PACKAGE}/py.typed" in of_package
    assert f"{info}licenses/LICENSE" in names
    assert fields["Name"] == "airflow-provider-daocloud"
    assert fields["License-Expression"] == "Apache-2.0"
    version = re.search(r'__version__ = "(.+)"', (ROOT / PACKAGE / "__init__.py").read_text())
    assert version is not None
    assert fields["Version"] == version[1]
    assert "sandbox" in fields.get_all("Provides-Extra", [])


def run(command: list[str | Path], folder: Path, env: dict[str, str]) -> str:
    """Run a command to its end; return what it printed to stdout."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=env,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    if done.returncode:
        raise SystemExit(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def check_airflow(bin_folder: Path, folder: Path, env: dict[str, str]) -> None:
    """Airflow finds the provider, its hook and its connection type."""
    airflow = bin_folder / "airflow"
    run([airflow, "db", "migrate"], folder, env)
    providers = json.loads(run([airflow, "providers", "list", "--output", "json"], folder, env))
    [ours] = [row for row in providers if row["package_name"] == "airflow-provider-daocloud"]
    assert ours["description"], ours
    hooks = json.loads(run([airflow, "providers", "hooks", "--output", "json"], folder, env))
    [hook] = [row for row in hooks if row["connection_type"] == "daocloud"]
    assert hook["class"] == f"{PACKAGE}.hooks.daocloud.DaoCloudHook", hook


ENTRY_POINT = """
from importlib.metadata import entry_points
[entry] = [e for e in entry_points(group="apache_airflow_provider") if e.name == "provider_info"
           and e.dist.name == "airflow-provider-daocloud"]
info = entry.load()()
assert info["package-name"] == "airflow-provider-daocloud", info
"""

IMPORTS = """
import airflow_provider_daocloud.operators.daocloud, airflow_provider_daocloud.sensors.daocloud
from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook
assert "site-packages" in airflow_provider_daocloud.__file__, airflow_provider_daocloud.__file__
DaoCloudHook()
"""

ASK_SANDBOX = """
import os
from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook
hook = DaoCloudHook()
ok, message = hook.test_connection()
assert ok, message
assert len(hook.list_apps()) > 0
"""


def check_sandbox(python: Path, folder: Path, env: dict[str, str]) -> None:
    """The sandbox runs as a process, and the hook talks to it."""
    log = folder / "sandbox.log"
    env = env | {"DAOCLOUD_SANDBOX_TOKEN": "made-up"}
    with log.open("w") as output:
        sandbox = subprocess.Popen(
            [python, "-m", f"{PACKAGE}.sandbox", "--port", "0"],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        end = time.monotonic() + 60
        while not (found := re.search(r"listens on (http://\S+?)\.\s", log.read_text())):
            assert sandbox.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        url = found[1]
        request = urllib.request.Request(
            f"{url}/v1/apps", headers={"Authorization": "token made-up"}
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            assert json.load(response)["app"]
        connection = {"conn_type": "daocloud", "host": url, "password": "made-up"}
        env["AIRFLOW_CONN_DAOCLOUD_DEFAULT"] = json.dumps(connection)
        run([python, "-c", ASK_SANDBOX], folder, env)
    finally:
        sandbox.terminate()
        sandbox.wait(30)
    assert sandbox.returncode == 0, log.read_text()


# Of the archive's tests: what is quick, and what reads other files of the archive.
QUICK = (
    "tests/project/test_readme.py",
    "tests/project/test_stored_names.py",
    "tests/unit/test_exceptions.py",
    "tests/unit/test_compat.py",
    "tests/unit/api/test_models.py",
    "tests/unit/hooks/test_provider_info.py",
    "tests/unit/core/submission/test_journal.py",
)


def check_sdist(sdist: Path, uv: Path, python: Path, folder: Path, env: dict[str, str]) -> None:
    """The archive has all that its tests need, and they test what is installed."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    root = folder / sdist.name.removesuffix(".tar.gz")
    shutil.rmtree(root / PACKAGE)  # or it would hide the wheel
    group = f"{root / 'pyproject.toml'}:test"
    command: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", python]
    run([*command, "--constraints", CONSTRAINTS, "--group", group], folder, env)
    pytest: list[str | Path] = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    run([*pytest, "--collect-only"], root, env)
    run([*pytest, *QUICK], root, env)


TYPED = f"""
from {PACKAGE}.api.openapi.apps import App
from {PACKAGE}.hooks.daocloud import DaoCloudHook
reveal_type(DaoCloudHook().get_app("x"))
"""


def main() -> None:
    """Check a wheel."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uv", type=Path, required=True)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("sdist", type=Path)
    arguments = parser.parse_args()
    uv, wheel, sdist = (path.resolve() for path in (arguments.uv, arguments.wheel, arguments.sdist))

    check_content(wheel)
    print("The wheel contains the package alone.", flush=True)
    with tempfile.TemporaryDirectory(prefix="wheel-") as name:
        folder = Path(name)
        venv = folder / "venv"
        python = venv / "bin" / "python"
        kept = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW_")}
        env = kept | {
            "AIRFLOW_HOME": str(folder / "home"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "VIRTUAL_ENV": str(venv),
        }
        env.pop("PYTHONPATH", None)

        def install(what: str) -> None:
            command = [uv, "pip", "install", "--quiet", "--python", python]
            run([*command, "--constraints", CONSTRAINTS, what], folder, env)

        run([uv, "venv", "--quiet", "--python", sys.executable, venv], folder, env)
        install(str(wheel))
        run([python, "-c", ENTRY_POINT], folder, env)
        run([python, "-c", IMPORTS], folder, env)
        print("It installs; the entry point and the imports work.", flush=True)
        check_airflow(venv / "bin", folder, env)
        print("Airflow lists the provider and its hook.", flush=True)
        install(f"{wheel}[sandbox]")
        check_sandbox(python, folder, env)
        print("The sandbox runs, and the hook talks to it.", flush=True)
        check_sdist(sdist, uv, python, folder, env)
        print("The source archive's tests are found, and test it.", flush=True)
        install("mypy")
        (folder / "typed.py").write_text(TYPED)
        seen = run([python, "-m", "mypy", "--follow-imports=silent", "typed.py"], folder, env)
        assert f'"{PACKAGE}.api.openapi.apps.App"' in seen, seen
        print("Its types are seen by whoever installs it.", flush=True)


if __name__ == "__main__":
    main()
