"""The documentation has every public class, and a heading for every error."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import BaseHook, BaseNotifier, BaseOperator
from airflow.triggers.base import BaseTrigger

from tests.support.modes import AIRFLOW

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = "".join(page.read_text() for page in sorted((DOCS / "reference").glob("*.md")))
TROUBLESHOOTING = (DOCS / "troubleshooting.md").read_text()
PUBLIC = (
    "operators.daocloud",
    "operators.enterprise",
    "sensors.daocloud",
    "sensors.enterprise",
    "hooks.daocloud",
    "hooks.enterprise",
    "notifications.daocloud",
    "notifications.enterprise",
    "triggers.daocloud",
    "triggers.enterprise",
    *(("triggers.events", "triggers.enterprise_events") if AIRFLOW >= (3, 0) else ()),
)
PUBLIC_KINDS = (BaseException, BaseHook, BaseNotifier, BaseOperator, BaseTrigger)
ERRORS = ("api.errors", "exceptions")


def classes(*modules: str) -> list[str]:
    """Return the full names of the public classes that modules define."""
    found = []
    for name in modules:
        module = importlib.import_module(f"airflow_provider_daocloud.{name}")
        found += [
            f"{module.__name__}.{one.__qualname__}"
            for one in vars(module).values()
            if inspect.isclass(one)
            and one.__module__ == module.__name__
            and issubclass(one, PUBLIC_KINDS)
        ]
    return found


@pytest.mark.parametrize("name", classes(*PUBLIC, *ERRORS))
def test_every_public_class_is_in_the_reference(name: str) -> None:
    assert re.search(rf"^\.\. auto(class|exception):: {re.escape(name)}$", REFERENCE, re.M)


@pytest.mark.parametrize("name", classes(*ERRORS))
def test_every_error_has_a_heading_in_troubleshooting(name: str) -> None:
    error = name.rpartition(".")[2]
    headings = re.findall(r"^### (.+)$", TROUBLESHOOTING, re.M)
    assert any(error in heading.split(", ") for heading in headings)


def test_every_example_is_shown() -> None:
    shown = re.findall(r"literalinclude:?\}? (\S+)", (DOCS / "guides" / "examples.md").read_text())
    examples = (DOCS.parent / "example_dags").glob("*.py")
    assert {Path(one).name for one in shown} == {example.name for example in examples}


def test_every_page_is_in_the_table_of_contents() -> None:
    listed = set(re.findall(r"^([\w./-]+)$", (DOCS / "index.md").read_text(), re.M))
    pages = {str(page.relative_to(DOCS).with_suffix("")) for page in DOCS.rglob("*.md")}
    assert pages - listed == {"index"}


def test_every_guide_is_there_in_chinese_too() -> None:
    guides = {page.name for page in (DOCS / "guides").glob("*.md")} - {"examples.md"}
    assert guides <= {page.name for page in (DOCS / "zh").glob("*.md")}
