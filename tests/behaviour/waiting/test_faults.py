"""Every fault of the sandbox, in every mode: the wait survives it and ends right.

Each fault strikes a wait that is under way: the first poll is answered, the next ones meet it. The
results are the tables in ``docs/faults.md``; ``WRITE_DOCS=1`` writes them.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_daocloud.core.waiting.refusals import REFUSAL_GRACE
from airflow_provider_daocloud.core.waiting.tracker import NOT_FOUND_GRACE
from airflow_provider_daocloud.operators.daocloud import DaoCloudAppActionOperator
from airflow_provider_daocloud.sandbox import ActionPlan, BuildPlan, Fault, Sandbox
from airflow_provider_daocloud.sensors.daocloud import DaoCloudActionSensor
from airflow_provider_daocloud.triggers.daocloud import (
    DaoCloudAppTrigger,
    DaoCloudBuildFlowTrigger,
)
from tests.support.modes import (
    OPERATOR_MODES,
    SENSOR_MODES,
    Modes,
    Run,
    conn_id_of,
    first_event,
)

DOCS = Path(__file__).parents[3] / "docs" / "faults.md"
# How long a server is away, how long a stalled answer takes, and the time-out that it outlasts.
AWAY, STALL, READ_TIMEOUT = 1.0, 3.0, 1.5
MESSAGE = "no such image"


# Begins a fault, when the first poll has been answered. What it returns says how often it was met.
Strike = Callable[[Sandbox], Callable[[], int]]


def fault(kind: Any, **rule: Any) -> Strike:
    """Return what switches on one of the sandbox's faults, for whatever is read next."""

    def redact(sandbox: Sandbox) -> Callable[[], int]:
        rule_of_it = Fault(kind, call="GET", **rule)
        sandbox.service.add_fault(rule_of_it)
        return lambda: rule_of_it.met

    return redact


def hour_is_spent(sandbox: Sandbox) -> Callable[[], int]:
    """Let others spend what remains of the token's hour, which ends soon."""
    world = sandbox.world
    account = world.account_for(sandbox.token)
    assert account is not None
    account.used = world.options.rate_limit
    account.window_end = math.ceil(world.now() + 1)
    return lambda: [served.status for served in sandbox.log].count(403)


def name_does_not_resolve(sandbox: Sandbox) -> Callable[[], int]:
    """Lose the connection, and then the server's name for the next two who ask for it."""
    fault("drop")(sandbox)
    return NAMES.lose(host_of(sandbox), 2)


def server_is_restarted(sandbox: Sandbox) -> Callable[[], int]:
    """Stop the server, and start it again a little later."""
    served_before: list[int] = []
    # From now on nothing is answered any more.
    going = sandbox.fault("drop", call="GET", times=None)

    def restart() -> None:
        sandbox.stop()
        sandbox.remove_fault(going)
        served_before.append(len(sandbox.log))
        time.sleep(AWAY)
        sandbox.start()

    thread = threading.Thread(target=restart)
    thread.start()

    def met() -> int:
        thread.join()
        return len(sandbox.log) - served_before[0]

    return met


# What strikes, and how often a wait that survives has met it at least.
FAULTS: dict[str, tuple[Strike, int]] = {
    "one 503": (fault("status", status=503), 1),
    "ten 503s in a row": (fault("status", status=503, times=10), 10),
    "a proxy's 502, in HTML": (fault("status", status=502, html=True, times=2), 2),
    "two connections reset": (fault("reset", times=2), 2),
    "two connections dropped": (fault("drop", times=2), 2),
    "an answer cut half-way": (fault("cut"), 1),
    "a stall beyond the read time-out": (fault("delay", delay=STALL), 1),
    "HTML in a 200": (fault("html", times=2), 2),
    "half of the JSON in a 200": (fault("truncated", times=2), 2),
    "an empty 200": (fault("empty", times=2), 2),
    "a list where an object is promised": (fault("list", times=2), 2),
    "a 429 with Retry-After": (fault("too_many", retry_after=1), 1),
    "a spent hour": (hour_is_spent, 1),
    "a name that does not resolve": (name_does_not_resolve, 2),
    "a restart of the server": (server_is_restarted, 1),
}


# Every status by which a server, or whoever is between, refuses to answer: 3xx and 4xx.
REFUSALS = (*range(300, 309), *range(400, 419), *range(421, 427), 428, 429, 431, 451, 499)


def odd(*statuses: int) -> Strike:
    """Return what answers polls in a row so: of each status one in JSON, and one as a web page."""

    def redact(sandbox: Sandbox) -> Callable[[], int]:
        rules = [
            Fault("status", call="GET", status=status, html=html)
            for status in statuses
            for html in (False, True)
        ]
        for rule in rules:
            sandbox.service.add_fault(rule)
        return lambda: sum(rule.met for rule in rules)

    return redact


