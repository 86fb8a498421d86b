"""Who is let in, who is told what, and how errors read."""

from __future__ import annotations

import base64
import json

import pytest

from tests.contract.enterprise.conftest import InProcess

G = "/apis/ghippo.io/v1alpha1"
ME = f"{G}/current-user"


def test_who_am_i_and_what_is_installed(it: InProcess) -> None:
    assert it.get(ME)["username"] == "main"
    versions = {one["name"]: one["version"] for one in it.get(f"{G}/about/versions")["items"]}
    assert set(versions) == {"ghippo", "kpanda", "amamba"}
    assert versions["amamba"] == "v0.132.0"


@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        ({}, 403, "RBAC: access denied"),
        ({"authorization": "Bearer wrong"}, 401, "Jwt verification fails"),
        ({"authorization": "token an.access.key"}, 401, "Jwt verification fails"),
        ({"authorization": "an.access.key"}, 401, "Jwt verification fails"),
    ],
)
def test_gateway_refuses_in_plain_text(
    it: InProcess, sent: dict[str, str], status: int, words: str
) -> None:
    answer = it.ask("GET", ME, token=None, headers=sent)
    assert (answer.status, answer.body.decode()) == (status, words)
    assert answer.headers["Content-Type"] == "text/plain"
    it.world.set_options(gateway_errors="json")
    answer = it.ask("GET", ME, token=None, headers=sent)
    assert (answer.status, answer.json()) == (
        401,
        {"code": 16, "message": words, "details": []},
    )


def test_access_key_is_a_jwt_that_expires(it: InProcess) -> None:
    made = it.ask("POST", f"{ME}/accesstoken", {"name": "ci"}).json()
    _, claims, _ = made["token"].split(".")
    exp = json.loads(base64.urlsafe_b64decode(claims + "=="))["exp"]
    assert exp == it.clock.now + 7 * 86400
    assert it.get(ME, token=made["token"])["username"] == "main"
    assert "ci" in [one["name"] for one in it.get(f"{ME}/accesstokens")["items"]]
    it.wait(7 * 86400)
    answer = it.ask("GET", ME, token=made["token"])
    assert (answer.status, answer.body) == (401, b"Jwt is expired")


def test_deleted_access_key_is_refused(it: InProcess) -> None:
    made = it.ask("POST", f"{ME}/accesstoken", {"name": "ci"}).json()
    assert it.ask("DELETE", f"{ME}/accesstokens/{made['id']}").status == 200
    assert it.ask("GET", ME, token=made["token"]).status == 401
    assert it.ask("DELETE", f"{ME}/accesstokens/{made['id']}").json()["code"] == 5


@pytest.mark.parametrize("expired_at", ["yesterday", "1", "9" * 400])
def test_key_that_cannot_be_made(it: InProcess, expired_at: str) -> None:
    answer = it.ask("POST", f"{ME}/accesstoken", {"name": "ci", "expiredAt": expired_at})
    assert (answer.status, answer.json()["code"]) == (400, 3)
    assert not answer.acted


def test_viewer_reads_and_writes_nothing(it: InProcess) -> None:
    key = it.world.users.add("viewer", read_only=True)
    assert it.get(ME, token=key.token)["username"] == "viewer"
    answer = it.ask("POST", f"{ME}/accesstoken", {"name": "ci"}, token=key.token)
    assert (answer.status, answer.json()["code"]) == (403, 7)
    assert "is forbidden for user(viewer)" in answer.json()["message"]


def test_limit_of_calls(it: InProcess) -> None:
    it.world.set_options(rate_limit=2, rate_window=60)
    assert [it.ask("GET", ME).status for _ in range(3)] == [200, 200, 429]
    answer = it.ask("GET", ME)
    assert (answer.headers["Retry-After"], answer.json()["code"]) == ("60", 8)
    it.wait(60)
    assert it.ask("GET", ME).status == 200


def test_product_that_is_not_installed(it: InProcess) -> None:
    it.world.remove_product("amamba")
    answer = it.ask("GET", "/apis/amamba.io/v1alpha1/management/workspaces")
    assert (answer.status, answer.body) == (404, b"")
    assert it.ask("GET", ME).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", f"{G}/nothing", 404, 5),
        ("GET", "/", 404, 5),
        ("DELETE", ME, 501, 12),
        ("GET", f"{G}/workspaces/9", 404, 5),
        ("GET", f"{G}/workspaces/shop", 400, 3),
        ("GET", f"{G}/workspaces?page=x", 400, 3),
        ("GET", f"{G}/workspaces?pageSize=0", 400, 3),
    ],
)
def test_errors_are_a_status(it: InProcess, method: str, path: str, status: int, code: int) -> None:
    answer = it.ask(method, path)
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert answer.json().keys() == {"code", "message", "details"}
