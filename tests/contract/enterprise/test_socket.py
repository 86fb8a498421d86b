"""A rollout over a real socket, with the controls beside it."""

from __future__ import annotations

import json

from tests.contract.enterprise.conftest import Client

WEB = "/apis/kpanda.io/v1alpha1/clusters/staging/namespaces/shop/deployments/web"


def test_a_deployment_rolls_out_over_the_socket(client: Client) -> None:
    container = {"name": "web", "image": "registry.example/shop/web:crash"}
    body = {"data": json.dumps({"spec": {"template": {"spec": {"containers": [container]}}}})}
    answer = client.ask("PATCH", WEB, json=body)
    assert json.loads(answer.json()["data"])["metadata"]["generation"] == 2
    assert client.control("POST", "/images", {"image": "*", "log": ["up"]}).status_code == 200
    client.control("POST", "/clock/advance", {"seconds": 60})
    value = json.loads(client.ask("GET", f"{WEB}/json").json()["data"])
    assert value["status"]["observedGeneration"] == 2
    assert value["status"]["updatedReplicas"] == value["status"]["availableReplicas"] == 3
    state = client.control("GET", "/state").json()
    (web,) = [w for w in state["workloads"] if (w["cluster"], w["name"]) == ("staging", "web")]
    assert set(web["pods"].values()) == {"Running"}
    assert web["images"]["proxy"] == "registry.example/proxy:2.3"
    pod = next(iter(web["pods"]))
    path = f"/clusters/staging/namespaces/shop/pods/{pod}"
    assert client.control("DELETE", path).status_code == 200
    added = {
        "cluster": "staging",
        "namespace": "shop",
        "name": "job",
        "image": "a:1",
        "kind": "DaemonSet",
    }
    assert client.control("POST", "/workloads", added).status_code == 200
    assert client.control("POST", "/workloads", added).status_code == 400
    assert client.control("POST", "/workloads", added | {"kind": "Job"}).status_code == 400
