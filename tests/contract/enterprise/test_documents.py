"""The checks of the vendor's documents can fail, and what they leave out is known."""

from __future__ import annotations

import json

import jsonschema
import pytest

from tests.support import vendor

K = "/apis/kpanda.io/v1alpha1"

pytestmark = vendor.needs_documents


@pytest.mark.parametrize(
    "wrong",
    [
        {"items": "none"},
        {"items": [{"metadata": {"name": 1}}]},
        {"items": [], "more": True},
        {"items": [{"metadata": {"creationTimestamp": "yesterday"}}]},
        {"items": [{"status": {"phase": "Sleeping"}}]},
    ],
    ids=["type", "deep", "unknown field", "int64", "enum"],
)
def test_a_wrong_answer_is_noticed(wrong: object) -> None:
    with pytest.raises(jsonschema.ValidationError):
        vendor.check_answer("GET", f"{K}/clusters", 200, json.dumps(wrong).encode())


@pytest.mark.parametrize("query", ["color=red", "page=first", "phase=Sleeping"])
def test_a_wrong_query_is_noticed(query: str) -> None:
    with pytest.raises(AssertionError):
        vendor.check_request("GET", f"{K}/clusters", query, None)


def test_an_operation_is_found_by_its_path() -> None:
    found = vendor.operation("POST", f"{K}/clusters/a/namespaces/b/deployments/c:restart")
    assert found is not None
    assert found.name == "Apps_RestartDeployment"
    assert vendor.operation("DELETE", f"{K}/clusters") is None
