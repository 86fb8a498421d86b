"""The command line against the sandbox: what it prints, what it does, and with what it exits."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple
from unicodedata import normalize

import pytest
from airflow import __version__ as airflow_version

from airflow_provider_daocloud import cli
from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook
from airflow_provider_daocloud.sandbox import ActionPlan, BuildPlan, Sandbox

ROOT = Path(__file__).parents[3]
LINE = tuple(int(number) for number in airflow_version.split(".")[:2])


class Ended(NamedTuple):
    """How a command ended."""

    code: object
    out: str
    err: str

    @property
    def row(self) -> dict[str, Any]:
        """The one row that was printed as JSON, and nothing beside it."""
        (row,) = json.loads(self.out)
        return dict(row)


Run = Callable[..., Ended]


@pytest.fixture
def run(
    daocloud_sandbox: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Return a function that runs a command, and checks that the token is nowhere."""
    daocloud_sandbox.set_options(speed=20)
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    monkeypatch.setattr(cli.common, "RETRY_TIMEOUT", 0.2)

    def run(*argv: str) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main([*argv])
        ended = Ended(caught.value.code, *capsys.readouterr())
        assert daocloud_sandbox.token not in ended.out + ended.err
        return ended

    return run


@pytest.fixture
def web(daocloud_sandbox: Sandbox) -> str:
    """Return the id of an app."""
    return daocloud_sandbox.world.app("web").id


# A time-out that is soon over.
SOON = ("--timeout", "0.1", "--poll-interval", "0.1")


def test_rollback_redeploys_the_earlier_release_and_says_from_what(
    run: Run, daocloud_sandbox: Sandbox, web: str
) -> None:
    before = daocloud_sandbox.world.app("web").release_name
    ended = run("rollback", "web", "--name", "--to", "v0.9", "--wait", "-o", "json")
    assert (ended.code, ended.row["state"]) == (0, "SUCCESS")
    assert f"App web runs release {before}. Going back to v0.9." in ended.err
    assert daocloud_sandbox.effects == {"redeploy_app": 1}
    assert daocloud_sandbox.world.app("web").release_name == "v0.9"


def test_apps_lists_every_app(run: Run, daocloud_sandbox: Sandbox) -> None:
    ended = run("apps", "-o", "json")

    assert ended.code == 0
    world = {app.id: app for app in daocloud_sandbox.world.apps.values()}
    assert {row["id"]: (row["name"], row["release_name"]) for row in json.loads(ended.out)} == {
        app.id: (app.name, app.release_name) for app in world.values()
    }


@pytest.mark.parametrize("output", ["table", "plain", "yaml", "json"])
def test_lists_come_in_every_format_of_airflow(run: Run, output: str, web: str) -> None:
    for command in ("apps", "build-flows"):
        ended = run(command, "--output", output)
        assert ended.code == 0
        assert "web" in ended.out
    assert web in run("app", web, "-o", output).out


def test_build_flows_lists_every_flow(run: Run, daocloud_sandbox: Sandbox) -> None:
    rows = json.loads(run("build-flows", "-o", "json").out)

    flows = daocloud_sandbox.world.build_flows.values()
    assert {(row["id"], row["status"], row["package_id"]) for row in rows} == {
        (flow.id, flow.status, flow.package_id) for flow in flows
    }


def test_stacks_lists_every_stack_and_shows_one(run: Run, daocloud_sandbox: Sandbox) -> None:
    other = daocloud_sandbox.world.add_stack("other", stack_ids=["a", "b"])

    listed = json.loads(run("stacks", "-o", "json").out)

    stacks = daocloud_sandbox.world.stacks.values()
    assert {(row["id"], row["name"]) for row in listed} == {(one.id, one.name) for one in stacks}
    row = run("stack", other.id, "-o", "json").row
    assert (row["id"], row["stack_ids"]) == (other.id, ["a", "b"])


def test_build_starts_one_build_of_the_branch(run: Run, daocloud_sandbox: Sandbox) -> None:
    flow = daocloud_sandbox.world.build_flow("web")

    ended = run("build", flow.id, "feature/x", "-o", "json")

    assert ended.code == 0
    (build,) = flow.builds.values()
    assert build.ref == "feature/x"
    assert (ended.row["build_id"], ended.row["build_flow_id"]) == (str(build.id), flow.id)
    assert ended.row["status"] == "Pending"
    assert daocloud_sandbox.effects == {"start_build": 1}


