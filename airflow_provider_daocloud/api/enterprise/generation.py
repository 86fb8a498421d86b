"""DaoCloud Enterprise 5, as an API generation."""

from __future__ import annotations

from airflow_provider_daocloud.api.generation import ApiGeneration

ENTERPRISE = ApiGeneration(
    name="DaoCloud Enterprise 5",
    authorization="Bearer",
    error_fields=("code", "message"),  # of a google.rpc.Status
    unknown_call=(
        "there is no such call: its product is not installed, or in another version; the "
        "connection's test lists what is installed"
    ),
)
