"""The server's life: it starts or says why not, it stops, it comes back, it hides nothing."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
import requests

from airflow_provider_daocloud.sandbox import Options, Sandbox, SandboxError
from airflow_provider_daocloud.sandbox.pytest_plugin import daocloud_sandbox
from tests.contract.conftest import Client

fixture = daocloud_sandbox  # as a user's conftest.py imports it


def test_free_port_and_loopback() -> None:
    """By default the port is a free one, and loopback alone is listened on."""
    with Sandbox() as one, Sandbox() as other:
        assert one.port != other.port
        assert one.host == "127.0.0.1"
        for sandbox in (one, other):
            with Client(sandbox) as client:
                assert client.ask("GET", "/v1/apps").status_code == 200


def test_busy_port_is_the_callers_error() -> None:
    """A port that is taken is an error at once, in the caller, that names the port."""
    with Sandbox() as one:
        with pytest.raises(SandboxError, match=str(one.port)):
            Sandbox(one.port).start()
        with Client(one) as client:
            assert client.ask("GET", "/v1/apps").status_code == 200


def test_stopped_means_stopped() -> None:
    """After the block the port refuses, the thread is gone, and idle connections are closed."""
    with Sandbox() as sandbox:
        client = Client(sandbox)
        client.ask("GET", "/v1/apps")
    assert not [t for t in threading.enumerate() if t.name == "daocloud-sandbox"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((sandbox.host, sandbox.port), timeout=5)
    with pytest.raises(requests.ConnectionError):
        client.ask("GET", "/v1/apps")
    client.close()


def test_stopping_does_not_wait_for_a_stalled_answer() -> None:
    """A call that is stalled for an hour does not hold up the end."""
    broken = threading.Event()
    with Sandbox() as sandbox, Client(sandbox) as client:
        sandbox.fault("delay", delay=3600)

        def ask() -> None:
            with pytest.raises(requests.ConnectionError):
                client.ask("GET", "/v1/apps", timeout=60)
            broken.set()

        asking = threading.Thread(target=ask)
        asking.start()
        sandbox.service.wait_for(lambda: sandbox.counts["list_apps"] == 1)
        sandbox.stop()
        asking.join(30)
    assert broken.is_set()


def test_a_call_that_is_held_while_it_stops_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that comes after those that were held is forgotten with the server as well."""
    ends: list[str] = []
    with Sandbox() as sandbox, Client(sandbox) as client:
        sandbox.fault("hold", call="restart_app", times=None)
        release = sandbox.service.release

        def ask() -> None:
            with pytest.raises(requests.ConnectionError):
                client.post("web", "restart")
            ends.append("broken")

        asking = threading.Thread(target=ask)

        def release_and_be_late(**how: bool) -> int:
            count = release(**how)
            asking.start()
            sandbox.wait_held()
            return count

        monkeypatch.setattr(sandbox.service, "release", release_and_be_late)
        sandbox.stop()
        monkeypatch.undo()
        asking.join(10)
        sandbox.reset()
        assert ends == ["broken"]
        assert sandbox.effects == {}


def test_what_was_held_can_be_released_after_the_end() -> None:
    """Whoever still has it in hand does no harm."""
    with Sandbox() as sandbox, Client(sandbox) as client:
        sandbox.fault("hold")

        def ask() -> None:
            with pytest.raises(requests.ConnectionError):
                client.ask("GET", "/v1/apps")

        asking = threading.Thread(target=ask)
        asking.start()
        (held,) = sandbox.wait_held()
        sandbox.stop()
        asking.join(10)
        held.release()
        assert sandbox.log[-1].status is None


def test_restart_on_the_same_port_keeps_the_world() -> None:
    """A server that was restarted has its port, its token and its actions still."""
    with Sandbox(options=Options(action_seconds=None)) as sandbox, Client(sandbox) as client:
        action_id = client.redeploy("web", "v2").json()["action_id"]
        port = sandbox.port
        sandbox.stop()
        with pytest.raises(requests.ConnectionError):
            client.ask("GET", "/v1/apps")
        sandbox.start()
        assert sandbox.port == port
        assert client.action("web", action_id).json()["state"] == "IN_PROCESS"
        assert sandbox.effects == {"redeploy_app": 1}


