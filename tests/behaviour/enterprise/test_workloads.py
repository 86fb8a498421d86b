"""Workloads are deployed, scaled, started, stopped and restarted, in every mode, exactly once."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_daocloud.api.client import DaoCloudClient
from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.exceptions import (
    DaoCloudRolledBackError,
    DaoCloudWaitTimeoutError,
    DaoCloudWorkloadFailedError,
)
from airflow_provider_daocloud.operators.enterprise import (
    DaoCloudWorkloadActionOperator,
    DaoCloudWorkloadDeployOperator,
    DaoCloudWorkloadRollbackOperator,
    DaoCloudWorkloadScaleOperator,
)
from airflow_provider_daocloud.sandbox.enterprise.server import EnterpriseSandbox
from airflow_provider_daocloud.sensors.enterprise import DaoCloudWorkloadSensor
from tests.behaviour.enterprise.conftest import PROXY, WEB, run
from tests.support.modes import HAS_STORE, OPERATOR_MODES, SENSOR_MODES, Run

NEW = "hub/shop/web:2.0"


def writes(dce: EnterpriseSandbox) -> dict[str, int]:
    """Return how often what was changed."""
    return dict(dce.effects)


def images_of(dce: EnterpriseSandbox, name: str = "web", kind: str = "Deployment") -> Any:
    workload = dce.world.workloads.find(kind, "staging", "shop", name)
    return {one["name"]: one["image"] for one in workload.spec["template"]["spec"]["containers"]}


def reset(task: Run) -> Run:
    """Return the next try of a task instance: what it has pushed and kept is still there."""
    task.ti.try_number += 1
    task.ending.error = None
    task.ending.xcoms.pop("return_value", None)
    return task


@pytest.mark.parametrize("mode", OPERATOR_MODES)
def test_deploy(dce: EnterpriseSandbox, mode: str) -> None:
    task = run(
        DaoCloudWorkloadDeployOperator, workload_name="web", image=NEW, **OPERATOR_MODES[mode]
    )
    ending = task.to_the_end()
    assert ending.error is None
    assert ending.result == {
        "cluster": "staging",
        "namespace": "shop",
        "workload_kind": "deployment",
        "workload_name": "web",
        "generation": 2,
        "replicas": 3,
        "images": {"web": NEW, "proxy": PROXY},
        "previous_images": f"web={WEB}",
    }
    assert ending.xcoms["previous_images"] == f"web={WEB}"
    assert ending.xcoms["generation"] == "2"
    assert ending.xcoms["daocloud_workload_link"].endswith(
        "/kpanda/clusters/staging/namespaces/shop/deployments/web"
    )
    assert writes(dce) == {"patch_deployment": 1}
    assert images_of(dce) == {"web": NEW, "proxy": PROXY}


@pytest.mark.parametrize("patch_type", ["strategic", "merge"])
@pytest.mark.parametrize(
    ("asked", "then"),
    [
        ({"tag": "2.0"}, {"web": NEW, "proxy": PROXY}),
        ({"tag": "sha256:" + "0" * 64}, {"web": f"hub/shop/web@sha256:{'0' * 64}", "proxy": PROXY}),
        ({"image": "hub/proxy:3", "container": "proxy"}, {"web": WEB, "proxy": "hub/proxy:3"}),
        ({"images": {"web": NEW, "proxy": "hub/proxy:3"}}, {"web": NEW, "proxy": "hub/proxy:3"}),
    ],
)
def test_what_is_asked_for(
    dce: EnterpriseSandbox, patch_type: str, asked: Any, then: dict[str, str]
) -> None:
    """No side-car is lost, whatever kind of merge the service makes of a patch."""
    dce.world.set_options(patch_type=patch_type)
    ending = run(DaoCloudWorkloadDeployOperator, workload_name="web", **asked).to_the_end()
    assert ending.error is None
    assert images_of(dce) == then


@pytest.mark.parametrize(
    ("kind", "name"), [("statefulset", "db"), ("daemonset", "agent"), ("deployment", "web")]
)
@pytest.mark.parametrize("mode", OPERATOR_MODES)
def test_each_kind_is_deployed_and_restarted(
    dce: EnterpriseSandbox, kind: str, name: str, mode: str
) -> None:
    which = {"workload_name": name, "workload_kind": kind, **OPERATOR_MODES[mode]}
    assert run(DaoCloudWorkloadDeployOperator, tag="2.0", **which).to_the_end().error is None
    assert run(DaoCloudWorkloadActionOperator, action="restart", **which).to_the_end().error is None
    assert sum(writes(dce).values()) == 2


@pytest.mark.parametrize("mode", OPERATOR_MODES)
def test_scale_stop_and_start(dce: EnterpriseSandbox, mode: str) -> None:
    which = {"workload_name": "web", **OPERATOR_MODES[mode]}

    def pods() -> int:
        return len(dce.world.workloads.find("Deployment", "staging", "shop", "web").pods)

    assert run(DaoCloudWorkloadScaleOperator, replicas="5", **which).to_the_end().error is None
    assert pods() == 5
    assert run(DaoCloudWorkloadActionOperator, action="stop", **which).to_the_end().error is None
    assert pods() == 0
    assert run(DaoCloudWorkloadActionOperator, action="start", **which).to_the_end().error is None
    assert pods() == 5
    # What runs already is left alone.
    assert run(DaoCloudWorkloadActionOperator, action="start", **which).to_the_end().error is None
    assert writes(dce) == {"patch_deployment": 1, "stop_deployment": 1, "start_deployment": 1}


@pytest.mark.parametrize("mode", SENSOR_MODES)
def test_a_sensor(dce: EnterpriseSandbox, mode: str) -> None:
    patch = {"spec": {"replicas": 4}}
    world = dce.world
    web = world.workloads.find("Deployment", "staging", "shop", "web")
    world.workloads.patch(web, patch)
    task = Run(
        lambda: DaoCloudWorkloadSensor(
            task_id="task",
            workload_name="web",
            cluster="staging",
            namespace="shop",
            image=WEB,
            replicas=4,
            poke_interval=0.1,
            timeout=20.0,
            **SENSOR_MODES[mode],
        )
    )
    ending = task.to_the_end()
    assert ending.error is None
    assert (ending.result["replicas"], ending.result["generation"]) == (4, 2)


# --- exactly once -----------------------------------------------------------------------------

ACTS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "deploy": (DaoCloudWorkloadDeployOperator, {"image": NEW}, "patch_deployment"),
    "restart": (DaoCloudWorkloadActionOperator, {"action": "restart"}, "patch_deployment"),
    "scale": (DaoCloudWorkloadScaleOperator, {"replicas": 4}, "patch_deployment"),
    "stop": (DaoCloudWorkloadActionOperator, {"action": "stop"}, "stop_deployment"),
}
FAULTS: dict[str, list[dict[str, Any]]] = {
    "the answer is lost": [{"kind": "drop", "effect": "after"}],
    "the request is lost": [{"kind": "drop"}],
    "reset after it arrived": [{"kind": "reset", "effect": "after"}],
    "a 502 after it arrived": [{"kind": "status", "status": 502, "effect": "after"}],
    "a 503 before it arrived": [{"kind": "status", "status": 503}],
    "a web page after it arrived": [{"kind": "html", "effect": "after"}],
    "half of the answer": [{"kind": "truncated", "effect": "after"}],
    "refused for a moment": [{"kind": "too_many", "retry_after": 0}],
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("act", ACTS)
def test_a_fault_of_the_network(dce: EnterpriseSandbox, act: str, fault: str) -> None:
    """One effect and a success, in every cell: what was done shows on the workload."""
    operator, arguments, call = ACTS[act]
    for rule in FAULTS[fault]:
        dce.fault(call=call, times=1, **rule)
    ending = run(operator, workload_name="web", **arguments).to_the_end()
    assert ending.error is None
    assert writes(dce) == {call: 1}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("keeps_journal", [True, False])
def test_a_worker_that_is_killed_at_any_point(
    dce: EnterpriseSandbox, act: str, keeps_journal: bool
) -> None:
    """After each call to the service in turn, the process ends, and the next try goes on."""
    if keeps_journal and not HAS_STORE:
        pytest.skip("Airflow before 3.3 keeps no task state")
    operator, arguments, call = ACTS[act]
    points = 0
    for point in range(1, 8):
        dce.reset()
        task = run(operator, workload_name="web", durable=keeps_journal, **arguments)
        killed = Killed(after=point)
        first = task.to_the_end()
        killed.restore()
        if first.error is None:
            break
        points += 1
        task.context["dag_run"].start_date = None
        ending = reset(task).to_the_end()
        assert ending.error is None, point
        assert writes(dce) == {call: 1}, point
    assert points >= 3


class Killed:
    """Ends the process that asks, when so many calls were answered: as kill -9 does."""

    def __init__(self, after: int) -> None:
        self._patch = pytest.MonkeyPatch()
        send: Any = DaoCloudClient.send
        count = 0

        def counted(client: Any, request: Any, **arguments: Any) -> Any:
            nonlocal count
            if count >= after:
                raise ProcessEndedError
            result = send(client, request, **arguments)
            count += 1
            if count >= after:
                raise ProcessEndedError
            return result

        self._patch.setattr(DaoCloudClient, "send", counted)

    def restore(self) -> None:
        self._patch.undo()


class ProcessEndedError(Exception):
    """Stands for the end of a process: nothing of ours catches it."""


def test_a_clear_acts_again(dce: EnterpriseSandbox) -> None:
    """A restart that was cleared is another restart; a retry is none."""
    task = run(DaoCloudWorkloadActionOperator, workload_name="web", action="restart")
    assert task.to_the_end().error is None
    task.ti.max_tries = 1
    assert reset(task).to_the_end().error is None
    assert writes(dce) == {"patch_deployment": 2}


def test_somebody_else_is_quicker(dce: EnterpriseSandbox) -> None:
    """A change between our read and our patch is not undone: the patch is made anew."""
    done = False

    def change(served: Any) -> None:
        nonlocal done
        if served.call == "get_object" and not done:
            done = True
            web = dce.world.workloads.find("Deployment", "staging", "shop", "web")
            dce.world.workloads.scale(web, 7)

    dce.service.on_served = change
    ending = run(DaoCloudWorkloadDeployOperator, workload_name="web", image=NEW).to_the_end()
    dce.service.on_served = None
    assert ending.error is None
    assert ending.result["replicas"] == 7
    assert images_of(dce)["web"] == NEW


def test_another_client_deploys_meanwhile(dce: EnterpriseSandbox) -> None:
    """A rollout that another one has replaced is no success."""
    done = False

    def change(served: Any) -> None:
        nonlocal done
        if served.call == "patch_deployment" and not done:
            done = True
            web = dce.world.workloads.find("Deployment", "staging", "shop", "web")
            containers = [{"name": "web", "image": "hub/shop/web:other"}]
            patch = {"spec": {"template": {"spec": {"containers": containers}}}}
            dce.world.workloads.patch(web, patch)

    dce.service.on_served = change
    ending = run(DaoCloudWorkloadDeployOperator, workload_name="web", image=NEW).to_the_end()
    dce.service.on_served = None
    assert isinstance(ending.error, DaoCloudWorkloadFailedError)
    assert "another client" in str(ending.error)
    assert "hub/shop/web:other" in str(ending.error)


# --- failures ---------------------------------------------------------------------------------


def deadline(dce: EnterpriseSandbox, seconds: int = 20) -> None:
    web = dce.world.workloads.find("Deployment", "staging", "shop", "web")
    dce.world.workloads.patch(web, {"spec": {"progressDeadlineSeconds": seconds}})


@pytest.mark.parametrize("mode", OPERATOR_MODES)
@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ("missing", ("ImagePullBackOff", "hub/shop/web:missing")),
        ("crash", ("CrashLoopBackOff", "FATAL: cannot read /etc/app/config.yaml")),
    ],
)
def test_a_rollout_that_fails_says_why(
    dce: EnterpriseSandbox, mode: str, tag: str, words: tuple[str, ...]
) -> None:
    deadline(dce)
    ending = run(
        DaoCloudWorkloadDeployOperator, workload_name="web", tag=tag, **OPERATOR_MODES[mode]
    ).to_the_end()
    assert isinstance(ending.error, DaoCloudWorkloadFailedError)
    for word in words:
        assert word in str(ending.error)
    assert "made no progress in its deadline" in str(ending.error)


def test_a_quota_is_told(dce: EnterpriseSandbox) -> None:
    dce.world.places.namespace("staging", "shop").pod_quota = 8
    deadline(dce)
    ending = run(DaoCloudWorkloadDeployOperator, workload_name="web", tag="2.0").to_the_end()
    assert isinstance(ending.error, DaoCloudWorkloadFailedError)
    assert "quota" in str(ending.error)


def test_a_time_out_says_why(dce: EnterpriseSandbox) -> None:
    """A stateful set has no deadline of its own: what its pods wait for is told all the same."""
    ending = run(
        DaoCloudWorkloadDeployOperator,
        workload_name="db",
        workload_kind="statefulset",
        tag="missing",
        timeout=1.0,
    ).to_the_end()
    assert isinstance(ending.error, DaoCloudWaitTimeoutError)
    assert "ErrImagePull" in str(ending.error) or "ImagePullBackOff" in str(ending.error)


@pytest.mark.parametrize("mode", OPERATOR_MODES)
def test_rollback_on_failure(dce: EnterpriseSandbox, mode: str) -> None:
    deadline(dce)
    task = run(
        DaoCloudWorkloadDeployOperator,
        workload_name="web",
        tag="missing",
        rollback_on_failure=True,
        **OPERATOR_MODES[mode],
    )
    ending = task.to_the_end()
    assert isinstance(ending.error, DaoCloudRolledBackError)
    assert f"web={WEB} runs again" in str(ending.error)
    assert images_of(dce) == {"web": WEB, "proxy": PROXY}
    assert writes(dce) == {"patch_deployment": 2}


def test_another_attempt_makes_new_pods(dce: EnterpriseSandbox) -> None:
    """The same images again would change nothing: the template gets an annotation."""
    deadline(dce, 4)
    ending = run(
        DaoCloudWorkloadDeployOperator, workload_name="web", tag="missing", max_attempts=2
    ).to_the_end()
    assert isinstance(ending.error, DaoCloudWorkloadFailedError)
    assert writes(dce) == {"patch_deployment": 2}
    web = dce.world.workloads.find("Deployment", "staging", "shop", "web")
    annotations = web.spec["template"]["metadata"]["annotations"]
    assert "airflow-provider-daocloud/restarted-by" in annotations


def test_undo_what_another_task_deployed(dce: EnterpriseSandbox) -> None:
    first = run(DaoCloudWorkloadDeployOperator, workload_name="web", image=NEW).to_the_end()
    task = run(DaoCloudWorkloadRollbackOperator, workload_name="web", deploy_task_id="deploy")
    task.ti.others = {("deploy", "previous_images"): first.xcoms["previous_images"]}
    ending = task.to_the_end()
    assert ending.error is None
    assert images_of(dce) == {"web": WEB, "proxy": PROXY}


def test_nothing_to_undo(dce: EnterpriseSandbox) -> None:
    ending = run(
        DaoCloudWorkloadRollbackOperator, workload_name="web", deploy_task_id="deploy"
    ).to_the_end()
    assert ending.kind == "AirflowFailException"
    assert "deploy_task_id" in str(ending.error)
    assert writes(dce) == {}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"workload_name": "nope", "tag": "2"}, 'deployments.apps "nope" not found'),
        ({"workload_name": "web", "tag": "2", "container": "nope"}, "no container 'nope'"),
        ({"workload_name": "web", "tag": "a/b:2"}, "give the tag alone"),
        ({"workload_name": "web", "tag": "2", "cluster": "No Such"}, "cluster"),
        ({"workload_name": "web/../db", "tag": "2"}, "workload_name"),
    ],
)
def test_bad_arguments(dce: EnterpriseSandbox, arguments: dict[str, Any], words: str) -> None:
    ending = run(DaoCloudWorkloadDeployOperator, **arguments).to_the_end()
    assert ending.kind == "AirflowFailException"
    assert words in str(ending.error)
    assert writes(dce) == {}


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("image", {"image": NEW, "images": {"web": NEW}}),
        ("target", {"target": "gone"}),
        ("workload_kind", {"workload_kind": "pod"}),
    ],
)
def test_bad_arguments_of_a_sensor(field: str, arguments: dict[str, Any]) -> None:
    """They are errors of the DAG file."""
    with pytest.raises(InputError, match=f"^{field}: "):
        DaoCloudWorkloadSensor(task_id="task", workload_name="web", **arguments)
