"""The command line of DaoCloud Enterprise against its sandbox. What all commands share is in
test_cli.py.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_daocloud import cli
from airflow_provider_daocloud.sandbox.enterprise.images import ImagePlan
from airflow_provider_daocloud.sandbox.enterprise.pipelines import Parameter, Stage
from airflow_provider_daocloud.sandbox.enterprise.server import EnterpriseSandbox
from tests.unit.cli.test_cli import LINE, Ended, Run

STAGING = ("--cluster", "staging", "--namespace", "shop")
SHOP = ("--workspace", "shop")
JSON = ("-o", "json")
WAIT = ("--wait", "--timeout", "20", "--poll-interval", "0.1")


@pytest.fixture
def dce(daocloud_enterprise_sandbox: EnterpriseSandbox) -> EnterpriseSandbox:
    daocloud_enterprise_sandbox.set_options(speed=20.0)
    return daocloud_enterprise_sandbox


@pytest.fixture
def run(
    dce: EnterpriseSandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Return a function that runs a command, and checks that the access key is nowhere."""
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    monkeypatch.setattr(cli.common, "RETRY_TIMEOUT", 0.2)

    def run(*argv: str) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main(["enterprise", *argv])
        ended = Ended(caught.value.code, *capsys.readouterr())
        assert dce.token not in ended.out + ended.err
        return ended

    return run


def rows(ended: Ended) -> list[dict[str, Any]]:
    assert ended.code == 0, ended.err
    return list(json.loads(ended.out))


def images(dce: EnterpriseSandbox, name: str = "web") -> set[str]:
    for one in dce.world.workloads.all():
        if (one.place.cluster, one.name) == ("staging", name):
            containers = one.object["spec"]["template"]["spec"]["containers"]
            return {container["image"] for container in containers}
    raise AssertionError(name)


def test_check(run: Run) -> None:
    ended = run("check", *JSON)
    assert ended.code == 0
    assert ended.row["works"] == "True"
    assert "kpanda" in ended.row["message"]


def test_check_of_a_bad_key(run: Run, dce: EnterpriseSandbox) -> None:
    dce.world.users.revoke("main")
    ended = run("check")
    assert ended.code == 1
    assert "refuses the access key" in ended.err


@pytest.mark.parametrize("output", ["table", "plain", "yaml", "json"])
def test_lists(run: Run, output: str) -> None:
    for argv, word in (
        (("workspaces",), "shop"),
        (("workloads", *STAGING), "web"),
        (("workloads", *STAGING, "--kind", "statefulset"), "db"),
        (("workloads", *STAGING, "--kind", "daemonset"), "agent"),
        (("pipelines", *SHOP), "build-web"),
        (("pipeline", "build-web", *SHOP), "AIRFLOW_RUN"),
    ):
        ended = run(*argv, "-o", output)
        assert (ended.code, word in ended.out) == (0, True), ended


def test_workload(run: Run) -> None:
    row = run("workload", "web", *STAGING, *JSON).row
    assert row == {
        "name": "web",
        "kind": "deployment",
        "replicas": "3",
        "generation": "1",
        "images": "registry.example/shop/web:1.0, registry.example/proxy:2.3",
        "rollout": "rolled out, 3 pods",
    }


def test_deploy_a_tag_and_wait(run: Run, dce: EnterpriseSandbox) -> None:
    ended = run("deploy", "web", "--tag", "2.0", *STAGING, *WAIT, *JSON)
    assert ended.code == 0
    assert ended.row["images"]["web"] == "registry.example/shop/web:2.0"
    assert "web runs registry.example/shop/web:1.0, registry.example/proxy:2.3." in ended.err
    assert "generation 2 of web" in ended.err
    assert dce.effects == {"patch_deployment": 1}


def test_deploy_an_image_without_waiting(run: Run, dce: EnterpriseSandbox) -> None:
    argv = ("deploy", "web", "--image", "registry.example/proxy:3.0", "--container", "proxy")
    ended = run(*argv, *STAGING, *JSON)
    assert (ended.code, ended.row["generation"]) == (0, "2")
    assert images(dce) == {"registry.example/shop/web:1.0", "registry.example/proxy:3.0"}


def test_a_rollout_that_fails_says_why(run: Run, dce: EnterpriseSandbox) -> None:
    plan = ImagePlan("registry.example/shop/web:2.0", outcome="crashes", log=["no database"])
    dce.world.workloads.images.plan(plan)
    web = dce.world.workloads.find("Deployment", "staging", "shop", "web")
    dce.world.workloads.patch(web, {"spec": {"progressDeadlineSeconds": 20}})

    ended = run("deploy", "web", "--tag", "2.0", *STAGING, *WAIT)

    assert ended.code == 1
    assert "CrashLoopBackOff" in ended.err
    assert "no database" in ended.err
    assert "made no progress in its deadline" in ended.err


@pytest.mark.parametrize(
    ("argv", "pods"),
    [(("scale", "web", "5"), 5), (("scale", "web", "0"), 0), (("stop", "web"), 0)],
)
def test_pods(run: Run, dce: EnterpriseSandbox, argv: tuple[str, ...], pods: int) -> None:
    ended = run(*argv, *STAGING, *WAIT, *JSON)
    assert (ended.code, ended.row["replicas"]) == (0, str(pods))
    assert sum(dce.effects.values()) == 1


