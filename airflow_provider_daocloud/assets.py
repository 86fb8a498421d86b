"""Resources of DaoCloud as assets of Airflow (datasets on Airflow 2).

An asset's URI says which installation and which resource, and nothing of how to get there: two
connections to the same DaoCloud, with tokens of two teams, mean the same app::

    daocloud://openapi.daocloud.io/apps/b4b8d4f0-0bd7-4f9c-a8a6-4e1a1a3cbb2d
    daocloud://openapi.daocloud.io/build-flows/1f1c8f39-5a0f-4c15-b6ff-b26a2b3b7b1b
    daocloud://daocloud.corp:8443/apps/…    (on premises)
    daocloud://dce.example/clusters/production/namespaces/shop/deployments/web
    daocloud://dce.example/workspaces/1/pipelines/build-web

As an outlet of a task, the asset of an app or a workload says *this was deployed*, and its event
carries what the task returns: the release, the action, the release before. As a schedule with a
watcher (Airflow 3), that of a build flow or a pipeline says *a build has succeeded*
(`DaoCloudNewBuildTrigger`, `DaoCloudNewRunTrigger`).

Airflow imports this module in every process that makes an asset of any kind: nothing heavy here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.api.validation import path_segment, whole_as_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.parse import SplitResult

    from airflow_provider_daocloud.api.validation import WorkloadKind
    from airflow_provider_daocloud.compat import Context

SCHEME = "daocloud"
DEFAULT_CONN_ID = "daocloud_default"
ENTERPRISE_CONN_ID = "daocloud_enterprise_default"
# What the paths of assets look like; each name in braces is one segment.
FORMS = (
    "/apps/{app_id}",
    "/build-flows/{build_flow_id}",
    *(
        f"/clusters/{{cluster}}/namespaces/{{namespace}}/{kind}s/{{workload_name}}"
        for kind in ("deployment", "statefulset", "daemonset")
    ),
    "/workspaces/{workspace_id}/pipelines/{pipeline_name}",
)


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


def workload_asset(
    cluster: str,
    namespace: str,
    workload_name: str,
    *,
    workload_kind: WorkloadKind = "deployment",
    name: str | None = None,
    host: str | None = None,
    daocloud_conn_id: str = ENTERPRISE_CONN_ID,
    **asset: Any,
) -> Any:
    """Return the asset of a workload of DaoCloud Enterprise. See `app_asset` for the others.

    :param cluster: its cluster.
    :param namespace: its namespace.
    :param workload_name: its name.
    :param workload_kind: its kind.
    :param host: host of the installation. Default: that of the connection, if an environment
        variable defines it.
    :param daocloud_conn_id: that connection.
    :raises InputError: an argument is unusable, or there is no host.
    """
    return create_asset(
        cluster=cluster,
        namespace=namespace,
        workload_name=workload_name,
        workload_kind=workload_kind,
        name=name,
        host=host,
        daocloud_conn_id=daocloud_conn_id,
        **asset,
    )


def pipeline_asset(
    workspace_id: str | int,
    pipeline_name: str,
    *,
    name: str | None = None,
    host: str | None = None,
    daocloud_conn_id: str = ENTERPRISE_CONN_ID,
    **asset: Any,
) -> Any:
    """Return the asset of a pipeline of DaoCloud Enterprise. See `workload_asset` for the others.

    :param workspace_id: the number of its workspace: nothing is looked up for its alias.
    :param pipeline_name: its name.
    :raises InputError: an argument is unusable, or there is no host.
    """
    return create_asset(
        workspace_id=workspace_id,
        pipeline_name=pipeline_name,
        name=name,
        host=host,
        daocloud_conn_id=daocloud_conn_id,
        **asset,
    )


def create_asset(
    *,
    name: str | None = None,
    host: str | None = None,
    daocloud_conn_id: str | None = None,
    workload_kind: str = "deployment",
    **given: Any,
) -> Any:
    """Return the asset of a resource; the factory in the provider's metadata.

    See `app_asset` for the other parameters.

    :param workload_kind: the kind of a workload.
    :param given: what identifies the resource: ``app_id``; or ``build_flow_id``; or ``cluster``,
        ``namespace`` and ``workload_name``; or ``workspace_id`` and ``pipeline_name``. And what
        else an ``Asset`` takes.
    :raises InputError: an argument is unusable.
    """
    from airflow_provider_daocloud.compat import Asset

    known = {field for form in FORMS for field in _fields(form)}
    identity = {field: value for field, value in given.items() if field in known}
    asset = {field: value for field, value in given.items() if field not in known}
    fitting = [form for form in FORMS if set(_fields(form)) == identity.keys()]
    if not fitting:
        ways = dict.fromkeys(" and ".join(_fields(form)) for form in FORMS)
        raise InputError(next(iter(identity), "app_id"), f"give {', or '.join(ways)}.")
    form = fitting[0]
    if "workload_name" in identity:
        form = _form_of(workload_kind)
    if host is None:
        host = _host_of(form, daocloud_conn_id)
    uri = asset_uri(form, identity, host)
    if Asset.__name__ == "Dataset":  # Airflow 2: no names, no groups, no watchers
        return Asset(uri=uri, extra=asset.get("extra"))
    if name is not None:
        asset["name"] = name
    return Asset(uri=uri, **asset)


def _fields(form: str) -> list[str]:
    return re.findall(r"{(\w+)}", form)


def _form_of(workload_kind: str) -> str:
    for form in FORMS:
        if f"/{workload_kind}s/" in form:
            return form
    raise InputError("workload_kind", "must be deployment, statefulset or daemonset.")


def _host_of(form: str, daocloud_conn_id: str | None) -> str:
    """Return the host of a connection that an environment variable defines, or DaoCloud's own."""
    from airflow.secrets.environment_variables import EnvironmentVariablesBackend

    from airflow_provider_daocloud.hooks.connection import endpoint_of
    from airflow_provider_daocloud.hooks.enterprise_connection import enterprise_endpoint_of
    from airflow_provider_daocloud.provider_info import OPEN_API

    of_enterprise = len(_fields(form)) > 1
    conn_id = daocloud_conn_id or (ENTERPRISE_CONN_ID if of_enterprise else DEFAULT_CONN_ID)
    connection = EnvironmentVariablesBackend().get_connection(conn_id)
    if connection is None:
        if of_enterprise:
            raise InputError(
                "host", f"give it: no environment variable defines the connection {conn_id}."
            )
        url = OPEN_API.default_host
    else:
        read = enterprise_endpoint_of if of_enterprise else endpoint_of
        url = read(connection).base_url
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


