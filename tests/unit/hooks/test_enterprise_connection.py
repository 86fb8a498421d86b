"""A Connection of type ``daocloud_enterprise`` read as an endpoint, and what each bad field says.

What it shares with the other connection is in test_connection.py.
"""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import BaseHook, Connection

from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.hooks.enterprise import DaoCloudEnterpriseHook
from airflow_provider_daocloud.hooks.enterprise_connection import (
    EXPIRES_SOON,
    EnterpriseEndpoint,
    enterprise_endpoint_of,
    expiry_of,
)
from airflow_provider_daocloud.provider_info import ENTERPRISE
from tests.support.modes import log_of

NOW = 1_790_000_000.0


def key(claims: object = None, *, raw: bytes | None = None) -> str:
    """Return an access key as DaoCloud Enterprise makes them: signed, which nobody checks here."""
    said = json.dumps(claims).encode() if raw is None else raw
    parts = (b'{"alg":"RS256"}', said, b"a signature")
    return ".".join(base64.urlsafe_b64encode(one).decode().rstrip("=") for one in parts)


TOKEN = key({"sub": "somebody", "exp": NOW + 10 * EXPIRES_SOON})


def connection(extra: Any = None, **fields: Any) -> Any:
    """Return an Airflow Connection with an access key and a host."""
    given = {
        "conn_id": "dce",
        "conn_type": "daocloud_enterprise",
        "host": "dce.example",
        "password": TOKEN,
        "extra": json.dumps(extra or {}),
    }
    return Connection(**given | fields)


def read(extra: Any = None, **fields: Any) -> EnterpriseEndpoint:
    """Return where a connection leads."""
    return enterprise_endpoint_of(connection(extra, **fields), clock=lambda: NOW)


def problem(extra: Any = None, **fields: Any) -> str:
    """Return what a bad connection says."""
    with pytest.raises(InputError) as caught:
        read(extra, **fields)
    assert str(fields.get("password") or TOKEN) not in str(caught.value)
    return str(caught.value)


# --- the access key ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pasted", [TOKEN, f"Bearer {TOKEN}", f"bearer  {TOKEN}\n", f"\tBEARER {TOKEN} "]
)
def test_a_pasted_bearer_is_taken_off(pasted: str) -> None:
    assert read(password=pasted).token == TOKEN


@pytest.mark.parametrize("nothing", ["", "  ", None, "Bearer ", "bearer\n"])
def test_no_access_key(nothing: str | None) -> None:
    assert problem(password=nothing).startswith("connection 'dce', field 'password': is empty")


@pytest.mark.parametrize("ago", [0.0, 1.0, 1e6])
def test_an_expired_access_key_is_told_before_anything_is_sent(ago: float) -> None:
    said = problem(password=key({"exp": NOW - ago}))
    assert "field 'password': the access key expired on 2026-09-" in said
    assert "Personal Center" in said


@pytest.mark.parametrize(
    "token",
    [
        "an opaque key",
        "a.b.c",
        "..",
        key({}),
        key([1]),
        key("text"),
        key({"exp": "tomorrow"}),
        key({"exp": True}),
        key({"exp": None}),
        key({"exp": -1}),
        key({"exp": 1e300}),
        key(raw=b"\xff\xfe"),
        key(raw=b'{"exp": NaN}'),
        key(raw=b"[" * 100_000),
        key({"exp": 1}) + ".more",
    ],
)
def test_a_key_that_does_not_say_when_it_expires(token: str) -> None:
    """It may be good all the same: the service decides."""
    assert expiry_of(token) is None


def test_when_a_key_expires() -> None:
    assert expiry_of(TOKEN) == NOW + 10 * EXPIRES_SOON
    assert read().expires_at == NOW + 10 * EXPIRES_SOON


