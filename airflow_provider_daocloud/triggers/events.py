"""A trigger for asset watchers (Airflow 3.0+): a build flow has built something new.

::

    builds = build_flow_asset(
        BUILD_FLOW_ID,
        watchers=[AssetWatcher("new_build", trigger=DaoCloudNewBuildTrigger(BUILD_FLOW_ID))],
    )
    with DAG("deploy", schedule=[builds]): ...

One list of build flows serves all watchers of a connection: from 3.3 on through Airflow's shared
streams, before that within the triggerer's budget for the token. What was seen last is kept in the
asset's state store (3.3+). An event is stored by Airflow first and what was seen last afterwards,
so a triggerer that dies in between fires the event a second time, and never loses it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Hashable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_daocloud.api.openapi.builds import list_build_flows
from airflow_provider_daocloud.api.validation import path_segment
from airflow_provider_daocloud.core.waiting.refusals import has_become_permanent
from airflow_provider_daocloud.core.waiting.wait import WaitState, is_permanent

try:
    from airflow.triggers.base import BaseEventTrigger, TriggerEvent
except ImportError:
    raise ImportError(
        "airflow_provider_daocloud.triggers.events needs Airflow 3.0 or later: "
        "Airflow 2 has no asset watchers."
    ) from None
try:
    from airflow.triggers.shared_stream import SharedStreamProducer
except ImportError:  # before 3.3
    SharedStreamProducer = object  # type: ignore[assignment, misc, unused-ignore]

from airflow_provider_daocloud.api.errors import CallError, DaoCloudError, InputError
from airflow_provider_daocloud.api.openapi.builds import (
    BUILD_ACTIVE,
    BUILD_FAILED,
    BuildFlow,
    BuildStatus,
)
from airflow_provider_daocloud.api.validation import DEFAULT_MAX_OUTAGE, check_seconds
from airflow_provider_daocloud.compat import AirflowNotFoundException
from airflow_provider_daocloud.triggers.poller_registry import FRESH, poller_registry

if TYPE_CHECKING:
    from airflow_provider_daocloud.core.polling.poller import Poller

log = logging.getLogger(__name__)

DEFAULT_POLL_INTERVAL = 30.0
# The longest pause between two attempts at what no retry is likely to fix, in seconds.
SLOW = 300.0


@dataclass(frozen=True)
class Observation:
    """One observation of all build flows.

    :param number: counts the observations of one stream.
    :param flows: the build flows, by their ids.
    :param stored: Airflow has stored the events of all observations up to this one.
    """

    number: int
    flows: Mapping[str, BuildFlow]
    stored: int


class BuildFlowStream(SharedStreamProducer):  # type: ignore[misc, unused-ignore]
    """Observes the build flows of a connection, for as long as it is iterated over.

    It never ends by itself: a fault is logged when it begins and when it is over, and the build
    flows are observed again.

    :param daocloud_conn_id: the Connection of type ``daocloud``.
    :param poll_interval: seconds between two observations.
    """

    def __init__(self, daocloud_conn_id: str, poll_interval: float) -> None:
        self._conn_id = daocloud_conn_id
        self._interval = poll_interval
        self._stored = -1
        self._poller: Poller | None = None
        # While nothing can be read: whether somebody must fix it.
        self._lasting: bool | None = None
        self._misses = 0
        # Since when nothing can be read, and what `has_become_permanent` keeps.
        self._since: float | None = None
        self._wait_state: WaitState = {}
        # Whether the connection may have been edited.
        self._doubted = False

    async def open_stream(self) -> AsyncGenerator[tuple[Observation, int]]:
        """Yield observations with their numbers."""
        number = 0
        try:
            while True:
                pause = self._interval
                try:
                    poller = await self._find_poller()
                    wait = poller.budget.wait(timely=True)
                    if wait > 0:
                        await asyncio.sleep(min(wait, SLOW))
                        continue
                    flows = await poller.ask(list_build_flows())
                except Exception as e:
                    pause = self._missed(e)
                else:
                    self._seen()
                    yield (
                        Observation(number, {flow.id: flow for flow in flows}, self._stored),
                        number,
                    )
                    number += 1
                if self._poller is not None:
                    pause = self._poller.spare(pause)
                # Jitter, so that the watchers of many connections do not march in step.
                await asyncio.sleep(pause * random.uniform(0.9, 1.0))  # noqa: S311 - no secret
        finally:
            await self._leave()

    async def advance(self, batch: Sequence[Any]) -> None:
        """Take in that the events of a batch are stored. Airflow calls it, in their order."""
        self._stored = batch[-1].broker_payload

    def get_advance_lane(self, broker_payload: object) -> None:
        """All observations are in one order."""

    async def aclose(self) -> None:
        """Everything is closed when the stream is."""

    async def _find_poller(self) -> Poller:
        """Return the poller of the connection, as the connection is now."""
        # An edit of the connection may fix what no retry does; the token may be a new one.
        max_age = 1.0 if self._doubted else FRESH
        try:
            endpoint = await poller_registry().endpoint(self._conn_id, max_age=max_age)
        except Exception:
            if self._poller is None:
                raise
            return self._poller  # whatever an edit or an outage broke: continue with what worked
        if self._poller is None or self._poller.client.endpoint != endpoint:
            await self._leave()
            self._poller = poller_registry().poller(endpoint)
        return self._poller

    async def _leave(self) -> None:
        poller, self._poller = self._poller, None
        if poller is not None and not len(poller):  # no deferred task uses it
            await poller.client.close()
            poller_registry().forget_idle()

    def _seen(self) -> None:
        if self._lasting is not None:
            log.info("The build flows of connection %r can be read again.", self._conn_id)
        self._lasting, self._misses, self._since, self._doubted = None, 0, None, False
        self._wait_state = {"read": True}

    def _missed(self, error: Exception) -> float:
        """Log a fault when it begins, and return the pause until the next poll."""
        lasting = self._is_lasting(error, time.time())
        self._doubted = lasting or (isinstance(error, CallError) and error.status == 401)
        if lasting is not self._lasting:
            self._lasting, self._misses = lasting, 0
            ours = isinstance(error, (DaoCloudError, AirflowNotFoundException))
            log.log(
                logging.ERROR if lasting else logging.WARNING,
                "The build flows of connection %r cannot be read%s: %s",
                self._conn_id,
                ", which somebody must fix" if lasting else "; polling continues",
                # The text of an error that is not ours may hold a secret.
                str(error) if ours else f"{type(error).__name__} inside Airflow",
            )
        if not lasting:
            return self._interval
        self._misses += 1
        return max(self._interval, min(SLOW, self._interval * 2.0**self._misses))

    def _is_lasting(self, error: Exception, now: float) -> bool:
        """Whether somebody must fix it, as far as is known."""
        self._since = now if self._since is None else self._since
        if isinstance(error, CallError):
            stays = now - self._since >= DEFAULT_MAX_OUTAGE
            permanent = has_become_permanent(error, self._wait_state, now, DEFAULT_MAX_OUTAGE)
            return permanent or (is_permanent(error) and stays)
        return isinstance(error, AirflowNotFoundException | InputError)


class DaoCloudNewBuildTrigger(BaseEventTrigger):
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
        super().__init__()  # type: ignore[no-untyped-call]
        path_segment("build_flow_id", build_flow_id)
        self.build_flow_id = build_flow_id
        self.daocloud_conn_id = daocloud_conn_id
        self.poll_interval = check_seconds("poll_interval", poll_interval)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments, as they are stored."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "build_flow_id": self.build_flow_id,
                "daocloud_conn_id": self.daocloud_conn_id,
                "poll_interval": self.poll_interval,
            },
        )

    def shared_stream_key(self) -> Hashable:
        """Return what watchers that share observations have in common (3.3+)."""
        return ("airflow_provider_daocloud", self.daocloud_conn_id, self.poll_interval)

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> BuildFlowStream:
        """Return the observations that watchers share (3.3+).

        Not the simpler ``open_shared_stream``: only a producer learns when an event is stored.
        """
        return BuildFlowStream(kwargs["daocloud_conn_id"], kwargs["poll_interval"])

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire for new builds, with observations of its own (before 3.3)."""
        observations = BuildFlowStream(self.daocloud_conn_id, self.poll_interval).open_stream()
        async with aclosing(observations):
            async for event in self.filter_shared_stream(
                observation async for observation, _ in observations
            ):
                yield event

    async def filter_shared_stream(
        self, shared_stream: AsyncIterator[Observation]
    ) -> AsyncIterator[TriggerEvent]:
        """Fire for the new builds of this trigger's flow.

        :param shared_stream: the observations of all flows.
        """
        news = _News(self)
        async for observation in shared_stream:
            event = await news.of(observation)
            if event is not None:
                yield TriggerEvent(event)  # type: ignore[no-untyped-call]


