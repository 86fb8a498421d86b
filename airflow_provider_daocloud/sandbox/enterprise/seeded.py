"""A small installation that reads like a real one, for the demo and for first steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_daocloud.sandbox.enterprise.pipelines import Parameter, Stage

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.enterprise.world import EnterpriseWorld

STAGING, PRODUCTION = "staging", "production"


def fill(world: EnterpriseWorld) -> None:
    """Fill a world: workspaces, clusters, namespaces, workloads and pipelines."""
    places = world.places
    shop = places.add_workspace("shop")
    places.add_workspace("platform")
    places.add_cluster("kpanda-global-cluster", alias="global")
    for cluster in (STAGING, PRODUCTION):
        places.add_cluster(cluster, nodes=2)
        places.add_namespace(cluster, "default")
        places.add_namespace(cluster, "shop", workspace_id=shop.id)
        add = world.workloads.add
        web = {"web": "registry.example/shop/web:1.0", "proxy": "registry.example/proxy:2.3"}
        add(cluster, "shop", "web", web, replicas=3)
        add(cluster, "shop", "db", "registry.example/shop/db:1.0", kind="StatefulSet", replicas=2)
        add(cluster, "shop", "agent", "registry.example/agent:1.0", kind="DaemonSet")
    build = [Stage("checkout"), Stage("build", log=["compiling"]), Stage("push")]
    parameters = [Parameter("TAG", "latest"), Parameter("AIRFLOW_RUN")]
    world.pipelines.add(shop.id, "build-web", build, parameters)
    release = [Stage("build"), Stage("approve", input="Release to production?"), Stage("release")]
    world.pipelines.add(shop.id, "release-web", release, parameters)
