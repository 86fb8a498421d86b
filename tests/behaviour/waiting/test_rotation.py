"""A token that is rotated while a worker waits: the Connection is looked up once more.

For waits in the triggerer, see ``test_triggers.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_daocloud.api.errors import AuthenticationError
from airflow_provider_daocloud.core.waiting.backoff import Backoff
from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook
from airflow_provider_daocloud.operators.daocloud import DaoCloudRedeployOperator
from airflow_provider_daocloud.sandbox import ActionPlan, Sandbox, Served
from airflow_provider_daocloud.sensors.daocloud import DaoCloudActionSensor
from tests.support.modes import HAS_STORE, Run, rotate

SENSOR_MODES = ("poke", "reschedule")


def once_served(sandbox: Sandbox, call: str, step: Callable[[], object]) -> None:
    """Do something when a call is answered for the first time, before its answer goes out."""

    def served(one: Served) -> None:
        if one.call == call:
            sandbox.service.on_served = None
            step()

    sandbox.service.on_served = served


def redeploy(sandbox: Sandbox, **arguments: Any) -> Run:
    """Return a try of a blocking redeploy, whose action ends after some polls."""
    app = sandbox.world.add_app("web", release_name="v1")
    sandbox.world.plan(ActionPlan(polls=2, app_id=app.id, times=None))
    given: dict[str, Any] = {"poll_interval": 0.05, "deferrable": False, "settle_time": 0.1}
    return Run(
        lambda: DaoCloudRedeployOperator(
            task_id="act", app_id=app.id, release_name="v2", **given | arguments
        )
    )


def sensor(sandbox: Sandbox, mode: str) -> Run:
    """Return a try of a sensor, whose action ends after some polls."""
    app = sandbox.world.add_app("web")
    sandbox.world.plan(ActionPlan(polls=2, app_id=app.id))
    action_id = sandbox.world.operate(app.id, "restart").id
    return Run(
        lambda: DaoCloudActionSensor(
            task_id="wait",
            app_id=app.id,
            action_id=action_id,
            mode=mode,
            poke_interval=0.05,
            deferrable=False,
        )
    )


def test_a_blocking_operator_goes_on_with_the_new_token(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = redeploy(sandbox)
    once_served(sandbox, "get_action", lambda: rotate(sandbox, monkeypatch, "a-new-token"))
    ending = run.to_the_end()
    assert (ending.error, ending.result["state"]) == (None, "SUCCESS")
    assert sandbox.effects["redeploy_app"] == 1


@pytest.mark.parametrize("mode", SENSOR_MODES)
def test_a_sensor_goes_on_with_the_new_token(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    run = sensor(sandbox, mode)
    once_served(sandbox, "get_action", lambda: rotate(sandbox, monkeypatch, "a-new-token"))
    ending = run.to_the_end()
    assert (ending.error, ending.result["state"]) == (None, "SUCCESS")


@pytest.mark.parametrize("make", [redeploy, *SENSOR_MODES])
def test_with_the_same_token_it_is_permanent_when_it_stays(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, make: Any
) -> None:
    run = redeploy(sandbox) if make is redeploy else sensor(sandbox, make)
    once_served(sandbox, "get_action", lambda: rotate(sandbox, monkeypatch, sandbox.token))
    ending = run.to_the_end()
    assert ending.kind == "AirflowFailException"
    assert "HTTP 401" in str(ending.error)
    # A moment ago this token could read: it is tried again for a while, and then no more.
    assert sandbox.counts["get_action"] > 2


@pytest.mark.skipif(not HAS_STORE, reason="the journal is read from the task state store")
def test_what_is_read_before_a_post_is_dated_by_the_server_of_the_new_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The clock of the last answer, not of the last answer that the old token got."""
    monkeypatch.setattr(
        "airflow_provider_daocloud.core.submission.submission.BACKOFF",
        Backoff(max_interval=0.05, initial_interval=0.05),
    )
    now = [1_800_000_000.0]
    with Sandbox(fill=None, clock=lambda: now[0]) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_DEFAULT", sandbox.connection_json())
        run = redeploy(sandbox)
        (app,) = sandbox.world.apps.values()
        another = sandbox.world.operate(app.id, "redeploy", "v3")

        def served(one: Served) -> None:
            now[0] += 1.0
            if another.ended_at is None:
                sandbox.world.finish_action(another.id)
                rotate(sandbox, monkeypatch, "a-new-token")

        sandbox.service.on_served = served
        assert run.to_the_end().error is None
        assert run.store is not None
        entry = run.store.get("daocloud_action")
        observed_at = [one.at for one in sandbox.log if one.call == "get_app"]
        assert len(observed_at) == 3  # the second was refused
        assert entry["snapshot"]["server_time"] == observed_at[-1]


# --- the hook ------------------------------------------------------------------------------------


def test_the_hook_looks_its_connection_up_once_more(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For whatever it reads; with the same token, or none that can be used, the 401 is final."""
    hook = DaoCloudHook()
    app = sandbox.world.add_app("web")
    assert hook.get_app(app.id).name == "web"
    rotate(sandbox, monkeypatch, "a-new-token")
    assert hook.get_app(app.id).name == "web"
    assert [one.name for one in hook.list_apps()] == ["web"]
    sandbox.world.revoke("new")
    with pytest.raises(AuthenticationError):
        hook.get_app(app.id)
    monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_DEFAULT", "daocloud://")  # no token
    with pytest.raises(AuthenticationError):
        hook.get_app(app.id)
    monkeypatch.delenv("AIRFLOW_CONN_DAOCLOUD_DEFAULT")
    with pytest.raises(AuthenticationError):
        hook.get_app(app.id)


def test_an_action_is_not_sent_again(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """It provably had no effect, but what was read before was read with another Connection."""
    hook = DaoCloudHook()
    app = sandbox.world.add_app("web")
    hook.get_app(app.id)
    rotate(sandbox, monkeypatch, "a-new-token")
    with pytest.raises(AuthenticationError):
        hook.restart_app(app.id)
    assert sandbox.counts["restart_app"] == 1
