"""What a person sees of a line in Airflow's UI: the first eighty characters or so.

They are to say what happened, so that no id and no address may stand there; whole ids stand in
parentheses at the end.
"""

from __future__ import annotations

import re

VISIBLE = 80
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_URL = re.compile(r"\b\w+://")
_IDS_AT_THE_END = re.compile(r" \((?:[^()]|\([^()]*\))*\)\.?$")

# Where an id or an address belongs into the first words, and why.
ALLOWED = {
    r"cannot connect to |redirects to ": "the address is what is wrong",
    r"^HTTP Request: ": "httpx's own line, in nobody's log",
    r"\w+_names?: .* are called ": "their ids are all that tells them apart",
    r"event: ": "a foreign event is quoted as it came",
    r"\w+: '": "the argument is quoted as it was given",
}

# What this process has logged and raised that hides what happened behind an id.
unreadable: list[str] = []


def is_readable(text: str) -> bool:
    """Return whether the visible part of a line says what happened.

    :param text: the line.
    """
    shown = _IDS_AT_THE_END.sub("", text)[:VISIBLE]
    if any(re.search(allowed, text[:VISIBLE]) for allowed in ALLOWED):
        return True
    return not _UUID.search(shown) and not _URL.search(shown)


def note(text: str) -> None:
    """Keep a line that is not readable, for the test that made it.

    :param text: the line.
    """
    if not is_readable(text):
        unreadable.append(text)
