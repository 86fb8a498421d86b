"""Names of parametrized tests."""

from __future__ import annotations


def named(value: object) -> str:
    """Return a value's name: the same in every process, where a function's text has an address."""
    return str(getattr(value, "__name__", value))
