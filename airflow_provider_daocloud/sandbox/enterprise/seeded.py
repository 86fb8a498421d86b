"""A small installation that reads like a real one, for the demo and for first steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.enterprise.world import EnterpriseWorld

STAGING, PRODUCTION = "staging", "production"


def fill(world: EnterpriseWorld) -> None:
    """Put two workspaces, three clusters and their namespaces into a world."""
    places = world.places
    shop = places.add_workspace("shop")
    places.add_workspace("platform")
    places.add_cluster("kpanda-global-cluster", alias="global")
    for cluster in (STAGING, PRODUCTION):
        places.add_cluster(cluster, nodes=2)
        places.add_namespace(cluster, "default")
        places.add_namespace(cluster, "shop", workspace_id=shop.id)