def test_stop_start_and_restart(run: Run, dce: EnterpriseSandbox) -> None:
    assert run("stop", "web", *STAGING, *JSON).row["accepted"] == "True"
    started = run("start", "web", *STAGING, *WAIT, *JSON)
    assert (started.code, started.row["replicas"]) == (0, "3")
    assert run("restart", "web", *STAGING, *WAIT).code == 0
    assert dce.effects == {"stop_deployment": 1, "start_deployment": 1, "patch_deployment": 1}


def test_run_a_pipeline_and_wait(run: Run, dce: EnterpriseSandbox) -> None:
    ended = run("run", "build-web", "-p", "TAG=2.0", *SHOP, *WAIT, *JSON)
    assert ended.code == 0, ended.err
    assert ended.row["run_id"] == "1"
    assert dce.effects == {"start_run": 1}
    (row,) = rows(run("runs", "build-web", *SHOP, *JSON))
    assert (row["run_id"], row["state"]) == ("1", "SUCCESS")
    assert run("run-show", "build-web", "1", *SHOP, *JSON).row["state"] == "SUCCESS"
    (found,) = (one for one in dce.world.pipelines.all() if one.name == "build-web")
    assert found.runs[0].parameters["TAG"] == "2.0"
    lines = rows(run("run-log", "build-web", "1", *SHOP, *JSON))
    assert "compiling" in str(lines)


def test_the_default_of_a_password_is_not_shown(run: Run, dce: EnterpriseSandbox) -> None:
    key = Parameter("KEY", "hush-hush", type="PASSWORD")
    dce.world.pipelines.add(1, "secret", parameters=[key])
    ended = run("pipeline", "secret", *SHOP, *JSON)
    assert (ended.code, "hush" in ended.out) == (0, False)
    assert "KEY" in ended.out


@pytest.mark.parametrize(("answer", "code"), [("run-approve", 0), ("run-abort", 1)])
def test_answer_what_a_run_asks(run: Run, dce: EnterpriseSandbox, answer: str, code: int) -> None:
    run("run", "release-web", *SHOP)
    ended = run(
        "run-show",
        "release-web",
        "1",
        *SHOP,
        "--wait",
        "--timeout",
        "1.5",
        "--poll-interval",
        "0.1",
    )
    assert ended.code == 4
    (row,) = rows(run("run-inputs", "release-web", "1", *SHOP, *JSON))
    assert "Release to production?" in str(row)

    another = run(answer, "release-web", "1", *SHOP, "--message", "Something else?")
    assert (another.code, "Release to production?" in another.err) == (2, True)
    assert run(answer, "release-web", "1", *SHOP).code == 0

    ended = run("run-show", "release-web", "1", *SHOP, *WAIT)
    assert ended.code == code


def test_cancel_a_run(run: Run, dce: EnterpriseSandbox) -> None:
    dce.world.pipelines.add(1, "long", [Stage("build", seconds=1000.0)])
    run("run", "long", *SHOP)
    assert run("run-cancel", "long", "1", *SHOP, *JSON).row["cancelled"] == "True"
    assert run("run-show", "long", "1", *SHOP, *WAIT).code == 1


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("workload", "Web!", *STAGING), "workload_name"),
        (("deploy", "web", *STAGING), "image"),
        (("deploy", "web", "--tag", "a b", *STAGING), "tag"),
        (("deploy", "web", "--tag", "2", "--container", "nobody", *STAGING), "nobody"),
        (("scale", "web", "many", *STAGING), "replicas"),
        (("run", "build-web", "-p", "TAG", *SHOP), "NAME=VALUE"),
        (("run", "build-web", "-p", "TAGG=1", *SHOP), "TAGG"),
    ],
)
def test_bad_input(run: Run, dce: EnterpriseSandbox, argv: tuple[str, ...], words: str) -> None:
    ended = run(*argv)
    assert (ended.code, words in ended.err) == (2, True), ended
    assert dce.effects == {}


@pytest.mark.parametrize(
    ("argv", "words"), [(("workload", "web"), "cluster"), (("run", "build-web"), "workspace")]
)
def test_a_place_that_nobody_gave(
    run: Run,
    dce: EnterpriseSandbox,
    monkeypatch: pytest.MonkeyPatch,
    argv: tuple[str, ...],
    words: str,
) -> None:
    """Neither the command nor the connection."""
    fields = {"conn_type": "daocloud_enterprise", "host": dce.url, "password": dce.token}
    monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_ENTERPRISE_DEFAULT", json.dumps(fields))
    ended = run(*argv)
    assert (ended.code, words in ended.err) == (2, True), ended
    assert dce.effects == {}


@pytest.mark.parametrize("argv", [("workload", "nobody", *STAGING), ("runs", "nobody", *SHOP)])
def test_no_such_resource(run: Run, argv: tuple[str, ...]) -> None:
    assert run(*argv).code == 1


@pytest.mark.skipif(LINE < (3, 2), reason="before 3.2, Airflow knows no commands of providers")
def test_airflow_has_both_groups() -> None:
    assert [group.name for group in cli.get_daocloud_cli_commands()] == [
        "daocloud",
        "daocloud-enterprise",
    ]
