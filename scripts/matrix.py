"""``make matrix``: the quick tests on every Airflow line and Python, and a table of them.

A row is written as soon as its tests have ended. The others keep what their own run said.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "compatibility.md"
UV = ".venv/uv/bin/uv"
BEGIN, END = "<!-- matrix -->\n", "<!-- /matrix -->"
HEAD = "| Airflow | Python | passed | skipped | failed |\n|---|---|---|---|---|\n"
NOT_RUN = ("not run", "", "")
BROKE_OFF = ("broke off", "", "")

# The last Python of the Airflow lines that stop early. A test compares it with Airflow's own word.
LAST_PYTHON = {"2.11": "3.12", "3.0": "3.12"}

# An Airflow line and a Python, such as ("3.3", "3.13").
Combination = tuple[str, str]


def order(version: str) -> list[int]:
    """Return what sorts 3.9 before 3.10."""
    return [int(number) for number in version.split(".")]


def lines() -> list[str]:
    """Return the Airflow lines: those that have pins."""
    pins = (ROOT / "constraints").glob("airflow-*.txt")
    return sorted((path.stem.removeprefix("airflow-") for path in pins), key=order)


def pythons() -> list[str]:
    """Return the Pythons that the package names in its classifiers."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = (re.fullmatch(r".* Python :: (3\.\d+)", text) for text in project["classifiers"])
    return sorted((found[1] for found in named if found), key=order)


def combinations() -> list[Combination]:
    """Return what is to work: every line on every Python that it supports."""
    return [
        (line, python)
        for line in lines()
        for python in pythons()
        if order(python) <= order(LAST_PYTHON.get(line, python))
    ]


def airflow(line: str) -> str:
    """Return the release of Airflow that a line is pinned to."""
    pins = (ROOT / "constraints" / f"airflow-{line}.txt").read_text()
    [release] = re.findall(r"^apache-airflow==(\S+)", pins, re.M)
    return str(release)


def rows(text: str) -> dict[Combination, str]:
    """Return the rows of the table in ``docs/compatibility.md``.

    :raises ValueError: it has no table.
    """
    _, begin, rest = text.partition(BEGIN)
    table, end, _ = rest.partition(END)
    if not (begin and end and table.startswith(HEAD)):
        raise ValueError(f"{PAGE} has no table of the matrix")
    found = {}
    for row in table.removeprefix(HEAD).splitlines(keepends=True):
        release, python = (cell.strip() for cell in row.split("|")[1:3])
        found[release.rpartition(".")[0], python] = row
    return found


def write(combination: Combination, result: tuple[str, str, str]) -> None:
    """Put a result into the table, and leave the other rows as they are.

    :param result: the last three cells of the row.
    """
    text = PAGE.read_text()
    known = rows(text)
    known[combination] = row(combination, result)
    table = "".join(known.get(each, row(each, NOT_RUN)) for each in combinations())
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}{HEAD}{table}{END}{after}")


def row(combination: Combination, result: tuple[str, str, str]) -> str:
    """Return a row of the table."""
    line, python = combination
    return f"| {' | '.join([airflow(line), python, *result])} |\n"


def counts(report: Path) -> tuple[str, str, str]:
    """Return how many tests passed, were skipped and failed.

    :param report: what pytest wrote as JUnit XML; without it, the run has broken off.
    """
    if not report.exists():
        return BROKE_OFF
    [suite] = ET.parse(report).getroot()  # noqa: S314 - pytest's own file
    skipped = int(suite.attrib["skipped"])
    failed = int(suite.attrib["failures"]) + int(suite.attrib["errors"])
    return str(int(suite.attrib["tests"]) - skipped - failed), str(skipped), str(failed)


def find_python(version: str) -> str | None:
    """Return the path of a Python, from the PATH or from pyenv; None if there is none.

    :param version: such as 3.13.
    """
    env = dict(os.environ)
    if shutil.which("pyenv"):
        # pyenv's names on the PATH stand for what is chosen alone: choose all that it has.
        listed = subprocess.run(
            ["pyenv", "versions", "--bare"],  # noqa: S607
            check=True,
            capture_output=True,
            text=True,
        )
        env["PYENV_VERSION"] = ":".join(listed.stdout.split())
    found = subprocess.run(
        [UV, "python", "find", "--system", "--no-python-downloads", version],
        cwd=ROOT,
        check=False,
        env=env,
        capture_output=True,
        text=True,
    )
    return found.stdout.strip() or None


def run(line: str, python: str, path: str) -> tuple[str, str, str]:
    """Run the quick tests in an environment of their own; return the cells of the row.

    :param path: the Python's.
    """
    environments = f".venv/python-{python}"
    report = ROOT / environments / f"airflow-{line}.xml"
    report.unlink(missing_ok=True)
    done = subprocess.run(
        [
            *("make", "--no-print-directory", f"test-{line}"),
            *(f"ENVIRONMENTS={environments}", f"PYTHON={path}", f"OLDER_PYTHON={path}"),
            f"ARGS=--quiet --junitxml={report.relative_to(ROOT)}",
        ],
        cwd=ROOT,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    result = counts(report)
    return BROKE_OFF if done.returncode and result[-1] == "0" else result


def main(argv: list[str] | None = None) -> int:
    """Run the matrix; return 1 if anything failed or could not be run."""
    parser = argparse.ArgumentParser(prog="matrix", description=__doc__)
    parser.add_argument("--lines", nargs="+", choices=lines(), default=lines())
    parser.add_argument("--pythons", nargs="+", choices=pythons(), default=pythons())
    wanted = parser.parse_args(argv)
    chosen = [
        (line, python)
        for line, python in combinations()
        if line in wanted.lines and python in wanted.pythons
    ]
    if not chosen:
        print("Airflow supports no such combination.", file=sys.stderr)
        return 1
    results = {}
    for line, python in chosen:
        print(f"\n=== Airflow {airflow(line)}, Python {python}", flush=True)
        path = find_python(python)
        if path is None:
            print(f"No Python {python} on the PATH or in pyenv.")
        results[line, python] = NOT_RUN if path is None else run(line, python, path)
        write((line, python), results[line, python])
    print(f"\n{HEAD}{''.join(row(*item) for item in results.items())}", end="")
    bad = [each for each, (_, _, failed) in results.items() if failed != "0"]
    for line, python in bad:
        print(f"Not all of it passed: Airflow {line}, Python {python}.", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