@pytest.mark.parametrize(("left", "warnings"), [(EXPIRES_SOON / 2, 1), (3 * EXPIRES_SOON, 0)])
def test_a_key_that_expires_soon_is_told_once(
    left: float, warnings: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = key({"exp": time.time() + left})
    fields = {"conn_type": "daocloud_enterprise", "host": "dce.example", "password": token}
    monkeypatch.setenv("AIRFLOW_CONN_DCE", json.dumps(fields))
    hook = DaoCloudEnterpriseHook("dce")
    log = log_of(hook)

    hook.get_conn()
    hook.get_conn()

    told = [line for _, line in log.lines]
    assert [line.count("expires on") for line in told] == [1] * warnings
    assert token not in str(told)


# --- where it leads ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extra", "fields", "base_url"),
    [
        ({}, {}, "https://dce.example"),
        ({}, {"host": "https://dce.example/"}, "https://dce.example"),
        ({}, {"host": "dce.example", "port": 30443}, "https://dce.example:30443"),
        ({"prefix": "/dce5"}, {}, "https://dce.example/dce5"),
        ({}, {"host": "https://dce.example/dce5"}, "https://dce.example/dce5"),
    ],
)
def test_base_url(extra: Any, fields: Any, base_url: str) -> None:
    assert read(extra, **fields).base_url == base_url


@pytest.mark.parametrize("host", ["", None, " "])
def test_a_host_is_needed(host: str | None) -> None:
    """There is no public DaoCloud Enterprise to be meant."""
    assert "field 'host'" in problem(host=host)


def test_plain_http_is_refused_elsewhere() -> None:
    assert "allow_http" in problem(host="http://dce.example")
    assert read({"allow_http": True}, host="http://dce.example").base_url == "http://dce.example"


def test_the_same_in_a_uri_and_in_json(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = (
        f"daocloud-enterprise://:{TOKEN}@dce.example:8443/https?prefix=%2Fdce5&workspace=1"
        "&cluster=production&namespace=shop&skip_tls_verify=true"
    )
    fields = {
        "conn_type": "daocloud_enterprise",
        "host": "https://dce.example:8443/dce5",
        "password": f"Bearer {TOKEN}",
        "extra": {
            "workspace": 1,
            "cluster": "production",
            "namespace": "shop",
            "skip_tls_verify": True,
        },
    }
    found = []
    for written in (uri, json.dumps(fields)):
        monkeypatch.setenv("AIRFLOW_CONN_DCE", written)
        found.append(enterprise_endpoint_of(BaseHook.get_connection("dce"), clock=lambda: NOW))
    one, other = found
    assert one == other
    for endpoint in found:
        assert endpoint.base_url == "https://dce.example:8443/dce5"
        assert (endpoint.workspace, endpoint.cluster, endpoint.namespace) == (
            *("1", "production", "shop"),
        )
        assert endpoint.verify is False
        assert TOKEN not in repr(endpoint)


def test_defaults_do_not_make_another_place() -> None:
    """One poller serves two connections that differ in them alone."""
    assert read({"cluster": "a"}) == read({"cluster": "b", "workspace": "shop"})
    assert read() != read(password=key({"exp": NOW + 1}))


# --- the paths -----------------------------------------------------------------------------------


def test_templates() -> None:
    given = {
        "pipeline_run_path": "/api/elsewhere/{workspace}/{pipeline}",
        "workload_link": "/console/{cluster}/{namespace}/{kind}/{name}",
        "pipeline_link": "/console/{workspace}/{pipeline}",
    }
    endpoint = read(given | {"dashboard_url": "https://console.example"})
    assert {name: getattr(endpoint, name) for name in given} == given
    assert endpoint.dashboard_url == "https://console.example"
    assert read().pipeline_run_path is None
    assert read({"prefix": "/dce5"}).dashboard_url == "https://dce.example"


@pytest.mark.parametrize("name", ["pipeline_run_path", "workload_link", "pipeline_link"])
@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("console", "must be a path that begins with one slash"),
        ("//elsewhere/x", "must be a path that begins with one slash"),
        ("/a?token=1", "must be a path that begins with one slash"),
        ("/a#b", "must be a path that begins with one slash"),
        ("/{nobody}", "in braces, and no others"),
        ("/{", "in braces, and no others"),
        (7, "must be"),
    ],
)
def test_bad_templates(name: str, path: Any, remedy: str) -> None:
    said = problem({name: path})
    assert f"extra.{name}" in said
    assert remedy in said


@pytest.mark.parametrize("name", ENTERPRISE.fields)
def test_known_extras_are_named(name: str) -> None:
    assert name in problem({"nope": 1})
