"""A task instance and the sandbox in one process, on a clock that is moved by hand.

The operator, the journal and the client's retries are the real ones; the contract is the sandbox's.
Made up are the time, the process (which can die at any point) and what Airflow does between tries.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeVar

from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_daocloud.api.client import DaoCloudClient
from airflow_provider_daocloud.api.endpoint import Endpoint
from airflow_provider_daocloud.api.errors import (
    CallError,
    DaoCloudError,
    OutcomeUnknownError,
    UnreachableError,
)
from airflow_provider_daocloud.api.openapi.apps import App as ApiApp
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.response import Response, interpret, server_time
from airflow_provider_daocloud.core.submission.journal import KEY
from airflow_provider_daocloud.core.submission.plan import Progress
from airflow_provider_daocloud.core.submission.submission import Submission
from airflow_provider_daocloud.core.waiting.blocking import block
from airflow_provider_daocloud.core.waiting.wait import Outcome
from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook
from airflow_provider_daocloud.operators.daocloud import (
    DaoCloudAppActionOperator,
    DaoCloudBaseOperator,
    DaoCloudRedeployOperator,
    DaoCloudStackActionOperator,
    DaoCloudTriggerBuildOperator,
)
from airflow_provider_daocloud.operators.execution import Execution
from airflow_provider_daocloud.sandbox.contract import Request as SandboxRequest
from airflow_provider_daocloud.sandbox.faults import Fault
from airflow_provider_daocloud.sandbox.objects import Action, ActionPlan, App, Build
from airflow_provider_daocloud.sandbox.options import Options
from airflow_provider_daocloud.sandbox.service import ConnectionBrokenError, Service
from airflow_provider_daocloud.sandbox.world import World
from tests.support import first_words
from tests.support.xcoms import task_instance

T = TypeVar("T")

TOKEN = "simulated-token"
# Some moment whose date has seconds: nothing of it looks cut.
BEGIN = 1_800_000_007.0
DAY = 86400.0


class Crash(BaseException):
    """The process is gone: nothing catches this, and nothing is tidied up."""


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self._now = BEGIN
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()

    def time(self) -> float:
        """Return the time in Unix seconds."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Let time pass; what is due meanwhile happens."""
        end = self._now + seconds
        while self._due and self._due[0][0] <= end:
            when, _, happen = heapq.heappop(self._due)
            self._now = max(self._now, when)
            happen()
        self._now = max(self._now, end)

    def later(self, seconds: float, happen: Callable[[], object]) -> None:
        """Let something happen by itself, ``seconds`` from now."""
        heapq.heappush(self._due, (self._now + seconds, next(self._order), happen))


@dataclass
class Points:
    """The places at which a process can die: around each call, and each write of the journal.

    :param passed: those that the process has passed, by name.
    :param crash: says whether it dies at a point, by its name and its number.
    """

    passed: list[str] = field(default_factory=list)
    crash: Callable[[str, int], bool] = lambda _name, _number: False

    def __call__(self, name: str) -> None:
        """Pass a point, or die there."""
        self.passed.append(name)
        if self.crash(name, len(self.passed)):
            raise Crash(name)


@dataclass
class Posted:
    """One action, or one build, that came from a POST of ours.

    :param invocation: the one that it came from.
    :param shown: the app's ``last_operated_at`` just before it, as the server showed it.
    :param late: so many seconds before it, we had given its POST up.
    """

    invocation: int
    action: Any  # of the sandbox's: an `Action` or a `Build`
    shown: float
    late: float


@dataclass
class Seen:
    """One observation of the app by us."""

    when: float
    app: ApiApp


