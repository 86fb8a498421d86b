"""Sensors that wait: for actions, apps, builds and build flows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_daocloud.api.errors import ActionFailedError, AppStateError, BuildFailedError
from airflow_provider_daocloud.api.validation import NOT_GIVEN
from airflow_provider_daocloud.links import AppLink, BuildFlowLink, StackLink
from airflow_provider_daocloud.references import AppReference, BuildFlowReference, StackReference
from airflow_provider_daocloud.sensors.base import STATE_KEY, DaoCloudBaseSensor
from airflow_provider_daocloud.triggers.daocloud import (
    DaoCloudActionTrigger,
    DaoCloudAppTrigger,
    DaoCloudBuildFlowTrigger,
    DaoCloudBuildTrigger,
    DaoCloudStackActionTrigger,
)

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_daocloud.arguments import SensorArguments

__all__ = [
    "STATE_KEY",
    "DaoCloudActionSensor",
    "DaoCloudAppSensor",
    "DaoCloudBaseSensor",
    "DaoCloudBuildFlowSensor",
    "DaoCloudBuildSensor",
    "DaoCloudStackActionSensor",
]


class DaoCloudActionSensor(AppReference, DaoCloudBaseSensor):
    """Wait until an action has succeeded: ``GET /v1/apps/{app_id}/actions/{action_id}``.

    :param app_id: the app's id (templated).
    :param app_name: its name instead (templated): ``GET /v1/apps``, in a worker.
    :param action_id: the action's id, as the operator that posted it returned it (templated).
    :return: the finished action as JSON-safe data, as the operators return it.
    :raises DaoCloudActionFailedError: DaoCloud says FAILED; the error has its message.
    """

    template_fields: Sequence[str] = (
        *DaoCloudBaseSensor.template_fields,
        "app_id",
        "app_name",
        "action_id",
    )
    operator_extra_links = (AppLink(),)
    trigger_class = DaoCloudActionTrigger
    failure = ActionFailedError

    def __init__(
        self,
        *,
        action_id: str,
        app_id: str | None = None,
        app_name: str | None = None,
        **kwargs: Unpack[SensorArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.refer_to(app_id, app_name)
        self.action_id = action_id
        self._may_start_from_trigger()

    def wait_arguments(self) -> dict[str, Any]:
        """Return what the trigger needs to know of the action."""
        return {"app_id": self.app_id, "action_id": self.action_id}


class DaoCloudStackActionSensor(StackReference, DaoCloudBaseSensor):
    """Wait until an action on a stack has succeeded.

    It asks ``GET /v1/stacks/{stack_id}/actions/{action_id}``.

    :param stack_id: the stack's id (templated).
    :param stack_name: its name instead (templated): ``GET /v1/stacks``, in a worker.
    :param action_id: the action's id, as its POST returned it (templated).
    :return: the finished action as JSON-safe data, with its ``stack_id``.
    :raises DaoCloudActionFailedError: DaoCloud says FAILED; the error has its message.
    """

    template_fields: Sequence[str] = (
        *DaoCloudBaseSensor.template_fields,
        "stack_id",
        "stack_name",
        "action_id",
    )
    operator_extra_links = (StackLink(),)
    trigger_class = DaoCloudStackActionTrigger
    failure = ActionFailedError

    def __init__(
        self,
        *,
        action_id: str,
        stack_id: str | None = None,
        stack_name: str | None = None,
        **kwargs: Unpack[SensorArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.refer_to(stack_id, stack_name)
        self.action_id = action_id
        self._may_start_from_trigger()

    def wait_arguments(self) -> dict[str, Any]:
        """Return what the trigger needs to know of the action."""
        return {"stack_id": self.stack_id, "action_id": self.action_id}


class DaoCloudAppSensor(AppReference, DaoCloudBaseSensor):
    """Wait until an app shows a state: ``GET /v1/apps/{app_id}``.

    DaoCloud documents the state RUNNING alone; the others were seen on the real service.

    :param app_id: the app's id (templated).
    :param app_name: its name instead (templated): ``GET /v1/apps``, in a worker.
    :param target_states: the state to wait for, or several. Default: ``RUNNING``.
    :param release_name: the release that the app is to run as well (templated). Default: any.
    :return: the app as JSON-safe data, with the API's field names.
    """

    template_fields: Sequence[str] = (
        *DaoCloudBaseSensor.template_fields,
        "app_id",
        "app_name",
        "release_name",
    )
    operator_extra_links = (AppLink(),)
    trigger_class = DaoCloudAppTrigger
    failure = AppStateError
    optional = ("release_name",)

    def __init__(
        self,
        *,
        app_id: str | None = None,
        app_name: str | None = None,
        target_states: str | Iterable[str] = ("RUNNING",),
        release_name: str | None = NOT_GIVEN,
        **kwargs: Unpack[SensorArguments],
    ) -> None:
        from airflow_provider_daocloud.resources.openapi.app import parse_states

        super().__init__(**kwargs)
        self.refer_to(app_id, app_name)
        self.target_states = [str(state) for state in parse_states(target_states)]
        # Kept from before rendering: a template that renders to nothing is not any release.
        self.release_name, self._with_release = self.given(release_name)
        self._may_start_from_trigger()

    def wait_arguments(self) -> dict[str, Any]:
        """Return what the trigger needs to know of the app."""
        return {
            "app_id": self.app_id,
            "target_states": self.target_states,
            "release_name": self.release_name,
            "with_release": self._with_release,
        }


class DaoCloudBuildFlowSensor(BuildFlowReference, DaoCloudBaseSensor):
    """Wait until a build flow shows a status: ``GET /v1/build-flows/{build_flow_id}``.

    A flow's status is that of its latest build, so Success can be yesterday's. To wait for a *new*
    build, give the package that the flow had before it as ``previous_package_id``.

    :param build_flow_id: the build flow's id (templated).
    :param build_flow_name: its name instead (templated): ``GET /v1/build-flows``, in a worker.
    :param target_statuses: the status to wait for, or several. Default: ``Success``.
    :param previous_package_id: the package that the flow had before the build that is waited for
        (templated). If it renders to nothing, the flow had none, and any package is new.
    :return: the build flow as JSON-safe data, with the API's field names.
    :raises DaoCloudBuildFailedError: it ended in Failure, Error, Cancelled, Timeout or Killed.
    """

    template_fields: Sequence[str] = (
        *DaoCloudBaseSensor.template_fields,
        "build_flow_id",
        "build_flow_name",
        "previous_package_id",
    )
    operator_extra_links = (BuildFlowLink(),)
    trigger_class = DaoCloudBuildFlowTrigger
    failure = BuildFailedError
    optional = ("previous_package_id",)

    def __init__(
        self,
        *,
        build_flow_id: str | None = None,
        build_flow_name: str | None = None,
        target_statuses: str | Iterable[str] = ("Success",),
        previous_package_id: str | None = NOT_GIVEN,
        **kwargs: Unpack[SensorArguments],
    ) -> None:
        from airflow_provider_daocloud.resources.openapi.build_flow import parse_statuses

        super().__init__(**kwargs)
        self.refer_to(build_flow_id, build_flow_name)
        self.target_statuses = [str(status) for status in parse_statuses(target_statuses)]
        # Kept from before rendering: a template that renders to nothing still asks for a new build.
        self.previous_package_id, self._new_build = self.given(previous_package_id)
        self._may_start_from_trigger()

    def wait_arguments(self) -> dict[str, Any]:
        """Return what the trigger needs to know of the build flow."""
        return {
            "build_flow_id": self.build_flow_id,
            "target_statuses": self.target_statuses,
            "previous_package_id": self.previous_package_id,
            "new_build": self._new_build,
        }


class DaoCloudBuildSensor(BuildFlowReference, DaoCloudBaseSensor):
    """Wait until one build has succeeded: ``GET /v1/build-flows/{build_flow_id}/builds/{id}``.

    Unlike a build flow's status, which is its latest build's, this is about that build alone. The
    call came with a later revision of the API; an installation without it has
    `DaoCloudBuildFlowSensor` with ``previous_package_id``.

    :param build_flow_id: the build flow's id (templated).
    :param build_flow_name: its name instead (templated): ``GET /v1/build-flows``, in a worker.
    :param build_id: the build's id, as its POST returned it (templated).
    :return: the finished build as JSON-safe data, with its ``build_id`` and ``build_flow_id``.
    :raises DaoCloudBuildFailedError: it ended in Failure, Error, Cancelled, Timeout or Killed.
    """

    template_fields: Sequence[str] = (
        *DaoCloudBaseSensor.template_fields,
        "build_flow_id",
        "build_flow_name",
        "build_id",
    )
    operator_extra_links = (BuildFlowLink(),)
    trigger_class = DaoCloudBuildTrigger
    failure = BuildFailedError

    def __init__(
        self,
        *,
        build_id: str | int,
        build_flow_id: str | None = None,
        build_flow_name: str | None = None,
        **kwargs: Unpack[SensorArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.refer_to(build_flow_id, build_flow_name)
        self.build_id = build_id
        self._may_start_from_trigger()

    def wait_arguments(self) -> dict[str, Any]:
        """Return what the trigger needs to know of the build."""
        return {"build_flow_id": self.build_flow_id, "build_id": self.build_id}
