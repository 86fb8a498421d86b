"""What Airflow reads about the package, held against Airflow's own schemas."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest

from airflow_provider_daocloud import __version__, provider_info
from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook
from airflow_provider_daocloud.hooks.enterprise import DaoCloudEnterpriseHook
from tests.support.package import UNUSABLE, classes

INFO = provider_info.get_provider_info()


def schema(name: str) -> dict[str, Any]:
    """Return one of Airflow's schemas."""
    for folder in airflow.__path__:
        file = Path(folder, name)
        if file.exists():
            return json.loads(file.read_text())
    raise AssertionError(f"this Airflow has no {name}")


def test_shape() -> None:
    """The metadata has the form that this Airflow asks of providers, and is plain JSON."""
    jsonschema.validate(INFO, schema("provider_info.schema.json"))
    assert json.loads(json.dumps(INFO)) == INFO


def test_version_has_one_source() -> None:
    """The version is the package's own."""
    assert INFO["versions"] == [__version__]
    assert INFO["package-name"] == "airflow-provider-daocloud"


@pytest.mark.parametrize(
    "module",
    [
        module
        for kind in ("hooks", "operators", "sensors", "triggers")
        for entry in INFO[kind]
        for module in entry["python-modules"]
    ],
)
def test_modules_exist(module: str) -> None:
    """Every module that is named can be imported, and is one of an integration that is named."""
    if module in UNUSABLE:
        with pytest.raises(ImportError, match="needs Airflow 3"):
            importlib.import_module(module)
    else:
        importlib.import_module(module)
    names = {integration["integration-name"] for integration in INFO["integrations"]}
    for kind in ("hooks", "operators", "sensors", "triggers"):
        assert {entry["integration-name"] for entry in INFO[kind]} <= names


def test_what_the_package_has_is_listed() -> None:
    """Each module that defines a hook, an operator and so on is listed, and each notifier."""
    from airflow.providers.common.compat import sdk
    from airflow.triggers.base import BaseTrigger

    kinds = {
        "hooks": sdk.BaseHook,
        "sensors": sdk.BaseSensorOperator,  # before operators: a sensor is an operator, too
        "operators": sdk.BaseOperator,
        "triggers": BaseTrigger,
        "notifications": sdk.BaseNotifier,
    }
    has: dict[str, set[str]] = {kind: set() for kind in kinds}
    for made in classes():
        kind = next((kind for kind, base in kinds.items() if issubclass(made, base)), None)
        if kind is not None:
            full = f"{made.__module__}.{made.__name__}"
            has[kind].add(full if kind == "notifications" else made.__module__)
    assert all(has.values())
    usable = {one for one in has.pop("notifications") if "Base" not in one}
    assert usable == set(INFO["notifications"])
    for kind, modules in has.items():
        listed = [module for entry in INFO[kind] for module in entry["python-modules"]]
        assert modules <= set(listed)


HOOKS: list[Any] = [DaoCloudHook, DaoCloudEnterpriseHook]
by_hook = pytest.mark.parametrize("hook", HOOKS)


def described(hook: Any) -> dict[str, Any]:
    """Return what the metadata says of a hook's connection type."""
    (found,) = [one for one in INFO["connection-types"] if one["hook-name"] == hook.hook_name]
    return dict(found)


def test_every_connection_type_has_its_hook() -> None:
    assert len(INFO["connection-types"]) == len(HOOKS)


@by_hook
def test_connection_type(hook: Any) -> None:
    """The connection type leads to the hook, and both agree about its names."""
    connection_type = described(hook)
    module, _, name = connection_type["hook-class-name"].rpartition(".")
    assert getattr(importlib.import_module(module), name) is hook
    assert hook.conn_type == connection_type["connection-type"]
    assert hook.conn_name_attr == "daocloud_conn_id"
    assert hook.default_conn_name == f"{hook.conn_type}_default"
    assert hook().daocloud_conn_id == hook.default_conn_name


@by_hook
def test_no_field_of_the_form_is_required(hook: Any) -> None:
    """Each field may be left empty: a type that is not nullable would be marked as required."""
    fields = described(hook)["conn-fields"]
    assert fields.keys() == hook.form.fields.keys()
    for field in fields.values():
        assert "null" in field["schema"]["type"]
        assert field["label"]
        assert field["description"]


@by_hook
def test_form_and_connection_know_the_same_extras(hook: Any) -> None:
    """What the form offers is what the connection takes: all of it, and left empty."""
    from airflow.providers.common.compat.sdk import Connection

    connection: Any = Connection(
        conn_id="x",
        conn_type=hook.conn_type,
        host="https://dc.example/v1",
        password="token",
        extra=json.dumps(dict.fromkeys(hook.form.fields)),
    )
    assert hook.read_connection(connection).base_url == "https://dc.example/v1"


@by_hook
def test_behaviour_of_the_form(hook: Any) -> None:
    """Labels and placeholders fit Airflow's schema, for old and new lines alike."""
    behaviour = hook.get_ui_field_behaviour()
    jsonschema.validate(behaviour, schema("customized_form_field_behaviours.schema.json"))
    assert described(hook)["ui-field-behaviour"] == {
        "hidden-fields": behaviour["hidden_fields"],
        "relabeling": behaviour["relabeling"],
        "placeholders": behaviour["placeholders"],
    }
    # The form of 3.3 sends port 0 for a hidden port, and its Test button then fails.
    assert "port" not in behaviour["hidden_fields"]


@by_hook
def test_form_of_airflow_2(hook: Any) -> None:
    """Before 3.2 the hook makes the form's fields: the same ones, as widgets."""
    pytest.importorskip("flask_appbuilder", reason="only Airflow 2 has forms of this kind")
    import wtforms  # type: ignore[import-untyped]

    widgets = hook.get_connection_form_widgets()
    assert widgets.keys() == hook.form.fields.keys()
    form = type("Form", (wtforms.Form,), widgets)()
    for name, (kind, label, text) in hook.form.fields.items():
        field = form[name]
        assert (field.label.text, field.description) == (label, text)
        assert isinstance(field, wtforms.BooleanField) == (kind == "boolean")
        assert name in field()