class Store:
    """Airflow's task state store: JSON by key, outlasting the process.

    :param fail: what the next calls do, by the phase that is written, ``get`` or ``any``: ``lose``
        raises with no effect, ``keep`` raises although it took effect.
    :param on_set: called with each entry when it is written.
    """

    def __init__(self, points: Points) -> None:
        self.entries: dict[str, str] = {}
        self.fail: list[tuple[str, str]] = []
        self.points = points
        self.on_set: Callable[[Any], object] = lambda _entry: None

    @property
    def entry(self) -> Any:
        """What the journal holds, as it is stored."""
        return json.loads(self.entries[KEY])

    def get(self, key: str, default: Any = None) -> Any:
        if self._fault("get"):
            raise ConnectionError("no API server")
        return json.loads(self.entries[key]) if key in self.entries else default

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        # Beside the journal's entry there may be others.
        phase = value["phase"] if key == KEY else key
        self.points(f"before {phase}")
        fault = self._fault(phase)
        if fault != "lose":
            self.entries[key] = json.dumps(value)
            if key == KEY:
                self.on_set(value)
        if fault:
            raise ConnectionError("no API server")
        self.points(f"after {phase}")

    def _fault(self, request: str) -> str | None:
        if self.fail and self.fail[0][0] in (request, "any"):
            return self.fail.pop(0)[1]
        return None


class Client(DaoCloudClient):
    """The client of the package, with the sandbox's contract in the place of a network.

    :param late: for the next POSTs, so many seconds after we have given them up they arrive.
    :param refused: so many of the next POSTs cannot connect.
    :param answers: what the next POSTs are answered with, or fail with, and do not arrive.
    :param posts: lets each POST of ours arrive (again).
    :param observations: what the app showed whenever it was observed.
    """

    def __init__(self, simulation: Simulation) -> None:
        clock = simulation.clock
        super().__init__(Endpoint("http://sandbox/v1", TOKEN), clock=clock.time, sleep=clock.sleep)
        self.late: list[float] = []
        self.refused = 0
        self.answers: list[Response | CallError] = []
        self.posts: list[Callable[[], object]] = []
        self.observations: list[Seen] = []
        self._simulation = simulation

    def arriving(self, request: Request[Any]) -> SandboxRequest:
        """Return a request as it comes off the wire."""
        body = json.dumps(dict(request.body)).encode() if request.body else b""
        headers = {"authorization": f"token {TOKEN}", "content-type": "application/json"}
        return SandboxRequest(request.method, f"/v1{request.path}", headers, body)

    def _send_once(self, request: Request[T], within: float | None) -> T:
        simulation = self._simulation
        simulation.points(f"before {request.name}")
        if request.is_write and self.refused:
            self.refused -= 1
            raise UnreachableError(str(request), "connection refused.")
        serve = partial(simulation.serve, self.arriving(request), simulation.invocation)
        if request.is_write:
            self.posts.append(serve)
        if request.is_write and self.answers:
            given = self.answers.pop(0)
            if isinstance(given, CallError):
                raise given
            return interpret(request, given, now=simulation.clock.time(), secret=TOKEN)
        if request.is_write and self.late:
            late = self.late.pop(0)
            simulation.clock.later(late, lambda: _unheard(partial(serve, late)))
            raise OutcomeUnknownError(
                str(request), "no answer came (late); it may have been taken."
            )
        try:
            response = serve()
        except ConnectionBrokenError as e:
            if request.is_write:
                text = f"no answer came ({e}); the action may have been taken."
                raise OutcomeUnknownError(str(request), text) from None
            raise UnreachableError(str(request), f"no answer came ({e}).") from None
        simulation.points(f"after {request.name}")
        self.server_time = server_time(response)
        seen = interpret(request, response, now=simulation.clock.time(), secret=TOKEN)
        if isinstance(seen, ApiApp):
            self.observations.append(Seen(simulation.clock.time(), seen))
        return seen


class SimulatedHook(DaoCloudHook):
    """A hook whose client is given.

    :param client: the client.
    """

    def __init__(self, client: Client) -> None:
        super().__init__()
        self.client = client

    def get_conn(self) -> Client:
        """Return the client."""
        return self.client


