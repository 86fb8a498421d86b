"""The response check of the HTTP event trigger, which imports it anew for every poll."""

from __future__ import annotations

from typing import Any


async def done(response: Any) -> bool:
    """Whether the job behind the URL has ended."""
    return bool(response.json()["state"] == "done")
