"""The notifier of workloads. What all notifiers share is in test_notifier.py."""

from __future__ import annotations

import asyncio
import json
import uuid
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_daocloud.api.errors import CallError, InputError, OutcomeUnknownError
from airflow_provider_daocloud.notifications.enterprise import DaoCloudWorkloadNotifier
from airflow_provider_daocloud.sandbox.enterprise.server import EnterpriseSandbox
from tests.support.modes import log_of

BOTH = pytest.mark.parametrize("how", ["called", "awaited"])


def notifier(**arguments: Any) -> DaoCloudWorkloadNotifier:
    given = {"action": "restart", "workload_name": "web", "cluster": "staging", "namespace": "shop"}
    return DaoCloudWorkloadNotifier(**given | arguments)


def notify(one: DaoCloudWorkloadNotifier, how: str) -> None:
    if how == "called":
        one.notify({})
    else:
        asyncio.run(one.async_notify({}))


def shown(sandbox: EnterpriseSandbox) -> Any:
    return sandbox.world.workloads.find("Deployment", "staging", "shop", "web").object["spec"]


@BOTH
@pytest.mark.parametrize("action", ["stop", "restart"])
def test_each_action_is_sent_once(
    daocloud_enterprise_sandbox: EnterpriseSandbox, action: str, how: str
) -> None:
    one = notifier(action=action)
    log = log_of(one)
    notify(one, how)
    assert sum(daocloud_enterprise_sandbox.effects.values()) == 1
    assert (shown(daocloud_enterprise_sandbox)["replicas"] == 0) is (action == "stop")
    ((_, line),) = log.lines
    assert line.startswith(f"DaoCloud has accepted the {action} of deployment web, which is not ")


def test_it_starts_what_was_stopped(daocloud_enterprise_sandbox: EnterpriseSandbox) -> None:
    notifier(action="stop").notify({})
    notifier(action="start").notify({})
    assert shown(daocloud_enterprise_sandbox)["replicas"] == 3


@pytest.mark.parametrize(
    ("arguments", "image"),
    [
        ({"tag": "2.0"}, "registry.example/shop/web:2.0"),
        ({"image": "other/web:3"}, "other/web:3"),
        ({"image": "other/proxy:3", "container": "proxy"}, "other/proxy:3"),
    ],
)
def test_it_deploys(
    daocloud_enterprise_sandbox: EnterpriseSandbox, arguments: dict[str, str], image: str
) -> None:
    notifier(action="deploy", **arguments).notify({})
    containers = shown(daocloud_enterprise_sandbox)["template"]["spec"]["containers"]
    assert len(containers) == 2
    assert image in [one["image"] for one in containers]
    assert daocloud_enterprise_sandbox.effects == {"patch_deployment": 1}


def test_the_place_is_the_connections(
    daocloud_enterprise_sandbox: EnterpriseSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = notifier(cluster=None, namespace=None)
    extra = {"cluster": "staging", "namespace": "shop"}
    connection = daocloud_enterprise_sandbox.connection_json(extra=extra)
    monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_ENTERPRISE_DEFAULT", connection)
    one.notify({})
    assert "annotations" in shown(daocloud_enterprise_sandbox)["template"]["metadata"]


def test_it_is_rendered_for_each_call_and_acts_once_for_one_try(
    daocloud_enterprise_sandbox: EnterpriseSandbox,
) -> None:
    """The same identity as a second call of Airflow's for the same try."""
    ti = SimpleNamespace(id=str(uuid.uuid4()), dag_id="d", task_id="t", run_id="r", state="failed")
    context = {"dag": None, "ti": ti, "name": "web"}
    one = notifier(workload_name="{{ name }}")
    one(context)
    one(context)
    assert daocloud_enterprise_sandbox.effects == {"patch_deployment": 1}
    assert one.workload_name == "{{ name }}"


@BOTH
def test_what_may_have_arrived_is_not_sent_again(
    daocloud_enterprise_sandbox: EnterpriseSandbox, how: str
) -> None:
    daocloud_enterprise_sandbox.fault("drop", call="patch_deployment", effect="after")
    one = notifier()
    log = log_of(one)
    with pytest.raises(OutcomeUnknownError):
        notify(one, how)
    assert daocloud_enterprise_sandbox.counts["patch_deployment"] == 1
    assert any("Nobody can tell" in line for _, line in log.lines)


@BOTH
def test_no_error_and_no_log_has_the_key(
    daocloud_enterprise_sandbox: EnterpriseSandbox, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    wrong = "not.the.key"
    fields = json.loads(daocloud_enterprise_sandbox.connection_json()) | {"password": wrong}
    monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_ENTERPRISE_DEFAULT", json.dumps(fields))
    one = notifier()
    log = log_of(one)
    with pytest.raises(CallError) as caught:
        notify(one, how)
    assert wrong not in f"{caught.value!r} {caught.value} {log.lines} {one!r} {vars(one)}"
    assert daocloud_enterprise_sandbox.effects == {}


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("action", {"action": "redeploy"}),
        ("workload_kind", {"workload_kind": "pod"}),
        ("workload_kind", {"workload_kind": "daemonset", "action": "stop"}),
        ("image", {"action": "deploy"}),
        ("image", {"action": "deploy", "image": "a:1", "tag": "1"}),
        ("image", {"action": "restart", "tag": "1"}),
    ],
)
def test_a_bad_argument_is_an_error_of_the_dag_file(field: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"^{field}: "):
        notifier(**arguments)


@BOTH
@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("workload_name", {"workload_name": ""}),
        ("cluster", {"cluster": "{{ x }}"}),
        ("tag", {"action": "deploy", "tag": "a b"}),
        ("container", {"action": "deploy", "tag": "1", "container": "nobody"}),
    ],
)
def test_what_is_bad_after_rendering_is_not_sent(
    daocloud_enterprise_sandbox: EnterpriseSandbox,
    how: str,
    field: str,
    arguments: dict[str, Any],
) -> None:
    with pytest.raises(InputError, match=field):
        notify(notifier(**arguments), how)
    assert daocloud_enterprise_sandbox.effects == {}
