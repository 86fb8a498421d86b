"""The users of a world and their access keys."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_daocloud.sandbox.enterprise.tokens import make_token
from airflow_provider_daocloud.sandbox.objects import text
from airflow_provider_daocloud.sandbox.parts import NotFoundError

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.enterprise.shared import Shared


@dataclass
class User:
    """A person or a machine that calls.

    :param read_only: a viewer: every write is refused.
    """

    name: str
    uid: str
    read_only: bool = False


@dataclass
class AccessKey:
    """One access key.

    :param expires_at: until when it is valid, in Unix seconds.
    """

    id: str
    name: str
    user: User
    token: str = field(repr=False)
    created_at: float
    expires_at: float | None = None
    revoked: bool = False
    used: int = 0
    window_end: float = 0.0


ANONYMOUS = User("anonymous", "")


class Users:
    """The users by name, and the access keys by token.

    :param shared: what the parts of the world share.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self.by_name: dict[str, User] = {}
        self.keys: dict[str, AccessKey] = {}
        self._key_ids = itertools.count(1)

    def add(
        self,
        name: str,
        token: str | None = None,
        *,
        read_only: bool = False,
        expires_at: float | None = None,
    ) -> AccessKey:
        """Add a user with an access key, or another key of a user.

        :param name: the user's name.
        :param token: the key's text; made up if missing.
        :param read_only: whether the user may only read.
        :param expires_at: until when the key is valid, in Unix seconds.
        :raises ValueError: the token is blank, not plain text, or taken.
        """
        text("name", name)
        with self._shared.timeline.lock:
            now = self._shared.timeline.now()
            if token is None:
                token = make_token(self._shared.random, now, expires_at)
            if not token or not token.isascii() or not token.isprintable() or " " in token:
                raise ValueError("a token is printable ASCII without spaces")
            if token in self.keys:
                raise ValueError("there is such a token already")
            user = self.by_name.setdefault(name, User(name, self._shared.uid(), read_only))
            user.read_only = read_only
            number = f"{next(self._key_ids)}"
            key = AccessKey(number, f"key-{number}", user, token, now, expires_at)
            self.keys[token] = key
            return key

    def of(self, user: User) -> list[AccessKey]:
        """Return the keys of one user that are not revoked."""
        return [key for key in self.keys.values() if key.user is user and not key.revoked]

    def revoke(self, name: str) -> None:
        """Make all keys of a user invalid.

        :raises NotFoundError: there is no such user.
        """
        with self._shared.timeline.lock:
            if name not in self.by_name:
                raise NotFoundError(f"no user {name}")
            for key in self.of(self.by_name[name]):
                key.revoked = True

    def spend(self, key: AccessKey) -> float | None:
        """Take one call from a key's window.

        :return: ``None``, or the seconds after which there is one again.
        """
        options, now = self._shared.options, self._shared.timeline.now()
        if options.rate_limit is None:
            return None
        if now >= key.window_end:
            key.used, key.window_end = 0, now + options.rate_window
        if key.used >= options.rate_limit:
            return key.window_end - now
        key.used += 1
        return None
