"""The operator that starts a build of a build flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_daocloud.api.errors import BuildFailedError, InputError, NotFoundError
from airflow_provider_daocloud.arguments import id_or_name
from airflow_provider_daocloud.lazy import lazy
from airflow_provider_daocloud.links import BuildFlowLink
from airflow_provider_daocloud.operators.base import Carried, DaoCloudActOperator, Try

if TYPE_CHECKING:
    from airflow_provider_daocloud import journal as journals
    from airflow_provider_daocloud import targets, waits
    from airflow_provider_daocloud.api import protocol
    from airflow_provider_daocloud.journal import Before, Course
else:
    journals = lazy("airflow_provider_daocloud.journal")
    protocol = lazy("airflow_provider_daocloud.api.protocol")
    targets = lazy("airflow_provider_daocloud.targets")
    waits = lazy("airflow_provider_daocloud.waits")

T = TypeVar("T")


class DaoCloudTriggerBuildOperator(DaoCloudActOperator):
    """Start a build of a branch, and wait until that build has succeeded.

    ``POST /v1/build-flows/{build_flow_id}/builds``, a call of later revisions of the API. See
    `DaoCloudActOperator` for the other parameters. A lost answer cannot be settled by evidence as
    an app's can, since pushes start builds too: if anything was built since, it ends as *outcome
    unknown*, and with ``on_ambiguous="adopt"`` that build is taken.

    :param build_flow_id: the build flow's id (templated).
    :param build_flow_name: its name instead (templated): ``GET /v1/build-flows``, when the task
        runs.
    :param branch: what to build (templated).
    :param only_if_idle: if a build waits or runs already, start none, and wait for that one. The
        API does not tell which branch it builds, nor its id: the result has ``"joined": True``, no
        ``build_id``, and the ``package_id`` of the build flow.
    :return: the build as JSON-safe data: ``build_id``, ``build_flow_id``, ``status``, ``tag`` (the
        image tag that it made), ``ref``, ``sha``, ``author``, ``ref_is_tag``, ``ref_is_branch``,
        ``created_at``. The build's id is pushed as XCom ``build_id`` too, as soon as there is one.
    :raises DaoCloudBuildFailedError: it ended in Failure, Error, Cancelled, Timeout or Killed.
    """

    template_fields: Sequence[str] = (
        *DaoCloudActOperator.template_fields,
        "build_flow_id",
        "build_flow_name",
        "branch",
    )
    operator_extra_links = (BuildFlowLink(),)
    what = "build_flow"
    id_key = "build_id"
    failure = BuildFailedError

    def __init__(
        self,
        *,
        build_flow_id: str | None = None,
        build_flow_name: str | None = None,
        branch: str = "master",
        only_if_idle: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.build_flow_id, self.build_flow_name = id_or_name(
            "build_flow", build_flow_id, build_flow_name
        )
        self.branch = branch
        self.only_if_idle = only_if_idle
        # Builds run side by side.
        self.if_busy = "join" if only_if_idle else "send"
        if only_if_idle and not self.wait_for_completion:
            raise InputError(
                "only_if_idle",
                "needs wait_for_completion=True: a build that runs already has no id to return.",
            )

    def call(self, course: Course) -> protocol.Call[Any]:  # noqa: ARG002 - it is always the same
        """Return the call that starts the build."""
        return protocol.start_build(self.build_flow_id, self.branch)

    def target(self) -> targets.BuildFlowTarget:
        """Return what is acted on."""
        return targets.BuildFlowTarget(self.build_flow_id)

    def wait_for(self, action_id: str) -> waits.Wait:
        """Return the wait for a build by its id."""
        return waits.BuildWait(self.build_flow_id, action_id)

    def joined(self, doing: Try, before: Before) -> Any:
        """Wait for the build that runs already, by its flow."""
        wait = waits.BuildFlowWait.of(
            self.build_flow_id, not_package_id=before.package_id, new_build=True
        )
        carried = Carried("joined", doing.course, memory={"moved": True})
        return self.wait(doing, wait, carried)

    def succeeded(self, doing: Try, result: dict[str, Any]) -> Any:
        """Return the build; of a joined one, what its flow shows."""
        if "package_id" in result:
            asked = journals.Asked.of(self.call(doing.course), self.build_flow_id)
            result = self.target().result(asked) | {
                "status": result["status"],
                "package_id": result["package_id"],
                "ref": None,
                "joined": True,
            }
        return self.finished(doing, result)

    def send(self, call: protocol.Call[T]) -> T:
        """Send a call; say what to do where the API has no builds yet."""
        try:
            return super().send(call)
        except NotFoundError as e:
            if call.name != "start_build":
                raise
            problem = (
                "this installation is older than the call that starts a build (HTTP 404; the build "
                "flow itself was found). Start the build by a push, and wait for it with a "
                "DaoCloudBuildFlowSensor and its not_package_id."
            )
            raise NotFoundError(str(call), problem, status=e.status) from e
