"""What operators and sensors take besides their own arguments: for editors and type checkers.

Only types; nothing here runs.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Required, TypedDict

from airflow_provider_daocloud.api.validation import IfBusy, OnAmbiguous, WorkloadKind

Callback = Any


class TaskArguments(TypedDict, total=False):
    """What every task of Airflow takes, on one line or another."""

    task_id: Required[str]
    owner: str
    email: str | Sequence[str] | None
    email_on_retry: bool
    email_on_failure: bool
    retries: int | None
    retry_delay: timedelta | float
    retry_exponential_backoff: bool | float
    max_retry_delay: timedelta | float | None
    retry_policy: Any
    start_date: datetime | None
    end_date: datetime | None
    depends_on_past: bool
    ignore_first_depends_on_past: bool
    wait_for_past_depends_before_skipping: bool
    wait_for_downstream: bool
    dag: Any
    params: MutableMapping[str, Any] | None
    default_args: dict[str, Any] | None
    priority_weight: int
    weight_rule: Any
    queue: str
    pool: str | None
    pool_slots: int
    sla: timedelta | None
    execution_timeout: timedelta | None
    on_execute_callback: Callback
    on_failure_callback: Callback
    on_success_callback: Callback
    on_retry_callback: Callback
    on_skipped_callback: Callback
    pre_execute: Any
    post_execute: Any
    trigger_rule: str
    resources: dict[str, Any] | None
    run_as_user: str | None
    map_index_template: str | None
    max_active_tis_per_dag: int | None
    max_active_tis_per_dagrun: int | None
    executor: str | None
    executor_config: dict[str, Any] | None
    do_xcom_push: bool
    multiple_outputs: bool
    inlets: Any
    outlets: Any
    task_group: Any
    doc: str | None
    doc_md: str | None
    doc_json: str | None
    doc_yaml: str | None
    doc_rst: str | None
    task_display_name: str | None
    logger_name: str | None
    allow_nested_operators: bool
    render_template_as_native_obj: bool | None


class OperatorArguments(TaskArguments, total=False):
    """What `DaoCloudBaseOperator` takes."""

    wait_for_completion: bool
    poll_interval: float | timedelta
    timeout: float | timedelta
    max_outage: float | timedelta
    deferrable: bool | None
    end_from_trigger: bool
    durable: bool
    on_ambiguous: OnAmbiguous
    settle_time: float | timedelta
    daocloud_conn_id: str


class AppOperatorArguments(OperatorArguments, total=False):
    """What `DaoCloudAppOperator` takes, without the app."""

    if_busy: IfBusy
    verify: bool
    verify_timeout: float | timedelta
    max_attempts: int


class RedeployArguments(AppOperatorArguments, total=False):
    """What `DaoCloudRedeployOperator` takes, without the app and the release."""

    skip_if_current: bool
    rollback_on_failure: bool


class EnterpriseOperatorArguments(TaskArguments, total=False):
    """What the operators of DaoCloud Enterprise take of `DaoCloudBaseOperator`."""

    wait_for_completion: bool
    poll_interval: float | timedelta
    timeout: float | timedelta
    max_outage: float | timedelta
    deferrable: bool | None
    end_from_trigger: bool
    durable: bool
    on_ambiguous: OnAmbiguous
    settle_time: float | timedelta


class WorkloadOperatorArguments(EnterpriseOperatorArguments, total=False):
    """What `DaoCloudWorkloadOperator` takes."""

    workload_name: Required[str]
    workload_kind: WorkloadKind
    cluster: str | None
    namespace: str | None
    max_attempts: int
    daocloud_conn_id: str


class AirflowSensorArguments(TaskArguments, total=False):
    """What Airflow's own sensors take, without what `DaoCloudBaseSensor` takes in their place."""

    soft_fail: bool
    exponential_backoff: bool
    max_wait: timedelta | float | None
    silent_fail: bool
    never_fail: bool


class EnterpriseSensorArguments(AirflowSensorArguments, total=False):
    """What the sensors of DaoCloud Enterprise take of `DaoCloudBaseSensor`."""

    max_outage: float | timedelta
    poke_interval: float | timedelta | None
    timeout: float | timedelta | None
    mode: str
    deferrable: bool | None
    end_from_trigger: bool
    start_from_trigger: bool


class SensorArguments(EnterpriseSensorArguments, total=False):
    """What `DaoCloudBaseSensor` takes."""

    daocloud_conn_id: str
