"""The check of what a person sees first can fail, and knows what it is for."""

from __future__ import annotations

import pytest

from tests.support.first_words import is_readable

ID = "8e3e490e-54ae-4214-924c-b7dcf3c33454"


@pytest.mark.parametrize(
    "text",
    [
        f"action {ID} of app web: FAILED",
        f"GET /apps/{ID}: no such resource.",
        f"Waiting for action {ID}: it is IN_PROCESS.",
        "see https://dashboard.example/apps for it.",
    ],
)
def test_what_hides_what_happened(text: str) -> None:
    assert not is_readable(text)


@pytest.mark.parametrize(
    "text",
    [
        f"Action 8e3e490e… of app web failed: out of memory (action {ID} of app {ID}).",
        f"the server failed (HTTP 503). (GET /apps/{ID})",
        f"{'x' * 80} {ID}",
        "cannot connect to http://127.0.0.1:9 (ConnectionRefusedError).",
    ],
)
def test_what_says_it_first(text: str) -> None:
    assert is_readable(text)
