"""XComs of tasks that run without Airflow's processes: what is pushed reaches the test.

Airflow 3 stores an XCom by the keys of a task instance, through its supervisor; a test has none. So
each fake task instance gets a run id of its own, and what is stored for that comes here instead.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from itertools import count
from types import SimpleNamespace
from typing import Any

from airflow.providers.common.compat.sdk import XCom

Push = Callable[[str, Any], object]

_pushes: dict[str, Push] = {}
_numbers = count(1)
_lock = threading.Lock()
_in_place = False


def run_id(push: Push) -> str:
    """Return a run id; what is stored for a task of that run is handed to ``push``.

    :param push: gets key and value.
    """
    with _lock:
        _intercept()
        made = f"run {next(_numbers)}"
    _pushes[made] = push
    return made


def task_instance(push: Push, **more: Any) -> Any:
    """Return a task instance whose XComs are handed to ``push``."""
    return SimpleNamespace(
        dag_id="dag",
        task_id="task",
        run_id=run_id(push),
        map_index=-1,
        xcom_push=lambda key, value: push(key, value),
        **more,
    )


def _intercept() -> None:
    """Stand in front of the two ways in which Airflow 3 stores an XCom, once."""
    global _in_place
    if _in_place:
        return
    _in_place = True
    for name in ("set", "_set_xcom_in_db"):
        original: Any = getattr(XCom, name, None)
        if original is not None:
            setattr(XCom, name, _instead_of(original))


def _instead_of(original: Any) -> Any:
    def store(key: str, value: Any, **of: Any) -> Any:
        push = _pushes.get(of.get("run_id", ""))
        if push is None:
            return original(key=key, value=value, **of)
        return push(key, json.loads(json.dumps(value)))

    return store
