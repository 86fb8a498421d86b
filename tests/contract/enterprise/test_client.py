"""Every request of our client is one that the vendor's documents allow, and the sandbox answers it.

The client and the sandbox were written apart, each from the documents alone.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_daocloud.api.client import DaoCloudClient
from airflow_provider_daocloud.api.endpoint import Endpoint
from airflow_provider_daocloud.api.enterprise import (
    changes,
    global_management,
    pipelines,
    workloads,
)
from airflow_provider_daocloud.api.enterprise.changes import change_workload
from airflow_provider_daocloud.api.enterprise.global_management import (
    get_current_user,
    list_products,
    list_workspaces,
)
from airflow_provider_daocloud.api.enterprise.pipelines import (
    PipelineRef,
    answer_input,
    cancel_run,
    declare_parameter,
    get_pipeline,
    get_run,
    get_run_log,
    get_step_log,
    list_http_apis,
    list_nodes,
    list_pipelines,
    list_runs,
    list_runs_and_queued,
    list_runs_unparsed,
    list_steps,
    start_run,
)
from airflow_provider_daocloud.api.enterprise.workloads import (
    KIND_WORDS,
    Workload,
    WorkloadRef,
    act_on_workload,
    get_pod_log,
    get_workload,
    list_events,
    list_pods,
    list_workloads,
    patch_workload,
)
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.validation import WorkloadKind
from airflow_provider_daocloud.sandbox.enterprise import seeded
from airflow_provider_daocloud.sandbox.enterprise.pipelines import Stage
from airflow_provider_daocloud.sandbox.enterprise.server import EnterpriseSandbox
from tests.support import vendor

PIPELINE = PipelineRef("1", "release-web")
NAMES: dict[WorkloadKind, str] = {"deployment": "web", "statefulset": "db", "daemonset": "agent"}
REFS = {kind: WorkloadRef("staging", "shop", kind, NAMES[kind]) for kind in NAMES}


def changed(kind: Any, **change: Any) -> Callable[[Workload], Request[Any]]:
    """Return what makes a change of the workload as it is."""
    request = change_workload("change", REFS[kind], "an-id", **change)
    return request.completed_by


# Each request that the client can build. Those that are made of a workload as it is take it.
REQUESTS: dict[str, Request[Any]] = {
    "get_current_user": get_current_user(),
    "list_products": list_products(),
    "list_workspaces": list_workspaces(),
    "list_http_apis": list_http_apis(),
    "list_pipelines": list_pipelines("1"),
    "get_pipeline": get_pipeline(PIPELINE),
    "declare_parameter": declare_parameter(PIPELINE, "MORE", "what it is for"),
    "list_runs": list_runs(PIPELINE),
    "list_runs_unparsed": list_runs_unparsed(PIPELINE),
    "list_runs_and_queued": list_runs_and_queued(PIPELINE),
    "get_run": get_run(PIPELINE, 1),
    "get_run_log": get_run_log(PIPELINE, 1),
    "list_nodes": list_nodes(PIPELINE, 1),
    "list_steps": list_steps(PIPELINE, 1, "2"),
    "get_step_log": get_step_log(PIPELINE, 1, "2", "3"),
    "answer_input yes": answer_input(PIPELINE, 1, "2", "3", "an-input", approve=True),
    "answer_input no": answer_input(PIPELINE, 1, "2", "3", "an-input", approve=False),
    "cancel_run": cancel_run(PIPELINE, 1),
}
CHANGES: dict[str, tuple[WorkloadKind, Callable[[Workload], Request[Any]]]] = {}
for one, its_ref in REFS.items():
    REQUESTS |= {
        f"get_workload {one}": get_workload(its_ref),
        f"list_workloads {one}": list_workloads("staging", "shop", its_ref.kind),
        f"list_pods {one}": list_pods(its_ref),
        f"list_events {one}": list_events(its_ref, KIND_WORDS[its_ref.kind], its_ref.name),
        f"get_pod_log {one}": get_pod_log(its_ref, "a-pod", "web"),
        f"patch_workload {one}": patch_workload(its_ref, {"metadata": {"annotations": {"a": "b"}}}),
    }
    CHANGES |= {
        f"change_workload images {one}": (one, changed(one, images={NAMES[one]: "some/image:2"})),
        f"change_workload restart {one}": (one, changed(one, restart=True)),
    }
    if one != "daemonset":
        CHANGES[f"change_workload replicas {one}"] = (one, changed(one, replicas=5))
        for action in ("stop", "start"):
            REQUESTS[f"act_on_workload {action} {one}"] = act_on_workload(its_ref, action)

# The call that starts a run is in no document (A1).
UNDOCUMENTED = {"start_run": start_run(PIPELINE, {"TAG": "1"})}


def check(request: Request[Any]) -> None:
    path, _, query = request.path.partition("?")
    body = None if request.body is None else json.dumps(request.body).encode()
    found = vendor.check_request(request.method, path, query, body)
    assert found is not None, f"no document has {request}"


def test_every_request_is_here() -> None:
    """Each function of the client's modules that returns a request."""
    public = {
        name
        for module in (changes, global_management, pipelines, workloads)
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and function.__module__ == module.__name__
        and not name.startswith("_")
        and str(function.__annotations__["return"]).startswith(("Request", "Change"))
    }
    assert public == {name.partition(" ")[0] for name in (*REQUESTS, *CHANGES, *UNDOCUMENTED)}


