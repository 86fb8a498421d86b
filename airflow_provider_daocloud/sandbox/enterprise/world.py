"""The state of a DaoCloud Enterprise, composed of its parts. Nothing here knows HTTP."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_provider_daocloud.sandbox.enterprise.options import EnterpriseOptions
from airflow_provider_daocloud.sandbox.enterprise.pipelines import Pipelines
from airflow_provider_daocloud.sandbox.enterprise.places import Places
from airflow_provider_daocloud.sandbox.enterprise.shared import Shared
from airflow_provider_daocloud.sandbox.enterprise.users import Users
from airflow_provider_daocloud.sandbox.enterprise.workloads import Workloads
from airflow_provider_daocloud.sandbox.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable


class EnterpriseWorld:
    """Everything that the products of one installation know.

    :param clock: gives the time in Unix seconds.
    :param seed: makes ids the same in every run; ``None`` for new ones.
    :param options: how the world behaves where the documents leave it open.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        seed: int | None = None,
        options: EnterpriseOptions | None = None,
    ) -> None:
        self.timeline = Timeline(clock)
        self._shared = Shared(self.timeline, options or EnterpriseOptions(), seed)
        self.users = Users(self._shared)
        self.places = Places(self._shared)
        self.workloads = Workloads(self._shared, self.places)
        self.pipelines = Pipelines(self._shared, self.places)
        # The installed products. The calls of one that is missing here answer 404.
        self.products = {"ghippo": "v0.48.1", "kpanda": "v0.49.0"}
        self.products["amamba"] = f"v0.{self.options.amamba_minor}.0"
        self.now, self.advance = self.timeline.now, self.timeline.advance

    @property
    def options(self) -> EnterpriseOptions:
        """How the world behaves where the documents leave it open."""
        return self._shared.options

    def set_options(self, **changes: Any) -> EnterpriseOptions:
        """Change how the world behaves from now on.

        :raises ValueError: an unknown option, or a value that it does not take.
        """
        with self.timeline.up_to_date():
            self._shared.options = self.options.changed(**changes)
            if "amamba" in self.products:
                self.products["amamba"] = f"v0.{self.options.amamba_minor}.0"
            return self.options

    def remove_product(self, name: str) -> None:
        """Take a product out of the installation.

        :raises ValueError: it is not installed.
        """
        with self.timeline.lock:
            if self.products.pop(name, None) is None:
                raise ValueError(f"{name} is not installed")
