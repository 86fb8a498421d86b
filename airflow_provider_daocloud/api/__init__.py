"""The DaoCloud Open API v1 in Python. Knows no Airflow.

`protocol` builds each request and interprets each answer, `policy` says what is retried, and the
two clients (`client` on requests, `async_client` on httpx) only carry what `protocol` builds.
"""