@vendor.needs_documents
@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_documented(name: str) -> None:
    check(REQUESTS[name])


@vendor.needs_documents
def test_the_start_of_a_run_is_in_no_document() -> None:
    (request,) = UNDOCUMENTED.values()
    assert vendor.operation(request.method, request.path) is None


@pytest.fixture(scope="module")
def sandbox() -> Any:
    with EnterpriseSandbox(seed=1, fill=seeded.fill) as sandbox:
        yield sandbox


@pytest.fixture
def client(sandbox: EnterpriseSandbox) -> Any:
    with DaoCloudClient(Endpoint(sandbox.url, sandbox.token)) as client:
        yield client


@vendor.needs_documents
@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_documented(name: str, client: DaoCloudClient) -> None:
    kind, complete = CHANGES[name]
    check(complete(client.send(get_workload(REFS[kind]))))


@pytest.mark.parametrize("name", CHANGES)
def test_the_sandbox_takes_a_change(name: str, client: DaoCloudClient) -> None:
    kind, complete = CHANGES[name]
    before = client.send(get_workload(REFS[kind]))
    after = client.send(complete(before))
    assert after.generation == (before.generation or 0) + 1


# A run that waits for a person has everything that can be read of one.
PAUSED = [Stage("build", log=["compiling"]), Stage("approve", input="Release?")]


def test_the_sandbox_answers_each_request(sandbox: EnterpriseSandbox) -> None:
    """With ids that are real, each is answered; what it returns is read."""
    pipeline = PipelineRef("1", "paused")
    sandbox.set_options(speed=1000.0)
    sandbox.world.pipelines.add(1, pipeline.name, PAUSED)
    with DaoCloudClient(Endpoint(sandbox.url, sandbox.token)) as client:
        run = client.send(start_run(pipeline, {}))
        while client.send(get_run(pipeline, run.run_id)).state != "PAUSED":
            pass
        node = next(
            one for one in client.send(list_nodes(pipeline, run.run_id)) if one.result == "PAUSED"
        )
        (step,) = client.send(list_steps(pipeline, run.run_id, node.id))
        ids = (pipeline, run.run_id, node.id, step.id)
        assert "compiling" in client.send(get_run_log(pipeline, run.run_id))
        assert isinstance(client.send(get_step_log(*ids)), str)
        client.send(answer_input(*ids, step.input_id or "", approve=True))
        assert client.send(list_runs(pipeline))[0].run_id == run.run_id
        assert client.send(list_runs_unparsed(pipeline))[0]["runId"] == run.run_id
        client.send(cancel_run(pipeline, client.send(start_run(pipeline, {})).run_id))
        client.send(declare_parameter(pipeline, "MORE"))
        assert [one.name for one in client.send(get_pipeline(pipeline)).parameters] == ["MORE"]
        assert "paused" in [one.name for one in client.send(list_pipelines("1"))]
        assert client.send(get_current_user()).username
        assert "kpanda" in [one.name for one in client.send(list_products())]
        assert "shop" in [one.name for one in client.send(list_workspaces())]
        assert client.send(list_http_apis())
        for kind, ref in REFS.items():
            assert client.send(get_workload(ref)).name == ref.name
            assert client.send(list_workloads("staging", "shop", ref.kind))
            pods = client.send(list_pods(ref))
            assert pods
            assert client.send(list_events(ref, KIND_WORDS[ref.kind], ref.name)) == ()
            assert isinstance(client.send(get_pod_log(ref, pods[0].name)), tuple)
            if kind != "daemonset":
                assert client.send(act_on_workload(ref, "stop")) != "unknown"
                assert client.send(act_on_workload(ref, "start")) != "unknown"
