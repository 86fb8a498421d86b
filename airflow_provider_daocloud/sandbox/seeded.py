"""A small world that reads like a real one, for the demo and for first steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.world import World

DAY = 86400.0


def fill(world: World) -> None:
    """Put a handful of apps and build flows, and a stack, into a world."""
    now = world.now()
    world.add_app(
        "web",
        release_name="v1.0.0",
        image="daocloud.io/acme/web",
        created_at=now - 200 * DAY,
        last_operated_at=now - 3 * DAY,
        instances=2,
        expose_port=8080,
        enable_auto_redeploy=False,
    )
    world.add_app(
        "api",
        release_name="master-20ec560",
        image="daocloud.io/acme/api",
        created_at=now - 180 * DAY,
        last_operated_at=now - 1.5 * DAY,
        instances=3,
        expose_port=8881,
        enable_auto_redeploy=True,
    )
    world.add_app(
        "worker",
        state="STOPPED",
        release_name="v1.0.0",
        image="daocloud.io/acme/worker",
        created_at=now - 150 * DAY,
        last_operated_at=now - 10 * DAY,
        command="celery worker",
    )
    world.add_app(
        "preview",
        state="SLEEPING",
        release_name="develop-77ab012",
        image="daocloud.io/acme/web",
        created_at=now - 20 * DAY,
        last_operated_at=now - 2 * DAY,
        runtime_name="SHARED",
        runtime_display_name="云端测试环境",
    )
    world.add_build_flow("web", repo="acme/web", src_language="Python", created_at=now - 200 * DAY)
    world.add_build_flow("api", repo="acme/api", src_language="Go", created_at=now - 180 * DAY)
    world.add_build_flow(
        "worker",
        repo="acme/worker",
        src_language="Python",
        status="Failure",
        created_at=now - 150 * DAY,
    )
    world.add_stack("shop", created_at=now - 100 * DAY, last_operated_at=now - 4 * DAY)
