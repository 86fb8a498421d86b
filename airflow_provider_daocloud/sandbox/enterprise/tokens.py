"""Access keys as DaoCloud Enterprise writes them: a JWT. Nobody here verifies its signature."""

from __future__ import annotations

import base64
import json
import random

# A new key is valid for a week.
LIFETIME = 7 * 86400.0


def make_token(source: random.Random, issued_at: float, expires_at: float | None) -> str:
    """Return a new token.

    :param source: where its secret part comes from.
    :param issued_at: the time in Unix seconds.
    :param expires_at: until when it is valid, in Unix seconds; ``None`` for ever.
    """
    claims = {"iss": "ghippo.io", "iat": int(issued_at), "jti": f"{source.getrandbits(64):016x}"}
    if expires_at is not None:
        claims["exp"] = int(expires_at)
    header = {"alg": "RS256", "typ": "JWT"}
    secret = source.getrandbits(256).to_bytes(32, "big")
    return ".".join(
        [_part(json.dumps(header).encode()), _part(json.dumps(claims).encode()), _part(secret)]
    )


def _part(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
