"""Build flows and their builds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, ClassVar

from airflow_provider_daocloud.api.errors import BuildFailedError, WaitError
from airflow_provider_daocloud.api.openapi.builds import (
    BUILD_ACTIVE,
    BUILD_FAILED,
    Build,
    BuildFlow,
    BuildStatus,
    get_build,
    get_build_flow,
    list_build_flows,
    list_build_flows_unparsed,
)
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.validation import checked
from airflow_provider_daocloud.core.polling.batched import Batched
from airflow_provider_daocloud.core.polling.strategies import Individual
from airflow_provider_daocloud.core.submission.evidence import Snapshot, Verdict
from airflow_provider_daocloud.core.waiting.wait import Observation, WaitState
from airflow_provider_daocloud.core.waiting.wording import short, titled
from airflow_provider_daocloud.resources.openapi.states import parse_words, unknown_state_note
from airflow_provider_daocloud.resources.registry import Resource, register


@dataclass(frozen=True, slots=True)
class BuildFlowWait:
    """Wait until a build flow shows a status.

    A flow's status is that of its latest build, which can be yesterday's. With
    ``previous_package_id`` the wait is for a *new* build: Success counts only with another package,
    and any other status only once this wait has seen the flow building, or its status change.

    :param build_flow_id: the build flow.
    :param target_statuses: the statuses to wait for.
    :param previous_package_id: the package that the flow had before the build that is waited for.
    """

    build_flow_id: str
    target_statuses: tuple[BuildStatus, ...] = (BuildStatus.SUCCESS,)
    previous_package_id: str | None = None

    kind: ClassVar[str] = "build_flow"
    failure: ClassVar[type[WaitError]] = BuildFailedError
    lags: ClassVar[bool] = False

    @classmethod
    def of(
        cls,
        build_flow_id: str,
        target_statuses: str | Iterable[str] = ("Success",),
        previous_package_id: str | None = None,
        new_build: bool | None = None,
    ) -> BuildFlowWait:
        """Return the wait for what a user asked for.

        :param new_build: whether to wait for a new build; if not given, whether there is a
            ``previous_package_id``. With none (a template can render to None, "None" or ""), the
            flow had no package yet, and any is new.
        :raises InputError: an argument is unusable.
        """
        if previous_package_id == "None" or (new_build and previous_package_id is None):
            previous_package_id = ""
        if previous_package_id:
            previous_package_id = checked("previous_package_id", previous_package_id)
        return cls(build_flow_id, parse_statuses(target_statuses), previous_package_id)

    def request(self) -> Request[BuildFlow]:
        """``GET /v1/build-flows/{build_flow_id}``."""
        return get_build_flow(self.build_flow_id)

    def judge(self, seen: BuildFlow, wait_state: WaitState) -> Observation:
        """Judge the flow's status; see the class for what a new build means."""
        result = seen.as_dict()
        # The canonical word: another spelling of the same status is no change.
        now = [result["status"], seen.package_id or None]
        first = wait_state.setdefault("first", now)
        if seen.status in BUILD_ACTIVE or now != first:
            wait_state["moved"] = True
        fresh, note = True, unknown_state_note(seen.status)
        if self.previous_package_id is not None:
            if seen.status is BuildStatus.SUCCESS:
                fresh = bool(seen.package_id) and seen.package_id != self.previous_package_id
            else:
                fresh = bool(wait_state.get("moved"))
            if not fresh:
                note = f"the latest is still package {short(seen.package_id)}"
        status, name = seen.status_text or "of no status", seen.name
        if fresh and seen.status in self.target_statuses:
            return Observation("succeeded", status, result, name)
        if fresh and seen.status in BUILD_FAILED:
            return Observation(
                "failed", status, result, name, f"failed: its build is {seen.status}"
            )
        return Observation("pending", status, result, name, note=note)

    @property
    def wanted(self) -> str:
        """The status that is waited for, in words."""
        return " or ".join(self.target_statuses)

    def title(self, name: str | None) -> str:
        """Return what is waited for, as a person calls it.

        :param name: the build flow's name, if it is known.
        """
        new = "a new build of " if self.previous_package_id is not None else ""
        return new + titled("build flow", self.build_flow_id, name)

    def __str__(self) -> str:
        return f"build flow {self.build_flow_id}"


@dataclass(frozen=True, slots=True)
class BuildWait:
    """Wait until one build has succeeded, whatever the builds before and after it do.

    :param build_flow_id: the build flow.
    :param build_id: the build, as its POST returned it.
    """

    build_flow_id: str
    build_id: str | int

    kind: ClassVar[str] = "build"
    failure: ClassVar[type[WaitError]] = BuildFailedError
    lags: ClassVar[bool] = True

    def request(self) -> Request[Build]:
        """``GET /v1/build-flows/{build_flow_id}/builds/{build_id}``."""
        return get_build(self.build_flow_id, self.build_id)

    def judge(self, seen: Build, wait_state: WaitState) -> Observation:  # noqa: ARG002 - nothing to remember
        """Success succeeds; `BUILD_FAILED` fails; everything else is pending."""
        result = seen.as_dict() | {"build_flow_id": self.build_flow_id}
        if seen.status is BuildStatus.SUCCESS:
            return Observation("succeeded", seen.status_text, result)
        if seen.status in BUILD_FAILED:
            return Observation("failed", seen.status_text, result, problem=_failure(seen))
        note = unknown_state_note(seen.status)
        return Observation("pending", seen.status_text or "of no status", result, note=note)

    @property
    def wanted(self) -> str:
        """The state that is waited for, in words."""
        return BuildStatus.SUCCESS

    def title(self, name: str | None) -> str:
        """Return what is waited for, as a person calls it.

        :param name: the build flow's name, if it is known.
        """
        return f"build {short(self.build_id)} of {titled('build flow', self.build_flow_id, name)}"

    def __str__(self) -> str:
        return f"build {self.build_id} of build flow {self.build_flow_id}"