# Five to a wait: any one of them that was fatal would end it.
ODD: dict[str, tuple[Strike, int]] = {
    "HTTP " + ", ".join(map(str, five)): (odd(*five), 2 * len(five))
    for five in (REFUSALS[i : i + 5] for i in range(0, len(REFUSALS), 5))
}
GONE = [f"HTTP {status}" for status in (401, 403, 404)]
STAYING: dict[str, tuple[Strike, int]] = {
    f"HTTP {status}": (odd(status), 2)
    for status in (401, 403, 404, 302, 400, 405, 407, 409, 410, 421, 423, 451, 499)
}
# A web page is never DaoCloud's word, nor is what a proxy asks for itself.
PAGES: dict[str, tuple[Strike, int]] = {
    f"{status}, a web page": (fault("status", status=status, html=True, times=2), 2)
    for status in (302, 401, 403, 404, 409)
} | {"407 in JSON": (fault("status", status=407, times=2), 2)}
# In DaoCloud's words, before anything was read.
AT_FIRST: dict[str, tuple[Strike, int]] = {
    f"{status} at first": (fault("status", status=status, times=None), 1)
    for status in (302, 401, 403, 404, 409, 410)
}
ALL = FAULTS | ODD | STAYING | PAGES | AT_FIRST


class Names:
    """Resolves the sandboxes' names to this machine, except those that are lost for a while."""

    def __init__(self) -> None:
        self._lost: dict[str, int] = {}
        self._real = socket.getaddrinfo

    def lose(self, name: str, times: int) -> Callable[[], int]:
        self._lost[name] = times
        return lambda: times - self._lost.pop(name)

    def getaddrinfo(self, host: Any, *more: Any, **named: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if not name.endswith(".test"):
            return self._real(host, *more, **named)
        if self._lost.get(name):
            self._lost[name] -= 1
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return self._real("127.0.0.1", *more, **named)


NAMES = Names()


def host_of(sandbox: Sandbox) -> str:
    return f"sandbox-{sandbox.port}.test"


MODES: dict[str, dict[str, Any]] = {
    f"{kind}, {mode}": {"task": task} | how
    for kind, task, modes in (
        ("operator", DaoCloudAppActionOperator, OPERATOR_MODES),
        ("sensor", DaoCloudActionSensor, SENSOR_MODES),
    )
    for mode, how in modes.items()
    if (kind, mode) != ("operator", "ended from the trigger")  # the trigger is the sensors'
}
# What one poll serves, one fault hits.
SHARED = {
    "five build flows, deferred": DaoCloudBuildFlowTrigger,
    "five apps, deferred": DaoCloudAppTrigger,
}
MODES |= {name: {"task": trigger} for name, trigger in SHARED.items()}
# The requests that read what is waited for.
POLLS = {
    DaoCloudBuildFlowTrigger: ("get_build_flow", "list_build_flows"),
    DaoCloudAppTrigger: ("get_app", "list_apps"),
}


@pytest.fixture(scope="module")
def modes() -> Iterator[Modes]:
    with pytest.MonkeyPatch.context() as patch, Modes(MODES) as modes:
        patch.setattr(socket, "getaddrinfo", NAMES.getaddrinfo)
        for sandbox in modes.sandboxes.values():
            connection = json.loads(sandbox.connection_json())
            connection["host"] = f"http://{host_of(sandbox)}:{sandbox.port}"
            connection["extra"] = {"read_timeout": READ_TIMEOUT, "allow_http": True}
            name = f"AIRFLOW_CONN_{conn_id_of(sandbox).upper()}"
            patch.setenv(name, json.dumps(connection))
        yield modes


def ending(modes: Modes, mode: str, name: str, *, first: bool = False, **arguments: Any) -> str:
    """Return how a wait that a fault struck has ended, in a few words.

    DaoCloud ends what is waited for with success and with failure, in turns.

    :param name: the fault.
    :param first: whether it strikes before anything was read.
    :param arguments: more arguments of the task.
    """
    begin, times = ALL[name]

    def job(sandbox: Sandbox, how: dict[str, Any]) -> str:
        turn = (list(ALL).index(name) + list(modes.sandboxes.values()).index(sandbox)) % 2
        how_it_ends = ("SUCCESS", "FAILED")[turn]
        struck: list[Callable[[], int]] = []
        observations = 0
        guard = threading.Lock()
        how = how | arguments
        task = how.pop("task")

        def served(call: Any) -> None:
            nonlocal observations
            if call.call not in POLLS.get(task, ("get_action",)):
                return
            if call.params.get("app_id") not in (None, *sandbox.world.apps):
                return  # a late one, of the wait before
            with guard:
                observations += 1
                if not struck:
                    struck.append(begin(sandbox))
                if observations == 4 and task is DaoCloudAppTrigger:
                    # An app's own polls do not count for its action's `polls`.
                    for action_id in sandbox.world.actions:
                        sandbox.world.finish_action(action_id, how_it_ends)

        sandbox.service.on_served = served
        if first:
            struck.append(begin(sandbox))
        wait = several if task in SHARED.values() else alone
        words = wait(sandbox, task, how, how_it_ends)
        met = struck[0]() if struck else 0
        if words in ("outage", "permanent"):  # it was met, or it would not say so
            return words
        return words if met >= times else f"{words}, having met it {met} times"

    key = (name, first, *arguments)
    return modes.run(key, job)[mode].result()


def alone(sandbox: Sandbox, task: Any, how: dict[str, Any], how_it_ends: str) -> str:
    """Run an operator or a sensor, and return how it ended."""
    app = sandbox.world.add_app("web")
    message = MESSAGE if how_it_ends == "FAILED" else None
    sandbox.world.plan(ActionPlan(polls=5, state=how_it_ends, message=message))
    how = {"app_id": app.id, "timeout": 60.0, "max_outage": 30.0} | how
    if task is DaoCloudActionSensor:
        how |= {"poke_interval": 0.05}
        how |= {"action_id": sandbox.world.operate(app.id, "restart").id}
    else:
        how |= {"poll_interval": 0.05, "action": "restart"}
    done = Run(lambda: task(task_id="task", **how)).to_the_end()
    action_id, message = next(iter(sandbox.world.actions), "none"), str(done.error)
    if done.kind == "success" and how_it_ends == "SUCCESS":
        right = done.result["state"] == "SUCCESS" and done.result["action_id"] == action_id
        return "ends right" if right else f"a wrong result: {done.result}"
    if done.kind == "DaoCloudActionFailedError" and how_it_ends == "FAILED":
        return "ends right" if f"failed: {MESSAGE}" in message else message
    if done.kind == "OutageError":
        return "outage" if action_id in message else f"no action id: {message}"
    if done.kind == "AirflowFailException" and "(HTTP " in message:
        return "permanent"
    return f"{done.kind}: {message}"


def several(sandbox: Sandbox, trigger: Any, how: dict[str, Any], how_it_ends: str) -> str:
    """Run the triggers of five resources in one event loop, and return how they ended."""
    things = {DaoCloudBuildFlowTrigger: five_flows, DaoCloudAppTrigger: five_apps}[trigger]
    field, word, waits = things(sandbox, how_it_ends)
    path = f"{trigger.__module__}.{trigger.__qualname__}"
    how = {"poll_interval": 0.05, "timeout": 60.0, "max_outage": 30.0} | how

    async def events() -> list[Any]:
        return await asyncio.gather(
            *(first_event(path, how | wait, alone=False) for wait in waits.values())
        )

    found = set()
    for thing_id, event in zip(waits, asyncio.run(events()), strict=True):
        payload = event.payload
        result = payload["result"] or {}
        if (payload["status"], result.get(field)) == (
            "succeeded" if how_it_ends == "SUCCESS" else "failed",
            word,
        ):
            found.add("ends right" if result["id"] == thing_id else f"a wrong result: {result}")
        elif payload["status"] == "unreachable" and thing_id in payload["message"]:
            found.add("outage")
        elif payload["status"] == "permanent" and "(HTTP " in payload["message"]:
            found.add("permanent")
        else:
            found.add(f"{payload['status']}: {payload['message']}")
    return ", ".join(sorted(found))


Things = tuple[str, str, dict[str, dict[str, Any]]]


def five_flows(sandbox: Sandbox, how_it_ends: str) -> Things:
    """Return how build flows will show their end, and the waits for them by their ids."""
    status = {"SUCCESS": "Success", "FAILED": "Failure"}[how_it_ends]
    flows = [sandbox.world.add_build_flow(f"flow-{n}", status="Failure") for n in range(5)]
    for flow in flows:
        sandbox.world.start_build(flow.id, BuildPlan(polls=5, outcome=status))
    return "status", status, {flow.id: {"build_flow_id": flow.id} for flow in flows}


def five_apps(sandbox: Sandbox, how_it_ends: str) -> Things:
    """Return how apps that are being restarted will show it, and the waits for them."""
    state = {"SUCCESS": "RUNNING", "FAILED": "NOT_RUNNING"}[how_it_ends]
    apps = [sandbox.world.add_app(f"app-{n}") for n in range(5)]
    for app in apps:
        sandbox.world.plan(ActionPlan(by_hand=True))
        sandbox.world.operate(app.id, "restart")
    waits = {app.id: {"app_id": app.id, "fail_states": ["NOT_RUNNING"]} for app in apps}
    return "state", state, waits


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", FAULTS)
def test_a_wait_survives_and_ends_right(modes: Modes, name: str, mode: str) -> None:
    assert survival(modes, mode, name) == "ends right"


# Where DaoCloud says when to come back it is well: that is no outage.
NO_OUTAGE = ("a 429 with Retry-After", "a spent hour")
OUTAGES = [name for name in FAULTS if name not in NO_OUTAGE]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", OUTAGES)
def test_with_no_outage_allowed_the_first_fault_ends_it_as_could_not_find_out(
    modes: Modes, name: str, mode: str
) -> None:
    assert ending(modes, mode, name, max_outage=0) == "outage"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ODD)
