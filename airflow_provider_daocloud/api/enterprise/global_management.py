"""Global management (ghippo): who the user is, what is installed, and the workspaces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_daocloud.api.enterprise.generation import ENTERPRISE
from airflow_provider_daocloud.api.enterprise.paging import paged
from airflow_provider_daocloud.api.model import Model
from airflow_provider_daocloud.api.parsing import read_required, read_text
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.response import list_of, object_of

ROOT = "/apis/ghippo.io/v1alpha1"


@dataclass(frozen=True, slots=True)
class User(Model):
    """The user whose access key it is."""

    uid: str | None = None
    username: str | None = None
    email: str | None = None

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> User:
        """Build a user from the API's object."""
        return cls(read_text(data, "uid"), read_text(data, "username"), read_text(data, "email"))


@dataclass(frozen=True, slots=True)
class Product(Model):
    """A product of DaoCloud Enterprise that is installed."""

    name: str
    version: str | None = None

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Product:
        """Build a product from one object of the API."""
        return cls(read_required(data, "name"), read_text(data, "version"))


@dataclass(frozen=True, slots=True)
class Workspace(Model):
    """A workspace: ``name`` is its alias, which is what people see of it."""

    id: str
    name: str | None = None

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Workspace:
        """Build a workspace from one object of the API."""
        return cls(read_required(data, "id"), read_text(data, "alias") or read_text(data, "name"))

    def as_dict(self) -> dict[str, Any]:
        """Return the workspace as JSON-safe data."""
        return {"id": self.id, "name": self.name}


def get_current_user() -> Request[User]:
    """``GET /apis/ghippo.io/v1alpha1/current-user``."""
    path = f"{ROOT}/current-user"
    return Request("get_current_user", "GET", path, object_of(User.parse), api=ENTERPRISE)


def list_products() -> Request[tuple[Product, ...]]:
    """``GET /apis/ghippo.io/v1alpha1/about/versions``: the products, and their versions."""
    path = f"{ROOT}/about/versions"
    return Request("list_products", "GET", path, list_of("items", Product.parse), api=ENTERPRISE)


def list_workspaces() -> Request[tuple[Workspace, ...]]:
    """``GET /apis/ghippo.io/v1alpha1/workspaces``: all that the user is in."""
    return paged("list_workspaces", f"{ROOT}/workspaces", Workspace.parse)
