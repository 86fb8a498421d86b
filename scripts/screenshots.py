"""``make screenshots``: Airflow's UI with the provider, in a real browser; pictures of it for docs.

Adds a connection, tests it, runs the example pipeline with it and follows its tasks' links, as a
person would: by labels and buttons. The system test of the UI takes the same way.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import (  # type: ignore[import-not-found, unused-ignore]
    BrowserContext,
    Locator,
    Page,
    expect,
    sync_playwright,
)

from airflow_provider_daocloud.sandbox import Sandbox
from airflow_provider_daocloud.sandbox.enterprise.images import ImagePlan
from airflow_provider_daocloud.sandbox.enterprise.options import EnterpriseOptions
from airflow_provider_daocloud.sandbox.enterprise.server import EnterpriseSandbox
from scripts.airflow_processes import Airflow

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
DAG_ID = "daocloud_release_pipeline"
ENTERPRISE_DAG_ID = "daocloud_enterprise_build_and_deploy"
RELEASE = "v1.1.0"
DASHBOARD = "https://dashboard.daocloud.io"
# A machine may be slow, but a run ends.
RETRY_TIMEOUT = 300.0
SIZE: Any = {"width": 1280, "height": 800}

# On Debian; elsewhere, name it in this variable.
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",  # it shows this machine's own pages alone, and may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def browser() -> Iterator[BrowserContext]:
    """Run Chromium with a fresh profile; nothing it asks leaves this machine."""
    with tempfile.TemporaryDirectory() as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=CHROMIUM,
            headless=True,
            args=FLAGS,
            viewport=SIZE,
        )
        context.set_default_timeout(30_000)
        expect.set_options(timeout=30_000)
        context.route(re.compile(r"^(?!http://127\.0\.0\.1:)"), lambda route: route.abort())
        # Stands in for DaoCloud's dashboard, which a link leads to.
        context.route(f"{DASHBOARD}/**", lambda route: route.fulfill(body="DaoCloud's dashboard"))
        try:
            yield context
        finally:
            context.close()


@contextmanager
def airflow(home: Path) -> Iterator[Airflow]:
    """Run a whole Airflow with two pipelines, without a schedule, and with no connection."""
    folder = home / "dags"
    folder.mkdir(parents=True)
    for name in (DAG_ID, ENTERPRISE_DAG_ID):
        source = (ROOT / "example_dags" / f"{name}.py").read_text()
        # In the hours after the time of a run, unpausing would begin that run too.
        unscheduled = re.sub(r'schedule="[^"]+"', "schedule=None", source)
        # One try shows what there is to see.
        (folder / f"{name}.py").write_text(unscheduled.replace('"retries": 2', '"retries": 0'))
    more: Any = {
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": "True",
    }
    with Airflow(home, folder, **more) as running:
        running.wait_until_up(DAG_ID)
        yield running


@dataclass
class Tour:
    """A person's way through the UI.

    :param page: the browser's page.
    :param airflow: the Airflow that it shows.
    :param images: where the pictures go.
    :param dag_id: the pipeline.
    """

    page: Page
    airflow: Airflow
    images: Path
    dag_id: str = DAG_ID
    run: str = field(default="", init=False)

    def shoot(
        self, name: str, what: Page | Locator | None = None, height: int | None = None
    ) -> None:
        """Take a picture; of the page's upper part, if a height is given."""
        self.page.mouse.move(0, 0)
        self.page.wait_for_timeout(400)  # until what moves or fades has done so
        more: Any = {}
        if height is not None:
            more["clip"] = {"x": 0, "y": 0, "width": 1640, "height": height}
        path = self.images / f"{name}.png"
        (what or self.page).screenshot(path=path, animations="disabled", **more)

    def open_form(self, button: str) -> Locator:
        """Open the form of a connection."""
        self.page.goto(f"{self.airflow.url}/connections")
        self.page.get_by_role("button", name=button, exact=True).click()
        return self.page.get_by_role("dialog")

    def add_connection(self, sandbox: Sandbox, token: str) -> list[str]:
        """Add ``daocloud_default``; return the labels of the form's fields."""
        form = self.begin_connection("daocloud_default", "DaoCloud")
        form.get_by_label("Access token").fill(token)
        self.shoot("connection", form)  # as for the public service: the token alone
        form.get_by_label("Base URL").fill("http://127.0.0.1")
        form.get_by_label("Port").fill(str(sandbox.port))
        return self.end_connection(form, "connection-extras", 1500)

    def add_enterprise_connection(self, sandbox: EnterpriseSandbox) -> list[str]:
        """Add ``daocloud_enterprise_default``; return the labels of the form's fields."""
        form = self.begin_connection("daocloud_enterprise_default", "DaoCloud Enterprise")
        form.get_by_label("Access key").fill(f"Bearer {sandbox.token}")  # as people paste it
        form.get_by_label("Base URL").fill("http://127.0.0.1")
        form.get_by_label("Port").fill(str(sandbox.port))
        return self.end_connection(form, "connection-enterprise", 1760)

    def begin_connection(self, conn_id: str, type_name: str) -> Locator:
        """Open the form of a new connection, and choose its type."""
        form = self.open_form("Add Connection")
        form.get_by_label("Connection ID").fill(conn_id)
        form.get_by_role("combobox").click()
        self.page.keyboard.type(type_name)
        self.page.get_by_role("option", name=type_name, exact=True).click()
        return form

    def end_connection(self, form: Locator, picture: str, height: int) -> list[str]:
        """Take a picture of all fields, save the form, and return the labels of the fields."""
        labels = [*form.locator("label").all_inner_texts()]
        form.get_by_role("button", name="Extra Fields", exact=True).click()
        expect(form.get_by_text("CA bundle", exact=True).first).to_be_visible()
        self.page.wait_for_timeout(500)
        self.page.set_viewport_size({"width": 1280, "height": height})
        self.shoot(picture, form)
        self.page.set_viewport_size(SIZE)
        labels += form.locator("label").all_inner_texts()
        self.save(form)
        return [label.strip() for label in labels]

    def replace_token(self, token: str) -> str:
        """Give the connection another token; return what the form showed of the former one."""
        form = self.open_form("Edit Connection")
        box = form.get_by_label("Access token")
        shown: str = box.input_value()
        box.fill(token)
        self.save(form)
        return shown

    def save(self, form: Locator) -> None:
        """Save a form, and wait until it has gone."""
        form.get_by_role("button", name="Save", exact=True).click()
        expect(form).to_be_hidden()

    def test_connection(self, conn_id: str = "daocloud_default") -> dict[str, Any]:
        """Press the Test button; return Airflow's answer to it."""
        self.page.goto(f"{self.airflow.url}/connections")
        row = self.page.get_by_role("row").filter(has_text=conn_id)
        with self.page.expect_response("**/connections/test") as response:
            row.get_by_role("button", name="Test Connection").click()
        found: dict[str, Any] = response.value.json()
        return found

    def trigger(self) -> None:
        """Trigger the pipeline by its button, which unpauses it too."""
        self.page.goto(f"{self.airflow.url}/dags/{self.dag_id}")
        self.page.get_by_role("button", name="Trigger Dag").click()
        dialog = self.page.get_by_role("dialog")
        with self.page.expect_response("**/dagRuns"):
            dialog.get_by_role("button", name="Trigger", exact=True).click()
        expect(dialog).to_be_hidden()
        [run] = self.airflow.ask("GET", f"/dags/{self.dag_id}/dagRuns")["dag_runs"]
        self.run = run["dag_run_id"]

    def wait_for(self, task: str, *states: str) -> None:
        """Wait until a task is in one of some states."""
        end = time.monotonic() + RETRY_TIMEOUT
        path = f"/dags/{self.dag_id}/dagRuns/{self.run}/taskInstances/{task}"
        while (state := self.airflow.ask("GET", path)["state"]) not in states:
            self.airflow.check()
            wrong = state in ("failed", "upstream_failed") and "failed" not in states
            if wrong or time.monotonic() > end:
                raise TimeoutError(f"{task} is {state}, not {' or '.join(states)}.")
            time.sleep(0.3)

    def shoot_graph(self) -> None:
        """Take a picture of the run's graph."""
        self.page.goto(f"{self.airflow.url}/dags/{self.dag_id}/runs/{self.run}")
        self.page.get_by_role("button", name="Show Graph").click()
        expect(self.page.get_by_test_id("rf__node-redeploy")).to_be_visible()
        self.page.wait_for_timeout(1500)  # until it has found its place
        self.shoot("graph")

    def shoot_log(self, task: str, words: str, picture: str, height: int = 560) -> None:
        """Take a picture of a task's log, when it shows some words."""
        self.open_task(task)
        self.page.get_by_role("button", name="Show Grid").click()  # it leaves the log more room
        expect(self.page.get_by_text(words).first).to_be_visible()
        self.page.set_viewport_size({"width": 1640, "height": height})
        self.page.wait_for_timeout(1000)  # it scrolls to its end
        trace = self.page.get_by_text('File "').first
        box = trace.bounding_box() if trace.is_visible() else None
        # A stack trace shows where this machine keeps its files, and nothing else of interest.
        self.shoot(picture, height=int(box["y"]) if box else None)
        self.page.set_viewport_size(SIZE)

    def open_task(self, task: str, tab: str = "") -> None:
        """Open a task of the run."""
        self.page.goto(f"{self.airflow.url}/dags/{self.dag_id}/runs/{self.run}/tasks/{task}{tab}")

    def follow(self, task: str, link: str, picture: str = "") -> str:
        """Open a task and click on its link; return where that leads."""
        self.open_task(task, "/details")
        button = self.page.locator("a", has_text=link)
        expect(button).to_be_visible()
        if picture:
            self.shoot(picture)
        with self.page.context.expect_page() as opened:
            button.click()
        opened.value.wait_for_load_state()
        url: str = opened.value.url
        opened.value.close()
        return url


