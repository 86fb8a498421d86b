"""What the parts of a world have in common: what they share, and how a collection is searched."""

from __future__ import annotations

import random
import uuid
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_daocloud.sandbox.objects import ActionPlan, BuildPlan
    from airflow_provider_daocloud.sandbox.options import Options
    from airflow_provider_daocloud.sandbox.timeline import Timeline


class NotFoundError(LookupError):
    """No such app, stack, build flow, build, action or account."""


class Shared:
    """What all parts of one world share.

    :param timeline: its clock and its schedule.
    :param options: how it behaves where the contract leaves it open.
    :param seed: makes ids the same in every run; ``None`` for new ones.
    """

    def __init__(self, timeline: Timeline, options: Options, seed: int | None) -> None:
        self.timeline = timeline
        self.options = options
        self.random = random.Random(seed)

    def new_id(self) -> str:
        """Return an id, the same one in every run of a seeded world."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))


class _Named(Protocol):
    id: str
    name: str


_Item = TypeVar("_Item", bound=_Named)
_Plan = TypeVar("_Plan", "ActionPlan", "BuildPlan")


class Collection(dict[str, _Item]):
    """The resources of one kind, by id.

    :param shared: what the parts of the world share.
    """

    kind: ClassVar[str]

    def __init__(self, shared: Shared) -> None:
        super().__init__()
        self._shared = shared
        self._timeline = shared.timeline

    def by_id(self, item_id: str) -> _Item:
        """Return one by its id.

        :raises NotFoundError: there is none.
        """
        if item_id not in self:
            raise NotFoundError(f"no {self.kind} {item_id}")
        return self[item_id]

    def find(self, id_or_name: str) -> _Item:
        """Return one by its id, or else the first one of this name.

        :raises NotFoundError: there is none.
        """
        with self._timeline.up_to_date():
            if id_or_name not in self:
                for item in self.values():
                    if item.name == id_or_name:
                        return item
            return self.by_id(id_or_name)

    def _put(self, item: _Item) -> _Item:
        if item.id in self:
            raise ValueError(f"{self.kind} {item.id} exists already")
        self[item.id] = item
        return item


def take_plan(plans: list[_Plan], matches: Callable[[_Plan], bool]) -> _Plan | None:
    """Return the first plan that matches, and use it up by one."""
    for plan in plans:
        if matches(plan):
            if plan.times is not None:
                plan.times -= 1
                if plan.times <= 0:
                    plans.remove(plan)
            return plan
    return None
