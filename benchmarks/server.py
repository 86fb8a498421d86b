"""One small HTTPS server for all kinds: jobs that end at a set time, and a count of calls.

It speaks as much of each service as the contestant's trigger reads: a run of dbt Cloud, a run of
Databricks, a job of Airbyte, a plain URL, DaoCloud's build flows, apps and actions, and runs and
deployments of DaoCloud Enterprise. Jobs end at the same moments whatever the service, so only the
way of asking differs. Every answer is put together from parts made beforehand: serving is
equally cheap for all.

Started by `waiting.py`, which talks with it in lines of JSON over its standard input and output.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import socket
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import parse_qsl

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from benchmarks.jobs import WARM_UP, action_id, app_id, flow_id, number, pipeline, workload

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

LIMIT = 1_000_000_000  # calls an hour: far beyond what is asked, so that nobody's pace is bound


class Jobs:
    """Which job ends when."""

    def __init__(self) -> None:
        self.ends: dict[int, float] = {}
        self.hints = True

    def begin(self, count: int, seconds: float, spread: float, *, hints: bool) -> list[float]:
        """Start jobs anew.

        :param count: how many; they are numbered from 1.
        :param seconds: how long the shortest takes.
        :param spread: how much longer the longest takes.
        :param hints: whether an app's entry shows that an action runs on it.
        :return: when each ends, in seconds since the epoch.
        """
        steps = list(range(count))
        random.Random(count).shuffle(steps)  # noqa: S311
        now = time.time()
        ends = [now + seconds + spread * (step + 0.5) / count for step in steps]
        self.ends = dict(enumerate(ends, start=1))
        self.hints = hints
        return ends

    def ended(self, job: int) -> bool:
        """Whether a job has ended. The one to warm up with always has."""
        return job == WARM_UP or time.time() >= self.ends[job]


class Service:
    """The ASGI application: answers, and counts the calls by name."""

    def __init__(self) -> None:
        self.jobs = Jobs()
        self.calls: Counter[str] = Counter()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope["path"].strip("/").split("/")
        if path[0] == "apis":
            name, status, body = self._enterprise(path[3:], scope["query_string"])
        else:
            name, status, body = await self._answer(path, receive)
        self.calls[name] += 1
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        if scope["path"].startswith("/v1/"):
            headers += [
                (b"x-ratelimit-limit", b"%d" % LIMIT),
                (b"x-ratelimit-remaining", b"%d" % (LIMIT - self.calls.total())),
                (b"x-ratelimit-reset", b"%d" % (time.time() + 3600)),
            ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, path: list[str], receive: Receive) -> tuple[str, int, bytes]:
        match path:
            case ["v1", "build-flows"]:
                flows = b",".join(self._flow(job) for job in self.jobs.ends)
                return "list_build_flows", 200, b'{"build_flows": [%s]}' % flows
            case ["v1", "build-flows", flow]:
                return "get_build_flow", 200, self._flow(number(flow))
            case ["v1", "apps"]:
                return (
                    "list_apps",
                    200,
                    b'{"app": [%s]}' % b",".join(map(self._app, self.jobs.ends)),
                )
            case ["v1", "apps", app, "actions", _]:
                return "get_action", 200, self._action(number(app))
            case ["api", "v2", "accounts", _, "runs", run]:
                return "dbt_cloud_run", 200, self._dbt_cloud_run(int(run))
            case ["api", "2.2", "jobs", "runs", "get"]:
                record = json.loads(await _body(receive))
                return "databricks_run", 200, self._databricks_run(int(record["run_id"]))
            case ["api", "public", "v1", "jobs", job]:
                return "airbyte_job", 200, self._airbyte_job(int(job))
            case ["api", "public", "v1", "applications", "token"]:
                token = {"access_token": "made-up", "token_type": "Bearer", "expires_in": 3600}
                return "airbyte_token", 200, json.dumps(token).encode()
            case ["exists", job]:
                ended = self.jobs.ended(int(job))
                return "http_exists", 200 if ended else 404, b"{}"
            case ["state", job]:
                state = b"done" if self.jobs.ended(int(job)) else b"running"
                return "http_state", 200, b'{"id": %d, "state": "%s"}' % (int(job), state)
        return f"unknown: {'/'.join(path)}", 404, b"{}"

    def _enterprise(self, path: list[str], query: bytes) -> tuple[str, int, bytes]:
        match path:
            case ["workspaces", _, "pipelines", name, "runs"]:
                jobs = [job for job in (WARM_UP, *self.jobs.ends) if pipeline(job) == name]
                runs = b",".join(map(self._run, reversed(jobs)))
                return "list_runs", 200, _page(runs, len(jobs), 1)
            case ["workspaces", _, "pipelines", _, "runs", run]:
                return "get_run", 200, self._run(int(run) - 1)
            case ["clusters", _, "namespaces", _, "deployments"]:
                jobs = [WARM_UP, *self.jobs.ends]
                number_of = {name: int(value) for name, value in parse_qsl(query)}
                page, size = number_of[b"page"], number_of[b"pageSize"]
                shown = b",".join(map(self._deployment, jobs[(page - 1) * size : page * size]))
                return "list_deployments", 200, _page(shown, len(jobs), page)
            case ["clusters", _, "namespaces", _, "deployments", name, "json"]:
                whole = self._deployment(int(name.removeprefix("workload-"))).decode()
                return "get_deployment", 200, json.dumps({"data": whole}).encode()
        return f"unknown: {'/'.join(path)}", 404, b"{}"

    def _run(self, job: int) -> bytes:
        state = b"SUCCESS" if self.jobs.ended(job) else b"RUNNING"
        return _RUN % {b"id": job + 1, b"state": state}

    def _deployment(self, job: int) -> bytes:
        updated = 3 if self.jobs.ended(job) else 1
        return _DEPLOYMENT % {b"name": workload(job).encode(), b"updated": updated}

    def _flow(self, job: int) -> bytes:
        flow = _FLOW_ENDED if self.jobs.ended(job) else _FLOW_RUNNING
        return flow % {b"id": flow_id(job).encode(), b"n": job}

    def _app(self, job: int) -> bytes:
        ended = self.jobs.ended(job)
        operated = self.jobs.ends.get(job, 0.0) if ended and self.jobs.hints else 0.0
        return _APP % {
            b"id": app_id(job).encode(),
            b"n": job,
            b"state": b"restaging" if self.jobs.hints and not ended else b"RUNNING",
            b"operated": _iso(operated),
        }

    def _action(self, job: int) -> bytes:
        ended = self.jobs.ended(job)
        return _ACTION % {
            b"id": action_id(job).encode(),
            b"app_id": app_id(job).encode(),
            b"state": b"SUCCESS" if ended else b"IN_PROCESS",
            b"end": b'"%s"' % _iso(self.jobs.ends.get(job, 0.0)) if ended else b"null",
            b"seconds": b"20" if ended else b"null",
        }

    def _dbt_cloud_run(self, run: int) -> bytes:
        return _DBT_CLOUD_RUN % {b"id": run, b"status": 10 if self.jobs.ended(run) else 3}

    def _databricks_run(self, run: int) -> bytes:
        ended = self.jobs.ended(run)
        return _DATABRICKS_RUN % {
            b"id": run,
            b"life": b"TERMINATED" if ended else b"RUNNING",
            b"result": b'"SUCCESS"' if ended else b"null",
        }

    def _airbyte_job(self, job: int) -> bytes:
        status = b"succeeded" if self.jobs.ended(job) else b"running"
        return _AIRBYTE_JOB % {b"id": job, b"status": status}


class Connections(HttpToolsProtocol):
    """uvicorn's protocol, counting the connections whose TLS handshake was completed."""

    made = 0

    def connection_made(self, transport: Any) -> None:
        """Count it."""
        Connections.made += 1
        super().connection_made(transport)


