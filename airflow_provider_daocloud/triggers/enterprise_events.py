"""A trigger for asset watchers (Airflow 3.0+): a pipeline of DaoCloud Enterprise has succeeded.

::

    builds = pipeline_asset(
        1,
        "build-web",
        watchers=[AssetWatcher("new_run", trigger=DaoCloudNewRunTrigger("build-web", "shop"))],
    )
    with DAG("deploy", schedule=[builds]): ...

One list of a pipeline's runs serves all its watchers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_daocloud.api.enterprise.global_management import Workspace, list_workspaces
from airflow_provider_daocloud.api.enterprise.pipelines import (
    PipelineRef,
    PipelineRun,
    RunState,
    list_runs,
)
from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.api.validation import checked, whole_as_text
from airflow_provider_daocloud.hooks.enterprise_connection import enterprise_endpoint_of
from airflow_provider_daocloud.resources.names import find
from airflow_provider_daocloud.triggers.event_stream import (
    DEFAULT_POLL_INTERVAL,
    DaoCloudEventTrigger,
    News,
    ResourceStream,
)

if TYPE_CHECKING:
    from airflow_provider_daocloud.core.polling.poller import Poller


class PipelineStream(ResourceStream):
    """Observes the newest runs of a pipeline.

    :param workspace: the workspace: its alias or number; None for the connection's.
    :param pipeline_name: the pipeline.
    """

    read_connection = staticmethod(enterprise_endpoint_of)

    def __init__(
        self,
        daocloud_conn_id: str,
        poll_interval: float,
        workspace: str | None,
        pipeline_name: str,
    ) -> None:
        super().__init__(daocloud_conn_id, poll_interval)
        self.title = f"runs of pipeline {pipeline_name}"
        self._workspace = workspace
        self._name = pipeline_name
        self._ref: PipelineRef | None = None

    async def observe(self, poller: Poller) -> tuple[str, tuple[PipelineRun, ...]]:
        """Return the number of the workspace, and the runs.

        :param poller: asks for them.
        """
        if self._ref is None:
            self._ref = PipelineRef(await self._workspace_id(poller), self._name)
        runs = await poller.ask(list_runs(self._ref))
        return self._ref.workspace_id, tuple(run for run in runs if run.run_id.isdecimal())

    async def _workspace_id(self, poller: Poller) -> str:
        given = self._workspace or getattr(self._endpoint, "workspace", None)
        if given is None:
            raise InputError(
                "workspace", "is neither given to the trigger nor a default of the connection."
            )
        if given.isdigit():
            return given
        workspaces: tuple[Workspace, ...] = await poller.ask(list_workspaces())
        return find("workspace", workspaces, given).id


class DaoCloudNewRunTrigger(DaoCloudEventTrigger):
    """Fires for each new successful run of a pipeline: ``GET …/pipelines/{name}/runs``.

    A run that had ended when the watcher began does not fire; one that was still going on does,
    when it succeeds. Delivery is at least once: a repeated event has the same ``run_id``.

    The event: ``workspace_id``, ``pipeline_name``, ``run_id``; ``run``, what DaoCloud shows of the
    run, but for its parameters, which may be secret.

    :param pipeline_name: the pipeline.
    :param workspace: its workspace: alias or number. Default: the connection's.
    :param accept_unstable: whether a run that is UNSTABLE fires too.
    :param daocloud_conn_id: the Connection of type ``daocloud_enterprise``.
    :param poll_interval: seconds between two observations. Watchers of the same pipeline with the
        same interval share them.
    :raises InputError: an argument is unusable.
    """

    observed = ("workspace", "pipeline_name")

    def __init__(
        self,
        pipeline_name: str,
        workspace: str | int | None = None,
        accept_unstable: bool = False,
        daocloud_conn_id: str = "daocloud_enterprise_default",
        poll_interval: float = DEFAULT_POLL_INTERVAL,
        **_unknown: Any,  # arguments of a later version
    ) -> None:
        super().__init__(daocloud_conn_id, poll_interval)
        self.pipeline_name = checked("pipeline_name", pipeline_name)
        self.workspace = (
            None if workspace is None else checked("workspace", whole_as_text(workspace))
        )
        self.accept_unstable = accept_unstable

    def arguments(self) -> dict[str, Any]:
        """Return the arguments that say what is watched."""
        return {
            "pipeline_name": self.pipeline_name,
            "workspace": self.workspace,
            "accept_unstable": self.accept_unstable,
        }

    @classmethod
    def stream(cls, arguments: dict[str, Any]) -> PipelineStream:
        """Return the observations of the pipeline.

        :param arguments: what the trigger stores.
        """
        names = ("daocloud_conn_id", "poll_interval", "workspace", "pipeline_name")
        return PipelineStream(*(arguments[name] for name in names))

    def news(self) -> _NewRuns:
        """Return what finds out which runs are new."""
        return _NewRuns(self)


class _NewRuns(News):
    """Which runs of its pipeline are new to a watcher.

    It keeps ``after``: all runs up to this number have ended; and ``ended``: which later ones have.
    """

    def __init__(self, trigger: DaoCloudNewRunTrigger) -> None:
        workspace = trigger.workspace or "default"
        super().__init__(trigger, f"daocloud_run_{workspace}_{trigger.pipeline_name}")
        self._name = trigger.pipeline_name
        self._fires = {RunState.SUCCESS}
        if trigger.accept_unstable:
            self._fires.add(RunState.UNSTABLE)

    def first(self, seen: tuple[str, Sequence[PipelineRun]]) -> dict[str, Any]:
        """Return which runs have ended already."""
        kept = _ended(seen[1], 0)
        self.log.info("Watching pipeline %s from run %d on.", self._name, kept["after"] + 1)
        return kept

    def next(
        self, seen: tuple[str, Sequence[PipelineRun]], kept: dict[str, Any]
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Return an event for each run that has succeeded since, the oldest first."""
        workspace_id, runs = seen
        events = [
            {
                "workspace_id": workspace_id,
                "pipeline_name": self._name,
                "run_id": run.run_id,
                "run": run.as_dict(),
            }
            for run in sorted(runs, key=_number)
            if _number(run) > kept["after"]
            and _number(run) not in kept["ended"]
            and run.state in self._fires
        ]
        return events, _ended(runs, kept["after"])


def _number(run: PipelineRun) -> int:
    return int(run.run_id)


def _ended(runs: Sequence[PipelineRun], after: int) -> dict[str, Any]:
    """Return what to keep of the runs.

    :param runs: those that are to be seen.
    :param after: the number up to which all have ended, as far as is known.
    """
    going_on = [_number(run) for run in runs if not run.state.has_ended]
    newest = max(map(_number, runs), default=after)
    after = max(after, min(going_on, default=newest + 1) - 1)
    later = sorted(_number(run) for run in runs if _number(run) > after and run.state.has_ended)
    return {"after": after, "ended": later}
