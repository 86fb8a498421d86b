"""A DaoCloud Enterprise 5 on this machine, read from its public documents.

The world of workspaces, clusters, workloads and pipelines beside the Open API's; the server, the
faults and most of the controls are the same. See :class:`EnterpriseSandbox`, or run
``python -m airflow_provider_daocloud.sandbox --world enterprise``.
"""

from __future__ import annotations

from airflow_provider_daocloud.sandbox.enterprise.options import EnterpriseOptions
from airflow_provider_daocloud.sandbox.enterprise.world import EnterpriseWorld

__all__ = ["EnterpriseOptions", "EnterpriseWorld"]