class _Simulated(DaoCloudBaseOperator):
    """The operator on the simulation's clock."""

    simulation: Simulation

    def execution(self, context: Any) -> Execution:
        return _SimulatedExecution(self, context)


class _SimulatedExecution(Execution):
    def __init__(self, task: _Simulated, context: Any) -> None:
        clock = task.simulation.clock
        super().__init__(task, context, clock=clock.time, monotonic=clock.time, sleep=clock.sleep)
        self.simulation = task.simulation

    def submission(self, progress: Progress) -> Submission:
        return replace(super().submission(progress), log=self.simulation.log)


class Redeploy(_Simulated, DaoCloudRedeployOperator):
    pass


class AppAction(_Simulated, DaoCloudAppActionOperator):
    pass


class TriggerBuild(_Simulated, DaoCloudTriggerBuildOperator):
    pass


class StackAction(_Simulated, DaoCloudStackActionOperator):
    pass


@dataclass
class Ending:
    """How a try ended.

    :param result: what the task returned.
    :param error: what it raised; a `Crash` if its process died.
    :param deferral: what it waits for in the triggerer, if it has not ended.
    :param passed: the points that it passed.
    """

    result: Any = None
    error: BaseException | None = None
    deferral: TaskDeferred | None = None
    passed: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """The class of what was raised, *deferred*, or *success*."""
        if self.deferral is not None:
            return "deferred"
        return "success" if self.error is None else type(self.error).__name__


