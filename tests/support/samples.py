"""The answers that the Open API's page shows, and the calls that they belong to."""

from __future__ import annotations

from typing import Any

from airflow_provider_daocloud.api.openapi.actions import get_action, get_stack_action
from airflow_provider_daocloud.api.openapi.apps import act_on_app, get_app, list_apps, redeploy_app
from airflow_provider_daocloud.api.openapi.builds import (
    get_build,
    get_build_flow,
    list_build_flows,
    start_build,
)
from airflow_provider_daocloud.api.openapi.stacks import act_on_stack, get_stack, list_stacks
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.response import Response, interpret

TOKEN = "tok-5f0c2b77d1e94a"
NOW = 1_700_000_000.0

FLOW_ID = "90d58d34-e1ca-4724-9d7c-9af7e3635f12"
APP_ID = "d535ca76-b388-4356-8ad8-990e488fc1eb"
ACTION_ID = "8e3e490e-54ae-4214-924c-b7dcf3c33454"
BUILD_ID = "1024"
STACK_ID = "3f6d1c0e-8d0b-4a57-a2c9-0b1f2f6a7c11"

FLOW: dict[str, Any] = {
    "id": FLOW_ID,
    "name": "mongo_demo",
    "repo": "daocloud/mongo_demo",
    "src_language": "Go",
    "src_provider": "github",
    "status": "Success",
    "src_origin_url": "https://github.com/DaoCloud/golang-mongo-sample",
    "package_id": "e5033330-978f-4466-97d1-625c57a7943f",
    "created_at": "2015-12-01T06:25:57+00:00",
}
FLOWS: dict[str, Any] = {"build_flows": [FLOW]}
LISTED_APP: dict[str, Any] = {
    "package": {
        "id": "1b6b9e72-f127-41fe-8290-cc3df8dfdf19",
        "image": "daocloud.io/daocloud/daocloud",
    },
    "state": "RUNNING",
    "created_at": "2015-12-19T07:55:10+00:00",
    "last_operated_at": "2015-12-14T08:46:11+00:00",
    "release_name": "v1.0.0",
    "app_runtime": {"name": "S0", "display_name": "自有集群"},
    "id": "a5fad5a6-b967-4436-bcfd-1978110ea8cb",
    "name": "open-api",
    "enable_auto_redeploy": True,
}
APPS: dict[str, Any] = {"app": [LISTED_APP]}
APP: dict[str, Any] = {
    "last_operated_at": "2015-12-14T10:01:39+00:00",
    "name": "open-api",
    "release_name": "master-20ec560",
    "app_runtime": {"name": "S0", "display_name": "自有集群"},
    "state": "RUNNING",
    "package": {
        "id": "ab6f0727-ba60-4166-8bc6-7012e61303e8",
        "image": "daocloud.io/daocloud/open-api",
    },
    "created_at": "2015-12-01T10:45:29+00:00",
    "config": {"instances": 1, "expose_port": 8881, "command": None},
    "id": APP_ID,
    "enable_auto_redeploy": True,
}
ACCEPTED: dict[str, Any] = {"action_id": "80ae7c11-91d6-4edd-a785-e372bd04c4cb"}
ACTION: dict[str, Any] = {
    "end_date": "2015-12-14T10:16:23+00:00",
    "action_name": "start_app",
    "state": "SUCCESS",
    "app_id": APP_ID,
    "start_date": "2015-12-14T10:16:21+00:00",
    "error_info": {"message": None},
    "id": ACTION_ID,
    "time_cost_seconds": 2,
}

# What later revisions of the page have.
BUILD: dict[str, Any] = {
    "id": int(BUILD_ID),
    "status": "Success",
    "created_at": "2016-07-13T08:16:34+00:00",
    "author": "daocloud",
    "sha": "20ec560c4f9d1f0b6f1d7c9a1f5d8b2e3c4a5b6d",
    "tag": "master-20ec560",
    "ref": "master",
    "ref_is_tag": "false",
    "ref_is_branch": "true",
}
STACK: dict[str, Any] = {
    "id": STACK_ID,
    "name": "shop",
    "created_at": "2016-07-13T08:16:34+00:00",
    "last_operated_at": "2016-07-14T09:26:44",
    "stacks": [{"stack_id": "c1f7b9f2-6b1d-4f0e-9f57-5d0f0c8f6a10"}],
}
STACKS: dict[str, Any] = {"stacks": [STACK]}
STACK_ACTION: dict[str, Any] = {
    "end_date": "2016-07-14T09:26:46+00:00",
    "action_name": "start_stack",
    "state": "success",
    "stack_id": STACK_ID,
    "start_date": "2016-07-14T09:26:44+00:00",
    "error_info": {"message": None},
    "id": ACTION_ID,
    "time_cost_seconds": 2,
}

# Every call, with the answer that the page shows for it.
CALLS: dict[str, tuple[Request[Any], dict[str, Any]]] = {
    request.name: (request, sample)
    for request, sample in (
        (list_build_flows(), FLOWS),
        (get_build_flow(FLOW_ID), FLOW),
        (list_apps(), APPS),
        (get_app(APP_ID), APP),
        (act_on_app(APP_ID, "start"), ACCEPTED),
        (act_on_app(APP_ID, "stop"), ACCEPTED),
        (act_on_app(APP_ID, "restart"), ACCEPTED),
        (redeploy_app(APP_ID, "v1.0.0"), ACCEPTED),
        (get_action(APP_ID, ACTION_ID), ACTION),
        (start_build(FLOW_ID, "master"), BUILD),
        (get_build(FLOW_ID, BUILD_ID), BUILD),
        (list_stacks(), STACKS),
        (get_stack(STACK_ID), STACK),
        (act_on_stack(STACK_ID, "start"), ACCEPTED),
        (act_on_stack(STACK_ID, "stop"), ACCEPTED),
        (act_on_stack(STACK_ID, "restart"), ACCEPTED),
        (get_stack_action(STACK_ID, ACTION_ID), STACK_ACTION),
    )
}
READS = {name: pair for name, pair in CALLS.items() if not pair[0].is_write}
POSTS = {name: pair for name, pair in CALLS.items() if pair[0].is_write}


def interpreted(
    request: Request[Any],
    body: bytes = b"",
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    now: float = NOW,
) -> Any:
    """Return what the protocol makes of an answer."""
    response = Response(status, headers or {}, body)
    return interpret(request, response, now=now, secret=TOKEN)
