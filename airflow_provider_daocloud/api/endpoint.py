"""Where DaoCloud is, and how to talk to it: what both clients need to know."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_daocloud.api.body import ACCEPT_ENCODING
from airflow_provider_daocloud.api.environment import check_proxy
from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.api.generation import ApiGeneration

if TYPE_CHECKING:
    import ssl

DEFAULT_DASHBOARD_URL = "https://dashboard.daocloud.io"


@dataclass(frozen=True)
class Endpoint:
    """One installation of DaoCloud and one account on it.

    :param base_url: scheme, host, port and path prefix: ``https://openapi.daocloud.io/v1``.
    :param token: the access token. Never shown by ``repr``.
    :param verify: True for the public CAs, False, or the path of a CA bundle.
    :param connect_timeout: seconds allowed for connecting.
    :param read_timeout: seconds without a byte until an answer is given up.
    :param proxy: the URL of the proxy, if there is one. Never shown by ``repr``: it can have a
        password.
    :param dashboard_url: where people see the installation, without a slash at the end.
    :param verify_field: the field or variable that ``verify`` comes from, for errors.
    :param proxy_field: the field or variable that ``proxy`` comes from, for errors.
    :raises InputError: the token is missing, or cannot be sent in a header; the proxy is unusable.
    """

    base_url: str
    token: str = field(repr=False)
    verify: bool | str = True
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    proxy: str | None = field(default=None, repr=False)
    # Of no matter for talking to it: two that differ in it alone are the same place.
    dashboard_url: str = field(default=DEFAULT_DASHBOARD_URL, compare=False)
    verify_field: str = field(default="extra.ca_bundle", compare=False)
    proxy_field: str = field(default="extra.proxies", compare=False)

    def __post_init__(self) -> None:
        token = self.token
        if not token:
            raise InputError("password", "is empty: it must be the DaoCloud access token.")
        # Checked here, because an HTTP library that refuses a header quotes it in its error.
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise InputError(
                "password", "the access token has characters that no token has (spaces, controls)."
            )
        if self.proxy is not None:
            check_proxy(self.proxy_field, self.proxy)

    @property
    def total_timeout(self) -> float:
        """Seconds in which an answer must be whole, from the first step of connecting on."""
        return self.connect_timeout + self.read_timeout

    def url(self, path: str) -> str:
        """Return the absolute URL of a call's path."""
        return self.base_url + path

    def ssl_context(self) -> ssl.SSLContext:
        """Return what verifies certificates, for both clients.

        :raises InputError: the CA bundle is missing, or holds no certificate.
        """
        import ssl

        if self.verify is True:
            return _public_cas()
        if self.verify is False:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context
        # A folder, or several as SSL_CERT_DIR can have them.
        folders = all(Path(folder).is_dir() for folder in self.verify.split(os.pathsep))
        try:
            return ssl.create_default_context(
                cafile=None if folders else self.verify, capath=self.verify if folders else None
            )
        except OSError as e:  # an ssl.SSLError is one
            problem = f"no CA certificate can be read from {self.verify!r} ({type(e).__name__})."
            raise InputError(self.verify_field, problem) from None

    def headers(self, api: ApiGeneration) -> dict[str, str]:
        """Return the headers of every request; the token is among them.

        :param api: the API that is asked.
        """
        from airflow_provider_daocloud import __version__

        return {
            "Authorization": f"{api.authorization} {self.token}",
            "Accept": "application/json",
            "Accept-Encoding": ACCEPT_ENCODING,
            "User-Agent": f"airflow-provider-daocloud/{__version__}",
        }


@cache
def _public_cas() -> ssl.SSLContext:
    """Return what verifies public certificates: made once, for it takes 20 ms of CPU."""
    import ssl

    import certifi

    return ssl.create_default_context(cafile=certifi.where())
