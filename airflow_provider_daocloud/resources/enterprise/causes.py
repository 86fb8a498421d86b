"""Why a rollout or a run has failed: what a person would look up next, looked up for them.

All of this is extra: where it cannot be read, the failure is told without it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from airflow_provider_daocloud.api.enterprise.pipelines import (
    get_run_log,
    get_step_log,
    list_nodes,
    list_steps,
)
from airflow_provider_daocloud.api.enterprise.workloads import (
    KIND_WORDS,
    Pod,
    get_pod_log,
    list_events,
    list_pods,
)
from airflow_provider_daocloud.api.errors import DaoCloudError
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.resources.enterprise.pipeline import PipelineRunWait
from airflow_provider_daocloud.resources.enterprise.workload import WorkloadWait

Send = Callable[[Request[Any]], Any]

# How many pods, events and lines of a log are told at most, and how long one of these is.
PODS, EVENTS, LINES, LENGTH = 2, 4, 8, 300


def causes(wait: Any, send: Send) -> list[str]:
    """Return why what was waited for has failed, the cause first, as far as that can be read.

    :param wait: what was waited for.
    :param send: sends a request.
    """
    found: list[str] = []
    with contextlib.suppress(DaoCloudError):
        if isinstance(wait, WorkloadWait):
            found.extend(_of_workload(wait, send))
        elif isinstance(wait, PipelineRunWait):
            found.extend(_of_run(wait, send))
    return found


def _of_workload(wait: WorkloadWait, send: Send) -> Iterator[str]:
    pods: tuple[Pod, ...] = send(list_pods(wait.ref))
    # The newest first: those of the new template are what a rollout waits for.
    failing = [pod for pod in reversed(pods) if not pod.is_ready][:PODS]
    for pod in failing:
        for container, reason, message in pod.waiting:
            yield f"{reason} in container {container} of pod {pod.name}: {_cut(message)}"
    yield from _events(send, wait, KIND_WORDS[wait.workload_kind], wait.workload_name)
    for pod in failing:
        yield from _events(send, wait, "Pod", pod.name)
    for pod in failing:
        for container, *_ in pod.waiting or (("",),):
            with contextlib.suppress(DaoCloudError):
                lines = send(get_pod_log(wait.ref, pod.name, container))
                yield from _tail(f"the log of pod {pod.name}", lines)


def _events(send: Send, wait: WorkloadWait, kind: str, name: str) -> Iterator[str]:
    with contextlib.suppress(DaoCloudError):
        events = send(list_events(wait.ref, kind, name))
        texts: dict[str, None] = {}
        for event in events:
            texts[f"{event.reason}: {_cut(event.message or '')}"] = None
        yield from list(texts)[-EVENTS:]


def _of_run(wait: PipelineRunWait, send: Send) -> Iterator[str]:
    nodes = send(list_nodes(wait.ref, wait.run_id))
    bad = [node for node in nodes if node.result in ("FAILURE", "ABORTED", "UNSTABLE")]
    for node in bad[:1]:
        yield f"stage {node.name} ended in {node.result}"
        for step in send(list_steps(wait.ref, wait.run_id, node.id)):
            if step.result in ("FAILURE", "ABORTED", "UNSTABLE"):
                log = send(get_step_log(wait.ref, wait.run_id, node.id, step.id))
                yield from _tail(f"the log of stage {node.name}", log.splitlines())
                return
    yield from _tail("the log", send(get_run_log(wait.ref, wait.run_id)).splitlines())


def _tail(title: str, lines: Iterable[str]) -> Iterator[str]:
    last = [_cut(line) for line in lines if line.strip()][-LINES:]
    if last:
        yield f"{title} ends with: " + " | ".join(last)


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LENGTH else f"{text[:LENGTH]}…"
