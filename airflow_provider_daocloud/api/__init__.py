"""DaoCloud's API in Python. Knows no Airflow.

`openapi` builds each request, `response` interprets each response, `retrying` says what is retried,
and the two clients (`client` on requests, `async_client` on httpx) only send.
"""
