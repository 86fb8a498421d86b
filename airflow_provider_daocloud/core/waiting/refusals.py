"""Whether a refusal stays: one rule for everything that reads."""

from __future__ import annotations

from airflow_provider_daocloud.api.errors import CallError
from airflow_provider_daocloud.core.waiting.wait import WaitState, is_permanent

# Seconds in a row for which a 401, 403 or 404 may answer what could be read before. A gateway that
# restarts or a firewall's false alarm passes in this time; a revoked token or a deleted app stays.
REFUSAL_GRACE = 60.0

# The refusals by which DaoCloud says that the token, the right or the resource is gone.
GONE = (401, 403, 404)


def refusal_grace(error: CallError, *, read: bool, max_outage: float) -> float | None:
    """Return for how many seconds in a row an error may come before it is permanent.

    This is the one rule for everything that reads, in every mode:

    =================================  ======================  =====================================
    error                              nothing was read yet    something was read with this token
    =================================  ======================  =====================================
    a fault, a web page, a 407         an outage               an outage
    401, 403, 404                      permanent at once       permanent after `REFUSAL_GRACE`
    any other refusal (3xx, 4xx)       permanent at once       an outage
    =================================  ======================  =====================================

    :param error: how an attempt to read ended.
    :param read: whether anything was read with this token in this wait, in whichever process.
    :param max_outage: seconds for which DaoCloud may be unreadable.
    :return: None for an outage: it never becomes permanent, and ``max_outage`` bounds it.
    """
    if not is_permanent(error):
        return None
    if not read:
        return 0.0
    return min(REFUSAL_GRACE, max_outage) if error.status in GONE else None


def has_become_permanent(
    error: CallError, wait_state: WaitState, now: float, max_outage: float
) -> bool:
    """Whether an error is final by `refusal_grace`, given the errors before it.

    :param error: how an attempt to read ended.
    :param wait_state: whether something was read, and since when which refusal comes; updated.
    :param now: seconds since the epoch.
    :param max_outage: seconds for which DaoCloud may be unreadable.
    """
    grace = refusal_grace(error, read=bool(wait_state.get("read")), max_outage=max_outage)
    refused = wait_state.pop("refused", None)
    if grace is None:
        return False
    # Another answer in between, be it another refusal, shows that this one does not stay.
    same = refused is not None and refused[0] == error.status
    wait_state["refused"] = refused = refused if same else [error.status, now]
    return bool(now - refused[1] >= grace)
