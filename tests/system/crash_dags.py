"""DAGs whose tasks die where the test says. The test copies this file into a DAGs folder.

Where a task dies stands in ``ROWS``, a JSON file beside this one. Nothing of this is in production
code: what dies is the store that the operator is given.
"""

from __future__ import annotations

import json
import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import DAG, BaseOperator

from airflow_provider_daocloud.operators.daocloud import (
    DaoCloudAppActionOperator,
    DaoCloudBaseOperator,
    DaoCloudRedeployOperator,
    DaoCloudTriggerBuildOperator,
)

HERE = Path(os.environ.get("CRASHES", Path(__file__).parent))
ALIKE: dict[str, Any] = {
    "settle_time": 6.0,
    "poll_interval": 2.0,
    "retries": 2,
    "retry_delay": timedelta(seconds=1),
}


class DyingStore:
    """The task state store, around whose writes the process dies, once.

    :param store: Airflow's own.
    :param point: where: ``before`` or ``after`` a phase is written.
    :param done: a file that says that it has died there already.
    :param release: only with the entry of an action to this release.
    """

    def __init__(self, store: Any, point: str, done: Path, release: str = "") -> None:
        self._store = store
        self._point = point
        self._done = done
        self._release = release

    def get(self, key: str) -> Any:
        return self._store.get(key)

    def set(self, key: str, value: Any, *, retention: timedelta) -> None:
        release = (value["request"]["body"] or {}).get("release_name")
        mortal = self._release in ("", release)
        if mortal:
            self._die(f"before {value['phase']}")
        self._store.set(key, value, retention=retention)
        if mortal:
            self._die(f"after {value['phase']}")

    def _die(self, point: str) -> None:
        if point == self._point and not self._done.exists():
            self._done.touch()
            os.kill(os.getpid(), signal.SIGKILL)


class Mortal(DaoCloudBaseOperator):
    """An operator whose process says which one it is, and dies where it has to."""

    def __init__(self, *, point: str = "", dies_with: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.point = point
        self.dies_with = dies_with

    def execute(self, context: Any) -> Any:
        return super().execute(self._mortal(context))

    def execute_complete(self, context: Any, event: Any = None) -> dict[str, Any]:
        return super().execute_complete(self._mortal(context), event)

    def _mortal(self, context: Any) -> Any:
        ti = context["ti"]
        name = f"{ti.run_id}.{ti.task_id}.{ti.map_index}"
        (HERE / f"{name}.pid").write_text(str(os.getpid()))
        done = HERE / f"{name}.died"
        store = DyingStore(context["task_state_store"], self.point, done, self.dies_with)
        return {**context, "task_state_store": store}


class MortalRedeploy(Mortal, DaoCloudRedeployOperator):
    pass


class MortalAction(Mortal, DaoCloudAppActionOperator):
    pass


class MortalBuild(Mortal, DaoCloudTriggerBuildOperator):
    pass


class Bystander(BaseOperator):
    """Another task of the DAG run."""

    def execute(self, context: Any) -> None:
        pass


def mortal(row: dict[str, Any]) -> Mortal:
    """Return the task of a row."""
    alike = ALIKE | {name: row[name] for name in ("task_id", "point", "deferrable", "on_ambiguous")}
    if row["action"] == "build":
        return MortalBuild(build_flow_id=row["app_id"], **alike)
    if row["action"] == "rollback":
        alike |= {"verify": True, "verify_timeout": 5.0, "rollback_on_failure": True}
        alike |= {"dies_with": "v1"}  # in the middle of the rollback
    if row["action"] in ("redeploy", "rollback"):
        return MortalRedeploy(app_id=row["app_id"], release_name=row["release_name"], **alike)
    return MortalAction(app_id=row["app_id"], action=row["action"], **alike)


with DAG("crashes", schedule=None, max_active_tasks=64):
    for one in json.loads((HERE / "rows.json").read_text()):
        mortal(one)
    MortalRedeploy.partial(
        task_id="mapped", release_name="v2", point="after accepted", deferrable=False, **ALIKE
    ).expand(app_id=["mapped-0", "mapped-1", "mapped-2"])

for mode in ("blocking", "deferrable"):
    with DAG(f"clears_{mode}", schedule=None, max_active_runs=16):
        MortalRedeploy(
            task_id="act",
            app_id="{{ dag_run.conf['app_id'] }}",
            release_name="v2",
            deferrable=mode == "deferrable",
            **ALIKE,
        )
        Bystander(task_id="bystander", retries=2)  # a busy machine can lose a start of it, too