def test_starting_twice_is_an_error() -> None:
    """A sandbox that runs cannot be started again; one that is stopped can be stopped again."""
    with Sandbox() as sandbox, pytest.raises(SandboxError, match="runs already"):
        sandbox.start()
    sandbox.stop()


def test_a_bug_in_the_sandbox_surfaces() -> None:
    """What breaks while a call is answered is raised in the caller at the end of the block."""
    sandbox = Sandbox()

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    sandbox.service.on_served = broken
    with (
        pytest.raises(SandboxError, match="a bug"),
        sandbox,
        Client(sandbox) as client,
    ):
        assert client.ask("GET", "/v1/apps").status_code == 500


def test_a_crash_of_the_thread_surfaces(caplog: pytest.LogCaptureFixture) -> None:
    """A server that dies is an error at the next check and at the end, not a silent time-out."""
    with pytest.raises(SandboxError, match="it died"), Sandbox() as sandbox:  # noqa: PT012
        running = sandbox._running
        assert running is not None

        def die() -> None:
            raise SystemExit("it died")

        assert running._server.loop is not None
        running._server.loop.call_soon_threadsafe(die)
        running._thread.join(10)
        with pytest.raises(SandboxError, match="it died"):
            sandbox.check()


def test_the_blocks_own_error_is_not_hidden() -> None:
    """An error in the block comes out as itself."""
    with pytest.raises(ZeroDivisionError), Sandbox() as sandbox:  # noqa: PT012
        sandbox.errors.append(RuntimeError("less interesting"))
        raise ZeroDivisionError


def test_token_is_not_shown() -> None:
    """The token stands in no repr, and each sandbox makes up its own."""
    one, other = Sandbox(), Sandbox()
    assert one.token != other.token
    assert one.token not in repr(one) + repr(one.world.accounts.values()) + repr(vars(one.service))


@pytest.mark.parametrize("token", ["", "two words", "ünïcode", "line\nbreak"])
def test_bad_token(token: str) -> None:
    """A token that cannot stand in a header is refused."""
    with pytest.raises(ValueError, match="token"):
        Sandbox(token=token)


def test_connection_json() -> None:
    """The connection is of our type, names the address, and carries extras that are given."""
    with Sandbox(token="t") as sandbox:
        connection = json.loads(sandbox.connection_json({"verify": False}))
    assert connection == {
        "conn_type": "daocloud",
        "host": f"http://127.0.0.1:{sandbox.port}",
        "password": "t",
        "extra": {"verify": False},
    }


def test_connections_are_counted_and_kept_alive() -> None:
    """Calls of one session share one connection; a second session is a second one."""
    with Sandbox() as sandbox:
        for count in (1, 2):
            with Client(sandbox) as client:
                for _ in range(20):
                    client.ask("GET", "/v1/apps")
            assert sandbox.connections == count


