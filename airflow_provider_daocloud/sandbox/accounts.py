"""The accounts of a world: its access tokens, and what is left of their hourly limits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from airflow_provider_daocloud.sandbox.objects import Account, text
from airflow_provider_daocloud.sandbox.parts import NotFoundError

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.parts import Shared


class Accounts(dict[str, Account]):
    """The accounts by their tokens.

    :param shared: what the parts of the world share.
    """

    def __init__(self, shared: Shared) -> None:
        super().__init__()
        self.anonymous = Account("anonymous", "")
        self._shared = shared

    def add(self, token: str, name: str = "main", *, read_only: bool = False) -> Account:
        """Let a token in.

        :param token: the access token.
        :param name: what counts and logs call it, since they never show a token.
        :param read_only: its POSTs get a 401, as the call is beyond what it allows.
        :raises ValueError: the token is blank or not plain text, or the name is taken.
        """
        text("name", name)
        text("token", token)
        if not token.isascii() or not token.isprintable() or " " in token:
            raise ValueError("a token is printable ASCII without spaces")
        with self._shared.timeline.lock:
            if any(account.name == name for account in self.values()):
                raise ValueError(f"there is an account named {name!r} already")
            account = Account(name, token, read_only)
            self[token] = account
            return account

    def revoke(self, name: str) -> None:
        """Make an account's token invalid.

        :raises NotFoundError: no account has this name.
        """
        with self._shared.timeline.lock:
            for account in self.values():
                if account.name == name:
                    account.revoked = True
                    return
        raise NotFoundError(f"no account {name}")

    def valid(self, token: str) -> Account | None:
        """Return the account of a token that is valid."""
        account = self.get(token)
        return None if account is None or account.revoked else account

    def remaining(self, account: Account) -> int:
        """Return how many calls an account has left, and open its next window if it is time."""
        now, options = self._shared.timeline.now(), self._shared.options
        if now >= account.window_end:
            account.used = 0
            # A whole second: the header shows no fraction, and must not be earlier than the truth.
            account.window_end = float(math.ceil(now + options.rate_window))
        return max(0, options.rate_limit - account.used)

    def spend(self, account: Account) -> bool:
        """Take one call from an account's hour; say whether there was one left."""
        if self.remaining(account) == 0:
            return False
        account.used += 1
        return True
