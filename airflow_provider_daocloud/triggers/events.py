"""A trigger for asset watchers (Airflow 3.0+): a build flow has built something new.

::

    builds = build_flow_asset(
        BUILD_FLOW_ID,
        watchers=[AssetWatcher("new_build", trigger=DaoCloudNewBuildTrigger(BUILD_FLOW_ID))],
    )
    with DAG("deploy", schedule=[builds]): ...

One list of build flows serves all watchers of a connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_daocloud.api.openapi.builds import (
    BUILD_ACTIVE,
    BUILD_FAILED,
    BuildFlow,
    BuildStatus,
    list_build_flows,
)
from airflow_provider_daocloud.api.validation import path_segment
from airflow_provider_daocloud.triggers.event_stream import (
    DEFAULT_POLL_INTERVAL,
    DaoCloudEventTrigger,
    News,
    ResourceStream,
)

if TYPE_CHECKING:
    from airflow_provider_daocloud.core.polling.poller import Poller


class BuildFlowStream(ResourceStream):
    """Observes the build flows of a connection."""

    title = "build flows"

    async def observe(self, poller: Poller) -> dict[str, BuildFlow]:
        """Return the build flows by their ids.

        :param poller: asks for them.
        """
        return {flow.id: flow for flow in await poller.ask(list_build_flows())}


class DaoCloudNewBuildTrigger(DaoCloudEventTrigger):
    """Fires for each new successful build of a build flow: ``GET /v1/build-flows``.

    DaoCloud shows only the latest build, so of several builds between two observations only the
    newest successful one fires. A build that was there when the watcher began does not fire.

    Delivery is at least once: a repeated event has the same ``build_flow_id`` and ``package_id``.

    The event: ``build_flow_id``; ``package_id``, the image that was built;
    ``previous_package_id``, the one before as far as it was seen; ``build_flow``, all that DaoCloud
    shows of the flow.

    :param build_flow_id: the build flow's id.
    :param daocloud_conn_id: the Connection of type ``daocloud``.
    :param poll_interval: seconds between two observations. Watchers of the same connection with the
        same interval share them.
    :raises InputError: an argument is unusable.
    """

    def __init__(
        self,
        build_flow_id: str,
        daocloud_conn_id: str = "daocloud_default",
        poll_interval: float = DEFAULT_POLL_INTERVAL,
        **_unknown: Any,  # arguments of a later version
    ) -> None:
        super().__init__(daocloud_conn_id, poll_interval)
        path_segment("build_flow_id", build_flow_id)
        self.build_flow_id = build_flow_id

    def arguments(self) -> dict[str, Any]:
        """Return the arguments that say what is watched."""
        return {"build_flow_id": self.build_flow_id}

    @classmethod
    def stream(cls, arguments: dict[str, Any]) -> BuildFlowStream:
        """Return the observations of all build flows.

        :param arguments: what the trigger stores.
        """
        return BuildFlowStream(arguments["daocloud_conn_id"], arguments["poll_interval"])

    def news(self) -> _NewBuilds:
        """Return what finds out which builds are new."""
        return _NewBuilds(self)


class _NewBuilds(News):
    """Which builds of its build flow are new to a watcher."""

    def __init__(self, trigger: DaoCloudNewBuildTrigger) -> None:
        super().__init__(trigger, f"daocloud_package_{trigger.build_flow_id}")
        self._flow_id = trigger.build_flow_id
        self._doubtful: str | None = None
        self._missing = False

    def first(self, seen: Mapping[str, BuildFlow]) -> dict[str, Any] | None:
        """Return the package that is there."""
        flow = self._flow(seen)
        if flow is None:
            return None
        self.log.info("Watching build flow %s from package %s on.", flow.id, flow.package_id)
        return {"package_id": flow.package_id}

    def next(
        self, seen: Mapping[str, BuildFlow], kept: dict[str, Any]
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Return the event of a new build, and its package."""
        flow = self._flow(seen)
        if flow is None or not self._is_new(flow, kept["package_id"]):
            return [], kept
        event = {
            "build_flow_id": flow.id,
            "package_id": flow.package_id,
            "previous_package_id": kept["package_id"],
            "build_flow": flow.as_dict(),
        }
        return [event], {"package_id": flow.package_id}

    def _flow(self, seen: Mapping[str, BuildFlow]) -> BuildFlow | None:
        flow = seen.get(self._flow_id)
        if flow is None and not self._missing:
            self.log.warning(
                "There is no build flow %s among the %d that the token can see.",
                self._flow_id,
                len(seen),
            )
        self._missing = flow is None
        return flow

    def _is_new(self, flow: BuildFlow, known: str | None) -> bool:
        if not flow.package_id or flow.package_id == known:
            return False
        if flow.status in BUILD_FAILED:
            # The package is that of the last build that succeeded, so one has, just before this
            # one failed. But deploying what may have failed is worse than to deploy it later.
            if flow.package_id != self._doubtful:
                self._doubtful = flow.package_id
                self.log.warning(
                    "Build flow %s shows the new package %s together with %s: not taken for a "
                    "build that succeeded.",
                    flow.id,
                    flow.package_id,
                    flow.status_text,
                )
            return False
        if flow.status is BuildStatus.SUCCESS:
            return True
        # The next build runs already.
        return flow.status in BUILD_ACTIVE and flow.package_id != self._doubtful