def main() -> int:
    """Take the pictures."""
    home = Path(tempfile.mkdtemp(prefix="airflow-screenshots-"))
    IMAGES.mkdir(parents=True, exist_ok=True)
    print("Starting a toy DaoCloud, Airflow and Chromium ...", flush=True)
    try:
        with Sandbox(speed=2) as sandbox, airflow(home) as running, browser() as context:
            take(Tour(context.pages[0], running, IMAGES), sandbox)
            options = EnterpriseOptions(speed=5.0)
            with EnterpriseSandbox(options=options) as enterprise:
                tour = Tour(context.pages[0], running, IMAGES, ENTERPRISE_DAG_ID)
                take_enterprise(tour, enterprise)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    for image in sorted(IMAGES.glob("*.png")):
        print(f"{image.relative_to(ROOT)}  {image.stat().st_size // 1024} KiB")
    return 0


def take(tour: Tour, sandbox: Sandbox) -> None:
    """Take the whole way."""
    tour.add_connection(sandbox, sandbox.token)
    tour.test_connection()
    tour.trigger()
    tour.wait_for("wait_for_build", "deferred")
    tour.shoot_graph()
    sandbox.world.start_build("web")
    tour.wait_for("wait_for_release", "success")
    tour.shoot_log("wait_for_build", "is Success", "log")
    tour.follow("wait_for_release", "App in DaoCloud", picture="link")


def take_enterprise(tour: Tour, sandbox: EnterpriseSandbox) -> None:
    """Take the way of a release that fails: its log says why."""
    tour.add_enterprise_connection(sandbox)
    tour.test_connection("daocloud_enterprise_default")
    let_the_release_crash(sandbox)
    tour.trigger()
    tour.wait_for("deploy", "failed")
    tour.shoot_log("deploy", "no database", "log-of-a-failed-rollout", 760)
    tour.follow("deploy", "Workload in DaoCloud", picture="link-enterprise")


def let_the_release_crash(sandbox: EnterpriseSandbox) -> None:
    """Let the image that is deployed crash, and the deployment give up soon."""
    log = ["connecting to db:5432", "no database: connection refused"]
    plan = ImagePlan("registry.example/shop/web:1.1", outcome="crashes", log=log)
    workloads = sandbox.world.workloads
    workloads.images.plan(plan)
    web = workloads.find("Deployment", "production", "shop", "web")
    workloads.patch(web, {"spec": {"progressDeadlineSeconds": 30}})


if __name__ == "__main__":
    sys.exit(main())
