"""How the jobs of the waiting benchmark are numbered, and DaoCloud's ids for them."""

from __future__ import annotations

WARM_UP = 0  # always ended, so that a contestant can load all that it loads late


def flow_id(job: int) -> str:
    """Return the id of the build flow whose build is this job."""
    return f"f1000000-0000-4000-8000-{job:012d}"


def app_id(job: int) -> str:
    """Return the id of the app that this job's action is on."""
    return f"a9900000-0000-4000-8000-{job:012d}"


def action_id(job: int) -> str:
    """Return the id of the action that is this job."""
    return f"ac710000-0000-4000-8000-{job:012d}"


def number(any_id: str) -> int:
    """Return the number of the job that an id belongs to."""
    return int(any_id[-12:])


def pipeline(job: int) -> str:
    """Return the pipeline of which this job is a run: ten of them have a thousand."""
    return f"pipeline-{job // 100}"


def workload(job: int) -> str:
    """Return the deployment whose rollout is this job."""
    return f"workload-{job}"
