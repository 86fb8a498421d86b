"""Build flows and builds: what the Open API says of them, and the requests on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.api.model import Model
from airflow_provider_daocloud.api.openapi.generation import OPEN_API
from airflow_provider_daocloud.api.parsing import (
    ShapeError,
    State,
    read_date,
    read_flag,
    read_required,
    read_text,
    read_texts,
    shown_word,
    to_iso,
)
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.response import items_of, list_of, object_of
from airflow_provider_daocloud.api.validation import checked, name_hint, path_segment

# Later revisions of the API brought these calls, and an installation can be of an earlier one.
_NO_BUILDS = (
    " Or this installation is older than the calls for builds: there, DaoCloudBuildFlowSensor with "
    "previous_package_id waits for a new build."
)


def list_build_flows() -> Request[tuple[BuildFlow, ...]]:
    """``GET /v1/build-flows``: all build flows that the token can see."""
    return Request(
        "list_build_flows",
        "GET",
        "/build-flows",
        list_of("build_flows", BuildFlow.parse),
        api=OPEN_API,
    )


def list_build_flows_unparsed() -> Request[tuple[Mapping[str, Any], ...]]:
    """``GET /v1/build-flows``: all build flows, as they were sent."""
    read = items_of("build_flows")
    return Request("list_build_flows", "GET", "/build-flows", read, repeats=True, api=OPEN_API)


def get_build_flow(build_flow_id: str) -> Request[BuildFlow]:
    """``GET /v1/build-flows/{id}``: one build flow."""
    path = f"/build-flows/{path_segment('build_flow_id', build_flow_id)}"
    return Request(
        "get_build_flow",
        "GET",
        path,
        object_of(BuildFlow.parse),
        not_found_hint=name_hint("build_flow_id", build_flow_id),
        api=OPEN_API,
    )


def start_build(build_flow_id: str, branch: str) -> Request[Build]:
    """``POST /v1/build-flows/{id}/builds``: builds a branch, and returns the build."""
    path = f"/build-flows/{path_segment('build_flow_id', build_flow_id)}/builds"
    body = {"branch": checked("branch", branch)}
    return Request(
        "start_build", "POST", path, object_of(_usable_build), body, _NO_BUILDS, api=OPEN_API
    )


def get_build(build_flow_id: str, build_id: str | int) -> Request[Build]:
    """``GET /v1/build-flows/{id}/builds/{build_id}``: one build."""
    flow = path_segment("build_flow_id", build_flow_id)
    build = path_segment("build_id", build_id)  # in the API's own answers a number
    path = f"/build-flows/{flow}/builds/{build}"
    return Request(
        "get_build", "GET", path, object_of(Build.parse), not_found_hint=_NO_BUILDS, api=OPEN_API
    )


def _usable_build(data: Mapping[str, Any]) -> Build:
    build = Build.parse(data)
    try:
        path_segment("build_id", build.id)  # it is about to be asked for
    except InputError:
        raise ShapeError("no usable 'id'") from None
    return build


class BuildStatus(State):
    """Status of a build, and of a build flow (which shows that of its latest build)."""

    PENDING = "Pending"
    STARTED = "Started"
    SUCCESS = "Success"
    FAILURE = "Failure"
    ERROR = "Error"
    CANCELLED = "Cancelled"
    TIMEOUT = "Timeout"
    # On no page; seen on the real service.
    KILLED = "Killed"
    UNKNOWN = "UNKNOWN"


BUILD_ACTIVE = frozenset({BuildStatus.PENDING, BuildStatus.STARTED})

BUILD_FAILED = frozenset(
    {
        BuildStatus.FAILURE,
        BuildStatus.ERROR,
        BuildStatus.CANCELLED,
        BuildStatus.TIMEOUT,
        BuildStatus.KILLED,
    }
)

BUILD_TERMINAL = BUILD_FAILED | {BuildStatus.SUCCESS}


@dataclass(frozen=True, slots=True)
class BuildFlow(Model):
    """A build flow: a source repository that DaoCloud builds images from."""

    id: str
    name: str | None = None
    status: BuildStatus = BuildStatus.UNKNOWN
    status_text: str = ""
    package_id: str | None = None
    repo: str | None = None
    src_language: str | None = None
    src_provider: str | None = None
    src_origin_url: str | None = None
    created_at: datetime | None = None

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> BuildFlow:
        """Build a build flow from one object of the API. Raises ShapeError if it has no id."""
        return cls(
            id=read_required(data, "id"),
            status=BuildStatus.parse(data.get("status")),
            status_text=read_text(data, "status") or "",
            created_at=read_date(data, "created_at"),
            **read_texts(
                data, "name", "package_id", "repo", "src_language", "src_provider", "src_origin_url"
            ),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the build flow as JSON-safe data, with the API's own field names."""
        return {
            "id": self.id,
            "name": self.name,
            "status": shown_word(self.status, self.status_text),
            "package_id": self.package_id,
            "repo": self.repo,
            "src_language": self.src_language,
            "src_provider": self.src_provider,
            "src_origin_url": self.src_origin_url,
            "created_at": to_iso(self.created_at),
        }


@dataclass(frozen=True, slots=True)
class Build(Model):
    """One build of a build flow (a later revision of the API has them)."""

    id: str
    status: BuildStatus = BuildStatus.UNKNOWN
    status_text: str = ""
    tag: str | None = None
    ref: str | None = None
    sha: str | None = None
    author: str | None = None
    ref_is_tag: bool | None = None
    ref_is_branch: bool | None = None
    created_at: datetime | None = None

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Build:
        """Build it from one object of the API. Raises ShapeError if it has no id."""
        return cls(
            id=read_required(data, "id"),
            status=BuildStatus.parse(data.get("status")),
            status_text=read_text(data, "status") or "",
            ref_is_tag=read_flag(data.get("ref_is_tag")),
            ref_is_branch=read_flag(data.get("ref_is_branch")),
            created_at=read_date(data, "created_at"),
            # The call that starts a build says "branch", and some answers do, too.
            ref=read_text(data, "ref") or read_text(data, "branch"),
            **read_texts(data, "tag", "sha", "author"),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the build as JSON-safe data; its own id is ``build_id``."""
        return {
            "build_id": self.id,
            "status": shown_word(self.status, self.status_text),
            "tag": self.tag,
            "ref": self.ref,
            "sha": self.sha,
            "author": self.author,
            "ref_is_tag": self.ref_is_tag,
            "ref_is_branch": self.ref_is_branch,
            "created_at": to_iso(self.created_at),
        }
