"""Workspaces, clusters and namespaces, as each of the three products shows them."""

from __future__ import annotations

from airflow_provider_daocloud.sandbox.enterprise import EnterpriseWorld
from tests.contract.enterprise.conftest import InProcess

G = "/apis/ghippo.io/v1alpha1"
K = "/apis/kpanda.io/v1alpha1"
A = "/apis/amamba.io/v1alpha1"


def test_workspaces_of_three_products(it: InProcess) -> None:
    assert it.get(f"{G}/workspaces")["items"] == [{"id": 1, "name": "workspace-1", "alias": "shop"}]
    assert it.get(f"{G}/workspaces/1")["workspace"]["alias"] == "shop"
    assert it.get(f"{K}/workspaces")["workspaces"] == [{"id": 1, "alias": "shop"}]
    assert it.get(f"{A}/management/workspaces")["items"] == [{"workspaceId": 1, "alias": "shop"}]


def test_pages_to_the_end() -> None:
    def fill(world: EnterpriseWorld) -> None:
        for number in range(25):
            world.places.add_workspace(f"w{number}")

    it = InProcess(fill)
    pages = [it.get(f"{G}/workspaces?page={page}&pageSize=10") for page in (1, 2, 3, 4)]
    assert [len(page["items"]) for page in pages] == [10, 10, 5, 0]
    assert pages[0]["pagination"] == {"total": 25, "page": 1, "pageSize": 10}
    seen = it.get(f"{A}/management/workspaces?page=3&pageSize=10")["pagination"]
    assert seen == {"total": 25, "page": 3, "pageSize": 10, "pages": 3}


def test_clusters_and_namespaces(it: InProcess) -> None:
    it.world.places.add_cluster("kpanda-global-cluster")
    it.world.places.add_namespace("staging", "default")
    clusters = it.get(f"{K}/clusters")["items"]
    assert [one["metadata"]["name"] for one in clusters] == ["staging", "kpanda-global-cluster"]
    assert it.get(f"{K}/clusters/staging")["status"]["phase"] == "Running"
    assert it.ask("GET", f"{K}/clusters/nowhere").json()["code"] == 5
    for path in ("clusters/staging/namespaces", "asl/namespaces"):
        everything = it.get(f"{K}/{path}")["items"]
        assert [one["metadata"]["name"] for one in everything] == ["shop", "default"]
        (bound,) = it.get(f"{K}/{path}?workspaceId=1")["items"]
        assert bound["metadata"]["workspaceAlias"] == "shop"


def test_times_are_seconds_or_milliseconds(it: InProcess) -> None:
    def created() -> str:
        return it.get(f"{K}/clusters/staging")["metadata"]["creationTimestamp"]

    assert created() == "1790000000"
    it.world.set_options(workload_times="ms")
    assert created() == "1790000000000"


def test_what_is_bound_to_a_workspace(it: InProcess) -> None:
    assert it.get(f"{A}/workspaces/1/clusters")["items"][0]["name"] == "staging"
    assert it.get(f"{A}/workspaces/1/namespaces?cluster=staging")["items"][0]["name"] == "shop"
    (target,) = it.get(f"{A}/management/workspaces/1/deploytargets")["items"]
    assert (target["cluster"], target["namespaces"]) == ("staging", ["shop"])
    assert it.get(f"{G}/workspaces/1/exclusiveresources")["items"][0]["resourceName"] == "shop"
    assert it.get(f"{G}/workspaces/1/sharedresources")["items"] == []


def test_permissions_tell_who_may_run_pipelines(it: InProcess) -> None:
    path = f"{A}/management/workspaces/1/permissions"
    assert "amamba.pipeline.run" in it.get(path)["permissions"]
    viewer = it.world.users.add("viewer", read_only=True)
    assert "amamba.pipeline.run" not in it.get(path, token=viewer.token)["permissions"]
