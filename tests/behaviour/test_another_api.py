"""A second API fits in as a sibling: its resource is defined here, and nothing in core/ knows it.

Its widgets are identified by two parts, its token is a Bearer, its errors read otherwise, and what
it gives for an accepted request is no id but a revision.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from airflow_provider_daocloud.api.endpoint import Endpoint
from airflow_provider_daocloud.api.errors import WaitError
from airflow_provider_daocloud.api.generation import ApiGeneration
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.response import list_of, object_of
from airflow_provider_daocloud.core.polling.batched import Batched
from airflow_provider_daocloud.core.submission.evidence import Snapshot, Verdict
from airflow_provider_daocloud.core.submission.plan import Policy, Progress
from airflow_provider_daocloud.core.waiting.wait import Observation, WaitState
from airflow_provider_daocloud.hooks.base import DaoCloudBaseHook
from airflow_provider_daocloud.operators.base import DaoCloudBaseOperator
from airflow_provider_daocloud.references import Reference
from airflow_provider_daocloud.resources.registry import Resource, register
from airflow_provider_daocloud.sensors.base import DaoCloudBaseSensor
from airflow_provider_daocloud.triggers.daocloud import DaoCloudTrigger
from tests.support.modes import OPERATOR_MODES, SENSOR_MODES, Run

TOKEN = "toy-token"
GENERATION = ApiGeneration("Toy", "Bearer", error_fields=("code", "reason"))


# --- the wire -------------------------------------------------------------------------------------


class Service(ThreadingHTTPServer):
    """Widgets whose size changes a while after it was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.widgets: dict[tuple[str, str], dict[str, Any]] = {
            ("paint", name): {"group": "paint", "name": name, "size": 1, "revision": 1, "ready": 1}
            for name in ("red", "blue")
        }
        self.writes: list[Any] = []
        self.lists = 0
        self.lose_the_next_answer = False


class Handler(BaseHTTPRequestHandler):
    server: Service

    def log_message(self, *_: Any) -> None: ...

    def _answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _widget(self) -> dict[str, Any] | None:
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            self._answer(401, {"code": "unauthenticated", "reason": "who are you?"})
            return None
        _, _, group, _, *name = self.path.split("/")
        found = self.server.widgets.get((group, name[0] if name else ""))
        if found is None and name:
            self._answer(404, {"code": "not_found", "reason": f"no widget {name[0]}"})
        return found if name else {}

    def do_GET(self) -> None:
        with self.server.lock:
            widget = self._widget()
            if widget is None:
                return
            shown = [widget] if widget else list(self.server.widgets.values())
            self.server.lists += not widget
            self._answer(200, dict(widget) if widget else {"items": [dict(one) for one in shown]})
            for one in shown:
                one["ready"] = min(one["ready"] + 1, one["revision"])

    def do_PUT(self) -> None:
        with self.server.lock:
            widget = self._widget()
            if widget is None:
                return
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.server.writes.append(body)
            widget["size"] = body["spec"]["size"]
            widget["revision"] += 2
            if self.server.lose_the_next_answer:
                self.server.lose_the_next_answer = False
                self.close_connection = True
                return
            self._answer(200, {"metadata": {"revision": widget["revision"]}})


def get_widget(group: str, name: str) -> Request[dict[str, Any]]:
    path = f"/groups/{group}/widgets/{name}"
    return Request("get_widget", "GET", path, object_of(dict), api=GENERATION)


def list_widgets() -> Request[tuple[Mapping[str, Any], ...]]:
    path = "/groups/paint/widgets"
    return Request("list_widgets", "GET", path, list_of("items", dict), api=GENERATION)


def resize(group: str, name: str, size: int) -> Request[int]:
    path = f"/groups/{group}/widgets/{name}"
    body = {"spec": {"size": size, "labels": ["ours"], "nested": {"deep": [1, None]}}}
    return Request(
        "resize",
        "PUT",
        path,
        lambda data: int(data["metadata"]["revision"]),
        body,
        api=GENERATION,
    )


# --- the noun -------------------------------------------------------------------------------------


class WidgetError(WaitError):
    """A widget is broken."""