class _News:
    """What a watcher has seen of its build flow, and what of it is new."""

    def __init__(self, trigger: DaoCloudNewBuildTrigger) -> None:
        self._flow_id = trigger.build_flow_id
        self._log = trigger.log
        self._watermark = Watermark(trigger)
        # The observation whose event must be stored before the watermark is.
        self._unkept: int | None = None
        self._doubtful: str | None = None
        self._missing = False

    async def of(self, observation: Observation) -> dict[str, Any] | None:
        """Return the event of an observation, if it shows a new build."""
        if not await self._watermark.load():
            return None
        if (
            self._unkept is not None
            and observation.stored >= self._unkept
            and await self._watermark.save()
        ):
            self._unkept = None
        flow = observation.flows.get(self._flow_id)
        if flow is None:
            if not self._missing:
                self._log.warning(
                    "There is no build flow %s among the %d that the token can see.",
                    self._flow_id,
                    len(observation.flows),
                )
            self._missing = True
            return None
        self._missing = False
        if not self._watermark.known:
            self._log.info("Watching build flow %s from package %s on.", flow.id, flow.package_id)
            self._watermark.package_id, self._watermark.known = flow.package_id, True
            self._unkept = None if await self._watermark.save() else observation.number
            return None
        if not self._is_new(flow):
            return None
        event = {
            "build_flow_id": flow.id,
            "package_id": flow.package_id,
            "previous_package_id": self._watermark.package_id,
            "build_flow": flow.as_dict(),
        }
        self._watermark.package_id, self._unkept = flow.package_id, observation.number
        return event

    def _is_new(self, flow: BuildFlow) -> bool:
        if not flow.package_id or flow.package_id == self._watermark.package_id:
            return False
        if flow.status in BUILD_FAILED:
            # The package is that of the last build that succeeded, so one has, just before this
            # one failed. But deploying what may have failed is worse than to deploy it later.
            if flow.package_id != self._doubtful:
                self._doubtful = flow.package_id
                self._log.warning(
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


class Watermark:
    """The package that was seen last, kept in the asset's state store where there is one (3.3+)."""

    def __init__(self, trigger: DaoCloudNewBuildTrigger) -> None:
        self.package_id: str | None = None
        self.known = False
        self._key = f"daocloud_package_{trigger.build_flow_id}"
        self._store: Any = getattr(trigger, "asset_state_store", None)
        self._loaded = self._store is None
        self._log = trigger.log
        self._trouble = False

    async def load(self) -> bool:
        """Read it once; return whether it has been read."""
        if self._loaded:
            return True
        try:
            kept = await self._store.aget(self._key)
        except ValueError:
            self._several_assets()
            return True
        except Exception as e:
            self._failed("read", e)
            return False
        self._trouble, self._loaded = False, True
        if isinstance(kept, dict):
            self.package_id, self.known = kept.get("package_id"), True
        return True

    async def save(self) -> bool:
        """Keep it; return whether it is kept."""
        if self._store is None:
            return True
        try:
            await self._store.aset(self._key, {"package_id": self.package_id})
        except Exception as e:
            self._failed("written", e)
            return False
        self._trouble = False
        return True

    def _several_assets(self) -> None:
        self._store, self._loaded = None, True
        self._log.warning(
            "Several assets are watched by equal triggers, so there is no place to keep what was "
            "seen: a build that ends while no triggerer runs will be missed. Give them different "
            "poll intervals, or use one asset."
        )

    def _failed(self, verb: str, error: Exception) -> None:
        if not self._trouble:
            # The text of a foreign error may hold a secret.
            self._log.warning("The asset's state cannot be %s (%s).", verb, type(error).__name__)
        self._trouble = True
