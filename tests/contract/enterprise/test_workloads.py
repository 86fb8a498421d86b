"""Deployments, stateful sets and daemon sets that really roll out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_daocloud.sandbox.enterprise import EnterpriseWorld
from airflow_provider_daocloud.sandbox.enterprise.images import ImagePlan
from tests.contract.enterprise.conftest import InProcess, small

K = "/apis/kpanda.io/v1alpha1"
N = f"{K}/clusters/staging/namespaces/shop"
WEB = f"{N}/deployments/web"


def fill(world: EnterpriseWorld) -> None:
    small(world)
    add = world.workloads.add
    add("staging", "shop", "web", {"web": "hub/web:1", "side": "hub/side:1"}, replicas=3)
    add("staging", "shop", "db", "hub/db:1", kind="StatefulSet", replicas=2)
    add("staging", "shop", "agent", "hub/agent:1", kind="DaemonSet")


@pytest.fixture
def it() -> InProcess:
    return InProcess(fill)


def whole(it: InProcess, kind: str = "deployments", name: str = "web") -> Any:
    """Return the Kubernetes object."""
    return json.loads(it.get(f"{N}/{kind}/{name}/json")["data"])


def patch(it: InProcess, value: Any, path: str = WEB) -> Any:
    """Patch, and return the object of the answer."""
    answer = it.ask("PATCH", path, {"data": json.dumps(value)})
    assert answer.status == 200, answer.body
    return json.loads(answer.json()["data"])


def images(**by_name: str) -> dict[str, Any]:
    containers = [{"name": name, "image": image} for name, image in by_name.items()]
    return {"spec": {"template": {"spec": {"containers": containers}}}}


def container_images(value: Any) -> dict[str, str]:
    containers = value["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one["image"] for one in containers}


def reasons(it: InProcess, value: Any) -> dict[str, str]:
    return {one["type"]: one["reason"] for one in value["status"]["conditions"]}


def test_a_new_image_rolls_out(it: InProcess) -> None:
    before = whole(it)
    assert before["status"]["updatedReplicas"] == before["status"]["readyReplicas"] == 3
    receipt = patch(it, images(web="hub/web:2"))
    assert receipt["metadata"]["generation"] == 2
    assert receipt["status"]["observedGeneration"] == 1
    it.wait(1)
    during = whole(it)["status"]
    assert (during["observedGeneration"], during["updatedReplicas"]) == (2, 1)
    assert during["availableReplicas"] == 3
    assert it.get(WEB)["status"]["state"] == "Waiting"
    it.wait(30)
    after = whole(it)
    assert after["status"]["updatedReplicas"] == after["status"]["replicas"] == 3
    assert reasons(it, after)["Progressing"] == "NewReplicaSetAvailable"
    assert container_images(after) == {"web": "hub/web:2", "side": "hub/side:1"}
    sets = it.get(f"{N}/replicasets?kind=Deployment&kindName=web")["items"]
    counts = {one["spec"]["revision"]: one["status"]["replicas"] for one in sets}
    assert counts == {"1": 0, "2": 3}
    assert it.get(WEB)["status"]["state"] == "Running"


def test_annotation_alone_starts_no_rollout(it: InProcess) -> None:
    marked = {"metadata": {"annotations": {"airflow/operation": "one"}}}
    made = patch(it, marked)
    assert made["metadata"]["generation"] == 1
    assert it.get(WEB)["metadata"]["annotations"]["airflow/operation"] == "one"
    again = it.ask("PATCH", WEB, {"data": json.dumps(marked)})
    assert not again.acted


@pytest.mark.parametrize(
    ("kind", "left"),
    [
        ("strategic", {"web": "hub/web:2", "side": "hub/side:1"}),
        ("merge", {"web": "hub/web:2"}),
    ],
)
def test_types_of_patches(it: InProcess, kind: str, left: dict[str, str]) -> None:
    it.world.set_options(patch_type=kind)
    assert container_images(patch(it, images(web="hub/web:2"))) == left


def test_json_patch(it: InProcess) -> None:
    it.world.set_options(patch_type="json")
    path = "/spec/template/spec/containers/0/image"
    patch(it, [{"op": "replace", "path": path, "value": "hub/web:2"}])
    assert container_images(whole(it))["web"] == "hub/web:2"
    assert it.ask("PATCH", WEB, {"data": "{}"}).status == 400


@pytest.mark.parametrize(
    "body",
    [
        {"spec": {"replicas": 0}},
        {"data": "not json"},
        {"data": '{"spec":{"replicas":-1}}'},
        {"data": '{"spec":{"template":{"spec":{"containers":null}}}}'},
        {"data": '{"spec":{"selector":{"matchLabels":{"app":"other"}}}}'},
    ],
)
def test_a_patch_that_makes_no_sense(it: InProcess, body: object) -> None:
    answer = it.ask("PATCH", WEB, body)
    assert (answer.status, answer.json()["code"], answer.acted) == (400, 3, False)


def test_old_resource_version_is_a_conflict(it: InProcess) -> None:
    old = {"metadata": {"resourceVersion": whole(it)["metadata"]["resourceVersion"]}}
    patch(it, old | images(web="hub/web:2"))
    answer = it.ask("PATCH", WEB, {"data": json.dumps(old | images(web="hub/web:3"))})
    assert (answer.status, answer.json()["code"]) == (409, 10)
    it.world.set_options(patch_conflicts=False)
    patch(it, old | images(web="hub/web:3"))


def test_an_image_that_does_not_exist(it: InProcess) -> None:
    patch(it, images(web="hub/web:missing") | {"metadata": {}})
    patch(it, {"spec": {"progressDeadlineSeconds": 60}})
    it.wait(30)
    pods = it.get(f"{N}/pods?kind=Deployment&kindName=web")["items"]
    waiting = [one for one in pods if one["status"]["phase"] == "Pending"]
    (status,) = [
        one["state"]["waiting"]
        for one in waiting[0]["status"]["containerStatuses"]
        if one["name"] == "web"
    ]
    assert status["reason"] in ("ErrImagePull", "ImagePullBackOff")
    assert whole(it)["status"]["availableReplicas"] == 3
    it.wait(60)
    progressing = reasons(it, whole(it))["Progressing"]
    assert progressing == "ProgressDeadlineExceeded"
    pod = waiting[0]["metadata"]["name"]
    events = it.get(f"{N}/events?kind=Pod&kindName={pod}&type=Warning")["items"]
    assert any("hub/web:missing" in one["message"] for one in events)


def test_a_crash_loop_writes_a_log(it: InProcess) -> None:
    it.world.workloads.images.plan(ImagePlan("hub/web:2", "crashes", ["boom"]))
    patch(it, images(web="hub/web:2"))
    it.wait(60)
    pods = it.get(f"{N}/pods?kind=Deployment&kindName=web")["items"]
    (bad,) = [one for one in pods if one["status"]["podStatus"] == "CrashLoopBackOff"]
    assert bad["status"]["restartCount"] > 1
    log = it.get(f"{N}/pods/{bad['metadata']['name']}/log?container=web")
    assert {one["log"] for one in log["data"]} == {"boom"}


def test_quota_stops_a_rollout_until_it_is_raised(it: InProcess) -> None:
    namespace = it.world.places.namespace("staging", "shop")
    namespace.pod_quota = 8
    patch(it, images(web="hub/web:2"))
    it.wait(10)
    value = whole(it)
    assert reasons(it, value)["ReplicaFailure"] == "FailedCreate"
    assert value["status"].get("updatedReplicas", 0) == 0
    namespace.pod_quota = 12
    it.wait(60)
    assert whole(it)["status"]["updatedReplicas"] == 3


def test_capacity_leaves_pods_unscheduled(it: InProcess) -> None:
    it.world.places.cluster("staging").pod_capacity = 8
    patch(it, images(web="hub/web:2"))
    it.wait(10)
    pods = it.get(f"{N}/pods?kind=Deployment&kindName=web&phase=Pending")["items"]
    assert pods[0]["status"]["conditions"][0]["reason"] == "Unschedulable"


def test_stop_and_start(it: InProcess) -> None:
    assert it.ask("POST", f"{WEB}:start").json()["code"] == 9
    assert it.ask("POST", f"{WEB}:stop").acted
    it.wait(5)
    assert it.get(WEB)["status"]["state"] == "Stopped"
    assert whole(it)["spec"]["replicas"] == 0
    assert not it.ask("POST", f"{WEB}:stop").acted
    it.ask("POST", f"{WEB}:start")
    it.wait(10)
    assert whole(it)["status"]["readyReplicas"] == 3


@pytest.mark.parametrize(
    ("kind", "name", "updated"),
    [
        ("deployments", "web", "updatedReplicas"),
        ("statefulsets", "db", "updatedReplicas"),
        ("daemonsets", "agent", "updatedNumberScheduled"),
    ],
)
def test_every_kind_restarts_pod_by_pod(it: InProcess, kind: str, name: str, updated: str) -> None:
    def pods() -> set[str]:
        listed = it.get(f"{N}/pods?labelSelector=app={name}")["items"]
        return {one["metadata"]["uid"] for one in listed}

    before = pods()
    assert it.ask("POST", f"{N}/{kind}/{name}:restart").acted
    it.wait(1)
    during = whole(it, kind, name)["status"]
    assert during[updated] < len(before)
    it.wait(30)
    assert whole(it, kind, name)["status"][updated] == len(before)
    assert not before & pods()
    assert len(pods()) == len(before)
    it.get(f"{N}/{kind}/{name}")
    it.get(f"{N}/{kind}")


def test_stateful_set_tells_its_revisions(it: InProcess) -> None:
    path = f"{N}/statefulsets/db"
    patch(it, images(db="hub/db:2"), path)
    it.wait(1)
    during = whole(it, "statefulsets", "db")["status"]
    assert during["currentRevision"] != during["updateRevision"]
    it.wait(30)
    after = whole(it, "statefulsets", "db")["status"]
    assert after["currentRevision"] == after["updateRevision"]
    revisions = it.get(f"{N}/controllerrevisions?kind=StatefulSet&kindName=db")["items"]
    assert sorted(one["revision"] for one in revisions) == ["1", "2"]


def test_rollback_gives_a_new_number(it: InProcess) -> None:
    patch(it, images(web="hub/web:2"))
    it.wait(30)
    assert it.ask("POST", f"{WEB}:rollback", {"revision": "1"}).acted
    it.wait(30)
    assert container_images(whole(it))["web"] == "hub/web:1"
    assert it.get(WEB)["revision"] == "3"
    assert it.ask("POST", f"{WEB}:rollback", {"revision": "1"}).json()["code"] == 9
    it.world.set_options(rollback_renumbers=False)
    it.ask("POST", f"{WEB}:rollback", {"revision": "0"})
    it.wait(30)
    assert it.get(WEB)["revision"] == "2"


def test_pause_holds_a_new_template_back(it: InProcess) -> None:
    it.ask("POST", f"{WEB}:pause")
    patch(it, images(web="hub/web:2"))
    it.wait(30)
    assert whole(it)["status"]["replicas"] == 3
    assert reasons(it, whole(it))["Progressing"] == "DeploymentPaused"
    assert len(it.get(f"{N}/replicasets?kind=Deployment&kindName=web")["items"]) == 1
    it.ask("POST", f"{WEB}:resume")
    it.wait(30)
    assert it.get(WEB)["revision"] == "2"


def test_scale_through_the_workbench(it: InProcess) -> None:
    path = "/apis/application.amamba.io/v1alpha1/workspaces/1/workloads/web/replicas"
    body = {
        "cluster": "staging",
        "namespace": "shop",
        "workloadType": "WORKLOAD_TYPE_DEPLOYMENT",
        "replicas": 5,
    }
    assert it.ask("PUT", path, body).json() == {"replicas": 5}
    it.wait(10)
    assert whole(it)["status"]["readyReplicas"] == 5
    assert it.ask("PUT", path.replace("/1/", "/2/"), body).status == 404


def test_create_read_and_replace_an_object(it: InProcess) -> None:
    value = whole(it)
    value["metadata"] = {"name": "copy"}
    made = it.ask("POST", f"{N}/deployments/json", {"data": json.dumps(value)})
    assert made.acted
    assert it.ask("POST", f"{N}/deployments/json", {"data": json.dumps(value)}).status == 409
    it.wait(10)
    value = whole(it, name="copy")
    assert value["status"]["readyReplicas"] == 3
    value["spec"]["replicas"] = 1
    assert it.ask("PUT", f"{N}/deployments/copy/json", {"data": json.dumps(value)}).acted
    it.wait(10)
    assert whole(it, name="copy")["status"]["readyReplicas"] == 1


def test_texts_and_lags_of_reads(it: InProcess) -> None:
    it.world.set_options(object_text="yaml", object_status=False)
    text = it.get(f"{WEB}/json")["data"]
    assert text.startswith("metadata:")
    assert "status:" not in text
    it.world.set_options(object_text="json", read_lag=5, list_lag=10)
    patch(it, images(web="hub/web:2"))
    assert whole(it)["metadata"]["generation"] == 1
    it.wait(6)
    assert whole(it)["metadata"]["generation"] == 2


@pytest.mark.parametrize(
    "path", [f"{K}/clusters/staging/deployments", f"{K}/asl/deployments", f"{N}/deployments"]
)
def test_lists_of_deployments(it: InProcess, path: str) -> None:
    assert [one["metadata"]["name"] for one in it.get(path)["items"]] == ["web"]
    assert it.get(f"{path}?labelSelector=app%3Dother")["items"] == []
    assert it.get(f"{path}?phase=Running")["pagination"]["total"] == 1


def test_details_of_pods_and_replica_sets(it: InProcess) -> None:
    (first, *_) = it.get(f"{N}/pods?kind=Deployment&kindName=web")["items"]
    name = first["metadata"]["name"]
    assert it.get(f"{N}/pods/{name}")["metadata"]["uid"] == first["metadata"]["uid"]
    assert len(it.get(f"{N}/pods/{name}/containers")["items"]) == 2
    assert json.loads(it.get(f"{N}/pods/{name}/json")["data"])["kind"] == "Pod"
    owner = first["metadata"]["ownerReferences"][0]["name"]
    assert it.get(f"{N}/replicasets/{owner}")["spec"]["replicas"] == 3
    assert json.loads(it.get(f"{N}/replicasets/{owner}/json")["data"])["kind"] == "ReplicaSet"
    assert it.ask("GET", f"{N}/pods/none").json()["code"] == 5


def test_events_of_the_object_or_of_all_that_it_owns(it: InProcess) -> None:
    patch(it, images(web="hub/web:2"))
    it.wait(10)
    path = f"{N}/events?kind=Deployment&kindName=web"
    assert {one["involvedObject"]["kind"] for one in it.get(path)["items"]} == {"Deployment"}
    it.world.set_options(events_of="owns")
    assert "Pod" in {one["involvedObject"]["kind"] for one in it.get(path)["items"]}
