"""The stacks of a world. They show no state of their own: only their actions do."""

from __future__ import annotations

from airflow_provider_daocloud.sandbox.objects import Stack
from airflow_provider_daocloud.sandbox.parts import Collection


class Stacks(Collection[Stack]):
    """The stacks by their ids."""

    kind = "stack"

    def add(
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
        with self._timeline.up_to_date():
            now = self._timeline.now()
            stack = Stack(
                id=stack_id or self._shared.new_id(),
                name=name,
                stack_ids=[self._shared.new_id()] if stack_ids is None else stack_ids,
                created_at=now - 30 * 86400 if created_at is None else created_at,
                last_operated_at=now - 86400 if last_operated_at is None else last_operated_at,
            )
            return self._put(stack)
