"""The table of versions: what Airflow supports, and what `make matrix` saw."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib.metadata import metadata, version
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from scripts import matrix

PYTHONS = [
    text.rpartition(" ")[2]
    for text in metadata("apache-airflow").get_all("Classifier", [])
    if text.startswith("Programming Language :: Python :: 3.")
]


def test_a_line_is_tested_on_every_python_that_airflow_names() -> None:
    """Of the Pythons that the package names, this Airflow has those that it names itself."""
    line = version("apache-airflow").rpartition(".")[0]
    ours = [python for each, python in matrix.combinations() if each == line]
    assert ours == [python for python in matrix.pythons() if python in PYTHONS]


def test_the_page_has_every_combination_and_no_other() -> None:
    """The table has a row for each, in order."""
    assert list(matrix.rows(matrix.PAGE.read_text())) == matrix.combinations()
    assert ("2.11", "3.11") in matrix.combinations()
    assert ("2.11", "3.13") not in matrix.combinations()
    assert ("3.3", "3.13") in matrix.combinations()


def test_the_package_can_be_installed_on_what_is_tested_alone() -> None:
    """``requires-python`` ends where the classifiers and the README's words do."""
    project = tomllib.loads((matrix.ROOT / "pyproject.toml").read_text())["project"]
    allowed = SpecifierSet(project["requires-python"])
    assert [f"3.{n}" for n in range(30) if f"3.{n}.5" in allowed] == matrix.pythons()
    words = f"Python {matrix.pythons()[0]} to {matrix.pythons()[-1]}"
    assert words in (matrix.ROOT / "README.md").read_text()


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A page of a table in which nothing has been run."""
    file = tmp_path / "compatibility.md"
    file.write_text(f"before\n{matrix.BEGIN}{matrix.HEAD}{matrix.END}\nafter\n")
    monkeypatch.setattr(matrix, "PAGE", file)
    return file


def test_a_result_changes_its_own_row_alone(page: Path) -> None:
    """What another run has said stays, a newer result replaces it, and the text around stays."""
    matrix.write(("3.1", "3.13"), ("9", "1", "0"))
    matrix.write(("3.3", "3.12"), ("7", "2", "1"))
    matrix.write(("3.1", "3.13"), ("8", "1", "1"))
    rows = matrix.rows(page.read_text())
    assert rows.pop(("3.1", "3.13")) == f"| {matrix.airflow('3.1')} | 3.13 | 8 | 1 | 1 |\n"
    assert rows.pop(("3.3", "3.12")) == f"| {matrix.airflow('3.3')} | 3.12 | 7 | 2 | 1 |\n"
    assert len(rows) == len(matrix.combinations()) - 2
    assert all("| not run |" in row for row in rows.values())
    assert page.read_text().startswith("before\n<!-- matrix -->\n| Airflow |")
    assert page.read_text().endswith(" |\n<!-- /matrix -->\nafter\n")


def test_the_counts_are_those_of_pytest(tmp_path: Path) -> None:
    """What pytest reports is counted; an error in a fixture is a failure."""
    (tmp_path / "test_some.py").write_text(
        "import pytest\n"
        "@pytest.fixture\ndef broken(): raise OSError\n"
        "def test_a(): pass\n"
        "def test_b(): pass\n"
        "def test_c(): pass\n"
        "def test_d(): pytest.skip()\n"
        "def test_e(): assert False\n"
        "def test_f(broken): pass\n"
    )
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "pytest", f"--junitxml={report}", "--rootdir=.", "."]
    alone = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, env=alone, timeout=100)
    assert matrix.counts(report) == ("3", "1", "2")
    assert matrix.counts(tmp_path / "none.xml") == matrix.BROKE_OFF


@pytest.mark.parametrize(
    ("path", "result", "status"),
    [
        ("/somewhere/python", ("9", "1", "0"), 0),
        ("/somewhere/python", ("9", "1", "1"), 1),
        ("/somewhere/python", matrix.BROKE_OFF, 1),
        (None, matrix.NOT_RUN, 1),
    ],
)
def test_only_what_ran_and_passed_is_a_success(
    path: str | None,
    result: tuple[str, str, str],
    status: int,
    page: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A failure, a run that broke off and a missing Python are reported, with status 1."""
    monkeypatch.setattr(matrix, "find_python", lambda version: path)
    monkeypatch.setattr(matrix, "run", lambda line, python, path: result)
    assert matrix.main(["--lines", "3.1", "--pythons", "3.13"]) == status
    row = matrix.rows(page.read_text())["3.1", "3.13"]
    assert row == matrix.row(("3.1", "3.13"), result)
    said = capsys.readouterr()
    assert row in said.out
    assert ("Not all of it passed: Airflow 3.1, Python 3.13." in said.err) == bool(status)
    assert ("No Python 3.13" in said.out) == (path is None)


def test_a_combination_that_airflow_does_not_support_is_named(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """To ask for 2.11 on 3.13 runs nothing and is no success."""
    assert matrix.main(["--lines", "2.11", "--pythons", "3.13"]) == 1
    assert "supports no such combination" in capsys.readouterr().err
    assert not matrix.rows(page.read_text())