def _page(items: bytes, total: int, page: int) -> bytes:
    pagination = b'{"total": %d, "page": %d, "pageSize": 200}' % (total, page)
    return b'{"items": [%s], "pagination": %s}' % (items, pagination)


async def _body(receive: Receive) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


def _iso(moment: float) -> bytes:
    return datetime.fromtimestamp(int(moment), UTC).isoformat().encode()


def _template(data: Any) -> bytes:
    # What stands between "@ and @" is something else than a string.
    text: str = json.dumps(data).replace('"@', "").replace('@"', "")
    return text.encode()


_FLOW = {
    "id": "%(id)s",
    "name": "flow-%(n)d",
    "repo": "bench/flow-%(n)d",
    "src_language": "python",
    "src_provider": "github",
    "src_origin_url": "https://github.example/bench/flow-%(n)d.git",
    "created_at": "2015-06-01T08:00:00+00:00",
}
_FLOW_RUNNING = _template(_FLOW | {"status": "Started", "package_id": "%(id)s-old"})
_FLOW_ENDED = _template(_FLOW | {"status": "Success", "package_id": "%(id)s-new"})
_APP = _template(
    {
        "id": "%(id)s",
        "name": "app-%(n)d",
        "state": "%(state)s",
        "release_name": "v1.0.0",
        "package": {"id": "%(id)s", "image": "registry.example/bench/app-%(n)d"},
        "app_runtime": {"name": "bench", "display_name": "Bench"},
        "enable_auto_redeploy": False,
        "created_at": "2015-06-01T08:00:00+00:00",
        "last_operated_at": "%(operated)s",
    }
)
_ACTION = _template(
    {
        "id": "%(id)s",
        "action_name": "redeploy_app",
        "state": "%(state)s",
        "app_id": "%(app_id)s",
        "start_date": "2015-06-01T08:00:00+00:00",
        "end_date": "@%(end)s@",
        "error_info": {"message": None},
        "time_cost_seconds": "@%(seconds)s@",
    }
)
_RUN = _template(
    {
        "runId": "%(id)d",
        "name": "run-%(id)d",
        "state": "%(state)s",
        "createdAt": "1790000000",
        "startedAt": "1790000000",
        "duration": "20000",
        "parameters": [{"name": "TAG", "value": "latest"}],
    }
)
_DEPLOYMENT = _template(
    {
        "metadata": {
            "name": "%(name)s",
            "namespace": "bench",
            "generation": "@2@",
            "resourceVersion": "%(updated)d",
            "annotations": {},
        },
        "spec": {
            "replicas": 3,
            "template": {
                "spec": {"containers": [{"name": "%(name)s", "image": "registry.example/app:2"}]}
            },
        },
        "status": {
            "observedGeneration": 2,
            "replicas": 3,
            "updatedReplicas": "@%(updated)d@",
            "availableReplicas": "@%(updated)d@",
            "conditions": [{"type": "Progressing", "status": "True"}],
        },
    }
)
_DBT_CLOUD_RUN = _template(
    {
        "status": {"code": 200, "is_success": True, "user_message": "Success!"},
        "data": {
            "id": "@%(id)d@",
            "account_id": 1,
            "project_id": 1,
            "job_definition_id": 1,
            "status": "@%(status)d@",
            "created_at": "2015-06-01 08:00:00+00:00",
            "href": "https://cloud.example/accounts/1/runs/%(id)d/",
        },
    }
)
_DATABRICKS_RUN = _template(
    {
        "job_id": 1,
        "run_id": "@%(id)d@",
        "state": {
            "life_cycle_state": "%(life)s",
            "result_state": "@%(result)s@",
            "state_message": "",
        },
        "start_time": 1433145600000,
        "run_page_url": "https://databricks.example/?o=1#job/1/run/%(id)d",
    }
)
_AIRBYTE_JOB = _template(
    {
        "jobId": "@%(id)d@",
        "status": "%(status)s",
        "jobType": "sync",
        "startTime": "2015-06-01T08:00:00Z",
        "connectionId": "00000000-0000-4000-8000-000000000000",
    }
)


async def serve(certificate: str) -> None:
    """Serve on a free port of the loopback interface until standard input is closed.

    :param certificate: path of a PEM file with key and certificate.
    """
    service = Service()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        cast("Any", service),
        http=Connections,
        ssl_certfile=certificate,
        lifespan="off",
        access_log=False,
        log_level="warning",
        backlog=4096,
        timeout_keep_alive=75,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
        await asyncio.sleep(0.01)
    _say({"port": listener.getsockname()[1]})

    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    cpu = 0.0
    while line := await orders.readline():
        order = json.loads(line)
        if order.pop("do") == "begin":
            service.calls.clear()
            Connections.made = 0
            cpu = _cpu()
            _say({"ends": service.jobs.begin(**order)})
        else:
            _say(
                {
                    "calls": dict(service.calls),
                    "connections": Connections.made,
                    "server_cpu": _cpu() - cpu,
                }
            )
    server.should_exit = server.force_exit = True
    await serving


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
