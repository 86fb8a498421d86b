"""Apps and build flows of DaoCloud as assets of Airflow (datasets on Airflow 2).

An asset's URI says which installation and which resource, and nothing of how to get there: two
connections to the same DaoCloud, with tokens of two teams, mean the same app::

    daocloud://openapi.daocloud.io/apps/b4b8d4f0-0bd7-4f9c-a8a6-4e1a1a3cbb2d
    daocloud://openapi.daocloud.io/build-flows/1f1c8f39-5a0f-4c15-b6ff-b26a2b3b7b1b
    daocloud://daocloud.corp:8443/apps/…    (on premises)

As an outlet of a task, an app's asset says *this app was redeployed*, and its event carries what
the task returns: the release, the action, the release before. As a schedule with a watcher
(`DaoCloudNewBuildTrigger`, Airflow 3), a build flow's says *a build has succeeded*.

Airflow imports this module in every process that makes an asset of any kind: nothing heavy here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.api.validation import path_segment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.parse import SplitResult

    from airflow_provider_daocloud.compat import Context

SCHEME = "daocloud"
DEFAULT_CONN_ID = "daocloud_default"
COLLECTIONS = ("apps", "build-flows")


def app_asset(
    app_id: str,
    *,
    name: str | None = None,
    host: str | None = None,
    daocloud_conn_id: str = DEFAULT_CONN_ID,
    **asset: Any,
) -> Any:
    """Return the asset of an app.

    :param app_id: the app's id.
    :param name: what Airflow's UI calls it (Airflow 3); the same wherever the asset is used.
        Default: its URI.
    :param host: host of the API, with its port if that is not the usual one. Default: the host of
        the connection, if an environment variable defines that, and else DaoCloud's own. Nothing
        else is looked up while a DAG file is parsed.
    :param daocloud_conn_id: that connection.
    :param asset: what else an ``Asset`` takes: ``group``, ``extra``…
    :raises InputError: the id, the host or the connection is unusable.
    """
    return create_asset(
        app_id=app_id, name=name, host=host, daocloud_conn_id=daocloud_conn_id, **asset
    )


def build_flow_asset(
    build_flow_id: str,
    *,
    name: str | None = None,
    host: str | None = None,
    daocloud_conn_id: str = DEFAULT_CONN_ID,
    **asset: Any,
) -> Any:
    """Return the asset of a build flow. See `app_asset` for the other parameters.

    :param build_flow_id: the build flow's id.
    :param asset: what else an ``Asset`` takes: ``group``, ``extra``, ``watchers``…
    :raises InputError: the id, the host or the connection is unusable.
    """
    return create_asset(
        build_flow_id=build_flow_id,
        name=name,
        host=host,
        daocloud_conn_id=daocloud_conn_id,
        **asset,
    )


def create_asset(
    *,
    app_id: str | None = None,
    build_flow_id: str | None = None,
    name: str | None = None,
    host: str | None = None,
    daocloud_conn_id: str = DEFAULT_CONN_ID,
    **asset: Any,
) -> Any:
    """Return the asset of an app or of a build flow; the factory in the provider's metadata.

    See `app_asset` for the other parameters.

    :param app_id: the app's id, or
    :param build_flow_id: the build flow's id.
    :raises InputError: an argument is unusable.
    """
    from airflow_provider_daocloud.compat import Asset

    if (app_id is None) == (build_flow_id is None):
        raise InputError("app_id", "give it, or a build_flow_id: one of the two.")
    host = _host_of(daocloud_conn_id) if host is None else host
    if app_id is not None:
        uri = asset_uri("apps", app_id, host)
    else:
        uri = asset_uri("build-flows", build_flow_id, host)
    if Asset.__name__ == "Dataset":  # Airflow 2: no names, no groups, no watchers
        return Asset(uri=uri, extra=asset.get("extra"))
    if name is not None:
        asset["name"] = name
    return Asset(uri=uri, **asset)


def _host_of(daocloud_conn_id: str) -> str:
    """Return the host of a connection that an environment variable defines, or DaoCloud's own."""
    from airflow.secrets.environment_variables import EnvironmentVariablesBackend

    from airflow_provider_daocloud.hooks.connection import endpoint_of
    from airflow_provider_daocloud.provider_info import OPEN_API

    connection = EnvironmentVariablesBackend().get_connection(daocloud_conn_id)
    url = OPEN_API.default_host if connection is None else endpoint_of(connection).base_url
    where = urlsplit(url)
    return where.netloc.removesuffix(":443") if where.scheme == "https" else where.netloc


def describe_events(task: Any, context: Context, result: Mapping[str, Any]) -> None:
    """Let the events of the asset that a task acted on carry what the task returns.

    :param task: the operator or sensor.
    :param result: what it returns; what is None, and evidence, is left out.
    """
    if not task.outlets:
        return
    path = task.asset_path
    extra = {key: value for key, value in result.items() if value is not None and key != "evidence"}
    for outlet in task.outlets:
        uri = urlsplit(str(getattr(outlet, "uri", "")))
        if (uri.scheme, uri.path) == (SCHEME, path):
            context["outlet_events"][outlet].extra.update(extra)


def asset_uri(kind: str, resource_id: object, host: str) -> str:
    """Return the URI of an app or a build flow.

    :param kind: ``apps`` or ``build-flows``.
    :param resource_id: its id.
    :param host: host of the API, with its port if that is not the usual one.
    :raises InputError: one of them is unusable.
    """
    if any(character in host for character in "/?#@\\ "):
        raise InputError("host", "is the API's host name, with a port or without, and no URL.")
    field = "app_id" if kind == "apps" else "build_flow_id"
    uri = f"{SCHEME}://{host}/{kind}/{path_segment(field, resource_id)}"
    return sanitize_uri(urlsplit(uri)).geturl()


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Return a ``daocloud://`` URI in its one normal form. Airflow calls it for each asset.

    :param uri: the URI, split.
    :raises InputError: it is not the URI of an app or a build flow. (Airflow 2 makes a warning of
        it by default.)
    """
    form = f"{SCHEME}://<host>/apps/<id> or {SCHEME}://<host>/build-flows/<id>"
    if uri.username is not None or uri.password is not None:
        raise InputError("asset URI", f"has a user or a password in it: it is {form}.")
    try:
        host, port = uri.hostname, uri.port
    except ValueError:
        host, port = None, None
    parts = uri.path.rstrip("/").split("/")
    if not host or len(parts) != 3 or parts[1] not in COLLECTIONS or uri.query or uri.fragment:
        raise InputError("asset URI", f"{uri.geturl()!r} is not of the form {form}.")
    host = f"[{host}]" if ":" in host else host
    return uri._replace(
        scheme=SCHEME,
        netloc=host if port is None else f"{host}:{port}",
        path=f"/{parts[1]}/{path_segment('asset URI', unquote(parts[2]))}",
    )
