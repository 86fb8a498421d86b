"""The notifier: called back by Airflow, awaited, and what it refuses."""

from __future__ import annotations

import asyncio
import importlib.util
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_daocloud.api.errors import (
    CallError,
    InputError,
    NameMatchError,
    OutcomeUnknownError,
    ProtocolError,
)
from airflow_provider_daocloud.notifications.daocloud import DaoCloudNotifier
from airflow_provider_daocloud.sandbox import ActionPlan, Sandbox
from airflow_provider_daocloud.triggers.deferral import airflow_version
from tests.support.modes import log_of

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


# One notifier for tasks of several apps.
SHARED_DAG_FILE = """
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_daocloud.notifications.daocloud import DaoCloudNotifier

{apps}
heal = DaoCloudNotifier(
    action="redeploy",
    app_name="{{{{ ti.task_id }}}}",
    release_name="{{{{ ti.task_id }}}}-9",
    daocloud_conn_id="{{{{ ti.task_id and 'daocloud_default' }}}}",
)

with DAG("shared", schedule=None, default_args={{"on_failure_callback": heal}}) as dag:
    for app in apps:

        @task(task_id=app)
        def probe():
            raise RuntimeError("the page does not come up")

        probe()
"""


def load(file: Path) -> Any:
    """Return a DAG file as a module."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
    module = load(file)
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


@pytest.mark.skipif(airflow_version() < (3, 1), reason="Airflow before 3.1 awaits no notifier")
def test_each_await_renders_anew(daocloud_sandbox: Sandbox) -> None:
    one: Any = notifier(app_name="{{ params.app }}")

    async def await_it(app: str) -> None:
        one.context = {"params": {"app": app}, "dag": None}
        await one

    for app in APPS[:2]:
        asyncio.run(await_it(app))
    assert [app for app, _ in released(daocloud_sandbox)] == APPS[:2]
    assert one.app_name == "{{ params.app }}"


APPS = ["web", "api", "worker", "preview"]


def released(sandbox: Sandbox) -> list[tuple[str, str | None]]:
    """Return which app was asked to run which release, one pair for each action."""
    names = {app.id: app.name for app in sandbox.world.apps.values()}
    actions = sandbox.world.actions.values()
    return [(names[str(action.app_id)], action.release_name) for action in actions]


@pytest.fixture
def shared_file(airflow_home: Path, daocloud_sandbox: Sandbox) -> Path:
    """Return a DAG file whose tasks share a notifier, one task for an app."""
    file = airflow_home / "dags" / "shared.py"
    file.write_text(SHARED_DAG_FILE.format(apps=f"apps = {APPS!r}"))
    return file


def test_tasks_that_share_a_notifier_act_each_on_its_own_app(
    shared_file: Path, daocloud_sandbox: Sandbox
) -> None:
    """One process calls back for all of them."""
    module = load(shared_file)
    before = {field: getattr(module.heal, field) for field in module.heal.template_fields}

    module.dag.test()

    assert sorted(released(daocloud_sandbox)) == sorted((app, f"{app}-9") for app in APPS)
    after = {field: getattr(module.heal, field) for field in module.heal.template_fields}
    assert after == before


@pytest.mark.skipif(airflow_version() < (3, 3), reason="earlier Airflow calls back in another way")
def test_a_doubled_call_of_the_dag_processor_acts_once(
    shared_file: Path, daocloud_sandbox: Sandbox
) -> None:
    """For a task whose worker died, the scheduler can ask twice; one process answers both."""
    import structlog
    from airflow.callbacks.callback_requests import TaskCallbackRequest
    from airflow.dag_processing import processor

    dag = load(shared_file).dag

    def request(app: str, task_instance: uuid.UUID) -> Any:
        instance = {"id": task_instance, "task_id": app, "dag_id": "shared", "run_id": "r"}
        return TaskCallbackRequest.model_validate(
            {
                "filepath": "shared.py",
                "bundle_name": "dags-folder",
                "bundle_version": None,
                "msg": "no heartbeat",
                "ti": instance | {"try_number": 1, "dag_version_id": uuid.uuid4()},
            }
        )

    requests = [request(app, uuid.uuid4()) for app in APPS]
    bag: Any = SimpleNamespace(dags={"shared": dag})
    processor._execute_callbacks(bag, requests + requests, structlog.get_logger())

    assert sorted(released(daocloud_sandbox)) == sorted((app, f"{app}-9") for app in APPS)

    # A later try has an id of its own.
    processor._execute_callbacks(bag, [request("web", uuid.uuid4())], structlog.get_logger())
    assert daocloud_sandbox.effects == {"redeploy_app": len(APPS) + 1}


def context_of(**fields: Any) -> Any:
    """Return a context as a callback gets it, of a task instance with these fields."""
    instance = {"task_id": "t", "dag_id": "d", "run_id": "r", "map_index": -1, "try_number": 1}
    return {"dag": None, "ti": SimpleNamespace(**(instance | {"state": "failed"} | fields))}


@pytest.mark.parametrize(
    ("first", "second", "actions"),
    [
        (context_of(run_id="a"), context_of(run_id="a"), 1),
        (context_of(run_id="b"), context_of(run_id="b", try_number=2), 2),
        (context_of(run_id="c"), context_of(run_id="c", map_index=1), 2),
        (context_of(run_id="d", state="running"), context_of(run_id="d"), 2),
        (context_of(run_id="e"), context_of(run_id="e") | {"reason": "task_failure"}, 2),
        ({"dag": None}, {"dag": None}, 2),
    ],
    ids=["same", "next try", "mapped", "start and failure", "of the DAG", "no task"],
)
def test_a_second_call_for_the_same_try_sends_nothing(
    daocloud_sandbox: Sandbox, first: dict[str, Any], second: dict[str, Any], actions: int
) -> None:
    one = notifier()
    one(first)
    one(second)
    assert daocloud_sandbox.effects == {"restart_app": actions}
    notifier(app_name="api")(first)  # another notifier of the same task
    assert daocloud_sandbox.effects == {"restart_app": actions + 1}


def test_a_second_call_after_a_doubtful_post_sends_nothing(daocloud_sandbox: Sandbox) -> None:
    daocloud_sandbox.fault("drop", call="restart_app", effect="after")
    context = context_of(run_id="doubtful")
    one = notifier()
    with pytest.raises(OutcomeUnknownError):
        one.notify(context)
    one.notify(context)
    assert daocloud_sandbox.counts["restart_app"] == 1


def test_a_second_call_after_a_refusal_acts(daocloud_sandbox: Sandbox) -> None:
    daocloud_sandbox.fault("status", status=403, call="restart_app")
    context = context_of(run_id="refused")
    one = notifier()
    with pytest.raises(CallError):
        one.notify(context)
    one.notify(context)
    assert daocloud_sandbox.effects == {"restart_app": 1}


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
