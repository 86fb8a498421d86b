"""Pipelines: started, queued two at a time, asked, cancelled, read, and forgotten."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from airflow_provider_daocloud.sandbox.enterprise import EnterpriseWorld
from airflow_provider_daocloud.sandbox.enterprise.pipelines import Parameter, Stage
from tests.contract.enterprise.conftest import Answer, Client, InProcess, small

ROOT = "/apis/pipeline.amamba.io/v1alpha1"
P = f"{ROOT}/workspaces/1/pipelines"
START = "/api/pipeline.amamba.io/v1alpha1/workspaces/1/pipelines/runs"
MULTIPART = {"content-type": "multipart/form-data; boundary=line"}
PARAMETERS = [
    Parameter("TAG", "latest"),
    Parameter("ENV", "staging\nproduction", "CHOICE"),
    Parameter("DRY", "false", "BOOLEAN"),
]


def fill(world: EnterpriseWorld) -> None:
    small(world)
    stages = [Stage("build", log=["compiling"]), Stage("push")]
    world.pipelines.add(1, "build", stages, list(PARAMETERS))
    ask = [Stage("approve", input="Go on?"), Stage("release")]
    world.pipelines.add(1, "release", ask)


@pytest.fixture
def it() -> InProcess:
    return InProcess(fill)


def form(**fields: str) -> bytes:
    parts = [
        f'--line\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    return ("".join(parts) + "--line--\r\n").encode()


def start(it: InProcess, name: str = "build", path: str | None = None, **fields: str) -> Answer:
    return it.ask("POST", path or f"{START}/{name}", form(**fields), headers=MULTIPART)


def run(it: InProcess, number: int = 1, name: str = "build") -> Any:
    return it.get(f"{P}/{name}/runs/{number}")


def values(shown: Any) -> dict[str, str]:
    return {one["name"]: one["value"] for one in shown["parameters"]}


def test_a_run_from_its_start_to_its_end(it: InProcess) -> None:
    answer = start(it, TAG="1.0")
    made = answer.json()
    assert (answer.acted, answer.id, made["runId"], made["triggerType"]) == (
        True,
        "1",
        "1",
        "MANUAL",
    )
    assert values(made) == {"TAG": "1.0", "ENV": "staging", "DRY": "false"}
    assert (made["startedBy"], made["createdAt"]) == ("main", "1790000000000")
    assert run(it)["state"] == "RUNNING"
    nodes = it.get(f"{P}/build/runs/1/nodes")["nodes"]
    results = [one["result"].removeprefix("BLUE_OCEAN_RESULT_") for one in nodes]
    assert results == ["RUNNING", "NOT_BUILT"]
    it.wait(10)
    assert run(it)["state"] == "SUCCESS"
    assert run(it)["duration"] == "6000"
    log = it.get(f"{P}/build/runs/1/log")
    assert log["log"].endswith("Finished: SUCCESS\n")
    tail = it.get(f"{P}/build/runs/1/log?start={log['size'] - 8}")
    assert (tail["log"], tail["delivered"]) == ("SUCCESS\n", 8)
    assert it.get(f"{P}/build/runs/1/nodes/1/steps/11/log")["log"] == "compiling\n"
    assert it.get(f"{P}/build/runs/1/parameters")["items"][0]["value"] == "1.0"


@pytest.mark.parametrize(("result", "state"), [("FAILURE", "FAILED"), ("UNSTABLE", "UNSTABLE")])
def test_a_stage_that_does_not_succeed(it: InProcess, result: Any, state: str) -> None:
    it.world.pipelines.add(1, "bad", [Stage("test", result), Stage("push")])
    start(it, "bad")
    it.wait(10)
    assert run(it, name="bad")["state"] == state
    it.world.set_options(amamba_minor=127)
    assert run(it, name="bad")["state"] == "FAILED"
    assert "startedBy" not in run(it, name="bad")


def test_two_runs_at_a_time(it: InProcess) -> None:
    for number in range(4):
        start(it, TAG=str(number))
    assert [run(it, number)["state"] for number in (1, 2, 3, 4)] == [
        "RUNNING",
        "RUNNING",
        "QUEUE",
        "QUEUE",
    ]
    again = start(it, TAG="3")
    assert (again.acted, again.id) == (False, "4")
    it.world.set_options(merge_queued=False)
    assert start(it, TAG="3").id == "5"
    it.wait(7)
    assert [run(it, number)["state"] for number in (2, 3, 4, 5)] == [
        "SUCCESS",
        "RUNNING",
        "RUNNING",
        "QUEUE",
    ]


def test_concurrence_may_be_forbidden(it: InProcess) -> None:
    it.world.pipelines.find(1, "build").disable_concurrence = True
    start(it, TAG="1")
    start(it, TAG="2")
    assert run(it, 2)["state"] == "QUEUE"


@pytest.mark.parametrize(("verb", "state"), [("process", "SUCCESS"), ("abort", "CANCELED")])
def test_an_input_waits_for_a_person(it: InProcess, verb: str, state: str) -> None:
    start(it, "release")
    it.wait(100)
    assert run(it, name="release")["state"] == "PAUSED"
    (step,) = it.get(f"{P}/release/runs/1/nodes/1/steps")["steps"]
    assert step["input"]["message"] == "Go on?"
    path = f"{P}/release/runs/1/nodes/1/steps/{step['id']}:{verb}"
    assert it.ask("POST", path, {"inputId": "other"}).status == 400
    assert it.ask("POST", path, {"inputId": step["input"]["id"]}).acted
    it.wait(10)
    assert run(it, name="release")["state"] == state
    assert it.ask("POST", path, {"inputId": step["input"]["id"]}).json()["code"] == 9


@pytest.mark.parametrize("holds", [True, False])
def test_a_paused_run_may_keep_its_agent(it: InProcess, holds: bool) -> None:
    it.world.set_options(input_holds_agent=holds, agents=1)
    start(it, "release")
    start(it)
    assert run(it)["state"] == ("QUEUE" if holds else "RUNNING")


def test_cancel_takes_a_while(it: InProcess) -> None:
    start(it)
    assert it.ask("POST", f"{P}/build/runs/1:cancel", {}).json()["state"] == "RUNNING"
    it.wait(1)
    assert run(it)["state"] == "CANCELED"
    assert not it.ask("POST", f"{P}/build/runs/1:cancel", {}).acted


def test_replay_is_a_new_run(it: InProcess) -> None:
    start(it, TAG="1")
    made = it.ask("POST", f"{P}/build/runs/1:replay", {}).json()
    assert (made["runId"], values(made)["TAG"]) == ("2", "1")


def test_runs_vanish(it: InProcess) -> None:
    for number in range(12):
        start(it, TAG=str(number))
        it.wait(20)
    assert it.get(f"{P}/build/runs?pageSize=100")["pagination"]["total"] == 10
    assert it.ask("GET", f"{P}/build/runs/2").json()["code"] == 5
    assert run(it, 3)["state"] == "SUCCESS"
    it.wait(8 * 86400)
    assert it.get(f"{P}/build/runs")["items"] == []


def test_lists_of_runs(it: InProcess) -> None:
    for number in range(3):
        start(it, TAG=str(number))
        it.wait(20)

    def numbers(query: str) -> list[str]:
        return [one["runId"] for one in it.get(f"{P}/build/runs?{query}")["items"]]

    assert numbers("sortBy=PIPELINE_RUN_ID&sortDir=DESC&pageSize=1") == ["3"]
    assert numbers("sortBy=CREATED_AT&sortDir=ASC&pageSize=2&page=2") == ["3"]
    assert numbers("searchRunId=2") == ["2"]
    assert numbers("startedBy=nobody") == []
    assert numbers("state=SUCCESS&triggerType=MANUAL") == ["3", "2", "1"]
    assert numbers("startTimeFrom=2026-09-21T14:13:30Z") == ["3", "2"]
    assert it.ask("GET", f"{P}/build/runs?startTimeFrom=noon").status == 400
    it.world.set_options(amamba_minor=130)
    assert numbers("startedBy=nobody") == ["3", "2", "1"]


def test_where_a_run_is_started(it: InProcess) -> None:
    def discovered() -> list[str]:
        return [one["url"] for one in it.get(f"{ROOT}/httpapis")["items"]]

    start_runs = f"{P}/build/runs"
    assert discovered() == [START.replace("/1/", "/{workspaceId}/") + "/{name}"]
    assert start(it, path=start_runs).status == 501
    it.world.set_options(start_call="runs")
    assert discovered() == [f"{P}/{{name}}/runs".replace("/1/", "/{workspaceId}/")]
    assert start(it).json()["code"] == 5
    assert start(it, path=start_runs).json()["runId"] == "1"
    it.world.set_options(start_call="absent")
    assert (start(it).status, start(it, path=start_runs).status) == (404, 501)
    assert discovered() == []
    it.world.set_options(start_call="documented", httpapis="empty")
    assert discovered() == []
    it.world.set_options(httpapis="absent")
    assert it.ask("GET", f"{ROOT}/httpapis").status == 404


def test_forms_of_the_body(it: InProcess) -> None:
    sent = {"content-type": "application/x-www-form-urlencoded"}
    assert it.ask("POST", f"{START}/build", b"TAG=1", headers=sent).status == 400
    it.world.set_options(start_body="any")
    made = it.ask("POST", f"{START}/build", b"TAG=1&TAG=2", headers=sent).json()
    assert values(made)["TAG"] == "1,2"
    made = it.ask(
        "POST", f"{START}/build", {"TAG": "3"}, headers={"content-type": "application/json"}
    ).json()
    assert values(made)["TAG"] == "3"
    assert it.ask("POST", f"{START}/build", b"nothing", headers=MULTIPART).status == 400
    assert start(it).acted


@pytest.mark.parametrize(("answer", "shown"), [("zero", "0"), ("empty", None)])
def test_answers_of_a_start(it: InProcess, answer: str, shown: str | None) -> None:
    it.world.set_options(start_answer=answer)
    assert start(it).json().get("runId") == shown
    assert run(it)["runId"] == "1"


def test_parameters_that_are_not_declared(it: InProcess) -> None:
    assert "MORE" not in values(start(it, MORE="1").json())
    it.world.set_options(undeclared_parameters="keep")
    assert values(start(it, MORE="1").json())["MORE"] == "1"
    it.world.set_options(undeclared_parameters="refuse")
    assert start(it, MORE="1").json()["code"] == 3


def test_values_that_a_parameter_does_not_take(it: InProcess) -> None:
    assert start(it, ENV="moon").status == 400
    assert start(it, DRY="maybe").status == 400
    it.world.set_options(amamba_minor=127)
    assert start(it, ENV="moon").status == 200
    assert it.get(f"{P}/build/runs/1/parameters")["items"][1]["value"] == ""


def test_who_started_it_and_how_it_shows(it: InProcess) -> None:
    it.world.set_options(started_by="nobody", start_shown_as="WEBHOOK", pipeline_times="s")
    start(it)
    shown = run(it)
    assert (shown["startedBy"], shown["triggerType"]) == ("", "WEBHOOK")
    assert shown["createdAt"] == "1790000000"


def test_lists_lag(it: InProcess) -> None:
    it.world.set_options(run_lag=5)
    start(it)
    assert it.get(f"{P}/build/runs")["items"] == []
    assert it.ask("GET", f"{P}/build/runs/1").status == 404
    it.wait(5)
    assert len(it.get(f"{P}/build/runs")["items"]) == 1
    it.world.set_options(run_state_lag=5)
    it.wait(2)
    assert run(it)["state"] == "RUNNING"
    it.wait(5)
    assert run(it)["state"] == "SUCCESS"


def test_multi_branch(it: InProcess) -> None:
    it.world.pipelines.add(1, "many", branches=["main", "dev"])
    assert start(it, "many", branch="dev").json()["code"] == 9
    it.world.set_options(multi_branch_start="branch")
    assert start(it, "many", branch="dev").json()["branchInfo"]["branch"] == "dev"
    assert start(it, "many", branch="other").status == 404
    assert len(it.get(f"{P}/many/branches")["branches"]) == 2


def test_declare_a_parameter(it: InProcess) -> None:
    def declare(word: str, name: str = "MARK") -> Answer:
        parameter = {"name": name, "type": "PARAMETER_TYPE_STRING"}
        operation = {"operation": f"PARAMETER_OPERATION_{word}", "parameter": parameter}
        return it.ask("POST", f"{P}/build/parameters", {"operations": [operation]})

    assert declare("ADD").status == 200
    assert declare("ADD").status == 400
    assert it.get(f"{P}/build/parameters")["parameters"][-1]["name"] == "MARK"
    assert values(start(it, MARK="x").json())["MARK"] == "x"
    assert declare("DELETE").status == 200
    it.world.set_options(amamba_minor=129)
    assert declare("ADD").status == 404


def test_list_get_and_disable(it: InProcess) -> None:
    listed = it.get(f"{P}?searchName=uil")["items"]
    assert [one["name"] for one in listed] == ["build"]
    assert it.get(f"{P}/build")["buildConfig"]["discarderProperty"]["numToRetainValue"] == 10
    assert it.ask("POST", f"{P}/build:toggle", {"disable": True}).acted
    assert it.get(f"{P}/build")["disabled"] is True
    assert start(it).json()["code"] == 9
    assert it.ask("GET", f"{P}/none").json()["code"] == 5


def test_a_run_over_the_socket(client: Client) -> None:
    added = {
        "workspace_id": 1,
        "name": "quick",
        "stages": [{"name": "one", "seconds": 0}],
        "parameters": [{"name": "TAG"}],
    }
    assert client.control("POST", "/pipelines", added).status_code == 200
    files = {"TAG": (None, "grün")}
    made = client.ask("POST", f"{START}/quick", files=files).json()
    assert values(made)["TAG"] == "grün"
    assert client.ask("GET", f"{P}/quick/runs/1").json()["state"] == "SUCCESS"
    counts = client.control("GET", "/counts").json()
    assert counts["effects"] == {"start_run": 1}
    (quick,) = [
        one for one in client.control("GET", "/state").json()["pipelines"] if one["name"] == "quick"
    ]
    assert quick["runs"] == {"1": "SUCCESS"}


@pytest.mark.parametrize("effect", ["before", "after"])
def test_a_lost_answer_to_a_start(client: Client, effect: str) -> None:
    fault = {"kind": "drop", "call": "start_run", "times": 1, "effect": effect}
    assert client.control("POST", "/faults", fault).status_code == 200
    with pytest.raises(requests.ConnectionError):
        client.ask("POST", f"{START}/build-web", files={"AIRFLOW_RUN": (None, "x")})
    runs = client.ask("GET", f"{P}/build-web/runs").json()["items"]
    assert [values(one)["AIRFLOW_RUN"] for one in runs] == (["x"] if effect == "after" else [])
