"""An object of the API cannot be passed to another task: the task that returns it is told."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

import pytest

from airflow_provider_daocloud.api.model import Model
from airflow_provider_daocloud.api.openapi.actions import Action
from airflow_provider_daocloud.api.openapi.apps import App, Package
from airflow_provider_daocloud.api.openapi.builds import Build, BuildFlow
from airflow_provider_daocloud.api.openapi.stacks import Stack
from tests.support.modes import AIRFLOW

OBJECTS = [
    App.parse({"id": "3f2a", "name": "web"}),
    Action.parse({"id": "3f2a", "state": "SUCCESS"}),
    BuildFlow.parse({"id": "3f2a"}),
    Build.parse({"id": 7}),
    Stack.parse({"id": "3f2a", "name": "front"}),
]


def airflow_serializes(value: Any) -> Any:
    """Serialize an XCom as the installed Airflow does."""
    place = "airflow.sdk.serde" if AIRFLOW >= (3, 2) else "airflow.serialization.serde"
    return importlib.import_module(place).serialize(value)


@pytest.mark.parametrize("value", OBJECTS, ids=lambda value: type(value).__name__)
def test_an_object_is_refused_where_it_is_returned(value: Any) -> None:
    name = type(value).__name__
    for returned in (value, [value], {"found": value}):
        with pytest.raises(TypeError) as caught:
            airflow_serializes(returned)
        assert str(caught.value).startswith(f"{name}: Airflow passes no such object")
        assert f"Return {name.lower()}.as_dict(), or the fields" in str(caught.value)


@pytest.mark.parametrize("value", OBJECTS, ids=lambda value: type(value).__name__)
def test_its_data_pass(value: Any) -> None:
    assert airflow_serializes(value.as_dict()) == value.as_dict()


def test_a_part_has_no_data_of_its_own() -> None:
    with pytest.raises(TypeError, match="Return the fields that the next task needs"):
        airflow_serializes(Package("id", "image"))


def test_every_object_of_the_api_is_one() -> None:
    modules = ("actions", "apps", "builds", "stacks")
    classes = [
        found
        for name in modules
        for found in vars(
            importlib.import_module(f"airflow_provider_daocloud.api.openapi.{name}")
        ).values()
        if dataclasses.is_dataclass(found) and found.__module__.endswith(f"openapi.{name}")
    ]
    assert len(classes) == 8
    assert all(issubclass(found, Model) for found in classes)  # type: ignore[arg-type]
