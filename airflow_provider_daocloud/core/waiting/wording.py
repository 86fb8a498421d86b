"""Words for log lines and errors, of which Airflow shows the first eighty characters or so."""

from __future__ import annotations

# An id that is longer is cut where it stands for a person to read.
LONGEST_ID = 12


def short(found_id: object) -> str:
    """Return an id, cut if it is long: enough to tell one from another.

    :param found_id: the id.
    """
    text = str(found_id)
    return text if len(text) <= LONGEST_ID else f"{text[:8]}…"


def titled(noun: str, found_id: object, name: str | None) -> str:
    """Return what people call a resource: ``app web``, or with its id, cut: ``app 3f2a01bc…``.

    :param noun: what it is.
    :param found_id: its id.
    :param name: its name, if it is known.
    """
    return f"{noun} {name or short(found_id)}"


def capitalized(text: str) -> str:
    """Return a text that begins a sentence.

    :param text: the text; the rest of it stays as it is.
    """
    return text[:1].upper() + text[1:]


def in_words(seconds: float) -> str:
    """Return a time as people say it: ``90 s``, ``15 min``, ``2 h 30 min``, ``7 d``.

    :param seconds: how long.
    """
    if seconds < 120:
        # Not 1e+02, and no digits that nobody wants.
        return f"{round(seconds, 1 if seconds < 10 else None):.10g} s"
    whole = round(seconds)
    sizes = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    first = next(i for i, (size, _) in enumerate(sizes) if whole >= 2 * size or size == 1)
    size, unit = sizes[first]
    rest = whole % size
    if not rest or first == len(sizes) - 1:
        return f"{whole // size} {unit}"
    smaller, its_unit = sizes[first + 1]
    more = f" {rest // smaller} {its_unit}" if rest >= smaller else ""
    return f"{whole // size} {unit}{more}"
