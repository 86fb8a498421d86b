"""Gauges and counters about the waiting, through Airflow's own Stats."""

from __future__ import annotations


def gauge(name: str, value: float) -> None:
    """Set ``daocloud.<name>``.

    :param name: ``subscriptions`` (waits that a poller serves), ``budget_left`` (requests that
        remain in this hour).
    :param value: the value.
    """
    from airflow_provider_daocloud.compat import Stats

    Stats.gauge(f"daocloud.{name}", value)


def count(name: str) -> None:
    """Add one to the counter ``daocloud.<name>``.

    :param name: ``polls`` (requests of the poller), ``outages`` (DaoCloud became unreadable).
    """
    from airflow_provider_daocloud.compat import Stats

    Stats.incr(f"daocloud.{name}")
