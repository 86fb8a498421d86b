"""The build flows of a world and their builds: ``Pending``, then ``Started``, then an outcome.

A build moves with time, with the reads of it, or by hand; its flow shows what the latest shows.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_daocloud.sandbox.objects import (
    BUILD_ENDS,
    Build,
    BuildFlow,
    BuildPlan,
    one_of,
)
from airflow_provider_daocloud.sandbox.options import fits
from airflow_provider_daocloud.sandbox.parts import Collection, NotFoundError, take_plan

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.parts import Shared


class BuildFlows(Collection[BuildFlow]):
    """The build flows by their ids; each has its builds."""

    kind = "build flow"

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self.plans: list[BuildPlan] = []
        self._build_ids = itertools.count(1)
        self._polled: list[Build] = []

    def add(
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
        with self._timeline.up_to_date():
            flow = BuildFlow(
                id=build_flow_id or self._shared.new_id(),
                name=name,
                repo=repo or f"sandbox/{name}",
                src_language=src_language,
                src_provider=src_provider,
                src_origin_url=src_origin_url or f"https://github.com/sandbox/{name}",
                status=status,
                package_id=package_id or self._shared.new_id(),
                created_at=self._timeline.now() - 30 * 86400 if created_at is None else created_at,
            )
            return self._put(flow)

    def plan(self, plan: BuildPlan) -> None:
        """Decide what the next builds do that a client's POST starts. Later plans come after."""
        with self._timeline.lock:
            if plan.build_flow_id is not None:
                plan = replace(plan, build_flow_id=self.find(plan.build_flow_id).id)
            self.plans.append(plan)

    def start(self, build_flow: str, plan: BuildPlan | None = None) -> Build:
        """Start a build: ``Pending``, then ``Started``, then its outcome.

        :param build_flow: the flow's id or name.
        :param plan: what the build is going to do.
        :raises NotFoundError: there is no such flow.
        """
        with self._timeline.up_to_date():
            flow = self.find(build_flow)
            return self._start(flow, plan or BuildPlan(), self._timeline.now())

    def order(self, build_flow_id: str, branch: str) -> Build:
        """Start a build as a client's POST does; the next plan for one says what it does.

        :raises NotFoundError: there is no such flow.
        """
        with self._timeline.up_to_date():
            flow = self.by_id(build_flow_id)
            planned = take_plan(self.plans, lambda p: p.build_flow_id in (None, build_flow_id))
            plan = replace(planned or BuildPlan(), branch=branch, times=1)
            return self._start(flow, plan, self._timeline.now())

    def start_later(self, build_flow: str, after: float, plan: BuildPlan | None = None) -> None:
        """Start a build by itself, ``after`` seconds from now."""
        if not fits(after, float):
            raise ValueError(f"after is a number of seconds, zero or more, not {after!r}")
        with self._timeline.up_to_date():
            flow, planned = self.find(build_flow), plan or BuildPlan()
            self._timeline.at(
                self._timeline.now() + after, lambda when: self._start(flow, planned, when)
            )

    def _start(self, flow: BuildFlow, plan: BuildPlan, when: float) -> Build:
        sha = f"{self._shared.random.getrandbits(160):040x}"
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
            self._polled.append(build)
        elif not plan.by_hand:
            waits, runs = plan.pending_seconds, plan.seconds
            waits = self._shared.options.pending_seconds if waits is None else waits
            runs = self._shared.options.build_seconds if runs is None else runs
            started = when + waits / self._shared.options.speed
            ended = started + runs / self._shared.options.speed
            self._timeline.at(started, lambda _: self._show(flow, build, "Started"))
            self._timeline.at(ended, lambda t: self._end(flow, build, build.outcome, t))
        return build

    def finish(
        self, build_flow: str, status: str = "Success", build_id: int | None = None
    ) -> Build:
        """End a build now, by hand: the flow's latest, or the one named.

        :raises NotFoundError: no such flow or build.
        :raises ValueError: it has ended already, or no build ends so.
        """
        one_of("status", status, BUILD_ENDS)
        with self._timeline.up_to_date():
            flow = self.find(build_flow)
            build = flow.builds.get(max(flow.builds, default=0) if build_id is None else build_id)
            if build is None:
                raise NotFoundError(f"no such build of flow {flow.id}")
            if build.ended_at is not None:
                raise ValueError(f"build {build.id} has ended already")
            self._end(flow, build, status, self._timeline.now())
            return build

    def _show(self, flow: BuildFlow, build: Build, status: str) -> None:
        if build.ended_at is not None:
            return
        build.status = status
        if build.id == max(flow.builds):
            flow.status = status

    def _end(self, flow: BuildFlow, build: Build, status: str, when: float) -> None:
        if build.ended_at is not None:
            return
        self._show(flow, build, status)
        build.ended_at = when
        moves = self._shared.options.package_id_moves
        if moves == "every_build" or (moves == "success" and status == "Success"):
            flow.package_id = self._shared.new_id()

    def read(self, build_flow_id: str | None = None) -> list[BuildFlow]:
        """Return all build flows, or the one asked for, as a poll sees them.

        :raises NotFoundError: there is no such flow.
        """
        with self._timeline.up_to_date():
            flows = [*self.values()] if build_flow_id is None else [self.by_id(build_flow_id)]
            for build in list(self._polled):
                if build_flow_id in (None, build.build_flow_id):
                    self._poll(build)
            return flows

    def read_build(self, build_flow_id: str, build_id: str) -> Build:
        """Return one build as a poll sees it.

        :raises NotFoundError: no such flow or build, or it cannot be read yet.
        """
        with self._timeline.up_to_date():
            flow = self.get(build_flow_id)
            for build in flow.builds.values() if flow else ():
                if str(build.id) == build_id:
                    if self._timeline.now() < build.created_at + self._shared.options.action_lag:
                        break
                    if build in self._polled:
                        self._poll(build)
                    return build
            raise NotFoundError(f"no build {build_id} of build flow {build_flow_id}")

    def _poll(self, build: Build) -> None:
        flow = self[build.build_flow_id]
        build.reads += 1
        if build.polls is not None and build.reads > build.polls:
            self._end(flow, build, build.outcome, self._timeline.now())
        elif build.reads > 1:
            self._show(flow, build, "Started")
        if build.ended_at is not None:
            self._polled.remove(build)
