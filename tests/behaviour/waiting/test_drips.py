"""A server whose answers drip: no wait outlasts its time, and none is late because of another.

The server sends a byte now and then, for a minute: no time-out between two bytes ever strikes.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_daocloud.api.errors import WaitTimeoutError
from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook
from airflow_provider_daocloud.operators.daocloud import DaoCloudAppActionOperator
from airflow_provider_daocloud.sensors.daocloud import DaoCloudActionSensor
from airflow_provider_daocloud.triggers.daocloud import DaoCloudActionTrigger
from tests.support.modes import OPERATOR_MODES, SENSOR_MODES, Run, first_event
from tests.support.samples import APP, APP_ID
from tests.support.servers import Server, http

if TYPE_CHECKING:
    import socket

DRIPS = 60.0


def action(action_id: str, state: str) -> dict[str, Any]:
    """Return an action as DaoCloud shows it."""
    return {"id": action_id, "state": state, "app_id": APP_ID, "action_name": "restart_app"}


def serve(server: Server, connection: socket.socket) -> None:
    """Answer everything, but let the actions drip whose id begins so."""
    while request := server.read(connection):
        path = request.split()[1].decode()
        name = path.rpartition("/")[2]
        if "drip-body" in name or "drip-headers" in name:
            raw = http(200, json.dumps(action(name, "IN_PROCESS")).encode() + b" " * 1000)
            begin = raw.index(b"{") if "body" in name else 20
            connection.sendall(raw[:begin])
            for n in range(begin, begin + int(DRIPS / 0.1)):
                connection.sendall(raw[n : n + 1])
                if server.over.wait(0.1):
                    return
            return
        if request.startswith(b"POST"):
            connection.sendall(http(200, {"action_id": "drip-body"}))
        elif "/actions/" in path:
            over = sum(name.encode() in earlier for earlier in server.requests) > 2
            connection.sendall(http(200, action(name, "FAILED" if over else "IN_PROCESS")))
        else:
            # An app on which something happens all the time: a hint to observe its actions.
            app = APP | {"last_operated_at": f"at request {len(server.requests)}"}
            connection.sendall(http(200, {"app": [app]} if name == "apps" else app))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server(serve) as server:
        connection = {
            "conn_type": "daocloud",
            "password": "a-token",
            "host": server.url,
            # Much longer than the test may take: it is the wait's own deadline that ends it.
            "extra": {"connect_timeout": 30, "read_timeout": 30},
        }
        monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_DEFAULT", json.dumps(connection))
        yield server


MODES = {
    f"{kind}, {mode}": (task, how)
    for kind, task, modes in (
        ("operator", DaoCloudAppActionOperator, OPERATOR_MODES),
        ("sensor", DaoCloudActionSensor, SENSOR_MODES),
    )
    for mode, how in modes.items()
}


@pytest.fixture
def short_final_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_daocloud.core.waiting.blocking.FINAL_POLL", 0.5)
    monkeypatch.setattr("airflow_provider_daocloud.triggers.wait_session.FINAL_POLL", 0.5)


@pytest.mark.usefixtures("server", "short_final_poll")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("what", ["drip-body", "drip-headers"])
def test_a_wait_ends_within_its_timeout_and_the_final_poll(what: str, mode: str) -> None:
    task: Any
    task, how = MODES[mode]
    how = {"task_id": "task", "app_id": APP_ID, "timeout": 1.0} | how
    if task is DaoCloudActionSensor:
        how |= {"action_id": what, "poke_interval": 0.1}
    else:
        how |= {"action": "restart", "poll_interval": 0.1}
    began = time.monotonic()
    ending = Run(lambda: task(**how)).to_the_end()
    assert ending.kind in ("AirflowSensorTimeout", "DaoCloudWaitTimeoutError", "WaitTimeoutError")
    assert "within 1 s; it was never seen" in str(ending.error)
    assert time.monotonic() - began < DRIPS / 2


@pytest.mark.usefixtures("server", "short_final_poll")
@pytest.mark.parametrize("what", ["drip-body", "drip-headers"])
def test_the_hook_waits_no_longer(what: str) -> None:
    began = time.monotonic()
    with pytest.raises(WaitTimeoutError, match="within 1 s; it was never seen"):
        DaoCloudHook().wait_for_action(APP_ID, what, timeout=1.0, poll_interval=0.1)
    assert time.monotonic() - began < DRIPS / 2


def test_the_other_waits_of_the_account_are_not_late(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten answers drip at once; what the others wait for is seen while they still do."""
    monkeypatch.setattr("airflow_provider_daocloud.core.polling.queue.SLOW_AFTER", 0.3)
    path = f"{DaoCloudActionTrigger.__module__}.{DaoCloudActionTrigger.__qualname__}"

    def wait(action_id: str) -> asyncio.Task[Any]:
        kwargs = {"app_id": APP_ID, "action_id": action_id, "poll_interval": 0.2, "timeout": 50.0}
        return asyncio.ensure_future(first_event(path, kwargs, alone=False))

    async def run() -> None:
        slow = [wait(f"drip-{what}-{n}") for n in range(5) for what in ("body", "headers")]
        await asyncio.sleep(0.2)
        others = [wait(f"other-{n}") for n in range(4)]
        done, _ = await asyncio.wait(others, timeout=DRIPS / 2)
        assert done == set(others)
        assert {task.result().payload["status"] for task in done} == {"failed"}
        assert not any(task.done() for task in slow)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)

    asyncio.run(run())
    assert server.connections <= 16
