"""The sandbox's state: accounts, apps, stacks, build flows, builds, actions, and how they move.

Nothing here knows HTTP. The clock is injected, and nothing ticks: whoever looks first makes
everything happen that was due by then, in its order and with its own date.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import math
import random
import threading
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_daocloud.sandbox.objects import (
    ACTION_ENDS,
    ACTIONS,
    APP_STATES,
    BUILD_ENDS,
    STACK_ACTIONS,
    Account,
    Action,
    ActionPlan,
    App,
    AppView,
    Build,
    BuildFlow,
    BuildPlan,
    Operated,
    Stack,
    one_of,
    text,
)
from airflow_provider_daocloud.sandbox.options import LAST_MOMENT, Moment, Options, fits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# What an app shows while an action runs on it, and where a successful one leaves it.
_PASSING = {
    "start": "STARTING",
    "stop": "STOPPING",
    "restart": "STARTING",
    "redeploy": "RESTAGING",
}
_REACHED = {"start": "RUNNING", "stop": "STOPPED", "restart": "RUNNING", "redeploy": "RUNNING"}

_NO_PLAN = ActionPlan()
_Plan = TypeVar("_Plan", ActionPlan, BuildPlan)


class NoSuchThingError(LookupError):
    """No such app, stack, build flow, build, action or account."""


class AppBusyError(Exception):
    """Another action runs on the app or stack, and this world refuses a second one."""


class World:
    """Everything that the sandbox's service knows.

    :param clock: gives the time in Unix seconds.
    :param seed: makes ids the same in every run; ``None`` for new ones.
    :param options: how the world behaves where the contract leaves it open.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        seed: int | None = None,
        options: Options | None = None,
    ) -> None:
        self.lock = threading.RLock()
        self.options = options or Options()
        self.accounts: dict[str, Account] = {}
        self.apps: dict[str, App] = {}
        self.stacks: dict[str, Stack] = {}
        self.build_flows: dict[str, BuildFlow] = {}
        self.actions: dict[str, Action] = {}
        self.plans: list[ActionPlan] = []
        self.build_plans: list[BuildPlan] = []
        self.anonymous = Account("anonymous", "")
        self._clock = clock
        self._ahead = 0.0
        self._random = random.Random(seed)
        self._due: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()
        self._build_ids = itertools.count(1)
        self._polled_builds: list[Build] = []
        self._packages: dict[tuple[str, str], str] = {}

    # Time

    def now(self) -> float:
        """Return the world's time in Unix seconds."""
        return self._clock() + self._ahead

    def advance(self, seconds: float) -> None:
        """Move the world's clock ahead; what was due by then happens."""
        if not fits(seconds, float):
            raise ValueError(f"a clock is moved ahead by zero or more seconds, not {seconds!r}")
        with self.looking():
            if self.now() + seconds > LAST_MOMENT:
                raise ValueError(f"{seconds!r} seconds from now is beyond the last date there is")
            self._ahead += seconds
            self._settle()

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        """Hold the world still, after everything due has happened."""
        with self.lock:
            self._settle()
            yield

    def _settle(self) -> None:
        now = self.now()
        while self._due and self._due[0][0] <= now:
            due, _, happen = heapq.heappop(self._due)
            happen(due)

    def _at(self, when: float, happen: Callable[[float], None]) -> None:
        heapq.heappush(self._due, (when, next(self._order), happen))

    def next_due(self) -> float | None:
        """Return when the next thing happens by itself, in Unix seconds; ``None`` if nothing."""
        with self.looking():
            return self._due[0][0] if self._due else None

    # Settings

    def set_options(self, **changes: Any) -> Options:
        """Change how the world behaves from now on.

        :raises ValueError: an unknown option, or a value that it does not take.
        """
        with self.looking():
            before = self.options
            self.options = before.changed(**changes)
            for app in self.apps.values():
                if self.options.app_list == "frozen" and before.app_list != "frozen":
                    app.listed = [(-math.inf, self.view(app))]
                self._changed(app, self.now())
            return self.options

    def plan(self, plan: ActionPlan) -> None:
        """Decide what the next matching actions do. Later plans come after earlier ones."""
        with self.lock:
            if plan.app_id is not None:
                plan = replace(plan, app_id=self.app(plan.app_id).id)
            if plan.stack_id is not None:
                plan = replace(plan, stack_id=self.stack(plan.stack_id).id)
            self.plans.append(plan)

    def plan_build(self, plan: BuildPlan) -> None:
        """Decide what the next builds do that a client's POST starts. Later plans come after."""
        with self.lock:
            if plan.build_flow_id is not None:
                plan = replace(plan, build_flow_id=self.build_flow(plan.build_flow_id).id)
            self.build_plans.append(plan)

    # Accounts and their hour

    def add_account(self, token: str, name: str = "main", *, read_only: bool = False) -> Account:
        """Let a token in.

        :param token: the access token.
        :param name: what counts and logs call it, since they never show a token.
        :param read_only: its POSTs get a 401, as the call is beyond what it allows.
        :raises ValueError: the token is blank or not plain text, or the name is taken.
        """
        text("name", name)
        text("token", token)
        if not token.isascii() or not token.isprintable() or " " in token:
            raise ValueError("a token is printable ASCII without spaces")
        with self.lock:
            if any(account.name == name for account in self.accounts.values()):
                raise ValueError(f"there is an account named {name!r} already")
            account = Account(name, token, read_only)
            self.accounts[token] = account
            return account

    def revoke(self, name: str) -> None:
        """Make an account's token invalid.

        :raises NoSuchThingError: no account has this name.
        """
        with self.lock:
            for account in self.accounts.values():
                if account.name == name:
                    account.revoked = True
                    return
        raise NoSuchThingError(f"no account {name}")

    def account_for(self, token: str) -> Account | None:
        """Return the account of a token that is valid."""
        account = self.accounts.get(token)
        return None if account is None or account.revoked else account

    def remaining(self, account: Account) -> int:
        """Return how many calls an account has left, and open its next window if it is time."""
        now = self.now()
        if now >= account.window_end:
            account.used = 0
            # A whole second: the header shows no fraction, and must not be earlier than the truth.
            account.window_end = float(math.ceil(now + self.options.rate_window))
        return max(0, self.options.rate_limit - account.used)

    def spend(self, account: Account) -> bool:
        """Take one call from an account's hour; say whether there was one left."""
        if self.remaining(account) == 0:
            return False
        account.used += 1
        return True

    # Apps

    def new_id(self) -> str:
        """Return an id, the same one in every run of a seeded world."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def add_app(
        self,
        name: str,
        *,
        state: str = "RUNNING",
        release_name: str = "v1.0.0",
        image: str | None = None,
        app_id: str | None = None,
        created_at: float | None = None,
        last_operated_at: float | None = None,
        runtime_name: str = "S0",
        runtime_display_name: str = "自有集群",
        enable_auto_redeploy: bool = False,
        instances: int = 1,
        expose_port: int = 80,
        command: str | None = None,
    ) -> App:
        """Create an app. Names need not be unique.

        :raises ValueError: a state that is none, or an id that is taken.
        """
        with self.looking():
            now = self.now()
            image = image or f"daocloud.io/sandbox/{name}"
            app = App(
                id=app_id or self.new_id(),
                name=name,
                rest_state=state,
                release_name=release_name,
                package_id=self._package(image, release_name),
                image=image,
                created_at=now - 30 * 86400 if created_at is None else created_at,
                last_operated_at=now - 86400 if last_operated_at is None else last_operated_at,
                runtime_name=runtime_name,
                runtime_display_name=runtime_display_name,
                enable_auto_redeploy=enable_auto_redeploy,
                instances=instances,
                expose_port=expose_port,
                command=command,
            )
            if app.id in self.apps:
                raise ValueError(f"there is an app {app.id} already")
            self.apps[app.id] = app
            app.listed = [(-math.inf, self.view(app))]
            return app

    def app(self, id_or_name: str) -> App:
        """Return an app by its id, or else the first one of this name.

        :raises NoSuchThingError: there is none.
        """
        with self.looking():
            if found := self.apps.get(id_or_name):
                return found
            for app in self.apps.values():
                if app.name == id_or_name:
                    return app
        raise NoSuchThingError(f"no app {id_or_name}")

    def change_app(
        self, id_or_name: str, *, state: str | None = None, release_name: str | None = None
    ) -> App:
        """Change an app behind everybody's back, without an action.

        :raises NoSuchThingError: there is no such app.
        :raises ValueError: a state that is none.
        """
        if state is not None:
            one_of("state", state, APP_STATES)
        if release_name is not None:
            text("release_name", release_name)
        with self.looking():
            app = self.app(id_or_name)
            if state is not None:
                app.rest_state = state
            if release_name is not None:
                self._set_release(app, release_name)
            self._changed(app, self.now())
            return app

    def crash_app(self, id_or_name: str) -> App:
        """Make an app crash: it is ``NOT_RUNNING``, and no action says so."""
        return self.change_app(id_or_name, state="NOT_RUNNING")

    def remove_app(self, id_or_name: str) -> None:
        """Remove an app with its actions."""
        with self.looking():
            app = self.app(id_or_name)
            del self.apps[app.id]
            self.actions = {k: a for k, a in self.actions.items() if a.app_id != app.id}

    def view(self, app: App) -> AppView:
        """Return an app as ``GET /apps/{id}`` shows it now."""
        if app.view is None:
            state = app.rest_state
            if app.running and self.options.transitional_states:
                state = _PASSING[app.running[-1].action]
            fine = self.options.last_operated_at_granularity
            app.view = AppView(
                id=app.id,
                name=app.name,
                state=self.options.spell(state, page_case=self.options.usual_case),
                release_name=app.release_name,
                package_id=app.package_id,
                image=app.image,
                runtime_name=app.runtime_name,
                runtime_display_name=app.runtime_display_name,
                runtime_id=str(uuid.uuid5(uuid.NAMESPACE_DNS, app.runtime_name)),
                enable_auto_redeploy=app.enable_auto_redeploy,
                created_at=app.created_at,
                last_operated_at=app.last_operated_at // fine * fine,
                instances=app.instances,
                expose_port=app.expose_port,
                command=app.command,
            )
        return app.view

    def listed_view(self, app: App) -> AppView:
        """Return an app as ``GET /apps`` shows it now: live, late, or frozen."""
        if self.options.app_list == "live" and not self.options.app_list_lag:
            return self.view(app)
        seen_until = self.now() - self.options.app_list_lag
        # One entry older than the lag is kept: it is the one that is shown.
        while len(app.listed) > 1 and app.listed[1][0] <= seen_until:
            app.listed.pop(0)
        return app.listed[0][1]

    def _changed(self, app: Operated, when: float) -> None:
        if not isinstance(app, App):
            return
        app.view = None
        if self.options.app_list == "frozen":
            return
        if self.options.app_list_lag:
            app.listed.append((when, self.view(app)))
        else:
            app.listed = [(when, self.view(app))]

    def _set_release(self, app: App, release_name: str) -> None:
        app.release_name = release_name
        app.package_id = self._package(app.image, release_name)

    def _package(self, image: str, release_name: str) -> str:
        key = (image, release_name)
        if key not in self._packages:
            self._packages[key] = self.new_id()
        return self._packages[key]

    # Stacks

    def add_stack(
        self,
        name: str,
        *,
        stack_id: str | None = None,
        stack_ids: list[str] | None = None,
        created_at: float | None = None,
        last_operated_at: float | None = None,
    ) -> Stack:
        """Create a stack. Names need not be unique.

        :raises ValueError: a field that does not take its value, or an id that is taken.
        """
        with self.looking():
            now = self.now()
            stack = Stack(
                id=stack_id or self.new_id(),
                name=name,
                stack_ids=[self.new_id()] if stack_ids is None else stack_ids,
                created_at=now - 30 * 86400 if created_at is None else created_at,
                last_operated_at=now - 86400 if last_operated_at is None else last_operated_at,
            )
            if stack.id in self.stacks:
                raise ValueError(f"there is a stack {stack.id} already")
            self.stacks[stack.id] = stack
            return stack

    def stack(self, id_or_name: str) -> Stack:
        """Return a stack by its id, or else the first one of this name.

        :raises NoSuchThingError: there is none.
        """
        with self.looking():
            if found := self.stacks.get(id_or_name):
                return found
            for stack in self.stacks.values():
                if stack.name == id_or_name:
                    return stack
        raise NoSuchThingError(f"no stack {id_or_name}")

    # Actions

    def operate(
        self, app_id: str, action: str, release_name: str | None = None, *, by: str = "somebody"
    ) -> Action:
        """Accept an action on an app, as a client's POST or another person would.

        :param app_id: the app's id (or name).
        :param action: ``start``, ``stop``, ``restart`` or ``redeploy``.
        :param release_name: the release of a redeploy.
        :param by: who asks, for the count.
        :raises NoSuchThingError: there is no such app.
        :raises AppBusyError: another action runs on it, and ``busy`` is ``refuse``.
        :raises ValueError: no such action, or a redeploy without a release.
        """
        one_of("action", action, ACTIONS)
        if (action == "redeploy") != (release_name is not None):
            raise ValueError("a redeploy, and nothing else, takes a release_name")
        if release_name is not None:
            text("release_name", release_name)
        with self.looking():
            return self._accept(self.app(app_id), action, release_name, by)

    def operate_stack(self, stack_id: str, action: str, *, by: str = "somebody") -> Action:
        """Accept an action on a stack, likewise.

        :param stack_id: the stack's id (or name).
        :param action: ``start``, ``stop`` or ``restart``.
        :param by: who asks, for the count.
        :raises NoSuchThingError: there is no such stack.
        :raises AppBusyError: another action runs on it, and ``busy`` is ``refuse``.
        :raises ValueError: no such action.
        """
        one_of("action", action, STACK_ACTIONS)
        with self.looking():
            return self._accept(self.stack(stack_id), action, None, by)

    def _accept(self, thing: Operated, action: str, release_name: str | None, by: str) -> Action:
        others = bool(thing.coming or thing.running or thing.queued)
        if others and self.options.busy == "refuse":
            raise AppBusyError(f"another action runs on {thing.name} {thing.id}")
        now = self.now()
        app_id, stack_id = (thing.id, None) if isinstance(thing, App) else (None, thing.id)
        plan = self._take_plan(app_id, stack_id, action)
        seconds = self.options.action_seconds if plan.seconds is None else plan.seconds
        if seconds is not None and plan.seconds is None and self.options.action_spread:
            seconds += self._random.uniform(0, self.options.action_spread)
        polls = plan.polls
        if polls is None and plan.seconds is None and not plan.by_hand:
            polls = self.options.action_polls
        doing = Action(
            id=self.new_id(),
            app_id=app_id,
            stack_id=stack_id,
            action=action,
            accepted_at=now,
            outcome=plan.state,
            message=plan.message,
            release_name=release_name,
            by=by,
            seconds=None if plan.by_hand or polls is not None else seconds,
            polls=polls,
            leaves=plan.leaves,
        )
        self.actions[doing.id] = doing
        self._touch(thing, "accepted", now)
        if others and self.options.busy == "queue":
            thing.queued.append(doing)
        elif self.options.begin_after:
            thing.coming.append(doing)
            self._at(now + self.options.begin_after, lambda t: self._begin(thing, doing, t))
        else:
            self._begin(thing, doing, now)
        return doing

    def _take_plan(self, app_id: str | None, stack_id: str | None, action: str) -> ActionPlan:
        def fits(plan: ActionPlan) -> bool:
            return (
                plan.app_id in (None, app_id)
                and plan.stack_id in (None, stack_id)
                and plan.action in (None, action)
            )

        return _take(self.plans, fits) or _NO_PLAN

    def _begin(self, thing: Operated, action: Action, when: float) -> None:
        if action.state != "IN_PROCESS" or action in thing.running:
            return
        for place in (thing.coming, thing.queued):
            if action in place:
                place.remove(action)
        action.begun_at = when
        thing.running.append(action)
        self._touch(thing, "started", when)
        self._changed(thing, when)
        if action.seconds is not None:
            ends = when + action.seconds / self.options.speed
            self._at(ends, lambda t: self._end(action, action.outcome, action.message, t))

    def finish_action(
        self, action_id: str, state: str = "SUCCESS", message: str | None = None
    ) -> Action:
        """End an action now, by hand.

        :param action_id: the action.
        :param state: ``SUCCESS`` or ``FAILED``.
        :param message: what a failed one says in ``error_info``.
        :raises NoSuchThingError: there is no such action.
        :raises ValueError: it has ended already, or no action ends so.
        """
        one_of("state", state, ACTION_ENDS)
        if message is not None:
            text("message", message)
        with self.looking():
            action = self.actions.get(action_id)
            if action is None:
                raise NoSuchThingError(f"no action {action_id}")
            if action.state != "IN_PROCESS":
                raise ValueError(f"action {action_id} has ended already")
            self._end(action, state, message, self.now())
            return action

    def _end(self, action: Action, state: str, message: str | None, when: float) -> None:
        thing = self._operated(action)
        if thing is None or action.state != "IN_PROCESS":
            return
        action.state, action.message, action.ended_at = state, message, when
        if action.begun_at is None:
            action.begun_at = action.accepted_at
        for place in (thing.coming, thing.running, thing.queued):
            if action in place:
                place.remove(action)
        if isinstance(thing, App):
            self._arrive(thing, action)
        self._touch(thing, "ended", when)
        self._changed(thing, when)
        if thing.queued and not thing.running and not thing.coming:
            self._begin(thing, thing.queued[0], when)

    def _arrive(self, app: App, action: Action) -> None:
        if action.state == "SUCCESS":
            app.rest_state = _REACHED[action.action]
            if action.release_name is not None:
                self._set_release(app, action.release_name)
        elif action.action == "restart":
            app.rest_state = "NOT_RUNNING"  # it was stopped, and did not come back
        if action.leaves is not None:
            app.rest_state = action.leaves

    def _operated(self, action: Action) -> Operated | None:
        if action.app_id is not None:
            return self.apps.get(action.app_id)
        return self.stacks.get(action.stack_id or "")

    def _touch(self, thing: Operated, moment: Moment, when: float) -> None:
        if self.options.last_operated_at != moment:
            return

        def move(seen: float) -> None:
            thing.last_operated_at = max(thing.last_operated_at, when)
            self._changed(thing, seen)

        if self.options.last_operated_at_delay:
            self._at(when + self.options.last_operated_at_delay, move)
        else:
            move(when)

    def read_action(self, thing: Operated, action_id: str) -> Action:
        """Return an action as a poll sees it; a poll counts for those that end by polls.

        :param thing: the app or the stack.
        :raises NoSuchThingError: no such action on it, or it cannot be read yet.
        """
        with self.looking():
            action = self.actions.get(action_id)
            if (
                action is None
                or self._operated(action) is not thing
                or self.now() < action.accepted_at + self.options.action_lag
            ):
                raise NoSuchThingError(f"no action {action_id} on {thing.name}")
            if action.polls is not None and action.begun_at is not None:
                action.reads += 1
                if action.reads > action.polls:
                    self._end(action, action.outcome, action.message, self.now())
            return action

    # Build flows and builds

    def add_build_flow(
        self,
        name: str,
        *,
        status: str = "Success",
        build_flow_id: str | None = None,
        repo: str | None = None,
        src_language: str = "Go",
        src_provider: str = "github",
        src_origin_url: str | None = None,
        package_id: str | None = None,
        created_at: float | None = None,
    ) -> BuildFlow:
        """Create a build flow.

        :raises ValueError: a status that is none, or an id that is taken.
        """
        with self.looking():
            flow = BuildFlow(
                id=build_flow_id or self.new_id(),
                name=name,
                repo=repo or f"sandbox/{name}",
                src_language=src_language,
                src_provider=src_provider,
                src_origin_url=src_origin_url or f"https://github.com/sandbox/{name}",
                status=status,
                package_id=package_id or self.new_id(),
                created_at=self.now() - 30 * 86400 if created_at is None else created_at,
            )
            if flow.id in self.build_flows:
                raise ValueError(f"there is a build flow {flow.id} already")
            self.build_flows[flow.id] = flow
            return flow

    def build_flow(self, id_or_name: str) -> BuildFlow:
        """Return a build flow by its id, or else the first one of this name.

        :raises NoSuchThingError: there is none.
        """
        with self.looking():
            if found := self.build_flows.get(id_or_name):
                return found
            for flow in self.build_flows.values():
                if flow.name == id_or_name:
                    return flow
        raise NoSuchThingError(f"no build flow {id_or_name}")

    def start_build(self, build_flow: str, plan: BuildPlan | None = None) -> Build:
        """Start a build: ``Pending``, then ``Started``, then its outcome.

        :param build_flow: the flow's id or name.
        :param plan: what the build is going to do.
        :raises NoSuchThingError: there is no such flow.
        """
        with self.looking():
            flow = self.build_flow(build_flow)
            return self._start_build(flow, plan or BuildPlan(), self.now())

    def order_build(self, build_flow_id: str, branch: str) -> Build:
        """Start a build as a client's POST does; the next plan for one says what it does.

        :raises NoSuchThingError: there is no such flow.
        """
        with self.looking():
            if build_flow_id not in self.build_flows:
                raise NoSuchThingError(f"no build flow {build_flow_id}")
            planned = _take(self.build_plans, lambda p: p.build_flow_id in (None, build_flow_id))
            plan = replace(planned or BuildPlan(), branch=branch, times=1)
            return self.start_build(build_flow_id, plan)

    def start_build_later(
        self, build_flow: str, after: float, plan: BuildPlan | None = None
    ) -> None:
        """Start a build by itself, ``after`` seconds from now."""
        if not fits(after, float):
            raise ValueError(f"after is a number of seconds, zero or more, not {after!r}")
        with self.looking():
            flow = self.build_flow(build_flow)

            def start(when: float) -> None:
                self._start_build(flow, plan or BuildPlan(), when)

            self._at(self.now() + after, start)

    def _start_build(self, flow: BuildFlow, plan: BuildPlan, when: float) -> Build:
        sha = f"{self._random.getrandbits(160):040x}"
        build = Build(
            id=next(self._build_ids),
            build_flow_id=flow.id,
            created_at=when,
            outcome=plan.outcome,
            ref=plan.branch,
            sha=sha,
            tag=plan.tag or f"{plan.branch}-{sha[:7]}",
            author=plan.author,
            polls=plan.polls,
        )
        flow.builds[build.id] = build
        self._show(flow, build, "Pending")
        if build.polls is not None:
            self._polled_builds.append(build)
        elif not plan.by_hand:
            waits, runs = plan.pending_seconds, plan.seconds
            waits = self.options.pending_seconds if waits is None else waits
            runs = self.options.build_seconds if runs is None else runs
            started = when + waits / self.options.speed
            ended = started + runs / self.options.speed
            self._at(started, lambda _: self._show(flow, build, "Started"))
            self._at(ended, lambda t: self._end_build(flow, build, build.outcome, t))
        return build

    def finish_build(
        self, build_flow: str, status: str = "Success", build_id: int | None = None
    ) -> Build:
        """End a build now, by hand: the flow's latest, or the one named.

        :raises NoSuchThingError: no such flow or build.
        :raises ValueError: it has ended already, or no build ends so.
        """
        one_of("status", status, BUILD_ENDS)
        with self.looking():
            flow = self.build_flow(build_flow)
            build = flow.builds.get(max(flow.builds, default=0) if build_id is None else build_id)
            if build is None:
                raise NoSuchThingError(f"no such build of flow {flow.id}")
            if build.ended_at is not None:
                raise ValueError(f"build {build.id} has ended already")
            self._end_build(flow, build, status, self.now())
            return build

    def _show(self, flow: BuildFlow, build: Build, status: str) -> None:
        if build.ended_at is not None:
            return
        build.status = status
        if build.id == max(flow.builds):
            flow.status = status

    def _end_build(self, flow: BuildFlow, build: Build, status: str, when: float) -> None:
        if build.ended_at is not None:
            return
        self._show(flow, build, status)
        build.ended_at = when
        moves = self.options.package_id_moves
        if moves == "every_build" or (moves == "success" and status == "Success"):
            flow.package_id = self.new_id()

    def read_build_flows(self, build_flow_id: str | None = None) -> list[BuildFlow]:
        """Return all build flows, or the one asked for, as a poll sees them.

        :raises NoSuchThingError: there is no such flow.
        """
        with self.looking():
            if build_flow_id is not None and build_flow_id not in self.build_flows:
                raise NoSuchThingError(f"no build flow {build_flow_id}")
            for build in list(self._polled_builds):
                if build_flow_id in (None, build.build_flow_id):
                    self._poll_build(build)
            if build_flow_id is not None:
                return [self.build_flows[build_flow_id]]
            return list(self.build_flows.values())

    def read_build(self, build_flow_id: str, build_id: str) -> Build:
        """Return one build as a poll sees it.

        :raises NoSuchThingError: no such flow or build, or it cannot be read yet.
        """
        with self.looking():
            flow = self.build_flows.get(build_flow_id)
            for build in flow.builds.values() if flow else ():
                if str(build.id) == build_id:
                    if self.now() < build.created_at + self.options.action_lag:
                        break
                    if build in self._polled_builds:
                        self._poll_build(build)
                    return build
            raise NoSuchThingError(f"no build {build_id} of build flow {build_flow_id}")

    def _poll_build(self, build: Build) -> None:
        flow = self.build_flows[build.build_flow_id]
        build.reads += 1
        if build.polls is not None and build.reads > build.polls:
            self._end_build(flow, build, build.outcome, self.now())
        elif build.reads > 1:
            self._show(flow, build, "Started")
        if build.ended_at is not None:
            self._polled_builds.remove(build)


def _take(plans: list[_Plan], fits: Callable[[_Plan], bool]) -> _Plan | None:
    """Return the first plan that fits, and use it up by one."""
    for plan in plans:
        if fits(plan):
            if plan.times is not None:
                plan.times -= 1
                if plan.times <= 0:
                    plans.remove(plan)
            return plan
    return None
