"""Each example DAG runs in real Airflow, against the sandbox, and does exactly what it says."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_daocloud.sandbox import ActionPlan, BuildPlan, Sandbox, Served
from airflow_provider_daocloud.sandbox.enterprise.server import EnterpriseSandbox
from tests.support.modes import AIRFLOW

EXAMPLES = Path(__file__).parents[2] / "example_dags"

RunDag = Callable[..., Any]


@pytest.fixture(scope="module")
def dags_folder(airflow_home: Path) -> Path:
    """Return Airflow's DAGs folder, with the examples in it."""
    # They may be there: a process that shares the tests with others can come back to these.
    folder = airflow_home / "dags" / "examples"
    return Path(shutil.copytree(EXAMPLES, folder, dirs_exist_ok=True))


@pytest.fixture
def run_dag(dags_folder: Path, daocloud_sandbox: Sandbox) -> RunDag:
    """Return a function that runs an example to its end, in this process."""
    daocloud_sandbox.set_options(speed=20)

    def run(
        dag_id: str, conf: dict[str, Any] | None = None, quick: dict[str, Any] | None = None
    ) -> Any:
        spec = importlib.util.spec_from_file_location(dag_id, dags_folder / f"{dag_id}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for task in module.dag.tasks:
            # As in real life, but quicker.
            task.retry_delay = timedelta(0)
            if hasattr(task, "poke_interval"):
                task.poke_interval = 0.1
            for name, value in (quick or {}).items():
                setattr(task, name, value)
        return module.dag.test(run_conf=conf)

    return run


def build_when_looked_at(sandbox: Sandbox, plan: BuildPlan | None = None) -> None:
    """Let a build of the flow ``web`` start once somebody has observed the flow."""

    def started(served: Served) -> None:
        if served.call == "get_build_flow":
            sandbox.service.on_served = None
            sandbox.world.start_build("web", plan)

    sandbox.service.on_served = started


def shown(sandbox: Sandbox, name: str) -> tuple[str, str | None]:
    app = sandbox.world.app(name)
    return app.rest_state, app.release_name


def states(run: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for ti in run.get_task_instances():
        found.setdefault(ti.task_id, []).append(str(ti.state))
    return found


def test_release_pipeline_redeploys_once_and_after_the_new_build(
    run_dag: RunDag, daocloud_sandbox: Sandbox
) -> None:
    """The flow shows the Success of an older build at first: that one does not count."""
    before = daocloud_sandbox.world.build_flow("web")
    assert before.status == "Success"
    old_package = before.package_id
    build_when_looked_at(daocloud_sandbox)

    run = run_dag("daocloud_release_pipeline", {"release_name": "v2.0.0"})

    assert run.state == "success"
    assert daocloud_sandbox.effects == {"redeploy_app": 1}
    assert shown(daocloud_sandbox, "web") == ("RUNNING", "v2.0.0")
    assert daocloud_sandbox.world.build_flow("web").package_id != old_package
    calls = [served.call for served in daocloud_sandbox.log]
    posted = calls.index("redeploy_app")
    assert calls[:posted].count("get_build_flow") > 1
    assert set(calls[posted + 1 :]) == {"get_action"}


def test_release_pipeline_deploys_nothing_when_the_build_fails(
    run_dag: RunDag, daocloud_sandbox: Sandbox
) -> None:
    build_when_looked_at(daocloud_sandbox, BuildPlan(outcome="Failure"))

    run = run_dag("daocloud_release_pipeline")

    assert run.state == "failed"
    assert states(run)["find"] == ["success"]
    assert states(run)["wait_for_build"] == ["failed"]
    assert daocloud_sandbox.effects == {}
    assert shown(daocloud_sandbox, "web") == ("RUNNING", "v1.0.0")


def test_release_pipeline_of_an_unknown_app_fails_before_it_does_anything(
    run_dag: RunDag, daocloud_sandbox: Sandbox
) -> None:
    run = run_dag("daocloud_release_pipeline", {"app": "no such app"})

    assert run.state == "failed"
    assert states(run)["find"] == ["failed"]
    assert daocloud_sandbox.counts == {"list_apps": 1}  # and no retry


def test_fleet_redeploys_each_app_once(run_dag: RunDag, daocloud_sandbox: Sandbox) -> None:
    run = run_dag("daocloud_fleet", {"apps": ["web", "worker"], "release_name": "v3.0.0"})

    assert run.state == "success"
    assert daocloud_sandbox.effects == {"redeploy_app": 2}
    assert shown(daocloud_sandbox, "web")[1] == "v3.0.0"
    assert shown(daocloud_sandbox, "worker")[1] == "v3.0.0"
    assert shown(daocloud_sandbox, "api")[1] == "master-20ec560"


def redeployed(sandbox: Sandbox) -> list[str]:
    """Return the names of the apps that were redeployed, in order."""
    names = {app.id: app.name for app in sandbox.world.apps.values()}
    return [names[s.params["app_id"]] for s in sandbox.log if s.call == "redeploy_app"]


def test_canary_goes_first_and_the_waves_follow(run_dag: RunDag, daocloud_sandbox: Sandbox) -> None:
    run = run_dag("daocloud_canary", {"release_name": "v4.0.0"})

    assert run.state == "success"
    assert {app.release_name for app in daocloud_sandbox.world.apps.values()} == {"v4.0.0"}
    first, *wave_1, last = redeployed(daocloud_sandbox)
    assert (first, set(wave_1), last) == ("web", {"api", "worker"}, "preview")
    assert daocloud_sandbox.counts["list_apps"] == 2  # to find them, and to report
    assert states(run)["wave_3"] == ["skipped"]


def test_canary_stops_at_the_first_wave_that_fails(
    run_dag: RunDag, daocloud_sandbox: Sandbox
) -> None:
    """What failed goes back to its release, the wave behind it is untouched, and the run fails."""
    world = daocloud_sandbox.world
    worker, preview = world.app("worker"), world.view(world.app("preview"))
    world.plan(ActionPlan("FAILED", "no such image", app_id=worker.id))

    run = run_dag("daocloud_canary", {"release_name": "v4.0.0"})

    assert run.state == "failed"
    assert sorted(states(run)["wave_1"]) == ["failed", "success"]
    assert states(run)["wave_2"] == ["upstream_failed"]
    assert sorted(redeployed(daocloud_sandbox)) == ["api", "web", "worker", "worker"]
    assert world.view(world.app("preview")) == preview
    releases = {app.name: app.release_name for app in world.apps.values()}
    assert releases["worker"] == "v1.0.0"
    assert states(run)["report"] == ["success"]
    (reported,) = [ti for ti in run.get_task_instances() if ti.task_id == "report"]
    assert reported.xcom_pull(task_ids="report") == releases


def test_canary_that_fails_keeps_all_others_from_starting(
    run_dag: RunDag, daocloud_sandbox: Sandbox
) -> None:
    web = daocloud_sandbox.world.app("web")
    daocloud_sandbox.world.plan(ActionPlan("FAILED", "no such image", app_id=web.id))

    run = run_dag("daocloud_canary", {"release_name": "v4.0.0"})

    assert run.state == "failed"
    assert states(run)["wave_1"] == states(run)["wave_2"] == ["upstream_failed"]
    assert redeployed(daocloud_sandbox) == ["web"]  # which still runs what it ran before
    assert shown(daocloud_sandbox, "web") == ("RUNNING", "v1.0.0")


def test_nightly_redeploys_the_release_that_runs(
    run_dag: RunDag, daocloud_sandbox: Sandbox
) -> None:
    run = run_dag("daocloud_nightly_redeploy")

    assert run.state == "success"
    assert daocloud_sandbox.effects == {"redeploy_app": 1}
    assert shown(daocloud_sandbox, "web") == ("RUNNING", "v1.0.0")


def test_watchdog_starts_what_is_stopped_or_asleep_and_then_has_nothing_to_do(
    run_dag: RunDag, daocloud_sandbox: Sandbox
) -> None:
    run = run_dag("daocloud_watchdog")

    assert run.state == "success"
    assert daocloud_sandbox.effects == {"start_app": 2}
    assert {name: shown(daocloud_sandbox, name)[0] for name in ("worker", "preview")} == {
        "worker": "RUNNING",
        "preview": "RUNNING",
    }

    again = run_dag("daocloud_watchdog")

    assert again.state == "success"
    assert states(again)["start"] == ["skipped"]
    assert daocloud_sandbox.effects == {"start_app": 2}


def test_build_and_release_releases_its_own_build(
    run_dag: RunDag, daocloud_sandbox: Sandbox
) -> None:
    """Somebody else's build of the same flow, in the middle of it, changes nothing."""

    def another(served: Served) -> None:
        if served.call == "start_build":
            daocloud_sandbox.service.on_served = None
            daocloud_sandbox.world.start_build("web", BuildPlan(outcome="Failure"))

    daocloud_sandbox.service.on_served = another

    run = run_dag("daocloud_build_and_release", {"branch": "release/1.2"})

    assert run.state == "success"
    assert daocloud_sandbox.effects == {"start_build": 1, "redeploy_app": 1}
    [ours] = [
        build
        for build in daocloud_sandbox.world.build_flow("web").builds.values()
        if build.ref == "release/1.2"
    ]
    assert shown(daocloud_sandbox, "web") == ("RUNNING", ours.tag)


def test_build_and_release_goes_back_to_what_ran_before(
    run_dag: RunDag, daocloud_sandbox: Sandbox
) -> None:
    """The redeploy says SUCCESS, and the app does not run: the error has both stories."""
    app = daocloud_sandbox.world.app("web")
    daocloud_sandbox.world.plan(ActionPlan(leaves="NOT_RUNNING", app_id=app.id))

    run = run_dag("daocloud_build_and_release", quick={"verify_timeout": 2.0})

    assert run.state == "failed"
    assert states(run) == {"build": ["success"], "release": ["failed"]}
    assert daocloud_sandbox.effects == {"start_build": 1, "redeploy_app": 2}
    assert shown(daocloud_sandbox, "web") == ("RUNNING", "v1.0.0")


def test_a_release_to_be_approved_asks_between_the_two_apps(dags_folder: Path) -> None:
    """A run needs a person: tests/system/test_demo.py plays one, in real Airflow."""
    spec = importlib.util.spec_from_file_location(
        "approved", dags_folder / "daocloud_approved_release.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if AIRFLOW < (3, 1):
        assert not hasattr(module, "dag")
        return
    order = [task.task_id for task in module.dag.topological_sort()]
    assert order == ["stage", "approve", "release"]
    stage, approve, release = (module.dag.get_task(task_id) for task_id in order)
    assert approve.upstream_task_ids == {stage.task_id}
    assert release.upstream_task_ids == {approve.task_id}
    assert stage.release_name == release.release_name


# --- DaoCloud Enterprise ------------------------------------------------------------------------


def images(sandbox: EnterpriseSandbox, cluster: str) -> dict[str, str]:
    web = sandbox.world.workloads.find("Deployment", cluster, "shop", "web")
    return {one["name"]: one["image"] for one in web.spec["template"]["spec"]["containers"]}


QUICK = {"poll_interval": 0.1}


def test_enterprise_release_deploys_to_both_clusters(
    run_dag: RunDag, daocloud_enterprise_sandbox: EnterpriseSandbox
) -> None:
    daocloud_enterprise_sandbox.set_options(speed=20.0)

    run = run_dag("daocloud_enterprise_release", {"tag": "2.0"}, QUICK)

    assert states(run)["undo_staging"] == ["skipped"]
    assert run.state == "success"
    assert daocloud_enterprise_sandbox.effects == {"patch_deployment": 2}
    for cluster in ("staging", "production"):
        assert images(daocloud_enterprise_sandbox, cluster) == {
            "web": "registry.example/shop/web:2.0",
            "proxy": "registry.example/proxy:2.3",
        }


def test_enterprise_release_goes_back_everywhere_if_production_fails(
    run_dag: RunDag, daocloud_enterprise_sandbox: EnterpriseSandbox
) -> None:
    world = daocloud_enterprise_sandbox.world
    daocloud_enterprise_sandbox.set_options(speed=20.0)
    web = world.workloads.find("Deployment", "production", "shop", "web")
    world.workloads.patch(web, {"spec": {"progressDeadlineSeconds": 20}})
    # No room for one more pod there.
    world.places.namespace("production", "shop").pod_quota = len(world.workloads.pods.of(web.place))

    run = run_dag("daocloud_enterprise_release", {"tag": "2.0"}, QUICK)

    assert states(run)["deploy_to_production"] == ["failed"]
    assert states(run)["undo_staging"] == ["success"]
    for cluster in ("staging", "production"):
        assert images(daocloud_enterprise_sandbox, cluster)["web"].endswith(":1.0")


def test_enterprise_build_and_deploy(
    run_dag: RunDag, daocloud_enterprise_sandbox: EnterpriseSandbox
) -> None:
    daocloud_enterprise_sandbox.set_options(speed=20.0)

    run = run_dag("daocloud_enterprise_build_and_deploy", {"tag": "2.0"}, QUICK)

    assert run.state == "success"
    assert daocloud_enterprise_sandbox.effects == {"start_run": 1, "patch_deployment": 1}
    assert images(daocloud_enterprise_sandbox, "production")["web"].endswith("web:2.0")
    assert images(daocloud_enterprise_sandbox, "staging")["web"].endswith("web:1.0")


def test_enterprise_nightly_restart(
    run_dag: RunDag, daocloud_enterprise_sandbox: EnterpriseSandbox
) -> None:
    daocloud_enterprise_sandbox.set_options(speed=20.0)

    run = run_dag("daocloud_enterprise_nightly_restart", None, QUICK)

    assert run.state == "success"
    assert daocloud_enterprise_sandbox.effects == {"patch_stateful_set": 1, "patch_deployment": 1}