@pytest.mark.parametrize("action", ["start", "stop", "restart"])
def test_a_stack_is_operated_on_once(run: Run, daocloud_sandbox: Sandbox, action: str) -> None:
    shop = daocloud_sandbox.world.stack("shop").id

    ended = run(f"stack-{action}", shop, "-o", "json")

    assert ended.code == 0
    (done,) = daocloud_sandbox.world.actions.values()
    assert ended.row == {"stack_id": shop, "action_id": done.id}
    assert daocloud_sandbox.effects == {f"{action}_stack": 1}


@pytest.mark.parametrize(("outcome", "code"), [("Success", 0), ("Failure", 1), ("Timeout", 1)])
def test_build_can_wait_for_that_build(
    run: Run, daocloud_sandbox: Sandbox, outcome: str, code: int
) -> None:
    """The build itself is read until its end, which the exit code tells."""
    flow = daocloud_sandbox.world.build_flow("web")
    daocloud_sandbox.world.plan_build(BuildPlan(outcome=outcome, polls=2, tag="v9"))

    ended = run("build", flow.id, "master", "--wait", "-o", "json")

    assert ended.code == code
    assert (ended.row["status"], ended.row["tag"]) == (outcome, "v9")
    assert ended.row["build_flow_id"] == flow.id
    assert f"build {ended.row['build_id']} of build flow {flow.id}" in ended.err
    assert daocloud_sandbox.counts["get_build"] == 3
    assert daocloud_sandbox.effects == {"start_build": 1}


@pytest.mark.parametrize(("state", "code"), [("SUCCESS", 0), ("FAILED", 1)])
def test_a_stack_action_can_be_waited_for(
    run: Run, daocloud_sandbox: Sandbox, state: str, code: int
) -> None:
    shop = daocloud_sandbox.world.stack("shop").id
    daocloud_sandbox.world.plan(ActionPlan(state=state, message="no room", polls=1))

    ended = run("stack-restart", shop, "--wait", "-o", "json")

    assert (ended.code, ended.row["state"], ended.row["stack_id"]) == (code, state, shop)
    assert ended.row["action_id"] in ended.err
    assert ("no room" in ended.err) is (code == 1)
    assert daocloud_sandbox.effects == {"restart_stack": 1}


def test_a_build_that_goes_on_exits_with_4(run: Run, daocloud_sandbox: Sandbox) -> None:
    daocloud_sandbox.world.plan_build(BuildPlan(by_hand=True))
    flow = daocloud_sandbox.world.build_flow("web").id

    ended = run("build", flow, "master", "--wait", *SOON, "-o", "json")

    assert (ended.code, ended.row["status"]) == (4, "Pending")


LATER_CALLS = [
    ["stacks"],
    ["stack", "shop"],
    ["stack-stop", "shop"],
    ["stack-action", "shop", "1", "--wait"],
    ["build", "web", "master"],
    ["build-show", "web", "1"],
]


@pytest.mark.parametrize("argv", LATER_CALLS)
def test_an_older_installation_exits_with_1(
    run: Run, daocloud_sandbox: Sandbox, argv: list[str]
) -> None:
    """Where builds and stacks are missing, DaoCloud says no, and nothing is done."""
    daocloud_sandbox.set_options(later_calls=False)

    ended = run(*argv)

    assert (ended.code, ended.out) == (1, "")
    assert "404" in ended.err
    assert daocloud_sandbox.effects == {}


@pytest.mark.parametrize(
    ("api_request", "thing"), [("start_build", "build"), ("stop_stack", "stack-stop")]
)
def test_a_lost_answer_of_a_later_call_exits_with_3(
    run: Run, daocloud_sandbox: Sandbox, api_request: str, thing: str
) -> None:
    """Nobody knows whether it was taken, and it is not sent again."""
    world = daocloud_sandbox.world
    daocloud_sandbox.fault("drop", call=api_request, effect="after")
    more = [world.build_flow("web").id, "master"] if thing == "build" else [world.stack("shop").id]

    ended = run(thing, *more)

    assert (ended.code, ended.out) == (3, "")
    assert "may have been taken" in ended.err
    assert daocloud_sandbox.effects == {api_request: 1}


def test_app_shows_its_config(run: Run, web: str) -> None:
    row = run("app", web, "-o", "json").row

    assert row["id"] == web
    assert row["instances"] == "2"
    assert row["expose_ports"] == ["8080"]