def test_a_wait_survives_odd_refusals_of_what_it_has_read(
    modes: Modes, name: str, mode: str
) -> None:
    assert ending(modes, mode, name) == "ends right"


def outlasted(name: str) -> str:
    """Return how a wait ends that has read something, when a refusal outlasts its grace."""
    return "permanent" if name in GONE else "outage"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", STAYING)
def test_a_refusal_that_stays_ends_the_wait(modes: Modes, name: str, mode: str) -> None:
    assert ending(modes, mode, name, max_outage=0) == outlasted(name)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", AT_FIRST)
def test_a_refusal_before_anything_was_read_is_permanent_at_once(
    modes: Modes, name: str, mode: str
) -> None:
    assert ending(modes, mode, name, first=True) == "permanent"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PAGES)
def test_a_web_page_is_survived_before_anything_was_read(
    modes: Modes, name: str, mode: str
) -> None:
    assert ending(modes, mode, name, first=True) == "ends right"


def survival(modes: Modes, mode: str, name: str) -> str:
    """Return how a wait ended that a fault struck."""
    arguments: dict[str, Any] = {"max_outage": 0} if name in NO_OUTAGE else {}
    return ending(modes, mode, name, **arguments)


def test_the_tables_in_the_docs_are_those_of_this_run(modes: Modes) -> None:
    text = document(modes)
    if os.environ.get("WRITE_DOCS"):
        DOCS.parent.mkdir(exist_ok=True)
        DOCS.write_text(text)
    assert DOCS.read_text() == text


