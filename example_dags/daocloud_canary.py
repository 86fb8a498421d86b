"""A release to a fleet: one app first, the canary, and the others in waves behind it.

Each redeploy is verified: the app has to run, and to run that release. Where it does not, that app
goes back to the release that it ran before, and the waves behind it never start. The last tasks
report which app runs what, and fail the run if one of them was left behind. Trigger it again when
the cause is fixed: apps that already run the release are skipped.

Trigger it with ``{"canary": "web", "apps": ["api", "worker"], "release_name": "v1.2.0"}``.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import DAG, AirflowFailException, Param, task

from airflow_provider_daocloud.exceptions import airflow_errors
from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook
from airflow_provider_daocloud.operators.daocloud import DaoCloudRedeployOperator

# Airflow lays out a DAG's tasks before it runs: this many waves at most. Those that are not needed
# are skipped.
WAVES = 3

with DAG(
    "daocloud_canary",
    description="Redeploy one app first, and the others in waves",
    schedule=None,
    max_active_runs=1,
    params={
        "canary": Param("web", type="string", description="Name of the app that goes first"),
        "apps": Param(
            ["api", "worker", "preview"],
            type="array",
            items={"type": "string"},
            description="Names of the others",
        ),
        "wave_size": Param(2, type="integer", minimum=1, description="How many apps at a time"),
        "release_name": Param("latest", type="string", description="Release (image tag) to deploy"),
    },
    tags=["daocloud"],
) as dag:

    @task
    def find(params: dict[str, Any]) -> list[list[str]]:
        """Return the ids of the canary and of each wave: one call finds them all."""
        size = params["wave_size"]
        with airflow_errors():  # no retry can fix a wrong name
            apps = DaoCloudHook().find_apps([params["canary"], *params["apps"]])
        found = [app.id for app in apps]
        rest = found[1:]
        if len(rest) > WAVES * size:
            raise AirflowFailException(
                f"{len(rest)} apps are more than {WAVES} waves of {size}: raise wave_size."
            )
        return [found[:1], *(rest[size * number : size * (number + 1)] for number in range(WAVES))]

    @task
    def of_wave(waves: list[list[str]], number: int) -> list[str]:
        """Return the ids of one wave."""
        return waves[number]

    @task(trigger_rule="all_done")
    def report(params: dict[str, Any]) -> dict[str, str | None]:
        """Return which app runs which release, however the waves ended."""
        apps = DaoCloudHook().find_apps([params["canary"], *params["apps"]])
        for app in apps:
            print(f"{app.name}: {app.release_name}, {app.state_text}")  # noqa: T201 - to the log
        return {str(app.name): app.release_name for app in apps}

    @task
    def complete(releases: dict[str, str | None], params: dict[str, Any]) -> None:
        """Fail the run if an app was left behind: Airflow goes by a run's last tasks."""
        behind = [name for name, release in releases.items() if release != params["release_name"]]
        if behind:
            raise AirflowFailException(f"Not on {params['release_name']}: {', '.join(behind)}.")

    waves = find()
    reported = report()
    before: Any = None
    for number in range(WAVES + 1):
        wave = DaoCloudRedeployOperator.partial(
            task_id=f"wave_{number}" if number else "canary",
            release_name="{{ params.release_name }}",
            skip_if_current=True,
            verify=True,
            rollback_on_failure=True,
        ).expand(app_id=of_wave.override(task_id=f"of_wave_{number}")(waves, number))
        if before is not None:
            before >> wave
        before = wave
    before >> reported
    complete(releases=reported)