def _failure(build: Build) -> str:
    """Say how a build failed, and whose change it was, as far as DaoCloud tells."""
    kind = "tag" if build.ref_is_tag else "branch"
    facts = {kind: build.ref, "commit": build.sha and build.sha[:12], "author": build.author}
    known = ", ".join(f"{word} {fact}" for word, fact in facts.items() if fact)
    return f"failed: it is {build.status}" + (f" ({known})" if known else "")


def parse_statuses(words: str | Iterable[str]) -> tuple[BuildStatus, ...]:
    """Return build statuses from their words, in any letter case.

    :raises InputError: there is none, or one is not a build status.
    """
    return parse_words("target_statuses", words, BuildStatus)


@dataclass(frozen=True, slots=True)
class BuildFlowEvidence:
    """What a build flow shows of a build: the latest one's status, and the last success's package.

    Its status is that of its latest build, whoever started it: pushes start builds all the time, so
    that a new build proves nothing by itself.

    :param build_flow_id: the build flow.
    """

    build_flow_id: str

    def __str__(self) -> str:
        return f"build flow {self.build_flow_id}"

    def request(self) -> Request[BuildFlow]:
        """``GET /v1/build-flows/{build_flow_id}``."""
        return get_build_flow(self.build_flow_id)

    def name_of(self, seen: BuildFlow) -> str | None:
        """Return its name."""
        return seen.name

    def snapshot(self, seen: BuildFlow) -> dict[str, Any]:
        """Return status and package."""
        return {"status": seen.status_text, "package_id": seen.package_id}

    def is_busy(self, seen: BuildFlow) -> bool:
        """Return whether a build waits or runs."""
        return seen.status in BUILD_ACTIVE

    def can_match(self, record: Mapping[str, Any]) -> bool:  # noqa: ARG002 - nobody can tell
        """Return False. A flow does not show which build is its latest."""
        return False

    def matches(self, record: Mapping[str, Any], seen: BuildFlow) -> bool:  # noqa: ARG002 - nobody can tell
        """Return False: see `can_match`."""
        return False

    def verdict(
        self,
        record: Mapping[str, Any],  # noqa: ARG002 - every build shows the same
        before: Snapshot,
        now: Snapshot,
        *,
        change_seen: bool,
        trust_any: bool,
    ) -> Verdict:
        """Judge by status and package.

        After a failure, a build that fails with the same word leaves everything as it was.
        """
        succeeded = BuildStatus.parse(before.shown["status"]) is BuildStatus.SUCCESS
        if not change_seen and succeeded and before.shown["package_id"]:
            return "absent"
        package = now.shown["package_id"]
        built = bool(package) and package != before.shown["package_id"]
        done = BuildStatus.parse(now.shown["status"]) is BuildStatus.SUCCESS
        return "present" if trust_any and built and done else "unknown"

    def operated_at(self, snapshot: Snapshot) -> None:
        """Return None: a build flow does not show when it last built."""

    def release(self, snapshot: Snapshot) -> None:
        """Return None: a build flow has no release."""

    def receipt_shown(self, record: Mapping[str, Any], seen: BuildFlow) -> None:
        """Return None: a build flow lists no builds."""

    def receipt(self, accepted: Build) -> str:
        """Return the build's id."""
        return accepted.id

    def result(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a finished build."""
        fields = ("build_id", "status", "tag", "ref", "sha", "author")
        flags = ("ref_is_tag", "ref_is_branch", "created_at")
        return dict.fromkeys((*fields, *flags)) | {
            "build_flow_id": self.build_flow_id,
            "ref": record["body"]["branch"],
        }

    def existing_result(self, seen: Mapping[str, Any]) -> dict[str, Any]:
        """Return the result for another client's build: what its flow shows, and no id.

        :param seen: the build flow as JSON-safe data.
        """
        return self.result({"body": {"branch": None}}) | {
            "status": seen["status"],
            "package_id": seen["package_id"],
            "existing_run": True,
        }

    def title(self, name: str | None) -> str:
        """Return the build flow as a person calls it."""
        return titled("build flow", self.build_flow_id, name)

    def describe(self, record: Mapping[str, Any], name: str | None) -> str:
        """Return the build in words."""
        return f"build of {record['body']['branch']} by {self.title(name)}"

    def describe_snapshot(self, snapshot: Snapshot) -> str:
        """Return status and package in words."""
        return f"{snapshot.shown['status'] or 'no status'}, package {snapshot.shown['package_id']}"


def _key(item: Mapping[str, Any]) -> str:
    return str(item.get("id"))


_BY_LIST = Batched(
    list_build_flows_unparsed, BuildFlow.parse, _key, attrgetter("build_flow_id"), ends_waits=True
)

BUILD_FLOW = register(
    Resource(
        kind="build_flow",
        list_request=list_build_flows,
        distinguishing=("status", "repo"),
        dashboard_path="/build-flows/{id}",
        polling={BuildFlowWait.kind: _BY_LIST, BuildWait.kind: Individual()},
    )
)
