"""The calls of global management: who am I, access keys, product versions, workspaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_daocloud.sandbox.enterprise.tokens import LIFETIME
from airflow_provider_daocloud.sandbox.enterprise.wire import (
    Call,
    CallRow,
    Made,
    invalid,
    paged,
    stamp,
    whole,
)
from airflow_provider_daocloud.sandbox.options import LAST_MOMENT
from airflow_provider_daocloud.sandbox.parts import NotFoundError

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.enterprise.places import Workspace
    from airflow_provider_daocloud.sandbox.enterprise.users import AccessKey


def _current_user(call: Call) -> Made:
    user = call.user
    return Made(
        {
            "uid": user.uid,
            "username": user.name,
            "email": "",
            "locale": "zh-CN",
            "source": "locale",
            "phoneNumber": "",
            "firstname": "",
            "lastname": user.name,
        },
        user.name,
    )


def _versions(call: Call) -> Made:
    items = [{"name": name, "version": version} for name, version in call.world.products.items()]
    return Made({"items": items}, f"{len(items)} products")


def _key_json(key: AccessKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "createdAt": stamp(key.created_at, "ms"),
        "updatedAt": stamp(key.created_at, "ms"),
        "expiredAt": stamp(key.expires_at, "ms"),
    }


def _list_keys(call: Call) -> Made:
    return Made({"items": [_key_json(key) for key in call.world.users.of(call.user)]})


def _create_key(call: Call) -> Made:
    expired_at = call.field("expiredAt", str, "")
    # The unit is documented nowhere: milliseconds, as in this product's answers.
    now = call.world.now()
    expires_at: float | None = now + LIFETIME
    if expired_at:
        milliseconds = whole(expired_at, "expiredAt")
        expires_at = milliseconds // 1000 if milliseconds else None
    if expires_at is not None and not now < expires_at <= LAST_MOMENT:
        raise invalid("expiredAt is in the past, or beyond all dates")
    key = call.world.users.add(call.user.name, read_only=call.user.read_only, expires_at=expires_at)
    key.name = call.field("name", str, "") or key.name
    return Made({"id": key.id, "token": key.token}, f"access key {key.id}", acted=True)


def _delete_key(call: Call) -> Made:
    for key in call.world.users.of(call.user):
        if key.id == call.params["id"]:
            key.revoked = True
            return Made({}, f"access key {key.id} deleted", acted=True)
    raise NotFoundError("access token not found")


def _workspace_json(workspace: Workspace) -> dict[str, Any]:
    return {"id": workspace.id, "name": f"workspace-{workspace.id}", "alias": workspace.alias}


def _list_workspaces(call: Call) -> Made:
    workspaces = [_workspace_json(one) for one in call.world.places.workspaces.values()]
    return Made(paged(call, workspaces, pages=False), f"{len(workspaces)} workspaces")


def _workspace(call: Call) -> Workspace:
    return call.world.places.workspace(whole(call.params["workspace"], "workspaceId"))


def _get_workspace(call: Call) -> Made:
    return Made({"workspace": _workspace_json(_workspace(call))})


def _exclusive_resources(call: Call) -> Made:
    workspace = _workspace(call)
    items = [
        {
            "resourceName": namespace.name,
            "resourceType": "namespace",
            "resourceScope": namespace.cluster,
            "gproduct": "kpanda",
            "workspaceId": workspace.id,
            "module": "kpanda",
            "clusterStatus": "StatusRunning",
        }
        for namespace in call.world.places.bound_to(workspace.id)
    ]
    return Made(paged(call, items, pages=False))


def _shared_resources(call: Call) -> Made:
    _workspace(call)
    return Made(paged(call, [], pages=False))


_G = "apis/ghippo.io/v1alpha1"
CALLS: tuple[CallRow, ...] = (
    ("get_current_user", "GET", f"{_G}/current-user", _current_user),
    ("list_product_versions", "GET", f"{_G}/about/versions", _versions),
    ("list_access_keys", "GET", f"{_G}/current-user/accesstokens", _list_keys),
    ("create_access_key", "POST", f"{_G}/current-user/accesstoken", _create_key),
    ("delete_access_key", "DELETE", f"{_G}/current-user/accesstokens/{{id}}", _delete_key),
    ("list_workspaces", "GET", f"{_G}/workspaces", _list_workspaces),
    ("get_workspace", "GET", f"{_G}/workspaces/{{workspace}}", _get_workspace),
    (
        "list_exclusive_resources",
        "GET",
        f"{_G}/workspaces/{{workspace}}/exclusiveresources",
        _exclusive_resources,
    ),
    (
        "list_shared_resources",
        "GET",
        f"{_G}/workspaces/{{workspace}}/sharedresources",
        _shared_resources,
    ),
)
