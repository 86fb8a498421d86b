"""Where DaoCloud is, and how to talk to it: what both clients need to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_daocloud.api.body import ACCEPT_ENCODING
from airflow_provider_daocloud.api.errors import InputError

if TYPE_CHECKING:
    import ssl

DEFAULT_HOST = "https://openapi.daocloud.io"
DEFAULT_PREFIX = "/v1"
DEFAULT_DASHBOARD_URL = "https://dashboard.daocloud.io"


@dataclass(frozen=True)
class Endpoint:
    """One installation of DaoCloud and one account on it.

    :param base_url: scheme, host, port and path prefix: ``https://openapi.daocloud.io/v1``.
    :param token: the access token. Never shown by ``repr``.
    :param verify: True, False, or the path of a CA bundle.
    :param connect_timeout: seconds until a connection must stand.
    :param read_timeout: seconds without a byte until an answer is given up.
    :param proxies: as requests takes them, by scheme. Never shown by ``repr``: they can have
        passwords.
    :param dashboard_url: where people see the installation, without a slash at the end.
    :raises InputError: the token is missing, or cannot be sent in a header.
    """

    base_url: str
    token: str = field(repr=False)
    verify: bool | str = True
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    proxies: Mapping[str, str] | None = field(default=None, repr=False, hash=False)
    # Of no matter for talking to it: two that differ in it alone are the same place.
    dashboard_url: str = field(default=DEFAULT_DASHBOARD_URL, compare=False)

    def __post_init__(self) -> None:
        token = self.token
        if not token:
            raise InputError("password", "is empty: it must be the DaoCloud access token.")
        # Checked here, because an HTTP library that refuses a header quotes it in its error.
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise InputError(
                "password", "the access token has characters that no token has (spaces, controls)."
            )

    @property
    def total_timeout(self) -> float:
        """Seconds in which an answer must be whole, from the first step of connecting on."""
        return self.connect_timeout + self.read_timeout

    def url(self, path: str) -> str:
        """Return the absolute URL of a call's path."""
        return self.base_url + path

    def ssl_context(self) -> ssl.SSLContext | bool:
        """Return what verifies certificates: a context for the CA bundle, or else ``verify``.

        :raises InputError: the CA bundle is missing, or holds no certificate.
        """
        import ssl
        from pathlib import Path

        if not isinstance(self.verify, str):
            return self.verify
        folder = Path(self.verify).is_dir()
        try:
            return ssl.create_default_context(
                cafile=None if folder else self.verify, capath=self.verify if folder else None
            )
        except OSError as e:  # an ssl.SSLError is one
            problem = f"no CA certificate can be read from {self.verify!r} ({type(e).__name__})."
            raise InputError("extra.ca_bundle", problem) from None

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every call; the token is among them."""
        from airflow_provider_daocloud import __version__

        return {
            "Authorization": f"token {self.token}",
            "Accept": "application/json",
            "Accept-Encoding": ACCEPT_ENCODING,
            "User-Agent": f"airflow-provider-daocloud/{__version__}",
        }
