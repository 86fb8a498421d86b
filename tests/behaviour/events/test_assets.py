"""Assets of apps and build flows: one thing has one URI, and nothing else gets one."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from typing import Any
from urllib.parse import urlsplit

import pytest
from airflow.providers.common.compat.sdk import Asset

from airflow_provider_daocloud import assets
from airflow_provider_daocloud.operators.daocloud import DaoCloudRedeployOperator
from airflow_provider_daocloud.provider_info import get_provider_info

ID = "b4b8d4f0-0bd7-4f9c-a8a6-4e1a1a3cbb2d"
INSTALLED = any(
    point.value.startswith("airflow_provider_daocloud.")
    for point in entry_points(group="apache_airflow_provider")
)


def normal(uri: str) -> str:
    return assets.sanitize_uri(urlsplit(uri)).geturl()


@pytest.mark.parametrize(
    ("uri", "form"),
    [
        (f"daocloud://h/apps/{ID}", f"daocloud://h/apps/{ID}"),
        (f"DaoCloud://OpenAPI.daocloud.io/apps/{ID}/", f"daocloud://openapi.daocloud.io/apps/{ID}"),
        (f"daocloud://h:8443/build-flows/{ID}", f"daocloud://h:8443/build-flows/{ID}"),
        ("daocloud://[::1]:80/apps/a", "daocloud://[::1]:80/apps/a"),
        ("daocloud://h/apps/a%2Bb", "daocloud://h/apps/a%2Bb"),
        ("daocloud://h/apps/a+b", "daocloud://h/apps/a%2Bb"),
    ],
)
def test_uris_have_one_form(uri: str, form: str) -> None:
    assert normal(uri) == form
    assert normal(form) == form


@pytest.mark.parametrize(
    "uri",
    [
        "daocloud:///apps/a",
        "daocloud://h",
        "daocloud://h/apps",
        "daocloud://h/apps/",
        "daocloud://h/apps/a/b",
        "daocloud://h/apps/a%2Fb",
        "daocloud://h/apps/..",
        "daocloud://h/Apps/a",
        "daocloud://h/builds/a",
        "daocloud://h/apps/a?x=1",
        "daocloud://h/apps/a#x",
        "daocloud://h:port/apps/a",
        "daocloud://h/apps/%20",
    ],
)
def test_other_uris_are_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="asset URI"):
        normal(uri)


@pytest.mark.parametrize("user", ["secret@", "user:secret@", ":secret@"])
def test_a_secret_in_a_uri_is_refused_and_not_repeated(user: str) -> None:
    with pytest.raises(ValueError, match="user or a password") as caught:
        normal(f"daocloud://{user}h/apps/a")
    assert "secret" not in str(caught.value)


def test_assets_of_apps_and_build_flows() -> None:
    app = assets.app_asset(ID)
    flow = assets.build_flow_asset(ID, host="DaoCloud.corp:8443", extra={"team": "web"})

    assert app.uri == f"daocloud://openapi.daocloud.io/apps/{ID}"
    assert flow.uri == f"daocloud://daocloud.corp:8443/build-flows/{ID}"
    assert flow.extra == {"team": "web"}
    assert app == assets.app_asset(ID)


def test_an_asset_may_have_a_name() -> None:
    """Airflow 2 knows no names, and takes none."""
    asset = assets.app_asset(ID, name="web")
    assert getattr(asset, "name", "web") == "web"


@pytest.mark.parametrize(
    "arguments",
    [
        {"app_id": "a/b"},
        {"app_id": ""},
        {"app_id": "a", "host": "https://h/v1"},
        {"app_id": "a", "host": "secret@h"},
        {"app_id": "a", "host": ""},
        {"app_id": "a", "build_flow_id": "b"},
        {},
    ],
)
def test_unusable_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"app_id|host|asset URI"):
        assets.create_asset(**arguments)


def test_an_app_can_be_an_outlet() -> None:
    outlet = assets.app_asset(ID)
    task = DaoCloudRedeployOperator(task_id="t", app_id=ID, release_name="v1", outlets=[outlet])
    assert task.outlets == [outlet]


def test_airflow_knows_the_scheme() -> None:
    """Old and new lines find the same handler and factory under their own key."""
    info = get_provider_info()
    assert info["asset-uris"] == info["dataset-uris"]
    (entry,) = info["asset-uris"]
    assert entry["schemes"] == ["daocloud"]
    for key, function in (("handler", assets.sanitize_uri), ("factory", assets.create_asset)):
        module, _, name = entry[key].rpartition(".")
        assert getattr(importlib.import_module(module), name) is function


@pytest.mark.skipif(not INSTALLED, reason="the package is not installed here")
def test_airflow_itself_puts_uris_in_their_form() -> None:
    assert Asset(uri="daocloud://H/apps/a/").uri == "daocloud://h/apps/a"
    if Asset.__name__ == "Dataset":
        with pytest.warns(UserWarning, match="asset URI"):
            Asset(uri="daocloud://h/nothing")
    else:
        with pytest.raises(ValueError, match="asset URI"):
            Asset(uri="daocloud://h/nothing")
