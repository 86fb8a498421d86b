"""The sandbox's page: what a browser shows, and the button that starts a build."""

from __future__ import annotations

import re

import pytest
import requests

from airflow_provider_daocloud.sandbox import Sandbox
from airflow_provider_daocloud.sandbox.page import page

BROWSER = {"Accept": "text/html,application/xhtml+xml"}


def test_a_browser_gets_a_page_and_a_script_the_list_of_endpoints(sandbox: Sandbox) -> None:
    flow = sandbox.world.add_build_flow("web", status="Success")
    sandbox.world.add_app("web", release_name="v7")
    shown = requests.get(f"{sandbox.url}/_sandbox", headers=BROWSER, timeout=5)
    assert shown.headers["content-type"].startswith("text/html")
    assert "v7" in shown.text
    assert f"/build-flows/{flow.id}/builds" in shown.text
    assert sandbox.token not in shown.text
    assert "GET /_sandbox/state" in requests.get(f"{sandbox.url}/_sandbox", timeout=5).json()


def test_the_button_starts_a_build_and_shows_the_page_again(sandbox: Sandbox) -> None:
    flow = sandbox.world.add_build_flow("web", status="Success")
    shown = requests.get(f"{sandbox.url}/_sandbox", headers=BROWSER, timeout=5).text
    (action,) = re.findall(rf'action="([^"]+/{flow.id}/[^"]+)"', shown)
    pressed = requests.post(f"{sandbox.url}{action}", headers=BROWSER, timeout=5)
    assert [step.status_code for step in pressed.history] == [303]
    assert pressed.headers["content-type"].startswith("text/html")
    assert len(sandbox.world.build_flows[flow.id].builds) == 1


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><b>'])
def test_a_name_is_no_markup(name: str) -> None:
    flow = {"name": name, "status": name, "package_id": None, "id": name}
    app = {"name": name, "state": name, "release_name": name}
    assert name not in page("/_sandbox", {"apps": [app], "build_flows": [flow]})
