"""Apache Airflow provider for DaoCloud: wait for builds, deploy apps, wait until it is done."""

__version__ = "0.1.0"
