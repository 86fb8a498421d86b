"""What the evidence of workloads and of pipelines has in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_daocloud.core.submission.evidence import Snapshot


class MarkedEvidence:
    """Evidence of submissions that carry what identifies them: that alone shows them."""

    def is_busy(self, seen: Any) -> bool:  # noqa: ARG002 - it never is
        """Return False: Kubernetes takes a change at any time, and runs queue up."""
        return False

    def can_match(self, record: Mapping[str, Any]) -> bool:  # noqa: ARG002 - see `receipt_shown`
        """Return False: what shows a submission is what identifies it."""
        return False

    def matches(self, record: Mapping[str, Any], seen: Any) -> bool:  # noqa: ARG002
        """Return False: see `can_match`."""
        return False

    def operated_at(self, snapshot: Snapshot) -> None:
        """Return None: nothing depends on it here."""
