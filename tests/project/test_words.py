"""The code speaks the words of docs/glossary.md, and none that they have replaced."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "airflow_provider_daocloud"

# A word that was replaced, and what it is now.
RETIRED = {
    "wish": "invocation",
    "course": "progress",
    "carry": "checkpoint",
    "carried": "checkpoint",
    "doing": "execution",
    "joined": "reconnected, or existing run",
    "asked": "request",
    "told": "logged",
    "telling": "verdict",
    "settle": "settle_time, or reconcile",
    "settled": "finished",
    "dropped": "rejected",
    "look": "observe",
    "looks": "observations",
    "looked": "observed",
    "looking": "observing",
    "ongoing": "pending",
    "fatal": "permanent",
    "cadence": "backoff",
    "waiter": "subscription",
    "waiters": "subscriptions",
    "scout": "probe",
    "scouts": "probes",
    "lanes": "max_concurrent",
    "gather": "batch_window",
    "strike": "redact",
    "struck": "redacted",
    "acts": "is_write",
    "patience": "retry_timeout",
    "kinds": "resource",
    "what": "resource",
    "thing": "resource",
    "things": "resources",
    "only_if_idle": "reuse_running_build",
    "not_package_id": "previous_package_id",
}
# Two words in one identifier that are one term.
TERMS = ("settle_time", "look_up", "lookup")


def identifiers(file: Path) -> set[str]:
    """Return every name that a module defines or uses."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.Name(name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                found.add(name)
            case ast.keyword(arg=str(name)) | ast.alias(asname=str(name)):
                found.add(name)
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                found.add(name)
            case ast.AsyncFunctionDef(name=name):
                found.add(name)
    return found


def words(identifier: str) -> set[str]:
    """Return the words of an identifier, in lower case."""
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", identifier).lower()
    for term in TERMS:
        snake = snake.replace(term, "")
    return {snake, *snake.split("_")}


@pytest.mark.parametrize(
    "file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE))
)
def test_no_retired_word(file: Path) -> None:
    retired = {
        name: RETIRED[word] for name in identifiers(file) for word in words(name) if word in RETIRED
    }
    assert retired == {}, "each of these has another word now"


def test_the_words_of_an_identifier() -> None:
    assert words("_looked_at") >= {"looked", "at"}
    assert words("LookQueue") >= {"look", "queue"}
    assert words("settle_time") == {""}
