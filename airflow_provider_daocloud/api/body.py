"""The body of an answer, put together as it arrives: decoded, and bounded in size.

Both clients decode here. The decoders of their libraries return whatever a part unpacks to, and a
few kilobytes can unpack to gigabytes.
"""

from __future__ import annotations

import zlib

# The largest body that is taken, decoded, in bytes. A list of ten thousand apps has half of it.
LARGEST_ANSWER = 16 * 2**20
# What `Body` can decode, whatever else the libraries could.
ACCEPT_ENCODING = "gzip"


class BodyError(Exception):
    """The body cannot be taken; the text says why."""


class Body:
    """Takes the parts of a body as they arrive.

    :param coding: the answer's ``Content-Encoding``.
    :raises BodyError: it is one that nobody asked for.
    """

    def __init__(self, coding: str | None) -> None:
        name = (coding or "identity").strip().lower()
        if name not in ("identity", "gzip", "x-gzip"):
            raise BodyError(f"the answer cannot be decoded (Content-Encoding: {name!r:.60}).")
        self._body = bytearray()
        # 31 stands for gzip.
        self._decoder = None if name == "identity" else zlib.decompressobj(31)
        self._begun = False

    def add(self, part: bytes) -> None:
        """Take the next part.

        :raises BodyError: it cannot be decoded, or the body is too large.
        """
        self._begun = self._begun or bool(part)
        if self._decoder is not None:
            try:
                part = self._decoder.decompress(part, LARGEST_ANSWER + 1 - len(self._body))
            except zlib.error as e:
                raise BodyError(f"the answer cannot be decoded ({e}).") from None
        self._body += part
        if len(self._body) > LARGEST_ANSWER:
            raise BodyError(
                f"the answer is too large: more than {LARGEST_ANSWER // 2**20} MiB, decoded. No "
                "list of DaoCloud is that long: check that the connection's host is its API."
            )

    def whole(self) -> bytes:
        """Return the body, when all its parts are there.

        :raises BodyError: its end is missing.
        """
        if self._decoder is not None and self._begun and not self._decoder.eof:
            raise BodyError("the answer cannot be decoded (its end is missing).")
        return bytes(self._body)