@dataclass(frozen=True)
class WidgetWait:
    group: str
    name: str
    revision: int

    kind: ClassVar[str] = "widget"
    failure: ClassVar[type[WaitError]] = WidgetError
    lags: ClassVar[bool] = False

    @property
    def wanted(self) -> str:
        return f"revision {self.revision}"

    def title(self, name: str | None) -> str:
        return f"widget {self.name}"

    def request(self) -> Request[dict[str, Any]]:
        return get_widget(self.group, self.name)

    def judge(self, seen: Mapping[str, Any], wait_state: WaitState) -> Observation:
        done = seen["ready"] >= self.revision
        return Observation(
            "succeeded" if done else "pending", f"revision {seen['ready']}", dict(seen)
        )

    def __str__(self) -> str:
        return f"widget {self.group}/{self.name}"


@dataclass(frozen=True)
class WidgetEvidence:
    group: str
    name: str

    def __str__(self) -> str:
        return f"widget {self.group}/{self.name}"

    def request(self) -> Request[dict[str, Any]]:
        return get_widget(self.group, self.name)

    def name_of(self, seen: Mapping[str, Any]) -> str:
        return str(seen["name"])

    def snapshot(self, seen: Mapping[str, Any]) -> dict[str, Any]:
        return {"size": seen["size"], "revision": seen["revision"]}

    def is_busy(self, seen: Mapping[str, Any]) -> bool:
        return bool(seen["ready"] < seen["revision"])

    def can_match(self, record: Mapping[str, Any]) -> bool:
        return "size" in record["body"]["spec"]

    def matches(self, record: Mapping[str, Any], seen: Mapping[str, Any]) -> bool:
        return bool(seen["size"] == record["body"]["spec"]["size"])

    def verdict(
        self,
        record: Mapping[str, Any],
        before: Snapshot,
        now: Snapshot,
        *,
        change_seen: bool,
        trust_any: bool,
    ) -> Verdict:
        # A revision counts every write, so that the same one proves that there was none.
        if now.shown["revision"] == before.shown["revision"]:
            return "absent"
        return "present" if now.shown["size"] == record["body"]["spec"]["size"] else "unknown"

    def operated_at(self, snapshot: Snapshot) -> None:
        return None

    def release(self, snapshot: Snapshot) -> None:
        return None

    def receipt_shown(self, record: Mapping[str, Any], seen: Mapping[str, Any]) -> None:
        return None

    def receipt(self, accepted: int) -> str:
        return str(accepted)

    def result(self, record: Mapping[str, Any]) -> dict[str, Any]:
        return {"group": self.group, "name": self.name, "size": record["body"]["spec"]["size"]}

    def title(self, name: str | None) -> str:
        return f"widget {name}"

    def describe(self, record: Mapping[str, Any], name: str | None) -> str:
        return f"resize of {self.title(name)}"

    def describe_snapshot(self, snapshot: Snapshot) -> str:
        return f"size {snapshot.shown['size']}"


register(
    Resource(
        kind="widget",
        list_request=list_widgets,
        distinguishing=("group",),
        dashboard_path="/widgets/{id}",
        polling={
            "widget": Batched(
                list_widgets,
                dict,
                lambda item: (item["group"], item["name"]),
                lambda wait: (wait.group, wait.name),
                ends_waits=True,
            )
        },
    )
)


# --- what users see -------------------------------------------------------------------------------


class ToyHook(DaoCloudBaseHook):
    @staticmethod
    def read_connection(connection: Any) -> Endpoint:
        return Endpoint(f"http://127.0.0.1:{connection.port}", connection.password)


class WidgetReference(Reference):
    resource = "widget"
    group: str
    name: str

    @property
    def ref(self) -> tuple[Any, str | None]:
        return f"{self.group}/{self.name}", None


