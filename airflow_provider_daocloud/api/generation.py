"""What differs between two APIs of the same service, as data."""

from __future__ import annotations

from dataclasses import dataclass

# The usual headers of a rate limit, in small letters: the limit, what remains, when it resets.
X_RATE_LIMIT = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")


@dataclass(frozen=True)
class ApiGeneration:
    """One API generation.

    :param name: what people call it.
    :param authorization: what stands before the token in the ``Authorization`` header.
    :param error_fields: where an error body has its id, and its message.
    :param limit_headers: the headers of the rate limit, in small letters: the limit, what remains,
        and when it resets.
    :param unknown_call: what a 404 means that is not in the API's own words: no error id.
    """

    name: str
    authorization: str
    error_fields: tuple[str, str]
    limit_headers: tuple[str, str, str] = X_RATE_LIMIT
    unknown_call: str = ""