@pytest.mark.parametrize(
    ("command", "more", "app", "state"),
    [
        ("redeploy", ["v2.0.0"], "web", "RUNNING"),
        ("restart", [], "web", "RUNNING"),
        ("stop", [], "web", "STOPPED"),
        ("start", [], "worker", "RUNNING"),
    ],
)
def test_actions_act_once_and_wait(
    run: Run, daocloud_sandbox: Sandbox, command: str, more: list[str], app: str, state: str
) -> None:
    app_id = daocloud_sandbox.world.app(app).id

    ended = run(command, app_id, *more, "--wait", "-o", "json")

    assert ended.code == 0
    assert ended.row["state"] == "SUCCESS"
    assert ended.row["action_name"] == f"{command}_app"
    assert ended.row["action_id"] in ended.err
    assert "SUCCESS after" in ended.err
    assert daocloud_sandbox.effects == {f"{command}_app": 1}
    assert daocloud_sandbox.world.app(app).rest_state == state
    if more:
        assert daocloud_sandbox.world.app(app).release_name == more[0]


def test_without_wait_the_action_can_be_shown_and_awaited_later(
    run: Run, daocloud_sandbox: Sandbox, web: str
) -> None:
    daocloud_sandbox.world.plan(ActionPlan(by_hand=True))
    accepted = run("restart", web, "-o", "json")
    assert accepted.code == 0
    action_id = accepted.row["action_id"]

    assert run("action", web, action_id, "-o", "json").row["state"] == "IN_PROCESS"
    daocloud_sandbox.world.finish_action(action_id)
    ended = run("action", web, action_id, "--wait", "-o", "json")

    assert (ended.code, ended.row["state"]) == (0, "SUCCESS")
    assert daocloud_sandbox.effects == {"restart_app": 1}


def test_so_can_a_build(run: Run, daocloud_sandbox: Sandbox) -> None:
    daocloud_sandbox.world.plan_build(BuildPlan(by_hand=True, tag="v9"))
    flow = daocloud_sandbox.world.build_flow("web").id
    started = run("build", flow, "master", "-o", "json").row

    shown = run("build-show", flow, started["build_id"], "-o", "json").row
    assert shown == started
    daocloud_sandbox.world.finish_build("web")
    ended = run("build-show", "--name", "web", started["build_id"], "--wait", "-o", "json")

    assert (ended.code, ended.row["status"], ended.row["tag"]) == (0, "Success", "v9")
    assert ended.row.keys() == shown.keys()
    assert daocloud_sandbox.effects == {"start_build": 1}


@pytest.mark.parametrize(("state", "code"), [("SUCCESS", 0), ("FAILED", 1)])
def test_so_can_a_stack_s_action(
    run: Run, daocloud_sandbox: Sandbox, state: str, code: int
) -> None:
    daocloud_sandbox.world.plan(ActionPlan(by_hand=True))
    shop = daocloud_sandbox.world.stack("shop").id
    action_id = run("stack-stop", shop, "-o", "json").row["action_id"]

    shown = run("stack-action", shop, action_id, "-o", "json").row
    assert (shown["state"], shown["stack_id"]) == ("IN_PROCESS", shop)
    daocloud_sandbox.world.finish_action(action_id, state)
    ended = run("stack-action", "-n", "shop", action_id, "--wait", "-o", "json")

    assert (ended.code, ended.row["state"], ended.row["stack_id"]) == (code, state, shop)
    assert ended.row.keys() == shown.keys()
    assert daocloud_sandbox.effects == {"stop_stack": 1}


