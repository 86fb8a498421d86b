"""Links from a task to its app, build flow or stack in DaoCloud's dashboard.

The task pushes the URL as an XCom when it begins, so that the link is there while the task runs,
while it is deferred and when it has failed. Airflow reads it from there: 3.x by the XCom's key, in
its database, and 2.11 by `get_link`. No link asks DaoCloud for anything.

The paths of the dashboard are documented nowhere. They are part of what `resources` registers.
"""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import quote

from airflow_provider_daocloud.api.endpoint import Endpoint
from airflow_provider_daocloud.compat import BaseOperatorLink


class DashboardLink(BaseOperatorLink):
    """Base of the links: a URL that is made of the connection's ``dashboard_url`` and an id."""

    name: ClassVar[str]
    # The kind of resource that it leads to.
    resource: ClassVar[str]
    xcom_key: ClassVar[str]

    def url(self, endpoint: Endpoint, resource_id: object) -> str:
        """Return the URL.

        :param endpoint: where the connection leads.
        :param resource_id: the id of what it leads to.
        """
        from airflow_provider_daocloud.resources.registry import resource

        path = resource(self.resource).dashboard_path
        return endpoint.dashboard_url + path.format(id=quote(str(resource_id), safe=""))

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002 - Airflow passes it
        """Return the URL that the task has pushed; empty if it did not come to that.

        :param operator: the operator.
        :param ti_key: which task instance.
        """
        from airflow_provider_daocloud.compat import XCom

        read = getattr(XCom, "_get_xcom_db_ref", None)
        if read is None:  # Airflow 2
            return XCom.get_value(ti_key=ti_key, key=self.xcom_key) or ""
        return read(key=self.xcom_key, **_task_of(ti_key)).value or ""


class AppLink(DashboardLink):
    """The app that a task acts on or waits for."""

    name = "App in DaoCloud"
    resource = "app"
    xcom_key = "daocloud_app_link"


class BuildFlowLink(DashboardLink):
    """The build flow that a task waits for."""

    name = "Build flow in DaoCloud"
    resource = "build_flow"
    xcom_key = "daocloud_build_flow_link"


class StackLink(DashboardLink):
    """The stack that a task acts on, or whose action it waits for."""

    name = "Stack in DaoCloud"
    resource = "stack"
    xcom_key = "daocloud_stack_link"


class ConsoleLink(DashboardLink):
    """Base of the links into the console of DaoCloud Enterprise: the connection has their paths."""

    # The endpoint's field that has the path, and the names in its braces, in the order of the id.
    path_field: ClassVar[str]
    names: ClassVar[tuple[str, ...]]

    def url(self, endpoint: Endpoint, resource_id: object) -> str:
        """Return the URL.

        :param endpoint: where the connection leads.
        :param resource_id: what identifies it: its parts, with slashes between them.
        """
        parts = (quote(part, safe="") for part in str(resource_id).split("/"))
        path: str = getattr(endpoint, self.path_field)
        return endpoint.dashboard_url + path.format(**dict(zip(self.names, parts, strict=True)))


class WorkloadLink(ConsoleLink):
    """The workload that a task acts on or waits for."""

    name = "Workload in DaoCloud"
    resource = "workload"
    xcom_key = "daocloud_workload_link"
    path_field = "workload_link"
    names = ("cluster", "namespace", "kind", "name")


class PipelineLink(ConsoleLink):
    """The pipeline whose run a task starts or waits for."""

    name = "Pipeline in DaoCloud"
    resource = "workspace"
    xcom_key = "daocloud_pipeline_link"
    path_field = "pipeline_link"
    names = ("workspace", "pipeline")


def push_link(ti: Any, key: str, url: str) -> None:
    """Push the URL of one link to where Airflow reads it.

    Airflow 3 reads it in its database, and shows what it finds: what a custom XCom backend had
    stored there could be the name of a file. So it is pushed past the backend, as Airflow itself
    does when the task ends. Airflow 2 pushes and reads through the backend.

    :param ti: the task instance, or what identifies it.
    :param key: the link's XCom.
    :param url: the URL.
    """
    from airflow_provider_daocloud.compat import XCom

    store = getattr(XCom, "_set_xcom_in_db", None)
    if store is None:
        ti.xcom_push(key=key, value=url)
    else:
        store(key=key, value=url, **_task_of(ti))


def _task_of(ti: Any) -> dict[str, Any]:
    return {name: getattr(ti, name) for name in ("dag_id", "task_id", "run_id", "map_index")}


def push_links(task: Any, ti: Any, endpoint: Endpoint) -> None:
    """Push the URLs of a task's links, in a worker.

    :param task: the operator or sensor.
    :param ti: the task instance.
    :param endpoint: where its connection leads.
    """
    for link in task.operator_extra_links:
        if isinstance(link, DashboardLink):  # a subclass may have others too
            push_link(ti, link.xcom_key, link.url(endpoint, task.link_id))
