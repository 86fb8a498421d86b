"""The core: waiting, polling and submission. Knows no Airflow."""
