"""``python -m airflow_provider_daocloud``: the command line, on every Airflow."""

from __future__ import annotations

from airflow_provider_daocloud.cli import main

if __name__ == "__main__":
    main()