class Simulation:
    """One app, one task instance that acts on it, and Airflow around it.

    :param action: ``start``, ``stop``, ``restart`` or ``redeploy``.
    :param release_name: the release of a redeploy; the app runs ``v1``.
    :param options: of the sandbox's world.
    :param state: the app's.
    :param store: whether this Airflow has a task state store.
    :param retries: of the task.
    :param arguments: of the operator.
    """

    run_id: str | None = None

    def __init__(
        self,
        action: str = "redeploy",
        release_name: str = "v2",
        *,
        options: Options | None = None,
        state: str | None = None,
        store: bool = True,
        retries: int = 2,
        **arguments: Any,
    ) -> None:
        self.action = action
        self.release_name = release_name
        self.arguments = {"timeout": 600.0, "deferrable": False} | arguments
        self.clock = Clock()
        self.points = Points()
        self.lines: list[str] = []
        self.posted: list[Posted] = []
        self.on_posted: Callable[[Posted], object] = lambda _posted: None
        self.xcoms: dict[str, Any] = {}
        self.service = Service(
            partial(World, clock=self.clock.time, seed=0, options=options or Options())
        )
        self.world = self.service.world
        self.world.operate = self._operate  # type: ignore[method-assign]
        self._serving: tuple[int, float] | None = None
        self.world.add_account(TOKEN)
        at_rest = {"start": "STOPPED"}.get(action, "RUNNING")
        self.app: App = self.world.add_app(
            "web", state=state or at_rest, release_name="v1", last_operated_at=BEGIN - DAY
        )
        self.store = Store(self.points) if store else None
        self.client = Client(self)
        # What Airflow keeps of the task.
        self.retries = retries
        self.max_tries = retries
        self.try_number = 0
        self.clears = 0
        self.invocation = 0
        self.invoked_at = self.clock.time()

    # What Airflow and people do

    def run(self, crash: str | int | None = None, **arguments: Any) -> Ending:
        """Run the next try, to its end or until it waits in the triggerer.

        :param crash: the point at which its process dies: its name, or its number.
        :param arguments: of the operator, if they are others than before.
        """
        self.try_number += 1
        return self._process(_execute, crash, self.operator(**arguments))

    def process_of(self, task: Any) -> Ending:
        """Run the next try with an operator that the test has in hand."""
        self.try_number += 1
        return self._process(_execute, None, task)

    def resume(self, ending: Ending, crash: str | int | None = None) -> Ending:
        """Wait in the triggerer for as long as it takes, and end the try in a new process."""
        return self.deliver(self.event_of(ending), crash)

    def event_of(self, ending: Ending) -> dict[str, Any]:
        """Wait in the triggerer, and return the event that it fires."""
        assert ending.deferral is not None
        trigger = ending.deferral.trigger
        self.points.crash = lambda _name, _number: False
        try:
            observe = block(
                trigger.wait(),
                partial(self.client.send, retry_timeout=0.0),
                timeout=trigger.timeout,
                poll_interval=trigger.poll_interval,
                max_outage=trigger.max_outage,
                log=self.log,
                clock=self.clock.time,
                sleep=self.clock.sleep,
                wait_state=trigger.wait_state,
            )
            outcome = Outcome.of_observation(observe)
        except DaoCloudError as e:
            outcome = Outcome.of_error(e)
        return outcome.as_event() | {"checkpoint": json.loads(json.dumps(trigger.checkpoint))}

    def deliver(self, event: dict[str, Any], crash: str | int | None = None) -> Ending:
        """Go on with the try in a new process, because of an event."""
        return self._process(
            lambda task, context: task.execute_complete(context, event), crash, self.operator()
        )

    def to_the_end(self, crash: str | int | None = None, **arguments: Any) -> Ending:
        """Run the next try, in the triggerer too if it goes there."""
        ending = self.run(crash, **arguments)
        while ending.deferral is not None:
            ending = self.resume(ending)
        return ending

    def clear(self, *, moves: bool = True) -> None:
        """Clear the task: a new invocation.

        :param moves: whether Airflow moves ``max_tries``.
        """
        if moves:
            self.max_tries = self.try_number + self.retries
        self.clears += 1
        self.invocation += 1
        self.invoked_at = self.clock.time()

    def fault(self, kind: Any, **rule: Any) -> None:
        """Switch a fault of the sandbox on."""
        self.service.add_fault(Fault(kind, **rule))

    def plan(self, state: str) -> None:
        """Let the next action of ours end in SUCCESS or FAILED."""
        self.world.plan(ActionPlan(state, "no such image" if state == "FAILED" else None))

    def another(self, action: str, release_name: str | None = None) -> Action:
        """Let somebody else act on the app."""
        return self.world.operate(self.app.id, action, release_name)

    # What can be said of it

    @property
    def effects(self) -> int:
        """How many actions came from us."""
        return len(self.posted)

    @property
    def request(self) -> str:
        """The name of the call that posts the action."""
        return f"{self.action}_app"

    def log(self, text: str, *arguments: Any) -> None:
        self.lines.append(text % arguments)
        first_words.note(self.lines[-1])

    def serve(self, request: SandboxRequest, invocation: int, late: float = 0.0) -> Response:
        """Let a request of an invocation arrive, so many seconds after it was given up."""
        outer, self._serving = self._serving, (invocation, late)
        try:
            made = self.service.call(request, pause=self.clock.sleep)
        finally:
            self._serving = outer
        return Response(made.status, made.headers, made.body)

    def _operate(self, *what: Any, by: str = "somebody", **more: Any) -> Action:
        """Note whose action it is, and let the world do it."""
        shown = self.world.view(self.app).last_operated_at
        action = World.operate(self.world, *what, by=by, **more)
        if by != "somebody":
            self._note(action, shown)
        return action

    def _note(self, action: Any, shown: float = 0.0) -> None:
        assert self._serving is not None
        invocation, late = self._serving
        self.posted.append(Posted(invocation, action, shown, late))
        self.on_posted(self.posted[-1])

    # Airflow's machinery

    def operator(self, **arguments: Any) -> _Simulated:
        """Return a fresh copy of the operator, as each process has one."""
        given: dict[str, Any] = {"task_id": "act", "app_id": self.app.id, "retries": self.retries}
        given |= self.arguments | arguments
        task: _Simulated
        if self.action == "redeploy":
            task = Redeploy(**{"release_name": self.release_name} | given)
        else:
            task = AppAction(**{"action": self.action} | given)
        return self._ready(task)

    def _ready(self, task: _Simulated) -> _Simulated:
        task.simulation = self
        task.__dict__["hook"] = SimulatedHook(self.client)
        return task

    def _process(
        self, step: Callable[[Any, Any], Any], crash: str | int | None, task: Any
    ) -> Ending:
        self.points.passed = []
        self.points.crash = lambda name, number: crash in (name, number)
        run_began = datetime.fromtimestamp(BEGIN, UTC)
        ti = task_instance(self._xcom_push, try_number=self.try_number, max_tries=self.max_tries)
        # All tries are of one run.
        ti.run_id = self.run_id = self.run_id or ti.run_id
        context = {
            "ti": ti,
            "task_state_store": self.store,
            "dag_run": SimpleNamespace(clear_number=self.clears, start_date=run_began),
        }
        ending = Ending(passed=self.points.passed)
        try:
            ending.result = step(task, context)
            self.points("return")
        except TaskDeferred as e:
            ending.deferral = e
        except (Exception, Crash) as e:
            ending.result, ending.error = None, e
            first_words.note(str(e))
        return ending

    def _xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = json.loads(json.dumps(value))


