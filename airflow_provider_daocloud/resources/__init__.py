"""What there is to act on and to wait for: one file for each noun, registered when imported."""

from airflow_provider_daocloud.resources.openapi import app, build_flow, stack

__all__ = ["app", "build_flow", "stack"]