def test_idle_connections_are_closed() -> None:
    """A connection that idles longer than said is closed by the server."""
    with Sandbox(keep_alive=0.1) as sandbox:
        host, _, port = sandbox.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(b"GET /v1/apps HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while piece := connection.recv(65536):  # ends only when the server closes
                answer += piece
    assert answer.startswith(b"HTTP/1.1 401")


def test_tls(certificate: tuple[Path, Path]) -> None:
    """With a certificate it serves HTTPS, which a client can verify."""
    certfile, keyfile = certificate
    with Sandbox(certfile=certfile, keyfile=keyfile) as sandbox, Client(sandbox) as client:
        assert sandbox.url.startswith("https://")
        client.verify = str(certfile)
        assert client.ask("GET", "/v1/apps").status_code == 200
        with Client(sandbox) as distrustful, pytest.raises(requests.exceptions.SSLError):
            distrustful.ask("GET", "/v1/apps")


def test_bad_certificate_is_the_callers_error(tmp_path: Path) -> None:
    """A certificate that cannot be read is an error in the caller, and the port is free again."""
    bad = tmp_path / "bad.pem"
    bad.write_text("not a certificate")
    sandbox = Sandbox(certfile=bad, keyfile=bad)
    with pytest.raises(SandboxError, match="TLS"):
        sandbox.start()
    Sandbox(sandbox.port).start().stop()


def test_ipv6() -> None:
    """It listens on the IPv6 loopback too, if asked."""
    with Sandbox(host="::1") as sandbox, Client(sandbox) as client:
        assert client.ask("GET", "/v1/apps").status_code == 200


async def _ask_at_once(sandbox: Sandbox, count: int) -> list[int]:
    import asyncio

    headers = {"Authorization": f"token {sandbox.token}"}
    app_id = sandbox.world.app("web").id
    async with httpx.AsyncClient(base_url=sandbox.url, headers=headers, timeout=30) as client:
        path = f"/v1/apps/{app_id}/actions/restart"
        answers = await asyncio.gather(*(client.post(path) for _ in range(count)))
    return [answer.status_code for answer in answers]


def test_many_at_once() -> None:
    """A hundred calls at the same time are each served and counted once."""
    import asyncio

    with Sandbox() as sandbox:
        statuses = asyncio.run(_ask_at_once(sandbox, 100))
        assert statuses == [200] * 100
        assert sandbox.effects == {"restart_app": 100}
        assert len(sandbox.world.actions) == 100
        assert sandbox.world.accounts.remaining(sandbox.world.accounts[sandbox.token]) == 4900


def test_real_time() -> None:
    """On the real clock an action ends by itself, and a client that polls sees it end."""
    with Sandbox(speed=50) as sandbox, Client(sandbox) as client:
        action_id = client.redeploy("web", "v2").json()["action_id"]
        ends_by = time.monotonic() + 60
        while (state := client.action("web", action_id).json()["state"]) == "IN_PROCESS":
            assert time.monotonic() < ends_by
            time.sleep(0.01)
        assert state == "SUCCESS"
        assert client.app("web")["release_name"] == "v2"


def test_reset() -> None:
    """A reset begins again: the first world, no faults, counts at zero."""
    with Sandbox(seed=3) as sandbox, Client(sandbox) as client:
        before = client.ask("GET", "/v1/apps").json()["app"]
        client.redeploy("web", "v2")
        sandbox.fault("drop", times=None)
        sandbox.set_options(rate_limit=1)
        sandbox.reset()
        assert (dict(sandbox.counts), dict(sandbox.effects), list(sandbox.log)) == ({}, {}, [])
        after = client.ask("GET", "/v1/apps").json()["app"]
        assert [(app["id"], app["state"], app["release_name"]) for app in after] == [
            (app["id"], app["state"], app["release_name"]) for app in before
        ]


def test_fixture(fixture: Sandbox) -> None:
    """The fixture runs a sandbox and makes it the default connection."""
    import os

    connection = json.loads(os.environ["AIRFLOW_CONN_DAOCLOUD_DEFAULT"])
    answer = requests.get(
        connection["host"] + "/v1/apps",
        headers={"Authorization": f"token {connection['password']}"},
        timeout=10,
    )
    assert answer.status_code == 200
    assert fixture.counts == {"list_apps": 1}


def test_it_stands_alone() -> None:
    """The sandbox loads neither Airflow nor any other module of the provider."""
    code = (
        "import sys, airflow_provider_daocloud.sandbox.__main__\n"
        "from airflow_provider_daocloud.sandbox import Sandbox\n"
        "print([n for n in sys.modules if n.split('.')[0] == 'airflow'"
        " or n.startswith('airflow_provider_daocloud.')"
        " and not n.startswith('airflow_provider_daocloud.sandbox')])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout.strip() == "[]"


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_missing_extra_is_named(missing: str) -> None:
    """Without its libraries the sandbox says which extra to install; its plain parts work."""
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from airflow_provider_daocloud.sandbox import World, Options\n"
        "try:\n    from airflow_provider_daocloud.sandbox import Sandbox\n"
        "except ImportError as error:\n    print(error)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert missing in ended.stdout
    assert "airflow-provider-daocloud[sandbox]" in ended.stdout
