"""What every object of an API has in common."""

from __future__ import annotations

from typing import NoReturn


class Model:
    """Base of the objects that the hooks return.

    Airflow lets no provider add to the classes that tasks may pass to each other: it would write
    such an object, and refuse it in the task that reads it. So the task that returns it is told.
    """

    __slots__ = ()

    def serialize(self) -> NoReturn:
        """Refuse to become an XCom; called by Airflow's serialization.

        :raises TypeError: always; the text says what to return instead.
        """
        name = type(self).__name__
        whole = f"{name.lower()}.as_dict(), or " if hasattr(self, "as_dict") else ""
        raise TypeError(
            f"{name}: Airflow passes no such object to another task. "
            f"Return {whole}the fields that the next task needs."
        )
