"""The vendor's OpenAPI documents of DaoCloud Enterprise 5, to hold requests and answers against.

They are no part of this project: where their folder is missing, the tests that need it skip.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest
from jsonschema import Draft4Validator

_BESIDE = Path(__file__).parents[2].parent / "shared" / "reference" / "dce5"
FOLDER = Path(os.environ.get("DCE5_DOCUMENTS") or _BESIDE)
PRODUCTS = ("ghippo", "kpanda", "amamba")

needs_documents = pytest.mark.skipif(
    not FOLDER.is_dir(),
    reason="the vendor's OpenAPI documents are neither in DCE5_DOCUMENTS nor beside this project",
)

# How many answers of each operation have been checked.
checked: Counter[str] = Counter()


class Operation:
    """One operation of a document."""

    def __init__(self, product: str, method: str, path: str, said: Any, definitions: Any) -> None:
        self.product, self.method, self.path, self.said = product, method, path, said
        self.name = str(said["operationId"])
        self._definitions = definitions
        parts = re.split(r"\{\w+\}", path)
        self.pattern = re.compile("[^/:]+".join(re.escape(part) for part in parts))
        self.literal = sum(map(len, parts))

    @functools.cached_property
    def parameters(self) -> dict[str, Any]:
        """What it takes in the query, by name."""
        return {one["name"]: one for one in self.said.get("parameters", ()) if one["in"] == "query"}

    @functools.cached_property
    def body(self) -> Draft4Validator | None:
        """The check of its request's body, if it has one."""
        for one in self.said.get("parameters", ()):
            if one["in"] == "body":
                return self._validator(one["schema"])
        return None

    @functools.cache  # noqa: B019 - the operations live as long as the tests
    def answer(self, status: int) -> Draft4Validator:
        """Return the check of an answer with this status."""
        answers = self.said["responses"]
        return self._validator(answers.get(str(status), answers["default"]).get("schema", {}))

    def _validator(self, schema: Any) -> Draft4Validator:
        return Draft4Validator({**_strict(schema), "definitions": self._definitions})


def _strict(schema: Any) -> Any:
    """Make a schema refuse what it does not name, and text where it means a whole number."""
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _strict(one) for name, one in schema.items()}
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
        made["additionalProperties"] = False
    if schema.get("format") in ("int64", "uint64") and schema.get("type") == "string":
        made["pattern"] = r"^-?\d+$"
    return made


@functools.cache
def operations() -> tuple[Operation, ...]:
    """Return all operations, those with the longest fixed path first."""
    found = []
    for product in PRODUCTS:
        document = json.loads((FOLDER / f"{product}.json").read_text())
        definitions = {name: _strict(one) for name, one in document["definitions"].items()}
        for path, methods in document["paths"].items():
            for method, said in methods.items():
                found.append(Operation(product, method.upper(), path, said, definitions))
    return tuple(sorted(found, key=lambda one: -one.literal))


def operation(method: str, path: str) -> Operation | None:
    """Return the operation of a request, if a document has it."""
    for one in operations():
        if one.method == method and one.pattern.fullmatch(unquote(path)):
            return one
    return None


def check_request(method: str, path: str, query: str, body: bytes | None) -> Operation | None:
    """Hold a request against the documents.

    :param path: the path below the host, without an entry prefix.
    :raises AssertionError: an operation takes no such query or body.
    """
    found = operation(method, path)
    if found is None:
        return None
    for name, values in parse_qs(query, keep_blank_values=True).items():
        assert name in found.parameters, f"{found.name} takes no {name}"
        for value in values:
            _check_parameter(found, name, value)
    if found.body is not None:
        found.body.validate(json.loads(body or b"null"))
    return found


def _check_parameter(found: Operation, name: str, value: str) -> None:
    said = found.parameters[name]
    if said["type"] == "array":
        said = said["items"]
    if said["type"] == "integer":
        assert re.fullmatch(r"-?\d+", value), f"{found.name}: {name}={value}"
    if said["type"] == "boolean":
        assert value in ("true", "false"), f"{found.name}: {name}={value}"
    if "enum" in said:
        assert value in said["enum"], f"{found.name}: {name}={value}"


def check_answer(method: str, path: str, status: int, body: bytes) -> Operation | None:
    """Hold an answer against the documents, and count it.

    :raises jsonschema.ValidationError: it is not what they say.
    """
    found = operation(method, path)
    if found is not None:
        found.answer(status).validate(json.loads(body))
        checked[f"{found.product}: {found.name}"] += 1
    return found
