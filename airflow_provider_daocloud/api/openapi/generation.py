"""The Open API v1, as an API generation."""

from __future__ import annotations

from airflow_provider_daocloud.api.generation import ApiGeneration

OPEN_API = ApiGeneration(
    name="Open API v1", authorization="token", error_fields=("error_id", "message")
)
