"""What Airflow reads about this package: plain data, found through the entry point.

The connection form is described here once. Airflow 3.2+ reads it as ``conn-fields``; for earlier
lines the hook turns the same table into widgets.
"""

from __future__ import annotations

import pkgutil
from pathlib import Path
from typing import Any

CONNECTION_TYPE = "daocloud"
HOOK_CLASS = "airflow_provider_daocloud.hooks.daocloud.DaoCloudHook"

# name of the extra: (type, label, help). Booleans are worded so that a box left empty is safe:
# Airflow 2's form stores False for it, also when somebody edits an older connection.
EXTRA_FIELDS: dict[str, tuple[str, str, str]] = {
    "prefix": ("string", "Path prefix", "What comes before every path. Default: /v1"),
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
    "dashboard_url": (
        "string",
        "Dashboard URL",
        "Where the links of tasks lead. Default: https://dashboard.daocloud.io",
    ),
}

UI_FIELD_BEHAVIOUR: dict[str, Any] = {
    "hidden_fields": ["login", "schema"],
    "relabeling": {"password": "Access token", "host": "Base URL"},
    "placeholders": {
        "password": "From your DaoCloud settings page",
        "host": "https://openapi.daocloud.io",
        # Left visible on purpose: the Test button of 3.3 sends port 0 for none, hidden or left
        # empty, and Airflow then refuses to test: host or port would differ from what is stored.
        "port": "443",
        "ca_bundle": "/etc/ssl/private-ca.pem",
        "prefix": "/v1",
        "dashboard_url": "https://dashboard.daocloud.io",
    },
}


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
        "description": "Build images and run apps on DaoCloud through its Open API.",
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
        "notifications": [f"{package}.notifications.daocloud.DaoCloudNotifier"],
        # Airflow 2 knows no other link classes than these; later lines need no list.
        "extra-links": [
            f"{package}.links.{link}" for link in ("AppLink", "BuildFlowLink", "StackLink")
        ],
        "cli": [f"{package}.cli.get_daocloud_cli_commands"],
        "asset-uris": asset_uris,
        "dataset-uris": asset_uris,  # the same on Airflow 2
        "connection-types": [
            {
                "connection-type": CONNECTION_TYPE,
                "hook-class-name": HOOK_CLASS,
                "hook-name": name,
                "conn-fields": {
                    field: {
                        "label": label,
                        "description": text,
                        # A field whose type is not nullable would be marked as required.
                        "schema": {"type": [kind, "null"]},
                    }
                    for field, (kind, label, text) in EXTRA_FIELDS.items()
                },
                "ui-field-behaviour": {
                    "hidden-fields": UI_FIELD_BEHAVIOUR["hidden_fields"],
                    "relabeling": UI_FIELD_BEHAVIOUR["relabeling"],
                    "placeholders": UI_FIELD_BEHAVIOUR["placeholders"],
                },
            }
        ],
    }


def _modules(package: str, folder: str) -> list[str]:
    """Return the names of all modules of a folder, as Airflow's own providers list them."""
    found = pkgutil.iter_modules([str(Path(__file__).parent / folder)])  # imports none of them
    return [f"{package}.{folder}.{module.name}" for module in found]
