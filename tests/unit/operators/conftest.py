"""The sandbox of the waiting tests."""

from __future__ import annotations

from tests.behaviour.waiting.conftest import running_sandbox, sandbox

__all__ = ["running_sandbox", "sandbox"]