class BuildSimulation(Simulation):
    """The same with a build flow in the place of the app.

    :param options: of the sandbox's world.
    :param arguments: of the operator.
    """

    def __init__(self, *, options: Options | None = None, **arguments: Any) -> None:
        super().__init__(options=options, **arguments)
        self.flow = self.world.add_build_flow("web")
        self.world.order_build = self._order  # type: ignore[method-assign]

    def _order(self, build_flow_id: str, branch: str) -> Build:
        build = World.order_build(self.world, build_flow_id, branch)
        self._note(build)
        return build

    @property
    def builds(self) -> list[Build]:
        """Those that came from us."""
        return [posted.action for posted in self.posted]

    @property
    def request(self) -> str:
        """The name of the call that starts the build."""
        return "start_build"

    def operator(self, **arguments: Any) -> _Simulated:
        """Return a fresh copy of the operator."""
        given: dict[str, Any] = {"task_id": "act", "build_flow_id": self.flow.id}
        return self._ready(
            TriggerBuild(**given | {"retries": self.retries} | self.arguments | arguments)
        )


class StackSimulation(Simulation):
    """The same with a stack in the place of the app, which is restarted.

    :param options: of the sandbox's world.
    :param arguments: of the operator.
    """

    def __init__(self, *, options: Options | None = None, **arguments: Any) -> None:
        super().__init__("restart", options=options, **arguments)
        self.stack = self.world.add_stack("web", last_operated_at=BEGIN - DAY)
        self.actions: list[Action] = []
        self.world.operate_stack = self._operate_stack  # type: ignore[method-assign]

    def _operate_stack(self, *what: Any, **more: Any) -> Action:
        action = World.operate_stack(self.world, *what, **more)
        self.actions.append(action)
        return action

    @property
    def effects(self) -> int:
        """How many actions there were."""
        return len(self.actions)

    @property
    def request(self) -> str:
        """The name of the call that posts the action."""
        return "restart_stack"

    def operator(self, **arguments: Any) -> _Simulated:
        """Return a fresh copy of the operator."""
        given: dict[str, Any] = {"task_id": "act", "stack_id": self.stack.id, "action": "restart"}
        return self._ready(
            StackAction(**given | {"retries": self.retries} | self.arguments | arguments)
        )


def _unheard(serve: Callable[[], object]) -> None:
    """Let a request arrive whose answer nobody waits for."""
    with contextlib.suppress(ConnectionBrokenError):
        serve()


def _execute(task: Any, context: Any) -> Any:
    """Call ``execute`` past Airflow's guard, which wants a task runner around it."""
    return DaoCloudBaseOperator.execute.__wrapped__(task, context)  # type: ignore[attr-defined]