class WidgetTrigger(DaoCloudTrigger):
    wait_kind = "widget"
    read_connection = staticmethod(ToyHook.read_connection)

    def __init__(self, *, group: str, name: str, revision: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.group, self.name, self.revision = group, name, revision

    @property
    def resource_id(self) -> str:
        return f"{self.group}/{self.name}"

    def wait(self) -> WidgetWait:
        return WidgetWait(self.group, self.name, self.revision)

    def wait_arguments(self) -> dict[str, Any]:
        return {"group": self.group, "name": self.name, "revision": self.revision}


class ResizeOperator(WidgetReference, DaoCloudBaseOperator):
    trigger_classes = (WidgetTrigger,)

    def __init__(self, *, name: str, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.group, self.name, self.size = "paint", name, size

    @cached_property
    def hook(self) -> Any:
        return ToyHook(self.daocloud_conn_id)

    def policy(self) -> Policy:
        return Policy(wait=self.wait_for_completion)

    def request(self, progress: Progress) -> Request[int]:
        return resize(self.group, self.name, self.size)

    def evidence(self) -> WidgetEvidence:
        return WidgetEvidence(self.group, self.name)

    def wait_for(self, receipt: str, progress: Progress) -> WidgetWait:
        return WidgetWait(self.group, self.name, int(receipt))


class WidgetSensor(WidgetReference, DaoCloudBaseSensor):
    trigger_class = WidgetTrigger
    failure = WidgetError

    def __init__(self, *, name: str, revision: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.group, self.name, self.revision = "paint", name, revision

    @cached_property
    def hook(self) -> Any:
        return ToyHook(self.daocloud_conn_id)

    def wait_arguments(self) -> dict[str, Any]:
        return {"group": self.group, "name": self.name, "revision": self.revision}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    with Service() as service:
        thread = threading.Thread(target=service.serve_forever, args=(0.01,))
        thread.start()
        connection = {
            "conn_type": "toy",
            "host": "127.0.0.1",
            "port": service.server_port,
            "password": TOKEN,
        }
        monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_DEFAULT", json.dumps(connection))
        yield service
        service.shutdown()
        thread.join()


@pytest.mark.parametrize("mode", OPERATOR_MODES)
def test_an_operator(service: Service, mode: str) -> None:
    """One write, and a wait for the revision that it gave."""

    def make() -> Any:
        return ResizeOperator(
            task_id="task",
            name="red",
            size=3,
            poll_interval=0.05,
            timeout=20.0,
            **OPERATOR_MODES[mode],
        )

    ending = Run(make).to_the_end()
    assert ending.error is None
    assert (ending.result["size"], ending.result["ready"]) == (3, 3)
    assert ending.xcoms["action_id"] == "3"
    assert [write["spec"]["nested"] for write in service.writes] == [{"deep": [1, None]}]


def test_an_operator_reconciles_by_the_evidence_of_the_resource(service: Service) -> None:
    """The answer is lost, and the revision shows that the write arrived: there is no second one."""
    service.lose_the_next_answer = True

    def make() -> Any:
        return ResizeOperator(task_id="task", name="red", size=3, settle_time=0.2, timeout=20.0)

    ending = Run(make).to_the_end()
    assert ending.error is None
    assert ending.result["adopted"] is True
    assert len(service.writes) == 1


@pytest.mark.parametrize("mode", SENSOR_MODES)
def test_a_sensor(service: Service, mode: str) -> None:
    service.widgets["paint", "blue"]["revision"] = 4

    def make() -> Any:
        return WidgetSensor(
            task_id="task",
            name="blue",
            revision=4,
            poke_interval=0.05,
            timeout=20.0,
            **SENSOR_MODES[mode],
        )

    ending = Run(make).to_the_end()
    assert ending.error is None
    assert ending.result["ready"] == 4


def test_the_poller_asks_one_list_for_all(service: Service) -> None:
    """Two triggers of one connection: their waits share the list, as the strategy says."""
    import asyncio

    for widget in service.widgets.values():
        widget["revision"] = 6

    async def both() -> list[Any]:
        triggers = [
            WidgetTrigger(group="paint", name=name, revision=6, poll_interval=0.05, timeout=20.0)
            for name in ("red", "blue")
        ]
        return await asyncio.gather(*(anext(aiter(one.run())) for one in triggers))

    events = asyncio.run(both())
    assert [event.payload["status"] for event in events] == ["succeeded", "succeeded"]
    assert service.lists >= 2


def test_an_error_reads_as_this_api_writes_it(service: Service) -> None:
    """Another body, and the same classes: no retry helps."""

    def make() -> Any:
        return ResizeOperator(task_id="task", name="green", size=3)

    ending = Run(make).to_the_end()
    assert ending.kind == "AirflowFailException"
    assert "no widget green" in str(ending.error)
    assert "not_found" in str(ending.error)
    assert service.writes == []
