"""How operators and sensors say which resource they mean: by its id, or by its name."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow_provider_daocloud.api.validation import id_or_name


class Reference:
    """Base of what an operator or a sensor is mixed with: its resource, by id or by name."""

    # What kind of resource it is: the stem of its arguments.
    resource: ClassVar[str]

    @property
    def ref(self) -> tuple[Any, str | None]:
        """The id and the name. The id is None until the name is looked up."""
        raise NotImplementedError

    def take_id(self, found_id: str | None) -> None:
        """Set the id.

        :param found_id: the id, or None to forget it.
        """
        raise NotImplementedError


class AppReference(Reference):
    """An app, by ``app_id`` or ``app_name``."""

    resource = "app"
    app_id: Any
    app_name: str | None

    def refer_to(self, app_id: str | None, app_name: str | None) -> None:
        """Set the fields, of which one must be given."""
        self.app_id, self.app_name = id_or_name("app", app_id, app_name)

    @property
    def ref(self) -> tuple[Any, str | None]:
        """The id and the name."""
        return self.app_id, self.app_name

    def take_id(self, found_id: str | None) -> None:
        """Set the id."""
        self.app_id = found_id


class BuildFlowReference(Reference):
    """A build flow, by ``build_flow_id`` or ``build_flow_name``."""

    resource = "build_flow"
    build_flow_id: Any
    build_flow_name: str | None

    def refer_to(self, build_flow_id: str | None, build_flow_name: str | None) -> None:
        """Set the fields, of which one must be given."""
        self.build_flow_id, self.build_flow_name = id_or_name(
            "build_flow", build_flow_id, build_flow_name
        )

    @property
    def ref(self) -> tuple[Any, str | None]:
        """The id and the name."""
        return self.build_flow_id, self.build_flow_name

    def take_id(self, found_id: str | None) -> None:
        """Set the id."""
        self.build_flow_id = found_id


class StackReference(Reference):
    """A stack, by ``stack_id`` or ``stack_name``."""

    resource = "stack"
    stack_id: Any
    stack_name: str | None

    def refer_to(self, stack_id: str | None, stack_name: str | None) -> None:
        """Set the fields, of which one must be given."""
        self.stack_id, self.stack_name = id_or_name("stack", stack_id, stack_name)

    @property
    def ref(self) -> tuple[Any, str | None]:
        """The id and the name."""
        return self.stack_id, self.stack_name

    def take_id(self, found_id: str | None) -> None:
        """Set the id."""
        self.stack_id = found_id
