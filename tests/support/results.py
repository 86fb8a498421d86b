"""What each operator and sensor returns, by its documented schema."""

from __future__ import annotations

from typing import Any, get_type_hints

from pydantic import TypeAdapter

from airflow_provider_daocloud import results
from airflow_provider_daocloud.operators.daocloud import (
    DaoCloudAppActionOperator,
    DaoCloudRedeployOperator,
    DaoCloudRollbackOperator,
    DaoCloudStackActionOperator,
    DaoCloudTriggerBuildOperator,
)
from airflow_provider_daocloud.operators.enterprise import (
    DaoCloudRunPipelineOperator,
    DaoCloudWorkloadActionOperator,
    DaoCloudWorkloadDeployOperator,
    DaoCloudWorkloadRollbackOperator,
    DaoCloudWorkloadScaleOperator,
)
from airflow_provider_daocloud.sensors.daocloud import (
    DaoCloudActionSensor,
    DaoCloudAppSensor,
    DaoCloudBuildFlowSensor,
    DaoCloudBuildSensor,
    DaoCloudStackActionSensor,
)
from airflow_provider_daocloud.sensors.enterprise import (
    DaoCloudPipelineRunSensor,
    DaoCloudWorkloadSensor,
)

SCHEMAS: dict[type, Any] = {
    DaoCloudAppActionOperator: results.AppActionResult,
    DaoCloudRedeployOperator: results.RedeployResult,
    DaoCloudRollbackOperator: results.RedeployResult,
    DaoCloudStackActionOperator: results.StackActionResult,
    DaoCloudTriggerBuildOperator: results.BuildResult,
    DaoCloudActionSensor: results.AppActionSensorResult,
    DaoCloudStackActionSensor: results.StackActionSensorResult,
    DaoCloudBuildSensor: results.BuildSensorResult,
    DaoCloudBuildFlowSensor: results.BuildFlowResult,
    DaoCloudAppSensor: results.AppResult,
    DaoCloudWorkloadDeployOperator: results.WorkloadDeployResult,
    DaoCloudWorkloadRollbackOperator: results.WorkloadDeployResult,
    DaoCloudWorkloadActionOperator: results.WorkloadOperatorResult,
    DaoCloudWorkloadScaleOperator: results.WorkloadOperatorResult,
    DaoCloudWorkloadSensor: results.WorkloadResult,
    DaoCloudRunPipelineOperator: results.RunPipelineResult,
    DaoCloudPipelineRunSensor: results.PipelineRunResult,
}


def check_result(task: type, result: dict[str, Any]) -> None:
    """Check that a result has the keys of its schema and no others, each of its type.

    :param task: the class of the operator or sensor.
    """
    schema = SCHEMAS[task]
    assert result.keys() >= schema.__required_keys__
    assert result.keys() <= schema.__required_keys__ | schema.__optional_keys__
    for key, kind in get_type_hints(schema).items():
        if key in result:
            TypeAdapter(kind).validate_python(result[key], strict=True)