def document(modes: Modes) -> str:
    """Return ``docs/faults.md``."""
    noted = ", ".join(NO_OUTAGE)
    return f"""\
# Faults that a wait survives

Made by `WRITE_DOCS=1 pytest tests/behaviour/waiting/test_faults.py`, from what the run gave. A test
holds that this is what it gives.

Each fault strikes a wait that is under way, against the sandbox, over a real socket: the first poll
is answered, the next ones meet the fault. *Ends right* means that the task ended as DaoCloud says:
with success and the whole result, or, in every other run, with a failure and DaoCloud's own
message. Times are scaled down: polls are 0.05 s apart, a stall takes twice the read time-out, the
hour ends within two seconds, the server is away for {AWAY:g} s.

{table(list(FAULTS), lambda name, mode: survival(modes, mode, name))}

## With `max_outage=0`

For those who want to know of the first fault at once. An outage is not *failed*: the
error has the action's id and the last fault. Where DaoCloud says when to come back ({noted}),
it is well, and that is no outage: those two rows above were run with `max_outage=0`.

{table(OUTAGES, lambda name, mode: ending(modes, mode, name, max_outage=0))}

## Every 3xx and 4xx, once

A resource that was read with this token a moment ago, and then refuses, is an outage: gateways that
restart, firewalls, proxies and pages of maintenance answer so for a while. In each run the polls
that follow the first are answered with each status in turn, once in JSON, as DaoCloud answers, and
once with a web page.

{table(list(ODD), lambda name, mode: ending(modes, mode, name))}

## A refusal that lasts longer than is allowed

Here with `max_outage=0`. A 401, 403 or 404 in DaoCloud's words that stays for {REFUSAL_GRACE:g} s
(or for `max_outage`, if that is shorter) is *permanent*: Airflow does not retry the task. After a
401 the Connection is looked up again each time. Every other refusal is an outage.

{table(list(STAYING), lambda name, mode: ending(modes, mode, name, max_outage=0))}

## Before anything was read

What DaoCloud refuses in its own words (JSON) before anything was read is permanent at once; only a
404 for an action or a build is read again, for {NOT_FOUND_GRACE:g} s: a replica may lag. A web
page and a 407 are never DaoCloud's words, so that they are survived even then.

{table(list(AT_FIRST | PAGES), lambda name, mode: ending(modes, mode, name, first=True))}
"""


def table(names: list[str], cell: Callable[[str, str], str]) -> str:
    rows = [["fault", *MODES], *([name, *(cell(name, mode) for mode in MODES)] for name in names)]
    rows.insert(1, ["---"] * (len(MODES) + 1))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
