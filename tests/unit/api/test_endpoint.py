"""What both clients need to know, and that the token stays inside."""

from __future__ import annotations

import pytest

import airflow_provider_daocloud
from airflow_provider_daocloud.api.async_client import AsyncDaoCloudClient
from airflow_provider_daocloud.api.client import DaoCloudClient
from airflow_provider_daocloud.api.endpoint import Endpoint
from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.api.openapi.generation import OPEN_API
from tests.support.samples import TOKEN

URL = "https://openapi.daocloud.io/v1"


def test_headers() -> None:
    """Every call has the token, and says who is calling."""
    assert Endpoint(URL, TOKEN).headers(OPEN_API) == {
        "Authorization": f"token {TOKEN}",
        "Accept": "application/json",
        "Accept-Encoding": "gzip",
        "User-Agent": f"airflow-provider-daocloud/{airflow_provider_daocloud.__version__}",
    }


@pytest.mark.parametrize(
    "token",
    [
        *("secret\n", "sec\nret", "sec\r\nX-Evil: 1", "sec ret", " secret", "sec\tret"),
        *("sécret", "sec\x00ret", "sec\u2028ret", "sec\x7fret", "密钥"),
    ],
)
def test_token_that_is_none(token: str) -> None:
    """A token that no header can carry is refused before a library quotes it, and not quoted."""
    with pytest.raises(InputError, match=r"^password: ") as caught:
        Endpoint(URL, token)
    assert token.strip() not in str(caught.value)
    assert "sec" not in str(caught.value)


def test_empty_token() -> None:
    """No token at all is said to be missing."""
    with pytest.raises(InputError, match=r"^password: is empty"):
        Endpoint(URL, "")


def test_token_is_shown_by_nothing() -> None:
    """Neither the endpoint nor a client shows the token, or a proxy's password."""
    endpoint = Endpoint(URL, TOKEN, proxy="http://user:hunter2@proxy:3128")
    for thing in (endpoint, DaoCloudClient(endpoint), AsyncDaoCloudClient(endpoint)):
        for text in (repr(thing), str(thing), f"{thing}"):
            assert TOKEN not in text
            assert "hunter2" not in text
            assert URL in text


def test_endpoints_compare() -> None:
    """Two endpoints are one account at one place only if both are the same."""
    same = Endpoint(URL, TOKEN, proxy="http://p:1")
    assert same == Endpoint(URL, TOKEN, proxy="http://p:1")
    assert hash(same) == hash(Endpoint(URL, TOKEN, proxy="http://p:1"))
    assert same != Endpoint(URL, TOKEN + "x", proxy="http://p:1")