def asset_uri(form: str, identity: Mapping[str, Any], host: str) -> str:
    """Return the URI of a resource.

    :param form: one of `FORMS`.
    :param identity: the values of its fields.
    :param host: host of the API, with its port if that is not the usual one.
    :raises InputError: one of them is unusable.
    """
    if any(character in host for character in "/?#@\\ "):
        raise InputError("host", "is the API's host name, with a port or without, and no URL.")
    path = form.format_map(
        {field: path_segment(field, whole_as_text(value)) for field, value in identity.items()}
    )
    return sanitize_uri(urlsplit(f"{SCHEME}://{host}{path}")).geturl()


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Return a ``daocloud://`` URI in its one normal form. Airflow calls it for each asset.

    :param uri: the URI, split.
    :raises InputError: it is not the URI of a resource. (Airflow 2 makes a warning of it by
        default.)
    """
    form = f"{SCHEME}://<host>/apps/<id>, /build-flows/<id>, or what `workload_asset` and "
    form += "`pipeline_asset` make"
    if uri.username is not None or uri.password is not None:
        raise InputError("asset URI", f"has a user or a password in it: it is {form}.")
    try:
        host, port = uri.hostname, uri.port
    except ValueError:
        host, port = None, None
    parts = uri.path.rstrip("/").split("/")
    if not host or uri.query or uri.fragment or not _is_known("/".join(parts)):
        raise InputError("asset URI", f"{uri.geturl()!r} is not of the form {form}.")
    host = f"[{host}]" if ":" in host else host
    segments = [path_segment("asset URI", unquote(part)) for part in parts[1:]]
    return uri._replace(
        scheme=SCHEME,
        netloc=host if port is None else f"{host}:{port}",
        path="".join(f"/{segment}" for segment in segments),
    )


def _is_known(path: str) -> bool:
    return any(re.fullmatch(re.sub(r"{\w+}", "[^/]+", form), path) for form in FORMS)
