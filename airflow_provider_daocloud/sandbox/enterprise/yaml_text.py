"""Objects as YAML text. Written here, since the sandbox does without a YAML library."""

from __future__ import annotations

import json
import re
from typing import Any

# Words that YAML takes for something else than text.
_OTHER = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n", "~"})
_PLAIN = re.compile(r"[A-Za-z_][\w./-]*", re.ASCII)


def to_yaml(value: Any) -> str:
    """Return an object that JSON can hold as block YAML."""
    return "".join(f"{line}\n" for line in _lines(value))


def _lines(value: Any) -> list[str]:
    if isinstance(value, dict) and value:
        made = []
        for name, item in value.items():
            made += _named(f"{_text(str(name))}:", item, "  ")
        return made
    if isinstance(value, list) and value:
        made = []
        for item in value:
            first, *rest = _lines(item)
            made += [f"- {first}", *(f"  {line}" for line in rest)]
        return made
    return [_text(value) if isinstance(value, str) else json.dumps(value)]


def _named(name: str, item: Any, indent: str) -> list[str]:
    if isinstance(item, (dict, list)) and item:
        return [name, *(indent + line for line in _lines(item))]
    return [f"{name} {_lines(item)[0]}"]


def _text(value: str) -> str:
    if _PLAIN.fullmatch(value) and value.lower() not in _OTHER:
        return value
    return json.dumps(value)
