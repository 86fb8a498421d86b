"""The notifier: called back by Airflow, awaited, and what it refuses."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_daocloud.api.errors import (
    CallError,
    InputError,
    NameMatchError,
    OutcomeUnknownError,
    ProtocolError,
)
from airflow_provider_daocloud.deferral import airflow_version
from airflow_provider_daocloud.notifications.daocloud import DaoCloudNotifier
from airflow_provider_daocloud.sandbox import ActionPlan, Sandbox
from tests.waiting.modes import log_of

DAG_FILE = """
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_daocloud.notifications.daocloud import DaoCloudNotifier

with DAG("smoke", schedule=None, params={"app": "web"}) as dag:

    heal = DaoCloudNotifier(action="restart", app_name="{{ params.app }}")

    @task(on_failure_callback=heal, retries=1, retry_delay=0)
    def smoke_test():
        raise RuntimeError("the page does not come up")

    @task(on_failure_callback=heal)
    def another_test():
        pass

    smoke_test()
    another_test()
"""


def notifier(**arguments: Any) -> DaoCloudNotifier:
    return DaoCloudNotifier(**({"action": "restart", "app_name": "web"} | arguments))


def notify(one: DaoCloudNotifier, how: str) -> None:
    """Notify as a worker or as a triggerer does; what is raised comes out in both."""
    if how == "called":
        one.notify({})
    else:
        asyncio.run(one.async_notify({}))


BOTH = pytest.mark.parametrize("how", ["called", "awaited"])


# --- in Airflow -----------------------------------------------------------------------------------


def test_a_task_that_fails_restarts_the_app_once(
    airflow_home: Path, daocloud_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its last try; a task that succeeds restarts nothing."""
    file = airflow_home / "dags" / "smoke.py"
    file.write_text(DAG_FILE)
    spec = importlib.util.spec_from_file_location("smoke", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert not daocloud_sandbox.connections  # parsing asks for nothing

    run = module.dag.test()

    assert str(run.state) == "failed"
    assert daocloud_sandbox.effects == {"restart_app": 1}
    (action,) = daocloud_sandbox.world.actions.values()
    assert action.app_id == daocloud_sandbox.world.app("web").id


@pytest.mark.skipif(airflow_version() < (3, 1), reason="Airflow before 3.1 has no deadlines")
def test_a_deadline_alert_awaits_it(daocloud_sandbox: Sandbox) -> None:
    """As Airflow's triggerer runs the callback of a deadline."""
    callback = pytest.importorskip(
        "airflow.triggers.callback", reason="this Airflow runs it in another way"
    )
    trigger = callback.CallbackTrigger
    path = f"{DaoCloudNotifier.__module__}.{DaoCloudNotifier.__qualname__}"
    arguments = {"action": "stop", "app_name": "web", "context": {"dag_run": {"run_id": "r"}}}

    async def events() -> list[Any]:
        return [event.payload async for event in trigger(path, arguments).run()]

    last = asyncio.run(events())[-1]
    assert last["state"] == "success", last
    assert daocloud_sandbox.effects == {"stop_app": 1}


# --- what it does ---------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("action", ["start", "stop", "restart", "redeploy"])
def test_each_action_is_posted_once_and_not_waited_for(
    daocloud_sandbox: Sandbox, action: str, how: str
) -> None:
    app = daocloud_sandbox.world.app("web")
    daocloud_sandbox.world.plan(ActionPlan(by_hand=True))
    more = {"release_name": "v2"} if action == "redeploy" else {}
    one = notifier(action=action, app_id=app.id, app_name=None, **more)
    log = log_of(one)
    notify(one, how)
    assert daocloud_sandbox.effects == {f"{action}_app": 1}
    assert daocloud_sandbox.counts == {f"{action}_app": 1}
    ((action_id, posted),) = daocloud_sandbox.world.actions.items()
    assert posted.app_id == app.id
    assert any(action_id in line for _, line in log.lines)


@BOTH
def test_a_name_is_found_with_one_call_and_each_time_anew(
    daocloud_sandbox: Sandbox, how: str
) -> None:
    one = notifier()
    notify(one, how)
    notify(one, how)
    assert daocloud_sandbox.counts == {"list_apps": 2, "restart_app": 2}
    assert one.app_id is None


@BOTH
@pytest.mark.parametrize("effect", ["before", "after"])
@pytest.mark.parametrize("kind", ["drop", "html", "truncated", "empty", "no_action_id"])
def test_a_post_that_may_have_arrived_is_not_sent_again(
    daocloud_sandbox: Sandbox, how: str, kind: Any, effect: Any
) -> None:
    daocloud_sandbox.fault(kind, call="restart_app", effect=effect)
    one = notifier()
    log = log_of(one)
    with pytest.raises((OutcomeUnknownError, ProtocolError), match="may have been taken"):
        notify(one, how)
    assert daocloud_sandbox.effects["restart_app"] == (effect == "after")
    assert daocloud_sandbox.counts["restart_app"] == 1
    assert any("Nobody can tell" in line for _, line in log.lines)


@BOTH
def test_what_surely_never_acted_is_sent_again(daocloud_sandbox: Sandbox, how: str) -> None:
    daocloud_sandbox.fault("too_many", call="restart_app", retry_after=1)
    notify(notifier(), how)
    assert daocloud_sandbox.effects == {"restart_app": 1}


@BOTH
def test_no_error_and_no_log_has_the_token(
    daocloud_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    wrong = "not-the-token-of-this-account"
    value = daocloud_sandbox.connection_json().replace(daocloud_sandbox.token, wrong)
    monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_DEFAULT", value)
    one = notifier()
    log = log_of(one)
    with pytest.raises(CallError, match="401") as caught:
        notify(one, how)
    assert wrong not in f"{caught.value!r} {caught.value} {log.lines} {one!r} {vars(one)}"
    assert daocloud_sandbox.effects == {}


# --- what it refuses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("action", {"action": "launch"}),
        ("app_id", {"app_name": None}),
        ("app_id", {"app_id": "a"}),
        ("release_name", {"release_name": "v1"}),
        ("release_name", {"action": "redeploy"}),
    ],
    ids=str,
)
def test_a_bad_argument_is_an_error_of_the_dag_file(field: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"^{field}: "):
        notifier(**arguments)


@BOTH
@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("app_name", {"app_name": ""}),
        ("app_name", {"app_name": "{{ x }}"}),
        ("app_id", {"app_name": None, "app_id": "None"}),
        ("app_id", {"app_name": None, "app_id": "../x"}),
        ("release_name", {"action": "redeploy", "release_name": ""}),
    ],
    ids=str,
)
def test_what_is_bad_after_rendering_is_not_sent(
    daocloud_sandbox: Sandbox, how: str, field: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match=f"^{field}: "):
        notify(notifier(**arguments), how)
    assert not daocloud_sandbox.connections


@BOTH
def test_a_name_of_no_app_acts_on_none(daocloud_sandbox: Sandbox, how: str) -> None:
    with pytest.raises(NameMatchError, match=r"no app is called 'wbe'\. There are: 'api'"):
        notify(notifier(app_name="wbe"), how)
    assert daocloud_sandbox.effects == {}


def test_the_fields_are_rendered(daocloud_sandbox: Sandbox) -> None:
    """As Airflow calls it: with the context of what has failed."""
    one = notifier(app_name="{{ params.app }}", daocloud_conn_id="{{ params.conn }}")
    one({"params": {"app": "api", "conn": "daocloud_default"}, "dag": None})
    (action,) = daocloud_sandbox.world.actions.values()
    assert action.app_id == daocloud_sandbox.world.app("api").id
