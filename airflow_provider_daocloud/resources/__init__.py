"""The resources to act on and to wait for: one file for each, registered when imported."""

from airflow_provider_daocloud.resources.enterprise import pipeline, workload
from airflow_provider_daocloud.resources.openapi import app, build_flow, stack

__all__ = ["app", "build_flow", "pipeline", "stack", "workload"]
