"""Airflow's web UI in a real Chromium: the connections page, a run, the links of its tasks."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_daocloud import provider_info
from airflow_provider_daocloud.sandbox import Sandbox
from airflow_provider_daocloud.sandbox.enterprise.options import EnterpriseOptions
from airflow_provider_daocloud.sandbox.enterprise.server import EnterpriseSandbox
from scripts.airflow_processes import Airflow

pytest.importorskip("playwright", reason="make test-ui has a browser")

from scripts import screenshots

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not Path(screenshots.CHROMIUM).exists(), reason="there is no Chromium"),
]
WRONG = "not-the-token-of-anybody"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(speed=2) as sandbox:
        yield sandbox


@pytest.fixture
def tour(tmp_path: Path) -> Iterator[screenshots.Tour]:
    # What the browser's client says to asyncio about itself is not ours to fix.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    home = tmp_path / "home"
    with screenshots.airflow(home) as airflow, screenshots.browser() as context:
        yield screenshots.Tour(context.pages[0], airflow, tmp_path)


def command(airflow: Airflow, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "airflow", *arguments],
        check=False,
        env=airflow.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    return " ".join(done.stdout.split())


def test_a_person_sets_up_a_connection_runs_the_pipeline_and_follows_its_links(
    tour: screenshots.Tour, sandbox: Sandbox
) -> None:
    """Add, test, fix, test again, run, and from each task to its place in the dashboard."""
    labels = tour.add_connection(sandbox, WRONG)
    own = [label for _, label, _ in provider_info.OPEN_API.fields.values()]
    assert set(labels) >= {"Base URL", "Access token", "Port", *own}
    assert not {"Login", "Schema", "Host", "Password"} & set(labels)

    refused = tour.test_connection()
    assert not refused["status"]
    assert f"{sandbox.url}/v1 refuses the access token." in refused["message"]
    assert WRONG not in refused["message"]
    assert WRONG not in tour.page.content()
    # The button of 3.3 only changes its colour; the command line has the words.
    said = command(tour.airflow, "connections", "test", "daocloud_default")
    assert "refuses the access token." in said
    assert WRONG not in said

    assert tour.replace_token(sandbox.token) == "***"
    works = tour.test_connection()
    assert works["status"]
    assert "The access token sees 4 apps and 3 build flows. Calls left" in works["message"]

    tour.trigger()
    tour.wait_for("wait_for_build", "deferred")
    app, flow = sandbox.world.app("web"), sandbox.world.build_flow("web")
    flow_url = f"{screenshots.DASHBOARD}/build-flows/{flow.id}"
    app_url = f"{screenshots.DASHBOARD}/apps/{app.id}"
    assert tour.follow("wait_for_build", "Build flow in DaoCloud") == flow_url
    sandbox.world.start_build("web")
    tour.wait_for("wait_for_release", "success")
    assert tour.follow("wait_for_build", "Build flow in DaoCloud") == flow_url
    assert tour.follow("redeploy", "App in DaoCloud") == app_url
    assert tour.follow("wait_for_release", "App in DaoCloud") == app_url
    assert sandbox.effects["redeploy_app"] == 1

    # Neither token is anywhere in what Airflow wrote; nor does its form of 3.2+ need the old hook.
    for file in tour.airflow.home.rglob("*"):
        if file.is_file():
            written = file.read_bytes()
            assert sandbox.token.encode() not in written, file
            assert WRONG.encode() not in written, file
    log = (tour.airflow.home / "api-server.log").read_text()
    assert "get_connection_form_widgets" not in log
    assert "get_ui_field_behaviour" not in log


def test_a_person_sees_why_a_rollout_of_enterprise_failed(tour: screenshots.Tour) -> None:
    """Add and test the connection, run the pipeline, read the log, follow the link."""
    tour.dag_id = screenshots.ENTERPRISE_DAG_ID
    with EnterpriseSandbox(options=EnterpriseOptions(speed=5.0)) as sandbox:
        labels = tour.add_enterprise_connection(sandbox)
        own = [label for _, label, _ in provider_info.ENTERPRISE.fields.values()]
        assert set(labels) >= {"Base URL", "Access key", "Port", *own}

        works = tour.test_connection("daocloud_enterprise_default")
        assert works["status"]
        assert "Installed: " in works["message"]
        assert "kpanda" in works["message"]

        screenshots.let_the_release_crash(sandbox)
        tour.trigger()
        tour.wait_for("deploy", "failed")
        tour.shoot_log("deploy", "no database", "log")
        where = tour.follow("deploy", "Workload in DaoCloud")
        assert where == (
            f"{sandbox.url}/kpanda/clusters/production/namespaces/shop/deployments/web"
        )
        # Forward and back again, each once.
        assert sandbox.effects == {"start_run": 1, "patch_deployment": 2}
        for file in tour.airflow.home.rglob("*"):
            if file.is_file():
                assert sandbox.token.encode() not in file.read_bytes(), file
