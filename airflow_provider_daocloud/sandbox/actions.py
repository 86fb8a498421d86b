"""The actions of a world: accepted on an app or a stack, begun, ended, and read by polls."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_daocloud.sandbox.objects import (
    ACTION_ENDS,
    Action,
    ActionPlan,
    App,
    one_of,
    text,
)
from airflow_provider_daocloud.sandbox.parts import NotFoundError, take_plan

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.apps import Apps
    from airflow_provider_daocloud.sandbox.objects import Resource
    from airflow_provider_daocloud.sandbox.options import Moment
    from airflow_provider_daocloud.sandbox.parts import Shared
    from airflow_provider_daocloud.sandbox.stacks import Stacks

_NO_PLAN = ActionPlan()


class AppBusyError(Exception):
    """Another action runs on the app or stack, and this world refuses a second one."""


class Actions(dict[str, Action]):
    """The actions by their ids.

    :param shared: what the parts of the world share.
    :param apps: the apps that they run on.
    :param stacks: the stacks that they run on.
    """

    def __init__(self, shared: Shared, apps: Apps, stacks: Stacks) -> None:
        super().__init__()
        self.plans: list[ActionPlan] = []
        self._shared = shared
        self._timeline = shared.timeline
        self._apps = apps
        self._stacks = stacks

    def plan(self, plan: ActionPlan) -> None:
        """Decide what the next matching actions do. Later plans come after earlier ones."""
        with self._timeline.lock:
            if plan.app_id is not None:
                plan = replace(plan, app_id=self._apps.find(plan.app_id).id)
            if plan.stack_id is not None:
                plan = replace(plan, stack_id=self._stacks.find(plan.stack_id).id)
            self.plans.append(plan)

    def accept(
        self, resource: Resource, action: str, release_name: str | None, *, by: str
    ) -> Action:
        """Accept an action on an app or a stack: it begins now, later, or when others have ended.

        :raises AppBusyError: another action runs on it, and ``busy`` is ``refuse``.
        """
        options = self._shared.options
        others = bool(resource.coming or resource.running or resource.queued)
        if others and options.busy == "refuse":
            raise AppBusyError(f"another action runs on {resource.name} {resource.id}")
        accepted = self._planned(resource, action, release_name, by)
        now = accepted.accepted_at
        self[accepted.id] = accepted
        self._touch(resource, "accepted", now)
        if others and options.busy == "queue":
            resource.queued.append(accepted)
        elif options.begin_after:
            resource.coming.append(accepted)
            self._timeline.at(
                now + options.begin_after, lambda when: self._begin(resource, accepted, when)
            )
        else:
            self._begin(resource, accepted, now)
        return accepted

    def _planned(
        self, resource: Resource, action: str, release_name: str | None, by: str
    ) -> Action:
        """Return an action that is going to do what the next plan for it says."""
        options = self._shared.options
        is_app = isinstance(resource, App)
        app_id, stack_id = (resource.id, None) if is_app else (None, resource.id)

        def matches(plan: ActionPlan) -> bool:
            return (
                plan.app_id in (None, app_id)
                and plan.stack_id in (None, stack_id)
                and plan.action in (None, action)
            )

        plan = take_plan(self.plans, matches) or _NO_PLAN
        seconds, polls = plan.seconds, plan.polls
        if seconds is None:
            seconds = options.action_seconds
            if seconds is not None and options.action_spread:
                seconds += self._shared.random.uniform(0, options.action_spread)
            if polls is None and not plan.by_hand:
                polls = options.action_polls
        return Action(
            id=self._shared.new_id(),
            app_id=app_id,
            stack_id=stack_id,
            action=action,
            accepted_at=self._timeline.now(),
            outcome=plan.state,
            message=plan.message,
            release_name=release_name,
            by=by,
            seconds=None if plan.by_hand or polls is not None else seconds,
            polls=polls,
            leaves=plan.leaves,
        )

    def _begin(self, resource: Resource, action: Action, when: float) -> None:
        if action.state != "IN_PROCESS" or action in resource.running:
            return
        for place in (resource.coming, resource.queued):
            if action in place:
                place.remove(action)
        action.begun_at = when
        resource.running.append(action)
        self._touch(resource, "started", when)
        self._changed(resource, when)
        if action.seconds is not None:
            ends = when + action.seconds / self._shared.options.speed
            self._timeline.at(ends, lambda t: self._end(action, action.outcome, action.message, t))

    def finish(self, action_id: str, state: str = "SUCCESS", message: str | None = None) -> Action:
        """End an action now, by hand.

        :param action_id: the action.
        :param state: ``SUCCESS`` or ``FAILED``.
        :param message: what a failed one says in ``error_info``.
        :raises NotFoundError: there is no such action.
        :raises ValueError: it has ended already, or no action ends so.
        """
        one_of("state", state, ACTION_ENDS)
        if message is not None:
            text("message", message)
        with self._timeline.up_to_date():
            action = self.get(action_id)
            if action is None:
                raise NotFoundError(f"no action {action_id}")
            if action.state != "IN_PROCESS":
                raise ValueError(f"action {action_id} has ended already")
            self._end(action, state, message, self._timeline.now())
            return action

    def read(self, resource: Resource, action_id: str) -> Action:
        """Return an action as a poll sees it; a poll counts for those that end by polls.

        :param resource: the app or the stack.
        :param action_id: the action.
        :raises NotFoundError: no such action on it, or it cannot be read yet.
        """
        with self._timeline.up_to_date():
            action, now = self.get(action_id), self._timeline.now()
            if (
                action is None
                or self._resource_of(action) is not resource
                or now < action.accepted_at + self._shared.options.action_lag
            ):
                raise NotFoundError(f"no action {action_id} on {resource.name}")
            if action.polls is not None and action.begun_at is not None:
                action.reads += 1
                if action.reads > action.polls:
                    self._end(action, action.outcome, action.message, now)
            return action

    def forget(self, app: App) -> None:
        """Remove the actions of an app."""
        for action in [action for action in self.values() if action.app_id == app.id]:
            del self[action.id]

    def _end(self, action: Action, state: str, message: str | None, when: float) -> None:
        resource = self._resource_of(action)
        if resource is None or action.state != "IN_PROCESS":
            return
        action.state, action.message, action.ended_at = state, message, when
        if action.begun_at is None:
            action.begun_at = action.accepted_at
        for place in (resource.coming, resource.running, resource.queued):
            if action in place:
                place.remove(action)
        if isinstance(resource, App):
            self._apps.apply(resource, action)
        self._touch(resource, "ended", when)
        self._changed(resource, when)
        if resource.queued and not resource.running and not resource.coming:
            self._begin(resource, resource.queued[0], when)

    def _resource_of(self, action: Action) -> Resource | None:
        if action.app_id is not None:
            return self._apps.get(action.app_id)
        return self._stacks.get(action.stack_id or "")

    def _touch(self, resource: Resource, moment: Moment, when: float) -> None:
        options = self._shared.options
        if options.last_operated_at != moment:
            return

        def move(seen: float) -> None:
            resource.last_operated_at = max(resource.last_operated_at, when)
            self._changed(resource, seen)

        if options.last_operated_at_delay:
            self._timeline.at(when + options.last_operated_at_delay, move)
        else:
            move(when)

    def _changed(self, resource: Resource, when: float) -> None:
        if isinstance(resource, App):
            self._apps.changed(resource, when)