@pytest.mark.parametrize(
    ("argv", "again"),
    [
        (["restart", "{app}"], "action {app} {id}"),
        (["build", "{flow}", "master"], "build-show {flow} {id}"),
        (["stack-stop", "{stack}"], "stack-action {stack} {id}"),
    ],
)
def test_ctrl_c_while_waiting_says_how_to_wait_again(
    run: Run,
    daocloud_sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    argv: list[str],
    again: str,
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("airflow_provider_daocloud.core.waiting.blocking.block", interrupted)
    world = daocloud_sandbox.world
    ids = {
        "app": world.app("web").id,
        "flow": world.build_flow("web").id,
        "stack": world.stack("shop").id,
    }

    ended = run(*(word.format(**ids) for word in argv), "--wait")

    posted = [*world.actions, *(str(number) for number in world.build_flow("web").builds)]
    assert ended.code == 130
    assert f"Wait for it again with `{again.format(**ids, id=posted[0])} --wait`." in ended.err


def test_a_failed_action_exits_with_1_and_the_words_of_daocloud(
    run: Run, daocloud_sandbox: Sandbox, web: str
) -> None:
    daocloud_sandbox.world.plan(ActionPlan(state="FAILED", message="no such image"))

    ended = run("redeploy", web, "v2", "--wait", "-o", "json")

    assert ended.code == 1
    assert "no such image" in ended.err
    assert (ended.row["state"], ended.row["error_message"]) == ("FAILED", "no such image")


@pytest.mark.parametrize("command", ["check", "apps", "restart"])
def test_a_refused_token_exits_with_1(
    run: Run, daocloud_sandbox: Sandbox, web: str, command: str
) -> None:
    daocloud_sandbox.world.revoke("main")

    ended = run(command, *([web] if command == "restart" else []))

    assert (ended.code, ended.out) == (1, "")
    assert "401" in ended.err


def test_an_unknown_app_exits_with_1(run: Run) -> None:
    assert run("app", "no-such-app").code == 1


@pytest.mark.parametrize(
    "argv",
    [
        ["app", "a/b"],
        ["app", ""],
        ["redeploy", "a"],
        ["redeploy", "a", " ", "--wait"],
        ["restart", "a", "--wait", "--timeout", "-1"],
        ["restart", "a", "--wait", "--timeout", "5"],  # below --poll-interval
        ["rollback", "a", "--wait", "--to", "v1", "--timeout", "5"],
        ["rollback", "a", "--to", ""],
        ["restart", "a", "--wait", "--poll-interval", "0"],
        ["restart", "a", "--wait", "--timeout", "soon"],
        ["apps", "-o", "xml"],
        ["apps", "--conn-id", "no_such_connection"],
        ["stack", "a/b"],
        ["stack-start", ""],
        ["stack-start"],
        ["build", "a/b", "master"],
        ["build", "a", " "],
        ["build", "a", "master", "--wait", "--timeout", "-1"],
        ["stack-stop", "a", "--wait", "--max-outage", "-1"],
        ["build", "a"],
        ["build-show", "a", "b/c"],
        ["build-show", "a"],
        ["stack-action", "a", "b", "--wait", "--timeout", "-1"],
        ["launch", "a"],
        [],
    ],
)
def test_unusable_input_exits_with_2_and_sends_nothing(
    run: Run, daocloud_sandbox: Sandbox, argv: list[str], airflow_home: Path
) -> None:
    ended = run(*argv)

    assert (ended.code, ended.out) == (2, "")
    assert ended.err
    assert daocloud_sandbox.counts == {}


def test_a_connection_without_a_token_exits_with_2(
    run: Run, daocloud_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_EMPTY", json.dumps({"conn_type": "daocloud"}))

    ended = run("apps", "--conn-id", "empty")

    assert ended.code == 2
    assert "connection 'empty', field 'password'" in ended.err


def test_what_cannot_be_read_exits_with_3(run: Run, daocloud_sandbox: Sandbox, web: str) -> None:
    daocloud_sandbox.fault("status", status=503, call="list_apps", times=None)
    assert run("apps").code == 3
    daocloud_sandbox.fault("status", status=503, call="get_action", times=None)
    ended = run("restart", web, "--wait", "--max-outage", "0")
    assert ended.code == 3
    assert "could not be read for" in ended.err


@pytest.mark.parametrize("kind", ["drop", "html", "truncated", "empty", "no_action_id"])
def test_an_answer_that_never_came_exits_with_3_and_is_not_sent_again(
    run: Run, daocloud_sandbox: Sandbox, web: str, kind: Any
) -> None:
    daocloud_sandbox.fault(kind, call="restart_app", effect="after")

    ended = run("restart", web, "--wait")

    assert ended.code == 3
    assert "may have been taken" in ended.err
    assert daocloud_sandbox.effects == {"restart_app": 1}


def test_time_that_is_up_exits_with_4(run: Run, daocloud_sandbox: Sandbox, web: str) -> None:
    daocloud_sandbox.world.plan(ActionPlan(by_hand=True))

    ended = run("restart", web, "--wait", *SOON, "-o", "json")

    assert (ended.code, ended.row["state"]) == (4, "IN_PROCESS")
    assert "did not become SUCCESS within 0.1 s; it is IN_PROCESS" in ended.err


def test_check_says_what_is_seen(run: Run) -> None:
    ended = run("check", "-o", "json")

    assert ended.code == 0
    assert "4 apps and 3 build flows" in ended.row["message"]


def test_check_says_at_once_that_a_web_page_answers(run: Run, daocloud_sandbox: Sandbox) -> None:
    """A wrong base URL is no fault that passes: it is asked once, and once more for the code."""
    daocloud_sandbox.fault("html", call="list_apps", times=None)

    ended = run("check")

    assert (ended.code, ended.out) == (3, "")
    assert f"No DaoCloud API answers at {daocloud_sandbox.url}" in ended.err
    assert "check the connection's host (the base URL) and prefix" in ended.err
    assert daocloud_sandbox.counts == {"list_apps": 2}


def test_ctrl_c_while_it_is_sent_says_that_nobody_knows(
    run: Run, web: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    for method, argv, look_at in (
        ("restart_app", ["restart", web], f"`app {web}`"),
        ("stop_stack", ["stack-stop", "x"], "`stack x`"),
        ("start_build", ["build", "x", "master"], "`build-flows`"),
    ):
        monkeypatch.setattr(DaoCloudHook, method, interrupted)

        ended = run(*argv)

        assert ended.code == 130
        assert "may or may not have been taken" in ended.err
        assert look_at in ended.err


class Terminal(io.StringIO):
    """A standard error that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_progress_and_the_result_stays_clean(
    run: Run, web: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")

    ended = run("restart", web, "--wait", "-o", "json")

    assert (ended.code, ended.row["state"]) == (0, "SUCCESS")
    assert "IN_PROCESS" in terminal.getvalue()
    assert "next poll" not in terminal.getvalue()


@pytest.fixture
def started(daocloud_sandbox: Sandbox) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function that starts ``python -m`` of a module."""
    processes: list[subprocess.Popen[str]] = []

    # A shell's background job ignores Ctrl-C, and so would what it starts: the tests may be one.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def start(*argv: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", *argv],
            cwd=ROOT,
            env=env or dict(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_ctrl_c_while_waiting_says_what_goes_on(
    started: Callable[..., subprocess.Popen[str]], daocloud_sandbox: Sandbox, web: str
) -> None:
    """A real SIGINT: the action is named, nothing is printed as a result, the code is 130."""
    daocloud_sandbox.world.plan(ActionPlan(by_hand=True))
    process = started("airflow_provider_daocloud", "restart", web, "--wait")
    daocloud_sandbox.service.wait_for(lambda: daocloud_sandbox.counts["get_action"] > 0, 60)

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)

    assert (process.returncode, out) == (130, "")
    (action_id,) = daocloud_sandbox.world.actions
    assert f"action {action_id} of app {web} continues: DaoCloud cannot cancel it" in err
    assert "Traceback" not in err


def test_a_connection_in_the_database_is_found_and_stdout_is_the_result_alone(
    started: Callable[..., subprocess.Popen[str]], daocloud_sandbox: Sandbox, airflow_home: Path
) -> None:
    from airflow.models import Connection
    from airflow.utils.session import create_session

    conn_id = f"in_database_{time.monotonic_ns()}"
    with create_session() as session:
        session.add(
            Connection(  # noqa: AIR311 - a row of the database
                conn_id=conn_id,
                conn_type="daocloud",
                host=daocloud_sandbox.url,
                password=daocloud_sandbox.token,
            )
        )
    process = started("airflow_provider_daocloud", "apps", "-c", conn_id, "-o", "json")

    out, err = process.communicate(timeout=60)

    assert process.returncode == 0, err
    assert {row["name"] for row in json.loads(out)} == {"web", "api", "worker", "preview"}
    assert daocloud_sandbox.token not in err


# Where the output goes in a shell: a pipe whose reader is gone, no stream at all, a full disk.
NOBODY_READS = {
    "stdout": "{ %s; echo $? >&3; } 3>&2 | true",
    "stderr": "{ %s 2>&1 >/dev/null; echo $? >&3; } 3>&2 | true",
    "both": "{ %s 2>&1; echo $? >&3; } 3>&2 | true",
    "closed": "%s >&- 2>&-; echo $? >&2",
    "full": "%s >/dev/full; echo $? >&2",
}


@pytest.mark.parametrize(
    ("how", "outcome", "code"),
    [
        ("stdout", "SUCCESS", 0),
        ("stderr", "SUCCESS", 0),
        ("both", "FAILED", 1),
        ("closed", "SUCCESS", 0),
        ("full", "FAILED", 1),
    ],
)
def test_the_exit_code_tells_of_the_action_whoever_reads(
    daocloud_sandbox: Sandbox, web: str, how: str, outcome: str, code: int
) -> None:
    """A script that took a closed pipe for a failure would act twice."""
    if LINE < (3, 0) and how in ("stderr", "both"):
        pytest.skip("Airflow 2 ends where its warnings cannot be written, before anything is sent")
    daocloud_sandbox.set_options(speed=20)
    daocloud_sandbox.world.plan(ActionPlan(state=outcome))
    output = {"SUCCESS": "json", "FAILED": "table"}[outcome]
    command = f"{sys.executable} -m airflow_provider_daocloud redeploy {web} v9 --wait -o {output}"

    ended = subprocess.run(
        ["bash", "-c", NOBODY_READS[how] % command],
        cwd=ROOT,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )

    assert ended.stderr.splitlines()[-1] == str(code), ended.stderr
    assert ("The result could not be written: " in ended.stderr) == (how == "full")
    assert "Traceback" not in ended.stderr
    assert daocloud_sandbox.effects == {"redeploy_app": 1}


@pytest.mark.parametrize("output", ["table", "plain", "yaml", "json"])
def test_a_terminal_without_the_characters_gets_their_escapes(
    daocloud_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    """Results and errors alike; and a name in brackets is no markup."""
    for name in ("商店", "[/red]"):
        daocloud_sandbox.world.add_app(name)
    streams = [io.TextIOWrapper(io.BytesIO(), "ascii", write_through=True) for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    for argv, code in ((["apps"], 0), (["app", "-n", "商店"], 0), (["app", "-n", "店"], 1)):
        with pytest.raises(SystemExit) as caught:
            cli.main([*argv, "-o", output])
        assert caught.value.code == code
    out, err = (stream.buffer.getvalue().decode("ascii") for stream in streams)
    assert "\\u5546\\u5e97" in out.casefold()
    assert "[/red]" in out
    assert "no app is called '\\u5e97'" in err


INSTALLED = any(
    point.value.startswith("airflow_provider_daocloud.")
    for point in entry_points(group="apache_airflow_provider")
)


@pytest.mark.skipif(LINE < (3, 2), reason="providers have commands from Airflow 3.2 on")
@pytest.mark.skipif(not INSTALLED, reason="the package is not installed here")
def test_airflow_has_the_same_commands(
    started: Callable[..., subprocess.Popen[str]], daocloud_sandbox: Sandbox, airflow_home: Path
) -> None:
    process = started("airflow", "daocloud", "apps", "-o", "json")

    out, err = process.communicate(timeout=60)

    assert process.returncode == 0, err
    assert {row["name"] for row in json.loads(out)} == {"web", "api", "worker", "preview"}


@pytest.mark.parametrize("argv", [["--name", "web", "v2.0.0"], ["web", "v2.0.0", "--wait", "-n"]])
def test_an_app_can_be_given_by_its_name(
    run: Run, daocloud_sandbox: Sandbox, web: str, argv: list[str]
) -> None:
    ended = run("redeploy", *argv, "-o", "json")
    assert ended.code == 0
    assert ended.row["app_id"] == web
    assert f"'web' is {web}." in ended.err
    assert daocloud_sandbox.effects == {"redeploy_app": 1}
    assert run("app", "web", "--name", "-o", "json").row["id"] == web


def test_a_name_may_be_in_another_unicode_form(run: Run, daocloud_sandbox: Sandbox) -> None:
    app = daocloud_sandbox.world.add_app(normalize("NFC", "café"))
    ended = run("app", normalize("NFD", "café"), "--name", "-o", "json")
    assert (ended.code, ended.row["id"]) == (0, app.id)


def test_so_can_a_build_flow_and_a_stack(run: Run, daocloud_sandbox: Sandbox) -> None:
    world = daocloud_sandbox.world
    stack = world.add_stack("my shop")
    assert run("stack", "my shop", "-n", "-o", "json").row["id"] == stack.id
    ended = run("build", "--name", "web", "master", "-o", "json")
    assert ended.row["build_flow_id"] == world.build_flow("web").id
    assert daocloud_sandbox.effects == {"start_build": 1}


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("wbe", 1, "no app is called 'wbe'. There are: 'api', 'preview', 'web', 'worker'."),
        ("api", 1, "2 apps are called 'api': "),
        (" ", 2, "app_name: is empty."),
    ],
)
def test_a_name_that_is_not_one_app_acts_on_none(
    run: Run, daocloud_sandbox: Sandbox, name: str, code: int, text: str
) -> None:
    if name == "api":
        daocloud_sandbox.world.add_app("api")
    ended = run("restart", name, "--name", "--wait")
    assert (ended.code, ended.out) == (code, "")
    assert text in ended.err
    assert daocloud_sandbox.effects == {}
