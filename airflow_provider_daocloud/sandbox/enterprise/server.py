"""A DaoCloud Enterprise on a real socket."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_provider_daocloud.sandbox.enterprise import contract, seeded
from airflow_provider_daocloud.sandbox.enterprise.control import EnterpriseControls
from airflow_provider_daocloud.sandbox.enterprise.options import EnterpriseOptions
from airflow_provider_daocloud.sandbox.enterprise.shared import Shared
from airflow_provider_daocloud.sandbox.enterprise.tokens import LIFETIME, make_token
from airflow_provider_daocloud.sandbox.enterprise.world import EnterpriseWorld
from airflow_provider_daocloud.sandbox.server import BaseSandbox, checked_prefix
from airflow_provider_daocloud.sandbox.service import BaseService, Contract
from airflow_provider_daocloud.sandbox.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_provider_daocloud.sandbox.service import Served


class EnterpriseService(BaseService[EnterpriseWorld]):
    """The service of DaoCloud Enterprise."""

    contract: Contract = contract


class EnterpriseSandbox(BaseSandbox[EnterpriseWorld]):
    """A DaoCloud Enterprise on this machine, for as long as the ``with`` block lasts.

    :param port: the port; 0 for one that is free.
    :param host: the address to listen on; ``0.0.0.0`` or ``::`` for all of this machine's.
    :param speed: how many times faster than real time rollouts and pipelines go.
    :param token: the access key; made up, and valid for a week, if missing.
    :param seed: makes the ids the same in every run.
    :param clock: gives the world's time in Unix seconds.
    :param options: the world's other settings; ``speed``, if given, wins.
    :param fill: fills a new world; by default with a small shop.
    :param prefix: a path in front of all calls, if the installation has one.
    :param certfile: a certificate, and ``keyfile`` its key (PEM): serve HTTPS.
    :param keyfile: see ``certfile``; it can be left out if ``certfile`` has the key in it.
    :param keep_alive: seconds after which an idle connection is closed.
    :param on_served: called with each call when it is answered, in the server's thread.
    :param on_error: called with each exception that broke the answering of a call.
    :raises ValueError: an argument that makes no sense; the text names it.
    """

    _conn_type = "daocloud_enterprise"
    _usual_prefix = ""

    def __init__(
        self,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        speed: float | None = None,
        token: str | None = None,
        seed: int | None = None,
        clock: Callable[[], float] = time.time,
        options: EnterpriseOptions | None = None,
        fill: Callable[[EnterpriseWorld], None] | None = seeded.fill,
        prefix: str = "",
        certfile: str | Path | None = None,
        keyfile: str | Path | None = None,
        keep_alive: float = 60.0,
        on_served: Callable[[Served], None] | None = None,
        on_error: Callable[[Exception], None] | None = None,
    ) -> None:
        settings = (options or EnterpriseOptions()).changed(
            **({} if speed is None else {"speed": speed})
        )
        expires_at = None
        if token is None:
            now = clock()
            expires_at = now + LIFETIME
            token = make_token(Shared(Timeline(clock), settings, seed).random, now, expires_at)
        access_key = token

        def make_world() -> EnterpriseWorld:
            world = EnterpriseWorld(clock=clock, seed=seed, options=settings)
            world.users.add("main", access_key, expires_at=expires_at)
            if fill is not None:
                fill(world)
            return world

        service = EnterpriseService(make_world, prefix=checked_prefix(prefix), on_served=on_served)
        super().__init__(
            service,
            EnterpriseControls(service),
            access_key,
            port=port,
            host=host,
            certfile=certfile,
            keyfile=keyfile,
            keep_alive=keep_alive,
            on_error=on_error,
        )

    def connection_json(self, extra: dict[str, Any] | None = None) -> str:
        """Return a connection as JSON, with the first namespace of a workspace for its defaults.

        :param extra: more extras than those which this sandbox needs to be reached.
        """
        defaults: dict[str, Any] = {}
        for namespace in self.world.places.namespaces.values():
            if namespace.workspace_id is not None:
                alias = self.world.places.workspace(namespace.workspace_id).alias
                defaults = {
                    "workspace": alias,
                    "cluster": namespace.cluster,
                    "namespace": namespace.name,
                }
                break
        return super().connection_json(defaults | (extra or {}))
