"""What all watchers of assets share: a stream of observations, and what each makes of it.

One stream serves all watchers of the same: from 3.3 on through Airflow's shared streams, before
that within the triggerer's budget for the token. What was seen last is kept in the asset's state
store (3.3+). An event is stored by Airflow first and what was seen last afterwards, so a triggerer
that dies in between fires the event a second time, and never loses it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Hashable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_daocloud.core.waiting.refusals import has_become_permanent
from airflow_provider_daocloud.core.waiting.wait import WaitState, is_permanent

try:
    from airflow.triggers.base import BaseEventTrigger, TriggerEvent
except ImportError:
    raise ImportError(
        "A trigger for asset watchers needs Airflow 3.0 or later: Airflow 2 has no watchers."
    ) from None
try:
    from airflow.triggers.shared_stream import SharedStreamProducer
except ImportError:  # before 3.3
    SharedStreamProducer = ABC  # type: ignore[assignment, misc, unused-ignore]

from airflow_provider_daocloud.api.errors import CallError, DaoCloudError, InputError
from airflow_provider_daocloud.api.validation import DEFAULT_MAX_OUTAGE, check_seconds
from airflow_provider_daocloud.compat import AirflowNotFoundException
from airflow_provider_daocloud.hooks.connection import endpoint_of
from airflow_provider_daocloud.triggers.poller_registry import FRESH, poller_registry

if TYPE_CHECKING:
    from airflow_provider_daocloud.api.endpoint import Endpoint
    from airflow_provider_daocloud.core.polling.poller import Poller

log = logging.getLogger(__name__)

DEFAULT_POLL_INTERVAL = 30.0
# The longest pause between two attempts at what no retry is likely to fix, in seconds.
SLOW = 300.0


@dataclass(frozen=True)
class Observation:
    """One observation of what is watched.

    :param number: counts the observations of one stream.
    :param seen: what was seen.
    :param stored: Airflow has stored the events of all observations up to this one.
    """

    number: int
    seen: Any
    stored: int


class ResourceStream(SharedStreamProducer):  # type: ignore[misc, unused-ignore]
    """Observes resources of a connection, for as long as it is iterated over.

    It never ends by itself: a fault is logged when it begins and when it is over, and the resources
    are observed again.

    :param daocloud_conn_id: the Connection.
    :param poll_interval: seconds between two observations.
    """

    # What is observed, in words.
    title: str
    read_connection = staticmethod(endpoint_of)

    def __init__(self, daocloud_conn_id: str, poll_interval: float) -> None:
        self._conn_id = daocloud_conn_id
        self._interval = poll_interval
        self._stored = -1
        self._poller: Poller | None = None
        self._endpoint: Endpoint | None = None
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
                    seen = await self.observe(poller)
                except Exception as e:
                    pause = self._missed(e)
                else:
                    self._seen()
                    yield Observation(number, seen, self._stored), number
                    number += 1
                if self._poller is not None:
                    pause = self._poller.spare(pause)
                # Jitter, so that the watchers of many connections do not march in step.
                await asyncio.sleep(pause * random.uniform(0.9, 1.0))  # noqa: S311 - no secret
        finally:
            await self._leave()

    @abstractmethod
    async def observe(self, poller: Poller) -> Any:
        """Return what is to be seen now.

        :param poller: asks for it.
        """

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
            endpoint = await poller_registry().endpoint(
                self._conn_id, read=self.read_connection, max_age=max_age
            )
        except Exception:
            if self._poller is None:
                raise
            return self._poller  # whatever an edit or an outage broke: continue with what worked
        self._endpoint = endpoint
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
            log.info("The %s of connection %r can be read again.", self.title, self._conn_id)
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
                "The %s of connection %r cannot be read%s: %s",
                self.title,
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


class DaoCloudEventTrigger(BaseEventTrigger, ABC):
    """Base of the triggers for asset watchers: fires for what is new.

    :param daocloud_conn_id: the Connection.
    :param poll_interval: seconds between two observations.
    :raises InputError: an argument is unusable.
    """

    # The arguments that say what is observed, by name: watchers share it that have these in common.
    observed: ClassVar[tuple[str, ...]] = ()

    def __init__(self, daocloud_conn_id: str, poll_interval: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.daocloud_conn_id = daocloud_conn_id
        self.poll_interval = check_seconds("poll_interval", poll_interval)

    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """Return the arguments that say what is watched."""

    @classmethod
    @abstractmethod
    def stream(cls, arguments: dict[str, Any]) -> ResourceStream:
        """Return the observations.

        :param arguments: what the trigger stores.
        """

    @abstractmethod
    def news(self) -> News:
        """Return what finds out what is new."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments, as they are stored."""
        shared = {"daocloud_conn_id": self.daocloud_conn_id, "poll_interval": self.poll_interval}
        return f"{type(self).__module__}.{type(self).__qualname__}", self.arguments() | shared

    def shared_stream_key(self) -> Hashable:
        """Return what watchers that share observations have in common (3.3+)."""
        _, stored = self.serialize()
        shared = (*self.observed, "daocloud_conn_id", "poll_interval")
        return ("airflow_provider_daocloud", *(stored[name] for name in shared))

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> ResourceStream:
        """Return the observations that watchers share (3.3+).

        Not the simpler ``open_shared_stream``: only a producer learns when an event is stored.
        """
        return cls.stream(kwargs)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire for what is new, with observations of its own (before 3.3)."""
        observations = self.stream(self.serialize()[1]).open_stream()
        async with aclosing(observations):
            async for event in self.filter_shared_stream(
                observation async for observation, _ in observations
            ):
                yield event

    async def filter_shared_stream(
        self, shared_stream: AsyncIterator[Observation]
    ) -> AsyncIterator[TriggerEvent]:
        """Fire for what is new to this trigger.

        :param shared_stream: the observations.
        """
        news = self.news()
        async for observation in shared_stream:
            for event in await news.of(observation):
                yield TriggerEvent(event)  # type: ignore[no-untyped-call]


class News(ABC):
    """What a watcher has seen, and what of an observation is new.

    :param trigger: the watcher.
    :param key: under which what was seen is kept.
    """

    def __init__(self, trigger: DaoCloudEventTrigger, key: str) -> None:
        self.log = trigger.log
        self._watermark = Watermark(trigger, key)
        # The observation whose events must be stored before the watermark is.
        self._unkept: int | None = None

    @abstractmethod
    def first(self, seen: Any) -> dict[str, Any] | None:
        """Return what to keep of the first observation, if it has anything. It fires nothing.

        :param seen: what was seen.
        """

    @abstractmethod
    def next(self, seen: Any, kept: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Return the events of an observation, and what to keep then.

        :param seen: what was seen.
        :param kept: what is kept of the observations before.
        """

    async def of(self, observation: Observation) -> list[dict[str, Any]]:
        """Return the events of an observation.

        :param observation: it.
        """
        watermark = self._watermark
        if not await watermark.load():
            return []
        if (
            self._unkept is not None
            and observation.stored >= self._unkept
            and await watermark.save()
        ):
            self._unkept = None
        if watermark.kept is None:
            watermark.kept = self.first(observation.seen)
            if watermark.kept is not None and not await watermark.save():
                self._unkept = observation.number
            return []
        events, kept = self.next(observation.seen, watermark.kept)
        if kept != watermark.kept:
            watermark.kept, self._unkept = kept, observation.number
        return events


class Watermark:
    """What was seen last, kept in the asset's state store where there is one (3.3+).

    :param trigger: the watcher.
    :param key: its key there.
    """

    def __init__(self, trigger: DaoCloudEventTrigger, key: str) -> None:
        self.kept: dict[str, Any] | None = None
        self._key = key
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
            self.kept = kept
        return True

    async def save(self) -> bool:
        """Keep it; return whether it is kept."""
        if self._store is None:
            return True
        try:
            await self._store.aset(self._key, self.kept)
        except Exception as e:
            self._failed("written", e)
            return False
        self._trouble = False
        return True

    def _several_assets(self) -> None:
        self._store, self._loaded = None, True
        self._log.warning(
            "Several assets are watched by equal triggers, so there is no place to keep what was "
            "seen: what ends while no triggerer runs will be missed. Give them different "
            "poll intervals, or use one asset."
        )

    def _failed(self, verb: str, error: Exception) -> None:
        if not self._trouble:
            # The text of a foreign error may hold a secret.
            self._log.warning("The asset's state cannot be %s (%s).", verb, type(error).__name__)
        self._trouble = True
