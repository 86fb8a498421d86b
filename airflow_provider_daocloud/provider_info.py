"""What Airflow reads about this package: plain data, found through the entry point.

The connection forms are described here once. Airflow 3.2+ reads it as ``conn-fields``; for earlier
lines the hook turns the same table into widgets.
"""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# name of an extra: (type, label, help). Booleans are worded so that a box left empty is safe:
# Airflow 2's form stores False for it, also when somebody edits an older connection.
Fields = dict[str, tuple[str, str, str]]

_TRANSPORT: Fields = {
    "ca_bundle": ("string", "CA bundle", "File or folder with the CA of a private certificate."),
    "skip_tls_verify": ("boolean", "Skip TLS verification", "Accept any certificate. Unsafe."),
    "allow_http": (
        "boolean",
        "Allow plain HTTP",
        "Send the token unencrypted to a host other than this one. Unsafe.",
    ),
    "connect_timeout": ("number", "Connect timeout", "Seconds allowed for connecting. Default: 10"),
    "read_timeout": ("number", "Read timeout", "Seconds to wait for a response. Default: 30"),
    "proxies": (
        "string",
        "Proxies",
        'One proxy URL, or JSON by scheme: {"https": "http://proxy:3128"}',
    ),
}
_PLACEHOLDERS = {
    # Left visible on purpose: the Test button of 3.3 sends port 0 for none, hidden or left
    # empty, and Airflow then refuses to test: host or port would differ from what is stored.
    "port": "443",
    "ca_bundle": "/etc/ssl/private-ca.pem",
}


@dataclass(frozen=True)
class ConnectionForm:
    """One type of connection, and its form.

    :param conn_type: the type.
    :param hook_class: the hook's class path.
    :param hook_name: what people call it.
    :param fields: the extras.
    :param relabeling: labels of Airflow's own fields.
    :param placeholders: what stands in empty fields.
    :param default_host: the base URL if none is given; empty: one must be.
    :param default_prefix: what comes before every path if nothing is given.
    """

    conn_type: str
    hook_class: str
    hook_name: str
    fields: Fields
    relabeling: dict[str, str]
    placeholders: dict[str, str]
    default_host: str = ""
    default_prefix: str = ""

    @property
    def ui_field_behaviour(self) -> dict[str, Any]:
        """The form as hooks describe it, for Airflow before 3.2."""
        return {
            "hidden_fields": ["login", "schema"],
            "relabeling": self.relabeling,
            "placeholders": self.placeholders,
        }


OPEN_API = ConnectionForm(
    conn_type="daocloud",
    hook_class="airflow_provider_daocloud.hooks.daocloud.DaoCloudHook",
    hook_name="DaoCloud",
    default_host="https://openapi.daocloud.io",
    default_prefix="/v1",
    fields={
        "prefix": ("string", "Path prefix", "What comes before every path. Default: /v1"),
        **_TRANSPORT,
        "dashboard_url": (
            "string",
            "Dashboard URL",
            "Where the links of tasks lead. Default: https://dashboard.daocloud.io",
        ),
    },
    relabeling={"password": "Access token", "host": "Base URL"},
    placeholders={
        "password": "From your DaoCloud settings page",
        "host": "https://openapi.daocloud.io",
        "prefix": "/v1",
        "dashboard_url": "https://dashboard.daocloud.io",
        **_PLACEHOLDERS,
    },
)
ENTERPRISE = ConnectionForm(
    conn_type="daocloud_enterprise",
    hook_class="airflow_provider_daocloud.hooks.enterprise.DaoCloudEnterpriseHook",
    hook_name="DaoCloud Enterprise",
    fields={
        "workspace": (
            "string",
            "Workspace",
            "Default workspace of pipelines: its alias or number.",
        ),
        "cluster": ("string", "Cluster", "Default cluster of workloads."),
        "namespace": ("string", "Namespace", "Default namespace of workloads."),
        "prefix": ("string", "Path prefix", "What comes before /apis, if anything does."),
        **_TRANSPORT,
        "pipeline_run_path": (
            "string",
            "Path of the call that starts a pipeline",
            "With {workspace} and {pipeline} in it. Default: what the installation lists, or the "
            "path of the vendor's guide.",
        ),
        "dashboard_url": (
            "string",
            "Console URL",
            "Where the links of tasks lead. Default: the base URL.",
        ),
        "workload_link": (
            "string",
            "Link to a workload",
            "Path in the console, with {cluster}, {namespace}, {kind} and {name} in it.",
        ),
        "pipeline_link": (
            "string",
            "Link to a pipeline",
            "Path in the console, with {workspace} and {pipeline} in it.",
        ),
    },
    relabeling={"password": "Access key", "host": "Base URL"},
    placeholders={
        "password": "From Personal Center, Access Keys",
        "host": "https://dce.example",
        "workspace": "shop",
        "cluster": "production",
        "namespace": "default",
        **_PLACEHOLDERS,
    },
)
FORMS = (OPEN_API, ENTERPRISE)


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata in Airflow's format."""
    from airflow_provider_daocloud import __version__

    package = __name__.rpartition(".")[0]
    name = "DaoCloud"
    asset_uris = [
        {
            "schemes": ["daocloud"],
            "handler": f"{package}.assets.sanitize_uri",
            "factory": f"{package}.assets.create_asset",
        }
    ]
    return {
        "package-name": "airflow-provider-daocloud",
        "name": name,
        "description": "Build and deploy on DaoCloud: its Open API, and DaoCloud Enterprise 5.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": name,
                "external-doc-url": "https://www.daocloud.io/",
                "tags": ["service"],
            }
        ],
        **{
            kind: [{"integration-name": name, "python-modules": _modules(package, kind)}]
            for kind in ("hooks", "operators", "sensors", "triggers")
        },
        "notifications": [
            f"{package}.notifications.daocloud.DaoCloudNotifier",
            f"{package}.notifications.enterprise.DaoCloudWorkloadNotifier",
        ],
        # Airflow 2 knows no other link classes than these; later lines need no list.
        "extra-links": [
            f"{package}.links.{link}"
            for link in ("AppLink", "BuildFlowLink", "PipelineLink", "StackLink", "WorkloadLink")
        ],
        "cli": [f"{package}.cli.get_daocloud_cli_commands"],
        "asset-uris": asset_uris,
        "dataset-uris": asset_uris,  # the same on Airflow 2
        "connection-types": [_connection_type(form) for form in FORMS],
    }


def _connection_type(form: ConnectionForm) -> dict[str, Any]:
    return {
        "connection-type": form.conn_type,
        "hook-class-name": form.hook_class,
        "hook-name": form.hook_name,
        "conn-fields": {
            field: {
                "label": label,
                "description": text,
                # A field whose type is not nullable would be marked as required.
                "schema": {"type": [kind, "null"]},
            }
            for field, (kind, label, text) in form.fields.items()
        },
        "ui-field-behaviour": {
            name.replace("_", "-"): value for name, value in form.ui_field_behaviour.items()
        },
    }


def _modules(package: str, folder: str) -> list[str]:
    """Return the names of all modules of a folder, as Airflow's own providers list them."""
    found = pkgutil.iter_modules([str(Path(__file__).parent / folder)])  # imports none of them
    return [f"{package}.{folder}.{module.name}" for module in found]
